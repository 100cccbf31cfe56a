//! What each statement has cost: counts and times by its normal form, and how many forms there may be.
//!
//! Counting is one short lock of that one statement. Who has its account at hand looks for nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{End, Run};
use crate::pool::{Histogram, Spread};

/// What one statement has done so far.
///
/// Statements that differ only in their values are one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StatementFigures {
    /// Its normal form, without any value; `other` for all those that had to make room.
    pub statement: Arc<str>,
    /// How often it was run, however that ended.
    pub count: u64,
    /// How often it failed.
    pub errors: u64,
    /// How often it was given up before its end: by a deadline, by whoever asked, by a panic; of a
    /// stream also when the last of its rows were not wanted.
    pub cancelled: u64,
    /// How many rows it read or changed.
    pub rows: u64,
    /// The longest it has taken.
    pub slowest: Duration,
    /// How long it took, from being sent to being answered; what a stream waited for its reader is not in
    /// it.
    pub took: Spread,
}

/// The accounts of all statements of one instance, a limited number of them.
pub(crate) struct Ledger {
    open: Mutex<Open>,
    accounts_max: usize,
}

/// What one statement has done; shared by all texts that are the same statement.
pub(crate) struct Account {
    statement: Arc<str>,
    tally: Mutex<Tally>,
}

struct Open {
    accounts: HashMap<Arc<str>, Arc<Account>>,
    other: Tally,
}

#[derive(Default)]
struct Tally {
    errors: u64,
    cancelled: u64,
    rows: u64,
    slowest: Duration,
    took: Histogram,
    used: Option<Instant>,
    /// It had to make room, and counts nothing until it is opened again.
    is_closed: bool,
}

impl Ledger {
    pub(crate) fn new(accounts_max: usize) -> Self {
        let open = Open { accounts: HashMap::new(), other: Tally::default() };
        Self { open: Mutex::new(open), accounts_max }
    }

    /// The account of the statement whose normal form that is.
    pub(crate) fn account(&self, statement: &str) -> Arc<Account> {
        let mut open = self.open();
        if let Some(account) = open.accounts.get(statement) {
            return account.clone();
        }
        let account = Arc::new(Account::new(statement.into()));
        open.enter(&account, self.accounts_max);
        account
    }

    /// Counts a run.
    pub(super) fn count(&self, account: &Arc<Account>, run: &Run) {
        if !account.count(run) {
            self.count_again(account, run);
        }
    }

    /// What all statements have done: those first that once took longest, and what is no longer told
    /// apart at the end.
    pub(crate) fn read(&self) -> Vec<StatementFigures> {
        let (accounts, other) = {
            let open = self.open();
            let accounts: Vec<_> = open.accounts.values().cloned().collect();
            (accounts, open.other.read(&OTHER.into()))
        };
        let mut all: Vec<_> = accounts.iter().map(|account| account.read()).collect();
        all.retain(|figures| figures.count > 0);
        all.sort_by(|one, another| {
            let cost = |of: &StatementFigures| (of.slowest, of.took.total);
            cost(another).cmp(&cost(one)).then_with(|| one.statement.cmp(&another.statement))
        });
        all.extend(Some(other).filter(|other| other.count > 0));
        all
    }

    /// Counts a run of a statement that had made room for others.
    #[cold]
    fn count_again(&self, account: &Arc<Account>, run: &Run) {
        let mut open = self.open();
        // Nobody closes one while we have the lock.
        let known = open.accounts.get(&account.statement).cloned();
        let account = known.unwrap_or_else(|| {
            open.enter(account, self.accounts_max);
            account.clone()
        });
        account.tally().add(run);
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn enter(&mut self, account: &Arc<Account>, accounts_max: usize) {
        if self.accounts.len() >= accounts_max {
            self.make_room(accounts_max.div_ceil(CLOSED_AT_ONCE));
        }
        account.tally().is_closed = false;
        self.accounts.insert(account.statement.clone(), account.clone());
    }

    /// Closes those that were not used for longest; several at once, so that looking for them is rare.
    fn make_room(&mut self, count: usize) {
        let used = |account: &Arc<Account>| account.tally().used;
        let mut by_use: Vec<_> = self.accounts.values().map(|it| (used(it), it.clone())).collect();
        by_use.sort_by_key(|(used, _)| *used);
        for (_, account) in by_use.into_iter().take(count) {
            self.accounts.remove(&account.statement);
            let closed = Tally { is_closed: true, ..Tally::default() };
            let counted = std::mem::replace(&mut *account.tally(), closed);
            self.other.add_all(&counted);
        }
    }
}

impl Account {
    fn new(statement: Arc<str>) -> Self {
        Self { statement, tally: Mutex::default() }
    }

    /// The normal form of the statement.
    pub(crate) fn statement(&self) -> &Arc<str> {
        &self.statement
    }

    /// Counts a run, unless it had to make room.
    fn count(&self, run: &Run) -> bool {
        let mut tally = self.tally();
        if tally.is_closed {
            return false;
        }
        tally.add(run);
        true
    }

    fn read(&self) -> StatementFigures {
        self.tally().read(&self.statement)
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tally {
    fn add(&mut self, run: &Run) {
        self.errors += u64::from(matches!(run.end, End::Failed(_)));
        self.cancelled += u64::from(matches!(run.end, End::Cancelled));
        self.rows += run.rows.number();
        self.slowest = self.slowest.max(run.took);
        self.took.add(run.took);
        self.used = Some(run.at);
    }

    fn add_all(&mut self, other: &Self) {
        self.errors += other.errors;
        self.cancelled += other.cancelled;
        self.rows += other.rows;
        self.slowest = self.slowest.max(other.slowest);
        self.took.add_all(&other.took);
    }

    fn read(&self, statement: &Arc<str>) -> StatementFigures {
        let took = self.took.read();
        StatementFigures {
            statement: statement.clone(),
            count: took.count,
            errors: self.errors,
            cancelled: self.cancelled,
            rows: self.rows,
            slowest: self.slowest,
            took,
        }
    }
}

/// How many statements are told apart.
pub(super) const ACCOUNTS_MAX: usize = 2_000;

/// One in so many makes room when there is none.
const CLOSED_AT_ONCE: usize = 8;

/// What all those are called that had to make room.
const OTHER: &str = "other";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use switchboard_core::{Clock, ErrorKind};

    use super::super::Amount;
    use super::*;

    fn run(at: Instant, millis: u64, end: End) -> Run {
        Run { at, took: Duration::from_millis(millis), rows: Amount::Rows(2), end }
    }

    #[test]
    fn those_come_first_that_took_longest() {
        let (ledger, now) = (Ledger::new(8), Clock::system().now());
        for (statement, millis) in [("a", 5), ("b", 70), ("a", 60), ("c", 8)] {
            ledger.count(&ledger.account(statement), &run(now, millis, End::Well));
        }
        ledger.account("never run");
        let names: Vec<_> = ledger.read().into_iter().map(|of| of.statement.to_string()).collect();
        assert_eq!(names, ["b", "a", "c"]);
    }

    #[test]
    fn failures_rows_and_times_are_counted() {
        let (ledger, now) = (Ledger::new(8), Clock::system().now());
        let account = ledger.account("a");
        for (millis, end) in
            [(1, End::Well), (7, End::Failed(ErrorKind::Conflict)), (2, End::Cancelled)]
        {
            ledger.count(&account, &run(now, millis, end));
        }
        let [figures] = ledger.read().try_into().unwrap();
        assert_eq!((figures.count, figures.errors, figures.cancelled, figures.rows), (3, 1, 1, 6));
        assert_eq!(figures.slowest, Duration::from_millis(7));
        assert_eq!(figures.took.total, Duration::from_millis(10));
        assert_eq!(figures.took.ranges.len(), 3);
    }

    #[test]
    fn who_was_used_lately_keeps_its_account() {
        let (ledger, start) = (Ledger::new(8), Clock::system().now());
        let often = ledger.account("often");
        for number in 0..100_u32 {
            let at = start + Duration::from_secs(number.into());
            ledger.count(&ledger.account(&number.to_string()), &run(at, 1, End::Well));
            ledger.count(&often, &run(at, 1, End::Well));
        }
        let figures = ledger.read();
        let of = |name: &str| figures.iter().find(|of| &*of.statement == name).map(|of| of.count);
        assert_eq!(of("often"), Some(100));
        assert_eq!(of("99"), Some(1));
        assert_eq!(of("0"), None);
        assert_eq!(of(OTHER), Some(93));
    }

    #[test]
    fn what_had_to_make_room_comes_back_when_it_is_run_again() {
        let (ledger, now) = (Ledger::new(1), Clock::system().now());
        let first = ledger.account("first");
        ledger.count(&first, &run(now, 1, End::Well));
        ledger.count(&ledger.account("second"), &run(now, 1, End::Well));
        ledger.count(&first, &run(now, 1, End::Well));
        let counts: Vec<_> =
            ledger.read().into_iter().map(|of| (of.statement.to_string(), of.count)).collect();
        assert_eq!(counts, [("first".to_owned(), 1), (OTHER.to_owned(), 2)]);
    }

    proptest! {
        #[test]
        fn every_run_is_counted_once_however_many_statements_there_are(
            runs in prop::collection::vec((0..12_usize, any::<bool>()), 0..200),
            accounts_max in 1..8_usize,
        ) {
            let (ledger, start) = (Ledger::new(accounts_max), Clock::system().now());
            // Some ask for the account each time, some keep the one they had.
            let kept: Vec<_> = (0..12).map(|name| ledger.account(&name.to_string())).collect();
            for (number, (name, is_kept)) in (0..).zip(&runs) {
                let at = start + Duration::from_millis(number);
                let account = match is_kept {
                    true => kept[*name].clone(),
                    false => ledger.account(&name.to_string()),
                };
                ledger.count(&account, &run(at, number, End::Well));
            }
            let figures = ledger.read();
            let told_apart = figures.iter().filter(|of| &*of.statement != OTHER).count();
            prop_assert!(told_apart <= accounts_max);
            prop_assert_eq!(figures.iter().map(|of| of.count).sum::<u64>(), runs.len() as u64);
            prop_assert_eq!(figures.iter().map(|of| of.rows).sum::<u64>(), 2 * runs.len() as u64);
        }
    }
}
