//! The requests for blobs.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::Method;
use object_store::path::Path;
use switchboard_core::{Error, ErrorKind, Result};

use super::{Azure, names};
use crate::cloud::{Ask, Element, unsupported};
use crate::wire::{Answer, encoded_path, foreign, moment, written_moment, written_range};
use crate::{
    ByteRange, Condition, Entry, Fetched, Key, List, Meta, Page, Part, PartTag, Read, Sign, Signed,
    Stored, UploadId, Version, Write, capability,
};

impl Azure {
    pub(super) async fn head_of(&self, key: Key<'_>) -> Result<Meta> {
        let answer = self.service.ask(about(Method::HEAD, key)?).await??;
        answer.meta(answer.length()?, version(&answer)?, METADATA, names::read)
    }

    pub(super) async fn fetch(&self, key: Key<'_>, read: &Read) -> Result<Option<Fetched>> {
        let Some(ByteRange::Last(_)) = &read.range else {
            return self.fetch_from(key, read).await;
        };
        // The service knows no ranges from the end.
        let meta = self.head_of(key).await?;
        if !read.allows(&meta)? {
            return Ok(None);
        }
        let range = read.range.as_ref().map(|range| range.of(meta.size)).transpose()?;
        let only = Some(meta.version);
        let from_start = Read { range: range.map(ByteRange::Span), only, ..Read::default() };
        self.fetch_from(key, &from_start).await.map_err(|error| match error.kind() {
            ErrorKind::PreconditionFailed if read.only.is_none() => Error::new(
                ErrorKind::Conflict,
                "the object was replaced while its end was looked for",
            )
            .retry_later(),
            _ => error,
        })
    }

    async fn fetch_from(&self, key: Key<'_>, read: &Read) -> Result<Option<Fetched>> {
        let mut ask = about(Method::GET, key)?;
        if let Some(range) = &read.range {
            ask = ask.header("x-ms-range", &written_range(range)?)?;
        }
        if let Some(only) = &read.only {
            ask = ask.header("if-match", &quoted(only))?;
        }
        if let Some(unless) = &read.unless {
            ask = ask.header("if-none-match", &quoted(unless))?;
        } else if let Some(since) = read.since.and_then(written_moment) {
            ask = ask.header("if-modified-since", &since)?;
        }
        let Some(answer) = self.service.ask_unless_same(ask).await? else { return Ok(None) };
        let (range, size) = answer.range(read.range.is_some())?;
        let meta = answer.meta(size, version(&answer)?, METADATA, names::read)?;
        Ok(Some(Fetched { meta, range, body: answer.into_body() }))
    }

    pub(super) async fn store(
        &self,
        key: Key<'_>,
        content: Bytes,
        write: &Write,
    ) -> Result<Stored> {
        let size = content.len() as u64;
        let ask = about(Method::PUT, key)?.header("x-ms-blob-type", "BlockBlob")?;
        let ask = on(said(ask, write)?, &write.condition)?;
        let answer = self.service.ask(ask.content(content)).await?;
        let answer = answer.map_err(|refusal| refusal.under(&write.condition))?;
        Ok(Stored::new(version(&answer)?, size, write.checksum))
    }

    pub(super) async fn remove(&self, key: Key<'_>, only: Option<&Version>) -> Result<bool> {
        let condition = only.cloned().map_or(Condition::Always, Condition::Version);
        let ask = about(Method::DELETE, key)?.header("x-ms-delete-snapshots", "include")?;
        match self.service.ask(on(ask, &condition)?).await? {
            Ok(_) => Ok(true),
            Err(refusal) if refusal.is_missing() => Ok(false),
            Err(refusal) => Err(refusal.into()),
        }
    }

    pub(super) async fn page(&self, list: &List) -> Result<Page> {
        if list.prefix.contains(char::is_control) {
            // No key begins so, and no answer could tell it.
            return Ok(Page::default());
        }
        let limit = list.limit.to_string();
        let mut ask = Ask::new(Method::GET, None)
            .query("restype", "container")
            .query("comp", "list")
            .query("maxresults", &limit);
        if !list.prefix.is_empty() {
            ask = ask.query("prefix", &list.prefix);
        }
        if list.is_flat {
            ask = ask.query("delimiter", "/");
        }
        if let Some(token) = &list.token {
            ask = ask.query("marker", token);
        }
        let answer = self.service.ask_xml(ask).await??;
        let blobs = answer.find("Blobs").filter(|_| answer.name == "EnumerationResults");
        let blobs = blobs.ok_or_else(foreign)?;
        let mut page =
            Page { next: answer.text("NextMarker").map(str::to_owned), ..Page::default() };
        for blob in blobs.all("Blob") {
            match entry(blob)? {
                Some(entry) => page.entries.push(entry),
                None => page.skipped += 1,
            }
        }
        for prefix in blobs.all("BlobPrefix") {
            let prefix = prefix.text("Name").ok_or_else(foreign)?;
            if Key::parse(prefix.trim_end_matches('/')).is_ok() && !prefix.ends_with("//") {
                page.prefixes.push(prefix.to_owned());
            } else {
                page.skipped += 1;
            }
        }
        // The service knows no key to begin after.
        if let Some(after) = &list.after {
            page.entries.retain(|entry| entry.key > *after);
            page.prefixes.retain(|prefix| prefix > after || after.starts_with(prefix.as_str()));
        }
        Ok(page)
    }

    pub(super) async fn copied(
        &self,
        from: Key<'_>,
        to: Key<'_>,
        condition: &Condition,
    ) -> Result<Stored> {
        let source = self.head_of(from).await.map_err(Error::not_applied)?;
        if source.size > COPY_MAX {
            // What the service copies beyond that is there before it is whole.
            return Err(unsupported(capability::COPY));
        }
        let ask = about(Method::PUT, to)?
            .header("x-ms-requires-sync", "true")?
            .header("x-ms-copy-source", &self.source(from).await?)?
            .header("x-ms-source-if-match", &quoted(&source.version))?;
        let answer = self.service.ask(on(ask, condition)?).await?;
        let answer = answer.map_err(|refusal| refusal.under(condition))?;
        Ok(Stored::new(version(&answer)?, source.size, source.checksum))
    }

    /// The address of an object, with what proves that we may read it.
    async fn source(&self, key: Key<'_>) -> Result<String> {
        if let Some(token) = &self.sas_token {
            let path = encoded_path(key.as_str());
            return Ok(format!("{}/{path}?{token}", self.service.address));
        }
        self.address(Method::GET, key, COPY_TIME_MAX).await
    }

    async fn address(&self, method: Method, key: Key<'_>, ttl: Duration) -> Result<String> {
        allow(key)?;
        let refused = |error: object_store::Error| {
            Error::new(ErrorKind::Unauthenticated, "there is nothing to sign an address with")
                .with_source(error)
                .not_applied()
        };
        let key = Path::parse(key.as_str()).map_err(|error| refused(error.into()))?;
        let signer = self.service.access.signer();
        Ok(signer.signed_url(method, &key, ttl).await.map_err(refused)?.to_string())
    }

    pub(super) async fn keep(
        &self,
        key: Key<'_>,
        upload: &UploadId,
        part: Part,
        content: Bytes,
    ) -> Result<PartTag> {
        let (block, length) = (block(upload, part.number), content.len());
        let ask = about(Method::PUT, key)?
            .query("comp", "block")
            .query("blockid", &block)
            .content(content);
        self.service.ask(ask).await??;
        Ok(PartTag(format!("{} {length}", part.number)))
    }

    pub(super) async fn join(
        &self,
        key: Key<'_>,
        upload: &UploadId,
        parts: &[PartTag],
        write: &Write,
    ) -> Result<Stored> {
        let (mut size, mut listed) = (0, String::from("<BlockList>"));
        for tag in parts {
            let (number, length) = kept(tag)?;
            size += length;
            listed.extend(["<Uncommitted>", &block(upload, number), "</Uncommitted>"]);
        }
        listed.push_str("</BlockList>");
        let ask = about(Method::PUT, key)?.query("comp", "blocklist");
        let ask = on(said(ask, write)?, &write.condition)?;
        let answer = self.service.ask(ask.content(listed.into())).await?;
        let answer = answer.map_err(|refusal| refusal.under(&write.condition))?;
        Ok(Stored::new(version(&answer)?, size, write.checksum))
    }

    pub(super) async fn signed(&self, sign: &Sign) -> Result<Signed> {
        if sign.size_max.is_some() || sign.content_type.is_some() {
            return Err(unsupported("sign.size_max and sign.content_type"));
        }
        if sign.content_disposition.is_some() {
            return Err(unsupported("sign.content_disposition"));
        }
        let (method, headers) = match sign.method {
            crate::Method::Get => (Method::GET, None),
            crate::Method::Head => (Method::HEAD, None),
            crate::Method::Put => (Method::PUT, Some(("x-ms-blob-type", "BlockBlob"))),
            crate::Method::Delete => (Method::DELETE, None),
        };
        let url = self.address(method, Key::parse(&sign.key)?, sign.ttl).await?;
        let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        Ok(Signed {
            method: sign.method,
            url,
            headers: headers.collect(),
            expires: self.service.clock.wall() + sign.ttl,
        })
    }
}

/// The name of an upload is ours: the service knows only the parts.
pub(super) fn begun(key: Key<'_>) -> Result<UploadId> {
    allow(key)?;
    Ok(UploadId(crate::WriteId::random()?.to_string()))
}

/// A request about an object, if the service can keep its key.
fn about(method: Method, key: Key<'_>) -> Result<Ask<'_>> {
    allow(key)?;
    Ok(Ask::new(method, key))
}

fn allow(key: Key<'_>) -> Result<()> {
    if key.as_str().contains('\\') || key.segments().any(|segment| segment.ends_with('.')) {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            "the service keeps no key with a `\\` in it, or with a segment that ends with a dot",
        )
        .not_applied());
    }
    Ok(())
}

/// The request, with all that is said of the object that it stores.
fn said<'a>(ask: Ask<'a>, write: &Write) -> Result<Ask<'a>> {
    if let Some((name, _)) = write.attributes.metadata.iter().find(|(_, value)| value.is_empty()) {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            "the service is not relied on to keep metadata without a value",
        )
        .with_context("name", name)
        .not_applied());
    }
    ask.saying(write, KNOWN, METADATA, names::written, true)
}

/// The request on this condition.
fn on<'a>(ask: Ask<'a>, condition: &Condition) -> Result<Ask<'a>> {
    match condition {
        Condition::Always => Ok(ask),
        Condition::Absent => ask.header("if-none-match", "*"),
        Condition::Version(version) => ask.header("if-match", &quoted(version)),
    }
}

/// Lists tell entity tags without the quotation marks that headers have.
fn version(answer: &Answer) -> Result<Version> {
    answer.header("etag").map(|tag| Version::new(tag.trim_matches('"'))).ok_or_else(foreign)
}

fn quoted(version: &Version) -> String {
    format!("\"{version}\"")
}

/// What the service calls a part; all names under a key have the same length.
fn block(upload: &UploadId, number: u32) -> String {
    BASE64_STANDARD.encode(format!("{}-{number:08}", upload.0))
}

/// The number of a part, and how long it is.
fn kept(tag: &PartTag) -> Result<(u32, u64)> {
    let (number, length) = tag.0.split_once(' ').unwrap_or_default();
    number
        .parse()
        .ok()
        .zip(length.parse().ok())
        .ok_or_else(|| Error::new(ErrorKind::InvalidInput, "a part was never kept").not_applied())
}

/// An object of a list; `None` where its key is one that no disk can have.
fn entry(blob: &Element) -> Result<Option<Entry>> {
    let key = blob.text("Name").ok_or_else(foreign)?;
    if Key::parse(key).is_err() {
        return Ok(None);
    }
    let told = blob.find("Properties").ok_or_else(foreign)?;
    let size = told.text("Content-Length").and_then(|size| size.parse().ok());
    let modified = told.text("Last-Modified").and_then(moment).ok_or_else(foreign)?;
    let tag = told.text("Etag").ok_or_else(foreign)?.trim_matches('"');
    Ok(Some(Entry::new(key, size.ok_or_else(foreign)?, modified, Version::new(tag))))
}

/// The largest object that the service copies before it answers.
const COPY_MAX: u64 = 256 << 20;
const COPY_TIME_MAX: Duration = Duration::from_hours(1);
const METADATA: &str = "x-ms-meta-";
const KNOWN: &str = "x-ms-blob-";
