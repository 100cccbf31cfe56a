//! What a line has done: counts by outcome and durations, per operation.
//!
//! Counters are striped, so that threads do not meet on them. Time is read only for calls that had
//! to wait for something: a call that was ready at once costs no clock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::clock::nanos;
use crate::stripe::Counters;
use crate::{Clock, Error, ErrorKind, Op};

/// The figures of one line. Written by its calls, read by whoever shows them.
pub(crate) struct Figures {
    operations: &'static [Op],
    /// For each operation: succeeded, cancelled.
    counts: Counters,
    /// Calls that waited; few enough to share.
    histograms: Box<[Histogram]>,
    errors: Box<[ErrorCounts]>,
}

struct ErrorCounts([AtomicU64; ErrorKind::ALL.len()]);

struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    nanos: AtomicU64,
}

/// What one operation of a line has done so far.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpFigures {
    /// The operation.
    pub operation: &'static str,
    /// Calls of the driver that succeeded.
    pub succeeded: u64,
    /// Calls of the driver that were dropped before they ended, or panicked.
    pub cancelled: u64,
    /// Calls that failed, by kind; kinds that never happened are left out.
    pub failed: Vec<(ErrorKind, u64)>,
    /// How long the calls took that had to wait.
    pub waited: Durations,
}

/// How long calls took: a count for each range of durations.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Durations {
    /// How many were measured.
    pub count: u64,
    /// All of them together.
    pub total: Duration,
    /// For each range its upper bound and how many were in it; empty ranges are left out.
    pub ranges: Vec<(Duration, u64)>,
}

impl Durations {
    /// Durations that somebody else has counted: all of them together, and for each range its upper
    /// bound and how many were in it, in order.
    ///
    /// Monitoring systems are told of bounds of 4ⁿ · 65 536 ns; with these bounds among them, nothing
    /// is guessed.
    #[must_use]
    pub fn new(total: Duration, ranges: Vec<(Duration, u64)>) -> Self {
        Self { count: ranges.iter().map(|(_, count)| count).sum(), total, ranges }
    }
}

impl Figures {
    pub(crate) fn new(operations: &'static [Op]) -> Self {
        Self {
            operations,
            counts: Counters::new(operations.len() * 2),
            histograms: operations.iter().map(|_| Histogram::new()).collect(),
            errors: operations.iter().map(|_| ErrorCounts(Default::default())).collect(),
        }
    }

    /// Begins a call; it counts as cancelled until it says otherwise.
    #[inline]
    pub(crate) fn begin(&self, op: Op) -> Record<'_> {
        Record { figures: self, op: op.index(), waits_since: None, ended: false }
    }

    /// Counts a failure that never reached a driver.
    pub(crate) fn refused(&self, op: Op, error: &Error) {
        self.failed(op.index(), error.kind());
    }

    pub(crate) fn read(&self) -> Vec<OpFigures> {
        (0..self.operations.len()).map(|op| self.read_one(op)).collect()
    }

    fn read_one(&self, op: usize) -> OpFigures {
        let failed = ErrorKind::ALL.iter().zip(&self.errors[op].0);
        OpFigures {
            operation: self.operations[op].name(),
            succeeded: self.counts.sum(op * 2 + SUCCEEDED),
            cancelled: self.counts.sum(op * 2 + CANCELLED),
            failed: failed
                .map(|(kind, count)| (*kind, count.load(Ordering::Relaxed)))
                .filter(|(_, count)| *count > 0)
                .collect(),
            waited: self.histograms[op].read(),
        }
    }

    #[inline]
    fn count(&self, op: usize, which: usize) {
        // An operation of another subsystem has no place here, and must not bring the call down.
        self.counts.add(op * 2 + which);
    }

    #[cold]
    fn failed(&self, op: usize, kind: ErrorKind) {
        let Some(counts) = self.errors.get(op) else { return };
        counts.0[kind as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// One call of a driver, from its first poll to its end.
pub(crate) struct Record<'f> {
    figures: &'f Figures,
    op: usize,
    waits_since: Option<Instant>,
    ended: bool,
}

impl Record<'_> {
    /// The call was not ready at once.
    #[inline]
    pub(crate) fn waits(&mut self, clock: &Clock) {
        if self.waits_since.is_none() {
            self.waits_since = Some(clock.now());
        }
    }

    /// The call ended, and how. The answer is how long it waited, if it did.
    #[inline]
    pub(crate) fn end<T>(mut self, result: &Result<T, Error>, clock: &Clock) -> Option<Duration> {
        self.ended = true;
        match result {
            Ok(_) => self.figures.count(self.op, SUCCEEDED),
            Err(error) => self.figures.failed(self.op, error.kind()),
        }
        let since = self.waits_since?;
        let took = clock.now().saturating_duration_since(since);
        if let Some(histogram) = self.figures.histograms.get(self.op) {
            histogram.add(took);
        }
        Some(took)
    }
}

impl Drop for Record<'_> {
    #[inline]
    fn drop(&mut self) {
        if !self.ended {
            self.figures.count(self.op, CANCELLED);
        }
    }
}

impl Histogram {
    fn new() -> Self {
        Self { buckets: std::array::from_fn(|_| AtomicU64::new(0)), nanos: AtomicU64::new(0) }
    }

    fn add(&self, took: Duration) {
        let nanos = nanos(took);
        self.buckets[bucket_of(nanos)].fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    fn read(&self) -> Durations {
        let counts = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        let ranges: Vec<_> = counts
            .enumerate()
            .filter(|(_, count)| *count > 0)
            .map(|(bucket, count)| (upper_bound(bucket), count))
            .collect();
        Durations::new(Duration::from_nanos(self.nanos.load(Ordering::Relaxed)), ranges)
    }
}

/// Four ranges for each doubling, from a microsecond up to more than a minute.
fn bucket_of(nanos: u64) -> usize {
    let quarters = (nanos >> (UNIT_BITS - 2)).max(4);
    let octave = quarters.ilog2() - 2;
    let quarter = (quarters >> octave) & 3;
    usize::try_from(u64::from(octave) * 4 + quarter).map_or(BUCKETS - 1, |at| at.min(BUCKETS - 1))
}

fn upper_bound(bucket: usize) -> Duration {
    if bucket == BUCKETS - 1 {
        return Duration::MAX;
    }
    let (octave, quarter) = (bucket / 4, bucket as u64 % 4);
    Duration::from_nanos(((5 + quarter) << octave) << (UNIT_BITS - 2))
}

const SUCCEEDED: usize = 0;
const CANCELLED: usize = 1;
/// Durations are told apart from 1 024 ns on.
const UNIT_BITS: u32 = 10;
/// 27 doublings of 1 024 ns are 137 s.
const BUCKETS: usize = 27 * 4;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_duration_is_counted_in_the_range_it_lies_in(nanos in 2048_u64..130_000_000_000) {
            let bucket = bucket_of(nanos);
            prop_assert!(Duration::from_nanos(nanos) < upper_bound(bucket));
            prop_assert!(Duration::from_nanos(nanos) >= upper_bound(bucket - 1));
        }
    }

    #[test]
    fn the_shortest_and_the_longest_durations_have_a_place() {
        assert_eq!(bucket_of(0), 0);
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }
}
