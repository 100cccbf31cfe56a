//! What a driver of storage must do: the contract, for those who implement it.

use std::fmt;
use std::ops::{Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use switchboard_core::{Error, ErrorKind, Lifecycle, Reply, Result};

use crate::delete::together;
use crate::{Attributes, Body, Checksum, Key, Meta, Version, WriteId};

/// A service that keeps objects under keys.
///
/// What a driver may assume:
///
/// - Keys, attributes and lengths are checked.
/// - Calls come from many tasks and threads at once.
/// - Someone else retries, waits, limits, counts and logs; cuts what is large into parts; adds up and
///   compares checksums; resumes reading that broke off; knows again what was stored although the answer
///   was lost.
///
/// What must be true of every answer:
///
/// - A key is matched byte by byte, and told again as it was given. A key that the service cannot keep so
///   is [`ErrorKind::InvalidInput`]; one that it cannot keep beside another (`a` beside `a/b`, where keys
///   are files) is [`ErrorKind::Conflict`].
/// - An object is stored whole or not at all: whoever reads sees the one before or the one after, never
///   a part or a mix, and what is answered with `Ok` is kept as safely as the service can.
/// - Two objects that were under one key have the same [`Version`] only if their bytes are the same.
/// - Nothing is there: [`ErrorKind::NotFound`]. A condition does not hold:
///   [`ErrorKind::AlreadyExists`] for [`Condition::Absent`], [`ErrorKind::PreconditionFailed`] for a
///   version.
/// - What the driver cannot do answers [`ErrorKind::Unsupported`] and changes nothing: a condition above
///   all is never left out. An error that it does not recognise is [`ErrorKind::Unexpected`].
/// - An error says in its [outcome](Error::outcome) whether something may have changed.
/// - A call may be dropped at any time. It may then have happened or not, but never by half, and nothing
///   of it can be seen or stays for ever.
///
/// What is optional is declared at registration under the names in [`capability`]; what is not declared
/// counts as missing. The suite in `conformance` proves all of it.
pub trait StorageDriver: Lifecycle {
    /// How much goes into one request.
    fn limits(&self) -> Limits {
        Limits::default()
    }

    /// What is known of the object under `key`.
    fn head<'a>(&'a self, key: Key<'a>) -> Reply<'a, Meta>;

    /// The object under `key`, or the part of it that `read` asks for; `None` if it is unchanged in the
    /// sense of [`Read::unless`] or [`Read::since`].
    fn get<'a>(&'a self, key: Key<'a>, read: &'a Read) -> Reply<'a, Option<Fetched>>;

    /// Stores `content` under `key`, and replaces what was there, where the condition of `write` allows it.
    fn put<'a>(&'a self, key: Key<'a>, content: Bytes, write: &'a Write) -> Reply<'a, Stored>;

    /// Removes what is under `key`; `false` if nothing was there, where the service tells. With `only`, if it is
    /// that version and no other; that nothing is there is `false` then as well.
    fn delete<'a>(&'a self, key: Key<'a>, only: Option<&'a Version>) -> Reply<'a, bool>;

    /// One page of what is there, in the order of the bytes of the keys.
    fn list<'a>(&'a self, list: &'a List) -> Reply<'a, Page>;

    /// Removes what is under each of `keys`, and answers for each in their order; no more of them than
    /// [`Limits::delete_max`]. With [`delete`](Self::delete) where nothing else is said, some at the same time.
    fn delete_many<'a>(&'a self, keys: &'a [Key<'a>]) -> Reply<'a, Vec<Result<bool>>> {
        let requests: Vec<_> = keys.iter().map(|key| self.delete(*key, None)).collect();
        Reply::run(async move { Ok(together(requests).await) })
    }

    /// Stores the object under `from` also under `to`, with all that is said of it, where `condition`
    /// allows it. The two are not the same.
    ///
    /// Optional: [`capability::COPY`].
    fn copy<'a>(
        &'a self,
        from: Key<'a>,
        to: Key<'a>,
        condition: &'a Condition,
    ) -> Reply<'a, Stored> {
        let _ = (from, to, condition);
        Reply::ready(Err(unsupported(capability::COPY)))
    }

    /// Stores the object under `from` under `to` instead, in one step. The two are not the same.
    ///
    /// Optional: [`capability::RENAME`].
    fn rename<'a>(
        &'a self,
        from: Key<'a>,
        to: Key<'a>,
        condition: &'a Condition,
    ) -> Reply<'a, Stored> {
        let _ = (from, to, condition);
        Reply::ready(Err(unsupported(capability::RENAME)))
    }

    /// Begins an object that comes in parts. It is not there before [`complete`](Self::complete), and
    /// takes nothing from what is under its key until then.
    ///
    /// Optional, with all about parts: [`capability::PARTS`].
    fn begin<'a>(&'a self, key: Key<'a>, write: &'a Write) -> Reply<'a, UploadId> {
        let _ = (key, write);
        Reply::ready(Err(unsupported(capability::PARTS)))
    }

    /// Keeps one part. Of the same number the last one counts. All but the last are as long as
    /// [`Part::size`] says.
    fn part<'a>(
        &'a self,
        key: Key<'a>,
        upload: &'a UploadId,
        part: Part,
        content: Bytes,
    ) -> Reply<'a, PartTag> {
        let _ = (key, upload, part, content);
        Reply::ready(Err(unsupported(capability::PARTS)))
    }

    /// Makes one object of `parts`, in their order, where the condition of `write` allows it. `write` is that
    /// of the beginning, with the checksum of the whole if it is known now.
    fn complete<'a>(
        &'a self,
        key: Key<'a>,
        upload: &'a UploadId,
        parts: &'a [PartTag],
        write: &'a Write,
    ) -> Reply<'a, Stored> {
        let _ = (key, upload, parts, write);
        Reply::ready(Err(unsupported(capability::PARTS)))
    }

    /// Gives up what was begun; that there is nothing is fine.
    fn abort<'a>(&'a self, key: Key<'a>, upload: &'a UploadId) -> Reply<'a, ()> {
        let _ = (key, upload);
        Reply::ready(Err(unsupported(capability::PARTS)))
    }

    /// Removes what writers that are gone have left and nobody can see: parts that were begun more than
    /// `age` ago, and files on their way. Says how many there were.
    fn sweep(&self, age: Duration) -> Reply<'_, u64> {
        let _ = age;
        Reply::ready(Ok(0))
    }

    /// An address under which one request can be made by whoever has it, for a time. A condition that the
    /// service cannot hold the request to is [`ErrorKind::Unsupported`].
    ///
    /// Optional: [`capability::SIGN`]. Where it is missing, every disk can sign for a handler of the
    /// application's own.
    fn sign<'a>(&'a self, request: &'a Sign) -> Reply<'a, Signed> {
        let _ = request;
        Reply::ready(Err(unsupported(capability::SIGN)))
    }
}

/// What is optional in the contract, by the name that configuration uses in `require`.
pub mod capability {
    /// Whether objects can be stored only where nothing is ([`Condition::Absent`](super::Condition)).
    pub const CREATE: &str = "create";

    /// Whether objects can be replaced only if they are a certain version
    /// ([`Condition::Version`](super::Condition)).
    pub const REPLACE: &str = "replace";

    /// Whether objects can be deleted only if they are a certain version.
    pub const DELETE_VERSION: &str = "delete_version";

    /// Whether attributes are kept.
    pub const ATTRIBUTES: &str = "attributes";

    /// Whether checksums are kept.
    pub const CHECKSUM: &str = "checksum";

    /// Whether [`copy`](super::StorageDriver::copy) works; where not, the bytes take the way over the
    /// application.
    pub const COPY: &str = "copy";

    /// Whether [`rename`](super::StorageDriver::rename) works; where not, it is a copy and a deletion.
    pub const RENAME: &str = "rename";

    /// Whether objects can come in parts.
    pub const PARTS: &str = "parts";

    /// Whether [`sign`](super::StorageDriver::sign) works.
    pub const SIGN: &str = "sign";

    /// Whether anything can be stored or deleted at all.
    pub const WRITE: &str = "write";

    /// Whether objects can be listed.
    pub const LIST: &str = "list";

    /// Whether `a` can be beside `a/b`.
    pub const NESTED: &str = "nested";

    /// Whether all that is stored is lost when the process ends. Whoever would move something there from where
    /// it lasts may ask first.
    pub const TRANSIENT: &str = "transient";
}

fn unsupported(capability: &'static str) -> Error {
    Error::new(ErrorKind::Unsupported, "the driver cannot do this")
        .with_context("capability", capability)
        .not_applied()
}

/// How much goes into one request. A driver says what differs: `Limits { put_max: 64 << 20, ..Limits::default() }`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes that [`put`](StorageDriver::put) takes.
    pub put_max: u64,
    /// The fewest bytes of a part that is not the last.
    pub part_min: u64,
    /// The most bytes of a part.
    pub part_max: u64,
    /// The most parts of an object.
    pub parts_max: u32,
    /// Whether all parts of an object but the last must be of one length. Where they need not, those of an object
    /// whose length nobody knows grow, so that it finds room.
    pub parts_alike: bool,
    /// The most entries of a page.
    pub list_max: usize,
    /// The most keys of one [`delete_many`](StorageDriver::delete_many).
    pub delete_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            put_max: 5 << 30,
            part_min: 5 << 20,
            part_max: 5 << 30,
            parts_max: 10_000,
            parts_alike: true,
            list_max: 1_000,
            delete_max: 1_000,
        }
    }
}

/// Which part of an object is asked for, and of which version of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Read {
    /// Which bytes; all of them where nothing is said.
    pub range: Option<ByteRange>,
    /// This version and no other: else [`ErrorKind::PreconditionFailed`].
    pub only: Option<Version>,
    /// Any version but this one.
    pub unless: Option<Version>,
    /// Only if it was stored after that moment.
    pub since: Option<SystemTime>,
}

impl Read {
    /// What the conditions say about an object; `Ok(false)` if it is unchanged.
    pub fn allows(&self, meta: &Meta) -> Result<bool> {
        if self.only.as_ref().is_some_and(|only| *only != meta.version) {
            return Err(another_version());
        }
        if let Some(unless) = &self.unless {
            return Ok(*unless != meta.version);
        }
        Ok(self.since.is_none_or(|since| meta.modified > since))
    }

    /// What it asks for of the object `meta`, all bytes of which are in hand.
    pub fn cut(&self, meta: Meta, content: &Bytes) -> Result<Option<Fetched>> {
        if content.len() as u64 != meta.size {
            return Err(Error::new(
                ErrorKind::Corrupt,
                "the object has another size than is known of it",
            )
            .with_context("known_bytes", meta.size)
            .with_context("there_bytes", content.len()));
        }
        if !self.allows(&meta)? {
            return Ok(None);
        }
        let range = self.range.as_ref().map_or(Ok(0..meta.size), |range| range.of(meta.size))?;
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        let body = content.slice(place(range.start)..place(range.end)).into();
        Ok(Some(Fetched { meta, range, body }))
    }
}

/// What is said when a condition asks for a version that is not there.
#[must_use]
pub fn another_version() -> Error {
    Error::new(ErrorKind::PreconditionFailed, "the object is not the version that was asked for")
        .not_applied()
}

/// What is said when an object was to be created and one is there.
#[must_use]
pub fn already_there() -> Error {
    Error::new(ErrorKind::AlreadyExists, "there is an object under the key").not_applied()
}

/// What is said when nothing is under a key.
#[must_use]
pub fn nothing_there() -> Error {
    Error::new(ErrorKind::NotFound, "there is no object under the key").not_applied()
}

/// What is said when bytes do not add up to what was said of them.
#[must_use]
pub fn another_sum() -> Error {
    Error::new(
        ErrorKind::InvalidInput,
        "the bytes do not add up to the checksum that came with them",
    )
    .not_applied()
}

/// Some of the bytes of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ByteRange {
    /// Those from the first up to, and without, the second; what is beyond the end is left out.
    Span(Range<u64>),
    /// Those from there on.
    From(u64),
    /// So many at the end, or all if there are fewer.
    Last(u64),
}

impl ByteRange {
    /// Which bytes these are of an object of `size`.
    ///
    /// A range that begins at the end or after it, or has no bytes, is an error: nothing could be told of
    /// where it is. Of an empty object that includes every range.
    pub fn of(&self, size: u64) -> Result<Range<u64>> {
        let range = match *self {
            Self::Span(Range { start, end }) => start..end.min(size),
            Self::From(start) => start..size,
            Self::Last(length) => size.saturating_sub(length)..size,
        };
        if range.is_empty() {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "the object has no bytes in that range",
            )
            .with_context("range", format_args!("{self:?}"))
            .with_context("size_bytes", size)
            .not_applied());
        }
        Ok(range)
    }
}

impl From<Range<u64>> for ByteRange {
    fn from(range: Range<u64>) -> Self {
        Self::Span(range)
    }
}

impl From<RangeFrom<u64>> for ByteRange {
    fn from(range: RangeFrom<u64>) -> Self {
        Self::From(range.start)
    }
}

impl From<RangeInclusive<u64>> for ByteRange {
    fn from(range: RangeInclusive<u64>) -> Self {
        let (first, last) = range.into_inner();
        match last.checked_add(1) {
            Some(end) => Self::Span(first..end),
            None => Self::From(first),
        }
    }
}

impl From<RangeTo<u64>> for ByteRange {
    fn from(range: RangeTo<u64>) -> Self {
        Self::Span(0..range.end)
    }
}

impl From<RangeToInclusive<u64>> for ByteRange {
    fn from(range: RangeToInclusive<u64>) -> Self {
        (0..=range.end).into()
    }
}

impl From<RangeFull> for ByteRange {
    fn from(_: RangeFull) -> Self {
        Self::From(0)
    }
}

/// An object, or a part of it.
#[derive(Debug)]
pub struct Fetched {
    /// What is known of the whole.
    pub meta: Meta,
    /// Which of its bytes these are.
    pub range: Range<u64>,
    /// The bytes.
    pub body: Body,
}

/// How an object is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Write {
    /// Whether it may be stored.
    pub condition: Condition,
    /// What is said of it.
    pub attributes: Attributes,
    /// What its bytes add up to, where that is known; kept with it, and refused with
    /// [`ErrorKind::InvalidInput`] by a service that finds another sum.
    pub checksum: Option<Checksum>,
    /// The mark by which its writer knows it again; kept with it.
    pub write_id: Option<WriteId>,
}

impl Write {
    /// What is known of an object that is stored so, by a driver that keeps all that is said of it.
    pub fn meta(&self, size: u64, modified: SystemTime, version: Version) -> Meta {
        let mut meta = Meta::new(size, modified, version);
        meta.attributes = self.attributes.clone();
        meta.checksum = self.checksum;
        meta.write_id = self.write_id;
        meta
    }
}

/// Whether an object may be stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Whatever is there.
    #[default]
    Always,
    /// Where nothing is.
    Absent,
    /// Where this version is.
    Version(Version),
}

impl Condition {
    /// Whether it may be stored where `there` is, or nothing.
    pub fn allows(&self, there: Option<&Version>) -> Result<()> {
        match (self, there) {
            (Self::Always, _) | (Self::Absent, None) => Ok(()),
            (Self::Version(wanted), Some(there)) if wanted == there => Ok(()),
            _ => Err(self.refusal()),
        }
    }

    /// What is said where it does not hold.
    #[must_use]
    pub fn refusal(&self) -> Error {
        match self {
            Self::Absent => already_there(),
            Self::Always | Self::Version(_) => another_version(),
        }
    }
}

/// What was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stored {
    /// Which of the objects that have been under the key it is.
    pub version: Version,
    /// How many bytes it has.
    pub size: u64,
    /// What its bytes add up to, where that is known.
    pub checksum: Option<Checksum>,
}

impl Stored {
    /// An object of this version and size.
    pub fn new(version: Version, size: u64, checksum: Option<Checksum>) -> Self {
        Self { version, size, checksum }
    }
}

impl From<Meta> for Stored {
    fn from(meta: Meta) -> Self {
        Self::new(meta.version, meta.size, meta.checksum)
    }
}

/// What is to be listed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct List {
    /// How the keys begin; a text, not a directory: `a` begins `ab` as well.
    pub prefix: String,
    /// Whether keys that go on after the next `/` count as one, with all that is beneath it.
    pub is_flat: bool,
    /// Only what comes after this key.
    pub after: Option<String>,
    /// Where the page before ended, as it said.
    pub token: Option<String>,
    /// The most entries and prefixes.
    pub limit: usize,
}

impl List {
    /// The first `limit` of all keys that begin with `prefix`.
    pub fn new(prefix: impl Into<String>, limit: usize) -> Self {
        Self { prefix: prefix.into(), is_flat: false, after: None, token: None, limit }
    }
}

/// One page of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The objects.
    pub entries: Vec<Entry>,
    /// What is common to several keys up to a `/`, in flat lists, each with its `/` at the end.
    pub prefixes: Vec<String>,
    /// Where the next page begins; `None` if this is the last.
    pub next: Option<String>,
    /// How many objects and prefixes of others are left out, because their keys are none that a disk can name:
    /// `a//b`, or `folder/` as some tools mark empty folders.
    pub skipped: u64,
}

/// An object in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// Its key.
    pub key: String,
    /// How many bytes it has.
    pub size: u64,
    /// When it was stored.
    pub modified: SystemTime,
    /// Which of the objects that have been under its key it is.
    pub version: Version,
}

impl Entry {
    /// The object under `key`.
    pub fn new(key: impl Into<String>, size: u64, modified: SystemTime, version: Version) -> Self {
        Self { key: key.into(), size, modified, version }
    }
}

/// What a driver calls an object that comes in parts, so that it can be found again by another process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UploadId(pub String);

/// One part of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which it is; the first is zero.
    pub number: u32,
    /// How long it is if it is not the last: the same for all parts, where they must be
    /// [alike](Limits::parts_alike).
    pub size: u64,
    /// What its bytes add up to.
    pub checksum: Checksum,
}

/// What a driver calls a part that it keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartTag(pub String);

/// A request that somebody else is to make.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sign {
    /// What it may do.
    pub method: Method,
    /// About which object.
    pub key: String,
    /// For how long: a second at least, and [`TTL_MAX`](Self::TTL_MAX) at most.
    pub ttl: Duration,
    /// The kind of content that it must send.
    pub content_type: Option<String>,
    /// How the answer is offered to people, whatever was said of the object.
    pub content_disposition: Option<String>,
    /// The most bytes that it may send.
    pub size_max: Option<u64>,
}

impl Sign {
    /// The longest that an address is good for; no service signs for longer.
    pub const TTL_MAX: Duration = Duration::from_hours(7 * 24);

    /// The request `method` about the object under `key`.
    pub fn new(method: Method, key: impl Into<String>, ttl: Duration) -> Self {
        let key = key.into();
        Self { method, key, ttl, content_type: None, content_disposition: None, size_max: None }
    }
}

/// What a signed request may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Read the object.
    Get,
    /// Read what is known of it.
    Head,
    /// Store it.
    Put,
    /// Delete it.
    Delete,
}

impl Method {
    /// How HTTP writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }

    pub(crate) const fn is_write(self) -> bool {
        matches!(self, Self::Put | Self::Delete)
    }
}

/// A request that whoever has it can make.
///
/// Its address is a secret for as long as it is good: `Debug` leaves out what it is signed with.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Signed {
    /// What it does.
    pub method: Method,
    /// Where it goes.
    pub url: String,
    /// The headers that it must have.
    pub headers: Vec<(String, String)>,
    /// Until when it is answered.
    pub expires: SystemTime,
}

impl Signed {
    /// The request `method` to `url`.
    pub fn new(method: Method, url: String, expires: SystemTime) -> Self {
        Self { method, url, headers: Vec::new(), expires }
    }
}

impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shown, _) = self.url.split_once('?').unwrap_or((&self.url, ""));
        f.debug_struct("Signed")
            .field("method", &self.method)
            .field("url", &format_args!("{shown}?***"))
            .field("headers", &self.headers)
            .field("expires", &self.expires)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said() -> Read {
        Read::default()
    }

    fn meta(size: u64) -> Meta {
        Meta::new(size, SystemTime::UNIX_EPOCH, Version::new("1"))
    }

    #[tokio::test]
    async fn what_is_in_hand_is_cut_to_what_was_asked_for() {
        let content = Bytes::from_static(b"forty-two");
        for (range, expected) in [
            (None, "forty-two"),
            (Some(ByteRange::Span(6..100)), "two"),
            (Some(ByteRange::From(3)), "ty-two"),
            (Some(ByteRange::Last(2)), "wo"),
        ] {
            let fetched = Read { range, ..said() }.cut(meta(9), &content).unwrap().unwrap();
            assert_eq!(fetched.range.end - fetched.range.start, expected.len() as u64);
            assert_eq!(fetched.body.collect(100).await.unwrap(), expected);
        }
    }

    #[test]
    fn bytes_are_named_by_every_range_that_rust_writes() {
        let of = |range: ByteRange| range.of(10).unwrap();
        assert_eq!(of((2..4).into()), 2..4);
        assert_eq!(of((2..=4).into()), 2..5);
        assert_eq!(of((2..).into()), 2..10);
        assert_eq!(of((..4).into()), 0..4);
        assert_eq!(of((..=4).into()), 0..5);
        assert_eq!(of((..).into()), 0..10);
        assert_eq!(of((2..=u64::MAX).into()), 2..10);
        assert!(ByteRange::from(..0).of(10).is_err());
    }

    #[test]
    fn what_is_in_hand_is_told_only_under_its_conditions() {
        let content = Bytes::from_static(b"four");
        let unchanged = Read { unless: Some(Version::new("1")), ..said() };
        assert!(unchanged.cut(meta(4), &content).unwrap().is_none());
        let another = Read { only: Some(Version::new("2")), ..said() };
        let error = another.cut(meta(4), &content).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PreconditionFailed);
        let beyond = Read { range: Some(ByteRange::From(4)), ..said() };
        assert_eq!(beyond.cut(meta(4), &content).unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn bytes_of_another_size_than_is_known_are_corrupt() {
        let error = said().cut(meta(5), &Bytes::from_static(b"four")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn a_condition_looks_at_what_is_there() {
        let (one, two) = (Version::new("1"), Version::new("2"));
        let kind = |condition: Condition, there: Option<&Version>| {
            condition.allows(there).err().map(|error| error.kind())
        };
        for there in [None, Some(&one)] {
            assert_eq!(kind(Condition::Always, there), None);
        }
        assert_eq!(kind(Condition::Absent, None), None);
        assert_eq!(kind(Condition::Absent, Some(&one)), Some(ErrorKind::AlreadyExists));
        let version = Condition::Version(one.clone());
        assert_eq!(kind(version.clone(), Some(&one)), None);
        let refused = Some(ErrorKind::PreconditionFailed);
        assert_eq!(kind(version.clone(), Some(&two)), refused);
        assert_eq!(kind(version, None), refused);
    }
}
