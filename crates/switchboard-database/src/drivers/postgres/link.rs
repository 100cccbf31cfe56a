//! Keeps the library's half of a connection going.
//!
//! The library wants a task for it. A connection has one user, who waits for every answer; so the
//! user's own task does it while it waits, and no answer has to be passed between tasks. Only for
//! who uses the client of the library directly, a task is started.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use switchboard_core::{Error, Reaper, Result, Running};
use tokio::sync::oneshot;
use tokio_postgres::Client;

use super::classify::{classify, lost};
use super::wire::{Seen, Wire};

/// Both halves of a connection.
pub(super) struct Link {
    pub(super) client: Client,
    pub(super) going: Going,
    pub(super) seen: Arc<Seen>,
}

/// How the half is kept going that reads and writes.
pub(super) enum Going {
    /// By whoever waits for an answer.
    Here(Pin<Box<Wire>>),
    /// By a task, which says when it has ended.
    Task { _running: Running, ended: oneshot::Receiver<()>, reason: Reason },
    /// Not any more.
    Ended(Option<tokio_postgres::Error>),
}

/// Why a task has ended.
type Reason = Arc<Mutex<Option<tokio_postgres::Error>>>;

impl Link {
    pub(super) fn new(client: Client, wire: Wire, seen: Arc<Seen>) -> Self {
        Self { client, going: Going::Here(Box::pin(wire)), seen }
    }

    /// Whether the connection is of no use any more, as far as was noticed.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.going, Going::Ended(_)) || self.client.is_closed()
    }

    /// Looks whether the server has ended the connection, so that nothing is sent in vain.
    pub(super) async fn check(&mut self) -> Result<()> {
        poll_fn(|context| {
            self.going.poll(context);
            Poll::Ready(())
        })
        .await;
        if !self.has_ended() {
            return Ok(());
        }
        let reason = self.going.reason();
        Err(reason.map_or_else(|| lost(None), classify).not_applied())
    }

    /// The error of what was asked, with the reason if the connection ended over it.
    pub(super) fn error(&mut self, error: tokio_postgres::Error) -> Error {
        if error.is_closed() {
            return classify(self.going.reason().unwrap_or(error));
        }
        classify(error)
    }

    /// Waits until all that was sent is answered, so that it is known where the session is.
    pub(super) async fn settle(&mut self) {
        if let Going::Task { .. } = self.going {
            // Its own answer comes after all others.
            let _ = heard(&self.client, &self.seen).await;
            return;
        }
        poll_fn(|context| {
            self.going.poll(context);
            let is_settled = self.has_ended() || self.seen.is_settled();
            if is_settled { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Waits until the server has answered all that a `COPY` sent it, so that it can be asked again.
    pub(super) async fn end_copy(&mut self) {
        let Self { client, going, seen } = self;
        // Where it has no answer, the connection has ended, and says so to who asks next.
        let _ = going.until(heard(client, seen)).await;
    }

    /// Has a task keep it going from now on.
    pub(super) fn detach(&mut self, reaper: &Reaper) {
        let Going::Here(_) = self.going else { return };
        let Going::Here(wire) = std::mem::replace(&mut self.going, Going::Ended(None)) else {
            return;
        };
        let (tell, ended) = oneshot::channel();
        let reason = Reason::default();
        let told = Arc::clone(&reason);
        let run = async move {
            if let Err(error) = wire.await {
                *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
            let _ = tell.send(());
        };
        // Where there is no room for a task, the connection has ended, and says so.
        if let Ok(running) = reaper.run("keep a connection going", run) {
            self.going = Going::Task { _running: running, ended, reason };
        }
    }

    /// Ends it at once, without a word.
    pub(super) fn end(&mut self) {
        self.going = Going::Ended(None);
    }

    /// Says goodbye, and waits until it is said.
    pub(super) async fn close(self) {
        let Self { client, going, .. } = self;
        drop(client);
        match going {
            Going::Here(wire) => drop(wire.await),
            Going::Task { ended, .. } => drop(ended.await),
            Going::Ended(_) => {}
        }
    }
}

/// Waits until the server has answered all that it was asked before.
pub(super) async fn heard(client: &Client, seen: &Seen) -> Result<(), tokio_postgres::Error> {
    if !seen.is_copying() {
        return client.check_connection().await;
    }
    // It is asked for a word, since ends of answers without one are passed over.
    match client.batch_execute("").await {
        Err(error) if error.as_db_error().is_none() => Err(error),
        _ => {
            seen.settle();
            Ok(())
        }
    }
}

impl Going {
    /// Waits for `asked` and keeps the connection going meanwhile.
    ///
    /// Given something pinned it copies nothing, which counts where an answer takes many states to get.
    pub(super) async fn until<T>(&mut self, asked: impl Future<Output = T>) -> T {
        let mut asked = pin!(asked);
        poll_fn(|context| {
            if let Poll::Ready(answer) = asked.as_mut().poll(context) {
                return Poll::Ready(answer);
            }
            self.poll(context);
            asked.as_mut().poll(context)
        })
        .await
    }

    fn poll(&mut self, context: &mut Context<'_>) {
        if let Self::Here(wire) = self
            && let Poll::Ready(ended) = wire.as_mut().poll(context)
        {
            // With it go all that wait for answers, and learn that there are none.
            *self = Self::Ended(ended.err());
        }
    }

    fn reason(&mut self) -> Option<tokio_postgres::Error> {
        match self {
            Self::Here(_) => None,
            Self::Task { reason, .. } => {
                reason.lock().unwrap_or_else(PoisonError::into_inner).take()
            }
            Self::Ended(reason) => reason.take(),
        }
    }
}
