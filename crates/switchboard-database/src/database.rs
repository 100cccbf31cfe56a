//! What an application holds: the handle of a database, and everything that can be asked of it.

use std::future::Future;
use std::panic::Location;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use switchboard_core::{
    Effect, Error, Held, LeftOut, Line, Manager, Op, Place, Registry, Result, Subsystem,
};

use crate::engine::{Engine, Served, lane};
use crate::observe::StatementFigures;
use crate::pool::{self, Holder, PoolFigures, Taking};
use crate::session::{Beginning, Bounds, Occupied, Opening};
use crate::statement::{Asked, Job, Lent, Query, Source, asked_at};
use crate::{
    Dialect, DriverSettings, PooledConnection, Statements, Transaction, TransactionOptions, drivers,
};

switchboard_core::operations! {
    /// What a database can be asked.
    pub mod op {
        EXECUTE = "execute": Unsafe;
        EXECUTE_MANY = "execute_many": Unsafe;
        EXECUTE_SCRIPT = "execute_script": Unsafe;
        /// Reads where the text of the statement says so: it changes nothing, and calls only functions that
        /// are known to compute and do nothing else. On an instance that is only for reading, any function.
        SELECT = "select": Unsafe;
        BULK_INSERT = "bulk_insert": Unsafe;
        /// A bulk insert that says what becomes of rows that are there.
        BULK_UPSERT = "bulk_upsert": Unsafe;
        STACK = "stack": Unsafe;
        /// Reads where [`SELECT`] does.
        STREAM = "stream": Unsafe;
        FETCH = "fetch": Read;
        /// Takes a connection, and asks nothing yet.
        CONNECTION = "connection": Read;
        /// Takes a connection and begins; nothing is changed by that.
        TRANSACTION = "transaction": Read;
        SAVEPOINT = "savepoint": Unsafe;
        COMMIT = "commit": Unsafe;
        ROLLBACK = "rollback": Unsafe;
        NATIVE = "native": Unsafe;
    }
}

/// The subsystem of databases. It is only a name and has no values.
#[derive(Debug)]
pub enum Databases {}

impl Subsystem for Databases {
    const NAME: &'static str = "database";
    type Driver = Engine;
    type Handle = Database;
    const OPERATIONS: &'static [Op] = op::ALL;
    const LEFT_OUT: &'static [LeftOut] = drivers::LEFT_OUT;

    fn register_built_ins(registry: &Registry<Self>) -> Result<()> {
        drivers::register_built_ins(registry)
    }
}

/// A database.
///
/// Cheap to clone, and good for the life of the application whichever driver serves it. It runs
/// [`Statements`] on any connection, one at a time; what belongs together goes in a
/// [`transaction`](Self::transaction).
#[derive(Clone, Debug)]
pub struct Database {
    line: Line<Databases>,
}

impl From<Line<Databases>> for Database {
    fn from(line: Line<Databases>) -> Self {
        Self { line }
    }
}

/// A name in the program for one database of its configuration, so that a mistake in it is found at
/// one place.
pub trait Designates {
    /// The name of the instance.
    const INSTANCE: &'static str;
}

impl Database {
    /// The one database of `databases` whose driver has the settings `C`; an error that lists the
    /// candidates if there are several.
    pub async fn of<C: DriverSettings>(databases: &Manager<Databases>) -> Result<Self> {
        databases.get_by_type::<Served<C::Driver>>().await
    }

    /// The database of `databases` that the type `M` designates.
    pub fn designated<M: Designates>(databases: &Manager<Databases>) -> Result<Self> {
        databases.handle(M::INSTANCE)
    }

    /// The line the handle holds: capabilities, figures, who serves.
    pub fn line(&self) -> &Line<Databases> {
        &self.line
    }

    /// How its SQL is written. `None` while nothing serves it, and for a group.
    pub fn dialect(&self) -> Option<&'static Dialect> {
        self.line.peek(Engine::dialect)
    }

    /// How its pools are: the one that writes first. None while nothing serves it.
    pub fn pools(&self) -> Vec<PoolFigures> {
        self.line.peek(Engine::pools).unwrap_or_default()
    }

    /// Who has its connections, the longest first.
    pub fn holders(&self) -> Vec<Holder> {
        self.line.peek(Engine::holders).unwrap_or_default()
    }

    /// What its statements have cost, up to 2 000 that differ in more than their values: those first that
    /// once took longest; what is no longer told apart is called `other`, at the end.
    pub fn statements(&self) -> Vec<StatementFigures> {
        self.line.peek(Engine::statements).unwrap_or_default()
    }

    /// Lets nobody have a connection until [`resume`](Self::resume); callers wait. Health is still looked at.
    pub fn suspend(&self) {
        self.line.peek(Engine::suspend);
    }

    /// Lets callers have connections again.
    pub fn resume(&self) {
        self.line.peek(Engine::resume);
    }

    /// Replaces every connection that is there now, spread over `over`: after a failover, or when a
    /// password has changed.
    pub fn refresh_all(&self, over: Duration) {
        self.line.peek(|engine| engine.refresh(over));
    }

    /// A connection of one's own, without a transaction.
    #[track_caller]
    pub fn connection(&self) -> impl Future<Output = Result<PooledConnection>> + Send {
        let opening = self.opening(Location::caller());
        async move {
            let mut occupied = Occupied::waiting(opening);
            occupied.opened().await?;
            Ok(PooledConnection::new(occupied, self.clone()))
        }
    }

    /// Begins a transaction that is ended by hand.
    #[track_caller]
    pub fn begin(
        &self,
        options: &TransactionOptions,
    ) -> impl Future<Output = Result<Transaction>> + Send {
        let transaction = self.waiting(options, Location::caller());
        async move {
            transaction.opened().await?;
            Ok(transaction)
        }
    }

    /// A transaction that takes its connection and begins with its first statement; one that had none is
    /// nothing at all. It is ended by hand.
    #[track_caller]
    pub fn begin_lazily(&self, options: &TransactionOptions) -> Transaction {
        self.waiting(options, Location::caller())
    }

    /// Runs `body` in a transaction that begins with its first statement: committed if it ends well,
    /// rolled back by error, panic and drop. `body` runs once.
    #[track_caller]
    pub fn session<T, E, F, Fut>(&self, body: F) -> impl Future<Output = Result<T, E>> + Send
    where
        F: FnOnce(Transaction) -> Fut + Send,
        Fut: Future<Output = Result<T, E>> + Send,
        T: Send,
        E: From<Error> + Send,
    {
        let opening = self.opening(Location::caller());
        let beginning = self.beginning(&TransactionOptions::new());
        let transaction = Transaction::waiting(beginning, opening);
        async move {
            let scope = Scope::new(transaction.clone());
            Box::pin(pool::scoped(scope.run(body(transaction)))).await
        }
    }

    /// Runs `body` in a transaction: committed if it ends well, rolled back by error, panic and drop.
    ///
    /// `body` runs again from the start, on a new transaction, when it met another transaction and one of
    /// both had to give way. What must happen once belongs in [`Transaction::after_commit`].
    #[track_caller]
    pub fn transaction<T, E, F, Fut>(&self, body: F) -> impl Future<Output = Result<T, E>> + Send
    where
        F: FnMut(Transaction) -> Fut + Send,
        Fut: Future<Output = Result<T, E>> + Send,
        T: Send,
        E: From<Error> + Send,
    {
        self.transactions(TransactionOptions::new(), body, Location::caller())
    }

    /// [`transaction`](Self::transaction), where something is asked of it.
    #[track_caller]
    pub fn transaction_with<T, E, F, Fut>(
        &self,
        options: TransactionOptions,
        body: F,
    ) -> impl Future<Output = Result<T, E>> + Send
    where
        F: FnMut(Transaction) -> Fut + Send,
        Fut: Future<Output = Result<T, E>> + Send,
        T: Send,
        E: From<Error> + Send,
    {
        self.transactions(options, body, Location::caller())
    }

    async fn transactions<T, E, F, Fut>(
        &self,
        options: TransactionOptions,
        mut body: F,
        at: &'static Location<'static>,
    ) -> Result<T, E>
    where
        F: FnMut(Transaction) -> Fut + Send,
        Fut: Future<Output = Result<T, E>> + Send,
        T: Send,
        E: From<Error> + Send,
    {
        let clock = self.line.environment().clock();
        let mut tries = 0;
        loop {
            let transaction = self.waiting(&options, at);
            let scope = Scope::new(transaction.clone());
            // In a box, so that callers do not carry what a whole body needs with them.
            let whole = async {
                transaction.opened().await?;
                body(transaction.clone()).await
            };
            let answer = Box::pin(pool::scoped(scope.run(whole))).await;
            if answer.is_ok() || !transaction.met_conflict().await {
                return answer;
            }
            let Some(most) = transaction.wait_before_again(tries) else { return answer };
            clock.sleep(most.mul_f64(clock.fraction())).await;
            tries += 1;
        }
    }

    pub(crate) fn waiting(
        &self,
        options: &TransactionOptions,
        at: &'static Location<'static>,
    ) -> Transaction {
        let opening = Opening { is_long: options.is_long, ..self.opening(at) };
        Transaction::waiting(self.beginning(options), opening)
    }

    /// Where an error happened that came about after `op` was answered.
    pub(crate) fn place(&self, op: Op) -> Place {
        Place {
            subsystem: Databases::NAME,
            instance: self.line.instance().into(),
            driver: self.line.serving().map(|(driver, _)| driver),
            operation: op.name(),
        }
    }

    fn beginning(&self, options: &TransactionOptions) -> Beginning {
        let bounds = Arc::new(Bounds::new(options, self.line.environment().clock()));
        Beginning { begin: options.begin.clone(), bounds }
    }

    fn opening(&self, at: &'static Location<'static>) -> Opening {
        Opening { database: self.clone(), begin: None, at, is_long: false }
    }

    /// `op`, which may be repeated where all it does is reading.
    fn op(&self, op: Op, is_repeatable: impl FnOnce(&Engine) -> Result<bool>) -> Op {
        match self.line.peek(is_repeatable) {
            Some(Ok(true)) => op.with_effect(Effect::Read),
            _ => op,
        }
    }
}

impl Statements for Database {}

impl Asked for Database {
    async fn ask<J: Job>(&self, job: J, at: &'static Location<'static>) -> Result<J::Answer> {
        let job = &job;
        let once = |engine: Held<Databases>| async move { engine.once(job, at).await };
        let op = self.op(J::OP, |engine| job.is_repeatable(engine));
        self.line.call(op, once).await.map_err(|error| asked_at(error, at))
    }

    async fn open_rows(&self, query: Query<'_>, at: &'static Location<'static>) -> Result<Source> {
        let query = &query;
        let taking = Taking { at, is_long: false, is_scope: true, is_urgent: false };
        let op = self.op(op::STREAM, |engine| engine.is_repeatable(query.sql));
        let opened = self.line.open(op, |engine: Held<Databases>| async move {
            let ready = engine.ready(query.sql, &query.params)?;
            let mut taken = engine.take(lane(ready.known.effect()), taking).await?;
            let reading = engine.open_rows(&mut taken, &ready).await?;
            Ok((taken, reading))
        });
        let opened = opened.await.map_err(|error| asked_at(error, at))?;
        Ok(Source::new(Lent::Own(opened), self.line.environment().reaper()))
    }

    fn database(&self) -> &Database {
        self
    }
}

/// The scope of a transaction: whatever way it is left, the transaction ends.
struct Scope {
    transaction: Transaction,
    has_ended: bool,
}

impl Scope {
    fn new(transaction: Transaction) -> Self {
        Self { transaction, has_ended: false }
    }

    async fn run<T, E: From<Error>>(
        mut self,
        body: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E> {
        // In a box, because it is handed on by value, to be dropped when its time is over.
        let body = Box::pin(body);
        let Some(answer) = self.transaction.in_time(body).await else {
            return Err(self.transaction.given_up().await.into());
        };
        let ended = match &answer {
            Ok(_) => self.commit().await,
            // What matters is why it was given up; a connection that cannot roll back is closed.
            Err(_) => self.transaction.rollback().await.or(Ok(())),
        };
        self.has_ended = true;
        let answer = answer?;
        ended?;
        Ok(answer)
    }

    async fn commit(&self) -> Result<()> {
        let mut committing = pin!(self.committed());
        match self.transaction.in_time(committing.as_mut()).await {
            Some(committed) => committed,
            // What is on its way to the server has a time of its own, after which its answer is known.
            None if self.transaction.is_ending() => committing.await,
            None => Err(self.transaction.given_up().await),
        }
    }

    async fn committed(&self) -> Result<()> {
        self.transaction.close_rows();
        // Who ended it by hand has had the answer to that.
        if self.transaction.has_ended().await {
            return Ok(());
        }
        self.transaction.commit().await
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        if !self.has_ended {
            self.transaction.abandon();
        }
    }
}
