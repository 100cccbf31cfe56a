//! How the response decides.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::{Method, StatusCode};
use axum::response::Redirect;
use axum::routing::{get, post as on_post};
use switchboard_core::{Error, ErrorKind};
use switchboard_database::axum::{Failure, Session, SessionLayer};
use switchboard_database::{Statements as _, Transaction, TransactionOptions};

use super::{add, asked, database, database_in_a_file, is_free, notes, post, status};

#[tokio::test]
async fn a_success_is_committed() {
    let main = database().await;
    let routes = Router::new().route("/", on_post(add)).layer(SessionLayer::new(main.clone()));
    assert_eq!(status(&routes, "/", "milk").await, StatusCode::OK);
    assert_eq!(notes(&main).await, ["milk"]);
    assert!(is_free(&main).await);
}

/// Adds the note, and answers with the status that it is.
async fn answer(session: Session, note: String) -> Result<StatusCode, Failure> {
    add(session, note.clone()).await?;
    Ok(note.parse().unwrap())
}

#[tokio::test]
async fn a_response_that_is_no_success_rolls_back() {
    let main = database().await;
    let routes = Router::new().route("/", on_post(answer)).layer(SessionLayer::new(main.clone()));
    for note in ["400", "404", "409", "500", "503", "304", "303"] {
        assert_eq!(status(&routes, "/", note).await.as_str(), note);
        assert!(notes(&main).await.is_empty(), "{note}");
        assert!(is_free(&main).await, "{note}");
    }
    for note in ["200", "201", "204"] {
        assert_eq!(status(&routes, "/", note).await.as_str(), note);
    }
    assert_eq!(notes(&main).await, ["200", "201", "204"]);
}

#[tokio::test]
async fn an_error_that_ends_a_handler_rolls_back_and_is_told_by_its_status() {
    let main = database().await;
    async fn twice(session: Session, note: String) -> Result<(), Failure> {
        add(session.clone(), note.clone()).await?;
        add(session, note).await
    }
    let routes = Router::new().route("/", on_post(twice)).layer(SessionLayer::new(main.clone()));
    let refused = post(&routes, "/", "milk").await;
    assert_eq!(refused.status(), StatusCode::CONFLICT);
    let error = refused.extensions().get::<Error>().unwrap();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists, "a layer around can read it");
    assert!(notes(&main).await.is_empty());
    assert!(is_free(&main).await);
}

#[tokio::test]
async fn an_application_says_after_which_responses_it_is_committed() {
    let main = database().await;
    async fn form(session: Session, note: String) -> Result<Redirect, Failure> {
        add(session, note).await?;
        Ok(Redirect::to("/"))
    }
    let layer = SessionLayer::new(main.clone())
        .commit_on(|status| status.is_success() || status.is_redirection());
    let routes = Router::new().route("/", on_post(form)).layer(layer);
    assert_eq!(status(&routes, "/", "milk").await, StatusCode::SEE_OTHER);
    assert_eq!(notes(&main).await, ["milk"]);
}

#[tokio::test]
async fn a_request_that_asks_nothing_takes_no_connection() {
    let main = database().await;
    let acquired = || main.pools().iter().map(|pool| pool.acquired).sum::<u64>();
    async fn nothing(Session(_): Session) {}
    let routes = Router::new().route("/nothing", on_post(nothing)).route("/", on_post(add));
    let routes = routes.layer(SessionLayer::new(main.clone()));

    let before = acquired();
    for _ in 0..3 {
        assert_eq!(status(&routes, "/nothing", "").await, StatusCode::OK);
    }
    assert_eq!(acquired(), before);
    assert_eq!(status(&routes, "/", "milk").await, StatusCode::OK);
    assert_eq!(acquired(), before + 1);
}

#[tokio::test]
async fn a_savepoint_is_taken_back_and_the_rest_is_committed() {
    let main = database().await;
    async fn halves(Session(tx): Session) -> Result<(), Failure> {
        add(Session(tx.clone()), "kept".to_owned()).await?;
        let undone: Result<(), Error> = tx
            .savepoint(async |inner| {
                inner.execute("insert into notes (text) values ('undone')", ()).await?;
                Err(Error::new(ErrorKind::InvalidInput, "no"))
            })
            .await;
        assert_eq!(undone.unwrap_err().kind(), ErrorKind::InvalidInput);
        Ok(())
    }
    let routes = Router::new().route("/", on_post(halves)).layer(SessionLayer::new(main.clone()));
    assert_eq!(status(&routes, "/", "").await, StatusCode::OK);
    assert_eq!(notes(&main).await, ["kept"]);
}

#[tokio::test]
async fn what_waits_for_the_commit_has_happened_when_the_response_is_there() {
    let (main, sent) = (database().await, Arc::new(AtomicU32::new(0)));
    let sending = sent.clone();
    let handler = move |Session(tx): Session, note: String| async move {
        add(Session(tx.clone()), note.clone()).await?;
        tx.after_commit(move || async move {
            sending.fetch_add(1, Ordering::Relaxed);
        });
        Ok::<_, Failure>(note.parse::<StatusCode>().unwrap())
    };
    let routes = Router::new().route("/", on_post(handler)).layer(SessionLayer::new(main));
    assert_eq!(status(&routes, "/", "400").await, StatusCode::BAD_REQUEST);
    assert_eq!(sent.load(Ordering::Relaxed), 0);
    assert_eq!(status(&routes, "/", "200").await, StatusCode::OK);
    assert_eq!(sent.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_handler_that_ends_the_transaction_by_itself_answers_for_it() {
    let main = database().await;
    async fn by_hand(Session(tx): Session, note: String) -> Result<StatusCode, Failure> {
        add(Session(tx.clone()), note.clone()).await?;
        if note == "kept" {
            tx.commit().await?;
            return Ok(StatusCode::BAD_REQUEST);
        }
        tx.rollback().await?;
        Ok(StatusCode::OK)
    }
    let routes = Router::new().route("/", on_post(by_hand)).layer(SessionLayer::new(main.clone()));
    assert_eq!(status(&routes, "/", "gone").await, StatusCode::OK);
    assert_eq!(status(&routes, "/", "kept").await, StatusCode::BAD_REQUEST);
    assert_eq!(notes(&main).await, ["kept"]);
    assert!(is_free(&main).await);
}

#[tokio::test]
async fn whoever_has_the_transaction_after_the_response_gets_an_error() {
    let main = database().await;
    let kept = Arc::new(Mutex::new(None::<Transaction>));
    let keeping = kept.clone();
    let handler = move |session: Session, note: String| async move {
        *keeping.lock().unwrap() = Some(session.0.clone());
        add(session, note).await
    };
    let routes = Router::new().route("/", on_post(handler)).layer(SessionLayer::new(main.clone()));
    assert_eq!(status(&routes, "/", "milk").await, StatusCode::OK);

    let late = kept.lock().unwrap().take().unwrap();
    let error = late.execute("insert into notes (text) values ('late')", ()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PreconditionFailed);
    assert!(error.to_string().contains("there is no transaction any more"), "{error}");
    assert_eq!(notes(&main).await, ["milk"]);
}

#[tokio::test]
async fn safe_methods_only_read_where_that_is_asked() {
    let main = database().await;
    let layer = SessionLayer::new(main.clone());
    let free = Router::new().route("/", get(add).post(add)).layer(layer.clone());
    let strict = Router::new().route("/", get(add).post(add));
    let strict = strict.layer(layer.read_only_for_safe_methods());

    assert_eq!(asked(&free, Method::GET, "/", "free").await.status(), StatusCode::OK);
    let refused = asked(&strict, Method::GET, "/", "strict").await;
    assert_eq!(refused.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(status(&strict, "/", "posted").await, StatusCode::OK);
    assert_eq!(notes(&main).await, ["free", "posted"]);
}

#[tokio::test]
async fn reading_requests_do_not_wait_for_the_one_that_writes() {
    let (_folder, main) = database_in_a_file().await;
    async fn count(Session(tx): Session) -> Result<String, Failure> {
        Ok(tx.select_value::<i64>("select count(*) from notes", ()).await?.to_string())
    }
    let layer = SessionLayer::new(main.clone()).read_only_for_safe_methods();
    let routes = Router::new().route("/", get(count)).layer(layer);
    let writing = main.begin(&TransactionOptions::new()).await.unwrap();
    let answered = asked(&routes, Method::GET, "/", "").await;
    assert_eq!(answered.status(), StatusCode::OK);
    writing.rollback().await.unwrap();
}

#[tokio::test]
async fn a_request_that_takes_longer_than_its_transaction_may_is_rolled_back() {
    let main = database().await;
    async fn slow(Session(tx): Session) -> Result<(), Failure> {
        add(Session(tx.clone()), "slow".to_owned()).await?;
        loop {
            tx.select_value::<i64>("select count(*) from notes", ()).await?;
        }
    }
    async fn waiting(Session(tx): Session) -> Result<(), Failure> {
        add(Session(tx), "slow".to_owned()).await?;
        std::future::pending().await
    }
    let limit = TransactionOptions::new().timeout(Duration::from_millis(200));
    let layer = SessionLayer::new(main.clone()).options(limit);
    let routes =
        Router::new().route("/", on_post(slow)).route("/waiting", on_post(waiting)).layer(layer);
    assert_eq!(status(&routes, "/waiting", "").await, StatusCode::SERVICE_UNAVAILABLE);
    assert!(status(&routes, "/", "").await.is_server_error());
    assert!(notes(&main).await.is_empty());
    assert!(is_free(&main).await);
}
