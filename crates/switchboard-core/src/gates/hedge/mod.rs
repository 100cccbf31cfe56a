//! Starts another attempt beside one that has not answered in time.
//!
//! When to do so is in `policy`, how long answers take in `latencies`, the attempts that run side by side
//! in `race`. Which gates a hedge has to pass, and what becomes of the losers, is decided by the chain.

mod latencies;
mod policy;
mod race;
mod turning;

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::clock::nanos;

use self::latencies::Latencies;
pub use self::policy::{HedgeAfter, HedgePolicy};
pub(super) use self::race::{Finish, Hedge, Race, Rival};

/// Knows how long to wait for the answers of one line, for each of its operations.
#[derive(Debug)]
pub(super) struct Hedging {
    policy: HedgePolicy,
    /// Taken one by the other, by operations that are asked for the first time.
    learned: Box<[OnceLock<Learned>]>,
    start: Instant,
}

/// How long the answers to one operation take.
#[derive(Debug)]
struct Learned {
    operation: &'static str,
    latencies: Latencies,
}

impl Hedging {
    /// Nothing is known yet; times are counted from `start`.
    pub(super) fn new(policy: HedgePolicy, start: Instant) -> Self {
        let places = match policy.after {
            HedgeAfter::Delay(_) => 0,
            HedgeAfter::Quantile(_) => OPERATIONS_MAX,
        };
        Self { policy, learned: (0..places).map(|_| OnceLock::new()).collect(), start }
    }

    pub(super) fn policy(&self) -> HedgePolicy {
        self.policy
    }

    /// When to start another attempt beside one that begins now; `None` while that is not known.
    pub(super) fn hedge_at(&self, now: Instant, operation: &'static str) -> Option<Hedge> {
        let after = match self.policy.after {
            HedgeAfter::Delay(delay) => delay,
            HedgeAfter::Quantile(share) => {
                let nanos = self.latencies_of(operation)?.quantile(self.nanos_at(now), share)?;
                Duration::from_nanos(nanos)
            }
        };
        Some(Hedge { after, max: self.policy.max })
    }

    /// An answer came after so long.
    pub(super) fn answered_at(&self, now: Instant, operation: &'static str, took: Duration) {
        if let Some(latencies) = self.latencies_of(operation) {
            latencies.record(self.nanos_at(now), nanos(took));
        }
    }

    /// Where the durations of an operation are; those beyond the limit are not hedged.
    fn latencies_of(&self, operation: &'static str) -> Option<&Latencies> {
        let learned = || Learned { operation, latencies: Latencies::new() };
        let mut places = self.learned.iter().map(|place| place.get_or_init(learned));
        places.find(|known| known.operation == operation).map(|known| &known.latencies)
    }

    fn nanos_at(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.start))
    }
}

/// Of how many operations the durations are known, each a kilobyte: more than any subsystem reads with.
const OPERATIONS_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Clock;

    #[test]
    fn each_operation_is_known_by_itself_and_those_beyond_the_limit_are_not_hedged() {
        let now = Clock::system().now();
        let hedging = Hedging::new(HedgePolicy::default(), now);
        let names: Vec<&'static str> =
            (0..=OPERATIONS_MAX).map(|number| &*format!("operation {number}").leak()).collect();
        for (ms, name) in (1..).zip(&names) {
            for took in 0..100 {
                let took = Duration::from_millis(if took == 0 { 10_000 } else { 10 * ms });
                hedging.answered_at(now, name, took);
            }
        }
        for (ms, name) in (1..).zip(&names[..OPERATIONS_MAX]) {
            let delay = hedging.hedge_at(now, name).unwrap().after;
            let exact = Duration::from_millis(10 * ms);
            assert!(delay > exact && delay <= exact * 9 / 8, "{name}: {delay:?}");
        }
        assert!(hedging.hedge_at(now, names[OPERATIONS_MAX]).is_none());
    }
}
