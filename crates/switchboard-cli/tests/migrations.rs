//! `db migrate`, `status`, `new`, `lint`, `baseline` and `repair`, with the embedded database.

#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

mod common;

use std::process::Stdio;

use common::{Lines, Place};
use serde_json::json;

/// A database that nobody reaches.
const FAR: &str = "[database]\ndefault = 'far'\n[database.far]\n\
                   url = 'postgres://postgres@127.0.0.1:1/x'\nmigrations.path = 'steps'\n";

fn place() -> Place {
    let place = Place::new();
    std::fs::create_dir(place.path().join("migrations")).unwrap();
    place.write("migrations/0001_create_users.sql", "create table users (id integer primary key);");
    place.write("migrations/0002_add_names.sql", "alter table users add column name text;\n");
    place
}

#[test]
fn migrations_are_applied_once_and_their_status_has_the_form_that_scripts_rely_on() {
    let place = place();
    let status = place.run(&["db", "status", "--format", "json"]).json();
    assert_eq!((&status[0]["state"], &status[0]["applied_at"]), (&json!("pending"), &json!(null)));

    let migrated = place.run(&["db", "migrate"]).fine();
    let lines: Vec<_> = migrated.lines().collect();
    assert!(lines[0].starts_with("1  create_users  applied in "), "{migrated}");
    assert!(lines[1].starts_with("2  add_names     applied in "), "{migrated}");
    assert_eq!(place.run(&["db", "migrate", "database.main"]).fine(), "nothing to apply\n");
    let again = place.run(&["db", "migrate", "main", "--format", "json"]).json();
    assert_eq!(again, json!({ "applied": [] }));

    let status = place.run(&["db", "status", "--format", "json"]).json();
    assert_eq!((&status[1]["version"], &status[1]["name"]), (&json!(2), &json!("add_names")));
    assert_eq!(status[1]["state"], "applied");
    assert!(status[1]["applied_at"].as_str().unwrap().ends_with('Z'), "{status}");
    assert_eq!(status[1]["checksum"].as_str().unwrap().len(), 64);
    assert_eq!(status[1].as_object().unwrap().len(), 5);
    let told = place.run(&["db", "status"]).fine();
    assert!(told.starts_with("VERSION  NAME") && told.contains("applied"), "{told}");
}

#[test]
fn a_dry_run_writes_a_script_and_applies_nothing() {
    let place = place();
    let script = place.run(&["db", "migrate", "--dry-run", "--to", "1"]).fine();
    let file = "migrations/0001_create_users.sql";
    let wanted =
        format!("-- {file}, in one transaction\ncreate table users (id integer primary key);\n");
    assert_eq!(script, wanted);
    let planned = place.run(&["db", "migrate", "--dry-run", "--format", "json"]).json();
    assert_eq!(planned["planned"][1]["statements"][0]["line"], 1);
    let status = place.run(&["db", "status", "--format", "json"]).json();
    assert_eq!(status[0]["state"], "pending");
}

#[test]
fn an_edited_migration_is_told_with_its_file() {
    let place = place();
    place.run(&["db", "migrate"]).fine();
    place.write("migrations/0002_add_names.sql", "alter table users add column names text;\n");
    let told = place.run(&["db", "migrate"]).failed(1);
    assert!(told.contains("changed after it was applied"), "{told}");
    assert!(told.contains("migrations/0002_add_names.sql"), "{told}");
    let status = place.run(&["db", "status", "--format", "json"]).json();
    assert_eq!(status[1]["state"], "edited");
}

#[test]
fn a_new_migration_has_the_next_version_and_is_refused_until_it_is_written() {
    let place = place();
    let new = "migrations/0003_add_mail.sql";
    assert_eq!(place.run(&["db", "new", "add mail"]).fine(), format!("{new}\n"));
    let next = place.run(&["db", "new", "add phone"]).fine();
    assert_eq!(next, "migrations/0004_add_phone.sql\n", "the one before may wait to be written");

    let status = place.run(&["db", "status", "--format", "json"]).json();
    let listed = status.as_array().unwrap().iter().map(|of| of["state"].clone());
    assert_eq!(listed.collect::<Vec<_>>(), ["pending", "pending", "empty", "empty"]);
    let template = std::fs::read_to_string(place.path().join(new)).unwrap();
    let told = place.run(&["db", "migrate"]).failed(2);
    let line = template.lines().count();
    for file in [format!("{new}:{line}\n"), format!("migrations/0004_add_phone.sql:{line}\n")] {
        assert!(told.contains(&file) && told.contains("hint: write there"), "{told}");
    }
    let migrated = place.run(&["db", "migrate", "--to", "2", "--format", "json"]).json();
    assert_eq!(migrated["applied"].as_array().unwrap().len(), 2);

    place.write(new, format!("{template}alter table users add column mail text;\n"));
    let directive = "-- switchboard: no-transaction\n";
    let phone = format!("{directive}{template}alter table users add column phone text;\n");
    place.write("migrations/0004_add_phone.sql", phone);
    let planned = place.run(&["db", "migrate", "--dry-run", "--format", "json"]).json();
    let planned = planned["planned"].as_array().unwrap();
    assert_eq!(
        (&planned[0]["transaction"], &planned[1]["transaction"]),
        (&json!(true), &json!(false))
    );
    let migrated = place.run(&["db", "migrate", "--format", "json"]).json();
    assert_eq!(migrated["applied"].as_array().unwrap().len(), 2);
}

#[test]
fn a_migration_that_stopped_in_the_middle_is_repaired() {
    let place = place();
    let file = "migrations/0003_stops.sql";
    let text = "-- switchboard: no-transaction\ncreate table half (id integer);\n";
    place.write(file, format!("{text}insert into nowhere values (1);"));
    let told = place.run(&["db", "migrate"]).failed(2);
    assert!(told.contains("migrations/0003_stops.sql:3"), "{told}");
    let told = place.run(&["db", "migrate"]).failed(1);
    assert!(told.contains("insert into nowhere") && told.contains("db repair 3 --done"), "{told}");
    place.run(&["db", "repair", "3"]).failed(2);
    place.run(&["db", "repair", "3", "--done"]).fine();
    place.run(&["db", "repair", "3", "--again"]).failed(3);
    assert_eq!(place.run(&["db", "migrate"]).fine(), "nothing to apply\n");
}

#[test]
fn a_baseline_takes_for_applied_what_is_there() {
    let place = place();
    let taken = place.run(&["db", "baseline", "1"]).fine();
    assert_eq!(taken, "1  create_users  taken for applied\n");
    let told = place.run(&["db", "migrate"]).failed(2);
    assert!(told.contains("0002_add_names.sql:1"), "there is no such table: {told}");
    place.run(&["db", "baseline", "7"]).failed(3);
}

#[test]
fn a_folder_that_is_configured_is_used_and_one_that_is_missing_is_named() {
    let place = place();
    let settings = "[database]\ndefault = 'main'\n[database.main]\nurl = 'sqlite:main.db'\nmigrations = { path = 'steps' }\n";
    place.write("switchboard.toml", settings);
    let told = place.run(&["db", "status"]).failed(3);
    assert!(told.contains("steps") && told.contains("migrations.path"), "{told}");
    let file = place.run(&["db", "new", "users", "main", "--format", "json"]).json();
    let file = file["file"].as_str().unwrap();
    assert!(file.starts_with("steps/20") && file.ends_with("_users.sql"), "{file}");
}

#[test]
fn a_file_is_made_and_linted_where_no_database_can_be_reached() {
    let place = Place::new();
    place.write("switchboard.toml", FAR);
    let made = place.run(&["db", "new", "add mail"]);
    assert_eq!(made.errors, "", "nobody was asked");
    let file = made.fine().trim_end().to_owned();
    assert!(file.starts_with("steps/20") && file.ends_with("_add_mail.sql"), "{file}");
    assert_eq!(place.run(&["db", "lint", "far"]).fine(), "nothing found\n");
    place.run(&["db", "new", "add mail", "near"]).failed(3);
    place.run(&["db", "lint", "near"]).failed(3);
}

#[test]
fn what_is_known_to_go_wrong_is_told_with_its_place_and_what_to_do() {
    let place = Place::new();
    std::fs::create_dir(place.path().join("steps")).unwrap();
    place.write("switchboard.toml", FAR);
    place.write(
        "steps/0001_users.sql",
        "create table users (id int);\ncreate index a on users (id);",
    );
    let limit = "-- switchboard: lock-timeout 5s\n";
    place.write("steps/0002_fax.sql", format!("{limit}\nalter table users\n  drop column fax;"));
    let told = place.run(&["db", "lint"]);
    assert_eq!(
        told.output,
        "steps/0002_fax.sql:4:3: warning drop-column: programs of the release before fail if they \
         still name it, and its data is gone\n    alter table users drop column fax\n    instead: \
         drop it one release after the last program that names it\n"
    );
    assert_eq!((told.errors.as_str(), told.code), ("0 errors, 1 warning\n", Some(0)));
    assert_eq!(place.run(&["db", "lint", "--strict"]).code, Some(1), "warnings count then");
    assert_eq!(place.run(&["db", "lint", "--strict", "--since", "2"]).fine(), "nothing found\n");

    place.write("steps/0003_index.sql", format!("{limit}create index b on users (id);"));
    let told = place.run(&["db", "lint", "far", "--format", "json", "--since", "2"]);
    assert_eq!((told.code, told.errors.as_str()), (Some(1), ""));
    let found = &told.json()[0];
    assert_eq!(
        (&found["rule"], &found["severity"]),
        (&json!("index-blocks-writes"), &json!("error"))
    );
    assert_eq!(
        (&found["line"], &found["column"], &found["version"]),
        (&json!(2), &json!(1), &json!(3))
    );
    assert_eq!(found["file"], "steps/0003_index.sql");
    assert!(found["instead"].as_str().unwrap().contains("concurrently"), "{found}");
    place.run(&["db", "lint", "--format", "csv"]).failed(2);
}

#[test]
fn what_is_configured_for_locks_counts_also_where_nobody_is_asked() {
    let place = Place::new();
    std::fs::create_dir(place.path().join("steps")).unwrap();
    place.write("steps/0001_mail.sql", "alter table users add column mail text;");
    let lint = |more: &str| {
        place.write("switchboard.toml", format!("{FAR}{more}"));
        place.run(&["db", "lint"]).fine()
    };
    assert!(lint("").contains("lock-timeout-missing"));
    assert!(lint("migrations.lock_timeout = '0s'").contains("lock-timeout-missing"));
    for said in ["migrations.lock_timeout = '5s'", "session.lock_timeout = '5s'"] {
        assert_eq!(lint(said), "nothing found\n", "{said}");
    }
}

#[test]
fn a_dry_run_says_beside_its_script_what_is_known_to_go_wrong() {
    let place = place();
    place.write("migrations/0003_fax.sql", "drop table faxes;");
    let dry = ["db", "migrate", "--dry-run"];
    let ran = place.run(&dry);
    assert!(ran.errors.contains("migrations/0003_fax.sql:1:1: warning drop-table: "), "{ran:?}");
    assert!(ran.fine().ends_with("drop table faxes;\n"), "what is written stays a script");
    let ran = place.run(&[&dry[..], &["--format", "json"]].concat()).json();
    assert_eq!(
        (&ran["findings"][0]["rule"], &ran["findings"][1]),
        (&json!("drop-table"), &json!(null))
    );
}

/// The one who has the lock has gone, and nobody can know that but by waiting.
#[test]
fn who_is_waited_for_is_told_and_until_when() {
    let place = place();
    place.run(&["db", "migrate"]).fine();
    let set = |what: &str| {
        let sql = format!("update switchboard_migrations_lock set {what}");
        place.run(&["db", "query", "main", &sql]).fine();
    };
    set("token = 'theirs', holder = 'process 7 since noon', expires_at = 9000000000000");
    let mut command = place.command(&["db", "repair", "2", "--again"]);
    let mut repair = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let errors = Lines::of(repair.stderr.take().unwrap());
    let told = errors.next("another starter applies migrations");
    for part in ["holder: process 7 since noon", "waiting_at_most: ", "theirs_for_ms: ", "main"] {
        assert!(told.contains(part), "{told}");
    }
    set("expires_at = 1");
    errors.next("no migration of that version stopped in the middle");
    assert_eq!(repair.wait().unwrap().code(), Some(3));
}

#[test]
fn where_the_command_asked_from_is_not_told() {
    let place = place();
    place.write("migrations/0003_wrong.sql", "create table;");
    for arguments in [
        &["db", "query", "main", "select * form users"][..],
        &["db", "query", "main", "select * form users", "--format", "json"],
        &["db", "migrate"],
    ] {
        let told = place.run(arguments).failed(2);
        assert!(!told.contains(".rs:"), "{told}");
    }
}
