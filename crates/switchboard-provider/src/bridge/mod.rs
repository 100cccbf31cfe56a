//! Providers as what the rest of the ecosystem calls a service, a stream or a sink, and back.

#[cfg(feature = "futures")]
pub mod futures;
#[cfg(feature = "futures")]
mod one_by_one;
#[cfg(feature = "tower")]
pub mod tower;
pub mod traced;
