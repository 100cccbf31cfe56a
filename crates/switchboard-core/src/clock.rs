//! Time and randomness, as values that come in from outside.
//!
//! The one place that reads a clock or draws a random number, so that tests decide both: time
//! follows tokio's (paused) clock, randomness a seed.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// What time it is, and what the dice say.
///
/// ```
/// use switchboard_core::Clock;
///
/// let one = Clock::seeded(7);
/// let two = Clock::seeded(7);
/// assert_eq!(one.fraction().to_bits(), two.fraction().to_bits());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// The state of a seeded generator; without one, each thread has its own.
    seeded: Option<Arc<AtomicU64>>,
}

impl Clock {
    /// The clock of the machine, with randomness nobody can foresee.
    #[must_use]
    pub fn system() -> Self {
        Self::default()
    }

    /// The clock of the machine, with randomness that follows from `seed`.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self { seeded: Some(Arc::new(AtomicU64::new(seed))) }
    }

    /// The present moment; it never goes back, and stands still while tokio's clock is paused.
    #[expect(clippy::disallowed_methods, reason = "the clock is the one place that reads a clock")]
    #[inline]
    pub fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    /// The date and time of the machine. It may jump, so nothing is measured by it: it is for showing to
    /// people, and for what has to mean something to another process.
    #[expect(clippy::disallowed_methods, reason = "the clock is the one place that reads a clock")]
    pub fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    /// Ends when `moment` has come; at once if it has passed.
    pub fn sleep_until(&self, moment: Instant) -> tokio::time::Sleep {
        tokio::time::sleep_until(tokio::time::Instant::from_std(moment))
    }

    /// Ends when `delay` has passed.
    pub async fn sleep(&self, delay: Duration) {
        tokio::time::sleep(delay).await;
    }

    /// A number drawn evenly from all of `u64`.
    #[inline]
    pub fn random(&self) -> u64 {
        match &self.seeded {
            Some(state) => mix(state.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP)),
            None => THREAD_STATE.with(|state| {
                state.set(state.get().wrapping_add(STEP));
                mix(state.get())
            }),
        }
    }

    /// A number drawn evenly from zero up to, and without, one.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit the mantissa exactly")]
    pub fn fraction(&self) -> f64 {
        (self.random() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Lets every bit of a number decide over every other, so that a counter spreads over all of `u64`: the
/// finalizer of `SplitMix64`. No two numbers become the same.
#[inline]
pub(crate) const fn mix(state: u64) -> u64 {
    let state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    state ^ (state >> 31)
}

/// A duration as a whole number, as far as that holds it: 584 years.
#[inline]
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

thread_local! {
    static THREAD_STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(STEP));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_stay_below_one_and_spread() {
        let clock = Clock::seeded(1);
        let drawn: Vec<f64> = (0..10_000).map(|_| clock.fraction()).collect();
        assert!(drawn.iter().all(|fraction| (0.0..1.0).contains(fraction)));
        let mean = drawn.iter().sum::<f64>() / 10_000.0;
        assert!((0.48..0.52).contains(&mean), "{mean}");
    }

    #[tokio::test(start_paused = true)]
    async fn time_stands_still_until_the_test_moves_it() {
        let clock = Clock::system();
        let before = clock.now();
        assert_eq!(clock.now(), before);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(clock.now() - before, Duration::from_secs(5));
    }
}
