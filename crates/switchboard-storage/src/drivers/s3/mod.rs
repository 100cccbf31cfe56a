//! Objects in a bucket of S3, or of a service that speaks like it.
//!
//! Read in this order: [`S3Config`], what can be said of a bucket; [`Preset`], other services by name; [`S3`].
//! How requests are made and answers are read is in `cloud`.

mod config;
mod presets;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
pub use config::{Conditional, Credentials, Encryption, S3Config, SumsAt};
use object_store::RetryConfig;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, AwsAuthorizer};
use object_store::client::HttpRequest;
use object_store::signer::Signer;
pub use presets::Preset;
use switchboard_core::{
    BuildContext, Capabilities, Descriptor, Error, ErrorKind, Health, Lifecycle, Registry, Reply,
    Result, Support,
};

use crate::cloud::{Access, Ask, Bucket, Dialect, Service, credentials_failed};
use crate::wire::{Wire, usual_policy};
use crate::{
    Condition, Disks, Fetched, Key, Limits, List, Meta, Page, Part, PartTag, Read, Sign, Signed,
    StorageDriver, Stored, UploadId, Version, Write, capability,
};

/// A bucket of S3, or of a service that speaks like it.
///
/// A [`Version`] is what the service calls the entity tag of an object: two writes of the same bytes have the
/// same one.
#[derive(Debug)]
pub struct S3(Bucket);

pub(crate) fn register(registry: &Registry<Disks>) -> Result<()> {
    let descriptor = [capability::CREATE, capability::REPLACE, capability::DELETE_VERSION]
        .into_iter()
        .chain(ALWAYS)
        .fold(
            Descriptor::new("s3").summary("A bucket of S3, or of a service that speaks like it"),
            |descriptor, capability| descriptor.capability(capability, Support::Native),
        );
    let descriptor = descriptor.data_in(DATA).usual_policy(usual_policy()).proven();
    crate::register(registry, descriptor, |config: S3Config, build| async move {
        S3::new(&config, &build)
    })
}

impl S3 {
    /// The bucket that the settings name. Nobody is asked yet.
    pub fn new(config: &S3Config, build: &BuildContext) -> Result<Self> {
        let target = config.target()?;
        let wire = Wire::new(&config.http)?;
        let access = Known {
            client: config.client(&target, &wire, build)?,
            region: target.region.clone(),
            // Encryption guards the bytes of a request already; without it the signature does.
            signs_content: !target.is_encrypted(),
        };
        Ok(Self(Bucket {
            service: Service {
                wire,
                access: Arc::new(access),
                address: target.address,
                clock: build.clock().clone(),
            },
            name: target.bucket,
            dialect: &DIALECT,
            traits: target.traits,
            is_there: AtomicBool::new(false),
        }))
    }
}

impl S3Config {
    /// The client library, which finds credentials and signs.
    fn client(
        &self,
        target: &config::Target,
        wire: &Wire,
        build: &BuildContext,
    ) -> Result<AmazonS3> {
        let builder = AmazonS3Builder::new()
            .with_http_connector(wire.clone())
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
            .with_region(&target.region)
            .with_bucket_name(&target.bucket)
            .with_allow_http(true)
            // With the bucket in it, whatever the style.
            .with_virtual_hosted_style_request(true)
            .with_endpoint(&target.address);
        let asks_as = self.credentials.unwrap_or(if self.access_key_id.is_some() {
            Credentials::Static
        } else {
            Credentials::Env
        });
        let named = |names: &[(&'static str, AmazonS3ConfigKey)]| {
            names.iter().fold(builder.clone(), |builder, (name, key)| match build.variable(name) {
                Some(value) => builder.with_config(*key, value),
                None => builder,
            })
        };
        let required =
            |names: &[&str]| match names.iter().find(|name| build.variable(name).is_none()) {
                None => Ok(()),
                Some(name) => Err(Error::new(ErrorKind::Config, "a variable is not set")
                    .with_context("variable", name)
                    .with_context("setting", "credentials")),
            };
        let builder = match asks_as {
            Credentials::Static => {
                let key = self.access_key_id.as_ref().ok_or_else(|| missing("access_key_id"))?;
                let secret =
                    self.secret_access_key.as_ref().ok_or_else(|| missing("secret_access_key"))?;
                let builder =
                    builder.with_access_key_id(key).with_secret_access_key(secret.expose());
                match &self.session_token {
                    Some(token) => builder.with_token(token.expose()),
                    None => builder,
                }
            }
            Credentials::Env => {
                required(&["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])?;
                named(&[
                    ("AWS_ACCESS_KEY_ID", AmazonS3ConfigKey::AccessKeyId),
                    ("AWS_SECRET_ACCESS_KEY", AmazonS3ConfigKey::SecretAccessKey),
                    ("AWS_SESSION_TOKEN", AmazonS3ConfigKey::Token),
                ])
            }
            Credentials::WebIdentity => {
                required(&["AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"])?;
                named(&[
                    ("AWS_ROLE_ARN", AmazonS3ConfigKey::RoleArn),
                    ("AWS_ROLE_SESSION_NAME", AmazonS3ConfigKey::RoleSessionName),
                    ("AWS_WEB_IDENTITY_TOKEN_FILE", AmazonS3ConfigKey::WebIdentityTokenFile),
                    ("AWS_ENDPOINT_URL_STS", AmazonS3ConfigKey::StsEndpoint),
                ])
            }
            Credentials::Container => {
                if build.variable("AWS_CONTAINER_CREDENTIALS_FULL_URI").is_some() {
                    required(&["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"])?;
                } else {
                    required(&["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"])?;
                }
                named(&[
                    (
                        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                        AmazonS3ConfigKey::ContainerCredentialsRelativeUri,
                    ),
                    (
                        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                        AmazonS3ConfigKey::ContainerCredentialsFullUri,
                    ),
                    (
                        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
                        AmazonS3ConfigKey::ContainerAuthorizationTokenFile,
                    ),
                ])
            }
            Credentials::Instance => {
                named(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", AmazonS3ConfigKey::MetadataEndpoint)])
            }
        };
        builder.build().map_err(|error| {
            Error::new(ErrorKind::Config, "the settings do not fit each other").with_source(error)
        })
    }
}

fn missing(setting: &'static str) -> Error {
    Error::new(ErrorKind::Config, "a key and its secret are set together or not at all")
        .with_context("setting", setting)
}

/// Whoever asks S3.
#[derive(Debug)]
struct Known {
    client: AmazonS3,
    region: String,
    signs_content: bool,
}

impl Access for Known {
    fn authorize<'a>(&'a self, request: &'a mut HttpRequest) -> Reply<'a, ()> {
        Reply::run(async move {
            let credential =
                self.client.credentials().get_credential().await.map_err(credentials_failed)?;
            AwsAuthorizer::new(&credential, "s3", &self.region)
                .with_sign_payload(self.signs_content)
                .try_authorize(request, None)
                .map_err(credentials_failed)
        })
    }

    fn signer(&self) -> &dyn Signer {
        &self.client
    }

    fn region(&self) -> Option<&str> {
        Some(&self.region)
    }
}

impl StorageDriver for S3 {
    fn limits(&self) -> Limits {
        Limits { parts_alike: self.0.traits.parts_alike, ..Limits::default() }
    }

    fn head<'a>(&'a self, key: Key<'a>) -> Reply<'a, Meta> {
        Reply::run(self.0.head(key))
    }

    fn get<'a>(&'a self, key: Key<'a>, read: &'a Read) -> Reply<'a, Option<Fetched>> {
        Reply::run(self.0.get(key, read))
    }

    fn put<'a>(&'a self, key: Key<'a>, content: Bytes, write: &'a Write) -> Reply<'a, Stored> {
        Reply::run(self.0.put(key, content, write))
    }

    fn delete<'a>(&'a self, key: Key<'a>, only: Option<&'a Version>) -> Reply<'a, bool> {
        Reply::run(self.0.delete(key, only))
    }

    fn list<'a>(&'a self, list: &'a List) -> Reply<'a, Page> {
        Reply::run(self.0.list(list))
    }

    fn delete_many<'a>(&'a self, keys: &'a [Key<'a>]) -> Reply<'a, Vec<Result<bool>>> {
        Reply::run(self.0.delete_many(keys))
    }

    fn copy<'a>(
        &'a self,
        from: Key<'a>,
        to: Key<'a>,
        condition: &'a Condition,
    ) -> Reply<'a, Stored> {
        Reply::run(self.0.copy(from, to, condition))
    }

    fn begin<'a>(&'a self, key: Key<'a>, write: &'a Write) -> Reply<'a, UploadId> {
        Reply::run(self.0.begin(key, write))
    }

    fn part<'a>(
        &'a self,
        key: Key<'a>,
        upload: &'a UploadId,
        part: Part,
        content: Bytes,
    ) -> Reply<'a, PartTag> {
        Reply::run(self.0.part(key, upload, part, content))
    }

    fn complete<'a>(
        &'a self,
        key: Key<'a>,
        upload: &'a UploadId,
        parts: &'a [PartTag],
        write: &'a Write,
    ) -> Reply<'a, Stored> {
        Reply::run(self.0.complete(key, upload, parts, write))
    }

    fn abort<'a>(&'a self, key: Key<'a>, upload: &'a UploadId) -> Reply<'a, ()> {
        Reply::run(self.0.abort(key, upload))
    }

    fn sweep(&self, age: Duration) -> Reply<'_, u64> {
        Reply::run(self.0.sweep(age))
    }

    fn sign<'a>(&'a self, request: &'a Sign) -> Reply<'a, Signed> {
        Reply::run(self.0.sign(request))
    }
}

impl Lifecycle for S3 {
    fn health(&self) -> Reply<'_, Health> {
        Reply::run(self.0.service.health(Ask::new(http::Method::HEAD, None)))
    }

    fn capabilities(&self) -> Option<Capabilities> {
        let conditions = self.0.traits.conditions.capabilities();
        Some(conditions.chain(ALWAYS).fold(Capabilities::new(), |capabilities, capability| {
            capabilities.with(capability, Support::Native)
        }))
    }
}

/// How S3 calls things.
static DIALECT: Dialect = Dialect {
    prefix: "x-amz-",
    version: "etag",
    if_version: "if-match",
    unless_version: "if-none-match",
    if_absent: ("if-none-match", "*"),
    if_source_version: "x-amz-copy-source-if-match",
    copies_on_condition: false,
    deletes_many: true,
    content_type: "binary/octet-stream",
};

/// What every bucket can do, whatever is said of it.
const ALWAYS: [&str; 8] = [
    capability::ATTRIBUTES,
    capability::CHECKSUM,
    capability::COPY,
    capability::PARTS,
    capability::SIGN,
    capability::WRITE,
    capability::LIST,
    capability::NESTED,
];

/// The settings that say which bucket it is.
const DATA: [&str; 6] = ["url", "bucket", "region", "endpoint", "account", "preset"];

#[cfg(test)]
crate::conformance::suite!(tests::fixture());

#[cfg(test)]
crate::conformance::wire_suite!(tests::fixture());
