//! A running board that is given another configuration.
#![cfg(unix)]

mod common;

use common::Place;

#[test]
fn a_hangup_lets_it_read_its_configuration_again() {
    let place = Place::new();
    place.write("switchboard.toml", "[cache.main]\ndriver = 'memory'\n");
    let up = place.up(&["--no-watch"]);
    assert!(place.run(&["plan"]).fine().contains("= cache.main"));
    place.write(
        "switchboard.toml",
        "[cache.main]\ndriver = 'null'\n[cache.more]\ndriver = 'memory'\n",
    );
    let planned = place.run(&["plan"]).fine();
    assert!(planned.contains("~ cache.main") && planned.contains("+ cache.more"), "{planned}");
    assert!(planned.contains("\n    driver  memory → null  "), "{planned}");
    assert!(!planned.contains("warning"), "{planned}");

    up.signal("HUP");
    assert!(up.errors.next("reload board").ends_with("ok"));
    assert!(place.run(&["explain", "cache.more"]).fine().contains(&up.address));

    place.write("switchboard.toml", "[cache.main]\ndriver = 'memry'\n");
    let told = place.run(&["reload"]).failed(2);
    assert!(told.contains("memory"), "{told}");
    assert!(place.run(&["explain", "cache.more"]).fine().contains(&up.address));

    place.write("switchboard.toml", "[cache.main]\ndriver = 'memory'\n");
    let reloaded = place.run(&["reload"]).fine();
    assert!(reloaded.contains("- cache.more"), "{reloaded}");
    place.run(&["explain", "cache.more"]).failed(3);
    up.stop();
}

#[test]
fn a_plan_tells_what_a_setting_was_and_whose_handles_end() {
    let place = Place::new();
    let spare = "[cache.spare]\ndriver = 'memory'\n";
    let main = "[cache.main]\ndriver = 'memory'\nmax_entries = 100\n";
    place.write("switchboard.toml", format!("{spare}{main}"));
    let up = place.up(&["--no-watch"]);
    place.write("switchboard.toml", format!("{spare}[cache.main]\nmembers = ['spare']\n"));
    for command in ["plan", "reload"] {
        let told = place.run(&[command]).fine();
        assert!(told.contains("max_entries  100 → (left out)"), "{told}");
        assert!(told.contains("\nwarning: cache.main becomes a group: its handles end"), "{told}");
    }
    up.stop();
}

#[test]
fn a_file_that_changes_is_read_again_and_mistakes_in_it_change_nothing() {
    let place = Place::new();
    place.write("switchboard.toml", "[cache.main]\ndriver = 'memory'\n");
    let up = place.up(&[]);
    place.write("switchboard.toml", "[cache.main]\ndriver = 'null'\n");
    assert!(up.errors.next("reload board").ends_with("by file watcher: ok"));
    let explained = place.run(&["explain", "cache.main", "--format", "json"]).json();
    assert_eq!(explained["driver"], "null");

    place.write("switchboard.toml", "[cache.main]\ndriver = 'memry'\n");
    assert!(up.errors.next("reload board").contains("configuration"));
    let explained = place.run(&["explain", "cache.main", "--format", "json"]).json();
    assert_eq!(explained["driver"], "null");
    up.stop();
}

#[test]
fn a_running_board_tells_a_mistake_as_a_check_does() {
    let place = Place::new();
    place.write("switchboard.toml", "[cache.main]\ndriver = 'memory'\n");
    let up = place.up(&["--no-watch"]);
    place.write("switchboard.toml", "[cache.main]\ndriver = 'memory'\nmax_entires = 5\n");
    let told = place.run(&["reload"]).failed(2);
    assert!(told.contains("switchboard.toml:3:1: cache.main.max_entires: "), "{told}");
    assert!(told.contains("max_entries"), "{told}");

    let told = place.run(&["reload", "--format", "json"]).failed(2);
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let checked = place.run(&["check", "--format", "json"]).json();
    assert_eq!(told["error"]["problems"], checked["problems"]);
    up.stop();
}

#[test]
fn a_file_that_goes_while_a_board_runs_is_a_mistake_and_not_a_board_of_defaults() {
    let place = Place::new();
    place.write("switchboard.toml", "[cache.carts]\ndriver = 'memory'\n");
    let up = place.up(&["--no-watch"]);
    std::fs::remove_file(place.path().join("switchboard.toml")).unwrap();
    let told = place.run(&["reload"]).failed(2);
    assert!(told.contains("no such file"), "{told}");
    let explained = place.run(&["explain", "cache.carts", "--format", "json"]).json();
    assert_eq!(explained["driver"], "memory");
    up.stop();
}
