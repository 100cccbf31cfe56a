//! A change whose drivers are ready: holds everybody's turn, and flips all of it or none.
//!
//! What a flip is for one instance is its line's affair.

use std::any::TypeId;
use std::collections::BTreeSet;
use std::fmt;
use std::panic::Location;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{Either, join_all, select};
use futures_util::stream;
use tokio::sync::{OwnedRwLockWriteGuard, oneshot};

use super::change::{DefaultTo, late};
use super::draft::{Draft, Step, What};
use super::exchange::{Exchange, Part};
use super::groups::GroupPlan;
use super::moves::{Leaves, Moves};
use super::reserved::{Reserved, turns_of};
use super::{Change, Committed, closed, one_error};
use crate::line::{Built, Group, Limits, Line, Placed, Plan, Ready, Recipe, Slot, Turn, in_time};
use crate::reaper::Job;
use crate::{Error, ErrorKind, Name, Result, Subsystem};

/// A change that is ready: it is checked, and all drivers it needs are built and answer.
///
/// Nobody else changes the instances that take part while this is held: swaps of them wait, and
/// closing the manager waits within its limit; who changes a group is refused. Dropping this is [`abandon`](Self::abandon) in the
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
    /// Its driver cannot live beside one that goes with the same change.
    is_exclusive: bool,
}

/// The right to change the manager and the instances that take part.
pub(super) struct Turns {
    _manager: OwnedRwLockWriteGuard<()>,
    _slots: Vec<Turn>,
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
        let turn = in_time(manager.0.changing.clone().write_owned()).await;
        let turn = turn.ok_or_else(late::<S>)?;
        for _ in 0..TRIES_MAX {
            let draft = change.draft()?;
            let reserved = Reserved::of(manager, &draft, change.place)?;
            let slots = turns_of(&draft, &reserved).await?;
            // Somebody may have declared or initialised one of them while this waited for its turn.
            if draft.still_holds(&manager.0.slots.load()) {
                // A swap before this one's turn may have brought other data.
                draft.steps.iter().try_for_each(Step::refuse_other_data)?;
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
        let goes: BTreeSet<_> = steps.iter().filter_map(Step::exclusive_type_that_goes).collect();
        let seats = steps.into_iter().map(|step| {
            let slot = reserved.slot(&step, change.place);
            let is_exclusive = step.exclusive_type().is_some_and(|own| goes.contains(&own));
            Seat { step, slot, built: None, is_exclusive }
        });
        let seats = seats.collect();
        let (exchange, place) = (None, change.place);
        Self { seats, exchange, default, inner_first, place, turns, reserved }
    }

    /// Builds what has to be built; all of it, or nothing is left of it.
    async fn built(mut self) -> Result<Self> {
        let building = self.seats.iter().enumerate().filter_map(|(position, seat)| {
            let (slot, building) = (seat.slot.clone()?, seat.building()?);
            Some(async move { (position, building.run(&slot).await) })
        });
        // Made now, so that nothing of this is borrowed while they run.
        let building: Vec<_> = building.collect();
        let mut building = stream::iter(building).buffer_unordered(Change::<S>::BUILDS_MAX);
        let mut errors = Vec::new();
        while let Some((position, built)) = building.next().await {
            match built {
                Ok(built) => self.seats[position].built = built,
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

    /// Exchanges the drivers that cannot live twice: all old ones are closed, then the new ones opened,
    /// so that they may trade places and names; calls wait meanwhile.
    ///
    /// Those are drivers whose type is also that of one which goes with this change; they are not
    /// built ahead. The answer is the change, ready to be committed. If one of them fails the old ones
    /// are put back and the change is abandoned: there is nothing left to commit. The same happens in
    /// the background if the caller goes away.
    ///
    /// Without this, [`commit`](Self::commit) closes such drivers in the background and the next call
    /// opens the new one.
    pub async fn exchange_exclusive(mut self) -> Result<Self> {
        let parts = self.parts();
        if self.exchange.is_some() || parts.is_empty() {
            return Ok(self);
        }
        let reaper = self.reserved.manager.0.environment.reaper().clone();
        let exchange = self.exchange.insert(Exchange::begin(parts, reaper, self.turns.clone()));
        match exchange.ended().await {
            Ok(()) => Ok(self),
            Err(error) => Err(error.with_related(self.abandon().await.err())),
        }
    }

    /// Everything changes now: instances are added, swapped and given other gates, groups get their
    /// members, and what is to go goes. Cannot fail.
    ///
    /// What was removed or swapped out is drained and closed in the background, each within its own
    /// limits: what others were built with, which go as well, after those, and it serves the handles
    /// that there are of it until then. If the manager was closed meanwhile, nothing comes of any of
    /// it, and [`Committed::errors`] says so.
    pub fn commit(mut self) -> Committed {
        let manager = self.reserved.manager.clone();
        let (mut done, mut moves) = (Committed::default(), Moves::default());
        let mut leaves = self.leaves();
        let until_all_went = self.hold_back(leaves.limit());
        for position in 0..self.seats.len() {
            self.put_driver(position, &mut moves, &mut done);
        }
        let new_groups = self.make_groups(&mut moves, &mut done);
        let events = manager.0.environment.events().clone();
        if let Err(error) = manager.publish_all(&moves) {
            return Committed::nothing(error);
        }
        for position in 0..self.seats.len() {
            self.put_kept(position, &mut leaves, &mut done);
        }
        self.put_groups(&new_groups, &mut done);
        manager.move_members(&moves);
        match std::mem::replace(&mut self.default, DefaultTo::Same) {
            DefaultTo::Same => {}
            DefaultTo::Nobody => manager.0.default.store(None),
            DefaultTo::Other(name) => manager.0.default.store(Some(Arc::new(name))),
        }
        manager.withdraw_all(&moves, &mut leaves, &mut done);
        self.let_go(until_all_went, &leaves);
        if let Some(exchange) = self.exchange.take() {
            exchange.settle();
        }
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
        let errors = ended.into_iter().filter_map(Result::err).collect();
        one_error("not everything that was built has closed", errors)
    }

    /// What takes part in the exchange: drivers to be opened, and those of their types that go.
    fn parts(&self) -> Vec<Part<S>> {
        let mut parts: Vec<_> = self.seats.iter().filter_map(Seat::exchanged).collect();
        let types: BTreeSet<TypeId> = parts
            .iter()
            .filter_map(|part| part.next.as_ref())
            .map(|plan| plan.driver.driver_type())
            .collect();
        let goes = |seat: &Seat<S>| {
            let slot = seat.step.going()?;
            let is_of_them = slot.exclusive_type().is_some_and(|own| types.contains(&own));
            let before = slot.own_plan();
            is_of_them.then(|| Part { slot: slot.clone(), next: None, before })
        };
        parts.extend(self.seats.iter().filter_map(goes));
        parts
    }

    /// Who leaves, and after whom.
    fn leaves(&self) -> Leaves {
        let (mut going, mut swapped) = (Vec::new(), Vec::new());
        for step in self.seats.iter().map(|seat| &seat.step) {
            match (&step.what, step.kept()) {
                (What::Driver(_), Some(slot)) => swapped.push(slot.clone()),
                _ => going.extend(step.going().cloned()),
            }
        }
        let mut leaves = Leaves::of(&going, &swapped);
        for slot in &going {
            if self.has_exchanged(slot) {
                leaves.is_out(slot.id);
            }
        }
        leaves
    }

    fn has_exchanged(&self, slot: &Slot<S>) -> bool {
        self.exchange.as_ref().is_some_and(|exchange| exchange.has(slot.id))
    }

    /// Lets no driver come that cannot live beside one that goes, until the answer says who goes and
    /// all of those have gone. One that was exchanged is there already.
    fn hold_back(&self, limit: Duration) -> Option<oneshot::Sender<Vec<Job>>> {
        let waits = |seat: &&Seat<S>| seat.is_exclusive;
        let slots = self.seats.iter().filter(waits).filter_map(|seat| seat.slot.as_ref());
        let mut slots = slots.filter(|slot| !self.has_exchanged(slot)).peekable();
        slots.peek()?;
        let (tell, told) = oneshot::channel::<Vec<Job>>();
        let reaper = self.reserved.manager.0.environment.reaper();
        let job = reaper.submit("wait for drivers that cannot live twice", limit, async move {
            join_all(told.await.unwrap_or_default().into_iter().map(Job::ended)).await;
            Ok(())
        });
        slots.for_each(|slot| slot.builds_after(job.clone()));
        Some(tell)
    }

    fn let_go(&self, held_back: Option<oneshot::Sender<Vec<Job>>>, leaves: &Leaves) {
        let Some(held_back) = held_back else { return };
        let there = self.seats.iter().filter_map(|seat| seat.step.there.as_ref());
        let jobs = there.flat_map(|slot| leaves.jobs_of(slot.id)).cloned().collect();
        // If the job is not there to hear it, nobody waits for it either.
        held_back.send(jobs).ok();
    }

    /// An instance with a driver that was not there is made; nobody sees it before it is published.
    fn put_driver(&mut self, position: usize, moves: &mut Moves<S>, done: &mut Committed) {
        let exchange = self.exchange.as_ref();
        let seat = &mut self.seats[position];
        match &seat.step.what {
            What::Remove => {
                moves.removed.extend(seat.step.there.clone());
                done.removed.push(seat.step.name.to_string());
            }
            What::Driver(_) if seat.step.is_new() => {
                let Some(slot) = seat.slot.clone() else { return };
                seat.put(exchange, done);
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

    fn put_kept(&mut self, position: usize, leaves: &mut Leaves, done: &mut Committed) {
        let exchange = self.exchange.as_ref();
        let seat = &mut self.seats[position];
        let Some(slot) = seat.step.kept().cloned() else { return };
        match &seat.step.what {
            What::Driver(_) => {
                if let Some(Placed { old, .. }) = seat.put(exchange, done) {
                    done.swapped.push(seat.step.name.to_string());
                    done.leaving.extend(old.clone());
                    leaves.add(slot.id, old);
                }
            }
            What::Retune(policy, limits) => match slot.put_limits(policy.clone(), *limits) {
                Ok(_) => done.retuned.push(seat.step.name.to_string()),
                Err(error) => done.errors.push(error),
            },
            What::Stay | What::Group(_) | What::Remove => {}
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
    /// What is to be built ahead of the commit, and how.
    fn building(&self) -> Option<Building<S>> {
        let slot = self.slot.as_ref()?;
        let serves = slot.has_driver();
        match &self.step.what {
            What::Driver(_) if self.is_exclusive => None,
            What::Driver(plan) if serves || self.step.build => {
                Some(Building::Ahead(Box::new(slot.with_own_wrap(plan.clone()))))
            }
            What::Stay | What::Retune(..) if self.step.build && !serves => Some(Building::InPlace),
            _ => None,
        }
    }

    /// Its part in an exchange of drivers that cannot live twice.
    fn exchanged(&self) -> Option<Part<S>> {
        let (What::Driver(next), Some(slot)) = (&self.step.what, &self.slot) else { return None };
        let is_wanted = slot.has_driver() || self.step.build;
        let before = if self.step.is_new() { None } else { Some(slot.own_plan()?) };
        (self.is_exclusive && is_wanted).then(|| Part {
            slot: slot.clone(),
            next: Some(slot.with_own_wrap(next.clone())),
            before,
        })
    }

    /// Puts its plan in force, if that can be done.
    fn put(&mut self, exchange: Option<&Exchange<S>>, done: &mut Committed) -> Option<Placed> {
        let (What::Driver(plan), Some(slot)) = (&self.step.what, &self.slot) else { return None };
        let ready = match self.built.take() {
            Some(built) => Ready::Built(built),
            None if exchange.is_some_and(|exchange| exchange.has(slot.id)) => Ready::Exchanged,
            None => Ready::Nothing,
        };
        match slot.put(slot.with_own_wrap(plan.clone()), ready) {
            Ok(placed) => {
                done.generations.insert(self.step.name.to_string(), placed.generation);
                Some(placed)
            }
            Err(error) => {
                done.errors.push(error);
                None
            }
        }
    }
}

/// How a driver is built before the commit.
enum Building<S: Subsystem> {
    /// By this plan; nobody sees it.
    Ahead(Box<Plan<S>>),
    /// As the first call would, which may come at the same time.
    InPlace,
}

impl<S: Subsystem> Building<S> {
    async fn run(self, slot: &Arc<Slot<S>>) -> Result<Option<Built<S>>> {
        match self {
            Self::Ahead(plan) => slot.build_ahead(&plan).await.map(Some),
            Self::InPlace => slot.ensure().await.map(|()| None),
        }
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

/// How often a change begins anew because instances came or went while it waited for its turn.
const TRIES_MAX: usize = 16;
