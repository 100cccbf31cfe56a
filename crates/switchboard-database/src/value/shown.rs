//! Values and rows as JSON and as text, where somebody asks for them.

use std::borrow::Cow;

use serde::ser::{Serialize, SerializeMap as _, Serializer};

use super::{Row, Value};

impl Value {
    /// The same as JSON.
    ///
    /// Nothing is lost: decimal numbers are text, days and times are text as RFC 3339 has them,
    /// numbers that are none are `"NaN"`, `"Infinity"` and `"-Infinity"`. Bytes are hexadecimal
    /// digits.
    ///
    /// ```
    /// use serde_json::json;
    /// use switchboard_database::Value;
    ///
    /// assert_eq!(Value::from(7).to_json(), json!(7));
    /// assert_eq!(Value::from(b"\x00\xff").to_json(), json!("00ff"));
    /// assert_eq!(Value::from(f64::NAN).to_json(), json!("NaN"));
    /// ```
    pub fn to_json(&self) -> serde_json::Value {
        // Neither maps with odd keys nor anything else that JSON has no place for is in a value.
        serde_json::to_value(self).unwrap_or_default()
    }

    /// The same as text, for tables and files of text; nothing is empty.
    ///
    /// ```
    /// use switchboard_database::Value;
    ///
    /// assert_eq!(Value::from(vec!["a", "b"]).to_text(), r#"["a","b"]"#);
    /// assert_eq!(Value::Null.to_text(), "");
    /// ```
    pub fn to_text(&self) -> Cow<'_, str> {
        match self {
            Self::Null => Cow::Borrowed(""),
            Self::Bool(value) => Cow::Borrowed(if *value { "true" } else { "false" }),
            Self::Text(text) | Self::Json(text) => Cow::Borrowed(text),
            Self::Decimal(decimal) => Cow::Borrowed(decimal.as_str()),
            Self::Int(number) => number.to_string().into(),
            Self::UInt(number) => number.to_string().into(),
            Self::Float(number) => float(*number),
            Self::Bytes(bytes) => hexadecimal(bytes).into(),
            Self::Date(date) => date.to_string().into(),
            Self::Time(time) => time.to_string().into(),
            Self::DateTime(moment) => moment.to_string().into(),
            Self::Timestamp(moment) => moment.to_string().into(),
            Self::Uuid(bytes) => uuid(bytes).into(),
            Self::Array(_) => self.to_json().to_string().into(),
        }
    }
}

impl Serialize for Value {
    /// As [`to_json`](Self::to_json) says.
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => to.serialize_unit(),
            Self::Bool(value) => to.serialize_bool(*value),
            Self::Int(number) => to.serialize_i64(*number),
            Self::UInt(number) => to.serialize_u64(*number),
            Self::Float(number) if number.is_finite() => to.serialize_f64(*number),
            Self::Array(values) => to.collect_seq(values),
            Self::Json(text) => match serde_json::from_str::<serde_json::Value>(text) {
                Ok(json) => json.serialize(to),
                Err(_) => to.serialize_str(text),
            },
            _ => to.serialize_str(&self.to_text()),
        }
    }
}

impl Row {
    /// The same as a JSON object; of columns of one name the first counts.
    ///
    /// The keys of the object are in the order of `serde_json`'s map. To keep that of the columns,
    /// serialise the row itself.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

impl Serialize for Row {
    /// A map in the order of the columns; of columns of one name the first counts.
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        for (at, (column, value)) in self.columns().iter().zip(self.values()).enumerate() {
            if !self.columns().is_repeat(at) {
                map.serialize_entry(&column.name, value)?;
            }
        }
        map.end()
    }
}

/// The bytes of a UUID as it is written.
pub(super) fn uuid(bytes: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        push_hexadecimal(&mut text, *byte);
    }
    text
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        push_hexadecimal(&mut text, *byte);
    }
    text
}

fn push_hexadecimal(text: &mut String, byte: u8) {
    for half in [byte >> 4, byte & 0xf] {
        text.push(char::from_digit(half.into(), 16).unwrap_or_default());
    }
}

/// The shortest digits that stand for it, with an exponent where there would be many zeros.
fn float(number: f64) -> Cow<'static, str> {
    match number {
        f64::INFINITY => Cow::Borrowed("Infinity"),
        f64::NEG_INFINITY => Cow::Borrowed("-Infinity"),
        number => format!("{number:?}").into(),
    }
}
