//! `disk sync`: makes one side like the other.
//!
//! The names of all that is on both sides are in memory; the bytes of eight objects at most are on their way.

use std::pin::pin;

use futures_util::{StreamExt as _, stream};
use switchboard::Switchboard;
use switchboard_core::{Error, ErrorKind};

use super::carry::{AT_ONCE, Way, refuse_overlap};
use super::side::{Item, Items, Side, make_room, path_of};
use super::summary::Summary;
use super::{disk, disks, note_what_ends};
use crate::arguments::{self, DiskSync, OnDisk};
use crate::failure::{Exit, Result, one_line};
use crate::progress::Bar;
use crate::session::Session;

pub(super) async fn run(
    session: &mut Session,
    board: &Switchboard,
    asked: &DiskSync,
) -> Result<Exit> {
    let sides = sides(session, board, asked).await?;
    if let Side::Disk { disk, .. } = &sides.to {
        note_what_ends(session, disk).await?;
    }
    let Items { items: here, skipped } = sides.from.items().await?;
    let mut there = items_there(&sides.to).await?.items;
    if asked.delete && here.is_empty() && !there.is_empty() {
        let refusal =
            Error::new(ErrorKind::InvalidInput, "nothing is here, so everything would go there");
        return Err(refusal.with_hint("`disk rm --recursive` removes what is meant to go").into());
    }
    if here.is_empty() {
        refuse_a_folder_that_is_not_there(&asked.from, &sides.from).await?;
    }
    let mut summary = Summary { skipped, is_dry_run: asked.dry_run, ..Summary::default() };
    let pairs = here.into_iter().map(|(key, item)| {
        let old = there.remove(&key);
        (key, item, old)
    });
    let pairs: Vec<_> = pairs.collect();
    copy(session, &sides, pairs, &mut summary).await?;
    if asked.delete && (summary.failed == 0 || asked.ignore_errors) {
        delete(session, &sides.to, there.into_iter().collect(), &mut summary).await?;
    } else if asked.delete && !there.is_empty() {
        summary.kept = there.len() as u64;
        let note = "note: nothing is deleted, for not all could be copied; `--ignore-errors` does";
        session.screen.note(note);
    }
    summary.told(session)
}

/// A folder on a disk is there if something is in it. A disk may have nothing on it.
async fn refuse_a_folder_that_is_not_there(asked: &arguments::Side, from: &Side) -> Result<()> {
    let (arguments::Side::Disk(place), Side::Disk { disk, prefix }) = (asked, from) else {
        return Ok(());
    };
    if prefix.is_empty() {
        return Ok(());
    }
    let nothing = Error::new(ErrorKind::NotFound, "nothing is under keys that begin so")
        .with_context("prefix", prefix.escape_debug());
    let is_object = !place.key.ends_with('/') && disk.exists(&place.key).await?;
    Err(if is_object {
        nothing.with_hint("it is one object: `disk cp` copies it")
    } else {
        nothing
    }
    .into())
}

/// What is copied, and where it goes.
struct Sides {
    from: Side,
    to: Side,
    /// Whether objects are read whose checksum nobody knows.
    may_read: bool,
}

async fn sides(session: &mut Session, board: &Switchboard, asked: &DiskSync) -> Result<Sides> {
    use arguments::Side::{Disk, Folder};
    let may_read = asked.checksum;
    let on = |disk, place: &OnDisk| Side::Disk { disk, prefix: place.prefix() };
    match (&asked.from, &asked.to) {
        (Disk(from), Disk(to)) => {
            let [one, other] = disks(session, board, [&from.disk, &to.disk]).await?;
            if one.line().instance() == other.line().instance() {
                refuse_overlap(&from.prefix(), &to.prefix())?;
            }
            Ok(Sides { from: on(one, from), to: on(other, to), may_read })
        }
        (Disk(from), Folder(to)) => {
            let disk = disk(session, board, &from.disk).await?;
            Ok(Sides { from: on(disk, from), to: Side::Folder(to.clone()), may_read })
        }
        (Folder(from), Disk(to)) => {
            let disk = disk(session, board, &to.disk).await?;
            Ok(Sides { from: Side::Folder(from.clone()), to: on(disk, to), may_read })
        }
        (Folder(_), Folder(_)) => {
            let refusal = Error::new(ErrorKind::InvalidInput, "neither of the two is a disk");
            Err(refusal.with_hint("write one as DISK:FOLDER/, like main:photos/").into())
        }
    }
}

/// What is there already: nothing in a folder that is still to be made.
async fn items_there(to: &Side) -> Result<Items> {
    match to {
        Side::Folder(root) if !root.exists() => Ok(Items::default()),
        to => to.items().await,
    }
}

/// A key, what is here, and what is there if anything.
type Pair = (String, Item, Option<Item>);

async fn copy(
    session: &mut Session,
    sides: &Sides,
    pairs: Vec<Pair>,
    summary: &mut Summary,
) -> Result<()> {
    let is_dry_run = summary.is_dry_run;
    let copied = stream::iter(pairs).map(|(key, item, old)| async move {
        let copied = sides.bring(&key, item, old, is_dry_run).await;
        (key, item, copied)
    });
    let mut copied = pin!(copied.buffered(AT_ONCE));
    let mut bar = Bar::on(&session.screen, &session.clock);
    while let Some((key, item, is_copied)) = copied.next().await {
        match is_copied {
            Ok(false) => summary.unchanged += 1,
            Ok(true) => {
                summary.copied += 1;
                summary.bytes += item.size;
                tell_plan(session, is_dry_run, "copy", &key)?;
            }
            Err(failure) => summary.fail(session, &failure).await,
        }
        bar.count(|| summary.text());
    }
    Ok(())
}

async fn delete(
    session: &mut Session,
    to: &Side,
    left: Vec<(String, Item)>,
    summary: &mut Summary,
) -> Result<()> {
    let is_dry_run = summary.is_dry_run;
    let deleted = stream::iter(left).map(|(key, _)| async move {
        let deleted = if is_dry_run { Ok(()) } else { to.delete(&key).await };
        (key, deleted)
    });
    let mut deleted = pin!(deleted.buffered(AT_ONCE));
    while let Some((key, is_deleted)) = deleted.next().await {
        match is_deleted {
            Ok(()) => {
                summary.deleted += 1;
                tell_plan(session, is_dry_run, "delete", &key)?;
            }
            Err(failure) => summary.fail(session, &failure).await,
        }
    }
    Ok(())
}

/// Says what would be done, for people.
fn tell_plan(session: &mut Session, is_dry_run: bool, what: &str, key: &str) -> Result<()> {
    if !is_dry_run || session.screen.is_json() {
        return Ok(());
    }
    session.screen.write_line(format!("{what:<6}  {}", one_line(&key)))
}

impl Sides {
    /// Copies one object if it is missing or differs; whether it did.
    async fn bring(
        &self,
        key: &str,
        item: Item,
        old: Option<Item>,
        is_dry_run: bool,
    ) -> Result<bool> {
        if let Some(old) = old
            && !self.differs(key, item, old).await?
        {
            return Ok(false);
        }
        if !is_dry_run {
            self.copy(key).await?;
        }
        Ok(true)
    }

    async fn differs(&self, key: &str, item: Item, old: Item) -> Result<bool> {
        if item.size != old.size {
            return Ok(true);
        }
        let is_newer = item.modified > old.modified;
        // A disk knows it at once, and a file has to be read for it.
        let (first, second) = match &self.from {
            Side::Disk { .. } => (&self.from, &self.to),
            Side::Folder(_) => (&self.to, &self.from),
        };
        let Some(one) = first.sum(key, self.may_read).await? else { return Ok(is_newer) };
        let Some(other) = second.sum(key, self.may_read).await? else { return Ok(is_newer) };
        Ok(one != other)
    }

    async fn copy(&self, key: &str) -> Result<()> {
        match (&self.from, &self.to) {
            (Side::Disk { disk, prefix }, Side::Disk { disk: other, prefix: target }) => {
                let (from, to) = (disk.clone(), other.clone());
                let way = Way { from, to, is_move: false, is_only_new: false };
                way.carry(&format!("{prefix}{key}"), &format!("{target}{key}"), drop).await?;
            }
            (Side::Disk { disk, prefix }, Side::Folder(root)) => {
                let path = make_room(root, key).await?;
                disk.get_file(&format!("{prefix}{key}"), &path).await?;
            }
            (Side::Folder(root), Side::Disk { disk, prefix }) => {
                disk.put_file(&format!("{prefix}{key}"), &path_of(root, key)?).await?;
            }
            (Side::Folder(_), Side::Folder(_)) => {}
        }
        Ok(())
    }
}
