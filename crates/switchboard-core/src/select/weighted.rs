//! Shares by weight.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

use super::turns::{Turns, start};
use super::{Candidates, Selector};

/// The healthy members, each as often as its weight says.
///
/// Turns are spread as evenly as they can be: of the first 2, 4, 8 … turns of a thread, and of each
/// further so many, a member gets its exact share, rounded up or down. That holds whichever members
/// are down: their share goes to the others by their weights. A member of weight zero is a spare: it
/// is tried when no other one is left that is healthy.
///
/// ```
/// use switchboard_core::{Candidates, Selector, Weighted};
///
/// let selector = Weighted::new([("large", 3), ("spare", 0)]);
/// selector.members(&["large", "small", "spare"]);
/// let mut picks = [0; 3];
/// for _ in 0..64 {
///     picks[selector.pick(Candidates::all(3)).unwrap()] += 1;
/// }
/// assert_eq!(picks, [48, 16, 0], "one without a weight has a weight of 1");
/// ```
pub struct Weighted {
    by_name: BTreeMap<String, u32>,
    weights: [AtomicU32; Candidates::MEMBERS_MAX],
    turns: Turns,
}

impl Weighted {
    /// The largest weight there is; one above it counts as this.
    pub const WEIGHT_MAX: u32 = 1_000_000;

    /// By the weight of each member; one that is not named has a weight of 1.
    ///
    /// Names are those of instances, in lower case. One that is no member has no effect, because it
    /// may still become one.
    #[must_use]
    pub fn new<N: Into<String>>(weights: impl IntoIterator<Item = (N, u32)>) -> Self {
        let by_name = weights
            .into_iter()
            .map(|(name, weight)| (name.into(), weight.min(Self::WEIGHT_MAX)))
            .collect();
        Self {
            by_name,
            weights: [const { AtomicU32::new(1) }; Candidates::MEMBERS_MAX],
            turns: Turns::new(),
        }
    }

    #[inline]
    fn weight(&self, member: usize) -> u64 {
        u64::from(self.weights[member].load(Ordering::Relaxed))
    }

    /// Somewhere between zero and `total`, in an order in which any piece of the way is passed as
    /// often as it is long: turns are read backwards, from their lowest bit up.
    #[inline]
    fn place(&self, candidates: Candidates, total: u64) -> u64 {
        let turn = self.turns.next(candidates).reverse_bits();
        let start = start().wrapping_mul(APART);
        let way = u128::from(turn.wrapping_add(start)) * u128::from(total);
        // Less than `total`, which is a sum of a few weights.
        u64::try_from(way >> u64::BITS).unwrap_or(0)
    }
}

impl Selector for Weighted {
    fn name(&self) -> &'static str {
        "weighted"
    }

    #[inline]
    fn pick(&self, candidates: Candidates) -> Option<usize> {
        let candidates = candidates.preferred();
        let total: u64 = candidates.iter().map(|member| self.weight(member)).sum();
        if total == 0 {
            return self.turns.in_turn(candidates);
        }
        let mut place = self.place(candidates, total);
        candidates.iter().find(|member| {
            let weight = self.weight(*member);
            let is_here = place < weight;
            place = place.saturating_sub(weight);
            is_here
        })
    }

    fn members(&self, names: &[&str]) {
        for (cell, name) in self.weights.iter().zip(names) {
            cell.store(self.by_name.get(*name).copied().unwrap_or(1), Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Weighted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Weighted").field("weights", &self.by_name).finish_non_exhaustive()
    }
}

/// The golden section of the way: so far apart threads start.
const APART: u64 = 0x9E37_79B9_7F4A_7C15;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn over(weights: &[u32]) -> Weighted {
        let names: Vec<_> = (0..weights.len()).map(|member| format!("m{member}")).collect();
        let selector = Weighted::new(names.iter().cloned().zip(weights.iter().copied()));
        selector.members(&names.iter().map(String::as_str).collect::<Vec<_>>());
        selector
    }

    proptest! {
        #[test]
        fn each_gets_its_exact_share_rounded_up_or_down_whoever_is_down(
            weights in proptest::collection::vec(0_u32..50, 1..20),
            down in any::<u64>(),
            cycle in 0_u32..10,
        ) {
            let selector = over(&weights);
            let candidates = Candidates::all(weights.len()).with_down(down);
            let turns = 1_u32 << cycle;
            let usable = candidates.preferred();
            let weight = |member: usize| {
                if usable.contains(member) { f64::from(weights[member]) } else { 0.0 }
            };
            let total: f64 = (0..weights.len()).map(weight).sum();
            prop_assume!(total > 0.0);
            for _ in 0..3 {
                let mut picks = vec![0_u32; weights.len()];
                for _ in 0..turns {
                    picks[selector.pick(candidates).unwrap()] += 1;
                }
                for (member, picked) in picks.into_iter().enumerate() {
                    let share = f64::from(turns) * weight(member) / total;
                    prop_assert!((f64::from(picked) - share).abs() < 1.000_001, "{member}: {picked} of {share}");
                }
            }
        }

        #[test]
        fn masks_that_take_turns_do_not_disturb_each_other(
            weights in proptest::collection::vec(1_u32..9, 2..=6),
            failing in any::<prop::sample::Index>(),
        ) {
            // A member that always fails: what it leaves is spread over the others by their weights.
            let selector = over(&weights);
            let failing = failing.index(weights.len());
            let all = Candidates::all(weights.len());
            let mut served = vec![0_u32; weights.len()];
            for _ in 0..1024 {
                let first = selector.pick(all).unwrap();
                let member = if first == failing {
                    selector.pick(all.without(failing)).unwrap()
                } else {
                    first
                };
                served[member] += 1;
            }
            let others: u32 = weights.iter().sum::<u32>() - weights[failing];
            for (member, served) in served.into_iter().enumerate().filter(|(m, _)| *m != failing) {
                let share = 1024.0 * f64::from(weights[member]) / f64::from(others);
                prop_assert!((f64::from(served) - share).abs() < 12.0, "{served} of {share}");
            }
        }
    }

    #[test]
    fn a_spare_is_used_only_when_no_other_healthy_one_is_left() {
        let selector = over(&[3, 0, 1, 0]);
        for _ in 0..100 {
            let picked = selector.pick(Candidates::all(4)).unwrap();
            assert!([0, 2].contains(&picked), "{picked}");
        }
        let spares = Candidates::all(4).with_down(0b0101);
        let picks: Vec<_> = (0..100).map(|_| selector.pick(spares).unwrap()).collect();
        assert_eq!(picks.iter().filter(|picked| **picked == 1).count(), 50, "evenly, then");
        assert_eq!(picks.iter().filter(|picked| **picked == 3).count(), 50);
    }

    #[test]
    fn members_are_told_again_when_some_were_added() {
        let selector = Weighted::new([("a", 2), ("late", 6)]);
        selector.members(&["a"]);
        assert_eq!(selector.pick(Candidates::all(1)), Some(0));
        selector.members(&["a", "late"]);
        let picks = (0..64).filter(|_| selector.pick(Candidates::all(2)) == Some(1)).count();
        assert_eq!(picks, 48);
    }
}
