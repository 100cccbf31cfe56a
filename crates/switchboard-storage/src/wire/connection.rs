//! One request and its answer: connections, encryption, and how long each step may take.
//!
//! Knows nothing of objects, and judges no answer that a service gave.

use std::error::Error as StdError;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Body as HttpBody;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use schemars::JsonSchema;
use serde::Deserialize;
use switchboard_core::settings::duration;
use switchboard_core::{Error, ErrorKind, Result};

use super::Answer;

/// How a service over HTTP is spoken to.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// How long it may take until a connection is there.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text")]
    pub connect_timeout: Duration,
    /// How long it may take until an answer begins, beside the time that a large request is on its way.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text")]
    pub first_byte_timeout: Duration,
    /// How long nothing may come in the middle of an answer.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text")]
    pub idle_timeout: Duration,
    /// A PEM file with the authorities that may have signed the service's certificate; those the system trusts
    /// where nothing is said.
    pub ca: Option<PathBuf>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            first_byte_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(30),
            ca: None,
        }
    }
}

/// What a request sends.
type Sent = UnsyncBoxBody<Bytes, Box<dyn StdError + Send + Sync>>;

/// The connections to a service.
#[derive(Clone)]
pub(crate) struct Wire {
    client: Client<HttpsConnector<HttpConnector>, Sent>,
    first_byte_timeout: Duration,
    idle_timeout: Duration,
}

impl Wire {
    /// Connections that are made as `config` says; nobody is asked yet.
    pub(crate) fn new(config: &HttpConfig) -> Result<Self> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(config.connect_timeout));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(encryption(config)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_CONNECTION)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .build(connector);
        let HttpConfig { first_byte_timeout, idle_timeout, .. } = *config;
        Ok(Self { client, first_byte_timeout, idle_timeout })
    }

    /// What the service answers, whatever that is.
    pub(crate) async fn send<B>(&self, request: Request<B>) -> Result<Answer>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let length = request.body().size_hint().lower();
        let on_its_way = Duration::from_secs(length / UPLOAD_RATE_MIN);
        let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        let answer = tokio::time::timeout(
            self.first_byte_timeout + on_its_way,
            self.client.request(request),
        );
        match answer.await {
            Ok(Ok(answer)) => Ok(Answer::new(answer, self.idle_timeout)),
            Ok(Err(error)) if error.is_connect() => {
                Err(Error::new(ErrorKind::Unavailable, "the service cannot be reached")
                    .with_source(error)
                    .not_applied())
            }
            Ok(Err(error)) => {
                Err(Error::new(ErrorKind::Unavailable, "the connection to the service broke")
                    .with_source(error))
            }
            Err(_) => Err(Error::new(ErrorKind::Timeout, "the service did not answer in time")),
        }
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}

fn encryption(config: &HttpConfig) -> Result<ClientConfig> {
    // Given, so that no other part of the program decides which cryptography this one has.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| {
            Error::new(ErrorKind::Config, "there is no version of TLS to speak").with_source(error)
        })?;
    Ok(builder.with_root_certificates(authorities(config)?).with_no_client_auth())
}

fn authorities(config: &HttpConfig) -> Result<RootCertStore> {
    let mut authorities = RootCertStore::empty();
    let Some(path) = &config.ca else {
        // A system without any is told so by the first service that shows a certificate.
        authorities.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(authorities);
    };
    let mistake = |message| {
        Error::new(ErrorKind::Config, message)
            .with_context("setting", "http.ca")
            .with_context("path", path.display())
    };
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>)
        .map_err(|error| mistake("this file cannot be read as PEM").with_source(error))?;
    if found.is_empty() {
        return Err(mistake("there is no certificate in this file"));
    }
    for certificate in found {
        authorities
            .add(certificate)
            .map_err(|error| mistake("a certificate in this file is damaged").with_source(error))?;
    }
    Ok(authorities)
}

/// Services end connections that do nothing after 5 to 20 seconds; one that is ended in the moment it is used
/// again is an error.
const IDLE_CONNECTION: Duration = Duration::from_secs(4);
const IDLE_CONNECTIONS_MAX: usize = 64;
/// The bytes a second with which a large request is thought to be on its way at least.
const UPLOAD_RATE_MIN: u64 = 128 << 10;
