//! The path from a handle to whichever driver serves its instance now.
//!
//! Everything between the two happens here, once, for every subsystem: finding the driver, passing
//! the gates, choosing a member, counting, and saying where an error happened.

mod build;
mod call;
mod change;
mod data;
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

pub(crate) use build::{Built, Probe};
pub(crate) use change::{Out, Placed, Ready, Withdrawn};
pub(crate) use group::{Group, refuse_count};
pub use leased::{Leased, Opener, Step};
pub use seat::Held;
pub(crate) use seat::at_latest;
pub(crate) use slot::{Checked, Limits, Plan, Recipe, Slot, Wrap};
pub use swap::Swapped;
pub(crate) use swap::{Turn, in_time};

use crate::select::hash;
use crate::{
    Capabilities, ChainStep, Details, Environment, Error, Faults, Gates, Lifecycle, Metric, Op,
    OpFigures, Policy, Result, Subsystem,
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

    /// `op`, where this call is about `key`: groups that [choose by key](Self::chooses_by_key) send it
    /// to the member that has that key.
    ///
    /// For handles, so that an application shards by naming a selector. It costs one look where the
    /// instance is no group; the bytes are hashed only where it is one. The hash is 64-bit FNV-1a
    /// followed by the finalizer of `SplitMix64`, the same in every process and every version.
    ///
    /// ```
    /// # mod counters {
    /// #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/counters/mod.rs"));
    /// # }
    /// # use counters::{fixed, manager, op};
    /// use switchboard_core::HashByKey;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> switchboard_core::Result<()> {
    /// let counters = manager()?;
    /// counters.configure("left", &fixed(1))?;
    /// counters.configure("right", &fixed(2))?;
    /// counters.group("sharded", &["left", "right"], HashByKey::new())?;
    /// let handle = counters.handle("sharded")?;
    ///
    /// // What the method of a handle does.
    /// let line = handle.line();
    /// let read = async |user: &str| {
    ///     let op = line.keyed(op::READ, user.as_bytes());
    ///     line.call(op, |driver| async move { driver.read().await }).await
    /// };
    /// assert_eq!(read("ada").await?, read("ada").await?);
    /// # Ok(()) }
    /// ```
    #[inline]
    pub fn keyed(&self, op: Op, key: &[u8]) -> Op {
        if self.slot.is_group { op.keyed_by(hash(key)) } else { op }
    }

    /// Whether the instance is a group that sends calls where their key belongs, or has such a group
    /// among its members.
    ///
    /// Then a call that spans several keys has to be made key by key, and one that is about all of
    /// them [of all members](Self::call_all): handles see to it.
    pub fn chooses_by_key(&self) -> bool {
        self.slot.chooses_by_key()
    }

    /// The name of the driver that serves now, and the number of its generation.
    pub fn serving(&self) -> Option<(&'static str, u64)> {
        self.hold().map(|held| (held.driver_name(), held.generation()))
    }

    /// Why the instance was down when it was last checked; `None` if it was not, or nobody has looked.
    ///
    /// Nobody is asked: it is what groups have been told.
    pub fn known_down(&self) -> Option<Error> {
        self.slot.down()
    }

    /// Why the last attempt to build the driver failed; `None` where something serves, nobody has tried,
    /// or it is to be built in another way by now.
    ///
    /// ```
    /// # mod counters {
    /// #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/counters/mod.rs"));
    /// # }
    /// # use counters::manager;
    /// use switchboard_core::{Error, ErrorKind, NoSettings, Settings};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> switchboard_core::Result<()> {
    /// let counters = manager()?;
    /// counters.registry().register("far", |_: NoSettings, _| async {
    ///     Err::<counters::Fixed, _>(Error::new(ErrorKind::Unavailable, "nobody answers"))
    /// })?;
    /// counters.configure("visits", &Settings::new().with("driver", "far"))?;
    /// let line = counters.line("visits")?;
    /// assert!(line.build_error().is_none(), "nobody has tried");
    /// counters.get("visits").await.unwrap_err();
    /// assert_eq!(line.build_error().unwrap().message(), "nobody answers");
    /// # Ok(()) }
    /// ```
    pub fn build_error(&self) -> Option<Error> {
        self.slot.build_error()
    }

    /// What the driver that serves now can do beyond the core of its contract.
    pub async fn capabilities(&self) -> Result<Capabilities> {
        let held = self.slot.seated().await?;
        Ok(held.own().capabilities().unwrap_or_else(|| self.slot.declared_capabilities()))
    }

    /// What the driver that serves now shows of itself; `None` if it shows nothing, and while nothing
    /// serves. A group shows nothing: its members do.
    pub fn details(&self) -> Option<Details> {
        self.slot.peek_own(Lifecycle::details).flatten()
    }

    /// The figures of its own that the driver has that serves now.
    pub fn metrics(&self) -> Vec<Metric> {
        self.slot.peek_own(Lifecycle::metrics).unwrap_or_default()
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
