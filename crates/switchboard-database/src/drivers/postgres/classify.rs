//! What the errors of the library and of the server mean.

use std::error::Error as _;
use std::io;

use switchboard_core::{Error, ErrorKind, Outcome};
use tokio_postgres::error::{DbError, ErrorPosition, SqlState};

use super::DIALECT;
use super::wire::Failure;
use crate::sql::without_values;
use crate::{Violation, advice, context};

/// The error of a statement that was sent.
pub(super) fn classify(error: tokio_postgres::Error) -> Error {
    match error.as_db_error() {
        Some(said) => said_by_server(said),
        None if error.is_closed() || is_of_the_socket(&error) => lost(Some(error)),
        None => Error::new(ErrorKind::Unexpected, "the server was not understood")
            .with_outcome(Outcome::Unknown)
            .with_source(error),
    }
}

/// The error of a statement whose connection went while it was under way.
pub(super) fn lost(error: Option<tokio_postgres::Error>) -> Error {
    let lost = Error::new(ErrorKind::Unavailable, "the connection was lost")
        .retry_later()
        .with_outcome(Outcome::Unknown);
    match error {
        Some(error) => lost.with_source(error),
        None => lost,
    }
}

/// Why there is no connection; nothing was done.
pub(super) fn classify_connecting(failure: Failure) -> Error {
    let error = match failure {
        Failure::Config(error) => return error,
        Failure::Socket(error) => unreachable_server(&error).with_source(error),
        Failure::Library(error) => match error.as_db_error() {
            Some(said) => said_by_server(said),
            None if is_of_the_socket(&error) || error.is_closed() => {
                Error::new(ErrorKind::Unavailable, "the server ended the connection")
                    .retry_later()
                    .with_source(error)
            }
            None => not_agreed(error),
        },
    };
    error.not_applied()
}

/// What the server said, by its code. Its own words may hold values, so they stay out.
fn said_by_server(said: &DbError) -> Error {
    let code = said.code();
    let not_done = |kind, message: &'static str| Error::new(kind, message).not_applied();
    let error = match code.code() {
        "23505" | "23P01" => Violation::Unique.error(said.constraint()),
        "23503" | "23001" => Violation::ForeignKey.error(said.constraint()),
        "23514" => Violation::Check.error(said.constraint()),
        "23502" => Violation::NotNull.error(said.column()),
        "40001" => not_done(ErrorKind::Conflict, "the transaction met another one").retry_later(),
        "40003" => Error::new(ErrorKind::Unexpected, "the server does not know what became of it")
            .with_outcome(Outcome::Unknown),
        "40P01" => {
            not_done(ErrorKind::Conflict, "transactions waited for each other").retry_later()
        }
        "55P03" => not_done(ErrorKind::Conflict, "others held a lock for too long").retry_later(),
        "57014" if said.message().contains("user request") => {
            not_done(ErrorKind::Cancelled, "the statement was cancelled")
        }
        "57014" => not_done(ErrorKind::Timeout, "the statement took longer than the server allows"),
        "25P03" | "25P04" => Error::new(
            ErrorKind::Unavailable,
            "the server ended the session, because its transaction took too long",
        )
        .not_applied(),
        "25P02" => not_done(
            ErrorKind::PreconditionFailed,
            "the transaction has failed before and can only be rolled back",
        ),
        "25006" => not_done(ErrorKind::PermissionDenied, "the transaction only reads"),
        "42501" => not_done(ErrorKind::PermissionDenied, "the user may not do this"),
        "28P01" | "28000" => {
            not_done(ErrorKind::Unauthenticated, "the server does not accept the user")
        }
        "3D000" => not_done(ErrorKind::NotFound, "there is no such database"),
        "53300" => {
            not_done(ErrorKind::Overloaded, "the server has no connection left").retry_later()
        }
        "53100" => not_done(ErrorKind::QuotaExceeded, "the server has no room left on its disk"),
        "53200" => not_done(ErrorKind::Overloaded, "the server has no memory left").retry_later(),
        "54000" | "54001" | "54011" | "54023" => {
            not_done(ErrorKind::TooLarge, "the statement is beyond a limit of the server")
        }
        "57P03" => not_done(ErrorKind::Unavailable, "the server cannot work now").retry_later(),
        "57P01" | "57P02" | "57P04" | "57P05" | "58000" | "58030" => {
            Error::new(ErrorKind::Unavailable, "the server ended the session")
                .retry_later()
                .with_outcome(Outcome::Unknown)
        }
        "0A000" if is_plan_outdated(said) => {
            not_done(ErrorKind::Conflict, "a table was changed since the statement was prepared")
                .retry_later()
        }
        "0A000" => not_done(ErrorKind::Unsupported, "the server cannot do this"),
        "22001" | "22003" | "22008" | "22P02" | "22P03" | "22007" | "22021" | "22P05" | "22032"
        | "22023" | "22009" | "22015" => not_done(
            ErrorKind::InvalidInput,
            "a value is too long, out of range, or not in the form of its type",
        ),
        "21000" => not_done(ErrorKind::InvalidInput, "the statement meets more rows than it takes"),
        "22P04" => not_done(ErrorKind::InvalidInput, "a row is not in the form of its table"),
        code if code.starts_with("22") => {
            not_done(ErrorKind::InvalidInput, "a value is not what the statement needs")
        }
        "42601" => not_done(ErrorKind::InvalidInput, "the statement is not understood"),
        "42P01" => not_done(ErrorKind::InvalidInput, "there is no such table"),
        "42703" => not_done(ErrorKind::InvalidInput, "there is no such column"),
        // Other statements have this code too; the word is in the message whatever the language of the server.
        "42P10" if said.message().contains("CONFLICT") => advice::no_such_key(),
        code if code.starts_with("42") || code.starts_with("3F") || code.starts_with("26") => {
            not_done(ErrorKind::InvalidInput, "the statement does not fit the database")
        }
        code if code.starts_with("25") || code.starts_with("2D") || code.starts_with("3B") => {
            not_done(
                ErrorKind::PreconditionFailed,
                "the transaction is not where the statement needs it to be",
            )
        }
        code if code.starts_with("08") => lost(None),
        "P0001" => not_done(ErrorKind::PreconditionFailed, "the database refused the statement"),
        _ => not_done(ErrorKind::Unexpected, "the server answered with an error"),
    };
    described(error, said)
}

/// Adds what the server said of the place, none of which are values.
fn described(error: Error, said: &DbError) -> Error {
    let mut error = error.with_context(context::CODE, said.code().code());
    for (key, name) in [(context::TABLE, said.table()), (context::COLUMN, said.column())] {
        if let Some(name) = name {
            error = error.with_context(key, name);
        }
    }
    if let Some(ErrorPosition::Original(position)) = said.position() {
        error = error.with_context(context::POSITION, position);
    }
    // Names of what is missing are no values; the piece of a statement that is not understood may have some.
    let names_only = ["42601", "42P01", "42703", "42883", "42704", "42501", "3D000", "3F000"];
    if names_only.contains(&said.code().code()) {
        let told = without_values(said.message(), "near \"", "\"", DIALECT.lexis);
        error = error.with_context("server", told);
    }
    error
}

/// Whether a prepared statement is of no use since a table was changed; nothing was done then.
pub(super) fn is_outdated(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|said| {
        is_forgotten(error)
            || (*said.code() == SqlState::FEATURE_NOT_SUPPORTED && is_plan_outdated(said))
    })
}

/// Whether the server does not know a prepared statement any more.
pub(super) fn is_forgotten(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::INVALID_SQL_STATEMENT_NAME)
}

fn is_plan_outdated(said: &DbError) -> bool {
    // The routine has the same name in every language of the server.
    said.routine() == Some("RevalidateCachedQuery")
}

/// Which parameter the server could not read, as it counts.
pub(super) fn parameter_of(error: &tokio_postgres::Error) -> Option<usize> {
    let told = error.as_db_error()?.where_()?;
    let (_, number) = told.split_once("parameter $")?;
    let digits = number.split(|character: char| !character.is_ascii_digit()).next()?;
    digits.parse().ok().filter(|_| told.contains("portal"))
}

/// Whether the server has no `COPY` for a table that can be inserted into: one whose row-level security
/// holds for the user, or a view. It has not looked at a row then: where it has, it names its line.
pub(super) fn refuses_copy(error: &tokio_postgres::Error) -> bool {
    let Some(said) = error.as_db_error() else { return false };
    let is_of_table = [SqlState::FEATURE_NOT_SUPPORTED, SqlState::WRONG_OBJECT_TYPE];
    is_of_table.contains(said.code()) && said.where_().is_none()
}

/// The row of a bulk insert into `table` that the server could not take.
pub(super) fn line_of(error: &tokio_postgres::Error, table: &str) -> Option<u64> {
    // What a trigger ran stands in front, with lines of its own.
    let told =
        error.as_db_error()?.where_()?.lines().find_map(|line| line.strip_prefix("COPY "))?;
    let (_, number) = told.strip_prefix(table).unwrap_or(told).split_once(", line ")?;
    let digits = number.split(|character: char| !character.is_ascii_digit()).next()?;
    digits.parse().ok()
}

fn is_of_the_socket(error: &tokio_postgres::Error) -> bool {
    error.source().is_some_and(<dyn std::error::Error>::is::<io::Error>)
        && !matches!(kind_of(error), Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData))
}

fn kind_of(error: &tokio_postgres::Error) -> Option<io::ErrorKind> {
    error.source()?.downcast_ref().map(io::Error::kind)
}

fn unreachable_server(error: &io::Error) -> Error {
    let message = match error.kind() {
        io::ErrorKind::ConnectionRefused => "the server refused the connection",
        io::ErrorKind::NotFound => "the server has no socket there",
        io::ErrorKind::TimedOut => "the server did not answer in time",
        _ => "the server cannot be reached",
    };
    Error::new(ErrorKind::Unavailable, message).retry_later()
}

/// There is a server, and no agreement with it.
fn not_agreed(error: tokio_postgres::Error) -> Error {
    let told = error.to_string();
    let (kind, message) = if told.contains("TLS") {
        (ErrorKind::Unavailable, "the connection could not be encrypted")
    } else if told.contains("authentication") {
        (ErrorKind::Unauthenticated, "the server asks for another proof of who asks")
    } else if told.contains("configuration") {
        (ErrorKind::Unauthenticated, "the server asks for a password, and none is set")
    } else {
        (ErrorKind::Unavailable, "there is no server that is understood")
    };
    Error::new(kind, message).with_source(error)
}
