//! `db`: databases, by hand.
//!
//! Statements run over a connection of the command's own, as the configuration describes the database:
//! a running board hands its connections and its passwords to nobody outside. It is asked who has its
//! connections, and whether its database is another one by now, which is told.

mod ask;
mod configured;
mod lint;
mod migrations;
mod pools;
mod query;
mod shell;

use switchboard::Switchboard;
use switchboard_core::{Error, ErrorKind, Origin};
use switchboard_database::{Database, Dialect};

use super::{beside, closed_after};
use crate::arguments::Db;
use crate::desk::database_name;
use crate::failure::{Exit, Result};
use crate::session::Session;
use crate::stops::Stops;

pub(super) async fn run(session: &mut Session, db: Db) -> Result<Exit> {
    match db {
        Db::Query(query) => query::run(session, query).await,
        Db::Shell(shell) => shell::run(session, &shell).await,
        Db::Migrations(asked) => migrations::run(session, asked).await,
        Db::Pools { database } => pools::run(session, database.as_deref()).await,
    }
}

/// Has `ask` done with a database of a board of the command's own, until it ends or is stopped;
/// without a name with the default one.
async fn with_database<T>(
    session: &mut Session,
    name: Option<&str>,
    ask: impl AsyncFnOnce(&mut Session, Database) -> Result<T>,
) -> Result<T> {
    with_database_to_end(session, name, async |session, database| {
        Stops::listen()?.unless(Box::pin(ask(session, database))).await
    })
    .await
}

/// The same for what sees to being stopped itself.
async fn with_database_to_end<T>(
    session: &mut Session,
    name: Option<&str>,
    ask: impl AsyncFnOnce(&mut Session, Database) -> Result<T>,
) -> Result<T> {
    with_board(session, name, async |session, board, database| {
        note_defaults(session, board);
        let instance = format!("database.{}", database.line().instance());
        beside::note_difference(session, board, &instance).await;
        ask(session, database).await
    })
    .await
}

/// Has `look` done with a board of the command's own, and the database of it that is meant, which nobody
/// has connected to.
async fn with_board<T>(
    session: &mut Session,
    name: Option<&str>,
    look: impl AsyncFnOnce(&mut Session, &Switchboard, Database) -> Result<T>,
) -> Result<T> {
    let board = session.configured()?.idle().build().await?;
    let database = match name {
        Some(name) => board.database(database_name(name)),
        None => board.default_database(),
    };
    let answered = match database {
        Ok(database) => look(session, &board, database).await,
        Err(error) => Err(error.into()),
    };
    closed_after(board, answered).await
}

/// Nobody should put data into a file that they have not heard of.
fn note_defaults(session: &Session, board: &Switchboard) {
    let configuration = board.configuration();
    let mut own = configuration.iter().filter(|setting| setting.path.starts_with("database."));
    if own.all(|setting| setting.origin == Origin::Default.to_string()) {
        let file = session.home.folder().join("main.db");
        session
            .screen
            .note(format!("note: no database is configured here, this is {}", file.display()));
    }
}

/// How the SQL of a database is written that has been connected to.
fn dialect_of(database: &Database) -> Result<&'static Dialect> {
    let groups = || {
        Error::new(ErrorKind::Unsupported, "a group of databases has no SQL of its own")
            .with_hint("name one of its members")
    };
    Ok(database.dialect().ok_or_else(groups)?)
}
