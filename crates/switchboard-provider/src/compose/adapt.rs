//! A provider of one input and output made into one of others.
//!
//! Maps what goes in and what comes out, and says which of the two went wrong. Everything else, such
//! as waiting, retrying and the provider's own errors, is left as it is.

use std::error::Error as StdError;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use switchboard_core::{Error, ErrorKind, Outcome, Reply, Result, Retry};

use crate::provider::looked_after;
use crate::{Conversation, Duplex, Items, Provider, RequestResponse, Sink, Stream};

/// A provider behind a mapping of its inputs and one of its outputs; made by the functions of this
/// module. `Shape` is what it is without them.
///
/// Three kinds of errors come out of it, and [`AdaptStep::of`] tells them apart:
///
/// - The input could not be mapped: the kind is always [`ErrorKind::InvalidInput`], the provider was
///   not asked, and nothing was applied.
/// - The provider failed: its error, untouched.
/// - The output could not be mapped: the provider has done its work, so the outcome is
///   [`Outcome::Applied`] and no gate tries again. The kind is the one that the mapping chose; where
///   it chose none (`Unexpected`) it is [`ErrorKind::Corrupt`], an answer, which is never held
///   against the provider. A mapping that reads an outage out of an answer may say so.
///
/// A panic of a mapping is the caller's, as if it had mapped by hand.
pub struct Adapt<P, F, G, Shape: ?Sized> {
    provider: P,
    input: Arc<F>,
    output: Arc<G>,
    shape: PhantomData<fn(&Shape)>,
}

/// The side of an [`Adapt`] on which something could not be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AdaptStep {
    /// On the way in: the provider was not asked.
    Input,
    /// On the way out: the provider has done its work.
    Output,
}

/// A provider that takes what `input` makes into its inputs, and gives what `output` makes of its
/// outputs. A side that stays as it is has [`Ok`] for its mapping.
///
/// ```
/// use switchboard_core::{Error, ErrorKind, Outcome, Result};
/// use switchboard_provider::compose::adapt;
/// use switchboard_provider::{AdaptStep, RequestResponse, function};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// let half = function::request_response("half", |number: u64| async move { Ok(number / 2) });
/// let texts = adapt::request_response(
///     half,
///     |text: String| {
///         let wrong = |error| {
///             Error::new(ErrorKind::InvalidInput, "this is no number").with_source(error)
///         };
///         text.parse().map_err(wrong)
///     },
///     |number: u64| match number {
///         0 => Err(Error::new(ErrorKind::Corrupt, "too small to be halved")),
///         _ => Ok(number.to_string()),
///     },
/// );
/// assert_eq!(texts.execute("8".to_owned()).await?, "4");
///
/// let error = texts.execute("eight".to_owned()).await.unwrap_err();
/// assert_eq!(AdaptStep::of(&error), Some(AdaptStep::Input));
/// assert_eq!(error.outcome(), Outcome::NotApplied);
///
/// let error = texts.execute("1".to_owned()).await.unwrap_err();
/// assert_eq!(AdaptStep::of(&error), Some(AdaptStep::Output));
/// assert_eq!(error.outcome(), Outcome::Applied);
/// # Ok(()) }
/// ```
pub fn request_response<A, B, I, O, P, F, G>(
    provider: P,
    input: F,
    output: G,
) -> Adapt<P, F, G, dyn RequestResponse<I, O>>
where
    P: RequestResponse<I, O>,
    F: Fn(A) -> Result<I> + Send + Sync + 'static,
    G: Fn(O) -> Result<B> + Send + Sync + 'static,
{
    Adapt::new(provider, input, output)
}

/// A stream that is opened with what `input` makes into its inputs, and gives what `output` makes of
/// its items. An item that cannot be mapped is an error in its place, and the next one follows.
pub fn stream<A, B, I, O, P, F, G>(
    provider: P,
    input: F,
    output: G,
) -> Adapt<P, F, G, dyn Stream<I, O>>
where
    P: Stream<I, O>,
    F: Fn(A) -> Result<I> + Send + Sync + 'static,
    G: Fn(O) -> Result<B> + Send + Sync + 'static,
{
    Adapt::new(provider, input, output)
}

/// A sink that takes what `input` makes into its inputs.
pub fn sink<A, I, P, F>(provider: P, input: F) -> Adapt<P, F, (), dyn Sink<I>>
where
    P: Sink<I>,
    F: Fn(A) -> Result<I> + Send + Sync + 'static,
{
    Adapt::new(provider, input, ())
}

/// A duplex provider that sends what `input` makes into its messages, and receives what `output`
/// makes of those from the other side. A message that cannot be mapped is an error in its place, and
/// the conversation goes on.
pub fn duplex<A, B, I, O, P, F, G>(
    provider: P,
    input: F,
    output: G,
) -> Adapt<P, F, G, dyn Duplex<I, O>>
where
    P: Duplex<I, O>,
    F: Fn(A) -> Result<I> + Send + Sync + 'static,
    G: Fn(O) -> Result<B> + Send + Sync + 'static,
{
    Adapt::new(provider, input, output)
}

impl AdaptStep {
    /// On which side `error` arose; `None` for an error of the provider.
    ///
    /// A provider that has an [`Adapt`] inside and gives an error of its own, with that of the
    /// mapping as its source, is the one that failed.
    pub fn of(error: &Error) -> Option<Self> {
        StdError::source(error)?.downcast_ref().map(|unmapped: &Unmapped| unmapped.step)
    }

    /// The word used in errors.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
        }
    }
}

impl fmt::Display for AdaptStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl<P, F, G, Shape: ?Sized> Adapt<P, F, G, Shape> {
    fn new(provider: P, input: F, output: G) -> Self {
        let (input, output) = (Arc::new(input), Arc::new(output));
        Self { provider, input, output, shape: PhantomData }
    }
}

looked_after!({
    P: Provider,
    F: Send + Sync + 'static,
    G: Send + Sync + 'static,
    Shape: ?Sized + 'static
} Adapt<P, F, G, Shape>, provider);

impl<A, B, I, O, P, F, G> RequestResponse<A, B> for Adapt<P, F, G, dyn RequestResponse<I, O>>
where
    P: RequestResponse<I, O>,
    F: Fn(A) -> Result<I> + Send + Sync + 'static,
    G: Fn(O) -> Result<B> + Send + Sync + 'static,
    A: Send + 'static,
    I: Send + 'static,
    O: Send + 'static,
{
    fn execute(&self, input: A) -> Reply<'_, B> {
        Reply::run(async move {
            let input = (self.input)(input).map_err(not_asked)?;
            let output = self.provider.execute(input).await?;
            (self.output)(output).map_err(not_given)
        })
    }
}

impl<A, B, I, O, P, F, G> Stream<A, B> for Adapt<P, F, G, dyn Stream<I, O>>
where
    P: Stream<I, O>,
    F: Fn(A) -> Result<I> + Send + Sync + 'static,
    G: Fn(O) -> Result<B> + Send + Sync + 'static,
    A: Send + 'static,
    I: Send + 'static,
    O: Send + 'static,
{
    fn open(&self, input: A) -> Reply<'_, Box<dyn Items<B>>> {
        Reply::run(async move {
            let input = (self.input)(input).map_err(not_asked)?;
            let items = self.provider.open(input).await?;
            let mapped: Box<dyn Items<B>> = Box::new(Mapped { items, output: self.output.clone() });
            Ok(mapped)
        })
    }
}

impl<A, I, P, F> Sink<A> for Adapt<P, F, (), dyn Sink<I>>
where
    P: Sink<I>,
    F: Fn(A) -> Result<I> + Send + Sync + 'static,
    A: Send + 'static,
    I: Send + 'static,
{
    fn send(&self, input: A) -> Reply<'_, ()> {
        Reply::run(async move {
            let input = (self.input)(input).map_err(not_asked)?;
            self.provider.send(input).await
        })
    }
}

impl<A, B, I, O, P, F, G> Duplex<A, B> for Adapt<P, F, G, dyn Duplex<I, O>>
where
    P: Duplex<I, O>,
    F: Fn(A) -> Result<I> + Send + Sync + 'static,
    G: Fn(O) -> Result<B> + Send + Sync + 'static,
    A: Send + 'static,
    I: Send + 'static,
    O: Send + 'static,
{
    fn open(&self) -> Reply<'_, Box<dyn Conversation<A, B>>> {
        Reply::run(async move {
            let conversation = self.provider.open().await?;
            let (input, output) = (self.input.clone(), self.output.clone());
            let translated: Box<dyn Conversation<A, B>> =
                Box::new(Translated { conversation, input, output });
            Ok(translated)
        })
    }
}

impl<P: fmt::Debug, F, G, Shape: ?Sized> fmt::Debug for Adapt<P, F, G, Shape> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adapt").field("provider", &self.provider).finish_non_exhaustive()
    }
}

/// Items on their way out.
struct Mapped<O, G> {
    items: Box<dyn Items<O>>,
    output: Arc<G>,
}

impl<O, B, G> Items<B> for Mapped<O, G>
where
    O: Send + 'static,
    G: Fn(O) -> Result<B> + Send + Sync + 'static,
{
    fn next(&mut self) -> Reply<'_, Option<B>> {
        Reply::run(async move {
            let item = self.items.next().await?;
            item.map(|item| (self.output)(item).map_err(not_given)).transpose()
        })
    }

    fn close(&mut self) -> Reply<'_, ()> {
        self.items.close()
    }
}

/// A conversation whose two sides mean the same in other words.
struct Translated<I, O, F, G> {
    conversation: Box<dyn Conversation<I, O>>,
    input: Arc<F>,
    output: Arc<G>,
}

impl<A, B, I, O, F, G> Conversation<A, B> for Translated<I, O, F, G>
where
    F: Fn(A) -> Result<I> + Send + Sync + 'static,
    G: Fn(O) -> Result<B> + Send + Sync + 'static,
    A: Send + 'static,
    I: Send + 'static,
    O: Send + 'static,
{
    fn send(&self, message: A) -> Reply<'_, ()> {
        Reply::run(async move {
            let message = (self.input)(message).map_err(not_asked)?;
            self.conversation.send(message).await
        })
    }

    fn receive(&self) -> Reply<'_, Option<B>> {
        Reply::run(async move {
            let message = self.conversation.receive().await?;
            message.map(|message| (self.output)(message).map_err(not_given)).transpose()
        })
    }

    fn close(&self) -> Reply<'_, ()> {
        self.conversation.close()
    }
}

/// What marks an error as one of a mapping, and keeps the error that the mapping gave.
#[derive(Debug)]
struct Unmapped {
    step: AdaptStep,
    error: Error,
}

impl fmt::Display for Unmapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} could not be mapped: {}", self.step, self.error.kind())
    }
}

impl StdError for Unmapped {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        StdError::source(&self.error)
    }
}

/// The error of an input that the provider never saw.
fn not_asked(error: Error) -> Error {
    unmapped(AdaptStep::Input, ErrorKind::InvalidInput, error)
        .with_retry(Retry::Never)
        .not_applied()
}

/// The error of an output that the caller does not get.
fn not_given(error: Error) -> Error {
    let kind = match error.kind() {
        // An answer was there: that is no outage of the provider unless the mapping says so.
        ErrorKind::Unexpected => ErrorKind::Corrupt,
        chosen => chosen,
    };
    let advice = error.retry();
    unmapped(AdaptStep::Output, kind, error).with_retry(advice).with_outcome(Outcome::Applied)
}

/// `error` in its own words, as one of `kind` that is known by its step.
fn unmapped(step: AdaptStep, kind: ErrorKind, error: Error) -> Error {
    let marked = Error::new(kind, error.message().to_owned()).with_context("adapting", step);
    let marked =
        error.context().fold(marked, |marked, (key, value)| marked.with_context(key, value));
    let marked = error.hints().fold(marked, |marked, hint| marked.with_hint(hint.to_owned()));
    marked.with_related(error.related().to_vec()).with_source(Unmapped { step, error })
}
