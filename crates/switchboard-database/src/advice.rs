//! What somebody can do about a server that lets nobody in, and about rows that nothing tells apart.

#[cfg(any(feature = "mysql", feature = "postgres"))]
use std::io;

use switchboard_core::{Error, ErrorKind};

/// The error of rows that are told apart by columns over which there is no key.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) fn no_such_key() -> Error {
    Error::new(ErrorKind::InvalidInput, NO_SUCH_KEY).not_applied().with_hint(
        "there has to be one, or the primary key: over all of these columns, and no others",
    )
}

/// Whether `error` is that one.
pub(crate) fn is_no_such_key(error: &Error) -> bool {
    error.kind() == ErrorKind::InvalidInput && error.message() == NO_SUCH_KEY
}

/// The error of connecting to a server, with advice where there is some.
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) fn on_connecting(error: Error) -> Error {
    let advice = match error.kind() {
        ErrorKind::NotFound => {
            "create it with `create database`, over a connection to another database of the server"
        }
        ErrorKind::Unauthenticated => {
            "who asks is said in `url`, or in `user` and `password`; the server has to know them"
        }
        ErrorKind::Unavailable if is_refused(&error) => {
            "start the server, or say where it is in `url`, or in `host` and `port`"
        }
        _ => return error,
    };
    error.with_hint(advice)
}

#[cfg(any(feature = "mysql", feature = "postgres"))]
fn is_refused(error: &Error) -> bool {
    let refused = |found: &io::Error| found.kind() == io::ErrorKind::ConnectionRefused;
    error.find::<io::Error>().is_some_and(refused)
}

const NO_SUCH_KEY: &str = "no unique constraint is over exactly the columns of `on conflict`";
