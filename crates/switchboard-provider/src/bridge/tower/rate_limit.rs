//! A rate limiter as a layer.

use std::sync::Arc;
use std::task::{Context, Poll};

use switchboard_core::{Deadline, Error, RateLimiter, Result, Retry};
use tower_layer::Layer;
use tower_service::Service;

use super::classify::{self, BoxError};
use super::gated::Gated;

/// Lets calls of a service begin at the pace of a [`RateLimiter`].
///
/// All services it is laid around, and their clones, share the limiter. A call that cannot begin at
/// once waits for its turn within the limiter's longest wait and the deadline it inherits, and is
/// refused where that would be too late.
///
/// ```
/// use std::convert::Infallible;
/// use std::time::Duration;
/// use switchboard_core::{Clock, Gate, RateLimit, RateLimiter};
/// use switchboard_provider::bridge::tower::RateLimitLayer;
/// use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> switchboard_core::Result<()> {
/// let limit = RateLimit { rate: 1, per: Duration::from_secs(60), burst: 1, wait: Duration::ZERO };
/// let mut once = ServiceBuilder::new()
///     .layer(RateLimitLayer::new(RateLimiter::new(limit, Clock::system())?))
///     .service(service_fn(async |number: u64| Ok::<_, Infallible>(number)));
/// assert_eq!(once.ready().await?.call(7).await?, 7);
/// let refused = once.ready().await?.call(7).await.unwrap_err();
/// assert_eq!(refused.gate(), Some(Gate::RateLimit));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct RateLimitLayer {
    limiter: Arc<RateLimiter>,
}

/// A service behind a [`RateLimitLayer`].
#[derive(Clone, Debug)]
pub struct RateLimitService<S> {
    inner: S,
    limiter: Arc<RateLimiter>,
}

impl RateLimitLayer {
    /// A layer that asks `limiter`.
    pub fn new(limiter: impl Into<Arc<RateLimiter>>) -> Self {
        Self { limiter: limiter.into() }
    }
}

impl<S> Layer<S> for RateLimitLayer {
    type Service = RateLimitService<S>;

    fn layer(&self, inner: S) -> RateLimitService<S> {
        RateLimitService { inner, limiter: self.limiter.clone() }
    }
}

impl<S> RateLimitService<S> {
    /// Whether the turn of a call that was refused comes soon enough to wait for it.
    #[cold]
    fn waits_for(&self, refusal: &Error) -> bool {
        match refusal.retry() {
            Retry::After(wait) => wait <= self.limiter.settings().wait,
            _ => false,
        }
    }
}

impl<S, Request> Service<Request> for RateLimitService<S>
where
    S: Service<Request> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    Request: Send + 'static,
{
    type Response = S::Response;
    type Error = Error;
    type Future = Gated<S::Future, ()>;

    #[inline]
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        classify::poll_ready(&mut self.inner, context)
    }

    #[inline]
    fn call(&mut self, request: Request) -> Self::Future {
        let Err(refusal) = self.limiter.try_acquire(1) else {
            return Gated::asked(self.inner.call(request), ());
        };
        if !self.waits_for(&refusal) {
            return Gated::refused(refusal);
        }
        let limiter = self.limiter.clone();
        let turn =
            async move { limiter.acquire(1, Deadline::current().map(Deadline::moment)).await };
        Gated::waiting(&mut self.inner, request, turn)
    }
}
