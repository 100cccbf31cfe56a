//! One board for every swappable backend of an application.
//!
//! Read in this order: [`Switchboard`], what an application holds; [`Builder`], what it is made from;
//! [`HealthView`], [`Explanation`] and their neighbours, what it shows; [`Part`], what is closed with
//! it; [`Blocking`], for threads without a runtime. [`core`], [`cache`],
//! [`database`] and [`storage`] are the crates it stands on.
//!
//! ```
//! use std::time::Duration;
//! use switchboard::{Format, Switchboard};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> switchboard::Result<()> {
//! let configuration = "[cache.sessions]\ndriver = 'memory'\nmax_entries = 1000";
//! let board = Switchboard::builder().text("shop.toml", Format::Toml, configuration).build().await?;
//! let sessions = board.cache("sessions")?;
//! sessions.forever("user-7", "Ada").await?;
//!
//! // Who changes what, from where, and what would happen.
//! assert_eq!(board.explain("cache.sessions")?.driver.as_deref(), Some("memory"));
//! assert!(board.plan().await?.is_empty(), "the configuration says what is");
//! assert!(board.health().ready);
//! board.close(Duration::from_secs(5)).await.into_result()
//! # }
//! ```

mod apply;
mod blocking;
mod board;
mod builder;
mod closing;
mod connect;
mod difference;
mod explain;
mod gates;
mod health;
mod jobs;
mod kit;
mod mistakes;
mod parts;
mod places;
mod records;
mod reload;
mod source;
mod view;
mod wanted;
mod watch;
mod wired;

pub use blocking::Blocking;
pub use board::Switchboard;
pub use builder::Builder;
pub use difference::{Change, Plan, PlannedChange, PlannedSetting};
pub use explain::{Explanation, GateView, SettingView};
pub use gates::{
    BreakerCommand, BreakerView, BulkheadView, GatesView, InstanceFigures, RateLimitView,
    RetryBudgetView,
};
pub use health::{FeatureHealth, HealthView, InstanceHealth};
pub use mistakes::Mistakes;
pub use parts::Part;
pub use records::Record;
pub use switchboard_cache::{self as cache, Cache, Ttl};
pub use switchboard_config::Format;
pub use switchboard_core::{self as core, Error, ErrorKind, Result, Settings};
pub use switchboard_database::{self as database, Database, Statements, Transaction};
pub use switchboard_storage::{self as storage, Disk};
pub use view::{DetailsView, DriverView, InstanceView};
pub use watch::Watching;

/// The examples of the project's README, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// The examples of its page on databases, likewise.
#[cfg(all(doctest, feature = "axum", feature = "sqlite"))]
#[doc = include_str!("../../../docs/databases.md")]
struct DatabasesPage;

/// The examples of its page on disks, likewise.
#[cfg(all(doctest, feature = "axum"))]
#[doc = include_str!("../../../docs/storage.md")]
struct StoragePage;
