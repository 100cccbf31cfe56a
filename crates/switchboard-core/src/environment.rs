//! What all instances of one application share: clock, variables, clean-up, events, policies, other
//! managers.

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::ambient::{self, Ambient};
use crate::creations::Creations;
use crate::manager::{Manager, ManagerCore};
use crate::sync::Mutex;
use crate::{Clock, Error, ErrorKind, Events, Name, Policy, Reaper, Result, Subsystem};

/// The surroundings of managers and drivers. Cheap to clone; clones are the same environment.
///
/// Nothing here is global: two applications in one process, or two tests, have one each.
///
/// ```
/// use switchboard_core::{Clock, Environment};
///
/// let environment = Environment::new()
///     .with_clock(Clock::seeded(1))
///     .with_variables([("REGION", "eu")]);
/// assert_eq!(environment.variable("REGION"), Some("eu"));
/// ```
#[derive(Clone)]
pub struct Environment(Arc<Shared>);

#[derive(Clone)]
struct Shared {
    clock: Clock,
    variables: BTreeMap<String, String>,
    reaper: Reaper,
    events: Events,
    policies: BTreeMap<String, Policy>,
    faults_allowed: bool,
    creations: Creations,
    managers: Arc<Mutex<HashMap<TypeId, WeakManager>>>,
}

type WeakManager = Weak<dyn Any + Send + Sync>;

impl Environment {
    /// The clock of the machine, no variables, nothing running.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            clock: Clock::system(),
            variables: BTreeMap::new(),
            reaper: Reaper::new(),
            events: Events::new(),
            policies: BTreeMap::new(),
            faults_allowed: true,
            creations: Creations::default(),
            managers: Arc::default(),
        }))
    }

    /// The same with another clock. To be said before the first manager is made.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        Arc::make_mut(&mut self.0).clock = clock;
        self
    }

    /// The same with these variables, which drivers read in place of the process's.
    #[must_use]
    pub fn with_variables<K: Into<String>, V: Into<String>>(
        mut self,
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        Arc::make_mut(&mut self.0)
            .variables
            .extend(variables.into_iter().map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// The same with a policy that instances can name.
    #[must_use]
    pub fn with_policy(mut self, name: impl Into<String>, policy: Policy) -> Self {
        Arc::make_mut(&mut self.0).policies.insert(name.into(), policy);
        self
    }

    /// The same, where faults on purpose are refused.
    #[must_use]
    pub fn in_production(mut self) -> Self {
        Arc::make_mut(&mut self.0).faults_allowed = false;
        self
    }

    /// Where time and randomness come from.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Where lines tell what happens to them.
    pub fn events(&self) -> &Events {
        &self.0.events
    }

    /// The value of a variable, if it was given.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.0.variables.get(name).map(String::as_str)
    }

    /// Who does what a drop cannot.
    pub fn reaper(&self) -> &Reaper {
        &self.0.reaper
    }

    pub(crate) fn policies(&self) -> &BTreeMap<String, Policy> {
        &self.0.policies
    }

    pub(crate) fn faults_allowed(&self) -> bool {
        self.0.faults_allowed
    }

    pub(crate) fn creations(&self) -> &Creations {
        &self.0.creations
    }

    /// Makes the manager of a subsystem known to the factories of the others.
    pub(crate) fn introduce<S: Subsystem>(&self, manager: &Arc<ManagerCore<S>>) -> Result<()> {
        let mut managers = self.0.managers.lock();
        let known = managers.entry(TypeId::of::<S>());
        let weak: WeakManager = Arc::downgrade(manager) as WeakManager;
        match known {
            std::collections::hash_map::Entry::Occupied(mut place) => {
                if place.get().strong_count() > 0 {
                    return Err(Error::new(
                        ErrorKind::AlreadyRegistered,
                        "the environment has a manager of this subsystem",
                    )
                    .with_context("subsystem", S::NAME));
                }
                place.insert(weak);
            }
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(weak);
            }
        }
        Ok(())
    }

    fn manager<S: Subsystem>(&self) -> Result<Manager<S>> {
        let known = self.0.managers.lock().get(&TypeId::of::<S>()).and_then(Weak::upgrade);
        known
            .and_then(|manager| manager.downcast::<ManagerCore<S>>().ok())
            .map(Manager::from_core)
            .ok_or_else(|| {
                Error::new(ErrorKind::NotRegistered, "the environment has no such manager")
                    .with_context("subsystem", S::NAME)
            })
    }
}

impl Default for Environment {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Environment {
    // Variables may hold secrets, so only their names are shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("variables", &self.0.variables.keys())
            .field("reaper", &self.0.reaper)
            .finish_non_exhaustive()
    }
}

/// What a factory may use while it builds a driver.
#[derive(Clone, Debug)]
pub struct BuildContext {
    environment: Environment,
    instance: Name,
    /// The slot that is being built; zero outside of a manager.
    creating: u64,
}

impl BuildContext {
    /// The context of an instance called `instance`.
    pub fn new(environment: &Environment, instance: Name) -> Self {
        Self { environment: environment.clone(), instance, creating: 0 }
    }

    /// The context of a creation, which look-ups through it belong to on whatever task they run.
    pub(crate) fn of_slot(environment: &Environment, instance: Name, creating: u64) -> Self {
        Self { environment: environment.clone(), instance, creating }
    }

    /// The name of the instance that is being built.
    pub fn instance(&self) -> &Name {
        &self.instance
    }

    /// What the instance shares with all others: for what a driver makes that needs one itself.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Where time and randomness come from.
    pub fn clock(&self) -> &Clock {
        self.environment.clock()
    }

    /// The value of a variable of the environment.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.environment.variable(name)
    }

    /// Who does what a drop of the driver cannot.
    pub fn reaper(&self) -> &Reaper {
        self.environment.reaper()
    }

    /// The instance `name` of another subsystem, or of the same one.
    ///
    /// It is created first if need be, and closed after the instance that is being built. Needing
    /// each other in a circle is an error at once.
    pub async fn other<S: Subsystem>(&self, name: &str) -> Result<S::Handle> {
        let manager = self.environment.manager::<S>()?;
        let inside = Ambient { creating: self.creating, ..ambient::current() };
        ambient::scope(inside, manager.get(name)).await
    }
}

/// How long a clean-up may take where nobody set a limit.
pub(crate) const CLEANUP_LIMIT: Duration = Duration::from_secs(10);
