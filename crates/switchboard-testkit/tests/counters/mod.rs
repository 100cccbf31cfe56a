// A small subsystem for the tests and the examples of the documentation, which include this file.

use std::sync::Arc;

use switchboard_core::{Erase, Leased, Lifecycle, Line, Op, Registry, Reply, Result, Subsystem};

/// Counters that can be read, and watched for as long as one likes.
pub trait CountersDriver: Lifecycle {
    /// The value now.
    fn read<'a>(&'a self, name: &'a str) -> Reply<'a, u64>;

    /// Begins to watch.
    fn watch<'a>(&'a self, name: &'a str) -> Reply<'a, Watch>;
}

/// A counter being watched.
#[derive(Debug)]
pub struct Watch;

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

    fn register_built_ins(_: &Registry<Self>) -> Result<()> {
        Ok(())
    }
}

/// The handle.
#[derive(Clone, Debug)]
pub struct Counters {
    line: Line<CountersSubsystem>,
}

impl Counters {
    /// The value now.
    pub async fn read(&self, name: &str) -> Result<u64> {
        self.line.call(op::READ, |driver| async move { driver.read(name).await }).await
    }

    /// Watches until the answer is dropped.
    pub async fn watch(&self, name: &str) -> Result<Leased<CountersSubsystem, Watch>> {
        self.line.open(op::WATCH, |driver| async move { driver.watch(name).await }).await
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

/// A driver whose counters all have one value.
#[derive(Debug)]
pub struct Fixed(pub u64);

/// The settings of [`Fixed`].
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
pub struct FixedConfig {
    /// The value.
    pub value: u64,
}

/// Adds the driver `fixed`.
pub fn register_fixed(registry: &Registry<CountersSubsystem>) -> Result<()> {
    registry
        .register("fixed", |config: FixedConfig, _context| async move { Ok(Fixed(config.value)) })
}

impl Lifecycle for Fixed {}

impl CountersDriver for Fixed {
    fn read<'a>(&'a self, _: &'a str) -> Reply<'a, u64> {
        Reply::ready(Ok(self.0))
    }

    fn watch<'a>(&'a self, _: &'a str) -> Reply<'a, Watch> {
        Reply::ready(Ok(Watch))
    }
}
