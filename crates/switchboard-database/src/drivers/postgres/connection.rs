//! One session on a server.

use std::any::Any;
use std::fmt::{self, Write as _};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;

use futures_util::future::{Either, join, select};
use switchboard_core::{Error, ErrorKind, Reply, Result};
use tokio_postgres::config::TargetSessionAttrs as Role;
use tokio_postgres::{SimpleQueryMessage, Statement as Prepared};

use super::classify::{is_forgotten, is_outdated, parameter_of};
use super::config::{Place, milliseconds};
use super::link::{Link, heard};
use super::rows::{Fetching, Open, Stop, collect, exhaust, show};
use super::statements::{Kept, Statements};
use super::wire::{Socket, cancel};
use super::{DIALECT, Pooler, Server, not_now};
use crate::sql::{Effect, Traits, is_query};
use crate::value::Collected;
use crate::{
    Begin, BulkTarget, Columns, Connection, Done, Isolation, Row, RowReader, Rows, Savepoint,
    State, Statement,
};

/// One session on a server. Its native client is a `tokio_postgres::Client`.
pub struct PostgresConnection {
    server: Arc<Server>,
    place: Place,
    pub(super) link: Link,
    statements: Statements,
    rows: Option<Open>,
    /// A call is under way, or was dropped.
    is_busy: bool,
    /// How the server is asked to stop something, until it has heard. Never given up half-way: it
    /// would hit whatever is asked next.
    stopping: Option<Stopping>,
    cursors: u64,
    /// The server has forgotten statements that it was not told to forget by us.
    has_lost_statements: bool,
}

type Stopping = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

impl PostgresConnection {
    pub(super) fn new(server: &Arc<Server>, place: &Place, link: Link) -> Self {
        Self {
            server: Arc::clone(server),
            place: place.clone(),
            link,
            statements: Statements::new(server.statements_max),
            rows: None,
            is_busy: false,
            stopping: None,
            cursors: 0,
            has_lost_statements: false,
        }
    }

    /// Whether the server does what the address asks for: writing, or only reading.
    pub(super) async fn check_role(&mut self, role: Role) -> Result<()> {
        if role == Role::Any {
            return Ok(());
        }
        let sql: Arc<str> = "select current_setting('transaction_read_only')::bool".into();
        let asked = Statement { sql: &sql, values: &[], is_kept: false };
        let rows = self.query_now(asked).await?.rows;
        let only_reads = rows.first().is_some_and(|row| row.values() == [crate::Value::Bool(true)]);
        if only_reads == (role == Role::ReadOnly) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Unavailable, "the server is not in the role that is asked for")
            .retry_later()
            .not_applied())
    }

    /// Whether the next transaction may have another session.
    pub(super) fn is_pooled(&self) -> bool {
        self.server.pooler == Pooler::Transaction
    }

    /// Before a call: it can be asked, and from here on a drop leaves open what happened.
    async fn enter(&mut self) -> Result<()> {
        match self.rows.take() {
            None | Some(Open::Ended) => {}
            open => {
                self.rows = open;
                return Err(not_now("rows are still being fetched"));
            }
        }
        if self.is_busy {
            return Err(not_now("a call was dropped, and nobody has looked what became of it"));
        }
        self.link.check().await?;
        self.is_busy = true;
        Ok(())
    }

    /// After a call: it is known again where the session is.
    async fn leave<T>(&mut self, done: Result<T>) -> Result<T> {
        if done.is_err() {
            self.link.settle().await;
        }
        self.is_busy = false;
        done
    }

    pub(super) async fn execute_now(&mut self, statement: Statement<'_>) -> Result<Done> {
        if !statement.is_kept && statement.values.is_empty() {
            let Link { client, going, .. } = &mut self.link;
            let asked = client.execute_typed(statement.sql, &[]);
            let affected = going.until(asked).await.map_err(|error| self.link.error(error))?;
            return Ok(done(&statement, affected));
        }
        let mut again = true;
        loop {
            let kept = self.prepared(&statement).await?;
            let params = kept.params(statement.values)?;
            let Link { client, going, .. } = &mut self.link;
            let answer = {
                let asked = pin!(async {
                    exhaust(pin!(kept.ask(client, statement.sql, params).await?)).await
                });
                going.until(asked).await
            };
            match answer {
                Ok(affected) => return Ok(done(&statement, affected)),
                Err(error) => self.failed(error, &statement, &kept, &mut again).await?,
            }
        }
    }

    async fn query_now(&mut self, statement: Statement<'_>) -> Result<Rows> {
        let mut rows = Collected::<Row>::default();
        let kept = self.show_now(statement, &mut rows).await?;
        let rows = rows.into_rows()?;
        let columns = rows.first().map_or(&kept.columns, Row::columns).clone();
        Ok(Rows { columns, rows })
    }

    /// Shows all rows of a statement to `reader`; answers what is known of the statement.
    async fn show_now(
        &mut self,
        statement: Statement<'_>,
        reader: &mut dyn RowReader,
    ) -> Result<Arc<Kept>> {
        let mut again = true;
        loop {
            let kept = self.prepared(&statement).await?;
            let params = kept.params(statement.values)?;
            let Link { client, going, .. } = &mut self.link;
            let answer = {
                let asked = pin!(async {
                    let stream = pin!(kept.ask(client, statement.sql, params).await?);
                    show(stream, &kept, usize::MAX, reader).await
                });
                going.until(asked).await
            };
            match answer {
                Ok(_) => return Ok(kept),
                Err(Stop::Value(error)) => return Err(error),
                Err(Stop::Library(error)) => {
                    self.failed(error, &statement, &kept, &mut again).await?;
                }
            }
        }
    }

    /// The error of a statement, or nothing if it is to be prepared and run again, once.
    ///
    /// Again only where the server refused it for what was prepared, and no transaction failed with
    /// it: then nothing has happened.
    async fn failed(
        &mut self,
        error: tokio_postgres::Error,
        statement: &Statement<'_>,
        kept: &Kept,
        again: &mut bool,
    ) -> Result<()> {
        let parameter = parameter_of(&error);
        if is_outdated(&error) {
            self.has_lost_statements |= is_forgotten(&error);
            self.statements.forget(statement.sql);
            self.link.settle().await;
            if std::mem::take(again) && self.link.seen.state() == State::Idle {
                return Ok(());
            }
            let error = self.link.error(error);
            return Err(Error::new(
                ErrorKind::Conflict,
                "a table was changed since the statement was prepared",
            )
            .retry_later()
            .with_related([error]));
        }
        let error = self.link.error(error);
        if error.kind() == ErrorKind::InvalidInput
            && let Some(index) = parameter.and_then(|number| number.checked_sub(1))
        {
            return Err(kept.misfit(index, statement.values).with_related([error]));
        }
        Err(error)
    }

    /// What is known of the statement, now or from before.
    pub(super) async fn prepared(&mut self, statement: &Statement<'_>) -> Result<Arc<Kept>> {
        if let Some(kept) = self.statements.get(statement.sql) {
            return Ok(kept);
        }
        let kept = Arc::new(match self.server.pooler {
            Pooler::None => Kept::named(self.prepare(statement.sql).await?),
            Pooler::Transaction => self.learn(statement.sql).await?,
        });
        if statement.is_kept {
            self.statements.keep(statement.sql, &kept);
        }
        Ok(kept)
    }

    /// Has the server prepare a statement and forget it, all in one transaction: the next one may
    /// have another session, with other statements.
    async fn learn(&mut self, sql: &str) -> Result<Kept> {
        if self.link.seen.state() != State::Idle {
            return Ok(Kept::unnamed(&self.prepare(sql).await?));
        }
        self.run("begin").await?;
        let learned = self.prepare(sql).await.map(|prepared| Kept::unnamed(&prepared));
        if learned.is_err() {
            self.link.settle().await;
        }
        self.run("rollback").await?;
        learned
    }

    pub(super) async fn prepare(&mut self, sql: &str) -> Result<Prepared> {
        let Link { client, going, .. } = &mut self.link;
        let prepared = going.until(client.prepare(sql)).await;
        prepared.map_err(|error| {
            if is_forgotten(&error) {
                self.end_without_statements().with_related([self.link.error(error)])
            } else {
                self.link.error(error)
            }
        })
    }

    /// Runs statements without parameters, in one request.
    pub(super) async fn run(&mut self, sql: &str) -> Result<()> {
        let Link { client, going, .. } = &mut self.link;
        going.until(client.batch_execute(sql)).await.map_err(|error| self.link.error(error))
    }

    async fn run_alone(&mut self, sql: &str) -> Result<()> {
        self.enter().await?;
        let done = self.run(sql).await;
        self.leave(done).await
    }

    async fn open_now(&mut self, statement: Statement<'_>) -> Result<Columns> {
        let only_reads = only_reads(statement.sql);
        if only_reads && self.link.seen.state() == State::InTransaction {
            return self.open_cursor(statement).await;
        }
        let mut again = true;
        loop {
            let kept = self.prepared(&statement).await?;
            let params = kept.params(statement.values)?;
            let Link { client, going, .. } = &mut self.link;
            match going.until(kept.ask(client, statement.sql, params)).await {
                Ok(stream) => {
                    let (stream, columns) = (Box::pin(stream), kept.columns.clone());
                    self.rows = Some(Open::Stream { stream, kept, is_stoppable: only_reads });
                    return Ok(columns);
                }
                Err(error) => self.failed(error, &statement, &kept, &mut again).await?,
            }
        }
    }

    /// Has the server keep the rows: stopping it within a transaction would end that too.
    async fn open_cursor(&mut self, statement: Statement<'_>) -> Result<Columns> {
        let kept = self.prepared(&statement).await?;
        self.cursors += 1;
        let name = format!("switchboard_{}", self.cursors);
        let sql = format!("declare {name} no scroll cursor for {}", statement.sql).into();
        let declare = Statement { sql: &sql, is_kept: false, ..statement };
        self.execute_prepared(&declare).await?;
        let columns = kept.columns.clone();
        self.rows = Some(Open::Cursor { name, kept, fetching: None });
        Ok(columns)
    }

    async fn execute_prepared(&mut self, statement: &Statement<'_>) -> Result<()> {
        let kept = self.prepared(statement).await?;
        let params = kept.params(statement.values)?;
        let Link { client, going, .. } = &mut self.link;
        let asked = async { exhaust(pin!(kept.ask(client, statement.sql, params).await?)).await };
        match going.until(asked).await {
            Ok(_) => Ok(()),
            Err(error) => self.failed(error, statement, &kept, &mut false).await,
        }
    }

    async fn fetch_now(&mut self, max: usize) -> Result<Vec<Row>> {
        let max = max.max(1);
        let Link { client, going, .. } = &mut self.link;
        let (fetched, is_stream) = match &mut self.rows {
            None => return Err(not_now("no rows are open")),
            Some(Open::Ended) => return Ok(Vec::new()),
            Some(Open::Stream { stream, kept, .. }) => {
                (going.until(collect(stream.as_mut(), kept, max)).await, true)
            }
            Some(Open::Cursor { name, kept, fetching }) => {
                let asked = fetch_from_cursor(client, name, kept, fetching, max);
                (going.until(asked).await, false)
            }
        };
        match fetched {
            Ok(rows) => {
                if rows.is_empty() || (is_stream && rows.len() < max) {
                    self.end_rows().await?;
                }
                Ok(rows)
            }
            Err(Stop::Value(error)) => Err(error),
            Err(Stop::Library(error)) => Err(self.link.error(error)),
        }
    }

    async fn end_rows(&mut self) -> Result<()> {
        match self.rows.replace(Open::Ended) {
            Some(Open::Cursor { name, .. }) => self.run(&format!("close {name}")).await,
            _ => Ok(()),
        }
    }

    async fn close_rows_now(&mut self) -> Result<()> {
        match self.rows.take() {
            None | Some(Open::Ended) => Ok(()),
            Some(Open::Cursor { name, .. }) => self.run(&format!("close {name}")).await,
            Some(Open::Stream { stream, is_stoppable, .. }) => {
                drop(stream);
                let is_alone = self.link.seen.state() == State::Idle;
                self.stop(is_stoppable && is_alone).await
            }
        }
    }

    /// Waits until everything is answered; if `is_cancelled`, what still runs is stopped for that.
    async fn stop(&mut self, is_cancelled: bool) -> Result<()> {
        self.answered(is_cancelled).await.map_err(|error| self.link.error(error))
    }

    async fn answered(
        &mut self,
        is_cancelled: bool,
    ) -> std::result::Result<(), tokio_postgres::Error> {
        let Link { client, going, seen } = &mut self.link;
        let token = client.cancel_token();
        let mut answered = pin!(going.until(heard(client, seen)));
        if self.stopping.is_none() && is_cancelled {
            let reaching = pin!(Socket::connect(&self.place, &self.server.target.client));
            // The answer may come before there is anybody to ask for a stop.
            match select(answered.as_mut(), reaching).await {
                Either::Left((answer, _)) => return answer,
                Either::Right((reached, _)) => {
                    if let (Ok(socket), Ok(tls)) = (reached, self.server.tls.to(&self.place)) {
                        self.stopping = Some(Box::pin(cancel(socket, token, tls)));
                    }
                }
            }
        }
        let stopping = &mut self.stopping;
        let stopped = async {
            if let Some(stopping) = stopping {
                // Whether it could be stopped or not, the answer comes.
                let _ = stopping.await;
            }
            *stopping = None;
        };
        join(stopped, answered).await.1
    }

    async fn recover_now(&mut self) -> Result<State> {
        self.link.check().await?;
        self.is_busy = true;
        self.rows = None;
        self.stop(true).await?;
        self.is_busy = false;
        Ok(self.state())
    }

    async fn begin_now(&mut self, options: &Begin) -> Result<()> {
        if self.link.seen.state() != State::Idle {
            return Err(not_now("a transaction is under way already"));
        }
        let begun = self.run(&begin_sql(options)).await;
        if begun.is_err() {
            self.link.settle().await;
            if matches!(self.link.seen.state(), State::InTransaction | State::Failed) {
                self.run("rollback").await?;
            }
        }
        begun
    }

    async fn commit_now(&mut self) -> Result<()> {
        match self.link.seen.state() {
            State::InTransaction => self.run("commit").await,
            State::Failed => {
                // The server would answer a commit with that, and call it a success.
                self.run("rollback").await?;
                Err(not_now("the transaction has failed before, and was rolled back"))
            }
            _ => Err(not_now("no transaction is under way")),
        }
    }

    async fn reset_now(&mut self) -> Result<()> {
        let (ours, deallocate) = self.reset_and_look().await?;
        if self.link.seen.state() != State::Idle {
            return Err(not_now("a transaction is under way"));
        }
        if self.has_lost_statements || ours < self.statements.count() {
            return Err(self.end_without_statements());
        }
        if deallocate.is_empty() { Ok(()) } else { self.run(&deallocate).await }
    }

    /// Resets the session, and says how many prepared statements there are of ours, and what
    /// forgets those that were prepared with SQL.
    async fn reset_and_look(&mut self) -> Result<(usize, String)> {
        let Link { client, going, .. } = &mut self.link;
        let asked = going.until(client.simple_query(RESET)).await;
        let answers = asked.map_err(|error| self.link.error(error))?;
        let looked = answers.iter().rev().find_map(|answer| match answer {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let told = |index| looked.and_then(|row| row.try_get(index).ok().flatten());
        let ours = told(0).and_then(|count| count.parse().ok()).unwrap_or_default();
        Ok((ours, told(1).unwrap_or_default().to_owned()))
    }

    /// Ends the session: the library relies on statements of its own, which it does not prepare
    /// again.
    fn end_without_statements(&mut self) -> Error {
        self.link.end();
        Error::new(ErrorKind::Unavailable, "the prepared statements of the session were taken away")
            .retry_later()
            .not_applied()
    }
}

impl Connection for PostgresConnection {
    fn execute<'a>(&'a mut self, statement: Statement<'a>) -> Reply<'a, Done> {
        Reply::run(async move {
            self.enter().await?;
            let done = self.execute_now(statement).await;
            self.leave(done).await
        })
    }

    fn query<'a>(&'a mut self, statement: Statement<'a>) -> Reply<'a, Rows> {
        Reply::run(async move {
            self.enter().await?;
            let done = self.query_now(statement).await;
            self.leave(done).await
        })
    }

    fn query_each<'a>(
        &'a mut self,
        statement: Statement<'a>,
        reader: &'a mut dyn RowReader,
    ) -> Reply<'a, ()> {
        Reply::run(async move {
            self.enter().await?;
            let done = self.show_now(statement, reader).await.map(drop);
            self.leave(done).await
        })
    }

    fn open_rows<'a>(&'a mut self, statement: Statement<'a>) -> Reply<'a, Columns> {
        Reply::run(async move {
            self.enter().await?;
            let done = self.open_now(statement).await;
            self.leave(done).await
        })
    }

    fn fetch(&mut self, max: usize) -> Reply<'_, Vec<Row>> {
        Reply::run(async move {
            self.is_busy = true;
            let done = self.fetch_now(max).await;
            if done.is_err() {
                self.rows = None;
            }
            self.leave(done).await
        })
    }

    fn close_rows(&mut self) -> Reply<'_, ()> {
        Reply::run(async move {
            self.is_busy = true;
            let done = self.close_rows_now().await;
            self.leave(done).await
        })
    }

    fn script<'a>(&'a mut self, sql: &'a str) -> Reply<'a, ()> {
        Reply::run(self.run_alone(sql))
    }

    fn bulk<'a>(
        &'a mut self,
        target: BulkTarget<'a>,
        rows: &'a [Vec<crate::Value>],
    ) -> Reply<'a, u64> {
        Reply::run(async move {
            self.enter().await?;
            let done = self.bulk_now(target, rows).await;
            self.leave(done).await
        })
    }

    fn begin<'a>(&'a mut self, options: &'a Begin) -> Reply<'a, ()> {
        Reply::run(async move {
            self.enter().await?;
            let done = self.begin_now(options).await;
            self.leave(done).await
        })
    }

    fn commit(&mut self) -> Reply<'_, ()> {
        Reply::run(async move {
            self.enter().await?;
            let done = self.commit_now().await;
            self.leave(done).await
        })
    }

    fn rollback(&mut self) -> Reply<'_, ()> {
        if self.state() == State::Idle {
            return Reply::ready(Ok(()));
        }
        Reply::run(self.run_alone("rollback"))
    }

    fn savepoint(&mut self, step: Savepoint, depth: u32) -> Reply<'_, ()> {
        Reply::run(async move { self.run_alone(&savepoint_sql(step, depth)).await })
    }

    fn state(&self) -> State {
        if self.link.has_ended() {
            State::Broken
        } else if self.is_busy
            || matches!(self.rows, Some(Open::Stream { .. } | Open::Cursor { .. }))
        {
            State::Unknown
        } else {
            self.link.seen.state()
        }
    }

    fn recover(&mut self) -> Reply<'_, State> {
        Reply::run(self.recover_now())
    }

    fn reset(&mut self) -> Reply<'_, ()> {
        if self.is_pooled() {
            // The session is whoever's the pooler gives it to; it looks after it.
            return Reply::ready(Ok(()));
        }
        Reply::run(async move {
            self.enter().await?;
            let done = self.reset_now().await;
            self.leave(done).await
        })
    }

    fn ping(&mut self) -> Reply<'_, ()> {
        Reply::run(async move {
            self.enter().await?;
            let done = self.stop(false).await;
            self.leave(done).await
        })
    }

    fn close(self: Box<Self>) -> Reply<'static, ()> {
        Reply::run(async move {
            let Self { mut statements, link, .. } = *self;
            statements.clear();
            link.close().await;
            Ok(())
        })
    }

    fn id(&self) -> Option<String> {
        self.link.seen.process().map(|process| process.to_string())
    }

    fn native(&mut self) -> &mut dyn Any {
        self.link.detach(&self.server.reaper);
        &mut self.link.client
    }
}

impl fmt::Debug for PostgresConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresConnection")
            .field("place", &self.place)
            .field("process", &self.link.seen.process())
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

/// The next rows that the server keeps.
async fn fetch_from_cursor(
    client: &tokio_postgres::Client,
    name: &str,
    kept: &Kept,
    fetching: &mut Option<Fetching>,
    max: usize,
) -> std::result::Result<Vec<Row>, Stop> {
    if fetching.as_ref().is_none_or(|fetching| fetching.max != max) {
        let prepared = client.prepare(&format!("fetch forward {max} from {name}")).await?;
        *fetching = Some(Fetching { max, prepared });
    }
    let Some(fetching) = fetching else { return Ok(Vec::new()) };
    let none: [super::values::Param<'_>; 0] = [];
    let stream = pin!(client.query_raw(&fetching.prepared, none).await?);
    collect(stream, kept, usize::MAX).await
}

/// What the statement did. The server counts what is found too.
fn done(statement: &Statement<'_>, affected: u64) -> Done {
    let is_found = affected > 0 && is_query(statement.sql, DIALECT.lexis);
    Done::affected(if is_found { 0 } else { affected })
}

/// Whether a statement is a query that changes nothing, so that nothing is missed where it is left
/// early and the server can keep its rows.
fn only_reads(sql: &str) -> bool {
    is_query(sql, DIALECT.lexis) && Traits::of(sql, DIALECT.lexis).effect == Effect::Read
}

fn begin_sql(options: &Begin) -> String {
    let mut sql = "begin".to_owned();
    if let Some(isolation) = options.isolation {
        sql.push_str(" isolation level ");
        sql.push_str(isolation_sql(isolation));
    }
    if options.is_read_only {
        sql.push_str(" read only");
    }
    if options.is_deferrable {
        sql.push_str(" deferrable");
    }
    let limits =
        [("statement_timeout", options.statement_timeout), ("lock_timeout", options.lock_timeout)];
    for (name, time) in limits {
        if let Some(time) = time {
            // A text takes everything.
            let _ = write!(sql, "; set local {name} = {}", milliseconds(time));
        }
    }
    sql
}

fn isolation_sql(isolation: Isolation) -> &'static str {
    match isolation {
        Isolation::ReadUncommitted => "read uncommitted",
        Isolation::ReadCommitted => "read committed",
        Isolation::RepeatableRead => "repeatable read",
        Isolation::Serializable => "serializable",
    }
}

fn savepoint_sql(step: Savepoint, depth: u32) -> String {
    match step {
        Savepoint::Set => format!("savepoint switchboard_{depth}"),
        Savepoint::Release => format!("release savepoint switchboard_{depth}"),
        Savepoint::RollBack => format!(
            "rollback to savepoint switchboard_{depth}; release savepoint switchboard_{depth}"
        ),
    }
}

/// Takes away all that a user can leave on a session, but prepared statements: most are ours. So it
/// is asked which are not.
const RESET: &str = "\
    set session authorization default; reset role; reset all; unlisten *; close all; \
    select pg_advisory_unlock_all(); discard temp; discard sequences; \
    select count(*) filter (where not from_sql), \
        string_agg(format('deallocate %I', name), '; ') filter (where from_sql) \
    from pg_prepared_statements";
