//! An object in parts.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use quick_xml::escape::escape;
use switchboard_core::{Error, ErrorKind, Result};

use super::objects::{SUM, written_sum};
use super::{Bucket, Sums, not_relied_on};
use crate::cloud::{Ask, Element};
use crate::wire::{foreign, moment};
use crate::{Condition, Key, Part, PartTag, Stored, UploadId, Write, another_version};

impl Bucket {
    pub(crate) async fn begin(&self, key: Key<'_>, write: &Write) -> Result<UploadId> {
        self.ending(Ask::new(Method::POST, key), &write.condition)?;
        let mut ask = self.said(Ask::new(Method::POST, key), write)?.query("uploads", "");
        if self.traits.sums == Sums::Native {
            ask = ask
                .header(&self.own("checksum-algorithm"), "CRC32C")?
                .header(&self.own("checksum-type"), "FULL_OBJECT")?;
        }
        let begun = self.service.ask_xml(ask).await??;
        begun.text("UploadId").map(|id| UploadId(id.to_owned())).ok_or_else(foreign)
    }

    pub(crate) async fn part(
        &self,
        key: Key<'_>,
        upload: &UploadId,
        part: Part,
        content: Bytes,
    ) -> Result<PartTag> {
        let (number, length) = (part.number + 1, content.len() as u64);
        let written = number.to_string();
        let ask = Ask::new(Method::PUT, key)
            .query("partNumber", &written)
            .query("uploadId", &upload.0)
            .content(content);
        let is_compared = self.traits.sums == Sums::Native;
        let ask = if is_compared { self.with_sum(ask, part.checksum)? } else { ask };
        let answer = self.service.ask(ask).await??;
        let tag = answer.header("etag").ok_or_else(foreign)?.to_owned();
        let sum = is_compared.then(|| written_sum(part.checksum));
        Ok(Kept { number, length, sum, tag }.into())
    }

    pub(crate) async fn complete(
        &self,
        key: Key<'_>,
        upload: &UploadId,
        parts: &[PartTag],
        write: &Write,
    ) -> Result<Stored> {
        let kept: Vec<Kept> = parts.iter().map(Kept::parse).collect::<Result<_>>()?;
        let size = kept.iter().map(|part| part.length).sum();
        let mut ask = Ask::new(Method::POST, key).query("uploadId", &upload.0);
        if let (Sums::Native, Some(sum)) = (self.traits.sums, write.checksum) {
            ask = ask
                .header(&self.own(SUM), &written_sum(sum))?
                .header(&self.own("checksum-type"), "FULL_OBJECT")?;
        }
        let ask = self.ending(ask, &write.condition)?.content(listed(&kept).into());
        self.look_first(key, &write.condition).await?;
        let version = self.made(ask, &write.condition).await?;
        Ok(Stored::new(version, size, write.checksum))
    }

    /// The request that ends an upload, on this condition.
    fn ending<'a>(&self, ask: Ask<'a>, condition: &Condition) -> Result<Ask<'a>> {
        match condition {
            Condition::Absent | Condition::Version(_) if !self.traits.conditions.complete => {
                Err(not_relied_on("parts on a condition"))
            }
            condition => self.on(ask, condition),
        }
    }

    /// Not all services that take a condition on one request hold to it on the last one of an upload; those
    /// are noticed here, but for the moment in between.
    async fn look_first(&self, key: Key<'_>, condition: &Condition) -> Result<()> {
        let Condition::Version(wanted) = condition else { return Ok(()) };
        match self.head(key).await {
            Ok(meta) if meta.version == *wanted => Ok(()),
            Ok(_) => Err(another_version()),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(another_version()),
            Err(error) => Err(error.not_applied()),
        }
    }

    pub(crate) async fn abort(&self, key: Key<'_>, upload: &UploadId) -> Result<()> {
        match self.service.ask(Ask::new(Method::DELETE, key).query("uploadId", &upload.0)).await? {
            Err(refusal) if refusal.status != StatusCode::NOT_FOUND => Err(refusal.into()),
            _ => Ok(()),
        }
    }

    /// Gives up what was begun before that long.
    pub(crate) async fn sweep(&self, age: Duration) -> Result<u64> {
        let Some(before) = self.service.clock.wall().checked_sub(age) else { return Ok(0) };
        let (mut swept, mut after) = (0, None::<(String, String)>);
        loop {
            let mut ask = Ask::new(Method::GET, None).query("uploads", "");
            if let Some((key, id)) = &after {
                ask = ask.query("key-marker", key).query("upload-id-marker", id);
            }
            let page = self.service.ask_xml(ask).await??;
            for upload in page.all("Upload") {
                let begun = upload.text("Initiated").and_then(moment).ok_or_else(foreign)?;
                let (key, id) = key_and_id(upload)?;
                if let (true, Ok(key)) = (begun <= before, Key::parse(&key)) {
                    self.abort(key, &UploadId(id)).await?;
                    swept += 1;
                }
            }
            let is_last = page.text("IsTruncated") != Some("true");
            let markers = page.text("NextKeyMarker").zip(page.text("NextUploadIdMarker"));
            let next = markers.map(|(key, id)| (key.to_owned(), id.to_owned()));
            if is_last || next.is_none() || next == after {
                return Ok(swept);
            }
            after = next;
        }
    }
}

fn key_and_id(upload: &Element) -> Result<(String, String)> {
    let text = |name| upload.text(name).map(str::to_owned).ok_or_else(foreign);
    Ok((text("Key")?, text("UploadId")?))
}

/// What is remembered of a part, in the text that the disk keeps for us.
pub(super) struct Kept {
    pub(super) number: u32,
    pub(super) length: u64,
    /// What its bytes add up to, where the service compared it.
    pub(super) sum: Option<String>,
    /// What the service calls it.
    pub(super) tag: String,
}

impl Kept {
    fn parse(tag: &PartTag) -> Result<Self> {
        let mut fields = tag.0.splitn(4, ' ');
        let mut read = || {
            let (number, length) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
            let sum = fields.next()?.to_owned();
            let sum = (sum != NO_SUM).then_some(sum);
            Some(Self { number, length, sum, tag: fields.next()?.to_owned() })
        };
        read().ok_or_else(|| {
            Error::new(ErrorKind::InvalidInput, "a part was never kept").not_applied()
        })
    }
}

impl From<Kept> for PartTag {
    fn from(kept: Kept) -> Self {
        let sum = kept.sum.as_deref().unwrap_or(NO_SUM);
        Self(format!("{} {} {sum} {}", kept.number, kept.length, kept.tag))
    }
}

fn listed(parts: &[Kept]) -> String {
    let mut written = String::from("<CompleteMultipartUpload>");
    for Kept { number, sum, tag, .. } in parts {
        let sum = sum.as_ref().map(|sum| format!("<ChecksumCRC32C>{sum}</ChecksumCRC32C>"));
        // Writing into a text does not fail.
        let _ = write!(
            written,
            "<Part>{}<ETag>{}</ETag><PartNumber>{number}</PartNumber></Part>",
            sum.unwrap_or_default(),
            escape(tag),
        );
    }
    written.push_str("</CompleteMultipartUpload>");
    written
}

const NO_SUM: &str = "-";
