//! Which connections are made, and when, after some could not be.

use std::time::{Duration, Instant};

use switchboard_core::{Error, ErrorKind, Retry};

use super::{Books, Door, Guest, Trouble};
use crate::Connection;

impl Books {
    /// Whether a connection that was to be made later is still needed.
    pub(in crate::pool) fn still_wants(&self) -> bool {
        self.connecting <= self.wanted()
    }

    /// What was to be made is not needed any more.
    pub(in crate::pool) fn call_off(&mut self) {
        self.connecting -= 1;
        self.plan_connects();
    }

    pub(in crate::pool) fn connected(&mut self, connection: Box<dyn Connection>, since: Instant) {
        let now = self.clock.now();
        self.connecting -= 1;
        self.tally.created += 1;
        self.tally.connects.add(now.saturating_duration_since(since));
        self.trouble = Trouble::default();
        let slot = self.enter(connection, now);
        self.shelve(slot, now);
        self.hand_out(now);
    }

    pub(in crate::pool) fn connect_failed(&mut self, error: Error) {
        let error = error.not_applied();
        self.connecting -= 1;
        self.tally.connect_failures += 1;
        if is_final(&error) {
            self.refuse_all(&error);
        } else if !self.is_only_full(&error) {
            self.refuse_urgent(&error);
        }
        self.trouble.failed(self.clock.now(), error);
        self.plan_connects();
    }

    /// No attempt could even be begun, and none will be soon.
    pub(in crate::pool) fn cannot_connect(&mut self, error: &Error) {
        self.connecting -= 1;
        self.tally.connect_failures += 1;
        self.refuse_all(error);
    }

    /// How many would be made if there were room for all.
    fn wanted(&self) -> usize {
        match self.door {
            Door::Open => self.queue.len() + self.rules.min_idle.saturating_sub(self.idle.len()),
            Door::Suspended => usize::from(self.queue.has_urgent()),
            Door::Unused | Door::Closed => 0,
        }
    }

    /// Whether the server has no room for one more, and one that is there will come back.
    fn is_only_full(&self, error: &Error) -> bool {
        error.kind() == ErrorKind::Overloaded && self.in_use + self.resting > 0
    }

    /// Has a connection made at once where the next attempt would wait for its moment.
    pub(super) fn hurry(&mut self) {
        let is_late = self.trouble.last().is_some();
        if is_late && self.door == Door::Open && self.size() < self.most() {
            self.connecting += 1;
            self.errands.connects.push(Duration::ZERO);
        }
    }

    /// How many there may be now, for who is next.
    pub(super) fn most(&self) -> usize {
        self.most_for(self.queue.first())
    }

    /// How many there may be for `guest`, or for nobody in particular.
    pub(super) fn most_for(&self, guest: Option<Guest>) -> usize {
        let is_within = guest.is_some_and(|guest| guest.is_within);
        let is_urgent = guest.is_some_and(|guest| guest.taking.is_urgent);
        let is_kept_out = self.rules.is_joint && !is_within && !is_urgent;
        let most = if is_kept_out { 1 } else { self.rules.max };
        most + usize::from(is_urgent)
    }

    pub(super) fn plan_connects(&mut self) {
        let wanted = self.wanted().min(self.rules.connect_concurrency);
        while self.connecting < wanted && self.size() < self.most() {
            self.connecting += 1;
            let delay = self.trouble.delay(self.clock.now(), self.clock.fraction());
            self.errands.connects.push(delay);
        }
    }
}

/// Trying again would fail again until somebody changes a setting, or something on the server.
fn is_final(error: &Error) -> bool {
    use ErrorKind::{Cancelled, Unexpected};
    error.retry() == Retry::Never && !matches!(error.kind(), Cancelled | Unexpected)
}
