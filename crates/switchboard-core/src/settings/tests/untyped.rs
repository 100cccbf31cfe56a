//! Text without a type reads as what is asked for, wherever it stands.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use serde::de::DeserializeOwned;

use super::*;

#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Mode {
    /// Described, and so a schema of its own.
    Fast,
    Safe,
}

#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Size {
    Count(u16),
    Text(ByteSize),
}

/// Something of each kind, with limits.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Kinds {
    switch: bool,
    small: u8,
    signed: i32,
    large: u64,
    float: f64,
    narrow: f32,
    letter: char,
    text: String,
    secret: Secret,
    mode: Mode,
    some: Option<u32>,
    some_text: Option<String>,
    some_mode: Option<Mode>,
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text")]
    time: Duration,
    size: ByteSize,
    rate: Rate,
    either: Size,
    list: Vec<String>,
    labels: BTreeMap<String, u8>,
}

/// The same where serde buffers everything.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
struct Below {
    #[serde(flatten)]
    kinds: Flat,
}

#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
struct Flat {
    switch: bool,
    signed: i32,
    float: f64,
    letter: char,
    #[serde(alias = "word")]
    text: String,
    secret: Secret,
    mode: Mode,
    some_text: Option<String>,
    size: ByteSize,
}

#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Store {
    Memory { max: u64, name: String },
    Disk { path: String },
}

/// Whatever somebody may put into a variable, numbers and words often.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "true", "12345", "-1", "0.5", "1e9", "007", "+5", "nan", "inf", ""
        ])
        .prop_map(str::to_owned),
        any::<i64>().prop_map(|number| number.to_string()),
        "\\PC{0,8}",
    ]
}

fn letter() -> impl Strategy<Value = char> {
    prop_oneof![Just('7'), Just('t'), any::<char>()]
}

/// A value and the text of it.
fn number<T: ToString + Into<Value> + fmt::Debug + Clone>(
    numbers: impl Strategy<Value = T>,
) -> impl Strategy<Value = (Value, String)> {
    numbers.prop_map(|number| (number.clone().into(), number.to_string()))
}

fn word(words: impl Strategy<Value = String>) -> impl Strategy<Value = (Value, String)> {
    words.prop_map(|word| (word.as_str().into(), word))
}

fn one_of(words: &'static [&'static str]) -> impl Strategy<Value = (Value, String)> {
    word(prop::sample::select(words).prop_map(str::to_owned))
}

/// The settings with types, and those without.
type Both = (Settings, Settings);

fn both(fields: Vec<(&'static str, (Value, String))>) -> Both {
    let empty = || Settings::at(Origin::Default);
    fields.into_iter().fold((empty(), empty()), |(typed, untyped), (key, (value, text))| {
        (typed.with(key, value), untyped.with(key, Value::Untyped(text)))
    })
}

fn flat() -> impl Strategy<Value = Both> {
    (
        number(any::<bool>()),
        number(any::<i32>()),
        number(-1e12..1e12_f64),
        word(letter().prop_map(String::from)),
        word(text()),
        word(text()),
        one_of(&["fast", "safe"]),
        word(text()),
        one_of(&["64KiB", "1B"]),
    )
        .prop_map(|(switch, signed, float, letter, text, secret, mode, some_text, size)| {
            both(vec![
                ("switch", switch),
                ("signed", signed),
                ("float", float),
                ("letter", letter),
                ("text", text),
                ("secret", secret),
                ("mode", mode),
                ("some_text", some_text),
                ("size", size),
            ])
        })
}

fn rest() -> impl Strategy<Value = (Both, u8, String)> {
    let more = (
        number(any::<u8>()),
        number(any::<u64>()),
        number(-1e6..1e6_f32),
        number(any::<u32>()),
        one_of(&["fast", "safe"]),
        one_of(&["30s", "1h30m"]),
        one_of(&["500/s"]),
        prop_oneof![number(any::<u16>()), one_of(&["64KiB"])],
    )
        .prop_map(|(small, large, narrow, some, some_mode, time, rate, either)| {
            both(vec![
                ("small", small),
                ("large", large),
                ("narrow", narrow),
                ("some", some),
                ("some_mode", some_mode),
                ("time", time),
                ("rate", rate),
                ("either", either),
            ])
        });
    (more, any::<u8>(), text())
}

fn merged(mut lower: Settings, upper: Settings) -> Settings {
    lower.merge(upper);
    lower
}

fn same<T: DeserializeOwned + JsonSchema + PartialEq + fmt::Debug + 'static>(
    typed: &Settings,
    untyped: &Settings,
) {
    assert_eq!(untyped.decode::<T>().unwrap(), typed.decode::<T>().unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_value_and_its_text_are_the_same_setting(flat in flat(), rest in rest()) {
        let (more, label, item) = rest;
        let typed = merged(flat.0, more.0)
            .with("list", [item.as_str()])
            .with("labels", Settings::new().with("a", label));
        let untyped = merged(flat.1, more.1)
            .with("list", [Value::Untyped(item)])
            .with("labels", Settings::new().with("a", Value::Untyped(label.to_string())));
        same::<Kinds>(&typed, &untyped);
    }

    #[test]
    fn so_they_are_below_what_serde_buffers(flat in flat(), max in any::<u64>(), name in text()) {
        same::<Below>(&flat.0, &flat.1);
        let store = |max: Value, name: Value| {
            Settings::new().with("kind", "memory").with("max", max).with("name", name)
        };
        same::<Store>(
            &store(max.into(), name.as_str().into()),
            &store(Value::Untyped(max.to_string()), Value::Untyped(name)),
        );
    }

    #[test]
    fn text_alone_decodes_as_the_text_it_is(text in "\\PC{0,12}") {
        let settings = Settings::new().with("n", Value::Untyped(text.clone()));
        prop_assert_eq!(settings.decode::<N<String>>().unwrap().n, text.clone());
        prop_assert_eq!(format!("{settings:?}"), "{\"n\": a string}");
    }
}

fn untyped(text: &str) -> Settings {
    Settings::new().with("n", Value::Untyped(text.to_owned()))
}

#[track_caller]
fn refused<T: DeserializeOwned + JsonSchema + fmt::Debug + 'static>(text: &str, said: &str) {
    let error = untyped(text).decode::<N<T>>().unwrap_err();
    let problems = error.find::<Problems>().unwrap();
    let found: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(found, [said], "{text}");
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
struct Limited(
    #[schemars(range(min = 1, max = 10))]
    #[expect(dead_code)]
    u32,
);

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
struct Long(
    #[schemars(length(min = 8))]
    #[expect(dead_code)]
    String,
);

#[test]
fn limits_and_units_hold_for_what_the_text_reads_as() {
    assert!(untyped("10").decode::<N<Limited>>().is_ok());
    refused::<Limited>("11", "must be at most 10, is 11");
    refused::<Limited>("eleven", "expected an integer, found a string");
    refused::<Limited>("1.5", "expected an integer, found a number");
    refused::<u8>("256", "must be at most 255, is 256");
    refused::<u8>("-1", "must be at least 0, is -1");
    refused::<bool>("yes", "expected true or false, found a string");
    refused::<Long>("12345", "must have at least 8 characters");
    refused::<ByteSize>("30", "a size needs a unit");
    refused::<Mode>("sfae", "`sfae` is not one of the known names");
    refused::<Vec<u8>>("1", "expected a list, found an integer");
    refused::<Option<u8>>("", "expected an integer, found a string");
}

#[test]
fn an_alias_below_a_flattened_struct_gets_its_text_too() {
    let flat = [
        ("switch", "true"),
        ("signed", "1"),
        ("float", "1"),
        ("letter", "7"),
        ("word", "12345"),
        ("secret", "12345"),
        ("mode", "safe"),
        ("size", "1B"),
    ];
    let settings = flat.into_iter().fold(Settings::new(), |settings, (key, text)| {
        settings.with(key, Value::Untyped(text.to_owned()))
    });
    let below: Below = settings.decode().unwrap();
    assert_eq!((below.kinds.text.as_str(), below.kinds.secret.expose()), ("12345", "12345"));
}

#[test]
fn where_anything_is_taken_it_is_what_it_looks_like() {
    let read = |text: &str| untyped(text).decode::<N<serde_json::Value>>().unwrap().n;
    assert_eq!(read("true"), serde_json::json!(true));
    assert_eq!(read("5"), serde_json::json!(5));
    assert_eq!(read("-0.5"), serde_json::json!(-0.5));
    for text in ["007", "+5", "nan", "infinity", "", "1 ", "00.5"] {
        assert_eq!(read(text), serde_json::json!(text));
    }
}

#[test]
fn a_node_answers_its_text_and_what_it_reads_as() {
    let node = |text: &str| Node::new(Value::Untyped(text.to_owned()), Origin::variable("X"));
    assert_eq!(node("5").as_str(), Some("5"));
    assert_eq!((node("5").as_integer(), node("5").as_bool()), (Some(5), None));
    assert_eq!((node("true").as_integer(), node("true").as_bool()), (None, Some(true)));
    assert_eq!(format!("{:?}", node("canary")), "a string");
}

#[test]
fn a_secret_text_is_in_no_report() {
    const CANARY: &str = "canary-7f3a";
    for settings in [untyped(CANARY), Settings::new().with("m", Value::Untyped(CANARY.into()))] {
        for error in [
            settings.decode::<N<u8>>().unwrap_err(),
            settings.decode::<N<bool>>().unwrap_err(),
            settings.decode::<N<std::net::IpAddr>>().unwrap_err(),
            settings.decode::<N<Duration>>().unwrap_err(),
            settings.decode::<Flat>().unwrap_err(),
        ] {
            let text = format!("{error} {error:?} {:?}", error.find::<Problems>());
            assert!(!text.contains(CANARY), "{text}");
        }
    }
}
