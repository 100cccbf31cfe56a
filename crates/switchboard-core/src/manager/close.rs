//! The end of all instances: in reverse order, within a deadline, once.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::{Manager, ManagerCore};
use crate::ambient::{self, Ambient, later};
use crate::line::{Slot, at_latest};
use crate::panics::contained;
use crate::sync::Mutex;
use crate::{Error, ErrorKind, Result, Subsystem};

/// How closing went.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CloseReport {
    /// The instances that had a driver and closed as they should, in the order in which they did.
    /// Groups and instances that were never built are not among them: there was nothing to close.
    pub closed: Vec<String>,
    /// Every error, each with the instance it belongs to; also those of drivers that a swap had
    /// taken out and that were still on their way.
    pub errors: Vec<Error>,
    /// Asked from inside the closing itself, which is still going on.
    pub is_under_way: bool,
}

impl CloseReport {
    fn under_way() -> Self {
        Self { closed: Vec::new(), errors: Vec::new(), is_under_way: true }
    }

    /// One error for all, or none.
    pub fn into_result(self) -> Result<()> {
        match self.errors.len() {
            0 => Ok(()),
            _ => Err(Error::joined("not every instance closed", self.errors)),
        }
    }
}

/// The one run of closing, and its report once there is one.
#[derive(Default)]
pub(super) struct Closing(Mutex<Option<watch::Receiver<Option<CloseReport>>>>);

/// The closing of one instance, with its position in the order.
type Run<'r> = (usize, Pin<Box<dyn Future<Output = (String, Result<bool>)> + Send + 'r>>);

impl<S: Subsystem> Manager<S> {
    /// Closes every instance, within `limit`, and lets no new one come. Watches of their health end
    /// first.
    ///
    /// The last one created is closed first, and none before those that were built with its help.
    /// All are tried: one that hangs takes its share of the time and is reported by name, one that
    /// panics is an error. Calls under way are waited for, half of the time at most; the rest is for
    /// closing. Drivers that a swap has taken out and that still drain are waited for as well, and
    /// so is what is being built, unless that waits for this closing. Closing again, or at the same time, gives the report of the one
    /// run; the run goes on if its caller goes away. Asked from inside a driver's own `close`, also
    /// through the closing of another manager of the environment, it answers at once that closing is
    /// under way.
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
    /// counters.configure("visits", &fixed(7))?;
    /// counters.configure("unused", &fixed(0))?;
    /// let visits = counters.get("visits").await?;
    ///
    /// let report = counters.close(Duration::from_secs(10)).await;
    /// assert_eq!(report.closed, ["visits"]);
    /// report.into_result()?;
    /// assert!(visits.read().await.is_err());
    /// # Ok(()) }
    /// ```
    pub async fn close(&self, limit: Duration) -> CloseReport {
        let around = ambient::current();
        let mut waiting = Vec::new();
        for asking in [around.closing, around.creating].into_iter().filter(|asking| *asking != 0) {
            match self.0.environment.creations().wait_for_closing(asking, self.0.id) {
                Some(waits) => waiting.push(waits),
                None => return CloseReport::under_way(),
            }
        }
        let mut report = self.closing_run(limit);
        match report.wait_for(Option::is_some).await.map(|report| report.clone()) {
            Ok(Some(report)) => report,
            _ => CloseReport {
                closed: Vec::new(),
                errors: vec![Error::new(ErrorKind::Cancelled, "the runtime ended while closing")],
                is_under_way: false,
            },
        }
    }

    fn closing_run(&self, limit: Duration) -> watch::Receiver<Option<CloseReport>> {
        let mut run = self.0.closing.0.lock();
        if let Some(report) = &*run {
            return report.clone();
        }
        let (sender, receiver) = watch::channel(None);
        *run = Some(receiver.clone());
        let core = self.0.clone();
        let until = later(core.environment.clock().now(), limit);
        let reaper = self.0.environment.reaper();
        drop(reaper.submit("close all instances", limit.saturating_add(GRACE), async move {
            let inside = Ambient { closing: core.id, ..Ambient::default() };
            let report = ambient::scope(inside, core.close_all(until)).await;
            sender.send_replace(Some(report));
            Ok(())
        }));
        receiver
    }
}

impl<S: Subsystem> ManagerCore<S> {
    async fn close_all(&self, until: Instant) -> CloseReport {
        self.declared.lock().closed = true;
        let clock = self.environment.clock();
        let now = clock.now();
        // Ends at once, unless a driver blocks the thread that asks it how it is.
        let half = now + until.saturating_duration_since(now) / 2;
        at_latest(half, self.watches.end()).await;
        let order = self.in_closing_order();
        let mut report =
            CloseReport { closed: Vec::new(), errors: Vec::new(), is_under_way: false };
        let mut running: Vec<Run<'_>> = Vec::new();
        for (position, slot) in order.iter().enumerate() {
            running.push((position, Box::pin(close_one(slot, until))));
            let left = u32::try_from(order.len() - position).unwrap_or(u32::MAX);
            let share = until.saturating_duration_since(clock.now()) / left;
            // Whoever overruns its share is not waited for any longer, but goes on beside the rest.
            let next = finish(&mut running, &mut report, position);
            at_latest(later(clock.now(), share), next).await;
        }
        finish(&mut running, &mut report, 0).await;
        report
    }

    /// The last created first, but none before those that depend on it.
    fn in_closing_order(&self) -> Vec<Arc<Slot<S>>> {
        let mut left = {
            let declared = self.declared.lock();
            let beginning = declared.beginning.iter().map(|beginning| beginning.slot.clone());
            let removed = declared.removed.iter().filter(|slot| slot.is_leaving()).cloned();
            declared.slots.iter().cloned().chain(beginning).chain(removed).collect::<Vec<_>>()
        };
        left.sort_by_key(|slot| std::cmp::Reverse(slot.created_as()));
        let creations = self.environment.creations();
        let mut order = Vec::with_capacity(left.len());
        while !left.is_empty() {
            let is_free = |slot: &Arc<Slot<S>>| {
                left.iter()
                    .all(|other| other.id == slot.id || !creations.depends_on(other.id, slot.id))
            };
            // Look-ups after creation can make a circle; then the order of creation decides.
            let next = left.iter().position(is_free).unwrap_or(0);
            order.push(left.remove(next));
        }
        order
    }
}

async fn close_one<S: Subsystem>(slot: &Slot<S>, until: Instant) -> (String, Result<bool>) {
    let result = match contained(slot.close(until)).await {
        Ok(result) => result,
        Err(panic) => Err(panic.into_error("close").at(|| slot.place(None, "close"))),
    };
    (slot.name.to_string(), result)
}

/// Runs them all, until none from position `first` on is running.
async fn finish(running: &mut Vec<Run<'_>>, report: &mut CloseReport, first: usize) {
    poll_fn(|context| {
        running.retain_mut(|(_, run)| match run.as_mut().poll(context) {
            Poll::Pending => true,
            Poll::Ready((instance, Ok(was_built))) => {
                report.closed.extend(was_built.then_some(instance));
                false
            }
            Poll::Ready((_, Err(error))) => {
                report.errors.push(error);
                false
            }
        });
        let is_done = running.iter().all(|(position, _)| *position < first);
        if is_done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

impl fmt::Display for CloseReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} closed, {} failed", self.closed.len(), self.errors.len())
    }
}

/// What the run itself may take on top of the limit, to report what overran it.
const GRACE: Duration = Duration::from_secs(1);
