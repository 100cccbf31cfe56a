//! The time one attempt may take, as a layer.

use std::task::{Context, Poll};

use switchboard_core::{AttemptTimeout, Error, Limited, Result};
use tower_layer::Layer;
use tower_service::Service;

use super::classify::{self, BoxError, Classified};

/// Ends calls of a service that take longer than an [`AttemptTimeout`] allows.
///
/// The timer is armed when a call first has to wait, so an answer that is there at once costs none.
///
/// ```
/// use std::convert::Infallible;
/// use std::time::Duration;
/// use switchboard_core::{AttemptTimeout, ErrorKind, Outcome};
/// use switchboard_provider::bridge::tower::AttemptTimeoutLayer;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let timeout = AttemptTimeout::new(Duration::from_secs(1));
/// let stuck = ServiceBuilder::new()
///     .layer(AttemptTimeoutLayer::new(timeout))
///     .service(service_fn(|_: u64| std::future::pending::<Result<u64, Infallible>>()));
/// let late = stuck.oneshot(7).await.unwrap_err();
/// assert_eq!((late.kind(), late.outcome()), (ErrorKind::Timeout, Outcome::Unknown));
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct AttemptTimeoutLayer {
    timeout: AttemptTimeout,
}

/// A service behind an [`AttemptTimeoutLayer`].
#[derive(Clone, Debug)]
pub struct AttemptTimeoutService<S> {
    inner: S,
    timeout: AttemptTimeout,
}

impl AttemptTimeoutLayer {
    /// A layer that gives each call the time of `timeout`.
    pub fn new(timeout: AttemptTimeout) -> Self {
        Self { timeout }
    }
}

impl<S> Layer<S> for AttemptTimeoutLayer {
    type Service = AttemptTimeoutService<S>;

    fn layer(&self, inner: S) -> AttemptTimeoutService<S> {
        AttemptTimeoutService { inner, timeout: self.timeout }
    }
}

impl<S, Request> Service<Request> for AttemptTimeoutService<S>
where
    S: Service<Request>,
    S::Error: Into<BoxError>,
{
    type Response = S::Response;
    type Error = Error;
    type Future = Limited<Classified<S::Future>>;

    #[inline]
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        classify::poll_ready(&mut self.inner, context)
    }

    #[inline]
    fn call(&mut self, request: Request) -> Self::Future {
        self.timeout.limit(Classified::new(self.inner.call(request)))
    }
}
