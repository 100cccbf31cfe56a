//! The chain of gates as a caller of a line meets it: with real managers, lines and gates, and a
//! driver that does what the test says.

#![allow(clippy::unwrap_used, reason = "in tests a panic says what is wrong")]

mod attempts;
mod by_hand;
mod deadlines;
mod drops;
mod events;
mod faults;
mod groups;
mod hedges;
mod order;
mod outside;
mod permits;
mod retries;
mod settings;
mod sizes;
mod station;
