//! What conformance suites say: whether a rule was kept, and if not, what was wrong.
//!
//! A suite is a list of rules, each a function that answers with a [`Verdict`], so that other tests can ask
//! whether a rule notices a bug.

use std::any::Any;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use switchboard_core::{Error, ErrorKind, Outcome, Result};

/// What a rule says: nothing, or what was wrong.
pub type Verdict = std::result::Result<(), Failure>;

/// What a driver did against a rule, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    what: String,
    kind: Option<ErrorKind>,
}

impl Failure {
    /// What was wrong.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), kind: None }
    }

    /// The same, and what it is about.
    #[must_use]
    pub fn about(self, subject: impl fmt::Display) -> Self {
        Self { what: format!("{subject}: {}", self.what), ..self }
    }

    /// The kind of the error, where a call failed that was not to.
    ///
    /// ```
    /// use switchboard_core::{Error, ErrorKind};
    /// use switchboard_testkit::rules::Failure;
    ///
    /// let failure = Failure::from(Error::new(ErrorKind::NotFound, "there is no such key"));
    /// assert_eq!(failure.kind(), Some(ErrorKind::NotFound));
    /// assert_eq!(Failure::new("the sum is wrong").kind(), None);
    /// ```
    pub fn kind(&self) -> Option<ErrorKind> {
        self.kind
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Failure {}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { what: format!("a call failed: {error:?}"), kind: Some(error.kind()) }
    }
}

/// What `rule` says; that it panicked, or took longer than `limit`, where it did.
///
/// ```
/// use std::time::Duration;
/// use switchboard_testkit::rules::{equal, judged};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let verdict = judged(Duration::from_secs(1), async { equal(&(1 + 1), &3, "the sum") }).await;
/// assert_eq!(verdict.unwrap_err().to_string(), "the sum: found 2, not 3");
/// # }
/// ```
pub async fn judged(limit: Duration, rule: impl Future<Output = Verdict>) -> Verdict {
    let mut rule = pin!(rule);
    let caught =
        poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| rule.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(verdict)) => Poll::Ready(verdict),
            Err(panic) => {
                Poll::Ready(Err(Failure::new(format!("it panicked: {}", words_of(&*panic)))))
            }
        });
    let late = |_| Err(Failure::new(format!("it took longer than {limit:?}")));
    tokio::time::timeout(limit, caught).await.unwrap_or_else(late)
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref().cloned()).unwrap_or_else(|| "(no message)".to_owned())
}

/// That something holds; `otherwise` says what is wrong if it does not.
pub fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(Failure::new(otherwise())) }
}

/// That two values are equal; `what` they are.
pub fn equal<T: PartialEq + fmt::Debug + ?Sized>(found: &T, expected: &T, what: &str) -> Verdict {
    ensure(found == expected, || format!("{what}: found {found:?}, not {expected:?}"))
}

/// The error that `answer` is.
pub fn failed<T: fmt::Debug>(answer: Result<T>, what: &str) -> std::result::Result<Error, Failure> {
    match answer {
        Err(error) => Ok(error),
        Ok(answer) => Err(Failure::new(format!("{what} answered {answer:?}"))),
    }
}

/// The error that `answer` is, if it is of this kind and nothing was applied.
pub fn refused<T: fmt::Debug>(
    answer: Result<T>,
    kind: ErrorKind,
    what: &str,
) -> std::result::Result<Error, Failure> {
    let error = failed(answer, what)?;
    let is_so = error.kind() == kind && error.outcome() == Outcome::NotApplied;
    ensure(is_so, || format!("{what} is to be {kind} and not applied, and is {error:?}"))?;
    Ok(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_panics_or_hangs_is_a_failure_that_says_so() {
        let limit = Duration::from_mins(1);
        let panicked = judged(limit, async { panic!("no {}", "way") }).await;
        assert_eq!(panicked.unwrap_err().to_string(), "it panicked: no way");
        let hung = judged(limit, std::future::pending()).await;
        assert_eq!(hung.unwrap_err().to_string(), "it took longer than 60s");
    }

    #[test]
    fn a_refusal_has_its_kind_and_leaves_nothing() {
        let error = || Error::new(ErrorKind::NotFound, "nothing");
        assert!(refused::<()>(Err(error().not_applied()), ErrorKind::NotFound, "it").is_ok());
        let unknown = Err(error().with_outcome(Outcome::Unknown));
        assert!(refused::<()>(unknown, ErrorKind::NotFound, "it").is_err());
        assert!(refused(Ok(7), ErrorKind::NotFound, "it").is_err());
    }
}
