//! Where the configuration comes from, at start and at each reload, and what it changes.

use std::collections::BTreeSet;
use std::sync::Arc;

use switchboard_config::{Loaded, Loader};
use switchboard_core::settings::Node;
use switchboard_core::{Origin, Problem, Result};

use crate::difference::Difference;
use crate::mistakes::Mistakes;
use crate::wanted::{Instance, SectionKind, Wanted, as_compared};
use crate::wired::{Step, Wired, manager_of};

/// What is read, and who else has a section in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Source {
    pub(crate) loader: Loader,
    pub(crate) sections: Vec<SectionKind>,
}

impl Source {
    /// What the configuration asks for, and how that differs from `before`; or all that is wrong
    /// with it.
    pub(crate) fn read(
        &self,
        mut loaded: Loaded,
        before: &Wanted,
        wired: &[Arc<dyn Wired>],
    ) -> Result<(Wanted, Difference)> {
        let is_complete = loaded.is_complete();
        let settings = loaded.settings.clone();
        let (wanted, found) = Wanted::read(settings, &loaded.bases, wired, &self.sections);
        let wanted = Wanted { files: loaded.files.clone(), ..wanted };
        let difference = Difference::between(before, &wanted);
        let broken = members_that_are_broken(&wanted);
        let is_own = |problem: &Problem| {
            !problem.is_of_absence()
                || !broken.contains(&(problem.path.clone(), problem.origin.clone()))
        };
        let of_instances = mistakes_of(&difference, wired, is_complete);
        let of_instances = of_instances.into_iter().filter(is_own);
        let of_bases = mistakes_of_bases(&wanted, wired);
        loaded.add(found.into_iter().chain(of_instances).chain(of_bases).collect());
        if loaded.problems.is_empty() {
            return Ok((wanted, difference));
        }
        Err(Mistakes::new(loaded.problems, loaded.sources).into())
    }
}

/// Where groups name members whose declaration is a mistake itself.
fn members_that_are_broken(wanted: &Wanted) -> BTreeSet<(String, Origin)> {
    let mut found = BTreeSet::new();
    if wanted.broken.is_empty() {
        return found;
    }
    for instance in &wanted.instances {
        let members = instance.settings.child("members").and_then(Node::as_list);
        for (position, node) in members.unwrap_or_default().iter().enumerate() {
            let name = node.as_str().map(as_compared).unwrap_or_default();
            if wanted.broken.contains(&format!("{}.{name}", instance.subsystem)) {
                let path = format!("{}.members[{position}]", instance.full_name());
                found.insert((path, node.origin().clone()));
            }
        }
    }
    found
}

/// What is wrong with bases that nobody extends. What they lack may come from whoever extends them.
fn mistakes_of_bases(wanted: &Wanted, wired: &[Arc<dyn Wired>]) -> Vec<Problem> {
    let of_base = |base: &Instance| {
        let manager = manager_of(wired, base.subsystem)?;
        let put = Step::Put(base.name.clone(), base.settings.clone());
        Some(manager.check(&[put], true))
    };
    let found = wanted.bases.iter().filter_map(of_base).flatten();
    found.filter(|problem| !problem.is_of_absence()).collect()
}

/// What only the managers can tell of the instances.
pub(crate) fn mistakes_of(
    difference: &Difference,
    wired: &[Arc<dyn Wired>],
    is_complete: bool,
) -> Vec<Problem> {
    let of_subsystem = |(subsystem, steps): (&&'static str, &Vec<_>)| {
        let manager = manager_of(wired, subsystem)?;
        Some(manager.check(steps, is_complete))
    };
    difference.steps.iter().filter_map(of_subsystem).flatten().collect()
}
