//! What a list says of objects: looked up one by one, and by several threads where there are many.
//!
//! Each object is opened for what is said of it, which costs more than all else of a list.

use std::io;
use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, TryLockError};
use std::thread;

use switchboard_core::Result;

use super::errors::{classify, is_link, is_missing};
use super::folder::Folder;
use crate::Entry;

/// Threads that may help a list, one list of a folder at a time.
pub(super) struct Helpers {
    in_use: Mutex<()>,
    count: usize,
}

/// Objects beside each other, and the number of the first of them.
type Few = (usize, Vec<Entry>);

impl Helpers {
    /// As many as there are processors beside that of whoever lists, up to a few.
    pub(super) fn new() -> Self {
        let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self { in_use: Mutex::new(()), count: (processors - 1).min(HELPERS_MAX) }
    }

    /// What comes of `work`, which several do at the same time where there is so much of it.
    fn help<T: Send>(
        &self,
        much: usize,
        work: impl Fn() -> Result<Vec<T>> + Sync,
    ) -> Result<Vec<T>> {
        let in_use = self.in_use.try_lock();
        let is_in_use = matches!(in_use, Err(TryLockError::WouldBlock));
        let count = if is_in_use { 0 } else { self.count.min(much / WORTH_A_HELPER) };
        thread::scope(|scope| {
            // Where the system has no thread to give, fewer do the same.
            let start = |_| thread::Builder::new().spawn_scoped(scope, &work).ok();
            let helpers: Vec<_> = (0..count).map_while(start).collect();
            let mut all = work()?;
            for helper in helpers {
                all.extend(helper.join().unwrap_or_else(|panic| resume_unwind(panic))?);
            }
            Ok(all)
        })
    }
}

impl Folder {
    /// What a list says of the objects of those names in `dir`, in their order, without those that have gone
    /// meanwhile.
    pub(super) fn entries(&self, dir: &str, names: &[String]) -> Result<Vec<Entry>> {
        let next = AtomicUsize::new(0);
        let mut some = self.helpers.help(names.len(), || self.some_entries(dir, names, &next))?;
        some.sort_unstable_by_key(|(first, _)| *first);
        Ok(some.into_iter().flat_map(|(_, entries)| entries).collect())
    }

    /// Those that nobody else has begun with, few at a time, each with the number of the first of them.
    fn some_entries(&self, dir: &str, names: &[String], next: &AtomicUsize) -> Result<Vec<Few>> {
        let mut all = Vec::new();
        loop {
            let first = next.fetch_add(AT_ONCE, Ordering::Relaxed);
            let Some(left) = names.get(first..).filter(|left| !left.is_empty()) else {
                return Ok(all);
            };
            let few = left.iter().take(AT_ONCE);
            let entries = few.filter_map(|name| self.entry(format!("{dir}{name}")).transpose());
            all.push((first, entries.collect::<Result<_>>()?));
        }
    }

    /// What a list says of the object under `key`; `None` if it has gone meanwhile.
    pub(super) fn entry(&self, key: String) -> Result<Option<Entry>> {
        let looked = self.root.file(&key).and_then(|file| self.look(&file));
        let meta = match looked.map(|found| found.map(|found| found.meta)) {
            Err(error) if is_missing(&error) || is_link(&error) => None,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                self.look_from_outside(&key).map_err(classify)?
            }
            meta => meta.map_err(classify)?,
        };
        Ok(meta.map(|meta| Entry::new(key, meta.size, meta.modified, meta.version)))
    }
}

/// How many objects are begun with at once.
const AT_ONCE: usize = 32;

/// For how many objects one more thread is worth starting.
const WORTH_A_HELPER: usize = 128;

/// What more could do, others do on the same machine.
const HELPERS_MAX: usize = 3;
