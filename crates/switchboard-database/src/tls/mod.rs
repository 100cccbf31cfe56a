//! Encrypted connections to servers: what is asked of them, and what they have to prove.
//!
//! Speaks to no server. A driver asks its server for encryption in the way of its protocol, and
//! does the handshake with what [`TlsConfig::client`] gives it.

mod files;
mod verifiers;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::{ClientConfig, WantsClientCert};
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ConfigBuilder, RootCertStore};
use schemars::JsonSchema;
use serde::Deserialize;
use switchboard_core::{Error, ErrorKind, Result};

use verifiers::AnyName;

/// Whether connections to a server are encrypted, and what the server has to prove.
///
/// ```
/// use switchboard_database::{TlsConfig, TlsMode};
///
/// // What is encrypted wherever the server can, and checked nowhere.
/// let usual = TlsConfig::default();
/// assert!(usual.mode == TlsMode::Preferred && usual.client()?.is_some());
///
/// // A mistake is found before anything is connected.
/// let tls = TlsConfig { ca: Some("no/such/ca.pem".into()), mode: TlsMode::VerifyFull, ..usual };
/// let error = tls.client().unwrap_err();
/// assert_eq!(error.context_value("setting"), Some("tls.ca"));
/// assert_eq!(error.context_value("path"), Some("no/such/ca.pem"));
/// # Ok::<(), switchboard_core::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// How much is asked of the server.
    pub mode: TlsMode,
    /// A PEM file with the authorities that may have signed the server's certificate; those the
    /// system trusts where nothing is said. For the modes that check the certificate, and refused in
    /// the others that encrypt, where nobody would look at it.
    pub ca: Option<PathBuf>,
    /// A PEM file with the certificate that is shown to the server, and with those it was signed by
    /// but the last; none where nothing is said.
    pub cert: Option<PathBuf>,
    /// A PEM file with the key of that certificate, not encrypted.
    pub key: Option<PathBuf>,
    /// What the server must be called in its certificate; the host that is connected to where nothing
    /// is said.
    pub server_name: Option<String>,
}

/// How much is asked of a server before anything is said to it.
///
/// The words mean what they mean to the servers' own clients, `preferred` is the default there too,
/// and each asks for what those before it do. Only `verify-full` keeps out somebody in between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// Nothing is encrypted.
    Off,
    /// What the server encrypts is encrypted, whoever it is: nobody who only listens understands it.
    /// A server that does not encrypt is spoken to all the same.
    #[default]
    Preferred,
    /// All is encrypted, whoever the server is. One that does not encrypt is not spoken to.
    Required,
    /// One of the authorities has signed the server's certificate, whatever name is in it, and it is
    /// neither too old nor too new.
    VerifyCa,
    /// The certificate also has the name of the server.
    VerifyFull,
}

impl TlsMode {
    /// Whether a server that does not encrypt is spoken to.
    pub fn allows_plaintext(self) -> bool {
        self <= Self::Preferred
    }

    /// Whether anything about the server's certificate is checked.
    pub fn checks_certificate(self) -> bool {
        self >= Self::VerifyCa
    }
}

impl TlsConfig {
    /// What handshakes are done with; `None` where nothing is encrypted, whatever else is set.
    ///
    /// Reads the files, so that a driver which asks again gets certificates that were renewed. Cheap to
    /// clone; connections that share it also resume each other's sessions.
    ///
    /// # Errors
    ///
    /// `Config`, with the setting and the path: a file that cannot be read or has nothing of its kind
    /// in it, a certificate without its key, a `ca` that nobody would look at.
    pub fn client(&self) -> Result<Option<Arc<ClientConfig>>> {
        match self.mode {
            TlsMode::Off => Ok(None),
            _ => self.handshakes().map(|config| Some(Arc::new(config))),
        }
    }

    /// What the server at `host` must be called, and is asked for by.
    ///
    /// # Errors
    ///
    /// `Config` for what is neither a name nor an address.
    pub fn name_of(&self, host: &str) -> Result<ServerName<'static>> {
        let name = self.server_name.as_deref().unwrap_or(host);
        ServerName::try_from(name.to_owned()).map_err(|error| {
            let setting = if self.server_name.is_some() { "tls.server_name" } else { "host" };
            refused("this is neither a name nor an address of a server", error)
                .with_context("setting", setting)
                .with_context("name", name)
        })
    }

    fn handshakes(&self) -> Result<ClientConfig> {
        // Given, so that no other part of the program decides which cryptography this one has.
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| refused("there is no version of TLS to speak", error))?;
        let verifier = match self.mode {
            TlsMode::Off | TlsMode::Preferred | TlsMode::Required => {
                self.refuse_idle_authorities()?;
                AnyName::signed_by_anybody(&provider)
            }
            TlsMode::VerifyCa => AnyName::signed_by(self.authorities()?, &provider),
            TlsMode::VerifyFull => {
                let builder = builder.with_root_certificates(self.authorities()?);
                return self.with_own_certificate(builder);
            }
        };
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
        self.with_own_certificate(builder)
    }

    /// Whoever names an authority believes that it is asked.
    fn refuse_idle_authorities(&self) -> Result<()> {
        let Some(path) = &self.ca else { return Ok(()) };
        Err(Error::new(ErrorKind::Config, "an authority is named, but the mode checks nothing")
            .with_context("setting", "tls.ca")
            .with_context("path", path.display())
            .with_hint("set `tls.mode` to `verify-full` or `verify-ca`, or leave `tls.ca` out"))
    }

    fn authorities(&self) -> Result<RootCertStore> {
        match &self.ca {
            Some(path) => files::authorities(path),
            None => system_authorities(),
        }
    }

    fn with_own_certificate(
        &self,
        builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    ) -> Result<ClientConfig> {
        let (cert, key) = match (&self.cert, &self.key) {
            (None, None) => return Ok(builder.with_no_client_auth()),
            (Some(cert), Some(key)) => (cert, key),
            (Some(cert), None) => return Err(alone("tls.cert", cert, "tls.key")),
            (None, Some(key)) => return Err(alone("tls.key", key, "tls.cert")),
        };
        builder.with_client_auth_cert(files::certificates(cert)?, files::key(key)?).map_err(
            |error| {
                refused("the certificate cannot be used with this key", error)
                    .with_context("setting", "tls.cert")
                    .with_context("path", cert.display())
                    .with_context("key", key.display())
            },
        )
    }
}

/// Those the system trusts; the ones that cannot be read are as if they were not there.
fn system_authorities() -> Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut authorities = RootCertStore::empty();
    let (usable, _) = authorities.add_parsable_certificates(found.certs);
    if usable > 0 {
        return Ok(authorities);
    }
    let error = Error::new(ErrorKind::Config, "this system has no authorities it trusts")
        .with_context("setting", "tls.ca")
        .with_hint("name the authority of the server in `tls.ca`");
    Err(found.errors.into_iter().fold(error, Error::with_source))
}

fn alone(setting: &'static str, path: &Path, other: &str) -> Error {
    Error::new(ErrorKind::Config, "a certificate and its key are set together or not at all")
        .with_context("setting", setting)
        .with_context("path", path.display())
        .with_hint(format!("set `{other}` too"))
}

fn refused(
    message: &'static str,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    Error::new(ErrorKind::Config, message).with_source(error)
}
