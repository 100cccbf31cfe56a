//! The body of a response.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::StreamExt as _;
use http_body::{Body as HttpBody, Frame, SizeHint};
use switchboard_core::{Error, Result};

use crate::Object;

/// The body of a response: the bytes of an object as they come, or a few words.
pub struct Content {
    source: Source,
    left: u64,
}

enum Source {
    Text(&'static str),
    Object(Box<Object>),
}

impl Content {
    pub(super) fn empty() -> Self {
        Self::text("")
    }

    pub(super) fn text(text: &'static str) -> Self {
        Self { source: Source::Text(text), left: text.len() as u64 }
    }
}

impl From<Object> for Content {
    fn from(object: Object) -> Self {
        let range = object.range();
        Self { left: range.end - range.start, source: Source::Object(Box::new(object)) }
    }
}

impl HttpBody for Content {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>>>> {
        let piece = match &mut self.source {
            Source::Text(text) => match std::mem::take(text) {
                "" => None,
                text => Some(Ok(Bytes::from_static(text.as_bytes()))),
            },
            Source::Object(object) => ready!(object.poll_next_unpin(context)),
        };
        if let Some(Ok(piece)) = &piece {
            self.left = self.left.saturating_sub(piece.len() as u64);
        }
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        // The end of an object says whether its bytes are right, and has to be asked for.
        matches!(self.source, Source::Text(""))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content").field("left", &self.left).finish_non_exhaustive()
    }
}
