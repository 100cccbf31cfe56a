//! Faults on purpose: the innermost gate, between the attempt and the driver.
//!
//! Plays a script first, then a seeded game of chance. It stands inside every other gate, so what it
//! does is met by exactly what would meet the real thing.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, pending};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::sync::Mutex;
use crate::{Clock, Error, Outcome, Result};

/// What happens to an attempt in place of, or around, the call of the driver.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing: the driver is called.
    Pass,
    /// The driver is not called; this error comes back.
    Fail(Error),
    /// The driver is not called, and no answer ever comes.
    Hang,
    /// The driver is called after this time.
    Late(Duration),
    /// The driver is called; when it has succeeded, this error comes back all the same, with the
    /// outcome `Applied` or `Unknown` as the error says.
    ApplyThenFail(Error),
    /// The driver is not called; the attempt panics.
    Panic,
}

/// A source of faults for the attempts of one line.
///
/// ```
/// use switchboard_core::{Clock, Error, ErrorKind, Fault, Faults};
///
/// // The first attempt fails, the second one passes; after that three in ten fail.
/// let down = Error::new(ErrorKind::Unavailable, "on purpose");
/// let faults = Faults::new(Clock::seeded(42))
///     .script([Fault::Fail(down.clone()), Fault::Pass])
///     .chance(0.3, Fault::Fail(down));
/// ```
pub struct Faults {
    clock: Clock,
    script: Mutex<VecDeque<Fault>>,
    chances: Vec<(f64, Fault)>,
    injected: AtomicU64,
}

impl Faults {
    /// No fault yet; chance follows the dice of `clock`.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock, script: Mutex::default(), chances: Vec::new(), injected: AtomicU64::new(0) }
    }

    /// The same, with these for the next attempts, one each.
    #[must_use]
    pub fn script(self, faults: impl IntoIterator<Item = Fault>) -> Self {
        self.script.lock().extend(faults);
        self
    }

    /// The same, where an attempt beyond the script meets `fault` with this probability, from zero to
    /// one. Several chances are tried in the order in which they were given.
    #[must_use]
    pub fn chance(mut self, probability: f64, fault: Fault) -> Self {
        self.chances.push((probability, fault));
        self
    }

    /// Adds to the script while it plays.
    pub fn push(&self, fault: Fault) {
        self.script.lock().push_back(fault);
    }

    /// How many attempts met a fault so far.
    pub fn injected(&self) -> u64 {
        self.injected.load(Ordering::Relaxed)
    }

    /// One attempt, with whatever is its lot. `make` calls the driver.
    pub(crate) async fn apply<T, F>(&self, make: impl FnOnce() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let fault = self.next();
        if !matches!(fault, Fault::Pass) {
            self.injected.fetch_add(1, Ordering::Relaxed);
        }
        match fault {
            Fault::Pass => make().await,
            Fault::Fail(error) => Err(error),
            Fault::Hang => pending().await,
            Fault::Late(delay) => {
                self.clock.sleep(delay).await;
                make().await
            }
            Fault::ApplyThenFail(error) => {
                make().await?;
                Err(match error.outcome() {
                    // The effect did happen; an error that denies it would be a lie of the script.
                    Outcome::NotApplied => error.with_outcome(Outcome::Unknown),
                    _ => error,
                })
            }
            Fault::Panic => panic_on_purpose(),
        }
    }

    fn next(&self) -> Fault {
        if let Some(fault) = self.script.lock().pop_front() {
            return fault;
        }
        let lot = self.chances.iter().find(|(chance, _)| self.clock.fraction() < *chance);
        lot.map_or(Fault::Pass, |(_, fault)| fault.clone())
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults")
            .field("scripted", &self.script.lock().len())
            .field("chances", &self.chances.len())
            .field("injected", &self.injected())
            .finish_non_exhaustive()
    }
}

#[cold]
fn panic_on_purpose() -> ! {
    panic!("a fault was injected")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[tokio::test]
    async fn the_script_plays_in_order_and_then_chance_follows_the_seed() {
        let run = || async {
            let down = Error::new(ErrorKind::Unavailable, "on purpose");
            let faults = Faults::new(Clock::seeded(7))
                .script([Fault::Fail(down.clone()), Fault::Pass])
                .chance(0.5, Fault::Fail(down));
            let mut trace = Vec::new();
            for _ in 0..40 {
                trace.push(faults.apply(|| async { Ok(()) }).await.is_ok());
            }
            trace
        };
        let trace = run().await;
        assert_eq!(trace[..2], [false, true]);
        assert!(trace[2..].contains(&true) && trace[2..].contains(&false));
        assert_eq!(trace, run().await, "the same seed gives the same trace");
    }

    #[tokio::test]
    async fn an_effect_that_happened_is_never_reported_as_not_applied() {
        let lie = Error::new(ErrorKind::Timeout, "lost").not_applied();
        let faults = Faults::new(Clock::seeded(1)).script([Fault::ApplyThenFail(lie)]);
        let error = faults.apply(|| async { Ok(()) }).await.unwrap_err();
        assert_eq!(error.outcome(), Outcome::Unknown);
    }
}
