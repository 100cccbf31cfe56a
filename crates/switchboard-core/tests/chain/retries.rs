//! Which failures are tried again, how often, at whose cost, and what the caller is told.

use std::time::Duration;

use futures_util::FutureExt as _;
use switchboard_core::{
    BudgetPolicy, BulkheadLimit, Effect, Error, ErrorKind, Gate, Outcome, Policy, Retry,
    RetryPolicy,
};

use crate::station::{
    Station, ask, breaker, check_at_rest, fails, hangs, lost, millis, one_in, op, refused, retry,
    runs, slots, stopped, takes, times, tokens,
};

fn retrying(attempts: u32) -> Policy {
    Policy { retry: Some(retry(attempts)), ..Policy::default() }
}

#[tokio::test(start_paused = true)]
async fn there_are_exactly_as_many_attempts_as_the_policy_says() {
    for attempts in [1, 2, 5] {
        let station = Station::new();
        let (line, service) = station.main(retrying(attempts)).await;
        service.will(times(9, || fails(lost())));
        let (result, took) = station.timed(ask(&line, op::PEEK)).await;
        let error = result.unwrap_err();
        assert_eq!(service.asked(), attempts);
        assert_eq!(took, millis(10) * (attempts - 1));
        let was_retried = attempts > 1;
        assert_eq!(error.retry() == Retry::Exhausted, was_retried, "{error:?}");
        assert_eq!(stopped(&error), was_retried.then_some("attempts used up"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_not_made_again_for_its_effect_says_so() {
    let station = Station::new();
    let (line, service) = station.main(retrying(3)).await;
    let unsafe_op = op::PEEK.with_effect(Effect::Unsafe);
    service.will([fails(lost().with_outcome(Outcome::Unknown))]);
    let error = ask(&line, unsafe_op).await.unwrap_err();
    assert_eq!((service.asked(), stopped(&error)), (1, Some("effect unsafe")));
    assert_ne!(error.retry(), Retry::Exhausted, "whoever knows that it is harmless may start over");
}

#[tokio::test(start_paused = true)]
async fn what_is_tried_again_follows_from_kind_outcome_and_effect() {
    const RETRIED: [ErrorKind; 4] =
        [ErrorKind::Unavailable, ErrorKind::Timeout, ErrorKind::RateLimited, ErrorKind::Overloaded];
    let station = Station::new();
    let budget = BudgetPolicy { tokens: 100_000, ..BudgetPolicy::default() };
    let policy = RetryPolicy { budget, ..retry(2) };
    let (line, service) = station.main(Policy { retry: Some(policy), ..Policy::default() }).await;
    for kind in ErrorKind::ALL {
        for outcome in [Outcome::NotApplied, Outcome::Unknown, Outcome::Applied] {
            for operation in op::ALL {
                let error = Error::new(*kind, "on purpose").with_outcome(outcome);
                service.will(times(2, || fails(error.clone())));
                let before = service.asked();
                let told = ask(&line, *operation).await.unwrap_err();
                let attempts = service.asked() - before;

                let is_safe = match outcome {
                    Outcome::NotApplied => true,
                    Outcome::Unknown => operation.effect() != Effect::Unsafe,
                    _ => false,
                };
                let expected = if RETRIED.contains(kind) && is_safe { 2 } else { 1 };
                assert_eq!(attempts, expected, "{kind}, {outcome}, {}", operation.name());
                assert_eq!((told.kind(), told.outcome()), (*kind, outcome));
                service.forget_script();
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_call_can_have_another_effect_than_its_operation() {
    let station = Station::new();
    let (line, service) = station.main(retrying(2)).await;
    service.will([fails(lost())]);
    assert_eq!(ask(&line, op::POUR.with_effect(Effect::Keyed)).await.unwrap(), 2);
    service.will([fails(lost())]);
    let error = ask(&line, op::PEEK.with_effect(Effect::Unsafe)).await.unwrap_err();
    assert_eq!((error.message(), service.asked()), (lost().message(), 3));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_asks_for_time_gets_it_unless_the_deadline_comes_first() {
    let station = Station::new();
    let deadline = Some(Duration::from_secs(5));
    let (line, service) = station.main(Policy { deadline, ..retrying(3) }).await;
    let after = |seconds| fails(lost().retry_after(Duration::from_secs(seconds)));
    service.will([after(3)]);
    let (result, took) = station.timed(ask(&line, op::PEEK)).await;
    assert_eq!((result.unwrap(), took), (2, Duration::from_secs(3)));

    service.will([after(60)]);
    let (result, took) = station.timed(ask(&line, op::PEEK)).await;
    let error = result.unwrap_err();
    assert_eq!((took, error.retry()), (Duration::ZERO, Retry::After(Duration::from_mins(1))));
    assert_eq!(station.heard().last().unwrap(), "pump.main: peek given up after 1: no time left");
}

#[tokio::test(start_paused = true)]
async fn all_calls_of_a_line_pay_from_one_budget() {
    let station = Station::new();
    let budget = BudgetPolicy { tokens: 20, retry_cost: 5, timeout_cost: 10 };
    let policy = Policy {
        retry: Some(RetryPolicy { budget, ..retry(3) }),
        attempt_timeout: Some(millis(30)),
        ..Policy::default()
    };
    let (line, service) = station.main(policy).await;
    service.will(times(3, || fails(lost())).into_iter().chain(times(2, hangs)));
    let tokens = || line.gates().unwrap().retry_budget().unwrap().tokens();

    ask(&line, op::PEEK).await.unwrap_err();
    assert_eq!((service.asked(), tokens()), (3, 10), "two retries");
    let error = ask(&line, op::PEEK).await.unwrap_err();
    assert_eq!((service.asked(), tokens()), (5, 0), "a retry after a time-out costs more");
    assert_eq!((stopped(&error), error.retry()), (Some("budget empty"), Retry::Exhausted));

    ask(&line, op::PEEK).await.unwrap();
    assert_eq!(tokens(), 1, "success earns");
}

#[tokio::test(start_paused = true)]
async fn layers_of_retries_do_not_multiply() {
    let station = Station::new();
    let outer = station.line("outer", retrying(3)).await;
    let middle = station.line("middle", retrying(3)).await;
    let inner = station.line("inner", retrying(3)).await;
    station.service("inner").will(times(27, || fails(lost())));
    let through = |line: &switchboard_core::Line<_>| {
        let line = line.clone();
        times(9, move || {
            let line = line.clone();
            runs(|| async move { ask(&line, op::PEEK).await })
        })
    };
    station.service("middle").will(through(&inner));
    station.service("outer").will(through(&middle));

    let error = ask(&outer, op::PEEK).await.unwrap_err();
    let asked = ["outer", "middle", "inner"].map(|name| station.service(name).asked());
    assert_eq!((asked, error.retry()), ([1, 1, 3], Retry::Exhausted));
}

#[tokio::test(start_paused = true)]
async fn the_breaker_that_opens_ends_the_attempts() {
    let station = Station::new();
    let policy = Policy { breaker: Some(breaker(2)), ..retrying(5) };
    let (line, service) = station.main(policy).await;
    service.will(times(5, || fails(lost())));
    let (result, took) = station.timed(ask(&line, op::PEEK)).await;
    let error = result.unwrap_err();
    assert_eq!((service.asked(), took), (2, millis(10)));
    assert_eq!((stopped(&error), error.message()), (Some("breaker open"), lost().message()));
}

#[tokio::test(start_paused = true)]
async fn a_retry_pays_the_limiter_and_goes_without_if_there_is_no_token() {
    let station = Station::new();
    let policy = Policy { rate_limit: Some(tokens(2)), ..retrying(5) };
    let (line, service) = station.main(policy).await;
    service.will(times(5, || fails(lost())));
    let error = ask(&line, op::PEEK).await.unwrap_err();
    assert_eq!((service.asked(), stopped(&error)), (2, Some("rate limited")));
    assert_eq!(error.message(), lost().message(), "what went wrong, not what stopped it");
}

#[tokio::test(start_paused = true)]
async fn while_one_call_waits_for_its_next_attempt_another_has_the_slot() {
    for (hold_while_waiting, expected) in [(false, Ok(2)), (true, Err(Some(Gate::Bulkhead)))] {
        let station = Station::new();
        let bulkhead = Some(BulkheadLimit { hold_while_waiting, ..slots(1) });
        let (line, service) = station.main(Policy { bulkhead, ..retrying(2) }).await;
        service.will([fails(lost())]);
        let mut failing = Box::pin(ask(&line, op::PEEK));
        assert!((&mut failing).now_or_never().is_none());
        let other = ask(&line, op::PEEK).await.map_err(|error| error.gate());
        assert_eq!(other, expected);
        failing.await.unwrap();
        check_at_rest(&line);
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_finds_no_slot_ends_with_the_error_of_its_attempt() {
    let station = Station::new();
    let (line, service) = station.main(Policy { bulkhead: Some(slots(1)), ..retrying(2) }).await;
    service.will([fails(lost()), takes(50, Ok(7))]);
    let mut failing = Box::pin(ask(&line, op::PEEK));
    assert!((&mut failing).now_or_never().is_none());
    let (other, failed) = tokio::join!(ask(&line, op::PEEK), failing);
    assert_eq!(other.unwrap(), 7);
    assert_eq!(failed.unwrap_err().message(), lost().message());
    assert_eq!(station.heard().last().unwrap(), "pump.main: peek given up after 1: bulkhead full");
    check_at_rest(&line);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_was_handed_over_is_not_sent_again() {
    let station = Station::new();
    let (line, service) = station.main(retrying(3)).await;
    service.will(times(3, || fails(refused())));
    let body = String::from("used up");
    let once = line.call_once(op::PEEK, |driver| async move {
        drop(body);
        driver.ask().await
    });
    let error = once.await.unwrap_err();
    assert_eq!((service.asked(), error.message()), (1, refused().message()));
    assert_eq!(station.heard().last().unwrap(), "pump.main: peek given up after 1: body used up");
}

#[tokio::test(start_paused = true)]
async fn an_earlier_attempt_that_may_have_worked_is_not_forgotten() {
    let station = Station::new();
    let (line, service) = station.main(retrying(2)).await;
    for (last, operation, expected) in [
        (refused(), op::SET, Outcome::Unknown),
        (Error::new(ErrorKind::AlreadyExists, "it is there"), op::SEND, Outcome::Unknown),
        // What changes nothing leaves nothing in doubt.
        (refused(), op::PEEK, Outcome::NotApplied),
    ] {
        service.will([fails(lost()), fails(last.clone())]);
        let error = ask(&line, operation).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (last.kind(), expected), "{error:?}");
    }
    service.will([fails(refused()), fails(refused())]);
    assert_eq!(ask(&line, op::SET).await.unwrap_err().outcome(), Outcome::NotApplied);
}

#[tokio::test(start_paused = true)]
async fn what_was_paid_from_the_budget_stays_paid_under_another_policy() {
    let station = Station::new();
    let (line, service) = station.main(retrying(2)).await;
    service.will(times(2, || fails(lost())));
    ask(&line, op::PEEK).await.unwrap_err();
    station.manager.retune("main", retrying(3)).unwrap();
    assert_eq!(line.gates().unwrap().retry_budget().unwrap().tokens(), 495);
}

#[tokio::test(start_paused = true)]
async fn a_retry_whose_token_comes_with_the_deadline_is_not_made() {
    let station = Station::new();
    let deadline = Some(millis(100));
    let policy = Policy { rate_limit: Some(one_in(100)), deadline, ..retrying(3) };
    let (line, service) = station.main(policy).await;
    service.will(times(3, || fails(lost())));
    let error = ask(&line, op::PEEK).await.unwrap_err();
    assert_eq!((service.asked(), error.message()), (1, lost().message()));
    assert_eq!(station.heard().last().unwrap(), "pump.main: peek given up after 1: no time left");
}
