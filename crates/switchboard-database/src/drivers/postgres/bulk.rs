//! Many rows at once, through the server's `COPY`, or by `INSERT` where the server has none for the
//! table: under row-level security, and for views.

use std::pin::pin;
use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::SinkExt as _;
use switchboard_core::{Error, ErrorKind, Result};
use tokio_postgres::CopyInSink;

use super::DIALECT;
use super::classify::{line_of, refuses_copy};
use super::connection::PostgresConnection;
use super::link::Link;
use super::statements::Kept;
use super::values::{Codec, Fit, fit, literal, put_field};
use crate::sql::{insert_of, quoted_list, quoted_path};
use crate::{BulkTarget, Sent, State, Statement, Value};

impl PostgresConnection {
    /// Inserts all of them or none, and leaves a transaction around it as it was.
    pub(super) async fn bulk_now(
        &mut self,
        target: BulkTarget<'_>,
        rows: &[Vec<Value>],
    ) -> Result<u64> {
        if rows.is_empty() {
            return Ok(0);
        }
        let whole = match self.link.seen.state() {
            State::Idle => &Whole::TRANSACTION,
            _ => &Whole::SAVEPOINT,
        };
        self.run(whole.begin).await?;
        let inserted = match self.copy(target, rows).await {
            Err(Stop::Refused) => self.insert_instead(whole, target, rows).await,
            Err(Stop::Failed(error)) => Err(error),
            Ok(count) => Ok(count),
        };
        if inserted.is_ok() {
            self.run(whole.keep).await?;
        } else {
            self.link.settle().await;
            // Where that fails the connection is broken; what led here says more.
            let _ = self.run(whole.take_back).await;
        }
        inserted
    }

    async fn copy(
        &mut self,
        target: BulkTarget<'_>,
        rows: &[Vec<Value>],
    ) -> std::result::Result<u64, Stop> {
        let table_name = target.table.rsplit('.').next().unwrap_or_default();
        let (table, columns) =
            (quoted_path(target.table, &DIALECT), quoted_list(target.columns, &DIALECT));
        // Asked each time: the server does not notice values of a type that the table had before,
        // where both are as long.
        let types = self.prepare(&format!("select {columns} from {table}")).await?;
        let types = Kept::unnamed(&types);
        let form = Form::of(&types.fields, rows, target.columns)?;
        let copy = format!("copy {table} ({columns}) from stdin with (format {})", form.name());
        let copy = self.prepare(&copy).await?;
        let (types, sent) = (&*types.fields, target.sent);
        let Link { client, going, seen } = &mut self.link;
        seen.begin_copying();
        let copied = going
            .until(async { send(client.copy_in(&copy).await?, form, types, rows, sent).await });
        let error = match copied.await {
            Ok(count) => {
                seen.end_copying();
                return Ok(count);
            }
            Err(error) => error,
        };
        self.link.end_copy().await;
        if refuses_copy(&error) {
            return Err(Stop::Refused);
        }
        let line = line_of(&error, table_name);
        let error = self.link.error(error);
        Err(Stop::Failed(match line {
            Some(line) => error.with_context(ROW, line),
            None => error,
        }))
    }

    /// Inserts them in a way that the server has for everything that can be inserted into.
    async fn insert_instead(
        &mut self,
        whole: &Whole,
        target: BulkTarget<'_>,
        rows: &[Vec<Value>],
    ) -> Result<u64> {
        // Whatever was done until it was refused: it may have been a trigger's.
        self.run(whole.begin_again).await?;
        let rows_max = (DIALECT.values_max / target.columns.len().max(1)).clamp(1, ROWS_MAX);
        let (mut inserted, mut before) = (0, 0);
        for some in rows.chunks(rows_max) {
            self.run(SET_SOME).await?;
            match self.insert_some(target, some).await {
                Ok(count) => inserted += count,
                Err(error) => return Err(self.with_bad_row(error, target, some, before).await),
            }
            self.run(RELEASE_SOME).await?;
            before += some.len();
            if let Some(sent) = target.sent {
                sent.reached(before);
            }
        }
        Ok(inserted)
    }

    /// All or none of these, as one statement.
    async fn insert_some(&mut self, target: BulkTarget<'_>, rows: &[Vec<Value>]) -> Result<u64> {
        let (sql, values) = (Arc::from(insert_of(target, rows.len(), &DIALECT)), rows.concat());
        let insert = Statement { sql: &sql, values: &values, is_kept: false };
        let done = self.execute_now(insert).await;
        if done.is_err() {
            self.link.settle().await;
        }
        done.map(|done| done.affected)
    }

    /// The error with the row it is about. The server does not tell which, so those in question are
    /// inserted again, half of them at a time; all of it is taken back afterwards.
    async fn with_bad_row(
        &mut self,
        error: Error,
        target: BulkTarget<'_>,
        rows: &[Vec<Value>],
        before: usize,
    ) -> Error {
        let is_about_rows = |error: &Error| ABOUT_ROWS.contains(&error.kind());
        let (mut good, mut bad) = (0, rows.len());
        while is_about_rows(&error) && bad - good > 1 {
            let middle = usize::midpoint(good, bad);
            if self.run(ROLL_BACK_SOME).await.is_err() {
                return error;
            }
            match self.insert_some(target, &rows[..middle]).await {
                Ok(_) => good = middle,
                Err(again) if again.kind() == error.kind() => bad = middle,
                Err(_) => return error,
            }
        }
        if is_about_rows(&error) { error.with_context(ROW, before + bad) } else { error }
    }
}

/// Why rows were not copied.
enum Stop {
    /// The server has no `COPY` for the table, and has not looked at a row.
    Refused,
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// What makes all of it one: a transaction, or a part of the one that is under way.
struct Whole {
    begin: &'static str,
    begin_again: &'static str,
    keep: &'static str,
    take_back: &'static str,
}

impl Whole {
    const TRANSACTION: Self = Self {
        begin: "begin",
        begin_again: "rollback; begin",
        keep: "commit",
        take_back: "rollback",
    };

    const SAVEPOINT: Self = Self {
        begin: "savepoint switchboard_bulk",
        begin_again: "rollback to savepoint switchboard_bulk",
        keep: "release savepoint switchboard_bulk",
        take_back: "rollback to savepoint switchboard_bulk; release savepoint switchboard_bulk",
    };
}

async fn send(
    sink: CopyInSink<Bytes>,
    form: Form,
    types: &[Codec],
    rows: &[Vec<Value>],
    sent: Option<&Sent>,
) -> std::result::Result<u64, tokio_postgres::Error> {
    let mut sink = pin!(sink);
    let mut out = BytesMut::with_capacity(PART_BYTES + PART_BYTES / 4);
    form.begin(&mut out);
    for (index, row) in rows.iter().enumerate() {
        form.put_row(types, row, &mut out);
        if out.len() >= PART_BYTES {
            sink.feed(out.split().freeze()).await?;
            if let Some(sent) = sent {
                sent.reached(index + 1);
            }
        }
    }
    form.end(&mut out);
    sink.feed(out.freeze()).await?;
    sink.finish().await
}

/// How rows are written: as the server has them, or, if one of them needs that, as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Binary,
    Text,
}

impl Form {
    /// The form that takes all rows, if all fit.
    fn of(types: &[Codec], rows: &[Vec<Value>], columns: &[&str]) -> Result<Self> {
        let mut form = Self::Binary;
        for (index, row) in rows.iter().enumerate() {
            if row.len() != types.len() {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    "a row has not as many values as there are columns",
                )
                .with_context(ROW, index + 1));
            }
            for (column, (codec, value)) in types.iter().zip(row).enumerate() {
                match fit(codec, value) {
                    Fit::Binary => {}
                    Fit::Text => form = Self::Text,
                    Fit::No => return Err(misfit(index, columns[column], codec, value)),
                }
            }
        }
        Ok(form)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Binary => "binary",
            Self::Text => "text",
        }
    }

    fn begin(self, out: &mut BytesMut) {
        if self == Self::Binary {
            out.put_slice(b"PGCOPY\n\xff\r\n\0");
            // No flags, and nothing more in front of the rows.
            out.put_u64(0);
        }
    }

    fn put_row(self, types: &[Codec], row: &[Value], out: &mut BytesMut) {
        match self {
            Self::Binary => {
                out.put_i16(i16::try_from(types.len()).unwrap_or(i16::MAX));
                types.iter().zip(row).for_each(|(codec, value)| put_field(codec, value, out));
            }
            Self::Text => put_line(row, out),
        }
    }

    fn end(self, out: &mut BytesMut) {
        if self == Self::Binary {
            out.put_i16(-1);
        }
    }
}

fn put_line(row: &[Value], out: &mut BytesMut) {
    for (index, value) in row.iter().enumerate() {
        if index > 0 {
            out.put_u8(b'\t');
        }
        if value.is_null() {
            out.put_slice(b"\\N");
        } else {
            put_escaped(literal(value).as_bytes(), out);
        }
    }
    out.put_u8(b'\n');
}

fn put_escaped(text: &[u8], out: &mut BytesMut) {
    for byte in text {
        match byte {
            b'\\' => out.put_slice(b"\\\\"),
            b'\n' => out.put_slice(b"\\n"),
            b'\r' => out.put_slice(b"\\r"),
            b'\t' => out.put_slice(b"\\t"),
            _ => out.put_u8(*byte),
        }
    }
}

fn misfit(index: usize, column: &str, codec: &Codec, value: &Value) -> Error {
    codec
        .misfit("a value does not fit its column", value)
        .with_context(ROW, index + 1)
        .with_context(crate::context::COLUMN, column)
}

/// How much is written before it is sent.
const PART_BYTES: usize = 64 * 1024;

/// Beyond that, more rows to a statement gain nothing.
const ROWS_MAX: usize = 1_000;

/// Which row an error is about, counted from one.
const ROW: &str = "row";

/// What may be wrong with a row.
const ABOUT_ROWS: [ErrorKind; 4] = [
    ErrorKind::AlreadyExists,
    ErrorKind::InvalidInput,
    ErrorKind::PermissionDenied,
    ErrorKind::PreconditionFailed,
];

const SET_SOME: &str = "savepoint switchboard_some";
const ROLL_BACK_SOME: &str = "rollback to savepoint switchboard_some";
const RELEASE_SOME: &str = "release savepoint switchboard_some";
