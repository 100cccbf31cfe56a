//! The bytes of an object: in hand, or as they come.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde::Serialize;
use switchboard_core::{Error, ErrorKind, Result};

/// The bytes of an object: in hand, or as they come.
///
/// It is a [`Stream`] of pieces, none of which is empty. Whatever was said of its length is held to: a
/// body that ends before, or goes on after, ends with an error.
///
/// ```
/// use switchboard_storage::Body;
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// let pieces = futures_util::stream::iter(["for", "ty", "-two"]);
/// let body = Body::stream(pieces.map(Ok::<_, std::io::Error>));
/// # use futures_util::StreamExt as _;
/// assert_eq!(body.collect(1024).await?, "forty-two");
/// # Ok::<(), switchboard_core::Error>(()) }).unwrap();
/// ```
pub struct Body {
    content: Content,
    /// How many bytes are still to come, where that was said.
    left: Option<u64>,
    /// Who said it, and is to blame where it is wrong.
    said_by: SaidBy,
}

#[derive(Clone, Copy)]
enum SaidBy {
    Caller,
    Service,
}

enum Content {
    Whole(Bytes),
    Pieces(Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>),
    Ended,
}

impl Body {
    /// No bytes.
    pub fn empty() -> Self {
        Self::from(Bytes::new())
    }

    /// What `pieces` gives, of any length. An error of it ends the body.
    pub fn stream<P, E>(
        pieces: impl Stream<Item = std::result::Result<P, E>> + Send + 'static,
    ) -> Self
    where
        P: Into<Bytes>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let pieces = pieces.map(|piece| match piece {
            Ok(piece) => Ok(piece.into()),
            Err(error) => Err(failed(error.into())),
        });
        Self { content: Content::Pieces(Box::pin(pieces)), left: None, said_by: SaidBy::Caller }
    }

    /// `value`, written in JSON. One that cannot be written so is the error of whoever reads the body:
    /// [`ErrorKind::InvalidInput`].
    pub fn json(value: &(impl Serialize + ?Sized)) -> Self {
        match serde_json::to_vec(value) {
            Ok(written) => written.into(),
            Err(error) => {
                let error =
                    Error::new(ErrorKind::InvalidInput, "the value cannot be written in JSON")
                        .with_source(error);
                Self::stream(futures_util::stream::iter([Err::<Bytes, _>(error)]))
            }
        }
    }

    /// The same bytes, of which there are `length`.
    #[must_use]
    pub fn with_length(self, length: u64) -> Self {
        Self { left: Some(length), ..self }
    }

    /// The bytes of an object, of which the service says that there are `length`.
    pub(crate) fn of_service(self, length: u64) -> Self {
        Self { left: Some(length), said_by: SaidBy::Service, ..self }
    }

    /// How many bytes are still to come, where that is known.
    pub fn length(&self) -> Option<u64> {
        self.left
    }

    /// All of it, if it is in hand and as long as it was said to be.
    pub(crate) fn whole(self) -> Result<std::result::Result<Bytes, Self>> {
        match self {
            Self { content: Content::Whole(whole), left, said_by } => match left {
                Some(left) if left > whole.len() as u64 => {
                    Err(said_by.too_short(left - whole.len() as u64))
                }
                Some(left) if left < whole.len() as u64 => Err(said_by.too_long()),
                _ => Ok(Ok(whole)),
            },
            other => Ok(Err(other)),
        }
    }

    /// All bytes, `limit` at most.
    pub async fn collect(self, limit: usize) -> Result<Bytes> {
        let too_large = || {
            Error::new(ErrorKind::TooLarge, "there are more bytes than were to be collected")
                .with_context("limit_bytes", limit)
        };
        if self.left.is_some_and(|left| left > limit as u64) {
            return Err(too_large());
        }
        let mut pieces = match self.whole()? {
            Ok(whole) if whole.len() > limit => return Err(too_large()),
            Ok(whole) => return Ok(whole),
            Err(pieces) => pieces,
        };
        let Some(first) = pieces.try_next().await? else { return Ok(Bytes::new()) };
        let Some(second) = pieces.try_next().await? else {
            return if first.len() > limit { Err(too_large()) } else { Ok(first) };
        };
        let mut all = BytesMut::from(&first[..]);
        all.extend_from_slice(&second);
        while all.len() <= limit {
            match pieces.try_next().await? {
                Some(piece) => all.extend_from_slice(&piece),
                None => return Ok(all.freeze()),
            }
        }
        Err(too_large())
    }
}

impl Stream for Body {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = loop {
            let next = match &mut self.content {
                Content::Whole(_) => {
                    let Content::Whole(whole) =
                        std::mem::replace(&mut self.content, Content::Ended)
                    else {
                        return Poll::Ready(None);
                    };
                    (!whole.is_empty()).then_some(Ok(whole))
                }
                Content::Pieces(pieces) => std::task::ready!(pieces.as_mut().poll_next(context)),
                Content::Ended => return self.at_end(),
            };
            match next {
                Some(Ok(piece)) if piece.is_empty() => {}
                next => break next,
            }
        };
        match next {
            None => self.at_end(),
            Some(Err(error)) => self.end_with(error),
            Some(Ok(piece)) => {
                if let Some(left) = self.left {
                    let Some(left) = left.checked_sub(piece.len() as u64) else {
                        let error = self.said_by.too_long();
                        return self.end_with(error);
                    };
                    self.left = Some(left);
                }
                Poll::Ready(Some(Ok(piece)))
            }
        }
    }
}

impl Body {
    fn at_end(&mut self) -> Poll<Option<Result<Bytes>>> {
        match self.left {
            Some(left) if left > 0 => {
                let error = self.said_by.too_short(left);
                self.end_with(error)
            }
            _ => {
                self.content = Content::Ended;
                Poll::Ready(None)
            }
        }
    }

    /// Nothing comes after an error.
    fn end_with(&mut self, error: Error) -> Poll<Option<Result<Bytes>>> {
        (self.content, self.left) = (Content::Ended, None);
        Poll::Ready(Some(Err(error)))
    }
}

/// An error of ours stays what it is, also inside of one of readers; another is the fault of whoever gave the bytes.
fn failed(error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    let error = match error.downcast::<std::io::Error>() {
        Ok(io) => match io.downcast::<Error>() {
            Ok(own) => return own,
            Err(io) => io.into(),
        },
        Err(error) => error,
    };
    match error.downcast::<Error>() {
        Ok(error) => *error,
        Err(error) => {
            Error::new(ErrorKind::InvalidInput, "the source of the bytes failed").with_source(error)
        }
    }
}

impl SaidBy {
    fn too_short(self, missing: u64) -> Error {
        let error = match self {
            Self::Caller => {
                Error::new(ErrorKind::InvalidInput, "there are fewer bytes than was said")
            }
            Self::Service => Error::new(
                ErrorKind::Unavailable,
                "the service stopped before the end of the object",
            ),
        };
        error.with_context("missing_bytes", missing)
    }

    fn too_long(self) -> Error {
        match self {
            Self::Caller => {
                Error::new(ErrorKind::InvalidInput, "there are more bytes than was said")
            }
            Self::Service => {
                Error::new(ErrorKind::Corrupt, "the service sent more bytes than the object has")
            }
        }
    }
}

impl From<Bytes> for Body {
    fn from(whole: Bytes) -> Self {
        let left = Some(whole.len() as u64);
        Self { content: Content::Whole(whole), left, said_by: SaidBy::Caller }
    }
}

impl From<Vec<u8>> for Body {
    fn from(whole: Vec<u8>) -> Self {
        Bytes::from(whole).into()
    }
}

impl From<String> for Body {
    fn from(whole: String) -> Self {
        Bytes::from(whole).into()
    }
}

/// A copy of the text.
impl From<&String> for Body {
    fn from(whole: &String) -> Self {
        Bytes::copy_from_slice(whole.as_bytes()).into()
    }
}

/// A copy of the bytes.
impl From<&Vec<u8>> for Body {
    fn from(whole: &Vec<u8>) -> Self {
        Bytes::copy_from_slice(whole).into()
    }
}

/// The same bytes; nothing is copied.
impl From<&Bytes> for Body {
    fn from(whole: &Bytes) -> Self {
        whole.clone().into()
    }
}

impl From<&'static str> for Body {
    fn from(whole: &'static str) -> Self {
        Bytes::from_static(whole.as_bytes()).into()
    }
}

impl From<&'static [u8]> for Body {
    fn from(whole: &'static [u8]) -> Self {
        Bytes::from_static(whole).into()
    }
}

impl<const N: usize> From<&'static [u8; N]> for Body {
    fn from(whole: &'static [u8; N]) -> Self {
        Bytes::from_static(whole).into()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("left", &self.left).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(pieces: &[&'static str]) -> Body {
        let pieces: Vec<_> = pieces.iter().map(|piece| Ok::<_, Error>(*piece)).collect();
        Body::stream(futures_util::stream::iter(pieces))
    }

    #[tokio::test]
    async fn a_body_is_as_long_as_was_said() {
        assert_eq!(pieces(&["ab", "", "c"]).with_length(3).collect(9).await.unwrap(), "abc");
        for (body, wrong) in [
            (pieces(&["ab", "c"]).with_length(2), "more bytes"),
            (pieces(&["ab", "c"]).with_length(4), "fewer bytes"),
            (pieces(&[]).with_length(1), "fewer bytes"),
            (Body::from("abc").with_length(2), "more bytes"),
            (Body::from("abc").with_length(4), "fewer bytes"),
        ] {
            let error = body.collect(9).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(wrong), "{error}");
        }
    }

    #[tokio::test]
    async fn bytes_in_hand_are_a_body_however_they_are_held() {
        let (text, vector, bytes) = ("abc".to_owned(), b"abc".to_vec(), Bytes::from_static(b"abc"));
        let bodies = [
            Body::from(&text),
            Body::from(&vector),
            Body::from(&bytes),
            Body::from(b"abc"),
            Body::from(&b"abc"[..]),
            Body::from(text.clone()),
        ];
        for body in bodies {
            assert_eq!((body.length(), body.collect(9).await.unwrap()), (Some(3), bytes.clone()));
        }
    }

    #[tokio::test]
    async fn a_value_that_json_has_no_words_for_is_the_error_of_its_body() {
        assert_eq!(Body::json(&[2, 3]).collect(9).await.unwrap(), "[2,3]");
        let no_key = std::collections::HashMap::from([([1], 2)]);
        let error = Body::json(&no_key).collect(9).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }

    #[tokio::test]
    async fn no_more_is_collected_than_was_asked_for() {
        for body in [Body::from("abc"), pieces(&["abc"]), pieces(&["a", "b", "c"])] {
            assert_eq!(body.collect(2).await.unwrap_err().kind(), ErrorKind::TooLarge);
        }
        assert_eq!(pieces(&["a", "b", "c"]).collect(3).await.unwrap(), "abc");
    }

    #[tokio::test]
    async fn nothing_comes_after_an_error() {
        let failing = [Ok("a"), Err(Error::new(ErrorKind::Unavailable, "gone")), Ok("b")];
        let mut body = Body::stream(futures_util::stream::iter(failing)).with_length(9);
        assert_eq!(body.next().await.unwrap().unwrap(), "a");
        assert_eq!(body.next().await.unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
        assert!(body.next().await.is_none());
    }
}
