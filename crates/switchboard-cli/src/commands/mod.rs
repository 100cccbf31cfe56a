//! One file for each command.

mod beside;
mod cache;
mod check;
mod completions;
mod config;
mod db;
mod disk;
mod drivers;
mod explain;
mod health;
mod plan;
mod reload;
mod swap;
mod up;

use switchboard::Switchboard;

use crate::arguments::{Command, Config};
use crate::desk::Desk;
use crate::failure::{Exit, Failure, Result};
use crate::session::Session;
use crate::stops::Stops;

/// Does what was said.
pub(crate) async fn run(session: &mut Session, command: Command) -> Result<Exit> {
    match command {
        Command::Up(up) => up::run(session, &up).await,
        Command::Check(check) => check::run(session, &check).await,
        Command::Plan => plan::run(session).await,
        Command::Drivers(drivers) => drivers::run(session, &drivers).await,
        Command::Explain(asked) => explain::run(session, &asked.instance).await,
        Command::Health(health) => health::run(session, &health).await,
        Command::Config(Config::Show) => config::show(session).await,
        Command::Swap(swap) => swap::run(session, swap).await,
        Command::Reload => reload::run(session).await,
        Command::Completions { shell } => completions::run(session, shell),
        Command::Cache(cache) => cache::run(session, cache).await,
        Command::Db(db) => db::run(session, db).await,
        Command::Disk(disk) => disk::run(session, disk).await,
    }
}

/// Closes the desk, and answers what was asked of it: its own failure comes first.
async fn closed<T>(desk: Desk, answered: Result<T>) -> Result<T> {
    let closed = desk.close().await;
    let answer = answered?;
    closed.map(|()| answer)
}

/// Closes the board of a command that may have been stopped.
async fn closed_after<T>(board: Switchboard, answered: Result<T>) -> Result<T> {
    let is_stopped = matches!(answered, Err(Failure::Stopped(_)));
    let closing = closed(Desk::Own(board), answered);
    if is_stopped {
        // Whoever wants it again does not wait for what is still to be taken back.
        return Stops::listen()?.unless(closing).await;
    }
    closing.await
}
