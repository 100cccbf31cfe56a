//! Requests that are left without a response: by panic, and because the client went away.

use std::panic::AssertUnwindSafe;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::routing::post as on_post;
use futures_util::FutureExt as _;
use switchboard_database::axum::{Failure, Session, SessionLayer};
use switchboard_testkit::drop_at_every_await;

use super::{add, database, is_free, notes, post, status};

#[tokio::test]
async fn a_panic_rolls_back() {
    let main = database().await;
    async fn panics(session: Session) -> StatusCode {
        add(session, "lost".to_owned()).await.unwrap();
        panic!("on purpose");
    }
    let routes = Router::new().route("/", on_post(add)).route("/panic", on_post(panics));
    let routes = routes.layer(SessionLayer::new(main.clone()));
    let asked = AssertUnwindSafe(post(&routes, "/panic", ""));
    assert!(asked.catch_unwind().await.is_err());
    assert!(is_free(&main).await);
    assert_eq!(status(&routes, "/", "next").await, StatusCode::OK);
    assert_eq!(notes(&main).await, ["next"]);
}

#[tokio::test]
async fn a_request_that_is_dropped_while_its_handler_runs_is_rolled_back() {
    let main = database().await;
    let (is_added, added) = tokio::sync::oneshot::channel::<()>();
    let is_added = std::sync::Arc::new(std::sync::Mutex::new(Some(is_added)));
    let handler = move |session: Session, note: String| async move {
        add(session, note).await?;
        is_added.lock().unwrap().take().unwrap().send(()).unwrap();
        std::future::pending::<Result<(), Failure>>().await
    };
    let routes = Router::new().route("/", on_post(handler)).layer(SessionLayer::new(main.clone()));
    tokio::select! {
        _ = post(&routes, "/", "lost") => panic!("it is never answered"),
        told = added => told.unwrap(),
    }
    assert!(is_free(&main).await);
    assert!(notes(&main).await.is_empty());
}

#[tokio::test]
async fn a_request_that_is_dropped_anywhere_leaves_all_of_it_or_nothing() {
    let main = database().await;
    async fn pair(session: Session) -> Result<(), Failure> {
        add(session.clone(), "left".to_owned()).await?;
        add(session, "right".to_owned()).await
    }
    let routes = Router::new().route("/", on_post(pair)).layer(SessionLayer::new(main.clone()));
    let awaits = drop_at_every_await(
        async || {
            let request = Request::post("/").body(Body::empty()).unwrap();
            let answer = tower::ServiceExt::oneshot(routes.clone(), request).await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
        },
        async |_| {
            use switchboard_database::Statements as _;
            assert!(is_free(&main).await);
            let left = main.execute("delete from notes", ()).await.unwrap().affected;
            assert!(left == 0 || left == 2, "{left} rows are left");
        },
    );
    // There may be none: a database in memory can answer before anybody waits.
    awaits.await;
}
