//! Turns on one connection: several hold on to it, and one uses it at a time.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, PoisonError, Weak};

use futures_util::future::{Either, select};
use switchboard_core::{Deadline, Error, ErrorKind, Result};
use tokio::sync::{Mutex, MutexGuard, OwnedMutexGuard, watch};

use super::occupied::Occupied;
use crate::statement::Spring;

/// A connection, and whether rows are being read from it.
pub(crate) struct Turns {
    occupied: Arc<Mutex<Occupied>>,
    rows: Arc<OpenRows>,
}

/// What is known of the rows that are open on a connection.
struct OpenRows {
    are_open: watch::Sender<bool>,
    spring: std::sync::Mutex<Weak<Spring>>,
}

/// The turn of rows, which lasts until the last of them is read.
pub(crate) struct ReadingTurn {
    // Fields are dropped in this order: nobody is told of rows any more, then the next has its turn.
    sign: Sign,
    occupied: OwnedMutexGuard<Occupied>,
}

/// Tells others that rows are open, until this is dropped.
struct Sign(Arc<OpenRows>);

impl Turns {
    pub(crate) fn new(occupied: Occupied) -> Self {
        let spring = std::sync::Mutex::default();
        let rows = OpenRows { are_open: watch::Sender::new(false), spring };
        Self { occupied: Arc::new(Mutex::new(occupied)), rows: Arc::new(rows) }
    }

    /// Waits for statements of others, until the deadline of the call around it; an error while rows are
    /// open, since it may be who reads them that would wait.
    pub(crate) async fn next(&self) -> Result<MutexGuard<'_, Occupied>> {
        match self.occupied.try_lock() {
            Ok(occupied) => Ok(occupied),
            Err(_) => self.in_time(self.occupied.lock()).await,
        }
    }

    /// [`next`](Self::next), for rows.
    pub(crate) async fn to_read(&self) -> Result<ReadingTurn> {
        let occupied = match self.occupied.clone().try_lock_owned() {
            Ok(occupied) => occupied,
            Err(_) => self.in_time(self.occupied.clone().lock_owned()).await?,
        };
        Ok(ReadingTurn { sign: Sign(self.rows.clone()), occupied })
    }

    /// For what ends things: waits for statements of others, and closes rows that are open.
    pub(crate) async fn last(&self) -> MutexGuard<'_, Occupied> {
        loop {
            self.close_rows();
            if let Ok(occupied) = self.unless_read(self.occupied.lock()).await {
                return occupied;
            }
        }
    }

    /// Waits for statements and rows of others, however long those take.
    pub(crate) async fn lock(&self) -> MutexGuard<'_, Occupied> {
        self.occupied.lock().await
    }

    /// Closes the rows that are open; who reads them is told.
    pub(crate) fn close_rows(&self) {
        if let Some(spring) = self.rows.spring().upgrade() {
            spring.stop();
        }
    }

    async fn in_time<T>(&self, turn: impl Future<Output = T>) -> Result<T> {
        let turn = self.unless_read(turn);
        let Some(deadline) = Deadline::current() else { return turn.await };
        let until = tokio::time::Instant::from_std(deadline.moment());
        tokio::time::timeout_at(until, turn).await.unwrap_or_else(|_| Err(no_turn()))
    }

    async fn unless_read<T>(&self, turn: impl Future<Output = T>) -> Result<T> {
        let mut are_open = self.rows.are_open.subscribe();
        let opened = async { are_open.wait_for(|are_open| *are_open).await.is_ok() };
        match select(pin!(turn), pin!(opened)).await {
            Either::Left((turn, _)) => Ok(turn),
            Either::Right(_) => Err(rows_are_open()),
        }
    }
}

impl ReadingTurn {
    pub(crate) fn occupied(&mut self) -> &mut Occupied {
        &mut self.occupied
    }

    /// From now on others are told that rows are open, and may close them.
    pub(crate) fn announce(&self, spring: &Weak<Spring>) {
        let rows = &self.sign.0;
        *rows.spring() = spring.clone();
        rows.are_open.send_replace(true);
    }

    /// From now on others wait, for as long as it takes to close the rows.
    pub(crate) fn conceal(&self) {
        self.sign.0.are_open.send_replace(false);
    }
}

impl OpenRows {
    fn spring(&self) -> std::sync::MutexGuard<'_, Weak<Spring>> {
        self.spring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Sign {
    fn drop(&mut self) {
        self.0.are_open.send_replace(false);
    }
}

fn rows_are_open() -> Error {
    Error::new(ErrorKind::PreconditionFailed, "rows are being read from it")
        .with_hint("read the stream to its end or drop it, or collect its rows first")
        .not_applied()
}

fn no_turn() -> Error {
    Error::new(ErrorKind::Timeout, "another statement on the same connection has not ended in time")
        .not_applied()
}
