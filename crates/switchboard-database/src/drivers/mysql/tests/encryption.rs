//! What the server's certificate has to prove, against a server that has one.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use switchboard_core::{Class, ErrorKind, Outcome, Result, Secret};
use switchboard_testkit::private_service;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{query, try_connect};
use crate::drivers::mysql::MySqlConfig;
use crate::{DatabaseConfig, TlsConfig, TlsMode, Value};

/// A server that lets `encrypted` in over TLS only, and `certified` with a certificate only.
struct Server {
    url: String,
    files: PathBuf,
}

impl Server {
    fn new() -> Self {
        let (url, files) = private_service("mariadb-tls");
        Self { url, files }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.files.join(name)
    }

    /// Whether the connection of a user who was let in is encrypted.
    async fn encrypts(&self, user: &str, host: &str, tls: TlsConfig) -> Result<bool> {
        let config = MySqlConfig {
            url: Some(Secret::from(&*self.url)),
            user: Some(user.to_owned()),
            host: Some(host.to_owned()),
            tls,
            ..MySqlConfig::default()
        };
        let mut connection = try_connect(&config, &DatabaseConfig::default()).await?;
        let rows = query(&mut connection, "SHOW SESSION STATUS LIKE 'Ssl_cipher'", &[]).await?;
        let is_encrypted = rows.rows[0].values()[1] != Value::Text(String::new());
        connection.close().await?;
        Ok(is_encrypted)
    }
}

#[tokio::test]
async fn connections_are_encrypted_as_each_mode_says_on_mariadb() {
    let server = Server::new();
    let mode = |mode| TlsConfig { mode, ..TlsConfig::default() };
    assert!(!server.encrypts("root", "127.0.0.1", mode(TlsMode::Off)).await.unwrap());
    assert!(server.encrypts("encrypted", "127.0.0.1", mode(TlsMode::Off)).await.is_err());
    for encrypting in [TlsMode::Preferred, TlsMode::Required] {
        assert!(server.encrypts("encrypted", "127.0.0.1", mode(encrypting)).await.unwrap());
    }
    let full = TlsConfig { ca: Some(server.file("ca.pem")), ..mode(TlsMode::VerifyFull) };
    assert!(server.encrypts("encrypted", "localhost", full.clone()).await.unwrap());
    let other = TlsConfig { ca: Some(server.file("other-ca.pem")), ..full.clone() };
    let elsewhere = TlsConfig { server_name: Some("elsewhere".to_owned()), ..full.clone() };
    for wrong in [other, elsewhere, mode(TlsMode::VerifyFull)] {
        let error = server.encrypts("encrypted", "localhost", wrong).await.unwrap_err();
        assert_eq!((error.kind(), error.class()), (ErrorKind::Unavailable, Class::Outage));
        assert_eq!(error.outcome(), Outcome::NotApplied);
    }
    let named = TlsConfig { server_name: Some("localhost".to_owned()), ..full.clone() };
    assert!(server.encrypts("encrypted", "127.0.0.1", named).await.unwrap());

    let signed = TlsConfig { mode: TlsMode::VerifyCa, ..full };
    let elsewhere = TlsConfig { server_name: Some("elsewhere".to_owned()), ..signed.clone() };
    for right in [signed.clone(), elsewhere] {
        assert!(server.encrypts("encrypted", "localhost", right).await.unwrap());
    }
    let other = TlsConfig { ca: Some(server.file("other-ca.pem")), ..signed };
    for wrong in [other, mode(TlsMode::VerifyCa)] {
        let error = server.encrypts("encrypted", "localhost", wrong).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::NotApplied));
    }
}

#[tokio::test]
async fn who_shows_a_certificate_is_let_in_on_mariadb() {
    let server = Server::new();
    let without = TlsConfig {
        mode: TlsMode::VerifyFull,
        ca: Some(server.file("ca.pem")),
        ..TlsConfig::default()
    };
    let error = server.encrypts("certified", "localhost", without.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    let with = TlsConfig {
        cert: Some(server.file("client.pem")),
        key: Some(server.file("client.key")),
        ..without
    };
    assert!(server.encrypts("certified", "localhost", with).await.unwrap());
}

#[tokio::test]
async fn who_signed_a_certificate_and_when_matters_where_its_name_does_not_for_mysql() {
    let folder = tempfile::tempdir().unwrap();
    let [ours, others] = [(); 2].map(|()| authority());
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, ours.pem()).unwrap();
    let named = |name: &str| CertificateParams::new(vec![name.to_owned()]).unwrap();
    let between = |first, last| {
        let mut server = named("localhost");
        (server.not_before, server.not_after) =
            (date_time_ymd(first, 1, 1), date_time_ymd(last, 1, 1));
        server
    };
    let cases = [
        (&ours, named("localhost"), true),
        (&ours, named("elsewhere"), true),
        (&ours, named("192.0.2.1"), true),
        (&ours, CertificateParams::default(), true),
        (&others, named("localhost"), false),
        (&others, named("NotValidForName"), false),
        (&ours, between(2001, 2002), false),
        (&ours, between(4001, 4002), false),
    ];
    let tls = TlsConfig { mode: TlsMode::VerifyCa, ca: Some(ca), ..TlsConfig::default() };
    for (issuer, server, is_spoken_to) in cases {
        let what = format!("{:?} from {}", server.subject_alt_names, server.not_before);
        assert_eq!(is_agreed_with(issuer, server, &tls).await, is_spoken_to, "{what}");
    }
}

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap()
}

/// Whether the driver goes on to say who asks, to a server that shows such a certificate.
async fn is_agreed_with(issuer: &Authority, server: CertificateParams, tls: &TlsConfig) -> bool {
    let mut server = server;
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().unwrap();
    let certificate = server.signed_by(&key, issuer).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("mysql://anyone@127.0.0.1:{}", listener.local_addr().unwrap().port());
    let config = Arc::new(config);
    let serving = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(GREETING).await.unwrap();
        // The wish to encrypt, which is always as long.
        socket.read_exact(&mut [0; 36]).await.unwrap();
        let Ok(mut encrypted) = TlsAcceptor::from(config).accept(socket).await else {
            return false;
        };
        encrypted.read_u8().await.is_ok()
    };
    let asking =
        MySqlConfig { url: Some(Secret::from(url)), tls: tls.clone(), ..MySqlConfig::default() };
    let common = DatabaseConfig::default();
    let (is_agreed, connected) = tokio::join!(serving, try_connect(&asking, &common));
    assert_eq!(connected.err().unwrap().kind(), ErrorKind::Unavailable);
    is_agreed
}

/// What a server that encrypts says first.
const GREETING: &[u8] =
    b"\x59\0\0\0\x0a5.5.5-10.11.0-MariaDB\0\x01\0\0\0abcdefgh\0\xff\xff\x2d\x02\0\
    \xff\x81\x15\0\0\0\0\0\0\0\0\0\0ijklmnopqrst\0mysql_native_password\0";
