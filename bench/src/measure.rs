//! Runs the contenders of a line side by side.
//!
//! A shared machine changes its pace from second to second. So each round times every contender
//! once, in an order that changes from round to round, and contenders are only compared within a
//! round.

use std::time::Duration;

use crate::allocations;
use crate::crew::Crew;
use crate::line::{Contender, Line};
use crate::stats::Spread;

/// How much is measured.
pub struct Plan {
    pub name: &'static str,
    pub rounds: usize,
    /// The least time a sample takes, so that reading the clock and starting threads vanish in it.
    pub sample: Duration,
    /// How long each contender runs before its first sample.
    pub warm_up: Duration,
}

impl Plan {
    /// For figures that are published.
    pub const FULL: Self = Self {
        name: "full",
        rounds: 40,
        sample: Duration::from_millis(5),
        warm_up: Duration::from_millis(200),
    };

    /// To see whether everything runs, and roughly how fast.
    pub const QUICK: Self = Self {
        name: "quick",
        rounds: 10,
        sample: Duration::from_millis(2),
        warm_up: Duration::from_millis(20),
    };
}

/// What one line gave with one number of threads.
pub struct Measured {
    pub threads: usize,
    pub outcomes: Vec<Outcome>,
}

/// What one contender gave.
pub struct Outcome {
    pub name: &'static str,
    pub packages: &'static [&'static str],
    /// Nanoseconds per operation of one thread, one number per round.
    pub rounds: Vec<f64>,
    /// Allocations per operation.
    pub allocations: f64,
    pub figure: Option<f64>,
}

impl Measured {
    /// The outcome of the contender called `name`, if it took part.
    pub fn of(&self, name: &str) -> Option<&Outcome> {
        self.outcomes.iter().find(|outcome| outcome.name == name)
    }
}

impl Outcome {
    /// The outcome of `contender` before its first sample.
    fn before(contender: &Contender) -> Self {
        let Contender { name, packages, .. } = *contender;
        Self { name, packages, rounds: Vec::new(), allocations: 0.0, figure: None }
    }

    /// Nanoseconds per operation.
    pub fn nanoseconds(&self) -> Spread {
        Spread::of(self.rounds.iter().copied())
    }

    /// How many times as long as `peer` this took, round by round.
    pub fn times(&self, peer: &Self) -> Spread {
        Spread::of(self.rounds.iter().zip(&peer.rounds).map(|(own, other)| own / other))
    }

    /// How many nanoseconds longer than `peer` this took, round by round.
    pub fn above(&self, peer: &Self) -> Spread {
        Spread::of(self.rounds.iter().zip(&peer.rounds).map(|(own, other)| own - other))
    }
}

/// Measures `line` with each of its numbers of threads.
pub fn measure(line: &Line, plan: &Plan) -> Vec<Measured> {
    line.threads.iter().map(|threads| measure_with(line, plan, *threads)).collect()
}

fn measure_with(line: &Line, plan: &Plan, threads: usize) -> Measured {
    let rigs: Vec<_> = line.contenders.iter().map(|contender| contender.build(threads)).collect();
    let crew = Crew::of(threads, &rigs);
    let repetitions: Vec<u64> =
        (0..rigs.len()).map(|contender| repetitions_of(contender, &crew, plan)).collect();

    let mut outcomes: Vec<Outcome> = line.contenders.iter().map(Outcome::before).collect();
    for round in 0..plan.rounds {
        for contender in order(round, rigs.len()) {
            let wall = crew.run(contender, repetitions[contender]);
            let each = wall.as_nanos() as f64 / repetitions[contender] as f64;
            outcomes[contender].rounds.push(each);
        }
    }
    for (contender, outcome) in outcomes.iter_mut().enumerate() {
        outcome.allocations = allocations_of(contender, &crew, repetitions[contender], threads);
        outcome.figure = rigs[contender].figure();
    }
    crew.dismiss();
    Measured { threads, outcomes }
}

/// Warms a contender up, and finds how many repetitions fill a sample.
fn repetitions_of(contender: usize, crew: &Crew, plan: &Plan) -> u64 {
    let (mut repetitions, mut spent) = (1_u64, Duration::ZERO);
    loop {
        let took = crew.run(contender, repetitions);
        spent += took;
        if took < plan.sample {
            // Aims a fifth too high, so that the next try is likely the last; at most tenfold,
            // because the first operations are slower than those that follow.
            let missing = plan.sample.as_nanos() as f64 / took.as_nanos().max(1) as f64;
            repetitions = (repetitions as f64 * (missing * 1.2).min(10.0)).ceil() as u64;
        } else if spent >= plan.warm_up {
            return repetitions;
        }
    }
}

/// The order of contenders in `round`: begins with another one each time, and goes back instead
/// of forth every second time, so that nobody always runs behind the same neighbour.
fn order(round: usize, contenders: usize) -> impl Iterator<Item = usize> {
    (0..contenders).map(move |place| {
        let turned = (place + round / 2) % contenders;
        if round.is_multiple_of(2) { turned } else { contenders - 1 - turned }
    })
}

fn allocations_of(contender: usize, crew: &Crew, repetitions: u64, threads: usize) -> f64 {
    // What giving the order allocates is counted beside, and taken off.
    let count = |repetitions| allocations::during(|| _ = crew.run(contender, repetitions));
    let (idle, busy) = (count(0), count(repetitions));
    busy.saturating_sub(idle) as f64 / (repetitions * threads as u64) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::each;

    #[test]
    fn every_round_runs_every_contender_once_and_each_of_them_first_some_time() {
        let mut first = Vec::new();
        for round in 0..10 {
            let order: Vec<usize> = order(round, 5).collect();
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3, 4]);
            first.push(order[0]);
        }
        first.sort_unstable();
        first.dedup();
        assert_eq!(first, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn allocations_are_counted_per_operation_and_thread() {
        let line = Line {
            name: "test",
            about: "",
            reference: "none",
            threads: &[1, 2],
            figure: None,
            needs: None,
            contenders: vec![
                Contender::new("none", |_| |_| each(|turn| turn + 1)),
                Contender::new("two", |_| |_| each(|turn| (Box::new(turn), Box::new(turn)))),
            ],
            goals: Vec::new(),
        };
        let plan = Plan {
            name: "test",
            rounds: 2,
            sample: Duration::from_micros(200),
            warm_up: Duration::ZERO,
        };
        for measured in measure(&line, &plan) {
            // Other tests of this process allocate too, so these are no equalities.
            assert!(measured.outcomes[1].allocations >= 2.0);
            assert_eq!(measured.outcomes[1].rounds.len(), 2);
        }
    }
}
