//! The exchange of drivers that cannot live twice: all old ones are closed, then all new ones opened.
//!
//! It runs to its end whoever goes away, and is undone unless the change it belongs to is committed.
//! Which drivers have to be exchanged, and who may change the instances, is decided elsewhere.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::one_error;
use super::prepared::Turns;
use crate::creations::SlotId;
use crate::line::{Out, Plan, Probe, Slot};
use crate::reaper::Job;
use crate::sync::Mutex;
use crate::{Error, Reaper, Result, Subsystem};

/// An exchange that has begun. Undone when this is dropped before it is settled.
pub(super) struct Exchange<S: Subsystem> {
    work: Arc<Work<S>>,
    job: Job,
    reaper: Reaper,
    turns: Option<Arc<Turns>>,
    is_settled: bool,
}

/// One instance that takes part.
pub(super) struct Part<S: Subsystem> {
    pub(super) slot: Arc<Slot<S>>,
    /// What is opened; `None` for an instance that goes.
    pub(super) next: Option<Plan<S>>,
    /// What there was; `None` for an instance that comes.
    pub(super) before: Option<Plan<S>>,
}

struct Work<S: Subsystem> {
    parts: Vec<Part<S>>,
    progress: Mutex<Progress<S>>,
}

/// How far it has come.
struct Progress<S: Subsystem> {
    /// Those that were taken out, and whether there was a driver in them.
    had_driver: BTreeMap<SlotId, bool>,
    /// Those that are out now. One that goes stays out until it is withdrawn.
    out: BTreeMap<SlotId, Out<S>>,
}

impl<S: Subsystem> Exchange<S> {
    pub(super) fn begin(parts: Vec<Part<S>>, reaper: Reaper, turns: Arc<Turns>) -> Self {
        let progress = Progress { had_driver: BTreeMap::new(), out: BTreeMap::new() };
        let work = Arc::new(Work { parts, progress: Mutex::new(progress) });
        let (limit, working, turn) = (work.limit(), work.clone(), turns.clone());
        let job = reaper.submit("exclusive exchange", limit, async move {
            let _turn = turn;
            working.exchange().await
        });
        Self { work, job, reaper, turns: Some(turns), is_settled: false }
    }

    /// Ends when all have been exchanged, or everything that was is put back.
    pub(super) async fn ended(&self) -> Result<()> {
        self.job.clone().ended().await
    }

    /// Whether the instance of that number has taken part.
    pub(super) fn has(&self, slot: SlotId) -> bool {
        self.work.parts.iter().any(|part| part.slot.id == slot)
    }

    /// It stays as it is.
    pub(super) fn settle(mut self) {
        self.is_settled = true;
    }

    /// Puts everything back that was exchanged.
    pub(super) fn undo(mut self) -> Option<Job> {
        self.begin_undo()
    }

    fn begin_undo(&mut self) -> Option<Job> {
        if std::mem::replace(&mut self.is_settled, true) {
            return None;
        }
        let (work, exchanging, turns) = (self.work.clone(), self.job.clone(), self.turns.take());
        let limit = work.limit().saturating_mul(2);
        Some(self.reaper.submit("undo an exclusive exchange", limit, async move {
            let _turns = turns;
            // One that failed has put back what it had exchanged; one that was stopped has not.
            exchanging.ended().await.ok();
            one_error("not everything was put back", work.put_back().await)
        }))
    }
}

impl<S: Subsystem> Drop for Exchange<S> {
    fn drop(&mut self) {
        drop(self.begin_undo());
    }
}

impl<S: Subsystem> Work<S> {
    async fn exchange(&self) -> Result<()> {
        if let Err(error) = self.try_exchange().await {
            return Err(error.with_related(self.put_back().await));
        }
        self.progress.lock().out.retain(|slot, _| self.goes(*slot));
        Ok(())
    }

    async fn try_exchange(&self) -> Result<()> {
        let emptied = join_all(self.parts.iter().map(|part| self.empty(part))).await;
        one_error("several drivers could not be taken out", errors_of(emptied))?;
        // All at once, because one may wait for another of them while it is built.
        let opening = self.parts.iter().map(|part| self.open(part, part.next.as_ref(), Probe::Yes));
        one_error("several drivers could not be exchanged", errors_of(join_all(opening).await))
    }

    /// Puts the old plans back in force, and then the old drivers where there were any.
    async fn put_back(&self) -> Vec<Error> {
        let touched: Vec<_> = {
            let progress = self.progress.lock();
            self.parts
                .iter()
                .filter(|part| progress.had_driver.contains_key(&part.slot.id))
                .collect()
        };
        let emptied = join_all(touched.iter().map(|part| self.empty(part))).await;
        let mut errors = errors_of(emptied);
        let had_driver = std::mem::take(&mut self.progress.lock().had_driver);
        let opening = touched.into_iter().map(|part| {
            if let Some(before) = &part.before {
                part.slot.put_back(before.clone());
            }
            let had_driver = had_driver.get(&part.slot.id).is_some_and(|had| *had);
            self.open(part, part.before.as_ref().filter(|_| had_driver), Probe::No)
        });
        // All of the old plans are in force before anything of them is opened.
        let opening: Vec<_> = opening.collect();
        errors.extend(errors_of(join_all(opening).await));
        self.progress.lock().out.clear();
        errors
    }

    /// Takes out what serves in the instance, and waits until that has closed.
    async fn empty(&self, part: &Part<S>) -> Result<()> {
        let known = self.progress.lock().out.remove(&part.slot.id);
        let out = match known {
            Some(mut out) => {
                out.empty()?;
                out
            }
            None => part.slot.take_out().await?,
        };
        self.progress.lock().had_driver.entry(part.slot.id).or_insert(out.had_driver());
        let closing = out.closing();
        self.progress.lock().out.insert(part.slot.id, out);
        if let Some(closing) = closing {
            // That the old one did not close well is no reason not to open the new one.
            closing.ended().await.ok();
        }
        Ok(())
    }

    async fn open(&self, part: &Part<S>, plan: Option<&Plan<S>>, probe: Probe) -> Result<()> {
        let Some(plan) = plan else { return Ok(()) };
        let is_swap = self.progress.lock().had_driver.get(&part.slot.id).is_none_or(|had| *had);
        part.slot.open_where_out(plan.clone(), probe, is_swap).await
    }

    fn goes(&self, slot: SlotId) -> bool {
        self.parts.iter().any(|part| part.slot.id == slot && part.next.is_none())
    }

    fn limit(&self) -> Duration {
        let plans = self.parts.iter().flat_map(|part| {
            part.next.iter().chain(&part.before).map(|plan| part.slot.exchange_limit(plan))
        });
        plans.fold(Duration::from_secs(1), Duration::saturating_add)
    }
}

fn errors_of(results: Vec<Result<()>>) -> Vec<Error> {
    results.into_iter().filter_map(Result::err).collect()
}
