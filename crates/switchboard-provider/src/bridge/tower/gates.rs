//! All gates of a policy as one layer, in their one order.

use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use switchboard_core::{Effect, Error, ErrorKind, Gates, Result};
use tower_layer::Layer;
use tower_service::Service;

use super::attempted::Attempted;
use super::classify::{BoxError, made_ready};
use super::meaning::{AllGood, EffectOf, Failed, Judge, judged};
use super::service::Asking;

/// Takes the calls of a service through all gates of a [`Policy`](switchboard_core::Policy).
///
/// All services it is laid around, and their clones, share the gates. Unlike a stack of single layers
/// the gates know of each other: retries stop when the breaker opens, pay the rate limiter, and leave
/// their slot to others while they wait. A request whose effect nobody told is taken to be
/// [`Effect::Unsafe`]. Requests have to be `Clone`, because one may have to be made again; for those that
/// are not, there are the single layers, of which only [`RetryLayer`](super::RetryLayer) asks for that.
///
/// ```
/// use switchboard_core::{Effect, Environment, Gates, Policy, RetryPolicy, Source};
/// use switchboard_provider::bridge::tower::GatesLayer;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> switchboard_core::Result<()> {
/// let policy = Policy { retry: Some(RetryPolicy::default()), ..Policy::default() };
/// let gates = Gates::new(policy, Source::new("payments", "stripe"), &Environment::new())?;
/// let failing = ServiceBuilder::new()
///     .layer(GatesLayer::new(gates).with_effect(Effect::Read))
///     .service(service_fn(async |_: ()| Err::<(), _>(std::io::Error::other("out of order"))));
/// let error = failing.oneshot(()).await.unwrap_err();
/// assert_eq!(error.context_value("attempts"), Some("3"));
/// assert!(error.find::<std::io::Error>().is_some());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct GatesLayer<E = Effect, J = AllGood> {
    gates: Arc<Gates>,
    effect: E,
    judge: J,
}

/// A service behind a [`GatesLayer`].
#[derive(Clone)]
pub struct GatesService<S, E = Effect, J = AllGood> {
    inner: Attempted<S>,
    gates: Arc<Gates>,
    effect: E,
    judge: J,
}

impl GatesLayer {
    /// A layer of `gates`, for requests that are unsafe to make twice.
    pub fn new(gates: impl Into<Arc<Gates>>) -> Self {
        Self { gates: gates.into(), effect: Effect::Unsafe, judge: AllGood }
    }
}

impl<E, J> GatesLayer<E, J> {
    /// The same, where making a request twice has this effect, or the one a function gives for it.
    pub fn with_effect<F>(self, effect: F) -> GatesLayer<F, J> {
        GatesLayer { gates: self.gates, effect, judge: self.judge }
    }

    /// The same, where `judge` sees failures in answers.
    pub fn judged_by<K>(self, judge: K) -> GatesLayer<E, K> {
        GatesLayer { gates: self.gates, effect: self.effect, judge }
    }
}

impl<S, E: Clone, J: Clone> Layer<S> for GatesLayer<E, J> {
    type Service = GatesService<S, E, J>;

    fn layer(&self, inner: S) -> GatesService<S, E, J> {
        let Self { gates, effect, judge } = self.clone();
        GatesService { inner: Attempted::new(inner), gates, effect, judge }
    }
}

impl<S, E, J, Request> Service<Request> for GatesService<S, E, J>
where
    S: Service<Request> + Clone + Send + 'static,
    S::Response: Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    E: EffectOf<Request>,
    J: Judge<S::Response> + Clone + Send + Sync + 'static,
    Request: Clone + Send + 'static,
{
    type Response = S::Response;
    type Error = Error;
    type Future = Asking<S::Response>;

    #[inline]
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let later = self.inner.clone();
        let ready = mem::replace(&mut self.inner, later.clone());
        let effect = self.effect.effect_of(&request);
        let (gates, judge) = (self.gates.clone(), self.judge.clone());
        Box::pin(async move {
            let at_hand = (ready, request.clone());
            let (judge, failing, later) = (&judge, &Place::empty(), &Place::of((later, request)));
            let attempt = |at_hand: Option<(Attempted<S>, Request)>| async move {
                let (service, request) = match at_hand {
                    Some(ready) => ready,
                    None => made_ready_again(later, failing).await?,
                };
                let result = asked(service, request).await;
                judged(judge, result).map_err(|failed| kept(failing, failed))
            };
            match gates.execute(effect, at_hand, attempt).await {
                Ok(answer) => Ok(answer),
                Err(error) => instead_of(error, failing),
            }
        })
    }
}

/// The service and the request of an attempt that is not the first, or that had to wait.
async fn made_ready_again<S, Request>(
    later: &Place<(S, Request)>,
    failing: &Place<S::Response>,
) -> Result<(S, Request)>
where
    S: Service<Request> + Clone,
    S::Error: Into<BoxError>,
    Request: Clone,
{
    // What an attempt before this one answered may hold a connection.
    drop(failing.replace(None));
    let Some((mut service, request)) = later.copy() else {
        return Err(Error::new(ErrorKind::InvalidInput, "the call is used up"));
    };
    made_ready(&mut service).await?;
    Ok((service, request))
}

async fn asked<S, Request>(mut service: S, request: Request) -> Result<S::Response>
where
    S: Service<Request, Error = Error>,
{
    let answering = service.call(request);
    // Whatever the clone keeps to itself is free while the answer is on its way.
    drop(service);
    answering.await
}

/// The error of a failed attempt; where an answer told of it, the answer is kept.
fn kept<T>(failing: &Place<T>, failed: Failed<T>) -> Error {
    let Failed { error, answer } = failed;
    if answer.is_none() {
        return error;
    }
    drop(failing.replace(answer));
    error.clone().with_source(Told(error))
}

/// What a call comes to that ended with `error`.
fn instead_of<T>(error: Error, failing: &Place<T>) -> Result<T> {
    if error.find::<Told>().is_none() {
        return Err(error);
    }
    failing.replace(None).ok_or(error)
}

/// Something that attempts of one call share. Attempts of a call are polled in turn, so nobody ever
/// waits for the lock.
struct Place<T>(Mutex<Option<T>>);

impl<T> Place<T> {
    fn empty() -> Self {
        Self(Mutex::new(None))
    }

    fn of(value: T) -> Self {
        Self(Mutex::new(Some(value)))
    }

    fn replace(&self, value: Option<T>) -> Option<T> {
        mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), value)
    }

    /// A copy of what is in it; taken out meanwhile, because copying runs code of others.
    fn copy(&self) -> Option<T>
    where
        T: Clone,
    {
        let value = self.replace(None)?;
        let copy = value.clone();
        self.replace(Some(value));
        Some(copy)
    }
}

/// The cause of an error that is no error of the service, but what an answer amounts to.
#[derive(Debug)]
struct Told(Error);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an answer of the service said so")
    }
}

impl std::error::Error for Told {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

impl<E, J> fmt::Debug for GatesLayer<E, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatesLayer").field("gates", &self.gates).finish_non_exhaustive()
    }
}

impl<S, E, J> fmt::Debug for GatesService<S, E, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatesService").field("gates", &self.gates).finish_non_exhaustive()
    }
}
