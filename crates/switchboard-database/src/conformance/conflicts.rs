//! Transactions that meet others: run again as a whole, when that may help.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use switchboard_core::{Error, ErrorKind, Result, Settings};
use tokio::sync::Barrier;

use super::Verdict;
use super::subject::{
    HANG_LIMIT, Subject, Wanted, at_once, ensure, equal, in_time, put, refused, resting,
};
use crate::{Database, Isolation, Statements as _, Transaction, TransactionOptions};

/// Connections enough for all, and short waits between tries.
fn wanted() -> Wanted {
    let transaction = Settings::new().with("retries", 200).with("backoff", "1ms");
    Wanted::connections(8).with("transaction", transaction).with_pool("acquire_timeout", "30s")
}

/// Sixteen of them, each of which reads the counter and then writes it.
pub(super) async fn workers_on_one_counter_all_succeed_and_none_is_lost(on: &Subject) -> Verdict {
    let db = on.another(wanted()).await?;
    let table = on.table_in(&db, "id bigint primary key, n bigint").await?;
    db.execute(&format!("insert into {table} (id, n) values (1, 0)"), ()).await?;
    let work = |_| {
        let (db, table) = (db.clone(), table.clone());
        async move {
            for _ in 0..5 {
                count_up(&db, &table).await?;
            }
            Ok::<_, Error>(())
        }
    };
    for answer in in_time(HANG_LIMIT * 3, "sixteen workers", at_once(16, work)).await?? {
        answer?;
    }
    let sum: i64 = db.select_value(&format!("select n from {table}"), ()).await?;
    equal(&sum, &80, "the sum of what sixteen workers counted")
}

async fn count_up(db: &Database, table: &str) -> Result<()> {
    let count = |transaction: Transaction| async move { count_one(&transaction, table).await };
    db.transaction_with(serializable(), count).await
}

async fn count_one(transaction: &Transaction, table: &str) -> Result<()> {
    let select = format!("select n from {table} where id = 1");
    let found: i64 = transaction.select_value(&select, ()).await?;
    tokio::task::yield_now().await;
    let update = format!("update {table} set n = ? where id = 1");
    transaction.execute(&update, (found + 1,)).await.map(drop)
}

/// One of them is run again.
pub(super) async fn two_that_wait_for_each_other_both_succeed(on: &Subject) -> Verdict {
    let db = on.another(wanted()).await?;
    let table = on.table_in(&db, "id bigint primary key, n bigint").await?;
    db.execute(&format!("insert into {table} (id, n) values (1, 0), (2, 0)"), ()).await?;
    let meeting = Arc::new(Barrier::new(2));
    let tries = Arc::new(AtomicU32::new(0));
    let work = |number: usize| {
        let (db, table) = (db.clone(), table.clone());
        let (meeting, tries) = (meeting.clone(), tries.clone());
        let order = if number == 0 { [1, 2] } else { [2, 1] };
        async move {
            db.transaction(|transaction| {
                tries.fetch_add(1, Ordering::Relaxed);
                crosswise(transaction, &table, order, &meeting)
            })
            .await
        }
    };
    for answer in in_time(HANG_LIMIT * 2, "two that meet", at_once(2, work)).await?? {
        answer?;
    }
    let both: Vec<i64> = db.select(&format!("select n from {table} order by id"), ()).await?;
    equal(&both[..], &[2, 2], "what two transactions counted")?;
    let tries = tries.load(Ordering::Relaxed);
    ensure(tries >= 2, || format!("two transactions ran {tries} times"))
}

/// Counts one row and then the other, the other one having the second by then if that can be.
async fn crosswise(
    transaction: Transaction,
    table: &str,
    order: [i64; 2],
    meeting: &Barrier,
) -> Result<()> {
    let update = format!("update {table} set n = n + 1 where id = ?");
    transaction.execute(&update, (order[0],)).await?;
    // Where one writes at a time the other never comes, and neither does who is run again.
    tokio::time::timeout(Duration::from_millis(300), meeting.wait()).await.ok();
    transaction.execute(&update, (order[1],)).await.map(drop)
}

/// It would fail again.
pub(super) async fn a_violation_is_not_tried_again(on: &Subject) -> Verdict {
    let table = &*on.numbered(on.db(), 1).await?;
    let tries = &AtomicU32::new(0);
    let transaction = on.db().transaction(|transaction| async move {
        tries.fetch_add(1, Ordering::Relaxed);
        put(&transaction, table, 1).await
    });
    refused(transaction.await, ErrorKind::AlreadyExists, "a row that is there already")?;
    equal(&tries.load(Ordering::Relaxed), &1, "how often it was run")
}

/// Those after the commit for the try that succeeded, those after a rollback for each of the others.
pub(super) async fn what_is_tried_again_has_its_hooks_once(on: &Subject) -> Verdict {
    let db = on.another(wanted()).await?;
    let table = on.table_in(&db, "id bigint primary key, n bigint").await?;
    db.execute(&format!("insert into {table} (id, n) values (1, 0)"), ()).await?;
    let counts = Arc::new(Counts::default());
    let work = |_| {
        let (db, table, counts) = (db.clone(), table.clone(), counts.clone());
        async move { db.transaction_with(serializable(), |it| counted(it, &table, &counts)).await }
    };
    for answer in in_time(HANG_LIMIT * 3, "eight workers", at_once(8, work)).await?? {
        answer?;
    }
    resting(&db).await?;
    let [tries, committed, rolled_back] = counts.read();
    equal(&committed, &8, "hooks of eight commits")?;
    equal(&rolled_back, &(tries - 8), "hooks of the tries that were rolled back")
}

/// How often something happened.
#[derive(Default)]
struct Counts {
    tries: AtomicU32,
    committed: AtomicU32,
    rolled_back: AtomicU32,
}

impl Counts {
    fn read(&self) -> [u32; 3] {
        [&self.tries, &self.committed, &self.rolled_back].map(|one| one.load(Ordering::SeqCst))
    }
}

async fn counted(transaction: Transaction, table: &str, counts: &Arc<Counts>) -> Result<()> {
    counts.tries.fetch_add(1, Ordering::SeqCst);
    let told = counts.clone();
    transaction.after_commit(move || async move {
        told.committed.fetch_add(1, Ordering::SeqCst);
    });
    let told = counts.clone();
    transaction.after_rollback(move || async move {
        told.rolled_back.fetch_add(1, Ordering::SeqCst);
    });
    count_one(&transaction, table).await
}

fn serializable() -> TransactionOptions {
    TransactionOptions::new().isolation(Isolation::Serializable)
}
