//! What errors of statements say of where they happened and who asked.

#![cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

use futures_util::StreamExt as _;
use switchboard_core::{Environment, Error, Manager, Registry, Settings};
use switchboard_database::{Database, Databases, Queries, Stack, Statements, TransactionOptions};

async fn main_of(url: &str) -> (Manager<Databases>, Database) {
    let registry = Registry::with_built_ins().unwrap();
    let databases = Manager::<Databases>::new(registry, &Environment::new());
    let databases = databases.unwrap();
    databases.configure("main", &Settings::new().with("url", url)).unwrap();
    let main = databases.get("main").await.unwrap();
    (databases, main)
}

fn is_told(error: &Error, driver: &str, operation: &str) {
    let place = error.place().unwrap();
    assert_eq!((&*place.instance, place.driver), ("main", Some(driver)), "{error:?}");
    assert_eq!(place.operation, operation, "{error:?}");
    assert!(error.context_value("asked at").unwrap().contains("telling.rs:"), "{error:?}");
    assert!(!format!("{error:?}").contains("canary"), "{error:?}");
}

async fn errors_are_told(on: &impl Statements, driver: &str) {
    let none = "select 1 as one where 'canary' = 'no'";
    let two = "select 'canary' as a union all select 'canary2'";
    let errors = [
        on.select_one::<(i64,)>(none, ()).await.unwrap_err(),
        on.select_value::<i64>(none, ()).await.unwrap_err(),
        on.select_one::<(String,)>(two, ()).await.unwrap_err(),
        on.select_one_or_none::<(String,)>(two, ()).await.unwrap_err(),
        on.select_value_or_none::<i64>("select 1 as a, 'canary' as b", ()).await.unwrap_err(),
        on.select::<(i64,)>("select 'canary' as a", ()).await.unwrap_err(),
    ];
    for error in errors {
        is_told(&error, driver, "select");
        assert!(error.context_value("statement").unwrap().starts_with("select "), "{error:?}");
    }
    let queries = Queries::embedded(&[("a.sql", "-- name: none :one\nselect 1 where 1 = 0")]);
    let queries = queries.unwrap();
    let error = queries.on(on, "none").one::<(i64,)>(()).await.unwrap_err();
    is_told(&error, driver, "select");
    assert_eq!(error.context_value("query"), Some("none"));
    let stack = Stack::new().select("select 1 from nowhere_at_all where 'canary' = 'no'", ());
    let report = on.run_stack(&stack).await.unwrap();
    is_told(report.answers[0].as_ref().unwrap_err(), driver, "stack");
    let error = on.execute("insert into nowhere_at_all values ('canary')", ()).await.unwrap_err();
    is_told(&error, driver, "execute");
    assert_eq!(error.context_value("statement"), Some("insert into nowhere_at_all values (…)"));
}

/// Rows that are read as they come are read wrongly as those that come at once are.
async fn streams_are_told(on: &impl Statements, driver: &str) {
    let sql = "with recursive n (id) as (select 1 union all select id + 1 from n where id < 400) \
               select id, case when id = 300 then 'canary' end as name from n";
    let mut stream = on.stream::<(i64, Option<i64>)>(sql, ()).await.unwrap();
    let mut wrong = None;
    for row in 1..=400 {
        match stream.next().await.unwrap() {
            Ok((id, _)) => assert_eq!(id, row),
            Err(error) => wrong = wrong.or(Some((row, error))),
        }
    }
    assert!(stream.next().await.is_none());
    let (row, streamed) = wrong.unwrap();
    let at_once = on.select::<(i64, Option<i64>)>(sql, ()).await.unwrap_err();
    assert_eq!((row, streamed.kind()), (300, at_once.kind()));
    is_told(&streamed, driver, "fetch");
    for key in ["statement", "column", "expected", "found", "row"] {
        let told = at_once.context_value(key);
        assert!(told.is_some() && streamed.context_value(key) == told, "{key}: {streamed:?}");
    }
    let queries = format!("-- name: many :stream\n{sql}");
    let queries = Queries::embedded(&[("a.sql", &*queries)]).unwrap();
    let mut stream = queries.on(on, "many").stream::<(i64, i64)>(()).await.unwrap();
    let error = stream.next().await.unwrap().unwrap_err();
    is_told(&error, driver, "fetch");
    assert_eq!(
        (error.context_value("query"), error.context_value("row")),
        (Some("many"), Some("1"))
    );
}

/// What the server meets in the middle is told with how far it came.
async fn streams_that_fail_are_told(on: &impl Statements, driver: &str, failing: &str) {
    let sql = format!(
        "with recursive n (id) as (select 1 union all select id + 1 from n where id < 900) \
         select {failing} as one, '{}' as filling from n",
        // So that the server sends some before it meets the last.
        "x".repeat(100)
    );
    let mut stream = on.stream::<(i64, String)>(&sql, ()).await.unwrap();
    let mut rows = 0;
    let error = loop {
        match stream.next().await.unwrap() {
            Ok(_) => rows += 1,
            Err(error) => break error,
        }
    };
    assert!((1..900).contains(&rows), "{rows} rows came");
    is_told(&error, driver, "fetch");
    assert!(error.context_value("statement").unwrap().starts_with("with recursive "), "{error:?}");
    assert_eq!(error.context_value("rows read"), Some(&*rows.to_string()), "{error:?}");
    assert!(stream.next().await.is_none());
}

async fn everybody_tells(url: &str, driver: &str, failing: &str) {
    let (_databases, main) = main_of(url).await;
    errors_are_told(&main, driver).await;
    let connection = main.connection().await.unwrap();
    let error = connection.select_one::<(i64,)>("select 1 where 1 = 0", ()).await.unwrap_err();
    is_told(&error, driver, "select");
    streams_are_told(&connection, driver).await;
    drop(connection);
    streams_are_told(&main, driver).await;
    streams_that_fail_are_told(&main, driver, failing).await;
    let transaction = main.begin(&TransactionOptions::new()).await.unwrap();
    errors_are_told(&transaction, driver).await;
    transaction.rollback().await.unwrap();
    let transaction = main.begin(&TransactionOptions::new()).await.unwrap();
    streams_are_told(&transaction, driver).await;
    streams_that_fail_are_told(&transaction, driver, failing).await;
    transaction.rollback().await.unwrap();
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn an_error_says_which_database_which_statement_and_which_line_on_sqlite() {
    let failing = "case id when 700 then json_extract('canary', '$') else 1 end";
    everybody_tells("sqlite::memory:", "sqlite", failing).await;
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn an_error_says_which_database_which_statement_and_which_line_on_postgres() {
    let url = "postgres://postgres@127.0.0.1:5432/postgres";
    everybody_tells(url, "postgres", "1 / (700 - id)").await;
}

#[cfg(feature = "mysql")]
#[tokio::test]
async fn an_error_says_which_database_which_statement_and_which_line_on_mariadb() {
    let failing = "case id when 700 then id + 18446744073709551615 else 1 end";
    everybody_tells("mysql://root@127.0.0.1:3306/mysql", "mysql", failing).await;
}
