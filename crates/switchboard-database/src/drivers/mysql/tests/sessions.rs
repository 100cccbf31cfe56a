//! How sessions are set up, and what of them lasts.

use std::time::Duration;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use switchboard_core::{ErrorKind, Secret};
use switchboard_testkit::unique;

use super::super::config::Session;
use super::{Scratch, count, once, query, text, try_connect, value};
use crate::drivers::mysql::{MySql, MySqlConfig, SessionConfig};
use crate::{
    Begin, DatabaseConfig, DatabaseDriver, Isolation, Lane, Savepoint, State, TlsConfig, TlsMode,
    Value,
};

#[tokio::test]
async fn a_transaction_begins_as_it_is_asked_to_on_mariadb() {
    let scratch = Scratch::new().await;
    let mut connection = scratch.connect().await;
    connection.script("CREATE TABLE t (id INT); INSERT INTO t VALUES (1)").await.unwrap();
    let limits = "SELECT CONCAT(@@max_statement_time, ' ', @@innodb_lock_wait_timeout)";
    let usual = value(&mut connection, limits, &[]).await;
    let begin = Begin {
        isolation: Some(Isolation::Serializable),
        is_read_only: true,
        statement_timeout: Some(Duration::from_millis(1_500)),
        lock_timeout: Some(Duration::from_millis(2_001)),
        ..Begin::default()
    };
    connection.begin(&begin).await.unwrap();
    let refused = once(&mut connection, "DELETE FROM t", &[]).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
    assert_eq!(value(&mut connection, limits, &[]).await, text("1.500000 3"));
    let level = "SELECT trx_isolation_level FROM information_schema.innodb_trx \
                 WHERE trx_mysql_thread_id = CONNECTION_ID()";
    count(&mut connection, "t").await;
    assert_eq!(value(&mut connection, level, &[]).await, text("SERIALIZABLE"));
    let twice = connection.begin(&begin).await.unwrap_err();
    assert_eq!(twice.kind(), ErrorKind::PreconditionFailed);
    connection.commit().await.unwrap();
    assert_eq!(value(&mut connection, limits, &[]).await, usual);
    connection.begin(&Begin::default()).await.unwrap();
    once(&mut connection, "DELETE FROM t", &[]).await.unwrap();
    connection.rollback().await.unwrap();
    connection.close().await.unwrap();
    scratch.drop().await;
}

#[tokio::test]
async fn savepoints_keep_and_take_back_what_came_after_them_on_mariadb() {
    let scratch = Scratch::new().await;
    let mut connection = scratch.connect().await;
    connection.script("CREATE TABLE t (id INT)").await.unwrap();
    connection.begin(&Begin::default()).await.unwrap();
    for (step, expected) in [(Savepoint::Release, 1), (Savepoint::RollBack, 1)] {
        connection.savepoint(Savepoint::Set, 1).await.unwrap();
        once(&mut connection, "INSERT INTO t VALUES (1)", &[]).await.unwrap();
        connection.savepoint(step, 1).await.unwrap();
        assert_eq!(count(&mut connection, "t").await, expected);
        let gone = connection.savepoint(Savepoint::Release, 1).await.unwrap_err();
        assert_eq!(
            (gone.kind(), connection.state()),
            (ErrorKind::InvalidInput, State::InTransaction)
        );
    }
    connection.commit().await.unwrap();
    connection.close().await.unwrap();
    scratch.drop().await;
}

#[tokio::test]
async fn what_changes_the_schema_ends_the_transaction_and_the_state_says_so_on_mariadb() {
    let scratch = Scratch::new().await;
    let mut connection = scratch.connect().await;
    for sql in ["CREATE TABLE t (id INT)", "CREATE TABLE t (id INT)"] {
        connection.begin(&Begin::default()).await.unwrap();
        // The second time it is an error, and the transaction is over all the same.
        let _ = once(&mut connection, sql, &[]).await;
        assert_eq!(connection.state(), State::Idle);
    }
    connection.close().await.unwrap();
    scratch.drop().await;
}

#[tokio::test]
async fn a_failed_statement_leaves_the_transaction_as_it_was_on_mariadb() {
    let scratch = Scratch::new().await;
    let mut connection = scratch.connect().await;
    connection.begin(&Begin::default()).await.unwrap();
    once(&mut connection, "SELECT nothing", &[]).await.unwrap_err();
    assert_eq!(connection.state(), State::InTransaction);
    connection.rollback().await.unwrap();
    let script = "START TRANSACTION; SELECT 1; SELECT nothing; COMMIT";
    connection.script(script).await.unwrap_err();
    assert_eq!(connection.state(), State::InTransaction, "the server is asked after an error");
    connection.rollback().await.unwrap();
    for empty in ["", " ; ", "-- nothing\n", "DO 1; /* no more */"] {
        connection.script(empty).await.unwrap();
    }
    connection.close().await.unwrap();
    scratch.drop().await;
}

#[tokio::test]
async fn a_reset_forgets_what_a_user_left_and_sets_up_again_on_mariadb() {
    let scratch = Scratch::new().await;
    let session = SessionConfig {
        statement_timeout: Some(Duration::from_secs(7)),
        lock_timeout: Some(Duration::from_secs(8)),
    };
    let config = MySqlConfig { session, ..scratch.config.clone() };
    let mut connection = super::connect(&config).await;
    let about = "SELECT CONCAT_WS(' ', @@time_zone, @@character_set_results, @@sql_mode, \
                 @@max_statement_time, @@innodb_lock_wait_timeout)";
    let before = value(&mut connection, about, &[]).await;
    let Value::Text(said) = &before else { panic!("{before:?}") };
    assert!(said.starts_with("+00:00 utf8mb4 ") && said.ends_with(" 7.000000 8"), "{said}");
    assert!(said.contains("STRICT_ALL_TABLES") && !said.contains("ANSI_QUOTES"), "{said}");
    connection
        .script(
            "SET time_zone = '+05:00', sql_mode = 'ANSI', max_statement_time = 1, @mine = 1;
             SET NAMES latin1; CREATE TEMPORARY TABLE mine (id INT); START TRANSACTION",
        )
        .await
        .unwrap();
    connection.reset().await.unwrap();
    assert_eq!(connection.state(), State::Idle);
    assert_eq!(value(&mut connection, about, &[]).await, before);
    assert_eq!(value(&mut connection, "SELECT @mine", &[]).await, Value::Null);
    query(&mut connection, "SELECT * FROM mine", &[]).await.unwrap_err();
    connection.close().await.unwrap();
    scratch.drop().await;
}

#[tokio::test]
async fn a_database_that_is_only_read_refuses_all_else_on_mariadb() {
    let scratch = Scratch::new().await;
    let mut writer = scratch.connect().await;
    writer.script("CREATE TABLE t (id INT)").await.unwrap();
    let common = DatabaseConfig { read_only: true, ..DatabaseConfig::default() };
    let mut reader = try_connect(&scratch.config, &common).await.unwrap();
    for is_reset in [false, true] {
        if is_reset {
            reader.reset().await.unwrap();
        }
        for sql in ["INSERT INTO t VALUES (1)", "CREATE TABLE u (id INT)"] {
            let refused = once(&mut reader, sql, &[]).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::PermissionDenied, "{sql}");
            reader.begin(&Begin::default()).await.unwrap();
            let refused = once(&mut reader, "INSERT INTO t VALUES (1)", &[]).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::PermissionDenied, "{sql}");
            reader.rollback().await.unwrap();
        }
        assert_eq!(count(&mut reader, "t").await, 0);
    }
    scratch.drop().await;
}

#[tokio::test]
async fn the_client_of_the_library_is_at_hand_and_what_it_did_is_seen_on_mariadb() {
    let scratch = Scratch::new().await;
    let mut connection = scratch.connect().await;
    for (sql, state) in [
        ("START TRANSACTION", State::InTransaction),
        ("SELECT 1", State::InTransaction),
        ("COMMIT", State::Unknown),
    ] {
        let conn = connection.native().downcast_mut::<Conn>().unwrap();
        conn.query_drop(sql).await.unwrap();
        assert_eq!(connection.state(), state, "{sql}");
        if sql == "START TRANSACTION" {
            connection.ping().await.unwrap();
        }
    }
    assert_eq!(connection.recover().await.unwrap(), State::Idle);
    connection.close().await.unwrap();
    scratch.drop().await;
}

#[tokio::test]
async fn a_password_of_any_signs_lets_in_from_wherever_it_comes_on_mariadb() {
    let scratch = Scratch::new().await;
    let mut root = scratch.connect().await;
    let (user, password) = (unique("u"), "p@ss:/w?o#rd% é'");
    root.script(&format!(
        "CREATE USER {user} IDENTIFIED BY 'p@ss:/w?o#rd% é\\''; GRANT ALL ON *.* TO {user}"
    ))
    .await
    .unwrap();
    let base = MySqlConfig { user: Some(user.clone()), ..scratch.config.clone() };
    let url = switchboard_testkit::service_url("mariadb", "mysql://root@127.0.0.1:3306");
    let place = url.rsplit_once('@').unwrap().1;
    let address = format!("mariadb://{user}:p%40ss%3A%2Fw%3Fo%23rd%25%20%C3%A9'@{place}");
    let in_address =
        MySqlConfig { url: Some(Secret::from(address)), user: None, ..scratch.config.clone() };
    let apart = MySqlConfig { password: Some(Secret::from(password)), ..base.clone() };
    let common = DatabaseConfig::default();
    for config in [&in_address, &apart] {
        let driver = MySql::new(config, &common).unwrap();
        assert!(!format!("{driver:?} {config:?}").contains("p@ss"));
        let mut connection = driver.connect(Lane::Write).await.unwrap();
        assert_eq!(value(&mut connection, "SELECT SUBSTRING_INDEX(USER(), '@', 1)", &[]).await, {
            text(&user)
        });
        connection.close().await.unwrap();
    }
    let asked = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let counted = std::sync::Arc::clone(&asked);
    let driver = MySql::new(&base, &common).unwrap().with_password(move || {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        async { Ok(Secret::from("p@ss:/w?o#rd% é'")) }
    });
    for _ in 0..2 {
        driver.connect(Lane::Write).await.unwrap().close().await.unwrap();
    }
    assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), 2);
    root.script(&format!("DROP USER {user}")).await.unwrap();
    scratch.drop().await;
}

#[test]
fn an_address_that_is_none_is_a_mistake_of_the_configuration_and_is_not_shown() {
    for url in
        ["", "postgres://s3cret@host", "mysql://", "mysql://h:s3cret", "mysql://s3cret@h/d?x=1"]
    {
        let config = MySqlConfig { url: Some(Secret::from(url)), ..MySqlConfig::default() };
        let error = MySql::new(&config, &DatabaseConfig::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{url}");
        assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
    }
}

#[test]
fn what_is_set_beside_an_address_wins_for_mysql() {
    let addressed = MySqlConfig { url: Some("mysql://u:p@a:1/d".into()), ..MySqlConfig::default() };
    let options =
        |config: &MySqlConfig| config.options(&Session::new(config, &DatabaseConfig::default()));
    let told = |config: &MySqlConfig| {
        let options = options(config).unwrap();
        let [user, pass, database, socket] =
            [options.user(), options.pass(), options.db_name(), options.socket()]
                .map(|part| part.unwrap_or("none").to_owned());
        (
            format!("{}:{}", options.ip_or_hostname(), options.tcp_port()),
            user,
            pass,
            database,
            socket,
        )
    };
    let of = |place: &str, [user, pass, database, socket]: [&str; 4]| {
        (place.to_owned(), user.into(), pass.into(), database.into(), socket.into())
    };
    assert_eq!(told(&addressed), of("a:1", ["u", "p", "d", "none"]));
    let host = MySqlConfig { host: Some("b".to_owned()), ..addressed.clone() };
    assert_eq!(told(&host), of("b:1", ["u", "p", "d", "none"]));
    let all = MySqlConfig {
        port: Some(2),
        user: Some("v".to_owned()),
        password: Some("q".into()),
        database: Some("e".to_owned()),
        ..host.clone()
    };
    assert_eq!(told(&all), of("b:2", ["v", "q", "e", "none"]));
    let socket = Some("/run/s".to_owned());
    let local = MySqlConfig { socket: socket.clone(), ..addressed };
    assert_eq!(told(&local).4, "/run/s");
    let error = options(&MySqlConfig { socket, ..host }).unwrap_err();
    assert_eq!((error.kind(), error.context_value("setting")), (ErrorKind::Config, Some("socket")));
}

#[test]
fn encryption_that_cannot_be_had_is_a_mistake_of_the_configuration() {
    let with = |mode, socket: Option<&str>| {
        let tls = TlsConfig { mode, ..TlsConfig::default() };
        let socket = socket.map(str::to_owned);
        let config = MySqlConfig { socket, tls, ..MySqlConfig::default() };
        MySql::new(&config, &DatabaseConfig::default())
    };
    for mode in [TlsMode::Required, TlsMode::VerifyCa, TlsMode::VerifyFull] {
        let error = with(mode, Some("/socket")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert_eq!(error.context_value("setting"), Some("tls.mode"));
    }
    with(TlsMode::Preferred, Some("/socket")).unwrap();
    with(TlsMode::VerifyFull, None).unwrap();
}

#[tokio::test]
async fn a_server_that_does_not_encrypt_is_refused_where_that_is_required_on_mariadb() {
    let scratch = Scratch::new().await;
    let tls = TlsConfig { mode: TlsMode::Required, ..TlsConfig::default() };
    let config = MySqlConfig { tls, ..scratch.config.clone() };
    let error = try_connect(&config, &DatabaseConfig::default()).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    scratch.drop().await;
}
