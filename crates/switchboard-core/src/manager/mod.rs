//! Instance names to lines, for one subsystem: declares, builds, overrides, swaps, checks, closes.
//!
//! What an instance is and how it changes is the slot's affair; the manager knows which there are.

mod change;
mod close;
mod committed;
mod draft;
mod exchange;
mod groups;
mod health;
mod initialise;
mod moves;
mod nesting;
mod prepared;
mod reserved;
mod settings;
mod watch;

use std::any::TypeId;
use std::fmt;
use std::panic::Location;
use std::sync::{Arc, MutexGuard};

use arc_swap::{ArcSwap, ArcSwapOption};

pub use change::Change;
pub use close::CloseReport;
use close::Closing;
pub use committed::Committed;
use groups::has_more_than_a_deadline;
pub use groups::{GroupSettings, SelectorChoice};
pub use health::HealthReport;
use initialise::Beginning;
pub use prepared::Prepared;
pub use settings::{InstanceSettings, PolicyChoice};
pub use watch::HealthWatch;
use watch::Watches;

use crate::creations::unique_id;
use crate::line::{Limits, Plan, Recipe, Slot};
use crate::name::{NameTable, nearest, quoted};
use crate::registry::listed;
use crate::sync::Mutex;
use crate::{
    Environment, Erase, Error, ErrorKind, Line, Name, Policy, Registry, Result, Settings,
    Subsystem, Swapped,
};

/// The instances of one subsystem. Cheap to clone; clones are the same manager.
///
/// ```
/// # mod counters {
/// #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/counters/mod.rs"));
/// # }
/// # use counters::CountersSubsystem;
/// use switchboard_core::{Environment, Manager, Registry, Settings};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> switchboard_core::Result<()> {
/// let registry = Registry::<CountersSubsystem>::with_built_ins()?;
/// let counters = Manager::new(registry, &Environment::new())?;
/// counters.configure("visits", &Settings::new().with("driver", "fixed").with("value", 7))?;
/// counters.set_default("visits")?;
///
/// // Built when it is first asked for.
/// assert!(!counters.instances()[0].is_ready);
/// assert_eq!(counters.get_default().await?.read().await?, 7);
/// assert!(counters.instances()[0].is_ready);
/// # Ok(()) }
/// ```
pub struct Manager<S: Subsystem>(Arc<ManagerCore<S>>);

pub(crate) struct ManagerCore<S: Subsystem> {
    id: u64,
    environment: Environment,
    registry: Registry<S>,
    slots: ArcSwap<NameTable<Arc<Slot<S>>>>,
    default: ArcSwapOption<Name>,
    /// Instances in the order in which they were declared, and whether more may come.
    declared: Mutex<Declared<S>>,
    watches: Watches,
    closing: Closing,
    /// One change of many instances at a time, and nobody changes groups meanwhile.
    changing: Arc<tokio::sync::RwLock<()>>,
}

struct Declared<S: Subsystem> {
    slots: Vec<Arc<Slot<S>>>,
    /// Those that will be declared once they have a driver.
    beginning: Vec<Beginning<S>>,
    /// Those that are no more, for as long as a driver of one is being closed.
    removed: Vec<Arc<Slot<S>>>,
    closed: bool,
}

/// An instance, as [`Manager::instances`] shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InstanceInfo {
    /// The name.
    pub name: String,
    /// The driver that serves now, or would be built; `None` for a group.
    pub driver: Option<String>,
    /// Whether something serves now.
    pub is_ready: bool,
    /// How often it has been given a driver; of a group, how often it was given other members.
    pub generation: u64,
    /// Calls and opened things that use a driver of it now; for the moment that a swap takes, it
    /// may be too high.
    pub in_flight: usize,
    /// The instances that a group chooses among, in its order; empty for any other instance.
    pub members: Vec<String>,
    /// How a group chooses; `None` for any other instance.
    pub selector: Option<&'static str>,
}

impl<S: Subsystem> Manager<S> {
    /// A manager whose instances are built by the drivers of `registry`.
    ///
    /// Drivers may be registered before or after; an instance is declared after its driver.
    /// An environment has one manager for each subsystem, so that factories find each other.
    pub fn new(registry: Registry<S>, environment: &Environment) -> Result<Self> {
        let core = Arc::new(ManagerCore {
            id: unique_id(),
            environment: environment.clone(),
            registry,
            slots: ArcSwap::default(),
            default: ArcSwapOption::empty(),
            declared: Mutex::default(),
            watches: Watches::default(),
            closing: Closing::default(),
            changing: Arc::default(),
        });
        environment.introduce(&core)?;
        Ok(Self(core))
    }

    pub(crate) fn from_core(core: Arc<ManagerCore<S>>) -> Self {
        Self(core)
    }

    /// The drivers that instances are built by.
    pub fn registry(&self) -> &Registry<S> {
        &self.0.registry
    }

    /// The surroundings it shares with other managers.
    pub fn environment(&self) -> &Environment {
        &self.0.environment
    }

    /// Declares an instance. Its settings are checked now; it is built when it is first used, or at
    /// once by [`initialise`](Self::initialise).
    ///
    /// `settings` names the driver and holds everything that driver takes, beside what every
    /// instance has: see [`InstanceSettings`]. Settings with `members` make a group: see
    /// [`GroupSettings`]. A name that is taken is an error with both places.
    #[track_caller]
    pub fn configure(&self, name: &str, settings: &Settings) -> Result<()> {
        let name = Name::parse(name)?;
        if settings.child("members").is_some() {
            return self.configure_group(name, settings, Location::caller());
        }
        let plan = self.plan(&name, settings)?;
        self.configure_by(name, plan, Location::caller())
    }

    /// Declares an instance as [`configure`](Self::configure) does, and puts something of the
    /// application's around its driver.
    ///
    /// `wrap` is given each driver of the instance once it is built and initialised, also after a
    /// swap, and calls go to what it answers. Start, health checks and end go to the driver itself,
    /// each as if it were not wrapped, so that a wrapper need not pass them on. A `wrap` that panics
    /// is a driver that could not be built. Ready-made drivers and overrides are not wrapped, and a
    /// group has no driver to wrap.
    ///
    /// ```
    /// # mod counters {
    /// #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/counters/mod.rs"));
    /// # }
    /// # use counters::{fixed, manager, CountersDriver, Watch};
    /// use std::sync::Arc;
    /// use switchboard_core::{Lifecycle, Reply};
    ///
    /// /// Counts one more than there is.
    /// struct OneMore(Arc<dyn CountersDriver>);
    ///
    /// impl Lifecycle for OneMore {}
    ///
    /// impl CountersDriver for OneMore {
    ///     fn read(&self) -> Reply<'_, u64> {
    ///         Reply::run(async { Ok(self.0.read().await? + 1) })
    ///     }
    /// #   fn watch(&self) -> Reply<'_, Watch> { self.0.watch() }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> switchboard_core::Result<()> {
    /// let counters = manager()?;
    /// counters.configure_wrapped("visits", &fixed(7), |driver| Arc::new(OneMore(driver)))?;
    /// let visits = counters.get("visits").await?;
    /// assert_eq!(visits.read().await?, 8);
    ///
    /// counters.swap("visits", &fixed(20)).await?.closed().await?;
    /// assert_eq!(visits.read().await?, 21);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn configure_wrapped(
        &self,
        name: &str,
        settings: &Settings,
        wrap: impl Fn(Arc<S::Driver>) -> Arc<S::Driver> + Send + Sync + 'static,
    ) -> Result<()> {
        let name = Name::parse(name)?;
        if settings.child("members").is_some() {
            return Err(refused_to_group::<S>("a group has no driver to wrap", &name));
        }
        let plan = Plan { wrap: Some(Arc::new(wrap)), ..self.plan(&name, settings)? };
        self.configure_by(name, plan, Location::caller())
    }

    fn configure_by(
        &self,
        name: Name,
        plan: Plan<S>,
        place: &'static Location<'static>,
    ) -> Result<()> {
        let Plan { driver, settings, limits, policy, wrap, .. } = plan;
        let policy = policy.unwrap_or_else(|| driver.usual_policy().clone());
        let recipe = Recipe::Driver { driver, settings, wrap };
        let slot = Slot::new(name, recipe, limits, &self.0.environment, place);
        slot.retune(policy)?;
        self.declare(Arc::new(slot), place)
    }

    /// Declares an instance that is there already.
    ///
    /// For an instance that was configured and is not built yet, it takes that one's place; if it is
    /// being built, this one wins and the other is closed. One that is refused is closed as well.
    #[track_caller]
    pub fn insert<T>(&self, name: &str, driver: T) -> Result<()>
    where
        S::Driver: Erase<T>,
        T: 'static,
    {
        let name = Name::parse(name)?;
        let driver_type = TypeId::of::<T>();
        let driver = S::Driver::erase(Arc::new(driver));
        let place = Location::caller();
        if let Some(slot) = self.0.slots.load().find(name.as_str()) {
            return slot.put_ready_made(driver, READY_MADE, driver_type, place);
        }
        let recipe = Recipe::ReadyMade { driver_type };
        let slot = Slot::new(name, recipe, Limits::default(), &self.0.environment, place);
        slot.put_ready_made(driver, READY_MADE, driver_type, place)?;
        let slot = Arc::new(slot);
        self.declare(slot.clone(), place).inspect_err(|_| slot.give_up())
    }

    /// Says which instance [`get_default`](Self::get_default) means. It must be declared; one whose
    /// first [`initialise`](Self::initialise) has failed is not.
    pub fn set_default(&self, name: &str) -> Result<()> {
        let slot = self.slot(name)?;
        self.0.default.store(Some(Arc::new(slot.name.clone())));
        Ok(())
    }

    /// A handle for an instance, which is built when the handle is first used.
    pub fn handle(&self, name: &str) -> Result<S::Handle> {
        Ok(self.line(name)?.into())
    }

    /// A handle for an instance that is ready; builds it if need be.
    ///
    /// Any number of callers that come first build it once. If that fails they all get the error,
    /// and the next caller tries again.
    pub async fn get(&self, name: &str) -> Result<S::Handle> {
        let line = self.line(name)?;
        line.slot.ensure().await?;
        Ok(line.into())
    }

    /// A handle for the default instance, ready. A missing default is an error, never a choice.
    pub async fn get_default(&self) -> Result<S::Handle> {
        self.get(&self.default_name()?).await
    }

    /// A handle for the default instance, which is built when it is first used.
    pub fn default_handle(&self) -> Result<S::Handle> {
        self.handle(&self.default_name()?)
    }

    /// The handle of the one instance that is served by a driver of type `T`, ready.
    ///
    /// The type is known before anything is built. None, or several, are errors; the latter lists
    /// them.
    ///
    /// ```
    /// # mod counters {
    /// #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/counters/mod.rs"));
    /// # }
    /// # use counters::{fixed, manager, Fixed};
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> switchboard_core::Result<()> {
    /// let counters = manager()?;
    /// counters.configure("visits", &fixed(7))?;
    /// assert_eq!(counters.get_by_type::<Fixed>().await?.read().await?, 7);
    ///
    /// counters.configure("errors", &fixed(0))?;
    /// let error = counters.get_by_type::<Fixed>().await.unwrap_err();
    /// assert_eq!(error.context_value("instances"), Some("errors, visits"));
    /// # Ok(()) }
    /// ```
    pub async fn get_by_type<T: 'static>(&self) -> Result<S::Handle>
    where
        S::Driver: Erase<T>,
    {
        let name = self.only_name_of(TypeId::of::<T>(), std::any::type_name::<T>())?;
        self.get(&name).await
    }

    /// Whether an instance of that name is declared.
    pub fn has(&self, name: &str) -> bool {
        self.0.slots.load().find(name).is_some()
    }

    /// The names of all instances, sorted.
    pub fn names(&self) -> Vec<String> {
        let slots = self.0.slots.load();
        slots.sorted().into_iter().map(|(name, _)| name.to_owned()).collect()
    }

    /// Everything known about all instances, sorted by name.
    pub fn instances(&self) -> Vec<InstanceInfo> {
        let slots = self.0.slots.load();
        slots.sorted().into_iter().map(|(_, slot)| slot.info()).collect()
    }

    /// Everything known about one instance; it costs the same however many there are.
    ///
    /// ```
    /// # mod counters {
    /// #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/counters/mod.rs"));
    /// # }
    /// # use counters::{fixed, manager};
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> switchboard_core::Result<()> {
    /// let counters = manager()?;
    /// counters.configure("visits", &fixed(7))?;
    /// let info = counters.instance("Visits")?;
    /// assert_eq!((info.name.as_str(), info.is_ready), ("visits", false));
    /// assert!(counters.instance("visitors").is_err());
    /// # Ok(()) }
    /// ```
    pub fn instance(&self, name: &str) -> Result<InstanceInfo> {
        Ok(self.slot(name)?.info())
    }

    /// Serves the calls of an instance from `driver` until the guard is dropped.
    ///
    /// For tests. Guards of one instance may be dropped in any order. Nothing of the instance
    /// itself is built meanwhile; the driver given is closed when the guard goes.
    ///
    /// ```
    /// # mod counters {
    /// #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/counters/mod.rs"));
    /// # }
    /// # use counters::{fixed, manager, Fixed};
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> switchboard_core::Result<()> {
    /// let counters = manager()?;
    /// counters.configure("visits", &fixed(7))?;
    /// let visits = counters.handle("visits")?;
    ///
    /// let guard = counters.override_instance("visits", Fixed(0))?;
    /// assert_eq!(visits.read().await?, 0);
    /// drop(guard);
    /// assert_eq!(visits.read().await?, 7);
    /// # Ok(()) }
    /// ```
    pub fn override_instance<T>(&self, name: &str, driver: T) -> Result<Override<S>>
    where
        S::Driver: Erase<T>,
        T: 'static,
    {
        let slot = self.slot(name)?;
        let driver_type = TypeId::of::<T>();
        let id = slot.put_override(S::Driver::erase(Arc::new(driver)), OVERRIDE, driver_type)?;
        Ok(Override { slot, id })
    }

    /// Gives an instance other settings, or another driver, while calls are running.
    ///
    /// The new driver is built, initialised and checked first; until it serves, any failure leaves
    /// everything as it was. Then driver, limits and policy change in one step, and handles follow;
    /// settings without a policy keep the one in force, unless that came with the driver
    /// ([`Descriptor::usual_policy`](crate::Descriptor::usual_policy)), and what drivers are wrapped in stays. The
    /// old driver is closed when its last call has ended, or at the drain limit it was declared with.
    /// A group is given the members and the selector of other [`GroupSettings`] in the same way; neither
    /// becomes the other.
    ///
    /// ```
    /// # mod counters {
    /// #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/counters/mod.rs"));
    /// # }
    /// # use counters::{fixed, manager};
    /// use switchboard_core::Settings;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> switchboard_core::Result<()> {
    /// let counters = manager()?;
    /// counters.configure("visits", &fixed(7))?;
    /// let visits = counters.get("visits").await?;
    ///
    /// let swapped = counters.swap("visits", &fixed(8)).await?;
    /// assert_eq!((swapped.generation, visits.read().await?), (2, 8), "the handle follows");
    /// swapped.closed().await?;
    ///
    /// let wrong = Settings::new().with("driver", "fixed").with("value", "many");
    /// assert!(counters.swap("visits", &wrong).await.is_err());
    /// assert_eq!(visits.read().await?, 8);
    /// # Ok(()) }
    /// ```
    pub async fn swap(&self, name: &str, settings: &Settings) -> Result<Swapped> {
        let slot = self.slot(name)?;
        if slot.is_group || settings.child("members").is_some() {
            let _turn = self.turn_to_group_later().await?;
            return self.swap_group(&slot, settings);
        }
        let plan = self.plan(&slot.name, settings)?;
        let policy = plan.policy.clone().or_else(|| slot.policy_that_comes_with(&plan.driver));
        slot.swap(Plan { policy, ..plan }).await
    }

    /// Gives the gates of an instance other settings while calls are running; the driver stays.
    ///
    /// What the old and the new policy both have goes on where it was: tokens taken, slots in use,
    /// and the breaker, unless its own settings changed. Of a group only a deadline makes sense; its
    /// members have gates of their own, so that retries never multiply.
    ///
    /// ```
    /// # mod counters {
    /// #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/counters/mod.rs"));
    /// # }
    /// # use counters::{fixed, manager};
    /// use switchboard_core::{BulkheadLimit, Policy};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> switchboard_core::Result<()> {
    /// let counters = manager()?;
    /// counters.configure("visits", &fixed(7))?;
    /// let visits = counters.get("visits").await?;
    ///
    /// let bulkhead = BulkheadLimit { max: 1, ..BulkheadLimit::default() };
    /// counters.retune("visits", Policy { bulkhead: Some(bulkhead), ..Policy::default() })?;
    ///
    /// let _only_place = visits.watch().await?;
    /// assert!(visits.read().await.is_err(), "the bulkhead is full");
    /// # Ok(()) }
    /// ```
    pub fn retune(&self, name: &str, policy: Policy) -> Result<()> {
        let slot = self.slot(name)?;
        if slot.is_group && has_more_than_a_deadline(&policy) {
            return Err(Error::new(ErrorKind::Config, "a group has no gate but a deadline")
                .with_context("instance", slot.full_name())
                .with_hint("give the gates to its members"));
        }
        slot.retune(policy)
    }

    /// The guarded path to an instance: what a handle is made from, for those who look at any
    /// subsystem alike.
    ///
    /// ```
    /// # mod counters {
    /// #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/counters/mod.rs"));
    /// # }
    /// # use counters::{fixed, manager};
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> switchboard_core::Result<()> {
    /// let counters = manager()?;
    /// counters.configure("visits", &fixed(7))?;
    /// assert_eq!(counters.line("visits")?.serving(), None, "nothing is built by looking");
    /// counters.get("visits").await?;
    /// assert_eq!(counters.line("visits")?.serving(), Some(("fixed", 1)));
    /// # Ok(()) }
    /// ```
    pub fn line(&self, name: &str) -> Result<Line<S>> {
        Ok(Line { slot: self.slot(name)? })
    }

    fn slot(&self, name: &str) -> Result<Arc<Slot<S>>> {
        self.0.slots.load().find(name).cloned().ok_or_else(|| self.unknown(name))
    }

    fn declare(&self, slot: Arc<Slot<S>>, place: &Location<'_>) -> Result<()> {
        // Goes after the lock does, because the last of a factory may go with it.
        let _before;
        let mut declared = self.0.declared.lock();
        if declared.closed {
            return Err(closed::<S>());
        }
        if let Some(first) = self.0.slots.load().find(slot.name.as_str()) {
            return Err(first.taken(place));
        }
        declared.refuse_beyond_all(&slot)?;
        _before = declared.replace_beginning(&slot, place)?;
        declared.follow_removed(&slot);
        self.publish(declared, slot);
        Ok(())
    }

    /// From now on `slot` is an instance like any other.
    fn publish(&self, mut declared: MutexGuard<'_, Declared<S>>, slot: Arc<Slot<S>>) {
        declared.slots.push(slot);
        self.0.slots.store(declared.table());
        drop(declared);
        self.grow_groups_of_all();
    }

    fn default_name(&self) -> Result<String> {
        let default = self.0.default.load();
        default.as_ref().map(ToString::to_string).ok_or_else(|| {
            let names = self.names();
            let first = names.first().map_or("main", String::as_str);
            Error::new(ErrorKind::NotRegistered, "no default instance is set")
                .with_context("subsystem", S::NAME)
                .with_context("instances", listed(&names))
                .with_hint(format!("set `default = \"{first}\"` in `[{}]`", S::NAME))
        })
    }

    fn only_name_of(&self, wanted: TypeId, type_name: &'static str) -> Result<String> {
        let slots = self.0.slots.load();
        let found: Vec<_> = slots
            .sorted()
            .into_iter()
            .filter(|(_, slot)| slot.driver_type() == Some(wanted))
            .map(|(name, _)| name)
            .collect();
        match found.as_slice() {
            [only] => Ok((*only).to_owned()),
            [] => {
                Err(Error::new(ErrorKind::NotRegistered, "no instance has a driver of that type")
                    .with_context("type", type_name)
                    .with_context("instances", listed(&self.names())))
            }
            several => {
                Err(Error::new(ErrorKind::Config, "several instances have a driver of that type")
                    .with_context("type", type_name)
                    .with_context("instances", listed(several))
                    .with_hint("ask for one of them by name"))
            }
        }
    }

    #[cold]
    fn unknown(&self, asked: &str) -> Error {
        let names = self.names();
        let error = Error::new(ErrorKind::NotRegistered, "no instance of that name is declared")
            .with_context("subsystem", S::NAME)
            .with_context("instance", quoted(asked))
            .with_context("available", listed(&names));
        match nearest(asked, names.iter().map(String::as_str)) {
            Some(meant) => error.with_hint(format!("did you mean {meant:?}?")),
            None => error,
        }
    }
}

impl<S: Subsystem> Declared<S> {
    fn table(&self) -> Arc<NameTable<Arc<Slot<S>>>> {
        let named = self.slots.iter().map(|slot| (slot.name.clone(), slot.clone()));
        Arc::new(NameTable::new(named))
    }
}

impl<S: Subsystem> Default for Declared<S> {
    fn default() -> Self {
        Self { slots: Vec::new(), beginning: Vec::new(), removed: Vec::new(), closed: false }
    }
}

/// Keeps an override in force until it is dropped.
#[must_use = "the override ends as soon as this is dropped"]
pub struct Override<S: Subsystem> {
    slot: Arc<Slot<S>>,
    id: u64,
}

impl<S: Subsystem> Drop for Override<S> {
    fn drop(&mut self) {
        self.slot.lift_override(self.id);
    }
}

impl<S: Subsystem> Clone for Manager<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S: Subsystem> fmt::Debug for Manager<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manager")
            .field("subsystem", &S::NAME)
            .field("instances", &self.names())
            .finish()
    }
}

impl<S: Subsystem> fmt::Debug for Override<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Override").field("instance", &self.slot.full_name()).finish_non_exhaustive()
    }
}

fn refused_to_group<S: Subsystem>(message: &'static str, name: &Name) -> Error {
    Error::new(ErrorKind::Unsupported, message)
        .with_context("instance", format_args!("{}.{name}", S::NAME))
}

fn closed<S: Subsystem>() -> Error {
    Error::new(ErrorKind::Unavailable, "the manager is closed")
        .with_context("subsystem", S::NAME)
        .with_retry(crate::Retry::Never)
        .not_applied()
}

/// All of them as one, if there are any.
fn one_error(message: &'static str, mut errors: Vec<Error>) -> Result<()> {
    match errors.len() {
        0 => Ok(()),
        1 => errors.pop().map_or(Ok(()), Err),
        _ => Err(Error::joined(message, errors)),
    }
}

/// What stands for the driver's name where no registered driver made it.
const READY_MADE: &str = "ready-made";
const OVERRIDE: &str = "override";
