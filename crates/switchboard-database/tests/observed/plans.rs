//! How the server runs what was slow.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use switchboard_core::{Environment, Manager, Settings};
use switchboard_database::{Database, Databases, Sandbox, Statements as _};
use switchboard_testkit::unique;
use tracing::Level;

use crate::log::{Listening, Told};
use crate::{database, manager};

/// Everything is slow, and its plan is asked for.
fn explaining() -> Settings {
    let slow = Settings::new().with("threshold", "1ns").with("explain", true);
    Settings::new().with("slow", slow)
}

/// The plans that were told, once nobody is asked for one any more.
async fn plans(databases: &Manager<Databases>, log: &Listening) -> Vec<Told> {
    let environment: &Environment = databases.environment();
    let deadline = environment.clock().now() + Duration::from_mins(1);
    environment.reaper().idle(deadline).await.unwrap();
    log.events("plan of a slow statement")
}

fn plan(told: &[Told]) -> &str {
    assert_eq!(told.len(), 1, "{told:?}");
    told[0].field("plan").unwrap()
}

#[tokio::test]
async fn the_plan_of_a_slow_query_is_told_beside_it() {
    let (databases, db) = database(explaining()).await;
    let log = Listening::to(Level::DEBUG);
    db.select::<i64>("select id from users where id = ? and name <> 'canary'", (7,)).await.unwrap();
    let told = plans(&databases, &log).await;
    assert_eq!(plan(&told), "SEARCH users USING INTEGER PRIMARY KEY (rowid=?)");
    assert_eq!((told[0].level, told[0].target), (Level::WARN, "switchboard::database"));
    assert_eq!(told[0].field("instance"), Some("main"));
    let statement = "select id from users where id = ? and name <> ?";
    assert_eq!(told[0].field("statement"), Some(statement));
    assert_eq!(log.events("slow statement")[0].field("statement"), Some(statement));
}

#[tokio::test]
async fn the_same_statement_is_not_asked_about_again() {
    let (databases, db) = database(explaining()).await;
    let log = Listening::to(Level::DEBUG);
    for id in 1..5 {
        db.select::<i64>(&format!("select id from users where id = {id}"), ()).await.unwrap();
    }
    assert_eq!(plans(&databases, &log).await.len(), 1);
}

#[tokio::test]
async fn a_query_whose_rows_are_read_as_they_come_has_a_plan_too() {
    let (databases, db) = database(explaining()).await;
    let log = Listening::to(Level::DEBUG);
    let rows = db.stream::<i64>("select id from users where id = ?", (7,)).await.unwrap();
    rows.try_collect::<Vec<_>>().await.unwrap();
    assert!(plan(&plans(&databases, &log).await).starts_with("SEARCH users"));
}

#[tokio::test]
async fn a_query_of_a_transaction_is_asked_about_on_another_connection() {
    let (databases, db) = database(explaining()).await;
    // One that only reads is there then, and nobody has it.
    db.select::<i64>("select id from users", ()).await.unwrap();
    let log = Listening::to(Level::DEBUG);
    plans(&databases, &log).await;
    let log = Listening::to(Level::DEBUG);
    db.transaction(async |tx| {
        tx.select::<i64>("select id from users where id = ?", (7,)).await?;
        tx.execute("insert into users values (1, 'a')", ()).await
    })
    .await
    .unwrap();
    assert!(plan(&plans(&databases, &log).await).starts_with("SEARCH users"));
}

#[tokio::test]
async fn no_plan_is_asked_for_unless_it_is_wanted() {
    for (explain, sample) in [(false, 1.0), (true, 0.0)] {
        let slow = Settings::new().with("threshold", "1ns").with("explain", explain);
        let settings = Settings::new().with("slow", slow.with("sample", sample));
        let (databases, db) = database(settings).await;
        let log = Listening::to(Level::DEBUG);
        db.select::<i64>("select id from users", ()).await.unwrap();
        assert_eq!(log.events("slow statement").len(), 1);
        assert!(plans(&databases, &log).await.is_empty());
    }
}

#[tokio::test]
async fn a_sample_that_is_no_part_is_refused() {
    for sample in [-0.1, 1.1] {
        let slow = Settings::new().with("sample", sample);
        let databases = manager(&Settings::new().with("url", "sqlite::memory:"));
        let settings = Settings::new().with("url", "sqlite::memory:").with("slow", slow);
        let error = databases.configure("other", &settings).unwrap_err();
        assert!(format!("{error:?}").contains("slow.sample"), "{error:?}");
    }
}

#[tokio::test]
async fn what_the_server_refused_and_what_is_in_a_sandbox_is_not_asked_about() {
    let (databases, db) = database(explaining()).await;
    let log = Listening::to(Level::DEBUG);
    db.select::<i64>("select nothing from users", ()).await.unwrap_err();
    let sandbox = Sandbox::over(&databases, "main").await.unwrap();
    db.select::<i64>("select id from users", ()).await.unwrap();
    sandbox.end().await.unwrap();
    assert!(log.events("slow statement").len() > 1);
    assert!(plans(&databases, &log).await.is_empty());
}

#[tokio::test]
async fn what_writes_in_a_file_is_never_asked_about() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("main.db").to_string_lossy().into_owned();
    let databases = manager(&explaining().with("url", format!("sqlite:{path}")));
    never_for_writes(&databases, "returning id").await;
}

/// Asks what only seems to read, and then what does.
async fn never_for_writes(databases: &Manager<Databases>, returning: &str) -> Database {
    let (db, table) = (databases.get("main").await.unwrap(), unique("plans_"));
    db.execute(&format!("create table {table} (id integer primary key)"), ()).await.unwrap();
    let log = Listening::to(Level::DEBUG);
    db.execute(&format!("insert into {table} values (1)"), ()).await.unwrap();
    db.execute(&format!("update {table} set id = 2 where id = 1"), ()).await.unwrap();
    let insert = format!("insert into {table} values (?) {returning}");
    db.select::<(i64,)>(&insert, (3,)).await.unwrap();
    db.execute(&format!("delete from {table} where id = 3"), ()).await.unwrap();
    db.select::<i64>(&format!("select id from {table} where id = ?"), (2,)).await.unwrap();
    let told = plans(databases, &log).await;
    assert!(plan(&told).contains(&table), "{told:?}");
    assert!(told[0].field("statement").unwrap().starts_with("select id"), "{told:?}");
    let ids: Vec<i64> = db.select(&format!("select id from {table}"), ()).await.unwrap();
    assert_eq!(ids, [2]);
    db.execute(&format!("drop table {table}"), ()).await.unwrap();
    db
}

#[cfg(feature = "postgres")]
mod on_postgres {
    use super::*;

    fn url() -> String {
        let fallback = "postgres://postgres@127.0.0.1:5432/postgres";
        switchboard_testkit::service_url("postgres", fallback)
    }

    fn databases() -> Manager<Databases> {
        manager(&explaining().with("url", url()))
    }

    #[tokio::test]
    async fn what_writes_is_never_asked_about() {
        never_for_writes(&databases(), "returning id").await;
    }

    #[tokio::test]
    async fn what_writes_behind_with_explain_and_into_is_not_run_again() {
        let databases = databases();
        let (db, table) = (databases.get("main").await.unwrap(), unique("plans_"));
        db.execute(&format!("create table {table} (id integer)"), ()).await.unwrap();
        let log = Listening::to(Level::DEBUG);
        let insert = format!("insert into {table} values (1) returning id");
        let with = format!("with a as ({insert}) select id from a");
        db.select::<i64>(&with, ()).await.unwrap();
        db.rows(&format!("explain analyze {insert}"), ()).await.unwrap();
        db.execute(&format!("select 7 as id into {table}_two"), ()).await.unwrap();
        assert_eq!(log.events("slow statement").len(), 3);
        assert!(plans(&databases, &log).await.is_empty());
        let count = format!("select count(*) from {table}");
        assert_eq!(db.select_value::<i64>(&count, ()).await.unwrap(), 2);
        db.execute(&format!("drop table {table}, {table}_two"), ()).await.unwrap();
    }

    /// Also one that says of itself that it always answers the same, which the server then asks while it plans.
    #[tokio::test]
    async fn a_function_that_writes_is_run_once() {
        let databases = databases();
        let (db, name) = (databases.get("main").await.unwrap(), unique("plans_"));
        db.execute(&format!("create table {name} (id integer)"), ()).await.unwrap();
        let inner = format!(
            "create function {name}_inner() returns void language sql \
             as 'insert into {name} values (1)'"
        );
        db.execute(&inner, ()).await.unwrap();
        for (is_told, promise) in [(true, "volatile"), (false, "immutable")] {
            let function = format!(
                "create or replace function {name}() returns integer language plpgsql {promise} \
                 as 'begin perform {name}_inner(); return 1; end'"
            );
            db.execute(&function, ()).await.unwrap();
            db.execute(&format!("delete from {name}"), ()).await.unwrap();
            let log = Listening::to(Level::DEBUG);
            db.select_value::<i64>(&format!("select {name}() as {promise}"), ()).await.unwrap();
            let told = [plans(&databases, &log).await, log.events("no plan")];
            let of_it = |told: &Told| told.field("statement").unwrap().ends_with(promise);
            let told = told.map(|all| all.into_iter().filter(of_it).count());
            assert_eq!(told, [usize::from(is_told), usize::from(!is_told)], "{:?}", log.all());
            let count = format!("select count(*) from {name}");
            assert_eq!(db.select_value::<i64>(&count, ()).await.unwrap(), 1, "{promise}");
        }
        let drop = format!("drop function {name}(), {name}_inner(); drop table {name}");
        db.execute_script(&drop).await.unwrap();
    }

    #[tokio::test]
    async fn a_plan_shows_no_value() {
        let databases = databases();
        let db = databases.get("main").await.unwrap();
        let log = Listening::to(Level::DEBUG);
        let sql = "select relname from pg_class where relname = $1 and oid <> $2 and relname <> 'canary two' \
                   and relpages <> 424242";
        db.select::<String>(sql, ("canary\nthe 'first'\\ -- /* $$ canary", 7_654_321))
            .await
            .unwrap();
        let told = plans(&databases, &log).await;
        let plan = plan(&told);
        assert!(plan.contains("(cost=") && plan.contains(" rows="), "{plan}");
        assert!(plan.contains("relname = ?"), "{plan}");
        let all = format!("{:?}", log.all());
        for value in ["canary", "first", "7654321", "424242"] {
            assert!(!all.contains(value), "{value} is in {all}");
        }
    }

    #[tokio::test]
    async fn a_pool_of_one_connection_is_left_to_who_needs_it() {
        let pool = Settings::new().with("max", 1);
        let databases = manager(&explaining().with("url", url()).with("pool", pool));
        let db = databases.get("main").await.unwrap();
        let log = Listening::to(Level::DEBUG);
        db.select_value::<i64>("select 7 + $1", (1,)).await.unwrap();
        assert!(plans(&databases, &log).await.is_empty());
        assert_eq!(log.events("slow statement").len(), 1);
    }
}

#[cfg(feature = "mysql")]
mod on_mariadb {
    use super::*;

    fn databases() -> Manager<Databases> {
        let url = switchboard_testkit::service_url("mariadb", "mysql://root@127.0.0.1:3306/test");
        manager(&explaining().with("url", url))
    }

    #[tokio::test]
    async fn what_writes_is_never_asked_about() {
        never_for_writes(&databases(), "returning id").await;
    }

    #[tokio::test]
    async fn a_function_that_writes_is_run_once() {
        let databases = databases();
        let (db, name) = (databases.get("main").await.unwrap(), unique("plans_"));
        db.execute(&format!("create table {name} (id integer)"), ()).await.unwrap();
        let function = format!(
            "create function {name}() returns integer modifies sql data \
             begin insert into {name} values (1); return 1; end"
        );
        db.execute(&function, ()).await.unwrap();
        let log = Listening::to(Level::DEBUG);
        let sql = format!("select * from (select {name}() as a) as b where b.a = ?");
        db.select::<i64>(&sql, (1,)).await.unwrap();
        plans(&databases, &log).await;
        let told = log.events("plan of a slow statement").len() + log.events("no plan").len();
        assert_eq!(told, 1, "{:?}", log.all());
        let count = format!("select count(*) from {name}");
        assert_eq!(db.select_value::<i64>(&count, ()).await.unwrap(), 1);
        db.execute_script(&format!("drop function {name}; drop table {name}")).await.unwrap();
    }

    #[tokio::test]
    async fn a_plan_shows_no_value() {
        let databases = databases();
        let db = databases.get("main").await.unwrap();
        let log = Listening::to(Level::DEBUG);
        let sql = "select table_name from information_schema.tables where table_name = ? and table_rows = ? \
                   and engine <> 'canary two'";
        db.select::<String>(sql, ("canary\nthe 'first'\\", 7_654_321)).await.unwrap();
        let told = plans(&databases, &log).await;
        assert!(plan(&told).starts_with("id: 1, select_type: SIMPLE, table: tables"), "{told:?}");
        let all = format!("{:?}", log.all());
        for value in ["canary", "first", "7654321"] {
            assert!(!all.contains(value), "{value} is in {all}");
        }
    }
}
