//! What logs say.

use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use switchboard_core::Settings;
use switchboard_database::{Row, Stack, Statements as _, TransactionOptions, Value};
use tracing::Level;

use crate::log::{Listening, Told};
use crate::{ENDLESS, database};

const INSERT: &str = "insert into users (id, name) values (?, ?)";

fn everything() -> Settings {
    let slow = Settings::new().with("threshold", "1ns");
    Settings::new().with("log_queries", true).with("log_results", true).with("slow", slow)
}

/// A row for each of these, for a bulk insert.
fn named(ids: std::ops::Range<i64>) -> Vec<[Value; 2]> {
    ids.map(|id| [id.into(), "canary".into()]).collect()
}

fn shown<'t>(told: &'t Told, names: &[&str]) -> Vec<Option<&'t str>> {
    names.iter().map(|name| told.field(name)).collect()
}

#[tokio::test]
async fn a_slow_statement_is_told_with_the_kinds_of_its_parameters() {
    let slow = Settings::new().with("threshold", "1ns");
    let (_databases, db) = database(Settings::new().with("slow", slow)).await;
    let log = Listening::to(Level::INFO);
    db.execute(INSERT, (7, "canary")).await.unwrap();
    let told = log.all();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((told[0].level, told[0].target), (Level::WARN, "switchboard::database"));
    assert_eq!(told[0].name, "slow statement");
    let names = ["instance", "statement", "kind", "parameters", "affected", "rows", "outcome"];
    assert_eq!(
        shown(&told[0], &names),
        [
            Some("main"),
            Some("insert into users(id, name) values (…)"),
            Some("write"),
            Some("[integer, text]"),
            Some("1"),
            None,
            Some("ok"),
        ]
    );
    assert!(told[0].field("took").is_some_and(|took| took.ends_with('s')), "{told:?}");
}

#[tokio::test]
async fn nothing_is_told_of_what_is_not_slow_and_not_asked_for() {
    let never = Settings::new().with("threshold", "0s");
    for settings in [Settings::new(), Settings::new().with("slow", never)] {
        let (_databases, db) = database(settings).await;
        let log = Listening::to(Level::INFO);
        db.execute(INSERT, (7, "canary")).await.unwrap();
        db.execute(INSERT, (7, "canary")).await.unwrap_err();
        let told = log.all();
        assert!(told.is_empty(), "{told:?}");
    }
}

#[tokio::test]
async fn a_statement_that_is_given_up_is_told_when_it_was_slow() {
    let slow = Settings::new().with("threshold", "1ns");
    let (_databases, db) = database(Settings::new().with("slow", slow)).await;
    db.select::<i64>("select id from users", ()).await.unwrap();
    let log = Listening::to(Level::INFO);
    assert!(db.select::<i64>(ENDLESS, (9_000_000_000_000_i64,)).now_or_never().is_none());
    let [told] = log.events("slow statement").try_into().unwrap();
    assert_eq!(shown(&told, &["outcome", "rows"]), [Some("cancelled"), None]);
}

#[tokio::test]
async fn queries_are_told_with_how_they_ended() {
    let (_databases, db) = database(Settings::new().with("log_queries", true)).await;
    let log = Listening::to(Level::INFO);
    db.execute(INSERT, (7, "canary")).await.unwrap();
    db.execute(INSERT, (7, "canary")).await.unwrap_err();
    db.select::<(i64, String)>("select * from users where id = ?", (7,)).await.unwrap();
    db.execute_script("delete from users; select 'canary'").await.unwrap();
    db.bulk_insert("users", &["id", "name"], named(1..2)).await.unwrap();
    let told = log.events("statement");
    let told: Vec<_> = told
        .iter()
        .map(|told| {
            assert_eq!(told.level, Level::INFO);
            shown(told, &["statement", "kind", "parameters", "affected", "rows", "outcome"])
        })
        .collect();
    let insert = Some("insert into users(id, name) values (…)");
    let both = Some("[integer, text]");
    let (none, ok) = (Some("[]"), Some("ok"));
    assert_eq!(
        told,
        [
            vec![insert, Some("write"), both, Some("1"), None, ok],
            vec![insert, Some("write"), both, None, None, Some("already exists")],
            vec![
                Some("select * from users where id = ?"),
                Some("read"),
                Some("[integer]"),
                None,
                Some("1"),
                ok
            ],
            vec![Some("script"), Some("script"), none, None, None, ok],
            vec![Some("bulk insert into users"), Some("bulk"), none, Some("1"), None, ok],
        ]
    );
}

#[tokio::test]
async fn results_are_told_as_kinds_and_lengths_of_the_first_rows() {
    let (_databases, db) = database(Settings::new().with("log_results", true)).await;
    for id in 1..=5 {
        db.execute(INSERT, (id, "canary")).await.unwrap();
    }
    let log = Listening::to(Level::INFO);
    let all = "select id, name, null as missing, 'canary' from users";
    db.select::<Row>(all, ()).await.unwrap();
    let [told] = log.all().try_into().unwrap();
    assert_eq!((told.name.as_str(), told.field("rows")), ("rows", Some("5")));
    let row = "{id: integer, name: text(6), missing: null, ?: text(6)}";
    assert_eq!(told.field("sample").unwrap(), format!("[{row}, {row}, {row}]"));
}

#[tokio::test]
async fn a_stream_is_told_once_when_its_last_row_was_read() {
    let (_databases, db) = database(everything()).await;
    db.bulk_insert("users", &["id", "name"], named(0..1_000)).await.unwrap();
    let log = Listening::to(Level::INFO);
    let sql = "select name from users where id >= ?";
    let stream = db.stream::<String>(sql, (0,)).await.unwrap();
    assert!(log.all().is_empty());
    assert_eq!(stream.try_collect::<Vec<_>>().await.unwrap().len(), 1_000);
    let [query] = log.events("statement").try_into().unwrap();
    let names = ["statement", "parameters", "rows", "outcome"];
    assert_eq!(shown(&query, &names), [Some(sql), Some("[integer]"), Some("1000"), Some("ok")]);
    let [rows] = log.events("rows").try_into().unwrap();
    let sample = Some("[{name: text(6)}, {name: text(6)}, {name: text(6)}]");
    assert_eq!(shown(&rows, &["rows", "sample"]), [Some("1000"), sample]);
    assert_eq!(log.events("slow statement").len(), 1);
}

#[tokio::test]
async fn a_stream_that_is_left_is_told_with_what_was_read() {
    let (_databases, db) = database(Settings::new().with("log_queries", true)).await;
    db.bulk_insert("users", &["id", "name"], named(0..1_000)).await.unwrap();
    let log = Listening::to(Level::INFO);
    let tx = db.begin(&TransactionOptions::new()).await.unwrap();
    let mut stream = tx.stream::<String>("select name from users", ()).await.unwrap();
    stream.next().await.unwrap().unwrap();
    drop(stream);
    let [told] = log.events("statement").try_into().unwrap();
    assert_eq!(told.field("outcome"), Some("cancelled"));
    let rows: u64 = told.field("rows").unwrap().parse().unwrap();
    assert!((1..1_000).contains(&rows), "{rows}");
}

#[tokio::test]
async fn no_value_is_told_whatever_happens() {
    let (_databases, db) = database(everything()).await;
    let log = Listening::to(Level::TRACE);
    db.execute(INSERT, (7, "canary")).await.unwrap();
    db.execute(INSERT, (7, "canary")).await.unwrap_err();
    db.execute("insert into users values (8, 'canary')", ()).await.unwrap();
    db.execute("insert into canary values (8, 'canary')", ()).await.unwrap_err();
    db.select_value::<String>("select 'canary' || ?", ("canary",)).await.unwrap();
    db.select_value::<i64>("select 'canary' || ?", ("canary",)).await.unwrap_err();
    db.execute_script("insert into users values (9, 'canary'); -- canary").await.unwrap();
    db.execute_many(INSERT, [(20, "canary"), (21, "canary")]).await.unwrap();
    db.bulk_insert("users", &["id", "name"], named(30..31)).await.unwrap();
    let stream = db.stream::<String>("select name from users where name = 'canary'", ());
    stream.await.unwrap().try_collect::<Vec<_>>().await.unwrap();
    let stack = Stack::new().execute(INSERT, (40, "canary")).select("select 'canary'", ());
    db.run_stack(&stack).await.unwrap().into_result().unwrap();
    let told = log.all();
    assert!(told.len() > 20, "{told:?}");
    let names_table =
        |told: &Told| told.field("statement") == Some("insert into canary values (…)");
    for told in told.iter().filter(|told| !names_table(told)) {
        assert!(!format!("{told:?}").contains("canary"), "{told:?}");
    }
    for figures in db.statements() {
        assert!(!figures.statement.replace("into canary", "").contains("canary"), "{figures:?}");
    }
}
