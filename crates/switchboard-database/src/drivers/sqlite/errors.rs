//! What SQLite's codes mean, in our words.

use rusqlite::ffi;
use switchboard_core::{Error, ErrorKind};

use super::DIALECT;
use crate::driver::context;
use crate::sql::without_values;
use crate::{Violation, advice};

/// What an error of SQLite means for whoever asked.
///
/// A statement that failed has changed nothing: SQLite takes back what it did before. Only a disk that
/// failed leaves that open. Messages of SQLite may hold values of parameters once a statement runs
/// (`json_extract` quotes a path), so they are told only where they cannot.
pub(super) fn classify(error: rusqlite::Error) -> Error {
    match error {
        rusqlite::Error::SqliteFailure(code, message) => {
            of_code(code.extended_code, message.as_deref().unwrap_or_default())
        }
        rusqlite::Error::SqlInputError { error, msg, sql, offset } => {
            let told = of_code(error.extended_code, "").with_context("server", repeated(&msg));
            let before = usize::try_from(offset).ok().and_then(|offset| sql.get(..offset));
            match before {
                Some(before) => told.with_context(context::POSITION, before.chars().count() + 1),
                None => told,
            }
        }
        rusqlite::Error::MultipleStatement => {
            invalid("there is more than one statement in the text")
        }
        other => {
            Error::new(ErrorKind::Unexpected, "the library of SQLite refused").with_source(other)
        }
    }
}

fn of_code(code: i32, message: &str) -> Error {
    let error = match code & 0xff {
        ffi::SQLITE_CONSTRAINT => return constraint(code, message),
        ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED | ffi::SQLITE_PROTOCOL => {
            Error::new(ErrorKind::Conflict, "somebody else has the database locked").retry_later()
        }
        ffi::SQLITE_SCHEMA | ffi::SQLITE_ABORT => {
            Error::new(ErrorKind::Conflict, "the statement was overtaken by another one")
                .retry_later()
        }
        ffi::SQLITE_ERROR => mistake(message),
        ffi::SQLITE_INTERRUPT => Error::new(ErrorKind::Cancelled, "the statement was interrupted"),
        ffi::SQLITE_MISUSE => invalid("there is no statement in the text"),
        ffi::SQLITE_MISMATCH => invalid("a value is of another type than its column"),
        ffi::SQLITE_RANGE => invalid("there is no such parameter"),
        ffi::SQLITE_TOOBIG => {
            Error::new(ErrorKind::TooLarge, "a value or a statement is too large")
        }
        ffi::SQLITE_READONLY if code == ffi::SQLITE_READONLY_DIRECTORY => {
            denied("the folder of the database may not be written")
                .with_hint("the journal `wal` stands beside the file, also for who only reads")
        }
        ffi::SQLITE_READONLY => denied("the database is only for reading"),
        ffi::SQLITE_PERM | ffi::SQLITE_AUTH => denied("this is not allowed"),
        ffi::SQLITE_FULL => Error::new(ErrorKind::QuotaExceeded, "there is no room left"),
        ffi::SQLITE_CORRUPT => {
            Error::new(ErrorKind::Corrupt, "the file of the database is damaged")
        }
        ffi::SQLITE_NOTADB => {
            Error::new(ErrorKind::Corrupt, "the file is not a database of SQLite")
        }
        ffi::SQLITE_CANTOPEN => unavailable("a file of the database cannot be opened"),
        ffi::SQLITE_NOMEM => unavailable("there is no memory left").retry_later(),
        ffi::SQLITE_IOERR => return with_code(unavailable("the disk failed").in_doubt(), code),
        _ => Error::new(ErrorKind::Unexpected, "SQLite failed in a way that is not known"),
    };
    with_code(error.not_applied(), code)
}

/// `SQLITE_CONSTRAINT` and its relatives: which constraint it was, SQLite tells in the message only.
fn constraint(code: i32, message: &str) -> Error {
    let name = message.split_once("failed: ").map(|(_, name)| unquoted(name));
    let error = match code {
        ffi::SQLITE_CONSTRAINT_UNIQUE
        | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
        | ffi::SQLITE_CONSTRAINT_ROWID => about_column(Violation::Unique.error(name), name),
        ffi::SQLITE_CONSTRAINT_NOTNULL => {
            about_column(Violation::NotNull.error(name.map(column_of)), name)
        }
        ffi::SQLITE_CONSTRAINT_CHECK => Violation::Check.error(name),
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => Violation::ForeignKey.error(None),
        ffi::SQLITE_CONSTRAINT_DATATYPE => invalid("a value is of another type than its column"),
        ffi::SQLITE_CONSTRAINT_TRIGGER => invalid("a trigger refused it"),
        _ => invalid("a rule of the table does not hold"),
    };
    with_code(error.not_applied(), code)
}

/// An index over expressions is named like `index 'lower_email'`.
fn unquoted(name: &str) -> &str {
    name.strip_prefix("index '").and_then(|name| name.strip_suffix('\'')).unwrap_or(name)
}

/// The column of `users.email`.
fn column_of(name: &str) -> &str {
    name.split_once('.').map_or(name, |(_, column)| column)
}

/// `users.email` names a table and a column; `users.first, users.last` only a table.
fn about_column(error: Error, name: Option<&str>) -> Error {
    let Some((table, column)) = name.and_then(|name| name.split_once('.')) else { return error };
    let error = error.with_context(context::TABLE, table);
    if column.contains(", ") { error } else { error.with_context(context::COLUMN, column) }
}

/// `SQLITE_ERROR` says nothing but that the statement is to blame.
fn mistake(message: &str) -> Error {
    if message.starts_with("ON CONFLICT clause does not match") {
        return advice::no_such_key();
    }
    let error = invalid("the statement is wrong");
    let is_about_names = MESSAGES_ABOUT_NAMES.iter().any(|start| message.starts_with(start));
    if is_about_names { error.with_context("server", repeated(message)) } else { error }
}

/// What the library says of a mistake, without the values of the statement.
fn repeated(message: &str) -> String {
    let before = if message.contains("token: \"") { "token: \"" } else { "near \"" };
    without_values(message, before, "\"", DIALECT.lexis)
}

fn with_code(error: Error, code: i32) -> Error {
    error.with_context(context::CODE, code)
}

pub(super) fn invalid(message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidInput, message).not_applied()
}

fn denied(message: &'static str) -> Error {
    Error::new(ErrorKind::PermissionDenied, message)
}

fn unavailable(message: &'static str) -> Error {
    Error::new(ErrorKind::Unavailable, message)
}

/// What SQLite says while it prepares a statement again: names of the schema and no values.
const MESSAGES_ABOUT_NAMES: [&str; 4] =
    ["no such table: ", "no such column: ", "no such savepoint: ", "table "];
