//! The driver against a server of others that has tags, ranges and conditions: one that speaks like S3, as whoever
//! may read a bucket that is open to everybody.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use switchboard_testkit::service_url;

use super::*;
use crate::conformance::Fixture;

/// A bucket of its own for each disk.
fn fixture() -> Fixture {
    Fixture::new(register)
        .settings(|unique| {
            put(&format!("/{unique}"), b"");
            Settings::new().with("base_url", format!("http://{}/{unique}", server()))
        })
        .stocked(|settings, key, content| {
            let base = settings.child("base_url").and_then(|base| base.as_str().map(str::to_owned));
            Box::pin(async move {
                let base = base.unwrap_or_default();
                let (_, bucket) = base.rsplit_once('/').unwrap_or_default();
                let key = utf8_percent_encode(&key, NON_ALPHANUMERIC);
                put(&format!("/{bucket}/{key}"), &content);
                Ok(())
            })
        })
}

fn server() -> SocketAddr {
    let url = service_url("s3", "http://127.0.0.1:5000");
    url.trim_start_matches("http://").parse().expect("the address of a server without encryption")
}

/// The server lets everybody write, and everybody read what is said to be for all.
fn put(path: &str, content: &[u8]) {
    let mut stream = TcpStream::connect(server()).expect("the server is there");
    let length = content.len();
    let head = format!(
        "PUT {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {length}\r\n\
         x-amz-acl: public-read\r\nConnection: close\r\n\r\n",
        server()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(content).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

crate::conformance::suite!(fixture());
