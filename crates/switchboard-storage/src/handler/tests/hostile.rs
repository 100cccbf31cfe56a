//! Those who mean harm, and keys that only look as if they did.

use std::time::Duration;

use switchboard_core::Settings;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Handler, MINUTE, Site, answer};
use crate::Key;

#[tokio::test]
async fn no_way_of_writing_a_path_leads_out_of_the_disk() {
    check_paths(&Site::new().await).await;
}

#[tokio::test]
async fn every_key_can_be_stored_read_and_deleted_by_its_address() {
    check_keys(&Site::new().await).await;
}

#[cfg(feature = "local")]
#[tokio::test]
async fn no_way_of_writing_a_path_leads_out_of_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("a")).unwrap();
    std::fs::write(folder.path().join("secret"), "outside").unwrap();
    check_paths(&Site::with(beneath(&folder), Handler::new).await).await;
    assert_eq!(std::fs::read(folder.path().join("secret")).unwrap(), b"outside");
    let beside = std::fs::read_dir(folder.path()).unwrap();
    assert_eq!(beside.count(), 3, "nothing came to `root`, `a` and `secret`");
}

#[cfg(feature = "local")]
#[tokio::test]
async fn every_key_is_a_file_that_its_address_leads_to() {
    let folder = tempfile::tempdir().unwrap();
    check_keys(&Site::with(beneath(&folder), Handler::new).await).await;
}

#[cfg(feature = "local")]
fn beneath(folder: &tempfile::TempDir) -> Settings {
    let root = folder.path().join("root");
    Settings::new().with("driver", "local").with("root", root.to_str().unwrap())
}

async fn check_paths(site: &Site) {
    site.disk.put("a/secret", "…").await.unwrap();
    let signed = site.get("a/note").await;
    let (_, query) = signed.url.split_once('?').unwrap();
    for path in [
        "/files/../a/secret",
        "/files/a/../a/secret",
        "/files/a/%2e%2e/a/secret",
        "/files/a/%2E%2E%2Fa%2Fsecret",
        "/files/a/..%2fa/secret",
        "/files/a/..%5ca%5csecret",
        "/files/a/..\\secret",
        "/files/a%2fsecret",
        "/files/a%252fsecret",
        "/files/a/%252e%252e/secret",
        "/files/a/%c0%ae%c0%ae/secret",
        "/files/a/%u002e%u002e/secret",
        "/files//a/secret",
        "/files/%2Fa/secret",
        "/files/%2Fetc%2Fpasswd",
        "/files/a/secret%00",
        "/files/a/secret%0d%0aset-cookie:%20a",
        "/files/a/note/../secret",
        "/files/./a/note",
        "/files/a/note%",
        "/files/a/note%2",
        "/files/a/note%zz",
        "/files/\u{e4}",
        "/files/",
        "/files/%ff",
    ] {
        for method in ["GET", "HEAD", "PUT", "DELETE"] {
            let target = format!("{path}?{query}");
            let answer = site.ask(method, &target, &[], b"").await;
            // What is no address at all is refused by the server.
            assert!(matches!(answer.status, 400 | 403), "{method} {path}: {}", answer.head);
            assert_eq!(answer.header("set-cookie"), None);
        }
    }
    assert_eq!(site.disk.read("a/secret").await.unwrap(), "…");
}

async fn check_keys(site: &Site) {
    let printable = (' '..='~').filter(|letter| !matches!(letter, '.' | '/')).map(String::from);
    // No segment is longer than names of files are.
    let mut longest = vec!["é".repeat(100); 5].join("/");
    longest.push_str(&"x".repeat(Key::LENGTH_MAX - longest.len()));
    let others = [
        "a/b",
        "...",
        "..a",
        "a/.../b",
        "%2e%2e/b",
        "%2F",
        "%",
        "%25",
        "%zz",
        "a?b=c&d",
        "a#b",
        "a+b c",
        "ä",
        "a\u{308}",
        "🗝/🗝",
        "\u{202e}",
        "C:\\x",
        "method=GET",
        "a;b",
        "~",
        "files/a",
        &longest,
    ];
    for key in printable.chain(others.iter().copied().map(str::to_owned)) {
        let content = key.as_bytes();
        assert_eq!(site.follow(&site.put(&key).await, &[], content).await.status, 204, "{key:?}");
        assert_eq!(site.disk.read(&key).await.unwrap(), content);
        assert_eq!(site.follow(&site.get(&key).await, &[], b"").await.body, content, "{key:?}");
        let delete = site.disk.sign(&key).delete(MINUTE).await.unwrap();
        assert_eq!(site.follow(&delete, &[], b"").await.status, 204, "{key:?}");
        assert!(!site.disk.exists(&key).await.unwrap(), "{key:?}");
    }
}

#[tokio::test]
async fn nothing_is_read_of_a_body_that_will_not_be_stored() {
    let site = Site::new().await;
    let signed = site.disk.sign("note").put(MINUTE).size_max(10).await.unwrap();
    let get = site.get("note").await;
    let tebibyte = ("content-length", "1099511627776");
    let target = site.target(&signed);
    let (path, _) = target.split_once('?').unwrap();
    for (target, headers, status) in [
        (target, &[tebibyte, ("expect", "100-continue")][..], 413),
        (path, &[tebibyte, ("expect", "100-continue")], 403),
        (site.target(&get), &[tebibyte], 403),
        (path, &[("transfer-encoding", "chunked")], 403),
    ] {
        let socket = site.begin("PUT", target, headers).await;
        let answer = answer(socket).await;
        assert_eq!(answer.status, status, "{headers:?}");
    }
}

#[tokio::test]
async fn a_flood_of_uploads_is_held_back() {
    let site = Site::with(Settings::new(), |disk| Handler::new(disk).uploads_at_once(1)).await;
    let signed = site.put("note").await;
    let headers = [("content-length", "3"), ("expect", "100-continue")];
    let mut first = site.begin("PUT", site.target(&signed), &headers).await;
    let mut told = [0; 25];
    first.read_exact(&mut told).await.unwrap();
    assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");

    for _ in 0..20 {
        let refused = site.follow(&signed, &[], b"two").await;
        assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    }
    assert_eq!(site.follow(&site.get("note").await, &[], b"").await.status, 404);

    first.write_all(b"one").await.unwrap();
    assert_eq!(answer(first).await.status, 204);
    assert_eq!(site.follow(&signed, &[], b"two").await.status, 204);
    assert_eq!(site.disk.read("note").await.unwrap(), "two");
}

#[tokio::test]
async fn an_upload_that_is_left_makes_room_for_the_next() {
    let site = Site::with(Settings::new(), |disk| Handler::new(disk).uploads_at_once(1)).await;
    let signed = site.put("note").await;
    let headers = [("content-length", "3"), ("expect", "100-continue")];
    let mut first = site.begin("PUT", site.target(&signed), &headers).await;
    first.read_exact(&mut [0; 25]).await.unwrap();
    drop(first);
    // When the server notices is its affair.
    while site.follow(&signed, &[], b"two").await.status == 503 {
        tokio::task::yield_now().await;
    }
    assert_eq!(site.disk.read("note").await.unwrap(), "two");
}

#[tokio::test]
async fn a_sender_that_stops_is_not_waited_for() {
    let handler = |disk| Handler::new(disk).idle_max(Duration::from_millis(10));
    let site = Site::with(Settings::new(), handler).await;
    let signed = site.put("note").await;
    let mut socket = site.begin("PUT", site.target(&signed), &[("content-length", "3")]).await;
    socket.write_all(b"on").await.unwrap();
    assert_eq!(answer(socket).await.status, 400);
    assert!(!site.disk.exists("note").await.unwrap());
}
