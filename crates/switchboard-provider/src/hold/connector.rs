//! A client that is connected when it is first needed, shared by all who need it, and connected anew
//! after it broke.
//!
//! What the client does, and when it is broken, is not known here. Making it once is the work of
//! [`Kept`], protecting the service from being connected to is the work of the gates.

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use switchboard_core::{
    Deadline, Effect, Environment, Error, ErrorKind, Gates, Job, Kept, Name, Policy, Reaper,
    Result, Retry, Source, Unmade, execute_with_resilience,
};
use tokio::sync::watch;

/// A client of a service, connected when it is first asked for.
///
/// Of any number of callers one connects, in its own task; the others wait for it, and share its
/// error if it fails. If it panics, one of those who wait connects. If it goes away, because it is
/// dropped or its deadline comes, the reaper brings the connecting to its end: whoever waits gets
/// that client, and a service that needs longer to connect than a call or an attempt may take comes
/// up nevertheless. Only where the reaper has no runtime or no room does it end with its caller.
///
/// The gates of the policy act on connecting, and on nothing else: a breaker counts how it went, and
/// while it is open whoever needs a new client is refused at once. What is done with the client is
/// not counted. Put it into a provider, and tell it when the client broke:
///
/// ```
/// use switchboard_core::{Environment, Error, ErrorKind, Policy, Result};
/// use switchboard_provider::Connector;
/// # #[derive(Default)]
/// # struct Client(std::sync::atomic::AtomicBool);
/// # impl Client {
/// #     async fn connect() -> Result<Self> { Ok(Self::default()) }
/// #     async fn ask(&self, question: &str) -> Result<usize> {
/// #         if self.0.load(std::sync::atomic::Ordering::Relaxed) {
/// #             return Err(Error::new(ErrorKind::Unavailable, "connection lost"));
/// #         }
/// #         Ok(question.len())
/// #     }
/// #     async fn quit(&self) -> Result<()> { Ok(()) }
/// # }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<()> {
/// let connector =
///     Connector::new("oracle", &Environment::new(), Policy::default(), || Client::connect())?
///         .with_closing(|client| async move { client.quit().await });
///
/// let ask = async |question| {
///     // Dropped before it is done, by a time-out or by `?`, it takes the client along.
///     let client = connector.exchange().await?;
///     let answer = client.ask(question).await?;
///     client.done();
///     Ok::<_, Error>(answer)
/// };
/// assert!(!connector.is_connected());
/// assert_eq!(ask("why?").await?, 4);
/// assert!(connector.is_connected());
///
/// connector.close(std::time::Duration::from_secs(5)).await?;
/// assert_eq!(ask("why?").await.unwrap_err().kind(), ErrorKind::Unavailable);
/// # Ok(()) }
/// ```
pub struct Connector<C: Send + Sync + 'static> {
    connecting: Arc<Connecting<C>>,
    care: Arc<Care<C>>,
}

/// A use of a client, which is not closed in an orderly way before the last of these has gone.
///
/// A reset or a closing of the connector leaves it what it is, up to a limit; after that it is closed
/// under whoever still uses it.
pub struct Connected<C: Send + Sync + 'static>(Arc<Link<C>>);

/// An exchange with a client that has to come to its end, as a request on a connection and its answer.
///
/// Dropped before it is [done](Self::done), the connector is reset: whoever comes next would else read
/// the answer that was meant for this one.
#[must_use = "an exchange that is dropped before it is done resets the connector"]
pub struct Exchange<'c, C: Send + Sync + 'static> {
    connector: &'c Connector<C>,
    client: Connected<C>,
    is_done: bool,
}

/// How clients come to be, and the one there is.
struct Connecting<C: Send + Sync + 'static> {
    kept: Kept<Link<C>, Error>,
    gates: Gates,
    connect: Box<dyn Fn() -> BoxFuture<'static, Result<C>> + Send + Sync>,
    is_closing: AtomicBool,
    /// The end of the last client, if there is one, once the connector is closed.
    ending: watch::Sender<Option<Ending>>,
}

/// What is done with clients at their end.
struct Care<C> {
    name: Arc<str>,
    reaper: Reaper,
    closing: Option<Arc<Closing<C>>>,
    drain_limit: Duration,
}

/// What a caller waits for; if it connects and goes away before the end, the reaper goes on with it.
struct Begun<C: Send + Sync + 'static> {
    /// Gone once it has ended, and while it is polled, so that what panics is not polled again.
    connecting: Option<BoxFuture<'static, Result<Connected<C>>>>,
    /// Whether this caller connects, or waits for one that does.
    leads: Arc<AtomicBool>,
    reaper: Reaper,
    limit: Duration,
}

type Ending = Option<Job>;

type Closing<C> = dyn Fn(Arc<C>) -> BoxFuture<'static, Result<()>> + Send + Sync;

/// A client, and what brings it to its end exactly once: whoever retires it, else its drop.
struct Link<C: Send + Sync + 'static> {
    client: Arc<C>,
    care: Arc<Care<C>>,
    is_retired: AtomicBool,
    /// Sends nothing; dropped with the last use.
    in_use: watch::Sender<()>,
}

impl<C: Send + Sync + 'static> Connector<C> {
    /// How long connecting may take, with all waits and retries, where the policy has no deadline.
    pub const CONNECT_LIMIT: Duration = Duration::from_secs(30);

    /// How long those who use a client at a reset may go on with it, where nobody set a limit.
    pub const DRAIN_LIMIT: Duration = Duration::from_secs(30);

    /// How long it may take to close one client.
    pub const CLOSING_LIMIT: Duration = Duration::from_secs(10);

    /// A connector that makes clients with `connect`, through the gates of `policy`.
    ///
    /// Nothing is connected yet. `name` is the name in events and errors, a [`Name`] like any other.
    /// Connecting counts as idempotent where the policy retries.
    #[track_caller]
    pub fn new<F, Fut>(
        name: &str,
        environment: &Environment,
        policy: Policy,
        connect: F,
    ) -> Result<Self>
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<C>> + Send + 'static,
    {
        let deadline = policy.deadline.or(Some(Self::CONNECT_LIMIT));
        let policy = Policy { deadline, ..policy };
        let name: Arc<str> = Name::parse(name)?.as_str().into();
        let gates = Gates::new(policy, Source::new("connector", name.clone()), environment)?;
        let connecting = Connecting {
            kept: Kept::new(),
            gates,
            connect: Box::new(move || connect().boxed()),
            is_closing: AtomicBool::new(false),
            ending: watch::Sender::new(None),
        };
        let care = Care {
            name,
            reaper: environment.reaper().clone(),
            closing: None,
            drain_limit: Self::DRAIN_LIMIT,
        };
        Ok(Self { connecting: Arc::new(connecting), care: Arc::new(care) })
    }

    /// The same, where each client is given to `closing` once, at its end.
    ///
    /// Usually nobody else has it then, and `Arc::into_inner` gives the client itself; past a limit
    /// some may still use it. The reaper does it and bounds it by [`Self::CLOSING_LIMIT`].
    #[must_use]
    pub fn with_closing<F, Fut>(mut self, closing: F) -> Self
    where
        F: Fn(Arc<C>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        Arc::make_mut(&mut self.care).closing =
            Some(Arc::new(move |client| closing(client).boxed()));
        self
    }

    /// The same, where those who use a client at a reset may go on with it for `limit`.
    #[must_use]
    pub fn with_drain_limit(mut self, limit: Duration) -> Self {
        Arc::make_mut(&mut self.care).drain_limit = limit;
        self
    }

    /// The client, connected first if there is none.
    ///
    /// Where this is dropped while it connects, the connecting goes on, up to its own limit.
    ///
    /// An error says that nothing was applied, whatever it was: the call that wanted the client was
    /// not made. Where there is a client, callers meet on one lock for some nanoseconds, which is
    /// nothing beside a call to a service.
    pub async fn get(&self) -> Result<Connected<C>> {
        if let Some(link) = self.connecting.kept.value() {
            return Ok(Connected(link));
        }
        let connected = match Deadline::current() {
            None => self.begin().await,
            Some(deadline) => within(deadline, self.begin()).await,
        };
        connected.map_err(|error| error.not_applied().with_context("connector", &self.care.name))
    }

    /// The client, for one exchange with it: if that does not come to its end, the client counts as
    /// broken.
    ///
    /// Gates drop attempts that take too long, hedges that lost and calls that nobody waits for any more;
    /// a client that can be between two messages then is to be used in this way.
    pub async fn exchange(&self) -> Result<Exchange<'_, C>> {
        Ok(Exchange { connector: self, client: self.get().await?, is_done: false })
    }

    /// Forgets the client, so that the next [`get`](Self::get) connects anew; whether there was one.
    ///
    /// Those who use it keep it. What is being connected at the moment serves the caller that connects
    /// it, and nobody else.
    pub fn reset(&self) -> bool {
        self.retire(self.connecting.kept.forget())
    }

    /// [`reset`](Self::reset), if `client` is the one that callers get now: of ten callers that saw
    /// the same one break, one causes a new one.
    pub fn reset_if(&self, client: &Connected<C>) -> bool {
        self.retire(self.connecting.kept.forget_if(&client.0))
    }

    /// Closes it for good: from now on [`get`](Self::get) answers `Unavailable`.
    ///
    /// Those who use the client may go on for `limit`; then it is closed. What is being connected at
    /// the moment is closed as soon as it is there. Goes on if it is dropped; once more it waits for
    /// the same end.
    pub async fn close(&self, limit: Duration) -> Result<()> {
        let mut ending = self.connecting.ending.subscribe();
        if !self.connecting.is_closing.swap(true, Ordering::AcqRel) {
            let last = self.connecting.kept.close().map(|link| retire(link, limit));
            self.connecting.ending.send_replace(Some(last));
        }
        // The sender is as old as the connector, so the end is told.
        let ending = ending.wait_for(Option::is_some).await.map(|ending| ending.clone());
        let Ok(Some(Some(last))) = ending else { return Ok(()) };
        last.ended().await.map_err(|error| error.with_context("connector", &self.care.name))
    }

    /// Whether there is a client; whether it works shows when it is used.
    pub fn is_connected(&self) -> bool {
        self.connecting.kept.value().is_some()
    }

    /// The gates that connecting passes, to look at or to force.
    pub fn gates(&self) -> &Gates {
        &self.connecting.gates
    }

    fn begin(&self) -> Begun<C> {
        let leads = Arc::new(AtomicBool::new(false));
        let connecting = self.connecting.clone().get(self.care.clone(), leads.clone());
        // The deadline of this caller is not the deadline of those who wait with it.
        let connecting = Some(Deadline::lifted(connecting).boxed());
        let limit = self.connect_limit().saturating_add(GRACE);
        Begun { connecting, leads, reaper: self.care.reaper.clone(), limit }
    }

    fn connect_limit(&self) -> Duration {
        self.connecting.gates.policy().deadline.unwrap_or(Self::CONNECT_LIMIT)
    }

    fn retire(&self, link: Option<Arc<Link<C>>>) -> bool {
        let Some(link) = link else { return false };
        // Without a closing there is nothing to do but to let go.
        if self.care.closing.is_some() {
            drop(retire(link, self.care.drain_limit));
        }
        true
    }
}

impl<C: Send + Sync + 'static> Connecting<C> {
    /// The client, connected by this caller if nobody else does; `leads` says which.
    async fn get(
        self: Arc<Self>,
        care: Arc<Care<C>>,
        leads: Arc<AtomicBool>,
    ) -> Result<Connected<C>> {
        let connect = || async {
            leads.store(true, Ordering::Relaxed);
            let client =
                execute_with_resilience(&self.gates, Effect::Idempotent, &self.connect).await?;
            Ok(Link::new(client, care))
        };
        match self.kept.get_or_make(connect).await {
            Ok(link) => Ok(Connected(link)),
            Err(Unmade::Failed(error)) => Err(error),
            Err(Unmade::Closed) => Err(closed()),
        }
    }
}

/// What `begun` comes to, or a time-out at `deadline`.
async fn within<C: Send + Sync + 'static>(
    deadline: Deadline,
    begun: Begun<C>,
) -> Result<Connected<C>> {
    let moment = tokio::time::Instant::from_std(deadline.moment());
    let late = |_| Err(Error::new(ErrorKind::Timeout, "the client was not connected in time"));
    tokio::time::timeout_at(moment, begun).await.unwrap_or_else(late)
}

impl<C: Send + Sync + 'static> Future for Begun<C> {
    type Output = Result<Connected<C>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // Nobody polls it after its end.
        let Some(mut connecting) = self.connecting.take() else { return Poll::Pending };
        let polled = connecting.as_mut().poll(context);
        if polled.is_pending() {
            self.connecting = Some(connecting);
        }
        polled
    }
}

impl<C: Send + Sync + 'static> Drop for Begun<C> {
    fn drop(&mut self) {
        let Some(connecting) = self.connecting.take() else { return };
        if self.leads.load(Ordering::Relaxed) {
            let finishing = connecting.map(|connected| connected.map(drop));
            drop(self.reaper.submit("finish connecting", self.limit, finishing));
        }
    }
}

impl<C: Send + Sync + 'static> Link<C> {
    fn new(client: C, care: Arc<Care<C>>) -> Self {
        let (client, in_use) = (Arc::new(client), watch::Sender::new(()));
        Self { client, care, is_retired: AtomicBool::new(false), in_use }
    }
}

/// Brings a client that was taken out of its place to its end, as soon as nobody uses it or `limit`
/// has passed.
fn retire<C: Send + Sync + 'static>(link: Arc<Link<C>>, limit: Duration) -> Job {
    link.is_retired.store(true, Ordering::Release);
    let (client, care) = (link.client.clone(), link.care.clone());
    let mut in_use = link.in_use.subscribe();
    drop(link);
    let whole = limit.saturating_add(Connector::<C>::CLOSING_LIMIT).saturating_add(GRACE);
    care.reaper.clone().submit("close a client", whole, async move {
        // Nothing is ever sent, so a change is the end of the last use.
        tokio::time::timeout(limit, in_use.changed()).await.ok();
        care.close(client).await
    })
}

impl<C: Send + Sync + 'static> Care<C> {
    async fn close(&self, client: Arc<C>) -> Result<()> {
        let Some(closing) = &self.closing else { return Ok(()) };
        let limit = Connector::<C>::CLOSING_LIMIT;
        match tokio::time::timeout(limit, closing(client)).await {
            Ok(closed) => closed,
            Err(_) => Err(Error::new(ErrorKind::Timeout, "the client was not closed in time")
                .with_context("limit", format_args!("{limit:?}"))),
        }
    }
}

impl<C: Send + Sync + 'static> Drop for Link<C> {
    fn drop(&mut self) {
        if *self.is_retired.get_mut() || self.care.closing.is_none() {
            return;
        }
        let (client, care) = (self.client.clone(), self.care.clone());
        let limit = Connector::<C>::CLOSING_LIMIT.saturating_add(GRACE);
        let reaper = care.reaper.clone();
        drop(reaper.submit("close a client", limit, async move { care.close(client).await }));
    }
}

impl<C: Send + Sync + 'static> Exchange<'_, C> {
    /// The exchange has come to its end, and the client may be used for the next.
    pub fn done(mut self) {
        self.is_done = true;
    }
}

impl<C: Send + Sync + 'static> Deref for Exchange<'_, C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.client
    }
}

impl<C: Send + Sync + 'static> Drop for Exchange<'_, C> {
    fn drop(&mut self) {
        if !self.is_done {
            self.connector.reset_if(&self.client);
        }
    }
}

impl<C: Send + Sync + 'static> fmt::Debug for Exchange<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("is_done", &self.is_done).finish_non_exhaustive()
    }
}

impl<C: Send + Sync + 'static> Deref for Connected<C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.0.client
    }
}

impl<C: Send + Sync + 'static> Clone for Connected<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<C: Send + Sync + 'static> fmt::Debug for Connected<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connected").field("connector", &self.0.care.name).finish_non_exhaustive()
    }
}

impl<C: Send + Sync + 'static> fmt::Debug for Connector<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("name", &self.care.name)
            .field("client", &self.connecting.kept)
            .finish_non_exhaustive()
    }
}

impl<C> Clone for Care<C> {
    fn clone(&self) -> Self {
        let Self { name, reaper, closing, drain_limit } = self;
        let (name, reaper, closing) = (name.clone(), reaper.clone(), closing.clone());
        Self { name, reaper, closing, drain_limit: *drain_limit }
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Unavailable, "the connector is closed").with_retry(Retry::Never)
}

/// How much longer a job may take than the limits inside it, so that those speak first.
const GRACE: Duration = Duration::from_secs(1);
