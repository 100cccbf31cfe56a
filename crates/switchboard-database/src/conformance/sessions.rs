//! What users leave on connections, and databases that are only for reading.

use switchboard_core::{ErrorKind, Result};

use super::Verdict;
use super::subject::{ROW, Subject, Wanted, count, ensure, equal, refused, resting};
use crate::{Database, OnError, Row, Rows, Stack, Statements, TransactionOptions, Value};

/// What a look at a connection shows: the answer, or what is wrong with it.
#[derive(Debug, PartialEq)]
enum Look {
    Rows(Vec<String>),
    Refused(ErrorKind),
}

async fn look(connection: &impl Statements, sql: &str) -> Look {
    match connection.rows(sql, ()).await {
        Ok(rows) => Look::Rows(shown(&rows)),
        Err(error) => Look::Refused(error.kind()),
    }
}

fn shown(rows: &Rows) -> Vec<String> {
    rows.rows.iter().map(|row| row.to_json().to_string()).collect()
}

/// What the database has of that sort, with a name that nobody else has.
fn residues(on: &Subject) -> Vec<[String; 2]> {
    let unique = on.name("r");
    let named = |sql: &str| sql.replace("{unique}", &unique);
    let residues = on.words().residues.iter();
    residues.map(|residue| [named(residue.left_by), named(residue.seen_by)]).collect()
}

/// The one connection that writes, for one after the other.
async fn single(on: &Subject) -> Result<Database> {
    on.another(Wanted::connections(1)).await
}

/// Settings, temporary tables, locks: whatever the database has of that sort.
pub(super) async fn what_is_left_on_a_connection_is_gone_for_the_next(on: &Subject) -> Verdict {
    let db = single(on).await?;
    ensure(!on.words().residues.is_empty(), || "the fixture names no residue".to_owned())?;
    for [left_by, seen_by] in &residues(on) {
        let before = db.connection().await?;
        let clean = look(&before, seen_by).await;
        before.execute(left_by, ()).await?;
        let left = look(&before, seen_by).await;
        ensure(clean != left, || format!("`{seen_by}` does not see it: {left:?}"))?;
        drop(before);
        let next = db.connection().await?;
        equal(&look(&next, seen_by).await, &clean, left_by)?;
    }
    Ok(())
}

/// Also where nobody had a connection of their own.
pub(super) async fn what_a_statement_of_the_handle_leaves_is_gone_for_the_next(
    on: &Subject,
) -> Verdict {
    let db = single(on).await?;
    for [left_by, seen_by] in &residues(on) {
        let clean = look(&db.connection().await?, seen_by).await;
        db.execute(left_by, ()).await?;
        let next = look(&db.connection().await?, seen_by).await;
        equal(&next, &clean, &format!("after the handle: {left_by}"))?;
        db.execute_script(left_by).await?;
        let next = look(&db.connection().await?, seen_by).await;
        equal(&next, &clean, &format!("after a script: {left_by}"))?;
        let transaction = db.begin(&TransactionOptions::new()).await?;
        transaction.execute(left_by, ()).await?;
        transaction.commit().await?;
        let next = look(&db.connection().await?, seen_by).await;
        equal(&next, &clean, &format!("after a transaction: {left_by}"))?;
    }
    resting(&db).await
}

/// As long as it is held.
pub(super) async fn a_connection_of_ones_own_keeps_what_is_left_on_it(on: &Subject) -> Verdict {
    let db = single(on).await?;
    for [left_by, seen_by] in &residues(on) {
        let connection = db.connection().await?;
        connection.execute(left_by, ()).await?;
        let left = look(&connection, seen_by).await;
        for _ in 0..3 {
            equal(&look(&connection, seen_by).await, &left, left_by)?;
        }
    }
    Ok(())
}

/// As a statement, a batch, a script, a stack, a bulk insert, in a transaction and in a question.
pub(super) async fn a_read_only_database_refuses_to_write_in_every_form(on: &Subject) -> Verdict {
    let table = on.numbered(on.db(), 1).await?;
    let db = on.another(Wanted::connections(2).with("read_only", true)).await?;
    let insert = format!("insert into {table} (id, name) values (2, 'a')");
    let denied = |answer: Result<()>, what: &str| {
        refused(answer, ErrorKind::PermissionDenied, what).map(drop)
    };
    denied(db.execute(&insert, ()).await.map(drop), "a statement")?;
    denied(db.execute_many(&insert, [(); 2]).await.map(drop), "a batch")?;
    denied(db.execute_script(&insert).await, "a script")?;
    denied(db.select::<Row>(&insert, ()).await.map(drop), "a question that writes")?;
    denied(db.stream::<Row>(&insert, ()).await.map(drop), "a stream that writes")?;
    let row = [[Value::from(2), Value::from("a")]];
    let insert_of = || db.bulk_insert(&table, &["id", "name"], row.clone());
    denied(insert_of().await.map(drop), "a bulk insert")?;
    denied(insert_of().on_conflict(&["id"]).await.map(drop), "an upsert")?;
    denied(db.execute(&format!("drop table {table}"), ()).await.map(drop), "a drop")?;
    denied(db.execute(&format!("create table no{table} ({ROW})"), ()).await.map(drop), "a create")?;
    let update = format!("select id from {table} for update");
    denied(db.rows(&update, ()).await.map(drop), "a lock")?;
    let connection = db.connection().await?;
    denied(connection.execute(&insert, ()).await.map(drop), "a connection")?;
    drop(connection);
    let transaction = db.begin(&TransactionOptions::new()).await?;
    denied(transaction.execute(&insert, ()).await.map(drop), "a transaction")?;
    transaction.rollback().await?;
    for on_error in [OnError::Stop, OnError::Continue] {
        let report = db.run_stack(&Stack::new().execute(&insert, ()).on_error(on_error)).await;
        let answer = report.and_then(|report| report.into_result().map(drop));
        denied(answer, "a stack")?;
    }
    if !on.is_private() {
        equal(&count(&db, &table).await?, &1, "rows that it reads")?;
    }
    equal(&count(on.db(), &table).await?, &1, "rows in the end")?;
    resting(&db).await
}
