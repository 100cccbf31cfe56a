//! The part of the configuration that belongs to one subsystem, taken apart into instances.
//!
//! What the settings of an instance mean is left to its manager; here they only get their names.

use std::collections::BTreeMap;

use crate::settings::{Node, Origin, Problem, Problems, Value};
use crate::{Name, Result, Settings};

/// What a section of the configuration declares: instances, and which of them is the usual one.
///
/// A subsystem with a grammar of its own builds it in [`Subsystem::section`](crate::Subsystem::section).
#[derive(Clone, Debug, Default)]
pub struct Section {
    /// The name of the instance that is meant where none is named.
    pub default: Option<Node>,
    /// The instances with their settings, in the order in which they were written. Their names are
    /// as [`Name`] has them, and different.
    pub instances: Vec<(String, Settings)>,
}

impl Section {
    /// The usual grammar: `default`, and beside it one key for each instance, a table or an address.
    ///
    /// All mistakes are told at once, under `path`, which is where the section stands: `cache`.
    ///
    /// ```
    /// use switchboard_core::{Section, Settings};
    ///
    /// let settings = Settings::new()
    ///     .with("default", "sessions")
    ///     .with("sessions", "memory://")
    ///     .with("pages", Settings::new().with("driver", "redis"));
    /// let section = Section::usual("cache", &settings)?;
    /// let (name, sessions) = &section.instances[0];
    /// assert_eq!(name, "sessions");
    /// assert_eq!(sessions.get("url").and_then(|url| url.as_str()), Some("memory://"));
    /// assert!(Section::usual("cache", &settings.with("pages", 5)).is_err());
    /// # switchboard_core::Result::<()>::Ok(())
    /// ```
    pub fn usual(path: &str, settings: &Settings) -> Result<Self> {
        let mut reading = Reading::default();
        for (key, node) in settings.iter() {
            if let Some(name) = reading.name(key, node) {
                reading.entry(&name, key, node);
            }
        }
        if reading.problems.is_empty() {
            return Ok(reading.section);
        }
        Err(Problems::from_iter(reading.problems).under(path).into())
    }

    /// The settings of the instance `name`, as [`Name`] has it.
    pub fn instance(&self, name: &str) -> Option<&Settings> {
        self.instances.iter().find(|(known, _)| known == name).map(|(_, settings)| settings)
    }
}

#[derive(Default)]
struct Reading {
    section: Section,
    /// Where each name was written first.
    places: BTreeMap<Name, Origin>,
    problems: Vec<Problem>,
}

impl Reading {
    /// The name that `key` is, unless it is none or somebody has it.
    fn name(&mut self, key: &str, node: &Node) -> Option<Name> {
        let problem = |message: &str| {
            let alone = Settings::path_of(key);
            Problem::new(alone, node.key_origin().clone(), message)
        };
        let name = match Name::parse(key) {
            Ok(name) => name,
            Err(error) => {
                self.problems.push(problem(error.message()));
                return None;
            }
        };
        if let Some(first) = self.places.get(&name) {
            let hint = format!("the first is at {first}");
            let message = format!("`{name}` is declared twice");
            self.problems.push(problem(&message).with_hint(hint));
            return None;
        }
        self.places.insert(name.clone(), node.key_origin().clone());
        Some(name)
    }

    fn entry(&mut self, name: &Name, key: &str, node: &Node) {
        let is_default = name.as_str() == DEFAULT;
        let expected = match node.value() {
            Value::String(_) | Value::Untyped(_) if is_default => {
                self.section.default = Some(node.clone());
                return;
            }
            _ if is_default => "the name of an instance",
            Value::Table(table) => return self.instance(name, table.clone()),
            Value::String(_) | Value::Untyped(_) => return self.instance(name, address(node)),
            _ => "a table or an address",
        };
        let message = format!("expected {expected}, found {}", node.value().kind());
        self.problems.push(Problem::new(Settings::path_of(key), node.origin().clone(), message));
    }

    fn instance(&mut self, name: &Name, settings: Settings) {
        self.section.instances.push((name.as_str().to_owned(), settings));
    }
}

/// The settings that an address alone stands for.
fn address(node: &Node) -> Settings {
    let mut settings = Settings::at(node.origin().clone());
    settings.insert("url", node.clone());
    settings
}

/// The key of a section that is no instance.
const DEFAULT: &str = "default";
