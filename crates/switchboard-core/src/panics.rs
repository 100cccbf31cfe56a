//! Turns a panic in somebody else's code into an error that can be kept beside others.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use crate::{Error, ErrorKind};

/// What a panic said.
pub(crate) struct Panicked(String);

impl Panicked {
    pub(crate) fn into_error(self, operation: &'static str) -> Error {
        Error::new(ErrorKind::Unexpected, "the driver panicked")
            .with_context("panic", self.0)
            .with_context("during", operation)
    }
}

impl From<Box<dyn Any + Send>> for Panicked {
    fn from(payload: Box<dyn Any + Send>) -> Self {
        let text = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned());
        Self(text.unwrap_or_else(|| "(no message)".to_owned()))
    }
}

/// Runs `future`; a panic in it ends only it.
pub(crate) async fn contained<F: Future>(future: F) -> Result<F::Output, Panicked> {
    let mut future = pin!(future);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(poll) => poll.map(Ok),
        Err(payload) => Poll::Ready(Err(payload.into())),
    })
    .await
}
