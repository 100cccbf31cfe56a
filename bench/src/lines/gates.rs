//! An asynchronous call through all gates, none of which has anything to object to.
//!
//! All limits lie far above what can be reached, and each operation asserts that it got its
//! answer. The driver is a static without a boxed future, so that nothing but gates is measured.

use std::fmt::Debug;
use std::future::{Ready, ready};
use std::num::NonZero;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use failsafe::futures::CircuitBreaker as _;
use governor::{Quota, RateLimiter};
use switchboard_core::{
    BreakerPolicy, BreakerWindow, BulkheadLimit, Policy, RateLimit, RetryPolicy,
};
use tokio::runtime::Builder;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tower::buffer::Buffer;
use tower::retry::Policy as RetryRule;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_resilience::bulkhead::BulkheadLayer;
use tower_resilience::circuitbreaker::CircuitBreakerLayer;
use tower_resilience::ratelimiter::RateLimiterLayer;
use tower_resilience::retry::RetryLayer;
use tower_resilience::timelimiter::TimeLimiterLayer;

use super::call::bare;
use crate::driver::{ANSWER, Fault, KEY, Length, ReadyDriver};
use crate::line::{Contender, Goal, Line, OURS};
use crate::ours;
use crate::rig::{Worker, block_on, each_async, inside_runtime};

pub fn line() -> Line {
    Line {
        name: "gates",
        about: "Call a driver that answers at once through deadline, rate limit, bulkhead, \
                breaker, retry and attempt timeout; nothing fails, waits or is refused. tower has \
                no breaker.",
        reference: BY_HAND,
        threads: &[1, 4],
        figure: None,
        needs: None,
        contenders: vec![
            ours(OURS, BreakerWindow::default()),
            ours(OURS_NARROW, BreakerWindow::Calls(10)),
            ours(OURS_WIDE, BreakerWindow::Calls(100_000)),
            by_hand(),
            tower_own(),
            tower_shared(),
            resilience(),
            bare(),
        ],
        goals: vec![
            Goal::times(OURS, 0.45, TOWER_OWN, 1),
            Goal::times(OURS, 0.40, BY_HAND, 1),
            Goal::times(OURS, 0.06, RESILIENCE, 1),
            Goal::times(OURS, 0.60, BY_HAND, 4),
            Goal::no_allocation(OURS),
            Goal::times(OURS_WIDE, 1.10, OURS_NARROW, 1),
        ],
    }
}

/// All gates of one policy.
fn ours(name: &'static str, window: BreakerWindow) -> Contender {
    Contender::new(name, move |_| {
        let policy = Policy {
            deadline: Some(DEADLINE),
            attempt_timeout: Some(ATTEMPT),
            rate_limit: Some(RateLimit {
                rate: CALLS_PER_SECOND.into(),
                per: Duration::from_secs(1),
                burst: CALLS_PER_SECOND.into(),
                wait: Duration::ZERO,
            }),
            bulkhead: Some(BulkheadLimit { max: 1_024, ..BulkheadLimit::default() }),
            breaker: Some(BreakerPolicy { window, min_calls: 5, ..BreakerPolicy::default() }),
            retry: Some(RetryPolicy::default()),
            ..Policy::default()
        };
        let handle = block_on(ours::handle(policy));
        move |_| {
            let handle = handle.clone();
            each_async(async move |_| assert_eq!(handle.get(KEY).await.ok(), Some(ANSWER)))
        }
    })
}

/// A good crate for each gate, put together as an application would.
fn by_hand() -> Contender {
    Contender::new(BY_HAND, |_| {
        let rate = NonZero::new(CALLS_PER_SECOND).expect("is above zero");
        let limiter = Arc::new(RateLimiter::direct(Quota::per_second(rate)));
        let slots = Arc::new(Semaphore::new(SLOTS));
        let breaker = failsafe::Config::new().build();
        move |_| {
            let (limiter, slots) = (Arc::clone(&limiter), Arc::clone(&slots));
            let breaker = breaker.clone();
            each_async(async move |_| {
                let call = async {
                    limiter.until_ready().await;
                    let _slot = slots.acquire().await.expect("is never closed");
                    let attempts = attempt.retry(ExponentialBuilder::default());
                    breaker.call(attempts).await.expect("is let through")
                };
                let answer = timeout(DEADLINE, call).await.expect("is in time");
                assert_eq!(answer, ANSWER);
            })
        }
    })
    .of(&["governor", "tokio", "failsafe", "backon"])
}

async fn attempt() -> Result<u64, Fault> {
    timeout(ATTEMPT, DRIVER.get_ready(KEY)).await.map_err(|_| Fault)?
}

/// Each thread has a stack, and so limits, of its own, because tower's rate limit cannot be
/// cloned: faster than anything that an application could share between its tasks.
fn tower_own() -> Contender {
    Contender::new(TOWER_OWN, |_| |_| inside_runtime(|| repeat(tower_stack()))).of(&["tower"])
}

/// One stack behind tower's buffer: what it takes to share the limits. A single thread runs the
/// buffer's task itself; several leave it to one more.
fn tower_shared() -> Contender {
    Contender::new("tower, behind Buffer", |threads| {
        let shared = (threads > 1).then(buffered_elsewhere);
        move |_| match &shared {
            Some(buffer) => repeat(buffer.clone()),
            None => inside_runtime(|| repeat(Buffer::new(tower_stack(), SLOTS))),
        }
    })
    .of(&["tower"])
}

fn buffered_elsewhere() -> impl Service<Key, Response = u64, Error = BoxError> + Clone + Send + Sync
{
    let runtime = Builder::new_current_thread().enable_time().build().expect("can be built");
    let inside = runtime.enter();
    let (buffer, task) = Buffer::pair(tower_stack(), SLOTS);
    drop(inside);
    // Ends by itself when the last clone of the buffer is gone.
    thread::spawn(move || runtime.block_on(task));
    buffer
}

fn tower_stack()
-> impl Service<Key, Response = u64, Error = BoxError, Future: Send + 'static> + Send + 'static {
    ServiceBuilder::new()
        .timeout(DEADLINE)
        .rate_limit(CALLS_PER_SECOND.into(), Duration::from_secs(1))
        .concurrency_limit(SLOTS)
        .retry(Attempts { left: ATTEMPTS - 1 })
        .timeout(ATTEMPT)
        .service(service_fn(|key| DRIVER.get_ready(key)))
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

/// All five layers, shared by all threads; each thread keeps a clone, so that no call makes one.
///
/// Its breaker waits for an asynchronous lock. On several threads most calls find it taken and
/// sleep until it is handed to them, so that waking threads is part of what is measured there.
fn resilience() -> Contender {
    Contender::new(RESILIENCE, |_| {
        let service = ServiceBuilder::new()
            .layer(
                TimeLimiterLayer::builder()
                    .timeout_duration(DEADLINE)
                    .cancel_running_future(true)
                    .build(),
            )
            .layer(
                RateLimiterLayer::builder()
                    .limit_for_period(CALLS_PER_SECOND as usize)
                    .refresh_period(Duration::from_secs(1))
                    .build()
                    .expect("is valid"),
            )
            .layer(BulkheadLayer::builder().max_concurrent_calls(SLOTS).build().expect("is valid"))
            .layer(
                CircuitBreakerLayer::builder()
                    .failure_rate_threshold(0.5)
                    .sliding_window_size(100)
                    .minimum_number_of_calls(20)
                    .build()
                    .expect("is valid"),
            )
            .layer(
                RetryLayer::<Key, u64, Fault>::builder()
                    .max_attempts(ATTEMPTS)
                    .exponential_backoff(Duration::from_millis(20))
                    .build(),
            )
            .service(service_fn(|key| DRIVER.get_ready(key)));
        assert_eq!(block_on(service.clone().oneshot(KEY)).expect("is let through"), ANSWER);
        move |_| repeat(service.clone())
    })
    .of(&["tower-resilience"])
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

const BY_HAND: &str = "by hand";
const TOWER_OWN: &str = "tower, a stack per thread";
const RESILIENCE: &str = "tower-resilience";
/// Ours with a breaker that looks back at 10 calls, and at 100 000.
const OURS_NARROW: &str = "switchboard, window of 10";
const OURS_WIDE: &str = "switchboard, window of 100 000";

static DRIVER: Length = Length;

/// Limits that nothing here comes near.
const CALLS_PER_SECOND: u32 = 1_000_000_000;
const SLOTS: usize = 1_024;
const DEADLINE: Duration = Duration::from_secs(30);
const ATTEMPT: Duration = Duration::from_secs(10);
const ATTEMPTS: usize = 3;
