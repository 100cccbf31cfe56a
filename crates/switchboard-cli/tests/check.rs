//! What `check` tells of configurations of every kind, for people and for programs.

mod common;

use common::Place;
use serde_json::{Value, json};

const WRONG: &str = "\
[cache]
default = 'mian'

[cache.main]
driver = 'memroy'
policy = 'fsat'

[policy.fast]
deadline = '5'

[console]
tokne = 'canary-77d1'
";

#[test]
fn every_mistake_is_told_once_with_its_place_and_the_nearest_name() {
    let place = Place::new();
    place.write("wrong.toml", WRONG);
    let checked = place.run(&["check", "-c", "wrong.toml", "--format", "json"]);
    assert_eq!((checked.code, checked.errors.as_str()), (Some(2), ""));
    let told = checked.json();
    let problems = told["problems"].as_array().unwrap();
    let placed = |problem: &Value| (problem["key"].clone(), problem["line"].clone());
    assert_eq!(
        problems.iter().map(placed).collect::<Vec<_>>(),
        [
            (json!("cache.default"), json!(2)),
            (json!("cache.main.driver"), json!(5)),
            (json!("cache.main.policy"), json!(6)),
            (json!("policy.fast.deadline"), json!(9)),
            (json!("console.tokne"), json!(12)),
        ]
    );
    for (problem, hint) in problems.iter().zip(["main", "memory", "fast", "5s", "token"]) {
        assert_eq!(problem["file"], "wrong.toml");
        assert!(problem["column"].is_u64() && problem["message"].is_string(), "{problem}");
        if hint != "5s" {
            assert!(problem["hint"].as_str().unwrap().contains(hint), "{problem}");
        }
    }
}

#[test]
fn people_see_the_lines_and_no_secret() {
    let place = Place::new();
    place.write("wrong.toml", WRONG);
    let told = place.run(&["check", "-c", "wrong.toml"]).failed(2);
    assert!(told.contains("wrong.toml:5:") && told.contains("driver = 'memroy'"), "{told}");
    assert!(told.contains("^^^^") && !told.contains("canary-77d1"), "{told}");
}

#[test]
fn files_that_cannot_be_read_are_told_like_any_mistake() {
    let place = Place::new();
    place.write("bytes.toml", b"a = \xff\xfe").write("broken.toml", "a = [[[");
    place.write("huge.toml", format!("a = '{}'", "x".repeat(10_000_000)));
    place.write("twice.json", "{ \"cache\": {}, \"cache\": {} }");
    std::fs::create_dir(place.path().join("folder.toml")).unwrap();
    for file in
        ["missing.toml", "bytes.toml", "broken.toml", "huge.toml", "twice.json", "folder.toml"]
    {
        let checked = place.run(&["check", "-c", file, "--format", "json"]);
        assert_eq!((checked.code, checked.errors.as_str()), (Some(2), ""), "{checked:?}");
        let told = checked.json();
        assert_eq!(told["ok"], false);
        assert_eq!(told["problems"][0]["file"], file, "{told}");
        let told = place.run(&["check", "-c", file]).failed(2);
        assert!(told.contains(file) && told.len() < 2_000, "{told}");
    }
}

#[test]
fn a_variable_is_named_where_it_is_wrong() {
    let place = Place::new();
    let mut command = place.command(&["check", "--format", "json"]);
    let ended = command.env("SWITCHBOARD__CACHE__MAIN__DRIVER", "memroy").output().unwrap();
    let told: Value = serde_json::from_slice(&ended.stdout).unwrap();
    let problem = &told["problems"][0];
    assert_eq!(ended.status.code(), Some(2));
    assert_eq!(problem["variable"], "SWITCHBOARD__CACHE__MAIN__DRIVER");
    assert_eq!(problem["file"], Value::Null);
}

#[test]
fn all_notations_and_profiles_are_read() {
    let place = Place::new();
    place.write("a.yaml", "cache:\n  yaml: { driver: memory }\n");
    place.write("b.json", r#"{ "cache": { "json": { "driver": "memory" } } }"#);
    place.write("c.toml", "[cache.toml]\ndriver = 'memory'\n");
    place.write("c.dev.toml", "[cache.toml]\ndriver = 'null'\n");
    let files = ["-c", "a.yaml", "-c", "b.json", "-c", "c.toml"];
    let plan = place.run(&[&["plan", "--offline"], &files[..]].concat()).fine();
    for instance in ["+ cache.yaml", "+ cache.json", "+ cache.toml"] {
        assert!(plan.contains(instance), "{plan}");
    }
    let explain = ["explain", "cache.toml", "--format", "json", "--profile", "dev"];
    let explained = place.run(&[&explain[..], &files].concat()).json();
    assert_eq!(explained["driver"], "null");
}

#[test]
fn five_hundred_instances_are_checked() {
    let place = Place::new();
    let many = (0..500).map(|number| {
        format!("[cache.c{number}]\ndriver = 'memory'\nmax_entries = {}\n", number + 1)
    });
    place.write("many.toml", many.collect::<String>());
    place.run(&["check", "-c", "many.toml"]).fine();
}
