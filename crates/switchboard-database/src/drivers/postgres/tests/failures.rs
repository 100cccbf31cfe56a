//! What goes wrong, and what is said of it.

use switchboard_core::Retry;
use switchboard_testkit::{Direction, Moment, Wire};

use super::*;
use crate::{TlsConfig, TlsMode};

/// Kind, outcome and code of what comes of `sql`.
async fn told(connection: &mut PostgresConnection, sql: &str) -> (ErrorKind, Outcome, String) {
    let error = connection.script(sql).await.unwrap_err();
    let code = error.context_value("code").unwrap_or_default().to_owned();
    (error.kind(), error.outcome(), code)
}

#[tokio::test]
async fn codes_of_the_server_have_their_kinds_on_postgres() {
    let mut connection = connect().await;
    let cases = [
        ("selec 1", ErrorKind::InvalidInput, "42601"),
        ("select * from no_such_table", ErrorKind::InvalidInput, "42P01"),
        ("select no_such_column", ErrorKind::InvalidInput, "42703"),
        ("select no_such_function()", ErrorKind::InvalidInput, "42883"),
        (
            "create temp table t (v varchar(3)); insert into t values ('abcd')",
            ErrorKind::InvalidInput,
            "22001",
        ),
        ("select 32768::int2", ErrorKind::InvalidInput, "22003"),
        ("select 'x'::int4", ErrorKind::InvalidInput, "22P02"),
        ("select '2024-02-30'::date", ErrorKind::InvalidInput, "22008"),
        ("begin read only; create table nowhere (id int)", ErrorKind::PermissionDenied, "25006"),
        (
            "rollback; set role pg_monitor; select * from pg_authid",
            ErrorKind::PermissionDenied,
            "42501",
        ),
        (
            "reset role; do $$ begin raise exception 'no'; end $$",
            ErrorKind::PreconditionFailed,
            "P0001",
        ),
        ("savepoint s", ErrorKind::PreconditionFailed, "25P01"),
    ];
    for (sql, kind, code) in cases {
        let found = told(&mut connection, sql).await;
        assert_eq!(found, (kind, Outcome::NotApplied, code.to_owned()), "{sql}");
        connection.rollback().await.unwrap();
    }
    connection.script("set statement_timeout = 1").await.unwrap();
    let found = told(&mut connection, "select pg_sleep(600)").await;
    assert_eq!(found, (ErrorKind::Timeout, Outcome::NotApplied, "57014".to_owned()));
}

#[tokio::test]
async fn a_violation_names_its_constraint_and_no_value_on_postgres() {
    let mut connection = connect().await;
    let table = Table::new(
        &mut connection,
        "id int primary key, name text not null, \
        size int constraint size_is_small check (size < 10), parent int",
    )
    .await;
    let name = &table.0;
    connection
        .script(&format!(
            "alter table {name} add constraint has_parent foreign key (parent) references {name}"
        ))
        .await
        .unwrap();
    connection.script(&format!("insert into {name} values (4711, 'a', 1, null)")).await.unwrap();
    let key = format!("{name}_pkey");
    let cases = [
        ("4711, 'a', 1, null", Violation::Unique, key.as_str()),
        ("1, null, 4711, null", Violation::NotNull, "name"),
        ("1, 'a', 4711, null", Violation::Check, "size_is_small"),
        ("1, 'a', 1, 14711", Violation::ForeignKey, "has_parent"),
    ];
    for (values, violation, constraint) in cases {
        let sql = format!("insert into {name} values ({values})");
        let error = connection.does(&sql, &[]).await.unwrap_err();
        assert_eq!(Violation::of(&error), Some(violation), "{error:?}");
        assert_eq!(error.context_value("constraint"), Some(constraint));
        assert_eq!(error.context_value("table"), Some(name.as_str()));
        assert_eq!(error.outcome(), Outcome::NotApplied);
        assert!(!format!("{error:?}").contains("4711"), "{error:?}");
    }
    table.drop().await;
}

#[tokio::test]
async fn transactions_that_meet_can_be_run_again_on_postgres() {
    let (mut one, mut other) = (connect().await, connect().await);
    let table = Table::new(&mut one, "id int primary key, n int").await;
    let name = &table.0;
    one.script(&format!("insert into {name} values (1, 0), (2, 0)")).await.unwrap();
    let update = |id: i32| format!("update {name} set n = n + 1 where id = {id}");

    let serial = Begin { isolation: Some(crate::Isolation::Serializable), ..Begin::default() };
    one.begin(&serial).await.unwrap();
    one.does(&update(1), &[]).await.unwrap();
    other.begin(&serial).await.unwrap();
    other.one(&format!("select n from {name} where id = 1"), &[]).await.unwrap();
    one.commit().await.unwrap();
    let met = other.does(&update(1), &[]).await.unwrap_err();
    other.rollback().await.unwrap();

    for connection in [&mut one, &mut other] {
        connection.begin(&Begin::default()).await.unwrap();
        connection.script("set local deadlock_timeout = '10ms'").await.unwrap();
    }
    one.does(&update(1), &[]).await.unwrap();
    other.does(&update(2), &[]).await.unwrap();
    let (second, first) = (update(2), update(1));
    let (a, b) = tokio::join!(one.does(&second, &[]), other.does(&first, &[]));
    let dead = a.err().or(b.err()).unwrap();

    one.rollback().await.unwrap();
    other.rollback().await.unwrap();
    one.begin(&Begin::default()).await.unwrap();
    one.does(&update(1), &[]).await.unwrap();
    let busy = other.script(&format!("set lock_timeout = 1; {}", update(1))).await.unwrap_err();
    one.rollback().await.unwrap();
    for (error, code) in [(met, "40001"), (dead, "40P01"), (busy, "55P03")] {
        assert_eq!(error.context_value("code"), Some(code), "{error:?}");
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert_eq!((error.retry(), error.outcome()), (Retry::Later, Outcome::NotApplied));
    }
    table.drop().await;
}

#[tokio::test]
async fn who_is_not_let_in_learns_why_and_no_secret_on_postgres() {
    let name = unique("switchboard_");
    let mut connection = connect().await;
    connection.script(&format!("create role {name} login connection limit 0")).await.unwrap();
    let with = |change: &dyn Fn(&mut PostgresConfig)| {
        let mut config = PostgresConfig { password: Some("secret-4711".into()), ..config() };
        change(&mut config);
        config
    };
    let cases = [
        (with(&|c| c.database = Some("no_such_database".to_owned())), ErrorKind::NotFound, "3D000"),
        (with(&|c| c.user = Some("no_such_user".to_owned())), ErrorKind::Unauthenticated, "28000"),
        (with(&|c| c.user = Some(name.clone())), ErrorKind::Overloaded, "53300"),
        (with(&|c| c.port = Some(1)), ErrorKind::Unavailable, ""),
        (with(&|c| c.host = Some("/no/such/folder".to_owned())), ErrorKind::Unavailable, ""),
        (with(&|c| c.tls.mode = TlsMode::VerifyFull), ErrorKind::Unavailable, ""),
    ];
    for (config, kind, code) in cases {
        let error = driver(&config).open().await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
        assert_eq!(error.context_value("code").unwrap_or_default(), code, "{error:?}");
        assert_eq!(error.outcome(), Outcome::NotApplied);
        assert!(!format!("{error:?} {config:?} {:?}", driver(&config)).contains("4711"));
    }
    connection.script(&format!("drop role {name}")).await.unwrap();
}

/// Ends the session of `connection` from another one.
async fn kill(connection: &PostgresConnection) {
    let process = Value::Int(connection.id().unwrap().parse().unwrap());
    let mut other = connect().await;
    let sql = "select pg_terminate_backend($1::int4, 10000)";
    assert_eq!(other.one(sql, &[process]).await.unwrap(), Value::Bool(true));
}

#[tokio::test]
async fn a_session_that_was_ended_while_nobody_looked_is_not_asked_in_vain_on_postgres() {
    for is_transaction in [false, true] {
        let mut connection = connect().await;
        if is_transaction {
            connection.begin(&Begin::default()).await.unwrap();
        }
        kill(&connection).await;
        // The network has brought the end; the runtime has to look at it.
        tokio::task::yield_now().await;
        let error = connection.one("select 1", &[]).await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Later));
        assert_eq!(error.outcome(), Outcome::NotApplied, "{error:?}");
        assert_eq!(error.context_value("code"), Some("57P01"), "{error:?}");
        assert_eq!(connection.state(), State::Broken);
        assert_eq!(connection.recover().await.unwrap_err().kind(), ErrorKind::Unavailable);
    }
}

#[tokio::test]
async fn a_session_that_is_ended_at_work_leaves_it_in_doubt_on_postgres() {
    let mut connection = connect().await;
    let process = connection.id().unwrap();
    let killing = async {
        let mut other = connect().await;
        let sql = format!(
            "select pg_terminate_backend(pid) from pg_stat_activity \
            where pid = {process} and wait_event = 'PgSleep'"
        );
        while other.rows(&sql, &[]).await.unwrap().is_empty() {}
    };
    let (error, ()) = tokio::join!(connection.one("select pg_sleep(600)", &[]), killing);
    let error = error.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::Unknown));
    assert_eq!(connection.state(), State::Broken);
}

/// A connection through a network that breaks when it is told to.
async fn through_wire() -> (Wire, PostgresConnection) {
    let target = config().target(false).unwrap();
    let place = &target.places[0];
    let server = tokio::net::lookup_host((place.name.as_str(), place.port)).await.unwrap().next();
    let wire = Wire::to(server.unwrap()).await;
    let config = PostgresConfig {
        host: Some(wire.address().ip().to_string()),
        port: Some(wire.address().port()),
        // What goes by is looked at.
        tls: TlsConfig { mode: TlsMode::Off, ..TlsConfig::default() },
        ..config()
    };
    let connection = driver(&config).open().await.unwrap();
    (wire, connection)
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_in_doubt_on_postgres() {
    for (direction, needle, rows) in
        [(Direction::ToServer, "commit", 1), (Direction::ToClient, "COMMIT", 1)]
    {
        let (wire, mut connection) = through_wire().await;
        let mut other = connect().await;
        let table = Table::new(&mut other, "id int").await;
        connection.begin(&Begin::default()).await.unwrap();
        connection.does(&format!("insert into {} values (1)", table.0), &[]).await.unwrap();
        let moment = if direction == Direction::ToServer { Moment::After } else { Moment::Before };
        let trap = wire.cut_when(direction, needle, moment);
        let error = connection.commit().await.unwrap_err();
        assert_eq!(
            (error.kind(), error.outcome()),
            (ErrorKind::Unavailable, Outcome::Unknown),
            "{error:?}"
        );
        assert_eq!(connection.state(), State::Broken);
        trap.sprung().await;
        if direction == Direction::ToClient {
            // The server had answered, so it had done it.
            assert_eq!(table.count(&mut other).await, rows);
        }
        drop(connection);
        table.drop().await;
    }
}

#[tokio::test]
async fn a_statement_cut_off_in_its_answer_is_in_doubt_and_the_connection_broken_on_postgres() {
    let (wire, mut connection) = through_wire().await;
    let _trap = wire.cut_after_bytes(Direction::ToClient, 5_000);
    let sql = "select repeat('x', 1000) from generate_series(1, 100)";
    let error = connection.rows(sql, &[]).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::Unknown));
    assert_eq!(connection.state(), State::Broken);
}

#[tokio::test]
async fn what_the_server_does_not_know_either_is_in_doubt_on_postgres() {
    let mut connection = connect().await;
    let raise = "do $$ begin raise exception sqlstate '40003'; end $$";
    let error = connection.does(raise, &[]).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown, "{error:?}");
}
