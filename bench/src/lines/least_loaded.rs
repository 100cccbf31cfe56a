//! Choosing the less loaded of several members, and following a call of it.

use std::future::Ready;
use std::future::ready;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use switchboard_core::{CallEnd, Candidates, Clock, Ending, LeastLoaded, Selector};
use tower::load::{CompleteOnResponse, Load, PeakEwma};
use tower::{Service, ServiceExt as _, service_fn};

use crate::line::{Contender, Goal, Line, OURS};
use crate::rig::{block_on, each, each_async};

pub fn line() -> Line {
    Line {
        name: "least_loaded",
        about: "Choose the less loaded of two of 4 members, and follow one call of it that takes no time: \
                choose, begin, end. Whoever measures how long calls take reads the clock twice; where it \
                says \"moments given\" it is read for it.",
        reference: COUNTED,
        threads: &[1, 4],
        figure: None,
        needs: None,
        contenders: vec![given(), ours(), counted(), locked(), tower()],
        goals: vec![
            Goal::times(OURS_GIVEN, 1.20, COUNTED, 1),
            Goal::times(OURS_GIVEN, 1.20, COUNTED, 4),
            Goal::times(OURS, 1.00, TOWER, 1),
            Goal::times(OURS, 1.00, LOCKED, 1),
            Goal::times(OURS, 1.00, LOCKED, 4),
            Goal::no_allocation(OURS_GIVEN),
            Goal::no_allocation(OURS),
        ],
    }
}

/// What a group does for each call with this selector, the two readings of the clock included.
fn ours() -> Contender {
    let clock = Clock::system();
    least_loaded(OURS, move || clock.now())
}

/// The selector alone.
fn given() -> Contender {
    let moment = Clock::system().now();
    least_loaded(OURS_GIVEN, move || moment)
}

fn least_loaded(
    name: &'static str,
    now: impl Fn() -> Instant + Clone + Send + Sync + 'static,
) -> Contender {
    Contender::new(name, move |_| {
        let selector: Arc<dyn Selector> = Arc::new(LeastLoaded::new());
        selector.members(&["a", "b", "c", "d"]);
        let now = now.clone();
        let follow = move |selector: &dyn Selector| {
            let began = now();
            let candidates = Candidates::all(MEMBERS).with_now(began);
            let member = selector.pick(candidates).expect("all are up");
            selector.began(member);
            let at = now();
            selector.ended(member, &CallEnd::new(Ending::Answered, at - began, at));
            member
        };
        check(|| follow(&*selector));
        move |_| {
            let (selector, follow) = (Arc::clone(&selector), follow.clone());
            each(move |_| follow(&*selector))
        }
    })
}

/// The fewer calls under way of two: a snapshot of the members, and a counter each. Knows nothing of
/// how long calls take.
fn counted() -> Contender {
    Contender::new(COUNTED, |_| {
        let members = (0..MEMBERS).map(|_| Arc::new(AtomicUsize::new(0))).collect::<Vec<_>>();
        let members = Arc::new(ArcSwap::from_pointee(members));
        let dice = Arc::new(Clock::system());
        let follow = |members: &ArcSwap<Vec<Arc<AtomicUsize>>>, dice: &Clock| {
            let (one, other) = two_of(dice);
            let members = members.load();
            let load = |member: usize| members[member].load(Ordering::Relaxed);
            let member = if load(other) < load(one) { other } else { one };
            let chosen = Arc::clone(&members[member]);
            drop(members);
            chosen.fetch_add(1, Ordering::Relaxed);
            chosen.fetch_sub(1, Ordering::Relaxed);
            member
        };
        check(|| follow(&members, &dice));
        move |_| {
            let (members, dice) = (Arc::clone(&members), Arc::clone(&dice));
            each(move |_| follow(&members, &dice))
        }
    })
    .of(&["arc-swap"])
}

/// A peak-EWMA as one writes it by hand: the estimate behind a lock, the calls under way beside it.
fn locked() -> Contender {
    Contender::new(LOCKED, |_| {
        let start = Instant::now();
        let members: Vec<_> = (0..MEMBERS).map(|_| Locked::new(start)).collect();
        let shared = Arc::new((members, Clock::system()));
        let follow = |members: &[Locked], dice: &Clock| {
            let (one, other) = two_of(dice);
            let began = Instant::now();
            let member =
                if members[other].load(began) < members[one].load(began) { other } else { one };
            members[member].under_way.fetch_add(1, Ordering::Relaxed);
            members[member].measured(began, Instant::now());
            members[member].under_way.fetch_sub(1, Ordering::Relaxed);
            member
        };
        check(|| follow(&shared.0, &shared.1));
        move |_| {
            let shared = Arc::clone(&shared);
            each(move |_| follow(&shared.0, &shared.1))
        }
    })
}

struct Locked {
    under_way: AtomicU64,
    estimate: Mutex<(f64, Instant)>,
}

impl Locked {
    fn new(start: Instant) -> Self {
        Self { under_way: AtomicU64::new(0), estimate: Mutex::new((0.0, start)) }
    }

    fn load(&self, now: Instant) -> f64 {
        let (cost, at) = *self.estimate.lock().expect("nobody panics");
        let left = (-now.saturating_duration_since(at).as_secs_f64() / DECAY.as_secs_f64()).exp();
        cost * left * (self.under_way.load(Ordering::Relaxed) + 1) as f64
    }

    fn measured(&self, began: Instant, now: Instant) {
        let took = now.saturating_duration_since(began).as_secs_f64();
        let mut estimate = self.estimate.lock().expect("nobody panics");
        let (cost, at) = *estimate;
        let left = (-now.saturating_duration_since(at).as_secs_f64() / DECAY.as_secs_f64()).exp();
        *estimate = (if took > cost { took } else { cost * left + took * (1.0 - left) }, now);
    }
}

/// Tower's own load of each of four services that answer at once, the lesser of two called: what its
/// balancer does, without discovery and readiness. Each thread has services of its own, because one
/// cannot be shared.
fn tower() -> Contender {
    Contender::new(TOWER, |_| {
        |_| {
            let mut services: Vec<_> = (0..MEMBERS).map(|_| measured_service()).collect();
            let dice = Clock::system();
            block_on(async {
                assert_eq!(services[0].ready().await.expect("is ready").call(()).await, Ok(7));
            });
            each_async(async move |_| {
                let (one, other) = two_of(&dice);
                let member =
                    if services[other].load() < services[one].load() { other } else { one };
                let service = services[member].ready().await.expect("is ready");
                service.call(()).await
            })
        }
    })
    .of(&["tower"])
}

fn measured_service() -> PeakEwma<impl Service<(), Response = u64, Error = (), Future: 'static>> {
    let answer = |()| -> Ready<Result<u64, ()>> { ready(Ok(7)) };
    let decay = DECAY.as_nanos() as f64;
    PeakEwma::new(
        service_fn(answer),
        Duration::from_millis(1),
        decay,
        CompleteOnResponse::default(),
    )
}

fn two_of(dice: &Clock) -> (usize, usize) {
    let random = dice.random();
    let one = ((random & 0xFFFF_FFFF) * MEMBERS as u64 >> 32) as usize;
    let other = ((random >> 32) * (MEMBERS as u64 - 1) >> 32) as usize;
    (one, if other >= one { other + 1 } else { other })
}

/// Proves that every member is chosen.
fn check(mut choose: impl FnMut() -> usize) {
    let mut chosen = [0_usize; MEMBERS];
    for _ in 0..10_000 {
        chosen[choose()] += 1;
    }
    assert!(chosen.iter().all(|times| *times > 0), "{chosen:?}");
}

const OURS_GIVEN: &str = "switchboard, moments given";
const COUNTED: &str = "arc-swap, calls under way";
const LOCKED: &str = "peak-EWMA behind a lock";
const TOWER: &str = "tower, PeakEwma per thread";

const MEMBERS: usize = 4;
const DECAY: Duration = Duration::from_secs(10);
