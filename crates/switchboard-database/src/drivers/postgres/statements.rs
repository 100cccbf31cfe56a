//! Statements that the server has prepared, and what is known of them.

use std::collections::HashMap;
use std::sync::Arc;

use switchboard_core::{Error, ErrorKind, Result};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, RowStream, Statement as Prepared};

use super::values::{Codec, Fit, Param, fit};
use crate::{Column, Columns, Value};

/// What is known of one statement.
pub(super) struct Kept {
    /// The statement as the server keeps it; it is sent anew each time if the server does not.
    pub(super) prepared: Option<Prepared>,
    /// The types of its parameters, as the library has them and as they are written.
    types: Box<[Type]>,
    params: Box<[Codec]>,
    /// The types of its columns.
    pub(super) fields: Box<[Codec]>,
    pub(super) columns: Columns,
}

impl Kept {
    /// What is known of a statement that the server goes on keeping.
    pub(super) fn named(prepared: Prepared) -> Self {
        let unnamed = Self::unnamed(&prepared);
        Self { prepared: Some(prepared), ..unnamed }
    }

    /// What is known of a statement that the server is to forget.
    pub(super) fn unnamed(prepared: &Prepared) -> Self {
        Self {
            types: prepared.params().into(),
            params: prepared.params().iter().map(Codec::of).collect(),
            ..Self::described(prepared.columns())
        }
    }

    /// What rows tell of the statement that they come from.
    pub(super) fn described(columns: &[tokio_postgres::Column]) -> Self {
        let fields = columns.iter().map(|column| Codec::of(column.type_())).collect();
        let columns = columns.iter().map(|column| Column {
            name: column.name().into(),
            type_name: Some(column.type_().name().into()),
        });
        Self {
            prepared: None,
            types: Box::default(),
            params: Box::default(),
            fields,
            columns: Columns::new(columns),
        }
    }

    /// Whether rows with these columns can be read as what is known. The server sees to that for
    /// what it keeps.
    pub(super) fn describes(&self, columns: &[tokio_postgres::Column]) -> bool {
        self.prepared.is_some()
            || (self.fields.len() == columns.len()
                && self.fields.iter().zip(columns).zip(&self.columns).all(
                    |((codec, column), known)| {
                        codec.oid == column.type_().oid() && *known.name == *column.name()
                    },
                ))
    }

    /// Asks the server to run it.
    pub(super) async fn ask<'a>(
        &'a self,
        client: &Client,
        sql: &str,
        params: impl ExactSizeIterator<Item = Param<'a>>,
    ) -> std::result::Result<RowStream, tokio_postgres::Error> {
        match &self.prepared {
            Some(prepared) => client.query_raw(prepared, params).await,
            None => client.query_typed_raw(sql, params.zip(self.types.iter().cloned())).await,
        }
    }

    /// The values as the server takes them, if there are enough and all fit.
    pub(super) fn params<'a>(
        &'a self,
        values: &'a [Value],
    ) -> Result<impl ExactSizeIterator<Item = Param<'a>>> {
        if values.len() != self.params.len() {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "there are not as many values as the statement has parameters",
            )
            .with_context("values", values.len())
            .with_context("parameters", self.params.len()));
        }
        let paired = || self.params.iter().zip(values);
        match paired().position(|(codec, value)| fit(codec, value) == Fit::No) {
            Some(index) => Err(self.misfit(index, values)),
            None => Ok(paired().map(|(codec, value)| Param { value, codec })),
        }
    }

    /// What is wrong with the value at `index`.
    pub(super) fn misfit(&self, index: usize, values: &[Value]) -> Error {
        let message = "a value does not fit its parameter";
        let error = match (values.get(index), self.params.get(index)) {
            (Some(value), Some(codec)) => codec.misfit(message, value),
            _ => Error::new(ErrorKind::InvalidInput, message),
        };
        error.with_context("parameter", index + 1)
    }
}

/// Those that a connection keeps, the last used of them.
pub(super) struct Statements {
    kept: HashMap<Arc<str>, Used>,
    max: usize,
    /// Counts uses; the least is the one that was not used for longest.
    uses: u64,
}

struct Used {
    kept: Arc<Kept>,
    last: u64,
}

impl Statements {
    pub(super) fn new(max: usize) -> Self {
        Self { kept: HashMap::new(), max, uses: 0 }
    }

    pub(super) fn get(&mut self, sql: &str) -> Option<Arc<Kept>> {
        let used = self.kept.get_mut(sql)?;
        self.uses += 1;
        used.last = self.uses;
        Some(Arc::clone(&used.kept))
    }

    /// Keeps one more, in place of the one that was not used for longest if there is no room.
    pub(super) fn keep(&mut self, sql: &Arc<str>, kept: &Arc<Kept>) {
        if self.max == 0 {
            return;
        }
        if self.kept.len() >= self.max && !self.kept.contains_key(sql) {
            let oldest = self.kept.iter().min_by_key(|(_, used)| used.last);
            if let Some(oldest) = oldest.map(|(sql, _)| Arc::clone(sql)) {
                self.kept.remove(&oldest);
            }
        }
        self.uses += 1;
        let used = Used { kept: Arc::clone(kept), last: self.uses };
        self.kept.insert(Arc::clone(sql), used);
    }

    pub(super) fn count(&self) -> usize {
        self.kept.len()
    }

    pub(super) fn forget(&mut self, sql: &str) {
        self.kept.remove(sql);
    }

    pub(super) fn clear(&mut self) {
        self.kept.clear();
    }
}
