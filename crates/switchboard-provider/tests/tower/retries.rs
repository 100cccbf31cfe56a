//! The retry loop around a service.

use std::sync::Arc;

use switchboard_core::{
    BudgetPolicy, Clock, Effect, Error, ErrorKind, Gate, Outcome, Retry, RetryBudget,
};
use switchboard_provider::bridge::tower::{
    AttemptTimeoutLayer, BreakerLayer, DeadlineLayer, RateLimitLayer, RetryLayer,
};
use switchboard_testkit::{Answer, Script};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};

use crate::station::{Scripted, breaker, limiter, lost, out_of_order, script, seconds, thrice};

fn retry() -> RetryLayer {
    RetryLayer::new(thrice(), Clock::system()).unwrap()
}

fn failing(error: &Error) -> Script<u32> {
    let (script, error) = (Script::new(), error.clone());
    script.otherwise(move |_| Answer::fail(error.clone()));
    script
}

#[tokio::test(start_paused = true)]
async fn what_may_have_happened_is_tried_again_only_if_that_is_harmless() {
    let unknown = lost();
    let not_applied = lost().not_applied();
    let applied = lost().with_outcome(Outcome::Applied);
    let hopeless = lost().with_retry(Retry::Never);
    let answer = Error::new(ErrorKind::NotFound, "no such number").retry_later();
    let cancelled = Error::new(ErrorKind::Cancelled, "the caller left").retry_later();
    for (effect, error, attempts) in [
        (Effect::Unsafe, &unknown, 1),
        (Effect::Read, &unknown, 3),
        (Effect::Idempotent, &unknown, 3),
        (Effect::Keyed, &unknown, 3),
        (Effect::Unsafe, &not_applied, 3),
        (Effect::Read, &applied, 1),
        (Effect::Read, &hopeless, 1),
        (Effect::Read, &answer, 1),
        (Effect::Read, &cancelled, 1),
    ] {
        let script = failing(error);
        let service = retry().with_effect(effect).layer(Scripted::new(&script));
        let ended = service.oneshot(7).await.unwrap_err();
        assert_eq!(script.calls().len(), attempts, "{effect}, {error}");
        let exhausted = attempts > 1;
        assert_eq!(ended.retry() == Retry::Exhausted, exhausted, "{effect}, {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_nobody_said_anything_of_is_not_repeated_and_its_error_stays_as_it_is() {
    let failing = service_fn(async |_: u32| Err::<u32, _>(out_of_order()));
    let error = retry().layer(failing).oneshot(7).await.unwrap_err();
    assert_eq!(error.context_value("attempts"), None);
    assert!(error.find::<std::io::Error>().is_some());
}

#[tokio::test(start_paused = true)]
async fn the_effect_may_be_told_by_the_request() {
    let script = failing(&lost());
    let reads_below_ten = |request: &u32| if *request < 10 { Effect::Read } else { Effect::Unsafe };
    let service = retry().with_effect(reads_below_ten).layer(Scripted::new(&script));
    service.clone().oneshot(7).await.unwrap_err();
    service.oneshot(17).await.unwrap_err();
    assert_eq!(script.calls(), [7, 7, 7, 17]);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_follows_after_the_back_off_and_its_answer_is_the_answer() {
    let script = script([Answer::fail(lost()), Answer::fail(lost().retry_after(seconds(4)))]);
    let service = retry().with_effect(Effect::Read).layer(Scripted::new(&script));
    let start = Clock::system().now();
    assert_eq!(service.oneshot(7).await.unwrap(), 7);
    assert_eq!(Clock::system().now() - start, seconds(1 + 4), "as the service asked");
}

#[tokio::test(start_paused = true)]
async fn that_the_last_attempt_did_nothing_does_not_undo_the_first() {
    let refused = || Answer::fail(lost().not_applied());
    let ends = async |first: Answer, effect| {
        let script = script([first, refused(), refused()]);
        let service = retry().with_effect(effect).layer(Scripted::new(&script));
        service.oneshot(7).await.unwrap_err().outcome()
    };
    assert_eq!(ends(Answer::fail(lost()), Effect::Idempotent).await, Outcome::Unknown);
    assert_eq!(ends(Answer::fail(lost()), Effect::Read).await, Outcome::NotApplied);
    assert_eq!(ends(refused(), Effect::Idempotent).await, Outcome::NotApplied);
}

#[tokio::test(start_paused = true)]
async fn all_services_that_share_a_budget_pay_from_it() {
    let policy = BudgetPolicy { tokens: 12, ..BudgetPolicy::default() };
    let budget = Arc::new(RetryBudget::new(policy).unwrap());
    let layer = retry().with_effect(Effect::Read).with_budget(budget.clone());
    let script = failing(&lost());
    let (one, other) = (layer.layer(Scripted::new(&script)), layer.layer(Scripted::new(&script)));
    one.oneshot(7).await.unwrap_err();
    let broke = other.clone().oneshot(7).await.unwrap_err();
    assert_eq!((script.calls().len(), budget.tokens()), (3 + 1, 2));
    assert_eq!(broke.context_value("stopped"), Some("budget empty"));

    script.otherwise(|_| Answer::fail(Error::new(ErrorKind::NotFound, "no such number")));
    other.clone().oneshot(7).await.unwrap_err();
    assert_eq!(budget.tokens(), 3, "an answer earns what a success earns");
    script.otherwise(|_| Answer::reply(7_u32));
    other.oneshot(7).await.unwrap();
    assert_eq!(budget.tokens(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_succeeds_earns_back_what_it_cost() {
    let budget = Arc::new(RetryBudget::default());
    let layer = retry().with_effect(Effect::Read).with_budget(budget.clone());
    let script = script([Answer::fail(lost()), Answer::fail(lost())]);
    layer.layer(Scripted::new(&script)).oneshot(7).await.unwrap();
    assert_eq!(budget.tokens(), 500 - 5);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_tells_of_a_failure_is_tried_again_and_given_out_in_the_end() {
    let script = script([Answer::reply(503_u32), Answer::reply(200_u32)]);
    let judge = |answer: &u32| (*answer >= 500).then(lost);
    let service = retry().with_effect(Effect::Read).judged_by(judge).layer(Scripted::new(&script));
    assert_eq!(service.clone().oneshot(7).await.unwrap(), 200);
    script.otherwise(|_| Answer::reply(503_u32));
    assert_eq!(service.oneshot(7).await.unwrap(), 503);
    assert_eq!(script.calls().len(), 2 + 3);
}

#[tokio::test(start_paused = true)]
async fn no_attempt_begins_after_the_deadline() {
    let script = failing(&lost());
    let service = ServiceBuilder::new()
        .layer(DeadlineLayer::new(seconds(2), Clock::system()))
        .layer(retry().with_effect(Effect::Read))
        .service(Scripted::new(&script));
    let error = service.oneshot(7).await.unwrap_err();
    assert_eq!(error.context_value("stopped"), Some("no time left"));
    assert_eq!(script.calls().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn gates_inside_the_loop_are_passed_by_every_attempt() {
    let script = failing(&lost());
    let breaker = breaker(2);
    let service = ServiceBuilder::new()
        .layer(retry().with_effect(Effect::Read))
        .layer(RateLimitLayer::new(limiter(9)))
        .layer(BreakerLayer::new(breaker))
        .layer(AttemptTimeoutLayer::new(switchboard_core::AttemptTimeout::new(seconds(9))))
        .service(Scripted::new(&script));
    let error = service.oneshot(7).await.unwrap_err();
    assert_eq!(error.gate(), Some(Gate::Breaker), "it opened, and there is no going on");
    assert_eq!(error.context_value("stopped"), Some("breaker open"));
    assert_eq!(error.retry(), Retry::Exhausted);
    assert_eq!(script.calls().len(), 2);
}

#[test]
fn a_policy_that_cannot_be_is_refused() {
    let none = switchboard_core::RetryPolicy { attempts: 0, ..thrice() };
    assert_eq!(RetryLayer::new(none, Clock::system()).unwrap_err().kind(), ErrorKind::Config);
}
