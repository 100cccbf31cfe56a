//! The same member for the same key.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use super::key::hash;
use super::turns::Turns;
use super::{Candidates, Selector};
use crate::clock::mix;

/// The member that the key of the call belongs to: rendezvous hashing on the names of the members.
///
/// Each member draws a number for each key from its name, and the highest wins. So when a member goes,
/// only its keys move, and one that comes takes an even share from all; the order of the members does not matter, and
/// groups with the same members agree. When the member of a key is down, or its breaker is open, the
/// call goes to the one with the next highest number, and comes back when that one is well. A call
/// that only reads goes there after any outage too. For a member that is only busy (a rate limit, no
/// slot, or a service that says so), and for a change that failed this once, no other one stands in,
/// or what belongs to one key would be with two members: the error is the answer.
///
/// Which key a call has its handle says: see [`Line::keyed`](crate::Line::keyed). A call without one
/// goes to the members in turn.
///
/// ```
/// use switchboard_core::{Candidates, HashByKey, Selector};
///
/// let selector = HashByKey::new();
/// selector.members(&["left", "middle", "right"]);
/// let call = Candidates::all(3).with_key(7);
/// let first = selector.pick(call);
/// assert_eq!(selector.pick(call), first, "whenever and wherever it is asked");
/// ```
pub struct HashByKey {
    /// What stands for the name of each member.
    names: [AtomicU64; Candidates::MEMBERS_MAX],
    turns: Turns,
}

impl HashByKey {
    /// Knows no names yet.
    #[must_use]
    pub fn new() -> Self {
        Self { names: [const { AtomicU64::new(0) }; Candidates::MEMBERS_MAX], turns: Turns::new() }
    }

    /// The number that `member` draws for a key.
    #[inline]
    fn draw(&self, member: usize, key: u64) -> u64 {
        mix(key ^ self.names[member].load(Ordering::Relaxed))
    }
}

impl Default for HashByKey {
    fn default() -> Self {
        Self::new()
    }
}

impl Selector for HashByKey {
    fn name(&self) -> &'static str {
        "hash_by_key"
    }

    #[inline]
    fn pick(&self, candidates: Candidates) -> Option<usize> {
        let candidates = candidates.preferred();
        let Some(key) = candidates.key() else { return self.turns.in_turn(candidates) };
        candidates.iter().max_by_key(|member| self.draw(*member, key))
    }

    fn members(&self, names: &[&str]) {
        for (cell, name) in self.names.iter().zip(names) {
            cell.store(hash(name.as_bytes()), Ordering::Relaxed);
        }
    }

    fn chooses_by_key(&self) -> bool {
        true
    }
}

impl fmt::Debug for HashByKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HashByKey").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn over(names: &[String]) -> HashByKey {
        let selector = HashByKey::new();
        selector.members(&names.iter().map(String::as_str).collect::<Vec<_>>());
        selector
    }

    /// The name of the member that `key` belongs to.
    fn owner<'n>(selector: &HashByKey, names: &'n [String], key: u64) -> &'n str {
        &names[selector
            .pick(Candidates::all(names.len()).with_key(hash(&key.to_le_bytes())))
            .unwrap()]
    }

    fn names() -> impl Strategy<Value = Vec<String>> {
        proptest::collection::btree_set("[a-z]{1,12}", 2..20)
            .prop_map(|names| names.into_iter().collect())
    }

    proptest! {
        #[test]
        fn a_member_that_goes_moves_only_its_own_keys(names in names(), gone in any::<prop::sample::Index>()) {
            let gone = gone.index(names.len());
            let mut left = names.clone();
            let gone = left.remove(gone);
            let (before, after) = (over(&names), over(&left));
            for key in 0..500 {
                let owner_before = owner(&before, &names, key);
                if owner_before != gone {
                    prop_assert_eq!(owner(&after, &left, key), owner_before);
                }
            }
        }

        #[test]
        fn a_member_that_is_down_leaves_its_keys_to_those_who_would_have_them_without_it(
            names in names(), down in any::<prop::sample::Index>(),
        ) {
            let down = down.index(names.len());
            let mut left = names.clone();
            left.remove(down);
            let (all, without) = (over(&names), over(&left));
            for key in 0..200_u64 {
                let hashed = hash(&key.to_le_bytes());
                let candidates = Candidates::all(names.len()).with_key(hashed);
                let picked = &names[all.pick(candidates.with_down(1 << down)).unwrap()];
                prop_assert_eq!(picked, owner(&without, &left, key));
                let failed_over = &names[all.pick(candidates.without(down)).unwrap()];
                prop_assert_eq!(failed_over, picked);
            }
        }

        #[test]
        fn the_order_of_the_members_does_not_matter(names in names(), turn in 0_usize..20) {
            let mut turned = names.clone();
            turned.rotate_left(turn % names.len());
            for key in 0..200 {
                prop_assert_eq!(
                    owner(&over(&names), &names, key),
                    owner(&over(&turned), &turned, key)
                );
            }
        }
    }

    #[test]
    fn a_member_that_comes_takes_its_share_and_moves_nothing_between_the_others() {
        const KEYS: u64 = 20_000;
        for count in [1, 2, 4, 9, 31] {
            let names: Vec<_> = (0..=count).map(|member| format!("shard-{member}")).collect();
            let (before, after) = (over(&names[..count]), over(&names));
            let mut moved = 0_u64;
            for key in 0..KEYS {
                let (from, to) = (owner(&before, &names[..count], key), owner(&after, &names, key));
                if from != to {
                    assert_eq!(to, names[count]);
                    moved += 1;
                }
            }
            let share = KEYS / (count as u64 + 1);
            assert!(moved.abs_diff(share) < share / 5 + 50, "{count}: {moved} of {share}");
        }
    }

    #[test]
    fn keys_are_spread_evenly_and_the_choices_of_nested_groups_have_nothing_to_do_with_each_other()
    {
        const KEYS: u64 = 40_000;
        let outer: Vec<_> = ["east", "west"].map(String::from).into();
        let inner: Vec<_> = ["one", "two", "three", "four"].map(String::from).into();
        let (outer_selector, inner_selector) = (over(&outer), over(&inner));
        let mut counts = std::collections::BTreeMap::new();
        for key in 0..KEYS {
            let pair = (owner(&outer_selector, &outer, key), owner(&inner_selector, &inner, key));
            *counts.entry(pair).or_insert(0_u64) += 1;
        }
        assert_eq!(counts.len(), 8);
        for (pair, count) in counts {
            assert!(count.abs_diff(KEYS / 8) < KEYS / 80, "{pair:?}: {count}");
        }
    }

    #[test]
    fn a_call_without_a_key_goes_to_the_members_in_turn() {
        let selector = HashByKey::new();
        let mut picks = [0; 3];
        for _ in 0..300 {
            picks[selector.pick(Candidates::all(3)).unwrap()] += 1;
        }
        assert_eq!(picks, [100, 100, 100]);
    }
}
