//! Adds clauses to a query that has its values already.

use std::ops::Range;

use switchboard_core::{Error, ErrorKind, Result};

use super::lexer::{Kind, Token};
use super::query::outside;
use super::split::statements;
use super::{Bound, Filter, OrderBy, Page, quoted_path};
use crate::{Dialect, Placeholder, Value};

impl Bound {
    /// The same query for the rows that `filter` lets through.
    ///
    /// The condition stands beside the one the query has; a query of several, as with `UNION`, is
    /// [`ErrorKind::InvalidInput`]. Filter first, then order, then take a page.
    pub fn filtered(self, filter: &Filter, dialect: &Dialect) -> Result<Self> {
        let query = Query::of(&self, dialect)?;
        if query.find(COMBINATIONS).is_some() {
            return Err(refused("a query of several cannot be filtered"));
        }
        let end = query.end_before(AFTER_CONDITION);
        let mut clause = Clause::new(&self, dialect);
        let Some(condition) = query.find(&["where"]).map(|at| query.tokens[at].end) else {
            clause.push(" WHERE ");
            filter.write(&mut clause)?;
            return self.with_clause(end, clause, dialect);
        };
        clause.push(") AND (");
        filter.write(&mut clause)?;
        clause.push(")");
        let mut bound = self.with_clause(end, clause, dialect)?;
        let (before, after) = bound.sql.split_at(condition);
        bound.sql = format!("{before} ({}", after.trim_start()).into();
        Ok(bound)
    }

    /// The same query with its rows in that order. One that says an order itself is
    /// [`ErrorKind::InvalidInput`].
    pub fn ordered(self, order: &OrderBy, dialect: &Dialect) -> Result<Self> {
        let query = Query::of(&self, dialect)?;
        if query.find(&["order"]).is_some() {
            return Err(refused("the query says an order itself"));
        }
        let end = query.end_before(AFTER_ORDER);
        let mut clause = Clause::new(&self, dialect);
        order.write(&mut clause);
        self.with_clause(end, clause, dialect)
    }

    /// One page of the same query. One that says how many rows it wants is
    /// [`ErrorKind::InvalidInput`].
    pub fn paged(self, page: Page, dialect: &Dialect) -> Result<Self> {
        let query = Query::of(&self, dialect)?;
        if query.find(LIMITS).is_some() {
            return Err(refused("the query says itself how many rows it wants"));
        }
        let end = query.end_before(LOCKS);
        let mut clause = Clause::new(&self, dialect);
        page.write(&mut clause);
        self.with_clause(end, clause, dialect)
    }

    /// The query that counts the rows of this one.
    ///
    /// Where the columns do not matter to that they are left out, so that two of them may have one
    /// name, as in `SELECT * FROM a JOIN b`; not every database takes that from a query in another.
    pub fn counted(self, dialect: &Dialect) -> Result<Self> {
        let query = Query::of(&self, dialect)?;
        let end = query.end_before(&[]);
        let counted = match query.plain_columns() {
            Some(columns) => {
                format!("{}1{}", &self.sql[..columns.start], &self.sql[columns.end..end])
            }
            None => self.sql[..end].to_owned(),
        };
        let sql = format!("SELECT count(*) FROM ({counted}) AS counted").into();
        Ok(Self { sql, ..self })
    }

    fn with_clause(mut self, at: usize, clause: Clause<'_>, dialect: &Dialect) -> Result<Self> {
        let (before, after) = self.sql.split_at(at);
        let position = match dialect.placeholder {
            Placeholder::Question => values_in(before, dialect),
            _ => self.values.len(),
        };
        self.sql = [before, &clause.text, after].concat().into();
        self.values.splice(position..position, clause.values);
        if self.values.len() > dialect.values_max {
            return Err(super::parameters::beyond(self.values.len(), dialect));
        }
        Ok(self)
    }
}

/// Text to be added, with placeholders that go on where the query ends.
pub(super) struct Clause<'d> {
    pub(super) dialect: &'d Dialect,
    text: String,
    values: Vec<Value>,
    before: usize,
}

impl<'d> Clause<'d> {
    fn new(bound: &Bound, dialect: &'d Dialect) -> Self {
        Self { dialect, text: String::new(), values: Vec::new(), before: bound.values.len() }
    }

    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    pub(super) fn value(&mut self, value: Value) {
        self.values.push(value);
        let number = self.before + self.values.len();
        self.text.push_str(&self.dialect.placeholder.number(number));
    }

    /// A column with its table, each in quotes.
    pub(super) fn column(&mut self, column: &str) {
        self.text.push_str(&quoted_path(column, self.dialect));
    }
}

/// One query, as its tokens outside of parentheses.
struct Query<'s> {
    sql: &'s str,
    tokens: Vec<Token>,
}

impl<'s> Query<'s> {
    fn of(bound: &'s Bound, dialect: &Dialect) -> Result<Self> {
        let sql = &*bound.sql;
        let mut statements = statements(sql, dialect.lexis);
        let tokens = statements.pop().unwrap_or_default();
        let begins = |word| tokens.first().is_some_and(|first| first.is_word(sql, word));
        if !statements.is_empty() || !["select", "with", "values", "table"].into_iter().any(begins)
        {
            return Err(refused("only one query can be filtered, ordered and cut into pages"));
        }
        Ok(Self { sql, tokens: outside(sql, &tokens) })
    }

    /// Where the first of these words stands.
    fn find(&self, words: &[&str]) -> Option<usize> {
        let is_any = |at: usize| words.iter().any(|word| self.tokens[at].is_word(self.sql, word));
        (0..self.tokens.len()).find(|at| is_any(*at) && self.is_clause(*at))
    }

    /// Some words begin a clause only together with the next one.
    fn is_clause(&self, at: usize) -> bool {
        let next_is =
            |word| self.tokens.get(at + 1).is_some_and(|next: &Token| next.is_word(self.sql, word));
        match self.tokens[at].text(self.sql).to_ascii_lowercase().as_str() {
            "group" | "order" => next_is("by"),
            "lock" => next_is("in"),
            _ => true,
        }
    }

    /// Where the columns stand, if there are as many rows whatever they are.
    ///
    /// What is called there may make one row of many or many of one, and what follows may order or
    /// group by a name that a column gets there.
    fn plain_columns(&self) -> Option<Range<usize>> {
        let first = self.tokens.first().filter(|first| first.is_word(self.sql, "select"))?;
        let from = self.find(&["from"])?;
        let columns = &self.tokens[1..from];
        let is_plain = |token: &Token| {
            let is_bound = matches!(token.kind, Kind::Placeholder(_) | Kind::Variable);
            let matters = COLUMNS_THAT_MATTER.iter().any(|word| token.is_word(self.sql, word));
            !is_bound && !matters && !token.is_sign(self.sql, "(")
        };
        let is_kept = self.find(COMBINATIONS).or(self.find(NAMING_COLUMNS)).is_some();
        let last = columns.last().filter(|_| !is_kept && columns.iter().all(is_plain))?;
        let start = columns.first().filter(|column| column.start > first.end)?.start;
        Some(start..last.end)
    }

    /// Where what is before the first of these words ends; the end of the query without any.
    fn end_before(&self, words: &[&str]) -> usize {
        let next = self.find(words).unwrap_or(self.tokens.len());
        next.checked_sub(1).map_or(0, |last| self.tokens[last].end)
    }
}

fn values_in(sql: &str, dialect: &Dialect) -> usize {
    let tokens = super::lexer::tokens(sql, dialect.lexis);
    let question = Kind::Placeholder(super::lexer::Style::Question);
    tokens.filter(|token| token.kind == question).count()
}

fn refused(message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}

const COMBINATIONS: &[&str] = &["union", "intersect", "except"];
const COLUMNS_THAT_MATTER: &[&str] = &["distinct", "distinctrow", "into", "value"];
const NAMING_COLUMNS: &[&str] = &["group", "having", "window", "order"];
const LIMITS: &[&str] = &["limit", "offset", "fetch"];
const LOCKS: &[&str] = &["for", "lock"];
const AFTER_ORDER: &[&str] = &["limit", "offset", "fetch", "for", "lock"];
const AFTER_CONDITION: &[&str] =
    &["group", "having", "window", "order", "limit", "offset", "fetch", "for", "lock"];
