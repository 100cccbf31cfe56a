//! A service that cannot become ready, as a call that failed.

use std::task::{Context, Poll, ready};

use switchboard_core::{Error, Result};
use tower_service::Service;

use super::classify::{self, BoxError, Classified};

/// A service for gates that act on failures: what keeps it from becoming ready is the end of the next
/// call, so that it is counted, tried again or answered for like any other end.
#[derive(Debug)]
pub(super) struct Attempted<S> {
    service: S,
    /// Why the service did not become ready, until a call has ended with it.
    failure: Option<Error>,
}

impl<S> Attempted<S> {
    pub(super) fn new(service: S) -> Self {
        Self { service, failure: None }
    }

    /// For a call that is not made: the service is asked anew whether it is ready.
    #[inline]
    pub(super) fn forget_failure(&mut self) {
        self.failure = None;
    }
}

/// A clone is made ready on its own.
impl<S: Clone> Clone for Attempted<S> {
    fn clone(&self) -> Self {
        Self::new(self.service.clone())
    }
}

impl<S, Request> Service<Request> for Attempted<S>
where
    S: Service<Request>,
    S::Error: Into<BoxError>,
{
    type Response = S::Response;
    type Error = Error;
    type Future = Classified<S::Future>;

    #[inline]
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        if self.failure.is_none() {
            self.failure = ready!(classify::poll_ready(&mut self.service, context)).err();
        }
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, request: Request) -> Self::Future {
        match self.failure.take() {
            None => Classified::new(self.service.call(request)),
            Some(failure) => Classified::failed(failure),
        }
    }
}
