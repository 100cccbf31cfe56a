//! The walk over the schema never calls wrong what serde takes; nothing makes either of them panic.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use serde::de::DeserializeOwned;

use super::*;
use crate::settings::schema::{self, Class};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "decoded, not read")]
struct Flat {
    url: String,
    #[serde(default)]
    max: Option<u8>,
    #[serde(default)]
    a: f32,
    #[serde(default)]
    b: bool,
    #[serde(default)]
    hosts: (String, i8),
    #[serde(default)]
    ttl: char,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "decoded, not read")]
struct Units {
    #[serde(default, with = "duration")]
    #[schemars(with = "duration::Text")]
    ttl: Duration,
    #[serde(default, with = "duration::option")]
    #[schemars(with = "Option<duration::Text>")]
    a: Option<Duration>,
    #[serde(default)]
    max: ByteSize,
    #[serde(default)]
    url: Option<Rate>,
    #[serde(default)]
    b: Secret,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "decoded, not read")]
struct Nested {
    #[serde(default)]
    pool: Option<Flat>,
    #[serde(default)]
    hosts: Vec<Named>,
    #[serde(default)]
    labels: BTreeMap<String, Units>,
    #[serde(default)]
    a: BTreeMap<u8, i64>,
    #[serde(default)]
    b: Option<Box<Self>>,
    #[serde(default)]
    url: Untagged,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[expect(dead_code, reason = "decoded, not read")]
enum Tagged {
    Memory { max: u64 },
    Redis { url: String, pool: Option<Box<Self>> },
    Nothing {},
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "kind", content = "pool", rename_all = "snake_case")]
#[expect(dead_code, reason = "decoded, not read")]
enum Adjacent {
    Memory(u64),
    Redis { url: String },
    Nothing,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "decoded, not read")]
enum Named {
    Memory,
    /// Described, and so a schema of its own.
    Redis,
    Pool(Box<Flat>),
    Hosts(u8, String),
    Labels {
        max: Option<i32>,
    },
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "decoded, not read")]
enum Untagged {
    #[default]
    Nothing,
    Text(String),
    Number(u8),
    Many(Vec<Self>),
    Table {
        url: String,
        max: Option<u8>,
    },
    Other {
        a: f64,
        b: Option<Box<Self>>,
    },
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "decoded, not read")]
enum Either {
    Many(Vec<u8>),
    One(More),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[expect(dead_code, reason = "decoded, not read")]
struct Flattened {
    #[serde(default)]
    max: Option<u8>,
    #[serde(flatten)]
    tagged: Tagged2,
    #[serde(flatten)]
    more: More,
    #[serde(flatten)]
    named: Named2,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(dead_code, reason = "decoded, not read")]
enum Tagged2 {
    Memory { a: f64 },
    Redis(More),
    Nothing,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "decoded, not read")]
enum Named2 {
    Pool(u8),
    Hosts,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[expect(dead_code, reason = "decoded, not read")]
struct More {
    #[serde(default)]
    url: String,
    #[serde(default)]
    b: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
#[expect(dead_code, reason = "decoded, not read")]
struct Wrapped(N<Tagged>);

const KEYS: [&str; 11] =
    ["url", "max", "a", "b", "hosts", "ttl", "pool", "labels", "kind", "n", "7"];

const WORDS: [&str; 12] =
    ["memory", "redis", "nothing", "pool", "hosts", "labels", "30s", "64KiB", "5/s", "x", "", "1"];

const READ_AS: [&str; 9] = ["true", "false", "7", "255", "256", "-1", "1.5", "007", "1e3"];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![6 => prop::sample::select(&WORDS[..]).prop_map(str::to_owned), 1 => ".{0,6}"]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        1 => Just(Value::Null),
        2 => any::<bool>().prop_map(Value::Bool),
        4 => (0..9_i128).prop_map(Value::Integer),
        1 => prop::sample::select(vec![-1, 255, 256, i128::from(u64::MAX), i128::MAX, i128::MIN])
            .prop_map(Value::Integer),
        1 => any::<f64>().prop_map(Value::Float),
        6 => text().prop_map(Value::String),
        3 => prop_oneof![text(), prop::sample::select(&READ_AS[..]).prop_map(str::to_owned)]
            .prop_map(Value::Untyped),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            3 => table_of(inner).prop_map(Value::Table),
        ]
    })
}

fn table_of(value: impl Strategy<Value = Value> + 'static) -> impl Strategy<Value = Settings> {
    let keys = prop::sample::select(&KEYS[..]);
    prop::collection::vec((keys, value), 0..5).prop_map(|entries| {
        let empty = Settings::at(Origin::Default);
        entries.into_iter().fold(empty, |table, (key, value)| table.with(key, value))
    })
}

/// Trees that are often valid for the types above: a tag, and content that suits it.
fn tree() -> impl Strategy<Value = Settings> {
    let kind = prop::sample::select(vec!["memory", "redis", "nothing"]);
    (table_of(value()), prop::option::of(kind), any::<bool>(), text()).prop_map(
        |(table, kind, url, text)| {
            let table = match kind {
                Some(kind) => table.with("kind", kind),
                None => table,
            };
            if url { table.with("url", text) } else { table }
        },
    )
}

/// Whether serde takes the tree. If so, nothing but unknown keys may have been found, and not even
/// those where the type itself forbids them. Only a list in the place of a table is always wrong,
/// and in a list that may be such a one nothing is certain.
fn agree<T: DeserializeOwned + JsonSchema + 'static>(settings: &Settings, strict: bool) -> bool {
    let accepted = decode::decode::<T>(settings).is_ok();
    let schema = schema_of::<T>();
    let mistakes = schema::walk(&schema, settings).mistakes;
    if accepted {
        let wrong = mistakes.iter().find(|mistake| match mistake.class {
            Class::Listed => false,
            Class::Unknown => strict,
            _ => !mistake.by_position,
        });
        assert!(wrong.is_none(), "{settings:?}: {wrong:?}");
    }
    let decoded = settings.decode::<T>();
    if let Err(error) = decoded {
        assert!(error.find::<Problems>().is_some_and(|problems| !problems.is_empty()));
        assert!(!error.to_string().contains('\n'));
    }
    accepted
}

/// More where `PROPTEST_CASES` asks for more.
fn cases() -> u32 {
    ProptestConfig::default().cases.max(512)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_serde_takes_is_never_called_wrong(settings in tree()) {
        agree::<Flat>(&settings, true);
        agree::<Units>(&settings, true);
        agree::<Nested>(&settings, false);
        agree::<Tagged>(&settings, true);
        agree::<Adjacent>(&settings, false);
        agree::<Named>(&settings, false);
        agree::<Untagged>(&settings, false);
        agree::<Flattened>(&settings, false);
        agree::<Wrapped>(&settings, false);
        agree::<BTreeMap<String, Untagged>>(&settings, false);
        agree::<BTreeMap<String, Option<Named>>>(&settings, false);
        agree::<BTreeMap<String, Either>>(&settings, false);
        agree::<serde_json::Value>(&settings, true);
    }
}

#[test]
fn a_list_in_the_place_of_a_table_is_refused_also_where_serde_would_read_it_by_position() {
    let list = || N::list(["nothing"]);
    assert!(decode::decode::<N<Tagged>>(&list()).is_ok(), "serde takes it");
    let error = list().decode::<N<Tagged>>().unwrap_err();
    let message = "expected a table, found a list";
    assert!(error.to_string().contains(message), "{error}");
    let nested = Settings::new().with("kind", "redis").with("url", "x").with("pool", ["nothing"]);
    assert!(decode::decode::<Tagged>(&nested).is_ok(), "serde takes it");
    assert!(nested.decode::<Tagged>().unwrap_err().to_string().contains(message));
    // Asked for the struct itself, serde is refused by the decoder; the words are the same.
    let error = N::list(["x"]).decode::<N<More>>().unwrap_err();
    assert!(error.to_string().contains(message), "{error}");
}

#[test]
fn where_a_choice_describes_lists_and_tables_serde_decides_what_a_list_is() {
    let by_position = N::list(vec![Value::from("x"), Value::from(true)]);
    assert!(agree::<N<Either>>(&by_position, false));
    assert!(matches!(by_position.decode::<N<Either>>().unwrap().n, Either::One(_)));
    assert!(matches!(N::list([1, 2]).decode::<N<Either>>().unwrap().n, Either::Many(_)));
    let error = N::list([1, 256]).decode::<N<Either>>().unwrap_err().to_string();
    assert!(error.contains("n[1]: must be at most 255"), "{error}");
}

#[test]
fn a_tuple_with_too_many_items_is_refused_by_the_decoder_too() {
    let hosts: Vec<Value> = vec!["x".into(), 1.into(), 2.into()];
    let settings = Settings::new().with("url", "x").with("hosts", hosts);
    assert!(!agree::<Flat>(&settings, true));
    let error = settings.decode::<Flat>().unwrap_err().to_string();
    assert!(error.contains("hosts: must have at most 2 items"), "{error}");
}

#[test]
fn the_branch_meant_is_the_one_that_serde_can_read_whatever_keys_it_ignores() {
    let inner = Settings::new().with("hosts", 1).with("ttl", 2).with("a", 3);
    let settings = Settings::new().with("n", Settings::new().with("b", inner).with("a", 4));
    assert!(agree::<N<Untagged>>(&settings, false));
    let error = settings.decode::<N<Untagged>>().unwrap_err();
    let paths: Vec<_> = error.find::<Problems>().unwrap().iter().map(|p| p.path.clone()).collect();
    assert_eq!(paths, ["n.b.hosts", "n.b.ttl"]);
    // Too large a number for the first branch; the second has no such key.
    let settings = Settings::new().with("url", "x").with("max", 256).with("a", 1);
    assert!(agree::<N<Untagged>>(&Settings::new().with("n", settings), false));
}

impl N<()> {
    fn list(items: impl Into<Value>) -> Settings {
        Settings::new().with("n", items)
    }
}

#[test]
fn the_trees_above_are_valid_often_enough_to_prove_something() {
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::{Config, TestRunner};

    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        proptest::test_runner::TestRng::deterministic_rng(
            proptest::test_runner::RngAlgorithm::ChaCha,
        ),
    );
    let mut accepted = [0; 8];
    for _ in 0..1000 {
        let settings = tree().new_tree(&mut runner).unwrap().current();
        let verdicts = [
            agree::<Flat>(&settings, true),
            agree::<Units>(&settings, true),
            agree::<Nested>(&settings, false),
            agree::<Tagged>(&settings, true),
            agree::<Adjacent>(&settings, false),
            agree::<Named>(&settings, false),
            agree::<Untagged>(&settings, false),
            agree::<BTreeMap<String, Untagged>>(&settings, false),
        ];
        for (count, accepted) in accepted.iter_mut().zip(verdicts) {
            *count += u32::from(accepted);
        }
    }
    assert!(accepted.iter().all(|count| *count > 0), "{accepted:?}");
}
