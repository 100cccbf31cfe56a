//! Every interleaving of callers that want a value, forget it and close the place it is kept in.
//!
//! The files under test are compiled here a second time, over loom's locks.

#![allow(clippy::unwrap_used, reason = "a model stops at the first surprise")]

#[allow(dead_code, unreachable_pub, reason = "the model uses a part of it")]
#[path = "../src/flight.rs"]
mod flight;

#[allow(dead_code, unreachable_pub, reason = "the model uses a part of it")]
#[path = "../src/kept.rs"]
mod kept;

#[path = "over_loom/mod.rs"]
mod sync;

use loom::future::block_on;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use std::sync::Arc;

use kept::{Kept, Unmade};

/// A place for connections, each with a number, that counts those being made and those ended.
struct Harbour {
    kept: Kept<Ship, u32>,
    at_work: AtomicUsize,
    made: AtomicUsize,
    ended: Arc<AtomicUsize>,
}

struct Ship {
    number: usize,
    ended: Arc<AtomicUsize>,
}

impl Drop for Ship {
    fn drop(&mut self) {
        self.ended.fetch_add(1, Ordering::SeqCst);
    }
}

impl Harbour {
    fn new() -> Arc<Self> {
        let (at_work, made) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { kept: Kept::new(), at_work, made, ended: Arc::default() })
    }

    async fn get(&self) -> Result<Arc<Ship>, Unmade<u32>> {
        self.kept
            .get_or_make(|| async {
                assert_eq!(self.at_work.fetch_add(1, Ordering::SeqCst), 0, "two at work");
                let number = self.made.fetch_add(1, Ordering::SeqCst);
                self.at_work.fetch_sub(1, Ordering::SeqCst);
                Ok(Ship { number, ended: self.ended.clone() })
            })
            .await
    }

    /// Gets a ship on a thread of its own; the answer is its number.
    fn spawn_get(self: &Arc<Self>) -> thread::JoinHandle<Result<usize, Unmade<u32>>> {
        let harbour = self.clone();
        thread::spawn(move || block_on(harbour.get()).map(|ship| ship.number))
    }

    fn counts(&self) -> (usize, usize) {
        (self.made.load(Ordering::SeqCst), self.ended.load(Ordering::SeqCst))
    }
}

fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

#[test]
fn of_three_callers_one_makes_the_value_and_all_get_it() {
    check(|| {
        let harbour = Harbour::new();
        let others = [harbour.spawn_get(), harbour.spawn_get()];
        assert_eq!(block_on(harbour.get()).unwrap().number, 0);
        for other in others {
            assert_eq!(other.join().unwrap(), Ok(0));
        }
        assert_eq!(harbour.counts(), (1, 0));
    });
}

#[test]
fn who_asks_after_forgetting_never_gets_what_was_begun_before() {
    check(|| {
        let harbour = Harbour::new();
        let early = harbour.spawn_get();
        let begun = harbour.made.load(Ordering::SeqCst);
        drop(harbour.kept.forget());
        let late = block_on(harbour.get()).unwrap();
        assert!(late.number >= begun, "ship {} of a time that is over", late.number);
        early.join().unwrap().unwrap();
        drop(late);
        let kept = usize::from(harbour.kept.value().is_some());
        let (made, ended) = harbour.counts();
        assert_eq!(made - ended, kept, "every ship that is not kept has ended");
    });
}

#[test]
fn what_is_made_in_the_place_of_what_was_forgotten_is_kept() {
    check(|| {
        let harbour = Harbour::new();
        let others = [harbour.spawn_get(), harbour.spawn_get()];
        // Where there was something to forget nobody was making anything.
        let forgot = harbour.kept.forget().is_some();
        for other in others {
            other.join().unwrap().unwrap();
        }
        let (made, kept) = (harbour.counts().0, harbour.kept.value().is_some());
        assert!(!forgot || kept == (made == 2), "{made} made, kept: {kept}");
    });
}

#[test]
fn of_two_that_saw_the_same_value_break_one_takes_it_out() {
    check(|| {
        let harbour = Harbour::new();
        let broken = block_on(harbour.get()).unwrap();
        let other = {
            let (harbour, broken) = (harbour.clone(), broken.clone());
            thread::spawn(move || {
                let taken = harbour.kept.forget_if(&broken).is_some();
                (taken, block_on(harbour.get()).unwrap().number)
            })
        };
        let taken = harbour.kept.forget_if(&broken).is_some();
        let next = block_on(harbour.get()).unwrap().number;
        let (other_taken, other_next) = other.join().unwrap();
        assert!(taken ^ other_taken, "one of them, and only one");
        assert_eq!((next, other_next, harbour.counts().0), (1, 1, 2));
    });
}

#[test]
fn nothing_is_kept_after_closing_and_nobody_waits_for_ever() {
    check(|| {
        let harbour = Harbour::new();
        let callers = [harbour.spawn_get(), harbour.spawn_get()];
        drop(harbour.kept.close());
        assert_eq!(block_on(harbour.get()).map(|ship| ship.number), Err(Unmade::Closed));
        for caller in callers {
            let got = caller.join().unwrap();
            assert!(matches!(got, Ok(0) | Err(Unmade::Closed)), "{got:?}");
        }
        assert!(harbour.kept.value().is_none());
        let (made, ended) = harbour.counts();
        assert_eq!(made, ended, "every ship has ended");
    });
}

#[test]
fn a_failure_reaches_who_waited_and_the_next_one_tries_again() {
    check(|| {
        let harbour = Harbour::new();
        let failing = {
            let harbour = harbour.clone();
            let fail = async move || {
                harbour.kept.get_or_make(|| async { Err(7) }).await.map(|ship| ship.number)
            };
            thread::spawn(move || block_on(fail()))
        };
        let got = harbour.spawn_get().join().unwrap();
        let failed = failing.join().unwrap();
        assert!(matches!(got, Ok(0) | Err(Unmade::Failed(7))), "{got:?}");
        assert!(matches!(failed, Ok(0) | Err(Unmade::Failed(7))), "{failed:?}");
        assert_eq!(block_on(harbour.get()).unwrap().number, 0);
    });
}
