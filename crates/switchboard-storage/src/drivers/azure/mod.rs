//! Objects as blobs in a container of Azure.
//!
//! Read in this order: [`AzureConfig`], what can be said of a container; [`Azure`]; `blobs`, the requests. How
//! they are made and answers are read is in `cloud`.

mod blobs;
mod config;
mod names;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
pub use config::AzureConfig;
use http::Method;
use object_store::azure::{AzureAuthorizer, MicrosoftAzure};
use object_store::client::HttpRequest;
use object_store::signer::Signer;
use switchboard_core::{
    BuildContext, Descriptor, Health, Lifecycle, Registry, Reply, Result, Secret, Support,
};

use crate::cloud::{Access, Ask, Service, credentials_failed};
use crate::delete::FEW;
use crate::wire::{Wire, usual_policy};
use crate::{
    Condition, Disks, Fetched, Key, Limits, List, Meta, Page, Part, PartTag, Read, Sign, Signed,
    StorageDriver, Stored, UploadId, Version, Write, capability,
};

/// A container of Azure.
///
/// Keys that the service would change are refused: those with a `\` in them, which it takes for `/`, and those with a
/// segment that ends with a dot.
///
/// What ends an upload throws away the parts of all others that were begun under the same key, and so does a
/// put: of several uploads to one key at the same time one succeeds. Parts that nobody goes on with are
/// thrown away by the service after a week.
pub struct Azure {
    service: Service,
    /// What a copy has to show for its source, where an address is all that proves who asks.
    sas_token: Option<String>,
}

pub(crate) fn register(registry: &Registry<Disks>) -> Result<()> {
    let descriptor = Descriptor::new("azure")
        .usual_policy(usual_policy())
        .summary("A container of Azure")
        .data_in(["account", "container", "endpoint"])
        .capability(capability::CREATE, Support::Native)
        .capability(capability::REPLACE, Support::Native)
        .capability(capability::DELETE_VERSION, Support::Native)
        .capability(capability::ATTRIBUTES, Support::Native)
        .capability(capability::CHECKSUM, Support::Native)
        .capability(capability::COPY, Support::Native)
        .capability(capability::PARTS, Support::Native)
        .capability(capability::SIGN, Support::Native)
        .capability(capability::WRITE, Support::Native)
        .capability(capability::LIST, Support::Native)
        .capability(capability::NESTED, Support::Native);
    crate::register(registry, descriptor, |config: AzureConfig, build| async move {
        Azure::new(&config, &build)
    })
}

impl Azure {
    /// The container that the settings name. Nobody is asked yet.
    pub fn new(config: &AzureConfig, build: &BuildContext) -> Result<Self> {
        let wire = Wire::new(&config.http)?;
        let config::Target { account, address, client } = config.target(&wire)?;
        let access = Arc::new(Known { client, account });
        let token = config.sas_token.as_ref().map(Secret::expose);
        Ok(Self {
            service: Service { wire, access, address, clock: build.clock().clone() },
            sas_token: token.map(|token| token.trim_start_matches('?').to_owned()),
        })
    }
}

/// Whoever asks Azure.
#[derive(Debug)]
struct Known {
    client: MicrosoftAzure,
    account: String,
}

impl Access for Known {
    fn authorize<'a>(&'a self, request: &'a mut HttpRequest) -> Reply<'a, ()> {
        Reply::run(async move {
            let credential =
                self.client.credentials().get_credential().await.map_err(credentials_failed)?;
            AzureAuthorizer::new(&credential, &self.account)
                .try_authorize(request)
                .map_err(credentials_failed)
        })
    }

    fn signer(&self) -> &dyn Signer {
        &self.client
    }
}

impl StorageDriver for Azure {
    fn limits(&self) -> Limits {
        Limits {
            put_max: 5_000 << 20,
            part_min: 1,
            part_max: 4_000 << 20,
            parts_max: 50_000,
            parts_alike: false,
            delete_max: FEW,
            ..Limits::default()
        }
    }

    fn head<'a>(&'a self, key: Key<'a>) -> Reply<'a, Meta> {
        Reply::run(self.head_of(key))
    }

    fn get<'a>(&'a self, key: Key<'a>, read: &'a Read) -> Reply<'a, Option<Fetched>> {
        Reply::run(self.fetch(key, read))
    }

    fn put<'a>(&'a self, key: Key<'a>, content: Bytes, write: &'a Write) -> Reply<'a, Stored> {
        Reply::run(self.store(key, content, write))
    }

    fn delete<'a>(&'a self, key: Key<'a>, only: Option<&'a Version>) -> Reply<'a, bool> {
        Reply::run(self.remove(key, only))
    }

    fn list<'a>(&'a self, list: &'a List) -> Reply<'a, Page> {
        Reply::run(self.page(list))
    }

    fn copy<'a>(
        &'a self,
        from: Key<'a>,
        to: Key<'a>,
        condition: &'a Condition,
    ) -> Reply<'a, Stored> {
        Reply::run(self.copied(from, to, condition))
    }

    fn begin<'a>(&'a self, key: Key<'a>, _: &'a Write) -> Reply<'a, UploadId> {
        Reply::ready(blobs::begun(key))
    }

    fn part<'a>(
        &'a self,
        key: Key<'a>,
        upload: &'a UploadId,
        part: Part,
        content: Bytes,
    ) -> Reply<'a, PartTag> {
        Reply::run(self.keep(key, upload, part, content))
    }

    fn complete<'a>(
        &'a self,
        key: Key<'a>,
        upload: &'a UploadId,
        parts: &'a [PartTag],
        write: &'a Write,
    ) -> Reply<'a, Stored> {
        Reply::run(self.join(key, upload, parts, write))
    }

    /// The service knows nothing of an upload but its parts, and throws those away by itself.
    fn abort<'a>(&'a self, _: Key<'a>, _: &'a UploadId) -> Reply<'a, ()> {
        Reply::ready(Ok(()))
    }

    fn sign<'a>(&'a self, request: &'a Sign) -> Reply<'a, Signed> {
        Reply::run(self.signed(request))
    }
}

impl Lifecycle for Azure {
    fn health(&self) -> Reply<'_, Health> {
        let ask = Ask::new(Method::HEAD, None).query("restype", "container");
        Reply::run(self.service.health(ask))
    }
}

impl fmt::Debug for Azure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Azure").field("service", &self.service).finish_non_exhaustive()
    }
}

#[cfg(test)]
crate::conformance::suite!(tests::fixture());
