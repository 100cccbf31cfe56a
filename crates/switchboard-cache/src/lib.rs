//! Cache for Switchboard: one handle, whatever keeps the values.
//!
//! Read in this order: [`Cache`], what an application holds, with [`Typed`], its view of values of
//! one type; [`Ttl`] and [`Key`], what is checked once; [`CacheDriver`], the contract of a driver;
//! [`drivers`], those that come along; `conformance`, behind the feature of that name, the rules
//! every driver keeps, as tests. On disk it is documented by `cargo doc --features conformance`.
//!
//! ```
//! use std::num::NonZeroU32;
//!
//! use switchboard_cache::{Caches, Ttl};
//! use switchboard_core::{Environment, Manager, Registry, Settings};
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
//! # runtime.block_on(async {
//! let caches = Manager::<Caches>::new(Registry::with_built_ins()?, &Environment::new())?;
//! caches.configure("sessions", &Settings::new().with("driver", "memory"))?;
//!
//! let sessions = caches.handle("sessions")?;
//! sessions.put("user-7", "Ada", Ttl::hours(NonZeroU32::MIN)).await?;
//! assert_eq!(sessions.get("user-7").await?.as_deref(), Some(&b"Ada"[..]));
//! # Ok::<(), switchboard_core::Error>(()) }).unwrap();
//! ```
//!
//! A driver from outside is registered beside the others, and then named in configuration:
//!
//! ```
//! use std::collections::HashMap;
//! use std::sync::{Mutex, MutexGuard, PoisonError};
//! use std::time::Instant;
//!
//! use bytes::Bytes;
//! use schemars::JsonSchema;
//! use serde::Deserialize;
//! use switchboard_cache::{CacheDriver, Caches, Key, Ttl, capability};
//! use switchboard_core::{
//!     Clock, Descriptor, Environment, Lifecycle, Manager, Registry, Reply, Result, Settings, Support,
//! };
//!
//! /// A few values in a map. When it is full, all make room.
//! struct Shelf {
//!     values: Mutex<HashMap<String, (Bytes, Option<Instant>)>>,
//!     values_max: usize,
//!     clock: Clock,
//! }
//!
//! #[derive(Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct ShelfConfig {
//!     /// How many values fit.
//!     values_max: usize,
//! }
//!
//! impl Shelf {
//!     /// What is there, without what has expired.
//!     fn values(&self) -> MutexGuard<'_, HashMap<String, (Bytes, Option<Instant>)>> {
//!         let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
//!         let now = self.clock.now();
//!         values.retain(|_, (_, expires)| expires.is_none_or(|expires| now < expires));
//!         if values.len() >= self.values_max {
//!             values.clear();
//!         }
//!         values
//!     }
//!
//!     fn entry(&self, value: &[u8], ttl: Ttl) -> (Bytes, Option<Instant>) {
//!         let expires = ttl.duration().map(|time| self.clock.now() + time);
//!         (Bytes::copy_from_slice(value), expires)
//!     }
//! }
//!
//! impl CacheDriver for Shelf {
//!     fn get<'a>(&'a self, key: Key<'a>) -> Reply<'a, Option<Bytes>> {
//!         let found = self.values().get(key.as_str()).map(|(value, _)| value.clone());
//!         Reply::ready(Ok(found))
//!     }
//!     fn put<'a>(&'a self, key: Key<'a>, value: &'a [u8], ttl: Ttl) -> Reply<'a, ()> {
//!         let entry = self.entry(value, ttl);
//!         self.values().insert(key.as_str().to_owned(), entry);
//!         Reply::ready(Ok(()))
//!     }
//!     fn add<'a>(&'a self, key: Key<'a>, value: &'a [u8], ttl: Ttl) -> Reply<'a, bool> {
//!         let entry = self.entry(value, ttl);
//!         let mut values = self.values();
//!         let is_absent = !values.contains_key(key.as_str());
//!         if is_absent {
//!             values.insert(key.as_str().to_owned(), entry);
//!         }
//!         Reply::ready(Ok(is_absent))
//!     }
//!     fn forget<'a>(&'a self, key: Key<'a>) -> Reply<'a, bool> {
//!         Reply::ready(Ok(self.values().remove(key.as_str()).is_some()))
//!     }
//!     fn flush(&self) -> Reply<'_, ()> {
//!         self.values().clear();
//!         Reply::ready(Ok(()))
//!     }
//! }
//!
//! impl Lifecycle for Shelf {}
//!
//! fn register(registry: &Registry<Caches>) -> Result<()> {
//!     let descriptor = Descriptor::new("shelf")
//!         .summary("A few values in a map")
//!         // What it can do beyond the least; without this line nobody may expect a value back.
//!         .capability(capability::RETAIN, Support::Native);
//!     registry.register(descriptor, |config: ShelfConfig, context| async move {
//!         let (values, clock) = (Mutex::default(), context.clock().clone());
//!         Ok(Shelf { values, values_max: config.values_max, clock })
//!     })
//! }
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
//! # runtime.block_on(async {
//! let registry = Registry::<Caches>::with_built_ins()?;
//! register(&registry)?;
//!
//! let caches = Manager::new(registry, &Environment::new())?;
//! let settings = Settings::new().with("driver", "shelf").with("values_max", 1_000);
//! caches.configure("kitchen", &settings)?;
//! let kitchen = caches.get("kitchen").await?;
//! kitchen.forever("salt", "top left").await?;
//! assert_eq!(kitchen.get("salt").await?.as_deref(), Some(&b"top left"[..]));
//! # Ok::<(), switchboard_core::Error>(()) }).unwrap();
//! # #[cfg(feature = "conformance")]
//! # {
//! # use switchboard_cache::conformance::{Fixture, RULES, prove};
//! # let fixture =
//! #     Fixture::new(register).settings(|_| Settings::new().with("values_max", 1_000));
//! # RULES.iter().for_each(|rule| prove(&fixture, rule.name));
//! # }
//! ```
//!
//! Whether it keeps the contract is one more line in its tests, `conformance::suite!`, with
//! `switchboard-cache = { …, features = ["conformance"] }` among the dev-dependencies.

mod cache;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod driver;
pub mod drivers;
mod flights;
mod key;
#[cfg(test)]
mod planted;
#[cfg(test)]
mod sharded;
#[cfg(test)]
mod tests;
mod ttl;
mod typed;

pub use cache::{Cache, Caches, op};
pub use driver::{CacheDriver, capability, counter_overflow, not_a_counter, parse_counter};
pub use key::Key;
pub use ttl::{Span, Ttl};
pub use typed::Typed;
