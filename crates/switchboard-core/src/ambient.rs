//! What a call inherits from the call it is made in: deadline, creation, closing.
//!
//! Set on the thread while a future is polled, and put back after each poll, so that it follows the
//! task and never leaks into another one. A spawned task starts without it; what should go along is
//! handed over with [`Deadline::scope`].

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::time::{Duration, Instant};

use crate::Clock;

/// The moment until which a call, and every call made inside it, must be done.
///
/// Calls of the same task inherit it. For a spawned task it is handed over explicitly:
///
/// ```
/// use std::time::Duration;
/// use switchboard_core::{Clock, Deadline};
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
/// # runtime.block_on(async {
/// let clock = Clock::system();
/// let deadline = Deadline::within(&clock, Duration::from_secs(2));
/// deadline
///     .scope(async move {
///         let inherited = Deadline::current().expect("every call in here has it");
///         tokio::spawn(inherited.scope(async { /* and here too */ })).await.unwrap();
///     })
///     .await;
/// # });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// At `moment`.
    pub fn at(moment: Instant) -> Self {
        Self(moment)
    }

    /// After `limit` from now; so far away that it never comes if `limit` cannot be added.
    pub fn within(clock: &Clock, limit: Duration) -> Self {
        Self(later(clock.now(), limit))
    }

    /// The deadline of the call this is asked in.
    pub fn current() -> Option<Self> {
        current().deadline.map(Self)
    }

    /// The moment itself.
    pub fn moment(self) -> Instant {
        self.0
    }

    /// Runs `work` so that calls made in it inherit this deadline, or an earlier one around it: one
    /// poll of a future that is written by hand, or what makes a future.
    #[inline]
    pub fn inside<T>(self, work: impl FnOnce() -> T) -> T {
        inside(current().until(Some(self.0)), work)
    }

    /// Runs `future` so that calls in it inherit this deadline, or an earlier one around it.
    ///
    /// It does not end the future itself; the calls in it end.
    pub async fn scope<F: Future>(self, future: F) -> F::Output {
        scope(current().until(Some(self.0)), pin!(future)).await
    }

    /// Runs `future` so that calls in it inherit no deadline at all: for work that others wait for
    /// too, and that has a limit of its own.
    pub async fn lifted<F: Future>(future: F) -> F::Output {
        scope(Ambient { deadline: None, ..current() }, pin!(future)).await
    }
}

/// Everything that is inherited. Zero stands for "none" where a number is meant.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ambient {
    pub(crate) deadline: Option<Instant>,
    /// The slot whose creation this runs in.
    pub(crate) creating: u64,
    /// The manager whose closing this runs in.
    pub(crate) closing: u64,
}

impl Ambient {
    /// The same, with the earlier of both deadlines.
    pub(crate) fn until(self, deadline: Option<Instant>) -> Self {
        Self { deadline: earlier(self.deadline, deadline), ..self }
    }
}

/// What the code that runs now inherits.
#[inline]
pub(crate) fn current() -> Ambient {
    AMBIENT.get()
}

/// Polls `future` with `ambient` in place of whatever is around it.
///
/// Called with a reference or a box that is pinned: what comes by value takes its room twice.
pub(crate) async fn scope<F: Future>(ambient: Ambient, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|context| inside(ambient, || future.as_mut().poll(context))).await
}

/// Runs `work`, one poll of something, with `ambient` in place of whatever is around it.
#[inline]
pub(crate) fn inside<T>(ambient: Ambient, work: impl FnOnce() -> T) -> T {
    let _restored = Restore(AMBIENT.replace(ambient));
    work()
}

/// The earlier of two moments, where there are any.
pub(crate) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// `moment` plus `delay`, or the far future where that cannot be represented.
pub(crate) fn later(moment: Instant, delay: Duration) -> Instant {
    moment.checked_add(delay).unwrap_or_else(|| moment + FAR)
}

/// Thirty years: farther than any process runs, and small enough for every platform's clock.
const FAR: Duration = Duration::from_hours(30 * 365 * 24);

struct Restore(Ambient);

impl Drop for Restore {
    fn drop(&mut self) {
        AMBIENT.set(self.0);
    }
}

thread_local! {
    static AMBIENT: Cell<Ambient> =
        const { Cell::new(Ambient { deadline: None, creating: 0, closing: 0 }) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_earlier_deadline_wins_and_the_outer_one_comes_back() {
        let clock = Clock::system();
        let early = Deadline::within(&clock, Duration::from_secs(1));
        let late = Deadline::within(&clock, Duration::from_secs(9));
        early
            .scope(async {
                late.scope(async { assert_eq!(Deadline::current(), Some(early)) }).await;
                tokio::task::yield_now().await;
                assert_eq!(Deadline::current(), Some(early));
            })
            .await;
        assert_eq!(Deadline::current(), None);
    }

    #[tokio::test]
    async fn what_is_lifted_out_of_a_deadline_has_none_and_what_is_around_it_keeps_it() {
        let clock = Clock::system();
        let deadline = Deadline::within(&clock, Duration::from_secs(1));
        deadline
            .scope(async {
                Deadline::lifted(async { assert_eq!(Deadline::current(), None) }).await;
                assert_eq!(Deadline::current(), Some(deadline));
            })
            .await;
    }

    #[tokio::test]
    async fn a_panic_while_polling_leaves_nothing_behind() {
        let deadline = Deadline::at(Clock::system().now());
        let mut scoped = Box::pin(deadline.scope(async { panic!("on purpose") }));
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            let _ = scoped.as_mut().poll(&mut context);
        }));
        assert!(caught.is_err());
        assert_eq!(Deadline::current(), None);
    }

    #[test]
    fn a_limit_without_end_is_a_moment_that_never_comes() {
        let clock = Clock::system();
        let deadline = Deadline::within(&clock, Duration::MAX);
        assert!(deadline.moment() > clock.now() + Duration::from_secs(1_000_000));
    }
}
