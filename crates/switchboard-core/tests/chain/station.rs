//! A subsystem of pumps: its driver does what the service behind it was told to do.

use std::collections::{HashMap, VecDeque};
use std::future::{Future, pending};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use switchboard_core::{
    Backoff, BreakerPolicy, BreakerWindow, BulkheadLimit, Clock, Descriptor, Environment, Erase,
    Error, ErrorKind, Event, Jitter, Lifecycle, Line, Manager, Op, Policy, RateLimit, Registry,
    Reply, Result, RetryPolicy, Settings, Subscription, Subsystem,
};

/// The subsystem. Its handle is the bare line.
#[derive(Debug)]
pub(crate) struct Pumps;

switchboard_core::operations! {
    /// What a pump can be asked: one operation of each effect.
    pub(crate) mod op {
        PEEK = "peek": Read;
        SET = "set": Idempotent;
        SEND = "send": Keyed;
        POUR = "pour": Unsafe;
    }
}

pub(crate) trait PumpDriver: Lifecycle {
    fn ask(&self) -> Reply<'_, u32>;
}

impl<T: PumpDriver> Erase<T> for dyn PumpDriver {
    fn erase(driver: Arc<T>) -> Arc<Self> {
        driver
    }
}

impl Subsystem for Pumps {
    const NAME: &'static str = "pump";
    type Driver = dyn PumpDriver;
    type Handle = Line<Self>;
    const OPERATIONS: &'static [Op] = op::ALL;

    fn register_built_ins(_: &Registry<Self>) -> Result<()> {
        Ok(())
    }
}

/// What drivers speak to. Without a script it answers at once.
#[derive(Default)]
pub(crate) struct Service {
    script: Mutex<VecDeque<Lot>>,
    asked: AtomicU32,
}

/// What becomes of one attempt.
pub(crate) type Lot = Box<dyn FnOnce() -> BoxFuture<'static, Result<u32>> + Send>;

pub(crate) struct Scripted(Arc<Service>);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScriptedConfig {
    /// The name of the service.
    service: String,
    /// Whether it is never done with starting.
    #[serde(default)]
    hangs_at_start: bool,
}

impl PumpDriver for Scripted {
    fn ask(&self) -> Reply<'_, u32> {
        let asked = self.0.asked.fetch_add(1, Ordering::Relaxed) + 1;
        let lot = self.0.script.lock().unwrap().pop_front();
        lot.map_or_else(|| Reply::ready(Ok(asked)), |lot| Reply::run(lot()))
    }
}

impl Lifecycle for Scripted {}

impl Service {
    /// What becomes of the next attempts, one each.
    pub(crate) fn will(&self, lots: impl IntoIterator<Item = Lot>) {
        self.script.lock().unwrap().extend(lots);
    }

    /// From now on it answers at once.
    pub(crate) fn forget_script(&self) {
        self.script.lock().unwrap().clear();
    }

    /// How many attempts reached it.
    pub(crate) fn asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }
}

pub(crate) fn runs<F, Fut>(make: F) -> Lot
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = Result<u32>> + Send + 'static,
{
    Box::new(|| make().boxed())
}

pub(crate) fn fails(error: Error) -> Lot {
    runs(|| async { Err(error) })
}

pub(crate) fn hangs() -> Lot {
    runs(pending)
}

pub(crate) fn panics() -> Lot {
    runs(|| async { panic!("on purpose") })
}

/// Ends with `result` after so many milliseconds.
pub(crate) fn takes(ms: u64, result: Result<u32>) -> Lot {
    runs(move || async move {
        Clock::system().sleep(millis(ms)).await;
        result
    })
}

/// As many lots as asked for, all alike.
pub(crate) fn times(count: usize, lot: impl Fn() -> Lot) -> Vec<Lot> {
    (0..count).map(|_| lot()).collect()
}

/// An outage that leaves open what happened.
pub(crate) fn lost() -> Error {
    Error::new(ErrorKind::Unavailable, "the connection was lost")
}

/// An outage before anything could happen.
pub(crate) fn refused() -> Error {
    Error::new(ErrorKind::Unavailable, "the connection was refused").not_applied()
}

pub(crate) fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A manager of pumps, its services, and what was heard of its lines.
pub(crate) struct Station {
    pub(crate) clock: Clock,
    pub(crate) manager: Manager<Pumps>,
    services: Arc<Mutex<HashMap<String, Arc<Service>>>>,
    heard: Arc<Mutex<Vec<String>>>,
    _listening: Subscription,
}

impl Station {
    pub(crate) fn new() -> Self {
        Self::within(Environment::new())
    }

    pub(crate) fn within(environment: Environment) -> Self {
        let environment = environment.with_clock(Clock::seeded(7));
        let services: Arc<Mutex<HashMap<String, Arc<Service>>>> = Arc::default();
        let registry = Registry::empty();
        let patient = Policy { retry: Some(retry(4)), ..Policy::default() };
        let patient = Descriptor::new("patient").usual_policy(patient);
        for descriptor in [Descriptor::new("scripted"), patient] {
            let known = services.clone();
            registry
                .register(descriptor, move |config: ScriptedConfig, _| {
                    let service = known.lock().unwrap().entry(config.service).or_default().clone();
                    async move {
                        if config.hangs_at_start {
                            pending::<()>().await;
                        }
                        Ok(Scripted(service))
                    }
                })
                .unwrap();
        }
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let ear = heard.clone();
        let listening =
            environment.events().subscribe(move |event| ear.lock().unwrap().push(told(event)));
        Self {
            clock: environment.clock().clone(),
            manager: Manager::new(registry, &environment).unwrap(),
            services,
            heard,
            _listening: listening,
        }
    }

    /// The service behind the instance of that name.
    pub(crate) fn service(&self, name: &str) -> Arc<Service> {
        self.services.lock().unwrap().entry(name.to_owned()).or_default().clone()
    }

    /// An instance that is built, behind these gates.
    pub(crate) async fn line(&self, name: &str, policy: Policy) -> Line<Pumps> {
        self.manager.configure(name, &served_by(name)).unwrap();
        self.manager.retune(name, policy).unwrap();
        self.manager.get(name).await.unwrap()
    }

    /// One instance called `main`, and its service.
    pub(crate) async fn main(&self, policy: Policy) -> (Line<Pumps>, Arc<Service>) {
        (self.line("main", policy).await, self.service("main"))
    }

    /// What was heard since the last time.
    pub(crate) fn heard(&self) -> Vec<String> {
        std::mem::take(&mut self.heard.lock().unwrap())
    }

    /// The output of `future`, and how long it took.
    pub(crate) async fn timed<T>(&self, future: impl Future<Output = T>) -> (T, Duration) {
        let began = self.clock.now();
        let output = future.await;
        (output, self.clock.now() - began)
    }
}

pub(crate) fn served_by(service: &str) -> Settings {
    Settings::new().with("driver", "scripted").with("service", service)
}

pub(crate) async fn ask(line: &Line<Pumps>, op: Op) -> Result<u32> {
    line.call(op, |driver| async move { driver.ask().await }).await
}

/// Calls as often as said, and wants each to fail.
pub(crate) async fn fail(line: &Line<Pumps>, calls: usize) {
    for _ in 0..calls {
        ask(line, op::PEEK).await.unwrap_err();
    }
}

/// Why the last attempt was the last one.
pub(crate) fn stopped(error: &Error) -> Option<&str> {
    error.context_value("stopped")
}

/// So many attempts, ten milliseconds apart.
pub(crate) fn retry(attempts: u32) -> RetryPolicy {
    let backoff = Backoff { first: millis(10), max: millis(10) };
    RetryPolicy { attempts, backoff, jitter: Jitter::None, ..RetryPolicy::default() }
}

/// Opens for ten seconds when half of the last calls failed, and all of them were seen.
pub(crate) fn breaker(calls: u32) -> BreakerPolicy {
    BreakerPolicy {
        window: BreakerWindow::Calls(calls),
        min_calls: calls,
        open_for: Duration::from_secs(10),
        jitter: Jitter::None,
        ..BreakerPolicy::default()
    }
}

/// So many slots, and nobody waits.
pub(crate) fn slots(max: u32) -> BulkheadLimit {
    BulkheadLimit { max, queue: 0, ..BulkheadLimit::default() }
}

/// So many tokens; another one comes after an hour, and nobody waits.
pub(crate) fn tokens(burst: u64) -> RateLimit {
    RateLimit { rate: 1, per: Duration::from_hours(1), burst, wait: Duration::ZERO }
}

/// One call in so many milliseconds, and any wait is fine.
pub(crate) fn one_in(ms: u64) -> RateLimit {
    RateLimit { rate: 1, per: millis(ms), burst: 1, wait: Duration::from_hours(1) }
}

/// How many tokens there are; takes them.
pub(crate) fn tokens_left(line: &Line<Pumps>) -> u32 {
    let gates = line.gates().unwrap();
    let limiter = gates.rate_limiter().unwrap();
    let mut taken = 0;
    while limiter.try_acquire(1).is_ok() {
        taken += 1;
    }
    taken
}

/// Nothing of a call is left anywhere.
#[track_caller]
pub(crate) fn check_at_rest(line: &Line<Pumps>) {
    assert_eq!(line.in_flight(), 0, "a driver is held");
    let Some(gates) = line.gates() else { return };
    if let Some(bulkhead) = gates.bulkhead() {
        assert_eq!((bulkhead.in_use(), bulkhead.waiting()), (0, 0), "in use and waiting");
    }
}

fn told(event: &Event) -> String {
    let who = event.source();
    let what = match event {
        Event::BreakerOpened { open_for, error, .. } => {
            let error = error.as_ref().map_or("no error", Error::message);
            format!("open for {open_for:?}: {error}")
        }
        Event::BreakerHalfOpened { .. } => "half-open".to_owned(),
        Event::BreakerClosed { .. } => "closed".to_owned(),
        Event::BreakerForced { state, .. } => format!("forced: {state}"),
        Event::Retrying { operation, attempt, delay, .. } => {
            format!("{operation} failed {attempt} times, next in {delay:?}")
        }
        Event::RetryStopped { operation, attempts, why, .. } => {
            format!("{operation} given up after {attempts}: {why}")
        }
        Event::Hedged { operation, after, .. } => format!("{operation} hedged after {after:?}"),
        Event::Refused { operation, gate, .. } => format!("{operation} refused by the {gate}"),
        Event::FailedOver { from, to, .. } => format!("from {from} to {to}"),
        Event::Swapped { driver, generation, .. } => format!("served by {driver} {generation}"),
        other => format!("{other:?}"),
    };
    format!("{who}: {what}")
}
