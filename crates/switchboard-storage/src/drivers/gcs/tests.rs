//! The requests that the driver makes, and what it makes of answers as the documentation has them. They prove
//! nothing of the service.

use switchboard_core::{Environment, Name};

use super::*;
use crate::Checksum;
use crate::wire::scripted::{answering, beside, written};

fn config(server: std::net::SocketAddr) -> GcsConfig {
    GcsConfig {
        bucket: "b".to_owned(),
        endpoint: Some(format!("http://{server}")),
        access_token: Some("token".into()),
        ..GcsConfig::default()
    }
}

fn made(config: &GcsConfig) -> Result<Gcs> {
    Gcs::new(config, &BuildContext::new(&Environment::new(), Name::parse("main").unwrap()))
}

fn key(written: &str) -> Key<'_> {
    Key::parse(written).unwrap()
}

const OBJECT: &str = "x-goog-generation: 7\r\nETag: \"e\"\r\nLast-Modified: Sat, 21 Nov 2026 14:02:16 GMT\r\n\
                      x-goog-hash: crc32c=4waSgw==,md5=JfnnlDI7RTiF9RgfGQ==\r\nx-goog-meta-owner: ada\r\n";

#[test]
fn an_object_is_its_generation_and_has_the_sum_that_the_service_worked_out() {
    beside(async {
        let (server, asked) = answering(&written("200 OK", OBJECT, "123456789")).await;
        let disk = made(&config(server)).unwrap();
        let read = Read { only: Some(Version::new("7")), ..Read::default() };
        let fetched = disk.get(key("a b/ä"), &read).await.unwrap().unwrap();
        assert_eq!(fetched.meta.version, Version::new("7"));
        assert_eq!(fetched.meta.checksum, Some(Checksum::of(b"123456789")));
        assert_eq!(fetched.meta.attributes.metadata["owner"], "ada");
        let request = asked.borrow()[0].to_lowercase();
        assert!(request.starts_with("get /b/a%20b/%c3%a4 http"), "{request}");
        assert!(request.contains("\r\nauthorization: bearer token\r\n"), "{request}");
        assert!(request.contains("\r\nx-goog-if-generation-match: 7\r\n"), "{request}");
    });
}

#[test]
fn a_put_has_its_sum_and_its_condition_with_it() {
    beside(async {
        let (server, asked) = answering(&written("200 OK", OBJECT, "")).await;
        let disk = made(&config(server)).unwrap();
        let checksum = Some(Checksum::of(b"123456789"));
        let write = Write { condition: Condition::Absent, checksum, ..Write::default() };
        let stored = disk.put(key("k"), Bytes::from_static(b"123456789"), &write).await.unwrap();
        assert_eq!(stored, Stored::new(Version::new("7"), 9, checksum));
        let request = asked.borrow()[0].to_lowercase();
        assert!(request.contains("\r\nx-goog-if-generation-match: 0\r\n"), "{request}");
        assert!(request.contains("\r\nx-goog-hash: crc32c=4wasgw==\r\n"), "{request}");
    });
}

#[test]
fn a_list_tells_generations() {
    let page = "<ListBucketResult><Contents><Key>a</Key><Generation>7</Generation><Size>1</Size>\
                <LastModified>2026-11-21T14:02:16.000Z</LastModified><ETag>\"e\"</ETag></Contents>\
                </ListBucketResult>";
    beside(async {
        let (server, _) = answering(&written("200 OK", "", page)).await;
        let list =
            List { prefix: String::new(), is_flat: false, after: None, token: None, limit: 9 };
        let page = made(&config(server)).unwrap().list(&list).await.unwrap();
        assert_eq!(page.entries[0].version, Version::new("7"));
    });
}

#[test]
fn an_object_in_parts_takes_no_condition_and_without_a_key_nothing_is_signed() {
    beside(async {
        let (server, asked) = answering(&written("200 OK", "", "")).await;
        let disk = made(&config(server)).unwrap();
        let write = Write { condition: Condition::Absent, ..Write::default() };
        let refused = disk.begin(key("k"), &write).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unsupported);
        let upload = UploadId("u".to_owned());
        let refused = disk.complete(key("k"), &upload, &[], &write).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unsupported);
        let sign = Sign {
            method: crate::Method::Get,
            key: "k".to_owned(),
            ttl: Duration::from_mins(1),
            content_type: None,
            content_disposition: None,
            size_max: None,
        };
        assert_eq!(disk.sign(&sign).await.unwrap_err().kind(), ErrorKind::Unsupported);
        assert!(asked.borrow().is_empty());
    });
}

#[test]
fn who_asks_is_said_in_one_way_or_it_is_a_mistake() {
    let server = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    let nobody = GcsConfig { access_token: None, ..config(server) };
    let both = GcsConfig { instance: true, ..config(server) };
    let nowhere = GcsConfig { bucket: String::new(), ..config(server) };
    let missing = GcsConfig { service_account: Some("/no/such/file".into()), ..nobody.clone() };
    for mistake in [nobody, both, nowhere, missing] {
        assert_eq!(made(&mistake).unwrap_err().kind(), ErrorKind::Config, "{mistake:?}");
    }
}
