//! What is due: connections that are too old, too quiet, or in use for too long.

use std::time::{Duration, Instant};

use super::{Books, CloseReason, Holding, Member, Place};

impl Books {
    /// Does what is due, and says when it should be asked again.
    pub(in crate::pool) fn tend(&mut self) -> Option<Instant> {
        let now = self.clock.now();
        self.retire(now);
        self.ask_the_quiet(now);
        self.watch_the_holders(now);
        self.plan_connects();
        let first = self.members.iter().flatten().filter_map(|member| self.due(member)).min();
        // What comes up later is due after the shortest of all limits, and not before.
        let patience = self.rules.shortest_limit().map(|limit| now + limit);
        first.into_iter().chain(patience).min()
    }

    /// Lets go of those that are too old, or that nobody has needed for long.
    fn retire(&mut self, now: Instant) {
        for slot in self.idle_where(|member| member.has_expired(now)) {
            self.end_use(slot, now);
            self.give_up(slot, CloseReason::Age);
        }
        while let Some(slot) = self.one_too_many(now) {
            self.end_use(slot, now);
            self.give_up(slot, CloseReason::Idle);
        }
    }

    fn one_too_many(&self, now: Instant) -> Option<usize> {
        let limit = self.rules.idle_timeout.filter(|_| self.idle.len() > self.rules.min_idle)?;
        self.idle.first().copied().filter(|slot| self.used(*slot) + limit <= now)
    }

    fn ask_the_quiet(&mut self, now: Instant) {
        let Some(limit) = self.rules.keepalive else { return };
        for slot in self.idle_where(|member| member.seen + limit <= now) {
            self.end_use(slot, now);
            self.resting += 1;
            if let Some(Some(member)) = self.members.get_mut(slot) {
                member.place = Place::Resting;
                self.errands.pings.push(member.link.clone());
            }
        }
    }

    fn idle_where(&self, is_meant: impl Fn(&Member) -> bool) -> Vec<usize> {
        let member = |slot: &usize| self.members.get(*slot).and_then(Option::as_ref);
        let meant = |slot: &usize| member(slot).is_some_and(&is_meant);
        self.idle.iter().copied().filter(meant).collect()
    }

    fn watch_the_holders(&mut self, now: Instant) {
        let (leak_after, reap_after) = (self.rules.leak_after, self.rules.reap_after);
        for slot in 0..self.members.len() {
            let Some(Some(member)) = self.members.get_mut(slot) else { continue };
            let Place::InUse(holding) = &mut member.place else { continue };
            if holding.leaks_at(leak_after).is_some_and(|due| due <= now) {
                holding.is_leaked = true;
                self.tally.leaks += 1;
                let age = now.saturating_duration_since(holding.since);
                self.errands.leaks.push((holding.taking.at, age));
            }
            if holding.is_reaped_at(reap_after).is_some_and(|due| due <= now) {
                holding.is_wanted_back = true;
                self.take_back(slot, now);
            }
        }
    }

    /// Takes a connection away from its holder, now or when the call under way has ended.
    fn take_back(&mut self, slot: usize, now: Instant) {
        let Some(Some(member)) = self.members.get(slot) else { return };
        if let Some(connection) = member.link.take_back() {
            self.end_use(slot, now);
            self.give_up(slot, CloseReason::Reaped);
            self.leaving += 1;
            self.errands.closes.push(connection);
        }
    }

    fn due(&self, member: &Member) -> Option<Instant> {
        let rules = &self.rules;
        match &member.place {
            Place::Resting => None,
            Place::InUse(holding) => {
                let (leak, reap) =
                    (holding.leaks_at(rules.leak_after), holding.is_reaped_at(rules.reap_after));
                leak.into_iter().chain(reap).min()
            }
            Place::Idle => {
                let spare = rules.idle_timeout.filter(|_| self.idle.len() > rules.min_idle);
                let quiet = rules.keepalive.map(|limit| member.seen + limit);
                let unused = spare.map(|limit| member.used + limit);
                member.expires.into_iter().chain(quiet).chain(unused).min()
            }
        }
    }
}

impl Holding {
    fn leaks_at(&self, limit: Option<Duration>) -> Option<Instant> {
        let is_watched = !self.taking.is_long && !self.is_leaked;
        limit.filter(|_| is_watched).map(|limit| self.seen + limit)
    }

    fn is_reaped_at(&self, limit: Option<Duration>) -> Option<Instant> {
        let is_watched = !self.taking.is_long && !self.is_wanted_back;
        limit.filter(|_| is_watched).map(|limit| self.seen + limit)
    }
}
