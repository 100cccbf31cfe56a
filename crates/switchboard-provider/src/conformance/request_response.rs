//! The rules of [`RequestResponse`].

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
use crate::RequestResponse;

/// How a provider is made, and what to ask it.
///
/// ```
/// use switchboard_provider::conformance::{prove, request_response};
/// use switchboard_provider::function;
///
/// let fixture = request_response::Fixture::new(
///     || async { Ok(function::request_response("half", |number: u64| async move { Ok(number / 2) })) },
///     || vec![4, 8],
/// )
/// .judged(|number, half| *half == number / 2);
/// prove(&fixture, "calls_at_once_do_not_disturb_each_other");
/// ```
pub struct Fixture<I, O> {
    maker: Maker<dyn RequestResponse<I, O>>,
    inputs: Box<dyn Fn() -> Vec<I>>,
    is_right: Box<IsRight<I, O>>,
}

type IsRight<I, O> = dyn Fn(&I, &O) -> bool;

impl<I: Clone + 'static, O: fmt::Debug + 'static> Fixture<I, O> {
    /// The provider that `make` makes, and a few inputs that it has outputs for.
    pub fn new<P, Fut>(
        make: impl Fn() -> Fut + 'static,
        inputs: impl Fn() -> Vec<I> + 'static,
    ) -> Self
    where
        P: RequestResponse<I, O>,
        Fut: Future<Output = Result<P>> + 'static,
    {
        let maker = Maker::new(make, |provider: P| {
            let provider: Arc<dyn RequestResponse<I, O>> = Arc::new(provider);
            provider
        });
        Self { maker, inputs: Box::new(inputs), is_right: Box::new(|_, _| true) }
    }

    /// Whether an output is one for that input. Without it, any output will do.
    #[must_use]
    pub fn judged(mut self, is_right: impl Fn(&I, &O) -> bool + 'static) -> Self {
        self.is_right = Box::new(is_right);
        self
    }

    /// How time passes for the provider.
    #[must_use]
    pub fn time(mut self, time: Time) -> Self {
        self.maker.time = time;
        self
    }
}

impl<I: Clone + 'static, O: fmt::Debug + 'static> Suite for Fixture<I, O> {
    type Shape = dyn RequestResponse<I, O>;

    crate::__provider_rules! { request_response, rules }

    fn maker(&self) -> &Maker<Self::Shape> {
        &self.maker
    }
}

/// Each input has an output, also when it is asked for once more.
async fn every_input_has_its_output<I: Clone + 'static, O: fmt::Debug + 'static>(
    on: &Subject<'_, Fixture<I, O>>,
) -> Verdict {
    for input in on.inputs()? {
        on.ask(&input).await?;
        on.ask(&input).await?;
    }
    Ok(())
}

/// Callers at once each get the output for what they asked.
async fn calls_at_once_do_not_disturb_each_other<I: Clone + 'static, O: fmt::Debug + 'static>(
    on: &Subject<'_, Fixture<I, O>>,
) -> Verdict {
    let inputs = on.inputs()?;
    let calls = inputs.iter().cycle().take(CALLS_AT_ONCE.max(inputs.len()));
    join_all(calls.map(|input| on.ask(input))).await.into_iter().collect()
}

/// A call that is dropped happened or did not, and harms no later one.
async fn a_call_dropped_at_any_await_leaves_the_provider_usable<
    I: Clone + 'static,
    O: fmt::Debug + 'static,
>(
    on: &Subject<'_, Fixture<I, O>>,
) -> Verdict {
    for input in on.inputs()? {
        let call = async || on.provider.execute(input.clone()).await;
        dropped_at_every_await(call, async || on.ask(&input).await).await?;
    }
    Ok(())
}

/// A second close and calls after it may fail; none waits for ever.
async fn after_close_nothing_hangs<I: Clone + 'static, O: fmt::Debug + 'static>(
    on: &Subject<'_, Fixture<I, O>>,
) -> Verdict {
    closed_twice(&*on.provider).await?;
    for input in on.inputs()? {
        in_time("a call after close", on.provider.execute(input)).await?.ok();
    }
    Ok(())
}

impl<I: Clone + 'static, O: fmt::Debug + 'static> Subject<'_, Fixture<I, O>> {
    fn inputs(&self) -> std::result::Result<Vec<I>, Failure> {
        let inputs = (self.fixture.inputs)();
        ensure(!inputs.is_empty(), || "the fixture has no inputs".to_owned())?;
        Ok(inputs)
    }

    async fn ask(&self, input: &I) -> Verdict {
        let asked = self.provider.execute(input.clone());
        let output = in_time("a call", asked).await??;
        ensure((self.fixture.is_right)(input, &output), || {
            format!("{output:?} is no output for the input")
        })
    }
}

impl<I, O> fmt::Debug for Fixture<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture").field("maker", &self.maker).finish_non_exhaustive()
    }
}
