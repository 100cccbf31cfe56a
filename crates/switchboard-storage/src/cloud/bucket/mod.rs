//! The requests of S3, and of those who speak like it.
//!
//! Read in this order: [`Bucket`], what is asked and how; `objects`, one object at a time; `lists`; `parts`, an
//! object in parts; `copies`. Who may ask, and what the service is called, is the affair of its driver.

mod copies;
mod lists;
mod objects;
mod parts;

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use http::Method;
use http::header::{HeaderMap, HeaderValue};
use object_store::path::Path;
use object_store::signer::SignedUrlOptions;
use switchboard_core::{Error, ErrorKind, Result};

use super::{Ask, Service, unsupported};
use crate::{Condition, Sign, Signed, Version, capability};

/// A bucket, and how the service that has it is spoken to.
pub(crate) struct Bucket {
    pub(crate) service: Service,
    pub(crate) name: String,
    pub(crate) dialect: &'static Dialect,
    pub(crate) traits: Traits,
    /// Whether somebody has seen that the bucket is there.
    pub(crate) is_there: AtomicBool,
}

/// How services that speak like S3 differ from each other by name.
#[derive(Debug)]
pub(crate) struct Dialect {
    /// How their own headers begin.
    pub(crate) prefix: &'static str,
    /// The header with the version of an object.
    pub(crate) version: &'static str,
    /// The header of a condition that an object is that version.
    pub(crate) if_version: &'static str,
    /// The header of a condition that it is another, or none with the value after it.
    pub(crate) unless_version: &'static str,
    /// The condition that there is none.
    pub(crate) if_absent: (&'static str, &'static str),
    /// The header of a condition that the source of a copy is that version.
    pub(crate) if_source_version: &'static str,
    /// Whether what copies an object takes a condition on what is replaced; else what ends an upload does.
    pub(crate) copies_on_condition: bool,
    /// Whether one request deletes many objects.
    pub(crate) deletes_many: bool,
    /// What kind of content the service gives to objects of which nothing was said.
    pub(crate) content_type: &'static str,
}

/// What a service can do of what S3 can.
#[derive(Clone, Debug)]
pub(crate) struct Traits {
    pub(crate) conditions: Conditions,
    pub(crate) sums: Sums,
    /// Whether all parts of an object but the last must be of one length.
    pub(crate) parts_alike: bool,
    /// What is said of every object that is stored: how it is encrypted and where it is kept.
    pub(crate) stored: HeaderMap,
}

/// Which requests a service does only where their condition holds. One that it does all the same loses what
/// somebody else stored, so whatever is not known is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "services know any of them without the others")]
pub(crate) struct Conditions {
    /// Those that store an object where none is.
    pub(crate) create: bool,
    /// Those that store one in the place of a version.
    pub(crate) replace: bool,
    /// Those that delete a version.
    pub(crate) delete: bool,
    /// Those that end an upload, on either condition that holds for storing.
    pub(crate) complete: bool,
}

impl Conditions {
    pub(crate) const ALL: Self = Self { create: true, replace: true, delete: true, complete: true };

    /// What is lacking for storing on this condition.
    fn lacking(self, condition: &Condition) -> Option<&'static str> {
        match condition {
            Condition::Absent if !self.create => Some(capability::CREATE),
            Condition::Version(_) if !self.replace => Some(capability::REPLACE),
            _ => None,
        }
    }

    /// What is declared of it.
    pub(crate) fn capabilities(self) -> impl Iterator<Item = &'static str> {
        [
            (self.create, capability::CREATE),
            (self.replace, capability::REPLACE),
            (self.delete, capability::DELETE_VERSION),
        ]
        .into_iter()
        .filter_map(|(can, name)| can.then_some(name))
    }
}

/// Where the sum of an object's bytes is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sums {
    /// By the service, which compares it with what it gets.
    Native,
    /// By the service, which compares that of an object in one piece with what it gets, and works out the others.
    #[cfg_attr(not(feature = "gcs"), expect(dead_code, reason = "only Google does so"))]
    Hash,
    /// Beside what the application says of the object.
    Metadata,
}

impl Bucket {
    /// The name of one of the service's own headers.
    fn own(&self, name: &str) -> String {
        format!("{}{name}", self.dialect.prefix)
    }

    /// The request, which stores something, on this condition.
    fn on<'a>(&self, ask: Ask<'a>, condition: &Condition) -> Result<Ask<'a>> {
        if let Some(lacking) = self.traits.conditions.lacking(condition) {
            return Err(not_relied_on(lacking));
        }
        match condition {
            Condition::Always => Ok(ask),
            Condition::Absent => {
                let (name, value) = self.dialect.if_absent;
                ask.header(name, value)
            }
            Condition::Version(version) => self.only(ask, version),
        }
    }

    fn only<'a>(&self, ask: Ask<'a>, version: &Version) -> Result<Ask<'a>> {
        ask.header(self.dialect.if_version, version.as_str())
    }

    pub(crate) async fn sign(&self, sign: &Sign) -> Result<Signed> {
        if sign.size_max.is_some() {
            return Err(unsupported("sign.size_max"));
        }
        if sign.ttl > SIGNED_MAX || sign.ttl < Duration::from_secs(1) {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "no address can be signed for that long",
            )
            .with_context("ttl_max_s", SIGNED_MAX.as_secs())
            .not_applied());
        }
        let key = Path::parse(&sign.key).map_err(|error| {
            Error::new(ErrorKind::InvalidInput, "no address can be signed for this key")
                .with_source(error)
                .not_applied()
        })?;
        let mut options = SignedUrlOptions::default();
        let mut headers = Vec::new();
        if let Some(disposition) = &sign.content_disposition {
            options = options.with_query([("response-content-disposition", disposition)]);
        }
        if let Some(content_type) = &sign.content_type {
            let value = HeaderValue::from_str(content_type).map_err(|_| {
                Error::new(ErrorKind::InvalidInput, "this is no kind of content").not_applied()
            })?;
            options = options.with_signed_header(http::header::CONTENT_TYPE, value);
            headers.push(("content-type".to_owned(), content_type.clone()));
        }
        let method = match sign.method {
            crate::Method::Get => Method::GET,
            crate::Method::Head => Method::HEAD,
            crate::Method::Put => Method::PUT,
            crate::Method::Delete => Method::DELETE,
        };
        let signed =
            self.service.access.signer().signed_url_opts(method, &key, sign.ttl, &options).await;
        let url = signed.map_err(|error| {
            Error::new(ErrorKind::Unauthenticated, "there is nothing to sign an address with")
                .with_source(error)
                .not_applied()
        })?;
        let expires = self.service.clock.wall() + sign.ttl;
        Ok(Signed { method: sign.method, url: url.to_string(), headers, expires })
    }
}

/// What is said of a condition that would be left out.
fn not_relied_on(capability: &'static str) -> Error {
    unsupported(capability)
        .with_hint("say in `conditional` what the service does only on a condition, if it does so")
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").field("service", &self.service).finish_non_exhaustive()
    }
}

/// The longest that services let an address be good for.
const SIGNED_MAX: Duration = Duration::from_hours(24 * 7);
