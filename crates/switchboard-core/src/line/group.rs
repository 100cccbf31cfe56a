//! A choice among other instances: which members there are, how a call walks them, and how they are
//! exchanged for others.

use std::collections::BTreeSet;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use pin_project_lite::pin_project;

use super::Line;
use super::reported::{Members, Reported};
use super::slot::{Base, Current, Recipe, Slot, Writing};
use crate::ambient;
use crate::creations::SlotId;
use crate::sharded::Sharded;
use crate::{
    CallEnd, Candidates, Clock, Effect, Ending, Environment, Error, ErrorKind, Event, Gate, Name,
    Op, Outcome, Policy, Result, Selector, Source, Subsystem,
};

/// The members of a group and the selector that chooses among them.
pub(crate) struct Group<S: Subsystem> {
    members: Vec<Line<S>>,
    selector: Arc<dyn Selector>,
    /// What the selector says of itself, which never changes.
    name: &'static str,
    watches: bool,
    /// Whether every instance is a member, also one that is declared later.
    of_all: bool,
    /// Which members are down; written by whoever checks a member.
    health: Arc<Members>,
}

impl<S: Subsystem> Group<S> {
    /// The group called `name`, which chooses among `members`.
    pub(crate) fn new(
        name: &Name,
        environment: &Environment,
        members: Vec<Line<S>>,
        selector: Arc<dyn Selector>,
    ) -> Result<Self> {
        refuse_count(&members)?;
        let health = Members::new(members.len());
        let group = Self::begin(name, environment, members, selector, health);
        group.learn_health();
        Ok(group)
    }

    /// The group called `name` of all instances; it has none yet.
    pub(crate) fn of_all(
        name: &Name,
        environment: &Environment,
        selector: Arc<dyn Selector>,
    ) -> Self {
        let group = Self::begin(name, environment, Vec::new(), selector, Members::new(0));
        Self { of_all: true, ..group }
    }

    /// The same group with other members and another selector, once it is put in its place.
    pub(crate) fn with_others(
        &self,
        name: &Name,
        environment: &Environment,
        members: Vec<Line<S>>,
        selector: Arc<dyn Selector>,
    ) -> Result<Self> {
        refuse_count(&members)?;
        let health = self.health.followed_by(members.len());
        Ok(Self::begin(name, environment, members, selector, health))
    }

    /// The same group among `members`, as far as there is room; its selector goes on.
    pub(crate) fn among_others(&self, members: Vec<Line<S>>) -> Self {
        let members: Vec<_> = members.into_iter().take(Candidates::MEMBERS_MAX).collect();
        let health = self.health.followed_by(members.len());
        let group = Self::among(members, self.selector.clone(), health);
        Self { of_all: self.of_all, ..group }
    }

    /// The same group with these members after its own, as far as there is room; its selector goes on.
    pub(crate) fn grown(&self, more: Vec<Line<S>>) -> Self {
        self.among_others(self.members.iter().cloned().chain(more).collect())
    }

    fn begin(
        name: &Name,
        environment: &Environment,
        members: Vec<Line<S>>,
        selector: Arc<dyn Selector>,
        health: Arc<Members>,
    ) -> Self {
        selector.chooses_for(&Source::new(S::NAME, name.shared()), environment);
        Self::among(members, selector, health)
    }

    fn among(members: Vec<Line<S>>, selector: Arc<dyn Selector>, health: Arc<Members>) -> Self {
        let (name, watches) = (selector.name(), selector.watches());
        let group = Self { members, selector, name, watches, of_all: false, health };
        group.tell_members();
        group
    }

    /// From now on it is told how its members are. Only of a group that certainly is not among its own
    /// members, or the telling would go round in a circle.
    fn learn_health(&self) {
        for (position, member) in self.members.iter().enumerate() {
            member.slot.reported.tell_also(&self.health, position);
        }
    }

    /// From now on it is told no more, though calls may still be under way in it.
    pub(super) fn learn_no_more(&self) {
        for member in &self.members {
            member.slot.reported.tell_no_more(&self.health);
        }
    }

    /// Tells the selector whom it chooses among.
    pub(crate) fn tell_members(&self) {
        let names: Vec<_> = self.members.iter().map(Line::instance).collect();
        self.selector.members(&names);
    }

    /// The members of a call, in the order in which it is to try them.
    pub(super) fn walk<'g>(&'g self, op: Op, clock: &'g Clock) -> Walk<'g, S> {
        let untried = Candidates::all(self.members.len()).with_down(self.health.down());
        let untried = op.key().map_or(untried, |key| untried.with_key(key));
        Walk { group: self, clock, effect: op.effect(), untried, errors: Vec::new() }
    }

    /// What was opened through the member at `position`, told to a selector that watches.
    pub(super) fn opened(&self, position: usize, inner: Option<Box<Open>>) -> Option<Box<Open>> {
        if !self.watches {
            return inner;
        }
        self.selector.opened(position);
        Some(Box::new(Open { selector: self.selector.clone(), member: position, _inner: inner }))
    }

    /// Where it is said that the group itself is down, because all of its members are.
    pub(super) fn reported(&self) -> &Arc<Reported> {
        self.health.group()
    }

    /// The members, in the order of the group.
    pub(crate) fn members(&self) -> &[Line<S>] {
        &self.members
    }

    /// The numbers of the members, in the order of the group.
    pub(crate) fn member_ids(&self) -> Vec<SlotId> {
        self.members.iter().map(|member| member.slot.id).collect()
    }

    /// The name of what chooses among them.
    pub(crate) fn selector(&self) -> &'static str {
        self.name
    }

    /// Whether every instance is a member, also one that is declared later.
    pub(crate) fn is_of_all(&self) -> bool {
        self.of_all
    }

    /// Those of `instances` that are no members yet, in their order.
    pub(crate) fn missing(&self, instances: &[Arc<Slot<S>>]) -> Vec<Line<S>> {
        let members: BTreeSet<SlotId> = self.members.iter().map(|member| member.slot.id).collect();
        let missing = instances.iter().filter(|slot| !slot.is_group && !members.contains(&slot.id));
        missing.map(|slot| Line { slot: slot.clone() }).collect()
    }

    /// Whether calls of it may come to the instance of that number, directly or through other groups.
    pub(crate) fn contains(&self, id: SlotId) -> bool {
        let mut inside = vec![self.members.clone()];
        let mut seen = BTreeSet::new();
        while let Some(members) = inside.pop() {
            let unseen = members.iter().filter(|member| seen.insert(member.slot.id));
            let groups: Vec<_> = unseen.filter_map(|member| member.slot.group()).collect();
            if seen.contains(&id) {
                return true;
            }
            inside.extend(groups.iter().map(|group| group.members.clone()));
        }
        false
    }

    /// Why each member that is down is so.
    pub(super) fn downs(&self) -> impl Iterator<Item = Error> {
        self.members.iter().filter_map(|member| member.slot.down())
    }
}

impl<S: Subsystem> Slot<S> {
    /// What calls choose among now; `None` for what is no group, and while an override serves.
    pub(super) fn choice(&self) -> Option<Arc<Group<S>>> {
        match &**self.current.load() {
            Current::Group { group, .. } => Some(group.value().clone()),
            _ => None,
        }
    }

    /// Whether a call goes where its key sends it, here or in a group inside.
    pub(super) fn chooses_by_key(&self) -> bool {
        let Some(group) = self.choice() else { return false };
        let (mut inside, mut seen) = (vec![group], BTreeSet::new());
        while let Some(group) = inside.pop() {
            if group.selector.chooses_by_key() {
                return true;
            }
            let groups = group.members.iter().filter(|member| member.slot.is_group);
            let unseen = groups.filter(|member| seen.insert(member.slot.id));
            inside.extend(unseen.filter_map(|member| member.slot.choice()));
        }
        false
    }

    /// Every instance with a driver that calls may come to, each once.
    pub(super) fn leaves(self: &Arc<Self>) -> Vec<Arc<Self>> {
        let (mut leaves, mut seen) = (Vec::new(), BTreeSet::new());
        let mut waiting = vec![self.clone()];
        while let Some(slot) = waiting.pop() {
            if !seen.insert(slot.id) {
                continue;
            }
            match slot.choice() {
                Some(group) => {
                    waiting.extend(group.members.iter().rev().map(|member| member.slot.clone()));
                }
                None => leaves.push(slot),
            }
        }
        leaves
    }

    /// Gives a group other members, another selector, and other gates if a policy is given. Calls
    /// under way finish on the old ones.
    ///
    /// The answer is how often the group has changed, and what is gone: to be dropped outside of all
    /// locks, because its selector may be anybody's.
    pub(crate) fn exchange(
        &self,
        group: Arc<Group<S>>,
        policy: Option<Policy>,
    ) -> Result<(u64, impl Sized + use<S>)> {
        let mut writing = self.writing.lock();
        let gates = self.gates_after_swap(&writing, policy)?;
        writing.put_gates(gates);
        let gone = self.put_group(&mut writing, group);
        Ok((writing.generation, gone))
    }

    /// Puts `grown` in the place of `before`; `false` if another one has come there meanwhile.
    pub(crate) fn exchange_grown(&self, before: &Arc<Group<S>>, grown: Arc<Group<S>>) -> bool {
        let gone = {
            let mut writing = self.writing.lock();
            match &writing.recipe {
                Recipe::Group(there) if Arc::ptr_eq(there, before) => {}
                _ => return false,
            }
            // A closed group stays as it is.
            self.refuse_closed(&writing).is_ok().then(|| self.put_group(&mut writing, grown))
        };
        drop(gone);
        self.environment.events().deliver();
        true
    }

    fn put_group(&self, writing: &mut Writing<S>, group: Arc<Group<S>>) -> (Recipe<S>, Base<S>) {
        // In this order, so that what is told goes round in no circle, not even in one that the old
        // members would close.
        if let Recipe::Group(old) = &writing.recipe {
            old.learn_no_more();
        }
        group.learn_health();
        group.health.take_over();
        writing.generation += 1;
        self.environment.events().queue(|| Event::Regrouped {
            source: Source::new(S::NAME, self.name.shared()),
            members: group.members.iter().map(|member| member.slot.name.shared()).collect(),
            selector: group.selector(),
        });
        let base = Base::Group(Sharded::new(group.clone()));
        let gone = (
            std::mem::replace(&mut writing.recipe, Recipe::Group(group)),
            std::mem::replace(&mut writing.base, base),
        );
        self.publish(writing);
        gone
    }
}

/// One call on its way through the members.
pub(super) struct Walk<'g, S: Subsystem> {
    group: &'g Group<S>,
    clock: &'g Clock,
    effect: Effect,
    untried: Candidates,
    errors: Vec<Error>,
}

impl<'g, S: Subsystem> Walk<'g, S> {
    /// The member to try now.
    pub(super) fn next(&mut self) -> Option<Trial<'g, S>> {
        // Only for those that watch, because reading the clock takes longer than choosing.
        let now = self.group.watches.then(|| self.clock.now());
        let candidates = now.map_or(self.untried, |now| self.untried.with_now(now));
        let picked = self.group.selector.pick(candidates)?;
        if !self.untried.contains(picked) {
            return None;
        }
        self.untried = self.untried.without(picked);
        let member = self.group.members.get(picked)?;
        let watched = now.map(|now| Watched::begin(&*self.group.selector, picked, self.clock, now));
        Some(Trial { member, position: picked, watched })
    }

    /// Whether the call, which failed like this at a member, may be tried on another one.
    pub(super) fn may_move_on(&self, error: &Error, clock: &Clock) -> bool {
        let has_owner = self.untried.key().is_some() && self.group.selector.chooses_by_key();
        may_move_on(error, self.effect)
            && !is_out_of_time(error, clock)
            && (!has_owner || may_leave_owner(error, self.effect))
    }

    /// Remembers why a member did not serve the call.
    pub(super) fn failed(&mut self, error: Error) {
        self.errors.push(error);
    }

    /// The error of a call that no member served.
    pub(super) fn exhausted(mut self) -> Error {
        let passed_over = self.untried.iter().filter_map(|member| self.group.members.get(member));
        self.errors.extend(passed_over.filter_map(|member| member.slot.down()));
        match self.errors.len() {
            0 => Error::new(ErrorKind::Unavailable, "no member of the group is in service")
                .with_context("selector", self.group.name)
                .not_applied(),
            1 => self.errors.remove(0),
            _ => Error::joined("no member of the group served the call", self.errors),
        }
    }

    /// The error of a call that may not be tried elsewhere.
    pub(super) fn ended_by(self, error: Error) -> Error {
        let in_doubt = self.errors.iter().any(|earlier| self.effect.leaves_doubt(earlier));
        let error = if in_doubt { error.in_doubt() } else { error };
        error.with_related(self.errors)
    }
}

/// One member whose turn it is.
pub(super) struct Trial<'g, S: Subsystem> {
    member: &'g Line<S>,
    position: usize,
    watched: Option<Watched<'g>>,
}

impl<'g, S: Subsystem> Trial<'g, S> {
    pub(super) fn member(&self) -> &'g Line<S> {
        self.member
    }

    /// Where it stands in the group.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// Its call, whose end is told to a selector that watches.
    pub(super) fn call<F>(self, call: F) -> Called<'g, F> {
        Called { call, watched: self.watched }
    }

    /// The end of a call that nothing has to wait for.
    pub(super) fn call_at_once<T>(self, call: impl FnOnce(&Line<S>) -> Result<T>) -> Result<T> {
        let Some(mut watched) = self.watched else { return call(self.member) };
        watched.at_work = true;
        let result = call(self.member);
        watched.end(&result);
        result
    }
}

pin_project! {
    /// The call of one member.
    pub(super) struct Called<'g, F> {
        #[pin]
        call: F,
        watched: Option<Watched<'g>>,
    }
}

impl<T, F: Future<Output = Result<T>>> Future for Called<'_, F> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let this = self.project();
        let Some(watched) = this.watched else { return this.call.poll(context) };
        watched.at_work = true;
        let poll = this.call.poll(context);
        watched.at_work = false;
        if let Poll::Ready(result) = &poll
            && let Some(watched) = this.watched.take()
        {
            watched.end(result);
        }
        poll
    }
}

/// A call of a member that the selector was told of. It is told of its end once, whatever that is.
struct Watched<'g> {
    selector: &'g dyn Selector,
    member: usize,
    clock: &'g Clock,
    began: Instant,
    /// Whether the call is running on this thread now, so that a drop is that of a panic.
    at_work: bool,
    ended: bool,
}

impl<'g> Watched<'g> {
    fn begin(selector: &'g dyn Selector, member: usize, clock: &'g Clock, began: Instant) -> Self {
        selector.began(member);
        Self { selector, member, clock, began, at_work: false, ended: false }
    }

    fn end<T>(mut self, result: &Result<T>) {
        self.tell(match result {
            Ok(_) => Ending::Answered,
            Err(error) if is_out_of_time(error, self.clock) => Ending::OutOfTime(error),
            Err(error) => Ending::Failed(error),
        });
    }

    fn tell(&mut self, ending: Ending<'_>) {
        self.ended = true;
        let at = self.clock.now();
        let took = at.saturating_duration_since(self.began);
        self.selector.ended(self.member, &CallEnd { ending, took, at });
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let ending = if self.at_work { Ending::Panicked } else { Ending::Dropped };
        tell_while_dropped(self.selector, || self.tell(ending));
    }
}

/// Something open, of which the selector that led to it was told. It is told of its end once.
pub(super) struct Open {
    selector: Arc<dyn Selector>,
    member: usize,
    /// The choice of a group inside.
    _inner: Option<Box<Self>>,
}

impl Drop for Open {
    fn drop(&mut self) {
        tell_while_dropped(&*self.selector, || self.selector.closed(self.member));
    }
}

/// A second panic while the first one passes would end the process.
fn tell_while_dropped(selector: &dyn Selector, tell: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(tell)).is_err() {
        tracing::error!(selector = selector.name(), "a selector panicked");
    }
}

/// Whether a call that failed like this may be tried on another member.
///
/// Only an outage, and only if nothing happened or doing it again is harmless.
fn may_move_on(error: &Error, effect: Effect) -> bool {
    error.class() == crate::Class::Outage
        && match error.outcome() {
            Outcome::NotApplied => true,
            Outcome::Unknown => effect.is_repeatable(),
            Outcome::Applied => false,
        }
}

/// Whether a call failed because the time is over that it has as a whole: no other member would be asked
/// in time either. A member's own deadline leaves time for others.
fn is_out_of_time(error: &Error, clock: &Clock) -> bool {
    error.gate() == Some(Gate::Deadline)
        && ambient::current().deadline.is_some_and(|deadline| deadline <= clock.now())
}

/// Whether a call about a key may be tried on another member than the one that the key belongs to,
/// where it failed like this.
///
/// What another member is told of the key, the owner does not know when it is asked again. So only
/// if the owner is gone, which its breaker says; not if it is busy or failed this once. A call that
/// only reads leaves nothing behind elsewhere, but what is there must not look gone because its
/// owner is busy.
fn may_leave_owner(error: &Error, effect: Effect) -> bool {
    match (error.gate(), error.kind()) {
        (Some(Gate::Deadline | Gate::RateLimit | Gate::Bulkhead), _)
        | (_, ErrorKind::RateLimited | ErrorKind::Overloaded) => false,
        (Some(Gate::Breaker), _) => !effect.leaves_doubt(error),
        _ => effect == Effect::Read,
    }
}

pub(crate) fn refuse_count<M>(members: &[M]) -> Result<()> {
    if (1..=Candidates::MEMBERS_MAX).contains(&members.len()) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Config, "a group has between 1 and 64 members")
        .with_context("members", members.len()))
}
