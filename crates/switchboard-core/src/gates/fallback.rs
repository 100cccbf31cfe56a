//! What to answer in place of a call that could not be served: the outermost of all.
//!
//! Sees why the call failed, and only where the service could not be had: what a service answered,
//! and what the program got wrong, is the caller's to know. Nothing guards the fallback itself.

use std::fmt;

use crate::{Class, Error, ErrorKind, Gate, Result};

/// Why a call could not be served, as far as a fallback may want to tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The breaker is open.
    Open,
    /// Too many calls in too short a time, here or at the service.
    Limited,
    /// Too many calls at once, here or at the service.
    Full,
    /// No answer came in time.
    TimedOut,
    /// The service could not be reached, or failed.
    Failed,
}

impl Cause {
    /// Why the call failed; `None` where no fallback is called for.
    ///
    /// ```
    /// use switchboard_core::{Cause, Error, ErrorKind};
    ///
    /// let late = Error::new(ErrorKind::Timeout, "no answer");
    /// assert_eq!(Cause::of(&late), Some(Cause::TimedOut));
    /// let missing = Error::new(ErrorKind::NotFound, "no such key");
    /// assert_eq!(Cause::of(&missing), None);
    /// ```
    pub fn of(error: &Error) -> Option<Self> {
        if error.class() != Class::Outage {
            return None;
        }
        Some(match (error.gate(), error.kind()) {
            (Some(Gate::Breaker), _) => Self::Open,
            (_, ErrorKind::RateLimited) => Self::Limited,
            (_, ErrorKind::Overloaded) => Self::Full,
            (_, ErrorKind::Timeout) => Self::TimedOut,
            _ => Self::Failed,
        })
    }

    /// The word used in logs and figures.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Limited => "limited",
            Self::Full => "full",
            Self::TimedOut => "timed out",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The answer of `call`, or what `instead` makes of it where it could not be served.
///
/// An error of `instead` reaches the caller with the one of the call beside it.
///
/// ```
/// use switchboard_core::{Error, ErrorKind, with_fallback};
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// let call = async { Err(Error::new(ErrorKind::Unavailable, "no connection")) };
/// let price = with_fallback(call, |_cause, _error| async { Ok(100) }).await?;
/// assert_eq!(price, 100);
/// # switchboard_core::Result::<()>::Ok(()) }).unwrap();
/// ```
pub async fn with_fallback<T, F, Fut>(
    call: impl Future<Output = Result<T>>,
    instead: F,
) -> Result<T>
where
    F: FnOnce(Cause, Error) -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let error = match call.await {
        Ok(answer) => return Ok(answer),
        Err(error) => error,
    };
    match Cause::of(&error) {
        Some(cause) => {
            instead(cause, error.clone()).await.map_err(|second| second.with_related([error]))
        }
        None => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn fall(error: Error) -> Result<Cause> {
        with_fallback(async { Err(error) }, |cause, _| async move { Ok(cause) }).await
    }

    #[tokio::test]
    async fn a_fallback_sees_why_the_call_failed() {
        let refused = |gate| Error::refused(gate, "refused");
        assert_eq!(fall(refused(Gate::Breaker)).await.unwrap(), Cause::Open);
        assert_eq!(fall(refused(Gate::RateLimit)).await.unwrap(), Cause::Limited);
        assert_eq!(fall(refused(Gate::Bulkhead)).await.unwrap(), Cause::Full);
        assert_eq!(fall(refused(Gate::Deadline)).await.unwrap(), Cause::TimedOut);
        let lost = Error::new(ErrorKind::Unavailable, "connection lost");
        assert_eq!(fall(lost).await.unwrap(), Cause::Failed);
    }

    #[tokio::test]
    async fn answers_and_mistakes_of_the_program_reach_the_caller() {
        for kind in ErrorKind::ALL.iter().filter(|kind| kind.class() != Class::Outage) {
            let error = fall(Error::new(*kind, "said so")).await.unwrap_err();
            assert_eq!(error.kind(), *kind);
        }
    }

    #[tokio::test]
    async fn when_the_fallback_fails_too_both_errors_are_kept() {
        let call = async { Err::<(), _>(Error::new(ErrorKind::Timeout, "late")) };
        let both = with_fallback(call, |_, _| async {
            Err(Error::new(ErrorKind::NotFound, "nothing kept"))
        });
        let error = both.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.related()[0].kind(), ErrorKind::Timeout);
    }
}
