//! `GET` and `HEAD`.

use std::ops::Range;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use switchboard_core::{Error, ErrorKind, Result};

use super::conditions::{Verdict, date, depends, judge, tag};
use super::content::Content;
use super::plain;
use crate::driver::{Read, Sign};
use crate::get::open;
use crate::{Disk, Meta};

/// What was signed of the object under `key`, or the part of it that `headers` ask for.
pub(super) async fn get(
    disk: &Disk,
    key: &str,
    signed: &Sign,
    headers: &HeaderMap,
) -> Result<Response<Content>> {
    let mut response = read(disk, key, headers).await?;
    if let Some(disposition) = &signed.content_disposition
        && response.status().is_success()
        && let Ok(disposition) = HeaderValue::from_str(disposition)
    {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, disposition);
    }
    Ok(response)
}

pub(super) async fn head(disk: &Disk, key: &str, headers: &HeaderMap) -> Result<Response<Content>> {
    let meta = disk.head(key).await?;
    // Parts are for `GET` alone.
    Ok(match judge(&meta, headers) {
        Verdict::Unchanged => unchanged(&meta),
        Verdict::Failed => plain(StatusCode::PRECONDITION_FAILED),
        Verdict::Whole | Verdict::Part(_) | Verdict::NoSuchRange => {
            let mut response = described(&meta, Content::empty());
            response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(meta.size));
            response
        }
    })
}

pub(super) async fn read(disk: &Disk, key: &str, headers: &HeaderMap) -> Result<Response<Content>> {
    if !depends(headers) {
        let object = opened(disk, key, &Read::default()).await?;
        return Ok(described(&object.meta().clone(), object.into()));
    }
    for _ in 0..REPLACED_MAX {
        let meta = disk.head(key).await?;
        let range = match judge(&meta, headers) {
            Verdict::Whole => None,
            Verdict::Part(range) => Some(range),
            Verdict::Unchanged => return Ok(unchanged(&meta)),
            Verdict::Failed => return Ok(plain(StatusCode::PRECONDITION_FAILED)),
            Verdict::NoSuchRange => return Ok(no_such_range(&meta)),
        };
        let asked = range.clone().map(Into::into);
        let only = Some(meta.version.clone());
        match opened(disk, key, &Read { range: asked, only, ..Read::default() }).await {
            Ok(object) => {
                let response = described(&meta, object.into());
                return Ok(match range {
                    Some(range) => part(response, &range, meta.size),
                    None => response,
                });
            }
            // It was replaced after it was looked at: what was decided is not true of the new one.
            Err(error) if error.kind() == ErrorKind::PreconditionFailed => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::new(ErrorKind::Conflict, "the object is replaced faster than it can be read"))
}

async fn opened(disk: &Disk, key: &str, read: &Read) -> Result<crate::Object> {
    open(disk, key, read).await?.ok_or_else(|| {
        Error::new(ErrorKind::Unexpected, "the driver told of a condition that was not made")
    })
}

/// A response with an object, and everything that is said of it.
pub(crate) fn described(meta: &Meta, content: Content) -> Response<Content> {
    let mut response = Response::new(content);
    let headers = response.headers_mut();
    let said = &meta.attributes;
    let content_type = said.content_type.as_deref().unwrap_or("application/octet-stream");
    set(headers, header::CONTENT_TYPE, Some(content_type));
    set(headers, header::CONTENT_DISPOSITION, said.content_disposition.as_deref());
    set(headers, header::CONTENT_ENCODING, said.content_encoding.as_deref());
    set(headers, header::CONTENT_LANGUAGE, said.content_language.as_deref());
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if is_active(content_type) {
        // It may come from anybody, and must not act in the name of the application.
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    }
    validators(headers, meta);
    response
}

/// The response, of which the content is only those bytes of so many.
pub(crate) fn part(
    mut response: Response<Content>,
    range: &Range<u64>,
    size: u64,
) -> Response<Content> {
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    let place = format!("bytes {}-{}/{size}", range.start, range.end.saturating_sub(1));
    set(response.headers_mut(), header::CONTENT_RANGE, Some(&place));
    response
}

/// What clients and caches need to ask whether they still have it.
fn validators(headers: &mut HeaderMap, meta: &Meta) {
    let cache_control = meta.attributes.cache_control.as_deref().unwrap_or("private");
    set(headers, header::CACHE_CONTROL, Some(cache_control));
    headers.extend(tag(&meta.version).map(|tag| (header::ETAG, tag)));
    headers.extend(date(meta.modified).map(|date| (header::LAST_MODIFIED, date)));
}

fn unchanged(meta: &Meta) -> Response<Content> {
    let mut response = Response::new(Content::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    validators(response.headers_mut(), meta);
    response
}

fn no_such_range(meta: &Meta) -> Response<Content> {
    let mut response = plain(StatusCode::RANGE_NOT_SATISFIABLE);
    let size = format!("bytes */{}", meta.size);
    set(response.headers_mut(), header::CONTENT_RANGE, Some(&size));
    response
}

/// What a service keeps may have been stored by others, who did not care what headers can have.
fn set(headers: &mut HeaderMap, name: HeaderName, value: Option<&str>) {
    if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
        headers.insert(name, value);
    }
}

/// Whether browsers run it as a page.
fn is_active(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
    kind == "text/html" || kind.ends_with("/xml") || kind.ends_with("+xml")
}

/// How often an object may be replaced between a look at it and reading it.
const REPLACED_MAX: u32 = 3;
