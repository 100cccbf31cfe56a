//! Configuration for Switchboard: files and layers become one tree of settings, and every mistake has
//! its place.
//!
//! Read in this order: [`Loader`], what is read and in which order; [`Loaded`], what came of it;
//! [`Report`], all mistakes with excerpts; [`Layer`], typed settings that are laid over each other in
//! code.
//!
//! A whole load: a file, what differs here, and what only this machine knows.
//!
//! ```
//! use switchboard_config::{Format, Loader};
//! use switchboard_core::Settings;
//!
//! // Usually `.file("switchboard.toml").profile("prod")`.
//! let file = r#"
//!     [cache.base]
//!     abstract = true
//!     max_entries = 1_000
//!     policy = "fast"
//!
//!     [cache.sessions]
//!     extends = "base"
//!     url = "redis://${CACHE_HOST:-127.0.0.1}:6379"
//! "#;
//! let here = [("CACHE_HOST", "10.0.0.7"), ("SWITCHBOARD__CACHE__SESSIONS__MAX_ENTRIES", "50")];
//! let defaults = Settings::new().with("cache", Settings::new().with("main", "memory://"));
//!
//! let loaded = Loader::new()
//!     .defaults(defaults)
//!     .text("switchboard.toml", Format::Toml, file)
//!     .variables(here)
//!     .load();
//!
//! let settings = loaded.into_settings()?;
//! let text = |path| settings.get(path).and_then(|node| node.as_str());
//! assert_eq!(text("cache.sessions.url"), Some("redis://10.0.0.7:6379"));
//! assert_eq!(text("cache.sessions.policy"), Some("fast"));
//! assert_eq!(text("cache.sessions.max_entries"), Some("50"));
//! assert!(settings.get("cache.base").is_none() && settings.get("cache.main").is_none());
//!
//! // Every mistake has its place.
//! let mistyped = "[cache.sessions]\nextends = 'bse'\n[cache.base]\nurl = '${CACHE_URL}'\n";
//! let loaded = Loader::new().text("switchboard.toml", Format::Toml, mistyped).load();
//! let told: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
//! assert!(told[0].starts_with("switchboard.toml:2:11: cache.sessions.extends: there is no `bse`"));
//! assert!(told[1].starts_with("switchboard.toml:4:7: cache.base.url: the variable `CACHE_URL` is"));
//! # switchboard_core::Result::<()>::Ok(())
//! ```

mod environment;
mod inherit;
mod interpolate;
mod layer;
mod loader;
mod parse;
mod report;
mod source;
mod tree;

pub use layer::Layer;
pub use loader::{Loaded, Loader};
pub use parse::{FILE_BYTES_MAX, Format, NODES_MAX, Parsed, parse};
pub use report::{Coloured, Report};
pub use source::{Source, Sources};
