//! What real calls say of the instances, between two checks.
//!
//! The lines count their calls anyway. One job reads the counts of all of them every so often and
//! keeps what was added since, so that a call costs what it cost before.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use switchboard_core::{Class, Clock, Health, HealthReport, InstanceInfo, OpFigures};

use super::pause::until_next;
use crate::board::Core;
use crate::wired::Wired;

/// What was last read of all instances: for each manager of the board, by name.
#[derive(Debug, Default)]
pub(super) struct Samples(Vec<HashMap<String, Sample>>);

/// What was last read of one instance.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    generation: u64,
    counts: Counts,
    /// What was added in the last interval; unknown if the driver was another one at its beginning.
    traffic: Option<Traffic>,
    /// Since when something serves that nobody has checked.
    unchecked_since: Option<Instant>,
}

/// What is read of one instance at one moment.
#[derive(Clone, Copy, Debug)]
struct Reading {
    generation: u64,
    counts: Counts,
    is_unchecked: bool,
    at: Instant,
    /// The time since the last reading.
    within: Duration,
}

/// How calls ended, as far as that says something of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    succeeded: u64,
    answers: u64,
    outages: u64,
}

/// The calls that ended within an interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Traffic {
    counts: Counts,
    within: Duration,
}

/// Reads the figures of all instances about as often as they are checked, until the board is gone.
pub(super) async fn sample(core: Weak<Core>, clock: Clock) {
    let mut last = clock.now();
    loop {
        until_next(&core, &clock, last).await;
        let Some(core) = core.upgrade() else { return };
        let now = clock.now();
        let samples = core.looking.samples().next(&core.wired, now, now - last);
        core.looking.keep(samples);
        last = now;
    }
}

impl Samples {
    pub(super) fn of(&self, manager: usize, instance: &str) -> Option<&Sample> {
        self.0.get(manager)?.get(instance)
    }

    /// What is read now, `within` after the last time; instances that are gone are forgotten.
    pub(super) fn next(&self, wired: &[Arc<dyn Wired>], at: Instant, within: Duration) -> Self {
        let read = wired.iter().enumerate().map(|(position, manager)| {
            let reports = manager.last_health();
            let samples = manager.instances().into_iter().filter_map(|info| {
                let reading = Reading {
                    generation: info.generation,
                    counts: Counts::of(&manager.figures(&info.name).ok()?),
                    is_unchecked: is_unchecked(&reports, &info),
                    at,
                    within,
                };
                let sample = reading.after(self.of(position, &info.name));
                Some((info.name, sample))
            });
            samples.collect()
        });
        Self(read.collect())
    }
}

/// Whether it could be checked and was not. Groups learn from their members.
fn is_unchecked(reports: &[HealthReport], info: &InstanceInfo) -> bool {
    let is_checked = |report: &HealthReport| report.instance == info.name && report.age.is_some();
    info.is_ready && info.selector.is_none() && !reports.iter().any(is_checked)
}

impl Reading {
    fn after(self, before: Option<&Sample>) -> Sample {
        let Self { generation, counts, is_unchecked, at, within } = self;
        // An instance of that name that was removed and declared again begins with nothing.
        let before = before.filter(|before| before.counts.is_part_of(counts));
        let known = before.map(|before| before.counts).unwrap_or_default();
        // Calls that were refused before the first driver came are no other driver's.
        let is_same = before.is_none_or(|before| [0, generation].contains(&before.generation));
        let since = before.filter(|_| is_same).and_then(|before| before.unchecked_since);
        Sample {
            generation,
            counts,
            traffic: is_same.then_some(Traffic { counts: counts.since(known), within }),
            unchecked_since: is_unchecked.then(|| since.unwrap_or(at)),
        }
    }
}

impl Sample {
    /// What the calls of the last interval say of the driver of that generation, if they say
    /// anything.
    pub(super) fn verdict(&self, generation: u64) -> Option<Health> {
        self.traffic.filter(|_| self.generation == generation)?.verdict()
    }

    /// How long it has been seen that something serves which nobody has checked.
    pub(super) fn unchecked_for(&self, now: Instant) -> Option<Duration> {
        self.unchecked_since.map(|since| now.saturating_duration_since(since))
    }
}

impl Counts {
    fn of(figures: &[OpFigures]) -> Self {
        let mut counts = Self::default();
        for operation in figures {
            counts.succeeded += operation.succeeded;
            for (kind, count) in &operation.failed {
                match kind.class() {
                    Class::Answer => counts.answers += count,
                    Class::Outage => counts.outages += count,
                    // A caller that left and a program that is wrong say nothing of the service.
                    _ => {}
                }
            }
        }
        counts
    }

    fn is_part_of(self, later: Self) -> bool {
        self.succeeded <= later.succeeded
            && self.answers <= later.answers
            && self.outages <= later.outages
    }

    fn since(self, before: Self) -> Self {
        Self {
            succeeded: self.succeeded - before.succeeded,
            answers: self.answers - before.answers,
            outages: self.outages - before.outages,
        }
    }

    fn ended(self) -> u64 {
        self.succeeded + self.answers + self.outages
    }

    fn are_mostly_outages(self) -> bool {
        self.outages > 0 && self.outages >= self.ended() - self.outages
    }
}

impl Traffic {
    fn verdict(self) -> Option<Health> {
        let Self { counts, within } = self;
        let (outages, ended) = (counts.outages, counts.ended());
        if counts.are_mostly_outages() {
            return (ended >= CALLS_MIN).then(|| {
                let within = within.as_secs_f64();
                Health::degraded(format!("{outages} of {ended} calls in {within:.1}s were outages"))
            });
        }
        (counts.succeeded > 0).then(|| {
            let mut health = Health::up();
            health.reason = Some("calls succeed".to_owned());
            health
        })
    }
}

/// How many calls have to end in an interval before their failures mean something.
const CALLS_MIN: u64 = 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reading(generation: u64, counts: Counts) -> Reading {
        let at = Clock::system().now();
        Reading { generation, counts, is_unchecked: false, at, within: Duration::from_secs(10) }
    }

    fn counts(succeeded: u64, answers: u64, outages: u64) -> Counts {
        Counts { succeeded, answers, outages }
    }

    fn plus(one: Counts, other: Counts) -> Counts {
        let Counts { succeeded, answers, outages } = one;
        counts(succeeded + other.succeeded, answers + other.answers, outages + other.outages)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_call_belongs_to_one_interval(
            added in proptest::collection::vec((0_u64..9, 0_u64..9, 0_u64..9), 1..20),
        ) {
            let (mut all, mut told) = (Counts::default(), Counts::default());
            let mut before = None;
            for (succeeded, answers, outages) in added {
                all = plus(all, counts(succeeded, answers, outages));
                let sample = reading(1, all).after(before.as_ref());
                told = plus(told, sample.traffic.unwrap().counts);
                before = Some(sample);
            }
            prop_assert_eq!(told, all);
        }

        #[test]
        fn any_two_readings_of_one_name_may_follow_each_other(
            one in any::<[u32; 4]>(), other in any::<[u32; 4]>(),
        ) {
            let [one, other] = [one, other].map(|[generation, succeeded, answers, outages]| {
                let counts = counts(succeeded.into(), answers.into(), outages.into());
                reading((generation % 3).into(), counts)
            });
            let sample = other.after(Some(&one.after(None)));
            prop_assert!(sample.verdict(other.generation + 1).is_none());
            let most = other.counts.ended();
            prop_assert!(sample.traffic.is_none_or(|traffic| traffic.counts.ended() <= most));
        }
    }

    #[test]
    fn an_instance_that_is_declared_anew_begins_with_nothing() {
        let before = reading(3, counts(100, 0, 0)).after(None);
        let sample = reading(1, counts(2, 0, 20)).after(Some(&before));
        assert_eq!(sample.traffic.unwrap().counts, counts(2, 0, 20));
    }

    #[test]
    fn it_is_remembered_since_when_one_driver_was_not_checked() {
        let begin = Clock::system().now();
        let after = |seconds, generation| Reading {
            is_unchecked: true,
            at: begin + Duration::from_secs(seconds),
            ..reading(generation, Counts::default())
        };
        let sample = after(10, 1).after(Some(&after(0, 1).after(None)));
        let now = begin + Duration::from_secs(15);
        assert_eq!(sample.unchecked_for(now), Some(Duration::from_secs(15)));
        let other = after(10, 2).after(Some(&sample));
        assert_eq!(other.unchecked_for(now), Some(Duration::from_secs(5)));
        let checked = reading(2, Counts::default()).after(Some(&other));
        assert_eq!(checked.unchecked_for(now), None);
    }
}
