//! Swappable providers of an application's own: a model, a transcriber, a payment service.
//!
//! A provider has one of four shapes: [`RequestResponse`], [`Stream`], [`Sink`], [`Duplex`]. A family
//! of providers of one shape is a [`Subsystem`](switchboard_core::Subsystem) like any other, so it
//! is configured, listed, checked, guarded, selected, swapped and watched like the built-in ones.
//!
//! Read in this order: [`Provider`], the base of all; the four shapes, each with the handle of its
//! families ([`Requester`], [`Streamer`], [`Sender`], [`Dialer`]); [`function`], providers from
//! functions; [`guard`], the gates around a provider that no manager looks after; [`compose`],
//! providers made of providers; [`flow`], streams in windows, as a whole and merged; [`hold`], clients
//! and memories that providers hold on to.

mod asked;
pub mod bridge;
pub mod compose;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod duplex;
pub mod flow;
pub mod function;
pub mod guard;
pub mod hold;
mod provider;
pub mod request_response;
pub mod sink;
pub mod stream;

pub use compose::adapt::{Adapt, AdaptStep};
pub use compose::chain::Chain;
pub use compose::fan_out::FanOut;
pub use compose::tap::Tap;
pub use duplex::{Conversation, Dialer, Duplex, OpenConversation};
pub use flow::drain::{Drained, drain};
pub use flow::fan_out::{FanOutStream, Sourced};
pub use flow::windows::{Windowed, Windows, windows};
pub use hold::connector::{Connected, Connector};
pub use hold::context::{ContextStore, MemoryContexts};
pub use hold::stateful::{Answered, NextContext, Stateful, Turn};
pub use provider::Provider;
pub use request_response::{RequestResponse, Requester};
pub use sink::{Sender, Sink};
pub use stream::{Items, OpenStream, Stream, Streamer};
