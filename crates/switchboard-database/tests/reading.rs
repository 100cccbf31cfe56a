//! What happens to a transaction or a connection while rows of it are being read, and to streams that
//! nobody reads.

#![cfg(all(feature = "sqlite", feature = "postgres", feature = "mysql"))]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail by panic")]

use std::future::Future;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use switchboard_core::{Environment, Error, ErrorKind, Manager, Registry, Result, Settings};
use switchboard_database::{Database, Databases, RowStream, Statements as _, TransactionOptions};

fn databases(settings: &Settings) -> Manager<Databases> {
    let databases =
        Manager::<Databases>::new(Registry::with_built_ins().unwrap(), &Environment::new())
            .unwrap();
    databases.configure("main", settings).unwrap();
    databases
}

/// A hang is a failure and not a test that never ends.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_mins(1), future).await.expect("it hangs")
}

const MANY: &str =
    "with recursive n (id) as (select 1 union all select id + 1 from n where id < 900)
    select id from n";

#[cfg(feature = "sqlite")]
mod on_sqlite {
    use super::*;

    fn settings() -> Settings {
        Settings::new().with("url", "sqlite::memory:")
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_connection_is_used_for_nothing_else_while_its_rows_are_read() {
        connection_is_being_read(&settings()).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_end_of_a_transaction_closes_its_rows() {
        ends_close_rows(&settings()).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn csv_has_all_rows_before_the_one_that_fails_and_then_the_error() {
        let databases = databases(&settings());
        let main = databases.get("main").await.unwrap();
        let sql =
            "with recursive n (id) as (select 1 union all select id + 1 from n where id < 900)
            select abs(case id when 600 then -9223372036854775807 - 1 else id end) as id from n";
        let mut csv = main.stream_csv(sql, ()).await.unwrap();
        let mut text = Vec::new();
        let error = loop {
            match csv.next().await.unwrap() {
                Ok(piece) => text.extend(piece),
                Err(error) => break error,
            }
        };
        assert!(csv.next().await.is_none());
        assert_eq!(error.place().map(|place| place.operation), Some("fetch"), "{error:?}");
        assert_eq!(error.context_value("rows read"), Some("512"));
        let text = String::from_utf8(text).unwrap();
        let ids = text.strip_prefix("id\r\n").unwrap().split_terminator("\r\n");
        let ids: Vec<i64> = ids.map(|id| id.parse().unwrap()).collect();
        assert_eq!(ids, (1..=512).collect::<Vec<_>>());
    }
}

#[cfg(feature = "postgres")]
mod on_postgres {
    use switchboard_core::{Clock, Deadline};

    use super::*;

    fn settings() -> Settings {
        let local = "postgres://postgres@127.0.0.1:5432/postgres";
        Settings::new().with("url", switchboard_testkit::service_url("postgres", local))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_connection_is_used_for_nothing_else_while_its_rows_are_read_on_postgres() {
        connection_is_being_read(&settings()).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_end_of_a_transaction_closes_its_rows_on_postgres() {
        ends_close_rows(&settings()).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn statements_side_by_side_are_not_nested_on_postgres() {
        let databases = databases(&pool(Settings::new().with("nested", "deny")));
        let db = databases.get("main").await.unwrap();
        let both = async move {
            let slow = "select pg_sleep(0.05)";
            futures_util::join!(db.rows(slow, ()), db.rows(slow, ()))
        };
        // What has no task of its own is not looked at as nested.
        #[expect(clippy::disallowed_methods, reason = "the task is waited for")]
        let task = tokio::spawn(both);
        let (one, two) = task.await.unwrap();
        assert!(one.is_ok() && two.is_ok(), "{one:?} {two:?}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_session_that_asks_for_another_connection_is_nested_on_postgres() {
        let databases = databases(&pool(Settings::new().with("nested", "deny")));
        let db = &databases.get("main").await.unwrap();
        let asks_twice: Result<()> = db
            .session(|tx| async move {
                tx.rows("select 1", ()).await?;
                db.rows("select 1", ()).await.map(drop)
            })
            .await;
        assert_eq!(asks_twice.unwrap_err().kind(), ErrorKind::Config);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_stream_that_nobody_reads_is_told_of_on_postgres() {
        let databases = databases(&pool(Settings::new().with("leak_after", "50ms")));
        let db = databases.get("main").await.unwrap();
        let _forgotten = db.stream::<i64>(MANY, ()).await.unwrap();
        let told = async {
            while db.pools()[0].leaks == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        soon(told).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_suspended_pool_is_not_down_on_postgres() {
        let databases = databases(&pool(Settings::new()));
        let db = databases.get("main").await.unwrap();
        db.rows("select 1", ()).await.unwrap();
        db.suspend();
        let health = databases.health(Duration::from_mins(1)).await;
        assert!(format!("{health:?}").contains("Up"), "{health:?}");
        db.resume();
    }

    fn pool(settings: Settings) -> Settings {
        self::settings().with("pool", settings.with("max", 1).with("acquire_timeout", "1m"))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_wait_for_another_statement_ends_with_the_deadline_on_postgres() {
        let databases = databases(&settings());
        let db = databases.get("main").await.unwrap();
        let connection = std::sync::Arc::new(db.connection().await.unwrap());
        let mut slow = Box::pin(connection.rows("select pg_sleep(600)", ()));
        assert!(futures_util::poll!(&mut slow).is_pending());
        let deadline = Deadline::within(&Clock::system(), Duration::from_millis(100));
        let late = soon(deadline.scope(connection.rows("select 2", ()))).await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::Timeout, "{late}");
        drop(slow);
    }
}

#[cfg(feature = "mysql")]
mod on_mariadb {
    use super::*;

    fn settings() -> Settings {
        let local = "mysql://root@127.0.0.1:3306/test";
        Settings::new().with("url", switchboard_testkit::service_url("mariadb", local))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_connection_is_used_for_nothing_else_while_its_rows_are_read_on_mariadb() {
        connection_is_being_read(&settings()).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_end_of_a_transaction_closes_its_rows_on_mariadb() {
        ends_close_rows(&settings()).await.unwrap();
    }
}

async fn connection_is_being_read(settings: &Settings) -> Result<()> {
    let databases = databases(settings);
    let connection = databases.get("main").await?.connection().await?;
    let mut rows = connection.stream::<i64>(MANY, ()).await?;
    let refused = soon(connection.rows("select 2", ())).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::PreconditionFailed, "{refused}");
    assert!(refused.message().contains("rows are being read"), "{refused}");
    assert_eq!(rows.next().await.transpose()?, Some(1));
    let all: Vec<i64> = rows.by_ref().try_collect().await?;
    assert_eq!(all.len(), 899);
    soon(connection.rows("select 2", ())).await?;
    let left = connection.stream::<i64>(MANY, ()).await?;
    drop(left);
    soon(connection.rows("select 2", ())).await.map(drop)
}

async fn ends_close_rows(settings: &Settings) -> Result<()> {
    let databases = databases(settings);
    let db = databases.get("main").await?;
    a_body_that_asks_while_it_reads_is_refused(&db).await;

    let mut outlives: RowStream<i64> =
        soon(db.session::<_, Error, _, _>(|tx| async move { tx.stream(MANY, ()).await })).await?;
    let ended = soon(outlives.next()).await.unwrap().unwrap_err();
    assert_eq!(ended.kind(), ErrorKind::PreconditionFailed, "{ended}");
    assert!(soon(outlives.next()).await.is_none());

    for is_kept in [true, false] {
        let transaction = db.begin(&TransactionOptions::new()).await?;
        let mut rows = transaction.stream::<i64>(MANY, ()).await?;
        assert_eq!(rows.next().await.transpose()?, Some(1));
        let ended = async {
            if is_kept { transaction.commit().await } else { transaction.rollback().await }
        };
        soon(ended).await?;
        let read: Result<Vec<i64>> = soon(rows.try_collect()).await;
        assert_eq!(read.unwrap_err().kind(), ErrorKind::PreconditionFailed);
    }
    let transaction = db.begin(&TransactionOptions::new()).await?;
    let kept = transaction.savepoint(|inner| async move { inner.stream::<i64>(MANY, ()).await });
    let _kept: RowStream<i64> = soon(kept).await?;
    soon(transaction.rows("select 1", ())).await?;
    soon(transaction.commit()).await
}

async fn a_body_that_asks_while_it_reads_is_refused(db: &Database) {
    let read: Result<()> = soon(db.transaction(|tx| async move {
        let mut rows = tx.stream::<i64>(MANY, ()).await?;
        while rows.next().await.transpose()?.is_some() {
            tx.rows("select 2", ()).await?;
        }
        Ok(())
    }))
    .await;
    let refused = read.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::PreconditionFailed, "{refused}");
}
