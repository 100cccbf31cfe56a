//! What becomes a value: the types of Rust, one by one.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use switchboard_core::{Error, ErrorKind, Result};

use super::{Date, DateTime, Decimal, Time, Timestamp, Value};

impl Value {
    /// A UUID of these bytes.
    pub const fn uuid(bytes: [u8; 16]) -> Self {
        Self::Uuid(bytes)
    }

    /// Several values as one.
    ///
    /// A vector or a slice of a common type becomes one by itself, save bytes, which are
    /// [`Bytes`](Self::Bytes).
    ///
    /// ```
    /// use switchboard_database::Value;
    ///
    /// assert_eq!(Value::array(1..=2), Value::from(vec![1, 2]));
    /// assert_eq!(Value::from(vec![1_u8, 2]), Value::Bytes(vec![1, 2]));
    /// ```
    pub fn array<V: Into<Self>>(values: impl IntoIterator<Item = V>) -> Self {
        Self::Array(values.into_iter().map(Into::into).collect())
    }

    /// Anything as JSON.
    ///
    /// ```
    /// use switchboard_database::Value;
    ///
    /// let tags = Value::json(&["new", "red"])?;
    /// assert_eq!(tags, Value::Json(r#"["new","red"]"#.to_owned()));
    /// # Ok::<(), switchboard_core::Error>(())
    /// ```
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self> {
        // What the other library says may have the value in it.
        let refuse = |_| Error::new(ErrorKind::InvalidInput, "the value cannot be written as JSON");
        serde_json::to_string(value).map(Self::Json).map_err(refuse)
    }
}

/// Types that become a value in one step, alone or several in a row.
macro_rules! values {
    ($($from:ty: |$value:ident| $into:expr;)*) => {$(
        impl From<$from> for Value {
            fn from($value: $from) -> Self {
                $into
            }
        }

        impl From<Vec<$from>> for Value {
            fn from(values: Vec<$from>) -> Self {
                Self::array(values)
            }
        }

        impl From<&[$from]> for Value {
            fn from(values: &[$from]) -> Self {
                Self::array(values.iter().cloned())
            }
        }

        impl<const N: usize> From<[$from; N]> for Value {
            fn from(values: [$from; N]) -> Self {
                Self::array(values)
            }
        }

        impl<const N: usize> From<&[$from; N]> for Value {
            fn from(values: &[$from; N]) -> Self {
                Self::from(&values[..])
            }
        }
    )*};
}

values! {
    bool: |value| Self::Bool(value);
    i8: |value| Self::Int(value.into());
    i16: |value| Self::Int(value.into());
    i32: |value| Self::Int(value.into());
    i64: |value| Self::Int(value);
    i128: |value| whole_number(value);
    isize: |value| whole_number(value);
    u16: |value| Self::Int(value.into());
    u32: |value| Self::Int(value.into());
    u64: |value| i64::try_from(value).map_or(Self::UInt(value), Self::Int);
    u128: |value| whole_number(value);
    usize: |value| whole_number(value);
    f32: |value| Self::Float(shortest(value));
    f64: |value| Self::Float(value);
    char: |value| Self::Text(value.into());
    String: |value| Self::Text(value);
    &str: |value| Self::Text(value.to_owned());
    Decimal: |value| Self::Decimal(value);
    Date: |value| Self::Date(value);
    Time: |value| Self::Time(value);
    DateTime: |value| Self::DateTime(value);
    Timestamp: |value| Self::Timestamp(value);
    serde_json::Value: |value| Self::Json(value.to_string());
}

/// Types that become a value in one step.
macro_rules! single_values {
    ($($from:ty: |$value:ident| $into:expr;)*) => {$(
        impl From<$from> for Value {
            fn from($value: $from) -> Self {
                $into
            }
        }
    )*};
}

single_values! {
    u8: |value| Self::Int(value.into());
    &String: |value| Self::Text(value.clone());
    Box<str>: |value| Self::Text(value.into());
    Arc<str>: |value| Self::Text((*value).to_owned());
    Cow<'_, str>: |value| Self::Text(value.into_owned());
    Vec<u8>: |value| Self::Bytes(value);
    &[u8]: |value| Self::Bytes(value.to_owned());
    Bytes: |value| Self::Bytes(value.into());
    &Self: |value| value.clone();
    Vec<Self>: |value| Self::Array(value);
}

impl<const N: usize> From<[u8; N]> for Value {
    fn from(bytes: [u8; N]) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl<const N: usize> From<&[u8; N]> for Value {
    fn from(bytes: &[u8; N]) -> Self {
        Self::Bytes(bytes.into())
    }
}

#[cfg(feature = "uuid")]
impl From<uuid::Uuid> for Value {
    fn from(id: uuid::Uuid) -> Self {
        Self::Uuid(id.into_bytes())
    }
}

impl<V: Into<Self>> From<Option<V>> for Value {
    fn from(value: Option<V>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// The narrowest kind that holds the number.
pub(super) fn whole_number<N>(number: N) -> Value
where
    N: Copy + ToString + TryInto<i64> + TryInto<u64>,
{
    if let Ok(number) = TryInto::<i64>::try_into(number) {
        return Value::Int(number);
    }
    match TryInto::<u64>::try_into(number) {
        Ok(number) => Value::UInt(number),
        Err(_) => Value::Decimal(Decimal::from_text(number.to_string())),
    }
}

/// The shortest decimal number that stands for it: `0.1`, and not what its bits are exactly.
pub(super) fn shortest(single: f32) -> f64 {
    single.to_string().parse().unwrap_or_else(|_| single.into())
}
