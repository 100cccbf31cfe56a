//! Transactions that meet others: what is run again, and what is not.

#![cfg(test)]
#![cfg(all(feature = "sqlite", feature = "postgres", feature = "mysql"))]

mod place;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use switchboard_core::{ErrorKind, Result, Settings};
use switchboard_database::drivers::sqlite::Native;
use switchboard_database::{
    Database, Isolation, OnError, Row, Stack, Statements as _, Transaction, TransactionOptions, op,
};

use place::{Place, declined};

/// How often `body` was run, which is told whether that is for the first time, and what came of it.
async fn runs_of<Fut>(
    db: &Database,
    options: TransactionOptions,
    body: impl Fn(Transaction, bool) -> Fut + Send + Sync,
) -> (u64, Result<()>)
where
    Fut: Future<Output = Result<()>> + Send,
{
    let runs = AtomicU64::new(0);
    let answer = db.transaction_with(options, |transaction| {
        body(transaction, runs.fetch_add(1, Ordering::SeqCst) == 0)
    });
    let answer = answer.await;
    (runs.into_inner(), answer)
}

/// Another instance over the same database.
async fn another(place: &Place) -> Database {
    place.databases.configure("other", &place.settings).unwrap();
    place.databases.get("other").await.unwrap()
}

fn lock(place: &Place, id: i64, how: &str) -> String {
    format!("select id from {} where id = {id} for update {how}", place.table)
}

fn repeatable() -> TransactionOptions {
    TransactionOptions::new().isolation(Isolation::RepeatableRead)
}

fn in_short_time() -> TransactionOptions {
    TransactionOptions::new().lock_timeout(Duration::from_millis(1)).retries(10_000)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_cannot_begin_for_another_one_is_tried_again_on_sqlite() {
    let place = Place::sqlite().await;
    let holder = another(&place).await.begin(&TransactionOptions::new()).await.unwrap();
    let met_it = || {
        let figures = place.db.line().figures();
        figures.iter().any(|of| of.operation == op::TRANSACTION.name() && !of.failed.is_empty())
    };
    let lets_go = async {
        while !met_it() {
            tokio::task::yield_now().await;
        }
        holder.commit().await.unwrap();
    };
    let within = &place;
    let runs = runs_of(&place.db, in_short_time(), |transaction, _| async move {
        transaction.execute(&within.insert(1), ()).await.map(drop)
    });
    let ((runs, answer), ()) = tokio::join!(runs, lets_go);
    answer.unwrap();
    assert_eq!((runs, place.ids().await), (1, vec![1]));
    place.left().await;
}

/// A stack that meets what was changed since the transaction first looked.
#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_that_a_stack_tells_is_tried_again_on_postgres() {
    let place = Place::postgres().await;
    place.db.execute(&place.insert(1), ()).await.unwrap();
    for (id, on_error) in [(10, OnError::Stop), (20, OnError::Continue)] {
        let within = &place;
        let (runs, answer) = runs_of(&place.db, repeatable(), |transaction, is_first| async move {
            transaction.rows(&format!("select * from {}", within.table), ()).await?;
            if is_first {
                let touch = format!("update {} set id = id", within.table);
                within.db.execute(&touch, ()).await?;
            }
            let stack = Stack::new()
                .on_error(on_error)
                .execute(&format!("update {} set id = id where id = 1", within.table), ())
                .execute(&within.insert(id), ());
            let report = transaction.run_stack(&stack).await?;
            // Whatever the closure makes of it.
            if report.is_ok() { Ok(()) } else { Err(declined()) }
        })
        .await;
        answer.unwrap();
        assert_eq!(runs, 2, "{on_error:?}");
    }
    assert_eq!(place.ids().await, [1, 10, 20]);
    place.left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_in_the_rows_of_a_stream_is_tried_again_on_postgres() {
    let place = Place::postgres().await;
    place.db.execute(&place.insert(1), ()).await.unwrap();
    let within = &place;
    let (runs, answer) = runs_of(&place.db, repeatable(), |transaction, is_first| async move {
        transaction.rows(&format!("select * from {}", within.table), ()).await?;
        if is_first {
            within.db.execute(&format!("update {} set id = id", within.table), ()).await?;
        }
        let stream = transaction.stream::<Row>(&lock(within, 1, ""), ()).await?;
        let read: Result<Vec<Row>> = stream.try_collect().await;
        read.map(drop).map_err(|_| declined())
    })
    .await;
    answer.unwrap();
    assert_eq!(runs, 2);
    place.left().await;
}

/// Rows 1 and 2 are locked by both, crosswise; `victim` is who gives way.
async fn deadlock(victim: &Transaction, other: Transaction, place: &Place) -> Result<()> {
    let (first, second) = (lock(place, 1, ""), lock(place, 2, ""));
    victim.rows(&first, ()).await?;
    other.rows(&second, ()).await?;
    let (met, other_met) = tokio::join!(victim.rows(&second, ()), other.rows(&first, ()));
    other_met?;
    other.rollback().await?;
    met.map(drop)
}

/// On PostgreSQL who looks first gives way, on MariaDB who has done less.
async fn one_that_does_not_give_way(place: &Place, is_postgres: bool) -> Result<Transaction> {
    let other = place.begin().await;
    if is_postgres {
        other.execute("set local deadlock_timeout = '1h'", ()).await?;
    } else {
        for id in 100..140 {
            other.execute(&place.insert(id), ()).await?;
        }
    }
    Ok(other)
}

async fn a_deadlock_is_never_forgotten(place: Place, is_postgres: bool) {
    for id in [1, 2] {
        place.db.execute(&place.insert(id), ()).await.unwrap();
    }
    let within = &place;
    let options = TransactionOptions::new();
    let (runs, answer) = runs_of(&place.db, options, |transaction, is_first| async move {
        if is_first {
            let other = one_that_does_not_give_way(within, is_postgres).await?;
            let met = transaction
                .savepoint(|inner| async move { deadlock(&inner, other, within).await })
                .await;
            assert_eq!(met.unwrap_err().kind(), ErrorKind::Conflict);
            let after = transaction.execute(&within.insert(10), ()).await;
            // What the server has rolled back takes nothing more.
            assert_eq!(after.is_ok(), is_postgres, "{after:?}");
        }
        transaction.execute(&within.insert(11), ()).await.ok();
        if is_first { Err(declined()) } else { Ok(()) }
    })
    .await;
    answer.unwrap();
    assert_eq!((runs, place.ids().await), (2, vec![1, 2, 11]));
    place.left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_in_a_savepoint_is_never_forgotten_on_postgres() {
    a_deadlock_is_never_forgotten(Place::postgres().await, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_in_a_savepoint_is_never_forgotten_on_mariadb() {
    a_deadlock_is_never_forgotten(Place::mariadb().await, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_serialization_failure_in_a_savepoint_is_never_forgotten_on_postgres() {
    let place = Place::postgres().await;
    place.db.execute(&place.insert(1), ()).await.unwrap();
    let within = &place;
    let (runs, answer) = runs_of(&place.db, repeatable(), |transaction, is_first| async move {
        transaction.rows(&format!("select * from {}", within.table), ()).await?;
        if is_first {
            let touch = format!("update {} set id = id", within.table);
            within.db.execute(&touch, ()).await?;
            let met = transaction
                .savepoint(|inner| async move { inner.execute(&touch, ()).await.map(drop) })
                .await;
            assert_eq!(met.unwrap_err().kind(), ErrorKind::Conflict);
        }
        transaction.execute(&within.insert(11), ()).await?;
        if is_first { Err(declined()) } else { Ok(()) }
    })
    .await;
    answer.unwrap();
    assert_eq!((runs, place.ids().await), (2, vec![1, 11]));
    place.left().await;
}

/// What was read has changed, so that the transaction can never write.
#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_is_outdated_is_never_forgotten_on_sqlite() {
    let place = Place::sqlite().await;
    let other = another(&place).await;
    let (within, other) = (&place, &other);
    let options = TransactionOptions::new();
    let (runs, answer) = runs_of(&place.db, options, |transaction, is_first| async move {
        if is_first {
            read_first(&transaction, &within.table).await?;
            other.execute(&within.insert(1), ()).await?;
            let met = transaction
                .savepoint(
                    |inner| async move { inner.execute(&within.insert(2), ()).await.map(drop) },
                )
                .await
                .unwrap_err();
            assert_eq!((met.kind(), met.context_value("code")), (ErrorKind::Conflict, Some("517")));
            transaction.rows(&format!("select * from {}", within.table), ()).await?;
            return Err(declined());
        }
        transaction.execute(&within.insert(3), ()).await.map(drop)
    })
    .await;
    answer.unwrap();
    assert_eq!((runs, place.ids().await), (2, vec![1, 3]));
    place.left().await;
}

/// Makes it one that has only read so far.
async fn read_first(transaction: &Transaction, table: &str) -> Result<()> {
    let select = format!("select count(*) from {table}");
    let begun = transaction.native::<Native, _, _>(|native| {
        Box::pin(async move {
            let begins = native.call(move |sqlite| {
                sqlite.execute_batch("rollback; begin deferred")?;
                sqlite.query_row(&select, [], |row| row.get::<_, i64>(0))
            });
            begins.await
        })
    });
    assert_eq!(begun.await?.unwrap(), 0);
    Ok(())
}

/// A lock of which the body is told, and goes on; and one that it gives up for.
async fn a_lock_is_forgotten_where_it_was_caught(place: Place) {
    place.db.execute(&place.insert(1), ()).await.unwrap();
    let held = || async {
        let holder = place.begin().await;
        holder.rows(&lock(&place, 1, ""), ()).await.unwrap();
        holder
    };
    let within = &place;
    let waits_in_vain = |transaction: Transaction| async move {
        transaction
            .savepoint(
                |inner| async move { inner.rows(&lock(within, 1, "nowait"), ()).await.map(drop) },
            )
            .await
    };
    let holder = held().await;
    let options = TransactionOptions::new();
    let (runs, answer) = runs_of(&place.db, options.clone(), |transaction, _| async move {
        let met: Result<()> = waits_in_vain(transaction.clone()).await;
        assert_eq!(met.unwrap_err().kind(), ErrorKind::Conflict);
        transaction.execute(&within.insert(2), ()).await?;
        Err(declined())
    })
    .await;
    assert_eq!((runs, answer.unwrap_err().kind()), (1, ErrorKind::InvalidInput));
    let (runs, answer) = runs_of(&place.db, options, |transaction, is_first| {
        let holder = holder.clone();
        async move {
            let met = waits_in_vain(transaction).await;
            if is_first {
                holder.rollback().await?;
            }
            met
        }
    })
    .await;
    answer.unwrap();
    assert_eq!((runs, place.ids().await), (2, vec![1]));
    drop(holder);
    place.left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_was_caught_is_forgotten_and_another_is_not_on_postgres() {
    a_lock_is_forgotten_where_it_was_caught(Place::postgres().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_was_caught_is_forgotten_and_another_is_not_on_mariadb() {
    a_lock_is_forgotten_where_it_was_caught(Place::mariadb().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_was_caught_is_forgotten_and_another_is_not_on_sqlite() {
    // Where the file is locked as a whole, reading can be what waits.
    let place = Place::sqlite_with(Settings::new().with("journal", "delete")).await;
    let held = another(&place).await.connection().await.unwrap();
    let (within, holder) = (&place, &held);
    let options = in_short_time().read_only();
    // The connection is there before the file is locked.
    assert!(place.ids().await.is_empty());
    for is_caught in [true, false] {
        holder.execute_script("begin exclusive").await.unwrap();
        let (runs, answer) =
            runs_of(&place.db, options.clone(), |transaction, is_first| async move {
                let select = &format!("select * from {}", within.table);
                let met: Result<()> = transaction
                    .savepoint(|inner| async move { inner.rows(select, ()).await.map(drop) })
                    .await;
                if !is_first {
                    return met;
                }
                let met = met.unwrap_err();
                assert_eq!(
                    (met.kind(), met.context_value("code")),
                    (ErrorKind::Conflict, Some("5"))
                );
                holder.execute_script("commit").await?;
                if !is_caught {
                    return Err(met);
                }
                transaction.rows(select, ()).await?;
                Err(declined())
            })
            .await;
        let wanted = if is_caught { (1, Some(ErrorKind::InvalidInput)) } else { (2, None) };
        assert_eq!((runs, answer.err().map(|error| error.kind())), wanted);
    }
    drop(held);
    place.left().await;
}

/// A transaction that a deadlock has ended takes no more of the stack, which would last by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_stack_whose_transaction_is_gone_goes_no_further_on_mariadb() {
    for on_error in [OnError::Stop, OnError::Continue] {
        let place = Place::mariadb().await;
        for id in [1, 2] {
            place.db.execute(&place.insert(id), ()).await.unwrap();
        }
        let other = one_that_does_not_give_way(&place, false).await.unwrap();
        let transaction = place.begin().await;
        transaction.rows(&lock(&place, 1, ""), ()).await.unwrap();
        other.rows(&lock(&place, 2, ""), ()).await.unwrap();
        let stack = Stack::new()
            .on_error(on_error)
            .execute(&place.insert(10), ())
            .select(&lock(&place, 2, ""), ())
            .execute(&place.insert(11), ());
        let first = lock(&place, 1, "");
        let (report, met) = tokio::join!(transaction.run_stack(&stack), other.rows(&first, ()));
        met.unwrap();
        let answers = report.unwrap().answers;
        assert_eq!(answers.len(), 2);
        assert_eq!(answers[1].as_ref().unwrap_err().kind(), ErrorKind::Conflict);
        other.rollback().await.unwrap();
        let after = transaction.execute(&place.insert(12), ()).await.unwrap_err();
        assert_eq!(after.kind(), ErrorKind::PreconditionFailed);
        transaction.rollback().await.unwrap();
        assert_eq!(place.ids().await, [1, 2]);
        place.left().await;
    }
}
