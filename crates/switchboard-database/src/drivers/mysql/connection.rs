//! A connection whose commands always run to their end, whatever becomes of their callers.
//!
//! The client library must not be dropped in the middle of a command: the next one would read the
//! answer of the last. So a command owns the connection until it has ended. A caller that gives up
//! only stops waiting; [`recover`](Connection::recover) has the server stop what runs, over a
//! connection made for that, and waits for the rest.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use switchboard_core::{Error, ErrorKind, Reply, Result};
use tokio::sync::oneshot;
use tokio::task::unconstrained;

use super::Connector;
use super::bulk::Bulk;
use super::client::{Client, Command};
use super::errors::closed;
use crate::driver::BulkTarget;
use crate::{Begin, Columns, Connection, Done, Row, Rows, Savepoint, State, Statement, Value};

pub(super) struct MySqlConnection {
    place: Place,
    /// An order to stop what runs, on its way.
    stop: Option<Stop>,
    connector: Arc<Connector>,
    id: u32,
    server: Arc<str>,
    nothing: (),
}

/// Where the connection itself is.
enum Place {
    Here(Box<Client>),
    Away(Away),
    Gone,
}

/// A command that owns the connection.
struct Away {
    work: BoxFuture<'static, Box<Client>>,
    effort: Effort,
}

/// What becomes of a command whose caller has gone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effort {
    /// The server is told to stop.
    Stoppable,
    /// It is short, and its outcome matters.
    RunsToItsEnd,
}

/// An order to stop what a connection does.
pub(super) struct Stop {
    /// Until the server has answered it.
    order: Option<BoxFuture<'static, Result<()>>>,
    /// From then on it may hit whatever the connection does.
    is_sent: Arc<AtomicBool>,
}

impl Stop {
    /// `order` says when it is sent.
    pub(super) fn new<F>(order: impl FnOnce(Arc<AtomicBool>) -> F) -> Self
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let is_sent = Arc::new(AtomicBool::new(false));
        // It is polled after what it stops, which may use up all that a task may do in one go.
        let order = unconstrained(order(Arc::clone(&is_sent)));
        Self { order: Some(order.boxed()), is_sent }
    }

    fn is_sent(&self) -> bool {
        self.is_sent.load(Ordering::Acquire)
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        let Some(order) = &mut self.order else { return Poll::Ready(Ok(())) };
        let answer = ready!(order.poll_unpin(context));
        self.order = None;
        Poll::Ready(answer)
    }
}

impl MySqlConnection {
    pub(super) fn new(client: Client, connector: Arc<Connector>) -> Self {
        let (id, server) = (client.id(), Arc::from(&*client.server));
        let place = Place::Here(Box::new(client));
        Self { place, stop: None, connector, id, server, nothing: () }
    }

    /// Runs a command that may take long.
    async fn run<T: Send + 'static>(
        &mut self,
        work: impl for<'c> FnOnce(&'c mut Client) -> BoxFuture<'c, Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.run_with(Effort::Stoppable, work).await
    }

    /// Runs a command that is short.
    async fn run_to_its_end<T: Send + 'static>(
        &mut self,
        work: impl for<'c> FnOnce(&'c mut Client) -> BoxFuture<'c, Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.run_with(Effort::RunsToItsEnd, work).await
    }

    async fn run_with<T: Send + 'static>(
        &mut self,
        effort: Effort,
        work: impl for<'c> FnOnce(&'c mut Client) -> BoxFuture<'c, Result<T>> + Send + 'static,
    ) -> Result<T> {
        let mut client = self.take()?;
        let (tell, told) = oneshot::channel();
        let work = async move {
            // Nobody listens where the caller has gone.
            let _ = tell.send(work(&mut client).await);
            client
        };
        self.place = Place::Away(Away { work: work.boxed(), effort });
        poll_fn(|context| self.poll_return(context)).await;
        told.await.unwrap_or_else(|_| Err(closed()))
    }

    fn take(&mut self) -> Result<Box<Client>> {
        match mem::replace(&mut self.place, Place::Gone) {
            Place::Here(client) if client.state() != State::Broken => Ok(client),
            Place::Away(away) => {
                self.place = Place::Away(away);
                let message = "a call that was given up is still under way on the connection";
                Err(Error::new(ErrorKind::PreconditionFailed, message))
            }
            Place::Here(_) | Place::Gone => Err(closed()),
        }
    }

    /// Ready when no command owns the connection any more. One that panics takes it along.
    fn poll_return(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match mem::replace(&mut self.place, Place::Gone) {
            Place::Away(mut away) => match away.work.poll_unpin(context) {
                Poll::Ready(client) => self.place = Place::Here(client),
                Poll::Pending => {
                    self.place = Place::Away(away);
                    return Poll::Pending;
                }
            },
            place => self.place = place,
        }
        Poll::Ready(())
    }

    /// Has the command that owns the connection stopped, if it does not end by itself before.
    async fn stop(&mut self) -> Result<()> {
        let stopped = poll_fn(|context| self.poll_stop(context)).await;
        // Also where the server has not answered the order: it is on its way.
        let was_sent = self.stop.take().is_some_and(|stop| stop.is_sent());
        stopped?;
        if was_sent {
            self.run_to_its_end(|client| client.absorb_stop().boxed()).await?;
        }
        Ok(())
    }

    fn poll_stop(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        let has_ended = self.poll_return(context).is_ready();
        if self.stop.is_none() && self.is_stoppable() {
            self.stop = Some(self.connector.stop(self.id, Arc::clone(&self.server)));
        }
        if let Some(stop) = &mut self.stop
            && (!has_ended || stop.is_sent())
        {
            ready!(stop.poll(context))?;
        }
        if has_ended { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn is_stoppable(&self) -> bool {
        matches!(&self.place, Place::Away(away) if away.effort == Effort::Stoppable)
    }

    fn has_open_rows(&self) -> bool {
        matches!(&self.place, Place::Here(client) if client.has_open_rows())
    }

    /// Begins to read what is left, and has the server stop it unless that is the end already.
    async fn abandon_rows(&mut self) -> Result<()> {
        if !self.has_open_rows() {
            return Ok(());
        }
        let mut client = self.take()?;
        let work = async move {
            let ended = client.abandon_rows().await;
            drop(ended);
            client
        };
        self.place = Place::Away(Away { work: work.boxed(), effort: Effort::Stoppable });
        self.stop().await
    }
}

impl Connection for MySqlConnection {
    fn execute<'a>(&'a mut self, statement: Statement<'a>) -> Reply<'a, Done> {
        Reply::run(async move {
            let command = Command::of(statement)?;
            self.run(|client| client.execute(command).boxed()).await
        })
    }

    fn query<'a>(&'a mut self, statement: Statement<'a>) -> Reply<'a, Rows> {
        Reply::run(async move {
            let command = Command::of(statement)?;
            self.run(|client| client.query(command).boxed()).await
        })
    }

    fn open_rows<'a>(&'a mut self, statement: Statement<'a>) -> Reply<'a, Columns> {
        Reply::run(async move {
            let command = Command::of(statement)?;
            self.run(|client| client.open(command).boxed()).await
        })
    }

    fn fetch(&mut self, max: usize) -> Reply<'_, Vec<Row>> {
        Reply::run(async move { self.run(move |client| client.fetch(max.max(1)).boxed()).await })
    }

    fn close_rows(&mut self) -> Reply<'_, ()> {
        Reply::run(self.abandon_rows())
    }

    fn script<'a>(&'a mut self, sql: &'a str) -> Reply<'a, ()> {
        let sql = sql.to_owned();
        Reply::run(self.run(|client| async move { client.script(&sql).await }.boxed()))
    }

    fn bulk<'a>(&'a mut self, target: BulkTarget<'a>, rows: &'a [Vec<Value>]) -> Reply<'a, u64> {
        Reply::run(async move {
            let bulk = Bulk::new(target, rows)?;
            self.run(|client| async move { bulk.insert(client).await }.boxed()).await
        })
    }

    fn begin<'a>(&'a mut self, options: &'a Begin) -> Reply<'a, ()> {
        let options = options.clone();
        Reply::run(
            self.run_to_its_end(|client| async move { client.begin(&options).await }.boxed()),
        )
    }

    fn commit(&mut self) -> Reply<'_, ()> {
        Reply::run(self.run_to_its_end(|client| client.commit().boxed()))
    }

    fn rollback(&mut self) -> Reply<'_, ()> {
        Reply::run(self.run_to_its_end(|client| client.rollback().boxed()))
    }

    fn savepoint(&mut self, step: Savepoint, depth: u32) -> Reply<'_, ()> {
        Reply::run(self.run_to_its_end(move |client| client.savepoint(step, depth).boxed()))
    }

    fn state(&self) -> State {
        match &self.place {
            Place::Here(client) => client.state(),
            Place::Away(_) => State::Unknown,
            Place::Gone => State::Broken,
        }
    }

    fn recover(&mut self) -> Reply<'_, State> {
        Reply::run(async move {
            self.stop().await?;
            self.abandon_rows().await?;
            self.run_to_its_end(|client| client.ping().boxed()).await?;
            Ok(self.state())
        })
    }

    fn reset(&mut self) -> Reply<'_, ()> {
        Reply::run(self.run_to_its_end(|client| client.reset().boxed()))
    }

    fn ping(&mut self) -> Reply<'_, ()> {
        Reply::run(self.run_to_its_end(|client| client.ping().boxed()))
    }

    fn close(mut self: Box<Self>) -> Reply<'static, ()> {
        Reply::run(async move {
            self.stop().await?;
            self.abandon_rows().await?;
            match mem::replace(&mut self.place, Place::Gone) {
                Place::Here(client) => client.disconnect().await,
                Place::Away(_) | Place::Gone => Ok(()),
            }
        })
    }

    fn id(&self) -> Option<String> {
        Some(self.id.to_string())
    }

    fn native(&mut self) -> &mut dyn Any {
        match &mut self.place {
            Place::Here(client) => client.native(),
            Place::Away(_) | Place::Gone => &mut self.nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use switchboard_testkit::unique;

    use super::*;
    use crate::DatabaseConfig;
    use crate::drivers::mysql::MySql;
    use crate::drivers::mysql::tests::Scratch;

    #[tokio::test]
    async fn nothing_is_stopped_on_another_server_that_answers_on_mariadb() {
        let scratch = Scratch::new().await;
        let driver = MySql::new(&scratch.config, &DatabaseConfig::default()).unwrap();
        let mut connection = Arc::clone(&driver.0).connect().await.unwrap();
        connection.server = unique("elsewhere").into();
        let sql = "SELECT SLEEP(5)".into();
        let statement = Statement { sql: &sql, values: &[], is_kept: true };
        assert!(connection.query(statement).now_or_never().is_none());
        let error = connection.recover().await.unwrap_err();
        assert_eq!((error.kind(), connection.state()), (ErrorKind::Unavailable, State::Unknown));
        drop(connection);
        scratch.drop().await;
    }

    #[tokio::test]
    async fn a_command_that_panics_takes_the_connection_with_it_on_mariadb() {
        let scratch = Scratch::new().await;
        let driver = MySql::new(&scratch.config, &DatabaseConfig::default()).unwrap();
        let mut connection = Arc::clone(&driver.0).connect().await.unwrap();
        let panics = connection.run::<()>(|_| async { panic!("on purpose") }.boxed());
        std::panic::AssertUnwindSafe(panics).catch_unwind().await.unwrap_err();
        assert_eq!(connection.state(), State::Broken);
        assert_eq!(connection.recover().await.unwrap_err().kind(), ErrorKind::Unavailable);
        assert!(connection.native().downcast_ref::<mysql_async::Conn>().is_none());
        Box::new(connection).close().await.unwrap();
        scratch.drop().await;
    }
}
