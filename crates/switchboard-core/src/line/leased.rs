//! What outlives the call that made it: a session, a stream, a claimed job, a lock.
//!
//! The gates act on opening. What happens inside is counted and traced, and never retried, limited
//! or failed over: only whoever opened it knows what a repetition would mean.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::Line;
use super::call::{Ask, Kept, Label};
use super::seat::Held;
use super::slot::Slot;
use crate::environment::CLEANUP_LIMIT;
use crate::gates::{Gates, Limit, Limited};
use crate::{Deadline, Error, ErrorKind, Op, Result, Subsystem};

/// Something a driver opened, together with what keeps that driver alive.
///
/// Dropping it drops the opened thing first and lets the driver go afterwards.
pub struct Leased<S: Subsystem, T> {
    // Fields are dropped in this order.
    opened: T,
    held: Held<S>,
    kept: Kept,
    slot: Arc<Slot<S>>,
}

/// Asks a driver to open something, and keeps who opened it.
struct Opening<F>(F);

impl<S, F, Fut, T> Ask<S> for Opening<F>
where
    S: Subsystem,
    F: Fn(Held<S>) -> Fut + Send + Sync,
    Fut: Future<Output = Result<T>> + Send,
    T: Send,
{
    type Answer = (T, Held<S>, Arc<Slot<S>>);
    type Asking = Opened<S, Fut>;

    const KEEPS_SLOT: bool = true;

    fn ask(&self, slot: &Arc<Slot<S>>, held: Held<S>) -> Option<Self::Asking> {
        let by = Some((held.clone(), slot.clone()));
        Some(Opened { opening: Box::pin((self.0)(held)), by })
    }
}

/// An opening under way, together with the driver that does it.
struct Opened<S: Subsystem, Fut> {
    opening: Pin<Box<Fut>>,
    by: Option<(Held<S>, Arc<Slot<S>>)>,
}

impl<S: Subsystem, T, Fut: Future<Output = Result<T>>> Future for Opened<S, Fut> {
    type Output = Result<(T, Held<S>, Arc<Slot<S>>)>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let opened = ready!(self.opening.as_mut().poll(context));
        // Polled once more after its end it has nothing to give, as any future.
        let Some((held, slot)) = self.by.take() else { return Poll::Pending };
        Poll::Ready(opened.map(|opened| (opened, held, slot)))
    }
}

/// The watcher of what happens inside something opened.
#[derive(Clone, Copy)]
pub struct Step<'l, S: Subsystem> {
    held: &'l Held<S>,
    slot: &'l Slot<S>,
}

/// Who opened something, without what keeps the driver.
pub struct Opener<S: Subsystem> {
    label: Label,
    slot: Arc<Slot<S>>,
}

impl<S: Subsystem> Line<S> {
    /// Opens something that outlives the call.
    ///
    /// The gates act as on any call; what they gave out (the place in the bulkhead), the driver itself
    /// and its part in the load of a group's member are kept until the answer is dropped. Place and load
    /// can be [given back](Leased::free_place) earlier.
    ///
    /// ```
    /// # mod counters {
    /// #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/counters/mod.rs"));
    /// # }
    /// # use counters::{fixed, manager, op};
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> switchboard_core::Result<()> {
    /// let counters = manager()?;
    /// counters.configure("visits", &fixed(7))?;
    /// let handle = counters.get("visits").await?;
    ///
    /// // What the method of a handle does.
    /// let open = handle.line().open(op::WATCH, |driver| async move { driver.watch().await });
    /// let leased = open.await?;
    /// assert_eq!(handle.line().in_flight(), 1);
    /// drop(leased);
    /// assert_eq!(handle.line().in_flight(), 0);
    /// # Ok(()) }
    /// ```
    pub async fn open<T, F, Fut>(&self, op: Op, open: F) -> Result<Leased<S, T>>
    where
        F: Fn(Held<S>) -> Fut + Send + Sync,
        Fut: Future<Output = Result<T>> + Send,
        T: Send,
    {
        let (opened, kept) = self.slot.call(op, &Opening(open)).await?;
        let (opened, held, slot) = opened;
        Ok(Leased { opened, held, kept, slot })
    }
}

impl<S: Subsystem, T> Leased<S, T> {
    /// The opened thing, and the watcher that its operations go through.
    ///
    /// ```
    /// # mod counters {
    /// #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/counters/mod.rs"));
    /// # }
    /// # use counters::{fixed, manager, op};
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> switchboard_core::Result<()> {
    /// let counters = manager()?;
    /// counters.configure("visits", &fixed(7))?;
    ///
    /// let mut leased = counters.get("visits").await?.watch().await?;
    /// let (watch, step) = leased.parts();
    /// let next = step.run(op::NEXT, watch.next()).await?;
    /// assert_eq!(next, 8);
    /// # Ok(()) }
    /// ```
    pub fn parts(&mut self) -> (&mut T, Step<'_, S>) {
        (&mut self.opened, Step { held: &self.held, slot: &self.slot })
    }

    /// [`parts`](Self::parts) for what can do several things at the same time, such as sending while
    /// it receives.
    pub fn shared(&self) -> (&T, Step<'_, S>) {
        (&self.opened, Step { held: &self.held, slot: &self.slot })
    }

    /// Gives back the place in the bulkhead, and keeps the driver: for what has come to its end and is
    /// not closed yet.
    ///
    /// ```
    /// # mod counters {
    /// #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/counters/mod.rs"));
    /// # }
    /// # use counters::{fixed, manager};
    /// use switchboard_core::{BulkheadLimit, Policy};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> switchboard_core::Result<()> {
    /// let counters = manager()?;
    /// counters.configure("visits", &fixed(7))?;
    /// let one = BulkheadLimit { max: 1, ..BulkheadLimit::default() };
    /// counters.retune("visits", Policy { bulkhead: Some(one), ..Policy::default() })?;
    /// let handle = counters.get("visits").await?;
    ///
    /// let mut leased = handle.watch().await?;
    /// leased.free_place();
    /// let other = handle.watch().await?;
    /// assert_eq!(handle.line().in_flight(), 2);
    /// # drop(other);
    /// # Ok(()) }
    /// ```
    pub fn free_place(&mut self) {
        self.kept = Kept::default();
    }

    /// Who opened it, to answer for it after it was let go.
    pub fn opener(&self) -> Opener<S> {
        Opener { label: self.held.label(), slot: self.slot.clone() }
    }

    /// The gates of whoever opened it as they are set by now: of the member, where a group was asked.
    pub fn gates(&self) -> Option<Arc<Gates>> {
        self.slot.gates()
    }

    /// The driver that opened it.
    pub fn driver(&self) -> &Held<S> {
        &self.held
    }
}

impl<S: Subsystem> Opener<S> {
    /// The answer to an operation inside what is not there any more: `error`, counted, traced and placed
    /// as if it came from inside. Nobody is asked.
    ///
    /// ```
    /// # mod counters {
    /// #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/counters/mod.rs"));
    /// # }
    /// # use counters::{fixed, manager, op};
    /// use switchboard_core::{Error, ErrorKind, Result};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<()> {
    /// let counters = manager()?;
    /// counters.configure("visits", &fixed(7))?;
    /// let leased = counters.get("visits").await?.watch().await?;
    /// let opener = leased.opener();
    /// drop(leased);
    ///
    /// let closed = Error::new(ErrorKind::InvalidInput, "the watch is closed");
    /// let next: Result<u64> = opener.refuse(op::NEXT, closed).await;
    /// assert_eq!(next.unwrap_err().place().unwrap().operation, "next");
    /// # Ok(()) }
    /// ```
    pub async fn refuse<R>(&self, op: Op, error: Error) -> Result<R> {
        self.slot.observe(op, &self.label, async { Err(error) }).await
    }
}

impl<S: Subsystem> Step<'_, S> {
    /// Runs one operation inside what was opened: counted, traced, placed, and ended with
    /// `Unavailable` when the driver is closed under it after a swap.
    pub async fn run<R>(&self, op: Op, future: impl Future<Output = Result<R>>) -> Result<R> {
        let limit = self.begin().map_err(|error| self.refused(op, error))?;
        self.watched(op, Limited::new(self.unless_revoked(future), limit)).await
    }

    /// Runs the operation that ends what was opened: as [`run`](Self::run), but for its time.
    ///
    /// It inherits no deadline, because what is given up when the time is over has to be cleaned up as
    /// well; it ends with `Timeout` after ten seconds. Once the driver was closed under it after a swap it
    /// asks nobody and all is well: what a driver has opened ends with it.
    ///
    /// ```
    /// # mod counters {
    /// #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/counters/mod.rs"));
    /// # }
    /// # use counters::{fixed, manager, op};
    /// use switchboard_core::{Clock, Deadline, ErrorKind};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> switchboard_core::Result<()> {
    /// let counters = manager()?;
    /// counters.configure("visits", &fixed(7))?;
    /// let mut leased = counters.get("visits").await?.watch().await?;
    /// let (_, step) = leased.parts();
    ///
    /// let over = Deadline::at(Clock::system().now());
    /// over.scope(step.end(op::NEXT, async {
    ///     assert_eq!(Deadline::current(), None);
    ///     Ok(())
    /// }))
    /// .await?;
    ///
    /// let late = step.end(op::NEXT, std::future::pending()).await;
    /// assert_eq!(late.unwrap_err().kind(), ErrorKind::Timeout);
    /// # Ok(()) }
    /// ```
    pub async fn end(&self, op: Op, future: impl Future<Output = Result<()>>) -> Result<()> {
        if self.held.0.revoked.is_revoked() {
            return Ok(());
        }
        self.ended(op, future).await
    }

    /// Runs the operation that makes what was opened last, and ends it: as [`end`](Self::end), but once the
    /// driver was closed under it after a swap it is refused. What a driver has opened does not last then.
    ///
    /// ```
    /// # mod counters {
    /// #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/counters/mod.rs"));
    /// # }
    /// # use counters::{fixed, manager, op};
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> switchboard_core::Result<()> {
    /// let counters = manager()?;
    /// counters.configure("visits", &fixed(7))?;
    /// let mut leased = counters.get("visits").await?.watch().await?;
    /// let (watch, step) = leased.parts();
    /// step.complete(op::NEXT, async { watch.next().await.map(drop) }).await?;
    /// # Ok(()) }
    /// ```
    pub async fn complete(&self, op: Op, future: impl Future<Output = Result<()>>) -> Result<()> {
        if self.held.0.revoked.is_revoked() {
            return Err(self.refused(op, taken_away().not_applied()));
        }
        self.ended(op, future).await
    }

    async fn ended(&self, op: Op, future: impl Future<Output = Result<()>>) -> Result<()> {
        let ending = Deadline::lifted(self.unless_revoked(future));
        // Two results, so that a time-out of what runs is not taken for this one.
        let ending = Limited::new(async { Ok(ending.await) }, Limit::Within(CLEANUP_LIMIT));
        let in_time = async { ending.await.unwrap_or_else(|_| Err(ended_late())) };
        self.watched(op, in_time).await
    }

    /// The end of `inside`: counted, traced, placed, and told to the gates.
    async fn watched<R>(&self, op: Op, inside: impl Future<Output = Result<R>>) -> Result<R> {
        let result = self.slot.observe(op, &self.held.label(), inside).await;
        // What an old driver's sessions meet is not held against the one that serves now.
        let serves_still = self.slot.serves(self.held.generation());
        if let Some(gates) = self.slot.gates().filter(|_| serves_still) {
            gates.observed(&result);
        }
        result
    }

    /// `error`, counted and placed, of an operation that nobody was asked for.
    fn refused(&self, op: Op, error: Error) -> Error {
        self.slot.figures.refused(op, &error);
        error.at(|| self.slot.place(Some(self.held.driver_name()), op.name()))
    }

    /// How long a step that begins now may take, if it may begin at all.
    fn begin(&self) -> Result<Limit> {
        if self.held.0.revoked.is_revoked() {
            return Err(taken_away().not_applied());
        }
        Limit::inherited(self.slot.environment.clock())
    }

    /// The end of `future`, or an error when the driver is taken away; looked at only while waiting.
    async fn unless_revoked<R>(&self, future: impl Future<Output = Result<R>>) -> Result<R> {
        let mut future = pin!(future);
        let mut revoked = pin!(None);
        poll_fn(|context| {
            if let Poll::Ready(result) = future.as_mut().poll(context) {
                return Poll::Ready(result);
            }
            if revoked.is_none() {
                revoked.set(Some(self.held.0.revoked.wait()));
            }
            match revoked.as_mut().as_pin_mut().map(|revoked| revoked.poll(context)) {
                Some(Poll::Ready(())) => Poll::Ready(Err(taken_away())),
                _ => Poll::Pending,
            }
        })
        .await
    }
}

fn ended_late() -> Error {
    Error::new(ErrorKind::Timeout, "what was opened did not close in time")
}

fn taken_away() -> Error {
    Error::new(ErrorKind::Unavailable, "the driver was swapped, and what it had opened with it")
        .with_hint("open it again")
}

impl<S: Subsystem, T: fmt::Debug> fmt::Debug for Leased<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leased")
            .field("opened", &self.opened)
            .field("held", &self.held)
            .finish_non_exhaustive()
    }
}

impl<S: Subsystem> fmt::Debug for Opener<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").field("instance", &self.slot.full_name()).finish_non_exhaustive()
    }
}

impl<S: Subsystem> fmt::Debug for Step<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step").field("held", self.held).finish()
    }
}
