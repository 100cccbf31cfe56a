//! What follows from decisions in the books, done once their lock is given back.

use std::future::Future;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use switchboard_core::{Error, Result};
use tokio::sync::oneshot;

use super::Shared;
use super::books::{Books, Grant};
use super::connect::Attempt;
use super::link::Link;
use super::taken::Taken;
use super::tidying::Tidying;
use crate::Connection;

pub(super) type Answer = oneshot::Sender<Result<Taken>>;

#[derive(Default)]
pub(super) struct Errands {
    /// Waiters whose turn it is.
    pub(super) grants: Vec<(Answer, Grant)>,
    /// Waiters who get nothing.
    pub(super) refusals: Vec<(Answer, Error)>,
    /// Connections to make, each after so long.
    pub(super) connects: Vec<Duration>,
    /// Connections that say goodbye.
    pub(super) closes: Vec<Box<dyn Connection>>,
    /// Connections that are asked whether they are still there.
    pub(super) pings: Vec<Arc<Link>>,
    /// Who has had a connection for long, and since when.
    pub(super) leaks: Vec<(&'static Location<'static>, Duration)>,
    /// Who has given back one that was told of as leaked.
    pub(super) returns: Vec<(&'static Location<'static>, Duration)>,
}

impl Errands {
    pub(super) fn is_empty(&self) -> bool {
        self.grants.is_empty()
            && self.refusals.is_empty()
            && self.connects.is_empty()
            && self.closes.is_empty()
            && self.pings.is_empty()
            && self.leaks.is_empty()
            && self.returns.is_empty()
    }

    pub(super) fn run(self, shared: &Arc<Shared>) {
        for (answer, grant) in self.grants {
            // A waiter who has just gone gives it back by dropping it.
            drop(answer.send(Ok(Taken::new(shared.clone(), grant))));
        }
        for (answer, error) in self.refusals {
            drop(answer.send(Err(error)));
        }
        for delay in self.connects {
            Attempt::start(shared, delay);
        }
        for connection in self.closes {
            let leaving = Leaving(shared.clone());
            shared.submit("close a connection", async move {
                let _leaving = leaving;
                connection.close().await
            });
        }
        for link in self.pings {
            Tidying::ping(shared, link);
        }
        tell(shared, &self.leaks, &self.returns);
    }
}

impl Shared {
    /// Has a short job done, whatever becomes of the caller.
    pub(super) fn submit(
        &self,
        what: &'static str,
        job: impl Future<Output = Result<()>> + Send + 'static,
    ) {
        drop(self.reaper.submit(what, JOB_MAX, job));
    }
}

/// A connection that is out of the books, until it is closed or the job is dropped.
struct Leaving(Arc<Shared>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.change(Books::left);
    }
}

type Held = (&'static Location<'static>, Duration);

fn tell(shared: &Shared, leaks: &[Held], returns: &[Held]) {
    let instance = &shared.instance;
    for (place, age) in leaks {
        tracing::warn!(%instance, %place, ?age, "a connection has been in use for long");
    }
    for (place, age) in returns {
        tracing::info!(%instance, %place, ?age, "a connection that was in use for long is back");
    }
}

/// How long closing, cleaning or asking a connection may take.
pub(super) const JOB_MAX: Duration = Duration::from_secs(1);
