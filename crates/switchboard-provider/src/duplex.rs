//! Both directions at once: a websocket, a bidirectional stream, a long-running subprocess.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use switchboard_core::{
    Effect, Erase, Error, ErrorKind, Held, Leased, Lifecycle, Line, Op, Reply, Result, Subsystem,
};

use crate::Provider;
use crate::asked::{self, Asked};
use crate::provider::Managed;

switchboard_core::operations! {
    /// What can be asked of a provider of this shape.
    pub(crate) mod op {
        OPEN = "open": Unsafe;
        SEND = "send": Unsafe;
        RECEIVE = "receive": Unsafe;
        CLOSE = "close": Unsafe;
    }
}

/// Opens conversations.
///
/// The gates act on opening, which is never retried: whoever holds a conversation knows best how to
/// start over. A bulkhead counts the conversations that are open.
pub trait Duplex<I, O>: Provider {
    /// Begins a conversation.
    fn open(&self) -> Reply<'_, Box<dyn Conversation<I, O>>>;
}

/// Messages both ways. Sending and receiving may go on at the same time.
pub trait Conversation<I, O>: Send + Sync {
    /// Sends one message. Messages of callers that do not wait for each other may go in any order.
    fn send(&self, message: I) -> Reply<'_, ()>;

    /// The next message from the other side; `None` when that has ended, and at every call after it.
    /// An error is not an end.
    ///
    /// Dropping the reply loses no message, polled or not. Each message goes to one of several callers.
    fn receive(&self) -> Reply<'_, Option<O>>;

    /// Ends the conversation, also for who waits in it. Later sends fail, later receives give `None`;
    /// once more it does nothing.
    fn close(&self) -> Reply<'_, ()>;
}

/// What the family of a shape lists as [`Subsystem::OPERATIONS`]: opening twice has this effect, which
/// decides whether another member of a group may be asked.
pub const fn operations(effect: Effect) -> &'static [Op] {
    asked::with_effect!(effect, op::OPEN, op::SEND, op::RECEIVE, op::CLOSE)
}

impl<I, O, P> Duplex<I, O> for Arc<P>
where
    P: Duplex<I, O> + ?Sized,
{
    fn open(&self) -> Reply<'_, Box<dyn Conversation<I, O>>> {
        self.as_ref().open()
    }
}

impl<I, O, P: Duplex<I, O>> Duplex<I, O> for Managed<P> {
    fn open(&self) -> Reply<'_, Box<dyn Conversation<I, O>>> {
        self.0.open()
    }
}

impl<I, O, P> Erase<P> for dyn Duplex<I, O>
where
    P: Duplex<I, O>,
    I: 'static,
    O: 'static,
{
    fn erase(provider: Arc<P>) -> Arc<Self> {
        Arc::new(Managed(provider))
    }
}

impl<I, O> Conversation<I, O> for Box<dyn Conversation<I, O>> {
    fn send(&self, message: I) -> Reply<'_, ()> {
        self.as_ref().send(message)
    }

    fn receive(&self) -> Reply<'_, Option<O>> {
        self.as_ref().receive()
    }

    fn close(&self) -> Reply<'_, ()> {
        self.as_ref().close()
    }
}

/// What an application holds of an instance of a family of duplex providers.
pub struct Dialer<S: Subsystem> {
    line: Line<S>,
    asked: Asked,
}

impl<S: Subsystem> Dialer<S> {
    /// Begins a conversation. Never retried; the place in the bulkhead is kept until the answer is
    /// dropped.
    pub async fn open<I, O>(&self) -> Result<OpenConversation<S, I, O>>
    where
        S: Subsystem<Driver = dyn Duplex<I, O>>,
        I: Send + 'static,
        O: Send + 'static,
    {
        let op = self.asked.op::<S>(op::OPEN).without_retry();
        let open = |driver: Held<S>| async move { driver.open().await };
        let leased = self.line.open(op, open).await?;
        Ok(OpenConversation { leased, is_closed: AtomicBool::new(false) })
    }
}

asked::handle!(Dialer);

impl<S, I, O> Duplex<I, O> for Dialer<S>
where
    S: Subsystem<Driver = dyn Duplex<I, O>>,
    I: Send + 'static,
    O: Send + 'static,
{
    fn open(&self) -> Reply<'_, Box<dyn Conversation<I, O>>> {
        Reply::run(async move {
            let conversation: Box<dyn Conversation<I, O>> = Box::new(self.open().await?);
            Ok(conversation)
        })
    }
}

/// A conversation that was opened through a line, and the provider that carries it.
///
/// When the provider was swapped and the time to drain it is over, everything but the end answers
/// `Unavailable`.
pub struct OpenConversation<S: Subsystem, I, O> {
    leased: Leased<S, Box<dyn Conversation<I, O>>>,
    is_closed: AtomicBool,
}

impl<S: Subsystem, I: Send + 'static, O: Send + 'static> OpenConversation<S, I, O> {
    /// Sends one message.
    pub async fn send(&self, message: I) -> Result<()> {
        let (conversation, step) = self.leased.shared();
        if self.is_closed.load(Ordering::Acquire) {
            return step.run(op::SEND, async { Err(closed()) }).await;
        }
        // Asked inside the step, so that one that may not begin asks nobody.
        step.run(op::SEND, async { conversation.send(message).await }).await
    }

    /// The next message from the other side, or `None` when that has ended.
    pub async fn receive(&self) -> Result<Option<O>> {
        if self.is_closed.load(Ordering::Acquire) {
            return Ok(None);
        }
        let (conversation, step) = self.leased.shared();
        step.run(op::RECEIVE, async { conversation.receive().await }).await
    }

    /// Ends the conversation. Once more it does nothing.
    pub async fn close(&self) -> Result<()> {
        if self.is_closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let (conversation, step) = self.leased.shared();
        step.run(op::CLOSE, async { conversation.close().await }).await
    }
}

impl<S: Subsystem, I: Send + 'static, O: Send + 'static> Conversation<I, O>
    for OpenConversation<S, I, O>
{
    fn send(&self, message: I) -> Reply<'_, ()> {
        Reply::run(self.send(message))
    }

    fn receive(&self) -> Reply<'_, Option<O>> {
        Reply::run(self.receive())
    }

    fn close(&self) -> Reply<'_, ()> {
        Reply::run(self.close())
    }
}

impl<S: Subsystem, I, O> fmt::Debug for OpenConversation<S, I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenConversation")
            .field("driver", self.leased.driver())
            .finish_non_exhaustive()
    }
}

pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::InvalidInput, "the conversation is closed").not_applied()
}
