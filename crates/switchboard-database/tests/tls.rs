//! The settings of encryption against real servers, before there is any driver: each is asked in its
//! own protocol to encrypt, and who may come in is seen from its first answer.

#![allow(clippy::unwrap_used, reason = "a test that fails panics")]

use std::path::PathBuf;

use switchboard_database::{TlsConfig, TlsMode};
use switchboard_testkit::private_service;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

#[tokio::test]
async fn postgres_tls_is_checked_as_each_mode_says() {
    each_mode_says(Server::postgres()).await;
}

#[tokio::test]
async fn mariadb_tls_is_checked_as_each_mode_says() {
    each_mode_says(Server::mariadb()).await;
}

#[tokio::test]
async fn postgres_tls_lets_in_who_shows_a_certificate() {
    only_with_a_certificate(Server::postgres()).await;
}

#[tokio::test]
async fn mariadb_tls_lets_in_who_shows_a_certificate() {
    only_with_a_certificate(Server::mariadb()).await;
}

async fn each_mode_says(server: Server) {
    let file = |name| Some(server.files.join(name));
    for mode in [TlsMode::Preferred, TlsMode::Required] {
        assert!(server.lets_in("encrypted", &TlsConfig { mode, ..unset() }).await.unwrap());
    }
    for (mode, name_matters) in [(TlsMode::VerifyCa, false), (TlsMode::VerifyFull, true)] {
        let right = TlsConfig { mode, ca: file("ca.pem"), ..unset() };
        assert!(server.lets_in("encrypted", &right).await.unwrap());
        let other = TlsConfig { mode, ca: file("other-ca.pem"), ..unset() };
        let error = server.lets_in("encrypted", &other).await.unwrap_err();
        assert!(error.contains("UnknownIssuer"), "{error}");
        let renamed = TlsConfig { server_name: Some("elsewhere".to_owned()), ..right };
        let is_refused = server.lets_in("encrypted", &renamed).await.is_err();
        assert_eq!(is_refused, name_matters, "{mode:?}");
    }
}

async fn only_with_a_certificate(server: Server) {
    let file = |name| Some(server.files.join(name));
    let without = TlsConfig { mode: TlsMode::VerifyFull, ca: file("ca.pem"), ..unset() };
    assert!(!server.lets_in("certified", &without).await.unwrap());
    let with = TlsConfig { cert: file("client.pem"), key: file("client.key"), ..without };
    assert!(server.lets_in("certified", &with).await.unwrap());
}

fn unset() -> TlsConfig {
    TlsConfig::default()
}

struct Server {
    protocol: Protocol,
    port: u16,
    files: PathBuf,
}

#[derive(Clone, Copy)]
enum Protocol {
    Postgres,
    Mariadb,
}

impl Server {
    fn postgres() -> Self {
        Self::named("postgres-tls", Protocol::Postgres)
    }

    fn mariadb() -> Self {
        Self::named("mariadb-tls", Protocol::Mariadb)
    }

    fn named(service: &str, protocol: Protocol) -> Self {
        let (url, files) = private_service(service);
        let port = url.rsplit_once(':').unwrap().1.split('/').next().unwrap();
        Self { protocol, port: port.parse().unwrap(), files }
    }

    /// Whether the user is let in without a password; the error is of the handshake.
    async fn lets_in(&self, user: &str, tls: &TlsConfig) -> Result<bool, String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        match self.protocol {
            Protocol::Postgres => ask_postgres(&mut stream).await,
            Protocol::Mariadb => ask_mariadb(&mut stream).await,
        }
        let connector = TlsConnector::from(tls.client().unwrap().unwrap());
        let name = tls.name_of("localhost").unwrap();
        let stream = connector.connect(name, stream).await.map_err(|error| format!("{error:?}"))?;
        Ok(match self.protocol {
            Protocol::Postgres => postgres_lets_in(stream, user).await,
            Protocol::Mariadb => mariadb_lets_in(stream, user).await,
        })
    }
}

async fn ask_postgres(stream: &mut TcpStream) {
    stream.write_all(&[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]).await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'S');
}

async fn postgres_lets_in(mut stream: TlsStream<TcpStream>, user: &str) -> bool {
    let text = format!("user\0{user}\0database\0postgres\0\0");
    stream.write_u32(u32::try_from(text.len() + 8).unwrap()).await.unwrap();
    stream.write_u32(3 << 16).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    let mut answer = [0; 9];
    stream.read_exact(&mut answer).await.unwrap();
    // A lone nought is the proof that nothing more is asked for.
    answer[0] == b'R' && answer[5..] == [0; 4]
}

async fn ask_mariadb(stream: &mut TcpStream) {
    let greeting = read_packet(stream).await;
    assert_eq!(greeting[0], 10);
    let packet = [&[32, 0, 0, 1], &login_head()[..]].concat();
    stream.write_all(&packet).await.unwrap();
}

async fn mariadb_lets_in(mut stream: TlsStream<TcpStream>, user: &str) -> bool {
    let mut login = login_head();
    login.extend(format!("{user}\0\0mysql_native_password\0").as_bytes());
    let length = u8::try_from(login.len()).unwrap();
    let packet = [&[length, 0, 0, 2], &login[..]].concat();
    stream.write_all(&packet).await.unwrap();
    stream.flush().await.unwrap();
    read_packet(&mut stream).await[0] == 0
}

/// What stands before the name of the user, and alone asks for encryption.
fn login_head() -> Vec<u8> {
    const PROTOCOL_41: u32 = 1 << 9;
    const SSL: u32 = 1 << 11;
    const SECURE_CONNECTION: u32 = 1 << 15;
    const PLUGIN_AUTH: u32 = 1 << 19;
    let capabilities = PROTOCOL_41 | SSL | SECURE_CONNECTION | PLUGIN_AUTH;
    let mut head = [capabilities.to_le_bytes(), 65_536_u32.to_le_bytes()].concat();
    head.push(45);
    head.extend([0; 23]);
    head
}

async fn read_packet(stream: &mut (impl AsyncReadExt + Unpin)) -> Vec<u8> {
    let length = stream.read_u32_le().await.unwrap() & 0x00ff_ffff;
    let mut body = vec![0; length as usize];
    stream.read_exact(&mut body).await.unwrap();
    body
}
