//! Makes a missing value once, whoever asks for it and whoever goes away meanwhile.
//!
//! One table for each instance of a cache, shared by all its handles: which values are being made,
//! by whom they are awaited, and whether they may still be stored. What a value is, and how it is
//! coded, is not known here.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use switchboard_core::{Clock, Deadline, Error, ErrorKind, Gate, Line, Result};
use tokio::sync::watch;

use crate::key::OwnedKey;
use crate::{Cache, Caches, Key, Ttl, op};

/// The values of one instance that are being made.
pub(crate) struct Flights {
    /// A number that no other instance has.
    id: u64,
    /// How many there are; writes look no further while there are none.
    active: AtomicUsize,
    /// How many have ended so far.
    landings: AtomicU64,
    flying: Mutex<HashMap<OwnedKey, Flying>>,
}

struct Flying {
    phase: Phase,
    landing: Arc<watch::Sender<Landing>>,
}

/// What is said when the value is made, or cannot be.
type Landing = Option<Result<Bytes>>;

/// How far the making of a value has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The factory runs, and nobody has written the key meanwhile.
    Running,
    /// The factory runs, and what it makes must not be stored.
    Overtaken,
    /// The value is being stored; who wants to write the key waits for that.
    Storing,
}

/// The keys that a write changes.
#[derive(Clone, Copy)]
pub(crate) enum Written<'k> {
    One(Key<'k>),
    Many(&'k [Key<'k>]),
    All,
}

/// What a caller that misses a key finds.
pub(crate) enum Boarding {
    /// Nobody makes the value: this caller starts it, and waits for it like the others.
    Lead(Pilot, Waiting),
    Wait(Waiting),
}

/// What a factory does, boxed so that factories within factories do not grow.
pub(crate) type Making = BoxFuture<'static, Result<Bytes>>;

/// What a job needs beside the factory.
pub(crate) struct Job {
    pub(crate) line: Line<Caches>,
    pub(crate) ttl: Ttl,
    /// Whether an unusable value is under the key.
    pub(crate) replaces: bool,
    pub(crate) usable: fn(&Bytes) -> bool,
}

impl Default for Flights {
    fn default() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            active: AtomicUsize::new(0),
            landings: AtomicU64::new(0),
            flying: Mutex::default(),
        }
    }
}

impl Flights {
    /// How many have ended so far; to be asked before the key is found missing.
    pub(crate) fn landings(&self) -> u64 {
        self.landings.load(Ordering::SeqCst)
    }

    /// Joins those who wait for `key`, or starts the making of it.
    ///
    /// `landings` is what was known before the key was found missing.
    pub(crate) fn board(self: &Arc<Self>, key: Key<'_>, landings: u64) -> Result<Boarding> {
        let outer = INSIDE.try_with(Clone::clone).unwrap_or_default();
        if self.is_made_around(outer.as_ref(), key) {
            return Err(Error::new(ErrorKind::Config, "a factory asks for the key it is making"));
        }
        let mut flying = self.flying();
        if let Some(there) = flying.get(key.as_str()) {
            return there.join().map(Boarding::Wait);
        }
        if flying.len() >= Cache::FACTORIES_MAX {
            return Err(refused("too many values are being made", Cache::FACTORIES_MAX));
        }
        let landing = Arc::new(watch::Sender::new(None));
        let waiting = Waiting(landing.subscribe());
        let pilot = Pilot {
            flights: self.clone(),
            inside: Arc::new(Inside { instance: self.id, key: key.to_owned(), outer }),
            landing: landing.clone(),
            // Where one landed since the key was found missing, the value may be there now.
            certainly_missing: self.landings() == landings,
        };
        flying.insert(key.to_owned(), Flying { phase: Phase::Running, landing });
        self.active.fetch_add(1, Ordering::SeqCst);
        Ok(Boarding::Lead(pilot, waiting))
    }

    /// To be held while keys are written: values of them that are being made will not be stored.
    ///
    /// Waits for those that are being stored, no longer than the deadline of the call.
    #[inline]
    pub(crate) async fn write<'f>(&'f self, written: Written<'f>) -> Writing<'f> {
        // A value that begins to be made after this is made from what is known after this.
        if self.active.load(Ordering::SeqCst) > 0 {
            for storing in self.overtake(written) {
                storing.landed_or_late().await;
            }
        }
        Writing { flights: self, written }
    }

    /// Says that `written` is newer than what is being made. The answer is what is being stored.
    fn overtake(&self, written: Written<'_>) -> Vec<Waiting> {
        let mut flying = self.flying();
        match written {
            Written::All => flying.values_mut().filter_map(Flying::overtake).collect(),
            Written::One(key) => {
                flying.get_mut(key.as_str()).and_then(Flying::overtake).into_iter().collect()
            }
            Written::Many(keys) => keys
                .iter()
                .filter_map(|key| flying.get_mut(key.as_str()).and_then(Flying::overtake))
                .collect(),
        }
    }

    /// Whether the value may be stored; if so, who writes the key waits from now on.
    fn may_store(&self, key: Key<'_>) -> bool {
        match self.flying().get_mut(key.as_str()) {
            Some(there) if there.phase == Phase::Running => {
                there.phase = Phase::Storing;
                true
            }
            _ => false,
        }
    }

    fn remove(&self, key: Key<'_>) {
        let mut flying = self.flying();
        if flying.remove(key.as_str()).is_some() {
            self.landings.fetch_add(1, Ordering::SeqCst);
            self.active.fetch_sub(1, Ordering::SeqCst);
        }
    }

    fn is_made_around(&self, outer: Option<&Arc<Inside>>, key: Key<'_>) -> bool {
        let around = std::iter::successors(outer, |inside| inside.outer.as_ref());
        around.into_iter().any(|inside| inside.instance == self.id && inside.key.as_key() == key)
    }

    fn flying(&self) -> MutexGuard<'_, HashMap<OwnedKey, Flying>> {
        // Nothing that could panic is done while it is held.
        self.flying.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flying {
    fn join(&self) -> Result<Waiting> {
        if self.landing.receiver_count() >= Cache::WAITERS_MAX {
            return Err(refused("too many callers wait for the value", Cache::WAITERS_MAX));
        }
        Ok(Waiting(self.landing.subscribe()))
    }

    fn overtake(&mut self) -> Option<Waiting> {
        if self.phase == Phase::Storing {
            return Some(Waiting(self.landing.subscribe()));
        }
        self.phase = Phase::Overtaken;
        None
    }
}

/// A write to keys under way.
pub(crate) struct Writing<'f> {
    flights: &'f Flights,
    written: Written<'f>,
}

impl Drop for Writing<'_> {
    #[inline]
    fn drop(&mut self) {
        // What began to be made during the write may have seen what was there before it.
        if self.flights.active.load(Ordering::SeqCst) > 0 {
            self.flights.overtake(self.written);
        }
    }
}

/// Makes the value of a key, and tells those who wait. However it ends, they are told.
pub(crate) struct Pilot {
    flights: Arc<Flights>,
    inside: Arc<Inside>,
    landing: Arc<watch::Sender<Landing>>,
    certainly_missing: bool,
}

impl Pilot {
    /// Makes and stores the value in a task of its own, whatever becomes of the caller.
    pub(crate) fn fly(self, job: Job, making: Making) {
        let reaper = job.line.environment().reaper().clone();
        let limit = LOOK_LIMIT + Cache::FACTORY_LIMIT + STORE_LIMIT + Duration::from_secs(1);
        // Where the reaper does not take the job it drops it, and that tells those who wait.
        drop(reaper.submit("remember", limit, async move {
            let made = self.make(&job, making).await;
            self.land(made);
            Ok(())
        }));
    }

    async fn make(&self, job: &Job, making: Making) -> Result<Bytes> {
        let key = self.inside.key.as_key();
        if !self.certainly_missing
            && let Some(value) = job.look(key).await
        {
            return Ok(value);
        }
        let value = self.contained(job.line.environment().clock(), making).await?;
        if self.flights.may_store(key) {
            job.store(key, &value).await;
        }
        Ok(value)
    }

    /// What the factory makes; it is ended by its limit, and its panic is an error.
    async fn contained(&self, clock: &Clock, making: Making) -> Result<Bytes> {
        let limit = Cache::FACTORY_LIMIT;
        let making = Deadline::within(clock, limit).scope(making);
        let making = INSIDE.scope(Some(self.inside.clone()), making);
        match tokio::time::timeout(limit, AssertUnwindSafe(making).catch_unwind()).await {
            Ok(Ok(made)) => made,
            Ok(Err(panic)) => Err(Error::new(ErrorKind::Unexpected, "the factory panicked")
                .with_context("panic", panic_text(&*panic))),
            Err(_) => Err(Error::new(ErrorKind::Timeout, "the factory took too long")
                .with_context("limit", format_args!("{limit:?}"))),
        }
    }

    fn land(&self, made: Result<Bytes>) {
        if self.landing.borrow().is_some() {
            return;
        }
        // First gone, then told: who is told an error and asks again starts afresh.
        self.flights.remove(self.inside.key.as_key());
        self.landing.send_replace(Some(made));
    }
}

impl Drop for Pilot {
    fn drop(&mut self) {
        // After `land` this finds an answer and changes nothing.
        self.land(Err(Error::new(ErrorKind::Unavailable, "the value could not be made")
            .with_hint("the application is closing, or has too much work in the background")));
    }
}

impl Job {
    /// The value, if one has come meanwhile. That it cannot be looked up is no reason to give up.
    async fn look(&self, key: Key<'_>) -> Option<Bytes> {
        let op = self.line.keyed(op::GET, key.as_bytes());
        let found = self.line.call(op, |driver| async move { driver.get(key).await });
        let found = tokio::time::timeout(LOOK_LIMIT, found).await.ok()?.ok()?;
        found.filter(self.usable)
    }

    /// Stores the value unless another one has come. An error is counted by the line.
    async fn store(&self, key: Key<'_>, value: &[u8]) {
        let ttl = self.ttl;
        let stored = async {
            if self.replaces {
                let put = |driver: Held| async move { driver.put(key, value, ttl).await };
                self.line.call(self.line.keyed(op::PUT, key.as_bytes()), put).await
            } else {
                let add = |driver: Held| async move { driver.add(key, value, ttl).await };
                self.line.call(self.line.keyed(op::ADD, key.as_bytes()), add).await.map(drop)
            }
        };
        tokio::time::timeout(STORE_LIMIT, stored).await.ok();
    }
}

/// Waits for a value that somebody makes.
pub(crate) struct Waiting(watch::Receiver<Landing>);

impl Waiting {
    /// What was made, or why not; `Timeout` where the deadline of the call comes first.
    pub(crate) async fn landed(mut self) -> Result<Bytes> {
        match within_deadline(self.0.wait_for(Option::is_some)).await {
            Some(Ok(landing)) => (*landing).clone().unwrap_or_else(|| Err(unforeseen())),
            Some(Err(_)) => Err(unforeseen()),
            None => Err(Error::new(ErrorKind::Timeout, "the value was not made in time")
                .with_hint("it is still being made, and stored when it is")),
        }
    }

    /// Ends when it is made, or when the deadline of the call has come.
    async fn landed_or_late(mut self) {
        within_deadline(self.0.wait_for(Option::is_some)).await;
    }
}

/// The output of `future`, or `None` if the deadline of the call comes first.
async fn within_deadline<F: Future>(future: F) -> Option<F::Output> {
    match Deadline::current() {
        Some(deadline) => {
            let moment = tokio::time::Instant::from_std(deadline.moment());
            tokio::time::timeout_at(moment, future).await.ok()
        }
        None => Some(future.await),
    }
}

/// The keys whose factories run around the code that runs now, from the innermost outwards.
///
/// A task that a factory spawns is not inside; there the limit of the factory ends a wait in circle.
struct Inside {
    instance: u64,
    key: OwnedKey,
    outer: Option<Arc<Self>>,
}

tokio::task_local! {
    static INSIDE: Option<Arc<Inside>>;
}

#[cold]
fn unforeseen() -> Error {
    Error::new(ErrorKind::Unexpected, "the making of the value ended without an answer")
}

fn refused(message: &'static str, limit: usize) -> Error {
    Error::refused(Gate::Bulkhead, message).with_context("limit", limit)
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no message)")
}

type Held = switchboard_core::Held<Caches>;

/// How long a driver may take to say whether a value has come meanwhile.
const LOOK_LIMIT: Duration = Duration::from_secs(10);

/// How long a driver may take to store what was made; so long a write to the key may wait.
const STORE_LIMIT: Duration = Duration::from_secs(10);

impl fmt::Debug for Flights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights")
            .field("active", &self.active)
            .field("landings", &self.landings)
            .finish_non_exhaustive()
    }
}
