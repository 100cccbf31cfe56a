//! Instances that choose among others: which members, which selector, by code or by settings.

use std::collections::BTreeSet;
use std::panic::Location;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Manager, PolicyChoice};
use crate::line::{Group, Limits, Recipe, Slot};
use crate::name::{nearest, shortened};
use crate::settings::{Problem, Problems};
use crate::{
    Error, ErrorKind, HealthCheck, Name, Policy, Priority, Result, RoundRobin, Selector, Settings,
    Subsystem,
};

/// The settings of an instance that chooses among others.
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
/// counters.configure("main", &fixed(1))?;
/// counters.configure("spare", &fixed(2))?;
/// let safe = Settings::new().with("members", ["main", "spare"]).with("select", "priority");
/// counters.configure("safe", &safe)?;
/// assert_eq!(counters.handle("safe")?.read().await?, 1);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct GroupSettings {
    /// The instances it chooses among, declared before it, in the order that matters to some
    /// selectors.
    pub members: Vec<String>,
    /// How it chooses.
    #[serde(default)]
    pub select: SelectorChoice,
    /// Its only gate, a deadline: the members have gates of their own, so that retries never
    /// multiply.
    pub policy: Option<PolicyChoice>,
}

/// The selectors that settings can name; code may bring its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SelectorChoice {
    /// [`Priority`].
    #[default]
    Priority,
    /// [`RoundRobin`].
    RoundRobin,
    /// [`HealthCheck`].
    HealthCheck,
}

impl<S: Subsystem> Manager<S> {
    /// Declares an instance that chooses among others for each call.
    ///
    /// The members must be declared already, so that no group can contain itself.
    ///
    /// ```
    /// # mod counters {
    /// #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/counters/mod.rs"));
    /// # }
    /// # use counters::{fixed, manager};
    /// use switchboard_core::RoundRobin;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> switchboard_core::Result<()> {
    /// let counters = manager()?;
    /// counters.configure("left", &fixed(1))?;
    /// counters.configure("right", &fixed(2))?;
    /// counters.group("both", &["left", "right"], RoundRobin::new())?;
    ///
    /// let both = counters.handle("both")?;
    /// assert_eq!(both.read().await? + both.read().await?, 3);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn group(&self, name: &str, members: &[&str], selector: impl Selector) -> Result<()> {
        let name = Name::parse(name)?;
        let group = self.make_group(members, Arc::new(selector))?;
        let recipe = Recipe::Group(group);
        let place = Location::caller();
        let slot = Slot::new(name, recipe, Limits::default(), &self.0.environment, place);
        self.declare(Arc::new(slot), place)
    }

    pub(super) fn configure_group(
        &self,
        name: Name,
        settings: &Settings,
        place: &'static Location<'static>,
    ) -> Result<()> {
        let full_name = format!("{}.{name}", S::NAME);
        let own: GroupSettings = settings.decode_at(&full_name)?;
        self.refuse_unknown_members(&own.members, settings, &full_name)?;
        let policy = self.policy_of(own.policy, &full_name, settings)?;
        if policy.as_ref().is_some_and(has_more_than_a_deadline) {
            let origin = settings.child("policy").map(|node| node.origin().clone());
            let message = "a group has no gate but a deadline";
            let path = format!("{full_name}.policy");
            let problem = Problem::new(path, origin.unwrap_or_default(), message)
                .with_hint("give the gates to its members");
            return Err(Problems::from_iter([problem]).into());
        }
        let members: Vec<&str> = own.members.iter().map(String::as_str).collect();
        let group = self.make_group(&members, own.select.selector())?;
        let recipe = Recipe::Group(group);
        let slot = Slot::new(name, recipe, Limits::default(), &self.0.environment, place);
        if let Some(policy) = policy {
            slot.retune(policy)?;
        }
        self.declare(Arc::new(slot), place)
    }

    /// All members that are not there, each with its place in the settings.
    fn refuse_unknown_members(
        &self,
        members: &[String],
        settings: &Settings,
        instance: &str,
    ) -> Result<()> {
        let known = self.names();
        let mut problems = Vec::new();
        for (position, member) in members.iter().enumerate() {
            if self.has(member) {
                continue;
            }
            let path = format!("members[{position}]");
            let origin = settings.get(&path).map(|node| node.origin().clone());
            let message = format!("no instance called {:?} is declared", shortened(member));
            let path = format!("{instance}.{path}");
            let problem = Problem::new(path, origin.unwrap_or_default(), message);
            problems.push(match nearest(member, known.iter().map(String::as_str)) {
                Some(meant) => problem.with_hint(format!("did you mean {meant:?}?")),
                None => problem.with_hint("declare the members before the group"),
            });
        }
        if problems.is_empty() { Ok(()) } else { Err(Problems::from_iter(problems).into()) }
    }

    fn make_group(&self, members: &[&str], selector: Arc<dyn Selector>) -> Result<Arc<Group<S>>> {
        let lines = members.iter().map(|member| self.line(member)).collect::<Result<Vec<_>>>()?;
        let mut seen = BTreeSet::new();
        for line in &lines {
            if !seen.insert(line.slot.id) {
                return Err(Error::new(ErrorKind::Config, "a group has a member twice")
                    .with_context("member", line.slot.full_name()));
            }
        }
        Ok(Arc::new(Group::new(lines, selector)?))
    }
}

impl SelectorChoice {
    fn selector(self) -> Arc<dyn Selector> {
        match self {
            Self::Priority => Arc::new(Priority),
            Self::RoundRobin => Arc::new(RoundRobin::new()),
            Self::HealthCheck => Arc::new(HealthCheck),
        }
    }
}

pub(super) fn has_more_than_a_deadline(policy: &Policy) -> bool {
    Policy { deadline: None, ..policy.clone() } != Policy::default()
}
