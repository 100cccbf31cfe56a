//! Variables that are settings.

mod folder;

use folder::{brief, fine, mistakes, said, text};
use proptest::prelude::*;
use switchboard_config::{Loaded, Loader};
use switchboard_core::Settings;
use switchboard_core::settings::Value;

const FILE: &str = r#"
[cache.main]
url = "memory://"
max-entries = 10
limits = { bytes = 5 }

[cache.group]
members = ["main", "spare"]

[cache]
short = "memory://"
"#;

fn with<const N: usize>(variables: [(&str, &str); N]) -> Loaded {
    text(FILE).variables(variables).load()
}

#[test]
fn a_variable_sets_one_setting_and_says_where_it_came_from() {
    let loaded = fine(with([("SWITCHBOARD__CACHE__MAIN__URL", "redis://x")]));
    let node = loaded.settings.get("cache.main.url").unwrap();
    assert_eq!(node.value(), &Value::Untyped("redis://x".into()));
    assert_eq!(node.origin().to_string(), "variable SWITCHBOARD__CACHE__MAIN__URL");
    assert_eq!(node.key_origin(), node.origin());
    assert_eq!(said(&loaded, "cache.main.max-entries"), "10");
}

#[test]
fn keys_are_spelled_as_the_file_spells_them() {
    let loaded = fine(with([
        ("SWITCHBOARD__CACHE__MAIN__MAX_ENTRIES", "20"),
        ("switchboard__cache__Main__Limits__Bytes", "6"),
    ]));
    assert_eq!(said(&loaded, "cache.main.max-entries"), "20");
    assert_eq!(said(&loaded, "cache.main.max_entries"), "nothing");
    assert_eq!(said(&loaded, "cache.main.limits.bytes"), "6");
}

#[test]
fn keys_are_spelled_as_a_base_and_the_defaults_spell_them() {
    let defaults = Settings::new().with("My-Section", Settings::new().with("x", 1));
    let loaded = fine(
        text("[cache.base]\nMax-Entries = 1\n[cache.a]\nextends = 'base'\n")
            .defaults(defaults)
            .variables([
                ("SWITCHBOARD__CACHE__A__MAX_ENTRIES", "2"),
                ("SWITCHBOARD__MY_SECTION__Y", "3"),
            ])
            .load(),
    );
    assert_eq!(said(&loaded, "cache.a.Max-Entries"), "2");
    assert_eq!(said(&loaded, "cache.a.max_entries"), "nothing");
    assert_eq!(said(&loaded, "My-Section.y"), "3");
    assert_eq!(said(&loaded, "My-Section.x"), "nothing", "the section is mentioned");
}

#[test]
fn new_keys_are_lower_case_and_new_tables_are_made() {
    let loaded = fine(with([
        ("SWITCHBOARD__CACHE__NEW__POOL__MAX_SIZE", "1"),
        ("SWITCHBOARD__CACHE__NEW__URL", "redis://y"),
    ]));
    assert_eq!(said(&loaded, "cache.new.pool.max_size"), "1");
    assert_eq!(said(&loaded, "cache.new.url"), "redis://y");
    let table = loaded.settings.get("cache.new").unwrap().origin().to_string();
    assert!(table.starts_with("variable SWITCHBOARD__CACHE__NEW"), "{table}");
}

#[test]
fn a_name_that_could_mean_two_keys_is_a_mistake() {
    let loaded = text("[cache]\na-b = 'memory://'\na_b = 'memory://'\n")
        .variables([("SWITCHBOARD__CACHE__A_B", "redis://x")])
        .load();
    assert_eq!(
        mistakes(&loaded),
        ["variable SWITCHBOARD__CACHE__A_B: cache.a_b: could be `a-b` or `a_b`; \
          variables ignore case, and do not tell `-` from `_`"]
    );
}

#[test]
fn two_variables_that_set_the_same_are_a_mistake() {
    let loaded = with([
        ("SWITCHBOARD__CACHE__MAIN__URL", "redis://x"),
        ("SWITCHBOARD__CACHE__main__URL", "redis://y"),
    ]);
    assert_eq!(
        mistakes(&loaded),
        ["variable SWITCHBOARD__CACHE__main__URL: cache.main.url: \
          sets the same as variable SWITCHBOARD__CACHE__MAIN__URL"]
    );
}

#[test]
fn set_to_nothing_is_set() {
    let loaded = fine(with([("SWITCHBOARD__CACHE__MAIN__URL", "")]));
    assert_eq!(
        loaded.settings.get("cache.main.url").unwrap().value(),
        &Value::Untyped(String::new())
    );
}

#[test]
fn lists_and_tables_are_read_as_toml_writes_them() {
    let loaded = fine(with([
        ("SWITCHBOARD__CACHE__GROUP__MEMBERS", " [\"a\", \"b\", 3]"),
        ("SWITCHBOARD__CACHE__MAIN__LIMITS", "{ bytes = 7, deep = { on = true } }"),
    ]));
    assert_eq!(said(&loaded, "cache.group.members[1]"), "b");
    assert_eq!(said(&loaded, "cache.group.members[2]"), "3");
    assert_eq!(said(&loaded, "cache.main.limits.deep.on"), "true");
    let inner = loaded.settings.get("cache.main.limits.deep.on").unwrap();
    assert_eq!(inner.origin().to_string(), "variable SWITCHBOARD__CACHE__MAIN__LIMITS");
    assert_eq!(inner.key_origin(), inner.origin());
}

#[test]
fn what_only_begins_like_a_list_or_table_is_a_mistake_without_the_value() {
    for value in ["[canary", "{canary", "[1]\nother = 2", "{ a = 1 }\n[value.b]\nc = 1", "[::1]:80"]
    {
        let loaded = with([("SWITCHBOARD__CACHE__MAIN__URL", value)]);
        let told = mistakes(&loaded);
        assert_eq!(told.len(), 1, "{value}: {told:?}");
        let start = "variable SWITCHBOARD__CACHE__MAIN__URL: cache.main.url: begins like a list";
        assert!(told[0].starts_with(start) && !told[0].contains("canary"), "{told:?}");
        assert_eq!(said(&loaded, "cache.main.url"), "memory://");
    }
}

#[test]
fn an_item_of_a_list_has_its_position_as_its_name() {
    let loaded = fine(with([("SWITCHBOARD__CACHE__GROUP__MEMBERS__1", "third")]));
    assert_eq!(said(&loaded, "cache.group.members[1]"), "third");
    assert_eq!(said(&loaded, "cache.group.members[0]"), "main");
    for position in ["2", "FIRST", "-1"] {
        let name = format!("SWITCHBOARD__CACHE__GROUP__MEMBERS__{position}");
        let loaded = with([(&name, "x")]);
        let told = mistakes(&loaded);
        assert!(
            told[0].contains("`cache.group.members` is a list of 2, counted from 0"),
            "{told:?}"
        );
    }
}

#[test]
fn nothing_is_below_a_value() {
    let loaded = with([
        ("SWITCHBOARD__CACHE__MAIN__URL__X", "canary"),
        ("SWITCHBOARD__CACHE__MAIN__MAX_ENTRIES__X", "canary"),
    ]);
    assert_eq!(
        mistakes(&loaded),
        [
            "variable SWITCHBOARD__CACHE__MAIN__MAX_ENTRIES__X: cache.main.max_entries.x: \
             `cache.main.max-entries` is an integer, and nothing is below that",
            "variable SWITCHBOARD__CACHE__MAIN__URL__X: cache.main.url.x: \
             `cache.main.url` is a string, and nothing is below that",
        ]
    );
}

#[test]
fn an_address_and_more_are_a_table_with_the_address_as_its_url() {
    let loaded = fine(with([
        ("SWITCHBOARD__CACHE__MAIN", "redis://x"),
        ("SWITCHBOARD__CACHE__MAIN__POLICY", "fast"),
        ("SWITCHBOARD__CACHE__SHORT__POLICY", "fast"),
    ]));
    assert_eq!(said(&loaded, "cache.main.url"), "redis://x");
    assert_eq!(said(&loaded, "cache.main.policy"), "fast");
    assert_eq!(said(&loaded, "cache.main.max-entries"), "nothing", "the address says all of it");
    assert_eq!(said(&loaded, "cache.short.url"), "memory://");
    assert_eq!(said(&loaded, "cache.short.policy"), "fast");
}

#[test]
fn an_address_still_to_be_filled_in_is_one() {
    let loaded = text("[cache]\nmain = '${CACHE_URL}'\n")
        .variables([("CACHE_URL", "redis://x"), ("SWITCHBOARD__CACHE__MAIN__POLICY", "fast")])
        .load();
    assert_eq!(said(&fine(loaded), "cache.main.url"), "redis://x");
}

#[test]
fn a_variable_of_another_name_can_be_a_setting_and_one_with_the_prefix_counts_more() {
    let mapped = || text(FILE).map_variable("CACHE_URL", "cache.main.url");
    let loaded = fine(mapped().variables([("CACHE_URL", "redis://x")]).load());
    assert_eq!(said(&loaded, "cache.main.url"), "redis://x");
    let origin = loaded.settings.get("cache.main.url").unwrap().origin().to_string();
    assert_eq!(origin, "variable CACHE_URL");

    let both = [("CACHE_URL", "redis://x"), ("SWITCHBOARD__CACHE__MAIN__URL", "redis://y")];
    assert_eq!(said(&fine(mapped().variables(both).load()), "cache.main.url"), "redis://y");
    assert_eq!(said(&fine(mapped().load()), "cache.main.url"), "memory://");
}

#[test]
fn a_mapping_to_no_path_is_a_mistake_of_the_code_that_says_it() {
    let loaded = Loader::new().map_variable("A", "a..b").variables([("A", "x")]).load();
    let problem = loaded.problems.iter().next().unwrap();
    assert!(problem.origin.to_string().contains("environment.rs"), "{}", brief(problem));
}

#[test]
fn names_with_empty_parts_are_mistakes() {
    for name in ["SWITCHBOARD__", "SWITCHBOARD__CACHE__", "SWITCHBOARD____MAIN"] {
        let told = mistakes(&with([(name, "x")]));
        assert_eq!(told.len(), 1, "{name}");
        assert!(told[0].contains("has an empty part in its name"), "{told:?}");
    }
}

#[test]
fn what_does_not_start_with_the_prefix_is_no_setting() {
    let loaded = fine(with([
        ("SWITCHBOARD_HOME", "/x"),
        ("SWITCHBOARD", "x"),
        ("SWITCHBOARDS__CACHE__MAIN__URL", "x"),
        ("CACHE__MAIN__URL", "x"),
        ("ÄÖÜ", "x"),
        ("ÄÖÜÄÖÜÄÖÜÄÖÜ__X", "x"),
    ]));
    assert_eq!(said(&loaded, "cache.main.url"), "memory://");
}

#[test]
fn the_prefix_can_be_another() {
    let loaded = text(FILE)
        .prefix("MY_APP")
        .variables([("MY_APP__CACHE__MAIN__URL", "a"), ("SWITCHBOARD__CACHE__MAIN__URL", "b")])
        .load();
    assert_eq!(said(&fine(loaded), "cache.main.url"), "a");
}

#[test]
fn depth_number_and_length_have_limits() {
    let deep = format!("SWITCHBOARD{}", "__A".repeat(33));
    assert!(mistakes(&with([(&deep, "x")]))[0].contains("has more than 32 parts"));

    let long = "x".repeat(1024 * 1024 + 1);
    let told = mistakes(&with([("SWITCHBOARD__A__B", &long)]));
    assert!(told[0].ends_with("is longer than 1024 KiB"), "{told:?}");

    let many =
        (0..10_001).map(|number| (format!("SWITCHBOARD__A{}__K{number}", number % 100), "x"));
    let told = mistakes(&Loader::new().variables(many).load());
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("more than 10000 variables are settings"), "{told:?}");
}

#[test]
fn values_are_not_shown_by_debug() {
    let loader = text("secret = 'canary'").variables([("SWITCHBOARD__X__Y", "canary")]);
    assert!(!format!("{loader:?} {:?}", loader.load()).contains("canary"));
}

fn leaves(settings: &Settings, path: &str, out: &mut Vec<(String, String)>) {
    for (key, node) in settings.iter() {
        let own = format!("{path}.{key}");
        match node.as_table() {
            Some(table) => leaves(table, &own, out),
            None => out.push((own, format!("{:?} {:?}", node.as_str(), node.as_integer()))),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_variable_overrides_exactly_one_leaf(
        tree in prop::collection::btree_map(
            "[a-f]", prop::collection::btree_map("[a-f]", 0..9_i64, 1..4), 1..4),
        chosen in any::<prop::sample::Index>(),
    ) {
        let mut file = Settings::new();
        for (section, keys) in &tree {
            let table = keys.iter().fold(Settings::new(), |table, (key, value)| {
                table.with(key.as_str(), *value)
            });
            file = file.with(section.as_str(), table);
        }
        let mut before = Vec::new();
        leaves(&file, "", &mut before);
        let (path, _) = chosen.get(&before).clone();
        let name = format!("SWITCHBOARD{}", path.replace('.', "__").to_uppercase());
        let toml = tree.iter().fold(String::new(), |toml, (section, keys)| {
            keys.iter().fold(format!("{toml}[{section}]\n"), |toml, (key, value)| {
                format!("{toml}{key} = {value}\n")
            })
        });
        let loaded = text(&toml).variables([(name, "new")]).load();
        prop_assert!(loaded.problems.is_empty());
        let mut after = Vec::new();
        leaves(&loaded.settings, "", &mut after);
        prop_assert_eq!(before.len(), after.len());
        for (before, after) in before.iter().zip(&after) {
            prop_assert_eq!(&before.0, &after.0);
            if before.0 == path {
                prop_assert!(after.1.contains("new"));
            } else {
                prop_assert_eq!(&before.1, &after.1);
            }
        }
    }
}

#[test]
fn a_variable_that_misses_an_underscore_is_a_mistake_with_the_right_name() {
    let loaded = with([("SWITCHBOARD_CACHE__MAIN__URL", "redis://app:hunter2@db")]);
    let told = "is not read: two underscores stand between the prefix and the section; did you mean \
                SWITCHBOARD__CACHE__MAIN__URL?";
    assert_eq!(
        mistakes(&loaded),
        [format!("variable SWITCHBOARD_CACHE__MAIN__URL: cache.main.url: {told}")]
    );
    // Somebody else's, or mapped by hand.
    fine(with([
        ("SWITCHBOARD_HOME", "/x"),
        ("SWITCHBOARD_SHOP__X", "y"),
        ("SWITCHBOARD_CACHE", ""),
    ]));
    let mapped = text(FILE).map_variable("SWITCHBOARD_CACHE__URL", "cache.main.url");
    fine(mapped.variables([("SWITCHBOARD_CACHE__URL", "redis://x")]).load());
}
