//! The protections of a line, each usable on its own, and the one order they make.

mod breaker;
mod budget;
mod bulkhead;
mod chain;
mod fallback;
mod faults;
mod hedge;
mod mistakes;
mod policy;
mod rate_limit;
mod retry;
mod timeout;

pub use breaker::{
    Breaker, BreakerCounts, BreakerFigures, BreakerPermit, BreakerPolicy, BreakerState,
    BreakerWindow, Verdict,
};
pub use budget::{BudgetPolicy, RetryBudget, Withdrawal};
pub use bulkhead::{Bulkhead, BulkheadLimit, Gradient, OwnedPermit, Permit};
pub(crate) use chain::Call;
pub use chain::{Gates, execute_with_resilience};
pub use fallback::{Cause, with_fallback};
pub use faults::{Fault, Faults};
pub use hedge::{HedgeAfter, HedgePolicy};
pub(crate) use mistakes::Mistakes;
pub use policy::{ChainStep, Policy};
pub use rate_limit::{KeyedRateLimiter, RateDecision, RateLimit, RateLimiter, Reservation};
pub use retry::{Backoff, Decision, Jitter, RetryPolicy, Why};
pub(crate) use timeout::Limit;
pub use timeout::{AttemptTimeout, Limited};
