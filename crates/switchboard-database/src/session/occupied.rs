//! One connection that several hold on to and one uses at a time.

use std::future::Future;
use std::panic::Location;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};

use switchboard_core::{Error, ErrorKind, Held, Leased, Outcome, Result};

use super::Bounds;
use super::met::{Met, is_conflict};
use crate::driver::{Begin, Savepoint, State};
use crate::observe::Reading;
use crate::pool::{Taken, Taking};
use crate::statement::{Half, Job, Query, asked_at, done, failures};
use crate::{Database, Databases, TransactionConfig, op};

/// A connection, the transaction on it, and what became of both.
pub(crate) struct Occupied {
    phase: Phase,
    is_transaction: bool,
    /// The savepoints that are set, the innermost last.
    savepoints: Vec<u64>,
    /// How many savepoints were ever set.
    savepoints_set: u64,
    /// Savepoints whose scope was left without a word; taken back before anything else is done.
    left: Left,
    /// What became of a transaction that the server ended by itself.
    lost: Option<End>,
    met: Met,
}

enum Phase {
    /// Nothing was asked yet.
    Waiting(Opening),
    Open(Box<Leased<Databases, Taken>>),
    /// There is nothing any more.
    Over(End),
}

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Committed,
    RolledBack,
    /// Whether it lasts is not known.
    InDoubt,
}

/// Savepoints whose scope was left without a word, told from wherever that happens.
#[derive(Clone, Default)]
pub(crate) struct Left(Arc<Mutex<Vec<Level>>>);

/// How the connection is to be had.
#[derive(Clone)]
pub(crate) struct Opening {
    pub(crate) database: Database,
    /// The transaction that it begins with; none on a plain connection.
    pub(crate) begin: Option<Beginning>,
    pub(crate) at: &'static Location<'static>,
    pub(crate) is_long: bool,
}

/// How a transaction is to begin, and what bounds it.
#[derive(Clone)]
pub(crate) struct Beginning {
    pub(crate) begin: Begin,
    pub(crate) bounds: Arc<Bounds>,
}

/// What a look at the client of the library underneath comes to.
pub(crate) type Looking<'c, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'c>>;

/// Who asks: the transaction itself, or one of its savepoints.
pub(crate) type Level = u64;

/// The transaction itself.
pub(crate) const OUTERMOST: Level = 0;

impl End {
    /// What became of one whose commit was answered so.
    fn of_commit(committed: &Result<()>) -> Self {
        match committed {
            Ok(()) => Self::Committed,
            Err(error) if error.outcome() == Outcome::NotApplied => Self::RolledBack,
            Err(_) => Self::InDoubt,
        }
    }

    fn because(self) -> &'static str {
        match self {
            Self::Committed => "it was committed",
            Self::RolledBack => "it was rolled back",
            Self::InDoubt => "whether it was committed is not known",
        }
    }
}

impl Opening {
    async fn open(&self) -> Result<Leased<Databases, Taken>> {
        if let Some(beginning) = &self.begin {
            return self.begin(beginning).await;
        }
        let taking = self.taking();
        let open =
            |engine: Held<Databases>| async move { engine.take(crate::Lane::Write, taking).await };
        self.database.line().open(op::CONNECTION, open).await
    }

    async fn begin(&self, beginning: &Beginning) -> Result<Leased<Databases, Taken>> {
        let database = &self.database;
        let Beginning { begin, bounds } = beginning;
        let (taking, clock) = (self.taking(), database.line().environment().clock());
        let refused_by = &RefusedBy::default();
        let open = |engine: Held<Databases>| async move {
            let begin = engine.usual(begin);
            let pool = engine.pool_of(&begin);
            let beginning = pin!(async {
                let mut taken = pool.acquire(taking).await?;
                engine.begin_transaction(&mut taken, &begin).await?;
                Ok(taken)
            });
            let config = &engine.config().transaction;
            let taken = match bounds.deadline_with(config) {
                Some(deadline) => deadline.run(clock, beginning).await,
                None => beginning.await,
            };
            taken.inspect_err(|_| refused_by.put(config))
        };
        let opening = pin!(database.line().open(op::TRANSACTION, open));
        let opened = match bounds.deadline() {
            Some(deadline) => deadline.scope(opening).await,
            None => opening.await,
        };
        // Whoever refused it says how often it is tried again.
        if opened.is_err() {
            refused_by.serve(bounds);
        }
        // Who has begun, and no more, has done nothing.
        let leased = opened.map_err(|error| asked_at(error.not_applied(), self.at))?;
        bounds.serve(&leased.driver().config().transaction);
        Ok(leased)
    }

    fn taking(&self) -> Taking {
        Taking { at: self.at, is_long: self.is_long, is_scope: true, is_urgent: false }
    }
}

/// How transactions are configured where the last one could not begin.
#[derive(Default)]
struct RefusedBy(Mutex<Option<TransactionConfig>>);

impl RefusedBy {
    fn put(&self, config: &TransactionConfig) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(config.clone());
    }

    fn serve(&self, bounds: &Bounds) {
        if let Some(config) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            bounds.serve(config);
        }
    }
}

impl Occupied {
    /// One that is opened when something is asked of it.
    pub(crate) fn waiting(opening: Opening) -> Self {
        Self {
            is_transaction: opening.begin.is_some(),
            phase: Phase::Waiting(opening),
            savepoints: Vec::new(),
            savepoints_set: 0,
            left: Left::default(),
            lost: None,
            met: Met::Nobody,
        }
    }

    /// Has it opened, if nobody has asked anything yet.
    pub(crate) async fn opened(&mut self) -> Result<&mut Leased<Databases, Taken>> {
        if let Phase::Waiting(opening) = &self.phase {
            let opened = opening.open().await;
            if let Err(error) = &opened {
                self.met.note(error, OUTERMOST, None);
            }
            self.phase = Phase::Open(Box::new(opened?));
        }
        match &mut self.phase {
            Phase::Open(leased) => Ok(leased),
            Phase::Over(end) => Err(over(end.because())),
            Phase::Waiting(_) => Err(over("it could not be opened")),
        }
    }

    /// What was opened, if it was and is still there.
    pub(crate) fn leased(&mut self) -> Option<&mut Leased<Databases, Taken>> {
        match &mut self.phase {
            Phase::Open(leased) => Some(leased),
            Phase::Waiting(_) | Phase::Over(_) => None,
        }
    }

    /// Does `job` for who asks at `level`, and `at` that line of the program.
    pub(crate) async fn ask<J: Job>(
        &mut self,
        level: Level,
        job: &J,
        at: &'static Location<'static>,
    ) -> Result<J::Answer> {
        self.usable(level).await?;
        self.met.went_on();
        let is_transaction = self.is_transaction;
        let depth = self.next_depth();
        let leased = self.opened().await?;
        let engine = leased.driver().clone();
        if is_transaction {
            job.keeps_transaction(&engine)?;
        }
        let (taken, step) = leased.parts();
        taken.asked_at(at);
        let answer = step.run(J::OP, done(job, &engine, taken, depth)).await;
        self.noticed(&failures(&answer, J::failures));
        answer
    }

    /// Opens the rows of `query` for who asks at `level`.
    pub(crate) async fn open_rows(&mut self, level: Level, query: &Query<'_>) -> Result<Reading> {
        self.usable(level).await?;
        self.met.went_on();
        let is_transaction = self.is_transaction;
        let leased = self.opened().await?;
        let engine = leased.driver().clone();
        if is_transaction {
            engine.keeps_transaction(query.sql)?;
        }
        let (taken, step) = leased.parts();
        let opened = step.run(op::STREAM, async {
            let ready = engine.ready(query.sql, &query.params)?;
            engine.open_rows(taken, &ready).await
        });
        let opened = opened.await;
        self.noticed_in(&opened);
        opened
    }

    /// Sets a savepoint inside of `level`, and says who asks in there.
    pub(crate) async fn set_savepoint(&mut self, level: Level) -> Result<Level> {
        self.usable(level).await?;
        self.met.went_on();
        self.opened().await?;
        self.savepoint(Savepoint::Set, self.savepoints.len()).await?;
        self.savepoints_set += 1;
        self.savepoints.push(self.savepoints_set);
        Ok(self.savepoints_set)
    }

    /// Ends the savepoint `level`, and those that are still set inside of it.
    pub(crate) async fn end_savepoint(&mut self, level: Level, how: Savepoint) -> Result<()> {
        let Some(position) = self.savepoints.iter().position(|set| *set == level) else {
            return Err(over("the savepoint has ended"));
        };
        if how == Savepoint::RollBack {
            return self.take_back(level, position).await;
        }
        self.usable(level).await?;
        self.savepoint(how, position).await?;
        self.savepoints.truncate(position);
        self.met.released(level, self.innermost());
        Ok(())
    }

    /// Makes the transaction last. Whatever comes of it, the connection is given back.
    pub(crate) async fn commit(&mut self) -> Result<()> {
        match self.phase {
            Phase::Open(_) => {}
            Phase::Over(end) => return Err(over(end.because())),
            Phase::Waiting(_) => {
                self.phase = Phase::Over(End::Committed);
                return Ok(());
            }
        }
        self.met.went_on();
        let committed = match self.usable(OUTERMOST).await {
            Ok(()) => self.committing().await,
            Err(_) if self.lost == Some(End::InDoubt) => Err(ended_alone().in_doubt()),
            Err(error) => {
                self.roll_back().await.ok();
                return Err(error);
            }
        };
        if let Err(error) = &committed {
            self.met.note(error, OUTERMOST, None);
        }
        self.is_over_by(End::of_commit(&committed));
        committed
    }

    /// Takes the transaction back. Whatever comes of it, the connection is given back.
    pub(crate) async fn roll_back(&mut self) -> Result<()> {
        match self.phase {
            Phase::Over(End::RolledBack) => return Ok(()),
            Phase::Over(end) => return Err(over(end.because())),
            Phase::Open(_) | Phase::Waiting(_) => {}
        }
        self.look();
        // A connection that cannot say where it is is not asked to roll back, but closed by the pool.
        self.settle().await.ok();
        self.look();
        let (end, rolled_back) = match self.lost {
            Some(End::InDoubt) => (End::InDoubt, Err(ended_alone().in_doubt())),
            Some(end) => (end, Ok(())),
            None => (End::RolledBack, self.rolling_back().await),
        };
        self.is_over_by(end);
        rolled_back
    }

    fn is_over_by(&mut self, end: End) {
        if end == End::InDoubt {
            // What may have happened is not done again, whatever was met before.
            self.met = Met::Nobody;
        }
        self.phase = Phase::Over(end);
    }

    /// Whether a statement in it met another transaction, so that the whole may succeed when it is run
    /// again.
    pub(crate) fn met_conflict(&self) -> bool {
        self.met.may_pass()
    }

    /// What became of it, if it is over.
    pub(crate) fn end(&self) -> Option<End> {
        match self.phase {
            Phase::Over(end) => Some(end),
            Phase::Open(_) | Phase::Waiting(_) => None,
        }
    }

    /// Whether it is over.
    pub(crate) fn is_over(&self) -> bool {
        self.end().is_some()
    }

    /// Lets `look` use the client of the library underneath, for who asks at `level`.
    pub(crate) async fn native<C: 'static, T, F>(&mut self, level: Level, look: F) -> Result<T>
    where
        F: for<'c> FnOnce(&'c mut C) -> Looking<'c, T> + Send,
    {
        self.usable(level).await?;
        let leased = self.opened().await?;
        let (taken, step) = leased.parts();
        taken.leaves_residue();
        step.run(op::NATIVE, async {
            let mut busy = taken.begin(None);
            let client = busy.connection().native().downcast_mut::<C>();
            let looked = match client {
                Some(client) => look(client).await,
                None => Err(another_client(std::any::type_name::<C>())),
            };
            busy.end();
            looked
        })
        .await
    }

    /// Where savepoints are told whose scope was left without a word.
    pub(crate) fn left(&self) -> Left {
        self.left.clone()
    }

    /// Whether who asks at `level` may do so, after what was left behind is taken back.
    async fn usable(&mut self, level: Level) -> Result<()> {
        self.is_there()?;
        while let Some(left) = self.left.next() {
            if let Some(position) = self.savepoints.iter().position(|set| *set == left) {
                self.take_back(left, position).await?;
            }
        }
        self.take_back_half().await?;
        self.is_there()?;
        if level != self.innermost() {
            let is_set = level == OUTERMOST || self.savepoints.contains(&level);
            return Err(if is_set { savepoint_is_set() } else { over("the savepoint has ended") });
        }
        self.in_order().await
    }

    /// Whether the server has not ended the transaction by itself.
    fn is_there(&mut self) -> Result<()> {
        self.look();
        if self.lost.is_some() { Err(ended_alone()) } else { Ok(()) }
    }

    /// Who asks in there asks in all that is set.
    fn innermost(&self) -> Level {
        self.savepoints.last().copied().unwrap_or(OUTERMOST)
    }

    /// The number of the next savepoint, for the server.
    fn next_depth(&self) -> u32 {
        depth(self.savepoints.len())
    }

    /// Whether the connection can take a statement.
    async fn in_order(&mut self) -> Result<()> {
        let is_transaction = self.is_transaction;
        let Some(leased) = self.leased() else { return Ok(()) };
        let (taken, _) = leased.parts();
        match taken.state() {
            State::Failed if is_transaction => Err(aborted("an earlier statement failed")),
            State::Unknown if is_transaction => Err(aborted("a statement was dropped half way")),
            State::Unknown => taken.recover().await.map(drop),
            State::Broken => Err(broken()),
            // Whoever began a transaction by hand has to be able to end it by hand.
            State::Failed | State::Idle | State::InTransaction => Ok(()),
        }
    }

    /// Takes everything back since the savepoint `level`, at `position`, was set.
    async fn take_back(&mut self, level: Level, position: usize) -> Result<()> {
        self.settle().await?;
        self.savepoint(Savepoint::RollBack, position).await?;
        self.savepoints.truncate(position);
        self.met.taken_back(level);
        Ok(())
    }

    /// Takes back what a call has left that was to be whole and was dropped.
    async fn take_back_half(&mut self) -> Result<()> {
        let Some(leased) = self.leased() else { return Ok(()) };
        let engine = leased.driver().clone();
        let (taken, step) = leased.parts();
        match taken.half() {
            Half::Nothing => Ok(()),
            Half::Stuck => Err(stuck()),
            Half::Perhaps(whole) | Half::Of(whole) => {
                let taken_back = step.run(op::ROLLBACK, async {
                    taken.recover().await?;
                    whole.take_back(&engine, taken).await
                });
                Box::pin(taken_back).await
            }
        }
    }

    /// Finds out where the connection is, if a statement was dropped half way.
    async fn settle(&mut self) -> Result<()> {
        let Some(leased) = self.leased() else { return Ok(()) };
        let (taken, _) = leased.parts();
        if taken.state() == State::Unknown {
            taken.recover().await?;
        }
        Ok(())
    }

    /// Does something to the savepoint at `position`.
    async fn savepoint(&mut self, how: Savepoint, position: usize) -> Result<()> {
        let leased = self.opened().await?;
        let engine = leased.driver().clone();
        let (taken, step) = leased.parts();
        let done = step.run(op::SAVEPOINT, engine.savepoint(taken, how, depth(position))).await;
        if done.is_ok() && how == Savepoint::RollBack && taken.half() != Half::Stuck {
            // It was a part of what was taken back.
            taken.set_half(Half::Nothing);
        }
        self.noticed_in(&done);
        done
    }

    /// Makes it last; that has a time of its own, and nothing lasts of a driver that was taken away.
    async fn committing(&mut self) -> Result<()> {
        let Some(leased) = self.leased() else { return Ok(()) };
        let engine = leased.driver().clone();
        let (taken, step) = leased.parts();
        step.complete(op::COMMIT, engine.commit(taken)).await
    }

    /// Takes it back; that has a time of its own, and is done where the driver was taken away.
    async fn rolling_back(&mut self) -> Result<()> {
        let Some(leased) = self.leased() else { return Ok(()) };
        let engine = leased.driver().clone();
        let (taken, step) = leased.parts();
        step.end(op::ROLLBACK, engine.rollback(taken)).await
    }

    /// Sees what became of the transaction by what was asked in it.
    pub(crate) fn noticed_in<T>(&mut self, result: &Result<T>) {
        self.noticed(&result.as_ref().err().into_iter().collect::<Vec<_>>());
    }

    fn noticed(&mut self, errors: &[&Error]) {
        let (level, dialect) = (self.innermost(), self.leased().map(|it| it.driver().dialect()));
        for error in errors {
            self.met.note(error, level, dialect);
        }
        let is_conflict = errors.iter().any(|error| is_conflict(error));
        // Who had to give way was rolled back; what else ends a transaction may have committed it.
        self.found(if is_conflict { End::RolledBack } else { End::InDoubt });
    }

    /// Looks whether the server ended the transaction while nobody noticed.
    fn look(&mut self) {
        self.found(End::InDoubt);
    }

    /// Where the transaction is gone, and was there before, `end` is what became of it.
    fn found(&mut self, end: End) {
        if !self.is_transaction || self.lost.is_some() {
            return;
        }
        let is_gone = self.leased().is_some_and(|leased| leased.shared().0.state() == State::Idle);
        self.lost = is_gone.then_some(end);
    }
}

impl Left {
    pub(crate) fn tell(&self, level: Level) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(level);
    }

    fn next(&self) -> Option<Level> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

/// What the server calls the savepoint at `position`: savepoints are counted from one.
fn depth(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX).saturating_add(1)
}

pub(super) fn over(why: &'static str) -> Error {
    Error::new(ErrorKind::PreconditionFailed, "there is no transaction any more")
        .with_context("because", why)
        .not_applied()
}

fn ended_alone() -> Error {
    Error::new(ErrorKind::PreconditionFailed, "the server ended the transaction by itself")
        .with_hint("a statement that defines tables commits it on some servers")
        .with_hint("a deadlock rolls it back")
        .not_applied()
}

fn aborted(why: &'static str) -> Error {
    Error::new(ErrorKind::PreconditionFailed, "the transaction can only be rolled back")
        .with_context("because", why)
        .not_applied()
}

fn stuck() -> Error {
    Error::new(ErrorKind::PreconditionFailed, "what failed before could not be taken back")
        .with_hint("end the transaction, or give the connection back")
        .not_applied()
}

fn savepoint_is_set() -> Error {
    Error::new(ErrorKind::PreconditionFailed, "a savepoint inside of it is in use")
        .with_hint("use what the closure of `savepoint` is given")
        .not_applied()
}

fn broken() -> Error {
    Error::new(ErrorKind::Unavailable, "the connection was lost").not_applied()
}

fn another_client(wanted: &'static str) -> Error {
    Error::new(ErrorKind::InvalidInput, "the client underneath is of another type")
        .with_context("wanted", wanted)
        .not_applied()
}
