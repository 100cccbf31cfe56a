//! `/metrics`: all figures of the board in the text format of Prometheus.
//!
//! Labels are names of the configuration and of the program, and words of fixed lists; never keys, ids
//! or addresses, so how many series there are follows from the configuration alone. Driver and
//! generation stand in gauges of their own: what counts is counted by instance, and goes on counting
//! when another driver serves. Only what drivers count themselves names them, since it begins anew with
//! each of them.

mod own;

use std::fmt::{self, Write as _};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use switchboard::{HealthView, InstanceFigures, Switchboard};
use switchboard_core::OpFigures;

use crate::answer;
use crate::api::Writes;
use crate::routes::Desk;

pub(crate) async fn page(State(desk): State<Desk>) -> Response {
    answer::of_type(StatusCode::OK, TEXT, text(&desk.board, &desk.writes))
}

/// All families, each with its series, always in the same order.
fn text(board: &Switchboard, writes: &Writes) -> String {
    let mut figures = board.figures();
    figures.sort_by(|one, other| (one.subsystem, &one.name).cmp(&(other.subsystem, &other.name)));
    let mut page = Page(String::new());
    page.program(board);
    page.writes(writes);
    page.instances(&figures);
    page.calls(&figures);
    page.gates(&figures);
    page.health(&board.health());
    own::write(&mut page, &figures);
    page.0
}

struct Page(String);

impl Page {
    fn program(&mut self, board: &Switchboard) {
        let environment = board.environment();
        let reaper = environment.reaper().figures();
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        self.family("build_info", GAUGE, "The version that runs; always 1.").add(&version, 1);
        self.single("reaper_jobs_pending", GAUGE, "Clean-up jobs under way.", reaper.pending);
        self.single("reaper_running", GAUGE, "What runs until it is stopped.", reaper.running);
        self.single(
            "reaper_jobs_done_total",
            COUNTER,
            "Clean-up jobs that ended well.",
            reaper.done,
        );
        let help = "Clean-up jobs that ended with an error or a panic.";
        self.single("reaper_jobs_failed_total", COUNTER, help, reaper.failed);
        let help = "Clean-up jobs that overran their limit, or found no room.";
        self.single("reaper_jobs_abandoned_total", COUNTER, help, reaper.abandoned);
        let help = "Events that nobody could be told of.";
        self.single("events_dropped_total", COUNTER, help, environment.events().dropped());
    }

    fn writes(&mut self, writes: &Writes) {
        let help = "Values of caches that were put or forgotten over HTTP.";
        let mut family = self.family("console_value_writes_total", COUNTER, help);
        for (action, outcome, count) in writes.all() {
            family.add(&[("action", action), ("outcome", outcome)], count);
        }
    }

    fn instances(&mut self, figures: &[InstanceFigures]) {
        let help = "The driver of an instance; always 1.";
        let mut family = self.family("instance_info", GAUGE, help);
        for of in figures {
            let [subsystem, instance] = labels(of);
            let driver = ("driver", of.driver.as_deref().unwrap_or_default());
            family.add(&[subsystem, instance, driver], 1);
        }
        let help = "How often an instance has been given a driver.";
        self.each(figures, "instance_generation", help, |of| of.generation);
        let help = "Whether a driver serves; one that nobody has used yet has none.";
        self.each(figures, "instance_serving", help, |of| u8::from(of.is_ready));
        let help = "Calls and opened things that use an instance now.";
        self.each(figures, "calls_in_flight", help, |of| of.in_flight);
    }

    fn calls(&mut self, figures: &[InstanceFigures]) {
        let help = "Calls by how they ended; `kind` is the kind of the error of those that failed.";
        let mut family = self.family("calls_total", COUNTER, help);
        for (of, asked) in operations(figures) {
            family.add(&outcome(of, asked, "ok", ""), asked.succeeded);
            family.add(&outcome(of, asked, "cancelled", ""), asked.cancelled);
            for (kind, count) in &asked.failed {
                let kind = as_label(kind.as_str());
                family.add(&outcome(of, asked, "failed", &kind), count);
            }
        }
        let help = "How long calls took that were not answered at once.";
        let mut family = self.family("call_wait_seconds", HISTOGRAM, help);
        for (of, asked) in operations(figures).filter(|(_, asked)| asked.waited.count > 0) {
            let [subsystem, instance] = labels(of);
            let labels = [subsystem, instance, operation(asked)];
            family.histogram(&labels, &asked.waited.ranges, asked.waited.total);
        }
    }

    fn gates(&mut self, figures: &[InstanceFigures]) {
        let breaker = |of: &InstanceFigures| of.gates.breaker.clone();
        let mut family = self.family("breaker_state", GAUGE, "1 for the state a breaker is in.");
        for (of, breaker) in figures.iter().filter_map(|of| Some((of, breaker(of)?))) {
            family.states(&labels(of), "state", BREAKER_STATES, breaker.state);
        }
        let help = "Calls in the window of a breaker.";
        self.some(figures, "breaker_window_calls", help, |of| Some(breaker(of)?.calls));
        let help = "Calls in the window of a breaker that failed.";
        self.some(figures, "breaker_window_failures", help, |of| Some(breaker(of)?.failures));
        let help = "Calls in the window of a breaker that were slow.";
        self.some(figures, "breaker_window_slow", help, |of| Some(breaker(of)?.slow));

        let help = "Calls inside a bulkhead.";
        self.some(figures, "bulkhead_in_use", help, |of| Some(of.gates.bulkhead?.in_use));
        let help = "How many calls may be inside a bulkhead now.";
        self.some(figures, "bulkhead_limit", help, |of| Some(of.gates.bulkhead?.limit));
        let help = "Calls that wait to get into a bulkhead.";
        self.some(figures, "bulkhead_waiting", help, |of| Some(of.gates.bulkhead?.waiting));
        let help = "How many calls may wait to get into a bulkhead.";
        self.some(figures, "bulkhead_queue_limit", help, |of| Some(of.gates.bulkhead?.queue));

        let help = "Calls that a rate limit would let start at once now.";
        let rate = |of: &InstanceFigures| Some(of.gates.rate_limit.as_ref()?.remaining);
        self.some(figures, "rate_limit_remaining", help, rate);
        let help = "Tokens that are left for retries and hedges.";
        self.some(figures, "retry_budget_tokens", help, |of| Some(of.gates.retry_budget?.tokens));
        let help = "Tokens for retries and hedges when nothing has failed for a while.";
        let tokens_max = |of: &InstanceFigures| Some(of.gates.retry_budget?.tokens_max);
        self.some(figures, "retry_budget_tokens_limit", help, tokens_max);
    }

    fn health(&mut self, health: &HealthView) {
        let help = "Whether the process should get traffic.";
        self.single("ready", GAUGE, help, u8::from(health.ready));
        let mut instances: Vec<_> = health.instances.iter().collect();
        instances.sort_by(|one, other| one.instance.cmp(&other.instance));
        let named = instances.iter().filter_map(|of| Some((of.instance.split_once('.')?, of)));
        let labels = |(subsystem, instance)| [("subsystem", subsystem), ("instance", instance)];
        let mut family = self.family("instance_health", GAUGE, "1 for the verdict on an instance.");
        for (name, of) in named.clone() {
            family.states(&labels(name), "status", HEALTH_STATES, of.status);
        }
        let help = "How long ago an instance was last looked at.";
        let mut family = self.family("instance_health_age_seconds", GAUGE, help);
        for (name, of) in named {
            if let Some(age) = of.age_ms {
                family.add(&labels(name), age / 1e3);
            }
        }
    }

    fn family<'p>(&'p mut self, name: &'p str, kind: &str, help: &str) -> Family<'p> {
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}");
        Family { text: &mut self.0, name }
    }

    fn single(
        &mut self,
        name: &'static str,
        kind: &'static str,
        help: &str,
        value: impl fmt::Display,
    ) {
        self.family(name, kind, help).add(&[], value);
    }

    fn each<V: fmt::Display>(
        &mut self,
        figures: &[InstanceFigures],
        name: &'static str,
        help: &str,
        value: impl Fn(&InstanceFigures) -> V,
    ) {
        self.some(figures, name, help, |of| Some(value(of)));
    }

    /// A gauge of those instances that have such a value.
    fn some<V: fmt::Display>(
        &mut self,
        figures: &[InstanceFigures],
        name: &'static str,
        help: &str,
        value: impl Fn(&InstanceFigures) -> Option<V>,
    ) {
        let mut family = self.family(name, GAUGE, help);
        for (of, value) in figures.iter().filter_map(|of| Some((of, value(of)?))) {
            family.add(&labels(of), value);
        }
    }
}

type Label<'a> = (&'static str, &'a str);

/// The series of one name.
struct Family<'p> {
    text: &'p mut String,
    name: &'p str,
}

impl Family<'_> {
    fn add(&mut self, labels: &[Label<'_>], value: impl fmt::Display) {
        self.series("", labels, None, value);
    }

    /// One series for each state there is, so that a change of state shows in two of them.
    fn states(&mut self, of: &[Label<'_>; 2], label: &'static str, known: &[&str], now: &str) {
        for state in known {
            let state_label = as_label(state);
            let labels = [of[0], of[1], (label, state_label.as_str())];
            self.add(&labels, u8::from(*state == now));
        }
    }

    /// `ranges` are upper bounds, and how many lie below each and above the one before.
    fn histogram(&mut self, labels: &[Label<'_>], ranges: &[(Duration, u64)], total: Duration) {
        let count = |bound| -> u64 {
            ranges.iter().filter(|(upper, _)| *upper <= bound).map(|(_, count)| count).sum()
        };
        for power in BOUNDS {
            let bound = Duration::from_nanos(1 << power);
            self.series("_bucket", labels, Some(&bound.as_secs_f64().to_string()), count(bound));
        }
        self.series("_bucket", labels, Some("+Inf"), count(Duration::MAX));
        self.series("_sum", labels, None, total.as_secs_f64());
        self.series("_count", labels, None, count(Duration::MAX));
    }

    fn series(
        &mut self,
        suffix: &str,
        labels: &[Label<'_>],
        bound: Option<&str>,
        value: impl fmt::Display,
    ) {
        // Writing to a string cannot fail.
        let _ = write!(self.text, "{PREFIX}{}{suffix}", self.name);
        let mut before = '{';
        for (name, value) in labels.iter().copied().chain(bound.map(|bound| ("le", bound))) {
            let _ = write!(self.text, "{before}{name}=\"{}\"", Escaped(value));
            before = ',';
        }
        let after = if before == ',' { "}" } else { "" };
        let _ = writeln!(self.text, "{after} {value}");
    }
}

/// A label's value as it is written between quotation marks.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names of the configuration have nothing to escape; text of drivers may.
        if !self.0.contains(['\\', '"', '\n']) {
            return f.write_str(self.0);
        }
        self.0.chars().try_for_each(|letter| match letter {
            '\\' => f.write_str("\\\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str("\\n"),
            letter => f.write_char(letter),
        })
    }
}

fn operations(figures: &[InstanceFigures]) -> impl Iterator<Item = (&InstanceFigures, &OpFigures)> {
    figures.iter().flat_map(|of| of.operations.iter().map(move |asked| (of, asked)))
}

fn labels(of: &InstanceFigures) -> [Label<'_>; 2] {
    [("subsystem", of.subsystem), ("instance", &of.name)]
}

fn operation(asked: &OpFigures) -> Label<'_> {
    ("operation", asked.operation)
}

fn outcome<'a>(
    of: &'a InstanceFigures,
    asked: &'a OpFigures,
    outcome: &'a str,
    kind: &'a str,
) -> [Label<'a>; 5] {
    let [subsystem, instance] = labels(of);
    [subsystem, instance, operation(asked), ("outcome", outcome), ("kind", kind)]
}

/// A word as label values are written.
fn as_label(word: &str) -> String {
    word.replace([' ', '-'], "_")
}

const PREFIX: &str = "switchboard_";
const GAUGE: &str = "gauge";
const COUNTER: &str = "counter";
const HISTOGRAM: &str = "histogram";
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

const BREAKER_STATES: &[&str] =
    &["closed", "open", "half-open", "forced open", "forced closed", "disabled"];
const HEALTH_STATES: &[&str] = &["up", "not checked", "degraded", "down"];

/// The bounds of the histogram, as powers of two of nanoseconds: from 65 µs to 68 s. What is counted
/// has its bounds there too, so nothing has to be guessed, and they are the same for all series.
const BOUNDS: [u32; 11] = [16, 18, 20, 22, 24, 26, 28, 30, 32, 34, 36];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_a_label_is_escaped() {
        assert_eq!(Escaped("a\\b\"c\nd é").to_string(), "a\\\\b\\\"c\\nd é");
    }

    #[test]
    fn buckets_are_counted_up_and_end_with_all() {
        let mut text = String::new();
        let ranges = [
            (Duration::from_nanos(1 << 16), 2),
            (Duration::from_nanos(1 << 20), 3),
            (Duration::MAX, 1),
        ];
        let total = Duration::from_millis(1_500);
        Family { text: &mut text, name: "x" }.histogram(&[("a", "b")], &ranges, total);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), BOUNDS.len() + 3);
        assert_eq!(lines[0], "switchboard_x_bucket{a=\"b\",le=\"0.000065536\"} 2");
        assert_eq!(lines[1], "switchboard_x_bucket{a=\"b\",le=\"0.000262144\"} 2");
        assert_eq!(lines[2], "switchboard_x_bucket{a=\"b\",le=\"0.001048576\"} 5");
        assert_eq!(lines[11], "switchboard_x_bucket{a=\"b\",le=\"+Inf\"} 6");
        assert_eq!(
            lines[12..],
            ["switchboard_x_sum{a=\"b\"} 1.5", "switchboard_x_count{a=\"b\"} 6"]
        );
    }
}
