//! Rows that are inserted, or that update those which have their key already.
//!
//! A statement has as many rows as it can. One that fails is taken back and tried again with half of them at
//! a time: so the row that is to blame is found, and rows with one key that only PostgreSQL finds to be one, which it
//! takes only from different statements, come one after the other.

use std::borrow::Cow;
use std::ops::Range;

use switchboard_core::{Error, ErrorKind, Op, Result};

use super::Job;
use super::progress::Watched;
use super::repeats::Repeats;
use super::whole::INNERMOST;
use crate::driver::{BulkTarget, Connection, OnConflict, Savepoint, Statement};
use crate::engine::Engine;
use crate::pool::Taken;
use crate::sql::{Effect, insert_of, quoted, quoted_list};
use crate::{Dialect, Value, Violation, advice, op};

/// What becomes of a row that is there already.
#[derive(Clone, Copy, Debug)]
pub(super) enum Met<'s> {
    /// All its columns change, but those of the key.
    Replaced,
    /// These change.
    Updated(&'s [&'s str]),
    /// None changes.
    Kept,
}

/// Rows for one table, as something to do on a connection.
pub(crate) struct Upsert<'s> {
    target: BulkTarget<'s>,
    key: &'s [&'s str],
    /// The columns that change of a row that is there; none where it is kept.
    updated: Vec<&'s str>,
    repeats: Repeats,
    /// Of all rows, one after the other.
    values: Vec<Value>,
    watched: Watched<'s>,
}

impl<'s> Upsert<'s> {
    /// These rows, each of which has one value for each column, if all columns that are named make sense.
    pub(super) fn new(
        target: BulkTarget<'s>,
        key: &'s [&'s str],
        met: Met<'s>,
        rows: Vec<Vec<Value>>,
        watched: Watched<'s>,
    ) -> Result<Self> {
        let columns = target.columns;
        each_once(columns, "no column is named that rows have values for")?;
        each_once(key, "no column is named that is the key")?;
        all_among(key, columns)?;
        let is_free = |column: &&str| !key.contains(column);
        let updated: Vec<_> = match met {
            Met::Kept => Vec::new(),
            Met::Replaced => columns.iter().copied().filter(is_free).collect(),
            Met::Updated(updated) => updated.to_vec(),
        };
        if !matches!(met, Met::Kept) {
            each_once(&updated, "no column is left that could be updated")
                .map_err(|error| error.with_hint("say `keep` to leave rows that are there"))?;
            all_among(&updated, columns)?;
        }
        if let Some(column) = updated.iter().find(|column| key.contains(column)) {
            return Err(
                invalid("a column of the key is not updated").with_context("column", column)
            );
        }
        let values = rows.into_iter().flatten().collect();
        let repeats = Repeats::of(columns, key, &updated);
        Ok(Self { target, key, updated, repeats, values, watched })
    }

    /// The table, not quoted yet.
    pub(crate) fn table(&self) -> &str {
        self.target.table
    }

    /// Puts all rows into their table, within what takes them back where one fails.
    pub(crate) async fn put(
        &self,
        connection: &mut dyn Connection,
        dialect: &Dialect,
    ) -> Result<u64> {
        let total = self.rows();
        let clause = self.clause(dialect)?;
        let mut done = 0;
        // What failed in one piece, the first rows last.
        let mut halves: Vec<Range<usize>> = Vec::new();
        while done < total {
            let some = halves.pop().unwrap_or_else(|| self.next(done, dialect));
            let Err(error) = self.attempt(&some, &clause, connection, dialect).await else {
                done = some.end;
                self.watched.reached(done as u64, total as u64);
                continue;
            };
            if advice::is_no_such_key(&error) {
                return Err(error.with_context("key", self.key.join(", ")));
            }
            if !may_be_about_a_row(&error) {
                return Err(error);
            }
            if some.len() == 1 {
                let is_named = self.is_about_row(&error, some.start, &clause, connection, dialect);
                let is_named = is_named.await;
                return Err(if is_named { error.with_context("row", some.end) } else { error });
            }
            let middle = usize::midpoint(some.start, some.end);
            halves.extend([middle..some.end, some.start..middle]);
        }
        Ok(total as u64)
    }

    fn rows(&self) -> usize {
        self.values.len() / self.target.columns.len()
    }

    /// The rows from `start` on that one statement takes; one at least.
    fn next(&self, start: usize, dialect: &Dialect) -> Range<usize> {
        let width = self.target.columns.len();
        let rows_max = (dialect.values_max / width).clamp(1, ROWS_MAX);
        let rows = self.values[start * width..].chunks(width).take(rows_max);
        let mut bytes = 0;
        let fitting = rows.take_while(|row| {
            bytes += row.iter().map(bytes_of).sum::<usize>();
            bytes <= BYTES_MAX
        });
        start..start + fitting.count().max(1)
    }

    /// All or none of these rows, as one statement. Alone, it is taken back by what is around it.
    async fn attempt(
        &self,
        rows: &Range<usize>,
        clause: &str,
        connection: &mut dyn Connection,
        dialect: &Dialect,
    ) -> Result<()> {
        let values = self.values_of(rows, dialect);
        let count = values.len() / self.target.columns.len();
        let sql = (insert_of(self.target, count, dialect) + clause).into();
        let statement = Statement { sql: &sql, values: &values, is_kept: false };
        if self.rows() == 1 {
            return connection.execute(statement).await.map(drop);
        }
        connection.savepoint(Savepoint::Set, INNERMOST).await?;
        let put = connection.execute(statement).await.map(drop);
        let how = if put.is_ok() { Savepoint::Release } else { Savepoint::RollBack };
        let ended = connection.savepoint(how, INNERMOST).await;
        put.and(ended)
    }

    /// What is sent for these rows. Those with one key are one where the server wants that.
    fn values_of(&self, rows: &Range<usize>, dialect: &Dialect) -> Cow<'_, [Value]> {
        let width = self.target.columns.len();
        let values = &self.values[rows.start * width..rows.end * width];
        match dialect.on_conflict {
            OnConflict::OfKey if !self.updated.is_empty() => self.repeats.merged(values),
            // Rows that are kept may meet each other in one statement, and no key is known of `OfAnyKey`.
            _ => Cow::Borrowed(values),
        }
    }

    /// Whether `error`, which the row at `index` met alone, is about that row, and not about the
    /// statement, which no other row gets through either.
    async fn is_about_row(
        &self,
        error: &Error,
        index: usize,
        clause: &str,
        connection: &mut dyn Connection,
        dialect: &Dialect,
    ) -> bool {
        if index > 0 || Violation::of(error).is_some() {
            return true;
        }
        let rows = self.rows();
        rows > 1 && self.attempt(&(rows - 1..rows), clause, connection, dialect).await.is_ok()
    }

    /// What becomes of rows that are there.
    fn clause(&self, dialect: &Dialect) -> Result<String> {
        let set = |value: fn(String) -> String| {
            let assigned = self.updated.iter().map(|column| {
                let column = quoted(column, dialect);
                format!("{column} = {}", value(column.clone()))
            });
            assigned.collect::<Vec<_>>().join(", ")
        };
        match dialect.on_conflict {
            OnConflict::Fails => Err(unsupported()),
            OnConflict::OfKey => {
                let key = quoted_list(self.key, dialect);
                Ok(if self.updated.is_empty() {
                    format!(" on conflict ({key}) do nothing")
                } else {
                    let set = set(|column| format!("excluded.{column}"));
                    format!(" on conflict ({key}) do update set {set}")
                })
            }
            OnConflict::OfAnyKey if self.updated.is_empty() => {
                // An assignment that changes nothing. `INSERT IGNORE` would let other mistakes pass too.
                let column = quoted(self.key[0], dialect);
                Ok(format!(" on duplicate key update {column} = {column}"))
            }
            OnConflict::OfAnyKey => {
                // MySQL would rather have an alias of the rows, which MariaDB does not know; both know this.
                let set = set(|column| format!("values({column})"));
                Ok(format!(" on duplicate key update {set}"))
            }
        }
    }
}

impl Job for Upsert<'_> {
    type Answer = u64;
    const OP: Op = op::BULK_UPSERT;

    fn effect(&self, _: &Engine) -> Result<Effect> {
        Ok(Effect::Write)
    }

    async fn run(&self, engine: &Engine, taken: &mut Taken) -> Result<u64> {
        if self.values.is_empty() {
            return Ok(0);
        }
        engine.bulk_upsert(taken, self).await
    }

    fn is_whole(&self) -> bool {
        !self.values.is_empty()
    }
}

/// Whether there is a name, and none twice.
fn each_once(names: &[&str], none: &'static str) -> Result<()> {
    if names.is_empty() {
        return Err(invalid(none));
    }
    let is_repeat = |(at, name): &(usize, &&str)| names[..*at].contains(name);
    match names.iter().enumerate().find(is_repeat) {
        None => Ok(()),
        Some((_, name)) => Err(invalid("a column is named twice").with_context("column", name)),
    }
}

/// Whether rows have values for all of `names`.
fn all_among(names: &[&str], columns: &[&str]) -> Result<()> {
    match names.iter().find(|name| !columns.contains(name)) {
        None => Ok(()),
        Some(name) => {
            Err(invalid("rows have no value for a column that is named")
                .with_context("column", name))
        }
    }
}

fn may_be_about_a_row(error: &Error) -> bool {
    ABOUT_ROWS.contains(&error.kind())
}

/// About how much room a value takes on its way.
fn bytes_of(value: &Value) -> usize {
    let more = match value {
        Value::Text(text) | Value::Json(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Array(values) => values.iter().map(bytes_of).sum(),
        _ => 0,
    };
    more + 16
}

fn invalid(message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidInput, message).not_applied()
}

fn unsupported() -> Error {
    Error::new(
        ErrorKind::Unsupported,
        "the database does not update rows that are there by an insert",
    )
    .not_applied()
}

/// What may be wrong with a row.
const ABOUT_ROWS: [ErrorKind; 4] = [
    ErrorKind::AlreadyExists,
    ErrorKind::InvalidInput,
    ErrorKind::PreconditionFailed,
    ErrorKind::TooLarge,
];

/// Beyond that, more rows to a statement gain nothing.
const ROWS_MAX: usize = 1_000;

/// Nor do more bytes.
const BYTES_MAX: usize = 1 << 20;
