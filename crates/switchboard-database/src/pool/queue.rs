//! Those who wait for a connection, in the order in which they are served.
//!
//! Whoever is urgent comes first, then who has a connection that keeps the others out; else the order is that of arrival, also for one who had a turn
//! and got a connection that turned out to be dead.

use std::collections::VecDeque;
use std::panic::Location;

use switchboard_core::Result;
use tokio::sync::oneshot;

use super::scope::Owner;
use super::taken::Taken;

/// How a connection is wanted, and by whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taking {
    /// Who asks, as the errors and the list of holders name it.
    pub(crate) at: &'static Location<'static>,
    /// It will be kept for long on purpose: nobody is told of a leak, and it is not taken away.
    pub(crate) is_long: bool,
    /// It is kept for more than one statement, so that its task may ask for another one meanwhile.
    pub(crate) is_scope: bool,
    /// Health and console: first in line, and may have one connection beyond the most there are.
    pub(crate) is_urgent: bool,
}

impl Taking {
    /// For health and console.
    #[track_caller]
    pub(crate) fn urgent() -> Self {
        Self { at: Location::caller(), is_long: false, is_scope: false, is_urgent: true }
    }
}

/// One caller who wants a connection.
#[derive(Clone, Copy)]
pub(super) struct Guest {
    pub(super) taking: Taking,
    pub(super) owner: Owner,
    /// Every connection it was given was dead: only a new one will do.
    pub(super) wants_new: bool,
    /// It has a connection already, where that keeps others out but not what is part of it.
    pub(super) is_within: bool,
}

/// A guest who waits.
pub(super) struct Waiter {
    pub(super) key: Key,
    pub(super) guest: Guest,
    pub(super) answer: oneshot::Sender<Result<Taken>>,
}

/// A place in the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    rank: Rank,
    arrival: u64,
}

/// Who comes before whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Urgent,
    Within,
    Ordinary,
}

#[derive(Default)]
pub(super) struct Queue {
    places: VecDeque<Waiter>,
    arrivals: u64,
}

impl Guest {
    /// The caller that runs now.
    pub(super) fn current(taking: Taking) -> Self {
        Self { taking, owner: Owner::current(), wants_new: false, is_within: false }
    }
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// A place behind all of the same rank.
    pub(super) fn key(&mut self, guest: Guest) -> Key {
        self.arrivals += 1;
        let rank = match guest {
            Guest { taking: Taking { is_urgent: true, .. }, .. } => Rank::Urgent,
            Guest { is_within: true, .. } => Rank::Within,
            Guest { .. } => Rank::Ordinary,
        };
        Key { rank, arrival: self.arrivals }
    }

    pub(super) fn join(&mut self, waiter: Waiter) {
        let at = self.places.partition_point(|other| other.key < waiter.key);
        self.places.insert(at, waiter);
    }

    pub(super) fn leave(&mut self, key: Key) -> Option<Waiter> {
        let at = self.places.binary_search_by_key(&key, |waiter| waiter.key).ok()?;
        self.places.remove(at)
    }

    pub(super) fn first(&self) -> Option<Guest> {
        self.places.front().map(|waiter| waiter.guest)
    }

    pub(super) fn has_urgent(&self) -> bool {
        self.places.front().is_some_and(|waiter| waiter.guest.taking.is_urgent)
    }

    pub(super) fn pop(&mut self) -> Option<Waiter> {
        self.places.pop_front()
    }

    /// Those at the front who are urgent.
    pub(super) fn pop_urgent(&mut self) -> impl Iterator<Item = Waiter> {
        let count = self.places.partition_point(|waiter| waiter.guest.taking.is_urgent);
        self.places.drain(..count)
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = Waiter> {
        self.places.drain(..)
    }
}
