use switchboard_core::{Registry, Result};

use crate::counters::{CountersSubsystem, Fixed, FixedConfig};

pub(crate) fn register(registry: &Registry<CountersSubsystem>) -> Result<()> {
    registry.register("memory", |config: FixedConfig, _| async move { Ok(Fixed(config.value)) })
}
