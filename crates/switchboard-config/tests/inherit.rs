//! `extends` and `abstract`, as files say them.

mod folder;

use std::fmt::Write as _;

use folder::{fine, mistakes, said, text};
use switchboard_config::Loader;
use switchboard_core::Settings;
use switchboard_core::settings::Node;

#[test]
fn a_child_takes_over_what_it_does_not_say_itself() {
    let loaded = fine(text(FAMILY).load());
    assert_eq!(said(&loaded, "database.primary.url"), "postgres://primary");
    assert_eq!(said(&loaded, "database.primary.pool.max"), "50");
    assert_eq!(said(&loaded, "database.primary.pool.wait"), "5s");
    assert_eq!(said(&loaded, "database.primary.hosts[0]"), "c");
    assert_eq!(said(&loaded, "database.primary.hosts[1]"), "nothing");
}

const FAMILY: &str = r#"
[database.base]
abstract = true
pool = { max = 20, wait = "5s" }
hosts = ["a", "b"]

[database.primary]
extends = "base"
url = "postgres://primary"
hosts = ["c"]
pool = { max = 50 }
"#;

#[test]
fn a_base_that_is_abstract_is_gone_and_so_are_both_keys() {
    let loaded = fine(text(FAMILY).load());
    let database = loaded.settings.get("database").unwrap().as_table().unwrap();
    assert_eq!(database.keys().collect::<Vec<_>>(), ["primary"]);
    let primary = database.child("primary").unwrap().as_table().unwrap();
    assert!(primary.child("extends").is_none() && primary.child("abstract").is_none());
}

#[test]
fn a_child_of_an_abstract_base_is_not_abstract_and_saying_so_is_dropped() {
    let loaded =
        fine(text("[cache.a]\nabstract = false\nmax = 1\n[cache.b]\nextends = 'a'\n").load());
    assert_eq!(said(&loaded, "cache.a.max"), "1");
    assert_eq!(said(&loaded, "cache.a.abstract"), "nothing");
    assert_eq!(said(&loaded, "cache.b.max"), "1");
}

#[test]
fn what_is_inherited_keeps_its_place_and_the_table_is_where_the_child_was_opened() {
    let loaded = fine(text(FAMILY).load());
    let origin = |path: &str| loaded.settings.get(path).unwrap().origin().to_string();
    assert_eq!(origin("database.primary.pool.wait"), "switchboard.toml:4:27");
    assert_eq!(origin("database.primary.pool.max"), "switchboard.toml:11:16");
    assert!(origin("database.primary").starts_with("switchboard.toml:7:"));
}

#[test]
fn names_are_compared_as_names_of_instances_are() {
    let loaded = fine(text("[cache.Base]\nmax = 1\n[cache.b]\nextends = ' bASE '\n").load());
    assert_eq!(said(&loaded, "cache.b.max"), "1");
}

#[test]
fn an_address_can_be_extended() {
    let loaded = fine(
        text("[cache]\na = 'redis://one'\n[cache.b]\nextends = 'a'\npolicy = 'fast'\n").load(),
    );
    assert_eq!(said(&loaded, "cache.b.url"), "redis://one");
    assert_eq!(said(&loaded, "cache.b.policy"), "fast");
    assert_eq!(said(&loaded, "cache.a"), "redis://one");
}

#[test]
fn a_circle_is_told_once_as_a_path_and_what_leads_into_it_is_not() {
    let circle = "[cache.d]\nextends='b'\n[cache.a]\nextends='b'\n[cache.b]\nextends='c'\n[cache.c]\nextends='a'\n";
    assert_eq!(
        mistakes(&text(circle).load()),
        [
            "switchboard.toml:4:9: cache.a.extends: extends itself: cache.a → cache.b → cache.c → cache.a"
        ]
    );
    assert_eq!(
        mistakes(&text("[cache.a]\nextends = 'a'\n").load()),
        ["switchboard.toml:2:11: cache.a.extends: extends itself: cache.a → cache.a"]
    );
}

#[test]
fn two_circles_are_two_mistakes() {
    let circles =
        "[a.x]\nextends='y'\n[a.y]\nextends='x'\n[a.p]\nextends='q'\n[a.q]\nextends='p'\n";
    assert_eq!(text(circles).load().problems.len(), 2);
}

#[test]
fn an_unknown_base_is_told_with_the_nearest_name() {
    let unknown = "[cache]\ndefault = 'c'\n[cache.base]\nx = 1\n[cache.c]\nextends = 'bse'\n";
    assert_eq!(
        mistakes(&text(unknown).load()),
        [
            "switchboard.toml:6:11: cache.c.extends: there is no `bse` in `cache` to extend; did you mean `base`?"
        ]
    );
}

#[test]
fn an_unknown_base_is_no_mistake_while_a_file_is_missing_that_may_hold_it() {
    let loaded = text("[cache.c]\nextends = 'base'\n").file("/nonexistent/other.toml").load();
    assert_eq!(loaded.problems.len(), 1, "{:?}", loaded.problems);
    assert!(!loaded.is_complete());
}

#[test]
fn what_is_not_a_table_or_an_address_cannot_be_extended() {
    let wrong = "[cache]\ndefault = 'main'\nsize = 3\n[cache.a]\nextends = 'default'\n[cache.b]\nextends = 'size'\n";
    assert_eq!(
        mistakes(&text(wrong).load()),
        [
            "switchboard.toml:5:11: cache.a.extends: `cache.default` cannot be extended: it is a string",
            "switchboard.toml:7:11: cache.b.extends: `cache.size` cannot be extended: it is an integer",
        ]
    );
}

#[test]
fn a_wrong_type_is_a_mistake_at_its_place_each() {
    let wrong = "[cache.a]\nextends = ['b']\nabstract = 'yes'\n[cache.b]\nextends = ''\n";
    assert_eq!(
        mistakes(&text(wrong).load()),
        [
            "switchboard.toml:2:11: cache.a.extends: expected the name of a sibling, found a list",
            "switchboard.toml:3:12: cache.a.abstract: expected true or false, found a string; \
             write true or false",
            "switchboard.toml:5:11: cache.b.extends: must not be empty",
        ]
    );
}

#[test]
fn an_unused_base_needs_no_variables() {
    let unused = "[cache.base]\nabstract = true\nurl = '${MISSING}'\n[cache.a]\nextends = 'base'\nurl = 'memory://'\n";
    let loaded = fine(text(unused).load());
    assert_eq!(said(&loaded, "cache.a.url"), "memory://");
}

#[test]
fn a_mistake_in_a_base_is_one_however_many_inherit_it() {
    let loaded = text(
        "[cache.base]\nabstract = true\nurl = '${MISSING}'\n[cache.a]\nextends = 'base'\n[cache.b]\nextends = 'base'\n",
    )
    .load();
    assert_eq!(loaded.problems.len(), 1, "{:?}", loaded.problems);
}

#[test]
fn variables_and_code_take_part_in_inheriting() {
    let loaded = fine(
        text(FAMILY)
            .variables([
                ("SWITCHBOARD__DATABASE__BASE__POOL__WAIT", "7s"),
                ("SWITCHBOARD__DATABASE__SPARE__EXTENDS", "primary"),
                ("SWITCHBOARD__DATABASE__PRIMARY__ABSTRACT", "true"),
            ])
            .code(Settings::new().with(
                "database",
                Settings::new().with("other", Settings::new().with("extends", "base")),
            ))
            .load(),
    );
    assert_eq!(said(&loaded, "database.spare.url"), "postgres://primary");
    assert_eq!(said(&loaded, "database.spare.pool.wait"), "7s");
    assert_eq!(said(&loaded, "database.primary"), "nothing");
    assert_eq!(said(&loaded, "database.other.pool.max"), "20");
}

#[test]
fn deeper_tables_inherit_where_that_is_said_and_only_there() {
    let deep = "[backend.providers.a]\nkey = 1\n[backend.providers.b]\nextends = 'a'\n";
    let loaded = fine(text(deep).inherit_in("backend.providers").load());
    assert_eq!(said(&loaded, "backend.providers.b.key"), "1");
    let loaded = fine(text(deep).load());
    assert_eq!(said(&loaded, "backend.providers.b.extends"), "a");
}

#[test]
fn policies_inherit_like_instances() {
    let loaded = fine(text("[policy.a]\ndeadline = '1s'\n[policy.b]\nextends = 'a'\n").load());
    assert_eq!(said(&loaded, "policy.b.deadline"), "1s");
}

#[test]
fn a_chain_of_a_thousand_is_followed() {
    let mut chain = "[cache.m0]\nfirst = 1\n".to_owned();
    for member in 1..1_000 {
        let _ = write!(chain, "[cache.m{member}]\nextends = 'm{}'\n", member - 1);
    }
    let loaded = fine(text(&chain).load());
    assert_eq!(said(&loaded, "cache.m999.first"), "1");
}

#[test]
fn a_few_lines_that_make_any_number_of_settings_are_refused_in_bounded_memory() {
    let mut chain = "[cache.m0]\nk0 = 1\n".to_owned();
    for member in 1..2_000 {
        let _ = write!(chain, "[cache.m{member}]\nextends = 'm{}'\nk{member} = 1\n", member - 1);
    }
    let loaded = text(&chain).load();
    assert_eq!(loaded.problems.len(), 1, "{:#}", loaded.problems);
    assert!(mistakes(&loaded)[0].contains("inheriting makes more than 400000 settings"));
}

#[test]
fn a_few_lines_that_make_any_amount_of_text_are_refused_once() {
    let mut tree = format!("[cache.base]\nabstract = true\ntext = '{}'\n", "x".repeat(3_000_000));
    for member in 0..2_000 {
        let _ = write!(tree, "[cache.m{member}]\nextends = 'base'\n");
    }
    let loaded = text(&tree).load();
    let told = mistakes(&loaded);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("cache.m5.extends: inheriting makes more than 16 MiB of text"),
        "{told:?}"
    );
}

#[test]
fn a_base_that_nobody_extends_is_kept_apart_for_a_check() {
    let bases = "[cache.root]\nabstract = true\na = 1\n[cache.used]\nabstract = true\n\
                 [cache.unused]\nabstract = true\nextends = 'root'\nb = '${NOT_HERE}'\n\
                 [cache.main]\nextends = 'used'\n";
    let loaded = fine(text(bases).load());
    assert_eq!(loaded.bases.get("cache.unused.a").and_then(Node::as_integer), Some(1));
    let cache = loaded.bases.child("cache").and_then(Node::as_table).unwrap();
    assert_eq!(cache.keys().collect::<Vec<_>>(), ["unused"]);
}

#[test]
fn a_long_circle_is_cut_in_the_message() {
    let mut circle = String::new();
    for member in 0..100 {
        let _ = write!(circle, "[cache.m{member}]\nextends = 'm{}'\n", (member + 1) % 100);
    }
    let loaded = text(&circle).load();
    let told = mistakes(&loaded);
    assert_eq!(told.len(), 1);
    assert!(told[0].ends_with("cache.m15 → … → cache.m0"), "{told:?}");
}

#[test]
fn a_table_without_either_key_is_left_as_it_is() {
    let plain = "[cache.a]\nmax = 1\n[health]\nevery = '1s'\n";
    assert_eq!(fine(text(plain).load()).settings.len(), 2);
    assert!(fine(Loader::new().load()).settings.is_empty());
}
