//! How an instance gets another driver while calls are running.
//!
//! Build, initialise, probe, flip, drain, close; any failure before the flip leaves the old driver
//! serving. A driver that cannot live twice goes the other way round.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedMutexGuard, oneshot};

use super::build::{Built, Probe, Unbuilt};
use super::seat::at_latest;
use super::slot::{Base, Plan, Recipe, Slot, Wrap, Writing};
use crate::ambient::{self};
use crate::reaper::Job;
use crate::registry::Registered;
use crate::{Error, ErrorKind, Event, Gates, Policy, Result, Source, Subsystem};

/// The right to change an instance; given back when dropped.
pub(crate) type Turn = OwnedMutexGuard<()>;

/// The result of a swap: the new generation serves.
#[derive(Debug)]
#[must_use = "the old driver is closed in the background; `closed` waits for it"]
pub struct Swapped {
    /// The number of the generation that serves now.
    pub generation: u64,
    old: Old,
}

/// What becomes of the driver that served before.
#[derive(Debug)]
pub(super) enum Old {
    Closed(Result<()>),
    Leaving(Job),
}

impl Swapped {
    /// Of what has no old driver to close.
    pub(crate) fn at_once(generation: u64) -> Self {
        Self { generation, old: Old::Closed(Ok(())) }
    }

    /// Ends when the old driver has been drained and closed.
    pub async fn closed(self) -> Result<()> {
        match self.old {
            Old::Closed(result) => result,
            Old::Leaving(job) => job.ended().await,
        }
    }
}

impl<S: Subsystem> Slot<S> {
    /// Builds by the new plan, checks what was built, flips, and retires the old driver.
    ///
    /// Until the flip any failure leaves everything as it was: driver, settings, limits and gates.
    pub(crate) async fn swap(self: &Arc<Self>, plan: Plan<S>) -> Result<Swapped> {
        let turn = self.turn().await.ok_or_else(|| self.swap_late().not_applied())?;
        Box::pin(self.swap_in_turn(turn, plan)).await
    }

    /// The right to change the instance, in the order in which it is asked for; `None` if the
    /// deadline comes first.
    pub(crate) async fn turn(&self) -> Option<Turn> {
        in_time(self.changing.clone().lock_owned()).await
    }

    /// A swap by whoever may change the instance.
    pub(crate) async fn swap_in_turn(
        self: &Arc<Self>,
        turn: Turn,
        plan: Plan<S>,
    ) -> Result<Swapped> {
        self.environment.reaper().remember_runtime();
        // Not before it is this one's turn: the swap before may have brought another wrap.
        let plan = Plan { wrap: plan.wrap.or_else(|| self.wrap()), ..plan };
        self.refuse_other_data(&plan)?;
        if self.must_close_first(&plan.driver) {
            return self.swap_exclusive(turn, plan).await;
        }
        let built = self.create_apart(&plan, Probe::Yes).await?;
        let (generation, old) = self.serve_swapped(built, plan).await?;
        self.flight.overtake();
        let old = old.map_or(Old::Closed(Ok(())), Old::Leaving);
        Ok(Swapped { generation, old })
    }

    /// A driver that cannot live twice: calls wait while the old one is closed and the new one
    /// opened. If that fails the old one is opened again.
    ///
    /// Runs to its end even if the caller goes away, because half-way nothing serves.
    pub(super) async fn swap_exclusive(
        self: &Arc<Self>,
        turn: Turn,
        plan: Plan<S>,
    ) -> Result<Swapped> {
        let limit = self.limit_of_exchange(&plan);
        let slot = self.clone();
        let (tell, told) = oneshot::channel();
        let job = self.environment.reaper().submit("exclusive swap", limit, async move {
            let _turn = turn;
            let exchanged = slot.close_and_open(plan).await?;
            // Nobody listens when the caller has gone.
            drop(tell.send(exchanged));
            Ok(())
        });
        in_time(job.ended()).await.unwrap_or_else(|| {
            Err(self.swap_late().with_hint("the swap goes on; look at what serves later"))
        })?;
        let (generation, closed) = told.await.map_err(|_| self.closed())?;
        Ok(Swapped { generation, old: Old::Closed(closed) })
    }

    /// Closes what serves and opens what `plan` says; if that fails, the old one again. The answer is
    /// the number of the generation that serves, and how the old one closed. To be run to its end,
    /// by whoever has the turn.
    pub(super) async fn close_and_open(&self, plan: Plan<S>) -> Result<(u64, Result<()>)> {
        let _no_creation = self.flight.lead().await;
        let old = self.begin_change()?;
        let _resumed = Resume(self);
        let closed = match old {
            Some(old) => old.ended().await,
            None => Ok(()),
        };
        let swapped = match self.create_apart(&plan, Probe::Yes).await {
            Ok(built) => self.serve_swapped(built, plan).await,
            Err(error) => Err(self.reopen(error).await),
        };
        match swapped {
            Ok((generation, _)) => Ok((generation, closed)),
            Err(error) => Err(error.with_related(closed.err())),
        }
    }

    /// How long closing the old driver and opening the one of `plan` takes at the longest.
    pub(super) fn limit_of_exchange(&self, plan: &Plan<S>) -> Duration {
        let before = self.limits();
        // A creation under way, the new driver, and the old one again.
        let building = before.build.saturating_mul(2).saturating_add(plan.limits.build);
        before.drain.saturating_add(before.close).saturating_add(building)
    }

    pub(super) fn wrap(&self) -> Option<Wrap<S>> {
        match &self.writing.lock().recipe {
            Recipe::Driver { wrap, .. } => wrap.clone(),
            Recipe::ReadyMade { .. } | Recipe::Group(_) => None,
        }
    }

    fn swap_late(&self) -> Error {
        Error::new(ErrorKind::Timeout, "the deadline passed before the swap was done")
            .at(|| self.place(None, "swap"))
    }

    /// After a failed exclusive swap: the old driver again, if it can be had.
    pub(super) async fn reopen(&self, error: Error) -> Error {
        let Some(plan) = self.plan() else { return error };
        let reopened = match self.create_apart(&plan, Probe::No).await {
            Ok(built) => self.serve_swapped(built, plan).await.map(drop),
            Err(error) => Err(error),
        };
        match reopened {
            Ok(()) => error,
            Err(again) => error
                .with_related([again])
                .with_hint("the old driver could not be opened again; the next call tries"),
        }
    }

    /// The flip, told to whoever listens.
    pub(super) async fn serve_swapped(
        &self,
        built: Built<S>,
        plan: Plan<S>,
    ) -> Result<(u64, Option<Job>)> {
        let driver = plan.driver.label();
        let (generation, old) = self.serve_planned(built, plan).await?;
        self.environment.events().emit(|| Event::Swapped {
            source: Source::new(S::NAME, self.name.shared()),
            driver: driver.into(),
            generation,
        });
        Ok((generation, old))
    }

    /// The flip: `built` serves from now on, with all that the plan says. The answer is its number
    /// and the closing of who served before.
    ///
    /// What can fail is done before the flip; then `built` is closed and nothing has changed.
    pub(super) async fn serve_planned(
        &self,
        built: Built<S>,
        plan: Plan<S>,
    ) -> Result<(u64, Option<Job>)> {
        let Plan { driver, settings, limits, policy, wrap, .. } = plan;
        let label = driver.label();
        let recipe = Recipe::Driver { driver, settings, wrap };
        let refused = {
            let mut writing = self.writing.lock();
            match self.gates_after_swap(&writing, policy) {
                Err(error) => error,
                Ok(gates) => {
                    let limits_before = std::mem::replace(&mut writing.limits, limits);
                    let recipe_before = std::mem::replace(&mut writing.recipe, recipe);
                    writing.put_gates(gates);
                    let old = writing.serve(built, label);
                    let old = old.map(|old| self.retire_in_background(old, limits_before));
                    self.environment.creations().settle(self.id);
                    self.publish(&writing);
                    if let Some(gates) = &writing.gates {
                        gates.swapped();
                    }
                    let generation = writing.generation;
                    drop(writing);
                    // Its wrap is the application's, and is let go of outside of the lock.
                    drop(recipe_before);
                    return Ok((generation, old));
                }
            }
        };
        Err(built.discard(refused).await)
    }

    pub(super) fn gates_after_swap(
        &self,
        writing: &Writing<S>,
        policy: Option<Policy>,
    ) -> Result<Option<Arc<Gates>>> {
        self.refuse_closed(writing)?;
        match policy {
            None => Ok(writing.gates.clone()),
            Some(policy) => self.next_gates(writing, policy, writing.faults.clone()),
        }
    }

    /// Takes the driver out so that calls wait; the answer is the closing of it.
    pub(super) fn begin_change(&self) -> Result<Option<Job>> {
        let mut writing = self.writing.lock();
        self.refuse_closed(&writing)?;
        let old = writing.replace_base(Base::Changing);
        self.publish(&writing);
        Ok(old.map(|old| self.retire_in_background(old, writing.limits)))
    }

    /// Lets calls go on that wait because the driver was taken out; the next one builds.
    pub(super) fn resume(&self) {
        let mut writing = self.writing.lock();
        if matches!(writing.base, Base::Changing) {
            writing.replace_base(Base::Vacant);
            self.publish(&writing);
        }
    }

    /// Whether what serves, or is about to be created, and `next` cannot live at the same time.
    ///
    /// Their settings are not compared: which of them name the file or the port only the driver
    /// knows. A ready-made driver is left in its place, because it could not be opened again.
    pub(super) fn must_close_first(&self, next: &Registered<S>) -> bool {
        let writing = self.writing.lock();
        match &writing.recipe {
            Recipe::Driver { driver, .. } => {
                next.is_exclusive() && driver.driver_type() == next.driver_type()
            }
            _ => false,
        }
    }

    /// Creates a driver beside what serves now, as a creation of this instance and within a limit.
    pub(super) async fn create_apart(&self, plan: &Plan<S>, probe: Probe) -> Result<Built<S>> {
        let ambient = ambient::current();
        let building = self.build(plan, probe);
        let building = self.within_build_limit(ambient, plan.limits.build, building);
        let built = match ambient.deadline {
            None => building.await,
            Some(deadline) => at_latest(deadline, building).await.unwrap_or_else(|| {
                let late = Error::new(ErrorKind::Timeout, "the deadline passed before the swap");
                Err(Unbuilt::Failed(late.not_applied()))
            }),
        };
        let at = || self.place(Some(plan.driver.label()), "swap");
        built.map_err(|unbuilt| unbuilt.into_error().at(at))
    }
}

/// Lets calls go on after an exclusive swap, however it ended.
pub(super) struct Resume<'s, S: Subsystem>(&'s Slot<S>);

impl<S: Subsystem> Drop for Resume<'_, S> {
    fn drop(&mut self) {
        self.0.resume();
    }
}

/// The output of `future`, unless the deadline of the caller comes first.
pub(crate) async fn in_time<F: Future>(future: F) -> Option<F::Output> {
    match ambient::current().deadline {
        None => Some(future.await),
        Some(deadline) => at_latest(deadline, future).await,
    }
}
