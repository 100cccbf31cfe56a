//! Leaves out for a while whoever keeps failing.
//!
//! No breaker: that one protects a service from calls, and refuses them; this one protects calls from
//! a member, as long as others can serve them.

mod ledger;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Deserialize;

use self::ledger::{Ejection, Host, Ledger, Rules};
use super::candidates::bit;
use super::{CallEnd, Candidates, Ending, Selector};
use crate::clock::nanos;
use crate::gates::Mistakes;
use crate::settings::duration;
use crate::sync::Mutex;
use crate::{Environment, Error, Event, Events, Result, Source, Verdict};

/// When a member that keeps failing is left out, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EjectPolicy {
    /// Leaves a member out after so many outages, one after the other.
    pub outages: u32,
    /// For how long the first time; the second time in a row for twice as long, the third for three
    /// times. For each time so long that it then serves, one ejection is forgiven.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text")]
    pub eject_for: Duration,
    /// The longest it is left out.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text")]
    pub eject_for_max: Duration,
    /// At most this share of the members is left out at the same time. One may always be, and one
    /// always stays.
    pub share_max: f64,
    /// When less than this share of the members is neither ejected nor down, the ejected ones are used
    /// all the same: the few that are left would not bear all calls. Those that are down stay so. Zero
    /// turns that off.
    pub panic_below: f64,
}

/// Any selector, without the members that keep failing.
///
/// A member is ejected after a run of outages: it then counts as down until its time is over. Answers
/// of a service are successes, and what says nothing of the member counts as nothing: see
/// [`CallEnd::verdict`]. Both changes are told as an [`Event`].
///
/// ```
/// # mod counters {
/// #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/counters/mod.rs"));
/// # }
/// # use counters::{fixed, manager};
/// use switchboard_core::{EjectPolicy, Ejecting, RoundRobin};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> switchboard_core::Result<()> {
/// let counters = manager()?;
/// counters.configure("left", &fixed(1))?;
/// counters.configure("right", &fixed(2))?;
/// let careful = Ejecting::new(RoundRobin::new(), EjectPolicy::default());
/// counters.group("both", &["left", "right"], careful)?;
/// # Ok(()) }
/// ```
pub struct Ejecting<S> {
    inner: S,
    ledger: Ledger,
    panic_below: f64,
    /// The first moment it has seen; others are counted from there.
    start: OnceLock<Instant>,
    /// Who is told, once a group has it.
    told: OnceLock<(Source, Events)>,
    names: Mutex<Arc<[Arc<str>]>>,
}

impl<S: Selector> Ejecting<S> {
    /// `inner` chooses among those that are not ejected.
    ///
    /// A policy whose [`check`](EjectPolicy::check) fails is followed as far as it makes sense.
    #[must_use]
    pub fn new(inner: S, policy: EjectPolicy) -> Self {
        let rules = Rules {
            outages: policy.outages.max(1),
            eject_for: nanos(policy.eject_for),
            eject_for_max: nanos(policy.eject_for_max),
            share_max: policy.share_max,
        };
        Self {
            inner,
            ledger: Ledger::new(rules, Candidates::MEMBERS_MAX),
            panic_below: policy.panic_below,
            start: OnceLock::new(),
            told: OnceLock::new(),
            names: Mutex::default(),
        }
    }

    /// The selector inside.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// The positions of the members that are ejected now.
    pub fn ejected(&self) -> Vec<usize> {
        let all = Candidates::all(Candidates::MEMBERS_MAX);
        let ejected = self.ledger.ejected();
        all.iter().filter(|member| ejected & bit(*member) != 0).collect()
    }

    #[inline]
    fn since_start(&self, moment: Instant) -> u64 {
        let start = self.start.get_or_init(|| moment);
        nanos(moment.saturating_duration_since(*start))
    }

    /// Whether too few members are left to do without those that are ejected.
    #[expect(clippy::cast_precision_loss, reason = "there are at most 64 members")]
    fn panics(&self, left_out: u64) -> bool {
        let count = self.ledger.count();
        let usable = Candidates::all(count).with_down(left_out).healthy().len();
        (usable as f64) < self.panic_below * count as f64
    }

    fn eject(&self, member: usize, end: &CallEnd<'_>) {
        let now = self.since_start(end.at);
        let error = match end.ending {
            Ending::Failed(error) => Some(error),
            _ => None,
        };
        self.telling(error, |teller| self.ledger.eject(member, now, teller));
    }

    /// Tells what `change` does, after the lock under which it does it.
    #[cold]
    fn telling(&self, error: Option<&Error>, change: impl FnOnce(&Teller<'_>)) {
        let names = self.names.lock().clone();
        let told = self.told.get();
        change(&Teller { told, names: &names, error });
        if let Some((_, events)) = told {
            events.deliver();
        }
    }
}

impl<S: Selector> Selector for Ejecting<S> {
    /// That of the selector inside, which still says how it is chosen.
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    #[inline]
    fn pick(&self, candidates: Candidates) -> Option<usize> {
        if self.ledger.ejected() != 0
            && let Some(now) = candidates.now().map(|now| self.since_start(now))
            && self.ledger.is_due(now)
        {
            self.telling(None, |teller| self.ledger.let_return(now, teller));
        }
        let ejected = self.ledger.ejected();
        let left_out = candidates.down() | ejected;
        if ejected == 0 || self.panics(left_out) {
            return self.inner.pick(candidates);
        }
        self.inner.pick(candidates.with_down(left_out))
    }

    fn chooses_for(&self, group: &Source, environment: &Environment) {
        // Told once; of two groups the first one is meant.
        self.told.set((group.clone(), environment.events().clone())).ok();
        self.inner.chooses_for(group, environment);
    }

    fn members(&self, names: &[&str]) {
        *self.names.lock() = names.iter().map(|name| Arc::from(*name)).collect();
        self.ledger.grow(names.len());
        self.inner.members(names);
    }

    fn chooses_by_key(&self) -> bool {
        self.inner.chooses_by_key()
    }

    fn watches(&self) -> bool {
        true
    }

    #[inline]
    fn began(&self, member: usize) {
        if self.inner.watches() {
            self.inner.began(member);
        }
    }

    #[inline]
    fn ended(&self, member: usize, end: &CallEnd<'_>) {
        if self.inner.watches() {
            self.inner.ended(member, end);
        }
        match end.verdict() {
            Verdict::Success => self.ledger.succeeded(member),
            Verdict::Ignored => {}
            Verdict::Failure => {
                if self.ledger.failed(member) {
                    self.eject(member, end);
                }
            }
        }
    }

    fn opened(&self, member: usize) {
        if self.inner.watches() {
            self.inner.opened(member);
        }
    }

    fn closed(&self, member: usize) {
        if self.inner.watches() {
            self.inner.closed(member);
        }
    }
}

impl<S: Selector> fmt::Debug for Ejecting<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ejecting")
            .field("inner", &self.inner.name())
            .field("ejected", &self.ejected())
            .finish_non_exhaustive()
    }
}

impl EjectPolicy {
    /// Finds out whether the settings make sense, all of them at once.
    pub fn check(&self) -> Result<()> {
        let mut mistakes = Mistakes::of("eject");
        mistakes.require(
            self.outages > 0,
            "outages",
            self.outages,
            "at least one outage is needed to eject a member",
        );
        mistakes.require(
            (EJECT_MIN..=self.eject_for_max).contains(&self.eject_for),
            "eject_for",
            self.eject_for,
            "the time must be between 1ms and eject_for_max",
        );
        mistakes.require(
            self.eject_for_max <= EJECT_MAX,
            "eject_for_max",
            self.eject_for_max,
            "the longest time must be at most one day",
        );
        let must = "a share must be between 0 and 1";
        let is_share = |share: f64| (0.0..=1.0).contains(&share);
        mistakes.require(is_share(self.share_max), "share_max", self.share_max, must);
        mistakes.require(is_share(self.panic_below), "panic_below", self.panic_below, must);
        mistakes.into_result()
    }
}

impl Default for EjectPolicy {
    fn default() -> Self {
        Self {
            outages: 5,
            eject_for: Duration::from_secs(30),
            eject_for_max: Duration::from_mins(5),
            share_max: 0.1,
            panic_below: 0.5,
        }
    }
}

/// Lines events up for whoever listens.
struct Teller<'t> {
    told: Option<&'t (Source, Events)>,
    names: &'t [Arc<str>],
    error: Option<&'t Error>,
}

impl Host for Teller<'_> {
    fn ejected(&self, member: usize, Ejection { eject_for, times }: Ejection) {
        let Some((source, events)) = self.told else { return };
        events.queue(|| Event::Ejected {
            source: source.clone(),
            member: self.name(member),
            eject_for: Duration::from_nanos(eject_for),
            times,
            error: self.error.cloned(),
        });
    }

    fn returned(&self, member: usize) {
        let Some((source, events)) = self.told else { return };
        events.queue(|| Event::Returned { source: source.clone(), member: self.name(member) });
    }
}

impl Teller<'_> {
    fn name(&self, member: usize) -> Arc<str> {
        self.names.get(member).cloned().unwrap_or_else(|| Arc::from(""))
    }
}

const EJECT_MIN: Duration = Duration::from_millis(1);
const EJECT_MAX: Duration = Duration::from_hours(24);

#[cfg(test)]
mod tests;
