//! Providers as what the rest of the ecosystem speaks, and back.

#[cfg(feature = "futures")]
mod conversations;
#[path = "../shapes/families.rs"]
#[allow(dead_code, reason = "the tests of the shapes use more of it")]
mod families;
#[cfg(all(feature = "conformance", feature = "futures"))]
mod rules;
#[cfg(feature = "futures")]
mod sinks;
mod spans;
#[cfg(feature = "futures")]
mod streams;
mod traced;
#[cfg(feature = "futures")]
mod wires;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Something shared between a provider and its test, also after one of them panicked.
fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
