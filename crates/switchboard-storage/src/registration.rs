//! How drivers of storage come into a registry, and what they are given.
//!
//! A driver knows its own settings; those that every disk has are taken off here.

use std::future::Future;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use switchboard_core::{BuildContext, Descriptor, Registry, Result, Settings, Support};

use crate::store::Served;
use crate::{DiskConfig, Disks, StorageDriver, capability};

/// Adds a driver, which `make` makes from its own settings.
///
/// Configuration may say everything that these list, and everything in [`DiskConfig`]. Which of them say which
/// objects there are, `descriptor` should tell by [`data_in`](Descriptor::data_in): then no disk is swapped to
/// others by accident.
#[track_caller]
pub fn register<C, D, F, Fut>(
    registry: &Registry<Disks>,
    descriptor: impl Into<Descriptor>,
    make: F,
) -> Result<()>
where
    C: DeserializeOwned + JsonSchema + Send + 'static,
    D: StorageDriver,
    F: Fn(C, BuildContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<D>> + Send + 'static,
{
    register_within(registry, descriptor, move |own, _, build| make(own, build))
}

/// [`register`] for a driver that must know what was said of the disk.
#[track_caller]
pub(crate) fn register_within<C, D, F, Fut>(
    registry: &Registry<Disks>,
    descriptor: impl Into<Descriptor>,
    make: F,
) -> Result<()>
where
    C: DeserializeOwned + JsonSchema + Send + 'static,
    D: StorageDriver,
    F: Fn(C, &DiskConfig, BuildContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<D>> + Send + 'static,
{
    let descriptor = descriptor.into().capability_by(capability::SIGN, signs_itself);
    let descriptor = if descriptor.has_data() {
        // Under another prefix there are other objects.
        descriptor.data_in(["prefix"])
    } else {
        descriptor
    };
    let declared = Arc::new(descriptor.capabilities().clone());
    registry.register(descriptor, move |settings: Configured<C>, build| {
        let driver = make(settings.own, &settings.disk, build.clone());
        let declared = declared.clone();
        async move { Served::new(driver.await?, &declared, settings.disk, &build) }
    })
}

/// A disk with keys of its own signs for a handler, whatever its driver can do.
fn signs_itself(settings: &Settings) -> Option<Support> {
    let disk: DiskConfig = settings.decode().ok()?;
    (!disk.sign_keys.is_empty()).then_some(Support::Emulated)
}

/// The settings of one driver together with those that every disk has.
#[derive(Deserialize, JsonSchema)]
struct Configured<C> {
    #[serde(flatten)]
    disk: DiskConfig,
    #[serde(flatten)]
    own: C,
}
