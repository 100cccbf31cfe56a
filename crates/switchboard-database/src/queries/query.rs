//! One named query: what it gives, and its text in each dialect.

use std::fmt;
use std::sync::Arc;

use switchboard_core::{Error, ErrorKind, Origin, Result};

use crate::Dialect;

/// A query that has a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    name: Box<str>,
    kind: QueryKind,
    texts: Vec<Arc<QueryText>>,
}

/// The text of a query in one dialect, or in all that have no text of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryText {
    pub(super) dialect: Option<Box<str>>,
    pub(super) doc: Option<Box<str>>,
    pub(super) params: Vec<QueryParam>,
    pub(super) sql: Box<str>,
    pub(super) place: Origin,
    pub(super) sql_place: Origin,
}

/// A parameter of a query, as its file declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryParam {
    pub(super) name: Box<str>,
    pub(super) type_name: Option<Box<str>>,
    pub(super) place: Origin,
}

/// What a query gives, by the word behind its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum QueryKind {
    /// `:one`: the one row; no row is an error, and several are another one.
    One,
    /// `:opt`: the one row, or nothing; several are an error.
    Opt,
    /// `:many`: all rows.
    Many,
    /// `:value`: the one value of the one row.
    Value,
    /// `:exec`: what the statement did.
    Exec,
    /// `:affected`: how many rows the statement changed.
    Affected,
    /// `:stream`: the rows, one after the other, without having all of them at a time.
    Stream,
    /// `:script`: nothing; it is several statements, without parameters.
    Script,
}

impl Query {
    pub(super) fn new(name: &str, kind: QueryKind, text: QueryText) -> Self {
        Self { name: name.into(), kind, texts: vec![Arc::new(text)] }
    }

    /// Its name, as it was written.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it gives.
    pub fn kind(&self) -> QueryKind {
        self.kind
    }

    /// What was written about it.
    pub fn doc(&self) -> Option<&str> {
        self.texts.iter().find_map(|text| text.doc())
    }

    /// Where its name stands, for the first time if it has several texts.
    pub fn place(&self) -> &Origin {
        &self.texts[0].place
    }

    /// Its texts, in the order in which they were read; there is at least one.
    pub fn texts(&self) -> impl Iterator<Item = &QueryText> {
        self.texts.iter().map(AsRef::as_ref)
    }

    /// Its text in `dialect`: the one for that dialect, else the one for all others.
    pub fn text(&self, dialect: &Dialect) -> Result<&Arc<QueryText>> {
        self.written_for(Some(dialect.name))
            .or_else(|| self.written_for(None))
            .ok_or_else(|| self.no_text(dialect))
    }

    pub(super) fn written_for(&self, dialect: Option<&str>) -> Option<&Arc<QueryText>> {
        self.texts.iter().find(|text| text.dialect() == dialect)
    }

    pub(super) fn add(&mut self, text: QueryText) {
        self.texts.push(Arc::new(text));
    }

    fn no_text(&self, dialect: &Dialect) -> Error {
        let there: Vec<_> = self.texts().filter_map(QueryText::dialect).collect();
        Error::new(ErrorKind::Unsupported, "the query has no text in the dialect of this database")
            .with_context("query", &self.name)
            .with_context("dialect", dialect.name)
            .with_context("there are", there.join(", "))
            .with_context("place", self.place())
            .not_applied()
    }
}

impl QueryText {
    /// The dialect it is for; `None` for all that have no text of their own.
    pub fn dialect(&self) -> Option<&str> {
        self.dialect.as_deref()
    }

    /// What was written about it.
    pub fn doc(&self) -> Option<&str> {
        self.doc.as_deref()
    }

    /// The parameters that its file declares, in order.
    pub fn params(&self) -> &[QueryParam] {
        &self.params
    }

    /// The statement; of a script, the statements.
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// Where its name stands.
    pub fn place(&self) -> &Origin {
        &self.place
    }
}

impl QueryParam {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its type in the words of whoever wrote it. Nothing is checked against it.
    pub fn type_name(&self) -> Option<&str> {
        self.type_name.as_deref()
    }

    /// Where it is declared.
    pub fn place(&self) -> &Origin {
        &self.place
    }
}

impl QueryKind {
    /// All there are.
    pub const ALL: [Self; 8] = [
        Self::One,
        Self::Opt,
        Self::Many,
        Self::Value,
        Self::Exec,
        Self::Affected,
        Self::Stream,
        Self::Script,
    ];

    /// The word behind the colon, which is also the method that runs such a query.
    pub const fn word(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Opt => "opt",
            Self::Many => "many",
            Self::Value => "value",
            Self::Exec => "exec",
            Self::Affected => "affected",
            Self::Stream => "stream",
            Self::Script => "script",
        }
    }

    pub(super) fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

impl fmt::Display for QueryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ":{}", self.word())
    }
}
