//! Work that comes to its end once it was begun, whether anybody waits for it or not.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use switchboard_core::{Reaper, Result};

/// Such work: the caller drives it, and the reaper if the caller goes away.
pub(crate) struct Finishing<T: 'static> {
    work: Option<Pin<Box<dyn Future<Output = Result<T>> + Send>>>,
    what: &'static str,
    limit: Duration,
    reaper: Reaper,
}

impl<T> Finishing<T> {
    /// `limit` is for work that nobody waits for any more.
    pub(crate) fn new(
        what: &'static str,
        limit: Duration,
        reaper: &Reaper,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Self {
        Self { work: Some(Box::pin(work)), what, limit, reaper: reaper.clone() }
    }
}

impl<T> Future for Finishing<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let Some(work) = &mut self.work else { return Poll::Pending };
        let ended = work.as_mut().poll(context);
        if ended.is_ready() {
            self.work = None;
        }
        ended
    }
}

impl<T> Drop for Finishing<T> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            let work = async move { work.await.map(drop) };
            drop(self.reaper.submit(self.what, self.limit, work));
        }
    }
}
