//! Asks a running board over HTTP: one connection for each question.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited, StreamBody};
use hyper::body::Frame;
use hyper::ext::on_informational;
use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, EXPECT, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use switchboard_core::{Error, ErrorKind, Secret};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::elsewhere::{Elsewhere, SaidBy};
use crate::failure::{Failure, Result};
use crate::home::Note;

/// A running board, from outside.
#[derive(Debug)]
pub(crate) struct Client {
    /// `http://host:port`.
    address: String,
    token: Option<Secret>,
    known_by: KnownBy,
}

/// Where the address of a board comes from.
#[derive(Clone, Copy, Debug)]
enum KnownBy {
    /// The note of the process with this number.
    Note(u32),
    Word(SaidBy),
}

/// What a running board answered, when it did what it was asked.
#[derive(Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    body: Bytes,
}

impl Client {
    pub(crate) fn new(note: Note) -> Self {
        let Note { address, token, pid } = note;
        Self { address, token: Some(token.into()), known_by: KnownBy::Note(pid) }
    }

    pub(crate) fn at(elsewhere: Elsewhere) -> Self {
        let Elsewhere { address, token, by } = elsewhere;
        Self { address, token, known_by: KnownBy::Word(by) }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// What is shown at `path`.
    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        self.done(self.ask(Method::GET, path, Bytes::new()).await?)?.json()
    }

    /// What `path` shows whether that is good or bad: health is an answer also when it is no.
    pub(crate) async fn look(&self, path: &str) -> Result<Value> {
        let answer = self.ask(Method::GET, path, Bytes::new()).await?;
        match answer.json() {
            Ok(shown) if !shown["error"].is_object() => Ok(shown),
            _ => self.done(answer)?.json(),
        }
    }

    /// Has `path` done, with a body of JSON.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        self.done(self.ask(Method::POST, path, body).await?)?.json()
    }

    /// Asks for bytes, or has some stored.
    pub(crate) async fn bytes(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes> {
        Ok(self.done(self.ask(method, path, body).await?)?.body)
    }

    /// The answer, if it is not an error.
    fn done(&self, answer: Answer) -> Result<Answer> {
        if answer.status.is_success() {
            return Ok(answer);
        }
        let failure = Failure::answered(answer.status.as_u16(), &answer.body);
        match self.known_by {
            KnownBy::Word(_) if answer.status == StatusCode::UNAUTHORIZED => {
                Err(failure.with_hint(TOKEN_HINT))
            }
            _ => Err(failure),
        }
    }

    async fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<Answer> {
        let asked = timeout(ANSWER_LIMIT, self.exchange(method, path, body)).await;
        asked.unwrap_or_else(|_| {
            Err(self.failed(ErrorKind::Timeout, "the running board did not answer in time").into())
        })
    }

    async fn exchange(&self, method: Method, path: &str, body: Bytes) -> Result<Answer> {
        let stream = self.connect().await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.broken(error))?;
        let request = self.request(method, path, body)?;
        let mut connection = pin!(connection);
        let asking = async move {
            let answer = sender.send_request(request).await.map_err(|error| self.broken(error))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| self.cut_off(&*error))?.to_bytes();
            Ok(Answer { status, body })
        };
        let mut asking = pin!(asking);
        // Its failure is that of the one who asks over it, who may have an answer all the same.
        tokio::select! {
            answer = &mut asking => answer,
            _ = &mut connection => asking.await,
        }
    }

    async fn connect(&self) -> Result<TcpStream> {
        let Some(address) = self.address.strip_prefix("http://") else {
            return Err(self
                .failed(ErrorKind::Corrupt, "the address of the board is no address")
                .into());
        };
        match timeout(CONNECT_LIMIT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(self.unreachable().with_source(error).into()),
            Err(_) => Err(self.unreachable().into()),
        }
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> Result<Request<Body>> {
        let host = self.address.trim_start_matches("http://");
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, host)
            .header(CONNECTION, "close")
            .header("content-type", "application/json")
            .header("x-switchboard-client", CLIENT);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        if !body.is_empty() {
            request = request.header(CONTENT_LENGTH, body.len()).header(EXPECT, "100-continue");
        }
        let (is_wanted, wanted) = oneshot::channel();
        let request = request.body(when_wanted(body, wanted));
        let mut request = request.map_err(|error| self.broken(error))?;
        let is_wanted = Mutex::new(Some(is_wanted));
        on_informational(&mut request, move |_| {
            let is_wanted = is_wanted.lock().unwrap_or_else(PoisonError::into_inner).take();
            // Who would send the body may have an answer already.
            let _ = is_wanted.map(|is_wanted| is_wanted.send(()));
        });
        Ok(request)
    }

    fn unreachable(&self) -> Error {
        let error = self.failed(ErrorKind::Unavailable, "the running board cannot be reached");
        match self.known_by {
            KnownBy::Note(_) => error,
            KnownBy::Word(_) => error.with_hint("does the application serve its board there?"),
        }
    }

    fn broken(&self, error: impl std::error::Error + Send + Sync + 'static) -> Error {
        self.failed(ErrorKind::Unavailable, "the running board hung up").with_source(error)
    }

    fn cut_off(&self, error: &(dyn std::error::Error + Send + Sync + 'static)) -> Error {
        if error.is::<LengthLimitError>() {
            return self
                .failed(ErrorKind::TooLarge, "the running board answered with too much")
                .with_context("bytes_max", ANSWER_BYTES_MAX);
        }
        self.failed(ErrorKind::Unavailable, "the running board hung up")
            .with_context("reason", error)
    }

    fn failed(&self, kind: ErrorKind, message: &'static str) -> Error {
        let error = Error::new(kind, message).with_context("address", &self.address);
        match self.known_by {
            KnownBy::Note(pid) => error.with_context("pid", pid),
            KnownBy::Word(by) => error.with_context("said by", by.as_str()),
        }
    }
}

impl Answer {
    fn json(&self) -> Result<Value> {
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&self.body).map_err(|_| {
            let error =
                Error::new(ErrorKind::Unexpected, "the running board did not answer in JSON");
            error.with_hint("is it of the same version as this command?").into()
        })
    }
}

/// The body, once the board says that it takes it. One that does not want it says so before, which is
/// heard only where nobody is busy sending what is not read.
fn when_wanted(body: Bytes, wanted: oneshot::Receiver<()>) -> Body {
    if body.is_empty() {
        return Empty::new().boxed_unsync();
    }
    let sent = stream::once(async move {
        // A server that has never heard of asking first gets it unasked.
        drop(timeout(CONTINUE_LIMIT, wanted).await);
        Ok(Frame::data(body))
    });
    StreamBody::new(sent).boxed_unsync()
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Who asks, for the records of the board.
const CLIENT: &str = concat!("switchboard ", env!("CARGO_PKG_VERSION"));

/// Where the token of a board comes from that is named by its address.
const TOKEN_HINT: &str =
    "the token is taken from SWITCHBOARD_TOKEN; it is the board's `console.token`";

/// How long it may take to reach a running board.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// How long a running board may take to say that it takes a body.
const CONTINUE_LIMIT: Duration = Duration::from_secs(1);

/// How long a running board may take to answer: a swap or a reload builds drivers first.
const ANSWER_LIMIT: Duration = Duration::from_mins(5);

/// The longest answer that is read, in bytes: a value of a cache may be large.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;
