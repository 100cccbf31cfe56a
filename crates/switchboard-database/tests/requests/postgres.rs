//! What only a server can do to a transaction: find out late, give it up, go away.

#![cfg(feature = "postgres")]

use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post as on_post;
use switchboard_core::{Environment, Error, Manager, Registry, Settings};
use switchboard_database::axum::{Failure, Session, SessionLayer};
use switchboard_database::{Database, Databases, Statements as _, Violation};

use super::post;

/// A table of its own that checks for equal values at the commit.
struct Table {
    database: Database,
    name: String,
}

impl Table {
    async fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("requests_{}_{number}", std::process::id());
        let url = "postgres://postgres@127.0.0.1:5432/postgres";
        let url = switchboard_testkit::service_url("postgres", url);
        let registry = Registry::with_built_ins().unwrap();
        let databases = Manager::<Databases>::new(registry, &Environment::new()).unwrap();
        databases.configure("main", &Settings::new().with("url", url)).unwrap();
        let database = databases.handle("main").unwrap();
        let create = format!("create table {name} (id int unique deferrable initially deferred)");
        database.execute(&create, ()).await.unwrap();
        Self { database, name }
    }

    fn routes<H, T>(&self, handler: H) -> Router
    where
        H: axum::handler::Handler<T, ()>,
        T: 'static,
    {
        Router::new().route("/", on_post(handler)).layer(SessionLayer::new(self.database.clone()))
    }

    async fn count(&self) -> i64 {
        let count = format!("select count(*) from {}", self.name);
        self.database.select_value(&count, ()).await.unwrap()
    }

    async fn drop(self) {
        self.database.execute(&format!("drop table {}", self.name), ()).await.unwrap();
        assert!(self.database.pools().iter().all(|pool| pool.in_use == 0));
    }
}

#[tokio::test]
async fn a_constraint_that_is_checked_at_the_commit_is_no_success_on_postgres() {
    let table = Table::new().await;
    let insert = format!("insert into {} values (1), (1)", table.name);
    let routes = table.routes(move |Session(tx): Session| async move {
        tx.execute(&insert, ()).await?;
        Ok::<_, Failure>("added")
    });
    let refused = post(&routes, "/", "").await;
    assert_eq!(refused.status(), StatusCode::CONFLICT);
    let error = refused.extensions().get::<Error>().unwrap();
    assert_eq!(Violation::of(error), Some(Violation::Unique), "{error:?}");
    assert_eq!(table.count().await, 0);
    table.drop().await;
}

#[tokio::test]
async fn a_transaction_that_the_server_gave_up_is_no_success_on_postgres() {
    let table = Table::new().await;
    let insert = format!("insert into {} values (1)", table.name);
    let routes = table.routes(move |Session(tx): Session| async move {
        tx.execute(&insert, ()).await?;
        tx.execute("insert into a_table_that_is_not_there values (1)", ()).await.unwrap_err();
        Ok::<_, Failure>("the error is of no interest")
    });
    assert_eq!(post(&routes, "/", "").await.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(table.count().await, 0);
    table.drop().await;
}

#[tokio::test]
async fn a_connection_that_is_lost_before_the_commit_is_no_success_on_postgres() {
    let table = Table::new().await;
    let insert = format!("insert into {} values (1)", table.name);
    let routes = table.routes(move |Session(tx): Session| async move {
        tx.execute(&insert, ()).await?;
        let process: i32 = tx.select_value("select pg_backend_pid()", ()).await?;
        let end = "select pg_terminate_backend($1, 5000)";
        assert!(tx.database().select_value::<bool>(end, (process,)).await?);
        Ok::<_, Failure>("added")
    });
    assert!(post(&routes, "/", "").await.status().is_server_error());
    assert_eq!(table.count().await, 0);
    table.drop().await;
}
