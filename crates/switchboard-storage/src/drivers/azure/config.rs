//! What can be said of a container, and who asks for what is in it.

use object_store::RetryConfig;
use object_store::azure::{MicrosoftAzure, MicrosoftAzureBuilder, split_sas};
use schemars::JsonSchema;
use serde::Deserialize;
use switchboard_core::{Error, ErrorKind, Result, Secret};

use crate::HttpConfig;
use crate::wire::Wire;

/// The settings of [`Azure`](super::Azure): where the container is, and one way to say who asks.
///
/// ```toml
/// [storage.uploads]
/// driver = "azure"
/// account = "myaccount"
/// container = "uploads"
/// access_key = "${AZURE_STORAGE_KEY}"
/// ```
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AzureConfig {
    /// The account.
    pub account: Option<String>,
    /// The container.
    pub container: Option<String>,
    /// The address of the service for this account; that of Azure where nothing is said.
    pub endpoint: Option<String>,
    /// A key of the account.
    pub access_key: Option<Secret>,
    /// What a signed address for the container has behind its `?`.
    pub sas_token: Option<Secret>,
    /// The directory that knows `client_id`.
    pub tenant_id: Option<String>,
    /// An application, or an identity of this machine.
    pub client_id: Option<String>,
    /// What proves that we are the application.
    pub client_secret: Option<Secret>,
    /// Whether we are this machine, by the service that machines of Azure have for it. It is asked only where
    /// this is set.
    pub managed_identity: bool,
    /// How the service is spoken to.
    pub http: HttpConfig,
}

/// A container, after everything that was said of it.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) account: String,
    /// Where the objects are.
    pub(super) address: String,
    pub(super) client: MicrosoftAzure,
}

impl AzureConfig {
    pub(super) fn target(&self, wire: &Wire) -> Result<Target> {
        let required = |setting, value: &Option<String>| {
            value.clone().filter(|value| !value.is_empty()).ok_or_else(|| {
                Error::new(ErrorKind::Config, "it is not said where the objects are")
                    .with_context("setting", setting)
            })
        };
        let account = required("account", &self.account)?;
        let container = required("container", &self.container)?;
        let is_plain = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !is_plain(&account) || !is_plain(container.trim_start_matches('$')) {
            return Err(Error::new(ErrorKind::Config, "no account or container has such a name"));
        }
        let endpoint = match &self.endpoint {
            None => format!("https://{account}.blob.core.windows.net"),
            Some(endpoint) => endpoint.trim_end_matches('/').to_owned(),
        };
        if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
            return Err(Error::new(ErrorKind::Config, "this is not the address of a service")
                .with_context("setting", "endpoint"));
        }
        let builder = MicrosoftAzureBuilder::new()
            .with_http_connector(wire.clone())
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
            .with_allow_http(true)
            .with_account(&account)
            .with_container_name(&container)
            .with_endpoint(endpoint.clone());
        let client = self.asking(builder)?.build().map_err(|error| {
            Error::new(ErrorKind::Config, "the settings do not fit each other").with_source(error)
        })?;
        Ok(Target { account, address: format!("{endpoint}/{container}"), client })
    }

    /// The client, told who asks in the one way that is set.
    fn asking(&self, builder: MicrosoftAzureBuilder) -> Result<MicrosoftAzureBuilder> {
        let ways = [
            self.access_key.is_some(),
            self.sas_token.is_some(),
            self.client_secret.is_some(),
            self.managed_identity,
        ];
        if ways.iter().filter(|is_set| **is_set).count() != 1 {
            return Err(Error::new(ErrorKind::Config, "it is not said in one way who asks")
                .with_hint(
                    "set one of `access_key`, `sas_token`, `client_secret` and `managed_identity`",
                ));
        }
        if let Some(key) = &self.access_key {
            return Ok(builder.with_access_key(key.expose()));
        }
        if let Some(token) = &self.sas_token {
            let pairs = split_sas(token.expose().trim_start_matches('?')).map_err(|error| {
                Error::new(
                    ErrorKind::Config,
                    "this is not what a signed address has behind its `?`",
                )
                .with_context("setting", "sas_token")
                .with_source(error)
            })?;
            return Ok(builder.with_sas_authorization(pairs));
        }
        let Some(secret) = &self.client_secret else {
            return Ok(match &self.client_id {
                Some(client) => builder.with_client_id(client),
                None => builder,
            });
        };
        let (Some(client), Some(tenant)) = (&self.client_id, &self.tenant_id) else {
            return Err(Error::new(
                ErrorKind::Config,
                "it is not said which application has this secret",
            )
            .with_hint("set `client_id` and `tenant_id`"));
        };
        Ok(builder.with_client_secret_authorization(client, secret.expose(), tenant))
    }
}
