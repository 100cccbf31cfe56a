//! What one instance does in a change of many: another driver or none yet, other gates, its end.
//!
//! Each step is one flip that waits for nothing. Which instances take part, and in which order, is
//! the affair of the manager; all of it is asked by whoever has the turn of the instance.

use std::any::TypeId;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::build::{Built, Probe};
use super::slot::{Base, Limits, Plan, Recipe, Slot, Writing};
use crate::environment::CLEANUP_LIMIT;
use crate::flight::Boarding;
use crate::reaper::Job;
use crate::{Event, Policy, Result, Source, Subsystem};

/// What there is for a plan to be put in force with.
pub(crate) enum Ready<S: Subsystem> {
    /// A driver that was built by it.
    Built(Built<S>),
    /// Nothing: the next call builds by it.
    Nothing,
    /// It serves already, by an exchange.
    Exchanged,
}

/// An instance has another plan in force.
pub(crate) struct Placed {
    /// The number of the generation that serves, or served last.
    pub(crate) generation: u64,
    /// The closing of the driver that served before.
    pub(crate) old: Option<Job>,
}

/// What an instance that was withdrawn leaves behind.
pub(crate) struct Withdrawn {
    /// The closing of each driver.
    pub(crate) closing: Vec<Job>,
    /// The end of what was being built.
    pub(crate) landing: Option<Job>,
}

/// An instance whose driver is out. Calls wait until this is dropped; if nothing serves by then, the
/// next one builds.
pub(crate) struct Out<S: Subsystem> {
    slot: Arc<Slot<S>>,
    closing: Option<Job>,
}

impl<S: Subsystem> Slot<S> {
    /// Builds, initialises and probes a driver that may serve later. Nobody sees it.
    pub(crate) async fn build_ahead(&self, plan: &Plan<S>) -> Result<Built<S>> {
        self.environment.reaper().remember_runtime();
        self.create_apart(plan, Probe::Yes).await
    }

    /// The plan as it is put in force here: what drivers are wrapped in stays.
    pub(crate) fn with_own_wrap(&self, plan: Plan<S>) -> Plan<S> {
        Plan { wrap: plan.wrap.or_else(|| self.wrap()), ..plan }
    }

    /// How the driver of this instance is made, with the gates in force.
    pub(crate) fn own_plan(&self) -> Option<Plan<S>> {
        self.plan()
    }

    /// Whether a driver of its own serves, or would if no override did.
    pub(crate) fn has_driver(&self) -> bool {
        matches!(self.writing.lock().base, Base::Serving(_))
    }

    /// The type of the drivers that are made here, if two of them cannot live at once.
    ///
    /// A ready-made driver is none of them, because it could not be opened again.
    pub(crate) fn exclusive_type(&self) -> Option<TypeId> {
        match &self.writing.lock().recipe {
            Recipe::Driver { driver, .. } => driver.is_exclusive().then(|| driver.driver_type()),
            Recipe::ReadyMade { .. } | Recipe::Group(_) => None,
        }
    }

    /// Takes out the driver, if one serves or is being built; calls wait until the answer is dropped,
    /// unless something serves by then.
    pub(crate) async fn take_out(self: &Arc<Self>) -> Result<Out<S>> {
        let _no_creation = self.flight.lead().await;
        let closing = self.begin_change()?;
        Ok(Out { slot: self.clone(), closing })
    }

    /// Opens the driver of `plan` where the one before is out; the gates stay for now.
    pub(crate) async fn open_where_out(
        &self,
        plan: Plan<S>,
        probe: Probe,
        is_swap: bool,
    ) -> Result<()> {
        let plan = Plan { policy: None, ..plan };
        let built = self.create_apart(&plan, probe).await?;
        if is_swap {
            self.serve_swapped(built, plan).await.map(drop)
        } else {
            self.serve_planned(built, plan).await.map(drop)
        }
    }

    /// Has the plan in force from before an exchange, while it is out; the gates are those in force
    /// anyway.
    pub(crate) fn put_back(&self, plan: Plan<S>) {
        let Plan { driver, settings, limits, wrap, .. } = plan;
        let recipe_before = {
            let mut writing = self.writing.lock();
            if self.refuse_closed(&writing).is_err() {
                return;
            }
            writing.limits = limits;
            writing.recipe_number += 1;
            std::mem::replace(&mut writing.recipe, Recipe::Driver { driver, settings, wrap })
        };
        // Its wrap is the application's, and is let go of outside of the lock.
        drop(recipe_before);
    }

    /// How long closing what serves and opening the driver of `plan` takes at the longest.
    pub(crate) fn exchange_limit(&self, plan: &Plan<S>) -> Duration {
        self.limit_of_exchange(plan)
    }

    /// The flip: all that the plan says is in force from now on. If the instance is closed, so is
    /// what was built.
    pub(crate) fn put(&self, plan: Plan<S>, ready: Ready<S>) -> Result<Placed> {
        let Plan { driver, settings, limits, policy, wrap, .. } = plan;
        let label = driver.label();
        let recipe = Recipe::Driver { driver, settings, wrap };
        let recipe_before;
        let was_serving = self.has_driver();
        let placed = {
            let mut writing = self.writing.lock();
            let gates = self.gates_after_swap(&writing, policy)?;
            let limits_before = std::mem::replace(&mut writing.limits, limits);
            recipe_before = std::mem::replace(&mut writing.recipe, recipe);
            writing.recipe_number += 1;
            writing.put_gates(gates);
            let old = match ready {
                Ready::Built(built) => {
                    self.environment.creations().settle(self.id);
                    writing.serve(built, label)
                }
                Ready::Nothing => writing.vacate(),
                Ready::Exchanged => None,
            };
            let old = old.map(|old| self.retire_in_background(old, limits_before));
            self.publish(&writing);
            if let Some(gates) = writing.gates.as_ref().filter(|_| old.is_some()) {
                gates.swapped();
            }
            Placed { generation: writing.generation, old }
        };
        // Its wrap is the application's, and is let go of outside of the lock.
        drop(recipe_before);
        self.tell_placed(&placed, label, was_serving);
        Ok(placed)
    }

    /// Puts other gates and limits in force; the driver stays.
    pub(crate) fn put_limits(&self, policy: Policy, limits: Limits) -> Result<u64> {
        let mut writing = self.writing.lock();
        self.refuse_closed(&writing)?;
        let gates = self.next_gates(&writing, policy, writing.faults.clone())?;
        writing.limits = limits;
        writing.put_gates(gates);
        self.publish(&writing);
        Ok(writing.generation)
    }

    /// Lets no call in any more; what serves is drained and closed in the background.
    pub(crate) fn withdraw(&self) -> Withdrawn {
        let (closing, _wrap) = {
            let mut writing = self.writing.lock();
            let limits = writing.limits;
            let overrides = std::mem::take(&mut writing.overrides);
            let mut retiring: Vec<_> =
                overrides.into_iter().map(|(_, serving)| writing.retire(serving)).collect();
            retiring.extend(writing.replace_base(Base::Closed));
            if let Recipe::Group(group) = &writing.recipe {
                group.learn_no_more();
            }
            self.publish(&writing);
            let retire = |retiring| self.retire_in_background(retiring, limits);
            (retiring.into_iter().map(retire).collect(), writing.take_wrap())
        };
        self.flight.overtake();
        Withdrawn { closing, landing: self.landing() }
    }

    /// [Withdraws](Self::withdraw) it once all of `first` have ended. The answer ends when its driver
    /// has closed; whoever takes the name over, and whoever closes the manager, waits for that.
    pub(crate) fn withdraw_after(self: &Arc<Self>, first: Vec<Job>, limit: Duration) -> Job {
        let slot = self.clone();
        let job = self.environment.reaper().submit("withdraw an instance", limit, async move {
            join_all(first.into_iter().map(Job::ended)).await;
            let Withdrawn { closing, landing } = slot.withdraw();
            let closed = join_all(closing.into_iter().map(Job::ended)).await;
            join_all(landing.map(Job::ended)).await;
            closed.into_iter().collect()
        });
        self.leaving.wait_for(job.clone());
        job
    }

    /// No driver that cannot live twice is built here before `job` has ended.
    pub(crate) fn builds_after(&self, job: Job) {
        self.leaving.wait_for(job);
    }

    /// How long draining and closing what serves takes at the longest, with what is being built.
    pub(crate) fn leaving_limit(&self) -> Duration {
        let Limits { build, drain, close } = self.limits();
        let building = build.saturating_add(CLEANUP_LIMIT);
        building.saturating_add(drain).saturating_add(close).saturating_add(Duration::from_secs(1))
    }

    /// The end of what is being built, if something is: it is on its way out, though it comes to
    /// nothing.
    fn landing(&self) -> Option<Job> {
        if matches!(self.flight.board(), Boarding::Lead(_)) {
            return None;
        }
        let flight = self.flight.clone();
        let limit = self.limits().build.saturating_add(CLEANUP_LIMIT);
        let job = self.environment.reaper().submit("land a building", limit, async move {
            drop(flight.lead().await);
            Ok(())
        });
        self.leaving.wait_for(job.clone());
        Some(job)
    }

    fn tell_placed(&self, placed: &Placed, driver: &'static str, was_serving: bool) {
        let serves = self.has_driver();
        if serves {
            self.flight.overtake();
        }
        if serves && was_serving && placed.old.is_some() {
            self.environment.events().emit(|| Event::Swapped {
                source: Source::new(S::NAME, self.name.shared()),
                driver: driver.into(),
                generation: placed.generation,
            });
        }
    }
}

impl<S: Subsystem> Out<S> {
    /// Whether there was a driver to take out.
    pub(crate) fn had_driver(&self) -> bool {
        self.closing.is_some()
    }

    /// Takes out what was opened meanwhile.
    pub(crate) fn empty(&mut self) -> Result<()> {
        self.closing = self.slot.begin_change()?;
        Ok(())
    }

    /// The closing of the driver that was taken out.
    pub(crate) fn closing(&self) -> Option<Job> {
        self.closing.clone()
    }
}

impl<S: Subsystem> Drop for Out<S> {
    fn drop(&mut self) {
        self.slot.resume();
    }
}

impl<S: Subsystem> Writing<S> {
    /// Takes out what serves, so that the next call builds; what is being exchanged goes on.
    fn vacate(&mut self) -> Option<super::seat::Retiring<S>> {
        match self.base {
            Base::Serving(_) => self.replace_base(Base::Vacant),
            _ => None,
        }
    }
}
