//! The order of the gates, seen in who refuses a call and in what the refusal has cost.

use std::time::Duration;

use futures_util::FutureExt as _;
use switchboard_core::{
    BreakerCounts, BreakerPolicy, BulkheadLimit, Deadline, Gate, Policy, RetryPolicy,
};
use tokio::time::advance;

use crate::station::{
    Station, ask, breaker, check_at_rest, fail, fails, lost, op, retry, slots, stopped, takes,
    times, tokens, tokens_left,
};

/// The three options that make the order limiter, bulkhead, breaker, retry.
fn seed_order() -> Policy {
    Policy {
        rate_limit: Some(tokens(3)),
        bulkhead: Some(BulkheadLimit { hold_while_waiting: true, ..slots(1) }),
        breaker: Some(BreakerPolicy { counts: BreakerCounts::Calls, ..breaker(1) }),
        retry: Some(RetryPolicy { charge_limiter: false, ..retry(3) }),
        ..Policy::default()
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_costs_no_token_and_no_slot() {
    let station = Station::new();
    let policy = Policy {
        rate_limit: Some(tokens(10)),
        bulkhead: Some(slots(1)),
        breaker: Some(breaker(1)),
        ..Policy::default()
    };
    let (line, service) = station.main(policy).await;
    service.will([fails(lost())]);
    fail(&line, 1).await;

    let gates = line.gates().unwrap();
    let _the_only_slot = gates.bulkhead().unwrap().try_acquire().unwrap();
    for _ in 0..5 {
        assert_eq!(ask(&line, op::PEEK).await.unwrap_err().gate(), Some(Gate::Breaker));
    }
    assert_eq!((tokens_left(&line), service.asked()), (9, 1));
}

#[tokio::test(start_paused = true)]
async fn of_gates_that_all_would_refuse_the_outermost_does() {
    let station = Station::new();
    let policy = Policy {
        deadline: Some(Duration::from_secs(1)),
        rate_limit: Some(tokens(1)),
        bulkhead: Some(slots(1)),
        breaker: Some(breaker(1)),
        ..Policy::default()
    };
    let (line, service) = station.main(policy).await;
    let gates = line.gates().unwrap();
    let slot = gates.bulkhead().unwrap().try_acquire().unwrap();
    gates.rate_limiter().unwrap().try_acquire(1).unwrap();
    gates.breaker().unwrap().force_open();
    let refusal = || async { ask(&line, op::PEEK).await.map_err(|error| error.gate().unwrap()) };

    let over = Deadline::at(station.clock.now());
    assert_eq!(over.scope(refusal()).await, Err(Gate::Deadline));
    assert_eq!(refusal().await, Err(Gate::Breaker));
    gates.breaker().unwrap().reset();
    assert_eq!(refusal().await, Err(Gate::RateLimit));
    advance(Duration::from_hours(1)).await;
    assert_eq!(refusal().await, Err(Gate::Bulkhead));
    drop(slot);
    advance(Duration::from_hours(1)).await;
    assert_eq!(refusal().await, Ok(1));
    assert_eq!(service.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waited_for_a_slot_asks_the_breaker_once_more() {
    let station = Station::new();
    let policy = Policy {
        bulkhead: Some(BulkheadLimit { queue: 1, wait: Duration::from_secs(1), ..slots(1) }),
        breaker: Some(breaker(1)),
        ..Policy::default()
    };
    let (line, service) = station.main(policy).await;
    service.will([takes(20, Err(lost()))]);

    let (first, second) = tokio::join!(ask(&line, op::PEEK), ask(&line, op::PEEK));
    assert_eq!(first.unwrap_err().gate(), None);
    assert_eq!(second.unwrap_err().gate(), Some(Gate::Breaker));
    assert_eq!(service.asked(), 1);
    check_at_rest(&line);
}

#[tokio::test(start_paused = true)]
async fn with_three_options_an_open_breaker_is_asked_last_and_token_and_slot_are_taken() {
    let station = Station::new();
    let (line, service) = station.main(seed_order()).await;
    let gates = line.gates().unwrap();
    gates.breaker().unwrap().force_open();

    let slot = gates.bulkhead().unwrap().try_acquire().unwrap();
    assert_eq!(ask(&line, op::PEEK).await.unwrap_err().gate(), Some(Gate::Bulkhead));
    drop(slot);
    assert_eq!(ask(&line, op::PEEK).await.unwrap_err().gate(), Some(Gate::Breaker));
    // Both refusals have cost a token.
    assert_eq!(tokens_left(&line), 1);
    assert_eq!(ask(&line, op::PEEK).await.unwrap_err().gate(), Some(Gate::RateLimit));
    assert_eq!(service.asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn with_three_options_retries_are_inside_of_limiter_bulkhead_and_breaker() {
    let station = Station::new();
    let (line, service) = station.main(seed_order()).await;
    service.will(times(3, || fails(lost())));
    let gates = line.gates().unwrap();

    let mut failing = Box::pin(ask(&line, op::PEEK));
    assert!((&mut failing).now_or_never().is_none(), "it waits for its second attempt");
    assert_eq!(gates.bulkhead().unwrap().in_use(), 1, "asleep, it keeps its slot");
    failing.await.unwrap_err();

    let figures = gates.breaker().unwrap().figures_at(station.clock.now());
    assert_eq!((service.asked(), figures.calls, figures.failures), (3, 1, 1));
    assert_eq!(tokens_left(&line), 2, "three attempts were one token");
}

#[tokio::test(start_paused = true)]
async fn by_default_retries_pay_free_their_slot_and_count_one_by_one() {
    let station = Station::new();
    let policy = Policy {
        rate_limit: Some(tokens(9)),
        bulkhead: Some(slots(1)),
        breaker: Some(breaker(100)),
        retry: Some(retry(3)),
        ..Policy::default()
    };
    let (line, service) = station.main(policy).await;
    service.will(times(3, || fails(lost())));
    let gates = line.gates().unwrap();

    let mut failing = Box::pin(ask(&line, op::PEEK));
    assert!((&mut failing).now_or_never().is_none(), "it waits for its second attempt");
    assert_eq!(gates.bulkhead().unwrap().in_use(), 0, "asleep, it has no slot");
    failing.await.unwrap_err();

    let figures = gates.breaker().unwrap().figures_at(station.clock.now());
    assert_eq!((service.asked(), figures.calls), (3, 3));
    assert_eq!(tokens_left(&line), 6);
}

#[tokio::test(start_paused = true)]
async fn a_retry_whose_breaker_opened_meanwhile_costs_no_token() {
    let station = Station::new();
    let policy = Policy {
        rate_limit: Some(tokens(9)),
        breaker: Some(breaker(3)),
        retry: Some(retry(3)),
        ..Policy::default()
    };
    let (line, service) = station.main(policy).await;
    service.will(times(2, || fails(lost())));

    let mut failing = Box::pin(ask(&line, op::PEEK));
    assert!((&mut failing).now_or_never().is_none(), "it waits for its second attempt");
    line.gates().unwrap().breaker().unwrap().force_open();
    let error = failing.await.unwrap_err();
    assert_eq!((error.message(), service.asked()), (lost().message(), 1));
    assert_eq!(station.heard().last().unwrap(), "pump.main: peek given up after 1: breaker open");
    assert_eq!(stopped(&error), None, "no retry was made, so others may start over");
    assert_eq!(tokens_left(&line), 8);
}

#[tokio::test(start_paused = true)]
async fn counted_by_calls_a_call_is_slow_by_all_it_took() {
    let station = Station::new();
    let slow_after = Some(Duration::from_millis(100));
    let policy = Policy {
        breaker: Some(BreakerPolicy { counts: BreakerCounts::Calls, slow_after, ..breaker(100) }),
        retry: Some(retry(3)),
        ..Policy::default()
    };
    let (line, service) = station.main(policy).await;
    service.will([takes(60, Err(lost())), takes(60, Ok(7))]);
    assert_eq!(ask(&line, op::PEEK).await.unwrap(), 7);
    service.will(times(3, || takes(40, Err(lost()))));
    fail(&line, 1).await;

    let figures = line.gates().unwrap().breaker().unwrap().figures_at(station.clock.now());
    assert_eq!((figures.calls, figures.slow), (2, 2));
}
