//! What holds for all connections of a wire, now and until it is said otherwise.

use std::time::Duration;

use tokio::sync::watch;

use super::Direction;

/// What was said to the wire so far.
#[derive(Debug, Default)]
pub(super) struct Rules {
    pub(super) switches: Switches,
    /// How often all was cut. Who was there before the last time ends.
    pub(super) cuts: u64,
    /// The same for each direction, by its position.
    pub(super) half_closes: [u64; 2],
}

/// What can be healed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Switches {
    pub(super) holds: bool,
    pub(super) refuses: bool,
    pub(super) drops_replies: bool,
    pub(super) delay: Duration,
}

impl Switches {
    pub(super) fn drops(self, direction: Direction) -> bool {
        self.drops_replies && direction == Direction::ToClient
    }

    /// What decides when something may pass.
    fn passage(self) -> (bool, Duration) {
        (self.holds, self.delay)
    }
}

/// Waits until what has arrived now may pass; what holds then.
pub(super) async fn passed(rules: &watch::Sender<Rules>) -> Switches {
    let mut rules = rules.subscribe();
    loop {
        let switches = rules.borrow_and_update().switches;
        if !switches.holds && switches.delay.is_zero() {
            return switches;
        }
        let changed = rules.wait_for(|now| now.switches.passage() != switches.passage());
        let limit = if switches.holds { Duration::MAX } else { switches.delay };
        let Ok(_) = tokio::time::timeout(limit, changed).await else {
            return rules.borrow().switches;
        };
    }
}

/// Waits until `count` is more than it was `before`.
pub(super) async fn raised(
    rules: &watch::Sender<Rules>,
    before: u64,
    count: impl Fn(&Rules) -> u64,
) {
    // The wire that says so outlives those who listen to it.
    let _ = rules.subscribe().wait_for(|now| count(now) > before).await;
}
