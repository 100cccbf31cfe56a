//! Drops a future at each of its awaits.
//!
//! Knows nothing about lines: what must be true after a drop is the caller's check.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use switchboard_core::Clock;

use crate::settle;

/// Drops what `make` makes at each of its awaits, and runs `check` after each drop.
///
/// The future is made afresh and polled not at all, then once, then twice, until it comes to its
/// end; in between it waits to be woken like any task, so it may depend on other tasks and on time
/// (a paused clock moves by itself meanwhile). After each drop, and after the end, all tasks get
/// their turn, and `check` is told how often the future was polled. What one run uses up, such as
/// a script, `make` sets up anew.
///
/// The answer is at how many awaits it waited. A test should expect that number: a future that is
/// ready at once proves nothing. Where a driver answers at once, [`slowed`](crate::slowed) puts an
/// await before it.
///
/// ```
/// # use std::time::Duration;
/// use switchboard_testkit::drop_at_every_await;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let slots = tokio::sync::Semaphore::new(1);
/// let awaits = drop_at_every_await(
///     async || {
///         let _slot = slots.acquire().await;
///         tokio::time::sleep(Duration::from_secs(1)).await;
///         tokio::time::sleep(Duration::from_secs(1)).await;
///     },
///     async |_| assert_eq!(slots.available_permits(), 1),
/// );
/// assert_eq!(awaits.await, 2);
/// # }
/// ```
///
/// # Panics
///
/// With the number of the await and the words of `check`, where that panics; and if the future is
/// not woken within five minutes, or not done after 500 polls.
#[track_caller]
pub fn drop_at_every_await<T>(
    mut make: impl AsyncFnMut() -> T,
    mut check: impl AsyncFnMut(usize),
) -> impl Future<Output = usize> {
    let place = Location::caller();
    async move {
        for polls in 0..=POLLS_MAX {
            let is_done = match ends_within(polls, make()).await {
                Ok(is_done) => is_done,
                Err(NeverWoken { awaits }) => {
                    panic!("{place}: at await {awaits} the future was not woken for {WAIT_MAX:?}")
                }
            };
            settle().await;
            if let Err(words) = contained(check(polls)).await {
                panic!("{place}: {}: {words}", after(polls, is_done));
            }
            if is_done {
                return polls - 1;
            }
        }
        panic!("{place}: the future was not done after {POLLS_MAX} polls");
    }
}

/// Polls `future` so often, each time it is woken, and drops it; whether it came to its end.
async fn ends_within(polls: usize, future: impl Future) -> Result<bool, NeverWoken> {
    let clock = Clock::system();
    let mut future = pin!(future);
    let mut patience = pin!(clock.sleep_until(clock.now() + WAIT_MAX));
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(Ok(false));
        }
        if patience.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(NeverWoken { awaits: polls - left }));
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(_) => Poll::Ready(Ok(true)),
            Poll::Pending if left == 0 => Poll::Ready(Ok(false)),
            Poll::Pending => {
                patience.set(clock.sleep_until(clock.now() + WAIT_MAX));
                // Polled once, so that it wakes the task.
                patience.as_mut().poll(context).map(|()| Err(NeverWoken { awaits: polls - left }))
            }
        }
    })
    .await
}

/// The future waited at one of its awaits for longer than anything takes.
struct NeverWoken {
    awaits: usize,
}

fn after(polls: usize, is_done: bool) -> String {
    match (polls, is_done) {
        (0, _) => "dropped before its first poll".to_owned(),
        (polls, false) => format!("dropped at await {polls}"),
        (polls, true) => format!("after its end, with {} awaits", polls - 1),
    }
}

/// Runs `future`; a panic in it is the words it said.
async fn contained(future: impl Future<Output = ()>) -> Result<(), String> {
    let mut future = pin!(future);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(poll) => poll.map(Ok),
        Err(payload) => Poll::Ready(Err(words_of(&*payload))),
    })
    .await
}

fn words_of(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref().cloned()).unwrap_or_else(|| "(no message)".to_owned())
}

/// How often a future is polled before it is taken to go on for ever.
const POLLS_MAX: usize = 500;

/// How long a future may wait for one wake-up: no time on a paused clock, and on one that runs
/// longer than any service takes.
const WAIT_MAX: Duration = Duration::from_mins(5);

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::pending;

    use tokio::task::yield_now;
    use tokio::time::sleep;

    use super::*;

    /// Counts up, and down again at the end: a drop in between leaves it up.
    async fn leaky(gauge: &Cell<i32>) {
        yield_now().await;
        gauge.set(gauge.get() + 1);
        sleep(Duration::from_secs(1)).await;
        gauge.set(gauge.get() - 1);
    }

    /// Counts down whatever becomes of it.
    async fn clean(gauge: &Cell<i32>) {
        struct Down<'g>(&'g Cell<i32>);
        impl Drop for Down<'_> {
            fn drop(&mut self) {
                self.0.set(self.0.get() - 1);
            }
        }
        yield_now().await;
        gauge.set(gauge.get() + 1);
        let _down = Down(gauge);
        sleep(Duration::from_secs(1)).await;
    }

    #[tokio::test(start_paused = true)]
    #[should_panic = "dropped at await 2: assertion `left == right` failed: the gauge is up"]
    async fn a_future_that_leaks_is_caught_at_its_await() {
        let gauge = Cell::new(0);
        let check = async |_| assert_eq!(gauge.get(), 0, "the gauge is up");
        drop_at_every_await(|| leaky(&gauge), check).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_clean_future_passes_and_every_drop_is_checked() {
        let gauge = Cell::new(0);
        let mut checked = Vec::new();
        let check = async |polls| {
            assert_eq!(gauge.get(), 0);
            checked.push(polls);
        };
        assert_eq!(drop_at_every_await(|| clean(&gauge), check).await, 2);
        assert_eq!(checked, [0, 1, 2, 3]);
    }

    #[tokio::test(start_paused = true)]
    #[should_panic = "after its end, with 1 awaits: left"]
    async fn what_is_left_behind_at_the_end_is_caught_too() {
        let left = Cell::new(false);
        let make = async || {
            yield_now().await;
            left.set(true);
        };
        drop_at_every_await(make, async |_| assert!(!left.get(), "left")).await;
    }

    #[tokio::test(start_paused = true)]
    #[should_panic = "at await 1 the future was not woken"]
    async fn a_future_that_is_never_woken_is_reported_and_does_not_hang() {
        drop_at_every_await(pending::<()>, async |_| {}).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_future_that_waits_long_but_often_is_not_given_up() {
        let make = async || {
            for _ in 0..3 {
                sleep(WAIT_MAX / 2).await;
            }
        };
        assert_eq!(drop_at_every_await(make, async |_| {}).await, 3);
    }

    #[tokio::test(start_paused = true)]
    #[should_panic = "not done after 500 polls"]
    async fn a_future_without_end_is_given_up() {
        let endless = async || {
            loop {
                yield_now().await;
            }
        };
        drop_at_every_await(endless, async |_| {}).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_future_may_wait_for_another_task() {
        let make = async || {
            let (sender, receiver) = tokio::sync::oneshot::channel();
            #[expect(clippy::disallowed_methods, reason = "the other task")]
            drop(tokio::spawn(async move {
                sleep(Duration::from_secs(1)).await;
                sender.send(()).ok();
            }));
            receiver.await.unwrap();
        };
        assert_eq!(drop_at_every_await(make, async |_| {}).await, 1);
    }
}
