//! What is done with the items of streams: gathered in [`windows`], read as a whole ([`drain`]),
//! merged from several sources ([`fan_out`]).
//!
//! All of it is pulled by whoever reads: nothing is started, nothing is read ahead but what is said,
//! and what is dropped takes its sources with it.

pub mod drain;
pub mod fan_out;
pub mod windows;
