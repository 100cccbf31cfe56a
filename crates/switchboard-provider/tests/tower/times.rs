//! Attempt time-out, deadline and fallback.

use switchboard_core::{AttemptTimeout, Cause, Clock, Deadline, Error, ErrorKind, Gate, Outcome};
use switchboard_provider::bridge::tower::{
    AttemptTimeoutLayer, DeadlineLayer, DeadlineService, FallbackLayer,
};
use switchboard_testkit::{Answer, drop_at_every_await};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

use crate::station::{Scripted, lost, out_of_order, script, seconds};

#[tokio::test(start_paused = true)]
async fn an_attempt_ends_when_its_time_is_over_and_nobody_knows_what_it_did() {
    let script = script([Answer::reply(1_u32).after(seconds(1)), Answer::hang()]);
    let layer = AttemptTimeoutLayer::new(AttemptTimeout::new(seconds(2)));
    let service = layer.layer(Scripted::new(&script));
    assert_eq!(service.clone().oneshot(7).await.unwrap(), 1);
    let start = Clock::system().now();
    let late = service.oneshot(7).await.unwrap_err();
    assert_eq!((late.gate(), late.outcome()), (Some(Gate::AttemptTimeout), Outcome::Unknown));
    assert_eq!(Clock::system().now() - start, seconds(2));
}

#[tokio::test(start_paused = true)]
async fn what_is_called_inherits_the_earlier_of_two_deadlines() {
    let inherited = service_fn(|()| {
        // Already while the future is being made.
        let making = Deadline::current();
        async move { Ok::<_, Error>((making, Deadline::current())) }
    });
    let service = DeadlineLayer::new(seconds(2), Clock::system()).layer(inherited);
    let now = Clock::system().now();
    let own = Deadline::at(now + seconds(2));
    let asked =
        |mut service: DeadlineService<_>| async move { service.ready().await?.call(()).await };
    assert_eq!(asked(service.clone()).await.unwrap(), (Some(own), Some(own)));

    let earlier = Deadline::at(now + seconds(1));
    let inside = earlier.scope(asked(service.clone())).await.unwrap();
    assert_eq!(inside, (Some(earlier), Some(earlier)));
    let later = Deadline::at(now + seconds(3));
    assert_eq!(later.scope(asked(service)).await.unwrap(), (Some(own), Some(own)));
    assert_eq!(Deadline::current(), None);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_a_call_and_one_that_has_passed_lets_none_begin() {
    let script = script([Answer::hang()]);
    let service = DeadlineLayer::new(seconds(2), Clock::system()).layer(Scripted::new(&script));
    let late = service.clone().oneshot(7).await.unwrap_err();
    assert_eq!((late.gate(), late.outcome()), (Some(Gate::Deadline), Outcome::Unknown));

    script.expect(7, Answer::hang());
    let start = Clock::system().now();
    let earlier = Deadline::at(start + seconds(1));
    let late = earlier.scope(service.clone().oneshot(7)).await.unwrap_err();
    assert_eq!((late.gate(), Clock::system().now() - start), (Some(Gate::Deadline), seconds(1)));

    let over = Deadline::at(Clock::system().now());
    let refused = over.scope(service.oneshot(7)).await.unwrap_err();
    assert_eq!((refused.gate(), refused.outcome()), (Some(Gate::Deadline), Outcome::NotApplied));
    assert_eq!(script.calls(), [7, 7]);
}

#[tokio::test(start_paused = true)]
async fn a_fallback_answers_where_the_service_could_not_be_had() {
    let fail = |error| Answer::fail(error);
    let not_found = || Error::new(ErrorKind::NotFound, "no such number");
    let script = script([fail(lost()), fail(not_found()), Answer::reply(3_u32)]);
    let service = FallbackLayer::new(async |cause, error: Error| {
        assert_eq!((cause, error.kind()), (Cause::Failed, ErrorKind::Unavailable));
        Ok(99)
    })
    .layer(Scripted::new(&script));
    assert_eq!(service.clone().oneshot(7).await.unwrap(), 99);
    assert_eq!(service.clone().oneshot(7).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(service.oneshot(7).await.unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn when_the_fallback_fails_too_both_errors_are_kept() {
    let service = ServiceBuilder::new()
        .layer(FallbackLayer::new(async |_, _| Err(Error::new(ErrorKind::NotFound, "none kept"))))
        .service(service_fn(async |_: u32| Err::<u32, _>(out_of_order())));
    let both = service.oneshot(7).await.unwrap_err();
    assert_eq!(both.kind(), ErrorKind::NotFound);
    assert!(both.related()[0].find::<std::io::Error>().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_fallback_may_be_dropped_while_it_answers() {
    let service = FallbackLayer::new(async |_, _| {
        tokio::time::sleep(seconds(1)).await;
        Ok(99)
    });
    let make = || {
        let script = script([Answer::fail(lost()).after(seconds(1))]);
        service.layer(Scripted::new(&script)).oneshot(7)
    };
    assert_eq!(drop_at_every_await(make, async |_| {}).await, 2);
}
