//! A breaker as a layer.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use pin_project_lite::pin_project;
use switchboard_core::{Breaker, BreakerPermit, Error, Outcome, Result};
use tower_layer::Layer;
use tower_service::Service;

use super::attempted::Attempted;
use super::classify::{BoxError, Classified};
use super::meaning::{AllGood, Judge};
use super::opaque;

/// Stops calling a service while a [`Breaker`] is open.
///
/// All services it is laid around, and their clones, share the breaker. It counts what the service
/// answers by the class of the error; a call that is dropped, and a refusal by a gate further in,
/// count as nothing.
///
/// ```
/// use switchboard_core::{Breaker, BreakerPolicy, Clock, Events, Gate, Source};
/// use switchboard_provider::bridge::tower::BreakerLayer;
/// use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> switchboard_core::Result<()> {
/// let policy = BreakerPolicy { min_calls: 1, ..BreakerPolicy::default() };
/// let source = Source::new("payments", "stripe");
/// let breaker = Breaker::new(policy, source, Events::new(), Clock::system())?;
/// let mut failing = ServiceBuilder::new()
///     .layer(BreakerLayer::new(breaker))
///     .service(service_fn(async |_: u64| Err::<u64, _>(std::io::Error::other("out of order"))));
/// failing.ready().await?.call(7).await.unwrap_err();
/// let refused = failing.ready().await?.call(7).await.unwrap_err();
/// assert_eq!(refused.gate(), Some(Gate::Breaker));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct BreakerLayer<J = AllGood> {
    breaker: Arc<Breaker>,
    judge: J,
}

/// A service behind a [`BreakerLayer`].
#[derive(Clone)]
pub struct BreakerService<S, J = AllGood> {
    inner: Attempted<S>,
    breaker: Arc<Breaker>,
    judge: J,
}

impl BreakerLayer {
    /// A layer that asks `breaker`.
    pub fn new(breaker: impl Into<Arc<Breaker>>) -> Self {
        Self { breaker: breaker.into(), judge: AllGood }
    }
}

impl<J> BreakerLayer<J> {
    /// The same, where `judge` sees failures in answers.
    pub fn judged_by<K>(self, judge: K) -> BreakerLayer<K> {
        BreakerLayer { breaker: self.breaker, judge }
    }
}

impl<S, J: Clone> Layer<S> for BreakerLayer<J> {
    type Service = BreakerService<S, J>;

    fn layer(&self, inner: S) -> BreakerService<S, J> {
        let (breaker, judge) = (self.breaker.clone(), self.judge.clone());
        BreakerService { inner: Attempted::new(inner), breaker, judge }
    }
}

impl<S, J, Request> Service<Request> for BreakerService<S, J>
where
    S: Service<Request>,
    S::Error: Into<BoxError>,
    J: Judge<S::Response> + Clone,
{
    type Response = S::Response;
    type Error = Error;
    type Future = BreakerFuture<S::Future, J>;

    #[inline]
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.inner.poll_ready(context)
    }

    #[inline]
    fn call(&mut self, request: Request) -> Self::Future {
        let began = self.breaker.clock().now();
        let mut leave = match self.breaker.owned_permit_at(began) {
            Ok(leave) => leave,
            Err(refusal) => {
                self.inner.forget_failure();
                return BreakerFuture { stage: Stage::Over { refusal: Some(refusal) } };
            }
        };
        let future = self.inner.call(request);
        leave.set_at_work(false);
        let (leave, judge) = (Some(leave), self.judge.clone());
        BreakerFuture { stage: Stage::Asked { future, leave, judge, began, has_waited: false } }
    }
}

pin_project! {
    /// The answer behind a breaker.
    #[must_use = "a future does nothing until it is awaited"]
    pub struct BreakerFuture<F, J> {
        #[pin]
        stage: Stage<Classified<F>, J>,
    }
}

pin_project! {
    #[project = StageProjection]
    enum Stage<F, J> {
        Asked {
            #[pin]
            future: F,
            leave: Option<BreakerPermit<Arc<Breaker>>>,
            judge: J,
            began: Instant,
            has_waited: bool,
        },
        Over { refusal: Option<Error> },
    }
}

impl<T, E, F, J> Future for BreakerFuture<F, J>
where
    F: Future<Output = Result<T, E>>,
    E: Into<BoxError>,
    J: Judge<T>,
{
    type Output = Result<T>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let mut stage = self.project().stage;
        let over = match stage.as_mut().project() {
            StageProjection::Asked { future, leave, judge, began, has_waited } => {
                // Taken out, so that a panic drops it while it unwinds: that is a failure.
                let Some(mut permit) = leave.take() else { return Poll::Pending };
                permit.set_at_work(true);
                let poll = future.poll(context);
                permit.set_at_work(false);
                let Poll::Ready(result) = poll else {
                    (*leave, *has_waited) = (Some(permit), true);
                    return Poll::Pending;
                };
                // The clock is read again only if time can have passed.
                let now = if *has_waited { permit.breaker().clock().now() } else { *began };
                record(&mut permit, judge, *began, now, &result);
                result
            }
            StageProjection::Over { refusal } => match refusal.take() {
                Some(refusal) => Err(refusal),
                // Polled again after its end.
                None => return Poll::Pending,
            },
        };
        stage.set(Stage::Over { refusal: None });
        Poll::Ready(over)
    }
}

#[inline]
fn record<T>(
    leave: &mut BreakerPermit<Arc<Breaker>>,
    judge: &impl Judge<T>,
    began: Instant,
    now: Instant,
    result: &Result<T>,
) {
    let took = Some(now.saturating_duration_since(began));
    let failure = match result {
        Ok(answer) => judge.failure(answer),
        // Nobody was asked, so nothing follows for the service.
        Err(error) if error.gate().is_some() && error.outcome() == Outcome::NotApplied => return,
        Err(_) => None,
    };
    match failure {
        Some(failure) => leave.record_result_at::<()>(now, &Err(failure), took),
        None => leave.record_result_at(now, result, took),
    }
}

impl<J> std::fmt::Debug for BreakerLayer<J> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BreakerLayer").field("breaker", &self.breaker).finish_non_exhaustive()
    }
}

impl<S, J> std::fmt::Debug for BreakerService<S, J> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BreakerService").field("breaker", &self.breaker).finish_non_exhaustive()
    }
}

opaque!(BreakerFuture<F, J>);
