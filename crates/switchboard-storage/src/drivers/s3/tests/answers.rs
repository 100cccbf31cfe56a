//! What becomes of answers that a server gives when something is wrong.

use switchboard_core::{Outcome, Retry};
use tokio::net::TcpListener;

use super::*;
use crate::wire::scripted::{answering, beside, choosing, written};

fn saying(status: &str, headers: &str, code: &str) -> String {
    let body = format!("<Error><Code>{code}</Code><Message>so it is</Message></Error>");
    written(status, headers, &body)
}

/// What a put of this kind becomes where the server answers so.
async fn refused(answer: &str, condition: Condition) -> Error {
    let (server, asked) = answering(answer).await;
    let (content, write) = always(b"abc");
    let error = at(server).put(key("k"), content, &Write { condition, ..write }).await.unwrap_err();
    assert_eq!(asked.borrow().len(), 1, "nothing is asked twice: {answer}");
    error
}

#[test]
fn what_a_service_says_becomes_the_error_that_it_means() {
    let outage = |after| (after, Outcome::Unknown);
    let never = (Retry::Never, Outcome::NotApplied);
    let later = Retry::Later;
    let table = [
        (saying("403 Forbidden", "", "AccessDenied"), ErrorKind::PermissionDenied, never),
        (saying("403 Forbidden", "", "SignatureDoesNotMatch"), ErrorKind::Unauthenticated, never),
        (saying("400 Bad Request", "", "ExpiredToken"), ErrorKind::Unauthenticated, never),
        (saying("403 Forbidden", "", "RequestTimeTooSkewed"), ErrorKind::Unauthenticated, never),
        (saying("404 Not Found", "", "NoSuchBucket"), ErrorKind::Config, never),
        (saying("409 Conflict", "", "OperationAborted"), ErrorKind::Conflict, never),
        (
            saying("412 Precondition Failed", "", "PreconditionFailed"),
            ErrorKind::PreconditionFailed,
            never,
        ),
        (saying("400 Bad Request", "", "BadDigest"), ErrorKind::InvalidInput, never),
        (saying("400 Bad Request", "", "SomethingNew"), ErrorKind::InvalidInput, never),
        (saying("400 Bad Request", "", "EntityTooLarge"), ErrorKind::TooLarge, never),
        (saying("501 Not Implemented", "", "NotImplemented"), ErrorKind::Unsupported, never),
        (saying("507 Full", "", "StorageFull"), ErrorKind::QuotaExceeded, never),
        (saying("301 Moved", "", "PermanentRedirect"), ErrorKind::Config, never),
        (
            saying("503 Slow Down", "Retry-After: 7\r\n", "SlowDown"),
            ErrorKind::RateLimited,
            (Retry::After(Duration::from_secs(7)), Outcome::NotApplied),
        ),
        (
            saying("429 Too Many Requests", "", "TooManyRequests"),
            ErrorKind::RateLimited,
            (later, Outcome::NotApplied),
        ),
        (
            saying("503 Service Unavailable", "", "ServiceUnavailable"),
            ErrorKind::Unavailable,
            outage(later),
        ),
        (saying("500 Internal Error", "", "InternalError"), ErrorKind::Unavailable, outage(later)),
        (saying("400 Bad Request", "", "RequestTimeout"), ErrorKind::Timeout, outage(later)),
        // What a proxy says is not what the service says, whatever the number.
        (written("502 Bad Gateway", HTML, PAGE), ErrorKind::Unavailable, outage(later)),
        (written("404 Not Found", HTML, PAGE), ErrorKind::Unavailable, outage(later)),
        (written("403 Forbidden", HTML, PAGE), ErrorKind::Unavailable, outage(later)),
        (written("412 Precondition Failed", HTML, PAGE), ErrorKind::Unavailable, outage(later)),
        (written("200 OK", HTML, PAGE), ErrorKind::Unavailable, outage(later)),
        (written("302 Found", "Location: /k\r\n", ""), ErrorKind::Unavailable, outage(later)),
    ];
    beside(async {
        for (answer, kind, (retry, outcome)) in table {
            let error = refused(&answer, Condition::Always).await;
            assert_eq!(
                (error.kind(), error.retry(), error.outcome()),
                (kind, retry, outcome),
                "{answer}"
            );
        }
    });
}

#[test]
fn what_is_refused_without_bytes_is_told_by_the_head_of_the_answer() {
    let elsewhere = "x-amz-bucket-region: eu-west-1\r\n";
    let here = "x-amz-bucket-region: us-east-1\r\n";
    let long_ago = "Date: Thu, 01 Jan 2015 00:00:00 GMT\r\n";
    let table = [
        ("301 Moved Permanently", elsewhere, ErrorKind::Config),
        ("301 Moved Permanently", here, ErrorKind::Config),
        ("302 Found", "Location: /k\r\n", ErrorKind::Unavailable),
        ("400 Bad Request", elsewhere, ErrorKind::Config),
        ("400 Bad Request", here, ErrorKind::InvalidInput),
        ("403 Forbidden", elsewhere, ErrorKind::Config),
        ("403 Forbidden", here, ErrorKind::PermissionDenied),
        ("403 Forbidden", "", ErrorKind::PermissionDenied),
        ("403 Forbidden", long_ago, ErrorKind::Unauthenticated),
        ("503 Service Unavailable", "", ErrorKind::RateLimited),
        ("500 Internal Server Error", "", ErrorKind::Unavailable),
    ];
    beside(async {
        for (status, headers, kind) in table {
            let (server, _) = answering(&written(status, headers, "")).await;
            let error = at(server).head(key("k")).await.unwrap_err();
            assert_eq!(error.kind(), kind, "{status} {headers}");
        }
        let (server, _) = answering(&written("400 Bad Request", elsewhere, "")).await;
        let error = at(server).head(key("k")).await.unwrap_err();
        assert_eq!(error.context_value("region"), Some("eu-west-1"));
        let told =
            "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region></Error>";
        let (server, _) = answering(&written("400 Bad Request", "", told)).await;
        let error = at(server).get(key("k"), &Read::default()).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.context_value("region")),
            (ErrorKind::Config, Some("eu-west-1"))
        );
    });
}

#[test]
fn whether_the_bucket_is_there_is_asked_once_for_objects_that_are_not() {
    beside(async {
        let (server, asked) = choosing(|head| match head.split(' ').nth(1) {
            Some("/switchboard") => written("200 OK", "", ""),
            _ => written("404 Not Found", "", ""),
        })
        .await;
        let disk = at(server);
        for _ in 0..3 {
            assert_eq!(disk.head(key("k")).await.unwrap_err().kind(), ErrorKind::NotFound);
        }
        assert_eq!(asked.borrow().len(), 4);

        let (server, _) = choosing(|head| match head.split(' ').nth(1) {
            Some("/switchboard") => written("503 Service Unavailable", "", ""),
            _ => written("404 Not Found", "", ""),
        })
        .await;
        assert_eq!(at(server).head(key("k")).await.unwrap_err().kind(), ErrorKind::RateLimited);

        let (server, _) = choosing(|head| match head.split(' ').nth(1) {
            Some("/switchboard") => written("403 Forbidden", "", ""),
            _ => written("404 Not Found", "", ""),
        })
        .await;
        assert_eq!(at(server).head(key("k")).await.unwrap_err().kind(), ErrorKind::NotFound);
    });
}

#[test]
fn health_tells_a_clock_that_is_wrong_and_a_bucket_that_is_elsewhere() {
    beside(async {
        for (headers, state) in [
            ("Date: Thu, 01 Jan 2015 00:00:00 GMT\r\n", "clock"),
            ("x-amz-bucket-region: eu-west-1\r\n", "another region"),
        ] {
            let (server, _) = answering(&written("403 Forbidden", headers, "")).await;
            let health = format!("{:?}", at(server).health().await.unwrap());
            assert!(health.contains(state), "{health}");
        }
        let (server, _) = answering(&written("403 Forbidden", "", "")).await;
        let told = "the service does not tell us whether the bucket is there";
        assert_eq!(at(server).health().await.unwrap(), Health::degraded(told));
    });
}

#[test]
fn a_condition_that_does_not_hold_is_told_apart_by_what_was_asked() {
    beside(async {
        let version = || Condition::Version(Version::new("\"e\""));
        let failed = saying("412 Precondition Failed", "", "PreconditionFailed");
        assert_eq!(refused(&failed, Condition::Absent).await.kind(), ErrorKind::AlreadyExists);
        assert_eq!(refused(&failed, version()).await.kind(), ErrorKind::PreconditionFailed);
        let missing = saying("404 Not Found", "", "NoSuchKey");
        assert_eq!(refused(&missing, version()).await.kind(), ErrorKind::PreconditionFailed);
        let met = saying("409 Conflict", "", "ConditionalRequestConflict");
        assert_eq!(refused(&met, Condition::Absent).await.kind(), ErrorKind::Conflict);
    });
}

#[test]
fn a_page_of_a_proxy_is_neither_an_object_nor_an_empty_list() {
    beside(async {
        let (server, _) = answering(&written("200 OK", HTML, PAGE)).await;
        let disk = at(server);
        let kinds = [
            disk.head(key("k")).await.unwrap_err().kind(),
            disk.get(key("k"), &Read::default()).await.unwrap_err().kind(),
            disk.list(&whole("")).await.unwrap_err().kind(),
            disk.delete_many(&[key("k")]).await.unwrap_err().kind(),
            disk.begin(key("k"), &Write::default()).await.unwrap_err().kind(),
        ];
        assert_eq!(kinds, [ErrorKind::Unavailable; 5]);
    });
}

#[test]
fn an_upload_that_fails_after_it_was_accepted_has_failed() {
    beside(async {
        let (server, _) = answering(&saying("200 OK", "", "InternalError")).await;
        let parts = [PartTag("1 3 - \"e\"".to_owned())];
        let (disk, upload, write) = (at(server), UploadId("u".into()), Write::default());
        let error = disk.complete(key("k"), &upload, &parts, &write).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::Unknown));
    });
}

#[test]
fn each_key_of_many_has_its_own_answer() {
    beside(async {
        let refused = "<DeleteResult><Error><Key>a&amp;b</Key><Code>AccessDenied</Code></Error></DeleteResult>";
        let (server, _) = answering(&written("200 OK", "", refused)).await;
        let deleted = at(server).delete_many(&[key("a"), key("a&b")]).await.unwrap();
        assert!(*deleted[0].as_ref().unwrap());
        assert_eq!(deleted[1].as_ref().unwrap_err().kind(), ErrorKind::PermissionDenied);
    });
}

#[test]
fn many_keys_are_one_request_also_where_the_service_takes_no_sums_of_objects() {
    beside(async {
        let (server, asked) = answering(&written("200 OK", "", "<DeleteResult/>")).await;
        let disk = S3Config { checksums: Some(SumsAt::Metadata), ..config(server) };
        let deleted = made(&disk).unwrap().delete_many(&[key("a"), key("a&b")]).await.unwrap();
        assert!(deleted.iter().all(Result::is_ok));
        let asked = asked.borrow();
        assert_eq!(asked.len(), 1);
        let request = asked[0].to_lowercase();
        assert!(request.starts_with("post /switchboard?delete= http"), "{request}");
        // What the bytes of the list of keys add up to, worked out elsewhere.
        assert!(asked[0].contains("k9I46+vwyavfHaWHyXXrPg=="), "{request}");
        assert!(!request.contains("x-amz-checksum"), "{request}");
    });
}

#[test]
fn keys_that_no_disk_can_have_are_left_out_of_a_list_and_counted() {
    let object = |key: &str| {
        format!(
            "<Contents><Key>{key}</Key><Size>1</Size><ETag>e</ETag>\
             <LastModified>2026-11-21T14:02:16.000Z</LastModified></Contents>"
        )
    };
    let objects: String = ["folder/", "a//b", " a ", "../b"].map(object).concat();
    let page = format!(
        "<?xml version='1.0'?><ListBucketResult>{objects}\
         <CommonPrefixes><Prefix>b/</Prefix></CommonPrefixes>\
         <CommonPrefixes><Prefix>c//</Prefix></CommonPrefixes></ListBucketResult>"
    );
    beside(async {
        let (server, _) = answering(&written("200 OK", "", &page)).await;
        let page = at(server).list(&whole("")).await.unwrap();
        assert_eq!(page.entries.iter().map(|entry| &*entry.key).collect::<Vec<_>>(), [" a "]);
        assert_eq!((page.prefixes, page.skipped), (vec!["b/".to_owned()], 4));
    });
}

#[test]
fn an_object_that_breaks_off_is_an_outage_and_not_its_end() {
    beside(async {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nETag: \"e\"\r\n\
                    Last-Modified: Sat, 21 Nov 2026 14:02:16 GMT\r\n\r\nhalf";
        let (server, _) = answering(head).await;
        let fetched = at(server).get(key("k"), &Read::default()).await.unwrap().unwrap();
        let error = fetched.body.collect(99).await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Later));
    });
}

#[test]
fn a_server_that_says_nothing_is_not_waited_for() {
    beside(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut disk = config(listener.local_addr().unwrap());
        disk.http.first_byte_timeout = Duration::from_millis(50);
        let disk = made(&disk).unwrap();
        let error = disk.head(key("k")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        drop(listener);
        let (content, write) = always(b"abc");
        let error = at(NOBODY.parse().unwrap()).put(key("k"), content, &write).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::NotApplied));
    });
}

#[test]
fn a_service_that_is_not_relied_on_refuses_conditions_and_changes_nothing() {
    beside(async {
        let (server, asked) = answering(&written("200 OK", "ETag: \"e\"\r\n", "")).await;
        let disk = S3Config { conditional: Some(Vec::new()), ..config(server) };
        let disk = made(&disk).unwrap();
        let version = Version::new("\"e\"");
        for (condition, lacking) in [
            (Condition::Absent, capability::CREATE),
            (Condition::Version(version.clone()), capability::REPLACE),
        ] {
            let (content, write) = always(b"abc");
            let write = Write { condition, ..write };
            refuses(disk.put(key("k"), content, &write).await, lacking);
            refuses(disk.begin(key("k"), &write).await, "parts on a condition");
            assert!(!disk.capabilities().unwrap().has(lacking));
        }
        refuses(disk.delete(key("k"), Some(&version)).await, capability::DELETE_VERSION);
        assert_eq!(asked.borrow().len(), 0);
    });
}

#[test]
fn each_condition_is_relied_on_by_itself() {
    beside(async {
        let (server, asked) = answering(&written("200 OK", "ETag: \"e\"\r\n", "")).await;
        let conditional = Some(vec![Conditional::Create, Conditional::Replace]);
        let disk = made(&S3Config { conditional, ..config(server) }).unwrap();
        let version = Version::new("\"e\"");
        for condition in [Condition::Absent, Condition::Version(version.clone())] {
            let (content, write) = always(b"abc");
            let write = Write { condition, ..write };
            disk.put(key("k"), content, &write).await.unwrap();
            refuses(disk.begin(key("k"), &write).await, "parts on a condition");
        }
        let asked_before = asked.borrow().len();
        refuses(disk.delete(key("k"), Some(&version)).await, capability::DELETE_VERSION);
        assert_eq!((asked_before, asked.borrow().len()), (2, 2));
        let can = disk.capabilities().unwrap();
        let told = [capability::CREATE, capability::REPLACE, capability::DELETE_VERSION];
        assert_eq!(told.map(|name| can.has(name)), [true, true, false]);
    });
}

/// What is not done because the service is not relied on to do it on a condition.
fn refuses<T: std::fmt::Debug>(done: Result<T>, lacking: &str) {
    let error = done.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unsupported, Outcome::NotApplied));
    assert_eq!(error.context_value("capability"), Some(lacking));
    assert!(error.hints().any(|hint| hint.contains("`conditional`")), "{error:?}");
}

const HTML: &str = "Content-Type: text/html\r\n";
const PAGE: &str = "<!doctype html><html><title>Sign in</title><p>Please sign in</html>";
/// Nobody listens there.
const NOBODY: &str = "127.0.0.1:1";
