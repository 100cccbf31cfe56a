//! The page on disks says of every setting what it is, and of nothing else.

use std::collections::BTreeSet;

use schemars::{JsonSchema, Schema, schema_for};
use switchboard_core::Registry;

use crate::{DiskConfig, Disks};

#[test]
fn the_page_has_the_settings_of_every_driver() {
    let all = written(ALL);
    for driver in Registry::<Disks>::with_built_ins().unwrap().describe() {
        let (own, settings) = (written(&format!(": `{}`", driver.name)), keys(&driver.settings));
        let missing: Vec<_> = settings.difference(&own).filter(|key| !all.contains(*key)).collect();
        assert!(missing.is_empty(), "of {} the page does not have {missing:?}", driver.name);
        let unknown: Vec<_> = own.difference(&settings).collect();
        assert!(unknown.is_empty(), "{} does not have {unknown:?}", driver.name);
    }
}

#[test]
fn the_page_has_the_settings_of_all_disks() {
    check::<DiskConfig>(ALL);
    #[cfg(feature = "wire")]
    check::<crate::HttpConfig>("How services over HTTP are spoken to");
}

/// Whether the table beneath the heading that ends so is about these settings.
#[track_caller]
fn check<C: JsonSchema>(heading: &str) {
    assert_eq!(written(heading), keys(&schema_for!(C)), "{heading}");
}

fn keys(settings: &Schema) -> BTreeSet<String> {
    let keys = settings.get("properties").and_then(|properties| properties.as_object());
    keys.into_iter().flatten().map(|(key, _)| key.clone()).collect()
}

/// The keys in the table of settings beneath the heading that ends so.
fn written(heading: &str) -> BTreeSet<String> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/storage.md");
    let page = std::fs::read_to_string(page).unwrap();
    let is_heading = |line: &&str| line.starts_with('#') && line.ends_with(heading);
    let mut lines = page.lines().skip_while(|line| !is_heading(line));
    assert!(lines.next().is_some(), "there is no {heading:?}");
    let section = lines.take_while(|line| !line.starts_with("##"));
    let table = section.skip_while(|line| !line.starts_with("| key |"));
    let rows = table.skip(2).take_while(|line| line.starts_with('|'));
    // What is in backticks in the first column.
    rows.flat_map(|row| row.split('|').nth(1).unwrap_or_default().split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect()
}

/// Where the settings are that every disk has.
const ALL: &str = "Settings of every disk";
