//! What a rule works on, and the questions that many rules ask.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use switchboard_core::{
    Clock, Environment, Error, ErrorKind, Manager, Outcome, Registry, Result, Settings,
};
use switchboard_testkit::Wire;
use tokio::task::JoinSet;

use super::{Failure, Fixture, Verdict, Words};
use crate::value::FromRow;
use crate::{Database, Databases, Dialect, Stack, Statements, Value};

/// A database with nothing in it that another rule could meet, and the way to more of them.
pub struct Subject {
    fixture: Fixture,
    databases: Manager<Databases>,
    db: Database,
    driver: String,
    /// What files and tables of this rule are called after.
    unique: String,
    numbers: AtomicU64,
    /// What is to be dropped in the end, by whom it was made.
    tables: Mutex<Vec<(Database, String)>>,
}

/// What an instance is built with, beside what the fixture says.
pub(super) struct Wanted {
    pub(super) pool: Settings,
    pub(super) others: Settings,
}

impl Wanted {
    pub(super) fn pool(pool: Settings) -> Self {
        Self { pool, others: Settings::new() }
    }

    /// So many connections, which do without everything that only takes time.
    pub(super) fn connections(max: usize) -> Self {
        Self::pool(Settings::new().with("max", max))
    }

    pub(super) fn with(mut self, key: &'static str, value: impl Into<Setting>) -> Self {
        self.others = self.others.with(key, value);
        self
    }

    pub(super) fn with_pool(mut self, key: &'static str, value: impl Into<Setting>) -> Self {
        self.pool = self.pool.with(key, value);
        self
    }
}

type Setting = switchboard_core::settings::Value;

impl Subject {
    pub(super) async fn new(fixture: &Fixture) -> Result<Self> {
        let registry = Registry::empty();
        (fixture.register)(&registry)?;
        let described = registry.describe();
        let [described] = &described[..] else {
            return Err(Error::new(ErrorKind::Config, "`register` must add exactly one driver"));
        };
        let driver = described.name.clone();
        let databases = Manager::new(registry, &Environment::new())?;
        let unique = format!("t{:016x}", Clock::system().random());
        let settings = configured(fixture, &driver, &unique, Wanted::connections(CONNECTIONS));
        databases.configure("main", &settings)?;
        let db = databases.get("main").await?;
        let (numbers, tables) = (AtomicU64::new(0), Mutex::default());
        Ok(Self { fixture: fixture.clone(), databases, db, driver, unique, numbers, tables })
    }

    pub(super) fn databases(&self) -> &Manager<Databases> {
        &self.databases
    }

    pub(super) fn db(&self) -> &Database {
        &self.db
    }

    pub(super) fn words(&self) -> &Words {
        &self.fixture.words
    }

    /// Whether every instance is a database of its own.
    pub(super) fn is_private(&self) -> bool {
        self.fixture.is_private
    }

    pub(super) fn dialect(&self) -> Result<&'static Dialect> {
        let missing = || Error::new(ErrorKind::Unexpected, "nothing serves the database");
        self.db.dialect().ok_or_else(missing)
    }

    /// A name that nobody else has.
    pub(super) fn name(&self, what: &str) -> String {
        format!("{what}{}x{}", self.unique, self.numbers.fetch_add(1, Ordering::Relaxed))
    }

    /// Another instance over the same database, unless it is private.
    pub(super) async fn another(&self, wanted: Wanted) -> Result<Database> {
        let name = self.name("other");
        self.databases.configure(&name, &self.settings(wanted))?;
        self.databases.get(&name).await
    }

    /// The settings of one more instance.
    pub(super) fn settings(&self, wanted: Wanted) -> Settings {
        configured(&self.fixture, &self.driver, &self.unique, wanted)
    }

    /// Another instance, over a network that breaks when it is told to.
    pub(super) async fn behind_wire(
        &self,
        wanted: Wanted,
    ) -> std::result::Result<(Wire, Database), Failure> {
        let server = self.fixture.server.as_ref();
        let server = server.ok_or_else(|| Failure("the fixture names no server".to_owned()))?;
        let wire = Wire::to(server.address).await;
        let settings = (server.through)(self.settings(wanted), wire.address());
        let name = self.name("wired");
        self.databases.configure(&name, &settings)?;
        // The manager would build it at the first call; what that needs of the network is no part of it.
        Ok((wire, self.databases.get(&name).await?))
    }

    /// A new table with these columns, dropped in the end.
    pub(super) async fn table(&self, columns: &str) -> Result<String> {
        self.table_in(&self.db, columns).await
    }

    /// The same, in another instance.
    pub(super) async fn table_in(&self, db: &Database, columns: &str) -> Result<String> {
        let table = self.name("");
        let made = format!("create table {table} ({columns})");
        db.execute(&made, ()).await?;
        self.tables().push((db.clone(), table.clone()));
        Ok(table)
    }

    /// A table with so many rows, numbered from one.
    pub(super) async fn numbered(&self, db: &Database, count: i64) -> Result<String> {
        let table = self.table_in(db, ROW).await?;
        let rows = (1..=count).map(|id| [Value::from(id), Value::from(format!("row {id}"))]);
        db.bulk_insert(&table, &["id", "name"], rows).await?;
        Ok(table)
    }

    /// A statement with far more rows than can be read, each of a kilobyte.
    pub(super) async fn endless(&self, db: &Database) -> Result<String> {
        let columns = format!("id bigint primary key, name {}", self.words().text);
        let table = self.table_in(db, &columns).await?;
        let rows = (1..=100_i64).map(|id| [Value::from(id), Value::from("x".repeat(1_000))]);
        db.bulk_insert(&table, &["id", "name"], rows).await?;
        Ok(format!("select a.id, b.name from {table} a, {table} b, {table} c, {table} d"))
    }

    fn tables(&self) -> std::sync::MutexGuard<'_, Vec<(Database, String)>> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn drop_anew(&self, tables: &[&String]) -> Result<()> {
        let fresh = Box::pin(Self::new(&self.fixture)).await?;
        for table in tables {
            dropped(&fresh.db, table).await;
        }
        fresh.databases.close(CLOSE_LIMIT).await.into_result()
    }

    /// Leaves nothing in the database.
    pub(super) async fn tidy(&self) -> Verdict {
        let tidied = async {
            let tables = std::mem::take(&mut *self.tables());
            let mut left = Vec::new();
            for (db, table) in tables.iter().rev() {
                if !dropped(db, table).await {
                    left.push(table);
                }
            }
            self.databases.close(CLOSE_LIMIT).await.into_result().ok();
            // A rule may have closed the database, or left a lock that has gone with its connections.
            if !left.is_empty() && !self.is_private() {
                self.drop_anew(&left).await.ok();
            }
        };
        tokio::time::timeout(TIDY_LIMIT, tidied)
            .await
            .map_err(|_| Failure("tidying up took too long".to_owned()))
    }
}

async fn dropped(db: &Database, table: &str) -> bool {
    let drops = format!("drop table if exists {table}");
    matches!(tokio::time::timeout(DROP_LIMIT, db.execute(&drops, ())).await, Ok(Ok(_)))
}

fn configured(fixture: &Fixture, driver: &str, unique: &str, wanted: Wanted) -> Settings {
    let mut settings = (fixture.settings)(unique);
    if settings.child("driver").is_none() {
        settings = settings.with("driver", driver);
    }
    settings.merge(Settings::new().with("pool", wanted.pool));
    settings.merge(wanted.others);
    settings
}

/// How many rows a table has.
pub(super) async fn count(on: &impl Statements, table: &str) -> Result<i64> {
    on.select_value(&format!("select count(*) from {table}"), ()).await
}

/// The numbers in a table, in order.
pub(super) async fn ids(on: &impl Statements, table: &str) -> Result<Vec<i64>> {
    on.select(&format!("select id from {table} order by id"), ()).await
}

/// Puts a row with this number into a table.
pub(super) async fn put(on: &impl Statements, table: &str, id: i64) -> Result<()> {
    let insert = format!("insert into {table} (id, name) values (?, ?)");
    on.execute(&insert, (id, format!("row {id}"))).await.map(drop)
}

/// Puts rows with these numbers into a table in one of the [`WAYS`], or as an `upsert`: all of them or none.
pub(super) async fn put_all(
    on: &impl Statements,
    table: &str,
    way: &str,
    ids: [i64; 3],
) -> Result<()> {
    if way == "bulk_insert" || way == "upsert" {
        let rows = ids.map(|id| [Value::from(id), Value::from("a")]);
        let insert = on.bulk_insert(table, &["id", "name"], rows);
        let is_upsert = way == "upsert";
        return if is_upsert { insert.on_conflict(&["id"]).await } else { insert.await }.map(drop);
    }
    let insert = format!("insert into {table} (id, name) values (?, 'a')");
    if way == "execute_many" {
        return on.execute_many(&insert, ids.map(|id| (id,))).await.map(drop);
    }
    let stack = ids.into_iter().fold(Stack::new(), |stack, id| stack.execute(&insert, (id,)));
    on.run_stack(&stack).await?.into_result().map(drop)
}

pub(super) async fn value<T: FromRow>(on: &impl Statements, sql: &str) -> Result<T> {
    on.select_value(sql, ()).await
}

/// That every connection of `db` is as it should be once nobody uses it: the pool counts right, each
/// connection answers, and none is inside a transaction.
///
/// A connection that was would not see, or not show to others, what is written here.
pub(super) async fn ensure_whole(db: &Database, table: &str) -> Verdict {
    resting(db).await?;
    let pools = db.pools();
    let writers = pools.first().map_or(0, |pool| pool.max);
    let first = next_mark(db, table).await?;
    let mut connections = Vec::new();
    for _ in 0..writers {
        let connection = db.connection().await?;
        let mark = first + i64::try_from(connections.len()).unwrap_or(i64::MAX);
        put(&connection, table, mark).await?;
        equal(&value::<i64>(&connection, "select 1").await?, &1, "the answer to `select 1`")?;
        connections.push(connection);
    }
    let marks = i64::try_from(writers).unwrap_or(i64::MAX);
    let seen = format!("select count(*) from {table} where id >= {first}");
    for connection in &connections {
        equal(&value::<i64>(connection, &seen).await?, &marks, "what one connection saw of all")?;
    }
    drop(connections);
    let readers = pools.get(1).map_or(0, |pool| pool.max);
    let reads = (0..readers).map(|_| value::<i64>(db, &seen));
    for read in join_all(reads).await {
        equal(&read?, &marks, "what a connection that reads saw of what was written")?;
    }
    db.execute(&format!("delete from {table} where id >= {first}"), ()).await?;
    resting(db).await
}

/// A number above all in the table, for rows that are not kept.
async fn next_mark(db: &Database, table: &str) -> Result<i64> {
    let most: Option<i64> = value(db, &format!("select max(id) from {table}")).await?;
    Ok(most.unwrap_or(0).max(1_000_000) + 1)
}

/// Waits until nobody has, cleans or makes a connection, and looks whether the pool counts right then.
pub(super) async fn resting(db: &Database) -> Verdict {
    let mut left = REST_STEPS;
    loop {
        let pools = db.pools();
        let is_resting = |pool: &crate::PoolFigures| {
            (pool.in_use, pool.resting, pool.connecting, pool.waiting) == (0, 0, 0, 0)
                && pool.size == pool.idle
        };
        if pools.iter().all(is_resting) && db.holders().is_empty() {
            return Ok(());
        }
        if left == 0 {
            let holders = db.holders();
            return Err(Failure(format!("the pool is not whole: {pools:?}, held by {holders:?}")));
        }
        left -= 1;
        tokio::time::sleep(REST_STEP).await;
    }
}

/// The answers of `count` tasks, each on a task of its own, in the order of their numbers.
pub(super) async fn at_once<T, Fut>(
    count: usize,
    work: impl Fn(usize) -> Fut,
) -> std::result::Result<Vec<T>, Failure>
where
    T: Send + 'static,
    Fut: Future<Output = T> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for number in 0..count {
        let work = work(number);
        tasks.spawn(async move { (number, work.await) });
    }
    let mut answers = Vec::with_capacity(count);
    while let Some(ended) = tasks.join_next().await {
        answers.push(ended.map_err(|error| Failure(format!("a task failed: {error}")))?);
    }
    answers.sort_by_key(|(number, _)| *number);
    Ok(answers.into_iter().map(|(_, answer)| answer).collect())
}

pub(super) fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(Failure(otherwise())) }
}

pub(super) fn equal<T: PartialEq + fmt::Debug + ?Sized>(
    found: &T,
    expected: &T,
    what: &str,
) -> Verdict {
    ensure(found == expected, || format!("{what}: found {found:?}, not {expected:?}"))
}

/// The error that `answer` is, if it is of this kind and nothing was applied.
pub(super) fn refused<T: fmt::Debug>(
    answer: Result<T>,
    kind: ErrorKind,
    what: &str,
) -> std::result::Result<Error, Failure> {
    let error = failed(answer, what)?;
    ensure(error.kind() == kind, || {
        format!("{what} is {:?}, not {kind:?}: {error:?}", error.kind())
    })?;
    ensure(error.outcome() == Outcome::NotApplied, || {
        format!("{what} left open whether it was applied: {error:?}")
    })?;
    Ok(error)
}

/// The error that `answer` is.
pub(super) fn failed<T: fmt::Debug>(
    answer: Result<T>,
    what: &str,
) -> std::result::Result<Error, Failure> {
    match answer {
        Err(error) => Ok(error),
        Ok(answer) => Err(Failure(format!("{what} answered {answer:?}"))),
    }
}

/// What is answered in time; otherwise it hangs.
pub(super) fn in_time<'f, T: 'f>(
    limit: Duration,
    what: &'f str,
    future: impl Future<Output = T> + 'f,
) -> impl Future<Output = std::result::Result<T, Failure>> + 'f {
    let future = future.boxed_local();
    async move {
        let answered = tokio::time::timeout(limit, future).await;
        answered.map_err(|_| Failure(format!("{what} took longer than {limit:?}")))
    }
}

pub(super) fn words_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref().cloned()).unwrap_or_else(|| "(no message)".to_owned())
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("driver", &self.driver).finish_non_exhaustive()
    }
}

/// The columns of most tables.
pub(super) const ROW: &str = "id bigint primary key, name varchar(100)";

/// What is asked for at once and happens whole or not at all.
pub(super) const WAYS: [&str; 3] = ["execute_many", "bulk_insert", "run_stack"];

/// Longer than anything takes that does not hang.
pub(super) const HANG_LIMIT: Duration = Duration::from_mins(1);

const CONNECTIONS: usize = 4;
const REST_STEP: Duration = Duration::from_millis(5);
const REST_STEPS: u32 = 12_000;
const DROP_LIMIT: Duration = Duration::from_secs(5);
const CLOSE_LIMIT: Duration = Duration::from_secs(6);
const TIDY_LIMIT: Duration = Duration::from_mins(2);
