//! A view of a cache in which every value has one type.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;

use bytes::Bytes;
use futures_util::FutureExt as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use switchboard_core::{Error, ErrorKind, Result};

use crate::{Cache, Ttl};

/// A cache whose values are each a `T`, kept as JSON.
///
/// What is stored and cannot be a `T`, because an older version of the program or somebody else put
/// it there, counts as a miss: a cache may lose any value. It is reported as an event of `tracing`.
///
/// ```
/// # use std::num::NonZeroU32;
/// # use switchboard_cache::{Caches, Ttl};
/// # use switchboard_core::{Environment, Manager, Registry, Settings};
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
/// # runtime.block_on(async {
/// # let caches = Manager::<Caches>::new(Registry::with_built_ins()?, &Environment::new())?;
/// # caches.configure("main", &Settings::new().with("driver", "memory"))?;
/// let prices = caches.handle("main")?.typed::<Vec<u32>>();
///
/// let ttl = Ttl::minutes(NonZeroU32::MIN);
/// let made = prices.remember("prices", ttl, || async { Ok(vec![3, 5]) }).await?;
/// assert_eq!(made, [3, 5]);
/// assert_eq!(prices.get("prices").await?, Some(vec![3, 5]));
/// # Ok::<(), switchboard_core::Error>(()) }).unwrap();
/// ```
pub struct Typed<T> {
    cache: Cache,
    /// Holds no `T`, so it is as sendable as the cache.
    values: PhantomData<fn() -> T>,
}

impl<T> Typed<T> {
    pub(crate) fn new(cache: Cache) -> Self {
        Self { cache, values: PhantomData }
    }

    /// The cache this is a view of.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Removes what is under `key`, of whatever type; see [`Cache::forget`].
    pub async fn forget(&self, key: &str) -> Result<bool> {
        self.cache.forget(key).await
    }

    /// Removes what is under each of `keys`; see [`Cache::forget_many`].
    pub async fn forget_many(&self, keys: &[impl AsRef<str>]) -> Result<usize> {
        self.cache.forget_many(keys).await
    }
}

impl<T: Serialize> Typed<T> {
    /// Stores `value` under `key` for `ttl`; see [`Cache::put`].
    pub async fn put(&self, key: &str, value: &T, ttl: Ttl) -> Result<()> {
        self.cache.put(key, encode(value)?, ttl).await
    }

    /// Stores each value under its key for `ttl`; see [`Cache::put_many`].
    pub async fn put_many<K: AsRef<str>>(&self, entries: &[(K, T)], ttl: Ttl) -> Result<()> {
        let encoded: Result<Vec<_>> =
            entries.iter().map(|(key, value)| Ok((key.as_ref(), encode(value)?))).collect();
        self.cache.put_many(&encoded?, ttl).await
    }

    /// Stores `value` under `key` until it is forgotten; see [`Cache::forever`].
    pub async fn forever(&self, key: &str, value: &T) -> Result<()> {
        self.put(key, value, Ttl::Forever).await
    }

    /// Stores `value` under `key` if nothing is there; see [`Cache::add`].
    ///
    /// Anything that is there counts, also what cannot be a `T`.
    pub async fn add(&self, key: &str, value: &T, ttl: Ttl) -> Result<bool> {
        self.cache.add(key, encode(value)?, ttl).await
    }
}

impl<T: DeserializeOwned> Typed<T> {
    /// The value under `key`, or `None`; see [`Cache::get`].
    pub async fn get(&self, key: &str) -> Result<Option<T>> {
        Ok(self.cache.get(key).await?.and_then(|value| self.decode_or_miss(&value)))
    }

    /// The value under each of `keys`, in their order; see [`Cache::get_many`].
    pub async fn get_many(&self, keys: &[impl AsRef<str>]) -> Result<Vec<Option<T>>> {
        let values = self.cache.get_many(keys).await?;
        let decoded = values.into_iter().map(|value| self.decode_or_miss(&value?));
        Ok(decoded.collect())
    }

    fn decode_or_miss(&self, value: &Bytes) -> Option<T> {
        let decoded = serde_json::from_slice(value).ok();
        if decoded.is_none() {
            tracing::warn!(
                target: "switchboard",
                subsystem = "cache",
                instance = self.cache.line().instance(),
                "a cached value is of another type and counts as a miss",
            );
        }
        decoded
    }
}

impl<T: Serialize + DeserializeOwned + 'static> Typed<T> {
    /// The value under `key`, made by `factory` and stored for `ttl` if it is not there; see
    /// [`Cache::remember`].
    ///
    /// What is there and cannot be a `T` is replaced. `Corrupt` is the answer where the value was
    /// being made as something else by another caller at that moment.
    pub async fn remember<F, Fut>(&self, key: &str, ttl: Ttl, factory: F) -> Result<T>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<T>> + Send + 'static,
    {
        let make = || async move { Ok(encode(&factory().await?)?.into()) }.boxed();
        let value = self.cache.made_once(key, ttl, is_a::<T>, make).await?;
        serde_json::from_slice(&value).map_err(|error| {
            Error::new(ErrorKind::Corrupt, "the value is of another type").with_source(error)
        })
    }
}

impl<T> Clone for Typed<T> {
    fn clone(&self) -> Self {
        Self::new(self.cache.clone())
    }
}

impl<T> fmt::Debug for Typed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Typed")
            .field("cache", &self.cache)
            .field("type", &std::any::type_name::<T>())
            .finish()
    }
}

fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| {
        Error::new(ErrorKind::InvalidInput, "the value cannot be written as JSON")
            .with_source(error)
    })
}

fn is_a<T: DeserializeOwned>(value: &Bytes) -> bool {
    serde_json::from_slice::<T>(value).is_ok()
}
