//! Several statements at a time, each with an answer of its own.

use switchboard_core::{Error, Op, Result};

use super::Job;
use super::whole::{Half, INNERMOST, Whole};
use crate::driver::{Done, Rows, State};
use crate::engine::Engine;
use crate::pool::Taken;
use crate::sql::Effect;
use crate::value::IntoParams;
use crate::{Params, op};

/// Statements that are run one after the other over one connection.
///
/// ```no_run
/// # async fn example(db: &switchboard_database::Database) -> switchboard_core::Result<()> {
/// use switchboard_database::{Stack, Statements as _};
///
/// let stack = Stack::new()
///     .execute("insert into tags (name) values (?)", ("new",))
///     .select("select count(*) from tags", ());
/// let report = db.run_stack(&stack).await?;
/// assert!(report.is_ok());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a stack does nothing until it is run"]
pub struct Stack {
    steps: Vec<Step>,
    on_error: OnError,
    /// What went wrong before anybody could be told.
    mistake: Option<Error>,
}

/// What becomes of a stack when one of its statements fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnError {
    /// All of it is taken back, and the rest is not run.
    #[default]
    Stop,
    /// Only that statement is taken back, and the rest is run; not where a transaction around the stack has
    /// ended with it.
    Continue,
}

/// What came of each statement of a stack, in their order.
#[derive(Debug)]
#[must_use = "statements of a stack may have failed"]
pub struct StackReport {
    /// The answers. After a statement at which the stack stopped there are no more.
    pub answers: Vec<Result<StackAnswer>>,
}

/// What came of one statement of a stack.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum StackAnswer {
    /// It changed something.
    Done(Done),
    /// It has rows.
    Rows(Rows),
}

#[derive(Clone, Debug)]
struct Step {
    sql: Box<str>,
    params: Params,
    has_rows: bool,
}

impl Stack {
    /// One without statements.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a statement that changes something.
    pub fn execute(self, sql: &str, params: impl IntoParams) -> Self {
        self.with(sql, params, false)
    }

    /// Adds a statement whose rows are wanted.
    pub fn select(self, sql: &str, params: impl IntoParams) -> Self {
        self.with(sql, params, true)
    }

    /// What becomes of it when one of its statements fails.
    pub fn on_error(mut self, on_error: OnError) -> Self {
        self.on_error = on_error;
        self
    }

    fn with(mut self, sql: &str, params: impl IntoParams, has_rows: bool) -> Self {
        match params.into_params() {
            Ok(params) => self.steps.push(Step { sql: sql.into(), params, has_rows }),
            Err(error) => {
                let position = self.steps.len() + 1;
                self.mistake.get_or_insert(error.with_context("statement", position));
            }
        }
        self
    }

    pub(super) fn job(&self) -> Stacked<'_> {
        Stacked(self)
    }
}

impl StackReport {
    /// Whether every statement that was run succeeded.
    pub fn is_ok(&self) -> bool {
        self.answers.iter().all(Result::is_ok)
    }

    /// The answers, or the first error.
    pub fn into_result(self) -> Result<Vec<StackAnswer>> {
        self.answers.into_iter().collect()
    }

    /// The same with errors as `tell` tells them.
    pub(super) fn told(self, tell: impl Fn(Error) -> Error) -> Self {
        Self { answers: self.answers.into_iter().map(|answer| answer.map_err(&tell)).collect() }
    }
}

/// A stack as something to do on a connection.
pub(super) struct Stacked<'s>(&'s Stack);

impl Job for Stacked<'_> {
    type Answer = StackReport;
    const OP: Op = op::STACK;

    fn effect(&self, engine: &Engine) -> Result<Effect> {
        let mut effect = Effect::Read;
        for step in &self.0.steps {
            effect = effect.max(engine.known(&*step.sql)?.effect());
        }
        Ok(effect)
    }

    fn is_repeatable(&self, engine: &Engine) -> Result<bool> {
        for step in &self.0.steps {
            if !engine.is_repeatable(&*step.sql)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn keeps_transaction(&self, engine: &Engine) -> Result<()> {
        self.0.steps.iter().try_for_each(|step| engine.keeps_transaction(&*step.sql))
    }

    async fn run(&self, engine: &Engine, taken: &mut Taken) -> Result<StackReport> {
        match &self.0.mistake {
            Some(mistake) => Err(mistake.clone()),
            None if self.0.on_error == OnError::Continue => Ok(self.each(engine, taken).await),
            None => Ok(self.until_one_fails(engine, taken).await),
        }
    }

    fn is_whole(&self) -> bool {
        let Stack { steps, on_error, mistake } = self.0;
        *on_error == OnError::Stop && mistake.is_none() && !steps.is_empty()
    }

    fn failures(report: &StackReport) -> Vec<&Error> {
        report.answers.iter().filter_map(|answer| answer.as_ref().err()).collect()
    }
}

impl Stacked<'_> {
    async fn until_one_fails(&self, engine: &Engine, taken: &mut Taken) -> StackReport {
        let mut answers = Vec::with_capacity(self.0.steps.len());
        for step in &self.0.steps {
            let answer = step.run(engine, taken).await;
            let has_failed = answer.is_err();
            answers.push(told(answer, answers.len()));
            if has_failed {
                break;
            }
        }
        StackReport { answers }
    }

    /// Each for itself, for as long as it does not end the transaction around all of them.
    async fn each(&self, engine: &Engine, taken: &mut Taken) -> StackReport {
        let is_inside = taken.state() != State::Idle;
        let mut answers = Vec::with_capacity(self.0.steps.len());
        for step in &self.0.steps {
            let answer = if is_inside {
                step.run_inside(engine, taken).await
            } else {
                step.run(engine, taken).await
            };
            answers.push(told(answer, answers.len()));
            if is_inside && (taken.state() != State::InTransaction || taken.half() == Half::Stuck) {
                break;
            }
        }
        StackReport { answers }
    }
}

impl Step {
    async fn run(&self, engine: &Engine, taken: &mut Taken) -> Result<StackAnswer> {
        let ready = engine.ready(&*self.sql, &self.params)?;
        if self.has_rows {
            return engine.query(taken, &ready).await.map(StackAnswer::Rows);
        }
        engine.execute(taken, &ready).await.map(StackAnswer::Done)
    }

    /// As part of a transaction, which goes on when this fails.
    async fn run_inside(&self, engine: &Engine, taken: &mut Taken) -> Result<StackAnswer> {
        let part = Whole::part(engine, taken, INNERMOST).await?;
        let answer = self.run(engine, taken).await;
        part.end(engine, taken, answer, |_| Vec::new()).await
    }
}

/// The answer of the statement at `index`; an error says which one it was.
fn told(answer: Result<StackAnswer>, index: usize) -> Result<StackAnswer> {
    answer.map_err(|error| error.with_context("position", index + 1))
}
