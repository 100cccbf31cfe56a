//! The end of a board: what runs beside it, then its parts, then its instances; once.
//!
//! The order and the shares of the time are decided here. How a part is closed is in `parts`, how
//! instances are in their managers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use switchboard_core::{CloseReport, Deadline, Error, ErrorKind, HealthWatch};
use tokio::sync::watch;

use crate::Switchboard;
use crate::board::Core;

/// The one run of closing, once there is one.
#[derive(Default)]
pub(crate) struct Closing(Mutex<Option<watch::Receiver<Stage>>>);

/// How far closing has come.
#[derive(Clone)]
enum Stage {
    /// Jobs and parts are being closed.
    Parts,
    /// Instances are being closed, until that moment.
    Instances(Instant),
    Done(CloseReport),
}

tokio::task_local! {
    /// The boards whose parts are closed by what runs now, by the places of their cores.
    static AROUND: Vec<usize>;
}

impl Switchboard {
    /// Closes everything within `limit`: first what runs beside the board, then the parts, the last
    /// one that joined first, then all instances. Nothing new comes.
    ///
    /// Parts share one half of the time, so that one that hangs takes nothing from the instances; how
    /// is said at [`Part::close`](crate::Part::close).
    /// The report calls instances by their full names, and lists the parts before them.
    ///
    /// Closing again, or at the same time, gives the report of the one run, whose limit is that of
    /// the first caller; the run goes on if its callers go away. Asked from inside a part or a driver
    /// that is being closed, it answers at once that closing is under way.
    ///
    /// ```
    /// use std::time::Duration;
    /// use switchboard::Switchboard;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> switchboard::Result<()> {
    /// let board = Switchboard::builder().build().await?;
    /// board.cache("main")?.forever("user-7", "Ada").await?;
    /// board.join("server", || async { Ok(()) })?;
    ///
    /// let report = board.close(Duration::from_secs(10)).await;
    /// assert_eq!(report.closed, ["server", "cache.main"]);
    /// report.into_result()
    /// # }
    /// ```
    pub async fn close(&self, limit: Duration) -> CloseReport {
        if is_inside(&self.0) {
            return under_way();
        }
        let mut run = self.closing_run(limit);
        let Some(until) = beginning_of_instances(&mut run).await else {
            return report(&mut run).await;
        };
        // Each caller asks the managers too: only they know of a caller that they wait for.
        let joined = self.0.close_instances(until).await;
        if joined.is_under_way { joined } else { report(&mut run).await }
    }

    /// Lets the one run of closing begin, if it has not yet; nobody has to wait for it.
    pub(crate) fn begin_closing(&self, limit: Duration) {
        drop(self.closing_run(limit));
    }

    fn closing_run(&self, limit: Duration) -> watch::Receiver<Stage> {
        let mut run = self.0.closing.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(run) = &*run {
            return run.clone();
        }
        let (tell, told) = watch::channel(Stage::Parts);
        *run = Some(told.clone());
        let core = self.0.clone();
        let until = Deadline::within(core.environment.clock(), limit).moment();
        let reaper = self.0.environment.reaper();
        drop(reaper.submit("close the board", limit.saturating_add(GRACE), async move {
            let report = core.close_all(until, &tell).await;
            tell.send_replace(Stage::Done(report));
            Ok(())
        }));
        told
    }
}

impl Core {
    async fn close_all(
        self: &Arc<Self>,
        until: Instant,
        tell: &watch::Sender<Stage>,
    ) -> CloseReport {
        let clock = self.environment.clock();
        let half = || clock.now() + until.saturating_duration_since(clock.now()) / 2;
        self.end_what_runs_beside(half()).await;
        let parts = AROUND.scope(inside(self), self.parts.close(clock, half())).await;
        tell.send_replace(Stage::Instances(until));
        let instances = self.close_instances(until).await;
        let mut report = CloseReport::default();
        report.closed = [parts.closed, instances.closed].concat();
        report.errors = [parts.errors, instances.errors].concat();
        report
    }

    /// All jobs end at once, unless one blocks its thread.
    async fn end_what_runs_beside(&self, until: Instant) {
        self.looking.end();
        let watches =
            std::mem::take(&mut *self.watches.lock().unwrap_or_else(PoisonError::into_inner));
        let watches = join_all(watches.into_iter().map(HealthWatch::stop));
        let left = until.saturating_duration_since(self.environment.clock().now());
        tokio::time::timeout(left, join(self.jobs.end_all(), watches)).await.ok();
    }

    /// Closes the instances of all managers, or waits until somebody else has.
    async fn close_instances(&self, until: Instant) -> CloseReport {
        let left = until.saturating_duration_since(self.environment.clock().now());
        let closing = self
            .wired
            .iter()
            .map(|manager| async move { (manager.subsystem(), manager.close(left).await) });
        let mut report = CloseReport::default();
        for (subsystem, of_manager) in join_all(closing).await {
            let closed = of_manager.closed.iter().map(|name| format!("{subsystem}.{name}"));
            report.closed.extend(closed);
            report.errors.extend(of_manager.errors);
            report.is_under_way |= of_manager.is_under_way;
        }
        report
    }
}

/// The moment until which instances are closed, when it is their turn; nothing if they are closed,
/// or nobody closes them any more.
async fn beginning_of_instances(run: &mut watch::Receiver<Stage>) -> Option<Instant> {
    let stage = run.wait_for(|stage| !matches!(stage, Stage::Parts)).await.ok()?;
    match *stage {
        Stage::Instances(until) => Some(until),
        Stage::Parts | Stage::Done(_) => None,
    }
}

async fn report(run: &mut watch::Receiver<Stage>) -> CloseReport {
    match run.wait_for(|stage| matches!(stage, Stage::Done(_))).await.as_deref() {
        Ok(Stage::Done(report)) => report.clone(),
        _ => given_up(),
    }
}

#[cold]
fn given_up() -> CloseReport {
    let mut report = CloseReport::default();
    report.errors.push(
        Error::new(ErrorKind::Cancelled, "closing was given up")
            .with_hint("close the board while its runtime runs, and block no thread of that"),
    );
    report
}

fn under_way() -> CloseReport {
    let mut report = CloseReport::default();
    report.is_under_way = true;
    report
}

fn is_inside(core: &Arc<Core>) -> bool {
    AROUND.try_with(|around| around.contains(&place(core))).unwrap_or(false)
}

/// The boards that are being closed around this one, and this one.
fn inside(core: &Arc<Core>) -> Vec<usize> {
    let mut around = AROUND.try_with(Clone::clone).unwrap_or_default();
    around.push(place(core));
    around
}

fn place(core: &Arc<Core>) -> usize {
    Arc::as_ptr(core).addr()
}

/// What the run itself may take on top of the limit, to report what overran it.
const GRACE: Duration = Duration::from_secs(2);
