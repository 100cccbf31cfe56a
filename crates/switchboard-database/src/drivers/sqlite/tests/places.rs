//! Where a database can be, and how it is opened.

use std::path::Path;

use switchboard_core::Settings;

use super::*;
use crate::drivers::sqlite::place::At;

fn at(url: &str) -> Result<At> {
    At::of(&SqliteConfig { url: Some(url.into()), ..SqliteConfig::default() })
}

#[test]
fn an_address_names_a_file_or_memory() {
    for (url, path) in [
        ("sqlite:app.db", "app.db"),
        ("sqlite://data/app.db", "data/app.db"),
        ("sqlite:///srv/app.db", "/srv/app.db"),
        ("sqlite:/srv/a%20b%3F.db", "/srv/a b?.db"),
    ] {
        assert_eq!(at(url).unwrap(), At::File(PathBuf::from(path)), "{url}");
    }
    for url in ["sqlite::memory:", "sqlite://:memory:"] {
        assert!(matches!(at(url), Ok(At::Memory(_))), "{url}");
    }
    for url in [
        "app.db",
        "postgres://host/app",
        "sqlite:",
        "sqlite://",
        "sqlite:a.db?mode=ro",
        "sqlite:%ff",
    ] {
        assert_eq!(at(url).unwrap_err().kind(), ErrorKind::Config, "{url}");
    }
}

#[test]
fn it_is_said_once_where_the_database_is() {
    let twice = SqliteConfig { memory: true, ..Home::new().config() };
    for config in [SqliteConfig::default(), twice] {
        assert_eq!(At::of(&config).unwrap_err().kind(), ErrorKind::Config);
    }
}

#[test]
fn settings_are_read_with_their_units() {
    let settings = Settings::new()
        .with("path", "a.db")
        .with("journal", "truncate")
        .with("synchronous", "full")
        .with("busy_timeout", "250ms")
        .with("readers", 3);
    let config: SqliteConfig = settings.decode().unwrap();
    assert_eq!(config.path.as_deref(), Some(Path::new("a.db")));
    assert_eq!((config.journal, config.synchronous), (Journal::Truncate, Synchronous::Full));
    assert_eq!(config.busy_timeout, Duration::from_millis(250));
    assert_eq!(made(config).readers(), 3);
    assert!(Settings::new().with("pat", "a.db").decode::<SqliteConfig>().is_err());
}

#[tokio::test]
async fn the_settings_of_a_connection_are_in_force() {
    let home = Home::new();
    let safest = SqliteConfig {
        journal: Journal::Truncate,
        synchronous: Synchronous::Extra,
        foreign_keys: false,
        ..home.config()
    };
    // The second changes how the file of the first is kept.
    for (config, journal, others) in [(safest, "truncate", [3, 0]), (home.config(), "wal", [1, 1])]
    {
        let database = made(config);
        let mut reader = database.connect(Lane::Read).await.unwrap();
        let mut writer = database.connect(Lane::Write).await.unwrap();
        assert_value(&value(&mut writer, "pragma journal_mode").await, &text(journal));
        for session in [&mut reader, &mut writer] {
            for (pragma, wanted) in ["pragma synchronous", "pragma foreign_keys"].iter().zip(others)
            {
                assert_value(&value(session, pragma).await, &Value::Int(wanted));
            }
        }
        reader.close().await.unwrap();
        writer.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_file_and_its_folders_are_made_only_where_that_is_wanted() {
    let home = Home::new();
    let path = home.folder.path().join("a/b/app.db");
    let config =
        SqliteConfig { path: Some(path.clone()), create: false, ..SqliteConfig::default() };
    for lane in [Lane::Read, Lane::Write] {
        let error = made(config.clone()).connect(lane).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
    assert!(!path.parent().unwrap().exists());
    let database = made(SqliteConfig { create: true, ..config.clone() });
    // Also where somebody who only reads comes first.
    let mut reader = database.connect(Lane::Read).await.unwrap();
    assert_value(&value(&mut reader, "select count(*) from sqlite_schema").await, &Value::Int(0));
    made(config).connect(Lane::Write).await.unwrap();
}

#[tokio::test]
async fn an_instance_that_only_reads_refuses_to_write() {
    let home = Home::new();
    let mut writer = home.database().connect(Lane::Write).await.unwrap();
    writer.script("create table t (id)").await.unwrap();
    let common = DatabaseConfig { read_only: true, ..DatabaseConfig::default() };
    for config in [home.config(), SqliteConfig { memory: true, ..SqliteConfig::default() }] {
        let database = Sqlite::new(config, &common, Clock::system()).unwrap();
        for lane in [Lane::Read, Lane::Write] {
            let mut session = database.connect(lane).await.unwrap();
            let error = execute(&mut session, "create table u (id)", &[]).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied);
            session.begin(&Begin::default()).await.unwrap();
            session.commit().await.unwrap();
        }
    }
    let missing = SqliteConfig {
        path: Some(home.folder.path().join("missing.db")),
        ..SqliteConfig::default()
    };
    let database = Sqlite::new(missing, &common, Clock::system()).unwrap();
    let error = database.connect(Lane::Write).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_folder_is_no_database() {
    let home = Home::new();
    let config =
        SqliteConfig { path: Some(home.folder.path().to_owned()), ..SqliteConfig::default() };
    assert_eq!(made(config).connect(Lane::Write).await.err().unwrap().kind(), ErrorKind::Config);
}

#[tokio::test]
async fn a_closed_database_is_one_file() {
    let home = Home::new();
    let database = home.database();
    let mut writer = database.connect(Lane::Write).await.unwrap();
    writer.script("create table t (id); insert into t values (1)").await.unwrap();
    let reader = database.connect(Lane::Read).await.unwrap();
    reader.close().await.unwrap();
    writer.close().await.unwrap();
    let files: Vec<_> = std::fs::read_dir(home.folder.path())
        .unwrap()
        .map(|file| file.unwrap().file_name())
        .collect();
    assert_eq!(files, ["app.db"]);
}

#[tokio::test]
async fn statements_are_kept_as_many_as_wanted() {
    for (statement_cache, is_kept, kept) in
        [(256, true, true), (0, true, false), (256, false, false)]
    {
        let database =
            made(SqliteConfig { memory: true, statement_cache, ..SqliteConfig::default() });
        let mut session = database.connect(Lane::Write).await.unwrap();
        let sql: Arc<str> = "select 'kept'".into();
        session.query(Statement { sql: &sql, values: &[], is_kept }).await.unwrap();
        let native = session.native().downcast_mut::<Native>().unwrap();
        let runs = native.call(|sqlite| {
            let statement = sqlite.prepare_cached("select 'kept'").unwrap();
            statement.get_status(rusqlite::StatementStatus::Run)
        });
        assert_eq!(runs.await.unwrap() > 0, kept, "{statement_cache} {is_kept}");
    }
}

#[test]
fn nothing_of_a_database_is_shown_but_where_it_is() {
    let shown = format!("{:?}", in_memory());
    assert!(shown.starts_with("Sqlite { memory: \"/switchboard-"), "{shown}");
}
