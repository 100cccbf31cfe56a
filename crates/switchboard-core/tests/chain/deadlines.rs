//! The deadline of a call: what it covers, who inherits it, and what it costs when it has passed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use switchboard_core::{
    BulkheadLimit, Clock, Deadline, Error, ErrorKind, Gate, Line, Outcome, Policy, Result,
};

use crate::station::{
    Pumps, Station, ask, check_at_rest, fails, hangs, lost, millis, one_in, op, retry, runs,
    served_by, slots, stopped, takes, times,
};

fn within(ms: u64) -> Policy {
    Policy { deadline: Some(millis(ms)), ..Policy::default() }
}

#[track_caller]
fn check_too_late<T: std::fmt::Debug>(result: Result<T>) {
    let error = result.unwrap_err();
    assert_eq!(
        (error.kind(), error.gate(), error.outcome()),
        (ErrorKind::Timeout, Some(Gate::Deadline), Outcome::NotApplied),
        "{error:?}"
    );
    assert!(error.place().is_some(), "{error:?}");
}

/// What an attempt finds as its deadline.
fn tells_deadline(found: &Arc<std::sync::Mutex<Option<Instant>>>) -> crate::station::Lot {
    let found = found.clone();
    runs(move || async move {
        *found.lock().unwrap() = Deadline::current().map(Deadline::moment);
        Ok(0)
    })
}

#[tokio::test(start_paused = true)]
async fn it_covers_all_attempts_and_all_waits_between_them() {
    let station = Station::new();
    let policy = Policy { retry: Some(retry(10)), ..within(100) };
    let (line, service) = station.main(policy).await;
    service.will(times(10, || takes(30, Err(lost()))));
    let (result, took) = station.timed(ask(&line, op::PEEK)).await;
    // Attempts from 0 to 30, 40 to 70 and 80 to 100, where the deadline ends the third one.
    let error = result.unwrap_err();
    assert_eq!((took, service.asked()), (millis(100), 3));
    assert_eq!((error.gate(), stopped(&error)), (Some(Gate::Deadline), Some("no time left")));
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_would_end_at_the_deadline_is_not_begun() {
    let station = Station::new();
    let policy = Policy { retry: Some(retry(10)), ..within(40) };
    let (line, service) = station.main(policy).await;
    service.will(times(10, || takes(30, Err(lost()))));
    let (result, took) = station.timed(ask(&line, op::PEEK)).await;
    assert_eq!(result.unwrap_err().message(), lost().message());
    assert_eq!((took, service.asked()), (millis(30), 1));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_it_ends_has_an_unknown_outcome() {
    let station = Station::new();
    let (line, service) = station.main(within(50)).await;
    service.will([hangs()]);
    let (result, took) = station.timed(ask(&line, op::PEEK)).await;
    let error = result.unwrap_err();
    assert_eq!(
        (took, error.kind(), error.gate()),
        (millis(50), ErrorKind::Timeout, Some(Gate::Deadline))
    );
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert_eq!(error.place().unwrap().driver, Some("scripted"));
}

#[tokio::test(start_paused = true)]
async fn a_call_inside_a_call_inherits_it_and_the_smaller_one_wins() {
    for (outer_ms, inner_ms, ends_ms) in [(50, 500, 50), (500, 20, 20)] {
        let station = Station::new();
        let inner = station.line("inner", within(inner_ms)).await;
        let outer = station.line("outer", within(outer_ms)).await;
        station.service("inner").will([hangs()]);
        station.service("outer").will([runs(|| async move { ask(&inner, op::PEEK).await })]);

        let (result, took) = station.timed(ask(&outer, op::PEEK)).await;
        let error = result.unwrap_err();
        assert_eq!((took, error.gate()), (millis(ends_ms), Some(Gate::Deadline)));
        assert_eq!(&*error.place().unwrap().instance, "inner");
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_finds_the_deadline_of_its_call_whatever_the_attempt_timeout() {
    let station = Station::new();
    let policy = Policy { attempt_timeout: Some(millis(10)), ..within(50) };
    let (line, service) = station.main(policy).await;
    let found = Arc::default();
    service.will([tells_deadline(&found)]);
    let began = station.clock.now();
    ask(&line, op::PEEK).await.unwrap();
    assert_eq!(*found.lock().unwrap(), Some(began + millis(50)));
    assert_eq!(Deadline::current(), None, "it ends with the call");
}

#[tokio::test(start_paused = true)]
#[expect(clippy::disallowed_methods, reason = "a task that the test itself waits for")]
async fn a_spawned_task_has_it_only_when_it_is_handed_over() {
    let station = Station::new();
    let line = station.line("main", within(500)).await;
    let found = Arc::default();
    station.service("main").will([runs(move || async {
        let alone = tokio::spawn(async { Deadline::current() }).await.unwrap();
        let handed = Deadline::current().unwrap();
        let with = tokio::spawn(handed.scope(async { Deadline::current() })).await.unwrap();
        assert_eq!((alone, with), (None, Some(handed)));
        Ok(0)
    })]);
    ask(&line, op::PEEK).await.unwrap();
    station.service("main").will([tells_deadline(&found)]);
    let deadline = Deadline::within(&station.clock, millis(70));
    let spawned = {
        let line = line.clone();
        tokio::spawn(deadline.scope(async move { ask(&line, op::PEEK).await }))
    };
    spawned.await.unwrap().unwrap();
    assert_eq!(*found.lock().unwrap(), Some(deadline.moment()), "the smaller one again");
}

#[tokio::test(start_paused = true)]
async fn once_it_has_passed_no_driver_is_touched_with_or_without_gates() {
    for policy in [within(1_000), Policy::default()] {
        let station = Station::new();
        let (line, service) = station.main(policy).await;
        let over = Deadline::at(station.clock.now());
        check_too_late(over.scope(ask(&line, op::PEEK)).await);
        let once = line.call_once(op::PEEK, |driver| async move { driver.ask().await });
        check_too_late(over.scope(once).await);
        let open = line.open(op::PEEK, |driver| async move { driver.ask().await });
        check_too_late(over.scope(open).await.map(drop));
        assert_eq!(service.asked(), 0);
        check_at_rest(&line);
    }
}

#[tokio::test(start_paused = true)]
async fn once_it_has_passed_no_step_is_made_inside_of_what_was_opened() {
    let station = Station::new();
    let (line, _) = station.main(Policy::default()).await;
    let mut leased = line.open(op::PEEK, |driver| async move { driver.ask().await }).await.unwrap();
    let over = Deadline::at(station.clock.now());
    let (_, step) = leased.parts();
    let made = async { panic!("the step was made") };
    check_too_late(over.scope(step.run::<u32>(op::PEEK, made)).await);
}

#[tokio::test(start_paused = true)]
async fn the_limiter_refuses_at_once_what_would_wait_past_it() {
    let station = Station::new();
    let policy = Policy { rate_limit: Some(one_in(100)), ..within(60) };
    let (line, service) = station.main(policy).await;
    ask(&line, op::PEEK).await.unwrap();
    let (result, took) = station.timed(ask(&line, op::PEEK)).await;
    assert_eq!(result.unwrap_err().gate(), Some(Gate::RateLimit));
    assert_eq!((took, service.asked()), (Duration::ZERO, 1));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_comes_with_the_deadline_comes_too_late() {
    let station = Station::new();
    let policy = Policy { rate_limit: Some(one_in(100)), ..within(100) };
    let (line, service) = station.main(policy).await;
    ask(&line, op::PEEK).await.unwrap();
    let result = ask(&line, op::PEEK).await;
    assert_eq!(result.unwrap_err().outcome(), Outcome::NotApplied);
    assert_eq!(service.asked(), 1, "no driver is asked after the deadline");
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_comes_with_the_deadline_comes_too_late() {
    let station = Station::new();
    let bulkhead = BulkheadLimit { queue: 1, wait: Duration::from_secs(9), ..slots(1) };
    let policy = Policy { bulkhead: Some(bulkhead), ..within(100) };
    let (line, service) = station.main(policy).await;
    let gates = line.gates().unwrap();
    let slot = gates.bulkhead().unwrap().try_acquire().unwrap();
    let mut waiting = Box::pin(ask(&line, op::PEEK));
    assert!((&mut waiting).now_or_never().is_none());
    // The task of the call runs again only after its deadline, and finds the slot there.
    tokio::time::advance(millis(150)).await;
    drop(slot);
    check_too_late(waiting.await);
    assert_eq!(service.asked(), 0);
    check_at_rest(&line);
}

#[tokio::test(start_paused = true)]
async fn the_bulkhead_lets_nobody_wait_past_it() {
    let station = Station::new();
    let bulkhead = BulkheadLimit { queue: 9, wait: Duration::from_secs(9), ..slots(1) };
    let policy = Policy { bulkhead: Some(bulkhead), ..within(60) };
    let (line, service) = station.main(policy).await;
    let gates = line.gates().unwrap();
    let _slot = gates.bulkhead().unwrap().try_acquire().unwrap();
    let (result, took) = station.timed(ask(&line, op::PEEK)).await;
    let error = result.unwrap_err();
    assert_eq!((error.gate(), error.outcome()), (Some(Gate::Bulkhead), Outcome::NotApplied));
    assert_eq!((took, service.asked()), (millis(60), 0));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_has_to_build_the_driver_first_builds_within_it() {
    let station = Station::new();
    station.manager.configure("main", &served_by("main").with("hangs_at_start", true)).unwrap();
    station.manager.retune("main", within(80)).unwrap();
    let line: Line<Pumps> = station.manager.handle("main").unwrap();
    let (result, took) = station.timed(ask(&line, op::PEEK)).await;
    let error: Error = result.unwrap_err();
    assert_eq!((took, error.kind()), (millis(80), ErrorKind::Timeout));
    assert_eq!(error.outcome(), Outcome::NotApplied);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_asked_late_does_not_extend_it() {
    let station = Station::new();
    let (line, service) = station.main(within(50)).await;
    service.will([takes(40, Err(lost())), fails(lost())]);
    let clock = Clock::system();
    let until = clock.now() + millis(50);
    let error = ask(&line, op::PEEK).await.unwrap_err();
    assert!(clock.now() < until, "{error}");
    assert_eq!(service.asked(), 1);
}
