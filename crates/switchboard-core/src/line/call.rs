//! One call, from the handle to the driver and back.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::join_all;
use pin_project_lite::pin_project;
use tracing::{Span, field};

use super::group::{Open, Trial, Walk};
use super::seat::Held;
use super::slot::{Entered, Slot, Standing, Way};
use super::{Group, Line};
use crate::ambient;
use crate::figures::Record;
use crate::gates::{Call, Cause, Limit, Limited, with_fallback};
use crate::sync::Mutex;
use crate::{Effect, Error, ErrorKind, Event, Gates, Op, OwnedPermit, Result, Source, Subsystem};

impl<S: Subsystem> Line<S> {
    /// Calls the driver through all gates.
    ///
    /// `ask` is given the driver that serves at that moment, and is called again with a fresh one
    /// for each retry and each member of a group.
    #[inline]
    pub async fn call<T, F, Fut>(&self, op: Op, ask: F) -> Result<T>
    where
        F: Fn(Held<S>) -> Fut + Send + Sync,
        Fut: Future<Output = Result<T>> + Send,
        T: Send,
    {
        match self.slot.way(op) {
            Way::Straight(held) => self.slot.observe(op, &held.label(), ask(held)).await,
            Way::Gated(gates, held) => {
                Ok(self.slot.guarded(&gates, held, op, &Repeatable(ask)).await?.0)
            }
            Way::Refused(refusal) => Err(self.slot.refused(op, refusal)),
            Way::Roundabout => Ok(Box::pin(self.slot.call(op, &Repeatable(ask))).await?.0),
        }
    }

    /// Calls the driver once, with a body that is used up by the call.
    ///
    /// A gate that refuses, or a group member that cannot be reached, leaves the body untouched for
    /// the next one; once a driver has been given it there is no retry and no other member.
    pub async fn call_once<T, F, Fut>(&self, op: Op, ask: F) -> Result<T>
    where
        F: FnOnce(Held<S>) -> Fut + Send,
        Fut: Future<Output = Result<T>> + Send,
        T: Send,
    {
        Ok(self.slot.call(op, &OneShot(Mutex::new(Some(ask)))).await?.0)
    }

    /// Calls every driver that the line may choose among, all at the same time.
    ///
    /// For what belongs to all members of a group, such as emptying them: nobody is chosen, and those
    /// that are down are asked too. Groups inside are looked into, and an instance that is in several of
    /// them is asked once. The answers are in the order of the members; if any failed, the error joins
    /// those of all that did, and the others have done it all the same. Of an instance that is no group
    /// this is a [`call`](Self::call).
    ///
    /// ```
    /// # mod counters {
    /// #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/counters/mod.rs"));
    /// # }
    /// # use counters::{fixed, manager, op};
    /// use switchboard_core::HashByKey;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> switchboard_core::Result<()> {
    /// let counters = manager()?;
    /// counters.configure("left", &fixed(1))?;
    /// counters.configure("right", &fixed(2))?;
    /// counters.group("sharded", &["left", "right"], HashByKey::new())?;
    ///
    /// let handle = counters.handle("sharded")?;
    /// let all = handle.line().call_all(op::READ, |driver| async move { driver.read().await });
    /// assert_eq!(all.await?, [1, 2]);
    /// # Ok(()) }
    /// ```
    pub async fn call_all<T, F, Fut>(&self, op: Op, ask: F) -> Result<Vec<T>>
    where
        F: Fn(Held<S>) -> Fut + Send + Sync,
        Fut: Future<Output = Result<T>> + Send,
        T: Send,
    {
        if self.slot.choice().is_none() {
            return Ok(vec![self.call(op, ask).await?]);
        }
        Box::pin(self.slot.call_all(op, &Repeatable(ask))).await
    }

    /// Calls the driver as [`call`](Self::call) does; where it cannot be served, `instead` answers.
    ///
    /// Outermost of all gates: `instead` sees why, is not guarded itself, and is not asked about what
    /// a service answered.
    pub async fn call_or<T, F, Fut, G, Instead>(&self, op: Op, ask: F, instead: G) -> Result<T>
    where
        F: Fn(Held<S>) -> Fut + Send + Sync,
        Fut: Future<Output = Result<T>> + Send,
        G: FnOnce(Cause, Error) -> Instead + Send,
        Instead: Future<Output = Result<T>> + Send,
        T: Send,
    {
        with_fallback(self.call(op, ask), |cause, error| {
            self.slot.environment.events().emit(|| Event::FellBack {
                source: Source::new(S::NAME, self.slot.name.shared()),
                operation: op.name(),
                cause,
                error: error.clone(),
            });
            instead(cause, error)
        })
        .await
    }

    /// Asks the driver something that it answers without waiting.
    ///
    /// Passes no gate that would have to wait. An instance that is not built yet answers
    /// `Unavailable`, because building it would take time. A group asks its members in turn, as it
    /// does for a call.
    pub fn with<T>(&self, op: Op, ask: impl Fn(&S::Driver) -> Result<T>) -> Result<T> {
        self.slot.with(op, &ask)
    }
}

/// What a call wants of a driver, as often as it can be asked.
pub(super) trait Ask<S: Subsystem>: Send + Sync {
    type Answer: Send;
    type Asking: Future<Output = Result<Self::Answer>> + Send;

    /// Whether the answer keeps the slot in the bulkhead.
    const KEEPS_SLOT: bool = false;

    /// Asks; `None` once what it was asked with is used up.
    fn ask(&self, slot: &Arc<Slot<S>>, held: Held<S>) -> Option<Self::Asking>;

    /// Whether there is nothing left to ask with.
    fn is_spent(&self) -> bool {
        false
    }
}

struct Repeatable<F>(F);

impl<S, F, Fut, T> Ask<S> for Repeatable<F>
where
    S: Subsystem,
    F: Fn(Held<S>) -> Fut + Send + Sync,
    Fut: Future<Output = Result<T>> + Send,
    T: Send,
{
    type Answer = T;
    type Asking = Fut;

    #[inline]
    fn ask(&self, _slot: &Arc<Slot<S>>, held: Held<S>) -> Option<Fut> {
        Some((self.0)(held))
    }
}

struct OneShot<F>(Mutex<Option<F>>);

impl<S, F, Fut, T> Ask<S> for OneShot<F>
where
    S: Subsystem,
    F: FnOnce(Held<S>) -> Fut + Send,
    Fut: Future<Output = Result<T>> + Send,
    T: Send,
{
    type Answer = T;
    type Asking = Fut;

    fn ask(&self, _slot: &Arc<Slot<S>>, held: Held<S>) -> Option<Fut> {
        let ask = self.0.lock().take();
        ask.map(|ask| ask(held))
    }

    fn is_spent(&self) -> bool {
        self.0.lock().is_none()
    }
}

/// The answer of a call, and what that keeps of the way it took.
type Answered<T> = Result<(T, Kept)>;

/// What the answer of a call keeps until it is dropped, where it keeps its slot.
#[derive(Default)]
pub(super) struct Kept {
    _permit: Option<OwnedPermit>,
    /// The choices that led to it.
    open: Option<Box<Open>>,
}

impl Kept {
    /// The same of an answer that this choice led to as well.
    fn through(self, choice: impl FnOnce(Option<Box<Open>>) -> Option<Box<Open>>) -> Self {
        Self { open: choice(self.open), ..self }
    }
}

impl<S: Subsystem> Slot<S> {
    /// A call through gates and groups, which builds the instance first if need be.
    pub(super) async fn call<A: Ask<S>>(self: &Arc<Self>, op: Op, ask: &A) -> Answered<A::Answer> {
        if self.standing() == Standing::Serving {
            return self.pass(op, ask).await;
        }
        // The deadline of the call starts here, because building is part of what it waits for.
        let inside = ambient::current().until(self.deadline());
        ambient::scope(inside, Box::pin(self.pass(op, ask))).await
    }

    async fn pass<A: Ask<S>>(self: &Arc<Self>, op: Op, ask: &A) -> Answered<A::Answer> {
        match self.entered().await {
            Ok(Entered::Driver(Some(gates), held)) => self.guarded(&gates, held, op, ask).await,
            Ok(Entered::Driver(None, held)) => match Limit::inherited(self.environment.clock()) {
                Ok(limit) => {
                    Ok((self.attempt(None, Some(held), op, ask, limit).await?, Kept::default()))
                }
                Err(late) => Err(self.refused(op, late)),
            },
            Ok(Entered::Group(group, gates)) => {
                let deadline = gates.as_deref().and_then(|gates| gates.deadline());
                let inside = ambient::current().until(deadline);
                // Its members count what their drivers were asked; it counts what it was asked.
                let record = self.figures.begin(op);
                let answered = ambient::scope(inside, self.walk(&group, op, ask)).await;
                record.end(&answered, self.environment.clock());
                answered
            }
            Err(error) => Err(self.refused(op, error)),
        }
    }

    #[inline]
    async fn guarded<A: Ask<S>>(
        self: &Arc<Self>,
        gates: &Arc<Gates>,
        held: Held<S>,
        op: Op,
        ask: &A,
    ) -> Answered<A::Answer> {
        let spent = || ask.is_spent();
        let call = Call {
            operation: op.name(),
            effect: op.effect(),
            is_retried: op.is_retried(),
            spent: &spent,
        };
        let attempt = |held, limit| self.attempt(Some(gates), held, op, ask, limit);
        match gates.run(call, held, attempt).await {
            Ok(passed) if A::KEEPS_SLOT => {
                let (answer, permit) = gates.keep(passed);
                Ok((answer, Kept { _permit: permit, open: None }))
            }
            Ok(passed) => Ok((passed.value, Kept::default())),
            Err(error) if self.reached_no_driver(&error) => Err(self.refused(op, error)),
            Err(error) => Err(error),
        }
    }

    /// One attempt: with the driver at hand, else with whichever serves at that moment.
    #[inline]
    fn attempt<'a, A: Ask<S>>(
        self: &'a Arc<Self>,
        gates: Option<&'a Arc<Gates>>,
        held: Option<Held<S>>,
        op: Op,
        ask: &'a A,
        limit: Limit,
    ) -> Attempt<'a, S, A> {
        if let Some(held) = held
            && gates.is_none_or(|gates| gates.faults().is_none())
        {
            let label = held.label();
            if let Some(asking) = ask.ask(self, held) {
                let observed = self.observe(op, &label, Limited::new(asking, limit));
                return Attempt::Straight { observed };
            }
        }
        let roundabout = self.attempt_roundabout(gates, op, ask, limit);
        Attempt::Roundabout { boxed: Box::pin(roundabout) }
    }

    /// An attempt after a wait, or with faults: the driver has to be found first.
    async fn attempt_roundabout<A: Ask<S>>(
        self: &Arc<Self>,
        gates: Option<&Arc<Gates>>,
        op: Op,
        ask: &A,
        limit: Limit,
    ) -> Result<A::Answer> {
        let held = self.seated().await?;
        let label = held.label();
        let asking = async {
            let make = || async {
                match ask.ask(self, held) {
                    Some(asking) => asking.await,
                    None => Err(Error::new(ErrorKind::InvalidInput, "the call is used up")),
                }
            };
            match gates.and_then(|gates| gates.faults()) {
                Some(faults) => faults.apply(make).await,
                None => make().await,
            }
        };
        self.observe(op, &label, Limited::new(asking, limit)).await
    }

    /// A call that nothing has to wait for: no gates, and no building.
    fn with<T>(&self, op: Op, ask: &dyn Fn(&S::Driver) -> Result<T>) -> Result<T> {
        let record = self.figures.begin(op);
        let (driver, result) = match self.found() {
            Ok(Some(Entered::Driver(_, held))) => (Some(held.driver_name()), ask(&held)),
            Ok(Some(Entered::Group(group, _))) => (None, self.walk_at_once(&group, op, ask)),
            Ok(None) => (None, Err(not_ready())),
            Err(closed) => (None, Err(closed)),
        };
        record.end(&result, self.environment.clock());
        result.map_err(|error| error.at(|| self.place(driver, op.name())))
    }

    /// The members of a group in turn, none of which may have to wait.
    fn walk_at_once<T>(
        &self,
        group: &Group<S>,
        op: Op,
        ask: &dyn Fn(&S::Driver) -> Result<T>,
    ) -> Result<T> {
        let mut walk = group.walk(op, self.environment.clock());
        let mut next = walk.next();
        while let Some(trial) = next {
            let member = trial.member();
            let error = match trial.call_at_once(|member| member.slot.with(op, ask)) {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if !walk.may_move_on(&error, self.environment.clock()) {
                return Err(walk.ended_by(error));
            }
            next = self.move_on(&mut walk, member, error);
        }
        Err(walk.exhausted().at(|| self.place(None, op.name())))
    }

    /// The members of a group in turn, until one has answered.
    async fn walk<A: Ask<S>>(
        self: &Arc<Self>,
        group: &Group<S>,
        op: Op,
        ask: &A,
    ) -> Answered<A::Answer> {
        let mut walk = group.walk(op, self.environment.clock());
        let mut next = walk.next();
        while let Some(trial) = next {
            let (member, position) = (trial.member(), trial.position());
            // A member may be a group itself; the box ends the recursion of types.
            let error = match Box::pin(trial.call(member.slot.call(op, ask))).await {
                Ok((answer, kept)) if A::KEEPS_SLOT => {
                    return Ok((answer, kept.through(|inner| group.opened(position, inner))));
                }
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if ask.is_spent() || !walk.may_move_on(&error, self.environment.clock()) {
                return Err(walk.ended_by(error));
            }
            next = self.move_on(&mut walk, member, error);
        }
        Err(walk.exhausted().at(|| self.place(None, op.name())))
    }

    /// Every instance that calls of this group may come to, at the same time.
    async fn call_all<A: Ask<S>>(self: &Arc<Self>, op: Op, ask: &A) -> Result<Vec<A::Answer>> {
        let inside = ambient::current().until(self.deadline());
        let record = self.figures.begin(op);
        let leaves = self.leaves();
        let asked = join_all(leaves.iter().map(|leaf| Box::pin(leaf.call(op, ask))));
        let answered = ambient::scope(inside, Box::pin(asked)).await;
        let all = all_of(answered, op).map_err(|error| error.at(|| self.place(None, op.name())));
        record.end(&all, self.environment.clock());
        all
    }

    /// The member to try after `from` has failed; `None` when there is none left.
    #[cold]
    fn move_on<'g>(
        &self,
        walk: &mut Walk<'g, S>,
        from: &Line<S>,
        error: Error,
    ) -> Option<Trial<'g, S>> {
        let next = walk.next();
        if let Some(to) = &next {
            self.tell_failover(from, to.member(), &error);
        }
        walk.failed(error);
        next
    }

    fn tell_failover(&self, from: &Line<S>, to: &Line<S>, error: &Error) {
        self.environment.events().emit(|| Event::FailedOver {
            source: Source::new(S::NAME, self.name.shared()),
            from: from.slot.name.shared(),
            to: to.slot.name.shared(),
            error: error.clone(),
        });
    }

    /// Whether no driver of this instance has placed the error, and so none has been counted for it.
    fn reached_no_driver(&self, error: &Error) -> bool {
        error.place().is_none_or(|place| {
            place.driver.is_none()
                && place.subsystem == S::NAME
                && *place.instance == *self.name.as_str()
        })
    }

    /// Counts and places an error of a call that reached no driver.
    #[cold]
    fn refused(&self, op: Op, error: Error) -> Error {
        self.figures.refused(op, &error);
        error.at(|| self.place(None, op.name()))
    }

    /// What a driver was asked: counted, traced, and placed if it fails.
    #[inline]
    pub(super) fn observe<T, F>(&self, op: Op, label: &Label, asked: F) -> Observed<'_, S, F>
    where
        F: Future<Output = Result<T>>,
    {
        Observed {
            asked,
            slot: self,
            op,
            driver: label.driver,
            span: self.span(op, label),
            record: Some(self.figures.begin(op)),
        }
    }

    #[inline]
    fn finish<T>(&self, op: Op, driver: &'static str, span: &Span, result: Result<T>) -> Result<T> {
        match result {
            Ok(answer) => {
                span.record("outcome", "ok");
                Ok(answer)
            }
            Err(error) => {
                span.record("outcome", error.kind().as_str());
                Err(error.at(|| self.place(Some(driver), op.name())))
            }
        }
    }

    #[inline]
    fn span(&self, op: Op, label: &Label) -> Span {
        tracing::debug_span!(
            target: "switchboard",
            "call",
            subsystem = S::NAME,
            instance = self.name.as_str(),
            driver = label.driver,
            operation = op.name(),
            generation = label.generation,
            outcome = field::Empty,
        )
    }
}

/// All answers, or all errors in one.
fn all_of<T>(answered: Vec<Answered<T>>, op: Op) -> Result<Vec<T>> {
    let (mut answers, mut errors) = (Vec::new(), Vec::new());
    for answered in answered {
        match answered {
            Ok((answer, _)) => answers.push(answer),
            Err(error) => errors.push(error),
        }
    }
    let error = match errors.len() {
        0 => return Ok(answers),
        1 => errors.remove(0),
        _ => Error::joined("several members of the group failed", errors),
    };
    // Who failed may have changed nothing, but the others have.
    let others_did = !answers.is_empty() && op.effect() != Effect::Read;
    Err(if others_did { error.in_doubt() } else { error })
}

fn not_ready() -> Error {
    Error::new(ErrorKind::Unavailable, "the instance is not ready").not_applied()
}

pin_project! {
    /// A driver at work on a call.
    pub(super) struct Observed<'s, S: Subsystem, F> {
        #[pin]
        asked: F,
        slot: &'s Slot<S>,
        op: Op,
        driver: &'static str,
        span: Span,
        record: Option<Record<'s>>,
    }
}

impl<S: Subsystem, T, F: Future<Output = Result<T>>> Future for Observed<'_, S, F> {
    type Output = Result<T>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let this = self.project();
        let entered = this.span.enter();
        let poll = this.asked.poll(context);
        drop(entered);
        let clock = this.slot.environment.clock();
        match poll {
            Poll::Pending => {
                if let Some(record) = this.record {
                    record.waits(clock);
                }
                Poll::Pending
            }
            Poll::Ready(result) => {
                if let Some(record) = this.record.take() {
                    record.end(&result, clock);
                }
                Poll::Ready(this.slot.finish(*this.op, this.driver, this.span, result))
            }
        }
    }
}

pin_project! {
    /// One attempt: straight to the driver at hand, or boxed where more has to be done.
    #[project = AttemptProjection]
    enum Attempt<'a, S: Subsystem, A: Ask<S>> {
        Straight {
            #[pin]
            observed: Observed<'a, S, Limited<A::Asking>>,
        },
        Roundabout {
            boxed: Pin<Box<dyn Future<Output = Result<A::Answer>> + Send + 'a>>,
        },
    }
}

impl<S: Subsystem, A: Ask<S>> Future for Attempt<'_, S, A> {
    type Output = Result<A::Answer>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            AttemptProjection::Straight { observed } => observed.poll(context),
            AttemptProjection::Roundabout { boxed } => boxed.as_mut().poll(context),
        }
    }
}

/// Who serves a call, for its span and its error, after the driver itself has been handed on.
pub(super) struct Label {
    driver: &'static str,
    generation: u64,
}

impl<S: Subsystem> Held<S> {
    #[inline]
    pub(super) fn label(&self) -> Label {
        Label { driver: self.driver_name(), generation: self.generation() }
    }
}
