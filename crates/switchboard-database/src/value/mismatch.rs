//! Why a row is not what it is read into.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Expected, Unexpected};
use switchboard_core::{Error, ErrorKind, Outcome};

use super::Columns;
use crate::driver::context;

/// Says what was expected where, and what was found. Never a value: it may be anybody's secret, so
/// what other types say of it is left out too.
#[derive(Debug)]
pub(super) struct Mismatch(Box<Inner>);

#[derive(Debug)]
struct Inner {
    expected: Cow<'static, str>,
    found: Cow<'static, str>,
    place: Place,
    /// A type was given a map, and takes none.
    is_about_a_map: bool,
}

/// What of a row it is about.
#[derive(Debug)]
enum Place {
    Row,
    Column(usize),
    /// A column that is not there.
    Missing(Cow<'static, str>),
}

impl Mismatch {
    pub(super) fn new(
        expected: impl Into<Cow<'static, str>>,
        found: impl Into<Cow<'static, str>>,
    ) -> Self {
        let (expected, found) = (expected.into(), found.into());
        Self(Box::new(Inner { expected, found, place: Place::Row, is_about_a_map: false }))
    }

    /// There is no column of that name.
    pub(super) fn missing(name: impl Into<Cow<'static, str>>) -> Self {
        let mut missing = Self::new("a column of this name", "none");
        missing.0.place = Place::Missing(name.into());
        missing
    }

    /// The driver cannot read a value, and says why itself.
    pub(super) fn unreadable() -> Self {
        Self::new("a value", "one that the driver does not read")
    }

    /// Whether the type that the row is read into takes no map.
    pub(super) fn is_about_a_map(&self) -> bool {
        self.0.is_about_a_map && matches!(self.0.place, Place::Row)
    }

    /// The same about the column that stands there, unless it is about one already.
    pub(super) fn in_column(mut self, index: usize) -> Self {
        if let Place::Row = self.0.place {
            self.0.place = Place::Column(index);
        }
        self
    }

    /// The error about a row of these columns.
    ///
    /// It is an *answer*: the database works, and the same question ends in the same way, so no
    /// breaker counts it and nothing is tried again. It is `Corrupt`, as a cached value of another
    /// type is, and not `InvalidInput`, which would put the blame on whoever sent the parameters.
    /// The statement itself has run, so its effect was applied.
    pub(super) fn into_error(self, columns: &Columns) -> Error {
        let Inner { expected, found, place, .. } = *self.0;
        let mut error = Error::new(ErrorKind::Corrupt, MESSAGE).with_outcome(Outcome::Applied);
        let column = if let Place::Column(index) = place { columns.get(index) } else { None };
        if let Some(column) = column {
            error = error.with_context(context::COLUMN, &column.name);
        }
        if let Place::Missing(name) = &place {
            error = error.with_context(context::COLUMN, name);
        }
        error = error.with_context("expected", expected).with_context("found", found);
        if let Some(type_name) = column.and_then(|column| column.type_name.as_deref()) {
            error = error.with_context("type", type_name);
        }
        if let Place::Missing(_) = place {
            error = error.with_context("columns", names(columns));
        }
        error
    }
}

impl de::Error for Mismatch {
    fn custom<T: fmt::Display>(_message: T) -> Self {
        Self::new("a value that the type accepts", "one that it refuses")
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let mut mismatch = Self::new(expected.to_string(), kind(&found));
        mismatch.0.is_about_a_map = found == Unexpected::Map;
        mismatch
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(expected.to_string(), format!("another {}", kind(&found)))
    }

    fn invalid_length(found: usize, expected: &dyn Expected) -> Self {
        Self::new(expected.to_string(), format!("{found} of them"))
    }

    fn unknown_variant(_found: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format!("one of {}", expected.join(", ")), "another text")
    }

    fn unknown_field(found: &str, expected: &'static [&'static str]) -> Self {
        let expected = format!("only the columns {}", expected.join(", "));
        Self::new(expected, format!("a column {found}"))
    }

    fn missing_field(name: &'static str) -> Self {
        Self::missing(name)
    }

    fn duplicate_field(name: &'static str) -> Self {
        Self::new(format!("one column for {name}"), "several")
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}, found {}", self.0.expected, self.0.found)
    }
}

impl std::error::Error for Mismatch {}

/// The word for what another type was given.
fn kind(found: &Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Bool(_) => "bool",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "integer",
        Unexpected::Float(_) => "float",
        Unexpected::Char(_) | Unexpected::Str(_) => "text",
        Unexpected::Bytes(_) => "bytes",
        Unexpected::Unit | Unexpected::Option => "null",
        Unexpected::Seq => "array",
        Unexpected::Map => "row",
        _ => "value",
    }
}

fn names(columns: &Columns) -> String {
    let names: Vec<&str> = columns.iter().map(|column| &*column.name).collect();
    names.join(", ")
}

const MESSAGE: &str = "the row is not what it is read into";
