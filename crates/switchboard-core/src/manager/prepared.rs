//! A change whose drivers are ready: holds everybody's turn, and flips all of it or none.
//!
//! What a flip is for one instance is its line's affair.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::panic::Location;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{Either, join_all, select};
use futures_util::stream;
use tokio::sync::OwnedMutexGuard;

use super::change::DefaultTo;
use super::draft::{Draft, Step, What};
use super::groups::GroupPlan;
use super::initialise::Beginning;
use super::{Change, Manager, closed};
use crate::creations::SlotId;
use crate::line::{Built, Group, Limits, Line, Placed, Plan, Ready, Recipe, Slot, Turn, in_time};
use crate::reaper::Job;
use crate::{Error, ErrorKind, Name, Reaper, Result, Subsystem};

/// A change that is ready: it is checked, and all drivers it needs are built and answer.
///
/// Nobody else changes the instances that take part while this is held: swaps of them wait, and
/// closing the manager waits within its limit. Dropping this is [`abandon`](Self::abandon) in the
/// background.
#[must_use = "what is built is closed again unless it is committed"]
pub struct Prepared<S: Subsystem> {
    // Before the turns: whoever comes next finds the drivers of this one on their way out.
    seats: Vec<Seat<S>>,
    exchange: Option<Exchange<S>>,
    default: DefaultTo<Name>,
    inner_first: Vec<usize>,
    place: &'static Location<'static>,
    turns: Arc<Turns>,
    reserved: Reserved<S>,
}

/// A step, with what there is to carry it out.
struct Seat<S: Subsystem> {
    step: Step<S>,
    /// Where it happens: the instance there is, or the one that comes; `None` for a new group.
    slot: Option<Arc<Slot<S>>>,
    built: Option<Built<S>>,
    /// Its old driver has to be closed before the new one is opened.
    is_exclusive: bool,
}

/// The right to change the manager and the instances that take part.
struct Turns {
    _manager: OwnedMutexGuard<()>,
    _slots: Vec<Turn>,
}

/// What a change has done.
#[derive(Debug, Default)]
#[non_exhaustive]
#[must_use = "old drivers are closed in the background; `closed` waits for them"]
pub struct Committed {
    /// Instances that were not there before.
    pub added: Vec<String>,
    /// Instances with other settings, and groups with other members.
    pub swapped: Vec<String>,
    /// Instances with other gates and limits and the same driver.
    pub retuned: Vec<String>,
    /// Instances that are there no more.
    pub removed: Vec<String>,
    /// The number of the generation of each that was added or swapped.
    pub generations: BTreeMap<String, u64>,
    leaving: Vec<Job>,
    errors: Vec<Error>,
}

impl Committed {
    /// Ends when everything that was removed or swapped out has been drained and closed. Also tells
    /// what came too late, because the manager was closed before the commit.
    pub async fn closed(self) -> Result<()> {
        let ended = join_all(self.leaving.into_iter().map(Job::ended)).await;
        let errors = self.errors.into_iter().chain(ended.into_iter().filter_map(Result::err));
        one_error("not everything that was replaced has closed", errors.collect())
    }
}

impl<S: Subsystem> Prepared<S> {
    pub(super) async fn from_change(change: Change<S>) -> Result<Self> {
        let manager = change.manager.clone();
        manager.0.environment.reaper().remember_runtime();
        let closing = pin!(manager.0.watches.closing());
        match select(closing, Box::pin(Self::prepare(change))).await {
            Either::Left(_) => Err(closed::<S>()),
            Either::Right((prepared, _)) => prepared,
        }
    }

    async fn prepare(change: Change<S>) -> Result<Self> {
        let manager = &change.manager;
        let late = || {
            Error::new(ErrorKind::Timeout, "the deadline passed before the change was prepared")
                .with_context("subsystem", S::NAME)
                .not_applied()
        };
        let turn = in_time(manager.0.changing.clone().lock_owned()).await.ok_or_else(late)?;
        for _ in 0..TRIES_MAX {
            let draft = change.draft()?;
            let reserved = Reserved::of(manager, &draft, change.place)?;
            let slots = turns_of(&draft, &reserved).await?;
            // Somebody may have declared or initialised one of them while this waited for its turn.
            if draft.still_holds(&manager.0.slots.load()) {
                let turns = Arc::new(Turns { _manager: turn, _slots: slots });
                return Self::seated(&change, draft, reserved, turns).built().await;
            }
        }
        Err(Error::new(ErrorKind::Unavailable, "the instances kept changing meanwhile")
            .with_context("subsystem", S::NAME)
            .retry_later()
            .not_applied())
    }

    fn seated(
        change: &Change<S>,
        draft: Draft<S>,
        reserved: Reserved<S>,
        turns: Arc<Turns>,
    ) -> Self {
        let Draft { steps, default, inner_first } = draft;
        let seats = steps.into_iter().map(|step| reserved.seat(step, change.place)).collect();
        let (exchange, place) = (None, change.place);
        Self { seats, exchange, default, inner_first, place, turns, reserved }
    }

    /// Builds what has to be built; all of it, or nothing is left of it.
    async fn built(mut self) -> Result<Self> {
        let building = self.seats.iter().enumerate().filter_map(|(position, seat)| {
            let (slot, plan) = (seat.slot.clone()?, seat.plan_to_build()?);
            Some(async move { (position, slot.build_ahead(&plan).await) })
        });
        // Made now, so that nothing of this is borrowed while they run.
        let building: Vec<_> = building.collect();
        let mut building = stream::iter(building).buffer_unordered(Change::<S>::BUILDS_MAX);
        let mut errors = Vec::new();
        while let Some((position, built)) = building.next().await {
            match built {
                Ok(built) => self.seats[position].built = Some(built),
                Err(error) => errors.push((position, error)),
            }
        }
        drop(building);
        if errors.is_empty() {
            return Ok(self);
        }
        // In the order of the change, whoever failed first.
        errors.sort_by_key(|(position, _)| *position);
        let mut errors: Vec<_> = errors.into_iter().map(|(_, error)| error).collect();
        errors.extend(self.abandon().await.err());
        Err(one_error("the change could not be prepared", errors).err().unwrap_or_else(closed::<S>))
    }

    /// Exchanges the drivers that cannot live twice: each old one is closed, and the new one opened;
    /// calls wait meanwhile. If one fails those that were exchanged already are put back.
    ///
    /// Without this, [`commit`](Self::commit) closes such drivers in the background and the next call
    /// opens the new one. Once begun it goes on if its caller goes away; calling it again waits for
    /// its end.
    pub async fn exchange_exclusive(&mut self) -> Result<()> {
        if self.exchange.is_none() {
            let exclusive = self.seats.iter().filter(|seat| seat.is_exclusive);
            let pairs: Vec<_> = exclusive.filter_map(Seat::pair).collect();
            if pairs.is_empty() {
                return Ok(());
            }
            let reaper = self.reserved.manager.0.environment.reaper().clone();
            self.exchange = Some(Exchange::begin(pairs, reaper, self.turns.clone()));
        }
        match &self.exchange {
            Some(exchange) => exchange.job.clone().ended().await,
            None => Ok(()),
        }
    }

    /// Everything changes now: instances are added, swapped and given other gates, groups get their
    /// members, and what is to go goes. Cannot fail.
    ///
    /// What was removed or swapped out is drained and closed in the background, each within its own
    /// limits. If the manager was closed meanwhile, nothing comes of it, and
    /// [`Committed::closed`] says so.
    pub fn commit(mut self) -> Committed {
        let mut done = Committed::default();
        let manager = self.reserved.manager.clone();
        let exchanged = self.exchange.take().is_some_and(Exchange::settle);
        let mut moves = Moves::default();
        for position in 0..self.seats.len() {
            self.put_driver(position, exchanged, &mut moves, &mut done);
        }
        let new_groups = self.make_groups(&mut moves, &mut done);
        let events = manager.0.environment.events().clone();
        if let Err(error) = manager.publish_all(&moves) {
            done.errors.push(error);
            return done;
        }
        for position in 0..self.seats.len() {
            self.put_kept(position, exchanged, &mut done);
        }
        self.put_groups(&new_groups, &mut done);
        manager.move_members(&moves);
        match std::mem::replace(&mut self.default, DefaultTo::Same) {
            DefaultTo::Same => {}
            DefaultTo::Nobody => manager.0.default.store(None),
            DefaultTo::Other(name) => manager.0.default.store(Some(Arc::new(name))),
        }
        manager.withdraw_all(&moves, &mut done);
        events.deliver();
        done
    }

    /// Closes what was built, and puts back the drivers that were exchanged. When this answers,
    /// everything is as it was.
    pub async fn abandon(self) -> Result<()> {
        let Self { seats, exchange, turns, reserved, .. } = self;
        let jobs: Vec<_> = seats
            .into_iter()
            .filter_map(|seat| seat.built)
            .map(|mut built| built.close_in_background())
            .chain(exchange.and_then(Exchange::undo))
            .collect();
        let ended = join_all(jobs.into_iter().map(Job::ended)).await;
        drop((turns, reserved));
        one_error("not everything that was built has closed", errors_of(ended))
    }

    /// An instance with a driver that was not there is made; nobody sees it before it is published.
    fn put_driver(
        &mut self,
        position: usize,
        exchanged: bool,
        moves: &mut Moves<S>,
        done: &mut Committed,
    ) {
        let seat = &mut self.seats[position];
        match &seat.step.what {
            What::Remove => {
                moves.removed.extend(seat.step.there.clone());
                done.removed.push(seat.step.name.to_string());
            }
            What::Driver(_) if seat.step.is_new() => {
                let Some(slot) = seat.slot.clone() else { return };
                seat.put(exchanged, done);
                moves.come(slot, seat.step.there.clone(), done);
            }
            _ => {}
        }
    }

    /// The groups that were not there are made, inner ones first.
    fn make_groups(&mut self, moves: &mut Moves<S>, done: &mut Committed) -> BTreeSet<usize> {
        let mut made = BTreeSet::new();
        for position in self.inner_first.clone() {
            let seat = &self.seats[position];
            let What::Group(plan) = &seat.step.what else { continue };
            if !seat.step.is_new() {
                continue;
            }
            made.insert(position);
            match self.made_group(&seat.step.name, plan, moves) {
                Ok(slot) => moves.come(slot, seat.step.there.clone(), done),
                Err(error) => done.errors.push(error),
            }
        }
        made
    }

    fn made_group(&self, name: &Name, plan: &GroupPlan, moves: &Moves<S>) -> Result<Arc<Slot<S>>> {
        let environment = &self.reserved.manager.0.environment;
        let members = self.lines(plan, moves)?;
        let group = Group::new(name, environment, members, plan.selector.clone())?;
        let recipe = Recipe::Group(Arc::new(group));
        let slot = Slot::new(name.clone(), recipe, Limits::default(), environment, self.place);
        slot.retune(plan.policy.clone().unwrap_or_default())?;
        Ok(Arc::new(slot))
    }

    /// The members of a group, also those that nobody sees yet.
    fn lines(&self, plan: &GroupPlan, moves: &Moves<S>) -> Result<Vec<Line<S>>> {
        let line = |name: &Name| match moves.added.get(name) {
            Some(slot) => Ok(Line { slot: slot.clone() }),
            None => self.reserved.manager.line(name.as_str()),
        };
        plan.members.iter().map(line).collect()
    }

    fn put_kept(&mut self, position: usize, exchanged: bool, done: &mut Committed) {
        let seat = &mut self.seats[position];
        let Some(slot) = seat.step.kept().cloned() else { return };
        let name = seat.step.name.to_string();
        match &seat.step.what {
            What::Driver(_) => {
                if seat.put(exchanged, done) {
                    done.swapped.push(name);
                }
            }
            What::Retune(policy, limits) => {
                match slot.put_limits(policy.clone(), *limits) {
                    Ok(_) => done.retuned.push(name),
                    Err(error) => done.errors.push(error),
                }
                seat.put_first(&slot, done);
            }
            What::Stay => seat.put_first(&slot, done),
            What::Group(_) | What::Remove => {}
        }
    }

    fn put_groups(&self, made: &BTreeSet<usize>, done: &mut Committed) {
        let manager = &self.reserved.manager;
        for position in self.inner_first.iter().filter(|position| !made.contains(position)) {
            let step = &self.seats[*position].step;
            let (What::Group(plan), Some(slot)) = (&step.what, step.kept()) else { continue };
            let GroupPlan { members, selector, policy } = plan;
            let put = manager.lines_of(members).and_then(|members| {
                manager.put_group(slot, members, selector.clone(), policy.clone())
            });
            match put {
                Ok(generation) => {
                    done.swapped.push(step.name.to_string());
                    done.generations.insert(step.name.to_string(), generation);
                }
                Err(error) => done.errors.push(error),
            }
        }
    }
}

impl<S: Subsystem> Seat<S> {
    /// What is to be built ahead of the commit.
    fn plan_to_build(&self) -> Option<Plan<S>> {
        let slot = self.slot.as_ref()?;
        let serves = slot.has_driver();
        match &self.step.what {
            What::Driver(_) if self.is_exclusive => None,
            What::Driver(plan) if serves || self.step.build => {
                Some(slot.with_own_wrap(plan.clone()))
            }
            What::Stay | What::Retune(..) if self.step.build && !serves => slot.own_plan(),
            _ => None,
        }
    }

    /// The new plan and the old one.
    fn pair(&self) -> Option<Pair<S>> {
        let (What::Driver(next), Some(slot)) = (&self.step.what, &self.slot) else { return None };
        let (next, before) = (slot.with_own_wrap(next.clone()), slot.own_plan()?);
        Some(Pair { slot: slot.clone(), next, before })
    }

    fn put(&mut self, exchanged: bool, done: &mut Committed) -> bool {
        let (What::Driver(plan), Some(slot)) = (&self.step.what, &self.slot) else { return false };
        let ready = match self.built.take() {
            Some(built) => Ready::Built(built),
            None if self.is_exclusive && exchanged => Ready::Exchanged,
            None => Ready::Nothing,
        };
        match slot.put(slot.with_own_wrap(plan.clone()), ready) {
            Ok(Placed { generation, old }) => {
                done.generations.insert(self.step.name.to_string(), generation);
                done.leaving.extend(old);
                true
            }
            Err(error) => {
                done.errors.push(error);
                false
            }
        }
    }

    fn put_first(&mut self, slot: &Slot<S>, done: &mut Committed) {
        if let Some(built) = self.built.take() {
            done.generations.insert(self.step.name.to_string(), slot.put_first(built));
        }
    }
}

/// Which slots come and which go.
struct Moves<S: Subsystem> {
    added: BTreeMap<Name, Arc<Slot<S>>>,
    /// In the order of the change.
    order: Vec<Name>,
    /// By the number of the slot that goes.
    replaced: BTreeMap<SlotId, Replaced<S>>,
    removed: Vec<Arc<Slot<S>>>,
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
    fn come(&mut self, slot: Arc<Slot<S>>, before: Option<Arc<Slot<S>>>, done: &mut Committed) {
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

    /// Whether the slot of that number goes.
    fn gone(&self) -> BTreeSet<SlotId> {
        self.removed.iter().map(|slot| slot.id).chain(self.replaced.keys().copied()).collect()
    }
}

impl<S: Subsystem> Manager<S> {
    /// Everything that comes is there from now on.
    fn publish_all(&self, moves: &Moves<S>) -> Result<()> {
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
                before.withdraw().clear();
            }
        }
        drop(begun);
        self.grow_groups_of_all();
        Ok(())
    }

    /// Groups have what came in the place of a member, and no member that goes.
    fn move_members(&self, moves: &Moves<S>) {
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

    /// What goes is there no more.
    fn withdraw_all(&self, moves: &Moves<S>, done: &mut Committed) {
        let gone = moves.gone();
        if gone.is_empty() {
            return;
        }
        let replaced = moves.replaced.values().map(|(before, _)| before);
        let going: Vec<_> = moves.removed.iter().chain(replaced).cloned().collect();
        for slot in &going {
            done.leaving.extend(slot.withdraw());
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

/// The names of instances that will come. Whoever initialises one of them meanwhile waits, and
/// whoever declares one is refused.
struct Reserved<S: Subsystem> {
    manager: Manager<S>,
    slots: BTreeMap<Name, Arc<Slot<S>>>,
}

impl<S: Subsystem> Reserved<S> {
    fn of(
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

    fn seat(&self, step: Step<S>, place: &'static Location<'static>) -> Seat<S> {
        let slot = match (&step.what, step.kept()) {
            (_, Some(slot)) => Some(slot.clone()),
            (What::Driver(_), None) => Some(
                self.slots
                    .get(&step.name)
                    .cloned()
                    .unwrap_or_else(|| slot_of(&step, &self.manager, place)),
            ),
            _ => None,
        };
        let is_exclusive = match (&step.what, &slot) {
            (What::Driver(plan), Some(slot)) => slot.excludes(&plan.driver),
            _ => false,
        };
        Seat { step, slot, built: None, is_exclusive }
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
async fn turns_of<S: Subsystem>(draft: &Draft<S>, reserved: &Reserved<S>) -> Result<Vec<Turn>> {
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

/// The exchange of drivers that cannot live twice. Undone when this is dropped before it is settled.
struct Exchange<S: Subsystem> {
    work: Arc<Work<S>>,
    job: Job,
    reaper: Reaper,
    turns: Option<Arc<Turns>>,
    is_settled: bool,
}

struct Work<S: Subsystem> {
    pairs: Vec<Pair<S>>,
    has_failed: AtomicBool,
    is_committed: AtomicBool,
}

/// What an exclusive driver is to be, and what it was.
struct Pair<S: Subsystem> {
    slot: Arc<Slot<S>>,
    next: Plan<S>,
    before: Plan<S>,
}

impl<S: Subsystem> Exchange<S> {
    fn begin(pairs: Vec<Pair<S>>, reaper: Reaper, turns: Arc<Turns>) -> Self {
        let has_failed = AtomicBool::new(false);
        let work = Arc::new(Work { pairs, has_failed, is_committed: AtomicBool::new(false) });
        let (limit, working, turn) = (work.limit(), work.clone(), turns.clone());
        let job = reaper.submit("exclusive exchange", limit, async move {
            let _turn = turn;
            let exchanged = working.exchange().await;
            working.has_failed.store(exchanged.is_err(), Ordering::Release);
            exchanged
        });
        Self { work, job, reaper, turns: Some(turns), is_settled: false }
    }

    /// It stays; the answer is whether the new drivers serve, or will once it has ended.
    fn settle(mut self) -> bool {
        self.is_settled = true;
        self.work.is_committed.store(true, Ordering::Release);
        !self.work.has_failed.load(Ordering::Acquire)
    }

    /// Puts everything back that was exchanged.
    fn undo(mut self) -> Option<Job> {
        self.begin_undo()
    }

    fn begin_undo(&mut self) -> Option<Job> {
        if std::mem::replace(&mut self.is_settled, true) {
            return None;
        }
        let (work, exchanging, turns) = (self.work.clone(), self.job.clone(), self.turns.take());
        let limit = work.limit().saturating_mul(2);
        Some(self.reaper.submit("undo an exclusive exchange", limit, async move {
            let _turns = turns;
            match exchanging.ended().await {
                Ok(()) => one_error("not everything was put back", work.put_back(usize::MAX).await),
                // It has put back what it had exchanged.
                Err(_) => Ok(()),
            }
        }))
    }
}

impl<S: Subsystem> Drop for Exchange<S> {
    fn drop(&mut self) {
        drop(self.begin_undo());
    }
}

impl<S: Subsystem> Work<S> {
    async fn exchange(&self) -> Result<()> {
        for (position, pair) in self.pairs.iter().enumerate() {
            if let Err(error) = pair.slot.exchange_driver(pair.next.clone()).await {
                let is_committed = self.is_committed.load(Ordering::Acquire);
                let undone = if is_committed { 0 } else { position };
                let also = self.put_back(undone).await;
                return Err(error.with_related(also));
            }
        }
        Ok(())
    }

    /// Puts the old drivers back of the first `count`, the last one first.
    async fn put_back(&self, count: usize) -> Vec<Error> {
        let mut errors = Vec::new();
        for pair in self.pairs.iter().take(count).rev() {
            errors.extend(pair.slot.exchange_driver(pair.before.clone()).await.err());
        }
        errors
    }

    fn limit(&self) -> Duration {
        let one = |pair: &Pair<S>| {
            pair.slot
                .exchange_limit(&pair.next)
                .saturating_add(pair.slot.exchange_limit(&pair.before))
        };
        self.pairs.iter().map(one).fold(Duration::from_secs(1), Duration::saturating_add)
    }
}

impl<S: Subsystem> fmt::Debug for Prepared<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.seats.iter().map(|seat| &seat.step.name).collect::<Vec<_>>();
        f.debug_struct("Prepared")
            .field("subsystem", &S::NAME)
            .field("instances", &names)
            .finish_non_exhaustive()
    }
}

fn errors_of(results: Vec<Result<()>>) -> Vec<Error> {
    results.into_iter().filter_map(Result::err).collect()
}

/// All of them as one, if there are any.
fn one_error(message: &'static str, mut errors: Vec<Error>) -> Result<()> {
    match errors.len() {
        0 => Ok(()),
        1 => errors.pop().map_or(Ok(()), Err),
        _ => Err(Error::joined(message, errors)),
    }
}

/// How often a change begins anew because instances came or went while it waited for its turn.
const TRIES_MAX: usize = 16;
