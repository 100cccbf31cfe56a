//! What an operator hears of a line, and in which order.

use std::time::Duration;

use switchboard_core::{Policy, Priority};
use tokio::time::advance;

use crate::station::{
    Station, ask, breaker, fail, fails, hangs, lost, millis, op, refused, retry, served_by, slots,
    times, tokens,
};

#[tokio::test(start_paused = true)]
async fn an_outage_is_told_from_its_first_failure_to_its_end() {
    let station = Station::new();
    let policy = Policy {
        breaker: Some(breaker(4)),
        retry: Some(retry(3)),
        attempt_timeout: Some(millis(30)),
        ..Policy::default()
    };
    let (line, service) = station.main(policy).await;
    service.will([hangs()]);
    service.will(times(4, || fails(lost())));
    fail(&line, 3).await;
    advance(Duration::from_secs(10)).await;
    fail(&line, 1).await;
    advance(Duration::from_secs(20)).await;
    ask(&line, op::PEEK).await.unwrap();
    let swapped = station.manager.swap("main", &served_by("other")).await.unwrap();
    swapped.closed().await.unwrap();
    ask(&line, op::PEEK).await.unwrap();

    let expected = [
        "pump.main: peek failed 1 times, next in 10ms",
        "pump.main: peek failed 2 times, next in 10ms",
        "pump.main: peek given up after 3: attempts used up",
        "pump.main: open for 10s: the connection was lost",
        "pump.main: peek given up after 1: breaker open",
        "pump.main: peek refused by the breaker",
        "pump.main: half-open",
        "pump.main: open for 20s: the connection was lost",
        "pump.main: peek given up after 1: breaker open",
        "pump.main: half-open",
        "pump.main: closed",
        "pump.main: served by scripted 2",
    ];
    assert_eq!(station.heard(), expected);
}

#[tokio::test(start_paused = true)]
async fn each_refusal_names_its_gate_and_a_success_is_silent() {
    let station = Station::new();
    let policy = Policy {
        deadline: Some(Duration::from_secs(1)),
        rate_limit: Some(tokens(2)),
        bulkhead: Some(slots(1)),
        ..Policy::default()
    };
    let (line, _) = station.main(policy).await;
    ask(&line, op::PEEK).await.unwrap();
    assert_eq!(station.heard(), Vec::<String>::new());

    let gates = line.gates().unwrap();
    let slot = gates.bulkhead().unwrap().try_acquire().unwrap();
    fail(&line, 2).await;
    drop(slot);
    let over = switchboard_core::Deadline::at(station.clock.now());
    over.scope(ask(&line, op::SET)).await.unwrap_err();
    let expected = [
        "pump.main: peek refused by the bulkhead",
        "pump.main: peek refused by the rate limit",
        "pump.main: set refused by the deadline",
    ];
    assert_eq!(station.heard(), expected);
}

#[tokio::test(start_paused = true)]
async fn going_on_to_another_member_is_told_of_the_group() {
    let station = Station::new();
    let policy = Policy { retry: Some(retry(2)), ..Policy::default() };
    station.line("first", policy).await;
    station.line("second", Policy::default()).await;
    station.manager.group("both", &["first", "second"], Priority).unwrap();
    let both = station.manager.get("both").await.unwrap();
    station.service("first").will(times(2, || fails(refused())));
    ask(&both, op::POUR).await.unwrap();
    let expected = [
        "pump.first: pour failed 1 times, next in 10ms",
        "pump.first: pour given up after 2: attempts used up",
        "pump.both: from first to second",
    ];
    assert_eq!(station.heard(), expected);
}

#[tokio::test(start_paused = true)]
async fn forcing_the_breaker_is_told() {
    let station = Station::new();
    let policy = Policy { breaker: Some(breaker(1)), ..Policy::default() };
    let (line, _) = station.main(policy).await;
    let gates = line.gates().unwrap();
    gates.breaker().unwrap().force_open();
    gates.breaker().unwrap().reset();
    assert_eq!(station.heard(), ["pump.main: forced: forced open", "pump.main: closed"]);
}
