//! What `crate::sync` is in the library, over loom: for the models, which compile its very files.

#![allow(dead_code, unused_imports, reason = "each model uses what its file does")]

use std::fmt;

pub(crate) use loom::sync::atomic;

/// The library's lock, which has no poison.
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
        // A model stops at its first panic, so nobody comes after one.
        self.0.lock().unwrap()
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mutex")
    }
}
