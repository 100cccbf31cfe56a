//! What providers hold on to: a client that is connected when it is needed ([`connector`]), and a
//! memory of earlier calls ([`stateful`]), whose calls may take turns ([`turns`]).

pub mod connector;
pub mod context;
pub mod stateful;
pub mod turns;
