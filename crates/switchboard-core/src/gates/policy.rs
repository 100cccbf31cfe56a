//! The settings of all gates of a line, and the order they make.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::breaker::{BreakerCounts, BreakerPolicy, BreakerWindow};
use super::bulkhead::BulkheadLimit;
use super::hedge::{HedgeAfter, HedgePolicy};
use super::rate_limit::RateLimit;
use super::retry::RetryPolicy;
use crate::settings::{Problems, duration, mistakes_of, origin_within};
use crate::{Error, ErrorKind, Result, Settings};

/// Which gates a line has, and how they are set. One that is not named is not there.
///
/// ```
/// use switchboard_core::{Policy, Settings};
///
/// let settings = Settings::new()
///     .with("deadline", "500ms")
///     .with("attempt_timeout", "150ms")
///     .with("retry", Settings::new().with("attempts", 3).with("backoff", "20ms..1s"));
/// let policy: Policy = settings.decode()?;
/// assert_eq!(policy.chain().len(), 4);
/// # Ok::<(), switchboard_core::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// The time the whole call may take, with all waits and retries. Calls inside it inherit it.
    #[serde(with = "duration::option")]
    #[schemars(with = "Option<duration::Text>")]
    pub deadline: Option<Duration>,
    /// How many calls may start in which time.
    pub rate_limit: Option<RateLimit>,
    /// How many calls may run at the same time.
    pub bulkhead: Option<BulkheadLimit>,
    /// When to stop calling a service that fails.
    pub breaker: Option<BreakerPolicy>,
    /// How often and how soon to try again.
    pub retry: Option<RetryPolicy>,
    /// When an attempt that reads gets another one beside it.
    pub hedge: Option<HedgePolicy>,
    /// The time one attempt may take.
    #[serde(with = "duration::option")]
    #[schemars(with = "Option<duration::Text>")]
    pub attempt_timeout: Option<Duration>,
}

/// One step of the path of a call, as it is shown to people.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChainStep {
    /// The gate, in the words of its configuration.
    pub gate: &'static str,
    /// Its settings, and what it does with a call.
    pub settings: String,
}

impl Policy {
    /// Whether there is no gate at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The policy that `settings` describe, which stand at `path` in a larger tree; every mistake in
    /// them is told at its own place.
    ///
    /// ```
    /// use switchboard_core::{Policy, Problems, Settings};
    ///
    /// let settings = Settings::new().with("deadline", "0s");
    /// let error = Policy::read(&settings, "policy.fast").unwrap_err();
    /// let paths = error.find::<Problems>().into_iter().flatten().map(|p| p.path.as_str());
    /// assert_eq!(paths.collect::<Vec<_>>(), ["policy.fast.deadline"]);
    /// ```
    pub fn read(settings: &Settings, path: &str) -> Result<Self> {
        let policy = Self::decoded(settings, path)?;
        match policy.mistakes(settings, path) {
            mistakes if mistakes.is_empty() => Ok(policy),
            mistakes => Err(mistakes.into()),
        }
    }

    /// The policy, whether or not it makes sense. If it cannot be read, the error also tells what makes
    /// no sense in the rest of it.
    pub(crate) fn decoded(settings: &Settings, path: &str) -> Result<Self> {
        let error = match settings.decode_at::<Self>(path) {
            Ok(policy) => return Ok(policy),
            Err(error) => error,
        };
        let Some(problems) = error.find::<Problems>() else { return Err(error) };
        let rest = settings.without(path, problems);
        let Ok(policy) = rest.decode::<Self>() else { return Err(error) };
        let mistakes = policy.mistakes(&rest, path).into_iter();
        // What was taken out has defaults in its place, which nobody wrote.
        let of_rest = mistakes.filter(|mistake| {
            let setting = mistake.path.strip_prefix(path).and_then(|rest| rest.strip_prefix('.'));
            setting.is_some_and(|setting| rest.get(setting).is_some())
        });
        Err(problems.iter().cloned().chain(of_rest).collect::<Problems>().into())
    }

    /// Everything that cannot be as it is, each at its place in `settings`.
    fn mistakes(&self, settings: &Settings, path: &str) -> Problems {
        let Err(error) = self.check() else { return Problems::default() };
        let place =
            |setting: &str| (format!("{path}.{setting}"), origin_within(settings, setting).clone());
        mistakes_of(&error, &place)
    }

    /// Everything that cannot be as it is.
    pub fn check(&self) -> Result<()> {
        let mut errors: Vec<Error> = Vec::new();
        errors.extend(self.rate_limit.and_then(|limit| limit.check().err()));
        errors.extend(self.bulkhead.and_then(|limit| limit.check().err()));
        errors.extend(self.breaker.as_ref().and_then(|policy| policy.check().err()));
        errors.extend(self.retry.as_ref().and_then(|policy| policy.check().err()));
        errors.extend(self.retry.as_ref().and_then(|policy| policy.budget.check().err()));
        errors.extend(self.hedge.and_then(|policy| policy.check().err()));
        errors.extend(self.hedge_that_never_comes());
        for (name, limit) in
            [("deadline", self.deadline), ("attempt_timeout", self.attempt_timeout)]
        {
            if limit == Some(Duration::ZERO) {
                errors.push(
                    Error::new(ErrorKind::Config, "a limit of no time lets no call through")
                        .with_context("setting", name),
                );
            }
        }
        match errors.len() {
            0 => Ok(()),
            1 => errors.pop().map_or(Ok(()), Err),
            _ => Err(Error::joined("several settings of the policy cannot be as they are", errors)),
        }
    }

    fn hedge_that_never_comes(&self) -> Option<Error> {
        let HedgeAfter::Delay(delay) = self.hedge?.after else { return None };
        let (name, limit) =
            [("attempt_timeout", self.attempt_timeout), ("deadline", self.deadline)]
                .into_iter()
                .find_map(|(name, limit)| {
                    limit.filter(|limit| *limit <= delay).map(|limit| (name, limit))
                })?;
        Some(
            Error::new(ErrorKind::Config, "the attempt has ended before a hedge could start")
                .with_context("setting", "hedge.after")
                .with_context("value", format_args!("{delay:?}"))
                .with_context(name, format_args!("{limit:?}")),
        )
    }

    /// The path of a call through these gates, outermost first, the driver last.
    pub fn chain(&self) -> Vec<ChainStep> {
        let mut chain = Vec::new();
        let mut step = |gate, settings| chain.push(ChainStep { gate, settings });
        let counts = self.breaker.as_ref().map(|breaker| breaker.counts);
        if let Some(deadline) = self.deadline {
            step("deadline", format!("{deadline:?} for the call with all its waits and retries"));
        }
        if counts == Some(BreakerCounts::Attempts) {
            step("breaker: open?", "refuses at once, before anything is taken".to_owned());
        }
        if let Some(limit) = &self.rate_limit {
            step("rate_limit", self.describe_rate_limit(limit));
        }
        if let Some(limit) = &self.bulkhead {
            step("bulkhead", describe_bulkhead(limit));
        }
        if let Some(breaker) = &self.breaker {
            step("breaker: permit", describe_breaker(breaker));
        }
        if let Some(retry) = &self.retry {
            step("retry", describe_retry(retry, counts));
        }
        if let Some(hedge) = &self.hedge {
            step("hedge", self.describe_hedge(hedge));
        }
        if let Some(timeout) = self.attempt_timeout {
            step("attempt_timeout", format!("{timeout:?} for each attempt"));
        }
        step("driver", "translates and classifies".to_owned());
        chain
    }

    fn describe_rate_limit(&self, limit: &RateLimit) -> String {
        let retries_pay = self.retry.as_ref().map(|retry| retry.charge_limiter);
        let charged = match (retries_pay, self.hedge) {
            (Some(true), None) => "one more for each retry",
            (Some(true), Some(_)) => "one more for each retry and hedge",
            (None, Some(_)) => "one more for each hedge",
            (Some(false), Some(_)) => "none for its retries and hedges",
            (Some(false) | None, None) => "none for its retries",
        };
        let (pace, burst, wait) = (limit.pace(), limit.burst, limit.wait);
        format!("{pace}, burst {burst}, waits up to {wait:?}; one for a call, {charged}")
    }

    fn describe_hedge(&self, hedge: &HedgePolicy) -> String {
        let budget = self.retry.as_ref().map(|retry| retry.budget).unwrap_or_default();
        let after = match hedge.after {
            HedgeAfter::Delay(delay) => format!("{delay:?}"),
            quantile @ HedgeAfter::Quantile(_) => format!("the {quantile} of late"),
        };
        let (max, tokens) = (hedge.max, budget.tokens);
        format!(
            "up to {max} beside an attempt that reads, after {after}; pays from a budget of {tokens}"
        )
    }
}

fn describe_bulkhead(limit: &BulkheadLimit) -> String {
    let between = if limit.hold_while_waiting { "kept" } else { "free" };
    let slots = match limit.adaptive {
        Some(gradient) => format!("{} to {} at once, as answers tell,", gradient.min, limit.max),
        None => format!("{} at once,", limit.max),
    };
    let (queue, wait) = (limit.queue, limit.wait);
    format!("{slots} {queue} wait up to {wait:?}; the slot is {between} between attempts")
}

fn describe_breaker(breaker: &BreakerPolicy) -> String {
    let window = match breaker.window {
        BreakerWindow::Time(length) => format!("{length:?}"),
        BreakerWindow::Calls(length) => format!("the last {length}"),
    };
    let counted = match breaker.counts {
        BreakerCounts::Attempts => "attempts",
        BreakerCounts::Calls => "calls with all their retries",
    };
    format!(
        "opens for {:?} when {:.0}% of at least {} {counted} in {window} failed",
        breaker.open_for,
        breaker.failure_rate * 100.0,
        breaker.min_calls,
    )
}

fn describe_retry(retry: &RetryPolicy, counts: Option<BreakerCounts>) -> String {
    let stops = match counts {
        Some(BreakerCounts::Attempts) => "; stops when the breaker opens",
        _ => "",
    };
    format!(
        "{} attempts, waits {} ({} jitter), pays from a budget of {}{stops}",
        retry.attempts, retry.backoff, retry.jitter, retry.budget.tokens
    )
}

impl fmt::Display for ChainStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<16} {}", self.gate, self.settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    fn printed(policy: &Policy) -> Vec<String> {
        policy.chain().iter().map(ToString::to_string).collect()
    }

    fn all_gates() -> Settings {
        Settings::new()
            .with("deadline", "500ms")
            .with("attempt_timeout", "150ms")
            .with("retry", Settings::new().with("attempts", 3).with("backoff", "20ms..1s"))
            .with("hedge", Settings::new().with("after", "p95"))
            .with("breaker", Settings::new().with("window", 100).with("min_calls", 20))
            .with("bulkhead", Settings::new().with("max", 64).with("wait", "50ms"))
            .with("rate_limit", Settings::new().with("rate", "500/s").with("burst", 100))
    }

    #[test]
    fn the_order_of_the_gates_is_this_one() {
        let policy: Policy = all_gates().decode().unwrap();
        let expected = [
            "deadline         500ms for the call with all its waits and retries",
            "breaker: open?   refuses at once, before anything is taken",
            "rate_limit       500/s, burst 100, waits up to 100ms; one for a call, \
             one more for each retry and hedge",
            "bulkhead         64 at once, 256 wait up to 50ms; the slot is free between attempts",
            "breaker: permit  opens for 5s when 50% of at least 20 attempts in the last 100 failed",
            "retry            3 attempts, waits 20ms..1s (full jitter), pays from a budget of 500; \
             stops when the breaker opens",
            "hedge            up to 1 beside an attempt that reads, after the p95 of late; \
             pays from a budget of 500",
            "attempt_timeout  150ms for each attempt",
            "driver           translates and classifies",
        ];
        assert_eq!(printed(&policy), expected);
    }

    #[test]
    fn three_options_make_the_order_limiter_bulkhead_breaker_retry() {
        let mut settings = all_gates();
        settings.remove("deadline");
        settings.remove("attempt_timeout");
        settings.remove("hedge");
        let options = Settings::new()
            .with("breaker", Settings::new().with("counts", "calls"))
            .with("retry", Settings::new().with("charge_limiter", false))
            .with("bulkhead", Settings::new().with("hold_while_waiting", true));
        settings.merge(options);
        let policy: Policy = settings.decode().unwrap();
        let gates: Vec<_> = policy.chain().iter().map(|step| step.gate).collect();
        assert_eq!(gates, ["rate_limit", "bulkhead", "breaker: permit", "retry", "driver"]);
    }

    #[test]
    fn an_empty_policy_adds_no_gate() {
        let policy: Policy = Settings::new().decode().unwrap();
        assert!(policy.is_empty());
        assert_eq!(printed(&policy), ["driver           translates and classifies"]);
    }

    #[test]
    fn a_hedge_that_could_never_start_is_a_mistake() {
        let hedge = HedgePolicy { after: "50ms".parse().unwrap(), ..HedgePolicy::default() };
        let at = |ms| Some(Duration::from_millis(ms));
        let policy = Policy { hedge: Some(hedge), ..Policy::default() };
        for (deadline, attempt_timeout, late) in [
            (at(51), at(51), None),
            (at(50), None, Some("deadline")),
            (at(500), at(50), Some("attempt_timeout")),
        ] {
            let error = Policy { deadline, attempt_timeout, ..policy.clone() }.check().err();
            let named = error.as_ref().and_then(|error| error.context_value(late?));
            assert_eq!((error.is_some(), named), (late.is_some(), late.map(|_| "50ms")));
        }
    }

    #[test]
    fn a_policy_names_all_that_is_wrong_with_it() {
        let wrong = Policy {
            deadline: Some(Duration::ZERO),
            breaker: Some(BreakerPolicy { failure_rate: 2.0, ..BreakerPolicy::default() }),
            hedge: Some(HedgePolicy { max: 0, ..HedgePolicy::default() }),
            ..Policy::default()
        };
        let error = wrong.check().unwrap_err();
        assert_eq!((error.kind(), error.related().len()), (ErrorKind::Config, 3));
    }
}
