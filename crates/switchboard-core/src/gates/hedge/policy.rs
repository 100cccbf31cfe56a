//! When an attempt gets another one beside it, and how that is written.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use crate::gates::mistakes::Mistakes;
use crate::settings::DurationText;
use crate::{Error, ErrorKind, Result};

/// When an attempt that has not answered yet gets another one beside it.
///
/// Only operations that read are hedged, and of those none that is never made again. The first answer
/// wins and the other attempt is dropped. A hedge is paid from the [retry budget](crate::RetryBudget),
/// needs a token, a slot and a closed breaker like any attempt, and waits for none of them: where one is
/// missing there is no hedge.
///
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use std::time::Duration;
/// use switchboard_core::{
///     Clock, Effect, Environment, Gates, HedgePolicy, Policy, Source, execute_with_resilience,
/// };
///
/// # let runtime = tokio::runtime::Builder::new_current_thread()
/// #     .enable_time().start_paused(true).build().unwrap();
/// # runtime.block_on(async {
/// let hedge = HedgePolicy { after: "50ms".parse()?, ..HedgePolicy::default() };
/// let policy = Policy { hedge: Some(hedge), ..Policy::default() };
/// let gates = Gates::new(policy, Source::new("search", "main"), &Environment::new())?;
///
/// let attempts = AtomicU32::new(0);
/// let answer = execute_with_resilience(&gates, Effect::Read, || async {
///     // The first one hangs; fifty milliseconds later the second one answers.
///     match attempts.fetch_add(1, Ordering::Relaxed) {
///         0 => std::future::pending().await,
///         _ => Ok("found"),
///     }
/// });
/// assert_eq!(answer.await?, "found");
/// # switchboard_core::Result::<()>::Ok(()) }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HedgePolicy {
    /// How long an attempt may go without an answer before another is started beside it; and that one
    /// before the next.
    pub after: HedgeAfter,
    /// How many may be started beside one attempt.
    pub max: u32,
}

/// How long to wait for an answer before hedging. Written `50ms`, or `p95`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum HedgeAfter {
    /// Always so long.
    Delay(Duration),
    /// So long as this share of the answers has taken at most, lately and for the same operation:
    /// `0.95` hedges the slowest call in twenty, or a few more, because attempts that were cut off are
    /// not among the answers.
    ///
    /// Looks at answers that had to be waited for, over the last thirty to sixty seconds. Nothing is
    /// hedged before thirty of them are known, and never sooner than after a millisecond.
    Quantile(f64),
}

impl HedgePolicy {
    /// Finds out whether the settings make sense, all of them at once.
    pub fn check(&self) -> Result<()> {
        let mut mistakes = Mistakes::of("hedge");
        let (holds, must) = match self.after {
            HedgeAfter::Delay(delay) => (
                delay >= DELAY_MIN,
                "a hedge must wait for at least 1ms, or it only doubles the load",
            ),
            HedgeAfter::Quantile(share) => (
                (SHARE_MIN..=SHARE_MAX).contains(&share),
                "the quantile must be between p50 and p99.9",
            ),
        };
        mistakes.require(holds, "after", format_args!("{}", self.after), must);
        mistakes.require(
            (1..=HEDGES_MAX).contains(&self.max),
            "max",
            self.max,
            "the attempts beside the first one must be between 1 and 5",
        );
        mistakes.into_result()
    }
}

impl Default for HedgePolicy {
    /// One more, for the slowest one in twenty.
    fn default() -> Self {
        Self { after: HedgeAfter::default(), max: 1 }
    }
}

impl Default for HedgeAfter {
    fn default() -> Self {
        Self::Quantile(0.95)
    }
}

impl fmt::Display for HedgeAfter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delay(delay) => DurationText(*delay).fmt(f),
            Self::Quantile(share) => write!(f, "p{}", (share * PARTS).round() / PARTS_OF_PERCENT),
        }
    }
}

impl FromStr for HedgeAfter {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        if let Some(percent) = text.strip_prefix('p') {
            let is_plain = percent.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
            let percent = percent.parse::<f64>().ok().filter(|_| is_plain);
            return match percent {
                Some(percent) => Ok(Self::Quantile((percent * PARTS_OF_PERCENT).round() / PARTS)),
                None => Err(Error::new(ErrorKind::Config, "not a quantile")
                    .with_hint("write it like p95 or p99.9")),
            };
        }
        text.parse::<DurationText>().map(|delay| Self::Delay(delay.0)).map_err(|error| {
            Error::new(ErrorKind::Config, error.message())
                .with_hint(error.hint())
                .with_hint("or a quantile of what answers take, like p95")
        })
    }
}

impl<'de> Deserialize<'de> for HedgeAfter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error: Error| {
            de::Error::custom(format_args!(
                "expected a duration such as 50ms or a quantile such as p95: {}",
                error.message()
            ))
        })
    }
}

impl JsonSchema for HedgeAfter {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "HedgeAfter".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let delay = generator.subschema_for::<DurationText>();
        json_schema!({
            "description": "a duration, or a quantile of what answers have taken lately",
            "anyOf": [
                delay,
                { "type": "string", "pattern": r"^p[0-9]+(\.[0-9]+)?$", "examples": ["p95", "p99.9"] },
            ],
        })
    }
}

const DELAY_MIN: Duration = Duration::from_millis(1);
const SHARE_MIN: f64 = 0.5;
const SHARE_MAX: f64 = 0.999;
const HEDGES_MAX: u32 = 5;
/// A quantile is kept to a thousandth of a percent: a share times a hundred is seldom exact.
const PARTS: f64 = 100_000.0;
const PARTS_OF_PERCENT: f64 = 1_000.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Problems, Settings};

    #[test]
    fn a_delay_and_a_quantile_are_read_and_written_alike() {
        let cases = [
            ("50ms", HedgeAfter::Delay(Duration::from_millis(50)), "50ms"),
            (" 1.5s ", HedgeAfter::Delay(Duration::from_millis(1500)), "1s500ms"),
            ("p95", HedgeAfter::Quantile(0.95), "p95"),
            ("p55", HedgeAfter::Quantile(0.55), "p55"),
            ("p99.9", HedgeAfter::Quantile(0.999), "p99.9"),
        ];
        for (text, expected, written) in cases {
            assert_eq!(text.parse::<HedgeAfter>().unwrap(), expected, "{text}");
            assert_eq!(expected.to_string(), written);
        }
    }

    #[test]
    fn what_is_neither_says_how_both_are_written() {
        for (text, message) in [
            ("p", "not a quantile"),
            ("pinf", "not a quantile"),
            ("p-95", "not a quantile"),
            ("p9e1", "not a quantile"),
            ("50", "a duration needs a unit"),
            ("95%", "not a duration"),
            ("soon", "not a duration"),
            ("", "not a duration"),
        ] {
            let error = text.parse::<HedgeAfter>().unwrap_err();
            assert_eq!((error.kind(), error.message()), (ErrorKind::Config, message), "{text}");
            assert!(error.hints().any(|hint| hint.contains("p95")), "{error}");
        }
    }

    #[test]
    fn settings_are_read_and_their_mistakes_told_where_they_are() {
        let read = |after: Settings| after.decode::<HedgePolicy>();
        let policy = read(Settings::new().with("after", "p99").with("max", 2)).unwrap();
        assert_eq!(policy, HedgePolicy { after: HedgeAfter::Quantile(0.99), max: 2 });
        assert_eq!(read(Settings::new()).unwrap(), HedgePolicy::default());

        for (after, words) in [
            (Settings::new().with("after", 50), "after: expected a string, found an integer"),
            (
                Settings::new().with("after", "soon"),
                "expected a duration such as 50ms or a quantile",
            ),
            (Settings::new().with("after", true), "after: expected a string"),
            (Settings::new().with("afer", "50ms"), "did you mean `after`?"),
        ] {
            let error = read(after).unwrap_err();
            let problems: Vec<String> =
                error.find::<Problems>().unwrap().iter().map(ToString::to_string).collect();
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].contains(words), "{problems:?}");
        }
    }

    #[test]
    fn all_mistakes_are_reported_at_once() {
        for after in ["999us", "0s", "p49.9", "p99.95", "p100"] {
            let policy = HedgePolicy { after: after.parse().unwrap(), max: 6 };
            assert_eq!(policy.check().unwrap_err().related().len(), 2, "{after}");
            let policy = HedgePolicy { max: 0, ..HedgePolicy::default() };
            assert_eq!(policy.check().unwrap_err().context_value("setting"), Some("hedge.max"));
        }
        for after in ["1ms", "50ms", "p50", "p99.9"] {
            HedgePolicy { after: after.parse().unwrap(), max: 5 }.check().unwrap();
        }
    }
}
