//! Values as the server reads them from text.

use std::fmt::Write as _;

use super::DAY_MICROS;
use super::decode::{clock, fraction};
use crate::Value;

/// The text that the server reads `value` from, whatever the settings of the session are.
pub(in super::super) fn literal(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

/// Writes that text; of nothing there is none.
fn write(value: &Value, text: &mut String) {
    // A text takes everything.
    let _ = match value {
        Value::Null => Ok(()),
        Value::Bool(true) => text.write_str("true"),
        Value::Bool(false) => text.write_str("false"),
        Value::Int(number) => write!(text, "{number}"),
        Value::UInt(number) => write!(text, "{number}"),
        Value::Float(number) => text.write_str(&float(*number)),
        Value::Decimal(number) => text.write_str(number.as_str()),
        Value::Text(words) | Value::Json(words) => text.write_str(words),
        Value::Bytes(bytes) => hex("\\x", bytes, text),
        Value::Date(date) => text.write_str(&infinite_or(date.days().into(), DAY_ENDS, |days| {
            let (day, era) = day(days);
            format!("{day}{era}")
        })),
        Value::Time(time) => text.write_str(&length(time.micros())),
        Value::DateTime(moment) => text.write_str(&moment_text(moment.micros(), "")),
        Value::Timestamp(moment) => text.write_str(&moment_text(moment.micros(), "+00")),
        Value::Uuid(bytes) => hex("", bytes, text),
        Value::Array(values) => array(values, text),
    };
}

pub(super) fn float(number: f64) -> String {
    if number.is_nan() {
        "NaN".to_owned()
    } else if number.is_infinite() {
        if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
    } else {
        // The shortest text that is read as the same number.
        format!("{number:?}")
    }
}

fn hex(prefix: &str, bytes: &[u8], text: &mut String) -> std::fmt::Result {
    text.write_str(prefix)?;
    bytes.iter().try_for_each(|byte| write!(text, "{byte:02x}"))
}

/// A time of day, or a length of time where it is none.
fn length(micros: i64) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    format!("{sign}{}", clock(micros.saturating_abs()))
}

fn moment_text(micros: i64, zone: &str) -> String {
    infinite_or(micros, (i64::MIN, i64::MAX), |micros| {
        let (days, rest) = (micros.div_euclid(DAY_MICROS), micros.rem_euclid(DAY_MICROS));
        let (day, era) = day(days);
        let seconds = rest / 1_000_000;
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let fraction = fraction(rest % 1_000_000);
        format!("{day} {hour:02}:{minute:02}:{second:02}{fraction}{zone}{era}")
    })
}

fn infinite_or(count: i64, ends: (i64, i64), otherwise: impl FnOnce(i64) -> String) -> String {
    match count {
        _ if count == ends.0 => "-infinity".to_owned(),
        _ if count == ends.1 => "infinity".to_owned(),
        _ => otherwise(count),
    }
}

/// The day in the calendar, and what is said behind a day before the year 1.
fn day(days: i64) -> (String, &'static str) {
    // Years begin in March, so that the day that not every year has is the last.
    let days = days + DAYS_TO_1970;
    let (era, day) = (days.div_euclid(DAYS_IN_400), days.rem_euclid(DAYS_IN_400));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = year + era * 400 + later;
    let (year, era) = if year > 0 { (year, "") } else { (1 - year, " BC") };
    (format!("{year:04}-{month:02}-{day_of_month:02}"), era)
}

/// `{1,NULL,"a \"b\""}`; texts are always quoted, so that none of them is taken for something else.
fn array(values: &[Value], text: &mut String) -> std::fmt::Result {
    text.write_char('{')?;
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            text.write_char(',')?;
        }
        match value {
            Value::Null => text.write_str("NULL")?,
            Value::Array(inner) => array(inner, text)?,
            _ => quoted(&literal(value), text)?,
        }
    }
    text.write_char('}')
}

fn quoted(value: &str, text: &mut String) -> std::fmt::Result {
    text.write_char('"')?;
    for character in value.chars() {
        if matches!(character, '"' | '\\') {
            text.write_char('\\')?;
        }
        text.write_char(character)?;
    }
    text.write_char('"')
}

const DAY_ENDS: (i64, i64) = (i32::MIN as i64, i32::MAX as i64);
const DAYS_IN_400: i64 = 146_097;
/// From the first of March of the year 0.
const DAYS_TO_1970: i64 = 719_468;
