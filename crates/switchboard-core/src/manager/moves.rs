//! Which instances come and which go with a change, and the order in which those that go leave.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::initialise::Beginning;
use super::{Committed, Manager, closed};
use crate::creations::SlotId;
use crate::line::{Line, Slot, Withdrawn};
use crate::reaper::Job;
use crate::{Name, Result, Subsystem};

/// Which slots come and which go.
pub(super) struct Moves<S: Subsystem> {
    pub(super) added: BTreeMap<Name, Arc<Slot<S>>>,
    /// In the order of the change.
    order: Vec<Name>,
    /// By the number of the slot that goes.
    replaced: BTreeMap<SlotId, Replaced<S>>,
    pub(super) removed: Vec<Arc<Slot<S>>>,
}

/// The slot that goes, and what comes in its place.
type Replaced<S> = (Arc<Slot<S>>, Arc<Slot<S>>);

impl<S: Subsystem> Default for Moves<S> {
    fn default() -> Self {
        Self {
            added: BTreeMap::new(),
            order: Vec::new(),
            replaced: BTreeMap::new(),
            removed: Vec::new(),
        }
    }
}

impl<S: Subsystem> Moves<S> {
    /// `slot` is there after the change, in the place of `before`.
    pub(super) fn come(
        &mut self,
        slot: Arc<Slot<S>>,
        before: Option<Arc<Slot<S>>>,
        done: &mut Committed,
    ) {
        let name = slot.name.to_string();
        if let Some(before) = before {
            done.swapped.push(name);
            self.replaced.insert(before.id, (before, slot.clone()));
        } else {
            done.added.push(name);
            self.order.push(slot.name.clone());
        }
        self.added.insert(slot.name.clone(), slot);
    }

    /// Those that are there no more after the change.
    pub(super) fn going(&self) -> Vec<Arc<Slot<S>>> {
        let replaced = self.replaced.values().map(|(before, _)| before);
        self.removed.iter().chain(replaced).cloned().collect()
    }

    fn gone(&self) -> BTreeSet<SlotId> {
        self.removed.iter().map(|slot| slot.id).chain(self.replaced.keys().copied()).collect()
    }
}

impl<S: Subsystem> Manager<S> {
    /// Everything that comes is there from now on.
    pub(super) fn publish_all(&self, moves: &Moves<S>) -> Result<()> {
        let mut declared = self.0.declared.lock();
        if declared.closed {
            return Err(closed::<S>());
        }
        if moves.added.is_empty() {
            return Ok(());
        }
        for slot in &mut declared.slots {
            if let Some((_, next)) = moves.replaced.get(&slot.id) {
                *slot = next.clone();
            }
        }
        declared.slots.extend(moves.order.iter().filter_map(|name| moves.added.get(name)).cloned());
        let comes = |beginning: &mut Beginning<S>| moves.added.contains_key(&beginning.slot.name);
        let begun: Vec<_> = declared.beginning.extract_if(.., comes).collect();
        for Beginning { slot: before, .. } in &begun {
            if let Some(slot) = moves.added.get(&before.name).filter(|slot| slot.id != before.id) {
                slot.follow(before);
            }
        }
        self.0.slots.store(declared.table());
        drop(declared);
        for Beginning { slot: before, .. } in &begun {
            // A group took its name; who waits to initialise it finds it closed.
            if moves.added.get(&before.name).is_some_and(|slot| slot.id != before.id) {
                drop(before.withdraw());
            }
        }
        drop(begun);
        self.grow_groups_of_all();
        Ok(())
    }

    /// Groups have what came in the place of a member, and no member that goes.
    pub(super) fn move_members(&self, moves: &Moves<S>) {
        let gone = moves.gone();
        if gone.is_empty() {
            return;
        }
        let slots = self.0.declared.lock().slots.clone();
        for slot in slots.iter().filter(|slot| slot.is_group && !gone.contains(&slot.id)) {
            while let Some(group) = slot.group() {
                if !group.members().iter().any(|member| gone.contains(&member.slot.id)) {
                    break;
                }
                let stays = |member: &Line<S>| match moves.replaced.get(&member.slot.id) {
                    // Groups are no members of a group of all instances.
                    Some((_, next)) if group.is_of_all() && next.is_group => None,
                    Some((_, next)) => Some(Line { slot: next.clone() }),
                    None if gone.contains(&member.slot.id) => None,
                    None => Some(member.clone()),
                };
                let mut members: Vec<_> = group.members().iter().filter_map(stays).collect();
                let mut seen = BTreeSet::new();
                members.retain(|member| seen.insert(member.slot.id));
                slot.exchange_grown(&group, Arc::new(group.among_others(members)));
                if slot.group().is_some_and(|now| Arc::ptr_eq(&now, &group)) {
                    // It is closed, and stays as it is.
                    break;
                }
            }
        }
    }

    /// What goes is there no more. One that others were built with, which go as well, serves the
    /// handles that there are of it until the last of those has closed.
    pub(super) fn withdraw_all(&self, moves: &Moves<S>, leaves: &mut Leaves, done: &mut Committed) {
        let gone = moves.gone();
        if gone.is_empty() {
            return;
        }
        let mut going = moves.going();
        // Whoever waits comes after those that it waits for.
        going.sort_by_key(|slot| leaves.waits_for.get(&slot.id).map_or(0, BTreeSet::len));
        for slot in &going {
            done.leaving.extend(leaves.withdraw(slot));
        }
        for (before, next) in moves.replaced.values() {
            next.follow(before);
        }
        let default = self.0.default.load_full();
        if default.is_some_and(|name| moves.removed.iter().any(|slot| slot.name == *name)) {
            self.0.default.store(None);
        }
        let mut declared = self.0.declared.lock();
        declared.slots.retain(|slot| !gone.contains(&slot.id));
        let over: Vec<_> = declared.removed.extract_if(.., |slot| !slot.is_leaving()).collect();
        declared.removed.extend(going);
        self.0.slots.store(declared.table());
        drop(declared);
        drop(over);
    }
}

/// The drivers that go, and which of them have to go first.
pub(super) struct Leaves {
    /// Who goes → those that were built with its help and leave a driver behind as well.
    waits_for: BTreeMap<SlotId, BTreeSet<SlotId>>,
    /// Those whose driver is out already, by an exchange.
    out: BTreeSet<SlotId>,
    /// What each leaves behind.
    jobs: BTreeMap<SlotId, Vec<Job>>,
    limit: Duration,
}

impl Leaves {
    /// Of a change after which those `going` are there no more, and those `swapped` have another
    /// driver. To be asked before anything changes.
    pub(super) fn of<S: Subsystem>(going: &[Arc<Slot<S>>], swapped: &[Arc<Slot<S>>]) -> Self {
        let created: BTreeMap<_, _> =
            going.iter().map(|slot| (slot.id, slot.created_as())).collect();
        let mut waits_for = BTreeMap::<SlotId, BTreeSet<SlotId>>::new();
        let all = going.iter().chain(swapped);
        for user in all.clone().filter(|_| !going.is_empty()) {
            let creations = user.environment.creations();
            for needed in creations.needs(user.id).into_iter().filter(|id| created.contains_key(id))
            {
                // Look-ups after creation can make a circle; then the order of creation decides.
                let is_circle = creations.depends_on(needed, user.id);
                let is_later = created.get(&user.id).is_none_or(|at| *at > created[&needed]);
                if needed != user.id && (!is_circle || is_later) {
                    waits_for.entry(needed).or_default().insert(user.id);
                }
            }
        }
        let limit =
            all.map(|slot| slot.leaving_limit()).fold(Duration::ZERO, Duration::saturating_add);
        Self { waits_for, out: BTreeSet::new(), jobs: BTreeMap::new(), limit }
    }

    /// The driver of the instance of that number is out already.
    pub(super) fn is_out(&mut self, slot: SlotId) {
        self.out.insert(slot);
    }

    /// The old driver of an instance that stays.
    pub(super) fn add(&mut self, slot: SlotId, job: Option<Job>) {
        self.jobs.entry(slot).or_default().extend(job);
    }

    /// What the instance of that number leaves behind.
    pub(super) fn jobs_of(&self, slot: SlotId) -> &[Job] {
        self.jobs.get(&slot).map_or(&[], Vec::as_slice)
    }

    /// How long all of it takes at the longest.
    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    /// The answer ends when the driver has been closed.
    fn withdraw<S: Subsystem>(&mut self, slot: &Arc<Slot<S>>) -> Vec<Job> {
        let users = self.waits_for.get(&slot.id).into_iter().flatten();
        let first: Vec<_> = users.flat_map(|user| self.jobs_of(*user)).cloned().collect();
        let closing = if first.is_empty() || self.out.contains(&slot.id) {
            let Withdrawn { closing, landing } = slot.withdraw();
            self.jobs.entry(slot.id).or_default().extend(landing);
            closing
        } else {
            vec![slot.withdraw_after(first, self.limit)]
        };
        self.jobs.entry(slot.id).or_default().extend(closing.iter().cloned());
        closing
    }
}
