//! Names of directories that were read and did not go on a page, kept for the next one.
//!
//! They count as long as their directory has not changed, so that the next page says what it would say if the
//! directory was read again.

use std::collections::VecDeque;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::List;

/// What pages did not take, of the lists that were asked for last.
#[derive(Debug, Default)]
pub(super) struct Ahead(Mutex<VecDeque<Rest>>);

/// What one page did not take.
#[derive(Debug)]
struct Rest {
    /// What the next page is asked for with.
    next: List,
    levels: Vec<Level>,
}

/// A directory that a page has not gone through to its end.
#[derive(Debug)]
pub(super) struct Level {
    pub dir: String,
    pub state: State,
    pub names: Names,
}

/// Names of a directory, in order.
#[derive(Debug)]
pub(super) struct Names {
    sorted: Vec<String>,
    /// How many of them were taken.
    taken: usize,
    /// Whether no others come after them.
    pub are_all: bool,
}

/// What changes with everything that comes into a directory and goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    device: u64,
    inode: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    /// Whether the next change will be another moment, however coarse the system's clock for files is.
    is_settled: bool,
}

impl Ahead {
    /// What the page before this one did not take.
    pub(super) fn take(&self, list: &List) -> Vec<Level> {
        let list = without_limit(list);
        let mut all = self.all();
        let at = all.iter().position(|rest| rest.next == list);
        at.and_then(|at| all.remove(at)).map_or_else(Vec::new, |rest| rest.levels)
    }

    /// Keeps what a page did not take after which `next` is asked for, as far as it can be relied on.
    pub(super) fn keep(&self, next: &List, levels: Vec<Level>) {
        let levels: Vec<_> = levels.into_iter().filter(|level| level.state.is_settled).collect();
        if levels.is_empty() {
            return;
        }
        let mut all = self.all();
        all.push_back(Rest { next: without_limit(next), levels });
        let mut names: usize = all.iter().map(Rest::names).sum();
        while names > NAMES_MAX || all.len() > LISTS_MAX {
            let Some(oldest) = all.pop_front() else { break };
            names -= oldest.names();
        }
    }

    fn all(&self) -> MutexGuard<'_, VecDeque<Rest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rest {
    fn names(&self) -> usize {
        self.levels.iter().map(|level| level.names.sorted.len()).sum()
    }
}

/// However many go on the pages, they are of the same list.
fn without_limit(list: &List) -> List {
    List { limit: 0, ..list.clone() }
}

impl Names {
    pub(super) fn new(mut names: Vec<String>, are_all: bool) -> Self {
        names.sort_unstable();
        Self { sorted: names, taken: 0, are_all }
    }

    pub(super) fn first(&self) -> Option<&str> {
        self.sorted.get(self.taken).map(String::as_str)
    }

    /// Those that come first as far as they are files, `most` at most.
    pub(super) fn files(&self, most: usize) -> &[String] {
        let left = &self.sorted[self.taken..];
        let left = &left[..left.len().min(most)];
        &left[..left.iter().take_while(|name| !name.ends_with('/')).count()]
    }

    pub(super) fn take(&mut self, count: usize) {
        self.taken += count;
    }

    /// The last of all, taken or not.
    pub(super) fn into_last(mut self) -> Option<String> {
        self.sorted.pop()
    }

    /// Those that were not taken.
    pub(super) fn rest(mut self) -> Self {
        self.sorted.drain(..self.taken);
        Self { taken: 0, ..self }
    }
}

impl State {
    /// That of a directory which is read at `now` or later.
    pub(super) fn of(stat: &Metadata, now: SystemTime) -> Self {
        let (modified, changed) =
            ((stat.mtime(), stat.mtime_nsec()), (stat.ctime(), stat.ctime_nsec()));
        let is_settled = moment(modified.max(changed)).is_some_and(|last| now >= last);
        Self { device: stat.dev(), inode: stat.ino(), modified, changed, is_settled }
    }
}

/// The moment from which on a change is told from one at `seconds` and `nanoseconds`.
fn moment((seconds, nanoseconds): (i64, i64)) -> Option<SystemTime> {
    let tick = if nanoseconds == 0 { TICK_OF_SECONDS } else { TICK };
    let since = Duration::new(u64::try_from(seconds).ok()?, u32::try_from(nanoseconds).ok()?);
    SystemTime::UNIX_EPOCH.checked_add(since + tick)
}

/// The time of files goes on in steps of a hundredth of a second and less,
const TICK: Duration = Duration::from_millis(100);
/// but of two seconds on file systems that write no parts of one.
const TICK_OF_SECONDS: Duration = Duration::from_secs(3);

/// How many names are kept at the same time, of so many lists at most.
const NAMES_MAX: usize = 64 << 10;
const LISTS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn level(names: usize, is_settled: bool) -> Level {
        let sorted = (0..names).map(|number| format!("{number:05}")).collect();
        let stat = std::fs::metadata("/").unwrap();
        let state = State { is_settled, ..State::of(&stat, SystemTime::UNIX_EPOCH) };
        Level { dir: String::new(), state, names: Names::new(sorted, true) }
    }

    fn list(token: &str) -> List {
        List {
            prefix: String::new(),
            is_flat: false,
            after: None,
            token: Some(token.to_owned()),
            limit: 10,
        }
    }

    #[test]
    fn what_is_kept_is_taken_once_and_by_the_page_that_comes_next() {
        let ahead = Ahead::default();
        ahead.keep(&list("k1"), vec![level(3, true)]);
        assert!(ahead.take(&list("k2")).is_empty());
        assert!(ahead.take(&List { is_flat: true, ..list("k1") }).is_empty());
        assert_eq!(ahead.take(&List { limit: 7, ..list("k1") }).len(), 1);
        assert!(ahead.take(&list("k1")).is_empty());
    }

    #[test]
    fn what_was_kept_first_makes_room() {
        let ahead = Ahead::default();
        for number in 0..3 {
            ahead.keep(&list(&format!("k{number}")), vec![level(NAMES_MAX / 2, true)]);
        }
        assert!(ahead.take(&list("k0")).is_empty());
        assert_eq!(ahead.take(&list("k1")).len(), 1);
        for number in 0..=LISTS_MAX {
            ahead.keep(&list(&format!("n{number}")), vec![level(1, true)]);
        }
        assert!(ahead.take(&list("n0")).is_empty());
        assert_eq!(ahead.all().len(), LISTS_MAX);
    }

    #[test]
    fn what_changed_a_moment_before_it_was_read_is_not_relied_on() {
        let after = |last, passed| {
            let read = SystemTime::UNIX_EPOCH + Duration::from_secs(9) + passed;
            moment(last).is_some_and(|moment| read >= moment)
        };
        assert!(!after((9, 1), Duration::from_millis(99)));
        assert!(after((9, 1), Duration::from_millis(101)));
        assert!(!after((9, 0), Duration::from_millis(2999)));
        assert!(after((9, 0), Duration::from_secs(3)));
        assert!(!after((-1, 0), Duration::from_secs(3)));

        let ahead = Ahead::default();
        ahead.keep(&list("k1"), vec![level(3, false)]);
        assert!(ahead.take(&list("k1")).is_empty());
    }
}
