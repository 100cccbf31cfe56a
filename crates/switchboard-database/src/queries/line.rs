//! One line of a file of named queries, and what it may say about them.

use switchboard_core::Name;

use super::query::QueryKind;

#[derive(Clone, Copy)]
pub(super) struct Line<'t> {
    /// Without the end of the line, and white space before that.
    pub(super) text: &'t str,
    /// From one.
    pub(super) number: u32,
    /// Its first byte in the text.
    pub(super) start: usize,
}

/// A comment that says something about a query: `-- key: value`.
#[derive(Clone, Copy)]
pub(super) struct Remark<'t> {
    pub(super) line: Line<'t>,
    pub(super) key: &'t str,
    pub(super) value: &'t str,
}

impl<'t> Line<'t> {
    pub(super) fn is_blank(self) -> bool {
        self.code().is_empty()
    }

    pub(super) fn is_comment(self) -> bool {
        self.code().starts_with("--")
    }

    /// What is in it, without white space before that.
    pub(super) fn code(self) -> &'t str {
        self.text.trim_start()
    }

    /// The byte after its last.
    pub(super) fn end(self) -> usize {
        self.start + self.text.len()
    }

    /// In which column `part` stands, which is a part of this line: in characters, from one.
    pub(super) fn column(self, part: &str) -> u32 {
        let bytes = part.as_ptr().addr().saturating_sub(self.text.as_ptr().addr());
        let before = self.text.get(..bytes).unwrap_or(self.text);
        u32::try_from(before.chars().count() + 1).unwrap_or(u32::MAX)
    }

    /// What it says about a query, if it is a comment that could do so.
    pub(super) fn remark(self) -> Option<Remark<'t>> {
        let comment = self.code().strip_prefix("--")?.trim_start();
        let (key, value) = comment.split_once(':')?;
        let is_word = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
        let is_key = !key.is_empty() && key.bytes().all(is_word);
        is_key.then(|| Remark { line: self, key, value: value.trim_start() })
    }
}

impl<'t> Remark<'t> {
    pub(super) fn is(self, key: &str) -> bool {
        self.key.eq_ignore_ascii_case(key)
    }

    /// Whether it says something that belongs to a query, and not where one begins.
    pub(super) fn is_detail(self) -> bool {
        [DOC, PARAM, DIALECT].iter().any(|key| self.is(key))
    }

    /// Whether it has to be one that is known. `NB:` is a comment, and so is an address.
    pub(super) fn must_be_known(self) -> bool {
        let is_small = self.key.bytes().all(|byte| !byte.is_ascii_uppercase());
        is_small && !self.value.starts_with("//")
    }

    /// Whether somebody wanted to begin a query with it.
    pub(super) fn is_misspelt_name(self) -> bool {
        let (name, suffix) = self.name_and_suffix();
        let kind = suffix.strip_prefix(':').and_then(QueryKind::of);
        Name::nearest(self.key, [NAME]).is_some() && is_name(name) && kind.is_some()
    }

    /// The name and what is behind it, each of which may be empty.
    pub(super) fn name_and_suffix(self) -> (&'t str, &'t str) {
        let ends = |character: char| character.is_whitespace() || character == ':';
        let (name, suffix) = self.value.split_at(self.value.find(ends).unwrap_or(self.value.len()));
        (name, suffix.trim_start())
    }

    /// The word that was probably meant by its key.
    pub(super) fn nearest(self) -> Option<&'static str> {
        Name::nearest(self.key, [NAME, DOC, PARAM, DIALECT])
    }
}

/// Whether a query may be called so.
pub(super) fn is_name(name: &str) -> bool {
    name.split('.').all(|part| {
        let is_first = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
        let is_rest = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        part.bytes().next().is_some_and(is_first) && part.bytes().all(is_rest)
    })
}

/// Whether a parameter may be called so.
pub(super) fn is_param(name: &str) -> bool {
    is_name(name) && !name.contains(['.', '-'])
}

pub(super) const NAME: &str = "name";
pub(super) const DOC: &str = "doc";
pub(super) const PARAM: &str = "param";
pub(super) const DIALECT: &str = "dialect";
