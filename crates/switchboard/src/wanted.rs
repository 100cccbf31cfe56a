//! What a configuration asks of a board: which instances, policies, features and sections of others.
//!
//! Reads the merged tree and tells every mistake that can be seen in it. What only a subsystem can
//! know of its instances is asked of its manager; nothing is built here.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use schemars::{JsonSchema, Schema, schema_for};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use switchboard_core::settings::{Node, Value, duration};
use switchboard_core::{
    Error, InstanceSettings, Name, Origin, Policy, Problem, Problems, Result, Settings,
};

use crate::wired::Wired;

/// All that a configuration asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) instances: Vec<Instance>,
    /// The default instance of each subsystem that names one.
    pub(crate) defaults: BTreeMap<&'static str, String>,
    pub(crate) features: Vec<Feature>,
    pub(crate) health: HealthConfig,
    pub(crate) board: BoardConfig,
    pub(crate) sections: Sections,
    /// The whole tree, with an origin on every value.
    pub(crate) settings: Settings,
    /// The files whose change matters.
    pub(crate) files: Vec<PathBuf>,
}

/// One instance, as its manager is told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Instance {
    pub(crate) subsystem: &'static str,
    pub(crate) name: String,
    /// Its settings, with the policy it names in place.
    pub(crate) settings: Settings,
    /// The policy it names, if it names one.
    pub(crate) policy: Option<String>,
    pub(crate) eager: bool,
    pub(crate) required: bool,
}

/// What a part of the application cannot do without, and what it could.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct FeatureConfig {
    /// The instances without which the feature does not work: `cache.sessions`.
    pub(crate) needs: Vec<String>,
    /// The instances without which it works less well.
    pub(crate) wants: Vec<String>,
}

/// A feature of the application, and the instances it stands on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Feature {
    pub(crate) name: String,
    pub(crate) needs: Vec<String>,
    pub(crate) wants: Vec<String>,
}

/// `[health]`: how often instances are looked at.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct HealthConfig {
    /// The time between two checks, give or take a tenth.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text")]
    pub(crate) every: Duration,
    /// How long one check may take.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text")]
    pub(crate) limit: Duration,
}

/// `[board]`: what holds for all of it.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct BoardConfig {
    /// Refuses what only tests and development may do.
    pub(crate) production: bool,
    /// How long closing everything may take.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text")]
    pub(crate) close_limit: Duration,
}

/// The sections that belong to others than the board, decoded.
#[derive(Clone, Default)]
pub(crate) struct Sections(HashMap<&'static str, Arc<dyn Any + Send + Sync>>);

/// How the section of somebody else is read.
#[derive(Clone, Debug)]
pub(crate) struct SectionKind {
    pub(crate) name: &'static str,
    /// What may be in it, and which of that is a secret.
    pub(crate) schema: fn() -> Schema,
    decode: fn(&Settings, &str) -> Result<Arc<dyn Any + Send + Sync>>,
}

impl SectionKind {
    pub(crate) fn of<T>(name: &'static str) -> Self
    where
        T: DeserializeOwned + JsonSchema + Send + Sync + 'static,
    {
        Self {
            name,
            schema: || schema_for!(T),
            decode: |settings, path| Ok(Arc::new(settings.decode_at::<T>(path)?)),
        }
    }
}

impl Sections {
    pub(crate) fn get<T: Send + Sync + 'static>(&self, name: &str) -> Option<Arc<T>> {
        self.0.get(name).cloned()?.downcast().ok()
    }
}

impl Wanted {
    /// What `settings` asks for, and every mistake in it.
    ///
    /// What could be read despite the mistakes is in the answer as well, so that more of them can be
    /// found from it. Where a file is missing (`is_complete` is false), a name that nobody has is no
    /// mistake: the file may have it.
    pub(crate) fn read(
        settings: Settings,
        subsystems: &[Arc<dyn Wired>],
        kinds: &[SectionKind],
        is_complete: bool,
    ) -> (Self, Vec<Problem>) {
        let wanted = Self::default();
        let mut reading = Reading { settings: &settings, is_complete, wanted, problems: vec![] };
        reading.refuse_unknown_sections(subsystems, kinds);
        reading.read_board();
        let policies = reading.read_policies();
        for subsystem in subsystems {
            reading.read_subsystem(subsystem.as_ref(), &policies);
        }
        reading.read_features();
        for kind in kinds {
            reading.read_section(kind);
        }
        let Reading { wanted, problems, .. } = reading;
        (Self { settings, ..wanted }, problems)
    }

    /// The same with other settings for one instance, which come from no file, and what is wrong
    /// with them.
    pub(crate) fn with_instance(
        &self,
        full_name: &str,
        settings: &Settings,
    ) -> (Self, Vec<Problem>) {
        let mut after = Self { instances: Vec::new(), ..self.clone() };
        let (wanted, problems) = (Self::default(), Vec::new());
        let mut reading = Reading { settings: &self.settings, is_complete: true, wanted, problems };
        let policies = reading.read_policies();
        for instance in &self.instances {
            if instance.full_name() == full_name {
                let settings = with_own_keys_of(settings, instance);
                after.lay_over(instance, &settings);
                reading.read_instance(instance.subsystem, &instance.name, &settings, &policies);
                after.instances.append(&mut reading.wanted.instances);
            } else {
                after.instances.push(instance.clone());
            }
        }
        (after, reading.problems)
    }

    /// Says of one instance in the whole tree what it is from now on. Where the grammar of its
    /// subsystem has no table of that name, the tree stays what it was.
    fn lay_over(&mut self, instance: &Instance, settings: &Settings) {
        let section = self.settings.child_mut(instance.subsystem).map(Node::value_mut);
        let Some(Value::Table(section)) = section else { return };
        let key = section.keys().find(|key| as_compared(key) == instance.name).map(str::to_owned);
        if let Some(key) = key {
            section.insert(key, Node::new(settings.clone(), settings.origin().clone()));
        }
    }

    /// The instance of that full name.
    pub(crate) fn instance(&self, full_name: &str) -> Option<&Instance> {
        self.instances.iter().find(|instance| instance.full_name() == full_name)
    }
}

impl Instance {
    pub(crate) fn full_name(&self) -> String {
        format!("{}.{}", self.subsystem, self.name)
    }

    /// The full names of the members it names, if it is a group.
    pub(crate) fn members(&self) -> impl Iterator<Item = String> {
        let members = self.settings.child("members").and_then(Node::as_list).unwrap_or_default();
        let names = members.iter().filter_map(Node::as_str);
        names.map(|name| format!("{}.{}", self.subsystem, as_compared(name)))
    }
}

/// What every instance has and the settings do not say stays what it is. `driver` and `require` belong
/// to what is given up; a group has nothing of it but its deadline.
fn with_own_keys_of(settings: &Settings, instance: &Instance) -> Settings {
    let is_group = |settings: &Settings| settings.child("members").is_some();
    let mut all = settings.clone();
    for key in InstanceSettings::KEYS {
        let is_kept = match *key {
            "driver" | "require" => false,
            "policy" => !is_group(settings) || is_group(&instance.settings),
            _ => !is_group(settings),
        };
        if let Some(node) = instance.settings.child(key)
            && is_kept
            && settings.child(key).is_none()
        {
            all.insert(*key, as_written(key, node, instance));
        }
    }
    all
}

/// A policy that is named goes by its name.
fn as_written(key: &str, node: &Node, instance: &Instance) -> Node {
    match &instance.policy {
        Some(name) if key == "policy" => Node::new(name.as_str(), node.origin().clone()),
        _ => node.clone(),
    }
}

struct Reading<'s> {
    settings: &'s Settings,
    is_complete: bool,
    wanted: Wanted,
    problems: Vec<Problem>,
}

/// A policy of the configuration: `None` where it has mistakes, which are told of it and not of those
/// that name it.
type Policies<'s> = BTreeMap<&'s str, Option<&'s Node>>;

impl<'s> Reading<'s> {
    fn refuse_unknown_sections(&mut self, subsystems: &[Arc<dyn Wired>], kinds: &[SectionKind]) {
        let known: Vec<&str> = OWN_SECTIONS
            .iter()
            .copied()
            .chain(subsystems.iter().map(|subsystem| subsystem.subsystem()))
            .chain(kinds.iter().map(|kind| kind.name))
            .collect();
        for (key, node) in self.settings.iter() {
            if !known.contains(&key) {
                let problem = Problem::new(key, node.key_origin().clone(), "unknown section");
                self.problems.push(with_nearest(problem, key, &known));
            }
        }
    }

    fn read_board(&mut self) {
        self.wanted.board = self.own_section("board");
        self.wanted.health = self.own_section("health");
    }

    fn own_section<T: DeserializeOwned + JsonSchema + Default + 'static>(
        &mut self,
        name: &str,
    ) -> T {
        let Some(table) = self.table(name) else { return T::default() };
        self.kept(table.decode_at(name)).unwrap_or_default()
    }

    /// The section, if it is there and one.
    fn table(&mut self, name: &str) -> Option<&'s Settings> {
        let node = self.settings.child(name)?;
        self.table_at(name, node)
    }

    fn table_at(&mut self, path: &str, node: &'s Node) -> Option<&'s Settings> {
        let table = node.as_table();
        if table.is_none() {
            let message = format!("expected a table, found {}", node.value().kind());
            self.problems.push(Problem::new(path, node.origin().clone(), message));
        }
        table
    }

    fn read_policies(&mut self) -> Policies<'s> {
        let named: Vec<_> = self.table("policy").into_iter().flat_map(Settings::iter).collect();
        let read = named.into_iter().map(|(name, node)| (name, self.policy(name, node)));
        read.collect()
    }

    fn policy(&mut self, name: &str, node: &'s Node) -> Option<&'s Node> {
        let path = format!("policy.{name}");
        let table = self.table_at(&path, node)?;
        let policy = Policy::read(table, &path);
        self.kept(policy).map(|_| node)
    }

    fn read_subsystem(&mut self, subsystem: &dyn Wired, policies: &Policies<'s>) {
        let name = subsystem.subsystem();
        let Some(table) = self.table(name) else { return };
        let Some(section) = self.kept(subsystem.section(table)) else { return };
        for (instance, settings) in &section.instances {
            self.read_instance(name, instance, settings, policies);
        }
        self.read_default(name, section.default);
    }

    fn read_instance(
        &mut self,
        subsystem: &'static str,
        name: &str,
        settings: &Settings,
        policies: &Policies<'s>,
    ) {
        let mut settings = settings.clone();
        let path = format!("{subsystem}.{name}");
        let policy = self.name_policy(&path, &mut settings, policies);
        self.wanted.instances.push(Instance {
            subsystem,
            name: name.to_owned(),
            eager: is_set(&settings, "eager"),
            required: is_set(&settings, "required"),
            policy,
            settings,
        });
    }

    /// Puts the policy that an instance names in the place of the name; the answer is the name.
    fn name_policy(
        &mut self,
        path: &str,
        settings: &mut Settings,
        policies: &Policies<'s>,
    ) -> Option<String> {
        let node = settings.child_mut("policy")?;
        let name = node.as_str()?.to_owned();
        match policies.get(name.as_str()) {
            Some(Some(policy)) => *node = (*policy).clone(),
            Some(None) => drop(settings.remove("policy")),
            None => {
                let message = format!("there is no policy called {name:?}");
                let problem =
                    Problem::new(format!("{path}.policy"), node.origin().clone(), message);
                let known: Vec<&str> = policies.keys().copied().collect();
                self.unless_elsewhere(with_nearest(problem, &name, &known));
                drop(settings.remove("policy"));
            }
        }
        Some(name)
    }

    fn read_default(&mut self, subsystem: &'static str, default: Option<Node>) {
        let Some(node) = default else { return };
        let Some(name) = node.as_str().map(as_compared) else { return };
        let of_subsystem =
            self.wanted.instances.iter().filter(|known| known.subsystem == subsystem);
        let known: Vec<&str> = of_subsystem.map(|instance| instance.name.as_str()).collect();
        if known.contains(&name.as_str()) {
            self.wanted.defaults.insert(subsystem, name);
            return;
        }
        let path = format!("{subsystem}.default");
        let problem = Problem::new(
            path,
            node.origin().clone(),
            format!("there is no instance called {name:?}"),
        );
        self.unless_elsewhere(with_nearest(problem, &name, &known));
    }

    fn read_features(&mut self) {
        let named: Vec<_> = self.table("feature").into_iter().flat_map(Settings::iter).collect();
        let known: Vec<String> = self.wanted.instances.iter().map(Instance::full_name).collect();
        for (name, node) in named {
            let path = format!("feature.{name}");
            let Some(table) = self.table_at(&path, node) else { continue };
            let decoded = table.decode_at::<FeatureConfig>(&path);
            let Some(FeatureConfig { needs, wants }) = self.kept(decoded) else { continue };
            self.refuse_unknown_instances(&path, table, &known);
            let name = name.to_owned();
            let [needs, wants] =
                [needs, wants].map(|names| names.iter().map(|name| as_compared(name)).collect());
            self.wanted.features.push(Feature { name, needs, wants });
        }
    }

    fn refuse_unknown_instances(&mut self, path: &str, feature: &Settings, known: &[String]) {
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        for list in ["needs", "wants"] {
            let items = feature.child(list).and_then(Node::as_list).unwrap_or_default();
            for (position, item) in items.iter().enumerate() {
                let Some(name) = item.as_str().map(as_compared) else { continue };
                if known.contains(&name.as_str()) {
                    continue;
                }
                let path = format!("{path}.{list}[{position}]");
                let message = format!("there is no instance called {name:?}");
                let problem = Problem::new(path, item.origin().clone(), message);
                self.unless_elsewhere(with_nearest(problem, &name, &known));
            }
        }
    }

    fn read_section(&mut self, kind: &SectionKind) {
        let empty = Settings::at(Origin::Default);
        let table = match self.settings.child(kind.name) {
            Some(node) => self.table_at(kind.name, node),
            None => Some(&empty),
        };
        let Some(table) = table else { return };
        if let Some(section) = self.kept((kind.decode)(table, kind.name)) {
            self.wanted.sections.0.insert(kind.name, section);
        }
    }

    /// A name that nobody has; the file that has it may be the one that could not be read.
    fn unless_elsewhere(&mut self, problem: Problem) {
        if self.is_complete {
            self.problems.push(problem);
        }
    }

    /// What was read, or `None` and its mistakes with the others.
    fn kept<T>(&mut self, read: Result<T>) -> Option<T> {
        read.map_err(|error| self.problems.extend(problems_of(&error))).ok()
    }
}

/// The mistakes that an error tells; one that tells none is a mistake itself.
pub(crate) fn problems_of(error: &Error) -> Vec<Problem> {
    if let Some(problems) = error.find::<Problems>() {
        return problems.iter().cloned().collect();
    }
    if !error.related().is_empty() {
        return error.related().iter().flat_map(problems_of).collect();
    }
    let context = error.context().filter(|(key, _)| !["instance", "at", "subsystem"].contains(key));
    let context: Vec<_> = context.map(|(key, value)| format!("{key} {value}")).collect();
    let message = match context.as_slice() {
        [] => error.message().to_owned(),
        context => format!("{} ({})", error.message(), context.join(", ")),
    };
    let path = error.context_value("instance").unwrap_or_default();
    let problem = Problem::new(path, Origin::Default, message);
    let hints: Vec<_> = error.hints().collect();
    vec![if hints.is_empty() { problem } else { problem.with_hint(hints.join("; ")) }]
}

fn with_nearest(problem: Problem, asked: &str, known: &[&str]) -> Problem {
    match Name::nearest(asked, known.iter().copied()) {
        Some(meant) => problem.with_hint(format!("did you mean {meant:?}?")),
        None if known.is_empty() => problem,
        None => problem.with_hint(format!("known: {}", known.join(", "))),
    }
}

/// A name as names are compared.
fn as_compared(name: &str) -> String {
    name.trim().to_ascii_lowercase()
}

fn is_set(settings: &Settings, key: &str) -> bool {
    settings.child(key).and_then(Node::as_bool).unwrap_or(false)
}

impl Default for HealthConfig {
    fn default() -> Self {
        Self { every: Duration::from_secs(10), limit: Duration::from_secs(2) }
    }
}

impl Default for BoardConfig {
    fn default() -> Self {
        Self { production: false, close_limit: Duration::from_secs(30) }
    }
}

impl std::fmt::Debug for Sections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// The sections that are the board's own.
pub(crate) const OWN_SECTIONS: &[&str] = &["policy", "feature", "health", "board"];
