//! Conditions that come from users, and cannot say more than they may.

use switchboard_core::{Error, ErrorKind, Result};

use super::clauses::Clause;
use super::page::{Allowed, column};
use crate::Value;

/// A condition on columns that may be named. Values are always sent as values.
///
/// ```
/// use switchboard_database::sql::Filter;
///
/// let allowed = &[("name", "u.name"), ("age", "u.age")];
/// let filter = Filter::starts_with("name", "A", allowed)?.and(Filter::ge("age", 18, allowed)?);
/// assert!(Filter::eq("password", "x", allowed).is_err());
/// # Ok::<(), switchboard_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Filter {
    condition: Condition,
    depth: usize,
}

#[derive(Clone, Debug)]
enum Condition {
    Compare(&'static str, &'static str, Value),
    Like(&'static str, String),
    In(&'static str, Vec<Value>),
    Between(&'static str, Value, Value),
    IsNull(&'static str),
    Both(Box<Filter>, Box<Filter>),
    Either(Box<Filter>, Box<Filter>),
    Not(Box<Filter>),
}

macro_rules! comparisons {
    ($($(#[$doc:meta])* $name:ident => $operator:literal;)*) => {
        $(
            $(#[$doc])*
            pub fn $name(name: &str, value: impl Into<Value>, allowed: &Allowed) -> Result<Self> {
                Self::compare(name, $operator, value.into(), allowed)
            }
        )*
    };
}

impl Filter {
    comparisons! {
        /// The column is that value. Nothing is equal to nothing.
        eq => "=";
        /// The column is another value. Nothing is not unequal to anything but nothing.
        ne => "<>";
        /// The column is less.
        lt => "<";
        /// The column is less, or that value.
        le => "<=";
        /// The column is greater.
        gt => ">";
        /// The column is greater, or that value.
        ge => ">=";
    }

    /// The column has that text in it. Whether case counts is the database's choice.
    pub fn contains(name: &str, text: &str, allowed: &Allowed) -> Result<Self> {
        Self::like(name, format!("%{}%", escaped(text)), allowed)
    }

    /// The column begins with that text.
    pub fn starts_with(name: &str, text: &str, allowed: &Allowed) -> Result<Self> {
        Self::like(name, format!("{}%", escaped(text)), allowed)
    }

    /// The column ends with that text.
    pub fn ends_with(name: &str, text: &str, allowed: &Allowed) -> Result<Self> {
        Self::like(name, format!("%{}", escaped(text)), allowed)
    }

    /// The column is one of these values; never, if there are none.
    pub fn in_list<V: Into<Value>>(
        name: &str,
        values: impl IntoIterator<Item = V>,
        allowed: &Allowed,
    ) -> Result<Self> {
        let values = values.into_iter().map(Into::into).collect();
        Ok(Self::simple(Condition::In(column(name, allowed)?, values)))
    }

    /// The column is one of two values, or between them.
    pub fn between(
        name: &str,
        low: impl Into<Value>,
        high: impl Into<Value>,
        allowed: &Allowed,
    ) -> Result<Self> {
        let column = column(name, allowed)?;
        Ok(Self::simple(Condition::Between(column, low.into(), high.into())))
    }

    /// The column is nothing.
    pub fn is_null(name: &str, allowed: &Allowed) -> Result<Self> {
        Ok(Self::simple(Condition::IsNull(column(name, allowed)?)))
    }

    /// Both hold.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let depth = self.depth.max(other.depth) + 1;
        Self { condition: Condition::Both(self.into(), other.into()), depth }
    }

    /// One of them holds, or both.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let depth = self.depth.max(other.depth) + 1;
        Self { condition: Condition::Either(self.into(), other.into()), depth }
    }

    /// It does not hold. Where it is about nothing, neither holds.
    #[must_use]
    #[expect(
        clippy::should_implement_trait,
        reason = "`!filter` reads worse beside `and` and `or`"
    )]
    pub fn not(self) -> Self {
        let depth = self.depth + 1;
        Self { condition: Condition::Not(self.into()), depth }
    }

    fn compare(
        name: &str,
        operator: &'static str,
        value: Value,
        allowed: &Allowed,
    ) -> Result<Self> {
        let column = column(name, allowed)?;
        match (operator, value.is_null()) {
            ("=", true) => Ok(Self::simple(Condition::IsNull(column))),
            ("<>", true) => Ok(Self::simple(Condition::IsNull(column)).not()),
            _ => Ok(Self::simple(Condition::Compare(column, operator, value))),
        }
    }

    fn like(name: &str, pattern: String, allowed: &Allowed) -> Result<Self> {
        Ok(Self::simple(Condition::Like(column(name, allowed)?, pattern)))
    }

    fn simple(condition: Condition) -> Self {
        Self { condition, depth: 1 }
    }

    pub(super) fn write(&self, clause: &mut Clause<'_>) -> Result<()> {
        if self.depth > DEPTH_MAX {
            let message = "the filter has filters in it too deeply";
            return Err(
                Error::new(ErrorKind::InvalidInput, message).with_context("depth_max", DEPTH_MAX)
            );
        }
        self.condition.write(clause);
        Ok(())
    }
}

impl Condition {
    fn write(&self, clause: &mut Clause<'_>) {
        match self {
            Self::Compare(column, operator, value) => {
                clause.column(column);
                clause.push(&format!(" {operator} "));
                clause.value(value.clone());
            }
            Self::Like(column, pattern) => {
                clause.column(column);
                clause.push(" LIKE ");
                clause.value(Value::Text(pattern.clone()));
                clause.push(" ESCAPE '!'");
            }
            Self::In(_, values) if values.is_empty() => clause.push("1=0"),
            Self::In(column, values) => write_list(clause, column, values),
            Self::Between(column, low, high) => {
                clause.column(column);
                clause.push(" BETWEEN ");
                clause.value(low.clone());
                clause.push(" AND ");
                clause.value(high.clone());
            }
            Self::IsNull(column) => {
                clause.column(column);
                clause.push(" IS NULL");
            }
            Self::Both(one, other) => write_pair(clause, one, " AND ", other),
            Self::Either(one, other) => write_pair(clause, one, " OR ", other),
            Self::Not(inner) => {
                clause.push("NOT (");
                inner.condition.write(clause);
                clause.push(")");
            }
        }
    }
}

fn write_list(clause: &mut Clause<'_>, column: &str, values: &[Value]) {
    clause.column(column);
    for (at, value) in values.iter().enumerate() {
        clause.push(if at == 0 { " IN (" } else { ", " });
        clause.value(value.clone());
    }
    clause.push(")");
}

fn write_pair(clause: &mut Clause<'_>, one: &Filter, between: &str, other: &Filter) {
    clause.push("(");
    one.condition.write(clause);
    clause.push(between);
    other.condition.write(clause);
    clause.push(")");
}

/// The text with `!` before what would mean more than itself.
fn escaped(text: &str) -> String {
    text.replace('!', "!!").replace('%', "!%").replace('_', "!_")
}

/// How many `and`, `or` and `not` may be around each other.
const DEPTH_MAX: usize = 64;
