//! Calls whose callers go away: at each await, and at any moment.
//!
//! Whatever is dropped, afterwards every connection of the pool answers, none is inside a transaction,
//! nobody holds one, and nothing is seen of what was not committed.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use switchboard_core::{Clock, Error, ErrorKind, Result};
use switchboard_testkit::drop_at_every_await;

use super::subject::{
    HANG_LIMIT, ROW, Subject, WAYS, Wanted, at_once, count, ensure, ensure_whole, equal, in_time,
    put, put_all, resting,
};
use super::{Failure, Verdict};
use crate::{
    Database, OnError, Row, Sandbox, Stack, Statements as _, Transaction, TransactionOptions, Value,
};

/// A database whose calls are dropped, and a table that shows what came of them.
struct Harness {
    db: Database,
    table: String,
    /// The number of the first row that the present call writes.
    first: Cell<i64>,
    /// What was wrong, of which only the first is told.
    wrong: RefCell<Option<Failure>>,
}

impl Harness {
    async fn new(on: &Subject) -> Result<Self> {
        let db = on.another(Wanted::connections(3)).await?;
        let table = on.table_in(&db, ROW).await?;
        Ok(Self { db, table, first: Cell::new(0), wrong: RefCell::default() })
    }

    /// Drops what `make` makes at each await, several times, and looks after each whether all is whole
    /// and whether a number of rows is there that `is_right` accepts.
    fn proves<'h, T: 'h>(
        &'h self,
        make: impl AsyncFnMut(i64) -> Result<T> + 'h,
        is_right: impl Fn(i64) -> bool + 'h,
    ) -> LocalBoxFuture<'h, Verdict> {
        self.proves_after(make, async |_| {}, is_right)
    }

    /// The same, where something is done after each drop and before anybody looks.
    fn proves_after<'h, T: 'h>(
        &'h self,
        make: impl AsyncFnMut(i64) -> Result<T> + 'h,
        after: impl AsyncFn(i64) + 'h,
        is_right: impl Fn(i64) -> bool + 'h,
    ) -> LocalBoxFuture<'h, Verdict> {
        self.prove(make, after, is_right).boxed_local()
    }

    async fn prove<T>(
        &self,
        mut make: impl AsyncFnMut(i64) -> Result<T>,
        after: impl AsyncFn(i64),
        is_right: impl Fn(i64) -> bool,
    ) -> Verdict {
        let (mut rounds, mut drops) = (0, 0);
        // A driver in the process may answer before anybody could wait, but not every time.
        while rounds < ROUNDS || (drops == 0 && rounds < READY_MAX) {
            rounds += 1;
            let awaits = drop_at_every_await(
                async || self.called(make(self.first.get()).await.err()),
                async |polls| {
                    after(self.first.get()).await;
                    self.dropped(polls, &is_right).await;
                },
            );
            drops += awaits.await;
            if let Some(failure) = self.wrong.take() {
                return Err(failure);
            }
        }
        ensure(drops > 0, || "the call was ready at once, which proves nothing".to_owned())
    }

    /// A call came to its end.
    fn called(&self, error: Option<Error>) {
        if let Some(error) = error.filter(is_unexpected) {
            self.complain(error.into());
        }
    }

    /// A call was dropped after so many polls, or has ended.
    async fn dropped(&self, polls: usize, is_right: impl Fn(i64) -> bool) {
        if let Err(Failure(words)) = self.judge(is_right).await {
            self.complain(Failure(format!("after {polls} polls: {words}")));
        }
        self.first.set(self.first.get() + ROWS_MAX);
    }

    async fn judge(&self, is_right: impl Fn(i64) -> bool) -> Verdict {
        resting(&self.db).await?;
        let rows = self.rows_of_the_last().await?;
        ensure(is_right(rows), || format!("{rows} rows are left of a call that was dropped"))?;
        ensure_whole(&self.db, &self.table).await?;
        let later = self.rows_of_the_last().await?;
        ensure(rows == later, || format!("there were {rows} rows, and later {later}"))
    }

    async fn rows_of_the_last(&self) -> Result<i64> {
        let first = self.first.get();
        let sql = format!("select count(*) from {} where id >= ? and id < ?", self.table);
        self.db.select_value(&sql, (first, first + ROWS_MAX)).await
    }

    fn complain(&self, failure: Failure) {
        self.wrong.borrow_mut().get_or_insert(failure);
    }
}

/// Errors that a test does not make itself.
fn is_unexpected(error: &Error) -> bool {
    error.message() != DECLINED
}

pub(super) async fn a_dropped_connect_leaves_the_pool_whole(on: &Subject) -> Verdict {
    let harness = Harness::new(on).await?;
    let connects = async |_| {
        // Nothing is left of those there were, so that the next caller has to wait for a new one.
        harness.db.refresh_all(Duration::ZERO);
        harness.db.connection().await
    };
    harness.proves(connects, |rows| rows == 0).await
}

pub(super) async fn a_dropped_acquire_leaves_the_pool_whole(on: &Subject) -> Verdict {
    let harness = Harness::new(on).await?;
    let acquires = async |_| {
        let held: Vec<_> = futures_util::future::join_all(
            (0..harness.db.pools()[0].max).map(|_| harness.db.connection()),
        )
        .await
        .into_iter()
        .collect::<Result<_>>()?;
        // This one has to wait until another is given back.
        let waits = harness.db.connection();
        let gives = async {
            tokio::task::yield_now().await;
            drop(held);
        };
        tokio::join!(waits, gives).0
    };
    harness.proves(acquires, |rows| rows == 0).await
}

pub(super) async fn a_dropped_begin_leaves_the_pool_whole(on: &Subject) -> Verdict {
    let harness = Harness::new(on).await?;
    let begins = async |id| {
        let transaction = harness.db.begin(&TransactionOptions::new()).await?;
        put(&transaction, &harness.table, id).await
    };
    harness.proves(begins, |rows| rows == 0).await
}

pub(super) async fn a_dropped_execute_is_done_or_not(on: &Subject) -> Verdict {
    let harness = Harness::new(on).await?;
    let executes = async |id| put(&harness.db, &harness.table, id).await;
    harness.proves(executes, |rows| rows == 0 || rows == 1).await
}

pub(super) async fn a_dropped_query_leaves_the_pool_whole(on: &Subject) -> Verdict {
    let harness = Harness::new(on).await?;
    let asks = async |id| {
        count(&harness.db, &harness.table).await?;
        let transaction = harness.db.begin(&TransactionOptions::new()).await?;
        put(&transaction, &harness.table, id).await?;
        count(&transaction, &harness.table).await
    };
    harness.proves(asks, |rows| rows == 0).await
}

pub(super) async fn a_dropped_stream_leaves_the_pool_whole(on: &Subject) -> Verdict {
    let harness = Harness::new(on).await?;
    let numbers = on.numbered(&harness.db, 1_000).await?;
    let few = format!("select id from {numbers}");
    let many = on.endless(&harness.db).await?;
    let streams = async |id| {
        let all: Vec<i64> = harness.db.stream::<i64>(&few, ()).await?.try_collect().await?;
        let mut left = harness.db.stream::<Row>(&many, ()).await?;
        for _ in 0..700 {
            left.next().await.transpose()?;
        }
        drop(left);
        let transaction = harness.db.begin(&TransactionOptions::new()).await?;
        put(&transaction, &harness.table, id).await?;
        let mut inside = transaction.stream::<Row>(&many, ()).await?;
        inside.next().await.transpose().map(|_| all.len())
    };
    harness.proves(streams, |rows| rows == 0).await
}

pub(super) async fn dropped_csv_leaves_the_pool_whole(on: &Subject) -> Verdict {
    let harness = Harness::new(on).await?;
    let numbers = on.numbered(&harness.db, 600).await?;
    let few = format!("select id, name from {numbers}");
    let many = on.endless(&harness.db).await?;
    let streams = async |id| {
        let all: Vec<_> = harness.db.stream_csv(&few, ()).await?.try_collect().await?;
        let mut left = harness.db.stream_csv(&many, ()).await?;
        for _ in 0..3 {
            left.next().await.transpose()?;
        }
        drop(left);
        let transaction = harness.db.begin(&TransactionOptions::new()).await?;
        put(&transaction, &harness.table, id).await?;
        let mut inside = transaction.stream_csv(&many, ()).await?;
        inside.next().await.transpose().map(|_| all.len())
    };
    harness.proves(streams, |rows| rows == 0).await
}

pub(super) async fn a_dropped_commit_is_done_or_not(on: &Subject) -> Verdict {
    let harness = Harness::new(on).await?;
    let by_hand = async |id| {
        let transaction = harness.db.begin(&TransactionOptions::new()).await?;
        put(&transaction, &harness.table, id).await?;
        put(&transaction, &harness.table, id + 1).await?;
        transaction.commit().await
    };
    harness.proves(by_hand, |rows| rows == 0 || rows == 2).await?;
    let by_scope = async |id| {
        let table = &*harness.table;
        harness
            .db
            .transaction(|transaction| async move {
                put(&transaction, table, id).await?;
                put(&transaction, table, id + 1).await
            })
            .await
    };
    harness.proves(by_scope, |rows| rows == 0 || rows == 2).await
}

pub(super) async fn a_dropped_rollback_is_done(on: &Subject) -> Verdict {
    let harness = Harness::new(on).await?;
    let by_hand = async |id| {
        let transaction = harness.db.begin(&TransactionOptions::new()).await?;
        put(&transaction, &harness.table, id).await?;
        transaction.rollback().await
    };
    harness.proves(by_hand, |rows| rows == 0).await?;
    let by_scope = async |id| {
        let table = &*harness.table;
        harness
            .db
            .transaction(|transaction| async move {
                put(&transaction, table, id).await?;
                Err::<(), _>(declined())
            })
            .await
    };
    harness.proves(by_scope, |rows| rows == 0).await
}

/// Or lasts with it: what is inside of the savepoint never does so alone.
pub(super) async fn a_dropped_savepoint_is_taken_back_with_its_transaction(
    on: &Subject,
) -> Verdict {
    let harness = Harness::new(on).await?;
    let nested = async |id| {
        let table = &*harness.table;
        harness
            .db
            .transaction(|outer| async move {
                put(&outer, table, id).await?;
                let lost: Result<()> = outer
                    .savepoint(|inner| async move {
                        put(&inner, table, id + 1).await?;
                        Err(declined())
                    })
                    .await;
                lost.or_else(|error| if is_unexpected(&error) { Err(error) } else { Ok(()) })?;
                outer.savepoint(|inner| async move { put(&inner, table, id + 2).await }).await
            })
            .await
    };
    harness.proves(nested, |rows| rows == 0 || rows == 2).await
}

pub(super) async fn a_dropped_bulk_insert_is_done_or_not(on: &Subject) -> Verdict {
    let harness = Harness::new(on).await?;
    let inserts = async |id| {
        let rows = (id..id + 90).map(|id| [Value::from(id), Value::from("bulk")]);
        harness.db.bulk_insert(&harness.table, &["id", "name"], rows).await
    };
    harness.proves(inserts, |rows| rows == 0 || rows == 90).await
}

pub(super) async fn a_dropped_upsert_is_done_or_not(on: &Subject) -> Verdict {
    let harness = Harness::new(on).await?;
    let (db, table) = (&harness.db, &*harness.table);
    let puts = async |id| {
        put(db, table, id + 5).await?;
        let rows = (id..id + 90).map(|id| [Value::from(id), Value::from("put")]);
        db.bulk_insert(table, &["id", "name"], rows).on_conflict(&["id"]).await
    };
    harness.proves(puts, |rows| [0, 1, 90].contains(&rows)).await
}

pub(super) async fn a_dropped_batch_is_done_or_not(on: &Subject) -> Verdict {
    let harness = Harness::new(on).await?;
    let insert = format!("insert into {} (id, name) values (?, 'batch')", harness.table);
    let batch =
        async |id: i64| harness.db.execute_many(&insert, (id..id + 3).map(|id| (id,))).await;
    harness.proves(batch, |rows| rows == 0 || rows == 3).await?;
    let stacks = async |id: i64| {
        let stack = Stack::new().on_error(OnError::Stop);
        let stack = (id..id + 3).fold(stack, |stack, id| stack.execute(&insert, (id,)));
        harness.db.run_stack(&stack).await?.into_result()
    };
    harness.proves(stacks, |rows| rows == 0 || rows == 3).await?;
    let scripts = async |id: i64| {
        let one = |id: i64| format!("insert into {} (id) values ({id});", harness.table);
        harness.db.execute_script(&format!("{}{}", one(id), one(id + 1))).await
    };
    harness.proves(scripts, |rows| (0..=2).contains(&rows)).await
}

/// Statements, transactions, one inside of another, and waiting for those of others.
pub(super) async fn a_dropped_call_leaves_its_sandbox_whole(on: &Subject) -> Verdict {
    let harness = Harness::new(on).await?;
    let (db, table) = (&harness.db, &*harness.table);
    let sandbox = Sandbox::over(on.databases(), db.line().instance()).await?;
    harness.proves(async |id| put(db, table, id).await, |rows| rows == 0 || rows == 1).await?;
    let nested = async |id| {
        db.transaction(|outer| async move {
            put(&outer, table, id).await?;
            put(db, table, id + 1).await?;
            db.transaction(|inner| async move { put(&inner, table, id + 2).await }).await?;
            put(&outer, table, id + 3).await
        })
        .await
    };
    harness.proves(nested, |rows| rows == 0 || rows == 4).await?;
    let given_up = async |id| {
        let outer = db.begin(&TransactionOptions::new()).await?;
        put(&outer, table, id).await?;
        let inner = db.begin(&TransactionOptions::new()).await?;
        put(&inner, table, id + 1).await?;
        drop(inner);
        put(&outer, table, id + 2).await?;
        outer.rollback().await
    };
    harness.proves(given_up, |rows| rows == 0).await?;
    let side_by_side = async |id| {
        let first = db.transaction(|first| async move { put(&first, table, id).await });
        let second = db.session(|second| async move { put(&second, table, id + 1).await });
        let (first, second, third) = tokio::join!(first, second, put(db, table, id + 2));
        first.and(second).and(third)
    };
    harness.proves(side_by_side, |rows| (0..=3).contains(&rows)).await?;
    sandbox.end().await?;
    equal(&count(db, table).await?, &0, "rows after the sandbox")
}

/// The transaction goes on as if nobody had asked for it, or can only be rolled back.
pub(super) async fn a_dropped_batch_leaves_its_transaction_without_a_part_of_it(
    on: &Subject,
) -> Verdict {
    let harness = Harness::new(on).await?;
    let (db, table) = (&harness.db, &*harness.table);
    let survivor = Survivor::default();
    let asks = async |id: i64| {
        let transaction = survivor.keep(db.begin(&TransactionOptions::new()).await?);
        for (way, id) in WAYS.into_iter().chain(["upsert"]).zip((id..).step_by(6)) {
            put_all(&*transaction, table, way, [id, id + 1, id + 2]).await?;
            let inside = [id + 3, id + 4, id + 5];
            let asked = |inner| async move { put_all(&inner, table, way, inside).await };
            transaction.savepoint(asked).await?;
        }
        survivor.has_ended.set(true);
        Ok(())
    };
    let ends = async |id: i64| {
        let Some(transaction) = survivor.take() else { return };
        let last = put(&*transaction, table, id + 50).await;
        let committed = transaction.commit().await;
        survivor.lasts(last.and(committed).is_ok());
    };
    // What was done before stays, by threes; of what was dropped, all or nothing.
    let is_right = |rows| if survivor.lasts.get() { rows % 3 == 1 } else { rows == 0 };
    survivor.goes_on(async || harness.proves_after(&asks, ends, is_right).await).await
}

/// Nor does it leave a transaction open that nobody has asked for.
pub(super) async fn a_dropped_batch_leaves_its_connection_without_a_part_of_it(
    on: &Subject,
) -> Verdict {
    let harness = Harness::new(on).await?;
    let (db, table) = (&harness.db, &*harness.table);
    let survivor = Survivor::default();
    let asks = async |id: i64| {
        let connection = survivor.keep(db.connection().await?);
        for (way, id) in WAYS.into_iter().zip((id..).step_by(3)) {
            put_all(&*connection, table, way, [id, id + 1, id + 2]).await?;
        }
        survivor.has_ended.set(true);
        Ok(())
    };
    let ends = async |id: i64| {
        let Some(connection) = survivor.take() else { return };
        survivor.lasts(put(&*connection, table, id + 50).await.is_ok());
    };
    let is_right = |rows| rows % 3 == i64::from(survivor.lasts.get());
    survivor.goes_on(async || harness.proves_after(&asks, ends, is_right).await).await
}

/// What outlives calls on it of which one is dropped, and writes one more row afterwards.
struct Survivor<T> {
    kept: RefCell<Option<Rc<T>>>,
    /// Whether the calls came to their end.
    has_ended: Cell<bool>,
    /// Whether what it did afterwards lasts.
    lasts: Cell<bool>,
    /// Whether it ever could go on after a drop.
    went_on: Cell<bool>,
}

impl<T> Default for Survivor<T> {
    fn default() -> Self {
        let (has_ended, lasts, went_on) = Default::default();
        Self { kept: RefCell::default(), has_ended, lasts, went_on }
    }
}

impl<T> Survivor<T> {
    fn keep(&self, kept: T) -> Rc<T> {
        self.has_ended.set(false);
        let kept = Rc::new(kept);
        self.kept.replace(Some(kept.clone()));
        kept
    }

    fn take(&self) -> Option<Rc<T>> {
        self.lasts.set(false);
        self.kept.take()
    }

    fn lasts(&self, lasts: bool) {
        self.lasts.set(lasts);
        let was_dropped = !self.has_ended.get();
        self.went_on.set(self.went_on.get() || (was_dropped && lasts));
    }

    /// Proves until it has gone on after a drop.
    ///
    /// What begins or ends a part may be what is lost, but not each time; and a driver in the process is
    /// dropped so seldom that it may be so by chance.
    async fn goes_on(&self, prove: impl AsyncFn() -> Verdict) -> Verdict {
        for _ in 0..ROUNDS_MAX {
            prove().await?;
            if self.went_on.get() {
                return Ok(());
            }
        }
        Err(Failure("nothing ever went on without what was dropped".to_owned()))
    }
}

/// Four tasks at once, whose calls of every sort end at any moment.
pub(super) async fn a_storm_of_drops_leaves_the_pool_whole(on: &Subject) -> Verdict {
    let db = on.another(Wanted::connections(3).with_pool("acquire_timeout", "30s")).await?;
    let table = on.table_in(&db, ROW).await?;
    let numbers = on.numbered(&db, 1_000).await?;
    for _ in 0..STORMS {
        let work = |task: usize| {
            let (db, table, numbers) = (db.clone(), table.clone(), numbers.clone());
            async move {
                let clock = Clock::system();
                for turn in 0..CALLS_OF_A_STORM {
                    let id = i64::try_from(clock.random() >> 20).unwrap_or_default() * 4;
                    let limit = Duration::from_micros(clock.random() % 4_000);
                    let call = stormy(&db, (&table, &numbers), id, task + turn);
                    // Some come to their end, and most do not.
                    tokio::time::timeout(limit, call).await.ok();
                }
            }
        };
        in_time(HANG_LIMIT * 2, "a storm of drops", at_once(4, work)).await??;
        // First of all, because whatever is asked may hide what is wrong.
        ensure_whole(&db, &table).await?;
        let halves = format!("select count(*) from {table} where name = 'first'");
        let others = format!("select count(*) from {table} where name = 'second'");
        let halves: i64 = db.select_value(&halves, ()).await?;
        let others: i64 = db.select_value(&others, ()).await?;
        ensure(halves == others, || format!("{halves} and {others} halves of transactions"))?;
        let undone = format!("select count(*) from {table} where name = 'undone'");
        let undone: i64 = db.select_value(&undone, ()).await?;
        ensure(undone == 0, || format!("{undone} rows of transactions that were rolled back"))?;
        db.execute(&format!("delete from {table}"), ()).await?;
    }
    Ok(())
}

/// One of several calls.
async fn stormy(
    db: &Database,
    (table, numbers): (&str, &str),
    id: i64,
    which: usize,
) -> Result<()> {
    match which % 6 {
        0 => put(db, table, id).await,
        1 => db.transaction(|transaction| both(transaction, table, id)).await,
        2 => undone(db, table, id).await,
        3 => {
            let all = format!("select a.id from {numbers} a, {numbers} b");
            let mut stream = db.stream::<i64>(&all, ()).await?;
            while stream.next().await.transpose()?.is_some() {}
            Ok(())
        }
        4 => {
            let rows = [(id, "first"), (id + 1, "second")];
            let rows = rows.map(|(id, name)| [Value::from(id), Value::from(name)]);
            db.bulk_insert(table, &["id", "name"], rows).await.map(drop)
        }
        _ => {
            let connection = db.connection().await?;
            let sum = format!("select count(*) from {numbers} a, {numbers} b");
            connection.select_value::<i64>(&sum, ()).await.map(drop)
        }
    }
}

async fn both(transaction: Transaction, table: &str, id: i64) -> Result<()> {
    for (id, name) in [(id, "first"), (id + 1, "second")] {
        let insert = format!("insert into {table} (id, name) values (?, ?)");
        transaction.execute(&insert, (id, name)).await?;
    }
    Ok(())
}

async fn undone(db: &Database, table: &str, id: i64) -> Result<()> {
    let transaction = db.begin(&TransactionOptions::new()).await?;
    let insert = format!("insert into {table} (id, name) values (?, 'undone')");
    transaction.execute(&insert, (id,)).await?;
    transaction.savepoint(|inner| async move { inner.execute(&insert, (id + 1,)).await }).await?;
    transaction.rollback().await
}

fn declined() -> Error {
    Error::new(ErrorKind::InvalidInput, DECLINED)
}

const DECLINED: &str = "the closure has changed its mind";

/// How often each call is dropped at each of its awaits.
const ROUNDS: usize = 2;
const ROUNDS_MAX: usize = 50;
/// How often a call may be ready at once, before it is said that it always is: on a quiet machine the thread of a
/// driver in the process is seldom late.
const READY_MAX: usize = 2_000;

/// One call writes fewer.
const ROWS_MAX: i64 = 100;

const STORMS: usize = 3;
const CALLS_OF_A_STORM: usize = 40;
