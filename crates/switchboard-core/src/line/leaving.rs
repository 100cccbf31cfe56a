//! The drivers of an instance that are on their way out.
//!
//! A driver that cannot live twice is built only after those of its type have gone, and an instance
//! is closed only when all of them have.

use std::any::TypeId;
use std::future::pending;
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::select;
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
    /// Until when drivers may drain at the longest, once the instance is being closed.
    hurry: watch::Sender<Option<Instant>>,
}

impl Leaving {
    /// A driver of this type is being closed.
    pub(super) fn add(&self, driver_type: TypeId, job: Job) {
        let mut jobs = self.0.jobs.lock();
        jobs.retain(|(_, job)| !job.has_ended());
        jobs.push((driver_type, job));
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

    /// Ends when every driver of this type has been closed, or given up.
    pub(super) async fn gone(&self, driver_type: TypeId) {
        let of_type = |(other, job): &(TypeId, Job)| (*other == driver_type).then(|| job.clone());
        let jobs: Vec<_> = self.0.jobs.lock().iter().filter_map(of_type).collect();
        for job in jobs {
            // How it ended is told to who let it go.
            job.ended().await.ok();
        }
    }
}
