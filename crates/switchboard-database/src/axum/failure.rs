//! An error as a response.

use axum_core::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use switchboard_core::{Error, ErrorKind, Outcome, Retry};

use crate::Violation;

/// An error as a response, so that a handler may end with `?`.
///
/// The client is told the status and nothing more, because errors speak of tables and constraints. The
/// error itself is in the extensions of the response, for layers around; it is told in the log where the
/// status is a fault of the server.
///
/// | error | status |
/// |---|---|
/// | not found | 404 |
/// | already exists; conflict; a foreign key was violated | 409 |
/// | a condition of the table does not hold; a value is missing | 422 |
/// | unavailable, timeout, rate limited, overloaded, and nothing happened | 503, with `retry-after` if it is known |
/// | anything else, also if nobody knows whether it happened | 500 |
///
/// ```
/// use http::StatusCode;
/// use switchboard_core::{Error, ErrorKind};
/// use switchboard_database::axum::Failure;
///
/// let failure = Failure::from(Error::new(ErrorKind::NotFound, "there is no such row"));
/// assert_eq!(failure.status(), StatusCode::NOT_FOUND);
/// ```
#[derive(Clone, Debug)]
pub struct Failure(pub Error);

impl Failure {
    /// What the client is told.
    pub fn status(&self) -> StatusCode {
        match (self.0.kind(), Violation::of(&self.0)) {
            (_, Some(Violation::Unique | Violation::ForeignKey))
            | (ErrorKind::AlreadyExists | ErrorKind::Conflict, _) => StatusCode::CONFLICT,
            (_, Some(Violation::Check | Violation::NotNull)) => StatusCode::UNPROCESSABLE_ENTITY,
            (ErrorKind::NotFound, _) => StatusCode::NOT_FOUND,
            (kind, _) if is_passing(kind) && self.0.outcome() == Outcome::NotApplied => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
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
            tracing::error!(target: "switchboard::database", error = %self.0, "a request failed");
        }
        let reason = status.canonical_reason().unwrap_or_default();
        let mut response = (status, reason).into_response();
        if let (StatusCode::SERVICE_UNAVAILABLE, Retry::After(wait)) = (status, self.0.retry()) {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(self.0);
        response
    }
}

/// Whether what stood in the way may be gone in a while.
fn is_passing(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Unavailable
            | ErrorKind::Timeout
            | ErrorKind::RateLimited
            | ErrorKind::Overloaded
    )
}
