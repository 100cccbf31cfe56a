//! What the headers of a request say about an object: conditions, in the order of RFC 9110, and ranges.
//!
//! It decides and asks nobody.

use std::ops::Range;
use std::time::{Duration, SystemTime};

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::{ByteRange, Meta, Version};

/// What is to be answered about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Whole,
    Part(Range<u64>),
    /// 304: the client has it.
    Unchanged,
    /// 412: a condition does not hold.
    Failed,
    /// 416: it has no bytes in that range.
    NoSuchRange,
}

/// Whether an answer depends on what is known of the object.
pub(super) fn depends(headers: &HeaderMap) -> bool {
    [
        header::IF_MATCH,
        header::IF_NONE_MATCH,
        header::IF_MODIFIED_SINCE,
        header::IF_UNMODIFIED_SINCE,
        header::RANGE,
    ]
    .iter()
    .any(|name| headers.contains_key(name))
}

/// What `headers` say of reading the object.
pub(super) fn judge(meta: &Meta, headers: &HeaderMap) -> Verdict {
    if !allows_writing(meta, headers) {
        return Verdict::Failed;
    }
    let is_unchanged = if headers.contains_key(header::IF_NONE_MATCH) {
        matches(headers, &header::IF_NONE_MATCH, &meta.version, Comparison::Weak)
    } else {
        moment(headers, &header::IF_MODIFIED_SINCE)
            .is_some_and(|since| whole_seconds(meta.modified) <= since)
    };
    if is_unchanged {
        return Verdict::Unchanged;
    }
    // A moment is not exact enough to put parts together by.
    let is_of_this = !headers.contains_key(header::IF_RANGE)
        || matches(headers, &header::IF_RANGE, &meta.version, Comparison::Strong);
    match headers.get(header::RANGE).and_then(range).filter(|_| is_of_this) {
        None => Verdict::Whole,
        Some(range) => range.of(meta.size).map_or(Verdict::NoSuchRange, Verdict::Part),
    }
}

/// Whether the object is the one that `headers` ask for (`if-match`, `if-unmodified-since`).
pub(super) fn allows_writing(meta: &Meta, headers: &HeaderMap) -> bool {
    if headers.contains_key(header::IF_MATCH) {
        return matches(headers, &header::IF_MATCH, &meta.version, Comparison::Strong);
    }
    moment(headers, &header::IF_UNMODIFIED_SINCE)
        .is_none_or(|since| whole_seconds(meta.modified) <= since)
}

/// Whether the header is `*` and nothing else.
pub(super) fn is_any(headers: &HeaderMap, name: &HeaderName) -> bool {
    let mut values = headers.get_all(name).iter();
    values.next().is_some_and(|value| value.as_bytes().trim_ascii() == b"*")
        && values.next().is_none()
}

/// The version as headers have it.
pub(super) fn tag(version: &Version) -> Option<HeaderValue> {
    HeaderValue::from_str(&written_tag(version)).ok()
}

fn written_tag(version: &Version) -> String {
    let written = version.as_str();
    let quoted = written.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    // What a service over HTTP says is a tag already.
    let bare =
        quoted.filter(|bare| bare.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"'));
    format!(
        "\"{}\"",
        bare.map_or_else(|| utf8_percent_encode(written, NOT_IN_TAG).to_string(), str::to_owned)
    )
}

/// The moment as headers have it; `None` for those that have no notation there.
pub(super) fn date(moment: SystemTime) -> Option<HeaderValue> {
    let since = moment.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    (since.as_secs() < YEAR_10000_S)
        .then(|| HeaderValue::from_str(&httpdate::fmt_http_date(moment)).ok())?
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    /// Also of tags that are only about.
    Weak,
}

/// Whether one of the tags in the header is that of `version`. `*` is that of every version.
fn matches(
    headers: &HeaderMap,
    name: &HeaderName,
    version: &Version,
    comparison: Comparison,
) -> bool {
    let own = written_tag(version);
    is_any(headers, name)
        || headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).any(|listed| {
            tags(listed)
                .any(|(is_weak, tag)| tag == own && (!is_weak || comparison == Comparison::Weak))
        })
}

/// The tags of a list, each with its quotation marks and whether it is weak, up to what is none.
fn tags(listed: &str) -> impl Iterator<Item = (bool, &str)> {
    let mut rest = listed;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let strong = rest.strip_prefix("W/").unwrap_or(rest);
        let is_weak = strong.len() < rest.len();
        let end = strong.strip_prefix('"')?.find('"')? + 2;
        let tag = &strong[..end];
        rest = &strong[end..];
        Some((is_weak, tag))
    })
}

fn moment(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

/// Headers know no fractions.
fn whole_seconds(moment: SystemTime) -> SystemTime {
    let since = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

/// The range that is asked for; `None` for what is none, or several: then the whole is the answer.
fn range(written: &HeaderValue) -> Option<ByteRange> {
    let (unit, range) = written.to_str().ok()?.split_once('=')?;
    let (first, last) = range.trim_ascii().split_once('-')?;
    if !unit.trim_ascii().eq_ignore_ascii_case("bytes") {
        return None;
    }
    match (first, last) {
        ("", last) => Some(ByteRange::Last(position(last)?)),
        (first, "") => Some(ByteRange::From(position(first)?)),
        (first, last) => {
            let (first, last) = (position(first)?, position(last)?);
            (first <= last).then_some(ByteRange::Span(first..last.saturating_add(1)))
        }
    }
}

/// What no object reaches is as good as what it would be.
fn position(written: &str) -> Option<u64> {
    let is_one = !written.is_empty() && written.bytes().all(|byte| byte.is_ascii_digit());
    is_one.then(|| written.parse().unwrap_or(u64::MAX))
}

const NOT_IN_TAG: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');
/// The year 10000, in seconds since 1970.
const YEAR_10000_S: u64 = 253_402_300_800;

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(size: u64) -> Meta {
        let modified = SystemTime::UNIX_EPOCH + Duration::from_millis(784_111_777_500);
        Meta::new(size, modified, Version::new("7"))
    }

    fn check(size: u64, headers: &[(HeaderName, &str)], wanted: &Verdict) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, HeaderValue::from_str(value).unwrap());
        }
        assert_eq!(judge(&meta(size), &map), *wanted, "{headers:?} of {size} bytes");
    }

    #[test]
    fn a_range_is_one_of_bytes_that_are_there() {
        use Verdict::{NoSuchRange, Part, Whole};
        for (size, written, wanted) in [
            (10, "bytes=0-0", Part(0..1)),
            (10, "bytes=0-9", Part(0..10)),
            (10, "bytes=2-99", Part(2..10)),
            (10, "bytes=9-", Part(9..10)),
            (10, "bytes=-3", Part(7..10)),
            (10, "bytes=-99", Part(0..10)),
            (10, "BYTES = 2-3", Part(2..4)),
            (10, "bytes=0-18446744073709551615", Part(0..10)),
            (10, "bytes=5-99999999999999999999999", Part(5..10)),
            (10, "bytes=10-", NoSuchRange),
            (10, "bytes=10-12", NoSuchRange),
            (10, "bytes=99999999999999999999999-", NoSuchRange),
            (10, "bytes=-0", NoSuchRange),
            (0, "bytes=0-", NoSuchRange),
            (0, "bytes=-1", NoSuchRange),
            (10, "bytes=3-2", Whole),
            (10, "bytes=0-1,4-5", Whole),
            (10, "bytes=", Whole),
            (10, "bytes=-", Whole),
            (10, "bytes=a-b", Whole),
            (10, "bytes=+1-2", Whole),
            (10, "bytes=--1", Whole),
            (10, "lines=1-2", Whole),
            (10, "0-1", Whole),
        ] {
            check(size, &[(header::RANGE, written)], &wanted);
        }
    }

    #[test]
    fn conditions_hold_in_the_order_of_the_standard() {
        use Verdict::{Failed, Part, Unchanged, Whole};
        use header::{
            IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE,
        };
        let (at, before, after) = (
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:36 GMT",
            "Sun Nov  6 08:49:38 1994",
        );
        let cases: &[(&[(HeaderName, &str)], Verdict)] = &[
            (&[(IF_MATCH, "\"7\"")], Whole),
            (&[(IF_MATCH, "\"6\", \"a,b\" ,\"7\"")], Whole),
            (&[(IF_MATCH, "\"6\""), (IF_MATCH, "\"7\"")], Whole),
            (&[(IF_MATCH, "*")], Whole),
            (&[(IF_MATCH, "W/\"7\"")], Failed),
            (&[(IF_MATCH, "\"6\"")], Failed),
            (&[(IF_MATCH, "7")], Failed),
            (&[(IF_MATCH, "\"7")], Failed),
            (&[(IF_MATCH, "\"7\""), (IF_UNMODIFIED_SINCE, before)], Whole),
            (&[(IF_UNMODIFIED_SINCE, before)], Failed),
            (&[(IF_UNMODIFIED_SINCE, at)], Whole),
            (&[(IF_UNMODIFIED_SINCE, "yesterday")], Whole),
            (&[(IF_NONE_MATCH, "\"7\"")], Unchanged),
            (&[(IF_NONE_MATCH, "W/\"7\"")], Unchanged),
            (&[(IF_NONE_MATCH, "*")], Unchanged),
            (&[(IF_NONE_MATCH, "\"6\"")], Whole),
            (&[(IF_NONE_MATCH, "\"6\""), (IF_MODIFIED_SINCE, after)], Whole),
            (&[(IF_MODIFIED_SINCE, at)], Unchanged),
            (&[(IF_MODIFIED_SINCE, after)], Unchanged),
            (&[(IF_MODIFIED_SINCE, before)], Whole),
            (&[(IF_MATCH, "\"6\""), (IF_NONE_MATCH, "\"7\"")], Failed),
            (&[(RANGE, "bytes=1-2"), (IF_NONE_MATCH, "\"7\"")], Unchanged),
            (&[(RANGE, "bytes=1-2"), (IF_RANGE, "\"7\"")], Part(1..3)),
            (&[(RANGE, "bytes=1-2"), (IF_RANGE, "W/\"7\"")], Whole),
            (&[(RANGE, "bytes=1-2"), (IF_RANGE, "\"6\"")], Whole),
            (&[(RANGE, "bytes=1-2"), (IF_RANGE, at)], Whole),
            (&[(RANGE, "bytes=99-"), (IF_RANGE, "\"6\"")], Whole),
        ];
        for (headers, wanted) in cases {
            check(10, headers, wanted);
        }
    }

    #[test]
    fn every_version_has_a_tag_of_its_own_that_headers_can_have() {
        for (version, tag) in [
            ("7", "\"7\""),
            ("\"e-1\"", "\"e-1\""),
            ("a\"b", "\"a%22b\""),
            ("a%22b", "\"a%2522b\""),
            ("ä \r\n", "\"%C3%A4%20%0D%0A\""),
            ("\"a\"b\"", "\"%22a%22b%22\""),
        ] {
            assert_eq!(super::tag(&Version::new(version)).unwrap(), tag);
        }
    }

    #[test]
    fn a_moment_without_a_notation_is_left_out() {
        assert_eq!(date(meta(0).modified).unwrap(), "Sun, 06 Nov 1994 08:49:37 GMT");
        let early = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        let late = SystemTime::UNIX_EPOCH + Duration::from_secs(YEAR_10000_S);
        assert_eq!((date(early), date(late)), (None, None));
    }
}
