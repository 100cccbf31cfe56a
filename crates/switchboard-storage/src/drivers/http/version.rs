//! Which of the objects that are under an address, one after the other, is meant.

use std::time::{Duration, SystemTime};

use http::header::{
    HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    IF_UNMODIFIED_SINCE,
};
use switchboard_core::{Clock, Error, ErrorKind, Result};

use crate::wire::{Answer, moment, written_moment};
use crate::{Attributes, Meta, Read, Version, WriteId};

/// What a version says of the object that it is of.
enum Validator<'v> {
    /// The tag that the server gave it.
    Tag(&'v str),
    /// When it was changed last, and that was long enough ago to be the last time.
    Moment(&'v str),
    /// Nothing: two answers cannot be told to be about the same one.
    Nothing,
}

impl<'v> Validator<'v> {
    fn of(version: &'v Version) -> Self {
        let written = version.as_str();
        if is_strong(written) {
            return Self::Tag(written);
        }
        match written.rsplit_once(' ') {
            Some((changed, _)) if moment(changed).is_some() => Self::Moment(changed),
            _ => Self::Nothing,
        }
    }
}

/// What an answer says of the object that it is about, beside its length.
pub(super) struct Told {
    attributes: Attributes,
    modified: Option<SystemTime>,
    /// What only this object has, as the server writes it.
    tag: Option<String>,
    /// When it was changed last, where that tells it from others.
    changed: Option<String>,
}

impl Told {
    pub(super) fn by(answer: &Answer) -> Self {
        let tag = answer.header("etag").filter(|tag| is_strong(tag));
        Self {
            attributes: answer.attributes(),
            modified: answer.header("last-modified").and_then(moment),
            tag: tag.map(str::to_owned),
            changed: settled(answer).map(str::to_owned),
        }
    }

    /// What is known of the object, which has so many bytes.
    pub(super) fn meta(self, size: u64, clock: &Clock) -> Result<Meta> {
        let version = match (self.tag, self.changed) {
            (Some(tag), _) => tag,
            (None, Some(changed)) => format!("{changed} {size}"),
            (None, None) => format!("{UNKNOWN}{}", WriteId::random()?),
        };
        // What may have been stored at any time may have been stored just now.
        let modified = self.modified.unwrap_or_else(|| clock.wall());
        let mut meta = Meta::new(size, modified, Version::new(version));
        meta.attributes = self.attributes;
        Ok(meta)
    }
}

/// What a server is told of the versions and moments that are asked for. It may not listen: the answer says.
pub(super) fn conditions(read: &Read) -> Result<HeaderMap> {
    let mut said = HeaderMap::new();
    if let Some(only) = &read.only {
        match Validator::of(only) {
            Validator::Tag(tag) => say(&mut said, IF_MATCH, tag),
            Validator::Moment(changed) => say(&mut said, IF_UNMODIFIED_SINCE, changed),
            Validator::Nothing if only.as_str().starts_with(UNKNOWN) => return Err(untold()),
            Validator::Nothing => {}
        }
    }
    if let Some(unless) = &read.unless {
        // What was put back has an older moment: servers would take it for unchanged.
        if let Validator::Tag(tag) = Validator::of(unless) {
            say(&mut said, IF_NONE_MATCH, tag);
        }
    } else if let Some(since) = read.since.and_then(written_moment) {
        say(&mut said, IF_MODIFIED_SINCE, &since);
    }
    Ok(said)
}

fn say(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    headers.extend(HeaderValue::from_str(value).map(|value| (name, value)));
}

/// A tag that the object has as long as no byte of it is another. A weak one may stay when bytes change.
fn is_strong(tag: &str) -> bool {
    let inner = tag.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.is_some_and(|inner| !inner.contains('"'))
}

/// When the object was changed, if that was in another second than the answer: in the same one it could be changed
/// again, and nobody would see.
fn settled(answer: &Answer) -> Option<&str> {
    let changed = answer.header("last-modified")?;
    let answered = moment(answer.header("date")?)?;
    (moment(changed)? + Duration::from_secs(1) <= answered).then_some(changed)
}

fn untold() -> Error {
    Error::new(ErrorKind::Unsupported, "the server does not tell one version from another")
        .with_hint(
            "it gives the object no `ETag`, and no `Last-Modified` that is older than a second",
        )
        .not_applied()
}

/// How versions begin that were made up, because the server tells none.
const UNKNOWN: &str = "?";
