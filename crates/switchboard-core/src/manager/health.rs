//! How all instances are, asked in parallel.

use std::time::Duration;

use futures_util::future::join_all;

use super::Manager;
use crate::ambient::later;
use crate::{Health, Subsystem};

/// How one instance is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HealthReport {
    /// The instance.
    pub instance: String,
    /// The verdict; "not checked" for an instance that nobody has used yet.
    pub health: Health,
    /// How long the driver took to answer.
    pub took: Duration,
}

impl<S: Subsystem> Manager<S> {
    /// Asks every instance that is built how it is, all at the same time.
    ///
    /// Each has `limit` to answer; one that hangs or panics is down and delays no other. Groups that
    /// contain an instance learn of the verdict; a group whose members are all down is down for the
    /// groups around it.
    ///
    /// ```
    /// # mod counters {
    /// #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/counters/mod.rs"));
    /// # }
    /// # use counters::{fixed, manager};
    /// use std::time::Duration;
    /// use switchboard_core::Status;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> switchboard_core::Result<()> {
    /// let counters = manager()?;
    /// counters.configure("visits", &fixed(7))?;
    /// let reports = counters.health(Duration::from_secs(1)).await;
    /// assert_eq!(reports[0].instance, "visits");
    /// assert_eq!(reports[0].health.status, Status::NotChecked);
    /// # Ok(()) }
    /// ```
    pub async fn health(&self, limit: Duration) -> Vec<HealthReport> {
        let clock = self.0.environment.clock();
        let begin = clock.now();
        let slots = self.0.slots.load_full();
        let checks = slots.sorted().into_iter().filter(|(_, slot)| !slot.is_group()).map(
            |(name, slot)| async move {
                let health = slot.health(later(begin, limit)).await;
                HealthReport {
                    instance: name.to_owned(),
                    health: health.unwrap_or_else(Health::not_checked),
                    took: clock.now().saturating_duration_since(begin),
                }
            },
        );
        join_all(checks).await
    }
}
