//! Every interleaving of callers that meet to create something once.
//!
//! The file under test is compiled here a second time, over loom's locks.

#![allow(clippy::unwrap_used, reason = "a model stops at the first surprise")]

#[path = "../src/flight.rs"]
mod flight;

#[path = "over_loom/mod.rs"]
mod sync;

use std::task::{Context, Poll, Waker};

use loom::future::block_on;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use std::sync::Arc;

use flight::{Boarding, Flight, Outcome};

/// A flight, and what its leaders do: count how many are at work and how many finished.
struct Airport {
    flight: Arc<Flight<u32>>,
    at_work: AtomicUsize,
    finished: AtomicUsize,
}

impl Airport {
    fn new() -> Arc<Self> {
        let (at_work, finished) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { flight: Flight::new(), at_work, finished })
    }

    /// Leads or waits until the work is done, as an instance is created.
    async fn reach(&self) {
        while self.finished.load(Ordering::SeqCst) == 0 {
            match self.flight.board() {
                Boarding::Lead(leader) => {
                    assert_eq!(self.at_work.fetch_add(1, Ordering::SeqCst), 0, "two leaders");
                    if self.finished.load(Ordering::SeqCst) == 0 {
                        self.finished.fetch_add(1, Ordering::SeqCst);
                    }
                    self.at_work.fetch_sub(1, Ordering::SeqCst);
                    leader.land(Outcome::Done);
                }
                // Looks once more, because whoever served meanwhile may have sent the waiting on
                // their way before this one was among them.
                Boarding::Wait(_) if self.finished.load(Ordering::SeqCst) > 0 => {}
                Boarding::Wait(landed) => assert_ne!(landed.await, Outcome::Failed(0)),
            }
        }
    }

    fn spawn_reach(self: &Arc<Self>) -> thread::JoinHandle<()> {
        let airport = self.clone();
        thread::spawn(move || block_on(airport.reach()))
    }
}

#[test]
fn of_three_callers_one_leads_and_all_arrive() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let airport = Airport::new();
        let others = [airport.spawn_reach(), airport.spawn_reach()];
        block_on(airport.reach());
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(airport.finished.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn when_a_leader_goes_away_one_of_those_who_waited_leads() {
    loom::model(|| {
        let airport = Airport::new();
        let Boarding::Lead(leader) = airport.flight.board() else { panic!("nobody was there") };
        airport.at_work.fetch_add(1, Ordering::SeqCst);
        let waiting = airport.spawn_reach();
        airport.at_work.fetch_sub(1, Ordering::SeqCst);
        drop(leader);
        waiting.join().unwrap();
        assert_eq!(airport.finished.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn a_failure_reaches_who_waited_and_nobody_who_comes_later() {
    loom::model(|| {
        let airport = Airport::new();
        let Boarding::Lead(leader) = airport.flight.board() else { panic!("nobody was there") };
        let other = airport.clone();
        let waiting = thread::spawn(move || match other.flight.board() {
            Boarding::Wait(landed) => {
                assert_eq!(block_on(landed), Outcome::Failed(7), "it waited for this one");
            }
            Boarding::Lead(next) => drop(next),
        });
        leader.land(Outcome::Failed(7));
        waiting.join().unwrap();
        assert!(matches!(airport.flight.board(), Boarding::Lead(_)));
    });
}

#[test]
fn who_is_overtaken_is_woken_and_the_leader_stays_the_only_one() {
    loom::model(|| {
        let airport = Airport::new();
        let Boarding::Lead(leader) = airport.flight.board() else { panic!("nobody was there") };
        let Boarding::Wait(landed) = airport.flight.board() else { panic!("two leaders") };
        let waiting = thread::spawn(move || block_on(landed));
        let other = airport.clone();
        let overtaking = thread::spawn(move || other.flight.overtake());
        overtaking.join().unwrap();
        assert!(matches!(airport.flight.board(), Boarding::Wait(_)));
        leader.land(Outcome::Done);
        assert_eq!(waiting.join().unwrap(), Outcome::Done);
    });
}

#[test]
fn who_boards_while_it_is_served_by_other_means_waits_for_no_leader() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let airport = Airport::new();
        let Boarding::Lead(leader) = airport.flight.board() else { panic!("nobody was there") };
        let arriving = [airport.spawn_reach(), airport.spawn_reach()];
        // As an override or a swap does it: first published, then the waiting are sent on.
        airport.finished.fetch_add(1, Ordering::SeqCst);
        airport.flight.overtake();
        for arrived in arriving {
            arrived.join().unwrap();
        }
        drop(leader);
        assert_eq!(airport.finished.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn who_waits_after_an_overtaking_waits_for_the_leader() {
    loom::model(|| {
        let airport = Airport::new();
        let Boarding::Lead(leader) = airport.flight.board() else { panic!("nobody was there") };
        airport.flight.overtake();
        let Boarding::Wait(mut landed) = airport.flight.board() else { panic!("two leaders") };
        let mut context = Context::from_waker(Waker::noop());
        let polled = std::pin::Pin::new(&mut landed).poll(&mut context);
        assert_eq!(polled, Poll::Pending, "looking again and again would never end");
        leader.land(Outcome::Failed(1));
        assert_eq!(block_on(landed), Outcome::Failed(1));
    });
}

#[test]
fn a_waiter_that_goes_away_takes_no_wake_up_from_another() {
    loom::model(|| {
        let airport = Airport::new();
        let Boarding::Lead(leader) = airport.flight.board() else { panic!("nobody was there") };
        let Boarding::Wait(mut fickle) = airport.flight.board() else { panic!("two leaders") };
        let mut context = Context::from_waker(Waker::noop());
        assert!(std::pin::Pin::new(&mut fickle).poll(&mut context).is_pending());
        let waiting = airport.spawn_reach();
        let leaving = thread::spawn(move || drop(fickle));
        leader.land(Outcome::Abandoned);
        leaving.join().unwrap();
        waiting.join().unwrap();
        assert_eq!(airport.finished.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn who_insists_on_leading_leads_alone_and_after_the_others() {
    loom::model(|| {
        let airport = Airport::new();
        let lead = |airport: Arc<Airport>| async move {
            let leader = airport.flight.lead().await;
            assert_eq!(airport.at_work.fetch_add(1, Ordering::SeqCst), 0, "two leaders");
            airport.at_work.fetch_sub(1, Ordering::SeqCst);
            drop(leader);
        };
        let other = airport.clone();
        let leading = thread::spawn(move || block_on(lead(other)));
        block_on(lead(airport));
        leading.join().unwrap();
    });
}
