//! The gates that calls may have to wait for: rate limit and bulkhead.

use std::convert::Infallible;

use futures_util::FutureExt as _;
use switchboard_core::{
    Clock, Deadline, Error, ErrorKind, Gate, KeyedRateLimiter, Outcome, RateDecision, Retry,
};
use switchboard_provider::bridge::tower::{
    BulkheadLayer, DeadlineLayer, KeyedRateLimitLayer, RateLimitLayer,
};
use switchboard_testkit::{Answer, advance, poll_settled};
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt, service_fn};

use crate::station::{Scripted, bulkhead, limiter, lost, one_a_second, script, seconds};

#[tokio::test(start_paused = true)]
async fn calls_begin_at_the_pace_of_the_limiter_in_the_order_of_their_arrival() {
    let service = ServiceBuilder::new()
        .layer(RateLimitLayer::new(limiter(9)))
        .service(service_fn(async |_: u32| Ok::<_, Infallible>(Clock::system().now())));
    let start = Clock::system().now();
    let call = || service.clone().oneshot(7);
    let (one, two, three) = tokio::join!(call(), call(), call());
    let after = [one, two, three].map(|moment| moment.unwrap() - start);
    assert_eq!(after, [seconds(0), seconds(1), seconds(2)]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_found_behind_layers_of_towers_own() {
    let mut service = ServiceBuilder::new()
        .timeout(seconds(9))
        .layer(RateLimitLayer::new(limiter(0)))
        .service(service_fn(async |request: u32| Ok::<_, Infallible>(request)));
    service.ready().await.unwrap().call(7).await.unwrap();
    let refused: BoxError = service.ready().await.unwrap().call(7).await.unwrap_err();
    let refused = refused.downcast::<Error>().unwrap();
    assert_eq!((refused.gate(), refused.outcome()), (Some(Gate::RateLimit), Outcome::NotApplied));
}

#[tokio::test(start_paused = true)]
async fn everything_under_one_layer_shares_its_gate() {
    let rate = RateLimitLayer::new(limiter(0));
    let service =
        |number: u32| service_fn(move |_: u32| async move { Ok::<_, Infallible>(number) });
    let (one, other) = (rate.layer(service(1)), rate.clone().layer(service(2)));
    assert_eq!(one.clone().oneshot(7).await.unwrap(), 1);
    assert_eq!(one.oneshot(7).await.unwrap_err().gate(), Some(Gate::RateLimit));
    assert_eq!(other.oneshot(7).await.unwrap_err().gate(), Some(Gate::RateLimit));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_turn_that_comes_after_the_deadline() {
    let limiter = limiter(9);
    limiter.try_acquire(1).unwrap();
    let service = ServiceBuilder::new()
        .layer(DeadlineLayer::new(seconds(1), Clock::system()))
        .layer(RateLimitLayer::new(limiter.clone()))
        .service(Scripted::new(&script([])));
    limiter.reserve_at(Clock::system().now(), 1, seconds(9)).map(drop).unwrap();
    let refused = service.oneshot(7).now_or_never().unwrap().unwrap_err();
    assert_eq!(refused.gate(), Some(Gate::RateLimit));
}

#[tokio::test(start_paused = true)]
async fn a_slot_is_free_with_the_answer_however_long_the_call_is_kept() {
    let bulkhead = bulkhead(9);
    let mut service = BulkheadLayer::new(bulkhead.clone()).layer(Scripted::new(&script([])));
    let mut call = service.ready().await.unwrap().call(7);
    assert_eq!(bulkhead.in_use(), 1);
    (&mut call).await.unwrap();
    assert_eq!(bulkhead.in_use(), 0);
    drop(call);
    assert_eq!(bulkhead.in_use(), 0, "and not given back twice");
}

#[tokio::test(start_paused = true)]
async fn calls_wait_in_turn_for_a_slot_and_are_refused_where_none_comes_free() {
    let script = script([Answer::reply(1_u32).after(seconds(2))]);
    let service = BulkheadLayer::new(bulkhead(3)).layer(Scripted::new(&script));
    let mut running = Box::pin(service.clone().oneshot(7));
    assert!(poll_settled(&mut running).await.is_pending());
    let mut waiting = Box::pin(service.clone().oneshot(8));
    assert!(poll_settled(&mut waiting).await.is_pending());
    assert_eq!(script.calls(), [7], "what waits is not called");
    advance(seconds(2)).await;
    assert_eq!((running.await.unwrap(), waiting.await.unwrap()), (1, 8));

    script.expect(7, Answer::hang());
    let mut stuck = Box::pin(service.clone().oneshot(7));
    assert!(poll_settled(&mut stuck).await.is_pending());
    let start = Clock::system().now();
    let refused = service.oneshot(8).await.unwrap_err();
    assert_eq!((refused.gate(), refused.outcome()), (Some(Gate::Bulkhead), Outcome::NotApplied));
    assert_eq!(Clock::system().now() - start, seconds(3));
    assert_eq!(script.calls(), [7, 8, 7]);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_slot_after_the_deadline() {
    let bulkhead = bulkhead(9);
    let _taken = bulkhead.try_acquire().unwrap();
    let layer = BulkheadLayer::new(bulkhead.clone());
    let service = layer.layer(Scripted::new(&script([])));
    let start = Clock::system().now();
    let scoped = Deadline::at(start + seconds(1)).scope(service.oneshot(7));
    assert_eq!(scoped.await.unwrap_err().gate(), Some(Gate::Bulkhead));
    assert_eq!(Clock::system().now() - start, seconds(1));
}

#[tokio::test(start_paused = true)]
async fn a_bulkhead_whose_calls_do_not_wait_refuses_at_once() {
    let script = script([Answer::hang()]);
    let service = BulkheadLayer::new(bulkhead(0)).layer(Scripted::new(&script));
    let mut running = Box::pin(service.clone().oneshot(7));
    assert!(poll_settled(&mut running).await.is_pending());
    let refused = service.oneshot(7).now_or_never().unwrap().unwrap_err();
    assert_eq!(refused.gate(), Some(Gate::Bulkhead));
    assert_eq!(script.calls(), [7]);
}

/// One cell a second for each last digit of the requests.
fn by_last_digit() -> KeyedRateLimitLayer<u32, impl Fn(&u32) -> u32 + Clone> {
    let limiter = KeyedRateLimiter::new(one_a_second(9), Clock::system()).unwrap();
    KeyedRateLimitLayer::new(limiter, |request: &u32| request % 10)
}

#[tokio::test(start_paused = true)]
async fn each_key_has_a_limit_of_its_own_which_all_services_under_the_layer_share() {
    let (layer, script) = (by_last_digit(), script([]));
    let service = layer.layer(Scripted::new(&script));
    assert_eq!(service.clone().oneshot(17).await.unwrap(), 17);
    let refused = layer.layer(Scripted::new(&script)).oneshot(27).now_or_never().unwrap();
    let refused = refused.unwrap_err();
    assert_eq!((refused.gate(), refused.outcome()), (Some(Gate::RateLimit), Outcome::NotApplied));
    assert_eq!(refused.retry(), Retry::After(seconds(1)));
    assert_eq!(service.clone().oneshot(18).await.unwrap(), 18);
    advance(seconds(1)).await;
    assert_eq!(service.oneshot(27).await.unwrap(), 27);
    assert_eq!(script.calls(), [17, 18, 27], "what is refused is not called");
}

#[tokio::test(start_paused = true)]
async fn what_was_decided_is_written_into_the_answers_of_calls_that_went_on() {
    let layer = by_last_digit().announced_by(|decision: &RateDecision, answer: &mut u32| {
        assert!(decision.allowed);
        *answer += 100 * u32::try_from(decision.reset_seconds()).unwrap();
    });
    let script = script([Answer::fail(lost())]);
    let service = layer.layer(Scripted::new(&script));
    assert_eq!(service.clone().oneshot(8).await.unwrap(), 108);
    assert_eq!(service.clone().oneshot(8).await.unwrap_err().kind(), ErrorKind::RateLimited);
    assert_eq!(service.oneshot(7).await.unwrap_err().kind(), ErrorKind::Unavailable);
}
