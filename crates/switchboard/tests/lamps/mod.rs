//! A subsystem of an application's own, whose drivers tell what becomes of them.

#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of it")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use schemars::JsonSchema;
use serde::Deserialize;
use switchboard::{Builder, Format, Switchboard};
use switchboard_core::settings::duration;
use switchboard_core::{
    Clock, Descriptor, Erase, Error, ErrorKind, Health, Lifecycle, Line, NoSettings, Op, Registry,
    Reply, Result, Subsystem,
};

switchboard_core::operations! {
    pub mod op {
        COLOUR = "colour": Read;
    }
}

pub trait LampDriver: Lifecycle {
    fn colour(&self) -> Reply<'_, String>;
}

impl<T: LampDriver> Erase<T> for dyn LampDriver {
    fn erase(driver: Arc<T>) -> Arc<Self> {
        driver
    }
}

pub struct Lamps;

impl Subsystem for Lamps {
    const NAME: &'static str = "lamp";
    const OPERATIONS: &'static [Op] = op::ALL;
    type Driver = dyn LampDriver;
    type Handle = Lamp;

    fn register_built_ins(_: &Registry<Self>) -> Result<()> {
        Ok(())
    }
}

#[derive(Clone)]
pub struct Lamp(pub Line<Lamps>);

impl From<Line<Lamps>> for Lamp {
    fn from(line: Line<Lamps>) -> Self {
        Self(line)
    }
}

impl Lamp {
    pub async fn colour(&self) -> Result<String> {
        self.0.call(op::COLOUR, |lamp| async move { lamp.colour().await }).await
    }
}

/// What became of all the bulbs of a test.
#[derive(Clone, Default)]
pub struct Bulbs(Arc<Counts>);

#[derive(Default)]
struct Counts {
    built: AtomicUsize,
    closed: AtomicUsize,
}

impl Bulbs {
    pub fn built(&self) -> usize {
        self.0.built.load(Ordering::SeqCst)
    }

    pub fn closed(&self) -> usize {
        self.0.closed.load(Ordering::SeqCst)
    }

    /// A driver for each way in which a lamp can be: `bulb`, `neon`, of which there is never more than
    /// one, `mirror`, which shows another lamp, and `lost`, which is never there.
    fn register(&self, registry: &Registry<Lamps>) -> Result<()> {
        for descriptor in [Descriptor::new("bulb"), Descriptor::new("neon").exclusive()] {
            let bulbs = self.clone();
            registry.register(descriptor, move |config: BulbConfig, context| {
                let bulbs = bulbs.clone();
                async move {
                    bulbs.0.built.fetch_add(1, Ordering::SeqCst);
                    Ok(Bulb { config, bulbs, clock: context.clock().clone() })
                }
            })?;
        }
        registry.register("lost", |_: NoSettings, _| async move {
            std::future::pending::<()>().await;
            Err::<Bulb, _>(outage("it is lost"))
        })?;
        registry.register("mirror", |config: MirrorConfig, context| async move {
            Ok(Mirror { of: context.other::<Lamps>(&config.of).await? })
        })
    }

    /// A board of lamps whose configuration is `text`.
    pub fn board(&self, text: &str) -> Builder {
        self.builder().text("lamps.toml", Format::Toml, text)
    }

    /// A board of lamps that is not configured yet.
    pub fn builder(&self) -> Builder {
        let register = |registry: &Registry<Lamps>| self.register(registry);
        Switchboard::builder().subsystem::<Lamps>().drivers(register)
    }
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BulbConfig {
    pub colour: String,
    /// Cannot be switched on.
    #[serde(default)]
    pub broken: bool,
    /// Switched on, but does not shine.
    #[serde(default)]
    pub dark: bool,
    /// How long each answer takes.
    #[serde(default, with = "duration::option")]
    #[schemars(with = "Option<duration::Text>")]
    pub slow: Option<std::time::Duration>,
}

pub struct Bulb {
    config: BulbConfig,
    bulbs: Bulbs,
    clock: Clock,
}

impl Lifecycle for Bulb {
    fn init(&self) -> Reply<'_, ()> {
        Reply::ready(if self.config.broken { Err(outage("the bulb is broken")) } else { Ok(()) })
    }

    fn health(&self) -> Reply<'_, Health> {
        Reply::ready(Ok(if self.config.dark { Health::down("it is dark") } else { Health::up() }))
    }

    fn close(&self) -> Reply<'_, ()> {
        self.bulbs.0.closed.fetch_add(1, Ordering::SeqCst);
        Reply::ready(Ok(()))
    }
}

impl LampDriver for Bulb {
    fn colour(&self) -> Reply<'_, String> {
        let Some(slow) = self.config.slow else {
            return Reply::ready(Ok(self.config.colour.clone()));
        };
        Reply::run(async move {
            self.clock.sleep(slow).await;
            Ok(self.config.colour.clone())
        })
    }
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MirrorConfig {
    pub of: String,
}

struct Mirror {
    of: Lamp,
}

impl Lifecycle for Mirror {}

impl LampDriver for Mirror {
    fn colour(&self) -> Reply<'_, String> {
        Reply::run(self.of.colour())
    }
}

fn outage(message: &'static str) -> Error {
    Error::new(ErrorKind::Unavailable, message)
}
