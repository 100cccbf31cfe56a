//! Makes connections for the pool: not for the caller that asked, who may be gone by then.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use switchboard_core::{Error, ErrorKind, Result};

use super::Shared;
use super::books::Books;
use crate::{Connection, context};

/// One attempt to make a connection, which the books count until it has ended in one way or another.
pub(super) struct Attempt {
    shared: Arc<Shared>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It waits for its moment, or for a runtime that takes it.
    Planned,
    UnderWay,
    /// The books know how it ended.
    Ended,
}

impl Attempt {
    /// Makes a connection after `delay`, if it is still needed then.
    pub(super) fn start(shared: &Arc<Shared>, delay: Duration) {
        let attempt = Self { shared: shared.clone(), stage: Stage::Planned };
        let limit = delay.saturating_add(shared.connect_timeout).saturating_add(MARGIN);
        drop(shared.reaper.submit("connect to a database", limit, attempt.run(delay)));
    }

    async fn run(mut self, delay: Duration) -> Result<()> {
        match self.make_unless_closed(delay).await {
            Some(Ok((connection, since))) => self.end(|books| books.connected(connection, since)),
            Some(Err(error)) => self.end(|books| books.connect_failed(error)),
            None => self.end(Books::call_off),
        }
        Ok(())
    }

    /// What [`make`](Self::make) answers, or nothing if the pool is closed before that.
    async fn make_unless_closed(&mut self, delay: Duration) -> Option<Made> {
        let shared = self.shared.clone();
        let closing = shared.closing.notified();
        if shared.books().is_closed() {
            return None;
        }
        match select(pin!(self.make(delay)), pin!(closing)).await {
            Either::Left((made, _)) => made,
            Either::Right(_) => None,
        }
    }

    /// The connection and when it was begun, or nothing if nobody needs it by now.
    async fn make(&mut self, delay: Duration) -> Option<Made> {
        if !delay.is_zero() {
            self.shared.clock.sleep(delay).await;
            if !self.shared.books().still_wants() {
                return None;
            }
        }
        self.stage = Stage::UnderWay;
        let since = self.shared.clock.now();
        let limit = self.shared.connect_timeout;
        let connecting = self.shared.driver.connect(self.shared.lane);
        let connected = tokio::time::timeout(limit, connecting).await;
        let connection = connected.unwrap_or_else(|_| Err(too_slow(limit)));
        let connection = connection.map_err(|error| self.with_address(error));
        Some(connection.map(|connection| (connection, since)))
    }

    /// The error with where it was tried, unless it says so itself.
    fn with_address(&self, error: Error) -> Error {
        match self.shared.driver.address() {
            Some(address) if error.context_value(context::ADDRESS).is_none() => {
                error.with_context(context::ADDRESS, address)
            }
            _ => error,
        }
    }

    fn end(&mut self, tell: impl FnOnce(&mut Books)) {
        self.stage = Stage::Ended;
        self.shared.change(tell);
        self.shared.look_after();
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        match self.stage {
            Stage::Planned => self.shared.change(|books| books.cannot_connect(&not_begun())),
            Stage::UnderWay => self.shared.change(|books| books.connect_failed(panicked())),
            Stage::Ended => {}
        }
    }
}

type Made = Result<(Box<dyn Connection>, Instant)>;

fn too_slow(limit: Duration) -> Error {
    Error::new(ErrorKind::Timeout, "making a connection took too long")
        .not_applied()
        .with_context("connect_timeout", format_args!("{limit:?}"))
}

fn not_begun() -> Error {
    Error::new(ErrorKind::Unavailable, "no connection can be made: there is nobody to make it")
        .not_applied()
        .with_hint("is the runtime shutting down, or are too many clean-ups under way?")
}

fn panicked() -> Error {
    Error::new(ErrorKind::Unexpected, "the driver did not come to an end with a connection")
        .not_applied()
}

/// What the reaper waits beyond the limit of an attempt, so that the attempt ends by itself.
const MARGIN: Duration = Duration::from_secs(1);
