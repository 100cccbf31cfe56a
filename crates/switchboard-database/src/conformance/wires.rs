//! Networks that break: what is told, what lasts, and that the pool heals.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::{StreamExt as _, future::join_all};
use switchboard_core::{Clock, Error, ErrorKind, Outcome, Result, Settings};
use switchboard_testkit::{Direction, Moment};

use super::subject::{
    HANG_LIMIT, ROW, Subject, Wanted, count, ensure, ensure_whole, equal, failed, ids, in_time,
    put, resting,
};
use super::{Failure, Verdict};
use crate::{Database, PoolFigures, Statements as _, TransactionOptions};

fn ensure_lost(error: &Error, outcomes: &[Outcome], what: &str) -> Verdict {
    equal(&error.kind(), &ErrorKind::Unavailable, &format!("{what}: {error:?}"))?;
    ensure(outcomes.contains(&error.outcome()), || {
        format!("{what} says {:?}, not one of {outcomes:?}", error.outcome())
    })
}

/// Works again, all of it, as soon as the network does.
async fn ensure_healed(db: &Database, table: &str) -> Verdict {
    in_time(HANG_LIMIT, "healing", async {
        equal(&db.select_value::<i64>("select 1", ()).await?, &1, "an answer after all")?;
        ensure_whole(db, table).await
    })
    .await?
}

/// A statement that arrived, and one of which nobody knows.
pub(super) async fn an_answer_that_is_lost_leaves_the_outcome_open(on: &Subject) -> Verdict {
    let table = on.table(ROW).await?;
    let (wire, db) = on.behind_wire(Wanted::connections(2)).await?;
    for (id, moment) in [(1, Moment::After), (2, Moment::Answered), (3, Moment::Before)] {
        let name = on.name("needle");
        let trap = wire.cut_when(Direction::ToServer, &name, moment);
        let insert = format!("insert into {table} (id, name) values (?, ?)");
        let answer = db.execute(&insert, (id, &*name));
        let answer = in_time(HANG_LIMIT, "a statement whose answer is lost", answer).await?;
        trap.sprung().await;
        let error = failed(answer, "a statement whose answer is lost")?;
        ensure_lost(&error, &[Outcome::Unknown], "a statement whose answer is lost")?;
        ensure_healed(&db, &table).await?;
        let is_there = ids(on.db(), &table).await?.contains(&i64::from(id));
        match moment {
            Moment::Answered => equal(&is_there, &true, "whether what was answered was done")?,
            Moment::Before => equal(&is_there, &false, "whether what never arrived was done")?,
            Moment::After => {}
        }
    }
    Ok(())
}

/// Neither the statement nor the transaction around it.
pub(super) async fn a_transaction_whose_connection_is_cut_leaves_nothing(on: &Subject) -> Verdict {
    let table = on.table(ROW).await?;
    let (wire, db) = on.behind_wire(Wanted::connections(2)).await?;
    let transaction = db.begin(&TransactionOptions::new()).await?;
    put(&transaction, &table, 1).await?;
    wire.cut().await;
    let next = in_time(HANG_LIMIT, "a statement after a cut", put(&transaction, &table, 2)).await?;
    let error = failed(next, "a statement after a cut")?;
    equal(&error.kind(), &ErrorKind::Unavailable, "a statement after a cut")?;
    let commit = in_time(HANG_LIMIT, "a commit after a cut", transaction.commit()).await?;
    let error = failed(commit, "a commit after a cut")?;
    equal(&error.outcome(), &Outcome::NotApplied, "a commit that could not be sent")?;
    let (cut, named) = (&wire, &*table);
    let scope = db.transaction(|transaction| async move {
        put(&transaction, named, 3).await?;
        cut.cut().await;
        put(&transaction, named, 4).await
    });
    let error = failed(in_time(HANG_LIMIT, "a scope", scope).await?, "a scope that is cut")?;
    equal(&error.kind(), &ErrorKind::Unavailable, "a scope that is cut")?;
    ensure_healed(&db, &table).await?;
    equal(&count(on.db(), &table).await?, &0, "rows of transactions that were cut")
}

/// Whether it lasts, nobody can know from here; so nobody may do it twice.
pub(super) async fn a_commit_whose_answer_is_lost_is_in_doubt_and_not_run_again(
    on: &Subject,
) -> Verdict {
    let table = on.table(ROW).await?;
    let (wire, db) = on.behind_wire(Wanted::connections(2)).await?;
    for (id, moment) in [(1_i64, Moment::Answered), (2, Moment::After)] {
        let (runs, named) = (&AtomicU32::new(0), &*table);
        // Warm, so that the next commit on the wire is ours.
        db.select_value::<i64>("select 1", ()).await?;
        let trap = wire.cut_when(Direction::ToServer, on.words().commit, moment);
        let scope = db.transaction(|transaction| async move {
            runs.fetch_add(1, Ordering::Relaxed);
            put(&transaction, named, id).await
        });
        let answer = in_time(HANG_LIMIT, "a commit whose answer is lost", scope).await?;
        trap.sprung().await;
        let error = failed(answer, "a commit whose answer is lost")?;
        ensure_lost(&error, &[Outcome::Unknown], "a commit whose answer is lost")?;
        equal(&runs.load(Ordering::Relaxed), &1, "how often it was run")?;
        ensure_healed(&db, &table).await?;
        if moment == Moment::Answered {
            ensure(ids(on.db(), &table).await?.contains(&id), || {
                "what the server has committed is not there".to_owned()
            })?;
        }
    }
    Ok(())
}

pub(super) async fn a_commit_that_never_arrives_leaves_nothing(on: &Subject) -> Verdict {
    let table = on.table(ROW).await?;
    let (wire, db) = on.behind_wire(Wanted::connections(2)).await?;
    let transaction = db.begin(&TransactionOptions::new()).await?;
    put(&transaction, &table, 1).await?;
    let trap = wire.cut_when(Direction::ToServer, on.words().commit, Moment::Before);
    let commit = in_time(HANG_LIMIT, "a commit that is cut", transaction.commit()).await?;
    trap.sprung().await;
    let error = failed(commit, "a commit that is cut")?;
    let outcomes = [Outcome::Unknown, Outcome::NotApplied];
    ensure_lost(&error, &outcomes, "a commit that is cut")?;
    ensure_healed(&db, &table).await?;
    equal(&count(on.db(), &table).await?, &0, "rows of a commit that never arrived")
}

/// It does not look like the end of the rows.
pub(super) async fn a_stream_that_is_cut_ends_with_an_error(on: &Subject) -> Verdict {
    let table = on.numbered(on.db(), 1_000).await?;
    let (wire, db) = on.behind_wire(Wanted::connections(2)).await?;
    let mut stream =
        db.stream::<i64>(&format!("select a.id from {table} a, {table} b"), ()).await?;
    for _ in 0..1_000 {
        stream.next().await.transpose()?;
    }
    wire.cut().await;
    let rest = async {
        loop {
            match stream.next().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Some(error),
                None => return None,
            }
        }
    };
    let ended = in_time(HANG_LIMIT, "the end of a stream that was cut", rest).await?;
    let error = ended.ok_or_else(|| Failure("a stream that was cut ended well".to_owned()))?;
    equal(&error.kind(), &ErrorKind::Unavailable, "a stream that was cut")?;
    drop(stream);
    ensure_healed(&db, &table).await
}

/// As when the server was started anew: they are asked before they are handed out.
pub(super) async fn idle_connections_that_were_cut_are_not_noticed_by_callers(
    on: &Subject,
) -> Verdict {
    let table = on.numbered(on.db(), 10).await?;
    let (wire, db) = on.behind_wire(Wanted::connections(4)).await?;
    for _ in 0..3 {
        let held = join_all((0..4).map(|_| db.connection())).await;
        ensure(held.iter().all(Result::is_ok), || format!("not all connected: {held:?}"))?;
        drop(held);
        resting(&db).await?;
        equal(&db.pools()[0].idle, &4, "idle connections")?;
        // So long that they are asked.
        tokio::time::sleep(Duration::from_millis(600)).await;
        wire.cut().await;
        let calls = join_all((0..20).map(|_| count(&db, &table)));
        for answer in in_time(HANG_LIMIT, "calls after a restart", calls).await? {
            equal(&answer?, &10, "rows after a restart")?;
        }
    }
    ensure_healed(&db, &table).await
}

/// By the limits of calls, of waiting and of connecting; and all is well when it is over.
pub(super) async fn a_network_that_swallows_everything_is_given_up_in_time(
    on: &Subject,
) -> Verdict {
    let table = on.table(ROW).await?;
    let wanted = Wanted::connections(2)
        .with("policy", Settings::new().with("attempt_timeout", "2s"))
        .with_pool("connect_timeout", "1s")
        .with_pool("acquire_timeout", "2s");
    let (wire, db) = on.behind_wire(wanted).await?;
    put(&db, &table, 1).await?;
    wire.blackhole();
    let clock = Clock::system();
    let began = clock.now();
    for round in 0..3_i64 {
        let call = in_time(HANG_LIMIT, "a call into nothing", put(&db, &table, 10 + round)).await?;
        let error = failed(call, "a call into nothing")?;
        let kinds = [ErrorKind::Timeout, ErrorKind::Unavailable];
        ensure(kinds.contains(&error.kind()), || format!("a call into nothing: {error:?}"))?;
    }
    let took = clock.now() - began;
    ensure(took < HANG_LIMIT, || format!("three calls into nothing took {took:?}"))?;
    wire.heal();
    ensure_healed_after_a_while(&db, &table).await
}

/// The pool may still be waiting for its next attempt to connect.
async fn ensure_healed_after_a_while(db: &Database, table: &str) -> Verdict {
    let healed = async {
        while count(db, table).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    in_time(HANG_LIMIT, "healing", healed).await?;
    ensure_healed(db, table).await
}

pub(super) async fn a_server_that_refuses_is_asked_by_few_at_a_time_and_the_error_says_why(
    on: &Subject,
) -> Verdict {
    let table = on.table(ROW).await?;
    let wanted = Wanted::connections(8).with_pool("acquire_timeout", "1500ms");
    let (wire, db) = on.behind_wire(wanted).await?;
    wire.refuse();
    // The one it was built with goes, so that nobody has any.
    db.refresh_all(Duration::ZERO);
    let before = wire.connections().len();
    let watched = async {
        let mut most = 0;
        for _ in 0..300 {
            let pools = db.pools();
            most = most.max(pools.iter().map(|pool: &PoolFigures| pool.connecting).sum());
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        most
    };
    let calls = join_all((0..20).map(|_| count(&db, &table)));
    let (answers, most): (_, usize) = in_time(
        HANG_LIMIT,
        "calls to a server that refuses",
        futures_util::future::join(calls, watched),
    )
    .await?;
    for answer in answers {
        let error = failed(answer, "a call to a server that refuses")?;
        equal(&error.kind(), &ErrorKind::Unavailable, "why a call was refused")?;
    }
    ensure(most <= 2, || format!("{most} connections were attempted at the same time"))?;
    let tried = wire.connections().len() - before;
    // Twenty callers, each of them again and again, would be a storm.
    ensure((1..=40).contains(&tried), || format!("{tried} attempts within a second and a half"))?;
    wire.heal();
    ensure_healed_after_a_while(&db, &table).await
}
