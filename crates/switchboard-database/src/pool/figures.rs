//! What a pool has done, and how it is.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// How a pool is, and what it has done so far.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolFigures {
    /// The most connections at a time, without the one kept for health checks and the console.
    pub max: usize,
    /// All connections, those that are being made among them.
    pub size: usize,
    /// Those nobody uses.
    pub idle: usize,
    /// Those in use.
    pub in_use: usize,
    /// Those that are being cleaned after use, or asked whether they are still there.
    pub resting: usize,
    /// Those that are being made.
    pub connecting: usize,
    /// Callers that wait for one.
    pub waiting: usize,
    /// Nobody is given one at present, because somebody said so.
    pub is_suspended: bool,
    /// How often one was handed out.
    pub acquired: u64,
    /// How often a caller waited in vain.
    pub timed_out: u64,
    /// How many were made.
    pub created: u64,
    /// How often making one failed.
    pub connect_failures: u64,
    /// How many were given up, by reason; reasons that never were are left out.
    pub closed: Vec<(CloseReason, u64)>,
    /// How often what a user had left was taken away.
    pub resets: u64,
    /// How often one was in use for so long that it was told of.
    pub leaks: u64,
    /// How long callers waited who were given one, if they had to wait.
    pub waits: Spread,
    /// How long one was in use.
    pub uses: Spread,
    /// How long it took to make one.
    pub connects: Spread,
}

/// Why a connection was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// It was as old as one may become, or was to be replaced.
    Age,
    /// Nobody had needed it for long.
    Idle,
    /// It had been used as often as one may be.
    Uses,
    /// It did not work any more.
    Broken,
    /// Another one did not work any more, and this one is older than that discovery.
    Distrusted,
    /// It could not be cleaned after its use.
    Unclean,
    /// Its user did not want anybody to have it again.
    Discarded,
    /// It was one more than there may be.
    Surplus,
    /// It was taken away from somebody who had it for too long.
    Reaped,
    /// The pool was closed.
    Closed,
}

/// How long something took: a count for each range of durations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Spread {
    /// How many were measured.
    pub count: u64,
    /// All of them together.
    pub total: Duration,
    /// For each range its upper bound and how many were in it; empty ranges are left out.
    pub ranges: Vec<(Duration, u64)>,
}

impl Spread {
    /// All of them together.
    pub(crate) fn joined<'s>(spreads: impl IntoIterator<Item = &'s Self>) -> Self {
        let (mut total, mut ranges) = (Duration::ZERO, BTreeMap::new());
        for spread in spreads {
            total = total.saturating_add(spread.total);
            for (bound, count) in &spread.ranges {
                *ranges.entry(*bound).or_default() += count;
            }
        }
        Self { count: ranges.values().sum(), total, ranges: ranges.into_iter().collect() }
    }
}

impl CloseReason {
    /// Every reason.
    pub const ALL: &'static [Self] = &[
        Self::Age,
        Self::Idle,
        Self::Uses,
        Self::Broken,
        Self::Distrusted,
        Self::Unclean,
        Self::Discarded,
        Self::Surplus,
        Self::Reaped,
        Self::Closed,
    ];

    /// The word in figures.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Age => "age",
            Self::Idle => "idle",
            Self::Uses => "uses",
            Self::Broken => "broken",
            Self::Distrusted => "distrusted",
            Self::Unclean => "unclean",
            Self::Discarded => "discarded",
            Self::Surplus => "surplus",
            Self::Reaped => "reaped",
            Self::Closed => "closed",
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What is counted. Plain numbers: whoever counts has the lock of the books.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) acquired: u64,
    pub(super) timed_out: u64,
    pub(super) created: u64,
    pub(super) connect_failures: u64,
    pub(super) closed: [u64; CloseReason::ALL.len()],
    pub(super) resets: u64,
    pub(super) leaks: u64,
    pub(super) waits: Histogram,
    pub(super) uses: Histogram,
    pub(super) connects: Histogram,
}

impl Tally {
    pub(super) fn closed(&self) -> Vec<(CloseReason, u64)> {
        let counts = CloseReason::ALL.iter().copied().zip(self.closed);
        counts.filter(|(_, count)| *count > 0).collect()
    }
}

/// Counts durations, each in its range.
#[derive(Default)]
pub(crate) struct Histogram {
    buckets: [u64; BUCKETS],
    total: Duration,
}

impl Histogram {
    pub(crate) fn add(&mut self, took: Duration) {
        self.buckets[bucket_of(took)] += 1;
        self.total = self.total.saturating_add(took);
    }

    /// Adds what the other one has counted.
    pub(crate) fn add_all(&mut self, other: &Self) {
        for (ours, theirs) in self.buckets.iter_mut().zip(other.buckets) {
            *ours += theirs;
        }
        self.total = self.total.saturating_add(other.total);
    }

    pub(crate) fn read(&self) -> Spread {
        let filled = self.buckets.iter().copied().enumerate().filter(|(_, count)| *count > 0);
        Spread {
            count: self.buckets.iter().sum(),
            total: self.total,
            ranges: filled.map(|(bucket, count)| (upper_bound(bucket), count)).collect(),
        }
    }
}

/// One range for each doubling from 1 024 ns on, where the ranges of calls have their bounds too.
fn bucket_of(took: Duration) -> usize {
    let units = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX) >> UNIT_BITS;
    let doublings = (u64::BITS - units.leading_zeros()) as usize;
    doublings.min(BUCKETS - 1)
}

fn upper_bound(bucket: usize) -> Duration {
    if bucket == BUCKETS - 1 {
        Duration::MAX
    } else {
        Duration::from_nanos(1 << bucket << UNIT_BITS)
    }
}

const UNIT_BITS: u32 = 10;

/// The last doubling ends after nineteen hours; what is longer lies above it.
const BUCKETS: usize = 32;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_duration_is_counted_in_the_range_it_lies_in(micros in 0_u64..1 << 40) {
            let took = Duration::from_micros(micros);
            let bucket = bucket_of(took);
            prop_assert!(took < upper_bound(bucket));
            prop_assert!(bucket == 0 || took >= upper_bound(bucket - 1));
        }
    }

    #[test]
    fn every_reason_has_a_place_of_its_own() {
        let mut tally = Tally::default();
        for (count, reason) in (1..).zip(CloseReason::ALL) {
            tally.closed[*reason as usize] = count;
        }
        let expected: Vec<_> = CloseReason::ALL.iter().copied().zip(1..).collect();
        assert_eq!(tally.closed(), expected);
    }
}
