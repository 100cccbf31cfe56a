//! What an error of a service means: one mapping, for providers and gates alike.

use std::error::Error as StdError;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use switchboard_core::{Error, ErrorKind, Result};
use tower::load_shed::error::Overloaded;
use tower::timeout::error::Elapsed;
use tower_service::Service;

/// Any error, as tower's own layers give it.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// What `error` means, with itself as the cause.
///
/// Ours is what it is. Of tower's, the time-out and the load shedder are known, the latter as a call
/// that was not made; by their types, which are other ones in versions of tower before 0.5. Whatever
/// is not known may be an outage as well as an answer, and may have had its effect; so it is tried
/// again only where that is harmless.
///
/// ```
/// use switchboard_core::{ErrorKind, Outcome};
/// use switchboard_provider::bridge::tower::classify;
///
/// let late = classify(Box::new(tower::timeout::error::Elapsed::new()));
/// assert_eq!((late.kind(), late.outcome()), (ErrorKind::Timeout, Outcome::Unknown));
/// assert!(late.find::<tower::timeout::error::Elapsed>().is_some());
/// ```
pub fn classify(error: BoxError) -> Error {
    let foreign = match error.downcast::<Error>() {
        Ok(ours) => return *ours,
        Err(foreign) => foreign,
    };
    let meant = if foreign.is::<Elapsed>() {
        Error::new(ErrorKind::Timeout, "the service took too long")
    } else if foreign.is::<Overloaded>() {
        Error::new(ErrorKind::Overloaded, "the service was asked to do too much").not_applied()
    } else {
        Error::new(ErrorKind::Unexpected, "the service failed").retry_later()
    };
    meant.with_source(foreign)
}

/// Ends when `service` is ready for one call; an error says that no call was made.
pub(super) async fn made_ready<Request, S>(service: &mut S) -> Result<()>
where
    S: Service<Request>,
    S::Error: Into<BoxError>,
{
    poll_fn(|context| poll_ready(service, context)).await
}

/// Whether `service` is ready for one call; an error says that no call was made.
#[inline]
pub(super) fn poll_ready<Request, S>(service: &mut S, context: &mut Context<'_>) -> Poll<Result<()>>
where
    S: Service<Request>,
    S::Error: Into<BoxError>,
{
    service.poll_ready(context).map_err(|error| classify(error.into()).not_applied())
}

pin_project! {
    /// What a service answers, with its errors [classified](classify).
    #[derive(Debug)]
    #[must_use = "a future does nothing until it is awaited"]
    pub struct Classified<F> {
        #[pin]
        stage: Stage<F>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = StageProjection]
    enum Stage<F> {
        Asked { #[pin] future: F },
        Failed { failure: Option<Error> },
    }
}

impl<F> Classified<F> {
    #[inline]
    pub(super) fn new(future: F) -> Self {
        Self { stage: Stage::Asked { future } }
    }

    /// The service could not be asked.
    #[cold]
    pub(super) fn failed(failure: Error) -> Self {
        Self { stage: Stage::Failed { failure: Some(failure) } }
    }
}

impl<T, E, F> Future for Classified<F>
where
    F: Future<Output = Result<T, E>>,
    E: Into<BoxError>,
{
    type Output = Result<T>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        match self.project().stage.project() {
            StageProjection::Asked { future } => {
                future.poll(context).map_err(|error| classify(error.into()))
            }
            StageProjection::Failed { failure } => match failure.take() {
                Some(failure) => Poll::Ready(Err(failure)),
                // Polled again after its end.
                None => Poll::Pending,
            },
        }
    }
}
