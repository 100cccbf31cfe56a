//! Driver names to factories, for one subsystem.
//!
//! Written a few times at start, read on every look-up: readers see a frozen table and take no
//! lock. It builds drivers and keeps none of them; instances belong to the manager.

mod address;
mod descriptor;
mod factory;

use std::any::TypeId;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, Guard};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use address::Addressed;
pub use descriptor::{Descriptor, DriverInfo};
pub(crate) use factory::Registered;
use factory::Typed;

use crate::name::{Name, NameTable, interned, nearest, quoted};
use crate::sync::Mutex;
use crate::{
    BuildContext, Erase, Error, ErrorKind, InstanceSettings, Result, Settings, ShownSetting,
    Subsystem,
};

/// The drivers of one subsystem, by name. Cheap to clone; clones are the same registry.
///
/// A name is trimmed and ASCII-lower-cased, so `"Redis"` and `" redis "` are one driver.
pub struct Registry<S: Subsystem>(Arc<Inner<S>>);

struct Inner<S: Subsystem> {
    table: ArcSwap<NameTable<Arc<Registered<S>>>>,
    stacks: Mutex<Stacks<S>>,
}

/// For each driver what was registered, and what replaces it now: the last one counts.
struct Stacks<S: Subsystem> {
    layers: BTreeMap<Name, Vec<Layer<S>>>,
    next_id: u64,
}

struct Layer<S: Subsystem> {
    id: u64,
    driver: Arc<Registered<S>>,
}

impl<S: Subsystem> Registry<S> {
    /// A registry with no driver in it.
    #[must_use]
    pub fn empty() -> Self {
        let stacks = Stacks { layers: BTreeMap::new(), next_id: 1 };
        Self(Arc::new(Inner { table: ArcSwap::default(), stacks: Mutex::new(stacks) }))
    }

    /// A registry with the drivers that come with the subsystem.
    pub fn with_built_ins() -> Result<Self> {
        let registry = Self::empty();
        S::register_built_ins(&registry)?;
        Ok(registry)
    }

    /// Adds a driver. The closure builds it from its own settings type, which says all that
    /// configuration may contain.
    ///
    /// A name that is taken, here or as an alias, is an error that names both places; a name that
    /// cannot be one is an error too. Either way the registry is unchanged.
    ///
    /// ```
    /// # mod counters {
    /// #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/counters/mod.rs"));
    /// # }
    /// # use counters::{CountersSubsystem, Fixed, FixedConfig};
    /// use switchboard_core::{Descriptor, ErrorKind, Registry};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> switchboard_core::Result<()> {
    /// let registry = Registry::<CountersSubsystem>::empty();
    /// registry.register(
    ///     Descriptor::new("constant").alias("const").summary("the same value for ever"),
    ///     |config: FixedConfig, _context| async move { Ok(Fixed(config.value)) },
    /// )?;
    /// assert!(registry.has("Const"));
    ///
    /// let again = registry.register("const", |_: FixedConfig, _| async { Ok(Fixed(0)) });
    /// let error = again.unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::AlreadyRegistered);
    /// assert!(error.context_value("first").is_some() && error.context_value("second").is_some());
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn register<C, T, F, Fut>(&self, descriptor: impl Into<Descriptor>, make: F) -> Result<()>
    where
        S::Driver: Erase<T>,
        C: DeserializeOwned + JsonSchema + 'static,
        T: 'static,
        F: Fn(C, BuildContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T>> + Send + 'static,
    {
        let driver = registered::<S, C, T, F, Fut>(descriptor.into(), make)?;
        let mut stacks = self.0.stacks.lock();
        stacks.refuse_taken(&driver, None)?;
        stacks.push(driver.name.clone(), Arc::new(driver));
        self.publish(&stacks);
        Ok(())
    }

    /// Puts a driver in the place of the one that has the name now, or adds it if none has.
    ///
    /// The one before comes back when the guard is dropped, whatever the order in which guards go.
    /// The names of the one before stay valid and lead to the new one. Instances that are already
    /// built keep the driver they have.
    ///
    /// ```
    /// # mod counters {
    /// #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/counters/mod.rs"));
    /// # }
    /// # use counters::{fixed, manager, Fixed, FixedConfig};
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> switchboard_core::Result<()> {
    /// let counters = manager()?;
    /// counters.configure("visits", &fixed(7))?;
    ///
    /// let always_one = |_: FixedConfig, _| async { Ok(Fixed(1)) };
    /// let replacement = counters.registry().replace("fixed", always_one)?;
    /// counters.configure("errors", &fixed(7))?;
    /// drop(replacement);
    ///
    /// assert_eq!(counters.get("visits").await?.read().await?, 7, "declared before");
    /// assert_eq!(counters.get("errors").await?.read().await?, 1, "declared meanwhile");
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn replace<C, T, F, Fut>(
        &self,
        descriptor: impl Into<Descriptor>,
        make: F,
    ) -> Result<Replacement<S>>
    where
        S::Driver: Erase<T>,
        C: DeserializeOwned + JsonSchema + 'static,
        T: 'static,
        F: Fn(C, BuildContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T>> + Send + 'static,
    {
        let driver = registered::<S, C, T, F, Fut>(descriptor.into(), make)?;
        let mut stacks = self.0.stacks.lock();
        let replaced = stacks.owner_of(&driver.name).cloned();
        stacks.refuse_taken(&driver, replaced.as_ref())?;
        let name = replaced.unwrap_or_else(|| driver.name.clone());
        let id = stacks.push(name.clone(), driver.called(&name));
        self.publish(&stacks);
        Ok(Replacement { registry: self.clone(), name, id, kept: false })
    }

    /// Takes a driver out, with all its names and replacements; `false` if there was none.
    ///
    /// A guard that is dropped later brings nothing back. Instances already built stay.
    pub fn remove(&self, name: &str) -> bool {
        let mut stacks = self.0.stacks.lock();
        let Ok(name) = Name::parse(name) else { return false };
        let Some(owner) = stacks.owner_of(&name).cloned() else { return false };
        stacks.layers.remove(&owner);
        self.publish(&stacks);
        true
    }

    /// Whether a driver answers to `name`.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The driver that answers to `name`. Takes no lock, counts nothing, allocates nothing.
    #[inline]
    pub fn get(&self, name: &str) -> Option<Entry<S>> {
        let table = self.0.table.load();
        let position = table.position(name)?;
        Some(Entry { table, position })
    }

    /// The names of all drivers, without aliases, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> =
            self.distinct().iter().map(|driver| driver.name.to_string()).collect();
        names.sort();
        names
    }

    /// Everything known about all drivers, sorted by name.
    pub fn describe(&self) -> Vec<DriverInfo> {
        let mut drivers: Vec<_> = self.distinct().iter().map(|driver| info(driver)).collect();
        drivers.sort_by(|one, other| one.name.cmp(&other.name));
        drivers
    }

    /// All mistakes of `settings` for the driver `name`, at once; nothing is built.
    pub fn check(&self, name: &str, settings: &Settings) -> Result<()> {
        self.get(name).ok_or_else(|| self.unknown(name))?.check(settings)
    }

    /// Builds a driver from its settings. It is neither initialised nor kept: a manager does that.
    ///
    /// No lock is held while the factory runs, so it may use this registry. An error of the factory
    /// comes back as it is.
    pub async fn resolve(
        &self,
        name: &str,
        settings: &Settings,
        context: BuildContext,
    ) -> Result<Arc<S::Driver>> {
        self.find(name)?.build(settings, context).await
    }

    /// The driver that answers to `name`, or an error that helps to find the right one.
    pub(crate) fn find(&self, name: &str) -> Result<Arc<Registered<S>>> {
        self.0.table.load().find(name).cloned().ok_or_else(|| self.unknown(name))
    }

    /// The names of the drivers that can do `capability`.
    pub(crate) fn capable_of(&self, capability: &str) -> Vec<String> {
        let mut names: Vec<_> = self
            .distinct()
            .iter()
            .filter(|driver| driver.capabilities().has(capability))
            .map(|driver| driver.name.to_string())
            .collect();
        names.sort();
        names
    }

    fn distinct(&self) -> Vec<Arc<Registered<S>>> {
        let table = self.0.table.load();
        let named = table.sorted().into_iter();
        named
            .filter(|(name, driver)| *name == driver.name.as_str())
            .map(|(_, d)| d.clone())
            .collect()
    }

    fn publish(&self, stacks: &Stacks<S>) {
        self.0.table.store(Arc::new(stacks.table()));
    }

    #[cold]
    fn unknown(&self, asked: &str) -> Error {
        let names = self.names();
        let error = Error::new(ErrorKind::NotRegistered, "no driver of that name is registered")
            .with_context("subsystem", S::NAME)
            .with_context("driver", quoted(asked))
            .with_context("available", listed(&names));
        let left_out = S::LEFT_OUT.iter().map(|left_out| left_out.driver);
        let known = names.iter().map(String::as_str).chain(left_out);
        let Some(meant) = nearest(asked, known) else { return error };
        match S::LEFT_OUT.iter().find(|left_out| left_out.driver == meant) {
            Some(left_out) => error.with_hint(format!(
                "this build leaves {meant:?} out: enable the feature {:?}",
                left_out.feature
            )),
            None => error.with_hint(format!("did you mean {meant:?}?")),
        }
    }
}

/// A driver found by name. Sees the registry as it was when it was found.
pub struct Entry<S: Subsystem> {
    table: Guard<Arc<NameTable<Arc<Registered<S>>>>>,
    position: usize,
}

impl<S: Subsystem> Entry<S> {
    /// The name of the driver, whichever of its names was asked for.
    pub fn name(&self) -> &'static str {
        self.driver().label
    }

    /// Everything known about it.
    pub fn describe(&self) -> DriverInfo {
        info(self.driver())
    }

    /// All mistakes of `settings`, at once; nothing is built.
    pub fn check(&self, settings: &Settings) -> Result<()> {
        self.driver().check(settings, "")
    }

    /// Every setting of an instance that uses this driver, for people: first those that `settings` has,
    /// in the order in which they were written, then every other one that the driver knows, with its
    /// default. Secrets are `***`.
    ///
    /// Settings that are wrong are shown as they are; what is wrong with them [`check`](Self::check)
    /// says.
    ///
    /// ```
    /// # mod counters {
    /// #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/counters/mod.rs"));
    /// # }
    /// # use counters::{CountersSubsystem, fixed};
    /// use switchboard_core::Registry;
    ///
    /// let registry = Registry::<CountersSubsystem>::with_built_ins()?;
    /// let fixed_driver = registry.get("fixed").ok_or("no such driver")?;
    /// let shown = fixed_driver.explain(&fixed(7));
    /// assert_eq!((shown[1].path.as_str(), shown[1].value.as_deref()), ("value", Some("7")));
    /// assert_eq!(shown[1].description.as_deref(), Some("The value."));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn explain(&self, settings: &Settings) -> Vec<ShownSetting> {
        let addressed = Addressed { drivers: &self.table, driver: self.driver() };
        match addressed.resolve(settings.clone(), InstanceSettings::KEYS) {
            (resolved, Ok(())) => self.driver().explain(&resolved),
            (_, Err(_)) => self.driver().explain(settings),
        }
    }

    #[inline]
    fn driver(&self) -> &Registered<S> {
        self.table.value(self.position)
    }
}

impl<S: Subsystem> fmt::Debug for Entry<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Entry").field(&self.name()).finish()
    }
}

impl<S: Subsystem> Stacks<S> {
    /// The driver that has `name`, as its own name or as an alias.
    fn owner_of(&self, name: &Name) -> Option<&Name> {
        if let Some((owner, _)) = self.layers.get_key_value(name) {
            return Some(owner);
        }
        let has_alias = |layers: &Vec<Layer<S>>| {
            layers.iter().any(|layer| layer.driver.names().any(|known| known == name))
        };
        self.layers.iter().find(|(_, layers)| has_alias(layers)).map(|(owner, _)| owner)
    }

    /// An error if a name of `driver` belongs to another one than `replaced`.
    fn refuse_taken(&self, driver: &Registered<S>, replaced: Option<&Name>) -> Result<()> {
        for (name, written) in driver.spelled_names() {
            let Some(owner) = self.owner_of(name) else { continue };
            if Some(owner) != replaced {
                let first = self.layers[owner].last().map_or(driver.place, |l| l.driver.place);
                return Err(taken::<S>(written, first, driver.place));
            }
        }
        Ok(())
    }

    fn push(&mut self, name: Name, driver: Arc<Registered<S>>) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.layers.entry(name).or_default().push(Layer { id, driver });
        id
    }

    /// Every name of every layer leads to the topmost layer of its stack.
    fn table(&self) -> NameTable<Arc<Registered<S>>> {
        let mut named = BTreeMap::new();
        for (owner, layers) in &self.layers {
            let Some(top) = layers.last() else { continue };
            named.insert(owner.clone(), top.driver.clone());
            for name in layers.iter().flat_map(|layer| layer.driver.names()) {
                named.insert(name.clone(), top.driver.clone());
            }
        }
        NameTable::new(named)
    }
}

/// Keeps a replacement in force; the driver before it comes back when this is dropped.
#[must_use = "the driver before comes back as soon as this is dropped; `keep` it to stay"]
pub struct Replacement<S: Subsystem> {
    registry: Registry<S>,
    name: Name,
    id: u64,
    kept: bool,
}

impl<S: Subsystem> Replacement<S> {
    /// Leaves the replacement in place for good.
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl<S: Subsystem> Drop for Replacement<S> {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        let mut stacks = self.registry.0.stacks.lock();
        let Some(layers) = stacks.layers.get_mut(&self.name) else { return };
        layers.retain(|layer| layer.id != self.id);
        if layers.is_empty() {
            stacks.layers.remove(&self.name);
        }
        self.registry.publish(&stacks);
    }
}

impl<S: Subsystem> Clone for Registry<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S: Subsystem> fmt::Debug for Registry<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("subsystem", &S::NAME)
            .field("drivers", &self.names())
            .finish()
    }
}

impl<S: Subsystem> fmt::Debug for Replacement<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replacement").field("driver", &self.name).finish_non_exhaustive()
    }
}

#[track_caller]
fn registered<S, C, T, F, Fut>(descriptor: Descriptor, make: F) -> Result<Registered<S>>
where
    S: Subsystem,
    S::Driver: Erase<T>,
    C: DeserializeOwned + JsonSchema + 'static,
    T: 'static,
    F: Fn(C, BuildContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T>> + Send + 'static,
{
    let place = Location::caller();
    let name = Name::parse(&descriptor.name)?;
    let mut aliases: Vec<Name> = Vec::with_capacity(descriptor.aliases.len());
    for written in &descriptor.aliases {
        let alias = Name::parse(written)?;
        if alias == name || aliases.contains(&alias) {
            return Err(taken::<S>(written, place, place));
        }
        aliases.push(alias);
    }
    Ok(Registered {
        label: interned(name.as_str()),
        name,
        aliases,
        descriptor,
        place,
        driver_type: TypeId::of::<T>(),
        factory: Box::new(Typed { make, types: PhantomData::<fn(C) -> T> }),
        reads_address: OnceLock::new(),
    })
}

fn taken<S: Subsystem>(written: &str, first: &Location<'_>, second: &Location<'_>) -> Error {
    Error::new(ErrorKind::AlreadyRegistered, "a driver of that name is registered already")
        .with_context("subsystem", S::NAME)
        .with_context("driver", format_args!("{written:?}"))
        .with_context("first", first)
        .with_context("second", second)
        .with_hint("use `replace` to put one driver in the place of another")
}

fn info<S: Subsystem>(driver: &Registered<S>) -> DriverInfo {
    let mut aliases: Vec<_> = driver.aliases.iter().map(Name::to_string).collect();
    aliases.sort();
    DriverInfo {
        name: driver.name.to_string(),
        aliases,
        summary: driver.descriptor.summary.clone(),
        settings: driver.factory.schema(),
        capabilities: driver.capabilities().clone(),
        exclusive: driver.is_exclusive(),
        proven: driver.descriptor.proven,
        place: driver.place,
    }
}

pub(crate) fn listed(names: &[impl AsRef<str>]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ")
}
