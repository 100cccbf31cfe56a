//! What came back: the head of an answer, and its bytes as they come.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::response::Parts;
use http::{Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use switchboard_core::{Error, ErrorKind, Result};

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

    /// What came, for those who read it on their own.
    #[cfg(feature = "cloud")]
    pub(crate) fn into_parts(self) -> (Parts, Incoming) {
        (self.parts, self.body)
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.parts.status
    }

    /// The value of a header, if it is there and is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }

    /// All headers.
    #[cfg(feature = "cloud")]
    pub(crate) fn headers(&self) -> &http::HeaderMap {
        &self.parts.headers
    }

    /// The bytes of an object as they come.
    pub(crate) fn into_body(self) -> Body {
        Body::stream(stream::try_unfold(self, |mut answer| async move {
            Ok::<_, Error>(answer.next().await?.map(|piece| (piece, answer)))
        }))
    }

    /// The next bytes.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
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
