//! The rules of [`Sink`].

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures_util::future::join_all;
use switchboard_core::Result;

use super::{
    CALLS_AT_ONCE, Failure, Maker, Rule, Subject, Suite, Time, Verdict, closed_twice,
    dropped_at_every_await, ensure, health_says_that_it_works, in_time, it_has_a_name_that_stays,
    it_says_that_it_is_available, rules,
};
use crate::Sink;

/// How a provider is made, and what to send through it.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use switchboard_provider::conformance::{prove, sink};
/// use switchboard_provider::function;
///
/// let lines = Arc::new(Mutex::new(Vec::new()));
/// let kept = lines.clone();
/// let journal = move || {
///     let lines = lines.clone();
///     let journal = function::sink("journal", move |line: &'static str| {
///         lines.lock().unwrap().push(line);
///         async { Ok(()) }
///     });
///     async { Ok(journal) }
/// };
/// let fixture = sink::Fixture::new(journal, || vec!["started", "ready"])
///     .arrived(move |line| kept.lock().unwrap().contains(line));
/// prove(&fixture, "what_is_acknowledged_has_arrived");
/// ```
pub struct Fixture<I> {
    maker: Maker<dyn Sink<I>>,
    inputs: Box<dyn Fn() -> Vec<I>>,
    has_arrived: Box<dyn Fn(&I) -> bool>,
}

impl<I: Clone + 'static> Fixture<I> {
    /// The provider that `make` makes, and a few inputs that it takes.
    pub fn new<P, Fut>(
        make: impl Fn() -> Fut + 'static,
        inputs: impl Fn() -> Vec<I> + 'static,
    ) -> Self
    where
        P: Sink<I>,
        Fut: Future<Output = Result<P>> + 'static,
    {
        let maker = Maker::new(make, |provider: P| {
            let provider: Arc<dyn Sink<I>> = Arc::new(provider);
            provider
        });
        Self { maker, inputs: Box::new(inputs), has_arrived: Box::new(|_| true) }
    }

    /// Whether an input is where it was to go. Without it, the word of the provider is taken for that.
    #[must_use]
    pub fn arrived(mut self, has_arrived: impl Fn(&I) -> bool + 'static) -> Self {
        self.has_arrived = Box::new(has_arrived);
        self
    }

    /// How time passes for the provider.
    #[must_use]
    pub fn time(mut self, time: Time) -> Self {
        self.maker.time = time;
        self
    }
}

impl<I: Clone + 'static> Suite for Fixture<I> {
    type Shape = dyn Sink<I>;

    crate::__provider_rules! { sink, rules }

    fn maker(&self) -> &Maker<Self::Shape> {
        &self.maker
    }
}

/// An acknowledgement is a promise.
async fn what_is_acknowledged_has_arrived<I: Clone + 'static>(
    on: &Subject<'_, Fixture<I>>,
) -> Verdict {
    for input in on.inputs()? {
        on.send(&input).await?;
    }
    Ok(())
}

/// Callers at once are all served.
async fn sends_at_once_are_all_acknowledged<I: Clone + 'static>(
    on: &Subject<'_, Fixture<I>>,
) -> Verdict {
    let inputs = on.inputs()?;
    let sends = inputs.iter().cycle().take(CALLS_AT_ONCE.max(inputs.len()));
    join_all(sends.map(|input| on.send(input))).await.into_iter().collect()
}

/// A send that is dropped happened or did not, and harms no later one.
async fn a_send_dropped_at_any_await_leaves_the_provider_usable<I: Clone + 'static>(
    on: &Subject<'_, Fixture<I>>,
) -> Verdict {
    for input in on.inputs()? {
        let send = async || on.provider.send(input.clone()).await;
        dropped_at_every_await(send, async || on.send(&input).await).await?;
    }
    Ok(())
}

/// A second close and sends after it may fail; none waits for ever.
async fn after_close_nothing_hangs<I: Clone + 'static>(on: &Subject<'_, Fixture<I>>) -> Verdict {
    closed_twice(&*on.provider).await?;
    for input in on.inputs()? {
        in_time("a send after close", on.provider.send(input)).await?.ok();
    }
    Ok(())
}

impl<I: Clone + 'static> Subject<'_, Fixture<I>> {
    fn inputs(&self) -> std::result::Result<Vec<I>, Failure> {
        let inputs = (self.fixture.inputs)();
        ensure(!inputs.is_empty(), || "the fixture has no inputs".to_owned())?;
        Ok(inputs)
    }

    async fn send(&self, input: &I) -> Verdict {
        in_time("a send", self.provider.send(input.clone())).await??;
        ensure((self.fixture.has_arrived)(input), || {
            "an input was acknowledged and has not arrived".to_owned()
        })
    }
}

impl<I> fmt::Debug for Fixture<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture").field("maker", &self.maker).finish_non_exhaustive()
    }
}
