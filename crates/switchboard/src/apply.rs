//! One configuration in the place of another: all of it, or nothing.
//!
//! Every manager prepares what it has to build, beside what serves. Only when all of them are ready
//! does anything change, and what changes then cannot fail.

use std::sync::{Arc, PoisonError};

use futures_util::future::join_all;
use switchboard_core::{Committed, Error, Result};

use crate::Switchboard;
use crate::board::Core;
use crate::difference::Difference;
use crate::wanted::Wanted;
use crate::wired::{Ready, manager_of};

impl Core {
    /// Makes the board what `wanted` says. The caller holds the right to change it.
    pub(crate) async fn apply(
        &self,
        wanted: Wanted,
        difference: Difference,
    ) -> Result<Vec<Committed>> {
        let preparing = difference.steps.into_iter().filter_map(|(subsystem, steps)| {
            Some(manager_of(&self.wired, subsystem)?.prepare(steps))
        });
        let mut ready = all_or_none(join_all(preparing).await).await?;
        for at in 0..ready.len() {
            if let Err(error) = ready[at].exchange_exclusive().await {
                return Err(with_errors_of(error, abandon(ready).await));
            }
        }
        let committed = ready.into_iter().map(Ready::commit).collect();
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(wanted);
        Ok(committed)
    }
}

impl Switchboard {
    /// Connects what is eager. One that cannot be reached is told and tried again by its first call.
    pub(crate) async fn connect(&self, eager: &[String]) {
        for (instance, error) in self.ensure(eager).await {
            tracing::warn!(instance, %error, "an eager instance could not be connected yet");
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
    Err(match errors.len() {
        1 => errors.remove(0),
        _ => Error::joined("several instances could not be made ready", errors),
    })
}

async fn abandon(ready: Vec<Box<dyn Ready>>) -> Vec<Error> {
    let abandoned = join_all(ready.into_iter().map(Ready::abandon)).await;
    abandoned.into_iter().filter_map(Result::err).collect()
}

fn with_errors_of(error: Error, others: Vec<Error>) -> Error {
    if others.is_empty() { error } else { error.with_related(others) }
}
