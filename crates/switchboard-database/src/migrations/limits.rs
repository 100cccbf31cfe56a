//! How long a statement of a migration may take, and how long it may wait for what others hold.
//!
//! What a file says counts before what is configured; what neither says is as the session has it.

use std::time::Duration;

use switchboard_core::{Error, ErrorKind, Result};

use super::files::Migration;
use super::server::Server;
use crate::{MigrationsConfig, TransactionOptions};

/// The limits of the statements of one migration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Limits {
    lock: Option<Duration>,
    statement: Option<Duration>,
}

impl Limits {
    pub(super) fn of(migration: &Migration, config: &MigrationsConfig) -> Self {
        Self {
            lock: migration.lock_timeout.or(config.lock_timeout),
            statement: migration.statement_timeout.or(config.statement_timeout),
        }
    }

    /// The transaction with these limits.
    pub(super) fn around(self, mut options: TransactionOptions) -> TransactionOptions {
        if let Some(limit) = self.lock {
            options = options.lock_timeout(finite(limit));
        }
        if let Some(limit) = self.statement {
            options = options.statement_timeout(finite(limit));
        }
        options
    }

    /// What gives a connection these limits, where there is no transaction. `None` if there is nothing to
    /// be said.
    pub(super) fn set(self, server: Server) -> Option<String> {
        match self {
            Self { lock: None, statement: None } => None,
            Self { lock, statement } => server.limited(lock.map(finite), statement.map(finite)),
        }
    }

    /// The error of a statement, with the limits it may have met.
    pub(super) fn tell(self, mut error: Error) -> Error {
        if !matches!(error.kind(), ErrorKind::Conflict | ErrorKind::Timeout) {
            return error;
        }
        let limits = [("lock_timeout", self.lock), ("statement_timeout", self.statement)];
        for (name, limit) in limits {
            if let Some(limit) = limit.filter(|limit| !limit.is_zero()) {
                error = error.with_context(name, format_args!("{limit:?}"));
            }
        }
        error
    }
}

/// Refuses limits that nobody would keep: a file without a transaction says its own on a server that
/// knows them of transactions only.
pub(super) fn kept(migration: &Migration, is_transactional: bool, server: Server) -> Result<()> {
    let says_some = migration.lock_timeout.or(migration.statement_timeout).is_some();
    if is_transactional || !says_some || server.limits_sessions() {
        return Ok(());
    }
    let refused = "this server has no limits for what runs without a transaction";
    Err(Error::new(ErrorKind::Config, refused)
        .with_context("file", &migration.file)
        .with_hint("leave the limits away, or `-- switchboard: no-transaction`")
        .not_applied())
}

/// Nothing stands for no limit, which servers write differently.
fn finite(limit: Duration) -> Duration {
    if limit.is_zero() { LIMITLESS } else { limit }
}

/// Longer than a statement takes, and what every server can count in milliseconds: 24 days.
const LIMITLESS: Duration = Duration::from_hours(24 * 24);
