//! Writes types of an application as values, through what they tell `serde`.

use std::borrow::Cow;
use std::fmt;

use serde::ser::{self, Serialize, Serializer};
use switchboard_core::{Error, ErrorKind};

use super::written::Written as _;
use super::{Date, DateTime, Decimal, Time, Timestamp, Value};

/// Values by name.
type Pairs = Vec<(Cow<'static, str>, Value)>;

/// The fields or entries of `from`.
pub(super) fn named<T: Serialize>(from: &T) -> Result<Pairs, Error> {
    match from.serialize(Writer { is_outermost: true }).map_err(Refusal::into_error)? {
        Output::Pairs(pairs) => Ok(pairs),
        Output::Value(Value::Null) => Ok(Pairs::new()),
        Output::Value(_) | Output::Byte(_) => Err(Refusal::new(NAMELESS).into_error()),
    }
}

/// Takes what an application has; what has names and is outermost becomes pairs, all else a value.
#[derive(Clone, Copy)]
struct Writer {
    is_outermost: bool,
}

/// What something became.
enum Output {
    Value(Value),
    /// Kept apart from other numbers, since several of them are bytes.
    Byte(u8),
    Pairs(Pairs),
}

/// Why something cannot be written. What others say about it is left out: it may have values in it.
#[derive(Debug)]
struct Refusal {
    reason: &'static str,
    parameter: Option<Cow<'static, str>>,
}

/// Several values, on their way to be an array, or bytes where each of them is one.
struct Several {
    values: Vec<Value>,
    are_bytes: bool,
}

/// What has fields or entries, on its way to be pairs, or JSON where it is part of another.
enum Parts<J> {
    Pairs { pairs: Pairs, key: Cow<'static, str> },
    Json(J),
}

/// The writer of the other library.
type JsonWriter = serde_json::value::Serializer;
type JsonMap = <JsonWriter as Serializer>::SerializeMap;
type JsonStruct = <JsonWriter as Serializer>::SerializeStruct;
type JsonTuple = <JsonWriter as Serializer>::SerializeTupleVariant;
type JsonVariant = <JsonWriter as Serializer>::SerializeStructVariant;

/// Methods that take one thing and make a value of it.
macro_rules! plain {
    ($($method:ident($type:ty);)*) => {$(
        fn $method(self, value: $type) -> Result<Output, Refusal> {
            Ok(Output::Value(value.into()))
        }
    )*};
}

impl Serializer for Writer {
    type Ok = Output;
    type Error = Refusal;
    type SerializeSeq = Several;
    type SerializeTuple = Several;
    type SerializeTupleStruct = Several;
    type SerializeTupleVariant = Parts<JsonTuple>;
    type SerializeMap = Parts<JsonMap>;
    type SerializeStruct = Parts<JsonStruct>;
    type SerializeStructVariant = Parts<JsonVariant>;

    plain! {
        serialize_bool(bool);
        serialize_i8(i8);
        serialize_i16(i16);
        serialize_i32(i32);
        serialize_i64(i64);
        serialize_i128(i128);
        serialize_u16(u16);
        serialize_u32(u32);
        serialize_u64(u64);
        serialize_u128(u128);
        serialize_f32(f32);
        serialize_f64(f64);
        serialize_char(char);
        serialize_str(&str);
        serialize_bytes(&[u8]);
    }

    fn serialize_u8(self, byte: u8) -> Result<Output, Refusal> {
        Ok(Output::Byte(byte))
    }

    fn serialize_none(self) -> Result<Output, Refusal> {
        self.serialize_unit()
    }

    fn serialize_unit(self) -> Result<Output, Refusal> {
        Ok(Output::Value(Value::Null))
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<Output, Refusal> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<Output, Refusal> {
        self.serialize_str(variant)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Output, Refusal> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T>(self, name: &'static str, value: &T) -> Result<Output, Refusal>
    where
        T: Serialize + ?Sized,
    {
        match value.serialize(self)? {
            Output::Value(Value::Text(text)) => Ok(Output::Value(marked(name, text))),
            output => Ok(output),
        }
    }

    fn serialize_newtype_variant<T>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Output, Refusal>
    where
        T: Serialize + ?Sized,
    {
        json(JsonWriter {}.serialize_newtype_variant(name, index, variant, value))
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Several, Refusal> {
        Ok(Several::with_capacity(len.unwrap_or_default()))
    }

    fn serialize_tuple(self, len: usize) -> Result<Several, Refusal> {
        Ok(Several::with_capacity(len))
    }

    fn serialize_tuple_struct(self, _name: &'static str, len: usize) -> Result<Several, Refusal> {
        Ok(Several::with_capacity(len))
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Parts<JsonMap>, Refusal> {
        Parts::new(self, || JsonWriter {}.serialize_map(len))
    }

    fn serialize_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Parts<JsonStruct>, Refusal> {
        Parts::new(self, || JsonWriter {}.serialize_struct(name, len))
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Parts<JsonTuple>, Refusal> {
        let parts = JsonWriter {}.serialize_tuple_variant(name, index, variant, len);
        parts.map(Parts::Json).map_err(no_json)
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Parts<JsonVariant>, Refusal> {
        let parts = JsonWriter {}.serialize_struct_variant(name, index, variant, len);
        parts.map(Parts::Json).map_err(no_json)
    }
}

impl Output {
    fn into_value(self) -> Result<Value, Refusal> {
        match self {
            Self::Value(value) => Ok(value),
            Self::Byte(byte) => Ok(byte.into()),
            // Only what is outermost becomes pairs, and nobody asks here for the value of that.
            Self::Pairs(_) => Err(Refusal::new(REFUSED)),
        }
    }
}

impl Several {
    fn with_capacity(capacity: usize) -> Self {
        Self { values: Vec::with_capacity(capacity.min(CAPACITY_MAX)), are_bytes: true }
    }

    fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refusal> {
        let output = value.serialize(INNER)?;
        self.are_bytes &= matches!(output, Output::Byte(_));
        self.values.push(output.into_value()?);
        Ok(())
    }

    fn finish(self) -> Output {
        if self.are_bytes && !self.values.is_empty() {
            return Output::Value(Value::Bytes(self.values.iter().filter_map(byte).collect()));
        }
        Output::Value(Value::Array(self.values))
    }
}

impl<J> Parts<J> {
    fn new(
        writer: Writer,
        json: impl FnOnce() -> Result<J, serde_json::Error>,
    ) -> Result<Self, Refusal> {
        if writer.is_outermost {
            return Ok(Self::Pairs { pairs: Pairs::new(), key: Cow::Borrowed("") });
        }
        json().map(Self::Json).map_err(no_json)
    }

    /// Adds a field to pairs, or else does `json`.
    fn field<T>(
        &mut self,
        name: Cow<'static, str>,
        value: &T,
        json: impl FnOnce(&mut J) -> Result<(), serde_json::Error>,
    ) -> Result<(), Refusal>
    where
        T: Serialize + ?Sized,
    {
        match self {
            Self::Json(parts) => json(parts).map_err(no_json),
            Self::Pairs { pairs, .. } => {
                match value.serialize(INNER).and_then(Output::into_value) {
                    Ok(value) => {
                        pairs.push((name, value));
                        Ok(())
                    }
                    Err(refusal) => Err(refusal.of(name)),
                }
            }
        }
    }

    fn finish(
        self,
        end: impl FnOnce(J) -> Result<serde_json::Value, serde_json::Error>,
    ) -> Result<Output, Refusal> {
        match self {
            Self::Pairs { pairs, .. } => Ok(Output::Pairs(pairs)),
            Self::Json(parts) => json(end(parts)),
        }
    }
}

/// What takes several values one after the other.
macro_rules! several {
    ($($trait:ident::$method:ident)*) => {$(
        impl ser::$trait for Several {
            type Ok = Output;
            type Error = Refusal;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refusal> {
                self.push(value)
            }

            fn end(self) -> Result<Output, Refusal> {
                Ok(self.finish())
            }
        }
    )*};
}

several!(SerializeSeq::serialize_element SerializeTuple::serialize_element);
several!(SerializeTupleStruct::serialize_field);

impl ser::SerializeStruct for Parts<JsonStruct> {
    type Ok = Output;
    type Error = Refusal;

    fn serialize_field<T>(&mut self, name: &'static str, value: &T) -> Result<(), Refusal>
    where
        T: Serialize + ?Sized,
    {
        let json =
            |parts: &mut JsonStruct| ser::SerializeStruct::serialize_field(parts, name, value);
        self.field(Cow::Borrowed(name), value, json)
    }

    fn end(self) -> Result<Output, Refusal> {
        self.finish(ser::SerializeStruct::end)
    }
}

impl ser::SerializeMap for Parts<JsonMap> {
    type Ok = Output;
    type Error = Refusal;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, name: &T) -> Result<(), Refusal> {
        match self {
            Self::Json(parts) => ser::SerializeMap::serialize_key(parts, name).map_err(no_json),
            Self::Pairs { key, .. } => {
                *key = name.serialize(INNER)?.into_value()?.to_text().into_owned().into();
                Ok(())
            }
        }
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refusal> {
        let name = match self {
            Self::Pairs { key, .. } => std::mem::take(key),
            Self::Json(_) => Cow::Borrowed(""),
        };
        self.field(name, value, |parts| ser::SerializeMap::serialize_value(parts, value))
    }

    fn end(self) -> Result<Output, Refusal> {
        self.finish(ser::SerializeMap::end)
    }
}

impl ser::SerializeTupleVariant for Parts<JsonTuple> {
    type Ok = Output;
    type Error = Refusal;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refusal> {
        let json =
            |parts: &mut JsonTuple| ser::SerializeTupleVariant::serialize_field(parts, value);
        self.field(Cow::Borrowed(""), value, json)
    }

    fn end(self) -> Result<Output, Refusal> {
        self.finish(ser::SerializeTupleVariant::end)
    }
}

impl ser::SerializeStructVariant for Parts<JsonVariant> {
    type Ok = Output;
    type Error = Refusal;

    fn serialize_field<T>(&mut self, name: &'static str, value: &T) -> Result<(), Refusal>
    where
        T: Serialize + ?Sized,
    {
        let json = |parts: &mut JsonVariant| {
            ser::SerializeStructVariant::serialize_field(parts, name, value)
        };
        self.field(Cow::Borrowed(name), value, json)
    }

    fn end(self) -> Result<Output, Refusal> {
        self.finish(ser::SerializeStructVariant::end)
    }
}

impl Refusal {
    const fn new(reason: &'static str) -> Self {
        Self { reason, parameter: None }
    }

    fn of(mut self, parameter: Cow<'static, str>) -> Self {
        self.parameter = Some(parameter);
        self
    }

    fn into_error(self) -> Error {
        let error = Error::new(ErrorKind::InvalidInput, self.reason);
        match self.parameter {
            Some(name) => error.with_context("parameter", name),
            None => error,
        }
    }
}

impl ser::Error for Refusal {
    fn custom<T: fmt::Display>(_message: T) -> Self {
        Self::new(REFUSED)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason)
    }
}

impl std::error::Error for Refusal {}

/// The value that a text under the name of a newtype is; all but ours stay text.
fn marked(name: &str, text: String) -> Value {
    let value = match name {
        Date::MARK => text.parse().ok().map(Value::Date),
        Time::MARK => text.parse().ok().map(Value::Time),
        DateTime::MARK => text.parse().ok().map(Value::DateTime),
        Timestamp::MARK => text.parse().ok().map(Value::Timestamp),
        Decimal::MARK => Some(Value::Decimal(Decimal::from_text(&*text))),
        _ => None,
    };
    value.unwrap_or(Value::Text(text))
}

fn byte(value: &Value) -> Option<u8> {
    match value {
        Value::Int(byte) => u8::try_from(*byte).ok(),
        _ => None,
    }
}

fn json(written: Result<serde_json::Value, serde_json::Error>) -> Result<Output, Refusal> {
    written.map(|json| Output::Value(json.into())).map_err(no_json)
}

fn no_json(_error: serde_json::Error) -> Refusal {
    Refusal::new(REFUSED)
}

const INNER: Writer = Writer { is_outermost: false };
const NAMELESS: &str = "values by name come from the fields of a struct or the entries of a map";
const REFUSED: &str = "what is to be a parameter cannot be written as a value";

/// How many values room is made for before they come, whatever somebody promises.
const CAPACITY_MAX: usize = 1_024;
