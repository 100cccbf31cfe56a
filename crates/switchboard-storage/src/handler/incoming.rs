//! The body of a request as that of an object.

use std::error::Error as StdError;
use std::time::Duration;

use bytes::Buf as _;
use futures_util::StreamExt as _;
use http_body::Body as HttpBody;
use http_body_util::BodyExt as _;
use switchboard_core::{Error, ErrorKind, Result};

use crate::Body;

/// What is taken of those who send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) size_max: u64,
    /// How long nothing may come.
    pub(crate) idle_max: Duration,
}

/// What is sent, as it comes. What was said to be too much is refused before anything of it is read.
pub(crate) fn body_of<B>(sent: B, limits: Limits) -> Result<Body>
where
    B: HttpBody + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let Limits { size_max, idle_max } = limits;
    let length = sent.size_hint();
    if length.lower() > size_max {
        return Err(too_large(size_max));
    }
    let sent = Box::pin(sent.into_data_stream());
    let pieces =
        futures_util::stream::try_unfold((sent, size_max), move |(mut sent, left)| async move {
            let Ok(next) = tokio::time::timeout(idle_max, sent.next()).await else {
                let why = Error::new(ErrorKind::InvalidInput, "the sender stopped before the end");
                return Err(why.with_context("idle_max_s", idle_max.as_secs()));
            };
            let Some(piece) = next else { return Ok(None) };
            let mut piece = piece.map_err(|error| {
                Error::new(ErrorKind::InvalidInput, "the sender is gone").with_source(error.into())
            })?;
            let piece = piece.copy_to_bytes(piece.remaining());
            let left = left.checked_sub(piece.len() as u64).ok_or_else(|| too_large(size_max))?;
            Ok(Some((piece, (sent, left))))
        });
    let body = Body::stream(pieces);
    Ok(match length.exact() {
        Some(length) => body.with_length(length),
        None => body,
    })
}

pub(crate) fn too_large(size_max: u64) -> Error {
    Error::new(ErrorKind::TooLarge, "more is sent than may be stored")
        .with_context("size_bytes_max", size_max)
        .not_applied()
}
