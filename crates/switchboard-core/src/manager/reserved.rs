//! The names and the turns of a change: who comes later finds them taken.

use std::collections::BTreeMap;
use std::panic::Location;
use std::sync::Arc;

use super::draft::{Draft, Step, What};
use super::initialise::Beginning;
use super::{Manager, closed};
use crate::creations::SlotId;
use crate::line::{Limits, Recipe, Slot, Turn};
use crate::{Name, Result, Subsystem};

/// The names of instances that will come. Whoever initialises one of them meanwhile waits, and
/// whoever declares one is refused.
pub(super) struct Reserved<S: Subsystem> {
    pub(super) manager: Manager<S>,
    slots: BTreeMap<Name, Arc<Slot<S>>>,
}

impl<S: Subsystem> Reserved<S> {
    pub(super) fn of(
        manager: &Manager<S>,
        draft: &Draft<S>,
        place: &'static Location<'static>,
    ) -> Result<Self> {
        let mut declared = manager.0.declared.lock();
        if declared.closed {
            return Err(closed::<S>());
        }
        let mut known: BTreeMap<_, _> = declared
            .beginning
            .iter()
            .enumerate()
            .map(|(position, beginning)| (beginning.slot.name.clone(), position))
            .collect();
        let mut slots = BTreeMap::new();
        for step in draft.steps.iter().filter(|step| step.is_new() && step.there.is_none()) {
            let position = known.remove(&step.name).unwrap_or_else(|| {
                let slot = slot_of(step, manager, place);
                declared.follow_removed(&slot);
                declared.beginning.push(Beginning { slot, callers: 0 });
                declared.beginning.len() - 1
            });
            let beginning = &mut declared.beginning[position];
            beginning.callers += 1;
            slots.insert(step.name.clone(), beginning.slot.clone());
        }
        drop(declared);
        Ok(Self { manager: manager.clone(), slots })
    }

    /// Where a step happens: the instance there is, or the one that comes; `None` for a new group.
    pub(super) fn slot(
        &self,
        step: &Step<S>,
        place: &'static Location<'static>,
    ) -> Option<Arc<Slot<S>>> {
        match (&step.what, step.kept()) {
            (_, Some(slot)) => Some(slot.clone()),
            (What::Driver(_), None) => {
                let reserved = self.slots.get(&step.name).cloned();
                Some(reserved.unwrap_or_else(|| slot_of(step, &self.manager, place)))
            }
            _ => None,
        }
    }
}

impl<S: Subsystem> Drop for Reserved<S> {
    fn drop(&mut self) {
        if self.slots.is_empty() {
            return;
        }
        let mut declared = self.manager.0.declared.lock();
        for beginning in &mut declared.beginning {
            let slot = self.slots.get(&beginning.slot.name);
            if slot.is_some_and(|slot| slot.id == beginning.slot.id) {
                beginning.callers -= 1;
            }
        }
        let over = declared.take_over();
        drop(declared);
        drop(over);
    }
}

/// A slot that holds a name, and becomes the instance if that has a driver.
fn slot_of<S: Subsystem>(
    step: &Step<S>,
    manager: &Manager<S>,
    place: &'static Location<'static>,
) -> Arc<Slot<S>> {
    let recipe = match &step.what {
        What::Driver(plan) => Recipe::Driver {
            driver: plan.driver.clone(),
            settings: plan.settings.clone(),
            wrap: None,
        },
        // Only holds the name of a group.
        _ => Recipe::ReadyMade { driver_type: std::any::TypeId::of::<()>() },
    };
    let name = step.name.clone();
    Arc::new(Slot::new(name, recipe, Limits::default(), &manager.0.environment, place))
}

/// The turns of all that take part, in the order of their numbers: two who want the same ones
/// cannot wait for each other.
pub(super) async fn turns_of<S: Subsystem>(
    draft: &Draft<S>,
    reserved: &Reserved<S>,
) -> Result<Vec<Turn>> {
    let there = draft.steps.iter().filter_map(|step| step.there.as_ref());
    let slots: BTreeMap<SlotId, &Arc<Slot<S>>> =
        there.chain(reserved.slots.values()).map(|slot| (slot.id, slot)).collect();
    let mut turns = Vec::with_capacity(slots.len());
    for slot in slots.values() {
        // A creation that changes what it waits for would wait for ever.
        let _waiting = slot.awaited()?;
        turns.push(slot.turn().await.ok_or_else(|| slot.initialised_late())?);
    }
    Ok(turns)
}
