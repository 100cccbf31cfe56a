//! The slots of the bulkhead under every interleaving that loom can reach.
//!
//! Compiles the very file of the library over loom's lock and atomics. A thread that waits for
//! ever is a deadlock to loom, so a lost wake-up or a lost slot fails the model.

#![allow(clippy::unwrap_used, reason = "in tests a panic says what is wrong")]

#[allow(dead_code, reason = "the models use less than the bulkhead does")]
#[path = "../src/gates/bulkhead/slots.rs"]
mod slots;

#[path = "over_loom/mod.rs"]
mod sync;

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use crate::slots::Slots;

/// A bulkhead, with a count of its own of those inside it.
struct Room {
    slots: Slots,
    inside: AtomicUsize,
    inside_max: usize,
}

impl Room {
    fn new(slots_max: u32, inside_max: usize) -> Arc<Self> {
        let slots = Slots::new(slots_max, 8);
        Arc::new(Self { slots, inside: AtomicUsize::new(0), inside_max })
    }

    fn visit(&self) {
        if !self.slots.try_take() {
            self.wait_for_turn();
        }
        let others = self.inside.fetch_add(1, Ordering::Relaxed);
        assert!(others < self.inside_max, "{others} others are inside");
        self.inside.fetch_sub(1, Ordering::Relaxed);
        self.slots.give_back();
    }

    fn wait_for_turn(&self) {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut turn = self.slots.turn();
        while turn.poll(&mut Context::from_waker(&waker)).is_pending() {
            thread::park();
        }
    }

    /// Asks for a slot once and goes away, whatever the answer was.
    fn look_in(&self) {
        let mut turn = self.slots.turn();
        if let Poll::Ready(Ok(())) = turn.poll(&mut Context::from_waker(Waker::noop())) {
            self.slots.give_back();
        }
    }

    fn retune(&self, slots_max: u32) {
        self.slots.set_bounds(slots_max, 8);
        self.slots.hand_out();
    }

    fn check_empty(&self) {
        assert_eq!((self.slots.in_use(), self.slots.waiting()), (0, 0));
    }
}

struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs `parts` at the same time in every order with at most two switches by force.
fn check(slots_max: u32, inside_max: usize, parts: &'static [fn(&Room)]) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(move || {
        let room = Room::new(slots_max, inside_max);
        let (first, others) = parts.split_first().unwrap();
        let threads: Vec<_> = others
            .iter()
            .map(|part| {
                let room = Arc::clone(&room);
                thread::spawn(move || part(&room))
            })
            .collect();
        first(&room);
        for thread in threads {
            thread.join().unwrap();
        }
        room.check_empty();
    });
}

#[test]
fn of_three_for_one_slot_everybody_gets_in_and_nobody_together() {
    check(1, 1, &[Room::visit, Room::visit, Room::visit]);
}

#[test]
fn of_three_for_two_slots_never_more_than_two_are_inside() {
    check(2, 2, &[Room::visit, Room::visit, Room::visit]);
}

#[test]
fn a_slot_handed_to_somebody_who_leaves_goes_on_to_the_next() {
    check(1, 1, &[Room::visit, Room::look_in, Room::visit]);
}

#[test]
fn everybody_who_waits_is_let_in_when_the_bulkhead_grows() {
    check(1, 2, &[Room::visit, Room::visit, |room| room.retune(2)]);
}

#[test]
fn nobody_is_forgotten_when_the_bulkhead_shrinks() {
    check(2, 2, &[Room::visit, Room::visit, |room| room.retune(1)]);
}

/// A waker whose last copy gives a slot back, as one that owns a task that owns a permit does.
struct Owner(Arc<Room>);

impl Wake for Owner {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.slots.give_back();
    }
}

#[test]
fn a_waker_that_owns_a_slot_may_be_dropped_by_the_queue() {
    loom::model(|| {
        let room = Room::new(1, 1);
        for is_polled_again in [true, false] {
            assert!(room.slots.try_take());
            let owner = Waker::from(Arc::new(Owner(Arc::clone(&room))));
            let mut turn = room.slots.turn();
            assert!(turn.poll(&mut Context::from_waker(&owner)).is_pending());
            drop(owner);
            if is_polled_again {
                let mut context = Context::from_waker(Waker::noop());
                // The new waker takes the place of the old one, whose slot comes to this turn.
                assert!(turn.poll(&mut context).is_pending());
                assert!(turn.poll(&mut context).is_ready());
                room.slots.give_back();
            }
            drop(turn);
            room.check_empty();
        }
    });
}

#[test]
fn a_new_slot_goes_to_those_who_wait_and_to_nobody_in_between() {
    loom::model(|| {
        let room = Room::new(1, 2);
        let mut context = Context::from_waker(Waker::noop());
        assert!(room.slots.try_take());
        let mut turn = room.slots.turn();
        assert!(turn.poll(&mut context).is_pending());
        room.slots.set_bounds(2, 8);
        assert!(!room.slots.try_take());
        room.slots.hand_out();
        assert!(turn.poll(&mut context).is_ready());
    });
}
