//! `disk`: objects, by hand.
//!
//! They are reached over a disk of the command's own, as the configuration describes it: a running board
//! hands its keys to nobody outside. It is asked whether its disk is another one by now, which is told.

mod again;
mod begun;
mod carry;
mod look;
mod remove;
mod side;
mod summary;
mod sync;
mod transfer;

use switchboard::Switchboard;
use switchboard_core::{Error, Origin};
use switchboard_storage::{Disk, capability};

use super::{beside, closed_after};
use crate::arguments;
use crate::desk::disk_name;
use crate::failure::{Exit, Failure, Result};
use crate::session::Session;
use crate::stops::Stops;

pub(super) async fn run(session: &mut Session, asked: arguments::Disk) -> Result<Exit> {
    let board = session.configured()?.idle().build().await?;
    note_defaults(session, &board);
    let done = Stops::listen()?.unless(Box::pin(done(session, &board, asked))).await;
    closed_after(board, done).await
}

async fn done(session: &mut Session, board: &Switchboard, asked: arguments::Disk) -> Result<Exit> {
    match asked {
        arguments::Disk::Ls(asked) => look::list(session, board, &asked).await,
        arguments::Disk::Get(asked) => transfer::get(session, board, &asked).await,
        arguments::Disk::Put(asked) => transfer::put(session, board, asked).await,
        arguments::Disk::Cp(asked) => carry::copy(session, board, &asked).await,
        arguments::Disk::Mv(asked) => carry::shift(session, board, &asked).await,
        arguments::Disk::Rm(asked) => remove::run(session, board, &asked).await,
        arguments::Disk::Stat(asked) => look::stat(session, board, &asked).await,
        arguments::Disk::Url(asked) => look::url(session, board, &asked).await,
        arguments::Disk::Sweep(asked) => remove::sweep(session, board, &asked).await,
        arguments::Disk::Sync(asked) => sync::run(session, board, &asked).await,
    }
}

/// The disk called `name`. That a running board has another one is told.
async fn disk(session: &mut Session, board: &Switchboard, name: &str) -> Result<Disk> {
    let disk = board.disk(disk_name(name)).map_err(|error| unknown(name, error))?;
    let instance = format!("storage.{}", disk.line().instance());
    beside::note_difference(session, board, &instance).await;
    Ok(disk)
}

/// Places are written with a `:`, and a disk of which a key or prefix is asked for is not.
fn unknown(name: &str, error: Error) -> Failure {
    let failure = Failure::from(error);
    match name.split_once(':') {
        Some((disk, key)) => {
            failure.with_only_hint(format!("write the disk and the key apart: `{disk} {key}`"))
        }
        None => failure,
    }
}

/// Both disks, which may be the same one.
async fn disks(
    session: &mut Session,
    board: &Switchboard,
    [one, other]: [&str; 2],
) -> Result<[Disk; 2]> {
    let first = disk(session, board, one).await?;
    let is_same = disk_name(one) == disk_name(other);
    let second = if is_same { first.clone() } else { disk(session, board, other).await? };
    Ok([first, second])
}

/// Whether what this command stores on a disk is gone when it ends.
async fn ends_with_the_command(disk: &Disk) -> Result<bool> {
    Ok(disk.line().capabilities().await?.has(capability::TRANSIENT))
}

/// Nobody should take for stored what ends with the command.
async fn note_what_ends(session: &Session, disk: &Disk) -> Result<()> {
    if ends_with_the_command(disk).await? {
        let name = disk.line().instance();
        session.screen.note(format!("note: what is on storage.{name} ends with this command"));
    }
    Ok(())
}

/// Nobody should put data into a folder that they have not heard of.
fn note_defaults(session: &Session, board: &Switchboard) {
    let configuration = board.configuration();
    let mut own = configuration.iter().filter(|setting| setting.path.starts_with("storage."));
    if own.all(|setting| setting.origin == Origin::Default.to_string()) {
        let folder = session.home.folder().join("storage").join("main");
        let note = format!("note: no storage is configured here, this is {}", folder.display());
        session.screen.note(note);
    }
}

/// Why something is on no disk when the command has ended.
const WHY_TRANSIENT: &str =
    "the command has a disk of its own, and a driver like `memory` keeps objects for one process";
