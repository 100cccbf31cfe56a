//! `PUT` and `DELETE`.

use std::error::Error as StdError;

use http::header::{self, HeaderMap};
use http::{Response, StatusCode};
use http_body::Body as HttpBody;
use switchboard_core::{ErrorKind, Result};

use super::conditions::{allows_writing, is_any, tag};
use super::content::Content;
use super::digests;
use super::incoming::{Limits, body_of};
use super::plain;
use crate::Disk;
use crate::driver::{Condition, Sign};

/// Stores what is sent, as far as it is what was signed.
pub(super) async fn put<B>(
    disk: &Disk,
    key: &str,
    signed: &Sign,
    headers: &HeaderMap,
    body: B,
    limits: Limits,
) -> Result<Response<Content>>
where
    B: HttpBody + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let content_type = headers.get(header::CONTENT_TYPE);
    if let Some(wanted) = &signed.content_type
        && content_type.is_none_or(|sent| sent != wanted.as_str())
    {
        return Ok(plain(StatusCode::FORBIDDEN));
    }
    // Stored as if it were nothing of that, it would be another object.
    if headers.contains_key(header::CONTENT_RANGE) {
        return Ok(plain(StatusCode::BAD_REQUEST));
    }
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Ok(plain(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    let claims = match digests::claims(headers) {
        Ok(claims) => claims,
        Err(status) => return Ok(plain(status)),
    };
    let size_max = signed.size_max.unwrap_or(u64::MAX).min(limits.size_max);
    let body = digests::compared(body_of(body, Limits { size_max, ..limits })?, claims);
    let condition = match condition(disk, key, headers).await? {
        Ok(condition) => condition,
        Err(status) => return Ok(plain(status)),
    };
    let mut put = disk.put(key, body);
    if let Some(content_type) = content_type {
        let Ok(content_type) = content_type.to_str() else {
            return Ok(plain(StatusCode::BAD_REQUEST));
        };
        put = put.content_type(content_type);
    }
    let stored = match condition {
        Condition::Always => put.await?,
        Condition::Absent => put.if_absent().await?,
        Condition::Version(version) => put.if_version(&version).await?,
    };
    let mut response = nothing();
    response.headers_mut().extend(tag(&stored.version).map(|tag| (header::ETAG, tag)));
    Ok(response)
}

pub(super) async fn delete(
    disk: &Disk,
    key: &str,
    headers: &HeaderMap,
) -> Result<Response<Content>> {
    match condition(disk, key, headers).await? {
        Ok(Condition::Always) => disk.delete(key).await?,
        Ok(Condition::Version(version)) => disk.delete_only(key, &version).await?,
        Ok(Condition::Absent) => return Ok(plain(StatusCode::BAD_REQUEST)),
        Err(status) => return Ok(plain(status)),
    };
    Ok(nothing())
}

/// The condition of `headers`, or the answer if it cannot hold or is none of ours.
async fn condition(
    disk: &Disk,
    key: &str,
    headers: &HeaderMap,
) -> Result<Result<Condition, StatusCode>> {
    let is_of_one =
        headers.contains_key(header::IF_MATCH) || headers.contains_key(header::IF_UNMODIFIED_SINCE);
    if headers.contains_key(header::IF_NONE_MATCH) {
        let is_ours = !is_of_one && is_any(headers, &header::IF_NONE_MATCH);
        return Ok(if is_ours { Ok(Condition::Absent) } else { Err(StatusCode::BAD_REQUEST) });
    }
    if !is_of_one {
        return Ok(Ok(Condition::Always));
    }
    match disk.head(key).await {
        Ok(meta) if allows_writing(&meta, headers) => Ok(Ok(Condition::Version(meta.version))),
        Ok(_) => Ok(Err(StatusCode::PRECONDITION_FAILED)),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Ok(Err(StatusCode::PRECONDITION_FAILED))
        }
        Err(error) => Err(error),
    }
}

fn nothing() -> Response<Content> {
    let mut response = Response::new(Content::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}
