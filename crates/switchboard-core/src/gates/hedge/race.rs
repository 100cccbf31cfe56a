//! The attempts that run beside the first one, and when the next one is due.
//!
//! Keeps them, and decides nothing about them: who has won, and what a loser costs, is the chain's.

use std::future::Future;
use std::pin::Pin;
use std::task::Context;
use std::time::{Duration, Instant};

use tokio::task::coop::{Unconstrained, unconstrained};
use tokio::time::Sleep;

use crate::gates::{Breaker, BreakerPermit, Permit, Withdrawal};
use crate::{Clock, Error};

/// How long an attempt may go without an answer, and how many others may be started beside it.
#[derive(Clone, Copy, Debug)]
pub(in crate::gates) struct Hedge {
    pub(in crate::gates) after: Duration,
    pub(in crate::gates) max: u32,
}

/// What runs beside the first attempt, and what has become of it so far.
pub(in crate::gates) struct Race<'g, Fut> {
    pub(in crate::gates) rivals: Vec<Rival<'g, Fut>>,
    /// Why the first attempt failed, while others were still running.
    pub(in crate::gates) first_error: Option<Error>,
    /// Why others failed.
    pub(in crate::gates) errors: Vec<Error>,
    pub(in crate::gates) finish: Finish,
    /// How many may still be started.
    left: u32,
    after: Duration,
    timer: Pin<Box<Unconstrained<Sleep>>>,
}

/// An attempt beside the first one, with all that its gates gave it.
pub(in crate::gates) struct Rival<'g, Fut> {
    // Fields are dropped in this order: what it holds is free only when it does nothing any more.
    pub(in crate::gates) attempt: Pin<Box<Fut>>,
    pub(in crate::gates) leave: Option<BreakerPermit<&'g Breaker>>,
    pub(in crate::gates) permit: Option<Permit<'g>>,
    pub(in crate::gates) withdrawal: Option<Withdrawal>,
    pub(in crate::gates) began: Instant,
}

/// Whose result an attempt with others beside it came to.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::gates) enum Finish {
    /// That of the first one, while the others had failed or were running.
    #[default]
    First,
    /// That of another one, which has been running since then.
    Hedge { since: Instant },
    /// All have failed, and what each came to has been told to the gates.
    Nobody,
}

impl<Fut> Race<'_, Fut> {
    /// Nothing runs yet beside an attempt that began at `began`.
    pub(in crate::gates) fn new(hedge: Hedge, began: Instant, clock: &Clock) -> Self {
        Self {
            rivals: Vec::new(),
            first_error: None,
            errors: Vec::new(),
            finish: Finish::First,
            left: hedge.max,
            after: hedge.after,
            timer: Box::pin(timer(began, hedge.after, clock)),
        }
    }

    /// Whether another attempt is to be started now. Says so once for each.
    pub(in crate::gates) fn is_due(&mut self, clock: &Clock, context: &mut Context<'_>) -> bool {
        if self.left == 0 || self.timer.as_mut().poll(context).is_pending() {
            return false;
        }
        self.left -= 1;
        if self.left > 0 {
            self.timer.set(timer(clock.now(), self.after, clock));
        }
        true
    }

    /// The error of the first one, once there is none left that could answer.
    pub(in crate::gates) fn lost(&mut self) -> Option<Error> {
        if !self.rivals.is_empty() {
            return None;
        }
        let error = self.first_error.take()?;
        self.finish = Finish::Nobody;
        Some(error.with_related(self.errors.drain(..)))
    }
}

fn timer(since: Instant, after: Duration, clock: &Clock) -> Unconstrained<Sleep> {
    // What runs may have used up the task's budget; a hedge is for what does not come to an end.
    unconstrained(clock.sleep_until(crate::ambient::later(since, after)))
}
