//! What looks like a connection of its own, and is a part in the one of the sandbox.

use std::any::Any;
use std::sync::Arc;

use switchboard_core::{Error, ErrorKind, Reply, Result};

use super::one::{Number, Shared, Turn, ended};
use crate::driver::{
    Begin, BulkTarget, Connection, Done, RowReader, Rows, Savepoint, State, Statement,
};
use crate::known::keeps_transaction;
use crate::sql::{Effect, Traits};
use crate::{Columns, Row, Value};

pub(super) struct Part {
    shared: Arc<Shared>,
    number: Number,
    /// It has begun a transaction, whatever has become of that.
    has_begun: bool,
    /// The transaction that it has begun is to change nothing.
    only_reads: bool,
    /// A call is under way, or was dropped.
    is_busy: bool,
    /// Rows that were opened and not fetched yet.
    rows: Option<std::vec::IntoIter<Row>>,
}

impl Part {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let number = shared.number();
        Self { shared, number, has_begun: false, only_reads: false, is_busy: false, rows: None }
    }

    /// Whether `sql` may be asked. What ends the transaction of the sandbox may not.
    fn allow(&self, sql: &str) -> Result<()> {
        let dialect = self.shared.dialect();
        let traits = Traits::of(sql, dialect.lexis);
        keeps_transaction(&traits, dialect).map_err(|error| {
            error.with_hint("a sandbox is a transaction; do this before it begins")
        })?;
        if traits.effect == Effect::Write { self.allow_writing() } else { Ok(()) }
    }

    /// The server cannot tell: to it, all is one transaction, which writes.
    fn allow_writing(&self) -> Result<()> {
        if !(self.has_begun && self.only_reads) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::PermissionDenied, "the transaction only reads").not_applied())
    }

    async fn end(&mut self, one: Turn, how: Savepoint) -> Result<()> {
        self.is_busy = true;
        self.shared.end_transaction(one, self.number, how).await?;
        (self.has_begun, self.is_busy) = (false, false);
        Ok(())
    }
}

/// Runs `$asked` on the connection of the sandbox: as part of the transaction that `$part` has open, else
/// in a savepoint of its own, so that a failure takes back what it did and nothing else.
macro_rules! on_the_one {
    ($part:ident, |$connection:ident| $asked:expr) => {{
        let shared = $part.shared.clone();
        let mut one = shared.turn($part.number, $part.has_begun).await?;
        $part.is_busy = true;
        let is_alone = !$part.has_begun;
        if is_alone {
            one = shared.begin_statement(one).await?;
        }
        let answer = match one.taken() {
            None => Err(ended(shared.at())),
            Some(taken) => {
                let mut busy = taken.begin(None);
                let $connection = busy.connection();
                let answer = $asked.await;
                busy.end();
                answer
            }
        };
        if is_alone {
            let how = if answer.is_ok() { Savepoint::Release } else { Savepoint::RollBack };
            shared.end_statement(one, how).await?;
        }
        $part.is_busy = false;
        answer
    }};
}

impl Connection for Part {
    fn execute<'a>(&'a mut self, statement: Statement<'a>) -> Reply<'a, Done> {
        Reply::run(async move {
            self.allow(statement.sql)?;
            on_the_one!(self, |one| one.execute(statement))
        })
    }

    fn query<'a>(&'a mut self, statement: Statement<'a>) -> Reply<'a, Rows> {
        Reply::run(async move {
            self.allow(statement.sql)?;
            on_the_one!(self, |one| one.query(statement))
        })
    }

    fn query_each<'a>(
        &'a mut self,
        statement: Statement<'a>,
        reader: &'a mut dyn RowReader,
    ) -> Reply<'a, ()> {
        Reply::run(async move {
            self.allow(statement.sql)?;
            on_the_one!(self, |one| one.query_each(statement, reader))
        })
    }

    /// All rows at once: others use the connection while these are read.
    fn open_rows<'a>(&'a mut self, statement: Statement<'a>) -> Reply<'a, Columns> {
        Reply::run(async move {
            self.allow(statement.sql)?;
            let rows = on_the_one!(self, |one| one.query(statement))?;
            self.rows = Some(rows.rows.into_iter());
            Ok(rows.columns)
        })
    }

    fn fetch(&mut self, max: usize) -> Reply<'_, Vec<Row>> {
        let rows: Vec<Row> = self.rows.iter_mut().flatten().take(max.max(1)).collect();
        if rows.is_empty() {
            self.rows = None;
        }
        Reply::ready(Ok(rows))
    }

    fn close_rows(&mut self) -> Reply<'_, ()> {
        self.rows = None;
        Reply::ready(Ok(()))
    }

    fn script<'a>(&'a mut self, sql: &'a str) -> Reply<'a, ()> {
        Reply::run(async move {
            self.allow(sql)?;
            on_the_one!(self, |one| one.script(sql))
        })
    }

    fn bulk<'a>(&'a mut self, target: BulkTarget<'a>, rows: &'a [Vec<Value>]) -> Reply<'a, u64> {
        Reply::run(async move {
            self.allow_writing()?;
            on_the_one!(self, |one| one.bulk(target, rows))
        })
    }

    fn begin<'a>(&'a mut self, options: &'a Begin) -> Reply<'a, ()> {
        Reply::run(async move {
            let shared = self.shared.clone();
            let one = shared.turn(self.number, false).await?;
            (self.has_begun, self.is_busy) = (true, true);
            self.only_reads = options.is_read_only;
            let begun = shared.begin(one, self.number).await;
            (self.has_begun, self.is_busy) = (begun.is_ok(), false);
            begun
        })
    }

    fn commit(&mut self) -> Reply<'_, ()> {
        Reply::run(async move {
            if let Some(check) = self.shared.dialect().check_deferred {
                on_the_one!(self, |one| one.script(check))?;
            }
            // What its code has begun inside of it ends first.
            let one = self.shared.turn(self.number, true).await?;
            self.end(one, Savepoint::Release).await
        })
    }

    fn rollback(&mut self) -> Reply<'_, ()> {
        Reply::run(async move {
            let one = self.shared.lock().await?;
            self.end(one, Savepoint::RollBack).await
        })
    }

    fn savepoint(&mut self, step: Savepoint, depth: u32) -> Reply<'_, ()> {
        Reply::run(async move {
            let shared = self.shared.clone();
            let one = shared.turn(self.number, true).await?;
            self.is_busy = true;
            let done = shared.savepoint(one, self.number, step, depth).await;
            self.is_busy = false;
            done
        })
    }

    fn state(&self) -> State {
        match (self.is_busy, self.has_begun) {
            (true, _) => State::Unknown,
            (false, false) => State::Idle,
            (false, true) => self.shared.state(self.number),
        }
    }

    fn recover(&mut self) -> Reply<'_, State> {
        Reply::run(async move {
            drop(self.shared.lock().await?);
            self.is_busy = false;
            Ok(self.state())
        })
    }

    /// What its user left on the connection is taken away at the end of the sandbox.
    fn reset(&mut self) -> Reply<'_, ()> {
        Reply::ready(Ok(()))
    }

    fn ping(&mut self) -> Reply<'_, ()> {
        Reply::run(async move { self.shared.lock().await.map(drop) })
    }

    fn close(self: Box<Self>) -> Reply<'static, ()> {
        Reply::ready(Ok(()))
    }

    /// The client belongs to all.
    fn native(&mut self) -> &mut dyn Any {
        self
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.has_begun {
            self.shared.leave(self.number);
        }
    }
}
