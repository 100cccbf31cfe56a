//! The part of the configuration that belongs to one subsystem, taken apart into instances.
//!
//! What the settings of an instance mean is left to its manager; here they only get their names.

use std::collections::{BTreeMap, BTreeSet};

use crate::settings::{Node, Origin, Problem, Problems, Value};
use crate::{Name, Settings};

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
    /// All that is wrong with the section itself.
    pub problems: Vec<Problem>,
    /// Names that are declared in a way that makes no instance, trimmed and in lower case. Whoever refers
    /// to one of them makes no mistake of his own.
    pub broken: BTreeSet<String>,
}

impl Section {
    /// The usual grammar: `default`, and beside it one key for each instance, a table or an address.
    ///
    /// What can be read is in the answer beside all [`problems`](Self::problems) of the rest, which are
    /// told under `path`, where the section stands: `cache`.
    ///
    /// ```
    /// use switchboard_core::{Section, Settings};
    ///
    /// let settings = Settings::new()
    ///     .with("default", "sessions")
    ///     .with("sessions", "memory://")
    ///     .with("pages", Settings::new().with("driver", "redis"));
    /// let section = Section::usual("cache", &settings.with("old", 5));
    /// let (name, sessions) = &section.instances[0];
    /// assert_eq!(name, "sessions");
    /// assert_eq!(sessions.get("url").and_then(|url| url.as_str()), Some("memory://"));
    /// assert_eq!(section.instances.len(), 2);
    /// assert_eq!(section.problems[0].path, "cache.old");
    /// assert!(section.broken.contains("old"));
    /// ```
    pub fn usual(path: &str, settings: &Settings) -> Self {
        let mut reading = Reading::default();
        for (key, node) in settings.iter() {
            if let Some(name) = reading.name(key, node) {
                reading.entry(&name, key, node);
            }
        }
        let found = Problems::from_iter(std::mem::take(&mut reading.section.problems));
        Self { problems: found.under(path).into_iter().collect(), ..reading.section }
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
                self.section.problems.push(problem(error.message()));
                self.section.broken.insert(key.trim().to_ascii_lowercase());
                return None;
            }
        };
        if let Some(first) = self.places.get(&name) {
            let hint = format!("the first is at {first}");
            let message = format!("`{name}` is declared twice");
            self.section.problems.push(problem(&message).with_hint(hint));
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
        let problem = Problem::new(Settings::path_of(key), node.origin().clone(), message);
        self.section.problems.push(problem);
        if !is_default {
            self.section.broken.insert(name.as_str().to_owned());
        }
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
