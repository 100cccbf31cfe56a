//! A subsystem made for these tests, whose drivers do what the test says of each instance.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use switchboard::{FeatureHealth, Format, HealthView, InstanceHealth, Switchboard};
use switchboard_core::{
    BuildContext, Clock, Erase, Error, ErrorKind, Health, Lifecycle, Line, NoSettings, Op,
    Registry, Reply, Result, Settings, Subsystem,
};
use switchboard_testkit::{Answer, Script};

pub(crate) trait LampDriver: Lifecycle {
    fn shine(&self) -> Reply<'_, ()>;
}

impl<T: LampDriver> Erase<T> for dyn LampDriver {
    fn erase(driver: Arc<T>) -> Arc<Self> {
        driver
    }
}

switchboard_core::operations! {
    /// What a lamp can be asked.
    pub(crate) mod op {
        SHINE = "shine": Read;
    }
}

#[derive(Debug)]
pub(crate) struct Lamps;

impl Subsystem for Lamps {
    const NAME: &'static str = "lamp";
    const OPERATIONS: &'static [Op] = op::ALL;
    type Driver = dyn LampDriver;
    type Handle = Lamp;

    fn register_built_ins(_: &Registry<Self>) -> Result<()> {
        Ok(())
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Lamp(Line<Lamps>);

impl From<Line<Lamps>> for Lamp {
    fn from(line: Line<Lamps>) -> Self {
        Self(line)
    }
}

impl Lamp {
    pub(crate) fn line(&self) -> &Line<Lamps> {
        &self.0
    }

    pub(crate) async fn shine(&self) -> Result<()> {
        self.0.call(op::SHINE, |lamp| async move { lamp.shine().await }).await
    }

    /// Calls so often, whatever comes of it.
    pub(crate) async fn shine_times(&self, times: usize) {
        for _ in 0..times {
            self.shine().await.ok();
        }
    }
}

/// What a driver is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Build,
    Health,
    Shine,
}

/// A driver that does as the script of its instance says.
struct Bulb(Script<Ask>);

impl Lifecycle for Bulb {
    fn health(&self) -> Reply<'_, Health> {
        self.0.call(Ask::Health)
    }
}

impl LampDriver for Bulb {
    fn shine(&self) -> Reply<'_, ()> {
        self.0.call(Ask::Shine)
    }
}

/// The scripts of all instances, by their names.
#[derive(Clone, Default)]
pub(crate) struct Stage(Arc<Mutex<HashMap<String, Script<Ask>>>>);

impl Stage {
    /// The script of an instance: until it says something else, all is well.
    pub(crate) fn lamp(&self, name: &str) -> Script<Ask> {
        let mut scripts = self.0.lock().unwrap();
        scripts.entry(name.to_owned()).or_insert_with(|| works(Health::up())).clone()
    }

    /// What becomes of the building of an instance: until it says something else, all is well.
    pub(crate) fn socket(&self, name: &str) -> Script<Ask> {
        self.lamp(&format!("socket of {name}"))
    }

    /// From now on it cannot be built.
    pub(crate) fn unplug(&self, name: &str) {
        let error = |_: &Ask| Answer::fail(Error::new(ErrorKind::Unavailable, "no socket"));
        self.socket(name).otherwise(error);
    }

    pub(crate) fn plug_in(&self, name: &str) {
        self.socket(name).otherwise(|_| Answer::reply(()));
    }

    /// How often somebody tried to build an instance.
    pub(crate) fn builds(&self, name: &str) -> usize {
        self.socket(name).calls().len()
    }

    pub(crate) fn feels(&self, name: &str, health: Health) {
        self.lamp(name).otherwise(move |ask| answer(*ask, &health));
    }

    /// From now on checks of it find it up, and calls fail so.
    pub(crate) fn fails(&self, name: &str, kind: ErrorKind) {
        self.lamp(name).otherwise(move |ask| match ask {
            Ask::Health => answer(Ask::Health, &Health::up()),
            Ask::Build | Ask::Shine => Answer::fail(Error::new(kind, "no light")),
        });
    }

    /// How often an instance was asked how it is.
    pub(crate) fn checks(&self, name: &str) -> usize {
        self.lamp(name).calls().iter().filter(|ask| **ask == Ask::Health).count()
    }

    /// A board of lamps; those called `dark…` have nothing to check.
    pub(crate) async fn board(&self, text: &str) -> Switchboard {
        let (registry, stage) = (Registry::<Lamps>::empty(), self.clone());
        let build = move |_: NoSettings, context: BuildContext| {
            let name = context.instance().as_str();
            let (bulb, socket) = (Bulb(stage.lamp(name)), stage.socket(name));
            async move { socket.call::<()>(Ask::Build).await.map(|()| bulb) }
        };
        registry.register("bulb", build).unwrap();
        let text = format!("cache = {{}}\n{text}");
        let builder = Switchboard::builder().registry(registry);
        builder.text("lamps.toml", Format::Toml, text).build().await.unwrap()
    }

    /// A board with these instances, all of them built and checked.
    pub(crate) async fn lit(&self, names: &[&str], more: &str) -> Switchboard {
        let lamps = names.iter().map(|name| format!("lamp.{name}.driver = 'bulb'\n"));
        let board = self.board(&format!("{}{more}", lamps.collect::<String>())).await;
        for name in names {
            light(&board, name).await;
        }
        board.check_health().await;
        board
    }
}

fn works(health: Health) -> Script<Ask> {
    let script = Script::new();
    script.otherwise(move |ask| answer(*ask, &health));
    script
}

fn answer(ask: Ask, health: &Health) -> Answer {
    match ask {
        Ask::Health => Answer::reply(health.clone()),
        Ask::Build | Ask::Shine => Answer::reply(()),
    }
}

pub(crate) fn lamp(board: &Switchboard, name: &str) -> Lamp {
    board.handle::<Lamps>(name).unwrap()
}

/// Builds the driver of an instance; makes no call.
pub(crate) async fn light(board: &Switchboard, name: &str) {
    board.manager::<Lamps>().unwrap().get(name).await.unwrap();
}

/// Gives an instance another driver; the one before is closed when this answers.
pub(crate) async fn swap(board: &Switchboard, name: &str) {
    let settings = Settings::new().with("driver", "bulb");
    let swapped = board.swap(&format!("lamp.{name}"), &settings).await.unwrap();
    swapped.closed().await.unwrap();
}

pub(crate) fn of(view: &HealthView, name: &str) -> InstanceHealth {
    let full_name = format!("lamp.{name}");
    view.instances.iter().find(|found| found.instance == full_name).unwrap().clone()
}

pub(crate) fn status(board: &Switchboard, name: &str) -> &'static str {
    of(&board.health(), name).status
}

pub(crate) fn reason(board: &Switchboard, name: &str) -> String {
    of(&board.health(), name).reason.unwrap_or_default()
}

pub(crate) fn feature(board: &Switchboard, name: &str) -> FeatureHealth {
    board.health().features.into_iter().find(|found| found.feature == name).unwrap()
}

/// Looks ten times a second, for as long as three intervals may be, until something is so.
pub(crate) async fn until(board: &Switchboard, is_so: impl Fn(&HealthView) -> bool) -> HealthView {
    for _ in 0..330 {
        let view = board.health();
        if is_so(&view) {
            return view;
        }
        pass(Duration::from_millis(100)).await;
    }
    panic!("it never came to be: {:#?}", board.health());
}

/// Looks ten times a second, for longer than two intervals may be, whether something is always so.
pub(crate) async fn throughout(board: &Switchboard, is_so: impl Fn(&HealthView) -> bool) {
    for _ in 0..230 {
        let view = board.health();
        assert!(is_so(&view), "{view:#?}");
        pass(Duration::from_millis(100)).await;
    }
}

pub(crate) async fn pass(time: Duration) {
    Clock::system().sleep(time).await;
}

/// As configured where nothing is.
pub(crate) const EVERY: Duration = Duration::from_secs(10);
pub(crate) const LIMIT: Duration = Duration::from_secs(2);
/// Longer than the time between two checks may be.
pub(crate) const ROUND: Duration = Duration::from_millis(11_100);
