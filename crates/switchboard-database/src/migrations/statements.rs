//! The statements of a migration, each with its number and its line.

use switchboard_core::{Error, ErrorKind, Result};

use super::files::Migration;
use crate::{Dialect, sql};

/// One statement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'m> {
    pub(super) number: usize,
    pub(super) line: usize,
    pub(super) sql: &'m str,
}

/// The statements of `migration`; an error names all that only a migration itself may say.
pub(super) fn parts<'m>(
    migration: &'m Migration,
    dialect: &Dialect,
    mistakes: &mut Vec<Error>,
) -> Vec<Part<'m>> {
    let split = sql::split(&migration.text, dialect.lexis);
    let numbered = split.iter().enumerate();
    let parts: Vec<_> = numbered
        .map(|(index, part)| Part { number: index + 1, line: part.line, sql: part.sql })
        .collect();
    for part in &parts {
        mistakes.extend(part.allowed(dialect).err().map(|error| part.tell(error, migration)));
    }
    parts
}

/// Whether no statement stands in `migration` yet.
pub(super) fn is_empty(migration: &Migration, dialect: &Dialect) -> bool {
    sql::split(&migration.text, dialect.lexis).is_empty()
}

impl Part<'_> {
    pub(super) fn is_first(&self) -> bool {
        self.number == 1
    }

    /// Number, line and text, as the journal keeps them.
    pub(super) fn told(&self) -> (i64, i64, String) {
        let number = |of| i64::try_from(of).unwrap_or(i64::MAX);
        (number(self.number), number(self.line), self.kept())
    }

    /// The error of this statement, with where it is. Its text may hold anybody's secrets.
    pub(super) fn tell(&self, error: Error, migration: &Migration) -> Error {
        error
            .with_context("file", format_args!("{}:{}", migration.file, self.line))
            .with_context("number", self.number)
    }

    /// A migration is one transaction, or none at all; which of both is not said in the middle.
    fn allowed(&self, dialect: &Dialect) -> Result<()> {
        if sql::Traits::of(self.sql, dialect.lexis).effect != sql::Effect::Control {
            return Ok(());
        }
        let refused = "a migration begins and ends no transactions: that is done around it";
        Err(Error::new(ErrorKind::Config, refused)
            .with_hint("`-- switchboard: no-transaction` in the first line leaves it away")
            .not_applied())
    }

    fn kept(&self) -> String {
        match self.sql.char_indices().nth(KEPT_CHARACTERS_MAX) {
            None => self.sql.to_owned(),
            Some((end, _)) => format!("{}…", &self.sql[..end]),
        }
    }
}

/// How much of one the journal keeps, in characters.
const KEPT_CHARACTERS_MAX: usize = 1_000_000;
