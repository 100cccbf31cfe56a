//! What HTTP itself says of objects: which bytes, and what every server has a header for.

use std::ops::Range;

use switchboard_core::Result;

use super::{Answer, foreign};
use crate::{Attributes, ByteRange};

impl Answer {
    /// How many bytes the answer has, or would have.
    pub(crate) fn length(&self) -> Result<u64> {
        self.header("content-length").and_then(|length| length.parse().ok()).ok_or_else(foreign)
    }

    /// What the headers say of an object.
    pub(crate) fn attributes(&self) -> Attributes {
        let header = |name| self.header(name).map(str::to_owned);
        Attributes {
            content_type: header("content-type"),
            cache_control: header("cache-control"),
            content_disposition: header("content-disposition"),
            content_encoding: header("content-encoding"),
            content_language: header("content-language"),
            ..Attributes::default()
        }
    }
}

/// `bytes=2-4`, without the bytes that a range begins or ends with by mistake.
pub(crate) fn written_range(range: &ByteRange) -> Result<String> {
    // One that is empty whatever the object is cannot be written.
    range.of(u64::MAX)?;
    Ok(match range {
        ByteRange::Span(span) => format!("bytes={}-{}", span.start, span.end - 1),
        ByteRange::From(start) => format!("bytes={start}-"),
        ByteRange::Last(length) => format!("bytes=-{length}"),
    })
}

/// `bytes 2-4/9`: which bytes these are, and of how many.
pub(crate) fn content_range(written: &str) -> Option<(Range<u64>, u64)> {
    let (range, size) = written.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let end = last.parse::<u64>().ok()?.checked_add(1)?;
    Some((first.parse().ok()?..end, size.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use switchboard_core::ErrorKind;

    use super::*;

    #[test]
    fn ranges_are_written_and_read_as_headers_have_them() {
        let written = |range| written_range(&range).unwrap();
        assert_eq!(written(ByteRange::Span(2..5)), "bytes=2-4");
        assert_eq!(written(ByteRange::From(7)), "bytes=7-");
        assert_eq!(written(ByteRange::Last(3)), "bytes=-3");
        for empty in [ByteRange::Span(5..5), ByteRange::Span(0..0), ByteRange::Last(0)] {
            assert_eq!(written_range(&empty).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        assert_eq!(content_range("bytes 2-4/9"), Some((2..5, 9)));
        assert_eq!(content_range("bytes */9"), None);
    }
}
