//! A rate limit for each key as a layer.

use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use switchboard_core::{Error, KeyedRateLimiter, RateDecision, Result};
use tower_layer::Layer;
use tower_service::Service;

use super::classify::{self, BoxError};
use super::gated::Gated;
use super::meaning::{Announce, Silent};
use super::opaque;

/// Keeps the calls of a service to a pace for each key: a tenant, a user, an address.
///
/// All services it is laid around, and their clones, share the limiter. Nobody waits: a call that comes
/// too soon is refused with the exact wait in its [`retry`](Error::retry). What the limiter decided for
/// a call that may go on can be written into the answer, as HTTP does it with headers.
///
/// The key is made for each request; one that is expensive to make twice may be an [`Arc`] or a hash.
///
/// ```
/// use std::convert::Infallible;
/// use std::time::Duration;
/// use switchboard_core::{Clock, KeyedRateLimiter, RateDecision, RateLimit, Retry};
/// use switchboard_provider::bridge::tower::KeyedRateLimitLayer;
/// use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
///
/// #[derive(Clone)]
/// struct Request {
///     user: u64,
/// }
///
/// struct Response {
///     remaining: Option<u64>,
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> switchboard_core::Result<()> {
/// let limit = RateLimit { rate: 1, per: Duration::from_secs(2), burst: 1, ..RateLimit::default() };
/// let limiter = KeyedRateLimiter::new(limit, Clock::system())?;
/// let layer = KeyedRateLimitLayer::new(limiter, |request: &Request| request.user)
///     .announced_by(|decision: &RateDecision, response: &mut Response| {
///         response.remaining = Some(decision.remaining);
///     });
/// let mut service = ServiceBuilder::new()
///     .layer(layer)
///     .service(service_fn(async |_: Request| Ok::<_, Infallible>(Response { remaining: None })));
///
/// let answer = service.ready().await?.call(Request { user: 1 }).await?;
/// assert_eq!(answer.remaining, Some(0));
/// let refused = service.ready().await?.call(Request { user: 1 }).await.map(drop).unwrap_err();
/// assert_eq!(refused.retry(), Retry::After(Duration::from_secs(2)));
/// service.ready().await?.call(Request { user: 2 }).await?;
/// # Ok(()) }
/// ```
pub struct KeyedRateLimitLayer<K, F, A = Silent> {
    limiter: Arc<KeyedRateLimiter<K>>,
    key: F,
    announce: A,
}

/// A service behind a [`KeyedRateLimitLayer`].
pub struct KeyedRateLimitService<S, K, F, A = Silent> {
    inner: S,
    limiter: Arc<KeyedRateLimiter<K>>,
    key: F,
    announce: A,
}

impl<K, F> KeyedRateLimitLayer<K, F> {
    /// A layer that asks `limiter` for one cell of the key that `key` gives for a request.
    pub fn new<Request>(limiter: impl Into<Arc<KeyedRateLimiter<K>>>, key: F) -> Self
    where
        F: Fn(&Request) -> K,
    {
        Self { limiter: limiter.into(), key, announce: Silent }
    }

    /// The same, where `announce` writes into each answer what the limiter decided for its request.
    pub fn announced_by<A>(self, announce: A) -> KeyedRateLimitLayer<K, F, A> {
        KeyedRateLimitLayer { limiter: self.limiter, key: self.key, announce }
    }
}

impl<S, K, F: Clone, A: Clone> Layer<S> for KeyedRateLimitLayer<K, F, A> {
    type Service = KeyedRateLimitService<S, K, F, A>;

    fn layer(&self, inner: S) -> Self::Service {
        let Self { limiter, key, announce } = self.clone();
        KeyedRateLimitService { inner, limiter, key, announce }
    }
}

impl<S, K, F, A, Request> Service<Request> for KeyedRateLimitService<S, K, F, A>
where
    S: Service<Request>,
    S::Error: Into<BoxError>,
    K: Hash + Eq + Clone,
    F: Fn(&Request) -> K,
    A: Announce<S::Response> + Clone,
{
    type Response = S::Response;
    type Error = Error;
    type Future = KeyedRateLimitFuture<S::Future, A>;

    #[inline]
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        classify::poll_ready(&mut self.inner, context)
    }

    #[inline]
    fn call(&mut self, request: Request) -> Self::Future {
        let key = (self.key)(&request);
        let (answering, allowed) = match self.limiter.acquire(&key, 1) {
            Ok(decision) => {
                let announced = (decision, self.announce.clone());
                (Gated::asked(self.inner.call(request), ()), Some(announced))
            }
            Err(refusal) => (Gated::refused(refusal), None),
        };
        KeyedRateLimitFuture { answering, allowed }
    }
}

pin_project! {
    /// The answer, with what the limiter decided written into it.
    #[must_use = "a future does nothing until it is awaited"]
    pub struct KeyedRateLimitFuture<F, A> {
        #[pin]
        answering: Gated<F, ()>,
        allowed: Option<(RateDecision, A)>,
    }
}

impl<T, E, F, A> Future for KeyedRateLimitFuture<F, A>
where
    F: Future<Output = Result<T, E>>,
    E: Into<BoxError>,
    A: Announce<T>,
{
    type Output = Result<T>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let this = self.project();
        let mut answer = ready!(this.answering.poll(context));
        if let (Ok(answer), Some((decision, announce))) = (&mut answer, this.allowed.take()) {
            announce.announce(&decision, answer);
        }
        Poll::Ready(answer)
    }
}

impl<K, F: Clone, A: Clone> Clone for KeyedRateLimitLayer<K, F, A> {
    fn clone(&self) -> Self {
        let (limiter, key) = (self.limiter.clone(), self.key.clone());
        Self { limiter, key, announce: self.announce.clone() }
    }
}

impl<S: Clone, K, F: Clone, A: Clone> Clone for KeyedRateLimitService<S, K, F, A> {
    fn clone(&self) -> Self {
        let (inner, limiter) = (self.inner.clone(), self.limiter.clone());
        Self { inner, limiter, key: self.key.clone(), announce: self.announce.clone() }
    }
}

impl<K, F, A> fmt::Debug for KeyedRateLimitLayer<K, F, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedRateLimitLayer")
            .field("limiter", &self.limiter)
            .finish_non_exhaustive()
    }
}

impl<S, K, F, A> fmt::Debug for KeyedRateLimitService<S, K, F, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedRateLimitService")
            .field("limiter", &self.limiter)
            .finish_non_exhaustive()
    }
}

opaque!(KeyedRateLimitFuture<F, A>);
