//! The spine of Switchboard: what every subsystem stands on.
//!
//! Read in this order: [`Error`], the one error type; [`Subsystem`] and [`Lifecycle`], what a domain
//! and its drivers are; [`Registry`], driver names to factories; [`Manager`], instance names to
//! lines; [`Line`], the path of every call; [`Environment`], what they share.

mod ambient;
mod capability;
mod clock;
mod creations;
mod environment;
mod error;
mod events;
mod figures;
mod flight;
mod gates;
mod lifecycle;
mod line;
mod manager;
mod name;
mod op;
mod panics;
mod reaper;
mod registry;
mod reply;
mod select;
pub mod settings;
mod sharded;
mod stripe;
mod subsystem;
mod sync;

pub use ambient::Deadline;
pub use capability::{Capabilities, Support};
pub use clock::Clock;
pub use environment::{BuildContext, Environment};
pub use error::{Class, Error, ErrorKind, Gate, Outcome, Place, Result, Retry};
pub use events::{Event, Events, Source, Subscription};
pub use figures::{Durations, OpFigures};
pub use gates::{
    AttemptTimeout, Backoff, Breaker, BreakerCounts, BreakerFigures, BreakerPermit, BreakerPolicy,
    BreakerState, BreakerWindow, BudgetPolicy, Bulkhead, BulkheadLimit, Cause, ChainStep, Decision,
    Fault, Faults, Gates, Jitter, OwnedPermit, Permit, Policy, RateLimit, RateLimiter, Reservation,
    RetryBudget, RetryPolicy, Verdict, Why, Withdrawal, execute_with_resilience, with_fallback,
};
pub use lifecycle::{Health, Lifecycle, Status};
pub use line::{Held, Leased, Line, Step, Swapped};
pub use manager::{
    CloseReport, HealthReport, InstanceInfo, InstanceSettings, Manager, Override, PolicyChoice,
};
pub use name::Name;
pub use op::{Effect, Op};
pub use reaper::{Job, Reaper, ReaperFigures};
pub use registry::{Descriptor, DriverInfo, Entry, Registry, Replacement};
pub use reply::Reply;
pub use select::{Candidates, HealthCheck, Priority, RoundRobin, Selector};
pub use settings::{Origin, Problem, Problems, Secret, Settings};
pub use subsystem::{Erase, LeftOut, Subsystem};
