mod dropping;
mod errors;
mod kept;
mod places;
mod sharing;
mod transactions;

use std::sync::Arc;

use switchboard_core::{Clock, ErrorKind, Result};
use tempfile::TempDir;

use super::*;
use crate::{Begin, BulkTarget, Done, Rows, Savepoint, State, Statement, Value, Violation};

/// A database in a folder of its own.
struct Home {
    folder: TempDir,
}

impl Home {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("app.db")
    }

    fn config(&self) -> SqliteConfig {
        SqliteConfig { path: Some(self.path()), ..SqliteConfig::default() }
    }

    fn database(&self) -> Sqlite {
        made(self.config())
    }
}

fn made(config: SqliteConfig) -> Sqlite {
    Sqlite::new(config, &DatabaseConfig::default(), Clock::system()).unwrap()
}

fn in_memory() -> Sqlite {
    made(SqliteConfig { memory: true, ..SqliteConfig::default() })
}

type Session = Box<dyn Connection>;

async fn execute(session: &mut Session, sql: &str, values: &[Value]) -> Result<Done> {
    let sql: Arc<str> = sql.into();
    session.execute(Statement { sql: &sql, values, is_kept: true }).await
}

async fn query(session: &mut Session, sql: &str, values: &[Value]) -> Result<Rows> {
    let sql: Arc<str> = sql.into();
    session.query(Statement { sql: &sql, values, is_kept: true }).await
}

async fn value(session: &mut Session, sql: &str) -> Value {
    let rows = query(session, sql, &[]).await.unwrap();
    rows.rows[0].values()[0].clone()
}

/// `assert_eq!` shows no values.
#[track_caller]
fn assert_value(found: &Value, wanted: &Value) {
    assert!(found == wanted, "{:?} instead of {:?}", shown(found), shown(wanted));
}

fn shown(value: &Value) -> String {
    match value {
        Value::Text(text) | Value::Json(text) => format!("{} {text:?}", value.kind()),
        Value::Bytes(bytes) => format!("bytes {bytes:?}"),
        Value::Date(date) => format!("{date:?}"),
        Value::Time(time) => format!("{time:?}"),
        Value::DateTime(time) => format!("{time:?}"),
        Value::Timestamp(time) => format!("{time:?}"),
        Value::Int(number) => format!("int {number}"),
        Value::Float(number) => format!("float {number}"),
        Value::Decimal(number) => format!("decimal {number}"),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn a_writer_writes_what_a_reader_then_reads() {
    for (database, _home) in [(in_memory(), None), {
        let home = Home::new();
        (home.database(), Some(home))
    }] {
        let mut writer = database.connect(Lane::Write).await.unwrap();
        let mut reader = database.connect(Lane::Read).await.unwrap();
        writer
            .script(
                "create table t (id integer primary key, name text); create index n on t (name)",
            )
            .await
            .unwrap();
        let done = execute(
            &mut writer,
            "insert into t (name) values (?1), (?2)",
            &[Value::Text("a".into()), Value::Text("b".into())],
        )
        .await
        .unwrap();
        assert_eq!((done.affected, done.last_id), (2, Some(2)));
        let rows = query(&mut reader, "select id, name from t order by id", &[]).await.unwrap();
        assert_eq!(rows.rows.len(), 2);
        assert_value(rows.rows[1].get("name").unwrap(), &Value::Text("b".into()));
        assert_eq!(writer.state(), State::Idle);
        let refused = execute(&mut reader, "delete from t", &[]).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
        writer.close().await.unwrap();
        reader.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_transaction_is_kept_or_taken_back() {
    let database = in_memory();
    let mut session = database.connect(Lane::Write).await.unwrap();
    session.script("create table t (id integer primary key)").await.unwrap();
    for (keeps, count) in [(true, 1), (false, 1)] {
        session.begin(&Begin::default()).await.unwrap();
        assert_eq!(session.state(), State::InTransaction);
        execute(&mut session, "insert into t default values", &[]).await.unwrap();
        session.savepoint(Savepoint::Set, 1).await.unwrap();
        execute(&mut session, "insert into t default values", &[]).await.unwrap();
        session.savepoint(Savepoint::RollBack, 1).await.unwrap();
        if keeps {
            session.commit().await.unwrap();
        } else {
            session.rollback().await.unwrap();
        }
        assert_eq!(session.state(), State::Idle);
        assert_value(&value(&mut session, "select count(*) from t").await, &Value::Int(count));
    }
}

#[tokio::test]
async fn many_rows_are_inserted_all_or_none() {
    let database = in_memory();
    let mut session = database.connect(Lane::Write).await.unwrap();
    session.script("create table t (id integer primary key)").await.unwrap();
    let rows: Vec<_> = (1..=2_500).map(|id| vec![Value::Int(id)]).collect();
    let target = BulkTarget::new("t", &["id"]);
    assert_eq!(session.bulk(target, &rows).await.unwrap(), 2_500);
    let rows: Vec<_> = (4_000..=6_001).rev().chain([7]).map(|id| vec![Value::Int(id)]).collect();
    let error = session.bulk(target, &rows).await.unwrap_err();
    assert_eq!(error.context_value("row"), Some("2003"));
    assert_eq!(Violation::of(&error), Some(Violation::Unique));
    assert_value(&value(&mut session, "select count(*) from t").await, &Value::Int(2_500));
    assert_eq!(session.state(), State::Idle);
}

async fn run(session: &mut Session, sql: &str) -> Done {
    execute(session, sql, &[]).await.unwrap()
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// Statements that never end by themselves.
const ENDLESS: &str =
    "with recursive n(i) as (select 1 union all select i + 1 from n) select max(i) from n";
const ENDLESS_ROWS: &str = "with recursive n(i) as (select 1 union all select i + 1 from n) select i from n where i % 2 = 3 or i = 1";
