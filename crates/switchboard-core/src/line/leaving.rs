//! The drivers of an instance that are on their way out.
//!
//! A driver that cannot live twice is built only after those of its type have gone, and an instance
//! is closed only when all of them have.

use std::any::TypeId;
use std::future::pending;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, select};
use tokio::sync::watch;

use super::seat::at_latest;
use crate::reaper::Job;
use crate::sync::Mutex;

/// The closing of each driver that no longer serves, or never did. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Leaving(Arc<Inner>);

#[derive(Default)]
struct Inner {
    jobs: Mutex<Vec<(TypeId, Job)>>,
    /// What else a driver of any type has to wait for, and closing the instance does not.
    others: Mutex<Vec<Job>>,
    /// The last use of each driver that was given up although it did not close.
    given_up: Mutex<Vec<(TypeId, LastUse)>>,
    /// Until when drivers may drain at the longest, once the instance is being closed.
    hurry: watch::Sender<Option<Instant>>,
}

/// Ends when nobody uses a driver any more.
type LastUse = Shared<BoxFuture<'static, ()>>;

impl Leaving {
    /// A driver of this type is being closed.
    pub(super) fn add(&self, driver_type: TypeId, job: Job) {
        let mut jobs = self.0.jobs.lock();
        jobs.retain(|(_, job)| !job.has_ended());
        jobs.push((driver_type, job));
    }

    /// No driver is built that cannot live twice before this has ended.
    pub(super) fn wait_for(&self, job: Job) {
        let mut others = self.0.others.lock();
        others.retain(|job| !job.has_ended());
        others.push(job);
    }

    /// Whether any driver has not gone yet.
    pub(super) fn is_busy(&self) -> bool {
        self.0.jobs.lock().iter().any(|(_, job)| !job.has_ended())
            || self.0.others.lock().iter().any(|job| !job.has_ended())
            || self.0.given_up.lock().iter().any(|(_, last_use)| last_use.peek().is_none())
    }

    /// The drivers of `other` are leaving here as well.
    pub(super) fn follow(&self, other: &Self) {
        let jobs = other.0.jobs.lock().clone();
        self.0.jobs.lock().extend(jobs);
        let others = other.0.others.lock().clone();
        self.0.others.lock().extend(others);
        let given_up = other.0.given_up.lock().clone();
        self.0.given_up.lock().extend(given_up);
    }

    /// Those that are being closed now, which may drain no longer than `until`.
    pub(super) fn hurry(&self, until: Instant) -> Vec<Job> {
        self.0.hurry.send_replace(Some(until));
        let jobs = self.0.jobs.lock();
        jobs.iter().filter(|(_, job)| !job.has_ended()).map(|(_, job)| job.clone()).collect()
    }

    /// Ends when `draining` does, or at `until`, or earlier if the instance is closed meanwhile.
    pub(super) async fn drain(&self, until: Instant, draining: impl Future<Output = ()> + Unpin) {
        let hurried = async {
            let mut hurry = self.0.hurry.subscribe();
            let until = hurry.wait_for(Option::is_some).await.map(|until| *until);
            match until {
                Ok(Some(until)) => at_latest(until, pending::<()>()).await,
                _ => pending().await,
            }
        };
        at_latest(until, select(draining, Box::pin(hurried))).await;
    }

    /// A driver of this type did not close: it lives until its last use ends.
    pub(super) fn give_up(
        &self,
        driver_type: TypeId,
        last_use: impl Future<Output = ()> + Send + 'static,
    ) {
        let mut given_up = self.0.given_up.lock();
        given_up.retain(|(_, last_use)| last_use.peek().is_none());
        given_up.push((driver_type, last_use.boxed().shared()));
    }

    fn other(&self) -> Option<Job> {
        self.0.others.lock().iter().find(|job| !job.has_ended()).cloned()
    }

    /// Ends when every driver of this type has been closed, or is used by nobody any more.
    pub(super) async fn gone(&self, driver_type: TypeId) {
        while let Some(job) = self.other() {
            job.ended().await.ok();
        }
        // How closing ended is told to who let the driver go.
        for job in of_type(&self.0.jobs, driver_type) {
            job.ended().await.ok();
        }
        for last_use in of_type(&self.0.given_up, driver_type) {
            last_use.await;
        }
    }
}

fn of_type<T: Clone>(all: &Mutex<Vec<(TypeId, T)>>, driver_type: TypeId) -> Vec<T> {
    let all = all.lock();
    all.iter().filter(|(other, _)| *other == driver_type).map(|(_, one)| one.clone()).collect()
}
