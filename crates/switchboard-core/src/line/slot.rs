//! The state of one instance: what serves it, how to build it, how it changes.
//!
//! Calls read `current` and nothing else. Every change goes through `writing`, under a short lock,
//! and is published as a whole. Building, draining and closing happen outside of that lock.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use futures_util::future::{join, join_all};
use tokio::sync::watch;

use super::build::Built;
use super::group::Group;
use super::leaving::Leaving;
use super::reported::Reported;
use super::seat::{Held, Retiring, Seat, Serving, at_latest};
use crate::ambient::{self, later};
use crate::creations::{SlotId, unique_id};
use crate::environment::CLEANUP_LIMIT;
use crate::figures::Figures;
use crate::flight::Flight;
use crate::panics::contained;
use crate::reaper::Job;
use crate::registry::Registered;
use crate::sharded::{Hold, Sharded, Watch};
use crate::sync::Mutex;
use crate::{
    Capabilities, Environment, Error, ErrorKind, Faults, Gates, Health, InstanceInfo,
    Lifecycle as _, Name, Op, Place, Policy, Result, Settings, Source, Status, Subsystem,
};

pub(crate) struct Slot<S: Subsystem> {
    pub(crate) id: SlotId,
    pub(crate) name: Name,
    pub(crate) environment: Environment,
    /// Whether it is a choice among other instances. That never changes.
    pub(crate) is_group: bool,
    /// Whether its driver belongs to somebody else, who closes it. That never changes.
    pub(super) is_lent: bool,
    pub(crate) figures: Figures,
    pub(super) current: ArcSwap<Current<S>>,
    pub(super) writing: Mutex<Writing<S>>,
    pub(super) flight: Arc<Flight<Error>>,
    /// One swap at a time; also tells those who wait that something changed.
    pub(super) changing: Arc<tokio::sync::Mutex<()>>,
    pub(super) changed: watch::Sender<()>,
    pub(super) leaving: Leaving,
    /// What groups have been told of the health of this instance.
    pub(super) reported: Arc<Reported>,
    /// The number of the first creation, for the order of closing.
    pub(super) created_as: AtomicU64,
    /// What handles keep for themselves, by type.
    pub(super) extensions: Mutex<HashMap<TypeId, Extension>>,
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

pub(super) struct Writing<S: Subsystem> {
    pub(super) recipe: Recipe<S>,
    /// Grows when another recipe takes the place of one that nothing may have been built by yet.
    pub(super) recipe_number: u64,
    /// Where the program said so.
    pub(super) declared_at: &'static Location<'static>,
    /// Those of the recipe; a driver that leaves keeps the ones it came with.
    pub(super) limits: Limits,
    pub(super) base: Base<S>,
    pub(super) overrides: Vec<(u64, Serving<S>)>,
    pub(super) gates: Option<Arc<Gates>>,
    /// The gates once more, in the form that calls hold.
    pub(super) held_gates: Option<Sharded<Arc<Gates>>>,
    pub(super) faults: Option<Arc<Faults>>,
    pub(super) generation: u64,
    /// Generations out of service that calls may still hold.
    pub(super) retired: Vec<Watch<Seat<S>>>,
    /// What was last found of a driver that served then.
    checked: Option<Checked>,
    /// Why the first driver was last not built, and the number of the recipe that failed.
    pub(super) unbuilt: Option<(u64, Error)>,
}

pub(super) enum Base<S: Subsystem> {
    Vacant,
    Changing,
    Serving(Serving<S>),
    Group(Sharded<Arc<Group<S>>>),
    Closed,
}

/// How the driver of an instance is made.
pub(crate) enum Recipe<S: Subsystem> {
    /// By a registered factory.
    Driver { driver: Arc<Registered<S>>, settings: Settings, wrap: Option<Wrap<S>> },
    /// It was handed in, and cannot be made again.
    ReadyMade { driver_type: TypeId },
    /// It is a choice among other instances.
    Group(Arc<Group<S>>),
}

impl<S: Subsystem> Recipe<S> {
    fn usual_policy(&self) -> Policy {
        match self {
            Self::Driver { driver, .. } => driver.usual_policy().clone(),
            Self::ReadyMade { .. } | Self::Group(_) => Policy::default(),
        }
    }
}

/// Puts something of the application's around a driver that is ready to serve.
pub(crate) type Wrap<S> = Arc<dyn Fn(Driver<S>) -> Driver<S> + Send + Sync>;

type Driver<S> = Arc<<S as Subsystem>::Driver>;

/// All that settings say of an instance. A swap puts all of it in force at once, or nothing.
pub(crate) struct Plan<S: Subsystem> {
    pub(crate) driver: Arc<Registered<S>>,
    pub(crate) settings: Settings,
    pub(crate) limits: Limits,
    /// The gates; `None` keeps those in force.
    pub(crate) policy: Option<Policy>,
    /// What goes around the driver; `None` keeps what is in force.
    pub(crate) wrap: Option<Wrap<S>>,
    /// The data that those of this plan may take the place of.
    pub(crate) replaces: Option<String>,
}

impl<S: Subsystem> Clone for Plan<S> {
    fn clone(&self) -> Self {
        Self {
            driver: self.driver.clone(),
            settings: self.settings.clone(),
            limits: self.limits,
            policy: self.policy.clone(),
            wrap: self.wrap.clone(),
            replaces: self.replaces.clone(),
        }
    }
}

/// What a health check has found.
#[derive(Clone, Debug)]
pub(crate) struct Checked {
    pub(crate) health: Health,
    pub(crate) took: Duration,
    pub(crate) at: Instant,
    generation: u64,
}

impl Checked {
    /// Why it is down, if it is.
    fn down(&self) -> Option<String> {
        let reason = || self.health.reason.clone().unwrap_or_else(|| "no reason given".to_owned());
        (self.health.status == Status::Down).then(reason)
    }
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
        let is_group = matches!(recipe, Recipe::Group(_));
        let writing = Writing {
            recipe,
            recipe_number: 0,
            declared_at,
            limits,
            base,
            overrides: Vec::new(),
            gates: None,
            held_gates: None,
            faults: None,
            generation: 0,
            retired: Vec::new(),
            checked: None,
            unbuilt: None,
        };
        Self {
            id: unique_id(),
            name,
            environment: environment.clone(),
            is_group,
            is_lent: false,
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

    /// Whether a driver that does not serve is still being closed.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.is_busy()
    }

    /// Takes over the waiting for drivers of another instance of this name, which is no more.
    pub(crate) fn follow(&self, other: &Self) {
        self.leaving.follow(&other.leaving);
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

    /// Whether the generation of that number is the one that serves.
    pub(super) fn serves(&self, generation: u64) -> bool {
        match &**self.current.load() {
            Current::Serving { seats, .. } => seats.value().generation == generation,
            _ => false,
        }
    }

    #[inline]
    pub(super) fn peek<T>(&self, look: impl FnOnce(&S::Driver) -> T) -> Option<T> {
        match &**self.current.load() {
            Current::Serving { seats, .. } => Some(look(&seats.value().driver)),
            _ => None,
        }
    }

    /// What `look` sees in the driver itself, whatever it is wrapped in; nothing if that panics, because
    /// who looks is not who is to blame.
    pub(super) fn peek_own<T>(&self, look: impl FnOnce(&S::Driver) -> T) -> Option<T> {
        match &**self.current.load() {
            Current::Serving { seats, .. } => {
                let own = &seats.value().own;
                catch_unwind(AssertUnwindSafe(|| look(own))).ok()
            }
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
            if let Some(entered) = self.found()? {
                return Ok(entered);
            }
            Box::pin(self.ensure()).await?;
        }
    }

    /// What a call finds now; `None` where something has to be built or waited for first.
    pub(super) fn found(&self) -> Result<Option<Entered<S>>> {
        match &**self.current.load() {
            Current::Serving { seats, gates } => {
                let held = Held(seats.hold());
                Ok(Some(Entered::Driver(gates.as_ref().map(Sharded::hold), held)))
            }
            Current::Group { group, gates } => {
                Ok(Some(Entered::Group(group.hold(), gates.as_ref().map(Sharded::hold))))
            }
            Current::Closed => Err(self.closed()),
            Current::Vacant | Current::Changing => Ok(None),
        }
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

    /// The gates that come with its driver; none if it has no driver of its own.
    pub(crate) fn usual_policy(&self) -> Policy {
        self.writing.lock().recipe.usual_policy()
    }

    /// The gates that come with `driver` where it takes the place of one whose own are in force; `None` where
    /// somebody has chosen those in force, or they are the same.
    pub(crate) fn policy_that_comes_with(&self, driver: &Registered<S>) -> Option<Policy> {
        let writing = self.writing.lock();
        let before = writing.recipe.usual_policy();
        let in_force = writing.gates.as_ref().map(|gates| gates.policy().clone());
        let is_usual = in_force.unwrap_or_default() == before;
        let after = driver.usual_policy();
        (is_usual && *after != before).then(|| after.clone())
    }

    /// Lets faults happen to the calls of this instance, or stops that.
    pub(crate) fn set_faults(&self, faults: Option<Arc<Faults>>) -> Result<()> {
        if faults.is_some() && self.is_group {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "faults happen to members, not to groups",
            )
            .with_context("instance", self.full_name()));
        }
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
    pub(super) fn next_gates(
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

    pub(super) fn refuse_closed(&self, writing: &Writing<S>) -> Result<()> {
        if matches!(writing.base, Base::Closed) { Err(self.closed()) } else { Ok(()) }
    }

    pub(super) fn limits(&self) -> Limits {
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

    /// Lets no more calls in, drains those under way and closes what has not gone yet: the driver,
    /// overrides, and drivers that a swap has taken out. Safe to repeat.
    ///
    /// The answer says whether there was anything to close.
    pub(crate) async fn close(&self, until: Instant) -> Result<bool> {
        // Draining may not eat the time that closing needs; what it leaves is for closing.
        let now = self.environment.clock().now();
        let drained_by = now + until.saturating_duration_since(now) / 2;
        let (serving, leaving, _wrap) = {
            let mut writing = self.writing.lock();
            let overrides = std::mem::take(&mut writing.overrides);
            let mut serving: Vec<_> =
                overrides.into_iter().map(|(_, serving)| writing.retire(serving)).collect();
            serving.extend(writing.replace_base(Base::Closed));
            self.publish(&writing);
            (serving, self.leaving.hurry(drained_by), writing.take_wrap())
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
        // What is being built finds the instance closed, and closes what it has made. A factory that
        // itself waits for this closing is not waited for.
        let run = ambient::current().closing;
        let waiting = self.environment.creations().wait_for_closing(run, self.id);
        let under_way = async {
            if waiting.is_some() {
                drop(self.flight.lead().await);
                drop(self.changing.lock().await);
            }
        };
        let building = at_latest(until, under_way);
        let closing = join(join_all(serving), join_all(leaving));
        let (built, (mut closed, left)) = join(building, closing).await;
        closed.extend(left);
        if built.is_none() {
            let late = "what was being built did not come to an end in time";
            closed.push(Err(Error::new(ErrorKind::Timeout, late)));
        }
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
    pub(crate) async fn health(&self, until: Instant) -> Option<Checked> {
        let clock = self.environment.clock();
        let begin = clock.now();
        let held = Held::<S>(self.seat()?);
        let health = match at_latest(until, contained(async { held.own().health().await })).await {
            Some(Ok(Ok(health))) => health,
            Some(Ok(Err(error))) => error.into(),
            Some(Err(panic)) => panic.into_error("health").into(),
            None => Health::down("no answer in time"),
        };
        let at = clock.now();
        let took = at.saturating_duration_since(begin);
        let checked = Checked { health, took, at, generation: held.generation() };
        self.report(checked.clone());
        Some(checked)
    }

    fn report(&self, checked: Checked) {
        let mut writing = self.writing.lock();
        // Under the lock, because what was found of a driver that has gone does not hold for the
        // one that has come.
        if self.serves(checked.generation) {
            writing.checked = Some(checked);
            self.tell_groups(&writing);
        }
    }

    /// What was last found of the driver that serves.
    pub(crate) fn checked(&self) -> Option<Checked> {
        self.checked_of(&self.writing.lock()).cloned()
    }

    fn checked_of<'w>(&self, writing: &'w Writing<S>) -> Option<&'w Checked> {
        writing.checked.as_ref().filter(|checked| self.serves(checked.generation))
    }

    /// Says what is known of the driver that serves: nothing, if it has not been checked.
    fn tell_groups(&self, writing: &Writing<S>) {
        // How a group is follows from its members. And while a driver is being exchanged what was
        // found of it stands, so that no call waits for the next one of an instance that was down.
        if !self.is_group && self.standing() != Standing::Changing {
            self.reported.tell(self.checked_of(writing).and_then(Checked::down));
        }
    }

    /// Whether something serves that was not down when it was last checked.
    pub(crate) fn is_available(self: &Arc<Self>) -> bool {
        match &**self.current.load() {
            Current::Serving { .. } => self.checked().is_none_or(|found| found.down().is_none()),
            Current::Group { .. } => self.leaves().iter().any(Self::is_available),
            Current::Vacant | Current::Changing | Current::Closed => false,
        }
    }

    /// Why a group passes over this instance, if it does.
    pub(super) fn down(&self) -> Option<Error> {
        let reason = self.reported.down()?;
        let error = Error::new(ErrorKind::Unavailable, "it was down when it was last checked")
            .with_context("reason", reason)
            .not_applied();
        let group = self.group();
        let error = error.with_related(group.iter().flat_map(|group| group.downs()));
        Some(error.at(|| self.place(None, "health")))
    }

    /// Why the last attempt to build the driver that is to serve failed.
    pub(crate) fn build_error(&self) -> Option<Error> {
        let writing = self.writing.lock();
        let is_vacant = matches!(writing.base, Base::Vacant);
        let (recipe, error) = writing.unbuilt.as_ref().filter(|_| is_vacant)?;
        (*recipe == writing.recipe_number).then(|| error.clone())
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
            Recipe::Driver { driver, settings, .. } => driver.capabilities_with(settings),
            Recipe::ReadyMade { .. } | Recipe::Group(_) => Capabilities::new(),
        }
    }

    pub(crate) fn info(&self) -> InstanceInfo {
        let (driver, group, generation) = {
            let writing = self.writing.lock();
            let (driver, group) = match &writing.recipe {
                Recipe::Driver { driver, .. } => (Some(driver.label()), None),
                Recipe::ReadyMade { .. } => (Some("ready-made"), None),
                Recipe::Group(group) => (None, Some(group.clone())),
            };
            (driver, group, writing.generation)
        };
        let members = group.iter().flat_map(|group| group.members());
        InstanceInfo {
            name: self.name.to_string(),
            driver: self.seat().map(|seat| seat.label).or(driver).map(str::to_owned),
            is_ready: self.standing() == Standing::Serving,
            generation,
            in_flight: self.in_flight(),
            members: members.map(|member| member.instance().to_owned()).collect(),
            selector: group.as_ref().map(|group| group.selector()),
        }
    }

    /// What it chooses among, if it is a choice.
    pub(crate) fn group(&self) -> Option<Arc<Group<S>>> {
        match &self.writing.lock().recipe {
            Recipe::Group(group) => Some(group.clone()),
            _ => None,
        }
    }

    pub(super) fn no_driver(&self) -> Error {
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
    pub(super) fn retire_in_background(&self, mut retiring: Retiring<S>, limits: Limits) -> Job {
        let driver_type = retiring.driver_type();
        let clock = self.environment.clock().clone();
        let limit =
            limits.drain.saturating_add(limits.close).saturating_add(Duration::from_secs(1));
        let place = self.place(None, "close");
        let leaving = self.leaving.clone();
        let job = self.environment.reaper().submit("retire a driver", limit, async move {
            leaving.drain(later(clock.now(), limits.drain), pin!(retiring.drained())).await;
            let closed = retiring.close(later(clock.now(), limits.close)).await;
            if closed.is_err() {
                leaving.give_up(driver_type, retiring.last_use());
            }
            closed.map_err(|error| error.at(|| place))
        });
        self.leaving.add(driver_type, job.clone());
        job
    }

    pub(super) fn publish(&self, writing: &Writing<S>) {
        if writing.generation > 0 && self.created_as() == 0 {
            self.created_as.store(unique_id(), Ordering::Relaxed);
        }
        self.current.store(Arc::new(writing.current()));
        self.tell_groups(writing);
        self.changed.send_replace(());
    }
}

pub(super) fn taken(message: &'static str, instance: String) -> Error {
    Error::new(ErrorKind::AlreadyRegistered, message).with_context("instance", instance)
}

fn still_leaving() -> Error {
    Error::new(ErrorKind::Timeout, "a driver that was taken out before did not close in time")
}

impl<S: Subsystem> Drop for Slot<S> {
    /// Nobody can call any more: what still serves is closed, so that no driver is left open. One
    /// that was only lent is let go of, and whoever uses it goes on.
    fn drop(&mut self) {
        let retiring: Vec<_> = {
            let mut writing = self.writing.lock();
            let overrides = std::mem::take(&mut writing.overrides);
            let mut retiring: Vec<_> =
                overrides.into_iter().map(|(_, serving)| writing.retire(serving)).collect();
            retiring.extend(writing.replace_base(Base::Closed));
            self.publish(&writing);
            retiring
        };
        self.environment.creations().forget(self.id);
        if self.is_lent {
            return;
        }
        let limits = self.limits();
        for retiring in retiring {
            drop(self.retire_in_background(retiring, limits));
        }
    }
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
    pub(super) fn current(&self) -> Current<S> {
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

    pub(super) fn generation(&mut self, built: Built<S>, label: &'static str) -> Serving<S> {
        self.generation += 1;
        Serving::new(built, label, self.generation)
    }

    /// Makes `built` the one that serves; the answer is the one before.
    pub(super) fn serve(&mut self, built: Built<S>, label: &'static str) -> Option<Retiring<S>> {
        let serving = self.generation(built, label);
        self.unbuilt = None;
        self.replace_base(Base::Serving(serving))
    }

    /// What the application wraps drivers in, which nothing needs any more once they are closed.
    pub(super) fn take_wrap(&mut self) -> Option<Wrap<S>> {
        match &mut self.recipe {
            Recipe::Driver { wrap, .. } => wrap.take(),
            Recipe::ReadyMade { .. } | Recipe::Group(_) => None,
        }
    }

    pub(super) fn put_gates(&mut self, gates: Option<Arc<Gates>>) {
        self.held_gates = gates.clone().map(Sharded::new);
        self.gates = gates;
    }

    pub(super) fn replace_base(&mut self, base: Base<S>) -> Option<Retiring<S>> {
        match std::mem::replace(&mut self.base, base) {
            Base::Serving(old) => Some(self.retire(old)),
            _ => None,
        }
    }

    pub(super) fn retire(&mut self, serving: Serving<S>) -> Retiring<S> {
        self.retired.retain(|watch| watch.holds(false) > 0);
        self.retired.push(serving.watch());
        serving.retire()
    }

    pub(super) fn serving(&self) -> impl Iterator<Item = &Serving<S>> {
        let base = match &self.base {
            Base::Serving(serving) => Some(serving),
            _ => None,
        };
        self.overrides.iter().map(|(_, serving)| serving).chain(base)
    }
}
