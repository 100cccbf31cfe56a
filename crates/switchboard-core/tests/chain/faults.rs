//! Faults on purpose: they happen inside of all gates, to exactly what would meet the real thing.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use switchboard_core::{
    BreakerState, Clock, Environment, ErrorKind, Fault, Faults, Gate, Line, Outcome, Policy,
};

use crate::station::{
    Pumps, Station, ask, breaker, check_at_rest, lost, millis, op, refused, retry, slots, stopped,
};

fn script(line: &Line<Pumps>, faults: impl IntoIterator<Item = Fault>) -> Arc<Faults> {
    let faults = Arc::new(Faults::new(Clock::seeded(1)).script(faults));
    line.set_faults(Some(faults.clone())).unwrap();
    faults
}

fn all_gates() -> Policy {
    Policy {
        deadline: Some(Duration::from_secs(9)),
        bulkhead: Some(slots(1)),
        breaker: Some(breaker(100)),
        retry: Some(retry(2)),
        attempt_timeout: Some(millis(30)),
        ..Policy::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_tried_again_and_reaches_no_driver() {
    let station = Station::new();
    let (line, service) = station.main(all_gates()).await;
    let faults = script(&line, [Fault::Fail(lost()), Fault::Pass]);
    assert_eq!(ask(&line, op::PEEK).await.unwrap(), 1);
    assert_eq!((service.asked(), faults.injected()), (1, 1));
    let figures = line.gates().unwrap().breaker().unwrap().figures_at(station.clock.now());
    assert_eq!((figures.calls, figures.failures), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn what_hangs_or_is_late_meets_the_attempt_timeout() {
    let station = Station::new();
    let (line, service) = station.main(all_gates()).await;
    script(&line, [Fault::Hang, Fault::Late(millis(20))]);
    let (result, took) = station.timed(ask(&line, op::PEEK)).await;
    assert_eq!((result.unwrap(), took), (1, millis(30 + 10 + 20)));
    assert_eq!(service.asked(), 1, "the driver is called once it is late");

    script(&line, [Fault::Late(millis(31)), Fault::Late(millis(31))]);
    let error = ask(&line, op::PEEK).await.unwrap_err();
    assert_eq!((error.gate(), service.asked()), (Some(Gate::AttemptTimeout), 1));
}

#[tokio::test(start_paused = true)]
async fn an_effect_that_happened_although_an_error_came_is_not_done_twice() {
    let station = Station::new();
    let (line, service) = station.main(all_gates()).await;
    script(&line, [Fault::ApplyThenFail(lost())]);
    let error = ask(&line, op::POUR).await.unwrap_err();
    assert_eq!((error.outcome(), service.asked()), (Outcome::Unknown, 1));

    script(&line, [Fault::ApplyThenFail(lost().with_outcome(Outcome::Applied))]);
    let error = ask(&line, op::SET).await.unwrap_err();
    assert_eq!((error.outcome(), service.asked()), (Outcome::Applied, 2));

    script(&line, [Fault::ApplyThenFail(refused())]);
    assert_eq!(ask(&line, op::SET).await.unwrap(), 4, "it is repeatable, and its outcome unknown");
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_met_as_one_of_the_driver() {
    let station = Station::new();
    let policy = Policy { breaker: Some(breaker(1)), ..all_gates() };
    let (line, service) = station.main(policy).await;
    script(&line, [Fault::Panic]);
    assert!(AssertUnwindSafe(ask(&line, op::PEEK)).catch_unwind().await.is_err());
    check_at_rest(&line);
    assert_eq!(line.gates().unwrap().breaker().unwrap().state(), BreakerState::Open);
    assert_eq!(service.asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_faults_opens_the_breaker_and_ends_the_attempts() {
    let station = Station::new();
    let policy = Policy { breaker: Some(breaker(3)), retry: Some(retry(9)), ..all_gates() };
    let (line, service) = station.main(policy).await;
    let faults = Arc::new(Faults::new(Clock::seeded(1)).chance(1.0, Fault::Fail(lost())));
    line.set_faults(Some(faults.clone())).unwrap();
    let error = ask(&line, op::PEEK).await.unwrap_err();
    assert_eq!(stopped(&error), Some("breaker open"));
    assert_eq!((faults.injected(), service.asked()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_no_driver_was_given_is_still_there_for_the_next_attempt() {
    let station = Station::new();
    let (line, service) = station.main(all_gates()).await;
    script(&line, [Fault::Fail(lost())]);
    let once = line.call_once(op::PEEK, |driver| async move { driver.ask().await });
    assert_eq!((once.await.unwrap(), service.asked()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn they_need_no_policy_and_go_as_they_came() {
    let station = Station::new();
    let (line, _) = station.main(Policy::default()).await;
    let _faults = script(&line, [Fault::Fail(lost())]);
    assert_eq!(ask(&line, op::PEEK).await.unwrap_err().message(), lost().message());
    line.set_faults(None).unwrap();
    assert!(line.gates().is_none());

    // They stay when the policy changes.
    let faults = script(&line, [Fault::Fail(lost())]);
    station.manager.retune("main", all_gates()).unwrap();
    ask(&line, op::PEEK).await.unwrap();
    assert_eq!(faults.injected(), 1);
    line.set_faults(None).unwrap();
    assert_eq!(line.gates().unwrap().policy(), &all_gates());
}

#[tokio::test(start_paused = true)]
async fn production_refuses_them() {
    let station = Station::within(Environment::new().in_production());
    let (line, _) = station.main(all_gates()).await;
    let faults = Arc::new(Faults::new(Clock::seeded(1)).script([Fault::Panic]));
    assert_eq!(line.set_faults(Some(faults)).unwrap_err().kind(), ErrorKind::Config);
    ask(&line, op::PEEK).await.unwrap();
    line.set_faults(None).unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_trace() {
    let trace = |seed| async move {
        let station = Station::new();
        let (line, _) = station.main(all_gates()).await;
        let faults = Faults::new(Clock::seeded(seed))
            .chance(0.3, Fault::Fail(lost()))
            .chance(0.2, Fault::Hang)
            .chance(0.1, Fault::ApplyThenFail(lost()));
        line.set_faults(Some(Arc::new(faults))).unwrap();
        let mut trace = Vec::new();
        for _ in 0..50 {
            let (result, took) = station.timed(ask(&line, op::PEEK)).await;
            trace.push((result.map_err(|error| error.to_string()), took));
        }
        trace
    };
    assert_eq!(trace(11).await, trace(11).await);
    assert_ne!(trace(11).await, trace(12).await);
}
