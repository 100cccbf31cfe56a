//! Typed settings that are laid over each other in code.

use proptest::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use switchboard_config::Layer;
use switchboard_core::{Problems, Settings};

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Service {
    url: String,
    #[schemars(range(min = 1))]
    connections: u32,
    pool: Pool,
    #[serde(default)]
    hosts: Vec<String>,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
struct Pool {
    max: u32,
    wait: u32,
}

fn pool(key: &str, value: u32) -> Settings {
    Settings::new().with(key, value)
}

fn told(error: &switchboard_core::Error) -> Vec<String> {
    let problems = error.find::<Problems>().into_iter().flatten();
    problems.map(|problem| format!("{}: {}", problem.path, problem.message)).collect()
}

#[test]
fn the_upper_layer_wins_deep_inside() {
    let base = Layer::<Service>::new()
        .with("connections", 4)
        .with("pool", pool("max", 5).with("wait", 1))
        .with("hosts", ["a", "b"]);
    let upper = Layer::new().with("url", "x://").with("pool", pool("max", 9)).with("hosts", ["c"]);
    assert_eq!(
        base.merge(upper).decode().unwrap(),
        Service {
            url: "x://".into(),
            connections: 4,
            pool: Pool { max: 9, wait: 1 },
            hosts: vec!["c".into()],
        }
    );
}

#[test]
fn a_layer_may_leave_out_what_it_likes() {
    Layer::<Service>::new().check().unwrap();
    Layer::<Service>::new().with("pool", pool("max", 5)).check().unwrap();
    let settings = Layer::<Service>::of(pool("connections", 3)).into_settings().unwrap();
    assert_eq!(settings.len(), 1);
}

/// serde insists on `limit`, of which the schema says that it may be left out.
#[derive(Debug, Deserialize, JsonSchema)]
struct Insisting {
    #[serde(deserialize_with = "limit")]
    limit: Option<u32>,
}

fn limit<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    Option::deserialize(from)
}

#[test]
fn what_only_serde_misses_may_still_come() {
    Layer::<Insisting>::new().check().unwrap();
    let whole = Layer::<Insisting>::new().merge(Layer::new().with("limit", 3));
    assert_eq!(whole.decode().unwrap().limit, Some(3));
}

#[test]
fn all_that_is_wrong_is_told_though_much_is_missing() {
    let layer = Layer::<Service>::new()
        .with("conections", 4)
        .with("connections", 0)
        .with("hosts", "a")
        .with("pool", pool("wiat", 1));
    let expected = [
        "conections: unknown setting",
        "connections: must be at least 1, is 0",
        "hosts: expected a list, found a string",
        "pool.wiat: unknown setting",
    ];
    let sorted = |error: &_| {
        let mut told = told(error);
        told.sort();
        told
    };
    let error = layer.check().unwrap_err();
    assert_eq!(sorted(&error), expected, "{error:?}");
    assert_eq!(sorted(&layer.clone().into_settings().unwrap_err()), expected);
    assert!(
        error.find::<Problems>().unwrap().iter().all(|p| p.origin.to_string().contains("layer.rs"))
    );
    assert!(
        told(&layer.decode().unwrap_err()).contains(&"url: this setting is missing".to_owned())
    );
}

#[test]
fn a_key_is_one_key_and_no_path() {
    let error = Layer::<Service>::new().with("pool.max", 3).check().unwrap_err();
    assert_eq!(told(&error), ["\"pool.max\": unknown setting"]);
}

#[test]
fn values_are_not_shown_by_debug() {
    let layer = Layer::<Service>::new().with("url", "canary");
    assert!(!format!("{layer:?}").contains("canary"));
}

fn layers() -> impl Strategy<Value = Vec<(String, Option<u8>)>> {
    prop::collection::vec(("[ab](\\.[ab]){0,2}", prop::option::of(0..9_u8)), 0..6)
}

fn leaves() -> impl Strategy<Value = Vec<(String, Option<u8>)>> {
    prop::collection::vec(("[ab]\\.[ab]\\.[ab]", (0..9_u8).prop_map(Some)), 0..6)
}

/// A tree with these values, and tables where none is given; the last word counts.
fn tree(said: &[(String, Option<u8>)]) -> Settings {
    let mut all = Settings::at(switchboard_core::Origin::here());
    for (path, value) in said {
        let (tables, last) = path.rsplit_once('.').unwrap_or(("", path));
        let keys = tables.split_terminator('.');
        let leaf = value.map_or_else(
            || Settings::new().with(last, Settings::new()),
            |value| Settings::new().with(last, value),
        );
        all.merge(keys.rev().fold(leaf, |inner, key| Settings::new().with(key, inner)));
    }
    all
}

#[derive(Deserialize, JsonSchema)]
struct Anything {}

fn merged(lower: Settings, upper: Settings) -> Settings {
    // Every key is unknown to `Anything`; only what merging does is of interest.
    Layer::<Anything>::of(lower).merge(Layer::of(upper)).settings().clone()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn merging_is_associative_where_layers_agree_on_what_is_a_table(
        a in leaves(), b in leaves(), c in leaves(),
    ) {
        let (a, b, c) = (tree(&a), tree(&b), tree(&c));
        let left = merged(merged(a.clone(), b.clone()), c.clone());
        let right = merged(a, merged(b, c));
        prop_assert_eq!(left, right);
    }

    #[test]
    fn what_the_upper_layer_says_is_what_holds(a in layers(), b in layers()) {
        let upper = tree(&b);
        let all = merged(tree(&a), upper.clone());
        for (path, value) in b.iter().filter(|(path, _)| upper.get(path).is_some()) {
            let said = upper.get(path).unwrap();
            let held = all.get(path).unwrap();
            prop_assert_eq!(said.as_integer(), held.as_integer(), "{} {:?}", path, value);
            prop_assert_eq!(said.as_table().is_some(), held.as_table().is_some());
        }
    }
}
