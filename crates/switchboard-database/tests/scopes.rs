//! What scopes do to transactions, on every database there is.

#![cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use switchboard_core::{Environment, Error, ErrorKind, Manager, Registry, Result, Settings};
use switchboard_database::sql::{Filter, OrderBy, Page};
use switchboard_database::{
    Database, Databases, Listing, Row, RowStream, Sandbox, Stack, Statements as _,
    TransactionOptions,
};

fn databases(settings: &Settings) -> Result<Manager<Databases>> {
    let databases = Manager::<Databases>::new(Registry::with_built_ins()?, &Environment::new())?;
    databases.configure("main", settings)?;
    Ok(databases)
}

async fn exercise(settings: &Settings) -> Result<()> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let table = format!("scopes_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let databases = databases(settings)?;
    let db = databases.get("main").await?;
    db.execute(&format!("create table {table} (id integer primary key, name varchar(50))"), ())
        .await?;
    let ended = Box::pin(steps(&databases, &db, &table)).await;
    db.execute(&format!("drop table {table}"), ()).await?;
    ended?;
    databases.close(Duration::from_mins(1)).await.into_result()
}

async fn steps(databases: &Manager<Databases>, db: &Database, table: &str) -> Result<()> {
    let insert = format!("insert into {table} (id, name) values (:id, :name)");
    let count = format!("select count(*) from {table}");
    let one =
        db.execute(&insert, switchboard_database::params! { "id" => 1, "name" => "Ada" }).await?;
    assert_eq!(one.affected, 1);
    let names: Vec<(i64, String)> = db.select(&format!("select id, name from {table}"), ()).await?;
    assert_eq!(names, [(1, "Ada".to_owned())]);

    let kept: Result<()> = db
        .transaction(|tx| {
            let insert = insert.clone();
            async move {
                tx.execute(&insert, switchboard_database::params! { "id" => 2, "name" => "Bob" })
                    .await?;
                let undone: Result<()> = tx
                    .savepoint(|inner| async move {
                        let params = switchboard_database::params! { "id" => 3, "name" => "Eve" };
                        inner.execute(&insert, params).await?;
                        Err(Error::new(ErrorKind::InvalidInput, "no"))
                    })
                    .await;
                assert!(undone.is_err());
                Ok(())
            }
        })
        .await;
    kept?;
    assert_eq!(db.select_value::<i64>(&count, ()).await?, 2);

    let failed: Result<()> = db
        .transaction(|tx| {
            let insert = insert.clone();
            async move {
                let params = switchboard_database::params! { "id" => 4, "name" => "Eve" };
                tx.execute(&insert, params).await?;
                tx.execute(&insert, switchboard_database::params! { "id" => 1, "name" => "Ada" })
                    .await?;
                Ok(())
            }
        })
        .await;
    assert!(failed.is_err_and(|error| error.kind() == ErrorKind::AlreadyExists));
    assert_eq!(db.select_value::<i64>(&count, ()).await?, 2);

    let ordered = format!("select id from {table} order by id");
    let rows: Vec<i64> = db.stream::<i64>(&ordered, ()).await?.try_collect().await?;
    assert_eq!(rows, [1, 2]);
    columns_are_known_before_rows(db, table).await?;
    a_transaction_begun_by_hand_is_ended_by_hand(db, table).await?;

    let columns = [("id", "id"), ("name", "name")];
    let listing = Listing::new()
        .filter(Filter::starts_with("name", "A", &columns)?)
        .order(OrderBy::parse("-id", &columns)?)
        .page(Page::new(1, 10)?);
    let all = format!("select id, name from {table} where id < ?");
    let listed: (Vec<(i64, String)>, u64) = db.select_with_total(&all, (100,), &listing).await?;
    assert_eq!(listed, (vec![(1, "Ada".to_owned())], 1));

    let bulk: Vec<_> =
        (10..1_010_i64).map(|id| [id.into(), switchboard_database::Value::from("x")]).collect();
    assert_eq!(db.bulk_insert(table, &["id", "name"], bulk).await?, 1_000);
    let stack = Stack::new()
        .execute(&format!("delete from {table} where id >= ?"), (10,))
        .select(&count, ());
    assert!(db.run_stack(&stack).await?.is_ok());
    assert_eq!(db.select_value::<i64>(&count, ()).await?, 2);

    let sandbox = Sandbox::over(databases, "main").await?;
    db.execute(&format!("delete from {table}"), ()).await?;
    assert_eq!(db.select_value::<i64>(&count, ()).await?, 0);
    sandbox.end().await?;
    assert_eq!(db.select_value::<i64>(&count, ()).await?, 2);
    for pool in db.pools() {
        assert_eq!(pool.in_use, 0, "{pool:?}");
    }
    Ok(())
}

async fn columns_are_known_before_rows(db: &Database, table: &str) -> Result<()> {
    let none = &format!("select id, name from {table} where id < 0");
    let names = |stream: &RowStream<Row>| {
        stream.columns().iter().map(|column| column.name.to_string()).collect::<Vec<_>>()
    };
    let stream = db.stream::<Row>(none, ()).await?;
    assert_eq!(names(&stream), ["id", "name"]);
    assert!(stream.try_collect::<Vec<_>>().await?.is_empty());

    let connection = db.connection().await?;
    let stream = connection.stream::<Row>(none, ()).await?;
    assert_eq!(names(&stream), ["id", "name"]);
    drop((stream, connection));

    let transaction = db.begin(&TransactionOptions::new()).await?;
    let stream = transaction.stream::<Row>(none, ()).await?;
    assert_eq!(names(&stream), ["id", "name"]);
    drop(stream);
    transaction.rollback().await
}

/// Who types `begin` has to be able to type `rollback`, whatever went wrong in between.
async fn a_transaction_begun_by_hand_is_ended_by_hand(db: &Database, table: &str) -> Result<()> {
    let connection = db.connection().await?;
    connection.execute_script("begin").await?;
    connection.execute(&format!("delete from {table}"), ()).await?;
    let wrong = connection.execute("select no_such_column", ()).await;
    assert!(wrong.is_err_and(|error| error.kind() == ErrorKind::InvalidInput));
    connection.execute_script("rollback").await?;
    let left: i64 = connection.select_value(&format!("select count(*) from {table}"), ()).await?;
    assert_eq!(left, 2);
    Ok(())
}

#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread")]
async fn scopes_end_their_transactions_on_sqlite() {
    exercise(&Settings::new().with("url", "sqlite::memory:")).await.unwrap();
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn scopes_end_their_transactions_on_postgres() {
    exercise(&Settings::new().with(
        "url",
        switchboard_testkit::service_url("postgres", "postgres://postgres@127.0.0.1:5432/postgres"),
    ))
    .await
    .unwrap();
}

#[cfg(feature = "mysql")]
#[tokio::test(flavor = "multi_thread")]
async fn scopes_end_their_transactions_on_mariadb() {
    exercise(&Settings::new().with(
        "url",
        switchboard_testkit::service_url("mariadb", "mysql://root@127.0.0.1:3306/test"),
    ))
    .await
    .unwrap();
}
