//! Providers from functions, for what needs no type of its own.
//!
//! ```
//! use switchboard_provider::{Sink, function};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> switchboard_core::Result<()> {
//! let log = function::sink("log", |line: String| async move {
//!     println!("{line}");
//!     Ok(())
//! });
//! log.send("started".to_owned()).await?;
//! # Ok(()) }
//! ```

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::mem::{replace, take};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use switchboard_core::{Error, ErrorKind, Lifecycle, Reply, Result};
use tokio::sync::Semaphore;

use crate::duplex::closed;
use crate::{Conversation, Duplex, Items, Provider, RequestResponse, Sink, Stream};

/// A provider whose work is one function; made by the functions of this module.
pub struct Function<F, Shape> {
    name: Cow<'static, str>,
    call: F,
    shape: PhantomData<fn() -> Shape>,
}

/// What a [`Function`] is that executes.
#[derive(Debug)]
pub struct Executes(());

/// What a [`Function`] is that opens streams.
#[derive(Debug)]
pub struct Streams(());

/// What a [`Function`] is that sends.
#[derive(Debug)]
pub struct Sends(());

/// What a [`Function`] is that opens conversations.
#[derive(Debug)]
pub struct Converses(());

/// A [`RequestResponse`] whose output is what `execute` makes of the input.
pub fn request_response<I, O, F, Fut>(
    name: impl Into<Cow<'static, str>>,
    execute: F,
) -> Function<F, Executes>
where
    F: Fn(I) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O>> + Send + 'static,
{
    Function { name: name.into(), call: execute, shape: PhantomData }
}

/// A [`Stream`] whose items are those that `open` gives for the input: [`items`], or some of its own type.
pub fn stream<I, O, T, F, Fut>(name: impl Into<Cow<'static, str>>, open: F) -> Function<F, Streams>
where
    F: Fn(I) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T>> + Send + 'static,
    T: Items<O> + 'static,
{
    Function { name: name.into(), call: open, shape: PhantomData }
}

/// A [`Sink`] that gives each input to `send`.
pub fn sink<I, F, Fut>(name: impl Into<Cow<'static, str>>, send: F) -> Function<F, Sends>
where
    F: Fn(I) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<()>> + Send + 'static,
{
    Function { name: name.into(), call: send, shape: PhantomData }
}

/// A [`Duplex`] whose conversations are those that `open` begins: one side of a [`conversation`], or
/// some of its own type.
pub fn duplex<I, O, T, F, Fut>(
    name: impl Into<Cow<'static, str>>,
    open: F,
) -> Function<F, Converses>
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T>> + Send + 'static,
    T: Conversation<I, O> + 'static,
{
    Function { name: name.into(), call: open, shape: PhantomData }
}

/// Items that come step by step: each with the state that the next step begins with, `None` is the end.
///
/// Dropping a reply of theirs loses nothing: a step that has begun is kept, and goes on with the next
/// call. An error is their last word, because the state is gone with it.
///
/// ```
/// use switchboard_provider::{Items as _, Stream as _, function};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> switchboard_core::Result<()> {
/// let countdown = function::stream("countdown", |from: u32| async move {
///     Ok(function::items(from, |left| async move {
///         Ok(left.checked_sub(1).map(|left| (left, left)))
///     }))
/// });
/// let mut numbers = countdown.open(2).await?;
/// assert_eq!(numbers.next().await?, Some(1));
/// assert_eq!(numbers.next().await?, Some(0));
/// assert_eq!(numbers.next().await?, None);
/// # Ok(()) }
/// ```
pub fn items<T, S, F, Fut>(state: S, step: F) -> Steps<S, F, Fut>
where
    S: Send,
    F: FnMut(S) -> Fut + Send,
    Fut: Future<Output = Result<Option<(T, S)>>> + Send,
{
    Steps { step, at: At::Rest(state) }
}

/// Two sides of one conversation: what one sends, the other receives.
///
/// One side is for whoever opens the conversation, the other for whoever answers. In each direction
/// [`MESSAGES_MAX`] messages may wait to be received; sending one more waits. The first side that is closed
/// or dropped ends it: the other still receives what was sent before, and can send nothing more.
///
/// ```
/// use switchboard_provider::{Conversation as _, function};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> switchboard_core::Result<()> {
/// let (near, far) = function::conversation::<&str, usize>();
/// near.send("word").await?;
/// while let Some(text) = far.receive().await? {
///     far.send(text.len()).await?;
///     far.close().await?;
/// }
/// assert_eq!(near.receive().await?, Some(4));
/// assert_eq!(near.receive().await?, None);
/// # Ok(()) }
/// ```
pub fn conversation<I, O>() -> (Side<I, O>, Side<O, I>) {
    let (there, back) = (Arc::new(Way::new()), Arc::new(Way::new()));
    let far = Side { sent: back.clone(), heard: there.clone(), is_closed: AtomicBool::new(false) };
    (Side { sent: there, heard: back, is_closed: AtomicBool::new(false) }, far)
}

/// How many messages of a [`conversation`] may wait in each direction.
pub const MESSAGES_MAX: usize = 64;

impl<F: Send + Sync + 'static, Shape: 'static> Lifecycle for Function<F, Shape> {}

impl<F: Send + Sync + 'static, Shape: 'static> Provider for Function<F, Shape> {
    fn name(&self) -> &str {
        &self.name
    }
}

impl<I, O, F, Fut> RequestResponse<I, O> for Function<F, Executes>
where
    F: Fn(I) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O>> + Send + 'static,
{
    fn execute(&self, input: I) -> Reply<'_, O> {
        Reply::run((self.call)(input))
    }
}

impl<I, O, T, F, Fut> Stream<I, O> for Function<F, Streams>
where
    F: Fn(I) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T>> + Send + 'static,
    T: Items<O> + 'static,
{
    fn open(&self, input: I) -> Reply<'_, Box<dyn Items<O>>> {
        let opening = (self.call)(input);
        Reply::run(async move {
            let items: Box<dyn Items<O>> = Box::new(opening.await?);
            Ok(items)
        })
    }
}

impl<I, F, Fut> Sink<I> for Function<F, Sends>
where
    F: Fn(I) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<()>> + Send + 'static,
{
    fn send(&self, input: I) -> Reply<'_, ()> {
        Reply::run((self.call)(input))
    }
}

impl<I, O, T, F, Fut> Duplex<I, O> for Function<F, Converses>
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T>> + Send + 'static,
    T: Conversation<I, O> + 'static,
{
    fn open(&self) -> Reply<'_, Box<dyn Conversation<I, O>>> {
        let opening = (self.call)();
        Reply::run(async move {
            let conversation: Box<dyn Conversation<I, O>> = Box::new(opening.await?);
            Ok(conversation)
        })
    }
}

impl<F, Shape> fmt::Debug for Function<F, Shape> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Items that come step by step; made by [`items`].
pub struct Steps<S, F, Fut> {
    step: F,
    at: At<S, Fut>,
}

enum At<S, Fut> {
    Rest(S),
    Work(Pin<Box<Fut>>),
    End,
}

impl<T, S, F, Fut> Items<T> for Steps<S, F, Fut>
where
    S: Send,
    F: FnMut(S) -> Fut + Send,
    Fut: Future<Output = Result<Option<(T, S)>>> + Send,
{
    fn next(&mut self) -> Reply<'_, Option<T>> {
        Reply::run(poll_fn(|context| self.poll_next(context)))
    }

    /// Drops the state, or the step that has begun with it.
    fn close(&mut self) -> Reply<'_, ()> {
        Reply::run(async {
            self.at = At::End;
            Ok(())
        })
    }
}

impl<S, F, Fut> Steps<S, F, Fut> {
    fn poll_next<T>(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<T>>>
    where
        F: FnMut(S) -> Fut,
        Fut: Future<Output = Result<Option<(T, S)>>>,
    {
        // What fails or panics has ended, because nothing is put back.
        let mut work = match replace(&mut self.at, At::End) {
            At::Rest(state) => Box::pin((self.step)(state)),
            At::Work(work) => work,
            At::End => return Poll::Ready(Ok(None)),
        };
        let Poll::Ready(done) = work.as_mut().poll(context) else {
            self.at = At::Work(work);
            return Poll::Pending;
        };
        let Some((item, state)) = done? else { return Poll::Ready(Ok(None)) };
        self.at = At::Rest(state);
        Poll::Ready(Ok(Some(item)))
    }
}

impl<S, F, Fut> fmt::Debug for Steps<S, F, Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has_ended = matches!(self.at, At::End);
        f.debug_struct("Steps").field("has_ended", &has_ended).finish_non_exhaustive()
    }
}

/// One side of a conversation, which sends `I` and receives `O`; made by [`conversation`].
pub struct Side<I, O> {
    sent: Arc<Way<I>>,
    heard: Arc<Way<O>>,
    is_closed: AtomicBool,
}

impl<I: Send, O: Send> Conversation<I, O> for Side<I, O> {
    fn send(&self, message: I) -> Reply<'_, ()> {
        Reply::run(async move {
            if self.sent.put(message).await {
                return Ok(());
            }
            if self.is_closed.load(Ordering::Acquire) {
                return Err(closed());
            }
            let message = "the other side has ended the conversation";
            Err(Error::new(ErrorKind::Unavailable, message).not_applied())
        })
    }

    fn receive(&self) -> Reply<'_, Option<O>> {
        Reply::run(async { Ok(self.heard.take().await) })
    }

    /// Ends the conversation. What was not received on this side is dropped.
    fn close(&self) -> Reply<'_, ()> {
        Reply::run(async {
            self.end();
            Ok(())
        })
    }
}

impl<I, O> Side<I, O> {
    fn end(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.sent.end();
        self.heard.end();
        let unheard = take(&mut self.heard.locked().messages);
        drop(unheard);
    }
}

impl<I, O> Drop for Side<I, O> {
    fn drop(&mut self) {
        self.end();
    }
}

impl<I, O> fmt::Debug for Side<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Side").field("is_closed", &self.is_closed).finish_non_exhaustive()
    }
}

/// One direction of a conversation. The semaphores are for waiting; what is true is in the queue.
struct Way<T> {
    queue: Mutex<Queue<T>>,
    /// One for each message that may be put in without waiting.
    places: Semaphore,
    /// One for each message that is there.
    arrivals: Semaphore,
}

struct Queue<T> {
    messages: VecDeque<T>,
    has_ended: bool,
}

impl<T> Way<T> {
    fn new() -> Self {
        let queue = Queue { messages: VecDeque::new(), has_ended: false };
        let (places, arrivals) = (Semaphore::new(MESSAGES_MAX), Semaphore::new(0));
        Self { queue: Mutex::new(queue), places, arrivals }
    }

    /// Whether `message` was put in, which it is before the end.
    async fn put(&self, message: T) -> bool {
        let Ok(place) = self.places.acquire().await else { return false };
        {
            let mut queue = self.locked();
            if queue.has_ended {
                return false;
            }
            queue.messages.push_back(message);
        }
        place.forget();
        self.arrivals.add_permits(1);
        true
    }

    /// The first message; `None` after the end, when all were taken.
    async fn take(&self) -> Option<T> {
        // After the end there is nothing to wait for, and what was put in before is still there.
        if let Ok(arrival) = self.arrivals.acquire().await {
            arrival.forget();
        }
        let message = self.locked().messages.pop_front()?;
        self.places.add_permits(1);
        Some(message)
    }

    fn end(&self) {
        self.locked().has_ended = true;
        self.places.close();
        self.arrivals.close();
    }

    // Nothing that can panic is done with it.
    fn locked(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
