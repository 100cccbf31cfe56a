//! What outlives a call, a driver or a policy: slots, tokens, and what the breaker has seen.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use switchboard_core::{
    BreakerState, BudgetPolicy, BulkheadLimit, ErrorKind, Gate, Gates, Line, Policy, Result,
    RetryPolicy, Settings,
};

use crate::station::{
    Pumps, Station, ask, breaker, check_at_rest, fail, fails, hangs, lost, millis, op, retry,
    served_by, slots, times, tokens, tokens_left,
};

async fn open(line: &Line<Pumps>) -> Result<switchboard_core::Leased<Pumps, u32>> {
    line.open(op::PEEK, |driver| async move { driver.ask().await }).await
}

fn in_use(gates: &Arc<Gates>) -> u32 {
    gates.bulkhead().unwrap().in_use()
}

#[tokio::test(start_paused = true)]
async fn what_was_opened_keeps_its_slot_until_it_goes() {
    let station = Station::new();
    let (line, _) = station.main(Policy { bulkhead: Some(slots(1)), ..Policy::default() }).await;
    let gates = line.gates().unwrap();
    let leased = open(&line).await.unwrap();
    assert_eq!((in_use(&gates), line.in_flight()), (1, 1));
    assert_eq!(open(&line).await.unwrap_err().gate(), Some(Gate::Bulkhead));
    drop(leased);
    check_at_rest(&line);
    drop(open(&line).await.unwrap());
    ask(&line, op::PEEK).await.unwrap();
    check_at_rest(&line);
}

#[tokio::test(start_paused = true)]
async fn what_the_old_driver_opened_counts_although_another_serves_under_another_policy() {
    let station = Station::new();
    let (line, _) = station.main(Policy { bulkhead: Some(slots(1)), ..Policy::default() }).await;
    let leased = open(&line).await.unwrap();
    let swapped = station.manager.swap("main", &served_by("other")).await.unwrap();
    let deadline = Some(Duration::from_secs(1));
    let next = Policy { bulkhead: Some(slots(2)), deadline, ..Policy::default() };
    station.manager.retune("main", next).unwrap();

    let second = open(&line).await.unwrap();
    assert_eq!(open(&line).await.unwrap_err().gate(), Some(Gate::Bulkhead));
    assert_eq!(station.service("other").asked(), 1);
    drop((leased, second));
    swapped.closed().await.unwrap();
    check_at_rest(&line);
}

#[tokio::test(start_paused = true)]
async fn another_driver_finds_the_gates_as_they_are() {
    let station = Station::new();
    let policy = Policy {
        rate_limit: Some(tokens(5)),
        breaker: Some(breaker(2)),
        retry: Some(retry(2)),
        ..Policy::default()
    };
    let (line, service) = station.main(policy).await;
    service.will(times(2, || fails(lost())));
    fail(&line, 1).await;
    let before = line.gates().unwrap();
    assert_eq!(before.breaker().unwrap().state(), BreakerState::Open);

    let swapped = station.manager.swap("main", &served_by("other")).await.unwrap();
    swapped.closed().await.unwrap();
    assert!(Arc::ptr_eq(&before, &line.gates().unwrap()));
    assert_eq!(ask(&line, op::PEEK).await.unwrap_err().gate(), Some(Gate::Breaker));
    assert_eq!(station.service("other").asked(), 0);
    before.breaker().unwrap().reset();
    assert_eq!(ask(&line, op::PEEK).await.unwrap(), 1);
    assert_eq!((tokens_left(&line), before.retry_budget().unwrap().tokens()), (2, 496));
}

#[tokio::test(start_paused = true)]
async fn settings_can_bring_another_driver_and_another_policy_at_once() {
    let station = Station::new();
    let (line, _) = station.main(Policy { bulkhead: Some(slots(1)), ..Policy::default() }).await;
    let bulkhead = Settings::new().with("max", 3);
    let settings = served_by("other").with("policy", Settings::new().with("bulkhead", bulkhead));
    drop(station.manager.swap("main", &settings).await.unwrap());
    assert_eq!(line.gates().unwrap().bulkhead().unwrap().limit().max, 3);
    assert_eq!(ask(&line, op::PEEK).await.unwrap(), 1);

    drop(station.manager.swap("main", &served_by("third")).await.unwrap());
    let max = line.gates().unwrap().bulkhead().unwrap().limit().max;
    assert_eq!(max, 3, "settings without a policy keep the one in force");
}

#[tokio::test(start_paused = true)]
async fn a_swap_whose_policy_cannot_be_changes_neither_driver_nor_gates() {
    let station = Station::new();
    let (line, _) = station.main(Policy { bulkhead: Some(slots(1)), ..Policy::default() }).await;
    let budget = Settings::new().with("tokens", 1).with("retry_cost", 5);
    let policy = Settings::new()
        .with("retry", Settings::new().with("budget", budget))
        .with("bulkhead", Settings::new().with("max", 3));
    let error =
        station.manager.swap("main", &served_by("other").with("policy", policy)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(line.serving(), Some(("scripted", 1)));
    assert_eq!(line.gates().unwrap().bulkhead().unwrap().limit().max, 1);
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_cannot_be_changes_no_gate() {
    let station = Station::new();
    let (line, _) = station.main(Policy { bulkhead: Some(slots(1)), ..Policy::default() }).await;
    let budget = BudgetPolicy { tokens: 1, ..BudgetPolicy::default() };
    let wrong = Policy {
        bulkhead: Some(slots(3)),
        retry: Some(RetryPolicy { budget, ..retry(2) }),
        ..Policy::default()
    };
    assert_eq!(wrong.check().unwrap_err().kind(), ErrorKind::Config);
    station.manager.retune("main", wrong).unwrap_err();
    assert_eq!(line.gates().unwrap().bulkhead().unwrap().limit().max, 1);
}

#[tokio::test(start_paused = true)]
async fn more_slots_go_to_those_who_wait() {
    let station = Station::new();
    let waiting = |max| BulkheadLimit { queue: 9, wait: Duration::from_secs(9), ..slots(max) };
    let policy = |max| Policy { bulkhead: Some(waiting(max)), ..Policy::default() };
    let (line, service) = station.main(policy(1)).await;
    service.will([hangs()]);
    let mut running = Box::pin(ask(&line, op::PEEK));
    let mut second = Box::pin(ask(&line, op::PEEK));
    let mut third = Box::pin(ask(&line, op::PEEK));
    for call in [&mut running, &mut second, &mut third] {
        assert!(call.now_or_never().is_none());
    }
    station.manager.retune("main", policy(2)).unwrap();
    assert_eq!(second.await.unwrap(), 2);
    assert_eq!(third.await.unwrap(), 3);
    drop(running);
    check_at_rest(&line);
}

#[tokio::test(start_paused = true)]
async fn the_breaker_starts_anew_only_if_its_own_settings_change() {
    let station = Station::new();
    let policy = Policy { breaker: Some(breaker(1)), ..Policy::default() };
    let (line, service) = station.main(policy.clone()).await;
    service.will([fails(lost())]);
    fail(&line, 1).await;
    let state = || line.gates().unwrap().breaker().unwrap().state();

    let other = Policy { rate_limit: Some(tokens(9)), retry: Some(retry(2)), ..policy };
    station.manager.retune("main", other.clone()).unwrap();
    assert_eq!(state(), BreakerState::Open);
    station.manager.retune("main", Policy { breaker: Some(breaker(2)), ..other }).unwrap();
    assert_eq!(state(), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn tokens_that_were_taken_stay_taken_under_another_policy() {
    let station = Station::new();
    let (line, _) = station.main(Policy { rate_limit: Some(tokens(5)), ..Policy::default() }).await;
    for _ in 0..3 {
        ask(&line, op::PEEK).await.unwrap();
    }
    let next =
        Policy { rate_limit: Some(tokens(5)), deadline: Some(millis(9)), ..Policy::default() };
    station.manager.retune("main", next).unwrap();
    assert_eq!(tokens_left(&line), 2);
}

#[tokio::test(start_paused = true)]
async fn a_policy_without_gates_is_no_gates() {
    let station = Station::new();
    let (line, service) = station.main(Policy::default()).await;
    assert!(line.gates().is_none());

    let all = Policy {
        rate_limit: Some(tokens(1)),
        bulkhead: Some(slots(1)),
        breaker: Some(breaker(1)),
        ..Policy::default()
    };
    station.manager.retune("main", all).unwrap();
    service.will([fails(lost())]);
    fail(&line, 2).await;
    assert_eq!(service.asked(), 1);
    station.manager.retune("main", Policy::default()).unwrap();
    assert!(line.gates().is_none());
    assert_eq!(ask(&line, op::PEEK).await.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_under_way_ends_under_the_policy_it_began_with() {
    let station = Station::new();
    let (line, service) = station.main(Policy { retry: Some(retry(3)), ..Policy::default() }).await;
    service.will(times(2, || fails(lost())));
    let mut calling = Box::pin(ask(&line, op::PEEK));
    assert!((&mut calling).now_or_never().is_none());
    station.manager.retune("main", Policy::default()).unwrap();
    assert_eq!(calling.await.unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_a_swap_takes_away_is_not_held_against_the_new_driver() {
    let station = Station::new();
    let (line, _) = station.main(Policy { breaker: Some(breaker(1)), ..Policy::default() }).await;
    let mut leased = open(&line).await.unwrap();
    let swapped = station.manager.swap("main", &served_by("other")).await.unwrap();
    let (_, step) = leased.parts();
    let (result, closed) =
        tokio::join!(step.run::<u32>(op::PEEK, std::future::pending()), swapped.closed());
    closed.unwrap();
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(line.gates().unwrap().breaker().unwrap().state(), BreakerState::Closed);
    assert_eq!(ask(&line, op::PEEK).await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_fails_inside_of_something_opened_is_seen_by_the_breaker() {
    let station = Station::new();
    let (line, _) = station.main(Policy { breaker: Some(breaker(2)), ..Policy::default() }).await;
    let mut leased = open(&line).await.unwrap();
    let (_, step) = leased.parts();
    step.run::<u32>(op::PEEK, async { Err(lost()) }).await.unwrap_err();
    assert_eq!(line.gates().unwrap().breaker().unwrap().state(), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_in_line_holds_no_driver_and_goes_to_the_one_that_serves_then() {
    let station = Station::new();
    let bulkhead = BulkheadLimit { queue: 1, wait: Duration::from_mins(5), ..slots(1) };
    let policy = Policy { bulkhead: Some(bulkhead), ..Policy::default() };
    let (line, service) = station.main(policy).await;
    let gates = line.gates().unwrap();
    let slot = gates.bulkhead().unwrap().try_acquire().unwrap();
    let mut waiting = Box::pin(ask(&line, op::PEEK));
    assert!((&mut waiting).now_or_never().is_none());
    assert_eq!(line.in_flight(), 0);

    let swapped = station.manager.swap("main", &served_by("other")).await.unwrap();
    let (closed, took) = station.timed(swapped.closed()).await;
    closed.unwrap();
    assert_eq!(took, Duration::ZERO, "nobody holds the old driver");
    drop(slot);
    assert_eq!(waiting.await.unwrap(), 1);
    assert_eq!((service.asked(), station.service("other").asked()), (0, 1));
}
