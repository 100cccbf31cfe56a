//! Objects as they are stored and deleted over HTTP.

use switchboard_core::Settings;
use tokio::io::AsyncWriteExt as _;

use super::{Handler, MINUTE, Site, answer};

#[tokio::test]
async fn what_is_sent_is_stored_as_it_is() {
    let site = Site::new().await;
    let signed = site.put("note").await;
    let stored = site.follow(&signed, &[("content-type", "text/x-note")], b"one").await;
    assert_eq!(stored.status, 204);
    assert_eq!(site.disk.read("note").await.unwrap(), "one");
    let meta = site.disk.head("note").await.unwrap();
    assert_eq!(meta.attributes.content_type.as_deref(), Some("text/x-note"));
    let read = site.follow(&site.get("note").await, &[], b"").await;
    assert_eq!(stored.header("etag"), read.header("etag"));

    let chunks = site.begin("PUT", site.target(&signed), &[("transfer-encoding", "chunked")]);
    let mut chunks = chunks.await;
    chunks.write_all(b"2\r\ntw\r\n1\r\no\r\n0\r\n\r\n").await.unwrap();
    assert_eq!(answer(chunks).await.status, 204);
    assert_eq!(site.disk.read("note").await.unwrap(), "two");
}

#[tokio::test]
async fn no_other_kind_of_content_is_stored_than_was_signed() {
    let site = Site::new().await;
    let signed = site.disk.sign("photo").put(MINUTE).content_type("image/png").await.unwrap();
    let target = site.target(&signed);
    for headers in
        [&[][..], &[("content-type", "text/html")], &[("content-type", "image/png; a=b")]]
    {
        assert_eq!(site.ask("PUT", target, headers, b"png").await.status, 403, "{headers:?}");
    }
    assert!(!site.disk.exists("photo").await.unwrap());
    assert_eq!(site.follow(&signed, &[], b"png").await.status, 204);
}

#[tokio::test]
async fn no_more_is_stored_than_was_signed() {
    let site = Site::with(Settings::new(), |disk| Handler::new(disk).size_max(20)).await;
    site.disk.put("note", "before").await.unwrap();
    let ten = site.disk.sign("note").put(MINUTE).size_max(10).await.unwrap();
    let any = site.put("note").await;
    let more = site.disk.sign("note").put(MINUTE).size_max(1000).await.unwrap();
    for (signed, limit) in [(&ten, 10), (&any, 20), (&more, 20)] {
        assert_eq!(site.follow(signed, &[], &vec![b'x'; limit + 1]).await.status, 413);
        let headers = [("transfer-encoding", "chunked")];
        let mut chunks = site.begin("PUT", site.target(signed), &headers).await;
        let chunk = "x".repeat(limit);
        let sent = format!("{limit:x}\r\n{chunk}\r\n1\r\nx\r\n0\r\n\r\n");
        chunks.write_all(sent.as_bytes()).await.unwrap();
        assert_eq!(answer(chunks).await.status, 413);
        assert_eq!(site.disk.read("note").await.unwrap(), "before");
    }
    assert_eq!(site.follow(&ten, &[], &[b'x'; 10]).await.status, 204);
    assert_eq!(site.disk.read("note").await.unwrap(), "xxxxxxxxxx");
}

#[tokio::test]
async fn what_is_not_sent_to_its_end_is_not_stored() {
    let site = Site::new().await;
    site.disk.put("note", "before").await.unwrap();
    let signed = site.put("note").await;
    for (headers, sent) in [
        (("content-length", "10"), &b"12345"[..]),
        (("transfer-encoding", "chunked"), b"5\r\n12345\r\n"),
        (("transfer-encoding", "chunked"), b"5\r\n12345\r\nno chunk\r\n"),
    ] {
        let mut socket = site.begin("PUT", site.target(&signed), &[headers]).await;
        socket.write_all(sent).await.unwrap();
        socket.shutdown().await.unwrap();
        assert_eq!(answer(socket).await.status, 400, "{headers:?}");
        assert_eq!(site.disk.read("note").await.unwrap(), "before");
    }
}

#[tokio::test]
async fn writing_on_a_condition_happens_only_if_it_holds() {
    let site = Site::new().await;
    let put = site.put("note").await;
    let old = ("if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT");
    let none = ("if-none-match", "*");
    for (missing, status) in [(("if-match", "*"), 412), (old, 412), (none, 204), (none, 412)] {
        assert_eq!(site.follow(&put, &[missing], b"one").await.status, status, "{missing:?}");
    }
    let tag =
        site.follow(&site.get("note").await, &[], b"").await.header("etag").unwrap().to_owned();
    for (headers, status) in [
        (&[("if-match", "\"another\"")][..], 412),
        (&[old], 412),
        (&[("if-none-match", "\"another\"")], 400),
        (&[none, ("if-match", "*")], 400),
        (&[("content-range", "bytes 0-1/2")], 400),
        (&[("content-encoding", "gzip")], 415),
    ] {
        assert_eq!(site.follow(&put, headers, b"no").await.status, status, "{headers:?}");
        assert_eq!(site.disk.read("note").await.unwrap(), "one");
    }
    assert_eq!(site.follow(&put, &[("if-match", &tag)], b"two").await.status, 204);
    assert_eq!(site.follow(&put, &[("if-match", &tag)], b"three").await.status, 412);
    assert_eq!(site.disk.read("note").await.unwrap(), "two");

    let delete = site.disk.sign("note").delete(MINUTE).await.unwrap();
    for (condition, status) in [(("if-match", &*tag), 412), (none, 400)] {
        assert_eq!(site.follow(&delete, &[condition], b"").await.status, status, "{condition:?}");
    }
    assert_eq!(site.follow(&delete, &[("if-match", "*")], b"").await.status, 204);
    assert!(!site.disk.exists("note").await.unwrap());
}

#[tokio::test]
async fn what_is_gone_can_be_deleted_again() {
    let site = Site::new().await;
    site.disk.put("note", "one").await.unwrap();
    let delete = site.disk.sign("note").delete(MINUTE).await.unwrap();
    for _ in 0..2 {
        assert_eq!(site.follow(&delete, &[], b"").await.status, 204);
        assert!(!site.disk.exists("note").await.unwrap());
    }
}

#[tokio::test]
async fn a_handle_for_reading_signs_and_does_nothing_else() {
    let site = Site::with(Settings::new(), |disk| Handler::new(disk.read_only())).await;
    let put = site.put("note").await;
    assert_eq!(site.follow(&put, &[], b"one").await.status, 403);
    let reading = site.disk.read_only();
    assert!(reading.sign("note").put(MINUTE).await.is_err());
    assert!(reading.sign("note").delete(MINUTE).await.is_err());
    reading.sign("note").get(MINUTE).await.unwrap();
}
