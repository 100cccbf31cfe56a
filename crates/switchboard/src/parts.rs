//! What an application has beside its instances, and wants closed with them.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use switchboard_core::{Clock, Error, ErrorKind, Result};

/// A part of the application that is closed before the instances it uses: a server, a worker.
///
/// A closure that answers a future is one, also one that can be called only once.
/// [`Switchboard::join`](crate::Switchboard::join) takes it.
///
/// ```
/// use futures_util::future::BoxFuture;
/// use switchboard::{Part, Result, Switchboard};
/// use tokio::sync::watch;
///
/// /// Tells the workers of a queue to come to an end, and waits until they have.
/// struct Workers(watch::Sender<bool>);
///
/// impl Part for Workers {
///     fn close(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
///         Box::pin(async move {
///             self.0.send_replace(true);
///             self.0.closed().await;
///             Ok(())
///         })
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// let board = Switchboard::builder().build().await?;
/// board.join("workers", Workers(watch::Sender::new(false)))?;
/// assert_eq!(board.close(board.close_limit()).await.closed, ["workers"]);
/// # Ok(()) }
/// ```
pub trait Part: Send + 'static {
    /// Gives everything back. Called once, with all that the part is: what it does not keep elsewhere
    /// ends with the future.
    ///
    /// Parts share half of the time in which the board is closed: the next one begins when this has
    /// ended or its share is over, and what has not ended when all of that half is over is dropped
    /// and reported.
    fn close(self: Box<Self>) -> BoxFuture<'static, Result<()>>;
}

impl<F, Fut> Part for F
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = Result<()>> + Send + 'static,
{
    fn close(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        Box::pin(self())
    }
}

/// The parts of a board, in the order in which they joined.
#[derive(Default)]
pub(crate) struct Parts(Mutex<Option<Vec<Joined>>>);

struct Joined {
    name: String,
    part: Box<dyn Part>,
}

/// How the closing of the parts went.
#[derive(Debug, Default)]
pub(crate) struct PartsClosed {
    pub(crate) closed: Vec<String>,
    pub(crate) errors: Vec<Error>,
}

impl Parts {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Some(Vec::new())))
    }

    pub(crate) fn join(&self, name: String, part: Box<dyn Part>) -> Result<()> {
        let mut parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(parts) = parts.as_mut() else {
            return Err(Error::new(ErrorKind::Unavailable, "the board is closed")
                .with_context("part", name)
                .not_applied());
        };
        parts.push(Joined { name, part });
        Ok(())
    }

    /// Closes all, the last one that joined first. One that fails or panics is reported; one that
    /// overruns its share of the time is not waited for any longer, but goes on beside the rest.
    pub(crate) async fn close(&self, clock: &Clock, until: Instant) -> PartsClosed {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let order = taken.into_iter().flatten().rev().collect::<Vec<_>>();
        let (mut running, mut report) = (FuturesUnordered::new(), PartsClosed::default());
        let count = order.len();
        for (position, Joined { name, part }) in order.into_iter().enumerate() {
            let left = until.saturating_duration_since(clock.now());
            running.push(async move { (position, name, closed(part, left).await) });
            let share = left / u32::try_from(count - position).unwrap_or(u32::MAX);
            let next = async {
                while let Some((ended, name, result)) = running.next().await {
                    report.add(name, result);
                    if ended == position {
                        break;
                    }
                }
            };
            tokio::time::timeout(share, next).await.ok();
        }
        while let Some((_, name, result)) = running.next().await {
            report.add(name, result);
        }
        report
    }
}

impl PartsClosed {
    fn add(&mut self, part: String, result: Result<()>) {
        match result {
            Ok(()) => self.closed.push(part),
            Err(error) => self.errors.push(error.with_context("part", part)),
        }
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let names = parts.iter().flatten().map(|joined| &joined.name);
        f.debug_list().entries(names).finish()
    }
}

async fn closed(part: Box<dyn Part>, limit: Duration) -> Result<()> {
    // What a part does before it answers a future may panic as well.
    let closing = std::panic::AssertUnwindSafe(async move { part.close().await });
    match tokio::time::timeout(limit, closing.catch_unwind()).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(Error::new(ErrorKind::Unexpected, "the part panicked while it closed")),
        Err(_) => Err(Error::new(ErrorKind::Timeout, "the part did not close in time")
            .with_context("limit", format_args!("{limit:?}"))),
    }
}
