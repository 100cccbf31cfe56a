//! The four shapes as subsystems: configured, guarded, selected, swapped, watched.

mod drops;
mod duplex;
mod families;
mod gates;
mod health;
mod request_response;
#[cfg(feature = "conformance")]
mod rules;
mod sink;
mod stream;
