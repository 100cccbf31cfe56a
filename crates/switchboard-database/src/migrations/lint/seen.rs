//! What the statements before have made, so that what follows them is judged by it.

use super::words::{Name, Names};

/// What was seen so far.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) new: New,
    checks: Vec<Check>,
}

/// What nobody else can be using yet.
#[derive(Debug, Default)]
pub(super) struct New {
    pub(super) tables: Names,
    pub(super) indexes: Names,
}

/// A constraint that was added without looking at the rows.
#[derive(Debug)]
struct Check {
    table: Name,
    name: Name,
    /// The column that it forbids to be without a value, where that is all it does.
    column: Option<Name>,
    version: u64,
    is_validated: bool,
}

impl Seen {
    pub(super) fn added_unchecked(
        &mut self,
        table: &Name,
        name: Name,
        column: Option<Name>,
        version: u64,
    ) {
        let table = table.clone();
        self.checks.push(Check { table, name, column, version, is_validated: false });
    }

    /// Takes a constraint for validated. The version of the migration that added it, if it was seen.
    pub(super) fn validated(&mut self, table: &Name, name: &Name) -> Option<u64> {
        let is_it = |check: &&mut Check| check.table.own == table.own && check.name.own == name.own;
        let check = self.checks.iter_mut().rev().find(is_it)?;
        check.is_validated = true;
        Some(check.version)
    }

    /// Whether it is certain that each row has a value there.
    pub(super) fn is_filled(&self, table: &Name, column: &Name) -> bool {
        let is_it = |check: &Check| {
            let of_column = check.column.as_ref().is_some_and(|of| of.own == column.own);
            of_column && check.is_validated && check.table.own == table.own
        };
        self.checks.iter().any(is_it)
    }
}
