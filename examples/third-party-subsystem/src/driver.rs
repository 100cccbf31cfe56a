//! The contract of a driver of feature flags.

use std::sync::Arc;

use switchboard_core::{Erase, Lifecycle, Reply};

/// Knows which features are on.
pub trait FlagsDriver: Lifecycle {
    /// Whether `feature` is on; `None` if nobody has said anything about it.
    fn is_on<'a>(&'a self, feature: &'a str) -> Reply<'a, Option<bool>>;
}

impl<T: FlagsDriver> Erase<T> for dyn FlagsDriver {
    fn erase(driver: Arc<T>) -> Arc<Self> {
        driver
    }
}
