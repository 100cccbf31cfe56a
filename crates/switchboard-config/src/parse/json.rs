//! JSON as its standard has it, with the place of every key and value.
//!
//! No reader of JSON that is kept gives places, so the structure is read here, without recursion;
//! texts and numbers are decoded by `serde_json`, with which this agrees on what is JSON.

use std::ops::Range;

use switchboard_core::Settings;
use switchboard_core::settings::Value;

use super::reading::{Reading, Stop};
use super::tree::Tree;

pub(super) fn read(reading: &mut Reading<'_>) -> Result<Settings, Stop> {
    let text = reading.text;
    let mut reader = Reader { text, at: 0, tree: Tree::new(reading), open: Vec::new() };
    reader.value()?;
    while let Some(bracket) = reader.open.last().copied() {
        reader.next_in(bracket)?;
    }
    reader.skip_space();
    if reader.at < text.len() {
        return reader.expected("the end of the file");
    }
    reader.tree.finish()
}

struct Reader<'r, 't> {
    text: &'t str,
    at: usize,
    tree: Tree<'r, 't>,
    open: Vec<Bracket>,
}

/// A table or a list that has not ended, and whether something stands in it already.
#[derive(Clone, Copy)]
struct Bracket {
    is_table: bool,
    is_filled: bool,
}

impl Reader<'_, '_> {
    /// The next entry of the innermost bracket, or its end.
    fn next_in(&mut self, bracket: Bracket) -> Result<(), Stop> {
        let close = if bracket.is_table { b'}' } else { b']' };
        if self.takes(close) {
            self.open.pop();
            return self.tree.close().map_or(Ok(()), |(node, at)| self.tree.put(node, at));
        }
        if bracket.is_filled {
            self.comma(bracket)?;
        }
        if let Some(open) = self.open.last_mut() {
            open.is_filled = true;
        }
        if bracket.is_table {
            self.key()?;
        }
        self.value()
    }

    fn comma(&mut self, bracket: Bracket) -> Result<(), Stop> {
        let (expected, close) =
            if bracket.is_table { ("`,` or `}`", b'}') } else { ("`,` or `]`", b']') };
        if !self.takes(b',') {
            return self.expected(expected);
        }
        let comma = self.at - 1;
        if self.peek() == Some(close) {
            return self
                .tree
                .stop(comma, "a comma after the last value, which JSON does not allow");
        }
        Ok(())
    }

    fn key(&mut self) -> Result<(), Stop> {
        if self.peek() != Some(b'"') {
            return self.expected("a key in double quotes");
        }
        let (key, span) = self.string()?;
        // Before that it is no key, and may be a value.
        if !self.takes(b':') {
            self.tree.reading.mark_hidden(span);
            return self.expected("`:`");
        }
        self.tree.set_key(&key, span);
        Ok(())
    }

    fn value(&mut self) -> Result<(), Stop> {
        match self.peek() {
            Some(b'{') => self.open(true),
            Some(b'[') => self.open(false),
            Some(b'"') => {
                let (text, span) = self.string()?;
                let key = self.tree.key().map(str::to_owned);
                self.tree.reading.mark_text(span.clone(), &text, key.as_deref());
                self.tree.value(Value::String(text), span.start)
            }
            _ => self.word(),
        }
    }

    fn open(&mut self, is_table: bool) -> Result<(), Stop> {
        if is_table {
            self.tree.open_table(self.at)?;
        } else {
            self.tree.open_list(self.at)?;
        }
        self.at += 1;
        self.open.push(Bracket { is_table, is_filled: false });
        Ok(())
    }

    /// A number, or `true`, `false`, `null`.
    fn word(&mut self) -> Result<(), Stop> {
        let rest = &self.text[self.at..];
        let is_end = |c: char| c.is_ascii_whitespace() || ",:[]{}\"".contains(c);
        let word = &rest[..rest.find(is_end).unwrap_or(rest.len())];
        let span = self.at..self.at + word.len();
        let value = match word {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "null" => Value::Null,
            _ if word.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => {
                self.number(word, span.clone())?
            }
            _ => {
                self.tree.reading.mark_hidden(span);
                return self.expected("a value");
            }
        };
        let key = self.tree.key().map(str::to_owned);
        self.tree.reading.mark_plain(span.clone(), key.as_deref());
        self.at = span.end;
        self.tree.value(value, span.start)
    }

    fn number(&mut self, word: &str, span: Range<usize>) -> Result<Value, Stop> {
        if serde_json::from_str::<serde::de::IgnoredAny>(word).is_err() {
            self.tree.reading.mark_hidden(span.clone());
            return self.tree.stop(span.start, "a number that JSON does not know");
        }
        let value = number_of(word);
        if value.is_none() {
            self.tree.reading.mark_hidden(span.clone());
            return self.tree.stop(span.start, NUMBER_TOO_LARGE);
        }
        Ok(value.unwrap_or_default())
    }

    /// The text that begins here, and where it stands, quotes included.
    fn string(&mut self) -> Result<(String, Range<usize>), Stop> {
        let start = self.at;
        let Some(length) = length_of_string(&self.text.as_bytes()[start..]) else {
            self.tree.reading.trust_until(start);
            return self.tree.stop(start, "a text that does not end");
        };
        let span = start..start + length;
        match serde_json::from_str::<String>(&self.text[span.clone()]) {
            Ok(text) => {
                self.at = span.end;
                Ok((text, span))
            }
            Err(error) => {
                // Its end may not be where it was meant to be.
                self.tree.reading.trust_until(start);
                let offset = start + error.column().saturating_sub(1).min(length);
                self.tree.stop(offset, "an escape or a control character that JSON does not allow")
            }
        }
    }

    fn expected<T>(&mut self, what: &str) -> Result<T, Stop> {
        self.skip_space();
        let found = match self.text.as_bytes().get(self.at) {
            None => ", but the file ends",
            Some(b'\'') => ", but there is a single quote",
            Some(b'/' | b'#') => ", but JSON has no comments",
            Some(_) => "",
        };
        self.tree.reading.trust_until(self.at);
        self.tree.stop(self.at, format!("expected {what}{found}"))
    }

    fn takes(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn peek(&mut self) -> Option<u8> {
        self.skip_space();
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        let rest = &self.text.as_bytes()[self.at..];
        let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        self.at += rest.iter().take_while(|byte| is_space(byte)).count();
    }
}

/// A decimal number as a value, if there is one wide enough.
pub(super) fn number_of(word: &str) -> Option<Value> {
    if word.contains(['.', 'e', 'E']) {
        return word.parse::<f64>().ok().filter(|float| float.is_finite()).map(Value::Float);
    }
    let range = i128::from(i64::MIN)..=i128::from(u64::MAX);
    word.parse::<i128>().ok().filter(|whole| range.contains(whole)).map(Value::Integer)
}

/// How many bytes the text in double quotes has with which `bytes` begin.
fn length_of_string(bytes: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            // A text ends on its line, so that the mistake is told where it is.
            b'\n' => return None,
            _ => at += 1,
        }
    }
}

pub(super) const NUMBER_TOO_LARGE: &str = "a number that is too large to be kept exactly";
