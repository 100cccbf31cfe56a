//! Many rows at once: inserted, or put in the place of those that are there.

use std::fmt;
use std::future::IntoFuture;
use std::panic::Location;

use futures_util::future::BoxFuture;
use switchboard_core::{Error, ErrorKind, Op, Result};

use super::progress::{Progress, Watched};
use super::upsert::{Met, Upsert};
use super::{Job, Statements};
use crate::driver::BulkTarget;
use crate::engine::Engine;
use crate::pool::Taken;
use crate::sql::Effect;
use crate::{Value, op};

/// Many rows that are inserted, all or none of them, when this is awaited: see
/// [`Statements::bulk_insert`]. It answers how many there were.
#[must_use = "rows are inserted when this is awaited"]
pub struct BulkInsert<'b, S> {
    on: &'b S,
    target: BulkTarget<'b>,
    rows: Vec<Vec<Value>>,
    watched: Watched<'b>,
    at: &'static Location<'static>,
}

/// Many rows that are inserted, or update those that are there, when this is awaited: see
/// [`BulkInsert::on_conflict`].
///
/// All of them, or none. They are taken in their order, so that of several with one key the last counts, or the
/// first where rows are [kept](Self::keep). Those whose place another row takes need not be sent, and then nobody finds
/// what is wrong with them. The answer is how many rows were given; which of them were new is not known, because
/// not every server tells.
#[must_use = "rows are inserted when this is awaited"]
pub struct BulkUpsert<'b, S> {
    insert: BulkInsert<'b, S>,
    key: &'b [&'b str],
    met: Met<'b>,
}

impl<'b, S> BulkInsert<'b, S> {
    pub(super) fn new(
        on: &'b S,
        target: BulkTarget<'b>,
        rows: Vec<Vec<Value>>,
        at: &'static Location<'static>,
    ) -> Self {
        Self { on, target, rows, watched: Watched::default(), at }
    }

    /// Rows whose `key` is there already change the row that has it, in all other columns unless
    /// [`update`](BulkUpsert::update) or [`keep`](BulkUpsert::keep) says something else.
    ///
    /// SQLite and PostgreSQL want a unique constraint, or the primary key, over exactly the columns of `key`.
    /// A row that violates another one is an error there. MariaDB and MySQL cannot be told which key
    /// is meant: a row that meets any unique key of the table changes the row that it meets.
    ///
    /// ```
    /// # use switchboard_core::{Environment, Error, Manager, Registry, Settings};
    /// # use switchboard_database::{Databases, Statements as _, Value};
    /// # #[cfg(feature = "sqlite")] {
    /// # let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    /// # runtime.block_on(async {
    /// # let databases = Manager::<Databases>::new(Registry::with_built_ins()?, &Environment::new())?;
    /// # databases.configure("main", &Settings::new().with("url", "sqlite::memory:"))?;
    /// # let db = databases.handle("main")?;
    /// db.execute("create table users (id integer primary key, name text)", ()).await?;
    /// db.execute("insert into users values (1, 'Ada')", ()).await?;
    ///
    /// let users = [(1, "Ada Lovelace"), (2, "Bob")];
    /// let rows = users.map(|(id, name)| [Value::from(id), Value::from(name)]);
    /// db.bulk_insert("users", &["id", "name"], rows).on_conflict(&["id"]).await?;
    ///
    /// let names: Vec<String> = db.select("select name from users order by id", ()).await?;
    /// assert_eq!(names, ["Ada Lovelace", "Bob"]);
    /// # Ok::<(), Error>(()) }).unwrap();
    /// # }
    /// ```
    pub fn on_conflict(self, key: &'b [&'b str]) -> BulkUpsert<'b, S> {
        BulkUpsert { insert: self, key, met: Met::Replaced }
    }

    /// Tells `told` how many rows were sent, again and again until all are.
    ///
    /// ```
    /// # use switchboard_core::{Environment, Error, Manager, Registry, Settings};
    /// # use switchboard_database::{Databases, Statements as _};
    /// # #[cfg(feature = "sqlite")] {
    /// # let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    /// # runtime.block_on(async {
    /// # let databases = Manager::<Databases>::new(Registry::with_built_ins()?, &Environment::new())?;
    /// # databases.configure("main", &Settings::new().with("url", "sqlite::memory:"))?;
    /// # let db = databases.handle("main")?;
    /// # db.execute("create table numbers (n integer)", ()).await?;
    /// let mut percent = Vec::new();
    /// let rows = (0..10_000).map(|number| [number]);
    /// db.bulk_insert("numbers", &["n"], rows)
    ///     .progress(|progress| percent.push(progress.percent()))
    ///     .await?;
    /// assert_eq!(percent.last(), Some(&100));
    /// # Ok::<(), Error>(()) }).unwrap();
    /// # }
    /// ```
    pub fn progress(self, told: impl FnMut(Progress) + Send + 'b) -> Self {
        Self { watched: Watched::by(told), ..self }
    }
}

impl<'b, S> BulkUpsert<'b, S> {
    /// Changes only these columns of a row that is there, none of which belongs to the key.
    pub fn update(self, columns: &'b [&'b str]) -> Self {
        Self { met: Met::Updated(columns), ..self }
    }

    /// Leaves a row that is there as it is.
    pub fn keep(self) -> Self {
        Self { met: Met::Kept, ..self }
    }

    /// Tells `told` how many rows were sent, again and again until all are.
    pub fn progress(self, told: impl FnMut(Progress) + Send + 'b) -> Self {
        Self { insert: self.insert.progress(told), ..self }
    }
}

impl<'b, S: Statements> IntoFuture for BulkInsert<'b, S> {
    type Output = Result<u64>;
    type IntoFuture = BoxFuture<'b, Result<u64>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { on, target, rows, watched, at } = self;
        Box::pin(async move {
            every_row_fits(&rows, target.columns.len())
                .map_err(|error| on.told(op::BULK_INSERT, None, at, error))?;
            on.ask(Bulk { target, rows, watched }, at).await
        })
    }
}

impl<'b, S: Statements> IntoFuture for BulkUpsert<'b, S> {
    type Output = Result<u64>;
    type IntoFuture = BoxFuture<'b, Result<u64>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { insert: BulkInsert { on, target, rows, watched, at }, key, met } = self;
        Box::pin(async move {
            let upsert = every_row_fits(&rows, target.columns.len())
                .and_then(|()| Upsert::new(target, key, met, rows, watched))
                .map_err(|error| on.told(op::BULK_UPSERT, None, at, error))?;
            on.ask(upsert, at).await
        })
    }
}

/// Many rows for one table.
struct Bulk<'s> {
    target: BulkTarget<'s>,
    rows: Vec<Vec<Value>>,
    watched: Watched<'s>,
}

impl Job for Bulk<'_> {
    type Answer = u64;
    const OP: Op = op::BULK_INSERT;

    fn effect(&self, _: &Engine) -> Result<Effect> {
        Ok(Effect::Write)
    }

    async fn run(&self, engine: &Engine, taken: &mut Taken) -> Result<u64> {
        if self.rows.is_empty() {
            return Ok(0);
        }
        engine.bulk(taken, self.target, &self.rows, &self.watched).await
    }

    fn is_whole(&self) -> bool {
        !self.rows.is_empty()
    }
}

fn every_row_fits(rows: &[Vec<Value>], columns: usize) -> Result<()> {
    match rows.iter().position(|row| row.len() != columns) {
        None => Ok(()),
        Some(position) => {
            Err(Error::new(ErrorKind::InvalidInput, "a row has not one value for each column")
                .with_context("row", position + 1)
                .with_context("values", rows[position].len())
                .with_context("columns", columns)
                .not_applied())
        }
    }
}

impl<S> fmt::Debug for BulkInsert<'_, S> {
    // Values may be anybody's secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BulkInsert")
            .field("table", &self.target.table)
            .field("columns", &self.target.columns)
            .field("rows", &self.rows.len())
            .finish_non_exhaustive()
    }
}

impl<S> fmt::Debug for BulkUpsert<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BulkUpsert")
            .field("insert", &self.insert)
            .field("key", &self.key)
            .field("met", &self.met)
            .finish()
    }
}
