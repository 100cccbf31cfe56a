//! Handshakes in memory, and what is wrong with settings.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, date_time_ymd,
};
use rustls::client::{ClientConfig, ClientConnection};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{
    ClientHello, ResolvesServerCert, ServerConfig, ServerConnection, WantsServerCert,
    WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, SupportedProtocolVersion, version};
use tempfile::TempDir;

use super::*;

#[test]
fn without_encryption_there_is_nothing_to_shake_hands_with() {
    let missing = Some("no/such/file.pem".into());
    let tls = TlsConfig { mode: TlsMode::Off, ca: missing.clone(), cert: missing, ..usual() };
    assert!(tls.client().unwrap().is_none());
}

#[test]
fn each_mode_refuses_what_it_says() {
    let world = World::new();
    for mode in [TlsMode::Preferred, TlsMode::Required] {
        let tls = TlsConfig { mode, ..usual() };
        assert_eq!(world.refused_by(&tls), [""; 0], "{mode:?}");
    }
    let tls = world.trusting(TlsMode::VerifyCa);
    assert_eq!(world.refused_by(&tls), ["another authority", "too old", "too new"]);
    let tls = world.trusting(TlsMode::VerifyFull);
    let all = ["another authority", "another name", "too old", "too new"];
    assert_eq!(world.refused_by(&tls), all);
}

#[test]
fn no_mode_accepts_a_server_that_has_not_the_key_of_its_certificate() {
    let world = World::new();
    let (certificate, _) = world.authority.sign(&server_named("localhost"));
    let (_, stolen) = world.authority.sign(&server_named("localhost"));
    let pretended = pretended(&certificate, &stolen);
    let trusting_all = [TlsMode::Preferred, TlsMode::Required];
    let trusting_all = trusting_all.map(|mode| TlsConfig { mode, ..usual() });
    let checking = [TlsMode::VerifyCa, TlsMode::VerifyFull].map(|mode| world.trusting(mode));
    for tls in trusting_all.into_iter().chain(checking) {
        let client = tls.client().unwrap().unwrap();
        for version in VERSIONS {
            let server = serve(version).with_cert_resolver(Arc::clone(&pretended));
            let error = shake_hands(&client, "localhost", server).unwrap_err();
            assert!(error.contains("BadSignature"), "{:?}: {error}", tls.mode);
        }
    }
}

#[test]
fn a_server_may_be_called_otherwise_than_its_host() {
    let world = World::new();
    let server = world.authority.sign(&server_named("db.internal"));
    let mut tls = world.trusting(TlsMode::VerifyFull);
    let client = tls.client().unwrap().unwrap();
    let name = tls.name_of("127.0.0.1").unwrap();
    assert!(shake_hands_with(&client, name, server_with(&server)).is_err());

    tls.server_name = Some("db.internal".to_owned());
    let name = tls.name_of("127.0.0.1").unwrap();
    shake_hands_with(&client, name, server_with(&server)).unwrap();
}

#[test]
fn a_server_may_be_called_by_its_address() {
    let world = World::new();
    let server = world.authority.sign(&server_named("127.0.0.1"));
    let client = world.trusting(TlsMode::VerifyFull).client().unwrap().unwrap();
    shake_hands(&client, "127.0.0.1", server_with(&server)).unwrap();
    assert!(shake_hands(&client, "127.0.0.2", server_with(&server)).is_err());
}

#[test]
fn one_file_may_have_several_authorities() {
    let world = World::new();
    let both = world.write("both.pem", &[world.other.pem(), world.authority.pem()].concat());
    let tls = TlsConfig { ca: Some(both), mode: TlsMode::VerifyFull, ..usual() };
    assert_eq!(world.refused_by(&tls), ["another name", "too old", "too new"]);
}

#[test]
fn the_system_trusts_nobody_it_does_not_know() {
    let world = World::new();
    for mode in [TlsMode::VerifyCa, TlsMode::VerifyFull] {
        match (TlsConfig { mode, ..usual() }).client() {
            Ok(client) => {
                let server = world.authority.sign(&server_named("localhost"));
                let error = shake_hands(&client.unwrap(), "localhost", server_with(&server));
                assert!(error.unwrap_err().contains("UnknownIssuer"));
            }
            Err(error) => assert_eq!(error.context_value("setting"), Some("tls.ca")),
        }
    }
}

#[test]
fn a_server_sees_the_certificate_that_is_set() {
    let world = World::new();
    let server = world.authority.sign(&server_named("localhost"));
    let mut tls = world.trusting(TlsMode::VerifyFull);
    let client = tls.client().unwrap().unwrap();
    assert!(shake_hands(&client, "localhost", world.server_that_asks(&server)).is_err());

    let (cert, key) = world.authority.sign(&client_named("app"));
    tls.cert = Some(world.write("client.pem", &cert));
    tls.key = Some(world.write("client.key", &key));
    let client = tls.client().unwrap().unwrap();
    let shown = shake_hands(&client, "localhost", world.server_that_asks(&server)).unwrap();
    assert_eq!(shown, Some(CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()));
}

#[test]
fn a_mistake_names_the_setting_and_the_file() {
    let world = World::new();
    let (cert, key) = world.authority.sign(&client_named("app"));
    let (_, other_key) = world.authority.sign(&client_named("app"));
    let cert = Some(world.write("client.pem", &cert));
    let key = Some(world.write("client.key", &key));
    let other_key = Some(world.write("other.key", &other_key));
    let empty = Some(world.write("empty.pem", ""));
    let damaged = Some(world.write("damaged.pem", "-----BEGIN CERTIFICATE-----\nMII"));
    let nonsense = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    let nonsense = Some(world.write("nonsense.pem", nonsense));
    let missing = Some(world.folder.path().join("missing.pem"));
    let full = TlsConfig { mode: TlsMode::VerifyFull, ..usual() };
    let with_ca = |ca: &Option<PathBuf>| TlsConfig { ca: ca.clone(), ..full.clone() };
    let with_pair = |cert: &Option<PathBuf>, key: &Option<PathBuf>| TlsConfig {
        cert: cert.clone(),
        key: key.clone(),
        ..usual()
    };

    check_mistake(&with_ca(&missing), "tls.ca", "missing.pem", "cannot be read");
    check_mistake(&with_ca(&empty), "tls.ca", "empty.pem", "no certificate");
    check_mistake(&with_ca(&key), "tls.ca", "client.key", "no certificate");
    check_mistake(&with_ca(&damaged), "tls.ca", "damaged.pem", "not what a PEM file");
    check_mistake(&with_ca(&nonsense), "tls.ca", "nonsense.pem", "damaged");
    let idle = TlsConfig { ca: cert.clone(), mode: TlsMode::Required, ..usual() };
    check_mistake(&idle, "tls.ca", "client.pem", "checks nothing");
    check_mistake(&with_pair(&cert, &None), "tls.cert", "client.pem", "together");
    check_mistake(&with_pair(&None, &key), "tls.key", "client.key", "together");
    check_mistake(&with_pair(&missing, &key), "tls.cert", "missing.pem", "cannot be read");
    check_mistake(&with_pair(&cert, &missing), "tls.key", "missing.pem", "cannot be read");
    check_mistake(&with_pair(&empty, &key), "tls.cert", "empty.pem", "no certificate");
    check_mistake(&with_pair(&cert, &empty), "tls.key", "empty.pem", "no private key");
    check_mistake(&with_pair(&cert, &other_key), "tls.cert", "client.pem", "with this key");
}

#[test]
fn what_cannot_be_a_name_is_a_mistake_of_the_setting_it_is_from() {
    let error = usual().name_of("no name").unwrap_err();
    assert_eq!(error.context_value("setting"), Some("host"));
    let tls = TlsConfig { server_name: Some("no name".to_owned()), ..usual() };
    let error = tls.name_of("localhost").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(error.context_value("setting"), Some("tls.server_name"));
}

#[test]
fn modes_are_written_as_the_servers_write_them() {
    let read = |text: &str| serde_json::from_value::<TlsConfig>(serde_json::json!({"mode": text}));
    for (text, mode) in [
        ("off", TlsMode::Off),
        ("preferred", TlsMode::Preferred),
        ("required", TlsMode::Required),
        ("verify-ca", TlsMode::VerifyCa),
        ("verify-full", TlsMode::VerifyFull),
    ] {
        assert_eq!(read(text).unwrap().mode, mode);
        assert_eq!(mode.allows_plaintext(), matches!(text, "off" | "preferred"));
        assert_eq!(mode.checks_certificate(), text.starts_with("verify"));
    }
    assert!(read("verify").is_err());
    assert_eq!(serde_json::from_str::<TlsConfig>("{}").unwrap(), usual());
}

/// Two authorities, and a folder for the files that a test needs.
struct World {
    authority: Authority,
    other: Authority,
    folder: TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let world =
            Self { authority: Authority::new("ours"), other: Authority::new("other"), folder };
        world.write("ca.pem", &world.authority.pem());
        world
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn trusting(&self, mode: TlsMode) -> TlsConfig {
        TlsConfig { mode, ca: Some(self.folder.path().join("ca.pem")), ..usual() }
    }

    /// What is wrong with the servers that these settings do not let anybody speak to.
    fn refused_by(&self, tls: &TlsConfig) -> Vec<&'static str> {
        let client = tls.client().unwrap().unwrap();
        let servers = [
            ("", self.authority.sign(&server_named("localhost"))),
            ("another authority", self.other.sign(&server_named("localhost"))),
            ("another name", self.authority.sign(&server_named("elsewhere"))),
            ("too old", self.authority.sign(&server_between(2001, 2002))),
            ("too new", self.authority.sign(&server_between(4001, 4002))),
        ];
        let mut refused = Vec::new();
        for (what, pair) in servers {
            let [older, newer] = VERSIONS.map(|version| {
                let server = serve(version).with_single_cert(vec![der(&pair.0)], secret(&pair.1));
                shake_hands(&client, "localhost", server.unwrap()).is_err()
            });
            assert_eq!(older, newer, "{what}");
            refused.extend(older.then_some(what));
        }
        refused
    }

    fn server_that_asks(&self, pair: &Pair) -> ServerConfig {
        let mut authorities = RootCertStore::empty();
        authorities.add(der(&self.authority.pem())).unwrap();
        let provider = Arc::new(ring::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(authorities.into(), Arc::clone(&provider));
        ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(vec![der(&pair.0)], secret(&pair.1))
            .unwrap()
    }
}

/// A certificate and its key, both as PEM.
type Pair = (String, String);

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    fn sign(&self, parameters: &CertificateParams) -> Pair {
        let key = KeyPair::generate().unwrap();
        (parameters.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }
}

fn usual() -> TlsConfig {
    TlsConfig::default()
}

fn server_named(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::new([name.to_owned()]).unwrap();
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    parameters
}

fn server_between(first: i32, last: i32) -> CertificateParams {
    let mut parameters = server_named("localhost");
    parameters.not_before = date_time_ymd(first, 1, 1);
    parameters.not_after = date_time_ymd(last, 1, 1);
    parameters
}

fn client_named(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    parameters
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

fn secret(pem: &str) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap()
}

type Serving = ConfigBuilder<ServerConfig, WantsServerCert>;

fn serve(version: &'static SupportedProtocolVersion) -> Serving {
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
}

fn server_with((certificate, key): &Pair) -> ServerConfig {
    serve(&version::TLS13).with_single_cert(vec![der(certificate)], secret(key)).unwrap()
}

/// Shows one certificate, and signs with the key of another.
#[derive(Debug)]
struct Pretended(Arc<CertifiedKey>);

impl ResolvesServerCert for Pretended {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

fn pretended(certificate: &str, key: &str) -> Arc<dyn ResolvesServerCert> {
    let key = ring::sign::any_supported_type(&secret(key)).unwrap();
    Arc::new(Pretended(Arc::new(CertifiedKey::new(vec![der(certificate)], key))))
}

/// The certificate that the client has shown, if it did.
fn shake_hands(
    client: &Arc<ClientConfig>,
    host: &str,
    server: ServerConfig,
) -> std::result::Result<Option<CertificateDer<'static>>, String> {
    shake_hands_with(client, usual().name_of(host).unwrap(), server)
}

fn shake_hands_with(
    client: &Arc<ClientConfig>,
    name: ServerName<'static>,
    server: ServerConfig,
) -> std::result::Result<Option<CertificateDer<'static>>, String> {
    let mut client = ClientConnection::new(Arc::clone(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        hand_over(&mut client, &mut server);
        server.process_new_packets().map_err(|error| format!("{error:?}"))?;
        hand_over(&mut server, &mut client);
        client.process_new_packets().map_err(|error| format!("{error:?}"))?;
    }
    Ok(server.peer_certificates().map(|shown| shown[0].clone().into_owned()))
}

fn hand_over<A, B>(from: &mut rustls::ConnectionCommon<A>, to: &mut rustls::ConnectionCommon<B>) {
    let mut bytes = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut bytes).unwrap();
    }
    let mut bytes = io::Cursor::new(bytes);
    while usize::try_from(bytes.position()).unwrap() < bytes.get_ref().len() {
        to.read_tls(&mut bytes).unwrap();
    }
}

fn check_mistake(tls: &TlsConfig, setting: &str, file: &str, message: &str) {
    let error = tls.client().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert_eq!(error.context_value("setting"), Some(setting), "{error}");
    let path = Path::new(error.context_value("path").unwrap());
    assert_eq!(path.file_name().unwrap(), file, "{error}");
    assert!(error.message().contains(message), "{error}");
}

const VERSIONS: [&SupportedProtocolVersion; 2] = [&version::TLS12, &version::TLS13];
