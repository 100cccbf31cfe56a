//! The arithmetic of the rate limiter under every interleaving that loom can reach.
//!
//! Compiles the very file of the library over loom's atomics.

#![allow(clippy::unwrap_used, reason = "in tests a panic says what is wrong")]

#[allow(dead_code, reason = "the models use less than the limiter does")]
#[path = "../src/gates/rate_limit/gcra.rs"]
mod gcra;

#[path = "over_loom/mod.rs"]
mod sync;

use std::sync::Arc;

use loom::thread;

use crate::gcra::{Booking, Gcra, Quota, Verdict};

const SLOW: Quota = Quota { interval: 1_000, tolerance: 1_000, wait: 10_000 };
/// Half of one quota and half of another would refuse what both let pass, or let pass at once.
const FAST: Quota = Quota { interval: 1, tolerance: 1, wait: 10_000 };
const MIDDLE: Quota = Quota { interval: 10, tolerance: 10, wait: 10_000 };

fn book(gcra: &Gcra) -> Booking {
    match gcra.reserve(0, 1, u64::MAX) {
        Verdict::Granted(booking) => booking,
        refused => panic!("{refused:?}"),
    }
}

fn retune_twice(gcra: &Gcra) {
    // The second change writes over the quota that a reader of the first state reads.
    gcra.retune(0, FAST);
    gcra.retune(0, MIDDLE);
}

fn check(model: impl Fn(Arc<Gcra>) + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || model(Arc::new(Gcra::new(SLOW))));
}

fn spawn<T: 'static>(
    gcra: &Arc<Gcra>,
    part: impl FnOnce(&Gcra) -> T + 'static,
) -> thread::JoinHandle<T> {
    let gcra = Arc::clone(gcra);
    thread::spawn(move || part(&gcra))
}

#[test]
fn no_two_threads_get_the_same_slot() {
    check(|gcra| {
        let others = [(); 2].map(|()| spawn(&gcra, |gcra| book(gcra).due));
        let mut slots = vec![book(&gcra).due];
        slots.extend(others.map(|thread| thread.join().unwrap()));
        slots.sort_unstable();
        assert_eq!(slots, [0, 1_000, 2_000]);
    });
}

#[test]
fn a_slot_is_given_back_whole_or_not_at_all() {
    check(|gcra| {
        let other = spawn(&gcra, |gcra| gcra.give_back(&book(gcra)));
        book(&gcra);
        let given_back = other.join().unwrap();
        assert_eq!(book(&gcra).due, if given_back { 1_000 } else { 2_000 });
    });
}

// The thread that writes goes first unless loom forces a switch: a read that comes first hides
// from loom that another order of it and a later write is worth a run.
#[test]
fn every_grant_is_decided_under_one_quota() {
    check(|gcra| {
        book(&gcra);
        let other = spawn(&gcra, |gcra| book(gcra).due);
        retune_twice(&gcra);
        let slot = other.join().unwrap();
        assert!([1, 10, 1_000].contains(&slot), "{slot}");
        assert_eq!(book(&gcra).due, slot + 10);
    });
}

#[test]
fn every_refusal_is_decided_under_one_quota() {
    check(|gcra| {
        book(&gcra);
        let other = spawn(&gcra, |gcra| match gcra.reserve(0, 1, 0) {
            Verdict::Late(wait) => assert!([1, 10, 1_000].contains(&wait), "{wait}"),
            verdict => panic!("{verdict:?}"),
        });
        retune_twice(&gcra);
        other.join().unwrap();
    });
}
