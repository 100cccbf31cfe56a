//! Copies that the service makes.

use bytes::Bytes;
use http::Method;
use switchboard_core::{Error, ErrorKind, Result};

use super::Bucket;
use super::parts::Kept;
use crate::cloud::Ask;
use crate::wire::{encoded_path, foreign};
use crate::{Condition, Key, Meta, PartTag, Stored, UploadId, Write};

impl Bucket {
    pub(crate) async fn copy(
        &self,
        from: Key<'_>,
        to: Key<'_>,
        condition: &Condition,
    ) -> Result<Stored> {
        let source = self.head(from).await.map_err(Error::not_applied)?;
        let write = Write {
            condition: condition.clone(),
            attributes: source.attributes.clone(),
            checksum: source.checksum,
            write_id: None,
        };
        let can_at_once = *condition == Condition::Always && source.size <= COPY_MAX;
        if can_at_once || self.dialect.copies_on_condition {
            let mut ask = self.copying(Ask::new(Method::PUT, to), from, &source)?;
            ask.headers.extend(self.traits.stored.clone());
            if source.write_id.is_some() {
                // The mark of whoever stored the source is not that of the copy.
                ask = self.said(ask, &write)?.header(&self.own("metadata-directive"), "REPLACE")?;
            }
            let version = self.made(self.on(ask, condition)?, condition).await?;
            return Ok(Stored::new(version, source.size, source.checksum));
        }
        // What copies an object at once takes no condition on what is replaced; what ends an upload does.
        if source.size == 0 {
            return self.put(to, Bytes::new(), &write).await;
        }
        let upload = self.begin(to, &write).await?;
        let copied = self.copy_in_parts(from, to, &source, &upload, &write).await;
        if copied.is_err() {
            // What cannot be given up now is swept.
            let _ = self.abort(to, &upload).await;
        }
        copied
    }

    async fn copy_in_parts(
        &self,
        from: Key<'_>,
        to: Key<'_>,
        source: &Meta,
        upload: &UploadId,
        write: &Write,
    ) -> Result<Stored> {
        let mut parts: Vec<PartTag> = Vec::new();
        let mut start = 0;
        while start < source.size {
            let end = source.size.min(start + PART_LENGTH);
            let number = u32::try_from(parts.len() + 1).map_err(|_| {
                Error::new(ErrorKind::TooLarge, "the object has too many parts").not_applied()
            })?;
            let written = number.to_string();
            let ask = Ask::new(Method::PUT, to)
                .query("partNumber", &written)
                .query("uploadId", &upload.0)
                .header(&self.own("copy-source-range"), &format!("bytes={start}-{}", end - 1))?;
            let copied = self.service.ask_xml(self.copying(ask, from, source)?).await??;
            let tag = copied.text("ETag").ok_or_else(foreign)?.to_owned();
            let sum = copied.text("ChecksumCRC32C").map(str::to_owned);
            parts.push(Kept { number, length: end - start, sum, tag }.into());
            start = end;
        }
        self.complete(to, upload, &parts, write).await
    }

    /// The request, with the source that it copies: that version and no other.
    fn copying<'a>(&self, ask: Ask<'a>, from: Key<'_>, source: &Meta) -> Result<Ask<'a>> {
        let place = format!("/{}/{}", self.name, encoded_path(from.as_str()));
        ask.header(&self.own("copy-source"), &place)?
            .header(self.dialect.if_source_version, source.version.as_str())
    }
}

/// The largest object that is copied at once.
const COPY_MAX: u64 = 5 << 30;
const PART_LENGTH: u64 = 1 << 30;
