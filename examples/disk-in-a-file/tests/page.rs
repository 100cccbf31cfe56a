//! The page on drivers shows this driver: all of it, in its order, and nothing that is not here.

#![allow(clippy::unwrap_used, reason = "a test that fails panics")]

use std::collections::BTreeSet;

const PAGE: &str = include_str!("../../../docs/drivers.md");
const DRIVER: &str = include_str!("../src/lib.rs");
const OTHERS: &[&str] = &[
    include_str!("application.rs"),
    include_str!("../examples/disks.rs"),
    include_str!("../../third-party-disk/src/lib.rs"),
];

/// The blocks of the page in that language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    PAGE.split(&fence).skip(1).map(|rest| rest.split_once("```").unwrap().0).collect()
}

/// The lines that are not empty, without what they are indented by.
fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
}

fn stands_in(block: &str, source: &str) -> bool {
    let (block, source) = (lines(block), lines(source));
    source.windows(block.len()).any(|window| window == block)
}

#[test]
fn the_page_shows_the_whole_driver_in_its_order() {
    let shown = blocks("rust").into_iter().filter(|block| stands_in(block, DRIVER));
    let shown: Vec<_> = shown.flat_map(lines).collect();
    let driver = lines(DRIVER);
    let differs = shown.iter().zip(&driver).position(|(shown, written)| shown != written);
    assert_eq!(differs.map(|at| (shown[at], driver[at])), None);
    assert_eq!(shown.len(), driver.len(), "after {:?}", shown.last());
}

#[test]
fn the_page_shows_nothing_that_is_not_compiled() {
    for block in blocks("rust") {
        let is_compiled = [DRIVER].iter().chain(OTHERS).any(|source| stands_in(block, source));
        assert!(is_compiled, "this stands nowhere:\n{block}");
    }
}

/// Which crates a manifest names, and in which section.
fn dependencies(manifest: &str) -> BTreeSet<(String, String)> {
    let (mut section, mut named) = (String::new(), BTreeSet::new());
    for line in manifest.lines() {
        if line.starts_with('[') {
            line.trim_matches(['[', ']']).clone_into(&mut section);
        } else if let Some((name, _)) = line.split_once([' ', '.', '=']) {
            named.insert((section.clone(), name.to_owned()));
        }
    }
    named.retain(|(section, _)| section.ends_with("dependencies"));
    named
}

#[test]
fn the_manifest_of_the_page_names_the_crates_that_are_used() {
    let used = dependencies(include_str!("../Cargo.toml"));
    let manifest = blocks("toml").into_iter().find(|block| block.contains("[dependencies]"));
    assert_eq!(dependencies(manifest.unwrap()), used);
}

#[test]
fn the_driver_is_as_short_as_the_page_says() {
    let code = DRIVER.lines().skip_while(|line| !line.starts_with("/// Adds the driver"));
    let count = code.filter(|line| !line.trim().is_empty()).count();
    assert!(PAGE.contains(&format!(" {count} lines")), "the driver has {count} lines");
}
