//! One call, from the handle to the driver and back.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;

use tracing::{Span, field};

use super::group::may_move_on;
use super::seat::Held;
use super::slot::{Entered, Slot, Standing};
use super::{Group, Line};
use crate::ambient;
use crate::gates::{Call, Limit};
use crate::sync::Mutex;
use crate::{Error, ErrorKind, Event, Gates, Op, OwnedPermit, Result, Source, Subsystem};

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
        if ambient::current().deadline.is_none()
            && let Some(seat) = self.slot.ungated()
        {
            let held = Held(seat);
            let label = Label::of(&held);
            return self.slot.observe(op, label, pin!(ask(held))).await;
        }
        Ok(self.slot.call(op, &Repeatable(ask)).await?.0)
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

    /// Asks the driver something that it answers without waiting.
    ///
    /// Passes no gate that would have to wait. An instance that is not built yet answers
    /// `Unavailable`, because building it would take time.
    pub fn with<T>(&self, op: Op, ask: impl FnOnce(&S::Driver) -> Result<T>) -> Result<T> {
        let record = self.slot.figures.begin(op);
        let (driver, result) = match self.slot.seat().map(Held) {
            Some(held) => (Some(held.driver_name()), ask(&held)),
            None => (None, Err(not_ready())),
        };
        record.end(&result, self.slot.environment.clock());
        result.map_err(|error| error.at(|| self.slot.place(driver, op.name())))
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

/// The answer of a call, and its slot in the bulkhead where it keeps that.
type Answered<T> = Result<(T, Option<OwnedPermit>)>;

impl<S: Subsystem> Slot<S> {
    /// A call through gates and groups, which builds the instance first if need be.
    pub(super) async fn call<A: Ask<S>>(self: &Arc<Self>, op: Op, ask: &A) -> Answered<A::Answer> {
        if self.standing() == Standing::Serving {
            return self.pass(op, ask).await;
        }
        // The deadline of the call starts here, because building is part of what the caller waits for.
        let inside = ambient::current().until(self.deadline());
        ambient::scope(inside, pin!(self.pass(op, ask))).await
    }

    async fn pass<A: Ask<S>>(self: &Arc<Self>, op: Op, ask: &A) -> Answered<A::Answer> {
        match self.entered().await {
            Ok(Entered::Driver(Some(gates))) => self.guarded(&gates, op, ask).await,
            Ok(Entered::Driver(None)) => {
                let limit = Limit::inherited();
                Ok((self.attempt(None, op, ask, limit).await?, None))
            }
            Ok(Entered::Group(group, gates)) => {
                let deadline = gates.as_deref().and_then(|gates| gates.deadline());
                let inside = ambient::current().until(deadline);
                ambient::scope(inside, pin!(self.walk(&group, op, ask))).await
            }
            Err(error) => Err(self.refused(op, error)),
        }
    }

    #[inline]
    async fn guarded<A: Ask<S>>(
        self: &Arc<Self>,
        gates: &Arc<Gates>,
        op: Op,
        ask: &A,
    ) -> Answered<A::Answer> {
        let spent = || ask.is_spent();
        let call = Call { operation: op.name(), effect: op.effect(), spent: &spent };
        let attempt = |limit| self.attempt(Some(gates), op, ask, limit);
        match gates.run(call, attempt).await {
            Ok(passed) if A::KEEPS_SLOT => Ok(gates.keep(passed)),
            Ok(passed) => Ok((passed.value, None)),
            Err(error) if error.place().is_none() => Err(self.refused(op, error)),
            Err(error) => Err(error),
        }
    }

    /// One attempt: with whichever driver serves at that moment.
    #[inline]
    async fn attempt<A: Ask<S>>(
        self: &Arc<Self>,
        gates: Option<&Arc<Gates>>,
        op: Op,
        ask: &A,
        limit: Limit,
    ) -> Result<A::Answer> {
        let held = match self.seat() {
            Some(seat) => Held(seat),
            None => self.seated().await?,
        };
        let label = Label::of(&held);
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
        self.observe(op, label, pin!(limit.enforce(pin!(asking)))).await
    }

    /// The members of a group in turn, until one has answered.
    async fn walk<A: Ask<S>>(&self, group: &Group<S>, op: Op, ask: &A) -> Answered<A::Answer> {
        let mut walk = group.walk();
        let mut next = walk.next();
        while let Some(member) = next {
            // A member may be a group itself; the box ends the recursion of types.
            let error = match Box::pin(member.slot.call(op, ask)).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if ask.is_spent() || !may_move_on(&error, op.effect()) {
                return Err(walk.ended_by(error));
            }
            next = walk.next();
            if let Some(next) = next {
                self.tell_failover(member, next, &error);
            }
            walk.failed(error);
        }
        Err(walk.exhausted().at(|| self.place(None, op.name())))
    }

    #[cold]
    fn tell_failover(&self, from: &Line<S>, to: &Line<S>, error: &Error) {
        self.environment.events().emit(|| Event::FailedOver {
            source: Source::new(S::NAME, self.name.shared()),
            from: from.slot.name.shared(),
            to: to.slot.name.shared(),
            error: error.clone(),
        });
    }

    /// Counts and places an error of a call that reached no driver.
    #[cold]
    fn refused(&self, op: Op, error: Error) -> Error {
        self.figures.refused(op, &error);
        error.at(|| self.place(None, op.name()))
    }

    /// What a driver was asked: counted, traced, and placed if it fails.
    #[inline]
    pub(super) async fn observe<T>(
        &self,
        op: Op,
        label: Label,
        asked: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let clock = self.environment.clock();
        let span = self.span(op, label);
        let mut record = self.figures.begin(op);
        let mut asked = pin!(asked);
        let result = poll_fn(|context| {
            let _entered = span.enter();
            let poll = asked.as_mut().poll(context);
            if poll.is_pending() {
                record.waits(clock);
            }
            poll
        })
        .await;
        record.end(&result, clock);
        self.finish(op, label.driver, &span, result)
    }

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

    fn span(&self, op: Op, label: Label) -> Span {
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

fn not_ready() -> Error {
    Error::new(ErrorKind::Unavailable, "the instance is not ready").not_applied()
}

/// Who serves a call, for its span and its error, after the driver itself has been handed on.
#[derive(Clone, Copy)]
pub(super) struct Label {
    driver: &'static str,
    generation: u64,
}

impl Label {
    #[inline]
    pub(super) fn of<S: Subsystem>(held: &Held<S>) -> Self {
        Self { driver: held.driver_name(), generation: held.generation() }
    }
}
