//! What is left in the hands of a holder whose connection was taken away.

use std::any::Any;

use switchboard_core::{Error, ErrorKind, Reply, Retry};

use crate::{
    Begin, BulkTarget, Columns, Connection, Done, Row, Rows, Savepoint, State, Statement, Value,
};

/// Refuses everything.
pub(super) struct Gone;

fn refused<T>() -> Reply<'static, T> {
    Reply::ready(Err(Error::new(
        ErrorKind::Unavailable,
        "the connection was taken away from its holder, who had it for too long",
    )
    .with_retry(Retry::Never)
    .not_applied()
    .with_hint("give connections back sooner, or raise `pool.reap_after`")))
}

impl Connection for Gone {
    fn execute<'a>(&'a mut self, _: Statement<'a>) -> Reply<'a, Done> {
        refused()
    }

    fn query<'a>(&'a mut self, _: Statement<'a>) -> Reply<'a, Rows> {
        refused()
    }

    fn open_rows<'a>(&'a mut self, _: Statement<'a>) -> Reply<'a, Columns> {
        refused()
    }

    fn fetch(&mut self, _: usize) -> Reply<'_, Vec<Row>> {
        refused()
    }

    fn close_rows(&mut self) -> Reply<'_, ()> {
        refused()
    }

    fn script<'a>(&'a mut self, _: &'a str) -> Reply<'a, ()> {
        refused()
    }

    fn bulk<'a>(&'a mut self, _: BulkTarget<'a>, _: &'a [Vec<Value>]) -> Reply<'a, u64> {
        refused()
    }

    fn begin<'a>(&'a mut self, _: &'a Begin) -> Reply<'a, ()> {
        refused()
    }

    fn commit(&mut self) -> Reply<'_, ()> {
        refused()
    }

    fn rollback(&mut self) -> Reply<'_, ()> {
        refused()
    }

    fn savepoint(&mut self, _: Savepoint, _: u32) -> Reply<'_, ()> {
        refused()
    }

    fn state(&self) -> State {
        State::Broken
    }

    fn recover(&mut self) -> Reply<'_, State> {
        refused()
    }

    fn reset(&mut self) -> Reply<'_, ()> {
        refused()
    }

    fn ping(&mut self) -> Reply<'_, ()> {
        refused()
    }

    fn close(self: Box<Self>) -> Reply<'static, ()> {
        Reply::ready(Ok(()))
    }

    fn native(&mut self) -> &mut dyn Any {
        self
    }
}
