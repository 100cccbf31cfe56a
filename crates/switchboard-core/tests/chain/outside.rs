//! What happens beside a call, and what a service asks of all callers.

use std::time::Duration;

use futures_util::FutureExt as _;
use switchboard_core::{
    BreakerState, Cause, Error, ErrorKind, Fault, Faults, Policy, RateLimit, Result,
};

use crate::station::*;

#[tokio::test(start_paused = true)]
async fn a_panic_beside_a_call_is_not_held_against_the_service() {
    let station = Station::new();
    let (line, service) =
        station.main(Policy { breaker: Some(breaker(1)), ..Policy::default() }).await;
    service.will([hangs()]);
    let beside = std::panic::AssertUnwindSafe(async {
        tokio::join!(ask(&line, op::PEEK), async {
            tokio::task::yield_now().await;
            panic!("on purpose");
        });
    });
    assert!(beside.catch_unwind().await.is_err());
    assert_eq!(line.gates().unwrap().breaker().unwrap().state(), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_panic_inside_a_call_is() {
    let station = Station::new();
    let (line, _) = station.main(Policy { breaker: Some(breaker(1)), ..Policy::default() }).await;
    let clock = station.clock.clone();
    line.set_faults(Some(Faults::new(clock).script([Fault::Panic]).into())).unwrap();
    let inside = std::panic::AssertUnwindSafe(ask(&line, op::PEEK));
    assert!(inside.catch_unwind().await.is_err());
    assert_eq!(line.gates().unwrap().breaker().unwrap().state(), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_asks_for_time_gets_it_from_all_callers() {
    let station = Station::new();
    let limit = RateLimit { wait: Duration::ZERO, ..one_in(1) };
    let (line, service) =
        station.main(Policy { rate_limit: Some(limit), ..Policy::default() }).await;
    let pause = Duration::from_secs(3);
    service.will([fails(Error::new(ErrorKind::RateLimited, "slow down").retry_after(pause))]);
    ask(&line, op::PEEK).await.unwrap_err();
    let refused = ask(&line, op::PEEK).await.unwrap_err();
    assert_eq!(refused.gate(), Some(switchboard_core::Gate::RateLimit));
    tokio::time::advance(pause).await;
    ask(&line, op::PEEK).await.unwrap();
    assert_eq!(service.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn answers_earn_the_budget_what_successes_earn() {
    let station = Station::new();
    let (line, service) = station.main(Policy { retry: Some(retry(2)), ..Policy::default() }).await;
    let gates = line.gates().unwrap();
    let budget = gates.retry_budget().unwrap();
    service.will(times(2, || fails(lost())));
    ask(&line, op::PEEK).await.unwrap_err();
    let spent = budget.tokens();
    service.will([fails(Error::new(ErrorKind::NotFound, "nothing there"))]);
    ask(&line, op::PEEK).await.unwrap_err();
    assert_eq!(budget.tokens(), spent + 1);
}

#[tokio::test(start_paused = true)]
async fn every_refusal_of_an_open_breaker_names_its_own_operation() {
    let station = Station::new();
    let (line, _) = station.main(Policy { breaker: Some(breaker(1)), ..Policy::default() }).await;
    line.gates().unwrap().breaker().unwrap().force_open();
    for _ in 0..3 {
        for op in [op::PEEK, op::SET, op::SEND, op::POUR] {
            let refused = ask(&line, op).await.unwrap_err();
            assert_eq!(refused.place().unwrap().to_string(), format!("pump.main {}", op.name()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_cannot_be_served_is_answered_otherwise_and_that_is_told() {
    let station = Station::new();
    let (line, service) = station.main(Policy::default()).await;
    service.will([fails(lost()), fails(Error::new(ErrorKind::NotFound, "no such pump"))]);
    let ask = || line.call_or(op::PEEK, |pump| async move { pump.ask().await }, kept);
    assert_eq!(ask().await.unwrap(), 99);
    let told = station.heard();
    assert!(told.len() == 1 && told[0].contains("FellBack"), "{told:?}");
    assert_eq!(ask().await.unwrap_err().kind(), ErrorKind::NotFound, "an answer is an answer");
    assert_eq!(ask().await.unwrap(), 3, "and a success needs no other");
}

async fn kept(cause: Cause, error: Error) -> Result<u32> {
    assert_eq!((cause, error.kind()), (Cause::Failed, ErrorKind::Unavailable));
    Ok(99)
}
