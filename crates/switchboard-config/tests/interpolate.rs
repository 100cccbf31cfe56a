//! `${…}` in the strings of files.

mod folder;

use folder::{Folder, fine, mistakes, said, text};
use proptest::prelude::*;
use switchboard_config::{Format, Loader};
use switchboard_core::settings::Value;
use switchboard_core::{Problem, Problems, Settings};

/// What `value`, written in a file, is filled into, with `A` set to `one` and `EMPTY` to nothing.
fn filled(value: &str) -> Result<Value, Vec<String>> {
    let toml = format!("key = '{value}'");
    let loaded =
        text(&toml).variables([("A", "one"), ("EMPTY", ""), ("file", "named file")]).load();
    match loaded.settings.get("key") {
        Some(node) if loaded.problems.is_empty() => Ok(node.value().clone()),
        _ => Err(mistakes(&loaded)),
    }
}

fn string(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn untyped(text: &str) -> Value {
    Value::Untyped(text.to_owned())
}

#[test]
fn every_form_is_filled_in() {
    assert_eq!(filled("x${A}y"), Ok(string("xoney")));
    assert_eq!(filled("${A}${A}"), Ok(string("oneone")));
    assert_eq!(filled("x${B:-two}"), Ok(string("xtwo")));
    assert_eq!(filled("x${A:-two}"), Ok(string("xone")));
    assert_eq!(filled("x${B:-}"), Ok(string("x")));
    assert_eq!(filled("x${A:?why}"), Ok(string("xone")));
    assert_eq!(filled("$${A}"), Ok(string("${A}")));
    assert_eq!(filled("a$$b$c$"), Ok(string("a$b$c$")));
    assert_eq!(filled("$$$$"), Ok(string("$$")));
    assert_eq!(filled("} is {plain}"), Ok(string("} is {plain}")));
}

#[test]
fn a_value_that_is_nothing_else_has_no_type_of_its_own() {
    assert_eq!(filled("${A}"), Ok(untyped("one")));
    assert_eq!(filled("${B:-20}"), Ok(untyped("20")));
    assert_eq!(filled("${B:-$$x}"), Ok(untyped("$x")));
    assert_eq!(filled(" ${A}"), Ok(string(" one")));
    assert_eq!(filled("$$"), Ok(string("$")));
}

#[test]
fn a_variable_that_is_set_to_nothing_is_set() {
    assert_eq!(filled("${EMPTY}"), Ok(untyped("")));
    assert_eq!(filled("${EMPTY:-default}"), Ok(untyped("")));
    assert_eq!(filled("${EMPTY:?why}"), Ok(untyped("")));
}

#[test]
fn a_default_can_hold_placeholders() {
    assert_eq!(filled("${B:-${C:-${A}}}"), Ok(untyped("one")));
    assert_eq!(filled("${B:-<${A}>$$}!"), Ok(string("<one>$!")));
}

#[test]
fn a_variable_that_happens_to_be_called_file_is_one() {
    assert_eq!(filled("${file}"), Ok(untyped("named file")));
    assert_eq!(filled("${file:-x}"), Ok(untyped("named file")));
}

#[test]
fn what_is_filled_in_is_not_looked_at_again() {
    let loaded = text("a = '${A}'\nb = '<${A}>'").variables([("A", "${B}$$")]).load();
    let loaded = fine(loaded);
    assert_eq!(said(&loaded, "a"), "${B}$$");
    assert_eq!(said(&loaded, "b"), "<${B}$$>");
}

#[test]
fn a_missing_variable_is_named_with_its_place_and_reason() {
    assert_eq!(
        filled("${B}"),
        Err(vec![
            "switchboard.toml:1:7: key: the variable `B` is not set; \
             set it, or say what to use without it: ${B:-default}"
                .to_owned()
        ])
    );
    assert_eq!(
        filled("${B:?ask the database team}"),
        Err(vec![
            "switchboard.toml:1:7: key: the variable `B` is not set: ask the database team"
                .to_owned()
        ])
    );
}

#[test]
fn who_was_given_no_variables_at_all_is_told_so() {
    let hint = "this configuration was given no variables: `.variables(std::env::vars())`";
    for (value, why) in [("${B}", ""), ("${B:?ask the database team}", ": ask the database team")] {
        let told = mistakes(&text(&format!("key = '{value}'")).load());
        let expected =
            format!("switchboard.toml:1:7: key: the variable `B` is not set{why}; {hint}");
        assert_eq!(told, [expected]);
    }
}

/// What is told of a mistake that a check finds in `value`, as it is written in a file.
fn told_of(value: &str, hint: Option<&str>) -> String {
    let mut loaded = text(&format!("key = '{value}'")).variables([("A", "canary")]).load();
    let origin = loaded.settings.get("key").map(|node| node.origin().clone());
    let problem = Problem::new("key", origin.unwrap_or_default(), "not a number");
    let problem = hint.into_iter().fold(problem, Problem::with_hint);
    loaded.add(Problems::from_iter([problem]));
    mistakes(&loaded).join("\n").replacen("switchboard.toml:1:7: key: not a number", "", 1)
}

#[test]
fn a_mistake_in_what_was_filled_in_names_where_that_is_from() {
    let of_a = "; the value is that of the variable `A`";
    assert_eq!(told_of("${A}", None), of_a);
    assert_eq!(told_of("${A}", Some("write 1")), format!("; write 1{of_a}"));
    assert_eq!(told_of("${A:-x}", None), of_a);
    assert_eq!(told_of("${B:-${A}}", None), of_a);
    assert_eq!(told_of("${B:-x}", None), "", "the default stands in the file itself");
    assert_eq!(told_of("x${A}", None), "", "a part of the value is the file's own");
    let folder = Folder::new();
    folder.write("number", "canary");
    let path = folder.path("number");
    let told = told_of(&format!("${{file:{}}}", path.display()), None);
    assert!(told.starts_with("; the value is that of the file `"), "{told}");
    assert!(!told.contains("canary"), "{told}");
}

#[test]
fn all_mistakes_of_one_value_are_told() {
    let told = filled("${B} ${C} ${} ${A+x} ${file:/nonexistent/x} ${A").unwrap_err();
    assert_eq!(told.len(), 6, "{told:#?}");
}

#[test]
fn what_is_no_form_is_a_mistake_that_repeats_none_of_the_text() {
    for (value, message) in [
        ("${A", "holds `${` without a `}`"),
        ("x${A:-${B}", "holds `${` without a `}`"),
        ("${A:-x", "holds `${` without a `}`"),
        ("${A:?canary", "holds `${` without a `}`"),
        ("${", "holds `${` without a `}`"),
        ("${}", "holds `${` without the name of a variable"),
        ("${:-canary}", "holds `${` without the name of a variable"),
        ("${ A }", "holds `${` without the name of a variable"),
        ("${1canary}", "holds `${` and then no name of a variable"),
        ("${A:+canary}", "holds `${…}` of an unknown form"),
        ("${A:canary}", "holds `${…}` of an unknown form"),
        ("${A=canary}", "holds `${…}` of an unknown form"),
        ("${canary-x}", "holds `${…}` of an unknown form"),
        ("${file:}", "`${file:}` names no file"),
        ("${file:${A}/canary}", "nothing can be filled into the path of a file"),
        ("${A:?${B}canary}", "nothing can be filled into a reason"),
    ] {
        let told = filled(value).unwrap_err();
        assert_eq!(told.len(), 1, "{value}: {told:?}");
        assert!(told[0].contains(&format!("1:7: key: {message}")), "{value}: {told:?}");
        assert!(!told[0].contains("canary"), "{value}: {told:?}");
    }
}

#[test]
fn defaults_in_defaults_have_a_bottom() {
    let deep = format!("{}x{}", "${B:-".repeat(17), "}".repeat(17));
    assert!(filled(&deep).unwrap_err()[0].contains("nested more than 16 deep"));
    let deep = format!("{}x{}", "${B:-".repeat(16), "}".repeat(16));
    assert_eq!(filled(&deep), Ok(untyped("x")));
    let bottomless = "${B:-".repeat(100_000);
    assert_eq!(filled(&bottomless).unwrap_err().len(), 1);
}

#[test]
fn a_file_is_filled_in_without_its_last_newline_relative_to_the_file_that_says_it() {
    let folder = Folder::new();
    folder.write("conf/secrets/password", "pass$word\n\n");
    folder.write("conf/secrets/windows", "pass\r\n");
    let toml = "a = '${file:secrets/password}'\nb = 'x:${file:secrets/windows}'\n";
    let path = folder.write("conf/switchboard.toml", toml);
    let loaded = fine(Loader::new().file(&path).load());
    assert_eq!(loaded.settings.get("a").unwrap().value(), &Value::Untyped("pass$word\n".into()));
    assert_eq!(said(&loaded, "b"), "x:pass");
    let place = loaded.settings.get("a").unwrap().origin().to_string();
    assert!(place.ends_with("switchboard.toml:1:5"), "{place}");
    let secrets = ["conf/secrets/password", "conf/secrets/windows"].map(|name| folder.path(name));
    assert!(secrets.iter().all(|secret| loaded.files.contains(secret)), "{:?}", loaded.files);
}

#[test]
fn an_absolute_path_is_itself() {
    let folder = Folder::new();
    let secret = folder.write("secret", "s3");
    let loaded = fine(text(&format!("a = '${{file:{}}}'", secret.display())).load());
    assert_eq!(said(&loaded, "a"), "s3");
}

#[test]
fn a_file_that_cannot_be_filled_in_is_told_without_its_content() {
    let folder = Folder::new();
    folder.write("binary", b"canary\xff");
    folder.write("large", vec![b'c'; 1024 * 1024 + 1]);
    folder.write("folder/file", "");
    let toml =
        "a = '${file:gone}'\nb = '${file:binary}'\nc = '${file:large}'\nd = '${file:folder}'\n";
    let path = folder.write("switchboard.toml", toml);
    let loaded = Loader::new().file(&path).load();
    assert_eq!(
        mistakes(&loaded),
        [
            "switchboard.toml:1:5: a: the file `gone` does not exist",
            "switchboard.toml:2:5: b: the file `binary` is not UTF-8",
            "switchboard.toml:3:5: c: the file `large` is larger than 1024 KiB",
            "switchboard.toml:4:5: d: the file `folder` is a folder, not a file",
        ]
    );
    assert!(loaded.files.contains(&folder.path("gone")), "it may come");
}

#[test]
fn what_is_filled_in_has_an_end() {
    let folder = Folder::new();
    folder.write("large", vec![b'c'; 1024 * 1024]);
    let value = "${file:large}".repeat(40);
    let path = folder.write("switchboard.toml", format!("a = '{value}'\nb = '{value}'\n"));
    let loaded = Loader::new().file(&path).load();
    assert_eq!(
        mistakes(&loaded),
        ["switchboard.toml:1:5: a: more than 32 MiB are filled into strings"]
    );
}

#[test]
fn behind_the_limit_nothing_is_filled_in_and_nothing_follows_from_that() {
    let folder = Folder::new();
    folder.write("large", "x".repeat(1024 * 1024));
    let all = "${file:large}".repeat(33);
    let path =
        folder.write("switchboard.toml", format!("[a]\nb = '{all}'\nc = '${{file:large}}'\n"));
    let mut loaded = Loader::new().file(&path).load();
    assert_eq!(loaded.problems.len(), 1);
    let node = loaded.settings.get("a.c").unwrap();
    assert_eq!(node.value(), &Value::Null);
    let follows = Problem::new("a.c", node.origin().clone(), "expected a string, found nothing");
    loaded.add(Problems::from_iter([follows]));
    assert_eq!(loaded.problems.len(), 1, "{:#}", loaded.problems);
}

#[test]
fn only_strings_of_files_are_filled_in() {
    let plain = || Settings::new().with("key", "${A}");
    let loaded = fine(
        text("[file]\nlist = ['${A}', { deep = '${A}' }]\n")
            .defaults(Settings::new().with("default", plain()))
            .code(Settings::new().with("code", plain()))
            .variables([("A", "one"), ("SWITCHBOARD__VARIABLE__KEY", "${A}")])
            .variables([("SWITCHBOARD__VARIABLE__LIST", "['${A}']")])
            .load(),
    );
    assert_eq!(said(&loaded, "file.list[0]"), "one");
    assert_eq!(said(&loaded, "file.list[1].deep"), "one");
    for path in ["default.key", "code.key", "variable.key", "variable.list[0]"] {
        assert_eq!(said(&loaded, path), "${A}", "{path}");
    }
}

#[test]
fn what_one_load_filled_in_goes_through_another_as_it_is() {
    let first = fine(text("[cache.a]\nurl = '<${A}>'\n").variables([("A", "$$ ${B}")]).load());
    let second = fine(Loader::new().code(first.settings).load());
    assert_eq!(said(&second, "cache.a.url"), "<$$ ${B}>");
}

#[test]
fn a_value_that_another_layer_replaces_needs_no_variable() {
    let loaded = text("[cache.a]\nurl = '${MISSING}'\n")
        .variables([("SWITCHBOARD__CACHE__A__URL", "memory://")])
        .load();
    assert_eq!(said(&fine(loaded), "cache.a.url"), "memory://");
}

#[test]
fn a_key_is_not_filled_in_and_must_not_look_like_it() {
    let loaded =
        text("[cache.'${A}']\nx = 1\n[[list]]\n'a${' = 1\n").variables([("A", "a")]).load();
    assert_eq!(
        mistakes(&loaded),
        [
            "switchboard.toml:1:8: cache.\"${A}\": a key is not interpolated, and may not hold `${`",
            "switchboard.toml:4:1: list[0].\"a${\": a key is not interpolated, and may not hold `${`",
        ]
    );
}

#[test]
fn values_of_variables_are_in_no_message() {
    let toml = "a = '${A} ${B} ${A'\nb = '${A:?}${file:/nonexistent}'\n[c.d]\nextends = 'x'\n";
    let loaded = text(toml).variables([("A", "canary"), ("SWITCHBOARD__E", "{canary")]).load();
    assert!(loaded.problems.len() >= 4);
    let all =
        format!("{:#} {loaded:?} {:?}", loaded.problems, text(toml).variables([("A", "canary")]));
    assert!(!all.contains("canary"), "{all}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn text_without_a_dollar_stays_as_it_is(value in "[^$\\p{Cc}]{0,40}") {
        let settings = format!("key = \"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""));
        let loaded = Loader::new().text("any.toml", Format::Toml, settings).load();
        prop_assert_eq!(said(&loaded, "key"), value);
        prop_assert!(loaded.problems.is_empty());
    }

    #[test]
    fn any_text_is_filled_in_or_refused_and_a_doubled_dollar_is_one(
        value in "[ab$:{}?}-]{0,24}",
    ) {
        let load = |value: &str| text(&format!("key = '{value}'")).variables([("a", "x")]).load();
        let _ = load(&value);
        let doubled = load(&value.replace('$', "$$"));
        prop_assert!(doubled.problems.is_empty());
        prop_assert_eq!(said(&doubled, "key"), value);
    }
}
