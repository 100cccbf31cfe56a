//! The way of one caller to a connection: the wait, the question whether it is there, the time-out.

use std::sync::Arc;
use std::time::Instant;

use switchboard_core::{Deadline, Error, ErrorKind, Result};
use tokio::sync::oneshot;

use super::Shared;
use super::books::closed;
use super::figures::PoolFigures;
use super::holder::Holder;
use super::queue::{Guest, Key, Taking};
use super::rules::FAR;
use super::taken::Taken;
use crate::Nested;

/// A caller that did not get a connection at once, or got one that may be dead.
pub(super) struct Arrival<'p> {
    shared: &'p Arc<Shared>,
    guest: Guest,
    since: Instant,
    /// The place in the order, once it has waited; kept if what it gets turns out to be dead.
    key: Option<Key>,
    dead: u32,
}

/// A place in the queue, given up when this is dropped.
struct Ticket<'p> {
    shared: &'p Arc<Shared>,
    key: Key,
    answer: oneshot::Receiver<Result<Taken>>,
    is_answered: bool,
}

/// What came of asking for a connection.
enum Entry<'p> {
    Taken(Taken),
    Waits(Ticket<'p>),
}

impl<'p> Arrival<'p> {
    pub(super) fn new(shared: &'p Arc<Shared>, guest: Guest, since: Instant) -> Self {
        Self { shared, guest, since, key: None, dead: 0 }
    }

    /// A connection that works, the first of them being `first` if that does.
    pub(super) async fn run(mut self, first: Option<Taken>) -> Result<Taken> {
        let until = tokio::time::Instant::from_std(self.until());
        match tokio::time::timeout_at(until, self.working(first)).await {
            Ok(result) => result,
            Err(_) => Err(self.timed_out()),
        }
    }

    fn until(&self) -> Instant {
        let own = self.since + self.shared.acquire_timeout.min(FAR);
        Deadline::current().map_or(own, |deadline| deadline.moment().min(own))
    }

    async fn working(&mut self, first: Option<Taken>) -> Result<Taken> {
        let mut next = first;
        loop {
            let mut taken = match next.take() {
                Some(taken) => taken,
                None => self.turn().await?,
            };
            if !taken.is_doubtful() || taken.ping().await.is_ok() {
                return Ok(taken);
            }
            self.dead += 1;
            self.guest.wants_new = self.dead > DEAD_MAX;
        }
    }

    async fn turn(&mut self) -> Result<Taken> {
        match self.enter()? {
            Entry::Taken(taken) => Ok(taken),
            Entry::Waits(ticket) => {
                let taken = ticket.answered().await?;
                self.shared.change(|books| {
                    let waited = self.shared.clock.now().saturating_duration_since(self.since);
                    books.tally.waits.add(waited);
                });
                Ok(taken)
            }
        }
    }

    fn enter(&mut self) -> Result<Entry<'p>> {
        let nested = self.nested();
        if let (Some(outer), Nested::Deny) = (nested, self.shared.nested) {
            return Err(self.is_nested(outer));
        }
        if let (Some(outer), Nested::Warn) = (nested, self.shared.nested) {
            tracing::warn!(instance = %self.shared.instance, "{}", self.is_nested(outer));
        }
        let (shared, guest) = (self.shared, self.guest);
        shared.change(|books| {
            if books.is_closed() {
                return Err(closed());
            }
            books.open();
            if let Some(grant) = books.take(guest, shared.clock.now()) {
                return Ok(Entry::Taken(Taken::new(shared.clone(), grant)));
            }
            let key = *self.key.get_or_insert_with(|| books.key(guest));
            let answer = books.join(key, guest);
            Ok(Entry::Waits(Ticket { shared, key, answer, is_answered: false }))
        })
    }

    /// Where the connection was taken that this caller has already, if it would have to wait for
    /// one: it may be waiting for itself.
    fn nested(&self) -> Option<Taking> {
        if self.shared.nested == Nested::Allow || self.key.is_some() {
            return None;
        }
        let books = self.shared.books();
        if books.counts().idle > 0 || books.has_room(self.guest) {
            return None;
        }
        books.taken_around()
    }

    fn is_nested(&self, outer: Taking) -> Error {
        Error::new(
            ErrorKind::Config,
            "a task that has a connection wants another one, and none is left",
        )
        .not_applied()
        .with_context("wanted at", self.guest.taking.at)
        .with_context("taken at", outer.at)
        .with_hint(
            "pass the connection on, or raise `pool.max`; `pool.nested` decides what is done",
        )
    }

    fn timed_out(&self) -> Error {
        let (figures, trouble, attempts) = {
            let mut books = self.shared.books();
            books.tally.timed_out += 1;
            let trouble = books.trouble();
            (books.figures(), trouble.last().cloned(), trouble.failures())
        };
        match trouble {
            Some(why) if figures.in_use == 0 && !figures.is_suspended => {
                self.waited(why).with_context("attempts", attempts)
            }
            trouble => self.not_served(&figures).with_related(trouble),
        }
    }

    fn not_served(&self, figures: &PoolFigures) -> Error {
        let is_slow = figures.in_use == 0 && figures.connecting > 0;
        let message = if is_slow {
            "no connection could be made in time"
        } else {
            "no connection became free in time"
        };
        let error = Error::new(ErrorKind::Timeout, message).not_applied().retry_later();
        let error = self
            .waited(error)
            .with_context("size", format_args!("{} of {}", figures.size, figures.max))
            .with_context("idle", figures.idle)
            .with_context("in use", figures.in_use)
            .with_context("connecting", figures.connecting)
            // The place in the queue was given up a moment ago.
            .with_context("waiting", figures.waiting + 1);
        let error = if figures.is_suspended {
            error.with_hint("the pool is suspended, and lets nobody have a connection")
        } else {
            error
        };
        held_by(error, &self.shared.holders())
    }

    fn waited(&self, error: Error) -> Error {
        let waited = self.shared.clock.now().saturating_duration_since(self.since);
        error
            .with_context("wanted at", self.guest.taking.at)
            .with_context("waited", format_args!("{waited:.1?}"))
    }
}

impl Ticket<'_> {
    async fn answered(mut self) -> Result<Taken> {
        let answer = (&mut self.answer).await;
        self.is_answered = true;
        answer.unwrap_or_else(|_| Err(closed()))
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.shared.change(|books| books.forget(self.key, self.shared.clock.now()));
        }
    }
}

/// `error` with the first of those who have connections.
pub(crate) fn held_by(error: Error, holders: &[Holder]) -> Error {
    let held = |error: Error, holder| error.with_context("held by", holder);
    holders.iter().take(HOLDERS_TOLD).fold(error, held)
}

/// How many connections may turn out to be dead before only a new one will do.
const DEAD_MAX: u32 = 3;

/// How many of those who have a connection an error names, beginning with the longest.
const HOLDERS_TOLD: usize = 3;
