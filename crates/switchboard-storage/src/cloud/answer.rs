//! What came back: the head of an answer, and its bytes as they come.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::response::Parts;
use http::{Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use switchboard_core::{Error, ErrorKind, Result};

use super::xml::Element;
use crate::Body;

/// The answer of a service, of which the head is there.
#[derive(Debug)]
pub(crate) struct Answer {
    parts: Parts,
    body: Incoming,
    idle_timeout: Duration,
}

impl Answer {
    pub(super) fn new(answer: Response<Incoming>, idle_timeout: Duration) -> Self {
        let (parts, body) = answer.into_parts();
        Self { parts, body, idle_timeout }
    }

    pub(super) fn into_parts(self) -> (Parts, Incoming) {
        (self.parts, self.body)
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.parts.status
    }

    /// The value of a header, if it is there and is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }

    /// The headers whose names begin with `prefix`, by the rest of their names.
    pub(crate) fn headers_after<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.parts.headers.iter().filter_map(move |(name, value)| {
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

    /// The answer as XML. What is none is not from the service, but from somebody in between.
    pub(crate) async fn xml(self) -> Result<Element> {
        Element::parse(&self.bytes().await?).ok_or_else(foreign)
    }

    /// The bytes of an object as they come.
    pub(crate) fn into_body(self) -> Body {
        Body::stream(stream::try_unfold(self, |mut answer| async move {
            Ok::<_, Error>(answer.next().await?.map(|piece| (piece, answer)))
        }))
    }

    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            let frame = tokio::time::timeout(self.idle_timeout, self.body.frame()).await;
            match frame {
                Ok(None) => return Ok(None),
                Ok(Some(Ok(frame))) => {
                    if let Ok(piece) = frame.into_data() {
                        return Ok(Some(piece));
                    }
                }
                Ok(Some(Err(error))) => {
                    return Err(Error::new(
                        ErrorKind::Unavailable,
                        "the answer of the service broke off",
                    )
                    .with_source(error));
                }
                Err(_) => {
                    return Err(Error::new(
                        ErrorKind::Timeout,
                        "the service stopped in the middle of its answer",
                    ));
                }
            }
        }
    }
}

/// What is said of an answer that the service cannot have given.
pub(crate) fn foreign() -> Error {
    Error::new(ErrorKind::Unavailable, "the answer is not from the service")
        .with_hint("a proxy or a sign-in page may stand in between")
}

/// The longest answer is a page of a list: a thousand keys of a kibibyte, three times that when written with
/// percent signs.
const ANSWER_MAX: usize = 16 << 20;
