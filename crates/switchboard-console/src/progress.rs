//! How far a client is with its request, as seen from outside: who asks nothing can be sent away.
//!
//! Watches from three sides: the request that comes in, the answer that goes out, and the stream that
//! both go over. Decides nothing.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use futures_util::FutureExt as _;
use http_body_util::BodyExt as _;
use hyper::body::{Frame, SizeHint};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use switchboard_core::Clock;
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Sleep;

/// How far one client is. Clones are the same client.
#[derive(Clone, Debug)]
pub(crate) struct Progress(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    phase: Mutex<Phase>,
    turns: Arc<Turns>,
}

#[derive(Clone, Copy, Debug)]
struct Phase {
    step: Step,
    /// Some of the body was never read, because the request was refused before.
    has_unread: bool,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Nothing that could be answered: no head, or not the whole of one. Since which turn.
    Silent(u64),
    /// The server waits for more of the body.
    Sending,
    /// The request is here, and is being worked at.
    Asked,
    /// There is an answer, not all of which has gone out yet.
    Answered,
}

/// Who began to be silent when, and a word for who waits for that to happen.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    next: AtomicU64,
    pub(crate) fell_silent: Notify,
}

impl Turns {
    fn next(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

impl Progress {
    /// A client that has just come.
    pub(crate) fn new(turns: &Arc<Turns>) -> Self {
        let phase = Phase { step: Step::Silent(turns.next()), has_unread: false };
        Self(Arc::new(Inner { phase: Mutex::new(phase), turns: Arc::clone(turns) }))
    }

    /// Since which turn the client has asked nothing, if that is so.
    pub(crate) fn silent_since(&self) -> Option<u64> {
        match self.phase().step {
            Step::Silent(turn) => Some(turn),
            _ => None,
        }
    }

    /// Whether there is no whole request that could be answered.
    pub(crate) fn has_no_request(&self) -> bool {
        matches!(self.phase().step, Step::Silent(_) | Step::Sending)
    }

    pub(crate) fn has_unread(&self) -> bool {
        self.phase().has_unread
    }

    /// Notes that a head has come; the body that belongs to it tells the rest.
    pub(crate) fn begun<B>(&self, body: B) -> Body
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        *self.phase() = Phase { step: Step::Asked, has_unread: false };
        let body = Body::new(body.map_err(axum::Error::new));
        Body::new(Coming { body, progress: self.clone() })
    }

    /// The body of the answer, which notes when it has been handed over.
    pub(crate) fn answering(&self, body: Body) -> Body {
        Body::new(Going { body, progress: self.clone() })
    }

    fn step(&self, step: Step) {
        self.phase().step = step;
    }

    /// Notes that nothing is left to be written.
    fn flushed(&self) {
        let mut phase = self.phase();
        if matches!(phase.step, Step::Answered) && !phase.has_unread {
            phase.step = Step::Silent(self.0.turns.next());
            self.0.turns.fell_silent.notify_one();
        }
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.0.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body of a request.
struct Coming {
    body: Body,
    progress: Progress,
}

impl HttpBody for Coming {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        self.progress.step(if polled.is_pending() { Step::Sending } else { Step::Asked });
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        let mut phase = self.progress.phase();
        phase.has_unread |= !self.body.is_end_stream();
        if matches!(phase.step, Step::Sending) {
            phase.step = Step::Asked;
        }
    }
}

/// The body of an answer.
struct Going {
    body: Body,
    progress: Progress,
}

impl HttpBody for Going {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        self.progress.step(Step::Answered);
    }
}

/// The stream to a client.
///
/// A stream that is closed while there is something in it that nobody has read takes the answer along:
/// the client sees a broken connection. So the rest of a request that was refused is read and thrown
/// away before the end, within limits.
pub(crate) struct Stream {
    io: TokioIo<TcpStream>,
    progress: Progress,
    clock: Clock,
    rest: Option<Rest>,
}

/// What may still come of a request that was refused.
struct Rest {
    until: Pin<Box<Sleep>>,
    bytes_left: usize,
}

impl Stream {
    pub(crate) fn new(stream: TcpStream, progress: Progress, clock: Clock) -> Self {
        Self { io: TokioIo::new(stream), progress, clock, rest: None }
    }

    fn io(&mut self) -> Pin<&mut TokioIo<TcpStream>> {
        Pin::new(&mut self.io)
    }

    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let clock = &self.clock;
        let rest = self.rest.get_or_insert_with(|| Rest {
            until: Box::pin(clock.sleep_until(clock.now() + REST_LIMIT)),
            bytes_left: REST_BYTES_MAX,
        });
        let mut thrown_away = [0; 8 * 1024];
        while rest.until.poll_unpin(cx).is_pending() && rest.bytes_left > 0 {
            let mut buffer = ReadBuf::new(&mut thrown_away);
            let read = Pin::new(self.io.inner_mut()).poll_read(cx, &mut buffer);
            if ready!(read).is_err() || buffer.filled().is_empty() {
                break;
            }
            rest.bytes_left = rest.bytes_left.saturating_sub(buffer.filled().len());
        }
        Poll::Ready(Ok(()))
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        self.io().poll_read(cx, buffer)
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.io().poll_write(cx, bytes)
    }

    /// Asked when all that there was has been written.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        ready!(self.io().poll_flush(cx))?;
        self.progress.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        if self.rest.is_none() {
            ready!(self.io().poll_shutdown(cx))?;
        }
        if self.progress.has_unread() { self.poll_rest(cx) } else { Poll::Ready(Ok(())) }
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        self.io().poll_write_vectored(cx, bytes)
    }
}

/// How much of a request that was refused is read and thrown away, and for how long.
const REST_BYTES_MAX: usize = 64 * 1024 * 1024;
const REST_LIMIT: Duration = Duration::from_secs(2);
