//! Which page is where, and what surrounds every one of them: the check of who asks, the limit of
//! time, the headers, the catching of panics.

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Extension, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::FutureExt as _;
use switchboard::Switchboard;
use switchboard_core::ErrorKind;

use crate::access::Access;
use crate::answer::{self, Refusal};
use crate::api::Writes;
use crate::changes::Changes;
use crate::config::ConsoleConfig;
use crate::{api, metrics};

/// The two ends of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    /// The address that the client connected to.
    pub(crate) local: IpAddr,
    pub(crate) peer: SocketAddr,
}

/// What handlers work with.
#[derive(Clone)]
pub(crate) struct Desk(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) board: Switchboard,
    pub(crate) json_bytes_max: usize,
    pub(crate) value_bytes_max: usize,
    pub(crate) request_limit: Duration,
    pub(crate) change_limit: Duration,
    pub(crate) changes: Changes,
    pub(crate) writes: Writes,
    access: Access,
}

impl std::ops::Deref for Desk {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// All pages.
pub(crate) fn router(
    board: &Switchboard,
    config: &ConsoleConfig,
    access: Access,
    changes: Changes,
) -> Router {
    let desk = Desk(Arc::new(Inner {
        board: board.clone(),
        json_bytes_max: usize::try_from(config.json_bytes_max.0).unwrap_or(usize::MAX),
        value_bytes_max: usize::try_from(config.value_bytes_max.0).unwrap_or(usize::MAX),
        request_limit: config.request_limit,
        change_limit: config.change_limit,
        changes,
        writes: Writes::default(),
        access,
    }));
    Router::new()
        .route("/livez", get(api::livez))
        .route("/readyz", get(api::readyz))
        .route("/health", get(api::health))
        .route("/metrics", get(metrics::page))
        .nest("/api/v1", versioned())
        .fallback(no_page)
        .method_not_allowed_fallback(answer::wrong_method)
        .layer(middleware::from_fn_with_state(desk.clone(), guarded))
        .with_state(desk)
}

fn versioned() -> Router<Desk> {
    let values = get(api::value).put(api::put_value).delete(api::forget_value);
    Router::new()
        .route("/instances", get(api::instances))
        .route("/instances/{instance}", get(api::explain))
        .route("/instances/{instance}/gates", get(api::gates))
        .route("/instances/{instance}/details", get(api::details))
        .route("/instances/{instance}/breaker", post(api::breaker))
        .route("/instances/{instance}/swap", post(api::swap))
        .route("/drivers", get(api::drivers))
        .route("/configuration", get(api::configuration))
        .route("/plan", get(api::plan))
        .route("/reload", post(api::reload))
        .route("/records", get(api::records))
        .route("/cache/{name}/values/{key}", values)
        .route("/cache/{name}/flush", post(api::flush))
}

async fn no_page(uri: Uri) -> Refusal {
    Refusal::not_found(uri.path())
}

/// Answers within the limit whatever the handler does, and only whom it may.
async fn guarded(
    State(desk): State<Desk>,
    Extension(ends): Extension<Ends>,
    request: Request,
    next: Next,
) -> Response {
    let (head, body) = request.into_parts();
    let mut response = match desk.access.check(&head, ends.local) {
        Ok(()) => {
            let limit = limit_of(&desk, head.uri.path());
            answered(limit, next.run(Request::from_parts(head, body))).await
        }
        Err(refusal) => refusal.into_response(),
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, value);
    }
    response
}

/// How long a request to that page may take: those that build drivers have more time.
fn limit_of(desk: &Desk, path: &str) -> Duration {
    let builds = path.ends_with("/swap") || path.ends_with("/reload");
    // The body has to come in the time of a request, and then the change has its own.
    if builds { desk.request_limit.saturating_add(desk.change_limit) } else { desk.request_limit }
}

async fn answered(limit: Duration, handled: impl Future<Output = Response> + Send) -> Response {
    let contained = AssertUnwindSafe(handled).catch_unwind();
    match tokio::time::timeout(limit, contained).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            let (status, kind) = (StatusCode::INTERNAL_SERVER_ERROR, ErrorKind::Unexpected);
            Refusal::new(status, kind, "the request could not be answered: something panicked")
                .into_response()
        }
        Err(_) => {
            let (status, kind) = (StatusCode::GATEWAY_TIMEOUT, ErrorKind::Timeout);
            Refusal::new(status, kind, "the request took longer than it may")
                .with_hint("the limit is `console.request_limit`")
                .into_response()
        }
    }
}

const HEADERS: [(axum::http::HeaderName, HeaderValue); 3] = [
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; base-uri 'none'"),
    ),
];
