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
use super::call::Ask;
use super::seat::Held;
use super::slot::Slot;
use crate::gates::{Limit, Limited};
use crate::{Error, ErrorKind, Op, OwnedPermit, Result, Subsystem};

/// Something a driver opened, together with what keeps that driver alive.
///
/// Dropping it drops the opened thing first and lets the driver go afterwards.
pub struct Leased<S: Subsystem, T> {
    // Fields are dropped in this order.
    opened: T,
    held: Held<S>,
    _permit: Option<OwnedPermit>,
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

impl<S: Subsystem> Line<S> {
    /// Opens something that outlives the call.
    ///
    /// The gates act as on any call; what they gave out (the place in the bulkhead) and the driver
    /// itself are kept until the answer is dropped.
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
        let (opened, permit) = self.slot.call(op, &Opening(open)).await?;
        let (opened, held, slot) = opened;
        Ok(Leased { opened, held, _permit: permit, slot })
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

    /// The driver that opened it.
    pub fn driver(&self) -> &Held<S> {
        &self.held
    }
}

impl<S: Subsystem> Step<'_, S> {
    /// Runs one operation inside what was opened: counted, traced, placed, and ended with
    /// `Unavailable` when the driver is closed under it after a swap.
    pub async fn run<R>(&self, op: Op, future: impl Future<Output = Result<R>>) -> Result<R> {
        let limit = self.begin().map_err(|error| {
            self.slot.figures.refused(op, &error);
            error.at(|| self.slot.place(Some(self.held.driver_name()), op.name()))
        })?;
        let inside = Limited::new(self.unless_revoked(future), limit);
        let result = self.slot.observe(op, &self.held.label(), inside).await;
        // What an old driver's sessions meet is not held against the one that serves now.
        let serves_still = self.slot.serves(self.held.generation());
        if let Some(gates) = self.slot.gates().filter(|_| serves_still) {
            gates.observed(&result);
        }
        result
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

impl<S: Subsystem> fmt::Debug for Step<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step").field("held", self.held).finish()
    }
}
