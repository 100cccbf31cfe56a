//! What a change means for each instance, found to make sense as a whole.
//!
//! Every mistake is found here, before anything is built. Nothing is held and nothing changes.

use std::any::TypeId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::change::{Change, DefaultTo, Wanted, Wish};
use super::groups::{Eligible, GroupPlan, Meant, as_compared, refuse_wrong_count};
use super::nesting::Nesting;
use super::{InstanceSettings, closed};
use crate::line::{Limits, Plan, Slot};
use crate::name::{NameTable, shortened};
use crate::settings::{Problem, ProblemKind, Problems};
use crate::{Candidates, Error, Name, Origin, Policy, Result, Settings, Subsystem};

/// Every step of a change.
pub(super) struct Draft<S: Subsystem> {
    pub(super) steps: Vec<Step<S>>,
    pub(super) default: DefaultTo<Name>,
    /// The groups that are put, none before one that it contains afterwards.
    pub(super) inner_first: Vec<usize>,
}

/// What becomes of one instance.
pub(super) struct Step<S: Subsystem> {
    pub(super) name: Name,
    /// The instance there is.
    pub(super) there: Option<Arc<Slot<S>>>,
    pub(super) what: What<S>,
    /// Whether it is to be built although it does not serve.
    pub(super) build: bool,
}

pub(super) enum What<S: Subsystem> {
    Driver(Plan<S>),
    Group(GroupPlan),
    Retune(Policy, Limits),
    Remove,
    /// Stays as it is, and is built.
    Stay,
}

impl<S: Subsystem> Step<S> {
    /// The instance that goes on as what it is, with other settings.
    pub(super) fn kept(&self) -> Option<&Arc<Slot<S>>> {
        self.there.as_ref().filter(|slot| match self.what {
            What::Driver(_) => !slot.is_group,
            What::Group(_) => slot.is_group,
            What::Retune(..) | What::Stay => true,
            What::Remove => false,
        })
    }

    /// The instance that is there no more.
    pub(super) fn going(&self) -> Option<&Arc<Slot<S>>> {
        if self.kept().is_some() { None } else { self.there.as_ref() }
    }

    /// The type of the driver that comes, if two of them cannot live at once.
    pub(super) fn exclusive_type(&self) -> Option<TypeId> {
        let What::Driver(Plan { driver, .. }) = &self.what else { return None };
        driver.is_exclusive().then(|| driver.driver_type())
    }

    /// The type of the driver that goes, if two of them cannot live at once.
    pub(super) fn exclusive_type_that_goes(&self) -> Option<TypeId> {
        match self.what {
            What::Driver(_) | What::Group(_) | What::Remove => {
                self.there.as_ref()?.exclusive_type()
            }
            What::Retune(..) | What::Stay => None,
        }
    }

    /// Refuses other data for an instance that goes on, unless that is asked for.
    pub(super) fn refuse_other_data(&self) -> Result<()> {
        match (&self.what, self.kept()) {
            (What::Driver(plan), Some(slot)) => slot.refuse_other_data(plan),
            _ => Ok(()),
        }
    }

    /// Whether another slot comes to the name.
    pub(super) fn is_new(&self) -> bool {
        self.kept().is_none() && !matches!(self.what, What::Remove)
    }
}

impl<S: Subsystem> Draft<S> {
    /// Whether it still says of each instance what there is.
    pub(super) fn still_holds(&self, now: &NameTable<Arc<Slot<S>>>) -> bool {
        let id = |slot: &Arc<Slot<S>>| slot.id;
        let is_same =
            |step: &Step<S>| now.find(step.name.as_str()).map(id) == step.there.as_ref().map(id);
        self.steps.iter().all(is_same)
    }
}

impl<S: Subsystem> Change<S> {
    /// The steps of the change, or all that is wrong with it.
    pub(super) fn draft(&self) -> Result<Draft<S>> {
        if self.manager.0.declared.lock().closed {
            return Err(closed::<S>());
        }
        let mut problems = Vec::new();
        let after = After::of(self);
        let mut steps = Vec::with_capacity(self.wishes.len());
        for wish in &self.wishes {
            match self.step(wish, &after) {
                Ok(step) => steps.push(step),
                Err(error) => problems.extend(self.problems_of(&error, wish)),
            }
        }
        let default = self.default_after(&after, &mut problems);
        self.add_builds(&mut steps, &after, &mut problems);
        self.refuse_dangling(&after, &mut problems);
        self.refuse_bereaved(&after, &mut problems);
        self.refuse_crowd(&steps, &mut problems);
        let inner_first = self.inner_first(&steps, &mut problems);
        if problems.is_empty() {
            return Ok(Draft { steps, default, inner_first });
        }
        let mut all: Vec<_> = Problems::from_iter(problems).into_iter().collect();
        all.dedup();
        Err(Problems::from_iter(all).into())
    }

    fn step(&self, wish: &Wish, after: &After<S>) -> Result<Step<S>> {
        let name = Name::parse(&wish.name)?;
        let there = after.now.find(name.as_str()).cloned();
        let what = match (&wish.what, &there) {
            (Wanted::Put(settings), _) => self.what_to_put(&name, settings, after)?,
            (_, None) => return Err(self.manager.unknown(&wish.name)),
            (Wanted::Retune(settings), Some(slot)) => self.what_to_retune(slot, settings)?,
            (Wanted::Remove, Some(_)) => What::Remove,
        };
        let step = Step { name, there, what, build: false };
        step.refuse_other_data()?;
        Ok(step)
    }

    fn what_to_put(&self, name: &Name, settings: &Settings, after: &After<S>) -> Result<What<S>> {
        if settings.child("members").is_none() {
            let plan = self.manager.plan(name, settings)?;
            // All that is said, so that a policy that is said no more is in force no more.
            let policy = plan.policy.unwrap_or_else(|| plan.driver.usual_policy().clone());
            return Ok(What::Driver(Plan { policy: Some(policy), ..plan }));
        }
        let plan = self.manager.group_plan(name, settings, after)?;
        refuse_wrong_count(&plan, settings, &full_path::<S>(name))?;
        Ok(What::Group(GroupPlan { policy: Some(plan.policy.unwrap_or_default()), ..plan }))
    }

    fn what_to_retune(&self, slot: &Arc<Slot<S>>, settings: &Settings) -> Result<What<S>> {
        let instance = slot.full_name();
        let (own, _) = InstanceSettings::take(settings, &instance)?;
        let policy = if slot.is_group {
            self.manager.policy_of_group(own.policy.clone(), settings, &instance)?
        } else {
            self.manager.policy_of(own.policy.clone(), &instance, settings)?
        };
        Ok(What::Retune(policy.unwrap_or_else(|| slot.usual_policy()), own.limits()))
    }

    fn default_after(&self, after: &After<S>, problems: &mut Vec<Problem>) -> DefaultTo<Name> {
        let asked = match &self.default {
            DefaultTo::Same => return DefaultTo::Same,
            DefaultTo::Nobody => return DefaultTo::Nobody,
            DefaultTo::Other(asked) => asked,
        };
        if let Ok(name) = after.find(asked) {
            return DefaultTo::Other(name);
        }
        // A name that is none is told where it is put.
        if !after.is_put(asked) {
            let path = format!("{}.default", S::NAME);
            problems.push(after.missing(path, asked, self.place.into()));
        }
        DefaultTo::Same
    }

    /// What is to be built joins the step of its instance, or is a step of its own.
    fn add_builds(&self, steps: &mut Vec<Step<S>>, after: &After<S>, problems: &mut Vec<Problem>) {
        let positions: BTreeMap<_, _> =
            steps.iter().enumerate().map(|(n, step)| (step.name.to_string(), n)).collect();
        for name in &self.builds {
            if let Some(position) = positions.get(name) {
                steps[*position].build = true;
            } else if let Some(slot) = after.now.find(name) {
                let (name, there) = (slot.name.clone(), Some(slot.clone()));
                steps.push(Step { name, there, what: What::Stay, build: true });
            }
            let path = format!("{}.{}", S::NAME, shortened(name));
            let is_told = problems.iter().any(|problem| problem.path == path);
            if after.find(name).is_err() && !after.is_put(name) && !is_told {
                problems.push(after.missing(path, name, self.place.into()));
            }
        }
    }

    /// A group that stays as it is must not lose a member.
    fn refuse_dangling(&self, after: &After<S>, problems: &mut Vec<Problem>) {
        if after.removed.is_empty() {
            return;
        }
        for (_, slot) in after.now.sorted() {
            let Some(group) = slot.group() else { continue };
            if after.put.contains(slot.name.as_str())
                || after.removed.contains(slot.name.as_str())
                || group.is_of_all()
            {
                continue;
            }
            for member in group.members() {
                if after.removed.contains(member.instance()) {
                    let path = format!("{}.{}", S::NAME, member.instance());
                    let message = format!(
                        "it cannot be removed, the group \"{}\" has it as a member",
                        slot.name
                    );
                    problems.push(
                        Problem::new(path, self.place.into(), message)
                            .with_hint("remove the group as well, or give it other members"),
                    );
                }
            }
        }
    }

    /// What stays as it is must not lose what it was built with.
    fn refuse_bereaved(&self, after: &After<S>, problems: &mut Vec<Problem>) {
        let goes = |(_, slot): &(&str, &Arc<Slot<S>>)| after.removed.contains(slot.name.as_str());
        let now = after.now.sorted();
        let going: BTreeMap<_, _> =
            now.iter().copied().filter(goes).map(|(_, slot)| (slot.id, slot)).collect();
        if going.is_empty() {
            return;
        }
        let creations = self.manager.0.environment.creations();
        let stays = |name: &str| !after.put.contains(name) && !after.removed.contains(name);
        let stays = |slot: &Slot<S>| stays(slot.name.as_str()) && slot.has_driver();
        for (_, user) in now.into_iter().filter(|(_, slot)| stays(slot)) {
            for needed in creations.looked_up(user.id).iter().filter_map(|id| going.get(id)) {
                let path = format!("{}.{}", S::NAME, needed.name);
                let message =
                    format!("it cannot be removed, \"{}\" was built with its help", user.name);
                let hint = "remove that one as well, or give it other settings";
                problems.push(Problem::new(path, self.place.into(), message).with_hint(hint));
            }
        }
    }

    /// A group of all instances has room for so many.
    fn refuse_crowd(&self, steps: &[Step<S>], problems: &mut Vec<Problem>) {
        let changed: BTreeSet<&str> = steps.iter().map(|step| step.name.as_str()).collect();
        let slots = self.manager.0.declared.lock().slots.clone();
        let of_all = |slot: &&Arc<Slot<S>>| slot.group().is_some_and(|group| group.is_of_all());
        let stay = |slot: &&Arc<Slot<S>>| !changed.contains(slot.name.as_str());
        let drivers = slots.iter().filter(stay).filter(|slot| !slot.is_group).count();
        let drivers = drivers + steps.iter().filter(|step| step.is_with_driver()).count();
        if drivers <= Candidates::MEMBERS_MAX {
            return;
        }
        for group in slots.iter().filter(stay).filter(of_all) {
            let message = format!(
                "a group of all instances has room for {} members, not for {drivers}",
                Candidates::MEMBERS_MAX
            );
            problems.push(Problem::new(group.full_name(), self.place.into(), message));
        }
    }

    /// The groups that are put, none before one inside of it; a circle is a mistake.
    fn inner_first(&self, steps: &[Step<S>], problems: &mut Vec<Problem>) -> Vec<usize> {
        let mut nesting = Nesting::new();
        for (_, slot) in self.manager.0.slots.load().sorted() {
            let Some(group) = slot.group() else { continue };
            let members = group.members().iter().map(|member| member.instance().to_owned());
            nesting.put(slot.name.to_string(), members.collect());
        }
        let mut positions = BTreeMap::new();
        for (position, step) in steps.iter().enumerate() {
            match &step.what {
                What::Group(plan) => {
                    let members = plan.members.iter().map(ToString::to_string).collect();
                    nesting.put(step.name.to_string(), members);
                    positions.insert(step.name.to_string(), position);
                }
                What::Driver(_) | What::Remove => nesting.remove(&step.name.to_string()),
                What::Retune(..) | What::Stay => {}
            }
        }
        let found = nesting.walk(positions.keys());
        for (name, circle) in &found.circles {
            let circle = circle.join(" → ");
            problems
                .push(self.at_members(name, format!("a group cannot contain itself: {circle}")));
        }
        for (group, extent) in nesting.too_large(&found) {
            // One that stays is larger because one inside of it is.
            let put = nesting.find_inside(&group, |inside| positions.contains_key(inside));
            let message = format!("{}, \"{group}\" would be more", extent.refusal());
            problems.push(self.at_members(put.as_ref().unwrap_or(&group), message));
        }
        found.order.iter().filter_map(|name| positions.get(name).copied()).collect()
    }

    fn at_members(&self, group: &str, message: String) -> Problem {
        let path = format!("{}.{group}.members", S::NAME);
        Problem::new(path, self.origin_of_members(group), message)
    }

    fn origin_of_members(&self, name: &str) -> Origin {
        let wish = self.wishes.iter().find(|wish| as_compared(&wish.name) == name);
        let Some(Wanted::Put(settings)) = wish.map(|wish| &wish.what) else {
            return self.place.into();
        };
        settings.child("members").map(|node| node.origin().clone()).unwrap_or_default()
    }

    /// What is wrong with one wish, each mistake at its place.
    fn problems_of(&self, error: &Error, wish: &Wish) -> Vec<Problem> {
        if let Some(problems) = error.find::<Problems>() {
            let related = error.related().iter();
            let related = related.flat_map(|related| self.problems_of(related, wish));
            return problems.iter().cloned().chain(related).collect();
        }
        let origin = match &wish.what {
            Wanted::Put(settings) | Wanted::Retune(settings) => {
                let node = settings.child("driver").or_else(|| settings.child("url"));
                node.map_or(settings.origin(), |node| node.origin()).clone()
            }
            Wanted::Remove => self.place.into(),
        };
        let path = format!("{}.{}", S::NAME, shortened(&as_compared(&wish.name)));
        let known = ["instance", "at", "subsystem", "place"];
        let context = error.context().filter(|(key, _)| !known.contains(key));
        let context: Vec<_> = context.map(|(key, value)| format!("{key}: {value}")).collect();
        let message = match context.as_slice() {
            [] => error.message().to_owned(),
            _ => format!("{} ({})", error.message(), context.join(", ")),
        };
        let hint = error.hints().collect::<Vec<_>>().join("; ");
        let problem = Problem::new(path, origin, message);
        let problem = if hint.is_empty() { problem } else { problem.with_hint(hint) };
        let related = error.related().iter();
        let related = related.flat_map(|related| self.problems_of(related, wish));
        [problem].into_iter().chain(related).collect()
    }
}

impl<S: Subsystem> Step<S> {
    fn is_with_driver(&self) -> bool {
        match &self.what {
            What::Driver(_) => true,
            What::Group(_) | What::Remove => false,
            What::Retune(..) | What::Stay => self.there.as_ref().is_some_and(|slot| !slot.is_group),
        }
    }
}

/// The instances that there will be.
struct After<S: Subsystem> {
    now: Arc<NameTable<Arc<Slot<S>>>>,
    put: BTreeSet<String>,
    removed: BTreeSet<String>,
    meant: Meant,
}

impl<S: Subsystem> After<S> {
    fn of(change: &Change<S>) -> Self {
        let (mut put, mut removed) = (BTreeSet::new(), BTreeSet::new());
        for wish in &change.wishes {
            match wish.what {
                Wanted::Put(_) => put.insert(as_compared(&wish.name)),
                Wanted::Remove => removed.insert(as_compared(&wish.name)),
                Wanted::Retune(_) => false,
            };
        }
        Self { now: change.manager.0.slots.load_full(), put, removed, meant: Meant::default() }
    }

    fn is_put(&self, asked: &str) -> bool {
        self.put.contains(&as_compared(asked))
    }

    /// The mistake of naming an instance that will not be there.
    fn missing(&self, path: String, asked: &str, origin: Origin) -> Problem {
        let message = Name::told(asked, "the name of an instance", |asked| {
            format!("no instance called {asked:?} will be there")
        });
        let problem = Problem::new(path, origin, message).of_kind(ProblemKind::Unknown);
        match self.meant.nearest(asked, || self.names()) {
            Some(meant) => problem.with_hint(format!("did you mean {meant:?}?")),
            None => problem,
        }
    }
}

impl<S: Subsystem> Eligible for After<S> {
    fn find(&self, asked: &str) -> Result<Name, &'static str> {
        let compared = as_compared(asked);
        if self.removed.contains(&compared) {
            return Err("the same change removes it");
        }
        if let Some(slot) = self.now.find(asked) {
            return Ok(slot.name.clone());
        }
        let advice = "declare it before, or in the same change";
        if self.put.contains(&compared) {
            Name::parse(asked).map_err(|_| advice)
        } else {
            Err(advice)
        }
    }

    fn names(&self) -> Vec<String> {
        let there = self.now.sorted().into_iter().map(|(name, _)| name.to_owned());
        let put = self.put.iter().filter(|name| Name::parse(name).is_ok()).cloned();
        let all: BTreeSet<_> = there.chain(put).collect();
        all.difference(&self.removed).cloned().collect()
    }

    fn meant(&self) -> &Meant {
        &self.meant
    }
}

fn full_path<S: Subsystem>(name: &Name) -> String {
    format!("{}.{name}", S::NAME)
}
