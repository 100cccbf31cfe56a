//! The routes, in sandboxes: each test finds the database as it was before all of them.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode};
use switchboard::database::{Databases, MigrateOptions, Sandbox};
use switchboard::{Format, Switchboard};
use tempfile::TempDir;
use tower::ServiceExt as _;

use super::{add_note, migrations, routes};

/// A board with a database of its own, in which one note is.
async fn board(folder: &TempDir) -> Switchboard {
    let path = folder.path().join("notes.db");
    let text = format!("[database.main]\ndriver = 'sqlite'\npath = '{}'", path.display());
    let board = Switchboard::builder().text("switchboard.toml", Format::Toml, text);
    let board = board.build().await.unwrap();
    let main = board.database("main").unwrap();
    main.migrate(&migrations().unwrap(), &MigrateOptions::new()).await.unwrap();
    add_note(&main, "milk".to_owned()).await.unwrap();
    board
}

async fn sandbox(board: &Switchboard) -> Sandbox {
    Sandbox::over(board.manager::<Databases>().unwrap(), "main").await.unwrap()
}

async fn ask(routes: &Router, method: Method, path: &str, body: &str) -> (StatusCode, String) {
    let request = Request::builder().method(method).uri(path);
    let request = request.header("content-type", "application/json");
    let request = request.body(Body::from(body.to_owned())).unwrap();
    let response = routes.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let body = to_bytes(response.into_body(), 100_000).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn add(routes: &Router, text: &str) -> StatusCode {
    ask(routes, Method::POST, "/notes", &format!("{{\"text\":\"{text}\"}}")).await.0
}

async fn texts(routes: &Router) -> Vec<String> {
    let (_, exported) = ask(routes, Method::GET, "/export", "").await;
    exported.lines().map(|line| line.split('\t').nth(1).unwrap().to_owned()).collect()
}

#[tokio::test]
async fn what_requests_change_in_a_sandbox_does_not_last() {
    let folder = tempfile::tempdir().unwrap();
    let board = board(&folder).await;
    let routes = routes(board.database("main").unwrap());
    for _ in 0..2 {
        let sandbox = sandbox(&board).await;
        assert_eq!(add(&routes, "bread").await, StatusCode::CREATED);
        assert_eq!(texts(&routes).await, ["milk", "bread"]);
        let (status, _) = ask(&routes, Method::DELETE, "/notes/1", "").await;
        assert_eq!(status, StatusCode::NO_CONTENT);
        assert_eq!(texts(&routes).await, ["bread"]);
        sandbox.end().await.unwrap();
        assert_eq!(texts(&routes).await, ["milk"]);
    }
}

#[tokio::test]
async fn a_request_that_fails_in_a_sandbox_takes_back_nothing_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let board = board(&folder).await;
    let routes = routes(board.database("main").unwrap());
    let sandbox = sandbox(&board).await;
    let (bread, milk, empty, listed) = tokio::join!(
        add(&routes, "bread"),
        add(&routes, "milk"),
        add(&routes, ""),
        ask(&routes, Method::GET, "/notes", ""),
    );
    assert_eq!(bread, StatusCode::CREATED);
    assert_eq!((milk, empty), (StatusCode::CONFLICT, StatusCode::UNPROCESSABLE_ENTITY));
    assert_eq!(listed.0, StatusCode::OK);
    assert_eq!(texts(&routes).await, ["milk", "bread"]);
    sandbox.end().await.unwrap();
}
