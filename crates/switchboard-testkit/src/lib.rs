//! What tests of drivers and of applications need, and that the real parts do not have.
//!
//! A dev-dependency: it lets tests decide what time it is ([`advance`]), what a driver answers
//! ([`Script`]), what goes wrong on the way to it ([`inject`]) and when a caller goes away
//! ([`drop_at_every_await`]), and it looks whether anything is left behind ([`assert_idle`]).
//! Each stands alone; [`Workbench`] is the place where they meet. Its functions panic where a test
//! fails, as assertions do.
//!
//! Tests of handles and gates run on tokio's paused clock:
//!
//! ```
//! use switchboard_core::{Erase, Lifecycle, Line, Op, Policy, Registry, Reply, Result, Subsystem};
//! use switchboard_testkit::{Answer, Script, Workbench, assert_idle, drop_at_every_await};
//!
//! // The subsystem under test: counters, which can be read.
//! trait CountersDriver: Lifecycle {
//!     fn read<'a>(&'a self, name: &'a str) -> Reply<'a, u64>;
//! }
//! # impl<T: CountersDriver> Erase<T> for dyn CountersDriver {
//! #     fn erase(driver: std::sync::Arc<T>) -> std::sync::Arc<Self> { driver }
//! # }
//! # switchboard_core::operations! { pub mod op { READ = "read": Read; } }
//! # struct CountersSubsystem;
//! # impl Subsystem for CountersSubsystem {
//! #     const NAME: &'static str = "counters";
//! #     const OPERATIONS: &'static [Op] = op::ALL;
//! #     type Driver = dyn CountersDriver;
//! #     type Handle = Counters;
//! #     fn register_built_ins(_: &Registry<Self>) -> Result<()> { Ok(()) }
//! # }
//! # #[derive(Clone)]
//! # struct Counters { line: Line<CountersSubsystem> }
//! # impl From<Line<CountersSubsystem>> for Counters {
//! #     fn from(line: Line<CountersSubsystem>) -> Self { Self { line } }
//! # }
//! # impl Counters {
//! #     async fn read(&self, name: &str) -> Result<u64> {
//! #         self.line.call(op::READ, |driver| async move { driver.read(name).await }).await
//! #     }
//! #     fn line(&self) -> &Line<CountersSubsystem> { &self.line }
//! # }
//!
//! // A driver that does what the test says.
//! struct Scripted(Script<String>);
//!
//! impl Lifecycle for Scripted {}
//!
//! impl CountersDriver for Scripted {
//!     fn read<'a>(&'a self, name: &'a str) -> Reply<'a, u64> {
//!         self.0.call(name.to_owned())
//!     }
//! }
//!
//! #[tokio::main(flavor = "current_thread", start_paused = true)]
//! async fn main() -> Result<()> {
//!     let script = Script::new();
//!     let bench = Workbench::<CountersSubsystem>::new()?;
//!     let counters = bench.serve("main", Scripted(script.clone()), Policy::default())?;
//!
//!     script.expect("visits".to_owned(), Answer::reply(7_u64));
//!     assert_eq!(counters.read("visits").await?, 7);
//!     script.assert_done();
//!
//!     script.otherwise(|_| Answer::reply(7_u64).after(std::time::Duration::from_secs(1)));
//!     let awaits = drop_at_every_await(
//!         || counters.read("visits"),
//!         async |_| assert_idle(counters.line()).await,
//!     );
//!     assert_eq!(awaits.await, 1);
//!     bench.close().await;
//!     Ok(())
//! }
//! ```

mod clock;
mod dropping;
mod faults;
mod idle;
mod recorder;
pub mod rules;
mod script;
mod services;
mod wire;
mod workbench;

pub use clock::{advance, poll_settled, settle};
pub use dropping::drop_at_every_await;
pub use faults::{Injected, failures, flaky, inject, outage, slowed};
pub use idle::assert_idle;
pub use recorder::Recorder;
pub use script::{Answer, Release, Script};
pub use services::{private_service, service_url, unique};
pub use wire::{Connection, Direction, Moment, Trap, Wire};
pub use workbench::Workbench;
