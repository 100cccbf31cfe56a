//! Which member of a group a call goes to.
//!
//! A selector picks one member at a time. When that one could not serve the call, it is asked
//! again with one candidate less. It never asks a service how it is: health is pushed to it, and
//! what it wants to know of calls it is told when they end.

mod candidates;
mod ejecting;
mod hash_by_key;
mod health_check;
mod key;
mod least_loaded;
mod priority;
mod round_robin;
mod turns;
mod weighted;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub use candidates::Candidates;
pub(crate) use candidates::nonzero;
pub use ejecting::{EjectPolicy, Ejecting};
pub use hash_by_key::HashByKey;
pub use health_check::HealthCheck;
pub(crate) use key::hash;
pub use least_loaded::LeastLoaded;
pub use priority::Priority;
pub use round_robin::RoundRobin;
pub use weighted::Weighted;

use crate::{Class, Environment, Error, Gate, Outcome, Source, Verdict};

/// Picks the next member for a call, and may watch how the calls go.
///
/// All of it runs on the path of calls, on many threads at once: it must be quick and wait for
/// nothing. Only [`name`](Self::name) and [`pick`](Self::pick) have to be written; members are known
/// by their position in the group.
///
/// ```
/// use switchboard_core::{Candidates, Selector};
///
/// /// The last member first.
/// #[derive(Debug)]
/// struct Backwards;
///
/// impl Selector for Backwards {
///     fn name(&self) -> &'static str {
///         "backwards"
///     }
///
///     fn pick(&self, candidates: Candidates) -> Option<usize> {
///         candidates.iter().last()
///     }
/// }
///
/// assert_eq!(Backwards.pick(Candidates::all(3)), Some(2));
/// assert_eq!(Backwards.pick(Candidates::all(3).without(2)), Some(1));
/// ```
///
/// One that watches:
///
/// ```
/// use std::sync::atomic::{AtomicUsize, Ordering};
/// use switchboard_core::{CallEnd, Candidates, Selector};
///
/// /// The member with the fewest calls under way.
/// #[derive(Default)]
/// struct LeastBusy([AtomicUsize; 8]);
///
/// impl Selector for LeastBusy {
///     fn name(&self) -> &'static str {
///         "least_busy"
///     }
///
///     fn pick(&self, candidates: Candidates) -> Option<usize> {
///         let known = candidates.preferred().iter().filter(|member| *member < self.0.len());
///         known.min_by_key(|member| self.0[*member].load(Ordering::Relaxed))
///     }
///
///     fn watches(&self) -> bool {
///         true
///     }
///
///     fn began(&self, member: usize) {
///         self.0[member].fetch_add(1, Ordering::Relaxed);
///     }
///
///     fn ended(&self, member: usize, _: &CallEnd<'_>) {
///         self.0[member].fetch_sub(1, Ordering::Relaxed);
///     }
/// }
///
/// let selector = LeastBusy::default();
/// selector.began(0);
/// assert_eq!(selector.pick(Candidates::all(2)), Some(1));
/// ```
pub trait Selector: Send + Sync + 'static {
    /// The name in configuration and figures.
    fn name(&self) -> &'static str;

    /// The member to try now, or `None` to give up. A member that is not a candidate ends the walk
    /// as `None` does.
    fn pick(&self, candidates: Candidates) -> Option<usize>;

    /// Told once, before anything else: the group it chooses for, and where that finds time, dice
    /// and listeners.
    fn chooses_for(&self, _group: &Source, _environment: &Environment) {}

    /// Told before the first pick: the names of the members, in the order of the group.
    ///
    /// Told again when members were added at the end, while calls are running. Which member stands
    /// at which position never changes.
    fn members(&self, _names: &[&str]) {}

    /// Whether it chooses by [`Candidates::key`], so that what belongs to one key is with one member
    /// and what spans several keys has to be asked key by key. A call with a key then leaves its member
    /// only if that one is gone, or if the call only reads; see [`HashByKey`].
    fn chooses_by_key(&self) -> bool {
        false
    }

    /// Whether it wants to be told how calls begin and end, and at which moment it chooses. That
    /// costs two readings of the clock for each member that is tried. The answer never changes.
    fn watches(&self) -> bool {
        false
    }

    /// A call of `member` begins. Told only to those that [watch](Self::watches).
    fn began(&self, _member: usize) {}

    /// A call of `member` has ended: told exactly once for each that [began](Self::began), also if
    /// its caller went away.
    fn ended(&self, _member: usize, _end: &CallEnd<'_>) {}

    /// Something was [opened](crate::Line::open) through `member`, whose call has ended. Told only to
    /// those that [watch](Self::watches).
    fn opened(&self, _member: usize) {}

    /// What was opened through `member` is closed: told exactly once for each that was
    /// [opened](Self::opened).
    fn closed(&self, _member: usize) {}
}

/// How the call of a member ended, when, and how long it took.
///
/// The call is that of the member's whole line, with all its waits and retries. Of something that was
/// [opened](crate::Line::open) only the opening is a call; see [`Selector::opened`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct CallEnd<'e> {
    /// How.
    pub ending: Ending<'e>,
    /// How long it took.
    pub took: Duration,
    /// When.
    pub at: Instant,
}

/// The ways in which a call can end.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Ending<'e> {
    /// It was served.
    Answered,
    /// It failed, with an answer of the service or with an outage.
    Failed(&'e Error),
    /// The time of its caller was over; a member whose own deadline passed has failed.
    OutOfTime(&'e Error),
    /// Its caller went away.
    Dropped,
    /// The driver, or what it was asked with, panicked.
    Panicked,
}

impl<'e> CallEnd<'e> {
    /// For tests of selectors.
    pub fn new(ending: Ending<'e>, took: Duration, at: Instant) -> Self {
        Self { ending, took, at }
    }

    /// What it says about the member.
    ///
    /// An answer is a success, whatever it says; an outage or a panic is a failure, and so is an
    /// attempt that took longer than the member is given. Nothing follows from a call that was
    /// dropped, from a mistake of the program, from being told to slow down, from a refusal for want
    /// of tokens or slots, and from a deadline: how much time a caller has says nothing of the member,
    /// and the next one may have more.
    ///
    /// ```
    /// use std::time::Duration;
    /// use switchboard_core::{CallEnd, Clock, Ending, Error, ErrorKind, Verdict};
    ///
    /// let verdict = |kind| {
    ///     let error = Error::new(kind, "no");
    ///     CallEnd::new(Ending::Failed(&error), Duration::ZERO, Clock::system().now()).verdict()
    /// };
    /// assert_eq!(verdict(ErrorKind::NotFound), Verdict::Success);
    /// assert_eq!(verdict(ErrorKind::Unavailable), Verdict::Failure);
    /// assert_eq!(verdict(ErrorKind::Overloaded), Verdict::Ignored);
    /// ```
    pub fn verdict(&self) -> Verdict {
        match self.ending {
            Ending::Answered => Verdict::Success,
            Ending::Failed(error) => verdict_of(error),
            Ending::OutOfTime(_) | Ending::Dropped => Verdict::Ignored,
            Ending::Panicked => Verdict::Failure,
        }
    }
}

fn verdict_of(error: &Error) -> Verdict {
    use crate::ErrorKind::{Overloaded, RateLimited};
    let out_of_time =
        error.gate() == Some(Gate::Deadline) && error.outcome() == Outcome::NotApplied;
    match (error.class(), error.kind()) {
        (Class::Answer, _) => Verdict::Success,
        (Class::Outage, RateLimited | Overloaded) => Verdict::Ignored,
        (Class::Outage, _) if !out_of_time => Verdict::Failure,
        (Class::Outage | Class::Program | Class::Cancelled, _) => Verdict::Ignored,
    }
}

macro_rules! forward {
    ($pointer:ident) => {
        impl<T: Selector + ?Sized> Selector for $pointer<T> {
            fn name(&self) -> &'static str {
                (**self).name()
            }

            #[inline]
            fn pick(&self, candidates: Candidates) -> Option<usize> {
                (**self).pick(candidates)
            }

            fn chooses_for(&self, group: &Source, environment: &Environment) {
                (**self).chooses_for(group, environment);
            }

            fn members(&self, names: &[&str]) {
                (**self).members(names);
            }

            fn chooses_by_key(&self) -> bool {
                (**self).chooses_by_key()
            }

            fn watches(&self) -> bool {
                (**self).watches()
            }

            fn began(&self, member: usize) {
                (**self).began(member);
            }

            fn ended(&self, member: usize, end: &CallEnd<'_>) {
                (**self).ended(member, end);
            }

            fn opened(&self, member: usize) {
                (**self).opened(member);
            }

            fn closed(&self, member: usize) {
                (**self).closed(member);
            }
        }
    };
}

forward!(Arc);
forward!(Box);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Clock;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_candidate_is_picked_once_and_the_healthy_before_the_others(
            count in 0_usize..=64,
            down in any::<u64>(),
            key in any::<Option<u64>>(),
            weights in proptest::collection::vec(0_u32..5, 64),
        ) {
            let names: Vec<_> = (0..count).map(|member| format!("m{member}")).collect();
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            let weights = names.iter().map(|name| (*name).to_owned()).zip(weights);
            let selectors: [Box<dyn Selector>; 7] = [
                Box::new(Priority),
                Box::new(RoundRobin::new()),
                Box::new(Weighted::new(weights)),
                Box::new(LeastLoaded::new()),
                Box::new(HashByKey::new()),
                Box::new(Arc::new(RoundRobin::new())),
                Box::new(Ejecting::new(RoundRobin::new(), EjectPolicy::default())),
            ];
            for selector in selectors {
                selector.members(&names);
                let all = Candidates::all(count).with_down(down).with_now(Clock::system().now());
                let mut left = key.map_or(all, |key| all.with_key(key));
                let mut picked = Vec::new();
                while let Some(member) = selector.pick(left) {
                    prop_assert!(left.contains(member), "{} {member}", selector.name());
                    left = left.without(member);
                    picked.push(member);
                }
                let healthy = Candidates::all(count).with_down(down).healthy().len();
                let healthy_first =
                    picked.iter().take(healthy).all(|member| down & (1 << member) == 0);
                prop_assert!(healthy_first, "{}", selector.name());
                picked.sort_unstable();
                prop_assert_eq!(picked, (0..count).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn a_refusal_for_want_of_time_tokens_or_slots_says_nothing_of_the_member() {
        for gate in [Gate::Deadline, Gate::RateLimit, Gate::Bulkhead] {
            assert_eq!(verdict_of(&Error::refused(gate, "no")), Verdict::Ignored, "{gate}");
        }
        assert_eq!(verdict_of(&Error::refused(Gate::Breaker, "open")), Verdict::Failure);
        let asked = |gate| Error::refused(gate, "late").with_outcome(Outcome::Unknown);
        assert_eq!(verdict_of(&asked(Gate::Deadline)), Verdict::Failure, "its own time was over");
        let late = asked(Gate::Deadline);
        let end = CallEnd::new(Ending::OutOfTime(&late), Duration::ZERO, Clock::system().now());
        assert_eq!(end.verdict(), Verdict::Ignored, "its caller had no time");
        assert_eq!(verdict_of(&asked(Gate::AttemptTimeout)), Verdict::Failure, "it took too long");
    }
}
