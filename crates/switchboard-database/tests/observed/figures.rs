//! What statements have cost.

use std::time::Duration;

use futures_util::{FutureExt as _, TryStreamExt as _};
use switchboard_core::Settings;
use switchboard_database::{Database, StatementFigures, Statements as _};

use crate::{ENDLESS, database};

fn of(db: &Database, statement: &str) -> StatementFigures {
    let figures = db.statements();
    let found = figures.iter().find(|of| &*of.statement == statement);
    found.unwrap_or_else(|| panic!("{statement} is not in {figures:#?}")).clone()
}

#[tokio::test]
async fn statements_that_differ_in_values_are_counted_together() {
    let (_databases, db) = database(Settings::new()).await;
    for id in 1..=3 {
        let sql = format!("insert into users values ({id}, 'a')");
        db.execute(&sql, ()).await.unwrap();
    }
    db.execute("INSERT INTO users VALUES (?, ?)", (3, "b")).await.unwrap_err();
    let insert = of(&db, "insert into users values (…)");
    assert_eq!((insert.count, insert.errors, insert.cancelled, insert.rows), (4, 1, 0, 3));
    assert!(insert.slowest > Duration::ZERO && insert.slowest <= insert.took.total);
    assert_eq!(insert.took.count, 4);

    db.select::<i64>("select id from users", ()).await.unwrap();
    let stream = db.stream::<i64>("select id from users", ()).await.unwrap();
    stream.try_collect::<Vec<_>>().await.unwrap();
    let select = of(&db, "select id from users");
    assert_eq!((select.count, select.rows), (2, 6));
}

#[tokio::test]
async fn what_is_given_up_is_counted_as_such() {
    let (_databases, db) = database(Settings::new()).await;
    db.select::<i64>("select id from users", ()).await.unwrap();
    assert!(db.select::<i64>(ENDLESS, (9_000_000_000_000_i64,)).now_or_never().is_none());
    let figures = db.statements();
    let endless = figures.iter().find(|of| of.statement.starts_with("with recursive")).unwrap();
    assert_eq!((endless.count, endless.errors, endless.cancelled), (1, 0, 1));
}

#[tokio::test]
async fn the_slowest_statement_comes_first() {
    let (_databases, db) = database(Settings::new()).await;
    db.select::<i64>(ENDLESS.trim_end_matches("where i < ?"), ()).now_or_never();
    let slow = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 1000000) \
                select max(i) from n";
    db.select_value::<i64>(slow, ()).await.unwrap();
    db.select::<i64>("select id from users", ()).await.unwrap();
    let slowest: Vec<_> = db.statements().into_iter().map(|of| of.slowest).collect();
    assert!(slowest.is_sorted_by(|one, other| one >= other), "{slowest:?}");
    assert!(db.statements()[0].statement.starts_with("with recursive"));
}
