//! What can be said of a bucket, and what becomes of it.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use schemars::JsonSchema;
use serde::Deserialize;
use switchboard_core::{Error, ErrorKind, Result, Secret};

use super::presets::Preset;
use crate::HttpConfig;
use crate::cloud::{Conditions, Sums, Traits};

/// The settings of [`S3`](super::S3).
///
/// ```toml
/// [storage.uploads]
/// url = "s3://my-bucket?region=eu-central-1"      # or `bucket` and `region`
///
/// [storage.at_home]
/// driver = "s3"
/// preset = "minio"
/// bucket = "photos"
/// access_key_id = "${MINIO_USER}"
/// secret_access_key = "${MINIO_PASSWORD}"
/// ```
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct S3Config {
    /// The bucket, as an address: `s3://bucket`, with `?region=` and `?endpoint=` where they are needed.
    pub url: Option<String>,
    /// The bucket.
    pub bucket: Option<String>,
    /// Where it is; `us-east-1` where nothing is said.
    pub region: Option<String>,
    /// The address of the service; that of Amazon where nothing is said.
    pub endpoint: Option<String>,
    /// The account, for those services that have it in their address.
    pub account: Option<String>,
    /// A service that speaks like S3: fills in what is not said here.
    pub preset: Option<Preset>,
    /// Whether the bucket is in the path of addresses, and not in the name of the host. It is where an
    /// endpoint is set, or the bucket has a dot in its name, and nothing else is said.
    pub path_style: Option<bool>,
    /// Who asks; found out from which of the other settings there are where nothing is said.
    pub credentials: Option<Credentials>,
    /// The key by which the service knows us.
    pub access_key_id: Option<String>,
    /// What proves it.
    pub secret_access_key: Option<Secret>,
    /// What belongs to a key that ends by itself.
    pub session_token: Option<Secret>,
    /// What the service is relied on to do only where its condition holds: `["create", "replace"]`. All of it
    /// at Amazon, what is known of a `preset`, and nothing at any other `endpoint`: whatever is not relied on is
    /// refused with a condition, because a service that leaves it out loses what somebody else stored.
    pub conditional: Option<Vec<Conditional>>,
    /// Where the sums of objects are kept.
    pub checksums: Option<SumsAt>,
    /// In which class of storage objects are put: `STANDARD_IA`.
    pub storage_class: Option<String>,
    /// How the service encrypts what it keeps; as the bucket says where nothing is said.
    pub encryption: Option<Encryption>,
    /// The key of the service that it encrypts with, for `kms`.
    pub kms_key: Option<String>,
    /// How the service is spoken to.
    pub http: HttpConfig,
}

/// Who asks the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Credentials {
    /// Whoever `access_key_id` and `secret_access_key` are.
    Static,
    /// Whoever the variables `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN` name.
    Env,
    /// The role in the variable `AWS_ROLE_ARN`, by the token in the file that `AWS_WEB_IDENTITY_TOKEN_FILE`
    /// names.
    WebIdentity,
    /// The task of a container, by the service that `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` or
    /// `AWS_CONTAINER_CREDENTIALS_FULL_URI` names.
    Container,
    /// This machine, by the service that machines of Amazon have for it. Asked only where this is set.
    Instance,
}

/// What can be done on a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Conditional {
    /// Storing an object where none is: `If-None-Match`.
    Create,
    /// Storing one in the place of a version: `If-Match`.
    Replace,
    /// Deleting a version: `If-Match`.
    Delete,
    /// The same two with the request that ends an object in parts.
    Complete,
}

/// Where the sums of objects are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SumsAt {
    /// By the service, which compares them with what it gets.
    Service,
    /// In the metadata of each object, for services that do not know them.
    Metadata,
}

/// How a service encrypts what it keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Encryption {
    /// With keys of the bucket.
    Aes256,
    /// With a key of its service for keys: `kms_key`, or its usual one.
    Kms,
}

/// A bucket, after everything that was said of it.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) bucket: String,
    pub(super) region: String,
    /// Where the objects are.
    pub(super) address: String,
    pub(super) traits: Traits,
}

impl Target {
    /// Whether somebody in between can neither read nor change what is sent.
    pub(super) fn is_encrypted(&self) -> bool {
        self.address.starts_with("https:")
    }
}

impl S3Config {
    pub(super) fn target(&self) -> Result<Target> {
        let named = self.url.as_deref().map(Named::parse).transpose()?.unwrap_or_default();
        let bucket = only_one("bucket", self.bucket.as_ref(), named.bucket)?.ok_or_else(|| {
            Error::new(ErrorKind::Config, "it is not said which bucket").with_hint("set `bucket`")
        })?;
        let filled = self.preset.map(Preset::filled);
        let region = only_one("region", self.region.as_ref(), named.region)?
            .or_else(|| filled.and_then(|filled| filled.region).map(str::to_owned));
        let region = match (region, self.preset) {
            (Some(region), _) => region,
            (None, None) => "us-east-1".to_owned(),
            (None, Some(_)) => {
                return Err(Error::new(
                    ErrorKind::Config,
                    "the address of this service has the region in it",
                )
                .with_hint("set `region`"));
            }
        };
        let endpoint = match (only_one("endpoint", self.endpoint.as_ref(), named.endpoint)?, filled)
        {
            (None, Some(filled)) => Some(filled.endpoint(&region, self.account.as_deref())?),
            (endpoint, _) => endpoint,
        };
        let conditions = match (&self.conditional, filled, &endpoint) {
            (Some(said), ..) => conditions(said),
            (None, Some(filled), _) => conditions(filled.conditional),
            (None, None, Some(endpoint)) if !is_amazon(endpoint) => Conditions::default(),
            (None, None, _) => Conditions::ALL,
        };
        // A certificate for all buckets of a host is for names of one more part, not of two.
        let usual_style =
            filled.map_or(endpoint.is_some(), |filled| filled.path_style) || bucket.contains('.');
        let endpoint = endpoint.unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
        let address = address(&endpoint, &bucket, self.path_style.unwrap_or(usual_style))?;
        let sums = match self.checksums.or(filled.map(|filled| filled.sums)) {
            None | Some(SumsAt::Service) => Sums::Native,
            Some(SumsAt::Metadata) => Sums::Metadata,
        };
        let parts_alike = host_of(&address).ends_with(WITH_PARTS_ALIKE);
        let traits = Traits { conditions, sums, parts_alike, stored: self.stored()? };
        Ok(Target { bucket, region, address, traits })
    }

    /// What is said of every object that is stored.
    fn stored(&self) -> Result<HeaderMap> {
        let mut stored = HeaderMap::new();
        let encryption = self.encryption.map(|encryption| match encryption {
            Encryption::Aes256 => "AES256",
            Encryption::Kms => "aws:kms",
        });
        if self.kms_key.is_some() && self.encryption != Some(Encryption::Kms) {
            return Err(Error::new(
                ErrorKind::Config,
                "`kms_key` is set, but nothing is encrypted with it",
            )
            .with_hint("set `encryption = \"kms\"`"));
        }
        let said = [
            ("x-amz-storage-class", self.storage_class.as_deref()),
            ("x-amz-server-side-encryption", encryption),
            ("x-amz-server-side-encryption-aws-kms-key-id", self.kms_key.as_deref()),
        ];
        for (name, value) in said {
            let Some(value) = value else { continue };
            let value = HeaderValue::from_str(value).map_err(|error| {
                Error::new(ErrorKind::Config, "a setting has a character that no header may have")
                    .with_context("header", name)
                    .with_source(error)
            })?;
            stored.insert(HeaderName::from_static(name), value);
        }
        Ok(stored)
    }
}

/// What an address says.
#[derive(Default)]
struct Named {
    bucket: Option<String>,
    region: Option<String>,
    endpoint: Option<String>,
}

impl Named {
    fn parse(url: &str) -> Result<Self> {
        let refused = |why| Error::new(ErrorKind::Config, why).with_context("setting", "url");
        let Some((_, rest)) = url.split_once("://") else {
            return Err(refused("this is not the address of a bucket")
                .with_hint("write it like s3://bucket?region=eu-central-1"));
        };
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (bucket, path) = place.split_once('/').unwrap_or((place, ""));
        if !path.is_empty() {
            return Err(refused("the address of a bucket goes on after the bucket")
                .with_hint("say with `prefix` what all keys begin with"));
        }
        let mut named = Self { bucket: Some(bucket.to_owned()), ..Self::default() };
        named.bucket = named.bucket.filter(|bucket| !bucket.is_empty());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(value).decode_utf8_lossy().into_owned();
            match name {
                "region" => named.region = Some(value),
                "endpoint" => named.endpoint = Some(value),
                _ => {
                    return Err(refused("the address has a setting that does not belong there")
                        .with_hint("only `region` and `endpoint` can be in it"));
                }
            }
        }
        Ok(named)
    }
}

/// What was said in one of two places.
fn only_one(setting: &str, here: Option<&String>, there: Option<String>) -> Result<Option<String>> {
    match (here, there) {
        (Some(_), Some(_)) => {
            Err(Error::new(ErrorKind::Config, "the address and a setting say the same")
                .with_context("setting", setting)
                .with_hint("say it once"))
        }
        (here, there) => Ok(here.cloned().or(there)),
    }
}

fn conditions(said: &[Conditional]) -> Conditions {
    let has = |what| said.contains(&what);
    Conditions {
        create: has(Conditional::Create),
        replace: has(Conditional::Replace),
        delete: has(Conditional::Delete),
        complete: has(Conditional::Complete),
    }
}

/// Whether this is a way to Amazon's own service, as there are several.
fn is_amazon(endpoint: &str) -> bool {
    let host = host_of(endpoint);
    [".amazonaws.com", ".amazonaws.com.cn"].iter().any(|end| host.ends_with(end))
}

fn host_of(address: &str) -> String {
    let host = address.split_once("://").map_or(address, |(_, rest)| rest);
    host.split(['/', ':']).next().unwrap_or_default().to_ascii_lowercase()
}

/// Where the objects of a bucket are.
fn address(endpoint: &str, bucket: &str, path_style: bool) -> Result<String> {
    let refused = || {
        Error::new(ErrorKind::Config, "this is not the address of a service")
            .with_context("setting", "endpoint")
            .with_hint("write it like https://s3.example.com")
    };
    let endpoint = endpoint.trim_end_matches('/');
    let (scheme, host) = endpoint.split_once("://").ok_or_else(refused)?;
    let is_plain = |bucket: &str| {
        !bucket.is_empty()
            && bucket.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'))
    };
    if !matches!(scheme, "http" | "https") || host.is_empty() || host.contains(['?', '#', '@']) {
        return Err(refused());
    }
    if !is_plain(bucket) {
        return Err(Error::new(ErrorKind::Config, "no bucket has such a name")
            .with_context("setting", "bucket"));
    }
    Ok(if path_style {
        format!("{endpoint}/{bucket}")
    } else {
        format!("{scheme}://{bucket}.{host}")
    })
}

/// The one service that wants all parts of an object to be of one length, but for the last.
const WITH_PARTS_ALIKE: &str = ".r2.cloudflarestorage.com";
