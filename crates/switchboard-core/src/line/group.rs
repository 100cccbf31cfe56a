//! A choice among other instances: which members there are, and how a call walks them.

use std::sync::Arc;

use super::Line;
use super::reported::{Members, Reported};
use crate::{Candidates, Error, ErrorKind, Outcome, Result, Selector, Subsystem};

/// The members of a group and the selector that chooses among them.
pub(crate) struct Group<S: Subsystem> {
    members: Vec<Line<S>>,
    selector: Arc<dyn Selector>,
    /// Which members are down; written by whoever checks a member.
    health: Arc<Members>,
}

impl<S: Subsystem> Group<S> {
    pub(crate) fn new(members: Vec<Line<S>>, selector: Arc<dyn Selector>) -> Result<Self> {
        if members.is_empty() || members.len() > Candidates::MEMBERS_MAX {
            return Err(Error::new(ErrorKind::Config, "a group has between 1 and 64 members")
                .with_context("members", members.len()));
        }
        let health = Members::new(members.len());
        for (position, member) in members.iter().enumerate() {
            member.slot.reported.tell_also(&health, position);
        }
        Ok(Self { members, selector, health })
    }

    /// The members of a call, in the order in which it is to try them.
    pub(super) fn walk(&self) -> Walk<'_, S> {
        let untried = Candidates::all(self.members.len()).with_down(self.health.down());
        Walk { group: self, untried, errors: Vec::new() }
    }

    /// Where it is said that the group itself is down, because all of its members are.
    pub(super) fn reported(&self) -> &Arc<Reported> {
        self.health.group()
    }

    /// The members, in the order of the group.
    pub(crate) fn members(&self) -> &[Line<S>] {
        &self.members
    }

    /// The name of what chooses among them.
    pub(crate) fn selector(&self) -> &'static str {
        self.selector.name()
    }

    /// Why each member that is down is so.
    pub(super) fn downs(&self) -> impl Iterator<Item = Error> {
        self.members.iter().filter_map(|member| member.slot.down())
    }
}

/// One call on its way through the members.
pub(super) struct Walk<'g, S: Subsystem> {
    group: &'g Group<S>,
    untried: Candidates,
    errors: Vec<Error>,
}

impl<'g, S: Subsystem> Walk<'g, S> {
    /// The member to try now.
    pub(super) fn next(&mut self) -> Option<&'g Line<S>> {
        let picked = self.group.selector.pick(self.untried)?;
        if !self.untried.contains(picked) {
            return None;
        }
        self.untried = self.untried.without(picked);
        self.group.members.get(picked)
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
                .with_context("selector", self.group.selector.name())
                .not_applied(),
            1 => self.errors.remove(0),
            _ => Error::joined("no member of the group served the call", self.errors),
        }
    }

    /// The error of a call that may not be tried elsewhere.
    pub(super) fn ended_by(self, error: Error, effect: crate::Effect) -> Error {
        let in_doubt = self.errors.iter().any(|earlier| effect.leaves_doubt(earlier));
        let error = if in_doubt { error.in_doubt() } else { error };
        error.with_related(self.errors)
    }
}

/// Whether a call that failed like this may be tried on another member.
///
/// Only an outage, and only if nothing happened or doing it again is harmless.
pub(super) fn may_move_on(error: &Error, effect: crate::Effect) -> bool {
    error.class() == crate::Class::Outage
        && match error.outcome() {
            Outcome::NotApplied => true,
            Outcome::Unknown => effect.is_repeatable(),
            Outcome::Applied => false,
        }
}
