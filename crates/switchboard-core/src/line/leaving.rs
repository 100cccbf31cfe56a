//! The drivers of an instance that are on their way out.
//!
//! A driver that cannot live twice is built only after those of its type have gone.

use std::any::TypeId;
use std::sync::Arc;

use crate::reaper::Job;
use crate::sync::Mutex;

/// The closing of each driver that no longer serves, or never did. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Leaving(Arc<Mutex<Vec<(TypeId, Job)>>>);

impl Leaving {
    /// A driver of this type is being closed.
    pub(super) fn add(&self, driver_type: TypeId, job: Job) {
        let mut leaving = self.0.lock();
        leaving.retain(|(_, job)| !job.has_ended());
        leaving.push((driver_type, job));
    }

    /// Ends when every driver of this type has been closed, or given up.
    pub(super) async fn gone(&self, driver_type: TypeId) {
        let of_type = |(other, job): &(TypeId, Job)| (*other == driver_type).then(|| job.clone());
        let jobs: Vec<_> = self.0.lock().iter().filter_map(of_type).collect();
        for job in jobs {
            // How it ended is told to who let it go.
            job.ended().await.ok();
        }
    }
}
