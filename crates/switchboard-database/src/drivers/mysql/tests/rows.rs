//! Answers that are fetched a few rows at a time.

use std::sync::Arc;
use std::time::Duration;

use super::{DIALECT, query};
use super::{Scratch, count, value};
use crate::{Begin, Connection, State, Statement, Value};

async fn open(connection: &mut Box<dyn Connection>, sql: &str) {
    let sql = Arc::from(sql);
    let statement = Statement { sql: &sql, values: &[], is_kept: true };
    assert_eq!(connection.open_rows(statement).await.unwrap().len(), 1);
}

#[tokio::test]
async fn rows_come_a_few_at_a_time_and_nothing_after_the_last_on_mariadb() {
    let scratch = Scratch::new().await;
    let mut connection = scratch.connect().await;
    open(&mut connection, "SELECT seq FROM seq_1_to_100000").await;
    let mut next = 1;
    loop {
        let rows = connection.fetch(300).await.unwrap();
        assert!(rows.len() <= 300);
        if rows.is_empty() {
            break;
        }
        for row in rows {
            assert_eq!(row.values(), [Value::Int(next)]);
            next += 1;
        }
    }
    assert_eq!(next, 100_001);
    assert!(connection.fetch(1).await.unwrap().is_empty());
    assert_eq!(connection.state(), State::Idle);
    assert_eq!(value(&mut connection, "SELECT 42", &[]).await, Value::Int(42));
    connection.close().await.unwrap();
    scratch.drop().await;
}

#[tokio::test]
async fn rows_nobody_wants_are_not_read_on_mariadb() {
    let scratch = Scratch::new().await;
    let mut connection = scratch.connect().await;
    connection.script("CREATE TABLE t (n INT)").await.unwrap();
    // To read all of it would take days.
    let endless = "SELECT a.seq FROM seq_1_to_1000000 AS a, seq_1_to_1000000 AS b";
    for is_told in [true, false] {
        connection.begin(&Begin::default()).await.unwrap();
        super::once(&mut connection, "INSERT INTO t VALUES (1)", &[]).await.unwrap();
        open(&mut connection, endless).await;
        assert_eq!(connection.fetch(10).await.unwrap().len(), 10);
        let ending = async {
            if is_told {
                connection.close_rows().await.unwrap();
            } else {
                connection.recover().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_mins(1), ending).await.unwrap();
        assert_eq!(connection.state(), State::InTransaction);
        assert_eq!(count(&mut connection, "t").await, 1);
        connection.rollback().await.unwrap();
    }
    open(&mut connection, endless).await;
    tokio::time::timeout(Duration::from_mins(1), connection.close()).await.unwrap().unwrap();
    let mut connection = scratch.connect().await;
    open(&mut connection, endless).await;
    drop(connection);
    scratch.drop().await;
}

#[tokio::test]
async fn the_rows_of_a_join_with_two_columns_of_one_name_are_counted_on_mariadb() {
    let scratch = Scratch::new().await;
    let mut connection = scratch.connect().await;
    let tables = "CREATE TABLE a (id INT); CREATE TABLE b (id INT); \
        INSERT INTO a VALUES (1), (2); INSERT INTO b VALUES (1), (2)";
    connection.script(tables).await.unwrap();
    let query_of = |sql| {
        let template = crate::sql::Template::parse(sql, &DIALECT).unwrap();
        template.bind(crate::Params::None).unwrap().counted(&DIALECT).unwrap()
    };
    let counted = query_of("SELECT * FROM a JOIN b");
    assert_eq!(value(&mut connection, &counted.sql, &[]).await, Value::Int(4));
    let counted = query_of("SELECT * FROM a JOIN b ORDER BY a.id");
    let error = query(&mut connection, &counted.sql, &[]).await.unwrap_err();
    assert_eq!(error.kind(), switchboard_core::ErrorKind::InvalidInput, "{error:?}");
    connection.close().await.unwrap();
    scratch.drop().await;
}
