//! A server that does what the test says, and remembers what it was asked.

use std::any::Any;
use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use switchboard_core::{Clock, Error, ErrorKind, Lifecycle, Reply, Result};

use crate::{
    Begin, BulkTarget, Columns, Connection, DatabaseDriver, Dialect, Done, Lane, Row, Rows,
    Savepoint, State, Statement, Value,
};

#[derive(Clone, Default)]
pub(super) struct Server(Arc<Mutex<Script>>);

#[derive(Default)]
pub(super) struct Script {
    /// What the next attempts to connect come to; those after them are fine at once.
    pub(super) connects: VecDeque<Connect>,
    /// Every attempt fails like this.
    pub(super) refuses: Option<ErrorKind>,
    /// How long each call takes.
    pub(super) call_takes: Duration,
    /// What a recovery finds, if it is not to find the connection idle.
    pub(super) recovers: VecDeque<Result<State>>,
    /// Connections up to this one are dead.
    pub(super) dead: u64,
    /// How long it takes to notice that: for ever.
    pub(super) is_black_hole: bool,
    pub(super) attempts: usize,
    pub(super) connecting: usize,
    pub(super) connecting_most: usize,
    pub(super) made: u64,
    pub(super) open: BTreeSet<u64>,
    pub(super) log: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Connect {
    After(Duration),
    Fail(ErrorKind),
    Hang,
    Panic,
}

impl Server {
    pub(super) fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every connection that is there now is dead, and new ones are not.
    pub(super) fn restart(&self) {
        let mut script = self.script();
        script.dead = script.made;
    }

    pub(super) fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.script().log)
    }

    fn tell(&self, id: u64, what: &str) {
        self.script().log.push(format!("{id} {what}"));
    }
}

impl Lifecycle for Server {}

impl DatabaseDriver for Server {
    fn dialect(&self) -> &'static Dialect {
        &DIALECT
    }

    fn connect(&self, _: Lane) -> Reply<'_, Box<dyn Connection>> {
        Reply::run(async move {
            let _attempt = Attempt::new(self);
            let (next, refuses) = {
                let mut script = self.script();
                (script.connects.pop_front(), script.refuses)
            };
            match next {
                Some(Connect::After(delay)) => Clock::system().sleep(delay).await,
                Some(Connect::Fail(kind)) => return Err(Error::new(kind, "scripted")),
                Some(Connect::Hang) => std::future::pending().await,
                Some(Connect::Panic) => panic!("scripted"),
                None => {}
            }
            if let Some(kind) = refuses {
                return Err(Error::new(kind, "refused by the script"));
            }
            Ok(Box::new(Scripted::new(self)) as Box<dyn Connection>)
        })
    }
}

struct Attempt<'s>(&'s Server);

impl<'s> Attempt<'s> {
    fn new(server: &'s Server) -> Self {
        let mut script = server.script();
        script.attempts += 1;
        script.connecting += 1;
        script.connecting_most = script.connecting_most.max(script.connecting);
        drop(script);
        Self(server)
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.0.script().connecting -= 1;
    }
}

/// A connection to it.
pub(super) struct Scripted {
    id: u64,
    server: Server,
    state: State,
}

impl Scripted {
    fn new(server: &Server) -> Self {
        let mut script = server.script();
        script.made += 1;
        let id = script.made;
        script.open.insert(id);
        drop(script);
        Self { id, server: server.clone(), state: State::Idle }
    }

    /// From now on it is of no use.
    pub(super) fn break_down(&mut self) {
        self.state = State::Broken;
    }

    /// One call, after which the connection is in `state`, unless the server is gone.
    fn call<T: Send + 'static>(
        &mut self,
        what: &'static str,
        state: State,
        answer: Result<T>,
    ) -> Reply<'_, T> {
        Reply::run(async move {
            self.state = State::Unknown;
            self.server.tell(self.id, what);
            let (takes, is_dead, is_black_hole) = {
                let script = self.server.script();
                (script.call_takes, self.id <= script.dead, script.is_black_hole)
            };
            if is_dead && is_black_hole {
                std::future::pending::<()>().await;
            }
            if !takes.is_zero() {
                Clock::system().sleep(takes).await;
            }
            self.state = if is_dead { State::Broken } else { state };
            if is_dead {
                return Err(Error::new(ErrorKind::Unavailable, "the server is gone"));
            }
            answer
        })
    }
}

impl Connection for Scripted {
    fn execute<'a>(&'a mut self, _: Statement<'a>) -> Reply<'a, Done> {
        let state = self.state;
        self.call("execute", state, Ok(Done::default()))
    }

    fn query<'a>(&'a mut self, _: Statement<'a>) -> Reply<'a, Rows> {
        unsupported()
    }

    fn open_rows<'a>(&'a mut self, _: Statement<'a>) -> Reply<'a, Columns> {
        unsupported()
    }

    fn fetch(&mut self, _: usize) -> Reply<'_, Vec<Row>> {
        unsupported()
    }

    fn close_rows(&mut self) -> Reply<'_, ()> {
        unsupported()
    }

    fn script<'a>(&'a mut self, _: &'a str) -> Reply<'a, ()> {
        unsupported()
    }

    fn bulk<'a>(&'a mut self, _: BulkTarget<'a>, _: &'a [Vec<Value>]) -> Reply<'a, u64> {
        unsupported()
    }

    fn begin<'a>(&'a mut self, _: &'a Begin) -> Reply<'a, ()> {
        self.call("begin", State::InTransaction, Ok(()))
    }

    fn commit(&mut self) -> Reply<'_, ()> {
        self.call("commit", State::Idle, Ok(()))
    }

    fn rollback(&mut self) -> Reply<'_, ()> {
        self.call("rollback", State::Idle, Ok(()))
    }

    fn savepoint(&mut self, _: Savepoint, _: u32) -> Reply<'_, ()> {
        unsupported()
    }

    fn state(&self) -> State {
        self.state
    }

    fn recover(&mut self) -> Reply<'_, State> {
        let found = self.server.script().recovers.pop_front().unwrap_or(Ok(State::Idle));
        let state = found.as_ref().copied().unwrap_or(State::Broken);
        self.call("recover", state, found)
    }

    fn reset(&mut self) -> Reply<'_, ()> {
        self.call("reset", State::Idle, Ok(()))
    }

    fn ping(&mut self) -> Reply<'_, ()> {
        let state = self.state;
        self.call("ping", state, Ok(()))
    }

    fn close(self: Box<Self>) -> Reply<'static, ()> {
        self.server.tell(self.id, "close");
        Reply::ready(Ok(()))
    }

    fn id(&self) -> Option<String> {
        Some(self.id.to_string())
    }

    fn native(&mut self) -> &mut dyn Any {
        self
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.server.script().open.remove(&self.id);
    }
}

fn unsupported<T>() -> Reply<'static, T> {
    Reply::ready(Err(Error::new(ErrorKind::Unsupported, "the script has no such thing")))
}

static DIALECT: Dialect = Dialect { name: "scripted", values_max: 100, ..Dialect::STANDARD };
