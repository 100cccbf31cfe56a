//! Files of named queries: how they are read, every mistake in them, and what becomes of one that is
//! changed.

mod files;
mod fit;
mod mistakes;
mod reading;
mod reload;
#[cfg(feature = "sqlite")]
mod running;

use std::sync::LazyLock;

use switchboard_core::{Error, Problems};

use super::Queries;
use crate::{Dialect, Lexis, Placeholder};

/// The queries in one text.
fn read(text: &str) -> Queries {
    Queries::embedded(&[("a.sql", text)]).unwrap()
}

/// The mistakes in one text, as people see them.
fn mistakes_in(text: &str) -> Vec<String> {
    mistakes_of(&Queries::embedded(&[("a.sql", text)]).unwrap_err())
}

fn mistakes_of(error: &Error) -> Vec<String> {
    error.find::<Problems>().unwrap().iter().map(ToString::to_string).collect()
}

/// A dialect in which not much is possible.
fn dialect(name: &'static str, placeholder: Placeholder) -> Dialect {
    Dialect {
        name,
        placeholder,
        quote: '"',
        lexis: Lexis::default(),
        values_max: 100,
        has_arrays: false,
        has_nulls_order: true,
        has_returning: true,
        check_deferred: None,
        has_transactional_ddl: true,
        bulk_is_atomic: true,
        ..Dialect::STANDARD
    }
}

static POSTGRES: LazyLock<Dialect> = LazyLock::new(|| dialect("postgres", Placeholder::Dollar));
static SQLITE: LazyLock<Dialect> =
    LazyLock::new(|| dialect("sqlite", Placeholder::NumberedQuestion));
