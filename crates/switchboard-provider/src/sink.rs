//! One input, an acknowledgement: a webhook, a push notification, a log shipper.

use std::fmt;
use std::sync::Arc;

use switchboard_core::{
    Effect, Erase, Health, Held, Lifecycle, Line, Op, Reply, Result, Subsystem,
};

use crate::Provider;
use crate::asked::{self, Asked};
use crate::provider::Managed;

switchboard_core::operations! {
    /// What can be asked of a provider of this shape.
    pub(crate) mod op {
        SEND = "send": Unsafe;
    }
}

/// Takes inputs and acknowledges each.
pub trait Sink<I>: Provider {
    /// Takes `input`. An `Ok` is a promise: the input is where it was to go.
    fn send(&self, input: I) -> Reply<'_, ()>;
}

/// What the family of a shape lists as [`Subsystem::OPERATIONS`]: sending twice has this effect.
pub const fn operations(effect: Effect) -> &'static [Op] {
    asked::with_effect!(effect, op::SEND)
}

impl<I, P: Sink<I> + ?Sized> Sink<I> for Arc<P> {
    fn send(&self, input: I) -> Reply<'_, ()> {
        self.as_ref().send(input)
    }
}

impl<I, P: Sink<I>> Sink<I> for Managed<P> {
    fn send(&self, input: I) -> Reply<'_, ()> {
        self.0.send(input)
    }
}

impl<I: 'static, P: Sink<I>> Erase<P> for dyn Sink<I> {
    fn erase(provider: Arc<P>) -> Arc<Self> {
        Arc::new(Managed(provider))
    }
}

/// What an application holds of an instance of a family of sinks.
///
/// Passes all gates. The input is cloned for each attempt.
pub struct Sender<S: Subsystem> {
    line: Line<S>,
    asked: Asked,
}

impl<S: Subsystem> Sender<S> {
    /// Sends `input`, and ends when it was acknowledged.
    pub async fn send<I>(&self, input: I) -> Result<()>
    where
        S: Subsystem<Driver = dyn Sink<I>>,
        I: Clone + Send + Sync + 'static,
    {
        let op = self.asked.op::<S>(op::SEND);
        let ask = |driver: Held<S>| {
            let input = input.clone();
            async move { driver.send(input).await }
        };
        self.line.call(op, ask).await
    }

    /// Sends an input that cannot be cloned: never again once a provider has been given it.
    pub async fn send_once<I>(&self, input: I) -> Result<()>
    where
        S: Subsystem<Driver = dyn Sink<I>>,
        I: Send + 'static,
    {
        let op = self.asked.op::<S>(op::SEND);
        let ask = |driver: Held<S>| async move { driver.send(input).await };
        self.line.call_once(op, ask).await
    }
}

asked::handle!(Sender);

impl<S, I> Sink<I> for Sender<S>
where
    S: Subsystem<Driver = dyn Sink<I>>,
    I: Clone + Send + Sync + 'static,
{
    fn send(&self, input: I) -> Reply<'_, ()> {
        Reply::run(self.send(input))
    }
}
