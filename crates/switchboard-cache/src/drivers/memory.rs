//! Keeps values in the memory of the process.
//!
//! What stays when room runs out is decided by `quick_cache` (a relative of S3-FIFO); expiry is our
//! own. Lost when the process ends, and not seen by other processes.

use std::fmt;
use std::time::Instant;

use bytes::Bytes;
use quick_cache::sync::{Cache, DefaultLifecycle, EntryAction, EntryResult};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};
use switchboard_core::settings::ByteSize;
use switchboard_core::{
    Clock, Descriptor, Error, ErrorKind, Health, Lifecycle, Registry, Reply, Result, Support,
};

use crate::driver::{counter_overflow, parse_counter};
use crate::{CacheDriver, Caches, Key, Ttl, capability};

/// A cache in the memory of the process.
///
/// Expired values are never served; the room they take is given back when they are next asked for,
/// or when it is needed. A close keeps what is there until the driver itself is dropped.
pub struct Memory {
    entries: Cache<String, Entry, Weight>,
    clock: Clock,
    /// What one entry may weigh: the part of the room that one shard has.
    weight_max: u64,
}

/// The settings of [`Memory`].
///
/// Both limits hold at once: an entry counts with its bytes, and with at least
/// `max_bytes / max_entries` of them.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MemoryConfig {
    /// How many entries may be kept.
    #[schemars(range(min = 1))]
    pub max_entries: u64,
    /// How much room they may take in bytes: keys, values, and what keeping them costs. The largest
    /// entry takes a part of it, at most 3.9 MB where `max_bytes` is the default.
    #[serde(deserialize_with = "some_bytes")]
    pub max_bytes: ByteSize,
}

/// Refuses a room of no bytes where the setting is read. The schema cannot: it sees a text.
fn some_bytes<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<ByteSize, D::Error> {
    match ByteSize::deserialize(deserializer)? {
        ByteSize(0) => {
            Err(de::Error::custom("must be at least 1B; the driver \"null\" keeps nothing"))
        }
        size => Ok(size),
    }
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self { max_entries: 100_000, max_bytes: ByteSize(64 * 1024 * 1024) }
    }
}

pub(crate) fn register(registry: &Registry<Caches>) -> Result<()> {
    let descriptor = Descriptor::new("memory")
        .summary("In the memory of the process, bounded by entries and bytes")
        .capability(capability::INCREMENT, Support::Native)
        .capability(capability::RETAIN, Support::Native)
        .proven();
    registry.register(descriptor, |config: MemoryConfig, context| async move {
        Memory::new(&config, context.clock().clone())
    })
}

impl Memory {
    /// An empty cache. Limits of nothing are an error.
    pub fn new(config: &MemoryConfig, clock: Clock) -> Result<Self> {
        let max_bytes = config.max_bytes.0;
        for (setting, limit) in [("max_entries", config.max_entries), ("max_bytes", max_bytes)] {
            if limit == 0 {
                return Err(Error::new(ErrorKind::Config, "a limit of the memory cache is zero")
                    .with_context("setting", setting)
                    .with_hint("use the driver \"null\" to keep nothing"));
            }
        }
        let shards = shards(max_bytes, config.max_entries);
        let weight_max = largest_of(max_bytes / shards as u64);
        let least = max_bytes.div_ceil(config.max_entries).min(weight_max);
        let room = OptionsBuilder::new()
            .shards(shards)
            .estimated_items_capacity(usize::try_from(config.max_entries).unwrap_or(usize::MAX))
            .weight_capacity(max_bytes)
            .build()
            .map_err(|error| {
                Error::new(ErrorKind::Config, "the memory cache has no such limits")
                    .with_source(error)
            })?;
        let entries = Cache::with_options(
            room,
            Weight { least },
            DefaultHashBuilder::default(),
            DefaultLifecycle::default(),
        );
        let weight_max = largest_of(entries.shard_capacity());
        Ok(Self { entries, clock, weight_max })
    }

    fn read(&self, key: Key<'_>) -> Option<Bytes> {
        let entry = self.entries.get(key.as_str())?;
        if self.has_expired(&entry) {
            self.entries.remove_if(key.as_str(), |entry| self.has_expired(entry));
            return None;
        }
        Some(entry.value)
    }

    fn write(&self, key: Key<'_>, value: &[u8], ttl: Ttl) -> Result<()> {
        let entry = self.entry(key, value, ttl)?;
        self.entries.insert(key.as_str().to_owned(), entry);
        Ok(())
    }

    fn write_absent(&self, key: Key<'_>, value: &[u8], ttl: Ttl) -> Result<bool> {
        let entry = self.entry(key, value, ttl)?;
        let found = self.entries.entry(key.as_str(), None, |_, there| {
            let has_expired = self.has_expired(there);
            if has_expired {
                *there = entry.clone();
            }
            EntryAction::Retain(has_expired)
        });
        match found {
            EntryResult::Retained(stored) => Ok(stored),
            EntryResult::Vacant(place) => {
                // If the place is gone, a `put` or `forget` came right after this `add`.
                place.insert(entry).ok();
                Ok(true)
            }
            _ => Err(unforeseen()),
        }
    }

    fn count(&self, key: Key<'_>, by: i64, ttl: Ttl) -> Result<i64> {
        let found = self.entries.entry(key.as_str(), None, |_, there| {
            EntryAction::Retain(self.count_in_place(key, there, by, ttl))
        });
        match found {
            EntryResult::Retained(counted) => counted,
            EntryResult::Vacant(place) => {
                let entry = self.entry(key, by.to_string().as_bytes(), ttl)?;
                place.insert(entry).ok();
                Ok(by)
            }
            _ => Err(unforeseen()),
        }
    }

    fn count_in_place(&self, key: Key<'_>, there: &mut Entry, by: i64, ttl: Ttl) -> Result<i64> {
        if self.has_expired(there) {
            *there = self.entry(key, by.to_string().as_bytes(), ttl)?;
            return Ok(by);
        }
        let sum = parse_counter(&there.value)?.checked_add(by).ok_or_else(counter_overflow)?;
        there.value = shareable(sum.to_string().as_bytes());
        Ok(sum)
    }

    fn entry(&self, key: Key<'_>, value: &[u8], ttl: Ttl) -> Result<Entry> {
        let weight = weight_of(key.as_bytes().len(), value.len());
        if weight > self.weight_max {
            return Err(Error::new(
                ErrorKind::TooLarge,
                "the value is larger than the cache takes",
            )
            .with_context("bytes", weight)
            .with_context("bytes_max", self.weight_max)
            .with_hint("raise `max_bytes`"));
        }
        let expires = ttl.duration().map(|time| self.clock.now() + time);
        Ok(Entry { value: shareable(value), expires })
    }

    /// Reads the clock only for a value that can expire.
    #[inline]
    fn has_expired(&self, entry: &Entry) -> bool {
        entry.expires.is_some_and(|expires| self.clock.now() >= expires)
    }
}

impl CacheDriver for Memory {
    #[inline]
    fn get<'a>(&'a self, key: Key<'a>) -> Reply<'a, Option<Bytes>> {
        Reply::ready(Ok(self.read(key)))
    }

    fn get_many<'a>(&'a self, keys: &'a [Key<'a>]) -> Reply<'a, Vec<Option<Bytes>>> {
        Reply::ready(Ok(keys.iter().map(|key| self.read(*key)).collect()))
    }

    fn has<'a>(&'a self, key: Key<'a>) -> Reply<'a, bool> {
        let entry = self.entries.peek(key.as_str());
        Reply::ready(Ok(entry.is_some_and(|entry| !self.has_expired(&entry))))
    }

    fn put<'a>(&'a self, key: Key<'a>, value: &'a [u8], ttl: Ttl) -> Reply<'a, ()> {
        Reply::ready(self.write(key, value, ttl))
    }

    fn put_many<'a>(&'a self, entries: &'a [(Key<'a>, &'a [u8])], ttl: Ttl) -> Reply<'a, ()> {
        Reply::ready(entries.iter().try_for_each(|(key, value)| self.write(*key, value, ttl)))
    }

    fn add<'a>(&'a self, key: Key<'a>, value: &'a [u8], ttl: Ttl) -> Reply<'a, bool> {
        Reply::ready(self.write_absent(key, value, ttl))
    }

    fn forget<'a>(&'a self, key: Key<'a>) -> Reply<'a, bool> {
        let forgotten = self.entries.remove(key.as_str());
        Reply::ready(Ok(forgotten.is_some_and(|(_, entry)| !self.has_expired(&entry))))
    }

    fn flush(&self) -> Reply<'_, ()> {
        self.entries.clear();
        Reply::ready(Ok(()))
    }

    fn increment<'a>(&'a self, key: Key<'a>, by: i64, ttl: Ttl) -> Reply<'a, i64> {
        Reply::ready(self.count(key, by, ttl))
    }
}

impl Lifecycle for Memory {
    fn health(&self) -> Reply<'_, Health> {
        Reply::ready(Ok(Health::up()))
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("entries", &self.entries.len())
            .field("bytes", &self.entries.weight())
            .field("bytes_max", &self.entries.capacity())
            .finish_non_exhaustive()
    }
}

#[derive(Clone)]
struct Entry {
    value: Bytes,
    expires: Option<Instant>,
}

/// What an entry counts.
#[derive(Clone)]
struct Weight {
    least: u64,
}

impl Weighter<String, Entry> for Weight {
    fn weight(&self, key: &String, entry: &Entry) -> u64 {
        weight_of(key.len(), entry.value.len()).max(self.least)
    }
}

fn weight_of(key_bytes: usize, value_bytes: usize) -> u64 {
    let bytes = key_bytes.saturating_add(value_bytes).saturating_add(ENTRY_BYTES);
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// A copy of `value` that no larger buffer stands behind, and that is cloned without allocating.
fn shareable(value: &[u8]) -> Bytes {
    // A buffer with an owner is counted from the start; a plain one would be at its first clone.
    Bytes::from_owner(Box::<[u8]>::from(value))
}

/// Few enough that each holds a value of a few megabytes, and enough that threads do not meet.
fn shards(max_bytes: u64, max_entries: u64) -> usize {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let by_bytes = usize::try_from(max_bytes / SHARD_BYTES_MIN).unwrap_or(usize::MAX);
    let by_entries = usize::try_from(max_entries / SHARD_ENTRIES_MIN).unwrap_or(usize::MAX);
    // The cache below rounds up to a power of two.
    let shards = (threads * 4).min(by_bytes).min(by_entries).max(1);
    if shards.is_power_of_two() { shards } else { shards.next_power_of_two() / 2 }
}

/// What one entry of a shard may weigh. The cache below refuses in silence what takes more than 97 %.
fn largest_of(shard: u64) -> u64 {
    shard - shard / 16
}

#[cold]
fn unforeseen() -> Error {
    Error::new(ErrorKind::Unexpected, "the memory cache answered what it was not asked")
}

/// What keeping an entry costs beside its key and value: its place, its hash, three allocations.
const ENTRY_BYTES: usize = 160;

/// So few entries share a shard that one of them does not push out half of it.
const SHARD_ENTRIES_MIN: u64 = 64;
const SHARD_BYTES_MIN: u64 = 4 * 1024 * 1024;

#[cfg(test)]
crate::conformance::suite!(crate::conformance::Fixture::new(register));

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use switchboard_core::{Environment, Manager, Settings};

    fn memory(max_entries: u64, max_bytes: u64) -> Memory {
        let config = MemoryConfig { max_entries, max_bytes: ByteSize(max_bytes) };
        Memory::new(&config, Clock::system()).unwrap()
    }

    fn key(text: &str) -> Key<'_> {
        Key::parse(text).unwrap()
    }

    #[test]
    fn limits_of_nothing_are_refused() {
        for (max_entries, max_bytes) in [(0, 1), (1, 0)] {
            let config = MemoryConfig { max_entries, max_bytes: ByteSize(max_bytes) };
            let error = Memory::new(&config, Clock::system()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
        }
    }

    #[test]
    fn limits_of_nothing_are_found_when_the_settings_are_checked() {
        let registry = Registry::<Caches>::with_built_ins().unwrap();
        let caches = Manager::new(registry, &Environment::new()).unwrap();
        let nothing = Settings::new().with("max_entries", 0).with("max_bytes", "0B");
        let error = caches.configure("main", &nothing.with("driver", "memory")).unwrap_err();
        let report = format!("{error:?}");
        assert_eq!(error.kind(), ErrorKind::Config, "{report}");
        assert!(report.contains("max_entries") && report.contains("max_bytes"), "{report}");
    }

    #[tokio::test]
    async fn neither_limit_is_exceeded_however_much_is_put() {
        for (max_entries, max_bytes) in [(100, 1 << 20), (100_000, 64 << 10)] {
            let memory = memory(max_entries, max_bytes);
            for number in 0..5_000 {
                let name = number.to_string();
                memory.put(key(&name), &[7; 100], Ttl::Forever).await.unwrap();
            }
            let kept = u64::try_from(memory.entries.len()).unwrap();
            assert!(kept <= max_entries, "{kept} entries of {max_entries}");
            assert!(memory.entries.weight() <= max_bytes, "{memory:?}");
            assert!(kept * 400 >= max_entries.min(max_bytes / 265) * 300, "{kept} is too few");
        }
    }

    #[tokio::test]
    async fn a_value_larger_than_the_cache_is_refused_and_the_largest_is_kept() {
        let memory = memory(10, 10_000);
        let largest = usize::try_from(memory.weight_max).unwrap() - ENTRY_BYTES - 1;
        memory.put(key("k"), &vec![1; largest], Ttl::Forever).await.unwrap();
        assert_eq!(memory.get(key("k")).await.unwrap().map(|value| value.len()), Some(largest));
        for too_large in [largest + 1, 1 << 20] {
            let put = memory.put(key("k"), &vec![2; too_large], Ttl::Forever).await;
            assert_eq!(put.unwrap_err().kind(), ErrorKind::TooLarge);
            let added = memory.add(key("other"), &vec![2; too_large], Ttl::Forever).await;
            assert_eq!(added.unwrap_err().kind(), ErrorKind::TooLarge);
        }
        assert_eq!(memory.get(key("k")).await.unwrap().map(|value| value.len()), Some(largest));
    }

    #[tokio::test]
    async fn the_default_room_takes_a_megabyte_on_any_machine() {
        let config = MemoryConfig::default();
        let memory = memory(config.max_entries, config.max_bytes.0);
        assert!(memory.weight_max > 3_900_000, "{}", memory.weight_max);
    }

    #[tokio::test]
    async fn however_few_entries_may_be_kept_so_many_are() {
        let max_bytes = MemoryConfig::default().max_bytes;
        for max_entries in (1..70).chain([100, 1_000]) {
            let config = MemoryConfig { max_entries, max_bytes };
            let memory = Memory::new(&config, Clock::system()).unwrap();
            for number in 0..3 * max_entries {
                let name = number.to_string();
                memory.put(key(&name), b"here", Ttl::Forever).await.unwrap();
                let kept = memory.get(key(&name)).await.unwrap();
                assert_eq!(kept.as_deref(), Some(&b"here"[..]), "{number} of {max_entries}");
            }
            assert!(memory.entries.len() as u64 <= max_entries, "{max_entries}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_expired_value_gives_its_room_back_when_it_is_asked_for() {
        let memory = memory(10, 10_000);
        let ttl = Ttl::after(Duration::from_secs(1)).unwrap();
        memory.put(key("k"), b"v", ttl).await.unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(memory.entries.len(), 1);
        assert_eq!(memory.get(key("k")).await.unwrap(), None);
        assert_eq!(memory.entries.len(), 0);
    }

    #[tokio::test]
    async fn a_value_that_was_read_does_not_change_with_its_key() {
        let memory = memory(10, 10_000);
        memory.put(key("k"), b"one", Ttl::Forever).await.unwrap();
        let read = memory.get(key("k")).await.unwrap();
        memory.put(key("k"), b"two", Ttl::Forever).await.unwrap();
        memory.flush().await.unwrap();
        assert_eq!(read.as_deref(), Some(&b"one"[..]));
    }
}
