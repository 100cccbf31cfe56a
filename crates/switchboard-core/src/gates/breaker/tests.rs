//! The breaker against a plain model of it, and the traps breakers fall into.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Barrier};

use proptest::prelude::*;

use super::*;
use crate::{Outcome, Retry};

const SECOND: Duration = Duration::from_secs(1);

fn policy() -> BreakerPolicy {
    BreakerPolicy { min_calls: 4, jitter: Jitter::None, ..BreakerPolicy::default() }
}

fn breaker(policy: BreakerPolicy) -> Breaker {
    let source = Source::new("cache", "main");
    Breaker::new(policy, source, Events::new(), Clock::seeded(1)).unwrap()
}

fn record(breaker: &Breaker, now: Instant, verdict: Verdict) {
    breaker.permit_at(now).unwrap().record_at(now, verdict, None);
}

fn unavailable() -> Error {
    Error::new(ErrorKind::Unavailable, "no connection")
}

/// A breaker that has just opened, and when.
fn opened(policy: BreakerPolicy) -> (Breaker, Instant) {
    let breaker = breaker(policy);
    let now = breaker.start;
    trip(&breaker, now);
    (breaker, now)
}

fn trip(breaker: &Breaker, now: Instant) {
    for _ in 0..breaker.policy.min_calls {
        let mut permit = breaker.permit_at(now).unwrap();
        permit.record_result_at(now, &Err::<(), _>(unavailable()), None);
    }
    assert_eq!(breaker.state(), BreakerState::Open);
}

fn retry_after(breaker: &Breaker, now: Instant) -> Duration {
    let error = breaker.check_at(now).unwrap_err();
    let Retry::After(left) = error.retry() else { panic!("no time to wait: {error:?}") };
    left
}

#[derive(Clone, Debug)]
struct Step {
    millis: u64,
    verdict: Verdict,
    took: Option<Duration>,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let millis = prop_oneof![6 => 0..200_u64, 2 => 500..1_500_u64, 1 => 0..30_000_u64];
    let verdict = prop_oneof![
        5 => Just(Verdict::Success),
        3 => Just(Verdict::Failure),
        1 => Just(Verdict::Ignored),
    ];
    let took = prop_oneof![3 => Just(None), 1 => (0..200_u64).prop_map(|millis| {
        Some(Duration::from_millis(millis))
    })];
    let step = (millis, verdict, took);
    let step = step.prop_map(|(millis, verdict, took)| Step { millis, verdict, took });
    prop::collection::vec(step, 1..150)
}

/// Remembers every call since it was last closed, and judges with them all.
#[derive(Default)]
struct Model(VecDeque<(u128, bool, bool)>);

impl Model {
    fn opens(&mut self, policy: &BreakerPolicy, now: Duration, step: &Step) -> bool {
        if step.verdict == Verdict::Ignored {
            return false;
        }
        let is_failure = step.verdict == Verdict::Failure;
        let is_slow = step.took >= policy.slow_after && step.took.is_some();
        let is_slow = is_slow && policy.slow_after.is_some();
        let bucket = |length: Duration| now.as_nanos() / (length.as_nanos() / 10);
        let epoch = match policy.window {
            BreakerWindow::Time(length) => bucket(length),
            BreakerWindow::Calls(_) => 0,
        };
        self.0.push_back((epoch, is_failure, is_slow));
        match policy.window {
            BreakerWindow::Time(_) => self.0.retain(|(then, ..)| epoch - then < 10),
            BreakerWindow::Calls(length) => {
                self.0.drain(..self.0.len().saturating_sub(length as usize));
            }
        }
        let share = |test: fn(&(u128, bool, bool)) -> bool| {
            let count = |count: usize| f64::from(u32::try_from(count).unwrap());
            count(self.0.iter().filter(|call| test(call)).count()) / count(self.0.len())
        };
        (is_failure || is_slow)
            && self.0.len() >= policy.min_calls as usize
            && (share(|call| call.1) >= policy.failure_rate
                || share(|call| call.2) >= policy.slow_rate)
    }
}

fn policies() -> impl Strategy<Value = BreakerPolicy> {
    let window = prop_oneof![
        (1..40_u32).prop_map(BreakerWindow::Calls),
        (1..15_u64).prop_map(|seconds| BreakerWindow::Time(Duration::from_secs(seconds))),
    ];
    let slow_after = prop_oneof![
        Just(None),
        (1..150_u64).prop_map(|millis| Some(Duration::from_millis(millis))),
    ];
    let rate = || (1..=10_u32).prop_map(|tenths| f64::from(tenths) / 10.0);
    (window, slow_after, rate(), rate(), 1..12_u32).prop_map(
        |(window, slow_after, failure_rate, slow_rate, min_calls)| {
            let min_calls = match window {
                BreakerWindow::Calls(length) => min_calls.min(length),
                BreakerWindow::Time(_) => min_calls,
            };
            BreakerPolicy { failure_rate, slow_rate, slow_after, window, min_calls, ..policy() }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn it_opens_exactly_when_a_list_of_all_calls_says_so(policy in policies(), steps in steps()) {
        let breaker = breaker(policy.clone());
        let (mut model, mut now) = (Model::default(), breaker.start);
        for step in steps {
            now += Duration::from_millis(step.millis);
            breaker.permit_at(now).unwrap().record_at(now, step.verdict, step.took);
            let opens = model.opens(&policy, now - breaker.start, &step);
            prop_assert_eq!(breaker.state() == BreakerState::Open, opens, "at {:?}", step);
            if opens {
                breaker.reset();
                model = Model::default();
            }
        }
    }
}

#[test]
fn answers_trip_nothing_whatever_they_say() {
    let breaker = breaker(policy());
    for _ in 0..1000 {
        let mut permit = breaker.permit_at(breaker.start).unwrap();
        let missing = Err::<(), _>(Error::new(ErrorKind::NotFound, "gone"));
        permit.record_result_at(breaker.start, &missing, None);
    }
    let figures = breaker.figures_at(breaker.start);
    assert_eq!((figures.state, figures.calls, figures.failures), (BreakerState::Closed, 1000, 0));
}

#[test]
fn a_verdict_follows_from_what_an_error_says_about_the_service() {
    let verdict = |kind, counts_throttling| {
        let policy = BreakerPolicy { counts_throttling, ..policy() };
        policy.verdict_of(&Err::<(), _>(Error::new(kind, "failed")))
    };
    for kind in ErrorKind::ALL.iter().copied() {
        let expected = match kind {
            ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Unexpected => Verdict::Failure,
            ErrorKind::RateLimited
            | ErrorKind::Overloaded
            | ErrorKind::NotRegistered
            | ErrorKind::AlreadyRegistered
            | ErrorKind::Config
            | ErrorKind::Cancelled => Verdict::Ignored,
            _ => Verdict::Success,
        };
        assert_eq!(verdict(kind, false), expected, "{kind}");
    }
    assert_eq!(verdict(ErrorKind::RateLimited, true), Verdict::Failure);
    assert_eq!(verdict(ErrorKind::Overloaded, true), Verdict::Failure);
    assert_eq!(policy().verdict_of(&Ok(())), Verdict::Success);
}

#[test]
fn a_refusal_says_why_and_how_long() {
    let (breaker, now) = opened(policy());
    let later = now + SECOND;
    let error = breaker.permit_at(later).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.outcome(), Outcome::NotApplied);
    assert_eq!(error.gate(), Some(Gate::Breaker));
    assert_eq!(error.retry(), Retry::After(4 * SECOND));
    let last = error.find::<Error>().map(Error::message);
    assert_eq!(last, Some("no connection"));
}

#[test]
fn the_time_to_wait_in_refusals_keeps_up() {
    let (breaker, now) = opened(policy());
    let off = Duration::from_nanos(REFUSAL_GOOD_FOR);
    for millis in 0..5000 {
        let passed = Duration::from_millis(millis);
        let left = (5 * SECOND).saturating_sub(passed);
        let told = retry_after(&breaker, now + passed);
        assert!((left..=left + off).contains(&told), "{told:?} instead of {left:?}");
    }
}

#[test]
fn of_a_thousand_callers_after_the_open_time_exactly_the_probes_pass() {
    let (breaker, now) = opened(BreakerPolicy { half_open: 3, ..policy() });
    let (barrier, admitted) = (Barrier::new(1000), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..1000 {
            let caller = || {
                barrier.wait();
                let Ok(permit) = breaker.permit_at(now + 5 * SECOND) else { return };
                admitted.fetch_add(1, Ordering::Relaxed);
                // Under way for as long as anybody might try.
                std::mem::forget(permit);
            };
            std::thread::Builder::new().stack_size(128 << 10).spawn_scoped(scope, caller).unwrap();
        }
    });
    assert_eq!(admitted.into_inner(), 3);
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
}

#[test]
fn all_probes_have_to_succeed_and_then_the_window_is_empty() {
    let (breaker, now) = opened(BreakerPolicy { half_open: 2, ..policy() });
    let now = now + 5 * SECOND;
    let mut first = breaker.permit_at(now).unwrap();
    let mut second = breaker.permit_at(now).unwrap();
    assert!(breaker.permit_at(now).is_err());
    first.record_at(now, Verdict::Success, None);
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    second.record_at(now, Verdict::Success, None);
    let figures = breaker.figures_at(now);
    assert_eq!((figures.state, figures.calls), (BreakerState::Closed, 0));
}

#[test]
fn the_first_probe_that_fails_opens_again() {
    let (breaker, now) = opened(BreakerPolicy { half_open: 2, ..policy() });
    let now = now + 5 * SECOND;
    let mut first = breaker.permit_at(now).unwrap();
    let mut second = breaker.permit_at(now).unwrap();
    first.record_at(now, Verdict::Failure, None);
    assert_eq!(breaker.state(), BreakerState::Open);
    assert!(!second.is_current());
    second.record_at(now, Verdict::Success, None);
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[test]
fn a_slow_probe_is_as_bad_as_a_failed_one() {
    let (breaker, now) = opened(BreakerPolicy { slow_after: Some(SECOND), ..policy() });
    let now = now + 5 * SECOND;
    let mut probe = breaker.permit_at(now).unwrap();
    probe.record_at(now, Verdict::Success, Some(SECOND));
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[test]
fn a_time_out_is_slow_however_short_it_was() {
    let slow = BreakerPolicy { slow_after: Some(SECOND), min_calls: 10, ..policy() };
    let breaker = breaker(slow);
    let late = Err::<(), _>(Error::new(ErrorKind::Timeout, "late"));
    breaker.permit_at(breaker.start).unwrap().record_result_at(breaker.start, &late, None);
    let figures = breaker.figures_at(breaker.start);
    assert_eq!((figures.calls, figures.failures, figures.slow), (1, 1, 1));
}

#[test]
fn a_probe_dropped_without_verdict_makes_room_for_another() {
    let (breaker, now) = opened(policy());
    let now = now + 5 * SECOND;
    for _ in 0..3 {
        let mut probe = breaker.permit_at(now).unwrap();
        assert!(breaker.permit_at(now).is_err());
        probe.record_at(now, Verdict::Ignored, None);
        drop(probe);
    }
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    assert!(breaker.check_at(now).is_ok());
}

#[test]
fn a_permit_that_owns_its_breaker_counts_and_gives_its_probe_back_like_any() {
    let (breaker, now) = opened(policy());
    let (breaker, later) = (Arc::new(breaker), now + policy().open_for);
    drop(breaker.owned_permit_at(later).unwrap());
    let mut probe = breaker.owned_permit_at(later).unwrap();
    assert!(breaker.owned_permit_at(later).is_err(), "there is one probe");
    probe.record_at(later, Verdict::Success, None);
    assert_eq!(probe.breaker().state(), BreakerState::Closed);
}

#[test]
fn a_panic_counts_as_failure() {
    let (breaker, now) = opened(policy());
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _probe = breaker.permit_at(now + 5 * SECOND).unwrap();
        panic!("on purpose");
    }));
    assert!(panicked.is_err());
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[test]
fn a_panic_in_a_later_attempt_counts_too_but_not_one_after_success() {
    let breaker = breaker(BreakerPolicy { min_calls: 100, ..policy() });
    let run = |verdict| {
        let _ = catch_unwind(AssertUnwindSafe(|| {
            let mut permit = breaker.permit_at(breaker.start).unwrap();
            permit.record_at(breaker.start, verdict, None);
            panic!("on purpose");
        }));
        breaker.figures_at(breaker.clock.now()).failures
    };
    assert_eq!(run(Verdict::Failure), 2);
    assert_eq!(run(Verdict::Success), 2);
}

#[test]
fn probes_that_never_end_do_not_hold_it_half_open_for_ever() {
    let (breaker, now) = opened(policy());
    let now = now + 5 * SECOND;
    let mut hung = breaker.permit_at(now).unwrap();
    let nearly = now + Duration::from_secs(29);
    assert!(breaker.check_at(nearly).is_err());
    assert_eq!(breaker.state(), BreakerState::HalfOpen);

    let later = now + Duration::from_secs(30);
    assert!(breaker.check_at(later).is_err());
    assert_eq!(breaker.state(), BreakerState::Open);
    assert_eq!(retry_after(&breaker, later), 10 * SECOND);

    let again = later + 10 * SECOND;
    let _probe = breaker.permit_at(again).unwrap();
    hung.record_at(again, Verdict::Success, None);
    drop(hung);
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    assert!(breaker.permit_at(again).is_err(), "the old probe must not free a new permit");
}

#[test]
fn a_half_open_breaker_that_nobody_calls_waits() {
    let (breaker, now) = opened(policy());
    drop(breaker.permit_at(now + 5 * SECOND).unwrap());
    let much_later = now + 3600 * SECOND;
    record(&breaker, much_later, Verdict::Success);
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn the_open_time_doubles_up_to_its_limit_and_starts_over_after_a_quiet_window() {
    let (breaker, mut now) = opened(BreakerPolicy { open_for_max: 30 * SECOND, ..policy() });
    for expected in [5, 10, 20, 30, 30] {
        assert_eq!(retry_after(&breaker, now), expected * SECOND);
        now += expected * SECOND;
        record(&breaker, now, Verdict::Failure);
    }
    now += 30 * SECOND;
    record(&breaker, now, Verdict::Success);
    now += 9 * SECOND;
    trip(&breaker, now);
    assert_eq!(retry_after(&breaker, now), 30 * SECOND, "it was closed for less than a window");

    now += 30 * SECOND;
    record(&breaker, now, Verdict::Success);
    now += 10 * SECOND;
    trip(&breaker, now);
    assert_eq!(retry_after(&breaker, now), 5 * SECOND);
}

#[test]
fn the_open_time_is_spread() {
    let times: Vec<_> = (0..50)
        .map(|seed| {
            let policy = BreakerPolicy { jitter: Jitter::Equal, ..policy() };
            let source = Source::new("cache", "main");
            let made = Breaker::new(policy, source, Events::new(), Clock::seeded(seed)).unwrap();
            trip(&made, made.start);
            retry_after(&made, made.start)
        })
        .collect();
    assert!(times.iter().all(|time| (SECOND * 5 / 2..=SECOND * 5).contains(time)), "{times:?}");
    assert!(times.iter().max() > times.iter().min());
}

#[test]
fn what_is_forced_stays_until_it_is_reset() {
    let (breaker, now) = opened(policy());
    breaker.force_close();
    for _ in 0..100 {
        record(&breaker, now, Verdict::Failure);
    }
    assert_eq!(breaker.state(), BreakerState::ForcedClosed);
    assert!(breaker.figures_at(now).failures >= 100);

    breaker.force_open();
    breaker.force_open();
    let error = breaker.check_at(now + 3600 * SECOND).unwrap_err();
    assert_eq!(error.retry(), Retry::Later);
    assert!(error.message().contains("by hand"), "{error}");

    breaker.disable();
    let before = breaker.figures_at(now);
    record(&breaker, now, Verdict::Failure);
    assert_eq!(breaker.figures_at(now), before);

    breaker.reset();
    let figures = breaker.figures_at(now);
    assert_eq!((figures.state, figures.calls), (BreakerState::Closed, 0));
}

#[test]
fn a_call_that_began_before_a_reset_does_not_count_after_it() {
    let breaker = breaker(policy());
    let mut old = breaker.permit_at(breaker.start).unwrap();
    breaker.reset();
    old.record_at(breaker.start, Verdict::Failure, None);
    assert_eq!(breaker.figures_at(breaker.start).calls, 0);
}

#[test]
fn every_change_is_told_once_and_in_order() {
    let events = Events::new();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&heard);
    let _subscription = events.subscribe(move |event| {
        into.lock().push(match event {
            Event::BreakerOpened { open_for, error, .. } => {
                let reason = error.as_ref().map(Error::message);
                format!("opened for {open_for:?}, {reason:?}")
            }
            Event::BreakerForced { state, .. } => format!("forced {state}"),
            Event::BreakerHalfOpened { source } => format!("half-opened {source}"),
            Event::BreakerClosed { .. } => "closed".to_owned(),
            other => panic!("not of a breaker: {other:?}"),
        });
    });
    let source = Source::new("cache", "main");
    let breaker = Breaker::new(policy(), source, events, Clock::seeded(1)).unwrap();
    let now = breaker.start;
    trip(&breaker, now);
    record(&breaker, now + 5 * SECOND, Verdict::Success);
    breaker.force_open();
    breaker.force_open();
    breaker.reset();
    breaker.reset();
    let expected = [
        "opened for 5s, Some(\"no connection\")",
        "half-opened cache.main",
        "closed",
        "forced forced open",
        "closed",
    ];
    assert_eq!(*heard.lock(), expected);
}

#[test]
fn a_clock_that_steps_back_or_far_ahead_does_no_harm() {
    let breaker = breaker(policy());
    let now = breaker.start + 60 * SECOND;
    for _ in 0..3 {
        record(&breaker, now, Verdict::Failure);
    }
    record(&breaker, breaker.start, Verdict::Success);
    record(&breaker, now + 3600 * SECOND, Verdict::Failure);
    assert_eq!(breaker.state(), BreakerState::Closed, "the three failures are long past");
}

#[test]
fn all_mistakes_in_the_settings_are_reported_at_once() {
    let policy = BreakerPolicy {
        failure_rate: f64::NAN,
        window: BreakerWindow::Calls(3),
        min_calls: 4,
        open_for: Duration::ZERO,
        half_open: 0,
        ..BreakerPolicy::default()
    };
    let source = Source::new("cache", "main");
    let error = Breaker::new(policy, source, Events::new(), Clock::system()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let settings: Vec<_> =
        error.related().iter().filter_map(|one| one.context_value("setting")).collect();
    let expected =
        ["breaker.failure_rate", "breaker.min_calls", "breaker.open_for", "breaker.half_open"];
    assert_eq!(settings, expected);
    assert!(BreakerPolicy::default().check().is_ok());
}

#[test]
fn breakers_that_share_a_place_for_refusals_do_not_mix_them_up() {
    let made: Vec<_> = (0..=PREPARED_MAX).map(|_| opened(policy())).collect();
    let (first, now) = &made[0];
    let told = retry_after(first, *now + SECOND);
    for (other, now) in &made[1..] {
        assert_eq!(retry_after(other, *now + 3 * SECOND), 2 * SECOND);
    }
    assert_eq!(retry_after(first, *now + SECOND), told);
}
