//! Items in windows, as a whole, and merged.

#![allow(clippy::unwrap_used, reason = "what helps a test stops at the first surprise as it does")]

mod drain;
mod fan_out;
mod source;
mod windows;
