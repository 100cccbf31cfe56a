//! What is reported for each kind of mistake, and what is not.
#![expect(dead_code, reason = "these types are there to be decoded, not to be read")]

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::*;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Eviction {
    /// Least recently used.
    Lru,
    Fifo,
    None,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Store {
    Memory { max: u64 },
    Redis(RedisConfig),
    Nothing,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct RedisConfig {
    url: String,
    #[serde(default)]
    password: Option<Secret>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Backoff {
    None,
    Fixed(u32),
    Growing { first: u32, factor: f64 },
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Hosts {
    One(String),
    Many(Vec<String>),
    Named { primary: String, replicas: Vec<String> },
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Common {
    #[serde(default, alias = "ns")]
    namespace: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Big {
    #[schemars(length(min = 1))]
    name: String,
    #[serde(alias = "max_conns")]
    max_connections: u16,
    #[serde(default, with = "duration")]
    #[schemars(with = "duration::Text")]
    ttl: Duration,
    #[serde(default)]
    eviction: Option<Eviction>,
    #[serde(default)]
    store: Option<Store>,
    #[serde(default)]
    backoff: Option<Backoff>,
    #[serde(default)]
    hosts: Option<Hosts>,
    #[serde(default)]
    labels: BTreeMap<String, u32>,
    #[serde(default)]
    ports: HashMap<u16, String>,
    #[serde(default)]
    pools: Vec<Pool>,
    #[serde(default)]
    #[schemars(range(min = 1, max = 10))]
    weight: Option<u32>,
    #[serde(default)]
    token: Option<Secret>,
    #[serde(flatten)]
    common: Common,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Plain {
    name: String,
    #[serde(alias = "max_conns")]
    max_connections: u16,
    #[serde(default)]
    eviction: Option<Lenient>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Lenient {
    Lru,
    #[serde(other)]
    Other,
}

/// A valid tree, to be spoiled.
fn big() -> Settings {
    Settings::at(Origin::Default).with("name", "n").with("max_connections", 5)
}

/// Sets `key`, from a line of a file, so that the order of the reports is that of the lines.
fn set(settings: &mut Settings, key: &str, line: u32, value: impl Into<Value>) {
    let origin = |column| Origin::file("switchboard.toml", line, column);
    settings.insert(key, Node::new(value, origin(9)).with_key_origin(origin(1)));
}

#[track_caller]
fn check<T: DeserializeOwned + JsonSchema + 'static>(settings: &Settings, expected: &[&str]) {
    let mut found: Vec<String> = match settings.decode::<T>() {
        Ok(_) => Vec::new(),
        Err(error) => {
            let problems = error.find::<Problems>().unwrap();
            problems.iter().map(|p| format!("{}: {}", p.path, p.message)).collect()
        }
    };
    found.sort();
    assert_eq!(found, expected);
}

#[track_caller]
fn check_one(key: &str, value: impl Into<Value>, expected: &[&str]) {
    check::<Big>(&big().with(key, value), expected);
}

fn table() -> Settings {
    Settings::new()
}

#[test]
fn seven_mistakes_are_seven_problems_each_at_its_place() {
    let mut settings = Settings::at(Origin::file("switchboard.toml", 1, 1));
    set(&mut settings, "name", 2, "");
    set(&mut settings, "tll", 3, "5s");
    set(&mut settings, "ttl", 4, 30);
    set(&mut settings, "eviction", 5, "lrv");
    set(&mut settings, "weight", 6, 11);
    let mut pool = Settings::at(Origin::Default);
    set(&mut pool, "max", 8, "many");
    set(&mut settings, "pools", 7, Value::List(vec![in_file(7, pool)]));
    let error = settings.decode::<Big>().unwrap_err();
    let expected = [
        "switchboard.toml:1:1: max_connections: this setting is missing",
        "switchboard.toml:2:9: name: must not be empty",
        "switchboard.toml:3:1: tll: unknown setting; known are backoff, eviction, hosts, \
         labels, max_connections, name, namespace, pools, ports, store, token, ttl, weight",
        "switchboard.toml:4:9: ttl: a duration needs a unit; write 30s or 30ms",
        "switchboard.toml:5:9: eviction: `lrv` is not one of the known names; did you mean \
         `lru`? the choices are fifo, none, lru",
        "switchboard.toml:6:9: weight: must be at most 10, is 11",
        "switchboard.toml:8:9: pools[0].max: expected an integer, found a string",
    ];
    assert_eq!(problems(&error), expected);
    assert_eq!(error.message(), "7 settings are wrong");
    for line in expected {
        assert!(error.to_string().contains(line), "{error}");
        assert!(format!("{error:?}").contains(&format!("\n  problem: {line}\n")), "{error:?}");
    }
    assert!(!error.to_string().contains('\n'));
}

#[test]
fn a_misspelled_required_key_is_one_mistake() {
    let settings = table().with("nmae", "n").with("max_connections", 5);
    let error = settings.decode::<Big>().unwrap_err();
    let problems = error.find::<Problems>().unwrap();
    assert_eq!(problems.len(), 1);
    let problem = problems.iter().next().unwrap();
    assert_eq!(problem.path, "nmae");
    assert_eq!(problem.hint.as_deref(), Some("did you mean `name`?"));
}

#[test]
fn an_unknown_key_is_a_mistake_although_serde_ignores_it() {
    check_one("nope", 1, &["nope: unknown setting"]);
    check::<Plain>(
        &table().with("name", "n").with("max_connections", 1).with("nope", table()),
        &["nope: unknown setting"],
    );
    check_one("pools", [table().with("max", 1).with("mix", 1)], &["pools[0].mix: unknown setting"]);
}

#[test]
fn an_alias_is_known_and_stands_for_the_required_key() {
    let alias = || table().with("name", "n").with("max_conns", 5);
    check::<Plain>(&alias(), &[]);
    check::<Big>(&alias(), &[]);
    check::<Big>(&big().with("ns", "x"), &[]);
    // Beside other mistakes too, where serde can be asked about the key alone.
    check::<Plain>(
        &alias().with("nope", 1).with("name", 1),
        &["name: expected a string, found an integer", "nope: unknown setting"],
    );
    check::<Plain>(
        &table().with("name", "n").with("max_conns", "x"),
        &["max_conns: expected u16, found a string"],
    );
    check::<Plain>(
        &alias().with("max_connections", 5),
        &[": `max_connections` is set twice, under two of its names"],
    );
}

#[test]
fn a_setting_that_an_optional_flattened_struct_swallows_is_a_mistake() {
    #[derive(Debug, Deserialize, JsonSchema)]
    struct Outer {
        #[serde(flatten)]
        pool: Option<Pool>,
    }
    check::<Outer>(&table(), &[]);
    check::<Outer>(&table().with("max", 3), &[]);
    check::<Outer>(&table().with("max", "3"), &["max: expected an integer, found a string"]);
    check::<Outer>(&table().with("max", 3).with("mix", 3), &["mix: unknown setting"]);
}

#[test]
fn a_catch_all_variant_is_no_mistake() {
    let lenient = || table().with("name", "n").with("eviction", "whatever");
    check::<Plain>(&lenient().with("max_connections", 5), &[]);
    check::<Plain>(&lenient(), &["max_connections: this setting is missing"]);
}

#[test]
fn a_tag_chooses_the_branch_that_is_checked() {
    check_one("store", table().with("type", "memory").with("max", 1), &[]);
    check_one("store", table().with("type", "nothing"), &[]);
    check_one("store", table().with("type", "redis").with("url", "x"), &[]);
    check_one("store", table().with("max", 1), &["store.type: this setting is missing"]);
    check_one(
        "store",
        table().with("type", 1),
        &["store.type: expected a string, found an integer"],
    );
    check_one(
        "store",
        table().with("type", "memry").with("max", 1),
        &["store.type: `memry` is not one of the known names"],
    );
    check_one(
        "store",
        table().with("type", "memory").with("max", true).with("url", "x"),
        &["store.max: expected an integer, found a boolean", "store.url: unknown setting"],
    );
    check_one(
        "store",
        table().with("type", "redis").with("uri", "x"),
        &["store.uri: unknown setting"],
    );
    check_one(
        "store",
        table().with("type", "nothing").with("max", 1),
        &["store.max: unknown setting"],
    );
    check_one("store", "memory", &["store: expected a table, found a string"]);
}

#[test]
fn a_name_chooses_the_branch_that_is_checked() {
    check_one("backoff", "none", &[]);
    check_one("backoff", table().with("fixed", 3), &[]);
    check_one("backoff", table().with("none", Value::Null), &[]);
    check_one("backoff", table().with("growing", table().with("first", 1).with("factor", 2)), &[]);
    check_one("backoff", "nine", &["backoff: `nine` is not one of the known names"]);
    check_one("backoff", "fixed", &["backoff: this choice needs settings of its own"]);
    check_one(
        "backoff",
        table().with("grwing", 3),
        &["backoff.grwing: `grwing` is not one of the known names"],
    );
    check_one(
        "backoff",
        table().with("growing", table().with("first", "1").with("factr", 2)),
        &[
            "backoff.growing.factr: unknown setting",
            "backoff.growing.first: expected an integer, found a string",
        ],
    );
    check_one("backoff", 5, &["backoff: expected a string or a table, found an integer"]);
}

#[test]
fn the_closest_branch_of_an_untagged_enum_is_reported() {
    check_one("hosts", "a", &[]);
    check_one("hosts", ["a", "b"], &[]);
    check_one(
        "hosts",
        vec![Value::from("a"), 1.into()],
        &["hosts[1]: expected a string, found an integer"],
    );
    check_one(
        "hosts",
        table().with("primary", "a").with("replica", ["b"]),
        &["hosts.replica: unknown setting"],
    );
    check_one("hosts", 1, &["hosts: expected a string, a list or a table, found an integer"]);
}

#[test]
fn maps_check_their_values_and_know_every_key() {
    check_one("labels", table().with("a", 1).with("b.c", 2), &[]);
    check_one(
        "labels",
        table().with("a", "x").with("b.c", true),
        &[
            "labels.\"b.c\": expected an integer, found a boolean",
            "labels.a: expected an integer, found a string",
        ],
    );
    check_one("ports", table().with("80", "http"), &[]);
    check_one(
        "ports",
        table().with("eighty", "http"),
        &["ports.eighty: expected u16, found a string"],
    );
}

#[test]
fn limits_that_only_the_schema_knows_are_kept() {
    check_one("weight", 0, &["weight: must be at least 1, is 0"]);
    check_one("weight", 10, &[]);
    check_one("weight", Value::Null, &[]);
    check_one("max_connections", 65_536, &["max_connections: must be at most 65535, is 65536"]);
    check_one("max_connections", -1, &["max_connections: must be at least 0, is -1"]);
    check_one("max_connections", 1.0, &["max_connections: expected an integer, found a number"]);
}

#[test]
fn durations_say_what_is_wrong_in_the_walk() {
    check_one("ttl", "5m", &[]);
    check_one("ttl", "5 parsecs", &["ttl: not a duration"]);
    check_one("ttl", 1.5, &["ttl: a duration needs a unit"]);
    check_one("ttl", true, &["ttl: expected a string, found a boolean"]);
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(extend("writeOnly" = true))]
enum Hidden {
    A,
    B,
}

#[derive(Debug)]
struct Picky;

impl<'de> Deserialize<'de> for Picky {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Err(serde::de::Error::custom(format_args!("cannot use {text:?} (that is {text})")))
    }
}

impl JsonSchema for Picky {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Picky".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string" })
    }
}

/// A choice whose key is forgotten easily: `login = "hunter2"`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Login {
    Anonymous,
    #[expect(dead_code, reason = "only its name is looked at")]
    Token(Secret),
}

#[test]
fn no_text_of_a_setting_is_ever_shown() {
    const CANARY: &str = "canary\"-7f3a";
    let trees = [
        big().with("max_connections", CANARY),
        big().with("token", [CANARY]),
        big().with("store", table().with("type", "redis").with("url", 1).with("password", CANARY)),
        big().with("ttl", CANARY),
        big().with("labels", table().with("a", CANARY)),
        big().with("ports", table().with("x", CANARY)),
        big().with("pools", CANARY),
        big().with("pools", [CANARY]),
        big().with("unknown", CANARY),
        big().with("hosts", table().with("primary", CANARY)),
        big().with("backoff", table().with("fixed", CANARY)),
        table().with("n", CANARY),
    ];
    let shown = |error: Error| {
        let problems = error.find::<Problems>().unwrap();
        format!("{error} {error:?} {problems} {problems:#} {problems:?}")
    };
    for tree in &trees {
        let text = shown(tree.decode::<Big>().unwrap_err());
        assert!(!text.contains("canary"), "{text}");
    }
    let only = table().with("n", CANARY);
    for text in [
        shown(only.decode::<N<Hidden>>().unwrap_err()),
        shown(only.decode::<N<Picky>>().unwrap_err()),
        shown(only.decode::<N<Login>>().unwrap_err()),
        shown(only.decode::<N<Option<Hidden>>>().unwrap_err()),
        shown(only.decode::<N<std::net::IpAddr>>().unwrap_err()),
        format!("{only:?}"),
    ] {
        assert!(!text.contains("canary"), "{text}");
    }
    let refused = only.decode::<N<Picky>>().unwrap_err();
    assert!(refused.to_string().ends_with("n: cannot use \"***\" (that is ***))"), "{refused}");
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Two {
    a: Picky,
    b: u8,
}

#[test]
fn a_mistake_that_only_serde_knows_has_its_path_and_origin_too() {
    let mut settings = table();
    set(&mut settings, "n", 3, vec![Value::from("x")]);
    let error = settings.decode::<N<Vec<Picky>>>().unwrap_err();
    let found = error.find::<Problems>().unwrap().iter().next().unwrap().clone();
    assert_eq!(found.path, "n[0]");
    // Beside mistakes of the walk, if it is about something else.
    check::<Two>(
        &table().with("a", "x").with("b", "y"),
        &["a: cannot use *** (that is x)", "b: expected an integer, found a string"],
    );
}

#[test]
fn paths_start_with_where_the_settings_stand() {
    let error = big().with("nope", 1).decode_at::<Big>("cache.main").unwrap_err();
    assert!(problems(&error)[0].contains(": cache.main.nope: "), "{error}");
}

#[test]
fn a_type_of_itself_does_not_take_for_ever() {
    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(untagged)]
    enum Tree {
        A { x: Box<Self>, a: u8 },
        B { x: Box<Self>, b: u8 },
        Leaf(u8),
    }
    let mut tree = table().with("x", 1);
    for _ in 0..14 {
        tree = table().with("x", tree);
    }
    assert!(tree.decode::<Tree>().is_err());
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Deep {
    #[serde(default)]
    x: Option<Box<Self>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum DeepList {
    Leaf(u8),
    Many(Vec<Self>),
    Table { x: Box<Self> },
}

#[test]
fn the_deepest_tree_that_is_allowed_fits_on_the_stack() {
    let mut tree = table();
    let mut list = Value::from(1);
    for level in 2..DEPTH_MAX {
        tree = table().with("x", tree);
        let below = Node::new(list, Origin::Default);
        list = match level % 2 {
            0 => Value::List(vec![below]),
            _ => Value::Table(table().with("x", below.into_value())),
        };
    }
    check::<Deep>(&tree, &[]);
    check::<N<DeepList>>(&table().with("n", list), &[]);
    let error = table().with("x", tree.with("y", 1).with("x", 1)).decode::<Deep>().unwrap_err();
    assert_eq!(error.find::<Problems>().map(Problems::len), Some(2));
}

#[test]
fn a_long_list_is_checked_to_its_end() {
    let mut items: Vec<Value> = (0..100_000).map(Value::from).collect();
    items.push("x".into());
    check::<N<Vec<u32>>>(
        &table().with("n", items),
        &["n[100000]: expected an integer, found a string"],
    );
    let wrong: Vec<Value> = (0..10_000).map(|_| "x".into()).collect();
    let error = table().with("n", wrong).decode::<N<Vec<u32>>>().unwrap_err();
    assert_eq!(error.find::<Problems>().map(Problems::len), Some(10_000));
    assert_eq!(error.context_value("problems not shown"), Some("9900"));
}

/// What a type refuses that no schema can tell.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Choosy {
    #[serde(deserialize_with = "even")]
    first: u8,
    #[serde(deserialize_with = "even")]
    second: u8,
    inner: Inner,
    count: u8,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, remote = "Self")]
struct Inner {
    #[serde(deserialize_with = "even")]
    third: u8,
    fourth: u8,
}

/// Wants the fourth to be smaller than the third, which is missed when the third is left out.
impl<'de> Deserialize<'de> for Inner {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let inner = Self::deserialize(from)?;
        if inner.fourth > inner.third {
            return Err(serde::de::Error::custom("the fourth is too large"));
        }
        Ok(inner)
    }
}

fn even<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u8, D::Error> {
    let number = u8::deserialize(from)?;
    if number % 2 == 0 { Ok(number) } else { Err(serde::de::Error::custom("not even")) }
}

#[test]
fn all_that_a_type_itself_refuses_is_told_and_nothing_that_follows_from_it() {
    let inner = table().with("third", 5).with("fourth", 1);
    let wrong = table().with("first", 1).with("second", 3).with("inner", inner).with("count", "x");
    check::<Choosy>(
        &wrong,
        &[
            "count: expected an integer, found a string",
            "first: not even",
            "inner.third: not even",
            "second: not even",
        ],
    );
    let inner = table().with("third", 2).with("fourth", 3);
    check::<Choosy>(
        &table().with("inner", inner).with("second", 3),
        &["inner: the fourth is too large", "second: not even"],
    );
}
