//! Constraints that were violated, as errors tell of them.

use std::fmt;

use switchboard_core::{Error, ErrorKind};

use crate::driver::context;

/// Which sort of constraint a statement violated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Violation {
    /// There is such a row already. [`ErrorKind::AlreadyExists`].
    Unique,
    /// The row referred to is not there, or is referred to. [`ErrorKind::PreconditionFailed`].
    ForeignKey,
    /// A condition of the table does not hold. [`ErrorKind::InvalidInput`].
    Check,
    /// A value is missing; the constraint is called after its column. [`ErrorKind::InvalidInput`].
    NotNull,
}

impl Violation {
    /// Every sort.
    pub const ALL: &'static [Self] = &[Self::Unique, Self::ForeignKey, Self::Check, Self::NotNull];

    /// The word in errors and figures.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unique => "unique",
            Self::ForeignKey => "foreign key",
            Self::Check => "check",
            Self::NotNull => "not null",
        }
    }

    /// The violation that `error` is about, if it is about one.
    ///
    /// ```
    /// use switchboard_core::ErrorKind;
    /// use switchboard_database::Violation;
    ///
    /// let error = Violation::Unique.error(Some("users_email_key"));
    /// assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    /// assert_eq!(Violation::of(&error), Some(Violation::Unique));
    /// assert_eq!(error.context_value("constraint"), Some("users_email_key"));
    /// ```
    pub fn of(error: &Error) -> Option<Self> {
        let told = error.context_value(context::VIOLATION)?;
        Self::ALL.iter().copied().find(|violation| violation.as_str() == told)
    }

    /// The error of a driver that met it; nothing was applied.
    pub fn error(self, constraint: Option<&str>) -> Error {
        let (kind, message) = match self {
            Self::Unique => (ErrorKind::AlreadyExists, "there is a row with these values already"),
            Self::ForeignKey => (
                ErrorKind::PreconditionFailed,
                "a row that is referred to is missing, or is still referred to",
            ),
            Self::Check => (ErrorKind::InvalidInput, "a condition of the table does not hold"),
            Self::NotNull => (ErrorKind::InvalidInput, "a value is missing"),
        };
        let error = Error::new(kind, message).not_applied().with_context(context::VIOLATION, self);
        match constraint.filter(|name| !name.is_empty()) {
            Some(name) => error.with_context(context::CONSTRAINT, name),
            None => error,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
