//! What somebody can do about a server that lets nobody in.

use std::io;

use switchboard_core::{Error, ErrorKind};

/// The error of connecting to a server, with advice where there is some.
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

fn is_refused(error: &Error) -> bool {
    let refused = |found: &io::Error| found.kind() == io::ErrorKind::ConnectionRefused;
    error.find::<io::Error>().is_some_and(refused)
}
