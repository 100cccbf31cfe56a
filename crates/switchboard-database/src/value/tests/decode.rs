//! Rows as types of an application.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    Column, Columns, Date, DateTime, Decimal, FromRow, IntoParams as _, Named, Params, Row, Rows,
    Time, Timestamp, Value,
};

fn row<'n>(cells: impl IntoIterator<Item = (&'n str, Value)>) -> Row {
    let (names, values): (Vec<_>, Vec<_>) = cells.into_iter().unzip();
    let columns = names.into_iter().map(|name| Column { name: name.into(), type_name: None });
    Row::new(Columns::new(columns), values)
}

fn read<T: FromRow>(value: impl Into<Value>) -> T {
    T::from_row(row([("it", value.into())])).unwrap()
}

fn json_value(json: &str) -> Value {
    Value::Json(json.to_owned())
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Profile {
    level: u8,
    tags: Vec<String>,
}

fn profile() -> Profile {
    Profile { level: 3, tags: vec!["new".to_owned()] }
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    Admin,
    Guest,
}

#[test]
fn what_takes_no_map_is_read_from_the_only_value() {
    use rust_decimal::Decimal as Number;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Price(Number);

    let price = |text: &str| Value::Decimal(text.parse().unwrap());
    let expected = Number::new(150, 2);
    assert_eq!(read::<Number>(price("1.50")), expected);
    assert_eq!(read::<Number>("1.50"), expected);
    assert_eq!(read::<Number>(7), Number::from(7));
    assert_eq!(read::<Price>(price("1.50")), Price(expected));
    assert_eq!(read::<Option<Number>>(price("1.50")), Some(expected));
    assert_eq!(read::<Option<Number>>(Value::Null), None);

    let columns = row([("it", Value::Null)]).columns().clone();
    let rows = ["1.50", "2.5"].map(|text| Row::new(columns.clone(), vec![price(text)]));
    let rows = Rows { columns, rows: rows.into() };
    assert_eq!(rows.clone().read::<Number>().unwrap(), [expected, Number::new(25, 1)]);
    assert_eq!(rows.read::<AnyRow>().unwrap()[1], AnyRow(json!({ "it": "2.5" })));

    let error = Number::from_row(row([("it", Value::from("s3cret"))])).unwrap_err();
    assert_eq!(error.context_value("column"), Some("it"));
    assert_eq!(error.context_value("found"), Some("another text"));
    let both = row([("a", price("1.50")), ("b", price("1.50"))]);
    assert_eq!(Number::from_row(both).unwrap_err().context_value("found"), Some("row"));
}

/// Any row.
#[derive(Debug, PartialEq, Deserialize)]
struct AnyRow(serde_json::Value);

#[test]
fn a_value_that_is_asked_for_is_no_row() {
    fn value<T: FromRow>(value: impl Into<Value>) -> T {
        T::from_value(row([("it", value.into())])).unwrap()
    }

    assert_eq!(value::<serde_json::Value>(7), json!(7));
    assert_eq!(value::<serde_json::Value>("text"), json!("text"));
    assert_eq!(value::<serde_json::Value>(Value::Null), json!(null));
    assert_eq!(value::<serde_json::Value>(json_value("[1, {}]")), json!([1, {}]));
    assert_eq!(value::<Option<serde_json::Value>>(Value::Null), None);
    assert_eq!(value::<HashMap<String, u8>>(json_value(r#"{"a": 1}"#))["a"], 1);
    assert_eq!(value::<Row>(7).values(), [Value::Int(7)]);
    let error = HashMap::<String, u8>::from_value(row([("it", Value::Int(7))])).unwrap_err();
    assert_eq!(error.context_value("column"), Some("it"));
    assert_eq!(read::<serde_json::Value>(7), json!({ "it": 7 }));
}

#[test]
fn a_struct_is_read_by_the_names_of_its_fields() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct User {
        id: i64,
        #[serde(rename = "full_name")]
        name: String,
        #[serde(alias = "mail")]
        email: Option<String>,
        #[serde(default)]
        visits: u32,
        nickname: Option<String>,
        role: Role,
    }

    let row = row([
        ("role", "admin".into()),
        ("unasked", 1.into()),
        ("mail", "ada@example.org".into()),
        ("full_name", "Ada".into()),
        ("id", 7.into()),
    ]);
    let user = User {
        id: 7,
        name: "Ada".to_owned(),
        email: Some("ada@example.org".to_owned()),
        visits: 0,
        nickname: None,
        role: Role::Admin,
    };
    assert_eq!(User::from_row(row).unwrap(), user);
}

#[test]
fn a_flattened_struct_and_a_tagged_enum_are_read_by_name_too() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Outer {
        id: i64,
        #[serde(flatten)]
        inner: Profile,
        #[serde(flatten)]
        rest: HashMap<String, String>,
    }
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(tag = "kind", rename_all = "lowercase")]
    enum Shape {
        Circle { radius: f64 },
        Square { side: i64 },
    }

    let flat = row([
        ("id", 1.into()),
        ("level", 3.into()),
        ("tags", vec!["new"].into()),
        ("more", "text".into()),
    ]);
    let rest = HashMap::from([("more".to_owned(), "text".to_owned())]);
    assert_eq!(Outer::from_row(flat).unwrap(), Outer { id: 1, inner: profile(), rest });

    let circle = row([("kind", "circle".into()), ("radius", 1.5.into()), ("side", Value::Null)]);
    assert_eq!(Shape::from_row(circle).unwrap(), Shape::Circle { radius: 1.5 });
    let square = row([("side", 2.into()), ("kind", "square".into())]);
    assert_eq!(Shape::from_row(square).unwrap(), Shape::Square { side: 2 });
}

#[test]
fn a_field_takes_the_column_that_differs_only_in_capitals_where_none_has_its_name() {
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Names {
        user_id: i64,
        name: String,
    }

    let folded = row([("userid", 7.into()), ("NAME", "Ada".into())]);
    assert_eq!(Names::from_row(folded).unwrap(), Names { user_id: 7, name: "Ada".to_owned() });
    let both = row([("NAME", "no".into()), ("name", "Ada".into()), ("userId", 7.into())]);
    assert_eq!(Names::from_row(both).unwrap(), Names { user_id: 7, name: "Ada".to_owned() });
}

#[test]
fn of_columns_of_one_name_a_struct_and_a_map_get_the_first() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Id {
        id: i64,
    }

    let twice = || row([("id", 1.into()), ("id", 2.into())]);
    assert_eq!(Id::from_row(twice()).unwrap(), Id { id: 1 });
    assert_eq!(HashMap::<String, i64>::from_row(twice()).unwrap()["id"], 1);
    assert_eq!(<(i64, i64)>::from_row(twice()).unwrap(), (1, 2), "a tuple gets them all");
}

#[test]
fn maps_and_json_have_the_names_of_the_columns() {
    let cells = || row([("a", 1.into()), ("b", Value::Null)]);
    let map = BTreeMap::<String, Option<i64>>::from_row(cells()).unwrap();
    assert_eq!(map, BTreeMap::from([("a".to_owned(), Some(1)), ("b".to_owned(), None)]));
    assert_eq!(serde_json::Value::from_row(cells()).unwrap(), json!({"a": 1, "b": null}));
    assert_eq!(serde_json::Value::from_row(row([("one", 1.into())])).unwrap(), json!({"one": 1}));
}

#[test]
fn a_tuple_is_read_by_position() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Pair(i64, Option<String>);

    let cells = || row([("b", 1.into()), ("a", "x".into())]);
    assert_eq!(<(i64, String)>::from_row(cells()).unwrap(), (1, "x".to_owned()));
    assert_eq!(Pair::from_row(cells()).unwrap(), Pair(1, Some("x".to_owned())));
    assert_eq!(<[i64; 2]>::from_row(row([("a", 1.into()), ("b", 2.into())])).unwrap(), [1, 2]);
    assert_eq!(read::<(i64,)>(5), (5,));
}

#[test]
fn a_row_of_one_column_is_its_value() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Id(i64);

    assert_eq!(read::<i64>(7), 7);
    assert_eq!(read::<String>("Ada"), "Ada");
    assert_eq!(read::<char>("x"), 'x');
    assert_eq!(read::<Option<i64>>(7), Some(7));
    assert_eq!(read::<Option<i64>>(Value::Null), None);
    assert_eq!(read::<Id>(7), Id(7));
    assert_eq!(read::<Option<Id>>(7), Some(Id(7)));
    assert_eq!(read::<Role>("guest"), Role::Guest);
    assert_eq!(read::<Vec<i64>>(vec![1, 2]), [1, 2]);
    assert_eq!(
        read::<(i64, String)>(Value::Array(vec![1.into(), "x".into()])),
        (1, "x".to_owned())
    );
    assert_eq!(read::<Vec<Option<bool>>>(Value::array([Some(true), None])), [Some(true), None]);
}

#[test]
fn a_row_can_be_read_as_itself() {
    let cells = row([("a", 1.into())]);
    assert_eq!(Row::from_row(cells.clone()).unwrap(), cells);
    let rows = Rows { columns: cells.columns().clone(), rows: vec![cells.clone()] };
    assert_eq!(rows.read::<Row>().unwrap(), [cells]);
}

#[test]
fn json_is_read_as_whatever_it_holds_from_a_column_of_json_and_from_text() {
    let text = serde_json::to_string(&profile()).unwrap();
    for value in [json_value(&text), Value::from(&text)] {
        let cells = row([("profile", value)]);
        assert_eq!(cells.read::<Profile>("profile").unwrap(), profile());
        assert_eq!(cells.read::<Option<Profile>>("profile").unwrap(), Some(profile()));
        let map = cells.read::<HashMap<String, serde_json::Value>>("profile").unwrap();
        assert_eq!(map["level"], json!(3));
        assert_eq!(cells.read::<String>("profile").unwrap(), text, "and as the text it is");
    }
    for value in [json_value(" [1, 2]"), Value::from(" [1, 2]")] {
        assert_eq!(read::<Vec<i64>>(value.clone()), [1, 2]);
        assert_eq!(read::<(i64, i64)>(value), (1, 2));
    }
    for value in [json_value(r#"{"Ok": 5}"#), Value::from(r#"{"Ok": 5}"#)] {
        assert_eq!(read::<Result<i64, String>>(value), Ok(5));
    }
    assert_eq!(read::<i64>(json_value("5")), 5);
    assert_eq!(read::<Option<f64>>(json_value("0.5")), Some(0.5));
    assert!(read::<bool>(json_value("true")));
    assert_eq!(read::<Role>(json_value(r#""guest""#)), Role::Guest);
    assert_eq!(read::<String>(json_value(r#""quoted""#)), "quoted");
    assert_eq!(read::<Date>(json_value(r#""1970-01-01""#)), Date::from_days(0));
    assert_eq!(read::<Option<i64>>(json_value("null")), None);
}

#[test]
fn an_only_column_that_is_json_and_no_field_has_the_fields() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Wrapped {
        profile: Profile,
    }

    let text = serde_json::to_string(&profile()).unwrap();
    for value in [json_value(&text), Value::from(&text)] {
        assert_eq!(read::<Profile>(value.clone()), profile());
        assert_eq!(read::<Option<Profile>>(value.clone()), Some(profile()));
        let named = row([("Profile", value)]);
        assert_eq!(Wrapped::from_row(named).unwrap(), Wrapped { profile: profile() });
    }
    assert_eq!(read::<Option<Profile>>(Value::Null), None);
    let several = row([("it", json_value(&text)), ("other", 1.into())]);
    assert!(Profile::from_row(several).is_err(), "of several columns none is the structure");
}

#[test]
fn a_field_may_be_json_of_any_shape() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Event {
        id: i64,
        about: serde_json::Value,
    }

    let cells = row([("id", 1.into()), ("about", json_value(r#"{"a":[1,null]}"#))]);
    let about = json!({"a": [1, null]});
    assert_eq!(Event::from_row(cells).unwrap(), Event { id: 1, about });
}

#[test]
fn bytes_are_bytes_for_every_type_that_takes_them() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Raw {
        #[serde(deserialize_with = "bytes_from")]
        data: bytes::Bytes,
    }

    /// As the crate for bytes of `serde` asks for them.
    fn bytes_from<'de, D: serde::Deserializer<'de>>(from: D) -> Result<bytes::Bytes, D::Error> {
        struct Buffer;

        impl serde::de::Visitor<'_> for Buffer {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
                Ok(bytes)
            }
        }
        from.deserialize_byte_buf(Buffer).map(Into::into)
    }

    assert_eq!(read::<Vec<u8>>(vec![0_u8, 255]), [0, 255]);
    assert_eq!(read::<[u8; 2]>(vec![0_u8, 255]), [0, 255]);
    assert_eq!(read::<[u8; 16]>(Value::uuid([7; 16])), [7; 16]);
    let raw = Raw { data: bytes::Bytes::from_static(b"\x00\xff") };
    assert_eq!(Raw::from_row(row([("data", vec![0_u8, 255].into())])).unwrap(), raw);
}

#[test]
fn types_that_read_text_read_what_is_written_as_text() {
    assert_eq!(read::<String>(Value::uuid([0; 16])), "00000000-0000-0000-0000-000000000000");
    assert_eq!(read::<String>(Date::from_days(0)), "1970-01-01");
    assert_eq!(read::<String>(Time::from_micros(1_000_000)), "00:00:01");
    assert_eq!(read::<String>(DateTime::from_micros(0)), "1970-01-01T00:00:00");
    assert_eq!(read::<String>(Timestamp::from_micros(0)), "1970-01-01T00:00:00Z");
    assert_eq!(read::<String>(Decimal::from_text("1.50")), "1.50");
    assert_eq!(read::<Ipv4Addr>("127.0.0.1"), Ipv4Addr::LOCALHOST);
}

#[test]
fn days_times_and_decimals_are_read_from_their_kind_and_from_text() {
    assert_eq!(read::<Date>(Date::INFINITY), Date::INFINITY);
    assert_eq!(read::<Date>("1970-01-02"), Date::from_days(1));
    assert_eq!(read::<Time>(Time::from_micros(-1)), Time::from_micros(-1));
    assert_eq!(read::<DateTime>("1970-01-01 00:00:01"), DateTime::from_micros(1_000_000));
    assert_eq!(read::<Timestamp>(Timestamp::from_micros(9)), Timestamp::from_micros(9));
    assert_eq!(read::<Decimal>(Decimal::from_text("1.50")), Decimal::from_text("1.50"));
    assert_eq!(read::<Decimal>("1.50"), Decimal::from_text("1.50"));
    assert_eq!(read::<Decimal>(7), Decimal::from_text("7"));
    assert_eq!(read::<Vec<Date>>(vec![Date::from_days(1)]), [Date::from_days(1)]);
}

#[test]
fn numbers_are_read_as_any_type_that_holds_them_exactly() {
    let decimal = Decimal::from_text;
    assert_eq!(read::<u8>(255), 255);
    assert_eq!(read::<i128>(u64::MAX), i128::from(u64::MAX));
    assert_eq!(read::<i64>(decimal("42.00")), 42);
    assert_eq!(read::<Option<f64>>(decimal("0.10")), Some(0.1));
    assert_eq!(read::<Option<f32>>(0.1), Some(0.1));
    assert_eq!(read::<Option<f64>>(1_i64 << 53), Some(9_007_199_254_740_992.0));
    assert!(read::<bool>(1));
    assert!(!read::<bool>(0));
}

#[test]
fn single_values_are_read_by_name_and_by_place() {
    let cells = row([("Id", 7.into()), ("name", "Ada".into())]);
    assert_eq!(cells.read::<i64>("id").unwrap(), 7);
    assert_eq!(cells.at::<String>(1).unwrap(), "Ada");
    let missing = cells.read::<i64>("none").unwrap_err();
    assert_eq!(missing.context_value("columns"), Some("Id, name"));
    let missing = cells.at::<i64>(2).unwrap_err();
    assert_eq!(missing.context_value("column"), Some("2"));
}

#[test]
fn many_rows_are_read_with_one_plan_although_their_columns_differ() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Named {
        name: String,
    }

    let named = |name: &str| Named { name: name.to_owned() };
    let same = row([("NAME", "a".into())]);
    let rows = vec![same.clone(), same, row([("id", 1.into()), ("name", "b".into())])];
    let rows = Rows { columns: Columns::default(), rows };
    assert_eq!(rows.read::<Named>().unwrap(), [named("a"), named("a"), named("b")]);
}

/// What the error says when `T` is read from a row of such a column.
fn mismatch<T: FromRow>(value: impl Into<Value>) -> String {
    let column = Column { name: "it".into(), type_name: Some("its type".into()) };
    let cells = Row::new(Columns::new([column]), vec![value.into()]);
    let Err(error) = T::from_row(cells) else { panic!("it was read") };
    let Some(expected) = error.context_value("expected") else { panic!("{error}") };
    let Some(found) = error.context_value("found") else { panic!("{error}") };
    assert_eq!(error.context_value("column"), Some("it"));
    assert_eq!(error.context_value("type"), Some("its type"));
    format!("{expected}, not {found}")
}

#[test]
fn a_mismatch_says_what_was_expected_and_what_was_found() {
    assert_eq!(mismatch::<i64>("secret"), "i64, not text");
    assert_eq!(mismatch::<i64>("7"), "i64, not text");
    assert_eq!(mismatch::<i64>(Value::Null), "i64, not null");
    assert_eq!(mismatch::<i64>(true), "i64, not bool");
    assert_eq!(mismatch::<i64>(1.0), "i64, not float");
    assert_eq!(mismatch::<u8>(256), "u8, not a number that is too large or too small");
    assert_eq!(mismatch::<u64>(-1), "u64, not a number that is too large or too small");
    assert_eq!(mismatch::<i64>(u64::MAX), "i64, not a number that is too large or too small");
    assert_eq!(mismatch::<i64>(Decimal::from_text("1.5")), "i64, not decimal");
    assert_eq!(mismatch::<f64>("1.5"), "f64, not text");
    assert_eq!(mismatch::<f64>((1_i64 << 53) + 1), "f64, not a number of more digits than fit");
    let large = Decimal::from_text(format!("1{}", "0".repeat(400)));
    assert_eq!(mismatch::<f64>(large), "f64, not a number that is too large or too small");
    assert_eq!(mismatch::<f32>(1e300), "f32, not a number that is too large or too small");
    assert_eq!(mismatch::<bool>(2), "a boolean, not integer");
    assert_eq!(mismatch::<bool>("true"), "a boolean, not text");
    assert_eq!(mismatch::<String>(7), "a string, not integer");
    assert_eq!(mismatch::<String>(vec![0_u8]), "a string, not bytes");
    assert_eq!(mismatch::<String>(json_value("null")), "a string, not json");
    assert_eq!(mismatch::<char>("secret"), "a character, not another text");
    assert_eq!(mismatch::<Vec<u8>>("secret"), "a sequence, not text");
    assert_eq!(mismatch::<Vec<i64>>(7), "a sequence, not integer");
    assert_eq!(mismatch::<Vec<i64>>(vec!["secret"]), "i64, not text");
    assert_eq!(mismatch::<(i64, i64)>(vec![1]), "a tuple of size 2, not 1 of them");
    assert_eq!(mismatch::<(i64, i64)>(vec![1, 2, 3]), "a tuple of size 2, not 3 of them");
    assert_eq!(mismatch::<[u8; 2]>(vec![1_u8]), "an array of length 2, not 1 of them");
    assert_eq!(mismatch::<Role>("secret"), "one of admin, guest, not another text");
    assert_eq!(mismatch::<Role>(7), "enum Role, not integer");
    assert_eq!(
        mismatch::<Date>("secret"),
        "a value that the type accepts, not one that it refuses"
    );
    assert_eq!(mismatch::<Date>(Timestamp::from_micros(0)), "a date, not timestamp");
    assert_eq!(mismatch::<Timestamp>(DateTime::from_micros(0)), "a timestamp, not date and time");
    assert_eq!(mismatch::<Time>(7), "a time, not integer");
    assert_eq!(mismatch::<Decimal>(true), "a decimal number, not bool");
    assert_eq!(
        mismatch::<Ipv4Addr>("secret"),
        "a value that the type accepts, not one that it refuses"
    );
}

#[test]
fn a_mismatch_inside_of_json_says_where_and_not_what() {
    let read = |value: Value| row([("it", value)]).read::<Profile>("it").unwrap_err();
    let found = |value: Value| read(value).context_value("found").unwrap().to_owned();
    let odd = r#"{"level": "secret"}"#;
    assert_eq!(found(json_value(odd)), "json that does not fit (line 1, column 18)");
    assert_eq!(found(odd.into()), "text that does not fit (line 1, column 18)");
    assert_eq!(found(json_value("{secret}")), "json that is no JSON (line 1, column 2)");
    assert_eq!(found("no json".into()), "text");
    assert_eq!(read(json_value("5")).context_value("expected"), Some("struct Profile"));
    assert!(!format!("{:?}", read(json_value(odd))).contains("secret"));
}

#[test]
fn a_mismatch_of_a_whole_row_says_what_the_row_has() {
    #[derive(Debug, Deserialize)]
    struct Strict {
        #[expect(dead_code, reason = "it is only read")]
        name: String,
    }
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Stricter {
        #[expect(dead_code, reason = "it is only read")]
        id: i64,
    }

    let cells = || row([("id", 7.into()), ("mail", "secret".into())]);
    assert_eq!(
        Strict::from_row(cells()).unwrap_err().to_string(),
        "corrupt: the row is not what it is read into \
         (column: name, expected: a column of this name, found: none, columns: id, mail)"
    );
    assert_eq!(
        Stricter::from_row(cells()).unwrap_err().to_string(),
        "corrupt: the row is not what it is read into \
         (expected: only the columns id, found: a column mail)"
    );
    assert_eq!(
        i64::from_row(cells()).unwrap_err().to_string(),
        "corrupt: the row is not what it is read into (expected: i64, found: a row of 2 columns)"
    );
    assert_eq!(
        <(i64, i64, i64)>::from_row(cells()).unwrap_err().context_value("expected"),
        Some("a tuple of size 3")
    );
}

#[test]
fn a_mismatch_among_many_rows_says_which_row() {
    let columns = Columns::new([Column { name: "n".into(), type_name: Some("int4".into()) }]);
    let rows = [Value::from(1), Value::from(2), Value::Null];
    let rows = rows.map(|value| Row::new(columns.clone(), vec![value])).into();
    assert_eq!(
        Rows { columns, rows }.read::<i64>().unwrap_err().to_string(),
        "corrupt: the row is not what it is read into \
         (column: n, expected: i64, found: null, type: int4, row: 3)"
    );
}

#[test]
fn a_mismatch_is_an_answer_about_a_statement_that_has_run() {
    use switchboard_core::{Class, Outcome, Retry};

    let error = i64::from_row(row([("it", "text".into())])).unwrap_err();
    assert_eq!(error.class(), Class::Answer);
    assert_eq!(error.retry(), Retry::Never);
    assert_eq!(error.outcome(), Outcome::Applied);
}

/// One of each kind of field, for the way out and back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Everything {
    flag: bool,
    small: i8,
    whole: i64,
    large: u64,
    huge: i128,
    single: f32,
    double: f64,
    letter: char,
    text: String,
    maybe: Option<String>,
    date: Date,
    time: Time,
    shown: DateTime,
    moment: Timestamp,
    numbers: Vec<i32>,
    bytes: Vec<u8>,
    map: BTreeMap<String, i64>,
    choice: Result<i64, String>,
}

fn everything() -> impl Strategy<Value = Everything> {
    let numbers = (any::<(bool, i8, i64, u64, i128)>(), any::<(f32, f64)>());
    let texts = any::<(char, String, Option<String>)>();
    let times = any::<(i32, i64, i64, i64)>();
    let several = (
        any::<Vec<i32>>(),
        // Several of nothing are an array of no bytes.
        prop::collection::vec(any::<u8>(), 1..9),
        any::<BTreeMap<String, i64>>(),
        any::<Result<i64, String>>(),
    );
    (numbers, texts, times, several).prop_map(
        |(
            ((flag, small, whole, large, huge), (single, double)),
            (letter, text, maybe),
            (days, time, shown, moment),
            (numbers, bytes, map, choice),
        )| Everything {
            flag,
            small,
            whole,
            large,
            huge,
            single,
            double,
            letter,
            text,
            maybe,
            date: Date::from_days(days),
            time: Time::from_micros(time % (1 << 50)),
            shown: DateTime::from_micros(shown),
            moment: Timestamp::from_micros(moment),
            numbers,
            bytes,
            map,
            choice,
        },
    )
}

proptest! {
    #[test]
    fn what_goes_out_as_parameters_comes_back_as_a_row(sent in everything()) {
        let Params::Named(pairs) = Named(&sent).into_params().unwrap() else {
            panic!("by name");
        };
        let back = pairs.iter().map(|(name, value)| (&**name, value.clone()));
        prop_assert_eq!(Everything::from_row(row(back)).unwrap(), sent);
    }

    #[test]
    fn the_order_of_columns_does_not_matter(sent in everything(), turn in 0usize..18) {
        let Params::Named(mut pairs) = Named(&sent).into_params().unwrap() else {
            panic!("by name");
        };
        pairs.rotate_left(turn);
        let back = pairs.iter().map(|(name, value)| (&**name, value.clone()));
        prop_assert_eq!(Everything::from_row(row(back)).unwrap(), sent);
    }
}
