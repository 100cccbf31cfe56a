//! A count that forgets by itself, without a lock.
//!
//! Knows the numbers of periods, nothing of clocks or of what is counted. Built on `crate::sync` alone,
//! so that the model tests compile this very file over loom's atomics.

use crate::sync::atomic::AtomicU64;
use crate::sync::atomic::Ordering::Relaxed;

/// Two counts, of the present period and of the one before, that turn over by themselves.
///
/// One word holds both and the period they are of. Whoever counts turns it over in the same exchange,
/// so that no turn races with a count and none is lost.
#[derive(Debug)]
pub(crate) struct Turning(AtomicU64);

impl Turning {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Counts one in `period`, unless that is long past.
    #[inline]
    pub(crate) fn add(&self, period: u64) {
        let mut word = self.0.load(Relaxed);
        while let Some(counts) = Counts::unpack(word).with_one_more_in(period) {
            match self.0.compare_exchange_weak(word, counts.pack(), Relaxed, Relaxed) {
                Ok(_) => return,
                Err(found) => word = found,
            }
        }
    }

    /// How many were counted in `period` and the one before.
    #[inline]
    pub(crate) fn at(&self, period: u64) -> u64 {
        let counts = Counts::unpack(self.0.load(Relaxed));
        match counts.age_at(period) {
            0 => counts.present + counts.before,
            1 => counts.present,
            // Somebody whose clock was read later has turned it over.
            AGE_AHEAD => counts.before,
            _ => 0,
        }
    }
}

/// What one word holds: the low bits of the period, and two counts.
#[derive(Clone, Copy)]
struct Counts {
    tag: u64,
    present: u64,
    before: u64,
}

impl Counts {
    fn unpack(word: u64) -> Self {
        Self {
            tag: word >> (2 * COUNT_BITS),
            present: word >> COUNT_BITS & COUNT_MAX,
            before: word & COUNT_MAX,
        }
    }

    fn pack(self) -> u64 {
        self.tag << (2 * COUNT_BITS) | self.present << COUNT_BITS | self.before
    }

    /// How many periods have passed since the one it is of; tags start over after their last.
    fn age_at(self, period: u64) -> u64 {
        period.wrapping_sub(self.tag) & TAG_MAX
    }

    /// The same with one more; `None` where that is of a time long past.
    fn with_one_more_in(self, period: u64) -> Option<Self> {
        let tag = period & TAG_MAX;
        let more = |count: u64| (count + 1).min(COUNT_MAX);
        match self.age_at(period) {
            0 => Some(Self { present: more(self.present), ..self }),
            1 => Some(Self { tag, present: 1, before: self.present }),
            AGE_AHEAD => Some(Self { before: more(self.before), ..self }),
            age if age > TAG_MAX - LATE_MAX => None,
            _ => Some(Self { tag, present: 1, before: 0 }),
        }
    }
}

const COUNT_BITS: u32 = 23;
/// Eight millions; beyond that the count stands still.
pub(crate) const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;
const TAG_MAX: u64 = PERIODS - 1;
/// How many periods are told apart, before their numbers start over.
pub(crate) const PERIODS: u64 = 1 << (64 - 2 * COUNT_BITS);
/// So many periods late, somebody counts who read the clock long ago; longer ago is a count that nobody
/// has touched for almost all the periods there are.
const LATE_MAX: u64 = 8;
/// The age of a count that somebody has turned over already.
const AGE_AHEAD: u64 = TAG_MAX;
