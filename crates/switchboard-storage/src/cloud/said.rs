//! What is said of an object, in the headers of requests and answers.

use std::ops::Range;

use http::StatusCode;
use switchboard_core::{Error, ErrorKind, Result};

use super::answer::foreign;
use super::notation::moment;
use super::{Answer, Ask};
use crate::{Attributes, ByteRange, Checksum, Meta, Version, Write, WriteId};

impl Ask<'_> {
    /// The request, with all that is said of the object that it stores: in headers whose names begin with `known`
    /// where HTTP has a name for it, and with `other` where not, followed by what `named` makes of its name. The
    /// sum is among the latter if it is to be kept beside the object.
    pub(crate) fn saying(
        mut self,
        write: &Write,
        known: &str,
        other: &str,
        named: fn(&str) -> String,
        is_sum_beside: bool,
    ) -> Result<Self> {
        let attributes = &write.attributes;
        for (name, value) in [
            ("content-type", &attributes.content_type),
            ("cache-control", &attributes.cache_control),
            ("content-disposition", &attributes.content_disposition),
            ("content-encoding", &attributes.content_encoding),
            ("content-language", &attributes.content_language),
        ] {
            if let Some(value) = value {
                self = self.header(&format!("{known}{name}"), value)?;
            }
        }
        for (name, value) in &attributes.metadata {
            self = self.header(&format!("{other}{}", named(name)), value)?;
        }
        if let Some(write_id) = write.write_id {
            self = self.header(&format!("{other}{WRITE_ID}"), &write_id.to_string())?;
        }
        if let Some(sum) = write.checksum.filter(|_| is_sum_beside) {
            self = self.header(&format!("{other}{SUM}"), &sum.to_string())?;
        }
        Ok(self)
    }
}

impl Answer {
    /// How many bytes the answer has, or would have.
    pub(crate) fn length(&self) -> Result<u64> {
        self.header("content-length").and_then(|length| length.parse().ok()).ok_or_else(foreign)
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

    /// What the headers say of an object; those that HTTP has no name for begin with `other`, followed by what
    /// `named` makes a name of.
    pub(crate) fn meta(
        &self,
        size: u64,
        version: Version,
        other: &str,
        named: fn(&str) -> String,
    ) -> Result<Meta> {
        let modified = self.header("last-modified").and_then(moment).ok_or_else(foreign)?;
        let mut meta = Meta::new(size, modified, version);
        let header = |name| self.header(name).map(str::to_owned);
        meta.attributes = Attributes {
            content_type: header("content-type"),
            cache_control: header("cache-control"),
            content_disposition: header("content-disposition"),
            content_encoding: header("content-encoding"),
            content_language: header("content-language"),
            ..Attributes::default()
        };
        for (name, value) in self.headers_after(other) {
            match name {
                WRITE_ID => meta.write_id = WriteId::parse(value),
                SUM => meta.checksum = Checksum::parse(value),
                name => {
                    meta.attributes.metadata.insert(named(name), value.to_owned());
                }
            }
        }
        Ok(meta)
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
fn content_range(written: &str) -> Option<(Range<u64>, u64)> {
    let (range, size) = written.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let end = last.parse::<u64>().ok()?.checked_add(1)?;
    Some((first.parse().ok()?..end, size.parse().ok()?))
}

const WRITE_ID: &str = "switchboard_write";
const SUM: &str = "switchboard_crc32c";

#[cfg(test)]
mod tests {
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
