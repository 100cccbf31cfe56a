//! What the suite of rules does not ask of a server.

use switchboard_core::{Manager, Outcome, Retry};
use switchboard_testkit::{Direction, Moment, Wire, unique};

use super::*;
use crate::{Body, ByteRange, Disk, Method, WriteId};

#[tokio::test]
async fn a_put_whose_answer_was_lost_is_known_again() {
    make_bucket(server(), BUCKET);
    let wire = Wire::to(server()).await;
    let disk = disk_at(wire.address()).await;

    let trap = wire.cut_when(Direction::ToServer, "if-none-match", Moment::Answered);
    let stored = disk.put("note.txt", "mine").if_absent().await.unwrap();
    trap.sprung().await;
    assert_eq!(disk.head("note.txt").await.unwrap().version, stored.version);

    let trap = wire.cut_when(Direction::ToServer, "if-none-match", Moment::Answered);
    let error = disk.put("note.txt", "late").if_absent().await.unwrap_err();
    trap.sprung().await;
    // What is there may have come after it.
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert_eq!(disk.read("note.txt").await.unwrap(), "mine");
    disk.delete("note.txt").await.unwrap();
}

#[tokio::test]
async fn a_connection_that_breaks_once_is_no_outage_unless_the_policy_says_so() {
    make_bucket(server(), BUCKET);
    let wire = Wire::to(server()).await;
    let disk = disk_at(wire.address()).await;
    disk.put("note.txt", "mine").await.unwrap();
    let trap = wire.cut_when(Direction::ToServer, "HEAD /", Moment::Answered);
    assert_eq!(disk.head("note.txt").await.unwrap().size, 4);
    trap.sprung().await;
    disk.delete("note.txt").await.unwrap();

    let manager = manager();
    let own = settings(wire.address()).with("driver", "s3").with("bucket", BUCKET);
    manager.configure("main", &own.with("policy", Settings::new())).unwrap();
    let disk = manager.get("main").await.unwrap();
    let trap = wire.cut_when(Direction::ToServer, "HEAD /", Moment::Answered);
    let error = disk.head("note.txt").await.unwrap_err();
    trap.sprung().await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_large_body_of_unknown_length_travels_in_parts_and_is_known_again_too() {
    make_bucket(server(), BUCKET);
    let wire = Wire::to(server()).await;
    let disk = disk_at(wire.address()).await;
    let all: Vec<u8> = (0..12_u8).flat_map(|piece| vec![piece; 1 << 20]).collect();
    let body = || {
        let pieces: Vec<_> = all.chunks(1 << 20).map(<[u8]>::to_vec).collect();
        Body::stream(futures_util::stream::iter(pieces.into_iter().map(Ok::<_, std::io::Error>)))
    };
    // What ends an upload is the only list of parts that is sent.
    let trap = wire.cut_when(Direction::ToServer, "</CompleteMultipartUpload>", Moment::Answered);
    let stored = disk.put("large", body()).if_absent().await.unwrap();
    trap.sprung().await;
    let meta = disk.head("large").await.unwrap();
    assert_eq!((meta.version, meta.size), (stored.version, 12 << 20));
    assert_eq!(meta.checksum, Some(Checksum::of(&all)));
    assert_eq!(disk.read("large").await.unwrap(), all);
    let late = disk.put("large", body()).if_absent().await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::AlreadyExists);
    disk.delete("large").await.unwrap();
}

#[tokio::test]
async fn an_object_whose_connection_is_reset_in_the_middle_is_read_to_its_end() {
    make_bucket(server(), BUCKET);
    let wire = Wire::to(server()).await;
    let (over_wire, name) = (at(wire.address()), unique("reset"));
    let content = Bytes::from(vec![7; 4 << 20]);
    let write = Write { checksum: Some(Checksum::of(&content)), ..Write::default() };
    over_wire.put(key(&name), content.clone(), &write).await.unwrap();

    let trap = wire.cut_after_bytes(Direction::ToClient, 1 << 20);
    let fetched = over_wire.get(key(&name), &Read::default()).await.unwrap().unwrap();
    let error = fetched.body.collect(8 << 20).await.unwrap_err();
    trap.sprung().await;
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Later));
    over_wire.delete(key(&name), None).await.unwrap();

    let disk = disk_at(wire.address()).await;
    disk.put("note", content.clone()).await.unwrap();
    let trap = wire.cut_after_bytes(Direction::ToClient, 1 << 20);
    assert_eq!(disk.get("note").await.unwrap().bytes(8 << 20).await.unwrap(), content);
    trap.sprung().await;
    disk.delete("note").await.unwrap();
}

fn manager() -> Manager<Disks> {
    Manager::new(Registry::with_built_ins().unwrap(), &Environment::new()).unwrap()
}

/// A disk of its own, over that address of the server.
async fn disk_at(address: SocketAddr) -> Disk {
    let disks = manager();
    let settings =
        settings(address).with("driver", "s3").with("bucket", BUCKET).with("prefix", unique("own"));
    disks.configure("main", &settings).unwrap();
    disks.get("main").await.unwrap()
}

#[tokio::test]
async fn an_object_in_parts_has_what_was_said_of_it_and_is_the_sum_of_them() {
    let (disk, name) = (ready(), unique("parts"));
    let (first, last) = (Bytes::from(vec![7; 5 << 20]), Bytes::from_static(b"tail"));
    let whole = Checksum::of(&first).and(&last);
    let mut write = Write { write_id: WriteId::parse(&"7".repeat(32)), ..Write::default() };
    write.attributes.content_type = Some("text/x-parts".to_owned());
    write.attributes.metadata.insert("owner".to_owned(), "ada".to_owned());
    let upload = disk.begin(key(&name), &write).await.unwrap();
    assert_eq!(disk.head(key(&name)).await.unwrap_err().kind(), ErrorKind::NotFound);

    let part =
        |number, content: &Bytes| Part { number, size: 5 << 20, checksum: Checksum::of(content) };
    let second = disk.part(key(&name), &upload, part(1, &last), last.clone()).await.unwrap();
    let wrong = Bytes::from(vec![8; 5 << 20]);
    disk.part(key(&name), &upload, part(0, &wrong), wrong.clone()).await.unwrap();
    let first_tag = disk.part(key(&name), &upload, part(0, &first), first.clone()).await.unwrap();
    write.checksum = Some(whole);
    let stored = disk.complete(key(&name), &upload, &[first_tag, second], &write).await.unwrap();

    let meta = disk.head(key(&name)).await.unwrap();
    assert_eq!((stored.size, meta.size), ((5 << 20) + 4, (5 << 20) + 4));
    assert_eq!((&stored.version, meta.checksum), (&meta.version, Some(whole)));
    assert_eq!((meta.attributes, meta.write_id), (write.attributes, write.write_id));
    let last = Read { range: Some(ByteRange::Last(5)), ..Read::default() };
    let fetched = disk.get(key(&name), &last).await.unwrap().unwrap();
    assert_eq!(fetched.range, (5 << 20) - 1..(5 << 20) + 4);
    assert_eq!(fetched.body.collect(9).await.unwrap(), &b"\x07tail"[..]);
    assert!(disk.delete(key(&name), None).await.unwrap());
}

#[tokio::test]
async fn an_upload_ends_only_on_its_condition_and_is_gone_when_given_up() {
    let (disk, name) = (ready(), unique("ends"));
    let (content, write) = always(b"old");
    let old = disk.put(key(&name), content, &write).await.unwrap();
    let (content, write) = always(b"new");
    let part = Part { number: 0, size: 3, checksum: Checksum::of(b"new") };
    for (condition, kind) in [
        (Condition::Absent, ErrorKind::AlreadyExists),
        (Condition::Version(Version::new("\"another\"")), ErrorKind::PreconditionFailed),
    ] {
        let write = Write { condition, ..write.clone() };
        let upload = disk.begin(key(&name), &write).await.unwrap();
        let tag = disk.part(key(&name), &upload, part, content.clone()).await.unwrap();
        let completed = disk.complete(key(&name), &upload, &[tag], &write).await;
        assert_eq!(completed.unwrap_err().kind(), kind);
        disk.abort(key(&name), &upload).await.unwrap();
        disk.abort(key(&name), &upload).await.unwrap();
    }
    assert_eq!(disk.head(key(&name)).await.unwrap().version, old.version);

    let write = Write { condition: Condition::Version(old.version), ..write };
    let upload = disk.begin(key(&name), &write).await.unwrap();
    let tag = disk.part(key(&name), &upload, part, content).await.unwrap();
    let new = disk.complete(key(&name), &upload, &[tag], &write).await.unwrap();
    assert!(disk.delete(key(&name), Some(&new.version)).await.unwrap());
}

#[tokio::test]
async fn uploads_that_nobody_goes_on_with_are_swept() {
    let server = server();
    let bucket = unique("swept");
    let disk = made(&S3Config { bucket: Some(bucket.clone()), ..config(server) }).unwrap();
    make_bucket(server, &bucket);

    disk.begin(key("a"), &Write::default()).await.unwrap();
    disk.begin(key("b/c d"), &Write::default()).await.unwrap();
    // The server says of all uploads that they are some years old.
    assert_eq!(disk.sweep(CENTURY).await.unwrap(), 0);
    assert_eq!(disk.sweep(Duration::ZERO).await.unwrap(), 2);
    assert_eq!(disk.sweep(Duration::ZERO).await.unwrap(), 0);
}

#[tokio::test]
async fn a_copy_has_all_that_was_said_of_its_source_also_where_nothing_was() {
    let (disk, name) = (ready(), unique("copies"));
    let place = |end: &str| format!("{name}/{end}");
    let (from, at_once, created) = (place("a b+c"), place("at once"), place("created"));
    let (content, mut write) = always(b"content");
    write.attributes.content_type = Some("text/x-copy".to_owned());
    write.attributes.metadata.insert("owner".to_owned(), "ada".to_owned());
    write.write_id = WriteId::parse(&"7".repeat(32));
    disk.put(key(&from), content, &write).await.unwrap();

    disk.copy(key(&from), key(&at_once), &Condition::Always).await.unwrap();
    let stored = disk.copy(key(&from), key(&created), &Condition::Absent).await.unwrap();
    for copied in [&at_once, &created] {
        let meta = disk.head(key(copied)).await.unwrap();
        assert_eq!((&meta.attributes, meta.size), (&write.attributes, 7), "{copied}");
        assert_eq!(meta.checksum, write.checksum, "{copied}");
        assert_eq!(meta.write_id, None, "the mark is that of another write");
    }
    assert_eq!(disk.head(key(&created)).await.unwrap().version, stored.version);
    let there = disk.copy(key(&from), key(&created), &Condition::Absent).await.unwrap_err();
    assert_eq!(there.kind(), ErrorKind::AlreadyExists);
    let missing = disk.copy(key("no"), key(&created), &Condition::Always).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    let replaced = Condition::Version(stored.version);
    disk.copy(key(&from), key(&created), &replaced).await.unwrap();
    let deleted = disk.delete_many(&[key(&from), key(&at_once), key(&created)]).await.unwrap();
    assert_eq!(deleted.len(), 3);
    assert_eq!(disk.list(&whole(&name)).await.unwrap().entries, []);
}

#[tokio::test]
async fn what_other_tools_say_of_an_object_is_carried_to_another_disk() {
    let name = unique("theirs");
    let said = [("x-amz-meta-foo-bar", "1"), ("x-amz-meta-7.th", "x"), ("x-amz-meta-empty", "")];
    foreign(http::Method::PUT, &name, &said).await;
    let disks = manager();
    disks
        .configure("theirs", &settings(server()).with("driver", "s3").with("bucket", BUCKET))
        .unwrap();
    disks.configure("ours", &Settings::new().with("driver", "memory")).unwrap();
    let (theirs, ours) = (disks.get("theirs").await.unwrap(), disks.get("ours").await.unwrap());
    theirs.copy_to(&name, &ours, "copy").await.unwrap();
    ours.copy_to("copy", &theirs, &format!("{name}/back")).await.unwrap();
    let there = theirs.head(&format!("{name}/back")).await.unwrap().attributes.metadata;
    let expected = [("7.th", "x"), ("empty", ""), ("foo-bar", "1")];
    assert_eq!(there, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    for key in [name.clone(), format!("{name}/back")] {
        theirs.delete(&key).await.unwrap();
    }
}

#[tokio::test]
async fn a_signed_address_is_good_for_those_without_credentials() {
    let (disk, name) = (ready(), unique("signed ä+"));
    let sign = |method, content_type: Option<&str>| Sign {
        method,
        key: name.clone(),
        ttl: Duration::from_mins(1),
        content_type: content_type.map(str::to_owned),
        content_disposition: None,
        size_max: None,
    };
    let put = disk.sign(&sign(Method::Put, Some("text/x-signed"))).await.unwrap();
    assert_eq!(put.headers, [("content-type".to_owned(), "text/x-signed".to_owned())]);
    assert!(anonymous("PUT", &put, "signed").starts_with("HTTP/1.1 200"));
    let get = disk.sign(&sign(Method::Get, None)).await.unwrap();
    assert!(anonymous("GET", &get, "").ends_with("\r\n\r\nsigned"));
    let delete = disk.sign(&sign(Method::Delete, None)).await.unwrap();
    assert!(anonymous("DELETE", &delete, "").starts_with("HTTP/1.1 204"));

    let forever = Sign { ttl: Duration::from_hours(24 * 8), ..sign(Method::Get, None) };
    assert_eq!(disk.sign(&forever).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    let small = Sign { size_max: Some(9), ..sign(Method::Put, None) };
    assert_eq!(disk.sign(&small).await.unwrap_err().kind(), ErrorKind::Unsupported);
}

fn anonymous(method: &str, signed: &Signed, body: &str) -> String {
    let rest = signed.url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_once('/').unwrap();
    let headers: Vec<_> =
        signed.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let headers = headers.concat();
    let length = body.len();
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

#[tokio::test]
async fn keys_are_stored_and_told_letter_by_letter() {
    let (disk, name) = (ready(), unique("keys"));
    let printable: String = (' '..='~').filter(|c| *c != '/').collect();
    let long = "x".repeat(1024 - name.len() - 1);
    let mut keys: Vec<String> = [
        " a ",
        "a b",
        "a+b",
        "a%2fb",
        "%2e%2e",
        "ä",
        "a\u{308}",
        "a&b=c",
        "a?b#c",
        "a\\b",
        "\"q\"<>",
        "🗝",
        "a.",
        "CON",
        "..a",
        "a/...",
        "A",
        "a",
        "a/b",
        "\u{202e}x",
        &printable,
        &long,
    ]
    .iter()
    .map(|end| format!("{name}/{end}"))
    .collect();
    for written in &keys {
        let (content, write) = always(b"k");
        disk.put(key(written), content, &write).await.unwrap();
        assert_eq!(disk.head(key(written)).await.unwrap().size, 1, "{written}");
    }
    keys.sort();
    let prefix = format!("{name}/");
    let listed: Vec<_> = disk.list(&whole(&prefix)).await.unwrap().entries;
    assert_eq!(
        listed.iter().map(|entry| &entry.key).collect::<Vec<_>>(),
        keys.iter().collect::<Vec<_>>()
    );
    let keys: Vec<_> = keys.iter().map(|written| key(written)).collect();
    assert!(disk.delete_many(&keys).await.unwrap().iter().all(Result::is_ok));
    assert_eq!(disk.list(&whole(&prefix)).await.unwrap().entries, []);
}

#[tokio::test]
async fn health_tells_a_bucket_that_is_there_from_one_that_is_not() {
    assert_eq!(ready().health().await.unwrap(), Health::up());
    let missing = S3Config { bucket: Some(unique("no")), ..config(server()) };
    let health = made(&missing).unwrap().health().await.unwrap();
    assert_eq!(health, Health::down("there is no such bucket or container"));
}

#[tokio::test]
async fn what_stays_because_no_disk_can_name_it_is_told() {
    let name = unique("foreign");
    for key in ["a//b", "folder/", "a"] {
        foreign(http::Method::PUT, &format!("{name}/{key}"), &[]).await;
    }
    let disks = manager();
    let own = settings(server()).with("driver", "s3").with("bucket", BUCKET).with("prefix", &*name);
    disks.configure("main", &own).unwrap();
    let disk = disks.get("main").await.unwrap();
    let page = disk.list("").page(None).await.unwrap();
    assert_eq!((page.entries.len(), page.skipped), (1, 2));
    assert_eq!(disk.list("").flat().page(None).await.unwrap().skipped, 0, "`a/` and `folder/`");
    let deleted = disk.delete_all("").everything().await.unwrap();
    assert_eq!((deleted.objects, deleted.skipped), (1, 2));
    for key in ["a//b", "folder/"] {
        foreign(http::Method::DELETE, &format!("{name}/{key}"), &[]).await;
    }
}

#[tokio::test]
async fn nothing_is_said_of_objects_where_there_is_no_bucket() {
    let missing = made(&S3Config { bucket: Some(unique("no")), ..config(server()) }).unwrap();
    assert_eq!(missing.head(key("k")).await.unwrap_err().kind(), ErrorKind::Config);
    let missing = missing.get(key("k"), &Read::default()).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Config);
    assert_eq!(ready().head(key("nothing")).await.unwrap_err().kind(), ErrorKind::NotFound);
}

const CENTURY: Duration = Duration::from_hours(24 * 365 * 100);
