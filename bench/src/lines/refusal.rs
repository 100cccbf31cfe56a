//! What a call costs that a breaker refuses.

use std::future::ready;
use std::iter;
use std::time::Duration;

use failsafe::failure_policy::consecutive_failures;
use failsafe::futures::CircuitBreaker as _;
use switchboard_core::{BreakerPolicy, Gate, Policy};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_resilience::circuitbreaker::{CircuitBreakerError, CircuitBreakerLayer};

use super::call::{BARE, bare};
use crate::driver::{Fault, KEY, Length, ReadyDriver};
use crate::line::{Contender, Goal, Line, OURS};
use crate::ours;
use crate::rig::{block_on, each_async};

pub fn line() -> Line {
    Line {
        name: "refusal",
        about: "Call through a breaker that is open, and be refused; beside it a bare call, which \
                is not.",
        reference: BARE,
        threads: &[1, 4],
        figure: None,
        needs: None,
        contenders: vec![ours(), failsafe(), resilience(), bare()],
        goals: vec![
            Goal::above(OURS, 30.0, BARE, 1),
            Goal::above(OURS, 30.0, BARE, 4),
            Goal::no_allocation(OURS),
        ],
    }
}

fn ours() -> Contender {
    Contender::new(OURS, |_| {
        let breaker = BreakerPolicy { open_for: OPEN_FOR, ..BreakerPolicy::default() };
        let breaker = BreakerPolicy { open_for_max: OPEN_FOR, ..breaker };
        let policy = Policy { breaker: Some(breaker), ..Policy::default() };
        let handle = block_on(ours::handle(policy));
        let gates = handle.0.gates().expect("has a policy");
        gates.breaker().expect("has a breaker").force_open();
        move |_| {
            let handle = handle.clone();
            each_async(async move |_| {
                let refused = handle.get(KEY).await;
                assert!(refused.is_err_and(|error| error.gate() == Some(Gate::Breaker)));
            })
        }
    })
}

fn failsafe() -> Contender {
    Contender::new("failsafe", |_| {
        let policy = consecutive_failures(1, iter::repeat(OPEN_FOR));
        let breaker = failsafe::Config::new().failure_policy(policy).build();
        let failed = block_on(breaker.call(ready(Err::<u64, _>(Fault))));
        assert!(matches!(failed, Err(failsafe::Error::Inner(Fault))));
        move |_| {
            let breaker = breaker.clone();
            each_async(async move |_| {
                let refused = breaker.call(DRIVER.get_ready(KEY)).await;
                assert!(matches!(refused, Err(failsafe::Error::Rejected)));
            })
        }
    })
    .of(&["failsafe"])
}

fn resilience() -> Contender {
    Contender::new("tower-resilience", |_| {
        let layer = CircuitBreakerLayer::builder()
            .wait_duration_in_open(OPEN_FOR)
            .build()
            .expect("is valid");
        let breaker = layer.layer(service_fn(|key| DRIVER.get_ready(key)));
        block_on(breaker.force_open());
        move |_| {
            let mut breaker = breaker.clone();
            each_async(async move |_| {
                let refused = breaker.ready().await.expect("becomes ready").call(KEY).await;
                assert!(matches!(refused, Err(CircuitBreakerError::OpenCircuit)));
            })
        }
    })
    .of(&["tower-resilience"])
}

static DRIVER: Length = Length;

/// No breaker closes while it is measured.
const OPEN_FOR: Duration = Duration::from_secs(24 * 60 * 60);
