//! What a driver of a database must do: the contract, for those who implement it.
//!
//! A driver makes connections; a [`Connection`] runs statements. Pools, sessions, retries, parameters,
//! mapping, logs and figures are nobody's but ours: they are written once, above this contract.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use switchboard_core::{Lifecycle, Reply};

use crate::{Columns, Copies, DriverContext, Row, Value};

/// A database that connections can be made to.
///
/// What a driver may assume: it is asked for a few connections at a time, someone else waits, limits,
/// retries, counts and logs, and a connection has one user at a time.
///
/// What must be true:
///
/// - An error says what happened by its kind: see [`Violation`](crate::Violation) for constraints; `Conflict` with
///   `retry_later` where the whole transaction can be run again (serialization, deadlock, busy);
///   `Unavailable` where the server is gone. A statement that the server refused is `not_applied`; one
///   whose answer was lost is in doubt. An error that is not recognised is `Unexpected`, with the
///   server's code in the context [`context::CODE`].
/// - Values of parameters never appear in an error.
/// - A call may be dropped at any await. [`Connection::recover`] then brings the connection back to a
///   known state or fails, and a connection that failed to is closed.
pub trait DatabaseDriver: Lifecycle {
    /// How its SQL is written, and what it can do.
    fn dialect(&self) -> &'static Dialect;

    /// Who may use connections at the same time.
    fn lanes(&self) -> Lanes {
        Lanes::Same
    }

    /// What its connections say to the server who they are, where the settings name an application.
    fn application(&self) -> Option<&str> {
        None
    }

    /// Where its server is, for errors of connections that cannot be made: hosts and ports, or the path of
    /// a socket, and nothing that is secret. None for one without a server.
    fn address(&self) -> Option<String> {
        None
    }

    /// What makes databases beside this one, for tests; none where that is not to be had.
    fn copies(&self) -> Option<&dyn Copies> {
        None
    }

    /// One more connection, ready for statements, set up as the settings of the session say.
    fn connect(&self, lane: Lane) -> Reply<'_, Box<dyn Connection>>;
}

/// The settings of a driver, which also name it: a database can be looked up by them.
pub trait DriverSettings: DeserializeOwned + JsonSchema + Send + 'static {
    /// The driver that they are the settings of.
    type Driver: DatabaseDriver;

    /// Which database it is, and as whom it is used: the same text for all settings that lead to the same
    /// sessions, however they are written, so that two names of one database are noticed. Nobody is shown it, and
    /// no password is in it. `None` for what no other instance can be, and where that is not known.
    fn place(&self, _context: &DriverContext) -> Option<String> {
        None
    }
}

/// What the connections of a database have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lanes {
    /// Every connection can do everything.
    Same,
    /// One connection writes, any number of others only read, as a file wants it.
    OneWriter,
}

/// What a connection is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Everything.
    Write,
    /// Reading only. Asked for only where the lanes differ.
    Read,
}

/// One connection. Whoever has it is its only user.
///
/// Statements come with their parameters in the dialect's own notation. Values are in order; the
/// driver brings them into the types the server wants, and answers `InvalidInput` for one that does
/// not fit, naming its position, its kind and the type that is wanted, before anything happens.
pub trait Connection: Send + 'static {
    /// Runs one statement, and reads whatever it answers to the end.
    fn execute<'a>(&'a mut self, statement: Statement<'a>) -> Reply<'a, Done>;

    /// Runs one statement, and keeps all its rows.
    fn query<'a>(&'a mut self, statement: Statement<'a>) -> Reply<'a, Rows>;

    /// Runs one statement, and shows each of its rows to `reader` as it comes.
    ///
    /// Nothing has to be done about it. It is faster where rows can be read as the server sent them,
    /// without being made into values and kept first.
    fn query_each<'a>(
        &'a mut self,
        statement: Statement<'a>,
        reader: &'a mut dyn RowReader,
    ) -> Reply<'a, ()> {
        Reply::run(async move {
            for row in self.query(statement).await?.rows {
                let (columns, mut values) = row.into_parts();
                reader.read(&columns, &mut values);
            }
            Ok(())
        })
    }

    /// Runs one statement whose rows are then [fetched](Self::fetch) a few at a time.
    ///
    /// Until the last was fetched, or [`close_rows`](Self::close_rows), nothing else is asked.
    fn open_rows<'a>(&'a mut self, statement: Statement<'a>) -> Reply<'a, Columns>;

    /// The next rows of what was opened, about `max` of them and at least one; none at the end.
    fn fetch(&mut self, max: usize) -> Reply<'_, Vec<Row>>;

    /// Stops fetching, without reading what is left if the server can be told.
    fn close_rows(&mut self) -> Reply<'_, ()>;

    /// Runs statements without parameters, one after the other, until one fails.
    fn script<'a>(&'a mut self, sql: &'a str) -> Reply<'a, ()>;

    /// Inserts many rows in the fastest way the server has; says how many.
    ///
    /// All or none of them, except outside of a transaction where the server cannot: it says so in
    /// [`Dialect::bulk_is_atomic`]. On the way it may tell [`BulkTarget::sent`] how many went.
    fn bulk<'a>(&'a mut self, target: BulkTarget<'a>, rows: &'a [Vec<Value>]) -> Reply<'a, u64>;

    /// Begins a transaction.
    fn begin<'a>(&'a mut self, options: &'a Begin) -> Reply<'a, ()>;

    /// Makes it last. An error whose outcome is unknown leaves open whether it does.
    fn commit(&mut self) -> Reply<'_, ()>;

    /// Takes it all back.
    fn rollback(&mut self) -> Reply<'_, ()>;

    /// Does something to the savepoint number `depth`, counted from one.
    fn savepoint(&mut self, step: Savepoint, depth: u32) -> Reply<'_, ()>;

    /// Where it is, as far as is known without asking. After a dropped call: `Unknown`.
    fn state(&self) -> State;

    /// After a dropped call: stops what still runs, and finds out where the connection is.
    fn recover(&mut self) -> Reply<'_, State>;

    /// Forgets what its user left on it: settings, temporary tables, locks, listeners.
    fn reset(&mut self) -> Reply<'_, ()>;

    /// Asks whether anybody answers.
    fn ping(&mut self) -> Reply<'_, ()>;

    /// Says goodbye.
    fn close(self: Box<Self>) -> Reply<'static, ()>;

    /// What the server calls this connection, for people.
    fn id(&self) -> Option<String> {
        None
    }

    /// The client of the library underneath, for what only it can do.
    fn native(&mut self) -> &mut dyn Any;
}

/// One statement with its parameters, ready for a driver.
#[derive(Clone, Copy)]
pub struct Statement<'a> {
    /// The text, with placeholders as the dialect writes them.
    pub sql: &'a Arc<str>,
    /// One value for each placeholder, in order.
    pub values: &'a [Value],
    /// Whether it will come again, so that preparing it is worth while.
    pub is_kept: bool,
}

impl fmt::Debug for Statement<'_> {
    // Values may be anybody's secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Statement")
            .field("sql", &self.sql)
            .field("values", &self.values.len())
            .finish_non_exhaustive()
    }
}

/// What a statement did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Done {
    /// How many rows it inserted, changed or deleted, as the server counts.
    pub affected: u64,
    /// The key that the server made for the last row inserted, where it tells.
    pub last_id: Option<i64>,
}

impl Done {
    /// So many rows, and no key.
    #[must_use]
    pub const fn affected(affected: u64) -> Self {
        Self { affected, last_id: None }
    }

    /// The same with the key that the server made.
    #[must_use]
    pub const fn with_last_id(mut self, last_id: Option<i64>) -> Self {
        self.last_id = last_id;
        self
    }
}

/// All rows of an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// What is known of the columns, also where there are no rows.
    pub columns: Columns,
    /// The rows in order.
    pub rows: Vec<Row>,
}

/// Who is shown rows as they come.
pub trait RowReader: Send {
    /// Reads what it wants of one row. Its own mistakes are its own business.
    fn read(&mut self, columns: &Columns, row: &mut dyn Fields);
}

/// The values of one row, each of which is taken once at the most.
pub trait Fields {
    /// The value that stands there. `None` where the driver cannot read it: that is an error of the
    /// statement then.
    fn take(&mut self, index: usize) -> Option<Value>;
}

impl Fields for Vec<Value> {
    fn take(&mut self, index: usize) -> Option<Value> {
        self.get_mut(index).map(std::mem::take)
    }
}

/// Where many rows are inserted.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct BulkTarget<'a> {
    /// The table, with its schema where it has one: `app.users`. Not quoted yet.
    pub table: &'a str,
    /// The columns that each row has values for. Not quoted yet.
    pub columns: &'a [&'a str],
    /// Where it is told how many rows were sent, if anybody wants to know.
    pub sent: Option<&'a Sent>,
}

impl<'a> BulkTarget<'a> {
    /// These columns of that table.
    pub const fn new(table: &'a str, columns: &'a [&'a str]) -> Self {
        Self { table, columns, sent: None }
    }

    /// The same, where `sent` is told how many rows were sent.
    #[must_use]
    pub const fn telling(self, sent: &'a Sent) -> Self {
        Self { sent: Some(sent), ..self }
    }
}

/// How many of many rows were sent, told by who sends them.
#[derive(Clone, Debug, Default)]
pub struct Sent(Arc<AtomicU64>);

impl Sent {
    /// So many of all rows were sent by now.
    pub fn reached(&self, rows: usize) {
        self.0.fetch_max(rows as u64, Ordering::Relaxed);
    }

    /// How many it were.
    pub fn rows(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How a transaction begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Begin {
    /// How far it is kept from others; the server's own choice where nothing is said.
    pub isolation: Option<Isolation>,
    /// It only reads.
    pub is_read_only: bool,
    /// It may wait for a moment in which it cannot fail, where the server knows that.
    pub is_deferrable: bool,
    /// How long one statement in it may take, as the server measures.
    pub statement_timeout: Option<Duration>,
    /// How long one statement in it may wait for a lock.
    pub lock_timeout: Option<Duration>,
    /// It outlives statements that are dropped: one whose stop would take back all of it comes to its end
    /// instead, and [`recover`](Connection::recover) waits for that.
    pub outlives_statements: bool,
}

/// How far a transaction is kept from what others do at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Isolation {
    /// Sees what others have not committed, where the server allows that at all.
    ReadUncommitted,
    /// Sees what others have committed.
    ReadCommitted,
    /// Sees one state of the data.
    RepeatableRead,
    /// As if it were alone.
    Serializable,
}

/// What is done to a savepoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Savepoint {
    /// It is set.
    Set,
    /// It is kept, as part of what is around it.
    Release,
    /// All since then is taken back, and it is gone.
    RollBack,
}

/// Where a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// Nothing is under way.
    Idle,
    /// A transaction is.
    InTransaction,
    /// A transaction that can only be rolled back.
    Failed,
    /// A call was dropped, and nobody has looked since.
    Unknown,
    /// The connection is of no use any more.
    Broken,
}

/// How the SQL of a database is written, and what it can do.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact about a server")]
#[derive(Clone, Copy, Debug)]
pub struct Dialect {
    /// Its name: `postgres`.
    pub name: &'static str,
    /// How a placeholder is written.
    pub placeholder: Placeholder,
    /// What is put around a name.
    pub quote: char,
    /// What texts of statements may contain.
    pub lexis: Lexis,
    /// How many values one statement may have.
    pub values_max: usize,
    /// Whether a value may be an array.
    pub has_arrays: bool,
    /// Whether `ORDER BY … NULLS FIRST` is understood.
    pub has_nulls_order: bool,
    /// Whether `RETURNING` is understood.
    pub has_returning: bool,
    /// Whether tables are made and changed inside transactions.
    pub has_transactional_ddl: bool,
    /// A statement that checks now what is otherwise checked at the commit.
    pub check_deferred: Option<&'static str>,
    /// Whether inserting many rows is all or nothing outside of a transaction too.
    pub bulk_is_atomic: bool,
    /// How an insert says what becomes of rows that are there.
    pub on_conflict: OnConflict,
    /// Functions of its own that compute and do nothing else, beside those that all databases have: a
    /// query that calls any other function is not asked again by itself. Lower case, in order.
    pub functions: &'static [&'static str],
    /// What the server calls it ([`context::CODE`]) that others held a lock for too long, and nothing but the
    /// statement that waited has failed: a transaction that takes that back is as it was before.
    pub lock_codes: &'static [&'static str],
    /// What is written before a query so that the server answers with how it would run it, and does not run
    /// it: `explain`.
    pub explain: Option<&'static str>,
}

impl Dialect {
    /// What all have in common, and nothing beyond: what a driver begins with.
    ///
    /// ```
    /// use switchboard_database::Dialect;
    ///
    /// static DIALECT: Dialect = Dialect { name: "mine", values_max: 999, ..Dialect::STANDARD };
    /// ```
    pub const STANDARD: Self = Self {
        name: "standard",
        placeholder: Placeholder::Question,
        quote: '"',
        lexis: Lexis::STANDARD,
        values_max: 65_535,
        has_arrays: false,
        has_nulls_order: false,
        has_returning: false,
        has_transactional_ddl: false,
        check_deferred: None,
        bulk_is_atomic: false,
        on_conflict: OnConflict::Fails,
        functions: &[],
        lock_codes: &[],
        explain: None,
    };
}

/// How an insert says what becomes of rows that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnConflict {
    /// Not at all: it fails.
    Fails,
    /// `on conflict (id) do update set name = excluded.name`: of those that have this key.
    OfKey,
    /// `on duplicate key update name = values(name)`: of those that have any key of it.
    OfAnyKey,
}

/// How a placeholder is written for the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Placeholder {
    /// `?`, in order.
    Question,
    /// `?1`, and may be repeated.
    NumberedQuestion,
    /// `$1`, and may be repeated.
    Dollar,
}

impl Placeholder {
    /// The one with this number, counted from one.
    pub(crate) fn number(self, number: usize) -> String {
        match self {
            Self::Question => "?".to_owned(),
            Self::NumberedQuestion => format!("?{number}"),
            Self::Dollar => format!("${number}"),
        }
    }
}

/// What texts of statements may contain, beyond what all databases share.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact about a notation")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lexis {
    /// `\` escapes in `'…'`.
    pub backslash_escapes: bool,
    /// `E'…'` has `\` escapes, also where it goes on in another line; comments end at `\r` too.
    pub escape_strings: bool,
    /// `$tag$…$tag$` is a string.
    pub dollar_strings: bool,
    /// `"…"` is a string and no name.
    pub double_quoted_strings: bool,
    /// `` `…` `` is a name.
    pub backticks: bool,
    /// `[…]` is a name.
    pub brackets: bool,
    /// `/* /* */ */` is one comment.
    pub nested_comments: bool,
    /// `#` begins a comment.
    pub hash_comments: bool,
    /// `--` begins a comment only before a space.
    pub dashes_need_space: bool,
    /// `?`, `?|` and `?&` are operators too.
    pub question_operators: bool,
    /// `@name` is a variable of the session unless values are given by name.
    pub at_variables: bool,
    /// What is in `/*! … */` is no comment, but run.
    pub conditional_comments: bool,
}

impl Lexis {
    /// What all databases share.
    pub const STANDARD: Self = Self {
        backslash_escapes: false,
        escape_strings: false,
        dollar_strings: false,
        double_quoted_strings: false,
        backticks: false,
        brackets: false,
        nested_comments: false,
        hash_comments: false,
        dashes_need_space: false,
        question_operators: false,
        at_variables: false,
        conditional_comments: false,
    };
}

/// Keys of the context of errors.
pub mod context {
    /// The server's own code: an SQLSTATE, or a number.
    pub const CODE: &str = "code";
    /// The constraint that was violated, where the server names it.
    pub const CONSTRAINT: &str = "constraint";
    /// Which sort of constraint: `unique`, `foreign key`, `check` or `not null`.
    pub const VIOLATION: &str = "violation";
    /// The table it is about.
    pub const TABLE: &str = "table";
    /// The column it is about.
    pub const COLUMN: &str = "column";
    /// Where the server is that could not be reached: host and port, or the path of a socket or file.
    pub const ADDRESS: &str = "address";
    /// Which character of the statement it is about, counted from one, where the server tells.
    pub const POSITION: &str = "position";
}
