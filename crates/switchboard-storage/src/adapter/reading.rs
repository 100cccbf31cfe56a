//! Reading through a mount: conditions, ranges, and many ranges at once.

use std::ops::Range;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{Extensions, GetOptions, GetRange, GetResult, GetResultPayload, ObjectMeta};
use switchboard_core::{Error, ErrorKind, Result};

use super::attributes;
use super::error::told;
use crate::disk::op;
use crate::driver::{ByteRange, Read};
use crate::get::open;
use crate::{Disk, Meta, Version};

/// What `options` ask of the object under `location`.
pub(super) async fn get(
    disk: &Disk,
    location: &Path,
    options: GetOptions,
) -> object_store::Result<GetResult> {
    let failed = |error| told(error, location);
    if options.version.is_some() {
        let why = "older versions of an object cannot be read";
        let refusal = Error::new(ErrorKind::Unsupported, why).not_applied();
        return disk.placed(op::GET, Err(refusal)).map_err(failed);
    }
    let (meta, range, payload) = if options.head {
        let meta = disk.head(location.as_ref()).await.map_err(failed)?;
        (meta, None, futures_util::stream::empty().boxed())
    } else {
        let object = open(disk, location.as_ref(), &read(&options)).await.map_err(failed)?;
        let Some(object) = object else { return Err(unchanged(location)) };
        let (meta, range) = (object.meta().clone(), object.range());
        let at = location.clone();
        let pieces = object.map_err(move |error| told(error, &at));
        (meta, Some(range), pieces.boxed())
    };
    let (known, attributes) = known(location, meta);
    // The driver was told of those conditions only that its contract has; these are all.
    options.check_preconditions(&known)?;
    Ok(GetResult {
        payload: GetResultPayload::Stream(payload),
        range: range.unwrap_or(0..known.size),
        attributes,
        meta: known,
        extensions: Extensions::new(),
    })
}

/// As much of `options` as a driver is asked for: single versions, but neither lists of them nor `*`.
fn read(options: &GetOptions) -> Read {
    let single = |tags: &Option<String>| {
        tags.as_deref().filter(|tags| *tags != "*" && !tags.contains(',')).map(Version::new)
    };
    Read {
        range: options.range.as_ref().map(|range| match range {
            GetRange::Bounded(range) => ByteRange::Span(range.clone()),
            GetRange::Offset(from) => ByteRange::From(*from),
            GetRange::Suffix(length) => ByteRange::Last(*length),
        }),
        only: single(&options.if_match),
        unless: single(&options.if_none_match),
        // Counts only where no version is named.
        since: options
            .if_modified_since
            .filter(|_| options.if_none_match.is_none())
            .map(SystemTime::from),
    }
}

fn known(location: &Path, meta: Meta) -> (ObjectMeta, object_store::Attributes) {
    let known = ObjectMeta {
        location: location.clone(),
        last_modified: meta.modified.into(),
        size: meta.size,
        e_tag: Some(meta.version.as_str().to_owned()),
        version: None,
    };
    (known, attributes::told(meta.attributes))
}

fn unchanged(location: &Path) -> object_store::Error {
    object_store::Error::NotModified {
        path: location.to_string(),
        source: "the object is the one that is known already".into(),
    }
}

/// The bytes of each of `ranges`, all of one version. How much of it is in memory at once is decided by those who ask:
/// data tools read groups of rows that are larger than any limit that would protect others.
pub(super) async fn ranges(disk: &Disk, key: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
    let plan = disk.plan().await?;
    disk.ranges(key, ranges, plan, u64::MAX).await
}
