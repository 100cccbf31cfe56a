//! `disk cp` and `disk mv`: objects from one place to another, on one disk or between two.

use std::pin::pin;

use futures_util::StreamExt as _;
use switchboard::Switchboard;
use switchboard_core::{Error, ErrorKind};
use switchboard_storage::{Disk, Key, Progress, capability};

use super::summary::Summary;
use super::{WHY_TRANSIENT, disks, ends_with_the_command, note_what_ends};
use crate::arguments::{DiskCopy, OnDisk};
use crate::failure::{Exit, Failure, Result};
use crate::progress::Bar;
use crate::session::Session;

pub(super) async fn copy(
    session: &mut Session,
    board: &Switchboard,
    asked: &DiskCopy,
) -> Result<Exit> {
    run(session, board, asked, false).await
}

pub(super) async fn shift(
    session: &mut Session,
    board: &Switchboard,
    asked: &DiskCopy,
) -> Result<Exit> {
    run(session, board, asked, true).await
}

async fn run(
    session: &mut Session,
    board: &Switchboard,
    asked: &DiskCopy,
    is_move: bool,
) -> Result<Exit> {
    let names = [asked.from.disk.as_str(), asked.to.disk.as_str()];
    let [from, to] = disks(session, board, names).await?;
    let way = Way { from, to, is_move, is_only_new: asked.if_absent };
    way.refuse_to_lose().await?;
    note_what_ends(session, &way.to).await?;
    let mut summary = Summary::default();
    if asked.recursive {
        all(session, &way, asked, &mut summary).await?;
    } else {
        let mut bar = Bar::on(&session.screen, &session.clock);
        let target = target(&asked.from.key, &asked.to)?;
        let size = way.carry(&asked.from.key, &target, |progress| bar.show(progress)).await?;
        drop(bar);
        way.count(&mut summary, size);
    }
    summary.told(session)
}

/// What the object under `key` is called where it goes.
fn target(key: &str, to: &OnDisk) -> Result<String> {
    if !to.key.is_empty() && !to.key.ends_with('/') {
        return Ok(to.key.clone());
    }
    Ok(format!("{}{}", to.key, Key::parse(key)?.file_name()))
}

async fn all(session: &Session, way: &Way, asked: &DiskCopy, summary: &mut Summary) -> Result<()> {
    let (from, to) = (&asked.from.prefix(), &asked.to.prefix());
    if way.is_on_one_disk() {
        refuse_overlap(from, to)?;
    }
    let mut bar = Bar::on(&session.screen, &session.clock);
    let carried = way.from.list(from).entries().map(|entry| async move {
        let key = entry?.key;
        let target = format!("{to}{}", key.strip_prefix(from.as_str()).unwrap_or(&key));
        Ok::<_, Failure>(way.carry(&key, &target, drop).await)
    });
    let mut carried = pin!(carried.buffer_unordered(AT_ONCE));
    let mut is_there = false;
    while let Some(size) = carried.next().await {
        is_there = true;
        match size? {
            Ok(size) => way.count(summary, size),
            Err(failure) => summary.fail(session, &failure).await,
        }
        bar.count(|| summary.text());
    }
    if is_there {
        return Ok(());
    }
    let nothing = Error::new(ErrorKind::NotFound, "nothing is under keys that begin so");
    Err(nothing.with_context("prefix", from.escape_debug()).into())
}

/// What is copied would be found again, and copied again.
pub(super) fn refuse_overlap(from: &str, to: &str) -> Result<()> {
    if !from.starts_with(to) && !to.starts_with(from) {
        return Ok(());
    }
    let refusal = Error::new(ErrorKind::InvalidInput, "one of the places is within the other");
    let refusal = refusal.with_context("from", from.escape_debug());
    Err(refusal.with_context("to", to.escape_debug()).into())
}

/// From where to where objects are carried, and how.
pub(super) struct Way {
    pub(super) from: Disk,
    pub(super) to: Disk,
    pub(super) is_move: bool,
    /// Whether only what is not there yet is carried.
    pub(super) is_only_new: bool,
}

impl Way {
    pub(super) fn is_on_one_disk(&self) -> bool {
        self.from.line().instance() == self.to.line().instance()
    }

    /// What is moved must last where it goes. Whoever moves to another disk must be able to leave alone what was stored meanwhile. It is also how two
    /// names of one place are noticed.
    async fn refuse_to_lose(&self) -> Result<()> {
        if !self.is_move || self.is_on_one_disk() {
            return Ok(());
        }
        if ends_with_the_command(&self.to).await? {
            let refusal = Error::new(
                ErrorKind::Unsupported,
                "what is moved to that disk would be lost with this command",
            );
            return Err(refusal.with_hint(WHY_TRANSIENT).into());
        }
        if self.from.line().capabilities().await?.has(capability::DELETE_VERSION) {
            return Ok(());
        }
        let refusal = Error::new(
            ErrorKind::Unsupported,
            "from that disk nothing can be removed that may have become something else",
        );
        Err(refusal.with_hint("copy with `disk cp`, and then remove with `disk rm`").into())
    }

    /// Carries one object; how many bytes it has.
    pub(super) async fn carry(
        &self,
        from: &str,
        to: &str,
        watch: impl FnMut(Progress) + Send,
    ) -> Result<u64> {
        let version = if self.is_move && !self.is_on_one_disk() {
            Some(self.from.head(from).await?.version)
        } else {
            None
        };
        let carried = match (self.is_on_one_disk(), self.is_move) {
            (true, true) => self.from.rename(from, to),
            (true, false) => self.from.copy(from, to),
            (false, _) => self.from.copy_to(from, &self.to, to),
        };
        let carried = if self.is_only_new { carried.if_absent() } else { carried };
        let size = carried.progress(watch).await?.size;
        if let Some(version) = version {
            self.from.delete_only(from, &version).await?;
        }
        Ok(size)
    }

    fn count(&self, summary: &mut Summary, size: u64) {
        if self.is_move {
            summary.moved += 1;
        } else {
            summary.copied += 1;
        }
        summary.bytes += size;
    }
}

/// How many objects are on their way at the same time.
pub(super) const AT_ONCE: usize = 8;
