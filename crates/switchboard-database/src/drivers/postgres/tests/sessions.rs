//! Statements, transactions, and what a session is left with.

use super::*;
use crate::{Isolation, Lane, Savepoint};

#[tokio::test]
async fn a_statement_says_how_many_rows_it_changed_on_postgres() {
    let mut connection = connect().await;
    let table = Table::new(&mut connection, "id int primary key, name text").await;
    let insert = format!("insert into {} select i, 'n' from generate_series(1, 5) i", table.0);
    assert_eq!(connection.does(&insert, &[]).await.unwrap(), 5);
    let update = format!("update {} set name = $1 where id > $2", table.0);
    assert_eq!(connection.does(&update, &[text("m"), Value::Int(2)]).await.unwrap(), 3);
    let select = format!("select * from {}", table.0);
    assert_eq!(connection.does(&select, &[]).await.unwrap(), 0);
    let returning = format!("delete from {} where id = 1 returning name", table.0);
    assert_eq!(connection.rows(&returning, &[]).await.unwrap(), [[text("n")]]);
    assert_eq!(connection.does("", &[]).await.unwrap(), 0);
    table.drop().await;
}

#[tokio::test]
async fn columns_are_told_where_there_are_no_rows_on_postgres() {
    let mut connection = connect().await;
    for is_kept in [true, false] {
        let sql: Arc<str> = "select 1::int8 as number, 'x' as \"Other\" where false".into();
        let asked = Statement { sql: &sql, values: &[], is_kept };
        let rows = connection.query(asked).await.unwrap();
        let told: Vec<_> =
            rows.columns.iter().map(|c| (&*c.name, c.type_name.as_deref())).collect();
        assert_eq!(told, [("number", Some("int8")), ("Other", Some("text"))]);
        assert!(rows.rows.is_empty());
    }
}

#[tokio::test]
async fn a_transaction_is_kept_or_taken_back_on_postgres() {
    let mut connection = connect().await;
    let table = Table::new(&mut connection, "id int").await;
    let insert = format!("insert into {} values (1)", table.0);
    for (is_kept, rows) in [(false, 0), (true, 1)] {
        connection.begin(&Begin::default()).await.unwrap();
        connection.does(&insert, &[]).await.unwrap();
        assert_eq!(connection.state(), State::InTransaction);
        if is_kept { connection.commit().await } else { connection.rollback().await }.unwrap();
        assert_eq!(connection.state(), State::Idle);
        assert_eq!(table.count(&mut connection).await, rows);
    }
    connection.rollback().await.unwrap();
    assert_eq!(connection.commit().await.unwrap_err().kind(), ErrorKind::PreconditionFailed);
    table.drop().await;
}

#[tokio::test]
async fn a_failed_transaction_says_so_and_is_never_committed_on_postgres() {
    let mut connection = connect().await;
    let table = Table::new(&mut connection, "id int primary key").await;
    let insert = format!("insert into {} values ($1)", table.0);
    connection.begin(&Begin::default()).await.unwrap();
    connection.does(&insert, &[Value::Int(1)]).await.unwrap();
    let error = connection.does(&insert, &[Value::Int(1)]).await.unwrap_err();
    assert_eq!(Violation::of(&error), Some(Violation::Unique));
    assert_eq!(connection.state(), State::Failed);
    let error = connection.one("select 1", &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PreconditionFailed);
    assert!(error.message().contains("failed before"), "{error}");
    let error = connection.commit().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PreconditionFailed);
    assert_eq!((connection.state(), error.outcome()), (State::Idle, Outcome::NotApplied));
    assert_eq!(table.count(&mut connection).await, 0);
    table.drop().await;
}

#[tokio::test]
async fn a_transaction_begins_as_it_is_asked_to_on_postgres() {
    let mut connection = connect().await;
    let options = Begin {
        isolation: Some(Isolation::Serializable),
        is_read_only: true,
        is_deferrable: true,
        statement_timeout: Some(std::time::Duration::from_millis(1234)),
        lock_timeout: Some(std::time::Duration::from_nanos(1)),
        ..Begin::default()
    };
    connection.begin(&options).await.unwrap();
    let settings = "select current_setting('transaction_isolation'), \
        current_setting('transaction_read_only'), current_setting('transaction_deferrable'), \
        current_setting('statement_timeout'), current_setting('lock_timeout')";
    let set = ["serializable", "on", "on", "1234ms", "1ms"].map(text);
    assert_eq!(connection.rows(settings, &[]).await.unwrap()[0], set);
    connection.rollback().await.unwrap();
    assert_ne!(connection.rows(settings, &[]).await.unwrap()[0], set);

    connection.begin(&Begin::default()).await.unwrap();
    let error = connection.begin(&Begin::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PreconditionFailed);
    assert_eq!(connection.state(), State::InTransaction);
}

#[tokio::test]
async fn savepoints_take_back_what_is_in_them_and_nothing_else_on_postgres() {
    let mut connection = connect().await;
    let table = Table::new(&mut connection, "id int primary key").await;
    let insert = format!("insert into {} values ($1)", table.0);
    connection.begin(&Begin::default()).await.unwrap();
    for depth in 1..=5 {
        connection.savepoint(Savepoint::Set, depth).await.unwrap();
        connection.does(&insert, &[Value::Int(depth.into())]).await.unwrap();
    }
    connection.does(&insert, &[Value::Int(1)]).await.unwrap_err();
    assert_eq!(connection.state(), State::Failed);
    connection.savepoint(Savepoint::RollBack, 3).await.unwrap();
    assert_eq!(connection.state(), State::InTransaction);
    connection.savepoint(Savepoint::Release, 2).await.unwrap();
    connection.commit().await.unwrap();
    assert_eq!(table.count(&mut connection).await, 2);
    table.drop().await;
}

#[tokio::test]
async fn a_transaction_that_sql_opens_is_seen_on_postgres() {
    let mut connection = connect().await;
    connection.does("begin", &[]).await.unwrap();
    assert_eq!(connection.state(), State::InTransaction);
    connection.script("select 1/0").await.unwrap_err();
    assert_eq!(connection.state(), State::Failed);
    connection.script("rollback; begin").await.unwrap();
    assert_eq!(connection.state(), State::InTransaction);
    connection.rollback().await.unwrap();
    assert_eq!(connection.state(), State::Idle);
}

#[tokio::test]
async fn a_script_stops_where_it_fails_on_postgres() {
    let mut connection = connect().await;
    let name = unique("switchboard_");
    let script = format!("create table {name} (id int); insert into {name} values (1); select 1/0");
    let error = connection.script(&script).await.unwrap_err();
    assert_eq!(error.context_value("code"), Some("22012"));
    let exists = connection.one("select to_regclass($1::text) is null", &[text(&name)]).await;
    assert_eq!(exists.unwrap(), Value::Bool(true));
}

#[tokio::test]
async fn a_reset_leaves_nothing_but_prepared_statements_on_postgres() {
    let config = PostgresConfig {
        session: SessionConfig {
            search_path: Some("pg_catalog".to_owned()),
            ..SessionConfig::default()
        },
        ..config()
    };
    let mut connection = driver(&config).open().await.unwrap();
    assert_eq!(connection.one("select $1::int4", &[Value::Int(1)]).await.unwrap(), Value::Int(1));
    let left = "set search_path = public; set timezone = 'Asia/Tokyo'; \
        listen heard; select pg_advisory_lock(hashtext(pg_backend_pid()::text)); \
        create temp table left_behind (id int); create temp sequence s; \
        declare c cursor with hold for select 1; set role pg_monitor";
    connection.script("create temp sequence kept; select nextval('kept')").await.unwrap();
    connection.script(left).await.unwrap();
    connection.reset().await.unwrap();
    let residue = "select current_setting('search_path'), current_setting('timezone') = 'Asia/Tokyo', \
        current_user = session_user, (select count(*) from pg_listening_channels()), \
        (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()), \
        to_regclass('left_behind') is null, (select count(*) from pg_cursors where is_holdable)";
    let rows = connection.rows(residue, &[]).await.unwrap();
    let clean = [
        text("pg_catalog"),
        Value::Bool(false),
        Value::Bool(true),
        Value::Int(0),
        Value::Int(0),
        Value::Bool(true),
        Value::Int(0),
    ];
    for (found, clean) in rows[0].iter().zip(&clean) {
        assert_eq!(found, clean, "{rows:?}");
    }
    let prepared = connection.one(
        "select count(*) from pg_prepared_statements where statement like 'select $1::int4%'",
        &[],
    );
    assert_eq!(prepared.await.unwrap(), Value::Int(1));

    connection.begin(&Begin::default()).await.unwrap();
    assert_eq!(connection.reset().await.unwrap_err().kind(), ErrorKind::PreconditionFailed);
}

#[tokio::test]
async fn statements_are_kept_up_to_a_number_and_the_last_used_stay_on_postgres() {
    for (cache, kept) in [(0, vec![]), (2, vec!["select 1", "select 3"])] {
        let config = PostgresConfig { statement_cache: cache, ..config() };
        let mut connection = driver(&config).open().await.unwrap();
        for sql in ["select 1", "select 2", "select 1", "select 3"] {
            connection.rows(sql, &[]).await.unwrap();
        }
        let sql: Arc<str> = "select 4".into();
        connection.query(Statement { sql: &sql, values: &[], is_kept: false }).await.unwrap();
        connection.ping().await.unwrap();
        let sql: Arc<str> = "select statement from pg_prepared_statements \
            where statement not like '%pg_prepared%' order by 1"
            .into();
        let asked = Statement { sql: &sql, values: &[], is_kept: false };
        let rows = connection.query(asked).await.unwrap().rows;
        let found: Vec<_> = rows.into_iter().flat_map(crate::Row::into_values).collect();
        assert_eq!(found, kept.into_iter().map(text).collect::<Vec<_>>(), "{cache}");
    }
}

#[tokio::test]
async fn a_statement_is_prepared_again_after_its_table_was_changed_on_postgres() {
    let mut connection = connect().await;
    let table = Table::new(&mut connection, "id int").await;
    let select = format!("select * from {}", table.0);
    let alter = |name: &str| format!("alter table {} add column {name} text default 'x'", table.0);
    assert!(connection.rows(&select, &[]).await.unwrap().is_empty());
    connection.script(&format!("insert into {} values (1)", table.0)).await.unwrap();
    connection.script(&alter("a")).await.unwrap();
    assert_eq!(connection.rows(&select, &[]).await.unwrap(), [[Value::Int(1), text("x")]]);
    connection.script("deallocate all").await.unwrap();
    assert_eq!(connection.rows(&select, &[]).await.unwrap()[0].len(), 2);

    // Within a transaction, what went before would be lost.
    connection.begin(&Begin::default()).await.unwrap();
    connect().await.script(&alter("b")).await.unwrap();
    let error = connection.rows(&select, &[]).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Conflict, Outcome::NotApplied));
    assert_eq!(error.retry(), switchboard_core::Retry::Later);
    connection.rollback().await.unwrap();
    assert_eq!(connection.rows(&select, &[]).await.unwrap()[0].len(), 3);
    table.drop().await;
}

#[tokio::test]
async fn the_native_client_works_beside_ours_on_postgres() {
    let driver = driver(&config());
    let mut connection = driver.connect(Lane::Write).await.unwrap();
    for _ in 0..2 {
        let client = connection.native().downcast_mut::<tokio_postgres::Client>().unwrap();
        let row = client.query_one("select 1 + $1::int4", &[&41]).await.unwrap();
        assert_eq!(row.get::<_, i32>(0), 42);
        client.batch_execute("begin").await.unwrap();
        assert_eq!(connection.state(), State::InTransaction);
        connection.rollback().await.unwrap();
        assert_eq!(connection.state(), State::Idle);
    }
    let sql: Arc<str> = "select 1".into();
    connection.query(Statement { sql: &sql, values: &[], is_kept: true }).await.unwrap();
    assert_eq!(connection.recover().await.unwrap(), State::Idle);
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_session_ends_with_a_goodbye_on_postgres() {
    let mut watcher = connect().await;
    for is_native in [false, true] {
        let mut connection = connect().await;
        let process = Value::Int(connection.id().unwrap().parse().unwrap());
        assert_eq!(connection.one("select pg_backend_pid()", &[]).await.unwrap(), process);
        if is_native {
            connection.native();
        }
        Box::new(connection).close().await.unwrap();
        // The server takes a moment to go; each question is one.
        let gone = "select count(*) from pg_stat_activity where pid = $1::int4";
        while watcher.one(gone, std::slice::from_ref(&process)).await.unwrap() != Value::Int(0) {}
    }
}

#[tokio::test]
async fn behind_a_pooler_nothing_is_left_on_the_server_by_name_on_postgres() {
    let config = PostgresConfig { pooler: Pooler::Transaction, ..config() };
    let mut connection = driver(&config).open().await.unwrap();
    let table = Table::new(&mut connection, "id int, name text").await;
    let rows = [vec![Value::Int(1), text("a")], vec![Value::Int(2), text("b")]];
    let target = crate::BulkTarget::new(&table.0, &["id", "name"]);
    assert_eq!(connection.bulk(target, &rows).await.unwrap(), 2);
    let select = format!("select name, id from {} where id = $1 and name = $2", table.0);
    for _ in 0..3 {
        let found = connection.rows(&select, &[Value::Int(2), text("b")]).await.unwrap();
        assert_eq!(found, [[text("b"), Value::Int(2)]]);
    }
    let update = format!("update {} set id = $1", table.0);
    assert_eq!(connection.does(&update, &[Value::Int(3)]).await.unwrap(), 2);
    assert_eq!(
        connection.rows(&update, &[text("x")]).await.unwrap_err().kind(),
        ErrorKind::InvalidInput
    );
    connection.script(&format!("alter table {} alter id type text", table.0)).await.unwrap();
    let all = format!("select id from {} order by 1 limit 1", table.0);
    assert_eq!(connection.rows(&all, &[]).await.unwrap(), [[text("3")]]);
    connection.script(&format!("alter table {} alter id type int using 7", table.0)).await.unwrap();
    assert_eq!(connection.rows(&all, &[]).await.unwrap(), [[Value::Int(7)]]);

    connection.begin(&Begin::default()).await.unwrap();
    connection.rows("select $1::int4", &[Value::Int(1)]).await.unwrap();
    connection.commit().await.unwrap();
    let named = connection.one("select count(*) from pg_prepared_statements", &[]).await;
    assert_eq!(named.unwrap(), Value::Int(0));
    table.drop().await;
}

#[tokio::test]
async fn a_reset_forgets_what_was_prepared_with_sql_and_nothing_else_on_postgres() {
    let mut connection = connect().await;
    connection.rows("select 1", &[]).await.unwrap();
    connection.script("prepare \"Resi due\" as select 1; prepare other as select 2").await.unwrap();
    connection.reset().await.unwrap();
    let left = "select count(*) filter (where from_sql), \
        count(*) filter (where statement = 'select 1') from pg_prepared_statements";
    let left = connection.rows(left, &[]).await.unwrap();
    assert_eq!(left, [[Value::Int(0), Value::Int(1)]]);
}

#[tokio::test]
async fn a_session_whose_statements_were_taken_away_ends_with_its_reset_on_postgres() {
    for is_used in [false, true] {
        let mut connection = connect().await;
        connection.rows("select 1", &[]).await.unwrap();
        connection.script("deallocate all").await.unwrap();
        if is_used {
            connection.rows("select 1", &[]).await.unwrap();
        }
        let error = connection.reset().await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::NotApplied));
        assert_eq!(connection.state(), State::Broken);
    }
}

#[tokio::test]
async fn a_session_that_cannot_prepare_any_more_ends_on_postgres() {
    let mut connection = connect().await;
    let name = unique("switchboard_");
    let types = format!("create type {name}_a as enum ('a'); create type {name}_b as enum ('b')");
    connection.script(&types).await.unwrap();
    connection.one(&format!("select 'a'::{name}_a"), &[]).await.unwrap();
    connection.script("deallocate all").await.unwrap();
    let error = connection.one(&format!("select 'b'::{name}_b"), &[]).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::NotApplied));
    assert_eq!(connection.state(), State::Broken);
    connect().await.script(&format!("drop type {name}_a; drop type {name}_b")).await.unwrap();
}
