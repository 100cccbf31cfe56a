//! What is sent together with what it adds up to.

use tokio::io::AsyncWriteExt as _;

use super::{Site, answer};

/// Of `one`: each as it is said.
const RIGHT: &[(&str, &str)] = &[
    ("content-md5", "+XxdKZQb+xsv2rCHSQargg=="),
    ("x-amz-checksum-crc32c", "KpSy6Q=="),
    ("x-amz-checksum-sha256", "dpLDrTVAu4A8Ags67mbNiIcSMjTqDG5xQ8Ct1z/0Me0="),
    ("x-amz-content-sha256", "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"),
    ("repr-digest", "sha-256=:dpLDrTVAu4A8Ags67mbNiIcSMjTqDG5xQ8Ct1z/0Me0=:"),
    (
        "content-digest",
        "id-sha-256=:eA==:, sha-512=:BfcDQQeKz2oG1CPSFyD5ZD1flTYm2IoCY23DqeeVgq6wyCCFf9P43FAqqDYNLI+pephf2ltim4CcrRj/ti04mQ==:",
    ),
    ("digest", "SHA-256=dpLDrTVAu4A8Ags67mbNiIcSMjTqDG5xQ8Ct1z/0Me0="),
    ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
];

#[tokio::test]
async fn bytes_that_add_up_to_what_was_said_are_stored() {
    let site = Site::new().await;
    let signed = site.put("note").await;
    for header in RIGHT {
        let stored = site.follow(&signed, &[*header], b"one").await;
        assert_eq!(stored.status, 204, "{header:?}");
        assert_eq!(site.disk.read("note").await.unwrap(), "one");
        site.disk.delete("note").await.unwrap();
    }
}

#[tokio::test]
async fn bytes_that_do_not_are_refused_whether_their_length_is_known_or_not() {
    let site = Site::new().await;
    site.disk.put("note", "before").await.unwrap();
    let signed = site.put("note").await;
    for (name, value) in RIGHT.iter().filter(|(_, value)| *value != "UNSIGNED-PAYLOAD") {
        assert_eq!(site.follow(&signed, &[(*name, *value)], b"two").await.status, 400, "{name}");
        assert_eq!(site.follow(&signed, &[(*name, *value)], b"").await.status, 400, "{name}");
        let headers = [("transfer-encoding", "chunked"), (*name, *value)];
        let mut chunks = site.begin("PUT", site.target(&signed), &headers).await;
        chunks.write_all(b"2\r\ntw\r\n1\r\no\r\n0\r\n\r\n").await.unwrap();
        assert_eq!(answer(chunks).await.status, 400, "{name}");
        assert_eq!(site.disk.read("note").await.unwrap(), "before");
    }
}

#[tokio::test]
async fn sums_that_cannot_be_compared_are_refused_and_not_passed_over() {
    let site = Site::new().await;
    let signed = site.put("note").await;
    let many = ["sha-256=:dpLDrTVAu4A8Ags67mbNiIcSMjTqDG5xQ8Ct1z/0Me0=:"; 5].join(", ");
    for (name, value, status) in [
        ("content-md5", "no sum", 400),
        ("content-md5", "eA==", 400),
        ("x-amz-content-sha256", "0a", 400),
        ("repr-digest", "sha-256=eA==", 400),
        ("repr-digest", "sha-256", 400),
        ("repr-digest", &many, 400),
        ("repr-digest", "id-sha-256=:eA==:", 501),
        ("x-amz-checksum-crc64nvme", "eA==", 501),
        ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", 501),
        ("x-amz-trailer", "x-amz-checksum-crc32c", 501),
    ] {
        let refused = site.follow(&signed, &[(name, value)], b"one").await;
        assert_eq!(refused.status, status, "{name}: {value}");
        assert!(!site.disk.exists("note").await.unwrap(), "{name}: {value}");
    }
}
