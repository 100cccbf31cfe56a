//! Reads one value as a type of an application.
//!
//! Strict where a guess could be wrong: a text is no number, and a number no text. Lenient where
//! databases differ: truth may be 0 or 1, a list or a structure may be a text of JSON, a whole number may
//! be any that holds it exactly, and a decimal number the nearest that floats.

use serde::de::value::{SeqDeserializer, StringDeserializer};
use serde::de::{DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::de::StrRead;

use super::mismatch::Mismatch;
use super::written::Written as _;
use super::{Date, DateTime, Decimal, Time, Timestamp, Value, shown};

/// One value, which is taken apart while it is read.
pub(super) struct Cell<'v>(pub(super) &'v mut Value);

type Result<T> = std::result::Result<T, Mismatch>;

/// Whether a newtype of that name is one of our own types, which are read from values directly.
pub(super) fn is_mark(name: &str) -> bool {
    [Date::MARK, Time::MARK, DateTime::MARK, Timestamp::MARK, Decimal::MARK].contains(&name)
}

/// Numbers that are read where they hold what is there exactly.
macro_rules! whole_numbers {
    ($($method:ident: $number:ty, $visit:ident;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            if let Value::Json(_) = self.0 {
                return self.json(visitor, |json, visitor| json.$method(visitor));
            }
            let Some(number) = self.whole_number() else { return Err(self.refuse(&visitor)) };
            match <$number>::try_from(number) {
                Ok(number) => visitor.$visit(number),
                Err(_) => Err(Mismatch::new(expected(&visitor), TOO_LARGE)),
            }
        }
    )*};
}

/// What is read from text.
macro_rules! texts {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value> {
            match self.text() {
                Some(text) => visitor.visit_string(text),
                None => Err(self.refuse(&visitor)),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Cell<'de> {
    type Error = Mismatch;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Int(number) => visitor.visit_i64(*number),
            Value::UInt(number) => visitor.visit_u64(*number),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Bytes(bytes) => visitor.visit_byte_buf(std::mem::take(bytes)),
            Value::Array(values) => read_array(values, visitor),
            Value::Json(_) => self.json(visitor, |json, visitor| json.deserialize_any(visitor)),
            _ => self.deserialize_string(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.0 {
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Int(number @ (0 | 1)) => visitor.visit_bool(*number == 1),
            Value::Json(_) => self.json(visitor, |json, visitor| json.deserialize_bool(visitor)),
            _ => Err(self.refuse(&visitor)),
        }
    }

    whole_numbers! {
        deserialize_i8: i8, visit_i8;
        deserialize_i16: i16, visit_i16;
        deserialize_i32: i32, visit_i32;
        deserialize_i64: i64, visit_i64;
        deserialize_i128: i128, visit_i128;
        deserialize_u8: u8, visit_u8;
        deserialize_u16: u16, visit_u16;
        deserialize_u32: u32, visit_u32;
        deserialize_u64: u64, visit_u64;
        deserialize_u128: u128, visit_u128;
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.float() {
            Some(number) if number.is_finite() && number.abs() > f32::MAX.into() => {
                Err(Mismatch::new(expected(&visitor), TOO_LARGE))
            }
            _ => self.deserialize_f64(visitor),
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        if let Value::Json(_) = self.0 {
            return self.json(visitor, |json, visitor| json.deserialize_f64(visitor));
        }
        match (self.float(), &self.0) {
            (Some(number), _) => visitor.visit_f64(number),
            (None, Value::Int(_) | Value::UInt(_)) => {
                Err(Mismatch::new(expected(&visitor), TOO_MANY_DIGITS))
            }
            (None, Value::Decimal(_)) => Err(Mismatch::new(expected(&visitor), TOO_LARGE)),
            _ => Err(self.refuse(&visitor)),
        }
    }

    texts!(deserialize_char deserialize_str deserialize_string deserialize_identifier);

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.0 {
            Value::Bytes(bytes) => visitor.visit_byte_buf(std::mem::take(bytes)),
            Value::Uuid(bytes) => visitor.visit_bytes(bytes),
            Value::Json(_) => self.json(visitor, |json, visitor| json.deserialize_bytes(visitor)),
            _ => Err(self.refuse(&visitor)),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        if is_nothing(self.0) { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        if is_nothing(self.0) { visitor.visit_unit() } else { Err(self.refuse(&visitor)) }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        if !is_mark(name) {
            return visitor.visit_newtype_struct(self);
        }
        match (name, &*self.0) {
            (Date::MARK, Value::Date(date)) => visitor.visit_i128(date.days.into()),
            (Time::MARK, Value::Time(time)) => visitor.visit_i128(time.micros.into()),
            (DateTime::MARK, Value::DateTime(moment)) => visitor.visit_i128(moment.micros.into()),
            (Timestamp::MARK, Value::Timestamp(moment)) => visitor.visit_i128(moment.micros.into()),
            (Decimal::MARK, Value::Decimal(decimal)) => visitor.visit_str(decimal.as_str()),
            (Decimal::MARK, Value::Int(_) | Value::UInt(_)) => visitor.visit_str(&self.0.to_text()),
            // What a database without decimals made of them in a sum, in the fewest digits.
            (Decimal::MARK, Value::Float(number)) => visitor.visit_str(&number.to_string()),
            (_, Value::Text(text)) => visitor.visit_str(text),
            (_, Value::Json(_)) => {
                self.json(visitor, |json, visitor| json.deserialize_newtype_struct(name, visitor))
            }
            _ => Err(self.refuse(&visitor)),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.0 {
            Value::Array(values) => read_array(values, visitor),
            Value::Bytes(bytes) => read_bytes(bytes, visitor),
            Value::Uuid(bytes) => read_bytes(bytes, visitor),
            _ if is_json(self.0, '[') => {
                self.json(visitor, |json, visitor| json.deserialize_seq(visitor))
            }
            _ => Err(self.refuse(&visitor)),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        if is_json(self.0, '{') {
            return self.json(visitor, |json, visitor| json.deserialize_map(visitor));
        }
        Err(self.refuse(&visitor))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        if is_json(self.0, '{') {
            let read =
                |json: JsonReader<'_, 'de>, visitor| json.deserialize_struct(name, fields, visitor);
            return self.json(visitor, read);
        }
        Err(self.refuse(&visitor))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        if is_json(self.0, '{') {
            let read =
                |json: JsonReader<'_, 'de>, visitor| json.deserialize_enum(name, variants, visitor);
            return self.json(visitor, read);
        }
        match self.0 {
            Value::Text(text) => visitor.visit_enum(StringDeserializer::new(std::mem::take(text))),
            _ => Err(self.refuse(&visitor)),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_unit()
    }
}

/// The reader of the other library.
type JsonReader<'a, 'de> = &'a mut serde_json::Deserializer<StrRead<'de>>;

impl<'v> Cell<'v> {
    /// It is something else than the visitor wants.
    fn refuse<V: Visitor<'v>>(&self, visitor: &V) -> Mismatch {
        Mismatch::new(expected(visitor), self.0.kind())
    }

    /// The whole number that it is, exactly.
    fn whole_number(&self) -> Option<i128> {
        match &*self.0 {
            Value::Int(number) => Some((*number).into()),
            Value::UInt(number) => Some((*number).into()),
            Value::Decimal(decimal) => decimal.to_i128(),
            _ => None,
        }
    }

    /// The floating-point number that it is: exactly of a whole number, the nearest of a decimal one.
    fn float(&self) -> Option<f64> {
        match &*self.0 {
            Value::Float(number) => Some(*number),
            Value::Decimal(decimal) => decimal.to_f64(),
            Value::Int(_) | Value::UInt(_) => self.whole_number().and_then(same_float),
            _ => None,
        }
    }

    /// The text that it is, or that it is written as where there is one way to write it.
    ///
    /// JSON is what the operator `->>` makes of it: a string of JSON is its text, all else is its
    /// notation. So it is the same whether a database has a type for JSON or keeps it as text.
    fn text(&mut self) -> Option<String> {
        match self.0 {
            Value::Text(text) => Some(std::mem::take(text)),
            Value::Json(json) if !is_json_null(json) => {
                let string = serde_json::from_str(json).ok();
                Some(string.unwrap_or_else(|| std::mem::take(json)))
            }
            Value::Uuid(bytes) => Some(shown::uuid(bytes)),
            Value::Decimal(_)
            | Value::Date(_)
            | Value::Time(_)
            | Value::DateTime(_)
            | Value::Timestamp(_) => Some(self.0.to_text().into_owned()),
            _ => None,
        }
    }

    /// Reads JSON with what the other library offers for it.
    fn json<V: Visitor<'v>>(
        self,
        visitor: V,
        read: impl FnOnce(JsonReader<'_, 'v>, V) -> serde_json::Result<V::Value>,
    ) -> Result<V::Value> {
        let (expected, kind) = (expected(&visitor), self.0.kind());
        let (Value::Json(text) | Value::Text(text)) = self.0 else {
            return Err(Mismatch::new(expected, kind));
        };
        let mut json = serde_json::Deserializer::from_str(text);
        let value = read(&mut json, visitor);
        let value = value.and_then(|value| json.end().map(|()| value));
        value.map_err(|error| Mismatch::new(expected, format!("{kind} that {}", fault(&error))))
    }
}

/// The values of an array, one after the other.
struct Cells<'v>(std::slice::IterMut<'v, Value>);

impl<'v> SeqAccess<'v> for Cells<'v> {
    type Error = Mismatch;

    fn next_element_seed<T: DeserializeSeed<'v>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        self.0.next().map(|value| seed.deserialize(Cell(value))).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

fn read_array<'v, V: Visitor<'v>>(values: &'v mut [Value], visitor: V) -> Result<V::Value> {
    let (expected, len) = (expected(&visitor), values.len());
    let mut cells = Cells(values.iter_mut());
    let read = visitor.visit_seq(&mut cells)?;
    if cells.0.len() == 0 {
        return Ok(read);
    }
    Err(Mismatch::invalid_length(len, &&*expected))
}

fn read_bytes<'v, V: Visitor<'v>>(bytes: &[u8], visitor: V) -> Result<V::Value> {
    let mut bytes = SeqDeserializer::new(bytes.iter().copied());
    let read = visitor.visit_seq(&mut bytes)?;
    bytes.end().map(|()| read)
}

/// Whether it is nothing, or JSON that says so.
pub(super) fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Json(json) => is_json_null(json),
        _ => false,
    }
}

/// Whether it is JSON, or a text that begins as JSON of the wanted shape does.
pub(super) fn is_json(value: &Value, opening: char) -> bool {
    match value {
        Value::Json(_) => true,
        Value::Text(text) => text.trim_start().starts_with(opening),
        _ => false,
    }
}

fn is_json_null(json: &str) -> bool {
    json.trim() == "null"
}

/// What the visitor says that it wants.
pub(super) fn expected<'v, V: Visitor<'v>>(visitor: &V) -> String {
    (visitor as &dyn serde::de::Expected).to_string()
}

/// The same number as a floating-point number, if there is one.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "it is compared")]
fn same_float(number: i128) -> Option<f64> {
    let float = number as f64;
    (float as i128 == number).then_some(float)
}

/// What is wrong with JSON, without what is in it.
fn fault(error: &serde_json::Error) -> String {
    let what = if error.is_data() { "does not fit" } else { "is no JSON" };
    format!("{what} (line {}, column {})", error.line(), error.column())
}

const TOO_LARGE: &str = "a number that is too large or too small";
const TOO_MANY_DIGITS: &str = "a number of more digits than fit";
