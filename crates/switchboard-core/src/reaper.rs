//! Does what a drop still has to do, what must go on when its caller has gone, and what goes on
//! until it is stopped.
//!
//! Rust has no asynchronous drop. Closing a half-built driver, rolling back, giving up a lock: each
//! goes here as a job with a limit. What has no end of its own runs for as long as its guard lives.
//! The one place that starts tasks; whoever closes waits for them.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

use crate::panics::{Panicked, contained};
use crate::{Error, ErrorKind, Result};

/// The owner of every task the product starts. Cheap to clone; clones are the same reaper.
#[derive(Clone)]
pub struct Reaper(Arc<Inner>);

struct Inner {
    /// Where jobs run that are handed in by a drop outside of any runtime.
    runtime: OnceLock<Handle>,
    pending: watch::Sender<usize>,
    running: AtomicUsize,
    done: AtomicU64,
    failed: AtomicU64,
    abandoned: AtomicU64,
}

/// What the reaper has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReaperFigures {
    /// Jobs under way.
    pub pending: usize,
    /// What runs until it is stopped.
    pub running: usize,
    /// Jobs that ended well.
    pub done: u64,
    /// Jobs that ended with an error or a panic, and what was to run on and panicked.
    pub failed: u64,
    /// Jobs that overran their limit, found no runtime or no room.
    pub abandoned: u64,
}

impl Reaper {
    /// How many jobs may be under way; what comes on top is abandoned, and counted.
    pub const JOBS_MAX: usize = 10_000;

    /// How much may run until it is stopped; what comes on top is refused.
    pub const RUNNING_MAX: usize = 1_000;

    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            runtime: OnceLock::new(),
            pending: watch::Sender::new(0),
            running: AtomicUsize::new(0),
            done: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
        }))
    }

    /// Runs `job` to its end or to `limit`, whatever becomes of the caller.
    ///
    /// Needs a runtime with its clock enabled: the one it is called in, else the one the environment
    /// was first used in.
    /// Without any the job is dropped and counted as abandoned. The answer can be awaited, or not.
    pub fn submit(
        &self,
        what: &'static str,
        limit: Duration,
        job: impl Future<Output = Result<()>> + Send + 'static,
    ) -> Job {
        let (sender, receiver) = watch::channel(None);
        let Some((runtime, place)) = self.admit() else {
            let error = Error::new(ErrorKind::Unavailable, "the clean-up could not be started")
                .with_context("job", what);
            sender.send_replace(Some(Err(error)));
            return Job(receiver);
        };
        drop(runtime.spawn(async move {
            let ended = tokio::time::timeout(limit, contained(job)).await;
            place.leave(&ended);
            sender.send_replace(Some(match ended {
                Ok(Ok(result)) => result,
                Ok(Err(panic)) => Err(panic.into_error(what)),
                Err(_) => Err(Error::new(ErrorKind::Timeout, "the clean-up overran its limit")
                    .with_context("job", what)
                    .with_context("limit", format_args!("{limit:?}"))),
            }));
        }));
        Job(receiver)
    }

    /// Runs `work` until it ends or the answer is dropped, whichever comes first.
    ///
    /// For what has no end of its own, such as looking at something every few seconds. When it is
    /// stopped, `work` is dropped at the await where it is. Whoever starts it stops it, so
    /// [`idle`](Self::idle) does not wait for it. Needs a runtime as [`submit`](Self::submit) does;
    /// without any, or when [`RUNNING_MAX`](Self::RUNNING_MAX) run already, that is an error.
    ///
    /// ```
    /// use switchboard_core::Environment;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> switchboard_core::Result<()> {
    /// let reaper = Environment::new().reaper().clone();
    /// let running = reaper.run("wait for ever", std::future::pending())?;
    /// assert_eq!(reaper.figures().running, 1);
    ///
    /// running.stop().await?;
    /// assert_eq!(reaper.figures().running, 0);
    /// # Ok(()) }
    /// ```
    pub fn run(
        &self,
        what: &'static str,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> Result<Running> {
        let refused =
            |message| Error::new(ErrorKind::Unavailable, message).with_context("job", what);
        let runtime = self.runtime();
        let runtime = runtime.ok_or_else(|| refused("there is no runtime for it to run in"))?;
        let place = RunningPlace::taken(self).ok_or_else(|| refused("too much runs already"))?;
        let (stop, stopped) = oneshot::channel();
        let (sender, receiver) = watch::channel(None);
        drop(runtime.spawn(async move {
            let ended = unless_stopped(stopped, work).await;
            if ended.is_err() {
                place.0.0.failed.fetch_add(1, Ordering::Relaxed);
            }
            // Given back first, so that who waited for the end finds the place free.
            drop(place);
            sender.send_replace(Some(ended.map_err(|panic| panic.into_error(what))));
        }));
        Ok(Running { stop, job: Job(receiver) })
    }

    /// What has been done so far.
    pub fn figures(&self) -> ReaperFigures {
        ReaperFigures {
            pending: *self.0.pending.borrow(),
            running: self.0.running.load(Ordering::Relaxed),
            done: self.0.done.load(Ordering::Relaxed),
            failed: self.0.failed.load(Ordering::Relaxed),
            abandoned: self.0.abandoned.load(Ordering::Relaxed),
        }
    }

    /// Ends when no job is under way, or at `deadline` with an error that counts those left.
    pub async fn idle(&self, deadline: Instant) -> Result<()> {
        let mut pending = self.0.pending.subscribe();
        let deadline = tokio::time::Instant::from_std(deadline);
        let waited = tokio::time::timeout_at(deadline, pending.wait_for(|left| *left == 0)).await;
        match waited.map(|_| ()) {
            Ok(()) => Ok(()),
            Err(_) => Err(Error::new(ErrorKind::Timeout, "clean-up jobs are still under way")
                .with_context("jobs", *self.0.pending.borrow())),
        }
    }

    /// Remembers the runtime this is called in, for drops outside of it.
    pub(crate) fn remember_runtime(&self) {
        if self.0.runtime.get().is_none()
            && let Ok(handle) = Handle::try_current()
        {
            let _ = self.0.runtime.set(handle);
        }
    }

    /// Where a task can be started: here, or where the environment was first used.
    fn runtime(&self) -> Option<Handle> {
        self.remember_runtime();
        Handle::try_current().ok().or_else(|| self.0.runtime.get().cloned())
    }

    fn admit(&self) -> Option<(Handle, Place)> {
        let runtime = self.runtime();
        let mut admitted = false;
        self.0.pending.send_if_modified(|pending| {
            admitted = runtime.is_some() && *pending < Self::JOBS_MAX;
            *pending += usize::from(admitted);
            admitted
        });
        if !admitted {
            self.0.abandoned.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some((runtime?, Place { reaper: self.clone(), left: false }))
    }
}

/// A job that was handed in. Dropping this changes nothing for the job.
#[derive(Clone, Debug)]
#[must_use = "the job runs anyway; say `drop` where its end does not matter"]
pub struct Job(watch::Receiver<Option<Result<()>>>);

impl Job {
    pub(crate) fn has_ended(&self) -> bool {
        // The sender goes with the runtime at the latest.
        self.0.borrow().is_some() || self.0.has_changed().is_err()
    }

    /// How the job ended.
    pub async fn ended(mut self) -> Result<()> {
        match self.0.wait_for(Option::is_some).await.map(|result| (*result).clone()) {
            Ok(Some(result)) => result,
            _ => Err(Error::new(ErrorKind::Cancelled, "the runtime ended before the job did")),
        }
    }
}

/// What runs until it is stopped. Dropping this stops it.
#[must_use = "it is stopped as soon as this is dropped"]
pub struct Running {
    /// Nothing is sent; it is dropped with this, which is how the end is noticed.
    stop: oneshot::Sender<Infallible>,
    job: Job,
}

impl Running {
    /// Stops it, and ends when nothing of it is left.
    pub async fn stop(self) -> Result<()> {
        let Self { stop, job } = self;
        drop(stop);
        job.ended().await
    }

    /// The task as a job that can be waited for.
    pub(crate) fn job(&self) -> Job {
        self.job.clone()
    }
}

/// The panic of `work`, if it ended by one. When this answers, `work` is gone.
async fn unless_stopped(
    stopped: oneshot::Receiver<Infallible>,
    work: impl Future<Output = ()> + Send,
) -> Result<(), Panicked> {
    match select(stopped, Box::pin(contained(work))).await {
        Either::Left(_) => Ok(()),
        Either::Right((ended, _)) => ended,
    }
}

/// A place among what runs until it is stopped; given back even if the runtime drops the task.
struct RunningPlace(Reaper);

impl RunningPlace {
    fn taken(reaper: &Reaper) -> Option<Self> {
        let more = |running| (running < Reaper::RUNNING_MAX).then_some(running + 1);
        let running = &reaper.0.running;
        running.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Self(reaper.clone()))
    }
}

impl Drop for RunningPlace {
    fn drop(&mut self) {
        self.0.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A job's place among those under way; given back even if the runtime drops the task.
struct Place {
    reaper: Reaper,
    left: bool,
}

impl Place {
    fn leave<P, E>(mut self, ended: &Result<Result<Result<()>, P>, E>) {
        let inner = &self.reaper.0;
        let figure = match ended {
            Ok(Ok(Ok(()))) => &inner.done,
            Ok(_) => &inner.failed,
            Err(_) => &inner.abandoned,
        };
        figure.fetch_add(1, Ordering::Relaxed);
        self.left = true;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.left {
            self.reaper.0.abandoned.fetch_add(1, Ordering::Relaxed);
        }
        self.reaper.0.pending.send_modify(|pending| *pending -= 1);
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has_ended = self.job.has_ended();
        f.debug_struct("Running").field("has_ended", &has_ended).finish_non_exhaustive()
    }
}

impl fmt::Debug for Reaper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reaper").field(&self.figures()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Clock;

    fn reaper() -> Reaper {
        Reaper::new()
    }

    const LIMIT: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn a_job_outlives_its_caller() {
        let reaper = reaper();
        drop(reaper.submit("test", LIMIT, async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(())
        }));
        assert_eq!(reaper.figures().pending, 1);
        let deadline = Clock::system().now() + LIMIT;
        reaper.idle(deadline).await.unwrap();
        assert_eq!(reaper.figures().done, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_that_hangs_is_abandoned_and_one_that_panics_is_contained() {
        let reaper = reaper();
        let hanging = reaper.submit("hang", LIMIT, std::future::pending());
        let panicking = reaper.submit("panic", LIMIT, async { panic!("on purpose") });
        assert_eq!(hanging.ended().await.unwrap_err().kind(), ErrorKind::Timeout);
        let panicked = panicking.ended().await.unwrap_err();
        assert_eq!(panicked.kind(), ErrorKind::Unexpected);
        assert!(panicked.to_string().contains("on purpose"), "{panicked}");
        let expected = ReaperFigures { failed: 1, abandoned: 1, ..ReaperFigures::default() };
        assert_eq!(reaper.figures(), expected);
    }

    #[test]
    fn without_any_runtime_a_job_is_counted_as_abandoned() {
        let reaper = reaper();
        drop(reaper.submit("test", LIMIT, async { Ok(()) }));
        assert_eq!(reaper.figures().abandoned, 1);
        assert_eq!(reaper.figures().pending, 0);
    }

    #[test]
    fn a_drop_outside_of_the_runtime_uses_the_one_that_was_seen_first() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_time()
            .build()
            .unwrap();
        let reaper = reaper();
        runtime.block_on(async { reaper.remember_runtime() });
        let job = reaper.submit("test", LIMIT, async { Ok(()) });
        runtime.block_on(job.ended()).unwrap();
    }

    /// Says when it is dropped.
    struct Told(Option<oneshot::Sender<()>>);

    impl Drop for Told {
        fn drop(&mut self) {
            self.0.take().map(|told| told.send(()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_runs_on_is_counted_apart_and_goes_when_its_guard_does() {
        let reaper = reaper();
        for stopped in [false, true] {
            let (tell, told) = oneshot::channel();
            let tell = Told(Some(tell));
            let work = async move {
                let _tell = tell;
                std::future::pending::<()>().await;
            };
            let running = reaper.run("run", work).unwrap();
            tokio::task::yield_now().await;
            assert_eq!(reaper.figures(), ReaperFigures { running: 1, ..Default::default() });
            reaper.idle(Clock::system().now()).await.expect("it is no job to wait for");
            if stopped {
                running.stop().await.unwrap();
                assert_eq!(reaper.figures(), ReaperFigures::default());
            } else {
                drop(running);
            }
            told.await.expect("the work is dropped");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_runs_on_may_end_by_itself_and_a_panic_in_it_is_contained() {
        let reaper = reaper();
        let ended = reaper.run("end", async {}).unwrap();
        ended.job().ended().await.unwrap();
        let panicking = reaper.run("panic", async { panic!("on purpose") }).unwrap();
        panicking.job().ended().await.unwrap_err();
        assert_eq!(reaper.figures(), ReaperFigures { failed: 1, ..Default::default() });
        let error = panicking.stop().await.unwrap_err();
        assert!(error.to_string().contains("on purpose"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_runs_on_is_bounded() {
        let reaper = reaper();
        let run = || reaper.run("run", std::future::pending());
        let all: Vec<_> = (0..Reaper::RUNNING_MAX).map(|_| run().unwrap()).collect();
        assert_eq!(run().map(drop).unwrap_err().kind(), ErrorKind::Unavailable);
        drop(all);
        let error = std::thread::scope(|scope| {
            let without = Reaper::new();
            scope.spawn(move || without.run("x", async {}).map(drop).unwrap_err()).join().unwrap()
        });
        assert_eq!(error.message(), "there is no runtime for it to run in");
    }

    #[test]
    fn a_runtime_that_ends_gives_the_places_of_its_jobs_back() {
        let reaper = reaper();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let job = runtime.block_on(async { reaper.submit("x", LIMIT, std::future::pending()) });
        let running = runtime.block_on(async { reaper.run("y", std::future::pending()) }).unwrap();
        drop(runtime);
        assert_eq!(reaper.figures(), ReaperFigures { abandoned: 1, ..Default::default() });
        let other = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(other.block_on(job.ended()).unwrap_err().kind(), ErrorKind::Cancelled);
        assert_eq!(other.block_on(running.stop()).unwrap_err().kind(), ErrorKind::Cancelled);
    }
}
