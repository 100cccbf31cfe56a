//! The counts that a hedge learns from, under every interleaving that loom can reach.
//!
//! Compiles the very file of the library over loom's atomics.

#![allow(clippy::unwrap_used, reason = "in tests a panic says what is wrong")]

#[allow(dead_code, reason = "the models use less than hedging does")]
#[path = "../src/gates/hedge/turning.rs"]
mod turning;

#[path = "over_loom/mod.rs"]
mod sync;

use std::sync::Arc;

use loom::thread;

use crate::turning::Turning;

fn check(model: impl Fn(Arc<Turning>) + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || model(Arc::new(Turning::new())));
}

fn spawn<T: 'static>(
    turning: &Arc<Turning>,
    part: impl FnOnce(&Turning) -> T + 'static,
) -> thread::JoinHandle<T> {
    let turning = Arc::clone(turning);
    thread::spawn(move || part(&turning))
}

#[test]
fn nothing_is_lost_or_counted_twice_while_the_period_turns() {
    check(|turning| {
        turning.add(4);
        let others = [4, 5].map(|period| spawn(&turning, move |turning| turning.add(period)));
        turning.add(5);
        for thread in others {
            thread.join().unwrap();
        }
        assert_eq!((turning.at(5), turning.at(6)), (4, 2));
    });
}

#[test]
fn whoever_turns_a_period_that_is_long_past_forgets_it_and_only_it() {
    check(|turning| {
        turning.add(1);
        let others = [7, 8].map(|period| spawn(&turning, move |turning| turning.add(period)));
        turning.add(8);
        for thread in others {
            thread.join().unwrap();
        }
        assert_eq!((turning.at(8), turning.at(9)), (3, 2));
    });
}

#[test]
fn who_reads_beside_it_sees_each_count_whole() {
    check(|turning| {
        turning.add(4);
        let reader = spawn(&turning, |turning| turning.at(5));
        turning.add(5);
        turning.add(5);
        let seen = reader.join().unwrap();
        assert!((1..=3).contains(&seen), "{seen}");
    });
}
