//! Rows: one, many, and one after the other.

use std::collections::BTreeMap;
use std::fmt;

use futures_util::{StreamExt as _, TryStreamExt as _};
use serde::de::Visitor;
use serde::{Deserialize, Deserializer};
use switchboard_core::ErrorKind;

use super::subject::{
    HANG_LIMIT, ROW, Subject, count, ensure, equal, failed, ids, in_time, put, resting, value,
};
use super::{Failure, Verdict, Words};
use crate::{DateTime, Row, Statements as _, TransactionOptions, Value};

/// Both are errors, and each its own.
pub(super) async fn one_row_is_told_from_none_and_from_many(on: &Subject) -> Verdict {
    let table = on.numbered(on.db(), 2).await?;
    let select = |id: i64| format!("select id from {table} where id >= {id}");
    equal(&on.db().select_one::<i64>(&select(2), ()).await?, &2, "the one row")?;
    equal(&on.db().select_one_or_none::<i64>(&select(2), ()).await?, &Some(2), "the one row")?;
    equal(&on.db().select_one_or_none::<i64>(&select(3), ()).await?, &None, "no row")?;
    let none = failed(on.db().select_one::<i64>(&select(3), ()).await, "no row")?;
    equal(&none.kind(), &ErrorKind::NotFound, "no row where one was expected")?;
    for many in [
        on.db().select_one::<i64>(&select(1), ()).await.map(Some),
        on.db().select_one_or_none::<i64>(&select(1), ()).await,
    ] {
        let error = failed(many, "two rows")?;
        equal(&error.kind(), &ErrorKind::PreconditionFailed, "two rows where one was expected")?;
    }
    Ok(())
}

/// A null is a value; no row is none.
pub(super) async fn one_value_is_told_from_none_and_from_several_columns(on: &Subject) -> Verdict {
    let table = on.table(ROW).await?;
    on.db().execute(&format!("insert into {table} (id, name) values (1, null)"), ()).await?;
    let name = format!("select name from {table} where id = ?");
    let null: Option<String> = on.db().select_value(&name, (1,)).await?;
    equal(&null, &None, "a null")?;
    let none: Option<Option<String>> = on.db().select_value_or_none(&name, (2,)).await?;
    equal(&none, &None, "no row")?;
    let missing = failed(on.db().select_value::<Option<String>>(&name, (2,)).await, "no row")?;
    equal(&missing.kind(), &ErrorKind::NotFound, "no row where a value was expected")?;
    let both = format!("select id, name from {table}");
    let several = failed(on.db().select_value::<i64>(&both, ()).await, "two columns")?;
    equal(&several.kind(), &ErrorKind::InvalidInput, "two columns where one was expected")
}

/// The value itself, and not the row as a map of one entry.
pub(super) async fn one_value_is_read_by_what_takes_anything(on: &Subject) -> Verdict {
    let (text, json) = (on.words().text, on.words().json);
    let table = on.table(&format!("id bigint primary key, name {text}, doc {json}")).await?;
    let insert = format!("insert into {table} (id, name, doc) values (?, ?, ?)");
    let doc = serde_json::json!({ "a": [1, null, "b"] });
    on.db().execute(&insert, (7, "Ada", Value::Json(doc.to_string()))).await?;
    on.db().execute(&insert, (8, None::<&str>, None::<&str>)).await?;
    let of = |column: &str| format!("select {column} from {table} where id = ?");
    for (column, id, expected) in [
        ("id", 7, serde_json::json!(7)),
        ("name", 7, serde_json::json!("Ada")),
        ("doc", 7, doc.clone()),
        ("name", 8, serde_json::Value::Null),
    ] {
        let found: serde_json::Value = on.db().select_value(&of(column), (id,)).await?;
        equal(&found, &expected, "a value that was asked for")?;
        let found = on.db().select_value_or_none(&of(column), (id,)).await?;
        equal(&found, &Some(expected.clone()), "a value that was asked for")?;
        let row: serde_json::Value = on.db().select_one(&of(column), (id,)).await?;
        equal(&row, &serde_json::json!({ column: expected }), "a row of one value")?;
    }
    let map: BTreeMap<String, Vec<Option<serde_json::Value>>> =
        on.db().select_value(&of("doc"), (7,)).await?;
    equal(&map["a"].len(), &3, "values in a document")?;
    // What takes no map cannot be meant to be a row.
    let all = format!("select id from {table} order by id");
    let [seven, eight] = [Some(Anything(7)), Some(Anything(8))];
    let found: Vec<Option<Anything>> = on.db().select(&all, ()).await?;
    equal(&found[..], &[seven, eight], "values that were listed")?;
    let found: Vec<Anything> = on.db().stream(&all, ()).await?.try_collect().await?;
    equal(&found[..], &[Anything(7), Anything(8)], "values that were streamed")
}

/// A number, read from whatever says that it is one.
#[derive(Debug, PartialEq)]
struct Anything(i64);

impl<'de> Deserialize<'de> for Anything {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OfNumber)
    }
}

struct OfNumber;

impl Visitor<'_> for OfNumber {
    type Value = Anything;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_i64<E>(self, number: i64) -> Result<Anything, E> {
        Ok(Anything(number))
    }
}

/// Byte for byte, with all that has a meaning in it, and also where there are no rows.
pub(super) async fn rows_as_csv_are_the_same_from_every_database(on: &Subject) -> Verdict {
    let Words { text, decimal, date_time, float, .. } = *on.words();
    let columns =
        "id bigint primary key, name {text}, price {decimal}, at {date_time}, share {float}";
    let columns = columns.replace("{text}", text).replace("{decimal}", decimal);
    let columns = columns.replace("{date_time}", date_time).replace("{float}", float);
    let table = on.table(&columns).await?;
    let select =
        format!("select id, name, price as \"the price\", at, share from {table} order by id");
    let select = select.replace('"', &on.dialect()?.quote.to_string());
    let head = "id,name,the price,at,share\r\n";
    equal(&*csv(on, &select).await?, head, "CSV of no rows")?;
    let at = DateTime::from_micros(1_700_000_000_123_456);
    let price = Value::Decimal("-12.0000000001".parse()?);
    let rows = [
        [1.into(), "a,\"b\"\r\n🗝".into(), price, at.into(), 0.5.into()],
        [2.into(), "".into(), Value::Null, Value::Null, Value::Null],
        [3.into(), Value::Null, Value::Null, Value::Null, 1e300.into()],
    ];
    on.db().bulk_insert(&table, &["id", "name", "price", "at", "share"], rows).await?;
    let expected = format!(
        "{head}1,\"a,\"\"b\"\"\r\n🗝\",-12.0000000001,{},{}\r\n2,\"\",,,\r\n3,,,,{}\r\n",
        Value::from(at).to_text(),
        Value::from(0.5).to_text(),
        Value::from(1e300).to_text(),
    );
    equal(&csv(on, &select).await?, &expected, "CSV")?;
    let wrong = on.db().stream_csv("select nothing_such from nowhere", ()).await;
    let error = match wrong {
        Err(error) => error,
        Ok(csv) => failed(csv.try_collect::<Vec<_>>().await, "CSV of a wrong statement")?,
    };
    equal(&error.kind(), &ErrorKind::InvalidInput, "a statement that is wrong")?;
    resting(on.db()).await
}

async fn csv(on: &Subject, select: &str) -> Result<String, Failure> {
    let pieces: Vec<_> = on.db().stream_csv(select, ()).await?.try_collect().await?;
    String::from_utf8(pieces.concat()).map_err(|error| Failure(error.to_string()))
}

/// More of it than fits anywhere; what is not read is not waited for.
pub(super) async fn csv_that_is_left_gives_its_connection_back(on: &Subject) -> Verdict {
    let endless = on.endless(on.db()).await?;
    let closed = || on.db().pools().iter().map(|pool| pool.closed.len()).sum::<usize>();
    let read = async {
        let mut csv = on.db().stream_csv(&endless, ()).await?;
        let mut bytes = 0;
        while bytes < 1 << 20 {
            let piece = csv.next().await.transpose()?.unwrap_or_default();
            ensure(!piece.is_empty(), || format!("CSV without end ended at {bytes} bytes"))?;
            ensure(piece.len() < 1 << 17, || format!("a piece of CSV has {} bytes", piece.len()))?;
            bytes += piece.len();
        }
        drop(csv);
        resting(on.db()).await
    };
    in_time(HANG_LIMIT, "leaving CSV that has no end", read).await??;
    equal(&closed(), &0, "connections closed because CSV was left")
}

/// More of them than are fetched at a time.
pub(super) async fn a_stream_brings_all_rows_in_order(on: &Subject) -> Verdict {
    let table = on.numbered(on.db(), 2_500).await?;
    for from in [1_i64, 2_500, 2_501] {
        let select = format!("select id from {table} where id >= ? order by id");
        let rows: Vec<i64> = on.db().stream::<i64>(&select, (from,)).await?.try_collect().await?;
        let expected: Vec<i64> = (from..=2_500).collect();
        ensure(rows == expected, || format!("{} of {} rows came", rows.len(), expected.len()))?;
    }
    resting(on.db()).await
}

/// More rows than fit anywhere; what is not read is not waited for, and the connection stays.
pub(super) async fn a_stream_without_end_is_read_a_few_rows_at_a_time(on: &Subject) -> Verdict {
    let table = on.table(ROW).await?;
    let endless = on.endless(on.db()).await?;
    let closed = || on.db().pools().iter().map(|pool| pool.closed.len()).sum::<usize>();
    for rows in [1, 10_000] {
        let read = async {
            let mut stream = on.db().stream::<(i64, String)>(&endless, ()).await?;
            for _ in 0..rows {
                stream.next().await.transpose()?;
            }
            drop(stream);
            resting(on.db()).await
        };
        in_time(HANG_LIMIT, "leaving a stream that has no end", read).await??;
        equal(&closed(), &0, "connections closed because a stream was left")?;
        put(on.db(), &table, rows).await?;
    }
    equal(&ids(on.db(), &table).await?[..], &[1, 10_000], "rows after streams were left")
}

/// While the stream itself is still there.
pub(super) async fn a_stream_gives_its_connection_back_after_the_last_row(on: &Subject) -> Verdict {
    let table = on.numbered(on.db(), 300).await?;
    let mut stream = on.db().stream::<i64>(&format!("select id from {table}"), ()).await?;
    ensure(on.db().pools().iter().map(|pool| pool.in_use).sum::<usize>() == 1, || {
        "a stream has no connection".to_owned()
    })?;
    while stream.next().await.transpose()?.is_some() {}
    resting(on.db()).await?;
    equal(&stream.next().await.transpose()?, &None, "a row after the last")
}

/// What it did before is there, and the next statement is part of it.
pub(super) async fn a_stream_that_is_left_leaves_its_transaction_as_it_was(
    on: &Subject,
) -> Verdict {
    let table = on.table(ROW).await?;
    let endless = on.endless(on.db()).await?;
    let transaction = on.db().begin(&TransactionOptions::new()).await?;
    put(&transaction, &table, 1).await?;
    for id in 2..5 {
        let mut stream = transaction.stream::<(i64, String)>(&endless, ()).await?;
        stream.next().await.transpose()?;
        drop(stream);
        put(&transaction, &table, id).await?;
    }
    equal(&count(&transaction, &table).await?, &4, "rows in the transaction")?;
    transaction.rollback().await?;
    equal(&count(on.db(), &table).await?, &0, "rows after it was rolled back")
}

/// And what comes after it is nothing.
pub(super) async fn an_error_in_a_stream_ends_it(on: &Subject) -> Verdict {
    let table = on.numbered(on.db(), 600).await?;
    let mut stream = on.db().stream::<i64>(&format!("select name from {table}"), ()).await?;
    let first = stream.next().await;
    ensure(matches!(first, Some(Err(_))), || "a text was read as a number".to_owned())?;
    drop(stream);
    let wrong = on.db().stream::<Row>("select nothing_such from nowhere", ()).await;
    match wrong {
        Err(error) => equal(&error.kind(), &ErrorKind::InvalidInput, "a statement that is wrong")?,
        Ok(mut stream) => {
            let first = stream.next().await;
            ensure(matches!(first, Some(Err(_))), || "a wrong statement has rows".to_owned())?;
            ensure(stream.next().await.is_none(), || "a stream goes on after an error".to_owned())?;
        }
    }
    resting(on.db()).await
}

/// For who writes a head above them.
pub(super) async fn columns_are_known_where_there_are_no_rows(on: &Subject) -> Verdict {
    let table = on.table(ROW).await?;
    let rows = on.db().rows(&format!("select name, id as number from {table}"), ()).await?;
    let names: Vec<_> = rows.columns.iter().map(|column| column.name.to_string()).collect();
    equal(&names[..], &["name".to_owned(), "number".to_owned()], "the columns of no rows")?;
    equal(&rows.rows.len(), &0, "rows")
}

/// Although the statement was prepared before.
pub(super) async fn a_table_that_changes_under_a_statement_is_read_as_it_is_now(
    on: &Subject,
) -> Verdict {
    let table = on.numbered(on.db(), 1).await?;
    let select = format!("select * from {table}");
    for _ in 0..3 {
        let rows = on.db().rows(&select, ()).await?;
        equal(&rows.columns.len(), &2, "columns before the change")?;
    }
    on.db().execute(&format!("alter table {table} add column more bigint"), ()).await?;
    let others: Vec<i64> = vec![value(on.db(), "select 1").await?];
    for _ in 0..8 {
        let rows = on.db().rows(&select, ()).await?;
        equal(&rows.columns.len(), &3, "columns after the change")?;
        equal(&rows.rows.len(), &1, "rows after the change")?;
    }
    equal(&others[..], &ids(on.db(), &table).await?[..], "the rows themselves")
}
