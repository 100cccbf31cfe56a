//! The answer of a driver: there at once, or worked out by a boxed future.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::Result;

/// What a method of a driver returns: a future of a [`Result`].
///
/// Driver traits are object-safe, so their futures cannot be named. A driver that must wait boxes
/// one with [`Reply::run`]; a driver that has the answer in hand gives it with [`Reply::ready`] and
/// nothing is allocated.
///
/// ```
/// use switchboard_core::{Reply, Result};
///
/// struct Counter(u64);
///
/// impl Counter {
///     fn read(&self) -> Reply<'_, u64> {
///         Reply::ready(Ok(self.0))
///     }
///
///     fn read_slowly(&self) -> Reply<'_, u64> {
///         Reply::run(async move {
///             tokio::task::yield_now().await;
///             Ok(self.0)
///         })
///     }
/// }
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// let counter = Counter(7);
/// assert_eq!(counter.read().await?, counter.read_slowly().await?);
/// # Result::<()>::Ok(()) }).unwrap();
/// ```
#[must_use = "a reply does nothing until it is awaited"]
pub struct Reply<'a, T>(State<'a, T>);

enum State<'a, T> {
    Ready(Option<Result<T>>),
    Boxed(Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>),
}

impl<'a, T> Reply<'a, T> {
    /// The answer is known already.
    #[inline]
    pub fn ready(result: Result<T>) -> Self {
        Self(State::Ready(Some(result)))
    }

    /// The answer is what `future` works out.
    pub fn run(future: impl Future<Output = Result<T>> + Send + 'a) -> Self {
        Self(State::Boxed(Box::pin(future)))
    }
}

impl<T> From<Result<T>> for Reply<'_, T> {
    fn from(result: Result<T>) -> Self {
        Self::ready(result)
    }
}

// Nothing in it is pinned in place: the answer is moved out, the future has a box of its own.
impl<T> Unpin for Reply<'_, T> {}

impl<T> Future for Reply<'_, T> {
    type Output = Result<T>;

    /// # Panics
    ///
    /// If it is polled again after it was ready.
    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Ready(result) => match result.take() {
                Some(result) => Poll::Ready(result),
                None => polled_again(),
            },
            State::Boxed(future) => future.as_mut().poll(context),
        }
    }
}

impl<T> fmt::Debug for Reply<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            State::Ready(_) => "Reply::ready",
            State::Boxed(_) => "Reply::run",
        })
    }
}

#[cold]
fn polled_again() -> ! {
    panic!("a reply was polled again after it had answered")
}
