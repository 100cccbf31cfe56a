//! What a board says of a configuration that it cannot use: all of it at once, each mistake once and at its
//! place, and no secret.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use switchboard::{Builder, Format, Mistakes, Switchboard};

type Anything = BTreeMap<String, u8>;

fn toml(text: impl Into<String>) -> Builder {
    Switchboard::builder().text("shop.toml", Format::Toml, text.into())
}

/// The mistakes, one line each.
fn told(builder: &Builder) -> Vec<String> {
    let of = |mistakes: &Mistakes| mistakes.problems().iter().map(ToString::to_string).collect();
    mistakes_of(builder, of)
}

/// The report as a person sees it.
fn shown(builder: &Builder) -> String {
    mistakes_of(builder, |mistakes| mistakes.report().to_string())
}

fn mistakes_of<T: Default>(builder: &Builder, read: impl Fn(&Mistakes) -> T) -> T {
    let Err(error) = builder.check() else { return T::default() };
    read(error.find::<Mistakes>().unwrap_or_else(|| panic!("{error}")))
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    assert_eq!(told(&toml(text)), expected, "{text}");
}

#[test]
fn an_address_from_a_variable_that_is_not_set_is_one_mistake() {
    let hint = "set it, or say what to use without it:";
    let address = toml("[cache.main]\nurl = '${CACHE_URL}'\n").variables([("HOME", "/")]);
    assert_eq!(
        told(&address),
        [format!(
            "shop.toml:2:7: cache.main.url: the variable `CACHE_URL` is not set; {hint} \
             ${{CACHE_URL:-default}}"
        )]
    );
    for text in [
        "cache.main = '${CACHE_URL}'\n",
        "[cache.main]\ndriver = '${DRIVER}'\n",
        "[cache.main]\nurl = 'memory://?max_entries=${N}'\n",
        "[cache]\ndefault = '${NAME}'\nmain = 'memory://'\n",
        "[cache.base]\nabstract = true\nurl = '${URL}'\n[cache.a]\nextends = 'base'\n\
         [cache.b]\nextends = 'base'\n",
        "[cache.g]\nmembers = ['${A}', 'main']\n[cache]\nmain = 'memory://'\n",
    ] {
        let told = told(&toml(text));
        assert_eq!(told.len(), 1, "{text}: {told:#?}");
        assert!(told[0].contains("is not set"), "{told:?}");
    }
}

#[test]
fn an_address_that_is_not_whole_still_says_which_driver_is_meant() {
    let told = told(&toml("[cache.main]\nurl = 'memory://?max_entries=${N}'\nmax_entires = 5\n"));
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(told[1].contains("unknown setting; did you mean `max_entries`?"), "{told:#?}");
}

#[test]
fn a_mistake_has_no_consequences_however_its_setting_is_spelled() {
    let told = told(&toml(
        "[cache.Main]\ndriver = 'memory'\nmax_entries = '${N}'\n[cache.Kid]\nextends = 'nope'\n\
         [policy.'a.b']\ndeadline = '${D}'\n[feature.\"my feature\"]\nneeds = ['${NEEDED}']\n\
         [cache.'${KEY}']\ndriver = 'memory'\n",
    ));
    assert_eq!(told.len(), 5, "{told:#?}");
}

#[test]
fn one_broken_entry_hides_no_other_mistake_and_makes_none_up() {
    check(
        "[cache]\ndefault = 'old'\nold = 5\n[cache.main]\ndriver = 'memory'\nmax_entires = 5\n\
         [cache.MAIN]\n[cache.both]\nmembers = ['main', 'old']\n\
         [feature.f]\nneeds = ['cache.main', 'cache.old']\n",
        &[
            "shop.toml:3:7: cache.old: expected a table or an address, found an integer",
            "shop.toml:6:1: cache.main.max_entires: unknown setting; did you mean `max_entries`?",
            "shop.toml:7:8: cache.MAIN: `main` is declared twice; the first is at shop.toml:4:8",
        ],
    );
    let yaml = "cache:\n  sessions:\nfeature:\n  f:\n    needs: [cache.sessions]\n";
    let told = told(&Switchboard::builder().text("shop.yaml", Format::Yaml, yaml));
    assert_eq!(told.len(), 1, "{told:#?}");
}

#[test]
fn a_section_that_is_none_is_one_mistake() {
    check(
        "cache = 5\n[feature.f]\nneeds = ['cache.main']\n",
        &["shop.toml:1:9: cache: expected a table, found an integer"],
    );
}

#[test]
fn nothing_is_called_missing_that_a_broken_file_may_say() {
    for broken in ["[cache.main]\ndriver = 'memory\n", "[policy.fast]\ndeadline = \n"] {
        let second = "[cache]\ndefault = 'other'\n[cache.main]\nmax_entries = 5\npolicy = 'fast'\n\
                      [cache.g]\nmembers = ['main', 'spare']\n[feature.f]\nneeds = ['cache.other']\n";
        let builder = toml(broken).text("more.toml", Format::Toml, second);
        let told = told(&builder);
        assert_eq!(told.len(), 1, "{told:#?}");
    }
    let missing = Switchboard::builder().file("/nowhere/shop.toml").text(
        "more.toml",
        Format::Toml,
        "[cache.main]\nmax_entries = 5\n",
    );
    assert_eq!(told(&missing).len(), 1);
}

#[test]
fn no_report_holds_an_address_that_stands_where_a_name_belongs() {
    let address = "'redis://app:hunter2@db'";
    for text in [
        format!("[cache]\ndefault = {address}\nmain = 'memory://'\n"),
        format!("[cache.g]\nmembers = [{address}]\n"),
        format!("[cache.g]\ndriver = {address}\n"),
        format!("[cache.g]\ndriver = 'memory'\npolicy = {address}\n"),
        format!("[cache.g]\ndriver = 'memory'\nrequire = [{address}]\n"),
        format!("[cache.g]\nextends = {address}\n"),
        format!("[cache.g]\nmembers = ['a']\nselect = {address}\n"),
        format!("[feature.g]\nneeds = [{address}]\nwants = [{address}]\n"),
        format!("[policy.p]\nretry = {{ jitter = {address} }}\n"),
        format!("[policy.p]\nbreaker = {{ counts = {address} }}\n"),
        format!("[policy.p]\nhedge = {{ after = {address} }}\n"),
        format!("[policy.p]\nrate_limit = {{ rate = {address} }}\n"),
    ] {
        let builder = toml(text.as_str());
        let (told, shown) = (told(&builder), shown(&builder));
        assert!(!told.is_empty(), "{text}");
        let error = builder.check().unwrap_err();
        let all = format!("{told:?} {shown} {error} {error:?}");
        assert!(!all.contains("hunter2"), "{text}: {all}");
    }
    let variables = [
        ("SWITCHBOARD__CACHE__DEFAULT", "redis://app:hunter2@db"),
        ("SWITCHBOARD__CACHE__MAIN__POLICY", "redis://app:hunter2@db"),
        ("SWITCHBOARD__CACHE__MAIN__EXTENDS", "redis://app:hunter2@db"),
    ];
    let builder = toml("[cache.main]\ndriver = 'memory'\n").variables(variables);
    let (told, shown) = (told(&builder), shown(&builder));
    assert!(told.len() >= 2, "{told:#?}");
    assert!(!format!("{told:?} {shown}").contains("hunter2"), "{told:#?}");
}

#[test]
fn a_negative_number_is_one_mistake_with_the_narrowest_limit() {
    check(
        "[cache.main]\ndriver = 'memory'\nmax_entries = -5\n",
        &["shop.toml:3:15: cache.main.max_entries: must be at least 1, is -5"],
    );
}

#[test]
fn one_mistake_of_a_table_keeps_no_other_from_being_told() {
    let told = told(&toml(
        "[cache.main]\ndriver = 'memory'\neager = 1\nrequire = ['tagz']\n\
         policy = { breaker = { failure_rate = 7, x = 1 } }\n\
         [policy.b]\nbreaker = { failure_rate = 5, x = 1 }\n\
         [feature.f]\nneed = []\nwants = ['cache.mian']\n",
    ));
    for part in [
        "cache.main.eager",
        "cache.main.require[0]",
        "cache.main.policy.breaker.failure_rate",
        "cache.main.policy.breaker.x",
        "policy.b.breaker.failure_rate",
        "policy.b.breaker.x",
        "feature.f.need:",
        "feature.f.wants[0]",
    ] {
        let count = told.iter().filter(|one| one.contains(&format!(": {part}"))).count();
        assert_eq!(count, 1, "{part}: {told:#?}");
    }
    assert_eq!(told.len(), 8, "{told:#?}");
}

#[test]
fn a_watch_that_cannot_be_is_a_mistake_at_its_setting() {
    check(
        "[health]\nevery = '0s'\nlimit = '0ms'\n",
        &[
            "shop.toml:2:9: health.every: must be at least 10ms",
            "shop.toml:3:9: health.limit: must be some time, or nobody can answer",
        ],
    );
    let told = told(&toml("[health]\nevery = '0s'\nlimt = '1s'\n"));
    assert_eq!(told.len(), 2, "one does not hide the other: {told:#?}");
}

#[test]
fn names_of_policies_and_features_are_compared_like_those_of_instances() {
    check("[policy.' Fast ']\n[cache.main]\ndriver = 'memory'\npolicy = 'FAST'\n", &[]);
    check(
        "[policy.fast]\n[policy.FAST]\n[feature.a]\n[feature.A]\n",
        &[
            "shop.toml:2:9: policy.FAST: declared twice; the first is at shop.toml:1:9",
            "shop.toml:4:10: feature.A: declared twice; the first is at shop.toml:3:10",
        ],
    );
}

#[test]
fn what_is_no_address_is_told_where_it_stands() {
    let said = "an address has the form driver://…";
    let meant = "write driver = \"memory\", or the address memory://…";
    check(
        "[cache]\nmain = 'memory'\n",
        &[&format!("shop.toml:2:8: cache.main.url: {said}; {meant}")],
    );
    check(
        "[cache.main]\nurl = 'memory:'\n",
        &[&format!("shop.toml:2:7: cache.main.url: {said}; {meant}")],
    );
    let told = told(&toml("[cache.main]\nurl = ''\n"));
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with(&format!("shop.toml:2:7: cache.main.url: {said}; the drivers")));
}

#[test]
fn a_word_for_a_truth_value_is_shown_with_advice() {
    let yaml = "cache:\n  main:\n    driver: memory\n    eager: yes\n";
    let builder = Switchboard::builder().text("shop.yaml", Format::Yaml, yaml);
    assert!(told(&builder)[0].ends_with("found a string; write true or false"));
    assert!(shown(&builder).contains("eager: yes"), "{}", shown(&builder));
}

#[test]
fn a_mistake_of_code_is_told_at_the_line_that_makes_it() {
    let profile = Switchboard::builder().optional_file("/nowhere/shop.toml").profile("prdo");
    assert!(told(&profile)[0].contains("mistakes.rs"), "{:?}", told(&profile));
    assert!(shown(&profile).ends_with("1 mistake in 1 file\n"), "{}", shown(&profile));
    let mapped = Switchboard::builder().map_variable("X", "cache..url").variables([("X", "y")]);
    assert!(told(&mapped)[0].contains("mistakes.rs"), "{:?}", told(&mapped));
}

#[test]
fn a_section_is_given_to_one_reader_only() {
    let builder = || toml("[cache.main]\ndriver = 'memory'\n");
    for taken in [
        builder().section::<Anything>("cache"),
        builder().section::<Anything>("health"),
        builder().section::<Anything>("shop").section::<Anything>("shop"),
    ] {
        let error = taken.check().unwrap_err().to_string();
        assert!(error.contains("read by somebody already"), "{error}");
        assert!(error.contains("mistakes.rs"), "{error}");
        assert!(!error.contains("shop.toml"), "{error}");
    }
    let error = builder().section::<Anything>("no name").check().unwrap_err().to_string();
    assert!(error.contains("mistakes.rs") && error.contains("letters, digits"), "{error}");
}

#[test]
fn a_base_that_nobody_extends_is_checked_for_what_it_says() {
    check(
        "[cache.base]\nabstract = true\ndriver = 'memory'\nmax_entires = 5\neager = 7\npolicy = 'fats'\n\
         [policy.fast]\n[cache.main]\ndriver = 'memory'\n",
        &[
            "shop.toml:4:1: cache.base.max_entires: unknown setting; did you mean `max_entries`?",
            "shop.toml:5:9: cache.base.eager: expected true or false, found an integer",
            "shop.toml:6:10: cache.base.policy: there is no policy called \"fats\"; did you mean \"fast\"?",
        ],
    );
    check(
        "[policy.base]\nabstract = true\ndeadline = '0s'\n",
        &["shop.toml:3:12: policy.base.deadline: a limit of no time lets no call through"],
    );
    check("[cache.base]\nabstract = true\neager = true\nurl = '${NOT_HERE}'\n", &[]);
    check("[cache.base]\nabstract = true\nmax_entries = '${NOT_HERE}'\n", &[]);
    let extended = "[cache.base]\nabstract = true\ndriver = 'memory'\nmax_entires = 5\n\
                    [cache.main]\nextends = 'base'\n[cache.more]\nextends = 'base'\n";
    assert_eq!(told(&toml(extended)).len(), 1, "told of one of those that extend it");
}

#[test]
fn many_unknown_names_are_told_in_little_room() {
    let mut text = String::new();
    for number in 0..500 {
        let unknown = format!("zzzzzzzzzzzz{number}");
        writeln!(text, "[cache.c{number}]\ndriver = 'memory'\npolicy = '{unknown}'").unwrap();
        writeln!(text, "[cache.g{number}]\nmembers = ['{unknown}']").unwrap();
        writeln!(text, "[feature.f{number}]\nneeds = ['cache.{unknown}']").unwrap();
    }
    let error = toml(text).check().unwrap_err();
    let mistakes = error.find::<Mistakes>().unwrap();
    assert_eq!(mistakes.problems().len(), 1500);
    let hints = mistakes.problems().iter().filter_map(|problem| problem.hint.as_ref());
    assert!(hints.clone().all(|hint| hint.len() < 400));
    assert!(mistakes.report().json().len() < 500_000);
}

#[test]
fn a_large_base_is_not_copied_without_end() {
    let mut text = "[cache.base]\nabstract = true\ndriver = 'memory'\nx = '".to_owned();
    text.push_str(&"y".repeat(1_000_000));
    text.push_str("'\n");
    for number in 0..100 {
        writeln!(text, "[cache.c{number}]\nextends = 'base'").unwrap();
    }
    let told = told(&toml(text));
    let full = told.iter().filter(|one| one.contains("inheriting makes more than 16 MiB of text"));
    assert_eq!(full.count(), 1, "{told:#?}");
}

#[test]
fn the_driver_that_keeps_nothing_needs_quotes_where_null_means_nothing() {
    let builder = Switchboard::builder().text("t.yaml", Format::Yaml, "cache: {t: {driver: null}}");
    assert_eq!(
        told(&builder),
        ["t.yaml:1:21: cache.t.driver: expected the name of a driver, found nothing; \
          write `\"null\"` for the driver of that name"]
    );
}

#[test]
fn a_value_that_a_variable_says_wrong_names_the_variable_and_not_what_it_says() {
    let text = "[cache.main]\ndriver = 'memory'\nmax_entries = '${PAGES}'\n";
    let told = told(&toml(text).variables([("PAGES", "canary")]));
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("shop.toml:3:15: cache.main.max_entries: expected"), "{told:?}");
    assert!(told[0].ends_with("; the value is that of the variable `PAGES`"), "{told:?}");
    assert!(!told[0].contains("canary"), "{told:?}");
}

#[test]
fn an_instance_without_its_subsystem_is_recognised() {
    let text = |named: &str| {
        format!("[cache.sessions]\ndriver = 'memory'\n[feature.f]\nneeds = ['{named}']\n")
    };
    for named in ["sessions", "Sesions"] {
        let told = told(&toml(text(named)));
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].ends_with("; did you mean \"cache.sessions\"?"), "{told:?}");
    }
    assert!(told(&toml(text("else")))[0].ends_with("; known: cache.sessions"));
}
