//! A ready service behind single gates, each a tower layer of its own.
//!
//! All limits lie far above what can be reached, and each operation asserts that it got its answer.

use std::fmt::Debug;
use std::future::{Ready, ready};
use std::time::Duration;

use switchboard_core::{
    AttemptTimeout, Breaker, BreakerPolicy, Bulkhead, BulkheadLimit, Clock, Effect, Environment,
    Events, Gates, Policy, RateLimit, RateLimiter, RetryPolicy, Source,
};
use switchboard_provider::bridge::tower::{
    AttemptTimeoutLayer, BreakerLayer, BulkheadLayer, GatesLayer, RateLimitLayer, RetryLayer,
};
use tower::retry::Policy as RetryRule;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_resilience::bulkhead::BulkheadLayer as TheirBulkheadLayer;
use tower_resilience::circuitbreaker::CircuitBreakerLayer;
use tower_resilience::ratelimiter::RateLimiterLayer;
use tower_resilience::retry::RetryLayer as TheirRetryLayer;
use tower_resilience::timelimiter::{FixedTimeout, TimeLimiterError, TimeLimiterLayer};

use crate::driver::{ANSWER, Fault, KEY, Length, ReadyDriver};
use crate::line::{Contender, Goal, Line, OURS};
use crate::rig::{Worker, block_on, each_async, inside_runtime};

pub fn line() -> Line {
    Line {
        name: "layers",
        about: "Call a tower service that answers at once through four layers: rate limit, \
                bulkhead, retry, attempt timeout. Each thread keeps a clone of one service, but for \
                tower's own layers, which have no rate limit that can be cloned, and no breaker at \
                all.",
        reference: TOWER,
        threads: &[1, 4],
        figure: None,
        needs: None,
        contenders: vec![
            ours(),
            ours_with_breaker(),
            ours_in_one(),
            tower(),
            resilience(),
            resilience_with_breaker(),
            bare(),
        ],
        goals: vec![
            Goal::times(OURS, 0.6, TOWER, 1),
            Goal::times(OURS, 0.25, RESILIENCE, 1),
            Goal::times(OURS_WITH_BREAKER, 0.25, RESILIENCE_WITH_BREAKER, 1),
            Goal::no_allocation(OURS),
            Goal::no_allocation(OURS_WITH_BREAKER),
        ],
    }
}

fn ours() -> Contender {
    Contender::new(OURS, |_| {
        let service = ServiceBuilder::new()
            .layer(rate_limit())
            .layer(bulkhead())
            .layer(retry())
            .layer(attempt_timeout())
            .service(service_fn(|key| DRIVER.get_ready(key)));
        move |_| repeat(service.clone())
    })
}

fn ours_with_breaker() -> Contender {
    Contender::new(OURS_WITH_BREAKER, |_| {
        let service = ServiceBuilder::new()
            .layer(rate_limit())
            .layer(bulkhead())
            .layer(breaker())
            .layer(retry())
            .layer(attempt_timeout())
            .service(service_fn(|key| DRIVER.get_ready(key)));
        move |_| repeat(service.clone())
    })
}

/// The gates of one policy in one layer: what they do together costs a box for each call.
fn ours_in_one() -> Contender {
    Contender::new("switchboard, one layer with breaker", |_| {
        let policy = Policy {
            rate_limit: Some(RATE_LIMIT),
            bulkhead: Some(BulkheadLimit { max: SLOTS, ..BulkheadLimit::default() }),
            breaker: Some(BreakerPolicy::default()),
            retry: Some(RetryPolicy::default()),
            attempt_timeout: Some(ATTEMPT),
            ..Policy::default()
        };
        let gates = Gates::new(policy, source(), &Environment::new()).expect("is valid");
        let service = ServiceBuilder::new()
            .layer(GatesLayer::new(gates).with_effect(Effect::Read))
            .service(service_fn(|key| DRIVER.get_ready(key)));
        move |_| repeat(service.clone())
    })
}

fn rate_limit() -> RateLimitLayer {
    RateLimitLayer::new(RateLimiter::new(RATE_LIMIT, Clock::system()).expect("is valid"))
}

fn bulkhead() -> BulkheadLayer {
    let limit = BulkheadLimit { max: SLOTS, ..BulkheadLimit::default() };
    BulkheadLayer::new(Bulkhead::new(limit, Clock::system()).expect("is valid"))
}

fn breaker() -> BreakerLayer {
    let policy = BreakerPolicy::default();
    let breaker = Breaker::new(policy, source(), Events::new(), Clock::system());
    BreakerLayer::new(breaker.expect("is valid"))
}

fn retry() -> RetryLayer {
    let layer = RetryLayer::new(RetryPolicy::default(), Clock::system()).expect("is valid");
    layer.with_effect(Effect::Read)
}

fn attempt_timeout() -> AttemptTimeoutLayer {
    AttemptTimeoutLayer::new(AttemptTimeout::new(ATTEMPT))
}

fn source() -> Source {
    Source::new("bench", "layers")
}

/// Each thread has a stack, and so limits, of its own: faster than anything that an application could
/// share between its tasks.
fn tower() -> Contender {
    Contender::new(TOWER, |_| {
        |_| {
            inside_runtime(|| {
                repeat(
                    ServiceBuilder::new()
                        .rate_limit(CALLS_PER_SECOND, Duration::from_secs(1))
                        .concurrency_limit(SLOTS as usize)
                        .retry(Attempts { left: ATTEMPTS - 1 })
                        .timeout(ATTEMPT)
                        .service(service_fn(|key| DRIVER.get_ready(key))),
                )
            })
        }
    })
    .of(&["tower"])
}

/// Tries again at once; nothing fails here, so no back-off is ever slept.
#[derive(Clone)]
struct Attempts {
    left: usize,
}

impl RetryRule<Key, u64, BoxError> for Attempts {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        _request: &mut Key,
        result: &mut Result<u64, BoxError>,
    ) -> Option<Self::Future> {
        if result.is_ok() {
            return None;
        }
        self.left = self.left.checked_sub(1)?;
        Some(ready(()))
    }

    fn clone_request(&mut self, request: &Key) -> Option<Key> {
        Some(request)
    }
}

fn resilience() -> Contender {
    Contender::new(RESILIENCE, |_| {
        let service = ServiceBuilder::new()
            .layer(their_rate_limit())
            .layer(their_bulkhead())
            .layer(their_retry())
            .layer(their_time_limit())
            .service(service_fn(|key| DRIVER.get_ready(key)));
        assert_eq!(block_on(service.clone().oneshot(KEY)).expect("is let through"), ANSWER);
        move |_| repeat(service.clone())
    })
    .of(&["tower-resilience"])
}

fn resilience_with_breaker() -> Contender {
    Contender::new(RESILIENCE_WITH_BREAKER, |_| {
        let breaker = CircuitBreakerLayer::builder()
            .failure_rate_threshold(0.5)
            .sliding_window_size(100)
            .minimum_number_of_calls(20)
            .build()
            .expect("is valid");
        let service = ServiceBuilder::new()
            .layer(their_rate_limit())
            .layer(their_bulkhead())
            .layer(breaker)
            .layer(their_retry())
            .layer(their_time_limit())
            .service(service_fn(|key| DRIVER.get_ready(key)));
        assert_eq!(block_on(service.clone().oneshot(KEY)).expect("is let through"), ANSWER);
        move |_| repeat(service.clone())
    })
    .of(&["tower-resilience"])
}

fn their_rate_limit() -> RateLimiterLayer {
    RateLimiterLayer::builder()
        .limit_for_period(usize::try_from(CALLS_PER_SECOND).expect("fits"))
        .refresh_period(Duration::from_secs(1))
        .build()
        .expect("is valid")
}

fn their_bulkhead() -> TheirBulkheadLayer {
    let layer = TheirBulkheadLayer::builder().max_concurrent_calls(SLOTS as usize).build();
    layer.expect("is valid")
}

fn their_retry() -> TheirRetryLayer<Key, u64, TimeLimiterError<Fault>> {
    TheirRetryLayer::builder()
        .max_attempts(ATTEMPTS)
        .exponential_backoff(Duration::from_millis(50))
        .build()
}

fn their_time_limit() -> TimeLimiterLayer<FixedTimeout> {
    TimeLimiterLayer::builder().timeout_duration(ATTEMPT).cancel_running_future(true).build()
}

fn bare() -> Contender {
    Contender::new("bare service", |_| |_| repeat(service_fn(|key: Key| DRIVER.get_ready(key))))
}

/// A worker that sends the same request again and again.
fn repeat<S>(mut service: S) -> Worker
where
    S: Service<Key, Response = u64, Error: Debug> + 'static,
{
    each_async(async move |_| {
        let service = service.ready().await.expect("becomes ready");
        assert_eq!(service.call(KEY).await.expect("is let through"), ANSWER);
    })
}

type Key = &'static str;

const OURS_WITH_BREAKER: &str = "switchboard, with breaker";
const TOWER: &str = "tower, a stack per thread";
const RESILIENCE: &str = "tower-resilience";
const RESILIENCE_WITH_BREAKER: &str = "tower-resilience, with breaker";

static DRIVER: Length = Length;

/// Limits that nothing here comes near.
const CALLS_PER_SECOND: u64 = 1_000_000_000;
const RATE_LIMIT: RateLimit = RateLimit {
    rate: CALLS_PER_SECOND,
    per: Duration::from_secs(1),
    burst: CALLS_PER_SECOND,
    wait: Duration::ZERO,
};
const SLOTS: u32 = 1_024;
const ATTEMPT: Duration = Duration::from_secs(10);
const ATTEMPTS: usize = 3;
