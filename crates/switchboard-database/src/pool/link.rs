//! One connection of a pool, and what others may know of it while somebody uses it.
//!
//! Between two calls the connection lies on its desk, so that it can be taken away from whoever has
//! had it for too long. While a call is under way its holder has it in hand.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Connection;

/// One connection, known to the books and to its holder.
pub(super) struct Link {
    /// Where it stands in the books.
    pub(super) slot: usize,
    /// What the server calls it.
    pub(super) id: Option<Arc<str>>,
    desk: Mutex<Desk>,
}

/// Where a connection lies while nothing is asked of it.
pub(super) struct Desk {
    pub(super) connection: Option<Box<dyn Connection>>,
    /// What was asked last, since it was handed out.
    pub(super) statement: Option<Arc<str>>,
    /// That is still under way.
    pub(super) is_running: bool,
    /// Its holder has had it for too long, and loses it when the call under way ends.
    pub(super) is_wanted_back: bool,
}

impl Link {
    pub(super) fn new(slot: usize, connection: Box<dyn Connection>) -> Self {
        Self {
            slot,
            id: connection.id().map(Arc::from),
            desk: Mutex::new(Desk {
                connection: Some(connection),
                statement: None,
                is_running: false,
                is_wanted_back: false,
            }),
        }
    }

    /// Never locked around the books: they lock it while they are locked themselves.
    pub(super) fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection, unless it is in somebody's hand.
    pub(super) fn take(&self) -> Option<Box<dyn Connection>> {
        self.desk().connection.take()
    }

    pub(super) fn put(&self, connection: Box<dyn Connection>) {
        self.desk().connection = Some(connection);
    }

    /// The connection of a holder that has had it for too long: now if it lies there, else its
    /// holder gives it up at the end of the call.
    pub(super) fn take_back(&self) -> Option<Box<dyn Connection>> {
        let mut desk = self.desk();
        desk.is_wanted_back = true;
        desk.connection.take()
    }
}

impl Desk {
    /// Nobody has asked anything yet.
    pub(super) fn clear(&mut self) {
        self.statement = None;
        self.is_running = false;
    }
}
