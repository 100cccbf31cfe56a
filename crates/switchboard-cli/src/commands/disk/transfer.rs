//! `disk put` and `disk get`: between a disk and a file, stdin or stdout.
//!
//! However large an object is, only a few parts of it are in memory.

use std::path::Path;

use futures_util::TryStreamExt as _;
use serde_json::json;
use switchboard::Switchboard;
use switchboard_core::{Error, ErrorKind};
use switchboard_storage::{Body, Disk, Put, Stored};

use super::look::meta_json;
use super::{again, disk, note_what_ends};
use crate::arguments::{DiskGet, DiskPut};
use crate::failure::{Exit, Result};
use crate::progress::Bar;
use crate::session::Session;

pub(super) async fn put(
    session: &mut Session,
    board: &Switchboard,
    asked: DiskPut,
) -> Result<Exit> {
    let disk = disk(session, board, &asked.at.disk).await?;
    note_what_ends(session, &disk).await?;
    let stored = stored(session, &disk, &asked).await?;
    if session.screen.is_json() {
        session.screen.write_json(&json!({
            "key": asked.at.key,
            "size": stored.size,
            "version": stored.version.as_str(),
            "checksum": stored.checksum.map(|sum| sum.to_string()),
        }))?;
    }
    Ok(Exit::Fine)
}

async fn stored(session: &mut Session, disk: &Disk, asked: &DiskPut) -> Result<Stored> {
    let key = &asked.at.key;
    if asked.resume {
        refuse_to_resume_a_stream(is_stream(&asked.file))?;
        return Ok(again::put(session, disk, asked).await?);
    }
    let mut bar = Bar::on(&session.screen, &session.clock);
    let watch = |progress| bar.show(progress);
    let stored = if is_stream(&asked.file) {
        let body = Body::stream(session.input_pieces()?);
        said(disk.put(key, body), asked).progress(watch).await
    } else {
        said(disk.put_file(key, &asked.file), asked).progress(watch).await
    };
    Ok(stored?)
}

/// The same, with all that was said of the object.
pub(super) fn said<'d, How>(mut put: Put<'d, How>, asked: &DiskPut) -> Put<'d, How> {
    if let Some(kind) = &asked.content_type {
        put = put.content_type(kind);
    }
    for (name, value) in &asked.metadata {
        put = put.metadata(name, value);
    }
    if asked.if_absent { put.if_absent() } else { put }
}

pub(super) async fn get(
    session: &mut Session,
    board: &Switchboard,
    asked: &DiskGet,
) -> Result<Exit> {
    let disk = disk(session, board, &asked.at.disk).await?;
    let key = &asked.at.key;
    if is_stream(&asked.file) {
        refuse_to_resume_a_stream(asked.resume)?;
        let mut object = disk.get(key).await?;
        while let Some(piece) = object.try_next().await? {
            session.screen.write_waiting(piece).await?;
        }
        return Ok(Exit::Fine);
    }
    let mut bar = Bar::on(&session.screen, &session.clock);
    let get = disk.get_file(key, &asked.file).progress(|progress| bar.show(progress));
    let meta = if asked.resume { get.resume().await? } else { get.await? };
    if session.screen.is_json() {
        session.screen.write_json(&meta_json(key, &meta))?;
    }
    Ok(Exit::Fine)
}

fn refuse_to_resume_a_stream(is_so: bool) -> Result<()> {
    if !is_so {
        return Ok(());
    }
    Err(Error::new(ErrorKind::InvalidInput, "`--resume` is for files").into())
}

/// Whether stdin or stdout is meant, and no file.
fn is_stream(file: &Path) -> bool {
    file == Path::new("-")
}
