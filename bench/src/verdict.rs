//! Holds what was promised against what was measured.

use crate::line::{Bound, Goal};
use crate::measure::Measured;
use crate::stats::ratio;

/// Whether a goal was reached, with the number that says so.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    Met(String),
    Missed(String),
    /// A contender the goal speaks of did not take part.
    Unmeasured,
}

impl Goal {
    /// The goal in words, made from the numbers it is judged by.
    pub fn text(&self) -> String {
        let subject = self.subject;
        let promise = match self.bound {
            Bound::Times { peer, at_most } => {
                format!("`{subject}` takes at most {at_most:.2}× as long as `{peer}`")
            }
            Bound::Above { peer, nanoseconds } => {
                format!("`{subject}` takes at most {nanoseconds:.0} ns longer than `{peer}`")
            }
            Bound::NoAllocation => format!("`{subject}` allocates nothing"),
            Bound::FigureNearBest { within } => {
                format!("the figure of `{subject}` is within {within:.3} of the best")
            }
        };
        let plural = if self.threads == 1 { "" } else { "s" };
        format!("{promise} ({} thread{plural})", self.threads)
    }

    /// Whether `results` reach the goal, by the median.
    pub fn judge(&self, results: &[Measured]) -> Verdict {
        self.compare(results).unwrap_or(Verdict::Unmeasured)
    }

    fn compare(&self, results: &[Measured]) -> Option<Verdict> {
        let measured = results.iter().find(|measured| measured.threads == self.threads)?;
        let subject = measured.of(self.subject)?;
        Some(match self.bound {
            Bound::Times { peer, at_most } => {
                let times = subject.times(measured.of(peer)?).median;
                verdict(times <= at_most, format!("{}×", ratio(times)))
            }
            Bound::Above { peer, nanoseconds } => {
                let above = subject.above(measured.of(peer)?).median;
                verdict(above <= nanoseconds, format!("{above:+.1} ns"))
            }
            Bound::NoAllocation => {
                let allocations = subject.allocations;
                verdict(allocations < ALLOCATIONS_NOTICED, format!("{allocations:.2}"))
            }
            Bound::FigureNearBest { within } => {
                let figures = measured.outcomes.iter().filter_map(|outcome| outcome.figure);
                let below = figures.fold(0.0, f64::max) - subject.figure?;
                verdict(below <= within, format!("{below:.3} below"))
            }
        })
    }
}

fn verdict(met: bool, found: String) -> Verdict {
    if met { Verdict::Met(found) } else { Verdict::Missed(found) }
}

/// Fewer than one allocation in two hundred operations belongs to the harness (a block of its
/// channel), not to the operation.
pub const ALLOCATIONS_NOTICED: f64 = 0.005;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Outcome;

    fn outcome(name: &'static str, rounds: &[f64], allocations: f64, figure: f64) -> Outcome {
        Outcome { name, packages: &[], rounds: rounds.to_vec(), allocations, figure: Some(figure) }
    }

    fn results() -> Vec<Measured> {
        let fast = outcome("fast", &[10.0, 30.0, 20.0], 0.0, 0.795);
        let slow = outcome("slow", &[100.0, 300.0, 200.0], 2.0, 0.8);
        vec![Measured { threads: 1, outcomes: vec![fast, slow] }]
    }

    #[test]
    fn a_ratio_is_taken_round_by_round() {
        let met = Goal::times("fast", 0.1, "slow", 1).judge(&results());
        assert_eq!(met, Verdict::Met("0.10×".to_owned()));
        let missed = Goal::times("fast", 0.09, "slow", 1).judge(&results());
        assert_eq!(missed, Verdict::Missed("0.10×".to_owned()));
    }

    #[test]
    fn a_difference_is_taken_round_by_round() {
        let missed = Goal::above("slow", 50.0, "fast", 1).judge(&results());
        assert_eq!(missed, Verdict::Missed("+180.0 ns".to_owned()));
    }

    #[test]
    fn allocations_and_figures_are_judged() {
        assert!(matches!(Goal::no_allocation("fast").judge(&results()), Verdict::Met(_)));
        assert!(matches!(Goal::no_allocation("slow").judge(&results()), Verdict::Missed(_)));
        let near = Goal::figure_near_best("fast", 0.01).judge(&results());
        assert!(matches!(near, Verdict::Met(_)));
        let far = Goal::figure_near_best("fast", 0.001).judge(&results());
        assert!(matches!(far, Verdict::Missed(_)));
    }

    #[test]
    fn a_goal_without_its_contender_or_its_threads_is_unmeasured() {
        assert_eq!(Goal::no_allocation("ours").judge(&results()), Verdict::Unmeasured);
        assert_eq!(Goal::times("fast", 1.0, "ours", 1).judge(&results()), Verdict::Unmeasured);
        assert_eq!(Goal::times("fast", 1.0, "slow", 4).judge(&results()), Verdict::Unmeasured);
    }
}
