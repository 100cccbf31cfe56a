//! Which clone is made ready, which is called, and what readiness is kept while a gate is waited for.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::Poll;

use futures_util::FutureExt as _;
use switchboard_core::{AttemptTimeout, Clock, Effect, Policy};
use switchboard_provider::RequestResponse as _;
use switchboard_provider::bridge::tower::{
    AttemptTimeoutLayer, BreakerLayer, BulkheadLayer, DeadlineLayer, FallbackLayer, GatesLayer,
    RateLimitLayer, RetryLayer, ServiceProvider, classify,
};
use switchboard_testkit::{Answer, poll_settled};
use tower::limit::ConcurrencyLimit;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

use crate::station::{
    Scripted, all_of, breaker, bulkhead, limiter, lost, one_slot, script, seconds, thrice,
};

/// Calls that the script makes wait and fail, each on a clone that was made ready for it: the service
/// panics otherwise.
#[tokio::test(start_paused = true)]
async fn every_attempt_is_made_on_a_service_that_was_made_ready_for_it() {
    let clock = Clock::system();
    let answers = || [Answer::fail(lost()), Answer::fail(lost())];
    let script = script(answers());
    let service = ServiceBuilder::new()
        .layer(FallbackLayer::new(async |_, error| Err(error)))
        .layer(DeadlineLayer::new(seconds(99), clock.clone()))
        .layer(BreakerLayer::new(breaker(99)))
        .layer(RetryLayer::new(thrice(), clock).unwrap().with_effect(Effect::Read))
        .layer(RateLimitLayer::new(limiter(9)))
        .layer(BulkheadLayer::new(bulkhead(9)))
        .layer(AttemptTimeoutLayer::new(AttemptTimeout::new(seconds(9))))
        .service(Scripted::new(&script));
    let calls = || service.clone().oneshot(7);
    let (one, other) = tokio::join!(calls(), calls());
    assert_eq!((one.unwrap(), other.unwrap()), (7, 7));
    assert_eq!(script.calls().len(), 4);

    let gates = all_of(Policy { retry: Some(thrice()), ..Policy::default() });
    let script = crate::station::script(answers());
    let layer = GatesLayer::new(gates).with_effect(Effect::Read);
    assert_eq!(layer.layer(Scripted::new(&script)).oneshot(7).await.unwrap(), 7);

    let script = crate::station::script(answers());
    let provider = ServiceProvider::new("scripted", Scripted::new(&script), classify);
    provider.execute(7).await.unwrap_err();
}

/// A service with one place, and a look at whether that is free.
fn one_place() -> (
    ConcurrencyLimit<
        impl Service<u32, Response = u32, Error = Infallible, Future: Send> + Clone + Send,
    >,
    impl Fn() -> bool,
) {
    let service = service_fn(async |request: u32| Ok::<_, Infallible>(request));
    let limited = ConcurrencyLimit::new(service, 1);
    let look = limited.clone();
    (limited, move || look.clone().ready().now_or_never().is_some())
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_a_gate_keeps_nobody_from_the_service() {
    let (service, is_free) = one_place();
    let limiter = limiter(9);
    let mut paced = RateLimitLayer::new(limiter.clone()).layer(service.clone());
    limiter.try_acquire(1).unwrap();
    let mut waiting = Box::pin(paced.ready().await.unwrap().call(7));
    assert!(poll_settled(&mut waiting).await.is_pending());
    assert!(is_free());
    assert_eq!(waiting.await.unwrap(), 7);

    let bulkhead = bulkhead(9);
    let slot = bulkhead.try_acquire().unwrap();
    let mut bounded = BulkheadLayer::new(bulkhead.clone()).layer(service.clone());
    let mut waiting = Box::pin(bounded.ready().await.unwrap().call(7));
    assert!(poll_settled(&mut waiting).await.is_pending());
    assert!(is_free());
    drop(slot);
    assert_eq!(waiting.await.unwrap(), 7);

    let gates = all_of(Policy { bulkhead: Some(one_slot(9)), ..Policy::default() });
    let slot = gates.bulkhead().unwrap().try_acquire().unwrap();
    let mut behind_all = GatesLayer::new(gates.clone()).layer(service);
    let mut waiting = Box::pin(behind_all.ready().await.unwrap().call(7));
    assert!(poll_settled(&mut waiting).await.is_pending());
    assert!(is_free());
    drop(slot);
    assert_eq!(waiting.await.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_not_ready_makes_the_gates_around_it_wait_in_poll_ready() {
    let (mut service, _) = one_place();
    let taken = service.ready().await.unwrap().call(7);
    let gates = all_of(Policy::default());
    let mut layered = ServiceBuilder::new()
        .layer(GatesLayer::new(gates))
        .layer(BulkheadLayer::new(bulkhead(9)))
        .service(service);
    let mut ready = Box::pin(layered.ready());
    assert!(poll_settled(&mut ready).await.is_pending());
    drop(taken);
    assert!(matches!(poll_settled(&mut ready).await, Poll::Ready(Ok(_))));
}

#[tokio::test(start_paused = true)]
async fn calls_of_a_provider_take_turns_at_a_service_with_one_place() {
    let (service, _) = one_place();
    let provider = Arc::new(ServiceProvider::new("one place", service, classify));
    let (one, other) = tokio::join!(provider.execute(1), provider.execute(2));
    assert_eq!((one.unwrap(), other.unwrap()), (1, 2));
}
