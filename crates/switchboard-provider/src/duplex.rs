//! Both directions at once: a websocket, a bidirectional stream, a long-running subprocess.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use switchboard_core::{
    Effect, Erase, Error, ErrorKind, Health, Held, Leased, Lifecycle, Line, Op, Opener, Reply,
    Result, Subsystem,
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
    /// once more it does nothing. Where it failed, or its reply was dropped, it is asked once more.
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
    /// dropped or closed.
    pub async fn open<I, O>(&self) -> Result<OpenConversation<S, I, O>>
    where
        S: Subsystem<Driver = dyn Duplex<I, O>>,
        I: Send + 'static,
        O: Send + 'static,
    {
        let op = self.asked.op::<S>(op::OPEN).without_retry();
        let open = |driver: Held<S>| async move { driver.open().await };
        let leased = self.line.open(op, open).await?;
        Ok(OpenConversation::new(leased))
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
/// When the provider was swapped and the time to drain it is over, sending and receiving answer
/// `Unavailable`; the conversation has ended with the provider, and closing it asks nobody.
pub struct OpenConversation<S: Subsystem, I, O> {
    /// `None` once it has closed; whoever is in the midst of something keeps it until then.
    leased: Mutex<Option<Arc<Lease<S, I, O>>>>,
    /// Said before the provider is asked, and true also where it could not close.
    is_closing: AtomicBool,
    /// Refuses what is said once there is nobody left to ask.
    opener: Opener<S>,
}

type Lease<S, I, O> = Leased<S, Box<dyn Conversation<I, O>>>;

impl<S: Subsystem, I, O> OpenConversation<S, I, O> {
    fn new(leased: Lease<S, I, O>) -> Self {
        let opener = leased.opener();
        let leased = Mutex::new(Some(Arc::new(leased)));
        Self { leased, is_closing: AtomicBool::new(false), opener }
    }

    /// What keeps the provider, for the length of one operation.
    fn leased(&self) -> Option<Arc<Lease<S, I, O>>> {
        self.locked().clone()
    }

    /// Lets the provider and the place in the bulkhead go, once nobody uses them any more.
    fn give_back(&self) {
        let leased = self.locked().take();
        // Outside of the lock, because what the provider has opened may do anything when it is dropped.
        drop(leased);
    }

    fn locked(&self) -> MutexGuard<'_, Option<Arc<Lease<S, I, O>>>> {
        self.leased.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Acquire)
    }
}

impl<S: Subsystem, I: Send + 'static, O: Send + 'static> OpenConversation<S, I, O> {
    /// Sends one message.
    pub async fn send(&self, message: I) -> Result<()> {
        let Some(leased) = self.leased().filter(|_| !self.is_closing()) else {
            return self.opener.refuse(op::SEND, closed()).await;
        };
        let (conversation, step) = leased.shared();
        // Asked inside the step, so that one that may not begin asks nobody.
        step.run(op::SEND, async { conversation.send(message).await }).await
    }

    /// The next message from the other side, or `None` when that has ended.
    pub async fn receive(&self) -> Result<Option<O>> {
        let Some(leased) = self.leased().filter(|_| !self.is_closing()) else { return Ok(None) };
        let (conversation, step) = leased.shared();
        step.run(op::RECEIVE, async { conversation.receive().await }).await
    }

    /// Ends the conversation, and gives back what it holds. Once more it does nothing; where it failed or
    /// was dropped, the provider is asked once more.
    ///
    /// It has ten seconds whatever deadline is around it, so that one can clean up when the time is over.
    pub async fn close(&self) -> Result<()> {
        self.is_closing.store(true, Ordering::Release);
        let Some(leased) = self.leased() else { return Ok(()) };
        let (conversation, step) = leased.shared();
        step.end(op::CLOSE, async { conversation.close().await }).await?;
        self.give_back();
        Ok(())
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
        let leased = self.leased();
        let driver = leased.as_ref().map(|leased| leased.driver());
        f.debug_struct("OpenConversation").field("driver", &driver).finish_non_exhaustive()
    }
}

pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::InvalidInput, "the conversation is closed").not_applied()
}
