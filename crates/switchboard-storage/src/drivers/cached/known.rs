//! Which version an object has, for as long as that may be told without asking.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;
use switchboard_core::Clock;

use super::Validate;
use crate::{Key, Meta};

/// What was told of objects.
pub(super) struct Known {
    validate: Validate,
    ttl: Duration,
    clock: Clock,
    told: Cache<String, (Meta, Instant)>,
    /// How often something was written under keys of a group: an answer to a question that was asked before
    /// is not remembered after.
    writes: Vec<Mutex<u64>>,
}

/// A question that is on its way.
pub(super) struct Asking<'k> {
    known: &'k Known,
    key: &'k str,
    since: Instant,
    writes: u64,
}

/// A write that is on its way. Nothing that was known before its beginning or its end is known after it, whether
/// it is answered or dropped.
pub(super) struct Writing<'k> {
    known: &'k Known,
    keys: Vec<Key<'k>>,
}

impl Known {
    pub(super) fn new(validate: Validate, ttl: Duration, clock: Clock) -> Self {
        let writes = (0..GROUPS).map(|_| Mutex::new(0)).collect();
        Self { validate, ttl, clock, told: Cache::new(OBJECTS_MAX), writes }
    }

    pub(super) fn find(&self, key: &str) -> Option<Meta> {
        let is_good = |since| match self.validate {
            Validate::Always => false,
            Validate::Ttl => self.clock.now().saturating_duration_since(since) < self.ttl,
            Validate::Never => true,
        };
        self.told.get(key).filter(|(_, since)| is_good(*since)).map(|(meta, _)| meta)
    }

    pub(super) fn asking<'k>(&'k self, key: &'k str) -> Asking<'k> {
        Asking { known: self, key, since: self.clock.now(), writes: *self.writes(key) }
    }

    pub(super) fn writing<'k>(&'k self, keys: impl IntoIterator<Item = Key<'k>>) -> Writing<'k> {
        let writing = Writing { known: self, keys: keys.into_iter().collect() };
        writing.forget();
        writing
    }

    fn writes(&self, key: &str) -> MutexGuard<'_, u64> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let group = usize::try_from(hasher.finish() % GROUPS).unwrap_or(0);
        self.writes[group].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asking<'_> {
    pub(super) fn remember(self, meta: &Meta) {
        if self.known.validate == Validate::Always {
            return;
        }
        let writes = self.known.writes(self.key);
        if *writes == self.writes {
            self.known.told.insert(self.key.to_owned(), (meta.clone(), self.since));
        }
    }
}

impl Writing<'_> {
    fn forget(&self) {
        for key in &self.keys {
            let mut writes = self.known.writes(key.as_str());
            *writes += 1;
            self.known.told.remove(key.as_str());
        }
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.forget();
    }
}

/// Of how many objects it is known which version they have.
const OBJECTS_MAX: usize = 10_000;
const GROUPS: u64 = 64;
