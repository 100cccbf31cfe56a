//! What is known of an object beside its bytes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use crc_fast::CrcAlgorithm::Crc32Iscsi;
use crc_fast::{Digest, checksum_combine, crc32_iscsi};
use serde::{Deserialize, Serialize};
use switchboard_core::{Error, ErrorKind, Result};

use crate::Entry;

/// What is known of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Meta {
    /// How many bytes it has.
    pub size: u64,
    /// When it was stored.
    pub modified: SystemTime,
    /// Which of the objects that have been under its key it is.
    pub version: Version,
    /// What was said of it when it was stored.
    #[serde(default)]
    pub attributes: Attributes,
    /// What its bytes add up to, where that is known.
    #[serde(default)]
    pub checksum: Option<Checksum>,
    /// The mark of whoever stored it on a condition.
    #[serde(default)]
    pub write_id: Option<WriteId>,
}

impl Meta {
    /// An object of which nothing else is known.
    pub fn new(size: u64, modified: SystemTime, version: Version) -> Self {
        let attributes = Attributes::default();
        Self { size, modified, version, attributes, checksum: None, write_id: None }
    }

    /// How a list tells the object, under `key`.
    pub fn entry(self, key: impl Into<String>) -> Entry {
        Entry::new(key, self.size, self.modified, self.version)
    }

    /// All of it as a text, for a driver whose service keeps no more than texts.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| {
            Error::new(ErrorKind::InvalidInput, "what is known of the object has no notation")
                .with_source(error)
        })
    }

    /// What was written so.
    pub fn from_json(written: &str) -> Result<Self> {
        serde_json::from_str(written).map_err(|error| {
            Error::new(ErrorKind::Corrupt, "what is known of the object is not what was written")
                .with_source(error)
        })
    }
}

/// Which of the objects that are under a key, one after the other, is meant: equal only if the bytes are. Where a
/// service knows objects by their bytes, as S3 does, the same bytes stored again are the same version; elsewhere
/// every write makes another one. What it looks like is the driver's affair.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Version(Arc<str>);

impl Version {
    /// The version that the driver writes so.
    pub fn new(written: impl Into<Arc<str>>) -> Self {
        Self(written.into())
    }

    /// How the driver writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Version {
    fn from(written: String) -> Self {
        Self::new(written)
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.as_str().to_owned()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// The mark of one write, by which its writer knows it again after an answer was lost.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WriteId(u128);

impl WriteId {
    /// One that nobody else has.
    pub(crate) fn random() -> Result<Self> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|error| {
            Error::new(ErrorKind::Unavailable, "the system gives no random numbers")
                .with_source(error)
                .not_applied()
        })?;
        Ok(Self(u128::from_le_bytes(bytes)))
    }

    /// The mark that is written so; `None` if nobody writes one like that.
    pub fn parse(written: &str) -> Option<Self> {
        let is_one = written.len() == 32 && written.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_one.then(|| u128::from_str_radix(written, 16).ok().map(Self)).flatten()
    }
}

impl TryFrom<String> for WriteId {
    type Error = &'static str;

    fn try_from(written: String) -> Result<Self, Self::Error> {
        Self::parse(&written).ok_or("no mark of a write is written so")
    }
}

impl From<WriteId> for String {
    fn from(own: WriteId) -> Self {
        own.to_string()
    }
}

impl From<u128> for WriteId {
    fn from(mark: u128) -> Self {
        Self(mark)
    }
}

impl From<WriteId> for u128 {
    fn from(mark: WriteId) -> Self {
        mark.0
    }
}

impl fmt::Display for WriteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for WriteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What the bytes of an object add up to: CRC-32C, by which accidents are noticed, not forgeries.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Checksum(u32);

impl Checksum {
    /// That of no bytes at all.
    pub const EMPTY: Self = Self(0);

    /// That of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(crc32_iscsi(bytes))
    }

    /// That of what was added up so far, and `bytes` after it.
    #[must_use]
    pub fn and(self, bytes: &[u8]) -> Self {
        // While it goes on, a sum has all its bits turned round.
        let mut sum = Digest::new_with_init_state(Crc32Iscsi, u64::from(!self.0));
        sum.update(bytes);
        Self::narrow(sum.finalize())
    }

    /// That of what was added up so far, and `length` bytes after it that add up to `next`.
    #[must_use]
    pub fn join(self, next: Self, length: usize) -> Self {
        let (sum, next) = (u64::from(self.0), u64::from(next.0));
        Self::narrow(checksum_combine(Crc32Iscsi, sum, next, length as u64))
    }

    /// The sum as those tell it who know wider ones too.
    const fn narrow(sum: u64) -> Self {
        Self((sum & 0xffff_ffff) as u32)
    }

    /// The sum as a number.
    pub const fn value(self) -> u32 {
        self.0
    }

    /// The checksum that is written so: eight hexadecimal digits.
    pub fn parse(written: &str) -> Option<Self> {
        let is_one = written.len() == 8 && written.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_one.then(|| u32::from_str_radix(written, 16).ok().map(Self)).flatten()
    }
}

impl From<u32> for Checksum {
    fn from(value: u32) -> Self {
        Self(value)
    }
}

impl TryFrom<String> for Checksum {
    type Error = &'static str;

    fn try_from(written: String) -> Result<Self, Self::Error> {
        Self::parse(&written).ok_or("no checksum is written so")
    }
}

impl From<Checksum> for String {
    fn from(own: Checksum) -> Self {
        own.to_string()
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is said of an object when it is stored, and told to those who get it.
///
/// All of it travels in headers of HTTP: visible ASCII characters and spaces, no lines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Attributes {
    /// What kind of content it is: `text/plain; charset=utf-8`.
    pub content_type: Option<String>,
    /// How long others may keep it: `max-age=60`.
    pub cache_control: Option<String>,
    /// How it is offered to people: `attachment; filename="a.pdf"`.
    pub content_disposition: Option<String>,
    /// How its bytes are encoded: `gzip`.
    pub content_encoding: Option<String>,
    /// In which language it is: `de-CH`.
    pub content_language: Option<String>,
    /// Anything else, by name: of lower-case letters, digits, `-`, `.` and `_`. A value may be empty where the
    /// service takes that.
    pub metadata: BTreeMap<String, String>,
}

impl Attributes {
    /// The most that the names and values of `metadata` have together, in bytes.
    pub const METADATA_MAX: usize = 2048;

    /// Whether all of it can be kept by every driver.
    pub(crate) fn check(&self) -> Result<()> {
        let known = [
            ("content_type", &self.content_type),
            ("cache_control", &self.cache_control),
            ("content_disposition", &self.content_disposition),
            ("content_encoding", &self.content_encoding),
            ("content_language", &self.content_language),
        ];
        for (name, value) in known {
            match value.as_deref() {
                Some("") => return Err(refused("an attribute is empty", name)),
                Some(value) if !is_header(value) => {
                    let why = "an attribute has a character that no header may have";
                    return Err(refused(why, name));
                }
                _ => {}
            }
        }
        for (name, value) in &self.metadata {
            if !is_name(name) {
                return Err(refused("a name of metadata is not of the form `[a-z0-9._-]+`", name));
            }
            if name.starts_with(RESERVED) {
                return Err(refused(
                    "names of metadata that begin with `switchboard_` are reserved",
                    name,
                ));
            }
            if !is_header(value) {
                return Err(refused(
                    "a value of metadata has a character that no header may have",
                    name,
                )
                .with_hint("encode it, in percent signs or Base64"));
            }
        }
        let size: usize = self.metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
        if size > Self::METADATA_MAX {
            return Err(Error::new(ErrorKind::TooLarge, "there is too much metadata")
                .with_context("size_bytes", size)
                .with_context("size_bytes_max", Self::METADATA_MAX)
                .not_applied());
        }
        Ok(())
    }
}

/// How the names begin that drivers keep for what is not said by applications.
pub const RESERVED: &str = "switchboard_";

fn refused(why: &'static str, name: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, why).with_context("name", name.escape_debug()).not_applied()
}

fn is_name(name: &str) -> bool {
    let is_plain = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
    !name.is_empty() && name.bytes().all(is_plain)
}

/// Spaces at the ends would be lost on the way.
fn is_header(value: &str) -> bool {
    value.trim_ascii() == value && value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, value: &str) -> Attributes {
        let metadata = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        Attributes { metadata, ..Attributes::default() }
    }

    #[test]
    fn nothing_of_an_attribute_becomes_another_header() {
        for value in ["a\r\nx-amz-acl: public", "a\n", "\0", "é", " a", "a ", "a\tb", " "] {
            assert!(with("note", value).check().is_err(), "{value:?}");
            let attributes =
                Attributes { content_type: Some(value.to_owned()), ..Attributes::default() };
            assert!(attributes.check().is_err(), "{value:?}");
        }
        assert!(with("note", "50 % \"off\" (today)").check().is_ok());
    }

    #[test]
    fn metadata_may_be_without_a_value_and_attributes_may_not() {
        assert!(with("note", "").check().is_ok());
        let attributes = Attributes { content_type: Some(String::new()), ..Attributes::default() };
        assert_eq!(attributes.check().unwrap_err().message(), "an attribute is empty");
    }

    #[test]
    fn names_of_metadata_are_the_same_for_every_service() {
        for name in ["", "Note", "no te", "no:te", "nöte", "a\r\n", "switchboard_write"] {
            assert!(with(name, "x").check().is_err(), "{name:?}");
        }
        for name in ["note_7", "no-te", "no.te", "7th", "_a"] {
            assert!(with(name, "x").check().is_ok(), "{name:?}");
        }
    }

    #[test]
    fn what_is_known_is_read_again_as_it_was_written() {
        let moment = SystemTime::UNIX_EPOCH + std::time::Duration::new(1_700_000_000, 123_456_789);
        let mut meta = Meta::new(7, moment, Version::new("1 \"ä\""));
        let read = |meta: &Meta| Meta::from_json(&meta.to_json().unwrap()).unwrap();
        assert_eq!(read(&meta), meta);
        meta.attributes = with("note", "50 % \"off\"");
        meta.checksum = Some(Checksum::of(b"7 bytes"));
        meta.write_id = Some(WriteId::from(u128::MAX));
        assert_eq!(read(&meta), meta);
        let error = Meta::from_json("{}").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn metadata_has_two_kibibytes_at_most() {
        assert!(with("note", &"x".repeat(2044)).check().is_ok());
        let error = with("note", &"x".repeat(2045)).check().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
    }

    #[test]
    fn a_checksum_is_the_same_however_the_bytes_are_cut() {
        let bytes: Vec<_> =
            (0..1500_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for cut in 0..=bytes.len() {
            let (before, after) = bytes.split_at(cut);
            let bit_by_bit = !before.iter().fold(u32::MAX, |sum, byte| {
                (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0x82f6_3b78 * (sum & 1)))
            });
            assert_eq!(Checksum::of(before).value(), bit_by_bit, "{cut} bytes");
            let all = Checksum::of(&bytes);
            assert_eq!(Checksum::of(before).and(after), all, "cut at {cut}");
            assert_eq!(
                Checksum::of(before).join(Checksum::of(after), after.len()),
                all,
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn a_checksum_is_that_of_its_parts_in_their_order() {
        // The check value of CRC-32C.
        let all = Checksum::of(b"123456789");
        assert_eq!(all.value(), 0xe306_9283);
        assert_eq!(Checksum::of(b"1234").and(b"56789"), all);
        assert_eq!(Checksum::of(b"1234").join(Checksum::of(b"56789"), 5), all);
        assert_eq!(Checksum::parse(&all.to_string()), Some(all));
        assert_eq!(Checksum::parse("+3069283"), None);
    }
}
