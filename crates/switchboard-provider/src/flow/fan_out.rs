//! One stream that is several: opened together, merged as their items come.
//!
//! Everything is pulled by whoever reads: nothing is started, and no source is read ahead by more
//! than the one item that it is asked for.

use std::fmt;
use std::future::poll_fn;
use std::iter::{repeat_n, zip};
use std::mem::replace;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join_all, maybe_done};
use switchboard_core::{Error, Outcome, Reply, Result};

use crate::compose::several::{Failed, Several};
use crate::compose::{contained, panicked};
use crate::provider::looked_after;
use crate::{Items, Provider, Stream};

/// A stream that opens several others with the same input, and merges their items as they come.
///
/// Each item comes with the name of its source, and the items of one source come in its order. Sources
/// that have items at the same time take turns. An error of a source has its `source` in the context,
/// and is followed by whatever the others, and that one, still have; a source that panics has ended
/// with an error. The end is when all have ended.
///
/// All sources are opened at the same time, and all of them must open: as soon as one fails, those that
/// are still opening are given up, those that did open are closed, and the error holds those of all
/// that failed. Its outcome and advice are those of [`FanOut`](crate::FanOut), where nobody knows what
/// became of those that were given up. Closing closes all and keeps every error; dropping drops all.
///
/// The sources belong to it: they are started with it and ended with it. It is as well as the worst of
/// them, and available when all of them are.
///
/// ```
/// # use switchboard_core::Result;
/// use std::sync::Arc;
/// use switchboard_provider::{FanOutStream, Items, Stream, function};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<()> {
/// let from = |first: u32| -> Arc<dyn Stream<u32, u32>> {
///     Arc::new(function::stream("numbers", move |count: u32| async move {
///         Ok(function::items(first..first + count, |mut left| async move {
///             Ok(left.next().map(|number| (number, left)))
///         }))
///     }))
/// };
/// let both = FanOutStream::new("both", [("low", from(0)), ("high", from(100))])?;
///
/// let mut numbers = both.open(2).await?;
/// let mut merged = Vec::new();
/// while let Some(number) = numbers.next().await? {
///     merged.push((number.source.to_string(), number.item));
/// }
/// let expected = [("low", 0), ("high", 100), ("low", 1), ("high", 101)];
/// assert_eq!(merged, expected.map(|(source, number)| (source.to_owned(), number)));
/// # Ok(()) }
/// ```
pub struct FanOutStream<I, O> {
    sources: Several<dyn Stream<I, O>>,
}

looked_after!({ I: 'static, O: 'static } FanOutStream<I, O>, sources);

/// An item, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sourced<T> {
    /// The name of its source.
    pub source: Arc<str>,
    /// The item itself.
    pub item: T,
}

impl<I: 'static, O: 'static> FanOutStream<I, O> {
    /// A stream called `name` that merges those of all `sources`, each under its own name.
    ///
    /// With no source, with more than [`SOURCES_MAX`](Self::SOURCES_MAX), or with two of one name it
    /// is an error.
    pub fn new<N: Into<String>>(
        name: impl Into<String>,
        sources: impl IntoIterator<Item = (N, Arc<dyn Stream<I, O>>)>,
    ) -> Result<Self> {
        Ok(Self { sources: Several::new(name, "source", sources, Self::SOURCES_MAX)? })
    }

    /// The names of the sources, in the order in which they were given.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sources.names()
    }

    /// How many sources there are at most: each is looked at for each item.
    pub const SOURCES_MAX: usize = 64;
}

impl<I, O> Stream<I, Sourced<O>> for FanOutStream<I, O>
where
    I: Clone + Send + 'static,
    O: Send + 'static,
{
    fn open(&self, input: I) -> Reply<'_, Box<dyn Items<Sourced<O>>>> {
        Reply::run(async move {
            let sources = self.sources.members();
            let opens = zip(sources, repeat_n(input, sources.len())).map(|(source, copy)| {
                source.answer(async move {
                    let items = source.provider().open(copy).await?;
                    Ok(Source { name: source.name().clone(), state: State::Resting(items) })
                })
            });
            let answers = until_one_fails(opens).await;
            let have_all_answered = answers.len() == sources.len();
            match self.sources.all_of("could be opened", answers) {
                Ok(sources) => {
                    let merged: Box<dyn Items<Sourced<O>>> = Box::new(Merged { sources, turn: 0 });
                    Ok(merged)
                }
                Err(Failed { error, given }) => {
                    let error = if have_all_answered {
                        error
                    } else {
                        error.with_outcome(Outcome::Unknown)
                    };
                    let left_open = Merged { sources: given, turn: 0 }.close_all().await;
                    Err(error.with_related(left_open))
                }
            }
        })
    }
}

impl<I: 'static, O: 'static> fmt::Debug for FanOutStream<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.names().collect();
        f.debug_struct("FanOutStream").field("name", &self.name()).field("sources", &names).finish()
    }
}

/// The items of several sources.
struct Merged<T> {
    sources: Vec<Source<T>>,
    /// The source that is looked at first.
    turn: usize,
}

struct Source<T> {
    name: Arc<str>,
    state: State<T>,
}

enum State<T> {
    Resting(Box<dyn Items<T>>),
    Pulling(Pull<T>),
    Ended(Box<dyn Items<T>>),
    /// Lost to a panic.
    Gone,
}

/// One item on its way. It is kept over the calls that wait for it, so that a slow source gets as far
/// as it would alone, however often the others are faster.
struct Pull<T> {
    pulling: BoxFuture<'static, Pulled<T>>,
    is_stopped: Arc<AtomicBool>,
}

/// The items, and what came of them unless the pull was stopped.
type Pulled<T> = (Box<dyn Items<T>>, Option<Result<Option<T>>>);

/// What a source has now.
enum Found<T> {
    Something(Result<T>),
    NothingYet,
    NothingEver,
}

impl<T: Send + 'static> Merged<T> {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Sourced<T>>>> {
        let mut have_all_ended = true;
        for step in 0..self.sources.len() {
            let index = (self.turn + step) % self.sources.len();
            let source = &mut self.sources[index];
            match source.poll(context) {
                Found::Something(found) => {
                    let found =
                        found.map(|item| Some(Sourced { source: source.name.clone(), item }));
                    self.turn = index + 1;
                    return Poll::Ready(found);
                }
                Found::NothingYet => have_all_ended = false,
                Found::NothingEver => {}
            }
        }
        if have_all_ended { Poll::Ready(Ok(None)) } else { Poll::Pending }
    }

    async fn close_all(&mut self) -> Vec<Error> {
        for source in &mut self.sources {
            source.end();
        }
        let errors = join_all(self.sources.iter_mut().map(Source::close)).await;
        self.sources.clear();
        errors.into_iter().filter_map(Result::err).collect()
    }
}

impl<T: Send + 'static> Items<Sourced<T>> for Merged<T> {
    fn next(&mut self) -> Reply<'_, Option<Sourced<T>>> {
        Reply::run(poll_fn(|context| self.poll_next(context)))
    }

    fn close(&mut self) -> Reply<'_, ()> {
        Reply::run(async {
            match self.close_all().await {
                errors if errors.is_empty() => Ok(()),
                errors => Err(Error::joined("not every source closed", errors)),
            }
        })
    }
}

impl<T: Send + 'static> Source<T> {
    fn poll(&mut self, context: &mut Context<'_>) -> Found<T> {
        let mut pull = match replace(&mut self.state, State::Gone) {
            State::Resting(items) => Pull::new(items),
            State::Pulling(pull) => pull,
            over @ (State::Ended(_) | State::Gone) => {
                self.state = over;
                return Found::NothingEver;
            }
        };
        match catch_unwind(AssertUnwindSafe(|| pull.pulling.as_mut().poll(context))) {
            Ok(Poll::Pending) => {
                self.state = State::Pulling(pull);
                Found::NothingYet
            }
            Ok(Poll::Ready((items, pulled))) => self.rest(items, pulled),
            Err(payload) => Found::Something(Err(self.blame(panicked(&*payload)))),
        }
    }

    fn rest(&mut self, items: Box<dyn Items<T>>, pulled: Option<Result<Option<T>>>) -> Found<T> {
        let Some(found) = pulled.and_then(Result::transpose) else {
            self.state = State::Ended(items);
            return Found::NothingEver;
        };
        self.state = State::Resting(items);
        Found::Something(found.map_err(|error| self.blame(error)))
    }

    /// Lets it give no more items.
    fn end(&mut self) {
        self.state = match replace(&mut self.state, State::Gone) {
            State::Resting(items) | State::Ended(items) => State::Ended(items),
            State::Pulling(pull) => pull.stop().map_or(State::Gone, State::Ended),
            State::Gone => State::Gone,
        };
    }

    async fn close(&mut self) -> Result<()> {
        let State::Ended(items) = &mut self.state else { return Ok(()) };
        let closed = contained(async { items.close().await }).await;
        closed.map_err(|error| self.blame(error))
    }

    fn blame(&self, error: Error) -> Error {
        error.with_context("source", &self.name)
    }
}

impl<T: Send + 'static> Pull<T> {
    fn new(mut items: Box<dyn Items<T>>) -> Self {
        let is_stopped = Arc::new(AtomicBool::new(false));
        let stopped = is_stopped.clone();
        let pulling = async move {
            let pulled = {
                let mut next = items.next();
                let unless_stopped = |context: &mut Context<'_>| {
                    if stopped.load(Ordering::Acquire) {
                        return Poll::Ready(None);
                    }
                    Pin::new(&mut next).poll(context).map(Some)
                };
                poll_fn(unless_stopped).await
            };
            (items, pulled)
        };
        Self { pulling: pulling.boxed(), is_stopped }
    }

    /// The items, without what was on its way.
    fn stop(self) -> Option<Box<dyn Items<T>>> {
        self.is_stopped.store(true, Ordering::Release);
        // It looks whether it was stopped before anything else, so it ends at once.
        self.pulling.now_or_never().map(|(items, _)| items)
    }
}

/// What comes of `asked`, in their order, until all have answered or one has failed; the others are
/// dropped then.
async fn until_one_fails<N, T>(
    asked: impl Iterator<Item = impl Future<Output = (N, Result<T>)>>,
) -> Vec<(N, Result<T>)> {
    let mut asked: Vec<_> = asked.map(|one| Box::pin(maybe_done(one))).collect();
    poll_fn(|context| {
        let (mut has_failed, mut are_all_done) = (false, true);
        for one in &mut asked {
            are_all_done &= one.as_mut().poll(context).is_ready();
            has_failed |= one.as_mut().output_mut().is_some_and(|(_, answer)| answer.is_err());
        }
        if has_failed || are_all_done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    asked.iter_mut().filter_map(|one| one.as_mut().take_output()).collect()
}
