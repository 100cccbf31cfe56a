//! Names and texts of files; no server is asked.

use std::fs;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use switchboard_core::{Clock, ErrorKind};

use super::super::files::{Migrations, Title};

fn refused(files: &[(&str, &str)]) -> switchboard_core::Error {
    Migrations::embedded(files).unwrap_err()
}

#[test]
fn line_ends_and_a_byte_order_mark_make_no_difference_to_the_checksum() {
    let unix = Migrations::embedded(&[("1_a.sql", "select 1;\nselect 2;\n")]).unwrap();
    let other = Migrations::embedded(&[("1_a.sql", "\u{feff}select 1;\r\nselect 2;\r\n")]).unwrap();
    let checksum = |all: &Migrations| all.get(1).unwrap().checksum.clone();
    assert_eq!(checksum(&unix), checksum(&other));
    assert_eq!(unix.get(1).unwrap().text, other.get(1).unwrap().text);
    let changed = Migrations::embedded(&[("1_a.sql", "select 1;\nselect 3;\n")]).unwrap();
    assert_ne!(checksum(&unix), checksum(&changed));
}

#[test]
fn the_checksum_is_the_one_that_other_tools_tell() {
    let all = Migrations::embedded(&[("1_a.sql", "select 1;\n")]).unwrap();
    // printf 'select 1;\n' | sha256sum
    let told = "4a45092ccf992ea92250053a80b931b787924ba61648f420555511b84f10ab6c";
    assert_eq!(all.get(1).unwrap().checksum, told);
}

#[test]
fn every_mistake_of_a_folder_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &[u8]| fs::write(folder.path().join(name), text).unwrap();
    write("0001_users.sql", b"select 1");
    write("1_others.sql", b"select 1");
    write("no_version.sql", b"select 1");
    write("0002.sql", b"select 1");
    write("0003_shout.SQL", b"select 1");
    write("0005_latin.sql", b"select '\xe9'");
    write("0006_typo.sql", b"\n-- switchboard: no-transactions\nselect 1");
    write("0007_undo.down.sql", b"select 1");
    write("README.md", b"none of this");
    write(".0001_users.sql.swp", b"none of this");
    let error = Migrations::load(folder.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let file = |error: &switchboard_core::Error| {
        let file = error.context_value("file").unwrap();
        file.rsplit('/').next().unwrap().to_owned()
    };
    let mut files: Vec<_> = error.related().iter().map(file).collect();
    files.sort();
    let wanted = [
        "0002.sql",
        "0003_shout.SQL",
        "0005_latin.sql",
        "0006_typo.sql:2",
        "0007_undo.down.sql",
        "1_others.sql",
        "no_version.sql",
    ];
    assert_eq!(files, wanted, "{error:?}");
    let twice = error.related().iter().find(|error| file(error) == "1_others.sql").unwrap();
    assert!(twice.context_value("other").unwrap().ends_with("0001_users.sql"), "both places");
}

#[test]
fn a_folder_that_is_not_there_is_not_taken_for_an_empty_one() {
    let error = Migrations::load("nowhere/at/all").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.context_value("folder"), Some("nowhere/at/all"));
}

#[test]
fn pairs_are_understood_and_only_go_up() {
    let all = Migrations::embedded(&[
        ("20261121093000_users.up.sql", "create table users (id bigint)"),
        ("20261121093000_users.down.sql", "drop table users"),
    ])
    .unwrap();
    assert_eq!(all.len(), 1);
    let users = all.get(20_261_121_093_000).unwrap();
    assert_eq!(
        (users.name.as_str(), users.file.as_str()),
        ("users", "20261121093000_users.up.sql")
    );

    let error = refused(&[("1_a.up.sql", "select 1"), ("1_b.down.sql", "select 1")]);
    assert_eq!(error.context_value("other"), Some("1_a.up.sql"));
}

#[test]
fn a_file_says_how_long_its_statements_may_take_and_wait() {
    let text =
        "-- switchboard: lock-timeout 1m30s\n-- switchboard: statement-timeout  0s\nselect 1";
    let migrations = Migrations::embedded(&[("1_a.sql", text), ("2_b.sql", "select 1")]).unwrap();
    let limits: Vec<_> =
        migrations.iter().map(|of| (of.lock_timeout, of.statement_timeout)).collect();
    let seconds = |count| Some(Duration::from_secs(count));
    assert_eq!(limits, [(seconds(90), seconds(0)), (None, None)]);
    for wrong in ["lock-timeout", "lock-timeout 5", "statement-timeout soon", "no-transaction 5s"] {
        let text = format!("-- why\n-- switchboard: {wrong}\nselect 1");
        let error = Migrations::embedded(&[("1_a.sql", &text)]).unwrap_err();
        assert_eq!(error.context_value("file"), Some("1_a.sql:2"), "{wrong}: {error:?}");
    }
}

#[test]
fn a_directive_counts_only_before_the_first_statement() {
    let all = Migrations::embedded(&[
        ("1_a.sql", "-- why\n\n--switchboard: no-transaction \nselect 1"),
        ("2_b.sql", "select 1;\n-- switchboard: no-transaction\nselect 2"),
    ])
    .unwrap();
    let is_transactional = |version| all.get(version).unwrap().is_transactional;
    assert_eq!((is_transactional(1), is_transactional(2)), (false, true));
}

#[test]
fn a_new_file_has_the_next_version_and_says_how_it_is_written() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::system());
    let migrations = folder.path().join("db/migrations");
    let create = |name: &str| Migrations::create(&migrations, name, &clock);
    let first = create("Create users!").unwrap();
    let bare = first.file_name().unwrap().to_str().unwrap();
    let (version, name) = bare.split_once('_').unwrap();
    assert!(version.len() == 14 && version.starts_with("20"), "{bare}");
    assert_eq!(name, "create_users.sql");
    let template = fs::read_to_string(&first).unwrap();
    assert!(template.starts_with("-- Migration: create users\n"), "{template}");
    let directive = template.lines().find_map(|line| line.strip_prefix("--   ")).unwrap();
    let with_it = format!("{directive}\n{template}");
    let written = [("1_a.sql", template.as_str()), ("2_b.sql", with_it.as_str())];
    let written = Migrations::embedded(&written).unwrap();
    let is_transactional = |version| written.get(version).unwrap().is_transactional;
    assert_eq!((is_transactional(1), is_transactional(2)), (true, false));

    // What is not written yet keeps nobody from making the next.
    let second = create("notes").unwrap();
    let version =
        |file: &Path| Title::parse(file.file_name().unwrap().to_str().unwrap()).unwrap().version;
    assert!(version(&second) > version(&first), "{second:?}");
    fs::remove_file(first).unwrap();
    fs::remove_file(second).unwrap();
    fs::write(migrations.join("0009_users.sql"), "select 1").unwrap();
    assert!(create("notes").unwrap().ends_with("0010_notes.sql"));
    assert_eq!(create(" ?").unwrap_err().kind(), ErrorKind::InvalidInput);
}

proptest! {
    #[test]
    fn a_name_that_is_written_is_read_again(
        version in 0_u64..1_000_000_000_000_000_000,
        name in "[a-z0-9_-]{1,40}",
        ending in prop::sample::select(vec![".sql", ".up.sql", ".down.sql"]),
    ) {
        let file = format!("{version}_{name}{ending}");
        let is_down = ending == ".down.sql";
        prop_assert_eq!(Title::parse(&file), Ok(Title { version, name: &name, is_down }));
    }

    #[test]
    fn no_name_of_a_file_makes_it_panic(file in any::<String>()) {
        drop(Title::parse(&file));
        drop(Title::parse(&format!("{file}.sql")));
    }
}
