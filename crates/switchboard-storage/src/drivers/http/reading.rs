//! What answers say of objects: how long they are, and which bytes these are.

use std::ops::Range;

use bytes::Buf as _;
use futures_util::TryStreamExt as _;
use futures_util::stream::try_unfold;
use http::header::{HeaderMap, HeaderValue, RANGE};
use http::{Method, StatusCode};
use switchboard_core::{Error, ErrorKind, Result};

use super::Http;
use super::version::{Told, conditions};
use crate::wire::{Answer, content_range, foreign, written_range};
use crate::{Body, ByteRange, Fetched, Key, Meta, Read};

impl Http {
    pub(super) async fn look(&self, key: Key<'_>) -> Result<Meta> {
        let answer = self.site.ask(&Method::HEAD, Some(key), &HeaderMap::new()).await?;
        match (answer.status(), told_length(&answer)) {
            // Some say that there is nothing because they send nothing.
            (StatusCode::OK, Some(size @ 1..)) => return Told::by(&answer).meta(size, &self.clock),
            (StatusCode::OK | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED, _) => {}
            _ => return Err(self.site.classify(&answer)),
        }
        // Any other request brings bytes with it: one will do, if there is one.
        let first = Read { range: Some(ByteRange::Span(0..1)), ..Read::default() };
        let fetched = match self.fetch(key, &first).await {
            Err(error) if error.kind() == ErrorKind::InvalidInput => {
                self.fetch(key, &Read::default()).await?
            }
            fetched => fetched?,
        };
        fetched.map(|fetched| fetched.meta).ok_or_else(foreign)
    }

    pub(super) async fn fetch(&self, key: Key<'_>, read: &Read) -> Result<Option<Fetched>> {
        let mut wanted = conditions(read)?;
        if let Some(range) = &read.range {
            let range = HeaderValue::from_str(&written_range(range)?);
            wanted.extend(range.map(|range| (RANGE, range)));
        }
        let answer = self.site.ask(&Method::GET, Some(key), &wanted).await?;
        let fetched = match answer.status() {
            StatusCode::OK => self.whole(answer).await?,
            StatusCode::PARTIAL_CONTENT if read.range.is_some() => self.part(answer)?,
            StatusCode::NOT_MODIFIED if read.unless.is_some() || read.since.is_some() => {
                return Ok(None);
            }
            StatusCode::RANGE_NOT_SATISFIABLE if read.only.is_some() => {
                // The server may have looked at the range of another version.
                let meta = Box::pin(self.look(key)).await?;
                return Err(read
                    .allows(&meta)
                    .err()
                    .unwrap_or_else(|| self.site.classify(&answer)));
            }
            _ => return Err(self.site.classify(&answer)),
        };
        // Not every server listens to conditions, or to ranges.
        if !read.allows(&fetched.meta)? {
            return Ok(None);
        }
        match &read.range {
            Some(range) => self.cut(fetched, range).map(Some),
            None => Ok(Some(fetched)),
        }
    }

    /// The object that is the whole answer.
    async fn whole(&self, answer: Answer) -> Result<Fetched> {
        let told = Told::by(&answer);
        if let Some(size) = told_length(&answer) {
            let meta = told.meta(size, &self.clock)?;
            return Ok(Fetched { meta, range: 0..size, body: answer.into_body().of_service(size) });
        }
        if !is_chunked(&answer) {
            return Err(endless());
        }
        let bytes = answer.into_body().collect(self.unsized_max).await;
        let bytes = bytes.map_err(|error| match error.kind() {
            ErrorKind::TooLarge => error.with_hint(
                "the server does not tell how long the object is: `unsized_max` says how much is read to know",
            ),
            _ => error,
        })?;
        let size = bytes.len() as u64;
        Ok(Fetched { meta: told.meta(size, &self.clock)?, range: 0..size, body: bytes.into() })
    }

    /// The part of an object that the answer is.
    fn part(&self, answer: Answer) -> Result<Fetched> {
        let (range, size) =
            answer.header("content-range").and_then(content_range).ok_or_else(foreign)?;
        let length = range.end.saturating_sub(range.start);
        if told_length(&answer).is_some_and(|told| told != length) {
            return Err(Error::new(ErrorKind::Unexpected, "the server says two lengths of a part"));
        }
        let meta = Told::by(&answer).meta(size, &self.clock)?;
        Ok(Fetched { meta, range, body: answer.into_body().of_service(length) })
    }

    /// Those bytes of what the server sent, if it can be told which they are.
    fn cut(&self, fetched: Fetched, range: &ByteRange) -> Result<Fetched> {
        let Fetched { meta, range: sent, body } = fetched;
        let wanted = range.of(meta.size)?;
        if sent == wanted {
            return Ok(Fetched { meta, range: sent, body });
        }
        if sent != (0..meta.size) {
            let why = "the server sent other bytes than were asked for";
            return Err(Error::new(ErrorKind::Unexpected, why)
                .with_context("asked", format_args!("{wanted:?}"))
                .with_context("sent", format_args!("{sent:?}")));
        }
        if wanted.start > self.skip_max {
            let why = "the server sends only whole objects";
            return Err(Error::new(ErrorKind::Unsupported, why)
                .with_context("skip_bytes", wanted.start)
                .with_context("skip_bytes_max", self.skip_max)
                .with_hint("`skip_max` says how much is read and thrown away to come to a part")
                .not_applied());
        }
        Ok(Fetched { meta, range: wanted.clone(), body: between(body, wanted) })
    }
}

/// Those bytes of a whole object. Nothing after them is waited for.
fn between(whole: Body, wanted: Range<u64>) -> Body {
    let length = wanted.end - wanted.start;
    let pieces =
        try_unfold((whole, wanted.start, length), |(mut whole, mut skip, left)| async move {
            if left == 0 {
                return Ok::<_, Error>(None);
            }
            while let Some(mut piece) = whole.try_next().await? {
                let before = most(skip).min(piece.len());
                piece.advance(before);
                skip -= before as u64;
                piece.truncate(most(left));
                if !piece.is_empty() {
                    let left = left - piece.len() as u64;
                    return Ok(Some((piece, (whole, skip, left))));
                }
            }
            Ok(None)
        });
    Body::stream(pieces).of_service(length)
}

fn most(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// How long the body of the answer is, or would be, if that is said before it comes.
fn told_length(answer: &Answer) -> Option<u64> {
    match answer.header("transfer-encoding") {
        Some(_) => None,
        None => answer.length().ok(),
    }
}

/// Whether the end of the body will be told, so that it cannot be mistaken for a connection that ends.
fn is_chunked(answer: &Answer) -> bool {
    let last = answer.header("transfer-encoding").and_then(|all| all.rsplit(',').next());
    last.is_some_and(|last| last.trim().eq_ignore_ascii_case("chunked"))
}

fn endless() -> Error {
    let why = "the server does not say where the object ends, so nobody could tell whether all of it came";
    Error::new(ErrorKind::Unsupported, why).not_applied()
}
