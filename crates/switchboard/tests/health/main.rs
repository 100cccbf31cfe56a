//! How a board is: what is shown of its instances and features, and what it is found from.

#![expect(clippy::unwrap_used, reason = "what fails in the stage fails the test that uses it")]

mod building;
mod checks;
mod features;
mod many;
mod rounds;
mod stage;
mod traffic;
