//! A cache driver that lives outside of Switchboard: Redis, with its public API only.
//!
//! Adding a driver takes five steps, all of them in [`redis`](mod@redis):
//!
//! 1. Its settings: a struct called `<Driver>Config`, with `Deserialize` and `JsonSchema`. A mistake
//!    in the configuration is then reported with its place before anything is built.
//! 2. Its type, which holds the client of the service.
//! 3. `impl CacheDriver`: each method says one thing to the service and translates the answer. What
//!    the service cannot do is left out; the contract answers `Unsupported`.
//! 4. One function, `classify`, that turns every error of the service into one of ours.
//! 5. `register`, which names it, and the line at the end of the file that makes one test of each
//!    rule of the contract.
//!
//! The application calls `register` once, and from then on `driver = "redis"` works in its
//! configuration; `main.rs` shows it. Nothing else changes, in Switchboard or in the application.

pub mod redis;

pub use redis::{Redis, RedisConfig};
