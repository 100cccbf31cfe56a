//! Ejections and returns under every order in which threads can run.
//!
//! Compiles the very file of the library over loom's locks and atomics.

#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]

use std::sync::Arc;

use loom::thread;

#[path = "../src/select/ejecting/ledger.rs"]
mod ledger;

#[path = "over_loom/mod.rs"]
mod sync;

use ledger::{Ejection, Host, Ledger, Rules};

/// Remembers who is ejected, and finds each change following from the one before.
struct Log(sync::Mutex<(u64, usize)>);

impl Host for Log {
    fn ejected(&self, member: usize, ejection: Ejection) {
        let mut told = self.0.lock();
        assert_eq!(told.0 & (1 << member), 0, "ejected twice");
        assert_eq!(ejection.eject_for, EJECT_FOR);
        told.0 |= 1 << member;
        told.1 += 1;
    }

    fn returned(&self, member: usize) {
        let mut told = self.0.lock();
        assert_ne!(told.0 & (1 << member), 0, "returned twice");
        told.0 &= !(1 << member);
    }
}

struct Group {
    ledger: Ledger,
    log: Log,
}

impl Group {
    fn of(count: usize, outages: u32) -> Self {
        let rules =
            Rules { outages, eject_for: EJECT_FOR, eject_for_max: EJECT_FOR, share_max: 0.5 };
        let ledger = Ledger::new(rules, count);
        ledger.grow(count);
        Self { ledger, log: Log(sync::Mutex::new((0, 0))) }
    }

    fn fail(&self, member: usize, now: u64) {
        if self.ledger.failed(member) {
            self.ledger.eject(member, now, &self.log);
        }
    }

    fn choose(&self, now: u64) -> u64 {
        if self.ledger.is_due(now) {
            self.ledger.let_return(now, &self.log);
        }
        self.ledger.ejected()
    }

    /// What calls see and what was told are the same, once all is quiet.
    fn agrees(&self) {
        assert_eq!(self.ledger.ejected(), self.log.0.lock().0);
    }

    fn told(&self) -> usize {
        self.log.0.lock().1
    }
}

fn check(count: usize, outages: u32, model: impl Fn(Arc<Group>) + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || model(Arc::new(Group::of(count, outages))));
}

fn spawn<T: 'static>(
    group: &Arc<Group>,
    part: impl FnOnce(&Group) -> T + 'static,
) -> thread::JoinHandle<T> {
    let group = Arc::clone(group);
    thread::spawn(move || part(&group))
}

#[test]
fn a_run_ejects_once_however_many_see_its_end() {
    check(2, 2, |group| {
        let others = [(); 2].map(|()| spawn(&group, |group| group.fail(0, 0)));
        group.fail(0, 0);
        for thread in others {
            thread.join().unwrap();
        }
        assert_eq!((group.ledger.ejected(), group.told()), (0b01, 1));
        group.agrees();
    });
}

#[test]
fn two_that_fail_at_the_same_time_are_not_both_ejected_where_there_is_room_for_one() {
    check(3, 1, |group| {
        let other = spawn(&group, |group| group.fail(0, 0));
        group.fail(1, 0);
        other.join().unwrap();
        assert_eq!((group.ledger.ejected().count_ones(), group.told()), (1, 1));
        group.agrees();
    });
}

#[test]
fn whoever_is_ejected_while_another_returns_stays_so_until_its_own_time() {
    check(4, 1, |group| {
        group.fail(0, 0);
        let other = spawn(&group, |group| group.fail(1, 5));
        group.choose(EJECT_FOR);
        other.join().unwrap();
        assert_eq!(group.choose(EJECT_FOR), 0b10, "the first one is back, the second is not");
        group.agrees();
        assert_eq!(group.choose(EJECT_FOR + 5), 0);
        group.agrees();
    });
}

#[test]
fn a_member_returns_once_however_many_choose() {
    check(2, 1, |group| {
        group.fail(0, 0);
        let other = spawn(&group, |group| group.choose(EJECT_FOR));
        group.choose(EJECT_FOR);
        other.join().unwrap();
        assert_eq!(group.ledger.ejected(), 0);
        group.agrees();
    });
}

#[test]
fn a_success_beside_a_failure_ends_the_run_or_comes_before_it() {
    check(2, 2, |group| {
        group.fail(0, 0);
        let other = spawn(&group, |group| group.ledger.succeeded(0));
        group.fail(0, 0);
        other.join().unwrap();
        let ejected = group.ledger.ejected();
        group.agrees();
        group.fail(0, 0);
        group.fail(0, 0);
        assert_eq!(group.ledger.ejected(), 0b01, "in the end there were enough, {ejected}");
        group.agrees();
    });
}

const EJECT_FOR: u64 = 10;
