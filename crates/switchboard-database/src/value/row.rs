//! Rows as they come, and what is known of their columns.

use std::collections::HashSet;
use std::sync::Arc;

use super::Value;

/// One column of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: Box<str>,
    /// The database's name of its type, where there is one.
    pub type_name: Option<Box<str>>,
}

/// The columns of an answer, shared by its rows.
///
/// Several may have one name; whoever asks by name then gets the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns(Arc<Inner>);

#[derive(Debug, PartialEq, Eq)]
struct Inner {
    columns: Box<[Column]>,
    /// Which of them have the name of an earlier one, in order.
    repeats: Box<[usize]>,
}

/// One row: values in the order of the columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    columns: Columns,
    values: Vec<Value>,
}

impl Columns {
    /// These columns.
    pub fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        let columns: Box<[Column]> = columns.into_iter().collect();
        let repeats = repeats(&columns);
        Self(Arc::new(Inner { columns, repeats }))
    }

    /// The columns in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Column> {
        self.0.columns.iter()
    }

    /// The column that stands there.
    pub fn get(&self, index: usize) -> Option<&Column> {
        self.0.columns.get(index)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.columns.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.columns.is_empty()
    }

    /// Where the first column of that name stands; where there is none, the first whose name differs
    /// only in capitals, which databases treat in different ways.
    pub fn position(&self, name: &str) -> Option<usize> {
        let exactly = self.iter().position(|column| &*column.name == name);
        exactly.or_else(|| self.iter().position(|column| column.name.eq_ignore_ascii_case(name)))
    }

    /// Whether they are the very same, and not only alike.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether an earlier column has the name of the one that stands there.
    pub(super) fn is_repeat(&self, index: usize) -> bool {
        self.0.repeats.binary_search(&index).is_ok()
    }
}

impl Default for Columns {
    fn default() -> Self {
        Self::new([])
    }
}

impl<'c> IntoIterator for &'c Columns {
    type Item = &'c Column;
    type IntoIter = std::slice::Iter<'c, Column>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Row {
    /// A row as a driver read it. There are as many values as columns.
    pub fn new(columns: Columns, values: Vec<Value>) -> Self {
        debug_assert_eq!(columns.len(), values.len());
        Self { columns, values }
    }

    /// What is known of its columns.
    pub fn columns(&self) -> &Columns {
        &self.columns
    }

    /// Its values, in the order of the columns.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// The values themselves.
    pub fn into_values(self) -> Vec<Value> {
        self.values
    }

    /// The value in the first column of that name; see [`Columns::position`].
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(self.columns.position(name)?)
    }

    pub(crate) fn into_parts(self) -> (Columns, Vec<Value>) {
        (self.columns, self.values)
    }
}

fn repeats(columns: &[Column]) -> Box<[usize]> {
    let mut seen = HashSet::with_capacity(columns.len());
    let named = columns.iter().enumerate();
    named.filter_map(|(at, column)| (!seen.insert(&*column.name)).then_some(at)).collect()
}
