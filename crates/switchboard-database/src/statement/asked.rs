//! What runs statements, seen from below: only this crate has such.

use std::future::Future;
use std::panic::Location;

use switchboard_core::{Error, Op, Result};

use super::{Job, Query, Source};
use crate::Database;

/// Whatever has a connection, or can have one.
pub trait Asked: Send + Sync {
    /// Does `job`; `at` is where in the program it was asked for.
    fn ask<J: Job>(
        &self,
        job: J,
        at: &'static Location<'static>,
    ) -> impl Future<Output = Result<J::Answer>> + Send;

    /// Opens the rows of a statement.
    fn open_rows(
        &self,
        query: Query<'_>,
        at: &'static Location<'static>,
    ) -> impl Future<Output = Result<Source>> + Send;

    /// The database behind it.
    fn database(&self) -> &Database;

    /// `error`, which came about after `op` was answered, with its place and what was asked where.
    fn told(
        &self,
        op: Op,
        sql: Option<&str>,
        at: &'static Location<'static>,
        error: Error,
    ) -> Error {
        let database = self.database();
        let dialect = database.dialect();
        let fingerprint = sql.zip(dialect).map(|(sql, of)| crate::sql::fingerprint(sql, of.lexis));
        let error = match fingerprint {
            Some(statement) => with_statement(error, &statement),
            None => error,
        };
        asked_at(error, at).at(|| database.place(op))
    }
}

/// The error with the statement it is about, in its normal form, which has no values.
pub(crate) fn with_statement(error: Error, statement: &str) -> Error {
    match error.context_value(STATEMENT) {
        Some(_) => error,
        None => error.with_context(STATEMENT, statement),
    }
}

/// The error with the line of the program that asked. Who waited in vain has told it already.
pub(crate) fn asked_at(error: Error, at: &'static Location<'static>) -> Error {
    let is_told = ["asked at", "wanted at"].iter().any(|key| error.context_value(key).is_some());
    if is_told { error } else { error.with_context("asked at", at) }
}

const STATEMENT: &str = "statement";
