//! What one instance does in a change of many: another driver or none yet, other gates, its end.
//!
//! Each step is one flip that waits for nothing. Which instances take part, and in which order, is
//! the affair of the manager; all of it is asked by whoever has the turn of the instance.

use std::time::Duration;

use super::build::{Built, Probe};
use super::slot::{Base, Limits, Plan, Recipe, Slot, Writing};
use crate::reaper::Job;
use crate::registry::Registered;
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

    /// Whether the driver that serves has to be closed before one of `next` is opened.
    pub(crate) fn excludes(&self, next: &Registered<S>) -> bool {
        self.has_driver() && self.must_close_first(next)
    }

    /// Closes the driver that serves and opens the one of `plan`; the gates stay for now.
    pub(crate) async fn exchange_driver(&self, plan: Plan<S>) -> Result<()> {
        let (_, closed) = self.close_and_open(Plan { policy: None, ..plan }).await?;
        // That the old one did not close well does not undo that the new one serves.
        drop(closed);
        Ok(())
    }

    /// How long [`exchange_driver`](Self::exchange_driver) takes at the longest.
    pub(crate) fn exchange_limit(&self, plan: &Plan<S>) -> Duration {
        self.limit_of_exchange(plan)
    }

    /// The flip: all that the plan says is in force from now on. If the instance is closed, so is
    /// what was built.
    pub(crate) fn put(&self, plan: Plan<S>, ready: Ready<S>) -> Result<Placed> {
        let Plan { driver, settings, limits, policy, wrap } = plan;
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

    /// Serves from a driver that was built by the recipe in force, unless something does already.
    pub(crate) fn put_first(&self, built: Built<S>) -> u64 {
        let mut built = Some(built);
        let generation = {
            let mut writing = self.writing.lock();
            if let (Base::Vacant, Recipe::Driver { driver, .. }) = (&writing.base, &writing.recipe)
                && let label = driver.label()
                && let Some(built) = built.take()
            {
                writing.serve(built, label);
                self.environment.creations().settle(self.id);
                self.publish(&writing);
            }
            writing.generation
        };
        self.flight.overtake();
        generation
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
    pub(crate) fn withdraw(&self) -> Vec<Job> {
        let (jobs, _wrap) = {
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
        jobs
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

impl<S: Subsystem> Writing<S> {
    /// Takes out what serves, so that the next call builds; what is being exchanged goes on.
    fn vacate(&mut self) -> Option<super::seat::Retiring<S>> {
        match self.base {
            Base::Serving(_) => self.replace_base(Base::Vacant),
            _ => None,
        }
    }
}
