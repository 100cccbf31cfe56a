//! A span around what a provider is asked: for providers that stand alone, or inside others.
//!
//! A line has spans of its own, with the same target, name and fields. What is put in or comes out is in
//! none of them.

use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use switchboard_core::{Error, ErrorKind, Reply, Result};
use tracing::{Instrument as _, Span, field};

use crate::provider::looked_after;
use crate::{
    Conversation, Duplex, Items, Provider, RequestResponse, Sink, Stream, duplex, request_response,
    sink, stream,
};

/// A provider, of any shape, in spans.
///
/// | field | value |
/// |---|---|
/// | `shape` | `request response`, `stream`, `sink`, `duplex` |
/// | `driver` | the name of the provider |
/// | `operation` | `execute`, `open`, `next`, `send`, `receive`, `close` |
/// | `outcome` | `ok`, or the kind of the error; none where the caller went away |
/// | `items` | how many items came of what was opened |
/// | `sent`, `received` | how many messages went each way |
///
/// The span of an opening lives as long as what it opened: the spans of items and messages are inside it,
/// and it is told the numbers and the outcome when that is closed or dropped. While nobody listens,
/// nothing is allocated and nothing is wrapped; what is opened then stays as it is.
///
/// ```
/// use switchboard_provider::bridge::traced::Traced;
/// use switchboard_provider::{RequestResponse, function};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> switchboard_core::Result<()> {
/// let half = function::request_response("half", |number: u64| async move { Ok(number / 2) });
/// let half = Traced::new(half);
/// assert_eq!(half.execute(8).await?, 4);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Traced<P, F = fn(&Operation<'_>) -> Span> {
    provider: P,
    span: Arc<F>,
}

/// What is being asked of which provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation<'a> {
    shape: &'static str,
    driver: &'a str,
    name: &'static str,
}

impl<P: Provider> Traced<P> {
    /// The provider, in spans of level debug.
    pub fn new(provider: P) -> Self {
        Self { provider, span: Arc::new(usual) }
    }
}

impl<P, F> Traced<P, F> {
    /// The same provider, in the spans that `span` makes: with attributes or a level of the application's
    /// own. Those of the fields above that they declare are recorded.
    ///
    /// ```
    /// use switchboard_provider::bridge::traced::{Operation, Traced};
    /// use switchboard_provider::{Sink, function};
    /// use tracing::{field, info_span};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> switchboard_core::Result<()> {
    /// let log = Traced::new(function::sink("log", |_: String| async { Ok(()) })).with_span(|asked| {
    ///     info_span!("log", operation = asked.name(), tenant = "acme", outcome = field::Empty)
    /// });
    /// log.send("started".to_owned()).await?;
    ///
    /// let quiet = log.with_span(|asked: &Operation<'_>| match asked.name() {
    ///     "close" => asked.span(),
    ///     _ => tracing::Span::none(),
    /// });
    /// quiet.send("ready".to_owned()).await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn with_span<G>(self, span: G) -> Traced<P, G>
    where
        G: Fn(&Operation<'_>) -> Span + Send + Sync + 'static,
    {
        Traced { provider: self.provider, span: Arc::new(span) }
    }
}

impl Operation<'_> {
    /// The shape of the provider, in words.
    pub fn shape(&self) -> &'static str {
        self.shape
    }

    /// The name of the provider.
    pub fn driver(&self) -> &str {
        self.driver
    }

    /// What is asked: `execute`, `open`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The span that there is without [`with_span`](Traced::with_span).
    pub fn span(&self) -> Span {
        tracing::debug_span!(
            target: "switchboard",
            "call",
            shape = self.shape,
            driver = self.driver,
            operation = self.name,
            outcome = field::Empty,
            items = field::Empty,
            sent = field::Empty,
            received = field::Empty,
        )
    }
}

looked_after!(
    { P: Provider, F: Fn(&Operation<'_>) -> Span + Send + Sync + 'static } Traced<P, F>, provider
);

impl<I, O, P, F> RequestResponse<I, O> for Traced<P, F>
where
    P: RequestResponse<I, O>,
    F: Fn(&Operation<'_>) -> Span + Send + Sync + 'static,
    O: Send + 'static,
{
    fn execute(&self, input: I) -> Reply<'_, O> {
        let span = self.begin(REQUEST_RESPONSE, request_response::op::EXECUTE.name());
        within(span, || self.provider.execute(input))
    }
}

impl<I, O, P, F> Stream<I, O> for Traced<P, F>
where
    P: Stream<I, O>,
    F: Fn(&Operation<'_>) -> Span + Send + Sync + 'static,
    O: Send + 'static,
{
    fn open(&self, input: I) -> Reply<'_, Box<dyn Items<O>>> {
        let span = self.begin(STREAM, stream::op::OPEN.name());
        if span.is_disabled() {
            return self.provider.open(input);
        }
        let opening = span.in_scope(|| self.provider.open(input));
        Reply::run(async move {
            let life = self.life(STREAM, span);
            let opened = opening.instrument(life.span.clone()).await;
            let items = opened.inspect_err(|error| life.failed(error.kind()))?;
            let items: Box<dyn Items<O>> = Box::new(TracedItems { items, life });
            Ok(items)
        })
    }
}

impl<I, P, F> Sink<I> for Traced<P, F>
where
    P: Sink<I>,
    F: Fn(&Operation<'_>) -> Span + Send + Sync + 'static,
{
    fn send(&self, input: I) -> Reply<'_, ()> {
        let span = self.begin(SINK, sink::op::SEND.name());
        within(span, || self.provider.send(input))
    }
}

impl<I, O, P, F> Duplex<I, O> for Traced<P, F>
where
    P: Duplex<I, O>,
    F: Fn(&Operation<'_>) -> Span + Send + Sync + 'static,
    I: 'static,
    O: Send + 'static,
{
    fn open(&self) -> Reply<'_, Box<dyn Conversation<I, O>>> {
        let span = self.begin(DUPLEX, duplex::op::OPEN.name());
        if span.is_disabled() {
            return self.provider.open();
        }
        let opening = span.in_scope(|| self.provider.open());
        Reply::run(async move {
            let life = self.life(DUPLEX, span);
            let opened = opening.instrument(life.span.clone()).await;
            let conversation = opened.inspect_err(|error| life.failed(error.kind()))?;
            let conversation: Box<dyn Conversation<I, O>> =
                Box::new(TracedConversation { conversation, life });
            Ok(conversation)
        })
    }
}

impl<P: Provider, F: Fn(&Operation<'_>) -> Span> Traced<P, F> {
    fn begin(&self, shape: &'static str, name: &'static str) -> Span {
        (self.span)(&Operation { shape, driver: self.provider.name(), name })
    }

    fn life(&self, shape: &'static str, span: Span) -> Life<F> {
        Life {
            shape,
            driver: self.provider.name().to_owned(),
            make: self.span.clone(),
            span,
            tally: Mutex::default(),
        }
    }
}

impl<P: Provider, F> fmt::Debug for Traced<P, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traced").field("provider", &self.provider.name()).finish_non_exhaustive()
    }
}

fn usual(operation: &Operation<'_>) -> Span {
    operation.span()
}

/// What `ask` gives, worked out inside `span` where anybody listens to that.
fn within<'a, T: Send + 'a>(span: Span, ask: impl FnOnce() -> Reply<'a, T>) -> Reply<'a, T> {
    if span.is_disabled() {
        return ask();
    }
    let reply = span.in_scope(ask);
    Reply::run(watched(span, reply))
}

/// The end of `reply`, worked out inside `span`, which is told of it.
async fn watched<T>(span: Span, reply: Reply<'_, T>) -> Result<T> {
    let result = reply.instrument(span.clone()).await;
    span.record("outcome", outcome(failure(&result)));
    result
}

fn failure<T>(result: &Result<T>) -> Option<ErrorKind> {
    result.as_ref().err().map(Error::kind)
}

fn outcome(failure: Option<ErrorKind>) -> &'static str {
    failure.map_or("ok", ErrorKind::as_str)
}

/// The span of an opening, for as long as what it opened.
struct Life<F> {
    shape: &'static str,
    driver: String,
    make: Arc<F>,
    span: Span,
    tally: Mutex<Tally>,
}

#[derive(Clone, Copy, Default)]
struct Tally {
    sent: u64,
    received: u64,
    /// Of the last operation, when it failed.
    failure: Option<ErrorKind>,
    /// Whether it was read to its end or closed, so that nobody went away before.
    is_complete: bool,
    was_told: bool,
}

impl<F> Life<F> {
    fn failed(&self, kind: ErrorKind) {
        self.count(|tally| tally.failure = Some(kind));
    }

    fn count(&self, count: impl FnOnce(&mut Tally)) {
        count(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// What was opened is closed.
    fn closed(&self) {
        self.count(|tally| tally.is_complete = true);
        self.tell();
    }

    /// Tells the span the numbers, once; the outcome where there is one.
    fn tell(&self) {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        let was_told = mem::replace(&mut tally.was_told, true);
        let Tally { sent, received, failure, is_complete, .. } = *tally;
        // A subscriber is not called under the lock.
        drop(tally);
        if was_told {
            return;
        }
        if self.shape == STREAM {
            self.span.record("items", received);
        } else {
            self.span.record("sent", sent).record("received", received);
        }
        if is_complete || failure.is_some() {
            self.span.record("outcome", outcome(failure));
        }
    }
}

impl<F: Fn(&Operation<'_>) -> Span> Life<F> {
    /// A span for one operation inside.
    fn begin(&self, name: &'static str) -> Span {
        let operation = Operation { shape: self.shape, driver: &self.driver, name };
        self.span.in_scope(|| (self.make)(&operation))
    }

    /// The end of an operation inside.
    async fn watched<T>(&self, span: Span, reply: Reply<'_, T>) -> Result<T> {
        let result = watched(span, reply).await;
        self.count(|tally| tally.failure = failure(&result));
        result
    }
}

impl<F> Drop for Life<F> {
    fn drop(&mut self) {
        self.tell();
    }
}

struct TracedItems<T, F> {
    items: Box<dyn Items<T>>,
    life: Life<F>,
}

impl<T, F> Items<T> for TracedItems<T, F>
where
    T: Send + 'static,
    F: Fn(&Operation<'_>) -> Span + Send + Sync + 'static,
{
    fn next(&mut self) -> Reply<'_, Option<T>> {
        let life = &self.life;
        let span = life.begin(stream::op::NEXT.name());
        let next = span.in_scope(|| self.items.next());
        Reply::run(async move {
            let item = life.watched(span, next).await?;
            // The outcome is told later, because closing may still fail.
            life.count(|tally| match &item {
                Some(_) => tally.received += 1,
                None => tally.is_complete = true,
            });
            Ok(item)
        })
    }

    fn close(&mut self) -> Reply<'_, ()> {
        let life = &self.life;
        let span = life.begin(stream::op::CLOSE.name());
        let closing = span.in_scope(|| self.items.close());
        Reply::run(async move {
            let closed = life.watched(span, closing).await;
            life.closed();
            closed
        })
    }
}

struct TracedConversation<I, O, F> {
    conversation: Box<dyn Conversation<I, O>>,
    life: Life<F>,
}

impl<I, O, F> Conversation<I, O> for TracedConversation<I, O, F>
where
    I: 'static,
    O: Send + 'static,
    F: Fn(&Operation<'_>) -> Span + Send + Sync + 'static,
{
    fn send(&self, message: I) -> Reply<'_, ()> {
        let span = self.life.begin(duplex::op::SEND.name());
        let sending = span.in_scope(|| self.conversation.send(message));
        Reply::run(async move {
            self.life.watched(span, sending).await?;
            self.life.count(|tally| tally.sent += 1);
            Ok(())
        })
    }

    fn receive(&self) -> Reply<'_, Option<O>> {
        let span = self.life.begin(duplex::op::RECEIVE.name());
        let receiving = span.in_scope(|| self.conversation.receive());
        Reply::run(async move {
            let message = self.life.watched(span, receiving).await?;
            self.life.count(|tally| tally.received += u64::from(message.is_some()));
            Ok(message)
        })
    }

    fn close(&self) -> Reply<'_, ()> {
        let span = self.life.begin(duplex::op::CLOSE.name());
        let closing = span.in_scope(|| self.conversation.close());
        Reply::run(async move {
            let closed = self.life.watched(span, closing).await;
            self.life.closed();
            closed
        })
    }
}

const REQUEST_RESPONSE: &str = "request response";
const STREAM: &str = "stream";
const SINK: &str = "sink";
const DUPLEX: &str = "duplex";
