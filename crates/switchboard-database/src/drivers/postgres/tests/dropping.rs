//! Calls that are dropped at any of their awaits, and what is left then.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use switchboard_testkit::drop_at_every_await;
use tokio::sync::Mutex;

use super::*;
use crate::{BulkTarget, Savepoint};

/// Longer than it ever takes, and shorter than what is dropped would run.
const LIMIT: Duration = Duration::from_mins(1);

/// Brings a connection back as a pool does, and proves that it is.
async fn bring_back(connection: &mut PostgresConnection) {
    let back = async {
        if connection.state() == State::Unknown {
            connection.recover().await.unwrap();
        }
        assert_ne!(connection.state(), State::Unknown);
        if connection.state() != State::Idle {
            connection.rollback().await.unwrap();
        }
        connection.reset().await.unwrap();
        assert_eq!(connection.state(), State::Idle);
        assert_eq!(
            connection.one("select $1::int8", &[Value::Int(1)]).await.unwrap(),
            Value::Int(1)
        );
        connection.ping().await.unwrap();
    };
    tokio::time::timeout(LIMIT, back).await.unwrap();
}

/// Gives `asked` one turn, in which it does not come to its end.
pub(super) async fn once<T>(asked: &mut Reply<'_, T>) {
    poll_fn(|context| Poll::Ready(Pin::new(&mut *asked).poll(context).is_ready())).await;
}

/// Drops what `asked` asks at every await; afterwards there are none of its rows, or `rows` of them.
async fn dropped(rows: i64, asked: impl AsyncFn(&mut PostgresConnection, &str) -> Result<()>) {
    let mut connection = connect().await;
    let process = connection.id();
    let table = Table::new(&mut connection, "id int primary key, name text").await;
    let connection = Mutex::new(connection);
    let awaits = drop_at_every_await(
        async || {
            let mut connection = connection.lock().await;
            asked(&mut connection, &table.0).await.unwrap();
        },
        async |_| {
            let mut connection = connection.lock().await;
            bring_back(&mut connection).await;
            let count = table.count(&mut connection).await;
            assert!(count == 0 || count == rows, "{count} rows are left");
            connection.script(&format!("truncate {}", table.0)).await.unwrap();
        },
    );
    assert!(awaits.await > 0);
    assert_eq!(connection.lock().await.id(), process, "it was never another connection");
    table.drop().await;
}

#[tokio::test]
async fn a_statement_that_is_dropped_happened_or_did_not_on_postgres() {
    dropped(1, async |connection, table| {
        let insert = format!("insert into {table} values ($1, $2)");
        connection.does(&insert, &[Value::Int(1), text("x")]).await.map(drop)
    })
    .await;
}

#[tokio::test]
async fn a_transaction_that_is_dropped_anywhere_leaves_all_of_it_or_nothing_on_postgres() {
    dropped(2, async |connection, table| {
        connection.begin(&Begin::default()).await?;
        let insert = format!("insert into {table} values ($1, 'x')");
        connection.does(&insert, &[Value::Int(1)]).await?;
        connection.savepoint(Savepoint::Set, 1).await?;
        connection.does(&insert, &[Value::Int(2)]).await?;
        connection.savepoint(Savepoint::RollBack, 1).await?;
        connection.does(&insert, &[Value::Int(3)]).await?;
        connection.rows(&format!("select * from {table}"), &[]).await?;
        connection.commit().await
    })
    .await;
}

#[tokio::test]
async fn a_transaction_that_fails_and_is_dropped_anywhere_leaves_nothing_on_postgres() {
    dropped(0, async |connection, table| {
        connection.begin(&Begin::default()).await?;
        let insert = format!("insert into {table} values (1, 'x')");
        connection.does(&insert, &[]).await?;
        connection.does(&insert, &[]).await.unwrap_err();
        connection.rollback().await
    })
    .await;
}

#[tokio::test]
async fn rows_that_are_dropped_are_not_in_the_way_on_postgres() {
    let select = "select i, repeat('x', 100) from generate_series(1, 20000) i";
    for is_transaction in [false, true] {
        dropped(0, async |connection, _| {
            if is_transaction {
                connection.begin(&Begin::default()).await?;
            }
            let sql: Arc<str> = select.into();
            connection.open_rows(Statement { sql: &sql, values: &[], is_kept: false }).await?;
            assert_eq!(connection.fetch(10).await?.len(), 10);
            connection.close_rows().await?;
            connection.rollback().await
        })
        .await;
    }
}

#[tokio::test]
async fn many_rows_that_are_dropped_on_their_way_are_none_on_postgres() {
    let rows: Vec<_> = (0..2_000).map(|i| vec![Value::Int(i), text(&"x".repeat(100))]).collect();
    dropped(2_000, async |connection, table| {
        let target = BulkTarget::new(table, &["id", "name"]);
        connection.bulk(target, &rows).await.map(drop)
    })
    .await;
}

#[tokio::test]
async fn many_rows_that_are_dropped_while_they_are_refused_are_none_on_postgres() {
    // Refused after the server has said that it copies, and inserted otherwise.
    let rows = [vec![Value::Int(1), text("x")], vec![Value::Int(2), text("x")]];
    dropped(2, async |connection, table| {
        let view = format!("{table}_v");
        let create = format!("create or replace view {view} as select * from {table}");
        connect().await.script(&create).await?;
        let target = BulkTarget::new(&view, &["id", "name"]);
        connection.bulk(target, &rows).await.map(drop)
    })
    .await;
    // Refused before.
    dropped(0, async |connection, table| {
        connection.script(&format!("grant select on {table} to pg_monitor")).await?;
        connection.script("set role pg_monitor").await?;
        let target = BulkTarget::new(table, &["id", "name"]);
        connection.bulk(target, &rows).await.unwrap_err();
        connection.script("reset role").await
    })
    .await;
}

#[tokio::test]
async fn a_recovery_that_is_dropped_is_done_again_on_postgres() {
    let connection = Mutex::new(connect().await);
    let awaits = drop_at_every_await(
        async || {
            let mut connection = connection.lock().await;
            let sql: Arc<str> = "select pg_sleep(600)".into();
            let asked = Statement { sql: &sql, values: &[], is_kept: true };
            once(&mut connection.query(asked)).await;
            connection.recover().await.unwrap();
        },
        async |_| {
            let mut connection = connection.lock().await;
            let back = tokio::time::timeout(LIMIT, connection.recover()).await.unwrap();
            assert_eq!(back.unwrap(), State::Idle);
            assert_eq!(connection.one("select 1", &[]).await.unwrap(), Value::Int(1));
        },
    );
    assert!(awaits.await > 0);
}

#[tokio::test]
async fn what_still_runs_is_stopped_on_the_server_on_postgres() {
    let mut connection = connect().await;
    let process = Value::Int(connection.id().unwrap().parse().unwrap());
    for is_transaction in [false, true] {
        if is_transaction {
            connection.begin(&Begin::default()).await.unwrap();
        }
        let sql: Arc<str> = "select pg_sleep(600)".into();
        let asked = Statement { sql: &sql, values: &[], is_kept: false };
        let mut watcher = connect().await;
        let runs =
            "select count(*) from pg_stat_activity where pid = $1::int4 and wait_event = 'PgSleep'";
        {
            let mut sleeping = connection.query(asked);
            loop {
                once(&mut sleeping).await;
                if watcher.one(runs, std::slice::from_ref(&process)).await.unwrap() == Value::Int(1)
                {
                    break;
                }
            }
        }
        assert_eq!(connection.state(), State::Unknown);
        let found = tokio::time::timeout(LIMIT, connection.recover()).await.unwrap().unwrap();
        let expected = if is_transaction { State::Failed } else { State::Idle };
        assert_eq!((found, connection.state()), (expected, expected));
        connection.rollback().await.unwrap();
        // Nothing of the stop is left for what comes next.
        for _ in 0..50 {
            assert_eq!(connection.one("select 1", &[]).await.unwrap(), Value::Int(1));
        }
    }
}
