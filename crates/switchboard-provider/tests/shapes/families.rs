//! One family of each shape, for the tests.

use std::sync::{Mutex, MutexGuard, PoisonError};

use switchboard_core::{
    Effect, Environment, Manager, Op, Policy, Registry, Result, Settings, Subsystem,
};
use switchboard_provider::{
    Dialer, Duplex, RequestResponse, Requester, Sender, Sink, Stream, Streamer, duplex,
    request_response, sink, stream,
};

macro_rules! family {
    ($(#[$about:meta])* $name:ident = $text:literal, $driver:ty, $handle:ident, $operations:expr) => {
        $(#[$about])*
        pub(crate) struct $name;

        impl Subsystem for $name {
            const NAME: &'static str = $text;
            const OPERATIONS: &'static [Op] = $operations;
            type Driver = $driver;
            type Handle = $handle<Self>;

            fn register_built_ins(_registry: &Registry<Self>) -> Result<()> {
                Ok(())
            }
        }
    };
}

family!(
    /// Texts in, lengths out.
    Lengths = "lengths",
    dyn RequestResponse<String, usize>,
    Requester,
    request_response::operations(Effect::Read)
);

family!(
    /// A number in, that many numbers out.
    Countdowns = "countdowns",
    dyn Stream<u64, u64>,
    Streamer,
    stream::operations(Effect::Read)
);

family!(
    /// Lines to be kept.
    Journals = "journals",
    dyn Sink<String>,
    Sender,
    sink::operations(Effect::Unsafe)
);

family!(
    /// Whatever is said comes back.
    Echoes = "echoes",
    dyn Duplex<String, String>,
    Dialer,
    duplex::operations(Effect::Read)
);

/// A manager with one instance, `main`, served by `provider` behind the gates of `policy`.
pub(crate) fn serving<S: Subsystem>(
    provider: impl Provided<S>,
    policy: Policy,
) -> Result<Manager<S>> {
    let manager = Manager::new(Registry::empty(), &Environment::new())?;
    provider.insert(&manager)?;
    manager.retune("main", policy)?;
    Ok(manager)
}

/// A provider that can be put into a manager of `S`.
pub(crate) trait Provided<S: Subsystem> {
    fn insert(self, manager: &Manager<S>) -> Result<()>;
}

impl<S, P> Provided<S> for P
where
    S: Subsystem,
    S::Driver: switchboard_core::Erase<P>,
    P: 'static,
{
    fn insert(self, manager: &Manager<S>) -> Result<()> {
        manager.insert("main", self)
    }
}

/// Settings that name a driver and nothing else.
pub(crate) fn by(driver: &str) -> Settings {
    Settings::new().with("driver", driver)
}

/// Something shared between a provider and its test, also after one of them panicked.
pub(crate) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
