//! What providers hold on to: a client that is connected when it is needed ([`connector`]).

pub mod connector;
