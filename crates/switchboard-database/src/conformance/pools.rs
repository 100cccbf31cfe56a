//! Pools, as an application meets them: who waits, who is told what, and what a swap and a close do.

use std::time::Duration;

use switchboard_core::{Error, ErrorKind, Status};

use super::Verdict;
use super::subject::{
    HANG_LIMIT, ROW, Subject, Wanted, at_once, count, ensure, equal, failed, ids, in_time, put,
    refused, resting,
};
use crate::{Statements as _, TransactionOptions};

/// At once, with the place where it took the first.
pub(super) async fn who_wants_a_second_connection_of_one_is_told_so(on: &Subject) -> Verdict {
    let db = on.another(Wanted::connections(1).with_pool("nested", "deny")).await?;
    let table = on.table_in(&db, ROW).await?;
    let task = {
        let (db, table) = (db.clone(), table.clone());
        move |_| {
            let (db, table) = (db.clone(), table.clone());
            async move {
                let first = db.connection().await?;
                let line = line!() - 1;
                let second = db.connection().await.map(drop);
                put(&first, &table, 1).await?;
                let in_transaction = db
                    .transaction(|_| {
                        let db = db.clone();
                        async move { db.connection().await.map(drop) }
                    })
                    .await;
                Ok::<_, Error>((line, second, in_transaction))
            }
        }
    };
    let answers = in_time(HANG_LIMIT, "asking for a second connection", at_once(1, task)).await??;
    for answer in answers {
        let (line, second, in_transaction) = answer?;
        let error = refused(second, ErrorKind::Config, "a second connection of one")?;
        let told = format!("{error:?}");
        let place = format!("{}:{line}", file!());
        ensure(told.contains(&place), || format!("{place} is not named: {told}"))?;
        refused(in_transaction, ErrorKind::Config, "a transaction while one has the connection")?;
    }
    resting(&db).await?;
    put(&db, &table, 2).await?;
    equal(&ids(&db, &table).await?[..], &[1, 2], "rows")
}

/// File and line of who took the connection, and what it does.
pub(super) async fn an_exhausted_pool_names_who_holds_it(on: &Subject) -> Verdict {
    // Enough for a connection that has to be made, on a busy machine too.
    let wanted = Wanted::connections(1).with_pool("acquire_timeout", "2s");
    let db = on.another(wanted.with_pool("nested", "allow")).await?;
    let table = on.table_in(&db, ROW).await?;
    let holder = db.connection().await?;
    let line = line!() - 1;
    put(&holder, &table, 1).await?;
    let error = in_time(HANG_LIMIT, "waiting for a connection", put(&db, &table, 2)).await?;
    let error = refused(error, ErrorKind::Timeout, "waiting for a connection in vain")?;
    let held = error.context_value("held by").unwrap_or_default();
    let place = format!("{}:{line}", file!());
    ensure(held.contains(&place), || format!("{place} is not named: {error:?}"))?;
    ensure(held.contains("insert into"), || format!("its statement is not told: {error:?}"))?;
    ensure(!held.contains("row 1"), || format!("values are shown: {error:?}"))?;
    let listed = db.holders();
    equal(&listed.len(), &1, "how many hold a connection")?;
    equal(&listed[0].place.line(), &line, "the line of who holds it")?;
    drop(holder);
    resting(&db).await?;
    put(&db, &table, 3).await?;
    equal(&ids(&db, &table).await?[..], &[1, 3], "rows")
}

/// All of them come to their turn.
pub(super) async fn many_callers_share_few_connections(on: &Subject) -> Verdict {
    let wanted = Wanted::connections(2).with_pool("acquire_timeout", "30s");
    let db = on.another(wanted).await?;
    let table = on.table_in(&db, ROW).await?;
    let work = |number: usize| {
        let (db, table) = (db.clone(), table.clone());
        async move {
            let id = i64::try_from(number).unwrap_or_default();
            put(&db, &table, id).await?;
            db.transaction(|transaction| {
                let table = table.clone();
                async move { put(&transaction, &table, id + 1_000).await }
            })
            .await?;
            count(&db, &table).await
        }
    };
    for answer in in_time(HANG_LIMIT, "many callers", at_once(64, work)).await?? {
        answer?;
    }
    equal(&count(&db, &table).await?, &128, "rows of many callers")?;
    for pool in db.pools() {
        ensure(pool.size <= pool.max, || format!("it grew beyond its size: {pool:?}"))?;
        equal(&pool.timed_out, &0, "callers who waited in vain")?;
    }
    resting(&db).await
}

/// What they do is done, and who comes later is refused.
pub(super) async fn closing_waits_for_who_has_a_connection(on: &Subject) -> Verdict {
    let table = on.table(ROW).await?;
    let transaction = on.db().begin(&TransactionOptions::new()).await?;
    put(&transaction, &table, 1).await?;
    let ends = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        put(&transaction, &table, 2).await?;
        let seen = ids(&transaction, &table).await?;
        transaction.commit().await?;
        Ok::<_, Error>(seen)
    };
    let closing = on.databases().close(HANG_LIMIT);
    let (ended, closed) = tokio::join!(ends, closing);
    equal(&ended?[..], &[1, 2], "rows in a transaction while the database closes")?;
    closed.into_result()?;
    let late = in_time(HANG_LIMIT, "a call after the close", count(on.db(), &table)).await?;
    failed(late, "a call after the close").map(drop)
}

/// On the old connections, while new callers have new ones.
pub(super) async fn a_swap_lets_open_transactions_end(on: &Subject) -> Verdict {
    let table = on.table(ROW).await?;
    let transaction = on.db().begin(&TransactionOptions::new()).await?;
    put(&transaction, &table, 1).await?;
    let settings = on.settings(Wanted::connections(3));
    let swap = in_time(HANG_LIMIT, "a swap", on.databases().swap("main", &settings)).await??;
    equal(&swap.generation, &2, "the generation that serves")?;
    equal(&on.db().select_value::<i64>("select 1", ()).await?, &1, "an answer of the new one")?;
    put(&transaction, &table, 2).await?;
    equal(&ids(&transaction, &table).await?[..], &[1, 2], "rows in the old one")?;
    transaction.commit().await?;
    in_time(HANG_LIMIT, "the end of the old one", swap.closed()).await??;
    equal(&on.db().pools()[0].max, &on.expected_max(3), "the size of the new one")?;
    if !on.is_private() {
        equal(&ids(on.db(), &table).await?[..], &[1, 2], "rows after a swap")?;
    }
    Ok(())
}

impl Subject {
    /// The size of the pool that writes, where so many were asked for.
    fn expected_max(&self, asked: usize) -> usize {
        let is_divided = self.db().pools().len() == 2;
        if is_divided { 1 } else { asked }
    }
}

pub(super) async fn a_database_at_work_is_healthy(on: &Subject) -> Verdict {
    let table = on.numbered(on.db(), 1).await?;
    let held = on.another(Wanted::connections(1)).await?;
    let _all = held.connection().await?;
    let report = on.databases().health(HANG_LIMIT).await;
    for found in &report {
        equal(&found.health.status, &Status::Up, &format!("the health of {}", found.instance))?;
    }
    equal(&report.len(), &2, "how many databases were asked")?;
    equal(&count(on.db(), &table).await?, &1, "rows after a look at the health")
}
