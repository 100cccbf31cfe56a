//! Callers that go away in the middle of something.

use std::time::Duration;

use switchboard_core::{Clock, ErrorKind};
use switchboard_testkit::drop_at_every_await;

use super::{Scratch, count, once, query, value};
use crate::{Begin, BulkTarget, Connection, Savepoint, State, Statement, Value};

/// What a call is dropped in the middle of.
#[derive(Clone, Copy, Debug)]
enum Call {
    Execute,
    Query,
    Rows,
    Script,
    Bulk,
    Begin,
    Commit,
    Rollback,
    Savepoint,
    Reset,
    Ping,
}

const CALLS: [Call; 11] = [
    Call::Execute,
    Call::Query,
    Call::Rows,
    Call::Script,
    Call::Bulk,
    Call::Begin,
    Call::Commit,
    Call::Rollback,
    Call::Savepoint,
    Call::Reset,
    Call::Ping,
];

async fn make(call: Call, connection: &mut Box<dyn Connection>) {
    let insert = "INSERT INTO t (n) VALUES (1), (2), (3)".into();
    let select = "SELECT a.n FROM t AS a, t AS b".into();
    let statement = |sql| Statement { sql, values: &[], is_kept: true };
    let target = BulkTarget::new("t", &["n"]);
    let ended = match call {
        Call::Execute => connection.execute(statement(&insert)).await.map(drop),
        Call::Query => connection.query(statement(&select)).await.map(drop),
        Call::Rows => match connection.open_rows(statement(&select)).await {
            Ok(_) => match connection.fetch(2).await {
                Ok(_) => connection.close_rows().await,
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        },
        Call::Script => connection.script("INSERT INTO t (n) VALUES (4); DO 1; DO 2").await,
        Call::Bulk => {
            let rows = [vec![Value::Int(5)], vec![Value::Int(6)]];
            connection.bulk(target, &rows).await.map(drop)
        }
        Call::Begin => connection.begin(&Begin::default()).await,
        Call::Commit => connection.commit().await,
        Call::Rollback => connection.rollback().await,
        Call::Savepoint => connection.savepoint(Savepoint::Set, 1).await,
        Call::Reset => connection.reset().await,
        Call::Ping => connection.ping().await,
    };
    ended.unwrap();
}

#[tokio::test]
async fn a_call_dropped_anywhere_leaves_a_connection_that_can_be_used_again_on_mariadb() {
    let scratch = Scratch::new().await;
    let mut witness = scratch.connect().await;
    witness.script("CREATE TABLE t (n INT); INSERT INTO t VALUES (0)").await.unwrap();
    for call in CALLS {
        let connection = tokio::sync::Mutex::new(scratch.connect().await);
        let awaits = drop_at_every_await(
            async || {
                let mut connection = connection.lock().await;
                if !matches!(call, Call::Begin) {
                    connection.begin(&Begin::default()).await.unwrap();
                    once(&mut connection, "INSERT INTO t VALUES (9)", &[]).await.unwrap();
                }
                make(call, &mut connection).await;
            },
            async |_| {
                let mut connection = connection.lock().await;
                let state = connection.recover().await.unwrap();
                assert!(matches!(state, State::Idle | State::InTransaction), "{call:?}: {state:?}");
                connection.rollback().await.unwrap();
                assert_eq!(connection.state(), State::Idle);
                assert_eq!(value(&mut connection, "SELECT 42", &[]).await, Value::Int(42));
                assert_eq!(connection.state(), State::Idle);
                if !matches!(call, Call::Commit) {
                    let left = once(&mut connection, "DELETE FROM t WHERE n > 0", &[]).await;
                    assert_eq!(left.unwrap().affected, 0, "{call:?} left something behind");
                }
            },
        );
        assert!(awaits.await > 0, "{call:?}");
        let mut connection = connection.into_inner();
        once(&mut connection, "DELETE FROM t WHERE n > 0", &[]).await.unwrap();
        connection.close().await.unwrap();
    }
    assert_eq!(count(&mut witness, "t").await, 1);
    scratch.drop().await;
}

/// Gives up a call as soon as the server sleeps over it.
async fn give_up(connection: &mut Box<dyn Connection>, witness: &mut Box<dyn Connection>) {
    let id = connection.id().unwrap();
    tokio::select! {
        ended = query(connection, "SELECT SLEEP(600)", &[]) => panic!("{ended:?}"),
        () = until_asleep(witness, &id) => {}
    }
}

/// Ends when the server sleeps for the connection `id`.
pub(super) async fn until_asleep(witness: &mut Box<dyn Connection>, id: &str) {
    let sql = format!(
        "SELECT 1 FROM information_schema.processlist WHERE id = {id} AND state = 'User sleep'"
    );
    while query(witness, &sql, &[]).await.unwrap().rows.is_empty() {}
}

#[tokio::test]
async fn a_statement_nobody_waits_for_is_stopped_and_its_transaction_is_still_there_on_mariadb() {
    let scratch = Scratch::new().await;
    let mut connection = scratch.connect().await;
    connection.script("CREATE TABLE t (n INT)").await.unwrap();
    connection.begin(&Begin::default()).await.unwrap();
    once(&mut connection, "INSERT INTO t VALUES (1)", &[]).await.unwrap();
    give_up(&mut connection, &mut scratch.connect().await).await;
    assert_eq!(connection.state(), State::Unknown);
    let busy = query(&mut connection, "SELECT 1", &[]).await.unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::PreconditionFailed);

    let clock = Clock::system();
    let begun = clock.now();
    assert_eq!(connection.recover().await.unwrap(), State::InTransaction);
    assert!(clock.now() - begun < Duration::from_mins(1), "the server was told");
    assert_eq!(count(&mut connection, "t").await, 1);
    connection.commit().await.unwrap();
    connection.close().await.unwrap();
    scratch.drop().await;
}

#[tokio::test]
async fn a_recovery_nobody_waits_for_can_be_taken_up_again_on_mariadb() {
    let scratch = Scratch::new().await;
    let connection = tokio::sync::Mutex::new(scratch.connect().await);
    let witness = tokio::sync::Mutex::new(scratch.connect().await);
    let awaits = drop_at_every_await(
        async || {
            let mut connection = connection.lock().await;
            let mut witness = witness.lock().await;
            witness.recover().await.unwrap();
            give_up(&mut connection, &mut witness).await;
            connection.recover().await.unwrap();
        },
        async |_| {
            let mut connection = connection.lock().await;
            assert_eq!(connection.recover().await.unwrap(), State::Idle);
            assert_eq!(value(&mut connection, "SELECT 42", &[]).await, Value::Int(42));
        },
    );
    assert!(awaits.await > 4);
    connection.into_inner().close().await.unwrap();
    scratch.drop().await;
}

#[tokio::test]
async fn closing_stops_what_runs_on_mariadb() {
    let scratch = Scratch::new().await;
    let mut witness = scratch.connect().await;
    let mut connection = scratch.connect().await;
    let id = connection.id().unwrap();
    give_up(&mut connection, &mut witness).await;
    connection.close().await.unwrap();
    let sql = format!("SELECT 1 FROM information_schema.processlist WHERE id = {id}");
    let gone = async { while !query(&mut witness, &sql, &[]).await.unwrap().rows.is_empty() {} };
    tokio::time::timeout(Duration::from_mins(1), gone).await.unwrap();
    scratch.drop().await;
}
