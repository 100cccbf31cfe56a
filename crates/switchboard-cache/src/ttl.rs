//! How long a value may be served: for a time, or for good.
//!
//! A number of seconds cannot say "for good" without a magic value, and zero says nothing that
//! `forget` does not say better. So the time is checked here, once, and drivers rely on it.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use switchboard_core::{Error, ErrorKind, Result};

/// How long a value may be served.
///
/// ```
/// use std::num::NonZeroU32;
/// use std::time::Duration;
/// use switchboard_cache::Ttl;
///
/// const SESSION: Ttl = Ttl::minutes(NonZeroU32::new(20).unwrap());
///
/// assert_eq!(SESSION, Ttl::after(Duration::from_secs(1200))?);
/// assert_eq!(Ttl::Forever.duration(), None);
/// assert!(Ttl::after(Duration::ZERO).is_err());
/// # Ok::<(), switchboard_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ttl {
    /// Until it is forgotten, replaced or evicted.
    Forever,
    /// Until that time has passed.
    After(Span),
}

/// A time that is longer than nothing and no longer than [`Ttl::LONGEST`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span(Duration);

impl Ttl {
    /// The longest time, a hundred years: every service and every clock can still count it.
    pub const LONGEST: Duration = Duration::from_hours(100 * 365 * 24);

    /// For `time`. Nothing at all, and more than [`LONGEST`](Self::LONGEST), is an error.
    ///
    /// A service that counts in larger steps rounds up: Redis counts milliseconds.
    pub fn after(time: Duration) -> Result<Self> {
        if time.is_zero() {
            return Err(Error::new(ErrorKind::InvalidInput, "a time to live is zero")
                .with_hint("use `forget` to remove a value"));
        }
        if time > Self::LONGEST {
            return Err(Error::new(ErrorKind::InvalidInput, "a time to live is too long")
                .with_context("longest", format_args!("{:?}", Self::LONGEST))
                .with_hint("use `Ttl::Forever` for a value that does not expire"));
        }
        Ok(Self::After(Span(time)))
    }

    /// For so many seconds; more than [`LONGEST`](Self::LONGEST) counts as that.
    pub const fn seconds(count: NonZeroU32) -> Self {
        Self::whole(count, 1)
    }

    /// For so many minutes; more than [`LONGEST`](Self::LONGEST) counts as that.
    pub const fn minutes(count: NonZeroU32) -> Self {
        Self::whole(count, 60)
    }

    /// For so many hours; more than [`LONGEST`](Self::LONGEST) counts as that.
    pub const fn hours(count: NonZeroU32) -> Self {
        Self::whole(count, 3600)
    }

    /// For so many days; more than [`LONGEST`](Self::LONGEST) counts as that.
    pub const fn days(count: NonZeroU32) -> Self {
        Self::whole(count, 24 * 3600)
    }

    /// The time, or `None` for good.
    pub const fn duration(self) -> Option<Duration> {
        match self {
            Self::Forever => None,
            Self::After(span) => Some(span.get()),
        }
    }

    const fn whole(count: NonZeroU32, unit_seconds: u64) -> Self {
        // Fits: no `u32` of days has more seconds than a `u64`.
        let seconds = count.get() as u64 * unit_seconds;
        let longest = Self::LONGEST.as_secs();
        Self::After(Span(Duration::from_secs(if seconds < longest { seconds } else { longest })))
    }
}

impl Span {
    /// The time itself.
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl TryFrom<Duration> for Ttl {
    type Error = Error;

    fn try_from(time: Duration) -> Result<Self> {
        Self::after(time)
    }
}

impl From<Span> for Ttl {
    fn from(span: Span) -> Self {
        Self::After(span)
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        span.0
    }
}

impl fmt::Display for Ttl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forever => f.write_str("forever"),
            Self::After(span) => write!(f, "{span}"),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_and_more_than_a_hundred_years_are_refused() {
        for refused in [Duration::ZERO, Ttl::LONGEST + Duration::from_nanos(1), Duration::MAX] {
            assert_eq!(Ttl::after(refused).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        assert_eq!(Ttl::after(Ttl::LONGEST).unwrap().duration(), Some(Ttl::LONGEST));
    }

    #[test]
    fn whole_units_never_exceed_the_longest() {
        assert_eq!(Ttl::hours(NonZeroU32::MIN).duration(), Some(Duration::from_hours(1)));
        assert_eq!(Ttl::days(NonZeroU32::MAX).duration(), Some(Ttl::LONGEST));
    }

    #[test]
    fn it_is_shown_in_words() {
        assert_eq!(Ttl::Forever.to_string(), "forever");
        assert_eq!(Ttl::after(Duration::from_millis(1500)).unwrap().to_string(), "1.5s");
    }
}
