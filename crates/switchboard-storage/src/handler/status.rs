//! What an error is over HTTP: the one table of it.

use http::{HeaderValue, Response, StatusCode, header};
use switchboard_core::{Error, ErrorKind, Retry};

use super::content::Content;
use super::plain;

/// The client is told the status and nothing more; the error is in the extensions, for layers around.
pub(super) fn refusal(error: Error) -> Response<Content> {
    let status = match status_of(&error) {
        // Of what is there already, only a condition speaks.
        StatusCode::CONFLICT if error.kind() == ErrorKind::AlreadyExists => {
            StatusCode::PRECONDITION_FAILED
        }
        status => status,
    };
    let mut response = plain(status);
    if let Some(wait) = retry_after(&error) {
        response.headers_mut().insert(header::RETRY_AFTER, wait);
    }
    response.extensions_mut().insert(error);
    response
}

pub(crate) fn status_of(error: &Error) -> StatusCode {
    match error.kind() {
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::AlreadyExists | ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
        ErrorKind::InvalidInput => StatusCode::BAD_REQUEST,
        ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::PermissionDenied => StatusCode::FORBIDDEN,
        ErrorKind::QuotaExceeded => StatusCode::INSUFFICIENT_STORAGE,
        ErrorKind::Unsupported => StatusCode::NOT_IMPLEMENTED,
        ErrorKind::Unavailable
        | ErrorKind::Timeout
        | ErrorKind::RateLimited
        | ErrorKind::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The time that the service asked for.
pub(crate) fn retry_after(error: &Error) -> Option<HeaderValue> {
    let Retry::After(wait) = error.retry() else { return None };
    let is_passing = status_of(error) == StatusCode::SERVICE_UNAVAILABLE;
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    is_passing.then(|| HeaderValue::from(seconds))
}
