//! A copy of what goes through a provider, sent to a sink on the side.
//!
//! The copy is a favour: it is sent as well as the side can take it within its time, and neither its
//! failure nor its slowness changes what the caller gets.

use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join;
use switchboard_core::{Clock, Deadline, Error, Reply};

use super::contained;
use crate::provider::looked_after;
use crate::{Items, Provider, RequestResponse, Sink, Stream};

/// A provider with a sink on its side, to which all that passes [`Inputs`] or [`Outputs`] is copied;
/// made by the functions of this module.
///
/// The side has a [limit](Self::with_limit) of time for each copy. Of a copy that fails, panics or is
/// late a [listener](Self::on_error) hears, and nobody else. Start, check and end are those of the
/// provider; the side is looked after by whoever owns it.
///
/// The answer waits for the copy, so it may come later by the limit. The copy is given up in time
/// for the deadline of the call around it. The limit of an attempt is not known to it, so the place
/// of a tap is around the gates; there it also sees each call once, and not each attempt.
///
/// A call that is dropped drops its copy.
pub struct Tap<P, S, Passing> {
    main: P,
    side: Side<S>,
    passing: PhantomData<fn(Passing)>,
}

/// What a [`Tap`] copies that copies inputs.
#[derive(Debug)]
pub struct Inputs(());

/// What a [`Tap`] copies that copies outputs.
#[derive(Debug)]
pub struct Outputs(());

/// A sink or request-response provider whose inputs are copied to `side`, at the same time as they
/// are sent; also those that the provider then fails on.
///
/// ```
/// use switchboard_provider::compose::tap;
/// use switchboard_provider::{RequestResponse, function};
/// # use std::sync::{Arc, Mutex};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> switchboard_core::Result<()> {
/// # let heard = Arc::new(Mutex::new(Vec::new()));
/// # let copies = heard.clone();
/// let half = function::request_response("half", |number: u64| async move { Ok(number / 2) });
/// let audit = function::sink("audit", move |number: u64| {
///     let copies = copies.clone();
///     async move {
///         copies.lock().unwrap().push(number);
///         Ok(())
///     }
/// });
/// let half = tap::input(half, audit)
///     .with_limit(std::time::Duration::from_millis(100))
///     .on_error(|error| eprintln!("a copy is missing: {error}"));
/// assert_eq!(half.execute(8).await?, 4);
/// assert_eq!(*heard.lock().unwrap(), [8]);
/// # Ok(()) }
/// ```
pub fn input<I, P, S>(main: P, side: S) -> Tap<P, S, Inputs>
where
    P: Provider,
    S: Sink<I>,
{
    Tap::new(main, side)
}

/// A request-response provider whose outputs are copied to `side` once they are there.
pub fn output<I, O, P, S>(main: P, side: S) -> Tap<P, S, Outputs>
where
    P: RequestResponse<I, O>,
    S: Sink<O>,
{
    Tap::new(main, side)
}

/// A stream whose items are copied to `side`, each before it is given.
///
/// When the call for an item is dropped while its copy is sent, the next call goes on where that one
/// was: neither the item nor the copy is lost, and none comes twice.
pub fn items<I, O, P, S>(main: P, side: S) -> Tap<P, S, Outputs>
where
    P: Stream<I, O>,
    S: Sink<O>,
{
    Tap::new(main, side)
}

impl<P, S: Provider, Passing> Tap<P, S, Passing> {
    fn new(main: P, side: S) -> Self {
        let on_error: Arc<Listener> = Arc::new(|error| {
            tracing::warn!(%error, "a copy was not taken");
        });
        let side = Side { sink: Arc::new(side), limit: LIMIT_USUAL, on_error };
        Self { main, side, passing: PhantomData }
    }

    /// The same tap with this much time for each copy; one second if nothing is said.
    #[must_use]
    pub fn with_limit(mut self, limit: Duration) -> Self {
        self.side.limit = limit;
        self
    }

    /// The same tap with `listener` to be told why a copy was not taken; if nothing is said, that is
    /// a warning in the log.
    ///
    /// It is called in the course of the call, so it should be quick. Its panic is an error in the
    /// log.
    #[must_use]
    pub fn on_error(mut self, listener: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        self.side.on_error = Arc::new(listener);
        self
    }
}

looked_after!({
    P: Provider,
    S: Provider,
    Passing: 'static
} Tap<P, S, Passing>, main);

impl<I, O, P, S> RequestResponse<I, O> for Tap<P, S, Inputs>
where
    P: RequestResponse<I, O>,
    S: Sink<I>,
    I: Clone + Send + 'static,
    O: Send + 'static,
{
    fn execute(&self, input: I) -> Reply<'_, O> {
        Reply::run(async move {
            let copying = self.side.copy(input.clone());
            let (answer, ()) = join(self.main.execute(input), copying).await;
            answer
        })
    }
}

impl<I, P, S> Sink<I> for Tap<P, S, Inputs>
where
    P: Sink<I>,
    S: Sink<I>,
    I: Clone + Send + 'static,
{
    fn send(&self, input: I) -> Reply<'_, ()> {
        Reply::run(async move {
            let copying = self.side.copy(input.clone());
            let (answer, ()) = join(self.main.send(input), copying).await;
            answer
        })
    }
}

impl<I, O, P, S> RequestResponse<I, O> for Tap<P, S, Outputs>
where
    P: RequestResponse<I, O>,
    S: Sink<O>,
    I: Send + 'static,
    O: Clone + Send + 'static,
{
    fn execute(&self, input: I) -> Reply<'_, O> {
        Reply::run(async move {
            let output = self.main.execute(input).await?;
            self.side.copy(output.clone()).await;
            Ok(output)
        })
    }
}

impl<I, O, P, S> Stream<I, O> for Tap<P, S, Outputs>
where
    P: Stream<I, O>,
    S: Sink<O>,
    I: Send + 'static,
    O: Clone + Send + 'static,
{
    fn open(&self, input: I) -> Reply<'_, Box<dyn Items<O>>> {
        Reply::run(async move {
            let items = self.main.open(input).await?;
            let tapped: Box<dyn Items<O>> =
                Box::new(Tapped { items, side: self.side.clone(), copying: None });
            Ok(tapped)
        })
    }
}

impl<P: fmt::Debug, S, Passing> fmt::Debug for Tap<P, S, Passing> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tap")
            .field("main", &self.main)
            .field("limit", &self.side.limit)
            .finish_non_exhaustive()
    }
}

/// Items that are copied before they are given.
struct Tapped<T, S> {
    items: Box<dyn Items<T>>,
    side: Side<S>,
    /// The item that is given next, and what is left of its copying.
    copying: Option<(T, Copying)>,
}

type Copying = Pin<Box<dyn Future<Output = ()> + Send>>;

impl<T, S> Items<T> for Tapped<T, S>
where
    S: Sink<T>,
    T: Clone + Send + 'static,
{
    fn next(&mut self) -> Reply<'_, Option<T>> {
        Reply::run(async move {
            if self.copying.is_none() {
                let Some(item) = self.items.next().await? else { return Ok(None) };
                self.copying = Some((item.clone(), self.side.clone().copy_alone(item)));
            }
            if let Some((_, copying)) = &mut self.copying {
                copying.await;
            }
            Ok(self.copying.take().map(|(item, _)| item))
        })
    }

    fn close(&mut self) -> Reply<'_, ()> {
        self.copying = None;
        self.items.close()
    }
}

type Listener = dyn Fn(&Error) + Send + Sync;

/// Where copies go, how long each may take, and who hears of those that did not arrive.
struct Side<S> {
    sink: Arc<S>,
    limit: Duration,
    on_error: Arc<Listener>,
}

impl<S: Provider> Side<S> {
    /// Sends a copy, and ends when it is there, when it failed, or when its time is over.
    async fn copy<T>(&self, copy: T)
    where
        S: Sink<T>,
        T: Send,
    {
        let clock = Clock::system();
        let sending = contained(async { self.sink.send(copy).await });
        if let Err(error) = self.until(&clock).run(&clock, sending).await {
            self.tell(error);
        }
    }

    /// [`copy`](Self::copy), which may outlive the call it was begun in.
    fn copy_alone<T>(self, copy: T) -> Copying
    where
        S: Sink<T>,
        T: Send + 'static,
    {
        Box::pin(async move { self.copy(copy).await })
    }

    /// The end of the time for a copy that begins now: before the call around it has to end.
    fn until(&self, clock: &Clock) -> Deadline {
        let own = Deadline::within(clock, self.limit);
        let before = |around: Deadline| around.moment().checked_sub(ANSWER_MARGIN);
        match Deadline::current().and_then(before) {
            Some(around) => own.min(Deadline::at(around)),
            None => own,
        }
    }

    fn tell(&self, error: Error) {
        let error = error.with_context("side", self.sink.name());
        if catch_unwind(AssertUnwindSafe(|| (self.on_error)(&error))).is_err() {
            tracing::error!(%error, "a listener of missing copies panicked");
        }
    }
}

impl<S> Clone for Side<S> {
    fn clone(&self) -> Self {
        Self { sink: self.sink.clone(), limit: self.limit, on_error: self.on_error.clone() }
    }
}

/// How long a copy may take if nothing is said.
const LIMIT_USUAL: Duration = Duration::from_secs(1);

/// What is left of the deadline of a call, when its copy is given up, to give the answer.
const ANSWER_MARGIN: Duration = Duration::from_millis(1);
