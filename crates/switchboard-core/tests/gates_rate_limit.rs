//! The rate limiter: pace, order, refusals, giving back, and settings that change under way.

#![allow(clippy::unwrap_used, reason = "in tests a panic says what is wrong")]

use std::cell::RefCell;
use std::time::{Duration, Instant};

use futures_util::future::{FutureExt as _, join_all};
use proptest::prelude::*;
use switchboard_core::{
    Clock, Error, ErrorKind, Gate, Outcome, RateLimit, RateLimiter, Reservation, Retry,
};

const HOUR: Duration = Duration::from_hours(1);

fn limiter(settings: RateLimit) -> RateLimiter {
    RateLimiter::new(settings, Clock::system()).unwrap()
}

/// One cell each `interval`, after a burst of `burst`.
fn paced(interval: Duration, burst: u64) -> RateLimit {
    RateLimit { rate: 1, per: interval, burst, wait: HOUR }
}

fn retry_after(error: &Error) -> Duration {
    match error.retry() {
        Retry::After(wait) => wait,
        other => panic!("{other}: {error:?}"),
    }
}

/// Every cell that was granted, and the rule itself: no span holds more than it may.
struct Model {
    settings: RateLimit,
    grants: Vec<(Instant, u32)>,
}

impl Model {
    /// The first moment at which no span that ends there would hold too much.
    fn due(&self, now: Instant, cost: u32) -> Instant {
        let mut cells = cost;
        let mut due = now;
        for (granted, cost) in self.grants.iter().rev() {
            cells += cost;
            let surplus = cells.saturating_sub(u32::try_from(self.settings.burst).unwrap());
            if surplus > 0 {
                due = due.max(*granted + self.settings.per * surplus);
            }
        }
        due
    }
}

#[derive(Clone, Debug)]
enum Step {
    Pass(Duration),
    Reserve { cost: u32, longest: Duration },
    GiveBackNewest,
    GiveBackOlder,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..5_000_u64).prop_map(|nanos| Step::Pass(Duration::from_nanos(nanos))),
        6 => (1..5_u32, 0..9_000_u64).prop_map(|(cost, longest)| Step::Reserve {
            cost,
            longest: Duration::from_nanos(longest),
        }),
        1 => Just(Step::GiveBackNewest),
        1 => Just(Step::GiveBackOlder),
    ];
    prop::collection::vec(step, 1..80)
}

proptest! {
    #[test]
    fn grants_come_as_early_as_no_span_holds_too_much(
        interval in 1..3_000_u64,
        burst in 4..9_u64,
        steps in steps(),
    ) {
        let settings = paced(Duration::from_nanos(interval), burst);
        let clock = Clock::system();
        let limiter = RateLimiter::new(settings, clock.clone()).unwrap();
        let mut now = clock.now();
        let mut model = Model { settings, grants: Vec::new() };
        let mut newest: Option<Reservation<'_>> = None;
        let mut older = Vec::new();
        for step in steps {
            match step {
                Step::Pass(time) => now += time,
                Step::Reserve { cost, longest } => {
                    let due = model.due(now, cost);
                    match limiter.reserve_at(now, cost.into(), longest) {
                        Ok(reservation) => {
                            prop_assert!(due - now <= longest);
                            prop_assert_eq!(reservation.due(), due);
                            prop_assert_eq!(reservation.wait(), due - now);
                            model.grants.push((due, cost));
                            older.extend(newest.replace(reservation));
                        }
                        Err(error) => {
                            prop_assert!(due - now > longest);
                            prop_assert_eq!(retry_after(&error), due - now);
                            let then = limiter.reserve_at(due, cost.into(), Duration::ZERO);
                            prop_assert!(then.unwrap().give_back());
                        }
                    }
                }
                Step::GiveBackNewest => {
                    if let Some(reservation) = newest.take() {
                        prop_assert!(reservation.give_back());
                        model.grants.pop();
                        // What is the newest now has lost its reservation to the next one's.
                        older.clear();
                    }
                }
                Step::GiveBackOlder => {
                    if let Some(reservation) = older.pop() {
                        prop_assert!(!reservation.give_back());
                    }
                }
            }
        }
        let dues: Vec<_> = model.grants.iter().map(|(due, _)| *due).collect();
        prop_assert!(dues.is_sorted());
    }

    #[test]
    fn a_retune_gives_no_cell_and_blocks_nobody(
        before in (1..3_000_u64, 1..9_u64),
        after in (1..3_000_u64, 1..9_u64),
        booked in 0..20_usize,
        passed in 0..9_000_u64,
    ) {
        let settings = |(interval, burst)| paced(Duration::from_nanos(interval), burst);
        let (before, after) = (settings(before), settings(after));
        let clock = Clock::system();
        let limiter = RateLimiter::new(before, clock.clone()).unwrap();
        let start = clock.now();
        let promised: Vec<_> =
            (0..booked).map(|_| limiter.reserve_at(start, 1, HOUR).unwrap().due()).collect();
        let now = start + Duration::from_nanos(passed);
        let last = promised.iter().copied().max().unwrap_or(now).max(now);

        let there = cells_there(&limiter, now);
        limiter.retune_at(now, after).unwrap();
        let kept = cells_there(&limiter, now);
        prop_assert_eq!(kept, there.min(after.burst));

        let mut model = Model { settings: after, grants: Vec::new() };
        for _ in 0..30 {
            let due = limiter.reserve_at(now, 1, HOUR).unwrap().due();
            prop_assert!(due >= last, "in front of what was promised");
            prop_assert!(due >= model.due(now, 1));
            // A cell that had come back in part may round to nothing.
            let ahead = u32::try_from(model.grants.len() + 1).unwrap();
            prop_assert!(due <= last + after.per * ahead, "blocked for too long");
            model.grants.push((due, 1));
        }
    }
}

/// How many cells may be taken now; takes none.
fn cells_there(limiter: &RateLimiter, now: Instant) -> u64 {
    let taken: Vec<_> =
        std::iter::from_fn(|| limiter.reserve_at(now, 1, Duration::ZERO).ok()).collect();
    let count = taken.len() as u64;
    assert!(taken.into_iter().rev().all(Reservation::give_back));
    count
}

#[tokio::test(start_paused = true)]
async fn a_hundred_waiters_pass_in_the_order_in_which_they_came() {
    let clock = Clock::system();
    let limiter = limiter(paced(Duration::from_millis(10), 1));
    let start = clock.now();
    let passed = RefCell::new(Vec::new());
    join_all((0..100_u32).map(|number| {
        let (limiter, clock, passed) = (&limiter, &clock, &passed);
        async move {
            limiter.acquire(1, None).await.unwrap();
            passed.borrow_mut().push((number, clock.now() - start));
        }
    }))
    .await;
    let expected: Vec<_> =
        (0..100).map(|number| (number, Duration::from_millis(10) * number)).collect();
    assert_eq!(passed.into_inner(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_was_waited_for_is_used_up() {
    let clock = Clock::system();
    let limiter = limiter(paced(Duration::from_secs(1), 1));
    let start = clock.now();
    for number in 0..3 {
        limiter.acquire(1, None).await.unwrap();
        assert_eq!((clock.now() - start).as_secs(), number);
    }
}

#[tokio::test(start_paused = true)]
async fn the_newest_waiter_gives_its_slot_back_when_it_is_dropped() {
    let clock = Clock::system();
    let limiter = limiter(paced(Duration::from_secs(1), 1));
    limiter.try_acquire(1).unwrap();
    for _ in 0..10 {
        assert!(limiter.acquire(1, None).now_or_never().is_none());
    }
    let start = clock.now();
    limiter.acquire(1, None).await.unwrap();
    assert_eq!(clock.now() - start, Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_waiter_with_others_behind_it_loses_its_slot_when_it_is_dropped() {
    let clock = Clock::system();
    let limiter = limiter(paced(Duration::from_secs(1), 1));
    limiter.try_acquire(1).unwrap();
    let start = clock.now();
    let mut first = Box::pin(limiter.acquire(1, None));
    let mut second = Box::pin(limiter.acquire(1, None));
    assert!((&mut first).now_or_never().is_none());
    assert!((&mut second).now_or_never().is_none());
    drop(first);
    second.await.unwrap();
    assert_eq!(clock.now() - start, Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn whoever_would_wait_beyond_the_deadline_is_refused_at_once_and_takes_nothing() {
    let clock = Clock::system();
    let limiter = limiter(paced(Duration::from_secs(1), 1));
    limiter.try_acquire(1).unwrap();
    let start = clock.now();
    let until = start + Duration::from_millis(999);
    for _ in 0..3 {
        let error = limiter.acquire(1, Some(until)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RateLimited);
        assert_eq!(error.gate(), Some(Gate::RateLimit));
        assert_eq!(error.outcome(), Outcome::NotApplied);
        assert_eq!(retry_after(&error), Duration::from_secs(1));
    }
    assert_eq!(clock.now(), start);
    limiter.acquire(1, Some(start + Duration::from_secs(1))).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn whoever_would_wait_longer_than_the_settings_allow_is_refused() {
    let wait = Duration::from_millis(1_500);
    let limiter = limiter(RateLimit { wait, ..paced(Duration::from_secs(1), 1) });
    limiter.try_acquire(1).unwrap();
    let mut first = Box::pin(limiter.acquire(1, None));
    assert!((&mut first).now_or_never().is_none());
    let error = limiter.acquire(1, None).await.unwrap_err();
    assert_eq!(retry_after(&error), Duration::from_secs(2));
    first.await.unwrap();
}

#[test]
fn a_call_that_costs_more_than_the_burst_is_told_that_it_never_passes() {
    let limiter = limiter(paced(Duration::from_secs(1), 5));
    for cost in [6, u64::MAX] {
        let error = limiter.try_acquire(cost).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        assert_eq!(error.retry(), Retry::Never);
        assert_eq!(error.context_value("burst"), Some("5"));
    }
    limiter.try_acquire(5).unwrap();
}

#[test]
fn after_a_drain_calls_pass_one_by_one() {
    let clock = Clock::system();
    let limiter = limiter(paced(Duration::from_secs(1), 10));
    let now = clock.now();
    limiter.drain_at(now, Duration::from_secs(30));
    // A shorter pause does not take back what was asked for.
    limiter.drain_at(now, Duration::from_secs(5));
    let waits = [(); 3].map(|()| limiter.reserve_at(now, 1, HOUR).unwrap().wait().as_secs());
    assert_eq!(waits, [30, 31, 32]);
}

#[test]
fn a_drain_outlives_a_retune_and_does_not_grow_by_it() {
    let clock = Clock::system();
    let limiter = limiter(paced(Duration::from_millis(1), 1_000));
    let now = clock.now();
    limiter.drain_at(now, Duration::from_secs(30));
    limiter.retune_at(now, paced(Duration::from_secs(1), 10)).unwrap();
    let wait = limiter.reserve_at(now, 1, HOUR).unwrap().wait();
    assert!((30..=31).contains(&wait.as_secs()), "{wait:?}");
    assert_eq!(limiter.settings().burst, 10);
}

#[test]
fn a_moment_before_the_limiter_was_made_counts_as_its_beginning() {
    let clock = Clock::system();
    let before = clock.now();
    let early = before.checked_sub(HOUR).unwrap();
    let limiter = RateLimiter::new(paced(HOUR, 2), clock).unwrap();
    limiter.try_acquire_at(early, 2).unwrap();
    assert!(limiter.try_acquire_at(early, 1).is_err());
}

#[test]
fn a_clock_that_goes_back_gives_no_cell_twice() {
    let clock = Clock::system();
    let limiter = limiter(paced(Duration::from_secs(1), 2));
    let now = clock.now();
    limiter.try_acquire_at(now + Duration::from_mins(1), 2).unwrap();
    let error = limiter.try_acquire_at(now, 1).unwrap_err();
    assert_eq!(retry_after(&error), Duration::from_secs(61));
}

#[test]
fn extreme_settings_let_no_more_pass_than_they_say() {
    let year = Duration::from_hours(365 * 24);
    let clock = Clock::system();
    let limiter = limiter(RateLimit { wait: Duration::MAX, ..paced(year, 1) });
    let now = clock.now();
    limiter.drain_at(now, Duration::MAX);
    let passed = (0..10).filter(|_| limiter.reserve_at(now, 1, Duration::MAX).is_ok()).count();
    assert!(passed <= 1, "{passed}");
    let far = now + year * 100;
    assert!(limiter.try_acquire_at(far, 1).is_err());
}

#[test]
fn settings_that_cannot_be_kept_are_refused_with_the_name_of_the_setting() {
    let good = RateLimit::default();
    good.check().unwrap();
    let cases = [
        ("rate_limit.rate", RateLimit { rate: 0, ..good }),
        ("rate_limit.rate", RateLimit { per: Duration::ZERO, ..good }),
        ("rate_limit.rate", RateLimit { rate: u64::MAX, ..good }),
        ("rate_limit.burst", RateLimit { burst: 0, ..good }),
        ("rate_limit.burst", RateLimit { burst: u64::MAX, ..good }),
        ("rate_limit.burst", RateLimit { per: Duration::MAX, ..good }),
    ];
    let limiter = limiter(good);
    for (setting, bad) in cases {
        let error = RateLimiter::new(bad, Clock::system()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{bad:?}");
        assert_eq!(error.context_value("setting"), Some(setting), "{bad:?}");
        limiter.retune(bad).unwrap_err();
        assert_eq!(limiter.settings(), good);
    }
}
