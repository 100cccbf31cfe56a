//! Two names for one database: each has a pool of its own, which is rarely what was meant.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use switchboard_core::Name;

use crate::Engine;

/// The instances that one driver has made, by what they are instances of.
#[derive(Default)]
pub(crate) struct Neighbours(Mutex<HashMap<String, Vec<Neighbour>>>);

struct Neighbour {
    name: Name,
    engine: Weak<Engine>,
}

impl Neighbours {
    /// `name` serves what is at `place` from now on. Who does that already under another name is told of, once.
    pub(crate) fn enter(&self, place: String, name: &Name, engine: &Arc<Engine>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, there| {
            there.retain(|neighbour| neighbour.engine.strong_count() > 0);
            !there.is_empty()
        });
        let there = all.entry(place).or_default();
        let is_news = there.iter().all(|neighbour| neighbour.name != *name);
        let other = there.iter().find(|neighbour| neighbour.name != *name && neighbour.is_open());
        if let Some(other) = other.filter(|_| is_news) {
            tracing::warn!(
                target: "switchboard::database",
                instance = %name,
                other = %other.name,
                "two instances are the same database, and each has a pool of its own"
            );
        }
        there.retain(|neighbour| neighbour.name != *name);
        there.push(Neighbour { name: name.clone(), engine: Arc::downgrade(engine) });
    }
}

impl Neighbour {
    fn is_open(&self) -> bool {
        self.engine.upgrade().is_some_and(|engine| !engine.is_closed())
    }
}
