//! The protections of a line, each usable on its own.

mod bulkhead;
mod rate_limit;

pub use bulkhead::{Bulkhead, BulkheadLimit, OwnedPermit, Permit};
pub use rate_limit::{RateLimit, RateLimiter, Reservation};
