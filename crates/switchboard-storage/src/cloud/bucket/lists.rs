//! What is there, a page at a time; and deleting many at once.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::Method;
use md5::{Digest as _, Md5};
use quick_xml::escape::escape;
use switchboard_core::{Error, Result};

use super::{Bucket, Sums};
use crate::cloud::{Ask, Element, Refusal};
use crate::delete::together;
use crate::wire::{foreign, moment};
use crate::{Checksum, Entry, Key, List, Page, Version};

impl Bucket {
    pub(crate) async fn list(&self, list: &List) -> Result<Page> {
        if list.prefix.contains(char::is_control) {
            // No key begins so, and no answer could tell it.
            return Ok(Page::default());
        }
        let limit = list.limit.to_string();
        let mut ask = Ask::new(Method::GET, None).query("list-type", "2").query("max-keys", &limit);
        if !list.prefix.is_empty() {
            ask = ask.query("prefix", &list.prefix);
        }
        if list.is_flat {
            ask = ask.query("delimiter", "/");
        }
        // Where the page before ended is after what this began with.
        match (&list.token, &list.after) {
            (Some(token), _) => ask = ask.query("continuation-token", token),
            (None, Some(after)) => ask = ask.query("start-after", after),
            (None, None) => {}
        }
        let answer = self.service.ask_xml(ask).await??;
        if answer.name != "ListBucketResult" {
            return Err(foreign());
        }
        let mut page = Page {
            next: answer.text("NextContinuationToken").map(str::to_owned),
            ..Page::default()
        };
        for object in answer.all("Contents") {
            match entry(object)? {
                Some(entry) => page.entries.push(entry),
                None => page.skipped += 1,
            }
        }
        for prefix in answer.all("CommonPrefixes") {
            let prefix = prefix.text("Prefix").ok_or_else(foreign)?;
            if Key::parse(prefix.trim_end_matches('/')).is_ok() && !prefix.ends_with("//") {
                page.prefixes.push(prefix.to_owned());
            } else {
                page.skipped += 1;
            }
        }
        Ok(page)
    }

    /// Deletes all of them in one request, where the service knows such requests.
    pub(crate) async fn delete_many(&self, keys: &[Key<'_>]) -> Result<Vec<Result<bool>>> {
        let is_told_in_xml = |key: &Key<'_>| !key.as_str().contains(NOT_IN_XML);
        if !self.dialect.deletes_many || !keys.iter().all(is_told_in_xml) {
            let requests: Vec<_> = keys.iter().map(|key| self.delete(*key, None)).collect();
            return Ok(together(requests).await);
        }
        let mut written = String::from("<Delete><Quiet>true</Quiet>");
        for key in keys {
            written.extend(["<Object><Key>", &escape(key.as_str()), "</Key></Object>"]);
        }
        written.push_str("</Delete>");
        let ask = Ask::new(Method::POST, None).query("delete", "");
        // Such a request must have a sum; this is the one that all services know who know no other.
        let ask = match self.traits.sums {
            Sums::Native => self.with_sum(ask, Checksum::of(written.as_bytes()))?,
            Sums::Hash | Sums::Metadata => {
                ask.header("content-md5", &BASE64_STANDARD.encode(Md5::digest(&written)))?
            }
        };
        let ask = ask.content(written.into());
        let answer = self.service.ask_xml(ask.header("content-type", "application/xml")?).await??;
        if answer.name != "DeleteResult" {
            return Err(foreign());
        }
        let refused = |key: &Key<'_>| {
            answer.all("Error").find(|refused| refused.text("Key") == Some(key.as_str()))
        };
        Ok(keys
            .iter()
            .map(|key| match refused(key) {
                Some(said) => Err(Error::from(Refusal::late(said))),
                None => Ok(true),
            })
            .collect())
    }
}

/// An object of a list; `None` where its key is one that no disk can have, as those of empty folders are.
fn entry(object: &Element) -> Result<Option<Entry>> {
    let key = object.text("Key").ok_or_else(foreign)?;
    if Key::parse(key).is_err() {
        return Ok(None);
    }
    let size = object.text("Size").and_then(|size| size.parse().ok()).ok_or_else(foreign)?;
    let modified = object.text("LastModified").and_then(moment).ok_or_else(foreign)?;
    let version = object.text("Generation").or_else(|| object.text("ETag"));
    let version = Version::new(version.ok_or_else(foreign)?);
    Ok(Some(Entry::new(key, size, modified, version)))
}

/// The characters that XML has no way to write.
const NOT_IN_XML: [char; 2] = ['\u{fffe}', '\u{ffff}'];
