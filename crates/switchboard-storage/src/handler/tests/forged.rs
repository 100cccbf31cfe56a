//! Whoever was given no address for it gets nothing, and is told nothing.

use std::time::{Duration, SystemTime};

use switchboard_core::Settings;

use super::{Answer, Handler, MINUTE, Site};
use crate::Method;
use crate::driver::Sign;
use crate::store::Store;

/// That answers are the same but for their date.
fn without_date(answer: &Answer) -> (String, &[u8]) {
    let lines = answer.head.lines().filter(|line| !line.starts_with("date:"));
    (lines.collect::<Vec<_>>().join("\n"), &answer.body)
}

#[tokio::test]
async fn what_was_not_signed_is_refused_alike_whether_there_is_an_object_or_not() {
    let site = Site::new().await;
    site.disk.put("there", "secret").await.unwrap();
    let mut refusal = None;
    for key in ["there", "missing"] {
        let get = site.get(key).await;
        let target = site.target(&get);
        let (path, query) = target.split_once('?').unwrap();
        let other = site.get("another").await;
        let (_, others_query) = other.url.split_once('?').unwrap();
        for (method, target) in [
            ("GET", path.to_owned()),
            ("GET", format!("{path}?")),
            ("GET", format!("{path}?{others_query}")),
            ("GET", format!("{path}?{}", query.replace("key=1", "key=2"))),
            ("GET", format!("{path}?{}", query.replace("until=", "until=9"))),
            ("GET", format!("{path}?{query}&a=b")),
            ("GET", format!("{path}x?{query}")),
            ("GET", format!("{path}/?{query}")),
            ("PUT", target.to_owned()),
            ("PUT", target.replace("method=GET", "method=PUT")),
            ("DELETE", target.to_owned()),
            ("DELETE", target.replace("method=GET", "method=DELETE")),
            ("POST", target.to_owned()),
            ("PATCH", target.to_owned()),
            ("OPTIONS", target.to_owned()),
            ("get", target.to_owned()),
        ] {
            let answer = site.ask(method, &target, &[("if-none-match", "*")], b"").await;
            assert_eq!(answer.status, 403, "{method} {target}");
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
            let told = without_date(&answer);
            let first = refusal.get_or_insert_with(|| (told.0.clone(), told.1.to_vec()));
            assert_eq!((&told.0, told.1), (&first.0, &*first.1), "{method} {target}");
        }
        // Of the answer to HEAD there is only the head.
        assert_eq!(site.ask("HEAD", target, &[], b"").await.status, 403);
    }
    assert_eq!(site.disk.read("there").await.unwrap(), "secret");
}

#[tokio::test]
async fn an_address_that_is_no_longer_good_is_refused() {
    let site = Site::new().await;
    site.disk.put("note", "one").await.unwrap();
    let clock = site.disk.line().environment().clock().clone();
    let addresses = site.disk.line().peek(Store::addresses).flatten().unwrap();
    let signed = |key: &str, at: SystemTime| {
        addresses.sign_at(&Sign::new(Method::Get, key.to_owned(), MINUTE), at).unwrap()
    };
    let hour = Duration::from_hours(1);
    for (at, status) in [
        (clock.wall(), 200),
        (clock.wall() - hour, 403),
        (clock.wall() + MINUTE, 200),
        (clock.wall() + hour, 403),
    ] {
        assert_eq!(site.follow(&signed("note", at), &[], b"").await.status, status);
    }
    assert_eq!(site.follow(&signed("missing", clock.wall() - hour), &[], b"").await.status, 403);
}

#[tokio::test]
async fn nothing_outside_a_scope_is_answered_by_its_handler() {
    let site = Site::with(Settings::new(), |disk| Handler::new(disk.scope("open").unwrap())).await;
    for key in ["open/note", "openly", "note", "open/open/note"] {
        site.disk.put(key, key).await.unwrap();
    }
    for (key, status) in
        [("open/note", 200), ("openly", 403), ("note", 403), ("open/open/note", 200)]
    {
        let answer = site.follow(&site.get(key).await, &[], b"").await;
        assert_eq!(answer.status, status, "{key}");
        assert_eq!(answer.body == key.as_bytes(), status == 200);
    }
    let scoped = site.disk.scope("open").unwrap().sign("note").get(MINUTE).await.unwrap();
    assert_eq!(site.follow(&scoped, &[], b"").await.body, b"open/note");
}

#[tokio::test]
async fn without_keys_nothing_is_signed_and_nothing_answered() {
    use switchboard_core::{Environment, ErrorKind, Manager, Registry, Support};
    use tower::ServiceExt as _;

    let registry = Registry::with_built_ins().unwrap();
    let disks = Manager::<crate::Disks>::new(registry, &Environment::new()).unwrap();
    disks.configure("main", &Settings::new().with("driver", "memory")).unwrap();
    let disk = disks.get("main").await.unwrap();
    let error = disk.sign("note").get(MINUTE).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.hints().any(|hint| hint.contains("sign_keys")), "{error:?}");
    assert_eq!(disk.line().capabilities().await.unwrap().support("sign"), Support::No);

    let site = Site::new().await;
    site.disk.put("note", "one").await.unwrap();
    let capabilities = site.disk.line().capabilities().await.unwrap();
    assert_eq!(capabilities.support("sign"), Support::Emulated);
    assert_eq!(capabilities.support("write"), Support::Native);

    let signed = site.get("note").await;
    let request = http::Request::get(site.target(&signed)).body(String::new()).unwrap();
    let answer = Handler::new(disk).oneshot(request).await.unwrap();
    assert_eq!(answer.status(), 403);
}
