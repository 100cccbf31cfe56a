//! The time a whole call may take, as a layer.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use switchboard_core::{Clock, Deadline, Error, Limited, Result};
use tower_layer::Layer;
use tower_service::Service;

use super::classify::{self, BoxError, Classified};
use super::opaque;

/// Ends calls of a service that take longer than a limit, and lets everything inside know of it: gates
/// further in do not wait, and retries are not begun, past the deadline.
///
/// A call that inherits an earlier deadline keeps that one.
///
/// ```
/// use std::time::Duration;
/// use switchboard_core::{Clock, Deadline};
/// use switchboard_provider::bridge::tower::DeadlineLayer;
/// use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> switchboard_core::Result<()> {
/// let clock = Clock::system();
/// let end = clock.now() + Duration::from_secs(2);
/// let inherited = ServiceBuilder::new()
///     .layer(DeadlineLayer::new(Duration::from_secs(2), clock))
///     .service(service_fn(async |_: ()| Ok::<_, BoxError>(Deadline::current())));
/// assert_eq!(inherited.oneshot(()).await?, Some(Deadline::at(end)));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct DeadlineLayer {
    limit: Duration,
    clock: Clock,
}

/// A service behind a [`DeadlineLayer`].
#[derive(Clone, Debug)]
pub struct DeadlineService<S> {
    inner: S,
    limit: Duration,
    clock: Clock,
}

impl DeadlineLayer {
    /// A layer that gives each call `limit`, with all its waits.
    pub fn new(limit: Duration, clock: Clock) -> Self {
        Self { limit, clock }
    }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = DeadlineService<S>;

    fn layer(&self, inner: S) -> DeadlineService<S> {
        DeadlineService { inner, limit: self.limit, clock: self.clock.clone() }
    }
}

impl<S> DeadlineService<S> {
    /// When a call that begins now has to be done; a refusal if that has passed.
    fn deadline(&self) -> Result<Deadline> {
        let own = Deadline::within(&self.clock, self.limit);
        let Some(around) = Deadline::current() else { return Ok(own) };
        around.check(&self.clock)?;
        Ok(around.min(own))
    }
}

impl<S, Request> Service<Request> for DeadlineService<S>
where
    S: Service<Request>,
    S::Error: Into<BoxError>,
{
    type Response = S::Response;
    type Error = Error;
    type Future = DeadlineFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        classify::poll_ready(&mut self.inner, context)
    }

    #[inline]
    fn call(&mut self, request: Request) -> Self::Future {
        let deadline = match self.deadline() {
            Ok(deadline) => deadline,
            Err(refusal) => {
                return DeadlineFuture { stage: Stage::Over { refusal: Some(refusal) } };
            }
        };
        let future = Classified::new(deadline.inside(|| self.inner.call(request)));
        let limited = deadline.limit(future);
        DeadlineFuture { stage: Stage::Asked { limited, deadline } }
    }
}

pin_project! {
    /// The answer before a deadline.
    #[must_use = "a future does nothing until it is awaited"]
    pub struct DeadlineFuture<F> {
        #[pin]
        stage: Stage<F>,
    }
}

pin_project! {
    #[project = StageProjection]
    enum Stage<F> {
        Asked { #[pin] limited: Limited<Classified<F>>, deadline: Deadline },
        Over { refusal: Option<Error> },
    }
}

impl<T, E, F> Future for DeadlineFuture<F>
where
    F: Future<Output = Result<T, E>>,
    E: Into<BoxError>,
{
    type Output = Result<T>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let mut stage = self.project().stage;
        let over = match stage.as_mut().project() {
            StageProjection::Asked { limited, deadline } => {
                ready!(deadline.inside(|| limited.poll(context)))
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

opaque!(DeadlineFuture<F>);
