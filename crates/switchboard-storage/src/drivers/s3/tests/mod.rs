//! The driver against a server that speaks like S3, and against answers that such a server never gives.

mod answers;
mod encrypted;
mod objects;
mod settings;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use switchboard_core::{Environment, Name, Settings};
use switchboard_testkit::service_url;

use super::*;
use crate::conformance::Fixture;
use crate::{Checksum, HttpConfig};

/// A bucket of its own for each disk.
pub(super) fn fixture() -> Fixture {
    Fixture::new(register)
        .settings(|unique| {
            make_bucket(server(), unique);
            // For a server that is slow because the machine is busy.
            let patient =
                Settings::new().with("connect_timeout", "1m").with("first_byte_timeout", "2m");
            settings(server()).with("bucket", unique).with("http", patient)
        })
        .server(server(), |settings, wire| settings.with("endpoint", format!("http://{wire}")))
}

fn server() -> SocketAddr {
    let url = service_url("s3", "http://127.0.0.1:5000");
    url.trim_start_matches("http://").parse().expect("the address of a server without encryption")
}

fn settings(server: SocketAddr) -> Settings {
    Settings::new()
        .with("endpoint", format!("http://{server}"))
        .with("access_key_id", "testing")
        .with("secret_access_key", "testing")
        .with(
            "conditional",
            ["create", "replace", "delete", "complete"].map(str::to_owned).to_vec(),
        )
}

/// The server lets everybody make buckets, and does not mind if one is there.
fn make_bucket(server: SocketAddr, bucket: &str) {
    let mut stream = TcpStream::connect(server).expect("the server is there");
    let request = format!(
        "PUT /{bucket} HTTP/1.1\r\nHost: {server}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// What another tool asks of the server, which takes more for a key than a disk does.
async fn foreign(method: http::Method, key: &str, headers: &[(&str, &str)]) {
    let mut disk = ready();
    disk.0.service.address.push('/');
    disk.0.service.address.push_str(key);
    let ask = headers
        .iter()
        .fold(Ask::new(method, None), |ask, (name, value)| ask.header(name, value).unwrap());
    disk.0.service.ask(ask).await.unwrap().unwrap();
}

/// The driver for a server that has our bucket.
fn ready() -> S3 {
    make_bucket(server(), BUCKET);
    at(server())
}

fn at(server: SocketAddr) -> S3 {
    made(&config(server)).unwrap()
}

fn config(server: SocketAddr) -> S3Config {
    S3Config {
        endpoint: Some(format!("http://{server}")),
        bucket: Some(BUCKET.to_owned()),
        access_key_id: Some("testing".to_owned()),
        secret_access_key: Some("testing".into()),
        conditional: Some(vec![
            Conditional::Create,
            Conditional::Replace,
            Conditional::Delete,
            Conditional::Complete,
        ]),
        http: HttpConfig { first_byte_timeout: SOON, idle_timeout: SOON, ..HttpConfig::default() },
        ..S3Config::default()
    }
}

fn made(config: &S3Config) -> Result<S3> {
    S3::new(config, &BuildContext::new(&Environment::new(), Name::parse("main").unwrap()))
}

fn key(written: &str) -> Key<'_> {
    Key::parse(written).unwrap()
}

fn always(content: &'static [u8]) -> (Bytes, Write) {
    let write = Write { checksum: Some(Checksum::of(content)), ..Write::default() };
    (Bytes::from_static(content), write)
}

fn whole(prefix: &str) -> List {
    List { prefix: prefix.to_owned(), is_flat: false, after: None, token: None, limit: 1000 }
}

const BUCKET: &str = "switchboard";
/// Long enough for a server on this machine, and short enough for a test.
const SOON: Duration = Duration::from_mins(1);
