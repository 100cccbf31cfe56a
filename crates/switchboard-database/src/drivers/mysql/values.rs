//! Values as the server sends and takes them.
//!
//! What it has beyond our own kinds comes as the nearest of them:
//!
//! | type | value |
//! |---|---|
//! | `TINYINT(1)`, `BOOL`, `BIT(1)` | bool; another number than 0 and 1 is that integer |
//! | other integers, `YEAR`, `BIT(n)` | integer |
//! | `CHAR`, `TEXT`, `ENUM`, `SET`, and `MariaDB`'s `UUID`, `INET6` | text |
//! | `BINARY`, `BLOB`, geometries | bytes |
//! | `TIME` | time, also where it is a length of time |
//! | `DATETIME` | date and time |
//! | `TIMESTAMP` | timestamp |
//! | `JSON`; on `MariaDB` only as a column of a table, and text where it is computed | JSON |
//!
//! A date of which a part is zero, as old tables may contain, is [`ErrorKind::Corrupt`]: no day is
//! meant, and `NULL` would be something else.

use jiff::{SignedDuration, civil};
use mysql_async::consts::{ColumnFlags, ColumnType};
use mysql_async::{Column as Described, Value as Raw};
use switchboard_core::{Error, ErrorKind, Result};

use super::documents::Documents;
use crate::driver::context;
use crate::{Column, Columns, Date, DateTime, Decimal, Row, Time, Timestamp, Value};

/// The values of a statement as the server takes them.
///
/// It brings them into the types of its columns itself, and refuses what does not fit.
pub(super) fn encode_all(values: &[Value]) -> Result<Vec<Raw>> {
    let encoded = values.iter().enumerate().map(|(index, value)| {
        encode(value).map_err(|wanted| {
            Error::new(ErrorKind::InvalidInput, "the server has no such value")
                .not_applied()
                .with_context("position", index + 1)
                .with_context("kind", value.kind())
                .with_context("wanted", wanted)
        })
    });
    encoded.collect()
}

/// One value, or what it would have to be.
fn encode(value: &Value) -> Result<Raw, &'static str> {
    Ok(match value {
        Value::Null => Raw::NULL,
        Value::Bool(value) => Raw::Int(i64::from(*value)),
        Value::Int(value) => Raw::Int(*value),
        Value::UInt(value) => Raw::UInt(*value),
        Value::Float(value) if value.is_finite() => Raw::Double(*value),
        Value::Decimal(value) if is_plain(value.as_str()) => text(value.as_str()),
        Value::Float(_) | Value::Decimal(_) => return Err("a finite number"),
        Value::Text(value) | Value::Json(value) => text(value),
        Value::Bytes(value) => Raw::Bytes(value.clone()),
        Value::Date(value) => encode_date(*value)?,
        Value::DateTime(value) => encode_moment(Some(value.micros()))?,
        Value::Timestamp(value) => encode_moment(Some(value.micros()))?,
        Value::Time(value) => encode_time(*value)?,
        Value::Uuid(value) => text(&hyphenated(value)),
        Value::Array(_) => return Err("a single value"),
    })
}

fn text(value: &str) -> Raw {
    Raw::Bytes(value.as_bytes().to_vec())
}

fn is_plain(decimal: &str) -> bool {
    decimal.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte))
}

/// A day as text: the client library only has one kind for days with and without a time, and what is
/// sent as the latter has a midnight where it becomes text.
fn encode_date(date: Date) -> Result<Raw, &'static str> {
    match encode_moment(i64::from(date.days()).checked_mul(DAY))? {
        Raw::Date(year, month, day, ..) => Ok(text(&format!("{year:04}-{month:02}-{day:02}"))),
        other => Ok(other),
    }
}

fn encode_moment(micros: Option<i64>) -> Result<Raw, &'static str> {
    let wanted = "a date between the years 0 and 9999";
    let since = micros.map(SignedDuration::from_micros).ok_or(wanted)?;
    let moment = EPOCH.checked_add(since).map_err(|_| wanted)?;
    let year = u16::try_from(moment.year()).map_err(|_| wanted)?;
    let [month, day, hour, minute, second] =
        [moment.month(), moment.day(), moment.hour(), moment.minute(), moment.second()]
            .map(i8::cast_unsigned);
    let micros = moment.subsec_nanosecond().cast_unsigned() / 1_000;
    Ok(Raw::Date(year, month, day, hour, minute, second, micros))
}

fn encode_time(time: Time) -> Result<Raw, &'static str> {
    let micros = time.micros().unsigned_abs();
    if micros > TIME_MAX {
        return Err("a time of at most 838:59:59");
    }
    let part = |unit: u64, of: u64| u8::try_from(micros / unit % of).unwrap_or_default();
    let whole = |count: u64| u32::try_from(count).unwrap_or_default();
    Ok(Raw::Time(
        time.micros() < 0,
        whole(micros / DAY.unsigned_abs()),
        part(3_600 * SECOND, 24),
        part(60 * SECOND, 60),
        part(SECOND, 60),
        whole(micros % SECOND),
    ))
}

fn hyphenated(uuid: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (index, byte) in uuid.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
    text
}

/// What is known of the columns of an answer.
pub(super) fn columns(described: &[Described], documents: &Documents) -> Columns {
    Columns::new(described.iter().map(|column| {
        let type_name = if documents.has(column) { JSON } else { type_name(column) };
        Column { name: column.name_str().into(), type_name: Some(type_name.into()) }
    }))
}

/// A row as the server sent it.
pub(super) fn decode_row(columns: &Columns, row: mysql_async::Row) -> Result<Row> {
    let described = row.columns();
    let values =
        described.iter().zip(columns).zip(row.unwrap_raw()).map(|((column, known), value)| {
            match decode(column, value.unwrap_or(Raw::NULL)) {
                Ok(Value::Text(text)) if known.type_name.as_deref() == Some(JSON) => {
                    Ok(Value::Json(text))
                }
                decoded => decoded,
            }
        });
    Ok(Row::new(columns.clone(), values.collect::<Result<_>>()?))
}

fn decode(column: &Described, value: Raw) -> Result<Value> {
    let value = match value {
        Raw::NULL => Some(Value::Null),
        Raw::Int(0 | 1) if is_bool(column) => Some(Value::Bool(value == Raw::Int(1))),
        Raw::Int(value) => Some(Value::Int(value)),
        Raw::UInt(value) => Some(unsigned(value)),
        Raw::Float(value) => Some(Value::Float(shortest(value))),
        Raw::Double(value) => Some(Value::Float(value)),
        Raw::Bytes(bytes) => decode_bytes(column, bytes),
        Raw::Date(year, month, day, hour, minute, second, micros) => {
            civil_moment(year, [month, day, hour, minute, second], micros)
                .and_then(|micros| moment(column.column_type(), micros))
        }
        Raw::Time(is_negative, days, hours, minutes, seconds, micros) => {
            let parts = [hours, minutes, seconds].map(u64::from);
            decode_time(is_negative, u64::from(days), parts, u64::from(micros))
        }
    };
    value.ok_or_else(|| corrupt(column))
}

fn corrupt(column: &Described) -> Error {
    Error::new(ErrorKind::Corrupt, "the server sent a value that cannot be what its column holds")
        .with_context(context::COLUMN, column.name_str())
        .with_context("type", type_name(column))
        .with_hint("dates of which a part is zero can be read as text: `CAST(… AS CHAR)`")
}

fn unsigned(value: u64) -> Value {
    i64::try_from(value).map_or(Value::UInt(value), Value::Int)
}

/// The number whose shortest decimal form is that of `value`.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().unwrap_or_else(|_| f64::from(value))
}

fn decode_bytes(column: &Described, bytes: Vec<u8>) -> Option<Value> {
    let text = |bytes| String::from_utf8(bytes).ok();
    match column.column_type() {
        ColumnType::MYSQL_TYPE_BIT => decode_bits(column, &bytes),
        ColumnType::MYSQL_TYPE_DECIMAL | ColumnType::MYSQL_TYPE_NEWDECIMAL => {
            text(bytes).map(|digits| Value::Decimal(Decimal::from_text(digits)))
        }
        ColumnType::MYSQL_TYPE_JSON => text(bytes).map(Value::Json),
        ColumnType::MYSQL_TYPE_GEOMETRY => Some(Value::Bytes(bytes)),
        _ if column.character_set() == BINARY => Some(Value::Bytes(bytes)),
        _ => text(bytes).map(Value::Text),
    }
}

fn decode_bits(column: &Described, bytes: &[u8]) -> Option<Value> {
    let mut bits = 0_u64;
    for byte in bytes {
        bits = bits.checked_mul(256)? | u64::from(*byte);
    }
    Some(if column.column_length() == 1 { Value::Bool(bits != 0) } else { unsigned(bits) })
}

/// Microseconds since 1970, or `None` for what is no moment.
fn civil_moment(year: u16, parts: [u8; 5], micros: u32) -> Option<i64> {
    let [month, day, hour, minute, second] = parts.map(u8::cast_signed);
    let nanos = i32::try_from(micros).ok()?.checked_mul(1_000)?;
    let year = i16::try_from(year).ok()?;
    let civil = civil::DateTime::new(year, month, day, hour, minute, second, nanos).ok()?;
    i64::try_from(civil.duration_since(EPOCH).as_micros()).ok()
}

fn moment(kind: ColumnType, micros: i64) -> Option<Value> {
    Some(match kind {
        ColumnType::MYSQL_TYPE_DATE | ColumnType::MYSQL_TYPE_NEWDATE => {
            Value::Date(Date::from_days(i32::try_from(micros.div_euclid(DAY)).ok()?))
        }
        ColumnType::MYSQL_TYPE_TIMESTAMP | ColumnType::MYSQL_TYPE_TIMESTAMP2 => {
            Value::Timestamp(Timestamp::from_micros(micros))
        }
        _ => Value::DateTime(DateTime::from_micros(micros)),
    })
}

fn decode_time(is_negative: bool, days: u64, parts: [u64; 3], micros: u64) -> Option<Value> {
    let [hours, minutes, seconds] = parts;
    let seconds = ((days * 24 + hours) * 60 + minutes) * 60 + seconds;
    let micros = i64::try_from(seconds * SECOND + micros).ok()?;
    Some(Value::Time(Time::from_micros(if is_negative { -micros } else { micros })))
}

fn is_bool(column: &Described) -> bool {
    column.column_type() == ColumnType::MYSQL_TYPE_TINY && column.column_length() == 1
}

/// The name of a column's type as one would write it, as far as the server tells.
fn type_name(column: &Described) -> &'static str {
    use ColumnType as Type;
    let flags = column.flags();
    let is_unsigned = flags.contains(ColumnFlags::UNSIGNED_FLAG);
    let is_binary = column.character_set() == BINARY;
    let either = |condition, yes, no| if condition { yes } else { no };
    match column.column_type() {
        _ if flags.contains(ColumnFlags::ENUM_FLAG) => "enum",
        _ if flags.contains(ColumnFlags::SET_FLAG) => "set",
        Type::MYSQL_TYPE_TINY if is_bool(column) => "boolean",
        Type::MYSQL_TYPE_TINY => either(is_unsigned, "tinyint unsigned", "tinyint"),
        Type::MYSQL_TYPE_SHORT => either(is_unsigned, "smallint unsigned", "smallint"),
        Type::MYSQL_TYPE_INT24 => either(is_unsigned, "mediumint unsigned", "mediumint"),
        Type::MYSQL_TYPE_LONG => either(is_unsigned, "int unsigned", "int"),
        Type::MYSQL_TYPE_LONGLONG => either(is_unsigned, "bigint unsigned", "bigint"),
        Type::MYSQL_TYPE_FLOAT => "float",
        Type::MYSQL_TYPE_DOUBLE => "double",
        Type::MYSQL_TYPE_DECIMAL | Type::MYSQL_TYPE_NEWDECIMAL => "decimal",
        Type::MYSQL_TYPE_NULL => "null",
        Type::MYSQL_TYPE_TIMESTAMP | Type::MYSQL_TYPE_TIMESTAMP2 => "timestamp",
        Type::MYSQL_TYPE_DATE | Type::MYSQL_TYPE_NEWDATE => "date",
        Type::MYSQL_TYPE_TIME | Type::MYSQL_TYPE_TIME2 => "time",
        Type::MYSQL_TYPE_DATETIME | Type::MYSQL_TYPE_DATETIME2 => "datetime",
        Type::MYSQL_TYPE_YEAR => "year",
        Type::MYSQL_TYPE_BIT => "bit",
        Type::MYSQL_TYPE_JSON => JSON,
        Type::MYSQL_TYPE_GEOMETRY => "geometry",
        Type::MYSQL_TYPE_STRING => either(is_binary, "binary", "char"),
        Type::MYSQL_TYPE_VARCHAR | Type::MYSQL_TYPE_VAR_STRING => {
            either(is_binary, "varbinary", "varchar")
        }
        _ => either(is_binary, "blob", "text"),
    }
}

/// The number of the character set of what is no text.
pub(super) const BINARY: u16 = 63;

const JSON: &str = "json";

const EPOCH: civil::DateTime = civil::DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

const SECOND: u64 = 1_000_000;
const DAY: i64 = 86_400 * 1_000_000;

/// 838:59:59, the longest time there is, with what is less than a second.
const TIME_MAX: u64 = 3_020_400 * SECOND - 1;

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    proptest! {
        #[test]
        fn a_moment_comes_back_as_it_went(micros in FIRST..=LAST) {
            let Ok(Raw::Date(year, month, day, hour, minute, second, rest)) =
                encode_moment(Some(micros))
            else {
                panic!("the server has {micros}");
            };
            let back = civil_moment(year, [month, day, hour, minute, second], rest);
            prop_assert_eq!(back, Some(micros));
        }

        #[test]
        fn a_moment_the_server_does_not_have_is_refused(micros in any::<i64>()) {
            let is_there = (FIRST..=LAST).contains(&micros);
            prop_assert_eq!(encode_moment(Some(micros)).is_ok(), is_there);
        }

        #[test]
        fn a_time_comes_back_as_it_went(micros in -3_020_399_999_999_i64..=3_020_399_999_999) {
            let Ok(Raw::Time(is_negative, days, hours, minutes, seconds, rest)) =
                encode_time(Time::from_micros(micros))
            else {
                panic!("the server has {micros}");
            };
            prop_assert!(hours < 24 && minutes < 60 && seconds < 60 && rest < 1_000_000);
            let parts = [hours, minutes, seconds].map(u64::from);
            let back = decode_time(is_negative, days.into(), parts, rest.into());
            prop_assert!(back == Some(Value::Time(Time::from_micros(micros))));
        }

        #[test]
        fn what_is_no_moment_is_none_and_no_panic(
            year: u16, parts: [u8; 5], micros: u32,
        ) {
            if let Some(moment) = civil_moment(year, parts, micros) {
                prop_assert!((1..=12).contains(&parts[0]) && (1..=31).contains(&parts[1]));
                let date = Raw::Date(
                    year, parts[0], parts[1], parts[2], parts[3], parts[4], micros,
                );
                prop_assert!(encode_moment(Some(moment)) == Ok(date));
            }
        }
    }

    /// The first and the last moment of the years 0 to 9999.
    const FIRST: i64 = -62_167_219_200_000_000;
    const LAST: i64 = 253_402_300_799_999_999;
}
