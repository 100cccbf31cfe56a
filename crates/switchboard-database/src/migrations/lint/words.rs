//! A statement as its words, read from the front.

use std::collections::BTreeMap;

use crate::sql::lexer::{Kind, Token};

/// What is left of a statement, or of a part of one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words<'s> {
    sql: &'s str,
    tokens: &'s [Token],
}

/// The name of a table, of a column or of a constraint, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    schema: Option<String>,
    pub(super) own: String,
}

/// Names that can be looked up with and without their schema.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeMap<String, Vec<Option<String>>>);

impl<'s> Words<'s> {
    pub(super) fn new(sql: &'s str, tokens: &'s [Token]) -> Self {
        Self { sql, tokens }
    }

    /// The byte of the statement that it begins at.
    pub(super) fn start(self) -> usize {
        self.tokens.first().map_or(0, |token| token.start)
    }

    pub(super) fn is_empty(self) -> bool {
        self.tokens.is_empty()
    }

    pub(super) fn starts_with(self, words: &[&str]) -> bool {
        let is_next = |(word, token): (&&str, &Token)| token.is_word(self.sql, word);
        self.tokens.len() >= words.len() && words.iter().zip(self.tokens).all(is_next)
    }

    pub(super) fn starts_with_any(self, words: &[&str]) -> bool {
        words.iter().any(|word| self.starts_with(&[word]))
    }

    pub(super) fn starts_with_sign(self, sign: &str) -> bool {
        self.tokens.first().is_some_and(|token| token.is_sign(self.sql, sign))
    }

    /// Goes past the next word, which is this in lower case; empty where none is next.
    pub(super) fn word(&mut self) -> String {
        let Some(token) = self.tokens.first().filter(|token| token.kind == Kind::Word) else {
            return String::new();
        };
        let word = token.text(self.sql).to_ascii_lowercase();
        self.skip(1);
        word
    }

    /// Goes past this sign, if it is next.
    pub(super) fn take_sign(&mut self, sign: &str) {
        if self.starts_with_sign(sign) {
            self.skip(1);
        }
    }

    /// Goes past a number, if one is next.
    pub(super) fn take_number(&mut self) {
        if self.tokens.first().is_some_and(|token| token.kind == Kind::Number) {
            self.skip(1);
        }
    }

    /// Goes past these words, if all of them are next.
    pub(super) fn take(&mut self, words: &[&str]) -> bool {
        let is_next = self.starts_with(words);
        if is_next {
            self.skip(words.len());
        }
        is_next
    }

    /// Goes past all words that come next and are one of these.
    pub(super) fn take_all_of(&mut self, words: &[&str]) {
        while self.starts_with_any(words) {
            self.skip(1);
        }
    }

    /// Goes past a name, if one is next.
    pub(super) fn name(&mut self) -> Option<Name> {
        let mut parts = vec![self.part_of_name()?];
        while self.starts_with_sign(".") {
            self.skip(1);
            parts.push(self.part_of_name()?);
        }
        let own = parts.pop()?;
        Some(Name { schema: parts.pop(), own })
    }

    fn part_of_name(&mut self) -> Option<String> {
        let token = self.tokens.first()?;
        let text = token.text(self.sql);
        let part = match token.kind {
            Kind::Word => text.to_lowercase(),
            Kind::Name => text.trim_matches(QUOTES).to_lowercase(),
            _ => return None,
        };
        self.skip(1);
        Some(part)
    }

    /// Whether these words stand somewhere one after the other, outside of parentheses.
    pub(super) fn has(self, words: &[&str]) -> bool {
        self.after(words).is_some()
    }

    /// What follows these words, where they first stand outside of parentheses.
    pub(super) fn after(self, words: &[&str]) -> Option<Self> {
        let mut depth = Depth::default();
        for (at, token) in self.tokens.iter().enumerate() {
            let rest = Self { tokens: &self.tokens[at..], ..self };
            if depth.is_outside() && rest.starts_with(words) {
                return Some(Self { tokens: &rest.tokens[words.len()..], ..self });
            }
            depth.count(self.sql, token);
        }
        None
    }

    /// What follows the parentheses that are closed last before one of these words: the statement behind
    /// common tables.
    pub(super) fn after_parenthesis(self, words: &[&str]) -> Option<Self> {
        let mut depth = Depth::default();
        for (at, token) in self.tokens.iter().enumerate() {
            depth.count(self.sql, token);
            let rest = Self { tokens: &self.tokens[at + 1..], ..self };
            let is_closed = depth.is_outside() && token.is_sign(self.sql, ")");
            if is_closed && rest.starts_with_any(words) {
                return Some(rest);
            }
        }
        None
    }

    /// Whether a token is, or a text or name has in it, one of these words.
    pub(super) fn mentions(self, words: &[&str]) -> bool {
        self.tokens.iter().any(|token| {
            let text = token.text(self.sql).to_ascii_lowercase();
            words.iter().any(|word| text.contains(word))
        })
    }

    /// Whether a token is one of these, with or without quotes.
    pub(super) fn mentions_one_of(self, texts: &[&str]) -> bool {
        self.tokens.iter().any(|token| {
            let text = token.text(self.sql).trim_matches(QUOTES);
            texts.iter().any(|of| text.eq_ignore_ascii_case(of))
        })
    }

    /// What is between commas, outside of parentheses.
    pub(super) fn parts(self) -> Vec<Self> {
        let mut depth = Depth::default();
        self.tokens
            .split(|token| {
                depth.count(self.sql, token);
                depth.is_outside() && token.is_sign(self.sql, ",")
            })
            .map(|tokens| Self { tokens, ..self })
            .collect()
    }

    /// What is in the parentheses that come next.
    pub(super) fn inside(self) -> Option<Self> {
        if !self.starts_with_sign("(") {
            return None;
        }
        let mut depth = Depth::default();
        let end = self.tokens.iter().position(|token| {
            depth.count(self.sql, token);
            depth.is_outside()
        });
        Some(Self { tokens: &self.tokens[1..end.unwrap_or(self.tokens.len())], ..self })
    }

    /// What comes before the first of these words, outside of parentheses.
    pub(super) fn until(self, words: &[&str]) -> Self {
        let mut depth = Depth::default();
        let end = self.tokens.iter().position(|token| {
            let is_end = depth.is_outside() && words.iter().any(|of| token.is_word(self.sql, of));
            depth.count(self.sql, token);
            is_end
        });
        Self { tokens: &self.tokens[..end.unwrap_or(self.tokens.len())], ..self }
    }

    /// What is in all the parentheses around it.
    pub(super) fn without_parentheses(mut self) -> Self {
        while let Some(inner) = self.inside() {
            self = inner;
        }
        self
    }

    pub(super) fn is_null(self) -> bool {
        self.tokens.len() == 1 && self.starts_with(&["null"])
    }

    /// Whether it is one value of which `SQLite` knows beforehand what it is.
    pub(super) fn is_constant(self) -> bool {
        let mut value = self.without_parentheses();
        while value.starts_with_sign("-") || value.starts_with_sign("+") {
            value.skip(1);
        }
        value.starts_with(&["cast"])
            || value.tokens.len() == 1 && !value.starts_with_any(OF_THE_CLOCK)
    }

    /// The two sides of `a = 5`, `a := 5` and `a to 5`.
    pub(super) fn assignment(self) -> Option<(Self, Self)> {
        let is_between = |token: &Token| {
            token.is_sign(self.sql, "=")
                || token.is_sign(self.sql, ":=")
                || token.is_word(self.sql, "to")
        };
        let at = self.tokens.iter().position(is_between)?;
        let (name, value) = (&self.tokens[..at], &self.tokens[at + 1..]);
        Some((Self { tokens: name, ..self }, Self { tokens: value, ..self }))
    }

    /// The text of its last token, in lower case and without quotes.
    pub(super) fn last_text(self) -> String {
        let last = self.tokens.last().map_or("", |token| token.text(self.sql));
        last.trim_matches(QUOTES).to_lowercase()
    }

    /// The functions that are called, in lower case.
    pub(super) fn calls(self) -> impl Iterator<Item = String> + use<'s> {
        let is_call = move |at: usize| {
            !self.is_type(at)
                && self.tokens[at].kind == Kind::Word
                && self.tokens.get(at + 1).is_some_and(|token| token.is_sign(self.sql, "("))
        };
        let called = (0..self.tokens.len()).filter(move |at| is_call(*at));
        called.map(move |at| self.tokens[at].text(self.sql).to_ascii_lowercase())
    }

    /// Whether the word there ends the name of a type that something is cast to:
    /// `::character varying(9)`.
    fn is_type(self, at: usize) -> bool {
        let is_of_type =
            |token: &&Token| BEFORE_TYPES.iter().any(|word| token.is_word(self.sql, word));
        let mut before = self.tokens[..at].iter().rev().skip_while(is_of_type);
        let is_cast = |token: &Token| token.kind == Kind::Cast || token.is_word(self.sql, "as");
        match before.next() {
            // `::pg_catalog.varchar(9)`
            Some(token) if token.is_sign(self.sql, ".") => before.nth(1).is_some_and(is_cast),
            token => token.is_some_and(is_cast),
        }
    }

    fn skip(&mut self, count: usize) {
        self.tokens = &self.tokens[count..];
    }
}

impl Names {
    pub(super) fn add(&mut self, name: &Name) {
        self.0.entry(name.own.clone()).or_default().push(name.schema.clone());
    }

    /// Whether it is one of them; a name without a schema is any of that name.
    pub(super) fn has(&self, name: &Name) -> bool {
        let is_same = |schema: &Option<String>| {
            schema.is_none() || name.schema.is_none() || *schema == name.schema
        };
        self.0.get(&name.own).is_some_and(|schemas| schemas.iter().any(is_same))
    }
}

/// How many parentheses are open.
#[derive(Default)]
struct Depth(usize);

impl Depth {
    fn count(&mut self, sql: &str, token: &Token) {
        if token.is_sign(sql, "(") {
            self.0 += 1;
        } else if token.is_sign(sql, ")") {
            self.0 = self.0.saturating_sub(1);
        }
    }

    fn is_outside(&self) -> bool {
        self.0 == 0
    }
}

/// What may stand before the last word of the name of a type.
#[rustfmt::skip]
const BEFORE_TYPES: &[&str] = &[
    "bit", "char", "character", "day", "hour", "interval", "minute", "national", "nchar", "to",
];

/// What `SQLite` reads from the clock.
const OF_THE_CLOCK: &[&str] = &["current_date", "current_time", "current_timestamp"];

/// What stands around names and texts.
const QUOTES: &[char] = &['"', '`', '[', ']', '\''];
