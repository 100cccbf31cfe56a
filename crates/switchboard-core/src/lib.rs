//! The spine of Switchboard: what every subsystem stands on.
//!
//! Read in this order: [`Error`], the one error type; [`Clock`], where time and randomness come
//! from; [`Op`] and [`Effect`], what can be asked of a driver.

mod clock;
mod error;
mod op;
pub mod settings;
mod stripe;
mod sync;

pub use clock::Clock;
pub use error::{Class, Error, ErrorKind, Gate, Outcome, Place, Result, Retry};
pub use op::{Effect, Op};
pub use settings::{Origin, Problem, Problems, Secret, Settings};
