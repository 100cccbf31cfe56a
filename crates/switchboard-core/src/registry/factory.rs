//! A factory with its types forgotten, and a registered driver as others see it.

use std::any::TypeId;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use schemars::{JsonSchema, Schema, schema_for};
use serde::de::DeserializeOwned;

use super::Descriptor;
use super::address::ADDRESS;
use crate::name::{Name, interned};
use crate::{
    BuildContext, Capabilities, Erase, Origin, Policy, Result, Settings, ShownSetting, Subsystem,
    settings,
};

pub(super) type Building<D> = Pin<Box<dyn Future<Output = Result<Arc<D>>> + Send>>;

/// Builds a driver of the subsystem from settings that are not yet checked.
pub(super) trait Factory<S: Subsystem>: Send + Sync {
    fn check(&self, settings: &Settings, prefix: &str) -> Result<()>;
    fn build(&self, settings: &Settings, context: BuildContext) -> Result<Building<S::Driver>>;
    fn schema(&self) -> Schema;
    /// Every setting with its value and place, for people.
    fn explain(&self, settings: &Settings) -> Vec<ShownSetting>;
    /// Whether `key` is a setting of the driver, as far as can be told.
    fn reads(&self, key: &str) -> bool;
}

/// A factory whose settings are a `C` and whose driver is a `T`.
pub(super) struct Typed<C, T, F> {
    pub(super) make: F,
    pub(super) types: PhantomData<fn(C) -> T>,
}

impl<S, C, T, F, Fut> Factory<S> for Typed<C, T, F>
where
    S: Subsystem,
    S::Driver: Erase<T>,
    C: DeserializeOwned + JsonSchema + 'static,
    T: 'static,
    F: Fn(C, BuildContext) -> Fut + Send + Sync,
    Fut: Future<Output = Result<T>> + Send + 'static,
{
    fn check(&self, settings: &Settings, prefix: &str) -> Result<()> {
        settings.decode_at::<C>(prefix).map(drop)
    }

    fn build(&self, settings: &Settings, context: BuildContext) -> Result<Building<S::Driver>> {
        let building = (self.make)(settings.decode()?, context);
        Ok(Box::pin(async move { Ok(S::Driver::erase(Arc::new(building.await?))) }))
    }

    fn schema(&self) -> Schema {
        schema_for!(C)
    }

    fn explain(&self, settings: &Settings) -> Vec<ShownSetting> {
        settings.explained(&settings::schema_of::<C>())
    }

    fn reads(&self, key: &str) -> bool {
        settings::reads::<C>(key)
    }
}

/// A driver that is registered under a name.
pub(crate) struct Registered<S: Subsystem> {
    pub(super) name: Name,
    /// The name, in a form that calls can carry without counting references.
    pub(super) label: &'static str,
    /// In the order of the descriptor.
    pub(super) aliases: Vec<Name>,
    pub(super) descriptor: Descriptor,
    pub(super) place: &'static Location<'static>,
    pub(super) driver_type: TypeId,
    pub(super) factory: Box<dyn Factory<S>>,
    pub(super) reads_address: OnceLock<bool>,
}

impl<S: Subsystem> Registered<S> {
    pub(crate) fn label(&self) -> &'static str {
        self.label
    }

    pub(crate) fn driver_type(&self) -> TypeId {
        self.driver_type
    }

    pub(crate) fn is_exclusive(&self) -> bool {
        self.descriptor.exclusive
    }

    /// The gates of an instance whose settings name none.
    pub(crate) fn usual_policy(&self) -> &Policy {
        &self.descriptor.usual_policy
    }

    pub(crate) fn capabilities(&self) -> &Capabilities {
        &self.descriptor.capabilities
    }

    /// What an instance with these settings can do.
    pub(crate) fn capabilities_with(&self, settings: &Settings) -> Capabilities {
        let Descriptor { capabilities, depending, .. } = &self.descriptor;
        depending.iter().fold(capabilities.clone(), |can, (name, decide)| match decide(settings) {
            Some(support) => can.with(name, support),
            None => can,
        })
    }

    /// Which data an instance with these settings holds, in words for people; `None` where nobody says.
    pub(crate) fn data_of(&self, settings: &Settings) -> Option<String> {
        self.descriptor.has_data().then(|| self.data_said(settings, &self.descriptor.data))
    }

    /// The same, in words that are equal for the same data however they are written. It may look for them.
    pub(crate) fn data_meant(&self, settings: &Settings) -> Option<String> {
        let Descriptor { data, spelt, .. } = &self.descriptor;
        let mut as_written = data.clone();
        let mut meant = String::new();
        for (keys, meaning) in spelt {
            if let Some(told) = meaning(settings) {
                as_written.retain(|key| !keys.contains(key));
                meant = format!("{meant} {told:?}");
            }
        }
        let said = self.data_said(settings, &as_written);
        self.descriptor.has_data().then(|| format!("{said}{meant}"))
    }

    /// The name of the driver, and what the settings say of `keys`.
    fn data_said(&self, settings: &Settings, keys: &[&str]) -> String {
        let shown = self.explain(settings);
        let said = |key: &&str| {
            let is_said = |setting: &&ShownSetting| {
                setting.path == **key && setting.origin != Origin::Default
            };
            let value = shown.iter().find(is_said)?.value.as_deref()?;
            Some(format!(" {key}={}", value.trim_end_matches('/')))
        };
        let said: String = keys.iter().filter_map(said).collect();
        format!("{}{said}", self.label)
    }

    /// All mistakes of `settings`, which stand under `prefix`; nothing is built.
    pub(crate) fn check(&self, settings: &Settings, prefix: &str) -> Result<()> {
        self.factory.check(settings, prefix)
    }

    /// Whether the driver has an address among its settings.
    pub(crate) fn reads_address(&self) -> bool {
        *self.reads_address.get_or_init(|| self.factory.reads(ADDRESS))
    }

    /// Every setting with its value and place, for people.
    pub(super) fn explain(&self, settings: &Settings) -> Vec<ShownSetting> {
        self.factory.explain(settings)
    }

    /// Builds a driver; no lock is held while the factory runs.
    pub(crate) async fn build(
        &self,
        settings: &Settings,
        context: BuildContext,
    ) -> Result<Arc<S::Driver>> {
        self.factory.build(settings, context)?.await
    }

    /// The same driver under the name of the one whose place it takes.
    pub(super) fn called(self, name: &Name) -> Arc<Self> {
        Arc::new(Self { label: interned(name.as_str()), name: name.clone(), ..self })
    }

    /// Every name it answers to, each with the way it was written.
    pub(super) fn spelled_names(&self) -> impl Iterator<Item = (&Name, &str)> {
        let written = std::iter::once(&self.descriptor.name).chain(&self.descriptor.aliases);
        self.names().zip(written.map(String::as_str))
    }

    /// Every name it answers to, the proper one first.
    pub(super) fn names(&self) -> impl Iterator<Item = &Name> {
        std::iter::once(&self.name).chain(&self.aliases)
    }
}
