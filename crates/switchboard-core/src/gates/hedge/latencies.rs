//! How long attempts have taken lately, in fixed room and without a lock.
//!
//! Knows nanoseconds and ranges of them, nothing of clocks or policies. How a count forgets is in
//! `turning`.

use super::turning::Turning;
use crate::sync::atomic::AtomicU64;
use crate::sync::atomic::Ordering::Relaxed;

/// A count for each range of durations, over the last thirty to sixty seconds.
///
/// Eight ranges for each doubling, so that a quantile read from it is at most an eighth too long, and
/// never too short.
#[derive(Debug)]
pub(super) struct Latencies {
    counts: [Turning; RANGES],
    /// The last quantile that was worked out, and when.
    known: AtomicU64,
}

impl Latencies {
    pub(super) fn new() -> Self {
        Self {
            counts: std::array::from_fn(|_| Turning::new()),
            known: AtomicU64::new(Known::NEVER.pack()),
        }
    }

    /// Counts one that took so long.
    #[inline]
    pub(super) fn record(&self, now: u64, took: u64) {
        self.counts[range_of(took)].add(now / PERIOD);
    }

    /// How long the given share of them took at most; `None` while too few are known to say, or where
    /// that is longer than is told apart.
    ///
    /// Worked out once in a while, always for the same share, and remembered in between.
    #[inline]
    pub(super) fn quantile(&self, now: u64, share: f64) -> Option<u64> {
        let known = Known::unpack(self.known.load(Relaxed));
        if known.tick == now / TICK {
            return known.range.and_then(upper_bound);
        }
        self.work_out(now, share)
    }

    #[cold]
    fn work_out(&self, now: u64, share: f64) -> Option<u64> {
        let range = self.range_at(now / PERIOD, share);
        // Two that do this at the same moment do it twice, and find the same or nearly so.
        self.known.store(Known { tick: now / TICK, range }.pack(), Relaxed);
        range.and_then(upper_bound)
    }

    /// The range in which the quantile lies.
    fn range_at(&self, period: u64, share: f64) -> Option<usize> {
        // Read once, so that the sum and the way to the rank agree.
        let counts: [u64; RANGES] = std::array::from_fn(|range| self.counts[range].at(period));
        let samples = counts.iter().sum();
        let rank = rank_of(share, samples);
        // What no sample lies beyond is not known yet.
        if samples < SAMPLES_MIN || rank >= samples {
            return None;
        }
        let mut seen = 0;
        counts.iter().position(|count| {
            seen += count;
            seen >= rank
        })
    }
}

/// A quantile and when it was worked out, in one word, so that nobody sees half of it.
#[derive(Clone, Copy)]
struct Known {
    tick: u64,
    /// The range it lies in, if there were enough to say.
    range: Option<usize>,
}

impl Known {
    /// A tick that never comes.
    const NEVER: Self = Self { tick: u64::MAX >> RANGE_BITS, range: None };

    fn unpack(word: u64) -> Self {
        let range = usize::try_from(word & ((1 << RANGE_BITS) - 1)).unwrap_or_default();
        Self { tick: word >> RANGE_BITS, range: range.checked_sub(1) }
    }

    fn pack(self) -> u64 {
        self.tick << RANGE_BITS | self.range.map_or(0, |range| range as u64 + 1)
    }
}

#[inline]
fn range_of(nanos: u64) -> usize {
    let eighths = nanos >> (UNIT_BITS - 3);
    if eighths < 8 {
        return 0;
    }
    let octave = eighths.ilog2() - 3;
    let eighth = (eighths >> octave) & 7;
    let range = 1 + u64::from(octave) * 8 + eighth;
    usize::try_from(range).map_or(RANGES - 1, |range| range.min(RANGES - 1))
}

/// What lies in a range is shorter than this; the last one has no end.
fn upper_bound(range: usize) -> Option<u64> {
    match range.checked_sub(1) {
        None => Some(1 << UNIT_BITS),
        Some(_) if range == RANGES - 1 => None,
        Some(above) => Some(((9 + above as u64 % 8) << (above / 8)) << (UNIT_BITS - 3)),
    }
}

/// The place of a quantile among so many, counted from one.
#[expect(clippy::cast_precision_loss, reason = "there are far fewer samples than 53 bits count")]
#[expect(clippy::cast_possible_truncation, reason = "a share of the samples is no more than them")]
#[expect(clippy::cast_sign_loss, reason = "a share is not negative")]
fn rank_of(share: f64, samples: u64) -> u64 {
    (share * samples as f64).ceil() as u64
}

/// Fewer say nothing about what is usual.
const SAMPLES_MIN: u64 = 30;
/// After how many nanoseconds a count becomes that of the period before.
const PERIOD: u64 = 30_000_000_000;
/// How many nanoseconds a quantile is good for once it is worked out.
const TICK: u64 = 500_000_000;
/// Durations are told apart from 1.05 ms on: nothing is hedged sooner.
const UNIT_BITS: u32 = 20;
/// 17 doublings of 1.05 ms are 137 s; one range below, and one above.
const RANGES: usize = 17 * 8 + 2;
const RANGE_BITS: u32 = 8;

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::super::turning::{COUNT_MAX, PERIODS};
    use super::*;

    const MS: u64 = 1_000_000;

    fn filled(samples: &[u64]) -> Latencies {
        let latencies = Latencies::new();
        for took in samples {
            latencies.record(0, *took);
        }
        latencies
    }

    proptest! {
        #[test]
        fn a_quantile_is_that_of_the_sorted_samples_and_at_most_an_eighth_above(
            mut samples in prop::collection::vec(prop_oneof![0..5 * MS, 0..120_000 * MS], 30..400),
            share in 0.5..0.999,
        ) {
            let found = filled(&samples).quantile(0, share);
            samples.sort_unstable();
            let rank = rank_of(share, samples.len() as u64);
            prop_assert_eq!(found.is_some(), rank < samples.len() as u64);
            if let Some(found) = found {
                let exact = samples[usize::try_from(rank - 1).unwrap()];
                prop_assert!(found > exact);
                prop_assert!(found <= (exact / 8 * 9 + 9).max(1 << UNIT_BITS), "{found} for {exact}");
            }
        }

        #[test]
        fn what_is_counted_is_what_a_list_of_this_and_the_last_period_holds(
            steps in prop::collection::vec(
                (prop_oneof![5 => 0..4_u64, 1 => 0..PERIODS - 20], 0..4_u64),
                1..100,
            ),
        ) {
            let (turning, mut list, mut period) = (Turning::new(), VecDeque::new(), 0_u64);
            for (ahead, behind) in steps {
                period += ahead;
                // Some are late, as those are whose thread had to wait.
                let Some(late) = period.checked_sub(behind) else { continue };
                turning.add(period);
                turning.add(late);
                list.extend([period, late]);
                let expected = list.iter().filter(|counted| period - **counted < 2).count();
                prop_assert_eq!(turning.at(period), expected as u64);
            }
        }
    }

    #[test]
    fn every_duration_has_a_range_and_every_range_its_end() {
        assert_eq!((range_of(0), range_of(u64::MAX)), (0, RANGES - 1));
        for range in 0..RANGES - 1 {
            let end = upper_bound(range).unwrap();
            assert_eq!((range_of(end - 1), range_of(end)), (range, range + 1));
        }
    }

    #[test]
    fn too_few_samples_say_nothing() {
        let twenty_nine = [5 * MS; 29];
        assert_eq!(filled(&twenty_nine).quantile(0, 0.5), None);
        let thirty = [5 * MS; 30];
        assert!(filled(&thirty).quantile(0, 0.5).is_some());
        // The slowest of thirty is not what one of a thousand exceeds.
        assert_eq!(filled(&thirty).quantile(0, 0.999), None);
    }

    #[test]
    fn what_is_longer_than_is_told_apart_is_no_quantile() {
        assert_eq!(filled(&[u64::MAX; 50]).quantile(0, 0.5), None);
    }

    #[test]
    fn a_quantile_is_worked_out_once_in_a_while_and_forgets_with_time() {
        let latencies = filled(&[10 * MS; 100]);
        let ten = latencies.quantile(0, 0.9).unwrap();
        for _ in 0..900 {
            latencies.record(0, 100 * MS);
        }
        assert_eq!(latencies.quantile(TICK - 1, 0.9), Some(ten), "remembered");
        assert!(latencies.quantile(TICK, 0.9) > Some(100 * MS), "worked out anew");
        assert!(latencies.quantile(2 * PERIOD - 1, 0.9).is_some(), "still of the period before");
        assert_eq!(latencies.quantile(2 * PERIOD, 0.9), None, "forgotten");
    }

    #[test]
    fn a_count_that_is_full_stands_still() {
        let turning = Turning::new();
        for _ in 0..COUNT_MAX + 2 {
            turning.add(0);
        }
        assert_eq!(turning.at(0), COUNT_MAX);
        turning.add(1);
        assert_eq!(turning.at(1), 1 + COUNT_MAX);
    }

    #[test]
    fn periods_that_start_over_are_still_newer() {
        let turning = Turning::new();
        turning.add(PERIODS - 1);
        turning.add(PERIODS);
        turning.add(PERIODS - 1);
        assert_eq!(turning.at(PERIODS), 3);
        assert_eq!(turning.at(PERIODS - 1), 2, "asked by somebody who read the clock before");
        turning.add(PERIODS - 2);
        assert_eq!(turning.at(PERIODS), 3, "long past");
    }

    #[test]
    fn threads_lose_no_sample_while_the_periods_turn() {
        let turning = Turning::new();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..20_000).for_each(|number| turning.add(7 + number / 10_000)));
            }
        });
        assert_eq!(turning.at(8), 80_000);
    }
}
