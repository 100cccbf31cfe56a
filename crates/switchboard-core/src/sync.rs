//! The locks and atomics of the parts that are model-checked.
//!
//! Flight, breaker, bulkhead and limiter take these from `crate::sync` and nothing from `std::sync`
//! but `Arc`; the models, `tests/model_*.rs`, compile the same files over loom's. A lock here is never poisoned:
//! what it guards is left consistent before anything that could panic.

pub(crate) use std::sync::atomic;

use std::fmt;
use std::sync::{MutexGuard, PoisonError, TryLockError};

/// A lock that a panic of its holder does not poison.
#[derive(Default)]
pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lock, if nobody has it.
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
