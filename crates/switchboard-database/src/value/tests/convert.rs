//! What becomes a value, and what a value is to people and other programs.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::json;

use crate::{Column, Columns, Date, Decimal, Row, Time, Timestamp, Value};

#[test]
fn whole_numbers_are_of_the_narrowest_kind_that_holds_them() {
    assert_eq!(Value::from(7_u8), Value::Int(7));
    assert_eq!(Value::from(-7_i16), Value::Int(-7));
    assert_eq!(Value::from(i64::MAX.cast_unsigned()), Value::Int(i64::MAX));
    assert_eq!(Value::from(u64::MAX), Value::UInt(u64::MAX));
    assert_eq!(Value::from(u128::from(u64::MAX)), Value::UInt(u64::MAX));
    let beyond = Decimal::from_text("-170141183460469231731687303715884105728");
    assert_eq!(Value::from(i128::MIN), Value::Decimal(beyond));
}

#[test]
fn a_single_precision_number_is_the_one_that_was_written() {
    assert_eq!(Value::from(0.1_f32), Value::Float(0.1));
    assert_eq!(Value::from(f32::MAX), Value::Float(3.402_823_5e38));
    assert_eq!(Value::from(f32::INFINITY), Value::Float(f64::INFINITY));
}

#[test]
fn every_text_is_text() {
    let text = Value::Text("a".to_owned());
    assert_eq!(Value::from('a'), text);
    assert_eq!(Value::from("a"), text);
    assert_eq!(Value::from(&"a".to_owned()), text);
    assert_eq!(Value::from(Box::<str>::from("a")), text);
    assert_eq!(Value::from(std::sync::Arc::<str>::from("a")), text);
    assert_eq!(Value::from(Cow::Borrowed("a")), text);
}

#[test]
fn bytes_are_bytes_and_no_array_of_numbers() {
    let bytes = Value::Bytes(vec![1, 2]);
    assert_eq!(Value::from(vec![1_u8, 2]), bytes);
    assert_eq!(Value::from(&[1_u8, 2][..]), bytes);
    assert_eq!(Value::from([1_u8, 2]), bytes);
    assert_eq!(Value::from(b"\x01\x02"), bytes);
    assert_eq!(Value::from(Bytes::from_static(b"\x01\x02")), bytes);
}

#[test]
fn several_of_a_type_are_an_array() {
    let array = Value::Array(vec![Value::Int(1), Value::Int(2)]);
    assert_eq!(Value::from(vec![1, 2]), array);
    assert_eq!(Value::from([1, 2]), array);
    assert_eq!(Value::from(&[1, 2]), array);
    assert_eq!(Value::from(&[1_i64, 2][..]), array);
    assert_eq!(Value::array([Some(1), None]), Value::Array(vec![Value::Int(1), Value::Null]));
}

#[test]
fn nothing_is_null_and_json_nothing_is_json() {
    assert_eq!(Value::from(None::<i64>), Value::Null);
    assert_eq!(Value::from(Some("a")), Value::from("a"));
    assert_eq!(Value::from(json!(null)), Value::Json("null".to_owned()));
}

#[test]
fn json_loses_nothing() {
    let cases = [
        (Value::Null, json!(null)),
        (Value::from(true), json!(true)),
        (Value::from(i64::MIN), json!(i64::MIN)),
        (Value::from(u64::MAX), json!(u64::MAX)),
        (Value::from(1.5), json!(1.5)),
        (Value::from(f64::NEG_INFINITY), json!("-Infinity")),
        (Value::from(Decimal::from_text("0.10")), json!("0.10")),
        (Value::from(vec![0_u8, 255]), json!("00ff")),
        (Value::from(Date::from_days(0)), json!("1970-01-01")),
        (Value::from(Time::from_micros(1)), json!("00:00:00.000001")),
        (Value::from(Timestamp::from_micros(0)), json!("1970-01-01T00:00:00Z")),
        (Value::from(Timestamp::from_micros(0).in_utc()), json!("1970-01-01T00:00:00")),
        (Value::uuid([0xab; 16]), json!("abababab-abab-abab-abab-abababababab")),
        (Value::Json(r#"{"a":[1]}"#.to_owned()), json!({"a": [1]})),
        (Value::Json("no json".to_owned()), json!("no json")),
        (Value::from(vec!["a"]), json!(["a"])),
    ];
    for (value, json) in cases {
        assert_eq!(value.to_json(), json, "{value:?}");
    }
}

#[test]
fn text_is_what_a_table_shows() {
    assert_eq!(Value::Null.to_text(), "");
    assert_eq!(Value::from(false).to_text(), "false");
    assert_eq!(Value::from(u64::MAX).to_text(), "18446744073709551615");
    assert_eq!(Value::from(1e300).to_text(), "1e300");
    assert_eq!(Value::from(0.5).to_text(), "0.5");
    assert_eq!(Value::from(vec![1, 2]).to_text(), "[1,2]");
}

#[test]
fn nothing_of_a_value_is_shown_where_nobody_asked() {
    let array = format!("{:?}", Value::from(vec!["secret"]));
    assert!(!array.contains("secret"), "{array}");
}

fn columns(names: &[&str]) -> Columns {
    Columns::new(names.iter().map(|name| Column { name: (*name).into(), type_name: None }))
}

#[test]
fn a_column_is_found_by_its_name_first_and_then_without_regard_to_capitals() {
    let columns = columns(&["ID", "id", "Name"]);
    assert_eq!(columns.position("id"), Some(1));
    assert_eq!(columns.position("Id"), Some(0));
    assert_eq!(columns.position("name"), Some(2));
    assert_eq!(columns.position("nam"), None);
}

#[test]
fn of_columns_of_one_name_the_first_counts() {
    let row = Row::new(columns(&["b", "a", "b"]), vec![1.into(), 2.into(), 3.into()]);
    assert_eq!(row.get("b"), Some(&Value::Int(1)));
    assert_eq!(serde_json::to_string(&row).unwrap(), r#"{"b":1,"a":2}"#);
    assert_eq!(row.to_json(), json!({"a": 2, "b": 1}));
}
