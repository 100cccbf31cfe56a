//! Ends what takes too long.
//!
//! The timer is armed when the first poll has to wait, so that an answer that is there at once costs
//! no timer. Knows nothing of attempts or deadlines but the moment and the gate that speaks.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use pin_project_lite::pin_project;
use tokio::task::coop::{Unconstrained, unconstrained};
use tokio::time::Sleep;

use crate::ambient::{self, later};
use crate::{Clock, Deadline, Error, Gate, Outcome, Result};

/// The time that one attempt may take.
///
/// ```
/// use std::time::Duration;
/// use switchboard_core::{AttemptTimeout, Clock, ErrorKind};
///
/// # let runtime = tokio::runtime::Builder::new_current_thread()
/// #     .enable_time().start_paused(true).build().unwrap();
/// # runtime.block_on(async {
/// let gate = AttemptTimeout::new(Duration::from_millis(150), Clock::system());
/// let late = gate.run(std::future::pending::<switchboard_core::Result<()>>()).await;
/// assert_eq!(late.unwrap_err().kind(), ErrorKind::Timeout);
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct AttemptTimeout {
    limit: Duration,
    clock: Clock,
}

impl AttemptTimeout {
    /// A gate that ends what takes longer than `limit`.
    pub fn new(limit: Duration, clock: Clock) -> Self {
        Self { limit, clock }
    }

    /// The end of `attempt`, or a time-out after which nobody knows whether it took effect.
    pub async fn run<T>(&self, attempt: impl Future<Output = Result<T>>) -> Result<T> {
        let until = later(self.clock.now(), self.limit);
        Limited::new(attempt, Limit::at(until, Gate::AttemptTimeout)).await
    }
}

impl Deadline {
    /// The end of `call`, which inherits this deadline, or a time-out when it comes.
    ///
    /// A deadline that has passed lets nothing begin.
    pub async fn run<T>(self, clock: &Clock, call: impl Future<Output = Result<T>>) -> Result<T> {
        if self.moment() <= clock.now() {
            return Err(passed_before());
        }
        self.scope(Limited::new(call, Limit::at(self.moment(), Gate::Deadline))).await
    }
}

/// The moment at which something is ended, and the gate that ends it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limit(Option<(Instant, Gate)>);

impl Limit {
    pub(crate) fn at(until: Instant, gate: Gate) -> Self {
        Self(Some((until, gate)))
    }

    /// The deadline of the call around, where there is one; a refusal if it has passed.
    pub(crate) fn inherited(clock: &Clock) -> Result<Self> {
        let Some(deadline) = ambient::current().deadline else { return Ok(Self::default()) };
        if deadline <= clock.now() {
            return Err(passed_before());
        }
        Ok(Self::at(deadline, Gate::Deadline))
    }

    /// Whichever comes first of a deadline and the end of an attempt.
    #[inline]
    pub(super) fn earlier_of(deadline: Option<Instant>, attempt: Option<Instant>) -> Self {
        match (attempt, deadline) {
            (Some(attempt), Some(deadline)) if attempt < deadline => {
                Self::at(attempt, Gate::AttemptTimeout)
            }
            (_, Some(deadline)) => Self::at(deadline, Gate::Deadline),
            (Some(attempt), None) => Self::at(attempt, Gate::AttemptTimeout),
            (None, None) => Self(None),
        }
    }
}

pin_project! {
    /// A future with an end.
    pub(crate) struct Limited<F> {
        #[pin]
        future: F,
        limit: Limit,
        timer: Option<Pin<Box<Unconstrained<Sleep>>>>,
    }
}

impl<F> Limited<F> {
    #[inline]
    pub(crate) fn new(future: F, limit: Limit) -> Self {
        Self { future, limit, timer: None }
    }
}

impl<T, F: Future<Output = Result<T>>> Future for Limited<F> {
    type Output = Result<T>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(result) = this.future.poll(context) {
            return Poll::Ready(result);
        }
        let Some((until, gate)) = this.limit.0 else { return Poll::Pending };
        let timer = this.timer.get_or_insert_with(|| {
            let until = tokio::time::Instant::from_std(until);
            // What runs may have used up the task's budget; the end of its time must be seen anyway.
            Box::pin(unconstrained(tokio::time::sleep_until(until)))
        });
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Err(timed_out(gate)))
    }
}

/// The refusal of a call whose time is over before it begins.
#[cold]
pub(super) fn passed_before() -> Error {
    Error::refused(Gate::Deadline, "the deadline had passed before the call")
}

#[cold]
fn timed_out(gate: Gate) -> Error {
    let message = match gate {
        Gate::Deadline => "the deadline passed before the answer came",
        _ => "the attempt took too long",
    };
    Error::refused(gate, message).with_outcome(Outcome::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_ends_what_runs_and_lets_nothing_begin_afterwards() {
        let clock = Clock::system();
        let deadline = Deadline::within(&clock, Duration::from_secs(1));
        let ended = deadline.run(&clock, std::future::pending::<Result<()>>()).await.unwrap_err();
        assert_eq!((ended.kind(), ended.outcome()), (ErrorKind::Timeout, Outcome::Unknown));

        let mut has_begun = false;
        let late = deadline.run(&clock, async {
            has_begun = true;
            Ok(())
        });
        assert_eq!(late.await.unwrap_err().outcome(), Outcome::NotApplied);
        assert!(!has_begun);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_there_at_once_is_never_late() {
        let gate = AttemptTimeout::new(Duration::ZERO, Clock::system());
        assert_eq!(gate.run(async { Ok(7) }).await.unwrap(), 7);
    }
}
