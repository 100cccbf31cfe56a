//! Several databases in one application.

use axum::Router;
use axum::extract::FromRef;
use axum::http::StatusCode;
use axum::routing::post as on_post;
use switchboard_core::{ErrorKind, Manager};
use switchboard_database::axum::{DatabaseOf, Failure, Session, SessionLayer, SessionOf};
use switchboard_database::{Databases, Designates, Statements as _};

use super::{add, databases, is_free, notes, post, status, text};

struct Archive;

impl Designates for Archive {
    const INSTANCE: &'static str = "archive";
}

/// Adds the note to both, and answers with the status that it is.
async fn both(
    session: Session,
    archive: SessionOf<Archive>,
    note: String,
) -> Result<StatusCode, Failure> {
    add(session, note.clone()).await?;
    archive.execute("insert into notes (text) values (?)", (format!("old {note}"),)).await?;
    Ok(note.parse().unwrap())
}

#[tokio::test]
async fn each_database_has_its_own_transaction() {
    let databases = databases(&["main", "archive"]).await;
    let (main, archive) = (databases.handle("main").unwrap(), databases.handle("archive").unwrap());
    let routes = Router::new()
        .route("/", on_post(both))
        .layer(SessionLayer::new(main.clone()))
        .layer(SessionLayer::of::<Archive>(&databases).unwrap());

    assert_eq!(status(&routes, "/", "500").await, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(notes(&main).await.is_empty() && notes(&archive).await.is_empty());
    assert_eq!(status(&routes, "/", "200").await, StatusCode::OK);
    assert_eq!(notes(&main).await, ["200"]);
    assert_eq!(notes(&archive).await, ["old 200"]);
    assert!(is_free(&main).await && is_free(&archive).await);
}

#[tokio::test]
async fn a_commit_that_fails_inside_rolls_the_other_database_back() {
    let databases = databases(&["main", "archive"]).await;
    let (main, archive) = (databases.handle("main").unwrap(), databases.handle("archive").unwrap());
    let tags =
        "create table tags (note integer references notes (id) deferrable initially deferred)";
    main.execute(tags, ()).await.unwrap();
    async fn dangling(
        session: Session,
        archive: SessionOf<Archive>,
    ) -> Result<StatusCode, Failure> {
        session.0.execute("insert into tags (note) values (1000)", ()).await?;
        both(session, archive, "200".to_owned()).await
    }
    let routes = Router::new()
        .route("/", on_post(dangling))
        .layer(SessionLayer::new(main.clone()))
        .layer(SessionLayer::of::<Archive>(&databases).unwrap());
    assert_eq!(status(&routes, "/", "").await, StatusCode::CONFLICT);
    assert!(notes(&main).await.is_empty() && notes(&archive).await.is_empty());
}

#[tokio::test]
async fn a_database_that_is_not_there_is_an_error_before_there_are_requests() {
    let databases = databases(&["main"]).await;
    let missing = SessionLayer::of::<Archive>(&databases).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotRegistered);
}

#[tokio::test]
async fn a_session_of_a_database_without_a_layer_names_it() {
    let databases = databases(&["main"]).await;
    let routes = Router::new().route("/", on_post(both));
    let routes = routes.layer(SessionLayer::new(databases.handle("main").unwrap()));
    let refused = post(&routes, "/", "200").await;
    assert_eq!(refused.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let told = text(refused).await;
    assert!(told.contains("\"archive\"") && told.contains("SessionLayer::of"), "{told}");
}

/// The state of an application.
#[derive(Clone)]
struct State(Manager<Databases>);

impl FromRef<State> for Manager<Databases> {
    fn from_ref(state: &State) -> Self {
        state.0.clone()
    }
}

async fn count(archive: DatabaseOf<Archive>) -> Result<String, Failure> {
    Ok(archive.select_value::<i64>("select count(*) from notes", ()).await?.to_string())
}

#[tokio::test]
async fn a_handler_has_a_database_by_the_type_that_designates_it() {
    let databases = databases(&["main", "archive"]).await;
    let archive = databases.handle("archive").unwrap();
    archive.execute("insert into notes (text) values ('old')", ()).await.unwrap();
    let routes = Router::new().route("/", on_post(count)).with_state(State(databases));
    assert_eq!(text(post(&routes, "/", "").await).await, "1");
}

#[tokio::test]
async fn a_database_that_nobody_configured_is_a_fault_of_the_server() {
    let routes = Router::new().route("/", on_post(count));
    let routes = routes.with_state(State(databases(&["main"]).await));
    assert_eq!(status(&routes, "/", "").await, StatusCode::INTERNAL_SERVER_ERROR);
}
