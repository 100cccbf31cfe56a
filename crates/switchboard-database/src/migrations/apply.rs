//! Applies one migration: whole, or statement by statement with a mark before each of them.

use std::panic::Location;
use std::time::{Duration, Instant};

use switchboard_core::{Clock, Error, ErrorKind, Outcome, Result};

use super::journal::Journal;
use super::lease::Lease;
use super::limits::Limits;
use super::plan::Planned;
use super::report::MigrationApplied;
use super::statements::Part;
use crate::session::{Occupied, Opening};
use crate::{
    Isolation, MigrationsConfig, PooledConnection, Statements as _, Transaction, TransactionOptions,
};

/// Applies migrations for as long as the lease is its own.
#[derive(Debug)]
pub(super) struct Applying<'a> {
    pub(super) journal: &'a Journal,
    pub(super) lease: &'a Lease,
    pub(super) config: &'a MigrationsConfig,
}

impl Applying<'_> {
    pub(super) async fn apply(&self, planned: &Planned<'_>) -> Result<MigrationApplied> {
        let began = self.clock().now();
        if planned.is_transactional {
            self.whole(planned, began).await?;
        } else {
            self.step_by_step(planned, began).await?;
        }
        Ok(MigrationApplied {
            version: planned.migration.version,
            name: planned.migration.name.clone(),
            statements: planned.parts.len(),
            took: Some(self.since(began)),
        })
    }

    /// All of it in one transaction, together with the row that says so.
    async fn whole(&self, planned: &Planned<'_>, began: Instant) -> Result<()> {
        // What others commit has to be seen, or renewing the lease would be a conflict.
        let options = TransactionOptions::new().isolation(Isolation::ReadCommitted).expect_long();
        // What is configured is for what users wait for, and this takes as long as the tables are large.
        let options = self.limits(planned).around(options.timeout(Duration::MAX));
        let transaction = self.journal.database.begin(&options).await?;
        if let Err(error) = self.in_transaction(&transaction, planned, began).await {
            // What matters is why it was given up; a connection that cannot roll back is closed.
            transaction.rollback().await.ok();
            return Err(error.not_applied());
        }
        transaction.commit().await
    }

    async fn in_transaction(
        &self,
        transaction: &Transaction,
        planned: &Planned<'_>,
        began: Instant,
    ) -> Result<()> {
        self.lease.renew(transaction).await?;
        for part in &planned.parts {
            let done = transaction.execute_script(part.sql).await;
            done.map_err(|error| self.tell(error, planned, part))?;
        }
        self.journal.applied(transaction, planned.migration, Some(self.since(began))).await?;
        // It may have taken longer than a lease lasts: the next one begins with all of it.
        self.lease.renew(transaction).await
    }

    /// Each statement for itself. Where it stops is known afterwards.
    async fn step_by_step(&self, planned: &Planned<'_>, began: Instant) -> Result<()> {
        self.has_one_to_spare()?;
        let connection = self.connection().await?;
        if let Some(limits) = self.limits(planned).set(self.journal.server) {
            connection.execute_script(&limits).await?;
        }
        let alive = self.lease.keep_alive()?;
        for part in &planned.parts {
            self.mark(&connection, planned, part).await?;
            if let Err(error) = connection.execute_script(part.sql).await {
                let error = self.tell(error, planned, part);
                return Err(self.stopped(&connection, planned, error).await);
            }
        }
        self.lease.renew(&connection).await?;
        let (version, took) = (planned.migration.version, Some(self.since(began)));
        self.journal.finished(&connection, version, took).await?;
        alive.stop().await
    }

    /// While a statement runs over one connection, another one says that we are alive. Where one writes and
    /// others read, nobody else can write meanwhile.
    fn has_one_to_spare(&self) -> Result<()> {
        let pools = self.journal.database.pools();
        if !matches!(&pools[..], [one] if one.max < 2) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Config,
            "a migration without a transaction needs two connections",
        )
        .with_context("setting", "pool.max")
        .with_hint("the second one keeps the lock of the migrations while a statement takes long")
        .not_applied())
    }

    /// Writes down which statement is run next, if it is still ours to run.
    async fn mark(
        &self,
        connection: &PooledConnection,
        planned: &Planned<'_>,
        part: &Part<'_>,
    ) -> Result<()> {
        self.lease.renew(connection).await?;
        if part.is_first() {
            self.journal.begun(connection, planned.migration, part).await
        } else {
            self.journal.reached(connection, planned.migration, part).await
        }
    }

    /// The error of a statement in the middle. A mark says that it failed, unless nobody knows.
    async fn stopped(
        &self,
        connection: &PooledConnection,
        planned: &Planned<'_>,
        error: Error,
    ) -> Error {
        if error.outcome() == Outcome::NotApplied {
            // Without it the mark still says that it was begun, which is true as well.
            self.journal.failed(connection, planned.migration).await.ok();
        }
        let undone = "what the statements before it did was not taken back";
        if planned.parts.len() > 1 { error.with_hint(undone) } else { error }
    }

    /// A connection that may be in use for long without being told of as leaked.
    async fn connection(&self) -> Result<PooledConnection> {
        let database = self.journal.database.clone();
        let at = Location::caller();
        let opening = Opening { database: database.clone(), begin: None, at, is_long: true };
        let mut occupied = Occupied::waiting(opening);
        occupied.opened().await?;
        Ok(PooledConnection::new(occupied, database))
    }

    fn limits(&self, planned: &Planned<'_>) -> Limits {
        Limits::of(planned.migration, self.config)
    }

    fn tell(&self, error: Error, planned: &Planned<'_>, part: &Part<'_>) -> Error {
        self.limits(planned).tell(part.tell(error, planned.migration))
    }

    fn since(&self, began: Instant) -> Duration {
        self.clock().now().saturating_duration_since(began)
    }

    fn clock(&self) -> &Clock {
        self.journal.database.line().environment().clock()
    }
}

/// How many were applied before the one that `error` is about.
pub(super) fn after(error: Error, applied: usize) -> Error {
    match applied {
        0 => error,
        _ => error.with_context("applied_before", applied),
    }
}

/// What cannot be migrated as one.
pub(super) fn no_single_database() -> Error {
    let message = "migrations belong to one database, and this is a group of several";
    Error::new(ErrorKind::Unsupported, message).not_applied()
}
