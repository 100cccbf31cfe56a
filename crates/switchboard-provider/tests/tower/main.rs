//! Providers and gates among tower's own services and layers, which are the real ones here.

#![cfg(feature = "tower")]
#![allow(clippy::unwrap_used, reason = "in tests a panic says what is wrong")]

mod breaker;
mod drops;
mod gates;
mod limits;
mod providers;
mod readiness;
mod retries;
mod station;
mod times;
