//! A connection as its user sees it: each call is an order to its thread.

use std::any::Any;
use std::sync::Arc;

use switchboard_core::{Error, Reply, Result};

use super::DIALECT;
use super::engine::Engine;
use super::errors::invalid;
use super::thread::{Native, Order};
use super::values;
use crate::sql::insert_of;
use crate::{
    Begin, BulkTarget, Columns, Connection, Done, Row, Rows, Savepoint, State, Statement, Value,
};

/// One connection.
pub(super) struct Session {
    native: Native,
    number: u64,
}

impl Session {
    pub(super) fn new(native: Native, number: u64) -> Self {
        Self { native, number }
    }

    /// Inserts `rows` in chunks, so that no more than one of them is there twice.
    async fn insert(&mut self, target: BulkTarget<'_>, rows: &[Vec<Value>]) -> Result<()> {
        let sql: Arc<str> = insert_of(target, 1, &DIALECT).into();
        for (number, chunk) in rows.chunks(ROWS_AT_ONCE).enumerate() {
            let (sql, chunk) = (sql.clone(), chunk.to_vec());
            let first = number * ROWS_AT_ONCE + 1;
            self.native.ask(move |engine| engine.insert(&sql, &chunk, first)).await?;
            if let Some(sent) = target.sent {
                sent.reached(rows.len().min(first - 1 + ROWS_AT_ONCE));
            }
        }
        Ok(())
    }

    async fn insert_all(&mut self, target: BulkTarget<'_>, rows: &[Vec<Value>]) -> Result<u64> {
        check_rows(target, rows)?;
        self.native.ask(Engine::begin_bulk).await?;
        let inserted = self.insert(target, rows).await;
        let is_well = inserted.is_ok();
        let ended = self.native.ask(move |engine| engine.end_bulk(is_well)).await;
        inserted.and(ended).map(|()| rows.len() as u64)
    }
}

impl Connection for Session {
    fn execute<'a>(&'a mut self, statement: Statement<'a>) -> Reply<'a, Done> {
        match values::asked(statement) {
            Ok(asked) => self.native.order(|reply| Order::Execute(asked, reply)),
            Err(error) => Reply::ready(Err(error)),
        }
    }

    fn query<'a>(&'a mut self, statement: Statement<'a>) -> Reply<'a, Rows> {
        match values::asked(statement) {
            Ok(asked) => self.native.order(|reply| Order::Query(asked, reply)),
            Err(error) => Reply::ready(Err(error)),
        }
    }

    fn open_rows<'a>(&'a mut self, statement: Statement<'a>) -> Reply<'a, Columns> {
        match values::asked(statement) {
            Ok(asked) => self.native.order(|reply| Order::Open(asked, reply)),
            Err(error) => Reply::ready(Err(error)),
        }
    }

    fn fetch(&mut self, max: usize) -> Reply<'_, Vec<Row>> {
        self.native.order(move |reply| Order::Fetch(max, reply))
    }

    fn close_rows(&mut self) -> Reply<'_, ()> {
        self.native.order(Order::CloseRows)
    }

    fn script<'a>(&'a mut self, sql: &'a str) -> Reply<'a, ()> {
        if let Err(error) = values::check_text(sql) {
            return Reply::ready(Err(error));
        }
        let sql = sql.to_owned();
        self.native.ask(move |engine| engine.script(&sql))
    }

    fn bulk<'a>(&'a mut self, target: BulkTarget<'a>, rows: &'a [Vec<Value>]) -> Reply<'a, u64> {
        if rows.is_empty() {
            return Reply::ready(Ok(0));
        }
        Reply::run(self.insert_all(target, rows))
    }

    fn begin<'a>(&'a mut self, options: &'a Begin) -> Reply<'a, ()> {
        let options = options.clone();
        self.native.ask(move |engine| engine.begin(&options))
    }

    fn commit(&mut self) -> Reply<'_, ()> {
        self.native.ask(Engine::commit)
    }

    fn rollback(&mut self) -> Reply<'_, ()> {
        self.native.ask(Engine::rollback)
    }

    fn savepoint(&mut self, step: Savepoint, depth: u32) -> Reply<'_, ()> {
        self.native.ask(move |engine| engine.savepoint(step, depth))
    }

    fn state(&self) -> State {
        self.native.state()
    }

    fn recover(&mut self) -> Reply<'_, State> {
        self.native.recover()
    }

    fn reset(&mut self) -> Reply<'_, ()> {
        self.native.ask(Engine::reset)
    }

    fn ping(&mut self) -> Reply<'_, ()> {
        self.native.ask(Engine::ping)
    }

    fn close(self: Box<Self>) -> Reply<'static, ()> {
        Reply::run(self.native.close())
    }

    fn id(&self) -> Option<String> {
        Some(self.number.to_string())
    }

    fn native(&mut self) -> &mut dyn Any {
        &mut self.native
    }
}

/// Whether every row has a value for each column, and none that cannot be kept.
fn check_rows(target: BulkTarget<'_>, rows: &[Vec<Value>]) -> Result<()> {
    if target.columns.is_empty() {
        return Err(invalid("no column is named that rows have values for"));
    }
    for (index, row) in rows.iter().enumerate() {
        let in_row = |error: Error| error.with_context("row", index + 1);
        if row.len() != target.columns.len() {
            return Err(in_row(invalid(
                "a row has another number of values than there are columns",
            )));
        }
        values::check(row).map_err(in_row)?;
    }
    Ok(())
}

/// How many rows go to the thread at a time.
const ROWS_AT_ONCE: usize = 1_000;
