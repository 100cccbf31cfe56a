//! Files that are made to break their reader: a clear mistake, in bounded time and memory.

use std::fmt::Write as _;
use std::path::Path;

use switchboard_config::{FILE_BYTES_MAX, Format, NODES_MAX, Parsed, parse};
use switchboard_core::{Origin, Settings};

const DEEP: usize = 100_000;
const TOO_DEEP: &str = "nested more than 128 deep";

#[test]
fn what_is_nested_without_end_is_refused() {
    let cases = [
        (Format::Toml, format!("a = {}", "[".repeat(DEEP))),
        (Format::Toml, format!("a = {}", "{a=".repeat(DEEP))),
        (Format::Toml, format!("{}a = 1", "a.".repeat(DEEP))),
        (Format::Toml, format!("[{}a]", "a.".repeat(DEEP))),
        (Format::Toml, format!("[[{}a]]", "a.".repeat(DEEP))),
        (Format::Toml, format!("a = {}1", "{a.a.a.a.a.a.a.a=".repeat(DEEP))),
        (Format::Yaml, "[".repeat(DEEP)),
        (Format::Yaml, "{".repeat(DEEP)),
        (Format::Yaml, "{a: ".repeat(DEEP)),
        (Format::Yaml, "- ".repeat(DEEP)),
        (Format::Yaml, "? ".repeat(DEEP)),
        (Format::Json, "[".repeat(DEEP)),
        (Format::Json, "{\"a\":".repeat(DEEP)),
    ];
    for (format, text) in cases {
        let parsed = parsed(&text, format);
        assert!(parsed.settings.is_none(), "{format}: {}", &text[..20]);
        let message = &*parsed.problems[0].message;
        let is_clear = message == TOO_DEEP || message == "a key that is not text";
        assert!(is_clear, "{format}: {}: {message}", &text[..20]);
    }
}

#[test]
fn the_same_depth_is_allowed_in_every_notation() {
    for (depth, is_allowed) in [(128, true), (129, false)] {
        let toml_keys = vec!["a"; depth].join(".");
        let lists = "[".repeat(depth - 1) + "1" + &"]".repeat(depth - 1);
        let tables = |open: &str| open.repeat(depth) + "1" + &"}".repeat(depth);
        let cases = [
            (Format::Toml, format!("{toml_keys} = 1")),
            (Format::Toml, format!("a = {lists}")),
            (Format::Toml, format!("a={}1{}", "{a=".repeat(depth - 1), "}".repeat(depth - 1))),
            (Format::Yaml, format!("a: {lists}")),
            (Format::Yaml, tables("{a: ")),
            (Format::Json, format!("{{\"a\": {lists}}}")),
            (Format::Json, tables("{\"a\":")),
        ];
        for (format, text) in cases {
            let parsed = parsed(&text, format);
            assert_eq!(
                parsed.settings.is_some(),
                is_allowed,
                "{format} {depth}: {:?}",
                parsed.problems
            );
            if let Some(settings) = parsed.settings {
                assert!(settings.decode::<serde_json::Value>().is_ok(), "{format}");
            }
        }
    }
}

#[test]
fn a_bomb_of_aliases_does_not_go_off() {
    let mut laughs = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for level in 1..30 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        let _ = writeln!(laughs, "a{level}: &a{level} [{aliases}]");
    }
    let quadratic = format!("a: &a [{}]\nb: [{}]\n", "x, ".repeat(10_000), "*a, ".repeat(10_000));
    let long_text = format!("a: &a {}\nb: [{}]\n", "x".repeat(1_000_000), "*a, ".repeat(1000));
    let nested = format!("a: {}{}{}", "&a [".repeat(100), "x, ".repeat(50_000), "]".repeat(100));
    for text in [laughs, quadratic, long_text, nested] {
        let parsed = parsed(&text, Format::Yaml);
        assert!(parsed.settings.is_none());
        let message = &*parsed.problems[0].message;
        let is_clear = message == "aliases repeat more than a file may hold"
            || message == "more than 200000 settings in one file";
        assert!(is_clear, "{message}");
    }
}

#[test]
fn an_alias_of_what_it_is_part_of_is_a_mistake() {
    for text in ["a: &a [*a]", "a: &a {b: {c: *a}}", "a: &a\n  <<: *a\n"] {
        let parsed = parsed(text, Format::Yaml);
        assert!(parsed.settings.is_none());
        assert_eq!(parsed.problems[0].message, "an alias of something that it is part of");
    }
    assert!(parsed("a: *nobody", Format::Yaml).settings.is_none());
}

#[test]
fn aliases_do_not_nest_deeper_than_brackets_may() {
    let mut text = "a0: &a0 [1]\n".to_owned();
    for level in 1..200 {
        let _ = writeln!(text, "a{level}: &a{level} [*a{}]", level - 1);
    }
    let parsed = parsed(&text, Format::Yaml);
    assert_eq!(parsed.problems[0].message, TOO_DEEP);
}

#[test]
fn more_settings_than_a_file_may_hold_are_a_mistake() {
    for (format, open, item, close) in [
        (Format::Toml, "a = [", "1,", "]"),
        (Format::Yaml, "a: [", "1,", "]"),
        (Format::Json, "{\"a\":[", "1,", "1]}"),
    ] {
        let text = |count: usize| format!("{open}{}{close}", item.repeat(count));
        let most = NODES_MAX - 2;
        assert!(parsed(&text(most), format).settings.is_some(), "{format}");
        let parsed = parsed(&text(most + 5), format);
        assert_eq!(parsed.problems[0].message, "more than 200000 settings in one file", "{format}");
        assert_eq!(parsed.problems.len(), 1);
    }
    let tables = "[[a]]\n".repeat(NODES_MAX + 1);
    assert!(parsed(&tables, Format::Toml).settings.is_none());
    let dotted: String =
        (0..NODES_MAX / 2).fold(String::new(), |text, at| text + &format!("a{at}.b.c=1\n"));
    assert!(parsed(&dotted, Format::Toml).settings.is_none());
}

#[test]
fn many_mistakes_are_not_all_told() {
    for text in ["=\n".repeat(300_000), "a\n".repeat(300_000), "a=1\n".repeat(200_000)] {
        let parsed = parsed(&text, Format::Toml);
        assert_eq!(parsed.problems.len(), 100);
    }
}

#[test]
fn one_very_long_line_is_read_in_time_that_grows_with_it() {
    let values = vec!["\"ü\""; 150_000].join(",");
    for (format, text) in [
        (Format::Toml, format!("a = [{values}]")),
        (Format::Yaml, format!("a: [{values}]")),
        (Format::Json, format!("{{\"a\": [{values}]}}")),
    ] {
        let settings = parsed(&text, format).settings.expect("it is whole");
        assert_eq!(
            settings.get("a").and_then(|node| node.as_list()).map(<[_]>::len),
            Some(150_000)
        );
    }
}

#[test]
fn a_byte_that_is_not_utf_8_is_told_with_its_place() {
    for format in [Format::Toml, Format::Yaml, Format::Json] {
        let parsed = parse(Path::new("x"), b"# \xc3\xbc\n\xc3\xbc \xff = 1", format);
        assert!(parsed.settings.is_none());
        check_only(&parsed, (2, 3), "a byte that is not UTF-8");
    }
}

#[test]
fn a_nul_byte_is_told_and_does_not_end_the_file() {
    for format in [Format::Toml, Format::Yaml, Format::Json] {
        let parsed = parsed("a: 1\nb: 2\0\nc: 3\n", format);
        check_only(&parsed, (2, 5), "a NUL byte, which no text holds");
    }
}

#[test]
fn a_text_that_is_too_long_is_refused() {
    let bytes = vec![b'#'; FILE_BYTES_MAX + 1];
    let parsed = parse(Path::new("x"), &bytes, Format::Toml);
    check_only(&parsed, (1, 1), "the file is larger than 4 MiB");
    assert!(parse(Path::new("x"), &bytes[1..], Format::Toml).settings.is_some());
}

fn check_only(parsed: &Parsed, place: (u32, u32), message: &str) {
    let found = parsed.problems.iter().map(|one| (&one.origin, &*one.message));
    let origin = Origin::file("x", place.0, place.1);
    assert_eq!(found.collect::<Vec<_>>(), [(&origin, message)]);
    assert_eq!(parsed.settings.as_ref().map(Settings::len), None);
}

fn parsed(text: &str, format: Format) -> Parsed {
    parse(Path::new("x"), text.as_bytes(), format)
}
