//! The spine of Switchboard: what every subsystem stands on.
//!
//! Read in this order: [`Error`], the one error type.

mod error;

pub use error::{Class, Error, ErrorKind, Gate, Outcome, Place, Result, Retry};
