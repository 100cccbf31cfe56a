//! What servers are told of who sends a statement.

use switchboard_core::Settings;
use switchboard_database::Statements as _;

use crate::manager;

/// What the server says that it was sent, for a statement that asks for that.
#[cfg(any(feature = "postgres", feature = "mysql"))]
async fn seen(settings: Settings, sql: &str) -> String {
    let databases = manager(&settings.with("comments", true));
    let database = databases.get("main").await.unwrap();
    let mut seen: Vec<String> = Vec::new();
    for number in 0..3 {
        seen.push(database.select_value(sql, (number,)).await.unwrap());
    }
    // Else no statement would be prepared twice.
    assert!(seen.iter().all(|text| *text == seen[0]), "{seen:?}");
    seen.remove(0)
}

#[tokio::test]
async fn a_statement_keeps_its_own_form_in_figures() {
    let settings = Settings::new().with("url", "sqlite::memory:").with("comments", true);
    let databases = manager(&settings);
    let database = databases.get("main").await.unwrap();
    assert_eq!(database.select_value::<i64>("select ? -- mine", (7,)).await.unwrap(), 7);
    assert_eq!(database.select_value::<i64>("select ?;", (7,)).await.unwrap(), 7);
    let ids: Vec<i64> = database.select("select 1 where 1 in (?)", (vec![1, 2],)).await.unwrap();
    assert_eq!(ids, [1]);
    let figures = database.statements();
    assert_eq!(figures.iter().find(|of| &*of.statement == "select ?").unwrap().count, 2);
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn postgres_is_told_driver_instance_and_application() {
    let url =
        switchboard_testkit::service_url("postgres", "postgres://postgres@127.0.0.1:5432/postgres");
    let session = Settings::new().with("application_name", "the shop");
    let settings = Settings::new().with("url", url).with("session", session);
    let sql = "select query from pg_stat_activity where pid = pg_backend_pid() and $1 < 10";
    let expected = "/*application='the%20shop',db_driver='switchboard',instance='main'*/";
    assert_eq!(seen(settings, sql).await, format!("{sql} {expected}"));
}

#[cfg(feature = "mysql")]
#[tokio::test]
async fn mariadb_is_told_driver_and_instance() {
    let url = switchboard_testkit::service_url("mariadb", "mysql://root@127.0.0.1:3306/test");
    let settings = Settings::new().with("url", url);
    let sql =
        "select info from information_schema.processlist where id = connection_id() and ? < 10";
    let text = seen(settings, sql).await;
    assert!(text.ends_with("/*db_driver='switchboard',instance='main'*/"), "{text}");
}
