//! What differs between two configurations, instance by instance.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use switchboard_core::Settings;
use switchboard_core::settings::{Node, Value};

use crate::explain::{SettingView, settings_of};
use crate::wanted::{Instance, Wanted};
use crate::wired::{Step, Wired, manager_of};

/// What a reload changes, or would. As JSON:
///
/// ```
/// # use serde_json::json;
/// # use switchboard::{Settings, Switchboard};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> switchboard::Result<()> {
/// # let file = std::env::temp_dir().join(format!("switchboard-json-{}.toml", std::process::id()));
/// # let write = |text: &str| std::fs::write(&file, text).expect("the folder can be written to");
/// # write("cache.sessions = { driver = 'null' }");
/// # let board = Switchboard::builder().file(&file).build().await?;
/// # write("cache.sessions = { driver = 'memory', max_entries = 100 }");
/// # let mut plan = serde_json::to_value(board.plan().await?).expect("a plan is JSON");
/// # std::fs::remove_file(&file).ok();
/// # board.close(board.close_limit()).await.into_result()?;
/// # for setting in plan["changes"][0]["settings"].as_array_mut().expect("a list") {
/// #     setting["origin"] = json!("switchboard.toml:…");
/// #     setting.as_object_mut().map(|setting| setting.remove("about"));
/// # }
/// # let expected =
/// json!({
///     "kept": [],
///     "changes": [{
///         "instance": "cache.sessions",
///         "what": "swapped", // or "added", "re-tuned", "removed"
///         "settings": [
///             // `before` is null where there was no such setting, `value` where there will be none.
///             {"path": "driver", "before": "null", "value": "memory", "origin": "switchboard.toml:…"},
///             {"path": "max_entries", "before": null, "value": "100", "origin": "switchboard.toml:…"}
///         ]
///     }],
///     "sections": [],
///     "restart": [],
///     "warnings": []
/// })
/// # ;
/// # assert_eq!(plan, expected);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Plan {
    /// The instances that stay as they are.
    pub kept: Vec<String>,
    /// Those that change, in the order of their names.
    pub changes: Vec<PlannedChange>,
    /// Other sections that changed and count from now on: `feature`, `health`.
    pub sections: Vec<String>,
    /// Settings that changed and count from the next start of the process only.
    pub restart: Vec<String>,
    /// What the application has to know of it: the handles that end although their instances stay,
    /// because these become groups, or groups become instances with a driver.
    pub warnings: Vec<String>,
}

/// What happens to one instance.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PlannedChange {
    /// The full name: `cache.sessions`.
    pub instance: String,
    /// What is done with it.
    pub what: Change,
    /// The settings that differ; none of an instance that is removed. Secrets are masked.
    pub settings: Vec<PlannedSetting>,
}

/// What becomes of one setting of an instance.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PlannedSetting {
    /// The path below the instance.
    pub path: String,
    /// What it is now, be it by default; nothing if the instance, or its driver, has no such setting.
    pub before: Option<String>,
    /// What it will be; nothing if it goes.
    pub value: Option<String>,
    /// Where the new value comes from; of a setting that goes, where the old one does.
    pub origin: String,
    /// What it is for, where the driver says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
}

/// What is done with an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Change {
    /// It was not there before.
    Added,
    /// It gets another driver, or its driver other settings.
    Swapped,
    /// Its gates or limits change; the driver stays.
    ReTuned,
    /// It will not be there any more.
    Removed,
}

impl Plan {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.sections.is_empty() && self.restart.is_empty()
    }

    /// How many instances `what` is done with.
    pub fn count(&self, what: Change) -> usize {
        self.changes.iter().filter(|change| change.what == what).count()
    }
}

impl Change {
    /// The word that people and JSON read.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Swapped => "swapped",
            Self::ReTuned => "re-tuned",
            Self::Removed => "removed",
        }
    }
}

/// What has to be done, and how it is told.
#[derive(Debug, Default)]
pub(crate) struct Difference {
    /// For each subsystem what its manager does, in the order of the configuration.
    pub(crate) steps: BTreeMap<&'static str, Vec<Step>>,
    /// Those that somebody has to connect once they are there: `eager`, and not connected before.
    pub(crate) eager: Vec<String>,
    pub(crate) plan: Plan,
}

impl Difference {
    pub(crate) fn between(before: &Wanted, after: &Wanted) -> Self {
        let old = by_name(before);
        let new = by_name(after);
        let mut difference = Self::default();
        // In the order of the configuration, in which mistakes are found and drivers are built.
        for instance in &after.instances {
            let name = instance.full_name();
            difference.compare(old.get(&name).copied(), instance);
            let is_lost = |member: &String| old.contains_key(member) && !new.contains_key(member);
            if instance.members().any(|member| is_lost(&member)) {
                difference.look_again_at(instance);
            }
        }
        for (name, instance) in old.iter().filter(|(name, _)| !new.contains_key(*name)) {
            difference.step(instance.subsystem, Step::Remove(instance.name.clone()));
            difference.tell(name, Change::Removed);
        }
        for subsystem in
            before.defaults.keys().chain(after.defaults.keys()).collect::<BTreeSet<_>>()
        {
            let (was, is) = (before.defaults.get(subsystem), after.defaults.get(subsystem));
            if was != is {
                difference.step(subsystem, Step::Default(is.cloned()));
                difference.plan.sections.push(format!("{subsystem}.default"));
            }
        }
        difference.compare_sections(before, after);
        difference.plan.changes.sort_by(|one, other| one.instance.cmp(&other.instance));
        difference
    }

    /// What giving one instance other settings by hand changes, also where they are the same.
    pub(crate) fn of_swap(after: &Wanted, instance: &str) -> Self {
        let mut difference = Self::default();
        let Some(new) = after.instance(instance) else { return difference };
        difference.step(new.subsystem, Step::Put(new.name.clone(), new.settings.clone()));
        difference.step(new.subsystem, Step::Build(new.name.clone()));
        difference.tell(instance, Change::Swapped);
        difference
    }

    /// Takes out the declarations of those that are new, also to their managers, if something is built
    /// that may need them.
    ///
    /// A new driver that cannot live twice has to come in the change in which another one goes, so it
    /// and its neighbours stay where one may go.
    pub(crate) fn take_additions(
        &mut self,
        wired: &[Arc<dyn Wired>],
    ) -> BTreeMap<&'static str, Vec<Step>> {
        let is_added = self.added();
        let is_new = |subsystem: &str, step: &Step| is_added(wired, subsystem, step);
        let builds = |(subsystem, steps): (&&'static str, &Vec<Step>)| {
            let builds = |step: &Step| step.may_build() && !is_new(subsystem, step);
            steps.iter().any(builds)
        };
        let mut additions = BTreeMap::new();
        if !self.steps.iter().any(builds) {
            return additions;
        }
        for (subsystem, steps) in &mut self.steps {
            let all = std::mem::take(steps);
            let (new, rest): (Vec<_>, Vec<_>) =
                all.iter().cloned().partition(|step| is_new(subsystem, step));
            let may_go = rest.iter().any(Step::may_close);
            if new.is_empty() || may_go && has_exclusive(&new, wired, subsystem) {
                *steps = all;
            } else {
                *steps = rest;
                additions.insert(*subsystem, new);
            }
        }
        additions
    }

    /// Tells the steps that declare an instance nobody knows.
    fn added(&self) -> impl Fn(&[Arc<dyn Wired>], &str, &Step) -> bool + use<> {
        let added = self.plan.changes.iter().filter(|change| change.what == Change::Added);
        let added: BTreeSet<String> = added.map(|change| change.instance.clone()).collect();
        move |wired, subsystem, step| {
            let Some((name, _)) = step.declared() else { return false };
            let knows = |manager: &Arc<dyn Wired>| manager.chain(name).is_ok();
            added.contains(&format!("{subsystem}.{name}"))
                && !manager_of(wired, subsystem).is_some_and(knows)
        }
    }

    /// Takes out what has to be built: the full names.
    pub(crate) fn take_builds(&mut self) -> Vec<String> {
        let mut builds = Vec::new();
        for (subsystem, steps) in &mut self.steps {
            steps.retain(|step| match step {
                Step::Build(name) => {
                    builds.push(format!("{subsystem}.{name}"));
                    false
                }
                _ => true,
            });
        }
        builds
    }

    /// The plan as it is shown, with the settings that differ. Apart from the rest, because only who
    /// looks at a plan pays for it.
    pub(crate) fn shown(&self, before: &Wanted, after: &Wanted, wired: &[Arc<dyn Wired>]) -> Plan {
        let (old, new) = (by_name(before), by_name(after));
        let mut plan = self.plan.clone();
        for change in &mut plan.changes {
            let Some(new) = new.get(&change.instance) else { continue };
            let Some(manager) = manager_of(wired, new.subsystem) else { continue };
            let old = old.get(&change.instance).copied();
            change.settings = differing(manager.as_ref(), (before, old), (after, new));
        }
        plan.warnings = self.warnings(&new, wired);
        plan
    }

    /// Of the handles that end although their instances stay.
    fn warnings(&self, new: &BTreeMap<String, &Instance>, wired: &[Arc<dyn Wired>]) -> Vec<String> {
        let of_subsystem = |(subsystem, steps): (&&'static str, &Vec<Step>)| {
            let replaced = manager_of(wired, subsystem)?.replaced(steps).into_iter();
            Some(replaced.map(|name| format!("{subsystem}.{name}")).collect::<Vec<_>>())
        };
        let replaced = self.steps.iter().filter_map(of_subsystem).flatten();
        let warning = |name: String| {
            let is_group = new.get(&name).is_some_and(|new| new.members().next().is_some());
            let becomes = if is_group { "a group" } else { "an instance with a driver" };
            format!("{name} becomes {becomes}: its handles end, and have to be asked for again")
        };
        replaced.map(warning).collect()
    }

    fn compare(&mut self, old: Option<&Instance>, new: &Instance) {
        let name = &new.full_name();
        let what = match old {
            None => Some(Change::Added),
            Some(old) => what_differs(&old.settings, &new.settings),
        };
        let (subsystem, instance) = (new.subsystem, new.name.clone());
        match what {
            None => self.plan.kept.push(name.to_owned()),
            Some(Change::ReTuned) => {
                self.step(subsystem, Step::Retune(instance.clone(), new.settings.clone()));
            }
            Some(_) => self.step(subsystem, Step::Put(instance.clone(), new.settings.clone())),
        }
        if new.required && !old.is_some_and(|old| old.required && what != Some(Change::Added)) {
            self.step(subsystem, Step::Build(instance));
        } else if new.eager && !old.is_some_and(|old| old.eager || old.required) {
            self.eager.push(name.to_owned());
        }
        if let Some(what) = what {
            self.tell(name, what);
        }
    }

    /// A group that says the same and loses a member is told where it names it.
    fn look_again_at(&mut self, group: &Instance) {
        let put = Step::Put(group.name.clone(), group.settings.clone());
        let steps = self.steps.entry(group.subsystem).or_default();
        if !steps.contains(&put) {
            steps.push(put);
        }
    }

    fn compare_sections(&mut self, before: &Wanted, after: &Wanted) {
        let keys = |wanted: &Wanted| wanted.settings.keys().map(str::to_owned).collect::<Vec<_>>();
        let of_instances: BTreeSet<&str> = subsystems(before).chain(subsystems(after)).collect();
        let all: BTreeSet<_> = keys(before).into_iter().chain(keys(after)).collect();
        for key in all {
            let is_of_others = key == "policy" || RESTART.contains(&key.as_str());
            if is_of_others || of_instances.contains(key.as_str()) {
                continue;
            }
            if !says_the_same(before.settings.child(&key), after.settings.child(&key)) {
                self.plan.sections.push(key);
            }
        }
    }

    /// What counts from the next start only differs for as long as the process does not start again,
    /// so it is compared with what that started with.
    pub(crate) fn compare_with_start(&mut self, started: &Settings, now: &Settings) {
        let differs = |key: &&&str| !says_the_same(started.child(key), now.child(key));
        self.plan.restart = RESTART.iter().filter(differs).map(|&key| key.to_owned()).collect();
    }

    fn step(&mut self, subsystem: &'static str, step: Step) {
        self.steps.entry(subsystem).or_default().push(step);
    }

    fn tell(&mut self, name: &str, what: Change) {
        let (instance, settings) = (name.to_owned(), Vec::new());
        self.plan.changes.push(PlannedChange { instance, what, settings });
    }
}

fn has_exclusive(new: &[Step], wired: &[Arc<dyn Wired>], subsystem: &str) -> bool {
    let Some(manager) = manager_of(wired, subsystem) else { return false };
    new.iter().filter_map(Step::declared).any(|(_, settings)| manager.is_exclusive(settings))
}

fn by_name(wanted: &Wanted) -> BTreeMap<String, &Instance> {
    wanted.instances.iter().map(|instance| (instance.full_name(), instance)).collect()
}

fn subsystems(wanted: &Wanted) -> impl Iterator<Item = &'static str> {
    wanted.instances.iter().map(|instance| instance.subsystem)
}

/// What has to happen to an instance that has other settings now.
fn what_differs(old: &Settings, new: &Settings) -> Option<Change> {
    let keys: BTreeSet<&str> = old.keys().chain(new.keys()).collect();
    let differing = keys.into_iter().filter(|key| !says_the_same(old.child(key), new.child(key)));
    let mut worst = None;
    for key in differing {
        if !TUNED.contains(&key) {
            return Some(Change::Swapped);
        }
        worst = Some(Change::ReTuned);
    }
    worst
}

/// The settings that are not the same, in the order of the new ones, and then those that go.
fn differing(
    manager: &dyn Wired,
    (before, old): (&Wanted, Option<&Instance>),
    (after, new): (&Wanted, &Instance),
) -> Vec<PlannedSetting> {
    let (old_views, new_views) =
        (settings_of(manager, before, old), settings_of(manager, after, Some(new)));
    let (was, is) = (by_path(&old_views), by_path(&new_views));
    let differs = |view: &&SettingView| {
        let was = old.and_then(|old| old.settings.get(&view.path));
        !says_the_same(was, new.settings.get(&view.path))
    };
    let to_be = new_views.iter().filter(differs).map(|view| {
        let before = was.get(view.path.as_str()).map(|was| was.value.clone());
        PlannedSetting { before, value: Some(view.value.clone()), ..PlannedSetting::of(view) }
    });
    let goes = |view: &&SettingView| !is.contains_key(view.path.as_str()) && differs(view);
    let gone = old_views.iter().filter(goes).map(|view| {
        let before = Some(view.value.clone());
        PlannedSetting { before, ..PlannedSetting::of(view) }
    });
    to_be.chain(gone).collect()
}

impl PlannedSetting {
    /// Which setting it is, and nothing of what becomes of it.
    fn of(view: &SettingView) -> Self {
        let SettingView { path, origin, about, .. } = view.clone();
        Self { path, before: None, value: None, origin, about }
    }
}

fn by_path(views: &[SettingView]) -> BTreeMap<&str, &SettingView> {
    views.iter().map(|view| (view.path.as_str(), view)).collect()
}

/// Whether all settings of one tree mean the same as those of another.
pub(crate) fn say_the_same(one: &Settings, other: &Settings) -> bool {
    one.len() == other.len()
        && one.iter().all(|(key, node)| says_the_same(Some(node), other.child(key)))
}

/// Whether two settings mean the same, wherever they come from.
fn says_the_same(one: Option<&Node>, other: Option<&Node>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => is_same(one.value(), other.value()),
        _ => false,
    }
}

fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Table(one), Value::Table(other)) => say_the_same(one, other),
        (Value::List(one), Value::List(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| is_same(one.value(), other.value()))
        }
        (one, other) => one == other,
    }
}

/// What every instance has that its driver does not see.
const TUNED: &[&str] = &[
    "policy",
    "require",
    "build_limit",
    "drain_limit",
    "close_limit",
    "eager",
    "required",
    "replaces",
];

/// The sections that are read when the process starts and never again.
const RESTART: &[&str] = &["board", "console"];
