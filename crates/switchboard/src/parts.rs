//! What an application has beside its instances, and wants closed with them.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use switchboard_core::{Clock, Error, ErrorKind, Result};

/// A part of the application that is closed before the instances it uses: a server, a worker.
///
/// A closure that answers a future is one.
pub trait Part: Send + Sync + 'static {
    /// Gives everything back. Called once; has as long as the board has left.
    fn close(&self) -> BoxFuture<'_, Result<()>>;
}

impl<F, Fut> Part for F
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<()>> + Send + 'static,
{
    fn close(&self) -> BoxFuture<'_, Result<()>> {
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

    /// Closes all, the last one that joined first. One that fails, panics or takes too long is
    /// reported, and the next one has its turn.
    pub(crate) async fn close(&self, clock: &Clock, until: Instant) -> PartsClosed {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut report = PartsClosed::default();
        for joined in taken.into_iter().flatten().rev() {
            match joined.close(clock, until).await {
                Ok(()) => report.closed.push(joined.name),
                Err(error) => report.errors.push(error.with_context("part", joined.name)),
            }
        }
        report
    }
}

impl Joined {
    /// Half of the time that is left is for those that come after.
    async fn close(&self, clock: &Clock, until: Instant) -> Result<()> {
        let left = until.saturating_duration_since(clock.now());
        let closing = std::panic::AssertUnwindSafe(async { self.part.close().await });
        match tokio::time::timeout(
            left.div_f32(2.0).max(SHORTEST.min(left)),
            closing.catch_unwind(),
        )
        .await
        {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => {
                Err(Error::new(ErrorKind::Unexpected, "the part panicked while it closed"))
            }
            Err(_) => Err(Error::new(ErrorKind::Timeout, "the part did not close in time")),
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

/// What a part has at least, as long as there is that much.
const SHORTEST: Duration = Duration::from_millis(100);
