//! Rows that may be there already, and how far many of them have come.

use switchboard_core::{ErrorKind, Result};

use super::Verdict;
use super::subject::{ROW, Subject, count, ensure, equal, ids, put, refused};
use crate::{Progress, Statements, TransactionOptions, Value, Violation};

/// By their key, with names of columns and texts of any letters.
pub(super) async fn rows_that_are_there_are_updated_and_others_inserted(on: &Subject) -> Verdict {
    let quote = on.dialect()?.quote;
    let text = on.words().text;
    let odd = format!("{quote}odd, name{quote}");
    let table = on.table(&format!("id bigint primary key, {odd} {text}, more bigint")).await?;
    let insert = format!("insert into {table} (id, {odd}, more) values (?, ?, ?)");
    on.db().execute_many(&insert, [(1, "one", 10), (2, "two", 20)]).await?;
    let rows = [(2, Some("zw'ei\\")), (3, Some("🗝")), (1, None)];
    let rows = rows.map(|(id, name)| [Value::from(id), Value::from(name)]);
    let put = on.db().bulk_insert(&table, &["id", "odd, name"], rows).on_conflict(&["id"]).await?;
    equal(&put, &3, "rows of an upsert")?;
    let all = format!("select id, {odd}, more from {table} order by id");
    let found: Vec<(i64, Option<String>, Option<i64>)> = on.db().select(&all, ()).await?;
    let expected = [
        (1, None, Some(10)),
        (2, Some("zw'ei\\".to_owned()), Some(20)),
        (3, Some("🗝".to_owned()), None),
    ];
    equal(&found[..], &expected, "rows after an upsert")?;
    let none = Vec::<[Value; 1]>::new();
    let put = on.db().bulk_insert(&table, &["id"], none).on_conflict(&["id"]).keep().await?;
    equal(&put, &0, "rows of an empty upsert")
}

/// And all of them of a row that is new; the key may be several columns.
pub(super) async fn only_the_columns_that_are_named_are_updated(on: &Subject) -> Verdict {
    let columns = "a bigint, b bigint, c bigint, d bigint, primary key (a, b)";
    let table = on.table(columns).await?;
    on.db().execute(&format!("insert into {table} values (1, 1, 10, 10)"), ()).await?;
    let rows = [[1, 1, 20, 20], [1, 2, 30, 30]];
    let insert = on.db().bulk_insert(&table, &["a", "b", "c", "d"], rows);
    insert.on_conflict(&["b", "a"]).update(&["d"]).await?;
    let all = format!("select a, b, c, d from {table} order by a, b");
    let found: Vec<(i64, i64, i64, i64)> = on.db().select(&all, ()).await?;
    equal(&found[..], &[(1, 1, 10, 20), (1, 2, 30, 30)], "rows after an upsert of one column")
}

/// Whatever else is wrong with rows is told all the same.
pub(super) async fn rows_that_are_kept_stay_as_they_are(on: &Subject) -> Verdict {
    let table = on.table("id bigint primary key, name varchar(20) not null").await?;
    put(on.db(), &table, 1).await?;
    let rows = [(1, "other"), (2, "new"), (2, "newer")];
    let rows = rows.map(|(id, name)| [Value::from(id), Value::from(name)]);
    on.db().bulk_insert(&table, &["id", "name"], rows).on_conflict(&["id"]).keep().await?;
    let names = format!("select name from {table} order by id");
    let found: Vec<String> = on.db().select(&names, ()).await?;
    equal(&found[..], &["row 1".to_owned(), "new".to_owned()], "rows that were kept")?;
    let rows = [[Value::from(3), Value::from("a")], [Value::from(4), Value::Null]];
    let missing = on.db().bulk_insert(&table, &["id", "name"], rows).on_conflict(&["id"]).keep();
    let error = refused(missing.await, ErrorKind::InvalidInput, "an upsert without a value")?;
    equal(&Violation::of(&error), &Some(Violation::NotNull), "the violation of an upsert")?;
    equal(&error.context_value("row"), &Some("2"), "the row that an upsert names")?;
    equal(&ids(on.db(), &table).await?[..], &[1, 2], "rows after an upsert that failed")
}

/// Also where the server takes rows with one key only from different statements.
pub(super) async fn the_last_of_several_rows_with_one_key_counts(on: &Subject) -> Verdict {
    let table = on.table(ROW).await?;
    let rows = (0..2_500).map(|row| {
        let id = row % 1_999;
        [Value::from(id), Value::from(format!("row {row}"))]
    });
    on.db().bulk_insert(&table, &["id", "name"], rows).on_conflict(&["id"]).await?;
    let name = format!("select name from {table} where id = ?");
    for (id, expected) in [(0, "row 1999"), (500, "row 2499"), (501, "row 501")] {
        let found: String = on.db().select_value(&name, (id,)).await?;
        equal(&*found, expected, "the name of a row that was put twice")?;
    }
    equal(&count(on.db(), &table).await?, &1_999, "rows with keys of their own")?;
    let [first, last] = ["first", "last"].map(|name| [Value::from(7), Value::from(name)]);
    on.db().bulk_insert(&table, &["id", "name"], [first, last]).on_conflict(&["id"]).await?;
    let found: String = on.db().select_value(&name, (7,)).await?;
    equal(&*found, "last", "the name of a row that was put twice in a row")
}

/// The row that is to blame is named, wherever it stands.
pub(super) async fn more_rows_than_a_statement_takes_are_put_all_or_none(on: &Subject) -> Verdict {
    let columns = "id bigint primary key, n bigint not null, check (n < 100000)";
    let table = on.table(columns).await?;
    on.db().bulk_insert(&table, &["id", "n"], (1..=500).map(|id| [id, -1])).await?;
    for (bad, violation) in [(1, Some(Violation::Check)), (1_777, None), (MANY, None)] {
        let value = |id| if id == bad { Value::from(100_000) } else { Value::from(id) };
        let value = |id| if violation.is_none() && id == bad { Value::Null } else { value(id) };
        let rows = (1..=MANY).map(|id| [Value::from(id), value(id)]);
        let put = on.db().bulk_insert(&table, &["id", "n"], rows).on_conflict(&["id"]).await;
        let error = refused(put, ErrorKind::InvalidInput, "an upsert with a row that is wrong")?;
        let expected = violation.unwrap_or(Violation::NotNull);
        equal(&Violation::of(&error), &Some(expected), "the violation of an upsert")?;
        equal(&error.context_value("row"), &Some(&*bad.to_string()), "the row that is named")?;
        equal(&changed(on, &table).await?, &(500, 500), "rows after an upsert that failed")?;
    }
    let rows = (1..=MANY).map(|id| [id, id]);
    let put = on.db().bulk_insert(&table, &["id", "n"], rows).on_conflict(&["id"]).await?;
    equal(&i64::try_from(put).ok(), &Some(MANY), "rows of an upsert")?;
    equal(&changed(on, &table).await?, &(MANY, 0), "rows of an upsert")?;
    let nowhere = on.db().bulk_insert("nowhere_at_all", &["id", "n"], [[1, 1], [2, 2]]);
    let error = refused(nowhere.on_conflict(&["id"]).await, ErrorKind::InvalidInput, "no table")?;
    equal(&error.context_value("row"), &None, "the row that is named where all are wrong")
}

/// What was done before it stays, and more can be done after it.
pub(super) async fn an_upsert_is_all_or_none_inside_of_a_transaction(on: &Subject) -> Verdict {
    let table = on.table("id bigint primary key, name varchar(20) not null").await?;
    let row = |id: i64, name| [Value::from(id), Value::from(name)];
    let columns = ["id", "name"];
    let transaction = on.db().begin(&TransactionOptions::new()).await?;
    put(&transaction, &table, 100).await?;
    let rows = [row(1, Some("a")), row(100, Some("a")), row(2, None)];
    let failed = transaction.bulk_insert(&table, &columns, rows).on_conflict(&["id"]).await;
    refused(failed, ErrorKind::InvalidInput, "an upsert that fails")?;
    equal(&ids(&transaction, &table).await?[..], &[100], "rows after what failed")?;
    let inside = transaction.savepoint(async |inner| {
        let rows = [row(3, Some("a")), row(100, Some("b"))];
        inner.bulk_insert(&table, &columns, rows).on_conflict(&["id"]).await
    });
    inside.await?;
    put(&transaction, &table, 101).await?;
    transaction.commit().await?;
    equal(&ids(on.db(), &table).await?[..], &[3, 100, 101], "rows after the transaction")?;
    let name = format!("select name from {table} where id = 100");
    equal(&*on.db().select_value::<String>(&name, ()).await?, "b", "the row that was there")
}

/// Also where there are no rows.
pub(super) async fn columns_that_make_no_sense_are_refused_before_anything_is_asked(
    on: &Subject,
) -> Verdict {
    const NONE: &[&str] = &[];
    for (columns, key, updated) in [
        (NONE, &["id"][..], None),
        (&["id", "name"], NONE, None),
        (&["id", "name"], &["other"], None),
        (&["id", "name", "id"], &["id"], None),
        (&["id", "name"], &["id", "id"], None),
        (&["id", "name"], &["id", "name"], None),
        (&["id", "name"], &["id"], Some(NONE)),
        (&["id", "name"], &["id"], Some(&["other"])),
        (&["id", "name"], &["id"], Some(&["name", "name"])),
        (&["id", "name"], &["id"], Some(&["id"])),
    ] {
        for rows in [0, 1] {
            let rows = vec![vec![Value::Null; columns.len()]; rows];
            // No server knows the table.
            let insert = on.db().bulk_insert("nowhere_at_all", columns, rows).on_conflict(key);
            let put = match updated {
                Some(updated) => insert.update(updated).await,
                None => insert.await,
            };
            let what = format!("an upsert of {columns:?} by {key:?} and {updated:?}");
            let error = refused(put, ErrorKind::InvalidInput, &what)?;
            equal(&error.context_value("code"), &None, "what a server said")?;
        }
    }
    Ok(())
}

/// Of an insert and of an upsert; of none that failed all are told.
pub(super) async fn what_is_told_of_many_rows_goes_up_to_all_of_them(on: &Subject) -> Verdict {
    let table = on.table(ROW).await?;
    let all = u64::try_from(MANY).unwrap_or_default();
    let rows = |last: i64| {
        (1..MANY).chain([last]).map(|id| [Value::from(id), Value::from(format!("row {id}"))])
    };
    for (last, is_upsert) in [(MANY, false), (1, false), (MANY, true)] {
        let mut told = Vec::new();
        let insert = on.db().bulk_insert(&table, &["id", "name"], rows(last));
        let insert = insert.progress(|progress| told.push(progress));
        let put: Result<u64> =
            if is_upsert { insert.on_conflict(&["id"]).await } else { insert.await };
        equal(&put.is_ok(), &(last == MANY), "whether rows were put")?;
        goes_up(&told, all)?;
        let most = told.last().map_or(0, |progress| progress.rows);
        equal(&(most == all), &put.is_ok(), "whether all rows are told in the end")?;
    }
    Ok(())
}

fn goes_up(told: &[Progress], total: u64) -> Verdict {
    let is_news = told.windows(2).all(|pair| pair[0].rows < pair[1].rows);
    let is_within = told.iter().all(|progress| progress.rows <= total && progress.total == total);
    ensure(is_news && is_within, || format!("of {total} rows is told {told:?}"))
}

/// How many rows there are, and how many of them are as they were.
async fn changed(on: &Subject, table: &str) -> Result<(i64, i64)> {
    let counts = format!("select count(*), count(case when n = -1 then 1 end) from {table}");
    on.db().select_one(&counts, ()).await
}

const MANY: i64 = 2_600;
