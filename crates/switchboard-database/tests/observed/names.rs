//! Two names for one database.

use switchboard_core::{Environment, Manager, Registry, Settings};
use switchboard_database::Databases;
use tracing::Level;

use crate::log::Listening;

/// What is told when all of these are built, one after the other.
async fn told(all: &[(&str, Settings)]) -> Vec<(String, String)> {
    let registry = Registry::with_built_ins().unwrap();
    let databases = Manager::<Databases>::new(registry, &Environment::new()).unwrap();
    for (name, settings) in all {
        databases.configure(name, settings).unwrap();
    }
    let log = Listening::to(Level::WARN);
    for (name, _) in all {
        databases.get(name).await.unwrap();
        databases.get(name).await.unwrap();
    }
    let events = log.events("two instances are the same database, and each has a pool of its own");
    let field =
        |name: &'static str| move |told: &crate::log::Told| told.field(name).map(str::to_owned);
    assert!(!format!("{events:?}").contains("sqlite:"), "{events:?}");
    let names = |told| Some((field("instance")(told)?, field("other")(told)?));
    events.iter().filter_map(names).collect()
}

fn url(url: impl Into<String>) -> Settings {
    Settings::new().with("url", url.into())
}

fn both(one: &str, other: &str) -> Vec<(String, String)> {
    vec![(one.to_owned(), other.to_owned())]
}

#[tokio::test]
async fn two_names_of_one_file_are_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("main.db").to_string_lossy().into_owned();
    let beside = folder.path().join("../").join(folder.path().file_name().unwrap()).join("main.db");
    let beside = Settings::new()
        .with("driver", "sqlite")
        .with("path", beside.to_string_lossy().into_owned());
    let other = url(format!("sqlite:{path}.other"));
    let all = [("main", url(format!("sqlite:{path}"))), ("other", other), ("archive", beside)];
    assert_eq!(told(&all).await, both("archive", "main"));
}

#[tokio::test]
async fn what_is_in_memory_and_what_only_reads_is_another_database() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("main.db").to_string_lossy().into_owned();
    let reading = url(format!("sqlite:{path}")).with("read_only", true);
    let memory = || url("sqlite::memory:");
    let all = [
        ("main", url(format!("sqlite:{path}"))),
        ("reading", reading),
        ("one", memory()),
        ("two", memory()),
    ];
    assert_eq!(told(&all).await, []);
}

#[tokio::test]
async fn who_is_swapped_and_who_takes_the_place_of_another_is_no_second_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = url(format!("sqlite:{}", folder.path().join("main.db").display()));
    let registry = Registry::with_built_ins().unwrap();
    let databases = Manager::<Databases>::new(registry, &Environment::new()).unwrap();
    databases.configure("main", &file).unwrap();
    databases.get("main").await.unwrap();
    let log = Listening::to(Level::WARN);
    let pool = Settings::new().with("max", 3);
    databases.swap("main", &file.clone().with("pool", pool)).await.unwrap().closed().await.unwrap();
    let memory = databases.swap("main", &url("sqlite::memory:")).await.unwrap();
    memory.closed().await.unwrap();
    databases.configure("next", &file).unwrap();
    databases.get("next").await.unwrap();
    assert!(log.all().is_empty(), "{:?}", log.all());
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn two_addresses_of_one_database_on_postgres_are_told_however_they_are_written() {
    let fallback = "postgres://postgres@127.0.0.1:5432/postgres";
    let address = switchboard_testkit::service_url("postgres", fallback);
    let bare = address.split('?').next().unwrap().to_owned();
    let one = format!("{bare}?application_name=a&connect_timeout=7");
    let two = format!(
        "{}?connect_timeout=9&application_name=a",
        bare.replacen("postgres://", "postgresql://", 1)
    );
    let three = format!("{bare}?application_name=b");
    let all =
        [("one", url(one)), ("two", url(two).with("password", "unused")), ("three", url(three))];
    assert_eq!(told(&all).await, both("two", "one"));
}

#[cfg(feature = "mysql")]
#[tokio::test]
async fn two_addresses_of_one_database_on_mariadb_are_told_however_they_are_written() {
    let address = switchboard_testkit::service_url("mariadb", "mysql://root@127.0.0.1:3306/test");
    let two = address.replacen("mysql://", "mariadb://", 1);
    let session = Settings::new().with("lock_timeout", "7s");
    let three = url(address.clone()).with("session", session);
    assert_eq!(
        told(&[("one", url(address)), ("two", url(two)), ("three", three)]).await,
        both("two", "one")
    );
}
