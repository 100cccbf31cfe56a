//! Looks at how all instances are every so often, so that groups know before a call has to find out.
//!
//! One task for each watch, started and stopped by the reaper. It holds the manager weakly, builds
//! nothing, and asks each instance in a future of its own.

use std::collections::BTreeSet;
use std::fmt;
use std::future::pending;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, select};
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;

use super::{Manager, ManagerCore, closed};
use crate::ambient::later;
use crate::creations::SlotId;
use crate::line::at_latest;
use crate::reaper::{Job, Running};
use crate::sync::Mutex;
use crate::{Clock, Error, ErrorKind, Result, Subsystem};

/// Looks at all instances of a manager every so often, until it is dropped.
#[must_use = "the watch ends as soon as this is dropped: bind it to a name, `let _ =` drops it at once"]
pub struct HealthWatch(Running);

impl HealthWatch {
    /// The shortest time between two rounds.
    pub const EVERY_MIN: Duration = Duration::from_millis(10);

    /// Ends the watch; when this answers, nobody is being asked by it any more.
    pub async fn stop(self) -> Result<()> {
        self.0.stop().await
    }
}

impl<S: Subsystem> Manager<S> {
    /// Asks every instance that is built how it is, now and then about `every` so often, for as long
    /// as the answer is kept.
    ///
    /// Groups that contain an instance learn of each verdict as soon as it is there, and
    /// [`last_health`](Self::last_health) shows it. Each has `limit` to answer; one that hangs is
    /// down, delays no other, and is not asked again before that. The time between two rounds is up
    /// to a tenth shorter or longer than `every`, so that many processes do not ask one service in
    /// step. The watch ends with the manager as well: it keeps none alive.
    ///
    /// ```
    /// # mod counters {
    /// #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/counters/mod.rs"));
    /// # }
    /// # use counters::{fixed, manager};
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> switchboard_core::Result<()> {
    /// let counters = manager()?;
    /// counters.initialise("visits", &fixed(7)).await?;
    /// let watch = counters.watch_health(Duration::from_secs(10), Duration::from_secs(2))?;
    ///
    /// tokio::time::sleep(Duration::from_secs(60)).await;
    /// let age = counters.last_health()[0].age.expect("it was checked");
    /// assert!(age <= Duration::from_secs(11));
    /// watch.stop().await?;
    /// # Ok(()) }
    /// ```
    pub fn watch_health(&self, every: Duration, limit: Duration) -> Result<HealthWatch> {
        if every < HealthWatch::EVERY_MIN || limit.is_zero() {
            let message = "a watch needs some time between two rounds, and drivers some to answer";
            return Err(Error::new(ErrorKind::InvalidInput, message)
                .with_context("every", format_args!("{every:?}"))
                .with_context("every_min", format_args!("{:?}", HealthWatch::EVERY_MIN))
                .with_context("limit", format_args!("{limit:?}")));
        }
        let rounds = Rounds {
            core: Arc::downgrade(&self.0),
            clock: self.0.environment.clock().clone(),
            every,
            limit,
            under_way: BTreeSet::new(),
            probes: FuturesUnordered::new(),
        };
        // Whoever closes says so under the same lock, and finds either nothing or the job.
        let declared = self.0.declared.lock();
        if declared.closed {
            return Err(closed::<S>());
        }
        let over = self.0.watches.over.subscribe();
        let watching = async move {
            select(pin!(is_over(over)), pin!(rounds.run())).await;
        };
        let running = self.0.environment.reaper().run("watch health", watching)?;
        self.0.watches.add(running.job());
        Ok(HealthWatch(running))
    }
}

/// The watches of a manager. They end when it says so, or when it is dropped.
#[derive(Default)]
pub(super) struct Watches {
    over: watch::Sender<bool>,
    jobs: Mutex<Vec<Job>>,
}

impl Watches {
    fn add(&self, job: Job) {
        let mut jobs = self.jobs.lock();
        jobs.retain(|job| !job.has_ended());
        jobs.push(job);
    }

    /// Ends when the manager is being closed.
    pub(super) fn closing(&self) -> impl Future<Output = ()> + Send + use<> {
        is_over(self.over.subscribe())
    }

    /// Ends all of them; when this answers, nobody is being asked any more.
    pub(super) async fn end(&self) {
        self.over.send_replace(true);
        let jobs = std::mem::take(&mut *self.jobs.lock());
        for job in jobs {
            // Its only error is that of a runtime that has ended.
            job.ended().await.ok();
        }
    }
}

/// Ends when the manager says so, or is gone.
async fn is_over(mut over: watch::Receiver<bool>) {
    over.wait_for(|over| *over).await.ok();
}

/// The work of one watch.
struct Rounds<S: Subsystem> {
    core: Weak<ManagerCore<S>>,
    clock: Clock,
    every: Duration,
    limit: Duration,
    /// The instances that have not answered yet.
    under_way: BTreeSet<SlotId>,
    probes: FuturesUnordered<BoxFuture<'static, SlotId>>,
}

impl<S: Subsystem> Rounds<S> {
    async fn run(mut self) {
        while self.begin_round() {
            let next = later(self.clock.now(), self.pause());
            at_latest(next, self.probe()).await;
        }
    }

    /// Asks whoever does not owe an answer from before; `false` once the manager is gone.
    fn begin_round(&mut self) -> bool {
        let Some(core) = self.core.upgrade() else { return false };
        let slots = core.declared.lock().slots.clone();
        let until = later(self.clock.now(), self.limit);
        for slot in slots {
            // Groups learn from their members.
            if slot.is_group || !self.under_way.insert(slot.id) {
                continue;
            }
            self.probes.push(Box::pin(async move {
                slot.health(until).await;
                slot.id
            }));
        }
        true
    }

    /// Lets everybody answer who is asked. Never ends by itself.
    async fn probe(&mut self) {
        while let Some(answered) = self.probes.next().await {
            self.under_way.remove(&answered);
        }
        pending::<()>().await;
    }

    /// The time to the next round: nine to eleven tenths of what was asked for.
    fn pause(&self) -> Duration {
        let tenth = self.every / 10;
        (tenth * 9).saturating_add((tenth * 2).mul_f64(self.clock.fraction()))
    }
}

impl fmt::Debug for HealthWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HealthWatch").field(&self.0).finish()
    }
}
