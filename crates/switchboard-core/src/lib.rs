//! The spine of Switchboard: what every subsystem stands on.
//!
//! Read in this order: [`Error`], the one error type; [`Subsystem`] and [`Lifecycle`], what a domain
//! and its drivers are; [`Registry`], driver names to factories; [`Manager`], instance names to
//! lines; [`Line`], the path of every call; [`Environment`], what they share.
//!
//! All of it at work, with a subsystem of the application's own:
//!
//! ```
//! use std::sync::Arc;
//!
//! use switchboard_core::{
//!     Environment, Erase, Lifecycle, Line, Manager, Op, Registry, Reply, Result, Settings,
//!     Subsystem,
//! };
//!
//! // The contract that every driver keeps.
//! trait GreetDriver: Lifecycle {
//!     fn greet<'a>(&'a self, name: &'a str) -> Reply<'a, String>;
//! }
//!
//! impl<T: GreetDriver> Erase<T> for dyn GreetDriver {
//!     fn erase(driver: Arc<T>) -> Arc<Self> {
//!         driver
//!     }
//! }
//!
//! switchboard_core::operations! {
//!     mod op {
//!         GREET = "greet": Read;
//!     }
//! }
//!
//! // The subsystem ties contract, operations and handle together.
//! struct Greetings;
//!
//! impl Subsystem for Greetings {
//!     const NAME: &'static str = "greetings";
//!     const OPERATIONS: &'static [Op] = op::ALL;
//!     type Driver = dyn GreetDriver;
//!     type Handle = Greeter;
//!
//!     fn register_built_ins(registry: &Registry<Self>) -> Result<()> {
//!         registry.register("words", |config: WordsConfig, _| async { Ok(Words(config)) })
//!     }
//! }
//!
//! // What the application holds: one line for each operation.
//! #[derive(Clone)]
//! struct Greeter(Line<Greetings>);
//!
//! impl From<Line<Greetings>> for Greeter {
//!     fn from(line: Line<Greetings>) -> Self {
//!         Self(line)
//!     }
//! }
//!
//! impl Greeter {
//!     async fn greet(&self, name: &str) -> Result<String> {
//!         self.0.call(op::GREET, |driver| async move { driver.greet(name).await }).await
//!     }
//! }
//!
//! // A driver and its settings.
//! struct Words(WordsConfig);
//!
//! #[derive(serde::Deserialize, schemars::JsonSchema)]
//! struct WordsConfig {
//!     word: String,
//! }
//!
//! impl Lifecycle for Words {}
//!
//! impl GreetDriver for Words {
//!     fn greet<'a>(&'a self, name: &'a str) -> Reply<'a, String> {
//!         Reply::ready(Ok(format!("{}, {name}", self.0.word)))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<()> {
//! // At start: declare what there is. Settings usually come from a file.
//! let settings = |word: &str| Settings::new().with("driver", "words").with("word", word);
//! let greetings = Manager::<Greetings>::new(Registry::with_built_ins()?, &Environment::new())?;
//! greetings.configure("door", &settings("hello"))?;
//!
//! // Anywhere: call it. It is built on the first call.
//! let door = greetings.handle("door")?;
//! assert_eq!(door.greet("ada").await?, "hello, ada");
//!
//! // While calls are running: another driver, or other settings. Handles follow.
//! greetings.swap("door", &settings("good evening")).await?.closed().await?;
//! assert_eq!(door.greet("ada").await?, "good evening, ada");
//! # Ok(()) }
//! ```

mod ambient;
mod capability;
mod clock;
mod creations;
mod details;
mod environment;
mod error;
mod events;
mod figures;
mod flight;
mod gates;
mod kept;
mod lifecycle;
mod line;
mod manager;
mod name;
mod op;
mod panics;
mod reaper;
mod registry;
mod reply;
mod section;
mod select;
pub mod settings;
mod sharded;
mod stripe;
mod subsystem;
mod sync;

pub use ambient::Deadline;
pub use capability::{Capabilities, Support};
pub use clock::Clock;
pub use details::{Detail, Details, Metric, MetricValue};
pub use environment::{BuildContext, Environment};
pub use error::{Class, Error, ErrorKind, Gate, Outcome, Place, Result, Retry};
pub use events::{Event, Events, Source, Subscription};
pub use figures::{Durations, OpFigures};
pub use gates::{
    AttemptTimeout, Backoff, Breaker, BreakerCounts, BreakerFigures, BreakerPermit, BreakerPolicy,
    BreakerState, BreakerWindow, BudgetPolicy, Bulkhead, BulkheadLimit, Cause, ChainStep, Decision,
    Fault, Faults, Gates, Gradient, HedgeAfter, HedgePolicy, Jitter, KeyedRateLimiter, Limited,
    OwnedPermit, Permit, Policy, RateDecision, RateLimit, RateLimiter, Reservation, RetryBudget,
    RetryPolicy, Verdict, Why, Withdrawal, execute_with_resilience, with_fallback,
};
pub use kept::{Kept, Unmade};
pub use lifecycle::{Health, Lifecycle, Status};
pub use line::{Held, Leased, Line, Opener, Step, Swapped};
pub use manager::{
    Change, CloseReport, Committed, GroupSettings, HealthReport, HealthWatch, InstanceInfo,
    InstanceSettings, Manager, Override, PolicyChoice, Prepared, SelectorChoice,
};
pub use name::Name;
pub use op::{Effect, Op};
pub use reaper::{Job, Reaper, ReaperFigures, Running};
pub use registry::{Descriptor, DriverInfo, Entry, Registry, Replacement};
pub use reply::Reply;
pub use section::Section;
pub use select::{
    CallEnd, Candidates, EjectPolicy, Ejecting, Ending, HashByKey, HealthCheck, LeastLoaded,
    Priority, RoundRobin, Selector, Weighted,
};
pub use settings::{NoSettings, Origin, Problem, Problems, Secret, Settings, ShownSetting};
pub use subsystem::{Erase, LeftOut, Subsystem};
