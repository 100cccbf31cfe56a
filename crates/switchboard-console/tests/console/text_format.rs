//! A strict reader of the text format of Prometheus: what it takes, every other one does.

use std::collections::{BTreeMap, BTreeSet};

/// All series of a page, by their names with their labels.
pub(crate) type Series = BTreeMap<String, f64>;

/// Reads a page. Panics at the first line that is not as it has to be.
pub(crate) fn read(page: &str) -> Series {
    assert!(page.ends_with('\n'), "the last line has no end");
    let mut reader = Reader::default();
    page.lines().for_each(|line| reader.line(line));
    reader.close();
    reader.series
}

#[derive(Default)]
struct Reader {
    series: Series,
    families: BTreeSet<String>,
    help: Option<String>,
    family: Option<(String, String)>,
}

impl Reader {
    fn line(&mut self, line: &str) {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            self.close();
            let (name, help) = rest.split_once(' ').expect("a help text");
            assert!(is_name(name) && !help.is_empty(), "{line}");
            assert!(self.families.insert(name.to_owned()), "{name} is there twice");
            self.help = Some(name.to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert_eq!(self.help.take().as_deref(), Some(name), "a type without its help");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            self.family = Some((name.to_owned(), kind.to_owned()));
        } else {
            self.sample(line);
        }
    }

    fn sample(&mut self, line: &str) {
        let (name, rest) = line.split_at(line.find(['{', ' ']).expect("a value"));
        assert!(is_name(name), "{line}");
        let (family, kind) = self.family.as_ref().expect("a family before its series");
        let suffix = name.strip_prefix(family.as_str()).expect("a series of its family");
        let suffixes: &[&str] = match kind.as_str() {
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        assert!(suffixes.contains(&suffix), "{line}");
        let (labels, value) = labels(rest);
        assert_eq!(suffix == "_bucket", labels.contains_key("le"), "{line}");
        let value: f64 = value.strip_prefix(' ').expect("one space").parse().expect(line);
        assert!(value >= 0.0 && value.is_finite(), "{line}");
        let key = format!("{name} {labels:?}");
        assert!(self.series.insert(key, value).is_none(), "{line} is there twice");
    }

    fn close(&mut self) {
        assert!(self.help.is_none(), "a help without a type");
    }
}

/// The labels, and what comes after them.
fn labels(text: &str) -> (BTreeMap<String, String>, &str) {
    let mut labels = BTreeMap::new();
    let Some(mut rest) = text.strip_prefix('{') else { return (labels, text) };
    loop {
        let (name, after) = rest.split_once("=\"").expect("a label");
        assert!(is_name(name) && !name.contains(':'), "{text}");
        let (value, after) = quoted(after);
        assert!(labels.insert(name.to_owned(), value).is_none(), "{name} is there twice");
        match after.strip_prefix(',') {
            Some(after) => rest = after,
            None => return (labels, after.strip_prefix('}').expect("an end of the labels")),
        }
    }
}

/// The text up to the quotation mark that ends it, and what comes after that.
fn quoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (value, &text[at + 1..]),
            '\\' => match letters.next().expect("what is escaped").1 {
                'n' => value.push('\n'),
                escaped @ ('\\' | '"') => value.push(escaped),
                other => panic!("{other} is escaped"),
            },
            letter => value.push(letter),
        }
    }
    panic!("a label has no end: {text}")
}

fn is_name(name: &str) -> bool {
    let is_letter = |letter: char| letter.is_ascii_alphabetic() || letter == '_';
    name.starts_with(is_letter)
        && name.chars().all(|letter| is_letter(letter) || letter.is_ascii_digit())
}
