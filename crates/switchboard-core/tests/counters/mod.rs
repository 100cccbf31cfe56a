// A small subsystem for the examples of the documentation, which include this file.

use std::sync::Arc;

use switchboard_core::{
    Environment, Erase, Leased, Lifecycle, Line, Manager, Op, Registry, Reply, Result, Settings,
    Subsystem,
};

/// Counters that can be read, and watched for as long as one likes.
pub trait CountersDriver: Lifecycle {
    /// The value now.
    fn read(&self) -> Reply<'_, u64>;

    /// Begins to watch.
    fn watch(&self) -> Reply<'_, Watch>;
}

impl<T: CountersDriver> Erase<T> for dyn CountersDriver {
    fn erase(driver: Arc<T>) -> Arc<Self> {
        driver
    }
}

switchboard_core::operations! {
    /// What counters can be asked.
    pub mod op {
        READ = "read": Read;
        WATCH = "watch": Read;
        NEXT = "next": Read;
    }
}

/// Ties contract and handle together.
#[derive(Debug)]
pub struct CountersSubsystem;

impl Subsystem for CountersSubsystem {
    const NAME: &'static str = "counters";
    const OPERATIONS: &'static [Op] = op::ALL;

    type Driver = dyn CountersDriver;
    type Handle = Counters;

    fn register_built_ins(registry: &Registry<Self>) -> Result<()> {
        registry.register("fixed", |config: FixedConfig, _| async move { Ok(Fixed(config.value)) })
    }
}

/// The handle.
#[derive(Clone, Debug)]
pub struct Counters {
    line: Line<CountersSubsystem>,
}

impl Counters {
    /// The value now.
    pub async fn read(&self) -> Result<u64> {
        self.line.call(op::READ, |driver| async move { driver.read().await }).await
    }

    /// Watches until the answer is dropped.
    pub async fn watch(&self) -> Result<Leased<CountersSubsystem, Watch>> {
        self.line.open(op::WATCH, |driver| async move { driver.watch().await }).await
    }

    /// The path to the driver.
    pub fn line(&self) -> &Line<CountersSubsystem> {
        &self.line
    }
}

impl From<Line<CountersSubsystem>> for Counters {
    fn from(line: Line<CountersSubsystem>) -> Self {
        Self { line }
    }
}

/// A driver whose counter has one value.
#[derive(Debug)]
pub struct Fixed(pub u64);

/// Its settings.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FixedConfig {
    /// The value.
    pub value: u64,
}

impl Lifecycle for Fixed {}

impl CountersDriver for Fixed {
    fn read(&self) -> Reply<'_, u64> {
        Reply::ready(Ok(self.0))
    }

    fn watch(&self) -> Reply<'_, Watch> {
        Reply::ready(Ok(Watch(self.0)))
    }
}

/// A counter being watched.
#[derive(Debug)]
pub struct Watch(u64);

impl Watch {
    /// The value, once it has changed.
    pub fn next(&mut self) -> impl Future<Output = Result<u64>> {
        self.0 += 1;
        std::future::ready(Ok(self.0))
    }
}

/// The settings of an instance whose counter has `value`.
pub fn fixed(value: u64) -> Settings {
    Settings::new().with("driver", "fixed").with("value", value)
}

/// A manager with the built-in driver and no instance.
pub fn manager() -> Result<Manager<CountersSubsystem>> {
    Manager::new(Registry::with_built_ins()?, &Environment::new())
}
