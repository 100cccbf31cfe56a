//! What is exact, but in no words of other programs: it goes out as text and comes in as text.
//!
//! Between rows, parameters and the types of an application it keeps its kind nevertheless. The name
//! of a newtype, which the formats of others pass over, tells our own reader and writer what it is.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{Deserializer, Error, Visitor};

/// A type that is written as text.
pub(super) trait Written: Sized + FromStr {
    /// The name that our own reader and writer know.
    const MARK: &'static str;
    /// What it is, for errors.
    const WHAT: &'static str;

    /// Of the count that our own reader hands over, where it is a count.
    fn from_count(count: i128) -> Option<Self>;
}

/// Writes `$name` as text under its mark, and reads it so, or from its count.
macro_rules! written {
    ($name:ident, $mark:literal, $what:literal, |$count:ident| $of_count:expr) => {
        impl $crate::value::written::Written for $name {
            const MARK: &'static str = $mark;
            const WHAT: &'static str = $what;

            fn from_count($count: i128) -> Option<Self> {
                $of_count
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(
                &self,
                to: S,
            ) -> std::result::Result<S::Ok, S::Error> {
                to.serialize_newtype_struct(
                    <Self as $crate::value::written::Written>::MARK,
                    &format_args!("{self}"),
                )
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D>(from: D) -> std::result::Result<Self, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                $crate::value::written::Reader::read(from)
            }
        }
    };
}

pub(super) use written;

/// Takes a text, or the count that our own reader hands over.
pub(super) struct Reader<T>(PhantomData<T>);

impl<T: Written> Reader<T> {
    pub(super) fn read<'de, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        from.deserialize_newtype_struct(T::MARK, Self(PhantomData))
    }
}

impl<'de, T: Written> Visitor<'de> for Reader<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WHAT)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<T, D::Error> {
        inner.deserialize_str(self)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(|_| E::custom(format_args!("the text is not {}", T::WHAT)))
    }

    // Formats of others have no numbers of this width, so no count comes from them by mistake.
    fn visit_i128<E: Error>(self, count: i128) -> Result<T, E> {
        T::from_count(count).ok_or_else(|| E::custom(format_args!("the count is not {}", T::WHAT)))
    }
}
