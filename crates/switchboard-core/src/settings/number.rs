//! Numbers of a tree compared with the bounds of a schema, exactly where both are whole.

use std::cmp::Ordering;
use std::fmt;

use serde_json::Value as Json;

use super::Value;

/// A number of the tree or of a schema.
#[derive(Clone, Copy)]
pub(super) enum Number {
    Whole(i128),
    Float(f64),
}

impl Number {
    pub(super) fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Integer(value) => Some(Self::Whole(*value)),
            Value::Float(value) => Some(Self::Float(*value)),
            _ => None,
        }
    }

    pub(super) fn of_json(value: &Json) -> Option<Self> {
        let whole = value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from));
        // Schemas write whole bounds as `1.0` when the range was given for a float.
        whole.map(Self::Whole).or_else(|| value.as_f64().map(Self::Float))
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "compared with a float, which is no more precise"
    )]
    fn as_float(self) -> f64 {
        match self {
            Self::Whole(value) => value as f64,
            Self::Float(value) => value,
        }
    }

    // A NaN compares with nothing, and so is outside of every range.
    pub(super) fn order(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Whole(a), Self::Whole(b)) => Some(a.cmp(&b)),
            _ => self.as_float().partial_cmp(&other.as_float()),
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
        }
    }
}

/// What fits into the integer type that a `format` names.
pub(super) fn integer_bounds(format: &str) -> Option<(i128, i128)> {
    Some(match format {
        "int8" => (i8::MIN.into(), i8::MAX.into()),
        "int16" => (i16::MIN.into(), i16::MAX.into()),
        "int32" => (i32::MIN.into(), i32::MAX.into()),
        "int64" => (i64::MIN.into(), i64::MAX.into()),
        "uint8" => (0, u8::MAX.into()),
        "uint16" => (0, u16::MAX.into()),
        "uint32" => (0, u32::MAX.into()),
        "uint64" => (0, u64::MAX.into()),
        _ => return None,
    })
}

/// One keyword that bounds a number.
pub(super) struct Bound {
    pub(super) keyword: &'static str,
    pub(super) words: &'static str,
    pub(super) holds: fn(Ordering) -> bool,
}

/// Every such keyword.
pub(super) const BOUNDS: [Bound; 4] = [
    Bound { keyword: "minimum", words: "at least", holds: Ordering::is_ge },
    Bound { keyword: "maximum", words: "at most", holds: Ordering::is_le },
    Bound { keyword: "exclusiveMinimum", words: "more than", holds: Ordering::is_gt },
    Bound { keyword: "exclusiveMaximum", words: "less than", holds: Ordering::is_lt },
];
