//! Queries that are asked again and again.

use std::time::Duration;

use switchboard_core::{Result, Settings};
use switchboard_database::{Statements, TransactionOptions};
use tracing::Level;

use crate::database;
use crate::log::{Listening, Told};

const NAME_OF: &str = "select name from users where id = ?";

fn warning() -> Settings {
    Settings::new().with("n_plus_one", Settings::new().with("warn_after", 3))
}

fn told(log: &Listening) -> Vec<Told> {
    log.events("a query is asked again and again: one for all values would do")
}

/// Asks for each id by itself; the lines on which it does so.
async fn one_by_one(on: &impl Statements, ids: std::ops::Range<i64>) -> Result<u32> {
    let line = line!() + 2;
    for id in ids {
        on.select_one_or_none::<String>(NAME_OF, (id,)).await?;
    }
    Ok(line)
}

#[tokio::test]
async fn a_query_for_each_row_is_told_once_with_the_lines_that_ask() {
    let (_databases, db) = database(warning()).await;
    let log = Listening::to(Level::WARN);
    let line = db.transaction(|tx| async move { one_by_one(&tx, 0..20).await }).await.unwrap();
    let [told] = told(&log).try_into().unwrap();
    assert_eq!((told.level, told.target), (Level::WARN, "switchboard::database"));
    assert_eq!(told.field("instance"), Some("main"));
    assert_eq!(told.field("statement"), Some("select name from users where id = ?"));
    assert_eq!(told.field("count"), Some("4"));
    for field in ["first", "last"] {
        let place = told.field(field).unwrap();
        assert!(place.contains(&format!("repeats.rs:{line}:")), "{field}: {place}");
    }
}

#[tokio::test]
async fn the_first_and_the_last_line_may_be_different() {
    let (_databases, db) = database(warning()).await;
    let log = Listening::to(Level::WARN);
    let connection = db.connection().await.unwrap();
    connection.select::<String>(NAME_OF, (1,)).await.unwrap();
    let line = one_by_one(&connection, 2..9).await.unwrap();
    let [told] = told(&log).try_into().unwrap();
    assert!(!told.field("first").unwrap().contains(&format!("repeats.rs:{line}:")));
    assert!(told.field("last").unwrap().contains(&format!("repeats.rs:{line}:")));
}

#[tokio::test]
async fn tasks_and_transactions_by_hand_are_looked_at_too() {
    let (databases, db) = database(warning()).await;
    let log = Listening::to(Level::WARN);
    let reaper = databases.environment().reaper();
    let (handle, minute) = (db.clone(), Duration::from_mins(1));
    let task = async move { one_by_one(&handle, 0..4).await.map(drop) };
    reaper.submit("ask in a task", minute, task).ended().await.unwrap();
    assert_eq!(told(&log).len(), 1);
    let open = db.begin(&TransactionOptions::new()).await.unwrap();
    one_by_one(&open, 0..4).await.unwrap();
    assert_eq!(told(&log).len(), 2);
}

#[tokio::test]
async fn what_is_asked_by_different_work_is_not_counted_together() {
    let (_databases, db) = database(warning()).await;
    let log = Listening::to(Level::WARN);
    for _ in 0..4 {
        db.transaction(|tx| async move { one_by_one(&tx, 0..3).await }).await.unwrap();
    }
    assert!(told(&log).is_empty());
}

#[tokio::test]
async fn writes_long_answers_and_queries_without_values_are_not_told() {
    let (_databases, db) = database(warning()).await;
    let ids = (0..50).map(|id| (id, "canary"));
    db.execute_many("insert into users values (?, ?)", ids).await.unwrap();
    let log = Listening::to(Level::WARN);
    let work = db.transaction(|tx| async move {
        for id in 0..10 {
            tx.execute("update users set name = 'b' where id = ?", (id,)).await?;
            tx.select::<i64>("select id from users where id >= ?", (id,)).await?;
            tx.select_value::<i64>("select count(*) from users", ()).await?;
        }
        Ok::<_, switchboard_core::Error>(())
    });
    work.await.unwrap();
    assert!(told(&log).is_empty());
}

#[tokio::test]
async fn nothing_is_told_unless_it_is_asked_for() {
    let (_databases, db) = database(Settings::new()).await;
    let log = Listening::to(Level::WARN);
    db.transaction(|tx| async move { one_by_one(&tx, 0..200).await }).await.unwrap();
    assert!(told(&log).is_empty());
}
