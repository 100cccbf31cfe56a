//! How values are kept in SQLite, which has five storage classes and no types.
//!
//! A value that SQLite has no class for is kept as text or number, and read back by what its column is
//! declared as:
//!
//! | declared as | read as | kept as |
//! |---|---|---|
//! | `BOOL`, `BOOLEAN` | bool | 0 or 1 |
//! | `DATE` | date | `2026-02-28` |
//! | `TIME` | time | `23:59:59.5` |
//! | `DATETIME` | date and time; timestamp where the text names a zone | `2026-02-28 23:59:59.5` |
//! | `TIMESTAMP`, `TIMESTAMPTZ`, `TIMESTAMP WITH TIME ZONE` | timestamp | the same in UTC, as `CURRENT_TIMESTAMP` writes it |
//! | `TIMESTAMP WITHOUT TIME ZONE` | date and time | `2026-02-28 23:59:59.5` |
//! | `UUID`, `GUID` | uuid | 36 characters, or 16 bytes |
//! | `JSON` | json | text |
//! | `DECIMAL`, `NUMERIC`, `NUMBER`, also `DECIMAL(10, 2)` | decimal | a number, exact up to 15 digits |
//! | `DECIMAL TEXT`, `NUMERIC TEXT`, also `DECIMAL TEXT(40, 3)` | decimal | text, always exact: `1.5` |
//!
//! A value that does not fit what its column is declared as, and every value of another column or of an
//! expression, is what its storage class says: integer, float, text or bytes; text that is no UTF-8 is
//! bytes.
//!
//! So the largest of a column of timestamps is a text without a zone: read it as a [`DateTime`], which is
//! in UTC, or take the row itself (`order by at desc limit 1`). A sum of decimals is a float, which can be
//! read as a [`Decimal`]. A uuid of 16 bytes is read, but a uuid in a statement is its text: compare such a
//! column with bytes. A column for bare numbers of JSON is declared `JSON TEXT`: `JSON` alone makes
//! numbers of double precision of them.
//!
//! What SQLite cannot keep is refused: an integer beyond 64 bits with a sign, `NaN` (it would become null),
//! an array, a day or moment outside the years 0 to 9999, and so the infinite moments too.
//!
//! A decimal is kept without zeros that say nothing, without a `+` and an exponent, so that equal numbers are
//! equal: `1.50` is `1.5`, and comes back so. `MariaDB` gives each value of a column as many digits after its
//! point as the column has, and `PostgreSQL` too, or those that it came with where the column has none.
//!
//! A decimal goes to SQLite as a number where a number has the same digits, so that it compares with what
//! is computed. One of more than 13 digits goes as text, which a column for numbers turns into a number of
//! double precision, and which is more than every number otherwise: compare it as `cast(?1 as numeric)`.
//! Whoever needs such digits declares the column with `TEXT`.
//!
//! Texts are compared sign by sign, so `10` comes before `9` there. Every connection has a collation that
//! compares them as the numbers they are, exactly, and puts what is no number behind them: `n decimal text
//! collate decimal`, or `order by n collate decimal`. Other programs cannot write a table, nor use an index,
//! whose definition names it.

use jiff::civil;
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use switchboard_core::{Error, Result};

use super::engine::Asked;
use super::errors::invalid;
use crate::{Date, DateTime, Decimal, Statement, Time, Timestamp, Value};

/// What a column is declared as, as far as that says more than the storage class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Declared {
    Bool,
    Date,
    Time,
    DateTime,
    Timestamp,
    Uuid,
    Json,
    Decimal,
    Other,
}

impl Declared {
    pub(super) fn of(type_name: Option<&str>) -> Self {
        let Some(type_name) = type_name else { return Self::Other };
        let (word, rest) = match type_name.find([' ', '(']) {
            Some(end) => type_name.split_at(end),
            None => (type_name, ""),
        };
        let found = WORDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(word));
        match found.map(|(_, declared)| *declared) {
            Some(Self::Timestamp) if has_word(rest, "without") => Self::DateTime,
            Some(declared) => declared,
            None => Self::Other,
        }
    }

    /// The value that is kept as `stored`.
    pub(super) fn read(self, stored: ValueRef<'_>) -> Value {
        self.fitting(stored).unwrap_or_else(|| by_class(stored))
    }

    /// The value if it fits what the column is declared as.
    fn fitting(self, stored: ValueRef<'_>) -> Option<Value> {
        match (self, stored) {
            (Self::Other, _) | (_, ValueRef::Null) => None,
            (Self::Bool, ValueRef::Integer(number @ 0..=1)) => Some(Value::Bool(number == 1)),
            (Self::Uuid, ValueRef::Blob(bytes)) => Some(Value::Uuid(bytes.try_into().ok()?)),
            (Self::Json | Self::Decimal, ValueRef::Integer(number)) => {
                Some(self.number(number.to_string()))
            }
            (Self::Json | Self::Decimal, ValueRef::Real(number)) if number.is_finite() => {
                Some(self.number(number.to_string()))
            }
            (declared, ValueRef::Text(text)) => declared.of_text(std::str::from_utf8(text).ok()?),
            _ => None,
        }
    }

    /// A number that SQLite made of a text because the column is for numbers.
    fn number(self, text: String) -> Value {
        match self {
            Self::Json => Value::Json(text),
            _ => Value::Decimal(Decimal::from_text(text)),
        }
    }

    fn of_text(self, text: &str) -> Option<Value> {
        match self {
            Self::Date => date_of(text).map(Value::Date),
            Self::Time => time_of(text).map(Value::Time),
            Self::DateTime => date_time_of(text).map(Value::DateTime).or_else(|| moment(text)),
            Self::Timestamp => moment(text).or_else(|| {
                date_time_of(text).map(|utc| Value::Timestamp(Timestamp::from_micros(utc.micros())))
            }),
            Self::Uuid => uuid_of(text).map(Value::Uuid),
            Self::Json => Some(Value::Json(text.to_owned())),
            Self::Decimal => is_decimal(text).then(|| Value::Decimal(Decimal::from_text(text))),
            Self::Bool | Self::Other => None,
        }
    }
}

/// The value as its storage class says it.
fn by_class(stored: ValueRef<'_>) -> Value {
    match stored {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Int(number),
        ValueRef::Real(number) => Value::Float(number),
        ValueRef::Text(text) => match std::str::from_utf8(text) {
            Ok(text) => Value::Text(text.to_owned()),
            Err(_) => Value::Bytes(text.to_vec()),
        },
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
    }
}

/// The statement on its way to the thread, if SQLite can keep every one of its values.
pub(super) fn asked(statement: Statement<'_>) -> Result<Asked> {
    check_text(statement.sql)?;
    check(statement.values)?;
    Ok(Asked::from(statement))
}

/// Whether SQLite reads the text to its end: it would leave out what follows a NUL, without a word.
pub(super) fn check_text(sql: &str) -> Result<()> {
    if sql.contains('\0') {
        Err(invalid("there is a NUL in the text of the statement"))
    } else {
        Ok(())
    }
}

/// Whether SQLite can keep every one of these values.
pub(super) fn check(values: &[Value]) -> Result<()> {
    for (index, value) in values.iter().enumerate() {
        if let Some(wanted) = unkeepable(value) {
            return Err(unfit(index + 1, value.kind(), wanted));
        }
    }
    Ok(())
}

/// What SQLite would want in place of a value that it cannot keep.
fn unkeepable(value: &Value) -> Option<&'static str> {
    match value {
        Value::UInt(number) if i64::try_from(*number).is_err() => {
            Some("an integer of 64 bits with a sign")
        }
        // It would become null without a word.
        Value::Float(number) if number.is_nan() => Some("a number"),
        Value::Date(date) if civil_date(*date).is_none() => Some(A_YEAR),
        Value::DateTime(time) if civil_time(time.micros()).is_none() => Some(A_YEAR),
        Value::Timestamp(time) if civil_time(time.micros()).is_none() => Some(A_YEAR),
        Value::Array(_) => Some("a single value"),
        _ => None,
    }
}

fn unfit(position: usize, kind: &'static str, wanted: &'static str) -> Error {
    invalid("a value is none that SQLite can keep")
        .with_context("position", position)
        .with_context("kind", kind)
        .with_context("wanted", wanted)
}

/// A [checked](check) value on its way into SQLite.
pub(super) struct Kept<'v>(pub(super) &'v Value);

impl ToSql for Kept<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            Value::Null => ToSqlOutput::Borrowed(ValueRef::Null),
            Value::Bool(is_true) => i64::from(*is_true).into(),
            Value::Int(number) => (*number).into(),
            Value::UInt(number) => i64::try_from(*number).map_err(|_| unchecked())?.into(),
            Value::Float(number) => (*number).into(),
            Value::Text(text) | Value::Json(text) => text.as_str().into(),
            Value::Decimal(number) => decimal(number),
            Value::Bytes(bytes) => bytes.as_slice().into(),
            Value::Uuid(bytes) => uuid_text(*bytes).into(),
            Value::Date(date) => civil_date(*date).ok_or_else(unchecked)?.to_string().into(),
            Value::Time(time) => time_text(*time).into(),
            Value::DateTime(time) => written(time.micros())?.into(),
            Value::Timestamp(time) => written(time.micros())?.into(),
            Value::Array(_) => return Err(unchecked()),
        })
    }
}

/// As a number, so that it compares as one, if a column for text would have the same digits of it: those
/// that all equal numbers have.
fn decimal(number: &Decimal) -> ToSqlOutput<'_> {
    let digits = number.shortest();
    match (digits.parse::<i64>(), digits.parse::<f64>()) {
        (Ok(whole), _) if whole.to_string() == digits => whole.into(),
        (_, Ok(float)) if is_written_so(float, &digits) => float.into(),
        _ => digits.into(),
    }
}

/// Whether SQLite writes the number in these digits: it does so for as many, and few zeros before.
fn is_written_so(float: f64, digits: &str) -> bool {
    let count = digits.bytes().filter(u8::is_ascii_digit).count();
    let is_plain = digits.contains('.') && count <= DIGITS_MAX && float.abs() >= 0.001;
    is_plain && float.to_string() == digits
}

/// Nothing gets here that [`check`] has not let pass.
fn unchecked() -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure("the value was not checked".into())
}

fn has_word(text: &str, word: &str) -> bool {
    text.split_ascii_whitespace().any(|found| found.eq_ignore_ascii_case(word))
}

/// A day of the years that SQLite's own functions know.
fn civil_date(date: Date) -> Option<civil::Date> {
    EPOCH
        .checked_add(jiff::Span::new().try_days(date.days()).ok()?)
        .ok()
        .filter(|date| is_known(*date))
}

fn civil_time(micros: i64) -> Option<civil::DateTime> {
    let since = jiff::SignedDuration::from_micros(micros);
    EPOCH
        .to_datetime(civil::Time::midnight())
        .checked_add(since)
        .ok()
        .filter(|time| is_known(time.date()))
}

fn is_known(date: civil::Date) -> bool {
    date.year() >= 0
}

/// As SQLite writes it: in the order of time, and equal to what SQLite itself would have written.
fn written(micros: i64) -> rusqlite::Result<String> {
    let time = civil_time(micros).ok_or_else(unchecked)?;
    Ok(format!("{} {}", time.date(), time.time()))
}

fn date_of(text: &str) -> Option<Date> {
    // Otherwise the time of day that follows would be lost.
    let date: civil::Date = text.parse().ok().filter(|_| text.len() == "2026-02-28".len())?;
    let days = date.duration_since(EPOCH).as_hours() / 24;
    i32::try_from(days).ok().map(Date::from_days)
}

fn date_time_of(text: &str) -> Option<DateTime> {
    // Otherwise a day alone would do, and a zone would be lost.
    if !text.contains(':') || text.contains(['[', '+']) || text.matches('-').count() != 2 {
        return None;
    }
    let time: civil::DateTime = text.parse().ok()?;
    let since = time.duration_since(EPOCH.to_datetime(civil::Time::midnight()));
    let micros = i64::try_from(since.as_micros()).ok()?;
    (time.subsec_nanosecond() % 1000 == 0).then(|| DateTime::from_micros(micros))
}

/// A text that names its zone. What is finer than a microsecond stays text, so that nothing is lost.
fn moment(text: &str) -> Option<Value> {
    let moment: jiff::Timestamp = text.parse().ok()?;
    let is_exact = moment.subsec_nanosecond() % 1000 == 0;
    is_exact.then(|| Value::Timestamp(Timestamp::from_micros(moment.as_microsecond())))
}

/// `[-]HH:MM:SS[.ffffff]`, with more hours where it is a length of time.
fn time_text(time: Time) -> String {
    let sign = if time.micros() < 0 { "-" } else { "" };
    let micros = time.micros().unsigned_abs();
    let (seconds, rest) = (micros / 1_000_000, micros % 1_000_000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fraction = if rest == 0 { String::new() } else { format!(".{rest:06}") };
    let fraction = fraction.trim_end_matches('0');
    format!("{sign}{hours:02}:{minutes:02}:{seconds:02}{fraction}")
}

fn time_of(text: &str) -> Option<Time> {
    let (is_negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = clock.splitn(3, ':').map(whole);
    let hours = i64::try_from(parts.next()??).ok()?;
    let minutes = parts.next()?.filter(|minutes| *minutes < 60)?;
    let seconds = parts.next().unwrap_or(Some(0)).filter(|seconds| *seconds < 60)?;
    let seconds =
        hours.checked_mul(3600)?.checked_add(i64::try_from(minutes * 60 + seconds).ok()?)?;
    let micros = seconds.checked_mul(1_000_000)?.checked_add(micros_of(fraction)?)?;
    Some(Time::from_micros(if is_negative { -micros } else { micros }))
}

fn micros_of(fraction: &str) -> Option<i64> {
    if fraction.is_empty() {
        return Some(0);
    }
    if fraction.len() > 6 {
        return None;
    }
    let digits = whole(fraction)?;
    let scale = 10_u64.pow(u32::try_from(6 - fraction.len()).ok()?);
    i64::try_from(digits * scale).ok()
}

/// Digits and nothing else.
fn whole(digits: &str) -> Option<u64> {
    digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().ok())?
}

fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_digits = |part: &str| part.bytes().all(|digit| digit.is_ascii_digit());
    is_digits(whole) && is_digits(fraction) && !(whole.is_empty() && fraction.is_empty())
}

fn uuid_text(bytes: [u8; 16]) -> String {
    let number = u128::from_be_bytes(bytes);
    let part = |shift: u32, digits: u32| (number >> shift) & ((1 << (digits * 4)) - 1);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        part(96, 8),
        part(80, 4),
        part(64, 4),
        part(48, 4),
        part(0, 12)
    )
}

fn uuid_of(text: &str) -> Option<[u8; 16]> {
    let has_dashes =
        text.len() == 36 && [8, 13, 18, 23].iter().all(|at| text.as_bytes()[*at] == b'-');
    let digits = text.replace('-', "");
    let is_hex = digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let number = u128::from_str_radix(&digits, 16).ok().filter(|_| has_dashes && is_hex)?;
    Some(number.to_be_bytes())
}

const EPOCH: civil::Date = civil::date(1970, 1, 1);

const A_YEAR: &str = "a year from 0 to 9999";

/// How many digits of a number that floats come out of SQLite as they went in. Beyond them it writes 17.
const DIGITS_MAX: usize = 13;

/// The first word of a declared type, and what it stands for.
const WORDS: [(&str, Declared); 13] = [
    ("bool", Declared::Bool),
    ("boolean", Declared::Bool),
    ("date", Declared::Date),
    ("time", Declared::Time),
    ("datetime", Declared::DateTime),
    ("timestamp", Declared::Timestamp),
    ("timestamptz", Declared::Timestamp),
    ("uuid", Declared::Uuid),
    ("guid", Declared::Uuid),
    ("json", Declared::Json),
    ("decimal", Declared::Decimal),
    ("numeric", Declared::Decimal),
    ("number", Declared::Decimal),
];
