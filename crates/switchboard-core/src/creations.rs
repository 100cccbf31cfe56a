//! Who waits for whom while instances are being created, and who depends on whom afterwards.
//!
//! A creation that looks up an instance waits for it. When the one looked up waits, directly or
//! through others, for the one that asks, nobody would ever go on: that is an error at once. The
//! same look-ups are remembered as dependencies, so that closing happens in the right order. A
//! closing that waits for the closing of another manager is seen in the same way.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::sync::Mutex;
use crate::{Error, ErrorKind, Result};

/// The number of a slot, unique in the process; zero is no slot.
pub(crate) type SlotId = u64;

/// A number no other slot or manager has.
pub(crate) fn unique_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// All waiting and depending among the instances of one environment.
#[derive(Clone, Default)]
pub(crate) struct Creations(Arc<Mutex<Graph>>);

#[derive(Default)]
struct Graph {
    /// The slot being created, or the manager being closed → those it waits for, with how often.
    waiting: BTreeMap<SlotId, Vec<SlotId>>,
    /// The slot → those that a creation of it has looked up so far.
    asked: BTreeMap<SlotId, BTreeSet<SlotId>>,
    /// The slot → those that were looked up for the driver it has.
    depends: BTreeMap<SlotId, BTreeSet<SlotId>>,
    names: BTreeMap<SlotId, String>,
}

impl Creations {
    /// Says that the creation of `asking` needs `asked`, until the guard is dropped.
    ///
    /// An error if `asked` is itself waiting for `asking`.
    pub(crate) fn wait(
        &self,
        asking: SlotId,
        asked: SlotId,
        name: &dyn fmt::Display,
    ) -> Result<Waiting> {
        let mut graph = self.0.lock();
        graph.names.insert(asked, name.to_string());
        if let Some(path) = graph.path(asked, asking) {
            let circle = graph.describe(asking, &path);
            return Err(Error::new(ErrorKind::Config, "instances need each other in a circle")
                .with_context("circle", circle)
                .with_hint("let one of them look the other up when it is first used"));
        }
        graph.waiting.entry(asking).or_default().push(asked);
        graph.asked.entry(asking).or_default().insert(asked);
        Ok(Waiting { creations: self.clone(), asking, asked })
    }

    /// Says that `asking` waits for `asked`, of which at least one is a manager being closed, until
    /// the guard is dropped; `None` if that one is itself waiting for this one.
    pub(crate) fn wait_for_closing(&self, asking: u64, asked: u64) -> Option<Waiting> {
        let mut graph = self.0.lock();
        if graph.path(asked, asking).is_some() {
            return None;
        }
        graph.waiting.entry(asking).or_default().push(asked);
        Some(Waiting { creations: self.clone(), asking, asked })
    }

    /// Remembers that the creation of `asking`, if there is one, was given `asked`.
    pub(crate) fn depend(&self, asking: SlotId, asked: SlotId) {
        if asking != 0 {
            self.0.lock().asked.entry(asking).or_default().insert(asked);
        }
    }

    /// Says that a creation of `slot` begins; what it depends on stays as it is until `settle`.
    pub(crate) fn begin(&self, slot: SlotId, name: &dyn fmt::Display) {
        let mut graph = self.0.lock();
        graph.asked.remove(&slot);
        graph.names.insert(slot, name.to_string());
    }

    /// Says that what was created last serves: `slot` depends on what was looked up for that.
    pub(crate) fn settle(&self, slot: SlotId) {
        let mut graph = self.0.lock();
        let asked = graph.asked.remove(&slot).unwrap_or_default();
        graph.depends.insert(slot, asked);
    }

    /// Forgets everything about `slot`.
    pub(crate) fn forget(&self, slot: SlotId) {
        let mut graph = self.0.lock();
        graph.asked.remove(&slot);
        graph.depends.remove(&slot);
        graph.names.remove(&slot);
    }

    /// Whether `slot` was built with the help of `other`, directly or through others.
    pub(crate) fn depends_on(&self, slot: SlotId, other: SlotId) -> bool {
        self.needs(slot).contains(&other)
    }

    /// Those that `slot` was built with the help of, directly or through others.
    pub(crate) fn needs(&self, slot: SlotId) -> BTreeSet<SlotId> {
        let graph = self.0.lock();
        let mut open = vec![slot];
        let mut seen = BTreeSet::new();
        while let Some(next) = open.pop() {
            let needed = graph.depends.get(&next).into_iter().flatten();
            open.extend(needed.copied().filter(|needed| seen.insert(*needed)));
        }
        seen
    }

    /// Those that the creation of `slot` itself has looked up.
    pub(crate) fn looked_up(&self, slot: SlotId) -> BTreeSet<SlotId> {
        self.0.lock().depends.get(&slot).cloned().unwrap_or_default()
    }
}

impl Graph {
    /// The slots from `from` to `to` along the waiting, both included.
    fn path(&self, from: SlotId, to: SlotId) -> Option<Vec<SlotId>> {
        let mut paths = vec![vec![from]];
        let mut seen = BTreeSet::from([from]);
        while let Some(path) = paths.pop() {
            let last = *path.last()?;
            if last == to {
                return Some(path);
            }
            for next in self.waiting.get(&last).into_iter().flatten() {
                if seen.insert(*next) {
                    paths.push(path.iter().copied().chain([*next]).collect());
                }
            }
        }
        None
    }

    fn describe(&self, asking: SlotId, path: &[SlotId]) -> String {
        let name = |slot: &SlotId| self.names.get(slot).map_or("?", String::as_str);
        let steps: Vec<&str> = [asking].iter().chain(path).map(name).collect();
        steps.join(" → ")
    }
}

/// A creation that waits for another instance, or a closing that waits for another one.
pub(crate) struct Waiting {
    creations: Creations,
    asking: SlotId,
    asked: SlotId,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut graph = self.creations.0.lock();
        let Some(waiting) = graph.waiting.get_mut(&self.asking) else { return };
        if let Some(position) = waiting.iter().position(|slot| *slot == self.asked) {
            waiting.swap_remove(position);
        }
        if waiting.is_empty() {
            graph.waiting.remove(&self.asking);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_of_any_length_is_an_error_with_its_path() {
        let creations = Creations::default();
        creations.begin(1, &"a");
        let _a_needs_b = creations.wait(1, 2, &"b").unwrap();
        let _b_needs_c = creations.wait(2, 3, &"c").unwrap();
        let error = creations.wait(3, 1, &"a").map(drop).unwrap_err();
        assert_eq!(error.context_value("circle"), Some("c → a → b → c"));
        assert!(creations.wait(1, 1, &"a").is_err(), "of itself");
    }

    #[test]
    fn what_is_no_longer_waited_for_closes_no_circle() {
        let creations = Creations::default();
        drop(creations.wait(1, 2, &"b").unwrap());
        assert!(creations.wait(2, 1, &"a").is_ok());
        creations.settle(1);
        assert!(creations.depends_on(1, 2), "but it stays a dependency");
    }

    #[test]
    fn a_creation_that_comes_to_nothing_changes_no_dependency() {
        let creations = Creations::default();
        drop(creations.wait(1, 2, &"b").unwrap());
        creations.settle(1);
        creations.begin(1, &"a");
        drop(creations.wait(1, 3, &"c").unwrap());
        assert!(creations.depends_on(1, 2) && !creations.depends_on(1, 3));
        creations.settle(1);
        assert!(creations.depends_on(1, 3) && !creations.depends_on(1, 2));
    }
}
