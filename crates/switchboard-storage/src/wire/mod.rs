//! One request over HTTP and its answer, whoever asks for what.
//!
//! Read in this order: [`Wire`], the connections, and how long each step may take; [`Answer`], what came back;
//! `said`, what HTTP says of objects; `notation`, how addresses and moments are written.
//!
//! Nothing here repeats a request, follows a redirection or waits for longer than it was told to.

mod answer;
mod connection;
mod notation;
mod said;
#[cfg(test)]
pub(crate) mod scripted;

pub(crate) use answer::{Answer, foreign};
pub use connection::HttpConfig;
pub(crate) use connection::Wire;
pub(crate) use notation::{encoded_path, moment, written_moment};
pub(crate) use said::{content_range, written_range};
use switchboard_core::{Policy, RetryPolicy};

/// The gates of disks at services over a network, where the settings say nothing of a policy: a connection that
/// breaks, a limit that is met for a moment, is not worth the attention of an application.
pub(crate) fn usual_policy() -> Policy {
    Policy { retry: Some(RetryPolicy::default()), ..Policy::default() }
}
