//! What is said of an object, in the headers of requests and answers.

use switchboard_core::Result;

use super::Ask;
use crate::wire::{Answer, foreign, moment};
use crate::{Checksum, Meta, Version, Write, WriteId};

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
        meta.attributes = self.attributes();
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

const WRITE_ID: &str = "switchboard_write";
const SUM: &str = "switchboard_crc32c";
