//! What tests of drivers and of applications need, and that the real parts do not have.

mod clock;
mod dropping;
mod script;

pub use clock::{advance, poll_settled, settle};
pub use dropping::drop_at_every_await;
pub use script::{Answer, Release, Script};
