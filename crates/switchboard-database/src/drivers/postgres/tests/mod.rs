//! The driver against a real server.

mod bulk;
mod dropping;
mod encryption;
mod failures;
mod frames;
mod sessions;
mod settings;
mod streams;
mod values;

use std::sync::Arc;

use switchboard_core::{
    BuildContext, Environment, Error, ErrorKind, Name, Outcome, Result, Secret,
};
use switchboard_testkit::{service_url, unique};

use super::*;
use crate::{Begin, State, Statement, Value, Violation};

fn config() -> PostgresConfig {
    let url = service_url("postgres", "postgres://postgres@127.0.0.1:5432/postgres");
    PostgresConfig { url: Some(Secret::from(url)), ..PostgresConfig::default() }
}

fn built(config: &PostgresConfig, common: &DatabaseConfig) -> Result<Postgres> {
    let context = BuildContext::new(&Environment::new(), Name::parse("main").unwrap());
    Postgres::new(config, common, &context)
}

fn driver(config: &PostgresConfig) -> Postgres {
    built(config, &DatabaseConfig::default()).unwrap()
}

async fn connect() -> PostgresConnection {
    driver(&config()).open().await.unwrap()
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// A table that is gone when the test has ended well.
struct Table(String);

impl Table {
    async fn new(connection: &mut PostgresConnection, columns: &str) -> Self {
        let name = unique("switchboard_");
        connection.script(&format!("create table {name} ({columns})")).await.unwrap();
        Self(name)
    }

    async fn count(&self, connection: &mut PostgresConnection) -> i64 {
        let counted = connection.one(&format!("select count(*) from {}", self.0), &[]).await;
        let Value::Int(count) = counted.unwrap() else { panic!("a count is a number") };
        count
    }

    async fn drop(self) {
        connect().await.script(&format!("drop table {} cascade", self.0)).await.unwrap();
    }
}

/// Statements in one line.
trait Short {
    async fn does(&mut self, sql: &str, values: &[Value]) -> Result<u64>;
    async fn rows(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Vec<Value>>>;
    async fn one(&mut self, sql: &str, values: &[Value]) -> Result<Value>;
}

impl Short for PostgresConnection {
    async fn does(&mut self, sql: &str, values: &[Value]) -> Result<u64> {
        let sql: Arc<str> = sql.into();
        Ok(self.execute(Statement { sql: &sql, values, is_kept: true }).await?.affected)
    }

    async fn rows(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Vec<Value>>> {
        let sql: Arc<str> = sql.into();
        let rows = self.query(Statement { sql: &sql, values, is_kept: true }).await?.rows;
        Ok(rows.into_iter().map(crate::Row::into_values).collect())
    }

    async fn one(&mut self, sql: &str, values: &[Value]) -> Result<Value> {
        let mut rows = self.rows(sql, values).await?;
        assert_eq!((rows.len(), rows[0].len()), (1, 1), "{sql}");
        Ok(rows.remove(0).remove(0))
    }
}
