//! Rows that are told apart by columns over which there is no key.

#![cfg(test)]
#![cfg(all(feature = "sqlite", feature = "postgres"))]

use switchboard_core::{Environment, ErrorKind, Manager, Registry, Settings};
use switchboard_database::{Databases, Statements as _, Value};

async fn are_refused_with_the_columns(url: &str) {
    let registry = Registry::with_built_ins().unwrap();
    let databases = Manager::<Databases>::new(registry, &Environment::new()).unwrap();
    databases.configure("main", &Settings::new().with("url", url)).unwrap();
    let db = databases.get("main").await.unwrap();
    let table = switchboard_testkit::unique("keys_");
    let columns = "id integer primary key, name varchar(20), mail varchar(20)";
    db.execute(&format!("create table {table} ({columns})"), ()).await.unwrap();
    for count in [1, 5] {
        let rows = (0..count).map(|id| [Value::from(id), Value::from("Ada"), Value::from("a@b")]);
        let insert = db.bulk_insert(&table, &["id", "name", "mail"], rows);
        let error = insert.on_conflict(&["name", "mail"]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.message().contains("no unique constraint"), "{error}");
        assert_eq!(error.context_value("key"), Some("name, mail"), "{error}");
        assert_eq!(error.context_value("row"), None, "{error}");
        assert!(error.hints().any(|hint| hint.contains("primary key")), "{error}");
    }
    db.execute(&format!("drop table {table}"), ()).await.unwrap();
}

#[tokio::test]
async fn rows_told_apart_by_what_is_no_key_are_refused_with_the_columns_on_sqlite() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", directory.path().join("main.db").display());
    are_refused_with_the_columns(&url).await;
}

#[tokio::test]
async fn rows_told_apart_by_what_is_no_key_are_refused_with_the_columns_on_postgres() {
    let fallback = "postgres://postgres@127.0.0.1:5432/postgres";
    are_refused_with_the_columns(&switchboard_testkit::service_url("postgres", fallback)).await;
}
