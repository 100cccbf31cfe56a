//! From values to the binary forms of the server.

use std::error::Error as StdError;
use std::fmt;

use bytes::{BufMut as _, BytesMut};
use tokio_postgres::types::{Format, IsNull, ToSql, Type, to_sql_checked};

use super::text::{float, literal};
use super::{Codec, DAY_MICROS, DIMENSIONS_MAX, EPOCH_DAYS, EPOCH_MICROS, Form, numeric};
use crate::Value;

/// How a value goes to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum Fit {
    /// In the binary form of its type.
    Binary,
    /// As text, which the server reads.
    Text,
    /// Not at all: it does not fit.
    No,
}

/// A value for a place whose type is known, which it fits.
#[derive(Clone, Copy)]
pub(in super::super) struct Param<'a> {
    pub(in super::super) value: &'a Value,
    pub(in super::super) codec: &'a Codec,
}

impl fmt::Debug for Param<'_> {
    // The library would write it to the log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.value.kind())
    }
}

impl ToSql for Param<'_> {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        if self.value.is_null() {
            return Ok(IsNull::Yes);
        }
        match fit(self.codec, self.value) {
            Fit::Binary => encode(self.codec, self.value, out),
            Fit::Text => out.put_slice(literal(self.value).as_bytes()),
            Fit::No => return Err("a value does not fit its type".into()),
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        match fit(self.codec, self.value) {
            Fit::Text => Format::Text,
            _ => Format::Binary,
        }
    }

    to_sql_checked!();
}

/// How `value` goes to where values of the type of `codec` are wanted.
///
/// As the server itself takes them: a number goes where a wider one is wanted, and everything but
/// bytes goes where text is. Text goes where a type has no other form of ours, and is read there.
pub(in super::super) fn fit(codec: &Codec, value: &Value) -> Fit {
    let fits = |fits: bool| if fits { Fit::Binary } else { Fit::No };
    match (&codec.form, value) {
        (Form::Void, _) => Fit::No,
        (Form::Array(element), Value::Array(values)) => fit_array(element, values),
        (_, Value::Null)
        | (Form::Bool, Value::Bool(_))
        | (Form::Int8, Value::Int(_))
        | (Form::Bytes, Value::Bytes(_))
        | (Form::Uuid, Value::Uuid(_))
        | (Form::Numeric, Value::Int(_) | Value::UInt(_) | Value::Float(_))
        | (Form::Interval, Value::Time(_)) => Fit::Binary,
        (Form::Text | Form::VersionedText | Form::Char, _) => fit_text(&codec.form, value),
        (Form::Int2 | Form::Int4 | Form::Int8 | Form::Xid8, _) | (Form::Oid, Value::Int(_)) => {
            fits(whole(value).is_some_and(|number| holds(&codec.form, number)))
        }
        (Form::Float4 | Form::Float8, _) => fits(floating(&codec.form, value).is_some()),
        (Form::Numeric, Value::Decimal(number)) => fits(numeric::is_number(number.as_str())),
        (Form::Date, Value::Date(date)) => {
            fits(is_infinite_day(date.days()) || date.days().checked_sub(EPOCH_DAYS).is_some())
        }
        (Form::DateTime, Value::DateTime(moment)) => fits(is_held(moment.micros())),
        (Form::Timestamp, Value::Timestamp(moment)) => fits(is_held(moment.micros())),
        (Form::DateTime | Form::Timestamp, Value::Date(_) | Value::DateTime(_))
        // The names of objects: the server knows their numbers.
        | (Form::Oid, Value::Text(_)) => Fit::Text,
        (Form::Time, Value::Time(time)) => fits((0..=DAY_MICROS).contains(&time.micros())),
        (Form::Json | Form::Jsonb, Value::Json(json) | Value::Text(json)) => {
            fits(!json.contains('\0'))
        }
        (form, Value::Text(text)) if form.is_read_from_text() && !text.contains('\0') => Fit::Text,
        _ => Fit::No,
    }
}

impl Form {
    /// Whether a text may stand for a value: not where it would more likely be a mistake.
    fn is_read_from_text(&self) -> bool {
        !matches!(
            self,
            Self::Bool
                | Self::Int2
                | Self::Int4
                | Self::Int8
                | Self::Xid8
                | Self::Float4
                | Self::Float8
                | Self::Numeric
                | Self::Bytes
        )
    }
}

/// Whether there is a letter in it that no text of the server has.
pub(in super::super) fn has_nul(value: &Value) -> bool {
    match value {
        Value::Text(text) | Value::Json(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(has_nul),
        _ => false,
    }
}

fn fit_text(form: &Form, value: &Value) -> Fit {
    match value {
        Value::Bytes(_) | Value::Array(_) => Fit::No,
        Value::Text(text) | Value::Json(text) if text.contains('\0') => Fit::No,
        Value::Text(_) if *form == Form::Text => Fit::Binary,
        _ => Fit::Text,
    }
}

/// An array goes in the binary form if all its elements do and it has corners.
fn fit_array(element: &Codec, values: &[Value]) -> Fit {
    if lengths(values, &mut Vec::new()).is_none() {
        return Fit::No;
    }
    fit_elements(element, values)
}

fn fit_elements(element: &Codec, values: &[Value]) -> Fit {
    let fits = values.iter().map(|value| match value {
        Value::Array(inner) => fit_elements(element, inner),
        _ => fit(element, value),
    });
    fits.max().unwrap_or(Fit::Binary)
}

/// How many elements each dimension has; nothing where rows differ in their length.
fn lengths(values: &[Value], found: &mut Vec<usize>) -> Option<usize> {
    let mut depth = 0;
    found.push(values.len());
    for (index, value) in values.iter().enumerate() {
        let inner = match value {
            Value::Array(inner) => {
                let mut below = Vec::new();
                lengths(inner, &mut below)?;
                below
            }
            _ => Vec::new(),
        };
        if index == 0 {
            depth = inner.len();
            found.extend(inner);
        } else if found[found.len() - depth..] != inner[..] || inner.len() != depth {
            return None;
        }
    }
    let is_even = !(found.len() > 1 && found.contains(&0));
    (found.len() <= DIMENSIONS_MAX && is_even).then_some(found.len())
}

fn whole(value: &Value) -> Option<i128> {
    match value {
        Value::Int(number) => Some((*number).into()),
        Value::UInt(number) => Some((*number).into()),
        Value::Decimal(number) => number.as_str().parse().ok(),
        _ => None,
    }
}

fn holds(form: &Form, number: i128) -> bool {
    match form {
        Form::Int2 => i16::try_from(number).is_ok(),
        Form::Int4 => i32::try_from(number).is_ok(),
        Form::Int8 => i64::try_from(number).is_ok(),
        Form::Oid => u32::try_from(number).is_ok(),
        _ => u64::try_from(number).is_ok(),
    }
}

/// The number as the server would make it one with a floating point; none that is out of range.
fn floating(form: &Form, value: &Value) -> Option<f64> {
    let number = match value {
        Value::Float(number) => *number,
        Value::Int(number) => number.to_string().parse().ok()?,
        Value::UInt(number) => number.to_string().parse().ok()?,
        Value::Decimal(number) => number.as_str().parse().ok()?,
        _ => return None,
    };
    let fits = *form == Form::Float8 || !number.is_finite() || narrowed(number).is_finite();
    fits.then_some(number)
}

#[expect(clippy::cast_possible_truncation, reason = "the nearest number is what is wanted")]
fn narrowed(number: f64) -> f32 {
    number as f32
}

/// Whether a moment is not taken for an infinity when it is counted from the server's first day.
fn is_held(micros: i64) -> bool {
    is_infinite(micros) || micros.checked_sub(EPOCH_MICROS).is_some_and(|held| held != i64::MIN)
}

fn is_infinite(micros: i64) -> bool {
    micros == i64::MAX || micros == i64::MIN
}

fn is_infinite_day(days: i32) -> bool {
    days == i32::MAX || days == i32::MIN
}

/// Writes a value that [fits](Fit::Binary) in the binary form of its type.
pub(in super::super) fn encode(codec: &Codec, value: &Value, out: &mut BytesMut) {
    match (&codec.form, value) {
        (_, Value::Null) => {}
        (Form::Array(element), Value::Array(values)) => put_array(element, values, out),
        (_, Value::Bool(is_true)) => out.put_u8((*is_true).into()),
        (_, Value::Text(text) | Value::Json(text)) => {
            if codec.form == Form::Jsonb {
                out.put_u8(JSONB_VERSION);
            }
            out.put_slice(text.as_bytes());
        }
        (_, Value::Bytes(bytes)) => out.put_slice(bytes),
        (_, Value::Uuid(bytes)) => out.put_slice(bytes),
        (_, Value::Date(date)) => {
            let days = date.days();
            out.put_i32(if is_infinite_day(days) { days } else { days - EPOCH_DAYS });
        }
        (_, Value::DateTime(moment)) => put_moment(moment.micros(), out),
        (_, Value::Timestamp(moment)) => put_moment(moment.micros(), out),
        (form, Value::Time(time)) => {
            out.put_i64(time.micros());
            if *form == Form::Interval {
                // No days and no months.
                out.put_i64(0);
            }
        }
        (Form::Numeric, _) => put_numeric(value, out),
        (Form::Float8, _) => out.put_f64(floating(&codec.form, value).unwrap_or(f64::NAN)),
        (Form::Float4, _) => {
            out.put_f32(narrowed(floating(&codec.form, value).unwrap_or(f64::NAN)));
        }
        (form, _) => put_whole(form, whole(value).unwrap_or_default(), out),
    }
}

fn put_moment(micros: i64, out: &mut BytesMut) {
    out.put_i64(if is_infinite(micros) { micros } else { micros - EPOCH_MICROS });
}

fn put_numeric(value: &Value, out: &mut BytesMut) {
    // What is written here was found to be a number before.
    let _ = match value {
        Value::Float(number) => numeric::write(&float(*number), out),
        Value::Decimal(number) => numeric::write(number.as_str(), out),
        _ => numeric::write(&literal(value), out),
    };
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what is written here was found to fit before"
)]
fn put_whole(form: &Form, number: i128, out: &mut BytesMut) {
    match form {
        Form::Int2 => out.put_i16(number as i16),
        Form::Int4 => out.put_i32(number as i32),
        Form::Oid => out.put_u32(number as u32),
        Form::Xid8 => out.put_u64(number as u64),
        _ => out.put_i64(number as i64),
    }
}

fn put_array(element: &Codec, values: &[Value], out: &mut BytesMut) {
    let mut found = Vec::new();
    lengths(values, &mut found);
    let is_empty = found == [0];
    let dimensions = if is_empty { &[][..] } else { &found };
    out.put_i32(i32::try_from(dimensions.len()).unwrap_or(i32::MAX));
    out.put_i32(1);
    out.put_u32(element.oid);
    for length in dimensions {
        out.put_i32(i32::try_from(*length).unwrap_or(i32::MAX));
        out.put_i32(1);
    }
    put_elements(element, values, out);
}

fn put_elements(element: &Codec, values: &[Value], out: &mut BytesMut) {
    for value in values {
        match value {
            Value::Array(inner) => put_elements(element, inner, out),
            _ => put_field(element, value, out),
        }
    }
}

/// Writes a value with its length in front.
pub(in super::super) fn put_field(codec: &Codec, value: &Value, out: &mut BytesMut) {
    if value.is_null() {
        out.put_i32(-1);
        return;
    }
    let start = out.len();
    out.put_i32(0);
    encode(codec, value, out);
    let length = i32::try_from(out.len() - start - 4).unwrap_or(i32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

const JSONB_VERSION: u8 = 1;
