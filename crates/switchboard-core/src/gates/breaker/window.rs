//! How the last calls went.
//!
//! Counts, and answers for nothing else. What a record costs does not depend on how long the
//! window is.

use std::time::Duration;

use crate::stripe::{self, Padded};
use crate::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering};

/// The calls a verdict on the service looks at.
#[derive(Debug)]
pub(super) enum Window {
    Time(TimeWindow),
    Calls(Box<CallWindow>),
}

/// One call to count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) is_failure: bool,
    pub(super) is_slow: bool,
}

/// The calls of a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) calls: u64,
    pub(super) failures: u64,
    pub(super) slow: u64,
}

/// The calls of the last so-and-so long, to a tenth of it.
///
/// Each stripe counts the calls of its threads, so that calls on different threads meet on no
/// cache line. Only a verdict reads them all.
#[derive(Debug)]
pub(super) struct TimeWindow {
    bucket_nanos: u64,
    stripes: Box<[Stripe]>,
}

#[derive(Debug, Default)]
struct Stripe {
    counts: Padded<[AtomicU64; SLOTS]>,
    slow: Padded<[AtomicU64; SLOTS]>,
}

/// The last so-and-so many calls, all of them in one ring.
///
/// What is last of all threads can only be known in one place: each record moves one shared
/// counter. While calls go the way they went a window ago, that is all it writes.
#[derive(Debug)]
pub(super) struct CallWindow {
    slots: Box<[AtomicU8]>,
    /// How many calls were ever recorded; the next slot follows from it.
    recorded: Padded<AtomicU64>,
    /// How many had been recorded when the window was last emptied.
    emptied_at: AtomicU64,
    // Signed, because a call may leave the ring a moment before its arrival is added.
    failures: AtomicI64,
    slow: AtomicI64,
}

/// What one slot holds: the low bits of the time it stands for, and two counts.
#[derive(Clone, Copy)]
struct Counts {
    tag: u64,
    passed: u64,
    failed: u64,
}

impl Window {
    pub(super) fn over_time(length: Duration) -> Self {
        let nanos = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
        let stripes = (0..stripe::count()).map(|_| Stripe::default()).collect();
        Self::Time(TimeWindow { bucket_nanos: (nanos / BUCKETS).max(1), stripes })
    }

    pub(super) fn over_calls(length: u32) -> Self {
        Self::Calls(Box::new(CallWindow {
            slots: (0..length.max(1)).map(|_| AtomicU8::new(0)).collect(),
            recorded: Padded::default(),
            emptied_at: AtomicU64::new(0),
            failures: AtomicI64::new(0),
            slow: AtomicI64::new(0),
        }))
    }

    #[inline]
    pub(super) fn record(&self, now: u64, call: Call) {
        match self {
            Self::Time(window) => window.record(now, call),
            Self::Calls(window) => window.record(call),
        }
    }

    pub(super) fn tally(&self, now: u64) -> Tally {
        match self {
            Self::Time(window) => window.tally(now),
            Self::Calls(window) => window.tally(),
        }
    }

    pub(super) fn clear(&self) {
        match self {
            Self::Time(window) => window.clear(),
            Self::Calls(window) => window.clear(),
        }
    }

    /// Whether everything in the window is younger than `closed_for`, or has been pushed out.
    pub(super) fn is_turned_over(&self, closed_for: u64) -> bool {
        match self {
            Self::Time(window) => closed_for >= window.bucket_nanos.saturating_mul(BUCKETS),
            Self::Calls(window) => window.recorded() >= window.slots.len() as u64,
        }
    }
}

impl TimeWindow {
    #[inline]
    fn record(&self, now: u64, call: Call) {
        let epoch = now / self.bucket_nanos;
        let stripe = &self.stripes[stripe::index(self.stripes.len())];
        let was_full = add(&stripe.counts.0[slot_of(epoch)], tag_of(epoch), call.is_failure);
        if call.is_slow || was_full {
            stripe.record_slow(epoch, call.is_slow, was_full);
        }
    }

    fn tally(&self, now: u64) -> Tally {
        let epoch = now / self.bucket_nanos;
        let mut tally = Tally::default();
        for stripe in &self.stripes {
            stripe.add_to(&mut tally, epoch);
        }
        tally
    }

    fn clear(&self) {
        for stripe in &self.stripes {
            for slot in stripe.counts.0.iter().chain(&stripe.slow.0) {
                slot.store(0, Ordering::SeqCst);
            }
        }
    }
}

impl Stripe {
    #[cold]
    fn record_slow(&self, epoch: u64, is_slow: bool, was_full: bool) {
        let slot = &self.slow.0[slot_of(epoch)];
        if was_full {
            // The counts were halved to go on, so the slow ones are too: the ratio stays.
            let _ = slot.try_update(Ordering::SeqCst, Ordering::Relaxed, |word| {
                let counts = Counts::unpack(word);
                (counts.tag == tag_of(epoch)).then(|| counts.halved().pack())
            });
        }
        if is_slow {
            add(slot, tag_of(epoch), true);
        }
    }

    fn add_to(&self, tally: &mut Tally, epoch: u64) {
        for age in 0..BUCKETS {
            let Some(epoch) = epoch.checked_sub(age) else { return };
            let counts = Counts::unpack(self.counts.0[slot_of(epoch)].load(Ordering::SeqCst));
            if counts.tag == tag_of(epoch) {
                tally.calls += counts.passed + counts.failed;
                tally.failures += counts.failed;
            }
            let slow = Counts::unpack(self.slow.0[slot_of(epoch)].load(Ordering::SeqCst));
            if slow.tag == tag_of(epoch) {
                tally.slow += slow.failed;
            }
        }
    }
}

impl CallWindow {
    #[inline]
    fn record(&self, call: Call) {
        let number = self.recorded.0.fetch_add(1, Ordering::SeqCst);
        let outcome = u8::from(call.is_failure) | u8::from(call.is_slow) << 1;
        let slot = &self.slots[self.slot_of(number)];
        if slot.load(Ordering::Relaxed) != outcome {
            self.replace(slot, outcome);
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the remainder is below the slots' number")]
    #[inline]
    fn slot_of(&self, number: u64) -> usize {
        (number % self.slots.len() as u64) as usize
    }

    /// Puts one outcome in the place of another; whoever swaps accounts for what he found, so that
    /// the sums are right whatever happens in between.
    fn replace(&self, slot: &AtomicU8, outcome: u8) {
        let before = slot.swap(outcome, Ordering::SeqCst);
        add_difference(&self.failures, before & 1, outcome & 1);
        add_difference(&self.slow, before >> 1, outcome >> 1);
    }

    fn recorded(&self) -> u64 {
        let recorded = self.recorded.0.load(Ordering::SeqCst);
        recorded.saturating_sub(self.emptied_at.load(Ordering::SeqCst))
    }

    fn tally(&self) -> Tally {
        let calls = self.recorded().min(self.slots.len() as u64);
        let within = |sum: &AtomicI64| {
            u64::try_from(sum.load(Ordering::SeqCst)).unwrap_or_default().min(calls)
        };
        Tally { calls, failures: within(&self.failures), slow: within(&self.slow) }
    }

    fn clear(&self) {
        self.emptied_at.store(self.recorded.0.load(Ordering::SeqCst), Ordering::SeqCst);
        for slot in &self.slots {
            self.replace(slot, 0);
        }
    }
}

impl Counts {
    fn unpack(word: u64) -> Self {
        Self {
            tag: word >> TAG_SHIFT,
            passed: word >> COUNT_BITS & COUNT_MAX,
            failed: word & COUNT_MAX,
        }
    }

    fn pack(self) -> u64 {
        self.tag << TAG_SHIFT | self.passed << COUNT_BITS | self.failed
    }

    /// Rounded up, so that a single call of one sort among very many of the other stays seen.
    fn halved(self) -> Self {
        Self { passed: self.passed.div_ceil(2), failed: self.failed.div_ceil(2), ..self }
    }
}

/// Counts one call in a slot, emptying it first if it stands for a time long past. Says whether
/// the counts had reached their limit and were halved.
///
/// One exchange does all of it, so that no reset can race with a count.
#[inline]
fn add(slot: &AtomicU64, tag: u64, is_failure: bool) -> bool {
    let mut word = slot.load(Ordering::Relaxed);
    loop {
        let mut counts = Counts::unpack(word);
        if counts.tag != tag {
            if is_older(tag, counts.tag) {
                return false;
            }
            counts = Counts { tag, passed: 0, failed: 0 };
        }
        let was_full = if is_failure { counts.failed } else { counts.passed } == COUNT_MAX;
        if was_full {
            counts = counts.halved();
        }
        counts.failed += u64::from(is_failure);
        counts.passed += u64::from(!is_failure);
        // Sequentially consistent, so that of two threads that fail at the same moment at least
        // one sees both failures.
        match slot.compare_exchange_weak(word, counts.pack(), Ordering::SeqCst, Ordering::Relaxed) {
            Ok(_) => return was_full,
            Err(found) => word = found,
        }
    }
}

/// Whether `tag` is of an earlier time than `other`, although tags start over after their last.
///
/// Only a little earlier: what would be long before is a slot that nobody has touched for almost as
/// long as there are tags.
fn is_older(tag: u64, other: u64) -> bool {
    (1..=LATE_MAX).contains(&(other.wrapping_sub(tag) & TAG_MASK))
}

fn add_difference(sum: &AtomicI64, before: u8, after: u8) {
    if before != after {
        sum.fetch_add(i64::from(after) - i64::from(before), Ordering::SeqCst);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the mask leaves four bits")]
#[inline]
fn slot_of(epoch: u64) -> usize {
    (epoch & (SLOTS as u64 - 1)) as usize
}

#[inline]
fn tag_of(epoch: u64) -> u64 {
    (epoch >> SLOTS.trailing_zeros()) & TAG_MASK
}

/// How finely a window of time slides.
const BUCKETS: u64 = 10;
/// A power of two above the buckets: finding a slot is a mask, a stripe fills two cache lines, and
/// a call that is recorded late still finds its own slot.
const SLOTS: usize = 16;
/// So many rings late, somebody records who read the clock long ago.
const LATE_MAX: u64 = 8;
const COUNT_BITS: u32 = 20;
const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;
const TAG_SHIFT: u32 = 2 * COUNT_BITS;
const TAG_MASK: u64 = (1 << (64 - TAG_SHIFT)) - 1;

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    const OK: Call = Call { is_failure: false, is_slow: false };
    const FAILED: Call = Call { is_failure: true, is_slow: false };

    /// Remembers every call, and counts those of the window.
    #[derive(Default)]
    struct Model(VecDeque<(u64, Call)>);

    impl Model {
        fn tally(&self, counts: impl Fn(usize, u64) -> bool) -> Tally {
            let newest_first = self.0.iter().rev().enumerate();
            let inside = newest_first.filter(|(age, (epoch, _))| counts(*age, *epoch));
            inside.fold(Tally::default(), |tally, (_, (_, call))| Tally {
                calls: tally.calls + 1,
                failures: tally.failures + u64::from(call.is_failure),
                slow: tally.slow + u64::from(call.is_slow),
            })
        }
    }

    fn calls() -> impl Strategy<Value = Vec<(u64, bool, bool)>> {
        let step = prop_oneof![5 => 0..300_u64, 1 => 900..1200_u64, 1 => 0..40_000_u64];
        prop::collection::vec((step, any::<bool>(), any::<bool>()), 1..200)
    }

    proptest! {
        #[test]
        fn a_window_of_time_counts_what_a_list_of_the_calls_counts(calls in calls()) {
            let window = Window::over_time(Duration::from_micros(1));
            let (mut model, mut now) = (Model::default(), 0);
            for (step, is_failure, is_slow) in calls {
                now += step;
                window.record(now, Call { is_failure, is_slow });
                model.0.push_back((now / 100, Call { is_failure, is_slow }));
                let expected = model.tally(|_, epoch| now / 100 - epoch < BUCKETS);
                prop_assert_eq!(window.tally(now), expected);
            }
        }

        #[test]
        fn a_window_of_calls_counts_what_a_list_of_the_calls_counts(
            length in 1..40_u32, calls in calls(), cleared in 0..200_usize,
        ) {
            let window = Window::over_calls(length);
            let mut model = Model::default();
            for (index, (now, is_failure, is_slow)) in calls.into_iter().enumerate() {
                if index == cleared {
                    window.clear();
                    model.0.clear();
                }
                window.record(now, Call { is_failure, is_slow });
                model.0.push_back((0, Call { is_failure, is_slow }));
                prop_assert_eq!(window.tally(now), model.tally(|age, _| age < length as usize));
            }
        }
    }

    #[test]
    fn a_full_bucket_halves_its_counts_and_keeps_the_ratio() {
        let window = Window::over_time(Duration::from_secs(10));
        for _ in 0..COUNT_MAX {
            window.record(0, OK);
        }
        for _ in 0..COUNT_MAX / 2 {
            window.record(0, Call { is_slow: true, ..FAILED });
        }
        let before = window.tally(0);
        window.record(0, OK);
        let after = window.tally(0);
        assert_eq!(before.failures, COUNT_MAX / 2);
        assert_eq!(after.failures, before.failures.div_ceil(2));
        assert_eq!(after.slow, before.slow.div_ceil(2));
        assert_eq!(after.calls, COUNT_MAX.div_ceil(2) + 1 + after.failures);
    }

    #[test]
    fn a_call_recorded_a_whole_ring_late_is_left_out() {
        let window = Window::over_time(Duration::from_micros(1));
        window.record(1700, FAILED);
        window.record(100, FAILED);
        assert_eq!(window.tally(1700).failures, 1);
        assert_eq!(window.tally(100), Tally::default());
    }

    #[test]
    fn a_window_that_was_idle_for_however_long_counts_again() {
        for tags in [TAG_MASK / 2, TAG_MASK / 2 + 1, TAG_MASK - LATE_MAX] {
            let window = Window::over_time(Duration::from_micros(1));
            window.record(0, FAILED);
            let later = 100 * SLOTS as u64 * tags;
            window.record(later, FAILED);
            assert_eq!(window.tally(later).failures, 1, "{tags}");
        }
    }

    #[test]
    fn tags_that_start_over_are_still_newer() {
        assert!(is_older(TAG_MASK, 0));
        assert!(!is_older(0, TAG_MASK));
        assert!(is_older(3, 4));
    }

    #[test]
    fn the_sums_of_a_ring_are_right_after_many_threads_and_clearings() {
        let window = Window::over_calls(7);
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let window = &window;
                scope.spawn(move || {
                    for number in 0..2000 {
                        let call = if (number + thread) % 3 == 0 { FAILED } else { OK };
                        window.record(0, call);
                        if number % 500 == 0 {
                            window.clear();
                        }
                    }
                });
            }
        });
        for _ in 0..7 {
            window.record(0, OK);
        }
        assert_eq!(window.tally(0), Tally { calls: 7, failures: 0, slow: 0 });
    }

    #[test]
    fn threads_lose_no_call() {
        let window = Window::over_time(Duration::from_secs(10));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..1000).for_each(|_| window.record(5, FAILED)));
            }
        });
        assert_eq!(window.tally(5), Tally { calls: 8000, failures: 8000, slow: 0 });
    }
}
