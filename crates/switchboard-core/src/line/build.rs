//! How an instance gets its first driver: once, whoever comes first, whoever goes away.

use std::any::TypeId;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::leaving::Leaving;
use super::seat::{at_latest, close_driver};
use super::slot::{Base, Plan, Recipe, Slot, Standing, Wrap, taken};
use super::swap::in_time;
use crate::ambient::{self, Ambient, later};
use crate::creations::Waiting;
use crate::environment::CLEANUP_LIMIT;
use crate::flight::{Boarding, Leader, Outcome};
use crate::panics::contained;
use crate::reaper::Job;
use crate::{
    BuildContext, Environment, Error, ErrorKind, Health, Lifecycle as _, Result, Status, Subsystem,
};

/// A driver that was built; unless it is handed over it is closed, even by a drop.
pub(crate) struct Built<S: Subsystem> {
    /// The driver itself, which is started, checked and closed.
    pub(super) own: Arc<S::Driver>,
    /// What calls will go to: the driver, or what it is wrapped in.
    pub(super) driver: Arc<S::Driver>,
    pub(super) driver_type: TypeId,
    pub(super) environment: Environment,
    pub(super) leaving: Leaving,
    pub(super) handed_over: bool,
}

/// Whether a driver must show that it works before it serves.
#[derive(Clone, Copy)]
pub(crate) enum Probe {
    Yes,
    No,
}

/// Why a driver was not built. Those who wait for a builder that panicked may try themselves.
pub(super) enum Unbuilt {
    Failed(Error),
    Panicked(Error),
}

impl Unbuilt {
    fn error(&self) -> &Error {
        match self {
            Self::Failed(error) | Self::Panicked(error) => error,
        }
    }

    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Failed(error) | Self::Panicked(error) => error,
        }
    }
}

impl<S: Subsystem> Slot<S> {
    /// Ends when something serves: at once, after building it, or after somebody else has.
    ///
    /// A caller whose deadline comes while it builds leaves with a time-out, and what it had begun is
    /// brought to its end: otherwise an instance that takes longer to build than a call may take
    /// would never come up. A caller that is dropped takes the building with it.
    pub(crate) async fn ensure(self: &Arc<Self>) -> Result<()> {
        self.environment.reaper().remember_runtime();
        let ambient = ambient::current();
        let creations = self.environment.creations();
        if self.standing() == Standing::Serving {
            // Nobody waits for what is there, but what was looked up is closed later.
            creations.depend(ambient.creating, self.id);
            return Ok(());
        }
        let _waiting = self.awaited()?;
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

    /// Says that the creation this runs in, if it runs in one, waits for this instance until the
    /// answer is dropped; an error where that would be a circle.
    pub(crate) fn awaited(&self) -> Result<Option<Waiting>> {
        match ambient::current().creating {
            0 => Ok(None),
            asking => {
                let creations = self.environment.creations();
                creations.wait(asking, self.id, &self.full_name()).map(Some)
            }
        }
    }

    /// Gives an instance that nobody has seen yet its first driver, and with it all that the plan
    /// says; asked by whoever has the turn. It is as if this had not been asked if that fails.
    pub(crate) async fn initialise(
        &self,
        plan: Plan<S>,
        declared_at: &'static Location<'static>,
    ) -> Result<()> {
        self.environment.reaper().remember_runtime();
        self.refuse_closed(&self.writing.lock())?;
        let building = self.build(&plan, Probe::No);
        let building = self.within_build_limit(ambient::current(), plan.limits.build, building);
        let built = match in_time(building).await {
            Some(built) => built.map_err(Unbuilt::into_error),
            None => Err(self.initialised_late()),
        };
        let built = built.map_err(|error| error.at(|| self.place(None, "build")))?;
        self.writing.lock().declared_at = declared_at;
        self.serve_planned(built, plan).await.map(drop)
    }

    pub(crate) fn initialised_late(&self) -> Error {
        Error::new(ErrorKind::Timeout, "the deadline passed before the instance was initialised")
            .not_applied()
            .at(|| self.place(None, "build"))
    }

    pub(super) async fn become_ready(
        self: Arc<Self>,
        around: Ambient,
        leads: Arc<AtomicBool>,
    ) -> Result<()> {
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
                // Something may have come to serve between looking and boarding, and have sent on its
                // way whoever waited before this caller did.
                Boarding::Wait(_) if self.standing() != Standing::Vacant => {}
                Boarding::Wait(landed) => match landed.await {
                    Outcome::Done | Outcome::Abandoned => {}
                    Outcome::Failed(error) => return Err(error),
                },
            }
        }
    }

    /// The work of the one caller that leads.
    pub(super) async fn create(&self, leader: Leader<Error>, around: Ambient) -> Result<()> {
        if self.standing() != Standing::Vacant {
            // Between looking and leading, somebody else had finished.
            leader.land(Outcome::Done);
            return Ok(());
        }
        let (recipe, installed) = loop {
            let recipe = self.recipe_number();
            let installed = self.create_once(around, recipe).await;
            // Nobody is given what a recipe made that is in force no more, nor its failure.
            if self.recipe_number() == recipe || self.standing() != Standing::Vacant {
                break (recipe, installed);
            }
        };
        if let Err(unbuilt) = &installed {
            self.keep_in_mind(recipe, unbuilt.error());
        }
        leader.land(match &installed {
            Ok(()) => Outcome::Done,
            Err(Unbuilt::Panicked(_)) => Outcome::Abandoned,
            Err(Unbuilt::Failed(error)) => Outcome::Failed(error.clone()),
        });
        installed.map_err(Unbuilt::into_error)
    }

    async fn create_once(&self, around: Ambient, recipe: u64) -> Result<(), Unbuilt> {
        // A ready-made driver is in its place from the start; it is gone only after `close`.
        let Some(plan) = self.plan() else { return Err(Unbuilt::Failed(self.closed())) };
        let building = self.build(&plan, Probe::No);
        let built = self.within_build_limit(around, plan.limits.build, building).await?;
        let installed = self.install(built, plan.driver.label(), recipe).await;
        installed.map_err(Unbuilt::Failed)
    }

    fn keep_in_mind(&self, recipe: u64, error: &Error) {
        let error = error.clone().not_applied().at(|| self.place(None, "build"));
        self.writing.lock().unbuilt = Some((recipe, error));
    }

    /// Grows with each recipe that takes the place of another one.
    fn recipe_number(&self) -> u64 {
        self.writing.lock().recipe_number
    }

    /// Runs a building of this instance: in its own name, with a limit, and with panics contained.
    pub(super) async fn within_build_limit<T>(
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
    pub(super) fn plan(&self) -> Option<Plan<S>> {
        let writing = self.writing.lock();
        let Recipe::Driver { driver, settings, wrap } = &writing.recipe else { return None };
        let (driver, settings, wrap) = (driver.clone(), settings.clone(), wrap.clone());
        Some(Plan { driver, settings, limits: writing.limits, policy: None, wrap, replaces: None })
    }

    /// Builds and initialises a driver, and wraps it last of all, when nothing else can fail.
    /// Whatever becomes of the caller, it is closed or handed out.
    pub(super) async fn build(&self, plan: &Plan<S>, probe: Probe) -> Result<Built<S>> {
        let driver = &plan.driver;
        if driver.is_exclusive() {
            self.leaving.gone(driver.driver_type()).await;
        }
        let context = BuildContext::of_slot(&self.environment, self.name.clone(), self.id);
        let at = |error: Error| error.at(|| self.place(Some(driver.label()), "build"));
        let made = driver.build(&plan.settings, context).await.map_err(at)?;
        let built = self.built(made, driver.driver_type());
        if let Err(error) = built.own.init().await {
            return Err(at(built.discard(error).await));
        }
        let built = match probe {
            Probe::Yes => built.probed().await?,
            Probe::No => built,
        };
        match &plan.wrap {
            Some(wrap) => built.wrapped(wrap).await.map_err(at),
            None => Ok(built),
        }
    }

    /// A driver that is closed unless it is handed over.
    pub(super) fn built(&self, driver: Arc<S::Driver>, driver_type: TypeId) -> Built<S> {
        let (environment, leaving) = (self.environment.clone(), self.leaving.clone());
        let own = driver.clone();
        Built { own, driver, driver_type, environment, leaving, handed_over: false }
    }

    /// Puts a driver that was created into its place, unless that was taken meanwhile, or it is to
    /// be made in another way by now.
    async fn install(&self, built: Built<S>, label: &'static str, recipe: u64) -> Result<()> {
        let built = {
            let mut writing = self.writing.lock();
            match writing.base {
                Base::Vacant if writing.recipe_number == recipe => {
                    writing.serve(built, label);
                    self.environment.creations().settle(self.id);
                    self.publish(&writing);
                    return Ok(());
                }
                Base::Closed => Err(built),
                // A ready-made one, a swap or a change was faster and wins.
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
        let recipe = std::mem::replace(&mut writing.recipe, Recipe::ReadyMade { driver_type });
        writing.declared_at = place;
        writing.serve(given, label);
        self.publish(&writing);
        drop(writing);
        // Its wrap is the application's, and is let go of outside of the lock.
        drop(recipe);
        self.flight.overtake();
        Ok(())
    }

    /// Takes a ready-made driver out again that nobody can have seen.
    pub(crate) fn give_up(&self) {
        let mut writing = self.writing.lock();
        let given = writing.replace_base(Base::Closed);
        self.publish(&writing);
        drop(given.map(|given| self.retire_in_background(given, writing.limits)));
    }
}

impl<S: Subsystem> Built<S> {
    /// Itself, unless it says that it does not work.
    pub(super) async fn probed(self) -> Result<Self> {
        match self.own.health().await {
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

    /// What calls go to is what `wrap` makes of the driver, which stays what is closed.
    async fn wrapped(mut self, wrap: &Wrap<S>) -> Result<Self> {
        let own = self.own.clone();
        match contained(async { wrap(own) }).await {
            Ok(driver) => {
                self.driver = driver;
                Ok(self)
            }
            Err(panic) => {
                let error = panic.into_error("wrap").not_applied();
                let hint = "the panic came from the function that the instance is wrapped with";
                Err(self.discard(error.with_hint(hint)).await)
            }
        }
    }

    /// The driver itself, and what calls go to; closing it is the receiver's affair from now on.
    pub(super) fn hand_over(mut self) -> (Arc<S::Driver>, Arc<S::Driver>) {
        self.handed_over = true;
        (self.own.clone(), self.driver.clone())
    }

    /// Closes it because of `error`; that it did not close either is kept beside it.
    pub(super) async fn discard(mut self, error: Error) -> Error {
        match self.close_in_background().ended().await {
            Ok(()) => error,
            Err(also) => error.with_related([also]),
        }
    }

    pub(crate) fn close_in_background(&mut self) -> Job {
        self.handed_over = true;
        let driver = self.own.clone();
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
