//! What a breaker around a service counts.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use switchboard_core::{Breaker, BreakerState, Error, ErrorKind, Gate};
use switchboard_provider::bridge::tower::{BreakerLayer, RateLimitLayer};
use switchboard_testkit::{Answer, advance, poll_settled};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};

use crate::station::{Scripted, breaker, counted, limiter, lost, out_of_order, script, seconds};

/// What `breaker` has counted after one call with each of `answers`.
async fn counts(breaker: &Arc<Breaker>, answers: Vec<Answer>) -> (u64, u64) {
    let calls = answers.len();
    let service = BreakerLayer::new(breaker.clone()).layer(Scripted::new(&script(answers)));
    for _ in 0..calls {
        service.clone().oneshot(7).await.ok();
    }
    counted(breaker)
}

#[tokio::test(start_paused = true)]
async fn outages_count_answers_succeed_and_cancellations_are_nothing() {
    let fails = |kind| Answer::fail(Error::new(kind, "said so"));
    let many = || breaker(100);
    assert_eq!(counts(&many(), vec![fails(ErrorKind::Timeout)]).await, (1, 1));
    assert_eq!(counts(&many(), vec![fails(ErrorKind::NotFound)]).await, (1, 0));
    assert_eq!(counts(&many(), vec![fails(ErrorKind::Cancelled)]).await, (0, 0));
    assert_eq!(counts(&many(), vec![Answer::reply(1_u32)]).await, (1, 0));
}

#[tokio::test(start_paused = true)]
async fn errors_that_nobody_knows_open_it_and_calls_are_refused_unmade() {
    let service = BreakerLayer::new(breaker(2))
        .layer(service_fn(async |_: u32| Err::<u32, _>(out_of_order())));
    for _ in 0..2 {
        assert!(service.clone().oneshot(7).await.unwrap_err().gate().is_none());
    }
    let refused = service.clone().oneshot(7).await.unwrap_err();
    assert_eq!(refused.gate(), Some(Gate::Breaker));
    assert!(refused.find::<std::io::Error>().is_some(), "the reason it opened is kept");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_counts_as_nothing_and_another_may_be_the_probe() {
    let breaker = breaker(1);
    let script = script([Answer::fail(lost()), Answer::hang()]);
    let service = BreakerLayer::new(breaker.clone()).layer(Scripted::new(&script));
    service.clone().oneshot(7).await.unwrap_err();
    advance(seconds(5)).await;

    let mut probe = Box::pin(service.clone().oneshot(7));
    assert!(poll_settled(&mut probe).await.is_pending());
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    assert_eq!(service.clone().oneshot(7).await.unwrap_err().gate(), Some(Gate::Breaker));
    drop(probe);
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    service.oneshot(7).await.unwrap();
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_by_a_gate_further_in_says_nothing_about_the_service() {
    let (outer, inner) = (breaker(100), breaker(100));
    inner.force_open();
    let limiter = limiter(0);
    limiter.try_acquire(1).unwrap();
    let check = async |refused: Result<u32, Error>, gate| {
        assert_eq!(refused.unwrap_err().gate(), Some(gate));
        assert_eq!(counted(&outer), (0, 0), "{gate}");
    };
    let service = || Scripted::new(&script([]));
    let layered = ServiceBuilder::new().layer(BreakerLayer::new(outer.clone()));
    let behind = layered.clone().layer(BreakerLayer::new(inner)).service(service());
    check(behind.oneshot(7).await, Gate::Breaker).await;
    let behind = layered.layer(RateLimitLayer::new(limiter)).service(service());
    check(behind.oneshot(7).await, Gate::RateLimit).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_tells_of_a_failure_is_counted_and_given_to_the_caller() {
    let breaker = breaker(100);
    let judge = |answer: &u32| (*answer >= 500).then(lost);
    let layer = BreakerLayer::new(breaker.clone()).judged_by(judge);
    let service = layer.layer(Scripted::new(&script([])));
    assert_eq!(service.clone().oneshot(503).await.unwrap(), 503);
    assert_eq!(service.oneshot(200).await.unwrap(), 200);
    assert_eq!(counted(&breaker), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_panic_inside_a_call_is_a_failure_and_one_beside_it_is_not() {
    let breaker = breaker(100);
    let layer = BreakerLayer::new(breaker.clone());
    let script = script([Answer::panic("while the call is made"), Answer::hang()]);
    let service = layer.layer(Scripted::new(&script));
    let making = AssertUnwindSafe(service.clone().oneshot(7)).catch_unwind();
    assert!(making.await.is_err());
    assert_eq!(counted(&breaker), (1, 1));

    let running = service_fn(async |_: u32| -> Result<u32, Error> { panic!("while it runs") });
    let running = AssertUnwindSafe(layer.layer(running).oneshot(7)).catch_unwind();
    assert!(running.await.is_err());
    assert_eq!(counted(&breaker), (2, 2));

    let beside = AssertUnwindSafe(async {
        tokio::join!(service.oneshot(7), async {
            tokio::task::yield_now().await;
            panic!("on purpose");
        })
    });
    assert!(beside.catch_unwind().await.is_err());
    assert_eq!(counted(&breaker), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn slow_calls_are_measured() {
    let policy = switchboard_core::BreakerPolicy {
        slow_after: Some(seconds(2)),
        slow_rate: 0.5,
        ..crate::station::opens_after(1)
    };
    let source = switchboard_core::Source::new("tower", "slow");
    let events = switchboard_core::Events::new();
    let clock = switchboard_core::Clock::system();
    let breaker = Arc::new(Breaker::new(policy, source, events, clock).unwrap());
    let script = script([Answer::reply(1_u32).after(seconds(1))]);
    let service = BreakerLayer::new(breaker.clone()).layer(Scripted::new(&script));
    service.clone().oneshot(7).await.unwrap();
    assert_eq!(breaker.state(), BreakerState::Closed);
    script.expect(7, Answer::reply(1_u32).after(seconds(2)));
    service.oneshot(7).await.unwrap();
    assert_eq!(breaker.state(), BreakerState::Open);
}
