//! What the tests call, and the gates they call it through.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use switchboard_core::{
    Backoff, Breaker, BreakerPolicy, Bulkhead, BulkheadLimit, Clock, Error, ErrorKind, Events,
    Gates, Jitter, Policy, RateLimit, RateLimiter, Reply, Result, RetryPolicy, Source,
};
use switchboard_testkit::{Answer, Script};
use tower::Service;

/// A service that does what its script says, and that insists on being ready: it panics when a clone
/// is called that nobody has made ready for that call.
#[derive(Debug)]
pub(crate) struct Scripted {
    script: Script<u32>,
    is_ready: bool,
}

impl Scripted {
    /// A service that plays `script`; without one, the answer is the request.
    pub(crate) fn new(script: &Script<u32>) -> Self {
        Self { script: script.clone(), is_ready: false }
    }
}

impl Clone for Scripted {
    fn clone(&self) -> Self {
        Self { script: self.script.clone(), is_ready: false }
    }
}

impl Service<u32> for Scripted {
    type Response = u32;
    type Error = Error;
    type Future = Reply<'static, u32>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<()>> {
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u32) -> Reply<'static, u32> {
        assert!(self.is_ready, "called without having been made ready");
        self.is_ready = false;
        self.script.call(request)
    }
}

/// Cannot become ready.
#[derive(Clone, Debug)]
pub(crate) struct Broken;

impl Service<u32> for Broken {
    type Response = u32;
    type Error = io::Error;
    type Future = std::future::Pending<io::Result<u32>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(out_of_order()))
    }

    fn call(&mut self, _request: u32) -> Self::Future {
        panic!("called although it cannot become ready")
    }
}

/// A script that answers each of `answers` to request 7, and everything after that with the request.
pub(crate) fn script(answers: impl IntoIterator<Item = Answer>) -> Script<u32> {
    let script = Script::new();
    script.otherwise(|request| Answer::reply(*request));
    for answer in answers {
        script.expect(7, answer);
    }
    script
}

pub(crate) fn lost() -> Error {
    Error::new(ErrorKind::Unavailable, "connection lost")
}

pub(crate) fn out_of_order() -> io::Error {
    io::Error::other("out of order")
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// One cell a second, of which one is there; a call waits for up to `wait` seconds.
pub(crate) fn limiter(wait: u64) -> Arc<RateLimiter> {
    Arc::new(RateLimiter::new(one_a_second(wait), Clock::system()).unwrap())
}

pub(crate) fn one_a_second(wait: u64) -> RateLimit {
    RateLimit { rate: 1, per: seconds(1), burst: 1, wait: seconds(wait) }
}

/// One slot, for which calls wait up to `wait` seconds.
pub(crate) fn bulkhead(wait: u64) -> Arc<Bulkhead> {
    Arc::new(Bulkhead::new(one_slot(wait), Clock::system()).unwrap())
}

pub(crate) fn one_slot(wait: u64) -> BulkheadLimit {
    BulkheadLimit { max: 1, wait: seconds(wait), ..BulkheadLimit::default() }
}

/// A breaker that opens with the failure of every call it has seen, once these are `min_calls`.
pub(crate) fn breaker(min_calls: u32) -> Arc<Breaker> {
    let policy = BreakerPolicy { failure_rate: 1.0, ..opens_after(min_calls) };
    Arc::new(Breaker::new(policy, source(), Events::new(), Clock::system()).unwrap())
}

pub(crate) fn opens_after(min_calls: u32) -> BreakerPolicy {
    BreakerPolicy { min_calls, jitter: Jitter::None, ..BreakerPolicy::default() }
}

/// How many calls the window of `breaker` holds, and how many of them failed.
pub(crate) fn counted(breaker: &Breaker) -> (u64, u64) {
    let figures = breaker.figures_at(Clock::system().now());
    (figures.calls, figures.failures)
}

/// Three attempts, a second apart.
pub(crate) fn thrice() -> RetryPolicy {
    RetryPolicy {
        attempts: 3,
        backoff: Backoff { first: seconds(1), max: seconds(1) },
        jitter: Jitter::None,
        ..RetryPolicy::default()
    }
}

pub(crate) fn all_of(policy: Policy) -> Arc<Gates> {
    Arc::new(Gates::new(policy, source(), &switchboard_core::Environment::new()).unwrap())
}

fn source() -> Source {
    Source::new("tower", "any")
}
