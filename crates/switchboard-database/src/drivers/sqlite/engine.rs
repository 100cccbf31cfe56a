//! What the thread of a connection does with it: statements, rows, transactions.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use rusqlite::fallible_iterator::FallibleIterator as _;
use rusqlite::hooks::Action;
use rusqlite::{Batch, CachedStatement};
use switchboard_core::{Error, ErrorKind, Outcome, Result};
use tokio::sync::oneshot;

use super::errors::{classify, invalid};
use super::place::Place;
use super::thread::{Order, Shared, next_order};
use super::values::{Declared, Kept};
use crate::{Begin, Column, Columns, Done, Lane, Row, Rows, Savepoint, State, Statement, Value};

/// An open connection, and what is known about it.
pub(super) struct Engine {
    connection: rusqlite::Connection,
    place: Arc<Place>,
    lane: Lane,
    shared: Arc<Shared>,
    /// A row got a number of its own since this was last looked at.
    has_inserted: Arc<AtomicBool>,
    /// A transaction began here and has not been ended here.
    has_begun: bool,
    /// It is the transaction of rows that are inserted as a whole.
    is_bulk: bool,
    /// It only reads, on a connection that otherwise writes.
    is_read_only: bool,
    terms: Terms,
    /// The columns of statements that come again.
    shapes: Shapes,
}

/// What the transaction under way asked for its statements.
#[derive(Default)]
struct Terms {
    statement_timeout: Option<Duration>,
    /// It outlives those that are dropped.
    outlives_statements: bool,
}

/// A statement on its way to the thread.
pub(super) struct Asked {
    sql: Arc<str>,
    values: Vec<Value>,
    is_kept: bool,
}

impl From<Statement<'_>> for Asked {
    fn from(statement: Statement<'_>) -> Self {
        let Statement { sql, values, is_kept } = statement;
        Self { sql: sql.clone(), values: values.to_vec(), is_kept }
    }
}

impl Engine {
    pub(super) fn open(place: Arc<Place>, lane: Lane, shared: Arc<Shared>) -> Result<Self> {
        shared.set_lock_wait(place.busy_timeout());
        let has_inserted = Arc::default();
        let connection = ready(&place, lane, &shared, &has_inserted)?;
        Ok(Self {
            connection,
            place,
            lane,
            shared,
            has_inserted,
            has_begun: false,
            is_bulk: false,
            is_read_only: false,
            terms: Terms::default(),
            shapes: Shapes::default(),
        })
    }

    pub(super) fn connection(&mut self) -> &mut rusqlite::Connection {
        &mut self.connection
    }

    pub(super) fn execute(&mut self, asked: &Asked) -> Result<Done> {
        self.begin_statement()?;
        let before = self.connection.total_changes();
        self.has_inserted.store(false, Ordering::Relaxed);
        let run = || {
            let mut statement = self.prepared(asked)?;
            let mut rows = statement.raw_query();
            while rows.next().map_err(classify)?.is_some() {}
            Ok(())
        };
        self.judged(run())?;
        Ok(self.done_since(before))
    }

    pub(super) fn query(&mut self, asked: &Asked) -> Result<Rows> {
        self.begin_statement()?;
        let run = || {
            let mut statement = self.prepared(asked)?;
            if let Some(mut reading) = Reading::begin(&mut statement, asked, &self.shapes)? {
                let rows = reading.read(usize::MAX)?;
                return Ok(Rows { columns: reading.shape.columns, rows });
            }
            Ok(Rows { columns: Shape::of(&statement).columns, rows: Vec::new() })
        };
        self.judged(run())
    }

    /// Serves one statement whose rows are fetched, and answers the first order that is not about them.
    pub(super) fn stream(
        &mut self,
        asked: &Asked,
        opened: oneshot::Sender<Result<Columns>>,
        orders: &Receiver<Order>,
    ) -> Option<Order> {
        let mut opened = Some(opened);
        let mut tell = |columns| opened.take().map(|opened| opened.send(columns));
        let next = self.serve_rows(asked, &mut |columns| drop(tell(Ok(columns))), orders);
        self.tell_state();
        match next {
            Ok(Some(Order::CloseRows(reply))) => {
                reply.send(Ok(())).ok();
                None
            }
            Ok(other) => other,
            Err(error) => {
                tell(Err(error));
                None
            }
        }
    }

    /// An error is one of opening: those of fetching go to whoever fetches.
    fn serve_rows(
        &mut self,
        asked: &Asked,
        opened: &mut dyn FnMut(Columns),
        orders: &Receiver<Order>,
    ) -> Result<Option<Order>> {
        self.begin_statement()?;
        let mut statement = self.prepared(asked)?;
        if let Some(mut reading) =
            self.judged(Reading::begin(&mut statement, asked, &self.shapes))?
        {
            opened(reading.shape.columns.clone());
            return Ok(self.serve_fetches(orders, |max| reading.read(max)));
        }
        opened(Shape::of(&statement).columns);
        Ok(self.serve_fetches(orders, |_| Ok(Vec::new())))
    }

    fn serve_fetches(
        &self,
        orders: &Receiver<Order>,
        mut read: impl FnMut(usize) -> Result<Vec<Row>>,
    ) -> Option<Order> {
        loop {
            match next_order(orders)? {
                Order::Fetch(max, reply) => {
                    self.shared.start_timeout(self.terms.statement_timeout);
                    reply.send(self.judged(read(max.max(1)))).ok();
                }
                other => return Some(other),
            }
        }
    }

    pub(super) fn script(&mut self, sql: &str) -> Result<()> {
        self.begin_statement()?;
        let is_undone_by_others = !self.connection.is_autocommit();
        let mut done = 0_usize;
        let mut run = || {
            let mut statements = Batch::new(&self.connection, sql);
            while let Some(mut statement) = statements.next().map_err(classify)? {
                if statement.parameter_count() > 0 {
                    return Err(invalid("a script has no parameters"));
                }
                self.shield(&statement)?;
                let mut rows = statement.raw_query();
                while rows.next().map_err(classify)?.is_some() {}
                done += 1;
            }
            Ok(())
        };
        let result = run();
        self.judged(result).map_err(|error| {
            let error = error.with_context("statement", done + 1);
            let is_whole = done == 0 || is_undone_by_others;
            if is_whole { error } else { error.with_outcome(Outcome::Unknown) }
        })
    }

    /// Runs one statement for each of the rows. Which of them is to blame is counted from `first`.
    pub(super) fn insert(&mut self, sql: &str, rows: &[Vec<Value>], first: usize) -> Result<()> {
        self.begin_statement()?;
        let run = || {
            let mut statement = self.connection.prepare_cached(sql).map_err(classify)?;
            self.shield(&statement)?;
            for (index, row) in rows.iter().enumerate() {
                bind(&mut statement, row)
                    .and_then(|()| statement.raw_execute().map(drop).map_err(classify))
                    .map_err(|error| error.with_context("row", first + index))?;
            }
            Ok(())
        };
        self.judged(run())
    }

    /// Begins what is inserted as a whole: a transaction, or a part of the one that is under way.
    pub(super) fn begin_bulk(&mut self) -> Result<()> {
        self.begin_statement()?;
        if !self.connection.is_autocommit() {
            return self.run("savepoint bulk_rows");
        }
        self.begin(&Begin::default())?;
        self.is_bulk = true;
        Ok(())
    }

    /// Keeps all of it or nothing.
    pub(super) fn end_bulk(&mut self, is_well: bool) -> Result<()> {
        match (std::mem::take(&mut self.is_bulk), is_well) {
            (true, true) => self.commit().or_else(|error| {
                // Left open, it would take in what the next user believes to be written.
                self.rollback()?;
                Err(error)
            }),
            (true, false) => self.rollback(),
            // All was taken back already, and what was done before it too.
            (false, false) if self.connection.is_autocommit() => Ok(()),
            (false, true) => self.run("release bulk_rows"),
            (false, false) => {
                self.run("rollback to bulk_rows")?;
                self.run("release bulk_rows")
            }
        }
    }

    pub(super) fn begin(&mut self, options: &Begin) -> Result<()> {
        if self.state() != State::Idle {
            return Err(precondition("a transaction is under way already"));
        }
        self.shared.set_lock_wait(options.lock_timeout.unwrap_or(self.place.busy_timeout()));
        self.shared.start_timeout(options.statement_timeout);
        let begun = self.begin_as(options.is_read_only);
        if begun.is_ok() {
            self.has_begun = true;
            self.terms = Terms {
                statement_timeout: options.statement_timeout,
                outlives_statements: options.outlives_statements,
            };
        } else {
            self.forget_transaction();
        }
        self.judged(begun)
    }

    fn begin_as(&mut self, is_read_only: bool) -> Result<()> {
        if self.lane == Lane::Read || self.place.is_read_only() {
            return self.run("begin deferred");
        }
        if is_read_only {
            self.set_read_only(true)?;
            return self.run("begin deferred");
        }
        // Whoever will write takes the lock at once: taken later, it could only be refused.
        self.run("begin immediate")
    }

    pub(super) fn commit(&mut self) -> Result<()> {
        match self.state() {
            State::Idle => return Err(precondition("no transaction is under way")),
            State::Failed => return Err(ended()),
            _ => self.run("commit")?,
        }
        self.forget_transaction();
        Ok(())
    }

    pub(super) fn rollback(&mut self) -> Result<()> {
        if !self.connection.is_autocommit() {
            self.run("rollback")?;
        }
        self.forget_transaction();
        Ok(())
    }

    pub(super) fn savepoint(&mut self, step: Savepoint, depth: u32) -> Result<()> {
        if self.connection.is_autocommit() {
            return Err(if self.has_begun {
                ended()
            } else {
                precondition("no transaction is under way")
            });
        }
        match step {
            Savepoint::Set => self.run(&format!("savepoint level_{depth}")),
            Savepoint::Release => self.run(&format!("release level_{depth}")),
            Savepoint::RollBack => {
                self.run(&format!("rollback to level_{depth}"))?;
                self.run(&format!("release level_{depth}"))
            }
        }
    }

    /// A connection as new takes the place of this one: nothing that a user left can outlive that.
    pub(super) fn reset(&mut self) -> Result<()> {
        self.forget_transaction();
        self.connection = ready(&self.place, self.lane, &self.shared, &self.has_inserted)?;
        Ok(())
    }

    pub(super) fn ping(&mut self) -> Result<()> {
        self.run("select 1")
    }

    /// Leaves hints for the planner of the next connection, if that takes no waiting, and closes.
    pub(super) fn close(mut self) -> Result<()> {
        self.rollback()?;
        self.shared.set_lock_wait(Duration::ZERO);
        if self.lane == Lane::Write && !self.place.is_read_only() {
            // It only makes later statements faster; whether it could is nobody's concern.
            self.run("pragma optimize").ok();
        }
        self.shared.interrupt().take();
        self.connection.close().map_err(|(_, error)| classify(error))
    }

    /// Where the connection is.
    fn state(&self) -> State {
        match (self.has_begun, self.connection.is_autocommit()) {
            (false, true) => State::Idle,
            (_, false) => State::InTransaction,
            // SQLite takes all back by itself where the disk is full, or a change was interrupted.
            (true, true) => State::Failed,
        }
    }

    pub(super) fn tell_state(&self) {
        self.shared.tell_state(self.state());
    }

    fn begin_statement(&self) -> Result<()> {
        if self.state() == State::Failed {
            return Err(ended());
        }
        self.shared.start_timeout(self.terms.statement_timeout);
        Ok(())
    }

    /// Says of an interrupted statement why it was.
    fn judged<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| {
            if error.kind() == ErrorKind::Cancelled && self.shared.is_overdue() {
                return Error::new(ErrorKind::Timeout, "the statement took longer than it may")
                    .not_applied();
            }
            error
        })
    }

    fn done_since(&self, before: u64) -> Done {
        if self.connection.total_changes() == before {
            return Done::default();
        }
        let has_inserted = self.has_inserted.load(Ordering::Relaxed);
        let last_id = has_inserted.then(|| self.connection.last_insert_rowid());
        Done::affected(self.connection.changes()).with_last_id(last_id)
    }

    fn forget_transaction(&mut self) {
        self.has_begun = false;
        self.is_bulk = false;
        self.terms = Terms::default();
        self.shared.end_shield();
        self.shared.start_timeout(None);
        self.shared.set_lock_wait(self.place.busy_timeout());
        // It changes a setting in memory only, which cannot fail.
        self.set_read_only(false).ok();
    }

    fn set_read_only(&mut self, is_on: bool) -> Result<()> {
        if self.is_read_only == is_on {
            return Ok(());
        }
        self.run(if is_on { "pragma query_only = on" } else { "pragma query_only = off" })?;
        self.is_read_only = is_on;
        Ok(())
    }

    /// The statement with its values. One that the schema has overtaken, SQLite prepares again by itself.
    fn prepared(&self, asked: &Asked) -> Result<Prepared<'_>> {
        let mut statement = if asked.is_kept && self.place.keeps_statements() {
            Prepared::Kept(self.connection.prepare_cached(&asked.sql).map_err(classify)?)
        } else {
            Prepared::Once(self.connection.prepare(&asked.sql).map_err(classify)?)
        };
        bind(&mut statement, &asked.values)?;
        self.shield(&statement)?;
        Ok(statement)
    }

    /// Lets the statement come to its end where its transaction outlives it: SQLite takes all back where a
    /// change is interrupted, and nothing where a question is.
    fn shield(&self, statement: &rusqlite::Statement<'_>) -> Result<()> {
        if !self.terms.outlives_statements || statement.readonly() {
            self.shared.end_shield();
            return Ok(());
        }
        if self.shared.shield() { Ok(()) } else { Err(cancelled()) }
    }

    /// Runs a statement of our own.
    fn run(&self, sql: &str) -> Result<()> {
        let mut statement = self.connection.prepare_cached(sql).map_err(classify)?;
        let mut rows = statement.raw_query();
        while rows.next().map_err(classify)?.is_some() {}
        Ok(())
    }
}

/// A connection that can be stopped from outside, waits for locks, and tells of rows inserted.
fn ready(
    place: &Place,
    lane: Lane,
    shared: &Arc<Shared>,
    has_inserted: &Arc<AtomicBool>,
) -> Result<rusqlite::Connection> {
    let waiting = shared.clone();
    let wait = move |count| waiting.wait_for_lock(count);
    let mut connection = place.open(lane, wait)?;
    let (stopping, inserted) = (shared.clone(), has_inserted.clone());
    connection
        .progress_handler(OPERATIONS_BETWEEN_LOOKS, Some(move || stopping.must_stop()))
        .map_err(classify)?;
    connection
        .update_hook(Some(move |action, _: &str, _: &str, _| {
            if action == Action::SQLITE_INSERT {
                inserted.store(true, Ordering::Relaxed);
            }
        }))
        .map_err(classify)?;
    *shared.interrupt() = Some(connection.get_interrupt_handle());
    Ok(connection)
}

/// A statement that will come again, or not.
enum Prepared<'c> {
    Kept(CachedStatement<'c>),
    Once(rusqlite::Statement<'c>),
}

impl<'c> Deref for Prepared<'c> {
    type Target = rusqlite::Statement<'c>;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Kept(statement) => statement,
            Self::Once(statement) => statement,
        }
    }
}

impl DerefMut for Prepared<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        match self {
            Self::Kept(statement) => statement,
            Self::Once(statement) => statement,
        }
    }
}

fn bind(statement: &mut rusqlite::Statement<'_>, values: &[Value]) -> Result<()> {
    if statement.parameter_count() != values.len() {
        return Err(invalid(
            "the statement has another number of parameters than there are values",
        )
        .with_context("parameters", statement.parameter_count())
        .with_context("values", values.len()));
    }
    for (index, value) in values.iter().enumerate() {
        statement.raw_bind_parameter(index + 1, Kept(value)).map_err(classify)?;
    }
    Ok(())
}

/// Rows that are being read, of which there is at least one.
struct Reading<'s> {
    rows: rusqlite::Rows<'s>,
    shape: Shape,
    /// The first row, read because only then SQLite has noticed whether the columns are still the same.
    first: Option<Row>,
    is_done: bool,
}

impl<'s> Reading<'s> {
    fn begin(
        statement: &'s mut rusqlite::Statement<'_>,
        asked: &Asked,
        shapes: &Shapes,
    ) -> Result<Option<Self>> {
        let mut rows = statement.raw_query();
        let Some(row) = rows.next().map_err(classify)? else { return Ok(None) };
        let shape = shapes.of(row.as_ref(), asked);
        let first = Some(shape.read(row)?);
        Ok(Some(Self { rows, shape, first, is_done: false }))
    }

    fn read(&mut self, max: usize) -> Result<Vec<Row>> {
        let mut read: Vec<Row> = self.first.take().into_iter().collect();
        while read.len() < max && !self.is_done {
            // After an error there is nothing more to read either.
            self.is_done = true;
            if let Some(row) = self.rows.next().map_err(classify)? {
                read.push(self.shape.read(row)?);
                self.is_done = false;
            }
        }
        Ok(read)
    }
}

/// The columns of statements that come again, so that each is described once.
#[derive(Default)]
struct Shapes(RefCell<HashMap<Arc<str>, Shape>>);

impl Shapes {
    /// The columns of `statement`, which are looked at again: the schema may have overtaken them.
    fn of(&self, statement: &rusqlite::Statement<'_>, asked: &Asked) -> Shape {
        if !asked.is_kept {
            return Shape::of(statement);
        }
        let mut known = self.0.borrow_mut();
        if let Some(shape) = known.get(&*asked.sql)
            && shape.describes(statement)
        {
            return shape.clone();
        }
        if known.len() >= SHAPES_MAX {
            known.clear();
        }
        let shape = Shape::of(statement);
        known.insert(asked.sql.clone(), shape.clone());
        shape
    }
}

/// The columns of an answer, and how the values in them are read.
#[derive(Clone)]
struct Shape {
    columns: Columns,
    declared: Arc<[Declared]>,
}

impl Shape {
    fn of(statement: &rusqlite::Statement<'_>) -> Self {
        let declared = statement.columns().map(|column| Declared::of(column.decl_type())).collect();
        let columns = Columns::new(statement.columns().map(|column| Column {
            name: column.name().into(),
            type_name: column.decl_type().map(Into::into),
        }));
        Self { columns, declared }
    }

    /// Whether it is still what the statement answers.
    fn describes(&self, statement: &rusqlite::Statement<'_>) -> bool {
        statement.column_count() == self.columns.len()
            && statement.columns().zip(&self.columns).all(|(column, known)| {
                column.name() == &*known.name && column.decl_type() == known.type_name.as_deref()
            })
    }

    fn read(&self, row: &rusqlite::Row<'_>) -> Result<Row> {
        let mut values = Vec::with_capacity(self.declared.len());
        for (index, declared) in self.declared.iter().enumerate() {
            values.push(declared.read(row.get_ref(index).map_err(classify)?));
        }
        Ok(Row::new(self.columns.clone(), values))
    }
}

fn precondition(message: &'static str) -> Error {
    Error::new(ErrorKind::PreconditionFailed, message).not_applied()
}

fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "the statement was cancelled before it began").not_applied()
}

fn ended() -> Error {
    precondition("the transaction has been taken back, and can only be rolled back")
        .with_hint("the statement before it says why")
}

/// How many statements have their columns kept; with one more, all begin anew.
const SHAPES_MAX: usize = 1_000;

/// How many steps of its machine SQLite makes before it asks whether to go on: some tens of microseconds.
const OPERATIONS_BETWEEN_LOOKS: i32 = 1_000;
