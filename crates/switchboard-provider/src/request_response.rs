//! One input, one output: an HTTP call, a model, a subprocess.

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
        EXECUTE = "execute": Unsafe;
    }
}

/// Takes one input and gives one output.
///
/// A family of such providers is a [`Subsystem`] like any other:
///
/// ```
/// use switchboard_core::{
///     Effect, Environment, Manager, NoSettings, Op, Registry, Result, Settings, Subsystem,
/// };
/// use switchboard_provider::{RequestResponse, Requester, function, request_response};
///
/// /// Whatever can say how many words a text has.
/// struct Counters;
///
/// impl Subsystem for Counters {
///     const NAME: &'static str = "counters";
///     const OPERATIONS: &'static [Op] = request_response::operations(Effect::Read);
///     type Driver = dyn RequestResponse<String, usize>;
///     type Handle = Requester<Self>;
///
///     fn register_built_ins(registry: &Registry<Self>) -> Result<()> {
///         registry.register("spaces", |_: NoSettings, _| async {
///             Ok(function::request_response("spaces", |text: String| async move {
///                 Ok(text.split_whitespace().count())
///             }))
///         })
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<()> {
/// let counters = Manager::<Counters>::new(Registry::with_built_ins()?, &Environment::new())?;
/// counters.configure("main", &Settings::new().with("driver", "spaces"))?;
/// let main = counters.handle("main")?;
/// assert_eq!(main.execute("one two three".to_owned()).await?, 3);
/// # Ok(()) }
/// ```
pub trait RequestResponse<I, O>: Provider {
    /// The output for `input`. May be dropped at any await, and asked again for the same input where
    /// the family's effect allows it.
    fn execute(&self, input: I) -> Reply<'_, O>;
}

/// What the family of a shape lists as [`Subsystem::OPERATIONS`]: asking twice has this effect.
pub const fn operations(effect: Effect) -> &'static [Op] {
    asked::with_effect!(effect, op::EXECUTE)
}

impl<I, O, P> RequestResponse<I, O> for Arc<P>
where
    P: RequestResponse<I, O> + ?Sized,
{
    fn execute(&self, input: I) -> Reply<'_, O> {
        self.as_ref().execute(input)
    }
}

impl<I, O, P: RequestResponse<I, O>> RequestResponse<I, O> for Managed<P> {
    fn execute(&self, input: I) -> Reply<'_, O> {
        self.0.execute(input)
    }
}

impl<I, O, P> Erase<P> for dyn RequestResponse<I, O>
where
    P: RequestResponse<I, O>,
    I: 'static,
    O: 'static,
{
    fn erase(provider: Arc<P>) -> Arc<Self> {
        Arc::new(Managed(provider))
    }
}

/// What an application holds of an instance of a family of request-response providers.
///
/// Passes all gates. The input is cloned for each attempt; what is expensive to clone goes in an
/// [`Arc`].
///
/// A panic of the provider is counted as a failure and goes on to the caller, as it does through any
/// other call.
pub struct Requester<S: Subsystem> {
    line: Line<S>,
    asked: Asked,
}

impl<S: Subsystem> Requester<S> {
    /// The output for `input`.
    pub async fn execute<I, O>(&self, input: I) -> Result<O>
    where
        S: Subsystem<Driver = dyn RequestResponse<I, O>>,
        I: Clone + Send + Sync + 'static,
        O: Send + 'static,
    {
        let op = self.asked.op::<S>(op::EXECUTE);
        let ask = |driver: Held<S>| {
            let input = input.clone();
            async move { driver.execute(input).await }
        };
        self.line.call(op, ask).await
    }

    /// The output for an input that cannot be cloned: it is not asked again for once a provider has
    /// been given it.
    pub async fn execute_once<I, O>(&self, input: I) -> Result<O>
    where
        S: Subsystem<Driver = dyn RequestResponse<I, O>>,
        I: Send + 'static,
        O: Send + 'static,
    {
        let op = self.asked.op::<S>(op::EXECUTE);
        let ask = |driver: Held<S>| async move { driver.execute(input).await };
        self.line.call_once(op, ask).await
    }
}

asked::handle!(Requester);

impl<S, I, O> RequestResponse<I, O> for Requester<S>
where
    S: Subsystem<Driver = dyn RequestResponse<I, O>>,
    I: Clone + Send + Sync + 'static,
    O: Send + 'static,
{
    fn execute(&self, input: I) -> Reply<'_, O> {
        Reply::run(self.execute(input))
    }
}
