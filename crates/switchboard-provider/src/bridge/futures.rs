//! What providers open and take, as the streams and sinks of `futures`, and back.
//!
//! | from | to | by |
//! |---|---|---|
//! | [`Items`] | a stream of results | [`into_stream`] |
//! | a stream of results | [`Items`] | [`items`] |
//! | a [`Sink`] provider | a sink of `futures` | [`into_sink`] |
//! | a sink of `futures` | a [`Sink`] provider | [`sink`] |
//! | a [`Conversation`] | a sink and a stream | [`split`] |
//! | a stream and a sink | a [`Conversation`] | [`conversation`] |
//!
//! The errors of both sides are [`Error`]; a stream or sink with errors of its own is adapted first, with
//! `map_err` and `sink_map_err`. Nothing is started and nothing is buffered: all work is done by whoever
//! polls, and what is dropped ends there.

use std::fmt;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use futures_core::stream::FusedStream;
use futures_sink::Sink as FuturesSink;
use futures_util::stream::unfold;
use switchboard_core::{Error, ErrorKind, Lifecycle, Outcome, Reply, Result, Retry};

use super::one_by_one::OneByOne;
use crate::{Conversation, Items, Provider, Sink};

/// The items as a stream, for instance of an [`OpenStream`](crate::OpenStream).
///
/// An error is an item like any other and not the end. The stream ends where the items end, without
/// closing them: see [`ItemStream::close`].
///
/// ```
/// use futures_util::{StreamExt, TryStreamExt, stream};
/// use switchboard_provider::bridge::futures::{into_stream, items};
/// use switchboard_provider::{Stream, function};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> switchboard_core::Result<()> {
/// let countdown = function::stream("countdown", |from: u64| async move {
///     Ok(items(stream::iter((0..from).rev().map(Ok))))
/// });
/// let mut numbers = into_stream(countdown.open(5).await?);
/// let first: Vec<u64> = numbers.by_ref().take(2).try_collect().await?;
/// assert_eq!(first, [4, 3]);
/// numbers.close().await?;
/// # Ok(()) }
/// ```
pub fn into_stream<T, I>(items: I) -> ItemStream<T>
where
    I: Items<T> + 'static,
    T: Send + 'static,
{
    let is_closing = Arc::new(AtomicBool::new(false));
    let pulled = unfold((items, is_closing.clone()), pull);
    ItemStream { pulled: Box::pin(pulled), is_closing, has_ended: false }
}

/// A stream as items. They end where the stream ends; it is dropped there, or when they are closed.
///
/// ```
/// use futures_util::stream;
/// use switchboard_provider::Items;
/// use switchboard_provider::bridge::futures::items;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> switchboard_core::Result<()> {
/// let mut one = items(stream::iter([Ok(1)]));
/// assert_eq!((one.next().await?, one.next().await?), (Some(1), None));
/// # Ok(()) }
/// ```
pub fn items<T, S>(stream: S) -> StreamItems<S>
where
    S: futures_core::Stream<Item = Result<T>> + Send + 'static,
    T: Send + 'static,
{
    StreamItems { stream: Some(Box::pin(stream)) }
}

/// The provider as a sink, for instance an `Arc<dyn Sink<I>>` or a [`Sender`](crate::Sender).
///
/// One input is on its way at a time: the sink is ready again when it was acknowledged, and `flush` and
/// `close` wait for that. An input that could not be sent fails whichever of these comes next; the sink
/// can be used after that. Closing it closes no provider.
///
/// ```
/// use futures_util::{SinkExt, stream};
/// use switchboard_provider::bridge::futures::into_sink;
/// use switchboard_provider::function;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> switchboard_core::Result<()> {
/// let log = function::sink("log", |line: &'static str| async move {
///     println!("{line}");
///     Ok(())
/// });
/// into_sink(log).send_all(&mut stream::iter([Ok("started"), Ok("ready")])).await?;
/// # Ok(()) }
/// ```
pub fn into_sink<I, P>(provider: P) -> InputSink<I>
where
    P: Sink<I>,
    I: Send + 'static,
{
    let provider = Arc::new(provider);
    let take = move |input| {
        let provider = provider.clone();
        Reply::run(async move { provider.send(input).await })
    };
    InputSink::new(take, || Reply::ready(Ok(())))
}

/// A sink as a provider of that name. Inputs are sent in the order in which they came, each acknowledged
/// when it was flushed.
///
/// A call that is dropped may have given its input to the sink already, where it stays until the next one
/// is sent.
///
/// ```
/// use futures_util::{SinkExt, sink};
/// use switchboard_core::Error;
/// use switchboard_provider::Sink;
/// use switchboard_provider::bridge::futures;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> switchboard_core::Result<()> {
/// let drain = futures::sink("drain", sink::drain().sink_map_err(|never| match never {}));
/// drain.send("whatever").await?;
/// # Ok(()) }
/// ```
pub fn sink<I, W>(name: &'static str, sink: W) -> SinkProvider<I, W>
where
    W: FuturesSink<I, Error = Error> + Send + 'static,
    I: Send + 'static,
{
    SinkProvider { name, outlet: OneByOne::new(sink), inputs: PhantomData }
}

/// The two directions of a conversation, for instance of an
/// [`OpenConversation`](crate::OpenConversation).
///
/// Closing either of them ends the conversation, as it has one end only: what is still to come after the
/// last message was sent needs `send_all`, because `forward` closes. Dropping both drops it.
///
/// ```
/// use futures_util::{SinkExt, TryStreamExt, sink, stream};
/// use switchboard_provider::bridge::futures::{conversation, split};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> switchboard_core::Result<()> {
/// let said = sink::drain().sink_map_err(|never| match never {});
/// let heard = stream::iter([Ok("hello"), Ok("bye")]);
/// let (mut say, hear) = split(conversation(heard, said));
/// say.send("anybody there?").await?;
/// assert_eq!(hear.try_collect::<Vec<_>>().await?, ["hello", "bye"]);
/// # Ok(()) }
/// ```
pub fn split<I, O, C>(conversation: C) -> (InputSink<I>, ItemStream<O>)
where
    C: Conversation<I, O> + 'static,
    I: Send + 'static,
    O: Send + 'static,
{
    let conversation = Arc::new(conversation);
    let (sending, closing) = (conversation.clone(), conversation.clone());
    let take = move |message| {
        let sending = sending.clone();
        Reply::run(async move { sending.send(message).await })
    };
    let end = || Reply::run(async move { closing.close().await });
    (InputSink::new(take, end), into_stream(Heard(conversation, PhantomData::<fn(I)>)))
}

/// A stream of what is heard and a sink for what is said, as a conversation: the two ends of a channel,
/// or what `StreamExt::split` makes of a framed socket.
///
/// A message counts as sent when it was flushed. Closing it ends what is under way on both sides, closes
/// the sink and drops the stream.
pub fn conversation<I, O, R, W>(heard: R, said: W) -> Pair<I, R, W>
where
    R: futures_core::Stream<Item = Result<O>> + Send + 'static,
    W: FuturesSink<I, Error = Error> + Send + 'static,
    I: Send + 'static,
    O: Send + 'static,
{
    let (inlet, outlet) = (OneByOne::new(heard), OneByOne::new(said));
    Pair { inlet, outlet, inputs: PhantomData }
}

/// Items as a stream; made by [`into_stream`] and [`split`].
pub struct ItemStream<T> {
    /// Never ends by itself. The items are inside, borrowed while there is one on its way.
    pulled: Pin<Box<dyn futures_core::Stream<Item = Pulled<T>> + Send>>,
    is_closing: Arc<AtomicBool>,
    has_ended: bool,
}

/// What was asked of items inside an [`ItemStream`], and came of it.
enum Pulled<T> {
    Next(Result<Option<T>>),
    Closed(Result<()>),
}

impl<T> ItemStream<T> {
    /// Closes the items, before their end or after it; one that is on its way is given up.
    pub async fn close(mut self) -> Result<()> {
        self.is_closing.store(true, Ordering::Relaxed);
        match poll_fn(|context| self.pulled.as_mut().poll_next(context)).await {
            Some(Pulled::Closed(closed)) => closed,
            Some(Pulled::Next(_)) | None => Ok(()),
        }
    }
}

impl<T> futures_core::Stream for ItemStream<T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        let item = match ready!(self.pulled.as_mut().poll_next(context)) {
            Some(Pulled::Next(next)) => next.transpose(),
            Some(Pulled::Closed(_)) | None => None,
        };
        self.has_ended = item.is_none();
        Poll::Ready(item)
    }
}

impl<T> FusedStream for ItemStream<T> {
    fn is_terminated(&self) -> bool {
        self.has_ended
    }
}

impl<T> fmt::Debug for ItemStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ItemStream").field("has_ended", &self.has_ended).finish_non_exhaustive()
    }
}

type Pulling<I> = (I, Arc<AtomicBool>);

/// One step of an [`ItemStream`]: the next item, or the end where that is asked for.
async fn pull<T, I: Items<T>>((mut items, closing): Pulling<I>) -> Option<(Pulled<T>, Pulling<I>)> {
    let pulled = match next_unless(&closing, &mut items).await {
        Some(next) => Pulled::Next(next),
        None => Pulled::Closed(items.close().await),
    };
    Some((pulled, (items, closing)))
}

async fn next_unless<T>(
    closing: &AtomicBool,
    items: &mut impl Items<T>,
) -> Option<Result<Option<T>>> {
    if closing.load(Ordering::Relaxed) {
        return None;
    }
    let mut next = items.next();
    poll_fn(|context| {
        if closing.load(Ordering::Relaxed) {
            return Poll::Ready(None);
        }
        Pin::new(&mut next).poll(context).map(Some)
    })
    .await
}

/// A stream as items; made by [`items`].
pub struct StreamItems<S> {
    /// `None` after its end.
    stream: Option<Pin<Box<S>>>,
}

impl<T, S> Items<T> for StreamItems<S>
where
    S: futures_core::Stream<Item = Result<T>> + Send + 'static,
    T: Send + 'static,
{
    fn next(&mut self) -> Reply<'_, Option<T>> {
        Reply::run(next_of(&mut self.stream))
    }

    fn close(&mut self) -> Reply<'_, ()> {
        Reply::run(async {
            self.stream = None;
            Ok(())
        })
    }
}

impl<S> fmt::Debug for StreamItems<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has_ended = self.stream.is_none();
        f.debug_struct("StreamItems").field("has_ended", &has_ended).finish_non_exhaustive()
    }
}

/// The next item of a stream, which is dropped at its end: most may not be polled once more.
async fn next_of<T, S>(stream: &mut Option<Pin<Box<S>>>) -> Result<Option<T>>
where
    S: futures_core::Stream<Item = Result<T>>,
{
    let Some(open) = stream else { return Ok(None) };
    let next = poll_fn(|context| open.as_mut().poll_next(context)).await;
    if next.is_none() {
        *stream = None;
    }
    next.transpose()
}

/// A sink of `futures` for what a provider or a conversation takes; made by [`into_sink`] and [`split`].
pub struct InputSink<I> {
    take: Box<dyn Fn(I) -> Reply<'static, ()> + Send>,
    /// `None` once it was closed.
    end: Option<Box<dyn FnOnce() -> Reply<'static, ()> + Send>>,
    under_way: Option<Reply<'static, ()>>,
}

impl<I> InputSink<I> {
    fn new(
        take: impl Fn(I) -> Reply<'static, ()> + Send + 'static,
        end: impl FnOnce() -> Reply<'static, ()> + Send + 'static,
    ) -> Self {
        Self { take: Box::new(take), end: Some(Box::new(end)), under_way: None }
    }

    fn poll_settled(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        let Some(under_way) = &mut self.under_way else { return Poll::Ready(Ok(())) };
        let settled = ready!(Pin::new(under_way).poll(context));
        self.under_way = None;
        Poll::Ready(settled)
    }
}

impl<I> FuturesSink<I> for InputSink<I> {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_settled(context)
    }

    fn start_send(mut self: Pin<&mut Self>, input: I) -> Result<()> {
        if self.end.is_none() {
            return Err(closed());
        }
        if self.under_way.is_some() {
            return Err(Error::new(ErrorKind::InvalidInput, "the sink is not ready for an input")
                .with_hint("wait for `poll_ready` before each input"));
        }
        let taken = (self.take)(input);
        self.under_way = Some(taken);
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_settled(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        if let Some(end) = self.end.take() {
            // An input that could not be sent is told, and keeps nothing open.
            let last = self.under_way.take().unwrap_or_else(|| Reply::ready(Ok(())));
            let ending = async move {
                let sent = last.await;
                let ended = end().await;
                sent.and(ended)
            };
            self.under_way = Some(Reply::run(ending));
        }
        self.poll_settled(context)
    }
}

impl<I> fmt::Debug for InputSink<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InputSink")
            .field("under_way", &self.under_way)
            .field("is_closed", &self.end.is_none())
            .finish_non_exhaustive()
    }
}

/// A sink of `futures` as a provider; made by [`sink`].
pub struct SinkProvider<I, W> {
    name: &'static str,
    outlet: OneByOne<W>,
    inputs: PhantomData<fn(I)>,
}

impl<I, W> Lifecycle for SinkProvider<I, W>
where
    W: FuturesSink<I, Error = Error> + Send + 'static,
    I: Send + 'static,
{
    fn close(&self) -> Reply<'_, ()> {
        Reply::run(self.outlet.close(W::poll_close))
    }
}

impl<I, W> Provider for SinkProvider<I, W>
where
    W: FuturesSink<I, Error = Error> + Send + 'static,
    I: Send + 'static,
{
    fn name(&self) -> &str {
        self.name
    }
}

impl<I, W> Sink<I> for SinkProvider<I, W>
where
    W: FuturesSink<I, Error = Error> + Send + 'static,
    I: Send + 'static,
{
    fn send(&self, input: I) -> Reply<'_, ()> {
        Reply::run(send_through(&self.outlet, input, closed))
    }
}

impl<I, W> fmt::Debug for SinkProvider<I, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkProvider").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A stream and a sink as a conversation; made by [`conversation`].
pub struct Pair<I, R, W> {
    inlet: OneByOne<R>,
    outlet: OneByOne<W>,
    inputs: PhantomData<fn(I)>,
}

impl<I, O, R, W> Conversation<I, O> for Pair<I, R, W>
where
    R: futures_core::Stream<Item = Result<O>> + Send + 'static,
    W: FuturesSink<I, Error = Error> + Send + 'static,
    I: Send + 'static,
    O: Send + 'static,
{
    fn send(&self, message: I) -> Reply<'_, ()> {
        Reply::run(send_through(&self.outlet, message, crate::duplex::closed))
    }

    fn receive(&self) -> Reply<'_, Option<O>> {
        Reply::run(async {
            let Some(turn) = self.inlet.turn().await else { return Ok(None) };
            let next = turn.poll(R::poll_next).await.flatten();
            if next.is_none() {
                self.inlet.end();
            }
            next.transpose()
        })
    }

    fn close(&self) -> Reply<'_, ()> {
        Reply::run(async {
            self.inlet.end();
            self.outlet.close(W::poll_close).await
        })
    }
}

impl<I, R, W> fmt::Debug for Pair<I, R, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_closed = self.outlet.is_ending();
        f.debug_struct("Pair").field("is_closed", &is_closed).finish_non_exhaustive()
    }
}

/// The receiving side of a conversation, as items.
struct Heard<C, I>(Arc<C>, PhantomData<fn(I)>);

impl<I, O, C: Conversation<I, O>> Items<O> for Heard<C, I> {
    fn next(&mut self) -> Reply<'_, Option<O>> {
        self.0.receive()
    }

    fn close(&mut self) -> Reply<'_, ()> {
        self.0.close()
    }
}

/// Sends one input through a sink that others use too.
async fn send_through<I, W>(outlet: &OneByOne<W>, input: I, closed: fn() -> Error) -> Result<()>
where
    W: FuturesSink<I, Error = Error>,
{
    let Some(turn) = outlet.turn().await else { return Err(closed()) };
    let Some(ready) = turn.poll(W::poll_ready).await else { return Err(closed()) };
    // What failed is an earlier input, whose sender has gone; this one was not given yet.
    ready.map_err(Error::not_applied)?;
    let mut input = Some(input);
    let flushed = turn.poll(|mut sink, context| {
        if let Some(input) = input.take() {
            sink.as_mut().start_send(input)?;
        }
        sink.poll_flush(context)
    });
    flushed.await.unwrap_or_else(|| Err(closed().with_outcome(Outcome::Unknown)))
}

fn closed() -> Error {
    Error::new(ErrorKind::Unavailable, "the sink is closed").with_retry(Retry::Never).not_applied()
}
