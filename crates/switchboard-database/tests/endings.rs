//! What the ends of transactions say, and what happens then.

#![cfg(test)]
#![cfg(all(feature = "sqlite", feature = "postgres", feature = "mysql"))]

mod place;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use switchboard_core::{Error, ErrorKind, Outcome, Result};
use switchboard_database::{Listing, OnError, Stack, StackReport, Statements as _, Transaction};

use place::{Place, declined};

/// Whether something has happened.
#[derive(Clone, Default)]
struct Seen(Arc<AtomicBool>);

impl Seen {
    fn note(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn is(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    fn after_commit_of(transaction: &Transaction) -> Self {
        let seen = Self::default();
        let noted = seen.clone();
        transaction.after_commit(move || async move { noted.note() });
        seen
    }

    fn after_rollback_of(transaction: &Transaction) -> Self {
        let seen = Self::default();
        let noted = seen.clone();
        transaction.after_rollback(move || async move { noted.note() });
        seen
    }
}

async fn commit_after_the_driver_was_taken_away(place: Place) {
    let limited = place.settings.clone().with("drain_limit", "100ms");
    place.databases.swap("main", &limited).await.unwrap().closed().await.ok();
    let transaction = place.begin().await;
    transaction.execute(&place.insert(1), ()).await.unwrap();
    let committed = Seen::after_commit_of(&transaction);
    let rolled_back = Seen::after_rollback_of(&transaction);
    let swapped = place.databases.swap("main", &limited.with("log_queries", true)).await.unwrap();
    swapped.closed().await.ok();

    let error = transaction.commit().await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::NotApplied));
    assert!(!committed.is() && rolled_back.is());
    drop(transaction);
    assert!(place.ids().await.is_empty());
    place.left().await;
}

#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_after_the_driver_was_taken_away_fails_on_sqlite() {
    commit_after_the_driver_was_taken_away(Place::sqlite().await).await;
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_after_the_driver_was_taken_away_fails_on_postgres() {
    commit_after_the_driver_was_taken_away(Place::postgres().await).await;
}

#[cfg(feature = "mysql")]
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_after_the_driver_was_taken_away_fails_on_mariadb() {
    commit_after_the_driver_was_taken_away(Place::mariadb().await).await;
}

#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_after_the_driver_was_taken_away_is_well_on_sqlite() {
    let place = Place::sqlite().await;
    let limited = place.settings.clone().with("drain_limit", "100ms");
    place.databases.swap("main", &limited).await.unwrap().closed().await.ok();
    let transaction = place.begin().await;
    transaction.execute(&place.insert(1), ()).await.unwrap();
    let swapped = place.databases.swap("main", &limited.with("log_queries", true)).await.unwrap();
    swapped.closed().await.ok();
    transaction.rollback().await.unwrap();
    assert!(place.ids().await.is_empty());
    place.left().await;
}

async fn scripts_do_not_end_transactions(place: Place) {
    let transaction = place.begin().await;
    transaction.execute(&place.insert(1), ()).await.unwrap();
    for script in ["commit", "rollback", "select 1; commit; select 2", "savepoint mine"] {
        let refused = transaction.execute_script(script).await.unwrap_err();
        let seen = (refused.kind(), refused.outcome());
        assert_eq!(seen, (ErrorKind::InvalidInput, Outcome::NotApplied), "{script}");
    }
    transaction.execute(&place.insert(2), ()).await.unwrap();
    transaction.rollback().await.unwrap();
    assert!(place.ids().await.is_empty());
    place.left().await;
}

#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_ends_the_transaction_is_refused_on_sqlite() {
    scripts_do_not_end_transactions(Place::sqlite().await).await;
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_ends_the_transaction_is_refused_on_postgres() {
    scripts_do_not_end_transactions(Place::postgres().await).await;
}

#[cfg(feature = "mysql")]
#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_ends_the_transaction_is_refused_on_mariadb() {
    scripts_do_not_end_transactions(Place::mariadb().await).await;
}

#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_a_statement_rolled_back_takes_no_other_on_sqlite() {
    let place = Place::sqlite().await;
    let transaction = place.begin().await;
    let rolled_back = Seen::after_rollback_of(&transaction);
    transaction.execute(&place.insert(1), ()).await.unwrap();
    let again = format!("insert or rollback into {} values (1)", place.table);
    transaction.execute(&again, ()).await.unwrap_err();
    let after = transaction.execute(&place.insert(2), ()).await.unwrap_err();
    assert_eq!(
        (after.kind(), after.outcome()),
        (ErrorKind::PreconditionFailed, Outcome::NotApplied)
    );
    let commit = transaction.commit().await.unwrap_err();
    assert_eq!(
        (commit.kind(), commit.outcome()),
        (ErrorKind::PreconditionFailed, Outcome::NotApplied)
    );
    assert!(rolled_back.is());
    assert!(place.ids().await.is_empty());
    place.left().await;
}

#[cfg(feature = "mysql")]
#[tokio::test(flavor = "multi_thread")]
async fn a_definition_that_would_commit_is_refused_in_a_transaction_on_mariadb() {
    let place = Place::mariadb().await;
    let transaction = place.begin().await;
    transaction.execute(&place.insert(1), ()).await.unwrap();
    let create = format!("create table if not exists {} (id integer)", place.table);
    let refused = [
        transaction.execute(&create, ()).await.map(drop),
        transaction.execute_script(&format!("select 1; {create}")).await,
        transaction.rows(&create, ()).await.map(drop),
        transaction.select_listed::<i64>(&create, (), &Listing::new()).await.map(drop),
        transaction.execute(&format!("truncate {}", place.table), ()).await.map(drop),
    ];
    for refused in refused {
        let error = refused.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unsupported, Outcome::NotApplied));
    }
    let temporary = format!("create temporary table of_{} (id integer)", place.table);
    transaction.execute(&temporary, ()).await.unwrap();
    transaction.execute(&place.insert(2), ()).await.unwrap();
    transaction.rollback().await.unwrap();
    assert!(place.ids().await.is_empty());
    place.left().await;
}

#[cfg(feature = "mysql")]
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_nobody_saw_leaves_the_outcome_unknown_on_mariadb() {
    let place = Place::mariadb().await;
    let transaction = place.begin().await;
    let hooks = [Seen::after_commit_of(&transaction), Seen::after_rollback_of(&transaction)];
    transaction.execute(&place.insert(1), ()).await.unwrap();
    transaction
        .native::<mysql_async::Conn, _, _>(|client| {
            Box::pin(async move {
                use mysql_async::prelude::Queryable as _;
                client.query_drop("commit").await.map_err(|_| declined())
            })
        })
        .await
        .unwrap();
    let second = transaction.execute(&place.insert(2), ()).await.unwrap_err();
    assert_eq!(second.outcome(), Outcome::NotApplied);
    let rollback = transaction.rollback().await.unwrap_err();
    let seen = (rollback.kind(), rollback.outcome());
    assert_eq!(seen, (ErrorKind::PreconditionFailed, Outcome::Unknown));
    assert!(hooks.iter().all(|hook| !hook.is()));
    assert_eq!(place.ids().await, [1]);
    place.left().await;
}

/// Rows 1 and 2 are locked by both, crosswise, the first time; the one that did less gives way.
#[cfg(feature = "mysql")]
async fn meet_another(place: &Place, transaction: &Transaction, is_first: bool) -> Result<()> {
    let lock = |id: i64| format!("select id from {} where id = {id} for update", place.table);
    transaction.rows(&lock(1), ()).await?;
    if !is_first {
        return transaction.rows(&lock(2), ()).await.map(drop);
    }
    let other = place.begin().await;
    for id in 100..140 {
        other.execute(&place.insert(id), ()).await?;
    }
    other.rows(&lock(2), ()).await?;
    let (first, second) = (lock(1), lock(2));
    let (other_met, met) = tokio::join!(other.rows(&first, ()), transaction.rows(&second, ()));
    other_met?;
    other.rollback().await?;
    met.map(drop)
}

#[cfg(feature = "mysql")]
#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_that_the_body_swallows_leaves_nothing_half_done_on_mariadb() {
    let place = Place::mariadb().await;
    place.db.execute(&place.insert(1), ()).await.unwrap();
    place.db.execute(&place.insert(2), ()).await.unwrap();
    let tries = AtomicU64::new(0);
    let (tries, within) = (&tries, &place);
    let done: Result<()> = within
        .db
        .transaction(|transaction| async move {
            let is_first = tries.fetch_add(1, Ordering::SeqCst) == 0;
            transaction.execute(&within.insert(10), ()).await?;
            let met = meet_another(within, &transaction, is_first).await;
            assert_eq!(met.is_err(), is_first, "{met:?}");
            let after = transaction.execute(&within.insert(11), ()).await;
            assert_eq!(after.is_err(), is_first, "{after:?}");
            Ok(())
        })
        .await;
    done.unwrap();
    assert_eq!(tries.load(Ordering::SeqCst), 2);
    assert_eq!(place.ids().await, [1, 2, 10, 11]);
    place.left().await;
}

/// A hook before the commit that never ends, and one after the rollback that says so.
fn never_comes_to_commit(transaction: &Transaction) -> tokio::sync::oneshot::Receiver<()> {
    let (told, rolled_back) = tokio::sync::oneshot::channel();
    transaction.before_commit(|_| std::future::pending());
    transaction.after_rollback(|| async move { told.send(()).unwrap() });
    rolled_back
}

#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_dropped_in_what_is_before_it_is_rolled_back_on_sqlite() {
    let place = Place::sqlite().await;
    let transaction = place.begin().await;
    transaction.execute(&place.insert(1), ()).await.unwrap();
    let rolled_back = never_comes_to_commit(&transaction);
    assert!(futures_util::FutureExt::now_or_never(transaction.commit()).is_none());
    let again = transaction.commit().await.unwrap_err();
    assert_eq!(
        (again.kind(), again.outcome()),
        (ErrorKind::PreconditionFailed, Outcome::NotApplied)
    );
    rolled_back.await.unwrap();
    assert!(place.ids().await.is_empty());
    place.left().await;
}

#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_cannot_be_asked_for_by_what_is_before_it_on_sqlite() {
    let place = Place::sqlite().await;
    let transaction = place.begin().await;
    transaction.execute(&place.insert(1), ()).await.unwrap();
    transaction.before_commit(|inside| async move { inside.commit().await });
    let error = transaction.commit().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PreconditionFailed);
    assert!(place.ids().await.is_empty());
    place.left().await;
}

async fn scope_dropped_before_its_commit(place: Place) {
    let (kept, was_kept) = tokio::sync::oneshot::channel();
    let insert = place.insert(1);
    let session = place.db.session::<_, Error, _, _>(|transaction| async move {
        transaction.execute(&insert, ()).await?;
        let rolled_back = never_comes_to_commit(&transaction);
        kept.send((transaction, rolled_back)).unwrap();
        Ok(())
    });
    let mut session = Box::pin(session);
    let (transaction, rolled_back) = tokio::select! {
        _ = &mut session => unreachable!("what is before the commit does not end"),
        kept = was_kept => kept.unwrap(),
    };
    // It waits for its hook now, if it did not do so before.
    assert!(futures_util::FutureExt::now_or_never(&mut session).is_none());
    drop(session);
    rolled_back.await.unwrap();
    let late = transaction.execute(&place.insert(2), ()).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::PreconditionFailed);
    assert!(transaction.commit().await.is_err());
    assert!(place.ids().await.is_empty());
    place.left().await;
}

#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread")]
async fn a_scope_dropped_before_its_commit_takes_its_transaction_with_it_on_sqlite() {
    scope_dropped_before_its_commit(Place::sqlite().await).await;
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn a_scope_dropped_before_its_commit_takes_its_transaction_with_it_on_postgres() {
    scope_dropped_before_its_commit(Place::postgres().await).await;
}

#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread")]
async fn a_panic_before_the_commit_takes_the_transaction_with_it_on_sqlite() {
    use futures_util::FutureExt as _;

    let place = Place::sqlite().await;
    let (kept, was_kept) = tokio::sync::oneshot::channel();
    let (told, rolled_back) = tokio::sync::oneshot::channel();
    let insert = place.insert(1);
    let session = place.db.session::<(), Error, _, _>(|transaction| async move {
        transaction.execute(&insert, ()).await?;
        transaction.before_commit(|_| async { std::panic::resume_unwind(Box::new("on purpose")) });
        transaction.after_rollback(|| async move { told.send(()).unwrap() });
        kept.send(transaction).unwrap();
        Ok(())
    });
    assert!(std::panic::AssertUnwindSafe(session).catch_unwind().await.is_err());
    let transaction = was_kept.await.unwrap();
    assert!(transaction.commit().await.is_err());
    rolled_back.await.unwrap();
    assert!(place.ids().await.is_empty());
    place.left().await;
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn nothing_happens_after_a_commit_in_doubt_on_postgres() {
    let place = Place::postgres().await;
    let table = &place.table;
    // The server goes away while it commits.
    let kills = format!(
        "create function {table}_kill() returns trigger language plpgsql as \
         $$ begin perform pg_terminate_backend(pg_backend_pid()); return null; end $$; \
         create constraint trigger kill after insert on {table} deferrable initially deferred \
         for each row execute function {table}_kill()"
    );
    place.db.execute_script(&kills).await.unwrap();
    let transaction = place.begin().await;
    transaction.execute(&place.insert(1), ()).await.unwrap();
    let hooks = [Seen::after_commit_of(&transaction), Seen::after_rollback_of(&transaction)];
    let error = transaction.commit().await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown);
    drop(transaction);
    place.db.execute_script(&format!("drop function {table}_kill() cascade")).await.unwrap();
    assert!(hooks.iter().all(|hook| !hook.is()));
    place.left().await;
}

#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_registered_after_the_end_does_not_happen_on_sqlite() {
    let place = Place::sqlite().await;
    let mut late = Vec::new();
    for is_kept in [true, false] {
        let transaction = place.begin().await;
        transaction.execute(&place.insert(1), ()).await.unwrap();
        let ended = if is_kept { transaction.commit().await } else { transaction.rollback().await };
        assert_eq!(ended.is_ok(), is_kept || ended.is_ok());
        late.push(Seen::after_commit_of(&transaction));
        late.push(Seen::after_rollback_of(&transaction));
        place.db.execute(&format!("delete from {}", place.table), ()).await.unwrap();
    }
    // What a last owner leaves to be done is done before the registry is closed.
    place.left().await;
    assert!(late.iter().all(|hook| !hook.is()));
}

#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_registered_on_a_savepoint_that_was_rolled_back_does_not_happen_on_sqlite() {
    let place = Place::sqlite().await;
    let transaction = place.begin().await;
    let mut kept = None;
    let keep = &mut kept;
    let taken_back: Result<()> = transaction
        .savepoint(|outer| async move {
            let released: Result<Transaction> =
                outer.savepoint(|inner| async move { Ok(inner) }).await;
            *keep = Some((outer.clone(), released?));
            Err(declined())
        })
        .await;
    taken_back.unwrap_err();
    let (outer, inner) = kept.unwrap();
    let gone = [Seen::after_commit_of(&outer), Seen::after_commit_of(&inner)];
    inner.before_commit(|_| async { Err(declined()) });
    let released: Result<Transaction> = transaction.savepoint(|next| async move { Ok(next) }).await;
    let next = Seen::after_commit_of(&released.unwrap());
    transaction.commit().await.unwrap();
    assert!(next.is(), "what was kept belongs to what is around it");
    assert!(gone.iter().all(|hook| !hook.is()));
    place.left().await;
}

/// A procedure that commits takes the savepoint along that the stack would go back to.
#[cfg(feature = "mysql")]
#[tokio::test(flavor = "multi_thread")]
async fn a_stack_that_cannot_be_taken_back_tells_what_failed_first_on_mariadb() {
    let place = Place::mariadb().await;
    let procedure = format!("{}_commits", place.table);
    let creates = format!(
        "create procedure {procedure}() begin commit; start transaction; {}; \
         signal sqlstate '45000'; end",
        place.insert(1)
    );
    place.db.execute(&creates, ()).await.unwrap();
    let call = format!("call {procedure}()");
    for on_error in [OnError::Stop, OnError::Continue] {
        let transaction = place.begin().await;
        let stack = Stack::new().on_error(on_error).execute(&call, ());
        let stack = stack.execute(&place.insert(2), ());
        let told = transaction.run_stack(&stack).await.and_then(StackReport::into_result);
        let told = told.unwrap_err();
        assert_eq!(told.context_value("code"), Some("1644"), "{told:?}");
        let second: Vec<_> =
            told.related().iter().map(|error| error.context_value("code")).collect();
        assert_eq!(second, [Some("1305")]);
        let after = transaction.execute(&place.insert(3), ()).await.unwrap_err();
        assert_eq!(
            (after.kind(), after.outcome()),
            (ErrorKind::PreconditionFailed, Outcome::NotApplied)
        );
        assert_eq!(transaction.commit().await.unwrap_err().kind(), ErrorKind::PreconditionFailed);
        assert!(place.ids().await.is_empty());
    }
    place.db.execute(&format!("drop procedure {procedure}"), ()).await.unwrap();
    place.left().await;
}
