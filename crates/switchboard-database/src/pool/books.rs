//! The books of a pool: which connections there are, who has them, who waits, what is due.
//!
//! Everything is decided here, under one lock and without waiting for anything. What follows from a
//! decision (to answer a waiter, to make a connection, to close one) is noted as an errand, which
//! whoever has the lock runs after giving it back.

mod due;
mod making;

use std::sync::Arc;
use std::time::{Duration, Instant};

use switchboard_core::{Clock, Error, ErrorKind, Result};
use tokio::sync::oneshot;

use super::errands::Errands;
use super::figures::{CloseReason, PoolFigures, Tally};
use super::link::Link;
use super::queue::{Guest, Key, Queue, Taking, Waiter};
use super::rules::{FAR, Rules};
use super::scope::Owner;
use super::taken::Taken;
use super::trouble::Trouble;
use crate::Connection;

pub(super) struct Books {
    pub(super) rules: Rules,
    clock: Clock,
    members: Vec<Option<Member>>,
    /// Those nobody uses, the one used last at the end.
    idle: Vec<usize>,
    in_use: usize,
    resting: usize,
    connecting: usize,
    /// Those that are being closed; they count no more, but whoever closes the pool waits for them.
    leaving: usize,
    queue: Queue,
    door: Door,
    trouble: Trouble,
    pub(super) tally: Tally,
    errands: Errands,
}

/// Who may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    /// Nobody came yet, so nothing is made.
    Unused,
    Open,
    /// Whoever comes waits, unless it is urgent.
    Suspended,
    Closed,
}

/// A connection in the books.
struct Member {
    link: Arc<Link>,
    made: Instant,
    expires: Option<Instant>,
    uses: u64,
    /// When its last user gave it back.
    used: Instant,
    /// When it was last known to work.
    seen: Instant,
    /// A sibling turned out to be dead while this one was in use.
    is_suspect: bool,
    place: Place,
}

enum Place {
    Idle,
    /// It is being cleaned or asked whether it is there; by nobody who waits for it.
    Resting,
    InUse(Holding),
}

/// Somebody's use of a connection.
#[derive(Clone, Copy)]
pub(super) struct Holding {
    pub(super) taking: Taking,
    pub(super) since: Instant,
    /// When something last came of it, where that is looked at.
    seen: Instant,
    pub(super) owner: Owner,
    /// It was told of as leaked.
    pub(super) is_leaked: bool,
    /// It is to be given up at the end of the call that is under way.
    is_wanted_back: bool,
}

/// A connection for somebody.
pub(super) struct Grant {
    pub(super) link: Arc<Link>,
    /// It may be dead, so it is asked first.
    pub(super) is_doubtful: bool,
}

/// How many there are of everything, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) idle: usize,
    pub(super) in_use: usize,
    pub(super) resting: usize,
    pub(super) connecting: usize,
    pub(super) leaving: usize,
    pub(super) waiting: usize,
}

impl Books {
    pub(super) fn new(rules: Rules, clock: Clock) -> Self {
        Self {
            rules,
            clock,
            members: Vec::new(),
            idle: Vec::new(),
            in_use: 0,
            resting: 0,
            connecting: 0,
            leaving: 0,
            queue: Queue::default(),
            door: Door::Unused,
            trouble: Trouble::default(),
            tally: Tally::default(),
            errands: Errands::default(),
        }
    }

    /// What follows from the last decisions, for whoever gives the lock back.
    pub(super) fn errands(&mut self) -> Option<Errands> {
        (!self.errands.is_empty()).then(|| std::mem::take(&mut self.errands))
    }

    // Coming in.

    /// A connection, if one is there and nobody has waited for longer.
    pub(super) fn take(&mut self, guest: Guest, now: Instant) -> Option<Grant> {
        let comes_first = guest.taking.is_urgent || guest.is_within;
        if !self.lets_in(guest) || !(self.queue.is_empty() || comes_first) {
            return None;
        }
        let grant = self.pick(guest, now).and_then(|slot| self.hand_over(slot, guest, now));
        // One less is idle, and some may just have been found too old.
        self.plan_connects();
        grant
    }

    /// A connection that is there, if nobody who comes meanwhile has to wait until it is back.
    pub(super) fn take_spare(&mut self, guest: Guest, now: Instant) -> Option<Grant> {
        let is_left = self.idle.len() > 1 || self.has_room(guest);
        if self.rules.is_joint || !is_left { None } else { self.take(guest, now) }
    }

    /// A place in the order of those who wait.
    pub(super) fn key(&mut self, guest: Guest) -> Key {
        self.queue.key(guest)
    }

    /// Waits for a connection, which is made if there is room.
    pub(super) fn join(&mut self, key: Key, guest: Guest) -> oneshot::Receiver<Result<Taken>> {
        let (answer, answered) = oneshot::channel();
        self.queue.join(Waiter { key, guest, answer });
        if guest.taking.is_urgent {
            self.hurry();
        }
        self.plan_connects();
        answered
    }

    /// Does not wait any longer.
    pub(super) fn forget(&mut self, key: Key, now: Instant) {
        if self.queue.leave(key).is_some() {
            // What the one in front did not want may do for the next.
            self.hand_out(now);
        }
    }

    /// How the code that runs now took what it still has for more than one statement.
    pub(super) fn taken_around(&self) -> Option<Taking> {
        let is_around = |holding: &&Holding| {
            let is_known = self.rules.is_joint || holding.owner.is_known();
            holding.taking.is_scope && is_known && holding.owner.is_around()
        };
        self.holdings().map(|(_, holding)| holding).find(is_around).map(|holding| holding.taking)
    }

    /// Whether the code that runs now is part of what keeps all others out.
    pub(super) fn is_within(&self) -> bool {
        self.rules.is_joint && self.taken_around().is_some()
    }

    /// Whether one more could be made for `guest`.
    pub(super) fn has_room(&self, guest: Guest) -> bool {
        self.size() < self.most_for(Some(guest))
    }

    /// Its user goes on with it, and has not forgotten it.
    pub(super) fn touch(&mut self, link: &Arc<Link>) {
        let now = self.clock.now();
        if let Some(Member { place: Place::InUse(holding), .. }) = self.member(link) {
            holding.seen = now;
        }
    }

    // Connections that come back.

    /// Its user is done, and it is as it was before.
    pub(super) fn give_back(&mut self, link: &Arc<Link>) {
        let now = self.clock.now();
        if let Some(slot) = self.release(link, now) {
            self.shelve(slot, now);
            self.hand_out(now);
        }
    }

    /// Its user is done, and it must be cleaned before anybody else has it. Whether it is ours still.
    pub(super) fn rest(&mut self, link: &Arc<Link>) -> bool {
        self.release(link, self.clock.now()).is_some()
    }

    /// It was cleaned, or has said that it is there.
    pub(super) fn rested(&mut self, link: &Arc<Link>) {
        let now = self.clock.now();
        let Some(member) = self.member(link) else { return };
        member.seen = now;
        self.shelve(link.slot, now);
        self.hand_out(now);
    }

    /// It is of no use any more.
    pub(super) fn dismiss(&mut self, link: &Arc<Link>, reason: CloseReason) {
        let now = self.clock.now();
        if self.member(link).is_some() {
            self.end_use(link.slot, now);
            self.give_up(link.slot, reason);
        }
        if reason == CloseReason::Broken {
            self.distrust(now);
        }
        self.hand_out(now);
    }

    /// A connection that left has said goodbye.
    pub(super) fn left(&mut self) {
        self.leaving -= 1;
    }

    // What others decide.

    pub(super) fn suspend(&mut self) {
        if self.door != Door::Closed {
            self.door = Door::Suspended;
        }
    }

    pub(super) fn resume(&mut self) {
        if self.door == Door::Suspended {
            self.door = Door::Open;
            self.hand_out(self.clock.now());
        }
    }

    /// Every connection that is there is replaced, spread over that time.
    pub(super) fn refresh(&mut self, over: Duration) {
        let (now, over) = (self.clock.now(), over.min(FAR));
        for member in self.members.iter_mut().flatten() {
            let moment = now + over.mul_f64(self.clock.fraction());
            member.expires = Some(member.expires.map_or(moment, |before| before.min(moment)));
        }
    }

    /// Nobody comes in any more, and nobody waits.
    pub(super) fn close(&mut self) {
        self.door = Door::Closed;
        self.refuse_all(&closed());
        for slot in std::mem::take(&mut self.idle) {
            self.give_up(slot, CloseReason::Closed);
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.door == Door::Closed
    }

    /// Nothing is left, neither here nor on its way out.
    pub(super) fn is_empty(&self) -> bool {
        self.size() == 0 && self.leaving == 0
    }

    pub(super) fn is_suspended(&self) -> bool {
        self.door == Door::Suspended
    }

    /// The first caller is there: from now on connections are kept ready.
    pub(super) fn open(&mut self) {
        if self.door == Door::Unused {
            self.door = Door::Open;
        }
    }

    // Figures.

    pub(super) fn size(&self) -> usize {
        self.idle.len() + self.in_use + self.resting + self.connecting
    }

    pub(super) fn counts(&self) -> Counts {
        Counts {
            idle: self.idle.len(),
            in_use: self.in_use,
            resting: self.resting,
            connecting: self.connecting,
            leaving: self.leaving,
            waiting: self.queue.len(),
        }
    }

    pub(super) fn figures(&self) -> PoolFigures {
        PoolFigures {
            max: self.rules.max,
            size: self.size(),
            idle: self.idle.len(),
            in_use: self.in_use,
            resting: self.resting,
            connecting: self.connecting,
            waiting: self.queue.len(),
            is_suspended: self.is_suspended(),
            acquired: self.tally.acquired,
            timed_out: self.tally.timed_out,
            created: self.tally.created,
            connect_failures: self.tally.connect_failures,
            closed: self.tally.closed(),
            resets: self.tally.resets,
            leaks: self.tally.leaks,
            waits: self.tally.waits.read(),
            uses: self.tally.uses.read(),
            connects: self.tally.connects.read(),
        }
    }

    /// Every use that is going on.
    pub(super) fn holdings(&self) -> impl Iterator<Item = (&Arc<Link>, &Holding)> {
        self.members.iter().flatten().filter_map(|member| match &member.place {
            Place::InUse(holding) => Some((&member.link, holding)),
            Place::Idle | Place::Resting => None,
        })
    }

    /// Why no connection could be made, if the last attempts failed.
    pub(super) fn trouble(&self) -> &Trouble {
        &self.trouble
    }

    /// The connections nobody uses, when nobody keeps the books any more.
    pub(super) fn take_connections(&mut self) -> impl Iterator<Item = Box<dyn Connection>> {
        let errands = std::mem::take(&mut self.errands);
        let idle = std::mem::take(&mut self.idle);
        let members = std::mem::take(&mut self.members);
        let links =
            idle.into_iter().filter_map(move |slot| members.get(slot)?.as_ref()?.link.take());
        errands.closes.into_iter().chain(links)
    }

    // How connections go from hand to hand.

    /// A pool that is suspended still lets itself be looked at.
    fn lets_in(&self, guest: Guest) -> bool {
        let is_kept_out = self.rules.is_joint && !guest.is_within && self.in_use + self.resting > 0;
        match self.door {
            Door::Open => guest.taking.is_urgent || !is_kept_out,
            Door::Suspended => guest.taking.is_urgent,
            Door::Unused | Door::Closed => false,
        }
    }

    /// The idle connection that was used last and will do for `guest`.
    fn pick(&mut self, guest: Guest, now: Instant) -> Option<usize> {
        while let Some(slot) = self.idle.pop() {
            match self.unfit(slot, guest, now) {
                None => return Some(slot),
                Some(reason) => self.give_up(slot, reason),
            }
        }
        None
    }

    fn unfit(&self, slot: usize, guest: Guest, now: Instant) -> Option<CloseReason> {
        let member = self.members.get(slot)?.as_ref()?;
        if member.has_expired(now) {
            return Some(CloseReason::Age);
        }
        (guest.wants_new && member.uses > 0).then_some(CloseReason::Distrusted)
    }

    /// Gives idle connections to those who wait, in their order.
    fn hand_out(&mut self, now: Instant) {
        while let Some(guest) = self.queue.first()
            && self.lets_in(guest)
            && let Some(slot) = self.pick(guest, now)
        {
            let Some(waiter) = self.queue.pop() else { return };
            if let Some(grant) = self.hand_over(slot, guest, now) {
                self.errands.grants.push((waiter.answer, grant));
            }
        }
        self.plan_connects();
    }

    fn hand_over(&mut self, slot: usize, guest: Guest, now: Instant) -> Option<Grant> {
        let is_doubtful = |member: &Member| {
            let age = now.saturating_duration_since(member.seen);
            member.uses > 0 && (member.is_suspect || self.rules.pings_after(age))
        };
        let member = self.members.get_mut(slot)?.as_mut()?;
        let grant = Grant { link: member.link.clone(), is_doubtful: is_doubtful(member) };
        member.is_suspect = false;
        member.uses += 1;
        member.place = Place::InUse(Holding {
            taking: guest.taking,
            since: now,
            seen: now,
            owner: guest.owner,
            is_leaked: false,
            is_wanted_back: false,
        });
        self.in_use += 1;
        self.tally.acquired += 1;
        Some(grant)
    }

    /// Its use has ended, and what becomes of it is open.
    fn release(&mut self, link: &Arc<Link>, now: Instant) -> Option<usize> {
        self.member(link)?;
        self.end_use(link.slot, now);
        self.resting += 1;
        let member = self.member(link)?;
        member.place = Place::Resting;
        (member.used, member.seen) = (now, now);
        Some(link.slot)
    }

    /// Whatever it was doing is no longer counted.
    fn end_use(&mut self, slot: usize, now: Instant) {
        let Some(Some(member)) = self.members.get_mut(slot) else { return };
        match &member.place {
            Place::Idle => self.idle.retain(|idle| *idle != slot),
            Place::Resting => self.resting -= 1,
            Place::InUse(holding) => {
                self.in_use -= 1;
                let took = now.saturating_duration_since(holding.since);
                self.tally.uses.add(took);
                if holding.is_leaked {
                    self.errands.returns.push((holding.taking.at, took));
                }
            }
        }
    }

    /// Puts a resting connection to the idle ones, unless it has to go.
    fn shelve(&mut self, slot: usize, now: Instant) {
        self.resting -= 1;
        if let Some(reason) = self.reason_to_go(slot, now) {
            self.give_up(slot, reason);
            return;
        }
        let Some(Some(member)) = self.members.get_mut(slot) else { return };
        member.place = Place::Idle;
        let used = member.used;
        // Nearly always the end: only those that were asked whether they are there were not used now.
        let later = self.idle.iter().rev().take_while(|other| self.used(**other) > used).count();
        self.idle.insert(self.idle.len() - later, slot);
    }

    fn used(&self, slot: usize) -> Instant {
        let member = self.members.get(slot).and_then(Option::as_ref);
        member.map_or_else(|| self.clock.now(), |member| member.used)
    }

    fn reason_to_go(&self, slot: usize, now: Instant) -> Option<CloseReason> {
        let member = self.members.get(slot)?.as_ref()?;
        if self.door == Door::Closed {
            return Some(CloseReason::Closed);
        }
        if member.has_expired(now) {
            return Some(CloseReason::Age);
        }
        if self.rules.max_uses.is_some_and(|max| member.uses >= max) {
            return Some(CloseReason::Uses);
        }
        // It was resting until now, so it is not counted any more.
        let is_surplus = self.size() >= self.most() && !self.queue.has_urgent();
        is_surplus.then_some(CloseReason::Surplus)
    }

    /// A new connection, resting.
    fn enter(&mut self, connection: Box<dyn Connection>, now: Instant) -> usize {
        let slot = self.members.iter().position(Option::is_none).unwrap_or(self.members.len());
        if slot == self.members.len() {
            self.members.push(None);
        }
        self.members[slot] = Some(Member {
            link: Arc::new(Link::new(slot, connection)),
            made: now,
            expires: self.rules.expiry(now, self.clock.fraction()),
            uses: 0,
            used: now,
            seen: now,
            is_suspect: false,
            place: Place::Resting,
        });
        self.resting += 1;
        slot
    }

    /// Takes it out of the books, and closes it unless somebody has it in hand.
    fn give_up(&mut self, slot: usize, reason: CloseReason) {
        let Some(member) = self.members.get_mut(slot).and_then(Option::take) else { return };
        self.tally.closed[reason as usize] += 1;
        if let Some(connection) = member.link.take() {
            self.leaving += 1;
            self.errands.closes.push(connection);
        }
    }

    /// A connection was found dead: those that are as old may be too.
    fn distrust(&mut self, now: Instant) {
        let is_older = |member: &Member| member.made < now;
        let (old, idle) = std::mem::take(&mut self.idle).into_iter().partition(|slot| {
            self.members.get(*slot).and_then(Option::as_ref).is_some_and(is_older)
        });
        self.idle = idle;
        let old: Vec<usize> = old;
        for slot in old {
            self.give_up(slot, CloseReason::Distrusted);
        }
        for member in self.members.iter_mut().flatten().filter(|member| member.made < now) {
            member.is_suspect = true;
        }
    }

    fn member(&mut self, link: &Arc<Link>) -> Option<&mut Member> {
        let member = self.members.get_mut(link.slot)?.as_mut()?;
        Arc::ptr_eq(&member.link, link).then_some(member)
    }

    fn refuse_urgent(&mut self, error: &Error) {
        let refused = self.queue.pop_urgent().map(|waiter| (waiter.answer, error.clone()));
        self.errands.refusals.extend(refused);
    }

    fn refuse_all(&mut self, error: &Error) {
        let refused = self.queue.drain().map(|waiter| (waiter.answer, error.clone()));
        self.errands.refusals.extend(refused);
    }
}

impl Member {
    fn has_expired(&self, now: Instant) -> bool {
        self.expires.is_some_and(|moment| moment <= now)
    }
}

/// What callers are told once the pool is closed.
pub(super) fn closed() -> Error {
    Error::new(ErrorKind::Unavailable, "the pool of connections is closed").not_applied()
}
