//! One object at a time.

use std::sync::atomic::Ordering;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::Method;
use switchboard_core::{Class, Error, Result};

use super::{Bucket, Sums, not_relied_on};
use crate::cloud::{Ask, Refusal};
use crate::wire::{Answer, foreign, written_moment, written_range};
use crate::{Checksum, Condition, Fetched, Key, Meta, Read, Stored, Version, Write, capability};

impl Bucket {
    pub(crate) async fn head(&self, key: Key<'_>) -> Result<Meta> {
        let ask = self.as_stored(Ask::new(Method::HEAD, key))?;
        match self.service.ask(ask).await? {
            Ok(answer) => {
                self.is_there.store(true, Ordering::Relaxed);
                self.meta(&answer, answer.length()?)
            }
            Err(refusal) if refusal.is_missing() => Err(self.missing(refusal).await),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// What is said of an object that is not there. Asked for without bytes it is refused in the same words where
    /// the whole bucket is not, so that is asked as well, until somebody has seen the bucket.
    async fn missing(&self, refusal: Refusal) -> Error {
        if !refusal.code.is_empty() || self.is_there.load(Ordering::Relaxed) {
            return refusal.into();
        }
        let error = match self.service.ask(Ask::new(Method::HEAD, None)).await {
            Ok(Ok(_)) => None,
            Ok(Err(bucket)) if bucket.is_missing() => return bucket.of_bucket().into(),
            Ok(Err(bucket)) => Some(Error::from(bucket)),
            Err(error) => Some(error),
        };
        if let Some(outage) = error.filter(|error| error.class() == Class::Outage) {
            return outage;
        }
        // Some do not answer such questions; they have answered that of the object.
        self.is_there.store(true, Ordering::Relaxed);
        refusal.into()
    }

    pub(crate) async fn get(&self, key: Key<'_>, read: &Read) -> Result<Option<Fetched>> {
        let mut ask = self.as_stored(Ask::new(Method::GET, key))?;
        if let Some(range) = &read.range {
            ask = ask.header("range", &written_range(range)?)?;
        }
        if let Some(only) = &read.only {
            ask = self.only(ask, only)?;
        }
        if let Some(unless) = &read.unless {
            ask = ask.header(self.dialect.unless_version, unless.as_str())?;
        } else if let Some(since) = read.since.and_then(written_moment) {
            ask = ask.header("if-modified-since", &since)?;
        }
        let Some(answer) = self.service.ask_unless_same(ask).await? else { return Ok(None) };
        let (range, size) = answer.range(read.range.is_some())?;
        let meta = self.meta(&answer, size)?;
        Ok(Some(Fetched { meta, range, body: answer.into_body() }))
    }

    pub(crate) async fn put(&self, key: Key<'_>, content: Bytes, write: &Write) -> Result<Stored> {
        let size = content.len() as u64;
        let mut ask = self.said(Ask::new(Method::PUT, key), write)?;
        if let Some(sum) = write.checksum {
            ask = self.with_sum(ask, sum)?;
        }
        let ask = self.on(ask, &write.condition)?.content(content);
        let answer =
            self.service.ask(ask).await?.map_err(|refusal| refusal.under(&write.condition))?;
        Ok(Stored::new(self.version(&answer)?, size, write.checksum))
    }

    pub(crate) async fn delete(&self, key: Key<'_>, only: Option<&Version>) -> Result<bool> {
        let mut ask = Ask::new(Method::DELETE, key);
        if let Some(only) = only {
            if !self.traits.conditions.delete {
                return Err(not_relied_on(capability::DELETE_VERSION));
            }
            ask = self.only(ask, only)?;
        }
        match self.service.ask(ask).await? {
            Ok(_) => Ok(true),
            Err(refusal) if refusal.is_missing() => Ok(false),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// The request, with all that is said of the object that it stores.
    pub(super) fn said<'a>(&self, ask: Ask<'a>, write: &Write) -> Result<Ask<'a>> {
        let is_sum_beside = self.traits.sums == Sums::Metadata;
        let mut ask = ask.saying(write, "", &self.own("meta-"), str::to_owned, is_sum_beside)?;
        ask.headers.extend(self.traits.stored.clone());
        Ok(ask)
    }

    /// The request, with the sum of its content where the service compares it.
    pub(super) fn with_sum<'a>(&self, ask: Ask<'a>, sum: Checksum) -> Result<Ask<'a>> {
        match self.traits.sums {
            Sums::Native => ask
                .header(&self.own("sdk-checksum-algorithm"), "CRC32C")?
                .header(&self.own(SUM), &written_sum(sum)),
            Sums::Hash => ask.header(&self.own(HASH), &format!("{CRC32C}{}", written_sum(sum))),
            Sums::Metadata => Ok(ask),
        }
    }

    /// The request for an object as it was stored, with the sum of it.
    fn as_stored<'a>(&self, ask: Ask<'a>) -> Result<Ask<'a>> {
        match self.traits.sums {
            Sums::Native => ask.header(&self.own("checksum-mode"), "ENABLED"),
            // Whoever does not say so is given what was packed unpacked, and the sum is of what was packed.
            Sums::Hash => ask.header("accept-encoding", "gzip"),
            Sums::Metadata => Ok(ask),
        }
    }

    /// The version that an answer tells; one that tells none is not from the service.
    pub(super) fn version(&self, answer: &Answer) -> Result<Version> {
        answer.header(self.dialect.version).map(Version::new).ok_or_else(foreign)
    }

    /// Asks for an object to be made that is told in XML: which version it is.
    pub(super) async fn made(&self, ask: Ask<'_>, condition: &Condition) -> Result<Version> {
        let answer = self.service.ask_xml_and(ask, self.dialect.version).await?;
        let (answer, header) = answer.map_err(|refusal| refusal.under(condition))?;
        let version = header.as_deref().or_else(|| answer.text("ETag"));
        version.map(Version::new).ok_or_else(foreign)
    }

    fn meta(&self, answer: &Answer, size: u64) -> Result<Meta> {
        let mut meta =
            answer.meta(size, self.version(answer)?, &self.own("meta-"), str::to_owned)?;
        meta.attributes.content_type.take_if(|told| told == self.dialect.content_type);
        let name = self.own(HASH);
        let hash = || {
            let hashes = answer.headers_after(&name).flat_map(|(_, told)| told.split(','));
            hashes.filter_map(|hash| hash.trim().strip_prefix(CRC32C)).find_map(sum)
        };
        let told = answer.header(&self.own(SUM)).and_then(sum).or_else(hash);
        meta.checksum = told.or(meta.checksum);
        Ok(meta)
    }
}

/// A sum as headers have it: the four bytes of it, the highest first, in Base64.
pub(super) fn written_sum(sum: Checksum) -> String {
    BASE64_STANDARD.encode(sum.value().to_be_bytes())
}

fn sum(written: &str) -> Option<Checksum> {
    let bytes = BASE64_STANDARD.decode(written).ok()?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?).into())
}

pub(super) const SUM: &str = "checksum-crc32c";
const HASH: &str = "hash";
const CRC32C: &str = "crc32c=";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_written_as_services_do() {
        let all = Checksum::of(b"123456789");
        assert_eq!(written_sum(all), "4waSgw==");
        assert_eq!(sum("4waSgw=="), Some(all));
        // That of an object in parts is one of sums, and says nothing of the bytes.
        assert_eq!(sum("4waSgw==-2"), None);
        assert_eq!(sum("AAAA"), None);
    }
}
