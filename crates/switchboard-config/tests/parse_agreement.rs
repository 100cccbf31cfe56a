//! The notations agree with each other, and with the readers that everybody knows.

use std::fmt::Write as _;
use std::path::Path;

use proptest::prelude::*;
use switchboard_config::{Format, Parsed, parse};
use switchboard_core::settings::{Node, Value};
use switchboard_core::{Origin, Settings};

/// What settings hold, without places, and with the keys in order.
#[derive(Clone, Debug, PartialEq)]
enum Data {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    List(Vec<Self>),
    Table(Vec<(String, Self)>),
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_same_data_is_the_same_tree_in_every_notation(data in table()) {
        let expected = data.sorted();
        for (format, text) in [
            (Format::Toml, data.as_toml()),
            (Format::Yaml, data.as_yaml()),
            (Format::Yaml, data.as_json()),
            (Format::Json, data.as_json()),
        ] {
            let parsed = parsed(&text, format);
            prop_assert!(parsed.problems.is_empty(), "{format}: {text}\n{:?}", parsed.problems);
            let settings = parsed.settings.unwrap_or_default();
            prop_assert_eq!(Data::of_table(&settings).sorted(), expected.clone(), "{}: {}", format, text);
            check_origins(&settings, &text)?;
        }
        let json = parsed(&data.as_json(), Format::Json).settings.unwrap_or_default();
        prop_assert_eq!(Data::of_table(&json), data, "the order is kept");
    }

    #[test]
    fn what_is_toml_is_decided_as_toml_decides_it(text in toml_lines()) {
        check_toml(&text)?;
    }

    #[test]
    fn what_is_toml_is_decided_as_toml_decides_it_of_any_words(text in words(TOML_WORDS)) {
        check_toml(&text)?;
    }

    #[test]
    fn what_is_json_is_decided_as_serde_json_decides_it(text in words(JSON_WORDS)) {
        check_json(&text)?;
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check_any(&bytes)?;
    }

    #[test]
    fn any_words_are_read_without_a_panic(text in words(YAML_WORDS)) {
        check_any(text.as_bytes())?;
    }

    #[test]
    fn a_file_that_was_changed_somewhere_is_read_without_a_panic(
        data in table(),
        format in 0..3_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let text = [data.as_toml(), data.as_yaml(), data.as_json()][format].clone();
        let mut bytes = text.into_bytes();
        for (at, byte) in changes {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        check_any(&bytes)?;
    }
}

fn check_toml(text: &str) -> Result<(), TestCaseError> {
    let ours = parsed(text, Format::Toml);
    let theirs = toml::from_str::<toml::Table>(text);
    // It lets a key with dots add to the last table of a `[[list]]`, which the standard forbids.
    let is_ours_alone =
        |message: &str| text.contains("[[") && message.starts_with("used as a table");
    if ours.problems.iter().any(|one| is_ours_alone(&one.message)) {
        return Ok(());
    }
    prop_assert_eq!(
        ours.problems.is_empty(),
        theirs.is_ok(),
        "{}\n{:?}",
        text,
        (ours.problems, theirs)
    );
    if let Ok(table) = theirs {
        let settings = ours.settings.unwrap_or_default();
        prop_assert_eq!(
            Data::of_table(&settings).sorted(),
            of_toml(&toml::Value::Table(table)).sorted()
        );
    }
    Ok(())
}

fn check_json(text: &str) -> Result<(), TestCaseError> {
    let ours = parsed(text, Format::Json);
    // Ours refuses more: what is no table, keys that are set twice, numbers that would be rounded.
    let ours_alone = ["not a table", "set a second time", "too large"];
    let is_ours_alone = |message: &str| ours_alone.iter().any(|ours| message.contains(ours));
    if text.trim().is_empty() || ours.problems.iter().any(|one| is_ours_alone(&one.message)) {
        return Ok(());
    }
    let theirs = serde_json::from_str::<serde_json::Value>(text);
    prop_assert_eq!(
        ours.problems.is_empty(),
        theirs.is_ok(),
        "{}\n{:?}",
        text,
        (ours.problems, theirs)
    );
    if let Ok(value) = theirs {
        let settings = ours.settings.unwrap_or_default();
        prop_assert_eq!(Data::of_table(&settings).sorted(), of_json(&value).sorted(), "{}", text);
    }
    Ok(())
}

fn check_any(bytes: &[u8]) -> Result<(), TestCaseError> {
    for format in [Format::Toml, Format::Yaml, Format::Json] {
        let parsed = parse(Path::new("x"), bytes, format);
        prop_assert!(parsed.settings.is_some() || !parsed.problems.is_empty());
        let text = String::from_utf8_lossy(bytes);
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        for problem in &parsed.problems {
            check_origin(&problem.origin, text)?;
        }
        check_origins(&parsed.settings.unwrap_or_default(), text)?;
    }
    Ok(())
}

fn check_origins(settings: &Settings, text: &str) -> Result<(), TestCaseError> {
    let mut waiting: Vec<&Node> = settings.iter().map(|(_, node)| node).collect();
    while let Some(node) = waiting.pop() {
        check_origin(node.origin(), text)?;
        check_origin(node.key_origin(), text)?;
        waiting.extend(node.as_list().unwrap_or_default());
        waiting.extend(
            node.as_table().into_iter().flat_map(|table| table.iter().map(|(_, node)| node)),
        );
    }
    Ok(())
}

fn check_origin(origin: &Origin, text: &str) -> Result<(), TestCaseError> {
    let Origin::File { line, column, .. } = origin else {
        return Err(TestCaseError::fail(format!("not in the file: {origin}")));
    };
    let found = text.split('\n').nth(*line as usize - 1);
    let width = found.map(|line| line.chars().count());
    prop_assert!(
        width.is_some_and(|width| *column as usize <= width + 1),
        "{} of {:?}",
        origin,
        text
    );
    Ok(())
}

fn parsed(text: &str, format: Format) -> Parsed {
    parse(Path::new("x"), text.as_bytes(), format)
}

impl Data {
    fn of(node: &Node) -> Self {
        match node.value() {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Integer(value) => Self::Integer(*value),
            Value::Float(value) => Self::Float(*value),
            Value::String(text) => Self::Text(text.clone()),
            Value::List(items) => Self::List(items.iter().map(Self::of).collect()),
            Value::Table(table) => Self::of_table(table),
            #[allow(unreachable_patterns, reason = "there are kinds of values that no file holds")]
            Value::Untyped(_) => panic!("no file holds such a value"),
        }
    }

    fn of_table(table: &Settings) -> Self {
        Self::Table(table.iter().map(|(key, node)| (key.to_owned(), Self::of(node))).collect())
    }

    fn sorted(&self) -> Self {
        match self {
            Self::List(items) => Self::List(items.iter().map(Self::sorted).collect()),
            Self::Table(entries) => {
                let entries = entries.iter().map(|(key, data)| (key.clone(), data.sorted()));
                let mut entries: Vec<_> = entries.collect();
                entries.sort_by(|a, b| a.0.cmp(&b.0));
                Self::Table(entries)
            }
            other => other.clone(),
        }
    }

    fn entries(&self) -> &[(String, Self)] {
        if let Self::Table(entries) = self { entries } else { &[] }
    }

    fn as_json(&self) -> String {
        self.inline(": ", quoted)
    }

    fn inline(&self, separator: &str, key: fn(&str) -> String) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Integer(value) => value.to_string(),
            Self::Float(value) => format!("{value:?}"),
            Self::Text(text) => quoted(text),
            Self::List(items) => {
                let items: Vec<_> = items.iter().map(|item| item.inline(separator, key)).collect();
                format!("[{}]", items.join(", "))
            }
            Self::Table(entries) => {
                let entries = entries.iter();
                let entries: Vec<_> = entries
                    .map(|(name, data)| {
                        format!("{}{separator}{}", key(name), data.inline(separator, key))
                    })
                    .collect();
                format!("{{{}}}", entries.join(", "))
            }
        }
    }

    fn as_toml(&self) -> String {
        let mut text = String::new();
        self.write_toml("", &mut text);
        text
    }

    fn write_toml(&self, prefix: &str, text: &mut String) {
        for (key, data) in self.entries().iter().filter(|(_, data)| !matches!(data, Self::Table(_)))
        {
            let _ = writeln!(text, "{} = {}", quoted(key), data.inline(" = ", quoted));
        }
        for (key, data) in self.entries().iter().filter(|(_, data)| matches!(data, Self::Table(_)))
        {
            let path = format!("{prefix}{}", quoted(key));
            let _ = writeln!(text, "[{path}]");
            data.write_toml(&format!("{path}."), text);
        }
    }

    fn as_yaml(&self) -> String {
        let mut text = String::new();
        self.write_yaml(0, &mut text);
        text
    }

    fn write_yaml(&self, indent: usize, text: &mut String) {
        for (key, data) in self.entries() {
            let _ = write!(text, "{}{}:", " ".repeat(indent), quoted(key));
            match data {
                Self::Table(entries) if !entries.is_empty() => {
                    text.push('\n');
                    data.write_yaml(indent + 2, text);
                }
                Self::List(items) if !items.is_empty() => {
                    text.push('\n');
                    for item in items {
                        let item = item.inline(": ", quoted);
                        let _ = writeln!(text, "{}- {item}", " ".repeat(indent));
                    }
                }
                other => {
                    let _ = writeln!(text, " {}", other.inline(": ", quoted));
                }
            }
        }
    }
}

/// As all three notations quote a text.
fn quoted(text: &str) -> String {
    let mut quoted = "\"".to_owned();
    for c in text.chars() {
        let is_plain = c.is_ascii_alphanumeric() || c == ' ' || u32::from(c) > 0xffff;
        let _ =
            if is_plain { quoted.write_char(c) } else { write!(quoted, "\\u{:04x}", u32::from(c)) };
    }
    quoted + "\""
}

fn table() -> impl Strategy<Value = Data> {
    let text =
        prop_oneof!["[a-z #:=]{0,6}", any::<String>().prop_map(|text| text.replace('\0', ""))];
    let leaf = prop_oneof![
        any::<bool>().prop_map(Data::Bool),
        any::<i64>().prop_map(|value| Data::Integer(value.into())),
        any::<f64>().prop_filter("finite", |value| value.is_finite()).prop_map(Data::Float),
        text.clone().prop_map(Data::Text),
    ];
    let data = leaf.prop_recursive(4, 24, 4, move |inner| {
        let key = text.clone();
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Data::List),
            prop::collection::btree_map(key, inner, 0..4)
                .prop_map(|entries| Data::Table(entries.into_iter().rev().collect())),
        ]
    });
    prop::collection::btree_map("[a-z]{1,3}", data, 0..5)
        .prop_map(|entries| Data::Table(entries.into_iter().rev().collect()))
}

/// Headers and keys that lead to the same few tables in many ways.
fn toml_lines() -> impl Strategy<Value = String> {
    let path =
        prop::collection::vec(prop_oneof!["a", "b", "c"], 1..4).prop_map(|keys| keys.join("."));
    let value = prop_oneof![
        Just("1"),
        Just("{}"),
        Just("[]"),
        Just("{a = 1}"),
        Just("{a.b = 1, a.c = 2}"),
        Just("[{a = 1}]"),
        Just("{a = {b = 1}, a.c = 2}"),
        Just("{a.b = 1, a = 2}"),
        Just("0x_1"),
        Just("1979-05-27"),
    ];
    let line = (path, 0..5, value).prop_map(|(path, kind, value)| match kind {
        0 | 1 => format!("[{path}]\n"),
        2 => format!("[[{path}]]\n"),
        _ => format!("{path} = {value}\n"),
    });
    prop::collection::vec(line, 1..7).prop_map(|lines| lines.concat())
}

fn words(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(words), 0..24).prop_map(|words| words.concat())
}

const TOML_WORDS: &[&str] = &[
    "a", "b", "\"c\"", "'d'", ".", " = ", "=", "[", "]", "[[", "]]", "{", "}", ",", "\n", "\r\n",
    "1", "-1", "+0", "1_0", "1.5", "1e3", "0x1f", "true", "'x'", "\"y\\n\"", "\"\"\"", "'''", " ",
    "\t", "# c\n", "12:30:00", "ü",
];
const JSON_WORDS: &[&str] = &[
    "{",
    "{\"a\":",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"b\":",
    "\"\\u00fc\"",
    "\"\\ud83d\\ude00\"",
    "\"\\ud83d\"",
    "\"x",
    "1",
    "-0",
    "-1",
    "01",
    "1.5",
    "1.",
    "1e3",
    "1e+400",
    "18446744073709551615",
    "true",
    "false",
    "null",
    "nul",
    " ",
    "\n",
    "\t",
    "\u{b}",
    "'",
    "//",
    "ü",
];
const YAML_WORDS: &[&str] = &[
    "a",
    "b:",
    "c: ",
    "- ",
    "? ",
    ": ",
    "&x ",
    "*x ",
    "<<: ",
    "!!str ",
    "!!int ",
    "!t ",
    "|\n",
    ">-\n",
    "\n",
    "\n  ",
    "\n    ",
    "[",
    "]",
    "{",
    "}",
    ", ",
    "\"",
    "'",
    "# c",
    "---\n",
    "...\n",
    "%YAML 1.2\n",
    "010",
    ".inf",
    "~",
    "true",
    "\t",
    "ü",
    "\u{85}",
    "\u{2028}",
    "\r",
    "@",
    "`",
];

fn of_toml(value: &toml::Value) -> Data {
    match value {
        toml::Value::String(text) => Data::Text(text.clone()),
        toml::Value::Integer(value) => Data::Integer((*value).into()),
        toml::Value::Float(value) => Data::Float(*value),
        toml::Value::Boolean(value) => Data::Bool(*value),
        toml::Value::Datetime(value) => Data::Text(value.to_string()),
        toml::Value::Array(items) => Data::List(items.iter().map(of_toml).collect()),
        toml::Value::Table(table) => {
            Data::Table(table.iter().map(|(key, value)| (key.clone(), of_toml(value))).collect())
        }
    }
}

fn of_json(value: &serde_json::Value) -> Data {
    match value {
        serde_json::Value::Null => Data::Null,
        serde_json::Value::Bool(value) => Data::Bool(*value),
        serde_json::Value::Number(number) => {
            let whole = number.as_i64().map(i128::from).or(number.as_u64().map(i128::from));
            // It keeps the sign of a zero by making it a fraction.
            let is_zero = number.as_f64() == Some(0.0) && !number.to_string().contains('e');
            match whole {
                None if is_zero && number.to_string() == "-0.0" => Data::Integer(0),
                None => Data::Float(number.as_f64().unwrap_or(f64::NAN)),
                Some(whole) => Data::Integer(whole),
            }
        }
        serde_json::Value::String(text) => Data::Text(text.clone()),
        serde_json::Value::Array(items) => Data::List(items.iter().map(of_json).collect()),
        serde_json::Value::Object(map) => {
            Data::Table(map.iter().map(|(key, value)| (key.clone(), of_json(value))).collect())
        }
    }
}
