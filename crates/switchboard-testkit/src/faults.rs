//! Faults on a line for as long as a test wants them.
//!
//! The faults are core's, and stand inside all gates. Here are the most wanted, and a guard.

use std::fmt;
use std::iter::repeat_n;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use switchboard_core::{Clock, Error, ErrorKind, Fault, Faults, Line, Result, Subsystem};

/// Every attempt fails in this way, until the guard of [`inject`] is dropped. One that ends by itself
/// is [`failures`].
///
/// ```
/// # mod counters {
/// #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/counters/mod.rs"));
/// # }
/// # use counters::{CountersSubsystem, Fixed};
/// use switchboard_core::{ErrorKind, Policy};
/// use switchboard_testkit::{Workbench, inject, outage};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> switchboard_core::Result<()> {
/// let bench = Workbench::<CountersSubsystem>::new()?;
/// let counters = bench.serve("main", Fixed(7), Policy::default())?;
///
/// let outage = inject(counters.line(), outage(ErrorKind::Unavailable))?;
/// assert_eq!(counters.read("visits").await.unwrap_err().kind(), ErrorKind::Unavailable);
/// drop(outage);
/// assert_eq!(counters.read("visits").await?, 7);
/// # Ok(()) }
/// ```
#[must_use]
pub fn outage(kind: ErrorKind) -> Faults {
    // With a chance of one the dice do not matter.
    Faults::new(Clock::seeded(0)).chance(1.0, Fault::Fail(on_purpose(kind)))
}

/// The next `count` attempts fail in this way, and those after them reach the driver.
///
/// An attempt is one try of a call: a line that retries takes several of them for one call.
///
/// ```
/// # mod counters {
/// #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/counters/mod.rs"));
/// # }
/// # use counters::{CountersSubsystem, Fixed};
/// use switchboard_core::{ErrorKind, Policy};
/// use switchboard_testkit::{Workbench, failures, inject};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> switchboard_core::Result<()> {
/// let bench = Workbench::<CountersSubsystem>::new()?;
/// let counters = bench.serve("main", Fixed(7), Policy::default())?;
///
/// let faults = inject(counters.line(), failures(2, ErrorKind::Unavailable))?;
/// assert!(counters.read("visits").await.is_err());
/// assert!(counters.read("visits").await.is_err());
/// assert_eq!(counters.read("visits").await?, 7);
/// assert_eq!(faults.injected(), 2);
/// # Ok(()) }
/// ```
#[must_use]
pub fn failures(count: usize, kind: ErrorKind) -> Faults {
    Faults::new(Clock::seeded(0)).script(repeat_n(Fault::Fail(on_purpose(kind)), count))
}

/// Every attempt reaches the driver after this time.
///
/// It gives the calls of a driver that answers at once an await, at which they can be dropped or
/// run out of time:
///
/// ```
/// # mod counters {
/// #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/counters/mod.rs"));
/// # }
/// # use counters::{CountersSubsystem, Fixed};
/// use std::time::Duration;
///
/// use switchboard_core::Policy;
/// use switchboard_testkit::{Workbench, assert_idle, drop_at_every_await, inject, slowed};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> switchboard_core::Result<()> {
/// let bench = Workbench::<CountersSubsystem>::new()?;
/// let counters = bench.serve("main", Fixed(7), Policy::default())?;
///
/// let _faults = inject(counters.line(), slowed(Duration::from_millis(1)))?;
/// let awaits = drop_at_every_await(
///     || counters.read("visits"),
///     async |_| assert_idle(counters.line()).await,
/// );
/// assert_eq!(awaits.await, 1);
/// # Ok(()) }
/// ```
#[must_use]
pub fn slowed(delay: Duration) -> Faults {
    Faults::new(Clock::seeded(0)).chance(1.0, Fault::Late(delay))
}

/// This share of all attempts, from zero to one, finds the service unavailable; which ones follows
/// from `seed`.
///
/// ```
/// # mod counters {
/// #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/counters/mod.rs"));
/// # }
/// # use counters::{CountersSubsystem, Fixed};
/// use switchboard_core::{Policy, RetryPolicy};
/// use switchboard_testkit::{Workbench, flaky, inject};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> switchboard_core::Result<()> {
/// let bench = Workbench::<CountersSubsystem>::new()?;
/// let policy = Policy { retry: Some(RetryPolicy::default()), ..Policy::default() };
/// let counters = bench.serve("main", Fixed(7), policy)?;
///
/// let faults = inject(counters.line(), flaky(42, 0.2))?;
/// for _ in 0..50 {
///     assert_eq!(counters.read("visits").await?, 7);
/// }
/// assert!(faults.injected() > 0);
/// # Ok(()) }
/// ```
#[must_use]
pub fn flaky(seed: u64, share: f64) -> Faults {
    Faults::new(Clock::seeded(seed)).chance(share, Fault::Fail(on_purpose(ErrorKind::Unavailable)))
}

/// Lets `faults` happen to the calls of `line` until the answer is dropped.
///
/// A line has one source of faults: another takes the place of the one before, and whichever guard
/// goes first ends both. See [`outage`] for an example.
///
/// # Errors
///
/// Where the environment refuses faults, because it is one of production.
pub fn inject<S: Subsystem>(line: &Line<S>, faults: Faults) -> Result<Injected<S>> {
    let faults = Arc::new(faults);
    line.set_faults(Some(faults.clone()))?;
    Ok(Injected { line: line.clone(), faults })
}

/// Faults in force. Through it one can add to their script, and count them.
#[must_use = "the faults end as soon as this is dropped"]
pub struct Injected<S: Subsystem> {
    line: Line<S>,
    faults: Arc<Faults>,
}

impl<S: Subsystem> Deref for Injected<S> {
    type Target = Faults;

    fn deref(&self) -> &Faults {
        &self.faults
    }
}

impl<S: Subsystem> Drop for Injected<S> {
    fn drop(&mut self) {
        // Only a line that is closed refuses, and that one has no calls any more.
        self.line.set_faults(None).ok();
    }
}

impl<S: Subsystem> fmt::Debug for Injected<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Injected").field("line", &self.line).field("faults", &self.faults).finish()
    }
}

fn on_purpose(kind: ErrorKind) -> Error {
    Error::new(kind, "a fault was injected")
}
