//! Where the memories of providers are kept: apart from the providers, under a key.
//!
//! What a context means is not known here.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use switchboard_core::{Clock, Error, ErrorKind, Health, Lifecycle, Reply, Result};

/// Keeps contexts of type `T` under keys.
///
/// What is loaded or saved is detached: it shares nothing with what is kept, so that whoever changes
/// a context it loaded changes nothing until it saves it. A store that keeps contexts encoded cannot
/// do it wrong; one that keeps them as they are and clones them can, as soon as a `T` holds an `Arc`.
pub trait ContextStore<T>: Lifecycle {
    /// The context under `key`; `None` where none was saved, or its time is over.
    fn load<'a>(&'a self, key: &'a str) -> Reply<'a, Option<T>>;

    /// Keeps `context` under `key`, in place of what was there, until `ttl` has passed.
    ///
    /// Without one it stays until it is deleted, or as long as the store keeps anything. What could
    /// not be loaded again is refused as `InvalidInput`, and what was there stays as it was.
    fn save<'a>(&'a self, key: &'a str, context: T, ttl: Option<Duration>) -> Reply<'a, ()>;

    /// Forgets what is under `key`. That nothing is there is no error.
    fn delete<'a>(&'a self, key: &'a str) -> Reply<'a, ()>;
}

impl<T, S: ContextStore<T> + ?Sized> ContextStore<T> for Arc<S> {
    fn load<'a>(&'a self, key: &'a str) -> Reply<'a, Option<T>> {
        self.as_ref().load(key)
    }

    fn save<'a>(&'a self, key: &'a str, context: T, ttl: Option<Duration>) -> Reply<'a, ()> {
        self.as_ref().save(key, context, ttl)
    }

    fn delete<'a>(&'a self, key: &'a str) -> Reply<'a, ()> {
        self.as_ref().delete(key)
    }
}

/// Contexts in the memory of the process, bounded by number and bytes.
///
/// They are kept as JSON, which is what makes them detached whatever a `T` is made of, and lets
/// nothing in that a store outside of the process could not keep. What is saved is read back at once,
/// so that a number that is not finite, which JSON writes as `null`, is refused and not found to be
/// corrupt at each later load. Inside of an `Option` it is read as `None`, and so is a `Some(None)`:
/// JSON cannot tell them apart. Where there is no room, those whose time is over go first, then those
/// used longest ago.
///
/// ```
/// use std::time::Duration;
/// use switchboard_core::Clock;
/// use switchboard_provider::{ContextStore, MemoryContexts};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> switchboard_core::Result<()> {
/// let contexts = MemoryContexts::<Vec<String>>::new(Clock::system());
/// contexts.save("ada", vec!["hello".to_owned()], Some(Duration::from_secs(60))).await?;
/// assert_eq!(contexts.load("ada").await?, Some(vec!["hello".to_owned()]));
///
/// tokio::time::advance(Duration::from_secs(60)).await;
/// assert_eq!(contexts.load("ada").await?, None);
/// # Ok(()) }
/// ```
pub struct MemoryContexts<T> {
    drawer: Mutex<Drawer>,
    entries_max: NonZeroUsize,
    bytes_max: usize,
    clock: Clock,
    /// Holds no `T`, so it is as sendable as bytes.
    contexts: PhantomData<fn() -> T>,
}

/// The encoded contexts, and in which order they go. Never held while anything is coded.
#[derive(Default)]
struct Drawer {
    entries: HashMap<Arc<str>, Entry>,
    /// The one used longest ago comes first.
    by_use: BTreeMap<u64, Arc<str>>,
    /// The one that ends next comes first.
    by_end: BTreeSet<(Instant, Arc<str>)>,
    bytes: usize,
    uses: u64,
}

struct Entry {
    context: Arc<[u8]>,
    end: Option<Instant>,
    used: u64,
}

impl<T> MemoryContexts<T> {
    /// How many contexts are kept, where nobody set a limit.
    pub const ENTRIES_MAX: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

    /// How many bytes all of them may take with their keys, where nobody set a limit.
    pub const BYTES_MAX: usize = 64 * 1024 * 1024;

    /// An empty store.
    pub fn new(clock: Clock) -> Self {
        Self {
            drawer: Mutex::default(),
            entries_max: Self::ENTRIES_MAX,
            bytes_max: Self::BYTES_MAX,
            clock,
            contexts: PhantomData,
        }
    }

    /// The same, that keeps no more than so many contexts.
    #[must_use]
    pub fn with_entries_max(self, entries_max: NonZeroUsize) -> Self {
        Self { entries_max, ..self }
    }

    /// The same, whose contexts take no more than so many bytes in all. One that alone takes more is
    /// refused as `TooLarge`.
    #[must_use]
    pub fn with_bytes_max(self, bytes_max: usize) -> Self {
        Self { bytes_max, ..self }
    }

    /// How many contexts are kept, those included whose time is over and that nobody asked for since.
    pub fn entries(&self) -> usize {
        self.drawer().entries.len()
    }

    fn put(&self, key: &str, context: Vec<u8>, ttl: Option<Duration>) -> Result<()> {
        let bytes = size_of_entry(key, &context);
        if bytes > self.bytes_max {
            return Err(Error::new(ErrorKind::TooLarge, "the context is larger than the store")
                .with_context("bytes", bytes)
                .with_context("bytes_max", self.bytes_max));
        }
        let now = self.clock.now();
        // A time that cannot be represented never comes.
        let end = ttl.and_then(|ttl| now.checked_add(ttl));
        let mut drawer = self.drawer();
        drawer.remove(key);
        drawer.remove_ended(now);
        drawer.make_room(self.entries_max.get() - 1, self.bytes_max - bytes);
        drawer.insert(key.into(), context.into(), end);
        Ok(())
    }

    fn drawer(&self) -> MutexGuard<'_, Drawer> {
        // Nothing that could panic is done while it is held.
        self.drawer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Serialize + DeserializeOwned + 'static> ContextStore<T> for MemoryContexts<T> {
    fn load<'a>(&'a self, key: &'a str) -> Reply<'a, Option<T>> {
        let found = self.drawer().find(key, self.clock.now());
        Reply::ready(found.map(|context| decode(&context)).transpose())
    }

    fn save<'a>(&'a self, key: &'a str, context: T, ttl: Option<Duration>) -> Reply<'a, ()> {
        Reply::ready(encode(&context).and_then(|context| self.put(key, context, ttl)))
    }

    fn delete<'a>(&'a self, key: &'a str) -> Reply<'a, ()> {
        self.drawer().remove(key);
        Reply::ready(Ok(()))
    }
}

impl<T: 'static> Lifecycle for MemoryContexts<T> {
    fn health(&self) -> Reply<'_, Health> {
        Reply::ready(Ok(Health::up()))
    }
}

impl<T> fmt::Debug for MemoryContexts<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let drawer = self.drawer();
        f.debug_struct("MemoryContexts")
            .field("entries", &drawer.entries.len())
            .field("entries_max", &self.entries_max)
            .field("bytes", &drawer.bytes)
            .field("bytes_max", &self.bytes_max)
            .finish_non_exhaustive()
    }
}

impl Drawer {
    /// The context under `key`, which is now the one used last.
    fn find(&mut self, key: &str, now: Instant) -> Option<Arc<[u8]>> {
        let entry = self.entries.get_mut(key)?;
        if entry.end.is_some_and(|end| end <= now) {
            self.remove(key);
            return None;
        }
        let context = entry.context.clone();
        self.uses += 1;
        let used = std::mem::replace(&mut entry.used, self.uses);
        if let Some(key) = self.by_use.remove(&used) {
            self.by_use.insert(self.uses, key);
        }
        Some(context)
    }

    /// Adds what is not there.
    fn insert(&mut self, key: Arc<str>, context: Arc<[u8]>, end: Option<Instant>) {
        self.uses += 1;
        self.bytes += size_of_entry(&key, &context);
        self.by_use.insert(self.uses, key.clone());
        self.by_end.extend(end.map(|end| (end, key.clone())));
        self.entries.insert(key, Entry { context, end, used: self.uses });
    }

    fn remove(&mut self, key: &str) {
        let Some((key, entry)) = self.entries.remove_entry(key) else { return };
        self.bytes -= size_of_entry(&key, &entry.context);
        self.by_use.remove(&entry.used);
        if let Some(end) = entry.end {
            self.by_end.remove(&(end, key));
        }
    }

    fn remove_ended(&mut self, now: Instant) {
        while let Some((_, key)) = self.by_end.first().filter(|(end, _)| *end <= now).cloned() {
            self.remove(&key);
        }
    }

    /// Removes what was used longest ago until no more than so many entries and bytes are left.
    fn make_room(&mut self, entries_left: usize, bytes_left: usize) {
        while self.entries.len() > entries_left || self.bytes > bytes_left {
            let Some((_, key)) = self.by_use.pop_first() else { return };
            self.remove(&key);
        }
    }
}

fn size_of_entry(key: &str, context: &[u8]) -> usize {
    key.len().saturating_add(context.len())
}

/// The context as it is kept, if it can be read back.
fn encode<T: Serialize + DeserializeOwned>(context: &T) -> Result<Vec<u8>> {
    let refused = |message, error| Error::new(ErrorKind::InvalidInput, message).with_source(error);
    let encoded = serde_json::to_vec(context)
        .map_err(|error| refused("the context cannot be encoded", error))?;
    // Not all that can be written can be read: a number that is not finite, what is nested too deep.
    serde_json::from_slice::<T>(&encoded)
        .map_err(|error| refused("the context could not be read back", error))?;
    Ok(encoded)
}

fn decode<T: DeserializeOwned>(context: &[u8]) -> Result<T> {
    serde_json::from_slice(context).map_err(|error| {
        Error::new(ErrorKind::Corrupt, "the context cannot be decoded")
            .with_source(error)
            .with_hint("it could be read when it was saved; delete it")
    })
}
