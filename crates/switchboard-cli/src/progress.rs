//! How far something has come that takes a while, for people at a terminal.

use std::time::{Duration, Instant};

use switchboard_core::Clock;
use switchboard_storage::Progress;

use crate::notes::Notes;
use crate::screen::Screen;

/// A line that says how far something has come. It goes away when this is dropped, and never is on a pipe.
pub(crate) struct Bar {
    notes: Option<Notes>,
    clock: Clock,
    told: Option<Instant>,
}

impl Bar {
    pub(crate) fn on(screen: &Screen, clock: &Clock) -> Self {
        let notes = screen.is_watched().then(|| screen.notes());
        Self { notes, clock: clock.clone(), told: None }
    }

    /// An object has come so far.
    pub(crate) fn show(&mut self, progress: Progress) {
        self.tell(|| match (progress.percent(), progress.total) {
            (Some(percent), Some(total)) => {
                format!("{percent:>3} %  {} of {}", size(progress.bytes), size(total))
            }
            _ => size(progress.bytes),
        });
    }

    /// So much is done of what has no end that is known.
    pub(crate) fn count(&mut self, done: impl FnOnce() -> String) {
        self.tell(done);
    }

    fn tell(&mut self, state: impl FnOnce() -> String) {
        let Some(notes) = &self.notes else { return };
        let now = self.clock.now();
        let is_early = self.told.is_some_and(|told| now.saturating_duration_since(told) < INTERVAL);
        if !is_early {
            self.told = Some(now);
            notes.show(state());
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let (Some(notes), Some(_)) = (&self.notes, self.told) {
            notes.show("");
        }
    }
}

/// So many bytes, for people.
pub(crate) fn size(bytes: u64) -> String {
    let mut unit = None;
    let (mut whole, mut rest) = (bytes, 0);
    for next in ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] {
        if whole < 1024 {
            break;
        }
        (whole, rest) = (whole / 1024, whole % 1024);
        unit = Some(next);
    }
    match unit {
        Some(unit) => format!("{whole}.{} {unit}", rest * 10 / 1024),
        None => format!("{bytes} B"),
    }
}

/// How often people are told.
const INTERVAL: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_one_digit_after_the_point_and_is_never_rounded_up() {
        for (bytes, written) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            ((1 << 20) - 1, "1023.9 KiB"),
            (300 << 20, "300.0 MiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(size(bytes), written);
        }
    }
}
