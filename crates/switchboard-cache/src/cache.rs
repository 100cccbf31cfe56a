//! What an application holds: the handle of a cache, and everything that can be asked of it.
//!
//! It checks keys, and sees to it that a value under work is made once and never stored late. All
//! else is the line's and the driver's affair.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use switchboard_core::{Error, LeftOut, Line, Op, Outcome, Place, Registry, Result, Subsystem};

use crate::flights::{Boarding, Flights, Job, Making, Written};
use crate::{CacheDriver, Key, Ttl, Typed, drivers};

switchboard_core::operations! {
    /// What a cache can be asked.
    pub mod op {
        GET = "get": Read;
        GET_MANY = "get_many": Read;
        HAS = "has": Read;
        PUT = "put": Idempotent;
        PUT_MANY = "put_many": Idempotent;
        /// Asked again after it worked it answers `false`, which would tell its caller that somebody
        /// else was first. So it is not repeated once it may have happened.
        ADD = "add": Unsafe;
        /// What is left is the same however often it is asked; only the answer differs.
        FORGET = "forget": Idempotent;
        /// What is left is the same however often it is asked; only the answer differs.
        FORGET_MANY = "forget_many": Idempotent;
        FLUSH = "flush": Idempotent;
        INCREMENT = "increment": Unsafe;
    }
}

/// The subsystem of caches. It is only a name and has no values.
#[derive(Debug)]
pub enum Caches {}

impl Subsystem for Caches {
    const NAME: &'static str = "cache";
    type Driver = dyn CacheDriver;
    type Handle = Cache;
    const OPERATIONS: &'static [Op] = op::ALL;
    const LEFT_OUT: &'static [LeftOut] = drivers::LEFT_OUT;

    fn register_built_ins(registry: &Registry<Self>) -> Result<()> {
        drivers::register_built_ins(registry)
    }
}

/// A cache: values under keys, for a time.
///
/// Cheap to clone, and good for the life of the application whichever driver serves it. Values are
/// bytes here; [`typed`](Self::typed) gives a view of values of one type.
///
/// A cache may lose any value at any time. It never serves one that has expired or was forgotten.
///
/// # Sharding
///
/// A group of caches with `select = "hash_by_key"` is one cache whose values are spread over its
/// members: whatever is asked about a key goes to the member that the key belongs to. What spans
/// several keys is then asked key by key, and counted so, some of them at a time;
/// [`flush`](Self::flush) empties every member.
///
/// While a member is gone — found down, ejected, or its breaker open — its keys are with the others.
/// When it comes back it may still have what was replaced or forgotten there meanwhile, and so may a
/// member that a key comes back to after [regrouping](switchboard_core::Manager::regroup). Where that
/// matters, values have a short time to live, or the member is flushed before it returns. A member
/// that is only busy for a moment (a rate limit, no slot, a service that says so) keeps its keys: the
/// call fails, and nothing is stored, counted or forgotten elsewhere. So does a change that met any
/// other outage; what only reads asks the next member then, and may find nothing. Without health
/// checks, ejection or a breaker no member ever counts as gone.
///
/// ```
/// # use switchboard_cache::Caches;
/// # use switchboard_core::{Environment, HashByKey, Manager, Registry, Settings};
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
/// # runtime.block_on(async {
/// # let caches = Manager::<Caches>::new(Registry::with_built_ins()?, &Environment::new())?;
/// for shard in ["east", "west"] {
///     caches.configure(shard, &Settings::new().with("driver", "memory"))?;
/// }
/// caches.group("all", &["east", "west"], HashByKey::new())?;
///
/// let all = caches.handle("all")?;
/// all.forever("user-7", "Ada").await?;
/// assert_eq!(all.get("user-7").await?.as_deref(), Some(&b"Ada"[..]));
/// let (east, west) = (caches.handle("east")?, caches.handle("west")?);
/// assert!(east.has("user-7").await? ^ west.has("user-7").await?, "one of them has it");
/// # Ok::<(), switchboard_core::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Cache {
    line: Line<Caches>,
    /// Shared by all handles of the instance.
    flights: Arc<Flights>,
}

impl From<Line<Caches>> for Cache {
    fn from(line: Line<Caches>) -> Self {
        Self { flights: line.extension(), line }
    }
}

impl Cache {
    /// The line the handle holds: capabilities, figures, who serves.
    pub fn line(&self) -> &Line<Caches> {
        &self.line
    }

    /// A view of this cache in which every value is a `T`, kept as JSON.
    pub fn typed<T>(&self) -> Typed<T> {
        Typed::new(self.clone())
    }

    /// The value under `key`, or `None`.
    #[inline]
    pub async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        let key = self.key(op::GET, key)?;
        let get = |driver: Held| async move { driver.get(key).await };
        self.line.call(self.about(op::GET, key), get).await
    }

    /// The value under each of `keys`, in their order.
    pub async fn get_many(&self, keys: &[impl AsRef<str>]) -> Result<Vec<Option<Bytes>>> {
        let keys = &self.keys(op::GET_MANY, keys)?[..];
        if self.line.chooses_by_key() {
            let mut found = Vec::with_capacity(keys.len());
            for few in keys.chunks(KEYS_AT_ONCE) {
                found.extend(join_all(few.iter().map(|key| self.get(key.as_str()))).await);
            }
            return together(found);
        }
        self.line.call(op::GET_MANY, |driver| async move { driver.get_many(keys).await }).await
    }

    /// Whether a value is under `key`.
    pub async fn has(&self, key: &str) -> Result<bool> {
        let key = self.key(op::HAS, key)?;
        let has = |driver: Held| async move { driver.has(key).await };
        self.line.call(self.about(op::HAS, key), has).await
    }

    /// Stores `value` under `key` for `ttl`, and replaces what was there.
    pub async fn put(&self, key: &str, value: impl AsRef<[u8]>, ttl: Ttl) -> Result<()> {
        let key = self.key(op::PUT, key)?;
        let value = value.as_ref();
        let _writing = self.flights.write(Written::One(key)).await;
        self.put_one(key, value, ttl).await
    }

    /// Stores each value under its key for `ttl`; of equal keys the last counts.
    ///
    /// An error leaves open which of them are stored.
    pub async fn put_many<K, V>(&self, entries: &[(K, V)], ttl: Ttl) -> Result<()>
    where
        K: AsRef<str>,
        V: AsRef<[u8]>,
    {
        let keys = self.keys(op::PUT_MANY, entries.iter().map(|(key, _)| key))?;
        let values = entries.iter().map(|(_, value)| value.as_ref());
        let entries = &keys.iter().copied().zip(values).collect::<Vec<_>>()[..];
        let _writing = self.flights.write(Written::Many(&keys)).await;
        if self.line.chooses_by_key() {
            // Made at the same time, of equal keys any could be the last.
            let last: HashMap<_, _> = entries.iter().copied().collect();
            let (last, mut put) = (last.into_iter().collect::<Vec<_>>(), Vec::new());
            for few in last.chunks(KEYS_AT_ONCE) {
                let few = few.iter().map(|(key, value)| self.put_one(*key, value, ttl));
                put.extend(join_all(few).await);
            }
            return together(put).map(drop);
        }
        let put = |driver: Held| async move { driver.put_many(entries, ttl).await };
        self.line.call(op::PUT_MANY, put).await
    }

    /// Stores `value` under `key` until it is forgotten, replaced or evicted.
    pub async fn forever(&self, key: &str, value: impl AsRef<[u8]>) -> Result<()> {
        self.put(key, value, Ttl::Forever).await
    }

    /// Stores `value` under `key` for `ttl` if nothing is there; `false` leaves all as it is.
    ///
    /// Of any number of callers at once, one gets `true`. It is never asked twice on its own, since
    /// the second answer would be wrong; after an error whose outcome is unknown the caller may or
    /// may not have been the one.
    pub async fn add(&self, key: &str, value: impl AsRef<[u8]>, ttl: Ttl) -> Result<bool> {
        let key = self.key(op::ADD, key)?;
        let value = value.as_ref();
        let _writing = self.flights.write(Written::One(key)).await;
        let add = |driver: Held| async move { driver.add(key, value, ttl).await };
        self.line.call(self.about(op::ADD, key), add).await
    }

    /// Removes what is under `key`; that nothing is there is fine.
    ///
    /// `true` if something was. A retry after a lost answer may say `false` of what it removed.
    pub async fn forget(&self, key: &str) -> Result<bool> {
        let key = self.key(op::FORGET, key)?;
        let _writing = self.flights.write(Written::One(key)).await;
        self.forget_one(key).await
    }

    /// Removes what is under each of `keys`, and says how many were there.
    pub async fn forget_many(&self, keys: &[impl AsRef<str>]) -> Result<usize> {
        let keys = &self.keys(op::FORGET_MANY, keys)?[..];
        let _writing = self.flights.write(Written::Many(keys)).await;
        if self.line.chooses_by_key() {
            let mut forgotten = Vec::with_capacity(keys.len());
            for few in keys.chunks(KEYS_AT_ONCE) {
                forgotten.extend(join_all(few.iter().map(|key| self.forget_one(*key))).await);
            }
            return Ok(together(forgotten)?.into_iter().filter(|was_there| *was_there).count());
        }
        let forget = |driver: Held| async move { driver.forget_many(keys).await };
        self.line.call(op::FORGET_MANY, forget).await
    }

    /// Removes everything in this cache, and nothing else that its service may hold.
    pub async fn flush(&self) -> Result<()> {
        let _writing = self.flights.write(Written::All).await;
        let flush = |driver: Held| async move { driver.flush().await };
        if self.line.chooses_by_key() {
            return self.line.call_all(op::FLUSH, flush).await.map(drop);
        }
        self.line.call(op::FLUSH, flush).await
    }

    /// Adds `by` to the counter under `key` in one step, and answers the sum.
    ///
    /// Where nothing is, the counter begins at zero and lives for `ttl_on_create`; one that is there
    /// keeps its time to live. A value that is no whole number is `PreconditionFailed`, a sum that no
    /// `i64` holds is `InvalidInput`, and both leave the value as it is. Not every driver can count.
    pub async fn increment(&self, key: &str, by: i64, ttl_on_create: Ttl) -> Result<i64> {
        let key = self.key(op::INCREMENT, key)?;
        let _writing = self.flights.write(Written::One(key)).await;
        let count = |driver: Held| async move { driver.increment(key, by, ttl_on_create).await };
        self.line.call(self.about(op::INCREMENT, key), count).await
    }

    /// The value under `key`, made by `factory` and stored for `ttl` if it is not there.
    ///
    /// Of all callers in this process that miss the same key, one factory runs and all get what it
    /// makes. Its work belongs to none of them: it goes on when callers are dropped or run out of
    /// time. An error or a panic of it is told once to all who wait; the next caller starts afresh.
    ///
    /// A write to the key through a handle of this instance while the factory runs (`put`, `add`,
    /// `forget`, `flush`, `increment`) wins: what the factory makes is told to those who wait, and
    /// not stored. What other processes, other instances and members of a group write is seen only
    /// if a value is there when the work is done; that value stays. What they forget is not seen.
    ///
    /// That the value could not be stored is no error here; it is in the figures of the line.
    ///
    /// # Errors
    ///
    /// `Config` at once if the factory asks for the key it is making; `Timeout` if it takes longer
    /// than [`FACTORY_LIMIT`](Self::FACTORY_LIMIT); `Overloaded` beyond
    /// [`FACTORIES_MAX`](Self::FACTORIES_MAX) or [`WAITERS_MAX`](Self::WAITERS_MAX).
    pub async fn remember<F, Fut, V>(&self, key: &str, ttl: Ttl, factory: F) -> Result<Bytes>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<V>> + Send + 'static,
        V: Into<Bytes>,
    {
        let make = || async move { Ok(factory().await?.into()) }.boxed();
        self.made_once(key, ttl, |_| true, make).await
    }

    /// How long a factory of [`remember`](Self::remember) may take.
    pub const FACTORY_LIMIT: Duration = Duration::from_mins(1);

    /// How many factories of one instance may run at once.
    pub const FACTORIES_MAX: usize = 1_000;

    /// How many callers may wait for one factory.
    pub const WAITERS_MAX: usize = 10_000;

    /// [`remember`](Self::remember), where a stored value that is not `usable` counts as a miss.
    pub(crate) async fn made_once(
        &self,
        key: &str,
        ttl: Ttl,
        usable: fn(&Bytes) -> bool,
        make: impl FnOnce() -> Making + Send,
    ) -> Result<Bytes> {
        let checked = self.key(op::GET, key)?;
        let landings = self.flights.landings();
        let replaces = match self.get(key).await? {
            Some(value) if usable(&value) => return Ok(value),
            found => found.is_some(),
        };
        let waiting = match self.flights.board(checked, landings)? {
            Boarding::Wait(waiting) => waiting,
            Boarding::Lead(pilot, waiting) => {
                let job = Job { line: self.line.clone(), ttl, replaces, usable };
                pilot.fly(job, make());
                waiting
            }
        };
        waiting.landed().await
    }

    /// `put` of a key that is known to be one, and that is being written.
    async fn put_one(&self, key: Key<'_>, value: &[u8], ttl: Ttl) -> Result<()> {
        let put = |driver: Held| async move { driver.put(key, value, ttl).await };
        self.line.call(self.about(op::PUT, key), put).await
    }

    /// `forget` of a key that is known to be one, and that is being written.
    async fn forget_one(&self, key: Key<'_>) -> Result<bool> {
        let forget = |driver: Held| async move { driver.forget(key).await };
        self.line.call(self.about(op::FORGET, key), forget).await
    }

    /// `op`, where it is about `key`: in a sharded cache it goes to the member that has it.
    #[inline]
    fn about(&self, op: Op, key: Key<'_>) -> Op {
        self.line.keyed(op, key.as_bytes())
    }

    #[inline]
    fn key<'k>(&self, op: Op, written: &'k str) -> Result<Key<'k>> {
        Key::parse(written).map_err(|error| self.refused(op, error))
    }

    fn keys<'k, K: AsRef<str> + 'k>(
        &self,
        op: Op,
        written: impl IntoIterator<Item = &'k K>,
    ) -> Result<Vec<Key<'k>>> {
        written.into_iter().map(|key| self.key(op, key.as_ref())).collect()
    }

    /// The error of a call that no driver was asked.
    #[cold]
    fn refused(&self, op: Op, error: Error) -> Error {
        error.at(|| Place {
            subsystem: Caches::NAME,
            instance: self.line.instance().into(),
            driver: None,
            operation: op.name(),
        })
    }
}

/// All answers in their order, or all errors in one.
fn together<T>(ended: Vec<Result<T>>) -> Result<Vec<T>> {
    let all = ended.len();
    let (mut answers, mut errors) = (Vec::with_capacity(all), Vec::new());
    for ended in ended {
        match ended {
            Ok(answer) => answers.push(answer),
            Err(error) => errors.push(error),
        }
    }
    let error = match errors.len() {
        0 => return Ok(answers),
        1 => errors.remove(0),
        _ => Error::joined("several keys of the call failed", errors),
    };
    // What failed may have changed nothing, but the others may have.
    Err(if answers.is_empty() { error } else { error.with_outcome(Outcome::Unknown) })
}

/// Of how many keys a sharded cache asks its members at once.
const KEYS_AT_ONCE: usize = 32;

type Held = switchboard_core::Held<Caches>;
