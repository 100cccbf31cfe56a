//! Many changes of one manager, said first and applied together: all of them, or none.
//!
//! Here is what a caller says. What follows from it for each instance is the draft's affair, and
//! carrying it out that of [`Prepared`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::panic::Location;

use tokio::sync::OwnedRwLockReadGuard;

use super::groups::as_compared;
use super::{Manager, Prepared};
use crate::line::in_time;
use crate::{Error, ErrorKind, Result, Settings, Subsystem};

/// Changes of many instances, checked together and applied all or nothing.
///
/// Said of one instance several times, the last word counts. A change of settings means all of them:
/// settings without a `policy` leave the instance without gates, unlike those of a
/// [`swap`](Manager::swap). What drivers are wrapped in stays.
///
/// An instance with a driver may become a group, or a group one with a driver. That is as if it was
/// removed and another one of that name was added: groups around it have the new one among their
/// members, while handles of the old one answer that it is closed: see [`replaced`](Self::replaced).
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
/// counters.configure("old", &fixed(0))?;
/// let visits = counters.get("visits").await?;
///
/// let mut change = counters.change();
/// change.put("visits", &fixed(8));
/// change.put("errors", &fixed(1));
/// change.put("any", &Settings::new().with("members", ["errors", "visits"]));
/// change.remove("old");
/// change.set_default(Some("any"));
/// change.check()?;
///
/// let prepared = change.prepare().await?;
/// assert_eq!(visits.read().await?, 7, "nothing is visible yet");
/// let committed = prepared.commit();
/// assert_eq!(committed.swapped, ["visits"]);
/// assert_eq!(visits.read().await?, 8, "the handle follows");
/// assert_eq!(counters.names(), ["any", "errors", "visits"]);
/// committed.closed().await?;
/// # Ok(()) }
/// ```
#[must_use = "nothing changes before it is prepared and committed"]
pub struct Change<S: Subsystem> {
    pub(super) manager: Manager<S>,
    pub(super) place: &'static Location<'static>,
    /// One for each instance, in the order in which they were first said.
    pub(super) wishes: Vec<Wish>,
    positions: BTreeMap<String, usize>,
    pub(super) default: DefaultTo<String>,
    pub(super) builds: BTreeSet<String>,
}

/// What one instance is to become.
pub(super) struct Wish {
    pub(super) name: String,
    pub(super) what: Wanted,
}

pub(super) enum Wanted {
    Put(Settings),
    Retune(Settings),
    Remove,
}

/// What becomes of the default.
pub(super) enum DefaultTo<T> {
    Same,
    Nobody,
    Other(T),
}

impl<S: Subsystem> Manager<S> {
    /// Begins a change of many instances, which is applied all at once or not at all.
    #[track_caller]
    pub fn change(&self) -> Change<S> {
        Change {
            manager: self.clone(),
            place: Location::caller(),
            wishes: Vec::new(),
            positions: BTreeMap::new(),
            default: DefaultTo::Same,
            builds: BTreeSet::new(),
        }
    }
}

impl<S: Subsystem> Manager<S> {
    /// The right to change one group while no change of many instances is being prepared, which has
    /// looked at all groups already. Refused at once, for those who cannot wait.
    pub(super) fn turn_to_group(&self) -> Result<OwnedRwLockReadGuard<()>> {
        self.0.changing.clone().try_read_owned().map_err(|_| {
            Error::new(ErrorKind::Conflict, "a change of many instances is being made")
                .with_context("subsystem", S::NAME)
                .with_hint("try again when it is committed or given up")
                .retry_later()
                .not_applied()
        })
    }

    /// The same, for those who can wait.
    pub(super) async fn turn_to_group_later(&self) -> Result<OwnedRwLockReadGuard<()>> {
        in_time(self.0.changing.clone().read_owned()).await.ok_or_else(late::<S>)
    }
}

/// The error of who waited for a change of many instances for too long.
pub(super) fn late<S: Subsystem>() -> Error {
    Error::new(ErrorKind::Timeout, "the deadline passed before the change before this one was over")
        .with_context("subsystem", S::NAME)
        .not_applied()
}

impl<S: Subsystem> Change<S> {
    /// Declares `name`, or gives it these settings instead of those it has. Members of a group may
    /// be instances that the same change adds, whatever the order.
    pub fn put(&mut self, name: &str, settings: &Settings) {
        self.wish(name, Wanted::Put(settings.clone()));
    }

    /// Puts the gates and limits of `settings` in force; the driver stays, and the rest of the
    /// settings is not looked at.
    pub fn retune(&mut self, name: &str, settings: &Settings) {
        self.wish(name, Wanted::Retune(settings.clone()));
    }

    /// Removes an instance. Handles of it answer that it is closed, its driver is drained and closed
    /// in the background, and its name is free at once. It must not be a member of a group that
    /// stays as it is, except of one of all instances, and nothing that stays as it is may have been
    /// built with its help; what was looked up by an instance of another manager is not known here.
    /// If it was the default there is none then.
    pub fn remove(&mut self, name: &str) {
        self.wish(name, Wanted::Remove);
    }

    /// Says which instance is the default from now on, or that there is none.
    pub fn set_default(&mut self, name: Option<&str>) {
        self.default = name.map_or(DefaultTo::Nobody, |name| DefaultTo::Other(name.to_owned()));
    }

    /// Says that `name` is to be built although nobody has used it yet. Nothing to do for a group.
    pub fn build(&mut self, name: &str) {
        self.builds.insert(as_compared(name));
    }

    /// All mistakes of all of it, each once and in order, with paths like `cache.main.max_entries`.
    ///
    /// Nothing is built. They come as [`Problems`](crate::Problems); a manager that is closed is an
    /// error of its own.
    pub fn check(&self) -> Result<()> {
        self.draft().map(drop)
    }

    /// Instances whose handles end with the change although their names stay, sorted: those with a
    /// driver that become a group, and groups that become one with a driver.
    ///
    /// For a plan that warns whoever keeps handles.
    pub fn replaced(&self) -> Vec<String> {
        let slots = self.manager.0.slots.load();
        let replaced = self.wishes.iter().filter_map(|wish| {
            let Wanted::Put(settings) = &wish.what else { return None };
            let slot = slots.find(&wish.name)?;
            let becomes_group = settings.child("members").is_some();
            (becomes_group != slot.is_group).then(|| slot.name.to_string())
        });
        let replaced: BTreeSet<_> = replaced.collect();
        replaced.into_iter().collect()
    }

    /// Builds, initialises and probes everything that has to serve after the change: instances that
    /// serve now and get other settings, and those said by [`build`](Self::build). Nobody sees it.
    ///
    /// At most [`BUILDS_MAX`](Self::BUILDS_MAX) are built at once, each within its own build limit.
    /// An instance that stays as it is is built as its first call would, and so once although that
    /// comes meanwhile. If any of them fails everything else that was built is closed, nothing has
    /// changed, and the error tells of every failure; the same happens if this is dropped. Changes of one manager are made
    /// one after the other, and a swap of an instance that takes part waits. Drivers that cannot
    /// live twice, where one of their type goes, are left to [`Prepared::exchange_exclusive`]. An instance that the change adds is
    /// not found by the factories of others before it is committed.
    pub fn prepare(self) -> impl Future<Output = Result<Prepared<S>>> + Send {
        Prepared::from_change(self)
    }

    /// How many drivers are built at once.
    pub const BUILDS_MAX: usize = 64;

    fn wish(&mut self, name: &str, what: Wanted) {
        let next = self.wishes.len();
        let position = *self.positions.entry(as_compared(name)).or_insert(next);
        let wish = Wish { name: name.to_owned(), what };
        match self.wishes.get_mut(position) {
            Some(before) => *before = wish,
            None => self.wishes.push(wish),
        }
    }
}

impl<S: Subsystem> fmt::Debug for Change<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.wishes.iter().map(|wish| &wish.name).collect::<Vec<_>>();
        f.debug_struct("Change")
            .field("subsystem", &S::NAME)
            .field("instances", &names)
            .finish_non_exhaustive()
    }
}
