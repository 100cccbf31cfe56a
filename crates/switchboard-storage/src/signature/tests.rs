//! What is signed is known again, and nothing else is.

use proptest::prelude::*;
use switchboard_core::{Secret, Settings};

use super::*;
use crate::{Key, Method};

const BASE: &str = "https://files.example.com/main";

fn key(id: &str) -> SignKey {
    SignKey { id: id.to_owned(), secret: Secret::from(format!("{id:-<32}")) }
}

fn addresses(ids: &[&str]) -> Addresses {
    addresses_at(BASE, ids)
}

fn addresses_at(base: &str, ids: &[&str]) -> Addresses {
    let sign_keys = ids.iter().copied().map(key).collect();
    let config =
        DiskConfig { public_url: Some(base.to_owned()), sign_keys, ..DiskConfig::default() };
    Addresses::new(&config, &Clock::system()).unwrap().unwrap()
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_269_736_250)
}

fn request(method: Method) -> Sign {
    let minute = Duration::from_mins(1);
    Sign { size_max: Some(1000), ..Sign::new(method, "a b/c+d.txt".to_owned(), minute) }
}

/// The address without its base, in path and query.
fn parts<'s>(signed: &'s Signed, base: &str) -> (&'s str, &'s str) {
    signed.url.strip_prefix(base).unwrap().split_once('?').unwrap()
}

fn verified(addresses: &Addresses, signed: &Signed, now: SystemTime) -> Result<Sign> {
    let (path, query) = parts(signed, BASE);
    addresses.verify_at(signed.method, path, query, now)
}

#[test]
fn what_was_signed_is_known_again() {
    let addresses = addresses(&["new"]);
    for method in [Method::Get, Method::Head, Method::Put, Method::Delete] {
        let mut request = request(method);
        request.content_type = Some("text/plain; charset=utf-8".to_owned());
        request.content_disposition = Some("attachment; filename=\"50 % & more\"".to_owned());
        let signed = addresses.sign_at(&request, now()).unwrap();
        let known = verified(&addresses, &signed, now()).unwrap();
        assert_eq!(Sign { ttl: request.ttl, ..known }, request);
    }
}

#[test]
fn no_letter_of_an_address_can_be_changed() {
    let addresses = addresses(&["new"]);
    let signed = addresses.sign_at(&request(Method::Get), now()).unwrap();
    let (path, query) = parts(&signed, BASE);
    let whole = format!("{path}?{query}");
    for at in 1..whole.len() {
        for other in ["", "0", "1", "x", "/", "%", "&", "=", "%00"] {
            let changed = format!("{}{other}{}", &whole[..at], &whole[at + 1..]);
            if changed == whole {
                continue;
            }
            let Some((path, query)) = changed.split_once('?') else { continue };
            let known = addresses.verify_at(Method::Get, path, query, now());
            assert!(known.is_err(), "{changed}");
        }
    }
}

#[test]
fn nothing_can_be_added_left_out_or_said_twice() {
    let addresses = addresses(&["new"]);
    let signed = addresses.sign_at(&request(Method::Put), now()).unwrap();
    let (path, query) = parts(&signed, BASE);
    let pairs: Vec<&str> = query.split('&').collect();
    for pair in &pairs {
        let twice = format!("{query}&{pair}");
        let without: Vec<_> = pairs.iter().filter(|other| *other != pair).copied().collect();
        for changed in [twice, without.join("&")] {
            assert!(addresses.verify_at(Method::Put, path, &changed, now()).is_err(), "{changed}");
        }
    }
    for added in ["&type=text%2Fhtml", "&disposition=inline", "&utm=1", "&", "&size"] {
        let changed = format!("{query}{added}");
        assert!(addresses.verify_at(Method::Put, path, &changed, now()).is_err(), "{changed}");
    }
    for (name, other) in [("from=", "from=0"), ("until=", "until=%2B"), ("size=", "size=+")] {
        let changed = query.replace(name, other);
        assert!(addresses.verify_at(Method::Put, path, &changed, now()).is_err(), "{changed}");
    }
    for method in [Method::Get, Method::Head, Method::Delete] {
        let changed = query.replace("method=PUT", &format!("method={}", method.as_str()));
        for query in [query, &changed] {
            assert!(addresses.verify_at(method, path, query, now()).is_err());
        }
    }
}

#[test]
fn what_is_said_of_one_thing_is_not_said_of_the_next() {
    let addresses = addresses(&["new"]);
    let mut request = request(Method::Get);
    request.size_max = None;
    request.content_type = Some("a".to_owned());
    let signed = addresses.sign_at(&request, now()).unwrap();
    let (path, query) = parts(&signed, BASE);
    let moved = query.replace("&type=", "&disposition=");
    assert!(addresses.verify_at(Method::Get, path, &moved, now()).is_err());
    let cut = query.replace("&type=a", "");
    assert!(addresses.verify_at(Method::Get, &format!("{path}a"), &cut, now()).is_err());
}

#[test]
fn an_address_is_good_until_it_says_and_not_a_second_longer() {
    let addresses = addresses(&["new"]);
    let signed = addresses.sign_at(&request(Method::Get), now()).unwrap();
    assert!(signed.expires >= now() + Duration::from_mins(1));
    assert!(signed.expires <= now() + Duration::from_secs(61));
    let last = signed.expires - Duration::from_millis(1);
    assert!(verified(&addresses, &signed, last).is_ok());
    for late in [signed.expires, signed.expires + Duration::from_hours(24)] {
        let error = verified(&addresses, &signed, late).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert!(error.to_string().contains("no longer"), "{error}");
    }
}

#[test]
fn a_clock_that_is_five_minutes_ahead_is_forgiven() {
    let addresses = addresses(&["new"]);
    let signed = addresses.sign_at(&request(Method::Get), now()).unwrap();
    assert!(verified(&addresses, &signed, now() - Duration::from_mins(5)).is_ok());
    let error = verified(&addresses, &signed, now() - Duration::from_secs(301)).unwrap_err();
    assert!(error.to_string().contains("not good yet"), "{error}");
}

#[test]
fn addresses_stay_good_while_keys_are_replaced_and_no_longer() {
    let before = addresses(&["old"]).sign_at(&request(Method::Get), now()).unwrap();
    let both = addresses(&["new", "old"]);
    assert!(verified(&both, &before, now()).is_ok());
    let after = both.sign_at(&request(Method::Get), now()).unwrap();
    assert!(after.url.contains("&key=new&"), "{}", after.url);

    let new = addresses(&["new"]);
    assert!(verified(&new, &after, now()).is_ok());
    assert!(verified(&new, &before, now()).is_err());
    assert!(verified(&addresses(&["old"]), &after, now()).is_err());
}

#[test]
fn a_key_does_not_sign_for_another_place_or_under_another_name() {
    let signed = addresses(&["new"]).sign_at(&request(Method::Get), now()).unwrap();
    let (path, query) = parts(&signed, BASE);
    let elsewhere = addresses_at("https://files.example.com/other", &["new"]);
    assert!(elsewhere.verify_at(Method::Get, path, query, now()).is_err());

    let mut config = DiskConfig { public_url: Some(BASE.to_owned()), ..DiskConfig::default() };
    config.sign_keys = vec![SignKey { id: "newer".to_owned(), ..key("new") }];
    let renamed = Addresses::new(&config, &Clock::system()).unwrap().unwrap();
    let query = query.replace("&key=new&", "&key=newer&");
    assert!(renamed.verify_at(Method::Get, path, &query, now()).is_err());
}

#[test]
fn settings_by_which_nothing_can_be_signed_are_refused() {
    let secret = "0123456789abcdef0123456789abcdef";
    let key = |id: &str, secret: &str| Settings::new().with("id", id).with("secret", secret);
    let good = || vec![key("a", secret)];
    for (settings, wrong) in [
        (Settings::new().with("public_url", BASE), "nothing to sign"),
        (Settings::new().with("sign_keys", good()), "nowhere to lead"),
        (Settings::new().with("public_url", "ftp://x").with("sign_keys", good()), "appended"),
        (Settings::new().with("public_url", "https://").with("sign_keys", good()), "appended"),
        (Settings::new().with("public_url", "https:///a").with("sign_keys", good()), "appended"),
        (Settings::new().with("public_url", "https://a?b").with("sign_keys", good()), "appended"),
        (Settings::new().with("public_url", "https://u@a").with("sign_keys", good()), "appended"),
        (Settings::new().with("public_url", "https://a b").with("sign_keys", good()), "appended"),
        (
            Settings::new()
                .with("public_url", BASE)
                .with("sign_keys", vec![key("a", &secret[1..])]),
            "can be guessed",
        ),
        (
            Settings::new().with("public_url", BASE).with("sign_keys", vec![key("a&b", secret)]),
            "name of a key",
        ),
        (
            Settings::new()
                .with("public_url", BASE)
                .with("sign_keys", vec![key("a", secret), key("a", secret)]),
            "same name",
        ),
    ] {
        let config: DiskConfig = settings.decode().unwrap();
        let error = Addresses::new(&config, &Clock::system()).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Config);
        let told = format!("{error} {error:?}");
        assert!(told.contains(wrong), "{told}");
        assert!(!told.contains(&secret[1..]), "{told}");
    }
}

#[test]
fn what_is_signed_is_not_told_in_logs() {
    let signed = addresses(&["new"]).sign_at(&request(Method::Get), now()).unwrap();
    let (_, signature) = signed.url.rsplit_once('=').unwrap();
    let shown = format!("{signed:?}");
    assert!(shown.contains("https://files.example.com/main/a%20b/c%2Bd.txt"), "{shown}");
    assert!(!shown.contains(signature), "{shown}");
}

proptest! {
    #[test]
    fn every_key_comes_through_an_address_as_it_is(key in "\\PC{1,40}(/[^/]{1,20}){0,3}") {
        prop_assume!(Key::parse(&key).is_ok());
        let addresses = addresses(&["new"]);
        let request = Sign::new(Method::Get, key.clone(), Duration::from_mins(1));
        let signed = addresses.sign_at(&request, now()).unwrap();
        prop_assert!(signed.url.bytes().all(|byte| byte.is_ascii_graphic()));
        prop_assert_eq!(verified(&addresses, &signed, now()).unwrap().key, key);
    }

    #[test]
    fn nothing_that_anybody_writes_is_taken_for_signed(path in "/\\PC{0,60}", query in "\\PC{0,200}") {
        prop_assert!(addresses(&["new"]).verify_at(Method::Get, &path, &query, now()).is_err());
    }
}
