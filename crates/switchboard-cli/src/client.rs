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
use switchboard_core::{Error, ErrorKind};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::failure::{Failure, Result};
use crate::home::Note;

/// A running board, from outside.
#[derive(Debug)]
pub(crate) struct Client {
    note: Note,
}

/// What a running board answered, when it did what it was asked.
#[derive(Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    body: Bytes,
}

impl Client {
    pub(crate) fn new(note: Note) -> Self {
        Self { note }
    }

    pub(crate) fn address(&self) -> &str {
        &self.note.address
    }

    /// What is shown at `path`.
    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        self.ask(Method::GET, path, Bytes::new()).await?.done()?.json()
    }

    /// What `path` shows whether that is good or bad: health is an answer also when it is no.
    pub(crate) async fn look(&self, path: &str) -> Result<Value> {
        let answer = self.ask(Method::GET, path, Bytes::new()).await?;
        match answer.json() {
            Ok(shown) if !shown["error"].is_object() => Ok(shown),
            _ => answer.done()?.json(),
        }
    }

    /// Has `path` done, with a body of JSON.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        self.ask(Method::POST, path, body).await?.done()?.json()
    }

    /// Asks for bytes, or has some stored.
    pub(crate) async fn bytes(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes> {
        Ok(self.ask(method, path, body).await?.done()?.body)
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
        let Some(address) = self.note.address.strip_prefix("http://") else {
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
        let host = self.note.address.trim_start_matches("http://");
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, host)
            .header(CONNECTION, "close")
            .header(AUTHORIZATION, format!("Bearer {}", self.note.token))
            .header("content-type", "application/json")
            .header("x-switchboard-client", CLIENT);
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
        self.failed(ErrorKind::Unavailable, "the running board cannot be reached")
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
        Error::new(kind, message)
            .with_context("address", &self.note.address)
            .with_context("pid", self.note.pid)
    }
}

impl Answer {
    /// The answer, if it is not an error.
    fn done(self) -> Result<Self> {
        if self.status.is_success() {
            return Ok(self);
        }
        Err(Failure::answered(self.status.as_u16(), &self.body))
    }

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

/// How long it may take to reach a running board on this machine.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// How long a running board may take to say that it takes a body.
const CONTINUE_LIMIT: Duration = Duration::from_secs(1);

/// How long a running board may take to answer: a swap or a reload builds drivers first.
const ANSWER_LIMIT: Duration = Duration::from_mins(5);

/// The longest answer that is read, in bytes: a value of a cache may be large.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;
