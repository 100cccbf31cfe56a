//! The settings of a breaker, and what it thinks of a result.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::state::PROBES_MAX;
use super::{Jitter, Mistakes};
use crate::settings::duration;
use crate::{Class, ErrorKind, Result};

/// When a breaker opens, and how it closes again.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerPolicy {
    /// Opens when this share of the calls in the window failed.
    pub failure_rate: f64,
    /// Opens when this share of the calls in the window was slow; looked at only with
    /// [`slow_after`](Self::slow_after).
    pub slow_rate: f64,
    /// A call that takes so long is slow, however it ended; so is one that timed out.
    #[serde(with = "duration::option")]
    #[schemars(with = "Option<duration::Text>")]
    pub slow_after: Option<Duration>,
    /// The calls it looks at.
    pub window: BreakerWindow,
    /// Does not judge before it has seen so many calls in the window, so that one failure at night
    /// opens nothing.
    pub min_calls: u32,
    /// How long it stays open the first time; each further time in a row, twice as long.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text")]
    pub open_for: Duration,
    /// The longest it stays open.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text")]
    pub open_for_max: Duration,
    /// How the open time is spread, so that many processes do not probe in step.
    pub jitter: Jitter,
    /// How many calls it lets through to learn whether the service works again. The first that
    /// fails opens it, all have to succeed to close it.
    pub half_open: u32,
    /// How long those calls may be under way before they are given up as failed.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text")]
    pub half_open_for: Duration,
    /// Whether each attempt of a call counts, or the call with all its retries once.
    pub counts: BreakerCounts,
    /// Whether it starts over, closed, when the driver is swapped. Otherwise the history of the
    /// instance goes on: the service behind the new driver may be the same.
    pub reset_on_swap: bool,
    /// Whether being rate limited or told of overload counts as failure. Otherwise it counts as
    /// nothing, because the service works and only wants fewer calls.
    pub counts_throttling: bool,
}

/// The calls a breaker looks at.
///
/// Written as a duration (`"10s"`) or as a number of calls (`100`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
#[non_exhaustive]
pub enum BreakerWindow {
    /// The calls of the last so-and-so long, to a tenth of it. Threads do not meet on it.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text")]
    Time(Duration),
    /// The last so-and-so many calls. They share one counter, which costs where many threads call.
    Calls(u32),
}

/// What a breaker counts as one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BreakerCounts {
    /// Every attempt.
    #[default]
    Attempts,
    /// Every call, with all its retries.
    Calls,
}

/// What a result says about the health of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It works.
    Success,
    /// It does not work.
    Failure,
    /// Nothing.
    Ignored,
}

impl BreakerPolicy {
    /// What `result` says about the health of the service.
    ///
    /// An answer is a success, whatever it says: a service that tells a thousand callers that
    /// something is not there works. An outage is a failure, a time-out of ours included. Nothing
    /// follows from a call that was cancelled or could not be made at all. A refusal by a gate of
    /// the same line must not be recorded, since no call was made.
    pub fn verdict_of<T>(&self, result: &Result<T>) -> Verdict {
        let Err(error) = result else { return Verdict::Success };
        match (error.class(), error.kind()) {
            (Class::Outage, ErrorKind::RateLimited | ErrorKind::Overloaded)
                if !self.counts_throttling =>
            {
                Verdict::Ignored
            }
            (Class::Outage, _) => Verdict::Failure,
            (Class::Answer, _) => Verdict::Success,
            (Class::Program | Class::Cancelled, _) => Verdict::Ignored,
        }
    }

    /// Finds out whether the settings make sense, all of them at once.
    pub fn check(&self) -> Result<()> {
        let mut mistakes = Mistakes::of("breaker");
        self.check_rates(&mut mistakes);
        self.check_window(&mut mistakes);
        self.check_times(&mut mistakes);
        mistakes.into_result()
    }

    fn check_rates(&self, mistakes: &mut Mistakes) {
        let must = "a rate must be above 0 and at most 1";
        let is_rate = |rate: f64| rate > 0.0 && rate <= 1.0;
        mistakes.require(is_rate(self.failure_rate), "failure_rate", self.failure_rate, must);
        mistakes.require(is_rate(self.slow_rate), "slow_rate", self.slow_rate, must);
        mistakes.require(
            self.slow_after != Some(Duration::ZERO),
            "slow_after",
            self.slow_after,
            "a call is slow only after some time",
        );
    }

    fn check_window(&self, mistakes: &mut Mistakes) {
        let (fits, must) = match self.window {
            BreakerWindow::Time(length) => (
                (WINDOW_MIN..=WINDOW_MAX).contains(&length),
                "a window of time must be between 10ms and one day",
            ),
            BreakerWindow::Calls(length) => (
                (1..=WINDOW_CALLS_MAX).contains(&length),
                "a window of calls must be between 1 and 100000",
            ),
        };
        mistakes.require(fits, "window", self.window, must);
        mistakes.require(
            self.min_calls > 0,
            "min_calls",
            self.min_calls,
            "at least one call is needed for a judgement",
        );
        if let BreakerWindow::Calls(length) = self.window {
            mistakes.require(
                self.min_calls <= length,
                "min_calls",
                self.min_calls,
                "the window never holds so many calls",
            );
        }
    }

    fn check_times(&self, mistakes: &mut Mistakes) {
        mistakes.require(
            (OPEN_MIN..=self.open_for_max).contains(&self.open_for),
            "open_for",
            self.open_for,
            "the open time must be between 1ms and open_for_max",
        );
        mistakes.require(
            self.open_for_max <= OPEN_MAX,
            "open_for_max",
            self.open_for_max,
            "the longest open time must be at most one day",
        );
        mistakes.require(
            (1..=PROBES_MAX).contains(&self.half_open),
            "half_open",
            self.half_open,
            "the calls let through while half-open must be between 1 and 8191",
        );
        mistakes.require(
            (OPEN_MIN..=OPEN_MAX).contains(&self.half_open_for),
            "half_open_for",
            self.half_open_for,
            "the half-open time must be between 1ms and one day",
        );
    }
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self {
            failure_rate: 0.5,
            slow_rate: 1.0,
            slow_after: None,
            window: BreakerWindow::default(),
            min_calls: 20,
            open_for: Duration::from_secs(5),
            open_for_max: Duration::from_mins(5),
            jitter: Jitter::Equal,
            half_open: 1,
            half_open_for: Duration::from_secs(30),
            counts: BreakerCounts::Attempts,
            reset_on_swap: false,
            counts_throttling: false,
        }
    }
}

impl Default for BreakerWindow {
    fn default() -> Self {
        Self::Time(Duration::from_secs(10))
    }
}

const WINDOW_MIN: Duration = Duration::from_millis(10);
const WINDOW_MAX: Duration = Duration::from_hours(24);
const WINDOW_CALLS_MAX: u32 = 100_000;
const OPEN_MIN: Duration = Duration::from_millis(1);
const OPEN_MAX: Duration = Duration::from_hours(24);
