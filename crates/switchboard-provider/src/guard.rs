//! The gates around one provider, without a manager: for what is made by hand and held by hand.
//!
//! What each shape gets of them is said by the shapes. A policy with nothing in it adds nothing: the
//! provider comes back as it is. Start, check and end go to the provider, past all gates; dropping what
//! is made here leaves the provider open.

use std::marker::PhantomData;
use std::sync::Arc;

use switchboard_core::{
    Effect, Environment, Line, Name, Op, Policy, Registry, Reply, Result, Subsystem,
};

use crate::provider::looked_after;
use crate::{
    Conversation, Dialer, Duplex, Items, Provider, RequestResponse, Requester, Sender, Sink,
    Stream, Streamer, duplex, request_response, sink, stream,
};

/// The provider behind the gates of `policy`, where asking it twice has `effect`.
///
/// `name` is the name in events, figures and errors.
///
/// ```
/// use std::sync::Arc;
/// use switchboard_core::{BulkheadLimit, Effect, Environment, Policy};
/// use switchboard_provider::{RequestResponse, function, guard};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> switchboard_core::Result<()> {
/// let half = function::request_response("half", |number: u64| async move { Ok(number / 2) });
/// let bulkhead = BulkheadLimit { max: 8, ..BulkheadLimit::default() };
/// let policy = Policy { bulkhead: Some(bulkhead), ..Policy::default() };
/// let half: Arc<dyn RequestResponse<u64, u64>> = Arc::new(half);
/// let half = guard::request_response("half", half, policy, Effect::Read, &Environment::new())?;
/// assert_eq!(half.execute(8).await?, 4);
/// # Ok(()) }
/// ```
pub fn request_response<I, O>(
    name: &str,
    provider: Arc<dyn RequestResponse<I, O>>,
    policy: Policy,
    effect: Effect,
    environment: &Environment,
) -> Result<Arc<dyn RequestResponse<I, O>>>
where
    I: Clone + Send + Sync + 'static,
    O: Send + 'static,
{
    let name = Name::parse(name)?;
    if policy.is_empty() {
        return Ok(provider);
    }
    let line = Line::<Lone<dyn RequestResponse<I, O>>>::standalone(
        name.as_str(),
        provider.clone(),
        policy,
        environment,
    )?;
    let gated = Requester::from(line).with_effect(effect);
    Ok(Arc::new(Guarded { provider, gated }))
}

/// A stream behind the gates of `policy`: they act on opening, and items are free.
pub fn stream<I, O>(
    name: &str,
    provider: Arc<dyn Stream<I, O>>,
    policy: Policy,
    effect: Effect,
    environment: &Environment,
) -> Result<Arc<dyn Stream<I, O>>>
where
    I: Clone + Send + Sync + 'static,
    O: Send + 'static,
{
    let name = Name::parse(name)?;
    if policy.is_empty() {
        return Ok(provider);
    }
    let line = Line::<Lone<dyn Stream<I, O>>>::standalone(
        name.as_str(),
        provider.clone(),
        policy,
        environment,
    )?;
    let gated = Streamer::from(line).with_effect(effect);
    Ok(Arc::new(Guarded { provider, gated }))
}

/// A sink behind the gates of `policy`.
pub fn sink<I>(
    name: &str,
    provider: Arc<dyn Sink<I>>,
    policy: Policy,
    effect: Effect,
    environment: &Environment,
) -> Result<Arc<dyn Sink<I>>>
where
    I: Clone + Send + Sync + 'static,
{
    let name = Name::parse(name)?;
    if policy.is_empty() {
        return Ok(provider);
    }
    let line = Line::<Lone<dyn Sink<I>>>::standalone(
        name.as_str(),
        provider.clone(),
        policy,
        environment,
    )?;
    let gated = Sender::from(line).with_effect(effect);
    Ok(Arc::new(Guarded { provider, gated }))
}

/// A duplex provider behind the gates of `policy`: they act on opening, which is never retried.
pub fn duplex<I, O>(
    name: &str,
    provider: Arc<dyn Duplex<I, O>>,
    policy: Policy,
    environment: &Environment,
) -> Result<Arc<dyn Duplex<I, O>>>
where
    I: Send + 'static,
    O: Send + 'static,
{
    let name = Name::parse(name)?;
    if policy.is_empty() {
        return Ok(provider);
    }
    let line = Line::<Lone<dyn Duplex<I, O>>>::standalone(
        name.as_str(),
        provider.clone(),
        policy,
        environment,
    )?;
    Ok(Arc::new(Guarded { provider, gated: Dialer::from(line) }))
}

/// The subsystem of a provider that belongs to no family.
#[derive(Debug)]
struct Lone<D: ?Sized>(PhantomData<fn(&D)>);

macro_rules! lone {
    ($shape:ident<$($type:ident),+>, $handle:ident, $module:ident) => {
        impl<$($type: Send + 'static),+> Subsystem for Lone<dyn $shape<$($type),+>> {
            const NAME: &'static str = "provider";
            const OPERATIONS: &'static [Op] = $module::operations(Effect::Unsafe);
            type Driver = dyn $shape<$($type),+>;
            type Handle = $handle<Self>;

            fn register_built_ins(_registry: &Registry<Self>) -> Result<()> {
                Ok(())
            }
        }
    };
}

lone!(RequestResponse<I, O>, Requester, request_response);
lone!(Stream<I, O>, Streamer, stream);
lone!(Sink<I>, Sender, sink);
lone!(Duplex<I, O>, Dialer, duplex);

/// Calls pass the gates, the lifecycle goes past them.
struct Guarded<P: ?Sized, G> {
    provider: Arc<P>,
    gated: G,
}

looked_after!({ P: Provider + ?Sized, G: Send + Sync + 'static } Guarded<P, G>, provider);

impl<I, O, P, G> RequestResponse<I, O> for Guarded<P, G>
where
    P: Provider + ?Sized,
    G: RequestResponse<I, O>,
{
    fn execute(&self, input: I) -> Reply<'_, O> {
        self.gated.execute(input)
    }
}

impl<I, O, P, G> Stream<I, O> for Guarded<P, G>
where
    P: Provider + ?Sized,
    G: Stream<I, O>,
{
    fn open(&self, input: I) -> Reply<'_, Box<dyn Items<O>>> {
        self.gated.open(input)
    }
}

impl<I, P, G> Sink<I> for Guarded<P, G>
where
    P: Provider + ?Sized,
    G: Sink<I>,
{
    fn send(&self, input: I) -> Reply<'_, ()> {
        self.gated.send(input)
    }
}

impl<I, O, P, G> Duplex<I, O> for Guarded<P, G>
where
    P: Provider + ?Sized,
    G: Duplex<I, O>,
{
    fn open(&self) -> Reply<'_, Box<dyn Conversation<I, O>>> {
        self.gated.open()
    }
}
