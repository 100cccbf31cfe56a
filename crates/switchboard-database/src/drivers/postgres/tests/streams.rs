//! Rows that are fetched a few at a time.

use super::*;

async fn open(
    connection: &mut PostgresConnection,
    sql: &str,
    values: &[Value],
) -> Result<crate::Columns> {
    let sql: Arc<str> = sql.into();
    connection.open_rows(Statement { sql: &sql, values, is_kept: true }).await
}

#[tokio::test]
async fn all_rows_come_in_order_and_are_counted_on_postgres() {
    let mut connection = connect().await;
    for is_transaction in [false, true] {
        if is_transaction {
            connection.begin(&Begin::default()).await.unwrap();
        }
        let state = connection.state();
        let sql = "select i::int8 as number, repeat('x', 200) from generate_series(1, $1::int4) i";
        let columns = open(&mut connection, sql, &[Value::Int(100_000)]).await.unwrap();
        assert_eq!(columns.position("number"), Some(0));
        assert_eq!(connection.state(), State::Unknown);
        let error = connection.one("select 1", &[]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PreconditionFailed);
        let mut next = 1;
        loop {
            let rows = connection.fetch(777).await.unwrap();
            assert!(rows.len() <= 777);
            if rows.is_empty() {
                break;
            }
            for row in rows {
                assert_eq!(row.values()[0], Value::Int(next));
                next += 1;
            }
        }
        assert_eq!(next, 100_001);
        assert_eq!(connection.fetch(1).await.unwrap(), []);
        connection.close_rows().await.unwrap();
        assert_eq!(connection.state(), state);
        assert_eq!(connection.one("select 1", &[]).await.unwrap(), Value::Int(1));
    }
}

#[tokio::test]
async fn rows_that_are_closed_early_are_not_made_on_postgres() {
    let mut connection = connect().await;
    for is_transaction in [false, true] {
        if is_transaction {
            connection.begin(&Begin::default()).await.unwrap();
            connection.script("create temp table kept_in_it (id int)").await.unwrap();
        }
        let state = connection.state();
        // Nobody waits for the end of these.
        let sql = "select generate_series(1, 1000000000000) where $1";
        open(&mut connection, sql, &[Value::Bool(true)]).await.unwrap();
        assert_eq!(connection.fetch(5).await.unwrap().len(), 5);
        connection.close_rows().await.unwrap();
        assert_eq!(connection.state(), state);
        if is_transaction {
            let kept = connection.one("select count(*) from kept_in_it", &[]).await.unwrap();
            assert_eq!(kept, Value::Int(0));
        }
        // A name of a cursor is not taken twice.
        open(&mut connection, "values (1)", &[]).await.unwrap();
        assert_eq!(connection.fetch(5).await.unwrap().len(), 1);
        connection.close_rows().await.unwrap();
    }
    connection.commit().await.unwrap();
}

#[tokio::test]
async fn rows_of_a_statement_that_writes_are_written_though_closed_early_on_postgres() {
    let mut connection = connect().await;
    let table = Table::new(&mut connection, "id int").await;
    for (is_transaction, count) in [(false, 10_000), (true, 20_000)] {
        if is_transaction {
            connection.begin(&Begin::default()).await.unwrap();
        }
        let sql = format!(
            "insert into {} select generate_series(1, 10000) returning id, repeat('x', 100)",
            table.0
        );
        open(&mut connection, &sql, &[]).await.unwrap();
        assert_eq!(connection.fetch(3).await.unwrap().len(), 3);
        connection.close_rows().await.unwrap();
        if is_transaction {
            connection.commit().await.unwrap();
        }
        assert_eq!(table.count(&mut connection).await, count);
    }
    table.drop().await;
}

#[tokio::test]
async fn an_error_in_the_middle_of_rows_is_told_and_ends_them_on_postgres() {
    let mut connection = connect().await;
    for (is_transaction, state) in [(false, State::Idle), (true, State::Failed)] {
        if is_transaction {
            connection.begin(&Begin::default()).await.unwrap();
        }
        open(&mut connection, "select 1 / (5000 - i) from generate_series(1, 10000) i", &[])
            .await
            .unwrap();
        let error = loop {
            match connection.fetch(100).await {
                Ok(rows) => assert!(!rows.is_empty(), "there is an error before the end"),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.context_value("code"), Some("22012"));
        assert_eq!(connection.state(), state);
    }
}

#[tokio::test]
async fn a_query_is_closed_early_however_it_is_written_on_postgres() {
    let mut connection = connect().await;
    for is_transaction in [false, true] {
        if is_transaction {
            connection.begin(&Begin::default()).await.unwrap();
        }
        for sql in [
            "with recursive n(i) as (select 1 union all select i + 1 from n) select i from n",
            "/* who */ select generate_series(1, 1000000000000)",
            "with n as (select 1) select generate_series(1, 1000000000000) from n",
            "(select generate_series(1, 1000000000000))",
        ] {
            open(&mut connection, sql, &[]).await.unwrap();
            assert_eq!(connection.fetch(10).await.unwrap().len(), 10);
            connection.close_rows().await.unwrap();
        }
    }
    connection.commit().await.unwrap();
}

#[tokio::test]
async fn what_is_no_query_has_rows_within_a_transaction_on_postgres() {
    let mut connection = connect().await;
    let table = Table::new(&mut connection, "id int").await;
    connection.begin(&Begin::default()).await.unwrap();
    let insert = format!("with n as (insert into {} values (1) returning id) select *", table.0);
    for sql in ["show work_mem", "explain select 1", &format!("{insert} from n")] {
        open(&mut connection, sql, &[]).await.unwrap();
        assert_eq!(connection.fetch(10).await.unwrap().len(), 1, "{sql}");
        connection.close_rows().await.unwrap();
    }
    connection.commit().await.unwrap();
    assert_eq!(table.count(&mut connection).await, 1);
    table.drop().await;
}

#[tokio::test]
async fn what_a_query_finds_is_not_affected_on_postgres() {
    let mut connection = connect().await;
    let table = Table::new(&mut connection, "id int").await;
    let insert = format!("with n as (select 1) insert into {} select 1 from n", table.0);
    for (sql, affected) in [
        ("with n as (select 1) select * from n", 0),
        ("-- who\nselect 1", 0),
        ("(values (1), (2))", 0),
        (&insert, 1),
    ] {
        assert_eq!(connection.does(sql, &[]).await.unwrap(), affected, "{sql}");
    }
    table.drop().await;
}
