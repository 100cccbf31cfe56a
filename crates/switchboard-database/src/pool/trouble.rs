//! How long to wait with the next connection after one could not be made.

use std::time::{Duration, Instant};

use switchboard_core::Error;

/// The failures since a connection was made the last time.
#[derive(Default)]
pub(super) struct Trouble {
    failures: u32,
    last: Option<(Instant, Error)>,
}

impl Trouble {
    pub(super) fn failed(&mut self, now: Instant, error: Error) {
        self.failures = self.failures.saturating_add(1);
        self.last = Some((now, error));
    }

    /// How many attempts have failed.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    pub(super) fn last(&self) -> Option<&Error> {
        self.last.as_ref().map(|(_, error)| error)
    }

    /// How long from `now` the next attempt waits: by chance anything up to the whole of a wait that
    /// doubles with each failure, counted from the last one.
    pub(super) fn delay(&self, now: Instant, fraction: f64) -> Duration {
        let Some((at, _)) = &self.last else { return Duration::ZERO };
        let doublings = self.failures.saturating_sub(1).min(DOUBLINGS_MAX);
        let whole = (DELAY_FIRST * (1 << doublings)).min(DELAY_MAX);
        (*at + whole.mul_f64(fraction)).saturating_duration_since(now)
    }
}

const DELAY_FIRST: Duration = Duration::from_millis(100);
const DELAY_MAX: Duration = Duration::from_secs(2);
const DOUBLINGS_MAX: u32 = 8;

#[cfg(test)]
mod tests {
    use switchboard_core::{Clock, ErrorKind};

    use super::*;

    #[test]
    fn the_wait_doubles_up_to_a_limit_and_counts_from_the_failure() {
        let now = Clock::system().now();
        let mut trouble = Trouble::default();
        assert_eq!(trouble.delay(now, 0.999), Duration::ZERO);
        for expected in [100, 200, 400, 800, 1_600, 2_000, 2_000] {
            trouble.failed(now, Error::new(ErrorKind::Unavailable, "refused"));
            assert_eq!(trouble.delay(now, 1.0), Duration::from_millis(expected));
            assert_eq!(trouble.delay(now, 0.0), Duration::ZERO);
        }
        let later = now + Duration::from_millis(1_500);
        assert_eq!(trouble.delay(later, 1.0), Duration::from_millis(500));
        assert_eq!(trouble.delay(later + DELAY_MAX, 1.0), Duration::ZERO);
    }
}
