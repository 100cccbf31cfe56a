//! What `check --connect` and `up` say of a database that they cannot do without, and that is not there.

#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

mod common;

use common::Place;
use serde_json::json;
use switchboard_testkit::{service_url, unique};

/// What `check --connect` and `up` say of a required database, with the code that both end with.
#[track_caller]
fn required(place: &Place, settings: &str, code: i32, lines: &[&str]) {
    let file =
        format!("[cache.main]\ndriver = 'null'\n\n[database.shop]\n{settings}\nrequired = true\n");
    place.write("switchboard.toml", file);
    let checked = place.run(&["check", "--connect"]);
    assert_eq!(checked.code, Some(code), "{checked:?}");
    let up = place.run(&["up", "--listen", "127.0.0.1:0"]).failed(code);
    for told in [&checked.errors, &up] {
        assert_eq!(told.matches("error: ").count(), 1, "{told}");
        assert!(told.contains("configured at: switchboard.toml:4:1\n"), "{told}");
        for line in lines {
            assert!(told.contains(line), "no {line:?}: {told}");
        }
    }
    let json = place.run(&["check", "--connect", "--format", "json"]).json();
    let problem = &json["problems"][0];
    assert_eq!((&problem["key"], &problem["line"]), (&json!("database.shop"), &json!(4)), "{json}");
    assert!(problem["hint"].is_string(), "{json}");
}

#[test]
fn why_a_required_database_cannot_be_used_is_told_with_its_section_and_what_to_do() {
    let place = Place::new();
    let nobody = "unavailable: the server refused the connection\n";
    let start = "hint: start the server";
    for (driver, url) in
        [("postgres", "postgres://app@127.0.0.1:1/shop"), ("mysql", "mysql://app@127.0.0.1:1/shop")]
    {
        let line = format!("error: database.shop ({driver}) build: {nobody}");
        required(&place, &format!("url = '{url}'"), 4, &[&line, start, "address: 127.0.0.1:1"]);
    }
    let url = service_url("postgres", "postgres://postgres@127.0.0.1:5432/postgres");
    let nowhere = other_path(&url, &unique("nowhere"));
    let line = "error: database.shop (postgres) build: not found: there is no such database\n";
    required(
        &place,
        &format!("url = '{nowhere}'"),
        3,
        &[line, "hint: create it with `create database`"],
    );
    let url = service_url("mariadb", "mysql://root@127.0.0.1:3306/mysql");
    let nowhere = other_path(&url, &unique("nowhere"));
    let line = "error: database.shop (mysql) build: not found: there is no such database\n";
    required(
        &place,
        &format!("url = '{nowhere}'"),
        3,
        &[line, "hint: create it with `create database`"],
    );
    let (before, after) = url.split_once('@').unwrap();
    let stranger =
        format!("{}://{}:canary@{after}", before.split_once("://").unwrap().0, unique("nobody"));
    let line = "error: database.shop (mysql) build: unauthenticated: the server does not let this user in\n";
    required(&place, &format!("url = '{stranger}'"), 1, &[line, "hint: who asks is said in `url`"]);
}

#[test]
fn why_a_required_file_cannot_be_used_is_told_with_its_section_and_what_to_do() {
    let place = Place::new();
    let line =
        "error: database.shop (sqlite) build: not found: the file of the database is not there\n";
    let hint = "hint: it is made with `create = true`";
    required(&place, "driver = 'sqlite'\npath = 'gone/main.db'\ncreate = false", 3, &[line, hint]);
    assert!(!place.path().join("gone").exists());
    // Where nobody may write, not even those who may everything.
    #[cfg(target_os = "linux")]
    {
        let line = "permission denied: the file of the database may not be opened\n";
        let hint = "hint: the process has to be allowed to write the file and its folder";
        required(&place, "url = 'sqlite:/proc/main.db'", 1, &[line, hint]);
        let line = "permission denied: the folder of the database cannot be made\n";
        required(&place, "url = 'sqlite:/proc/nowhere/main.db'", 1, &[line, "hint: a path that"]);
    }
    place.write(
        "switchboard.toml",
        "[database.shop]\nurl = 'sqlite:new/main.db'\nrequired = true\n",
    );
    place.run(&["check", "--connect"]).fine();
    assert!(place.path().join("new/main.db").exists(), "a folder that is not there is made");
}

/// The URL with another path, which names a database.
fn other_path(url: &str, name: &str) -> String {
    let (address, asked) = url.split_once('?').unwrap_or((url, ""));
    let (server, _) = address.rsplit_once('/').unwrap();
    format!("{server}/{name}?{asked}").trim_end_matches('?').to_owned()
}
