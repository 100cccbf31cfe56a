//! What a file becomes: values, their places, and mistakes of the notation.

use std::path::Path;

use switchboard_config::{Format, Parsed, parse};
use switchboard_core::settings::{Node, Value};
use switchboard_core::{Origin, Settings};

#[test]
fn every_value_and_every_key_of_toml_knows_its_place() {
    let settings = toml("[cache]\ndefault = \"main\"\n[cache.main]\n  \"ümlaut\" = 1");
    check_place(&settings, "cache.default", (2, 1), (2, 11));
    check_place(&settings, "cache.main", (3, 8), (3, 1));
    check_place(&settings, "cache.main.ümlaut", (4, 3), (4, 14));
}

#[test]
fn every_value_and_every_key_of_yaml_knows_its_place() {
    let settings =
        yaml("cache:\n  main: {\"ü\": x, b: 2}\n  list:\n    - a\n    - |\n      long\n");
    check_place(&settings, "cache", (1, 1), (2, 3));
    check_place(&settings, "cache.main.ü", (2, 10), (2, 15));
    check_place(&settings, "cache.main.b", (2, 18), (2, 21));
    assert_eq!(place(node(&settings, "cache.list[0]").origin()), (4, 7));
    assert_eq!(place(node(&settings, "cache.list[1]").origin()), (6, 7));
}

#[test]
fn every_value_and_every_key_of_json_knows_its_place() {
    let settings = json("{\r\n  \"ü\": {\"b\": [1,\n 2]}}");
    check_place(&settings, "ü", (2, 3), (2, 8));
    check_place(&settings, "ü.b", (2, 9), (2, 14));
    assert_eq!(place(node(&settings, "ü.b[1]").origin()), (3, 2));
}

#[test]
fn columns_are_counted_without_the_byte_order_mark() {
    for (text, format) in [
        ("\u{feff}a = 1", Format::Toml),
        ("\u{feff}a: 1", Format::Yaml),
        ("\u{feff}{\"a\":1}", Format::Json),
    ] {
        let settings = settings_of(&parsed(text, format));
        let column = if format == Format::Json { 2 } else { 1 };
        assert_eq!(place(node(&settings, "a").key_origin()), (1, column), "{format}");
    }
}

#[test]
fn lines_may_end_as_on_windows() {
    let settings = toml("a = 1\r\n\r\nb = \"\"\"x\r\ny\"\"\"\r\nc = 2\r\n");
    check_place(&settings, "c", (5, 1), (5, 5));
    let settings = yaml("a: 1\r\nb:\r\n  c: 2\r\n");
    check_place(&settings, "b.c", (3, 3), (3, 6));
}

#[test]
fn an_empty_file_is_an_empty_table() {
    for format in [Format::Toml, Format::Yaml, Format::Json] {
        for text in ["", " \r\n\t\n", "\u{feff}"] {
            let settings = settings_of(&parsed(text, format));
            assert!(settings.is_empty(), "{format}: {text:?}");
            assert_eq!(place(settings.origin()), (1, 1));
        }
    }
    assert!(yaml("# only a comment\n").is_empty());
    assert!(yaml("---\n").is_empty());
}

#[test]
fn a_file_that_holds_no_table_is_a_mistake() {
    let cases = [
        ("- a\n- b\n", Format::Yaml, "a list"),
        ("hello\n", Format::Yaml, "a string"),
        ("null\n", Format::Yaml, "nothing"),
        ("[1]", Format::Json, "a list"),
        ("12", Format::Json, "an integer"),
    ];
    for (text, format, kind) in cases {
        check_mistakes(
            text,
            format,
            &[((1, 1), "", &format!("the file holds {kind}, and not a table"))],
        );
    }
}

#[test]
fn a_key_that_is_set_twice_names_both_places_and_the_first_counts() {
    let cases = [
        ("[a]\nb = 1\nb = 2\n", Format::Toml, (3, 1), "x:2:1"),
        ("a:\n  b: 1\n  b: [2]\n", Format::Yaml, (3, 3), "x:2:3"),
        ("{\"a\": {\"b\": 1,\n\"b\": {}}}", Format::Json, (2, 1), "x:1:8"),
        ("a = {b = 1, b = 2}", Format::Toml, (1, 13), "x:1:6"),
    ];
    for (text, format, place, first) in cases {
        let parsed = check_mistakes(text, format, &[(place, "a.b", "set a second time")]);
        assert_eq!(parsed.problems[0].hint.as_deref(), Some(&*format!("the first is at {first}")));
        assert_eq!(node(&settings_of(&parsed), "a.b").as_integer(), Some(1), "{text}");
    }
}

#[test]
fn a_table_of_toml_is_opened_once_and_only_as_what_it_is() {
    let cases = [
        ("[a]\n[a]\n", (2, 2), "a", "set a second time"),
        ("a.b = 1\n[a]\n", (2, 2), "a", "set a second time"),
        ("[a.b.x]\n[a]\nb.c = 1\n[a.b]\n", (4, 4), "a.b", "set a second time"),
        ("[a.b]\n[a]\nb.c = 1\n", (3, 1), "a.b", "set a second time"),
        ("[[a.b]]\n[a]\nb.c.d = 1\n", (3, 1), "a.b", NOT_A_TABLE),
        ("[[a]]\n[a]\n", (2, 2), "a", "set a second time"),
        ("[a]\n[[a]]\n", (2, 3), "a", "set a second time"),
        ("a = []\n[[a]]\n", (2, 3), "a", "set a second time"),
        ("a = {}\n[a.b]\n", (2, 2), "a", "set a second time"),
        ("a = 1\n[a.b]\n", (2, 2), "a", NOT_A_TABLE),
        ("a.b = 1\na.b.c = 1\n", (2, 3), "a.b", NOT_A_TABLE),
        ("[[a]]\nb = 1\n[[a]]\nb = 2\nb = 3", (5, 1), "a[1].b", "set a second time"),
    ];
    for (text, place, path, message) in cases {
        check_mistakes(text, Format::Toml, &[(place, path, message)]);
    }
    toml("[a.b]\n[a]\n[a.c]\n[[l]]\n[l.x]\n[[l]]\n[l.x]\n");
}

#[test]
fn all_mistakes_of_the_notation_of_toml_are_told_at_once() {
    let text = "a = hunter2\nb = 1\n[c\nd = \"x\" y\n";
    let problems = parsed(text, Format::Toml).problems;
    let lines: Vec<u32> = problems.iter().map(|problem| place(&problem.origin).0).collect();
    assert_eq!(lines, [1, 3, 4], "{problems:#?}");
}

#[test]
fn a_mistake_of_the_notation_is_told_where_it_is() {
    let cases = [
        ("a: [1, 2\nb: 3\n", Format::Yaml, 2),
        ("a: 1\n\tb: 2\n", Format::Yaml, 2),
        ("a: 'x\n", Format::Yaml, 2),
        ("a:\n  b: 1\n c: 2\n", Format::Yaml, 3),
        ("{\"a\": 1,\n}", Format::Json, 1),
        ("{\n// no\n\"a\": 1}", Format::Json, 2),
        ("{\n'a': 1}", Format::Json, 2),
        ("{\"a\": 1\n\"b\": 2}", Format::Json, 2),
        ("{\"a\": 01}", Format::Json, 1),
        ("{\"a\": \"\\x\"}", Format::Json, 1),
        ("{\"a\": 1} x", Format::Json, 1),
        ("{\"a\": tru}", Format::Json, 1),
    ];
    for (text, format, line) in cases {
        let parsed = parsed(text, format);
        assert!(parsed.settings.is_none(), "{text}");
        let lines: Vec<u32> = parsed.problems.iter().map(|one| place(&one.origin).0).collect();
        assert_eq!(lines, [line], "{text}: {:?}", parsed.problems);
    }
}

#[test]
fn words_of_yaml_mean_what_the_core_schema_says() {
    let settings = yaml(
        "t: true\nyes: yes\nno: no\non: on\nnull: ~\nhex: 0x1F\noctal: 0o17\nzero: 0\nplus: +7\n\
         underscore: 1_000\ntime: 12:30\ndate: 2001-12-14\nversion: 1.2.3\nfloat: 1.\nexp: 1e3\n\
         quoted: \"010\"\nsingle: 'true'\ntagged: !!str 12\nbig: 18446744073709551615\nsmall: -9223372036854775808\n",
    );
    let text = |text: &str| Value::String(text.to_owned());
    let cases = [
        ("t", Value::Bool(true)),
        ("yes", text("yes")),
        ("no", text("no")),
        ("on", text("on")),
        ("null", Value::Null),
        ("hex", Value::Integer(31)),
        ("octal", Value::Integer(15)),
        ("zero", Value::Integer(0)),
        ("plus", Value::Integer(7)),
        ("underscore", text("1_000")),
        ("time", text("12:30")),
        ("date", text("2001-12-14")),
        ("version", text("1.2.3")),
        ("float", Value::Float(1.0)),
        ("exp", Value::Float(1000.0)),
        ("quoted", text("010")),
        ("single", text("true")),
        ("tagged", text("12")),
        ("big", Value::Integer(u64::MAX.into())),
        ("small", Value::Integer(i64::MIN.into())),
    ];
    for (key, value) in cases {
        assert_eq!(node(&settings, key).value(), &value, "{key}");
    }
}

#[test]
fn what_cannot_be_kept_is_a_mistake_and_the_others_are_still_told() {
    let yaml = "a: 010\nb: .inf\nc: 1e999\nd: 18446744073709551616\ne: -.INF\nf: .nan\ng: !!int x\nh: !mine x\ni: 00.5\n";
    let too_large = "a number that is too large to be kept exactly";
    check_mistakes(
        yaml,
        Format::Yaml,
        &[
            ((1, 4), "a", "a number with leading zeros"),
            ((2, 4), "b", "a number that is not finite"),
            ((3, 4), "c", too_large),
            ((4, 4), "d", too_large),
            ((5, 4), "e", "a number that is not finite"),
            ((6, 4), "f", "a number that is not finite"),
            ((7, 10), "g", "a value that is not what its tag says"),
            ((8, 10), "h", "a tag that settings do not know"),
            ((9, 4), "i", "a number with leading zeros"),
        ],
    );
    let toml =
        "a = 9223372036854775808\nb = [inf]\nc = {d = nan}\n[e]\nf = 1e999\ng = 2001-13-40\n";
    check_mistakes(
        toml,
        Format::Toml,
        &[
            ((1, 5), "a", too_large),
            ((2, 6), "b[0]", "a number that is not finite"),
            ((3, 10), "c.d", "a number that is not finite"),
            ((5, 5), "e.f", too_large),
            ((6, 5), "e.g", "neither a date, nor a time, nor both"),
        ],
    );
    check_mistakes("{\"a\": 18446744073709551616}", Format::Json, &[((1, 7), "a", too_large)]);
    check_mistakes("{\"a\": [1e999]}", Format::Json, &[((1, 8), "a[0]", too_large)]);
}

#[test]
fn dates_of_toml_are_read_as_text() {
    let settings = toml("a = 1979-05-27T07:32:00Z\nb = 07:32:00\nc = 1979-05-27 07:32:00\n");
    assert_eq!(node(&settings, "a").as_str(), Some("1979-05-27T07:32:00Z"));
    assert_eq!(node(&settings, "b").as_str(), Some("07:32:00"));
    assert_eq!(node(&settings, "c").as_str(), Some("1979-05-27 07:32:00"));
}

#[test]
fn whole_numbers_of_toml_are_read_in_every_radix() {
    let settings = toml("a = 1_000\nb = 0xff\nc = 0o17\nd = 0b101\ne = -9223372036854775808\n");
    for (key, value) in [("a", 1000), ("b", 255), ("c", 15), ("d", 5), ("e", i128::from(i64::MIN))]
    {
        assert_eq!(node(&settings, key).as_integer(), Some(value), "{key}");
    }
}

#[test]
fn an_alias_repeats_what_its_anchor_holds_and_keeps_its_place() {
    let settings = yaml("a: &x {b: [1, 2]}\nc: *x\nd: [&y text, *y]\n&k e: *k\n");
    assert_eq!(node(&settings, "c.b[1]").as_integer(), Some(2));
    assert_eq!(place(node(&settings, "c.b").key_origin()), (1, 8));
    assert_eq!(place(node(&settings, "c").key_origin()), (2, 1));
    assert_eq!(node(&settings, "d[1]").as_str(), Some("text"));
    assert_eq!(node(&settings, "e").as_str(), Some("e"));
}

#[test]
fn a_merge_key_gives_what_is_not_set_otherwise() {
    let text = "base: &b {x: 1, y: 2}\nmore: &m {y: 3, z: 4}\n\
                one:\n  y: 9\n  <<: *b\ntwo:\n  <<: [*b, *m]\nthree:\n  <<: {q: 5}\nfour: {\"<<\": 6}\n";
    let settings = yaml(text);
    let number = |path: &str| node(&settings, path).as_integer();
    assert_eq!((number("one.x"), number("one.y")), (Some(1), Some(9)));
    assert_eq!((number("two.y"), number("two.z")), (Some(2), Some(4)));
    assert_eq!(number("three.q"), Some(5));
    assert_eq!(number("four.\"<<\""), Some(6));
    check_mistakes("a:\n  <<: 1\n", Format::Yaml, &[((2, 7), "a", "only tables can be merged")]);
}

#[test]
fn keys_of_yaml_are_text() {
    let settings = yaml("1: a\ntrue: b\n? c\n: d\n\"e f\": g\n");
    let keys: Vec<&str> = settings.keys().collect();
    assert_eq!(keys, ["1", "true", "c", "e f"]);
    check_mistakes("a: 1\n[b]: 2\n", Format::Yaml, &[((2, 1), "", "a key that is not text")]);
    check_mistakes("a: &x b\n*x : 2\n", Format::Yaml, &[((2, 1), "", "a key that is an alias")]);
    check_mistakes("a: {b, c}\n", Format::Yaml, &[((1, 5), "a", "a key without `:`")]);
    check_mistakes("a:\n  : 2\n", Format::Yaml, &[((2, 3), "a", "a value without a key")]);
}

#[test]
fn several_documents_are_a_mistake() {
    let text = "a: 1\n---\nb: 2\n";
    check_mistakes(text, Format::Yaml, &[((2, 1), "", "a second document; settings are one")]);
}

#[test]
fn texts_of_json_are_decoded() {
    let settings = json(r#"{"a\u0062": "\ud83d\ude00\/\n", "-": -0, "e": 1E2}"#);
    assert_eq!(node(&settings, "ab").as_str(), Some("😀/\n"));
    assert_eq!(node(&settings, "-").as_integer(), Some(0));
    assert_eq!(node(&settings, "e").value(), &Value::Float(100.0));
    assert!(parsed(r#"{"a": "\ud83d"}"#, Format::Json).settings.is_none());
}

#[test]
fn the_ending_of_a_name_says_the_notation() {
    for (name, format) in [
        ("a.toml", Format::Toml),
        ("dir.json/a.YAML", Format::Yaml),
        ("a.yml", Format::Yaml),
        ("a.json", Format::Json),
    ] {
        assert_eq!(Format::of(Path::new(name)), Ok(format));
    }
    for name in ["a.ini", "toml", "a.", ".toml"] {
        let problem = Format::of(Path::new(name)).unwrap_err();
        assert_eq!(
            problem.hint.as_deref(),
            Some("the known endings are .toml, .yaml, .yml and .json")
        );
    }
}

const NOT_A_TABLE: &str = "used as a table, but it is set to something else";

fn check_place(settings: &Settings, path: &str, key: (u32, u32), value: (u32, u32)) {
    let node = node(settings, path);
    assert_eq!((place(node.key_origin()), place(node.origin())), (key, value), "{path}");
}

fn check_mistakes(text: &str, format: Format, expected: &[((u32, u32), &str, &str)]) -> Parsed {
    let parsed = parsed(text, format);
    let found = parsed.problems.iter();
    let found: Vec<_> = found.map(|one| (place(&one.origin), &*one.path, &*one.message)).collect();
    assert_eq!(found, expected, "{text}");
    parsed
}

fn node<'s>(settings: &'s Settings, path: &str) -> &'s Node {
    settings.get(path).unwrap_or_else(|| panic!("nothing at {path} in {settings:?}"))
}

fn place(origin: &Origin) -> (u32, u32) {
    match origin {
        Origin::File { path, line, column } if path.as_os_str() == "x" => (*line, *column),
        other => panic!("not in the file: {other:?}"),
    }
}

fn toml(text: &str) -> Settings {
    settings_of(&parsed(text, Format::Toml))
}

fn yaml(text: &str) -> Settings {
    settings_of(&parsed(text, Format::Yaml))
}

fn json(text: &str) -> Settings {
    settings_of(&parsed(text, Format::Json))
}

fn settings_of(parsed: &Parsed) -> Settings {
    parsed.settings.clone().unwrap_or_else(|| panic!("not read: {:?}", parsed.problems))
}

fn parsed(text: &str, format: Format) -> Parsed {
    parse(Path::new("x"), text.as_bytes(), format)
}
