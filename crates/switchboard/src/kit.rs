//! The subsystems of a board before it is built: a registry each, for the application to add to.

use std::any::Any;
use std::sync::Arc;

use switchboard_core::{Environment, Manager, Registry, Result, Subsystem};

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
pub(crate) struct Kits(Vec<Box<dyn Kit>>);

impl Kits {
    /// Adds a subsystem, or gives it another registry.
    pub(crate) fn put<S: Subsystem>(&mut self, registry: Registry<S>) {
        match self.0.iter_mut().find(|kit| is_of::<S>(kit.as_ref())) {
            Some(kit) => *kit = Box::new(registry),
            None => self.0.push(Box::new(registry)),
        }
    }

    /// The registry of a subsystem that was added.
    pub(crate) fn registry<S: Subsystem>(&self) -> Option<&Registry<S>> {
        self.0.iter().find_map(|kit| (kit.as_ref() as &dyn Any).downcast_ref())
    }

    /// A manager for each.
    pub(crate) fn wire(&self, environment: &Environment) -> Result<Vec<Arc<dyn Wired>>> {
        self.0.iter().map(|kit| kit.wire(environment)).collect()
    }

    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|kit| kit.subsystem()).collect()
    }
}

fn is_of<S: Subsystem>(kit: &dyn Kit) -> bool {
    (kit as &dyn Any).is::<Registry<S>>()
}
