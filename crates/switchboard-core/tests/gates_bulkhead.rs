//! The bulkhead: bounds, order, futures dropped anywhere, and limits that change under way.

#![allow(clippy::unwrap_used, reason = "in tests a panic says what is wrong")]

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_util::future::{FutureExt as _, join_all};
use proptest::prelude::*;
use switchboard_core::{
    Bulkhead, BulkheadLimit, Clock, Error, ErrorKind, Gate, Outcome, OwnedPermit, Permit, Result,
};

const HOUR: Duration = Duration::from_hours(1);

fn limit(max: u32, queue: u32) -> BulkheadLimit {
    BulkheadLimit { max, queue, wait: HOUR, ..BulkheadLimit::default() }
}

fn bulkhead(max: u32, queue: u32) -> Arc<Bulkhead> {
    Arc::new(Bulkhead::new(limit(max, queue), Clock::system()).unwrap())
}

fn check_refused<T: std::fmt::Debug>(refused: Result<T>, message: &str) {
    let error: Error = refused.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded);
    assert_eq!(error.gate(), Some(Gate::Bulkhead));
    assert_eq!(error.outcome(), Outcome::NotApplied);
    assert_eq!(error.message(), message);
}

#[tokio::test(start_paused = true)]
async fn whoever_finds_the_queue_full_is_refused_at_once() {
    let bulkhead = bulkhead(1, 1);
    let permit = bulkhead.acquire(None).await.unwrap();
    let mut first = Box::pin(bulkhead.acquire(None));
    assert!((&mut first).now_or_never().is_none());
    check_refused(bulkhead.acquire(None).await, "the queue is full");
    drop(permit);
    let _permit = first.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_with_the_limit_or_the_deadline_whichever_comes_first() {
    let clock = Clock::system();
    let wait = Duration::from_secs(10);
    let bulkhead = Bulkhead::new(BulkheadLimit { wait, ..limit(1, 9) }, clock.clone()).unwrap();
    let _permit = bulkhead.acquire(None).await.unwrap();
    for (allowed, ends) in [(None, 10), (Some(20), 10), (Some(3), 3)] {
        let start = clock.now();
        let until = allowed.map(|seconds| start + Duration::from_secs(seconds));
        check_refused(bulkhead.acquire(until).await, "no slot came free in time");
        assert_eq!(clock.now() - start, Duration::from_secs(ends));
        assert_eq!(bulkhead.waiting(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_may_not_wait_does_not_queue() {
    let clock = Clock::system();
    let bulkhead = bulkhead(1, 9);
    let _permit = bulkhead.acquire(None).await.unwrap();
    check_refused(bulkhead.acquire(Some(clock.now())).await, "no slot is free");
    check_refused(bulkhead.try_acquire(), "no slot is free");
    bulkhead.retune(BulkheadLimit { wait: Duration::ZERO, ..limit(1, 9) }).unwrap();
    check_refused(bulkhead.acquire(None).await, "no slot is free");
}

#[tokio::test(start_paused = true)]
async fn nobody_overtakes_those_who_wait() {
    let bulkhead = bulkhead(1, 9);
    let permit = bulkhead.acquire(None).await.unwrap();
    let mut first = Box::pin(bulkhead.acquire(None));
    assert!((&mut first).now_or_never().is_none());
    drop(permit);
    // The slot is the first one's already, although it has not been polled since.
    check_refused(bulkhead.try_acquire(), "no slot is free");
    let _permit = first.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_comes_with_the_last_moment_is_taken() {
    let clock = Clock::system();
    let bulkhead = bulkhead(1, 9);
    let permit = bulkhead.acquire(None).await.unwrap();
    let until = clock.now() + Duration::from_secs(1);
    let mut waiting = Box::pin(bulkhead.acquire(Some(until)));
    assert!((&mut waiting).now_or_never().is_none());
    tokio::time::advance(Duration::from_secs(2)).await;
    drop(permit);
    assert!(waiting.await.is_ok());
    assert_eq!(bulkhead.in_use(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_owned_permit_keeps_its_slot_for_as_long_as_it_lives() {
    let bulkhead = bulkhead(1, 0);
    let owned: OwnedPermit = bulkhead.acquire(None).await.unwrap().into_owned(&bulkhead);
    assert_eq!(bulkhead.in_use(), 1);
    let weak = Arc::downgrade(&bulkhead);
    drop(bulkhead);
    let kept = weak.upgrade().unwrap();
    check_refused(kept.try_acquire(), "no slot is free");
    drop(owned);
    assert_eq!(kept.in_use(), 0);
}

#[test]
#[should_panic(expected = "the permit is of another bulkhead")]
fn a_permit_is_not_owned_by_another_bulkhead() {
    let (one, other) = (bulkhead(1, 0), bulkhead(1, 0));
    drop(one.try_acquire().unwrap().into_owned(&other));
}

#[test]
fn a_panic_gives_the_slot_back() {
    let bulkhead = bulkhead(1, 0);
    let call = std::panic::AssertUnwindSafe(|| {
        let _permit = bulkhead.try_acquire().unwrap();
        std::panic::resume_unwind(Box::new("the call"));
    });
    assert!(std::panic::catch_unwind(call).is_err());
    assert_eq!(bulkhead.in_use(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn under_load_from_many_threads_the_bound_holds_and_everybody_gets_in() {
    let bulkhead = bulkhead(3, 100);
    let inside = Arc::new(AtomicU32::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let (bulkhead, inside) = (Arc::clone(&bulkhead), Arc::clone(&inside));
        tasks.spawn(async move {
            for _ in 0..500 {
                let _permit = bulkhead.acquire(None).await.unwrap();
                assert!(inside.fetch_add(1, Ordering::Relaxed) < 3);
                tokio::task::yield_now().await;
                inside.fetch_sub(1, Ordering::Relaxed);
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    assert_eq!((bulkhead.in_use(), bulkhead.waiting()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn growing_lets_everybody_in_for_whom_there_is_room() {
    let bulkhead = bulkhead(1, 9);
    let permit = bulkhead.try_acquire().unwrap();
    let waiting = join_all((0..4).map(|_| bulkhead.acquire(None)));
    let grow = async { bulkhead.retune(limit(5, 9)) };
    let (permits, grown) = futures_util::future::join(waiting, grow).await;
    grown.unwrap();
    assert_eq!((bulkhead.in_use(), bulkhead.limit().max), (5, 5));
    drop((permit, permits));
    assert_eq!(bulkhead.in_use(), 0);
}

#[test]
fn limits_that_cannot_be_kept_are_refused_with_the_name_of_the_setting() {
    let good = BulkheadLimit::default();
    good.check().unwrap();
    let cases = [
        ("bulkhead.max", BulkheadLimit { max: 0, ..good }),
        ("bulkhead.max", BulkheadLimit { max: 1 << 24, ..good }),
        ("bulkhead.queue", BulkheadLimit { queue: 1 << 16, ..good }),
    ];
    let bulkhead = bulkhead(1, 1);
    for (setting, bad) in cases {
        let error = Bulkhead::new(bad, Clock::system()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{bad:?}");
        assert_eq!(error.context_value("setting"), Some(setting), "{bad:?}");
        bulkhead.retune(bad).unwrap_err();
        assert_eq!(bulkhead.limit(), limit(1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn the_longest_wait_is_no_trouble_for_the_clock() {
    let endless = BulkheadLimit { wait: Duration::MAX, ..limit(1, 1) };
    let bulkhead = Bulkhead::new(endless, Clock::system()).unwrap();
    let permit = bulkhead.try_acquire().unwrap();
    let mut waiting = Box::pin(bulkhead.acquire(None));
    assert!((&mut waiting).now_or_never().is_none());
    drop(permit);
    assert!(waiting.await.is_ok());
}

/// What can be done to a bulkhead; numbers choose among the calls that are there.
#[derive(Clone, Debug)]
enum Step {
    Call,
    TryCall,
    Poll(usize),
    GiveUp(usize),
    End(usize),
    Retune(u32, u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => Just(Step::Call),
        1 => Just(Step::TryCall),
        3 => any::<usize>().prop_map(Step::Poll),
        3 => any::<usize>().prop_map(Step::GiveUp),
        5 => any::<usize>().prop_map(Step::End),
        1 => (1..5_u32, 0..6_u32).prop_map(|(max, queue)| Step::Retune(max, queue)),
    ];
    prop::collection::vec(step, 1..100)
}

/// What a bulkhead is meant to be: a number of slots and a plain queue.
struct Model {
    max: u32,
    queue: u32,
    in_use: u32,
    waiting: VecDeque<u64>,
    /// Those who have a slot and do not know it yet.
    handed: Vec<u64>,
}

impl Model {
    fn has_room(&self) -> bool {
        self.waiting.is_empty() && self.in_use < self.max
    }

    fn is_full(&self) -> bool {
        self.waiting.len() >= self.queue as usize
    }

    fn give_back(&mut self) {
        self.in_use -= 1;
        self.hand_out();
    }

    fn hand_out(&mut self) {
        while self.in_use < self.max
            && let Some(first) = self.waiting.pop_front()
        {
            self.in_use += 1;
            self.handed.push(first);
        }
    }

    fn give_up(&mut self, number: u64) {
        match self.handed.iter().position(|handed| *handed == number) {
            Some(index) => {
                self.handed.remove(index);
                self.give_back();
            }
            None => self.waiting.retain(|waiting| *waiting != number),
        }
    }
}

type Acquire<'a> = Pin<Box<dyn Future<Output = Result<Permit<'a>>> + 'a>>;

struct Waiting<'a> {
    number: u64,
    call: Acquire<'a>,
    woken: Arc<Woken>,
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn poll_once<'a>(call: &mut Acquire<'a>, woken: &Arc<Woken>) -> Poll<Result<Permit<'a>>> {
    call.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(woken))))
}

fn choose<T>(from: &mut Vec<T>, number: usize) -> Option<T> {
    (!from.is_empty()).then(|| from.swap_remove(number % from.len()))
}

proptest! {
    #[test]
    fn a_bulkhead_does_what_a_number_and_a_queue_do(
        max in 1..4_u32,
        queue in 0..6_u32,
        steps in steps(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let _entered = runtime.enter();
        let bulkhead = bulkhead(max, queue);
        let mut model =
            Model { max, queue, in_use: 0, waiting: VecDeque::new(), handed: Vec::new() };
        let mut waiting: Vec<Waiting<'_>> = Vec::new();
        let mut running: Vec<Permit<'_>> = Vec::new();
        for (number, step) in (0_u64..).zip(steps) {
            match step {
                Step::Call => {
                    let woken = Arc::<Woken>::default();
                    let mut call: Acquire<'_> = Box::pin(bulkhead.acquire(None));
                    let polled = poll_once(&mut call, &woken);
                    if model.has_room() {
                        model.in_use += 1;
                        let Poll::Ready(Ok(permit)) = polled else { panic!("{polled:?}") };
                        running.push(permit);
                    } else if model.is_full() {
                        prop_assert!(matches!(polled, Poll::Ready(Err(_))), "{polled:?}");
                    } else {
                        prop_assert!(polled.is_pending(), "{polled:?}");
                        model.waiting.push_back(number);
                        waiting.push(Waiting { number, call, woken });
                    }
                }
                Step::TryCall => {
                    let permit = bulkhead.try_acquire().ok();
                    prop_assert_eq!(permit.is_some(), model.has_room());
                    model.in_use += u32::from(permit.is_some());
                    running.extend(permit);
                }
                Step::Poll(index) => {
                    let Some(mut one) = choose(&mut waiting, index) else { continue };
                    // Another waker each time, as when a call moves between tasks.
                    let woken = Arc::<Woken>::default();
                    match poll_once(&mut one.call, &woken) {
                        Poll::Ready(permit) => {
                            prop_assert!(model.handed.contains(&one.number));
                            model.handed.retain(|handed| *handed != one.number);
                            running.push(permit.unwrap());
                        }
                        Poll::Pending => waiting.push(Waiting { woken, ..one }),
                    }
                }
                Step::GiveUp(index) => {
                    let Some(one) = choose(&mut waiting, index) else { continue };
                    model.give_up(one.number);
                }
                Step::End(index) => {
                    let Some(_permit) = choose(&mut running, index) else { continue };
                    model.give_back();
                }
                Step::Retune(max, queue) => {
                    (model.max, model.queue) = (max, queue);
                    bulkhead.retune(limit(max, queue)).unwrap();
                    model.hand_out();
                }
            }
            prop_assert_eq!(bulkhead.in_use(), model.in_use);
            prop_assert_eq!(bulkhead.waiting() as usize, model.waiting.len());
            for one in &waiting {
                let woken = one.woken.0.load(Ordering::Relaxed);
                prop_assert_eq!(woken, model.handed.contains(&one.number), "{}", one.number);
            }
        }
        drop((waiting, running));
        prop_assert_eq!((bulkhead.in_use(), bulkhead.waiting()), (0, 0));
    }
}
