//! What the server's errors mean, and what of their texts may be told.
//!
//! The server prints values into many of its messages. Such a message is never passed on; names that
//! it contains are taken out of it.

use std::io;

use mysql_async::{DriverError, Error as ClientError, IoError, ServerError};
use switchboard_core::{Error, ErrorKind, Retry};

use super::DIALECT;
use crate::Violation;
use crate::driver::context;
use crate::sql::without_values;

/// The error of a command that was sent.
pub(super) fn classify(error: ClientError) -> Error {
    match error {
        ClientError::Server(refusal) => classify_refusal(&refusal),
        ClientError::Driver(DriverError::ConnectionClosed) => closed(),
        ClientError::Driver(DriverError::LocalInfile(_)) => {
            let message = "the server asked for a file of this machine, which it does not get";
            Error::new(ErrorKind::PermissionDenied, message).in_doubt()
        }
        ClientError::Io(error) => lost().with_source(error),
        // What else the client says may quote what it received.
        _ => Error::new(ErrorKind::Unexpected, "the client did not understand the server"),
    }
}

/// Why there is no connection.
pub(super) fn classify_connecting(error: ClientError) -> Error {
    match error {
        ClientError::Io(IoError::Io(error)) => unreachable_server(&error).with_source(error),
        error => classify_harmless(error),
    }
}

fn unreachable_server(error: &io::Error) -> Error {
    let message = match error.kind() {
        io::ErrorKind::ConnectionRefused => "the server refused the connection",
        io::ErrorKind::NotFound => "the server has no socket there",
        io::ErrorKind::TimedOut => "the server did not answer in time",
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted => "the server ended the connection",
        _ => "the server cannot be reached",
    };
    Error::new(ErrorKind::Unavailable, message).not_applied()
}

/// The error of something that changes nothing if it fails, such as connecting.
pub(super) fn classify_harmless(error: ClientError) -> Error {
    match error {
        ClientError::Driver(DriverError::NoClientSslFlagFromServer) => {
            Error::new(ErrorKind::Unavailable, "the server offers no encryption")
                .with_retry(Retry::Never)
        }
        ClientError::Io(IoError::Tls(error)) => {
            Error::new(ErrorKind::Unavailable, "no encrypted connection could be made")
                .with_retry(Retry::Never)
                .with_source(error)
        }
        error => classify(error),
    }
    .not_applied()
}

/// The connection is closed, so that nothing was sent.
pub(super) fn closed() -> Error {
    Error::new(ErrorKind::Unavailable, "the connection is closed").retry_later().not_applied()
}

/// The mapping of the server's numbers.
fn classify_refusal(refusal: &ServerError) -> Error {
    use ErrorKind as Kind;
    let of = |kind, message| Error::new(kind, message).not_applied();
    let error = match refusal.code {
        1062 | 1586 | 1859 => unique(&refusal.message),
        1216 | 1217 | 1451 | 1452 => {
            Violation::ForeignKey.error(quoted_after(&refusal.message, "CONSTRAINT `", '`'))
        }
        3819 | 4025 => Violation::Check.error(check_name(&refusal.message)),
        1048 | 1263 | 1364 => not_null(&refusal.message),
        1213 | 1614 | 1020 | 3101 => {
            of(Kind::Conflict, "another transaction was in the way, and this one was rolled back")
                .retry_later()
        }
        1205 | 1689 | 3572 => {
            of(Kind::Conflict, "another transaction held a lock for too long").retry_later()
        }
        1064 | 1065 | 1149 => of(Kind::InvalidInput, "the statement is not understood"),
        1054 | 1051 | 1052 | 1091 | 1109 | 1146 | 1176 | 1305 | 1347 => {
            of(Kind::InvalidInput, "the statement names what is not there")
        }
        1058 | 1136 | 1210 | 1222 | 1241 | 1390 => {
            of(Kind::InvalidInput, "the statement has the wrong number of something")
        }
        1007 | 1050 | 1060 | 1061 | 1304 => of(Kind::AlreadyExists, "it is there already"),
        1008 | 1049 => of(Kind::NotFound, "there is no such database"),
        1045 | 1130 | 1251 | 1524 | 1698 | 1820 | 1862 | 3118 | 4151 => {
            of(Kind::Unauthenticated, "the server does not let this user in")
        }
        1044 | 1142 | 1143 | 1227 | 1370 | 1410 | 1419 => {
            of(Kind::PermissionDenied, "the user may not do this")
        }
        1290 | 1792 | 1836 => of(Kind::PermissionDenied, "here it is only allowed to read"),
        1040 | 1129 | 1203 | 1226 | 1037 | 1038 | 1041 => {
            of(Kind::Overloaded, "the server takes no more at the moment").retry_later()
        }
        1969 | 3024 => of(Kind::Timeout, "the statement took longer than it may"),
        1317 => of(Kind::Cancelled, "the statement was stopped"),
        1053 | 1077..=1080 | 1152 | 1158..=1161 | 1184 | 1927 | 3169 | 4031 => lost(),
        1047 | 1180 | 1815 => {
            Error::new(Kind::Unavailable, "the server cannot work now").in_doubt()
        }
        code if is_about_a_value(code) => {
            of(Kind::InvalidInput, "a value does not fit where it should go")
        }
        1153 | 1301 => too_large(),
        1021 | 1114 => of(Kind::QuotaExceeded, "the server has no room left"),
        1178 | 1235 | 1295 => of(Kind::Unsupported, "the server cannot do this"),
        1568 => of(Kind::PreconditionFailed, "a transaction is under way already"),
        SIGNAL => of(Kind::PreconditionFailed, "a trigger or routine of the database refused it"),
        _ => Error::new(Kind::Unexpected, "the server answered with an error").in_doubt(),
    };
    told(error, refusal)
}

/// The error with what of the server's own words is safe to tell.
fn told(error: Error, refusal: &ServerError) -> Error {
    let mut error = error.with_context(context::CODE, refusal.code);
    if has_column(refusal.code)
        && let Some(column) = column_of(&refusal.message)
    {
        error = error.with_context(context::COLUMN, column);
    }
    if is_free_of_values(refusal.code) {
        let told = without_values(&refusal.message, "near '", "' at line", DIALECT.lexis);
        error = error.with_context("server", told);
    }
    error
}

fn unique(message: &str) -> Error {
    // What comes before is the value. MySQL puts the table before the name, MariaDB does not.
    let key = message.rsplit_once("for key '").and_then(|(_, key)| key.strip_suffix('\''));
    match key.and_then(|key| key.split_once('.')) {
        Some((table, name)) => {
            Violation::Unique.error(Some(name)).with_context(context::TABLE, table)
        }
        None => Violation::Unique.error(key),
    }
}

fn not_null(message: &str) -> Error {
    let column = quoted_after(message, "'", '\'');
    let error = Violation::NotNull.error(column);
    match column {
        Some(column) => error.with_context(context::COLUMN, column),
        None => error,
    }
}

/// `MariaDB`: ``CONSTRAINT `name` failed for …``; `MySQL`: `Check constraint 'name' is violated.`
fn check_name(message: &str) -> Option<&str> {
    quoted_after(message, "CONSTRAINT `", '`')
        .or_else(|| quoted_after(message, "Check constraint '", '\''))
}

fn column_of(message: &str) -> Option<&str> {
    let (_, rest) = message.rsplit_once(" for column ")?;
    let (place, _) = rest.rsplit_once(" at row ")?;
    let name = place.rsplit_once('.').map_or(place, |(_, name)| name);
    Some(name.trim_matches(['\'', '`']))
}

fn quoted_after<'m>(message: &'m str, before: &str, quote: char) -> Option<&'m str> {
    let (_, rest) = message.split_once(before)?;
    rest.split_once(quote).map(|(name, _)| name)
}

/// Whether an error is about what one row has in it.
pub(super) fn is_about_a_row(error: &Error) -> bool {
    let code = error.context_value(context::CODE).and_then(|code| code.parse().ok());
    Violation::of(error).is_some()
        || code.is_some_and(|code| is_about_a_value(code) || code == SIGNAL)
}

fn is_about_a_value(code: u16) -> bool {
    matches!(
        code,
        1264 | 1265
            | 1292
            | 1300
            | 1365
            | 1366
            | 1367
            | 1406
            | 1411
            | 1416
            | 1441
            | 1690
            | 3140
            | 3141
            | 3144
            | 3156
            | 3854
            | 3903
            | 4038
    )
}

/// Errors about one value, whose message ends with its column and row.
fn has_column(code: u16) -> bool {
    matches!(code, 1264 | 1265 | 1292 | 1366 | 1406 | 1411)
}

/// Errors whose message only ever holds names and words of the statement, never a parameter. What it
/// repeats of one that is not understood is told without its values.
fn is_free_of_values(code: u16) -> bool {
    matches!(
        code,
        1007 | 1008 | 1040 | 1044 | 1045 | 1049
            ..=1052
                | 1054
                | 1058
                | 1060
                | 1061
                | 1064
                | 1091
                | 1109
                | 1130
                | 1136
                | 1142
                | 1143
                | 1146
                | 1176
                | 1227
                | 1235
                | 1290
                | 1295
                | 1305
                | 1698
                | 1792
    )
}

/// The error of preparing a statement, by which nothing was made that could have been there already:
/// two columns of its own have one name.
pub(super) fn of_preparing(error: Error) -> Error {
    if error.context_value(context::CODE) != Some("1060") {
        return error.not_applied();
    }
    Error::new(ErrorKind::InvalidInput, "two columns of the statement have one name")
        .not_applied()
        .with_context(context::CODE, 1060)
        .with_related([error])
}

/// The connection is gone; what was sent may have happened.
fn lost() -> Error {
    Error::new(ErrorKind::Unavailable, "the connection to the server was lost")
        .retry_later()
        .in_doubt()
}

pub(super) fn too_large() -> Error {
    Error::new(ErrorKind::TooLarge, "the statement with its values is larger than the server takes")
        .with_hint("the server's limit is max_allowed_packet")
        .not_applied()
}

/// What a trigger or routine answers by itself.
const SIGNAL: u16 = 1644;

#[cfg(test)]
mod tests {
    use switchboard_core::Outcome;

    use super::*;

    fn refusal(code: u16, message: &str) -> Error {
        classify(
            ServerError { code, message: message.to_owned(), state: "HY000".to_owned() }.into(),
        )
    }

    #[test]
    fn names_are_taken_out_of_the_words_of_both_servers() {
        let check = |code, message, key, expected| {
            let error = refusal(code, message);
            assert_eq!(error.context_value(key), expected, "{message}");
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        };
        let duplicate = "Duplicate entry 's3cret' for key 'users.email'";
        check(1062, duplicate, context::CONSTRAINT, Some("email"));
        check(1062, duplicate, context::TABLE, Some("users"));
        check(1062, "Duplicate entry 's3cret' for key 'email'", context::CONSTRAINT, Some("email"));
        check(1062, "something about s3cret", context::CONSTRAINT, None);
        check(3819, "Check constraint 'adult' is violated.", context::CONSTRAINT, Some("adult"));
        check(4025, "CONSTRAINT `adult` failed for `d`.`t`", context::CONSTRAINT, Some("adult"));
        check(1048, "Column 'id' cannot be null", context::COLUMN, Some("id"));
        check(1364, "Field 'id' doesn't have a default value", context::COLUMN, Some("id"));
        let incorrect =
            "Incorrect integer value: 's3cret for column x' for column `d`.`t`.`i` at row 1";
        check(1366, incorrect, context::COLUMN, Some("i"));
        check(1406, "Data too long for column 'name' at row 2", context::COLUMN, Some("name"));
    }

    #[test]
    fn what_a_server_that_goes_down_answers_leaves_open_what_happened() {
        for code in [1053, 1927, 4031] {
            let error = refusal(code, "");
            assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::Unknown));
        }
        assert_eq!(refusal(3024, "").kind(), ErrorKind::Timeout);
        assert_eq!(refusal(1040, "").kind(), ErrorKind::Overloaded);
        let unknown = refusal(9_999, "s3cret");
        assert_eq!(
            (unknown.kind(), unknown.context_value("code")),
            (ErrorKind::Unexpected, Some("9999"))
        );
        assert!(!format!("{unknown:?}").contains("s3cret"));
    }
}
