//! The time between two looks of what the board does in the background.

use std::sync::Weak;
use std::time::{Duration, Instant};

use switchboard_core::Clock;

use crate::board::Core;

/// Ends about as long after `last` as checks are apart, or as soon as the board is gone.
pub(super) async fn until_next(core: &Weak<Core>, clock: &Clock, last: Instant) {
    let share = clock.fraction();
    while let Some(left) = left_until_next(core, clock.now() - last, share) {
        // In short steps, because a reload may change how long it is.
        clock.sleep(left.min(STEP_MAX)).await;
    }
}

fn left_until_next(core: &Weak<Core>, passed: Duration, share: f64) -> Option<Duration> {
    let every = core.upgrade()?.wanted().health.every;
    // Nine to eleven tenths, as with checks.
    let pause = (every / 10 * 9).saturating_add((every / 5).mul_f64(share));
    pause.checked_sub(passed).filter(|left| !left.is_zero())
}

/// How long it may take until a new interval holds.
const STEP_MAX: Duration = Duration::from_secs(1);
