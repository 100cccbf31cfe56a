//! One configuration in the place of another: all of it, or nothing.
//!
//! Every manager prepares what it has to build, beside what serves. Only when all of them are ready
//! does anything change, and what changes then cannot fail. Instances that are new are declared
//! before that, because what is built may need them; nobody knows them yet, and if the rest fails
//! they are taken back.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use switchboard_core::{Committed, Error, Job, Reaper, Result};
use tokio::sync::oneshot;

use crate::Switchboard;
use crate::board::Core;
use crate::difference::Difference;
use crate::reload::Turn;
use crate::wanted::Wanted;
use crate::wired::{Ready, Step, Wired, manager_of};

/// What each manager has to do.
type Steps = BTreeMap<&'static str, Vec<Step>>;

impl Core {
    /// Makes the board what `wanted` says. When this answers it was all done in that moment, so
    /// whoever is dropped before knows that nothing was.
    pub(crate) async fn apply(
        &self,
        turn: &Turn,
        wanted: Wanted,
        mut difference: Difference,
    ) -> Result<Vec<Committed>> {
        let additions = self.add_first(turn, difference.take_additions(&self.wired)).await?;
        match self.change(difference.steps).await {
            Ok(committed) => {
                *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(wanted);
                Ok(additions.kept().into_iter().chain(committed).collect())
            }
            Err(error) => Err(with_errors_of(error, additions.taken_back().await)),
        }
    }

    async fn add_first(&self, turn: &Turn, steps: Steps) -> Result<Additions> {
        let of_manager = |(subsystem, steps): (&&'static str, &Vec<Step>)| {
            let declared = steps.iter().filter_map(Step::declared);
            let names = declared.map(|(name, _)| name.to_owned()).collect();
            Some((manager_of(&self.wired, subsystem)?.clone(), names))
        };
        let of_managers = steps.iter().filter_map(of_manager).collect();
        let committed = self.change(steps).await?;
        let (reaper, turn) = (self.environment.reaper().clone(), turn.clone());
        Ok(Additions { of_managers, committed, reaper, turn })
    }

    async fn change(&self, steps: Steps) -> Result<Vec<Committed>> {
        let preparing = steps.into_iter().filter_map(|(subsystem, steps)| {
            Some(manager_of(&self.wired, subsystem)?.prepare(steps))
        });
        let ready = exchanged(all_or_none(join_all(preparing).await).await?).await?;
        if let Err(closed) = self.refuse_if_closed() {
            return Err(with_errors_of(closed, abandon(ready).await));
        }
        Ok(ready.into_iter().map(Ready::commit).inspect(tell_errors).collect())
    }
}

impl Switchboard {
    /// Connects what is eager. One that cannot be reached is told and tried again by its first call.
    pub(crate) async fn connect(&self, eager: &[String]) {
        for (instance, error) in self.ensure(eager).await {
            tracing::warn!(instance, %error, "an eager instance could not be connected yet");
        }
    }

    /// The same beside whoever asks, until the board is closed.
    pub(crate) fn connect_beside(&self, eager: Vec<String>) {
        if eager.is_empty() {
            return;
        }
        let core = Arc::downgrade(&self.0);
        let (tell, told) = oneshot::channel();
        let job = async move {
            // The job is forgotten when it has ended, for which it has to know its number.
            let Ok(number) = told.await else { return };
            let Some(board) = core.upgrade().map(Self) else { return };
            board.connect(&eager).await;
            board.0.jobs.end(number);
        };
        match self.0.jobs.start(self.0.environment.reaper(), "connect what is eager", job) {
            Ok(number) => drop(tell.send(number)),
            Err(error) => tracing::warn!(%error, "what is eager is left to its first call"),
        }
    }

    /// Builds what nobody has built yet, all at the same time; the answer is what could not be.
    pub(crate) async fn ensure(&self, instances: &[String]) -> Vec<(String, Error)> {
        let building = instances.iter().map(|instance| async move {
            Some((instance.clone(), self.connect_instance(instance).await.err()?))
        });
        join_all(building).await.into_iter().flatten().collect()
    }
}

/// Instances that are declared ahead of the rest of a change. Unless they are kept they are taken
/// back, also when this is dropped; nobody else changes the board before they are gone.
struct Additions {
    of_managers: Vec<(Arc<dyn Wired>, Vec<String>)>,
    committed: Vec<Committed>,
    reaper: Reaper,
    turn: Turn,
}

impl Additions {
    fn kept(mut self) -> Vec<Committed> {
        self.of_managers.clear();
        std::mem::take(&mut self.committed)
    }

    /// The answer is what went wrong on the way.
    async fn taken_back(mut self) -> Vec<Error> {
        match self.take_back() {
            Some(job) => job.ended().await.err().into_iter().collect(),
            None => Vec::new(),
        }
    }

    fn take_back(&mut self) -> Option<Job> {
        let of_managers = std::mem::take(&mut self.of_managers);
        if of_managers.is_empty() {
            return None;
        }
        let turn = self.turn.clone();
        Some(self.reaper.submit("take back new instances", TAKE_BACK_LIMIT, async move {
            let removing = of_managers.iter().map(|(manager, names)| async move {
                let removals = names.iter().cloned().map(Step::Remove).collect();
                Ok(manager.prepare(removals).await?.commit())
            });
            let removed: Vec<Result<Committed>> = join_all(removing).await;
            drop(turn);
            let closing = removed.into_iter().map(|removed| async { removed?.closed().await });
            let errors = join_all(closing).await.into_iter().filter_map(Result::err).collect();
            one_of("new instances could not be taken back", errors).map_or(Ok(()), Err)
        }))
    }
}

impl Drop for Additions {
    fn drop(&mut self) {
        drop(self.take_back());
    }
}

/// What all managers have prepared; if one could not, the others give up what they have.
async fn all_or_none(prepared: Vec<Result<Box<dyn Ready>>>) -> Result<Vec<Box<dyn Ready>>> {
    let (mut ready, mut errors) = (Vec::new(), Vec::new());
    for prepared in prepared {
        match prepared {
            Ok(prepared) => ready.push(prepared),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() {
        return Ok(ready);
    }
    errors.extend(abandon(ready).await);
    one_of("several instances could not be made ready", errors).map_or(Ok(Vec::new()), Err)
}

/// The same after the exchange of drivers that cannot live twice, one manager after the other; if one
/// fails, all give up what they have.
async fn exchanged(ready: Vec<Box<dyn Ready>>) -> Result<Vec<Box<dyn Ready>>> {
    let (mut exchanged, mut waiting) = (Vec::with_capacity(ready.len()), ready.into_iter());
    while let Some(next) = waiting.next() {
        match next.exchange_exclusive().await {
            Ok(next) => exchanged.push(next),
            Err(error) => {
                exchanged.extend(waiting);
                return Err(with_errors_of(error, abandon(exchanged).await));
            }
        }
    }
    Ok(exchanged)
}

async fn abandon(ready: Vec<Box<dyn Ready>>) -> Vec<Error> {
    let abandoned = join_all(ready.into_iter().map(Ready::abandon)).await;
    abandoned.into_iter().filter_map(Result::err).collect()
}

/// What is committed counts, and what of it did not come about is told beside it.
fn tell_errors(committed: &Committed) {
    for error in committed.errors() {
        tracing::warn!(%error, "a part of a change did not come about");
    }
}

pub(crate) fn one_of(message: &'static str, mut errors: Vec<Error>) -> Option<Error> {
    match errors.len() {
        0 | 1 => errors.pop(),
        _ => Some(Error::joined(message, errors)),
    }
}

fn with_errors_of(error: Error, others: Vec<Error>) -> Error {
    if others.is_empty() { error } else { error.with_related(others) }
}

/// How long it may take until new instances are gone whose change failed, with their drivers.
const TAKE_BACK_LIMIT: Duration = Duration::from_mins(1);
