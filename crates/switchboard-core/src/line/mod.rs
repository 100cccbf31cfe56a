//! The path from a handle to whichever driver serves its instance now.
//!
//! Everything between the two happens here, once, for every subsystem: finding the driver, passing
//! the gates, choosing a member, counting, and saying where an error happened.

mod build;
mod call;
mod group;
mod leased;
mod leaving;
mod reported;
mod seat;
mod slot;
mod standalone;
mod swap;

use std::fmt;
use std::sync::Arc;

pub(crate) use group::Group;
pub use leased::{Leased, Step};
pub use seat::Held;
pub(crate) use seat::at_latest;
pub(crate) use slot::{Limits, Plan, Recipe, Slot};
pub use swap::Swapped;

use crate::{
    Capabilities, ChainStep, Environment, Faults, Gates, Lifecycle as _, OpFigures, Policy, Result,
    Subsystem,
};

/// What a handle holds: the guarded path to whichever driver serves an instance now.
///
/// Cheap to clone, and good for the life of the application: swaps, overrides and re-tuning happen
/// behind it.
pub struct Line<S: Subsystem> {
    pub(crate) slot: Arc<Slot<S>>,
}

impl<S: Subsystem> Line<S> {
    /// The name of the instance.
    pub fn instance(&self) -> &str {
        self.slot.name.as_str()
    }

    /// The driver that serves now. `None` while nothing is built, and for a group.
    ///
    /// Counts as a call in flight until it is dropped, and passes no gate.
    #[inline]
    pub fn hold(&self) -> Option<Held<S>> {
        self.slot.seat().map(Held)
    }

    /// What `look` sees in the driver that serves now, or `None` while there is none.
    ///
    /// The cheapest way to the driver: no gate, no count, no hold. For looks that are over at once.
    #[inline]
    pub fn peek<T>(&self, look: impl FnOnce(&S::Driver) -> T) -> Option<T> {
        self.slot.peek(look)
    }

    /// The name of the driver that serves now, and the number of its generation.
    pub fn serving(&self) -> Option<(&'static str, u64)> {
        self.hold().map(|held| (held.driver_name(), held.generation()))
    }

    /// What the driver that serves now can do beyond the core of its contract.
    pub async fn capabilities(&self) -> Result<Capabilities> {
        let held = self.slot.seated().await?;
        Ok(held.capabilities().unwrap_or_else(|| self.slot.declared_capabilities()))
    }

    /// The gates every call passes, to look at them or to force the breaker; `None` without a policy.
    pub fn gates(&self) -> Option<Arc<Gates>> {
        self.slot.gates()
    }

    /// The path of every call, outermost gate first, the driver last.
    ///
    /// ```text
    /// deadline         500ms for the call with all its waits and retries
    /// retry            3 attempts, waits 20ms..1s (full jitter), pays from a budget of 500
    /// driver           translates and classifies
    /// ```
    pub fn chain(&self) -> Vec<ChainStep> {
        match self.gates() {
            Some(gates) => gates.policy().chain(),
            None => Policy::default().chain(),
        }
    }

    /// Lets faults happen to the calls of this instance, innermost of all gates; `None` stops that.
    ///
    /// For tests. An environment in production refuses them.
    pub fn set_faults(&self, faults: Option<Arc<Faults>>) -> Result<()> {
        self.slot.set_faults(faults)
    }

    /// What the instance shares with the others of its application.
    pub fn environment(&self) -> &Environment {
        &self.slot.environment
    }

    /// The one `T` that all lines of this instance share; made when it is first asked for.
    ///
    /// For what a handle must know of the instance whoever holds it, such as work under way that
    /// others may wait for. It lives as long as the instance, through swaps and overrides.
    pub fn extension<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        self.slot.extension()
    }

    /// How many calls and opened things use a driver of this instance now.
    ///
    /// A gauge to look at, not to decide by: for the moment that a swap takes it may be too high.
    pub fn in_flight(&self) -> usize {
        self.slot.in_flight()
    }

    /// What has been asked so far and how it went, for each operation.
    ///
    /// A group counts the calls made of it, each once; what its members were asked for them is
    /// among the figures of the members.
    pub fn figures(&self) -> Vec<OpFigures> {
        self.slot.figures.read()
    }
}

impl<S: Subsystem> Clone for Line<S> {
    fn clone(&self) -> Self {
        Self { slot: self.slot.clone() }
    }
}

impl<S: Subsystem> fmt::Debug for Line<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line")
            .field("instance", &format_args!("{}", self.slot.full_name()))
            .field("serving", &self.serving())
            .finish()
    }
}
