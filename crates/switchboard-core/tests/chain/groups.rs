//! Groups of lines that have gates of their own.

use std::time::Duration;

use switchboard_core::{ErrorKind, Gate, Line, Outcome, Policy, Priority, Retry};

use crate::station::{
    Pumps, Station, ask, breaker, check_at_rest, fail, fails, hangs, lost, millis, op, refused,
    retry, slots, times, tokens, tokens_left,
};

struct Pair {
    station: Station,
    first: Line<Pumps>,
    second: Line<Pumps>,
    both: Line<Pumps>,
}

async fn pair(first: Policy, second: Policy) -> Pair {
    let station = Station::new();
    let first = station.line("first", first).await;
    let second = station.line("second", second).await;
    station.manager.group("both", &["first", "second"], Priority).unwrap();
    let both = station.manager.get("both").await.unwrap();
    Pair { station, first, second, both }
}

impl Pair {
    fn asked(&self) -> (u32, u32) {
        (self.station.service("first").asked(), self.station.service("second").asked())
    }
}

fn retrying() -> Policy {
    Policy { retry: Some(retry(3)), ..Policy::default() }
}

#[tokio::test(start_paused = true)]
async fn a_group_takes_a_deadline_and_no_other_gate() {
    let pair = pair(Policy::default(), Policy::default()).await;
    let refused = [
        Policy { rate_limit: Some(tokens(1)), ..Policy::default() },
        Policy { bulkhead: Some(slots(1)), ..Policy::default() },
        Policy { breaker: Some(breaker(1)), ..Policy::default() },
        retrying(),
        Policy { attempt_timeout: Some(millis(9)), ..Policy::default() },
    ];
    for policy in refused {
        let error = pair.station.manager.retune("both", policy).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
    }
    let deadline = Policy { deadline: Some(millis(50)), ..Policy::default() };
    pair.station.manager.retune("both", deadline).unwrap();
}

#[tokio::test(start_paused = true)]
async fn its_deadline_covers_all_members_together() {
    let gates = Policy { attempt_timeout: Some(millis(30)), ..Policy::default() };
    let pair = pair(gates.clone(), gates).await;
    let deadline = Policy { deadline: Some(millis(50)), ..Policy::default() };
    pair.station.manager.retune("both", deadline).unwrap();
    pair.station.service("first").will([hangs()]);
    pair.station.service("second").will([hangs()]);
    let (result, took) = pair.station.timed(ask(&pair.both, op::PEEK)).await;
    let error = result.unwrap_err();
    assert_eq!((took, pair.asked()), (millis(50), (1, 1)));
    assert_eq!(error.gate(), Some(Gate::Deadline));
    let gates: Vec<_> = error.related().iter().map(|error| error.gate().unwrap()).collect();
    assert_eq!(gates, [Gate::AttemptTimeout], "what the first one met");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_of_a_member_leaves_time_for_the_others() {
    let own = Policy { deadline: Some(millis(20)), ..Policy::default() };
    let pair = pair(own, Policy::default()).await;
    let deadline = Policy { deadline: Some(millis(50)), ..Policy::default() };
    pair.station.manager.retune("both", deadline).unwrap();
    pair.station.service("first").will([hangs()]);
    let (result, took) = pair.station.timed(ask(&pair.both, op::PEEK)).await;
    assert!(result.is_ok(), "{result:?}");
    assert_eq!((took, pair.asked()), (millis(20), (1, 1)));
}

#[tokio::test(start_paused = true)]
async fn a_member_is_not_asked_after_the_deadline() {
    for second in [Policy::default(), Policy { bulkhead: Some(slots(1)), ..Policy::default() }] {
        let pair = pair(Policy::default(), second).await;
        let deadline = Policy { deadline: Some(millis(50)), ..Policy::default() };
        pair.station.manager.retune("both", deadline).unwrap();
        pair.station.service("first").will([hangs()]);
        let error = ask(&pair.both, op::PEEK).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::Unknown));
        assert_eq!(pair.asked(), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_makes_its_own_attempts_before_the_next_is_asked() {
    let pair = pair(retrying(), retrying()).await;
    pair.station.service("first").will(times(3, || fails(lost())));
    pair.station.service("second").will([fails(lost())]);
    assert_eq!(ask(&pair.both, op::PEEK).await.unwrap(), 2);
    assert_eq!(pair.asked(), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn what_may_have_happened_is_not_done_elsewhere_unless_that_is_harmless() {
    let pair = pair(retrying(), retrying()).await;
    for (operation, goes_on) in [
        (op::POUR, false),
        (op::SET, true),
        (op::POUR.with_effect(switchboard_core::Effect::Keyed), true),
    ] {
        pair.station.service("first").will(times(3, || fails(lost())));
        let before = pair.asked();
        assert_eq!(ask(&pair.both, operation).await.is_ok(), goes_on);
        let after = pair.asked();
        let attempts = if goes_on { (3, 1) } else { (1, 0) };
        assert_eq!((after.0 - before.0, after.1 - before.1), attempts);
        pair.station.service("first").forget_script();
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_whose_breaker_is_open_is_passed_over_at_no_cost() {
    let first =
        Policy { rate_limit: Some(tokens(5)), breaker: Some(breaker(1)), ..Policy::default() };
    let pair = pair(first, Policy::default()).await;
    pair.station.service("first").will([fails(lost())]);
    fail(&pair.first, 1).await;
    // Even what must not be done twice goes on, since nothing was done.
    let ten_calls = async {
        for _ in 0..10 {
            ask(&pair.both, op::POUR).await.unwrap();
        }
    };
    let ((), took) = pair.station.timed(ten_calls).await;
    assert_eq!((took, pair.asked()), (Duration::ZERO, (1, 10)));
    assert_eq!(tokens_left(&pair.first), 4);
}

#[tokio::test(start_paused = true)]
async fn a_full_member_passes_its_calls_to_the_next() {
    let pair =
        pair(Policy { bulkhead: Some(slots(1)), ..Policy::default() }, Policy::default()).await;
    let gates = pair.first.gates().unwrap();
    let _slot = gates.bulkhead().unwrap().try_acquire().unwrap();
    assert_eq!(ask(&pair.both, op::POUR).await.unwrap(), 1);
    assert_eq!(pair.asked(), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_body_goes_to_the_next_member_until_one_has_been_given_it() {
    let pair = pair(Policy { breaker: Some(breaker(1)), ..Policy::default() }, retrying()).await;
    pair.first.gates().unwrap().breaker().unwrap().force_open();
    pair.station.service("second").will([fails(refused())]);
    let once = pair.both.call_once(op::SET, |driver| async move { driver.ask().await });
    assert_eq!(once.await.unwrap_err().message(), refused().message());
    assert_eq!(pair.asked(), (0, 1));

    pair.first.gates().unwrap().breaker().unwrap().reset();
    pair.station.service("first").will([fails(refused())]);
    let once = pair.both.call_once(op::SET, |driver| async move { driver.ask().await });
    once.await.unwrap_err();
    assert_eq!(pair.asked(), (1, 1), "the body was given to the first");
}

#[tokio::test(start_paused = true)]
async fn what_a_group_opened_keeps_the_slot_of_the_member_that_opened_it() {
    let one = || Policy { bulkhead: Some(slots(1)), ..Policy::default() };
    let pair = pair(one(), one()).await;
    let open = || pair.both.open(op::PEEK, |driver| async move { driver.ask().await });
    let first = open().await.unwrap();
    let second = open().await.unwrap();
    assert_eq!(pair.asked(), (1, 1));
    let error = open().await.unwrap_err();
    assert_eq!((error.kind(), error.related().len()), (ErrorKind::Overloaded, 2));
    drop(first);
    drop(open().await.unwrap());
    drop(second);
    check_at_rest(&pair.first);
    check_at_rest(&pair.second);
}

#[tokio::test(start_paused = true)]
async fn when_all_members_fail_each_says_why_and_retries_are_not_started_over() {
    let pair = pair(retrying(), retrying()).await;
    for name in ["first", "second"] {
        pair.station.service(name).will(times(3, || fails(lost())));
    }
    let error = ask(&pair.both, op::PEEK).await.unwrap_err();
    assert_eq!((pair.asked(), error.related().len()), ((3, 3), 2));
    assert_eq!((error.retry(), error.outcome()), (Retry::Exhausted, Outcome::Unknown));
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_the_next_member_does_not_hide_what_the_first_may_have_done() {
    let pair = pair(Policy::default(), Policy::default()).await;
    let answer = switchboard_core::Error::new(ErrorKind::AlreadyExists, "it is there");
    pair.station.service("first").will([fails(lost())]);
    pair.station.service("second").will([fails(answer)]);
    let error = ask(&pair.both, op::SEND).await.unwrap_err();
    assert_eq!((error.kind(), error.related().len()), (ErrorKind::AlreadyExists, 1));
    assert_eq!(error.outcome(), Outcome::Unknown);
}
