//! The keyed rate limiter: the decision of each key, what is forgotten, and what a flood of keys does.

#![allow(clippy::unwrap_used, reason = "in tests a panic says what is wrong")]

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use switchboard_core::{
    Clock, Error, ErrorKind, Gate, KeyedRateLimiter, Outcome, RateDecision, RateLimit, RateLimiter,
    Retry,
};

const HOUR: Duration = Duration::from_hours(1);

/// One cell each `interval`, after a burst of `burst`.
fn paced(interval: Duration, burst: u64) -> RateLimit {
    RateLimit { rate: 1, per: interval, burst, wait: HOUR }
}

fn keyed(interval: Duration, burst: u64, keys_max: usize) -> KeyedRateLimiter<u64> {
    KeyedRateLimiter::with_keys_max(paced(interval, burst), keys_max, Clock::system()).unwrap()
}

fn nanos(nanos: u64) -> Duration {
    Duration::from_nanos(nanos)
}

#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Check { key: u64, cost: u64 },
    Peek { key: u64 },
    Reset { key: u64 },
    EvictIdle,
    Retune { interval: u64, burst: u64 },
}

fn steps(with_retunes: bool) -> impl Strategy<Value = Vec<Step>> {
    let pass = prop_oneof![9 => 0..5_000_u64, 1 => Just(120_000_000_000)];
    let step = prop_oneof![
        4 => pass.prop_map(Step::Pass),
        9 => (0..KEYS, 0..7_u64).prop_map(|(key, cost)| Step::Check { key, cost }),
        2 => (0..KEYS).prop_map(|key| Step::Peek { key }),
        1 => (0..KEYS).prop_map(|key| Step::Reset { key }),
        2 => Just(Step::EvictIdle),
        u32::from(with_retunes) => (1..3_000_u64, 1..7_u64)
            .prop_map(|(interval, burst)| Step::Retune { interval, burst }),
    ];
    prop::collection::vec(step, 1..120)
}

const KEYS: u64 = 6;

/// The rule itself: each key owes some time, and may owe as much as the burst is worth.
struct Model {
    interval: u64,
    burst: u64,
    owed: HashMap<u64, u64>,
}

impl Model {
    fn pass(&mut self, time: u64) {
        self.owed.values_mut().for_each(|owed| *owed = owed.saturating_sub(time));
    }

    fn check(&mut self, key: u64, cost: u64) -> (bool, Option<Duration>) {
        let (price, worth) = (self.interval * cost, self.interval * self.burst);
        let owed = self.owed.entry(key).or_default();
        if price > worth {
            return (false, None);
        }
        if *owed + price > worth {
            return (false, Some(nanos(*owed + price - worth)));
        }
        *owed += price;
        (true, None)
    }

    fn left(&mut self, key: u64) -> (u64, u64, Duration) {
        let owed = *self.owed.entry(key).or_default();
        let remaining = (self.interval * self.burst - owed) / self.interval;
        (self.burst, remaining, nanos(owed))
    }

    fn retune(&mut self, interval: u64, burst: u64) {
        for owed in self.owed.values_mut() {
            *owed = (*owed * interval).div_ceil(self.interval).min(interval * burst);
        }
        (self.interval, self.burst) = (interval, burst);
    }
}

fn left(decision: RateDecision) -> (u64, u64, Duration) {
    (decision.limit, decision.remaining, decision.reset)
}

proptest! {
    #[test]
    fn each_key_is_decided_as_by_a_rule_of_its_own_whatever_is_forgotten_meanwhile(
        interval in 1..3_000_u64, burst in 1..7_u64, keys_max in KEYS..200, steps in steps(true),
    ) {
        let limiter = keyed(nanos(interval), burst, usize::try_from(keys_max).unwrap());
        let mut model = Model { interval, burst, owed: HashMap::new() };
        let mut now = Clock::system().now();
        for step in steps {
            match step {
                Step::Pass(time) => {
                    now += nanos(time);
                    model.pass(time);
                }
                Step::Check { key, cost } => {
                    let decision = limiter.check_at(now, &key, cost);
                    let expected = model.check(key, cost);
                    prop_assert_eq!((decision.allowed, decision.retry_after), expected);
                    prop_assert_eq!(left(decision), model.left(key));
                }
                Step::Peek { key } => {
                    let decision = limiter.peek_at(now, &key);
                    prop_assert_eq!(left(decision), model.left(key));
                    let before = model.owed.clone();
                    let expected = model.check(key, 1);
                    model.owed = before;
                    prop_assert_eq!((decision.allowed, decision.retry_after), expected);
                }
                Step::Reset { key } => {
                    limiter.reset(&key);
                    model.owed.remove(&key);
                }
                Step::EvictIdle => {
                    limiter.evict_idle_at(now);
                    let busy = model.owed.values().filter(|owed| **owed > 0).count();
                    prop_assert_eq!(limiter.len(), busy);
                }
                Step::Retune { interval, burst } => {
                    limiter.retune_at(now, paced(nanos(interval), burst)).unwrap();
                    model.retune(interval, burst);
                }
            }
        }
        prop_assert_eq!(limiter.pushed_out(), 0);
    }

    #[test]
    fn each_key_is_decided_as_by_a_limiter_of_its_own(
        interval in 1..3_000_u64, burst in 1..7_u64, steps in steps(false),
    ) {
        let limiter = keyed(nanos(interval), burst, 64);
        let settings = paced(nanos(interval), burst);
        let mut own: Vec<_> = (0..KEYS).map(|_| fresh(settings)).collect();
        let mut now = Clock::system().now();
        for step in steps {
            match step {
                Step::Pass(time) => now += nanos(time),
                Step::Check { key, cost } => {
                    let own = &own[usize::try_from(key).unwrap()];
                    prop_assert_eq!(limiter.check_at(now, &key, cost), own.decide_at(now, cost));
                }
                Step::Reset { key } => {
                    limiter.reset(&key);
                    own[usize::try_from(key).unwrap()] = fresh(settings);
                    now = now.max(Clock::system().now());
                }
                Step::EvictIdle => drop(limiter.evict_idle_at(now)),
                Step::Peek { .. } | Step::Retune { .. } => {}
            }
        }
    }

    #[test]
    fn a_decision_of_a_plain_limiter_says_what_is_left_and_when_more_comes(
        interval in 1..3_000_u64, burst in 1..7_u64,
        asked in prop::collection::vec((0..6_000_u64, 0..9_u64), 1..30),
    ) {
        let limiter = fresh(paced(nanos(interval), burst));
        let mut now = Clock::system().now();
        for (passed, cost) in asked {
            now += nanos(passed);
            let there = cells_there(&limiter, now);
            let decision = limiter.decide_at(now, cost);
            prop_assert_eq!(decision.allowed, cost <= there);
            prop_assert_eq!(decision.limit, burst);
            let taken = if decision.allowed { cost } else { 0 };
            prop_assert_eq!(decision.remaining, there - taken);
            prop_assert_eq!(cells_there(&limiter, now), decision.remaining);

            let comes = |after: Duration, cells| cells_there(&limiter, now + after) >= cells;
            let comes_exactly = |after: Duration, cells| {
                let before = after.checked_sub(nanos(1));
                comes(after, cells) && before.is_none_or(|before| !comes(before, cells))
            };
            match decision.retry_after {
                Some(wait) => prop_assert!(comes_exactly(wait, cost)),
                None => prop_assert!(decision.allowed || cost > burst),
            }
            prop_assert!(comes_exactly(decision.reset, burst));
        }
    }

    #[test]
    fn a_clock_that_goes_back_and_forth_gives_no_cell_twice(
        burst in 1..3_u64, moments in prop::collection::vec((0..400_u64, any::<bool>()), 1..100),
    ) {
        let limiter = keyed(nanos(100), burst, 64);
        let start = Clock::system().now();
        let (mut given, mut last) = (0, 0);
        for (moment, is_eviction) in moments {
            let now = start + nanos(moment);
            last = last.max(moment);
            if is_eviction {
                limiter.evict_idle_at(now);
            } else {
                given += u64::from(limiter.check_at(now, &1, 1).allowed);
            }
            prop_assert!(given <= burst + last / 100, "{given} by {last}");
        }
    }
}

fn fresh(settings: RateLimit) -> RateLimiter {
    RateLimiter::new(settings, Clock::system()).unwrap()
}

/// How many cells may be taken at once at a moment; takes none.
fn cells_there(limiter: &RateLimiter, now: Instant) -> u64 {
    let burst = limiter.settings().burst;
    let there = |cost: &u64| {
        let reservation = limiter.reserve_at(now, *cost, Duration::ZERO);
        reservation.is_ok_and(switchboard_core::Reservation::give_back)
    };
    (1..=burst).rev().find(there).unwrap_or(0)
}

#[test]
fn whole_seconds_are_rounded_up() {
    let limiter = keyed(Duration::from_millis(1_001), 2, 9);
    let now = Clock::system().now();
    let first = limiter.check_at(now, &1, 2);
    assert_eq!((first.retry_after_seconds(), first.reset_seconds()), (None, 3));
    let second = limiter.check_at(now, &1, 1);
    assert_eq!((second.retry_after_seconds(), second.reset_seconds()), (Some(2), 3));
    let later = limiter.check_at(now + Duration::from_millis(2), &1, 1);
    assert_eq!((later.retry_after_seconds(), later.reset_seconds()), (Some(1), 2));
    assert_eq!(limiter.peek_at(now, &2).reset_seconds(), 0);
}

#[test]
fn looking_takes_nothing_and_remembers_nobody() {
    let limiter = keyed(HOUR, 2, 9);
    for _ in 0..9 {
        let decision = limiter.peek(&1);
        assert_eq!((decision.allowed, decision.remaining), (true, 2));
    }
    assert!(limiter.check_n(&1, 3).retry_after.is_none());
    assert!(limiter.check_n(&1, 0).allowed);
    assert!(limiter.is_empty());
}

#[test]
fn what_is_refused_is_told_in_an_error_that_does_not_name_the_key() {
    let limiter: KeyedRateLimiter<String> =
        KeyedRateLimiter::new(paced(HOUR, 2), Clock::system()).unwrap();
    assert_eq!(limiter.acquire("ada@example.org", 2).unwrap().remaining, 0);

    let late: Error = limiter.acquire("ada@example.org", 1).unwrap_err();
    assert_eq!((late.kind(), late.gate()), (ErrorKind::RateLimited, Some(Gate::RateLimit)));
    assert_eq!(late.outcome(), Outcome::NotApplied);
    let Retry::After(wait) = late.retry() else { panic!("{late:?}") };
    assert!(wait <= HOUR && wait > HOUR / 2, "{wait:?}");

    let large = limiter.acquire("ada@example.org", 3).unwrap_err();
    assert_eq!((large.kind(), large.retry()), (ErrorKind::TooLarge, Retry::Never));
    for text in [format!("{late:?}"), format!("{large:?}"), format!("{limiter:?}")] {
        assert!(!text.contains("ada"), "{text}");
    }
}

#[test]
fn all_mistakes_in_the_settings_are_told_at_once() {
    let wrong = RateLimit { rate: 0, ..RateLimit::default() };
    let new = |limit, keys_max| {
        KeyedRateLimiter::<u64>::with_keys_max(limit, keys_max, Clock::system()).map(drop)
    };
    let error = new(wrong, 0).unwrap_err();
    assert_eq!((error.kind(), error.related().len()), (ErrorKind::Config, 2));
    let error = new(RateLimit::default(), 1 << 24).unwrap_err();
    assert_eq!(error.context_value("setting"), Some("keyed_rate_limit.keys_max"));
    new(RateLimit::default(), (1 << 24) - 1).unwrap();

    let limiter = keyed(HOUR, 2, 9);
    limiter.retune(wrong).unwrap_err();
    assert_eq!(limiter.settings(), paced(HOUR, 2));
}

#[test]
fn as_many_busy_keys_as_promised_are_kept_and_none_of_them_goes() {
    for keys_max in [1, 7, 64, 1_000, 20_000] {
        let limiter = keyed(HOUR, 1, keys_max);
        for key in 0..keys_max as u64 {
            assert!(limiter.check(&key).allowed);
        }
        assert_eq!((limiter.len(), limiter.pushed_out()), (keys_max, 0));
        for key in 0..keys_max as u64 {
            assert!(!limiter.check(&key).allowed, "{key} of {keys_max}");
        }
    }
}

#[test]
fn where_all_are_busy_the_one_nearest_to_its_full_burst_goes() {
    let limiter = keyed(HOUR, 9, 5);
    for (key, cost) in [(1, 4), (2, 3), (3, 2), (4, 5), (5, 6)] {
        assert!(limiter.check_n(&key, cost).allowed);
    }
    assert!(limiter.check_n(&6, 9).allowed, "a new key is not refused");
    let left: Vec<_> = (1..=6).map(|key| limiter.peek(&key).remaining).collect();
    assert_eq!(left, [5, 6, 9, 4, 3, 0]);
    assert_eq!((limiter.len(), limiter.pushed_out()), (5, 1));
}

#[test]
fn an_idle_key_goes_before_a_busy_one_and_nobody_notices() {
    let limiter = keyed(Duration::from_secs(1), 9, 4);
    let now = Clock::system().now();
    for (key, cost) in [(1, 9), (2, 1), (3, 9), (4, 9)] {
        assert!(limiter.check_at(now, &key, cost).allowed);
    }
    let later = now + Duration::from_secs(2);
    assert!(limiter.check_at(later, &5, 1).allowed);
    assert_eq!((limiter.len(), limiter.pushed_out()), (4, 0));
    let left = [1, 2, 3, 4].map(|key| limiter.peek_at(later, &key).remaining);
    assert_eq!(left, [2, 9, 2, 2]);
}

#[test]
fn a_million_keys_take_no_more_room_than_a_few_and_nobody_new_is_refused() {
    let limiter = keyed(HOUR, 1, 1_000);
    for key in 0..1_000_000_u64 {
        assert!(limiter.check(&key).allowed);
        if key % 10_007 == 0 {
            assert!(limiter.len() <= 1_000);
        }
    }
    assert_eq!((limiter.len(), limiter.pushed_out()), (1_000, 999_000));
}

#[test]
fn keys_that_stay_away_are_forgotten_by_the_calls_of_others() {
    let limiter = keyed(Duration::from_secs(1), 1, 10_000);
    let now = Clock::system().now();
    for key in 0..5_000 {
        assert!(limiter.check_at(now, &key, 1).allowed);
    }
    assert_eq!(limiter.len(), 5_000);
    let later = now + Duration::from_mins(2);
    for key in 0..5_000 {
        assert!(limiter.check_at(later, &(10_000 + key), 1).allowed);
    }
    // Each new key looked at two others, in whichever shard it came to.
    assert!(limiter.len() < 6_000, "{}", limiter.len());
    assert!(limiter.evict_idle_at(later) < 1_000);
    assert_eq!(limiter.len(), 5_000);
}

#[test]
fn threads_never_get_more_than_burst_and_rate_allow() {
    let (burst, interval, keys) = (50, Duration::from_micros(200), 8_u64);
    let clock = Clock::system();
    let limiter = keyed(interval, burst, 64);
    let given: Vec<_> = (0..keys).map(|_| AtomicU64::new(0)).collect();
    let start = clock.now();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (limiter, given, clock) = (&limiter, &given, &clock);
            scope.spawn(move || {
                for turn in 0..20_000_u64 {
                    let key = (turn + thread) % keys;
                    if limiter.check_at(clock.now(), &key, 1).allowed {
                        given[usize::try_from(key).unwrap()].fetch_add(1, Ordering::Relaxed);
                    }
                    if turn % 100 == 0 {
                        limiter.evict_idle();
                    }
                }
            });
        }
    });
    let intervals = (clock.now() - start).as_nanos() / interval.as_nanos();
    let allowed = burst + u64::try_from(intervals).unwrap();
    for given in given {
        let given = given.into_inner();
        assert!((burst..=allowed).contains(&given), "{given} of {allowed}");
    }
}

#[test]
fn threads_that_flood_the_limiter_together_find_no_room_twice() {
    for keys_max in [1, 3, 200] {
        let limiter = keyed(HOUR, 1, keys_max);
        std::thread::scope(|scope| {
            for thread in 0..8_u64 {
                let limiter = &limiter;
                scope.spawn(move || {
                    for key in 0..5_000 {
                        assert!(limiter.check(&(thread << 32 | key)).allowed);
                        limiter.reset(&(thread << 32 | (key / 2)));
                    }
                });
            }
        });
        assert!(limiter.len() <= keys_max, "{} of {keys_max}", limiter.len());
        // Every place that was given back can be taken again, and no other.
        for key in 0..10 * keys_max as u64 {
            assert!(limiter.check(&(99 << 32 | key)).allowed);
        }
        assert_eq!(limiter.len(), keys_max);
    }
}

#[test]
fn a_retune_lets_each_key_owe_as_many_cells_as_before() {
    let limiter = keyed(HOUR, 10, 9);
    let now = Clock::system().now();
    assert!(limiter.check_at(now, &1, 4).allowed && limiter.check_at(now, &2, 10).allowed);
    limiter.retune_at(now, paced(Duration::from_mins(1), 20)).unwrap();
    let left = [1, 2, 3].map(|key| limiter.peek_at(now, &key).remaining);
    assert_eq!(left, [16, 10, 20]);
    limiter.retune_at(now, paced(HOUR, 3)).unwrap();
    let left = [1, 2, 3].map(|key| limiter.peek_at(now, &key).remaining);
    assert_eq!(left, [0, 0, 3]);
    assert_eq!(limiter.peek_at(now, &2).retry_after, Some(HOUR));
}

/// A key that asks the limiter when it is copied and when it is dropped.
struct Curious {
    number: u64,
    limiter: Weak<KeyedRateLimiter<Self>>,
}

impl Curious {
    fn ask(&self) {
        if let Some(limiter) = self.limiter.upgrade() {
            assert!(limiter.len() <= limiter.keys_max());
        }
    }
}

impl Clone for Curious {
    fn clone(&self) -> Self {
        self.ask();
        Self { number: self.number, limiter: self.limiter.clone() }
    }
}

impl Drop for Curious {
    fn drop(&mut self) {
        self.ask();
    }
}

impl PartialEq for Curious {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Curious {}

impl Hash for Curious {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.number.hash(state);
    }
}

impl Borrow<u64> for Curious {
    fn borrow(&self) -> &u64 {
        &self.number
    }
}

#[test]
fn a_key_that_is_copied_or_dropped_may_use_the_limiter() {
    let limit = paced(Duration::from_secs(1), 1);
    let limiter = KeyedRateLimiter::with_keys_max(limit, 2, Clock::system()).unwrap();
    let limiter = Arc::new(limiter);
    let curious = |number| Curious { number, limiter: Arc::downgrade(&limiter) };
    let now = Clock::system().now();
    for number in 0..5 {
        assert!(limiter.check_at(now, &curious(number), 1).allowed);
    }
    assert_eq!(limiter.pushed_out(), 3);
    limiter.reset(&4_u64);
    let later = now + Duration::from_mins(5);
    assert!(limiter.check_at(later, &curious(9), 1).allowed);
    assert_eq!(limiter.evict_idle_at(later + HOUR), 1);
}
