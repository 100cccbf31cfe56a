//! Objects as they are read over HTTP.

use bytes::Bytes;
use switchboard_core::{ErrorKind, Settings};
use switchboard_testkit::{inject, outage};
use tokio::io::AsyncReadExt as _;

use super::{Handler, MINUTE, Site};
use crate::driver::Write;
use crate::{Attributes, Body, Checksum, Key};

#[tokio::test]
async fn an_object_comes_with_all_that_is_said_of_it() {
    let site = Site::new().await;
    let attributes = Attributes {
        content_type: Some("text/plain; charset=utf-8".to_owned()),
        cache_control: Some("max-age=60".to_owned()),
        content_disposition: Some("inline".to_owned()),
        content_encoding: Some("identity".to_owned()),
        content_language: Some("de-CH".to_owned()),
        ..Attributes::default()
    };
    site.disk.put("note", "Grüezi").attributes(attributes).await.unwrap();
    let head = site.disk.sign("note").head(MINUTE).await.unwrap();
    for (signed, body) in [(site.get("note").await, "Grüezi"), (head, "")] {
        let answer = site.follow(&signed, &[], b"").await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body, body.as_bytes());
        for (name, value) in [
            ("content-type", "text/plain; charset=utf-8"),
            ("content-length", "7"),
            ("cache-control", "max-age=60"),
            ("content-disposition", "inline"),
            ("content-encoding", "identity"),
            ("content-language", "de-CH"),
            ("accept-ranges", "bytes"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{name}");
        }
        assert!(answer.header("etag").is_some() && answer.header("last-modified").is_some());
    }
}

#[tokio::test]
async fn a_part_is_what_was_asked_for_and_no_more() {
    let site = Site::new().await;
    site.disk.put("digits", "0123456789").await.unwrap();
    let signed = site.get("digits").await;
    let tag = site.follow(&signed, &[], b"").await.header("etag").unwrap().to_owned();
    for (headers, status, body, range) in [
        (&[("range", "bytes=2-4")][..], 206, "234", Some("bytes 2-4/10")),
        (&[("range", "bytes=0-")], 206, "0123456789", Some("bytes 0-9/10")),
        (&[("range", "bytes=-2")], 206, "89", Some("bytes 8-9/10")),
        (&[("range", "bytes=8-99")], 206, "89", Some("bytes 8-9/10")),
        (&[("range", "bytes=10-")], 416, "Range Not Satisfiable", Some("bytes */10")),
        (&[("range", "bytes=1-2,4-5")], 200, "0123456789", None),
        (&[("range", "bytes=2-4"), ("if-range", &tag)], 206, "234", Some("bytes 2-4/10")),
        (&[("range", "bytes=2-4"), ("if-range", "\"another\"")], 200, "0123456789", None),
    ] {
        let answer = site.follow(&signed, headers, b"").await;
        assert_eq!(answer.status, status, "{headers:?}");
        assert_eq!(answer.body, body.as_bytes(), "{headers:?}");
        assert_eq!(answer.header("content-range"), range, "{headers:?}");
        assert_eq!(answer.header("content-length"), Some(&*body.len().to_string()), "{headers:?}");
    }
}

#[tokio::test]
async fn what_a_client_has_is_not_sent_again() {
    let site = Site::new().await;
    site.disk.put("note", "one").await.unwrap();
    let head = site.disk.sign("note").head(MINUTE).await.unwrap();
    let signed = site.get("note").await;
    let first = site.follow(&signed, &[], b"").await;
    let (tag, moment) = (first.header("etag").unwrap(), first.header("last-modified").unwrap());
    for signed in [&signed, &head] {
        for (name, value, status) in [
            ("if-none-match", tag, 304),
            ("if-none-match", "\"another\"", 200),
            ("if-modified-since", moment, 304),
            ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT", 200),
            ("if-match", tag, 200),
            ("if-match", "\"another\"", 412),
            ("if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT", 412),
        ] {
            let answer = site.follow(signed, &[(name, value)], b"").await;
            assert_eq!(answer.status, status, "{name}: {value}");
            if status == 304 {
                assert_eq!(answer.header("etag"), Some(tag));
                assert!(answer.body.is_empty());
            }
        }
    }
    site.disk.put("note", "two").await.unwrap();
    assert_eq!(site.follow(&signed, &[("if-none-match", tag)], b"").await.body, b"two");
}

#[tokio::test]
async fn an_object_is_offered_as_was_signed() {
    let site = Site::new().await;
    site.disk.put("7", "…").await.unwrap();
    let name = "März\"; x=\r\nset-cookie: a";
    let signed = site.disk.sign("7").get(MINUTE).attachment(name).await.unwrap();
    let answer = site.follow(&signed, &[], b"").await;
    let disposition = answer.header("content-disposition").unwrap();
    assert!(disposition.starts_with("attachment; filename=\"M_rz_; x=__set-cookie: a\";"));
    assert_eq!(answer.header("set-cookie"), None);
    assert_eq!(answer.header("cache-control"), Some("private"));
}

#[tokio::test]
async fn a_page_that_anybody_may_have_stored_does_not_act_for_the_application() {
    let site = Site::new().await;
    for (content_type, policy) in [
        ("Text/HTML; charset=utf-8", Some("sandbox")),
        ("image/svg+xml", Some("sandbox")),
        ("application/xml", Some("sandbox")),
        ("image/png", None),
    ] {
        site.disk.put("page", "…").content_type(content_type).await.unwrap();
        let answer = site.follow(&site.get("page").await, &[], b"").await;
        assert_eq!(answer.header("content-security-policy"), policy, "{content_type}");
    }
}

#[tokio::test]
async fn a_large_object_comes_and_goes_in_pieces() {
    let site = Site::with(Settings::new().with("part_size", "64KiB"), Handler::new).await;
    let content: Vec<u8> = (0..3_000_000_u32).map(|at| at.to_le_bytes()[at as usize % 3]).collect();
    let answer = site.follow(&site.put("large").await, &[], &content).await;
    assert_eq!(answer.status, 204);
    let answer = site.follow(&site.get("large").await, &[], b"").await;
    assert!(answer.body == content);
}

#[tokio::test]
async fn nothing_and_an_empty_object_are_told_apart() {
    let site = Site::new().await;
    site.disk.put("empty", Body::empty()).await.unwrap();
    let answer = site.follow(&site.get("empty").await, &[], b"").await;
    assert_eq!((answer.status, answer.header("content-length")), (200, Some("0")));
    let answer = site.follow(&site.get("missing").await, &[], b"").await;
    assert_eq!((answer.status, &*answer.body), (404, &b"Not Found"[..]));
    let head = site.disk.sign("missing").head(MINUTE).await.unwrap();
    assert_eq!(site.follow(&head, &[], b"").await.status, 404);
}

#[tokio::test]
async fn an_object_that_is_not_what_was_stored_never_seems_to_be_whole() {
    let site = Site::new().await;
    let write = Write { checksum: Some(Checksum::of(b"before")), ..Write::default() };
    site.disk.put("note", "before").await.unwrap();
    let store = site.disk.line().hold().unwrap();
    let key = Key::parse("note").unwrap();
    store.driver().put(key, Bytes::from_static(b"beford"), &write).await.unwrap();

    let mut socket = site.begin("GET", site.target(&site.get("note").await), &[]).await;
    let mut all = String::new();
    // How the connection ends does not matter here.
    let _ = socket.read_to_string(&mut all).await;
    assert!(!all.contains("beford"), "{all}");
}

#[tokio::test]
async fn a_service_that_is_down_is_told_apart_from_what_is_not_there() {
    let site = Site::new().await;
    let signed = site.get("note").await;
    let outage = inject(site.disk.line(), outage(ErrorKind::Unavailable)).unwrap();
    assert_eq!(site.follow(&signed, &[], b"").await.status, 503);
    let asked = outage.injected();
    assert!(asked > 0);
    // Whoever asks without a signature is refused as ever, and no service is asked.
    for target in ["/files/note", &format!("{}0", site.target(&signed))] {
        assert_eq!(site.ask("GET", target, &[], b"").await.status, 403);
    }
    assert_eq!(outage.injected(), asked);
}

#[tokio::test]
async fn a_group_of_disks_is_served_like_one() {
    let site = Site::of("both", Settings::new(), Handler::new).await;
    site.disk.put("note", "one").await.unwrap();
    let signed = site.get("note").await;
    assert_eq!(site.follow(&signed, &[], b"").await.body, b"one");
    let changed = format!("{}0", site.target(&signed));
    assert_eq!(site.ask("GET", &changed, &[], b"").await.status, 403);
}
