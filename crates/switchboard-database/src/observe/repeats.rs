//! Queries that are asked again and again in one piece of work, where one for all values would do.

use std::collections::HashMap;
use std::panic::Location;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::NPlusOneConfig;
use crate::pool::Work;

/// Counts queries with values and few rows, for each piece of work.
pub(super) struct Repeats {
    warn_after: u32,
    runs: Mutex<HashMap<(Work, Arc<str>), Run>>,
}

/// What one piece of work has asked with one statement.
struct Run {
    count: u32,
    first: &'static Location<'static>,
    last: Instant,
}

/// More of the same than anybody needs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Repeated {
    pub(super) count: u32,
    pub(super) first: &'static Location<'static>,
}

impl Repeats {
    /// None where nobody wants to know.
    pub(super) fn new(config: &NPlusOneConfig) -> Option<Self> {
        let warn_after = config.warn_after;
        (warn_after > 0).then(|| Self { warn_after, runs: Mutex::default() })
    }

    /// `statement` was asked `at` that line of the program and has answered with so many rows. What is to be told
    /// of that, once for each piece of work.
    pub(super) fn count(
        &self,
        statement: &Arc<str>,
        rows: u64,
        at: &'static Location<'static>,
        now: Instant,
    ) -> Option<Repeated> {
        if rows > ROWS_FEW || !has_values(statement) {
            return None;
        }
        let work = Work::current();
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        if runs.len() >= RUNS_MAX {
            make_room(&mut runs, now);
        }
        let fresh = Run { count: 0, first: at, last: now };
        let run = runs.entry((work, statement.clone())).or_insert(fresh);
        if !work.is_scope() && now.saturating_duration_since(run.last) > PAUSE_MAX {
            *run = Run { count: 0, first: at, last: now };
        }
        run.count = run.count.saturating_add(1);
        run.last = now;
        let is_news = run.count == self.warn_after.saturating_add(1);
        is_news.then_some(Repeated { count: run.count, first: run.first })
    }
}

/// Whether values stand in its normal form. What asks for the same each time is no part of a larger question.
fn has_values(statement: &str) -> bool {
    statement.contains(['?', '…'])
}

/// Forgets what went on longest ago; what is still going on is counted again from the start, if need be.
fn make_room(runs: &mut HashMap<(Work, Arc<str>), Run>, now: Instant) {
    runs.retain(|_, run| now.saturating_duration_since(run.last) <= PAUSE_MAX);
    if runs.len() > RUNS_MAX / 2 {
        runs.clear();
    }
}

/// The most rows of an answer that may be a part of a larger one.
const ROWS_FEW: u64 = 10;

/// What a task asks after so long belongs to something else it does: tasks may live as long as the program.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// How many statements of pieces of work are counted at a time.
const RUNS_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use switchboard_core::Clock;

    use super::*;
    use crate::pool::scoped;

    fn repeats(warn_after: u32) -> (Repeats, Instant) {
        (Repeats::new(&NPlusOneConfig { warn_after }).unwrap(), Clock::system().now())
    }

    #[test]
    fn nothing_is_counted_unless_it_is_asked_for() {
        assert!(Repeats::new(&NPlusOneConfig::default()).is_none());
    }

    #[tokio::test]
    async fn one_is_told_once_when_it_was_asked_more_often_than_that() {
        let (repeats, now) = repeats(3);
        let statement = "select a from t where id = ?".into();
        let first = Location::caller();
        let mut told = vec![repeats.count(&statement, 1, first, now)];
        told.extend((0..9).map(|_| repeats.count(&statement, 1, Location::caller(), now)));
        let expected = Repeated { count: 4, first };
        assert_eq!(told.iter().flatten().collect::<Vec<_>>(), [&expected]);
        assert_eq!(told[3], Some(expected));
    }

    #[tokio::test]
    async fn statements_without_values_and_long_answers_are_not_counted() {
        let (repeats, now) = repeats(1);
        for _ in 0..5 {
            let at = Location::caller();
            assert_eq!(repeats.count(&"select now()".into(), 1, at, now), None);
            assert_eq!(repeats.count(&"select a from t where id > ?".into(), 11, at, now), None);
        }
    }

    #[tokio::test]
    async fn each_piece_of_work_is_counted_for_itself() {
        let (repeats, now) = repeats(1);
        let ask = || repeats.count(&"select ?".into(), 1, Location::caller(), now).is_some();
        for _ in 0..3 {
            assert!(!scoped(async { ask() }).await);
        }
        // What is inside of something belongs to it.
        let inside =
            scoped(async { (scoped(async { ask() }).await, scoped(async { ask() }).await) });
        assert_eq!(inside.await, (false, true));
    }

    #[tokio::test]
    async fn a_task_that_does_something_else_meanwhile_begins_anew() {
        let (repeats, start) = repeats(1);
        let ask = |seconds| {
            let now = start + Duration::from_secs(seconds);
            repeats.count(&"select ?".into(), 1, Location::caller(), now).is_some()
        };
        assert_eq!([ask(0), ask(2), ask(4), ask(5)], [false, false, false, true]);
        let slowly = scoped(async { [ask(10), ask(20), ask(30)] });
        assert_eq!(slowly.await, [false, true, false]);
    }

    #[tokio::test]
    async fn there_is_a_limit_to_what_is_counted() {
        let (repeats, now) = repeats(1);
        for number in 0..RUNS_MAX * 3 {
            repeats.count(&format!("select a{number}, ?").into(), 1, Location::caller(), now);
        }
        assert!(repeats.runs.lock().unwrap().len() <= RUNS_MAX);
    }
}
