//! Services that speak like S3, by name: where they are, and what they do not do.

use schemars::JsonSchema;
use serde::Deserialize;
use switchboard_core::{Error, ErrorKind, Result};

use super::{Conditional, SumsAt};

/// A service that speaks like S3. It only fills in what is not said elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Preset {
    /// `MinIO`, on this machine where no endpoint is set.
    Minio,
    /// Cloudflare R2. Needs `account`.
    R2,
    /// Backblaze B2. Needs `region`.
    B2,
    /// Wasabi.
    Wasabi,
    /// `DigitalOcean` Spaces. Needs `region`.
    Spaces,
    /// Seagate Lyve Cloud. Needs `region`.
    Lyve,
}

/// What is true of a service.
#[derive(Debug)]
pub(super) struct Filled {
    /// Where it is; `{region}` and `{account}` stand for the settings of that name.
    endpoint: &'static str,
    /// The region where none is set.
    pub(super) region: Option<&'static str>,
    pub(super) path_style: bool,
    /// What it is known to do only on a condition.
    pub(super) conditional: &'static [Conditional],
    /// Whether it is known to compare CRC-32C.
    pub(super) sums: SumsAt,
}

impl Preset {
    pub(super) fn filled(self) -> &'static Filled {
        match self {
            Self::Minio => &Filled {
                endpoint: "http://127.0.0.1:9000",
                region: Some("us-east-1"),
                path_style: true,
                conditional: WRITES,
                sums: SumsAt::Service,
            },
            Self::R2 => &Filled {
                endpoint: "https://{account}.r2.cloudflarestorage.com",
                region: Some("auto"),
                path_style: true,
                conditional: WRITES,
                sums: SumsAt::Metadata,
            },
            Self::B2 => &Filled {
                endpoint: "https://s3.{region}.backblazeb2.com",
                region: None,
                path_style: true,
                conditional: &[],
                sums: SumsAt::Metadata,
            },
            Self::Wasabi => &Filled {
                endpoint: "https://s3.{region}.wasabisys.com",
                region: Some("us-east-1"),
                path_style: true,
                conditional: &[],
                sums: SumsAt::Metadata,
            },
            Self::Spaces => &Filled {
                endpoint: "https://{region}.digitaloceanspaces.com",
                region: None,
                path_style: false,
                conditional: &[],
                sums: SumsAt::Metadata,
            },
            Self::Lyve => &Filled {
                endpoint: "https://s3.{region}.lyvecloud.seagate.com",
                region: None,
                path_style: true,
                conditional: &[],
                sums: SumsAt::Metadata,
            },
        }
    }
}

impl Filled {
    pub(super) fn endpoint(&self, region: &str, account: Option<&str>) -> Result<String> {
        let account = match account {
            None if self.endpoint.contains("{account}") => {
                return Err(Error::new(
                    ErrorKind::Config,
                    "the address of this service has the account in it",
                )
                .with_hint("set `account`"));
            }
            account => account.unwrap_or_default(),
        };
        Ok(self.endpoint.replace("{region}", region).replace("{account}", account))
    }
}

/// Those services that take a condition on what is stored leave it out, or know another one, on what is deleted.
const WRITES: &[Conditional] = &[Conditional::Create, Conditional::Replace, Conditional::Complete];
