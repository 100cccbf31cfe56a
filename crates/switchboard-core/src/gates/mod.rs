//! The protections of a line, each usable on its own.

mod breaker;
mod budget;
mod bulkhead;
mod mistakes;
mod rate_limit;
mod retry;

pub use breaker::{
    Breaker, BreakerCounts, BreakerFigures, BreakerPermit, BreakerPolicy, BreakerState,
    BreakerWindow, Verdict,
};
pub use budget::{BudgetPolicy, RetryBudget, Withdrawal};
pub use bulkhead::{Bulkhead, BulkheadLimit, OwnedPermit, Permit};
pub use rate_limit::{RateLimit, RateLimiter, Reservation};
pub use retry::{Decision, Jitter, RetryPolicy, Why};
