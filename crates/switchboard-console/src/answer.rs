//! What a request is answered with: values as JSON, and errors with a status.

use std::collections::BTreeMap;
use std::error::Error as StdError;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use switchboard::Mistakes;
use switchboard_config::{Report, Sources};
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
    /// What led to it, the nearest first.
    causes: Vec<String>,
    /// The errors that it joins, and earlier attempts.
    related: Vec<Self>,
    /// The mistakes of a configuration, as `check --format json` prints them.
    problems: Value,
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
        Self::at_depth(error, 0)
    }

    fn at_depth(error: &'e Error, depth: usize) -> Self {
        let problems = problems_of(error);
        // The mistakes say it all, each with its place.
        let has_problems = problems.as_array().is_some_and(|problems| !problems.is_empty());
        let related_max = if depth < DEPTH_MAX { RELATED_MAX } else { 0 };
        let related = error.related().iter().take(related_max);
        Self {
            kind: error.kind().as_str(),
            message: error.message(),
            instance: error.place().map(|place| format!("{}.{}", place.subsystem, place.instance)),
            context: error.context().collect(),
            hints: error.hints().collect(),
            causes: if has_problems { Vec::new() } else { causes_of(error) },
            related: related.map(|error| Self::at_depth(error, depth + 1)).collect(),
            problems,
        }
    }
}

/// The mistakes of a configuration that an error tells; or none.
fn problems_of(error: &Error) -> Value {
    let report = match (error.find::<Mistakes>(), error.find::<Problems>()) {
        (Some(mistakes), _) => mistakes.report().json(),
        (None, Some(problems)) => Report::new(problems, &Sources::default()).json(),
        (None, None) => return Value::Array(Vec::new()),
    };
    let mut report: Value = serde_json::from_str(&report).unwrap_or_default();
    report["problems"].take()
}

fn causes_of(error: &Error) -> Vec<String> {
    let mut causes = Vec::new();
    let mut source = StdError::source(error);
    while let Some(cause) = source.filter(|_| causes.len() < CAUSES_MAX) {
        causes.push(shortened(&cause.to_string()));
        source = cause.source();
    }
    causes
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(CAUSE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
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
        ErrorKind::Unavailable | ErrorKind::Overloaded | ErrorKind::Cancelled => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

const JSON: &str = "application/json";

/// How many causes of an error are told, and how much of each.
const CAUSES_MAX: usize = 16;
const CAUSE_CHARS_MAX: usize = 1000;

/// How many errors are told that belong to one, and how deep.
const RELATED_MAX: usize = 32;
const DEPTH_MAX: usize = 4;
