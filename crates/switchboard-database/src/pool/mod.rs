//! The one pool of all drivers: who has a connection, who is next, and what becomes of those that
//! nobody has.
//!
//! Read in this order: [`Pool`], what sessions ask; `books`, where everything is decided; `taken`, a
//! connection in somebody's hands and its way back; `arrival`, the way of a caller who must wait;
//! `connect`, `tidying` and `upkeep`, the work that belongs to no caller and runs on the reaper.
//!
//! It knows nothing of statements, transactions or lines.

mod arrival;
mod books;
mod connect;
mod errands;
mod figures;
mod gone;
mod holder;
mod link;
mod queue;
mod rules;
mod scope;
mod taken;
#[cfg(test)]
mod tests;
mod tidying;
mod trouble;
mod upkeep;

use std::num::NonZeroUsize;
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use switchboard_core::{BuildContext, Clock, Error, ErrorKind, Name, Reaper, Result, Running};
use tokio::sync::Notify;

use self::arrival::Arrival;
pub(crate) use self::arrival::held_by;
use self::books::Books;
pub(crate) use self::figures::Histogram;
pub use self::figures::{CloseReason, PoolFigures, Spread};
pub use self::holder::Holder;
use self::link::Link;
use self::queue::Guest;
pub(crate) use self::queue::Taking;
use self::rules::{FAR, Rules};
pub(crate) use self::scope::{Owner, Work, scoped};
pub(crate) use self::taken::Taken;
use crate::{DatabaseDriver, Lane, Nested, PoolConfig, Reset};

/// Connections of one database, handed out one by one. Cheap to clone; clones are the same pool.
///
/// Nothing is made before the first caller comes.
#[derive(Clone)]
pub(crate) struct Pool(Arc<Shared>);

/// What the pool shares with the connections it has handed out.
struct Shared {
    driver: Arc<dyn DatabaseDriver>,
    lane: Lane,
    instance: Name,
    clock: Clock,
    reaper: Reaper,
    acquire_timeout: Duration,
    connect_timeout: Duration,
    reset: Reset,
    nested: Nested,
    books: Mutex<Books>,
    /// Rung when something may be due earlier than it was.
    bell: Arc<Notify>,
    /// Told to connections that are being made.
    closing: Notify,
    /// Told to whoever closes the pool, each time a connection has gone.
    gone: Notify,
    upkeep: Mutex<Option<Running>>,
}

impl Pool {
    /// A pool of at most `max` connections that `driver` makes when they are needed.
    pub(crate) fn new(
        driver: Arc<dyn DatabaseDriver>,
        lane: Lane,
        max: NonZeroUsize,
        config: &PoolConfig,
        context: &BuildContext,
    ) -> Self {
        let clock = context.clock().clone();
        Self(Arc::new(Shared {
            driver,
            lane,
            instance: context.instance().clone(),
            reaper: context.reaper().clone(),
            acquire_timeout: config.acquire_timeout,
            connect_timeout: config.connect_timeout.min(FAR),
            reset: config.reset,
            nested: config.nested,
            books: Mutex::new(Books::new(Rules::new(max, config), clock.clone())),
            clock,
            bell: Arc::default(),
            closing: Notify::new(),
            gone: Notify::new(),
            upkeep: Mutex::default(),
        }))
    }

    /// The same, where all connections are one: whoever has it for longer than a statement keeps all others
    /// out, but for what is part of the same scope or task, which gets one of the others.
    pub(crate) fn joint(self) -> Self {
        self.0.books().rules.is_joint = true;
        self
    }

    /// A connection that nobody else has, in the order in which callers came.
    ///
    /// Waits until the limit of the pool or the deadline of the call around it, whichever is
    /// earlier, and then says who has the connections.
    pub(crate) async fn acquire(&self, taking: Taking) -> Result<Taken> {
        let (shared, mut guest) = (&self.0, Guest::current(taking));
        let now = shared.clock.now();
        let taken = shared
            .change(|books| {
                guest.is_within = books.is_within();
                books.take(guest, now)
            })
            .map(|grant| Taken::new(shared.clone(), grant));
        match taken {
            Some(taken) if !taken.is_doubtful() => Ok(taken),
            // Boxed, so that who gets one at once carries nothing that only waiting needs.
            first => Box::pin(Arrival::new(shared, guest, now).run(first)).await,
        }
    }

    /// A connection that nobody uses, if there is one, and another one is there or can be made for who comes
    /// meanwhile. Nobody is waited for.
    #[track_caller]
    pub(crate) fn spare(&self) -> impl Future<Output = Option<Taken>> + Send {
        let shared = self.0.clone();
        let taking =
            Taking { at: Location::caller(), is_long: false, is_scope: false, is_urgent: false };
        async move {
            let (guest, now) = (Guest::current(taking), shared.clock.now());
            let grant = shared.change(|books| books.take_spare(guest, now))?;
            let mut taken = Taken::new(shared, grant);
            let is_there = !taken.is_doubtful() || taken.ping().await.is_ok();
            is_there.then_some(taken)
        }
    }

    /// Whether nobody gets a connection any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.books().is_closed()
    }

    /// How it is, and what it has done so far.
    pub(crate) fn figures(&self) -> PoolFigures {
        self.0.books().figures()
    }

    /// Who has a connection, those first who have had it for longest.
    pub(crate) fn holders(&self) -> Vec<Holder> {
        self.0.holders()
    }

    /// Hands out nothing until it is resumed; who comes waits, unless it is urgent.
    pub(crate) fn suspend(&self) {
        self.0.change(Books::suspend);
    }

    /// Hands out connections again.
    pub(crate) fn resume(&self) {
        self.0.change(Books::resume);
    }

    /// Replaces every connection there is now, at moments spread over that time. One that is in use
    /// goes when it is given back.
    pub(crate) fn refresh(&self, over: Duration) {
        self.0.change(|books| books.refresh(over));
        self.0.bell.notify_one();
    }

    /// Lets nobody in, refuses those who wait, and waits for the connections that are in use.
    ///
    /// An error counts those that are still there at the limit; they are closed when they are given
    /// back.
    pub(crate) async fn close(&self, limit: Duration) -> Result<()> {
        let shared = &self.0;
        let until = tokio::time::Instant::from_std(shared.clock.now() + limit.min(FAR));
        shared.change(Books::close);
        shared.closing.notify_waiters();
        drop(shared.upkeep().take());
        match tokio::time::timeout_at(until, shared.emptied()).await {
            Ok(()) => Ok(()),
            Err(_) => Err(shared.still_there()),
        }
    }
}

impl Shared {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn upkeep(&self) -> MutexGuard<'_, Option<Running>> {
        self.upkeep.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the books, gives their lock back, and does what follows.
    fn change<T>(self: &Arc<Self>, change: impl FnOnce(&mut Books) -> T) -> T {
        let mut books = self.books();
        let answer = change(&mut books);
        let errands = books.errands();
        let is_closed = books.is_closed();
        drop(books);
        if is_closed {
            self.gone.notify_waiters();
        }
        if let Some(errands) = errands {
            errands.run(self);
        }
        answer
    }

    /// Takes a connection out of the pool.
    fn dismiss(self: &Arc<Self>, link: &Arc<Link>, reason: CloseReason) {
        self.change(|books| books.dismiss(link, reason));
    }

    fn holders(&self) -> Vec<Holder> {
        let now = self.clock.now();
        let held: Vec<_> = {
            let books = self.books();
            books.holdings().map(|(link, holding)| (link.clone(), *holding)).collect()
        };
        let lexis = self.driver.dialect().lexis;
        let read = |(link, holding): &(Arc<Link>, _)| Holder::read(link, holding, now, lexis);
        let mut holders: Vec<_> = held.iter().map(read).collect();
        holders.sort_by_key(|holder| std::cmp::Reverse(holder.age));
        holders
    }

    /// Ends when no connection is left, neither in the books nor on its way out.
    async fn emptied(&self) {
        loop {
            let gone = self.gone.notified();
            if self.books().is_empty() {
                return;
            }
            gone.await;
        }
    }

    fn still_there(&self) -> Error {
        let counts = self.books().counts();
        let error = Error::new(ErrorKind::Timeout, "connections are still in use")
            .with_context("in use", counts.in_use)
            .with_context("others", counts.resting + counts.connecting + counts.leaving);
        held_by(error, &self.holders())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let books = self.books.get_mut().unwrap_or_else(PoisonError::into_inner);
        let left: Vec<_> = books.take_connections().collect();
        for connection in left {
            self.submit("close a connection", async move { connection.close().await });
        }
    }
}
