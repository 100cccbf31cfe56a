//! A line without a manager: the gates and figures around one driver, for as long as somebody holds it.

use std::any::TypeId;
use std::panic::Location;
use std::sync::Arc;

use super::{Limits, Line, Recipe, Slot};
use crate::{Environment, Name, Policy, Result, Subsystem};

impl<S: Subsystem> Line<S> {
    /// The guarded path to a driver that no manager looks after: whoever made the driver initialises,
    /// checks and closes it. The last line lets go of it and leaves it open.
    ///
    /// ```
    /// # mod counters {
    /// #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/counters/mod.rs"));
    /// # }
    /// # use counters::{Counters, CountersSubsystem, Fixed};
    /// use std::sync::Arc;
    /// use switchboard_core::{BulkheadLimit, Environment, Line, Policy};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> switchboard_core::Result<()> {
    /// let bulkhead = BulkheadLimit { max: 1, ..BulkheadLimit::default() };
    /// let policy = Policy { bulkhead: Some(bulkhead), ..Policy::default() };
    /// let driver = Arc::new(Fixed(7));
    /// let line = Line::<CountersSubsystem>::standalone("visits", driver, policy, &Environment::new())?;
    /// assert_eq!(Counters::from(line).read().await?, 7);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn standalone(
        name: &str,
        driver: Arc<S::Driver>,
        policy: Policy,
        environment: &Environment,
    ) -> Result<Self> {
        let name = Name::parse(name)?;
        let driver_type = TypeId::of::<S>();
        let recipe = Recipe::ReadyMade { driver_type };
        let place = Location::caller();
        let mut slot = Slot::new(name, recipe, Limits::default(), environment, place);
        slot.is_lent = true;
        slot.retune(policy)?;
        slot.put_ready_made(driver, STANDALONE, driver_type, place)?;
        Ok(Self { slot: Arc::new(slot) })
    }
}

/// What stands for the driver's name where no registered driver made it.
const STANDALONE: &str = "standalone";
