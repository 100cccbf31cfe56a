//! Sandboxes that have a database of their own.

#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use switchboard_core::{Environment, ErrorKind, Manager, Registry, Settings};
use switchboard_database::{
    Database, Databases, Migrations, Sandbox, Statements as _, Template, TransactionOptions,
};
use switchboard_testkit::unique;

fn manager(settings: &Settings) -> Manager<Databases> {
    let registry = Registry::with_built_ins().unwrap();
    let databases = Manager::<Databases>::new(registry, &Environment::new()).unwrap();
    databases.configure("main", settings).unwrap();
    databases
}

fn sqlite() -> Settings {
    Settings::new().with("url", "sqlite::memory:")
}

#[cfg(feature = "postgres")]
fn postgres() -> Settings {
    let fallback = "postgres://postgres@127.0.0.1:5432/postgres";
    Settings::new().with("url", switchboard_testkit::service_url("postgres", fallback))
}

#[cfg(feature = "mysql")]
fn mariadb() -> Settings {
    let fallback = "mysql://root@127.0.0.1:3306/test";
    Settings::new().with("url", switchboard_testkit::service_url("mariadb", fallback))
}

/// A template of a test's own, with a table in which there is one row, and how often it was made.
fn counted() -> (Template, Arc<AtomicU32>) {
    let table = "create table notes (id bigint primary key, text varchar(100));";
    let migrations = Migrations::embedded(&[("1_notes.sql", table)]).unwrap();
    let count = Arc::new(AtomicU32::new(0));
    let counter = count.clone();
    let step = move |database: Database| {
        counter.fetch_add(1, Ordering::Relaxed);
        async move { database.execute("insert into notes values (1, 'a')", ()).await.map(drop) }
    };
    (Template::new().migrated(&migrations).step(&unique("notes"), step), count)
}

async fn ids(db: &Database) -> Vec<i64> {
    db.select("select id from notes order by id", ()).await.unwrap()
}

async fn put(db: &Database, id: i64) {
    db.execute("insert into notes values (?, 'b')", (id,)).await.unwrap();
}

/// What the server calls the database.
async fn name_of(db: &Database) -> String {
    let sql = match db.dialect().unwrap().name {
        "postgres" => "select current_database()::text",
        "mysql" => "select database()",
        _ => "select file from pragma_database_list where name = 'main'",
    };
    db.select_value(sql, ()).await.unwrap()
}

/// Whether the database of that name is there; a path where it is a file.
async fn is_there(db: &Database, name: &str) -> bool {
    let sql = match db.dialect().unwrap().name {
        "postgres" => "select count(*) from pg_database where datname = $1",
        "mysql" => "select count(*) from information_schema.schemata where schema_name = ?",
        _ => return std::path::Path::new(name).exists(),
    };
    db.select_value::<i64>(sql, (name,)).await.unwrap() > 0
}

/// Transactions commit, others see that and nothing before it, and nothing is left.
async fn what_is_committed_is_gone_with_its_database(settings: Settings) {
    let (databases, (template, _)) = (manager(&settings), counted());
    let db = databases.get("main").await.unwrap();
    let sandbox = Sandbox::copied(&databases, "main", &template).await.unwrap();
    assert_eq!(ids(&db).await, [1]);
    let open = db.begin(&TransactionOptions::new()).await.unwrap();
    open.execute("insert into notes values (2, 'b')", ()).await.unwrap();
    assert_eq!(ids(&db).await, [1], "what is not committed is not seen by others");
    open.commit().await.unwrap();
    assert_eq!(ids(&db).await, [1, 2]);
    let name = name_of(&db).await;
    assert!(name.contains("switchboard_test_") && is_there(&db, &name).await, "{name}");
    sandbox.end().await.unwrap();
    assert!(!is_there(&db, &name).await);
    assert_ne!(name_of(&db).await, name, "the instance is served as before");
    template.forget(&databases, "main").await.unwrap();
}

/// Each has its own, also where all of them are made at once, and by different programs.
async fn sandboxes_at_the_same_time_know_nothing_of_each_other(settings: Settings, made: u32) {
    let (template, count) = counted();
    let work = (0..4).map(|number| {
        let (databases, template) = (manager(&settings), template.clone());
        async move {
            let db = databases.get("main").await.unwrap();
            let sandbox = Sandbox::copied(&databases, "main", &template).await.unwrap();
            put(&db, 10 + number).await;
            let seen = ids(&db).await;
            sandbox.end().await.unwrap();
            assert_eq!(seen, [1, 10 + number]);
        }
    });
    join_all(work).await;
    assert_eq!(count.load(Ordering::Relaxed), made, "how often all steps were done");
    template.forget(&manager(&settings), "main").await.unwrap();
}

async fn a_panic_leaves_no_database(settings: Settings) {
    let (databases, (template, _)) = (manager(&settings), counted());
    let db = databases.get("main").await.unwrap();
    let name = Arc::new(std::sync::Mutex::new(String::new()));
    let panics = {
        let (databases, template, db) = (databases.clone(), template.clone(), db.clone());
        let told = name.clone();
        async move {
            let _sandbox = Sandbox::copied(&databases, "main", &template).await.unwrap();
            put(&db, 2).await;
            *told.lock().unwrap() = name_of(&db).await;
            panic!("as a test does");
        }
    };
    AssertUnwindSafe(panics).catch_unwind().await.unwrap_err();
    let name = name.lock().unwrap().clone();
    assert!(name.contains("switchboard_test_"), "{name}");
    assert!(!is_there(&db, &name).await, "{name}");
    template.forget(&databases, "main").await.unwrap();
}

/// Only what belongs to nobody any more.
#[cfg(any(feature = "postgres", feature = "mysql"))]
async fn what_was_left_is_removed_by_those_that_come_later(settings: Settings) {
    let (databases, (template, _)) = (manager(&settings), counted());
    let db = databases.get("main").await.unwrap();
    let wall = databases.environment().clock().wall();
    let now = wall.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let [old, new] = [now - 24 * 3_600, now - 3_600];
    let [old, new] = [old, new].map(|at| format!("switchboard_test_{at:x}_{}", unique("l")));
    for name in [&old, &new] {
        db.execute(&format!("create database {name}"), ()).await.unwrap();
    }
    Sandbox::copied(&databases, "main", &template).await.unwrap().end().await.unwrap();
    assert_eq!((is_there(&db, &old).await, is_there(&db, &new).await), (false, true));
    db.execute(&format!("drop database {new}"), ()).await.unwrap();
    template.forget(&databases, "main").await.unwrap();
}

async fn a_template_that_cannot_be_made_leaves_nothing(settings: Settings) {
    let (databases, (template, count)) = (manager(&settings), counted());
    let failing = template.clone().step("fails", |database: Database| async move {
        database.execute("insert into notes values (1, 'again')", ()).await.map(drop)
    });
    for _ in 0..2 {
        let error = Sandbox::copied(&databases, "main", &failing).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    }
    assert_eq!(count.load(Ordering::Relaxed), 2, "it is tried again");
    let sandbox = Sandbox::copied(&databases, "main", &template).await.unwrap();
    assert_eq!(ids(&databases.get("main").await.unwrap()).await, [1]);
    sandbox.end().await.unwrap();
    template.forget(&databases, "main").await.unwrap();
}

/// One test for each, on a server.
macro_rules! on_server {
    ($server:ident, $settings:ident, $made:literal) => {
        mod $server {
            #[tokio::test]
            async fn what_is_committed_is_gone_with_its_database() {
                super::what_is_committed_is_gone_with_its_database(super::$settings()).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn sandboxes_at_the_same_time_know_nothing_of_each_other() {
                let settings = super::$settings();
                super::sandboxes_at_the_same_time_know_nothing_of_each_other(settings, $made).await;
            }

            #[tokio::test]
            async fn a_panic_leaves_no_database() {
                super::a_panic_leaves_no_database(super::$settings()).await;
            }

            #[tokio::test]
            async fn a_template_that_cannot_be_made_leaves_nothing() {
                super::a_template_that_cannot_be_made_leaves_nothing(super::$settings()).await;
            }
        }
    };
}

on_server!(on_sqlite, sqlite, 1);
#[cfg(feature = "postgres")]
on_server!(on_postgres, postgres, 1);
#[cfg(feature = "mysql")]
on_server!(on_mariadb, mariadb, 4);

#[cfg(feature = "postgres")]
#[tokio::test]
async fn what_was_left_on_postgres_is_removed_by_those_that_come_later() {
    what_was_left_is_removed_by_those_that_come_later(postgres()).await;
}

#[cfg(feature = "mysql")]
#[tokio::test]
async fn what_was_left_on_mariadb_is_removed_by_those_that_come_later() {
    what_was_left_is_removed_by_those_that_come_later(mariadb()).await;
}

/// Locks belong to a database there, and the names of databases to the server.
#[cfg(feature = "postgres")]
#[tokio::test]
async fn instances_with_other_databases_make_a_template_at_the_same_time_on_postgres() {
    let (template, count) = counted();
    // Neither comes to its end before both have begun.
    let barrier = Arc::new(tokio::sync::Barrier::new(2));
    let template = template.step("both", move |_| {
        let barrier = barrier.clone();
        async move {
            barrier.wait().await;
            Ok(())
        }
    });
    let first = manager(&postgres());
    let db = first.get("main").await.unwrap();
    let other = unique("copies_other_");
    db.execute(&format!("create database {other}"), ()).await.unwrap();
    let second = manager(&postgres().with("database", &*other));
    let sandboxes =
        [&first, &second].map(|databases| Sandbox::copied(databases, "main", &template));
    for (sandbox, databases) in join_all(sandboxes).await.into_iter().zip([&first, &second]) {
        let sandbox = sandbox.unwrap();
        assert_eq!(ids(&databases.get("main").await.unwrap()).await, [1]);
        sandbox.end().await.unwrap();
    }
    assert_eq!(count.load(Ordering::Relaxed), 2, "each did all steps");
    template.forget(&first, "main").await.unwrap();
    db.execute(&format!("drop database {other} with (force)"), ()).await.unwrap();
}

/// What a step makes is somebody's, and may be in another schema.
#[cfg(feature = "postgres")]
#[tokio::test]
async fn sessions_that_begin_otherwise_have_templates_of_their_own_on_postgres() {
    let (template, count) = counted();
    let session = Settings::new().with("search_path", "public, pg_temp");
    let managers = [manager(&postgres()), manager(&postgres().with("session", session))];
    for databases in managers.iter().chain(&managers) {
        Sandbox::copied(databases, "main", &template).await.unwrap().end().await.unwrap();
    }
    assert_eq!(count.load(Ordering::Relaxed), 2);
    for databases in &managers {
        template.forget(databases, "main").await.unwrap();
    }
}

/// Whose rows have locks that removing the database would wait for.
#[cfg(feature = "mysql")]
#[tokio::test]
async fn a_panic_in_a_transaction_leaves_no_database_on_mariadb() {
    let (databases, (template, _)) = (manager(&mariadb()), counted());
    let db = databases.get("main").await.unwrap();
    let kept = std::sync::Mutex::new(None);
    let panics = async {
        let _sandbox = Sandbox::copied(&databases, "main", &template).await.unwrap();
        let name = name_of(&db).await;
        let open = db.begin(&TransactionOptions::new()).await.unwrap();
        open.execute("insert into notes values (2, 'b')", ()).await.unwrap();
        *kept.lock().unwrap() = Some((name, open));
        panic!("as a test does");
    };
    AssertUnwindSafe(panics).catch_unwind().await.unwrap_err();
    let (name, open) = kept.into_inner().unwrap().unwrap();
    assert!(!is_there(&db, &name).await, "{name}");
    drop(open);
}

#[tokio::test]
async fn what_only_reads_and_what_is_in_a_sandbox_already_has_no_copies() {
    let (template, _) = counted();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("main.db").to_string_lossy().into_owned();
    let file = Settings::new().with("url", format!("sqlite:{path}"));
    manager(&file).get("main").await.unwrap();
    let databases = manager(&file.with("read_only", true));
    let error = Sandbox::copied(&databases, "main", &template).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);

    let databases = manager(&sqlite());
    let sandbox = Sandbox::over(&databases, "main").await.unwrap();
    let error = Sandbox::copied(&databases, "main", &template).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    sandbox.end().await.unwrap();
}
