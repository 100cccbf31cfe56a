//! The one order of the gates, and the path of a call through them.
//!
//! ```text
//! deadline → breaker: open? → rate limit → bulkhead → breaker: permit →
//!   retry { budget, wait, token, slot, permit →
//!     hedge { budget, token, slot, permit } → attempt timeout → driver → breaker: record }
//! ```
//!
//! Nothing here knows what is called. A gate that is not in the policy is not in the path. What runs
//! beside an attempt that is slow is in `beside`.

mod beside;

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;

use super::breaker::{Breaker, BreakerCounts, BreakerPermit};
use super::budget::{BudgetPolicy, RetryBudget, Withdrawal};
use super::bulkhead::{Bulkhead, OwnedPermit, Permit};
use super::faults::Faults;
use super::hedge::{Finish, Hedge, Hedging};
use super::policy::Policy;
use super::rate_limit::RateLimiter;
use super::retry::{Decision, RetryPolicy, Why};
use super::timeout::{Limit, Limited, passed_before};
use crate::ambient::{self, Ambient, earlier, later};
use crate::stripe::{self, Padded};
use crate::{Class, Clock, Effect, Error, ErrorKind, Event, Events, Place, Result, Retry, Source};

/// The gates of one line, built from a [`Policy`] and shared by all calls that pass them.
///
/// A line has its own. Built by hand they protect anything: see [`execute_with_resilience`].
#[derive(Debug)]
pub struct Gates {
    policy: Policy,
    limiter: Option<Arc<RateLimiter>>,
    bulkhead: Option<Arc<Bulkhead>>,
    breaker: Option<Arc<Breaker>>,
    budget: Option<Arc<RetryBudget>>,
    hedging: Option<Arc<Hedging>>,
    faults: Option<Arc<Faults>>,
    /// The refusals that each stripe handed out last, placed: a copy of one meets no other thread.
    refusals: Box<[Padded<[ArcSwapOption<Placed>; PLACED]>]>,
    source: Source,
    clock: Clock,
    events: Events,
}

/// Runs what `make` makes through `gates`, as often as they let it.
///
/// `make` is called once for each attempt. The same gates may protect several callers, which then
/// share their limits, their breaker and their budget.
///
/// ```
/// use switchboard_core::{
///     Effect, Environment, Error, ErrorKind, Gates, Policy, RetryPolicy, Source,
///     execute_with_resilience,
/// };
/// use std::sync::atomic::{AtomicU32, Ordering};
///
/// # let runtime = tokio::runtime::Builder::new_current_thread()
/// #     .enable_time().start_paused(true).build().unwrap();
/// # runtime.block_on(async {
/// let policy = Policy { retry: Some(RetryPolicy::default()), ..Policy::default() };
/// let source = Source::new("payments", "stripe");
/// let gates = Gates::new(policy, source, &Environment::new())?;
///
/// let calls = AtomicU32::new(0);
/// let paid = execute_with_resilience(&gates, Effect::Idempotent, || async {
///     match calls.fetch_add(1, Ordering::Relaxed) {
///         0 => Err(Error::new(ErrorKind::Unavailable, "connection reset")),
///         _ => Ok("paid"),
///     }
/// })
/// .await?;
/// assert_eq!((paid, calls.into_inner()), ("paid", 2));
/// # switchboard_core::Result::<()>::Ok(()) }).unwrap();
/// ```
pub async fn execute_with_resilience<T, F, Fut>(gates: &Gates, effect: Effect, make: F) -> Result<T>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<T>>,
{
    gates.execute(effect, (), |_| make()).await
}

/// A refusal of the breaker, placed for one operation.
#[derive(Debug)]
struct Placed {
    of: Error,
    operation: &'static str,
    error: Error,
}

/// What the gates need to know of a call.
#[derive(Clone, Copy)]
pub(crate) struct Call<'c> {
    pub(crate) operation: &'static str,
    pub(crate) effect: Effect,
    pub(crate) is_retried: bool,
    /// Whether there is nothing left to make another attempt with.
    pub(crate) spent: &'c (dyn Fn() -> bool + Sync),
}

/// The answer of a call, and the slot it still occupies.
pub(crate) struct Passed<'g, T> {
    pub(crate) value: T,
    permit: Option<Permit<'g>>,
}

/// One call on its way through the gates.
struct Passage<'g> {
    gates: &'g Gates,
    call: Call<'g>,
    deadline: Option<Instant>,
    /// When its first attempt began.
    began: Instant,
    /// The last reading of the clock; read again only after something has waited.
    now: Instant,
    permit: Option<Permit<'g>>,
    leave: Option<BreakerPermit<&'g Breaker>>,
    attempts: u32,
    withdrawal: Option<Withdrawal>,
    /// Whether an attempt that failed may have had its effect.
    in_doubt: bool,
}

impl Gates {
    /// The gates of `policy`, for calls in the name of `source`.
    pub fn new(policy: Policy, source: Source, environment: &crate::Environment) -> Result<Self> {
        Self::following(None, policy, source, environment)
    }

    /// The gates of another policy that go on where `before` left off: what both have keeps its
    /// state, unless the breaker's own settings changed.
    pub(crate) fn following(
        before: Option<&Self>,
        policy: Policy,
        source: Source,
        environment: &crate::Environment,
    ) -> Result<Self> {
        policy.check()?;
        let clock = environment.clock().clone();
        let events = environment.events().clone();
        let limiter = match (before.and_then(|before| before.limiter.clone()), policy.rate_limit) {
            (_, None) => None,
            (Some(limiter), Some(limit)) => {
                limiter.retune(limit)?;
                Some(limiter)
            }
            (None, Some(limit)) => Some(Arc::new(RateLimiter::new(limit, clock.clone())?)),
        };
        let bulkhead = match (before.and_then(|before| before.bulkhead.clone()), policy.bulkhead) {
            (_, None) => None,
            (Some(bulkhead), Some(limit)) => {
                bulkhead.retune(limit)?;
                Some(bulkhead)
            }
            (None, Some(limit)) => Some(Arc::new(Bulkhead::new(limit, clock.clone())?)),
        };
        let breaker = match &policy.breaker {
            None => None,
            Some(wanted) => match before.and_then(|before| before.breaker.clone()) {
                Some(breaker) if breaker.policy() == wanted => Some(breaker),
                _ => {
                    let (source, events) = (source.clone(), events.clone());
                    let breaker = Breaker::new(wanted.clone(), source, events, clock.clone())?;
                    if let Some(before) = before.and_then(|before| before.breaker.as_ref()) {
                        breaker.keep_forced(before.state());
                    }
                    Some(Arc::new(breaker))
                }
            },
        };
        // Without retries there is a usual budget for hedges.
        let own_budget = policy.retry.as_ref().map(|retry| retry.budget);
        let budget = match own_budget.or(policy.hedge.map(|_| BudgetPolicy::default())) {
            None => None,
            Some(wanted) => match before.and_then(|before| before.budget.clone()) {
                Some(budget) if *budget.policy() == wanted => Some(budget),
                _ => Some(Arc::new(RetryBudget::new(wanted)?)),
            },
        };
        let hedging =
            policy.hedge.map(|wanted| match before.and_then(|before| before.hedging.clone()) {
                Some(hedging) if hedging.policy() == wanted => hedging,
                _ => Arc::new(Hedging::new(wanted, clock.now())),
            });
        let refusals = (0..stripe::count()).map(|_| Padded::default()).collect();
        Ok(Self {
            policy,
            limiter,
            bulkhead,
            breaker,
            budget,
            hedging,
            faults: None,
            refusals,
            source,
            clock,
            events,
        })
    }

    /// The same gates with faults inside them all.
    pub(crate) fn with_faults(self, faults: Option<Arc<Faults>>) -> Self {
        Self { faults, ..self }
    }

    pub(crate) fn faults(&self) -> Option<&Faults> {
        self.faults.as_deref()
    }

    /// When a call that starts now has to be done.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.policy.deadline.map(|limit| later(self.clock.now(), limit))
    }

    /// [`execute_with_resilience`] for a caller who has something at hand for the first attempt, such
    /// as a connection that is ready.
    ///
    /// It is let go where a gate has to wait first, so that nobody has to wait for those who wait;
    /// `attempt` is then given `None`, as it is for each further attempt.
    pub async fn execute<T, H, F, Fut>(&self, effect: Effect, at_hand: H, attempt: F) -> Result<T>
    where
        F: Fn(Option<H>) -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let call = Call { operation: "execute", effect, is_retried: true, spent: &|| false };
        let limited = move |at_hand, limit| Limited::new(attempt(at_hand), limit);
        Ok(self.run(call, at_hand, limited).await?.value)
    }

    /// The policy they were built from.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Another driver serves from now on: a breaker that is to start over does, and so does what a
    /// bulkhead has learnt of the time that answers take.
    pub(crate) fn swapped(&self) {
        if let Some(bulkhead) = &self.bulkhead {
            bulkhead.start_over();
        }
        if let Some(breaker) = self.breaker.as_ref().filter(|b| b.policy().reset_on_swap) {
            breaker.reset_unless_forced();
        }
    }

    /// The circuit breaker, to look at or to force.
    ///
    /// A change of the breaker's own settings makes a new one, which keeps what was forced; what is
    /// held of the old one then has no effect any more, so it is to be asked for each time.
    pub fn breaker(&self) -> Option<&Breaker> {
        self.breaker.as_deref()
    }

    /// The rate limiter.
    pub fn rate_limiter(&self) -> Option<&RateLimiter> {
        self.limiter.as_deref()
    }

    /// The bulkhead.
    pub fn bulkhead(&self) -> Option<&Bulkhead> {
        self.bulkhead.as_deref()
    }

    /// The budget that retries and hedges are paid from.
    pub fn retry_budget(&self) -> Option<&RetryBudget> {
        self.budget.as_deref()
    }

    /// The slot that an answer still occupies, for as long as the caller wants.
    pub(crate) fn keep<T>(&self, passed: Passed<'_, T>) -> (T, Option<OwnedPermit>) {
        let permit = passed.permit.zip(self.bulkhead.as_ref());
        (passed.value, permit.map(|(permit, bulkhead)| permit.into_owned(bulkhead)))
    }

    /// Tells the breaker of something that did not pass the gates: a step inside what was opened.
    ///
    /// Such a step is never a probe: that something opened long ago still works says nothing about
    /// opening.
    pub(crate) fn observed<T>(&self, result: &Result<T>) {
        let Some(breaker) = self.breaker.as_ref().filter(|breaker| !breaker.may_refuse()) else {
            return;
        };
        let now = self.clock.now();
        if let Ok(mut leave) = breaker.permit_at(now) {
            leave.record_result_at(now, result, None);
        }
    }

    /// The refusal of an open breaker, without taking anything else into the hand first.
    #[inline]
    pub(crate) fn refusal(&self, operation: &'static str) -> Option<Error> {
        let breaker = self.breaker.as_ref().filter(|breaker| breaker.may_refuse())?;
        // A deadline that may have passed stands in front of the breaker.
        if breaker.policy().counts == BreakerCounts::Calls || ambient::current().deadline.is_some()
        {
            return None;
        }
        let refusal = self.placed(breaker.check_at(self.clock.now()).err()?, operation);
        self.tell_refusal(operation, &refusal);
        Some(refusal)
    }

    /// The refusal with the operation it refused, prepared once for as long as the breaker hands out
    /// the same.
    fn placed(&self, refusal: Error, operation: &'static str) -> Error {
        let stripe = &self.refusals[stripe::index(self.refusals.len())].0;
        // Names of operations lie apart; two that share a place take turns, which only costs time.
        let place = &stripe[(operation.as_ptr() as usize >> 2) % PLACED];
        if let Some(known) = &*place.load()
            && known.of.is(&refusal)
            && known.operation == operation
        {
            return known.error.clone();
        }
        let error = refusal.clone().at(|| Place {
            subsystem: self.source.subsystem,
            instance: self.source.instance.clone(),
            driver: None,
            operation,
        });
        let placed = Placed { of: refusal, operation, error: error.clone() };
        place.store(Some(Arc::new(placed)));
        error
    }

    /// Takes a call through all gates. `attempt` is what one attempt does, within a limit; the first
    /// one is given what the caller has at hand for it.
    #[inline]
    pub(crate) async fn run<'g, T, H, A, Fut>(
        &'g self,
        call: Call<'g>,
        at_hand: H,
        attempt: A,
    ) -> Result<Passed<'g, T>>
    where
        A: Fn(Option<H>, Limit) -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let mut passage = Passage::new(self, call);
        let mut at_hand = Some(at_hand);
        if let Err(refusal) = passage.enter(&mut at_hand).await {
            return Err(self.refused(call, refusal));
        }
        loop {
            let limit = passage.begin_attempt();
            let around = ambient::current().until(passage.deadline);
            // Some work may be done already while the future is being made.
            let first = ambient::inside(around, || attempt(at_hand.take(), limit));
            let mut first = pin!(Some(first));
            let mut waited = false;
            let alone = poll_fn(|context| {
                let poll = passage.poll_first(first.as_mut(), around, context);
                if poll.is_pending() && !waited {
                    waited = true;
                    if let Some(hedge) = passage.hedge() {
                        return Poll::Ready(Alone::Slow(hedge));
                    }
                }
                poll.map(Alone::Ended)
            });
            let (result, finish) = match alone.await {
                Alone::Ended(result) => (result, Finish::First),
                Alone::Slow(hedge) => {
                    let make = |limit| ambient::inside(around, || attempt(None, limit));
                    Box::pin(passage.race(hedge, first, around, make)).await
                }
            };
            match passage.end_attempt(result, waited, finish) {
                Ended::Answered(value) => {
                    return Ok(Passed { value, permit: passage.permit.take() });
                }
                Ended::Failed(error) => return Err(error),
                Ended::Again(error, delay) => {
                    Box::pin(passage.prepare_again(error, delay)).await?;
                }
            }
        }
    }

    #[cold]
    fn refused(&self, call: Call<'_>, error: Error) -> Error {
        self.tell_refusal(call.operation, &error);
        error
    }

    fn tell_refusal(&self, operation: &'static str, error: &Error) {
        let Some(gate) = error.gate() else { return };
        self.events.emit(|| Event::Refused {
            source: self.source.clone(),
            operation,
            gate,
            error: error.clone(),
        });
    }
}

/// The longest that one answer of a service may hold up all calls; a service that means longer says
/// so again.
const HEEDED_MAX: Duration = Duration::from_mins(1);

/// How many operations a stripe prepares refusals for.
const PLACED: usize = 4;

/// How far an attempt came by itself.
enum Alone<T> {
    Ended(Result<T>),
    /// It has to be waited for, and may get others beside it.
    Slow(Hedge),
}

/// How an attempt ended.
enum Ended<T> {
    Answered(T),
    Failed(Error),
    Again(Error, Duration),
}

impl<'g> Passage<'g> {
    #[inline]
    fn new(gates: &'g Gates, call: Call<'g>) -> Self {
        let now = gates.clock.now();
        let own = gates.policy.deadline.map(|limit| later(now, limit));
        let deadline = earlier(ambient::current().deadline, own);
        Self {
            gates,
            call,
            deadline,
            began: now,
            now,
            permit: None,
            leave: None,
            attempts: 0,
            withdrawal: None,
            in_doubt: false,
        }
    }

    /// Passes everything in front of the first attempt. What has to wait is boxed, because it seldom
    /// does; what was at hand is let go meanwhile, so that nobody has to wait for those who wait.
    #[inline]
    async fn enter<H>(&mut self, at_hand: &mut Option<H>) -> Result<()> {
        let gates = self.gates;
        self.check_deadline()?;
        if let Some(breaker) = &gates.breaker
            && breaker.policy().counts == BreakerCounts::Attempts
        {
            breaker.check_at(self.now)?;
        }
        if let Some(limiter) = &gates.limiter
            && limiter.try_acquire_at(self.now, 1).is_err()
        {
            *at_hand = None;
            Box::pin(limiter.acquire_at(self.now, 1, self.deadline)).await?;
            self.now = gates.clock.now();
        }
        if let Some(bulkhead) = &gates.bulkhead {
            self.permit = bulkhead.try_acquire().ok();
            if self.permit.is_none() {
                *at_hand = None;
                self.permit = Some(Box::pin(bulkhead.acquire(self.deadline)).await?);
                self.now = gates.clock.now();
            }
        }
        // What was waited for may have come with the deadline, or after it.
        self.check_deadline()?;
        if let Some(breaker) = &gates.breaker {
            self.leave = Some(breaker.permit_at(self.now)?);
            self.at_work(false);
        }
        self.began = self.now;
        Ok(())
    }

    #[inline]
    fn check_deadline(&self) -> Result<()> {
        match self.deadline {
            Some(deadline) if deadline <= self.now => Err(passed_before()),
            _ => Ok(()),
        }
    }

    /// Says whether the attempt is running on this thread now.
    #[inline]
    fn at_work(&mut self, is_at_work: bool) {
        if let Some(leave) = &mut self.leave {
            leave.set_at_work(is_at_work);
        }
    }

    #[inline]
    fn begin_attempt(&mut self) -> Limit {
        self.attempts += 1;
        self.limit_at(self.now)
    }

    #[inline]
    fn poll_first<T, Fut>(
        &mut self,
        first: Pin<&mut Option<Fut>>,
        around: Ambient,
        context: &mut Context<'_>,
    ) -> Poll<Result<T>>
    where
        Fut: Future<Output = Result<T>>,
    {
        let Some(first) = first.as_pin_mut() else { return Poll::Pending };
        self.at_work(true);
        let poll = ambient::inside(around, || first.poll(context));
        self.at_work(false);
        poll
    }

    /// When an attempt that begins now has to be done.
    #[inline]
    fn limit_at(&self, now: Instant) -> Limit {
        let own = self.gates.policy.attempt_timeout.map(|limit| later(now, limit));
        Limit::earlier_of(self.deadline, own)
    }

    #[inline]
    fn end_attempt<T>(&mut self, result: Result<T>, waited: bool, finish: Finish) -> Ended<T> {
        let began = match finish {
            Finish::First | Finish::Nobody => self.now,
            Finish::Hedge { since } => since,
        };
        if waited {
            self.now = self.gates.clock.now();
            self.learn(&result, began);
            if let Some(bulkhead) = &self.gates.bulkhead {
                bulkhead.ended_at(self.now, &result, self.now.saturating_duration_since(began));
            }
        }
        // Where all have failed, each has been told of already.
        let is_told = matches!(finish, Finish::Nobody);
        if self.counts() == BreakerCounts::Attempts && !is_told {
            self.record(&result, self.now.saturating_duration_since(began));
        }
        match result {
            Ok(value) => {
                self.succeeded();
                Ended::Answered(value)
            }
            Err(error) => {
                if !is_told {
                    self.heed(self.now, &error);
                }
                self.failed(error)
            }
        }
    }

    #[inline]
    fn succeeded(&mut self) {
        if self.counts() == BreakerCounts::Calls {
            self.record_call(&Ok(()));
        }
        if let Some(budget) = &self.gates.budget {
            match self.withdrawal.take() {
                None => budget.call_succeeded(),
                Some(withdrawal) => budget.retry_succeeded(withdrawal),
            }
        }
    }

    #[cold]
    fn failed<T>(&mut self, error: Error) -> Ended<T> {
        let Some(retry) = &self.gates.policy.retry else {
            return Ended::Failed(self.stop(error, None));
        };
        let why = match self.decide(retry, &error) {
            Decision::RetryAfter(delay) => return Ended::Again(error, delay),
            Decision::Stop(why) => why,
        };
        Ended::Failed(self.stop(error, Some(why)))
    }

    /// A service that asks for time gets it from all calls, not from this one alone.
    #[cold]
    fn heed(&self, now: Instant, error: &Error) {
        if let (Some(limiter), None, ErrorKind::RateLimited, Retry::After(pause)) =
            (&self.gates.limiter, error.gate(), error.kind(), error.retry())
        {
            limiter.drain_at(now, pause.min(HEEDED_MAX));
        }
        // An answer is the end of a call that went well, so it earns what a success earns.
        if let (Some(budget), Class::Answer) = (&self.gates.budget, error.class()) {
            budget.call_succeeded();
        }
    }

    fn decide(&mut self, retry: &RetryPolicy, error: &Error) -> Decision {
        let gates = self.gates;
        let (effect, clock) = (self.call.effect, &gates.clock);
        let next = retry.next(self.attempts, effect, error, self.now, self.deadline, clock);
        let Decision::RetryAfter(delay) = next else { return next };
        if !self.call.is_retried {
            return Decision::Stop(Why::NeverRetried);
        }
        if (self.call.spent)() {
            return Decision::Stop(Why::BodyUsedUp);
        }
        let opened = self.leave.as_ref().is_some_and(|leave| !leave.is_current());
        if opened && self.counts() == BreakerCounts::Attempts {
            return Decision::Stop(Why::BreakerOpen);
        }
        self.withdrawal = gates.budget.as_ref().and_then(|budget| budget.withdraw(error));
        match self.withdrawal {
            Some(_) => Decision::RetryAfter(delay),
            None => Decision::Stop(Why::BudgetEmpty),
        }
    }

    /// Waits, and passes again the gates that each attempt has to pass.
    #[cold]
    async fn prepare_again(&mut self, error: Error, delay: Duration) -> Result<()> {
        let gates = self.gates;
        gates.events.emit(|| Event::Retrying {
            source: gates.source.clone(),
            operation: self.call.operation,
            attempt: self.attempts,
            delay,
            error: error.clone(),
        });
        self.in_doubt |= self.call.effect.leaves_doubt(&error);
        self.free_slot();
        if self.counts() == BreakerCounts::Attempts {
            self.leave = None;
        }
        gates.clock.sleep(delay).await;
        self.now = gates.clock.now();
        match self.pass_again().await {
            Ok(()) => Ok(()),
            Err(why) => {
                self.return_withdrawal();
                Err(self.stop(error, Some(why)))
            }
        }
    }

    /// Gives the slot to others while nothing runs in it.
    fn free_slot(&mut self) {
        if !self.gates.policy.bulkhead.is_some_and(|bulkhead| bulkhead.hold_while_waiting) {
            self.permit = None;
        }
    }

    /// A retry that is not made costs nothing.
    fn return_withdrawal(&mut self) {
        if let (Some(budget), Some(withdrawal)) = (&self.gates.budget, self.withdrawal.take()) {
            budget.give_back(withdrawal);
        }
    }

    async fn pass_again(&mut self) -> Result<(), Why> {
        let gates = self.gates;
        // Open meanwhile, it costs a retry no token and no slot either.
        if let Some(breaker) = gates.breaker.as_ref().filter(|_| self.leave.is_none()) {
            breaker.check_at(self.now).map_err(|_| Why::BreakerOpen)?;
        }
        let charges = gates.policy.retry.as_ref().is_some_and(|retry| retry.charge_limiter);
        if let Some(limiter) = gates.limiter.as_ref().filter(|_| charges) {
            limiter.acquire(1, self.deadline).await.map_err(|_| Why::RateLimited)?;
        }
        if let Some(bulkhead) = gates.bulkhead.as_ref().filter(|_| self.permit.is_none()) {
            let permit = bulkhead.acquire(self.deadline).await;
            self.permit = Some(permit.map_err(|_| Why::BulkheadFull)?);
        }
        self.now = gates.clock.now();
        if let Some(breaker) = gates.breaker.as_ref().filter(|_| self.leave.is_none()) {
            self.leave = Some(breaker.permit_at(self.now).map_err(|_| Why::BreakerOpen)?);
            self.at_work(false);
        }
        if self.deadline.is_some_and(|deadline| deadline <= self.now) {
            return Err(Why::NoTimeLeft);
        }
        Ok(())
    }

    /// The error of the call, once no attempt follows.
    fn stop(&mut self, error: Error, why: Option<Why>) -> Error {
        if self.counts() == BreakerCounts::Calls {
            self.record_call(&Err(error.clone()));
        }
        // That the last attempt did nothing does not undo what an earlier one may have done.
        let error = if self.in_doubt { error.in_doubt() } else { error };
        let Some(why) = why else { return error };
        let gates = self.gates;
        gates.events.emit(|| Event::RetryStopped {
            source: gates.source.clone(),
            operation: self.call.operation,
            attempts: self.attempts,
            why,
            error: error.clone(),
        });
        RetryPolicy::give_up(error, self.attempts, why)
    }

    #[inline]
    fn record<T>(&mut self, result: &Result<T>, took: Duration) {
        if let Some(leave) = &mut self.leave {
            leave.record_result_at(self.now, result, Some(took));
        }
    }

    /// The one verdict of a call: it took as long as all its attempts and the waits between them.
    #[inline]
    fn record_call(&mut self, result: &Result<()>) {
        self.record(result, self.now.saturating_duration_since(self.began));
    }

    #[inline]
    fn counts(&self) -> BreakerCounts {
        self.gates.policy.breaker.as_ref().map_or(BreakerCounts::Attempts, |policy| policy.counts)
    }
}
