//! What comes with a statement.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;
use switchboard_core::ErrorKind;

use crate::{Date, DateTime, Decimal, IntoParams, Named, Params, Time, Timestamp, Value, params};

fn named(from: impl Serialize) -> Params {
    Named(from).into_params().unwrap()
}

fn refused(from: impl Serialize) -> switchboard_core::Error {
    Named(from).into_params().unwrap_err()
}

#[test]
fn values_in_order_come_from_tuples_arrays_and_vectors() {
    let expected = params![1, 2];
    assert_eq!((1, 2).into_params().unwrap(), expected);
    assert_eq!([1, 2].into_params().unwrap(), expected);
    assert_eq!(vec![1_i64, 2].into_params().unwrap(), expected);
    let values = [Value::Int(1), Value::Int(2)];
    assert_eq!(values[..].into_params().unwrap(), expected);
    assert_eq!(expected.clone().into_params().unwrap(), expected);
    assert_eq!(().into_params().unwrap(), Params::None);
}

#[test]
fn a_tuple_has_up_to_sixteen_values_of_any_types() {
    let many = (1, "b", 3.0, true, None::<i8>, 'f', 7, 8, 9, 10, 11, 12, 13, 14, 15, 16_u64);
    let Params::Positional(values) = many.into_params().unwrap() else { panic!("in order") };
    assert_eq!(values.len(), 16);
    assert_eq!(values[1], Value::from("b"));
    assert_eq!(values[15], Value::Int(16));
}

#[test]
fn every_field_becomes_the_value_that_it_is() {
    #[derive(Serialize)]
    struct Fields<'a> {
        flag: bool,
        small: i8,
        byte: u8,
        large: u64,
        single: f32,
        letter: char,
        text: &'a str,
        some: Option<i64>,
        none: Option<i64>,
        nothing: (),
        wrapped: Wrapped,
        variant: Variant,
    }
    #[derive(Serialize)]
    struct Wrapped(i64);
    #[derive(Serialize)]
    #[serde(rename_all = "snake_case")]
    enum Variant {
        VeryPlain,
    }

    let fields = Fields {
        flag: true,
        small: -1,
        byte: 255,
        large: u64::MAX,
        single: 0.1,
        letter: 'x',
        text: "t",
        some: Some(1),
        none: None,
        nothing: (),
        wrapped: Wrapped(5),
        variant: Variant::VeryPlain,
    };
    let expected = params! {
        "flag" => true,
        "small" => -1,
        "byte" => 255,
        "large" => u64::MAX,
        "single" => 0.1,
        "letter" => "x",
        "text" => "t",
        "some" => 1,
        "none" => Value::Null,
        "nothing" => Value::Null,
        "wrapped" => 5,
        "variant" => "very_plain",
    };
    assert_eq!(named(fields), expected);
}

#[test]
fn types_of_this_crate_keep_their_kind() {
    #[derive(Serialize)]
    struct Kinds {
        date: Date,
        time: Time,
        shown: DateTime,
        moment: Option<Timestamp>,
        price: Decimal,
        days: Vec<Date>,
    }

    let kinds = Kinds {
        date: Date::from_days(-1),
        time: Time::from_micros(-1),
        shown: DateTime::INFINITY,
        moment: Some(Timestamp::from_micros(1)),
        price: Decimal::from_text("1.50"),
        days: vec![Date::from_days(0)],
    };
    let expected = params! {
        "date" => kinds.date,
        "time" => kinds.time,
        "shown" => kinds.shown,
        "moment" => kinds.moment,
        "price" => kinds.price.clone(),
        "days" => vec![Date::from_days(0)],
    };
    assert_eq!(named(kinds), expected);
}

#[test]
fn several_values_are_an_array_and_several_bytes_are_bytes() {
    #[derive(Serialize)]
    struct Several {
        numbers: Vec<i32>,
        bytes: Vec<u8>,
        key: [u8; 2],
        mixed: (u8, &'static str),
        empty: Vec<String>,
    }

    let several = Several {
        numbers: vec![1],
        bytes: vec![0, 255],
        key: [1, 2],
        mixed: (1, "b"),
        empty: vec![],
    };
    let expected = params! {
        "numbers" => vec![1],
        "bytes" => vec![0_u8, 255],
        "key" => vec![1_u8, 2],
        "mixed" => Value::Array(vec![1.into(), "b".into()]),
        "empty" => Value::Array(vec![]),
    };
    assert_eq!(named(several), expected);
}

#[test]
fn what_has_parts_itself_becomes_json() {
    #[derive(Serialize)]
    struct Outer {
        inner: Inner,
        map: BTreeMap<i32, bool>,
        variant: Variant,
        tuple: Variant,
        fields: Variant,
        list: Vec<Inner>,
    }
    #[derive(Serialize)]
    struct Inner {
        a: Option<i64>,
    }
    #[derive(Serialize)]
    enum Variant {
        One(i64),
        Two(i64, bool),
        Three { b: i64 },
    }

    let outer = Outer {
        inner: Inner { a: None },
        map: BTreeMap::from([(1, true)]),
        variant: Variant::One(1),
        tuple: Variant::Two(1, true),
        fields: Variant::Three { b: 1 },
        list: vec![Inner { a: Some(1) }],
    };
    let expected = params! {
        "inner" => json!({"a": null}),
        "map" => json!({"1": true}),
        "variant" => json!({"One": 1}),
        "tuple" => json!({"Two": [1, true]}),
        "fields" => json!({"Three": {"b": 1}}),
        "list" => vec![json!({"a": 1})],
    };
    assert_eq!(named(outer), expected);
}

#[test]
fn values_by_name_come_from_maps_wrapped_and_flattened_structs_too() {
    #[derive(Serialize)]
    struct Flat {
        a: i64,
        #[serde(flatten)]
        rest: BTreeMap<String, bool>,
    }
    #[derive(Serialize)]
    struct Wrapped(Flat);

    let expected = params! { "a" => 1, "b" => true };
    let flat = || Flat { a: 1, rest: BTreeMap::from([("b".to_owned(), true)]) };
    assert_eq!(named(Wrapped(flat())), expected);
    assert_eq!(named(Some(flat())), expected);
    assert_eq!(named(json!({"a": 1, "b": true})), expected);
    assert_eq!(named(()), Params::Named(vec![]));
    assert_eq!(named(None::<Flat>), Params::Named(vec![]));
}

#[test]
fn what_has_no_names_cannot_come_by_name() {
    for error in [refused(5), refused("text"), refused([1, 2]), refused(7_u8)] {
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(
            error.message(),
            "values by name come from the fields of a struct or the entries of a map"
        );
    }
}

#[test]
fn a_field_that_cannot_be_written_is_named_without_its_value() {
    #[derive(Serialize)]
    struct Odd {
        fine: i64,
        odd: BTreeMap<Vec<String>, i64>,
    }

    let error = refused(Odd { fine: 1, odd: BTreeMap::from([(vec!["secret".to_owned()], 1)]) });
    assert_eq!(
        error.to_string(),
        "invalid input: what is to be a parameter cannot be written as a value (parameter: odd)"
    );
}

#[test]
fn names_are_shown_and_values_are_not() {
    assert_eq!(format!("{:?}", params! { "id" => "secret" }), r#"Named{"id"}"#);
    assert_eq!(format!("{:?}", params!["secret"]), "Positional(1)");
    assert_eq!(format!("{:?}", params![]), "None");
    assert!(!format!("{:?}", Named("secret")).contains("secret"));
}
