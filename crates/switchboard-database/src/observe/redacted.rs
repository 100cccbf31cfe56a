//! Values as logs may show them: their kinds and their lengths, and nothing else of them.

use std::fmt;

use crate::sql::lexer::{Kind, tokens};
use crate::{Lexis, Row, Value};

/// The kinds of parameters: `[integer, text]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Kinds {
    first: Vec<&'static str>,
    more: usize,
}

/// Rows as kinds and lengths: `[{id: integer, name: text(12)}]`.
pub(super) struct Sample<'s> {
    rows: &'s [Row],
    /// The text they are the answer to.
    sql: &'s str,
    lexis: Lexis,
}

impl Kinds {
    pub(super) fn of(values: &[Value]) -> Self {
        let first: Vec<_> = values.iter().take(VALUES_SHOWN_MAX).map(Value::kind).collect();
        Self { more: values.len() - first.len(), first }
    }
}

impl fmt::Display for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}", self.first.join(", "))?;
        match self.more {
            0 => f.write_str("]"),
            more => write!(f, ", and {more} more]"),
        }
    }
}

impl<'s> Sample<'s> {
    /// The first of `rows`, which `sql` has answered with.
    pub(super) fn of(rows: &'s [Row], sql: &'s str, lexis: Lexis) -> Self {
        Self { rows: &rows[..rows.len().min(ROWS_SHOWN_MAX)], sql, lexis }
    }

    fn row(&self, row: &Row, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        let cells = row.columns().iter().zip(row.values());
        for (number, (column, value)) in cells.enumerate().take(VALUES_SHOWN_MAX) {
            let before = if number == 0 { "" } else { ", " };
            write!(f, "{before}{}: ", self.name(&column.name))?;
            show(value, f)?;
        }
        match row.columns().len().saturating_sub(VALUES_SHOWN_MAX) {
            0 => f.write_str("}"),
            more => write!(f, ", and {more} more}}"),
        }
    }

    /// A column that was given no name is called by the server after its text, and values may be in that.
    fn name<'n>(&self, name: &'n str) -> &'n str {
        let mut letters = name.chars();
        let is_word = letters.next().is_some_and(|first| first.is_alphabetic() || first == '_')
            && letters.all(|letter| letter.is_alphanumeric() || letter == '_');
        if is_word && !self.is_in_a_value(name) { name } else { "?" }
    }

    fn is_in_a_value(&self, name: &str) -> bool {
        let mut values =
            tokens(self.sql, self.lexis).filter(|token| matches!(token.kind, Kind::Text));
        values.any(|value| value.text(self.sql).contains(name))
    }
}

impl fmt::Display for Sample<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (number, row) in self.rows.iter().enumerate() {
            f.write_str(if number == 0 { "" } else { ", " })?;
            self.row(row, f)?;
        }
        f.write_str("]")
    }
}

fn show(value: &Value, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let length = match value {
        Value::Text(text) | Value::Json(text) => text.chars().count(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Array(values) => values.len(),
        _ => return f.write_str(value.kind()),
    };
    write!(f, "{}({length})", value.kind())
}

/// How many rows of an answer are looked at.
pub(super) const ROWS_SHOWN_MAX: usize = 3;

/// How many parameters, and how many columns of a row, are shown.
const VALUES_SHOWN_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Column, Columns};

    fn rows(names: &[&str], values: &[Value], count: usize) -> Vec<Row> {
        let column = |name: &&str| Column { name: (*name).into(), type_name: None };
        let columns = Columns::new(names.iter().map(column));
        (0..count).map(|_| Row::new(columns.clone(), values.to_vec())).collect()
    }

    fn sample(sql: &str, rows: &[Row]) -> String {
        Sample::of(rows, sql, Lexis::default()).to_string()
    }

    #[test]
    fn parameters_are_shown_as_their_kinds() {
        assert_eq!(Kinds::of(&[]).to_string(), "[]");
        let values = [Value::from(7), Value::from("secret"), Value::Null];
        assert_eq!(Kinds::of(&values).to_string(), "[integer, text, null]");
        let many = vec![Value::from(1); 25];
        assert!(Kinds::of(&many).to_string().ends_with("integer, and 5 more]"));
    }

    #[test]
    fn rows_are_shown_as_kinds_and_lengths() {
        let values = [Value::from(7), Value::from("sécret"), Value::from(vec![1, 2])];
        let rows = rows(&["id", "name", "tags"], &values, 4);
        let one = "{id: integer, name: text(6), tags: array(2)}";
        let shown = sample("select * from t where name = 'secret'", &rows);
        assert_eq!(shown, format!("[{one}, {one}, {one}]"));
        assert_eq!(sample("select 1", &[]), "[]");
    }

    #[test]
    fn a_column_that_is_called_after_a_value_is_not_named() {
        let values = vec![Value::Null; 4];
        let rows = rows(&["secret", "'secret'", "42", "n"], &values, 1);
        let shown = sample("select 'my secret', 'secret', 42, n from t", &rows);
        assert_eq!(shown, "[{?: null, ?: null, ?: null, n: null}]");
    }
}
