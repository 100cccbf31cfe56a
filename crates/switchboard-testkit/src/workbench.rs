//! Everything a test of one subsystem stands on, made in one call.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::time::Duration;

use switchboard_core::{
    Clock, Environment, Erase, Manager, Policy, ReaperFigures, Registry, Result, Subsystem,
};

use crate::Recorder;

/// An environment with repeatable dice, a manager with the built-in drivers, and a record of events.
///
/// A second subsystem joins with `Manager::new(registry, bench.environment())`.
///
/// ```
/// # mod counters {
/// #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/counters/mod.rs"));
/// # }
/// # use counters::{CountersSubsystem, Fixed};
/// use switchboard_core::Policy;
/// use switchboard_testkit::Workbench;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> switchboard_core::Result<()> {
/// let bench = Workbench::<CountersSubsystem>::new()?;
/// let counters = bench.serve("main", Fixed(7), Policy::default())?;
/// assert_eq!(counters.read("visits").await?, 7);
/// assert!(bench.recorder().names().is_empty());
/// bench.close().await;
/// # Ok(()) }
/// ```
pub struct Workbench<S: Subsystem> {
    manager: Manager<S>,
    recorder: Recorder,
}

impl<S: Subsystem> Workbench<S> {
    /// A new one, that shares nothing with any other.
    pub fn new() -> Result<Self> {
        Self::within(&Environment::new().with_clock(Clock::seeded(SEED)))
    }

    /// One in surroundings of the test's own: other dice, variables, named policies.
    pub fn within(environment: &Environment) -> Result<Self> {
        let recorder = Recorder::new(environment.events());
        let manager = Manager::new(Registry::with_built_ins()?, environment)?;
        Ok(Self { manager, recorder })
    }

    /// The same, where `register` has added drivers, so that settings can name them.
    ///
    /// More of them may be added later, to `bench.manager().registry()`. A driver that needs no
    /// settings need not be registered: see [`serve`](Self::serve).
    ///
    /// ```
    /// # mod counters {
    /// #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/counters/mod.rs"));
    /// # }
    /// # use counters::{CountersSubsystem, register_fixed};
    /// use switchboard_core::Settings;
    /// use switchboard_testkit::Workbench;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> switchboard_core::Result<()> {
    /// let bench = Workbench::<CountersSubsystem>::new()?.with_drivers(register_fixed)?;
    /// let settings = Settings::new().with("driver", "fixed").with("value", 7);
    /// bench.manager().configure("main", &settings)?;
    /// assert_eq!(bench.manager().handle("main")?.read("visits").await?, 7);
    /// # Ok(()) }
    /// ```
    pub fn with_drivers(self, register: impl FnOnce(&Registry<S>) -> Result<()>) -> Result<Self> {
        register(self.manager.registry())?;
        Ok(self)
    }

    /// A handle on `driver`, behind the gates of `policy`, as the instance `name`.
    pub fn serve<T>(&self, name: &str, driver: T, policy: Policy) -> Result<S::Handle>
    where
        S::Driver: Erase<T>,
        T: 'static,
    {
        self.manager.insert(name, driver)?;
        self.manager.retune(name, policy)?;
        self.manager.handle(name)
    }

    /// The manager of the subsystem under test.
    pub fn manager(&self) -> &Manager<S> {
        &self.manager
    }

    /// The surroundings, for managers of other subsystems.
    pub fn environment(&self) -> &Environment {
        self.manager.environment()
    }

    /// What the lines have told so far.
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Closes all instances, and asserts that they closed as they should and that every clean-up
    /// ended well.
    ///
    /// # Panics
    ///
    /// With what went wrong, if anything did.
    #[track_caller]
    pub fn close(&self) -> impl Future<Output = ()> {
        let place = Location::caller();
        async move {
            let reaper = self.environment().reaper();
            let end = self.environment().clock().now() + CLOSE_MAX;
            if let Err(error) = self.manager.close(CLOSE_MAX).await.into_result() {
                panic!("{place}: the instances did not close\n{error:?}");
            }
            if let Err(error) = reaper.idle(end).await {
                panic!("{place}: the clean-up did not end\n{error:?}");
            }
            let ReaperFigures { failed, abandoned, .. } = reaper.figures();
            let went_wrong = failed + abandoned;
            assert!(
                went_wrong == 0,
                "{place}: clean-up jobs that failed or were abandoned: {went_wrong}"
            );
        }
    }
}

impl<S: Subsystem> fmt::Debug for Workbench<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workbench").field("manager", &self.manager).finish_non_exhaustive()
    }
}

/// The same dice in every test; a test that is about chance brings its own.
const SEED: u64 = 1;

/// How long closing may take; nothing on a paused clock.
const CLOSE_MAX: Duration = Duration::from_mins(1);
