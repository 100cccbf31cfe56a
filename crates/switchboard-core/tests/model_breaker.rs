//! The breaker's states under every order in which threads can run.
//!
//! Compiles the very file of the library over loom's locks and atomics.

#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]

use std::sync::Arc;

use loom::thread;

#[path = "../src/gates/breaker/state.rs"]
#[expect(dead_code, reason = "a model needs less of it than the breaker")]
mod state;

#[path = "over_loom/mod.rs"]
mod sync;

use state::{Change, Circuit, Host, Mode, Refusal, Rules, Ticket};

/// Remembers the changes, and finds each one following from the one before.
struct Log(sync::Mutex<Vec<Change>>);

impl Host for Log {
    fn open_time(&self, _: u32) -> u64 {
        OPEN_FOR
    }

    fn is_quiet(&self, _: u64) -> bool {
        false
    }

    fn changed(&self, change: Change) {
        let mut changes = self.0.lock();
        let before = changes.last().map_or(Mode::Closed, |last| last.to);
        assert_eq!(change.from, before, "told out of order");
        changes.push(change);
    }
}

struct Breaker {
    circuit: Circuit,
    log: Log,
}

impl Breaker {
    /// Open since the beginning of time.
    fn opened(probes: u32) -> Arc<Self> {
        let rules = Rules { probes, probes_for: PROBES_FOR };
        let breaker = Self { circuit: Circuit::new(rules), log: Log(sync::Mutex::new(Vec::new())) };
        let ticket = breaker.circuit.pass().unwrap();
        breaker.circuit.trip(ticket, 0, &breaker.log);
        assert_eq!(breaker.mode(), Mode::Open);
        Arc::new(breaker)
    }

    fn enter(&self, now: u64) -> Result<Ticket, Refusal> {
        self.circuit.enter(now, &self.log)
    }

    fn mode(&self) -> Mode {
        self.circuit.word().mode()
    }

    fn count(&self, to: Mode) -> usize {
        self.log.0.lock().iter().filter(|change| change.to == to).count()
    }
}

/// Runs `model` in every order with up to three preemptions, which is where such mistakes show; all
/// orders of three threads would take minutes.
fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// Runs `f` on a thread of its own.
fn spawn<T: 'static>(
    breaker: &Arc<Breaker>,
    f: impl FnOnce(&Breaker) -> T + 'static,
) -> thread::JoinHandle<T> {
    let breaker = Arc::clone(breaker);
    thread::spawn(move || f(&breaker))
}

#[test]
fn at_the_end_of_the_open_time_exactly_the_probes_pass() {
    for probes in [1, 2] {
        check(move || {
            let breaker = Breaker::opened(probes);
            let others = [(); 2].map(|()| spawn(&breaker, |breaker| breaker.enter(OPEN_FOR)));
            let own = breaker.enter(OPEN_FOR);
            let entered = others.map(|other| other.join().unwrap()).into_iter().chain([own]);
            let tickets: Vec<_> = entered.flatten().collect();
            assert_eq!(tickets.len(), probes as usize);
            assert!(tickets.iter().all(|ticket| ticket.is_probe));
            assert_eq!(breaker.count(Mode::HalfOpen), 1);
        });
    }
}

#[test]
fn a_probe_given_back_can_be_had_again_by_exactly_one() {
    check(|| {
        let breaker = Breaker::opened(1);
        let probe = breaker.enter(OPEN_FOR).unwrap();
        let giving = spawn(&breaker, move |breaker| breaker.circuit.probe_returned(probe));
        let taking = spawn(&breaker, |breaker| breaker.enter(OPEN_FOR).is_ok());
        giving.join().unwrap();
        let was_taken = taking.join().unwrap();
        assert_eq!(breaker.circuit.check(OPEN_FOR, &breaker.log).is_err(), was_taken);
        assert_eq!(breaker.enter(OPEN_FOR).is_err(), was_taken);
    });
}

#[test]
fn a_late_probe_of_an_older_time_changes_nothing() {
    check(|| {
        let breaker = Breaker::opened(1);
        let late = breaker.enter(OPEN_FOR).unwrap();
        let given_up_at = OPEN_FOR + PROBES_FOR;
        assert!(breaker.enter(given_up_at).is_err());
        let again = given_up_at + OPEN_FOR;

        let recording = spawn(&breaker, move |breaker| {
            breaker.circuit.probe_succeeded(late, again, &breaker.log);
            breaker.circuit.probe_returned(late);
            breaker.circuit.probe_failed(late, again, &breaker.log);
        });
        let probing = spawn(&breaker, move |breaker| breaker.enter(again).is_ok());
        recording.join().unwrap();
        assert!(probing.join().unwrap());
        assert_eq!(breaker.mode(), Mode::HalfOpen);
        assert!(breaker.enter(again).is_err());
    });
}

#[test]
fn what_is_forced_holds_against_a_probe_that_closes_and_one_that_fails() {
    for succeeds in [true, false] {
        check(move || {
            let breaker = Breaker::opened(1);
            let probe = breaker.enter(OPEN_FOR).unwrap();
            let ending = spawn(&breaker, move |breaker| {
                if succeeds {
                    breaker.circuit.probe_succeeded(probe, OPEN_FOR, &breaker.log);
                } else {
                    breaker.circuit.probe_failed(probe, OPEN_FOR, &breaker.log);
                }
            });
            breaker.circuit.force(Mode::ForcedOpen, OPEN_FOR, &breaker.log);
            ending.join().unwrap();
            assert_eq!(breaker.mode(), Mode::ForcedOpen);
            assert!(breaker.enter(u64::MAX).is_err());
            assert_eq!(breaker.count(Mode::ForcedOpen), 1);
        });
    }
}

#[test]
fn a_closed_circuit_opens_once_however_many_see_the_need() {
    check(|| {
        let breaker = Breaker::opened(1);
        breaker.circuit.reset(1, &breaker.log);
        let tripping = [(); 2].map(|()| {
            spawn(&breaker, |breaker| {
                let Some(ticket) = breaker.circuit.pass() else { return };
                breaker.circuit.trip(ticket, 1, &breaker.log);
            })
        });
        for thread in tripping {
            thread.join().unwrap();
        }
        assert_eq!(breaker.mode(), Mode::Open);
        assert_eq!(breaker.count(Mode::Open), 2, "once before the reset, once after");
    });
}

#[test]
fn a_verdict_from_before_a_reset_opens_nothing() {
    check(|| {
        let breaker = Breaker::opened(1);
        breaker.circuit.reset(1, &breaker.log);
        let late = breaker.circuit.pass().unwrap();
        let tripping = spawn(&breaker, move |breaker| breaker.circuit.trip(late, 1, &breaker.log));
        breaker.circuit.reset(2, &breaker.log);
        breaker.circuit.trip(late, 3, &breaker.log);
        tripping.join().unwrap();
        assert_eq!(breaker.mode(), Mode::Closed);
    });
}

#[test]
fn probes_that_do_not_end_open_it_once_however_many_notice() {
    check(|| {
        let breaker = Breaker::opened(1);
        let _hung = breaker.enter(OPEN_FOR).unwrap();
        let late = OPEN_FOR + PROBES_FOR;
        let entering = spawn(&breaker, move |breaker| breaker.enter(late).is_err());
        assert!(breaker.circuit.check(late, &breaker.log).is_err());
        assert!(entering.join().unwrap());
        assert_eq!(breaker.mode(), Mode::Open);
        assert_eq!(breaker.count(Mode::Open), 2);
    });
}

const OPEN_FOR: u64 = 10;
const PROBES_FOR: u64 = 7;
