//! What happens whole or not at all, wherever it is asked for.

use switchboard_core::{Error, Result};

use super::Job;
use crate::driver::{Begin, Savepoint, State};
use crate::engine::Engine;
use crate::pool::Taken;

/// What can be taken back at once: all that was done on a connection since it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whole {
    /// A transaction of its own.
    Transaction,
    /// A part of the transaction around it, with the savepoint of this number.
    Part(u32),
}

/// What of something whole is left on a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Half {
    #[default]
    Nothing,
    /// It was to begin, or to be kept after all of it was done; nobody has seen whether that came about.
    Perhaps(Whole),
    /// It has begun, and its end was not seen: it is under way or was dropped.
    Of(Whole),
    /// It could not be taken back, and never will be but with all that is around it.
    Stuck,
}

/// Does `job`, whole or not at all if it is to be so; `depth` is the number that a savepoint would have.
pub(crate) async fn done<J: Job>(
    job: &J,
    engine: &Engine,
    taken: &mut Taken,
    depth: u32,
) -> Result<J::Answer> {
    // In boxes, so that what is not whole does not carry what is.
    let whole = if job.is_whole() {
        Some(Box::pin(Whole::begin(engine, taken, depth)).await?)
    } else {
        None
    };
    let answer = job.run(engine, taken).await;
    match whole {
        Some(whole) => Box::pin(whole.end(engine, taken, answer, J::failures)).await,
        None => answer,
    }
}

/// All that went wrong in `answer`.
pub(crate) fn failures<T>(answer: &Result<T>, told: impl Fn(&T) -> Vec<&Error>) -> Vec<&Error> {
    match answer {
        Ok(answer) => told(answer),
        Err(error) => vec![error],
    }
}

impl Whole {
    /// Begins it where `taken` is: as a part, or on its own where nothing is under way.
    async fn begin(engine: &Engine, taken: &mut Taken, depth: u32) -> Result<Self> {
        if taken.state() != State::Idle {
            return Self::part(engine, taken, depth).await;
        }
        let usual = engine.usual(&Begin::default());
        taken.set_half(Half::Perhaps(Self::Transaction));
        let begun = engine.begin_transaction(taken, &usual).await;
        Self::Transaction.unless_refused(taken, begun)
    }

    /// Begins a part of the transaction that is under way.
    pub(super) async fn part(engine: &Engine, taken: &mut Taken, depth: u32) -> Result<Self> {
        taken.set_half(Half::Perhaps(Self::Part(depth)));
        let set = engine.savepoint(taken, Savepoint::Set, depth).await;
        Self::Part(depth).unless_refused(taken, set)
    }

    fn unless_refused(self, taken: &mut Taken, begun: Result<()>) -> Result<Self> {
        taken.set_half(if begun.is_ok() { Half::Of(self) } else { Half::Nothing });
        begun.map(|()| self)
    }

    /// Keeps what was done if nothing of `answer` is an error, else takes it back. Of two errors the first
    /// is told, with the other one beside it.
    pub(super) async fn end<T>(
        self,
        engine: &Engine,
        taken: &mut Taken,
        mut answer: Result<T>,
        told: impl Fn(&T) -> Vec<&Error>,
    ) -> Result<T> {
        if failures(&answer, &told).is_empty() {
            match self.keep(engine, taken).await {
                Ok(()) => return answer,
                Err(error) => answer = Err(error),
            }
        }
        let first = failures(&answer, &told).first().map(|first| Error::clone(first));
        match (self.take_back(engine, taken).await, first) {
            (Err(second), Some(first)) => Err(first.with_related([second])),
            _ => answer,
        }
    }

    /// Keeps what was done.
    async fn keep(self, engine: &Engine, taken: &mut Taken) -> Result<()> {
        taken.set_half(Half::Perhaps(self));
        let kept = match self {
            Self::Transaction => engine.commit(taken).await,
            // A statement that ended the transaction took the savepoint with it.
            Self::Part(_) if taken.state() == State::Idle => Ok(()),
            Self::Part(depth) => engine.savepoint(taken, Savepoint::Release, depth).await,
        };
        taken.set_half(if kept.is_ok() { Half::Nothing } else { Half::Of(self) });
        kept
    }

    /// Takes back what was done. Where that fails, nothing else can be done there any more.
    pub(crate) async fn take_back(self, engine: &Engine, taken: &mut Taken) -> Result<()> {
        let taken_back = match (taken.state(), self) {
            // Where there is no transaction any more, there is nothing of it.
            (State::Idle | State::Broken, _) => Ok(()),
            (_, Self::Transaction) => engine.rollback(taken).await,
            (_, Self::Part(depth)) => engine.savepoint(taken, Savepoint::RollBack, depth).await,
        };
        // What has not begun, or is kept already, cannot be gone back to, and need not be.
        let is_idle = taken.half() == Half::Perhaps(self) && taken.state() == State::InTransaction;
        if taken_back.is_err() && !is_idle {
            taken.set_half(Half::Stuck);
            return taken_back;
        }
        taken.set_half(Half::Nothing);
        Ok(())
    }
}

/// The number of a savepoint inside of all others, far from those that scopes count from one.
pub(super) const INNERMOST: u32 = u32::MAX;
