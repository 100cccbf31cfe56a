//! The four shapes as subsystems: configured, guarded, selected, swapped, watched.

mod families;
mod request_response;
