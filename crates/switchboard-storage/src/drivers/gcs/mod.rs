//! Objects in a bucket of Google Cloud Storage, which speaks almost like S3.
//!
//! Read in this order: [`GcsConfig`], what can be said of a bucket; [`Gcs`]. How requests are made and answers are
//! read is in `cloud`.
//!
//! No server that can be run for tests speaks as this service does, so the driver is not proven: its tests look at
//! the requests that it makes, and answer as the documentation of the service says.

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use object_store::RetryConfig;
use object_store::client::HttpRequest;
use object_store::gcp::{GoogleCloudStorage, GoogleCloudStorageBuilder};
use object_store::signer::Signer;
use schemars::JsonSchema;
use serde::Deserialize;
use switchboard_core::{
    BuildContext, Descriptor, Error, ErrorKind, Health, Lifecycle, Registry, Reply, Result, Secret,
    Support,
};

use crate::cloud::{
    Access, Ask, Bucket, Conditions, Dialect, Service, Sums, Traits, credentials_failed,
    unsupported,
};
use crate::delete::FEW;
use crate::wire::{Wire, usual_policy};
use crate::{
    Condition, Disks, Fetched, HttpConfig, Key, Limits, List, Meta, Page, Part, PartTag, Read,
    Sign, Signed, StorageDriver, Stored, UploadId, Version, Write, capability,
};

/// A bucket of Google Cloud Storage.
///
/// An object in parts takes no condition: the service would leave it out, so it is refused.
#[derive(Debug)]
pub struct Gcs {
    bucket: Bucket,
    /// Whether there is a key of our own to sign addresses with.
    can_sign: bool,
}

/// The settings of [`Gcs`]: where the bucket is, and one way to say who asks.
///
/// ```toml
/// [storage.uploads]
/// driver = "gcs"
/// bucket = "my-bucket"
/// service_account = "/run/secrets/gcs.json"
/// ```
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GcsConfig {
    /// The bucket.
    pub bucket: String,
    /// The address of the service; that of Google where nothing is said.
    pub endpoint: Option<String>,
    /// A file with the key of a service account.
    pub service_account: Option<PathBuf>,
    /// The content of such a file.
    pub service_account_key: Option<Secret>,
    /// A token that somebody else renews, with the whole disk.
    pub access_token: Option<Secret>,
    /// Whether we are this machine, by the service that machines of Google have for it. It is asked only where
    /// this is set.
    pub instance: bool,
    /// How the service is spoken to.
    pub http: HttpConfig,
}

pub(crate) fn register(registry: &Registry<Disks>) -> Result<()> {
    let descriptor = Descriptor::new("gcs")
        .usual_policy(usual_policy())
        .summary("A bucket of Google Cloud Storage")
        .data_in(["bucket", "endpoint"])
        .capability(capability::CREATE, Support::Native)
        .capability(capability::REPLACE, Support::Native)
        .capability(capability::DELETE_VERSION, Support::Native)
        .capability(capability::ATTRIBUTES, Support::Native)
        .capability(capability::CHECKSUM, Support::Native)
        .capability(capability::COPY, Support::Native)
        .capability(capability::PARTS, Support::Native)
        .capability(capability::SIGN, Support::Native)
        .capability_by(capability::SIGN, |settings| {
            let has_key = KEYS.iter().any(|key| settings.child(key).is_some());
            (!has_key).then_some(Support::No)
        })
        .capability(capability::WRITE, Support::Native)
        .capability(capability::LIST, Support::Native)
        .capability(capability::NESTED, Support::Native);
    crate::register(registry, descriptor, |config: GcsConfig, build| async move {
        Gcs::new(&config, &build)
    })
}

impl Gcs {
    /// The bucket that the settings name. Nobody is asked yet.
    pub fn new(config: &GcsConfig, build: &BuildContext) -> Result<Self> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if config.bucket.is_empty() || !config.bucket.chars().all(is_plain) {
            return Err(Error::new(ErrorKind::Config, "no bucket has such a name")
                .with_context("setting", "bucket"));
        }
        let endpoint = config.endpoint.as_deref().unwrap_or(GOOGLE).trim_end_matches('/');
        if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
            return Err(Error::new(ErrorKind::Config, "this is not the address of a service")
                .with_context("setting", "endpoint"));
        }
        let wire = Wire::new(&config.http)?;
        let client = config.client(endpoint, &wire)?;
        let address = format!("{endpoint}/{}", config.bucket);
        let clock = build.clock().clone();
        let bucket = Bucket {
            service: Service { wire, access: Arc::new(Known(client)), address, clock },
            name: config.bucket.clone(),
            dialect: &DIALECT,
            traits: Traits {
                conditions: CONDITIONS,
                sums: Sums::Hash,
                parts_alike: false,
                stored: HeaderMap::new(),
            },
            is_there: AtomicBool::new(false),
        };
        let can_sign = config.service_account.is_some() || config.service_account_key.is_some();
        Ok(Self { bucket, can_sign })
    }
}

impl GcsConfig {
    /// The client library, told who asks in the one way that is set.
    fn client(&self, endpoint: &str, wire: &Wire) -> Result<GoogleCloudStorage> {
        let builder = GoogleCloudStorageBuilder::new()
            .with_http_connector(wire.clone())
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
            .with_bucket_name(&self.bucket)
            .with_base_url(endpoint);
        let set =
            (&self.service_account, &self.service_account_key, &self.access_token, self.instance);
        let builder = match set {
            (Some(path), None, None, false) => {
                builder.with_service_account_path(path.to_string_lossy())
            }
            (None, Some(key), None, false) => builder.with_service_account_key(key.expose()),
            (None, None, Some(token), false) => builder.with_bearer_token(token.expose()),
            (None, None, None, true) => builder,
            _ => {
                let hint = "set one of `service_account`, `service_account_key`, `access_token` and `instance`";
                return Err(Error::new(ErrorKind::Config, "it is not said in one way who asks")
                    .with_hint(hint));
            }
        };
        builder.build().map_err(|error| {
            Error::new(ErrorKind::Config, "the settings do not say who asks").with_source(error)
        })
    }
}

/// Whoever asks Google.
#[derive(Debug)]
struct Known(GoogleCloudStorage);

impl Access for Known {
    fn authorize<'a>(&'a self, request: &'a mut HttpRequest) -> Reply<'a, ()> {
        Reply::run(async move {
            let credential = self.0.credentials().get_credential().await;
            let bearer = format!("Bearer {}", credential.map_err(credentials_failed)?.bearer);
            let mut bearer = HeaderValue::try_from(bearer).map_err(|error| {
                Error::new(
                    ErrorKind::Unauthenticated,
                    "the token has a character that no header may have",
                )
                .with_source(error)
                .not_applied()
            })?;
            bearer.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, bearer);
            Ok(())
        })
    }

    fn signer(&self) -> &dyn Signer {
        &self.0
    }
}

impl StorageDriver for Gcs {
    fn limits(&self) -> Limits {
        Limits { delete_max: FEW, parts_alike: false, ..Limits::default() }
    }

    fn head<'a>(&'a self, key: Key<'a>) -> Reply<'a, Meta> {
        Reply::run(self.bucket.head(key))
    }

    fn get<'a>(&'a self, key: Key<'a>, read: &'a Read) -> Reply<'a, Option<Fetched>> {
        Reply::run(self.bucket.get(key, read))
    }

    fn put<'a>(&'a self, key: Key<'a>, content: Bytes, write: &'a Write) -> Reply<'a, Stored> {
        Reply::run(self.bucket.put(key, content, write))
    }

    fn delete<'a>(&'a self, key: Key<'a>, only: Option<&'a Version>) -> Reply<'a, bool> {
        Reply::run(self.bucket.delete(key, only))
    }

    fn list<'a>(&'a self, list: &'a List) -> Reply<'a, Page> {
        Reply::run(self.bucket.list(list))
    }

    fn delete_many<'a>(&'a self, keys: &'a [Key<'a>]) -> Reply<'a, Vec<Result<bool>>> {
        Reply::run(self.bucket.delete_many(keys))
    }

    fn copy<'a>(
        &'a self,
        from: Key<'a>,
        to: Key<'a>,
        condition: &'a Condition,
    ) -> Reply<'a, Stored> {
        Reply::run(self.bucket.copy(from, to, condition))
    }

    fn begin<'a>(&'a self, key: Key<'a>, write: &'a Write) -> Reply<'a, UploadId> {
        Reply::run(self.bucket.begin(key, write))
    }

    fn part<'a>(
        &'a self,
        key: Key<'a>,
        upload: &'a UploadId,
        part: Part,
        content: Bytes,
    ) -> Reply<'a, PartTag> {
        Reply::run(self.bucket.part(key, upload, part, content))
    }

    fn complete<'a>(
        &'a self,
        key: Key<'a>,
        upload: &'a UploadId,
        parts: &'a [PartTag],
        write: &'a Write,
    ) -> Reply<'a, Stored> {
        Reply::run(self.bucket.complete(key, upload, parts, write))
    }

    fn abort<'a>(&'a self, key: Key<'a>, upload: &'a UploadId) -> Reply<'a, ()> {
        Reply::run(self.bucket.abort(key, upload))
    }

    fn sweep(&self, age: Duration) -> Reply<'_, u64> {
        Reply::run(self.bucket.sweep(age))
    }

    fn sign<'a>(&'a self, request: &'a Sign) -> Reply<'a, Signed> {
        if !self.can_sign {
            // Else the client would go and ask the service of the machine.
            return Reply::ready(Err(unsupported(capability::SIGN)));
        }
        Reply::run(self.bucket.sign(request))
    }
}

impl Lifecycle for Gcs {
    fn health(&self) -> Reply<'_, Health> {
        Reply::run(self.bucket.service.health(Ask::new(Method::HEAD, None)))
    }
}

/// How Google calls things.
static DIALECT: Dialect = Dialect {
    prefix: "x-goog-",
    version: "x-goog-generation",
    if_version: "x-goog-if-generation-match",
    unless_version: "x-goog-if-generation-not-match",
    if_absent: ("x-goog-if-generation-match", "0"),
    if_source_version: "x-goog-copy-source-if-generation-match",
    copies_on_condition: true,
    deletes_many: false,
    content_type: "application/octet-stream",
};

/// What ends an upload takes none.
const CONDITIONS: Conditions = Conditions { complete: false, ..Conditions::ALL };
/// Where there is a key of our own to sign addresses with.
const KEYS: [&str; 2] = ["service_account", "service_account_key"];
const GOOGLE: &str = "https://storage.googleapis.com";
