//! A stream or a sink that several callers share: one at a time, in the order in which they came.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use switchboard_core::Result;
use tokio::sync::Notify;

/// What is shared, until it has ended.
pub(super) struct OneByOne<T> {
    /// `None` after its end. Locked for the length of a poll of it and never longer, so that a caller
    /// that is neither polled nor dropped does not keep it from ending.
    shared: Mutex<Option<Pin<Box<T>>>>,
    turns: tokio::sync::Mutex<()>,
    closings: tokio::sync::Mutex<()>,
    is_ending: AtomicBool,
    told: Notify,
}

/// The turn of one caller, until it is dropped.
pub(super) struct Turn<'a, T> {
    shared: &'a OneByOne<T>,
    _turn: tokio::sync::MutexGuard<'a, ()>,
}

impl<T> OneByOne<T> {
    pub(super) fn new(shared: T) -> Self {
        Self {
            shared: Mutex::new(Some(Box::pin(shared))),
            turns: tokio::sync::Mutex::default(),
            closings: tokio::sync::Mutex::default(),
            is_ending: AtomicBool::new(false),
            told: Notify::new(),
        }
    }

    pub(super) fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::Acquire)
    }

    /// Waits for those who came earlier; `None` if it ends before.
    pub(super) async fn turn(&self) -> Option<Turn<'_, T>> {
        let turn = self.unless_ending(self.turns.lock()).await?;
        Some(Turn { shared: self, _turn: turn })
    }

    /// Ends it: whoever waits for it or works with it is told.
    pub(super) fn end(&self) {
        self.is_ending.store(true, Ordering::Release);
        self.told.notify_waiters();
        let ended = self.locked().take();
        drop(ended);
    }

    /// Ends it in the way of `close`, past all who wait. Dropped, it can be asked again.
    pub(super) async fn close(
        &self,
        mut close: impl FnMut(Pin<&mut T>, &mut Context<'_>) -> Poll<Result<()>>,
    ) -> Result<()> {
        self.is_ending.store(true, Ordering::Release);
        self.told.notify_waiters();
        let _only_one = self.closings.lock().await;
        let closed = poll_fn(|context| match self.locked().as_mut() {
            Some(shared) => close(shared.as_mut(), context),
            None => Poll::Ready(Ok(())),
        });
        let closed = closed.await;
        self.end();
        closed
    }

    /// The output of `future`, or `None` if it ends before; told of that only while it waits.
    async fn unless_ending<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        let mut told = pin!(None);
        poll_fn(|context| {
            if self.is_ending() {
                return Poll::Ready(None);
            }
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Some(output));
            }
            if told.is_none() {
                told.set(Some(self.told.notified()));
            }
            let is_told =
                told.as_mut().as_pin_mut().is_some_and(|told| told.poll(context).is_ready());
            // The end may have begun before it could be told.
            if is_told || self.is_ending() { Poll::Ready(None) } else { Poll::Pending }
        })
        .await
    }

    // A poll that panicked has told whoever made it.
    fn locked(&self) -> MutexGuard<'_, Option<Pin<Box<T>>>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Turn<'_, T> {
    /// What `poll` comes to; `None` if it ends before.
    pub(super) async fn poll<R>(
        &self,
        mut poll: impl FnMut(Pin<&mut T>, &mut Context<'_>) -> Poll<R>,
    ) -> Option<R> {
        let polled = poll_fn(|context| match self.shared.locked().as_mut() {
            Some(shared) => poll(shared.as_mut(), context).map(Some),
            None => Poll::Ready(None),
        });
        self.shared.unless_ending(polled).await.flatten()
    }
}
