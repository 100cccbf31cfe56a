//! A subsystem of the product for the lines to call: its driver does next to nothing, as that of the
//! peers, so that what is measured is the way to it.

use std::hint::black_box;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use switchboard_core::{
    Descriptor, Environment, Erase, Lifecycle, Line, Manager, Op, Policy, Registry, Reply, Result,
    Settings, Subsystem,
};

switchboard_core::operations! {
    /// What the driver can be asked.
    pub mod op {
        GET = "get": Read;
    }
}

/// The contract.
pub trait LengthDriver: Lifecycle {
    fn get(&self, key: &str) -> Reply<'_, u64>;

    fn number(&self) -> u64;
}

impl<T: LengthDriver> Erase<T> for dyn LengthDriver {
    fn erase(driver: Arc<T>) -> Arc<Self> {
        driver
    }
}

/// The subsystem.
pub struct Lengths;

impl Subsystem for Lengths {
    const NAME: &'static str = "length";
    const OPERATIONS: &'static [Op] = op::ALL;

    type Driver = dyn LengthDriver;
    type Handle = Handle;

    fn register_built_ins(registry: &Registry<Self>) -> Result<()> {
        for name in ["memory", "redis", "file", "postgres", "sqlite", "memcached", "dragonfly"] {
            register(registry, name)?;
        }
        register(registry, "layered")
    }
}

/// The handle: a line and nothing else.
#[derive(Clone)]
pub struct Handle(pub Line<Lengths>);

impl From<Line<Lengths>> for Handle {
    fn from(line: Line<Lengths>) -> Self {
        Self(line)
    }
}

impl Handle {
    pub async fn get(&self, key: &str) -> Result<u64> {
        self.0.call(op::GET, |driver| async move { driver.get(key).await }).await
    }
}

/// Answers at once with the length of the key.
struct Length;

#[derive(Deserialize, JsonSchema)]
struct LengthConfig {}

impl Lifecycle for Length {}

impl LengthDriver for Length {
    fn get(&self, key: &str) -> Reply<'_, u64> {
        Reply::ready(Ok(black_box(key).len() as u64))
    }

    fn number(&self) -> u64 {
        black_box(42)
    }
}

/// A manager with nothing in it.
pub fn manager() -> Manager<Lengths> {
    let registry = Registry::with_built_ins().expect("the names differ");
    Manager::new(registry, &Environment::new()).expect("the environment is new")
}

/// The handle of a new instance that is ready, with the gates of `policy`.
pub async fn handle(policy: Policy) -> Handle {
    let manager = manager();
    let settings = Settings::new().with("driver", "memory");
    manager.configure("main", &settings).expect("the settings are right");
    manager.retune("main", policy).expect("the policy makes sense");
    manager.get("main").await.expect("the driver is there")
}

fn register(registry: &Registry<Lengths>, name: &'static str) -> Result<()> {
    registry.register(Descriptor::new(name), |_: LengthConfig, _| async move { Ok(Length) })
}
