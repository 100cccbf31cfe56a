//! What a request is answered with: values as JSON, and errors with a status.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use switchboard_core::{Error, ErrorKind, Problems};

/// What a handler answers.
pub(crate) type Answer = Result<Response, Refusal>;

/// An error, with the status that tells it.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) error: Error,
}

/// An error as clients read it.
#[derive(Serialize)]
struct Told<'e> {
    kind: &'static str,
    message: &'e str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    context: BTreeMap<&'static str, &'e str>,
    hints: Vec<&'e str>,
    problems: Vec<ToldProblem<'e>>,
}

#[derive(Serialize)]
struct ToldProblem<'e> {
    key: &'e str,
    at: String,
    message: &'e str,
    hint: Option<&'e str>,
}

/// `value` as JSON.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    let text = serde_json::to_vec(value).map_err(|error| {
        let message = "the answer cannot be written as JSON";
        Error::new(ErrorKind::Unexpected, message).with_source(error)
    })?;
    Ok(of_type(status, JSON, text))
}

pub(crate) fn ok(value: &impl Serialize) -> Answer {
    json(StatusCode::OK, value)
}

pub(crate) fn of_type(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Body>,
) -> Response {
    let content_type = HeaderValue::from_static(content_type);
    (status, [(CONTENT_TYPE, content_type)], body.into()).into_response()
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, kind: ErrorKind, message: &'static str) -> Self {
        Self { status, error: Error::new(kind, message) }
    }

    pub(crate) fn with_hint(self, hint: &'static str) -> Self {
        Self { error: self.error.with_hint(hint), ..self }
    }

    pub(crate) fn not_found(path: &str) -> Self {
        let refusal =
            Self::new(StatusCode::NOT_FOUND, ErrorKind::NotFound, "there is no such page");
        Self { error: refusal.error.with_context("path", path), ..refusal }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self { status: status_of(error.kind()), error }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let told = BTreeMap::from([("error", Told::of(&self.error))]);
        let text = serde_json::to_vec(&told).unwrap_or_default();
        let mut response = of_type(self.status, JSON, text);
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer realm=\"switchboard\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

/// A refusal of the method; the router adds which methods there are.
pub(crate) async fn wrong_method() -> Refusal {
    let (status, kind) = (StatusCode::METHOD_NOT_ALLOWED, ErrorKind::Unsupported);
    Refusal::new(status, kind, "the page has no such method")
        .with_hint("the header Allow names those it has")
}

impl<'e> Told<'e> {
    fn of(error: &'e Error) -> Self {
        let problems = error.find::<Problems>().map(Problems::iter).into_iter().flatten();
        Self {
            kind: error.kind().as_str(),
            message: error.message(),
            instance: error.place().map(|place| format!("{}.{}", place.subsystem, place.instance)),
            context: error.context().collect(),
            hints: error.hints().collect(),
            problems: problems
                .map(|problem| ToldProblem {
                    key: &problem.path,
                    at: problem.origin.to_string(),
                    message: &problem.message,
                    hint: problem.hint.as_deref(),
                })
                .collect(),
        }
    }
}

/// That a service does not know us is no fault of the client, so it is not told to log in.
fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Config | ErrorKind::InvalidInput => StatusCode::BAD_REQUEST,
        ErrorKind::NotRegistered | ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::PermissionDenied => StatusCode::FORBIDDEN,
        ErrorKind::Conflict | ErrorKind::AlreadyExists => StatusCode::CONFLICT,
        ErrorKind::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
        ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Unsupported => StatusCode::NOT_IMPLEMENTED,
        ErrorKind::Unavailable | ErrorKind::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

const JSON: &str = "application/json";
