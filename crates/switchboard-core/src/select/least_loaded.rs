//! The less loaded of two.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{CallEnd, Candidates, Ending, Selector};
use crate::stripe::Padded;
use crate::{Clock, Environment, Error, ErrorKind, Gate, Outcome, Source, Verdict};

/// The less loaded of two healthy members that are drawn at random.
///
/// The load of a member is how long its calls take, times the calls it has under way and one more.
/// How long they take jumps up at once with a call that takes longer, and comes down slowly with those
/// that take less, and with time: so it is quick to leave a member that became slow, and careful to
/// come back. Two are drawn and not all compared, because else all threads would run after the one
/// that looks best at the moment.
///
/// A member that was never measured is taken before any other, by one call at a time until it has
/// been. One that fails, or refuses because it is busy, counts as [very slow](Self::FAILED) from then
/// on, or the one that does so at once would get all calls; as that is forgotten it is tried again. A
/// call that was dropped is no measurement. One that ended by the deadline of its caller shows no more
/// than that it took so long. What was opened takes as long as its opening, and counts as under way
/// until it is closed.
///
/// ```
/// use std::time::Duration;
/// use switchboard_core::{CallEnd, Candidates, Clock, Ending, LeastLoaded, Selector};
///
/// let selector = LeastLoaded::new();
/// let now = Clock::system().now();
/// for (member, took) in [(0, 40), (1, 2)] {
///     selector.began(member);
///     let end = CallEnd::new(Ending::Answered, Duration::from_millis(took), now);
///     selector.ended(member, &end);
/// }
/// assert_eq!(selector.pick(Candidates::all(2).with_now(now)), Some(1));
/// ```
pub struct LeastLoaded {
    members: Box<[Padded<Member>]>,
    decay: Decay,
    clock: OnceLock<Clock>,
    /// The first moment it has seen; others are counted from there.
    start: OnceLock<Instant>,
}

#[derive(Default)]
struct Member {
    under_way: AtomicU32,
    /// An [`Estimate`] in one word, so that no reader sees half of one.
    estimate: AtomicU64,
}

/// How long the calls of a member take, and as of when.
#[derive(Clone, Copy)]
struct Estimate {
    /// In nanoseconds, at least one.
    cost: f32,
    tick: u32,
}

/// What the end of a call says of the member.
#[derive(Clone, Copy)]
enum Lesson {
    /// Its calls take so long.
    Took(f32),
    /// They take no less than that.
    AtLeast(f32),
}

/// How fast what was measured is forgotten.
#[derive(Clone, Copy)]
struct Decay {
    /// A tick has two to this nanoseconds.
    tick_bits: u32,
    /// The part of the time constant that a tick is.
    per_tick: f32,
}

impl LeastLoaded {
    /// How long it takes until a measurement counts for a third, where nobody says otherwise.
    pub const DECAY: Duration = Duration::from_secs(10);

    /// How long the calls of a member are taken to need, at the least, of which one has failed or was
    /// refused: longer than nearly all that are served.
    pub const FAILED: Duration = Duration::from_secs(10);

    /// Knows nothing of any member yet, and forgets with the usual time constant.
    #[must_use]
    pub fn new() -> Self {
        Self::with_decay(Self::DECAY)
    }

    /// The same with another time constant: the time after which a measurement counts for `1/e`, about
    /// a third. Less than a millisecond counts as one.
    #[must_use]
    pub fn with_decay(decay: Duration) -> Self {
        Self {
            members: (0..Candidates::MEMBERS_MAX).map(|_| Padded::default()).collect(),
            decay: Decay::of(decay.max(Duration::from_millis(1))),
            clock: OnceLock::new(),
            start: OnceLock::new(),
        }
    }

    /// How many calls of `member` are under way, what is open included.
    pub fn under_way(&self, member: usize) -> usize {
        let member = self.members.get(member);
        member.map_or(0, |member| member.0.under_way.load(Ordering::Relaxed) as usize)
    }

    /// How long a call of `member` takes, as far as is known: the peak of what was measured last,
    /// forgotten slowly. `None` before the first measurement.
    pub fn latency(&self, member: usize) -> Option<Duration> {
        let member = self.members.get(member)?;
        let estimate = Estimate::unpack(member.0.estimate.load(Ordering::Relaxed))?;
        Some(Duration::from_secs_f64(f64::from(estimate.cost) / f64::from(NANOS)))
    }

    #[inline]
    fn random(&self) -> u64 {
        match self.clock.get() {
            Some(clock) => clock.random(),
            None => Clock::system().random(),
        }
    }

    #[inline]
    fn tick(&self, now: Instant) -> u32 {
        let start = self.start.get_or_init(|| now);
        self.decay.ticks(now.saturating_duration_since(*start))
    }

    /// What it would cost to give `member` one more call.
    #[inline]
    #[expect(
        clippy::cast_precision_loss,
        reason = "of millions of calls the last few do not count"
    )]
    fn load(&self, member: usize, tick: Option<u32>) -> f32 {
        let member = &self.members[member].0;
        let under_way = member.under_way.load(Ordering::Relaxed) as f32;
        match Estimate::unpack(member.estimate.load(Ordering::Relaxed)) {
            Some(estimate) => self.decay.cost_at(estimate, tick) * (under_way + 1.0),
            // The first call goes to it; the others do not follow before that one has told something.
            None => UNMEASURED * under_way,
        }
    }
}

impl Default for LeastLoaded {
    fn default() -> Self {
        Self::new()
    }
}

impl Selector for LeastLoaded {
    fn name(&self) -> &'static str {
        "least_loaded"
    }

    #[inline]
    fn pick(&self, candidates: Candidates) -> Option<usize> {
        let candidates = candidates.preferred();
        let Some((one, other)) = two_of(candidates.len(), || self.random()) else {
            return candidates.first();
        };
        let (one, other) = (candidates.nth(one)?, candidates.nth(other)?);
        let tick = candidates.now().map(|now| self.tick(now));
        let is_less = self.load(other, tick) < self.load(one, tick);
        Some(if is_less { other } else { one })
    }

    fn chooses_for(&self, _group: &Source, environment: &Environment) {
        // Told once; a second group would be told the same environment.
        self.clock.set(environment.clock().clone()).ok();
    }

    fn watches(&self) -> bool {
        true
    }

    #[inline]
    fn began(&self, member: usize) {
        if let Some(member) = self.members.get(member) {
            member.0.under_way.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[inline]
    fn ended(&self, member: usize, end: &CallEnd<'_>) {
        let Some(member) = self.members.get(member) else { return };
        member.0.under_way.fetch_sub(1, Ordering::Relaxed);
        let Some(lesson) = Lesson::of(end) else { return };
        let tick = self.tick(end.at);
        let estimate = |known: u64| {
            let next = match (Estimate::unpack(known), lesson) {
                (None, Lesson::Took(cost) | Lesson::AtLeast(cost)) => Estimate { cost, tick },
                (Some(known), Lesson::Took(took)) => self.decay.measured(known, took, tick),
                (Some(known), Lesson::AtLeast(least)) => self.decay.raised(known, least, tick),
            };
            // Most calls are no peak and follow each other closely: then there is nothing to write.
            Some(next.pack()).filter(|next| *next != known)
        };
        member.0.estimate.try_update(Ordering::Relaxed, Ordering::Relaxed, estimate).ok();
    }

    fn opened(&self, member: usize) {
        self.began(member);
    }

    fn closed(&self, member: usize) {
        if let Some(member) = self.members.get(member) {
            member.0.under_way.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for LeastLoaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let measured = (0..Candidates::MEMBERS_MAX)
            .filter_map(|member| Some((member, (self.latency(member)?, self.under_way(member)))));
        f.debug_map().entries(measured).finish()
    }
}

impl Estimate {
    #[inline]
    fn pack(self) -> u64 {
        u64::from(self.cost.to_bits()) << 32 | u64::from(self.tick)
    }

    /// What was packed; `None` of zero, which stands for nothing measured.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "a word has two halves")]
    fn unpack(word: u64) -> Option<Self> {
        (word != 0).then(|| Self { cost: f32::from_bits((word >> 32) as u32), tick: word as u32 })
    }
}

impl Lesson {
    /// What is to be learned; nothing of a call that its caller gave up, or that was not even asked
    /// for want of time.
    #[inline]
    fn of(end: &CallEnd<'_>) -> Option<Self> {
        let took = nanos(end.took);
        match (end.verdict(), end.ending) {
            (Verdict::Success, _) => Some(Self::Took(took)),
            (Verdict::Failure, _) => Some(Self::failed(took)),
            (Verdict::Ignored, Ending::Failed(error) | Ending::OutOfTime(error)) => {
                Self::of_ignored(took, error)
            }
            (Verdict::Ignored, _) => None,
        }
    }

    #[cold]
    fn of_ignored(took: f32, error: &Error) -> Option<Self> {
        match (error.kind(), error.gate()) {
            (ErrorKind::RateLimited | ErrorKind::Overloaded, _) => Some(Self::failed(took)),
            // It was asked, and did not answer in that time.
            (_, Some(Gate::Deadline)) if error.outcome() != Outcome::NotApplied => {
                Some(Self::AtLeast(took))
            }
            _ => None,
        }
    }

    fn failed(took: f32) -> Self {
        Self::AtLeast(took.max(nanos(LeastLoaded::FAILED)))
    }
}

impl Decay {
    #[expect(clippy::cast_precision_loss, reason = "it need not be exact")]
    fn of(constant: Duration) -> Self {
        let nanos = crate::clock::nanos(constant);
        let tick_bits = (nanos / TICKS_MIN).max(1).ilog2();
        Self { tick_bits, per_tick: (1_u64 << tick_bits) as f32 / nanos as f32 }
    }

    /// So many ticks, which begin again after thousands of time constants: by then all is forgotten.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "it is to begin again")]
    fn ticks(self, time: Duration) -> u32 {
        let nanos = time.as_secs().wrapping_mul(1_000_000_000) + u64::from(time.subsec_nanos());
        (nanos >> self.tick_bits) as u32
    }

    /// How much of what was measured at `from` still counts at `to`.
    #[inline]
    #[expect(clippy::cast_precision_loss, reason = "of so many ticks the last few do not count")]
    fn left(self, from: u32, to: u32) -> f32 {
        match to.wrapping_sub(from) {
            0 => 1.0,
            // Somebody else was a little later.
            ticks if ticks > u32::MAX / 2 => 1.0,
            ticks => (-(ticks as f32) * self.per_tick).exp(),
        }
    }

    #[inline]
    fn cost_at(self, estimate: Estimate, tick: Option<u32>) -> f32 {
        tick.map_or(estimate.cost, |tick| estimate.cost * self.left(estimate.tick, tick))
    }

    /// At once up to a peak, and never down.
    fn raised(self, known: Estimate, least: f32, tick: u32) -> Estimate {
        if least < self.cost_at(known, Some(tick)) { known } else { Estimate { cost: least, tick } }
    }

    /// At once up to a peak; towards less by and by.
    #[inline]
    fn measured(self, known: Estimate, took: f32, tick: u32) -> Estimate {
        if took >= known.cost {
            return Estimate { cost: took, tick };
        }
        let left = self.left(known.tick, tick);
        if left >= 1.0 {
            // Within one tick nothing is forgotten; the moment stays, or it never would be.
            return known;
        }
        Estimate { cost: known.cost * left + took * (1.0 - left), tick }
    }
}

/// Two different positions below `count`, drawn with one throw of the dice; `None` below two.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "positions are below 64")]
fn two_of(count: usize, random: impl FnOnce() -> u64) -> Option<(usize, usize)> {
    let count = u64::try_from(count).ok().filter(|count| *count >= 2)?;
    let random = random();
    let below = |dice: u64, count: u64| ((dice & u64::from(u32::MAX)) * count) >> 32;
    let one = below(random, count);
    let other = below(random >> 32, count - 1);
    // All but the first one, in their order.
    let other = if other >= one { other + 1 } else { other };
    Some((one as usize, other as usize))
}

#[inline]
#[expect(clippy::cast_precision_loss, reason = "of a duration the first seven digits are enough")]
fn nanos(time: Duration) -> f32 {
    (time.as_nanos() as f32).max(1.0)
}

const NANOS: f32 = 1e9;

/// What each call under way makes an unmeasured member cost: more than any measured one.
const UNMEASURED: f32 = 1e24;

/// A time constant has at least so many ticks.
const TICKS_MIN: u64 = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MILLI: Duration = Duration::from_millis(1);
    const SECOND: Duration = Duration::from_secs(1);

    /// A selector with dice that repeat, and a moment to start from.
    fn seeded() -> (LeastLoaded, Instant) {
        let selector = LeastLoaded::new();
        let environment = Environment::new().with_clock(Clock::seeded(1));
        selector.chooses_for(&Source::new("test", "group"), &environment);
        (selector, Clock::system().now())
    }

    fn call(
        selector: &LeastLoaded,
        member: usize,
        ending: Ending<'_>,
        took: Duration,
        at: Instant,
    ) {
        selector.began(member);
        selector.ended(member, &CallEnd::new(ending, took, at));
    }

    fn answer(selector: &LeastLoaded, member: usize, took: Duration, at: Instant) {
        call(selector, member, Ending::Answered, took, at);
    }

    /// How many of a hundred calls each of `count` members would get.
    fn picks(selector: &LeastLoaded, count: usize, at: Instant) -> Vec<u32> {
        let mut picks = vec![0; count];
        for _ in 0..100 {
            picks[selector.pick(Candidates::all(count).with_now(at)).unwrap()] += 1;
        }
        picks
    }

    #[test]
    fn after_a_spike_the_other_one_is_preferred_until_it_is_forgotten() {
        let (selector, now) = seeded();
        answer(&selector, 0, 2 * MILLI, now);
        answer(&selector, 1, 4 * MILLI, now);
        assert_eq!(picks(&selector, 2, now), [100, 0]);
        answer(&selector, 0, 500 * MILLI, now);
        assert_eq!(picks(&selector, 2, now), [0, 100], "it is left at once");
        // The other one goes on being measured; the one with the spike is not asked.
        let mut at = now;
        let mut back = None;
        for second in 1..100 {
            at += Duration::from_secs(1);
            answer(&selector, 1, 4 * MILLI, at);
            if back.is_none() && picks(&selector, 2, at) == [100, 0] {
                back = Some(second);
            }
        }
        // 500 ms have become 4 ms after ten times the logarithm of 125.
        assert_eq!(back, Some(49));
    }

    #[test]
    fn calls_under_way_weigh_as_much_as_slowness() {
        let (selector, now) = seeded();
        answer(&selector, 0, 3 * MILLI, now);
        answer(&selector, 1, 10 * MILLI, now);
        for _ in 0..3 {
            assert_eq!(picks(&selector, 2, now), [100, 0]);
            selector.began(0);
        }
        assert_eq!(picks(&selector, 2, now), [0, 100], "the fast one would be the fourth of four");
        assert_eq!((selector.under_way(0), selector.under_way(1)), (3, 0));
    }

    #[test]
    fn one_that_was_never_measured_gets_one_call_at_a_time_until_it_is() {
        let (selector, now) = seeded();
        answer(&selector, 0, MILLI, now);
        assert_eq!(picks(&selector, 2, now), [0, 100]);
        selector.began(1);
        assert_eq!(picks(&selector, 2, now), [100, 0], "others do not follow");
        selector.ended(1, &CallEnd::new(Ending::Dropped, MILLI, now));
        assert_eq!(picks(&selector, 2, now), [0, 100], "a dropped call told nothing");
        answer(&selector, 1, 5 * MILLI, now);
        assert_eq!(picks(&selector, 2, now), [100, 0]);
    }

    #[test]
    fn at_the_start_calls_spread_over_members_of_which_nothing_is_known() {
        let (selector, now) = seeded();
        for _ in 0..400 {
            let picked = selector.pick(Candidates::all(4).with_now(now)).unwrap();
            selector.began(picked);
        }
        for member in 0..4 {
            assert!((90..=110).contains(&selector.under_way(member)), "{selector:?}");
        }
    }

    /// Lets member 0 end each of its calls at once like this, and the other one serve in 10 ms. A
    /// call every 10 ms for `seconds`; how many of them were sent to member 0 first.
    fn sent_to_who_ends_so(
        selector: &LeastLoaded,
        error: &Error,
        at: Instant,
        seconds: u32,
    ) -> u32 {
        let mut sent = 0;
        for step in 1..=seconds * 100 {
            let at = at + step * 10 * MILLI;
            if selector.pick(Candidates::all(2).with_now(at)) == Some(0) {
                sent += 1;
                call(selector, 0, Ending::Failed(error), Duration::ZERO, at);
            }
            answer(selector, 1, 10 * MILLI, at);
        }
        sent
    }

    #[test]
    fn who_fails_or_refuses_at_once_is_left_at_once_and_asked_again_now_and_then() {
        let refused = [Gate::RateLimit, Gate::Bulkhead, Gate::Breaker, Gate::AttemptTimeout];
        let refused = refused.map(|gate| Error::refused(gate, "no"));
        let failed = [ErrorKind::Unavailable, ErrorKind::RateLimited, ErrorKind::Overloaded];
        let failed = failed.map(|kind| Error::new(kind, "no"));
        for error in refused.iter().chain(&failed) {
            for measured in [true, false] {
                let (selector, now) = seeded();
                if measured {
                    answer(&selector, 0, 5 * MILLI, now);
                    answer(&selector, 1, 10 * MILLI, now);
                }
                let sent = sent_to_who_ends_so(&selector, error, now, 60);
                assert!((1..=2).contains(&sent), "{error}: {sent} of 6000");
                let sent = sent_to_who_ends_so(&selector, error, now + 60 * SECOND, 600);
                assert!((5..=15).contains(&sent), "{error}: {sent} of 60000");
            }
        }
    }

    #[test]
    fn who_serves_again_gets_its_share_again() {
        let (selector, now) = seeded();
        answer(&selector, 0, 5 * MILLI, now);
        answer(&selector, 1, 10 * MILLI, now);
        let busy = Error::new(ErrorKind::Overloaded, "full");
        call(&selector, 0, Ending::Failed(&busy), Duration::ZERO, now);
        assert_eq!(picks(&selector, 2, now), [0, 100]);
        let later = now + Duration::from_mins(2);
        answer(&selector, 1, 10 * MILLI, later);
        assert_eq!(picks(&selector, 2, later), [100, 0]);
        answer(&selector, 0, 5 * MILLI, later);
        assert_eq!(picks(&selector, 2, later), [100, 0]);
    }

    #[test]
    fn what_ends_by_its_caller_makes_nobody_look_faster_or_worse_than_was_seen() {
        let (selector, now) = seeded();
        answer(&selector, 0, 10 * MILLI, now);
        let refused = Error::refused(Gate::Deadline, "late");
        let asked = refused.clone().with_outcome(Outcome::Unknown);
        for (ending, took) in [
            (Ending::Dropped, SECOND),
            (Ending::Failed(&refused), SECOND),
            (Ending::OutOfTime(&asked), MILLI),
        ] {
            call(&selector, 0, ending, took, now);
            assert_eq!(selector.latency(0), Some(10 * MILLI), "{ending:?}");
        }
        call(&selector, 1, Ending::Failed(&refused), MILLI, now);
        assert_eq!(selector.latency(1), None);
        for member in [0, 1] {
            call(&selector, member, Ending::OutOfTime(&asked), SECOND, now);
            assert_eq!(selector.latency(member), Some(SECOND), "it takes no less than that");
        }
    }

    #[test]
    fn a_failure_shows_for_what_it_took_and_an_answer_is_an_answer_whatever_it_says() {
        let (selector, now) = seeded();
        let outage = Error::new(ErrorKind::Unavailable, "refused");
        answer(&selector, 0, 10 * MILLI, now);
        call(&selector, 0, Ending::Panicked, Duration::ZERO, now);
        assert_eq!(selector.latency(0), Some(10 * SECOND));
        call(&selector, 0, Ending::Failed(&outage), 20 * SECOND, now);
        assert_eq!(selector.latency(0), Some(20 * SECOND));
        call(&selector, 0, Ending::Failed(&outage), SECOND, now);
        assert_eq!(selector.latency(0), Some(20 * SECOND), "never faster");
        let answered = Error::new(ErrorKind::NotFound, "nothing there");
        call(&selector, 1, Ending::Failed(&answered), MILLI, now);
        assert_eq!(selector.latency(1), Some(MILLI));
    }

    #[test]
    fn what_is_measured_often_comes_down_as_fast_as_what_is_measured_seldom() {
        for step in [Duration::from_micros(50), MILLI, 100 * MILLI] {
            let (selector, now) = seeded();
            answer(&selector, 0, 1_000 * MILLI, now);
            let mut at = now;
            while at < now + LeastLoaded::DECAY {
                at += step;
                answer(&selector, 0, MILLI, at);
            }
            let left = selector.latency(0).unwrap().as_millis();
            assert!((360..=385).contains(&left), "{step:?}: {left} ms");
        }
    }

    proptest! {
        #[test]
        fn two_different_candidates_are_drawn_and_no_other(count in 2_usize..=64, dice: u64) {
            let (one, other) = two_of(count, || dice).unwrap();
            prop_assert!(one != other && one < count && other < count, "{one} {other}");
        }

        #[test]
        fn whatever_is_measured_the_estimate_lies_between_the_least_and_the_most(
            calls in proptest::collection::vec((0_u64..100_000_000_000, 0_u64..40_000_000_000), 1..50),
            decay in 0_u64..100_000_000_000,
        ) {
            let selector = LeastLoaded::with_decay(Duration::from_nanos(decay));
            let mut at = Clock::system().now();
            for (took, pause) in &calls {
                at += Duration::from_nanos(*pause);
                answer(&selector, 0, Duration::from_nanos(*took), at);
                let latency = selector.latency(0).unwrap();
                prop_assert!(latency.mul_f32(1.000_01) >= Duration::from_nanos(*took));
            }
            let most = calls.iter().map(|(took, _)| (*took).max(1)).max().unwrap();
            let latency = selector.latency(0).unwrap();
            prop_assert!(latency <= Duration::from_nanos(most).mul_f32(1.000_01));
        }
    }

    #[test]
    fn each_pair_is_drawn_equally_often() {
        let clock = Clock::seeded(3);
        let mut pairs = std::collections::BTreeMap::new();
        for _ in 0..20_000 {
            *pairs.entry(two_of(5, || clock.random()).unwrap()).or_insert(0_u32) += 1;
        }
        assert_eq!(pairs.len(), 20);
        assert!(pairs.values().all(|times| (850..=1150).contains(times)), "{pairs:?}");
    }
}
