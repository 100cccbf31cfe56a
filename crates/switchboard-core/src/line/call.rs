//! One call, from the handle to the driver and back.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;

use tracing::{Span, field};

use super::group::may_move_on;
use super::seat::Held;
use super::slot::{Entered, Slot};
use super::{Group, Line};
use crate::ambient;
use crate::sync::Mutex;
use crate::{Error, ErrorKind, Op, Result, Subsystem};

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
            && let Some(seat) = self.slot.seat()
        {
            let held = Held(seat);
            let label = Label::of(&held);
            return self.slot.observe(op, label, ask(held)).await;
        }
        self.slot.call(op, &|_slot: &_, held| Some(ask(held))).await
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
        let ask = Mutex::new(Some(ask));
        self.slot.call(op, &|_slot: &_, held| ask.lock().take().map(|ask| ask(held))).await
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

impl<S: Subsystem> Slot<S> {
    /// A call through gates and groups. `ask` answers `None` once its body is used up.
    pub(super) async fn call<T, F, Fut>(self: &Arc<Self>, op: Op, ask: &F) -> Result<T>
    where
        F: Fn(&Arc<Self>, Held<S>) -> Option<Fut> + Send + Sync,
        Fut: Future<Output = Result<T>> + Send,
        T: Send,
    {
        match self.entered().await {
            Ok(Entered::Driver(held)) => self.guarded(op, held, ask).await,
            Ok(Entered::Group(group)) => self.walk(&group, op, ask).await,
            Err(error) => {
                self.figures.refused(op, &error);
                Err(error.at(|| self.place(None, op.name())))
            }
        }
    }

    async fn guarded<T, F, Fut>(self: &Arc<Self>, op: Op, held: Held<S>, ask: &F) -> Result<T>
    where
        F: Fn(&Arc<Self>, Held<S>) -> Option<Fut> + Send + Sync,
        Fut: Future<Output = Result<T>> + Send,
        T: Send,
    {
        let label = Label::of(&held);
        match ask(self, held) {
            Some(asked) => self.observe(op, label, asked).await,
            None => Err(Error::new(ErrorKind::Unavailable, "the body of the call is used up")),
        }
    }

    /// The members of a group in turn, until one has answered.
    async fn walk<T, F, Fut>(&self, group: &Group<S>, op: Op, ask: &F) -> Result<T>
    where
        F: Fn(&Arc<Self>, Held<S>) -> Option<Fut> + Send + Sync,
        Fut: Future<Output = Result<T>> + Send,
        T: Send,
    {
        let mut walk = group.walk();
        while let Some(member) = walk.next() {
            // A member may be a group itself; the box ends the recursion of types.
            match Box::pin(member.slot.call(op, ask)).await {
                Ok(answer) => return Ok(answer),
                Err(error) if may_move_on(&error, op.effect()) => walk.failed(error),
                Err(error) => return Err(walk.ended_by(error)),
            }
        }
        Err(walk.exhausted().at(|| self.place(None, op.name())))
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

    /// The driver that serves; a group has none of its own.
    pub(super) async fn hold_driver(&self) -> Result<Held<S>> {
        match self.entered().await? {
            Entered::Driver(held) => Ok(held),
            Entered::Group(_) => {
                Err(Error::new(ErrorKind::Unsupported, "a group has no driver of its own")
                    .at(|| self.place(None, "look up")))
            }
        }
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
