//! Sandboxes: an application works in one as it does elsewhere, and nothing of it lasts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use switchboard_core::{Error, ErrorKind, Result};

use super::Verdict;
use super::subject::{
    HANG_LIMIT, ROW, Subject, Wanted, at_once, count, ensure, equal, ids, in_time, put, refused,
    resting,
};
use crate::{Database, Sandbox, Statements as _, TransactionOptions, Violation};

/// Neither what was committed in it, nor what was inserted in bulk.
pub(super) async fn nothing_of_a_sandbox_lasts(on: &Subject) -> Verdict {
    let table = on.numbered(on.db(), 2).await?;
    for is_dropped in [false, true] {
        let sandbox = Sandbox::over(on.databases(), "main").await?;
        put(on.db(), &table, 10).await?;
        on.db().execute(&format!("delete from {table} where id = 1"), ()).await?;
        let rows = (20..30_i64).map(|id| [crate::Value::from(id), "x".into()]);
        on.db().bulk_insert(&table, &["id", "name"], rows).await?;
        equal(&count(on.db(), &table).await?, &12, "rows in the sandbox")?;
        if is_dropped {
            drop(sandbox);
        } else {
            sandbox.end().await?;
        }
        resting(on.db()).await?;
        equal(&ids(on.db(), &table).await?[..], &[1, 2], "rows after the sandbox")?;
    }
    Ok(())
}

pub(super) async fn a_sandbox_lets_transactions_hooks_and_violations_be(on: &Subject) -> Verdict {
    let table = &*on.numbered(on.db(), 1).await?;
    let hooks = &Arc::new(AtomicU32::new(0));
    let sandbox = Sandbox::over(on.databases(), "main").await?;
    let kept = on.db().transaction(|transaction| async move {
        let counter = hooks.clone();
        transaction.after_commit(move || async move {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        put(&transaction, table, 2).await?;
        let inner = transaction.savepoint(|inner| async move { put(&inner, table, 2).await }).await;
        put(&transaction, table, 3).await.map(|()| inner)
    });
    let inner = refused(kept.await?, ErrorKind::AlreadyExists, "a row that is there already")?;
    equal(&Violation::of(&inner), &Some(Violation::Unique), "what a sandbox says of it")?;
    equal(&hooks.load(Ordering::Relaxed), &1, "hooks of a commit in a sandbox")?;
    let given_up: Result<()> = on
        .db()
        .transaction(|transaction| async move {
            put(&transaction, table, 4).await?;
            Err(Error::new(ErrorKind::InvalidInput, "no"))
        })
        .await;
    refused(given_up.map_err(Error::not_applied), ErrorKind::InvalidInput, "a closure that fails")?;
    let again = put(on.db(), table, 1).await;
    refused(again, ErrorKind::AlreadyExists, "a statement that fails outside of a transaction")?;
    equal(&ids(on.db(), table).await?[..], &[1, 2, 3], "rows in the sandbox")?;
    sandbox.end().await?;
    equal(&ids(on.db(), table).await?[..], &[1], "rows after the sandbox")
}

/// And see what the others did.
pub(super) async fn tasks_in_a_sandbox_take_turns(on: &Subject) -> Verdict {
    let table = on.table(ROW).await?;
    let sandbox = Sandbox::over(on.databases(), "main").await?;
    let work = |number: usize| {
        let (db, table) = (on.db().clone(), table.clone());
        async move {
            for step in 0..5 {
                let id = i64::try_from(number * 5 + step).unwrap_or_default();
                let table = &*table;
                db.transaction(|transaction| async move { put(&transaction, table, id).await })
                    .await?;
                count(&db, table).await?;
            }
            Ok::<_, Error>(())
        }
    };
    for answer in in_time(HANG_LIMIT, "tasks in a sandbox", at_once(6, work)).await?? {
        answer?;
    }
    equal(&count(on.db(), &table).await?, &30, "rows of six tasks in a sandbox")?;
    sandbox.end().await?;
    equal(&count(on.db(), &table).await?, &0, "rows after the sandbox")
}

/// Its statements, sessions and transactions, also while that of the first has failed.
pub(super) async fn a_transaction_in_a_sandbox_keeps_other_tasks_out(on: &Subject) -> Verdict {
    let table = on.table(ROW).await?;
    let sandbox = Sandbox::over(on.databases(), "main").await?;
    let open = on.db().begin(&TransactionOptions::new()).await?;
    put(&open, &table, 1).await?;
    refused(put(&open, &table, 1).await, ErrorKind::AlreadyExists, "a row that is there already")?;
    let work = |number: usize| {
        let (db, table) = (on.db().clone(), table.clone());
        async move {
            let table = &*table;
            match number {
                0 => put(&db, table, 10).await,
                1 => put(&db.connection().await?, table, 11).await,
                2 => db.execute_script(&format!("insert into {table} (id) values (12)")).await,
                _ => db.transaction(|other| async move { put(&other, table, 13).await }).await,
            }
        }
    };
    let rolled_back = async {
        until_waiting(on.db(), 4).await;
        open.rollback().await
    };
    let both = async { tokio::join!(at_once(4, work), rolled_back) };
    let (others, rolled_back) = in_time(HANG_LIMIT, "tasks that wait for a sandbox", both).await?;
    rolled_back?;
    for other in others? {
        other?;
    }
    equal(&ids(on.db(), &table).await?[..], &[10, 11, 12, 13], "rows of those who waited")?;
    sandbox.end().await?;
    equal(&count(on.db(), &table).await?, &0, "rows after the sandbox")
}

/// And a failure of it harms nothing else.
pub(super) async fn a_statement_of_the_same_task_joins_its_transaction_in_a_sandbox(
    on: &Subject,
) -> Verdict {
    let (db, table) = (on.db(), &*on.table(ROW).await?);
    let sandbox = Sandbox::over(on.databases(), "main").await?;
    let kept = db.transaction(|open| async move {
        put(&open, table, 1).await?;
        put(db, table, 2).await?;
        let again = put(db, table, 2).await;
        put(&open, table, 3).await?;
        Ok::<_, Error>((again, count(db, table).await?))
    });
    let (again, seen) = in_time(HANG_LIMIT, "a statement in a closure", kept).await??;
    refused(again, ErrorKind::AlreadyExists, "a row that is there already")?;
    equal(&seen, &3, "rows that the transaction has")?;

    let open = db.begin(&TransactionOptions::new()).await?;
    let joined = async {
        put(&open, table, 4).await?;
        put(db, table, 5).await?;
        let again = put(&db.connection().await?, table, 5).await;
        put(&open, table, 6).await.map(|()| again)
    };
    let again = in_time(HANG_LIMIT, "a statement beside one begun by hand", joined).await??;
    refused(again, ErrorKind::AlreadyExists, "a row that is there already")?;
    equal(&count(db, table).await?, &6, "rows before the rollback")?;
    open.rollback().await?;
    equal(&ids(db, table).await?[..], &[1, 2, 3], "rows of the one that was committed")?;
    sandbox.end().await?;
    equal(&count(db, table).await?, &0, "rows after the sandbox")
}

/// It is kept or taken back alone, unless the one around it is taken back.
pub(super) async fn a_transaction_inside_of_another_in_a_sandbox_ends_for_itself(
    on: &Subject,
) -> Verdict {
    let (db, table) = (on.db(), &*on.table(ROW).await?);
    let hooks = &Arc::new(AtomicU32::new(0));
    let sandbox = Sandbox::over(on.databases(), "main").await?;
    let nested = db.transaction(|outer| async move {
        put(&outer, table, 1).await?;
        let lost: Result<()> = db
            .transaction(|inner| async move {
                put(&inner, table, 2).await?;
                Err(declined())
            })
            .await;
        let kept = db.transaction(|inner| async move {
            let (counter, handle, name) = (hooks.clone(), db.clone(), table.to_owned());
            inner.after_commit(move || async move {
                let is_put = put(&handle, &name, 4).await.is_ok();
                counter.fetch_add(u32::from(is_put), Ordering::Relaxed);
            });
            put(&inner, table, 3).await
        });
        kept.await?;
        put(&outer, table, 5).await.map(|()| lost.is_err())
    });
    let is_lost = in_time(HANG_LIMIT, "one inside of another", nested).await??;
    ensure(is_lost, || "a closure that failed was answered as if it had not".to_owned())?;
    equal(&hooks.load(Ordering::Relaxed), &1, "hooks of the inner one")?;
    equal(&ids(db, table).await?[..], &[1, 3, 4, 5], "rows of both")?;

    let given_up: Result<()> = db
        .transaction(|_outer| async move {
            db.transaction(|inner| async move { put(&inner, table, 6).await }).await?;
            Err(declined())
        })
        .await;
    ensure(given_up.is_err(), || "a closure that failed was answered as done".to_owned())?;
    equal(&ids(db, table).await?[..], &[1, 3, 4, 5], "rows once the outer one was given up")?;

    let outer = db.begin(&TransactionOptions::new()).await?;
    let left = db.begin(&TransactionOptions::new()).await?;
    put(&left, table, 7).await?;
    drop(left);
    in_time(HANG_LIMIT, "the outer one after that", put(&outer, table, 8)).await??;
    let inner = db.begin(&TransactionOptions::new()).await?;
    put(&inner, table, 9).await?;
    outer.rollback().await?;
    refused(inner.commit().await, ErrorKind::PreconditionFailed, "what went with the outer one")?;
    equal(&ids(db, table).await?[..], &[1, 3, 4, 5], "rows in the end")?;
    sandbox.end().await?;
    equal(&count(db, table).await?, &0, "rows after the sandbox")
}

/// Also where one task does it all, alone and inside of a transaction.
pub(super) async fn what_runs_side_by_side_in_a_sandbox_is_kept_apart(on: &Subject) -> Verdict {
    let (db, table) = (on.db(), &*on.table(ROW).await?);
    let sandbox = Sandbox::over(on.databases(), "main").await?;
    let side_by_side = |first: i64| async move {
        let lost = db.transaction(|lost| async move {
            put(&lost, table, first).await?;
            tokio::task::yield_now().await;
            put(&lost, table, first + 1).await?;
            Err::<(), _>(declined())
        });
        let kept = db.transaction(|kept| async move {
            put(&kept, table, first + 2).await?;
            put(&kept, table, first + 3).await
        });
        let insert = format!("insert into {table} (id) values (?)");
        let many = db.execute_many(&insert, [(first + 4,), (first + 4,)]);
        let (lost, kept, alone, many) = tokio::join!(lost, kept, put(db, table, first + 5), many);
        kept.and(alone).map(|()| lost.is_err() && many.is_err())
    };
    let alone = in_time(HANG_LIMIT, "several at once", side_by_side(0)).await??;
    let outer = db.transaction(|_outer| side_by_side(10));
    let inside = in_time(HANG_LIMIT, "several at once inside of another", outer).await??;
    ensure(alone && inside, || "what fails was answered as done".to_owned())?;
    equal(&ids(db, table).await?[..], &[2, 3, 5, 12, 13, 15], "rows of what ended well")?;
    sandbox.end().await?;
    equal(&count(db, table).await?, &0, "rows after the sandbox")
}

/// The others are served in their order, whoever gives up.
pub(super) async fn who_waits_for_a_sandbox_is_told_who_is_in_it(on: &Subject) -> Verdict {
    // Enough for a connection that has to be made, on a busy machine too.
    let db = on.another(Wanted::connections(3).with_pool("acquire_timeout", "2s")).await?;
    let table = on.table_in(&db, ROW).await?;
    let sandbox = Sandbox::over(on.databases(), db.line().instance()).await?;
    let open = db.begin(&TransactionOptions::new()).await?;
    let waits = |number: usize| {
        let (db, table) = (db.clone(), table.clone());
        async move {
            let limit = if number == 0 { HANG_LIMIT } else { std::time::Duration::ZERO };
            tokio::time::timeout(limit, put(&db, &table, 1)).await
        }
    };
    for (number, answer) in at_once(3, waits).await?.into_iter().enumerate() {
        let Ok(answer) = answer else { continue };
        equal(&number, &0, "who did not give up")?;
        let error = refused(answer, ErrorKind::Timeout, "a statement that had no turn")?;
        let holder = error.context_value("held by").unwrap_or_default().to_owned();
        ensure(holder.contains("sandboxes.rs"), || format!("no holder is named: {error:?}"))?;
    }
    put(&open, &table, 2).await?;
    open.commit().await?;
    resting(&db).await?;
    equal(&ids(&db, &table).await?[..], &[2], "rows in the sandbox")?;
    sandbox.end().await?;
    equal(&count(&db, &table).await?, &0, "rows after the sandbox")
}

/// Nor does anything else end it from inside.
pub(super) async fn what_commits_is_refused_in_a_sandbox(on: &Subject) -> Verdict {
    let (db, table) = (on.db(), on.numbered(on.db(), 1).await?);
    let sandbox = Sandbox::over(on.databases(), "main").await?;
    put(db, &table, 2).await?;
    let connection = db.connection().await?;
    for ending in ["commit", "rollback", "begin"] {
        let script = db.execute_script(ending).await;
        refused(script, ErrorKind::InvalidInput, "a script that ends the sandbox")?;
        let statement = connection.execute(ending, ()).await;
        refused(statement, ErrorKind::InvalidInput, "a statement that ends the sandbox")?;
    }
    drop(connection);
    if !on.dialect()?.has_transactional_ddl {
        let made = db.execute(&format!("create table {} (id int)", on.name("never")), ()).await;
        refused(made, ErrorKind::Unsupported, "a table where that commits")?;
    }
    equal(&ids(db, &table).await?[..], &[1, 2], "rows in the sandbox")?;
    sandbox.end().await?;
    equal(&ids(db, &table).await?[..], &[1], "rows after the sandbox")
}

pub(super) async fn what_only_reads_refuses_to_write_in_a_sandbox(on: &Subject) -> Verdict {
    let (db, table) = (on.db(), &*on.numbered(on.db(), 1).await?);
    let sandbox = Sandbox::over(on.databases(), "main").await?;
    let reading = db.begin(&TransactionOptions::new().read_only()).await?;
    let written = put(&reading, table, 2).await;
    refused(written, ErrorKind::PermissionDenied, "writing where it only reads")?;
    let rows = [[crate::Value::from(3), "x".into()]];
    let inserted = reading.bulk_insert(table, &["id", "name"], rows).await;
    refused(inserted, ErrorKind::PermissionDenied, "inserting where it only reads")?;
    reading.rollback().await?;
    let reading = db.begin(&TransactionOptions::new().read_only()).await?;
    equal(&count(&reading, table).await?, &1, "rows that it reads")?;
    reading.commit().await?;
    put(db, table, 4).await?;
    db.transaction(|writing| async move { put(&writing, table, 5).await }).await?;
    sandbox.end().await?;
    equal(&ids(db, table).await?[..], &[1], "rows after the sandbox")
}

/// Ends when so many wait for a connection.
async fn until_waiting(db: &Database, count: usize) {
    while db.pools().iter().map(|pool| pool.waiting).sum::<usize>() < count {
        tokio::task::yield_now().await;
    }
}

fn declined() -> Error {
    Error::new(ErrorKind::InvalidInput, "no")
}
