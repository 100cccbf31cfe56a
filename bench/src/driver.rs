//! The driver that every asynchronous line calls: it does next to nothing, so that what is
//! measured is the way to it.

use std::fmt;
use std::future::{Ready, ready};
use std::hint::black_box;

use async_trait::async_trait;

/// A contract as subsystems have it: object-safe, a boxed future per call.
#[async_trait]
pub trait Driver: Send + Sync {
    async fn get(&self, key: &str) -> Result<u64, Fault>;
}

/// The same without the box: where what surrounds the call is measured, the box would blur it.
pub trait ReadyDriver: Send + Sync {
    fn get_ready(&self, key: &str) -> Ready<Result<u64, Fault>>;
}

/// Answers at once with the length of the key.
pub struct Length;

#[async_trait]
impl Driver for Length {
    async fn get(&self, key: &str) -> Result<u64, Fault> {
        Ok(black_box(key).len() as u64)
    }
}

impl ReadyDriver for Length {
    fn get_ready(&self, key: &str) -> Ready<Result<u64, Fault>> {
        ready(Ok(black_box(key).len() as u64))
    }
}

/// What a failing driver answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault;

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the driver failed")
    }
}

impl std::error::Error for Fault {}

/// The key of every call, and the answer [`Length`] has for it.
pub const KEY: &str = "user:1234";
pub const ANSWER: u64 = 9;
