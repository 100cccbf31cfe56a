//! The certificates of a server that encrypts, made anew for each start.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};

/// Where the files are, beneath the folder of the server.
pub(crate) const FOLDER: &str = "certificates";

/// The user whom a server lets in for their certificate only.
pub(crate) const CERTIFIED: &str = "certified";

/// The files a server needs. Beside them are those of its clients: `client.pem` and `client.key` of
/// the user `certified`, and `other-ca.pem`, which signed none of all this.
#[derive(Debug)]
pub(crate) struct Certificates {
    pub(crate) authority: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Certificates {
    /// Makes them in the folder of the server.
    pub(crate) fn make_in(folder: &Path) -> io::Result<Self> {
        let folder = folder.join(FOLDER);
        fs::create_dir(&folder)?;
        let made = Self {
            authority: folder.join("ca.pem"),
            certificate: folder.join("server.pem"),
            key: folder.join("server.key"),
        };
        let authority = authority("switchboard tests").map_err(io::Error::other)?;
        fs::write(&made.authority, authority.pem())?;
        write_pair(server(&authority), &made.certificate, &made.key)?;
        write_pair(client(&authority), &folder.join("client.pem"), &folder.join("client.key"))?;
        let other = self::authority("somebody else").map_err(io::Error::other)?;
        fs::write(folder.join("other-ca.pem"), other.pem())?;
        Ok(made)
    }
}

type Pair = Result<(Certificate, KeyPair), rcgen::Error>;

fn authority(name: &str) -> Result<CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
    let mut parameters = named(name, &[])?;
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(parameters, KeyPair::generate()?)
}

fn server(authority: &CertifiedIssuer<'_, KeyPair>) -> Pair {
    let mut parameters = named("localhost", &["localhost", "127.0.0.1"])?;
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    signed(&parameters, authority)
}

fn client(authority: &CertifiedIssuer<'_, KeyPair>) -> Pair {
    let mut parameters = named(CERTIFIED, &[])?;
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    signed(&parameters, authority)
}

fn named(name: &str, hosts: &[&str]) -> Result<CertificateParams, rcgen::Error> {
    let hosts: Vec<_> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut parameters = CertificateParams::new(hosts)?;
    parameters.distinguished_name.push(DnType::CommonName, name);
    Ok(parameters)
}

fn signed(parameters: &CertificateParams, authority: &CertifiedIssuer<'_, KeyPair>) -> Pair {
    let key = KeyPair::generate()?;
    Ok((parameters.signed_by(&key, authority)?, key))
}

fn write_pair(pair: Pair, certificate: &Path, key: &Path) -> io::Result<()> {
    let (signed, secret) = pair.map_err(io::Error::other)?;
    fs::write(certificate, signed.pem())?;
    fs::write(key, secret.serialize_pem())?;
    keep_secret(key)
}

/// Servers do not use a key that others may read.
#[cfg(unix)]
fn keep_secret(key: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(key, fs::Permissions::from_mode(0o600))
}

#[cfg(not(unix))]
fn keep_secret(_: &Path) -> io::Result<()> {
    Ok(())
}
