//! The tools against real lines: each passes what is clean and catches what is not.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which fail where something is missing")]

#[allow(unreachable_pub, reason = "the examples of the documentation include it")]
mod counters;

use std::mem;
use std::time::Duration;

use counters::{Counters, CountersDriver, CountersSubsystem, Fixed, Watch};
use switchboard_core::{
    BreakerPolicy, BreakerState, BulkheadLimit, Clock, Environment, Error, ErrorKind, Fault,
    Faults, Lifecycle, Policy, Reply, Result, RetryPolicy, Settings,
};
use switchboard_testkit::{
    Answer, Script, Workbench, advance, assert_idle, drop_at_every_await, failures, inject, outage,
    poll_settled, slowed,
};

/// Plays a script in which a call is the name of the counter.
struct Scripted(Script<String>);

impl Lifecycle for Scripted {}

impl CountersDriver for Scripted {
    fn read<'a>(&'a self, name: &'a str) -> Reply<'a, u64> {
        self.0.call(format!("read {name}"))
    }

    fn watch<'a>(&'a self, name: &'a str) -> Reply<'a, Watch> {
        self.0.call(format!("watch {name}"))
    }
}

fn bench() -> Workbench<CountersSubsystem> {
    Workbench::new().unwrap()
}

fn guarded() -> Policy {
    Policy {
        deadline: Some(Duration::from_mins(1)),
        bulkhead: Some(BulkheadLimit { max: 1, ..BulkheadLimit::default() }),
        breaker: Some(quick_breaker()),
        retry: Some(RetryPolicy { attempts: 3, ..RetryPolicy::default() }),
        attempt_timeout: Some(Duration::from_secs(10)),
        ..Policy::default()
    }
}

fn quick_breaker() -> BreakerPolicy {
    BreakerPolicy { min_calls: 2, half_open: 1, ..BreakerPolicy::default() }
}

fn down() -> Error {
    Error::new(ErrorKind::Unavailable, "connection reset").not_applied()
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_guarded_call_may_be_dropped_at_each_await() {
    let script = Script::new();
    let bench = bench();
    let policy = Policy { breaker: None, ..guarded() };
    let counters = bench.serve("main", Scripted(script.clone()), policy).unwrap();
    script.otherwise(|_| Answer::reply(7_u64).after(SECOND));
    let make = async || {
        let faults = Faults::new(Clock::seeded(1)).script([Fault::Fail(down())]);
        let _faults = inject(counters.line(), faults).unwrap();
        counters.read("visits").await.unwrap();
    };
    let awaits = drop_at_every_await(make, async |_| assert_idle(counters.line()).await);
    assert_eq!(awaits.await, 2, "one for the wait before the second attempt, one for its answer");
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_a_slot_may_be_dropped() {
    let script = Script::new();
    let bench = bench();
    let limit = BulkheadLimit { max: 1, queue: 1, wait: SECOND * 10, ..BulkheadLimit::default() };
    let policy = Policy { bulkhead: Some(limit), ..Policy::default() };
    let counters = bench.serve("main", Scripted(script.clone()), policy).unwrap();
    script.otherwise(|_| Answer::reply(7_u64).after(SECOND));
    let make = async || {
        let both = (counters.read("one"), counters.read("two"));
        let (mut one, mut two) = (Box::pin(both.0), Box::pin(both.1));
        assert!(poll_settled(&mut one).await.is_pending());
        assert!(poll_settled(&mut two).await.is_pending());
        assert_eq!((one.await.unwrap(), two.await.unwrap()), (7, 7));
    };
    drop_at_every_await(make, async |_| assert_idle(counters.line()).await).await;
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_dropped_leaves_the_breaker_able_to_try_again() {
    let script = Script::new();
    let bench = bench();
    let policy = Policy { breaker: Some(quick_breaker()), ..Policy::default() };
    let counters = bench.serve("main", Scripted(script.clone()), policy).unwrap();
    let open_for = quick_breaker().open_for * 2;
    script.otherwise(|_| Answer::fail(down()));
    while counters.line().gates().unwrap().breaker().unwrap().state() == BreakerState::Closed {
        counters.read("visits").await.unwrap_err();
    }
    advance(open_for).await;
    script.otherwise(|_| Answer::reply(7_u64).after(SECOND));
    let check = async |_| assert_idle(counters.line()).await;
    assert_eq!(
        drop_at_every_await(async || counters.read("visits").await.unwrap(), check).await,
        1
    );
    assert_eq!(bench.recorder().names(), ["BreakerOpened", "BreakerHalfOpened", "BreakerClosed"]);
}

/// A handle's mistake: what it opened is never given back.
async fn forgetful(counters: &Counters) {
    mem::forget(counters.watch("visits").await.unwrap());
    tokio::task::yield_now().await;
}

#[tokio::test(start_paused = true)]
#[should_panic = "counters.main is still in use\n  holds on the driver: 1\n  slots of the bulkhead: 1 in use"]
async fn a_lease_that_was_forgotten_is_caught() {
    let bench = bench();
    let counters = bench.serve("main", Fixed(7), guarded()).unwrap();
    forgetful(&counters).await;
    assert_idle(counters.line()).await;
}

#[tokio::test(start_paused = true)]
#[should_panic = "dropped at await 1"]
async fn the_harness_says_at_which_await_a_lease_is_lost() {
    let bench = bench();
    let counters = bench.serve("main", Fixed(7), guarded()).unwrap();
    let check = async |_| assert_idle(counters.line()).await;
    drop_at_every_await(|| forgetful(&counters), check).await;
}

#[tokio::test(start_paused = true)]
#[should_panic = "in use\n  slots of the bulkhead: 1 in use, 0 waited for"]
async fn a_slot_that_was_forgotten_is_caught() {
    let counters = bench().serve("main", Fixed(7), guarded()).unwrap();
    mem::forget(counters.line().gates().unwrap().bulkhead().unwrap().try_acquire().unwrap());
    assert_idle(counters.line()).await;
}

#[tokio::test(start_paused = true)]
#[should_panic = "probes of the breaker: all"]
async fn a_probe_that_was_forgotten_is_caught() {
    let bench = bench();
    let policy = Policy { breaker: Some(quick_breaker()), ..Policy::default() };
    let counters = bench.serve("main", Fixed(7), policy).unwrap();
    let outage = inject(counters.line(), outage(ErrorKind::Unavailable)).unwrap();
    let gates = counters.line().gates().unwrap();
    let breaker = gates.breaker().unwrap();
    while breaker.state() == BreakerState::Closed {
        counters.read("visits").await.unwrap_err();
    }
    drop(outage);
    advance(quick_breaker().open_for * 2).await;
    mem::forget(breaker.permit_at(bench.environment().clock().now()).unwrap());
    assert_idle(counters.line()).await;
}

#[tokio::test(start_paused = true)]
#[should_panic = "clean-up jobs are still under way"]
async fn clean_up_that_does_not_end_is_caught() {
    let bench = bench();
    let counters = bench.serve("main", Fixed(7), Policy::default()).unwrap();
    let hour = Duration::from_hours(1);
    drop(bench.environment().reaper().submit("hang", hour, std::future::pending()));
    assert_idle(counters.line()).await;
}

#[tokio::test(start_paused = true)]
async fn clean_up_that_takes_its_time_is_waited_for() {
    let bench = bench();
    let counters = bench.serve("main", Fixed(7), Policy::default()).unwrap();
    let held = counters.line().hold();
    drop(bench.environment().reaper().submit("give back", SECOND * 10, async move {
        tokio::time::sleep(SECOND).await;
        drop(held);
        Ok(())
    }));
    assert_idle(counters.line()).await;
}

/// Fails to close.
struct Stubborn;

impl Lifecycle for Stubborn {
    fn close(&self) -> Reply<'_, ()> {
        Reply::ready(Err(Error::new(ErrorKind::Unexpected, "will not go")))
    }
}

impl CountersDriver for Stubborn {
    fn read<'a>(&'a self, _: &'a str) -> Reply<'a, u64> {
        Reply::ready(Ok(0))
    }

    fn watch<'a>(&'a self, _: &'a str) -> Reply<'a, Watch> {
        Reply::ready(Ok(Watch))
    }
}

#[tokio::test(start_paused = true)]
#[should_panic = "will not go"]
async fn a_driver_that_does_not_close_is_caught_at_the_end() {
    let bench = bench();
    bench.serve("main", Stubborn, Policy::default()).unwrap();
    bench.close().await;
}

#[tokio::test(start_paused = true)]
#[should_panic = "failed or were abandoned: 1"]
async fn clean_up_that_failed_unseen_is_caught_at_the_end() {
    let bench = bench();
    let job = async { Err(Error::new(ErrorKind::Unexpected, "not given back")) };
    drop(bench.environment().reaper().submit("give back", SECOND, job));
    bench.close().await;
}

#[tokio::test]
async fn faults_end_with_their_guard_and_are_refused_in_production() {
    let bench = bench();
    let counters = bench.serve("main", Fixed(7), Policy::default()).unwrap();
    let guard = inject(counters.line(), outage(ErrorKind::Timeout)).unwrap();
    assert_eq!(counters.read("a").await.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(guard.injected(), 1);
    drop(guard);
    assert_eq!(counters.read("a").await.unwrap(), 7);

    let production = Environment::new().in_production();
    let bench = Workbench::<CountersSubsystem>::within(&production).unwrap();
    let counters = bench.serve("main", Fixed(7), Policy::default()).unwrap();
    assert!(inject(counters.line(), outage(ErrorKind::Timeout)).is_err());
    assert_eq!(counters.read("a").await.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn failures_that_are_counted_end_by_themselves_and_each_attempt_takes_one() {
    let bench = bench();
    let retry = RetryPolicy { attempts: 2, ..RetryPolicy::default() };
    let policy = Policy { retry: Some(retry), ..Policy::default() };
    let counters = bench.serve("main", Fixed(7), policy).unwrap();
    let faults = inject(counters.line(), failures(3, ErrorKind::Unavailable)).unwrap();
    assert_eq!(counters.read("a").await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(counters.read("a").await.unwrap(), 7);
    assert_eq!(faults.injected(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_slowed_driver_is_asked_after_the_delay_each_time() {
    let bench = bench();
    let counters = bench.serve("main", Fixed(7), Policy::default()).unwrap();
    let _faults = inject(counters.line(), slowed(SECOND)).unwrap();
    let clock = bench.environment().clock().clone();
    for _ in 0..2 {
        let asked = clock.now();
        assert_eq!(counters.read("a").await.unwrap(), 7);
        assert_eq!(clock.now() - asked, SECOND);
    }
}

#[tokio::test]
async fn drivers_can_be_registered_and_their_errors_come_back() {
    let bench = bench().with_drivers(counters::register_fixed).unwrap();
    let settings = |value: u64| Settings::new().with("driver", "fixed").with("value", value);
    bench.manager().configure("main", &settings(7)).unwrap();
    assert_eq!(bench.manager().handle("main").unwrap().read("a").await.unwrap(), 7);
    let twice = bench.with_drivers(counters::register_fixed).unwrap_err();
    assert_eq!(twice.kind(), ErrorKind::AlreadyRegistered);
}

#[tokio::test(start_paused = true)]
async fn the_recorder_forgets_when_told_and_keeps_what_came_after() {
    let bench = bench();
    let counters = bench.serve("main", Fixed(7), guarded()).unwrap();
    let _outage = inject(counters.line(), outage(ErrorKind::NotFound)).unwrap();
    let gates = counters.line().gates().unwrap();
    gates.breaker().unwrap().force_open();
    assert_eq!(bench.recorder().names(), ["BreakerForced"]);
    bench.recorder().clear();
    counters.read("a").await.unwrap_err();
    assert_eq!(bench.recorder().names(), ["Refused"]);
    assert_eq!(&*bench.recorder().events()[0].source().instance, "main");
}

#[tokio::test(start_paused = true)]
async fn a_driver_is_called_as_often_as_its_gates_say() -> Result<()> {
    let script = Script::new();
    let bench = bench();
    let counters = bench.serve("main", Scripted(script.clone()), guarded())?;
    script.expect("read a".to_owned(), Answer::fail(down()));
    script.expect("read a".to_owned(), Answer::reply(7_u64));
    assert_eq!(counters.read("a").await?, 7);
    script.assert_done();
    bench.close().await;
    Ok(())
}
