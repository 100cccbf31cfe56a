//! Bounds how many calls run at the same time, and how many wait for that.
//!
//! Calls that find no free slot queue in the order of their arrival, up to a number and for a time.
//! When a slot is taken and given back is decided by the line.

mod gradient;
mod slots;

use std::future::{Future as _, poll_fn};
use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Deserialize;

pub use self::gradient::Gradient;
use self::gradient::{Learner, Sample};
use self::slots::{Full, PLACES_MAX, SLOTS_MAX, Slots};
use crate::settings::duration;
use crate::stripe::Padded;
use crate::sync::Mutex;
use crate::{Clock, Error, ErrorKind, Gate, Result};

/// How many calls run at the same time, how many wait, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BulkheadLimit {
    /// How many calls run at the same time; at most 16 777 215.
    pub max: u32,
    /// How many calls wait for a slot before the next one is refused; at most 65 535.
    pub queue: u32,
    /// How long a call waits for a slot; zero refuses whatever cannot go at once.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text")]
    pub wait: Duration,
    /// Whether a call keeps its slot while it waits for its next attempt.
    pub hold_while_waiting: bool,
    /// Where given, the bulkhead finds out by itself how many calls are right, up to `max`.
    pub adaptive: Option<Gradient>,
}

/// Lets a bounded number of calls run at the same time.
///
/// ```
/// use std::time::Duration;
/// use switchboard_core::{Bulkhead, BulkheadLimit, Clock};
///
/// let limit = BulkheadLimit { max: 1, queue: 0, ..BulkheadLimit::default() };
/// let bulkhead = Bulkhead::new(limit, Clock::system())?;
/// let permit = bulkhead.try_acquire()?;
/// assert!(bulkhead.try_acquire().is_err());
/// drop(permit);
/// assert!(bulkhead.try_acquire().is_ok());
/// # Ok::<(), switchboard_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Bulkhead {
    slots: Padded<Slots>,
    limit: Mutex<BulkheadLimit>,
    /// Taken before the lock of the limit, where both are.
    learner: Mutex<Option<Learner>>,
    learns: AtomicBool,
    clock: Clock,
}

/// The right to run, until it is dropped.
#[derive(Debug)]
#[must_use = "dropping the permit gives the slot back"]
pub struct Permit<'a> {
    bulkhead: &'a Bulkhead,
}

/// A [`Permit`] that lives as long as whatever holds it: a stream, a session.
#[derive(Debug)]
#[must_use = "dropping the permit gives the slot back"]
pub struct OwnedPermit {
    bulkhead: Arc<Bulkhead>,
}

impl Bulkhead {
    /// A bulkhead with all its slots free.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] for a limit that [`BulkheadLimit::check`] refuses.
    pub fn new(limit: BulkheadLimit, clock: Clock) -> Result<Self> {
        limit.check()?;
        let learner = limit.adaptive.map(|gradient| Learner::new(gradient, limit.max));
        let slots_max = learner.as_ref().map_or(limit.max, Learner::limit);
        Ok(Self {
            slots: Padded(Slots::new(slots_max, limit.queue)),
            limit: Mutex::new(limit),
            learns: AtomicBool::new(learner.is_some()),
            learner: Mutex::new(learner),
            clock,
        })
    }

    /// The right to run, as soon as a slot is free and everybody who came before has one.
    ///
    /// Waits until `until` at the latest, and no longer than the limit says. The place in the queue
    /// is taken when the future is first polled; a future that is dropped leaves no trace.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Overloaded`] if the queue is full or the wait has ended.
    pub async fn acquire(&self, until: Option<Instant>) -> Result<Permit<'_>> {
        if self.slots.0.try_take() {
            return Ok(Permit { bulkhead: self });
        }
        // Boxed, so that a call that finds a slot does not carry the room for a timer about.
        Box::pin(self.acquire_in_turn(until)).await
    }

    /// The right to run, if a slot is free and nobody waits for it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Overloaded`] if not.
    #[inline]
    pub fn try_acquire(&self) -> Result<Permit<'_>> {
        if self.slots.0.try_take() {
            return Ok(Permit { bulkhead: self });
        }
        Err(self.refused("no slot is free"))
    }

    /// How many calls run now. More than the limit only after it was lowered, until they end.
    pub fn in_use(&self) -> u32 {
        self.slots.0.in_use()
    }

    /// How many calls wait now.
    pub fn waiting(&self) -> u32 {
        self.slots.0.waiting()
    }

    /// The limit in force, as it was set.
    pub fn limit(&self) -> BulkheadLimit {
        *self.limit.lock()
    }

    /// How many calls may run at the same time now: the `max` of the limit, or what was found to be
    /// right.
    pub fn slots_max(&self) -> u32 {
        self.slots.0.max()
    }

    /// How a call ended that had a slot, and how long it took: what an [adaptive](Gradient) bulkhead
    /// learns from. Others take no notice.
    ///
    /// A line says it by itself, for every attempt that had to wait for its answer. Never waits: while
    /// another call is being learnt from, this one is not.
    ///
    /// ```
    /// use std::time::Duration;
    /// use switchboard_core::{Bulkhead, BulkheadLimit, Clock, Error, ErrorKind, Gradient};
    ///
    /// # let runtime = tokio::runtime::Builder::new_current_thread()
    /// #     .enable_time().start_paused(true).build().unwrap();
    /// # runtime.block_on(async {
    /// let adaptive = Gradient { start: 20, ..Gradient::default() };
    /// let limit = BulkheadLimit { adaptive: Some(adaptive), ..BulkheadLimit::default() };
    /// let bulkhead = Bulkhead::new(limit, Clock::system())?;
    /// assert_eq!(bulkhead.slots_max(), 20);
    ///
    /// for _ in 0..10 {
    ///     let _permit = bulkhead.try_acquire()?;
    ///     tokio::time::advance(Duration::from_millis(100)).await;
    ///     let late = Err::<(), _>(Error::new(ErrorKind::Timeout, "no answer"));
    ///     bulkhead.ended(&late, Duration::from_millis(100));
    /// }
    /// assert_eq!(bulkhead.slots_max(), 10, "too much for the service");
    /// # switchboard_core::Result::<()>::Ok(()) }).unwrap();
    /// ```
    pub fn ended<T>(&self, result: &Result<T>, took: Duration) {
        if self.learns.load(Ordering::Relaxed) {
            self.ended_at(self.clock.now(), result, took);
        }
    }

    /// [`ended`](Self::ended) for a caller that has read the clock already.
    #[inline]
    pub fn ended_at<T>(&self, now: Instant, result: &Result<T>, took: Duration) {
        if self.learns.load(Ordering::Relaxed)
            && let Some(sample) = Sample::of(result, took)
        {
            self.learn(now, sample);
        }
    }

    /// Goes on under another limit.
    ///
    /// New slots go to those who wait. Where there are fewer slots or places than before, calls that
    /// run or wait already go on; a wait that has begun ends when it was to end.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] for a limit that [`BulkheadLimit::check`] refuses; the old one stays.
    pub fn retune(&self, limit: BulkheadLimit) -> Result<()> {
        limit.check()?;
        {
            let mut learner = self.learner.lock();
            let mut current = self.limit.lock();
            *learner = limit.adaptive.map(|gradient| match learner.take() {
                Some(mut learner) => {
                    learner.retune(gradient, limit.max);
                    learner
                }
                None => Learner::new(gradient, limit.max),
            });
            self.learns.store(learner.is_some(), Ordering::Relaxed);
            let slots_max = learner.as_ref().map_or(limit.max, Learner::limit);
            self.slots.0.set_bounds(slots_max, limit.queue);
            *current = limit;
        }
        self.slots.0.hand_out();
        Ok(())
    }

    /// Another service answers from now on: what was learnt of the time that answers take is forgotten,
    /// and the number of slots stays.
    pub(crate) fn start_over(&self) {
        if let Some(learner) = &mut *self.learner.lock() {
            learner.start_over();
        }
    }

    fn learn(&self, now: Instant, sample: Sample) {
        {
            let Some(mut learner) = self.learner.try_lock() else { return };
            let Some(learner) = &mut *learner else { return };
            if !learner.add(now, sample, self.in_use()) {
                return;
            }
            self.slots.0.set_bounds(learner.limit(), self.limit.lock().queue);
        }
        // Outside the locks: waking runs code of whoever made the waker.
        self.slots.0.hand_out();
    }

    async fn acquire_in_turn(&self, until: Option<Instant>) -> Result<Permit<'_>> {
        let now = self.clock.now();
        let longest = now + self.limit().wait.min(WAIT_MAX);
        let end = until.map_or(longest, |until| until.min(longest));
        if end <= now {
            return Err(self.refused("no slot is free"));
        }
        let mut turn = self.slots.0.turn();
        let mut end_of_wait = pin!(self.clock.sleep_until(end));
        // The turn is asked first: a slot that came with the last moment is not thrown away.
        let outcome = poll_fn(|context| match turn.poll(context) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
            Poll::Ready(Err(Full)) => Poll::Ready(Err("the queue is full")),
            Poll::Pending => {
                end_of_wait.as_mut().poll(context).map(|()| Err("no slot came free in time"))
            }
        });
        match outcome.await {
            Ok(()) => Ok(Permit { bulkhead: self }),
            Err(message) => Err(self.refused(message)),
        }
    }

    #[cold]
    fn refused(&self, message: &'static str) -> Error {
        Error::refused(Gate::Bulkhead, message)
            .with_context("in use", self.in_use())
            .with_context("waiting", self.waiting())
    }
}

impl Permit<'_> {
    /// The same permit, no longer tied to the borrow of its bulkhead.
    ///
    /// # Panics
    ///
    /// If `bulkhead` is not the one that gave the permit.
    pub fn into_owned(self, bulkhead: &Arc<Bulkhead>) -> OwnedPermit {
        assert!(
            std::ptr::eq(self.bulkhead, &raw const **bulkhead),
            "the permit is of another bulkhead"
        );
        mem::forget(self);
        OwnedPermit { bulkhead: Arc::clone(bulkhead) }
    }
}

impl Drop for Permit<'_> {
    #[inline]
    fn drop(&mut self) {
        self.bulkhead.slots.0.give_back();
    }
}

impl Drop for OwnedPermit {
    fn drop(&mut self) {
        self.bulkhead.slots.0.give_back();
    }
}

impl BulkheadLimit {
    /// Whether a bulkhead can keep to this limit.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if no call could ever run, or a number is larger than a bulkhead counts.
    pub fn check(&self) -> Result<()> {
        if self.max == 0 {
            return Err(misconfigured(
                "max",
                "the bulkhead has no slot, so no call would ever run",
            )
            .with_hint("leave the bulkhead out to have none"));
        }
        if self.max > SLOTS_MAX {
            return Err(misconfigured("max", "the bulkhead has more slots than it can count")
                .with_context("largest", SLOTS_MAX));
        }
        if self.queue > PLACES_MAX {
            return Err(misconfigured("queue", "the queue is longer than it can count")
                .with_context("largest", PLACES_MAX));
        }
        self.adaptive.map_or(Ok(()), |gradient| gradient.check(self.max))
    }
}

impl Default for BulkheadLimit {
    /// Sixty-four calls at the same time, four times as many waiting, a tenth of a second at most.
    fn default() -> Self {
        Self {
            max: 64,
            queue: 256,
            wait: Duration::from_millis(100),
            hold_while_waiting: false,
            adaptive: None,
        }
    }
}

fn misconfigured(setting: &'static str, message: &'static str) -> Error {
    Error::new(ErrorKind::Config, message)
        .with_context("setting", format_args!("bulkhead.{setting}"))
}

/// The longest wait: one year, which any clock can add.
const WAIT_MAX: Duration = Duration::from_hours(365 * 24);
