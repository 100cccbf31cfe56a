//! Instances that choose among others: which members, which selector, by code or by settings.

use std::cell::{Cell, OnceCell};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::Location;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use super::nesting::{Extent, Nesting};
use super::settings::both;
use super::{Declared, Manager, PolicyChoice};
use crate::creations::SlotId;
use crate::line::{Group, Limits, Recipe, Slot, refuse_count};
use crate::name::{nearest, shortened};
use crate::settings::{Node, Problem, ProblemKind, Problems, mistakes_of, origin_within};
use crate::{
    Candidates, EjectPolicy, Ejecting, Error, ErrorKind, HashByKey, HealthCheck, LeastLoaded, Line,
    Name, Policy, Priority, Result, RoundRobin, Selector, Settings, Subsystem, Swapped, Weighted,
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
/// let safe = Settings::new()
///     .with("members", ["main", "spare"])
///     .with("select", "weighted")
///     .with("weights", Settings::new().with("spare", 0))
///     .with("eject", Settings::new().with("outages", 3));
/// counters.configure("safe", &safe)?;
/// assert_eq!(counters.handle("safe")?.read().await?, 1);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct GroupSettings {
    /// The instances it chooses among, declared before it, in the order that matters to some
    /// selectors. At most 64; groups lie at most 16 deep in each other.
    pub members: Vec<String>,
    /// How it chooses.
    #[serde(default)]
    pub select: SelectorChoice,
    /// How often each member is chosen beside the others, for `select = "weighted"`; one that is not
    /// named has a weight of 1, one of weight 0 is a spare.
    #[serde(default)]
    pub weights: BTreeMap<String, u32>,
    /// Leaves out members that keep failing; `{}` does so with the usual settings.
    pub eject: Option<EjectPolicy>,
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
    /// [`Weighted`].
    Weighted,
    /// [`LeastLoaded`].
    LeastLoaded,
    /// [`HashByKey`].
    HashByKey,
}

/// All that settings say of a group, found to make sense.
pub(super) struct GroupPlan {
    pub(super) members: Vec<Name>,
    pub(super) selector: Arc<dyn Selector>,
    /// `None` keeps the gates in force.
    pub(super) policy: Option<Policy>,
}

/// Who may be a member of a group.
pub(super) trait Eligible {
    /// The instance that `asked` names, or advice for one who named nobody.
    fn find(&self, asked: &str) -> Result<Name, &'static str>;

    /// The names of all.
    fn names(&self) -> Vec<String>;

    /// What mistakes may have meant.
    fn meant(&self) -> &Meant;
}

/// The names that mistakes may have meant: made once, and compared for the first mistakes only.
#[derive(Default)]
pub(super) struct Meant {
    names: OnceCell<Vec<String>>,
    asked: Cell<usize>,
}

impl Meant {
    /// The one of `names` that `asked` is most like, if it is like one at all.
    pub(super) fn nearest(
        &self,
        asked: &str,
        names: impl FnOnce() -> Vec<String>,
    ) -> Option<String> {
        if self.asked.replace(self.asked.get().saturating_add(1)) >= MEANT_MAX {
            return None;
        }
        let names = self.names.get_or_init(names);
        nearest(asked, names.iter().map(String::as_str)).map(str::to_owned)
    }
}

/// The instances that are declared now.
struct Now<'m, S: Subsystem> {
    manager: &'m Manager<S>,
    meant: Meant,
}

impl<S: Subsystem> Manager<S> {
    /// Declares an instance that chooses among others for each call.
    ///
    /// The members must be declared already, so that no group can contain itself. Groups lie in each
    /// other at most [`GroupSettings::DEEP_MAX`] deep, with at most [`GroupSettings::WAYS_MAX`] ways
    /// through them to a driver; more is an error.
    /// While a [change](crate::Change) is prepared this is refused, because that has looked at all groups
    /// already.
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
        let _turn = self.turn_to_group()?;
        let members = self.members_called(members)?;
        let group = Group::new(&name, &self.0.environment, members, Arc::new(selector))?;
        self.declare_group(name, group, None, Location::caller())
    }

    /// Declares an instance that chooses among every other one of this manager, for each call: "any
    /// of my providers".
    ///
    /// Its members are all instances with a driver, in the order in which they were declared, also
    /// those that are declared later: they are added at the end, and the selector goes on. Groups are
    /// no members of it. There is room for [`Candidates::MEMBERS_MAX`]; the declaration that would
    /// exceed it is an error.
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
    /// counters.group_of_all("any", RoundRobin::new())?;
    /// counters.configure("left", &fixed(1))?;
    /// counters.configure("right", &fixed(2))?;
    ///
    /// let any = counters.handle("any")?;
    /// assert_eq!(any.read().await? + any.read().await?, 3);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn group_of_all(&self, name: &str, selector: impl Selector) -> Result<()> {
        let name = Name::parse(name)?;
        let _turn = self.turn_to_group()?;
        let group = Group::of_all(&name, &self.0.environment, Arc::new(selector));
        self.declare_group(name, group, None, Location::caller())
    }

    /// Gives a group other members and another selector, while calls are running.
    ///
    /// Calls under way finish on the old ones; handles follow, and the deadline of the group stays. A
    /// group of all instances becomes an ordinary one. A member that contains the group, directly or
    /// through others, is an error, as is a group around it that would go beyond the limits of
    /// [`group`](Self::group); an error leaves everything as it was.
    /// While a [change](crate::Change) is prepared this is refused.
    ///
    /// ```
    /// # mod counters {
    /// #     include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/counters/mod.rs"));
    /// # }
    /// # use counters::{fixed, manager};
    /// use switchboard_core::Priority;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> switchboard_core::Result<()> {
    /// let counters = manager()?;
    /// counters.configure("left", &fixed(1))?;
    /// counters.configure("right", &fixed(2))?;
    /// counters.group("chosen", &["left"], Priority)?;
    /// let chosen = counters.handle("chosen")?;
    ///
    /// counters.regroup("chosen", &["right", "left"], Priority)?;
    /// assert_eq!(chosen.read().await?, 2);
    /// assert!(counters.regroup("chosen", &["chosen"], Priority).is_err());
    /// # Ok(()) }
    /// ```
    pub fn regroup(&self, name: &str, members: &[&str], selector: impl Selector) -> Result<()> {
        let _turn = self.turn_to_group()?;
        let slot = self.slot(name)?;
        let members = self.members_called(members)?;
        self.put_group_of_size(&slot, members, Arc::new(selector), None).map(drop)
    }

    pub(super) fn configure_group(
        &self,
        name: Name,
        settings: &Settings,
        place: &'static Location<'static>,
    ) -> Result<()> {
        let _turn = self.turn_to_group()?;
        let GroupPlan { members, selector, policy } =
            self.group_plan(&name, settings, &Now::of(self))?;
        let members = self.lines_of(&members)?;
        let group = Group::new(&name, &self.0.environment, members, selector)?;
        self.declare_group(name, group, policy, place)
    }

    /// [`swap`](Self::swap), where the instance is a group or the settings are those of one.
    pub(super) fn swap_group(&self, slot: &Arc<Slot<S>>, settings: &Settings) -> Result<Swapped> {
        let unsupported = |message: &'static str| {
            let error = Error::new(ErrorKind::Unsupported, message);
            Err(error.with_context("instance", slot.full_name()))
        };
        if !slot.is_group {
            return unsupported("an instance with a driver does not become a group");
        }
        if settings.child("members").is_none() {
            return unsupported("a group has no driver to swap");
        }
        let GroupPlan { members, selector, policy } =
            self.group_plan(&slot.name, settings, &Now::of(self))?;
        let members = self.lines_of(&members)?;
        Ok(Swapped::at_once(self.put_group_of_size(slot, members, selector, policy)?))
    }

    /// Adds to the groups of all instances whoever is not a member yet.
    pub(super) fn grow_groups_of_all(&self) {
        let slots = self.0.declared.lock().slots.clone();
        for slot in slots.iter().filter(|slot| slot.is_group) {
            grow(slot, &slots);
        }
    }

    fn declare_group(
        &self,
        name: Name,
        group: Group<S>,
        policy: Option<Policy>,
        place: &'static Location<'static>,
    ) -> Result<()> {
        let recipe = Recipe::Group(Arc::new(group));
        let slot = Slot::new(name, recipe, Limits::default(), &self.0.environment, place);
        if let Some(policy) = policy {
            slot.retune(policy)?;
        }
        self.declare(Arc::new(slot), place)
    }

    /// The flip of a group of a change, which has looked at all groups together: one of them alone may
    /// be too large for a moment.
    pub(super) fn put_group(
        &self,
        slot: &Arc<Slot<S>>,
        members: Vec<Line<S>>,
        selector: Arc<dyn Selector>,
        policy: Option<Policy>,
    ) -> Result<u64> {
        self.flip(slot, members, selector, policy, |_, _, _| Ok(()))
    }

    /// The flip of one group, unless it or a group around it would be too large.
    fn put_group_of_size(
        &self,
        slot: &Arc<Slot<S>>,
        members: Vec<Line<S>>,
        selector: Arc<dyn Selector>,
        policy: Option<Policy>,
    ) -> Result<u64> {
        self.flip(slot, members, selector, policy, |before, group, declared| {
            refuse_growth(slot, before, group, &declared.slots)
        })
    }

    /// From now on calls choose as the plan says. The answer is how often the group has changed.
    fn flip(
        &self,
        slot: &Arc<Slot<S>>,
        members: Vec<Line<S>>,
        selector: Arc<dyn Selector>,
        policy: Option<Policy>,
        check: impl FnOnce(&Group<S>, &Group<S>, &Declared<S>) -> Result<()>,
    ) -> Result<u64> {
        let Some(before) = slot.group() else {
            return Err(Error::new(ErrorKind::Unsupported, "the instance is no group")
                .with_context("instance", slot.full_name()));
        };
        let group = before.with_others(&slot.name, &self.0.environment, members, selector)?;
        // Two groups that take each other for members at the same time would both find no circle.
        let one_at_a_time = self.0.declared.lock();
        refuse_circle(slot, &group)?;
        check(&before, &group, &one_at_a_time)?;
        let regrouped = slot.exchange(Arc::new(group), policy);
        drop(one_at_a_time);
        let (generation, gone) = regrouped?;
        drop(gone);
        self.0.environment.events().deliver();
        Ok(generation)
    }

    /// How a group is to be made. Every mistake is found here.
    pub(super) fn group_plan(
        &self,
        name: &Name,
        settings: &Settings,
        eligible: &dyn Eligible,
    ) -> Result<GroupPlan> {
        let full_name = format!("{}.{name}", S::NAME);
        let members = members_named_in(settings, &full_name, eligible);
        let mut own = settings.clone();
        let policy = PolicyChoice::take(&mut own, &full_name);
        let decoded = own.decode_at::<GroupSettings>(&full_name);
        let ((members, policy), own) = both(both(members, policy), decoded)?;
        let weights = refuse_wrong_weights(&own, settings, &full_name);
        let eject = refuse_wrong_ejection(&own, settings, &full_name);
        let policy = self.policy_of_group(policy, settings, &full_name);
        let (((), ()), policy) = both(both(weights, eject), policy)?;
        Ok(GroupPlan { members, selector: own.selector(), policy })
    }

    pub(super) fn policy_of_group(
        &self,
        choice: Option<PolicyChoice>,
        settings: &Settings,
        instance: &str,
    ) -> Result<Option<Policy>> {
        let policy = self.policy_of(choice, instance, settings)?;
        if !policy.as_ref().is_some_and(has_more_than_a_deadline) {
            return Ok(policy);
        }
        let origin = settings.child("policy").map(|node| node.origin().clone());
        let message = "a group has no gate but a deadline";
        let problem =
            Problem::new(format!("{instance}.policy"), origin.unwrap_or_default(), message)
                .with_hint("give the gates to its members");
        Err(Problems::from_iter([problem]).into())
    }

    pub(super) fn lines_of(&self, names: &[Name]) -> Result<Vec<Line<S>>> {
        names.iter().map(|name| self.line(name.as_str())).collect()
    }

    fn members_called(&self, names: &[&str]) -> Result<Vec<Line<S>>> {
        let members = names.iter().map(|name| self.line(name)).collect::<Result<Vec<_>>>()?;
        let mut seen = BTreeSet::new();
        let twice = members.iter().find(|member| !seen.insert(member.slot.id));
        let Some(twice) = twice else { return Ok(members) };
        Err(Error::new(ErrorKind::Config, "a group has a member twice")
            .with_context("member", twice.slot.full_name()))
    }
}

impl GroupSettings {
    /// How many groups may lie in each other, the outermost included.
    pub const DEEP_MAX: usize = 16;

    /// In how many ways a call of a group may come to a driver: a driver counts once for each way
    /// through the groups inside. A call that nobody serves goes all of them.
    pub const WAYS_MAX: usize = 4096;

    fn selector(&self) -> Arc<dyn Selector> {
        let selector: Arc<dyn Selector> = match self.select {
            SelectorChoice::Priority => Arc::new(Priority),
            SelectorChoice::RoundRobin => Arc::new(RoundRobin::new()),
            SelectorChoice::HealthCheck => Arc::new(HealthCheck),
            SelectorChoice::Weighted => Arc::new(Weighted::new(self.weights_by_name())),
            SelectorChoice::LeastLoaded => Arc::new(LeastLoaded::new()),
            SelectorChoice::HashByKey => Arc::new(HashByKey::new()),
        };
        match &self.eject {
            Some(policy) => Arc::new(Ejecting::new(selector, *policy)),
            None => selector,
        }
    }

    /// The weights under the names of the members as they are compared.
    fn weights_by_name(&self) -> impl Iterator<Item = (String, u32)> {
        self.weights.iter().map(|(name, weight)| (as_compared(name), *weight))
    }
}

impl<'m, S: Subsystem> Now<'m, S> {
    fn of(manager: &'m Manager<S>) -> Self {
        Self { manager, meant: Meant::default() }
    }
}

impl<S: Subsystem> Declared<S> {
    /// An error if a group of all instances would have too many members with `next`, or `next` is a
    /// group with too much inside of it.
    pub(super) fn refuse_beyond_all(&self, next: &Slot<S>) -> Result<()> {
        if let Some(group) = next.group() {
            refuse_too_large(next, extent_inside(next.id, &group))?;
        }
        let groups = self.slots.iter().filter_map(|slot| Some((slot, slot.group()?)));
        let groups = groups.filter(|(_, group)| group.is_of_all() && !next.is_group);
        let full = groups
            .map(|(slot, group)| {
                (slot.full_name(), group.members().len() + group.missing(&self.slots).len() + 1)
            })
            .chain(
                next.group()
                    .filter(|group| group.is_of_all())
                    .map(|group| (next.full_name(), group.missing(&self.slots).len())),
            )
            .find(|(_, count)| *count > Candidates::MEMBERS_MAX);
        let Some((group, _)) = full else { return Ok(()) };
        Err(Error::new(ErrorKind::Config, "a group of all instances has no room for so many")
            .with_context("group", group)
            .with_context("members_max", Candidates::MEMBERS_MAX))
    }
}

/// The groups, none before one that is a member of it.
pub(super) fn inner_first<S: Subsystem>(
    slots: Vec<&Arc<Slot<S>>>,
) -> Vec<(&Slot<S>, Arc<Group<S>>)> {
    let groups = slots.into_iter().filter_map(|slot| Some((slot.id, (&**slot, slot.group()?))));
    let mut groups: BTreeMap<_, _> = groups.collect();
    let mut nesting = Nesting::new();
    for (id, (_, group)) in &groups {
        nesting.put(*id, group.member_ids());
    }
    // Groups never contain each other in a circle, but may change while one looks: then as well as can be.
    nesting.walk([]).order.iter().filter_map(|id| groups.remove(id)).collect()
}

/// What calls of the group of that number go through.
fn extent_inside<S: Subsystem>(id: SlotId, group: &Group<S>) -> Extent {
    let mut nesting = Nesting::new();
    nesting.put(id, group.member_ids());
    add_inside(&mut nesting, group);
    nesting.walk([]).extents.get(&id).copied().unwrap_or_default()
}

fn add_inside<S: Subsystem>(nesting: &mut Nesting<SlotId>, group: &Group<S>) {
    let mut waiting = group.members().to_vec();
    while let Some(Line { slot }) = waiting.pop() {
        if nesting.has(&slot.id) {
            continue;
        }
        if let Some(group) = slot.group() {
            nesting.put(slot.id, group.member_ids());
            waiting.extend_from_slice(group.members());
        }
    }
}

/// An error if the group, or one around it, would be too large with these members.
fn refuse_growth<S: Subsystem>(
    slot: &Slot<S>,
    before: &Group<S>,
    group: &Group<S>,
    all: &[Arc<Slot<S>>],
) -> Result<()> {
    let extent = extent_inside(slot.id, group);
    if extent.is_within(extent_inside(slot.id, before)) {
        return Ok(());
    }
    let mut nesting = Nesting::new();
    for (other, there) in all.iter().filter_map(|other| Some((other, other.group()?))) {
        nesting.put(other.id, there.member_ids());
    }
    nesting.put(slot.id, group.member_ids());
    let found = nesting.walk([]);
    let too_large = nesting.too_large(&found);
    // What is too large without this group is no reason to leave it as it is.
    let mut around = too_large
        .iter()
        .filter(|(id, _)| nesting.find_inside(id, |inside| *inside == slot.id).is_some());
    let Some((id, extent)) = around.next() else { return Ok(()) };
    let around = all.iter().find(|other| other.id == *id);
    refuse_too_large(around.map_or(slot, |around| around), *extent)
}

fn refuse_too_large<S: Subsystem>(slot: &Slot<S>, extent: Extent) -> Result<()> {
    if !extent.is_too_large() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Config, extent.refusal()).with_context("group", slot.full_name()))
}

pub(super) fn has_more_than_a_deadline(policy: &Policy) -> bool {
    Policy { deadline: None, ..policy.clone() } != Policy::default()
}

/// Adds to a group of all instances whoever is not a member yet.
fn grow<S: Subsystem>(slot: &Slot<S>, instances: &[Arc<Slot<S>>]) {
    while let Some(group) = slot.group().filter(|group| group.is_of_all()) {
        let more = group.missing(instances);
        if more.is_empty() || slot.exchange_grown(&group, Arc::new(group.grown(more))) {
            return;
        }
        tell_again(slot);
    }
}

/// Two that grow a group at the same time both tell its selector; what is in force is told last.
fn tell_again<S: Subsystem>(slot: &Slot<S>) {
    while let Some(group) = slot.group() {
        group.tell_members();
        if slot.group().is_some_and(|now| Arc::ptr_eq(&now, &group)) {
            return;
        }
    }
}

fn refuse_circle<S: Subsystem>(slot: &Slot<S>, group: &Group<S>) -> Result<()> {
    if !group.contains(slot.id) {
        return Ok(());
    }
    let around = group.members().iter().find(|member| {
        let inside = || member.slot.group().is_some_and(|group| group.contains(slot.id));
        member.slot.id == slot.id || inside()
    });
    let Some(around) = around else { return Ok(()) };
    Err(Error::new(ErrorKind::Config, "a group cannot contain itself")
        .with_context("group", slot.full_name())
        .with_context("member", around.slot.full_name()))
}

impl<S: Subsystem> Eligible for Now<'_, S> {
    fn find(&self, asked: &str) -> Result<Name, &'static str> {
        let slot = self.manager.slot(asked).map_err(|_| "declare the members before the group")?;
        Ok(slot.name.clone())
    }

    fn names(&self) -> Vec<String> {
        self.manager.names()
    }

    fn meant(&self) -> &Meant {
        &self.meant
    }
}

/// The members that settings name. All mistakes are told, each with its place; what is no list of
/// texts is the affair of decoding.
fn members_named_in(
    settings: &Settings,
    instance: &str,
    eligible: &dyn Eligible,
) -> Result<Vec<Name>> {
    let named = settings.child("members").and_then(|node| node.as_list()).unwrap_or_default();
    refuse_count_in(named, settings, instance)?;
    let (mut members, mut problems) = (Vec::<Name>::new(), Vec::new());
    for (position, node) in named.iter().enumerate() {
        let Some(member) = node.as_str() else { continue };
        let problem = |message| {
            let path = format!("{instance}.members[{position}]");
            Problem::new(path, node.origin().clone(), message)
        };
        match eligible.find(member) {
            Err(advice) => {
                let message = Name::told(member, "the name of an instance", |member| {
                    format!("no instance called {member:?} is declared")
                });
                let meant = eligible.meant().nearest(member, || eligible.names());
                let meant = meant.map(|meant| format!("did you mean {meant:?}?"));
                let advice = meant.unwrap_or_else(|| advice.to_owned());
                problems.push(problem(message).of_kind(ProblemKind::Unknown).with_hint(advice));
            }
            Ok(name) if members.contains(&name) => {
                problems.push(problem("a group has a member only once".to_owned()));
            }
            Ok(name) => members.push(name),
        }
    }
    if problems.is_empty() { Ok(members) } else { Err(Problems::from_iter(problems).into()) }
}

/// Whether a group may have so many members, told at the setting before each of them is looked at.
fn refuse_count_in(named: &[Node], settings: &Settings, instance: &str) -> Result<()> {
    let is_told_elsewhere = named.is_empty();
    if is_told_elsewhere {
        return Ok(());
    }
    told_at_members(refuse_count(named), settings, instance)
}

/// Whether a group may have so many members, told at the setting.
pub(super) fn refuse_wrong_count(
    plan: &GroupPlan,
    settings: &Settings,
    instance: &str,
) -> Result<()> {
    told_at_members(refuse_count(&plan.members), settings, instance)
}

fn told_at_members(counted: Result<()>, settings: &Settings, instance: &str) -> Result<()> {
    let Err(error) = counted else { return Ok(()) };
    let origin = settings.child("members").map(|node| node.origin().clone()).unwrap_or_default();
    let problem = Problem::new(format!("{instance}.members"), origin, error.message().to_owned());
    Err(Problems::from_iter([problem]).into())
}

fn refuse_wrong_weights(own: &GroupSettings, settings: &Settings, instance: &str) -> Result<()> {
    let Some(node) = settings.child("weights") else { return Ok(()) };
    let mut problems = Vec::new();
    if own.select != SelectorChoice::Weighted {
        let message = "only a weighted group has weights";
        let problem = Problem::new(format!("{instance}.weights"), node.origin().clone(), message);
        problems.push(problem.with_hint("set `select = \"weighted\"`"));
    }
    let members: Vec<_> = own.members.iter().map(|member| as_compared(member)).collect();
    let meant = Meant::default();
    for (name, node) in node.as_table().into_iter().flat_map(Settings::iter) {
        let problem = |message| {
            let path = format!("{instance}.weights.{}", shortened(name));
            Problem::new(path, node.key_origin().clone(), message)
        };
        if !members.contains(&as_compared(name)) {
            let problem = problem("the group has no such member".to_owned());
            let problem = problem.of_kind(ProblemKind::Unknown);
            problems.push(match meant.nearest(name, || members.clone()) {
                Some(meant) => problem.with_hint(format!("did you mean {meant:?}?")),
                None => problem,
            });
        }
        if own.weights.get(name).is_some_and(|weight| *weight > Weighted::WEIGHT_MAX) {
            problems.push(problem(format!("a weight is at most {}", Weighted::WEIGHT_MAX)));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(Problems::from_iter(problems).into()) }
}

fn refuse_wrong_ejection(own: &GroupSettings, settings: &Settings, instance: &str) -> Result<()> {
    let Some(Err(error)) = own.eject.as_ref().map(EjectPolicy::check) else { return Ok(()) };
    let place =
        |setting: &str| (format!("{instance}.{setting}"), origin_within(settings, setting).clone());
    Err(mistakes_of(&error, &place).into())
}

/// For how many mistakes somebody looks among all names for the one that was meant.
const MEANT_MAX: usize = 32;

/// A name as names are compared.
pub(super) fn as_compared(name: &str) -> String {
    name.trim().to_ascii_lowercase()
}
