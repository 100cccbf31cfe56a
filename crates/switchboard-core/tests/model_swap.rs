//! Every interleaving of calls, creations and swaps of one instance.
//!
//! What is modelled is the protocol of the slot, over loom: the shards of a generation and the
//! drain signal by a stand-in of the same shape (the real one needs `Weak` and unsized `Arc`s, which
//! loom does not have), the meeting of creations and exclusive swaps by the very file of the
//! library.

#![allow(clippy::unwrap_used, reason = "a model stops at the first surprise")]

#[allow(dead_code, reason = "the models use less than the library does")]
#[path = "../src/flight.rs"]
mod flight;

#[path = "over_loom/mod.rs"]
mod sync;

use std::sync::Arc;

use loom::future::block_on;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::sync::{Arc as Counted, Condvar, Notify};
use loom::thread;

use flight::{Boarding, Flight, Outcome};
use sync::Mutex;

/// A driver; calls of a closed one are what must not happen.
struct Driver {
    closed: AtomicBool,
    drained: AtomicBool,
    told: Notify,
}

/// Dropped with the last shard and the last hold of it, which is the drain signal.
struct Alive(Arc<Driver>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.drained.store(true, Ordering::SeqCst);
        self.0.told.notify();
    }
}

/// One counter of references per stripe, as `Sharded`; each keeps the signal from coming.
#[derive(Clone)]
struct Shards([Counted<Shard>; 2]);

struct Shard {
    driver: Arc<Driver>,
    _alive: Counted<Alive>,
}

impl Shards {
    fn new() -> (Self, Arc<Driver>) {
        let driver = Arc::new(Driver {
            closed: AtomicBool::new(false),
            drained: AtomicBool::new(false),
            told: Notify::new(),
        });
        let alive = Counted::new(Alive(driver.clone()));
        let shard = || Counted::new(Shard { driver: driver.clone(), _alive: alive.clone() });
        (Self([shard(), shard()]), driver)
    }
}

/// A call on one stripe: hold, use, let go.
fn call(current: &Mutex<Shards>, stripe: usize) {
    let held = current.lock().0[stripe].clone();
    assert!(!held.driver.closed.load(Ordering::SeqCst), "closed under a call");
    thread::yield_now();
    assert!(!held.driver.closed.load(Ordering::SeqCst), "closed under a call");
}

#[test]
fn the_old_driver_is_closed_after_its_last_call_and_the_signal_for_it_always_comes() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let (shards, old) = Shards::new();
        // The slot keeps the generation besides publishing it, so nothing drains before the flip.
        let serving = shards.clone();
        let current = Arc::new(Mutex::new(shards));
        let callers = [0, 1].map(|stripe| {
            let current = current.clone();
            thread::spawn(move || call(&current, stripe))
        });
        let (next, _new) = Shards::new();
        let before = std::mem::replace(&mut *current.lock(), next);
        drop((before, serving));
        while !old.drained.load(Ordering::SeqCst) {
            old.told.wait();
        }
        old.closed.store(true, Ordering::SeqCst);
        call(&current, 0);
        for caller in callers {
            caller.join().unwrap();
        }
    });
}

#[derive(Clone, Copy, PartialEq)]
enum Base {
    Vacant,
    Changing,
    Serving,
}

/// An instance whose driver cannot live twice.
struct Slot {
    base: Mutex<Base>,
    changed: Condvar,
    flight: Arc<Flight<()>>,
    live: AtomicUsize,
}

impl Slot {
    fn new() -> Arc<Self> {
        let base = Mutex::new(Base::Vacant);
        Arc::new(Self {
            base,
            changed: Condvar::new(),
            flight: Flight::new(),
            live: AtomicUsize::new(0),
        })
    }

    fn standing(&self) -> Base {
        *self.base.lock()
    }

    fn open(&self) {
        assert_eq!(self.live.fetch_add(1, Ordering::SeqCst), 0, "an exclusive driver lives twice");
    }

    fn close(&self) {
        self.live.fetch_sub(1, Ordering::SeqCst);
    }

    /// What a caller does until something serves.
    async fn ensure(&self) {
        loop {
            let mut base = self.base.lock();
            while *base == Base::Changing {
                base = self.changed.wait(base).unwrap();
            }
            if *base == Base::Serving {
                return;
            }
            drop(base);
            match self.flight.board() {
                Boarding::Lead(leader) => {
                    self.create();
                    leader.land(Outcome::Done);
                }
                Boarding::Wait(landed) => {
                    landed.await;
                }
            }
        }
    }

    fn create(&self) {
        if self.standing() != Base::Vacant {
            return;
        }
        self.open();
        let mut base = self.base.lock();
        match *base {
            Base::Vacant => *base = Base::Serving,
            _ => self.close(),
        }
    }

    async fn swap(&self) {
        let _no_creation = self.flight.lead().await;
        let before = std::mem::replace(&mut *self.base.lock(), Base::Changing);
        if before == Base::Serving {
            self.close();
        }
        self.open();
        *self.base.lock() = Base::Serving;
        self.changed.notify_all();
    }
}

#[test]
fn an_exclusive_driver_never_lives_twice_while_callers_create_it_and_a_swap_exchanges_it() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let slot = Slot::new();
        let callers =
            [slot.clone(), slot.clone()].map(|slot| thread::spawn(move || block_on(slot.ensure())));
        block_on(slot.swap());
        for caller in callers {
            caller.join().unwrap();
        }
        assert!(slot.standing() == Base::Serving);
        assert_eq!(slot.live.load(Ordering::SeqCst), 1);
    });
}
