//! Declares and builds an instance in one step, or gives it another driver: all of it or nothing.
//!
//! A name is declared when its first driver serves and not before, so nobody holds a handle of an
//! instance that came to nothing. Whoever initialises the same name meanwhile waits for its turn at
//! the same slot.

use std::panic::Location;
use std::sync::Arc;

use super::{Declared, Manager, closed, refused_to_group};
use crate::line::{Limits, Plan, Recipe, Slot, Wrap};
use crate::{Error, ErrorKind, Line, Name, Result, Settings, Subsystem};

/// An instance that is not declared yet.
pub(super) struct Beginning<S: Subsystem> {
    pub(super) slot: Arc<Slot<S>>,
    /// How many initialise it. With none it is kept for as long as a driver of it is being closed,
    /// which the next one may have to wait for.
    pub(super) callers: usize,
}

/// One who initialises an instance.
struct Caller<'m, S: Subsystem> {
    manager: &'m Manager<S>,
    slot: Arc<Slot<S>>,
}

impl<S: Subsystem> Manager<S> {
    /// Declares an instance and builds it now; the answer is its handle, ready.
    ///
    /// If any of that fails, nothing is declared: the name can be initialised again. An instance that
    /// is there already is swapped: the new driver is built, initialised and checked first, the old
    /// one is closed in the background after its last call, handles follow, what its drivers are
    /// wrapped in stays, and a failure leaves everything as it was. Those who initialise one name at
    /// the same time do so one after the other, and the last one stays.
    ///
    /// Settings with neither `driver` nor `url` mean the driver that is called as the instance is.
    /// Groups are declared with [`configure`](Self::configure), because they build nothing.
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
    /// let visits = counters.initialise("visits", &fixed(7)).await?;
    /// assert_eq!(visits.read().await?, 7);
    ///
    /// counters.initialise("visits", &fixed(8)).await?;
    /// assert_eq!(visits.read().await?, 8, "the handle follows");
    ///
    /// counters.initialise("fixed", &Settings::new().with("value", 1)).await?;
    /// assert_eq!(counters.available(), ["fixed", "visits"]);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn initialise(
        &self,
        name: &str,
        settings: &Settings,
    ) -> impl Future<Output = Result<S::Handle>> + Send {
        self.initialised(Name::parse(name), settings, None, Location::caller())
    }

    /// Initialises an instance as [`initialise`](Self::initialise) does, with something of the
    /// application's around its driver.
    ///
    /// See [`configure_wrapped`](Self::configure_wrapped) for what `wrap` does. For an instance that
    /// is there already, it takes the place of what drivers were wrapped in before together with the
    /// swap; both change, or neither.
    ///
    /// ```
    /// # mod counters {
    /// #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/counters/mod.rs"));
    /// # }
    /// # use counters::{fixed, manager, CountersDriver, Watch};
    /// # use std::sync::Arc;
    /// # use switchboard_core::{Lifecycle, Reply};
    /// # struct OneMore(Arc<dyn CountersDriver>);
    /// # impl Lifecycle for OneMore {}
    /// # impl CountersDriver for OneMore {
    /// #     fn read(&self) -> Reply<'_, u64> {
    /// #         Reply::run(async { Ok(self.0.read().await? + 1) })
    /// #     }
    /// #     fn watch(&self) -> Reply<'_, Watch> { self.0.watch() }
    /// # }
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> switchboard_core::Result<()> {
    /// let counters = manager()?;
    /// let one_more = |driver| -> Arc<dyn CountersDriver> { Arc::new(OneMore(driver)) };
    /// let visits = counters.initialise_wrapped("visits", &fixed(7), one_more).await?;
    /// assert_eq!(visits.read().await?, 8);
    ///
    /// let two_more = move |driver| one_more(one_more(driver));
    /// counters.initialise_wrapped("visits", &fixed(7), two_more).await?;
    /// assert_eq!(visits.read().await?, 9);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn initialise_wrapped(
        &self,
        name: &str,
        settings: &Settings,
        wrap: impl Fn(Arc<S::Driver>) -> Arc<S::Driver> + Send + Sync + 'static,
    ) -> impl Future<Output = Result<S::Handle>> + Send {
        let wrap: Wrap<S> = Arc::new(wrap);
        self.initialised(Name::parse(name), settings, Some(wrap), Location::caller())
    }

    async fn initialised(
        &self,
        name: Result<Name>,
        settings: &Settings,
        wrap: Option<Wrap<S>>,
        place: &'static Location<'static>,
    ) -> Result<S::Handle> {
        let name = name?;
        if settings.child("members").is_some() {
            return Err(refused_to_group::<S>(GROUP, &name));
        }
        let usual = self.usual_driver(&name, settings);
        let plan = Plan { wrap, ..self.plan_or(&name, settings, usual)? };
        for _ in 0..TRIES_MAX {
            let caller = self.begin(name.clone(), &plan, place)?;
            let slot = caller.slot.clone();
            if slot.is_group {
                return Err(refused_to_group::<S>(GROUP, &slot.name));
            }
            let _waiting = slot.awaited()?;
            let turn = slot.turn().await.ok_or_else(|| slot.initialised_late())?;
            // Boxed, so that callers do not carry the room that building takes.
            if caller.is_declared() {
                // Whoever wants to see the old driver closed swaps.
                drop(Box::pin(slot.swap_in_turn(turn, plan)).await?);
            } else if caller.is_over() {
                // It was removed while this waited for its turn.
                continue;
            } else {
                Box::pin(slot.initialise(plan, place)).await?;
                caller.declare()?;
            }
            return Ok(Line { slot }.into());
        }
        Err(Error::new(ErrorKind::Unavailable, "the instance kept being removed meanwhile")
            .with_context("instance", format_args!("{}.{name}", S::NAME))
            .retry_later()
            .not_applied())
    }

    /// The driver of settings that name none, if there is one: it is called as the instance is.
    fn usual_driver<'n>(&self, name: &'n Name, settings: &Settings) -> Option<&'n str> {
        let names_none = ["driver", "url"].iter().all(|key| settings.child(key).is_none());
        (names_none && self.0.registry.has(name.as_str())).then(|| name.as_str())
    }

    /// Finds the slot of `name`, or begins one that is not declared yet.
    fn begin(
        &self,
        name: Name,
        plan: &Plan<S>,
        place: &'static Location<'static>,
    ) -> Result<Caller<'_, S>> {
        let mut declared = self.0.declared.lock();
        if declared.closed {
            return Err(closed::<S>());
        }
        if let Some(slot) = self.0.slots.load().find(name.as_str()) {
            return Ok(Caller { manager: self, slot: slot.clone() });
        }
        if let Some(known) = declared.beginning_of(&name) {
            known.callers += 1;
            return Ok(Caller { manager: self, slot: known.slot.clone() });
        }
        let (driver, settings) = (plan.driver.clone(), plan.settings.clone());
        let recipe = Recipe::Driver { driver, settings, wrap: None };
        let slot = Slot::new(name, recipe, Limits::default(), &self.0.environment, place);
        declared.refuse_beyond_all(&slot)?;
        declared.follow_removed(&slot);
        let slot = Arc::new(slot);
        declared.beginning.push(Beginning { slot: slot.clone(), callers: 1 });
        Ok(Caller { manager: self, slot })
    }
}

impl<S: Subsystem> Caller<'_, S> {
    /// Whether somebody has finished; certain for as long as it is this caller's turn.
    fn is_declared(&self) -> bool {
        let slots = self.manager.0.slots.load();
        slots.find(self.slot.name.as_str()).is_some_and(|known| known.id == self.slot.id)
    }

    /// Whether another one takes the name from now on, or nobody; as certain.
    fn is_over(&self) -> bool {
        let mut declared = self.manager.0.declared.lock();
        let slot = &self.slot;
        !declared.closed && declared.beginning_of(&slot.name).is_none_or(|it| it.slot.id != slot.id)
    }

    /// The instance has its first driver. If the manager is closed, so is the driver, by that.
    fn declare(&self) -> Result<()> {
        let mut declared = self.manager.0.declared.lock();
        if declared.closed {
            return Err(closed::<S>());
        }
        declared.refuse_beyond_all(&self.slot)?;
        declared.beginning.retain(|beginning| beginning.slot.id != self.slot.id);
        self.manager.publish(declared, self.slot.clone());
        Ok(())
    }
}

impl<S: Subsystem> Drop for Caller<'_, S> {
    fn drop(&mut self) {
        let mut declared = self.manager.0.declared.lock();
        if let Some(beginning) = declared.beginning_of(&self.slot.name) {
            beginning.callers -= 1;
        }
        let over = declared.take_over();
        drop(declared);
        drop(over);
    }
}

impl<S: Subsystem> Declared<S> {
    /// Takes out those that nobody begins any more, to be dropped outside of the lock.
    pub(super) fn take_over(&mut self) -> Vec<Beginning<S>> {
        let is_over =
            |beginning: &mut Beginning<S>| beginning.callers == 0 && !beginning.slot.is_leaving();
        self.beginning.extract_if(.., is_over).collect()
    }

    /// Takes over the waiting for drivers of instances of that name that were removed.
    pub(super) fn follow_removed(&self, slot: &Slot<S>) {
        for removed in self.removed.iter().filter(|removed| removed.name == slot.name) {
            slot.follow(removed);
        }
    }

    fn beginning_of(&mut self, name: &Name) -> Option<&mut Beginning<S>> {
        self.beginning.iter_mut().find(|beginning| beginning.slot.name == *name)
    }

    /// Puts `slot` in the place of one of its name that came to nothing; an error while somebody
    /// initialises that.
    pub(super) fn replace_beginning(
        &mut self,
        slot: &Slot<S>,
        place: &Location<'_>,
    ) -> Result<Option<Beginning<S>>> {
        let named = |beginning: &Beginning<S>| beginning.slot.name == slot.name;
        let Some(position) = self.beginning.iter().position(named) else { return Ok(None) };
        if self.beginning[position].callers > 0 {
            return Err(self.beginning[position].slot.taken(place));
        }
        let before = self.beginning.swap_remove(position);
        slot.follow(&before.slot);
        Ok(Some(before))
    }
}

/// How often somebody begins anew because the instance was removed meanwhile.
const TRIES_MAX: usize = 16;

const GROUP: &str = "a group has no driver to initialise";
