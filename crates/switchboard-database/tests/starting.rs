//! What whoever builds a database is told where there is none.

#![cfg(test)]
#![cfg(all(feature = "sqlite", feature = "postgres", feature = "mysql"))]

use std::time::Duration;

use switchboard_core::{Environment, Error, ErrorKind, Manager, Outcome, Registry, Settings};
use switchboard_database::{Databases, context};

fn databases(settings: &Settings) -> Manager<Databases> {
    let registry = Registry::with_built_ins().unwrap();
    let databases = Manager::<Databases>::new(registry, &Environment::new()).unwrap();
    databases.configure("main", settings).unwrap();
    databases
}

/// Why the database could not be built: told at once, long before a caller of the pool would give up.
async fn refusal(settings: &Settings) -> Error {
    let settings = settings.clone().with("pool", Settings::new().with("acquire_timeout", "10m"));
    let databases = databases(&settings);
    let building = tokio::time::timeout(Duration::from_mins(1), databases.get("main"));
    let error = building.await.expect("an answer").expect_err("a refusal");
    assert_eq!(error.outcome(), Outcome::NotApplied, "{error:?}");
    databases.close(Duration::from_mins(1)).await.into_result().unwrap();
    error
}

/// A port where nobody listens, and that nobody is given to listen at.
#[cfg(any(feature = "postgres", feature = "mysql"))]
const NOBODY: u16 = 1;

#[cfg(any(feature = "postgres", feature = "mysql"))]
async fn refused_port(driver: &str) {
    let settings = Settings::new()
        .with("driver", driver)
        .with("host", "127.0.0.1")
        .with("port", NOBODY)
        .with("user", "ada")
        .with("password", "not to be shown")
        .with("database", "shop");
    let error = refusal(&settings).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert_eq!(error.message(), "the server refused the connection");
    assert_eq!(error.context_value(context::ADDRESS), Some(&*format!("127.0.0.1:{NOBODY}")));
    assert!(!format!("{error:?}").contains("not to be shown"), "{error:?}");
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use switchboard_database::Statements as _;
    use switchboard_testkit::unique;

    use super::*;

    fn at(path: &std::path::Path) -> Settings {
        Settings::new().with("driver", "sqlite").with("path", path.display().to_string())
    }

    #[tokio::test]
    async fn a_database_that_is_built_has_a_connection() {
        let settings = Settings::new().with("driver", "sqlite").with("memory", true);
        let databases = databases(&settings);
        let db = databases.get("main").await.unwrap();
        assert_eq!((db.pools()[0].created, db.pools()[0].idle), (1, 1), "{:?}", db.pools());
        assert_eq!(db.select_value::<i64>("select 1", ()).await.unwrap(), 1);
        databases.close(Duration::from_mins(1)).await.into_result().unwrap();
    }

    #[tokio::test]
    async fn a_file_that_is_not_there_is_told_when_the_database_is_built() {
        let path = std::env::temp_dir().join(unique("missing"));
        let error = refusal(&at(&path).with("create", false)).await;
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
        assert_eq!(error.context_value(context::ADDRESS), Some(&*path.display().to_string()));
    }

    #[tokio::test]
    async fn a_file_that_is_no_database_is_told_when_the_database_is_built() {
        let path = std::env::temp_dir().join(unique("letter"));
        std::fs::write(&path, "Dear Ada, ".repeat(1_000)).unwrap();
        let error = refusal(&at(&path)).await;
        std::fs::remove_file(&path).unwrap();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
        assert_eq!(error.context_value(context::ADDRESS), Some(&*path.display().to_string()));
    }

    #[tokio::test]
    async fn a_database_that_has_gone_since_it_was_built_is_down_for_that_reason() {
        let path = std::env::temp_dir().join(unique("gone"));
        let databases = databases(&at(&path));
        let db = databases.get("main").await.unwrap();
        std::fs::remove_file(&path).unwrap();
        db.refresh_all(Duration::ZERO);
        let report = &databases.health(Duration::from_secs(20)).await[0];
        let reason = report.health.reason.clone().unwrap_or_default();
        assert!(reason.contains("the file of the database"), "{report:?}");
        databases.close(Duration::from_mins(1)).await.into_result().unwrap();
    }
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_port_where_nobody_listens_is_told_with_its_address_by_postgres() {
    refused_port("postgres").await;
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_database_that_is_not_there_is_told_when_it_is_built_on_postgres() {
    let url =
        switchboard_testkit::service_url("postgres", "postgres://postgres@127.0.0.1:5432/postgres");
    let settings = Settings::new()
        .with("driver", "postgres")
        .with("url", url)
        .with("database", switchboard_testkit::unique("nowhere"));
    let error = refusal(&settings).await;
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
    assert!(error.context_value(context::ADDRESS).is_some(), "{error:?}");
}

#[cfg(feature = "mysql")]
#[tokio::test]
async fn a_port_where_nobody_listens_is_told_with_its_address_by_mysql() {
    refused_port("mysql").await;
}
