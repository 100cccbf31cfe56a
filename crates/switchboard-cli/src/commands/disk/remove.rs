//! `disk rm` and `disk sweep`: some objects by their keys, all that begin with a prefix, or what nobody can see.

use std::pin::pin;

use futures_util::TryStreamExt as _;
use serde_json::json;
use switchboard::Switchboard;
use switchboard_core::{Error, ErrorKind};
use switchboard_storage::Disk;

use super::disk;
use super::summary::Summary;
use crate::arguments::{DiskRemove, DiskSweep};
use crate::failure::{Exit, Result, one_line};
use crate::session::Session;

pub(super) async fn run(
    session: &mut Session,
    board: &Switchboard,
    asked: &DiskRemove,
) -> Result<Exit> {
    refuse_everything_unless_meant(asked)?;
    let disk = disk(session, board, &asked.disk).await?;
    let prefix = asked.prefix.as_deref().unwrap_or_default();
    if !asked.recursive {
        keys(session, &disk, &asked.keys).await
    } else if asked.dry_run {
        would_go(session, &disk, prefix).await
    } else {
        beneath(session, &disk, prefix).await
    }
}

/// Removes what writers that are gone have left.
pub(super) async fn sweep(
    session: &mut Session,
    board: &Switchboard,
    asked: &DiskSweep,
) -> Result<Exit> {
    let swept = disk(session, board, &asked.disk).await?.sweep(asked.older.time).await?;
    if session.screen.is_json() {
        session.screen.write_json(&json!({ "swept": swept }))?;
    } else {
        session.screen.note(format!("{swept} swept"));
    }
    Ok(Exit::Fine)
}

fn refuse_everything_unless_meant(asked: &DiskRemove) -> Result<()> {
    let is_everything = asked.prefix.as_deref().is_none_or(str::is_empty);
    if !asked.recursive || !is_everything || asked.all {
        return Ok(());
    }
    let refusal =
        Error::new(ErrorKind::InvalidInput, "without a prefix that is everything there is");
    Err(refusal.with_hint("`--all` instead of `--prefix` says that it is meant").into())
}

async fn keys(session: &mut Session, disk: &Disk, keys: &[String]) -> Result<Exit> {
    let mut summary = Summary::default();
    let answers = disk.delete_many(keys).await?;
    for (key, answer) in keys.iter().zip(answers) {
        match answer {
            Ok(true) => summary.deleted += 1,
            Ok(false) => session.screen.note(format!("note: nothing is under {}", one_line(key))),
            // Alone it is what the command ends with.
            Err(error) if keys.len() == 1 => return Err(error.into()),
            Err(error) => summary.fail(session, &error.into()).await,
        }
    }
    summary.told(session)
}

async fn would_go(session: &mut Session, disk: &Disk, prefix: &str) -> Result<Exit> {
    let mut summary = Summary { is_dry_run: true, ..Summary::default() };
    let mut pages = pin!(disk.list(prefix).pages());
    while let Some(page) = pages.try_next().await? {
        summary.skipped += page.skipped;
        for entry in page.entries {
            summary.deleted += 1;
            summary.bytes += entry.size;
            if !session.screen.is_json() {
                session.screen.write_line(format!("delete  {}", one_line(&entry.key)))?;
            }
        }
    }
    summary.told(session)
}

async fn beneath(session: &mut Session, disk: &Disk, prefix: &str) -> Result<Exit> {
    let delete = disk.delete_all(prefix);
    let delete = if prefix.is_empty() { delete.everything() } else { delete };
    let deleted = delete.await?;
    let mut summary = Summary {
        deleted: deleted.objects,
        bytes: deleted.bytes,
        skipped: deleted.skipped,
        ..Summary::default()
    };
    for error in deleted.failed.into_iter().map(|(_, error)| error).chain(deleted.stopped) {
        summary.fail(session, &error.into()).await;
    }
    summary.told(session)
}
