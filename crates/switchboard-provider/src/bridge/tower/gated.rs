//! A call behind a gate that may have to wait.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use switchboard_core::{Error, Result};
use tower_service::Service;

use super::classify::{BoxError, classify, made_ready};
use super::opaque;

pin_project! {
    /// The answer behind a gate; `P` is what the gate gave for it, and is given back with the answer.
    ///
    /// A call that the gate lets pass at once is made while this is made, as with tower's own layers.
    #[must_use = "a future does nothing until it is awaited"]
    pub struct Gated<F, P> {
        #[pin]
        stage: Stage<F, P>,
    }
}

pin_project! {
    #[project = StageProjection]
    enum Stage<F, P> {
        Waiting { entering: Entering<F, P> },
        Asked { #[pin] future: F, permit: P },
        Over { refusal: Option<Error> },
    }
}

/// Passes the gate, makes the service ready and calls it. Boxed, because it seldom has to be done.
type Entering<F, P> = Pin<Box<dyn Future<Output = Result<(F, P)>> + Send>>;

impl<F, P> Gated<F, P> {
    /// The gate has let the call pass.
    #[inline]
    pub(super) fn asked(future: F, permit: P) -> Self {
        Self { stage: Stage::Asked { future, permit } }
    }

    /// The gate has refused the call.
    pub(super) fn refused(refusal: Error) -> Self {
        Self { stage: Stage::Over { refusal: Some(refusal) } }
    }

    /// The call has to wait for `gate`. What made `service` ready is let go meanwhile.
    #[cold]
    pub(super) fn waiting<S, Request>(
        service: &mut S,
        request: Request,
        gate: impl Future<Output = Result<P>> + Send + 'static,
    ) -> Self
    where
        S: Service<Request, Future = F> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        Request: Send + 'static,
        P: Send,
    {
        let mut later = service.clone();
        *service = later.clone();
        let entering = async move {
            let permit = gate.await?;
            made_ready(&mut later).await?;
            Ok((later.call(request), permit))
        };
        Self { stage: Stage::Waiting { entering: Box::pin(entering) } }
    }
}

impl<T, E, F, P> Future for Gated<F, P>
where
    F: Future<Output = Result<T, E>>,
    E: Into<BoxError>,
{
    type Output = Result<T>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let mut stage = self.project().stage;
        loop {
            let over = match stage.as_mut().project() {
                StageProjection::Asked { future, .. } => {
                    ready!(future.poll(context)).map_err(|error| classify(error.into()))
                }
                StageProjection::Waiting { entering } => {
                    match ready!(entering.as_mut().poll(context)) {
                        Ok((future, permit)) => {
                            stage.set(Stage::Asked { future, permit });
                            continue;
                        }
                        Err(refusal) => Err(refusal),
                    }
                }
                StageProjection::Over { refusal } => match refusal.take() {
                    Some(refusal) => Err(refusal),
                    // Polled again after its end.
                    None => return Poll::Pending,
                },
            };
            // The permit is for others now, however long this is kept.
            stage.set(Stage::Over { refusal: None });
            return Poll::Ready(over);
        }
    }
}

opaque!(Gated<F, P>);
