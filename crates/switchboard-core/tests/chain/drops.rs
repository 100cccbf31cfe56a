//! Calls that end in the middle, by a drop at any await or by a panic, leave nothing behind.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use switchboard_core::{
    BreakerCounts, BreakerPolicy, BreakerState, BulkheadLimit, Gate, Line, Policy, Retry,
};
use tokio::time::advance;

use crate::station::{
    Pumps, Station, ask, breaker, check_at_rest, fail, fails, hangs, lost, millis, one_in, op,
    panics, retry, slots, takes,
};

/// A call that waits everywhere: for a token, for a slot, in three attempts and between them.
fn waits_everywhere(counts: BreakerCounts, hold_while_waiting: bool) -> Policy {
    Policy {
        deadline: Some(Duration::from_secs(9)),
        rate_limit: Some(one_in(15)),
        bulkhead: Some(BulkheadLimit {
            queue: 1,
            wait: Duration::from_secs(1),
            hold_while_waiting,
            ..slots(1)
        }),
        breaker: Some(BreakerPolicy { counts, ..breaker(100) }),
        retry: Some(retry(3)),
        hedge: None,
        attempt_timeout: Some(millis(20)),
    }
}

/// Where a call that is not done yet is.
fn stage(line: &Line<Pumps>, asked: u32) -> &'static str {
    let gates = line.gates().unwrap();
    let bulkhead = gates.bulkhead().unwrap();
    match (bulkhead.waiting(), line.in_flight(), asked) {
        (1, _, 0) => "waits for a slot",
        (0, 0, 0) => "waits for a token",
        (0, 1, 1) => "is in its first attempt",
        (0, 0, 1) => "is asleep after its first attempt",
        (0, 1, 2) => "is in its second attempt",
        (0, 0, 2) => "is asleep after its second attempt",
        (0, 1, 3) => "is in its third attempt",
        _ => "is somewhere else",
    }
}

async fn drop_after_each_poll(counts: BreakerCounts, hold_while_waiting: bool) {
    let mut stages = BTreeSet::new();
    for polls in 1.. {
        let station = Station::new();
        let (line, service) = station.main(waits_everywhere(counts, hold_while_waiting)).await;
        service.will([hangs(), takes(20, Err(lost())), takes(7, Ok(7))]);
        let gates = line.gates().unwrap();
        gates.rate_limiter().unwrap().try_acquire(1).unwrap();
        let mut slot = gates.bulkhead().unwrap().try_acquire().ok();

        let mut calling = Box::pin(ask(&line, op::PEEK));
        let mut answer = None;
        for poll in 1..=polls {
            answer = (&mut calling).now_or_never();
            if answer.is_some() {
                break;
            }
            stages.insert(stage(&line, service.asked()));
            advance(millis(5)).await;
            // The slot comes free some time after the token.
            if poll == 6 {
                slot = None;
            }
        }
        let ended = u64::from(service.asked()) - line.in_flight() as u64;
        let paid = gates.retry_budget().unwrap().tokens();
        drop((calling, slot));
        check_at_rest(&line);
        if let Some(answer) = answer {
            assert_eq!(answer.unwrap(), 7);
            break;
        }
        let counted = gates.breaker().unwrap().figures_at(station.clock.now()).calls;
        let expected = if counts == BreakerCounts::Attempts { ended } else { 0 };
        assert_eq!(counted, expected, "dropped after {polls} polls");
        assert_eq!(gates.retry_budget().unwrap().tokens(), paid, "a drop is not paid back");
        service.forget_script();
        ask(&line, op::PEEK).await.unwrap();
    }
    let all = [
        "is asleep after its first attempt",
        "is asleep after its second attempt",
        "is in its first attempt",
        "is in its second attempt",
        "is in its third attempt",
        "waits for a slot",
        "waits for a token",
    ];
    assert_eq!(stages.into_iter().collect::<Vec<_>>(), all);
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_at_any_await_leaves_nothing_behind() {
    drop_after_each_poll(BreakerCounts::Attempts, false).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_holds_on_to_its_slot_and_its_verdict_leaves_nothing_behind_either() {
    drop_after_each_poll(BreakerCounts::Calls, true).await;
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_dropped_lets_another_call_be_the_probe() {
    for counts in [BreakerCounts::Attempts, BreakerCounts::Calls] {
        let station = Station::new();
        let policy = Policy {
            breaker: Some(BreakerPolicy { counts, ..breaker(1) }),
            retry: Some(retry(3)),
            ..Policy::default()
        };
        let (line, service) = station.main(policy).await;
        // Nothing is retried after this one, so that each call has one attempt.
        service.will([fails(lost().with_retry(Retry::Never)), hangs(), takes(5, Ok(7))]);
        fail(&line, 1).await;
        advance(Duration::from_secs(10)).await;
        let state = || line.gates().unwrap().breaker().unwrap().state();

        let mut probe = Box::pin(ask(&line, op::PEEK));
        assert!((&mut probe).now_or_never().is_none());
        assert_eq!(state(), BreakerState::HalfOpen);
        assert_eq!(ask(&line, op::PEEK).await.unwrap_err().gate(), Some(Gate::Breaker));
        drop(probe);
        assert_eq!(state(), BreakerState::HalfOpen);
        assert_eq!(ask(&line, op::PEEK).await.unwrap(), 7);
        assert_eq!(state(), BreakerState::Closed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_driver_counts_as_failure_and_frees_everything() {
    for counts in [BreakerCounts::Attempts, BreakerCounts::Calls] {
        let station = Station::new();
        let policy = Policy {
            bulkhead: Some(slots(1)),
            breaker: Some(BreakerPolicy { counts, ..breaker(1) }),
            retry: Some(retry(3)),
            ..Policy::default()
        };
        let (line, service) = station.main(policy).await;
        service.will([panics()]);
        let calling = AssertUnwindSafe(ask(&line, op::PEEK)).catch_unwind();
        assert!(calling.await.is_err());
        check_at_rest(&line);
        assert_eq!(line.gates().unwrap().breaker().unwrap().state(), BreakerState::Open);
        assert_eq!(service.asked(), 1, "a panic is not tried again");
    }
}
