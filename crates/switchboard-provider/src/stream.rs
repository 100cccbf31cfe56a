//! One input, many outputs: server-sent events, the output of a subprocess, a paged listing.

use std::fmt;
use std::sync::Arc;

use switchboard_core::{
    Effect, Erase, Health, Held, Leased, Lifecycle, Line, Op, Reply, Result, Subsystem,
};

use crate::Provider;
use crate::asked::{self, Asked};
use crate::provider::Managed;

switchboard_core::operations! {
    /// What can be asked of a provider of this shape.
    pub(crate) mod op {
        OPEN = "open": Unsafe;
        NEXT = "next": Unsafe;
        CLOSE = "close": Unsafe;
    }
}

/// Takes one input and gives any number of outputs, one after the other.
///
/// The gates act on opening; items are free: counted, traced, and never retried or limited, because
/// whoever has begun to read cannot begin again unnoticed.
pub trait Stream<I, O>: Provider {
    /// Begins to give the outputs for `input`. What may be asked again is as for
    /// [`RequestResponse`](crate::RequestResponse).
    fn open(&self, input: I) -> Reply<'_, Box<dyn Items<O>>>;
}

/// Items that are pulled one by one.
///
/// Whoever stops before the end says so with [`close`](Self::close). Dropped without it, it frees
/// what it holds as well as a drop can.
pub trait Items<T>: Send {
    /// The next item; `None` at the end, and at every call after it. An error is not an end.
    ///
    /// Dropping the reply loses no item, polled or not: the next call gives the one that this call would
    /// have given.
    fn next(&mut self) -> Reply<'_, Option<T>>;

    /// Gives back what it holds. There are no items afterwards; once more it does nothing.
    fn close(&mut self) -> Reply<'_, ()> {
        Reply::ready(Ok(()))
    }
}

/// What the family of a shape lists as [`Subsystem::OPERATIONS`]: opening twice has this effect.
pub const fn operations(effect: Effect) -> &'static [Op] {
    asked::with_effect!(effect, op::OPEN, op::NEXT, op::CLOSE)
}

impl<I, O, P> Stream<I, O> for Arc<P>
where
    P: Stream<I, O> + ?Sized,
{
    fn open(&self, input: I) -> Reply<'_, Box<dyn Items<O>>> {
        self.as_ref().open(input)
    }
}

impl<I, O, P: Stream<I, O>> Stream<I, O> for Managed<P> {
    fn open(&self, input: I) -> Reply<'_, Box<dyn Items<O>>> {
        self.0.open(input)
    }
}

impl<I, O, P> Erase<P> for dyn Stream<I, O>
where
    P: Stream<I, O>,
    I: 'static,
    O: 'static,
{
    fn erase(provider: Arc<P>) -> Arc<Self> {
        Arc::new(Managed(provider))
    }
}

impl<T> Items<T> for Box<dyn Items<T>> {
    fn next(&mut self) -> Reply<'_, Option<T>> {
        self.as_mut().next()
    }

    fn close(&mut self) -> Reply<'_, ()> {
        self.as_mut().close()
    }
}

/// What an application holds of an instance of a family of streaming providers.
pub struct Streamer<S: Subsystem> {
    line: Line<S>,
    asked: Asked,
}

impl<S: Subsystem> Streamer<S> {
    /// Begins to read the outputs for `input`. Passes all gates; the place in the bulkhead is kept
    /// until the items end, or the answer is dropped or closed.
    pub async fn open<I, O>(&self, input: I) -> Result<OpenStream<S, O>>
    where
        S: Subsystem<Driver = dyn Stream<I, O>>,
        I: Clone + Send + Sync + 'static,
        O: Send + 'static,
    {
        let op = self.asked.op::<S>(op::OPEN);
        let open = |driver: Held<S>| {
            let input = input.clone();
            async move { driver.open(input).await }
        };
        let leased = self.line.open(op, open).await?;
        Ok(OpenStream { leased: Some(leased), has_ended: false })
    }
}

asked::handle!(Streamer);

impl<S, I, O> Stream<I, O> for Streamer<S>
where
    S: Subsystem<Driver = dyn Stream<I, O>>,
    I: Clone + Send + Sync + 'static,
    O: Send + 'static,
{
    fn open(&self, input: I) -> Reply<'_, Box<dyn Items<O>>> {
        Reply::run(async move {
            let items: Box<dyn Items<O>> = Box::new(self.open(input).await?);
            Ok(items)
        })
    }
}

/// A stream that was opened through a line, and the provider that gives its items.
///
/// ```
/// # use switchboard_core::Result;
/// # use switchboard_provider::{OpenStream, Stream};
/// # use switchboard_core::Subsystem;
/// async fn total<S: Subsystem>(mut numbers: OpenStream<S, u64>) -> Result<u64> {
///     let mut total = 0;
///     while let Some(number) = numbers.next().await? {
///         total += number;
///     }
///     numbers.close().await?;
///     Ok(total)
/// }
/// ```
pub struct OpenStream<S: Subsystem, O> {
    /// `None` once it was closed.
    leased: Option<Leased<S, Box<dyn Items<O>>>>,
    has_ended: bool,
}

impl<S: Subsystem, O: Send + 'static> OpenStream<S, O> {
    /// The next item, or `None` at the end. After an error it may go on or not, as the provider says.
    ///
    /// When the provider was swapped and the time to drain it is over, it answers `Unavailable`.
    pub async fn next(&mut self) -> Result<Option<O>> {
        let Some(leased) = self.leased.as_mut().filter(|_| !self.has_ended) else {
            return Ok(None);
        };
        let (items, step) = leased.parts();
        // Asked inside the step, so that one that may not begin asks nobody.
        let item = step.run(op::NEXT, async { items.next().await }).await?;
        if item.is_none() {
            self.has_ended = true;
            leased.free_place();
        }
        Ok(item)
    }

    /// Ends it before its end, or after it. Whether the provider could let go of it is the answer.
    ///
    /// It has ten seconds whatever deadline is around it, so that one can clean up when the time is over.
    /// When the provider was swapped and the time to drain it is over, it ended with the provider, which is
    /// not asked.
    pub async fn close(mut self) -> Result<()> {
        self.close_once().await
    }

    async fn close_once(&mut self) -> Result<()> {
        let Some(mut leased) = self.leased.take() else { return Ok(()) };
        let (items, step) = leased.parts();
        step.end(op::CLOSE, async { items.close().await }).await
    }
}

impl<S: Subsystem, O: Send + 'static> Items<O> for OpenStream<S, O> {
    fn next(&mut self) -> Reply<'_, Option<O>> {
        Reply::run(self.next())
    }

    fn close(&mut self) -> Reply<'_, ()> {
        Reply::run(self.close_once())
    }
}

impl<S: Subsystem, O> fmt::Debug for OpenStream<S, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let driver = self.leased.as_ref().map(Leased::driver);
        f.debug_struct("OpenStream").field("driver", &driver).finish_non_exhaustive()
    }
}
