//! Reads one value that was just taken out of a row.
//!
//! Nearly always a value has the kind that is wanted, and goes where it is wanted as it is. Whatever
//! needs a second look is put down, and read as a [`Cell`].

use serde::de::{Deserializer, Visitor};

use super::cell::{Cell, is_mark};
use super::mismatch::Mismatch;
use super::written::Written as _;
use super::{Timestamp, Value};

/// One value, and where it is put down if it has to be.
pub(super) struct Fresh<'v> {
    value: Value,
    place: &'v mut Value,
}

type Result<T> = std::result::Result<T, Mismatch>;

impl<'v> Fresh<'v> {
    #[inline]
    pub(super) fn new(value: Value, place: &'v mut Value) -> Self {
        Self { value, place }
    }

    fn put_down(self) -> Cell<'v> {
        *self.place = self.value;
        Cell(self.place)
    }
}

/// Numbers that are read where they fit.
macro_rules! numbers {
    ($($method:ident: $kind:ident, $visit:ident;)*) => {$(
        #[inline]
        fn $method<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value> {
            if let Value::$kind(number) = self.value
                && let Ok(number) = number.try_into()
            {
                return visitor.$visit(number);
            }
            self.put_down().$method(visitor)
        }
    )*};
}

/// What is read from text.
macro_rules! texts {
    ($($method:ident)*) => {$(
        #[inline]
        fn $method<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value> {
            match self {
                Self { value: Value::Text(text), .. } => visitor.visit_string(text),
                other => other.put_down().$method(visitor),
            }
        }
    )*};
}

/// What always needs a second look.
macro_rules! put_down {
    ($($method:ident($($argument:ident: $type:ty),*))*) => {$(
        fn $method<V: Visitor<'v>>(self, $($argument: $type,)* visitor: V) -> Result<V::Value> {
            self.put_down().$method($($argument,)* visitor)
        }
    )*};
}

impl<'v> Deserializer<'v> for Fresh<'v> {
    type Error = Mismatch;

    numbers! {
        deserialize_bool: Bool, visit_bool;
        deserialize_i8: Int, visit_i8;
        deserialize_i16: Int, visit_i16;
        deserialize_i32: Int, visit_i32;
        deserialize_i64: Int, visit_i64;
        deserialize_u8: Int, visit_u8;
        deserialize_u16: Int, visit_u16;
        deserialize_u32: Int, visit_u32;
        deserialize_u64: Int, visit_u64;
        deserialize_f64: Float, visit_f64;
    }

    texts!(deserialize_str deserialize_string);

    put_down! {
        deserialize_any()
        deserialize_i128()
        deserialize_u128()
        deserialize_f32()
        deserialize_char()
        deserialize_bytes()
        deserialize_byte_buf()
        deserialize_identifier()
        deserialize_unit()
        deserialize_unit_struct(name: &'static str)
        deserialize_seq()
        deserialize_tuple(len: usize)
        deserialize_tuple_struct(name: &'static str, len: usize)
        deserialize_map()
        deserialize_struct(name: &'static str, fields: &'static [&'static str])
        deserialize_enum(name: &'static str, variants: &'static [&'static str])
        deserialize_ignored_any()
    }

    fn deserialize_option<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value> {
        match self.value {
            Value::Null => visitor.visit_none(),
            Value::Json(_) => self.put_down().deserialize_option(visitor),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'v>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        match self.value {
            Value::Timestamp(moment) if name == Timestamp::MARK => {
                visitor.visit_i128(moment.micros.into())
            }
            _ if is_mark(name) => self.put_down().deserialize_newtype_struct(name, visitor),
            _ => visitor.visit_newtype_struct(self),
        }
    }
}
