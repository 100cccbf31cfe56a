//! Transactions: owned, cloneable, ended once.

use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::Location;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use switchboard_core::{Deadline, Error, ErrorKind, Outcome, Reaper, Result};
use tokio::task::coop::unconstrained;

use super::Bounds;
use super::hooks::{self, After, Hooks};
use super::occupied::{Beginning, End, Left, Level, OUTERMOST, Occupied, Opening, over};
use super::turns::Turns;
use crate::driver::Savepoint;
use crate::finishing::Finishing;
use crate::statement::{Asked, Job, Lent, Query, Source, asked_at};
use crate::{Database, Statements, op};

/// A transaction on a connection of its own.
///
/// It can be cloned and sent to other tasks; statements run one after the other. While a stream of its rows
/// is open, everything else is refused, and its end closes the stream. Once it has ended, whoever still has
/// it gets an error. One that nobody has any more is rolled back.
///
/// [`Database::transaction`] commits or rolls back by itself; [`Database::begin`] leaves that to
/// [`commit`](Self::commit) and [`rollback`](Self::rollback).
#[derive(Clone)]
pub struct Transaction {
    shared: Arc<Shared>,
    level: Level,
}

struct Shared {
    occupied: Turns,
    left: Left,
    hooks: Mutex<Hooks>,
    stage: Mutex<Stage>,
    bounds: Arc<Bounds>,
    /// Where in the program it was asked for.
    at: &'static Location<'static>,
    database: Database,
}

impl Transaction {
    /// One whose connection is taken and whose beginning is made by its first statement.
    pub(crate) fn waiting(beginning: Beginning, opening: Opening) -> Self {
        let (database, at, bounds) =
            (opening.database.clone(), opening.at, beginning.bounds.clone());
        let occupied = Occupied::waiting(Opening { begin: Some(beginning), ..opening });
        let left = occupied.left();
        let occupied = Turns::new(occupied);
        let shared = Shared {
            occupied,
            left,
            hooks: Mutex::default(),
            stage: Mutex::default(),
            bounds,
            at,
            database,
        };
        Self { shared: Arc::new(shared), level: OUTERMOST }
    }

    /// Takes its connection and begins, if no statement has done so.
    pub(crate) async fn opened(&self) -> Result<()> {
        self.shared.occupied.next().await?.opened().await.map(drop)
    }

    /// The database it is a transaction of.
    pub fn database(&self) -> &Database {
        &self.shared.database
    }

    /// Makes it last, and then does what was to be done after that.
    ///
    /// Once all that is to happen before it is done, it comes to its end even if the answer is not awaited;
    /// dropped earlier, it is rolled back. A transaction in which a statement failed, on a server that gives
    /// it up then, is rolled back, which is an error.
    pub async fn commit(&self) -> Result<()> {
        self.whole()?;
        self.shared.begin_to_commit()?;
        let left = Leaving(self);
        let ready = self.end_before_commit().await.and_then(|()| self.shared.is_not_left());
        let ending = if ready.is_ok() { Ending::Commit } else { Ending::RollBack };
        let finishing = finishing(self.shared.clone(), ending);
        drop(left);
        let ended = finishing.await;
        ready.and(ended)
    }

    /// Takes it back, and then does what was to be done after that.
    pub async fn rollback(&self) -> Result<()> {
        self.whole()?;
        self.finish(Ending::RollBack).await
    }

    /// Runs `body` so that all it does is kept if it ends well, and taken back if it does not, by error,
    /// panic or drop, without ending the transaction.
    ///
    /// While it runs, statements go through what `body` is given.
    pub async fn savepoint<T, E, F, Fut>(&self, body: F) -> Result<T, E>
    where
        F: FnOnce(Self) -> Fut + Send,
        Fut: Future<Output = Result<T, E>> + Send,
        E: From<Error>,
    {
        let level = self.shared.occupied.next().await?.set_savepoint(self.level).await?;
        self.shared.hooks().set(level);
        let inside = Inside { shared: self.shared.clone(), level, has_ended: false };
        let answer = body(Self { shared: self.shared.clone(), level }).await;
        let ended = inside.end(answer.is_ok(), self.level).await;
        let answer = answer?;
        ended?;
        Ok(answer)
    }

    /// Lets `hook` happen when all is done and before it is made to last; an error rolls it back.
    ///
    /// What is registered after the end, of the transaction or of a savepoint that was rolled back, does
    /// not happen, which is told as a warning. That holds for all hooks.
    pub fn before_commit<F, Fut>(&self, hook: F)
    where
        F: FnOnce(Self) -> Fut + Send + 'static,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        self.shared.hooks().before_commit(self.level, hook);
    }

    /// Lets `hook` happen once all lasts: mail that is sent, jobs that are queued. Registered inside of a
    /// savepoint that is rolled back, it does not happen; nor where the answer to the commit was lost, so
    /// that nobody knows what became of it.
    pub fn after_commit<F, Fut>(&self, hook: F)
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.shared.hooks().after_commit(self.level, hook);
    }

    /// Lets `hook` happen once all is taken back, or the savepoint in which it was registered. It does not
    /// happen where nobody knows what became of the commit.
    pub fn after_rollback<F, Fut>(&self, hook: F)
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.shared.hooks().after_rollback(self.level, hook);
    }

    /// Lets `look` use the client of the library underneath.
    ///
    /// What it does is not seen: the connection is reset before anybody else has it. An error if the
    /// client is of another type.
    pub async fn native<C: 'static, T, F>(&self, look: F) -> Result<T>
    where
        F: for<'c> FnOnce(&'c mut C) -> Pin<Box<dyn Future<Output = Result<T>> + Send + 'c>> + Send,
    {
        self.shared.occupied.next().await?.native(self.level, look).await
    }

    /// Whether a statement in it met another transaction, so that the whole may succeed when it is run
    /// again.
    pub(crate) async fn met_conflict(&self) -> bool {
        // One that was left is taken back by others, who are not waited for.
        *self.shared.stage() != Stage::Left && self.shared.occupied.lock().await.met_conflict()
    }

    /// The longest wait before it is run again, which it was `times` before; `None` if it is not.
    pub(crate) fn wait_before_again(&self, times: u32) -> Option<Duration> {
        self.shared.bounds.wait_before_again(times)
    }

    /// What comes of `work`, which inherits the deadline of the transaction; `None` where that comes first.
    pub(crate) async fn in_time<W: Future>(&self, work: W) -> Option<W::Output> {
        let (bounds, around) = (&self.shared.bounds, Deadline::current());
        let clock = self.shared.database.line().environment().clock();
        let mut work = pin!(work);
        // What runs may have used up the task's budget; the end of its time must be seen anyway.
        let mut over = pin!(unconstrained(bounds.over(around)));
        poll_fn(|context| {
            let deadline = bounds.deadline();
            // A statement that ends at the same moment is not asked first: it would speak for itself only.
            let is_over = over.as_mut().poll(context).is_ready()
                || deadline.is_some_and(|deadline| deadline.moment() <= clock.now());
            if is_over {
                return Poll::Ready(None);
            }
            let polled = match deadline {
                Some(deadline) => deadline.inside(|| work.as_mut().poll(context)),
                None => work.as_mut().poll(context),
            };
            polled.map(Some)
        })
        .await
    }

    /// Takes it back because its time is over, without waiting for that. The error says what became of one
    /// that was ended meanwhile.
    pub(crate) async fn given_up(&self) -> Error {
        self.abandon();
        let is_left = *self.shared.stage() == Stage::Left;
        let outcome = if is_left { Outcome::NotApplied } else { self.shared.outcome().await };
        let database = &self.shared.database;
        let took = self.shared.bounds.took(database.line().environment().clock());
        let late = Error::new(ErrorKind::Timeout, "the time of the transaction was over")
            .with_context("took", format_args!("{took:.1?}"))
            .with_outcome(outcome);
        asked_at(late, self.shared.at).at(|| database.place(op::TRANSACTION))
    }

    /// Whether its end was asked for.
    pub(crate) fn is_ending(&self) -> bool {
        *self.shared.stage() == Stage::Ending
    }

    /// Whether it has ended; waits for the statement or the rows that are under way in it.
    pub(crate) async fn has_ended(&self) -> bool {
        self.shared.occupied.lock().await.is_over()
    }

    /// Closes the rows that are open in it; who reads them is told.
    pub(crate) fn close_rows(&self) {
        self.shared.occupied.close_rows();
    }

    /// Ends what is left of it, without waiting for that: its scope was left by panic or drop.
    pub(crate) fn abandon(&self) {
        if self.shared.is_left() {
            drop(finishing(self.shared.clone(), Ending::RollBack));
        }
    }

    /// Only the whole transaction is committed and rolled back.
    fn whole(&self) -> Result<()> {
        if self.level == OUTERMOST {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::InvalidInput,
            "a savepoint ends with the closure it was given to",
        ))
    }

    async fn end_before_commit(&self) -> Result<()> {
        loop {
            let next = self.shared.hooks().next_before_commit();
            match next {
                Some(hook) => hook(self.clone()).await?,
                None => return Ok(()),
            }
        }
    }

    async fn finish(&self, ending: Ending) -> Result<()> {
        finishing(self.shared.clone(), ending).await
    }
}

impl Statements for Transaction {}

impl Asked for Transaction {
    async fn ask<J: Job>(&self, job: J, at: &'static Location<'static>) -> Result<J::Answer> {
        let asking =
            pin!(async { self.shared.occupied.next().await?.ask(self.level, &job, at).await });
        self.shared.in_time(asking).await.map_err(|error| asked_at(error, at))
    }

    async fn open_rows(&self, query: Query<'_>, at: &'static Location<'static>) -> Result<Source> {
        let opening = pin!(async {
            let mut turn = self.shared.occupied.to_read().await?;
            let reading = turn.occupied().open_rows(self.level, &query).await?;
            Ok((turn, reading))
        });
        let opened = self.shared.in_time(opening).await;
        let (turn, reading) = opened.map_err(|error| asked_at(error, at))?;
        Ok(Source::new(Lent::Shared(turn, reading), self.shared.reaper()))
    }

    fn database(&self) -> &Database {
        &self.shared.database
    }
}

impl Shared {
    /// Runs `work` so that it inherits the deadline of the transaction, in whatever task that is.
    async fn in_time<W: Future>(&self, work: W) -> W::Output {
        match self.bounds.deadline() {
            Some(deadline) => deadline.scope(work).await,
            None => work.await,
        }
    }

    fn hooks(&self) -> MutexGuard<'_, Hooks> {
        self.hooks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody else commits it from now on, or only what is said of its end is to be had.
    fn begin_to_commit(&self) -> Result<()> {
        let mut stage = self.stage();
        let why = match *stage {
            Stage::Ending => return Ok(()),
            Stage::Open => {
                *stage = Stage::Committing;
                return Ok(());
            }
            Stage::Committing => "its commit is under way",
            Stage::Left => LEFT,
        };
        Err(over(why))
    }

    /// Whether its end is for who leaves it to ask for; nobody commits it from then on.
    fn is_left(&self) -> bool {
        let mut stage = self.stage();
        let is_left = matches!(*stage, Stage::Open | Stage::Committing);
        if is_left {
            *stage = Stage::Left;
        }
        is_left
    }

    /// What became of one whose end was asked for, once that has come.
    async fn outcome(&self) -> Outcome {
        let end = async { self.occupied.lock().await.end() };
        match tokio::time::timeout(FINISH_LIMIT, end).await {
            Ok(Some(End::Committed)) => Outcome::Applied,
            Ok(Some(End::RolledBack)) => Outcome::NotApplied,
            Ok(Some(End::InDoubt) | None) | Err(_) => Outcome::Unknown,
        }
    }

    fn is_not_left(&self) -> Result<()> {
        if *self.stage() == Stage::Left { Err(over(LEFT)) } else { Ok(()) }
    }

    /// Its end is asked for, and comes about.
    fn is_ending(&self) {
        let mut stage = self.stage();
        if *stage != Stage::Left {
            *stage = Stage::Ending;
        }
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reaper(&self) -> &Reaper {
        self.database.line().environment().reaper()
    }

    fn instance(&self) -> &str {
        self.database.line().instance()
    }

    async fn commit(&self) -> Result<()> {
        let (end, committed) = {
            let mut occupied = self.occupied.last().await;
            let committed = occupied.commit().await;
            (occupied.end(), committed)
        };
        self.after(end).await;
        committed
    }

    async fn roll_back(&self) -> Result<()> {
        let (end, rolled_back) = {
            let mut occupied = self.occupied.last().await;
            let rolled_back = occupied.roll_back().await;
            (occupied.end(), rolled_back)
        };
        self.after(end).await;
        rolled_back
    }

    /// What is to happen after such an end happens, once.
    async fn after(&self, end: Option<End>) {
        let Some(end) = end else { return };
        let after = self.hooks().ended(end);
        hooks::run(self.instance(), after).await;
    }
}

/// One that nobody has any more is rolled back by the pool; what was to happen then happens.
impl Drop for Shared {
    fn drop(&mut self) {
        let hooks = self.hooks.get_mut().unwrap_or_else(PoisonError::into_inner);
        let after: Vec<After> = hooks.ended(End::RolledBack);
        if after.is_empty() {
            return;
        }
        let instance = self.instance().to_owned();
        drop(self.reaper().submit("after a rollback", FINISH_LIMIT, async move {
            hooks::run(&instance, after).await;
            Ok(())
        }));
    }
}

const LEFT: &str = "its scope was left";

/// How far a transaction is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Open,
    /// What is to happen before the commit happens.
    Committing,
    /// Who was to end it has gone, and it is rolled back.
    Left,
    /// Its end was asked for.
    Ending,
}

/// A commit whose hooks run: left by panic or drop, the transaction is rolled back.
struct Leaving<'t>(&'t Transaction);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Commit,
    RollBack,
}

/// The end of a transaction, which comes about whether anybody waits for it or not.
fn finishing(shared: Arc<Shared>, ending: Ending) -> Finishing<()> {
    shared.is_ending();
    let reaper = shared.reaper().clone();
    Finishing::new("end a transaction", FINISH_LIMIT, &reaper, async move {
        match ending {
            Ending::Commit => shared.commit().await,
            Ending::RollBack => shared.roll_back().await,
        }
    })
}

/// A savepoint whose closure runs.
struct Inside {
    shared: Arc<Shared>,
    level: Level,
    has_ended: bool,
}

impl Inside {
    async fn end(mut self, is_kept: bool, outer: Level) -> Result<()> {
        let how = if is_kept { Savepoint::Release } else { Savepoint::RollBack };
        let ended = self.shared.occupied.last().await.end_savepoint(self.level, how).await;
        self.has_ended = ended.is_ok();
        if is_kept && ended.is_ok() {
            self.shared.hooks().released(self.level, outer);
        } else {
            let after = self.shared.hooks().rolled_back(self.level);
            hooks::run(self.shared.instance(), after).await;
        }
        ended
    }
}

/// Left by panic or drop: all it did is taken back before anything else is done.
impl Drop for Inside {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        self.shared.left.tell(self.level);
        let after = self.shared.hooks().rolled_back(self.level);
        if !after.is_empty() {
            let instance = self.shared.instance().to_owned();
            drop(self.shared.reaper().submit("after a rollback", FINISH_LIMIT, async move {
                hooks::run(&instance, after).await;
                Ok(())
            }));
        }
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction")
            .field("database", &self.shared.database)
            .field("level", &self.level)
            .finish_non_exhaustive()
    }
}

/// How long the end of a transaction may take that nobody waits for, with what is to happen after it.
const FINISH_LIMIT: Duration = Duration::from_secs(30);
