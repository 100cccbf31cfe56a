//! Cache for Switchboard: one handle, whatever keeps the values.
//!
//! Read in this order: [`Cache`], what an application holds, with [`Typed`], its view of values of
//! one type; [`Ttl`] and [`Key`], what is checked once; [`CacheDriver`], the contract of a driver;
//! [`drivers`], those that come along; `conformance`, behind the feature of that name, the rules
//! every driver keeps, as tests.
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
//! use bytes::Bytes;
//! use schemars::JsonSchema;
//! use serde::Deserialize;
//! use switchboard_cache::{CacheDriver, Caches, Key, Ttl};
//! use switchboard_core::{
//!     Descriptor, Environment, Lifecycle, Manager, Registry, Reply, Result, Settings,
//! };
//!
//! /// Answers every key with the same words.
//! struct Parrot {
//!     words: Bytes,
//! }
//!
//! #[derive(Deserialize, JsonSchema)]
//! struct ParrotConfig {
//!     words: String,
//! }
//!
//! impl CacheDriver for Parrot {
//!     fn get<'a>(&'a self, _key: Key<'a>) -> Reply<'a, Option<Bytes>> {
//!         Reply::ready(Ok(Some(self.words.clone())))
//!     }
//!     fn put<'a>(&'a self, _key: Key<'a>, _value: &'a [u8], _ttl: Ttl) -> Reply<'a, ()> {
//!         Reply::ready(Ok(()))
//!     }
//!     fn add<'a>(&'a self, _key: Key<'a>, _value: &'a [u8], _ttl: Ttl) -> Reply<'a, bool> {
//!         Reply::ready(Ok(false))
//!     }
//!     fn forget<'a>(&'a self, _key: Key<'a>) -> Reply<'a, bool> {
//!         Reply::ready(Ok(true))
//!     }
//!     fn flush(&self) -> Reply<'_, ()> {
//!         Reply::ready(Ok(()))
//!     }
//! }
//!
//! impl Lifecycle for Parrot {}
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
//! # runtime.block_on(async {
//! let registry = Registry::<Caches>::with_built_ins()?;
//! registry.register(
//!     Descriptor::new("parrot").summary("Answers every key with the same words"),
//!     |config: ParrotConfig, _context| async move { Ok(Parrot { words: config.words.into() }) },
//! )?;
//!
//! let caches = Manager::new(registry, &Environment::new())?;
//! let settings = Settings::new().with("driver", "parrot").with("words", "pieces of eight");
//! caches.configure("ship", &settings)?;
//! let ship = caches.get("ship").await?;
//! assert_eq!(ship.get("any").await?.as_deref(), Some(&b"pieces of eight"[..]));
//! # Ok::<(), switchboard_core::Error>(()) }).unwrap();
//! ```

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
mod tests;
mod ttl;
mod typed;

pub use cache::{Cache, Caches, op};
pub use driver::{CacheDriver, capability, counter_overflow, not_a_counter, parse_counter};
pub use key::Key;
pub use ttl::{Span, Ttl};
pub use typed::Typed;

/// The examples of the project's README, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
