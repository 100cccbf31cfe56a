//! Middleware: what is put around a provider, one around the other, in an order that is fixed.
//!
//! A chain knows nothing of what its layers do. The gates have an order of their own and are not
//! layers: see [`guard`](crate::guard).

use std::fmt;
use std::sync::Arc;

use switchboard_core::{Reply, Result};

use crate::provider::looked_after;
use crate::{Conversation, Duplex, Items, Provider, RequestResponse, Sink, Stream};

/// An ordered list of layers for providers of the shape `D`; the first one added is the outermost.
///
/// A layer takes a provider and gives one that goes in its place. With no layer, a provider comes
/// back as it is.
///
/// ```
/// use std::sync::Arc;
/// use switchboard_core::Clock;
/// use switchboard_provider::{Chain, RequestResponse, function};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> switchboard_core::Result<()> {
/// let echo = function::request_response("echo", |text: String| async move {
///     Ok(format!("you said: {text}"))
/// });
///
/// let chain = Chain::<dyn RequestResponse<String, String>>::new()
///     // Times everything inside it, and so the redaction too.
///     .around(|text, next| async move {
///         let clock = Clock::system();
///         let begin = clock.now();
///         let answer = next.execute(text).await;
///         println!("took {:?}", clock.now() - begin);
///         answer
///     })
///     // The provider never sees the secret.
///     .around(|text, next| async move { next.execute(text.replace("hunter2", "*****")).await });
///
/// let echo = chain.wrap(Arc::new(echo));
/// assert_eq!(echo.execute("it is hunter2".to_owned()).await?, "you said: it is *****");
/// # Ok(()) }
/// ```
///
/// As the one function that something else wraps its providers with, another chain among them, it is
/// `move |provider| chain.wrap(provider)`.
pub struct Chain<D: ?Sized> {
    /// From the outermost to the innermost.
    layers: Vec<Arc<Layer<D>>>,
}

type Layer<D> = dyn Fn(Arc<D>) -> Arc<D> + Send + Sync;

impl<D: ?Sized> Chain<D> {
    /// A chain without layers.
    #[must_use]
    pub fn new() -> Self {
        Self { layers: Vec::new() }
    }

    /// The same chain with one more layer, inside those that are there.
    #[must_use]
    pub fn with(mut self, layer: impl Fn(Arc<D>) -> Arc<D> + Send + Sync + 'static) -> Self {
        self.layers.push(Arc::new(layer));
        self
    }

    /// `provider` with all layers around it.
    #[must_use]
    pub fn wrap(&self, provider: Arc<D>) -> Arc<D> {
        self.layers.iter().rfold(provider, |inner, layer| layer(inner))
    }

    /// How many layers there are.
    pub fn len(&self) -> usize {
        self.layers.len()
    }

    /// Whether it gives every provider back as it is.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }
}

impl<I: Send + 'static, O: 'static> Chain<dyn RequestResponse<I, O>> {
    /// The same chain with one more layer, inside those that are there: `middleware` is called in
    /// the provider's place. See [`around`].
    #[must_use]
    pub fn around<F, Fut>(self, middleware: F) -> Self
    where
        F: Fn(I, Arc<dyn RequestResponse<I, O>>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O>> + Send + 'static,
    {
        let middleware = Arc::new(middleware);
        self.with(move |provider| Arc::new(Around { provider, middleware: middleware.clone() }))
    }
}

impl<I: Send + 'static> Chain<dyn Sink<I>> {
    /// The same chain with one more layer, inside those that are there: `middleware` is called in
    /// the sink's place. See [`around_sink`].
    #[must_use]
    pub fn around<F, Fut>(self, middleware: F) -> Self
    where
        F: Fn(I, Arc<dyn Sink<I>>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        let middleware = Arc::new(middleware);
        self.with(move |provider| Arc::new(Around { provider, middleware: middleware.clone() }))
    }
}

impl<I: Send + 'static, O: 'static> Chain<dyn Stream<I, O>> {
    /// The same chain with one more layer, inside those that are there: `middleware` is called in
    /// the place of an opening. See [`around_stream`].
    #[must_use]
    pub fn around<F, Fut>(self, middleware: F) -> Self
    where
        F: Fn(I, Arc<dyn Stream<I, O>>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Box<dyn Items<O>>>> + Send + 'static,
    {
        let middleware = Arc::new(middleware);
        self.with(move |provider| Arc::new(Around { provider, middleware: middleware.clone() }))
    }
}

impl<I: 'static, O: 'static> Chain<dyn Duplex<I, O>> {
    /// The same chain with one more layer, inside those that are there: `middleware` is called in
    /// the place of an opening. See [`around_duplex`].
    #[must_use]
    pub fn around<F, Fut>(self, middleware: F) -> Self
    where
        F: Fn(Arc<dyn Duplex<I, O>>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Box<dyn Conversation<I, O>>>> + Send + 'static,
    {
        let middleware = Arc::new(middleware);
        self.with(move |provider| Arc::new(Around { provider, middleware: middleware.clone() }))
    }
}

/// `provider` with `middleware` called in its place.
///
/// The middleware gets the input and the provider, and may ask it once, several times or not at all.
/// Start, check and end go to the provider, past the middleware.
///
/// ```
/// use std::sync::Arc;
/// use switchboard_provider::compose::chain;
/// use switchboard_provider::{RequestResponse, function};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> switchboard_core::Result<()> {
/// let half = function::request_response("half", |number: u64| async move { Ok(number / 2) });
/// let half: Arc<dyn RequestResponse<u64, u64>> = Arc::new(half);
/// let quarter = chain::around(half, |number, half| async move {
///     half.execute(half.execute(number).await?).await
/// });
/// assert_eq!(quarter.execute(8).await?, 2);
/// # Ok(()) }
/// ```
pub fn around<I, O, F, Fut>(
    provider: Arc<dyn RequestResponse<I, O>>,
    middleware: F,
) -> Arc<dyn RequestResponse<I, O>>
where
    I: Send + 'static,
    O: 'static,
    F: Fn(I, Arc<dyn RequestResponse<I, O>>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O>> + Send + 'static,
{
    Arc::new(Around { provider, middleware: Arc::new(middleware) })
}

/// `sink` with `middleware` called in its place, as [`around`] does it.
pub fn around_sink<I, F, Fut>(sink: Arc<dyn Sink<I>>, middleware: F) -> Arc<dyn Sink<I>>
where
    I: Send + 'static,
    F: Fn(I, Arc<dyn Sink<I>>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<()>> + Send + 'static,
{
    Arc::new(Around { provider: sink, middleware: Arc::new(middleware) })
}

/// `stream` with `middleware` called in the place of each opening, as [`around`] does it. Items are what
/// the middleware makes of those it opened.
///
/// ```
/// use std::sync::Arc;
/// use switchboard_core::{Reply, Result};
/// use switchboard_provider::compose::chain;
/// use switchboard_provider::{Items, Stream, function};
///
/// struct Countdown(u64);
///
/// impl Items<u64> for Countdown {
///     fn next(&mut self) -> Reply<'_, Option<u64>> {
///         let item = self.0.checked_sub(1);
///         self.0 = item.unwrap_or(0);
///         Reply::ready(Ok(item))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// let countdown = function::stream("countdown", |from: u64| async move { Ok(Countdown(from)) });
/// let short = chain::around_stream(Arc::new(countdown), |from: u64, countdown| async move {
///     countdown.open(from.min(10)).await
/// });
/// let mut items = short.open(1_000_000).await?;
/// assert_eq!(items.next().await?, Some(9));
/// # items.close().await }
/// ```
pub fn around_stream<I, O, F, Fut>(
    stream: Arc<dyn Stream<I, O>>,
    middleware: F,
) -> Arc<dyn Stream<I, O>>
where
    I: Send + 'static,
    O: 'static,
    F: Fn(I, Arc<dyn Stream<I, O>>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Box<dyn Items<O>>>> + Send + 'static,
{
    Arc::new(Around { provider: stream, middleware: Arc::new(middleware) })
}

/// `duplex` with `middleware` called in the place of each opening, as [`around`] does it.
pub fn around_duplex<I, O, F, Fut>(
    duplex: Arc<dyn Duplex<I, O>>,
    middleware: F,
) -> Arc<dyn Duplex<I, O>>
where
    I: 'static,
    O: 'static,
    F: Fn(Arc<dyn Duplex<I, O>>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Box<dyn Conversation<I, O>>>> + Send + 'static,
{
    Arc::new(Around { provider: duplex, middleware: Arc::new(middleware) })
}

impl<D: ?Sized> Default for Chain<D> {
    fn default() -> Self {
        Self::new()
    }
}

impl<D: ?Sized> Clone for Chain<D> {
    fn clone(&self) -> Self {
        Self { layers: self.layers.clone() }
    }
}

impl<D: ?Sized> fmt::Debug for Chain<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain").field("layers", &self.layers.len()).finish()
    }
}

/// A provider and the function that is called in its place.
struct Around<D: ?Sized, F> {
    provider: Arc<D>,
    middleware: Arc<F>,
}

looked_after!({
    D: Provider + ?Sized,
    F: Send + Sync + 'static
} Around<D, F>, provider);

impl<I, O, F, Fut> RequestResponse<I, O> for Around<dyn RequestResponse<I, O>, F>
where
    I: Send + 'static,
    O: 'static,
    F: Fn(I, Arc<dyn RequestResponse<I, O>>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O>> + Send + 'static,
{
    fn execute(&self, input: I) -> Reply<'_, O> {
        Reply::run(async move { (self.middleware)(input, self.provider.clone()).await })
    }
}

impl<I, F, Fut> Sink<I> for Around<dyn Sink<I>, F>
where
    I: Send + 'static,
    F: Fn(I, Arc<dyn Sink<I>>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<()>> + Send + 'static,
{
    fn send(&self, input: I) -> Reply<'_, ()> {
        Reply::run(async move { (self.middleware)(input, self.provider.clone()).await })
    }
}

impl<I, O, F, Fut> Stream<I, O> for Around<dyn Stream<I, O>, F>
where
    I: Send + 'static,
    O: 'static,
    F: Fn(I, Arc<dyn Stream<I, O>>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Box<dyn Items<O>>>> + Send + 'static,
{
    fn open(&self, input: I) -> Reply<'_, Box<dyn Items<O>>> {
        Reply::run(async move { (self.middleware)(input, self.provider.clone()).await })
    }
}

impl<I, O, F, Fut> Duplex<I, O> for Around<dyn Duplex<I, O>, F>
where
    I: 'static,
    O: 'static,
    F: Fn(Arc<dyn Duplex<I, O>>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Box<dyn Conversation<I, O>>>> + Send + 'static,
{
    fn open(&self) -> Reply<'_, Box<dyn Conversation<I, O>>> {
        Reply::run(async move { (self.middleware)(self.provider.clone()).await })
    }
}
