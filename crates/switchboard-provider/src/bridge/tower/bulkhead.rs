//! A bulkhead as a layer.

use std::sync::Arc;
use std::task::{Context, Poll};

use switchboard_core::{Bulkhead, Deadline, Error, OwnedPermit, Result};
use tower_layer::Layer;
use tower_service::Service;

use super::classify::{self, BoxError};
use super::gated::Gated;

/// Lets as many calls of a service run at the same time as a [`Bulkhead`] has slots.
///
/// All services it is laid around, and their clones, share the slots. A call that finds none free
/// queues within the bulkhead's limits and the deadline it inherits; it keeps its slot until it has
/// been answered or dropped.
///
/// ```
/// use std::convert::Infallible;
/// use std::time::Duration;
/// use switchboard_core::{Bulkhead, BulkheadLimit, Clock, Gate};
/// use switchboard_provider::bridge::tower::BulkheadLayer;
/// use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> switchboard_core::Result<()> {
/// let limit = BulkheadLimit { max: 1, wait: Duration::ZERO, ..BulkheadLimit::default() };
/// let mut one_at_a_time = ServiceBuilder::new()
///     .layer(BulkheadLayer::new(Bulkhead::new(limit, Clock::system())?))
///     .service(service_fn(async |number: u64| Ok::<_, Infallible>(number)));
/// let first = one_at_a_time.ready().await?.call(1);
/// let refused = one_at_a_time.ready().await?.call(2).await.unwrap_err();
/// assert_eq!(refused.gate(), Some(Gate::Bulkhead));
/// assert_eq!(first.await?, 1);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct BulkheadLayer {
    bulkhead: Arc<Bulkhead>,
}

/// A service behind a [`BulkheadLayer`].
#[derive(Clone, Debug)]
pub struct BulkheadService<S> {
    inner: S,
    bulkhead: Arc<Bulkhead>,
}

impl BulkheadLayer {
    /// A layer that asks `bulkhead`.
    pub fn new(bulkhead: impl Into<Arc<Bulkhead>>) -> Self {
        Self { bulkhead: bulkhead.into() }
    }
}

impl<S> Layer<S> for BulkheadLayer {
    type Service = BulkheadService<S>;

    fn layer(&self, inner: S) -> BulkheadService<S> {
        BulkheadService { inner, bulkhead: self.bulkhead.clone() }
    }
}

impl<S, Request> Service<Request> for BulkheadService<S>
where
    S: Service<Request> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    Request: Send + 'static,
{
    type Response = S::Response;
    type Error = Error;
    type Future = Gated<S::Future, OwnedPermit>;

    #[inline]
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        classify::poll_ready(&mut self.inner, context)
    }

    #[inline]
    fn call(&mut self, request: Request) -> Self::Future {
        let refusal = match self.bulkhead.try_acquire() {
            Ok(permit) => {
                let permit = permit.into_owned(&self.bulkhead);
                return Gated::asked(self.inner.call(request), permit);
            }
            Err(refusal) => refusal,
        };
        if self.bulkhead.limit().wait.is_zero() {
            return Gated::refused(refusal);
        }
        let bulkhead = self.bulkhead.clone();
        let slot = async move {
            let permit = bulkhead.acquire(Deadline::current().map(Deadline::moment)).await?;
            Ok(permit.into_owned(&bulkhead))
        };
        Gated::waiting(&mut self.inner, request, slot)
    }
}
