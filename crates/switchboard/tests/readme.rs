//! What the README shows of a configuration is one.

#![allow(clippy::unwrap_used, reason = "a test that fails panics")]

use switchboard::{Format, Mistakes, Switchboard};

const README: &str = include_str!("../../../README.md");

/// The block of `language` after `heading`.
fn block(heading: &str, language: &str) -> &'static str {
    let section = README.split_once(heading).unwrap().1;
    let opened = section.split_once(&format!("```{language}\n")).unwrap().1;
    opened.split_once("```").unwrap().0
}

#[tokio::test]
async fn the_configuration_of_the_readme_starts_a_board() {
    let text = block("## Configure it", "toml");
    let board = Switchboard::builder().text("switchboard.toml", Format::Toml, text).build().await;
    let board = board.unwrap();
    board.cache("any").unwrap().forever("a", "b").await.unwrap();
    let pages = board.explain("cache.pages").unwrap();
    let entries = pages.settings.iter().find(|setting| setting.path == "max_entries").unwrap();
    assert_eq!(entries.value, "5000");
    assert!(pages.chain.iter().any(|step| step.origin.contains("policy quick")), "{pages:?}");
    board.close(std::time::Duration::from_secs(5)).await.into_result().unwrap();
}

#[test]
fn the_mistake_of_the_readme_is_told_as_it_shows() {
    let right = "[cache]\ndefault = 'sessions'\n\n[cache.sessions]\ndriver = 'memory'\n";
    let text = format!("{right}max_entires = 100_000\n");
    let checked = Switchboard::builder().text("switchboard.toml", Format::Toml, text).check();
    let error = checked.unwrap_err();
    let report = error.find::<Mistakes>().unwrap().report().to_string();
    let shown = block("all of them at once:", "text");
    assert!(report.starts_with(shown), "{report}");
}
