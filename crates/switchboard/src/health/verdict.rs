//! What is known of each instance put together, and what follows for groups, features and the board.
//!
//! Asks nobody and changes nothing.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use switchboard_core::{BreakerState, Health, HealthReport, InstanceInfo, Status};

use super::traffic::{Sample, Samples};
use super::{FeatureHealth, HealthView, InstanceHealth};
use crate::Switchboard;
use crate::wanted::{Feature, HealthConfig, Wanted};
use crate::wired::Wired;

pub(super) fn view(board: &Switchboard) -> HealthView {
    let (wanted, samples) = (board.wanted(), board.0.looking.samples());
    let terms = Terms::new(&wanted, &samples, board.0.environment.clock().now());
    let mut found = Vec::new();
    for (position, manager) in board.0.wired.iter().enumerate() {
        found.extend(terms.of_manager(position, manager.as_ref()));
    }
    let statuses: Statuses<'_> =
        found.iter().map(|found| (found.instance.as_str(), found.health.status)).collect();
    let is_down = |name: &String| statuses.of(name) == Status::Down;
    let ready = !board.0.looking.rounds.is_closed() && !terms.needed.iter().any(is_down);
    let features = wanted.features.iter().map(|feature| of_feature(feature, &statuses)).collect();
    let status = statuses.worst().as_str();
    // A stable sort: instances of one status stay in the order of their subsystems and names.
    found.sort_by_key(|found| std::cmp::Reverse(found.health.status));
    let instances = found.into_iter().map(|found| found.shown(&terms)).collect();
    HealthView { live: true, ready, status, instances, features }
}

/// What verdicts depend on beside the instances.
struct Terms<'t> {
    samples: &'t Samples,
    /// Full names.
    needed: HashSet<String>,
    required: HashSet<String>,
    now: Instant,
    /// The age beyond which a verdict is stale.
    age_max: Duration,
}

/// What is known of one instance.
struct Found {
    /// The full name.
    instance: String,
    health: Health,
    took: Duration,
    age: Option<Duration>,
    stale: bool,
}

impl<'t> Terms<'t> {
    fn new(wanted: &Wanted, samples: &'t Samples, now: Instant) -> Self {
        let required = wanted.instances.iter().filter(|instance| instance.required);
        let required: HashSet<_> = required.map(crate::wanted::Instance::full_name).collect();
        let of_features = wanted.features.iter().flat_map(|feature| &feature.needs);
        let needed = required.iter().chain(of_features).cloned().collect();
        Self { samples, needed, required, now, age_max: age_max(&wanted.health) }
    }

    /// All instances of a manager, in the order of their names.
    fn of_manager(&self, position: usize, manager: &dyn Wired) -> impl Iterator<Item = Found> {
        // In this order, so that one that is declared in between is not there without a report.
        let (instances, reports) = (manager.instances(), manager.last_health());
        let mut found = BTreeMap::new();
        let mut groups = Vec::new();
        for info in instances {
            if info.selector.is_some() {
                groups.push(info);
            } else if let Some(report) = report_of(&reports, &info.name) {
                let sample = self.samples.of(position, &info.name);
                found.insert(info.name.clone(), self.of_instance(manager, &info, report, sample));
            }
        }
        for group in inner_first(groups) {
            let sample = self.samples.of(position, &group.name);
            let of_group = of_group(manager, &group, &found, sample);
            found.insert(group.name, of_group);
        }
        found.into_values()
    }

    fn of_instance(
        &self,
        manager: &dyn Wired,
        info: &InstanceInfo,
        report: &HealthReport,
        sample: Option<&Sample>,
    ) -> Found {
        let instance = full_name(manager, info);
        let passive = if refuses_calls(manager, &info.name, self.now) {
            Some(Health::down("its breaker refuses calls"))
        } else if let Some(health) = unbuilt(manager, info) {
            Some(health)
        } else if !info.is_ready && self.required.contains(&instance) {
            // It was connected when the board started, so something is wrong.
            Some(Health::down("it is required, and no driver serves it"))
        } else {
            sample.and_then(|sample| sample.verdict(info.generation))
        };
        let health = worse(report.health.clone(), passive);
        let unseen = sample.filter(|_| info.is_ready && report.age.is_none());
        let age = report.age.or(unseen.and_then(|sample| sample.unchecked_for(self.now)));
        let stale = age.is_some_and(|age| age > self.age_max);
        Found { instance, health, took: report.took, age: report.age, stale }
    }
}

/// How old a verdict may get where checks come as they should, and a little more.
fn age_max(health: &HealthConfig) -> Duration {
    let pause_max = health.every.saturating_add(health.every / 10);
    pause_max.saturating_add(health.limit).saturating_add(SLACK)
}

fn report_of<'r>(reports: &'r [HealthReport], name: &str) -> Option<&'r HealthReport> {
    let at = reports.binary_search_by(|report| report.instance.as_str().cmp(name)).ok()?;
    reports.get(at)
}

fn full_name(manager: &dyn Wired, info: &InstanceInfo) -> String {
    format!("{}.{}", manager.subsystem(), info.name)
}

/// Whether a call would be refused now.
///
/// Not one whose open time has passed: it waits for a call to find out, and a board that is not
/// ready because of it may never get that call.
fn refuses_calls(manager: &dyn Wired, name: &str, now: Instant) -> bool {
    let gates = manager.gates(name).ok().flatten();
    gates.as_ref().and_then(|gates| gates.breaker()).is_some_and(|breaker| {
        matches!(breaker.state(), BreakerState::Open | BreakerState::ForcedOpen)
            && breaker.check_at(now).is_err()
    })
}

/// Why it does not serve, if somebody wanted it to. One that nobody has tried has no fault yet.
fn unbuilt(manager: &dyn Wired, info: &InstanceInfo) -> Option<Health> {
    let error = manager.build_error(&info.name).filter(|_| !info.is_ready)?;
    Some(Health::down(format!("it could not be built: {error}")))
}

/// What was checked, unless calls say worse, or anything at all where there was nothing to check.
fn worse(checked: Health, passive: Option<Health>) -> Health {
    match passive {
        Some(passive) if passive.status > checked.status => passive,
        Some(passive) if checked.status == Status::NotChecked => passive,
        _ => checked,
    }
}

/// Groups in an order in which members come before those that contain them.
fn inner_first(mut groups: Vec<InstanceInfo>) -> Vec<InstanceInfo> {
    let mut sorted = Vec::new();
    while !groups.is_empty() {
        let waiting: HashSet<_> = groups.iter().map(|group| group.name.clone()).collect();
        let contains =
            |group: &InstanceInfo| group.members.iter().any(|name| waiting.contains(name));
        let (outer, inner): (Vec<_>, Vec<_>) = groups.into_iter().partition(contains);
        // They are read one by one while others may change them, so a circle is not impossible.
        let is_circle = inner.is_empty();
        sorted.extend(inner);
        groups = outer;
        if is_circle {
            sorted.append(&mut groups);
        }
    }
    sorted
}

/// How a group is: by its members, with all that is known of them, and by what its own calls say.
fn of_group(
    manager: &dyn Wired,
    group: &InstanceInfo,
    found: &BTreeMap<String, Found>,
    sample: Option<&Sample>,
) -> Found {
    let members: Vec<_> = group.members.iter().filter_map(|name| found.get(name)).collect();
    let passive = sample.and_then(|sample| sample.verdict(group.generation));
    Found {
        instance: full_name(manager, group),
        health: worse(of_members(&members), passive),
        took: members.iter().map(|member| member.took).max().unwrap_or_default(),
        age: members.iter().filter_map(|member| member.age).max(),
        stale: members.iter().any(|member| member.stale),
    }
}

fn of_members(members: &[&Found]) -> Health {
    let with = |status| members.iter().filter(|member| member.health.status == status).count();
    let (all, down, degraded) = (members.len(), with(Status::Down), with(Status::Degraded));
    if with(Status::NotChecked) == all {
        Health::not_checked()
    } else if down == all {
        Health::down("all of its members are down")
    } else if down > 0 {
        Health::degraded(format!("{down} of its {all} members are down"))
    } else if degraded > 0 {
        Health::degraded(format!("{degraded} of its {all} members are degraded"))
    } else {
        Health::up()
    }
}

impl Found {
    fn shown(self, terms: &Terms<'_>) -> InstanceHealth {
        InstanceHealth {
            needed: terms.needed.contains(&self.instance),
            instance: self.instance,
            status: self.health.status.as_str(),
            reason: self.health.reason,
            took_ms: millis(self.took),
            age_ms: self.age.map(millis),
            stale: self.stale,
        }
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// How instances are, by their full names.
pub(super) struct Statuses<'f>(BTreeMap<&'f str, Status>);

impl<'f> FromIterator<(&'f str, Status)> for Statuses<'f> {
    fn from_iter<I: IntoIterator<Item = (&'f str, Status)>>(found: I) -> Self {
        Self(found.into_iter().collect())
    }
}

impl Statuses<'_> {
    /// An instance that is not there serves nobody.
    fn of(&self, instance: &str) -> Status {
        self.0.get(instance).copied().unwrap_or(Status::Down)
    }

    fn worst(&self) -> Status {
        worst(self.0.values().copied())
    }
}

/// The worst of what was found: what nobody has looked at is no finding, unless it is all there is.
fn worst(statuses: impl Iterator<Item = Status> + Clone) -> Status {
    let found = statuses.clone().filter(|status| *status != Status::NotChecked);
    found.max().or_else(|| statuses.max()).unwrap_or(Status::Up)
}

pub(super) fn of_feature(feature: &Feature, statuses: &Statuses<'_>) -> FeatureHealth {
    let of_these = |names: &[String], is_meant: &dyn Fn(Status) -> bool| -> Vec<String> {
        names.iter().filter(|name| is_meant(statuses.of(name))).cloned().collect()
    };
    let missing = of_these(&feature.needs, &|status| status == Status::Down);
    let mut impaired = of_these(&feature.needs, &|status| status == Status::Degraded);
    impaired.extend(of_these(&feature.wants, &|status| status >= Status::Degraded));
    let all = feature.needs.iter().chain(&feature.wants);
    let status = if !missing.is_empty() {
        Status::Down
    } else if !impaired.is_empty() {
        Status::Degraded
    } else {
        worst(all.map(|name| statuses.of(name)))
    };
    FeatureHealth { feature: feature.name.clone(), status: status.as_str(), missing, impaired }
}

/// What a verdict may be older than planned before it is called stale: a busy machine is no hang.
const SLACK: Duration = Duration::from_secs(1);
