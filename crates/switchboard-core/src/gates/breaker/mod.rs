//! Stops calling a service that keeps failing, and finds out when it works again.
//!
//! Knows nothing about time-outs or retries; it only counts outcomes. How they are counted is in
//! `window`, who may pass in `state`; here the two meet, and refusals become errors.

mod policy;
mod state;
#[cfg(test)]
mod tests;
mod window;

use std::cell::RefCell;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::mistakes::Mistakes;
use super::retry::{Jitter, doubled};
use crate::clock::nanos;
use crate::sync::Mutex;
use crate::{Clock, Error, ErrorKind, Event, Events, Gate, Result, Source};
pub use policy::{BreakerCounts, BreakerPolicy, BreakerWindow, Verdict};
use state::{Change, Circuit, Host, Mode, Refusal, Rules, Ticket, Word};
use window::{Call, Tally, Window};

/// A circuit breaker.
///
/// Closed, it lets all calls pass and counts how they went; a call that succeeds meets no lock and
/// no other thread. When too many fail it opens and refuses calls at once. After a while it is
/// half-open: a few calls pass as probes, and what becomes of them closes it or opens it again,
/// for longer.
///
/// ```
/// use switchboard_core::{Breaker, BreakerPolicy, BreakerState, Clock, Events, Source, Verdict};
///
/// let clock = Clock::system();
/// let policy = BreakerPolicy { min_calls: 2, ..BreakerPolicy::default() };
/// let source = Source::new("cache", "sessions");
/// let breaker = Breaker::new(policy, source, Events::new(), clock.clone())?;
///
/// for _ in 0..2 {
///     let mut permit = breaker.permit_at(clock.now())?;
///     permit.record_at(clock.now(), Verdict::Failure, None);
/// }
/// assert_eq!(breaker.state(), BreakerState::Open);
/// assert!(breaker.check_at(clock.now()).is_err());
/// # Ok::<(), switchboard_core::Error>(())
/// ```
pub struct Breaker {
    circuit: Circuit,
    window: Window,
    policy: BreakerPolicy,
    slow_nanos: Option<u64>,
    source: Source,
    events: Events,
    clock: Clock,
    /// The moment all times of circuit and window are counted from.
    start: Instant,
    /// The failure that made it refuse calls.
    opening: Mutex<Option<Error>>,
    /// Tells the refusals a thread keeps from those of other breakers.
    id: u64,
}

/// What a breaker does with calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BreakerState {
    /// Lets all pass, and counts.
    Closed,
    /// Refuses all, for a while.
    Open,
    /// Lets a few pass, to learn whether the service works again.
    HalfOpen,
    /// Refuses all, because somebody wants it so.
    ForcedOpen,
    /// Lets all pass and counts, but does not open, because somebody wants it so.
    ForcedClosed,
    /// Lets all pass and counts nothing.
    Disabled,
}

/// The state of a breaker and the calls of its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BreakerFigures {
    /// What it does with calls.
    pub state: BreakerState,
    /// How many calls are in the window.
    pub calls: u64,
    /// How many of them failed.
    pub failures: u64,
    /// How many of them were slow.
    pub slow: u64,
}

/// The leave to make one call.
///
/// What the call and each of its attempts came to is recorded on it. A permit dropped without a
/// verdict counts as nothing, and another call may be the probe in its place; only a panic counts
/// as failure. What is recorded after the breaker has changed its state changes nothing.
///
/// `B` is how it holds the breaker: borrowed, or as an [`Arc`] where it has to live on its own.
#[derive(Debug)]
#[must_use = "dropped, it gives the leave back"]
pub struct BreakerPermit<B: Deref<Target = Breaker>> {
    breaker: B,
    ticket: Ticket,
    has_succeeded: bool,
    /// Whether a panic now would be one of the call, and not of somebody beside it.
    is_at_work: bool,
}

/// A refusal that a thread keeps for a while, since a copy is far cheaper than making one anew.
struct Prepared {
    id: u64,
    word: Word,
    good_until: u64,
    error: Error,
}

/// The breaker as its circuit sees it while it changes state.
struct Caller<'a> {
    breaker: &'a Breaker,
    error: Option<&'a Error>,
}

impl Breaker {
    /// A closed breaker; it tells `events` of every change of state, in the name of `source`.
    pub fn new(
        policy: BreakerPolicy,
        source: Source,
        events: Events,
        clock: Clock,
    ) -> Result<Self> {
        policy.check()?;
        let rules = Rules { probes: policy.half_open, probes_for: nanos(policy.half_open_for) };
        let window = match policy.window {
            BreakerWindow::Time(length) => Window::over_time(length),
            BreakerWindow::Calls(length) => Window::over_calls(length),
        };
        Ok(Self {
            circuit: Circuit::new(rules),
            window,
            slow_nanos: policy.slow_after.map(nanos),
            policy,
            source,
            events,
            start: clock.now(),
            clock,
            opening: Mutex::new(None),
            id: ID_NEXT.fetch_add(1, Ordering::Relaxed),
        })
    }

    /// Whether it is in a state in which it refuses some calls or all.
    #[inline]
    pub(crate) fn may_refuse(&self) -> bool {
        self.circuit.pass().is_none()
    }

    /// Whether a call would be refused now; takes no permit, so that what is in front of the call
    /// costs nothing while the breaker is open.
    #[inline]
    pub fn check_at(&self, now: Instant) -> Result<()> {
        if self.circuit.pass().is_some() {
            return Ok(());
        }
        let now = self.nanos_at(now);
        let checked = self.circuit.check(now, &self.caller());
        self.answer(checked, now)
    }

    /// Leave to make a call now, or the refusal: `Unavailable`, not applied, with the time to wait.
    #[inline]
    pub fn permit_at(&self, now: Instant) -> Result<BreakerPermit<&Self>> {
        let ticket = self.ticket_at(now)?;
        Ok(BreakerPermit { breaker: self, ticket, has_succeeded: false, is_at_work: true })
    }

    /// [`permit_at`](Self::permit_at) for a call that goes on without the caller.
    #[inline]
    pub fn owned_permit_at(self: &Arc<Self>, now: Instant) -> Result<BreakerPermit<Arc<Self>>> {
        let (ticket, breaker) = (self.ticket_at(now)?, Arc::clone(self));
        Ok(BreakerPermit { breaker, ticket, has_succeeded: false, is_at_work: true })
    }

    /// What `result` says about the health of the service, by the policy of this breaker.
    pub fn verdict_of<T>(&self, result: &Result<T>) -> Verdict {
        self.policy.verdict_of(result)
    }

    /// What it does with calls. An open breaker becomes half-open with the first call after its
    /// time, not before.
    pub fn state(&self) -> BreakerState {
        self.circuit.word().mode().into()
    }

    /// Its state, and the calls of its window.
    pub fn figures_at(&self, now: Instant) -> BreakerFigures {
        let Tally { calls, failures, slow } = self.window.tally(self.nanos_at(now));
        BreakerFigures { state: self.state(), calls, failures, slow }
    }

    /// The settings it was made with.
    pub fn policy(&self) -> &BreakerPolicy {
        &self.policy
    }

    /// The clock whose moments it counts in.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Refuses all calls until it is reset.
    pub fn force_open(&self) {
        self.force(Mode::ForcedOpen);
    }

    /// Lets all calls pass until it is reset; it still counts them.
    pub fn force_close(&self) {
        self.force(Mode::ForcedClosed);
    }

    /// Lets all calls pass uncounted until it is reset.
    pub fn disable(&self) {
        self.force(Mode::Disabled);
    }

    /// Closed and with an empty window, whatever it was.
    pub fn reset(&self) {
        self.circuit.reset(self.nanos_at(self.clock.now()), &self.caller());
        self.events.deliver();
    }

    /// Takes over what somebody forced on the breaker before this one.
    pub(crate) fn keep_forced(&self, state: BreakerState) {
        match state {
            BreakerState::ForcedOpen => self.force_open(),
            BreakerState::ForcedClosed => self.force_close(),
            BreakerState::Disabled => self.disable(),
            BreakerState::Closed | BreakerState::Open | BreakerState::HalfOpen => {}
        }
    }

    /// Closed and with an empty window, unless somebody forced it into a state.
    pub(crate) fn reset_unless_forced(&self) {
        if matches!(
            self.state(),
            BreakerState::Closed | BreakerState::Open | BreakerState::HalfOpen
        ) {
            self.reset();
        }
    }

    fn force(&self, mode: Mode) {
        self.circuit.force(mode, self.nanos_at(self.clock.now()), &self.caller());
        self.events.deliver();
    }

    #[inline]
    fn ticket_at(&self, now: Instant) -> Result<Ticket> {
        match self.circuit.pass() {
            Some(ticket) => Ok(ticket),
            None => self.probe_at(now),
        }
    }

    #[cold]
    fn probe_at(&self, now: Instant) -> Result<Ticket> {
        let now = self.nanos_at(now);
        let entered = self.circuit.enter(now, &self.caller());
        self.answer(entered, now)
    }

    /// Tells of what changed on the way, and turns a refusal into an error.
    fn answer<T>(&self, answer: Result<T, Refusal>, now: u64) -> Result<T> {
        self.events.deliver();
        answer.map_err(|refusal| self.refuse(refusal, now))
    }

    fn refuse(&self, refusal: Refusal, now: u64) -> Error {
        let refused = PREPARED.try_with(|slots| {
            let slot = &slots[slot_of(self.id)];
            let kept = match &*slot.borrow() {
                Some(kept) if kept.is_good(self.id, refusal.word, now) => Some(kept.error.clone()),
                _ => None,
            };
            kept.unwrap_or_else(|| self.prepare(slot, refusal, now))
        });
        // A thread that ends keeps nothing any more.
        refused.unwrap_or_else(|_| self.refusal_error(refusal, now))
    }

    #[cold]
    fn prepare(&self, slot: &RefCell<Option<Prepared>>, refusal: Refusal, now: u64) -> Error {
        let error = self.refusal_error(refusal, now);
        let prepared = Prepared {
            id: self.id,
            word: refusal.word,
            good_until: now.saturating_add(REFUSAL_GOOD_FOR),
            error: error.clone(),
        };
        // Dropped once the place is free again, because the errors in it may hold anything.
        let before = slot.replace(Some(prepared));
        drop(before);
        error
    }

    /// Without context, so that a line can add to each copy where it was refused at little cost.
    fn refusal_error(&self, refusal: Refusal, now: u64) -> Error {
        let error = match refusal.word.mode() {
            Mode::Open => {
                let left = Duration::from_nanos(refusal.open_until.saturating_sub(now));
                Error::refused(Gate::Breaker, "the circuit breaker is open").retry_after(left)
            }
            Mode::ForcedOpen => {
                let message =
                    "the circuit breaker was opened by hand, and refuses until it is reset";
                return Error::refused(Gate::Breaker, message);
            }
            _ => Error::refused(Gate::Breaker, "the circuit breaker is waiting for a probe"),
        };
        match self.opening.lock().clone() {
            Some(last) => error.with_source(last),
            None => error,
        }
    }

    fn caller(&self) -> Caller<'_> {
        Caller { breaker: self, error: None }
    }

    fn nanos_at(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.start))
    }

    fn is_slow(&self, took: Option<Duration>) -> bool {
        match (self.slow_nanos, took) {
            (Some(slow), Some(took)) => nanos(took) >= slow,
            _ => false,
        }
    }

    fn is_too_bad(&self, now: u64) -> bool {
        let tally = self.window.tally(now);
        tally.calls >= u64::from(self.policy.min_calls)
            && (share(tally.failures, tally.calls) >= self.policy.failure_rate
                || share(tally.slow, tally.calls) >= self.policy.slow_rate)
    }
}

impl<B: Deref<Target = Breaker>> BreakerPermit<B> {
    /// The breaker that gave it.
    pub fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    /// Records what an attempt came to, and how long it took where slowness counts.
    #[inline]
    pub fn record_at(&mut self, now: Instant, verdict: Verdict, took: Option<Duration>) {
        self.settle(now, verdict, self.breaker.is_slow(took), None);
    }

    /// Records a result; its error becomes the reason if the breaker opens.
    #[inline]
    pub fn record_result_at<T>(
        &mut self,
        now: Instant,
        result: &Result<T>,
        took: Option<Duration>,
    ) {
        let error = result.as_ref().err();
        let timed_out = error.is_some_and(|error| error.kind() == ErrorKind::Timeout);
        let is_slow = self.breaker.is_slow(took) || timed_out && self.breaker.slow_nanos.is_some();
        self.settle(now, self.breaker.verdict_of(result), is_slow, error);
    }

    /// Says whether the call is running on this thread now: only then is a panic its failure. Taken
    /// to be so until it is said.
    #[inline]
    pub fn set_at_work(&mut self, is_at_work: bool) {
        self.is_at_work = is_at_work;
    }

    /// Whether the breaker is still in the state that gave this leave. If not, it opened or was
    /// changed by hand meanwhile, and another attempt would be refused or would not count.
    #[inline]
    pub fn is_current(&self) -> bool {
        self.breaker.circuit.word().generation() == self.ticket.generation
    }

    #[inline]
    fn settle(&mut self, now: Instant, verdict: Verdict, is_slow: bool, error: Option<&Error>) {
        let is_failure = match verdict {
            Verdict::Success => false,
            Verdict::Failure => true,
            Verdict::Ignored => return,
        };
        self.has_succeeded = !is_failure;
        let word = self.breaker.circuit.word();
        if word.generation() != self.ticket.generation {
            return;
        }
        let now = self.breaker.nanos_at(now);
        if !self.ticket.is_probe {
            if word.mode() != Mode::Disabled {
                self.breaker.window.record(now, Call { is_failure, is_slow });
            }
            if !is_failure && !is_slow {
                return;
            }
        }
        self.judge(word.mode(), now, is_failure || is_slow, error);
    }

    /// What follows from anything but a success in good time while closed.
    #[cold]
    fn judge(&mut self, mode: Mode, now: u64, is_bad: bool, error: Option<&Error>) {
        let breaker = &*self.breaker;
        let caller = Caller { breaker, error };
        if self.ticket.is_probe {
            self.ticket.is_probe = false;
            let probe = Ticket { is_probe: true, ..self.ticket };
            if is_bad {
                breaker.circuit.probe_failed(probe, now, &caller);
            } else {
                breaker.circuit.probe_succeeded(probe, now, &caller);
            }
        } else if mode == Mode::Closed && breaker.is_too_bad(now) {
            breaker.circuit.trip(self.ticket, now, &caller);
        }
        breaker.events.deliver();
    }

    #[cold]
    fn record_panic(&mut self) {
        let error = Error::new(ErrorKind::Unexpected, "the call panicked");
        self.settle(self.breaker.clock.now(), Verdict::Failure, false, Some(&error));
    }
}

impl<B: Deref<Target = Breaker>> Drop for BreakerPermit<B> {
    #[inline]
    fn drop(&mut self) {
        if self.is_at_work && !self.has_succeeded && std::thread::panicking() {
            self.record_panic();
        }
        if self.ticket.is_probe {
            self.breaker.circuit.probe_returned(self.ticket);
        }
    }
}

impl Prepared {
    fn is_good(&self, id: u64, word: Word, now: u64) -> bool {
        self.id == id && self.word == word && now < self.good_until
    }
}

impl Host for Caller<'_> {
    fn open_time(&self, streak: u32) -> u64 {
        let policy = &self.breaker.policy;
        let time = doubled(policy.open_for, streak, policy.open_for_max);
        nanos(policy.jitter.spread(time, &self.breaker.clock))
    }

    fn is_quiet(&self, closed_for: u64) -> bool {
        self.breaker.window.is_turned_over(closed_for)
    }

    fn changed(&self, change: Change) {
        let breaker = self.breaker;
        if change.to == Mode::Closed {
            breaker.window.clear();
        }
        if matches!(change.to, Mode::Open | Mode::ForcedOpen) {
            *breaker.opening.lock() = self.error.cloned();
        }
        if change.from != change.to {
            breaker.events.queue(|| self.event(change));
        }
    }
}

impl Caller<'_> {
    fn event(&self, change: Change) -> Event {
        let source = self.breaker.source.clone();
        match change.to {
            Mode::Closed => Event::BreakerClosed { source },
            Mode::HalfOpen => Event::BreakerHalfOpened { source },
            Mode::Open => Event::BreakerOpened {
                source,
                open_for: Duration::from_nanos(change.open_until.saturating_sub(change.at)),
                error: self.error.cloned(),
            },
            forced @ (Mode::ForcedOpen | Mode::ForcedClosed | Mode::Disabled) => {
                Event::BreakerForced { source, state: forced.into() }
            }
        }
    }
}

impl From<Mode> for BreakerState {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Closed => Self::Closed,
            Mode::Open => Self::Open,
            Mode::HalfOpen => Self::HalfOpen,
            Mode::ForcedOpen => Self::ForcedOpen,
            Mode::ForcedClosed => Self::ForcedClosed,
            Mode::Disabled => Self::Disabled,
        }
    }
}

impl BreakerState {
    /// The words used in logs, figures and on the console.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
            Self::ForcedOpen => "forced open",
            Self::ForcedClosed => "forced closed",
            Self::Disabled => "disabled",
        }
    }
}

impl fmt::Display for BreakerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker")
            .field("source", &self.source)
            .field("state", &self.state())
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

#[expect(clippy::cast_precision_loss, reason = "windows hold far fewer calls than 53 bits count")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

#[expect(clippy::cast_possible_truncation, reason = "the remainder is small")]
fn slot_of(id: u64) -> usize {
    (id % PREPARED_MAX as u64) as usize
}

/// How many refusals a thread keeps; two breakers that are open at once rarely share a place.
const PREPARED_MAX: usize = 8;
/// How far behind the time to wait in a refusal may be, in nanoseconds.
const REFUSAL_GOOD_FOR: u64 = 10_000_000;

static ID_NEXT: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static PREPARED: [RefCell<Option<Prepared>>; PREPARED_MAX] =
        const { [const { RefCell::new(None) }; PREPARED_MAX] };
}
