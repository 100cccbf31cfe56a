//! What a person and a script are shown of mistakes, and that no secret is among it.

use std::path::Path;

use proptest::prelude::*;
use switchboard_config::{Format, Parsed, Report, Sources, parse};
use switchboard_core::{Origin, Problem, Problems};

const CANARY: &str = "hunter2";

#[test]
fn a_mistake_is_shown_with_its_line_and_a_marker() {
    let text = "[cache.main]\nmax_entires = 100\n";
    let problem =
        Problem::new("cache.main.max_entires", Origin::file("x.toml", 2, 1), "unknown setting")
            .with_hint("did you mean `max_entries`?");
    check_report(
        text,
        [problem],
        "\
error: cache.main.max_entires: unknown setting
  --> x.toml:2:1
   |
 2 | max_entires = 100
   | ^^^^^^^^^^^
   = did you mean `max_entries`?

1 mistake in 1 file
",
    );
}

#[test]
fn a_text_is_hidden_unless_it_is_a_name_or_the_message_quotes_it() {
    let text = "driver = \"redus\" # was: secret\nurl = 'redis://x'\nmode = \"fsat\"\nlist = [\"one\", 5, true]\n";
    let at = |line, column, message: &str| {
        Problem::new("", Origin::file("x.toml", line, column), message)
    };
    check_report(
        text,
        [
            at(1, 10, "there is no driver `redus`"),
            at(2, 7, "wrong"),
            at(3, 8, "`fsat` is not known"),
            at(4, 9, "wrong"),
        ],
        "\
error: there is no driver `redus`
  --> x.toml:1:10
   |
 1 | driver = \"redus\"
   |          ^^^^^^^

error: wrong
  --> x.toml:2:7
   |
 2 | url = '…'
   |       ^^^

error: `fsat` is not known
  --> x.toml:3:8
   |
 3 | mode = \"fsat\"
   |        ^^^^^^

error: wrong
  --> x.toml:4:9
   |
 4 | list = [\"…\", 5, true]
   |         ^^^

4 mistakes in 1 file
",
    );
}

#[test]
fn a_file_that_does_not_parse_shows_the_keys_of_its_line() {
    let parsed = parsed("[cache]\npassword = hunter2 more\n", Format::Toml);
    let (problems, sources) = taken(parsed);
    let shown = Report::new(&problems, &sources).to_string();
    assert!(shown.contains("\n 2 | password = …\n   |            ^\n"), "{shown}");
}

#[test]
fn a_mistake_of_a_variable_or_of_code_has_no_excerpt() {
    let problems = [
        Problem::new("cache.main.url", Origin::variable("SWITCHBOARD__CACHE__MAIN__URL"), "wrong"),
        Problem::new("a", Origin::Code { file: "src/main.rs", line: 3, column: 9 }, "wrong"),
        Problem::new("b", Origin::file("gone.toml", 1, 1), "wrong"),
    ];
    check_report(
        "",
        problems,
        "\
error: b: wrong
  --> gone.toml:1:1

error: cache.main.url: wrong
  --> variable SWITCHBOARD__CACHE__MAIN__URL

error: a: wrong
  --> src/main.rs:3:9

3 mistakes in 2 files and 1 variable
",
    );
}

#[test]
fn the_same_mistake_is_told_once() {
    let problem = |message: &str| Problem::new("a", Origin::file("x.toml", 1, 1), message);
    let problems = Problems::from_iter([problem("wrong"), problem("bad"), problem("wrong")]);
    let sources = Sources::new();
    let report = Report::new(&problems, &sources);
    assert_eq!(report.to_string().matches("error: a: wrong").count(), 1);
    assert!(report.to_string().ends_with("\n2 mistakes in 1 file\n"));
    assert_eq!(report.json().matches("wrong").count(), 1);
}

#[test]
fn no_more_than_a_hundred_mistakes_are_shown_to_a_person_and_all_to_a_script() {
    let problems =
        (1..=130).map(|line| Problem::new("a", Origin::file("x.toml", line, 1), "wrong"));
    let problems: Problems = problems.collect();
    let sources = Sources::new();
    let report = Report::new(&problems, &sources);
    let shown = report.to_string();
    assert_eq!(shown.matches("error: a").count(), 100);
    assert!(
        shown.ends_with("and 30 more that are not shown\n\n130 mistakes in 1 file\n"),
        "{shown}"
    );
    assert_eq!(report.json().matches("wrong").count(), 130);
}

#[test]
fn nothing_wrong_is_an_empty_report() {
    let (problems, sources) = (Problems::default(), Sources::new());
    let report = Report::new(&problems, &sources);
    assert!(report.is_empty());
    assert_eq!(report.to_string(), "0 mistakes\n");
    assert_eq!(report.json(), r#"{"ok":true,"problems":[]}"#);
}

#[test]
fn a_script_gets_every_part_of_a_mistake() {
    let problems = Problems::from_iter([
        Problem::new("a.b", Origin::file("x.toml", 2, 3), "wrong").with_hint("mend it"),
        Problem::new("c", Origin::variable("SWITCHBOARD__C"), "wrong"),
        Problem::new("d", Origin::Default, "wrong"),
    ]);
    let sources = Sources::new();
    let json: serde_json::Value =
        serde_json::from_str(&Report::new(&problems, &sources).json()).unwrap();
    let expected = serde_json::json!({"ok": false, "problems": [
        {"file": "x.toml", "line": 2, "column": 3, "key": "a.b", "message": "wrong", "hint": "mend it"},
        {"file": null, "line": null, "column": null, "key": "c", "message": "wrong", "hint": null,
         "variable": "SWITCHBOARD__C"},
        {"file": null, "line": null, "column": null, "key": "d", "message": "wrong", "hint": null},
    ]});
    assert_eq!(json, expected);
}

#[test]
fn colours_change_nothing_but_colours() {
    let (problems, sources) = taken(parsed("a = 1\na = 2\nb = [", Format::Toml));
    let report = Report::new(&problems, &sources);
    let mut plain = report.coloured().to_string();
    assert!(plain.starts_with("\x1b[1;31merror\x1b[0m"), "{plain:?}");
    for code in ["\x1b[1;31m", "\x1b[1;34m", "\x1b[1m", "\x1b[0m"] {
        plain = plain.replace(code, "");
    }
    assert_eq!(plain, report.to_string());
}

#[test]
fn a_long_line_is_cut_around_the_marker() {
    let text =
        format!("list = [{}1, wrongwrong, {}]", "12345, ".repeat(10_000), "12345, ".repeat(10_000));
    let column = u32::try_from(text.find("wrong").unwrap() + 1).unwrap();
    let text = text.replace("wrongwrong", "7777777777");
    let problem = Problem::new("list", Origin::file("x.toml", 1, column), "wrong");
    let shown = shown(&text, [problem]);
    let line = shown.lines().find(|line| line.starts_with(" 1 | ")).unwrap();
    let marker = shown.lines().find(|line| line.contains("^^^")).unwrap();
    assert!(line.chars().count() < 140, "{line}");
    assert!(line.contains("| …") && line.ends_with('…'), "{line}");
    let at = marker.find('^').unwrap();
    let under: String = line.chars().skip(at).take(10).collect();
    assert_eq!((under.as_str(), marker.matches('^').count()), ("7777777777", 10));
}

#[test]
fn what_would_act_on_a_terminal_is_not_printed() {
    let text = "\"a\u{1b}[31mb\u{202e}c\": 1\n\"a\u{1b}[31mb\u{202e}c\": 2\n";
    for format in [Format::Yaml, Format::Json, Format::Toml] {
        let (problems, sources) = taken(parsed(text, format));
        let report = Report::new(&problems, &sources);
        assert!(!report.to_string().contains(['\u{1b}', '\u{202e}']), "{report}");
    }
    let problem = Problem::new("a\u{7}\n", Origin::variable("A\u{1b}c"), "un\u{1b}known");
    assert!(!shown("", [problem]).contains(['\u{1b}', '\u{7}']));
}

#[test]
fn any_place_can_be_asked_for() {
    let text = "a = \"ü\"\r\n# c\n\nb = '''\nx\n'''";
    for line in [0, 1, 2, 3, 4, 5, 6, 7, u32::MAX] {
        for column in (0..12).chain([u32::MAX]) {
            shown(text, [Problem::new("", Origin::file("x.toml", line, column), "wrong")]);
        }
    }
}

#[test]
fn a_secret_is_nowhere_in_what_is_printed() {
    let cases = [
        (Format::Toml, "password = \"hunter2\"\npassword = \"hunter2\"\nx = 1 1"),
        (Format::Toml, "a = \"\"\"\nx\nhunter2 = 1\n hunter2\n\"\"\"\na = 1\nb = '''hunter2\n'''"),
        (Format::Toml, "password = hunter2"),
        (Format::Toml, "password: hunter2"),
        (Format::Toml, "password: \"hunter2"),
        (Format::Toml, "password = \"begin\nhunter2 = x\nhunter2\n[hunter2]\nend\""),
        (Format::Toml, "password = 'begin\nhunter2 = x\nhunter2\n[hunter2]\nend'"),
        (Format::Toml, "password = \"\"\"hunter2\nhunter2 = 3"),
        (Format::Toml, "a = {password = hunter2, b = 'hunter2' 'hunter2'}\n"),
        (Format::Toml, "a = {password = \"hunter2\", password = \"hunter2\"}\n# hunter2\nx ="),
        (Format::Toml, "a = 1 # hunter2\na = 2 # hunter2\n"),
        (Format::Toml, "a = [\"hunter2\", ] hunter2\n"),
        (Format::Toml, "default = \"redis://:hunter2@host\" x\n"),
        (Format::Toml, "a = 1 hunter2\nhunter2\n"),
        (Format::Yaml, "password: hunter2\npassword: hunter2\n"),
        (Format::Yaml, "password: |\n  hunter2\n  x: hunter2\npassword: >-\n  hunter2\n"),
        (Format::Yaml, "password: begin\n  hunter2: x\n"),
        (Format::Yaml, "password: *hunter2\n"),
        (Format::Yaml, "password: &hunter2 x\npassword: !hunter2 x\n"),
        (Format::Yaml, "password: !x!hunter2 x\n"),
        (Format::Yaml, "password: @hunter2\n"),
        (Format::Yaml, "password: %hunter2\n"),
        (Format::Yaml, "password: \"hunter2\\q\"\n"),
        (Format::Yaml, "password: 'hunter2\n  hunter2: x"),
        (Format::Yaml, "a: {password: hunter2, password: hunter2, b: [hunter2, 010]}\n"),
        (Format::Yaml, "a: 1 # hunter2\na: 2 # hunter2\n"),
        (Format::Yaml, "- hunter2\n"),
        (Format::Yaml, "hunter2\n"),
        (Format::Yaml, "a: hunter2: hunter2\n"),
        (Format::Yaml, "a: 1\n---\npassword: hunter2\n"),
        (Format::Yaml, "password: [hunter2\nb: hunter2}\n"),
        (Format::Yaml, "a: 010\nb: {password:, 'hunter2', hunter2}\n"),
        (Format::Yaml, "%YAML hunter2\na: hunter2\n"),
        (Format::Json, "{\"password\": \"hunter2\",\n\"password\": \"hunter2\"}"),
        (Format::Json, "{\"password\": \"hunter2"),
        (Format::Json, "{\"password\": hunter2}"),
        (Format::Json, "{\"password\": 'hunter2'}"),
        (Format::Json, "{\"password\": \"hunter2\\q\"}"),
        (Format::Json, "{\"password\": \"hun\nter2\", \"hunter2\"}"),
        (Format::Json, "{\"a\": 1 /* hunter2 */}"),
        (Format::Json, "[\"hunter2\"]"),
        (Format::Json, "{\"a\": [\"hunter2\", \"hunter2\" \"hunter2\"]}"),
    ];
    for (format, text) in cases {
        let parsed = parsed(text, format);
        assert!(!parsed.problems.is_empty(), "nothing is wrong with {text}");
        check_no_canary(parsed, text);
    }
}

#[test]
fn a_number_under_a_key_of_secrets_is_hidden() {
    let text = "pin = 4711\nmax = 4711\ndb_password = 4711\n";
    let at = |line| Problem::new("", Origin::file("x.toml", line, 1), "wrong");
    let shown = shown(text, [at(1), at(2), at(3)]);
    assert_eq!(shown.matches("4711").count(), 1, "{shown}");
    assert!(shown.contains("max = 4711"), "{shown}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Wherever a file breaks, and wherever a later check finds something wrong in it.
    #[test]
    fn a_secret_is_nowhere_although_the_file_breaks_anywhere(
        which in 0..3_usize,
        at in any::<prop::sample::Index>(),
        token in prop::sample::select(BREAKERS),
    ) {
        let (format, text) = SECRETIVE[which];
        let places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        let at = places[at.index(places.len())];
        // A secret that is broken in two parts is not found any more, and neither are quotes around it.
        if is_inside_secret(text, at) {
            return Ok(());
        }
        let broken = format!("{}{token}{}", &text[..at], &text[at..]);
        let mut parsed = parsed(&broken, format);
        // What has become a key is no secret any more.
        if format!("{:?}", parsed.settings).contains(CANARY) {
            return Ok(());
        }
        for line in 1..14 {
            for column in [1, 8, 20] {
                parsed.problems.push(Problem::new("", Origin::file("x.toml", line, column), "wrong"));
            }
        }
        check_no_canary(parsed, &broken);
    }
}

fn is_inside_secret(text: &str, at: usize) -> bool {
    text.match_indices(CANARY).any(|(start, _)| at > start && at < start + CANARY.len())
}

fn check_no_canary(parsed: Parsed, text: &str) {
    assert!(!format!("{:?}", parsed.source).contains(CANARY));
    let (problems, sources) = taken(parsed);
    let report = Report::new(&problems, &sources);
    for shown in [
        report.to_string(),
        report.coloured().to_string(),
        report.json(),
        format!("{report:?} {:?} {:?}", report.coloured(), sources),
        format!("{problems:?} {problems:#}"),
    ] {
        assert!(!shown.contains(CANARY), "of {text}\nthere is {shown}");
    }
}

fn check_report(text: &str, problems: impl IntoIterator<Item = Problem>, expected: &str) {
    let shown = shown(text, problems);
    assert_eq!(shown, expected, "{shown}");
}

fn shown(text: &str, problems: impl IntoIterator<Item = Problem>) -> String {
    let sources = Sources::from_iter([parsed(text, Format::Toml).source]);
    let problems = Problems::from_iter(problems);
    Report::new(&problems, &sources).to_string()
}

fn taken(parsed: Parsed) -> (Problems, Sources) {
    (Problems::from_iter(parsed.problems), Sources::from_iter([parsed.source]))
}

fn parsed(text: &str, format: Format) -> Parsed {
    parse(Path::new("x.toml"), text.as_bytes(), format)
}

const BREAKERS: &[&str] = &[
    "\"", "'", "\n", "=", ":", " x ", "[", "]", "{", "}", ",", "\\", "#", "\"\"\"", "\t", "*", "&",
    "!", "|", "- ",
];

const SECRETIVE: [(Format, &str); 3] = [
    (
        Format::Toml,
        "[cache.main]\nurl = \"redis://:hunter2@host/1\"\npassword = 'hunter2'\nmax = 5\n\
         text = \"\"\"\nhunter2\nmore\n\"\"\"\nlist = [\"hunter2\", 1]\ninline = { a = \"hunter2\", b = 2 }\n# hunter2\n",
    ),
    (
        Format::Yaml,
        "cache:\n  main:\n    url: redis://:hunter2@host/1\n    password: \"hunter2\"\n    max: 5\n\
         \x20   text: |\n      hunter2\n      more\n    list: [hunter2, 1]\n    inline: { a: 'hunter2', b: 2 }\n# hunter2\n",
    ),
    (
        Format::Json,
        "{\n\"cache\": {\n\"main\": {\n\"url\": \"redis://:hunter2@host/1\",\n\"password\": \"hunter2\",\n\
         \"max\": 5,\n\"list\": [\"hunter2\", 1],\n\"inline\": {\"a\": \"hunter2\", \"b\": 2}\n}\n}\n}\n",
    ),
];
