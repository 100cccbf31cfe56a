//! The state of one instance: what serves it, how to build it, how it changes.
//!
//! Calls read `current` and nothing else. Every change goes through `writing`, under a short lock,
//! and is published as a whole. Building, draining and closing happen outside of that lock.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::panic::Location;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use futures_util::future::{join, join_all};
use tokio::sync::{OwnedMutexGuard, oneshot, watch};

use super::group::Group;
use super::leaving::Leaving;
use super::reported::Reported;
use super::seat::{Held, Retiring, Seat, Serving, at_latest, close_driver};
use crate::ambient::{self, Ambient, later};
use crate::creations::{SlotId, unique_id};
use crate::environment::CLEANUP_LIMIT;
use crate::figures::Figures;
use crate::flight::{Boarding, Flight, Leader, Outcome};
use crate::panics::contained;
use crate::reaper::Job;
use crate::registry::Registered;
use crate::sharded::{Hold, Sharded, Watch};
use crate::sync::Mutex;
use crate::{
    BuildContext, Capabilities, Environment, Error, ErrorKind, Event, Faults, Gates, Health,
    InstanceInfo, Lifecycle as _, Name, Op, Place, Policy, Result, Settings, Source, Status,
    Subsystem,
};

pub(crate) struct Slot<S: Subsystem> {
    pub(crate) id: SlotId,
    pub(crate) name: Name,
    pub(crate) environment: Environment,
    pub(crate) figures: Figures,
    pub(super) current: ArcSwap<Current<S>>,
    writing: Mutex<Writing<S>>,
    flight: Arc<Flight<Error>>,
    /// One swap at a time; also tells those who wait that something changed.
    changing: Arc<tokio::sync::Mutex<()>>,
    changed: watch::Sender<()>,
    leaving: Leaving,
    /// What groups have been told of the health of this instance.
    pub(super) reported: Arc<Reported>,
    /// The number of the first creation, for the order of closing.
    created_as: AtomicU64,
    /// What handles keep for themselves, by type.
    extensions: Mutex<HashMap<TypeId, Extension>>,
}

type Extension = Arc<dyn Any + Send + Sync>;

/// What calls see.
pub(super) enum Current<S: Subsystem> {
    /// Nothing is built yet; the first call builds it.
    Vacant,
    /// An exclusive driver is being exchanged; calls wait.
    Changing,
    Serving {
        seats: Sharded<Seat<S>>,
        gates: Option<Sharded<Arc<Gates>>>,
    },
    Group {
        group: Sharded<Arc<Group<S>>>,
        gates: Option<Sharded<Arc<Gates>>>,
    },
    Closed,
}

struct Writing<S: Subsystem> {
    recipe: Recipe<S>,
    /// Where the program said so.
    declared_at: &'static Location<'static>,
    /// Those of the recipe; a driver that leaves keeps the ones it came with.
    limits: Limits,
    base: Base<S>,
    overrides: Vec<(u64, Serving<S>)>,
    gates: Option<Arc<Gates>>,
    /// The gates once more, in the form that calls hold.
    held_gates: Option<Sharded<Arc<Gates>>>,
    faults: Option<Arc<Faults>>,
    generation: u64,
    /// Generations out of service that calls may still hold.
    retired: Vec<Watch<Seat<S>>>,
}

enum Base<S: Subsystem> {
    Vacant,
    Changing,
    Serving(Serving<S>),
    Group(Sharded<Arc<Group<S>>>),
    Closed,
}

/// How the driver of an instance is made.
pub(crate) enum Recipe<S: Subsystem> {
    /// By a registered factory.
    Driver { driver: Arc<Registered<S>>, settings: Settings },
    /// It was handed in, and cannot be made again.
    ReadyMade { driver_type: TypeId },
    /// It is a choice among other instances.
    Group(Arc<Group<S>>),
}

/// All that settings say of an instance. A swap puts all of it in force at once, or nothing.
pub(crate) struct Plan<S: Subsystem> {
    pub(crate) driver: Arc<Registered<S>>,
    pub(crate) settings: Settings,
    pub(crate) limits: Limits,
    /// The gates; `None` keeps those in force.
    pub(crate) policy: Option<Policy>,
}

/// How long the driver of an instance may take to come and to go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) build: Duration,
    pub(crate) drain: Duration,
    pub(crate) close: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            build: Duration::from_secs(30),
            drain: Duration::from_secs(30),
            close: CLEANUP_LIMIT,
        }
    }
}

/// A driver that was built; unless it is handed over it is closed, even by a drop.
struct Built<S: Subsystem> {
    driver: Arc<S::Driver>,
    driver_type: TypeId,
    environment: Environment,
    leaving: Leaving,
    handed_over: bool,
}

/// Why a driver was not built. Those who wait for a builder that panicked may try themselves.
enum Unbuilt {
    Failed(Error),
    Panicked(Error),
}

impl Unbuilt {
    fn into_error(self) -> Error {
        match self {
            Self::Failed(error) | Self::Panicked(error) => error,
        }
    }
}

/// The result of a swap: the new generation serves.
#[derive(Debug)]
#[must_use = "the old driver is closed in the background; `closed` waits for it"]
pub struct Swapped {
    /// The number of the generation that serves now.
    pub generation: u64,
    old: Old,
}

/// What becomes of the driver that served before.
#[derive(Debug)]
enum Old {
    Closed(Result<()>),
    Leaving(Job),
}

impl Swapped {
    /// Ends when the old driver has been drained and closed.
    pub async fn closed(self) -> Result<()> {
        match self.old {
            Old::Closed(result) => result,
            Old::Leaving(job) => job.ended().await,
        }
    }
}

impl<S: Subsystem> Slot<S> {
    pub(crate) fn new(
        name: Name,
        recipe: Recipe<S>,
        limits: Limits,
        environment: &Environment,
        declared_at: &'static Location<'static>,
    ) -> Self {
        let (base, reported) = match &recipe {
            Recipe::Group(group) => {
                (Base::Group(Sharded::new(group.clone())), group.reported().clone())
            }
            _ => (Base::Vacant, Arc::default()),
        };
        let writing = Writing {
            recipe,
            declared_at,
            limits,
            base,
            overrides: Vec::new(),
            gates: None,
            held_gates: None,
            faults: None,
            generation: 0,
            retired: Vec::new(),
        };
        Self {
            id: unique_id(),
            name,
            environment: environment.clone(),
            figures: Figures::new(S::OPERATIONS),
            current: ArcSwap::from_pointee(writing.current()),
            writing: Mutex::new(writing),
            flight: Flight::new(),
            changing: Arc::default(),
            changed: watch::Sender::new(()),
            leaving: Leaving::default(),
            reported,
            created_as: AtomicU64::new(0),
            extensions: Mutex::default(),
        }
    }

    /// `cache.sessions`.
    pub(crate) fn full_name(&self) -> String {
        format!("{}.{}", S::NAME, self.name)
    }

    pub(crate) fn place(&self, driver: Option<&'static str>, operation: &'static str) -> Place {
        Place { subsystem: S::NAME, instance: self.name.shared(), driver, operation }
    }

    /// The one `T` of this instance, made now if nobody has asked for it before.
    pub(super) fn extension<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        let mut extensions = self.extensions.lock();
        let known = extensions.entry(TypeId::of::<T>()).or_insert_with(|| Arc::<T>::default());
        // What is kept under the type's own number is of that type.
        known.clone().downcast().unwrap_or_default()
    }

    /// The type of the driver, known before it is built; `None` for a group.
    pub(crate) fn driver_type(&self) -> Option<TypeId> {
        match &self.writing.lock().recipe {
            Recipe::Driver { driver, .. } => Some(driver.driver_type()),
            Recipe::ReadyMade { driver_type } => Some(*driver_type),
            Recipe::Group(_) => None,
        }
    }

    /// The error of declaring an instance of this name once more.
    pub(crate) fn taken(&self, place: &Location<'_>) -> Error {
        taken("an instance of that name is declared already", self.full_name())
            .with_context("first", self.declared_at())
            .with_context("second", place)
    }

    /// Where the program said what this instance is.
    pub(crate) fn declared_at(&self) -> &'static Location<'static> {
        self.writing.lock().declared_at
    }

    /// The driver that serves now, if one does.
    #[inline]
    pub(super) fn seat(&self) -> Option<Hold<Seat<S>>> {
        match &**self.current.load() {
            Current::Serving { seats, .. } => Some(seats.hold()),
            _ => None,
        }
    }

    #[inline]
    pub(super) fn peek<T>(&self, look: impl FnOnce(&S::Driver) -> T) -> Option<T> {
        match &**self.current.load() {
            Current::Serving { seats, .. } => Some(look(&seats.value().driver)),
            _ => None,
        }
    }

    /// The way of a call that starts now, as far as it can be seen without waiting.
    #[inline]
    pub(super) fn way(&self, op: Op) -> Way<S> {
        match &**self.current.load() {
            Current::Serving { seats, gates: Some(gates) } => {
                match gates.value().refusal(op.name()) {
                    None => Way::Gated(gates.hold(), Held(seats.hold())),
                    Some(refusal) => Way::Refused(refusal),
                }
            }
            Current::Serving { seats, gates: None } if ambient::current().deadline.is_none() => {
                Way::Straight(Held(seats.hold()))
            }
            _ => Way::Roundabout,
        }
    }

    /// The driver that serves now; builds it, or waits for it, if need be.
    pub(super) async fn seated(self: &Arc<Self>) -> Result<Held<S>> {
        loop {
            match &**self.current.load() {
                Current::Serving { seats, .. } => return Ok(Held(seats.hold())),
                Current::Group { .. } => return Err(self.no_driver()),
                Current::Closed => return Err(self.closed()),
                Current::Vacant | Current::Changing => {}
            }
            Box::pin(self.ensure()).await?;
        }
    }

    /// The way a call has to take: through these gates, and to a driver or a group. Builds what is
    /// not built yet.
    pub(super) async fn entered(self: &Arc<Self>) -> Result<Entered<S>> {
        loop {
            match &**self.current.load() {
                Current::Serving { seats, gates } => {
                    let held = Held(seats.hold());
                    return Ok(Entered::Driver(gates.as_ref().map(Sharded::hold), held));
                }
                Current::Group { group, gates } => {
                    return Ok(Entered::Group(group.hold(), gates.as_ref().map(Sharded::hold)));
                }
                Current::Closed => return Err(self.closed()),
                Current::Vacant | Current::Changing => {}
            }
            Box::pin(self.ensure()).await?;
        }
    }

    /// Ends when something serves: at once, after building it, or after somebody else has.
    ///
    /// A caller whose deadline comes while it builds leaves with a time-out, and what it had begun is
    /// brought to its end: otherwise an instance that takes longer to build than a call may take
    /// would never come up. A caller that is dropped takes the building with it.
    pub(crate) async fn ensure(self: &Arc<Self>) -> Result<()> {
        self.environment.reaper().remember_runtime();
        let ambient = ambient::current();
        let _waiting = match ambient.creating {
            0 => None,
            asking => {
                Some(self.environment.creations().wait(asking, self.id, &self.full_name())?)
            }
        };
        if self.standing() == Standing::Serving {
            return Ok(());
        }
        let leads = Arc::new(AtomicBool::new(false));
        let mut readying = Box::pin(self.clone().become_ready(ambient, leads.clone()));
        let result = match ambient.deadline {
            None => Some(readying.as_mut().await),
            Some(deadline) => at_latest(deadline, readying.as_mut()).await,
        };
        let result = result.unwrap_or_else(|| {
            if leads.load(Ordering::Relaxed) {
                let limit = self.limits().build.saturating_add(CLEANUP_LIMIT);
                drop(self.environment.reaper().submit("finish building", limit, readying));
            }
            Err(Error::new(ErrorKind::Timeout, "the instance was not ready in time"))
        });
        // Whatever happened while building, the call that wanted it was not made.
        result.map_err(|error| error.not_applied().at(|| self.place(None, "build")))
    }

    async fn become_ready(self: Arc<Self>, around: Ambient, leads: Arc<AtomicBool>) -> Result<()> {
        let mut changed = self.changed.subscribe();
        loop {
            match self.standing() {
                Standing::Serving => return Ok(()),
                Standing::Closed => return Err(self.closed()),
                Standing::Vacant => {}
                Standing::Changing => {
                    // The sender lives as long as the slot, so there is always another change.
                    changed.changed().await.ok();
                    continue;
                }
            }
            match self.flight.board() {
                Boarding::Lead(leader) => {
                    leads.store(true, Ordering::Relaxed);
                    return self.create(leader, around).await;
                }
                Boarding::Wait(landed) => match landed.await {
                    Outcome::Done | Outcome::Abandoned => {}
                    Outcome::Failed(error) => return Err(error),
                },
            }
        }
    }

    /// The work of the one caller that leads.
    async fn create(&self, leader: Leader<Error>, around: Ambient) -> Result<()> {
        if self.standing() != Standing::Vacant {
            // Between looking and leading, somebody else had finished.
            leader.land(Outcome::Done);
            return Ok(());
        }
        let installed = match self.plan() {
            // A ready-made driver is in its place from the start; it is gone only after `close`.
            None => Err(self.closed()),
            Some(Plan { driver, settings, limits, .. }) => {
                let building = self.build(&driver, &settings);
                match self.within_build_limit(around, limits.build, building).await {
                    Err(Unbuilt::Panicked(error)) => {
                        leader.land(Outcome::Abandoned);
                        return Err(error);
                    }
                    Err(Unbuilt::Failed(error)) => Err(error),
                    Ok(built) => self.install(built, driver.label()).await,
                }
            }
        };
        leader.land(match &installed {
            Ok(()) => Outcome::Done,
            Err(error) => Outcome::Failed(error.clone()),
        });
        installed
    }

    /// Runs a building of this instance: in its own name, with a limit, and with panics contained.
    async fn within_build_limit<T>(
        &self,
        around: Ambient,
        limit: Duration,
        building: impl Future<Output = Result<T>>,
    ) -> Result<T, Unbuilt> {
        self.environment.creations().begin(self.id, &self.full_name());
        let until = later(self.environment.clock().now(), limit);
        let inside = Ambient { creating: self.id, deadline: Some(until), ..around };
        match at_latest(until, contained(ambient::scope(inside, building))).await {
            Some(Ok(result)) => result.map_err(Unbuilt::Failed),
            Some(Err(panic)) => Err(Unbuilt::Panicked(panic.into_error("build"))),
            None => Err(Unbuilt::Failed(
                Error::new(ErrorKind::Timeout, "the driver was not ready within the build limit")
                    .with_context("limit", format_args!("{limit:?}"))
                    .not_applied(),
            )),
        }
    }

    /// How the driver of this instance is made; `None` where it cannot be made again.
    fn plan(&self) -> Option<Plan<S>> {
        let writing = self.writing.lock();
        let Recipe::Driver { driver, settings } = &writing.recipe else { return None };
        let (driver, settings) = (driver.clone(), settings.clone());
        Some(Plan { driver, settings, limits: writing.limits, policy: None })
    }

    /// Builds and initialises a driver. Whatever becomes of the caller, it is closed or handed out.
    async fn build(&self, driver: &Registered<S>, settings: &Settings) -> Result<Built<S>> {
        if driver.is_exclusive() {
            self.leaving.gone(driver.driver_type()).await;
        }
        let context = BuildContext::new(&self.environment, self.name.clone());
        let at = |error: Error| error.at(|| self.place(Some(driver.label()), "build"));
        let made = driver.build(settings, context).await.map_err(at)?;
        let built = self.built(made, driver.driver_type());
        match built.driver.init().await {
            Ok(()) => Ok(built),
            Err(error) => Err(at(built.discard(error).await)),
        }
    }

    /// A driver that is closed unless it is handed over.
    fn built(&self, driver: Arc<S::Driver>, driver_type: TypeId) -> Built<S> {
        let (environment, leaving) = (self.environment.clone(), self.leaving.clone());
        Built { driver, driver_type, environment, leaving, handed_over: false }
    }

    /// Puts a driver that was created into its place, unless that was taken meanwhile.
    async fn install(&self, built: Built<S>, label: &'static str) -> Result<()> {
        let built = {
            let mut writing = self.writing.lock();
            match writing.base {
                Base::Vacant => {
                    writing.serve(built, label);
                    self.environment.creations().settle(self.id);
                    self.publish(&writing);
                    return Ok(());
                }
                Base::Closed => Err(built),
                // A ready-made one, or a swap, was faster and wins.
                _ => Ok(built),
            }
        };
        match built {
            Ok(mut loser) => drop(loser.close_in_background().ended().await),
            Err(late) => return Err(late.discard(self.closed()).await),
        }
        Ok(())
    }

    /// Puts a ready-made driver into the place of nothing; one that is refused is closed.
    pub(crate) fn put_ready_made(
        &self,
        driver: Arc<S::Driver>,
        label: &'static str,
        driver_type: TypeId,
        place: &'static Location<'static>,
    ) -> Result<()> {
        let given = self.built(driver, driver_type);
        let mut writing = self.writing.lock();
        match writing.base {
            Base::Vacant => {}
            Base::Closed => return Err(self.closed()),
            _ => {
                return Err(taken("the instance has a driver already", self.full_name())
                    .with_context("first", writing.declared_at)
                    .with_context("second", place)
                    .with_hint("swap it, or override it in a test"));
            }
        }
        writing.recipe = Recipe::ReadyMade { driver_type };
        writing.declared_at = place;
        writing.serve(given, label);
        self.publish(&writing);
        drop(writing);
        self.flight.overtake();
        Ok(())
    }

    /// Serves calls from `driver` until the override with this number is lifted; one that is refused
    /// is closed.
    pub(crate) fn put_override(
        &self,
        driver: Arc<S::Driver>,
        label: &'static str,
        driver_type: TypeId,
    ) -> Result<u64> {
        let given = self.built(driver, driver_type);
        let mut writing = self.writing.lock();
        if matches!(writing.base, Base::Closed) {
            return Err(self.closed());
        }
        let id = unique_id();
        let serving = writing.generation(given, label);
        writing.overrides.push((id, serving));
        self.publish(&writing);
        drop(writing);
        self.flight.overtake();
        Ok(id)
    }

    /// Gives the instance other gates; those that stay go on where they were.
    pub(crate) fn retune(&self, policy: Policy) -> Result<()> {
        let mut writing = self.writing.lock();
        self.refuse_closed(&writing)?;
        let gates = self.next_gates(&writing, policy, writing.faults.clone())?;
        writing.put_gates(gates);
        self.publish(&writing);
        Ok(())
    }

    /// Lets faults happen to the calls of this instance, or stops that.
    pub(crate) fn set_faults(&self, faults: Option<Arc<Faults>>) -> Result<()> {
        if faults.is_some() && !self.environment.faults_allowed() {
            return Err(Error::new(ErrorKind::Config, "faults are refused in production")
                .with_context("instance", self.full_name()));
        }
        // One lock for reading the policy and putting it back, or a retune between is lost.
        let mut writing = self.writing.lock();
        self.refuse_closed(&writing)?;
        let policy = writing.gates.as_ref().map(|gates| gates.policy().clone()).unwrap_or_default();
        let gates = self.next_gates(&writing, policy, faults.clone())?;
        writing.faults = faults;
        writing.put_gates(gates);
        self.publish(&writing);
        Ok(())
    }

    /// The gates of `policy`, which go on where those in force are; nothing is published yet.
    fn next_gates(
        &self,
        writing: &Writing<S>,
        policy: Policy,
        faults: Option<Arc<Faults>>,
    ) -> Result<Option<Arc<Gates>>> {
        if policy.is_empty() && faults.is_none() {
            return Ok(None);
        }
        let source = Source::new(S::NAME, self.name.shared());
        let before = writing.gates.as_deref();
        let gates = Gates::following(before, policy, source, &self.environment)?;
        Ok(Some(Arc::new(gates.with_faults(faults))))
    }

    fn refuse_closed(&self, writing: &Writing<S>) -> Result<()> {
        if matches!(writing.base, Base::Closed) { Err(self.closed()) } else { Ok(()) }
    }

    fn limits(&self) -> Limits {
        self.writing.lock().limits
    }

    /// When a call that starts now has to be done, by its own policy.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.writing.lock().gates.as_ref().and_then(|gates| gates.deadline())
    }

    /// The gates in force.
    pub(crate) fn gates(&self) -> Option<Arc<Gates>> {
        self.writing.lock().gates.clone()
    }

    /// Lifts an override; its driver is drained and closed in the background.
    pub(crate) fn lift_override(&self, id: u64) {
        let mut writing = self.writing.lock();
        let Some(position) = writing.overrides.iter().position(|(known, _)| *known == id) else {
            return;
        };
        let (_, serving) = writing.overrides.remove(position);
        let retiring = writing.retire(serving);
        self.publish(&writing);
        drop(self.retire_in_background(retiring, writing.limits));
    }

    /// Takes a ready-made driver out again that nobody can have seen.
    pub(crate) fn give_up(&self) {
        let mut writing = self.writing.lock();
        let given = writing.replace_base(Base::Closed);
        self.publish(&writing);
        drop(given.map(|given| self.retire_in_background(given, writing.limits)));
    }

    /// Builds by the new plan, checks what was built, flips, and retires the old driver.
    ///
    /// Until the flip any failure leaves everything as it was: driver, settings, limits and gates.
    pub(crate) async fn swap(self: &Arc<Self>, plan: Plan<S>) -> Result<Swapped> {
        self.environment.reaper().remember_runtime();
        let one_at_a_time = self.changing.clone().lock_owned().await;
        if self.must_close_first(&plan.driver) {
            return self.swap_exclusive(one_at_a_time, plan).await;
        }
        let built = self.create_apart(&plan, Probe::Yes).await?;
        let (generation, old) = self.serve_swapped(built, plan).await?;
        self.flight.overtake();
        let old = old.map_or(Old::Closed(Ok(())), Old::Leaving);
        Ok(Swapped { generation, old })
    }

    /// A driver that cannot live twice: calls wait while the old one is closed and the new one
    /// opened. If that fails the old one is opened again.
    ///
    /// Runs to its end even if the caller goes away, because half-way nothing serves.
    async fn swap_exclusive(
        self: &Arc<Self>,
        one_at_a_time: OwnedMutexGuard<()>,
        plan: Plan<S>,
    ) -> Result<Swapped> {
        let before = self.limits();
        // A creation under way, the new driver, and the old one again.
        let building = before.build.saturating_mul(2).saturating_add(plan.limits.build);
        let limit = before.drain.saturating_add(before.close).saturating_add(building);
        let slot = self.clone();
        let (tell, told) = oneshot::channel();
        let job = self.environment.reaper().submit("exclusive swap", limit, async move {
            let _one_at_a_time = one_at_a_time;
            let _no_creation = slot.flight.lead().await;
            let old = slot.begin_change()?;
            let _resumed = Resume(&*slot);
            let closed = match old {
                Some(old) => old.ended().await,
                None => Ok(()),
            };
            let swapped = match slot.create_apart(&plan, Probe::Yes).await {
                Ok(built) => slot.serve_swapped(built, plan).await,
                Err(error) => Err(slot.reopen(error).await),
            };
            match swapped {
                // Nobody listens when the caller has gone.
                Ok((generation, _)) => drop(tell.send((generation, closed))),
                Err(error) => return Err(error.with_related(closed.err())),
            }
            Ok(())
        });
        job.ended().await?;
        let (generation, closed) = told.await.map_err(|_| self.closed())?;
        Ok(Swapped { generation, old: Old::Closed(closed) })
    }

    /// After a failed exclusive swap: the old driver again, if it can be had.
    async fn reopen(&self, error: Error) -> Error {
        let Some(plan) = self.plan() else { return error };
        let reopened = match self.create_apart(&plan, Probe::No).await {
            Ok(built) => self.serve_swapped(built, plan).await.map(drop),
            Err(error) => Err(error),
        };
        match reopened {
            Ok(()) => error,
            Err(again) => error
                .with_related([again])
                .with_hint("the old driver could not be opened again; the next call tries"),
        }
    }

    /// The flip: `built` serves from now on, with all that the plan says. The answer is its number
    /// and the closing of who served before.
    ///
    /// What can fail is done before the flip; then `built` is closed and nothing has changed.
    async fn serve_swapped(&self, built: Built<S>, plan: Plan<S>) -> Result<(u64, Option<Job>)> {
        let Plan { driver, settings, limits, policy } = plan;
        let label = driver.label();
        let refused = {
            let mut writing = self.writing.lock();
            match self.gates_after_swap(&writing, policy) {
                Err(error) => error,
                Ok(gates) => {
                    let limits_before = std::mem::replace(&mut writing.limits, limits);
                    writing.recipe = Recipe::Driver { driver, settings };
                    writing.put_gates(gates);
                    let old = writing.serve(built, label);
                    let old = old.map(|old| self.retire_in_background(old, limits_before));
                    self.environment.creations().settle(self.id);
                    self.publish(&writing);
                    // What was found of the old driver does not hold for this one.
                    self.reported.tell(None);
                    let generation = writing.generation;
                    drop(writing);
                    self.environment.events().emit(|| Event::Swapped {
                        source: Source::new(S::NAME, self.name.shared()),
                        driver: label.into(),
                        generation,
                    });
                    return Ok((generation, old));
                }
            }
        };
        Err(built.discard(refused).await)
    }

    fn gates_after_swap(
        &self,
        writing: &Writing<S>,
        policy: Option<Policy>,
    ) -> Result<Option<Arc<Gates>>> {
        self.refuse_closed(writing)?;
        match policy {
            None => Ok(writing.gates.clone()),
            Some(policy) => self.next_gates(writing, policy, writing.faults.clone()),
        }
    }

    /// Takes the driver out so that calls wait; the answer is the closing of it.
    fn begin_change(&self) -> Result<Option<Job>> {
        let mut writing = self.writing.lock();
        self.refuse_closed(&writing)?;
        let old = writing.replace_base(Base::Changing);
        self.publish(&writing);
        Ok(old.map(|old| self.retire_in_background(old, writing.limits)))
    }

    /// Whether what serves, or is about to be created, and `next` cannot live at the same time.
    ///
    /// Their settings are not compared: which of them name the file or the port only the driver
    /// knows. A ready-made driver is left in its place, because it could not be opened again.
    fn must_close_first(&self, next: &Registered<S>) -> bool {
        let writing = self.writing.lock();
        match &writing.recipe {
            Recipe::Driver { driver, .. } => {
                next.is_exclusive() && driver.driver_type() == next.driver_type()
            }
            _ => false,
        }
    }

    /// Creates a driver beside what serves now, as a creation of this instance and within a limit.
    async fn create_apart(&self, plan: &Plan<S>, probe: Probe) -> Result<Built<S>> {
        let probed = async {
            let built = self.build(&plan.driver, &plan.settings).await?;
            match probe {
                Probe::Yes => built.probed().await,
                Probe::No => Ok(built),
            }
        };
        let ambient = ambient::current();
        let building = self.within_build_limit(ambient, plan.limits.build, probed);
        let built = match ambient.deadline {
            None => building.await,
            Some(deadline) => at_latest(deadline, building).await.unwrap_or_else(|| {
                let late = Error::new(ErrorKind::Timeout, "the deadline passed before the swap");
                Err(Unbuilt::Failed(late.not_applied()))
            }),
        };
        let at = || self.place(Some(plan.driver.label()), "swap");
        built.map_err(|unbuilt| unbuilt.into_error().at(at))
    }

    /// Lets no more calls in, drains those under way and closes what has not gone yet: the driver,
    /// overrides, and drivers that a swap has taken out. Safe to repeat.
    ///
    /// The answer says whether there was anything to close.
    pub(crate) async fn close(&self, until: Instant) -> Result<bool> {
        // Draining may not eat the time that closing needs; what it leaves is for closing.
        let now = self.environment.clock().now();
        let drained_by = now + until.saturating_duration_since(now) / 2;
        let (serving, leaving) = {
            let mut writing = self.writing.lock();
            let overrides = std::mem::take(&mut writing.overrides);
            let mut serving: Vec<_> =
                overrides.into_iter().map(|(_, serving)| writing.retire(serving)).collect();
            serving.extend(writing.replace_base(Base::Closed));
            self.publish(&writing);
            (serving, self.leaving.hurry(drained_by))
        };
        self.flight.overtake();
        self.environment.creations().forget(self.id);
        let serving = serving.into_iter().map(|mut retiring| async move {
            at_latest(drained_by, retiring.drained()).await;
            retiring.close(until).await
        });
        let leaving = leaving.into_iter().map(|job| async move {
            at_latest(until, job.ended()).await.unwrap_or_else(|| Err(still_leaving()))
        });
        let (mut closed, left) = join(join_all(serving), join_all(leaving)).await;
        closed.extend(left);
        let any = !closed.is_empty();
        let at = |error: Error| error.at(|| self.place(None, "close"));
        let mut errors: Vec<_> = closed.into_iter().filter_map(Result::err).map(at).collect();
        match errors.len() {
            0 => Ok(any),
            1 => errors.pop().map_or(Ok(any), Err),
            _ => Err(at(Error::joined("several drivers of the instance did not close", errors))),
        }
    }

    /// Asks the driver how it is, no longer than `until`; builds nothing. Groups are told.
    pub(crate) async fn health(&self, until: Instant) -> Option<Health> {
        let held = Held::<S>(self.seat()?);
        let health = match at_latest(until, contained(async { held.health().await })).await {
            Some(Ok(Ok(health))) => health,
            Some(Ok(Err(error))) => error.into(),
            Some(Err(panic)) => panic.into_error("health").into(),
            None => Health::down("no answer in time"),
        };
        self.report(&health);
        Some(health)
    }

    fn report(&self, health: &Health) {
        let reason = || health.reason.clone().unwrap_or_else(|| "no reason given".to_owned());
        self.reported.tell((health.status == Status::Down).then(reason));
    }

    /// Why a group passes over this instance, if it does.
    pub(super) fn down(&self) -> Option<Error> {
        let reason = self.reported.down()?;
        let error = Error::new(ErrorKind::Unavailable, "it was down when it was last checked")
            .with_context("reason", reason)
            .not_applied();
        let group = match &self.writing.lock().recipe {
            Recipe::Group(group) => Some(group.clone()),
            _ => None,
        };
        let error = error.with_related(group.iter().flat_map(|group| group.downs()));
        Some(error.at(|| self.place(None, "health")))
    }

    /// How many calls and opened things use a driver of this instance now.
    ///
    /// Too many for a moment after a swap: until the last thread that was just looking up the old
    /// driver has gone on, each stripe of it counts once more.
    pub(crate) fn in_flight(&self) -> usize {
        let mut writing = self.writing.lock();
        writing.retired.retain(|watch| watch.holds(false) > 0);
        let retired: usize = writing.retired.iter().map(|watch| watch.holds(false)).sum();
        retired + writing.serving().map(|serving| serving.watch().holds(true)).sum::<usize>()
    }

    /// Grows with the moment of the first creation; zero before it.
    pub(crate) fn created_as(&self) -> u64 {
        self.created_as.load(Ordering::Relaxed)
    }

    pub(crate) fn declared_capabilities(&self) -> Capabilities {
        match &self.writing.lock().recipe {
            Recipe::Driver { driver, .. } => driver.capabilities().clone(),
            Recipe::ReadyMade { .. } | Recipe::Group(_) => Capabilities::new(),
        }
    }

    pub(crate) fn info(&self) -> InstanceInfo {
        let (driver, generation) = {
            let writing = self.writing.lock();
            let driver = match &writing.recipe {
                Recipe::Driver { driver, .. } => Some(driver.label()),
                Recipe::ReadyMade { .. } => Some("ready-made"),
                Recipe::Group(_) => None,
            };
            (driver, writing.generation)
        };
        InstanceInfo {
            name: self.name.to_string(),
            driver: self.seat().map(|seat| seat.label).or(driver).map(str::to_owned),
            is_ready: self.standing() == Standing::Serving,
            generation,
            in_flight: self.in_flight(),
        }
    }

    pub(crate) fn is_group(&self) -> bool {
        matches!(self.writing.lock().recipe, Recipe::Group(_))
    }

    fn no_driver(&self) -> Error {
        Error::new(ErrorKind::Unsupported, "a group has no driver of its own")
            .with_context("instance", self.full_name())
    }

    pub(super) fn closed(&self) -> Error {
        Error::new(ErrorKind::Unavailable, "the instance is closed")
            .with_retry(crate::Retry::Never)
            .not_applied()
            .at(|| self.place(None, "look up"))
    }

    pub(crate) fn standing(&self) -> Standing {
        match &**self.current.load() {
            Current::Serving { .. } | Current::Group { .. } => Standing::Serving,
            Current::Closed => Standing::Closed,
            Current::Vacant => Standing::Vacant,
            Current::Changing => Standing::Changing,
        }
    }

    /// Drains and closes a driver by the limits it came with. Under the lock of `writing`, so that
    /// whoever sees that it is out of service also sees that it is leaving.
    fn retire_in_background(&self, mut retiring: Retiring<S>, limits: Limits) -> Job {
        let driver_type = retiring.driver_type();
        let clock = self.environment.clock().clone();
        let limit =
            limits.drain.saturating_add(limits.close).saturating_add(Duration::from_secs(1));
        let place = self.place(None, "close");
        let leaving = self.leaving.clone();
        let job = self.environment.reaper().submit("retire a driver", limit, async move {
            leaving.drain(later(clock.now(), limits.drain), pin!(retiring.drained())).await;
            let closed = retiring.close(later(clock.now(), limits.close)).await;
            closed.map_err(|error| error.at(|| place))
        });
        self.leaving.add(driver_type, job.clone());
        job
    }

    fn publish(&self, writing: &Writing<S>) {
        if writing.generation > 0 && self.created_as() == 0 {
            self.created_as.store(unique_id(), Ordering::Relaxed);
        }
        self.current.store(Arc::new(writing.current()));
        self.changed.send_replace(());
    }
}

fn taken(message: &'static str, instance: String) -> Error {
    Error::new(ErrorKind::AlreadyRegistered, message).with_context("instance", instance)
}

fn still_leaving() -> Error {
    Error::new(ErrorKind::Timeout, "a driver that was taken out before did not close in time")
}

/// What is in the place of the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Vacant,
    Changing,
    Serving,
    Closed,
}

/// The way of a call.
pub(super) enum Way<S: Subsystem> {
    /// To the driver, with nothing in between.
    Straight(Held<S>),
    /// Through these gates.
    Gated(Hold<Arc<Gates>>, Held<S>),
    /// Nowhere: the breaker is open.
    Refused(Error),
    /// Something has to be built, waited for, chosen or limited first.
    Roundabout,
}

/// What a call finds.
pub(super) enum Entered<S: Subsystem> {
    Driver(Option<Hold<Arc<Gates>>>, Held<S>),
    Group(Hold<Arc<Group<S>>>, Option<Hold<Arc<Gates>>>),
}

impl<S: Subsystem> Writing<S> {
    fn current(&self) -> Current<S> {
        match (&self.base, self.overrides.last()) {
            (Base::Closed, _) => Current::Closed,
            (_, Some((_, serving))) | (Base::Serving(serving), None) => {
                Current::Serving { seats: serving.seats.clone(), gates: self.held_gates.clone() }
            }
            (Base::Group(group), None) => {
                Current::Group { group: group.clone(), gates: self.held_gates.clone() }
            }
            (Base::Vacant, None) => Current::Vacant,
            (Base::Changing, None) => Current::Changing,
        }
    }

    fn generation(&mut self, built: Built<S>, label: &'static str) -> Serving<S> {
        self.generation += 1;
        let driver_type = built.driver_type;
        Serving::new(built.hand_over(), driver_type, label, self.generation)
    }

    /// Makes `built` the one that serves; the answer is the one before.
    fn serve(&mut self, built: Built<S>, label: &'static str) -> Option<Retiring<S>> {
        let serving = self.generation(built, label);
        self.replace_base(Base::Serving(serving))
    }

    fn put_gates(&mut self, gates: Option<Arc<Gates>>) {
        self.held_gates = gates.clone().map(Sharded::new);
        self.gates = gates;
    }

    fn replace_base(&mut self, base: Base<S>) -> Option<Retiring<S>> {
        match std::mem::replace(&mut self.base, base) {
            Base::Serving(old) => Some(self.retire(old)),
            _ => None,
        }
    }

    fn retire(&mut self, serving: Serving<S>) -> Retiring<S> {
        self.retired.retain(|watch| watch.holds(false) > 0);
        self.retired.push(serving.watch());
        serving.retire()
    }

    fn serving(&self) -> impl Iterator<Item = &Serving<S>> {
        let base = match &self.base {
            Base::Serving(serving) => Some(serving),
            _ => None,
        };
        self.overrides.iter().map(|(_, serving)| serving).chain(base)
    }
}

/// Whether a driver must show that it works before it serves.
#[derive(Clone, Copy)]
enum Probe {
    Yes,
    No,
}

impl<S: Subsystem> Built<S> {
    /// Itself, unless it says that it does not work.
    async fn probed(self) -> Result<Self> {
        match self.driver.health().await {
            Ok(Health { status: Status::Down, reason }) => {
                let reason = reason.unwrap_or_else(|| "no reason given".to_owned());
                let error = Error::new(ErrorKind::Unavailable, "the new driver is not healthy")
                    .with_context("reason", reason)
                    .not_applied();
                Err(self.discard(error).await)
            }
            Err(error) => Err(self.discard(error).await),
            Ok(_) => Ok(self),
        }
    }

    fn hand_over(mut self) -> Arc<S::Driver> {
        self.handed_over = true;
        self.driver.clone()
    }

    /// Closes it because of `error`; that it did not close either is kept beside it.
    async fn discard(mut self, error: Error) -> Error {
        match self.close_in_background().ended().await {
            Ok(()) => error,
            Err(also) => error.with_related([also]),
        }
    }

    fn close_in_background(&mut self) -> Job {
        self.handed_over = true;
        let driver = self.driver.clone();
        let clock = self.environment.clock().clone();
        let limit = CLEANUP_LIMIT + Duration::from_secs(1);
        let reaper = self.environment.reaper();
        let job = reaper.submit("close a driver that does not serve", limit, async move {
            close_driver::<S>(&driver, later(clock.now(), CLEANUP_LIMIT)).await
        });
        self.leaving.add(self.driver_type, job.clone());
        job
    }
}

impl<S: Subsystem> Drop for Built<S> {
    fn drop(&mut self) {
        if !self.handed_over {
            drop(self.close_in_background());
        }
    }
}

/// Lets calls go on after an exclusive swap, however it ended.
struct Resume<'s, S: Subsystem>(&'s Slot<S>);

impl<S: Subsystem> Drop for Resume<'_, S> {
    fn drop(&mut self) {
        let mut writing = self.0.writing.lock();
        if matches!(writing.base, Base::Changing) {
            writing.replace_base(Base::Vacant);
            self.0.publish(&writing);
        }
    }
}
