//! What a column can hold and a parameter can be, whatever database it is in.

use std::fmt;

mod calendar;
mod cell;
mod convert;
mod csv;
mod decimal;
mod decode;
mod encode;
#[cfg(any(feature = "chrono", feature = "jiff", feature = "rust_decimal"))]
mod foreign;
mod fresh;
mod mismatch;
mod params;
mod row;
mod scan;
mod shown;
#[cfg(test)]
mod tests;
mod time;
mod written;

pub use decimal::Decimal;
pub(crate) use decode::Collected;
pub use decode::{FromRow, Plan};
pub use params::{IntoParams, Named, Params};
pub use row::{Column, Columns, Row};
pub use time::{Date, DateTime, Time, Timestamp};

/// One value, in words common to all databases.
///
/// Each database has more types than these; what it has beyond them comes as the nearest of these, as
/// its driver says.
#[derive(Clone, Default, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// Nothing.
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number that no `i64` holds. Smaller ones are [`Int`](Self::Int).
    UInt(u64),
    /// A floating-point number. One of single precision is the shortest decimal number that stands for it.
    Float(f64),
    /// A decimal number, exactly.
    Decimal(Decimal),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A day.
    Date(Date),
    /// A time of day, or a length of time where the database has no other type for it.
    Time(Time),
    /// A day and a time of day, in no zone.
    DateTime(DateTime),
    /// A moment.
    Timestamp(Timestamp),
    /// A UUID.
    Uuid([u8; 16]),
    /// JSON, as text.
    Json(String),
    /// Several values, where the database has arrays; in `IN (…)` everywhere.
    Array(Vec<Self>),
}

impl Value {
    /// The word for what it holds, as errors say it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Int(_) | Self::UInt(_) => "integer",
            Self::Float(_) => "float",
            Self::Decimal(_) => "decimal",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::Date(_) => "date",
            Self::Time(_) => "time",
            Self::DateTime(_) => "date and time",
            Self::Timestamp(_) => "timestamp",
            Self::Uuid(_) => "uuid",
            Self::Json(_) => "json",
            Self::Array(_) => "array",
        }
    }

    /// Whether it is nothing.
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

impl fmt::Debug for Value {
    // Values may be anybody's secrets, and end up in logs through errors and assertions.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}
