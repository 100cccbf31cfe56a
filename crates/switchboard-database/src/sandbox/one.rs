//! The one connection of a sandbox: the transactions that are open on it, and whose turn it is.
//!
//! Transactions are savepoints, each inside of the one that its code was in when it began. Who asks has a turn
//! once nothing is open inside of what it belongs to. Only statements are stopped where their caller goes away:
//! what sets and ends savepoints comes to its end, so that what is set is always known.

use std::future::Future;
use std::panic::Location;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use switchboard_core::{Error, ErrorKind, Leased, Result};
use tokio::sync::{Mutex, Notify, OwnedMutexGuard};

use crate::driver::{Dialect, Savepoint, State};
use crate::finishing::Finishing;
use crate::pool::{Owner, Taken, held_by};
use crate::{Database, Databases, op};

/// What all parts of a sandbox have in common.
pub(super) struct Shared {
    database: Database,
    dialect: &'static Dialect,
    acquire_timeout: Duration,
    one: Arc<Mutex<One>>,
    /// Parts that are gone, although a transaction of theirs was open.
    left: std::sync::Mutex<Vec<Number>>,
    /// Something has ended, so that it may be somebody's turn.
    ended: Notify,
    numbers: AtomicU64,
    at: &'static Location<'static>,
}

/// The connection.
pub(super) struct One {
    /// `None` once the sandbox has ended.
    leased: Option<Leased<Databases, Taken>>,
    /// The savepoint of a statement is set.
    is_in_statement: bool,
    /// The transactions that are open, each inside of the one before.
    open: Vec<Open>,
}

/// A transaction.
struct Open {
    part: Number,
    owner: Owner,
}

/// Which part of a sandbox.
pub(super) type Number = u64;

/// The connection while nobody else has it.
pub(super) type Turn = OwnedMutexGuard<One>;

/// Whether a part may ask something.
enum Whose {
    Its,
    /// Of what is open inside.
    Others,
    /// Its transaction was taken back with the one around it.
    Nobodys,
}

impl Shared {
    pub(super) fn new(
        database: Database,
        leased: Leased<Databases, Taken>,
        at: &'static Location<'static>,
    ) -> Self {
        Self {
            dialect: leased.driver().dialect(),
            acquire_timeout: leased.driver().config().pool.acquire_timeout,
            database,
            one: Arc::new(Mutex::new(One {
                leased: Some(leased),
                is_in_statement: false,
                open: Vec::new(),
            })),
            left: std::sync::Mutex::default(),
            ended: Notify::new(),
            numbers: AtomicU64::new(0),
            at,
        }
    }

    pub(super) fn dialect(&self) -> &'static Dialect {
        self.dialect
    }

    pub(super) fn at(&self) -> &'static Location<'static> {
        self.at
    }

    pub(super) fn number(&self) -> Number {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// The connection, after what was left on it is taken back.
    pub(super) async fn lock(&self) -> Result<Turn> {
        let mut one = self.one.clone().lock_owned().await;
        let left = std::mem::take(&mut *self.left());
        if one.is_tidy() && left.is_empty() {
            return one.or_ended(self.at);
        }
        let tidied = self.finish(async move {
            one.tidy(&left).await?;
            Ok(one)
        });
        let one = tidied.await?;
        self.ended.notify_waiters();
        one.or_ended(self.at)
    }

    /// The connection once `part`, which may have begun a transaction, may ask something.
    pub(super) async fn turn(&self, part: Number, has_begun: bool) -> Result<Turn> {
        let turn = tokio::time::timeout(self.acquire_timeout, async {
            loop {
                let mut ended = pin!(self.ended.notified());
                ended.as_mut().enable();
                let mut one = self.lock().await?;
                match one.whose(part, has_begun) {
                    Whose::Its if has_begun || one.state() != State::Failed => return Ok(one),
                    Whose::Its => return Err(failed()),
                    Whose::Nobodys => return Err(taken_back()),
                    Whose::Others => drop(one),
                }
                ended.await;
            }
        });
        turn.await.unwrap_or_else(|_| Err(self.no_turn()))
    }

    /// Sets the savepoint of a statement that belongs to no transaction of its own.
    pub(super) async fn begin_statement(&self, mut one: Turn) -> Result<Turn> {
        self.finish(async move {
            one.savepoint(Savepoint::Set, STATEMENT).await?;
            one.is_in_statement = true;
            Ok(one)
        })
        .await
    }

    /// Ends it.
    pub(super) async fn end_statement(&self, mut one: Turn, how: Savepoint) -> Result<()> {
        self.finish(async move { one.end_statement(how).await }).await
    }

    /// Begins a transaction of `part`.
    pub(super) async fn begin(&self, mut one: Turn, part: Number) -> Result<()> {
        let owner = Owner::current();
        self.finish(async move {
            let place = one.open.len();
            one.savepoint(Savepoint::Set, level(place)).await?;
            one.open.push(Open { part, owner });
            Ok(())
        })
        .await
    }

    /// Ends the transaction of `part`, and what is still open inside of it; nothing where it has none.
    pub(super) async fn end_transaction(
        &self,
        mut one: Turn,
        part: Number,
        how: Savepoint,
    ) -> Result<()> {
        let ended = self.finish(async move { one.end_transaction(part, how).await }).await;
        self.ended.notify_waiters();
        ended
    }

    /// Does something to a savepoint of the transaction of `part`.
    pub(super) async fn savepoint(
        &self,
        mut one: Turn,
        part: Number,
        how: Savepoint,
        depth: u32,
    ) -> Result<()> {
        self.finish(async move {
            let place = one.place(part).ok_or_else(taken_back)?;
            one.savepoint(how, level(place).saturating_add(depth)).await
        })
        .await
    }

    /// Where the transaction of `part` is, as far as that is known without waiting.
    pub(super) fn state(&self, part: Number) -> State {
        let Ok(mut one) = self.one.try_lock() else { return State::InTransaction };
        let is_innermost = one.open.last().is_some_and(|open| open.part == part);
        if is_innermost && one.is_tidy() { one.state() } else { State::InTransaction }
    }

    /// `part` is gone, and its transaction open.
    pub(super) fn leave(&self, part: Number) {
        self.left().push(part);
        self.ended.notify_waiters();
    }

    /// Takes all back.
    pub(super) async fn end(&self) -> Result<()> {
        let mut one = self.one.lock().await;
        one.tidy(&[]).await.ok();
        let Some(mut leased) = one.leased.take() else { return Ok(()) };
        drop(one);
        self.ended.notify_waiters();
        let engine = leased.driver().clone();
        let (taken, step) = leased.parts();
        step.end(op::ROLLBACK, engine.rollback(taken)).await
    }

    fn finish<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Finishing<T> {
        let reaper = self.database.line().environment().reaper();
        Finishing::new("set or end a savepoint", STEP_LIMIT, reaper, work)
    }

    fn left(&self) -> std::sync::MutexGuard<'_, Vec<Number>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn no_turn(&self) -> Error {
        let error = Error::new(ErrorKind::Timeout, "what was begun inside of it does not end")
            .with_context("sandbox", self.at)
            .with_hint("in a sandbox a transaction waits for those that its own code has begun")
            .not_applied();
        held_by(error, &self.database.holders())
    }
}

impl One {
    pub(super) fn taken(&mut self) -> Option<&mut Taken> {
        self.leased.as_mut().map(|leased| leased.parts().0)
    }

    fn state(&mut self) -> State {
        self.taken().map_or(State::Broken, |taken| taken.state())
    }

    fn is_tidy(&mut self) -> bool {
        !self.is_in_statement && self.state() != State::Unknown
    }

    fn place(&self, part: Number) -> Option<usize> {
        self.open.iter().position(|open| open.part == part)
    }

    fn whose(&self, part: Number, has_begun: bool) -> Whose {
        let own = if has_begun {
            self.place(part)
        } else {
            self.open.iter().rposition(|open| open.owner.is_around())
        };
        match own {
            None if has_begun => Whose::Nobodys,
            own if own.map_or(0, |own| own + 1) == self.open.len() => Whose::Its,
            _ => Whose::Others,
        }
    }

    /// Takes back what dropped statements and parts that are gone have left.
    async fn tidy(&mut self, left: &[Number]) -> Result<()> {
        if let Some(taken) = self.taken() {
            taken.recover().await?;
        }
        if self.is_in_statement {
            self.end_statement(Savepoint::RollBack).await?;
        }
        for part in left {
            self.end_transaction(*part, Savepoint::RollBack).await?;
        }
        Ok(())
    }

    async fn end_statement(&mut self, how: Savepoint) -> Result<()> {
        self.savepoint(how, STATEMENT).await?;
        self.is_in_statement = false;
        Ok(())
    }

    async fn end_transaction(&mut self, part: Number, how: Savepoint) -> Result<()> {
        let Some(place) = self.place(part) else { return Ok(()) };
        self.savepoint(how, level(place)).await?;
        self.open.truncate(place);
        Ok(())
    }

    async fn savepoint(&mut self, how: Savepoint, depth: u32) -> Result<()> {
        let Some(taken) = self.taken() else { return Ok(()) };
        let mut busy = taken.begin(None);
        let done = busy.connection().savepoint(how, depth).await;
        busy.end();
        done
    }
}

/// What is done with a turn once it is had.
trait OrEnded: Sized {
    fn or_ended(self, at: &'static Location<'static>) -> Result<Self>;
}

impl OrEnded for Turn {
    fn or_ended(self, at: &'static Location<'static>) -> Result<Self> {
        if self.leased.is_some() { Ok(self) } else { Err(ended(at)) }
    }
}

/// The savepoint of the transaction at that place; those that its scopes set have the numbers behind it.
fn level(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX).saturating_add(1).saturating_mul(LEVELS)
}

pub(super) fn ended(at: &'static Location<'static>) -> Error {
    Error::new(ErrorKind::PreconditionFailed, "the sandbox has ended")
        .with_context("sandbox", at)
        .with_hint("what a test starts has to end before its sandbox does")
        .not_applied()
}

fn taken_back() -> Error {
    Error::new(ErrorKind::PreconditionFailed, "it was taken back with the transaction around it")
        .with_hint("in a sandbox a transaction is part of the one that its code has open")
        .not_applied()
}

fn failed() -> Error {
    Error::new(ErrorKind::PreconditionFailed, "the transaction around it can only be rolled back")
        .with_context("because", "an earlier statement failed")
        .with_hint("in a sandbox a statement is part of the transaction that its code has open")
        .not_applied()
}

/// How many savepoints a transaction may set, one inside of the other.
const LEVELS: u32 = 1_000_000;

/// Inside of all others.
const STATEMENT: u32 = u32::MAX;

/// How long a step may take that nobody waits for.
const STEP_LIMIT: Duration = Duration::from_secs(30);
