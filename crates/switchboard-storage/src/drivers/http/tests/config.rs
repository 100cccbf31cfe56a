//! Settings that are wrong, and what must not be told of them.

use switchboard_core::Secret;

use super::*;

fn with(base_url: &str, headers: &[(&str, &str)]) -> HttpDiskConfig {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), Secret::from(*value)));
    HttpDiskConfig {
        base_url: Some(base_url.to_owned()),
        headers: headers.collect(),
        ..HttpDiskConfig::default()
    }
}

#[test]
fn an_address_says_where_objects_are_and_nothing_else() {
    for wrong in [
        "",
        "example.com",
        "ftp://example.com",
        "http://",
        "/public",
        "http://a?b",
        "http://a/#b",
        "http://me:pw@a/",
    ] {
        let error = made(&with(wrong, &[])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{wrong}");
        assert_eq!(error.context_value("setting"), Some("base_url"), "{wrong}");
        assert!(!format!("{error:?}").contains("pw@"), "{error:?}");
    }
    let url = || Some("http://example.com".to_owned());
    let twice = HttpDiskConfig { base_url: url(), url: url(), ..HttpDiskConfig::default() };
    for wrong in [twice, HttpDiskConfig::default()] {
        assert_eq!(made(&wrong).unwrap_err().kind(), ErrorKind::Config);
    }
    assert!(made(&HttpDiskConfig { url: url(), ..HttpDiskConfig::default() }).is_ok());
}

#[test]
fn headers_that_say_which_bytes_are_asked_for_are_the_drivers_own() {
    for wrong in [
        ("Range", "bytes=0-1"),
        ("accept-encoding", "gzip"),
        ("if-match", "\"e\""),
        ("Host", "other.example"),
        ("transfer-encoding", "chunked"),
        ("no name", "x"),
        ("", "x"),
        ("x-note", "two\r\nlines: 1"),
    ] {
        let error = made(&with("http://example.com", &[wrong])).unwrap_err();
        assert_eq!(error.context_value("setting"), Some("headers"), "{wrong:?}");
        assert!(!format!("{error:?}").contains("lines"), "{error:?}");
    }
    let twice = with("http://example.com", &[("x-note", "1"), ("X-Note", "2")]);
    assert_eq!(made(&twice).unwrap_err().kind(), ErrorKind::Config);
}

#[tokio::test]
async fn what_is_said_in_headers_is_never_shown() {
    let config = with("http://127.0.0.1:1/a", &[("authorization", "Bearer sesame")]);
    let disk = made(&config).unwrap();
    let error = disk.head(key("k")).await.unwrap_err();
    for shown in [format!("{config:?}"), format!("{disk:?}"), format!("{error:?}")] {
        assert!(!shown.contains("sesame"), "{shown}");
    }
}

#[test]
fn an_address_alone_names_the_driver() {
    let registry = Registry::empty();
    register(&registry).unwrap();
    assert!(registry.has("http") && registry.has("https"));
}
