//! What to answer in place of a call that could not be served, as a layer.

use std::fmt;
use std::future::{Future, ready};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use switchboard_core::{Cause, Error, Result, with_fallback};
use tower_layer::Layer;
use tower_service::Service;

use super::attempted::Attempted;
use super::classify::{BoxError, Classified};
use super::opaque;
use super::service::Asking;

/// Answers in place of a service that could not be had; the outermost of all gates.
///
/// What a service answered, and what the program got wrong, is the caller's to know.
///
/// ```
/// use switchboard_provider::bridge::tower::FallbackLayer;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> switchboard_core::Result<()> {
/// let price = ServiceBuilder::new()
///     .layer(FallbackLayer::new(|_cause, _error| async { Ok(100) }))
///     .service(service_fn(async |_: ()| Err::<u64, _>(std::io::Error::other("no connection"))));
/// assert_eq!(price.oneshot(()).await?, 100);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct FallbackLayer<I> {
    instead: I,
}

/// A service behind a [`FallbackLayer`].
#[derive(Clone)]
pub struct FallbackService<S, I> {
    inner: Attempted<S>,
    instead: I,
}

impl<I> FallbackLayer<I> {
    /// A layer that answers with what `instead` makes of why a call could not be served.
    pub fn new<T, Fut>(instead: I) -> Self
    where
        I: Fn(Cause, Error) -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        Self { instead }
    }
}

impl<S, I: Clone> Layer<S> for FallbackLayer<I> {
    type Service = FallbackService<S, I>;

    fn layer(&self, inner: S) -> FallbackService<S, I> {
        FallbackService { inner: Attempted::new(inner), instead: self.instead.clone() }
    }
}

impl<S, I, Fut, Request> Service<Request> for FallbackService<S, I>
where
    S: Service<Request>,
    S::Response: Send + 'static,
    S::Error: Into<BoxError>,
    I: Fn(Cause, Error) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Result<S::Response>> + Send + 'static,
{
    type Response = S::Response;
    type Error = Error;
    type Future = FallbackFuture<S::Future, I, S::Response>;

    #[inline]
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.inner.poll_ready(context)
    }

    #[inline]
    fn call(&mut self, request: Request) -> Self::Future {
        let instead = Some(self.instead.clone());
        FallbackFuture { stage: Stage::Asked { future: self.inner.call(request), instead } }
    }
}

pin_project! {
    /// The answer, or what is answered in its place.
    #[must_use = "a future does nothing until it is awaited"]
    pub struct FallbackFuture<F, I, T> {
        #[pin]
        stage: Stage<Classified<F>, I, T>,
    }
}

pin_project! {
    #[project = StageProjection]
    enum Stage<F, I, T> {
        Asked { #[pin] future: F, instead: Option<I> },
        FellBack { answering: Asking<T> },
        Over,
    }
}

impl<T, E, F, I, Fut> Future for FallbackFuture<F, I, T>
where
    F: Future<Output = Result<T, E>>,
    E: Into<BoxError>,
    I: Fn(Cause, Error) -> Fut + Send + 'static,
    Fut: Future<Output = Result<T>> + Send + 'static,
    T: Send + 'static,
{
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let mut stage = self.project().stage;
        if let StageProjection::Asked { future, instead } = stage.as_mut().project() {
            let result = ready!(future.poll(context));
            let Some(instead) = instead.take().filter(|_| result.is_err()) else {
                stage.set(Stage::Over);
                return Poll::Ready(result);
            };
            let answering = Box::pin(with_fallback(ready(result), instead));
            stage.set(Stage::FellBack { answering });
        }
        let StageProjection::FellBack { answering } = stage.as_mut().project() else {
            // Polled again after its end.
            return Poll::Pending;
        };
        let answer = ready!(answering.as_mut().poll(context));
        stage.set(Stage::Over);
        Poll::Ready(answer)
    }
}

opaque!(FallbackLayer<I>);
opaque!(FallbackFuture<F, I, T>);

impl<S: fmt::Debug, I> fmt::Debug for FallbackService<S, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackService").field("inner", &self.inner).finish_non_exhaustive()
    }
}
