//! How registry, manager, line and groups behave, said in sentences.
//!
//! All of it is tested through a contract of the test's own (`desk`), whose driver follows a
//! script: it fails, hangs, waits or panics at any step on request. Time is tokio's paused clock.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise, and starts the tasks it tests with"
)]

mod changes;
mod changes_alone;
mod changes_exclusive;
mod changes_refused;
mod close;
mod create;
mod data;
mod desk;
mod details;
mod dropping;
mod gates;
mod groups;
mod groups_changed;
mod groups_keyed;
mod groups_nested;
mod groups_watched;
mod health;
mod initialise;
mod instances;
mod open;
mod registry;
mod settings;
mod standalone;
mod swap;
mod watch;
mod wrap;
