//! What the pages do: they show the board, or ask it to change and see to it that this is recorded.
//!
//! A change goes on when its client leaves: half of one helps nobody, and it must be recorded.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, State};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::LengthLimitError;
use serde::Deserialize;
use serde_json::json;
use switchboard::BreakerCommand;
use switchboard_cache::Ttl;
use switchboard_core::settings::DurationText;
use switchboard_core::{Error, ErrorKind, Origin, Result, Settings};
use tokio::sync::oneshot;

use crate::answer::{self, Answer, Refusal, ok};
use crate::changes::Stage;
use crate::routes::{Desk, Ends};

pub(crate) async fn livez() -> Response {
    text(StatusCode::OK, "live\n")
}

pub(crate) async fn readyz(State(desk): State<Desk>) -> Response {
    if desk.board.health().ready {
        text(StatusCode::OK, "ready\n")
    } else {
        text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

/// What was last found: nobody is asked, so what hangs delays nothing.
pub(crate) async fn health(State(desk): State<Desk>) -> Answer {
    let health = desk.board.health();
    let status = if health.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    answer::json(status, &health)
}

pub(crate) async fn instances(State(desk): State<Desk>) -> Answer {
    ok(&desk.board.instances())
}

pub(crate) async fn explain(State(desk): State<Desk>, instance: Named) -> Answer {
    ok(&desk.board.explain(&named(instance)?)?)
}

pub(crate) async fn gates(State(desk): State<Desk>, instance: Named) -> Answer {
    ok(&desk.board.gates(&named(instance)?)?)
}

pub(crate) async fn details(State(desk): State<Desk>, instance: Named) -> Answer {
    ok(&desk.board.details(&named(instance)?)?)
}

pub(crate) async fn drivers(State(desk): State<Desk>) -> Answer {
    ok(&desk.board.drivers())
}

pub(crate) async fn configuration(State(desk): State<Desk>) -> Answer {
    ok(&desk.board.configuration())
}

pub(crate) async fn plan(State(desk): State<Desk>) -> Answer {
    ok(&desk.board.plan().await?)
}

pub(crate) async fn records(State(desk): State<Desk>) -> Answer {
    ok(&desk.board.records())
}

/// What is wanted of a breaker.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Breaker {
    state: Wanted,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Wanted {
    Open,
    Close,
    Reset,
}

pub(crate) async fn breaker(
    State(desk): State<Desk>,
    by: By,
    instance: Named,
    head: HeaderMap,
    body: Body,
) -> Answer {
    let instance = named(instance)?;
    let body = read(&head, body, desk.json_bytes_max).await?;
    let Breaker { state } = serde_json::from_slice(&body).map_err(|_| {
        malformed("the body does not say what is wanted of the breaker")
            .with_hint("send {\"state\": \"open\"}, \"close\" or \"reset\"")
    })?;
    desk.board.force_breaker(&by.name(), &instance, state.into())?;
    ok(&desk.board.gates(&instance)?)
}

pub(crate) async fn swap(
    State(desk): State<Desk>,
    by: By,
    instance: Named,
    head: HeaderMap,
    body: Body,
) -> Answer {
    let instance = named(instance)?;
    let body = read_within(desk.request_limit, &head, body, desk.json_bytes_max).await?;
    let (board, by, subject) = (desk.board.clone(), by.name(), instance.clone());
    let settings = settings(&body, &Origin::named(by.as_str()))?;
    let change = Change::new(&desk, &by, "swap", &instance);
    let generation = change
        .by_board(async move {
            let swapped = board.swap_by(&by, &subject, &settings).await?;
            Ok(swapped.generations.values().next().copied().unwrap_or_default())
        })
        .await?;
    ok(&json!({ "instance": instance, "generation": generation }))
}

pub(crate) async fn reload(State(desk): State<Desk>, by: By) -> Answer {
    let (board, by) = (desk.board.clone(), by.name());
    let change = Change::new(&desk, &by, "reload", "board");
    ok(&change.by_board(async move { board.reload(&by).await }).await?)
}

type Value = Result<Path<(String, String)>, PathRejection>;
type Named = Result<Path<String>, PathRejection>;

/// What is said of a value beside the value.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Keeping {
    ttl: Option<String>,
}

pub(crate) async fn value(State(desk): State<Desk>, value: Value) -> Answer {
    let (name, key) = named(value)?;
    let found = desk.board.cache(&name)?.get(&key).await?;
    let found = found.ok_or_else(|| missing(&name))?;
    Ok(answer::of_type(StatusCode::OK, BYTES, found))
}

pub(crate) async fn put_value(
    State(desk): State<Desk>,
    by: By,
    value: Value,
    keeping: Result<Query<Keeping>, QueryRejection>,
    head: HeaderMap,
    body: Body,
) -> Answer {
    let (name, key) = named(value)?;
    let ttl = ttl_of(keeping)?;
    let body = read(&head, body, desk.value_bytes_max).await?;
    let cache = desk.board.cache(&name)?;
    let change = Change::new(&desk, &by.name(), "put", &format!("cache.{name}"));
    change.counted(Write::Put, async move { cache.put(&key, body, ttl).await }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(crate) async fn forget_value(State(desk): State<Desk>, by: By, value: Value) -> Answer {
    let (name, key) = named(value)?;
    let cache = desk.board.cache(&name)?;
    let change = Change::new(&desk, &by.name(), "forget", &format!("cache.{name}"));
    // Whether it was there or not: now it is not.
    change.counted(Write::Forget, async move { cache.forget(&key).await }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(crate) async fn flush(State(desk): State<Desk>, by: By, name: Named) -> Answer {
    let name = named(name)?;
    let cache = desk.board.cache(&name)?;
    let change = Change::new(&desk, &by.name(), "flush", &format!("cache.{name}"));
    change.recorded(async move { cache.flush().await }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Who asks for a change.
pub(crate) struct By {
    ends: Ends,
    client: Option<String>,
}

impl By {
    /// As the records call it.
    fn name(&self) -> String {
        match &self.client {
            Some(client) => format!("api {} ({client})", self.ends.peer),
            None => format!("api {}", self.ends.peer),
        }
    }
}

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for By {
    type Rejection = Response;

    async fn from_request_parts(
        parts: &mut axum::http::request::Parts,
        state: &S,
    ) -> Result<Self, Response> {
        let ends = Extension::<Ends>::from_request_parts(parts, state).await;
        let Extension(ends) = ends.map_err(IntoResponse::into_response)?;
        let said = parts.headers.get("x-switchboard-client").and_then(|name| name.to_str().ok());
        let client = said.map(|name| name.chars().take(CLIENT_CHARS_MAX).collect::<String>());
        Ok(Self { ends, client: client.filter(|name| !name.is_empty()) })
    }
}

/// A change that somebody asked for.
struct Change {
    desk: Desk,
    by: String,
    action: &'static str,
    subject: String,
}

/// Who keeps in mind that a change was made.
#[derive(Clone, Copy)]
enum Kept {
    /// The board, unless it was cut off.
    ByBoard,
    /// The records of the board, by us.
    Recorded,
    /// A number: there are many of them, and they would push the changes of the board out of its
    /// records.
    Counted(Write),
}

impl Change {
    fn new(desk: &Desk, by: &str, action: &'static str, subject: &str) -> Self {
        Self { desk: desk.clone(), by: by.to_owned(), action, subject: subject.to_owned() }
    }

    /// Makes a change that the board itself records. It builds, which the end need not wait for.
    async fn by_board<T: Send + 'static>(
        self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let limit = self.desk.change_limit;
        self.made(Kept::ByBoard, Stage::Draining, limit, work).await
    }

    /// Makes a change that nobody else records.
    async fn recorded<T: Send + 'static>(
        self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let limit = self.desk.request_limit;
        self.made(Kept::Recorded, Stage::Over, limit, work).await
    }

    /// Changes a value, which is no change of the board.
    async fn counted<T: Send + 'static>(
        self,
        write: Write,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let limit = self.desk.request_limit;
        self.made(Kept::Counted(write), Stage::Over, limit, work).await
    }

    /// Makes the change, whether or not its client is there to see it.
    async fn made<T: Send + 'static>(
        self,
        kept: Kept,
        last: Stage,
        limit: Duration,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let (sender, receiver) = oneshot::channel();
        let (changes, action) = (self.desk.changes.clone(), self.action);
        let ours = changes.clone();
        changes.start(action, async move {
            let record = Unfinished { change: self, kept, is_open: true };
            let ended = ours.bounded(last, limit, work).await;
            let is_cut_off = ended.is_err();
            let result = ended.unwrap_or_else(Err);
            record.close(is_cut_off, &result);
            // Nobody waits for it where the client has gone.
            let _ = sender.send(result);
        })?;
        receiver.await.unwrap_or_else(|_| Err(broken()))
    }
}

/// A change that is still to be kept in mind; kept as a failure where the work panics.
struct Unfinished {
    change: Change,
    kept: Kept,
    is_open: bool,
}

impl Unfinished {
    fn close<T>(mut self, is_cut_off: bool, result: &Result<T>) {
        self.is_open = false;
        self.keep(is_cut_off, result);
    }

    fn keep<T>(&self, is_cut_off: bool, result: &Result<T>) {
        let Change { desk, by, action, subject } = &self.change;
        match self.kept {
            Kept::ByBoard if !is_cut_off => {}
            Kept::ByBoard | Kept::Recorded => desk.board.record(by, action, subject, result),
            Kept::Counted(write) => desk.writes.count(write, result.is_ok()),
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if self.is_open {
            self.keep::<()>(true, &Err(broken()));
        }
    }
}

/// What can be done to a value of a cache.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Write {
    Put,
    Forget,
}

/// How often values were changed, and how that went.
#[derive(Debug, Default)]
pub(crate) struct Writes([[AtomicU64; 2]; 2]);

impl Writes {
    fn count(&self, write: Write, is_ok: bool) {
        self.0[write as usize][usize::from(is_ok)].fetch_add(1, Ordering::Relaxed);
    }

    /// Action, outcome, and how often.
    pub(crate) fn all(&self) -> [(&'static str, &'static str, u64); 4] {
        let count = |write: Write, is_ok: bool| {
            self.0[write as usize][usize::from(is_ok)].load(Ordering::Relaxed)
        };
        [
            ("put", "ok", count(Write::Put, true)),
            ("put", "failed", count(Write::Put, false)),
            ("forget", "ok", count(Write::Forget, true)),
            ("forget", "failed", count(Write::Forget, false)),
        ]
    }
}

impl From<Wanted> for BreakerCommand {
    fn from(wanted: Wanted) -> Self {
        match wanted {
            Wanted::Open => Self::Open,
            Wanted::Close => Self::Close,
            Wanted::Reset => Self::Reset,
        }
    }
}

/// The body, if it is no longer than `bytes_max`.
async fn read(head: &HeaderMap, body: Body, bytes_max: usize) -> Result<Bytes, Refusal> {
    let said = head.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if said.is_some_and(|said: u64| said > bytes_max as u64) {
        return Err(too_large(bytes_max));
    }
    to_bytes(body, bytes_max).await.map_err(|error| {
        let source = std::error::Error::source(&error);
        let is_too_large = source.is_some_and(<dyn std::error::Error>::is::<LengthLimitError>);
        if is_too_large { too_large(bytes_max) } else { malformed("the body did not come whole") }
    })
}

/// [`read`], for requests that have more time than their body may take to come.
async fn read_within(
    limit: Duration,
    head: &HeaderMap,
    body: Body,
    bytes_max: usize,
) -> Result<Bytes, Refusal> {
    let read = tokio::time::timeout(limit, read(head, body, bytes_max)).await;
    read.unwrap_or_else(|_| {
        Err(Error::new(ErrorKind::Timeout, "the body did not come in time")
            .with_hint("the limit is `console.request_limit`")
            .not_applied()
            .into())
    })
}

/// The settings that a JSON object holds, which `by` has given.
fn settings(body: &[u8], by: &Origin) -> Result<Settings, Refusal> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = Settings::accept_from(&mut reader, by);
    if reader.end().is_err() {
        return Err(malformed("the body is no JSON object")
            .with_hint("send the settings of the instance: {\"driver\": \"memory\"}"));
    }
    Ok(read?)
}

fn ttl_of(keeping: Result<Query<Keeping>, QueryRejection>) -> Result<Ttl, Refusal> {
    let Ok(Query(Keeping { ttl })) = keeping else {
        return Err(malformed("the query says something else than a time to live")
            .with_hint("say ?ttl=10m, or nothing"));
    };
    let Some(ttl) = ttl else { return Ok(Ttl::Forever) };
    let DurationText(time) = ttl.parse().map_err(|error| {
        let refusal = malformed("the time to live is no duration").with_hint("say ?ttl=10m");
        Refusal { error: refusal.error.with_source(error), ..refusal }
    })?;
    Ok(Ttl::after(time)?)
}

fn named<T>(path: Result<Path<T>, PathRejection>) -> Result<T, Refusal> {
    path.map(|Path(named)| named).map_err(|_| malformed("the path is not text"))
}

fn text(status: StatusCode, body: &'static str) -> Response {
    answer::of_type(status, "text/plain; charset=utf-8", body)
}

fn missing(cache: &str) -> Refusal {
    Error::new(ErrorKind::NotFound, "the cache has no such value")
        .with_context("instance", format_args!("cache.{cache}"))
        .into()
}

fn malformed(message: &'static str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, ErrorKind::InvalidInput, message)
}

fn too_large(bytes_max: usize) -> Refusal {
    Error::new(ErrorKind::TooLarge, "the body is too large")
        .with_context("bytes_max", bytes_max)
        .into()
}

fn broken() -> Error {
    Error::new(ErrorKind::Unexpected, "the change did not come to an end").in_doubt()
}

/// How much of the name of a client is kept.
const CLIENT_CHARS_MAX: usize = 64;
const BYTES: &str = "application/octet-stream";
