//! Which member of a group a call goes to.
//!
//! A selector picks one member at a time. When that one could not serve the call, it is asked
//! again with one candidate less. It never asks a service how it is: health is pushed to it.

use crate::stripe::{self, Counters};

/// Picks the next member for a call. Runs on every call: no locks, no waiting.
///
/// ```
/// use switchboard_core::{Candidates, Selector};
///
/// /// The last member first.
/// #[derive(Debug)]
/// struct Backwards;
///
/// impl Selector for Backwards {
///     fn name(&self) -> &'static str {
///         "backwards"
///     }
///
///     fn pick(&self, candidates: Candidates) -> Option<usize> {
///         candidates.iter().last()
///     }
/// }
///
/// assert_eq!(Backwards.pick(Candidates::all(3)), Some(2));
/// assert_eq!(Backwards.pick(Candidates::all(3).without(2)), Some(1));
/// ```
pub trait Selector: Send + Sync + 'static {
    /// The name in configuration and figures.
    fn name(&self) -> &'static str;

    /// The member to try now, or `None` to give up. A member that is not a candidate ends the walk
    /// as `None` does.
    fn pick(&self, candidates: Candidates) -> Option<usize>;
}

/// The members that a call has not tried yet, and which of them are known to be down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidates {
    untried: u64,
    down: u64,
}

impl Candidates {
    /// How many members a group may have.
    pub const MEMBERS_MAX: usize = 64;

    /// The first `count` members, none of them down; at most [`Self::MEMBERS_MAX`].
    #[inline]
    pub fn all(count: usize) -> Self {
        let untried = match count {
            0 => 0,
            count if count >= Self::MEMBERS_MAX => u64::MAX,
            count => (1 << count) - 1,
        };
        Self { untried, down: 0 }
    }

    /// The same, where the members whose bits are set are down.
    #[must_use]
    #[inline]
    pub fn with_down(self, down: u64) -> Self {
        Self { down, ..self }
    }

    /// The same without `member`.
    #[must_use]
    #[inline]
    pub fn without(self, member: usize) -> Self {
        let bit = 1_u64.checked_shl(u32::try_from(member).unwrap_or(u32::MAX)).unwrap_or(0);
        Self { untried: self.untried & !bit, ..self }
    }

    /// Those of them that are not known to be down.
    #[must_use]
    #[inline]
    pub fn healthy(self) -> Self {
        Self { untried: self.untried & !self.down, ..self }
    }

    /// The healthy ones; if there are none all of them, because trying beats refusing.
    #[must_use]
    #[inline]
    pub fn preferred(self) -> Self {
        let healthy = self.healthy();
        if healthy.is_empty() { self } else { healthy }
    }

    /// Whether there is none left.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.untried == 0
    }

    /// How many there are.
    #[inline]
    pub fn len(self) -> usize {
        self.untried.count_ones() as usize
    }

    /// Whether `member` is one of them.
    #[inline]
    pub fn contains(self, member: usize) -> bool {
        self.without(member) != self
    }

    /// The first of them.
    #[inline]
    pub fn first(self) -> Option<usize> {
        self.nth(0)
    }

    /// The one at `position` among them.
    #[inline]
    pub fn nth(self, position: usize) -> Option<usize> {
        let mut left = self.untried;
        for _ in 0..position {
            left &= left.wrapping_sub(1);
        }
        (left != 0).then(|| left.trailing_zeros() as usize)
    }

    /// All of them, in the order of the group.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = usize> {
        (0..Self::MEMBERS_MAX).filter(move |member| self.contains(*member))
    }
}

/// The first healthy member, in the order of the group.
///
/// When all are down it still tries them, in that order.
#[derive(Clone, Copy, Debug, Default)]
pub struct Priority;

/// The healthy members in turn, evenly however many of them are down.
///
/// Each thread counts for itself, so that threads do not meet on a counter. When all members are
/// down it still tries them.
#[derive(Debug)]
pub struct RoundRobin {
    turns: Counters,
}

/// The first member that is not known to be down; when all are, the call is refused.
#[derive(Clone, Copy, Debug, Default)]
pub struct HealthCheck;

impl RoundRobin {
    /// Starts anywhere.
    #[must_use]
    pub fn new() -> Self {
        Self { turns: Counters::new(1) }
    }
}

impl Default for RoundRobin {
    fn default() -> Self {
        Self::new()
    }
}

impl Selector for Priority {
    fn name(&self) -> &'static str {
        "priority"
    }

    #[inline]
    fn pick(&self, candidates: Candidates) -> Option<usize> {
        candidates.preferred().first()
    }
}

impl Selector for RoundRobin {
    fn name(&self) -> &'static str {
        "round_robin"
    }

    #[inline]
    fn pick(&self, candidates: Candidates) -> Option<usize> {
        let candidates = candidates.preferred();
        // Threads start apart, so that the first calls of many threads spread.
        let turn = self.turns.add(0).wrapping_add(stripe::index(Candidates::MEMBERS_MAX) as u64);
        let position = turn.checked_rem(candidates.len() as u64)?;
        candidates.nth(usize::try_from(position).ok()?)
    }
}

impl Selector for HealthCheck {
    fn name(&self) -> &'static str {
        "health_check"
    }

    #[inline]
    fn pick(&self, candidates: Candidates) -> Option<usize> {
        candidates.healthy().first()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn priority_keeps_the_order_and_passes_over_what_is_down() {
        let all = Candidates::all(4);
        assert_eq!(Priority.pick(all), Some(0));
        assert_eq!(Priority.pick(all.with_down(0b0011)), Some(2));
        assert_eq!(Priority.pick(all.with_down(0b1111)), Some(0), "trying beats refusing");
    }

    #[test]
    fn health_check_refuses_when_all_are_down() {
        assert_eq!(HealthCheck.pick(Candidates::all(2).with_down(0b01)), Some(1));
        assert_eq!(HealthCheck.pick(Candidates::all(2).with_down(0b11)), None);
    }

    #[test]
    fn round_robin_is_even_although_one_is_down() {
        let selector = RoundRobin::new();
        let mut picks = [0; 4];
        for _ in 0..300 {
            picks[selector.pick(Candidates::all(4).with_down(0b0010)).unwrap()] += 1;
        }
        assert_eq!(picks, [100, 0, 100, 100]);
    }

    proptest! {
        #[test]
        fn every_candidate_is_picked_once_before_the_walk_ends(
            count in 0_usize..=64,
            down in any::<u64>(),
        ) {
            let round_robin = RoundRobin::new();
            let selectors: [&dyn Selector; 2] = [&Priority, &round_robin];
            for selector in selectors {
                let mut left = Candidates::all(count).with_down(down);
                let mut picked = Vec::new();
                while let Some(member) = selector.pick(left) {
                    prop_assert!(left.contains(member), "{} {member}", selector.name());
                    left = left.without(member);
                    picked.push(member);
                }
                let healthy = Candidates::all(count).with_down(down).healthy().len();
                let healthy_first =
                    picked.iter().take(healthy).all(|member| down & (1 << member) == 0);
                prop_assert!(healthy_first);
                picked.sort_unstable();
                prop_assert_eq!(picked, (0..count).collect::<Vec<_>>());
            }
        }
    }
}
