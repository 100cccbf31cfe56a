//! What becomes of the transactions of requests, in routers as applications have them.

#![expect(clippy::unwrap_used, reason = "a test that fails panics")]
#![expect(clippy::items_after_statements, reason = "a handler stands where it is asked")]

mod databases;
mod endings;
mod leaving;
mod postgres;
mod refusals;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use switchboard_core::{Environment, Manager, Registry, Settings};
use switchboard_database::axum::{Failure, Session};
use switchboard_database::{Database, Databases, Statements as _};
use tempfile::TempDir;
use tower::ServiceExt as _;

/// The databases of those names, each in memory and with an empty table `notes`.
async fn databases(names: &[&str]) -> Manager<Databases> {
    let registry = Registry::with_built_ins().unwrap();
    let databases = Manager::<Databases>::new(registry, &Environment::new()).unwrap();
    for name in names {
        databases.configure(name, &Settings::new().with("url", "sqlite::memory:")).unwrap();
        databases.handle(name).unwrap().execute(NOTES, ()).await.unwrap();
    }
    databases
}

const NOTES: &str = "create table notes (id integer primary key, text text not null unique)";

async fn database() -> Database {
    databases(&["main"]).await.handle("main").unwrap()
}

/// One in a file, where reading does not wait for whoever writes; it goes with its folder.
async fn database_in_a_file() -> (TempDir, Database) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.db");
    let databases =
        Manager::<Databases>::new(Registry::with_built_ins().unwrap(), &Environment::new());
    let databases = databases.unwrap();
    let settings = Settings::new().with("driver", "sqlite").with("path", path.to_str().unwrap());
    databases.configure("main", &settings).unwrap();
    let main = databases.handle("main").unwrap();
    main.execute(NOTES, ()).await.unwrap();
    (folder, main)
}

async fn notes(database: &Database) -> Vec<String> {
    let rows = database.select::<(String,)>("select text from notes order by id", ());
    rows.await.unwrap().into_iter().map(|(text,)| text).collect()
}

/// Adds the note that the request has.
async fn add(Session(tx): Session, note: String) -> Result<(), Failure> {
    tx.execute("insert into notes (text) values (?)", (note,)).await?;
    Ok(())
}

async fn post(routes: &Router, path: &str, body: &'static str) -> Response {
    asked(routes, Method::POST, path, body).await
}

async fn asked(routes: &Router, method: Method, path: &str, body: &'static str) -> Response {
    let request = Request::builder().method(method).uri(path).body(Body::from(body)).unwrap();
    routes.clone().oneshot(request).await.unwrap()
}

async fn status(routes: &Router, path: &str, body: &'static str) -> StatusCode {
    post(routes, path, body).await.status()
}

async fn text(response: Response) -> String {
    let body = axum::body::to_bytes(response.into_body(), 1_000_000).await.unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

/// Nobody has a connection, and one that writes can be had at once: nothing was left open.
async fn is_free(database: &Database) -> bool {
    database.execute("delete from notes where text = 'probe'", ()).await.unwrap();
    database.pools().iter().all(|pool| pool.in_use == 0)
}
