//! What errors mean, and what they do not tell.

use std::net::SocketAddr;

use switchboard_core::{Class, ErrorKind, Outcome, Retry, Secret};
use switchboard_testkit::{Direction, Moment, Wire, service_url, unique};

use super::giving_up::until_asleep;
use super::{Scratch, count, execute, once, query, try_connect};
use crate::drivers::mysql::MySqlConfig;
use crate::{Begin, Connection, DatabaseConfig, State, Value, Violation};

#[tokio::test]
async fn violations_name_their_constraints_and_no_values_on_mariadb() {
    let scratch = Scratch::new().await;
    let mut connection = scratch.connect().await;
    connection
        .script(
            "CREATE TABLE p (id INT PRIMARY KEY); INSERT INTO p VALUES (1);
             CREATE TABLE t (
                 id INT NOT NULL, email VARCHAR(90), age INT, parent INT,
                 CONSTRAINT `email of t` UNIQUE (email),
                 CONSTRAINT adult CHECK (age >= 18),
                 CONSTRAINT family FOREIGN KEY (parent) REFERENCES p (id)
             );
             INSERT INTO t VALUES (1, 'for key ''s3cret''', 20, 1)",
        )
        .await
        .unwrap();
    let insert = "INSERT INTO t VALUES (?, ?, ?, ?)";
    let email = Value::Text("for key 's3cret'".to_owned());
    let (one, null) = (Value::Int(1), Value::Null);
    let cases: [(&[Value; 4], _, _, _); 4] = [
        (
            &[one.clone(), email, null.clone(), null.clone()],
            Violation::Unique,
            ErrorKind::AlreadyExists,
            Some("email of t"),
        ),
        (
            &[one.clone(), null.clone(), Value::Int(17), null.clone()],
            Violation::Check,
            ErrorKind::InvalidInput,
            Some("adult"),
        ),
        (
            &[one.clone(), null.clone(), null.clone(), Value::Int(77)],
            Violation::ForeignKey,
            ErrorKind::PreconditionFailed,
            Some("family"),
        ),
        (
            &[null.clone(), null.clone(), null.clone(), null],
            Violation::NotNull,
            ErrorKind::InvalidInput,
            Some("id"),
        ),
    ];
    for (values, violation, kind, constraint) in cases {
        let error = execute(&mut connection, insert, values).await.unwrap_err();
        assert_eq!((Violation::of(&error), error.kind()), (Some(violation), kind), "{error:?}");
        assert_eq!(error.context_value("constraint"), constraint);
        assert_eq!(error.outcome(), Outcome::NotApplied);
        assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        if violation == Violation::NotNull {
            assert_eq!(error.context_value("column"), Some("id"));
        }
    }
    let error = once(&mut connection, "DELETE FROM p", &[]).await.unwrap_err();
    assert_eq!(error.context_value("constraint"), Some("family"));
    connection.close().await.unwrap();
    scratch.drop().await;
}

#[tokio::test]
async fn what_the_server_refuses_has_its_kind_on_mariadb() {
    let scratch = Scratch::new().await;
    let mut connection = scratch.connect().await;
    connection.script("CREATE TABLE t (id INT, s VARCHAR(2))").await.unwrap();
    let cases = [
        ("SELEC 1", ErrorKind::InvalidInput, "1064"),
        ("SELECT * FROM nothing", ErrorKind::InvalidInput, "1146"),
        ("SELECT nothing FROM t", ErrorKind::InvalidInput, "1054"),
        ("SELECT nothing()", ErrorKind::InvalidInput, "1305"),
        ("CREATE TABLE t (id INT)", ErrorKind::AlreadyExists, "1050"),
        ("USE no_such_database", ErrorKind::NotFound, "1049"),
        ("INSERT INTO t (s) VALUES ('long')", ErrorKind::InvalidInput, "1406"),
        ("INSERT INTO t (id) VALUES (9999999999)", ErrorKind::InvalidInput, "1264"),
        (
            "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 's3cret'",
            ErrorKind::PreconditionFailed,
            "1644",
        ),
        ("SET STATEMENT max_statement_time = 0.01 FOR SELECT SLEEP(5)", ErrorKind::Timeout, "1969"),
    ];
    for (sql, kind, code) in cases {
        let error = query(&mut connection, sql, &[]).await.unwrap_err();
        assert_eq!((error.kind(), error.context_value("code")), (kind, Some(code)), "{error:?}");
        assert_eq!(
            (error.outcome(), error.retry()),
            (
                Outcome::NotApplied,
                match kind {
                    ErrorKind::Timeout => error.retry(),
                    _ => Retry::Never,
                }
            )
        );
        assert!(!format!("{error:?}").contains("s3cret"));
        assert_eq!(connection.state(), State::Idle);
    }
    connection.close().await.unwrap();
    scratch.drop().await;
}

#[tokio::test]
async fn two_transactions_that_wait_for_each_other_are_a_conflict_for_one_on_mariadb() {
    let scratch = Scratch::new().await;
    let (mut one, mut other) = (scratch.connect().await, scratch.connect().await);
    one.script("CREATE TABLE t (id INT PRIMARY KEY, n INT); INSERT INTO t VALUES (1, 0), (2, 0)")
        .await
        .unwrap();
    let take = "UPDATE t SET n = n + 1 WHERE id = ?";
    for (connection, id) in [(&mut one, 1), (&mut other, 2)] {
        connection.begin(&Begin::default()).await.unwrap();
        execute(connection, take, &[Value::Int(id)]).await.unwrap();
    }
    let (of_one, of_other) = (&[Value::Int(2)], &[Value::Int(1)]);
    let (first, second) =
        tokio::join!(execute(&mut one, take, of_one), execute(&mut other, take, of_other));
    let (error, victim, survivor) = match (first, second) {
        (Err(error), Ok(_)) => (error, &mut one, &mut other),
        (Ok(_), Err(error)) => (error, &mut other, &mut one),
        both => panic!("{both:?}"),
    };
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Conflict, Retry::Later));
    assert_eq!(error.outcome(), Outcome::NotApplied);
    assert_eq!(victim.state(), State::Idle, "the server has rolled it back");
    assert_eq!(survivor.state(), State::InTransaction);
    survivor.commit().await.unwrap();
    scratch.drop().await;
}

#[tokio::test]
async fn a_lock_that_is_held_too_long_is_a_conflict_and_the_transaction_goes_on_on_mariadb() {
    let scratch = Scratch::new().await;
    let (mut holder, mut waiter) = (scratch.connect().await, scratch.connect().await);
    holder.script("CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1)").await.unwrap();
    holder.begin(&Begin::default()).await.unwrap();
    once(&mut holder, "DELETE FROM t", &[]).await.unwrap();
    waiter.begin(&Begin::default()).await.unwrap();
    once(&mut waiter, "SET innodb_lock_wait_timeout = 0", &[]).await.unwrap();
    let error = once(&mut waiter, "DELETE FROM t", &[]).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Conflict, Retry::Later), "{error:?}");
    assert_eq!(waiter.state(), State::InTransaction);
    waiter.rollback().await.unwrap();
    holder.rollback().await.unwrap();
    scratch.drop().await;
}

#[tokio::test]
async fn who_may_not_come_in_is_told_why_on_mariadb() {
    let scratch = Scratch::new().await;
    let common = DatabaseConfig::default();
    let nobody = MySqlConfig {
        user: Some(unique("nobody")),
        password: Some(Secret::from("s3cret")),
        ..scratch.config.clone()
    };
    let nowhere = MySqlConfig { database: Some(unique("nowhere")), ..scratch.config.clone() };
    let closed = MySqlConfig { port: Some(1), ..scratch.config.clone() };
    for (config, kind) in [
        (nobody, ErrorKind::Unauthenticated),
        (nowhere, ErrorKind::NotFound),
        (closed, ErrorKind::Unavailable),
    ] {
        let error = try_connect(&config, &common).await.err().unwrap();
        assert_eq!((error.kind(), error.outcome()), (kind, Outcome::NotApplied), "{error:?}");
        assert!(!format!("{error:?}").contains("s3cret"));
    }
    scratch.drop().await;
}

#[tokio::test]
async fn a_killed_connection_is_an_outage_and_of_no_use_any_more_on_mariadb() {
    let scratch = Scratch::new().await;
    let mut killer = scratch.connect().await;
    killer.script("CREATE TABLE t (id INT PRIMARY KEY)").await.unwrap();
    for is_running in [true, false] {
        let mut victim = scratch.connect().await;
        victim.begin(&Begin::default()).await.unwrap();
        once(&mut victim, "INSERT INTO t VALUES (1)", &[]).await.unwrap();
        let kill = format!("KILL CONNECTION {}", victim.id().unwrap());
        let error = if is_running {
            let running = query(&mut victim, "SELECT SLEEP(30)", &[]);
            let (running, ()) = tokio::join!(running, kill_when_asleep(&mut killer, &kill));
            running.unwrap_err()
        } else {
            killer.script(&kill).await.unwrap();
            query(&mut victim, "SELECT 1", &[]).await.unwrap_err()
        };
        assert_eq!((error.kind(), error.class()), (ErrorKind::Unavailable, Class::Outage));
        assert_ne!(error.outcome(), Outcome::Applied);
        assert_eq!(victim.state(), State::Broken);
        let later = query(&mut victim, "SELECT 1", &[]).await.unwrap_err();
        assert_eq!(later.outcome(), Outcome::NotApplied);
        assert!(victim.recover().await.is_err());
        assert_eq!(count(&mut killer, "t").await, 0);
    }
    scratch.drop().await;
}

async fn kill_when_asleep(killer: &mut Box<dyn Connection>, kill: &str) {
    until_asleep(killer, kill.rsplit(' ').next().unwrap()).await;
    killer.script(kill).await.unwrap();
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_in_doubt_on_mariadb() {
    let scratch = Scratch::new().await;
    let mut witness = scratch.connect().await;
    witness.script("CREATE TABLE t (id INT PRIMARY KEY)").await.unwrap();
    for (moment, expected) in [(Moment::Before, 0), (Moment::After, 1)] {
        let wire = Wire::to(server()).await;
        let config = MySqlConfig {
            host: Some(wire.address().ip().to_string()),
            port: Some(wire.address().port()),
            ..scratch.config.clone()
        };
        let mut connection = try_connect(&config, &DatabaseConfig::default()).await.unwrap();
        connection.begin(&Begin::default()).await.unwrap();
        once(&mut connection, "INSERT INTO t VALUES (1)", &[]).await.unwrap();
        let trap = wire.cut_when(Direction::ToServer, b"COMMIT", moment);
        let error = connection.commit().await.unwrap_err();
        trap.sprung().await;
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::Unknown));
        assert_eq!(connection.state(), State::Broken);
        until_gone(&mut witness, &connection.id().unwrap()).await;
        assert_eq!(count(&mut witness, "t").await, expected, "{moment:?}");
    }
    scratch.drop().await;
}

/// Where the server itself is.
fn server() -> SocketAddr {
    let url = service_url("mariadb", "mysql://root@127.0.0.1:3306");
    let rest = url.rsplit_once('@').map_or(&*url, |(_, rest)| rest);
    rest.split('/').next().unwrap().parse().unwrap()
}

async fn until_gone(witness: &mut Box<dyn Connection>, id: &str) {
    let sql = format!("SELECT 1 FROM information_schema.processlist WHERE id = {id}");
    while !query(witness, &sql, &[]).await.unwrap().rows.is_empty() {}
}
