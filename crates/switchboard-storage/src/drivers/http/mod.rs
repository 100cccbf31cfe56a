//! Objects that a web server has under addresses, for reading.
//!
//! Read in this order: [`HttpDiskConfig`], what can be said of a server; [`Http`]; `config`, what is wrong with that;
//! `site`, one request and where it is sent on to; `version`, which of the objects under an address is meant;
//! `reading`, what answers say of objects.

mod config;
mod reading;
mod site;
#[cfg(test)]
mod tests;
mod version;

use std::fmt;

use bytes::Bytes;
pub use config::HttpDiskConfig;
use switchboard_core::{
    BuildContext, Clock, Descriptor, Error, ErrorKind, Health, Lifecycle, Registry, Reply, Result,
};

use self::site::Site;
use crate::wire::usual_policy;
use crate::{
    Disks, Fetched, Key, List, Meta, Page, Read, StorageDriver, Stored, Version, Write, capability,
};

/// What a web server has under addresses. It is only read.
///
/// The object under a key is what the server answers to `GET` of the address and the key: an address that the
/// server sends on with a `/` at its end, as folders are, has none. The bytes are those that the server sends; where
/// they are compressed, the attributes say so.
///
/// An object is told from the one after it by its `ETag`. Where there is only a `Last-Modified`, it is one for
/// objects that are older than a second; an object of which the server tells neither can be read, but not taken up
/// again where reading broke off, nor asked for as a version.
pub struct Http {
    site: Site,
    clock: Clock,
    skip_max: u64,
    unsized_max: usize,
}

pub(crate) fn register(registry: &Registry<Disks>) -> Result<()> {
    let descriptor = Descriptor::new("http")
        .alias("https")
        .summary("What a web server has under addresses, for reading")
        .data_in(["base_url", "url"])
        .usual_policy(usual_policy())
        .proven();
    crate::register(registry, descriptor, |config: HttpDiskConfig, build| async move {
        Http::new(&config, &build)
    })
}

impl Http {
    /// The server that the settings name. Nobody is asked yet.
    pub fn new(config: &HttpDiskConfig, build: &BuildContext) -> Result<Self> {
        Ok(Self {
            site: Site::new(config, build.clock().clone())?,
            clock: build.clock().clone(),
            skip_max: config.skip_max.0,
            unsized_max: usize::try_from(config.unsized_max.0).unwrap_or(usize::MAX),
        })
    }
}

impl StorageDriver for Http {
    fn head<'a>(&'a self, key: Key<'a>) -> Reply<'a, Meta> {
        Reply::run(self.look(key))
    }

    fn get<'a>(&'a self, key: Key<'a>, read: &'a Read) -> Reply<'a, Option<Fetched>> {
        Reply::run(self.fetch(key, read))
    }

    fn put<'a>(&'a self, _: Key<'a>, _: Bytes, _: &'a Write) -> Reply<'a, Stored> {
        Reply::ready(Err(refusal(capability::WRITE)))
    }

    fn delete<'a>(&'a self, _: Key<'a>, _: Option<&'a Version>) -> Reply<'a, bool> {
        Reply::ready(Err(refusal(capability::WRITE)))
    }

    fn list<'a>(&'a self, _: &'a List) -> Reply<'a, Page> {
        Reply::ready(Err(refusal(capability::LIST)))
    }
}

fn refusal(capability: &'static str) -> Error {
    Error::new(ErrorKind::Unsupported, "what a web server has can only be read, by its name")
        .with_context("capability", capability)
        .not_applied()
}

impl Lifecycle for Http {
    fn health(&self) -> Reply<'_, Health> {
        Reply::run(self.site.health())
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("site", &self.site).finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "http-handler"))]
crate::conformance::suite!(tests::served::fixture());
#[cfg(all(test, feature = "http-handler"))]
crate::conformance::wire_suite!(tests::served::fixture());
