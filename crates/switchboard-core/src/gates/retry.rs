//! Whether a failed attempt is made again, and when.
//!
//! Decides and nothing else: it does not wait, call or count. The loop that does asks the budget
//! and the breaker too, and reports why it stopped with the same [`Why`].

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use super::budget::BudgetPolicy;
use super::mistakes::Mistakes;
use crate::settings::{DurationText, UnitError};
use crate::{Class, Clock, Effect, Error, Gate, Outcome, Result, Retry};

/// How often and how soon a failed call is made again.
///
/// ```
/// use switchboard_core::{Clock, Decision, Effect, Error, ErrorKind, RetryPolicy, Why};
///
/// let policy = RetryPolicy::default();
/// let clock = Clock::system();
/// let error = Error::new(ErrorKind::Unavailable, "no connection");
/// let next = |attempt| policy.next(attempt, Effect::Read, &error, clock.now(), None, &clock);
///
/// assert!(matches!(next(1), Decision::RetryAfter(_)));
/// assert_eq!(next(3), Decision::Stop(Why::AttemptsUsedUp));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetryPolicy {
    /// How many attempts there are in all, the first one included; with one, nothing is retried.
    pub attempts: u32,
    /// How long to wait before the next attempt.
    pub backoff: Backoff,
    /// How waits are spread, so that callers who failed together do not come back together.
    pub jitter: Jitter,
    /// Whether each retry takes a token of the rate limiter too. Otherwise its limit holds for
    /// calls and not for what the service sees.
    pub charge_limiter: bool,
    /// What all retries of the line together may cost.
    pub budget: BudgetPolicy,
}

/// The wait before an attempt: up to `first` before the second one, up to twice as long before each
/// further one, never above `max` unless the service asks for more. Written `20ms..1s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The longest wait before the second attempt.
    pub first: Duration,
    /// The longest wait of all.
    pub max: Duration,
}

/// How a wait is spread at random.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Jitter {
    /// Anything from nothing to the whole of it.
    #[default]
    Full,
    /// Anything from half of it to the whole of it.
    Equal,
    /// The whole of it, always.
    None,
}

/// What to do after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Wait this long, then try again.
    RetryAfter(Duration),
    /// Give the error to the caller.
    Stop(Why),
}

/// Why a call is not made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Why {
    /// The service answered, the program is wrong, or the caller left: no outage.
    NoOutage,
    /// The error says that another try fails as well.
    Hopeless,
    /// Somebody further in has made all the retries that make sense.
    RetriedBelow,
    /// Doing it twice might do it twice.
    EffectUnsafe,
    /// The breaker is open.
    BreakerOpen,
    /// All attempts were made.
    AttemptsUsedUp,
    /// The next attempt would start after the deadline.
    NoTimeLeft,
    /// The budget for retries is spent.
    BudgetEmpty,
    /// The rate limiter had no token for another attempt.
    RateLimited,
    /// The bulkhead had no slot for another attempt.
    BulkheadFull,
    /// What the call was made with is used up.
    BodyUsedUp,
    /// The operation is never retried.
    NeverRetried,
}

impl RetryPolicy {
    /// What to do after `attempts_made` attempts, the last of which failed with `error`.
    ///
    /// Only outages are retried, and only if that is safe: an error that says nothing happened
    /// always is, one that leaves it open needs an effect that can be repeated. A service that
    /// asks for time gets it, never less than the own back-off. An attempt that could not start
    /// before `deadline` is not waited for; a caller who knows how long an attempt usually takes
    /// hands in a deadline that is earlier by so much.
    pub fn next(
        &self,
        attempts_made: u32,
        effect: Effect,
        error: &Error,
        now: Instant,
        deadline: Option<Instant>,
        clock: &Clock,
    ) -> Decision {
        if let Some(why) = futile(effect, error) {
            return Decision::Stop(why);
        }
        if attempts_made >= self.attempts {
            return Decision::Stop(Why::AttemptsUsedUp);
        }
        let delay = self.delay(attempts_made, error, clock);
        if !starts_in_time(now, delay, deadline) {
            return Decision::Stop(Why::NoTimeLeft);
        }
        Decision::RetryAfter(delay)
    }

    /// The error a caller gets when no further attempt follows.
    ///
    /// Once retries were made, or the shared budget was too low for one, nobody further out should
    /// start over: three layers of three attempts would be twenty-seven. The error says so. It also says
    /// that there was no retry because of the effect, which nobody would guess from a policy with retries.
    #[must_use]
    pub fn give_up(error: Error, attempts_made: u32, why: Why) -> Error {
        if attempts_made == 1 && why == Why::EffectUnsafe {
            return error.with_context("stopped", why);
        }
        let was_retried = attempts_made > 1 || why == Why::BudgetEmpty;
        if !was_retried || !matches!(error.retry(), Retry::Later | Retry::After(_)) {
            return error;
        }
        let error = match error.retry() {
            Retry::After(delay) => error.with_context("retry_after", format_args!("{delay:?}")),
            _ => error,
        };
        error
            .with_context("attempts", attempts_made)
            .with_context("stopped", why)
            .with_retry(Retry::Exhausted)
    }

    /// Finds out whether the settings make sense, all of them at once.
    pub fn check(&self) -> Result<()> {
        let mut mistakes = Mistakes::of("retry");
        mistakes.require(
            (1..=ATTEMPTS_MAX).contains(&self.attempts),
            "attempts",
            self.attempts,
            "the attempts, the first one included, must be between 1 and 100",
        );
        mistakes.require(
            self.backoff.first <= self.backoff.max,
            "backoff",
            self.backoff,
            "the first delay must not be longer than the longest",
        );
        mistakes.require(
            self.backoff.max <= DELAY_LIMIT,
            "backoff",
            self.backoff,
            "a delay must not be longer than an hour",
        );
        mistakes.into_result()
    }

    fn delay(&self, attempts_made: u32, error: &Error, clock: &Clock) -> Duration {
        let doublings = attempts_made.saturating_sub(1);
        let own =
            self.jitter.spread(doubled(self.backoff.first, doublings, self.backoff.max), clock);
        match error.retry() {
            Retry::After(asked) => own.max(asked),
            _ => own,
        }
    }
}

impl Jitter {
    /// `delay`, spread with the dice of `clock`; never longer.
    pub fn spread(self, delay: Duration, clock: &Clock) -> Duration {
        match self {
            Self::Full => delay.mul_f64(clock.fraction()),
            Self::Equal => {
                let half = delay / 2;
                delay.saturating_sub(half.mul_f64(clock.fraction()))
            }
            Self::None => delay,
        }
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(50), max: Duration::from_secs(2) }
    }
}

impl fmt::Display for Backoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", DurationText(self.first), DurationText(self.max))
    }
}

impl FromStr for Backoff {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (first, max) = text.split_once("..").unwrap_or((text, text));
        let duration = |text: &str| text.parse::<DurationText>().map(|duration| duration.0);
        Ok(Self { first: duration(first)?, max: duration(max)? })
    }
}

impl<'de> Deserialize<'de> for Backoff {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error: UnitError| {
            de::Error::custom(format_args!("expected two durations such as 20ms..1s: {error}"))
        })
    }
}

impl JsonSchema for Backoff {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Backoff".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "two durations, such as 20ms..1s" })
    }
}

impl fmt::Display for Jitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Full => "full",
            Self::Equal => "equal",
            Self::None => "no",
        })
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 3,
            backoff: Backoff::default(),
            jitter: Jitter::Full,
            charge_limiter: true,
            budget: BudgetPolicy::default(),
        }
    }
}

impl Why {
    /// The words used in logs and figures.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoOutage => "no outage",
            Self::Hopeless => "hopeless",
            Self::RetriedBelow => "retried below",
            Self::EffectUnsafe => "effect unsafe",
            Self::BreakerOpen => "breaker open",
            Self::AttemptsUsedUp => "attempts used up",
            Self::NoTimeLeft => "no time left",
            Self::BudgetEmpty => "budget empty",
            Self::RateLimited => "rate limited",
            Self::BulkheadFull => "bulkhead full",
            Self::BodyUsedUp => "body used up",
            Self::NeverRetried => "never retried",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// `first`, doubled so many times, but no more than `max`.
pub(super) fn doubled(first: Duration, doublings: u32, max: Duration) -> Duration {
    match 1_u32.checked_shl(doublings) {
        Some(factor) => first.saturating_mul(factor).min(max),
        None if first.is_zero() => first,
        None => max,
    }
}

/// Why another attempt would be wrong, however much time and money there is.
fn futile(effect: Effect, error: &Error) -> Option<Why> {
    if error.class() != Class::Outage {
        return Some(Why::NoOutage);
    }
    if error.gate() == Some(Gate::Breaker) {
        return Some(Why::BreakerOpen);
    }
    match error.retry() {
        Retry::Never => return Some(Why::Hopeless),
        Retry::Exhausted => return Some(Why::RetriedBelow),
        Retry::Later | Retry::After(_) => {}
    }
    let is_safe = match error.outcome() {
        Outcome::NotApplied => true,
        Outcome::Applied => false,
        Outcome::Unknown => effect.is_repeatable(),
    };
    (!is_safe).then_some(Why::EffectUnsafe)
}

fn starts_in_time(now: Instant, delay: Duration, deadline: Option<Instant>) -> bool {
    let Some(start) = now.checked_add(delay) else { return false };
    deadline.is_none_or(|deadline| start < deadline)
}

const ATTEMPTS_MAX: u32 = 100;
const DELAY_LIMIT: Duration = Duration::from_hours(1);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ErrorKind;

    fn policy(attempts: u32, first_ms: u64, max_ms: u64, jitter: Jitter) -> RetryPolicy {
        RetryPolicy {
            attempts,
            backoff: Backoff {
                first: Duration::from_millis(first_ms),
                max: Duration::from_millis(max_ms),
            },
            jitter,
            ..RetryPolicy::default()
        }
    }

    fn unavailable() -> Error {
        Error::new(ErrorKind::Unavailable, "no connection")
    }

    fn after_one(effect: Effect, error: &Error) -> Decision {
        let clock = Clock::seeded(1);
        RetryPolicy::default().next(1, effect, error, clock.now(), None, &clock)
    }

    fn stops(effect: Effect, error: &Error, why: Why) {
        assert_eq!(after_one(effect, error), Decision::Stop(why), "{error}");
    }

    fn jitters() -> impl Strategy<Value = Jitter> {
        prop_oneof![Just(Jitter::Full), Just(Jitter::Equal), Just(Jitter::None)]
    }

    proptest! {
        #[test]
        fn there_are_exactly_as_many_attempts_as_allowed_and_no_wait_is_too_long(
            attempts in 1..100_u32, first_ms in 0..5_000_u64, more_ms in 0..60_000_u64,
            jitter in jitters(), seed: u64,
        ) {
            let policy = policy(attempts, first_ms, first_ms + more_ms, jitter);
            prop_assert!(policy.check().is_ok());
            let clock = Clock::seeded(seed);
            let mut made = 1;
            loop {
                let decision = policy.next(
                    made, Effect::Read, &unavailable(), clock.now(), None, &clock,
                );
                let Decision::RetryAfter(delay) = decision else {
                    prop_assert_eq!(decision, Decision::Stop(Why::AttemptsUsedUp));
                    break;
                };
                let factor = 2_u128.pow((made - 1).min(90));
                let whole = (u128::from(first_ms) * factor).min(u128::from(first_ms + more_ms));
                let whole = Duration::from_millis(u64::try_from(whole).unwrap());
                let least = match jitter {
                    Jitter::Full => Duration::ZERO,
                    Jitter::Equal => whole / 2,
                    Jitter::None => whole,
                };
                prop_assert!((least..=whole).contains(&delay), "{delay:?} of {whole:?}");
                made += 1;
            }
            prop_assert_eq!(made, attempts);
        }

        #[test]
        fn a_retry_starts_before_the_deadline_and_not_before_the_service_wants_it(
            asked_ms in 0..3_000_u64, left_ms in 0..3_000_u64, seed: u64,
        ) {
            let policy = policy(9, 100, 1_000, Jitter::None);
            let clock = Clock::seeded(seed);
            let (asked, left) = (Duration::from_millis(asked_ms), Duration::from_millis(left_ms));
            let (error, now) = (unavailable().retry_after(asked), clock.now());
            let decision = policy.next(3, Effect::Read, &error, now, Some(now + left), &clock);
            let delay = asked.max(Duration::from_millis(400));
            let expected = if delay < left {
                Decision::RetryAfter(delay)
            } else {
                Decision::Stop(Why::NoTimeLeft)
            };
            prop_assert_eq!(decision, expected);
        }
    }

    #[test]
    fn only_outages_are_retried() {
        for kind in ErrorKind::ALL.iter().filter(|kind| kind.class() != Class::Outage) {
            stops(Effect::Read, &Error::new(*kind, "said no").retry_later(), Why::NoOutage);
        }
        stops(Effect::Read, &Error::new(ErrorKind::Unexpected, "odd"), Why::Hopeless);
    }

    #[test]
    fn retries_do_not_multiply() {
        let exhausted = unavailable().with_retry(Retry::Exhausted);
        stops(Effect::Read, &exhausted, Why::RetriedBelow);
        stops(Effect::Read, &Error::refused(Gate::Breaker, "open"), Why::BreakerOpen);
    }

    #[test]
    fn what_may_have_happened_is_repeated_only_if_that_is_harmless() {
        for effect in [Effect::Read, Effect::Idempotent, Effect::Keyed, Effect::Unsafe] {
            let retried =
                |error: &Error| matches!(after_one(effect, error), Decision::RetryAfter(_));
            assert!(retried(&unavailable().not_applied()), "{effect}");
            assert_eq!(retried(&unavailable()), effect != Effect::Unsafe, "{effect}");
            let applied = unavailable().with_outcome(Outcome::Applied);
            stops(effect, &applied, Why::EffectUnsafe);
        }
    }

    #[test]
    fn full_jitter_spreads_over_the_whole_range() {
        let clock = Clock::seeded(3);
        let second = Duration::from_secs(1);
        let spread: Vec<_> = (0..1000).map(|_| Jitter::Full.spread(second, &clock)).collect();
        assert!(spread.iter().any(|delay| *delay < second / 20));
        assert!(spread.iter().any(|delay| *delay > second * 19 / 20));
    }

    #[test]
    fn a_call_given_up_after_retries_says_so() {
        let error = unavailable().retry_after(Duration::from_secs(9));
        let given_up = RetryPolicy::give_up(error, 3, Why::AttemptsUsedUp);
        assert_eq!(given_up.retry(), Retry::Exhausted);
        assert_eq!(given_up.context_value("attempts"), Some("3"));
        assert_eq!(given_up.context_value("stopped"), Some("attempts used up"));
        assert_eq!(given_up.context_value("retry_after"), Some("9s"));
    }

    #[test]
    fn a_call_that_was_never_retried_keeps_its_advice() {
        let once = RetryPolicy::give_up(unavailable(), 1, Why::AttemptsUsedUp);
        assert_eq!(once.retry(), Retry::Later);
        let answer = Error::new(ErrorKind::NotFound, "gone");
        assert_eq!(RetryPolicy::give_up(answer, 2, Why::NoOutage).retry(), Retry::Never);
        let broke = RetryPolicy::give_up(unavailable(), 1, Why::BudgetEmpty);
        assert_eq!(broke.retry(), Retry::Exhausted);
    }

    #[test]
    fn all_mistakes_are_reported_at_once() {
        let policy = policy(0, 5_000, 10, Jitter::Full);
        assert_eq!(policy.check().unwrap_err().related().len(), 2);
    }
}
