//! One family of each shape, for the tests, and a provider of every shape that does what it is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use switchboard_core::{
    Backoff, BreakerPolicy, BreakerWindow, BulkheadLimit, Effect, Environment, Erase, Error,
    ErrorKind, Jitter, Lifecycle, Manager, NoSettings, Op, Policy, RateLimit, Registry, Reply,
    Result, RetryPolicy, Settings, Subsystem,
};
use switchboard_provider::{
    Conversation, Dialer, Duplex, Items, Provider, RequestResponse, Requester, Sender, Sink,
    Stream, Streamer, duplex, request_response, sink, stream,
};
use switchboard_testkit::{Answer, Script};

macro_rules! family {
    ($(#[$about:meta])* $name:ident = $text:literal, $driver:ty, $handle:ident, $operations:expr) => {
        $(#[$about])*
        pub(crate) struct $name;

        impl Subsystem for $name {
            const NAME: &'static str = $text;
            const OPERATIONS: &'static [Op] = $operations;
            type Driver = $driver;
            type Handle = $handle<Self>;

            fn register_built_ins(_registry: &Registry<Self>) -> Result<()> {
                Ok(())
            }
        }
    };
}

family!(
    /// Texts in, lengths out.
    Lengths = "lengths",
    dyn RequestResponse<String, usize>,
    Requester,
    request_response::operations(Effect::Read)
);

family!(
    /// A number in, that many numbers out.
    Countdowns = "countdowns",
    dyn Stream<u64, u64>,
    Streamer,
    stream::operations(Effect::Read)
);

family!(
    /// Lines to be kept.
    Journals = "journals",
    dyn Sink<String>,
    Sender,
    sink::operations(Effect::Unsafe)
);

family!(
    /// Whatever is said comes back.
    Echoes = "echoes",
    dyn Duplex<String, String>,
    Dialer,
    duplex::operations(Effect::Read)
);

/// A manager with one instance, `main`, served by `provider` behind the gates of `policy`.
pub(crate) fn serving<S: Subsystem>(
    provider: impl Provided<S>,
    policy: Policy,
) -> Result<Manager<S>> {
    let manager = Manager::new(Registry::empty(), &Environment::new())?;
    provider.insert(&manager)?;
    manager.retune("main", policy)?;
    Ok(manager)
}

/// A provider that can be put into a manager of `S`.
pub(crate) trait Provided<S: Subsystem> {
    fn insert(self, manager: &Manager<S>) -> Result<()>;
}

impl<S, P> Provided<S> for P
where
    S: Subsystem,
    S::Driver: Erase<P>,
    P: 'static,
{
    fn insert(self, manager: &Manager<S>) -> Result<()> {
        manager.insert("main", self)
    }
}

/// A manager whose drivers are these providers, by name.
pub(crate) fn choosing<S>(providers: &[(&'static str, &Played)]) -> Result<Manager<S>>
where
    S: Subsystem,
    S::Driver: Erase<Played>,
{
    let manager = Manager::new(Registry::empty(), &Environment::new())?;
    for (name, played) in providers {
        let played = (*played).clone();
        manager.registry().register(*name, move |_: NoSettings, _| {
            let played = played.clone();
            async move { Ok(played) }
        })?;
    }
    Ok(manager)
}

/// Settings that name a driver and nothing else.
pub(crate) fn by(driver: &str) -> Settings {
    Settings::new().with("driver", driver)
}

/// What a provider can be asked, on any shape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Ask {
    Execute,
    Open,
    Next,
    Send,
    Receive,
    Close,
}

/// A provider of every shape. What its script does not say otherwise goes well: [`ITEM`] and [`WORD`]
/// without end.
#[derive(Clone)]
pub(crate) struct Played {
    pub(crate) script: Script<Ask>,
    /// What is open.
    pub(crate) open: Census,
    is_available: Arc<AtomicBool>,
}

/// What a [`Played`] provider has opened.
struct Opened {
    script: Script<Ask>,
    _citizen: Citizen,
}

impl Played {
    pub(crate) fn new() -> Self {
        Self::with(|answer| answer)
    }

    /// Takes this long for everything.
    pub(crate) fn slow(delay: Duration) -> Self {
        Self::with(move |answer| answer.after(delay))
    }

    fn with(how: impl Fn(Answer) -> Answer + Send + Sync + 'static) -> Self {
        let script = Script::new();
        script.otherwise(move |ask| {
            how(match ask {
                Ask::Execute => Answer::reply(WORD.len()),
                Ask::Open | Ask::Send | Ask::Close => Answer::reply(()),
                Ask::Next => Answer::reply(Some(ITEM)),
                Ask::Receive => Answer::reply(Some(WORD.to_owned())),
            })
        });
        Self { script, open: Census::default(), is_available: Arc::new(AtomicBool::new(true)) }
    }

    /// Whether it says that it is available.
    pub(crate) fn set_available(&self, is_available: bool) {
        self.is_available.store(is_available, Ordering::SeqCst);
    }

    /// How often it was asked that.
    pub(crate) fn asked(&self, what: Ask) -> usize {
        self.script.calls().iter().filter(|asked| **asked == what).count()
    }

    fn opened(&self) -> impl Future<Output = Result<Opened>> + Send + use<> {
        let (script, open) = (self.script.clone(), self.open.clone());
        let opening = script.call::<()>(Ask::Open);
        async move {
            opening.await?;
            Ok(Opened { script, _citizen: open.born() })
        }
    }
}

impl Lifecycle for Played {}

impl Provider for Played {
    fn name(&self) -> &'static str {
        "played"
    }

    fn is_available(&self) -> Reply<'_, bool> {
        Reply::ready(Ok(self.is_available.load(Ordering::SeqCst)))
    }
}

impl RequestResponse<String, usize> for Played {
    fn execute(&self, _: String) -> Reply<'_, usize> {
        self.script.call(Ask::Execute)
    }
}

impl Stream<u64, u64> for Played {
    fn open(&self, _: u64) -> Reply<'_, Box<dyn Items<u64>>> {
        let opened = self.opened();
        Reply::run(async move {
            let items: Box<dyn Items<u64>> = Box::new(opened.await?);
            Ok(items)
        })
    }
}

impl Items<u64> for Opened {
    fn next(&mut self) -> Reply<'_, Option<u64>> {
        self.script.call(Ask::Next)
    }

    fn close(&mut self) -> Reply<'_, ()> {
        self.script.call(Ask::Close)
    }
}

impl Sink<String> for Played {
    fn send(&self, _: String) -> Reply<'_, ()> {
        self.script.call(Ask::Send)
    }
}

impl Duplex<String, String> for Played {
    fn open(&self) -> Reply<'_, Box<dyn Conversation<String, String>>> {
        let opened = self.opened();
        Reply::run(async move {
            let conversation: Box<dyn Conversation<String, String>> = Box::new(opened.await?);
            Ok(conversation)
        })
    }
}

impl Conversation<String, String> for Opened {
    fn send(&self, _: String) -> Reply<'_, ()> {
        self.script.call(Ask::Send)
    }

    fn receive(&self) -> Reply<'_, Option<String>> {
        self.script.call(Ask::Receive)
    }

    fn close(&self) -> Reply<'_, ()> {
        self.script.call(Ask::Close)
    }
}

/// Counts how many of something there are.
#[derive(Clone, Default)]
pub(crate) struct Census(Arc<AtomicUsize>);

pub(crate) struct Citizen(Census);

impl Census {
    pub(crate) fn born(&self) -> Citizen {
        self.0.fetch_add(1, Ordering::SeqCst);
        Citizen(self.clone())
    }

    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Drop for Citizen {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Nobody knows whether it happened.
pub(crate) fn lost() -> Error {
    Error::new(ErrorKind::Unavailable, "connection lost")
}

/// It did not happen.
pub(crate) fn unreachable() -> Error {
    Error::new(ErrorKind::Unavailable, "connection refused").not_applied()
}

/// So many attempts, ten milliseconds apart.
pub(crate) fn retries(attempts: u32) -> Policy {
    let wait = Duration::from_millis(10);
    let backoff = Backoff { first: wait, max: wait };
    let retry = RetryPolicy { attempts, backoff, jitter: Jitter::None, ..RetryPolicy::default() };
    Policy { retry: Some(retry), ..Policy::default() }
}

/// So many slots, and nobody waits.
pub(crate) fn slots(max: u32) -> Policy {
    let bulkhead = BulkheadLimit { max, queue: 0, ..BulkheadLimit::default() };
    Policy { bulkhead: Some(bulkhead), ..Policy::default() }
}

/// So many tokens; another one comes after an hour, and nobody waits.
pub(crate) fn tokens(burst: u64) -> Policy {
    let limit = RateLimit { rate: 1, per: Duration::from_hours(1), burst, wait: Duration::ZERO };
    Policy { rate_limit: Some(limit), ..Policy::default() }
}

/// Opens for ten seconds when half of the last calls failed, and all of them were seen.
pub(crate) fn breaks_after(calls: u32) -> Policy {
    let breaker = BreakerPolicy {
        window: BreakerWindow::Calls(calls),
        min_calls: calls,
        open_for: Duration::from_secs(10),
        jitter: Jitter::None,
        ..BreakerPolicy::default()
    };
    Policy { breaker: Some(breaker), ..Policy::default() }
}

/// The gates of all of them; an earlier one goes before a later one.
pub(crate) fn all(policies: &[Policy]) -> Policy {
    policies.iter().cloned().fold(Policy::default(), |all, next| Policy {
        deadline: all.deadline.or(next.deadline),
        rate_limit: all.rate_limit.or(next.rate_limit),
        bulkhead: all.bulkhead.or(next.bulkhead),
        breaker: all.breaker.or(next.breaker),
        retry: all.retry.or(next.retry),
        hedge: all.hedge.or(next.hedge),
        attempt_timeout: all.attempt_timeout.or(next.attempt_timeout),
    })
}

/// What every stream gives.
pub(crate) const ITEM: u64 = 7;

/// What every conversation says.
pub(crate) const WORD: &str = "word";
