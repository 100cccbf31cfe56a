//! From the binary forms of the server to values.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::num::FpCategory;

use super::{Codec, DIMENSIONS_MAX, EPOCH_DAYS, EPOCH_MICROS, Form, numeric};
use crate::{Date, DateTime, Decimal, Time, Timestamp, Value};

/// Why a value could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Undecoded {
    /// Its type has a form that is not read here.
    Unknown,
    /// Ours cannot hold it.
    Beyond,
    /// It is not in the form of its type.
    Malformed,
}

/// The value in `bytes`; nothing is null.
#[inline]
pub(in super::super) fn decode(codec: &Codec, bytes: Option<&[u8]>) -> Result<Value, Undecoded> {
    match bytes {
        None => Ok(Value::Null),
        Some(bytes) => decode_form(&codec.form, bytes),
    }
}

#[expect(
    clippy::inline_always,
    reason = "a number is decoded faster than its value is moved again"
)]
#[inline(always)]
fn decode_form(form: &Form, bytes: &[u8]) -> Result<Value, Undecoded> {
    Ok(match form {
        Form::Bool => Value::Bool(u8::from_be_bytes(exactly(bytes)?) != 0),
        Form::Int2 => Value::Int(i16::from_be_bytes(exactly(bytes)?).into()),
        Form::Int4 => Value::Int(i32::from_be_bytes(exactly(bytes)?).into()),
        Form::Int8 => Value::Int(i64::from_be_bytes(exactly(bytes)?)),
        Form::Oid => Value::Int(u32::from_be_bytes(exactly(bytes)?).into()),
        Form::Xid8 => unsigned(u64::from_be_bytes(exactly(bytes)?)),
        Form::Float4 => Value::Float(widened(f32::from_be_bytes(exactly(bytes)?))),
        Form::Float8 => Value::Float(f64::from_be_bytes(exactly(bytes)?)),
        Form::Numeric => Value::Decimal(Decimal::from_text(numeric::read(bytes)?)),
        Form::Text => Value::Text(text(bytes)?),
        Form::VersionedText | Form::Jsonb => versioned(form, bytes)?,
        Form::Char => Value::Text(char_text(u8::from_be_bytes(exactly(bytes)?))),
        Form::Bytes => Value::Bytes(bytes.to_vec()),
        Form::Date => Value::Date(Date::from_days(days(i32::from_be_bytes(exactly(bytes)?))?)),
        Form::Time => Value::Time(Time::from_micros(i64::from_be_bytes(exactly(bytes)?))),
        Form::TimeWithZone => Value::Text(time_with_zone(bytes)?),
        Form::DateTime => Value::DateTime(DateTime::from_micros(moment(bytes)?)),
        Form::Timestamp => Value::Timestamp(Timestamp::from_micros(moment(bytes)?)),
        Form::Interval => Value::Text(interval(bytes)?),
        Form::Uuid => Value::Uuid(exactly(bytes)?),
        Form::Json => Value::Json(text(bytes)?),
        Form::Inet { is_network } => Value::Text(address(bytes, *is_network)?),
        Form::Mac => Value::Text(mac(bytes)),
        Form::Bits => Value::Text(bits(bytes)?),
        Form::Lsn => Value::Text(lsn(u64::from_be_bytes(exactly(bytes)?))),
        Form::Void => Value::Null,
        Form::Array(element) => array(element, bytes)?,
        Form::Unknown => return Err(Undecoded::Unknown),
    })
}

fn exactly<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Undecoded> {
    bytes.try_into().map_err(|_| Undecoded::Malformed)
}

/// Takes `N` bytes off the front.
fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], Undecoded> {
    let (first, rest) = bytes.split_first_chunk().ok_or(Undecoded::Malformed)?;
    *bytes = rest;
    Ok(*first)
}

fn text(bytes: &[u8]) -> Result<String, Undecoded> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| Undecoded::Malformed)
}

fn versioned(form: &Form, bytes: &[u8]) -> Result<Value, Undecoded> {
    let (_version, rest) = bytes.split_first().ok_or(Undecoded::Malformed)?;
    let rest = text(rest)?;
    Ok(if *form == Form::Jsonb { Value::Json(rest) } else { Value::Text(rest) })
}

/// The shortest decimal number that stands for `float`, as a wider one.
fn widened(float: f32) -> f64 {
    // A small whole number is the same in both; this is only to be faster.
    let is_whole = float.abs() < WHOLE_MAX && float.fract().classify() == FpCategory::Zero;
    if !float.is_finite() || is_whole {
        return float.into();
    }
    let mut shortest = String::with_capacity(24);
    // A text takes everything.
    let _ = write!(shortest, "{float:e}");
    shortest.parse().unwrap_or(float.into())
}

fn unsigned(number: u64) -> Value {
    i64::try_from(number).map_or(Value::UInt(number), Value::Int)
}

/// The server shows a byte beyond ASCII as an escape, and none for zero.
fn char_text(byte: u8) -> String {
    match byte {
        0 => String::new(),
        1..128 => char::from(byte).to_string(),
        _ => format!("\\{byte:03o}"),
    }
}

fn days(days: i32) -> Result<i32, Undecoded> {
    match days {
        // The infinities stay at the ends.
        i32::MAX | i32::MIN => Ok(days),
        _ => days.checked_add(EPOCH_DAYS).ok_or(Undecoded::Beyond),
    }
}

fn moment(bytes: &[u8]) -> Result<i64, Undecoded> {
    match i64::from_be_bytes(exactly(bytes)?) {
        infinite @ (i64::MAX | i64::MIN) => Ok(infinite),
        // The last thirty years that the server has are beyond what we count.
        micros => micros.checked_add(EPOCH_MICROS).ok_or(Undecoded::Beyond),
    }
}

fn time_with_zone(mut bytes: &[u8]) -> Result<String, Undecoded> {
    let micros = i64::from_be_bytes(take(&mut bytes)?);
    let west = i32::from_be_bytes(exactly(bytes)?);
    let (sign, seconds) = if west > 0 { ('-', west) } else { ('+', west.saturating_neg()) };
    let mut text = clock(micros);
    // A text takes everything.
    let _ = write!(text, "{sign}{:02}", seconds / 3600);
    if seconds % 3600 != 0 {
        let _ = write!(text, ":{:02}", seconds / 60 % 60);
    }
    if seconds % 60 != 0 {
        let _ = write!(text, ":{:02}", seconds % 60);
    }
    Ok(text)
}

/// `12:34:56.789`, with as many digits behind the point as are needed.
pub(super) fn clock(micros: i64) -> String {
    let seconds = micros / 1_000_000;
    let mut text = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    text.push_str(&fraction(micros % 1_000_000));
    text
}

/// `.789`, or nothing.
pub(super) fn fraction(micros: i64) -> String {
    if micros == 0 {
        return String::new();
    }
    let digits = format!(".{micros:06}");
    digits.trim_end_matches('0').to_owned()
}

/// `P1Y2M3DT4H5M6.789S`: every part with its own sign, as the server writes it in this form.
fn interval(mut bytes: &[u8]) -> Result<String, Undecoded> {
    let micros = i64::from_be_bytes(take(&mut bytes)?);
    let days = i32::from_be_bytes(take(&mut bytes)?);
    let months = i32::from_be_bytes(exactly(bytes)?);
    match (micros, days, months) {
        (i64::MAX, i32::MAX, i32::MAX) => return Ok("infinity".to_owned()),
        (i64::MIN, i32::MIN, i32::MIN) => return Ok("-infinity".to_owned()),
        (0, 0, 0) => return Ok("PT0S".to_owned()),
        _ => {}
    }
    let mut text = "P".to_owned();
    part(&mut text, (months / 12).into(), 'Y');
    part(&mut text, (months % 12).into(), 'M');
    part(&mut text, days.into(), 'D');
    if micros != 0 {
        text.push('T');
        let seconds = micros / 1_000_000;
        part(&mut text, seconds / 3600, 'H');
        part(&mut text, seconds / 60 % 60, 'M');
        last_part(&mut text, micros % 60_000_000);
    }
    Ok(text)
}

fn part(text: &mut String, count: i64, unit: char) {
    if count != 0 {
        // A text takes everything.
        let _ = write!(text, "{count}{unit}");
    }
}

fn last_part(text: &mut String, micros: i64) {
    if micros != 0 {
        let sign = if micros < 0 { "-" } else { "" };
        let (whole, rest) = (micros.abs() / 1_000_000, fraction(micros.abs() % 1_000_000));
        let _ = write!(text, "{sign}{whole}{rest}S");
    }
}

fn address(bytes: &[u8], is_network: bool) -> Result<String, Undecoded> {
    let [_family, bits, _is_network, _length, address @ ..] = bytes else {
        return Err(Undecoded::Malformed);
    };
    let (text, bits_max) = match address.len() {
        4 => (Ipv4Addr::from(exactly::<4>(address)?).to_string(), 32),
        16 => (Ipv6Addr::from(exactly::<16>(address)?).to_string(), 128),
        _ => return Err(Undecoded::Malformed),
    };
    Ok(if is_network || *bits != bits_max { format!("{text}/{bits}") } else { text })
}

fn mac(bytes: &[u8]) -> String {
    let parts: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    parts.join(":")
}

fn bits(mut bytes: &[u8]) -> Result<String, Undecoded> {
    let count = usize::try_from(i32::from_be_bytes(take(&mut bytes)?));
    let count = count.ok().filter(|count| count.div_ceil(8) == bytes.len());
    let count = count.ok_or(Undecoded::Malformed)?;
    let bit = |index: usize| bytes[index / 8] >> (7 - index % 8) & 1;
    Ok((0..count).map(|index| char::from(b'0' + bit(index))).collect())
}

fn lsn(number: u64) -> String {
    format!("{:X}/{:X}", number >> 32, number & 0xFFFF_FFFF)
}

/// Arrays within arrays, one for each dimension.
fn array(element: &Codec, mut bytes: &[u8]) -> Result<Value, Undecoded> {
    let count = u32::from_be_bytes(take(&mut bytes)?);
    let _has_nulls: [u8; 4] = take(&mut bytes)?;
    let _element: [u8; 4] = take(&mut bytes)?;
    let count = usize::try_from(count).ok().filter(|count| *count <= DIMENSIONS_MAX);
    let mut lengths = [0_usize; DIMENSIONS_MAX];
    let count = count.ok_or(Undecoded::Malformed)?;
    if count == 0 {
        return Ok(Value::Array(Vec::new()));
    }
    let lengths = &mut lengths[..count];
    for length in lengths.iter_mut() {
        let told = i32::from_be_bytes(take(&mut bytes)?);
        *length = usize::try_from(told).map_err(|_| Undecoded::Malformed)?;
        let _first_index: [u8; 4] = take(&mut bytes)?;
    }
    // An element takes four bytes at least; a server that tells of more than it sends means no good.
    let told = lengths.iter().try_fold(1_usize, |product, length| product.checked_mul(*length));
    if told.is_none_or(|told| told > bytes.len() / 4) || told == Some(0) {
        return Err(Undecoded::Malformed);
    }
    let value = dimension(element, lengths, &mut bytes)?;
    if bytes.is_empty() { Ok(value) } else { Err(Undecoded::Malformed) }
}

fn dimension(element: &Codec, lengths: &[usize], bytes: &mut &[u8]) -> Result<Value, Undecoded> {
    let Some((length, inner)) = lengths.split_first() else { return Ok(Value::Array(Vec::new())) };
    let mut values = Vec::with_capacity(*length);
    for _ in 0..*length {
        values.push(if inner.is_empty() {
            decode(element, nullable(bytes)?)?
        } else {
            dimension(element, inner, bytes)?
        });
    }
    Ok(Value::Array(values))
}

/// The bytes of one element, with their length in front.
fn nullable<'b>(bytes: &mut &'b [u8]) -> Result<Option<&'b [u8]>, Undecoded> {
    let length = i32::from_be_bytes(take(bytes)?);
    if length == -1 {
        return Ok(None);
    }
    let length = usize::try_from(length).map_err(|_| Undecoded::Malformed)?;
    let (value, rest) = bytes.split_at_checked(length).ok_or(Undecoded::Malformed)?;
    *bytes = rest;
    Ok(Some(value))
}

/// Up to here every whole number has a form in single precision.
const WHOLE_MAX: f32 = 16_777_216.0;
