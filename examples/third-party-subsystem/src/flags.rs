//! The subsystem, and the handle that applications hold.

use switchboard_core::{LeftOut, Line, Op, Registry, Result, Subsystem};

use crate::{FlagsDriver, drivers};

switchboard_core::operations! {
    /// What can be asked about flags.
    pub mod op {
        IS_ON = "is_on": Read;
    }
}

/// Ties the contract, its operations and its drivers together.
#[derive(Debug)]
pub struct FlagsSubsystem;

impl Subsystem for FlagsSubsystem {
    const NAME: &'static str = "flags";
    const OPERATIONS: &'static [Op] = op::ALL;
    const LEFT_OUT: &'static [LeftOut] = drivers::LEFT_OUT;

    type Driver = dyn FlagsDriver;
    type Handle = Flags;

    fn register_built_ins(registry: &Registry<Self>) -> Result<()> {
        drivers::register_built_ins(registry)
    }
}

/// Feature flags, from wherever configuration says.
#[derive(Clone, Debug)]
pub struct Flags {
    line: Line<FlagsSubsystem>,
}

impl Flags {
    /// Whether `feature` is on. What nobody has said anything about is off.
    pub async fn is_on(&self, feature: &str) -> Result<bool> {
        let known = self.line.call(op::IS_ON, |driver| async move { driver.is_on(feature).await });
        Ok(known.await?.unwrap_or(false))
    }

    /// The path to the driver, for figures and health.
    pub fn line(&self) -> &Line<FlagsSubsystem> {
        &self.line
    }
}

impl From<Line<FlagsSubsystem>> for Flags {
    fn from(line: Line<FlagsSubsystem>) -> Self {
        Self { line }
    }
}
