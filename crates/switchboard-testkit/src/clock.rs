//! Moves time, and lets everything happen that can happen without it.
//!
//! For tests on tokio's paused clock: `#[tokio::test(start_paused = true)]`. Reading time and
//! throwing dice belong to [`Clock`]; `Clock::seeded` repeats its dice.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use switchboard_core::Clock;
use tokio::task::yield_now;

/// Moves the paused clock by `duration`, and lets everything that was waiting for it happen.
///
/// Every timer on the way fires at its own moment, so a task that wakes each second wakes as often
/// as it should. (`tokio::time::advance` jumps: such a task wakes once, at the end.) What becomes
/// runnable has run when this returns, as with [`settle`].
///
/// ```
/// # use std::time::Duration;
/// # use switchboard_core::Clock;
/// use switchboard_testkit::advance;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let clock = Clock::system();
/// let before = clock.now();
/// advance(Duration::from_micros(2_500)).await;
/// assert_eq!(clock.now() - before, Duration::from_micros(2_500));
/// # }
/// ```
///
/// # Panics
///
/// If the clock is not paused.
pub async fn advance(duration: Duration) {
    // Moves nothing, but panics on a clock that runs, which the sleep below would wait for.
    tokio::time::advance(Duration::ZERO).await;
    let clock = Clock::system();
    let start = clock.now();
    let end = start + duration;
    // Tasks that have not run yet set the timers that are to fire on the way.
    settle().await;
    if let Some(most) = duration.checked_sub(TICK) {
        clock.sleep_until(start + most).await;
    }
    // The sleep ended up to a tick late, never later than `end`.
    tokio::time::advance(end.saturating_duration_since(clock.now())).await;
    settle().await;
}

/// Lets every task run until it waits for time or for something from outside.
///
/// Time does not move. Work on other threads is not waited for, and a task that never stops
/// yielding is left to itself after a while. Meant for the current-thread runtime of a test.
///
/// ```
/// use switchboard_testkit::settle;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// # #[allow(clippy::disallowed_methods)]
/// let task = tokio::spawn(async {
///     for _ in 0..10 {
///         tokio::task::yield_now().await;
///     }
/// });
/// settle().await;
/// assert!(task.is_finished());
/// # }
/// ```
pub async fn settle() {
    for _ in 0..ROUNDS {
        yield_now().await;
    }
}

/// What a future has come to once everything that can happen without time has happened.
///
/// It is polled now, and again only when it was woken: a wake-up that is forgotten shows as
/// `Pending`. It may be polled, awaited or dropped afterwards.
///
/// ```
/// # use std::time::Duration;
/// use switchboard_testkit::{advance, poll_settled};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let mut answer = Box::pin(async {
///     tokio::time::sleep(Duration::from_secs(1)).await;
///     7
/// });
/// assert!(poll_settled(&mut answer).await.is_pending());
/// advance(Duration::from_secs(1)).await;
/// assert_eq!(poll_settled(&mut answer).await, std::task::Poll::Ready(7));
/// # }
/// ```
pub async fn poll_settled<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let waker = Waker::from(woken.clone());
    let mut context = Context::from_waker(&waker);
    for _ in 0..ROUNDS {
        if woken.0.swap(false, Ordering::AcqRel)
            && let Poll::Ready(output) = Pin::new(&mut *future).poll(&mut context)
        {
            return Poll::Ready(output);
        }
        yield_now().await;
    }
    Poll::Pending
}

/// Whether somebody asked for another poll.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

/// How often all other tasks get their turn: far longer than any chain of wake-ups that is not
/// endless, and still over within a millisecond.
const ROUNDS: usize = 100;

/// How exact tokio's timers are.
const TICK: Duration = Duration::from_millis(1);

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests need tasks to watch")]
mod tests {
    use std::future::{pending, poll_fn};
    use std::sync::atomic::AtomicUsize;
    use std::task::Poll;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_wakes_each_second_wakes_at_each_of_them() {
        let clock = Clock::system();
        let start = clock.now();
        let (sender, mut heard) = tokio::sync::mpsc::unbounded_channel();
        drop(tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                sender.send(Clock::system().now() - start).unwrap();
            }
        }));
        advance(Duration::from_secs(3)).await;
        for second in 1..=3 {
            assert_eq!(heard.try_recv().unwrap(), Duration::from_secs(second));
        }
        assert!(heard.try_recv().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn time_moves_exactly_as_far_as_it_was_told() {
        let clock = Clock::system();
        for micros in [0, 1, 999, 1_000, 1_001, 1_999, 2_000, 123_456_789] {
            let before = clock.now();
            advance(Duration::from_micros(micros)).await;
            assert_eq!(clock.now() - before, Duration::from_micros(micros));
        }
    }

    #[tokio::test]
    #[should_panic = "not frozen"]
    async fn a_clock_that_runs_is_not_waited_for() {
        advance(Duration::from_hours(1)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_chain_of_tasks_that_wake_each_other_runs_to_its_end() {
        let done = Arc::new(AtomicUsize::new(0));
        let (first, mut before) = tokio::sync::oneshot::channel::<()>();
        for _ in 0..1_000 {
            let (sender, next) = tokio::sync::oneshot::channel();
            let (previous, done) = (std::mem::replace(&mut before, next), done.clone());
            drop(tokio::spawn(async move {
                previous.await.unwrap();
                done.fetch_add(1, Ordering::Relaxed);
                sender.send(()).ok();
            }));
        }
        first.send(()).unwrap();
        settle().await;
        assert_eq!(done.load(Ordering::Relaxed), 1_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_never_rests_does_not_hold_the_test_up() {
        let restless = tokio::spawn(async {
            loop {
                yield_now().await;
            }
        });
        settle().await;
        assert!(poll_settled(&mut pending::<()>()).await.is_pending());
        restless.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_future_that_forgets_to_be_woken_stays_pending() {
        let forgetful = |wakes: bool| {
            let mut polls = 0;
            poll_fn(move |context| {
                polls += 1;
                if wakes {
                    context.waker().wake_by_ref();
                }
                if polls > 1 { Poll::Ready(polls) } else { Poll::Pending }
            })
        };
        assert_eq!(poll_settled(&mut forgetful(true)).await, Poll::Ready(2));
        assert_eq!(poll_settled(&mut forgetful(false)).await, Poll::Pending);
    }
}
