//! Which clone is made ready, which is called, and what readiness is kept while a gate is waited for.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use switchboard_core::{AttemptTimeout, BreakerState, Cause, Clock, Effect, Gate, Outcome, Policy};
use switchboard_provider::RequestResponse as _;
use switchboard_provider::bridge::tower::{
    AttemptTimeoutLayer, BreakerLayer, BulkheadLayer, DeadlineLayer, FallbackLayer, GatesLayer,
    RateLimitLayer, RetryLayer, ServiceProvider, classify,
};
use switchboard_testkit::{Answer, poll_settled};
use tower::limit::ConcurrencyLimit;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

use crate::station::{
    Broken, Scripted, all_of, breaker, bulkhead, counted, limiter, lost, one_slot, opens_after,
    out_of_order, script, seconds, thrice,
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

/// Becomes ready once its clones together have failed to do so as often as this says.
#[derive(Clone, Debug)]
struct Reconnecting {
    failures_left: Arc<AtomicU32>,
    is_ready: bool,
}

impl Reconnecting {
    fn after(failures: u32) -> Self {
        Self { failures_left: Arc::new(AtomicU32::new(failures)), is_ready: false }
    }
}

impl Service<u32> for Reconnecting {
    type Response = u32;
    type Error = io::Error;
    type Future = std::future::Ready<io::Result<u32>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let failures = self.failures_left.load(Ordering::Relaxed);
        self.failures_left.store(failures.saturating_sub(1), Ordering::Relaxed);
        self.is_ready = failures == 0;
        Poll::Ready(if self.is_ready { Ok(()) } else { Err(out_of_order()) })
    }

    fn call(&mut self, request: u32) -> Self::Future {
        assert!(self.is_ready, "called although it did not become ready");
        std::future::ready(Ok(request))
    }
}

#[tokio::test(start_paused = true)]
async fn a_fallback_answers_for_a_service_that_cannot_become_ready() {
    let layer = FallbackLayer::new(async |cause, error: switchboard_core::Error| {
        assert_eq!((cause, error.outcome()), (Cause::Failed, Outcome::NotApplied));
        assert!(error.find::<io::Error>().is_some());
        Ok(99)
    });
    let mut service = layer.layer(Reconnecting::after(2));
    for expected in [99, 99, 7] {
        assert_eq!(service.ready().await.unwrap().call(7).await.unwrap(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_breaker_counts_that_a_service_cannot_become_ready() {
    let breaker = breaker(2);
    let service = BreakerLayer::new(breaker.clone()).layer(Broken);
    for calls in 1..=2 {
        let error = service.clone().oneshot(7).await.unwrap_err();
        assert_eq!((error.gate(), error.outcome()), (None, Outcome::NotApplied));
        assert_eq!(counted(&breaker), (calls, calls));
    }
    assert_eq!(breaker.state(), BreakerState::Open);
    let layer = FallbackLayer::new(async |cause, _| {
        assert_eq!(cause, Cause::Open);
        Ok(99)
    });
    assert_eq!(layer.layer(service).oneshot(7).await.unwrap(), 99);
}

#[tokio::test(start_paused = true)]
async fn that_a_service_became_ready_again_is_seen_after_a_refusal() {
    let breaker = breaker(1);
    let mut service = BreakerLayer::new(breaker).layer(Reconnecting::after(2));
    service.ready().await.unwrap().call(7).await.unwrap_err();
    let refused = service.ready().await.unwrap().call(7).await.unwrap_err();
    assert_eq!(refused.gate(), Some(Gate::Breaker));
    switchboard_testkit::advance(seconds(5)).await;
    assert_eq!(service.ready().await.unwrap().call(7).await.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_never_made_is_made_again_whatever_its_effect() {
    let retry = RetryLayer::new(thrice(), Clock::system()).unwrap();
    assert_eq!(retry.layer(Reconnecting::after(2)).oneshot(7).await.unwrap(), 7);
    let error = retry.layer(Broken).oneshot(7).await.unwrap_err();
    assert_eq!(error.context_value("attempts"), Some("3"));

    let gates = all_of(Policy { retry: Some(thrice()), ..Policy::default() });
    let layer = GatesLayer::new(gates);
    assert_eq!(layer.layer(Reconnecting::after(2)).oneshot(7).await.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn the_breaker_of_a_policy_counts_that_a_service_cannot_become_ready() {
    let gates = all_of(Policy { breaker: Some(opens_after(1)), ..Policy::default() });
    let service = GatesLayer::new(gates.clone()).layer(Broken);
    assert_eq!(service.clone().oneshot(7).await.unwrap_err().outcome(), Outcome::NotApplied);
    assert_eq!(gates.breaker().unwrap().state(), BreakerState::Open);
    assert_eq!(service.oneshot(7).await.unwrap_err().gate(), Some(Gate::Breaker));
}
