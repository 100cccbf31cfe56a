//! Calls that are dropped, and connections.

use std::pin::pin;
use std::task::{Context, Waker};

use futures_util::future::{Either, poll_immediate, select};
use rusqlite::hooks::Action;
use switchboard_testkit::drop_at_every_await;
use tokio::sync::Mutex;

use super::*;

/// Statements that keep the thread busy until its user sleeps, and end by themselves.
const SLOW: &str = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 60000) select max(i) from n";
const SLOW_INSERT: &str = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 60000) insert into t select i from n";

/// Polls `call` until its thread works on it, and drops it.
async fn abandon(call: impl Future) {
    let call = pin!(call);
    let moment = pin!(tokio::time::sleep(Duration::from_millis(30)));
    match select(call, moment).await {
        Either::Left(_) => panic!("it was to take longer"),
        Either::Right(_) => (),
    }
}

async fn ready() -> (Home, Sqlite, Session) {
    let home = Home::new();
    let database = home.database();
    let mut session = database.connect(Lane::Write).await.unwrap();
    session.script("create table t (id integer)").await.unwrap();
    (home, database, session)
}

/// Everything a connection does in a transaction, each step long enough to be dropped in.
async fn everything(session: &mut Session) -> Result<()> {
    session.begin(&Begin::default()).await?;
    execute(session, SLOW_INSERT, &[]).await?;
    session.savepoint(Savepoint::Set, 1).await?;
    query(session, SLOW, &[]).await?;
    let sql: Arc<str> = SLOW.into();
    session.open_rows(Statement { sql: &sql, values: &[], is_kept: true }).await?;
    session.fetch(10).await?;
    session.close_rows().await?;
    session.script(SLOW_INSERT).await?;
    let rows: Vec<_> = (0..3_000).map(|id| vec![Value::Int(id)]).collect();
    session.bulk(BulkTarget::new("t", &["id"]), &rows).await?;
    session.savepoint(Savepoint::RollBack, 1).await?;
    session.ping().await?;
    session.rollback().await
}

#[tokio::test]
async fn nothing_is_left_of_a_transaction_dropped_at_any_await() {
    let (_home, database, session) = ready().await;
    let session = Mutex::new(session);
    let awaits = drop_at_every_await(
        async || everything(&mut *session.lock().await).await.unwrap(),
        async |_| {
            let session = &mut *session.lock().await;
            let state = session.recover().await.unwrap();
            assert!(
                matches!(state, State::Idle | State::InTransaction | State::Failed),
                "{state:?}"
            );
            assert_eq!(session.state(), state);
            session.rollback().await.unwrap();
            assert_eq!(session.state(), State::Idle);
            assert_value(&value(session, "select 1").await, &Value::Int(1));
            assert_value(&value(session, "select count(*) from t").await, &Value::Int(0));
        },
    );
    assert!(awaits.await >= 4, "the long statements were waited for");
    let mut reader = database.connect(Lane::Read).await.unwrap();
    assert_value(&value(&mut reader, "select count(*) from t").await, &Value::Int(0));
}

/// Polls an insert of three rows until the first of them is there, drops it, and recovers the connection.
async fn dropped_while_it_writes(begin: &Begin) -> (Home, Session, State) {
    let (home, _, mut session) = ready().await;
    session.begin(begin).await.unwrap();
    run(&mut session, "insert into t values (1)").await;
    let (came, mut comes) = tokio::sync::mpsc::unbounded_channel();
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let stops = move |_: Action, _: &str, _: &str, _| {
        came.send(()).unwrap();
        gate.recv().ok();
    };
    let native = session.native().downcast_mut::<Native>().unwrap();
    native.call(|sqlite| sqlite.update_hook(Some(stops))).await.unwrap().unwrap();
    {
        let insert = "insert into t with recursive n(i) as \
                      (select 2 union all select i + 1 from n where i < 4) select i from n";
        let insert = pin!(execute(&mut session, insert, &[]));
        let first = pin!(comes.recv());
        assert!(matches!(select(insert, first).await, Either::Right(_)), "it waits for us");
    }
    let state = {
        let mut recovered = pin!(session.recover());
        let answer = poll_immediate(&mut recovered).await;
        assert!(answer.is_none(), "the thread is in the insert");
        drop(go);
        recovered.await.unwrap()
    };
    (home, session, state)
}

#[tokio::test]
async fn a_dropped_change_comes_to_its_end_in_a_transaction_that_outlives_it() {
    let begin = Begin { outlives_statements: true, ..Begin::default() };
    let (_home, mut session, state) = dropped_while_it_writes(&begin).await;
    assert_eq!(state, State::InTransaction);
    assert_value(&value(&mut session, "select count(*) from t").await, &Value::Int(4));
    session.commit().await.unwrap();
    assert_value(&value(&mut session, "select count(*) from t").await, &Value::Int(4));
}

#[tokio::test]
async fn a_dropped_change_is_stopped_in_other_transactions_which_takes_all_back() {
    let (_home, mut session, state) = dropped_while_it_writes(&Begin::default()).await;
    assert_eq!(state, State::Failed);
    session.rollback().await.unwrap();
    assert_value(&value(&mut session, "select count(*) from t").await, &Value::Int(0));
}

#[tokio::test]
async fn a_dropped_question_is_stopped_in_a_transaction_that_outlives_it() {
    let (_home, _, mut session) = ready().await;
    let begin = Begin { outlives_statements: true, ..Begin::default() };
    session.begin(&begin).await.unwrap();
    run(&mut session, "insert into t values (1)").await;
    abandon(query(&mut session, ENDLESS, &[])).await;
    let recovered = tokio::time::timeout(Duration::from_mins(1), session.recover());
    assert_eq!(recovered.await.expect("it is stopped").unwrap(), State::InTransaction);
    assert_value(&value(&mut session, "select count(*) from t").await, &Value::Int(1));
}

#[tokio::test]
async fn a_dropped_commit_has_happened_or_not_and_recovery_knows() {
    let (_home, _, mut session) = ready().await;
    for round in 0..50 {
        session.begin(&Begin::default()).await.unwrap();
        run(&mut session, "delete from t").await;
        execute(&mut session, "insert into t values (?1)", &[Value::Int(round)]).await.unwrap();
        let mut context = Context::from_waker(Waker::noop());
        drop(pin!(session.commit()).poll(&mut context));
        let state = session.recover().await.unwrap();
        session.rollback().await.unwrap();
        let found = query(&mut session, "select 1 from t where id = ?1", &[Value::Int(round)])
            .await
            .unwrap();
        assert_eq!(found.rows.len(), usize::from(state == State::Idle), "{state:?}");
    }
}

#[tokio::test]
async fn a_dropped_call_is_unknown_until_somebody_looks() {
    let (_home, _, mut session) = ready().await;
    abandon(query(&mut session, ENDLESS, &[])).await;
    assert_eq!(session.state(), State::Unknown);
    let recovered = tokio::time::timeout(Duration::from_mins(1), session.recover());
    assert_eq!(recovered.await.expect("what runs is stopped").unwrap(), State::Idle);
    assert_value(&value(&mut session, "select 1").await, &Value::Int(1));
}

#[tokio::test]
async fn a_dropped_wait_for_a_lock_is_stopped_too() {
    let (home, _, mut session) = ready().await;
    let other = rusqlite::Connection::open(home.path()).unwrap();
    other.execute_batch("begin exclusive").unwrap();
    let patient = Begin { lock_timeout: Some(Duration::from_hours(1)), ..Begin::default() };
    abandon(session.begin(&patient)).await;
    let recovered = tokio::time::timeout(Duration::from_mins(1), session.recover());
    assert_eq!(recovered.await.expect("the lock is waited for").unwrap(), State::Idle);
}

#[tokio::test]
async fn a_dropped_connection_stops_what_it_does_and_ends_its_thread() {
    let (_home, database, mut session) = ready().await;
    session.begin(&Begin::default()).await.unwrap();
    run(&mut session, "insert into t values (1)").await;
    let (held, ended) = tokio::sync::oneshot::channel::<()>();
    let native = session.native().downcast_mut::<Native>().unwrap();
    // The hook lives as long as the connection.
    native
        .call(move |sqlite| sqlite.commit_hook(Some(move || held.is_closed())))
        .await
        .unwrap()
        .unwrap();
    abandon(query(&mut session, ENDLESS, &[])).await;
    drop(session);
    let ended = tokio::time::timeout(Duration::from_mins(1), ended);
    ended.await.expect("the thread ends").expect_err("nobody sends");
    let mut next = database.connect(Lane::Write).await.unwrap();
    assert_value(&value(&mut next, "select count(*) from t").await, &Value::Int(0));
}

#[tokio::test]
async fn a_dropped_stream_leaves_the_connection_usable() {
    let (_home, _, mut session) = ready().await;
    let sql: Arc<str> = ENDLESS_ROWS.into();
    session.open_rows(Statement { sql: &sql, values: &[], is_kept: true }).await.unwrap();
    abandon(session.fetch(usize::MAX)).await;
    assert_eq!(session.recover().await.unwrap(), State::Idle);
    session.close_rows().await.unwrap();
    // One that was opened and left is put away by whatever comes next.
    session.open_rows(Statement { sql: &sql, values: &[], is_kept: true }).await.unwrap();
    assert_value(&value(&mut session, "select 1").await, &Value::Int(1));
}

#[tokio::test]
async fn a_close_after_a_dropped_call_does_not_wait_for_it() {
    let (_home, _, mut session) = ready().await;
    abandon(query(&mut session, ENDLESS, &[])).await;
    let closed = tokio::time::timeout(Duration::from_mins(1), session.close());
    closed.await.expect("what runs is stopped").unwrap();
}

#[tokio::test]
async fn a_dropped_connect_leaves_nothing_behind() {
    let (_home, database, session) = ready().await;
    drop(session);
    drop_at_every_await(
        async || drop(database.connect(Lane::Write).await.unwrap()),
        async |_| {
            let mut session = database.connect(Lane::Write).await.unwrap();
            run(&mut session, "insert into t values (1)").await;
        },
    )
    .await;
}
