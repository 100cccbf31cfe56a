//! What the page on drivers shows of this one, where it tells of services over a network, stands here.

#![allow(clippy::unwrap_used, reason = "a test that fails panics")]

const PAGE: &str = include_str!("../../../docs/drivers.md");
const DRIVER: &str = include_str!("../src/lib.rs");

/// The blocks of Rust in the section on services over a network.
fn blocks() -> Vec<&'static str> {
    let (_, section) = PAGE.split_once("\n## A service over a network\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    section.split("```rust\n").skip(1).map(|rest| rest.split_once("```").unwrap().0).collect()
}

/// The lines that are not empty, without what they are indented by.
fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
}

#[test]
fn the_page_shows_nothing_of_the_driver_that_does_not_stand_in_it() {
    let driver = lines(DRIVER);
    for block in blocks() {
        let block = lines(block);
        let stands_there = driver.windows(block.len()).any(|window| window == block);
        assert!(stands_there, "this stands nowhere:\n{}", block.join("\n"));
    }
}

#[test]
fn the_page_shows_how_it_connects_what_errors_say_and_how_it_is_proved() {
    for shown in ["ConnectionManager::new_lazy_with_config", "fn classify(", "wire_suite!"] {
        assert!(DRIVER.contains(shown), "{shown}");
        let count = blocks().iter().filter(|block| block.contains(shown)).count();
        assert_eq!(count, 1, "{shown}");
    }
}

#[test]
fn the_driver_is_as_long_as_the_page_says() {
    let code = DRIVER.split("#[cfg(test)]").next().unwrap();
    let code = code.lines().skip_while(|line| !line.starts_with("/// Adds the driver"));
    let count = code.filter(|line| !line.trim().is_empty()).count();
    assert!(PAGE.contains(&format!(" {count} lines")), "the driver has {count} lines");
}
