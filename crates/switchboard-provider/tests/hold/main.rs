//! What providers hold on to: clients that are connected when needed, and memories of earlier calls.

#![allow(clippy::unwrap_used, reason = "what helps a test stops at the first surprise as it does")]

mod connector;
mod context;
mod stateful;
