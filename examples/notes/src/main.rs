//! Notes over HTTP, in a database that a file chooses.
//!
//! ```text
//! cargo run -p notes
//! curl -X POST -H 'content-type: application/json' -d '{"text":"milk"}' http://127.0.0.1:7080/notes
//! curl http://127.0.0.1:7080/notes
//! ```
//!
//! Each request has a transaction, which lasts if the response is a success. Ctrl-C ends the program once
//! the requests that are under way are answered.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "printing is what the program is for"
)]

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::LazyLock;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{delete, get};
use axum::{Json, Router};
use futures_util::TryStreamExt as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use switchboard::database::axum::{Failure, Session, SessionLayer};
use switchboard::database::{MigrateOptions, Migrations, Queries, queries, query_functions};
use switchboard::{Database, Error, ErrorKind, Result, Switchboard};
use tokio::net::TcpListener;

/// The section `[notes]` of the configuration.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Notes {
    /// Where the notes are served.
    listen: SocketAddr,
}

#[derive(Deserialize, Serialize)]
struct Note {
    id: i64,
    text: String,
    written_at: String,
}

#[derive(Deserialize)]
struct NewNote {
    text: String,
}

#[expect(clippy::expect_used, reason = "what is built in has no mistakes, or nothing starts")]
static QUERIES: LazyLock<Queries> =
    LazyLock::new(|| queries!("../sql/notes.sql").expect("the queries that are built in"));

query_functions! {
    in QUERIES;
    fn all_notes() -> many(Note);
    fn exported_notes() -> stream(Note);
    fn add_note(text: String) -> one(Note);
    fn remove_note(id: i64) -> affected;
}

#[tokio::main]
async fn main() -> ExitCode {
    let file = std::env::args().nth(1).map_or_else(default_file, PathBuf::from);
    match run(file).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:?}");
            ExitCode::from(2)
        }
    }
}

async fn run(file: PathBuf) -> Result<()> {
    let board = Switchboard::builder().file(file).section::<Notes>("notes").build().await?;
    let main = board.database("main")?;
    for applied in main.migrate(&migrations()?, &MigrateOptions::new()).await?.applied {
        println!("notes: applied {} {}", applied.version, applied.name);
    }
    let served = serve(board.section::<Notes>("notes")?.listen, routes(main)).await;
    let closed = board.close(Duration::from_secs(5)).await.into_result();
    served.and(closed)
}

fn routes(main: Database) -> Router {
    Router::new()
        .route("/notes", get(list).post(add))
        .route("/notes/{id}", delete(remove))
        .layer(SessionLayer::new(main.clone()).read_only_for_safe_methods())
        .route("/export", get(export))
        .with_state(main)
}

/// Serves `routes` until Ctrl-C, and then until every request is answered.
async fn serve(address: SocketAddr, routes: Router) -> Result<()> {
    let failed =
        |error| Error::new(ErrorKind::Unavailable, "HTTP cannot be served").with_source(error);
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    println!("notes: http://{}/notes", listener.local_addr().map_err(failed)?);
    let ended = async { drop(tokio::signal::ctrl_c().await) };
    axum::serve(listener, routes).with_graceful_shutdown(ended).await.map_err(failed)
}

async fn list(Session(tx): Session) -> Result<Json<Vec<Note>>, Failure> {
    Ok(Json(all_notes(&tx).await?))
}

/// Answers 409 if there is such a note, and 422 if it is empty: the table says so.
async fn add(
    Session(tx): Session,
    Json(new): Json<NewNote>,
) -> Result<(StatusCode, Json<Note>), Failure> {
    Ok((StatusCode::CREATED, Json(add_note(&tx, new.text).await?)))
}

async fn remove(Session(tx): Session, Path(id): Path<i64>) -> Result<StatusCode, Failure> {
    let removed = remove_note(&tx, id).await?;
    Ok(if removed == 0 { StatusCode::NOT_FOUND } else { StatusCode::NO_CONTENT })
}

/// All notes, a line for each, while they are read: from the database, since a transaction ends before
/// the body of its response is sent.
async fn export(State(main): State<Database>) -> Result<Body, Failure> {
    let notes = exported_notes(&main).await?;
    Ok(Body::from_stream(notes.map_ok(|note| format!("{}\t{}\n", note.written_at, note.text))))
}

fn migrations() -> Result<Migrations> {
    Migrations::embedded(&[
        ("0001_create_notes.sql", include_str!("../migrations/0001_create_notes.sql")),
        ("0002_remember_when.sql", include_str!("../migrations/0002_remember_when.sql")),
    ])
}

/// The file beside this program's manifest, wherever it is started.
fn default_file() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "switchboard.toml"].iter().collect()
}
