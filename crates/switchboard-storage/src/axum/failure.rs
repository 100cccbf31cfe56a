//! An error as a response.

use axum_core::response::{IntoResponse, Response};
use http::{StatusCode, header};
use switchboard_core::Error;

use crate::handler::{retry_after, status_of};

/// An error as a response, so that a handler may end with `?`.
///
/// The client is told the status and nothing more, because errors speak of keys and services. The error itself
/// is in the extensions of the response, for layers around; it is told in the log where the status is a fault of
/// the server.
///
/// | error | status |
/// |---|---|
/// | invalid input | 400 |
/// | permission denied | 403 |
/// | not found | 404 |
/// | already exists, conflict | 409 |
/// | precondition failed | 412 |
/// | too large | 413 |
/// | unsupported | 501 |
/// | unavailable, timeout, rate limited, overloaded | 503, with `retry-after` if it is known |
/// | quota exceeded | 507 |
/// | anything else | 500 |
///
/// ```
/// use http::StatusCode;
/// use switchboard_core::{Error, ErrorKind};
/// use switchboard_storage::axum::Failure;
///
/// let failure = Failure::from(Error::new(ErrorKind::NotFound, "there is no such object"));
/// assert_eq!(failure.status(), StatusCode::NOT_FOUND);
/// ```
#[derive(Clone, Debug)]
pub struct Failure(pub Error);

impl Failure {
    /// What the client is told.
    pub fn status(&self) -> StatusCode {
        status_of(&self.0)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = self.status();
        if status.is_server_error() {
            tracing::error!(target: "switchboard::storage", error = %self.0, "a request failed");
        }
        let mut response = (status, status.canonical_reason().unwrap_or_default()).into_response();
        if let Some(wait) = retry_after(&self.0) {
            response.headers_mut().insert(header::RETRY_AFTER, wait);
        }
        response.extensions_mut().insert(self.0);
        response
    }
}
