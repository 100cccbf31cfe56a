//! A cache in memory, asked as the world asks: few keys often, most keys seldom.
//!
//! Every contender sees the same stream of keys and has room for the same number of entries. A
//! missing value is made and put, as after a read from whatever the cache stands before.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use foyer_memory::{CacheBuilder, EvictionConfig, LruConfig, S3FifoConfig};
use switchboard_cache::{Caches, Ttl};
use switchboard_core::{Environment, Manager, Registry, Settings};

use crate::line::{Contender, Goal, Line, OURS};
use crate::rig::{Rig, Worker, block_on, each_async};

pub fn line() -> Line {
    Line {
        name: "cache",
        about: "Get a value of 100 bytes by a key from a Zipf stream (exponent 0.99, 100 000 \
                keys, room for 12 000), and put it where it is missing.",
        reference: RAW,
        threads: &[1, 4],
        figure: Some("hit ratio"),
        needs: None,
        contenders: vec![
            Contender::new(OURS, |_| Cached::new(ours(Ttl::Forever))),
            Contender::new(OURS_EXPIRING, |_| {
                Cached::new(ours(Ttl::after(LIFE).expect("is above zero")))
            }),
            Contender::new(RAW, |_| Cached::new(quick())).of(&["quick_cache"]),
            Contender::new("quick_cache, time to live by hand", |_| {
                Cached::new(Expiring(quick_cache::sync::Cache::new(ROOM)))
            })
            .of(&["quick_cache"]),
            Contender::new("moka sync", |_| Cached::new(moka_sync().build())).of(&["moka"]),
            Contender::new("moka sync, time to live", |_| {
                Cached::new(moka_sync().time_to_live(LIFE).build())
            })
            .of(&["moka"]),
            Contender::new(MOKA_FUTURE, |_| Cached::new(moka_future().build())).of(&["moka"]),
            Contender::new("moka future, time to live", |_| {
                Cached::new(moka_future().time_to_live(LIFE).build())
            })
            .of(&["moka"]),
            Contender::new("mini-moka", |_| Cached::new(mini().build())).of(&["mini-moka"]),
            Contender::new("mini-moka, time to live", |_| {
                Cached::new(mini().time_to_live(LIFE).build())
            })
            .of(&["mini-moka"]),
            Contender::new("foyer, LRU (its default)", |_| {
                Cached::new(foyer(LruConfig::default()))
            })
            .of(&["foyer-memory"]),
            Contender::new("foyer, S3-FIFO", |_| Cached::new(foyer(S3FifoConfig::default())))
                .of(&["foyer-memory"]),
        ],
        goals: vec![
            Goal::times(OURS, 1.30, RAW, 1),
            Goal::times(OURS, 1.30, RAW, 4),
            Goal::times(OURS, 0.33, MOKA_FUTURE, 1),
            Goal::times(OURS, 0.33, MOKA_FUTURE, 4),
            Goal::figure_near_best(OURS, 0.01),
            Goal::times(OURS_EXPIRING, 1.20, OURS, 1),
            Goal::times(OURS_EXPIRING, 1.20, OURS, 4),
        ],
    }
}

/// What every contender can do; asynchronous, because some of them are.
trait Store: Send + Sync + 'static {
    async fn get(&self, key: &str) -> Option<Bytes>;

    async fn put(&self, key: &str, value: Bytes);
}

/// A store under the stream of keys.
struct Cached<S> {
    store: Arc<S>,
}

impl<S: Store> Cached<S> {
    /// Proves that the store keeps what it is given, then hands it to the threads.
    fn new(store: S) -> Self {
        block_on(async {
            assert_eq!(store.get("proof").await, None);
            store.put("proof", Bytes::from_static(b"kept")).await;
            assert_eq!(store.get("proof").await.as_deref(), Some(b"kept".as_slice()));
        });
        Self { store: Arc::new(store) }
    }
}

impl<S: Store> Rig for Cached<S> {
    fn worker(&self, thread: usize) -> Worker {
        let store = Arc::clone(&self.store);
        // Threads begin at places of their own, and each goes on where its last sample ended.
        let mut stream = STREAM.from(thread * STREAM.draws.len() / 4);
        each_async(async move |_| ask(&*store, stream.next().expect("never ends")).await.0)
    }

    /// The share of hits in one pass over the stream, after one to settle.
    fn figure(&self) -> Option<f64> {
        let whole = STREAM.draws.len();
        let mut hits = 0;
        block_on(async {
            for (place, key) in STREAM.from(0).take(2 * whole).enumerate() {
                let (_, hit) = ask(&*self.store, key).await;
                hits += usize::from(hit && place >= whole);
            }
        });
        Some(hits as f64 / whole as f64)
    }
}

/// The value under `key`, put there now if it was missing, and whether it was not.
#[inline]
async fn ask<S: Store>(store: &S, key: &str) -> (Bytes, bool) {
    if let Some(found) = store.get(key).await {
        return (found, true);
    }
    let made = Bytes::copy_from_slice(&[7; VALUE_BYTES]);
    store.put(key, made.clone()).await;
    (made, false)
}

/// The memory driver behind its handle, without a policy.
struct Ours {
    cache: switchboard_cache::Cache,
    ttl: Ttl,
}

fn ours(ttl: Ttl) -> Ours {
    let registry = Registry::with_built_ins().expect("the names differ");
    let manager =
        Manager::<Caches>::new(registry, &Environment::new()).expect("the environment is new");
    let settings = Settings::new().with("driver", "memory").with("max_entries", ROOM as i64);
    manager.configure("main", &settings).expect("the settings are right");
    let cache = block_on(manager.get("main")).expect("the driver is there");
    Ours { cache, ttl }
}

impl Store for Ours {
    async fn get(&self, key: &str) -> Option<Bytes> {
        self.cache.get(key).await.expect("nothing fails")
    }

    async fn put(&self, key: &str, value: Bytes) {
        self.cache.put(key, value, self.ttl).await.expect("nothing fails");
    }
}

fn quick() -> quick_cache::sync::Cache<String, Bytes> {
    quick_cache::sync::Cache::new(ROOM)
}

impl Store for quick_cache::sync::Cache<String, Bytes> {
    async fn get(&self, key: &str) -> Option<Bytes> {
        self.get(key)
    }

    async fn put(&self, key: &str, value: Bytes) {
        self.insert(key.to_owned(), value);
    }
}

/// The least one can add to `quick_cache`, which knows no time: an end beside each value.
struct Expiring(quick_cache::sync::Cache<String, (Instant, Bytes)>);

impl Store for Expiring {
    async fn get(&self, key: &str) -> Option<Bytes> {
        let (end, value) = self.0.get(key)?;
        (Instant::now() < end).then_some(value)
    }

    async fn put(&self, key: &str, value: Bytes) {
        self.0.insert(key.to_owned(), (Instant::now() + LIFE, value));
    }
}

fn moka_sync() -> moka::sync::CacheBuilder<String, Bytes, moka::sync::Cache<String, Bytes>> {
    moka::sync::Cache::builder().max_capacity(ROOM as u64)
}

impl Store for moka::sync::Cache<String, Bytes> {
    async fn get(&self, key: &str) -> Option<Bytes> {
        self.get(key)
    }

    async fn put(&self, key: &str, value: Bytes) {
        self.insert(key.to_owned(), value);
    }
}

fn moka_future() -> moka::future::CacheBuilder<String, Bytes, moka::future::Cache<String, Bytes>> {
    moka::future::Cache::builder().max_capacity(ROOM as u64)
}

impl Store for moka::future::Cache<String, Bytes> {
    async fn get(&self, key: &str) -> Option<Bytes> {
        self.get(key).await
    }

    async fn put(&self, key: &str, value: Bytes) {
        self.insert(key.to_owned(), value).await;
    }
}

fn mini() -> mini_moka::sync::CacheBuilder<String, Bytes, mini_moka::sync::Cache<String, Bytes>> {
    mini_moka::sync::Cache::builder().max_capacity(ROOM as u64)
}

impl Store for mini_moka::sync::Cache<String, Bytes> {
    async fn get(&self, key: &str) -> Option<Bytes> {
        // This one takes no borrowed form of its key but a reference to the same type.
        self.get(&key.to_owned())
    }

    async fn put(&self, key: &str, value: Bytes) {
        self.insert(key.to_owned(), value);
    }
}

fn foyer(eviction: impl Into<EvictionConfig>) -> foyer_memory::Cache<String, Bytes> {
    CacheBuilder::new(ROOM).with_eviction_config(eviction).build()
}

impl Store for foyer_memory::Cache<String, Bytes> {
    async fn get(&self, key: &str) -> Option<Bytes> {
        self.get(key).map(|entry| entry.value().clone())
    }

    async fn put(&self, key: &str, value: Bytes) {
        self.insert(key.to_owned(), value);
    }
}

/// Keys, and the order in which they are asked for.
struct Stream {
    keys: Vec<String>,
    draws: Vec<u32>,
}

impl Stream {
    /// The keys from `place` on, round and round.
    fn from(&'static self, place: usize) -> impl Iterator<Item = &'static str> {
        let (after, before) = (&self.draws[place..], &self.draws[..place]);
        after.iter().chain(before).cycle().map(|draw| self.keys[*draw as usize].as_str())
    }

    /// Draws `draws` of `keys` keys, the one of rank `r` with a weight of `1 / r^exponent`.
    fn zipf(keys: u32, draws: usize, exponent: f64) -> Self {
        let weight = |rank: u32| f64::from(rank).powf(-exponent);
        let sums: Vec<f64> = (1..=keys)
            .scan(0.0, |sum, rank| {
                *sum += weight(rank);
                Some(*sum)
            })
            .collect();
        let whole = sums.last().copied().unwrap_or_default();
        let mut state = 1_u64;
        let draws = (0..draws).map(|_| {
            let place = fraction(&mut state) * whole;
            sums.partition_point(|sum| *sum < place) as u32
        });
        Self {
            keys: (0..keys).map(|key| format!("user:{key:06}")).collect(),
            draws: draws.collect(),
        }
    }
}

/// The next number of a fixed sequence that looks random, from zero up to one (`SplitMix64`).
fn fraction(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

static STREAM: LazyLock<Stream> = LazyLock::new(|| Stream::zipf(100_000, 500_000, 0.99));

const RAW: &str = "quick_cache";
const MOKA_FUTURE: &str = "moka future";
const OURS_EXPIRING: &str = "switchboard, time to live";

const ROOM: usize = 12_000;
const VALUE_BYTES: usize = 100;
const LIFE: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_key_is_drawn_about_twice_as_often_as_the_second() {
        let stream = Stream::zipf(1_000, 100_000, 1.0);
        let drawn = |key| stream.draws.iter().filter(|draw| **draw == key).count() as f64;
        let ratio = drawn(0) / drawn(1);
        assert!((1.9..2.1).contains(&ratio), "{ratio}");
    }
}
