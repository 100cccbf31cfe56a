//! Certificates and keys in files.

use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use switchboard_core::{Error, ErrorKind, Result};

/// All certificates of the file, each as somebody who signs others.
pub(super) fn authorities(path: &Path) -> Result<RootCertStore> {
    let mut authorities = RootCertStore::empty();
    for certificate in read_certificates(CA, path)? {
        authorities.add(certificate).map_err(|error| {
            mistake(CA, path, "a certificate in this file is damaged").with_source(error)
        })?;
    }
    Ok(authorities)
}

/// The certificates that are shown to a server, in the order of the file.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    read_certificates("tls.cert", path)
}

/// The first key of the file.
pub(super) fn key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    const SETTING: &str = "tls.key";
    PrivateKeyDer::from_pem_file(path).map_err(|error| match error {
        pem::Error::NoItemsFound => mistake(SETTING, path, "there is no private key in this file")
            .with_hint("one that is encrypted has to be decrypted first"),
        error => unreadable(SETTING, path, error),
    })
}

fn read_certificates(setting: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| unreadable(setting, path, error))?;
    if found.is_empty() {
        return Err(mistake(setting, path, "there is no certificate in this file"));
    }
    Ok(found)
}

fn unreadable(setting: &'static str, path: &Path, error: pem::Error) -> Error {
    let message = match &error {
        pem::Error::Io(_) => "this file cannot be read",
        _ => "this file is not what a PEM file should be",
    };
    mistake(setting, path, message).with_source(error)
}

fn mistake(setting: &'static str, path: &Path, message: &'static str) -> Error {
    Error::new(ErrorKind::Config, message)
        .with_context("setting", setting)
        .with_context("path", path.display())
}

const CA: &str = "tls.ca";
