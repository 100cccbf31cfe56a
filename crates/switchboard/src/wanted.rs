//! What a configuration asks of a board: which instances, policies, features and sections of others.
//!
//! Reads the merged tree and tells every mistake that can be seen in it. What only a subsystem can
//! know of its instances is asked of its manager; nothing is built here.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::panic::Location;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use schemars::{JsonSchema, Schema, schema_for};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use switchboard_core::settings::{Node, ProblemKind, Value, duration};
use switchboard_core::{
    Error, HealthWatch, InstanceSettings, Name, Origin, Policy, Problem, Problems, Result, Settings,
};

use crate::wired::Wired;

/// All that a configuration asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) instances: Vec<Instance>,
    /// The bases that nobody extends: only looked at, never made.
    pub(crate) bases: Vec<Instance>,
    /// The full names of those that are declared in a way that makes no instance.
    pub(crate) broken: BTreeSet<String>,
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
    /// The line of code that asked for it.
    pub(crate) place: &'static Location<'static>,
    /// What may be in it, and which of that is a secret.
    pub(crate) schema: fn() -> Schema,
    decode: fn(&Settings, &str) -> Result<Arc<dyn Any + Send + Sync>>,
}

impl SectionKind {
    #[track_caller]
    pub(crate) fn of<T>(name: &'static str) -> Self
    where
        T: DeserializeOwned + JsonSchema + Send + Sync + 'static,
    {
        Self {
            name,
            place: Location::caller(),
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
    /// found from it.
    pub(crate) fn read(
        settings: Settings,
        bases: &Settings,
        subsystems: &[Arc<dyn Wired>],
        kinds: &[SectionKind],
    ) -> (Self, Vec<Problem>) {
        let mut reading = Reading::of(&settings);
        reading.refuse_unknown_sections(subsystems, kinds);
        reading.read_board();
        let policies = reading.read_policies();
        reading.read_bases_of_policies(bases);
        for subsystem in subsystems {
            reading.read_bases(bases, subsystem.as_ref(), &policies);
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
        let mut reading = Reading::of(&self.settings);
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
            "driver" | "require" | "replaces" => false,
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
    wanted: Wanted,
    /// The subsystems of which nothing could be read.
    unread: BTreeSet<&'static str>,
    /// How many mistakes have been given advice.
    hints: usize,
    problems: Vec<Problem>,
}

/// A policy of the configuration: `None` where it has mistakes, which are told of it and not of those
/// that name it.
type Policies<'s> = BTreeMap<String, Option<&'s Node>>;

impl<'s> Reading<'s> {
    fn of(settings: &'s Settings) -> Self {
        Self {
            settings,
            wanted: Wanted::default(),
            unread: BTreeSet::new(),
            hints: 0,
            problems: Vec::new(),
        }
    }

    fn refuse_unknown_sections(&mut self, subsystems: &[Arc<dyn Wired>], kinds: &[SectionKind]) {
        let known: Vec<&str> = OWN_SECTIONS
            .iter()
            .copied()
            .chain(subsystems.iter().map(|subsystem| subsystem.subsystem()))
            .chain(kinds.iter().map(|kind| kind.name))
            .collect();
        for (key, node) in self.settings.iter() {
            if !known.contains(&key) {
                let path = Settings::path_of(key);
                let problem = Problem::new(path, node.key_origin().clone(), "unknown section");
                self.push_hinted(problem, key, known.iter().copied());
            }
        }
    }

    fn read_board(&mut self) {
        self.wanted.board = self.own_section("board");
        self.wanted.health = self.own_section("health");
        let health = self.settings.child("health").and_then(Node::as_table);
        for (key, node) in health.into_iter().flat_map(Settings::iter) {
            self.refuse_no_time(key, node);
        }
    }

    /// A time that no watch can keep to. Each setting by itself, whatever is wrong with others.
    fn refuse_no_time(&mut self, key: &str, node: &Node) {
        let mut alone = Settings::at(node.origin().clone());
        alone.insert(key, node.clone());
        let Ok(HealthConfig { every, limit }) = alone.decode() else { return };
        let message = if every < HealthWatch::EVERY_MIN {
            format!("must be at least {:?}", HealthWatch::EVERY_MIN)
        } else if limit.is_zero() {
            "must be some time, or nobody can answer".to_owned()
        } else {
            return;
        };
        let path = format!("health.{key}");
        self.problems.push(Problem::new(path, node.origin().clone(), message));
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
        let named = self.named("policy");
        let read = named.into_iter().map(|(name, path, node)| (name, self.policy(&path, node)));
        read.collect()
    }

    /// The tables of a section with their names, as names are compared, and their paths; the first one
    /// where two have the same name.
    fn named(&mut self, section: &str) -> Vec<(String, String, &'s Node)> {
        let mut first: BTreeMap<String, &Origin> = BTreeMap::new();
        let mut named = Vec::new();
        for (key, node) in self.table(section).into_iter().flat_map(Settings::iter) {
            let path = format!("{section}.{}", Settings::path_of(key));
            let name = as_compared(key);
            if let Some(first) = first.get(&name) {
                let problem = Problem::new(path, node.key_origin().clone(), "declared twice");
                self.problems.push(problem.with_hint(format!("the first is at {first}")));
                continue;
            }
            first.insert(name.clone(), node.key_origin());
            named.push((name, path, node));
        }
        named
    }

    /// What a base that nobody extends says, and not what it lacks.
    fn read_bases_of_policies(&mut self, bases: &Settings) {
        let named = bases.child("policy").and_then(Node::as_table).into_iter();
        for (key, node) in named.flat_map(Settings::iter) {
            let path = format!("policy.{}", Settings::path_of(key));
            let read = node.as_table().map(|table| Policy::read(table, &path));
            let found = read.and_then(Result::err).map(|error| problems_of(&error));
            let found = found.unwrap_or_default().into_iter();
            self.problems.extend(found.filter(|problem| !problem.is_of_absence()));
        }
    }

    fn policy(&mut self, path: &str, node: &'s Node) -> Option<&'s Node> {
        let table = self.table_at(path, node)?;
        let policy = Policy::read(table, path);
        self.kept(policy).map(|_| node)
    }

    fn read_subsystem(&mut self, subsystem: &dyn Wired, policies: &Policies<'s>) {
        let name = subsystem.subsystem();
        if self.settings.child(name).is_none() {
            return;
        }
        let table = self.table(name);
        let Some(section) = table.and_then(|table| self.kept(subsystem.section(table))) else {
            self.unread.insert(name);
            return;
        };
        self.problems.extend(section.problems);
        let broken = section.broken.iter().map(|broken| format!("{name}.{broken}"));
        self.wanted.broken.extend(broken);
        for (instance, settings) in &section.instances {
            self.read_instance(name, instance, settings, policies);
        }
        self.read_default(name, section.default);
    }

    /// Bases are read like instances; what is wrong with the section is told of its own entries.
    fn read_bases(&mut self, bases: &Settings, subsystem: &dyn Wired, policies: &Policies<'s>) {
        let name = subsystem.subsystem();
        let table = bases.child(name).and_then(Node::as_table);
        let section = table.and_then(|table| subsystem.section(table).ok()).unwrap_or_default();
        let instances = std::mem::take(&mut self.wanted.instances);
        for (base, settings) in &section.instances {
            self.read_instance(name, base, settings, policies);
        }
        let read = std::mem::replace(&mut self.wanted.instances, instances);
        self.wanted.bases.extend(read);
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
        let written = node.as_str()?.to_owned();
        let name = as_compared(&written);
        match policies.get(&name) {
            Some(Some(policy)) => *node = (*policy).clone(),
            Some(None) => drop(settings.remove("policy")),
            None => {
                let message = Name::told(&written, "the name of a policy", |name| {
                    format!("there is no policy called {name:?}")
                });
                let problem =
                    Problem::new(format!("{path}.policy"), node.origin().clone(), message)
                        .of_kind(ProblemKind::Unknown);
                self.push_hinted(problem, &name, policies.keys().map(String::as_str));
                drop(settings.remove("policy"));
            }
        }
        Some(name)
    }

    fn read_default(&mut self, subsystem: &'static str, default: Option<Node>) {
        let Some(node) = default else { return };
        let Some(written) = node.as_str() else { return };
        let name = as_compared(written);
        let of_subsystem =
            self.wanted.instances.iter().filter(|known| known.subsystem == subsystem);
        let known: Vec<String> = of_subsystem.map(|instance| instance.name.clone()).collect();
        if known.contains(&name) {
            self.wanted.defaults.insert(subsystem, name);
            return;
        }
        if self.wanted.broken.contains(&format!("{subsystem}.{name}")) {
            return;
        }
        let problem = no_instance(format!("{subsystem}.default"), &node, written);
        self.push_hinted(problem, &name, known.iter().map(String::as_str));
    }

    fn read_features(&mut self) {
        let known: BTreeSet<String> =
            self.wanted.instances.iter().map(Instance::full_name).collect();
        for (name, path, node) in self.named("feature") {
            let Some(table) = self.table_at(&path, node) else { continue };
            self.refuse_unknown_instances(&path, table, &known);
            let decoded = table.decode_at::<FeatureConfig>(&path);
            let Some(FeatureConfig { needs, wants }) = self.kept(decoded) else { continue };
            let [needs, wants] =
                [needs, wants].map(|names| names.iter().map(|name| as_compared(name)).collect());
            self.wanted.features.push(Feature { name, needs, wants });
        }
    }

    fn refuse_unknown_instances(
        &mut self,
        path: &str,
        feature: &Settings,
        known: &BTreeSet<String>,
    ) {
        for list in ["needs", "wants"] {
            let items = feature.child(list).and_then(Node::as_list).unwrap_or_default();
            for (position, item) in items.iter().enumerate() {
                let Some(written) = item.as_str() else { continue };
                let name = as_compared(written);
                if known.contains(&name) || self.may_be_there(&name) {
                    continue;
                }
                let problem = no_instance(format!("{path}.{list}[{position}]"), item, written);
                let meant = (self.hints < HINTS_MAX).then(|| with_subsystem(&name, known));
                let asked = meant.flatten().unwrap_or(&name);
                self.push_hinted(problem, asked, known.iter().map(String::as_str));
            }
        }
    }

    /// Whether it is somebody else's mistake that there is no instance of that full name.
    fn may_be_there(&self, full_name: &str) -> bool {
        let subsystem = full_name.split('.').next().unwrap_or_default();
        self.wanted.broken.contains(full_name) || self.unread.contains(subsystem)
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

    /// A name that nobody has, with the known one that was meant, or all that there are. Of very many
    /// mistakes only the first get such advice.
    fn push_hinted<'n>(
        &mut self,
        problem: Problem,
        asked: &str,
        known: impl Iterator<Item = &'n str> + Clone,
    ) {
        self.hints += 1;
        let problem = match (self.hints <= HINTS_MAX, known.clone().next()) {
            (true, Some(_)) => match Name::nearest(asked, known.clone()) {
                Some(meant) => problem.with_hint(format!("did you mean {meant:?}?")),
                None => problem.with_hint(format!("known: {}", listed(known))),
            },
            _ => problem,
        };
        self.problems.push(problem);
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

fn no_instance(path: String, node: &Node, written: &str) -> Problem {
    let message = Name::told(written, "the name of an instance", |name| {
        format!("there is no instance called {:?}", as_compared(name))
    });
    Problem::new(path, node.origin().clone(), message).of_kind(ProblemKind::Unknown)
}

/// The full name that was likely meant by one without a subsystem.
fn with_subsystem<'k>(name: &str, known: &'k BTreeSet<String>) -> Option<&'k str> {
    let own = |full_name: &'k String| full_name.split_once('.').map(|(_, own)| own);
    if name.contains('.') {
        return None;
    }
    let meant = Name::nearest(name, known.iter().filter_map(own))?;
    known.iter().find(|full_name| own(full_name) == Some(meant)).map(String::as_str)
}

/// The first of the names, and whether there are more.
fn listed<'n>(names: impl Iterator<Item = &'n str> + Clone) -> String {
    let shown: Vec<&str> = names.clone().take(LISTED_MAX).collect();
    let more = if names.count() > LISTED_MAX { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

/// A name as names are compared.
pub(crate) fn as_compared(name: &str) -> String {
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

/// How many mistakes get advice about the name that was meant.
const HINTS_MAX: usize = 100;

/// How many known names a hint lists.
const LISTED_MAX: usize = 16;
