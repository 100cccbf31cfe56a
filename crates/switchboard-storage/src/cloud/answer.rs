//! What is asked of an answer: bytes that are no object, headers without a name of their own, and a range.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use switchboard_core::{Error, ErrorKind, Result};

use crate::wire::{Answer, content_range, foreign};

impl Answer {
    /// The headers whose names begin with `prefix`, by the rest of their names.
    pub(crate) fn headers_after<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.headers().iter().filter_map(move |(name, value)| {
            Some((name.as_str().strip_prefix(prefix)?, value.to_str().ok()?))
        })
    }

    /// All bytes of an answer that is not an object.
    pub(crate) async fn bytes(mut self) -> Result<Bytes> {
        let mut all = BytesMut::new();
        while let Some(piece) = self.next().await? {
            all.extend_from_slice(&piece);
            if all.len() > ANSWER_MAX {
                return Err(Error::new(
                    ErrorKind::Unexpected,
                    "the answer of the service has no end",
                )
                .with_context("limit_bytes", ANSWER_MAX));
            }
        }
        Ok(all.freeze())
    }

    /// Which bytes of the object these are, and of how many.
    pub(crate) fn range(&self, is_range: bool) -> Result<(Range<u64>, u64)> {
        if !is_range {
            let size = self.length()?;
            return Ok((0..size, size));
        }
        let empty = || {
            Error::new(ErrorKind::InvalidInput, "the object has no bytes in that range")
                .not_applied()
        };
        if self.length()? == 0 {
            return Err(empty());
        }
        if self.status() != StatusCode::PARTIAL_CONTENT {
            let why = "the service does not give parts of objects";
            return Err(Error::new(ErrorKind::Unsupported, why));
        }
        let told = self.header("content-range").and_then(content_range).ok_or_else(foreign)?;
        if told.0.is_empty() { Err(empty()) } else { Ok(told) }
    }
}

/// The longest answer is a page of a list: a thousand keys of a kibibyte, three times that when written with
/// percent signs.
const ANSWER_MAX: usize = 16 << 20;
