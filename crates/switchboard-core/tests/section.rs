//! How the section of a subsystem is taken apart into instances.

use std::sync::Arc;

use proptest::prelude::*;
use switchboard_core::settings::{Node, Value};
use switchboard_core::{
    Erase, Lifecycle, Line, Name, Op, Origin, Problem, Registry, Result, Section, Settings,
    Subsystem,
};

/// A subsystem whose section has a grammar of its own: `provider` names the usual one, `providers`
/// holds all of them.
#[derive(Debug)]
struct Models;

trait ModelDriver: Lifecycle {}

impl<T: ModelDriver> Erase<T> for dyn ModelDriver {
    fn erase(driver: Arc<T>) -> Arc<Self> {
        driver
    }
}

switchboard_core::operations! {
    mod op {
        ASK = "ask": Read;
    }
}

impl Subsystem for Models {
    const NAME: &'static str = "models";
    const OPERATIONS: &'static [Op] = op::ALL;

    type Driver = dyn ModelDriver;
    type Handle = Line<Self>;

    fn register_built_ins(_: &Registry<Self>) -> Result<()> {
        Ok(())
    }

    fn section(settings: &Settings) -> Result<Section> {
        let empty = Settings::at(settings.origin().clone());
        let providers = settings.child("providers").and_then(Node::as_table).unwrap_or(&empty);
        let mut section = Section::usual("models.providers", providers);
        section.default = settings.child("provider").cloned();
        Ok(section)
    }
}

/// The usual grammar, for comparison.
#[derive(Debug)]
struct Plain;

impl Subsystem for Plain {
    const NAME: &'static str = "plain";
    const OPERATIONS: &'static [Op] = op::ALL;

    type Driver = dyn ModelDriver;
    type Handle = Line<Self>;

    fn register_built_ins(_: &Registry<Self>) -> Result<()> {
        Ok(())
    }
}

fn at(line: u32, value: impl Into<Value>) -> Node {
    let origin = |column| Origin::file("switchboard.toml", line, column);
    Node::new(value, origin(9)).with_key_origin(origin(1))
}

fn section_of(lines: Vec<(&str, Value)>) -> Settings {
    let mut settings = Settings::at(Origin::file("switchboard.toml", 1, 1));
    for (line, (key, value)) in (2..).zip(lines) {
        settings.insert(key, at(line, value));
    }
    settings
}

fn problems(section: Result<Section>) -> Vec<String> {
    let section = section.unwrap_or_else(|error| panic!("{error}"));
    section.problems.iter().map(Problem::to_string).collect()
}

fn table() -> Value {
    Settings::new().with("driver", "memory").into()
}

#[test]
fn a_table_and_an_address_are_instances_and_default_is_none() {
    let section = Plain::section(&section_of(vec![
        ("default", "sessions".into()),
        ("sessions", "memory://".into()),
        (" Pages ", table()),
        ("files", Value::Untyped("disk:///tmp".to_owned())),
    ]))
    .unwrap();
    assert_eq!(section.default.as_ref().and_then(Node::as_str), Some("sessions"));
    let names: Vec<&str> = section.instances.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["sessions", "pages", "files"]);
    let sessions = section.instance("sessions").unwrap();
    let url = sessions.child("url").unwrap();
    assert_eq!((url.as_str(), sessions.len()), (Some("memory://"), 1));
    assert_eq!(url.origin(), &Origin::file("switchboard.toml", 3, 9));
    assert_eq!(sessions.origin(), url.origin());
    assert!(section.instance("pages").is_some_and(|pages| pages.child("driver").is_some()));
    let files = section.instance("files").and_then(|files| files.child("url"));
    assert!(matches!(files.map(Node::value), Some(Value::Untyped(_))));
}

#[test]
fn all_mistakes_of_a_section_are_told_at_once_each_at_its_place() {
    let found = problems(Plain::section(&section_of(vec![
        ("default", 5.into()),
        ("a", true.into()),
        ("b c", table()),
        ("main", table()),
        ("MAIN", table()),
        ("list", ["memory://"].into()),
        ("nothing", Value::Null),
        ("fine", "memory://".into()),
    ])));
    assert_eq!(
        found,
        [
            "switchboard.toml:2:9: plain.default: expected the name of an instance, found an integer",
            "switchboard.toml:3:9: plain.a: expected a table or an address, found a boolean",
            "switchboard.toml:4:1: plain.\"b c\": a name has characters other than letters, \
             digits, '-' and '_'",
            "switchboard.toml:6:1: plain.MAIN: `main` is declared twice; the first is at \
             switchboard.toml:5:1",
            "switchboard.toml:7:9: plain.list: expected a table or an address, found a list",
            "switchboard.toml:8:9: plain.nothing: expected a table or an address, found nothing",
        ]
    );
}

#[test]
fn one_broken_entry_takes_nothing_from_the_others() {
    let lines = vec![("old", 5.into()), ("main", table()), ("Ne w", table()), ("MAIN", table())];
    let section = Plain::section(&section_of(lines)).unwrap();
    assert_eq!(section.problems.len(), 3);
    assert!(section.instance("main").is_some());
    assert_eq!(section.broken.iter().collect::<Vec<_>>(), ["ne w", "old"]);
}

#[test]
fn a_subsystem_may_own_the_grammar_of_its_section() {
    let providers = section_of(vec![("small", "local://".into()), ("large", table())]);
    let settings = section_of(vec![("provider", "large".into()), ("providers", providers.into())]);
    let section = Models::section(&settings).unwrap();
    assert_eq!(section.default.as_ref().and_then(Node::as_str), Some("large"));
    assert_eq!(section.instances.len(), 2);

    let wrong = section_of(vec![("providers", section_of(vec![("a", 1.into())]).into())]);
    assert_eq!(
        problems(Models::section(&wrong)),
        [
            "switchboard.toml:2:9: models.providers.a: expected a table or an address, found an integer"
        ]
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_key_is_an_instance_or_a_mistake(keys in prop::collection::vec("\\PC{0,3}|[a-cA-C ]{1,3}|default", 0..8)) {
        let mut settings = Settings::at(Origin::Default);
        for (line, key) in (1..).zip(&keys) {
            settings.insert(key.as_str(), at(line, "memory://"));
        }
        let usable: std::collections::BTreeSet<_> =
            settings.keys().filter_map(|key| Name::parse(key).ok()).collect();
        let section = Plain::section(&settings).unwrap();
        let usual = usize::from(section.default.is_some());
        prop_assert_eq!(section.instances.len() + usual, usable.len());
        prop_assert_eq!(section.problems.len(), settings.len() - usable.len());
        let is_known = |key: &str| {
            let name = key.trim().to_ascii_lowercase();
            let is_default = name == "default" && section.default.is_some();
            is_default || section.instance(&name).is_some() || section.broken.contains(&name)
        };
        prop_assert!(settings.keys().all(is_known));
    }
}
