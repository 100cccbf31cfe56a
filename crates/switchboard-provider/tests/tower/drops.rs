//! Calls that are dropped at any await leave every gate as it was.

use std::collections::BTreeSet;
use std::sync::Arc;

use switchboard_core::{
    AttemptTimeout, Breaker, BreakerState, Bulkhead, Clock, Effect, Policy, RetryBudget,
};
use switchboard_provider::bridge::tower::{
    AttemptTimeoutLayer, BreakerLayer, BulkheadLayer, DeadlineLayer, FallbackLayer, GatesLayer,
    RateLimitLayer, RetryLayer,
};
use switchboard_testkit::{Answer, drop_at_every_await};
use tower::{Layer, ServiceBuilder, ServiceExt};

use crate::station::{
    Scripted, all_of, breaker, bulkhead, counted, limiter, lost, one_a_second, one_slot,
    opens_after, script, seconds, thrice,
};

/// Fails once after a second, and answers the next time after another.
fn fails_once() -> Scripted {
    Scripted::new(&script([
        Answer::fail(lost()).after(seconds(1)),
        Answer::reply(7_u32).after(seconds(1)),
    ]))
}

fn check_at_rest(bulkhead: &Bulkhead, breaker: &Breaker) {
    assert_eq!((bulkhead.in_use(), bulkhead.waiting()), (0, 0));
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_stack_of_all_gates_may_be_dropped_at_any_await() {
    let (limiter, bulkhead, breaker) = (limiter(9), bulkhead(9), breaker(1000));
    let clock = Clock::system();
    let retry = RetryLayer::new(thrice(), clock.clone()).unwrap().with_effect(Effect::Read);
    let layers = ServiceBuilder::new()
        .layer(FallbackLayer::new(async |_, error| Err(error)))
        .layer(DeadlineLayer::new(seconds(99), clock.clone()))
        .layer(RateLimitLayer::new(limiter.clone()))
        .layer(BulkheadLayer::new(bulkhead.clone()))
        .layer(retry)
        .layer(BreakerLayer::new(breaker.clone()))
        .layer(AttemptTimeoutLayer::new(AttemptTimeout::new(seconds(9))));
    let make = async || {
        // The call waits for a token, then for a slot, which another gives back a little later.
        limiter.drain(seconds(1));
        let taken = bulkhead.try_acquire().unwrap();
        let giving_back = async move {
            tokio::time::sleep(seconds(2)).await;
            drop(taken);
        };
        let call = layers.service(fails_once()).oneshot(7);
        tokio::join!(biased; giving_back, call).1.unwrap()
    };
    let mut seen = BTreeSet::new();
    let check = async |_| {
        check_at_rest(&bulkhead, &breaker);
        seen.insert(counted(&breaker));
    };
    // For the token, the slot, two attempts, and the back-off between them; and once more because
    // who gives the slot back wakes the task that both are part of.
    assert_eq!(drop_at_every_await(make, check).await, 6);
    assert!(seen.len() > 2, "attempts that ended were counted: {seen:?}");
}

#[tokio::test(start_paused = true)]
async fn gates_in_one_layer_may_be_dropped_at_any_await() {
    let gates = all_of(Policy {
        deadline: Some(seconds(99)),
        rate_limit: Some(one_a_second(9)),
        bulkhead: Some(one_slot(9)),
        breaker: Some(opens_after(1000)),
        retry: Some(thrice()),
        attempt_timeout: Some(seconds(9)),
        ..Policy::default()
    });
    let layer = GatesLayer::new(gates.clone()).with_effect(Effect::Read);
    let make = || {
        gates.rate_limiter().unwrap().drain(seconds(1));
        layer.layer(fails_once()).oneshot(7)
    };
    let check = async |_| check_at_rest(gates.bulkhead().unwrap(), gates.breaker().unwrap());
    // For the token, two attempts, and the back-off between them, which outlasts the second token.
    assert_eq!(drop_at_every_await(make, check).await, 4);
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_is_dropped_is_spent() {
    let budget = Arc::new(RetryBudget::default());
    let retry = RetryLayer::new(thrice(), Clock::system()).unwrap();
    let layer = retry.with_effect(Effect::Read).with_budget(budget.clone());
    let mut left = Vec::new();
    let check = async |_| left.push(budget.tokens());
    drop_at_every_await(|| layer.layer(fails_once()).oneshot(7), check).await;
    // Never polled, in the first attempt, asleep, in the second, and after its success.
    assert_eq!(left, [500, 500, 495, 490, 490]);
}
