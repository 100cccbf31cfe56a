//! What can be asked of a database, a connection and a transaction alike.

mod asked;
mod bulk;
mod csv;
mod job;
mod listing;
mod progress;
mod repeats;
mod stack;
mod stream;
mod upsert;
mod whole;

use std::future::Future;
use std::panic::Location;

use switchboard_core::{Error, ErrorKind, Result};

pub(crate) use asked::{Asked, asked_at, with_statement};
pub use bulk::{BulkInsert, BulkUpsert};
pub use csv::CsvStream;
pub(crate) use job::Job;
pub(crate) use job::{Execute, ExecuteMany, Query, Script, Select};
pub(crate) use listing::Listed;
pub use listing::Listing;
pub use progress::Progress;
pub(crate) use progress::Watched;
pub use stack::{OnError, Stack, StackAnswer, StackReport};
pub use stream::RowStream;
pub(crate) use stream::{Lent, Source, Spring};
pub(crate) use upsert::Upsert;
pub(crate) use whole::{Half, done, failures};

use crate::driver::{BulkTarget, Done};
use crate::value::{FromRow, IntoParams};
use crate::{NamedQuery, Row, Rows, Value, op};

/// Statements, on whatever runs them: a [`Database`](crate::Database), a
/// [`PooledConnection`](crate::PooledConnection), a [`Transaction`](crate::Transaction).
///
/// A function that takes `&impl Statements` works on all of them, and so inside a transaction and
/// outside of one.
///
/// Parameters are given by position, as a tuple or an array, or by name, with
/// [`params!`](crate::params) or a struct in [`Named`](crate::Named). The statement writes its
/// placeholders in any of the common styles: `?`, `?1`, `$1`, `:name`, `@name`, `%s`, `%(name)s`.
pub trait Statements: Asked {
    /// The query of that name in the files of the instance, to be run by this.
    ///
    /// Whether there is one is found out when it is run, since it depends on who serves the instance
    /// then.
    fn query<'q>(&'q self, name: &'q str) -> NamedQuery<'q, Self>
    where
        Self: Sized,
    {
        NamedQuery::new(self, name, None)
    }

    /// Runs a statement, and says how many rows it changed.
    #[track_caller]
    fn execute(
        &self,
        sql: &str,
        params: impl IntoParams,
    ) -> impl Future<Output = Result<Done>> + Send {
        let (params, at) = (params.into_params(), Location::caller());
        async move { self.ask(Execute { sql: sql.into(), params: params? }, at).await }
    }

    /// Runs a statement once for each set of parameters, all or none of them; nothing for none.
    ///
    /// In a transaction a failure, or a drop, takes back no more than that, and the transaction goes on.
    /// [`bulk_insert`](Self::bulk_insert) and stacks that [stop](crate::OnError::Stop) are alike.
    #[track_caller]
    fn execute_many<P: IntoParams>(
        &self,
        sql: &str,
        sets: impl IntoIterator<Item = P>,
    ) -> impl Future<Output = Result<Done>> + Send {
        let sets: Result<Vec<_>> = sets.into_iter().map(IntoParams::into_params).collect();
        let at = Location::caller();
        async move {
            let sets = sets?;
            if sets.is_empty() {
                return Ok(Done::default());
            }
            self.ask(ExecuteMany { sql, sets }, at).await
        }
    }

    /// Runs the statements of a text, one after the other, until one fails. What becomes of those before it
    /// is the server's: some take a text for one transaction.
    #[track_caller]
    fn execute_script(&self, sql: &str) -> impl Future<Output = Result<()>> + Send {
        self.ask(Script { sql: sql.into() }, Location::caller())
    }

    /// The rows of a statement, each read as it comes.
    #[track_caller]
    fn select<T: FromRow + Send>(
        &self,
        sql: &str,
        params: impl IntoParams,
    ) -> impl Future<Output = Result<Vec<T>>> + Send {
        let (params, at) = (params.into_params(), Location::caller());
        async move {
            let rows = self.ask(Select::new(sql, params?), at).await?;
            rows.map_err(|error| self.told(op::SELECT, Some(sql), at, error))
        }
    }

    /// The rows of a statement as they are, with their columns.
    #[track_caller]
    fn rows(
        &self,
        sql: &str,
        params: impl IntoParams,
    ) -> impl Future<Output = Result<Rows>> + Send {
        let (params, at) = (params.into_params(), Location::caller());
        async move { self.ask(Query { sql: sql.into(), params: params? }, at).await }
    }

    /// The one row of a statement: `NotFound` if there is none, `PreconditionFailed` if there are more.
    #[track_caller]
    fn select_one<T: FromRow>(
        &self,
        sql: &str,
        params: impl IntoParams,
    ) -> impl Future<Output = Result<T>> + Send {
        let (params, at) = (params.into_params(), Location::caller());
        async move {
            let rows = self.ask(Query { sql: sql.into(), params: params? }, at).await?;
            let row = at_most_one(rows).and_then(|row| row.ok_or_else(no_row));
            row.and_then(T::from_row).map_err(|error| self.told(op::SELECT, Some(sql), at, error))
        }
    }

    /// The one row of a statement, or `None`; `PreconditionFailed` if there are more.
    #[track_caller]
    fn select_one_or_none<T: FromRow>(
        &self,
        sql: &str,
        params: impl IntoParams,
    ) -> impl Future<Output = Result<Option<T>>> + Send {
        let (params, at) = (params.into_params(), Location::caller());
        async move {
            let rows = self.ask(Query { sql: sql.into(), params: params? }, at).await?;
            let row = at_most_one(rows).and_then(|row| row.map(T::from_row).transpose());
            row.map_err(|error| self.told(op::SELECT, Some(sql), at, error))
        }
    }

    /// The one value of the one row of a statement: `NotFound` if there is no row.
    #[track_caller]
    fn select_value<T: FromRow>(
        &self,
        sql: &str,
        params: impl IntoParams,
    ) -> impl Future<Output = Result<T>> + Send {
        let (params, at) = (params.into_params(), Location::caller());
        async move {
            let rows = self.ask(Query { sql: sql.into(), params: params? }, at).await?;
            let row = at_most_one(rows).and_then(|row| row.ok_or_else(no_row));
            row.and_then(only_value).map_err(|error| self.told(op::SELECT, Some(sql), at, error))
        }
    }

    /// The one value of the one row of a statement, or `None` if there is no row.
    #[track_caller]
    fn select_value_or_none<T: FromRow>(
        &self,
        sql: &str,
        params: impl IntoParams,
    ) -> impl Future<Output = Result<Option<T>>> + Send {
        let (params, at) = (params.into_params(), Location::caller());
        async move {
            let rows = self.ask(Query { sql: sql.into(), params: params? }, at).await?;
            let row = at_most_one(rows).and_then(|row| row.map(only_value).transpose());
            row.map_err(|error| self.told(op::SELECT, Some(sql), at, error))
        }
    }

    /// The rows of a statement, one after the other, without having all of them at a time.
    ///
    /// The connection is given back when the last row was read or the stream is dropped.
    #[track_caller]
    fn stream<T: FromRow>(
        &self,
        sql: &str,
        params: impl IntoParams,
    ) -> impl Future<Output = Result<RowStream<T>>> + Send {
        let (params, at) = (params.into_params(), Location::caller());
        async move {
            let source = self.open_rows(Query { sql: sql.into(), params: params? }, at).await?;
            Ok(RowStream::new(source, self.database(), at))
        }
    }

    /// The rows of a statement as CSV, a piece of it after the other: the names of the columns, then the rows, each
    /// as [`Row::write_csv`] writes it.
    ///
    /// It is the same from every database, however many rows there are. Rows are read as with
    /// [`stream`](Self::stream), and the connection is given back as with it.
    ///
    /// ```
    /// # use switchboard_core::{Environment, Error, Manager, Registry, Settings};
    /// # use switchboard_database::{Databases, Statements as _};
    /// # #[cfg(feature = "sqlite")] {
    /// # let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    /// # runtime.block_on(async {
    /// use futures_util::TryStreamExt as _;
    ///
    /// # let databases = Manager::<Databases>::new(Registry::with_built_ins()?, &Environment::new())?;
    /// # databases.configure("main", &Settings::new().with("url", "sqlite::memory:"))?;
    /// # let db = databases.handle("main")?;
    /// # db.execute("create table users (id integer primary key, name text)", ()).await?;
    /// db.execute("insert into users (name) values ('Ada'), (null)", ()).await?;
    /// let pieces = db.stream_csv("select id, name from users order by id", ()).await?;
    /// let csv: Vec<_> = pieces.try_collect().await?;
    /// assert_eq!(csv.concat(), b"id,name\r\n1,Ada\r\n2,\r\n");
    /// # Ok::<(), Error>(()) }).unwrap();
    /// # }
    /// ```
    #[track_caller]
    fn stream_csv(
        &self,
        sql: &str,
        params: impl IntoParams,
    ) -> impl Future<Output = Result<CsvStream>> + Send {
        let rows = self.stream::<Row>(sql, params);
        async move { rows.await.map(CsvStream::new) }
    }

    /// The rows of a query as a user of the application wants them: filtered, in order, one page.
    #[track_caller]
    fn select_listed<T: FromRow>(
        &self,
        sql: &str,
        params: impl IntoParams,
        listing: &Listing,
    ) -> impl Future<Output = Result<Vec<T>>> + Send {
        let (params, at) = (params.into_params(), Location::caller());
        async move {
            let job = Listed { sql: sql.into(), params: params?, listing, with_total: false };
            let told = |error| self.told(op::SELECT, Some(sql), at, error);
            self.ask(job, at).await?.0.read().map_err(told)
        }
    }

    /// [`select_listed`](Self::select_listed), and how many rows there are on all pages together.
    ///
    /// These are two queries over one connection; in a transaction that keeps one state of the data they
    /// see the same.
    #[track_caller]
    fn select_with_total<T: FromRow>(
        &self,
        sql: &str,
        params: impl IntoParams,
        listing: &Listing,
    ) -> impl Future<Output = Result<(Vec<T>, u64)>> + Send {
        let (params, at) = (params.into_params(), Location::caller());
        async move {
            let job = Listed { sql: sql.into(), params: params?, listing, with_total: true };
            let (rows, total) = self.ask(job, at).await?;
            let told = |error| self.told(op::SELECT, Some(sql), at, error);
            Ok((rows.read().map_err(told)?, total))
        }
    }

    /// Runs the statements of a stack over one connection, and answers for each of them.
    #[track_caller]
    fn run_stack(&self, stack: &Stack) -> impl Future<Output = Result<StackReport>> + Send {
        let at = Location::caller();
        async move {
            let report = self.ask(stack.job(), at).await?;
            Ok(report.told(|error| self.told(op::STACK, None, at, error)))
        }
    }

    /// Inserts many rows in the fastest way the server has, all or none of them; says how many.
    ///
    /// Each row has one value for each of `columns`. What becomes of rows that are there already says
    /// [`on_conflict`](BulkInsert::on_conflict); they are an error otherwise.
    #[track_caller]
    fn bulk_insert<'b, V: Into<Value>, R: IntoIterator<Item = V>>(
        &'b self,
        table: &'b str,
        columns: &'b [&'b str],
        rows: impl IntoIterator<Item = R>,
    ) -> BulkInsert<'b, Self>
    where
        Self: Sized,
    {
        let rows = rows.into_iter().map(|row| row.into_iter().map(Into::into).collect()).collect();
        BulkInsert::new(self, BulkTarget::new(table, columns), rows, Location::caller())
    }
}

pub(crate) fn at_most_one(rows: Rows) -> Result<Option<Row>> {
    let count = rows.rows.len();
    if count > 1 {
        return Err(Error::new(
            ErrorKind::PreconditionFailed,
            "there are several rows, and one was expected",
        )
        .with_context("rows", count));
    }
    Ok(rows.rows.into_iter().next())
}

/// The value of a row that has only one.
pub(crate) fn only_value<T: FromRow>(row: Row) -> Result<T> {
    if row.columns().len() == 1 {
        return T::from_value(row);
    }
    Err(Error::new(
        ErrorKind::InvalidInput,
        "there are several columns, and one value was expected",
    )
    .with_context("columns", row.columns().len()))
}

pub(crate) fn no_row() -> Error {
    Error::new(ErrorKind::NotFound, "there is no row")
}
