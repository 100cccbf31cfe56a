//! Rows one after the other, while the connection they come over is kept.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use futures_core::Stream;
use switchboard_core::{Error, ErrorKind, Held, Leased, Reaper, Result, Step};

use super::{asked_at, with_statement};
use crate::observe::Reading;
use crate::pool::Taken;
use crate::session::ReadingTurn;
use crate::value::{FromRow, Plan};
use crate::{Columns, Database, Databases, Row, op};

/// The rows of a statement, one after the other.
///
/// A few at a time are read ahead; what is left is not read when this is dropped, if the server can be
/// told. The connection is given back after the last row, or when this is dropped.
#[must_use = "a stream does nothing until it is read"]
pub struct RowStream<T> {
    columns: Columns,
    spring: Arc<Spring>,
    read: VecDeque<Row>,
    plan: Plan,
    /// How many were handed over.
    rows: u64,
    asked: Asked,
    row: PhantomData<fn() -> T>,
}

/// Who asked for what, as errors tell it.
struct Asked {
    database: Database,
    statement: Arc<str>,
    /// What the query is called, if it has a name.
    query: Option<Box<str>>,
    at: &'static Location<'static>,
}

/// Where the rows come from; who ends what they come over may stop it.
pub(crate) struct Spring(Mutex<Flow>);

struct Flow {
    state: State,
    /// Who waits for rows.
    waker: Option<Waker>,
}

enum State {
    Waiting(Box<Source>),
    Fetching(Fetching),
    /// What the rows came over has ended, which nobody was told yet.
    Stopped,
    Ended,
}

type Fetching = Pin<Box<dyn Future<Output = (Box<Source>, Result<Vec<Row>>)> + Send>>;

/// A connection with rows open on it.
pub struct Source {
    connection: Lent,
    reaper: Reaper,
    /// The last row was read, or an error ended it.
    is_read: bool,
}

/// Whose connection it is.
pub(crate) enum Lent {
    /// It was taken for the stream.
    Own(Leased<Databases, (Taken, Reading)>),
    /// It belongs to a connection or a transaction, which does nothing else.
    Shared(ReadingTurn, Reading),
    /// It is being closed.
    Gone,
}

/// What fetching needs of a connection.
struct Parts<'l> {
    engine: Held<Databases>,
    taken: &'l mut Taken,
    reading: &'l mut Reading,
    step: Step<'l, Databases>,
}

impl<T> RowStream<T> {
    /// The rows of `source`, which was opened on `database` for who asked at `at`.
    pub(crate) fn new(source: Source, database: &Database, at: &'static Location<'static>) -> Self {
        let (columns, statement) = source.connection.about();
        let asked = Asked { database: database.clone(), statement, query: None, at };
        let spring = Spring::new(source);
        let (read, plan) = (VecDeque::new(), Plan::default());
        Self { columns, spring, read, plan, rows: 0, asked, row: PhantomData }
    }

    /// The same for a query of that name.
    pub(crate) fn of_query(mut self, name: &str) -> Self {
        self.asked.query = Some(name.into());
        self
    }

    /// What is known of the columns, before the first row and also where there is none.
    pub fn columns(&self) -> &Columns {
        &self.columns
    }
}

impl<T: FromRow> Stream for RowStream<T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        loop {
            if let Some(row) = self.read.pop_front() {
                self.rows += 1;
                let (columns, mut values) = row.into_parts();
                let read = T::from_fields(&columns, &mut values, &mut self.plan);
                return Poll::Ready(Some(
                    read.map_err(|error| self.asked.told(error.with_context("row", self.rows))),
                ));
            }
            match ready!(self.spring.poll(context)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => {
                    let error = error.with_context("rows read", self.rows);
                    return Poll::Ready(Some(Err(self.asked.told(error))));
                }
                Some(Ok(rows)) => self.read = rows.into(),
            }
        }
    }
}

impl Asked {
    /// The error with what errors of rows say that come all at once.
    fn told(&self, error: Error) -> Error {
        let error = asked_at(with_statement(error, &self.statement), self.at);
        let error = error.at(|| self.database.place(op::FETCH));
        match &self.query {
            Some(name) => error.with_context("query", name),
            None => error,
        }
    }
}

impl Spring {
    fn new(source: Source) -> Arc<Self> {
        Arc::new_cyclic(|spring| {
            if let Lent::Shared(turn, _) = &source.connection {
                turn.announce(spring);
            }
            Self(Mutex::new(Flow { state: State::Waiting(Box::new(source)), waker: None }))
        })
    }

    /// The next rows, at least one.
    fn poll(&self, context: &mut Context<'_>) -> Poll<Option<Result<Vec<Row>>>> {
        let mut flow = self.flow();
        loop {
            match std::mem::replace(&mut flow.state, State::Ended) {
                State::Ended => return Poll::Ready(None),
                State::Stopped => return Poll::Ready(Some(Err(stopped()))),
                State::Waiting(source) => flow.state = State::Fetching(Box::pin(source.fetch())),
                State::Fetching(mut fetching) => {
                    let Poll::Ready((source, rows)) = fetching.as_mut().poll(context) else {
                        flow.state = State::Fetching(fetching);
                        flow.waker = Some(context.waker().clone());
                        return Poll::Pending;
                    };
                    return Poll::Ready(match rows {
                        Ok(rows) if rows.is_empty() => None,
                        Ok(rows) => {
                            flow.state = State::Waiting(source);
                            Some(Ok(rows))
                        }
                        Err(error) => Some(Err(error)),
                    });
                }
            }
        }
    }

    /// Closes the rows, and says so to who reads them.
    pub(crate) fn stop(&self) {
        let mut flow = self.flow();
        if matches!(flow.state, State::Ended | State::Stopped) {
            return;
        }
        let before = std::mem::replace(&mut flow.state, State::Stopped);
        let waker = flow.waker.take();
        drop(flow);
        drop(before);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn flow(&self) -> MutexGuard<'_, Flow> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source {
    pub(crate) fn new(connection: Lent, reaper: &Reaper) -> Self {
        Self { connection, reaper: reaper.clone(), is_read: false }
    }

    async fn fetch(mut self: Box<Self>) -> (Box<Self>, Result<Vec<Row>>) {
        let rows = match self.connection.parts() {
            Some(Parts { engine, taken, reading, step }) => {
                step.run(op::FETCH, engine.fetch(taken, reading, FETCHED_AT_ONCE)).await
            }
            None => Ok(Vec::new()),
        };
        match &mut self.connection {
            Lent::Own(leased) => leased.shared().0.0.touch(),
            Lent::Shared(turn, _) => turn.occupied().noticed_in(&rows),
            Lent::Gone => {}
        }
        self.is_read = !matches!(&rows, Ok(rows) if !rows.is_empty());
        (self, rows)
    }
}

impl Lent {
    /// What is known of the columns, and the normal form of the statement.
    fn about(&self) -> (Columns, Arc<str>) {
        let reading = match self {
            Self::Own(leased) => &leased.shared().0.1,
            Self::Shared(_, reading) => reading,
            Self::Gone => return (Columns::default(), "".into()),
        };
        (reading.columns().clone(), reading.statement().clone())
    }

    fn parts(&mut self) -> Option<Parts<'_>> {
        match self {
            Self::Own(leased) => {
                let engine = leased.driver().clone();
                let ((taken, reading), step) = leased.parts();
                Some(Parts { engine, taken, reading, step })
            }
            Self::Shared(turn, reading) => {
                let leased = turn.occupied().leased()?;
                let engine = leased.driver().clone();
                let (taken, step) = leased.parts();
                Some(Parts { engine, taken, reading, step })
            }
            Self::Gone => None,
        }
    }
}

/// What was not read to its end is closed before anybody else has the connection.
impl Drop for Source {
    fn drop(&mut self) {
        if self.is_read {
            return;
        }
        let mut connection = std::mem::replace(&mut self.connection, Lent::Gone);
        if let Lent::Shared(turn, _) = &connection {
            turn.conceal();
        }
        if let Some(Parts { reading, .. }) = connection.parts() {
            reading.left();
        }
        drop(self.reaper.submit("close a stream of rows", CLOSE_LIMIT, async move {
            let Some(Parts { taken, .. }) = connection.parts() else { return Ok(()) };
            if taken.state() == crate::State::Unknown {
                return taken.recover().await.map(drop);
            }
            let mut busy = taken.begin(None);
            let closed = busy.connection().close_rows().await;
            busy.end();
            if closed.is_err() {
                taken.discard();
            }
            closed
        }));
    }
}

impl<T> fmt::Debug for RowStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowStream").field("read_ahead", &self.read.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("is_read", &self.is_read).finish_non_exhaustive()
    }
}

fn stopped() -> Error {
    Error::new(ErrorKind::PreconditionFailed, "what the rows came over has ended before their end")
        .with_hint("read a stream to its end before the transaction ends")
        .not_applied()
}

/// How many rows are asked for at a time.
const FETCHED_AT_ONCE: usize = 256;

/// How long the server may take to stop. Past it a transaction is lost, so a server that is only busy
/// (MariaDB is asked over a connection of its own) is waited for.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);
