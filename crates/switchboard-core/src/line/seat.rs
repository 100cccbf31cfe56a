//! One generation of an instance: a driver, who uses it, and its retirement.

use std::any::TypeId;
use std::convert::Infallible;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio::sync::{Notify, oneshot};

use super::build::Built;
use crate::panics::contained;
use crate::sharded::{Hold, Sharded, Watch};
use crate::{Error, ErrorKind, Lifecycle as _, Result, Subsystem};

/// What a call needs to know of the driver that serves it.
pub(crate) struct Seat<S: Subsystem> {
    /// What calls go to: the driver, or what it is wrapped in.
    pub(super) driver: Arc<S::Driver>,
    /// The driver itself, which is started, checked and closed.
    pub(super) own: Arc<S::Driver>,
    pub(super) label: &'static str,
    pub(super) generation: u64,
    pub(super) revoked: Arc<Revoked>,
    /// Dropped with the last use of this generation, which is how its end is noticed.
    alive: Arc<oneshot::Sender<Infallible>>,
}

/// The driver of an instance, kept alive for the length of a call.
///
/// A swap that happens meanwhile does not touch it; the driver is closed after the last of these
/// has gone, or when the drain limit has passed.
pub struct Held<S: Subsystem>(pub(super) Hold<Seat<S>>);

impl<S: Subsystem> Held<S> {
    /// The name of the driver.
    pub fn driver_name(&self) -> &'static str {
        self.0.label
    }

    /// How often the instance had been given a driver when this one came.
    pub fn generation(&self) -> u64 {
        self.0.generation
    }

    /// The driver itself, whatever it is wrapped in: for its lifecycle.
    pub(super) fn own(&self) -> &S::Driver {
        &self.0.own
    }
}

impl<S: Subsystem> Clone for Held<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S: Subsystem> Deref for Held<S> {
    type Target = S::Driver;

    #[inline]
    fn deref(&self) -> &S::Driver {
        &self.0.driver
    }
}

impl<S: Subsystem> fmt::Debug for Held<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held")
            .field("subsystem", &S::NAME)
            .field("driver", &self.0.label)
            .field("generation", &self.0.generation)
            .finish()
    }
}

/// A generation from the owner's side: it hands out seats, and retires the driver in the end.
pub(crate) struct Serving<S: Subsystem> {
    pub(super) seats: Sharded<Seat<S>>,
    driver_type: TypeId,
    drained: oneshot::Receiver<Infallible>,
}

/// A driver out of service, that still has to be drained and closed.
pub(crate) struct Retiring<S: Subsystem> {
    own: Arc<S::Driver>,
    /// What calls went to. Kept here so that the slot's lock is never the place where the last of
    /// it goes: a wrapper is the application's, and may do anything when it is dropped.
    _driver: Arc<S::Driver>,
    driver_type: TypeId,
    revoked: Arc<Revoked>,
    /// Told of the last use; `None` after it.
    drained: Option<oneshot::Receiver<Infallible>>,
}

impl<S: Subsystem> Serving<S> {
    pub(super) fn new(built: Built<S>, label: &'static str, generation: u64) -> Self {
        let (alive, drained) = oneshot::channel();
        let driver_type = built.driver_type;
        let (own, driver) = built.hand_over();
        let (revoked, alive) = (Arc::default(), Arc::new(alive));
        let seat = Seat { driver, own, label, generation, revoked, alive };
        Self { seats: Sharded::new(seat), driver_type, drained }
    }

    pub(super) fn watch(&self) -> Watch<Seat<S>> {
        self.seats.watch()
    }

    /// Takes it out of service. Calls that hold it go on.
    pub(super) fn retire(self) -> Retiring<S> {
        let seat = self.seats.value();
        Retiring {
            own: seat.own.clone(),
            _driver: seat.driver.clone(),
            driver_type: self.driver_type,
            revoked: seat.revoked.clone(),
            drained: Some(self.drained),
        }
    }
}

impl<S: Subsystem> Retiring<S> {
    pub(super) fn driver_type(&self) -> TypeId {
        self.driver_type
    }

    /// Ends when no call holds the driver any more.
    pub(super) async fn drained(&mut self) {
        if let Some(drained) = &mut self.drained {
            // The sender sends nothing; it is dropped with the last hold.
            drained.await.ok();
            self.drained = None;
        }
    }

    /// Closes the driver. What is still open in it answers `Unavailable` from now on.
    pub(super) async fn close(&self, until: Instant) -> Result<()> {
        self.revoked.revoke();
        close_driver::<S>(&self.own, until).await
    }

    /// Lets go of the driver; the answer ends when everybody else has.
    pub(super) fn last_use(self) -> impl Future<Output = ()> + Send + 'static {
        let drained = self.drained;
        async move {
            if let Some(drained) = drained {
                drained.await.ok();
            }
        }
    }
}

/// Closes a driver; a panic or an overrun is an error like any other.
pub(super) async fn close_driver<S: Subsystem>(driver: &S::Driver, until: Instant) -> Result<()> {
    match at_latest(until, contained(async { driver.close().await })).await {
        Some(Ok(result)) => result,
        Some(Err(panic)) => Err(panic.into_error("close")),
        None => Err(Error::new(ErrorKind::Timeout, "the driver did not close in time")),
    }
}

/// The output of `future`, or `None` if `until` comes first. A future that is ready is never late.
pub(crate) async fn at_latest<F: Future>(until: Instant, future: F) -> Option<F::Output> {
    tokio::time::timeout_at(tokio::time::Instant::from_std(until), future).await.ok()
}

/// Tells what outlives a call that its driver is being closed under it.
#[derive(Default)]
pub(crate) struct Revoked {
    revoked: AtomicBool,
    told: Notify,
}

impl Revoked {
    pub(super) fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::Acquire)
    }

    pub(super) async fn wait(&self) {
        let mut told = std::pin::pin!(self.told.notified());
        told.as_mut().enable();
        if !self.is_revoked() {
            told.await;
        }
    }

    fn revoke(&self) {
        self.revoked.store(true, Ordering::Release);
        self.told.notify_waiters();
    }
}

impl<S: Subsystem> Clone for Seat<S> {
    fn clone(&self) -> Self {
        Self {
            driver: self.driver.clone(),
            own: self.own.clone(),
            label: self.label,
            generation: self.generation,
            revoked: self.revoked.clone(),
            alive: self.alive.clone(),
        }
    }
}
