//! A named query that is run.

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::panic::Location;
use std::sync::Arc;

use switchboard_core::{Error, ErrorKind, Result};

use super::{Kept, Queries, Query, QueryKind, QueryText};
use crate::driver::Done;
use crate::statement::{self, Execute, Script, Select, at_most_one, no_row, only_value};
use crate::value::{FromRow, IntoParams};
use crate::{Dialect, RowStream, Rows, Statements, op};

/// A named query, on whatever runs it.
///
/// It is run by the method that is called like its [`QueryKind`]; another one is an error that names
/// both. Which text that is, is known when it is run, by the database that runs it: it has the dialect,
/// and the files too, unless the query comes from a set of its own.
#[must_use = "a query does nothing until it is run"]
pub struct NamedQuery<'q, S> {
    statements: &'q S,
    name: &'q str,
    set: Option<&'q Queries>,
}

/// Which statement is meant.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Meant<'s> {
    /// The one with this text.
    Written(&'s str),
    /// The one with a name.
    Named(Wanted<'s>),
}

/// A query as it is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'s> {
    name: &'s str,
    /// `None` for the queries of the instance.
    set: Option<&'s Queries>,
    kind: QueryKind,
}

/// The text of a statement.
pub(crate) enum Text<'s> {
    Written(&'s str),
    Named(Arc<QueryText>),
}

impl<'q, S> NamedQuery<'q, S> {
    pub(crate) fn new(statements: &'q S, name: &'q str, set: Option<&'q Queries>) -> Self {
        Self { statements, name, set }
    }

    fn meant(self, kind: QueryKind) -> Meant<'q> {
        Meant::Named(Wanted { name: self.name, set: self.set, kind })
    }
}

impl<S: Statements> NamedQuery<'_, S> {
    /// The one row of a query `:one`: `NotFound` if there is none, `PreconditionFailed` if there are more.
    #[track_caller]
    pub fn one<T: FromRow>(
        self,
        params: impl IntoParams,
    ) -> impl Future<Output = Result<T>> + Send {
        let at = Location::caller();
        let rows = self.rows(QueryKind::One, params, at);
        async move {
            let row = at_most_one(rows.await?).and_then(|row| row.ok_or_else(no_row));
            row.and_then(T::from_row).map_err(|error| self.read_wrongly(at, error))
        }
    }

    /// The one row of a query `:opt`, or `None`; `PreconditionFailed` if there are more.
    #[track_caller]
    pub fn opt<T: FromRow>(
        self,
        params: impl IntoParams,
    ) -> impl Future<Output = Result<Option<T>>> + Send {
        let at = Location::caller();
        let rows = self.rows(QueryKind::Opt, params, at);
        async move {
            let row = at_most_one(rows.await?).and_then(|row| row.map(T::from_row).transpose());
            row.map_err(|error| self.read_wrongly(at, error))
        }
    }

    /// The rows of a query `:many`.
    #[track_caller]
    pub fn many<T: FromRow + Send>(
        self,
        params: impl IntoParams,
    ) -> impl Future<Output = Result<Vec<T>>> + Send {
        let at = Location::caller();
        let (sql, params) = (self.meant(QueryKind::Many), params.into_params());
        async move {
            let rows = self.statements.ask(Select::new(sql, params?), at).await;
            let rows = rows.map_err(|error| about(self.name, error))?;
            rows.map_err(|error| self.read_wrongly(at, error))
        }
    }

    /// The one value of the one row of a query `:value`: `NotFound` if there is no row.
    #[track_caller]
    pub fn value<T: FromRow>(
        self,
        params: impl IntoParams,
    ) -> impl Future<Output = Result<T>> + Send {
        let at = Location::caller();
        let rows = self.rows(QueryKind::Value, params, at);
        async move {
            let row = at_most_one(rows.await?).and_then(|row| row.ok_or_else(no_row));
            row.and_then(only_value).map_err(|error| self.read_wrongly(at, error))
        }
    }

    /// What a query `:exec` did.
    #[track_caller]
    pub fn exec(self, params: impl IntoParams) -> impl Future<Output = Result<Done>> + Send {
        self.execute(QueryKind::Exec, params, Location::caller())
    }

    /// How many rows a query `:affected` inserted, changed or deleted, as the server counts.
    #[track_caller]
    pub fn affected(self, params: impl IntoParams) -> impl Future<Output = Result<u64>> + Send {
        let done = self.execute(QueryKind::Affected, params, Location::caller());
        async move { Ok(done.await?.affected) }
    }

    /// The rows of a query `:stream`, one after the other, without having all of them at a time.
    ///
    /// The connection is given back when the last row was read or the stream is dropped.
    #[track_caller]
    pub fn stream<T: FromRow>(
        self,
        params: impl IntoParams,
    ) -> impl Future<Output = Result<RowStream<T>>> + Send {
        let (sql, at) = (self.meant(QueryKind::Stream), Location::caller());
        let params = params.into_params();
        async move {
            let query = statement::Query { sql, params: params? };
            let opened = self.statements.open_rows(query, at).await;
            let source = opened.map_err(|error| about(self.name, error))?;
            let rows = RowStream::new(source, self.statements.database(), at);
            Ok(rows.of_query(self.name))
        }
    }

    /// Runs the statements of a query `:script`, one after the other, until one fails.
    #[track_caller]
    pub fn script(self) -> impl Future<Output = Result<()>> + Send {
        let (sql, at) = (self.meant(QueryKind::Script), Location::caller());
        async move {
            let ran = self.statements.ask(Script { sql }, at).await;
            ran.map_err(|error| about(self.name, error))
        }
    }

    /// The error of rows that came, and are not what was expected.
    fn read_wrongly(self, at: &'static Location<'static>, error: Error) -> Error {
        about(self.name, self.statements.told(op::SELECT, None, at, error))
    }

    fn rows(
        self,
        kind: QueryKind,
        params: impl IntoParams,
        at: &'static Location<'static>,
    ) -> impl Future<Output = Result<Rows>> + Send {
        let (statements, name, sql) = (self.statements, self.name, self.meant(kind));
        let params = params.into_params();
        async move {
            let rows = statements.ask(statement::Query { sql, params: params? }, at).await;
            rows.map_err(|error| about(name, error))
        }
    }

    fn execute(
        self,
        kind: QueryKind,
        params: impl IntoParams,
        at: &'static Location<'static>,
    ) -> impl Future<Output = Result<Done>> + Send {
        let (statements, name, sql) = (self.statements, self.name, self.meant(kind));
        let params = params.into_params();
        async move {
            let done = statements.ask(Execute { sql, params: params? }, at).await;
            done.map_err(|error| about(name, error))
        }
    }
}

impl<'s> Meant<'s> {
    /// Its text, on an instance with these queries and this dialect.
    pub(crate) fn text(self, kept: &Kept, dialect: &Dialect) -> Result<Text<'s>> {
        let wanted = match self {
            Meant::Written(sql) => return Ok(Text::Written(sql)),
            Meant::Named(wanted) => wanted,
        };
        match wanted.set {
            Some(set) => wanted.text(set, dialect),
            None => wanted.text(&*kept.now()?, dialect),
        }
        .map(Text::Named)
    }
}

impl Wanted<'_> {
    fn text(self, queries: &Queries, dialect: &Dialect) -> Result<Arc<QueryText>> {
        let query = queries.get(self.name)?;
        if query.kind() != self.kind {
            return Err(other_kind(query, self.kind));
        }
        query.text(dialect).cloned()
    }
}

impl<S> Clone for NamedQuery<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for NamedQuery<'_, S> {}

impl<'s> From<&'s str> for Meant<'s> {
    fn from(sql: &'s str) -> Self {
        Self::Written(sql)
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Written(sql) => sql,
            Self::Named(text) => text.sql(),
        }
    }
}

impl<S> fmt::Debug for NamedQuery<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamedQuery").field("name", &self.name).finish_non_exhaustive()
    }
}

fn other_kind(query: &Query, asked: QueryKind) -> Error {
    let message = "the query gives something else than what it was asked for";
    Error::new(ErrorKind::Config, message)
        .with_context("query", query.name())
        .with_context("gives", query.kind())
        .with_context("asked for", asked)
        .with_context("place", query.place())
        .with_hint(format!("run it with `{}`", query.kind().word()))
        .not_applied()
}

/// The error of a query, with its name.
fn about(name: &str, error: Error) -> Error {
    match error.context_value("query") {
        Some(_) => error,
        None => error.with_context("query", name),
    }
}
