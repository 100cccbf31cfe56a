//! Whether anything of a line is still in use.

use std::future::Future;
use std::panic::Location;
use std::time::Duration;

use switchboard_core::{BreakerState, Gates, Line, Subsystem};

use crate::settle;

/// Asserts that nobody uses `line` any more, once its clean-up has ended.
///
/// No driver is held, the bulkhead has all its slots and nobody waiting, a half-open breaker has a
/// probe to give, and the reaper has nothing to do. A probe that was lost shows when the last one
/// is gone; a token that a rate limiter gave out is gone by right.
///
/// ```
/// # mod counters {
/// #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/counters/mod.rs"));
/// # }
/// # use counters::{CountersSubsystem, Fixed};
/// use switchboard_core::Policy;
/// use switchboard_testkit::{Workbench, assert_idle};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> switchboard_core::Result<()> {
/// let bench = Workbench::<CountersSubsystem>::new()?;
/// let counters = bench.serve("main", Fixed(7), Policy::default())?;
/// let watch = counters.watch("visits").await?;
/// drop(watch);
/// assert_idle(counters.line()).await;
/// # Ok(()) }
/// ```
///
/// # Panics
///
/// With everything that is still in use, if anything is.
#[track_caller]
pub fn assert_idle<S: Subsystem>(line: &Line<S>) -> impl Future<Output = ()> {
    let place = Location::caller();
    async move {
        let environment = line.environment();
        let cleaned = environment.reaper().idle(environment.clock().now() + CLEANUP_MAX).await;
        settle().await;
        let mut left: Vec<String> =
            cleaned.err().map(|error| error.to_string()).into_iter().collect();
        match line.in_flight() {
            0 => {}
            count => left.push(format!("holds on the driver: {count}")),
        }
        if let Some(gates) = line.gates() {
            left.extend(taken_from(&gates, line));
        }
        let name = format_args!("{}.{}", S::NAME, line.instance());
        assert!(left.is_empty(), "{place}: {name} is still in use\n  {}", left.join("\n  "));
    }
}

/// What the gates have given out and not got back.
fn taken_from<S: Subsystem>(gates: &Gates, line: &Line<S>) -> Vec<String> {
    let mut taken = Vec::new();
    let bulkhead = gates.bulkhead().map(|bulkhead| (bulkhead.in_use(), bulkhead.waiting()));
    if let Some((in_use, waiting)) = bulkhead.filter(|counts| *counts != (0, 0)) {
        taken.push(format!("slots of the bulkhead: {in_use} in use, {waiting} waited for"));
    }
    if let Some(breaker) = gates.breaker()
        && breaker.state() == BreakerState::HalfOpen
        && breaker.check_at(line.environment().clock().now()).is_err()
    {
        taken.push("probes of the breaker: all, and it is half open".to_owned());
    }
    taken
}

/// How long clean-up may take; nothing on a paused clock.
const CLEANUP_MAX: Duration = Duration::from_mins(1);
