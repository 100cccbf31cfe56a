//! Providers made of providers: in other types, behind middleware.
//!
//! What is made is a provider of the same shape, so pieces go into each other, behind gates and into
//! managers. All of it runs in the call that asks for it: nothing is started, and a call that is
//! dropped takes everything with it.

pub mod adapt;
pub mod chain;
