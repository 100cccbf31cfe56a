//! Addresses, and what sessions begin with.

use std::time::Duration;

use switchboard_core::Settings;

use super::*;
use crate::{TlsConfig, TlsMode};

fn addressed(url: &str) -> PostgresConfig {
    PostgresConfig { url: Some(url.into()), ..PostgresConfig::default() }
}

fn places(config: &PostgresConfig) -> Vec<(String, u16)> {
    let target = config.target(false).unwrap();
    target.places.into_iter().map(|place| (place.name, place.port)).collect()
}

fn place(name: &str, port: u16) -> (String, u16) {
    (name.to_owned(), port)
}

#[test]
fn an_address_names_places_and_its_parts_may_be_replaced_for_postgres() {
    let cases = [
        ("postgres://u@a/db", vec![place("a", 5432)]),
        ("postgresql://u:p@a:1,[::1]:2/db", vec![place("a", 1), place("::1", 2)]),
        ("postgres:///db?host=/run/x&port=7", vec![place("/run/x", 7)]),
        ("postgres://u@%2Frun%2Fx/db", vec![place("/run/x", 5432)]),
    ];
    for (url, expected) in cases {
        assert_eq!(places(&addressed(url)), expected, "{url}");
    }
    let parts = PostgresConfig {
        host: Some("b".to_owned()),
        user: Some("other".to_owned()),
        password: Some("p@:/?#[]%".into()),
        database: Some("other db".to_owned()),
        ..addressed("postgres://u:p@a:1,c:2/db")
    };
    assert_eq!(places(&parts), [place("b", 1)]);
    let port = PostgresConfig { port: Some(7), ..addressed("postgres://u:p@a:1,c:2/db") };
    assert_eq!(places(&port), [place("a", 7), place("c", 7)]);
    let client = parts.target(false).unwrap().client;
    assert_eq!(client.get_password(), Some(&b"p@:/?#[]%"[..]));
    assert_eq!((client.get_user(), client.get_dbname()), (Some("other"), Some("other db")));
    let escaped = addressed("postgres://u:p%40%3A%2F@a/db").target(false).unwrap();
    assert_eq!(escaped.client.get_password(), Some(&b"p@:/"[..]));
}

#[test]
fn a_wrong_address_is_a_mistake_of_the_configuration_and_is_not_shown_for_postgres() {
    let cases = [
        "",
        "mysql://u:secret@a/db",
        "host=a password=secret",
        "postgres://u:secret@a:x/db",
        "postgres://u:secret@/db",
        "postgres://u:secret@a/db?nonsense=secret",
        "postgres://u:secret@a/db?sslmode=maybe",
        "postgres://u:secret@[::1/db",
    ];
    for url in cases {
        let error = built(&addressed(url), &DatabaseConfig::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{url}");
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    }
}

#[test]
fn an_address_may_say_how_it_is_encrypted_for_postgres() {
    let target =
        addressed("postgres://a/db?sslmode=verify-ca&sslrootcert=%2Fca.pem&application_name=x");
    let target = target.target(false).unwrap();
    let expected =
        TlsConfig { mode: TlsMode::VerifyCa, ca: Some("/ca.pem".into()), ..TlsConfig::default() };
    assert_eq!((target.tls, target.client.get_application_name()), (expected, Some("x")));
    let tls = TlsConfig { mode: TlsMode::Off, ..TlsConfig::default() };
    let twice = PostgresConfig { tls, ..addressed("postgres://a/db?sslmode=require") };
    assert_eq!(twice.target(false).map(drop).unwrap_err().kind(), ErrorKind::Config);
}

#[test]
fn settings_are_read_and_mistakes_in_them_found_for_postgres() {
    let settings = Settings::new()
        .with("host", "db")
        .with("pooler", "transaction")
        .with("statement_cache", 7)
        .with("tls", Settings::new().with("mode", "verify-full"));
    let config: PostgresConfig = settings.decode().unwrap();
    assert_eq!((config.pooler, config.statement_cache), (Pooler::Transaction, 7));
    assert_eq!(config.tls.mode, TlsMode::VerifyFull);
    assert!(settings.with("hots", "db").decode::<PostgresConfig>().is_err());
}

#[tokio::test]
async fn a_session_begins_as_its_settings_say_on_postgres() {
    let session = SessionConfig {
        statement_timeout: Some(Duration::from_millis(61_500)),
        lock_timeout: Some(Duration::from_secs(2)),
        idle_in_transaction_timeout: Some(Duration::from_mins(1)),
        application_name: Some("an application".to_owned()),
        search_path: Some("\"a b\", pg_catalog".to_owned()),
        timezone: Some("Asia/Kolkata".to_owned()),
    };
    let config = PostgresConfig { session, ..config() };
    let common = DatabaseConfig { read_only: true, ..DatabaseConfig::default() };
    let mut connection = built(&config, &common).unwrap().open().await.unwrap();
    let names = [
        ("statement_timeout", "61500ms"),
        ("lock_timeout", "2s"),
        ("idle_in_transaction_session_timeout", "1min"),
        ("application_name", "an application"),
        ("search_path", "\"a b\", pg_catalog"),
        ("TimeZone", "Asia/Kolkata"),
        ("transaction_read_only", "on"),
    ];
    for _ in 0..2 {
        for (name, value) in names {
            let found = connection.one("select current_setting($1::text)", &[text(name)]).await;
            assert_eq!(found.unwrap(), text(value), "{name}");
        }
        let error = connection.script("create table nowhere (id int)").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        connection
            .script("set search_path = public; set timezone = 'UTC'; reset all")
            .await
            .unwrap();
        connection.script("set lock_timeout = 0; set transaction_read_only = off").await.unwrap();
        connection.reset().await.unwrap();
    }
    let pooled = PostgresConfig { pooler: Pooler::Transaction, ..config };
    assert_eq!(built(&pooled, &common).unwrap_err().kind(), ErrorKind::Config);
}

#[tokio::test]
async fn the_first_place_that_answers_and_has_the_role_is_taken_on_postgres() {
    let good = config().target(false).unwrap().places.remove(0);
    let url = format!("postgres://postgres@127.0.0.1:1,{}:{}/postgres", good.name, good.port);
    assert!(driver(&addressed(&url)).open().await.is_ok());
    let standby = format!("{url}?target_session_attrs=read-only");
    let error = driver(&addressed(&standby)).open().await.unwrap_err();
    assert_eq!((error.kind(), error.related().len()), (ErrorKind::Unavailable, 2));
}

#[tokio::test]
async fn a_password_is_asked_for_each_connection_on_postgres() {
    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let driver = driver(&config()).with_password(move || {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Reply::ready(Ok(Secret::from("p")))
    });
    for count in 1..=2 {
        driver.open().await.unwrap();
        assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), count);
    }
    let refused = driver.with_password(|| {
        Reply::ready(Err(Error::new(ErrorKind::Unavailable, "nobody knows the password")))
    });
    let error = refused.open().await.unwrap_err();
    assert_eq!(error.message(), "nobody knows the password");
}

#[test]
fn the_port_of_an_address_stays_where_another_host_is_said_on_postgres() {
    let mut config = PostgresConfig {
        url: Some(Secret::from("postgres://u@a:6543/d".to_owned())),
        host: Some("b".to_owned()),
        ..PostgresConfig::default()
    };
    let port = |config: &PostgresConfig| config.target(false).unwrap().places[0].port;
    assert_eq!(port(&config), 6543);
    config.port = Some(7000);
    assert_eq!(port(&config), 7000);
}
