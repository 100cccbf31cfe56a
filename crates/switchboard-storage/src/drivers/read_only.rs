//! Another disk, for those who are only to read.

use std::fmt;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;
use switchboard_core::{
    Capabilities, Descriptor, Error, ErrorKind, Health, Lifecycle, Registry, Reply, Result, Support,
};

use crate::{
    Beneath, Disks, Fetched, Key, Limits, List, Meta, Method, Page, Read, Sign, Signed,
    StorageDriver, Stored, Version, Write, capability,
};

/// Another disk, of which nothing can be changed: also not by whoever has an address that it signed.
pub struct ReadOnly {
    beneath: Beneath,
}

/// The settings of [`ReadOnly`].
///
/// ```
/// use switchboard_core::{Environment, ErrorKind, Manager, Registry, Settings};
/// use switchboard_storage::Disks;
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
/// # runtime.block_on(async {
/// let disks = Manager::<Disks>::new(Registry::with_built_ins()?, &Environment::new())?;
/// disks.configure("main", &Settings::new().with("driver", "memory"))?;
/// disks.configure("archive", &Settings::new().with("driver", "read_only").with("disk", "main"))?;
///
/// disks.get("main").await?.put("note", "…").await?;
/// let archive = disks.get("archive").await?;
/// assert_eq!(archive.read("note").await?, "…");
/// assert_eq!(archive.delete("note").await.unwrap_err().kind(), ErrorKind::Unsupported);
/// # Ok::<(), switchboard_core::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadOnlyConfig {
    /// The name of the other disk.
    pub disk: String,
}

pub(crate) fn register(registry: &Registry<Disks>) -> Result<()> {
    let descriptor = Descriptor::new("read_only")
        .summary("Another disk, for those who only read")
        .data_in(["disk"])
        .proven();
    crate::register(registry, descriptor, |config: ReadOnlyConfig, build| async move {
        Ok(ReadOnly { beneath: Beneath::of(&config.disk, &build).await? })
    })
}

impl StorageDriver for ReadOnly {
    fn limits(&self) -> Limits {
        self.beneath.limits()
    }

    fn head<'a>(&'a self, key: Key<'a>) -> Reply<'a, Meta> {
        self.beneath.head(key)
    }

    fn get<'a>(&'a self, key: Key<'a>, read: &'a Read) -> Reply<'a, Option<Fetched>> {
        self.beneath.get(key, read)
    }

    fn put<'a>(&'a self, _: Key<'a>, _: Bytes, _: &'a Write) -> Reply<'a, Stored> {
        Reply::ready(Err(refusal()))
    }

    fn delete<'a>(&'a self, _: Key<'a>, _: Option<&'a Version>) -> Reply<'a, bool> {
        Reply::ready(Err(refusal()))
    }

    fn list<'a>(&'a self, list: &'a List) -> Reply<'a, Page> {
        self.beneath.list(list)
    }

    fn sign<'a>(&'a self, request: &'a Sign) -> Reply<'a, Signed> {
        match request.method {
            Method::Get | Method::Head => self.beneath.sign(request),
            Method::Put | Method::Delete => Reply::ready(Err(refusal())),
        }
    }
}

fn refusal() -> Error {
    Error::new(ErrorKind::Unsupported, "the disk is only for reading")
        .with_context("capability", capability::WRITE)
        .not_applied()
}

impl Lifecycle for ReadOnly {
    fn health(&self) -> Reply<'_, Health> {
        self.beneath.health()
    }

    fn capabilities(&self) -> Option<Capabilities> {
        let can = self.beneath.can();
        let left = OF_READING.iter().map(|name| (*name, can.support(name)));
        let told = left.filter(|(_, support)| *support != Support::No);
        Some(told.fold(Capabilities::new(), |left, (name, support)| left.with(name, support)))
    }
}

impl fmt::Debug for ReadOnly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadOnly").field("beneath", &self.beneath).finish()
    }
}

/// What a disk can still do that is only read.
const OF_READING: [&str; 6] = [
    capability::ATTRIBUTES,
    capability::CHECKSUM,
    capability::LIST,
    capability::NESTED,
    capability::SIGN,
    capability::TRANSIENT,
];

#[cfg(test)]
crate::conformance::suite!(
    crate::conformance::Fixture::new(register)
        .over("beneath", crate::drivers::memory::register)
        .settings(|_| switchboard_core::Settings::new().with("disk", "beneath"))
);
