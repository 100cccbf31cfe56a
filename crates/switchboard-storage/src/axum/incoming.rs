//! The body of a request as that of an object.

use std::convert::Infallible;
use std::fmt;
use std::time::Duration;

use axum_core::body::Body as Sent;
use axum_core::extract::{FromRequest, Request};
use http::header::{self, HeaderMap};
use switchboard_core::Result;

use crate::Body;
use crate::handler::{Limits, body_of};

/// What a request sends, to be stored as it comes.
///
/// It is read as far as [`body`](Self::body) says; a limit on bodies that the application has for other requests
/// says nothing about it.
pub struct Incoming {
    headers: HeaderMap,
    sent: Sent,
    idle_max: Duration,
}

impl Incoming {
    /// The kind of content, as whoever sends it says.
    pub fn content_type(&self) -> Option<&str> {
        self.headers.get(header::CONTENT_TYPE)?.to_str().ok()
    }

    /// How long it may send nothing; without it 30 seconds.
    #[must_use]
    pub fn idle_max(mut self, idle: Duration) -> Self {
        self.idle_max = idle;
        self
    }

    /// The bytes, `size_max` at most: more is [`TooLarge`](switchboard_core::ErrorKind::TooLarge), at once if it
    /// was said before, and else when it comes.
    pub fn body(self, size_max: u64) -> Result<Body> {
        body_of(self.sent, Limits { size_max, idle_max: self.idle_max })
    }
}

impl<S: Send + Sync> FromRequest<S> for Incoming {
    type Rejection = Infallible;

    async fn from_request(request: Request, _: &S) -> Result<Self, Infallible> {
        let (parts, sent) = request.into_parts();
        Ok(Self { headers: parts.headers, sent, idle_max: Duration::from_secs(30) })
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming")
            .field("content_type", &self.content_type())
            .finish_non_exhaustive()
    }
}
