//! What groups are told of the health of their members, so that no call has to ask.
//!
//! Whoever checks an instance says what was found, and whoever changes what serves says what is known
//! of that. It sets a bit in each group around it, and a group whose bits are all set is down itself for
//! the groups around that one. When the members of a group are exchanged, the old ones are told no more.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use crate::sync::Mutex;

/// What was last found of one instance or group, and who is told of it.
#[derive(Default)]
pub(super) struct Reported(Mutex<State>);

#[derive(Default)]
struct State {
    /// Why it was down when it was last checked; `None` if it was not.
    down: Option<String>,
    to: Vec<(Weak<Members>, u64)>,
}

/// Which members of a group are down: a bit for each.
pub(super) struct Members {
    down: AtomicU64,
    all: u64,
    group: Arc<Reported>,
}

impl Reported {
    /// Says why it is down, or that it is not.
    pub(super) fn tell(&self, down: Option<String>) {
        self.0.lock().tell(down);
    }

    /// Why it was down when it was last checked.
    pub(super) fn down(&self) -> Option<String> {
        self.0.lock().down.clone()
    }

    /// From now on also tells `members` of the one at `position`.
    pub(super) fn tell_also(&self, members: &Arc<Members>, position: usize) {
        let mut state = self.0.lock();
        let bit = 1 << position;
        members.set(bit, state.down.is_some());
        state.to.push((Arc::downgrade(members), bit));
    }

    /// From now on tells `members` no more, whoever still looks at them.
    pub(super) fn tell_no_more(&self, members: &Arc<Members>) {
        let members = Arc::downgrade(members);
        self.0.lock().to.retain(|(told, _)| !told.ptr_eq(&members));
    }
}

impl State {
    fn tell(&mut self, down: Option<String>) {
        self.down = down;
        let is_down = self.down.is_some();
        self.to.retain(|(members, bit)| {
            let Some(members) = members.upgrade() else { return false };
            members.set(*bit, is_down);
            true
        });
    }
}

impl Members {
    /// None of the `count` members of a new group is down.
    pub(super) fn new(count: usize) -> Arc<Self> {
        Self::of(count, Arc::default())
    }

    /// Other members of the same group, none of them down; they speak for it once they are
    /// [told](Reported::tell_also) and have [taken over](Self::take_over).
    pub(super) fn followed_by(&self, count: usize) -> Arc<Self> {
        Self::of(count, self.group.clone())
    }

    /// Says of the group what follows from these members, whatever the ones before them said.
    pub(super) fn take_over(&self) {
        let mut group = self.group.0.lock();
        let down = self.reason(self.down());
        if down.is_some() != group.down.is_some() {
            group.tell(down);
        }
    }

    fn of(count: usize, group: Arc<Reported>) -> Arc<Self> {
        let all = u32::try_from(count).ok().and_then(|count| 1_u64.checked_shl(count));
        let all = all.map_or(u64::MAX, |next| next - 1);
        Arc::new(Self { down: AtomicU64::new(0), all, group })
    }

    /// A bit for each member that is down.
    #[inline]
    pub(super) fn down(&self) -> u64 {
        self.down.load(Ordering::Relaxed)
    }

    /// What the groups around this one are told.
    pub(super) fn group(&self) -> &Arc<Reported> {
        &self.group
    }

    fn set(&self, bit: u64, is_down: bool) {
        // Under the lock of the group, so that of two members that change at the same time the
        // later one has the last word. Locks are taken from members to groups only, and no group
        // contains itself.
        let mut group = self.group.0.lock();
        let before = if is_down {
            self.down.fetch_or(bit, Ordering::Relaxed)
        } else {
            self.down.fetch_and(!bit, Ordering::Relaxed)
        };
        let after = if is_down { before | bit } else { before & !bit };
        if (before == self.all) != (after == self.all) {
            group.tell(self.reason(after));
        }
    }

    /// Why the group is down while these of its members are; `None` if it is not.
    fn reason(&self, down: u64) -> Option<String> {
        let all_down = self.all != 0 && down == self.all;
        all_down.then(|| "all of its members are down".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason() -> String {
        "no ink".to_owned()
    }

    #[test]
    fn a_group_is_down_while_all_of_its_members_are() {
        let members = [Reported::default(), Reported::default()];
        let (inner, outer) = (Members::new(2), Members::new(1));
        inner.group().tell_also(&outer, 0);
        for (position, member) in members.iter().enumerate() {
            member.tell_also(&inner, position);
        }
        members[0].tell(Some(reason()));
        assert_eq!((inner.down(), outer.down()), (0b01, 0));
        members[1].tell(Some(reason()));
        assert_eq!((inner.down(), outer.down()), (0b11, 1));
        assert!(inner.group().down().is_some());
        members[0].tell(None);
        assert_eq!((inner.down(), outer.down()), (0b10, 0));
    }

    #[test]
    fn a_group_that_is_made_later_is_told_at_once_and_one_that_is_gone_no_more() {
        let (member, alone) = (Reported::default(), Members::new(1));
        member.tell(Some(reason()));
        member.tell_also(&alone, 0);
        let around = Members::new(64);
        alone.group().tell_also(&around, 63);
        assert_eq!(around.down(), 1 << 63);
        drop(around);
        member.tell(None);
        assert_eq!(alone.down(), 0);
        assert!(alone.group().0.lock().to.is_empty());
    }

    #[test]
    fn members_that_follow_others_speak_for_the_group_in_their_place() {
        let (old, new) = (Reported::default(), Reported::default());
        let (before, around) = (Members::new(1), Members::new(1));
        before.group().tell_also(&around, 0);
        old.tell_also(&before, 0);
        old.tell(Some(reason()));
        let after = before.followed_by(1);
        assert_eq!(around.down(), 1, "not yet");
        old.tell_no_more(&before);
        new.tell_also(&after, 0);
        after.take_over();
        assert_eq!(around.down(), 0);
        old.tell(None);
        old.tell(Some(reason()));
        assert_eq!(around.down(), 0, "no more");
        new.tell(Some(reason()));
        assert_eq!(around.down(), 1);
        after.followed_by(0).take_over();
        assert_eq!(around.down(), 0, "a group of nobody is not down");
    }

    #[test]
    fn members_that_change_at_the_same_time_leave_the_group_as_they_are() {
        let members = [Reported::default(), Reported::default()];
        let (inner, outer) = (Members::new(2), Members::new(1));
        inner.group().tell_also(&outer, 0);
        for (position, member) in members.iter().enumerate() {
            member.tell_also(&inner, position);
        }
        for round in 0..500 {
            std::thread::scope(|scope| {
                for (position, member) in members.iter().enumerate() {
                    let is_down = round & (1 << position) != 0;
                    scope.spawn(move || member.tell(is_down.then(reason)));
                }
            });
            assert_eq!(inner.down(), round & 0b11);
            assert_eq!(outer.down(), u64::from(round & 0b11 == 0b11), "{round}");
        }
    }
}
