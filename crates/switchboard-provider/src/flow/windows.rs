//! Gathers items into windows, by number and by time.

use std::fmt;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use switchboard_core::{Clock, Error, Reply, Result};
use tokio::task::coop::cooperative;

use crate::provider::looked_after;
use crate::{Items, Provider, Stream};

/// The items of `items`, in the same order, in windows of up to `size` that are open for `within`.
///
/// A window is given when it is full, or when so much time has passed since its first item came; the
/// last one also at the end. None is empty. An error is given after the items that came before it.
/// Time runs while somebody reads: a window that is asked for late takes along one more item, if it is
/// there by then. A window of no time takes what is there at once, up to 64 items.
///
/// However fast the items come, time is looked at after each, and others get to run now and then.
///
/// ```
/// use std::num::NonZeroUsize;
/// use std::time::Duration;
/// use switchboard_core::Clock;
/// use switchboard_provider::{Items, function, windows};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> switchboard_core::Result<()> {
/// let numbers = function::items(0..3, |mut left| async move {
///     Ok(left.next().map(|number| (number, left)))
/// });
/// let size = NonZeroUsize::new(2).expect("two is not zero");
/// let mut pairs = windows(numbers, size, Duration::from_secs(1), &Clock::system());
/// assert_eq!(pairs.next().await?, Some(vec![0, 1]));
/// assert_eq!(pairs.next().await?, Some(vec![2]));
/// assert_eq!(pairs.next().await?, None);
/// # Ok(()) }
/// ```
pub fn windows<T, S: Items<T>>(
    items: S,
    size: NonZeroUsize,
    within: Duration,
    clock: &Clock,
) -> Windows<S, T> {
    let clock = clock.clone();
    let gathered = Vec::new();
    Windows { items, size, within, clock, gathered, until: None, failure: None, has_ended: false }
}

/// Items in windows; made by [`windows`].
///
/// Dropping the reply of `next` loses nothing: what was gathered stays, and goes into the same window.
pub struct Windows<S, T> {
    items: S,
    size: NonZeroUsize,
    within: Duration,
    clock: Clock,
    gathered: Vec<T>,
    /// When the window is given however few items are in it; there with its first item.
    until: Option<Instant>,
    /// What came after the items of the window that was given last.
    failure: Option<Error>,
    has_ended: bool,
}

impl<T: Send, S: Items<T>> Windows<S, T> {
    async fn gather(&mut self) -> Result<Option<Vec<T>>> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        while !self.has_ended && self.gathered.len() < self.size.get() {
            match self.pull().await {
                Some(Ok(Some(item))) => {
                    self.add(item);
                    if self.is_over() {
                        break;
                    }
                }
                Some(Ok(None)) => self.has_ended = true,
                Some(Err(failure)) if self.gathered.is_empty() => return Err(failure),
                Some(Err(failure)) => {
                    self.failure = Some(failure);
                    break;
                }
                None => break,
            }
        }
        self.until = None;
        let window = std::mem::take(&mut self.gathered);
        Ok(Some(window).filter(|window| !window.is_empty()))
    }

    /// What comes next, or `None` when the time of the window is over before.
    async fn pull(&mut self) -> Option<Result<Option<T>>> {
        // Items that are always there would keep deadlines and other tasks waiting.
        let next = cooperative(self.items.next());
        let Some(until) = self.until else { return Some(next.await) };
        let until = tokio::time::Instant::from_std(until);
        tokio::time::timeout_at(until, next).await.ok()
    }

    fn is_over(&self) -> bool {
        if self.within.is_zero() {
            return self.gathered.len() >= AT_ONCE_MAX;
        }
        self.until.is_some_and(|until| self.clock.now() >= until)
    }

    fn add(&mut self, item: T) {
        if self.gathered.is_empty() {
            // A time that cannot be represented never comes.
            self.until = self.clock.now().checked_add(self.within);
        }
        self.gathered.push(item);
    }
}

impl<T: Send, S: Items<T>> Items<Vec<T>> for Windows<S, T> {
    fn next(&mut self) -> Reply<'_, Option<Vec<T>>> {
        Reply::run(self.gather())
    }

    /// Closes the items. Those that were gathered and not given are dropped.
    fn close(&mut self) -> Reply<'_, ()> {
        Reply::run(async {
            self.has_ended = true;
            self.failure = None;
            self.gathered.clear();
            self.items.close().await
        })
    }
}

impl<S, T> fmt::Debug for Windows<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Windows")
            .field("size", &self.size)
            .field("within", &self.within)
            .field("gathered", &self.gathered.len())
            .finish_non_exhaustive()
    }
}

/// A stream whose items come in [`windows`].
///
/// ```
/// # use switchboard_core::Result;
/// use std::num::NonZeroUsize;
/// use std::time::Duration;
/// use switchboard_core::Clock;
/// use switchboard_provider::{Items, Stream, Windowed, function};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<()> {
/// let up_to = function::stream("up to", |end: u32| async move {
///     Ok(function::items(0..end, |mut left| async move {
///         Ok(left.next().map(|number| (number, left)))
///     }))
/// });
/// let size = NonZeroUsize::new(100).expect("a hundred is not zero");
/// let batches = Windowed::new(up_to, size, Duration::from_millis(50), Clock::system());
/// let mut batches: Box<dyn Items<Vec<u32>>> = batches.open(250).await?;
/// assert_eq!(batches.next().await?.map(|batch| batch.len()), Some(100));
/// batches.close().await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Windowed<P> {
    stream: P,
    size: NonZeroUsize,
    within: Duration,
    clock: Clock,
}

impl<P> Windowed<P> {
    /// `stream`, in windows of up to `size` items that are open for `within`.
    pub fn new(stream: P, size: NonZeroUsize, within: Duration, clock: Clock) -> Self {
        Self { stream, size, within, clock }
    }
}

looked_after!({ P: Provider } Windowed<P>, stream);

impl<I, O, P> Stream<I, Vec<O>> for Windowed<P>
where
    I: Send + 'static,
    O: Send + 'static,
    P: Stream<I, O>,
{
    fn open(&self, input: I) -> Reply<'_, Box<dyn Items<Vec<O>>>> {
        Reply::run(async move {
            let items = self.stream.open(input).await?;
            let windows: Box<dyn Items<Vec<O>>> =
                Box::new(windows(items, self.size, self.within, &self.clock));
            Ok(windows)
        })
    }
}

/// How many items a window of no time has at most.
const AT_ONCE_MAX: usize = 64;
