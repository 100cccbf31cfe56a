//! What serves a database: its driver, the pools around it, and what is known of its statements.

use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use switchboard_core::{
    Capabilities, Details, Erase, Error, ErrorKind, Health, Lifecycle, Metric, Reply, Result,
};

use crate::driver::{Begin, BulkTarget, Done, Lane, Lanes, Rows, Savepoint, Sent, Statement};
use crate::known::{Comment, Known, Ready, Texts, keeps_transaction};
use crate::observe::{Account, Asked, Question, Reading, StatementFigures, Watch, kind_of};
use crate::pool::{self, Holder, Pool, PoolFigures, Taken, Taking};
use crate::queries::{Kept, Meant, Text};
use crate::sql::{self, Effect};
use crate::statement::{Job, Upsert, Watched, done, with_statement};
use crate::value::Collected;
use crate::{
    DatabaseConfig, DatabaseDriver, Dialect, DriverContext, FromRow, Params, Queries, Row, Value,
};

/// A driver of databases at work: what a manager holds.
pub struct Engine {
    driver: Arc<dyn DatabaseDriver>,
    dialect: &'static Dialect,
    write: Pool,
    /// Where reading has connections of its own.
    read: Option<Pool>,
    texts: Texts,
    watch: Arc<Watch>,
    queries: Kept,
    config: DatabaseConfig,
}

/// A driver at work that still knows its type, by which it can be looked up.
///
/// Made by [`register`](crate::register); by hand only for [`Manager::insert`] and
/// [`Manager::override_instance`].
///
/// [`Manager::insert`]: switchboard_core::Manager::insert
/// [`Manager::override_instance`]: switchboard_core::Manager::override_instance
pub struct Served<D> {
    engine: Arc<Engine>,
    driver: PhantomData<fn() -> D>,
}

impl<D: DatabaseDriver> Served<D> {
    /// `driver`, with pools around it as the settings in `context` say.
    pub fn new(driver: D, context: &DriverContext) -> Self {
        Self::over(Engine::new(Arc::new(driver), context, false))
    }

    /// The same, where all connections that `driver` makes are one: see [`Pool::joint`].
    pub(crate) fn joint(driver: D, context: &DriverContext) -> Self {
        Self::over(Engine::new(Arc::new(driver), context, true))
    }

    /// The same for any driver, whatever its type is.
    pub(crate) fn any(driver: Arc<dyn DatabaseDriver>, context: &DriverContext) -> Self {
        Self::over(Engine::new(driver, context, false))
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    fn over(engine: Engine) -> Self {
        Self { engine: Arc::new(engine), driver: PhantomData }
    }
}

impl<D: DatabaseDriver> Erase<Served<D>> for Engine {
    fn erase(served: Arc<Served<D>>) -> Arc<Self> {
        served.engine.clone()
    }
}

impl Engine {
    fn new(driver: Arc<dyn DatabaseDriver>, context: &DriverContext, is_joint: bool) -> Self {
        let (config, build) = (context.database().clone(), context.build());
        let size = config.pool.size();
        let pool = |lane, size| {
            let pool = Pool::new(driver.clone(), lane, size, &config.pool, build);
            if is_joint { pool.joint() } else { pool }
        };
        let (write, read) = match driver.lanes() {
            Lanes::Same => (pool(Lane::Write, size), None),
            Lanes::OneWriter => {
                (pool(Lane::Write, NonZeroUsize::MIN), Some(pool(Lane::Read, size)))
            }
        };
        let dialect = driver.dialect();
        let watch = Watch::new(&config, build, dialect, read.as_ref().unwrap_or(&write));
        let comment = config.comments.then(|| Comment::new(build.instance(), &*driver));
        let texts = Texts::new(dialect, watch.ledger().clone(), comment);
        let queries = Kept::open(&config.queries, dialect, build);
        Self { driver, dialect, write, read, texts, watch, queries, config }
    }

    /// How the SQL of this database is written, and what it can do.
    pub fn dialect(&self) -> &'static Dialect {
        self.dialect
    }

    pub(crate) fn driver(&self) -> &Arc<dyn DatabaseDriver> {
        &self.driver
    }

    /// The settings that every database has.
    pub fn config(&self) -> &DatabaseConfig {
        &self.config
    }

    /// How the pools are: the one that writes first, then the one that reads, if it is another one.
    pub fn pools(&self) -> Vec<PoolFigures> {
        self.each_pool().map(Pool::figures).collect()
    }

    /// Who has connections, the longest first.
    pub fn holders(&self) -> Vec<Holder> {
        let mut holders: Vec<_> = self.each_pool().flat_map(Pool::holders).collect();
        holders.sort_by_key(|holder| std::cmp::Reverse(holder.age));
        holders
    }

    /// What each statement has cost, up to 2 000 that differ in more than their values: those first that
    /// once took longest; what is no longer told apart is called `other`, at the end.
    pub fn statements(&self) -> Vec<StatementFigures> {
        self.watch.ledger().read()
    }

    /// Lets nobody have a connection until [`resume`](Self::resume); callers wait. Health is still looked at.
    pub fn suspend(&self) {
        self.each_pool().for_each(Pool::suspend);
    }

    /// Lets callers have connections again.
    pub fn resume(&self) {
        self.each_pool().for_each(Pool::resume);
    }

    /// Replaces every connection that is there now, spread over `over`.
    pub fn refresh(&self, over: Duration) {
        self.each_pool().for_each(|pool| pool.refresh(over));
    }

    /// What is known of the statement `sql`, if it may be asked: before anybody waits for a connection.
    pub(crate) fn known<'s>(&self, sql: impl Into<Meant<'s>>) -> Result<Arc<Known>> {
        let known = self.texts.known(&self.text(sql.into())?)?;
        known.refuse_control()?;
        Ok(known)
    }

    /// Whether `sql` may be asked again by itself where its answer was lost. Where the server holds
    /// everything to reading, a function cannot do more than that either.
    pub(crate) fn is_repeatable<'s>(&self, sql: impl Into<Meant<'s>>) -> Result<bool> {
        let known = self.known(sql)?;
        let is_held = self.config.read_only && known.effect() == Effect::Read;
        Ok(is_held || known.is_repeatable())
    }

    /// `sql` with `params` in their places, if it may be asked at all.
    pub(crate) fn ready<'s>(&self, sql: impl Into<Meant<'s>>, params: &Params) -> Result<Ready> {
        let ready = self.texts.ready(&self.text(sql.into())?, params)?;
        ready.known.refuse_control()?;
        self.allow(ready.known.effect())?;
        Ok(ready)
    }

    /// Whether a transaction that is open stays open when `sql` is run in it. What cannot be run at all
    /// is told when it is run.
    pub(crate) fn keeps_transaction<'s>(&self, sql: impl Into<Meant<'s>>) -> Result<()> {
        let Ok(known) = self.known(sql) else { return Ok(()) };
        keeps_transaction(known.traits(), self.dialect)
    }

    /// [`keeps_transaction`](Self::keeps_transaction), for the statements of a text.
    pub(crate) fn script_keeps_transaction(&self, script: Meant<'_>) -> Result<()> {
        keeps_transaction(&sql::Traits::of(&self.text(script)?, self.dialect.lexis), self.dialect)
    }

    /// The pool that a transaction of this beginning has its connection from.
    pub(crate) fn pool_of(&self, begin: &Begin) -> &Pool {
        let effect = if begin.is_read_only { Effect::Read } else { Effect::Write };
        self.pool(lane(effect))
    }

    /// Whether nobody can ask it anything any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.write.is_closed()
    }

    /// The named queries of this instance, as they are now.
    pub fn queries(&self) -> Result<Arc<Queries>> {
        self.queries.now()
    }

    /// The text of the statement that is meant.
    fn text<'s>(&self, meant: Meant<'s>) -> Result<Text<'s>> {
        meant.text(&self.queries, self.dialect)
    }

    /// The pool behind a lane.
    pub(crate) fn pool(&self, lane: Lane) -> &Pool {
        match (lane, &self.read) {
            (Lane::Read, Some(read)) => read,
            _ => &self.write,
        }
    }

    /// A connection of that lane.
    pub(crate) async fn take(&self, lane: Lane, taking: Taking) -> Result<Taken> {
        self.pool(lane).acquire(taking).await
    }

    /// Does `job` on a connection that is taken for it.
    pub(crate) async fn once<J: Job>(
        &self,
        job: &J,
        at: &'static Location<'static>,
    ) -> Result<J::Answer> {
        let lane = lane(job.effect(self)?);
        let taking = Taking { at, is_long: false, is_scope: false, is_urgent: false };
        let mut taken = self.take(lane, taking).await?;
        taken.asked_at(at);
        if !job.is_whole() {
            return done(job, self, &mut taken, 1).await;
        }
        // What is left half way by a drop, the pool takes back. What the task does beside it is no part of it.
        // In a box, so that the others do not carry it.
        Box::pin(pool::scoped(done(job, self, &mut taken, 1))).await
    }

    /// How a transaction begins of which this was asked.
    pub(crate) fn usual(&self, begin: &Begin) -> Begin {
        Begin {
            isolation: begin.isolation.or(self.config.transaction.isolation),
            is_read_only: begin.is_read_only || self.config.read_only,
            ..begin.clone()
        }
    }

    /// Begins a transaction on a connection that somebody has.
    pub(crate) async fn begin_transaction(&self, taken: &mut Taken, begin: &Begin) -> Result<()> {
        let mut busy = taken.begin(None);
        let answer = busy.connection().begin(begin).await;
        busy.end();
        answer
    }

    /// Makes the transaction on a connection last.
    pub(crate) async fn commit(&self, taken: &mut Taken) -> Result<()> {
        let mut busy = taken.begin(None);
        let committed = busy.connection().commit().await;
        busy.end();
        committed
    }

    /// Takes the transaction on a connection back.
    pub(crate) async fn rollback(&self, taken: &mut Taken) -> Result<()> {
        let mut busy = taken.begin(None);
        let rolled_back = busy.connection().rollback().await;
        busy.end();
        rolled_back
    }

    /// Does something to a savepoint of the transaction on a connection.
    pub(crate) async fn savepoint(
        &self,
        taken: &mut Taken,
        how: Savepoint,
        depth: u32,
    ) -> Result<()> {
        let mut busy = taken.begin(None);
        let done = busy.connection().savepoint(how, depth).await;
        busy.end();
        done
    }

    /// Runs one statement on a connection that somebody has.
    pub(crate) async fn execute(&self, taken: &mut Taken, ready: &Ready) -> Result<Done> {
        let asked = self.begin(taken, ready);
        let mut busy = taken.begin(Some(ready.known.fingerprint()));
        let done = asked.within(busy.connection().execute(ready.statement())).await;
        busy.end();
        asked.done(&done);
        done.map_err(|error| with_statement(error, ready.known.fingerprint()))
    }

    /// Runs one statement on a connection that somebody has, and keeps its rows.
    pub(crate) async fn query(&self, taken: &mut Taken, ready: &Ready) -> Result<Rows> {
        let asked = self.begin(taken, ready);
        let mut busy = taken.begin(Some(ready.known.fingerprint()));
        let rows = asked.within(busy.connection().query(ready.statement())).await;
        busy.end();
        asked.rows(&rows);
        rows.map_err(|error| with_statement(error, ready.known.fingerprint()))
    }

    /// Runs one statement on a connection that somebody has, and reads its rows as they come.
    ///
    /// The inner error is that of rows that are something else than `T`: the statement was run well.
    pub(crate) async fn select<T: FromRow + Send>(
        &self,
        taken: &mut Taken,
        ready: &Ready,
    ) -> Result<Result<Vec<T>>> {
        if self.config.log_results {
            return Ok(self.query(taken, ready).await?.read());
        }
        let mut read = Collected::default();
        let asked = self.begin(taken, ready);
        let mut busy = taken.begin(Some(ready.known.fingerprint()));
        let each = busy.connection().query_each(ready.statement(), &mut read);
        let done = asked.within(each).await;
        busy.end();
        asked.counted(done.as_ref().map(|()| read.count()));
        done.map_err(|error| with_statement(error, ready.known.fingerprint()))?;
        Ok(read.into_rows())
    }

    /// Runs one statement whose rows are fetched later.
    pub(crate) async fn open_rows(&self, taken: &mut Taken, ready: &Ready) -> Result<Reading> {
        let asked = self.begin(taken, ready);
        let mut busy = taken.begin(Some(ready.known.fingerprint()));
        let columns = asked.within(busy.connection().open_rows(ready.statement())).await;
        busy.end();
        asked.opened(columns).map_err(|error| with_statement(error, ready.known.fingerprint()))
    }

    /// The next rows of what was opened.
    pub(crate) async fn fetch(
        &self,
        taken: &mut Taken,
        reading: &mut Reading,
        max: usize,
    ) -> Result<Vec<Row>> {
        let mut busy = taken.begin(Some(reading.statement()));
        let rows = reading.within(busy.connection().fetch(max)).await;
        busy.end();
        reading.fetched(&rows);
        rows
    }

    /// Runs the statements of a text, one after the other.
    pub(crate) async fn script(&self, taken: &mut Taken, script: Meant<'_>) -> Result<()> {
        let text = self.text(script)?;
        self.allow(sql::Traits::of(&text, self.dialect.lexis).effect)?;
        let account = self.watch.ledger().account(SCRIPT);
        let asked = self.watch.asked(Question::untold(&account, SCRIPT));
        // Whatever it leaves on the connection is not looked for in detail.
        taken.leaves_residue();
        let mut busy = taken.begin(Some(account.statement()));
        let done = asked.within(busy.connection().script(&text)).await;
        busy.end();
        asked.ended(&done);
        done
    }

    /// Inserts many rows.
    pub(crate) async fn bulk(
        &self,
        taken: &mut Taken,
        target: BulkTarget<'_>,
        rows: &[Vec<Value>],
        watched: &Watched<'_>,
    ) -> Result<u64> {
        self.allow(Effect::Write)?;
        let account = self.account_of_bulk("insert", target.table);
        let asked = self.watch.asked(Question::untold(&account, BULK));
        let (sent, total) = (Sent::default(), rows.len() as u64);
        let mut busy = taken.begin(Some(account.statement()));
        let inserting = busy.connection().bulk(target.telling(&sent), rows);
        let inserted = asked.within(watched.over(&sent, total, inserting)).await;
        busy.end();
        if inserted.is_ok() {
            watched.reached(total, total);
        }
        asked.changed(&inserted);
        inserted
    }

    /// Inserts many rows, or updates those that are there.
    pub(crate) async fn bulk_upsert(&self, taken: &mut Taken, upsert: &Upsert<'_>) -> Result<u64> {
        self.allow(Effect::Write)?;
        let account = self.account_of_bulk("upsert", upsert.table());
        let asked = self.watch.asked(Question::untold(&account, BULK));
        let mut busy = taken.begin(Some(account.statement()));
        let put = asked.within(upsert.put(busy.connection(), self.dialect)).await;
        busy.end();
        asked.changed(&put);
        put
    }

    fn account_of_bulk(&self, what: &str, table: &str) -> Arc<Account> {
        let table = sql::fingerprint(table, self.dialect.lexis);
        self.watch.ledger().account(&format!("bulk {what} into {table}"))
    }

    /// A read-only instance refuses what it can see; the connection refuses the rest.
    pub(crate) fn allow(&self, effect: Effect) -> Result<()> {
        if !self.config.read_only || effect == Effect::Read {
            return Ok(());
        }
        Err(Error::new(ErrorKind::PermissionDenied, "the instance is only for reading")
            .with_context("setting", "read_only")
            .not_applied())
    }

    fn begin<'q>(&'q self, taken: &mut Taken, ready: &'q Ready) -> Asked<'q> {
        if ready.known.leaves_session() {
            taken.leaves_residue();
        }
        let Statement { sql, values, .. } = ready.statement();
        let (account, kind) = (ready.known.account(), kind_of(ready.known.effect()));
        self.watch.asked(Question { account, kind, sql, values, at: taken.place() })
    }

    /// Asks over a connection of that lane, ahead of everybody who waits for one.
    async fn answers(&self, lane: Lane) -> Result<()> {
        let mut taken = self.take(lane, Taking::urgent()).await?;
        let mut busy = taken.begin(None);
        let pong = busy.connection().ping().await;
        busy.end();
        pong
    }

    fn each_pool(&self) -> impl Iterator<Item = &Pool> {
        std::iter::once(&self.write).chain(&self.read)
    }
}

impl Lifecycle for Engine {
    fn init(&self) -> Reply<'_, ()> {
        Reply::run(async move {
            self.queries.started()?;
            self.driver.init().await?;
            // What cannot be reached is not ready: whoever builds it is told why.
            self.answers(Lane::Write).await
        })
    }

    /// Asks over a connection of the pool, ahead of everybody who waits for one.
    fn health(&self) -> Reply<'_, Health> {
        Reply::run(async move {
            // Where one connection writes, there is never a second one; one that reads tells as much.
            self.answers(Lane::Read).await.map(|()| Health::up())
        })
    }

    fn close(&self) -> Reply<'_, ()> {
        Reply::run(async move {
            let mut closed = self.write.close(CLOSE_LIMIT).await;
            if let Some(read) = &self.read {
                closed = closed.and(read.close(CLOSE_LIMIT).await);
            }
            closed.and(self.driver.close().await)
        })
    }

    fn capabilities(&self) -> Option<Capabilities> {
        self.driver.capabilities()
    }

    fn details(&self) -> Option<Details> {
        Some(self.shown())
    }

    fn metrics(&self) -> Vec<Metric> {
        self.counted()
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("dialect", &self.dialect.name).finish_non_exhaustive()
    }
}

impl<D> fmt::Debug for Served<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.engine.fmt(f)
    }
}

/// The connections that a statement of this effect goes to.
pub(crate) fn lane(effect: Effect) -> Lane {
    if effect == Effect::Read { Lane::Read } else { Lane::Write }
}

/// What statements are called of which nothing is told in detail: their texts are too long for that.
const SCRIPT: &str = "script";
const BULK: &str = "bulk";

/// How long closing waits for connections that somebody has.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);
