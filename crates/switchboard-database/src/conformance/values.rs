//! Values: what is put comes back, and what cannot be is refused.

use std::fmt;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use switchboard_core::{ErrorKind, Outcome, Result};

use super::subject::{Subject, ensure, equal, failed, refused};
use super::{Failure, Verdict};
use crate::{Date, DateTime, Decimal, Params, Statements as _, Time, Value};

/// A table with one column, in which one value is put after the other.
struct Column<'s> {
    on: &'s Subject,
    table: String,
}

impl<'s> Column<'s> {
    async fn of(on: &'s Subject, kind: &str) -> Result<Self> {
        Ok(Self { on, table: on.table(&format!("v {kind}")).await? })
    }

    async fn put(&self, value: impl Into<Value>) -> Result<()> {
        let insert = format!("insert into {} (v) values (?)", self.table);
        self.on.db().execute(&insert, Params::positional([value.into()])).await.map(drop)
    }

    /// The only value, and nothing is there any more.
    async fn taken<T: DeserializeOwned>(&self) -> Result<T> {
        let rows = self.on.db().rows(&format!("select v from {}", self.table), ()).await?;
        self.on.db().execute(&format!("delete from {}", self.table), ()).await?;
        rows.rows.first().map_or_else(|| Err(missing()), |row| row.at(0))
    }

    async fn keeps<V>(&self, value: V) -> Verdict
    where
        V: Into<Value> + DeserializeOwned + Clone + PartialEq + fmt::Debug + Send,
    {
        self.put(value.clone()).await?;
        let select = format!("select v from {}", self.table);
        let read = self.on.db().select::<(V,)>(&select, ()).await?;
        equal(&read, &vec![(value.clone(),)], &format!("what was read of {}", self.table))?;
        equal(&self.taken::<V>().await?, &value, &format!("what came back in {}", self.table))
    }
}

fn missing() -> switchboard_core::Error {
    switchboard_core::Error::new(ErrorKind::NotFound, "the row that was put is not there")
}

/// One value of each kind there is.
pub(super) async fn every_kind_of_value_comes_back_as_it_was_put(on: &Subject) -> Verdict {
    let words = on.words();
    let truth = Column::of(on, words.bool).await?;
    truth.keeps(true).await?;
    truth.keeps(false).await?;
    Column::of(on, "bigint").await?.keeps(-7_i64).await?;
    Column::of(on, words.float).await?.keeps(0.1_f64).await?;
    let decimal = Decimal::from_text("12345678901234567890.0123456789");
    Column::of(on, words.decimal).await?.keeps(decimal).await?;
    Column::of(on, words.text).await?.keeps("naïve 🗝 'quoted' \\ \"text\"".to_owned()).await?;
    Column::of(on, "date").await?.keeps(day(2024, 2, 29)?).await?;
    Column::of(on, words.time).await?.keeps(time_of_day(23, 59, 58, 123_456)?).await?;
    let date_time = moment(day(2024, 2, 29)?, time_of_day(1, 2, 3, 456_789)?)?;
    Column::of(on, words.date_time).await?.keeps(date_time).await?;
    Column::of(on, words.timestamp).await?.keeps(date_time.in_utc()).await?;
    let bytes = Column::of(on, words.bytes).await?;
    bytes.put((0..=255).collect::<Vec<u8>>()).await?;
    equal(&bytes.taken::<Bytes>().await?.0, &(0..=255).collect(), "every byte there is")?;
    let uuid = Column::of(on, words.uuid).await?;
    uuid.put(Value::uuid([0xA0; 16])).await?;
    let hyphenated = "a0a0a0a0-a0a0-a0a0-a0a0-a0a0a0a0a0a0";
    equal(uuid.taken::<String>().await?.as_str(), hyphenated, "a uuid as text")?;
    let json = Column::of(on, words.json).await?;
    json.put(Value::json(&Note { title: "a \"note\"".to_owned(), tags: vec![1, 2] })?).await?;
    let note = Note { title: "a \"note\"".to_owned(), tags: vec![1, 2] };
    equal(&json.taken::<Note>().await?, &note, "a structure that was put as JSON")
}

/// Null is put into, and read from, a column of every type.
pub(super) async fn nothing_comes_back_from_a_column_of_every_kind(on: &Subject) -> Verdict {
    let words = on.words();
    let kinds = [
        words.bool,
        "bigint",
        words.float,
        words.decimal,
        words.text,
        words.bytes,
        "date",
        words.time,
        words.date_time,
        // Some servers put the present moment where nothing is said of null.
        &format!("{} null", words.timestamp),
        words.uuid,
        words.json,
    ];
    for kind in kinds {
        let column = Column::of(on, kind).await?;
        column.put(Value::Null).await?;
        let found: Option<String> = column.taken().await?;
        equal(&found, &None, &format!("null in a column of {kind}"))?;
    }
    Ok(())
}

/// The smallest and the greatest, the empty and the large.
pub(super) async fn the_limits_of_numbers_times_texts_and_bytes_are_kept(on: &Subject) -> Verdict {
    let words = on.words();
    let integer = Column::of(on, "bigint").await?;
    for number in [i64::MIN, -1, 0, i64::MAX] {
        integer.keeps(number).await?;
    }
    let float = Column::of(on, words.float).await?;
    for number in [f64::MAX, f64::MIN, f64::MIN_POSITIVE, 1.0 / 3.0, 0.0] {
        float.keeps(number).await?;
    }
    let date = Column::of(on, "date").await?;
    for day in [day(1000, 1, 1)?, day(9999, 12, 31)?] {
        date.keeps(day).await?;
    }
    let last = moment(day(9999, 12, 31)?, time_of_day(23, 59, 59, 999_999)?)?;
    Column::of(on, words.date_time).await?.keeps(last).await?;
    let text = Column::of(on, words.text).await?;
    for kept in ["", " ", "\n\t\r", "%s ? $1 :name", "\u{10FFFF}", &"x".repeat(60_000)] {
        text.keeps(kept.to_owned()).await?;
    }
    let bytes = Column::of(on, words.bytes).await?;
    for length in [0_u32, 1, 1 << 20] {
        let put: Vec<u8> = (0..length).map(|index| index.to_le_bytes()[0]).collect();
        bytes.put(put.clone()).await?;
        let came: Bytes = bytes.taken().await?;
        ensure(came.0 == put, || format!("{length} bytes came back as {}", came.0.len()))?;
    }
    Ok(())
}

/// It is an error of the one who gave it, not of the server, and nothing is kept.
pub(super) async fn what_a_column_cannot_hold_is_refused(on: &Subject) -> Verdict {
    let integer = Column::of(on, "bigint").await?;
    let too_large = integer.put(Value::UInt(u64::MAX)).await;
    refused(too_large, ErrorKind::InvalidInput, "a number beyond a bigint")?;
    let text = Column::of(on, on.words().text).await?;
    match text.put("a\0b").await {
        Ok(()) => equal(text.taken::<String>().await?.as_str(), "a\0b", "a text with a NUL")?,
        refusal => {
            refused(refusal, ErrorKind::InvalidInput, "a text with a NUL")?;
        }
    }
    for column in [integer, text] {
        let left = super::subject::count(on.db(), &column.table).await?;
        equal(&left, &0, "how many rows a refused value left")?;
    }
    on.db().select_value::<i64>("select 1", ()).await?;
    Ok(())
}

/// Where there is a type for them, nothing included; elsewhere nothing happens.
pub(super) async fn arrays_come_back_where_there_are_some_and_are_refused_elsewhere(
    on: &Subject,
) -> Verdict {
    let Some(kind) = on.words().integers else {
        let text = Column::of(on, on.words().text).await?;
        let refusal = text.put(Value::array([1, 2])).await;
        refused(refusal, ErrorKind::Unsupported, "an array, where there are none")?;
        return equal(&super::subject::count(on.db(), &text.table).await?, &0, "rows");
    };
    ensure(on.dialect()?.has_arrays, || "the dialect says that there are no arrays".to_owned())?;
    let column = Column::of(on, kind).await?;
    for numbers in [vec![], vec![1_i64, -2, 3], (0..1_000).collect()] {
        column.keeps(numbers).await?;
    }
    column.put(Value::Array(vec![Value::Int(1), Value::Null])).await?;
    equal(&column.taken::<Vec<Option<i64>>>().await?, &vec![Some(1), None], "a null in an array")
}

/// Whatever type an application has for it.
pub(super) async fn a_row_is_read_as_a_tuple_a_struct_and_one_value(on: &Subject) -> Verdict {
    let table = on.table("id bigint primary key, title varchar(50)").await?;
    let insert = format!("insert into {table} (id, title) values (:id, :title)");
    on.db().execute(&insert, crate::params! { "id" => 1, "title" => "Ada" }).await?;
    on.db().execute(&insert, crate::params! { "id" => 2, "title" => None::<&str> }).await?;
    let select = format!("select title, id from {table} order by id");
    let tuples: Vec<(Option<String>, i64)> = on.db().select(&select, ()).await?;
    equal(&tuples, &vec![(Some("Ada".to_owned()), 1), (None, 2)], "rows as tuples")?;
    let structs: Vec<Line> = on.db().select(&select, ()).await?;
    let expected = [Line { id: 1, title: Some("Ada".to_owned()) }, Line { id: 2, title: None }];
    equal(&structs[..], &expected, "rows as structures")?;
    let one: String =
        on.db().select_one(&format!("select title from {table} where id = ?"), (1,)).await?;
    equal(one.as_str(), "Ada", "one value")?;
    let rows = on.db().rows(&select, ()).await?;
    let json: Vec<_> = rows.rows.iter().map(crate::Row::to_json).collect();
    let expected = serde_json::json!([{ "title": "Ada", "id": 1 }, { "title": null, "id": 2 }]);
    equal(&serde_json::Value::Array(json), &expected, "rows as JSON")
}

/// So that it can be mended without a look at the data, which it does not show.
pub(super) async fn a_mismatch_names_the_column_and_both_kinds(on: &Subject) -> Verdict {
    let table = on.table("id bigint primary key, title varchar(50)").await?;
    let insert = format!("insert into {table} (id, title) values (?, ?)");
    on.db().execute(&insert, (1, "a secret")).await?;
    let select = format!("select id, title from {table}");
    let mismatch = on.db().select::<(i64, i64)>(&select, ()).await;
    let error = failed(mismatch, "a text that is read as a number")?;
    equal(&error.context_value("column"), &Some("title"), "the column of a mismatch")?;
    equal(&error.context_value("found"), &Some("text"), "the kind that was found")?;
    equal(&error.context_value("expected"), &Some("i64"), "the kind that was expected")?;
    equal(&error.outcome(), &Outcome::Applied, "whether the statement was run")?;
    ensure(!format!("{error:?}").contains("secret"), || format!("it shows the value: {error:?}"))
}

#[derive(Debug, PartialEq, Deserialize)]
struct Line {
    id: i64,
    title: Option<String>,
}

#[derive(Debug, PartialEq, serde::Serialize, Deserialize)]
struct Note {
    title: String,
    tags: Vec<i64>,
}

/// Bytes, read as such and not one by one.
struct Bytes(Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> std::result::Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self)
    }
}

fn day(year: i32, month: u8, day: u8) -> std::result::Result<Date, Failure> {
    Date::new(year, month, day).ok_or_else(|| Failure("there is no such day".to_owned()))
}

fn time_of_day(
    hour: u8,
    minute: u8,
    second: u8,
    micros: u32,
) -> std::result::Result<Time, Failure> {
    let time = Time::new(hour, minute, second, micros);
    time.ok_or_else(|| Failure("there is no such time".to_owned()))
}

fn moment(date: Date, time: Time) -> std::result::Result<DateTime, Failure> {
    DateTime::new(date, time).ok_or_else(|| Failure("there is no such moment".to_owned()))
}
