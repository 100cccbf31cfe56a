//! The tree of settings and its decoding, as a driver author meets them.

use schemars::JsonSchema;
use serde::Deserialize;

use super::*;

use crate::{Error, ErrorKind};

mod agreement;
mod mistakes;
mod untyped;

#[derive(Debug, Deserialize, JsonSchema)]
struct Pool {
    max: u32,
    #[serde(default)]
    label: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Config {
    url: String,
    pool: Pool,
    #[serde(default)]
    hosts: Vec<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct N<T> {
    n: T,
}

fn in_file(line: u32, value: impl Into<Value>) -> Node {
    Node::new(value, Origin::file("switchboard.toml", line, 7))
}

fn problems(error: &Error) -> Vec<String> {
    assert_eq!(error.kind(), ErrorKind::Config);
    let problems = error.find::<Problems>().expect("the error carries its problems");
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_tree_becomes_a_struct() {
    let settings = Settings::new()
        .with("url", "redis://localhost")
        .with("pool", Settings::new().with("max", 20).with("label", None::<String>))
        .with("hosts", vec!["a", "b"]);
    let config: Config = settings.decode().unwrap();
    assert_eq!(
        (config.url.as_str(), config.pool.max, config.hosts.len()),
        ("redis://localhost", 20, 2)
    );
    assert_eq!(config.pool.label, None);
}

#[test]
fn a_value_from_code_names_its_line_even_inside_a_list() {
    let line = line!() + 1;
    let settings = Settings::new().with("hosts", ["a", "b"]).with("pool", Settings::new());
    for path in ["hosts", "hosts[1]", "pool"] {
        let origin = settings.get(path).unwrap().origin();
        assert!(
            matches!(origin, Origin::Code { file, line: at, .. }
            if *file == file!() && *at == line),
            "{path}: {origin}"
        );
    }
}

#[test]
fn a_path_leads_to_the_node_it_was_made_from() {
    let odd = ["a.b", "", "ü", "x[0]", "say \"hi\"", "back\\", "line\nbreak"];
    for key in odd {
        let settings = Settings::new()
            .with("list", [Settings::new().with(key, Settings::new().with("leaf", 1))]);
        let steps = [
            path::Step::Key("list"),
            path::Step::Index(0),
            path::Step::Key(key),
            path::Step::Key("leaf"),
        ];
        let path = path::render(&steps);
        assert_eq!(settings.get(&path).and_then(Node::as_integer), Some(1), "{path}");
        assert!(!path.contains('\n'));
    }
    let settings = Settings::new().with("a", 1);
    for path in ["", ".", "a.", ".a", "a.b", "a[0]", "a[", "\"", "\"a", "a[99999999999999999999]"] {
        assert_eq!(settings.get(path), None, "{path}");
    }
}

#[test]
fn debug_shows_keys_and_kinds_but_no_values() {
    let settings = Settings::new()
        .with("password", "canary")
        .with("list", ["canary"])
        .with("nested", Settings::new().with("n", 1));
    let expected = r#"{"password": a string, "list": [a string], "nested": {"n": an integer}}"#;
    assert_eq!(format!("{settings:?}"), expected);
}

#[test]
fn removing_a_key_keeps_the_order_of_the_others() {
    let mut settings = Settings::new().with("a", 1).with("b", 2).with("c", 3);
    assert_eq!(settings.remove("a").map(|node| node.as_integer()), Some(Some(1)));
    assert!(settings.remove("a").is_none());
    settings.insert("a", in_file(1, 4));
    settings.insert("b", in_file(1, 5));
    let shown: Vec<_> = settings.iter().map(|(k, n)| (k, n.as_integer().unwrap())).collect();
    assert_eq!(shown, [("b", 5), ("c", 3), ("a", 4)]);
}

#[test]
fn merging_keeps_the_origin_of_what_won() {
    let mut lower = Settings::at(Origin::Default);
    let mut pool = Settings::at(Origin::Default);
    pool.insert("max", in_file(2, 1));
    pool.insert("min", in_file(3, 1));
    lower.insert("pool", in_file(1, pool));
    lower.insert("hosts", in_file(4, ["a", "b"]));

    let mut upper = Settings::at(Origin::variable("X"));
    let mut pool = Settings::at(Origin::variable("X"));
    pool.insert("max", Node::new(9, Origin::variable("MAX")));
    upper.insert("pool", Node::new(pool, Origin::variable("X")));
    upper.insert("hosts", Node::new(["c"], Origin::variable("HOSTS")));
    lower.merge(upper);

    let origin = |path: &str| lower.get(path).unwrap().origin().to_string();
    assert_eq!(lower.get("pool.max").and_then(Node::as_integer), Some(9));
    assert_eq!(origin("pool.max"), "variable MAX");
    assert_eq!(origin("pool.min"), "switchboard.toml:3:7");
    assert_eq!(origin("pool"), "switchboard.toml:1:7");
    assert_eq!(lower.get("hosts").unwrap().as_list().unwrap().len(), 1);
    assert_eq!(lower.origin().to_string(), "variable X");
}

#[test]
fn a_tree_of_any_depth_is_an_error_and_not_a_crash() {
    for lists in [true, false] {
        let mut node = in_file(1, 1);
        for _ in 0..200_000 {
            let value = if lists {
                Value::List(vec![node])
            } else {
                let mut table = Settings::at(Origin::Default);
                table.insert("a", node);
                Value::Table(table)
            };
            node = in_file(1, value);
        }
        let mut settings = Settings::at(Origin::Default);
        settings.insert("deep", node);
        let error = settings.decode::<serde_json::Value>().unwrap_err();
        assert_eq!(problems(&error), ["built-in default: nested more than 128 deep"]);
        let _ = format!("{settings:?}");
        let mut other = Settings::at(Origin::Default);
        other.insert("deep", in_file(1, Settings::at(Origin::Default)));
        other.merge(settings);
    }
}

#[test]
fn numbers_at_their_limits_survive() {
    let read = |value: Value| Settings::new().with("n", value);
    assert_eq!(read(u64::MAX.into()).decode::<N<u64>>().unwrap().n, u64::MAX);
    assert_eq!(read(i64::MIN.into()).decode::<N<i64>>().unwrap().n, i64::MIN);
    assert!(read(u64::MAX.into()).decode::<N<i64>>().is_err());
    assert!(read(Value::Integer(i128::MAX)).decode::<N<u64>>().is_err());
    assert!(read(f64::NAN.into()).decode::<N<f64>>().unwrap().n.is_nan());
}
