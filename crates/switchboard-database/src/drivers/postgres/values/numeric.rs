//! The server's decimal numbers: groups of four digits.

use bytes::{BufMut as _, BytesMut};

use super::Undecoded;

/// The number in `bytes`, exactly as the server would write it.
pub(super) fn read(bytes: &[u8]) -> Result<String, Undecoded> {
    let Some((header, groups)) = bytes.split_first_chunk::<8>() else {
        return Err(Undecoded::Malformed);
    };
    let word = |index: usize| u16::from_be_bytes([header[index * 2], header[index * 2 + 1]]);
    let (count, scale) = (usize::from(word(0)), usize::from(word(3)));
    let weight = word(1).cast_signed();
    let sign = match word(2) {
        POSITIVE => "",
        NEGATIVE => "-",
        NOT_A_NUMBER => return Ok("NaN".to_owned()),
        INFINITE => return Ok("Infinity".to_owned()),
        MINUS_INFINITE => return Ok("-Infinity".to_owned()),
        _ => return Err(Undecoded::Malformed),
    };
    if groups.len() != count * 2 {
        return Err(Undecoded::Malformed);
    }
    Ok(written(sign, weight, scale, groups))
}

fn written(sign: &str, weight: i16, scale: usize, groups: &[u8]) -> String {
    let group = |position: i32| {
        let index = usize::try_from(i32::from(weight) - position).ok().map(|index| index * 2);
        let pair = index.and_then(|index| groups.get(index..index + 2));
        pair.map_or(0, |pair| u16::from_be_bytes([pair[0], pair[1]]))
    };
    let first = i32::from(weight.max(0));
    let mut text = format!("{sign}{}", group(first));
    (0..first).rev().for_each(|position| put_group(group(position), &mut text));
    if scale > 0 {
        text.push('.');
        let end = text.len() + scale;
        let mut position = -1;
        while text.len() < end {
            put_group(group(position), &mut text);
            position -= 1;
        }
        text.truncate(end);
    }
    text
}

fn put_group(group: u16, text: &mut String) {
    for unit in [1_000, 100, 10, 1] {
        // A digit is less than ten whatever the group holds.
        text.push(char::from(b'0' + u8::try_from(group / unit % 10).unwrap_or(0)));
    }
}

/// Writes the number in `text` as the server reads it; `false` if it is none, or beyond its limits.
pub(super) fn write(text: &str, out: &mut BytesMut) -> bool {
    if let Some(special) = special(text) {
        put(out, &[], 0, special, 0);
        return true;
    }
    let Some(parts) = Parts::of(text) else { return false };
    let (groups, weight) = parts.groups();
    let Ok(weight) = i16::try_from(weight) else { return false };
    let Some(scale) = u16::try_from(parts.scale).ok().filter(|scale| *scale <= SCALE_MAX) else {
        return false;
    };
    let sign = if parts.is_negative { NEGATIVE } else { POSITIVE };
    put(out, &groups, weight, sign, scale);
    true
}

/// Whether `text` is a number that [`write`] takes.
pub(super) fn is_number(text: &str) -> bool {
    special(text).is_some()
        || Parts::of(text).is_some_and(|parts| {
            parts.scale <= usize::from(SCALE_MAX) && parts.digits.len() - parts.scale <= WHOLE_MAX
        })
}

fn special(text: &str) -> Option<u16> {
    match text {
        "NaN" => Some(NOT_A_NUMBER),
        "Infinity" => Some(INFINITE),
        "-Infinity" => Some(MINUS_INFINITE),
        _ => None,
    }
}

fn put(out: &mut BytesMut, groups: &[u16], weight: i16, sign: u16, scale: u16) {
    out.put_u16(u16::try_from(groups.len()).unwrap_or(u16::MAX));
    out.put_i16(weight);
    out.put_u16(sign);
    out.put_u16(scale);
    for group in groups {
        out.put_u16(*group);
    }
}

/// A number as it is written.
struct Parts {
    is_negative: bool,
    /// All digits, those behind the point too.
    digits: Vec<u8>,
    /// How many of them are behind the point.
    scale: usize,
}

impl Parts {
    /// Reads `-12.5e3`.
    fn of(text: &str) -> Option<Self> {
        let (is_negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (number, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, rest) = number.split_once('.').unwrap_or((number, ""));
        let digits: Vec<u8> =
            whole.bytes().chain(rest.bytes()).map(|b| b.wrapping_sub(b'0')).collect();
        if digits.is_empty() || digits.iter().any(|digit| *digit > 9) {
            return None;
        }
        let exponent: i32 = exponent.parse().ok().filter(|e: &i32| e.abs() <= EXPONENT_MAX)?;
        let scale = i32::try_from(rest.len()).ok()? - exponent;
        Some(Self::scaled(is_negative, digits, scale))
    }

    fn scaled(is_negative: bool, mut digits: Vec<u8>, scale: i32) -> Self {
        let behind = usize::try_from(scale).unwrap_or(0);
        if scale < 0 {
            let zeros = usize::try_from(-scale).unwrap_or(0);
            digits.extend(std::iter::repeat_n(0, zeros));
        }
        if digits.len() < behind {
            let missing = behind - digits.len();
            digits.splice(0..0, std::iter::repeat_n(0, missing));
        }
        Self { is_negative, digits, scale: behind }
    }

    /// Groups of four digits without zeros at the ends, and the place of the first.
    fn groups(&self) -> (Vec<u16>, i32) {
        let whole = self.digits.len() - self.scale;
        let in_front = (4 - whole % 4) % 4;
        let mut padded = vec![0; in_front];
        padded.extend_from_slice(&self.digits);
        padded.resize(padded.len().div_ceil(4) * 4, 0);
        let all: Vec<u16> = padded
            .chunks_exact(4)
            .map(|four| four.iter().fold(0, |sum, digit| sum * 10 + u16::from(*digit)))
            .collect();
        let weight = i32::try_from((whole + in_front) / 4).unwrap_or(i32::MAX) - 1;
        let Some(first) = all.iter().position(|group| *group != 0) else { return (Vec::new(), 0) };
        let last = all.iter().rposition(|group| *group != 0).unwrap_or(first);
        let skipped = i32::try_from(first).unwrap_or(i32::MAX);
        (all[first..=last].to_vec(), weight.saturating_sub(skipped))
    }
}

const POSITIVE: u16 = 0x0000;
const NEGATIVE: u16 = 0x4000;
const NOT_A_NUMBER: u16 = 0xC000;
const INFINITE: u16 = 0xD000;
const MINUS_INFINITE: u16 = 0xF000;

/// The most digits the server has behind the point and in front of it.
const SCALE_MAX: u16 = 16_383;
const WHOLE_MAX: usize = 131_072;

/// Beyond this a number is out of the server's limits whatever its digits are.
const EXPONENT_MAX: i32 = 200_000;
