//! Which texts are JSON, on a server that has no type for it and says so only where it is asked.
//!
//! `MariaDB` keeps `JSON` as a `LONGTEXT` with a check that it is JSON. It is asked for the checks of a
//! table once for each connection, when a statement is prepared that gives such a text of it.

use std::collections::{HashMap, HashSet};

use mysql_async::Column as Described;
use mysql_async::consts::ColumnType;

/// The tables whose checks are known, with those of their columns that hold JSON.
#[derive(Default)]
pub(super) struct Documents(HashMap<Table, HashSet<String>>);

/// A schema, and a table in it.
type Table = (String, String);

impl Documents {
    /// A table of these columns that has a text which may be JSON, and is not known.
    pub(super) fn unknown(&self, described: &[Described]) -> Option<Table> {
        let mut tables = described.iter().filter(|column| is_long_text(column)).map(table_of);
        tables.find(|table| !table.1.is_empty() && !self.0.contains_key(table))
    }

    /// These columns of the table hold JSON, and no others.
    pub(super) fn learn(&mut self, table: Table, columns: Vec<String>) {
        self.0.insert(table, columns.into_iter().collect());
    }

    /// Forgets all of them where the text may define tables anew.
    pub(super) fn forget_where_defined(&mut self, sql: &str) {
        let is_defining =
            |word: &str| DEFINING.iter().any(|known| known.eq_ignore_ascii_case(word));
        if !self.0.is_empty() && sql.split(|sign: char| !sign.is_alphabetic()).any(is_defining) {
            self.0.clear();
        }
    }

    /// Whether the column holds JSON.
    pub(super) fn has(&self, column: &Described) -> bool {
        is_long_text(column)
            && self.0.get(&table_of(column)).is_some_and(|of| of.contains(&*column.org_name_str()))
    }
}

fn table_of(column: &Described) -> Table {
    (column.schema_str().into_owned(), column.org_table_str().into_owned())
}

fn is_long_text(column: &Described) -> bool {
    column.column_type() == ColumnType::MYSQL_TYPE_BLOB
        && column.character_set() != super::values::BINARY
        && column.column_length() == u32::MAX
}

const DEFINING: [&str; 5] = ["alter", "call", "create", "drop", "rename"];

/// Asks for the columns of a table that hold JSON: a check of one column is called as that is.
pub(super) const ASK: &str = "SELECT CONSTRAINT_NAME FROM information_schema.CHECK_CONSTRAINTS \
    WHERE CONSTRAINT_SCHEMA = ? AND TABLE_NAME = ? AND LEVEL = 'Column' \
    AND CHECK_CLAUSE = CONCAT('json_valid(`', CONSTRAINT_NAME, '`)')";
