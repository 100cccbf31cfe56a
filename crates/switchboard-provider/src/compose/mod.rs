//! Providers made of providers: in other types, behind middleware, several as one, with a copy.
//!
//! What is made is a provider of the same shape, so pieces go into each other, behind gates and into
//! managers. All of it runs in the call that asks for it: nothing is started, and a call that is
//! dropped takes everything with it.

pub mod adapt;
pub mod chain;
pub mod fan_out;
pub(crate) mod several;
pub mod tap;

use std::any::Any;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use switchboard_core::{Error, ErrorKind, Result};

/// The end of `future`; a panic in it is an error, so that it cuts off nothing that runs beside it.
pub(crate) async fn contained<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let ended = AssertUnwindSafe(future).catch_unwind().await;
    ended.unwrap_or_else(|payload| Err(panicked(&*payload)))
}

pub(crate) fn panicked(payload: &(dyn Any + Send)) -> Error {
    let words = payload.downcast_ref::<&str>().copied();
    let words = words.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    Error::new(ErrorKind::Unexpected, "the provider panicked")
        .with_context("panic", words.unwrap_or("(no message)"))
}
