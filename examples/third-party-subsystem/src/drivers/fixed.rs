//! Flags that stand in the configuration itself.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use switchboard_core::{Descriptor, Lifecycle, Registry, Reply, Result};

use crate::{FlagsDriver, FlagsSubsystem};

/// The flags.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FixedConfig {
    /// Each feature, and whether it is on.
    pub flags: BTreeMap<String, bool>,
}

/// Answers from its settings.
#[derive(Debug)]
pub struct Fixed {
    flags: BTreeMap<String, bool>,
}

pub(super) fn register(registry: &Registry<FlagsSubsystem>) -> Result<()> {
    registry.register(
        Descriptor::new("fixed").summary("flags that stand in the configuration"),
        |config: FixedConfig, _context| async move { Ok(Fixed { flags: config.flags }) },
    )
}

impl Lifecycle for Fixed {}

impl FlagsDriver for Fixed {
    fn is_on<'a>(&'a self, feature: &'a str) -> Reply<'a, Option<bool>> {
        Reply::ready(Ok(self.flags.get(feature).copied()))
    }
}
