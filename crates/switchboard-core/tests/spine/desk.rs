//! A contract made for these tests, and a driver that does as its script says.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use switchboard_core::{
    BuildContext, Descriptor, Environment, Erase, Error, ErrorKind, Health, Held, Leased, LeftOut,
    Lifecycle, Line, Manager, Op, Registry, Reply, Result, Settings, Subsystem,
};
use tokio::sync::watch;

switchboard_core::operations! {
    /// What a desk can be asked.
    pub(crate) mod op {
        ASK = "ask": Read;
        FILE = "file": Keyed;
        TELL = "tell": Unsafe;
        HAND_OVER = "hand over": Unsafe;
        SESSION = "session": Read;
        WRITE = "write": Unsafe;
        LISTEN = "listen": Read;
        NEXT = "next": Read;
    }
}

/// A subsystem; the number makes two different ones of the same contract.
pub(crate) struct Office<const NUMBER: usize>;
pub(crate) type Desks = Office<0>;
pub(crate) type Lamps = Office<1>;

impl<const NUMBER: usize> Subsystem for Office<NUMBER> {
    const NAME: &'static str = if NUMBER == 0 { "desk" } else { "lamp" };
    const OPERATIONS: &'static [Op] = op::ALL;
    const LEFT_OUT: &'static [LeftOut] = &[LeftOut { driver: "marble", feature: "stone" }];
    type Driver = dyn DeskDriver;
    type Handle = Desk<NUMBER>;

    fn register_built_ins(registry: &Registry<Self>) -> Result<()> {
        Script::new().register(registry, "paper")
    }
}

pub(crate) trait DeskDriver: Lifecycle {
    fn ask<'a>(&'a self, question: &'a str) -> Reply<'a, String>;
    fn hand_over(&self, body: Vec<u8>) -> Reply<'_, usize>;
    fn session(&self) -> Reply<'_, Session>;
    fn listen(&self) -> Reply<'_, Stream>;
}

impl<T: DeskDriver> Erase<T> for dyn DeskDriver {
    fn erase(driver: Arc<T>) -> Arc<Self> {
        driver
    }
}

/// The handle.
pub(crate) struct Desk<const NUMBER: usize = 0>(Line<Office<NUMBER>>);

impl<const NUMBER: usize> Clone for Desk<NUMBER> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<const NUMBER: usize> From<Line<Office<NUMBER>>> for Desk<NUMBER> {
    fn from(line: Line<Office<NUMBER>>) -> Self {
        Self(line)
    }
}

impl<const NUMBER: usize> Desk<NUMBER> {
    pub(crate) fn line(&self) -> &Line<Office<NUMBER>> {
        &self.0
    }

    pub(crate) async fn ask(&self, question: &str) -> Result<String> {
        self.ask_as(op::ASK, question).await
    }

    /// The same call under another operation, and so with another effect.
    pub(crate) async fn ask_as(&self, op: Op, question: &str) -> Result<String> {
        let ask = |desk: Held<Office<NUMBER>>| async move { desk.ask(question).await };
        self.0.call(op, ask).await
    }

    pub(crate) async fn hand_over(&self, body: Vec<u8>) -> Result<usize> {
        let ask = |desk: Held<Office<NUMBER>>| async move { desk.hand_over(body).await };
        self.0.call_once(op::HAND_OVER, ask).await
    }

    pub(crate) async fn session(&self) -> Result<Leased<Office<NUMBER>, Session>> {
        self.0.open(op::SESSION, |desk| async move { desk.session().await }).await
    }

    pub(crate) async fn listen(&self) -> Result<Leased<Office<NUMBER>, Stream>> {
        self.0.open(op::LISTEN, |desk| async move { desk.listen().await }).await
    }
}

/// Writes one line in a session, watched by the line.
pub(crate) async fn write<const N: usize>(
    leased: &mut Leased<Office<N>, Session>,
) -> Result<usize> {
    let (session, step) = leased.parts();
    step.run(op::WRITE, session.write()).await
}

/// Takes the next item of a stream, watched by the line.
pub(crate) async fn next<const N: usize>(
    leased: &mut Leased<Office<N>, Stream>,
) -> Result<Option<usize>> {
    let (stream, step) = leased.parts();
    step.run(op::NEXT, stream.next()).await
}

/// Something a driver or what it opened does, where the script can interfere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Step {
    Build,
    Init,
    Health,
    Close,
    Ask,
    Open,
    Write,
    Next,
}

/// What happens at a step.
#[derive(Clone)]
pub(crate) enum Act {
    /// It works; one await on the way, so that it can be dropped there.
    Work,
    Fail(Error),
    Hang,
    /// It works once the gate is open.
    Wait(Gate),
    Panic,
}

/// Holds a step up until it is opened.
#[derive(Clone)]
pub(crate) struct Gate(Arc<watch::Sender<bool>>);

impl Gate {
    pub(crate) fn closed() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    pub(crate) fn open(&self) {
        self.0.send_replace(true);
    }

    async fn passed(&self) {
        self.0.subscribe().wait_for(|open| *open).await.unwrap();
    }
}

/// What all drivers of a test share: what they are to do and what they did. Clones are the same.
#[derive(Clone)]
pub(crate) struct Script(Arc<Scripted>);

struct Scripted {
    once: Mutex<HashMap<Step, VecDeque<Act>>>,
    always: Mutex<HashMap<Step, Act>>,
    health: Mutex<Health>,
    counts: watch::Sender<BTreeMap<Step, usize>>,
    journal: Mutex<Vec<String>>,
    /// Built and not closed to the end.
    live: AtomicUsize,
    live_max: AtomicUsize,
    open: AtomicUsize,
    /// Drivers dropped without having been closed, or closed twice.
    mistakes: AtomicUsize,
}

impl Script {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Scripted {
            once: Mutex::default(),
            always: Mutex::default(),
            health: Mutex::new(Health::up()),
            counts: watch::Sender::default(),
            journal: Mutex::default(),
            live: AtomicUsize::new(0),
            live_max: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            mistakes: AtomicUsize::new(0),
        }))
    }

    /// What the next `step` does; said several times, the steps do it in that order.
    pub(crate) fn once(&self, step: Step, act: Act) {
        self.0.once.lock().unwrap().entry(step).or_default().push_back(act);
    }

    /// What every `step` does from now on.
    pub(crate) fn always(&self, step: Step, act: Act) {
        self.0.always.lock().unwrap().insert(step, act);
    }

    /// How drivers say they are.
    pub(crate) fn feel(&self, health: Health) {
        *self.0.health.lock().unwrap() = health;
    }

    /// How often `step` was begun.
    pub(crate) fn count(&self, step: Step) -> usize {
        self.0.counts.borrow().get(&step).copied().unwrap_or(0)
    }

    /// Ends when `step` has been begun `times` times.
    pub(crate) async fn reached(&self, step: Step, times: usize) {
        let mut counts = self.0.counts.subscribe();
        let reached = counts.wait_for(|counts| counts.get(&step).is_some_and(|n| *n >= times));
        let patience = Duration::from_hours(1);
        let reached = tokio::time::timeout(patience, reached).await;
        assert!(reached.is_ok(), "{step:?} was never begun {times} times");
    }

    /// Drivers that were built and are not closed.
    pub(crate) fn live(&self) -> usize {
        self.0.live.load(Ordering::SeqCst)
    }

    /// The largest number of drivers that ever lived at once.
    pub(crate) fn live_max(&self) -> usize {
        self.0.live_max.load(Ordering::SeqCst)
    }

    /// Sessions and streams that are open.
    pub(crate) fn open(&self) -> usize {
        self.0.open.load(Ordering::SeqCst)
    }

    /// Everything done so far, in order: `who step`.
    pub(crate) fn journal(&self) -> Vec<String> {
        self.0.journal.lock().unwrap().clone()
    }

    /// Whoever was closed, in order.
    pub(crate) fn closed(&self) -> Vec<String> {
        let closed = |line: String| line.strip_suffix(" Close").map(str::to_owned);
        self.journal().into_iter().filter_map(closed).collect()
    }

    pub(crate) fn note(&self, who: &str, what: impl std::fmt::Debug) {
        self.0.journal.lock().unwrap().push(format!("{who} {what:?}"));
    }

    /// No driver was closed twice or dropped without being closed, and `live` of them live.
    #[track_caller]
    pub(crate) fn assert_tidy(&self, live: usize) {
        assert_eq!(self.live(), live, "drivers alive: {:#?}", self.journal());
        assert_eq!(self.open(), 0, "opened things left: {:#?}", self.journal());
        let mistakes = self.0.mistakes.load(Ordering::SeqCst);
        assert_eq!(mistakes, 0, "closed twice or never: {:#?}", self.journal());
    }

    /// Registers a driver that follows this script.
    #[track_caller]
    pub(crate) fn register<const NUMBER: usize>(
        &self,
        registry: &Registry<Office<NUMBER>>,
        descriptor: impl Into<Descriptor>,
    ) -> Result<()> {
        let script = self.clone();
        registry.register(descriptor, move |config: DeskConfig, context| {
            build::<0>(script.clone(), config, context)
        })
    }

    /// The same as another type of driver.
    pub(crate) fn register_other(&self, registry: &Registry<Desks>, name: &str) {
        let script = self.clone();
        let make = move |config: DeskConfig, context| build::<1>(script.clone(), config, context);
        registry.register(name, make).unwrap();
    }

    /// A driver made by hand.
    pub(crate) fn driver<const KIND: usize>(&self, who: &str) -> Driver<KIND> {
        let live = self.0.live.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.live_max.fetch_max(live, Ordering::SeqCst);
        Driver { who: who.to_owned(), script: self.clone(), closed: AtomicBool::new(false) }
    }

    async fn play(&self, step: Step, who: &str) -> Result<()> {
        self.note(who, step);
        self.0.counts.send_modify(|counts| *counts.entry(step).or_default() += 1);
        let act = self.next_act(step);
        tokio::task::yield_now().await;
        match act {
            Act::Work => Ok(()),
            Act::Fail(error) => Err(error),
            Act::Hang => std::future::pending().await,
            Act::Wait(gate) => {
                gate.passed().await;
                Ok(())
            }
            Act::Panic => panic!("{step:?} panics on purpose"),
        }
    }

    fn next_act(&self, step: Step) -> Act {
        let once = self.0.once.lock().unwrap().get_mut(&step).and_then(VecDeque::pop_front);
        once.or_else(|| self.0.always.lock().unwrap().get(&step).cloned()).unwrap_or(Act::Work)
    }
}

/// The settings of every desk.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeskConfig {
    /// What it calls itself; without it, as its instance is called.
    #[serde(default)]
    label: Option<String>,
    /// Other instances that it looks up while it is built: `desk.a`, `lamp.b`.
    #[serde(default)]
    needs: Vec<String>,
}

async fn build<const KIND: usize>(
    script: Script,
    config: DeskConfig,
    context: BuildContext,
) -> Result<Driver<KIND>> {
    let who = config.label.unwrap_or_else(|| context.instance().to_string());
    script.play(Step::Build, &who).await?;
    for needed in &config.needs {
        match needed.split_once('.').unwrap() {
            ("desk", name) => drop(context.other::<Desks>(name).await?),
            (_, name) => drop(context.other::<Lamps>(name).await?),
        }
    }
    Ok(script.driver(&who))
}

/// A driver that follows its script; the number makes different types of it.
pub(crate) struct Driver<const KIND: usize = 0> {
    who: String,
    script: Script,
    closed: AtomicBool,
}

impl<const KIND: usize> Driver<KIND> {
    fn open(&self) -> Open {
        self.script.0.open.fetch_add(1, Ordering::SeqCst);
        Open { who: self.who.clone(), script: self.script.clone(), count: 0 }
    }
}

impl<const KIND: usize> Lifecycle for Driver<KIND> {
    fn init(&self) -> Reply<'_, ()> {
        Reply::run(self.script.play(Step::Init, &self.who))
    }

    fn health(&self) -> Reply<'_, Health> {
        Reply::run(async {
            self.script.play(Step::Health, &self.who).await?;
            Ok(self.script.0.health.lock().unwrap().clone())
        })
    }

    fn close(&self) -> Reply<'_, ()> {
        if self.closed.swap(true, Ordering::SeqCst) {
            self.script.0.mistakes.fetch_add(1, Ordering::SeqCst);
        }
        Reply::run(async {
            // However closing ends, the manager has done its part.
            let _gone = Gone(&self.script);
            self.script.play(Step::Close, &self.who).await
        })
    }
}

struct Gone<'s>(&'s Script);

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        self.0.0.live.fetch_sub(1, Ordering::SeqCst);
    }
}

impl<const KIND: usize> DeskDriver for Driver<KIND> {
    fn ask<'a>(&'a self, question: &'a str) -> Reply<'a, String> {
        Reply::run(async move {
            self.script.play(Step::Ask, &self.who).await?;
            assert!(!self.closed.load(Ordering::SeqCst), "{} was closed under a call", self.who);
            Ok(format!("{}: {question}", self.who))
        })
    }

    fn hand_over(&self, body: Vec<u8>) -> Reply<'_, usize> {
        Reply::run(async move {
            self.script.play(Step::Ask, &self.who).await?;
            Ok(body.len())
        })
    }

    fn session(&self) -> Reply<'_, Session> {
        Reply::run(async {
            let session = Session(self.open());
            self.script.play(Step::Open, &self.who).await?;
            Ok(session)
        })
    }

    fn listen(&self) -> Reply<'_, Stream> {
        Reply::run(async {
            let stream = Stream(self.open());
            self.script.play(Step::Open, &self.who).await?;
            Ok(stream)
        })
    }
}

impl<const KIND: usize> Drop for Driver<KIND> {
    fn drop(&mut self) {
        if !self.closed.load(Ordering::SeqCst) {
            self.script.note(&self.who, "dropped unclosed");
            self.script.0.mistakes.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Something open; the script counts it until it is dropped.
struct Open {
    who: String,
    script: Script,
    count: usize,
}

impl Open {
    async fn step(&mut self, step: Step) -> Result<usize> {
        self.script.play(step, &self.who).await?;
        self.count += 1;
        Ok(self.count)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.script.note(&self.who, "opened thing dropped");
        self.script.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(crate) struct Session(Open);

impl Session {
    /// How many lines were written.
    pub(crate) fn write(&mut self) -> impl Future<Output = Result<usize>> {
        self.0.step(Step::Write)
    }
}

pub(crate) struct Stream(Open);

impl Stream {
    /// The next of three items.
    pub(crate) async fn next(&mut self) -> Result<Option<usize>> {
        let item = self.0.step(Step::Next).await?;
        Ok((item <= 3).then_some(item))
    }
}

/// A manager of desks whose drivers `paper`, `glass` (another type) and `vault` (exclusive) follow
/// one script.
pub(crate) struct World {
    pub(crate) script: Script,
    pub(crate) environment: Environment,
    pub(crate) desks: Manager<Desks>,
}

impl World {
    pub(crate) fn new() -> Self {
        let script = Script::new();
        let environment = Environment::new();
        let registry = Registry::empty();
        script.register(&registry, "paper").unwrap();
        script.register_other(&registry, "glass");
        script.register(&registry, Descriptor::new("vault").exclusive()).unwrap();
        let desks = Manager::new(registry, &environment).unwrap();
        Self { script, environment, desks }
    }

    /// The same with these instances of the driver `paper`.
    pub(crate) fn with(names: &[&str]) -> Self {
        let world = Self::new();
        for name in names {
            world.desks.configure(name, &paper()).unwrap();
        }
        world
    }

    /// Lets everything that is only waiting for a turn have it; no time passes.
    pub(crate) async fn settle(&self) {
        settle().await;
    }

    /// Ends when the reaper has nothing left to do.
    pub(crate) async fn swept(&self) {
        let deadline = self.environment.clock().now() + Duration::from_hours(1);
        self.environment.reaper().idle(deadline).await.unwrap();
    }
}

pub(crate) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

pub(crate) fn paper() -> Settings {
    Settings::new().with("driver", "paper")
}

pub(crate) fn labelled(driver: &'static str, label: &str) -> Settings {
    Settings::new().with("driver", driver).with("label", label)
}

pub(crate) fn needing(needs: &[&'static str]) -> Settings {
    paper().with("needs", needs.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
}

/// The service cannot be reached, and nothing is known of the effect.
pub(crate) fn outage() -> Error {
    Error::new(ErrorKind::Unavailable, "nobody at the desk")
}
