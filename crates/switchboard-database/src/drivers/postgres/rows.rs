//! Rows as they come from the server.

use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::TryStreamExt as _;
use switchboard_core::{Error, ErrorKind};
use tokio_postgres::RowStream;
use tokio_postgres::types::{FromSql, Type};

use super::statements::Kept;
use super::values::{Undecoded, decode};
use crate::value::Collected;
use crate::{Fields, Row, RowReader, Value};

/// Why there are no more rows.
pub(super) enum Stop {
    /// The server or the way to it.
    Library(tokio_postgres::Error),
    /// A value that is not read here.
    Value(Error),
}

impl From<tokio_postgres::Error> for Stop {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Library(error)
    }
}

/// Rows that come as they are fetched.
pub(super) enum Open {
    /// Sent by the server until the way is full.
    Stream { stream: Pin<Box<RowStream>>, kept: Arc<Kept>, is_stoppable: bool },
    /// Kept by the server until they are asked for, within a transaction.
    Cursor { name: String, kept: Arc<Kept>, fetching: Option<Fetching> },
    /// All were fetched.
    Ended,
}

/// The statement that fetches so many.
pub(super) struct Fetching {
    pub(super) max: usize,
    pub(super) prepared: tokio_postgres::Statement,
}

/// Shows the next rows of `stream` to `reader`, `max` at the most; says how many there were.
pub(super) async fn show(
    mut stream: Pin<&mut RowStream>,
    kept: &Kept,
    max: usize,
    reader: &mut dyn RowReader,
) -> Result<usize, Stop> {
    let mut count = 0;
    let mut changed = None;
    while count < max
        && let Some(row) = stream.try_next().await?
    {
        if count == 0 && !kept.describes(row.columns()) {
            changed = Some(Kept::described(row.columns()));
        }
        let kept = changed.as_ref().unwrap_or(kept);
        let mut sent = Sent { row: &row, kept, error: None };
        reader.read(&kept.columns, &mut sent);
        if let Some(error) = sent.error {
            return Err(Stop::Value(error));
        }
        count += 1;
    }
    Ok(count)
}

/// The next rows of `stream`, `max` at the most.
pub(super) async fn collect(
    stream: Pin<&mut RowStream>,
    kept: &Kept,
    max: usize,
) -> Result<Vec<Row>, Stop> {
    let mut rows = Collected::default();
    show(stream, kept, max, &mut rows).await?;
    rows.into_rows().map_err(Stop::Value)
}

/// A row as the server sent it.
struct Sent<'r> {
    row: &'r tokio_postgres::Row,
    kept: &'r Kept,
    /// Why a value was not read.
    error: Option<Error>,
}

impl Fields for Sent<'_> {
    fn take(&mut self, index: usize) -> Option<Value> {
        match self.row.try_get(index) {
            Ok(Raw(bytes)) => match decode(&self.kept.fields[index], bytes) {
                Ok(value) => Some(value),
                Err(why) => self.refuse(undecoded(why, self.kept, index)),
            },
            Err(error) => self.refuse(another_row(error)),
        }
    }
}

impl Sent<'_> {
    #[cold]
    fn refuse(&mut self, error: Error) -> Option<Value> {
        self.error = Some(error);
        None
    }
}

/// Passes over what is left of `stream`, and says how many rows the server counts.
pub(super) async fn exhaust(mut stream: Pin<&mut RowStream>) -> Result<u64, tokio_postgres::Error> {
    while stream.try_next().await?.is_some() {}
    Ok(stream.rows_affected().unwrap_or(0))
}

#[cold]
fn another_row(error: tokio_postgres::Error) -> Error {
    Error::new(ErrorKind::Unexpected, "the server sent another row than it said").with_source(error)
}

#[cold]
fn undecoded(why: Undecoded, kept: &Kept, index: usize) -> Error {
    let error = match why {
        Undecoded::Unknown => {
            Error::new(ErrorKind::Unsupported, "values of this type are not read")
                .with_hint("have the server write it as text: `column::text`")
        }
        Undecoded::Beyond => Error::new(ErrorKind::Unsupported, "a value is beyond what is held")
            .with_hint("have the server write it as text: `column::text`"),
        Undecoded::Malformed => {
            Error::new(ErrorKind::Corrupt, "a value is not in the form of its type")
        }
    };
    let name = kept.columns.iter().nth(index).map(|column| &column.name);
    error
        // The statement was run; only its answer is not read.
        .with_outcome(switchboard_core::Outcome::Unknown)
        .with_context(crate::context::COLUMN, name.map_or("", |name| name))
        .with_context("type", &kept.fields[index].name)
}

/// The bytes of a value as they came.
struct Raw<'a>(Option<&'a [u8]>);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Self(Some(raw)))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Self(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}
