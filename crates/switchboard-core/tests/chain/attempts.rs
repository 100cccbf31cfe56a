//! The attempt timeout: what it ends, what that counts as, and what it costs while nothing is late.

use std::time::Duration;

use futures_util::FutureExt as _;
use switchboard_core::{
    BreakerFigures, Effect, Environment, ErrorKind, Gate, Gates, Line, Outcome, Policy, Result,
    Source, execute_with_resilience,
};
use tokio::time::advance;

use crate::station::{
    Pumps, Station, ask, breaker, check_at_rest, hangs, lost, millis, op, retry, runs, takes, times,
};

fn limited(ms: u64) -> Policy {
    Policy { attempt_timeout: Some(millis(ms)), breaker: Some(breaker(100)), ..Policy::default() }
}

fn figures(line: &Line<Pumps>, station: &Station) -> BreakerFigures {
    line.gates().unwrap().breaker().unwrap().figures_at(station.clock.now())
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_takes_too_long_is_a_failure_of_unknown_outcome() {
    let station = Station::new();
    let (line, service) = station.main(limited(30)).await;
    service.will([hangs()]);
    let (result, took) = station.timed(ask(&line, op::PEEK)).await;
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.gate()), (ErrorKind::Timeout, Some(Gate::AttemptTimeout)));
    assert_eq!((took, error.outcome()), (millis(30), Outcome::Unknown));
    assert_eq!(figures(&line, &station).failures, 1);
    check_at_rest(&line);
}

#[tokio::test(start_paused = true)]
async fn it_is_made_again_where_doing_it_twice_is_harmless() {
    for (operation, expected, asked) in
        [(op::PEEK, Ok(2), 2), (op::SET, Ok(2), 2), (op::SEND, Ok(2), 2), (op::POUR, Err(()), 1)]
    {
        let station = Station::new();
        let (line, service) = station.main(Policy { retry: Some(retry(2)), ..limited(30) }).await;
        service.will([hangs()]);
        let result = ask(&line, operation).await;
        assert_eq!(result.map_err(drop), expected, "{}", operation.name());
        assert_eq!(service.asked(), asked, "{}", operation.name());
    }
}

#[tokio::test(start_paused = true)]
async fn each_attempt_has_the_whole_time_for_itself() {
    let station = Station::new();
    let (line, service) = station.main(Policy { retry: Some(retry(3)), ..limited(30) }).await;
    service.will([hangs(), takes(29, Err(lost())), takes(29, Ok(7))]);
    let (result, took) = station.timed(ask(&line, op::PEEK)).await;
    assert_eq!((result.unwrap(), took), (7, millis(30 + 10 + 29 + 10 + 29)));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_there_when_the_time_is_over_counts() {
    let station = Station::new();
    let (line, service) = station.main(limited(30)).await;
    service.will([takes(20, Ok(7))]);
    let mut calling = Box::pin(ask(&line, op::PEEK));
    assert!((&mut calling).now_or_never().is_none());
    advance(millis(500)).await;
    assert_eq!(calling.await.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_goes_away_says_nothing_about_the_service() {
    let station = Station::new();
    let (line, service) = station.main(limited(30)).await;
    service.will(times(3, hangs));
    for _ in 0..3 {
        let mut calling = Box::pin(ask(&line, op::PEEK));
        assert!((&mut calling).now_or_never().is_none());
        advance(millis(20)).await;
        drop(calling);
    }
    assert_eq!((service.asked(), figures(&line, &station).calls), (3, 0));
    check_at_rest(&line);
}

/// A runtime without timers panics as soon as one is armed.
#[test]
fn a_call_that_is_ready_at_once_arms_no_timer() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let policy =
        Policy { deadline: Some(Duration::from_secs(1)), retry: Some(retry(3)), ..limited(30) };
    let gates = Gates::new(policy, Source::new("pump", "main"), &Environment::new()).unwrap();
    let answered: Result<u32> =
        runtime.block_on(execute_with_resilience(&gates, Effect::Read, || async { Ok(7) }));
    assert_eq!(answered.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
#[expect(clippy::disallowed_methods, reason = "a task that the test itself waits for")]
async fn a_driver_that_is_always_busy_is_ended_like_one_that_sleeps() {
    let station = Station::new();
    let (line, service) = station.main(limited(30)).await;
    service.will([runs(|| async {
        loop {
            // Uses up what a task may do in one go, each time it is asked to go on.
            tokio::task::consume_budget().await;
        }
    })]);
    let calling = tokio::spawn(async move { ask(&line, op::PEEK).await });
    for _ in 0..20 {
        tokio::task::yield_now().await;
        advance(millis(10)).await;
    }
    let ended = calling.is_finished();
    calling.abort();
    assert!(ended, "the attempt goes on although its time is over");
    assert_eq!(calling.await.unwrap().unwrap_err().gate(), Some(Gate::AttemptTimeout));
}
