//! A shared value that many threads hold and give back without touching a common counter.
//!
//! Each stripe of threads clones an `Arc` of its own. The counts together say how many holds there
//! are, so the gauge of calls in flight cannot disagree with what keeps a driver alive.

use std::ops::Deref;
use std::sync::{Arc, Weak};

use crate::stripe::{self, Padded};

/// One value, one reference counter per stripe. Cheap to clone; clones share the counters.
pub(crate) struct Sharded<T> {
    shards: Arc<[Arc<Padded<T>>]>,
}

/// Keeps the value alive, and counts as one use of it, until it is dropped.
pub(crate) struct Hold<T>(Arc<Padded<T>>);

/// Counts the holds of a value without keeping it alive.
pub(crate) struct Watch<T>(Box<[Weak<Padded<T>>]>);

impl<T: Clone> Sharded<T> {
    pub(crate) fn new(value: T) -> Self {
        let shards = (0..stripe::count()).map(|_| Arc::new(Padded(value.clone()))).collect();
        Self { shards }
    }
}

impl<T> Sharded<T> {
    #[inline]
    pub(crate) fn hold(&self) -> Hold<T> {
        Hold(self.shards[stripe::index(self.shards.len())].clone())
    }

    /// The value, for as long as the whole is borrowed.
    pub(crate) fn value(&self) -> &T {
        &self.shards[0].0
    }

    /// Counts the holds, also after the last of these has gone.
    pub(crate) fn watch(&self) -> Watch<T> {
        Watch(self.shards.iter().map(Arc::downgrade).collect())
    }
}

impl<T> Watch<T> {
    /// How many holds there are; `kept` says whether the value is still in its place.
    pub(crate) fn holds(&self, kept: bool) -> usize {
        let own = usize::from(kept);
        self.0.iter().map(|shard| shard.strong_count().saturating_sub(own)).sum()
    }
}

impl<T> Clone for Sharded<T> {
    fn clone(&self) -> Self {
        Self { shards: self.shards.clone() }
    }
}

impl<T> Clone for Hold<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Deref for Hold<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_of_all_threads_are_counted_and_the_last_one_frees_the_value() {
        let value = Arc::new(());
        let sharded = Sharded::new(value.clone());
        let watch = sharded.watch();
        std::thread::scope(|scope| {
            let holds: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| sharded.hold()))
                .map(|thread| thread.join().unwrap())
                .collect();
            assert_eq!(watch.holds(true), 8);
            drop(holds);
        });
        let last = sharded.hold();
        drop(sharded);
        assert_eq!(watch.holds(false), 1);
        assert_eq!(Arc::strong_count(&value), 2, "the shard of the last hold keeps it");
        drop(last);
        assert_eq!(Arc::strong_count(&value), 1);
    }
}
