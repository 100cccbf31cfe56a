//! What statements do on a connection, whoever has it.

use std::future::Future;
use std::marker::PhantomData;

use switchboard_core::{Error, Op, Result};

use crate::driver::{Done, Rows};
use crate::engine::Engine;
use crate::pool::Taken;
use crate::queries::Meant;
use crate::sql::Effect;
use crate::{FromRow, Params, op};

/// Something to do on one connection.
///
/// It can be done again from the start: nothing of it is used up.
pub trait Job: Send + Sync {
    /// What comes of it.
    type Answer: Send;

    /// What it is called.
    const OP: Op;

    /// What it does to the data, as far as the text of its statements says.
    fn effect(&self, engine: &Engine) -> Result<Effect>;

    /// Whether it may be done again by itself where its answer was lost.
    fn is_repeatable(&self, _engine: &Engine) -> Result<bool> {
        Ok(false)
    }

    /// Whether a transaction that is open stays open when it is done.
    fn keeps_transaction(&self, _engine: &Engine) -> Result<()> {
        Ok(())
    }

    /// Does it.
    fn run(
        &self,
        engine: &Engine,
        taken: &mut Taken,
    ) -> impl Future<Output = Result<Self::Answer>> + Send;

    /// Whether it is to happen whole or not at all.
    fn is_whole(&self) -> bool {
        false
    }

    /// What went wrong in it, where that is told in an answer.
    fn failures(_answer: &Self::Answer) -> Vec<&Error> {
        Vec::new()
    }
}

/// One statement that changes something.
pub(crate) struct Execute<'s> {
    pub(crate) sql: Meant<'s>,
    pub(crate) params: Params,
}

/// One statement whose rows are wanted.
#[derive(Debug)]
pub struct Query<'s> {
    pub(crate) sql: Meant<'s>,
    pub(crate) params: Params,
}

/// One statement whose rows are read as they come.
pub(crate) struct Select<'s, T> {
    query: Query<'s>,
    into: PhantomData<fn() -> T>,
}

impl<'s, T> Select<'s, T> {
    pub(crate) fn new(sql: impl Into<Meant<'s>>, params: Params) -> Self {
        Self { query: Query { sql: sql.into(), params }, into: PhantomData }
    }
}

/// One statement for each of many sets of parameters.
pub(crate) struct ExecuteMany<'s> {
    pub(crate) sql: &'s str,
    pub(crate) sets: Vec<Params>,
}

/// Statements without parameters.
pub(crate) struct Script<'s> {
    pub(crate) sql: Meant<'s>,
}

impl Job for Execute<'_> {
    type Answer = Done;
    const OP: Op = op::EXECUTE;

    fn effect(&self, engine: &Engine) -> Result<Effect> {
        Ok(engine.known(self.sql)?.effect())
    }

    fn is_repeatable(&self, engine: &Engine) -> Result<bool> {
        engine.is_repeatable(self.sql)
    }

    fn keeps_transaction(&self, engine: &Engine) -> Result<()> {
        engine.keeps_transaction(self.sql)
    }

    async fn run(&self, engine: &Engine, taken: &mut Taken) -> Result<Done> {
        let ready = engine.ready(self.sql, &self.params)?;
        engine.execute(taken, &ready).await
    }
}

impl Job for Query<'_> {
    type Answer = Rows;
    const OP: Op = op::SELECT;

    fn effect(&self, engine: &Engine) -> Result<Effect> {
        Ok(engine.known(self.sql)?.effect())
    }

    fn is_repeatable(&self, engine: &Engine) -> Result<bool> {
        engine.is_repeatable(self.sql)
    }

    fn keeps_transaction(&self, engine: &Engine) -> Result<()> {
        engine.keeps_transaction(self.sql)
    }

    async fn run(&self, engine: &Engine, taken: &mut Taken) -> Result<Rows> {
        let ready = engine.ready(self.sql, &self.params)?;
        engine.query(taken, &ready).await
    }
}

impl<T: FromRow + Send> Job for Select<'_, T> {
    type Answer = Result<Vec<T>>;
    const OP: Op = op::SELECT;

    fn effect(&self, engine: &Engine) -> Result<Effect> {
        self.query.effect(engine)
    }

    fn is_repeatable(&self, engine: &Engine) -> Result<bool> {
        self.query.is_repeatable(engine)
    }

    fn keeps_transaction(&self, engine: &Engine) -> Result<()> {
        self.query.keeps_transaction(engine)
    }

    async fn run(&self, engine: &Engine, taken: &mut Taken) -> Result<Result<Vec<T>>> {
        let ready = engine.ready(self.query.sql, &self.query.params)?;
        engine.select(taken, &ready).await
    }
}

impl Job for ExecuteMany<'_> {
    type Answer = Done;
    const OP: Op = op::EXECUTE_MANY;

    fn effect(&self, engine: &Engine) -> Result<Effect> {
        Ok(engine.known(self.sql)?.effect())
    }

    fn is_repeatable(&self, engine: &Engine) -> Result<bool> {
        engine.is_repeatable(self.sql)
    }

    fn keeps_transaction(&self, engine: &Engine) -> Result<()> {
        engine.keeps_transaction(self.sql)
    }

    async fn run(&self, engine: &Engine, taken: &mut Taken) -> Result<Done> {
        let mut all = Done::default();
        for (position, params) in self.sets.iter().enumerate() {
            let told = |error: Error| error.with_context("set", position + 1);
            let ready = engine.ready(self.sql, params).map_err(told)?;
            let done = engine.execute(taken, &ready).await.map_err(told)?;
            all.affected += done.affected;
            all.last_id = done.last_id.or(all.last_id);
        }
        Ok(all)
    }

    fn is_whole(&self) -> bool {
        true
    }
}

impl Job for Script<'_> {
    type Answer = ();
    const OP: Op = op::EXECUTE_SCRIPT;

    fn effect(&self, _: &Engine) -> Result<Effect> {
        Ok(Effect::Write)
    }

    fn keeps_transaction(&self, engine: &Engine) -> Result<()> {
        engine.script_keeps_transaction(self.sql)
    }

    async fn run(&self, engine: &Engine, taken: &mut Taken) -> Result<()> {
        engine.script(taken, self.sql).await
    }
}
