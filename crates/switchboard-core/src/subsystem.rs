//! A domain with one driver contract, and how a driver's own type becomes that contract.

use std::sync::Arc;

use crate::{Lifecycle, Line, Op, Registry, Result, Section, Settings};

/// A domain with one driver contract: cache, queue, or one of the application's own.
///
/// A type that implements this is only a name at compile time; it has no values. Everything the
/// product does for its own subsystems it does through this trait, so one of the application's own
/// is configured, built, guarded, swapped and shown in the same way.
pub trait Subsystem: Sized + Send + Sync + 'static {
    /// The name in configuration, figures and errors: `cache`.
    const NAME: &'static str;

    /// The driver contract: `dyn CacheDriver`.
    type Driver: Lifecycle + ?Sized;

    /// What an application holds: `Cache`.
    type Handle: From<Line<Self>> + Clone + Send + Sync + 'static;

    /// Everything a handle can ask, as listed by [`operations!`](crate::operations).
    const OPERATIONS: &'static [Op];

    /// Drivers that exist but that this build leaves out.
    const LEFT_OUT: &'static [LeftOut] = &[];

    /// Registers the drivers that come with the subsystem.
    fn register_built_ins(registry: &Registry<Self>) -> Result<()>;

    /// Tables within its section whose entries inherit from each other, as the instances of every section
    /// do: `backend.providers`.
    const INHERITS_IN: &'static [&'static str] = &[];

    /// What its section of the configuration declares, with all that is wrong with the section; an error
    /// where nothing at all could be made of it.
    ///
    /// The usual grammar is [`Section::usual`]; a subsystem whose section is written in another way
    /// reads it here. Paths of problems start with where the section stands, [`NAME`](Self::NAME).
    fn section(settings: &Settings) -> Result<Section> {
        Ok(Section::usual(Self::NAME, settings))
    }
}

/// A driver that the crate knows and this build leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The name of the driver.
    pub driver: &'static str,
    /// The Cargo feature that brings it.
    pub feature: &'static str,
}

/// Turns a driver's own type into the contract of its subsystem.
///
/// A subsystem implements it once, for every type that implements its driver trait:
///
/// ```
/// # use std::sync::Arc;
/// # use switchboard_core::{Erase, Lifecycle};
/// trait ClockDriver: Lifecycle {
///     fn now(&self) -> u64;
/// }
///
/// impl<T: ClockDriver> Erase<T> for dyn ClockDriver {
///     fn erase(driver: Arc<T>) -> Arc<Self> {
///         driver
///     }
/// }
/// ```
pub trait Erase<T> {
    /// The same driver, seen through the contract.
    fn erase(driver: Arc<T>) -> Arc<Self>;
}

/// Lists the drivers of a subsystem crate: one line each declares the module, registers the driver
/// or, where its feature is off, says which feature would bring it.
///
/// Used in `drivers/mod.rs`. Each module has a function `register` that takes the registry.
///
/// ```text
#[doc = include_str!("../tests/drivers/mod.rs")]
/// ```
#[macro_export]
macro_rules! drivers {
    ( for $subsystem:ty: $( $module:ident $( if $feature:literal )?; )+ ) => {
        $(
            $( #[cfg(feature = $feature)] )?
            pub mod $module;
        )+

        /// Registers every driver that this build has.
        pub(crate) fn register_built_ins(
            registry: &$crate::Registry<$subsystem>,
        ) -> $crate::Result<()> {
            $(
                $( #[cfg(feature = $feature)] )?
                $module::register(registry)?;
            )+
            Ok(())
        }

        /// The drivers that this build leaves out.
        pub(crate) const LEFT_OUT: &[$crate::LeftOut] = &[
            $( $(
                #[cfg(not(feature = $feature))]
                $crate::LeftOut { driver: stringify!($module), feature: $feature },
            )? )+
        ];
    };
}
