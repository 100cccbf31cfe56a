//! Every member in turn.

use super::turns::Turns;
use super::{Candidates, Selector};

/// The healthy members in turn, evenly however many of them are down.
///
/// Each thread counts for itself, so that threads do not meet on a counter. When all members are
/// down it still tries them.
#[derive(Debug)]
pub struct RoundRobin {
    turns: Turns,
}

impl RoundRobin {
    /// Starts anywhere.
    #[must_use]
    pub fn new() -> Self {
        Self { turns: Turns::new() }
    }
}

impl Default for RoundRobin {
    fn default() -> Self {
        Self::new()
    }
}

impl Selector for RoundRobin {
    fn name(&self) -> &'static str {
        "round_robin"
    }

    #[inline]
    fn pick(&self, candidates: Candidates) -> Option<usize> {
        self.turns.in_turn(candidates.preferred())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_robin_is_even_although_one_is_down() {
        let selector = RoundRobin::new();
        let mut picks = [0; 4];
        for _ in 0..300 {
            picks[selector.pick(Candidates::all(4).with_down(0b0010)).unwrap()] += 1;
        }
        assert_eq!(picks, [100, 0, 100, 100]);
    }

    #[test]
    fn the_calls_of_a_member_that_always_fails_are_spread_evenly_too() {
        let selector = RoundRobin::new();
        let mut served = [0; 3];
        for _ in 0..600 {
            let all = Candidates::all(3);
            let member = match selector.pick(all) {
                Some(0) => selector.pick(all.without(0)),
                other => other,
            };
            served[member.unwrap()] += 1;
        }
        assert_eq!(served, [0, 300, 300]);
    }
}
