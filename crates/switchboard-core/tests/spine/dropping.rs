//! Drops a future at each of its await points, one after the other.

use std::future::{Future, poll_fn};
use std::task::Poll;

/// For 0, 1, 2 … polls: stages a world with a future in it, polls that future so often, drops it
/// and has the world checked; until the future ends by itself. The answer is how many polls it had.
///
/// Between two polls every other task has one turn, so that what runs beside the future is met at
/// each of its own await points as well.
pub(crate) async fn at_every_poll<W, F: Future>(
    stage: impl AsyncFn() -> (W, F),
    check: impl AsyncFn(W, Option<F::Output>),
) -> usize {
    for polls in 0..POLLS_MAX {
        let (world, future) = stage().await;
        let mut future = Box::pin(future);
        let mut output = None;
        for _ in 0..polls {
            let polled = poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
            if let Poll::Ready(ended) = polled {
                output = Some(ended);
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(future);
        let ended = output.is_some();
        check(world, output).await;
        if ended {
            return polls;
        }
    }
    panic!("it did not end within {POLLS_MAX} polls");
}

const POLLS_MAX: usize = 500;
