//! How all instances are, asked in parallel.

use std::time::Duration;

use futures_util::future::join_all;

use super::Manager;
use super::groups::inner_first;
use crate::ambient::later;
use crate::line::Group;
use crate::{Health, Status, Subsystem};

/// How one instance is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HealthReport {
    /// The instance.
    pub instance: String,
    /// The verdict; "not checked" for an instance that nobody has used yet.
    pub health: Health,
    /// How long the driver took to answer; for a group the longest of its members.
    pub took: Duration,
}

impl<S: Subsystem> Manager<S> {
    /// Asks every instance that is built how it is, all at the same time.
    ///
    /// Each has `limit` to answer; one that hangs or panics is down and delays no other. Groups that
    /// contain an instance learn of the verdict, and are reported by what their members answered:
    /// down when all of them are, degraded when some are down or degraded.
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
        let slots = self.0.declared.lock().slots.clone();
        let (groups, others): (Vec<_>, Vec<_>) = slots.iter().partition(|slot| slot.is_group);
        let checks = others.into_iter().map(|slot| async move {
            let health = slot.health(later(begin, limit)).await;
            HealthReport {
                instance: slot.name.to_string(),
                health: health.unwrap_or_else(Health::not_checked),
                took: clock.now().saturating_duration_since(begin),
            }
        });
        let mut reports = join_all(checks).await;
        for (slot, group) in inner_first(groups) {
            let report = of_group(slot.name.as_str(), &group, &reports);
            reports.push(report);
        }
        reports.sort_by(|one, other| one.instance.cmp(&other.instance));
        reports
    }
}

/// How a group is, by the reports of its members.
fn of_group<S: Subsystem>(name: &str, group: &Group<S>, reports: &[HealthReport]) -> HealthReport {
    let is_member = |report: &&HealthReport| {
        group.members().iter().any(|member| member.instance() == report.instance)
    };
    let members: Vec<_> = reports.iter().filter(is_member).collect();
    let with_status = |status| members.iter().filter(|r| r.health.status == status).count();
    let down = with_status(Status::Down);
    let health = if members.is_empty() {
        Health::not_checked()
    } else if down == members.len() {
        Health::down("all of its members are down")
    } else if down + with_status(Status::Degraded) > 0 {
        Health::degraded(format!("{down} of its {} members are down", members.len()))
    } else if with_status(Status::NotChecked) == members.len() {
        Health::not_checked()
    } else {
        Health::up()
    };
    let took = members.iter().map(|report| report.took).max().unwrap_or_default();
    HealthReport { instance: name.to_owned(), health, took }
}
