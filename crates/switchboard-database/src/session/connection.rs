//! A connection of one's own, without a transaction.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;

use switchboard_core::Result;

use super::occupied::{OUTERMOST, Occupied};
use super::turns::Turns;
use crate::statement::{Asked, Job, Lent, Query, Source, asked_at};
use crate::{Database, Statements};

/// A connection of one's own until it is dropped: for what needs several statements on the same
/// connection and no transaction. While a stream of its rows is open, everything else is refused.
///
/// What statements leave on it, such as settings and temporary tables, is taken away before anybody
/// else has it.
pub struct PooledConnection {
    occupied: Turns,
    database: Database,
}

impl PooledConnection {
    pub(crate) fn new(occupied: Occupied, database: Database) -> Self {
        Self { occupied: Turns::new(occupied), database }
    }

    /// The database it is a connection to.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Lets `look` use the client of the library underneath.
    ///
    /// What it does is not seen: the connection is reset before anybody else has it. An error if the
    /// client is of another type.
    pub async fn native<C: 'static, T, F>(&self, look: F) -> Result<T>
    where
        F: for<'c> FnOnce(&'c mut C) -> Pin<Box<dyn Future<Output = Result<T>> + Send + 'c>> + Send,
    {
        self.occupied.next().await?.native(OUTERMOST, look).await
    }
}

impl Statements for PooledConnection {}

impl Asked for PooledConnection {
    async fn ask<J: Job>(&self, job: J, at: &'static Location<'static>) -> Result<J::Answer> {
        let answer = self.occupied.next().await?.ask(OUTERMOST, &job, at).await;
        answer.map_err(|error| asked_at(error, at))
    }

    async fn open_rows(&self, query: Query<'_>, at: &'static Location<'static>) -> Result<Source> {
        let mut turn = self.occupied.to_read().await?;
        let reading = turn
            .occupied()
            .open_rows(OUTERMOST, &query)
            .await
            .map_err(|error| asked_at(error, at))?;
        let reaper = self.database.line().environment().reaper();
        Ok(Source::new(Lent::Shared(turn, reading), reaper))
    }

    fn database(&self) -> &Database {
        &self.database
    }
}

impl fmt::Debug for PooledConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PooledConnection").field("database", &self.database).finish_non_exhaustive()
    }
}
