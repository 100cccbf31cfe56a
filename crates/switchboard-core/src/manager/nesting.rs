//! How groups lie in each other: in which order they are made, and whether a call finds its way.
//!
//! Looks at each membership once, and goes as deep as the groups do without a deep stack. Knows no
//! instance, only who is in whom.

use std::collections::{BTreeMap, BTreeSet};

use super::GroupSettings;

/// The groups, each with its members. Whoever is a member and no group is an instance with a driver.
pub(super) struct Nesting<K>(BTreeMap<K, Vec<K>>);

/// What was found on the way through all groups.
pub(super) struct Walked<K> {
    /// All groups, none before one inside of it.
    pub(super) order: Vec<K>,
    /// For each group in whose walk one was found: the way around, which ends where it begins.
    pub(super) circles: Vec<(K, Vec<K>)>,
    /// What calls of each group go through.
    pub(super) extents: BTreeMap<K, Extent>,
}

/// What calls of one group go through at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extent {
    /// How many groups lie in each other, itself included.
    pub(super) deep: usize,
    /// In how many ways a call comes to a driver.
    pub(super) ways: usize,
}

impl<K: Ord + Clone> Nesting<K> {
    pub(super) fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// From now on the group has these members.
    pub(super) fn put(&mut self, group: K, members: Vec<K>) {
        self.0.insert(group, members);
    }

    pub(super) fn remove(&mut self, group: &K) {
        self.0.remove(group);
    }

    pub(super) fn has(&self, group: &K) -> bool {
        self.0.contains_key(group)
    }

    /// Goes through all groups, first those that `first` names.
    pub(super) fn walk<'k>(&'k self, first: impl IntoIterator<Item = &'k K>) -> Walked<K> {
        let mut walk = Walk { nesting: self, around: Vec::new(), outside: BTreeMap::new() };
        let mut found = Walked { order: Vec::new(), circles: Vec::new(), extents: BTreeMap::new() };
        for group in first.into_iter().chain(self.0.keys()) {
            walk.through(group, &mut found);
        }
        found
    }

    /// The groups that a call can go through no more, but could through each group inside of them.
    pub(super) fn too_large(&self, found: &Walked<K>) -> Vec<(K, Extent)> {
        let extent = |group: &K| found.extents.get(group).copied().filter(Extent::is_too_large);
        let innermost =
            self.0.iter().filter(|(_, members)| !members.iter().any(|m| extent(m).is_some()));
        innermost.filter_map(|(group, _)| Some((group.clone(), extent(group)?))).collect()
    }

    /// The first group for which `is_meant` says so: the group itself or one inside of it.
    pub(super) fn find_inside(&self, group: &K, is_meant: impl Fn(&K) -> bool) -> Option<K> {
        let (mut waiting, mut seen) = (vec![group], BTreeSet::new());
        while let Some(group) = waiting.pop() {
            let Some(members) = self.0.get(group).filter(|_| seen.insert(group)) else { continue };
            if is_meant(group) {
                return Some(group.clone());
            }
            waiting.extend(members.iter().rev());
        }
        None
    }
}

impl Extent {
    pub(super) fn is_too_large(&self) -> bool {
        self.deep > GroupSettings::DEEP_MAX || self.ways > GroupSettings::WAYS_MAX
    }

    /// Whether it goes nowhere beyond the other one.
    pub(super) fn is_within(self, other: Self) -> bool {
        self.deep <= other.deep && self.ways <= other.ways
    }

    /// What is wrong with a group of a call that goes through too much.
    pub(super) fn refusal(self) -> String {
        if self.deep > GroupSettings::DEEP_MAX {
            return format!("groups are at most {} deep in each other", GroupSettings::DEEP_MAX);
        }
        let most = GroupSettings::WAYS_MAX;
        format!("a call has at most {most} ways through groups to a driver")
    }

    fn around(&mut self, inner: Option<&Self>) {
        let inner = inner.copied().unwrap_or(Self { deep: 0, ways: 1 });
        self.deep = self.deep.max(inner.deep + 1);
        self.ways = self.ways.saturating_add(inner.ways);
    }
}

/// On the way from the outside to the inside.
struct Walk<'k, K> {
    nesting: &'k Nesting<K>,
    /// The groups that are being gone through, each with how many of its members are done.
    around: Vec<(&'k K, &'k [K], usize)>,
    /// Where each of them stands.
    outside: BTreeMap<&'k K, usize>,
}

impl<'k, K: Ord + Clone> Walk<'k, K> {
    fn through(&mut self, group: &'k K, found: &mut Walked<K>) {
        let mut circle = None;
        self.enter(group, found);
        while let Some((_, members, done)) = self.around.last_mut() {
            let Some(member) = members.get(*done) else {
                self.leave(found);
                continue;
            };
            *done += 1;
            if let Some(first) = self.outside.get(member) {
                circle.get_or_insert_with(|| self.circle(*first, member));
            } else {
                self.enter(member, found);
            }
        }
        // Once: it is told where it is found first.
        found.circles.extend(circle.map(|circle| (group.clone(), circle)));
    }

    /// Goes into a group, unless it is none or was gone through before.
    fn enter(&mut self, group: &'k K, found: &Walked<K>) {
        let Some(members) = self.nesting.0.get(group) else { return };
        if !found.extents.contains_key(group) {
            self.outside.insert(group, self.around.len());
            self.around.push((group, members, 0));
        }
    }

    fn leave(&mut self, found: &mut Walked<K>) {
        let Some((group, members, _)) = self.around.pop() else { return };
        self.outside.remove(group);
        let mut extent = Extent { deep: 1, ways: 0 };
        for member in members {
            extent.around(found.extents.get(member));
        }
        found.extents.insert(group.clone(), extent);
        found.order.push(group.clone());
    }

    fn circle(&self, first: usize, member: &K) -> Vec<K> {
        let way = self.around[first..].iter().map(|(group, ..)| (*group).clone());
        way.chain([member.clone()]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Groups of numbers, each among smaller ones, so that there is no circle; 0 and 1 are drivers.
    fn nesting_of(groups: &[Vec<usize>]) -> Nesting<usize> {
        let mut nesting = Nesting::new();
        for (position, members) in groups.iter().enumerate() {
            let group = position + 2;
            nesting.put(group, members.iter().map(|member| member % group).collect());
        }
        nesting
    }

    /// What there is by definition, however long it takes.
    fn extent_of(nesting: &Nesting<usize>, instance: usize) -> Extent {
        let Some(members) = nesting.0.get(&instance) else { return Extent { deep: 0, ways: 1 } };
        let inside: Vec<_> = members.iter().map(|member| extent_of(nesting, *member)).collect();
        let deep = inside.iter().map(|extent| extent.deep).max().unwrap_or(0) + 1;
        Extent { deep, ways: inside.iter().map(|extent| extent.ways).sum() }
    }

    fn reaches(nesting: &Nesting<usize>, from: usize, to: usize) -> bool {
        let mut reached: BTreeSet<usize> = [from].into();
        for _ in 0..nesting.0.len() {
            let inside = reached.iter().filter_map(|group| nesting.0.get(group)).flatten();
            let inside: Vec<_> = inside.copied().collect();
            reached.extend(inside);
        }
        nesting.0.contains_key(&from)
            && reached
                .iter()
                .any(|group| nesting.0.get(group).is_some_and(|members| members.contains(&to)))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn groups_come_once_and_after_all_that_is_inside(
            groups in prop::collection::vec(prop::collection::vec(0_usize..32, 0..4), 0..9),
            first in prop::collection::vec(0_usize..12, 0..3),
        ) {
            let nesting = nesting_of(&groups);
            let found = nesting.walk(&first);
            let mut sorted = found.order.clone();
            sorted.sort_unstable();
            prop_assert_eq!(sorted, nesting.0.keys().copied().collect::<Vec<_>>());
            prop_assert!(found.circles.is_empty());
            for (position, group) in found.order.iter().enumerate() {
                let inside = nesting.0[group].iter().filter(|member| nesting.has(member));
                for member in inside {
                    prop_assert!(found.order[..position].contains(member), "{:?}", found.order);
                }
                prop_assert_eq!(found.extents[group], extent_of(&nesting, *group));
            }
        }

        #[test]
        fn a_circle_is_found_where_there_is_one_and_is_one(
            groups in prop::collection::vec(prop::collection::vec(0_usize..8, 0..3), 1..7),
        ) {
            let mut nesting = Nesting::new();
            for (group, members) in groups.iter().enumerate() {
                nesting.put(group, members.clone());
            }
            let found = nesting.walk([]);
            let there_is_one = nesting.0.keys().any(|group| reaches(&nesting, *group, *group));
            prop_assert_eq!(!found.circles.is_empty(), there_is_one);
            prop_assert_eq!(found.order.len(), groups.len());
            for (_, circle) in &found.circles {
                prop_assert!(circle.len() > 1 && circle.first() == circle.last());
                prop_assert!(circle.windows(2).all(|step| nesting.0[&step[0]].contains(&step[1])));
            }
        }
    }

    #[test]
    fn groups_may_lie_in_each_other_as_deep_as_they_like_without_a_deep_stack() {
        let mut nesting = Nesting::new();
        for group in 0..100_000 {
            nesting.put(group, vec![group + 1]);
        }
        let found = nesting.walk([]);
        assert_eq!(found.extents[&0].deep, 100_000);
        let told: Vec<_> = nesting.too_large(&found).iter().map(|(group, _)| *group).collect();
        assert_eq!(
            told,
            [100_000 - GroupSettings::DEEP_MAX - 1],
            "where it begins, and only there"
        );
    }

    #[test]
    fn more_ways_than_can_be_counted_are_too_many() {
        let mut nesting = Nesting::new();
        for layer in 0_i32..200 {
            let below = vec![2 * layer + 2, 2 * layer + 3];
            nesting.put(2 * layer, below.clone());
            nesting.put(2 * layer + 1, below);
        }
        let found = nesting.walk([]);
        assert_eq!(found.extents[&0], Extent { deep: 200, ways: usize::MAX });
        assert!(!nesting.too_large(&found).is_empty());
    }
}
