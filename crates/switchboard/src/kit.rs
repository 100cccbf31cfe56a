//! The subsystems of a board before it is built: a registry each, for the application to add to.
//!
//! Sees to it that each has a name of its own, and that no drivers are lost on the way.

use std::any::Any;
use std::panic::Location;
use std::sync::Arc;

use switchboard_core::{Environment, Error, ErrorKind, Manager, Name, Registry, Result, Subsystem};

use crate::wanted::OWN_SECTIONS;
use crate::wired::Wired;

/// One subsystem of a board that is not built yet, whatever its contract.
pub(crate) trait Kit: Any + Send + Sync {
    fn subsystem(&self) -> &'static str;

    /// A manager of its own, over the same drivers.
    fn wire(&self, environment: &Environment) -> Result<Arc<dyn Wired>>;
}

impl<S: Subsystem> Kit for Registry<S> {
    fn subsystem(&self) -> &'static str {
        S::NAME
    }

    fn wire(&self, environment: &Environment) -> Result<Arc<dyn Wired>> {
        Ok(Arc::new(Manager::new(self.clone(), environment)?))
    }
}

/// All subsystems of a board that is not built yet, in the order in which they were added.
#[derive(Default)]
pub(crate) struct Kits(Vec<Added>);

struct Added {
    kit: Box<dyn Kit>,
    place: &'static Location<'static>,
    /// Where it was given drivers that did not come with the subsystem.
    filled_at: Option<&'static Location<'static>>,
}

impl Kits {
    /// Adds a subsystem with the drivers that come with it.
    pub(crate) fn add<S: Subsystem>(&mut self, place: &'static Location<'static>) -> Result<()> {
        check_name(S::NAME, place)?;
        if let Some(added) = self.named(S::NAME) {
            return Err(added.taken(added.place, place));
        }
        let kit = Box::new(Registry::<S>::with_built_ins()?);
        self.0.push(Added { kit, place, filled_at: None });
        Ok(())
    }

    /// Adds a subsystem with the drivers of `registry`, or gives it these instead of the ones that
    /// come with it.
    pub(crate) fn put<S: Subsystem>(
        &mut self,
        registry: Registry<S>,
        place: &'static Location<'static>,
    ) -> Result<()> {
        check_name(S::NAME, place)?;
        let put = Added { kit: Box::new(registry), place, filled_at: Some(place) };
        match self.0.iter_mut().find(|added| added.kit.subsystem() == S::NAME) {
            None => self.0.push(put),
            Some(added) if !is_of::<S>(added.kit.as_ref()) => {
                return Err(added.taken(added.place, place));
            }
            Some(added) => match added.filled_at {
                Some(filled_at) => return Err(added.taken(filled_at, place)),
                None => *added = put,
            },
        }
        Ok(())
    }

    /// Adds drivers to a subsystem that was added.
    pub(crate) fn fill<S: Subsystem>(
        &mut self,
        register: impl FnOnce(&Registry<S>) -> Result<()>,
        place: &'static Location<'static>,
    ) -> Result<()> {
        let known = self.names().join(", ");
        let mut added = self.0.iter_mut();
        let found = added.find_map(|added| {
            let registry = (added.kit.as_ref() as &dyn Any).downcast_ref::<Registry<S>>()?;
            added.filled_at.get_or_insert(place);
            Some(registry)
        });
        register(found.ok_or_else(|| unknown(S::NAME, &known, place))?)
    }

    /// A manager for each.
    pub(crate) fn wire(&self, environment: &Environment) -> Result<Vec<Arc<dyn Wired>>> {
        self.0.iter().map(|added| added.kit.wire(environment)).collect()
    }

    /// The name of each, and the line of code that added it.
    pub(crate) fn places(
        &self,
    ) -> impl Iterator<Item = (&'static str, &'static Location<'static>)> {
        self.0.iter().map(|added| (added.kit.subsystem(), added.place))
    }

    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|added| added.kit.subsystem()).collect()
    }

    fn named(&self, name: &str) -> Option<&Added> {
        self.0.iter().find(|added| added.kit.subsystem() == name)
    }
}

impl Added {
    #[cold]
    fn taken(&self, first: &Location<'_>, second: &Location<'_>) -> Error {
        Error::new(ErrorKind::AlreadyExists, "the board has a subsystem of that name already")
            .with_context("subsystem", self.kit.subsystem())
            .with_context("first", first)
            .with_context("second", second)
            .with_hint("add each subsystem once; `drivers` adds drivers to one that is there")
    }
}

/// Names are keys of the configuration, some of which have a meaning of their own.
fn check_name(name: &'static str, place: &Location<'_>) -> Result<()> {
    let refused = |why: &'static str| {
        Err(Error::new(ErrorKind::InvalidInput, why)
            .with_context("subsystem", name)
            .with_context("place", place))
    };
    if OWN_SECTIONS.contains(&name) {
        return refused("a subsystem is called like a section of the board itself");
    }
    match Name::parse(name) {
        Ok(parsed) if parsed.as_str() == name => Ok(()),
        _ => {
            refused("the name of a subsystem is not one in lower-case letters, digits, '-' and '_'")
        }
    }
}

#[cold]
fn unknown(name: &str, known: &str, place: &Location<'_>) -> Error {
    Error::new(ErrorKind::NotRegistered, "the board has no such subsystem to add drivers to")
        .with_context("subsystem", name)
        .with_context("available", known)
        .with_context("place", place)
        .with_hint("say `subsystem` to the builder before `drivers`")
}

fn is_of<S: Subsystem>(kit: &dyn Kit) -> bool {
    (kit as &dyn Any).is::<Registry<S>>()
}
