//! The driver against a server that speaks like Azure.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use switchboard_core::{Environment, ErrorKind, Name, Outcome, Settings};
use switchboard_testkit::{service_url, unique};

use super::*;
use crate::conformance::{Exception, Fixture};
use crate::{ByteRange, Checksum, Method};

/// A disk of its own in a container that all tests share.
pub(super) fn fixture() -> Fixture {
    made_ready();
    Fixture::new(register)
        .settings(|unique| {
            Settings::new()
                .with("endpoint", endpoint())
                .with("account", ACCOUNT)
                .with("container", CONTAINER)
                .with("access_key", KEY)
                .with("prefix", unique)
                .with("http", patient())
        })
        .except(&[
            Exception {
                rule: "a_key_comes_back_as_it_was_written",
                kind: Some(ErrorKind::Unavailable),
                why: "the server of the tests fails to list a key with U+FFFF, which XML cannot write",
            },
            Exception {
                rule: "rare_letters_are_in_the_order_of_their_bytes",
                kind: None,
                why: "the server of the tests sorts as UTF-16 does",
            },
        ])
}

/// Waits for a server that is slow because the machine is busy.
fn patient() -> Settings {
    Settings::new().with("connect_timeout", "1m").with("first_byte_timeout", "2m")
}

fn server() -> SocketAddr {
    let url = service_url("azure", "http://127.0.0.1:10000");
    url.trim_start_matches("http://").parse().expect("the address of a server without encryption")
}

fn endpoint() -> String {
    format!("http://{}/{ACCOUNT}", server())
}

fn config() -> AzureConfig {
    AzureConfig {
        endpoint: Some(endpoint()),
        account: Some(ACCOUNT.to_owned()),
        container: Some(CONTAINER.to_owned()),
        access_key: Some(KEY.into()),
        ..AzureConfig::default()
    }
}

fn made(config: &AzureConfig) -> Result<Azure> {
    Azure::new(config, &BuildContext::new(&Environment::new(), Name::parse("main").unwrap()))
}

fn ready() -> Azure {
    made_ready();
    made(&config()).unwrap()
}

/// Makes the container; that it is there is fine.
fn made_ready() {
    let make = async {
        let disk = made(&config()).unwrap();
        let ask = Ask::new(http::Method::PUT, None).query("restype", "container");
        match disk.service.ask(ask).await.unwrap() {
            Err(refusal) if refusal.code != "ContainerAlreadyExists" => panic!("{refusal:?}"),
            _ => {}
        }
    };
    std::thread::spawn(|| {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(make);
    })
    .join()
    .unwrap();
}

fn key(written: &str) -> Key<'_> {
    Key::parse(written).unwrap()
}

fn always(content: &'static [u8]) -> (Bytes, Write) {
    let write = Write { checksum: Some(Checksum::of(content)), ..Write::default() };
    (Bytes::from_static(content), write)
}

#[tokio::test]
async fn an_object_in_parts_has_what_was_said_of_it_and_ends_only_on_its_condition() {
    let (disk, name) = (ready(), unique("parts"));
    let (first, last) = (Bytes::from_static(b"first "), Bytes::from_static(b"last"));
    let (_, mut write) = always(b"first last");
    write.attributes.content_type = Some("text/x-parts".to_owned());
    write.attributes.metadata.insert("owner".to_owned(), "ada".to_owned());
    let part = |number, content: &Bytes| Part { number, size: 6, checksum: Checksum::of(content) };

    let mut versions = Vec::new();
    for condition in [Condition::Absent, Condition::Always] {
        let write = Write { condition, ..write.clone() };
        let upload = disk.begin(key(&name), &write).await.unwrap();
        let second = disk.part(key(&name), &upload, part(1, &last), last.clone()).await.unwrap();
        let one = disk.part(key(&name), &upload, part(0, &first), first.clone()).await.unwrap();
        let stored = disk.complete(key(&name), &upload, &[one, second], &write).await.unwrap();
        let meta = disk.head(key(&name)).await.unwrap();
        assert_eq!((meta.size, stored.size, &meta.version), (10, 10, &stored.version));
        assert_eq!((meta.attributes, meta.checksum), (write.attributes, write.checksum));
        versions.push(stored.version);
    }
    let old = Condition::Version(versions[0].clone());
    for (condition, kind) in
        [(Condition::Absent, ErrorKind::AlreadyExists), (old, ErrorKind::PreconditionFailed)]
    {
        let write = Write { condition, ..write.clone() };
        let upload = disk.begin(key(&name), &write).await.unwrap();
        let tag = disk.part(key(&name), &upload, part(0, &first), first.clone()).await.unwrap();
        let refused = disk.complete(key(&name), &upload, &[tag], &write).await.unwrap_err();
        assert_eq!(refused.kind(), kind);
    }
    let last = Read { range: Some(ByteRange::Last(5)), ..Read::default() };
    let fetched = disk.get(key(&name), &last).await.unwrap().unwrap();
    assert_eq!(
        (fetched.range, &fetched.body.collect(9).await.unwrap()[..]),
        (5..10, &b" last"[..])
    );
    assert!(disk.delete(key(&name), Some(&versions[1])).await.unwrap());
    assert!(!disk.delete(key(&name), None).await.unwrap());
}

#[tokio::test]
async fn of_two_uploads_to_one_key_one_succeeds_and_the_other_is_told_so() {
    let (disk, name) = (ready(), unique("two"));
    let (content, write) = always(b"abc");
    let part = Part { number: 0, size: 3, checksum: Checksum::of(b"abc") };
    let first = disk.begin(key(&name), &write).await.unwrap();
    let second = disk.begin(key(&name), &write).await.unwrap();
    let first_tag = disk.part(key(&name), &first, part, content.clone()).await.unwrap();
    let second_tag = disk.part(key(&name), &second, part, content).await.unwrap();
    disk.complete(key(&name), &first, &[first_tag], &write).await.unwrap();
    let late = disk.complete(key(&name), &second, &[second_tag], &write).await.unwrap_err();
    assert_eq!((late.kind(), late.outcome()), (ErrorKind::Conflict, Outcome::NotApplied));
    disk.delete(key(&name), None).await.unwrap();
}

#[tokio::test]
async fn a_copy_has_all_that_was_said_of_its_source_on_any_condition() {
    let (disk, name) = (ready(), unique("copies"));
    let (from, to) = (format!("{name}/a b+ä"), format!("{name}/copy"));
    let (content, mut write) = always(b"content");
    write.attributes.content_type = Some("text/x-copy".to_owned());
    write.attributes.metadata.insert("owner".to_owned(), "ada".to_owned());
    disk.put(key(&from), content, &write).await.unwrap();
    let stored = disk.copy(key(&from), key(&to), &Condition::Absent).await.unwrap();
    let meta = disk.head(key(&to)).await.unwrap();
    assert_eq!((&meta.version, meta.size), (&stored.version, 7));
    assert_eq!((meta.attributes, meta.checksum), (write.attributes, write.checksum));

    let refused = disk.copy(key(&from), key(&to), &Condition::Absent).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
    let other = Condition::Version(Version::new("0x1"));
    let refused = disk.copy(key(&from), key(&to), &other).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::PreconditionFailed);
    let missing = disk.copy(key("no"), key(&to), &Condition::Always).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    for copied in [&from, &to] {
        disk.delete(key(copied), None).await.unwrap();
    }
}

#[tokio::test]
async fn keys_that_the_service_would_change_are_refused_and_all_others_kept_letter_by_letter() {
    let (disk, name) = (ready(), unique("keys"));
    for changed in ["a\\b", "a.", "a./b", "..."] {
        let (content, write) = always(b"k");
        let error = disk.put(key(changed), content, &write).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{changed}");
    }
    let printable: String = (' '..='~').filter(|c| !matches!(c, '/' | '\\')).collect();
    let mut keys: Vec<String> = [
        "a b", "a+b", "a%2fb", "%2e%2e", "ä", "a\u{308}", "a&b=c", "a?b#c", "🗝", "CON", "..a", "A",
        "a", "a/b", " a ", &printable,
    ]
    .iter()
    .map(|end| format!("{name}/{end}"))
    .collect();
    keys.sort();
    for written in &keys {
        let (content, write) = always(b"k");
        disk.put(key(written), content, &write).await.unwrap();
        assert_eq!(disk.head(key(written)).await.unwrap().size, 1, "{written}");
    }
    let prefix = format!("{name}/");
    let list = List { prefix, is_flat: false, after: None, token: None, limit: 1000 };
    let told: Vec<_> =
        disk.list(&list).await.unwrap().entries.into_iter().map(|entry| entry.key).collect();
    assert_eq!(told, keys);
    let after = List { after: Some(keys[3].clone()), ..list.clone() };
    assert_eq!(disk.list(&after).await.unwrap().entries.len(), keys.len() - 4);
    for written in &keys {
        assert!(disk.delete(key(written), None).await.unwrap(), "{written}");
    }
    assert_eq!(disk.list(&list).await.unwrap().entries, []);
}

#[tokio::test]
async fn what_a_service_refuses_is_told_by_what_it_means() {
    let wrong = AzureConfig { access_key: Some("d3Jvbmc=".into()), ..config() };
    let error = made(&wrong).unwrap().head(key("k")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error:?}");
    let missing = AzureConfig { container: Some(unique("no")), ..config() };
    let missing = made(&missing).unwrap();
    let error = missing.get(key("k"), &Read::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(
        missing.health().await.unwrap(),
        Health::down("there is no such bucket or container")
    );
    assert_eq!(ready().health().await.unwrap(), Health::up());
}

#[tokio::test]
async fn a_signed_address_is_made_for_one_method_and_what_cannot_be_held_to_is_refused() {
    let (disk, name) = (ready(), unique("signed"));
    let sign = |method| Sign {
        method,
        key: name.clone(),
        ttl: Duration::from_mins(1),
        content_type: None,
        content_disposition: None,
        size_max: None,
    };
    let put = disk.sign(&sign(Method::Put)).await.unwrap();
    assert_eq!(put.headers, [("x-ms-blob-type".to_owned(), "BlockBlob".to_owned())]);
    let answer = anonymous("PUT", &put, "signed");
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    let get = disk.sign(&sign(Method::Get)).await.unwrap();
    assert!(anonymous("GET", &get, "").ends_with("\r\n\r\nsigned"));
    assert!(anonymous("DELETE", &get, "").starts_with("HTTP/1.1 403"));
    disk.delete(key(&name), None).await.unwrap();
    let bound = Sign { content_type: Some("text/plain".to_owned()), ..sign(Method::Put) };
    assert_eq!(disk.sign(&bound).await.unwrap_err().kind(), ErrorKind::Unsupported);
}

fn anonymous(method: &str, signed: &Signed, body: &str) -> String {
    let rest = signed.url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_once('/').unwrap();
    let headers: Vec<_> =
        signed.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let (headers, length) = (headers.concat(), body.len());
    let mut stream = TcpStream::connect(host).unwrap();
    write!(
        stream,
        "{method} /{path} HTTP/1.1\r\nHost: {host}\r\n{headers}Content-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn who_asks_is_said_in_one_way_or_it_is_a_mistake() {
    let both = AzureConfig { sas_token: Some("sv=1&sig=x".into()), ..config() };
    let nobody = AzureConfig { access_key: None, ..config() };
    let half = AzureConfig { client_secret: Some("s".into()), ..nobody.clone() };
    let nowhere = AzureConfig { account: None, ..config() };
    let odd = AzureConfig { endpoint: Some("127.0.0.1".to_owned()), ..config() };
    for mistake in [both, nobody, half, nowhere, odd] {
        assert_eq!(made(&mistake).unwrap_err().kind(), ErrorKind::Config, "{mistake:?}");
    }
    let cloud = AzureConfig { endpoint: None, account: Some("me".to_owned()), ..config() };
    let address = made(&cloud).unwrap().service.address;
    assert_eq!(address, "https://me.blob.core.windows.net/switchboard");
}

/// The account that everybody knows, of the server for tests only.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
const CONTAINER: &str = "switchboard";
