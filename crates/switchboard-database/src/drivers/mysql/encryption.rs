//! What is asked of the server's certificate, as the client library understands it.
//!
//! It does the handshake itself, and takes no check of ours. Its own looks first who signed the
//! certificate, then at its name, and passes over an error of the second where it is told to leave the
//! name out. It knows that error by a word in its text, which is not in it any more; but the name that is
//! looked for is. So where the name does not matter, that word is looked for. Should a later version tell
//! the errors apart in another way, nobody is let in whom this one refuses: the tests would see it.

use std::path::PathBuf;

use mysql_async::{ClientIdentity, SslOpts};
use rustls::crypto::{CryptoProvider, ring};
use switchboard_core::{Error, ErrorKind, Result};

use crate::{TlsConfig, TlsMode};

/// What the client library is told, or nothing where nothing is encrypted.
pub(super) fn options(tls: &TlsConfig, is_socket: bool) -> Result<Option<SslOpts>> {
    // Mistakes in the files are found now, and told with their setting and path.
    if tls.client()?.is_none() {
        return Ok(None);
    }
    if is_socket {
        return on_socket(tls.mode);
    }
    let options = match tls.mode {
        TlsMode::Off => return Ok(None),
        TlsMode::Preferred | TlsMode::Required => {
            SslOpts::default().with_danger_accept_invalid_certs(true)
        }
        TlsMode::VerifyCa => authorities(tls.ca.clone()).with_danger_skip_domain_validation(true),
        TlsMode::VerifyFull => authorities(tls.ca.clone()),
    };
    let name = match tls.mode {
        TlsMode::VerifyCa => Some(ANY_NAME.to_owned()),
        _ => tls.server_name.clone(),
    };
    choose_cryptography();
    let identity = tls.cert.clone().zip(tls.key.clone());
    let identity = identity.map(|(cert, key)| ClientIdentity::new(cert.into(), key.into()));
    Ok(Some(options.with_client_identity(identity).with_danger_tls_hostname_override(name)))
}

/// Nobody else listens there, and servers offer no encryption.
fn on_socket(mode: TlsMode) -> Result<Option<SslOpts>> {
    if mode.allows_plaintext() {
        return Ok(None);
    }
    Err(Error::new(
        ErrorKind::Config,
        "what goes through a socket of this machine is not encrypted",
    )
    .with_context("setting", "tls.mode"))
}

/// Those of the file, else those the system trusts, and none that the library brings along.
fn authorities(file: Option<PathBuf>) -> SslOpts {
    let authorities = match file {
        Some(file) => vec![file.into()],
        None => rustls_native_certs::load_native_certs()
            .certs
            .into_iter()
            .map(|certificate| certificate.to_vec().into())
            .collect(),
    };
    SslOpts::default().with_root_certs(authorities).with_disable_built_in_roots(true)
}

/// The library takes what the program has chosen, and panics where that cannot be guessed.
fn choose_cryptography() {
    if CryptoProvider::get_default().is_none() {
        // Somebody else may have been faster, which is as good.
        let _ = ring::default_provider().install_default();
    }
}

/// The name that the client library does not insist on, by its own word for an error about names.
const ANY_NAME: &str = "NotValidForName";
