//! The retry loop as a layer.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use switchboard_core::{
    Class, Clock, Deadline, Decision, Effect, Error, Result, RetryBudget, RetryPolicy, Why,
    Withdrawal,
};
use tower_layer::Layer;
use tower_service::Service;

use super::attempted::Attempted;
use super::classify::{BoxError, Classified, made_ready};
use super::meaning::{AllGood, EffectOf, Failed, Judge, judged};
use super::service::Asking;

/// Makes calls of a service again that have failed, as a [`RetryPolicy`] says.
///
/// Only outages are made again, and only where that is harmless: a request whose effect nobody told is
/// taken to be [`Effect::Unsafe`], and then only what certainly did not happen is tried again. All
/// services it is laid around, and their clones, pay from one budget. Once retries were made the error
/// says so, and no loop further out starts over.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use switchboard_core::{Clock, Effect, RetryPolicy};
/// use switchboard_provider::bridge::tower::RetryLayer;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> switchboard_core::Result<()> {
/// let calls = Arc::new(AtomicU32::new(0));
/// let retry = RetryLayer::new(RetryPolicy::default(), Clock::system())?;
/// let read = ServiceBuilder::new()
///     .layer(retry.with_effect(Effect::Read))
///     .service(service_fn(move |_: ()| {
///         let call = calls.fetch_add(1, Ordering::Relaxed);
///         async move {
///             if call == 0 { Err(std::io::Error::other("connection reset")) } else { Ok(call) }
///         }
///     }));
/// assert_eq!(read.oneshot(()).await?, 1);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct RetryLayer<E = Effect, J = AllGood> {
    policy: RetryPolicy,
    budget: Arc<RetryBudget>,
    clock: Clock,
    effect: E,
    judge: J,
}

/// A service behind a [`RetryLayer`].
#[derive(Clone)]
pub struct RetryService<S, E = Effect, J = AllGood> {
    inner: Attempted<S>,
    rules: Arc<RetryLayer<E, J>>,
}

impl RetryLayer {
    /// A layer with a full budget, for requests that are unsafe to make twice.
    ///
    /// Whether retries pay a rate limiter is decided by which of the two layers is further out.
    pub fn new(policy: RetryPolicy, clock: Clock) -> Result<Self> {
        policy.check()?;
        let budget = Arc::new(RetryBudget::new(policy.budget)?);
        Ok(Self { policy, budget, clock, effect: Effect::Unsafe, judge: AllGood })
    }
}

impl<E, J> RetryLayer<E, J> {
    /// The same, paying from a budget that others may pay from too.
    #[must_use]
    pub fn with_budget(self, budget: Arc<RetryBudget>) -> Self {
        Self { budget, ..self }
    }

    /// The same, where making a request twice has this effect, or the one a function gives for it.
    pub fn with_effect<F>(self, effect: F) -> RetryLayer<F, J> {
        let Self { policy, budget, clock, judge, .. } = self;
        RetryLayer { policy, budget, clock, effect, judge }
    }

    /// The same, where `judge` sees failures in answers.
    pub fn judged_by<K>(self, judge: K) -> RetryLayer<E, K> {
        let Self { policy, budget, clock, effect, .. } = self;
        RetryLayer { policy, budget, clock, effect, judge }
    }

    /// What follows after so many attempts, the last of which failed with `error`.
    fn decide(&self, attempts: u32, effect: Effect, error: &Error) -> Result<Again, Why> {
        // An answer is the end of a call that went well, so it earns what a success earns.
        if error.class() == Class::Answer {
            self.budget.call_succeeded();
        }
        let deadline = Deadline::current().map(Deadline::moment);
        let now = self.clock.now();
        match self.policy.next(attempts, effect, error, now, deadline, &self.clock) {
            Decision::RetryAfter(delay) => {
                let withdrawal = self.budget.withdraw(error).ok_or(Why::BudgetEmpty)?;
                Ok(Again { delay, withdrawal })
            }
            Decision::Stop(why) => Err(why),
        }
    }
}

impl<S, E: Clone, J: Clone> Layer<S> for RetryLayer<E, J> {
    type Service = RetryService<S, E, J>;

    fn layer(&self, inner: S) -> RetryService<S, E, J> {
        RetryService { inner: Attempted::new(inner), rules: Arc::new(self.clone()) }
    }
}

impl<S, E, J, Request> Service<Request> for RetryService<S, E, J>
where
    S: Service<Request> + Clone + Send + 'static,
    S::Response: Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    E: EffectOf<Request> + Send + Sync + 'static,
    J: Judge<S::Response> + Send + Sync + 'static,
    Request: Clone + Send + 'static,
{
    type Response = S::Response;
    type Error = Error;
    type Future = RetryFuture<S, Request, E, J>;

    #[inline]
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.inner.poll_ready(context)
    }

    #[inline]
    fn call(&mut self, request: Request) -> Self::Future {
        let later = Later {
            effect: self.rules.effect.effect_of(&request),
            service: self.inner.clone(),
            request: request.clone(),
            rules: self.rules.clone(),
        };
        let future = self.inner.call(request);
        RetryFuture { stage: Stage::First { future, later: Some(later) } }
    }
}

pin_project! {
    /// The answer after as many attempts as it takes, or as are allowed.
    #[must_use = "a future does nothing until it is awaited"]
    pub struct RetryFuture<S: Service<Request>, Request, E, J> {
        #[pin]
        stage: Stage<Classified<S::Future>, S::Response, Later<S, Request, E, J>>,
    }
}

pin_project! {
    #[project = StageProjection]
    enum Stage<F, T, L> {
        First { #[pin] future: F, later: Option<L> },
        Again { trying: Asking<T> },
        Over,
    }
}

/// What further attempts are made with.
struct Later<S, Request, E, J> {
    service: Attempted<S>,
    request: Request,
    effect: Effect,
    rules: Arc<RetryLayer<E, J>>,
}

/// A retry that has been paid for.
struct Again {
    delay: Duration,
    withdrawal: Withdrawal,
}

impl<S, Request, E, J> Future for RetryFuture<S, Request, E, J>
where
    S: Service<Request> + Clone + Send + 'static,
    S::Response: Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    E: Send + Sync + 'static,
    J: Judge<S::Response> + Send + Sync + 'static,
    Request: Clone + Send + 'static,
{
    type Output = Result<S::Response>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut stage = self.project().stage;
        if let StageProjection::First { future, later } = stage.as_mut().project() {
            let result = ready!(future.poll(context));
            let Some(later) = later.take() else { return Poll::Pending };
            match later.after_first(result) {
                Ok(trying) => stage.set(Stage::Again { trying }),
                Err(end) => {
                    stage.set(Stage::Over);
                    return Poll::Ready(end);
                }
            }
        }
        let StageProjection::Again { trying } = stage.as_mut().project() else {
            // Polled again after its end.
            return Poll::Pending;
        };
        let end = ready!(trying.as_mut().poll(context));
        stage.set(Stage::Over);
        Poll::Ready(end)
    }
}

impl<S, Request, E, J> Later<S, Request, E, J>
where
    S: Service<Request> + Clone + Send + 'static,
    S::Response: Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    E: Send + Sync + 'static,
    J: Judge<S::Response> + Send + Sync + 'static,
    Request: Clone + Send + 'static,
{
    /// What the end of the first attempt leads to: further ones, or the end of the call.
    #[inline]
    fn after_first(
        self,
        result: Result<S::Response>,
    ) -> Result<Asking<S::Response>, Result<S::Response>> {
        let failed = match judged(&self.rules.judge, result) {
            Ok(answer) => {
                self.rules.budget.call_succeeded();
                return Err(Ok(answer));
            }
            Err(failed) => failed,
        };
        match self.rules.decide(1, self.effect, &failed.error) {
            Ok(again) => Ok(Box::pin(self.try_again(failed, again))),
            Err(why) => Err(failed.end(|error| RetryPolicy::give_up(error, 1, why))),
        }
    }

    async fn try_again(
        mut self,
        mut failed: Failed<S::Response>,
        mut again: Again,
    ) -> Result<S::Response> {
        let (mut attempts, mut in_doubt) = (1, false);
        loop {
            in_doubt |= self.effect.leaves_doubt(&failed.error);
            // It may hold a connection, which nobody needs while this waits.
            failed.answer = None;
            self.rules.clock.sleep(again.delay).await;
            attempts += 1;
            let result = self.attempt().await;
            failed = match judged(&self.rules.judge, result) {
                Ok(answer) => {
                    self.rules.budget.retry_succeeded(again.withdrawal);
                    return Ok(answer);
                }
                Err(failed) => failed,
            };
            again = match self.rules.decide(attempts, self.effect, &failed.error) {
                Ok(again) => again,
                Err(why) => return failed.end(|error| given_up(error, attempts, why, in_doubt)),
            };
        }
    }

    async fn attempt(&mut self) -> Result<S::Response> {
        made_ready(&mut self.service).await?;
        self.service.call(self.request.clone()).await
    }
}

/// That the last attempt did nothing does not undo what an earlier one may have done.
fn given_up(error: Error, attempts: u32, why: Why, in_doubt: bool) -> Error {
    let error = if in_doubt { error.in_doubt() } else { error };
    RetryPolicy::give_up(error, attempts, why)
}

impl<E, J> fmt::Debug for RetryLayer<E, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryLayer")
            .field("policy", &self.policy)
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}

impl<S, E, J> fmt::Debug for RetryService<S, E, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryService").field("rules", &self.rules).finish_non_exhaustive()
    }
}

impl<S: Service<Request>, Request, E, J> fmt::Debug for RetryFuture<S, Request, E, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryFuture").finish_non_exhaustive()
    }
}
