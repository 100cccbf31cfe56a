//! The buckets of one shard of the keyed limiter: which keys there are, and what each of them owes.
//!
//! A table by hash that can also be walked a few entries at a time, so that what is forgotten along
//! the way is bounded for each call. Knows moments, nothing of quotas, clocks or locks.

use std::borrow::Borrow;

use hashbrown::HashTable;

use crate::sync::atomic::AtomicUsize;
use crate::sync::atomic::Ordering::Relaxed;

/// Keys with their theoretical arrival times.
///
/// Entries lie side by side in no order; `positions` finds them by hash.
#[derive(Debug)]
pub(crate) struct Table<K> {
    entries: Vec<Entry<K>>,
    positions: HashTable<Position>,
    /// The entry that is looked at next.
    hand: usize,
    /// No entry that was forgotten had a later arrival time.
    forgotten: u64,
}

#[derive(Debug)]
struct Entry<K> {
    hash: u64,
    arrival: u64,
    key: K,
}

/// The places that the tables of a limiter share, beside the one that each has to itself.
#[derive(Debug)]
pub(crate) struct Room(AtomicUsize);

/// Where an entry is, until the next one is added or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position(u32);

/// A key that had to go so that another one could be added.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PushedOut<K> {
    pub(crate) key: K,
    /// Whether it still owed something, which is forgotten with it.
    pub(crate) was_busy: bool,
}

/// The idle keys that one call forgets.
pub(crate) type Forgotten<K> = [Option<K>; LOOKED_AT];

impl Room {
    pub(crate) fn new(places: usize) -> Self {
        Self(AtomicUsize::new(places))
    }

    fn take(&self) -> bool {
        let mut left = self.0.load(Relaxed);
        while let Some(fewer) = left.checked_sub(1) {
            match self.0.compare_exchange_weak(left, fewer, Relaxed, Relaxed) {
                Ok(_) => return true,
                Err(seen) => left = seen,
            }
        }
        false
    }

    fn give_back(&self) {
        self.0.fetch_add(1, Relaxed);
    }
}

impl<K> Table<K> {
    pub(crate) fn new() -> Self {
        Self { entries: Vec::new(), positions: HashTable::new(), hand: 0, forgotten: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The arrival time of a key that is not there: it owes no more than those that were forgotten,
    /// which is nothing but to somebody whose clock has gone back.
    #[inline]
    pub(crate) fn arrival_of_unknown(&self) -> u64 {
        self.forgotten
    }

    #[inline]
    pub(crate) fn arrival(&self, position: Position) -> u64 {
        self.entries[position.index()].arrival
    }

    #[inline]
    pub(crate) fn set_arrival(&mut self, position: Position, arrival: u64) {
        self.entries[position.index()].arrival = arrival;
    }

    /// Changes every arrival time.
    pub(crate) fn map_arrivals(&mut self, map: impl Fn(u64) -> u64) {
        for entry in &mut self.entries {
            entry.arrival = map(entry.arrival);
        }
    }

    /// Where `key` is.
    #[inline]
    pub(crate) fn find<Q>(&self, hash: u64, key: &Q) -> Option<Position>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let is_it = |entry: &Entry<K>| entry.hash == hash && entry.key.borrow() == key;
        self.positions.find(hash, |position| is_it(&self.entries[position.index()])).copied()
    }

    /// Adds a key that is not there. Where there is no room, another one goes: of a few, the one
    /// that owes least.
    pub(crate) fn add(
        &mut self,
        hash: u64,
        key: K,
        arrival: u64,
        now: u64,
        room: &Room,
    ) -> Option<PushedOut<K>> {
        let has_room = self.entries.is_empty() || room.take();
        let pushed_out = if has_room { None } else { self.push_out(now) };
        self.insert(Entry { hash, arrival, key });
        pushed_out
    }

    /// Removes an entry.
    pub(crate) fn remove(&mut self, position: Position, room: &Room) -> K {
        let key = self.take_out(position).key;
        // The last one had the place that is the table's own.
        if !self.entries.is_empty() {
            room.give_back();
        }
        key
    }

    /// Looks at the next few entries, and forgets those that have owed nothing since `since`.
    #[inline]
    pub(crate) fn sweep(&mut self, since: u64, room: &Room) -> Forgotten<K> {
        std::array::from_fn(|_| {
            let position = self.at_hand()?;
            if self.arrival(position) > since {
                self.hand += 1;
                return None;
            }
            Some(self.forget(position, room))
        })
    }

    /// Forgets every entry that owes nothing, and gives up the memory that is then too much.
    pub(crate) fn sweep_all(&mut self, now: u64, room: &Room) -> Vec<K> {
        let mut gone = Vec::new();
        let mut index = 0;
        while index < self.entries.len() {
            let position = Position::new(index);
            if self.arrival(position) > now {
                index += 1;
            } else {
                gone.push(self.forget(position, room));
            }
        }
        if self.entries.capacity() > ROOMY * self.entries.len() {
            self.entries.shrink_to_fit();
            let hash_of = |position: &Position| self.entries[position.index()].hash;
            self.positions.shrink_to_fit(hash_of);
        }
        gone
    }

    #[cold]
    fn forget(&mut self, position: Position, room: &Room) -> K {
        self.forgotten = self.forgotten.max(self.arrival(position));
        self.remove(position, room)
    }

    /// Takes out, of a few entries, the one that owes least.
    #[cold]
    fn push_out(&mut self, now: u64) -> Option<PushedOut<K>> {
        let mut least = self.at_hand()?;
        for _ in 0..SAMPLED {
            let position = self.at_hand()?;
            if self.arrival(position) < self.arrival(least) {
                least = position;
            }
            self.hand += 1;
        }
        let Entry { arrival, key, .. } = self.take_out(least);
        let was_busy = arrival > now;
        if !was_busy {
            self.forgotten = self.forgotten.max(arrival);
        }
        Some(PushedOut { key, was_busy })
    }

    fn at_hand(&mut self) -> Option<Position> {
        if self.hand >= self.entries.len() {
            self.hand = 0;
        }
        (!self.entries.is_empty()).then(|| Position::new(self.hand))
    }

    fn insert(&mut self, entry: Entry<K>) {
        let hash = entry.hash;
        let position = Position::new(self.entries.len());
        self.entries.push(entry);
        let hash_of = |position: &Position| self.entries[position.index()].hash;
        self.positions.insert_unique(hash, position, hash_of);
    }

    /// The last entry takes the place of the one that goes.
    fn take_out(&mut self, position: Position) -> Entry<K> {
        let last = Position::new(self.entries.len() - 1);
        let hash_of = |position: Position| self.entries[position.index()].hash;
        if let Ok(place) = self.positions.find_entry(hash_of(position), |it| *it == position) {
            place.remove();
        }
        if let Some(place) = self.positions.find_mut(hash_of(last), |it| *it == last) {
            *place = position;
        }
        self.entries.swap_remove(position.index())
    }
}

impl Position {
    #[expect(clippy::cast_possible_truncation, reason = "a table holds at most `KEYS_MAX` entries")]
    fn new(index: usize) -> Self {
        Self(index as u32)
    }

    #[inline]
    fn index(self) -> usize {
        self.0 as usize
    }
}

/// How many entries a limiter may be allowed to hold: what 24 bits count.
pub(crate) const KEYS_MAX: usize = (1 << 24) - 1;
/// How many entries are looked at for each that is added, to forget those that are idle: more than one,
/// so that the walk comes round.
pub(crate) const LOOKED_AT: usize = 2;
/// Of how many entries the one goes that owes least, when all places are taken.
const SAMPLED: usize = 8;
/// How many times as many entries as there are may have room, once those that owe nothing have gone.
const ROOMY: usize = 2;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Put { key: u8, arrival: u64 },
        Remove { key: u8 },
        Sweep { since: u64 },
        SweepAll { now: u64 },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let key = 0..60_u8;
        let step = prop_oneof![
            9 => (key.clone(), 0..100_u64).prop_map(|(key, arrival)| Step::Put { key, arrival }),
            3 => key.prop_map(|key| Step::Remove { key }),
            3 => (0..50_u64).prop_map(|since| Step::Sweep { since }),
            1 => (0..100_u64).prop_map(|now| Step::SweepAll { now }),
        ];
        prop::collection::vec(step, 1..200)
    }

    /// Few hashes for many keys, so that most of them lie in each other's way.
    fn hash(key: u8) -> u64 {
        u64::from(key % 7) * 5
    }

    /// That the table holds what the map holds, and each key where a search finds it.
    fn same(table: &Table<u8>, map: &HashMap<u8, u64>) -> bool {
        let found = |key: u8| table.find(hash(key), &key).map(|position| table.arrival(position));
        table.len() == map.len() && (0..=u8::MAX).all(|key| found(key) == map.get(&key).copied())
    }

    proptest! {
        #[test]
        fn a_table_holds_what_a_map_holds(places in 1..80_usize, steps in steps()) {
            let room = Room::new(places - 1);
            let (mut table, mut map) = (Table::new(), HashMap::new());
            for step in steps {
                match step {
                    Step::Put { key, arrival } => {
                        if let Some(position) = table.find(hash(key), &key) {
                            table.set_arrival(position, arrival);
                        } else {
                            let now = 50;
                            let gone = table.add(hash(key), key, arrival, now, &room);
                            prop_assert_eq!(gone.is_some(), map.len() == places);
                            if let Some(gone) = gone {
                                let owed = map.remove(&gone.key).unwrap();
                                prop_assert_eq!(gone.was_busy, owed > now);
                            }
                        }
                        map.insert(key, arrival);
                    }
                    Step::Remove { key } => {
                        let position = table.find(hash(key), &key);
                        prop_assert_eq!(position.is_some(), map.contains_key(&key));
                        if let Some(position) = position {
                            prop_assert_eq!(table.remove(position, &room), key);
                            map.remove(&key);
                        }
                    }
                    Step::Sweep { since } => {
                        for key in table.sweep(since, &room).into_iter().flatten() {
                            let arrival = map.remove(&key).unwrap();
                            prop_assert!(arrival <= since && arrival <= table.arrival_of_unknown());
                        }
                    }
                    Step::SweepAll { now } => {
                        let gone = table.sweep_all(now, &room);
                        let before = map.len();
                        map.retain(|_, arrival| *arrival > now);
                        prop_assert_eq!(gone.len(), before - map.len());
                    }
                }
                prop_assert!(same(&table, &map), "{table:?}\n{map:?}");
                prop_assert!(table.len() <= places);
            }
        }
    }

    #[test]
    fn memory_is_given_up_when_most_keys_have_gone() {
        let room = Room::new(10_000);
        let mut table = Table::new();
        for key in 0..10_000_u64 {
            table.add(key, key, key, 0, &room);
        }
        assert_eq!(table.sweep_all(9_989, &room).len(), 9_990);
        assert!(table.positions.capacity() <= 64 && table.entries.capacity() < 100);
        assert!((9_990..10_000).all(|key| table.find(key, &key).is_some()));
    }

    #[test]
    fn walking_comes_round_while_keys_are_added() {
        let room = Room::new(10_000);
        let mut table = Table::new();
        for key in 0..1_000_u64 {
            table.add(key, key, 1, 0, &room);
        }
        for key in 1_000..2_000 {
            table.add(key, key, 9, 0, &room);
            table.sweep(1, &room);
        }
        assert_eq!(table.len(), 1_000);
    }
}
