//! Whom a selector may choose, and what it is told of the call it chooses for.

use std::num::NonZeroU64;
use std::time::Instant;

/// The members that a call has not tried yet, and which of them are known to be down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidates {
    untried: u64,
    down: u64,
    key: Option<NonZeroU64>,
    now: Option<Instant>,
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
        Self { untried, down: 0, key: None, now: None }
    }

    /// The same, where the members whose bits are set are down.
    #[must_use]
    #[inline]
    pub fn with_down(self, down: u64) -> Self {
        Self { down, ..self }
    }

    /// The same for a call about the key of this hash; see [`key`](Self::key).
    #[must_use]
    #[inline]
    pub fn with_key(self, hash: u64) -> Self {
        Self { key: Some(nonzero(hash)), ..self }
    }

    /// The same at this moment; see [`now`](Self::now).
    #[must_use]
    #[inline]
    pub fn with_now(self, now: Instant) -> Self {
        Self { now: Some(now), ..self }
    }

    /// The same without `member`.
    #[must_use]
    #[inline]
    pub fn without(self, member: usize) -> Self {
        Self { untried: self.untried & !bit(member), ..self }
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

    /// A bit for each member that is known to be down, whether or not it was tried.
    #[inline]
    pub fn down(self) -> u64 {
        self.down
    }

    /// The hash of what the call is about, where its handle says so: calls about the same thing have
    /// the same one. Zero never occurs; see [`Op::keyed_by`](crate::Op::keyed_by).
    #[inline]
    pub fn key(self) -> Option<u64> {
        self.key.map(NonZeroU64::get)
    }

    /// The moment of the choice. The clock is read only for selectors that
    /// [watch](super::Selector::watches), so others find `None`.
    #[inline]
    pub fn now(self) -> Option<Instant> {
        self.now
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
        self.untried & bit(member) != 0
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
    #[inline]
    pub fn iter(self) -> impl DoubleEndedIterator<Item = usize> {
        Members(self.untried)
    }

    /// A bit for each of them.
    #[inline]
    pub(super) fn bits(self) -> u64 {
        self.untried
    }
}

/// The hash as it is kept. Zero stands for no key, so what hashes to it is kept as another number.
#[inline]
pub(crate) const fn nonzero(hash: u64) -> NonZeroU64 {
    match NonZeroU64::new(hash) {
        Some(hash) => hash,
        None => NonZeroU64::MAX,
    }
}

/// The bit of a member; none for one that no group can have.
#[inline]
pub(super) fn bit(member: usize) -> u64 {
    1_u64.checked_shl(u32::try_from(member).unwrap_or(u32::MAX)).unwrap_or(0)
}

/// The positions of the bits that are set.
struct Members(u64);

impl Iterator for Members {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        let member = self.0.trailing_zeros();
        self.0 &= self.0.wrapping_sub(1);
        (member < u64::BITS).then_some(member as usize)
    }
}

impl DoubleEndedIterator for Members {
    #[inline]
    fn next_back(&mut self) -> Option<usize> {
        let member = self.0.checked_ilog2()? as usize;
        self.0 &= !bit(member);
        Some(member)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn they_are_counted_and_listed_from_both_ends_alike(
            count in 0_usize..=64,
            tried in proptest::collection::vec(0_usize..70, 0..40),
        ) {
            let left = tried.iter().fold(Candidates::all(count), |left, member| left.without(*member));
            let expected: Vec<_> = (0..count).filter(|member| !tried.contains(member)).collect();
            prop_assert_eq!(left.iter().collect::<Vec<_>>(), expected.clone());
            let mut backwards: Vec<_> = left.iter().rev().collect();
            backwards.reverse();
            prop_assert_eq!(&backwards, &expected);
            prop_assert_eq!(left.len(), expected.len());
            prop_assert_eq!(left.first(), expected.first().copied());
            for (position, member) in expected.iter().enumerate() {
                prop_assert_eq!(left.nth(position), Some(*member));
                prop_assert!(left.contains(*member));
            }
            prop_assert_eq!(left.nth(expected.len()), None);
        }
    }

    #[test]
    fn a_key_whose_hash_is_zero_is_a_key_all_the_same() {
        assert_eq!(Candidates::all(1).key(), None);
        assert!(Candidates::all(1).with_key(0).key().is_some());
        assert_eq!(Candidates::all(1).with_key(7).key(), Some(7));
    }
}
