//! Values of every kind, both ways.

use std::cell::RefCell;

use proptest::prelude::*;

use super::*;
use crate::value::Collected;
use crate::{Date, DateTime, Decimal, Time, Timestamp};

/// What a value holds, which it does not show by itself.
fn shown(value: &Value) -> String {
    match value {
        Value::Array(values) => format!("{:?}", values.iter().map(shown).collect::<Vec<_>>()),
        Value::Text(text) => format!("text {text}"),
        Value::Json(text) => format!("json {text}"),
        _ => format!("{} {}", value.kind(), literal(value)),
    }
}

use super::super::values::literal;

fn decimal(text: &str) -> Value {
    Value::Decimal(Decimal::from_text(text))
}

fn array(values: impl IntoIterator<Item = Value>) -> Value {
    Value::Array(values.into_iter().collect())
}

/// What the server makes of an expression.
async fn read(connection: &mut PostgresConnection, sql: &str) -> Value {
    connection.one(&format!("select {sql}"), &[]).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"))
}

#[tokio::test]
async fn every_type_is_read_as_its_kind_on_postgres() {
    let mut connection = connect().await;
    let day = |days| Value::Date(Date::from_days(days));
    let moment = |micros| Value::Timestamp(Timestamp::from_micros(micros));
    let local = |micros| Value::DateTime(DateTime::from_micros(micros));
    let cases = [
        ("true", Value::Bool(true)),
        ("'-32768'::int2", Value::Int(-32_768)),
        ("'-2147483648'::int4", Value::Int(-2_147_483_648)),
        ("'-9223372036854775808'::int8", Value::Int(i64::MIN)),
        ("9223372036854775807", Value::Int(i64::MAX)),
        ("4294967295::oid", Value::Int(4_294_967_295)),
        ("'18446744073709551615'::xid8", Value::UInt(u64::MAX)),
        ("0.1::float4", Value::Float(0.1)),
        ("1e30::float4", Value::Float(1e30)),
        ("'1e-45'::float4", Value::Float(1e-45)),
        ("16777217::float4", Value::Float(16_777_216.0)),
        ("0.1::float8", Value::Float(0.1)),
        ("'-Infinity'::float8", Value::Float(f64::NEG_INFINITY)),
        ("'NaN'::numeric", decimal("NaN")),
        ("'Infinity'::numeric", decimal("Infinity")),
        ("0::numeric", decimal("0")),
        ("0.00::numeric", decimal("0.00")),
        ("-0.0001000::numeric", decimal("-0.0001000")),
        ("100000000::numeric", decimal("100000000")),
        ("12345678901234567890.123456789", decimal("12345678901234567890.123456789")),
        ("''::text", text("")),
        ("'ä\n€𝄞'::varchar", text("ä\n€𝄞")),
        ("'ab'::char(4)", text("ab  ")),
        ("'x'::\"char\"", text("x")),
        ("''::\"char\"", text("")),
        ("'n'::name", text("n")),
        ("'\\x00ff'::bytea", Value::Bytes(vec![0, 255])),
        ("''::bytea", Value::Bytes(vec![])),
        ("date '1970-01-01'", day(0)),
        ("date '0001-01-01 BC'", day(-719_528)),
        ("date '10000-01-01'", day(2_932_897)),
        ("date 'infinity'", day(i32::MAX)),
        ("date '-infinity'", day(i32::MIN)),
        ("time '24:00'", Value::Time(Time::from_micros(86_400_000_000))),
        ("timetz '12:34:56.7+05:30'", text("12:34:56.7+05:30")),
        ("timetz '00:00:00-08'", text("00:00:00-08")),
        ("timestamp '1969-12-31 23:59:59.999999'", local(-1)),
        ("timestamp 'infinity'", local(i64::MAX)),
        ("timestamptz '1970-01-01 01:00+01'", moment(0)),
        ("timestamptz '-infinity'", moment(i64::MIN)),
        (
            "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid",
            Value::Uuid([
                0xa0, 0xee, 0xbc, 0x99, 0x9c, 0x0b, 0x4e, 0xf8, 0xbb, 0x6d, 0x6b, 0xb9, 0xbd, 0x38,
                0x0a, 0x11,
            ]),
        ),
        ("'{\"a\": 1.0}'::json", Value::Json("{\"a\": 1.0}".to_owned())),
        ("'{\"a\":1.0}'::jsonb", Value::Json("{\"a\": 1.0}".to_owned())),
        ("interval '1 year -2 months 3 days 04:05:06.7'", text("P10M3DT4H5M6.7S")),
        ("interval '-1.5 seconds'", text("PT-1.5S")),
        ("interval '0'", text("PT0S")),
        ("'10.1.2.3'::inet", text("10.1.2.3")),
        ("'10.1.2.3/8'::inet", text("10.1.2.3/8")),
        ("'10.0.0.0/8'::cidr", text("10.0.0.0/8")),
        ("'2001:db8::1/128'::inet", text("2001:db8::1")),
        ("'08:00:2b:01:02:03'::macaddr", text("08:00:2b:01:02:03")),
        ("B'10110'", text("10110")),
        ("B''::varbit", text("")),
        ("'16/B374D848'::pg_lsn", text("16/B374D848")),
        ("'$.a'::jsonpath", text("$.\"a\"")),
        ("'<a/>'::xml", text("<a/>")),
        ("pg_sleep(0)", Value::Null),
        ("null::int4", Value::Null),
        ("'{}'::int4[]", array([])),
        ("'{1,null,3}'::int4[]", array([Value::Int(1), Value::Null, Value::Int(3)])),
        (
            "'{{a,b},{c,d}}'::text[]",
            array([array([text("a"), text("b")]), array([text("c"), text("d")])]),
        ),
        ("'[5:6]={1,2}'::int2[]", array([Value::Int(1), Value::Int(2)])),
        ("array[1.5, 2]::numeric[]", array([decimal("1.5"), decimal("2")])),
    ];
    for (sql, expected) in cases {
        let found = read(&mut connection, sql).await;
        assert_eq!(shown(&found), shown(&expected), "{sql}");
    }
    assert!(matches!(read(&mut connection, "'NaN'::float4").await, Value::Float(n) if n.is_nan()));
}

#[tokio::test]
async fn what_is_not_read_names_its_column_and_its_type_on_postgres() {
    let mut connection = connect().await;
    let cases = [
        ("row(1, 'secret')", "record"),
        ("'12.34'::money", "money"),
        ("point '(1,2)'", "point"),
        ("timestamp '294276-12-31 23:59:59'", "timestamp"),
        ("array[row(1)]", "_record"),
    ];
    for (sql, type_name) in cases {
        let error = connection.one(&format!("select {sql} as c"), &[]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{sql}: {error:?}");
        assert_eq!(error.context_value("column"), Some("c"), "{sql}");
        assert_eq!(error.context_value("type"), Some(type_name), "{sql}");
        assert!(error.hints().any(|hint| hint.contains("::text")), "{sql}");
        assert_eq!(connection.one("select 1", &[]).await.unwrap(), Value::Int(1));
    }
}

#[tokio::test]
async fn what_is_not_read_ends_a_statement_whose_rows_are_read_as_they_come_on_postgres() {
    let mut connection = connect().await;
    let sql: Arc<str> = "select n, row(n) as c from generate_series(1, 3) n".into();
    for is_kept in [true, false] {
        let mut rows = Collected::<(i64, Option<String>)>::default();
        let asked = Statement { sql: &sql, values: &[], is_kept };
        let error = connection.query_each(asked, &mut rows).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
        assert_eq!(error.context_value("column"), Some("c"));
        assert_eq!(rows.count(), 1, "rows after the one that is not read are not shown");
        assert_eq!(connection.state(), State::Idle);
        assert_eq!(connection.one("select 1", &[]).await.unwrap(), Value::Int(1));
    }
}

#[tokio::test]
async fn values_come_back_as_they_went_on_postgres() {
    let mut connection = connect().await;
    let long = "ä".repeat(500_000);
    let cases = [
        ("bool", vec![Value::Bool(true), Value::Bool(false), Value::Null]),
        ("int2", vec![Value::Int(i16::MIN.into()), Value::Int(i16::MAX.into())]),
        ("int4", vec![Value::Int(i32::MIN.into()), Value::Int(i32::MAX.into())]),
        ("int8", vec![Value::Int(i64::MIN), Value::Int(i64::MAX)]),
        ("oid", vec![Value::Int(u32::MAX.into())]),
        ("xid8", vec![Value::UInt(u64::MAX)]),
        ("float4", vec![Value::Float(0.1), Value::Float(f64::INFINITY), Value::Float(3.4e38)]),
        ("float8", vec![Value::Float(f64::MIN_POSITIVE), Value::Float(f64::MAX)]),
        (
            "numeric",
            vec![
                decimal("0"),
                decimal("0.00"),
                decimal("NaN"),
                decimal("-Infinity"),
                decimal("9999"),
                decimal("10000"),
                decimal("0.00001"),
                decimal("123456789.000000001"),
                decimal("-100000000.10"),
                decimal("18446744073709551615"),
            ],
        ),
        ("text", vec![text(""), text("a\tb\\N\"'\n"), text(&long)]),
        (
            "bytea",
            vec![
                Value::Bytes(vec![]),
                Value::Bytes(vec![0, 255, 92]),
                Value::Bytes(vec![7; 1 << 20]),
            ],
        ),
        (
            "date",
            vec![
                Value::Date(Date::from_days(-719_529)),
                Value::Date(Date::from_days(i32::MAX)),
                Value::Date(Date::from_days(i32::MIN)),
                Value::Date(Date::from_days(3_000_000)),
            ],
        ),
        (
            "time",
            vec![Value::Time(Time::from_micros(0)), Value::Time(Time::from_micros(86_400_000_000))],
        ),
        (
            "timestamp",
            vec![
                Value::DateTime(DateTime::from_micros(-62_200_000_000_000_001)),
                Value::DateTime(DateTime::from_micros(i64::MIN)),
            ],
        ),
        (
            "timestamptz",
            vec![
                Value::Timestamp(Timestamp::from_micros(1)),
                Value::Timestamp(Timestamp::from_micros(i64::MAX)),
                Value::Timestamp(Timestamp::from_micros(300_000_000_000_000_000)),
            ],
        ),
        ("uuid", vec![Value::Uuid([0; 16]), Value::Uuid([255; 16])]),
        ("json", vec![Value::Json("[1, {\"a\":null}]".to_owned())]),
        ("jsonb", vec![Value::Json("[1, {\"a\": null}]".to_owned())]),
        (
            "int4[]",
            vec![
                array([]),
                array([Value::Int(1), Value::Null]),
                array([array([Value::Int(1)]), array([Value::Null])]),
            ],
        ),
        ("text[]", vec![array([text(""), text("NULL"), text("a,\"b\\"), text("{}")])]),
        ("uuid[]", vec![array([Value::Uuid([1; 16]), Value::Null])]),
        ("jsonb[]", vec![array([Value::Json("{\"a\": \"x\"}".to_owned())])]),
    ];
    for (type_name, values) in cases {
        for value in values {
            let sql = format!("select $1::{type_name}");
            let found = connection.one(&sql, std::slice::from_ref(&value)).await;
            let found = found.unwrap_or_else(|error| panic!("{type_name}: {error:?}"));
            assert_eq!(shown(&found), shown(&value), "{type_name}");
        }
    }
}

#[tokio::test]
async fn values_are_brought_into_the_types_that_are_wanted_on_postgres() {
    let mut connection = connect().await;
    let moment = Value::Timestamp(Timestamp::from_micros(1_700_000_000_123_456));
    let local = Value::DateTime(DateTime::from_micros(-62_200_000_000_000_000));
    let cases = [
        ("numeric", Value::Int(5), "5"),
        ("numeric", Value::UInt(u64::MAX), "18446744073709551615"),
        ("numeric", Value::Float(1e-7), "0.0000001"),
        ("float8", Value::Int(5), "5"),
        ("float4", decimal("0.25"), "0.25"),
        ("int4", decimal("-7"), "-7"),
        ("text", Value::Int(5), "5"),
        ("text", Value::Bool(true), "true"),
        ("text", Value::Float(0.5), "0.5"),
        ("text", moment.clone(), "2023-11-14 22:13:20.123456+00"),
        ("text", local, "0003-12-17 14:13:20 BC"),
        ("varchar", Value::Json("{}".to_owned()), "{}"),
        ("uuid", text("A0EEBC999C0B4EF8BB6D6BB9BD380A11"), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("jsonb", text("{\"a\":1}"), "{\"a\": 1}"),
        ("json", text("[1]"), "[1]"),
        ("date", text("2024-02-29"), "2024-02-29"),
        ("timestamp", text("2024-02-29 12:00"), "2024-02-29 12:00:00"),
        ("timestamp", Value::Date(Date::from_days(0)), "1970-01-01 00:00:00"),
        ("timestamptz at time zone 'UTC'", moment, "2023-11-14 22:13:20.123456"),
        ("interval", text("P1DT2H"), "1 day 02:00:00"),
        ("interval", Value::Time(Time::from_micros(90_000_000_000)), "25:00:00"),
        ("inet", text("10.0.0.1/8"), "10.0.0.1/8"),
        ("money", text("1.50"), "$1.50"),
        ("int4range", text("[1,5)"), "[1,5)"),
        ("regtype", text("int4"), "integer"),
        ("\"char\"", text("x"), "x"),
        (
            "date[]",
            array([text("2024-01-01"), Value::Null, Value::Date(Date::from_days(0))]),
            "{2024-01-01,NULL,1970-01-01}",
        ),
        ("int8[]", text("{1,2}"), "{1,2}"),
    ];
    for (type_name, value, expected) in cases {
        let sql = format!("select ($1::{type_name})::text");
        let found = connection.one(&sql, &[value]).await;
        let found = found.unwrap_or_else(|error| panic!("{type_name}: {error:?}"));
        assert_eq!(shown(&found), format!("text {expected}"), "{type_name}");
    }
}

#[tokio::test]
async fn a_value_that_does_not_fit_is_refused_by_its_place_and_never_shown_on_postgres() {
    let mut connection = connect().await;
    let secret = text("secret-4711");
    let nul = text("se\0cret-4711");
    let cases = [
        ("int4", Value::Int(2_147_483_648), "integer", "int4"),
        ("int2", Value::Int(40_000), "integer", "int2"),
        ("int8", Value::UInt(u64::MAX), "integer", "int8"),
        ("int4", secret.clone(), "text", "int4"),
        ("int4", Value::Float(1.5), "float", "int4"),
        ("int4", decimal("1.5"), "decimal", "int4"),
        ("bool", Value::Int(1), "integer", "bool"),
        ("float4", Value::Float(1e300), "float", "float4"),
        ("bytea", secret.clone(), "text", "bytea"),
        ("text", Value::Bytes(vec![1]), "bytes", "text"),
        ("text", nul.clone(), "text", "text"),
        ("uuid", secret.clone(), "text", "uuid"),
        ("jsonb", secret.clone(), "text", "jsonb"),
        ("json", nul.clone(), "text", "json"),
        ("date", secret.clone(), "text", "date"),
        ("timestamptz", secret.clone(), "text", "timestamptz"),
        ("timestamp", Value::Timestamp(Timestamp::from_micros(0)), "timestamp", "timestamp"),
        ("time", Value::Time(Time::from_micros(-1)), "time", "time"),
        ("inet", secret.clone(), "text", "inet"),
        (
            "timestamptz",
            Value::Timestamp(Timestamp::from_micros(i64::MIN + 1)),
            "timestamp",
            "timestamptz",
        ),
        ("int4[]", array([array([Value::Int(1)]), array([])]), "array", "_int4"),
        ("int4[]", array([secret]), "array", "_int4"),
        ("int4", array([]), "array", "int4"),
    ];
    for (type_name, value, kind, wanted) in cases {
        let sql = format!("select $1::text, $2::{type_name}");
        let error = connection.rows(&sql, &[text("fits"), value]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{type_name} {kind}: {error:?}");
        assert_eq!(error.context_value("parameter"), Some("2"), "{type_name} {kind}: {error:?}");
        assert_eq!(error.context_value("kind"), Some(kind), "{type_name} {kind}");
        assert_eq!(error.context_value("wanted"), Some(wanted), "{type_name} {kind}");
        assert_eq!(error.outcome(), Outcome::NotApplied);
        assert!(!format!("{error:?}").contains("cret-4711"), "{error:?}");
        assert_eq!(connection.state(), State::Idle);
    }
    for (type_name, value) in
        [("text", nul.clone()), ("json", nul.clone()), ("text[]", array([nul]))]
    {
        let sql = format!("select $1::text, $2::{type_name}");
        let error = connection.rows(&sql, &[text("fits"), value]).await.unwrap_err();
        assert!(error.message().contains("NUL"), "{type_name}: {error:?}");
        assert_eq!(error.context_value("parameter"), Some("2"), "{type_name}");
    }
    let error = connection.rows("select $1::int4", &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(error.context_value("parameters"), Some("1"));
}

#[tokio::test]
async fn types_of_the_application_are_read_and_written_on_postgres() {
    let mut connection = connect().await;
    let name = unique("mood");
    let types = format!(
        "create type {name} as enum ('sad', 'glad'); create domain {name}_d as {name}; \
         create domain {name}_n as int4 check (value > 0)"
    );
    connection.script(&types).await.unwrap();
    for sql in [name.clone(), format!("{name}_d")] {
        let found = connection.one(&format!("select $1::{sql}"), &[text("glad")]).await.unwrap();
        assert_eq!(shown(&found), "text glad", "{sql}");
    }
    let found = connection.one(&format!("select $1::{name}_n"), &[Value::Int(3)]).await.unwrap();
    assert_eq!(found, Value::Int(3));
    let moods = array([text("sad"), Value::Null]);
    let found = connection
        .one(&format!("select $1::{name}[]"), std::slice::from_ref(&moods))
        .await
        .unwrap();
    assert_eq!(shown(&found), shown(&moods));

    let error = connection.one(&format!("select $1::{name}"), &[text("mad")]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(error.context_value("wanted"), Some(name.as_str()));
    connection.script(&format!("drop type {name} cascade; drop domain {name}_n")).await.unwrap();
}

fn any_decimal() -> impl Strategy<Value = String> {
    let plain = r"-?[0-9]{1,30}(\.[0-9]{1,30})?";
    (plain, -40..40_i32, any::<bool>()).prop_map(|(number, exponent, has_exponent)| {
        if has_exponent { format!("{number}e{exponent}") } else { number }
    })
}

#[test]
fn any_decimal_is_the_same_number_on_postgres() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let connection = RefCell::new(runtime.block_on(connect()));
    proptest!(ProptestConfig::with_cases(500), |(number in any_decimal())| {
        let values = [decimal(&number), text(&number)];
        let rows = runtime.block_on(connection.borrow_mut().rows(
            "select $1::numeric, $1::numeric::text, $2::text::numeric::text", &values));
        let row = rows.unwrap().remove(0);
        let Value::Decimal(read) = &row[0] else { panic!("a number is read as one") };
        prop_assert_eq!(format!("text {read}"), shown(&row[1]));
        prop_assert_eq!(shown(&row[1]), shown(&row[2]));
    });
}

#[test]
fn any_day_and_moment_is_written_as_the_server_writes_it_on_postgres() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut connection = runtime.block_on(connect());
    runtime.block_on(connection.script("set timezone = 'UTC'")).unwrap();
    let connection = RefCell::new(connection);
    // From the server's first day, in 4713 BC, to where our moments end.
    let micros = -210_866_803_200_000_000..9_223_372_036_854_775_807_i64;
    proptest!(ProptestConfig::with_cases(500), |(micros in micros, days in -2_440_588..2_145_031_948)| {
        let values = [
            Value::Date(Date::from_days(days)),
            Value::DateTime(DateTime::from_micros(micros)),
            Value::Timestamp(Timestamp::from_micros(micros)),
        ];
        let sql = "select $1::date::text, $2::timestamp::text, $3::timestamptz::text";
        let row = runtime.block_on(connection.borrow_mut().rows(sql, &values)).unwrap().remove(0);
        for (value, written) in values.iter().zip(&row) {
            prop_assert_eq!(format!("text {}", literal(value)), shown(written));
        }
    });
}
