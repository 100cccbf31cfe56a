//! The one error type of the product.
//!
//! An error answers three questions: what happened ([`Error::kind`]), is it worth trying again
//! ([`Error::retry`]) and may the effect have happened ([`Error::outcome`]). Who it happened to
//! ([`Error::place`]) is filled in by the line, never by a driver. Everything else is prose for a
//! person. It does not decide what to do: the gates do.

mod kind;

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use kind::{Class, ErrorKind, Gate, Outcome, Retry};

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, whether to try again, and whether the effect may have happened.
///
/// One pointer wide and cheap to clone, so that every waiter of a failed creation gets the same
/// error. `Display` is one line for logs; `Debug` is a report for people.
///
/// ```
/// use switchboard_core::{Error, ErrorKind, Outcome, Retry};
///
/// let error = Error::new(ErrorKind::Unavailable, "the server did not answer")
///     .with_context("address", "127.0.0.1:6379")
///     .with_hint("is the server running?")
///     .not_applied();
///
/// assert_eq!(error.kind(), ErrorKind::Unavailable);
/// assert_eq!(error.retry(), Retry::Later);
/// assert_eq!(error.outcome(), Outcome::NotApplied);
/// assert_eq!(
///     error.to_string(),
///     "unavailable: the server did not answer (address: 127.0.0.1:6379); is the server running?",
/// );
/// ```
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    retry: Retry,
    outcome: Outcome,
    message: Cow<'static, str>,
    place: Option<Place>,
    gate: Option<Gate>,
    context: Vec<(&'static str, String)>,
    hints: Vec<Cow<'static, str>>,
    related: Vec<Error>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// Where an error happened: subsystem, instance, driver, operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The subsystem: `cache`.
    pub subsystem: &'static str,
    /// The instance: `sessions`.
    pub instance: Arc<str>,
    /// The driver that served it, once there was one: `redis`.
    pub driver: Option<&'static str>,
    /// What was asked: `get`, `build`.
    pub operation: &'static str,
}

impl Error {
    /// An error of `kind`, with the retry advice and the outcome that are usual for it.
    ///
    /// `message` is lower case, without a full stop, in the words of the person who can fix it.
    /// Values go into [`with_context`](Self::with_context), advice into
    /// [`with_hint`](Self::with_hint).
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Arc::new(Inner {
            kind,
            retry: kind.usual_retry(),
            outcome: kind.usual_outcome(),
            message: message.into(),
            place: None,
            gate: None,
            context: Vec::new(),
            hints: Vec::new(),
            related: Vec::new(),
            source: None,
        }))
    }

    /// The refusal of a gate: nothing was called, so nothing was applied.
    #[must_use]
    pub fn refused(gate: Gate, message: impl Into<Cow<'static, str>>) -> Self {
        let mut error = Self::new(gate.refusal_kind(), message);
        let inner = error.inner_mut();
        inner.gate = Some(gate);
        inner.outcome = Outcome::NotApplied;
        error
    }

    /// One error for several that happened together; none of them is lost.
    ///
    /// The kind is the one they share, else [`ErrorKind::Unavailable`] when all are outages, else
    /// [`ErrorKind::Unexpected`]. The outcome is the most worrying one.
    #[must_use]
    pub fn joined(message: impl Into<Cow<'static, str>>, errors: Vec<Self>) -> Self {
        let mut joined = Self::new(shared_kind(&errors), message);
        let outcome = errors.iter().map(Self::outcome).max().unwrap_or(Outcome::NotApplied);
        let retry = errors.iter().map(Self::retry).reduce(Retry::sooner).unwrap_or(Retry::Never);
        let inner = joined.inner_mut();
        inner.outcome = outcome;
        inner.retry = retry;
        inner.related = errors;
        joined
    }

    /// What happened, in words common to all backends.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether another try may help.
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// Whether the effect may have happened.
    pub fn outcome(&self) -> Outcome {
        self.0.outcome
    }

    /// Whether the backend answered, failed, or was never the problem.
    pub fn class(&self) -> Class {
        self.0.kind.class()
    }

    /// What went wrong, without place, context or hints.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Who it happened to, once it has passed a line.
    pub fn place(&self) -> Option<&Place> {
        self.0.place.as_ref()
    }

    /// The gate that refused the call, or that ended it: a time-out may come after a backend was
    /// asked, and [`outcome`](Self::outcome) says so.
    pub fn gate(&self) -> Option<Gate> {
        self.0.gate
    }

    /// Values that belong to the message, in the order they were added.
    pub fn context(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.context.iter().map(|(key, value)| (*key, value.as_str()))
    }

    /// The first value added under `key`.
    pub fn context_value(&self, key: &str) -> Option<&str> {
        self.context().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// What a person could do about it.
    pub fn hints(&self) -> impl Iterator<Item = &str> {
        self.0.hints.iter().map(AsRef::as_ref)
    }

    /// The errors this one joins, or the earlier attempts that led to it.
    pub fn related(&self) -> &[Self] {
        &self.0.related
    }

    /// The first error of type `E` in the chain of sources.
    pub fn find<E: StdError + 'static>(&self) -> Option<&E> {
        let mut next = StdError::source(self);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            next = error.source();
        }
        None
    }

    /// The same error with a value that belongs to the message.
    #[must_use]
    pub fn with_context(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        self.inner_mut().context.push((key, value.to_string()));
        self
    }

    /// The same error with advice for a person.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.inner_mut().hints.push(hint.into());
        self
    }

    /// The same error caused by `source`, whose text must not hold a secret.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.inner_mut().source = Some(Arc::from(source.into()));
        self
    }

    /// The same error, with others that happened on the way to it.
    #[must_use]
    pub fn with_related(mut self, errors: impl IntoIterator<Item = Self>) -> Self {
        self.inner_mut().related.extend(errors);
        self
    }

    /// The same error with other retry advice.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.inner_mut().retry = retry;
        self
    }

    /// The same error; a later try may succeed.
    #[must_use]
    pub fn retry_later(self) -> Self {
        self.with_retry(Retry::Later)
    }

    /// The same error; the service asked to wait this long before the next try.
    #[must_use]
    pub fn retry_after(self, delay: Duration) -> Self {
        self.with_retry(Retry::After(delay))
    }

    /// The same error with another outcome.
    #[must_use]
    pub fn with_outcome(mut self, outcome: Outcome) -> Self {
        self.inner_mut().outcome = outcome;
        self
    }

    /// The same error; the effect certainly did not happen.
    #[must_use]
    pub fn not_applied(self) -> Self {
        self.with_outcome(Outcome::NotApplied)
    }

    /// The same error of a call that was tried before, when that may have had its effect.
    #[must_use]
    pub fn in_doubt(self) -> Self {
        match self.outcome() {
            Outcome::NotApplied => self.with_outcome(Outcome::Unknown),
            _ => self,
        }
    }

    /// The same error with the place it happened at, unless an inner line has named one already.
    #[must_use]
    pub fn at(mut self, place: impl FnOnce() -> Place) -> Self {
        if self.0.place.is_none() {
            self.inner_mut().place = Some(place());
        }
        self
    }

    /// Whether it is the very same error, and not one that only looks alike.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    fn inner_mut(&mut self) -> &mut Inner {
        Arc::make_mut(&mut self.0)
    }

    fn write_report(&self, f: &mut fmt::Formatter<'_>, indent: usize) -> fmt::Result {
        let inner = &*self.0;
        self.write_headline(f)?;
        write!(
            f,
            "\n{:indent$}  {}, retry {}, outcome {}",
            "", inner.kind, inner.retry, inner.outcome
        )?;
        if let Some(gate) = inner.gate {
            write!(f, ", refused by the {gate}")?;
        }
        for (key, value) in &inner.context {
            write!(f, "\n{:indent$}  {key}: {}", "", OneLine(value))?;
        }
        for hint in &inner.hints {
            write!(f, "\n{:indent$}  hint: {}", "", OneLine(hint))?;
        }
        let mut source = StdError::source(self);
        while let Some(error) = source {
            write!(f, "\n{:indent$}  caused by: {}", "", OneLine(&error.to_string()))?;
            source = error.source();
        }
        for related in &inner.related {
            write!(f, "\n{:indent$}  with: ", "")?;
            related.write_report(f, indent + 4)?;
        }
        Ok(())
    }

    fn write_headline(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.0.place {
            write!(f, "{place}: ")?;
        }
        write!(f, "{}: {}", self.0.kind, OneLine(&self.0.message))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_headline(f)?;
        for (index, (key, value)) in self.0.context.iter().enumerate() {
            let opening = if index == 0 { " (" } else { ", " };
            write!(f, "{opening}{key}: {}", OneLine(value))?;
        }
        if !self.0.context.is_empty() {
            write!(f, ")")?;
        }
        for hint in &self.0.hints {
            write!(f, "; {}", OneLine(hint))?;
        }
        for (index, related) in self.0.related.iter().enumerate() {
            let opening = if index == 0 { " [" } else { "; " };
            write!(f, "{opening}{related}")?;
        }
        if !self.0.related.is_empty() {
            write!(f, "]")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_report(f, 0)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.subsystem, self.instance)?;
        if let Some(driver) = self.driver {
            write!(f, " ({driver})")?;
        }
        write!(f, " {}", self.operation)
    }
}

/// Text from outside, kept on one line of a log.
struct OneLine<'a>(&'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some(at) = rest.find(char::is_control) {
            write!(f, "{} ", &rest[..at])?;
            let control = rest[at..].chars().next().map_or(1, char::len_utf8);
            rest = &rest[at + control..];
        }
        f.write_str(rest)
    }
}

fn shared_kind(errors: &[Error]) -> ErrorKind {
    let Some(first) = errors.first() else { return ErrorKind::Unexpected };
    if errors.iter().all(|error| error.kind() == first.kind()) {
        return first.kind();
    }
    if errors.iter().all(|error| error.class() == Class::Outage) {
        return ErrorKind::Unavailable;
    }
    ErrorKind::Unexpected
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place {
            subsystem: "cache",
            instance: "sessions".into(),
            driver: Some("redis"),
            operation: "get",
        }
    }

    #[test]
    fn an_error_is_one_pointer_wide() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
        assert_eq!(size_of::<Option<Error>>(), size_of::<usize>());
    }

    #[test]
    fn display_is_one_line_whatever_the_backend_said() {
        let error = Error::new(ErrorKind::Unavailable, "first\r\nsecond\u{85}third")
            .with_context("reply", "a\nb")
            .with_related([Error::new(ErrorKind::Timeout, "x\ny")])
            .at(place);
        let line = error.to_string();
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert!(line.starts_with("cache.sessions (redis) get: unavailable: first"), "{line}");
    }

    #[test]
    fn the_innermost_place_is_kept() {
        let outer = Place { subsystem: "mail", ..place() };
        let error = Error::new(ErrorKind::NotFound, "gone").at(place).at(|| outer);
        assert_eq!(error.place().map(|place| place.subsystem), Some("cache"));
    }

    #[test]
    fn a_clone_that_is_changed_leaves_the_original_alone() {
        let original = Error::new(ErrorKind::Timeout, "late");
        let changed = original.clone().with_context("after", "1s").not_applied();
        assert_eq!(original.context().count(), 0);
        assert_eq!(original.outcome(), Outcome::Unknown);
        assert_eq!(changed.context_value("after"), Some("1s"));
    }

    #[test]
    fn the_source_keeps_its_identity() {
        let io = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let error = Error::new(ErrorKind::Unavailable, "no connection").with_source(io);
        let found = error.clone().find::<std::io::Error>().map(std::io::Error::kind);
        assert_eq!(found, Some(std::io::ErrorKind::ConnectionRefused));
    }

    #[test]
    fn joined_errors_keep_every_child_and_the_most_worrying_outcome() {
        let refused = Error::refused(Gate::Breaker, "open");
        let late = Error::new(ErrorKind::Timeout, "late");
        let joined = Error::joined("no member answered", vec![refused, late]);
        assert_eq!(joined.kind(), ErrorKind::Unavailable);
        assert_eq!(joined.outcome(), Outcome::Unknown);
        assert_eq!(joined.related().len(), 2);
        assert!(joined.to_string().contains("open; timeout: late"), "{joined}");
    }

    #[test]
    fn the_report_shows_chain_hints_and_related_errors() {
        let error = Error::new(ErrorKind::Unavailable, "no connection")
            .with_source(std::io::Error::other("refused"))
            .with_hint("start it")
            .with_related([Error::new(ErrorKind::Timeout, "first try")])
            .at(place);
        let expected = "cache.sessions (redis) get: unavailable: no connection\n  \
                        unavailable, retry later, outcome unknown\n  \
                        hint: start it\n  \
                        caused by: refused\n  \
                        with: timeout: first try\n      \
                        timeout, retry later, outcome unknown";
        assert_eq!(format!("{error:?}"), expected);
    }

    #[test]
    fn answers_are_never_retried_and_never_in_doubt() {
        for kind in ErrorKind::ALL.iter().filter(|kind| kind.class() == Class::Answer) {
            let error = Error::new(*kind, "answered");
            assert_eq!(error.retry(), Retry::Never, "{kind}");
            assert_eq!(error.outcome(), Outcome::NotApplied, "{kind}");
        }
    }
}
