//! What runs beside an attempt that is slow: who may start, who has won, what the others leave behind.
//!
//! What answers first is the attempt, with the permits it was given and the time it took. A loser is
//! dropped and says nothing to any gate, except where it had failed before that.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use super::Passage;
use crate::ambient::{self, Ambient};
use crate::gates::hedge::{Finish, Hedge, Race, Rival};
use crate::gates::{Breaker, BreakerCounts, BreakerPermit, Limit, Permit, RetryBudget, Withdrawal};
use crate::{Class, Effect, Error, Event, Result};

impl<'g> Passage<'g> {
    /// When an attempt that has to be waited for gets others beside it, if it does.
    #[inline]
    pub(super) fn hedge(&self) -> Option<Hedge> {
        let hedging = self.gates.hedging.as_ref().filter(|_| self.may_be_hedged())?;
        hedging.hedge_at(self.now, self.call.operation)
    }

    /// Whether making the call several times at once is nobody's concern.
    #[inline]
    fn may_be_hedged(&self) -> bool {
        self.call.effect == Effect::Read && self.call.is_retried
    }

    /// What an attempt that runs already and those beside it come to: the first answer of any of them,
    /// or the error of the first attempt once all have failed.
    ///
    /// Boxed by its caller, because most calls are not hedged.
    pub(super) async fn race<T, Fut>(
        &mut self,
        hedge: Hedge,
        mut first: Pin<&mut Option<Fut>>,
        around: Ambient,
        make: impl Fn(Limit) -> Fut,
    ) -> (Result<T>, Finish)
    where
        Fut: Future<Output = Result<T>>,
    {
        let mut race = Race::new(hedge, self.now, &self.gates.clock);
        let mut was_just_polled = true;
        let result = poll_fn(|context| {
            let mut poll = Poll::Pending;
            if !std::mem::take(&mut was_just_polled) {
                poll = self.poll_first(first.as_mut(), around, context);
            }
            if poll.is_ready() {
                first.set(None);
            }
            self.poll_race(&mut race, poll, around, &make, context)
        });
        let result = result.await;
        // The slots of losers are free only when they do nothing any more.
        first.set(None);
        (result, race.finish)
    }

    fn poll_race<T, Fut>(
        &mut self,
        race: &mut Race<'g, Fut>,
        first: Poll<Result<T>>,
        around: Ambient,
        make: &impl Fn(Limit) -> Fut,
        context: &mut Context<'_>,
    ) -> Poll<Result<T>>
    where
        Fut: Future<Output = Result<T>>,
    {
        match first {
            Poll::Ready(Err(error)) if is_lost(&error) => {
                if race.rivals.is_empty() {
                    return Poll::Ready(Err(error.with_related(race.errors.drain(..))));
                }
                self.first_failed(race, error);
            }
            Poll::Ready(result) => return Poll::Ready(result),
            Poll::Pending => {}
        }
        loop {
            while let Some((rival, result)) = self.poll_rivals(race, around, context) {
                match result {
                    Err(error) if is_lost(&error) => self.rival_failed(race, rival, error),
                    result => {
                        self.rival_answered(race, rival);
                        return Poll::Ready(result);
                    }
                }
            }
            if let Some(error) = race.lost() {
                return Poll::Ready(Err(error));
            }
            if !race.is_due(&self.gates.clock, context) {
                return Poll::Pending;
            }
            self.start_beside(race, make);
        }
    }

    /// The next one beside the first attempt that has ended; it is out of the race.
    fn poll_rivals<T, Fut>(
        &mut self,
        race: &mut Race<'g, Fut>,
        around: Ambient,
        context: &mut Context<'_>,
    ) -> Option<(Rival<'g, Fut>, Result<T>)>
    where
        Fut: Future<Output = Result<T>>,
    {
        for position in 0..race.rivals.len() {
            let rival = &mut race.rivals[position];
            // Where the call as a whole is counted, a panic of any attempt is its failure.
            let mut leave = rival.leave.as_mut().or(self.leave.as_mut());
            set_at_work(&mut leave, true);
            let poll = ambient::inside(around, || rival.attempt.as_mut().poll(context));
            set_at_work(&mut leave, false);
            if let Poll::Ready(result) = poll {
                return Some((race.rivals.remove(position), result));
            }
        }
        None
    }

    /// Starts one more attempt beside those that run, if all gates let it pass at once.
    #[cold]
    fn start_beside<Fut>(&self, race: &mut Race<'g, Fut>, make: &impl Fn(Limit) -> Fut) {
        let gates = self.gates;
        let now = gates.clock.now();
        let Some((leave, permit, paid)) = self.pass_beside(now) else { return };
        gates.events.emit(|| Event::Hedged {
            source: gates.source.clone(),
            operation: self.call.operation,
            after: now.saturating_duration_since(self.now),
        });
        let attempt = Box::pin(make(self.limit_at(now)));
        let withdrawal = paid.spend();
        race.rivals.push(Rival { attempt, leave, permit, withdrawal, began: now });
    }

    /// Passes the gates that each attempt has to pass, without waiting for any.
    ///
    /// The token comes last: it is the only one that could not be given back.
    fn pass_beside(&self, now: Instant) -> Option<Beside<'g>> {
        let gates = self.gates;
        if self.deadline.is_some_and(|deadline| deadline <= now) || (self.call.spent)() {
            return None;
        }
        let mut leave = None;
        if let Some(breaker) = &gates.breaker {
            // A service that may be down is not asked twice to find out.
            if breaker.may_refuse() {
                return None;
            }
            if self.counts() == BreakerCounts::Attempts {
                leave.insert(breaker.permit_at(now).ok()?).set_at_work(false);
            }
        }
        let permit = match &gates.bulkhead {
            Some(bulkhead) => Some(bulkhead.try_acquire().ok()?),
            None => None,
        };
        let paid = Paid::from(gates.budget.as_ref()?)?;
        let charges = gates.policy.retry.as_ref().is_none_or(|retry| retry.charge_limiter);
        if let Some(limiter) = gates.limiter.as_ref().filter(|_| charges)
            && limiter.try_acquire_at(now, 1).is_err()
        {
            return None;
        }
        Some((leave, permit, paid))
    }

    /// The first attempt has failed, and others may still answer.
    #[cold]
    fn first_failed<Fut>(&mut self, race: &mut Race<'g, Fut>, error: Error) {
        let now = self.gates.clock.now();
        if self.counts() == BreakerCounts::Attempts {
            tell(self.leave.as_mut(), self.now, now, &error);
        }
        self.heed(now, &error);
        self.free_slot();
        race.first_error = Some(error);
    }

    #[cold]
    fn rival_failed<Fut>(&self, race: &mut Race<'g, Fut>, mut rival: Rival<'g, Fut>, error: Error) {
        let now = self.gates.clock.now();
        tell(rival.leave.as_mut(), rival.began, now, &error);
        self.heed(now, &error);
        race.errors.push(error);
    }

    /// What answered first is the attempt from now on, with all that its gates gave it.
    fn rival_answered<Fut>(&mut self, race: &mut Race<'g, Fut>, mut rival: Rival<'g, Fut>) {
        race.finish = Finish::Hedge { since: rival.began };
        self.withdrawal = rival.withdrawal.take();
        if self.counts() == BreakerCounts::Attempts {
            std::mem::swap(&mut self.leave, &mut rival.leave);
        }
        // The slot of the first one is free only when that has been dropped.
        std::mem::swap(&mut self.permit, &mut rival.permit);
        race.rivals.push(rival);
    }

    /// Remembers how long an answer took.
    ///
    /// A loser is left out, and so is a failure. Counted as long as they ran, they would make hedges
    /// come later the more they are needed; counted as short, sooner and sooner.
    #[inline]
    pub(super) fn learn<T>(&self, result: &Result<T>, began: Instant) {
        let Some(hedging) = &self.gates.hedging else { return };
        let is_answer = result.as_ref().err().is_none_or(|error| error.class() == Class::Answer);
        if is_answer && self.may_be_hedged() {
            let took = self.now.saturating_duration_since(began);
            hedging.answered_at(self.now, self.call.operation, took);
        }
    }
}

/// What the gates give to an attempt that they let pass at once.
type Beside<'g> = (Option<BreakerPermit<&'g Breaker>>, Option<Permit<'g>>, Paid<'g>);

/// What a hedge was charged; given back if it is not made, even where making it panics.
struct Paid<'g> {
    budget: &'g RetryBudget,
    withdrawal: Option<Withdrawal>,
}

impl<'g> Paid<'g> {
    /// `None` if there is not enough left.
    fn from(budget: &'g RetryBudget) -> Option<Self> {
        let withdrawal = budget.withdraw_for_hedge()?;
        Some(Self { budget, withdrawal: Some(withdrawal) })
    }

    /// The hedge was made.
    fn spend(mut self) -> Option<Withdrawal> {
        self.withdrawal.take()
    }
}

impl Drop for Paid<'_> {
    fn drop(&mut self) {
        if let Some(withdrawal) = self.withdrawal.take() {
            self.budget.give_back(withdrawal);
        }
    }
}

/// Whether an attempt that failed like this leaves it to others to answer.
fn is_lost(error: &Error) -> bool {
    error.class() == Class::Outage
}

fn set_at_work(leave: &mut Option<&mut BreakerPermit<&Breaker>>, is_at_work: bool) {
    if let Some(leave) = leave {
        leave.set_at_work(is_at_work);
    }
}

/// Tells the breaker of an attempt that failed while others were running.
fn tell(leave: Option<&mut BreakerPermit<&Breaker>>, began: Instant, now: Instant, error: &Error) {
    if let Some(leave) = leave {
        let result: Result<()> = Err(error.clone());
        leave.record_result_at(now, &result, Some(now.saturating_duration_since(began)));
    }
}
