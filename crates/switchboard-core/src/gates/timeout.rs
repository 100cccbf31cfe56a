//! Ends what takes too long.
//!
//! The timer is armed when the first poll has to wait, so that an answer that is there at once costs
//! no timer. Knows nothing of attempts or deadlines but the moment and the gate that speaks.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use pin_project_lite::pin_project;
use tokio::task::coop::{Unconstrained, unconstrained};
use tokio::time::Sleep;

use crate::ambient;
use crate::{Clock, Deadline, Error, Gate, Outcome, Result};

/// The time that one attempt may take.
///
/// ```
/// use std::time::Duration;
/// use switchboard_core::{AttemptTimeout, ErrorKind};
///
/// # let runtime = tokio::runtime::Builder::new_current_thread()
/// #     .enable_time().start_paused(true).build().unwrap();
/// # runtime.block_on(async {
/// let gate = AttemptTimeout::new(Duration::from_millis(150));
/// let late = gate.run(std::future::pending::<switchboard_core::Result<()>>()).await;
/// assert_eq!(late.unwrap_err().kind(), ErrorKind::Timeout);
/// # });
/// ```
#[derive(Clone, Copy, Debug)]
pub struct AttemptTimeout {
    limit: Duration,
}

impl AttemptTimeout {
    /// A gate that ends what takes longer than `limit`.
    pub fn new(limit: Duration) -> Self {
        Self { limit }
    }

    /// The end of `attempt`, or a time-out after which nobody knows whether it took effect.
    pub async fn run<T>(self, attempt: impl Future<Output = Result<T>>) -> Result<T> {
        self.limit(attempt).await
    }

    /// [`run`](Self::run) as a future with a name. Its time starts when it first has to wait, so that
    /// an answer that is there at once does not read the clock.
    #[inline]
    pub fn limit<F>(self, attempt: F) -> Limited<F> {
        Limited::new(attempt, Limit::Within(self.limit))
    }
}

impl Deadline {
    /// The end of `call`, which inherits this deadline, or a time-out when it comes.
    ///
    /// A deadline that has passed lets nothing begin.
    pub async fn run<T>(self, clock: &Clock, call: impl Future<Output = Result<T>>) -> Result<T> {
        self.check(clock)?;
        self.scope(self.limit(call)).await
    }

    /// The refusal of whatever has not begun, once this deadline has passed.
    #[inline]
    pub fn check(self, clock: &Clock) -> Result<()> {
        if self.moment() <= clock.now() {
            return Err(passed_before());
        }
        Ok(())
    }

    /// `call`, ended when this deadline comes; what it should inherit is set with
    /// [`inside`](Self::inside).
    #[inline]
    pub fn limit<F>(self, call: F) -> Limited<F> {
        Limited::new(call, Limit::at(self.moment(), Gate::Deadline))
    }
}

/// When something is ended, and the gate that ends it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Limit {
    /// Never.
    #[default]
    None,
    /// At that moment.
    At(Instant, Gate),
    /// So long after it first had to wait, by the attempt time-out.
    Within(Duration),
}

impl Limit {
    pub(crate) fn at(until: Instant, gate: Gate) -> Self {
        Self::At(until, gate)
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
            (None, None) => Self::None,
        }
    }

    fn timer(self) -> Option<Timer> {
        let sleep = match self {
            Self::None => return None,
            Self::At(until, _) => tokio::time::sleep_until(tokio::time::Instant::from_std(until)),
            Self::Within(limit) => tokio::time::sleep(limit),
        };
        // What runs may have used up the task's budget; the end of its time must be seen anyway.
        Some(Box::pin(unconstrained(sleep)))
    }
}

/// Boxed, because it is seldom needed.
type Timer = Pin<Box<Unconstrained<Sleep>>>;

pin_project! {
    /// A future that ends with a time-out if it has not ended before; made by
    /// [`AttemptTimeout::limit`] and [`Deadline::limit`].
    #[must_use = "a future does nothing until it is awaited"]
    pub struct Limited<F> {
        #[pin]
        future: F,
        limit: Limit,
        timer: Option<Timer>,
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
        if this.timer.is_none() {
            *this.timer = this.limit.timer();
        }
        let Some(timer) = this.timer else { return Poll::Pending };
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Err(timed_out(*this.limit)))
    }
}

impl<F> fmt::Debug for Limited<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limited").field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// The refusal of a call whose time is over before it begins.
#[cold]
pub(super) fn passed_before() -> Error {
    Error::refused(Gate::Deadline, "the deadline had passed before the call")
}

#[cold]
fn timed_out(limit: Limit) -> Error {
    let error = match limit {
        Limit::At(_, Gate::Deadline) => {
            Error::refused(Gate::Deadline, "the deadline passed before the answer came")
        }
        _ => Error::refused(Gate::AttemptTimeout, "the attempt took too long"),
    };
    error.with_outcome(Outcome::Unknown)
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
        let gate = AttemptTimeout::new(Duration::ZERO);
        assert_eq!(gate.run(async { Ok(7) }).await.unwrap(), 7);
    }
}
