//! The protections of a line, each usable on its own.

mod rate_limit;

pub use rate_limit::{RateLimit, RateLimiter, Reservation};
