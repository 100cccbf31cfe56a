//! How all instances are, asked in parallel, and how they were when somebody last asked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::Manager;
use super::groups::inner_first;
use crate::ambient::later;
use crate::line::{Checked, Group, Slot};
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
    /// How long ago that was; for a group the longest of its members. `None` where nobody has looked
    /// at the driver that serves now.
    pub age: Option<Duration>,
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
        let until = later(self.0.environment.clock().now(), limit);
        let slots = self.0.declared.lock().slots.clone();
        let asked = slots
            .iter()
            .map(|slot| async move { if slot.is_group { None } else { slot.health(until).await } });
        let found = join_all(asked).await;
        self.reports(slots.iter().zip(found))
    }

    /// How all instances were when they were last checked, by [`health`](Self::health) or by a
    /// [watch](Self::watch_health). Nobody is asked, so it is there at once.
    ///
    /// ```
    /// # mod counters {
    /// #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/counters/mod.rs"));
    /// # }
    /// # use counters::{fixed, manager};
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> switchboard_core::Result<()> {
    /// let counters = manager()?;
    /// counters.initialise("visits", &fixed(7)).await?;
    /// assert_eq!(counters.last_health()[0].age, None);
    ///
    /// counters.health(Duration::from_secs(1)).await;
    /// tokio::time::advance(Duration::from_secs(5)).await;
    /// assert_eq!(counters.last_health()[0].age, Some(Duration::from_secs(5)));
    /// # Ok(()) }
    /// ```
    pub fn last_health(&self) -> Vec<HealthReport> {
        let slots = self.0.declared.lock().slots.clone();
        self.reports(slots.iter().map(|slot| (slot, slot.checked())))
    }

    /// The reports of what was found of all slots, sorted by name.
    fn reports<'s>(
        &self,
        found: impl Iterator<Item = (&'s Arc<Slot<S>>, Option<Checked>)>,
    ) -> Vec<HealthReport> {
        let now = self.0.environment.clock().now();
        let (mut reports, mut groups) = (BTreeMap::new(), Vec::new());
        for (slot, found) in found {
            if slot.is_group {
                groups.push(slot);
            } else {
                let name = slot.name.as_str();
                reports.insert(name, of_instance(name, found, now));
            }
        }
        for (slot, group) in inner_first(groups) {
            let report = of_group(slot.name.as_str(), &group, &reports);
            reports.insert(slot.name.as_str(), report);
        }
        reports.into_values().collect()
    }

    /// The names of the instances that are built and were not down when they were last checked,
    /// sorted; a group is one of them when a member is. Nobody is asked.
    pub fn available(&self) -> Vec<String> {
        let slots = self.0.slots.load();
        let available = slots.sorted().into_iter().filter(|(_, slot)| slot.is_available());
        available.map(|(name, _)| name.to_owned()).collect()
    }
}

fn of_instance(name: &str, found: Option<Checked>, now: Instant) -> HealthReport {
    let instance = name.to_owned();
    let Some(Checked { health, took, at, .. }) = found else {
        let (health, took) = (Health::not_checked(), Duration::ZERO);
        return HealthReport { instance, health, took, age: None };
    };
    HealthReport { instance, health, took, age: Some(now.saturating_duration_since(at)) }
}

/// How a group is, by the reports of its members.
fn of_group<S: Subsystem>(
    name: &str,
    group: &Group<S>,
    reports: &BTreeMap<&str, HealthReport>,
) -> HealthReport {
    let members = group.members().iter();
    let members: Vec<_> = members.filter_map(|member| reports.get(member.instance())).collect();
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
    let age = members.iter().filter_map(|report| report.age).max();
    HealthReport { instance: name.to_owned(), health, took, age }
}
