//! A memory for providers that have none: the context of a key goes in with the input, and what is
//! to be remembered comes out with the output.
//!
//! Where contexts are kept is the store's, what they mean is the provider's.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use switchboard_core::{
    Capabilities, Details, Error, Health, Lifecycle, Metric, Outcome, Reply, Result, Retry,
};

use super::context::ContextStore;
use super::turns::Turns;
use crate::{Provider, RequestResponse};

/// What a provider with a memory is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn<I, T> {
    /// What the caller asks.
    pub input: I,
    /// What was remembered under the key of the input; `None` where nothing is.
    pub context: Option<T>,
}

/// What a provider with a memory answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered<O, T> {
    /// What the caller gets.
    pub output: O,
    /// What becomes of the memory.
    pub next: NextContext<T>,
}

/// What becomes of the memory of a key after a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextContext<T> {
    /// It stays as it is, and its time runs on.
    Keep,
    /// This takes its place.
    Save(T),
    /// Nothing is remembered any more.
    Forget,
}

impl<O, T> Answered<O, T> {
    /// `output`, and what is remembered stays as it is.
    pub fn keep(output: O) -> Self {
        Self { output, next: NextContext::Keep }
    }

    /// `output`, and `context` is remembered from now on.
    pub fn save(output: O, context: T) -> Self {
        Self { output, next: NextContext::Save(context) }
    }

    /// `output`, and nothing is remembered any more.
    pub fn forget(output: O) -> Self {
        Self { output, next: NextContext::Forget }
    }
}

/// A provider with a memory, made of one that is handed its memory with each call.
///
/// A call loads the context of its key, asks the provider, and saves what that says. Where loading
/// fails, the provider is not asked. Where saving fails, the provider has answered: the caller gets
/// the error of the store with the outcome `Applied` and the advice not to try again, because another
/// try would do the work twice. A call that is dropped before the provider answered saves nothing.
///
/// Two calls of the same key at the same time load the same context, and the last to save wins, unless
/// they go [`one_at_a_time`](Self::one_at_a_time), or, where several providers have the same contexts,
/// [`one_at_a_time_with`](Self::one_at_a_time_with) each other.
///
/// ```
/// use std::sync::Arc;
/// use switchboard_core::Clock;
/// use switchboard_provider::{Answered, MemoryContexts, Stateful, Turn};
/// use switchboard_provider::{RequestResponse, function};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> switchboard_core::Result<()> {
/// // Greets whoever it does not know yet.
/// let greeter = function::request_response("greeter", |turn: Turn<String, u32>| async move {
///     let visits = turn.context.unwrap_or(0) + 1;
///     let words = if visits == 1 { "hello" } else { "hello again" };
///     Ok(Answered::save(format!("{words}, {}", turn.input), visits))
/// });
/// let contexts = Arc::new(MemoryContexts::new(Clock::system()));
/// let greeter = Stateful::new(greeter, contexts, |name: &String| name.clone()).one_at_a_time();
///
/// assert_eq!(greeter.execute("ada".to_owned()).await?, "hello, ada");
/// assert_eq!(greeter.execute("ada".to_owned()).await?, "hello again, ada");
/// assert_eq!(greeter.execute("bob".to_owned()).await?, "hello, bob");
/// # Ok(()) }
/// ```
///
/// The store is not started or closed with the provider, since contexts usually outlive it: a
/// provider that is swapped finds those that the one before it saved. What the one before it has under
/// way goes on meanwhile, which is why turns belong beside the contexts too. See
/// [`with_own_contexts`](Self::with_own_contexts) for a store that belongs to it alone.
pub struct Stateful<P, T, K> {
    provider: P,
    contexts: Arc<dyn ContextStore<T>>,
    key: K,
    ttl: Option<Duration>,
    /// `None` where calls of the same key do not wait for each other.
    turns: Option<Turns>,
    owns_contexts: bool,
}

impl<P, T: 'static, K> Stateful<P, T, K> {
    /// `provider` with the memory in `contexts`, where the memory of an input is under its `key`.
    pub fn new<I>(provider: P, contexts: Arc<dyn ContextStore<T>>, key: K) -> Self
    where
        K: Fn(&I) -> String,
    {
        Self { provider, contexts, key, ttl: None, turns: None, owns_contexts: false }
    }

    /// The same, that remembers for so long after each time something was saved.
    #[must_use]
    pub fn with_ttl(self, ttl: Duration) -> Self {
        Self { ttl: Some(ttl), ..self }
    }

    /// The same, where calls of one key take turns, in the order in which they come.
    ///
    /// Each then sees what the one before it saved; calls of other keys go on meanwhile. A turn lasts
    /// from loading to the end of saving, and ends with a call that fails or is dropped. This orders
    /// the calls of this provider, not those of another one with the same contexts, such as the one
    /// that takes its place at a swap while calls are under way: see
    /// [`one_at_a_time_with`](Self::one_at_a_time_with). A provider that asks itself about the same key
    /// waits for itself, until its deadline.
    #[must_use]
    pub fn one_at_a_time(self) -> Self {
        self.one_at_a_time_with(&Turns::default())
    }

    /// The same, where calls of one key take turns with those of all providers that were given `turns`.
    ///
    /// A factory that builds providers with the same contexts keeps them beside these, as [`Turns`]
    /// shows. Providers with different contexts each have their own, else their keys meet. Calls of
    /// other processes are not ordered.
    #[must_use]
    pub fn one_at_a_time_with(self, turns: &Turns) -> Self {
        Self { turns: Some(turns.clone()), ..self }
    }

    /// The same, where the store belongs to this provider: it is started before it and closed after it.
    #[must_use]
    pub fn with_own_contexts(self) -> Self {
        Self { owns_contexts: true, ..self }
    }

    async fn remember(&self, key: &str, next: NextContext<T>) -> Result<()> {
        let (step, saved) = match next {
            NextContext::Keep => return Ok(()),
            NextContext::Save(context) => {
                ("save", self.contexts.save(key, context, self.ttl).await)
            }
            NextContext::Forget => ("delete", self.contexts.delete(key).await),
        };
        saved.map_err(|error| {
            error
                .with_outcome(Outcome::Applied)
                .with_retry(Retry::Never)
                .with_context("context", step)
                .with_hint("the provider has answered, but what it wants to remember is lost")
        })
    }
}

impl<I, O, P, T, K> RequestResponse<I, O> for Stateful<P, T, K>
where
    I: Send + 'static,
    O: Send + 'static,
    T: Send + 'static,
    P: RequestResponse<Turn<I, T>, Answered<O, T>>,
    K: Fn(&I) -> String + Send + Sync + 'static,
{
    fn execute(&self, input: I) -> Reply<'_, O> {
        Reply::run(async move {
            let key = (self.key)(&input);
            let _turn = match &self.turns {
                Some(turns) => Some(turns.take(&key).await?),
                None => None,
            };
            let context = self.contexts.load(&key).await.map_err(not_asked)?;
            let answered = self.provider.execute(Turn { input, context }).await?;
            self.remember(&key, answered.next).await?;
            Ok(answered.output)
        })
    }
}

impl<P, T, K> Lifecycle for Stateful<P, T, K>
where
    P: Provider,
    T: 'static,
    K: Send + Sync + 'static,
{
    fn init(&self) -> Reply<'_, ()> {
        if !self.owns_contexts {
            return self.provider.init();
        }
        Reply::run(async {
            // Whoever's start fails is closed as a whole.
            self.contexts.init().await?;
            self.provider.init().await
        })
    }

    /// The worse of the provider's and the store's, since it needs both.
    fn health(&self) -> Reply<'_, Health> {
        Reply::run(async {
            let provider = self.provider.health().await?;
            let contexts = self.contexts.health().await?;
            Ok(if contexts.status > provider.status { contexts } else { provider })
        })
    }

    fn close(&self) -> Reply<'_, ()> {
        if !self.owns_contexts {
            return self.provider.close();
        }
        Reply::run(async {
            let errors = [self.provider.close().await, self.contexts.close().await];
            let mut errors: Vec<Error> = errors.into_iter().filter_map(Result::err).collect();
            match errors.len() {
                0 => Ok(()),
                1 => errors.pop().map_or(Ok(()), Err),
                _ => Err(Error::joined("neither provider nor contexts could be closed", errors)),
            }
        })
    }

    fn capabilities(&self) -> Option<Capabilities> {
        self.provider.capabilities()
    }

    fn details(&self) -> Option<Details> {
        self.provider.details()
    }

    fn metrics(&self) -> Vec<Metric> {
        self.provider.metrics()
    }
}

impl<P, T, K> Provider for Stateful<P, T, K>
where
    P: Provider,
    T: 'static,
    K: Send + Sync + 'static,
{
    fn name(&self) -> &str {
        self.provider.name()
    }

    fn is_available(&self) -> Reply<'_, bool> {
        self.provider.is_available()
    }
}

impl<P: fmt::Debug, T, K> fmt::Debug for Stateful<P, T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stateful")
            .field("provider", &self.provider)
            .field("ttl", &self.ttl)
            .field("turns", &self.turns)
            .finish_non_exhaustive()
    }
}

/// Whatever the store says, the provider was not asked.
fn not_asked(error: Error) -> Error {
    error.not_applied().with_context("context", "load")
}
