//! Providers as tower services.
//!
//! Always ready: whatever a provider or the gates of a handle have to wait for, they wait for inside
//! the call, where its deadline sees them.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use switchboard_core::{Error, Result};
use tower_service::Service;

use crate::{Conversation, Duplex, Items, Provider, RequestResponse, Sink, Stream};

/// The answer that a provider is working on; it begins with the first poll.
pub type Asking<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

/// A service that asks a [`RequestResponse`] provider, a handle included.
///
/// ```
/// use std::sync::Arc;
/// use switchboard_provider::bridge::tower::ProviderService;
/// use switchboard_provider::function;
/// use tower::{Service, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> switchboard_core::Result<()> {
/// let half = function::request_response("half", |number: u64| async move { Ok(number / 2) });
/// let mut half = ProviderService::new(Arc::new(half));
/// assert_eq!(half.ready().await?.call(8).await?, 4);
/// # Ok(()) }
/// ```
pub struct ProviderService<P: ?Sized, O> {
    provider: Arc<P>,
    output: PhantomData<fn() -> O>,
}

/// A service that sends its requests to a [`Sink`].
pub struct SinkService<P: ?Sized> {
    sink: Arc<P>,
}

/// A service that opens what a [`Stream`] gives, and answers with the items.
///
/// Layers around it act on openings, as gates do; items are free.
pub struct StreamService<P: ?Sized, O> {
    stream: Arc<P>,
    output: PhantomData<fn() -> O>,
}

/// A service that begins the conversations of a [`Duplex`], and answers with them. Its requests say
/// nothing.
///
/// Layers around it act on openings, as gates do; messages are free.
pub struct DuplexService<P: ?Sized, I, O> {
    duplex: Arc<P>,
    messages: PhantomData<fn(I) -> O>,
}

impl<P: ?Sized, O> ProviderService<P, O> {
    /// A service that asks `provider`; its clones ask the same one.
    pub fn new(provider: Arc<P>) -> Self {
        Self { provider, output: PhantomData }
    }
}

impl<P: ?Sized> SinkService<P> {
    /// A service that sends to `sink`; its clones send to the same one.
    pub fn new(sink: Arc<P>) -> Self {
        Self { sink }
    }
}

impl<P: ?Sized, O> StreamService<P, O> {
    /// A service that opens `stream`; its clones open the same one.
    pub fn new(stream: Arc<P>) -> Self {
        Self { stream, output: PhantomData }
    }
}

impl<P: ?Sized, I, O> DuplexService<P, I, O> {
    /// A service that begins conversations of `duplex`; its clones begin those of the same one.
    pub fn new(duplex: Arc<P>) -> Self {
        Self { duplex, messages: PhantomData }
    }
}

impl<P, I, O> Service<I> for ProviderService<P, O>
where
    P: RequestResponse<I, O> + ?Sized + 'static,
    I: Send + 'static,
    O: Send + 'static,
{
    type Response = O;
    type Error = Error;
    type Future = Asking<O>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, input: I) -> Asking<O> {
        let provider = self.provider.clone();
        Box::pin(async move { provider.execute(input).await })
    }
}

impl<P, I> Service<I> for SinkService<P>
where
    P: Sink<I> + ?Sized + 'static,
    I: Send + 'static,
{
    type Response = ();
    type Error = Error;
    type Future = Asking<()>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, input: I) -> Asking<()> {
        let sink = self.sink.clone();
        Box::pin(async move { sink.send(input).await })
    }
}

impl<P, I, O> Service<I> for StreamService<P, O>
where
    P: Stream<I, O> + ?Sized + 'static,
    I: Send + 'static,
    O: 'static,
{
    type Response = Box<dyn Items<O>>;
    type Error = Error;
    type Future = Asking<Box<dyn Items<O>>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, input: I) -> Self::Future {
        let stream = self.stream.clone();
        Box::pin(async move { stream.open(input).await })
    }
}

impl<P, I, O> Service<()> for DuplexService<P, I, O>
where
    P: Duplex<I, O> + ?Sized + 'static,
    I: 'static,
    O: 'static,
{
    type Response = Box<dyn Conversation<I, O>>;
    type Error = Error;
    type Future = Asking<Box<dyn Conversation<I, O>>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        let duplex = self.duplex.clone();
        Box::pin(async move { duplex.open().await })
    }
}

impl<P: ?Sized, O> Clone for ProviderService<P, O> {
    fn clone(&self) -> Self {
        Self::new(self.provider.clone())
    }
}

impl<P: ?Sized> Clone for SinkService<P> {
    fn clone(&self) -> Self {
        Self::new(self.sink.clone())
    }
}

impl<P: ?Sized, O> Clone for StreamService<P, O> {
    fn clone(&self) -> Self {
        Self::new(self.stream.clone())
    }
}

impl<P: ?Sized, I, O> Clone for DuplexService<P, I, O> {
    fn clone(&self) -> Self {
        Self::new(self.duplex.clone())
    }
}

impl<P: Provider + ?Sized, O> fmt::Debug for ProviderService<P, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ProviderService").field(&self.provider.name()).finish()
    }
}

impl<P: Provider + ?Sized> fmt::Debug for SinkService<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SinkService").field(&self.sink.name()).finish()
    }
}

impl<P: Provider + ?Sized, O> fmt::Debug for StreamService<P, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StreamService").field(&self.stream.name()).finish()
    }
}

impl<P: Provider + ?Sized, I, O> fmt::Debug for DuplexService<P, I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DuplexService").field(&self.duplex.name()).finish()
    }
}
