//! What becomes of answers that a server gives when something is wrong, or odd.

use switchboard_core::settings::ByteSize;
use switchboard_core::{Outcome, Retry};

use super::*;

#[test]
fn what_a_server_says_becomes_the_error_that_it_means() {
    let never = Retry::Never;
    let later = Retry::Later;
    let table = [
        (written("404 Not Found", HTML, PAGE), ErrorKind::NotFound, never),
        (written("410 Gone", HTML, PAGE), ErrorKind::NotFound, never),
        (written("401 Unauthorized", HTML, PAGE), ErrorKind::Unauthenticated, never),
        (written("403 Forbidden", HTML, PAGE), ErrorKind::PermissionDenied, never),
        (written("400 Bad Request", HTML, PAGE), ErrorKind::InvalidInput, never),
        (written("414 URI Too Long", "", ""), ErrorKind::InvalidInput, never),
        (written("416 Range Not Satisfiable", "", ""), ErrorKind::InvalidInput, never),
        (written("412 Precondition Failed", "", ""), ErrorKind::PreconditionFailed, never),
        (written("405 Method Not Allowed", "", ""), ErrorKind::Unsupported, never),
        (written("501 Not Implemented", "", ""), ErrorKind::Unsupported, never),
        (written("204 No Content", "", ""), ErrorKind::Unexpected, never),
        (
            written("206 Partial Content", "Content-Range: bytes 0-2/9\r\n", "abc"),
            ErrorKind::Unexpected,
            never,
        ),
        (written("304 Not Modified", "", ""), ErrorKind::Unavailable, later),
        (written("407 Proxy Authentication Required", HTML, PAGE), ErrorKind::Unavailable, later),
        (written("408 Request Timeout", "", ""), ErrorKind::Timeout, later),
        (written("429 Too Many Requests", "", ""), ErrorKind::RateLimited, later),
        (
            written("429 Too Many Requests", "Retry-After: 7\r\n", ""),
            ErrorKind::RateLimited,
            Retry::After(std::time::Duration::from_secs(7)),
        ),
        (
            written("503 Service Unavailable", "Retry-After: 9\r\n", PAGE),
            ErrorKind::Unavailable,
            Retry::After(std::time::Duration::from_secs(9)),
        ),
        (written("500 Internal Server Error", HTML, PAGE), ErrorKind::Unavailable, later),
        (written("502 Bad Gateway", HTML, PAGE), ErrorKind::Unavailable, later),
        (written("302 Found", "", ""), ErrorKind::Unavailable, later),
    ];
    beside(async {
        for (answer, kind, retry) in table {
            let (server, asked) = answering(&answer).await;
            let error = at(server).get(key("k"), &Read::default()).await.unwrap_err();
            assert_eq!((error.kind(), error.retry()), (kind, retry), "{answer}");
            assert_ne!(error.outcome(), Outcome::Applied, "{answer}");
            assert_eq!(asked.borrow().len(), 1, "nothing is asked twice: {answer}");
        }
    });
}

#[test]
fn the_bytes_are_asked_for_as_they_are_and_told_as_what_they_are() {
    beside(async {
        let packed = "Content-Encoding: gzip\r\nContent-Type: text/plain\r\nETag: \"e\"\r\n";
        let (server, asked) = answering(&written("200 OK", packed, "\u{1f}packed")).await;
        let disk = at(server);
        let fetched = disk.get(key("a b/ä"), &Read::default()).await.unwrap().unwrap();
        assert_eq!(fetched.meta.attributes.content_encoding.as_deref(), Some("gzip"));
        assert_eq!(fetched.meta.version, Version::new("\"e\""));
        assert_eq!(fetched.body.collect(99).await.unwrap(), "\u{1f}packed");
        let request = asked.borrow()[0].to_lowercase();
        assert!(request.starts_with("get /public/a%20b/%c3%a4 http/1.1\r\n"), "{request}");
        assert!(request.contains("\r\naccept-encoding: identity\r\n"), "{request}");
    });
}

#[test]
fn an_object_that_breaks_off_is_never_taken_for_whole() {
    let chunked = "Transfer-Encoding: chunked\r\n";
    let table = [
        ("Content-Length: 9\r\n", "half", ErrorKind::Unavailable),
        (chunked, "4\r\nhalf\r\n", ErrorKind::Unavailable),
        (chunked, "9\r\nhalf", ErrorKind::Unavailable),
        ("", "half", ErrorKind::Unsupported),
        ("Transfer-Encoding: gzip\r\n", "half", ErrorKind::Unsupported),
    ];
    beside(async {
        for (headers, body, kind) in table {
            let (server, _) = answering(&raw("200 OK", headers, body)).await;
            let error = read(&at(server), &Read::default()).await.unwrap_err();
            assert_eq!(error.kind(), kind, "{headers}{body}: {error:?}");
        }
        let part = "Content-Range: bytes 2-4/9\r\nContent-Length: 3\r\n";
        let (server, _) = answering(&raw("206 Partial Content", part, "cd")).await;
        let error = read(&at(server), &range(2..5)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
    });
}

#[test]
fn an_object_whose_length_nobody_tells_is_read_to_know_it_and_not_for_ever() {
    beside(async {
        let body = "4\r\nonce\r\n5\r\n more\r\n0\r\n\r\n";
        let (server, _) = answering(&raw("200 OK", "Transfer-Encoding: chunked\r\n", body)).await;
        let disk = at(server);
        assert_eq!(disk.head(key("k")).await.unwrap().size, 9);
        let fetched = disk.get(key("k"), &Read::default()).await.unwrap().unwrap();
        assert_eq!((fetched.meta.size, fetched.range), (9, 0..9));
        assert_eq!(fetched.body.collect(9).await.unwrap(), "once more");
        assert_eq!(read(&disk, &range(ByteRange::Last(4))).await.unwrap(), "more");
        let small = HttpDiskConfig { unsized_max: ByteSize(8), ..config(server) };
        let error = made(&small).unwrap().head(key("k")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{error:?}");
    });
}

#[test]
fn a_part_is_the_one_that_was_asked_for_and_as_long_as_it_says() {
    beside(async {
        for wrong in [
            "Content-Range: bytes 0-2/9\r\nContent-Length: 3\r\n",
            "Content-Range: bytes 2-3/9\r\nContent-Length: 2\r\n",
            "Content-Range: bytes 2-4/9\r\nContent-Length: 4\r\n",
        ] {
            let (server, _) = answering(&raw("206 Partial Content", wrong, "abcd")).await;
            let error = at(server).get(key("k"), &range(2..5)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unexpected, "{wrong}");
        }
        let nothing = "Content-Length: 3\r\n";
        let (server, _) = answering(&raw("206 Partial Content", nothing, "abc")).await;
        let error = at(server).get(key("k"), &range(2..5)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
    });
}

#[test]
fn a_server_that_does_not_let_itself_be_looked_at_is_asked_for_one_byte() {
    let part = "Content-Range: bytes 0-0/9\r\nETag: \"e\"\r\n";
    for refusal in ["405 Method Not Allowed", "501 Not Implemented", "200 OK"] {
        beside(async {
            let (server, asked) = choosing(move |request| {
                if request.starts_with("HEAD ") {
                    return written(refusal, "", "");
                }
                written("206 Partial Content", part, "a")
            })
            .await;
            let meta = at(server).head(key("k")).await.unwrap();
            assert_eq!((meta.size, meta.version), (9, Version::new("\"e\"")), "{refusal}");
            let asked = asked.borrow()[1].to_lowercase();
            assert!(asked.contains("\r\nrange: bytes=0-0\r\n"), "{asked}");
        });
    }
    beside(async {
        let (server, _) = choosing(|request| match request {
            head if head.starts_with("HEAD ") => written("405 Method Not Allowed", "", ""),
            part if part.to_lowercase().contains("\r\nrange:") => {
                written("416 Range Not Satisfiable", "Content-Range: bytes */0\r\n", "")
            }
            _ => written("200 OK", "ETag: \"empty\"\r\n", ""),
        })
        .await;
        let meta = at(server).head(key("k")).await.unwrap();
        assert_eq!((meta.size, meta.version), (0, Version::new("\"empty\"")));
    });
}

#[test]
fn a_version_is_asked_for_and_looked_at_when_it_comes() {
    beside(async {
        let whole = written("200 OK", "ETag: \"new\"\r\n", "123456789");
        let (server, asked) = answering(&whole).await;
        let disk = at(server);
        // This server listens to no condition.
        for replaced in [only("\"old\""), Read { range: Some((2..4).into()), ..only("\"old\"") }] {
            let error = disk.get(key("k"), &replaced).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PreconditionFailed);
        }
        assert!(asked.borrow()[1].to_lowercase().contains("\r\nif-match: \"old\"\r\n"));
        assert_eq!(read(&disk, &only("\"new\"")).await.unwrap(), "123456789");
        let unless = Read { unless: Some(Version::new("\"new\"")), ..Read::default() };
        assert!(disk.get(key("k"), &unless).await.unwrap().is_none());
        assert!(asked.borrow()[3].to_lowercase().contains("\r\nif-none-match: \"new\"\r\n"));
    });
}

#[test]
fn a_weak_tag_is_none_to_put_parts_together_by() {
    beside(async {
        let (server, _) = answering(&written("200 OK", "ETag: W/\"e\"\r\n", "123456789")).await;
        let disk = at(server);
        let version = disk.head(key("k")).await.unwrap().version;
        let error = disk.get(key("k"), &only(version.as_str())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(read(&disk, &Read::default()).await.unwrap(), "123456789");
    });
}

#[test]
fn a_range_that_another_version_does_not_have_is_a_version_that_is_not_there() {
    beside(async {
        let (server, _) = choosing(|request| match request {
            head if head.starts_with("HEAD ") => written("200 OK", "ETag: \"new\"\r\n", "short"),
            _ => written("416 Range Not Satisfiable", "Content-Range: bytes */5\r\n", ""),
        })
        .await;
        let disk = at(server);
        let rest = |version| Read { range: Some((7..9).into()), ..only(version) };
        let replaced = disk.get(key("k"), &rest("\"old\"")).await.unwrap_err();
        assert_eq!(replaced.kind(), ErrorKind::PreconditionFailed);
        let beyond = disk.get(key("k"), &rest("\"new\"")).await.unwrap_err();
        assert_eq!(beyond.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn what_breaks_off_is_taken_up_again_as_the_same_version_or_not_at_all() {
    let broken = |headers: &str| raw("200 OK", &format!("{headers}Content-Length: 9\r\n"), "1234");
    let rest = "Content-Range: bytes 4-8/9\r\n";
    let same = written("206 Partial Content", &format!("ETag: \"e\"\r\n{rest}"), "56789");
    let other = written("206 Partial Content", &format!("ETag: \"f\"\r\n{rest}"), "FGHIJ");
    let table = [
        ("ETag: \"e\"\r\n", same, Ok("123456789")),
        ("ETag: \"e\"\r\n", other.clone(), Err(ErrorKind::Conflict)),
        // Without a tag nobody knows whether the rest is of the same.
        ("", other, Err(ErrorKind::Unavailable)),
    ];
    beside(async {
        for (headers, resumed, wanted) in table {
            let first = broken(headers);
            let (server, _) = choosing(move |request| {
                let is_rest = request.to_lowercase().contains("\r\nrange: bytes=4-8\r\n");
                if is_rest { resumed.clone() } else { first.clone() }
            })
            .await;
            let (_disks, disk) = disk(server).await;
            let read = disk.get("k").await.unwrap().bytes(99).await;
            let read = read.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
            let read = read.map_err(|error| error.kind());
            assert_eq!(read.as_deref(), wanted.as_ref().map(|text| *text), "{headers}");
        }
    });
}

#[test]
fn a_server_is_well_if_it_answers_at_all() {
    let down = ["500 Internal Server Error", "502 Bad Gateway", "503 Service Unavailable"];
    let up = [
        "200 OK",
        "404 Not Found",
        "403 Forbidden",
        "405 Method Not Allowed",
        "501 Not Implemented",
    ];
    beside(async {
        for status in up {
            let (server, _) = answering(&written(status, "", "")).await;
            assert_eq!(at(server).health().await.unwrap(), Health::up(), "{status}");
        }
        for status in down {
            let (server, _) = answering(&written(status, "", "")).await;
            let health = at(server).health().await.unwrap();
            assert_eq!(health.status, switchboard_core::Status::Down, "{status}");
        }
        let (server, _) = answering(&written("401 Unauthorized", "", "")).await;
        let health = at(server).health().await.unwrap();
        assert_eq!(health.status, switchboard_core::Status::Degraded);
        let nobody = at("127.0.0.1:1".parse().unwrap()).health().await.unwrap();
        assert_eq!(nobody.status, switchboard_core::Status::Down);
    });
}

/// An answer with these headers and no others, and a connection that ends after it.
fn raw(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Connection: close\r\n\r\n{body}")
}

const HTML: &str = "Content-Type: text/html\r\n";
const PAGE: &str = "<!doctype html><html><title>No</title><p>Sorry</html>";
