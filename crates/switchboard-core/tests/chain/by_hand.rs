//! Gates without a line: providers of an application's own.

use std::future::{Ready, ready};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use switchboard_core::{
    BulkheadLimit, Deadline, Effect, Environment, Error, Gate, Gates, Outcome, Policy, Result,
    Source, execute_with_resilience,
};

use crate::station::{breaker, lost, millis, retry, slots, tokens};

fn gates(policy: Policy) -> Gates {
    Gates::new(policy, Source::new("payments", "any"), &Environment::new()).unwrap()
}

/// A provider that is down.
#[derive(Default)]
struct Provider {
    asked: AtomicU32,
}

impl Provider {
    fn pay(&self) -> Ready<Result<u32>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        ready(Err(lost()))
    }
}

#[tokio::test(start_paused = true)]
async fn two_providers_behind_the_same_gates_share_their_state() {
    let policy = Policy {
        rate_limit: Some(tokens(9)),
        breaker: Some(breaker(3)),
        retry: Some(retry(2)),
        ..Policy::default()
    };
    let gates = gates(policy);
    let (one, other) = (Provider::default(), Provider::default());
    let pay =
        |provider| execute_with_resilience(&gates, Effect::Keyed, move || Provider::pay(provider));
    pay(&one).await.unwrap_err();
    pay(&other).await.unwrap_err();
    // Two failures of one and one of the other have opened the breaker for both.
    let error: Error = pay(&one).await.unwrap_err();
    assert_eq!(error.gate(), Some(Gate::Breaker));
    let asked = [&one, &other].map(|provider| provider.asked.load(Ordering::Relaxed));
    assert_eq!(asked, [2, 1]);
    let limiter = gates.rate_limiter().unwrap();
    assert!(limiter.try_acquire(6).is_ok() && limiter.try_acquire(1).is_err());
    assert_eq!(gates.retry_budget().unwrap().tokens(), 495);
}

#[tokio::test(start_paused = true)]
async fn what_is_called_through_them_inherits_their_deadline() {
    let gates = gates(Policy { deadline: Some(millis(50)), ..Policy::default() });
    let inherited = execute_with_resilience(&gates, Effect::Read, || {
        // Already while the future is being made.
        let making = Deadline::current();
        async move { Ok((making, Deadline::current())) }
    });
    let (making, running) = inherited.await.unwrap();
    assert!(running.is_some());
    assert_eq!(making, running);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_made_when_a_gate_refuses() {
    let gates = gates(Policy { bulkhead: Some(slots(1)), ..Policy::default() });
    let _slot = gates.bulkhead().unwrap().try_acquire().unwrap();
    let provider = Provider::default();
    let refused = execute_with_resilience(&gates, Effect::Unsafe, || provider.pay()).await;
    assert_eq!(refused.unwrap_err().outcome(), Outcome::NotApplied);
    let over = Deadline::within(&switchboard_core::Clock::system(), Duration::ZERO);
    let late = over.scope(execute_with_resilience(&gates, Effect::Unsafe, || provider.pay())).await;
    assert_eq!(late.unwrap_err().gate(), Some(Gate::Deadline));
    assert_eq!(provider.asked.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_at_hand_serves_the_first_attempt_unless_a_gate_has_to_wait() {
    let bulkhead = BulkheadLimit { queue: 1, wait: millis(50), ..slots(1) };
    let policy = Policy { bulkhead: Some(bulkhead), retry: Some(retry(2)), ..Policy::default() };
    let gates = gates(policy);
    let given = Mutex::new(Vec::new());
    let attempt = |at_hand: Option<Arc<()>>| {
        given.lock().unwrap().push(at_hand.is_some());
        ready(Err::<(), _>(lost()))
    };
    gates.execute(Effect::Read, Arc::new(()), attempt).await.unwrap_err();
    assert_eq!(std::mem::take(&mut *given.lock().unwrap()), [true, false]);

    let slot = gates.bulkhead().unwrap().try_acquire().unwrap();
    let at_hand = Arc::new(());
    let mut waiting = Box::pin(gates.execute(Effect::Read, at_hand.clone(), attempt));
    assert!((&mut waiting).now_or_never().is_none());
    assert_eq!(Arc::strong_count(&at_hand), 1, "let go while it waits");
    drop(slot);
    waiting.await.unwrap_err();
    assert_eq!(*given.lock().unwrap(), [false, false]);
}

#[test]
fn gates_that_cannot_be_are_refused() {
    let policy = Policy { deadline: Some(Duration::ZERO), ..Policy::default() };
    let refused = Gates::new(policy, Source::new("payments", "any"), &Environment::new());
    assert!(refused.is_err());
}
