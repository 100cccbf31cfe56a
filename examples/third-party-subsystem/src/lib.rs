//! Feature flags: a subsystem that Switchboard does not know, built from its public parts alone.
//!
//! Five steps, one file each: the contract ([`FlagsDriver`]), the drivers with their settings
//! ([`drivers`]), the subsystem that ties them together and the handle that applications hold
//! ([`Flags`]). The manager needs no file: it is `Manager<FlagsSubsystem>`. Reading order:
//! `driver.rs`, `drivers/`, `flags.rs`, `main.rs`.

pub mod drivers;

mod driver;
mod flags;

pub use driver::FlagsDriver;
pub use flags::{Flags, FlagsSubsystem, op};
