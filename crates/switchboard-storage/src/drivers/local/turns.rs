//! Whose turn it is to change a directory: within the process by a queue, across processes by the lock of the
//! directory's own file (`flock`), which ends with whoever holds it, however that is.
//!
//! A thread that waits for either looks at its caller all the while: a lock that others never give back holds no
//! thread longer than somebody waits for it.

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use switchboard_core::Result;

use super::errors::before;
use crate::Caller;

/// Who has its turn in this disk.
#[derive(Default)]
pub(super) struct Turns {
    taken: Mutex<BTreeSet<Inode>>,
    given_back: Condvar,
}

/// Which directory it is, by whatever path it was opened.
type Inode = (u64, u64);

/// The lock of a directory, held.
pub(super) struct Locked<'f> {
    dir: &'f File,
    // After the lock: who comes next in the process has it at once.
    _turn: Turn<'f>,
}

struct Turn<'f> {
    turns: &'f Turns,
    inode: Inode,
}

impl Turns {
    /// Waits for the lock of `dir`, as long as the caller waits.
    pub(super) fn lock<'f>(&'f self, dir: &'f File, caller: &Caller) -> Result<Locked<'f>> {
        let turn = self.turn(inode(dir).map_err(before)?, caller)?;
        let mut pause = PAUSE_FIRST;
        loop {
            match dir.try_lock() {
                Ok(()) => return Ok(Locked { dir, _turn: turn }),
                Err(TryLockError::WouldBlock) => caller.pause(pause)?,
                Err(TryLockError::Error(error)) => return Err(before(error)),
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// The locks of both, which may be the same directory. Everybody takes them in the same order.
    pub(super) fn lock_both<'f>(
        &'f self,
        one: &'f File,
        other: &'f File,
        caller: &Caller,
    ) -> Result<[Option<Locked<'f>>; 2]> {
        let order = inode(one).map_err(before)?.cmp(&inode(other).map_err(before)?);
        let (first, second) = match order {
            std::cmp::Ordering::Equal => return Ok([Some(self.lock(one, caller)?), None]),
            std::cmp::Ordering::Less => (one, other),
            std::cmp::Ordering::Greater => (other, one),
        };
        Ok([Some(self.lock(first, caller)?), Some(self.lock(second, caller)?)])
    }

    fn turn(&self, inode: Inode, caller: &Caller) -> Result<Turn<'_>> {
        let mut taken = self.taken();
        while !taken.insert(inode) {
            let waiting = self.given_back.wait_timeout(taken, PAUSE_MAX);
            taken = waiting.unwrap_or_else(PoisonError::into_inner).0;
            caller.still_waits()?;
        }
        Ok(Turn { turns: self, inode })
    }

    fn taken(&self) -> MutexGuard<'_, BTreeSet<Inode>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.taken().remove(&self.inode);
        self.turns.given_back.notify_all();
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // What is not unlocked here is when the file is closed.
        let _ = self.dir.unlock();
    }
}

fn inode(dir: &File) -> io::Result<Inode> {
    dir.metadata().map(|stat| (stat.dev(), stat.ino()))
}

/// How long a thread waits before it asks again for the lock of another process, at first and at the most.
const PAUSE_FIRST: Duration = Duration::from_micros(100);
const PAUSE_MAX: Duration = Duration::from_millis(20);
