//! What providers hold on to: a client that is connected when it is needed ([`connector`]), and a
//! memory of earlier calls ([`stateful`]).

pub mod connector;
pub mod context;
pub mod stateful;
mod turns;
