//! Transactions, and what is left of them.

use super::*;

async fn with_table(database: &Sqlite) -> Session {
    let mut session = database.connect(Lane::Write).await.unwrap();
    session
        .script("create table if not exists t (id integer primary key, n unique)")
        .await
        .unwrap();
    session
}

async fn count(session: &mut Session) -> Value {
    value(session, "select count(*) from t").await
}

#[tokio::test]
async fn a_transaction_that_sqlite_took_back_takes_no_more_statements() {
    let mut session = with_table(&in_memory()).await;
    session.begin(&Begin::default()).await.unwrap();
    run(&mut session, "insert into t values (1, 1)").await;
    let error =
        execute(&mut session, "insert or rollback into t values (2, 1)", &[]).await.unwrap_err();
    assert_eq!(Violation::of(&error), Some(Violation::Unique));
    assert_eq!(session.state(), State::Failed);
    let error = execute(&mut session, "insert into t values (3, 3)", &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PreconditionFailed);
    assert_eq!(session.commit().await.unwrap_err().kind(), ErrorKind::PreconditionFailed);
    let set = session.savepoint(Savepoint::Set, 1).await.unwrap_err();
    assert_eq!(set.kind(), ErrorKind::PreconditionFailed);
    session.rollback().await.unwrap();
    assert_eq!(session.state(), State::Idle);
    assert_value(&count(&mut session).await, &Value::Int(0));
}

#[tokio::test]
async fn a_failed_statement_leaves_its_transaction_usable() {
    let mut session = with_table(&in_memory()).await;
    session.begin(&Begin::default()).await.unwrap();
    run(&mut session, "insert into t values (1, 1)").await;
    execute(&mut session, "insert into t values (2, 1)", &[]).await.unwrap_err();
    assert_eq!(session.state(), State::InTransaction);
    session.commit().await.unwrap();
    assert_value(&count(&mut session).await, &Value::Int(1));
}

#[tokio::test]
async fn a_transaction_is_begun_once() {
    let mut session = with_table(&in_memory()).await;
    assert_eq!(session.commit().await.unwrap_err().kind(), ErrorKind::PreconditionFailed);
    session.rollback().await.unwrap();
    session.begin(&Begin::default()).await.unwrap();
    let error = session.begin(&Begin::default()).await.unwrap_err();
    assert_eq!(
        (error.kind(), session.state()),
        (ErrorKind::PreconditionFailed, State::InTransaction)
    );
}

#[tokio::test]
async fn a_transaction_that_only_reads_writes_nothing() {
    let mut session = with_table(&in_memory()).await;
    session.begin(&Begin { is_read_only: true, ..Begin::default() }).await.unwrap();
    let error = execute(&mut session, "insert into t values (1, 1)", &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    session.commit().await.unwrap();
    assert_eq!(run(&mut session, "insert into t values (1, 1)").await.affected, 1);
}

#[tokio::test]
async fn a_reader_sees_one_state_of_the_data() {
    let home = Home::new();
    let database = home.database();
    let mut writer = with_table(&database).await;
    let mut reader = database.connect(Lane::Read).await.unwrap();
    reader.begin(&Begin::default()).await.unwrap();
    assert_value(&count(&mut reader).await, &Value::Int(0));
    run(&mut writer, "insert into t values (1, 1)").await;
    assert_value(&count(&mut reader).await, &Value::Int(0));
    reader.commit().await.unwrap();
    assert_value(&count(&mut reader).await, &Value::Int(1));
}

#[tokio::test]
async fn a_statement_takes_no_longer_than_its_transaction_allows() {
    let mut session = with_table(&in_memory()).await;
    let options = Begin { statement_timeout: Some(Duration::from_millis(30)), ..Begin::default() };
    session.begin(&options).await.unwrap();
    let error = query(&mut session, ENDLESS, &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_value(&value(&mut session, "select 1").await, &Value::Int(1));
    session.rollback().await.unwrap();
    assert_eq!(session.state(), State::Idle);
}

#[tokio::test]
async fn a_transaction_waits_for_a_lock_as_long_as_it_says() {
    let home = Home::new();
    let patient = SqliteConfig { busy_timeout: Duration::from_hours(1), ..home.config() };
    let (one, two) = (home.database(), made(patient));
    let mut holder = with_table(&one).await;
    let mut waiter = two.connect(Lane::Write).await.unwrap();
    holder.begin(&Begin::default()).await.unwrap();
    let options = Begin { lock_timeout: Some(Duration::from_millis(20)), ..Begin::default() };
    let begun = tokio::time::timeout(Duration::from_mins(1), waiter.begin(&options));
    let error = begun.await.expect("it waits as long as the file alone says").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn rows_inserted_as_a_whole_are_a_part_of_the_transaction_around_them() {
    let mut session = with_table(&in_memory()).await;
    let target = BulkTarget::new("main.t", &["id", "n"]);
    session.begin(&Begin::default()).await.unwrap();
    run(&mut session, "insert into t values (1, 1)").await;
    let rows = [vec![Value::Int(2), Value::Int(2)], vec![Value::Int(3), Value::Int(1)]];
    let error = session.bulk(target, &rows).await.unwrap_err();
    assert_eq!(error.context_value("row"), Some("2"));
    assert_eq!(session.bulk(target, &rows[..1]).await.unwrap(), 1);
    session.commit().await.unwrap();
    assert_value(&count(&mut session).await, &Value::Int(2));
    assert_eq!(session.bulk(target, &[]).await.unwrap(), 0);
    let short = [vec![Value::Int(9)]];
    assert_eq!(session.bulk(target, &short).await.unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_reset_forgets_all_that_was_left() {
    let home = Home::new();
    for database in [in_memory(), home.database()] {
        let mut session = with_table(&database).await;
        run(&mut session, "insert into t values (1, 1)").await;
        session
            .script("create temp table mine (id); pragma foreign_keys = off; pragma query_only = on; begin")
            .await
            .unwrap();
        session.reset().await.unwrap();
        assert_eq!(session.state(), State::Idle);
        execute(&mut session, "select * from mine", &[]).await.unwrap_err();
        assert_value(&value(&mut session, "pragma foreign_keys").await, &Value::Int(1));
        run(&mut session, "insert into t values (2, 2)").await;
        assert_value(&count(&mut session).await, &Value::Int(2));
    }
}

#[tokio::test]
async fn the_native_connection_is_reachable() {
    let mut session = with_table(&in_memory()).await;
    let native = session.native().downcast_mut::<Native>().unwrap();
    let changes = native.call(|sqlite| sqlite.execute("insert into t values (1, 1)", []));
    assert_eq!(changes.await.unwrap().unwrap(), 1);
    native.call(|sqlite| sqlite.execute_batch("begin")).await.unwrap().unwrap();
    assert_eq!(session.state(), State::InTransaction);
}

#[tokio::test]
async fn a_panic_in_native_work_ends_the_connection_and_nothing_else() {
    let home = Home::new();
    let database = home.database();
    let mut session = with_table(&database).await;
    session.begin(&Begin::default()).await.unwrap();
    run(&mut session, "insert into t values (1, 1)").await;
    let native = session.native().downcast_mut::<Native>().unwrap();
    let error = native.call(|_| panic!("on purpose")).await.map(|(): ()| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(session.ping().await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(session.state(), State::Broken);
    let mut next = database.connect(Lane::Write).await.unwrap();
    assert_value(&count(&mut next).await, &Value::Int(0));
    run(&mut next, "insert into t values (1, 1)").await;
}

#[tokio::test]
async fn rows_that_cannot_be_kept_at_the_end_leave_no_transaction() {
    let mut session = in_memory().connect(Lane::Write).await.unwrap();
    session
        .script(
            "create table parents (id integer primary key);
            create table children (parent references parents deferrable initially deferred)",
        )
        .await
        .unwrap();
    let target = BulkTarget::new("children", &["parent"]);
    let error = session.bulk(target, &[vec![Value::Int(9)]]).await.unwrap_err();
    assert_eq!(Violation::of(&error), Some(Violation::ForeignKey));
    assert_eq!(session.state(), State::Idle);
    run(&mut session, "insert into parents values (1)").await;
    assert_eq!(session.bulk(target, &[vec![Value::Int(1)]]).await.unwrap(), 1);
}
