//! The rules every provider keeps, as tests: the contracts of the four shapes, proved.
//!
//! A provider's file ends with one line, [`suite!`], which makes one test of each rule of its shape. The
//! rules are functions that answer, so that other tests can ask whether a rule notices a bug
//! ([`check`]). What a rule needs to know of a provider is in the fixture of the shape: how it is made,
//! and samples of what goes in.
//!
//! Needs the feature `conformance`, in the tests of providers only.

pub mod duplex;
#[cfg(test)]
mod planted;
pub mod request_response;
pub mod sink;
pub mod stream;

use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use switchboard_core::{Error, Lifecycle as _, Result, Status};

use crate::Provider;

/// Makes one test of each rule of a shape, for the provider of a fixture.
///
/// ```
/// use switchboard_provider::conformance::{stream, suite};
/// use switchboard_provider::{Items, function};
/// use switchboard_core::{Reply, Result};
///
/// struct Countdown(u64);
///
/// impl Items<u64> for Countdown {
///     fn next(&mut self) -> Reply<'_, Option<u64>> {
///         // With `Reply::ready` the item would be gone when the reply is dropped.
///         Reply::run(async {
///             let next = self.0.checked_sub(1);
///             self.0 = next.unwrap_or(0);
///             Ok(next)
///         })
///     }
///
///     fn close(&mut self) -> Reply<'_, ()> {
///         Reply::run(async {
///             self.0 = 0;
///             Ok(())
///         })
///     }
/// }
///
/// async fn countdown() -> Result<impl switchboard_provider::Stream<u64, u64>> {
///     Ok(function::stream("countdown", |from| async move { Ok(Countdown(from)) }))
/// }
///
/// suite!(stream: stream::Fixture::new(countdown, || 5));
/// # let fixture = stream::Fixture::new(countdown, || 5);
/// # for rule in <stream::Fixture<u64, u64> as switchboard_provider::conformance::Suite>::RULES {
/// #     switchboard_provider::conformance::prove(&fixture, rule.name);
/// # }
/// ```
///
/// The first word is the module of the shape. The tests are called `keeps_the_rules::` and the name of
/// the rule. A provider of a real service says `.time(Time::Real)`.
#[doc(inline)]
pub use crate::__provider_suite as suite;

/// What a rule says: nothing, or what was wrong.
pub type Verdict = std::result::Result<(), Failure>;

/// What a provider did against a rule, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(String);

/// How time passes for a provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Time {
    /// By tokio's clock, which moves by itself when all wait: for providers within the process.
    #[default]
    Paused,
    /// By the clock of a service.
    Real,
}

/// One rule for the providers of the fixtures of type `F`.
#[non_exhaustive]
pub struct Rule<F: Suite> {
    /// Its name, a sentence.
    pub name: &'static str,
    run: for<'s> fn(&'s Subject<'s, F>) -> LocalBoxFuture<'s, Verdict>,
}

/// The rules of one shape. Its fixtures implement it, and nothing else.
pub trait Suite: Sized + 'static {
    /// The shape.
    type Shape: Provider + ?Sized;

    /// Every rule, in the order in which [`suite!`] makes tests of them.
    const RULES: &'static [Rule<Self>];

    #[doc(hidden)]
    fn maker(&self) -> &Maker<Self::Shape>;
}

/// What a rule looks at: a provider that was initialised, and the fixture it comes from.
pub struct Subject<'f, F: Suite> {
    fixture: &'f F,
    provider: Arc<F::Shape>,
}

/// How the providers of a fixture are made.
#[doc(hidden)]
pub struct Maker<D: ?Sized> {
    make: Box<dyn Fn() -> LocalBoxFuture<'static, Result<Arc<D>>>>,
    time: Time,
}

impl<D: ?Sized + 'static> Maker<D> {
    fn new<P, Fut>(
        make: impl Fn() -> Fut + 'static,
        erase: impl Fn(P) -> Arc<D> + Copy + 'static,
    ) -> Self
    where
        Fut: Future<Output = Result<P>> + 'static,
    {
        let make = move || {
            let making = make();
            async move { Ok(erase(making.await?)) }.boxed_local()
        };
        Self { make: Box::new(make), time: Time::default() }
    }
}

/// Whether the provider keeps the rule of that name.
///
/// A rule that panics or takes longer than five minutes has failed; so has one that does not exist.
pub fn check<F: Suite>(fixture: &F, rule: &str) -> Verdict {
    let Some(rule) = F::RULES.iter().find(|known| known.name == rule) else {
        return Err(Failure(format!("there is no rule {rule:?}")));
    };
    let maker = fixture.maker();
    let runtime = runtime(maker.time).map_err(|error| Failure(error.to_string()))?;
    runtime.block_on(async {
        let provider = in_time("making a provider", (maker.make)()).await??;
        let subject = Subject { fixture, provider };
        in_time("init", subject.provider.init()).await??;
        let run = AssertUnwindSafe((rule.run)(&subject)).catch_unwind();
        let verdict = match tokio::time::timeout(RULE_LIMIT, run).await {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(_)) => Err(Failure("it panicked".to_owned())),
            Err(_) => Err(Failure(format!("it took longer than {RULE_LIMIT:?}"))),
        };
        // One that a rule has closed already may say so.
        let closing = AssertUnwindSafe(async { subject.provider.close().await }).catch_unwind();
        let closed = in_time("close", closing).await.map(drop);
        verdict.and(closed)
    })
}

/// Like [`check`], for a test: a rule that is not kept is a panic that says why.
///
/// # Panics
///
/// If the provider does not keep the rule.
#[track_caller]
#[expect(clippy::panic, reason = "a test fails by a panic")]
pub fn prove<F: Suite>(fixture: &F, rule: &str) {
    if let Err(failure) = check(fixture, rule) {
        panic!("{rule}: {failure}");
    }
}

fn runtime(time: Time) -> std::io::Result<tokio::runtime::Runtime> {
    match time {
        Time::Paused => {
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()
        }
        Time::Real => {
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
        }
    }
}

/// Lists the rules of each shape, once: for its `RULES` and for the tests that [`suite!`] makes.
#[doc(hidden)]
#[macro_export]
macro_rules! __provider_rules {
    (request_response, $callback:path $(, $argument:tt)*) => {
        $callback! { ($( $argument )*)
            every_input_has_its_output
            calls_at_once_do_not_disturb_each_other
            a_call_dropped_at_any_await_leaves_the_provider_usable
            it_has_a_name_that_stays
            it_says_that_it_is_available
            health_says_that_it_works
            after_close_nothing_hangs
        }
    };
    (stream, $callback:path $(, $argument:tt)*) => {
        $callback! { ($( $argument )*)
            the_end_stays_the_end
            a_next_dropped_at_any_await_loses_no_item
            a_closed_stream_has_no_items_and_can_be_closed_again
            what_is_closed_early_is_given_back
            what_is_dropped_early_is_given_back
            streams_at_once_do_not_disturb_each_other
            an_opening_dropped_at_any_await_leaves_the_provider_usable
            it_has_a_name_that_stays
            it_says_that_it_is_available
            health_says_that_it_works
            after_close_nothing_hangs
        }
    };
    (sink, $callback:path $(, $argument:tt)*) => {
        $callback! { ($( $argument )*)
            what_is_acknowledged_has_arrived
            sends_at_once_are_all_acknowledged
            a_send_dropped_at_any_await_leaves_the_provider_usable
            it_has_a_name_that_stays
            it_says_that_it_is_available
            health_says_that_it_works
            after_close_nothing_hangs
        }
    };
    (duplex, $callback:path $(, $argument:tt)*) => {
        $callback! { ($( $argument )*)
            every_message_is_answered_in_order
            a_receive_dropped_at_any_await_loses_no_message
            sending_does_not_wait_for_receiving
            a_closed_conversation_is_silent_and_can_be_closed_again
            closing_ends_a_receive_that_waits
            a_close_dropped_at_any_await_can_be_made_again
            what_is_closed_is_given_back
            what_is_dropped_is_given_back
            conversations_at_once_do_not_disturb_each_other
            an_opening_dropped_at_any_await_leaves_the_provider_usable
            it_has_a_name_that_stays
            it_says_that_it_is_available
            health_says_that_it_works
            after_close_nothing_hangs
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __provider_suite {
    ($shape:ident: $fixture:expr) => {
        #[cfg(test)]
        mod keeps_the_rules {
            use super::*;

            $crate::__provider_rules! { $shape, $crate::__provider_tests, { $fixture } }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __provider_tests {
    (({ $fixture:expr }) $( $rule:ident )+) => {
        $(
            #[test]
            fn $rule() {
                $crate::conformance::prove(&$fixture, stringify!($rule));
            }
        )+
    };
}

/// The rules of a shape as a constant, each a function of its module.
macro_rules! rules {
    (() $( $rule:ident )+) => {
        const RULES: &'static [Rule<Self>] = &[
            $( Rule { name: stringify!($rule), run: |on| Box::pin($rule(on)) }, )+
        ];
    };
}
use rules;

/// What can be compared and shown.
trait Item: PartialEq + fmt::Debug + 'static {}

impl<T: PartialEq + fmt::Debug + 'static> Item for T {}

/// It has a name, and is always called the same.
async fn it_has_a_name_that_stays<F: Suite>(on: &Subject<'_, F>) -> Verdict {
    let name = on.provider.name().to_owned();
    ensure(!name.trim().is_empty(), || "the name is empty".to_owned())?;
    in_time("health", on.provider.health()).await?.ok();
    let later = on.provider.name();
    ensure(name == later, || format!("it was called {name:?}, and later {later:?}"))
}

/// A provider that was just made and initialised can take calls.
async fn it_says_that_it_is_available<F: Suite>(on: &Subject<'_, F>) -> Verdict {
    for _ in 0..2 {
        let is_available = in_time("is_available", on.provider.is_available()).await??;
        ensure(is_available, || "it says that it is not available".to_owned())?;
    }
    Ok(())
}

/// A provider that works does not call itself down.
async fn health_says_that_it_works<F: Suite>(on: &Subject<'_, F>) -> Verdict {
    for _ in 0..2 {
        let health = in_time("health", on.provider.health()).await??;
        let is_well = matches!(health.status, Status::Up | Status::NotChecked);
        ensure(is_well, || format!("health was {health:?}"))?;
    }
    Ok(())
}

/// Closes the provider twice, and asks it how it is: it may fail, but not hang.
async fn closed_twice<D: Provider + ?Sized>(provider: &D) -> Verdict {
    in_time("close", provider.close()).await??;
    in_time("a second close", provider.close()).await?.ok();
    in_time("is_available after close", provider.is_available()).await?.ok();
    in_time("health after close", provider.health()).await?.ok();
    Ok(())
}

/// Drops what `make` makes at each of its awaits, and asks `check` after each drop.
async fn dropped_at_every_await<T>(
    mut make: impl AsyncFnMut() -> Result<T>,
    mut check: impl AsyncFnMut() -> Verdict,
) -> Verdict {
    for polls in 0..POLLS_MAX {
        let output = within_polls(polls, make()).await;
        check().await.map_err(|failure| Failure(format!("dropped at await {polls}: {failure}")))?;
        if let Some(output) = output {
            return output.map(drop).map_err(Failure::from);
        }
    }
    Ok(())
}

/// The output of `future`, or `None` if it did not come to its end with so many polls, each after it was
/// woken.
async fn within_polls<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

async fn in_time<T>(
    what: &str,
    future: impl Future<Output = T>,
) -> std::result::Result<T, Failure> {
    let hangs = |_| Failure(format!("{what} took longer than {HANG_LIMIT:?}"));
    tokio::time::timeout(HANG_LIMIT, future).await.map_err(hangs)
}

/// Whether `future` waits for something that does not come by itself.
async fn waits(future: impl Future) -> bool {
    tokio::time::timeout(WATCH, future).await.is_err()
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(Failure(otherwise())) }
}

impl<F: Suite> fmt::Debug for Rule<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Rule").field(&self.name).finish()
    }
}

impl<F: Suite> fmt::Debug for Subject<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("provider", &self.provider.name()).finish_non_exhaustive()
    }
}

impl<D: ?Sized> fmt::Debug for Maker<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Maker").field("time", &self.time).finish_non_exhaustive()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(format!("a call failed: {error:?}"))
    }
}

/// At how many awaits a call is dropped at most.
const POLLS_MAX: usize = 50;

/// How long something is watched before it is taken to wait for something else.
const WATCH: Duration = Duration::from_millis(50);

/// How many things are opened one after the other, to see whether one place is given back each time.
const OPENED_MAX: usize = 100;

/// How many calls are made at once.
const CALLS_AT_ONCE: usize = 16;

const RULE_LIMIT: Duration = Duration::from_mins(5);
const HANG_LIMIT: Duration = Duration::from_mins(1);
