//! The changes that are being made, each of which goes on when its client leaves.
//!
//! What a change does and who is told of it is `api`'s affair. When the board is closed, what is
//! still being built is given up at once, and everything else when its time is over.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use switchboard_core::{Error, ErrorKind, Reaper, Result, Running};
use tokio::sync::{Semaphore, watch};

/// How far the end of the console has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(crate) enum Stage {
    Serving,
    /// Nothing new is begun; what is under way has a little time left.
    Draining,
    Over,
}

/// The changes under way. Clones are the same; the jobs end with the last of them.
#[derive(Clone, Debug)]
pub(crate) struct Changes(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    reaper: Reaper,
    stage: watch::Receiver<Stage>,
    places: Arc<Semaphore>,
    jobs: Mutex<Jobs>,
}

#[derive(Debug, Default)]
struct Jobs {
    last: u64,
    running: BTreeMap<u64, Running>,
}

impl Changes {
    pub(crate) fn new(reaper: Reaper, stage: watch::Receiver<Stage>) -> Self {
        let places = Arc::new(Semaphore::new(CHANGES_MAX as usize));
        Self(Arc::new(Inner { reaper, stage, places, jobs: Mutex::default() }))
    }

    /// Runs `job` to its end, whatever becomes of who asked for it.
    pub(crate) fn start(
        &self,
        what: &'static str,
        job: impl Future<Output = ()> + Send + 'static,
    ) -> Result<()> {
        let place = self.0.places.clone().try_acquire_owned().map_err(|_| too_many())?;
        // Held until the job is in the list, so that it cannot leave before.
        let mut jobs = self.jobs();
        jobs.last += 1;
        let number = jobs.last;
        let changes = Arc::downgrade(&self.0);
        let job = async move {
            let _place = place;
            // Made here, so that a job that was never begun has nothing to take off the list.
            let _left = Left { changes, number };
            job.await;
        };
        let running = self.0.reaper.run(what, job)?;
        jobs.running.insert(number, running);
        Ok(())
    }

    /// What came of `work`; or why it was cut off, because it took longer than `limit`, or because the
    /// end of the console came to `last`.
    pub(crate) async fn bounded<T>(
        &self,
        last: Stage,
        limit: Duration,
        work: impl Future<Output = Result<T>>,
    ) -> Result<Result<T>> {
        let mut stage = self.0.stage.clone();
        tokio::select! {
            biased;
            ended = tokio::time::timeout(limit, work) => ended.map_err(|_| overran(limit)),
            Ok(_) = stage.wait_for(|stage| *stage >= last) => Err(given_up()),
        }
    }

    /// Ends when no change is under way.
    pub(crate) async fn idle(&self) {
        // An error would say that the places are gone, and so is everything that had one.
        drop(self.0.places.acquire_many(CHANGES_MAX).await);
    }

    /// Cuts off what is left.
    pub(crate) fn end(&self) {
        let running = std::mem::take(&mut self.jobs().running);
        drop(running);
    }

    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.0.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a job off the list, however it went.
struct Left {
    changes: std::sync::Weak<Inner>,
    number: u64,
}

impl Drop for Left {
    fn drop(&mut self) {
        let Some(changes) = self.changes.upgrade() else { return };
        let running = Changes(changes).jobs().running.remove(&self.number);
        drop(running);
    }
}

fn too_many() -> Error {
    Error::new(ErrorKind::Overloaded, "too many changes are under way")
        .with_context("changes_max", CHANGES_MAX)
        .not_applied()
}

fn overran(limit: Duration) -> Error {
    Error::new(ErrorKind::Timeout, "the change took too long, and was given up")
        .with_context("limit", format_args!("{limit:?}"))
        .in_doubt()
}

fn given_up() -> Error {
    Error::new(ErrorKind::Cancelled, "the board is being closed, so the change was given up")
}

/// How many changes may be under way.
const CHANGES_MAX: u32 = 256;
