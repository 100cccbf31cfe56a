//! What bounds transactions: how long they may take, and how often they are run again.

#![cfg(test)]
#![cfg(all(feature = "sqlite", feature = "postgres"))]

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use switchboard_core::{
    Clock, Deadline, Environment, Error, ErrorKind, Manager, Outcome, Priority, Registry, Result,
    Settings,
};
use switchboard_database::{
    Database, Databases, MigrateOptions, Migrations, Statements as _, Transaction,
    TransactionOptions,
};
use switchboard_testkit::{service_url, unique};
use tokio::sync::oneshot;

/// Enough for what a test does in a transaction, on a busy machine too.
const SHORT: Duration = Duration::from_secs(3);

/// Longer than anything takes that ends.
const HANG_LIMIT: Duration = Duration::from_mins(1);

fn databases() -> Manager<Databases> {
    Manager::new(Registry::with_built_ins().unwrap(), &Environment::new()).unwrap()
}

fn sqlite() -> Settings {
    Settings::new().with("url", "sqlite::memory:")
}

fn postgres() -> Settings {
    let url = service_url("postgres", "postgres://postgres@127.0.0.1:5432/postgres");
    Settings::new().with("url", url)
}

fn timed(settings: Settings, timeout: &str) -> Settings {
    settings.with("transaction", Settings::new().with("timeout", timeout))
}

fn short() -> TransactionOptions {
    TransactionOptions::new().timeout(SHORT)
}

/// A database in memory with a table of notes.
async fn notes() -> (Manager<Databases>, Database) {
    let databases = databases();
    databases.configure("main", &sqlite()).unwrap();
    let main = databases.get("main").await.unwrap();
    main.execute("create table notes (id integer)", ()).await.unwrap();
    (databases, main)
}

async fn add(transaction: &Transaction) -> Result<()> {
    transaction.execute("insert into notes values (1)", ()).await.map(drop)
}

async fn count(main: &Database) -> i64 {
    main.select_value("select count(*) from notes", ()).await.unwrap()
}

/// What is answered by what must not hang.
async fn ended<T>(answer: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(HANG_LIMIT, answer).await.expect("it hangs")
}

async fn late<T: std::fmt::Debug>(answer: impl Future<Output = Result<T>>) -> Error {
    let error = ended(answer).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
    error
}

/// Told when it is dropped.
fn guard() -> (oneshot::Sender<()>, oneshot::Receiver<()>) {
    oneshot::channel()
}

#[tokio::test]
async fn a_body_that_waits_for_something_else_is_ended_and_taken_back() {
    let (_databases, main) = notes().await;
    let (body, mut was_dropped) = guard();
    let body = &Arc::new(std::sync::Mutex::new(Some(body)));
    let error = late(main.transaction_with(short(), |transaction| async move {
        let _body = body.lock().unwrap().take();
        add(&transaction).await?;
        pending::<Result<()>>().await
    }))
    .await;
    assert_eq!(error.outcome(), Outcome::NotApplied);
    assert_eq!(was_dropped.try_recv(), Err(oneshot::error::TryRecvError::Closed));
    assert!(error.context_value("asked at").unwrap().contains("bounds.rs"), "{error:?}");
    assert_eq!(error.place().unwrap().operation, "transaction");
    assert_eq!(count(&main).await, 0);
}

#[tokio::test]
async fn what_is_to_happen_before_the_commit_is_ended_with_the_transaction() {
    let (_databases, main) = notes().await;
    let (rolled_back, told) = oneshot::channel();
    let rolled_back = &std::sync::Mutex::new(Some(rolled_back));
    let error = late(main.transaction_with(short(), |transaction| async move {
        transaction.before_commit(|_| pending());
        let rolled_back = rolled_back.lock().unwrap().take().unwrap();
        transaction.after_rollback(|| async move { rolled_back.send(()).unwrap() });
        add(&transaction).await
    }))
    .await;
    assert_eq!(error.outcome(), Outcome::NotApplied);
    told.await.unwrap();
    assert_eq!(count(&main).await, 0);
}

#[tokio::test]
async fn a_statement_under_way_when_the_time_is_over_is_taken_back_with_the_transaction() {
    let databases = databases();
    databases.configure("main", &postgres()).unwrap();
    let main = databases.get("main").await.unwrap();
    let error = late(main.transaction_with(short(), |transaction| async move {
        transaction.execute("select pg_sleep(60)", ()).await.map(drop)
    }))
    .await;
    assert_eq!(error.outcome(), Outcome::NotApplied);
    assert_eq!(error.place().unwrap().operation, "transaction");
    databases.close(HANG_LIMIT).await.into_result().unwrap();
}

#[tokio::test]
async fn a_body_that_goes_on_after_its_commit_is_ended_and_the_commit_is_told() {
    let (_databases, main) = notes().await;
    let error = late(main.transaction_with(short(), |transaction| async move {
        add(&transaction).await?;
        transaction.commit().await?;
        pending::<Result<()>>().await
    }))
    .await;
    assert_eq!(error.outcome(), Outcome::Applied);
    assert_eq!(count(&main).await, 1);
}

/// A table whose rows are checked at the commit, which takes longer than a short transaction may.
async fn slow_to_commit(main: &Database) -> String {
    let name = unique("switchboard_");
    let script = format!(
        "create table {name} (id integer);
        create function {name}_waits() returns trigger language plpgsql as
            $$ begin perform pg_sleep(5); return new; end $$;
        create constraint trigger waits after insert on {name} deferrable initially deferred
            for each row execute function {name}_waits()"
    );
    main.execute_script(&script).await.unwrap();
    name
}

async fn clean(main: &Database, name: &str) {
    main.execute_script(&format!("drop table {name}; drop function {name}_waits")).await.unwrap();
}

#[tokio::test]
async fn a_commit_that_was_sent_comes_to_its_end_and_its_answer_is_told() {
    let databases = databases();
    databases.configure("main", &postgres()).unwrap();
    let main = databases.get("main").await.unwrap();
    let table = &*slow_to_commit(&main).await;
    let insert = &*format!("insert into {table} values (1)");
    let answer = main.transaction_with(short(), |transaction| async move {
        transaction.execute(insert, ()).await.map(drop)
    });
    ended(answer).await.unwrap();

    let by_hand = main.transaction_with(short(), |transaction| async move {
        transaction.execute(insert, ()).await?;
        transaction.commit().await
    });
    assert_eq!(late(by_hand).await.outcome(), Outcome::Applied);
    let count = format!("select count(*) from {table}");
    assert_eq!(main.select_value::<i64>(&count, ()).await.unwrap(), 2);
    clean(&main, table).await;
    databases.close(HANG_LIMIT).await.into_result().unwrap();
}

#[tokio::test]
async fn the_deadline_of_the_call_around_ends_the_body_too() {
    let (_databases, main) = notes().await;
    let deadline = Deadline::within(&Clock::system(), SHORT);
    let transaction = main.transaction(|transaction| async move {
        add(&transaction).await?;
        pending::<Result<()>>().await
    });
    let error = late(deadline.scope(transaction)).await;
    assert_eq!(error.outcome(), Outcome::NotApplied);
    assert_eq!(count(&main).await, 0);
}

#[tokio::test]
async fn a_transaction_ended_by_hand_asks_nothing_when_its_time_is_over() {
    let (_databases, main) = notes().await;
    for transaction in [main.begin(&short()).await.unwrap(), main.begin_lazily(&short())] {
        let asked = async { while add(&transaction).await.is_ok() {} };
        tokio::time::timeout(HANG_LIMIT, asked).await.expect("it asks for ever");
        let error = late(add(&transaction)).await;
        assert_eq!(error.outcome(), Outcome::NotApplied);
        transaction.rollback().await.unwrap();
    }
    assert_eq!(count(&main).await, 0);
}

/// Statements of one that meets another transaction each time it is run.
const CONFLICT: &str = "do $$ begin raise exception sqlstate '40001'; end $$";

/// How often a transaction runs that meets another one each time.
async fn runs(db: &Database, options: TransactionOptions) -> u64 {
    let runs = &AtomicU64::new(0);
    let answer = db.transaction_with(options, |transaction| async move {
        runs.fetch_add(1, Ordering::SeqCst);
        transaction.execute(CONFLICT, ()).await.map(drop)
    });
    assert_eq!(ended(answer).await.unwrap_err().kind(), ErrorKind::Conflict);
    runs.load(Ordering::SeqCst)
}

#[tokio::test]
async fn a_transaction_that_is_run_again_has_its_time_anew() {
    let databases = databases();
    databases.configure("main", &postgres()).unwrap();
    let main = databases.get("main").await.unwrap();
    let untils = &std::sync::Mutex::new(Vec::new());
    let options = TransactionOptions::new().timeout(HANG_LIMIT).retries(1);
    let answer = main.transaction_with(options, |transaction| async move {
        untils.lock().unwrap().push(Deadline::current().unwrap());
        transaction.execute(CONFLICT, ()).await.map(drop)
    });
    ended(answer).await.unwrap_err();
    let untils = untils.lock().unwrap();
    assert!(untils[0] < untils[1], "{untils:?}");
}

#[tokio::test]
async fn the_first_transaction_of_an_instance_is_bounded_as_it_is_configured() {
    let databases = databases();
    databases.configure("main", &timed(sqlite(), "250ms")).unwrap();
    let main = databases.handle("main").unwrap();
    let error = late(main.transaction(|_| pending::<Result<()>>())).await;
    assert_eq!(error.outcome(), Outcome::NotApplied);

    databases.configure("other", &timed(sqlite(), "250ms")).unwrap();
    let other = databases.handle("other").unwrap();
    let session = other.session(|transaction| async move {
        transaction.execute("create table notes (id integer)", ()).await?;
        pending::<Result<()>>().await
    });
    assert_eq!(late(session).await.outcome(), Outcome::NotApplied);
}

#[tokio::test]
async fn a_transaction_of_a_group_is_bounded_as_the_member_is_configured_that_serves_it() {
    let databases = databases();
    let member = Settings::new().with("timeout", "250ms").with("retries", 2_i64);
    let member = postgres().with("transaction", member.with("backoff", "1ms"));
    databases.configure("first", &member).unwrap();
    databases.configure("second", &postgres()).unwrap();
    databases.group("both", &["first", "second"], Priority).unwrap();
    let both = databases.handle("both").unwrap();
    late(both.transaction(|_| pending::<Result<()>>())).await;
    let long = TransactionOptions::new().timeout(HANG_LIMIT);
    assert_eq!(runs(&both, long.clone()).await, 3);
    assert_eq!(runs(&both, long.retries(0)).await, 1);
    databases.close(HANG_LIMIT).await.into_result().unwrap();
}

#[tokio::test]
async fn a_transaction_after_a_swap_is_bounded_as_the_new_driver_is_configured() {
    let databases = databases();
    let once = Settings::new().with("retries", 0_i64);
    databases.configure("main", &postgres().with("transaction", once)).unwrap();
    let main = databases.handle("main").unwrap();
    assert_eq!(runs(&main, TransactionOptions::new()).await, 1);
    let member = Settings::new().with("timeout", "3s").with("retries", 1_i64);
    drop(databases.swap("main", &postgres().with("transaction", member)).await.unwrap());
    assert_eq!(runs(&main, TransactionOptions::new()).await, 2);
    late(main.transaction(|_| pending::<Result<()>>())).await;
    databases.close(HANG_LIMIT).await.into_result().unwrap();
}

#[tokio::test]
async fn a_transaction_that_a_swap_comes_upon_keeps_the_bounds_it_began_with() {
    let databases = &databases();
    databases.configure("main", &timed(sqlite(), "3s")).unwrap();
    let main = databases.handle("main").unwrap();
    let error = late(main.transaction(|_| async move {
        drop(databases.swap("main", &sqlite()).await?);
        pending::<Result<()>>().await
    }))
    .await;
    assert_eq!(error.outcome(), Outcome::NotApplied);
}

#[tokio::test]
async fn a_migration_takes_longer_than_transactions_may() {
    let databases = databases();
    let table = unique("migrated_");
    let migrations = Settings::new().with("table", table.as_str());
    databases.configure("main", &timed(postgres(), "1s").with("migrations", migrations)).unwrap();
    let main = databases.get("main").await.unwrap();
    let slow = Migrations::embedded(&[("0001_slow.sql", "select pg_sleep(1.5)")]).unwrap();
    let migrated = ended(main.migrate(&slow, &MigrateOptions::new())).await;
    main.execute_script(&format!("drop table {table}; drop table {table}_lock")).await.unwrap();
    assert_eq!(migrated.unwrap().applied.len(), 1);
}
