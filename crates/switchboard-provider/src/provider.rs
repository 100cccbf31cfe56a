//! What every provider is, whatever its shape: a driver with a name that can say whether it is there.

use std::sync::Arc;

use switchboard_core::{Capabilities, Details, Health, Lifecycle, Metric, Reply, Status};

/// The base of the four shapes. Start, health check and end are those of [`Lifecycle`], each opt-in.
///
/// ```
/// use switchboard_core::{Lifecycle, Reply};
/// use switchboard_provider::Provider;
///
/// struct Offline;
///
/// impl Lifecycle for Offline {}
///
/// impl Provider for Offline {
///     fn name(&self) -> &str {
///         "offline"
///     }
///
///     fn is_available(&self) -> Reply<'_, bool> {
///         Reply::ready(Ok(false))
///     }
/// }
/// ```
pub trait Provider: Lifecycle {
    /// What it is called in messages about it. The name of an instance comes from configuration.
    fn name(&self) -> &str;

    /// Whether it can take calls now; an error counts as no.
    ///
    /// Asked by the health checks of the manager, which push the answer to groups, and never on the
    /// way of a call. Where neither this nor [`health`](Lifecycle::health) is written, nothing is looked
    /// at: a check says "not checked", and no group learns that the service behind it is gone.
    fn is_available(&self) -> Reply<'_, bool> {
        Reply::ready(Ok(true))
    }
}

impl<P: Provider + ?Sized> Provider for Arc<P> {
    fn name(&self) -> &str {
        self.as_ref().name()
    }

    fn is_available(&self) -> Reply<'_, bool> {
        self.as_ref().is_available()
    }
}

/// A provider as a manager holds it: not available is down.
pub(crate) struct Managed<P>(pub(crate) Arc<P>);

impl<P: Provider> Lifecycle for Managed<P> {
    fn init(&self) -> Reply<'_, ()> {
        self.0.init()
    }

    fn health(&self) -> Reply<'_, Health> {
        Reply::run(async {
            if !self.0.is_available().await? {
                return Ok(Health::down("the provider says that it is not available"));
            }
            self.0.health().await
        })
    }

    fn close(&self) -> Reply<'_, ()> {
        self.0.close()
    }

    fn capabilities(&self) -> Option<Capabilities> {
        self.0.capabilities()
    }

    fn details(&self) -> Option<Details> {
        self.0.details()
    }

    fn metrics(&self) -> Vec<Metric> {
        self.0.metrics()
    }
}

impl<P: Provider> Provider for Managed<P> {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn is_available(&self) -> Reply<'_, bool> {
        Reply::run(async { Ok(self.health().await?.status != Status::Down) })
    }
}

/// A wrapper is started, checked and ended as what it wraps.
macro_rules! looked_after {
    ({ $($generics:tt)* } $wrapper:ty, $inner:ident) => {
        impl<$($generics)*> switchboard_core::Lifecycle for $wrapper {
            fn init(&self) -> switchboard_core::Reply<'_, ()> {
                self.$inner.init()
            }

            fn health(&self) -> switchboard_core::Reply<'_, switchboard_core::Health> {
                self.$inner.health()
            }

            fn close(&self) -> switchboard_core::Reply<'_, ()> {
                self.$inner.close()
            }

            fn capabilities(&self) -> Option<switchboard_core::Capabilities> {
                self.$inner.capabilities()
            }

            fn details(&self) -> Option<switchboard_core::Details> {
                self.$inner.details()
            }

            fn metrics(&self) -> Vec<switchboard_core::Metric> {
                self.$inner.metrics()
            }
        }

        impl<$($generics)*> $crate::Provider for $wrapper {
            fn name(&self) -> &str {
                self.$inner.name()
            }

            fn is_available(&self) -> switchboard_core::Reply<'_, bool> {
                self.$inner.is_available()
            }
        }
    };
}
pub(crate) use looked_after;
