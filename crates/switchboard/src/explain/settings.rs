//! Every setting with its origin, secrets masked.
//!
//! What is a secret is decided in core, by the schema of whoever reads a setting and by its name. Here
//! each part of the tree is shown by the schema of the one who reads it.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use schemars::{Schema, schema_for};
use switchboard_core::settings::{Node, Value};
use switchboard_core::{GroupSettings, InstanceSettings, Origin, Policy, Settings, ShownSetting};

use super::SettingView;
use crate::wanted::{Instance, SectionKind, Wanted};
use crate::wired::Wired;

/// The settings of an instance: its own, then those of its driver. Nothing for one made in code.
pub(crate) fn of_instance(
    manager: &dyn Wired,
    wanted: &Wanted,
    instance: Option<&Instance>,
) -> Vec<SettingView> {
    let Some(instance) = instance else { return Vec::new() };
    let rows = shown(manager, &instance.settings);
    let views = rows.into_iter().map(|row| view(row, &instance.settings));
    policy_named(wanted, instance).into_iter().chain(views).collect()
}

/// The whole tree.
pub(super) fn of_all(
    wanted: &Wanted,
    managers: &[Arc<dyn Wired>],
    sections: &[SectionKind],
) -> Vec<SettingView> {
    let known = Known::of(wanted, managers, sections);
    let rows = wanted.settings.listed(None).into_iter();
    let as_known = |mut row: ShownSetting| {
        let text = wanted.settings.get(&row.path).and_then(|node| known.text(node));
        row.value = text.map(str::to_owned).or(row.value);
        row
    };
    rows.map(|row| view(as_known(row), &wanted.settings)).collect()
}

/// What an instance may contain beside the settings of its driver.
struct Schemas {
    own: Schema,
    group: Schema,
}

/// Made once: a configuration of many instances asks for each of them.
static SCHEMAS: LazyLock<Schemas> = LazyLock::new(|| Schemas {
    own: schema_for!(InstanceSettings),
    group: schema_for!(GroupSettings),
});

/// How the parts of the tree are shown by those who read them: by place and value, because who owns the
/// grammar of a section may put what is written there under other names.
#[derive(Default)]
struct Known(BTreeMap<Origin, Vec<(Value, String)>>);

impl Known {
    fn of(wanted: &Wanted, managers: &[Arc<dyn Wired>], sections: &[SectionKind]) -> Self {
        let mut known = Self::default();
        for instance in &wanted.instances {
            let manager = managers.iter().find(|known| known.subsystem() == instance.subsystem);
            let Some(manager) = manager else { continue };
            known.add(&instance.settings, shown(manager.as_ref(), &instance.settings));
        }
        let policy = schema_for!(Policy);
        let policies = wanted.settings.child("policy").and_then(Node::as_table);
        for (_, node) in policies.into_iter().flat_map(Settings::iter) {
            known.add_table(node, &policy);
        }
        for kind in sections {
            if let Some(node) = wanted.settings.child(kind.name) {
                known.add_table(node, &(kind.schema)());
            }
        }
        known
    }

    fn add_table(&mut self, node: &Node, schema: &Schema) {
        if let Some(table) = node.as_table() {
            self.add(table, table.listed(Some(schema)));
        }
    }

    fn add(&mut self, table: &Settings, rows: Vec<ShownSetting>) {
        for row in rows {
            let Some(text) = row.value else { continue };
            match table.get(&row.path) {
                Some(node) if row.is_masked => self.add_below(node, &text),
                Some(node) => self.put(node, text),
                // It was written into the address.
                None if row.is_masked => {
                    let is_there = |url: &&Node| *url.origin() == row.origin;
                    if let Some(url) = table.child("url").filter(is_there) {
                        self.put(url, MASK.to_owned());
                    }
                }
                None => {}
            }
        }
    }

    /// A secret, and all that it consists of.
    fn add_below(&mut self, node: &Node, text: &str) {
        match node.value() {
            Value::Table(table) => table.iter().for_each(|(_, node)| self.add_below(node, MASK)),
            Value::List(items) => items.iter().for_each(|node| self.add_below(node, MASK)),
            _ => self.put(node, text.to_owned()),
        }
    }

    /// What was said last counts, except that a secret stays one.
    fn put(&mut self, node: &Node, text: String) {
        let there = self.0.entry(node.origin().clone()).or_default();
        match there.iter_mut().find(|(known, _)| known == node.value()) {
            Some((_, known)) if known == MASK => {}
            Some((_, known)) => *known = text,
            None => there.push((node.value().clone(), text)),
        }
    }

    fn text(&self, node: &Node) -> Option<&str> {
        let there = self.0.get(node.origin())?;
        there.iter().find(|(known, _)| known == node.value()).map(|(_, text)| text.as_str())
    }
}

/// The settings of an instance, each as whoever reads it shows it.
fn shown(manager: &dyn Wired, settings: &Settings) -> Vec<ShownSetting> {
    if settings.child("members").is_some() {
        return settings.listed(Some(&SCHEMAS.group));
    }
    let mut rest = settings.clone();
    let mut own = Settings::at(settings.origin().clone());
    for key in InstanceSettings::KEYS {
        if let Some(node) = rest.remove(key) {
            own.insert(*key, node);
        }
    }
    let mut rows = own.listed(Some(&SCHEMAS.own));
    rows.extend(of_driver(manager, settings, &rest));
    rows
}

fn of_driver(manager: &dyn Wired, settings: &Settings, rest: &Settings) -> Vec<ShownSetting> {
    let taken = InstanceSettings::take(settings, "").ok();
    let driver = taken.and_then(|(own, _)| own.driver);
    let explained = driver.and_then(|driver| manager.explain(&driver, rest));
    // Nobody knows any more which of them are secrets.
    explained.unwrap_or_else(|| {
        let hide = |mut row: ShownSetting| {
            (row.value, row.is_masked) = (Some(MASK.to_owned()), true);
            row
        };
        rest.listed(None).into_iter().map(hide).collect()
    })
}

/// The setting that names the policy, in whose place the policy itself was put.
fn policy_named(wanted: &Wanted, instance: &Instance) -> Option<SettingView> {
    let name = instance.policy.as_deref()?;
    let section = wanted.settings.child(instance.subsystem)?.as_table()?;
    let is_meant = |key: &str| key.trim().eq_ignore_ascii_case(instance.name.trim());
    let (_, written) = section.iter().find(|(key, _)| is_meant(key))?;
    let node = written.as_table()?.child("policy")?;
    Some(SettingView {
        path: "policy".to_owned(),
        value: name.to_owned(),
        origin: node.key_origin().to_string(),
        about: None,
    })
}

fn view(row: ShownSetting, tree: &Settings) -> SettingView {
    let written = tree.get(&row.path).map(Node::key_origin);
    SettingView {
        origin: written.unwrap_or(&row.origin).to_string(),
        value: row.value.unwrap_or_else(|| BY_DEFAULT.to_owned()),
        path: row.path,
        about: row.description,
    }
}

/// What stands in the place of a secret.
const MASK: &str = "***";
/// What stands in the place of a default that only the driver knows.
const BY_DEFAULT: &str = "(default)";
