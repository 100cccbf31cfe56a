//! Finds how many calls a service takes at once, by how long its answers take.
//!
//! Knows samples and moments, nothing of slots, locks or clocks. A window of samples that is complete
//! moves the limit once: down while answers take clearly longer than they usually do, down by the share of
//! calls that were too much for the service, and up while the slots are really used. What answers usually
//! take is measured where calls do not wait for each other: while few slots are used, and in looks.

use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::gates::mistakes::Mistakes;
use crate::settings::duration;
use crate::{Class, Error, ErrorKind, Gate, Result};

/// Between which bounds a bulkhead finds its own limit, and how eagerly.
///
/// Answers that take longer than they usually do are the first sign that a service has too much to do.
/// Where that is so the limit goes down in proportion; where calls end for want of time or because the
/// service refuses them, by the share that they are of all. Else, while at least half of the slots are
/// used, it goes up, a little at a time, as far as the `max` of the bulkhead.
///
/// How long answers take while calls wait for each other says nothing about how long they need. So while
/// the slots are used, now and then half of them are left empty for one window, and what is measured then
/// is what is usual from there on. It is one time for all calls of the bulkhead: operations that take very
/// different times are better kept apart, in instances of their own.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Gradient {
    /// How many calls may run at the same time whatever is measured.
    pub min: u32,
    /// How many may run before anything is known; brought between `min` and the `max` of the bulkhead.
    pub start: u32,
    /// How many times as long as usual answers may take before that counts as too much.
    pub tolerance: f64,
    /// How far one window moves the limit: 1 all the way at once, 0 not at all.
    pub smoothing: f64,
    /// How many more than were found are aimed at while answers take no longer than usual.
    pub headroom: u32,
    /// How long a window lasts at least.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text")]
    pub window: Duration,
    /// How many answers a window has at least.
    pub samples: u32,
}

/// What has been learnt so far.
#[derive(Debug)]
pub(crate) struct Learner {
    gradient: Gradient,
    max: u32,
    /// With its fraction, or small steps would never add up to a slot.
    limit: f64,
    /// How long answers usually take, in nanoseconds; `None` before the first window.
    usual: Option<f64>,
    window: Option<Window>,
    /// Whether the window is one in which half of the slots are left empty.
    is_looking: bool,
    /// How many more windows with used slots come before the next look.
    look_in: u32,
}

/// What one call says of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sample {
    /// It took so long to answer, or longer.
    Took(Duration),
    /// It had too much to do.
    Overloaded,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    answers: u32,
    overloads: u32,
    nanos: f64,
    /// The most calls that were seen running at the same time.
    busiest: u32,
}

impl Sample {
    /// What a call that ended like this says; `None` where it says nothing.
    ///
    /// A refusal or time-out is a sign of overload; where the time was the caller's, all that is known
    /// is that no answer came until then. Other outages say nothing about how much a service takes, and
    /// neither does a mistake of the program, nor a caller that went away.
    pub(crate) fn of<T>(result: &Result<T>, took: Duration) -> Option<Self> {
        let Err(error) = result else { return Some(Self::Took(took)) };
        match (error.class(), error.kind()) {
            (Class::Answer, _) => Some(Self::Took(took)),
            _ if error.gate() == Some(Gate::Deadline) => Some(Self::Took(took)),
            (_, ErrorKind::Timeout | ErrorKind::Overloaded | ErrorKind::RateLimited) => {
                Some(Self::Overloaded)
            }
            _ => None,
        }
    }
}

impl Learner {
    pub(crate) fn new(gradient: Gradient, max: u32) -> Self {
        let limit = f64::from(gradient.start.clamp(gradient.min, max));
        let look_in = LOOK_IN_SOON;
        Self { gradient, max, limit, usual: None, window: None, is_looking: false, look_in }
    }

    /// Another service answers from now on: what is usual is to be found out anew.
    pub(crate) fn start_over(&mut self) {
        *self = Self { limit: self.limit, ..Self::new(self.gradient, self.max) };
    }

    /// Goes on between other bounds, with what has been learnt.
    pub(crate) fn retune(&mut self, gradient: Gradient, max: u32) {
        self.gradient = gradient;
        self.max = max;
        self.limit = self.bounded(self.limit);
    }

    /// How many calls may run at the same time.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it lies between two numbers that fit"
    )]
    pub(crate) fn limit(&self) -> u32 {
        let limit = if self.is_looking { self.bounded(self.limit / 2.0) } else { self.limit };
        limit as u32
    }

    /// Adds a sample, taken while so many calls were running; says so when that moved the limit.
    pub(crate) fn add(&mut self, now: Instant, sample: Sample, in_use: u32) -> bool {
        let before = self.limit();
        let window = self.window.get_or_insert_with(|| Window::new(now));
        if self.is_looking && sample.began(now).is_none_or(|began| began < window.began) {
            return false;
        }
        window.add(sample, in_use);
        let factor = if self.is_looking { LOOK_SAMPLES } else { 1 };
        let is_complete = window.calls() >= self.gradient.samples.saturating_mul(factor)
            && now.saturating_duration_since(window.began) >= self.gradient.window;
        if let Some(window) = self.window.take_if(|_| is_complete) {
            self.learn(&window);
            // From now on, so that a look leaves out what began before it.
            self.window = Some(Window::new(now));
        }
        self.limit() != before
    }

    fn learn(&mut self, window: &Window) {
        let overloaded = f64::from(window.overloads) / f64::from(window.calls());
        if window.answers > 0 {
            self.learn_of_answers(window);
        } else {
            self.is_looking = false;
        }
        self.limit = self.bounded(self.limit * (1.0 - overloaded).max(KEPT_MIN));
    }

    fn learn_of_answers(&mut self, window: &Window) {
        let lately = window.nanos / f64::from(window.answers);
        if self.is_looking {
            return self.end_look(lately);
        }
        let is_used = f64::from(window.busiest) >= self.limit / 2.0;
        let usual = match self.usual {
            // Few calls do not wait for each other, so what they take is what they need.
            Some(usual) if !is_used => usual + (lately - usual) * UNUSED,
            Some(usual) => usual,
            None => lately,
        };
        self.usual = Some(usual);
        self.move_limit(usual, lately, is_used);
        if is_used {
            self.is_looking = self.look_in == 0;
            self.look_in = self.look_in.saturating_sub(1);
        }
    }

    fn move_limit(&mut self, usual: f64, lately: f64, is_used: bool) {
        let gradient = (self.gradient.tolerance * usual / lately.max(1.0)).clamp(KEPT_MIN, 1.0);
        // Slots that nobody uses say nothing about how many there could be.
        if gradient >= 1.0 && !is_used {
            return;
        }
        // Added on the way down too: else chance alone, which never brings the gradient above one, would
        // take off a little with each window that was slower than it should be.
        let target = self.limit * gradient + f64::from(self.gradient.headroom);
        let target = if is_used { target } else { target.min(self.limit) };
        let smoothing = self.gradient.smoothing;
        self.limit = self.bounded(self.limit * (1.0 - smoothing) + target * smoothing);
    }

    /// What was measured with half of the slots is what is usual. If that is something else than was
    /// thought, half of the slots may have been too many as well: then the next look comes soon.
    fn end_look(&mut self, lately: f64) {
        let was_right = self.usual.is_some_and(|usual| {
            lately * ABOUT_AS_LONG >= usual && lately <= usual * ABOUT_AS_LONG
        });
        self.usual = Some(lately);
        self.is_looking = false;
        self.look_in = if was_right { LOOK_IN_USUAL } else { LOOK_IN_SOON };
    }

    fn bounded(&self, limit: f64) -> f64 {
        limit.clamp(f64::from(self.gradient.min), f64::from(self.max))
    }
}

impl Sample {
    /// When the call began, as far as that matters: an overload counts whenever it did.
    fn began(self, now: Instant) -> Option<Instant> {
        match self {
            Self::Took(took) => now.checked_sub(took),
            Self::Overloaded => Some(now),
        }
    }
}

impl Window {
    fn new(began: Instant) -> Self {
        Self { began, answers: 0, overloads: 0, nanos: 0.0, busiest: 0 }
    }

    fn calls(&self) -> u32 {
        self.answers.saturating_add(self.overloads)
    }

    #[expect(clippy::cast_precision_loss, reason = "a mean of nanoseconds need not be exact")]
    fn add(&mut self, sample: Sample, in_use: u32) {
        self.busiest = self.busiest.max(in_use);
        match sample {
            Sample::Took(took) => {
                self.answers = self.answers.saturating_add(1);
                self.nanos += took.as_nanos() as f64;
            }
            Sample::Overloaded => self.overloads = self.overloads.saturating_add(1),
        }
    }
}

impl Gradient {
    /// Finds out whether the settings make sense beside the `max` of a bulkhead, all of them at once.
    pub(super) fn check(&self, max: u32) -> Result<(), Error> {
        let mut mistakes = Mistakes::of("bulkhead.adaptive");
        let share = 0.0..=1.0;
        mistakes.require(
            (1..=max).contains(&self.min),
            "min",
            self.min,
            "at least one slot, and no more than the bulkhead has, must be left",
        );
        mistakes.require(
            self.tolerance.is_finite() && self.tolerance >= 1.0,
            "tolerance",
            self.tolerance,
            "below 1 even the usual time would count as too long",
        );
        mistakes.require(
            self.smoothing > 0.0 && share.contains(&self.smoothing),
            "smoothing",
            self.smoothing,
            "a window moves the limit by a share above 0 and up to 1",
        );
        mistakes.require(
            !self.window.is_zero(),
            "window",
            self.window,
            "a window without length holds nothing",
        );
        mistakes.require(
            self.samples > 0,
            "samples",
            self.samples,
            "one answer is needed at least",
        );
        mistakes.into_result()
    }
}

impl Default for Gradient {
    /// From 4 slots up, beginning with 20; half again as long as usual is too long.
    fn default() -> Self {
        Self {
            min: 4,
            start: 20,
            tolerance: 1.5,
            smoothing: 0.2,
            headroom: 4,
            window: Duration::from_millis(500),
            samples: 10,
        }
    }
}

/// The least that one window leaves of the limit, for each of its two reasons.
const KEPT_MIN: f64 = 0.5;
/// How much a window counts towards what is usual in which the slots were hardly used.
const UNUSED: f64 = 0.1;
/// After how many windows with used slots a look comes: usually, and at first or after one that brought
/// news.
const LOOK_IN_USUAL: u32 = 50;
const LOOK_IN_SOON: u32 = 5;
/// How many times as many answers as another window a look has, because much depends on it.
const LOOK_SAMPLES: u32 = 4;
/// Up to how many times as long, or as short, is no news.
const ABOUT_AS_LONG: f64 = 1.33;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Clock;

    /// A service that answers in `base` while it has no more than `capacity` calls, and shares itself
    /// among them above that.
    struct Service {
        base: Duration,
        capacity: u32,
    }

    impl Service {
        fn answer(&self, in_use: u32) -> Sample {
            let share = f64::from(in_use) / f64::from(self.capacity);
            Sample::Took(self.base.mul_f64(share.max(1.0)))
        }
    }

    fn learner(start: u32) -> Learner {
        Learner::new(Gradient { start, ..Gradient::default() }, 1000)
    }

    /// So many windows in which all slots are used, or `load` if that is less.
    fn run(learner: &mut Learner, service: &Service, windows: u32, load: u32, now: &mut Instant) {
        for _ in 0..windows {
            for _ in 0..learner.gradient.samples {
                let in_use = learner.limit().min(load);
                learner.add(*now, service.answer(in_use), in_use);
                *now += learner.gradient.window / learner.gradient.samples;
            }
            *now += learner.gradient.window / 2;
        }
    }

    fn service(capacity: u32) -> Service {
        Service { base: Duration::from_millis(10), capacity }
    }

    /// What is found, whether or not half of it is left empty just then.
    fn found(learner: &Learner) -> f64 {
        learner.limit
    }

    #[test]
    fn under_load_from_the_first_call_on_it_comes_near_to_what_the_service_takes_and_stays_there() {
        for (capacity, start) in [(20, 4), (20, 20), (20, 600), (100, 4), (100, 600), (100, 1000)] {
            let mut now = Clock::system().now();
            let mut learner = learner(start);
            run(&mut learner, &service(capacity), 500, u32::MAX, &mut now);
            for minutes in 0..60 {
                run(&mut learner, &service(capacity), 100, u32::MAX, &mut now);
                let share = found(&learner) / f64::from(capacity);
                assert!(
                    (1.0..=2.0).contains(&share),
                    "{share} of {capacity}, {minutes} minutes on"
                );
            }
        }
    }

    #[test]
    fn answers_that_take_now_long_and_now_short_do_not_bring_it_down() {
        let dice = Clock::seeded(5);
        for (capacity, start) in [(20, 4), (20, 600), (100, 4), (100, 600)] {
            let mut now = Clock::system().now();
            let mut learner = learner(start);
            let (mut seen, mut windows) = (0.0, 0);
            for turn in 0..30_000 {
                let in_use = learner.limit();
                let Sample::Took(mean) = service(capacity).answer(in_use) else { continue };
                // As if each call needed a time of its own: many little, few very much.
                let took = mean.mul_f64(-(1.0 - dice.fraction()).ln());
                learner.add(now, Sample::Took(took), in_use);
                now += learner.gradient.window / learner.gradient.samples;
                if turn >= 10_000 && turn % 10 == 0 {
                    seen += found(&learner);
                    windows += 1;
                }
            }
            let share = seen / f64::from(windows) / f64::from(capacity);
            assert!((0.9..=2.0).contains(&share), "{share} of {capacity} from {start}");
        }
    }

    /// One that has just begun to look, and the moment.
    fn looking() -> (Learner, Instant) {
        let (mut learner, mut now) = (learner(100), Clock::system().now());
        for _ in 0..1_000 {
            if learner.is_looking {
                return (learner, now);
            }
            now += Duration::from_millis(100);
            learner.add(now, service(10).answer(100), 100);
        }
        panic!("it never looks");
    }

    #[test]
    fn a_look_leaves_half_of_the_slots_empty_and_counts_only_what_began_since() {
        let (mut learner, mut now) = looking();
        let (before, half) = (learner.limit, learner.limit());
        assert!((f64::from(half) - before / 2.0).abs() < 1.0, "{half} of {before}");
        // Calls of before the look go on ending for a while.
        for _ in 0..100 {
            learner.add(now, Sample::Took(Duration::from_hours(1)), 100);
        }
        assert!(learner.is_looking);
        for _ in 0..4 * learner.gradient.samples {
            now += Duration::from_millis(100);
            learner.add(now, Sample::Took(Duration::from_millis(20)), 50);
        }
        assert!(!learner.is_looking);
        let usual = learner.usual.unwrap() / 1e6;
        assert!((usual - 20.0).abs() < 1e-9, "{usual} ms");
        assert!((found(&learner) - before).abs() < 1e-9, "{} of {before}", found(&learner));
    }

    #[test]
    fn overload_ends_a_look() {
        let (mut learner, mut now) = looking();
        let before = found(&learner);
        for _ in 0..4 * learner.gradient.samples {
            now += Duration::from_millis(100);
            learner.add(now, Sample::Overloaded, 50);
        }
        assert!(!learner.is_looking);
        assert!((found(&learner) - before * KEPT_MIN).abs() < 1e-9);
    }

    #[test]
    fn no_look_is_taken_while_nobody_uses_the_slots() {
        let mut now = Clock::system().now();
        let mut learner = learner(100);
        for _ in 0..500 {
            run(&mut learner, &service(100), 1, 49, &mut now);
            assert_eq!(learner.limit(), 100);
        }
    }

    #[test]
    fn it_backs_off_when_the_service_slows_down_and_comes_back_afterwards() {
        let mut now = Clock::system().now();
        let mut learner = learner(4);
        run(&mut learner, &service(100), 200, u32::MAX, &mut now);
        let before = found(&learner);
        run(&mut learner, &service(20), 30, u32::MAX, &mut now);
        let during = found(&learner);
        assert!(during < before / 2.0, "{before} then {during}");
        run(&mut learner, &service(100), 200, u32::MAX, &mut now);
        assert!(found(&learner) >= before * 0.9, "{before} then {}", found(&learner));
    }

    #[test]
    fn a_service_that_is_slower_for_good_is_taken_as_it_is() {
        let mut now = Clock::system().now();
        let mut learner = learner(4);
        run(&mut learner, &service(100), 200, u32::MAX, &mut now);
        let slower = Service { base: Duration::from_millis(50), capacity: 100 };
        run(&mut learner, &slower, 400, u32::MAX, &mut now);
        assert!((100.0..=200.0).contains(&found(&learner)), "{}", found(&learner));
    }

    #[test]
    fn slots_that_nobody_uses_do_not_raise_the_limit() {
        let mut now = Clock::system().now();
        let mut learner = learner(40);
        run(&mut learner, &service(100), 100, 19, &mut now);
        assert_eq!(learner.limit(), 40);
        run(&mut learner, &service(100), 100, 30, &mut now);
        assert!((50..=60).contains(&learner.limit()), "{}", learner.limit());
    }

    #[test]
    fn the_limit_goes_down_by_the_share_of_calls_that_were_too_much() {
        let now = Clock::system().now();
        let mut learner = learner(100);
        for second in 0..10 {
            let sample = match second {
                5 => Sample::Overloaded,
                _ => Sample::Took(Duration::from_millis(1)),
            };
            learner.add(now + Duration::from_secs(second), sample, 10);
        }
        assert_eq!(learner.limit(), 90);
    }

    #[test]
    fn a_call_in_five_hundred_that_is_lost_takes_no_slots_away() {
        let mut now = Clock::system().now();
        let mut learner = learner(100);
        for number in 0..100_000_u32 {
            let sample = match number % 500 {
                0 => Sample::Overloaded,
                _ => Sample::Took(Duration::from_millis(10)),
            };
            learner.add(now, sample, learner.limit());
            now += Duration::from_millis(1);
        }
        assert!(learner.limit() >= 100, "{}", learner.limit());
    }

    #[test]
    fn a_second_of_quick_answers_is_not_taken_as_what_all_could_be() {
        let mut now = Clock::system().now();
        let mut learner = learner(200);
        let slow = Service { base: Duration::from_millis(100), capacity: 1000 };
        let quick = Service { base: Duration::from_millis(5), capacity: 1000 };
        run(&mut learner, &slow, 100, u32::MAX, &mut now);
        let before = learner.limit();
        for _ in 0..20 {
            run(&mut learner, &quick, 2, u32::MAX, &mut now);
            run(&mut learner, &slow, 20, u32::MAX, &mut now);
        }
        assert!(learner.limit() >= before, "{before} then {}", learner.limit());
    }

    #[test]
    fn after_a_start_over_what_was_usual_is_forgotten_and_the_limit_is_not() {
        let mut now = Clock::system().now();
        let mut learner = learner(100);
        run(&mut learner, &service(1000), 20, u32::MAX, &mut now);
        let before = learner.limit();
        learner.start_over();
        let slower = Service { base: Duration::from_millis(40), capacity: 1000 };
        run(&mut learner, &slower, 20, u32::MAX, &mut now);
        assert!(learner.limit() >= before, "{before} then {}", learner.limit());
    }

    #[test]
    fn other_bounds_keep_what_was_learnt_within_them() {
        let mut learner = learner(100);
        learner.retune(Gradient::default(), 60);
        assert_eq!(learner.limit(), 60);
        learner.retune(Gradient { min: 80, ..Gradient::default() }, 1000);
        assert_eq!(learner.limit(), 80);
    }

    #[test]
    fn what_a_call_says_follows_from_how_it_ended() {
        let took = Duration::from_millis(3);
        let sample = |kind| Sample::of::<()>(&Err(Error::new(kind, "said so")), took);
        assert_eq!(Sample::of(&Ok(()), took), Some(Sample::Took(took)));
        assert_eq!(sample(ErrorKind::NotFound), Some(Sample::Took(took)));
        assert_eq!(sample(ErrorKind::Timeout), Some(Sample::Overloaded));
        assert_eq!(sample(ErrorKind::Overloaded), Some(Sample::Overloaded));
        let impatient = Err::<(), _>(Error::refused(Gate::Deadline, "late"));
        assert_eq!(Sample::of(&impatient, took), Some(Sample::Took(took)));
        for silent in [ErrorKind::Unavailable, ErrorKind::Cancelled, ErrorKind::Config] {
            assert_eq!(sample(silent), None, "{silent}");
        }
    }

    fn samples() -> impl Strategy<Value = Vec<(u64, Option<u64>, u32)>> {
        let sample = (0..2_000_u64, prop::option::weighted(0.9, any::<u64>()), any::<u32>());
        prop::collection::vec(sample, 0..300)
    }

    proptest! {
        #[test]
        fn the_limit_never_leaves_its_bounds(
            samples in samples(),
            min in 1..50_u32,
            more in 0..500_u32,
            start in any::<u32>(),
            smoothing in 0.01..=1.0_f64,
        ) {
            let max = min + more;
            let gradient = Gradient { min, start, smoothing, ..Gradient::default() };
            prop_assert!(gradient.check(max).is_ok());
            let mut learner = Learner::new(gradient, max);
            let mut now = Clock::system().now();
            for (later, nanos, in_use) in samples {
                now += Duration::from_millis(later);
                let sample = nanos.map_or(Sample::Overloaded, |nanos| {
                    Sample::Took(Duration::from_nanos(nanos))
                });
                let before = learner.limit();
                let moved = learner.add(now, sample, in_use);
                prop_assert_eq!(moved, before != learner.limit());
                prop_assert!((min..=max).contains(&learner.limit()));
            }
        }
    }
}
