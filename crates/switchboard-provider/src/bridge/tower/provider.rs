//! Tower services as providers, and tower's layers around providers.

use std::borrow::Cow;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;

use switchboard_core::{Error, Lifecycle, Reply, Result};
use tower_layer::Layer;
use tower_service::Service;

use super::classify::BoxError;
use super::service::ProviderService;
use crate::provider::looked_after;
use crate::{Provider, RequestResponse, Sink};

/// A provider whose work is done by a tower service.
///
/// Each call clones the service, waits until the clone is ready, and calls that one; so services that
/// cannot be cloned, such as tower's rate limit, need its buffer around them. `classify` turns what
/// the service fails with into our errors; [`classify`](super::classify) is one that will often do.
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

/// A provider behind a tower layer, made by [`layered`].
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

impl<I, S, C> RequestResponse<I, S::Response> for ServiceProvider<S, C>
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

impl<I, S, C> Sink<I> for ServiceProvider<S, C>
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

looked_after!(
    { P: Provider + ?Sized, S: Send + Sync + 'static, C: Send + Sync + 'static } Layered<P, S, C>,
    provider
);

impl<I, P, S, C> RequestResponse<I, S::Response> for Layered<P, S, C>
where
    P: Provider + ?Sized,
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
