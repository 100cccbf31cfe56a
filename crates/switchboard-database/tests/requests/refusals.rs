//! What the client is told instead of a success.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::Response;
use axum::routing::post as on_post;
use futures_util::TryStreamExt as _;
use switchboard_core::{Error, ErrorKind, Outcome};
use switchboard_database::axum::{Failure, Session, SessionLayer};
use switchboard_database::{Statements, Violation};

use super::{add, database, database_in_a_file, is_free, notes, post, status, text};

/// Refers to a note that is not there, which nobody minds before the commit.
async fn dangling(Session(tx): Session, note: String) -> Result<(), Failure> {
    add(Session(tx.clone()), note).await?;
    tx.execute("insert into tags (note) values (1000)", ()).await?;
    Ok(())
}

const TAGS: &str =
    "create table tags (note integer references notes (id) deferrable initially deferred)";

#[tokio::test]
async fn a_commit_that_fails_is_no_success() {
    let main = database().await;
    main.execute(TAGS, ()).await.unwrap();
    let layer = SessionLayer::new(main.clone());
    let routes = Router::new().route("/", on_post(dangling)).layer(layer);
    let refused = post(&routes, "/", "milk").await;
    assert_eq!(refused.status(), StatusCode::CONFLICT);
    let error = refused.extensions().get::<Error>().unwrap();
    assert_eq!(Violation::of(error), Some(Violation::ForeignKey), "{error:?}");
    assert_eq!(text(refused).await, "Conflict", "nothing is told of the tables");
    assert!(notes(&main).await.is_empty());
    assert!(is_free(&main).await);
}

#[tokio::test]
async fn an_application_says_what_is_answered_when_a_commit_fails() {
    let main = database().await;
    main.execute(TAGS, ()).await.unwrap();
    let layer = SessionLayer::new(main.clone())
        .on_commit_error(|error| (StatusCode::IM_A_TEAPOT, error.kind().to_string()));
    let routes = Router::new().route("/", on_post(dangling)).layer(layer);
    let refused = post(&routes, "/", "milk").await;
    assert_eq!(refused.status(), StatusCode::IM_A_TEAPOT);
    assert_eq!(text(refused).await, "precondition failed");
}

#[tokio::test]
async fn an_error_before_the_commit_is_no_success() {
    let main = database().await;
    async fn refusing(Session(tx): Session, note: String) -> Result<(), Failure> {
        tx.before_commit(|_| async { Err(Error::new(ErrorKind::Conflict, "the shop is closed")) });
        add(Session(tx), note).await
    }
    let routes = Router::new().route("/", on_post(refusing)).layer(SessionLayer::new(main.clone()));
    assert_eq!(status(&routes, "/", "milk").await, StatusCode::CONFLICT);
    assert!(notes(&main).await.is_empty());
}

const NUMBERS: &str = "with recursive numbers (number) as \
    (select 1 union all select number + 1 from numbers where number < 2000) \
    select number from numbers";

/// All numbers as a body, while they are read.
async fn streamed(statements: &impl Statements) -> Result<Response, Failure> {
    let numbers = statements.stream::<i64>(NUMBERS, ()).await?;
    let body = Body::from_stream(numbers.map_ok(|number| number.to_string()));
    Ok(Response::new(body))
}

#[tokio::test]
async fn rows_of_the_database_are_streamed_after_the_commit() {
    let (_folder, main) = database_in_a_file().await;
    async fn numbers(Session(tx): Session, note: String) -> Result<Response, Failure> {
        add(Session(tx.clone()), note).await?;
        streamed(tx.database()).await
    }
    let routes = Router::new().route("/", on_post(numbers)).layer(SessionLayer::new(main.clone()));
    let answer = post(&routes, "/", "milk").await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(notes(&main).await, ["milk"], "committed before the body is read");
    let text = text(answer).await;
    assert!(text.starts_with("1234") && text.ends_with("19992000"));
}

#[tokio::test]
async fn a_response_that_streams_rows_of_its_transaction_is_refused_and_not_waited_for() {
    let main = database().await;
    async fn numbers(Session(tx): Session, note: String) -> Result<Response, Failure> {
        add(Session(tx.clone()), note).await?;
        streamed(&tx).await
    }
    let layer = SessionLayer::new(main.clone()).rest_limit(Duration::from_millis(50));
    let routes = Router::new().route("/", on_post(numbers)).layer(layer);
    let refused = post(&routes, "/", "milk").await;
    assert_eq!(refused.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let error = refused.extensions().get::<Error>().unwrap().to_string();
    assert!(error.contains("in use after the response"), "{error}");
    assert!(is_free(&main).await);
    assert!(notes(&main).await.is_empty());
}

#[tokio::test]
async fn a_handler_without_the_layer_is_told_what_is_missing() {
    let routes = Router::new().route("/", on_post(add));
    let refused = post(&routes, "/", "milk").await;
    assert_eq!(refused.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(text(refused).await.contains("SessionLayer::new"));
}

#[test]
fn the_status_says_who_can_do_something_about_it() {
    let of = |error: Error| Failure(error).status().as_u16();
    let plain = |kind| of(Error::new(kind, "an error").not_applied());
    assert_eq!(plain(ErrorKind::NotFound), 404);
    assert_eq!(plain(ErrorKind::AlreadyExists), 409);
    assert_eq!(plain(ErrorKind::Conflict), 409);
    for kind in
        [ErrorKind::Unavailable, ErrorKind::Timeout, ErrorKind::RateLimited, ErrorKind::Overloaded]
    {
        assert_eq!(plain(kind), 503, "{kind}");
        let in_doubt = Error::new(kind, "an error").with_outcome(Outcome::Unknown);
        assert_eq!(of(in_doubt), 500, "nobody knows whether it happened");
    }
    for kind in [ErrorKind::InvalidInput, ErrorKind::Config, ErrorKind::PermissionDenied] {
        assert_eq!(plain(kind), 500, "{kind} is a mistake of the program");
    }
    let violations = Violation::ALL.iter().map(|violation| of(violation.error(None)));
    assert_eq!(violations.collect::<Vec<_>>(), [409, 409, 422, 422]);
}

#[test]
fn whoever_is_sent_away_for_a_while_is_told_for_how_long() {
    use axum::response::IntoResponse as _;
    let busy = Error::new(ErrorKind::Overloaded, "busy").not_applied();
    let response = Failure(busy.clone()).into_response();
    assert!(!response.headers().contains_key(header::RETRY_AFTER));
    let response = Failure(busy.retry_after(Duration::from_millis(1200))).into_response();
    assert_eq!(response.headers()[header::RETRY_AFTER], "2");
}
