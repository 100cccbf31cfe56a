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
/// those where the type itself forbids them.
fn agree<T: DeserializeOwned + JsonSchema>(settings: &Settings, strict: bool) -> bool {
    let accepted = decode::decode::<T>(settings).is_ok();
    let schema = schema_of::<T>();
    let mistakes = schema::walk(&schema, settings);
    if accepted {
        let wrong = mistakes.iter().find(|mistake| strict || mistake.class != Class::Unknown);
        assert!(wrong.is_none(), "{settings:?}: {wrong:?}");
    }
    let decoded = settings.decode::<T>();
    if let Err(error) = decoded {
        assert!(error.find::<Problems>().is_some_and(|problems| !problems.is_empty()));
        assert!(!error.to_string().contains('\n'));
    }
    accepted
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

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
        agree::<serde_json::Value>(&settings, true);
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
