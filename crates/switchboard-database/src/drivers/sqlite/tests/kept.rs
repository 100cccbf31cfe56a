//! Values on their way in and out.

use proptest::prelude::*;

use super::*;
use crate::{Date, DateTime, Decimal, Time, Timestamp};

/// What comes back of `value` from a column that is declared as `declared`.
async fn back(session: &mut Session, declared: &str, value: Value) -> Value {
    session
        .script(&format!("drop table if exists t; create table t (v {declared})"))
        .await
        .unwrap();
    execute(session, "insert into t values (?1)", &[value]).await.unwrap();
    self::value(session, "select v from t").await
}

/// A number of which SQLite has one that floats and is nearly the same, in the one way to write it.
fn short_decimal(number: i64, places: usize) -> Value {
    let digits = format!("{:0>1$}", number.unsigned_abs(), places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    let sign = if number < 0 { "-" } else { "" };
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    decimal(&format!("{sign}{whole}{point}{fraction}"))
}

fn decimal(digits: &str) -> Value {
    Value::Decimal(Decimal::from_text(digits))
}

#[tokio::test]
async fn a_value_comes_back_as_what_its_column_is_declared_as() {
    let mut session = in_memory().connect(Lane::Write).await.unwrap();
    let noon = 1_000_000 * (12 * 3600 + 34 * 60 + 56);
    for (declared, value) in [
        ("integer", Value::Null),
        ("bool", Value::Null),
        ("boolean", Value::Bool(true)),
        ("bool not null", Value::Bool(false)),
        ("integer", Value::Int(i64::MIN)),
        ("integer", Value::Int(i64::MAX)),
        ("real", Value::Float(f64::MIN_POSITIVE)),
        ("real", Value::Float(f64::INFINITY)),
        ("real", Value::Float(f64::NEG_INFINITY)),
        ("text", text("")),
        ("varchar(3)", text("longer than declared, and with a \0 in it: ü")),
        ("text", text(&"x".repeat(1_000_000))),
        ("blob", Value::Bytes(Vec::new())),
        ("blob", Value::Bytes([0, 255, 7].repeat(400_000))),
        ("date", Value::Date(Date::from_days(0))),
        ("DATE", Value::Date(Date::from_days(-719_528))),
        ("date", Value::Date(Date::from_days(2_932_896))),
        ("time", Value::Time(Time::from_micros(noon + 5))),
        ("time", Value::Time(Time::from_micros(-838 * 3_600_000_000 - 500_000))),
        ("datetime", Value::DateTime(DateTime::from_micros(noon))),
        ("datetime", Value::DateTime(DateTime::from_micros(-1))),
        ("timestamp without time zone", Value::DateTime(DateTime::from_micros(noon + 120))),
        ("timestamp", Value::Timestamp(Timestamp::from_micros(noon + 1))),
        ("timestamptz", Value::Timestamp(Timestamp::from_micros(-62_167_219_200_000_000))),
        (
            "timestamp with time zone",
            Value::Timestamp(Timestamp::from_micros(253_402_300_799_999_999)),
        ),
        ("uuid", Value::Uuid([0xab; 16])),
        ("guid", Value::Uuid([0; 16])),
        ("json", Value::Json(r#"{"a":[1,null]}"#.into())),
        ("json", Value::Json("7".into())),
        ("json", Value::Json("null".into())),
        ("decimal(10, 2)", decimal("1.25")),
        ("numeric", decimal("-123456789012345")),
        ("decimal text", decimal("1.5")),
        ("numeric text(40, 3)", decimal("1234567890123456789012345678901234567.89")),
    ] {
        assert_value(&back(&mut session, declared, value.clone()).await, &value);
    }
}

#[tokio::test]
async fn a_value_that_does_not_fit_the_declaration_is_what_it_is() {
    let mut session = in_memory().connect(Lane::Write).await.unwrap();
    for (declared, value) in [
        ("bool", Value::Int(2)),
        ("date", text("2026-02-30")),
        ("date", text("soon")),
        ("date", text("2026-02-28 12:00:00")),
        ("datetime", text("2026-02-28 12:00:00[Europe/Berlin]")),
        ("time", text("12:60:00")),
        ("time", text("12:00:00.1234567")),
        ("datetime", text("2026-02-28")),
        ("datetime", Value::Int(1_770_000_000)),
        ("timestamp", text("2026-02-28 12:00:00.1234567")),
        ("uuid", text("not-a-uuid")),
        ("uuid", Value::Bytes(vec![1; 15])),
        ("decimal", text("NaN")),
        ("decimal text", text("1.2.3")),
        ("integer", text("seven")),
    ] {
        assert_value(&back(&mut session, declared, value.clone()).await, &value);
    }
}

#[tokio::test]
async fn moments_are_written_as_sqlite_writes_them_and_read_with_a_zone_too() {
    let mut session = in_memory().connect(Lane::Write).await.unwrap();
    session
        .script("create table t (at timestamp default current_timestamp, n datetime)")
        .await
        .unwrap();
    let moment = Value::Timestamp(Timestamp::from_micros(1_772_323_199_500_000));
    execute(&mut session, "insert into t values (?1, ?1)", std::slice::from_ref(&moment))
        .await
        .unwrap();
    let kept = value(&mut session, "select cast(at as text) from t").await;
    assert_value(&kept, &text("2026-02-28 23:59:59.5"));
    assert_value(&value(&mut session, "select at from t").await, &moment);
    run(&mut session, "update t set n = '2026-03-01T00:59:59.5+01:00'").await;
    assert_value(&value(&mut session, "select n from t").await, &moment);
    run(&mut session, "insert into t (n) values (null)").await;
    let default = value(&mut session, "select at from t where n is null").await;
    assert_eq!(default.kind(), "timestamp");
    // One in UTC and one of SQLite's own are in the order of time as texts, too.
    assert_value(&value(&mut session, "select min(at) < max(at) from t").await, &Value::Int(1));
}

#[tokio::test]
async fn text_that_is_no_utf_8_comes_as_bytes() {
    let mut session = in_memory().connect(Lane::Write).await.unwrap();
    let found = value(&mut session, "select cast(x'61ff62' as text)").await;
    assert_value(&found, &Value::Bytes(vec![0x61, 0xff, 0x62]));
}

#[tokio::test]
async fn what_sqlite_cannot_keep_is_refused_before_anything_happens() {
    let mut session = in_memory().connect(Lane::Write).await.unwrap();
    session.script("create table t (a, b)").await.unwrap();
    for value in [
        Value::UInt(u64::MAX),
        Value::Float(f64::NAN),
        Value::Array(vec![Value::Int(1)]),
        Value::Date(Date::from_days(-719_529)),
        Value::Date(Date::from_days(i32::MAX)),
        Value::DateTime(DateTime::from_micros(i64::MIN)),
        Value::Timestamp(Timestamp::from_micros(i64::MAX)),
        Value::Timestamp(Timestamp::from_micros(253_402_300_800_000_000)),
        Value::Timestamp(Timestamp::from_micros(-62_167_219_200_000_001)),
    ] {
        let kind = value.kind();
        let insert = "insert into t values (?1, ?2)";
        let error = execute(&mut session, insert, &[text("secret"), value]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.context_value("position"), Some("2"));
        assert_eq!(error.context_value("kind"), Some(kind));
        assert!(!format!("{error:?}").contains("secret"));
    }
    assert_value(&value(&mut session, "select count(*) from t").await, &Value::Int(0));
}

#[tokio::test]
async fn numbers_of_values_must_agree() {
    let mut session = in_memory().connect(Lane::Write).await.unwrap();
    for values in [&[][..], &[Value::Int(1), Value::Int(2)]] {
        let error = query(&mut session, "select ?1", values).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.context_value("parameters"), Some("1"));
    }
}

#[tokio::test]
async fn columns_are_told_where_there_are_no_rows() {
    let mut session = in_memory().connect(Lane::Write).await.unwrap();
    session.script("create table t (id integer, at timestamp)").await.unwrap();
    let rows = query(&mut session, "select id, at, 1 + 1 as two from t", &[]).await.unwrap();
    let told: Vec<_> = rows.columns.iter().map(|c| (&*c.name, c.type_name.as_deref())).collect();
    assert_eq!(told, [("id", Some("INTEGER")), ("at", Some("timestamp")), ("two", None)]);
}

#[tokio::test]
async fn a_key_is_told_only_where_the_statement_made_one() {
    let mut session = in_memory().connect(Lane::Write).await.unwrap();
    session
        .script("create table t (id integer primary key, n unique); create table w (k text primary key) without rowid")
        .await
        .unwrap();
    let insert = "insert into t (n) values (1) on conflict do update set n = n";
    assert_eq!(run(&mut session, insert).await, Done::affected(1).with_last_id(Some(1)));
    assert_eq!(run(&mut session, insert).await, Done::affected(1));
    assert_eq!(run(&mut session, "insert into w values ('a')").await, Done::affected(1));
    assert_eq!(run(&mut session, "update t set n = 2").await, Done::affected(1));
    assert_eq!(run(&mut session, "select * from t").await, Done::default());
    assert_eq!(run(&mut session, "create table u (id)").await, Done::default());
    let with = "with v(n) as (values (7), (8)) insert into t (n) select n from v returning id";
    assert_eq!(run(&mut session, with).await, Done::affected(2).with_last_id(Some(3)));
    assert_eq!(run(&mut session, "delete from t").await, Done::affected(3));
}

#[tokio::test]
async fn a_cached_statement_follows_a_changed_table() {
    let home = Home::new();
    let database = home.database();
    let mut session = database.connect(Lane::Write).await.unwrap();
    let mut reader = database.connect(Lane::Read).await.unwrap();
    session.script("create table t (id integer); insert into t values (1)").await.unwrap();
    for session in [&mut session, &mut reader] {
        assert_eq!(query(session, "select * from t", &[]).await.unwrap().columns.len(), 1);
    }
    session
        .script("alter table t add column at timestamp default '2026-02-28 00:00:00'")
        .await
        .unwrap();
    for session in [&mut session, &mut reader] {
        let rows = query(session, "select * from t", &[]).await.unwrap();
        assert_eq!(rows.rows[0].get("at").unwrap().kind(), "timestamp");
    }
    session.script("alter table t rename column at to moment").await.unwrap();
    let rows = query(&mut reader, "select * from t", &[]).await.unwrap();
    assert!(rows.rows[0].get("moment").is_some());
    session.script("delete from t").await.unwrap();
    session.script("alter table t drop column moment").await.unwrap();
    assert_eq!(query(&mut reader, "select * from t", &[]).await.unwrap().columns.len(), 1);
    session.script("drop table t").await.unwrap();
    let error = query(&mut reader, "select * from t", &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn rows_are_fetched_a_few_at_a_time_and_what_is_left_is_never_read() {
    let mut session = in_memory().connect(Lane::Write).await.unwrap();
    let sql: Arc<str> =
        "with recursive n(i) as (select 1 union all select i + 1 from n) select i from n".into();
    let endless = Statement { sql: &sql, values: &[], is_kept: true };
    let columns = session.open_rows(endless).await.unwrap();
    assert_eq!(&*columns.iter().next().unwrap().name, "i");
    let mut last = 0;
    while last < 100_000 {
        let rows = session.fetch(256).await.unwrap();
        assert_eq!(rows.len(), 256);
        assert_value(&rows[255].values()[0], &Value::Int(last + 256));
        last += 256;
    }
    session.close_rows().await.unwrap();
    assert_value(&value(&mut session, "select 1").await, &Value::Int(1));
    assert_eq!(session.fetch(1).await.unwrap_err().kind(), ErrorKind::PreconditionFailed);
}

#[tokio::test]
async fn fetching_ends_with_no_rows() {
    let mut session = in_memory().connect(Lane::Write).await.unwrap();
    for (count, batches) in [(0, vec![]), (1, vec![1]), (5, vec![2, 2, 1])] {
        let sql: Arc<str> =
            "select value from generate(?1)".replace("generate(?1)", "json_each(?1)").into();
        let list: Vec<_> = (0..count).collect();
        let values = [Value::Json(format!("{list:?}"))];
        session.open_rows(Statement { sql: &sql, values: &values, is_kept: false }).await.unwrap();
        let mut found = Vec::new();
        loop {
            let rows = session.fetch(2).await.unwrap();
            if rows.is_empty() {
                break;
            }
            found.push(rows.len());
        }
        assert_eq!(found, batches);
        assert!(session.fetch(2).await.unwrap().is_empty());
        session.close_rows().await.unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_moment_and_number_comes_back(
        days in -719_528..2_932_896_i32,
        time in any::<i64>().prop_map(|micros| micros / 1_000),
        moment in -62_167_219_200_000_000..=253_402_300_799_999_999_i64,
        whole in any::<i128>(),
        fraction in "[0-9]{0,19}[1-9]",
        short in -999_999_999_999_999_i64..=999_999_999_999_999,
        places in 1..15_usize,
        uuid in any::<[u8; 16]>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut session = in_memory().connect(Lane::Write).await.unwrap();
            for (declared, value) in [
                ("date", Value::Date(Date::from_days(days))),
                ("time", Value::Time(Time::from_micros(time))),
                ("datetime", Value::DateTime(DateTime::from_micros(moment))),
                ("timestamp", Value::Timestamp(Timestamp::from_micros(moment))),
                ("decimal text", decimal(&format!("{whole}.{fraction}"))),
                ("decimal text", short_decimal(short, places)),
                ("uuid", Value::Uuid(uuid)),
            ] {
                assert_value(&back(&mut session, declared, value.clone()).await, &value);
            }
        });
    }

    #[test]
    fn no_text_in_a_declared_column_is_trouble(kept in ".{0,40}") {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut session = in_memory().connect(Lane::Write).await.unwrap();
            for declared in ["date text", "time text", "datetime text", "timestamp text", "uuid text", "decimal text"] {
                let found = back(&mut session, declared, text(&kept)).await;
                // Whatever it was taken for, it is the same value when it is written again.
                assert_value(&back(&mut session, declared, found.clone()).await, &found);
            }
        });
    }
}

#[tokio::test]
async fn a_decimal_compares_as_a_number_with_what_is_computed() {
    let mut session = in_memory().connect(Lane::Write).await.unwrap();
    session
        .script("create table t (price decimal(10, 2)); insert into t values (60), (70.25)")
        .await
        .unwrap();
    let sql = "select sum(price) > ?1, max(price) * 2 > ?1, sum(price) < ?1 from t";
    for (digits, wanted) in [("100", [1, 1, 0]), ("130.5", [0, 1, 1]), ("-0.5", [1, 1, 0])] {
        let rows = query(&mut session, sql, &[decimal(digits)]).await.unwrap();
        for (found, wanted) in rows.rows[0].values().iter().zip(wanted) {
            assert_value(found, &Value::Int(wanted));
        }
    }
}

#[tokio::test]
async fn a_decimal_has_all_its_digits_in_a_column_for_text() {
    let mut session = in_memory().connect(Lane::Write).await.unwrap();
    session.script("create table t (n decimal text)").await.unwrap();
    for (digits, kept) in [
        ("1.50", "1.5"),
        ("+1.5", "1.5"),
        ("007.50", "7.5"),
        ("100.0", "100"),
        ("1.5e3", "1500"),
        ("-0", "0"),
        ("0.00", "0"),
        (".50", "0.5"),
        ("NaN", "NaN"),
    ] {
        run(&mut session, "delete from t").await;
        execute(&mut session, "insert into t values (?1)", &[decimal(digits)]).await.unwrap();
        assert_value(&value(&mut session, "select n || '' from t").await, &text(kept));
    }
    for digits in [
        "1",
        "-1",
        "1.5",
        "0.1",
        "-0.001",
        "0.0001",
        "0.00001",
        "100",
        "0",
        "9007199254740993",
        "123456789012.345",
        "0.12345678901234",
        "12345678901234.567",
        "99999999999999999999",
    ] {
        run(&mut session, "delete from t").await;
        execute(&mut session, "insert into t values (?1)", &[decimal(digits)]).await.unwrap();
        assert_value(&value(&mut session, "select n from t").await, &decimal(digits));
        let found =
            query(&mut session, "select 1 from t where n = ?1", &[decimal(digits)]).await.unwrap();
        assert_eq!(found.rows.len(), 1, "{digits}");
    }
}

#[tokio::test]
async fn a_sum_of_decimals_is_read_as_a_decimal() {
    let mut session = in_memory().connect(Lane::Write).await.unwrap();
    session
        .script("create table t (price decimal); insert into t values (0.1), (1.5)")
        .await
        .unwrap();
    let rows = query(&mut session, "select sum(price) from t", &[]).await.unwrap();
    let sum = <Decimal as crate::FromRow>::from_row(rows.rows[0].clone()).unwrap();
    assert_eq!(sum.as_str(), "1.6");
}

#[tokio::test]
async fn decimals_of_a_column_for_text_are_compared_as_numbers_where_the_column_says_so() {
    let mut session = in_memory().connect(Lane::Write).await.unwrap();
    let create = "create table t (n decimal text collate decimal unique, m decimal text)";
    session.script(create).await.unwrap();
    let ordered = ["-20.5", "-3", "0", "0.001", "1.5", "9", "10", "12345678901234567890.5"];
    for digits in ordered.iter().rev() {
        let insert = "insert into t values (?1, ?1)";
        execute(&mut session, insert, &[decimal(digits)]).await.unwrap();
    }
    for sql in ["select n from t order by n", "select m from t order by m collate decimal"] {
        let rows = query(&mut session, sql, &[]).await.unwrap().rows;
        let found: Vec<_> = rows.into_iter().map(crate::Row::into_values).collect();
        assert_eq!(found, ordered.map(|digits| vec![decimal(digits)]), "{sql}");
    }
    for (digits, greater) in [("1.50", 3), ("9.99", 2), ("1e1", 1), ("-4", 7)] {
        let sql = "select count(*) from t where n > ?1";
        let found = query(&mut session, sql, &[decimal(digits)]).await.unwrap();
        assert_value(&found.rows[0].values()[0], &Value::Int(greater));
    }
    // Written by somebody else, and equal all the same.
    let twice = execute(&mut session, "insert into t (n) values ('+01.500')", &[]).await;
    assert_eq!(twice.unwrap_err().kind(), ErrorKind::AlreadyExists);
    execute(&mut session, "insert into t (n) values ('none')", &[]).await.unwrap();
    assert_value(&value(&mut session, "select max(n) from t").await, &text("none"));
}

proptest! {
    #[test]
    fn decimals_are_ordered_as_numbers_however_they_are_written(
        one in -100_000_i64..100_000, other in -100_000_i64..100_000,
        zeros in 0..4_usize, places in 0..6_usize,
    ) {
        // The same places of both, of which one says more zeros than it needs.
        let written = |number: i64, zeros: usize| {
            let digits = format!("{:0>6}", number.unsigned_abs());
            let (whole, fraction) = digits.split_at(6 - places);
            let sign = if number < 0 { "-" } else { "" };
            format!("{sign}{0}{whole}.{fraction}{0}", "0".repeat(zeros))
        };
        let order = Decimal::order(&written(one, zeros), &written(other, 0));
        prop_assert_eq!(order, one.cmp(&other));
    }
}
