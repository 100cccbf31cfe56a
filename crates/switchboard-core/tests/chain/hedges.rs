//! Hedging: when another attempt is started beside one that does not answer, who wins, and what the
//! losers leave behind.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt as _;
use switchboard_core::{
    BreakerCounts, BreakerFigures, BreakerPolicy, BreakerState, BudgetPolicy, BulkheadLimit, Clock,
    Deadline, Effect, Environment, Error, ErrorKind, Gate, Gates, HedgeAfter, HedgePolicy, Line,
    OpFigures, Policy, Result, RetryPolicy, Source, execute_with_resilience,
};
use tokio::time::advance;

use crate::station::{
    Lot, Pumps, Station, ask, breaker, check_at_rest, fail, fails, hangs, lost, millis, op, panics,
    refused, retry, runs, served_by, slots, stopped, takes, times, tokens, tokens_left,
};

/// One more attempt after so many milliseconds, and nothing else.
fn hedged(ms: u64) -> Policy {
    let hedge = HedgePolicy { after: HedgeAfter::Delay(millis(ms)), max: 1 };
    Policy { hedge: Some(hedge), ..Policy::default() }
}

fn budget(line: &Line<Pumps>) -> u32 {
    line.gates().unwrap().retry_budget().unwrap().tokens()
}

fn counted(line: &Line<Pumps>, station: &Station) -> BreakerFigures {
    line.gates().unwrap().breaker().unwrap().figures_at(station.clock.now())
}

fn peeks(line: &Line<Pumps>) -> OpFigures {
    line.figures().into_iter().find(|figures| figures.operation == "peek").unwrap()
}

fn missing() -> Error {
    Error::new(ErrorKind::NotFound, "no such pump")
}

#[tokio::test(start_paused = true)]
async fn the_second_attempt_starts_after_the_delay_and_the_first_answer_wins() {
    let station = Station::new();
    let (line, service) = station.main(hedged(50)).await;
    service.will([hangs(), takes(7, Ok(7))]);
    station.heard();
    let (result, took) = station.timed(ask(&line, op::PEEK)).await;
    assert_eq!((result.unwrap(), took), (7, millis(57)));
    assert_eq!(station.heard(), ["pump.main: peek hedged after 50ms"]);
    let figures = peeks(&line);
    assert_eq!((figures.succeeded, figures.cancelled), (1, 1), "the loser was cut off");
    check_at_rest(&line);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_answers_in_time_is_left_alone() {
    let station = Station::new();
    let (line, service) = station.main(hedged(50)).await;
    service.will([takes(49, Ok(7))]);
    assert_eq!(ask(&line, op::PEEK).await.unwrap(), 7);
    assert_eq!((service.asked(), budget(&line)), (1, 500));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_fails_before_the_delay_is_retried_and_not_hedged() {
    let station = Station::new();
    let (line, service) = station.main(Policy { retry: Some(retry(2)), ..hedged(50) }).await;
    service.will([takes(49, Err(lost())), takes(7, Ok(7))]);
    let (result, took) = station.timed(ask(&line, op::PEEK)).await;
    assert_eq!((result.unwrap(), took), (7, millis(49 + 10 + 7)));
}

#[tokio::test(start_paused = true)]
async fn the_first_attempt_may_win_after_all() {
    let station = Station::new();
    let (line, service) = station.main(hedged(50)).await;
    service.will([takes(60, Ok(1)), hangs()]);
    let (result, took) = station.timed(ask(&line, op::PEEK)).await;
    assert_eq!((result.unwrap(), took, service.asked()), (1, millis(60), 2));
    // The hedge is spent; a full budget has no room for what the call earned before.
    assert_eq!(budget(&line), 496);
    check_at_rest(&line);
}

#[tokio::test(start_paused = true)]
async fn only_what_reads_is_hedged() {
    for (operation, asked) in [(op::PEEK, 2), (op::SET, 1), (op::SEND, 1), (op::POUR, 1)] {
        let station = Station::new();
        let (line, service) = station.main(hedged(50)).await;
        service.will(times(2, || takes(80, Ok(7))));
        assert_eq!(ask(&line, operation).await.unwrap(), 7);
        assert_eq!(service.asked(), asked, "{}", operation.name());

        service.will(times(2, || takes(80, Ok(7))));
        ask(&line, operation.with_effect(Effect::Read)).await.unwrap();
        assert_eq!(service.asked(), asked + 2, "{} as a read", operation.name());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_never_made_again_is_not_hedged_although_it_reads() {
    let station = Station::new();
    let (line, service) = station.main(hedged(50)).await;
    service.will([takes(80, Ok(7))]);
    assert_eq!(ask(&line, op::PEEK.without_retry()).await.unwrap(), 7);
    assert_eq!((service.asked(), budget(&line)), (1, 500));
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_body_is_used_up_is_not_hedged() {
    let station = Station::new();
    let (line, service) = station.main(hedged(50)).await;
    service.will([takes(80, Ok(7))]);
    let once = line.call_once(op::PEEK, |driver| async move { driver.ask().await });
    assert_eq!(once.await.unwrap(), 7);
    assert_eq!((service.asked(), budget(&line)), (1, 500));
}

#[tokio::test(start_paused = true)]
async fn as_many_are_started_as_allowed_each_after_the_delay() {
    let station = Station::new();
    let hedge = HedgePolicy { after: HedgeAfter::Delay(millis(50)), max: 3 };
    let (line, service) = station.main(Policy { hedge: Some(hedge), ..hedged(50) }).await;
    service.will([hangs(), hangs(), hangs(), takes(100, Ok(4))]);
    station.heard();
    let (result, took) = station.timed(ask(&line, op::PEEK)).await;
    assert_eq!((result.unwrap(), took, service.asked()), (4, millis(250), 4));
    let after = ["50ms", "100ms", "150ms"];
    assert_eq!(station.heard(), after.map(|after| format!("pump.main: peek hedged after {after}")));
    assert_eq!(budget(&line), 490, "three were charged, and the one that answered was paid back");
}

#[tokio::test(start_paused = true)]
async fn a_hedge_that_answers_is_paid_back_and_one_that_does_not_is_not() {
    let station = Station::new();
    let own = BudgetPolicy { tokens: 20, retry_cost: 6, timeout_cost: 9 };
    let retry = RetryPolicy { budget: own, ..retry(1) };
    let (line, service) = station.main(Policy { retry: Some(retry), ..hedged(50) }).await;
    service.will([hangs(), takes(7, Ok(7))]);
    ask(&line, op::PEEK).await.unwrap();
    assert_eq!(budget(&line), 20);

    let mut waiting = Box::pin(ask(&line, op::PEEK));
    service.will([takes(80, Ok(7)), hangs()]);
    assert!((&mut waiting).now_or_never().is_none());
    advance(millis(50)).await;
    assert!((&mut waiting).now_or_never().is_none());
    assert_eq!(budget(&line), 14, "withdrawn when it starts");
    waiting.await.unwrap();
    assert_eq!(budget(&line), 15, "an answer at once earns one");
}

#[tokio::test(start_paused = true)]
async fn an_empty_budget_means_no_hedge() {
    let station = Station::new();
    let own = BudgetPolicy { tokens: 5, ..BudgetPolicy::default() };
    let budget_of_one = RetryPolicy { budget: BudgetPolicy { timeout_cost: 5, ..own }, ..retry(1) };
    let policy = Policy { retry: Some(budget_of_one), ..hedged(50) };
    let (line, service) = station.main(policy).await;
    service.will([takes(60, Ok(1)), hangs(), takes(60, Ok(3)), hangs()]);
    ask(&line, op::PEEK).await.unwrap();
    assert_eq!((service.asked(), budget(&line)), (2, 1));
    ask(&line, op::PEEK).await.unwrap();
    assert_eq!((service.asked(), budget(&line)), (3, 2), "there was not enough for another");
}

#[tokio::test(start_paused = true)]
async fn a_full_bulkhead_means_no_hedge_and_costs_nothing() {
    let station = Station::new();
    // There would be room to wait, but a hedge does not.
    let bulkhead = BulkheadLimit { queue: 9, wait: Duration::from_secs(9), ..slots(1) };
    let policy = Policy { bulkhead: Some(bulkhead), rate_limit: Some(tokens(9)), ..hedged(50) };
    let (line, service) = station.main(policy).await;
    service.will([takes(80, Ok(7))]);
    station.heard();
    assert_eq!(ask(&line, op::PEEK).await.unwrap(), 7);
    assert_eq!((service.asked(), budget(&line), tokens_left(&line)), (1, 500, 8));
    assert!(station.heard().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_hedge_occupies_a_slot_of_its_own_until_the_call_has_ended() {
    let station = Station::new();
    let policy = Policy { bulkhead: Some(slots(2)), ..hedged(50) };
    let (line, service) = station.main(policy).await;
    service.will([hangs(), takes(20, Ok(7))]);
    let gates = line.gates().unwrap();
    let in_use = || gates.bulkhead().unwrap().in_use();
    let mut calling = Box::pin(ask(&line, op::PEEK));
    assert!((&mut calling).now_or_never().is_none());
    assert_eq!(in_use(), 1);
    advance(millis(50)).await;
    assert!((&mut calling).now_or_never().is_none());
    assert_eq!(in_use(), 2);
    assert_eq!(calling.await.unwrap(), 7);
    check_at_rest(&line);
}

/// Notes how many slots are taken when it is dropped.
struct Leaving(Arc<Gates>, Arc<AtomicU32>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.1.store(self.0.bulkhead().unwrap().in_use(), Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn the_slot_of_a_loser_is_free_only_when_it_does_nothing_any_more() {
    for loser_is_first in [true, false] {
        let station = Station::new();
        let (line, service) = station.main(Policy { bulkhead: Some(slots(2)), ..hedged(50) }).await;
        let seen = Arc::new(AtomicU32::new(0));
        let leaving = Leaving(line.gates().unwrap(), seen.clone());
        let loses = runs(|| async move {
            let _leaving = leaving;
            std::future::pending().await
        });
        let wins = takes(60, Ok(7));
        service.will(if loser_is_first { [loses, wins] } else { [wins, loses] });
        assert_eq!(ask(&line, op::PEEK).await.unwrap(), 7);
        assert_eq!(seen.load(Ordering::Relaxed), 2);
        check_at_rest(&line);
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_token_there_is_no_hedge_and_what_it_had_taken_is_given_back() {
    let station = Station::new();
    let policy = Policy {
        rate_limit: Some(tokens(1)),
        bulkhead: Some(slots(2)),
        breaker: Some(breaker(9)),
        ..hedged(50)
    };
    let (line, service) = station.main(policy).await;
    service.will([takes(80, Ok(7))]);
    let mut calling = Box::pin(ask(&line, op::PEEK));
    assert!((&mut calling).now_or_never().is_none());
    advance(millis(60)).await;
    assert!((&mut calling).now_or_never().is_none());
    assert_eq!(line.gates().unwrap().bulkhead().unwrap().in_use(), 1);
    assert_eq!(calling.await.unwrap(), 7);
    assert_eq!((service.asked(), budget(&line)), (1, 500));
    check_at_rest(&line);
}

#[tokio::test(start_paused = true)]
async fn a_hedge_pays_a_token_unless_retries_do_not() {
    for (retry, left) in [
        (None, 7),
        (Some(retry(2)), 7),
        (Some(RetryPolicy { charge_limiter: false, ..retry(2) }), 8),
    ] {
        let station = Station::new();
        let policy = Policy { rate_limit: Some(tokens(9)), retry, ..hedged(50) };
        let (line, service) = station.main(policy).await;
        service.will([hangs(), takes(7, Ok(7))]);
        ask(&line, op::PEEK).await.unwrap();
        assert_eq!((service.asked(), tokens_left(&line)), (2, left));
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_in_doubt_is_not_hedged() {
    for counts in [BreakerCounts::Attempts, BreakerCounts::Calls] {
        let station = Station::new();
        let policy = Policy {
            breaker: Some(BreakerPolicy { counts, half_open: 3, ..breaker(1) }),
            ..hedged(50)
        };
        let (line, service) = station.main(policy).await;
        let gates = line.gates().unwrap();
        let breaker = gates.breaker().unwrap();

        // Forced open while the first attempt runs.
        service.will([takes(80, Ok(1))]);
        let mut calling = Box::pin(ask(&line, op::PEEK));
        assert!((&mut calling).now_or_never().is_none());
        breaker.force_open();
        assert_eq!(calling.await.unwrap(), 1);
        assert_eq!((service.asked(), budget(&line)), (1, 500), "open");
        breaker.reset();

        // Half-open, with leave for more probes than one.
        service.will([fails(lost()), takes(80, Ok(3))]);
        fail(&line, 1).await;
        advance(Duration::from_secs(10)).await;
        assert_eq!(ask(&line, op::PEEK).await.unwrap(), 3);
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        assert_eq!((service.asked(), budget(&line)), (3, 500), "half-open");
    }
}

#[tokio::test(start_paused = true)]
async fn the_loser_is_no_verdict_and_the_winner_is_one() {
    for (lots, first_wins) in
        [([hangs(), takes(7, Ok(7))], false), ([takes(80, Ok(7)), hangs()], true)]
    {
        let station = Station::new();
        let slow_after = Some(millis(55));
        let policy = BreakerPolicy { slow_after, slow_rate: 1.0, ..breaker(100) };
        let (line, service) = station.main(Policy { breaker: Some(policy), ..hedged(50) }).await;
        service.will(lots);
        ask(&line, op::PEEK).await.unwrap();
        let figures = counted(&line, &station);
        assert_eq!((figures.calls, figures.failures), (1, 0));
        // The winner is as slow as it was, and not as the call was.
        assert_eq!(figures.slow, u64::from(first_wins));
    }
}

#[tokio::test(start_paused = true)]
async fn counted_by_calls_a_call_with_its_hedges_is_one() {
    let station = Station::new();
    let counts = BreakerCounts::Calls;
    let breaker = BreakerPolicy { counts, slow_after: Some(millis(55)), ..breaker(100) };
    let (line, service) = station.main(Policy { breaker: Some(breaker), ..hedged(50) }).await;
    service.will([takes(52, Err(lost())), takes(7, Ok(7)), hangs(), takes(7, Ok(7))]);
    for _ in 0..2 {
        assert_eq!(ask(&line, op::PEEK).await.unwrap(), 7);
    }
    service.will([takes(60, Err(lost())), takes(20, Err(lost()))]);
    fail(&line, 1).await;
    let figures = counted(&line, &station);
    assert_eq!((figures.calls, figures.failures, figures.slow), (3, 1, 3));
}

#[tokio::test(start_paused = true)]
async fn an_error_that_is_an_answer_wins() {
    let answers: [[Lot; 2]; 2] =
        [[hangs(), takes(7, Err(missing()))], [takes(57, Err(missing())), hangs()]];
    for lots in answers {
        let station = Station::new();
        let policy = Policy { breaker: Some(breaker(9)), retry: Some(retry(3)), ..hedged(50) };
        let (line, service) = station.main(policy).await;
        service.will(lots);
        let (result, took) = station.timed(ask(&line, op::PEEK)).await;
        let error = result.unwrap_err();
        assert_eq!((error.kind(), took), (ErrorKind::NotFound, millis(57)));
        assert_eq!((service.asked(), error.related().len()), (2, 0));
        let figures = counted(&line, &station);
        assert_eq!((figures.calls, figures.failures), (1, 0));
        check_at_rest(&line);
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_one_waits_for_the_other_and_counts() {
    let outages: [[Lot; 2]; 2] =
        [[takes(60, Err(lost())), takes(40, Ok(7))], [takes(90, Ok(7)), takes(10, Err(lost()))]];
    for lots in outages {
        let station = Station::new();
        let policy = Policy { breaker: Some(breaker(9)), bulkhead: Some(slots(2)), ..hedged(50) };
        let (line, service) = station.main(policy).await;
        service.will(lots);
        let mut calling = Box::pin(ask(&line, op::PEEK));
        for step in [50, 10, 5] {
            assert!((&mut calling).now_or_never().is_none());
            advance(millis(step)).await;
        }
        assert!((&mut calling).now_or_never().is_none());
        assert_eq!(counted(&line, &station).failures, 1, "told before the call has ended");
        assert_eq!(line.gates().unwrap().bulkhead().unwrap().in_use(), 1, "its slot is free");
        assert_eq!(calling.await.unwrap(), 7);
        let figures = counted(&line, &station);
        assert_eq!((figures.calls, figures.failures), (2, 1));
        check_at_rest(&line);
    }
}

#[tokio::test(start_paused = true)]
async fn when_all_fail_the_error_is_that_of_the_first_and_the_others_are_beside_it() {
    for first_ends_first in [true, false] {
        let station = Station::new();
        let policy = Policy { breaker: Some(breaker(9)), ..hedged(50) };
        let (line, service) = station.main(policy).await;
        let (first, second) = if first_ends_first { (60, 40) } else { (80, 20) };
        service.will([takes(first, Err(lost())), takes(second, Err(refused()))]);
        let (result, took) = station.timed(ask(&line, op::PEEK)).await;
        let error = result.unwrap_err();
        assert_eq!(error.message(), lost().message());
        let related: Vec<&str> = error.related().iter().map(Error::message).collect();
        assert_eq!((related, took), (vec![refused().message()], millis(first.max(50 + second))));
        let figures = counted(&line, &station);
        assert_eq!((figures.calls, figures.failures), (2, 2));
        check_at_rest(&line);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_attempt_with_its_hedge_is_one_attempt_of_the_retries() {
    let station = Station::new();
    let policy = Policy { retry: Some(retry(2)), attempt_timeout: Some(millis(70)), ..hedged(50) };
    let (line, service) = station.main(policy).await;
    service.will(times(4, hangs));
    let (result, took) = station.timed(ask(&line, op::PEEK)).await;
    let error = result.unwrap_err();
    // Each has its own time: the hedge goes on for fifty milliseconds after the first has ended.
    assert_eq!((service.asked(), took), (4, millis(120 + 10 + 120)));
    assert_eq!(
        (stopped(&error), error.gate()),
        (Some("attempts used up"), Some(Gate::AttemptTimeout))
    );
    assert_eq!(error.context_value("attempts"), Some("2"));
    assert_eq!(error.related().len(), 1);
    assert_eq!(budget(&line), 500 - 2 * 5 - 10, "two hedges, and a retry after a time-out");
}

#[tokio::test(start_paused = true)]
async fn a_hedge_of_a_retry_that_answers_is_paid_back_in_place_of_the_retry() {
    let station = Station::new();
    let (line, service) = station.main(Policy { retry: Some(retry(2)), ..hedged(50) }).await;
    service.will([fails(lost()), hangs(), takes(7, Ok(7))]);
    assert_eq!(ask(&line, op::PEEK).await.unwrap(), 7);
    assert_eq!((service.asked(), budget(&line)), (3, 495));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_timeout_of_each_is_its_own_and_a_failure() {
    let station = Station::new();
    let policy =
        Policy { attempt_timeout: Some(millis(60)), breaker: Some(breaker(9)), ..hedged(50) };
    let (line, service) = station.main(policy).await;
    service.will([hangs(), takes(59, Ok(7))]);
    let (result, took) = station.timed(ask(&line, op::PEEK)).await;
    assert_eq!((result.unwrap(), took), (7, millis(109)));
    let figures = counted(&line, &station);
    assert_eq!((figures.calls, figures.failures), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_both_and_none_starts_after_it() {
    for (limit, asked) in [(millis(80), 2), (millis(50), 1), (millis(30), 1)] {
        let station = Station::new();
        let policy = Policy { breaker: Some(breaker(9)), bulkhead: Some(slots(2)), ..hedged(50) };
        let (line, service) = station.main(policy).await;
        service.will(times(2, hangs));
        let deadline = Deadline::within(&station.clock, limit);
        let (result, took) = station.timed(deadline.scope(ask(&line, op::PEEK))).await;
        let error = result.unwrap_err();
        assert_eq!((error.gate(), took), (Some(Gate::Deadline), limit));
        assert_eq!((service.asked(), error.related().len()), (asked, asked as usize - 1));
        assert_eq!(counted(&line, &station).failures, u64::from(asked));
        check_at_rest(&line);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hedge_inherits_the_deadline_of_the_call() {
    let gates = |policy| Gates::new(policy, Source::new("pump", "main"), &Environment::new());
    let gates = gates(Policy { deadline: Some(millis(200)), ..hedged(50) }).unwrap();
    let calls = AtomicU32::new(0);
    let inherited = execute_with_resilience(&gates, Effect::Read, || {
        let making = Deadline::current();
        let is_first = calls.fetch_add(1, Ordering::Relaxed) == 0;
        async move {
            if is_first {
                std::future::pending::<()>().await;
            }
            Ok((making, Deadline::current()))
        }
    });
    let (making, running) = inherited.await.unwrap();
    assert!(running.is_some());
    assert_eq!(making, running);
}

#[tokio::test(start_paused = true)]
async fn a_hedge_asks_whoever_serves_when_it_starts() {
    let station = Station::new();
    let (line, service) = station.main(hedged(50)).await;
    service.will([hangs()]);
    let mut calling = Box::pin(ask(&line, op::PEEK));
    assert!((&mut calling).now_or_never().is_none());
    let swapped = station.manager.swap("main", &served_by("other")).await.unwrap();
    assert_eq!(calling.await.unwrap(), 1);
    assert_eq!((service.asked(), station.service("other").asked()), (1, 1));
    swapped.closed().await.unwrap();
    check_at_rest(&line);
}

#[tokio::test(start_paused = true)]
async fn what_is_opened_by_a_hedge_keeps_the_slot_of_the_hedge() {
    let station = Station::new();
    let policy = Policy { bulkhead: Some(slots(2)), ..hedged(50) };
    let (line, service) = station.main(policy).await;
    for first in [hangs(), takes(52, Err(lost()))] {
        service.will([first, takes(7, Ok(7))]);
        let opened = line.open(op::PEEK, |driver| async move { driver.ask().await }).await.unwrap();
        let gates = line.gates().unwrap();
        assert_eq!((gates.bulkhead().unwrap().in_use(), line.in_flight()), (1, 1));
        drop(opened);
        check_at_rest(&line);
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_asks_for_time_is_heard_whoever_it_told() {
    let throttled = || Error::new(ErrorKind::RateLimited, "slow down").retry_after(millis(30));
    let told: [[Lot; 2]; 2] = [
        [takes(60, Err(throttled())), takes(20, Ok(7))],
        [takes(70, Ok(7)), takes(10, Err(throttled()))],
    ];
    for lots in told {
        let station = Station::new();
        let (line, service) =
            station.main(Policy { rate_limit: Some(tokens(9)), ..hedged(50) }).await;
        service.will(lots);
        ask(&line, op::PEEK).await.unwrap();
        let refused = ask(&line, op::PEEK).await.unwrap_err();
        assert_eq!(refused.gate(), Some(Gate::RateLimit));
    }
}

#[tokio::test(start_paused = true)]
async fn the_verdict_of_a_hedge_belongs_to_the_state_it_started_in() {
    let station = Station::new();
    let (line, service) = station.main(Policy { breaker: Some(breaker(9)), ..hedged(50) }).await;
    service.will([hangs(), takes(7, Ok(7))]);
    let mut calling = Box::pin(ask(&line, op::PEEK));
    assert!((&mut calling).now_or_never().is_none());
    // What the first attempt would say is of a time before this.
    line.gates().unwrap().breaker().unwrap().force_close();
    line.gates().unwrap().breaker().unwrap().reset();
    calling.await.unwrap();
    assert_eq!(counted(&line, &station).calls, 1);
}

/// Panics after sixty milliseconds.
fn panics_late() -> Lot {
    runs(|| async {
        Clock::system().sleep(millis(60)).await;
        panic!("on purpose")
    })
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_one_is_its_failure_and_frees_everything() {
    for counts in [BreakerCounts::Attempts, BreakerCounts::Calls] {
        for lots in [[hangs(), panics()], [panics_late(), hangs()]] {
            let station = Station::new();
            let breaker = BreakerPolicy { counts, ..breaker(9) };
            let policy = Policy { breaker: Some(breaker), bulkhead: Some(slots(2)), ..hedged(50) };
            let (line, service) = station.main(policy).await;
            service.will(lots);
            assert!(AssertUnwindSafe(ask(&line, op::PEEK)).catch_unwind().await.is_err());
            let figures = counted(&line, &station);
            assert_eq!((figures.calls, figures.failures), (1, 1), "the other one is no verdict");
            check_at_rest(&line);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_hedge_that_could_not_be_made_costs_nothing() {
    let clock = Clock::system();
    let policy = Policy { rate_limit: Some(tokens(9)), bulkhead: Some(slots(2)), ..hedged(50) };
    let source = Source::new("pump", "main");
    let gates = Gates::new(policy, source, &Environment::new()).unwrap();
    let made = AtomicU32::new(0);
    let calling = execute_with_resilience(&gates, Effect::Read, || {
        assert_eq!(made.fetch_add(1, Ordering::Relaxed), 0, "no other can be made");
        let slowly = clock.sleep(millis(80));
        async {
            slowly.await;
            Ok(())
        }
    });
    AssertUnwindSafe(calling).catch_unwind().await.unwrap_err();
    assert_eq!(gates.retry_budget().unwrap().tokens(), 500);
    assert_eq!(gates.bulkhead().unwrap().in_use(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_hedge_that_cannot_even_be_made_says_nothing_about_the_service() {
    let policy = Policy { breaker: Some(breaker(9)), bulkhead: Some(slots(2)), ..hedged(50) };
    let gates = Gates::new(policy, Source::new("pump", "main"), &Environment::new()).unwrap();
    let made = AtomicU32::new(0);
    let calling = execute_with_resilience(&gates, Effect::Read, || {
        assert_eq!(made.fetch_add(1, Ordering::Relaxed), 0, "on purpose");
        std::future::pending::<Result<u32>>()
    });
    assert!(AssertUnwindSafe(calling).catch_unwind().await.is_err());
    assert_eq!(gates.breaker().unwrap().figures_at(Clock::system().now()).calls, 0);
    assert_eq!(gates.bulkhead().unwrap().in_use(), 0);
}

/// A call with all gates, of which each attempt needs several wake-ups.
fn behind_all_gates(counts: BreakerCounts, hold_while_waiting: bool) -> Policy {
    Policy {
        deadline: Some(Duration::from_secs(9)),
        rate_limit: Some(tokens(20)),
        bulkhead: Some(BulkheadLimit { hold_while_waiting, ..slots(4) }),
        breaker: Some(BreakerPolicy { counts, ..breaker(100) }),
        retry: Some(retry(2)),
        attempt_timeout: Some(millis(90)),
        ..hedged(50)
    }
}

/// Where a call that is not done yet is, by how many attempts were started and how many still run.
fn stage(line: &Line<Pumps>, asked: u32) -> &'static str {
    match (asked, line.in_flight()) {
        (1, 1) => "runs alone",
        (2, 2) => "runs beside its hedge",
        (2, 1) => "has failed, and its hedge runs",
        (2, 0) => "is asleep before its retry",
        (3, 1) => "runs alone again",
        (4, 2) => "runs beside another hedge",
        _ => "is somewhere else",
    }
}

async fn drop_after_each_poll(counts: BreakerCounts, hold_while_waiting: bool) {
    let mut stages = BTreeSet::new();
    for polls in 1.. {
        let station = Station::new();
        let (line, service) = station.main(behind_all_gates(counts, hold_while_waiting)).await;
        service.will([takes(60, Err(lost())), takes(30, Err(lost())), hangs(), takes(15, Ok(7))]);
        let gates = line.gates().unwrap();
        let mut calling = Box::pin(ask(&line, op::PEEK));
        let mut answer = None;
        for _ in 0..polls {
            answer = (&mut calling).now_or_never();
            if answer.is_some() {
                break;
            }
            stages.insert(stage(&line, service.asked()));
            let running = u32::try_from(line.in_flight()).unwrap();
            let in_use = gates.bulkhead().unwrap().in_use();
            let kept = u32::from(hold_while_waiting);
            assert!(in_use == running || in_use == running + kept, "{in_use} for {running}");
            advance(millis(5)).await;
        }
        let ended = u64::from(service.asked()) - line.in_flight() as u64;
        let (paid, had) = (budget(&line), counted(&line, &station).calls);
        drop(calling);
        check_at_rest(&line);
        if let Some(answer) = answer {
            assert_eq!(answer.unwrap(), 7);
            // A hedge that failed, the retry, and the one that answered, which is paid back.
            assert_eq!((budget(&line), service.asked()), (490, 4));
            let all_but_the_loser = if counts == BreakerCounts::Attempts { 3 } else { 1 };
            assert_eq!(counted(&line, &station).calls, all_but_the_loser);
            break;
        }
        let expected = if counts == BreakerCounts::Attempts { ended } else { 0 };
        assert_eq!((had, counted(&line, &station).calls), (expected, expected), "after {polls}");
        assert_eq!(budget(&line), paid, "a drop is not paid back");
        service.forget_script();
        ask(&line, op::PEEK).await.unwrap();
        let spent = 20 - u64::from(tokens_left(&line));
        assert_eq!(spent, u64::from(service.asked()), "one token for each attempt");
    }
    let all = [
        "has failed, and its hedge runs",
        "is asleep before its retry",
        "runs alone",
        "runs alone again",
        "runs beside another hedge",
        "runs beside its hedge",
    ];
    assert_eq!(stages.into_iter().collect::<Vec<_>>(), all);
}

#[tokio::test(start_paused = true)]
async fn a_hedged_call_dropped_at_any_await_leaves_nothing_behind() {
    drop_after_each_poll(BreakerCounts::Attempts, false).await;
}

#[tokio::test(start_paused = true)]
async fn a_hedged_call_that_holds_on_to_its_slot_and_its_verdict_leaves_nothing_behind_either() {
    drop_after_each_poll(BreakerCounts::Calls, true).await;
}

/// Hedges after what nine in ten answers take.
fn by_quantile() -> Policy {
    let hedge = HedgePolicy { after: HedgeAfter::Quantile(0.9), max: 1 };
    Policy { hedge: Some(hedge), ..Policy::default() }
}

/// So many calls that are answered after so many milliseconds, without a hedge.
async fn answered(line: &Line<Pumps>, station: &Station, count: usize, ms: u64) {
    let service = station.service("main");
    for _ in 0..count {
        service.will([takes(ms, Ok(1))]);
        ask(line, op::PEEK).await.unwrap();
        service.forget_script();
    }
}

/// After how long a call that hangs is hedged; `None` if it is not within ten seconds.
async fn hedged_after(line: &Line<Pumps>, station: &Station) -> Option<Duration> {
    let service = station.service("main");
    service.forget_script();
    service.will([hangs()]);
    let limit = Deadline::within(&station.clock, Duration::from_secs(10));
    let calling = limit.run(&station.clock, ask(line, op::PEEK));
    let (result, took) = station.timed(calling).await;
    service.forget_script();
    result.ok().map(|_| took)
}

#[tokio::test(start_paused = true)]
async fn a_quantile_is_learned_from_the_answers_and_moves_with_them() {
    let station = Station::new();
    let (line, _) = station.main(by_quantile()).await;
    answered(&line, &station, 29, 20).await;
    assert_eq!(hedged_after(&line, &station).await, None, "too few answers are known");

    answered(&line, &station, 50, 20).await;
    answered(&line, &station, 3, 40).await;
    advance(millis(500)).await;
    let near_20 = millis(20)..=millis(23);
    let after = hedged_after(&line, &station).await.unwrap();
    assert!(near_20.contains(&after), "{after:?}");

    // Slower for a while, then what was before is forgotten.
    for _ in 0..3 {
        advance(Duration::from_secs(20)).await;
        service_slow(&line, &station, 40, 100).await;
    }
    advance(millis(500)).await;
    let after = hedged_after(&line, &station).await.unwrap();
    assert!((millis(100)..=millis(113)).contains(&after), "{after:?}");

    advance(Duration::from_mins(1)).await;
    assert_eq!(hedged_after(&line, &station).await, None, "all is forgotten");
}

/// So many calls that take so long, whoever answers them.
async fn service_slow(line: &Line<Pumps>, station: &Station, count: usize, ms: u64) {
    let service = station.service("main");
    for _ in 0..count {
        service.will(times(2, || takes(ms, Ok(1))));
        ask(line, op::PEEK).await.unwrap();
        service.forget_script();
    }
}

/// A runtime without timers panics as soon as one is armed.
#[test]
fn an_answer_that_is_there_at_once_arms_no_timer() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let gates = Gates::new(hedged(50), Source::new("pump", "main"), &Environment::new()).unwrap();
    let answered: Result<u32> =
        runtime.block_on(execute_with_resilience(&gates, Effect::Read, || async { Ok(7) }));
    assert_eq!(answered.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn answers_that_never_come_move_no_quantile() {
    let station = Station::new();
    let (line, service) = station.main(by_quantile()).await;
    answered(&line, &station, 90, 20).await;
    advance(millis(500)).await;
    // Taken for slow ones, the quarter that hangs would make each hedge come later than the one
    // before; taken for quick ones, sooner.
    for _ in 0..200 {
        service.will([
            hangs(),
            takes(20, Ok(1)),
            takes(20, Ok(1)),
            takes(20, Ok(1)),
            takes(20, Ok(1)),
        ]);
        for _ in 0..4 {
            ask(&line, op::PEEK).await.unwrap();
        }
    }
    let after = hedged_after(&line, &station).await.unwrap();
    assert!((millis(20)..=millis(23)).contains(&after), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn what_was_learned_stays_when_other_settings_change() {
    let station = Station::new();
    let (line, _) = station.main(by_quantile()).await;
    answered(&line, &station, 40, 20).await;
    let slower = Policy { retry: Some(retry(1)), ..by_quantile() };
    station.manager.retune("main", slower).unwrap();
    advance(millis(500)).await;
    assert!(hedged_after(&line, &station).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn failures_and_what_is_not_hedged_teach_nothing() {
    let station = Station::new();
    let (line, service) = station.main(by_quantile()).await;
    answered(&line, &station, 29, 20).await;
    service.will(times(50, || takes(5, Err(lost()))));
    fail(&line, 50).await;
    // Nor does what is not hedged.
    service.will(times(50, || takes(20, Ok(1))));
    for _ in 0..50 {
        ask(&line, op::PEEK.with_effect(Effect::Unsafe)).await.unwrap();
    }
    advance(millis(500)).await;
    assert_eq!(hedged_after(&line, &station).await, None);
    // A service that says that there is nothing has answered.
    service.will([takes(20, Err(missing()))]);
    fail(&line, 1).await;
    advance(millis(500)).await;
    assert!(hedged_after(&line, &station).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn an_attempt_is_asked_once_each_time_the_call_is_woken() {
    let station = Station::new();
    let (line, service) = station.main(hedged(50)).await;
    let polls = Arc::new(AtomicU32::new(0));
    let counting = polls.clone();
    service.will([runs(|| {
        poll_fn(move |_| {
            counting.fetch_add(1, Ordering::Relaxed);
            Poll::Pending
        })
    })]);
    let mut calling = Box::pin(ask(&line, op::PEEK));
    for expected in 1..4 {
        assert!((&mut calling).now_or_never().is_none());
        assert_eq!(polls.load(Ordering::Relaxed), expected);
    }
}
