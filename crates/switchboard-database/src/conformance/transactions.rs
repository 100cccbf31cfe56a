//! Transactions: what lasts, what is taken back, and what happens around it.

use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use switchboard_core::{Error, ErrorKind, Result};
use tokio::sync::Notify;

use super::subject::{
    HANG_LIMIT, ROW, Subject, Wanted, at_once, count, ensure, equal, failed, ids, in_time, put,
    refused, resting,
};
use super::{Failure, Verdict};
use crate::{Isolation, Statements as _, Transaction, TransactionOptions};

/// In a transaction, in a session, and in one that is ended by hand.
pub(super) async fn what_ends_well_lasts(on: &Subject) -> Verdict {
    let table = &*on.table(ROW).await?;
    let answer = on.db().transaction(|transaction| async move {
        put(&transaction, table, 1).await?;
        Ok::<_, Error>("done")
    });
    equal(answer.await?, "done", "what the closure answered")?;
    let session = on.db().session(|session| async move { put(&session, table, 2).await });
    session.await?;
    let options = TransactionOptions::new().isolation(Isolation::Serializable);
    let with = on
        .db()
        .transaction_with(options, |transaction| async move { put(&transaction, table, 3).await });
    with.await?;
    equal(&ids(on.db(), table).await?[..], &[1, 2, 3], "rows of transactions that ended well")?;
    resting(on.db()).await
}

/// Whichever way it is left.
pub(super) async fn what_fails_panics_or_is_dropped_is_taken_back(on: &Subject) -> Verdict {
    let table = &*on.table(ROW).await?;
    let fails = on.db().transaction(|transaction| async move {
        put(&transaction, table, 1).await?;
        Err::<(), _>(declined())
    });
    let error = failed(fails.await, "a closure that fails")?;
    equal(&error.message(), &DECLINED, "why it was given up")?;
    let panics = on.db().transaction(|transaction| async move {
        put(&transaction, table, 2).await?;
        if true {
            std::panic::resume_unwind(Box::new("on purpose"));
        }
        Ok::<_, Error>(())
    });
    let panicked = AssertUnwindSafe(panics).catch_unwind().await;
    ensure(panicked.is_err(), || "a panic was swallowed".to_owned())?;
    let hangs = on.db().session(|session| async move {
        put(&session, table, 3).await?;
        pending::<Result<()>>().await
    });
    let dropped = tokio::time::timeout(Duration::from_millis(300), hangs).await;
    ensure(dropped.is_err(), || "what never ends has ended".to_owned())?;
    resting(on.db()).await?;
    equal(&count(on.db(), table).await?, &0, "rows of transactions that were given up")
}

/// By `commit`, by `rollback`, or because nobody has it any more.
pub(super) async fn a_transaction_of_ones_own_is_ended_by_hand_or_taken_back(
    on: &Subject,
) -> Verdict {
    let table = on.table(ROW).await?;
    let options = TransactionOptions::new();
    let kept = on.db().begin(&options).await?;
    put(&kept, &table, 1).await?;
    kept.commit().await?;
    let taken_back = on.db().begin(&options).await?;
    put(&taken_back, &table, 2).await?;
    taken_back.rollback().await?;
    let left = on.db().begin(&options).await?;
    put(&left, &table, 3).await?;
    drop(left);
    resting(on.db()).await?;
    equal(&ids(on.db(), &table).await?[..], &[1], "rows of three transactions")
}

/// One without any is nothing.
pub(super) async fn a_lazy_transaction_takes_no_connection_before_its_first_statement(
    on: &Subject,
) -> Verdict {
    let table = on.table(ROW).await?;
    let acquired = || on.db().pools().iter().map(|pool| pool.acquired).sum::<u64>();
    let before = acquired();
    on.db().session(|_| async { Ok::<_, Error>(()) }).await?;
    let lazy = on.db().begin_lazily(&TransactionOptions::new());
    equal(&acquired(), &before, "connections taken by transactions without statements")?;
    put(&lazy, &table, 1).await?;
    equal(&acquired(), &(before + 1), "connections taken by a transaction with one")?;
    lazy.commit().await?;
    equal(&ids(on.db(), &table).await?[..], &[1], "rows of a lazy transaction")
}

/// The third of five is rolled back, with the two inside of it.
pub(super) async fn savepoints_five_deep_keep_what_is_outside_of_the_one_rolled_back(
    on: &Subject,
) -> Verdict {
    let table = &*on.table(ROW).await?;
    let nested = on.db().transaction(|outer| async move {
        put(&outer, table, 0).await?;
        outer
            .savepoint(|first| async move {
                put(&first, table, 1).await?;
                first.savepoint(|second| third_fails(second, table)).await
            })
            .await?;
        put(&outer, table, 6).await
    });
    nested.await?;
    equal(&ids(on.db(), table).await?[..], &[0, 1, 2, 6, 7], "rows of five savepoints")
}

async fn third_fails(second: Transaction, table: &str) -> Result<()> {
    put(&second, table, 2).await?;
    let third: Result<()> = second
        .savepoint(|third| async move {
            put(&third, table, 3).await?;
            third
                .savepoint(|fourth| async move {
                    put(&fourth, table, 4).await?;
                    fourth.savepoint(|fifth| async move { put(&fifth, table, 5).await }).await
                })
                .await?;
            Err(declined())
        })
        .await;
    if third.is_ok() {
        return Err(Error::new(ErrorKind::Unexpected, "an error in a savepoint was swallowed"));
    }
    put(&second, table, 7).await
}

/// And the transaction goes on without it.
pub(super) async fn a_savepoint_that_panics_or_is_dropped_is_taken_back(on: &Subject) -> Verdict {
    let table = &*on.table(ROW).await?;
    let transaction = on.db().begin(&TransactionOptions::new()).await?;
    put(&transaction, table, 1).await?;
    let panics = transaction.savepoint(|inner| async move {
        put(&inner, table, 2).await?;
        if true {
            std::panic::resume_unwind(Box::new("on purpose"));
        }
        Ok::<_, Error>(())
    });
    let panicked = AssertUnwindSafe(panics).catch_unwind().await;
    ensure(panicked.is_err(), || "a panic was swallowed".to_owned())?;
    put(&transaction, table, 3).await?;
    let is_written = &Notify::new();
    let hangs = transaction.savepoint(|inner| async move {
        put(&inner, table, 4).await?;
        is_written.notify_one();
        pending::<Result<()>>().await
    });
    // Dropped between two statements: of one under way nobody knows whether the rest can go on.
    let written = in_time(HANG_LIMIT, "a statement of a savepoint", is_written.notified());
    tokio::select! {
        ended = hangs => return Err(Failure(format!("what never ends has ended: {ended:?}"))),
        written = written => written?,
    }
    put(&transaction, table, 5).await?;
    transaction.commit().await?;
    equal(&ids(on.db(), table).await?[..], &[1, 3, 5], "rows around two savepoints")
}

/// What hooks wrote down, in their order.
#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<&'static str>>>);

impl Diary {
    fn note(&self, what: &'static str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    fn read(&self) -> Vec<&'static str> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn hooks(&self, transaction: &Transaction, names: [&'static str; 3]) {
        let [before, committed, rolled_back] = names;
        let diary = self.clone();
        transaction.before_commit(move |_| async move {
            diary.note(before);
            Ok(())
        });
        let diary = self.clone();
        transaction.after_commit(move || async move { diary.note(committed) });
        let diary = self.clone();
        transaction.after_rollback(move || async move { diary.note(rolled_back) });
    }
}

/// Those before the commit first; those after a rollback only after one.
pub(super) async fn hooks_run_once_in_their_order(on: &Subject) -> Verdict {
    let table = &*on.table(ROW).await?;
    let diary = Diary::default();
    let (noted, options) = (&diary, TransactionOptions::new());
    let transaction = on.db().begin(&options).await?;
    noted.hooks(&transaction, ["before 1", "committed 1", "rolled back 1"]);
    noted.hooks(&transaction, ["before 2", "committed 2", "rolled back 2"]);
    let owned = table.to_owned();
    transaction.before_commit(|inside| async move { put(&inside, &owned, 1).await });
    equal(&noted.read().len(), &0, "hooks that ran before the end")?;
    transaction.commit().await?;
    let expected = ["before 1", "before 2", "committed 1", "committed 2"];
    equal(&noted.read()[..], &expected, "hooks of a commit")?;
    equal(&ids(on.db(), table).await?[..], &[1], "rows that a hook wrote before the commit")?;
    let transaction = on.db().begin(&options).await?;
    noted.hooks(&transaction, ["before 3", "committed 3", "rolled back 3"]);
    transaction.rollback().await?;
    equal(&noted.read()[4..], &["rolled back 3"], "hooks of a rollback")?;
    let transaction = on.db().begin(&options).await?;
    noted.hooks(&transaction, ["before 4", "committed 4", "rolled back 4"]);
    put(&transaction, table, 2).await?;
    drop(transaction);
    let told = async {
        while noted.read().len() < 6 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    in_time(HANG_LIMIT, "the hook of a transaction that was dropped", told).await?;
    equal(&noted.read()[5..], &["rolled back 4"], "hooks of a drop")
}

pub(super) async fn a_failing_hook_before_the_commit_takes_all_back(on: &Subject) -> Verdict {
    let table = &*on.table(ROW).await?;
    let diary = &Diary::default();
    let transaction = on.db().transaction(|transaction| async move {
        diary.hooks(&transaction, ["before", "committed", "rolled back"]);
        transaction.before_commit(|_| async { Err(declined()) });
        put(&transaction, table, 1).await
    });
    let error = failed(transaction.await, "a transaction whose hook fails")?;
    equal(&error.message(), &DECLINED, "why it was given up")?;
    equal(&diary.read()[..], &["before", "rolled back"], "hooks")?;
    equal(&count(on.db(), table).await?, &0, "rows")
}

/// So that it can use the database, if there is only one.
pub(super) async fn a_hook_after_the_commit_runs_outside_of_the_connection(
    on: &Subject,
) -> Verdict {
    let db = &on.another(Wanted::connections(1)).await?;
    let table = &*on.table_in(db, ROW).await?;
    let transaction = db.transaction(|transaction| async move {
        let (db, owned) = (db.clone(), table.to_owned());
        transaction.after_commit(move || async move {
            put(&db, &owned, 2).await.ok();
        });
        put(&transaction, table, 1).await
    });
    in_time(HANG_LIMIT, "a hook that uses the database", transaction).await??;
    equal(&ids(db, table).await?[..], &[1, 2], "rows of a transaction and of its hook")
}

/// And the other hooks run.
pub(super) async fn a_panic_after_the_commit_undoes_nothing(on: &Subject) -> Verdict {
    let table = &*on.table(ROW).await?;
    let diary = &Diary::default();
    let transaction = on.db().transaction(|transaction| async move {
        transaction.after_commit(|| async { std::panic::resume_unwind(Box::new("on purpose")) });
        diary.hooks(&transaction, ["before", "committed", "rolled back"]);
        put(&transaction, table, 1).await
    });
    transaction.await?;
    equal(&diary.read()[..], &["before", "committed"], "hooks")?;
    equal(&ids(on.db(), table).await?[..], &[1], "rows")
}

/// Those around it do.
pub(super) async fn hooks_of_a_savepoint_rolled_back_do_not_run(on: &Subject) -> Verdict {
    let table = &*on.table(ROW).await?;
    let diary = &Diary::default();
    let transaction = on.db().transaction(|outer| async move {
        diary.hooks(&outer, ["before outer", "committed outer", "rolled back outer"]);
        for (is_kept, names) in [
            (false, ["before lost", "committed lost", "rolled back lost"]),
            (true, ["before kept", "committed kept", "rolled back kept"]),
        ] {
            let inner: Result<()> = outer
                .savepoint(|inner| async move {
                    diary.hooks(&inner, names);
                    put(&inner, table, i64::from(is_kept)).await?;
                    if is_kept { Ok(()) } else { Err(declined()) }
                })
                .await;
            inner.ok();
        }
        Ok::<_, Error>(())
    });
    transaction.await?;
    let expected =
        ["rolled back lost", "before outer", "before kept", "committed outer", "committed kept"];
    equal(&diary.read()[..], &expected, "hooks of a transaction with two savepoints")?;
    equal(&ids(on.db(), table).await?[..], &[1], "rows")
}

/// In clones too, and of savepoints.
pub(super) async fn whoever_uses_what_has_ended_gets_an_error(on: &Subject) -> Verdict {
    let table = &*on.table(ROW).await?;
    let over = ErrorKind::PreconditionFailed;
    for is_kept in [false, true] {
        let transaction = on.db().begin(&TransactionOptions::new()).await?;
        let clone = transaction.clone();
        put(&transaction, table, 1 + i64::from(is_kept)).await?;
        if is_kept {
            transaction.commit().await?;
        } else {
            transaction.rollback().await?;
        }
        for ended in [&transaction, &clone] {
            refused(put(ended, table, 9).await, over, "a statement after the end")?;
            refused(count(ended, table).await, over, "a question after the end")?;
            refused(ended.commit().await, over, "a second commit")?;
            let rolled_back = ended.rollback().await;
            if is_kept {
                refused(rolled_back, over, "a rollback of what was committed")?;
            } else {
                rolled_back?;
            }
            let inside = ended.savepoint(|inner| async move { put(&inner, table, 9).await });
            refused(inside.await, over, "a savepoint after the end")?;
        }
    }
    let escaped = on.db().transaction(|outer| async move {
        let inner: Transaction = outer.savepoint(|inner| async { Ok::<_, Error>(inner) }).await?;
        let late = put(&inner, table, 9).await;
        put(&outer, table, 3).await.map(|()| late)
    });
    refused(escaped.await?, over, "a statement in a savepoint that has ended")?;
    for is_kept in [false, true] {
        let by_hand = on.db().transaction(|transaction| async move {
            put(&transaction, table, 4 + i64::from(is_kept)).await?;
            if is_kept { transaction.commit().await } else { transaction.rollback().await }
        });
        by_hand.await?;
    }
    equal(&ids(on.db(), table).await?[..], &[2, 3, 5], "rows")
}

/// Its statements would become part of the savepoint.
pub(super) async fn the_outer_one_is_refused_while_a_savepoint_is_in_use(on: &Subject) -> Verdict {
    let table = &*on.table(ROW).await?;
    let transaction = on.db().transaction(|outer| async move {
        let clone = outer.clone();
        let answers = outer
            .savepoint(|inner| async move {
                let answers = (put(&clone, table, 1).await, clone.commit().await);
                put(&inner, table, 2).await.map(|()| answers)
            })
            .await?;
        put(&outer, table, 3).await.map(|()| answers)
    });
    match transaction.await {
        Ok((statement, _)) => {
            let kind = ErrorKind::PreconditionFailed;
            refused(statement, kind, "a statement of the outer transaction")?;
            equal(&ids(on.db(), table).await?[..], &[2, 3], "rows")
        }
        // A commit from inside may also be taken as the end of everything.
        Err(error) => {
            equal(&error.kind(), &ErrorKind::PreconditionFailed, "what the end from inside is")?;
            equal(&count(on.db(), table).await?, &0, "rows")
        }
    }
}

/// One statement after the other.
pub(super) async fn several_tasks_use_one_transaction(on: &Subject) -> Verdict {
    let table = on.table(ROW).await?;
    let transaction = on.db().begin(&TransactionOptions::new()).await?;
    let work = |number: usize| {
        let (transaction, table) = (transaction.clone(), table.clone());
        async move {
            for step in 0..5 {
                let id = i64::try_from(number * 5 + step).unwrap_or_default();
                put(&transaction, &table, id).await?;
                count(&transaction, &table).await?;
            }
            Ok::<_, Error>(())
        }
    };
    for answer in at_once(8, work).await? {
        answer?;
    }
    equal(&count(&transaction, &table).await?, &40, "rows of eight tasks")?;
    transaction.commit().await?;
    equal(&count(on.db(), &table).await?, &40, "rows of eight tasks, after the commit")
}

/// Some servers give the transaction up; others only the statement.
pub(super) async fn a_statement_that_fails_leaves_no_half_of_its_transaction(
    on: &Subject,
) -> Verdict {
    let table = on.table(ROW).await?;
    let transaction = on.db().begin(&TransactionOptions::new()).await?;
    put(&transaction, &table, 1).await?;
    let again = put(&transaction, &table, 1).await;
    refused(again, ErrorKind::AlreadyExists, "a row that is there already")?;
    let next = put(&transaction, &table, 2).await;
    let goes_on = next.is_ok();
    if goes_on {
        transaction.commit().await?;
    } else {
        refused(next, ErrorKind::PreconditionFailed, "a statement after one that failed")?;
        let commit = transaction.commit().await;
        refused(commit, ErrorKind::PreconditionFailed, "the commit of what can only be undone")?;
    }
    let expected: &[i64] = if goes_on { &[1, 2] } else { &[] };
    equal(&ids(on.db(), &table).await?[..], expected, "rows after a statement that failed")?;
    // A savepoint around it saves the transaction everywhere.
    let table = &*table;
    let saved = on.db().transaction(|outer| async move {
        put(&outer, table, 7).await?;
        outer.savepoint(|inner| async move { put(&inner, table, 7).await }).await.ok();
        put(&outer, table, 8).await
    });
    saved.await?;
    let rows = ids(on.db(), table).await?;
    ensure(rows.ends_with(&[7, 8]), || format!("a savepoint did not save what is around: {rows:?}"))
}

/// Whatever others commit meanwhile.
pub(super) async fn a_transaction_that_repeats_reads_sees_one_state(on: &Subject) -> Verdict {
    let table = on.numbered(on.db(), 1).await?;
    let options = TransactionOptions::new().isolation(Isolation::RepeatableRead).read_only();
    let reading = on.db().begin(&options).await?;
    equal(&count(&reading, &table).await?, &1, "rows at first")?;
    let writing = put(on.db(), &table, 2);
    // Where reading holds writing up, the write waits for the end.
    let mut writing = std::pin::pin!(writing);
    let early = tokio::time::timeout(Duration::from_millis(500), &mut writing).await;
    equal(&count(&reading, &table).await?, &1, "rows after another one has written")?;
    reading.commit().await?;
    match early {
        Ok(written) => written?,
        Err(_) => in_time(HANG_LIMIT, "writing, once nobody reads", writing).await??,
    }
    equal(&count(on.db(), &table).await?, &2, "rows in the end")
}

pub(super) async fn a_transaction_that_only_reads_refuses_to_write(on: &Subject) -> Verdict {
    let table = on.numbered(on.db(), 1).await?;
    let options = TransactionOptions::new().read_only();
    for sql in [
        format!("insert into {table} (id, name) values (2, 'a')"),
        format!("update {table} set name = 'a'"),
        format!("delete from {table}"),
    ] {
        let reading = on.db().begin(&options).await?;
        equal(&count(&reading, &table).await?, &1, "rows that it reads")?;
        let refusal = reading.execute(&sql, ()).await;
        refused(refusal, ErrorKind::PermissionDenied, "writing where it only reads")?;
        reading.rollback().await?;
    }
    put(on.db(), &table, 2).await?;
    equal(&ids(on.db(), &table).await?[..], &[1, 2], "rows")
}

/// And its connection is as good as before.
pub(super) async fn a_transaction_that_takes_too_long_is_taken_back(on: &Subject) -> Verdict {
    let table = &*on.table(ROW).await?;
    let options = TransactionOptions::new().timeout(Duration::from_millis(400));
    let transaction = on.db().transaction_with(options, |transaction| async move {
        put(&transaction, table, 1).await?;
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            count(&transaction, table).await?;
        }
        #[expect(unreachable_code, reason = "it says what the closure answers")]
        Ok::<(), Error>(())
    });
    let ended = in_time(HANG_LIMIT, "a transaction with a time limit", transaction).await?;
    refused(ended, ErrorKind::Timeout, "a transaction without end")?;
    let options = TransactionOptions::new().timeout(Duration::from_millis(400));
    let transaction = on.db().transaction_with(options, |transaction| async move {
        put(&transaction, table, 1).await?;
        pending::<Result<()>>().await
    });
    let ended = in_time(HANG_LIMIT, "a transaction that waits", transaction).await?;
    refused(ended, ErrorKind::Timeout, "a transaction that waits for something else")?;
    resting(on.db()).await?;
    equal(&count(on.db(), table).await?, &0, "rows of a transaction that took too long")
}

/// By the server, which goes on with the next one.
pub(super) async fn a_statement_that_takes_too_long_is_ended(on: &Subject) -> Verdict {
    let table = on.numbered(on.db(), 1_000).await?;
    let endless = format!(
        "select count(*) from {table} a, {table} b, {table} c where a.id + b.id = c.id + 1"
    );
    let options = TransactionOptions::new().statement_timeout(Duration::from_millis(200));
    let transaction = on.db().begin(&options).await?;
    let answered = transaction.select_value::<i64>(&endless, ());
    let answered = in_time(HANG_LIMIT, "a statement with a time limit", answered).await?;
    let error = refused(answered, ErrorKind::Timeout, "a statement that takes too long")?;
    drop(error);
    transaction.rollback().await?;
    resting(on.db()).await?;
    // The limit was that transaction's, and is nobody else's.
    let long = format!("select count(*) from {table} a, {table} b where a.id = b.id + 1");
    equal(&on.db().select_value::<i64>(&long, ()).await?, &999, "an answer after the time-out")
}

fn declined() -> Error {
    Error::new(ErrorKind::InvalidInput, DECLINED)
}

const DECLINED: &str = "the closure has changed its mind";
