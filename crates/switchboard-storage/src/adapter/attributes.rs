//! What is said of objects, in the words of both crates.

use object_store::Attribute;
use switchboard_core::{Error, ErrorKind, Result};

use crate::Attributes;

/// What is told, as disks say it; refused if they cannot.
pub(super) fn own(told: &object_store::Attributes) -> Result<Attributes> {
    let mut own = Attributes::default();
    for (attribute, value) in told {
        let value = value.as_ref().to_owned();
        match attribute {
            Attribute::ContentType => own.content_type = Some(value),
            Attribute::CacheControl => own.cache_control = Some(value),
            Attribute::ContentDisposition => own.content_disposition = Some(value),
            Attribute::ContentEncoding => own.content_encoding = Some(value),
            Attribute::ContentLanguage => own.content_language = Some(value),
            Attribute::Metadata(name) => {
                own.metadata.insert(name.clone().into_owned(), value);
            }
            other => {
                return Err(Error::new(ErrorKind::Unsupported, "disks keep no such attribute")
                    .with_context("attribute", format_args!("{other:?}"))
                    .not_applied());
            }
        }
    }
    Ok(own)
}

/// What disks say, as it is told.
pub(super) fn told(own: Attributes) -> object_store::Attributes {
    let Attributes {
        content_type,
        cache_control,
        content_disposition,
        content_encoding,
        content_language,
        metadata,
    } = own;
    let known = [
        (Attribute::ContentType, content_type),
        (Attribute::CacheControl, cache_control),
        (Attribute::ContentDisposition, content_disposition),
        (Attribute::ContentEncoding, content_encoding),
        (Attribute::ContentLanguage, content_language),
    ];
    let known = known.into_iter().filter_map(|(attribute, value)| Some((attribute, value?)));
    let named = metadata.into_iter().map(|(name, value)| (Attribute::Metadata(name.into()), value));
    known.chain(named).collect()
}
