//! Many rows at once, all or none of them.
//!
//! `LOAD DATA LOCAL` would be the server's own way. It makes warnings of errors, so that values are
//! bent and rows left out in silence, and many servers do not allow it. So it is `MariaDB`'s command for
//! many rows, which is as fast, and for others `INSERT` with many rows each.

use std::fmt::Write as _;
use std::mem;
use std::sync::Arc;

use mysql_async::Value as Raw;
use switchboard_core::{Error, ErrorKind, Result};

use super::DIALECT;
use super::client::{Client, Command};
use super::errors::{is_about_a_row, too_large};
use super::values::encode_all;
use crate::sql::{quoted_list, quoted_path};
use crate::{Begin, BulkTarget, Sent, State, Value};

/// The rows of one call, as the server takes them.
pub(super) struct Bulk {
    /// All before the first row.
    head: String,
    /// One row's worth of placeholders.
    places: String,
    rows: Vec<Vec<Raw>>,
    sent: Option<Sent>,
}

impl Bulk {
    pub(super) fn new(target: BulkTarget<'_>, rows: &[Vec<Value>]) -> Result<Self> {
        if target.columns.is_empty() {
            return Err(Error::new(ErrorKind::InvalidInput, "no columns are named"));
        }
        let table = quoted_path(target.table, &DIALECT);
        let columns = quoted_list(target.columns, &DIALECT);
        let head = format!("INSERT INTO {table} ({columns}) VALUES ");
        let places = format!("({}?)", "?,".repeat(target.columns.len() - 1));
        let encoded = rows.iter().enumerate().map(|(index, row)| {
            encode_row(row, target.columns.len())
                .map_err(|error| error.with_context(ROW, index + 1))
        });
        let sent = target.sent.cloned();
        Ok(Self { head, places, rows: encoded.collect::<Result<_>>()?, sent })
    }

    /// Inserts all of them, and says how many.
    pub(super) async fn insert(self, client: &mut Client) -> Result<u64> {
        if self.rows.is_empty() {
            return Ok(0);
        }
        self.check_sizes(client.packet_bytes_max)?;
        let is_inside = client.state() == State::InTransaction;
        if is_inside {
            client.script(SET).await?;
        } else {
            client.begin(&Begin::default()).await?;
        }
        match self.insert_all(client).await {
            Ok(()) if is_inside => client.script(RELEASE).await?,
            Ok(()) => client.commit().await?,
            Err(error) => {
                take_back(client, is_inside).await;
                return Err(error);
            }
        }
        Ok(self.rows.len() as u64)
    }

    /// Whether the server takes each row. It would end the connection over one that it does not.
    fn check_sizes(&self, packet_bytes_max: usize) -> Result<()> {
        let bytes = |row: &Vec<Raw>| row.iter().map(bytes_of).sum::<usize>() + PACKET_BYTES;
        match self.rows.iter().position(|row| bytes(row) > packet_bytes_max) {
            Some(index) => Err(too_large().with_context(ROW, index + 1)),
            None => Ok(()),
        }
    }

    async fn insert_all(&self, client: &mut Client) -> Result<()> {
        let mut rest = &self.rows[..];
        while !rest.is_empty() {
            let (some, others) = rest.split_at(self.chunk(rest, client.packet_bytes_max));
            let answer = if client.has_batches && is_uniform(some) {
                self.insert_batch(some, client).await
            } else {
                self.insert_some(some, client).await
            };
            if let Err(error) = answer {
                let before = self.rows.len() - rest.len();
                return Err(self.name_bad_row(error, some, before, client).await);
            }
            rest = others;
            if let Some(sent) = &self.sent {
                sent.reached(self.rows.len() - rest.len());
            }
        }
        Ok(())
    }

    /// All or none of these, as one command that says the statement once.
    async fn insert_batch(&self, rows: &[Vec<Raw>], client: &mut Client) -> Result<()> {
        client.script(SET_SOME).await?;
        let answer = client.execute_for_each(&self.sql(1), rows).await;
        if answer.is_err() && client.state() == State::InTransaction {
            client.script(ROLL_BACK_SOME).await?;
        }
        answer
    }

    /// All or none of these, as one statement.
    async fn insert_some(&self, rows: &[Vec<Raw>], client: &mut Client) -> Result<()> {
        let command = Command::raw(self.sql(rows.len()), rows.concat());
        client.execute(command).await.map(drop)
    }

    /// The error with the row it is about, if it is about one.
    ///
    /// The server does not tell for every sort of error. So the rows are inserted again, half of
    /// those in question at a time; all of it is rolled back afterwards.
    async fn name_bad_row(
        &self,
        error: Error,
        rows: &[Vec<Raw>],
        before: usize,
        client: &mut Client,
    ) -> Error {
        let (mut good, mut bad) = (0, rows.len());
        while is_about_a_row(&error) && bad - good > 1 {
            let middle = usize::midpoint(good, bad);
            match self.insert_some(&rows[good..middle], client).await {
                Ok(()) => good = middle,
                Err(again) if is_about_a_row(&again) => bad = middle,
                Err(_) => return error,
            }
        }
        if is_about_a_row(&error) { error.with_context(ROW, before + bad) } else { error }
    }

    fn sql(&self, rows: usize) -> Arc<str> {
        let mut sql = String::with_capacity(self.head.len() + rows * (self.places.len() + 1));
        sql.push_str(&self.head);
        for index in 0..rows {
            let _ = write!(sql, "{}{}", if index == 0 { "" } else { "," }, self.places);
        }
        sql.into()
    }

    /// How many of `rows` fit into one statement; one at least.
    fn chunk(&self, rows: &[Vec<Raw>], packet_bytes_max: usize) -> usize {
        let columns = rows.first().map_or(1, Vec::len);
        let rows_max = (VALUES_MAX / columns).clamp(1, ROWS_MAX);
        let mut bytes = self.head.len();
        let fitting = rows.iter().take(rows_max).take_while(|row| {
            bytes += self.places.len() + row.iter().map(bytes_of).sum::<usize>();
            bytes < packet_bytes_max.min(BYTES_MAX)
        });
        fitting.count().max(1)
    }
}

/// Takes back what was inserted. Where that fails the connection is broken, or the server has done it
/// already; the error that led here says more.
async fn take_back(client: &mut Client, is_inside: bool) {
    let _ = match client.state() {
        State::InTransaction if is_inside => client.script(ROLL_BACK).await,
        _ if is_inside => Ok(()),
        _ => client.rollback().await,
    };
}

/// Whether all values of a column are of one kind. The command for many rows says it once for all of
/// them, and the server would read the others as what they are not.
fn is_uniform(rows: &[Vec<Raw>]) -> bool {
    let columns = rows.first().map_or(0, Vec::len);
    (0..columns).all(|column| {
        let values = rows.iter().map(|row| &row[column]).filter(|value| **value != Raw::NULL);
        let mut kinds = values.map(mem::discriminant);
        let first = kinds.next();
        kinds.all(|kind| Some(kind) == first)
    })
}

fn encode_row(row: &[Value], columns: usize) -> Result<Vec<Raw>> {
    if row.len() == columns {
        return encode_all(row);
    }
    Err(Error::new(ErrorKind::InvalidInput, "a row has not one value for each column")
        .not_applied()
        .with_context("columns", columns)
        .with_context("values", row.len()))
}

fn bytes_of(value: &Raw) -> usize {
    match value {
        Raw::Bytes(bytes) => bytes.len() + 16,
        _ => 16,
    }
}

/// Which row an error is about, counted from one.
const ROW: &str = "row";

/// What a packet has besides its values, at the most.
const PACKET_BYTES: usize = 32;

/// How many values one statement may have.
pub(super) const VALUES_MAX: usize = 65_535;

/// Beyond that, more rows to a statement gain nothing.
const ROWS_MAX: usize = 1_000;

/// Nor do more bytes.
const BYTES_MAX: usize = 1 << 20;

const SET_SOME: &str = "SAVEPOINT switchboard_some";
const ROLL_BACK_SOME: &str = "ROLLBACK TO SAVEPOINT switchboard_some";

const SET: &str = "SAVEPOINT switchboard_bulk";
const RELEASE: &str = "RELEASE SAVEPOINT switchboard_bulk";
const ROLL_BACK: &str =
    "ROLLBACK TO SAVEPOINT switchboard_bulk; RELEASE SAVEPOINT switchboard_bulk";
