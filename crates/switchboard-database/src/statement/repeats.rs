//! Rows with one key, put together before they are sent.
//!
//! PostgreSQL takes them only from different statements, which would be one for each of them. What only the server
//! finds to be one key is left to it: `1.0` and `1.00`, texts that its collation holds to be equal, and nothing, which
//! is no key.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::{Date, DateTime, Decimal, Time, Timestamp, Value};

/// Which columns of rows are their key, and which change of a row that is there.
#[derive(Debug)]
pub(super) struct Repeats {
    /// Where the columns of the key are.
    key: Vec<usize>,
    /// Of each column, whether it changes.
    is_updated: Vec<bool>,
}

impl Repeats {
    pub(super) fn of(columns: &[&str], key: &[&str], updated: &[&str]) -> Self {
        let at = |name: &&str| columns.iter().position(|column| column == name);
        Self {
            key: key.iter().filter_map(at).collect(),
            is_updated: columns.iter().map(|column| updated.contains(column)).collect(),
        }
    }

    /// What is there after all rows of `values`, each with a key of its own: the first row of each key with
    /// what the last one changes.
    pub(super) fn merged<'v>(&self, values: &'v [Value]) -> Cow<'v, [Value]> {
        let rows: Vec<_> = values.chunks(self.is_updated.len()).collect();
        let ends = self.ends(&rows);
        if ends.len() == rows.len() {
            return Cow::Borrowed(values);
        }
        let merged = ends.iter().flat_map(|ends| self.row(rows[ends.first], rows[ends.last]));
        Cow::Owned(merged.cloned().collect())
    }

    /// Of each key, in the order in which they first come.
    fn ends(&self, rows: &[&[Value]]) -> Vec<Ends> {
        let mut ends: Vec<Ends> = Vec::with_capacity(rows.len());
        let mut known: HashMap<_, usize> = HashMap::with_capacity(rows.len());
        for (at, row) in rows.iter().enumerate() {
            match self.key_of(row).map(|key| known.entry(key)) {
                Some(Entry::Occupied(place)) => ends[*place.get()].last = at,
                place => {
                    if let Some(Entry::Vacant(place)) = place {
                        place.insert(ends.len());
                    }
                    ends.push(Ends { first: at, last: at });
                }
            }
        }
        ends
    }

    fn key_of<'v>(&self, row: &'v [Value]) -> Option<Vec<Part<'v>>> {
        self.key.iter().map(|at| Part::of(&row[*at])).collect()
    }

    fn row<'v>(&self, first: &'v [Value], last: &'v [Value]) -> impl Iterator<Item = &'v Value> {
        let chosen = |((first, last), is_updated)| if is_updated { last } else { first };
        first.iter().zip(last).zip(self.is_updated.iter().copied()).map(chosen)
    }
}

/// The first and the last row of one key.
struct Ends {
    first: usize,
    last: usize,
}

/// A value of a key that every server holds to be equal to itself, and writes in one way.
#[derive(PartialEq, Eq, Hash)]
enum Part<'v> {
    Bool(bool),
    Int(i64),
    UInt(u64),
    Decimal(&'v Decimal),
    Text(&'v str),
    Bytes(&'v [u8]),
    Date(Date),
    Time(Time),
    DateTime(DateTime),
    Timestamp(Timestamp),
    Uuid([u8; 16]),
}

impl<'v> Part<'v> {
    fn of(value: &'v Value) -> Option<Self> {
        Some(match value {
            Value::Bool(value) => Self::Bool(*value),
            Value::Int(value) => Self::Int(*value),
            Value::UInt(value) => Self::UInt(*value),
            Value::Decimal(value) => Self::Decimal(value),
            Value::Text(value) => Self::Text(value),
            Value::Bytes(value) => Self::Bytes(value),
            Value::Date(value) => Self::Date(*value),
            Value::Time(value) => Self::Time(*value),
            Value::DateTime(value) => Self::DateTime(*value),
            Value::Timestamp(value) => Self::Timestamp(*value),
            Value::Uuid(value) => Self::Uuid(*value),
            // Two that are nothing are two keys, and so may be two that are no number.
            Value::Null | Value::Float(_) | Value::Json(_) | Value::Array(_) => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [&str; 4] = ["a", "k", "b", "l"];

    fn merged(updated: &[&str], rows: &[[Value; 4]]) -> Vec<[Value; 4]> {
        let values = rows.concat();
        let repeats = Repeats::of(&COLUMNS, &["l", "k"], updated);
        let merged = repeats.merged(&values);
        merged.chunks(4).map(|row| row.to_vec().try_into().unwrap()).collect()
    }

    fn row(values: [i64; 4]) -> [Value; 4] {
        values.map(Value::from)
    }

    #[test]
    fn of_rows_with_one_key_the_first_stays_with_what_the_last_changes() {
        let rows = [[1, 7, 1, 7], [2, 8, 2, 7], [3, 7, 3, 7], [4, 7, 4, 8], [5, 7, 5, 7]].map(row);
        for (updated, first) in [(&["a", "b"][..], [5, 7, 5, 7]), (&["b"], [1, 7, 5, 7])] {
            let expected = [first, [2, 8, 2, 7], [4, 7, 4, 8]].map(row);
            assert_eq!(merged(updated, &rows), expected);
        }
    }

    #[test]
    fn rows_with_keys_of_their_own_are_not_copied() {
        let values = [[1, 7, 1, 7], [2, 7, 2, 8]].map(row).concat();
        let repeats = Repeats::of(&COLUMNS, &["k", "l"], &["a"]);
        assert!(matches!(repeats.merged(&values), Cow::Borrowed(_)));
    }

    #[test]
    fn what_may_not_be_equal_to_itself_is_no_key() {
        for value in [Value::Null, f64::NAN.into(), 0.5.into(), Value::Array(vec![Value::Null])] {
            let mut row = row([1, 7, 1, 7]);
            row[1] = value;
            assert_eq!(merged(&["a", "b"], &[row.clone(), row]).len(), 2);
        }
    }

    #[test]
    fn values_of_different_kinds_are_different_keys() {
        let values = [Value::from("7"), 7.into(), Value::Bytes(b"7".to_vec())];
        let rows = values.map(|value| [1.into(), value, 1.into(), 7.into()]);
        assert_eq!(merged(&["a", "b"], &rows).len(), 3);
    }
}
