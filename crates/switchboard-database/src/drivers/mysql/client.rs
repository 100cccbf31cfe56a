//! The commands that a connection runs, one at a time and each to its end.
//!
//! Nothing here is ever dropped half-way: see `connection`. So what the client library says of the
//! connection can be believed.

use std::mem;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use futures_util::FutureExt;
use mysql_async::consts::StatusFlags;
use mysql_async::prelude::Queryable;
use mysql_async::{
    BinaryProtocol, Conn, Error as ClientError, Params, QueryResult, Row as RawRow,
    Statement as Prepared, Value as Raw,
};
use switchboard_core::{Error, ErrorKind, Result};

use super::config::Session;
use super::documents::{ASK, Documents};
use super::errors::{classify, classify_harmless, closed, of_preparing, too_large};
use super::statements::Statements;
use super::values::{columns, decode_row, encode_all};
use crate::{Begin, Columns, Done, Row, Rows, Savepoint, State, Statement};

/// A connection that nothing is under way on, and what is known of it.
pub(super) struct Client {
    conn: Link,
    statements: Statements,
    state: State,
    /// Somebody else had the connection itself since.
    is_shown: bool,
    open: Option<Open>,
    session: Arc<Session>,
    /// What the server takes in one piece.
    pub(super) packet_bytes_max: usize,
    documents: Documents,
    /// Whether it has a command that executes a statement for many rows.
    pub(super) has_batches: bool,
    /// Which server it is, so that nothing is stopped on another one.
    pub(super) server: String,
    /// The transaction has time limits that are not those of the session.
    has_own_limits: bool,
}

/// The connection itself, until it has said goodbye.
struct Link(Option<Conn>);

/// An answer that is being fetched.
struct Open {
    columns: Columns,
    /// The statement, where it is not kept.
    spent: Option<Prepared>,
}

/// A statement with its values as the server takes them.
pub(super) struct Command {
    sql: Arc<str>,
    values: Vec<Raw>,
    is_kept: bool,
}

impl Command {
    pub(super) fn of(statement: Statement<'_>) -> Result<Self> {
        let Statement { sql, values, is_kept } = statement;
        Ok(Self { sql: Arc::clone(sql), values: encode_all(values)?, is_kept })
    }

    /// One whose values are as the server takes them already, and which will not come again.
    pub(super) fn raw(sql: Arc<str>, values: Vec<Raw>) -> Self {
        Self { sql, values, is_kept: false }
    }

    /// Whether it can be sent as it stands, without being prepared.
    ///
    /// The server would take several statements in one text, so that one which may be several is
    /// prepared: that takes one only.
    fn is_plain(&self) -> bool {
        !self.is_kept && self.values.is_empty() && !self.sql.trim_end().contains(';')
    }

    fn bytes(&self) -> usize {
        let values = self.values.iter().map(|value| match value {
            Raw::Bytes(bytes) => bytes.len() + 11,
            _ => 15,
        });
        self.sql.len().max(values.sum::<usize>() + 16)
    }
}

impl Client {
    /// The connection `conn`, set up as `session` says.
    pub(super) async fn new(mut conn: Conn, session: Arc<Session>) -> Result<Self> {
        let about: Option<(u64, String, String)> =
            conn.query_first(ABOUT).await.map_err(classify_harmless)?;
        let (packet_bytes_max, server, version) = about.ok_or_else(closed)?;
        let mut client = Self {
            conn: Link(Some(conn)),
            statements: Statements::new(session.statement_cache),
            state: State::Idle,
            is_shown: false,
            open: None,
            session,
            packet_bytes_max: usize::try_from(packet_bytes_max).unwrap_or(usize::MAX),
            documents: Documents::default(),
            has_batches: version.contains("MariaDB"),
            server,
            has_own_limits: false,
        };
        client.note_state();
        Ok(client)
    }

    pub(super) fn state(&self) -> State {
        match self.state {
            _ if self.conn.is_disconnected() => State::Broken,
            known if !self.is_shown => known,
            // Whoever had the connection itself may have done anything to it. What the server said
            // last is believed where it fits; after an error, it has said nothing.
            known => match self.told_state() {
                Some(State::InTransaction) => State::InTransaction,
                Some(told) if told == known => known,
                _ => State::Unknown,
            },
        }
    }

    pub(super) fn native(&mut self) -> &mut Conn {
        self.is_shown = true;
        &mut self.conn
    }

    pub(super) fn has_open_rows(&self) -> bool {
        self.open.is_some()
    }

    pub(super) async fn execute(&mut self, command: Command) -> Result<Done> {
        self.documents.forget_where_defined(&command.sql);
        if command.is_plain() {
            let answer = self.conn.query_drop(&*command.sql).await;
            self.concluded(answer).await?;
        } else {
            self.open(command).await?;
            self.skip_rows().await?;
        }
        let last_id = self.conn.last_insert_id().and_then(|id| i64::try_from(id).ok());
        Ok(Done::affected(self.conn.affected_rows()).with_last_id(last_id.filter(|id| *id != 0)))
    }

    pub(super) async fn query(&mut self, command: Command) -> Result<Rows> {
        let columns = self.open(command).await?;
        let rows = self.fetch(usize::MAX).await?;
        Ok(Rows { columns, rows })
    }

    /// Runs a statement whose rows are fetched afterwards.
    pub(super) async fn open(&mut self, mut command: Command) -> Result<Columns> {
        if command.bytes() > self.packet_bytes_max {
            return Err(too_large());
        }
        let (prepared, answer) = self.started(&mut command).await?;
        let spent = (!self.statements.has(&command.sql)).then_some(prepared);
        if let Err(error) = answer {
            let error = self.failed(error).await;
            self.forget(spent).await;
            return Err(error);
        }
        let described: Vec<_> = self.answer().columns_ref().to_vec();
        let columns = columns(&described, &self.documents);
        self.open = Some(Open { columns: columns.clone(), spent });
        Ok(columns)
    }

    /// The next rows, and the end of the answer where fewer than `max` are left.
    pub(super) async fn fetch(&mut self, max: usize) -> Result<Vec<Row>> {
        let Some(open) = &self.open else { return Ok(Vec::new()) };
        let columns = open.columns.clone();
        let mut rows = Vec::new();
        while rows.len() < max {
            let Some(row) = self.next_row().await? else {
                self.skip_rows().await?;
                break;
            };
            match decode_row(&columns, row) {
                Ok(row) => rows.push(row),
                Err(error) => {
                    self.skip_rows().await?;
                    return Err(error);
                }
            }
        }
        Ok(rows)
    }

    /// Reads what is left of the answer, and forgets it.
    pub(super) async fn skip_rows(&mut self) -> Result<()> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let rest = self.answer().drop_result().await;
        let ended = self.concluded(rest).await;
        self.forget(open.spent).await;
        ended
    }

    /// The same where nobody is interested in the answer, and the server may have been told.
    pub(super) async fn abandon_rows(&mut self) -> Result<()> {
        match self.skip_rows().await {
            Err(error) if error.kind() == ErrorKind::Cancelled => Ok(()),
            ended => ended,
        }
    }

    /// Runs one statement for each of `rows`, in one command, until one fails.
    pub(super) async fn execute_for_each(&mut self, sql: &str, rows: &[Vec<Raw>]) -> Result<()> {
        let prepared = match self.conn.prep(sql).await {
            Ok(prepared) => prepared,
            Err(error) => return Err(self.failed(error).await.not_applied()),
        };
        let rows = rows.iter().cloned().map(Params::Positional);
        let answer = self.conn.exec_batch(&prepared, rows).await;
        let ended = self.concluded(answer).await;
        self.forget(Some(prepared)).await;
        ended
    }

    /// Runs statements without values, one after the other, until one fails.
    pub(super) async fn script(&mut self, sql: &str) -> Result<()> {
        self.documents.forget_where_defined(sql);
        if sql.len() >= self.packet_bytes_max {
            return Err(too_large());
        }
        let answer = match self.conn.query_drop(sql).await {
            // Nothing, or nothing but comments, at its end.
            Err(ClientError::Server(refusal)) if refusal.code == EMPTY => self.conn.ping().await,
            answer => answer,
        };
        self.concluded(answer).await
    }

    pub(super) async fn begin(&mut self, options: &Begin) -> Result<()> {
        if self.state == State::InTransaction {
            // The server would commit it without a word.
            let message = "a transaction is under way already";
            return Err(Error::new(ErrorKind::PreconditionFailed, message));
        }
        self.has_own_limits |= options.statement_timeout.or(options.lock_timeout).is_some();
        let sql = self.session.begin(options);
        self.script(&sql).await
    }

    pub(super) async fn commit(&mut self) -> Result<()> {
        self.script("COMMIT").await?;
        self.restore_limits().await;
        Ok(())
    }

    pub(super) async fn rollback(&mut self) -> Result<()> {
        self.script("ROLLBACK").await?;
        self.restore_limits().await;
        Ok(())
    }

    pub(super) async fn savepoint(&mut self, step: Savepoint, depth: u32) -> Result<()> {
        let name = format!("switchboard_{depth}");
        let sql = match step {
            Savepoint::Set => format!("SAVEPOINT {name}"),
            Savepoint::Release => format!("RELEASE SAVEPOINT {name}"),
            Savepoint::RollBack => {
                format!("ROLLBACK TO SAVEPOINT {name}; RELEASE SAVEPOINT {name}")
            }
        };
        self.script(&sql).await
    }

    pub(super) async fn ping(&mut self) -> Result<()> {
        let answer = self.conn.ping().await;
        self.concluded(answer).await.map_err(Error::not_applied)
    }

    /// Forgets all that was done to the session, and sets it up again.
    pub(super) async fn reset(&mut self) -> Result<()> {
        self.open = None;
        self.statements.clear();
        self.has_own_limits = false;
        let answer = match self.conn.reset().await {
            // A server that is too old for that command.
            Ok(false) => self.conn.change_user(mysql_async::ChangeUserOpts::default()).await,
            Ok(true) => Ok(()),
            Err(error) => Err(error),
        };
        self.concluded(answer).await.map_err(Error::not_applied)
    }

    /// Lets the order to stop a statement that had ended already hit nobody else.
    pub(super) async fn absorb_stop(&mut self) -> Result<()> {
        match self.script("DO 0").await {
            Err(error) if error.kind() == ErrorKind::Cancelled => Ok(()),
            answer => answer,
        }
    }

    /// Says goodbye.
    pub(super) async fn disconnect(mut self) -> Result<()> {
        match self.conn.0.take() {
            Some(conn) => conn.disconnect().await.map_err(classify_harmless),
            None => Ok(()),
        }
    }

    pub(super) fn id(&self) -> u32 {
        self.conn.id()
    }

    /// The statement as the server knows it.
    async fn prepared(&mut self, command: &Command) -> Result<Prepared> {
        let kept = self.statements.get(&command.sql);
        let prepared = match kept {
            Some(prepared) => prepared,
            None => self.prepare(command).await?,
        };
        let (wanted, given) = (usize::from(prepared.num_params()), command.values.len());
        if wanted == given {
            return self.known(prepared).await;
        }
        self.statements.remove(&command.sql);
        self.forget(Some(prepared)).await;
        Err(Error::new(ErrorKind::InvalidInput, "the statement wants another number of values")
            .not_applied()
            .with_context("wanted", wanted)
            .with_context("given", given))
    }

    /// The statement, after the server was asked which texts of it are JSON.
    async fn known(&mut self, prepared: Prepared) -> Result<Prepared> {
        // MySQL has a type for it.
        while self.has_batches
            && let Some(table) = self.documents.unknown(&prepared.columns())
        {
            match self.conn.exec(ASK, &table).await {
                Ok(columns) => self.documents.learn(table, columns),
                Err(error) => return Err(of_preparing(self.failed(error).await)),
            }
        }
        Ok(prepared)
    }

    async fn prepare(&mut self, command: &Command) -> Result<Prepared> {
        let prepared = match self.conn.prep(&*command.sql).await {
            Ok(prepared) => prepared,
            Err(error) => return Err(of_preparing(self.failed(error).await)),
        };
        if command.is_kept {
            let oldest = self.statements.keep(&command.sql, &prepared);
            self.forget(oldest).await;
        }
        Ok(prepared)
    }

    /// Starts a statement, and prepares it again where the server knows it no more as it was.
    async fn started(
        &mut self,
        command: &mut Command,
    ) -> Result<(Prepared, Result<(), ClientError>)> {
        let prepared = self.prepared(command).await?;
        match self.start(&prepared, command).await {
            Err(ClientError::Server(refusal)) if command.is_kept && is_outdated(refusal.code) => {
                self.statements.remove(&command.sql);
                let prepared = self.prepared(command).await?;
                let answer = self.start(&prepared, command).await;
                Ok((prepared, answer))
            }
            answer => Ok((prepared, answer)),
        }
    }

    async fn start(
        &mut self,
        prepared: &Prepared,
        command: &mut Command,
    ) -> Result<(), ClientError> {
        // One that is kept may have to be started again.
        let values =
            if command.is_kept { command.values.clone() } else { mem::take(&mut command.values) };
        let values = if values.is_empty() { Params::Empty } else { Params::Positional(values) };
        // What it answers only says again what the connection knows.
        self.conn.exec_iter(prepared, values).await.map(drop)
    }

    /// What the server is sending.
    fn answer(&mut self) -> QueryResult<'_, 'static, BinaryProtocol> {
        QueryResult::new(&mut *self.conn)
    }

    async fn next_row(&mut self) -> Result<Option<RawRow>> {
        match self.answer().next().await {
            Ok(row) => Ok(row),
            Err(error) => {
                let open = self.open.take();
                let error = self.failed(error).await;
                self.forget(open.and_then(|open| open.spent)).await;
                Err(error)
            }
        }
    }

    /// Tells the server that a statement is not wanted any more; it does not answer that.
    async fn forget(&mut self, statement: Option<Prepared>) {
        if let Some(statement) = statement
            && self.conn.close(statement).await.is_err()
        {
            self.state = State::Broken;
        }
    }

    async fn restore_limits(&mut self) {
        if self.has_own_limits {
            let sql = self.session.restore_limits();
            self.has_own_limits = self.script(&sql).await.is_err();
        }
        if self.has_own_limits {
            // What was asked for has happened; nobody shall find these limits all the same.
            self.state = State::Broken;
        }
    }

    async fn concluded<T>(&mut self, answer: Result<T, ClientError>) -> Result<T> {
        match answer {
            Ok(answer) => {
                self.note_state();
                Ok(answer)
            }
            Err(error) => Err(self.failed(error).await),
        }
    }

    /// The error, after a look at where it left the connection: errors of the server do not tell.
    async fn failed(&mut self, error: ClientError) -> Error {
        self.state = State::Broken;
        if !self.conn.is_disconnected() && self.conn.ping().await.is_ok() {
            self.note_state();
        }
        classify(error)
    }

    fn note_state(&mut self) {
        self.is_shown = false;
        self.state = self.told_state().unwrap_or(State::Unknown);
    }

    /// Each answer of the server that is no error says whether a transaction is under way.
    fn told_state(&self) -> Option<State> {
        let flags = self.conn.last_ok_packet()?.status_flags();
        let is_inside = flags.contains(StatusFlags::SERVER_STATUS_IN_TRANS);
        Some(if is_inside { State::InTransaction } else { State::Idle })
    }
}

impl Deref for Link {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        match &self.0 {
            Some(conn) => conn,
            None => unreachable!("{TAKEN}"),
        }
    }
}

impl DerefMut for Link {
    fn deref_mut(&mut self) -> &mut Conn {
        match &mut self.0 {
            Some(conn) => conn,
            None => unreachable!("{TAKEN}"),
        }
    }
}

impl Drop for Link {
    // The client library would read all rows that are left, on a task of its own, to part in peace.
    // A command that is given up before its answer makes it close the connection instead.
    fn drop(&mut self) {
        if let Some(conn) = &mut self.0 {
            let _ = conn.ping().now_or_never();
        }
    }
}

/// Whether the server refused a statement only because it knows it no more as it was.
fn is_outdated(code: u16) -> bool {
    matches!(code, 1243 | 1615)
}

/// "Query was empty".
const EMPTY: u16 = 1065;

const ABOUT: &str = "SELECT @@max_allowed_packet, CONCAT(@@hostname, ':', @@port), VERSION()";

/// Which server it is.
pub(super) const SERVER: &str = "SELECT CONCAT(@@hostname, ':', @@port)";

const TAKEN: &str = "only a goodbye takes the connection, and the client with it";
