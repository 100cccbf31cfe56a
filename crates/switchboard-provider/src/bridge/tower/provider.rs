//! Tower services as providers, and tower's layers around providers.

use std::borrow::Cow;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;

use switchboard_core::{Error, Lifecycle, Reply, Result};
use tower_layer::Layer;
use tower_service::Service;

use super::classify::BoxError;
use super::service::{DuplexService, ProviderService, SinkService, StreamService};
use crate::provider::looked_after;
use crate::{Conversation, Duplex, Items, Provider, RequestResponse, Sink, Stream};

/// A provider whose work is done by a tower service.
///
/// Each call clones the service, waits until the clone is ready, and calls that one; so services that
/// cannot be cloned, such as tower's rate limit, need its buffer around them. `classify` turns what
/// the service fails with into our errors; [`classify`](super::classify) is one that will often do.
///
/// Its shape follows what the service answers with: `()` is a [`Sink`] as well, boxed [`Items`] are a
/// [`Stream`], a boxed [`Conversation`] for a request of `()` is a [`Duplex`].
///
/// ```
/// use switchboard_provider::bridge::tower::{ServiceProvider, classify};
/// use switchboard_provider::RequestResponse;
/// use tower::service_fn;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> switchboard_core::Result<()> {
/// let parse = service_fn(async |text: String| text.parse::<u64>());
/// let parse = ServiceProvider::new("parse", parse, classify);
/// assert_eq!(parse.execute("7".to_owned()).await?, 7);
/// let error = parse.execute("seven".to_owned()).await.unwrap_err();
/// assert!(error.find::<std::num::ParseIntError>().is_some());
/// # Ok(()) }
/// ```
pub struct ServiceProvider<S, C> {
    name: Cow<'static, str>,
    service: S,
    classify: C,
}

impl<S, C> ServiceProvider<S, C>
where
    C: Fn(BoxError) -> Error + Send + Sync + 'static,
{
    /// A provider called `name` that asks `service`.
    pub fn new(name: impl Into<Cow<'static, str>>, service: S, classify: C) -> Self {
        Self { name: name.into(), service, classify }
    }
}

/// `provider` behind a tower layer: a time-out, a limit, a whole `ServiceBuilder`.
///
/// Start, check and end go to the provider, past the layer. It fits wherever a provider is wrapped in
/// another one.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use switchboard_core::ErrorKind;
/// use switchboard_provider::bridge::tower::{classify, layered};
/// use switchboard_provider::{RequestResponse, function};
/// use tower::ServiceBuilder;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> switchboard_core::Result<()> {
/// let wrap = |provider: Arc<dyn RequestResponse<u64, u64>>| -> Arc<dyn RequestResponse<u64, u64>> {
///     let layer = ServiceBuilder::new().timeout(Duration::from_secs(1)).concurrency_limit(8);
///     Arc::new(layered(provider, layer, classify))
/// };
/// let stuck = function::request_response("stuck", |_: u64| std::future::pending());
/// let late = wrap(Arc::new(stuck)).execute(8).await.unwrap_err();
/// assert_eq!(late.kind(), ErrorKind::Timeout);
/// # Ok(()) }
/// ```
pub fn layered<I, O, P, L, C>(provider: Arc<P>, layer: L, classify: C) -> Layered<P, L::Service, C>
where
    P: RequestResponse<I, O> + ?Sized,
    L: Layer<ProviderService<P, O>>,
    L::Service: Service<I, Response = O>,
    C: Fn(BoxError) -> Error + Send + Sync + 'static,
{
    let service = layer.layer(ProviderService::new(provider.clone()));
    Layered { provider, service, classify }
}

/// A sink behind a tower layer, as [`layered`] does it.
pub fn layered_sink<I, P, L, C>(sink: Arc<P>, layer: L, classify: C) -> Layered<P, L::Service, C>
where
    P: Sink<I> + ?Sized,
    L: Layer<SinkService<P>>,
    L::Service: Service<I, Response = ()>,
    C: Fn(BoxError) -> Error + Send + Sync + 'static,
{
    let service = layer.layer(SinkService::new(sink.clone()));
    Layered { provider: sink, service, classify }
}

/// A stream behind a tower layer, as [`layered`] does it: the layer is around each opening, which is
/// over when the items are there.
pub fn layered_stream<I, O, P, L, C>(
    stream: Arc<P>,
    layer: L,
    classify: C,
) -> Layered<P, L::Service, C>
where
    P: Stream<I, O> + ?Sized,
    L: Layer<StreamService<P, O>>,
    L::Service: Service<I, Response = Box<dyn Items<O>>>,
    C: Fn(BoxError) -> Error + Send + Sync + 'static,
{
    let service = layer.layer(StreamService::new(stream.clone()));
    Layered { provider: stream, service, classify }
}

/// A duplex provider behind a tower layer, as [`layered`] does it: the layer is around each opening,
/// which is over when the conversation has begun.
pub fn layered_duplex<I, O, P, L, C>(
    duplex: Arc<P>,
    layer: L,
    classify: C,
) -> Layered<P, L::Service, C>
where
    P: Duplex<I, O> + ?Sized,
    L: Layer<DuplexService<P, I, O>>,
    L::Service: Service<(), Response = Box<dyn Conversation<I, O>>>,
    C: Fn(BoxError) -> Error + Send + Sync + 'static,
{
    let service = layer.layer(DuplexService::new(duplex.clone()));
    Layered { provider: duplex, service, classify }
}

/// A provider behind a tower layer, made by [`layered`], [`layered_sink`], [`layered_stream`] or
/// [`layered_duplex`].
pub struct Layered<P: ?Sized, S, C> {
    provider: Arc<P>,
    service: S,
    classify: C,
}

impl<S, C> Lifecycle for ServiceProvider<S, C>
where
    S: Send + Sync + 'static,
    C: Send + Sync + 'static,
{
}

impl<S, C> Provider for ServiceProvider<S, C>
where
    S: Send + Sync + 'static,
    C: Send + Sync + 'static,
{
    fn name(&self) -> &str {
        &self.name
    }
}

looked_after!(
    { P: Provider + ?Sized, S: Send + Sync + 'static, C: Send + Sync + 'static } Layered<P, S, C>,
    provider
);

/// All shapes of what asks `self.service`.
macro_rules! asks {
    ({ $($generics:tt)* } $provider:ty) => {
        impl<I, $($generics)*> RequestResponse<I, S::Response> for $provider
        where
            S: Service<I> + Clone + Send + Sync + 'static,
            S::Error: Into<BoxError>,
            S::Future: Send,
            C: Fn(BoxError) -> Error + Send + Sync + 'static,
            I: Send + 'static,
        {
            fn execute(&self, input: I) -> Reply<'_, S::Response> {
                Reply::run(ask(self.service.clone(), input, &self.classify))
            }
        }

        impl<I, O, $($generics)*> Stream<I, O> for $provider
        where
            S: Service<I, Response = Box<dyn Items<O>>> + Clone + Send + Sync + 'static,
            S::Error: Into<BoxError>,
            S::Future: Send,
            C: Fn(BoxError) -> Error + Send + Sync + 'static,
            I: Send + 'static,
            O: 'static,
        {
            fn open(&self, input: I) -> Reply<'_, Box<dyn Items<O>>> {
                Reply::run(ask(self.service.clone(), input, &self.classify))
            }
        }

        impl<I, $($generics)*> Sink<I> for $provider
        where
            S: Service<I, Response = ()> + Clone + Send + Sync + 'static,
            S::Error: Into<BoxError>,
            S::Future: Send,
            C: Fn(BoxError) -> Error + Send + Sync + 'static,
            I: Send + 'static,
        {
            fn send(&self, input: I) -> Reply<'_, ()> {
                Reply::run(ask(self.service.clone(), input, &self.classify))
            }
        }

        impl<I, O, $($generics)*> Duplex<I, O> for $provider
        where
            S: Service<(), Response = Box<dyn Conversation<I, O>>> + Clone + Send + Sync + 'static,
            S::Error: Into<BoxError>,
            S::Future: Send,
            C: Fn(BoxError) -> Error + Send + Sync + 'static,
            I: 'static,
            O: 'static,
        {
            fn open(&self) -> Reply<'_, Box<dyn Conversation<I, O>>> {
                Reply::run(ask(self.service.clone(), (), &self.classify))
            }
        }
    };
}

asks!({ S, C } ServiceProvider<S, C>);
asks!({ P: Provider + ?Sized, S, C } Layered<P, S, C>);

/// The answer of `service`, which is a clone that nobody else makes ready.
async fn ask<I, S>(
    mut service: S,
    input: I,
    classify: &impl Fn(BoxError) -> Error,
) -> Result<S::Response>
where
    S: Service<I>,
    S::Error: Into<BoxError>,
{
    let is_ready = poll_fn(|context| service.poll_ready(context)).await;
    // No call was made, whatever the error says of its own.
    is_ready.map_err(|error| classify(error.into()).not_applied())?;
    let answering = service.call(input);
    // Whatever the clone keeps to itself is free while the answer is on its way.
    drop(service);
    answering.await.map_err(|error| classify(error.into()))
}

impl<S, C> fmt::Debug for ServiceProvider<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceProvider").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<P: Provider + ?Sized, S, C> fmt::Debug for Layered<P, S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layered").field("provider", &self.provider.name()).finish_non_exhaustive()
    }
}
