//! What a service says when it refuses, and what kind of error that is.

use std::time::{Duration, SystemTime};

use http::StatusCode;
use switchboard_core::{Error, ErrorKind};

use super::xml::Element;
use crate::wire::{Answer, foreign, moment};
use crate::{Condition, already_there, another_sum, another_version, nothing_there};

/// An answer that is no success.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// The word of the service for it; empty where it gave none, as to requests that are answered without bytes.
    pub(crate) code: String,
    message: String,
    /// What its support wants to know.
    request: Option<String>,
    retry_after: Option<Duration>,
    /// Where the bucket is, if the service says so.
    region: Option<String>,
    /// When the service answered.
    at: Option<SystemTime>,
    /// Whether the answer has bytes that no service of this kind writes.
    is_foreign: bool,
}

impl Refusal {
    /// What `answer` says.
    pub(crate) async fn of(answer: Answer) -> Self {
        let status = answer.status();
        let header = |name| answer.header(name).map(str::to_owned);
        let request = REQUEST_HEADERS.iter().find_map(|name| header(name));
        let retry_after = header("retry-after").and_then(|seconds| seconds.trim().parse().ok());
        let region = header("x-amz-bucket-region");
        let at = header("date").as_deref().and_then(moment);
        let code = header("x-ms-error-code").unwrap_or_default();
        // A refusal that breaks off is one all the same.
        let bytes = answer.bytes().await.unwrap_or_default();
        let said = Element::parse(&bytes);
        let refusal = Self {
            status,
            code,
            message: String::new(),
            request,
            retry_after: retry_after.map(Duration::from_secs),
            region,
            at,
            is_foreign: !bytes.is_empty() && said.is_none(),
        };
        match said {
            Some(said) => refusal.saying(&said),
            None => refusal,
        }
    }

    /// One that came although the answer began as a success.
    pub(crate) fn late(said: &Element) -> Self {
        let refusal = Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            code: String::new(),
            message: String::new(),
            request: said.text("RequestId").map(str::to_owned),
            retry_after: None,
            region: None,
            at: None,
            is_foreign: false,
        };
        refusal.saying(said)
    }

    /// The same with the word that the service has for it, where it gave none: what is asked for without bytes is
    /// refused without any. `region` is where we think that the bucket is, `now` what time it is here.
    pub(super) fn without_bytes(mut self, region: Option<&str>, now: SystemTime) -> Self {
        let is_elsewhere = self.region.as_deref().is_some_and(|told| Some(told) != region);
        let is_skewed = self.at.is_some_and(|at| apart(at, now) > SKEW_MAX);
        let code = match self.status.as_u16() {
            _ if !self.code.is_empty() || self.is_foreign => return self,
            300..=399 if self.region.is_some() => "PermanentRedirect",
            400 | 403 if is_elsewhere => "AuthorizationHeaderMalformed",
            403 if is_skewed => "RequestTimeTooSkewed",
            503 => "SlowDown",
            _ => return self,
        };
        code.clone_into(&mut self.code);
        self
    }

    fn saying(mut self, said: &Element) -> Self {
        if let Some(region) = said.text("Region") {
            self.region = Some(region.to_owned());
        }
        if let Some(code) = said.text("Code") {
            code.clone_into(&mut self.code);
        }
        self.message = said.text("Message").unwrap_or_default().chars().take(MESSAGE_MAX).collect();
        self
    }

    /// Whether the object is what is missing, and not what it would be in.
    pub(crate) fn is_missing(&self) -> bool {
        let is_object = matches!(&*self.code, "" | "NoSuchKey" | "BlobNotFound");
        self.status == StatusCode::NOT_FOUND && is_object && !self.is_foreign
    }

    /// Whether it says nothing of the bucket, because that is not for everybody to know.
    pub(crate) fn is_silent_about_the_bucket(&self) -> bool {
        let is_told =
            matches!(&*self.code, "AuthorizationHeaderMalformed" | "RequestTimeTooSkewed");
        self.status == StatusCode::FORBIDDEN && !is_told
    }

    /// The same of a question for the bucket itself.
    pub(crate) fn of_bucket(mut self) -> Self {
        "NoSuchBucket".clone_into(&mut self.code);
        self
    }

    /// The error of a request that was made on `condition`.
    pub(crate) fn under(self, condition: &Condition) -> Error {
        match (self.status, &*self.code, condition) {
            (StatusCode::PRECONDITION_FAILED, ..)
            | (_, "PreconditionFailed" | "BlobAlreadyExists", _)
                if *condition == Condition::Absent =>
            {
                already_there()
            }
            // Nothing is there, so that version is not.
            (.., Condition::Version(_)) if self.is_missing() => another_version(),
            _ => self.into(),
        }
    }
}

/// The whole mapping: first what the service calls it, then the number.
impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let Refusal { status, code, message, request, retry_after, region, is_foreign, .. } =
            refusal;
        let new = Self::new;
        let error = match (status.as_u16(), &*code) {
            _ if is_foreign => match status.as_u16() {
                429 => new(
                    ErrorKind::RateLimited,
                    "somebody on the way to the service wants fewer requests",
                ),
                _ => foreign(),
            },
            (_, "NoSuchBucket" | "ContainerNotFound" | "InvalidBucketName") => {
                new(ErrorKind::Config, "the service has no bucket or container of this name")
            }
            (_, "NoSuchUpload") => {
                new(ErrorKind::NotFound, "there is no such upload").not_applied()
            }
            (_, "BadDigest" | "InvalidDigest" | "XAmzContentChecksumMismatch" | "Md5Mismatch") => {
                another_sum()
            }
            (_, "EntityTooLarge" | "RequestBodyTooLarge" | "BlockCountExceedsLimit") | (413, _) => {
                new(ErrorKind::TooLarge, "the service does not take as much")
            }
            (_, "QuotaExceeded" | "StorageQuotaExceeded" | "AccountLimitExceeded") | (507, _) => {
                new(ErrorKind::QuotaExceeded, "the service has no room left for this account")
            }
            (
                _,
                "InvalidAccessKeyId"
                | "SignatureDoesNotMatch"
                | "ExpiredToken"
                | "InvalidToken"
                | "TokenRefreshRequired"
                | "AuthenticationFailed"
                | "InvalidAuthenticationInfo",
            )
            | (401, _) => {
                new(ErrorKind::Unauthenticated, "the service does not know who is asking")
            }
            (_, "RequestTimeTooSkewed") => {
                new(ErrorKind::Unauthenticated, "the clock of this machine is wrong by too much")
            }
            (
                _,
                "AuthorizationHeaderMalformed"
                | "PermanentRedirect"
                | "TemporaryRedirect"
                | "IllegalLocationConstraintException",
            ) => elsewhere(region.as_deref()),
            (_, "SlowDown" | "ServerBusy" | "TooManyRequests" | "RequestLimitExceeded")
            | (429, _) => {
                new(ErrorKind::RateLimited, "the service wants fewer requests").not_applied()
            }
            (_, "RequestTimeout" | "OperationTimedOut") | (408, _) => {
                new(ErrorKind::Timeout, "the service waited too long for the request")
            }
            (_, "NotImplemented") | (405 | 501, _) => {
                new(ErrorKind::Unsupported, "the service cannot do this")
            }
            // Two requests met; what was stored is of neither, or of the other.
            (
                _,
                "ConditionalRequestConflict" | "OperationAborted" | "InvalidBlockList" | LEASED,
            )
            | (409, _) => {
                new(ErrorKind::Conflict, "another request changed the object at the same time")
            }
            (_, "NoSuchKey" | "BlobNotFound") | (404, _) => nothing_there(),
            (_, "AccessDenied") | (403, _) => {
                new(ErrorKind::PermissionDenied, "the service does not allow this").with_hint(
                    "one that may not list is answered so for objects that are not there, too",
                )
            }
            (_, "PreconditionFailed") | (412, _) => another_version(),
            (416, _) => new(ErrorKind::InvalidInput, "the object has no bytes in that range"),
            // A service is at the address it was given; whoever sends elsewhere stands in between.
            (300..=399, _) => foreign(),
            (400..=499, _) => new(ErrorKind::InvalidInput, "the service does not take the request"),
            (500..=599, _) => new(ErrorKind::Unavailable, "the service failed"),
            _ => new(ErrorKind::Unexpected, "the service answered with an unknown status"),
        };
        let error = error.with_context("status", status.as_u16());
        let error = [("code", Some(code)), ("said", Some(message)), ("request", request)]
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.filter(|value| !value.is_empty())?)))
            .fold(error, |error, (name, value)| error.with_context(name, value));
        match retry_after {
            Some(delay) if error.class() == switchboard_core::Class::Outage => {
                error.retry_after(delay)
            }
            _ => error,
        }
    }
}

/// What is said of a bucket that others have, at another place.
fn elsewhere(region: Option<&str>) -> Error {
    let error =
        Error::new(ErrorKind::Config, "the bucket is in another region or at another address");
    match region {
        Some(region) => error.with_context("region", region).with_hint("set `region` to that one"),
        None => error.with_hint("set `region` or `endpoint`"),
    }
}

fn apart(one: SystemTime, other: SystemTime) -> Duration {
    one.duration_since(other).unwrap_or_else(|error| error.duration())
}

/// How far apart the clocks of a service and of those who ask it may be.
const SKEW_MAX: Duration = Duration::from_mins(15);
/// Somebody else has taken the object for a time.
const LEASED: &str = "LeaseIdMissing";
const MESSAGE_MAX: usize = 300;
const REQUEST_HEADERS: &[&str] = &["x-amz-request-id", "x-ms-request-id", "x-guploader-uploadid"];
