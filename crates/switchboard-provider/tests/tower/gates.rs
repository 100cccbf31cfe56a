//! All gates of a policy as one layer.

use std::convert::Infallible;
use std::mem;
use std::sync::{Arc, Mutex, Weak};

use switchboard_core::{
    BreakerState, Clock, Effect, Error, ErrorKind, Gate, HedgeAfter, HedgePolicy, Outcome, Policy,
    Retry,
};
use switchboard_provider::bridge::tower::{GatesLayer, RetryLayer};
use switchboard_testkit::{Answer, advance, poll_settled};
use tower::{Layer, Service as _, ServiceBuilder, ServiceExt, service_fn};

use crate::station::{
    Scripted, all_of, lost, one_a_second, one_slot, opens_after, out_of_order, script, seconds,
    thrice,
};

#[tokio::test(start_paused = true)]
async fn the_gates_know_of_each_other() {
    let gates = all_of(Policy {
        rate_limit: Some(one_a_second(9)),
        bulkhead: Some(one_slot(9)),
        breaker: Some(opens_after(2)),
        retry: Some(thrice()),
        attempt_timeout: Some(seconds(1)),
        ..Policy::default()
    });
    let script = script([Answer::hang(), Answer::fail(lost())]);
    let layer = GatesLayer::new(gates.clone()).with_effect(Effect::Read);
    let service = layer.layer(Scripted::new(&script));
    let mut call = Box::pin(service.clone().oneshot(7));
    assert!(poll_settled(&mut call).await.is_pending());
    assert_eq!(gates.bulkhead().unwrap().in_use(), 1);
    advance(seconds(1)).await;
    assert!(poll_settled(&mut call).await.is_pending());
    assert_eq!(gates.bulkhead().unwrap().in_use(), 0, "free while it waits to try again");
    let error = call.await.unwrap_err();
    assert_eq!(error.context_value("stopped"), Some("breaker open"));
    assert_eq!((script.calls().len(), error.retry()), (2, Retry::Exhausted));
    assert_eq!(gates.breaker().unwrap().state(), BreakerState::Open);
    assert_eq!(service.oneshot(7).await.unwrap_err().gate(), Some(Gate::Breaker));
}

#[tokio::test(start_paused = true)]
async fn a_foreign_error_goes_through_all_gates_and_stays_the_cause() {
    let gates = all_of(Policy { retry: Some(thrice()), ..Policy::default() });
    let failing = || service_fn(async |_: u32| Err::<u32, _>(out_of_order()));
    let unsafe_twice = GatesLayer::new(gates.clone()).layer(failing());
    let error = unsafe_twice.oneshot(7).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unexpected, Outcome::Unknown));
    assert_eq!(error.context_value("attempts"), None);

    let read = GatesLayer::new(gates).with_effect(Effect::Read).layer(failing());
    let error = read.oneshot(7).await.unwrap_err();
    assert_eq!(error.context_value("attempts"), Some("3"));
    assert!(error.find::<std::io::Error>().is_some());
}

#[tokio::test(start_paused = true)]
async fn towers_map_err_says_what_a_service_means() {
    let gates = all_of(Policy { breaker: Some(opens_after(1)), ..Policy::default() });
    let service = ServiceBuilder::new()
        .layer(GatesLayer::new(gates.clone()))
        .map_err(|error: std::io::Error| {
            Error::new(ErrorKind::NotFound, "no such number").with_source(error)
        })
        .service(service_fn(async |_: u32| Err::<u32, _>(out_of_order())));
    assert_eq!(service.oneshot(7).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(gates.breaker().unwrap().state(), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_failing_answer_is_given_out_only_if_it_was_the_last() {
    let judge = |answer: &u32| (*answer >= 500).then(lost);
    let ends = async |answers: [Answer; 3]| {
        let gates = all_of(Policy {
            retry: Some(thrice()),
            attempt_timeout: Some(seconds(1)),
            ..Policy::default()
        });
        let layer = GatesLayer::new(gates).with_effect(Effect::Read).judged_by(judge);
        layer.layer(Scripted::new(&script(answers))).oneshot(7).await
    };
    let bad = |answer: u32| Answer::reply(answer);
    assert_eq!(ends([bad(500), bad(501), bad(502)]).await.unwrap(), 502);
    assert_eq!(ends([bad(500), Answer::fail(lost()), bad(200)]).await.unwrap(), 200);
    let late = ends([bad(500), bad(501), Answer::hang()]).await.unwrap_err();
    assert_eq!(late.gate(), Some(Gate::AttemptTimeout));
    let failed = ends([bad(500), bad(501), Answer::fail(lost())]).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_beside_a_slow_one_is_made_on_a_clone_of_its_own() {
    let after = HedgeAfter::Delay(seconds(1));
    let hedge = HedgePolicy { after, ..HedgePolicy::default() };
    let gates = all_of(Policy { hedge: Some(hedge), ..Policy::default() });
    let script = script([Answer::hang()]);
    let layer = GatesLayer::new(gates).with_effect(Effect::Read);
    assert_eq!(layer.layer(Scripted::new(&script)).oneshot(7).await.unwrap(), 7);
    assert_eq!(script.calls(), [7, 7]);
}

#[tokio::test(start_paused = true)]
async fn what_the_first_attempt_failed_with_is_not_hidden_by_a_failing_answer_beside_it() {
    let hedge = HedgePolicy { after: HedgeAfter::Delay(seconds(1)), ..HedgePolicy::default() };
    let gates = all_of(Policy { hedge: Some(hedge), ..Policy::default() });
    let judge = |answer: &u32| (*answer >= 500).then(lost);
    let layer = GatesLayer::new(gates).with_effect(Effect::Read).judged_by(judge);
    let late = Error::new(ErrorKind::Timeout, "no answer");
    let script = script([Answer::fail(late).after(seconds(3)), Answer::reply(503_u32)]);
    let error = layer.layer(Scripted::new(&script)).oneshot(7).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
}

/// An answer may hold a connection.
#[tokio::test(start_paused = true)]
async fn a_failing_answer_is_let_go_before_the_next_attempt() {
    let failing = || {
        let last = Mutex::new(Weak::new());
        service_fn(move |_: u32| {
            let answer = Arc::new(());
            let before = mem::replace(&mut *last.lock().unwrap(), Arc::downgrade(&answer));
            assert!(before.upgrade().is_none());
            async { Ok::<_, Infallible>(answer) }
        })
    };
    let service = || {
        let failing = Arc::new(Mutex::new(failing()));
        service_fn(move |request: u32| failing.lock().unwrap().call(request))
    };
    let judge = |_: &Arc<()>| Some(lost());
    let gates = all_of(Policy { retry: Some(thrice()), ..Policy::default() });
    let layer = GatesLayer::new(gates).with_effect(Effect::Read).judged_by(judge);
    layer.layer(service()).oneshot(7).await.unwrap();
    let retry = RetryLayer::new(thrice(), Clock::system()).unwrap();
    let layer = retry.with_effect(Effect::Read).judged_by(judge);
    layer.layer(service()).oneshot(7).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn clones_and_services_under_one_layer_share_the_gates() {
    let limit = one_a_second(0);
    let gates = all_of(Policy { rate_limit: Some(limit), ..Policy::default() });
    let layer = GatesLayer::new(gates);
    let (one, other) = (layer.layer(Scripted::new(&script([]))), Scripted::new(&script([])));
    one.clone().oneshot(7).await.unwrap();
    assert_eq!(one.oneshot(7).await.unwrap_err().gate(), Some(Gate::RateLimit));
    let other = layer.layer(other);
    assert_eq!(other.oneshot(7).await.unwrap_err().gate(), Some(Gate::RateLimit));
}
