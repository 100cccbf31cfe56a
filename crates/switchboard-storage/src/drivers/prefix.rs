//! A part of another disk, as a disk of its own.
//!
//! The keys are put beneath the prefix where that is done for every disk; the rest is the other disk's.

use schemars::JsonSchema;
use serde::Deserialize;
use switchboard_core::{Descriptor, Error, ErrorKind, Registry, Result};

use crate::registration::register_within;
use crate::{Beneath, Disks};

/// The settings of a disk that is a part of another one, beside the `prefix` that every disk can have and this one
/// must.
///
/// ```
/// use switchboard_core::{Environment, Manager, Registry, Settings};
/// use switchboard_storage::Disks;
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
/// # runtime.block_on(async {
/// let disks = Manager::<Disks>::new(Registry::with_built_ins()?, &Environment::new())?;
/// disks.configure("main", &Settings::new().with("driver", "memory"))?;
/// let part = Settings::new().with("driver", "prefix").with("disk", "main").with("prefix", "photos");
/// disks.configure("photos", &part)?;
///
/// disks.get("photos").await?.put("cat.jpg", "…").await?;
/// assert!(disks.get("main").await?.exists("photos/cat.jpg").await?);
/// # Ok::<(), switchboard_core::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PrefixConfig {
    /// The name of the other disk.
    pub disk: String,
}

pub(crate) fn register(registry: &Registry<Disks>) -> Result<()> {
    let descriptor = Descriptor::new("prefix")
        .summary("A part of another disk, as a disk of its own that can do all the other can")
        .data_in(["disk"])
        .proven();
    register_within(registry, descriptor, |config: PrefixConfig, disk, build| {
        let has_prefix =
            disk.prefix.as_deref().is_some_and(|prefix| !prefix.trim_matches('/').is_empty());
        async move {
            if !has_prefix {
                return Err(Error::new(ErrorKind::Config, "a part of a disk needs a prefix")
                    .with_context("setting", "prefix")
                    .with_hint("say what its keys begin with on the other disk"));
            }
            Beneath::of(&config.disk, &build).await
        }
    })
}

#[cfg(test)]
crate::conformance::suite!(
    crate::conformance::Fixture::new(register)
        .over("beneath", crate::drivers::memory::register)
        .settings(|unique| {
            switchboard_core::Settings::new().with("disk", "beneath").with("prefix", unique)
        })
);
