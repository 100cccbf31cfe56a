//! What becomes of values on their way there and back.

use switchboard_core::{ErrorKind, Outcome};

use super::{Scratch, count, execute, once, query, text, value};
use crate::{Date, DateTime, Decimal, State, Time, Timestamp, Value};

fn json(json: &str) -> Value {
    Value::Json(json.to_owned())
}

#[tokio::test]
async fn values_come_back_as_they_went_on_mariadb() {
    let scratch = Scratch::new().await;
    let mut connection = scratch.connect().await;
    let day = |days| Value::Date(Date::from_days(days));
    let moment = |micros| Value::DateTime(DateTime::from_micros(micros));
    let time = |micros| Value::Time(Time::from_micros(micros));
    let decimal = |digits: &str| Value::Decimal(Decimal::from_text(digits));
    let cases: &[(&str, &[Value])] = &[
        ("BOOLEAN", &[Value::Bool(true), Value::Bool(false), Value::Int(7)]),
        ("TINYINT", &[Value::Int(-128), Value::Int(127), Value::Int(1)]),
        ("SMALLINT UNSIGNED", &[Value::Int(65_535)]),
        ("INT", &[Value::Int(i64::from(i32::MIN)), Value::Int(i64::from(i32::MAX))]),
        ("BIGINT", &[Value::Int(i64::MIN), Value::Int(i64::MAX), Value::Null]),
        ("BIGINT UNSIGNED", &[Value::UInt(u64::MAX), Value::Int(i64::MAX), Value::Int(0)]),
        ("FLOAT", &[Value::Float(0.1), Value::Float(1.234_567_8), Value::Float(-3e38)]),
        ("DOUBLE", &[Value::Float(f64::MAX), Value::Float(f64::MIN_POSITIVE), Value::Float(-0.1)]),
        ("DECIMAL(65,30)", &[decimal(&format!("-{}.{}", "9".repeat(35), "9".repeat(30)))]),
        ("DECIMAL(10,2)", &[decimal("0.00"), decimal("-12345678.90")]),
        ("TEXT", &[text(""), text("Ünï\0çødé 🦀 'x' \\ \""), Value::Null]),
        ("CHAR(36)", &[text("plain")]),
        ("LONGTEXT", &[text(&"é".repeat(600_000))]),
        ("ENUM('a','b')", &[text("b")]),
        ("SET('a','b')", &[text("a,b"), text("")]),
        ("BLOB", &[Value::Bytes(vec![]), Value::Bytes(vec![0, 255, 39, 92, 128])]),
        ("LONGBLOB", &[Value::Bytes((0..=255).cycle().take(1 << 20).collect())]),
        ("VARBINARY(4)", &[Value::Bytes(vec![0, 0, 0, 0])]),
        ("DATE", &[day(-719_162), day(0), day(2_932_896)]),
        ("TIME(6)", &[time(0), time(-3_020_399_000_000), time(3_020_399_999_999), time(1)]),
        ("DATETIME(6)", &[moment(-62_135_596_800_000_000), moment(253_402_300_799_999_999)]),
        ("TIMESTAMP(6)", &[Value::Timestamp(Timestamp::from_micros(1_700_000_000_123_456))]),
        ("YEAR", &[Value::Int(1901), Value::Int(2155), Value::Int(0)]),
        ("BIT(1)", &[Value::Bool(true), Value::Bool(false)]),
        ("BIT(64)", &[Value::UInt(u64::MAX), Value::Int(5)]),
    ];
    for (kind, values) in cases {
        connection.script(&format!("CREATE TABLE t (id INT, v {kind} NULL)")).await.unwrap();
        for (id, sent) in values.iter().enumerate() {
            let id = Value::Int(id.try_into().unwrap());
            let insert = "INSERT INTO t VALUES (?, ?)";
            once(&mut connection, insert, &[id.clone(), sent.clone()]).await.unwrap();
            let back = value(&mut connection, "SELECT v FROM t WHERE id = ?", &[id]).await;
            assert!(back == *sent, "{kind}: {sent:?} came back as {back:?}");
        }
        connection.script("DROP TABLE t").await.unwrap();
    }
    connection.close().await.unwrap();
    scratch.drop().await;
}

#[tokio::test]
async fn parameters_become_what_their_columns_are_on_mariadb() {
    let scratch = Scratch::new().await;
    let mut connection = scratch.connect().await;
    let uuid = Value::Uuid(*b"\x01\x23\x45\x67\x89\xab\x4d\xef\x81\x23\x45\x67\x89\xab\xcd\xef");
    let hyphenated = text("01234567-89ab-4def-8123-456789abcdef");
    let cases = [
        ("DECIMAL(10,2)", Value::Int(5), Value::Decimal(Decimal::from_text("5.00"))),
        ("DOUBLE", Value::Int(5), Value::Float(5.0)),
        ("TEXT", Value::Int(5), text("5")),
        ("DATE", text("2024-02-29"), Value::Date(Date::from_days(19_782))),
        (
            "DATETIME",
            text("1970-01-01 00:00:01"),
            Value::DateTime(DateTime::from_micros(1_000_000)),
        ),
        ("TIMESTAMP", text("1970-01-01 00:00:01"), {
            Value::Timestamp(Timestamp::from_micros(1_000_000))
        }),
        ("CHAR(36)", uuid.clone(), hyphenated.clone()),
        ("UUID", uuid, hyphenated.clone()),
        ("UUID", hyphenated.clone(), hyphenated),
        ("INT", text("42"), Value::Int(42)),
        ("BIT(3)", Value::Bool(true), Value::Int(1)),
    ];
    for (kind, sent, expected) in cases {
        connection.script(&format!("CREATE TABLE t (v {kind})")).await.unwrap();
        let sent = once(&mut connection, "INSERT INTO t VALUES (?)", &[sent]).await;
        sent.unwrap_or_else(|error| panic!("{kind}: {error:?}"));
        let back = value(&mut connection, "SELECT v FROM t", &[]).await;
        assert!(back == expected, "{kind}: came back as {back:?}");
        connection.script("DROP TABLE t").await.unwrap();
    }
    connection.close().await.unwrap();
    scratch.drop().await;
}

#[tokio::test]
async fn a_value_that_does_not_fit_is_refused_and_not_shown_on_mariadb() {
    let scratch = Scratch::new().await;
    let mut connection = scratch.connect().await;
    connection.script("CREATE TABLE t (i INT, s VARCHAR(3), d DATE, j JSON)").await.unwrap();
    let sent = [
        ("i", text("s3cret")),
        ("i", Value::Int(i64::MAX)),
        ("s", text("s3cret")),
        ("s", Value::Bytes(vec![0xff, b's', b'3', b'c'])),
        ("d", text("s3cret")),
        ("j", text("{s3cret")),
    ];
    for (column, value) in sent {
        let sql = format!("INSERT INTO t ({column}) VALUES (?)");
        let error = execute(&mut connection, &sql, &[value]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{column}: {error:?}");
        assert_eq!(error.outcome(), Outcome::NotApplied);
        assert!(!format!("{error:?}").contains("s3c"), "{error:?}");
    }
    let here = [
        Value::Float(f64::NAN),
        Value::Float(f64::INFINITY),
        Value::Decimal(Decimal::from_text("NaN")),
        Value::Array(vec![Value::Int(1)]),
        Value::Date(Date::from_days(i32::MAX)),
        Value::Date(Date::from_days(-800_000)),
        Value::Timestamp(Timestamp::from_micros(i64::MAX)),
        Value::Time(Time::from_micros(i64::MIN)),
    ];
    for value in here {
        let values = [Value::Null, value];
        let error = execute(&mut connection, "SELECT ?, ?", &values).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.context_value("position"), Some("2"));
        assert_eq!(error.context_value("kind"), Some(values[1].kind()));
        assert!(error.context_value("wanted").is_some());
    }
    let error = execute(&mut connection, "SELECT ?", &[]).await.unwrap_err();
    assert_eq!(error.context_value("wanted"), Some("1"));
    assert_eq!(connection.state(), State::Idle);
    assert_eq!(count(&mut connection, "t").await, 0);
    connection.close().await.unwrap();
    scratch.drop().await;
}

#[tokio::test]
async fn a_date_that_is_none_is_an_error_that_names_its_column_on_mariadb() {
    let scratch = Scratch::new().await;
    let mut connection = scratch.connect().await;
    connection
        .script(
            "SET sql_mode = ''; CREATE TABLE t (d DATE); INSERT INTO t VALUES (0), ('2024-05-00')",
        )
        .await
        .unwrap();
    let error = query(&mut connection, "SELECT 1 AS one, d FROM t", &[]).await.unwrap_err();
    assert_eq!((error.kind(), error.context_value("column")), (ErrorKind::Corrupt, Some("d")));
    assert_eq!(value(&mut connection, "SELECT CAST(d AS CHAR) FROM t", &[]).await, {
        text("0000-00-00")
    });
    connection.close().await.unwrap();
    scratch.drop().await;
}

#[tokio::test]
async fn columns_tell_their_types_on_mariadb() {
    let scratch = Scratch::new().await;
    let mut connection = scratch.connect().await;
    connection
        .script("CREATE TABLE t (a BOOL, b INT UNSIGNED, c VARCHAR(5), d VARBINARY(5), e DATETIME)")
        .await
        .unwrap();
    let rows = query(&mut connection, "SELECT * FROM t", &[]).await.unwrap();
    let types: Vec<_> = rows.columns.iter().map(|column| column.type_name.as_deref()).collect();
    let expected = ["boolean", "int unsigned", "varchar", "varbinary", "datetime"].map(Some);
    assert_eq!(types, expected);
    connection.close().await.unwrap();
    scratch.drop().await;
}

#[tokio::test]
async fn what_is_larger_than_the_server_takes_is_refused_before_it_is_sent_on_mariadb() {
    let scratch = Scratch::new().await;
    let mut connection = scratch.connect().await;
    let limit = match value(&mut connection, "SELECT @@max_allowed_packet", &[]).await {
        Value::Int(limit) => usize::try_from(limit).unwrap(),
        other => panic!("{other:?}"),
    };
    let length = "SELECT LENGTH(?)";
    let fitting = limit - 1_000;
    let back = value(&mut connection, length, &[Value::Bytes(vec![7; fitting])]).await;
    assert_eq!(back, Value::Int(fitting.try_into().unwrap()));
    let too_large = [Value::Bytes(vec![7; limit])];
    let error = execute(&mut connection, length, &too_large).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::TooLarge, Outcome::NotApplied));
    let error = connection.script(&" ".repeat(limit)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert_eq!(value(&mut connection, "SELECT 42", &[]).await, Value::Int(42));
    connection.close().await.unwrap();
    scratch.drop().await;
}

#[tokio::test]
async fn a_column_of_json_reads_as_json_and_any_other_text_as_text_on_mariadb() {
    let scratch = Scratch::new().await;
    let mut connection = scratch.connect().await;
    connection
        .script(
            "CREATE TABLE t (j JSON, k LONGTEXT CHECK (json_valid(k)), l LONGTEXT COLLATE utf8mb4_bin)",
        )
        .await
        .unwrap();
    let documents = ["{\"a\": [1, null]}", "5", "null", "\"a\""];
    for document in documents {
        once(&mut connection, "DELETE FROM t", &[]).await.unwrap();
        let insert = "INSERT INTO t VALUES (?, ?, ?)";
        let sent = [json(document), text(document), text(document)];
        execute(&mut connection, insert, &sent).await.unwrap();
        let rows = query(&mut connection, "SELECT j, k, l FROM t", &[]).await.unwrap().rows;
        assert_eq!(rows[0].values(), [json(document), json(document), text(document)]);
        let renamed =
            "SELECT a.j AS other, a.l, b.k FROM t a JOIN t b ON TRUE WHERE b.j IS NOT NULL";
        let rows = query(&mut connection, renamed, &[]).await.unwrap().rows;
        assert_eq!(rows[0].values(), [json(document), text(document), json(document)]);
    }
    // A number of JSON is one wherever JSON is a type.
    once(&mut connection, "UPDATE t SET j = '5', k = 'null'", &[]).await.unwrap();
    let rows = query(&mut connection, "SELECT j, k, l FROM t", &[]).await.unwrap().rows;
    assert_eq!(rows[0].read::<i64>("j").unwrap(), 5);
    assert_eq!(rows[0].read::<Option<Vec<u8>>>("k").unwrap(), None);
    assert_eq!(rows[0].read::<serde_json::Value>("j").unwrap(), serde_json::json!(5));
    let error = rows[0].read::<bool>("j").unwrap_err();
    let told = ["column", "type"].map(|key| error.context_value(key));
    assert_eq!(told, [Some("j"), Some("json")], "{error:?}");
    connection.close().await.unwrap();
    scratch.drop().await;
}
