//! Whose turn it is, without threads that meet on a counter.

use super::Candidates;
use crate::stripe::{self, Counters};

/// How often this thread has chosen, counted apart for each set of candidates.
///
/// Apart, because a call that is tried again would else take the turn after its own: of three
/// members, one of which always fails, one of the others would get most of what it leaves.
#[derive(Debug)]
pub(super) struct Turns(Counters);

impl Turns {
    pub(super) fn new() -> Self {
        Self(Counters::new(SETS))
    }

    /// How often this thread has chosen among these candidates before.
    #[inline]
    pub(super) fn next(&self, candidates: Candidates) -> u64 {
        self.0.add(set(candidates.bits()))
    }

    /// Each of these candidates in turn, where every thread begins at another one.
    #[inline]
    pub(super) fn in_turn(&self, candidates: Candidates) -> Option<usize> {
        let turn = self.next(candidates).wrapping_add(start());
        let position = turn.checked_rem(candidates.len() as u64)?;
        candidates.nth(usize::try_from(position).ok()?)
    }
}

/// A number for this thread, so that the first choices of many threads spread.
#[inline]
pub(super) fn start() -> u64 {
    stripe::index(Candidates::MEMBERS_MAX) as u64
}

/// The counter of a set of candidates. Sets of up to six members have one each; of larger ones some
/// share, which costs a little evenness.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "it is below 64")]
fn set(bits: u64) -> usize {
    let halves = bits ^ (bits >> 36);
    let thirds = halves ^ (halves >> 12) ^ (halves >> 24);
    ((thirds ^ (thirds >> 6)) & (SETS as u64 - 1)) as usize
}

const SETS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_sets_have_a_counter_each_and_every_bit_of_a_large_one_matters() {
        for bits in 0..64 {
            assert_eq!(set(bits), usize::try_from(bits).unwrap());
        }
        for member in 0..64 {
            assert_ne!(set(u64::MAX), set(u64::MAX ^ (1 << member)), "{member}");
        }
    }
}
