//! Pages and orders that come from users, and cannot say more than they may.

use switchboard_core::{Error, ErrorKind, Name, Result};

use super::clauses::Clause;
use crate::Value;

/// The columns that may be named from outside: the name that is used there, and the column.
///
/// Columns are names, with their table where needed (`u.created_at`); they are put in quotes.
pub type Allowed = [(&'static str, &'static str)];

/// A part of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    limit: i64,
    offset: i64,
}

/// An order of rows, of columns that may be named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderBy {
    terms: Vec<Term>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Term {
    column: &'static str,
    is_descending: bool,
    nulls: Option<Nulls>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nulls {
    First,
    Last,
}

impl Page {
    /// The page of that number, counted from one, where each has `size` rows.
    ///
    /// ```
    /// use switchboard_database::sql::Page;
    ///
    /// assert_eq!(Page::new(3, 20)?, Page::offset(20, 40)?);
    /// assert!(Page::new(0, 20).is_err());
    /// # Ok::<(), switchboard_core::Error>(())
    /// ```
    pub fn new(number: u64, size: u64) -> Result<Self> {
        let before = number.checked_sub(1).and_then(|before| before.checked_mul(size));
        match before {
            Some(offset) => Self::offset(size, offset),
            None => Err(wrong_page().with_context("page", number)),
        }
    }

    /// `limit` rows after the first `offset`; at least one, and a thousand at most.
    pub fn offset(limit: u64, offset: u64) -> Result<Self> {
        let limit = i64::try_from(limit).ok().filter(|limit| (1..=ROWS_MAX).contains(limit));
        match (limit, i64::try_from(offset)) {
            (Some(limit), Ok(offset)) => Ok(Self { limit, offset }),
            _ => Err(wrong_page().with_context("rows_max", ROWS_MAX)),
        }
    }

    pub(super) fn write(self, clause: &mut Clause<'_>) {
        clause.push(" LIMIT ");
        clause.value(Value::Int(self.limit));
        clause.push(" OFFSET ");
        clause.value(Value::Int(self.offset));
    }
}

impl OrderBy {
    /// Reads `-created,name:nulls_last`: names with commas between them, `-` before one that counts
    /// down, and `:nulls_first` or `:nulls_last` after one that says where nothing stands.
    ///
    /// A name that is not in `allowed` is [`ErrorKind::InvalidInput`].
    ///
    /// ```
    /// use switchboard_database::sql::OrderBy;
    ///
    /// let allowed = &[("created", "u.created_at"), ("name", "u.name")];
    /// assert!(OrderBy::parse("-created,name", allowed).is_ok());
    /// assert!(OrderBy::parse("password", allowed).is_err());
    /// ```
    pub fn parse(written: &str, allowed: &Allowed) -> Result<Self> {
        let mut terms: Vec<Term> = Vec::new();
        for part in written.split(',') {
            let term = Term::parse(part.trim(), allowed)?;
            if terms.iter().any(|known| known.column == term.column) {
                let message = "a column is named twice";
                return Err(
                    Error::new(ErrorKind::InvalidInput, message).with_context("column", part)
                );
            }
            terms.push(term);
        }
        Ok(Self { terms })
    }

    pub(super) fn write(&self, clause: &mut Clause<'_>) {
        clause.push(" ORDER BY ");
        for (at, term) in self.terms.iter().enumerate() {
            if at > 0 {
                clause.push(", ");
            }
            term.write(clause);
        }
    }
}

impl Term {
    fn parse(written: &str, allowed: &Allowed) -> Result<Self> {
        let name = written.trim_start_matches(['-', '+']);
        let sign = &written[..written.len() - name.len()];
        let (name, nulls) = match name.split_once(':') {
            None => (name, None),
            Some((name, "nulls_first")) => (name, Some(Nulls::First)),
            Some((name, "nulls_last")) => (name, Some(Nulls::Last)),
            Some(_) => return Err(wrong_order(written)),
        };
        match sign {
            "" | "+" | "-" => {
                let column = column(name, allowed)?;
                Ok(Self { column, is_descending: sign == "-", nulls })
            }
            _ => Err(wrong_order(written)),
        }
    }

    fn write(self, clause: &mut Clause<'_>) {
        let has_nulls_order = clause.dialect.has_nulls_order;
        if let (Some(nulls), false) = (self.nulls, has_nulls_order) {
            clause.column(self.column);
            clause.push(match nulls {
                Nulls::First => " IS NOT NULL, ",
                Nulls::Last => " IS NULL, ",
            });
        }
        clause.column(self.column);
        clause.push(if self.is_descending { " DESC" } else { "" });
        if let (Some(nulls), true) = (self.nulls, has_nulls_order) {
            clause.push(match nulls {
                Nulls::First => " NULLS FIRST",
                Nulls::Last => " NULLS LAST",
            });
        }
    }
}

/// The column of that name, if it may be named.
pub(super) fn column(name: &str, allowed: &Allowed) -> Result<&'static str> {
    if let Some((_, column)) = allowed.iter().find(|(known, _)| *known == name) {
        return Ok(column);
    }
    let names: Vec<_> = allowed.iter().map(|(name, _)| *name).collect();
    let error = Error::new(ErrorKind::InvalidInput, "there is no such column to name")
        .with_context("column", name)
        .with_context("columns", names.join(", "));
    match Name::nearest(name, names) {
        Some(nearest) => Err(error.with_hint(format!("did you mean {nearest:?}?"))),
        None => Err(error),
    }
}

fn wrong_page() -> Error {
    Error::new(ErrorKind::InvalidInput, "there is no such page")
}

fn wrong_order(written: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, "an order is names with `-` before and commas between them")
        .with_context("order", written)
}

/// In one page.
const ROWS_MAX: i64 = 1_000;
