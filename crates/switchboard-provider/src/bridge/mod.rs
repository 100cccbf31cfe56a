//! Providers among what other crates call the same thing.

#[cfg(feature = "tower")]
pub mod tower;
