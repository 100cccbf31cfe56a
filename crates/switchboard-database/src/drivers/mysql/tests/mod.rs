//! Against a real server: what `SWITCHBOARD_TEST_MARIADB_URL` says, else the one on this machine.

use std::sync::Arc;

use switchboard_core::ErrorKind;
use switchboard_testkit::{service_url, unique};

use super::*;
use crate::{Begin, Done, Rows, State, Statement, Value};

mod bulk;
mod encryption;
mod failures;
mod giving_up;
mod rows;
mod sessions;
mod values;

/// A database of one test, on the server.
pub(super) struct Scratch {
    name: String,
    pub(super) config: MySqlConfig,
}

impl Scratch {
    pub(super) async fn new() -> Self {
        let url = service_url("mariadb", "mysql://root@127.0.0.1:3306");
        let config = MySqlConfig { url: Some(Secret::from(url)), ..MySqlConfig::default() };
        let name = unique("switchboard");
        let mut connection = connect(&config).await;
        connection.script(&format!("CREATE DATABASE {name} CHARACTER SET utf8mb4")).await.unwrap();
        connection.close().await.unwrap();
        Self { config: MySqlConfig { database: Some(name.clone()), ..config }, name }
    }

    async fn connect(&self) -> Box<dyn Connection> {
        connect(&self.config).await
    }

    pub(super) async fn drop(self) {
        let mut connection = self.connect().await;
        connection.script(&format!("DROP DATABASE {}", self.name)).await.unwrap();
        connection.close().await.unwrap();
    }
}

async fn connect(config: &MySqlConfig) -> Box<dyn Connection> {
    try_connect(config, &DatabaseConfig::default()).await.unwrap()
}

async fn try_connect(config: &MySqlConfig, common: &DatabaseConfig) -> Result<Box<dyn Connection>> {
    MySql::new(config, common)?.connect(Lane::Write).await
}

async fn query(connection: &mut Box<dyn Connection>, sql: &str, values: &[Value]) -> Result<Rows> {
    let sql = Arc::from(sql);
    connection.query(Statement { sql: &sql, values, is_kept: true }).await
}

async fn execute(
    connection: &mut Box<dyn Connection>,
    sql: &str,
    values: &[Value],
) -> Result<Done> {
    let sql = Arc::from(sql);
    connection.execute(Statement { sql: &sql, values, is_kept: true }).await
}

async fn once(connection: &mut Box<dyn Connection>, sql: &str, values: &[Value]) -> Result<Done> {
    let sql = Arc::from(sql);
    connection.execute(Statement { sql: &sql, values, is_kept: false }).await
}

/// The first value of the first row.
async fn value(connection: &mut Box<dyn Connection>, sql: &str, values: &[Value]) -> Value {
    let rows = query(connection, sql, values).await.unwrap().rows;
    rows.into_iter().next().unwrap().into_values().remove(0)
}

async fn count(connection: &mut Box<dyn Connection>, table: &str) -> i64 {
    match value(connection, &format!("SELECT COUNT(*) FROM {table}"), &[]).await {
        Value::Int(count) => count,
        other => panic!("{other:?}"),
    }
}

/// How many statements the server has prepared for the connection.
async fn prepared(connection: &mut Box<dyn Connection>) -> u64 {
    let conn = connection.native().downcast_mut::<Conn>().unwrap();
    let status = "SHOW SESSION STATUS LIKE 'Com_stmt_prepare'";
    conn.query_first::<(String, u64), _>(status).await.unwrap().unwrap().1
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

#[tokio::test]
async fn statements_run_and_rows_come_back_on_mariadb() {
    let scratch = Scratch::new().await;
    let mut connection = scratch.connect().await;
    connection
        .script("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, name TEXT); -- and no more")
        .await
        .unwrap();
    let insert = "INSERT INTO t (name) VALUES (?)";
    for (id, name) in [(1, "Ada"), (2, "Grace")] {
        let done = execute(&mut connection, insert, &[text(name)]).await.unwrap();
        assert_eq!((done.affected, done.last_id), (1, Some(id)));
    }
    let rows = query(&mut connection, "SELECT id, name FROM t WHERE id > ?", &[Value::Int(1)]);
    let rows = rows.await.unwrap();
    assert_eq!(rows.rows[0].values(), [Value::Int(2), text("Grace")]);
    let names: Vec<_> = rows.columns.iter().map(|column| &*column.name).collect();
    assert_eq!(names, ["id", "name"]);
    let unchanged = once(&mut connection, "UPDATE t SET name = 'Ada' WHERE id = 1", &[]).await;
    assert_eq!(unchanged.unwrap().affected, 1);
    let two = once(&mut connection, "DELETE FROM t; DELETE FROM t", &[]).await.unwrap_err();
    assert_eq!(two.kind(), ErrorKind::InvalidInput);
    assert_eq!(count(&mut connection, "t").await, 2);
    connection.close().await.unwrap();
    scratch.drop().await;
}

#[tokio::test]
async fn a_transaction_lasts_or_is_taken_back_and_the_state_says_where_it_is_on_mariadb() {
    let scratch = Scratch::new().await;
    let mut connection = scratch.connect().await;
    connection.script("CREATE TABLE t (id INT PRIMARY KEY)").await.unwrap();
    assert_eq!(connection.state(), State::Idle);
    for (is_kept, expected) in [(false, 0), (true, 1)] {
        connection.begin(&Begin::default()).await.unwrap();
        assert_eq!(connection.state(), State::InTransaction);
        execute(&mut connection, "INSERT INTO t VALUES (1)", &[]).await.unwrap();
        if is_kept {
            connection.commit().await.unwrap();
        } else {
            connection.rollback().await.unwrap();
        }
        assert_eq!(connection.state(), State::Idle);
        assert_eq!(count(&mut connection, "t").await, expected);
    }
    connection.close().await.unwrap();
    scratch.drop().await;
}

#[tokio::test]
async fn statements_used_last_are_kept_prepared_on_mariadb() {
    let scratch = Scratch::new().await;
    let config = MySqlConfig { statement_cache: 2, ..scratch.config.clone() };
    let mut connection = connect(&config).await;
    let before = prepared(&mut connection).await;
    for _ in 0..3 {
        query(&mut connection, "SELECT 1", &[]).await.unwrap();
    }
    assert_eq!(prepared(&mut connection).await, before + 1);
    for (sql, more) in
        [("SELECT 2", 2), ("SELECT 1", 2), ("SELECT 3", 3), ("SELECT 1", 3), ("SELECT 2", 4)]
    {
        query(&mut connection, sql, &[]).await.unwrap();
        assert_eq!(prepared(&mut connection).await, before + more, "{sql}");
    }
    once(&mut connection, "DO ?", &[Value::Int(1)]).await.unwrap();
    assert_eq!(prepared(&mut connection).await, before + 5, "what is not kept throws out nothing");
    connection.close().await.unwrap();
    scratch.drop().await;
}

#[tokio::test]
async fn a_table_that_changes_under_a_prepared_statement_is_read_anew_on_mariadb() {
    let scratch = Scratch::new().await;
    let mut connection = scratch.connect().await;
    connection.script("CREATE TABLE t (a INT); INSERT INTO t VALUES (1)").await.unwrap();
    for (change, width) in [("ADD b TEXT", 2), ("MODIFY a DOUBLE", 2), ("DROP b", 1)] {
        query(&mut connection, "SELECT * FROM t", &[]).await.unwrap();
        connection.script(&format!("ALTER TABLE t {change}")).await.unwrap();
        let rows = query(&mut connection, "SELECT * FROM t", &[]).await.unwrap();
        assert_eq!((rows.columns.len(), rows.rows.len()), (width, 1));
    }
    assert_eq!(value(&mut connection, "SELECT * FROM t", &[]).await, Value::Float(1.0));
    connection.close().await.unwrap();
    scratch.drop().await;
}

#[tokio::test]
async fn a_statement_the_server_has_forgotten_is_prepared_again_on_mariadb() {
    let scratch = Scratch::new().await;
    let mut connection = scratch.connect().await;
    connection.script("CREATE TABLE t (id INT)").await.unwrap();
    let insert = "INSERT INTO t VALUES (?)";
    execute(&mut connection, insert, &[Value::Int(1)]).await.unwrap();
    connection.native().downcast_mut::<Conn>().unwrap().reset().await.unwrap();
    execute(&mut connection, insert, &[Value::Int(2)]).await.unwrap();
    assert_eq!(count(&mut connection, "t").await, 2);
    connection.close().await.unwrap();
    scratch.drop().await;
}
