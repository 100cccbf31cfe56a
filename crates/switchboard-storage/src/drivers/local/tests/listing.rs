//! Lists of folders with things in them that are no objects, and that change meanwhile.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, SystemTime};

use switchboard_core::ErrorKind;

use super::*;

#[tokio::test]
async fn keys_come_in_the_order_of_their_bytes_and_not_of_directories() {
    let home = Home::new();
    let mut keys =
        ["a-b", "a/b", "a/b-c/d", "a/b.c", "a0", "a/\u{10ffff}/x", "A", "ä", "z/y/x/w", "a/b c"];
    for key in keys {
        home.put(key, "text").await.unwrap();
    }
    keys.sort_unstable();
    assert_eq!(home.keys().await, keys);
    for limit in 1..4 {
        assert_eq!(in_pages(&home, &List { limit, ..all("") }).await, keys);
    }
    for (prefix, is_flat, listed) in [
        ("a", true, &["a-b", "a/", "a0"][..]),
        ("a/", true, &["a/b c", "a/b-c/", "a/b.c", "a/b", "a/\u{10ffff}/"]),
        ("a/b", false, &["a/b", "a/b c", "a/b-c/d", "a/b.c"]),
        ("a/b-c/d", true, &["a/b-c/d"]),
        ("z/y", true, &["z/y/"]),
        ("z/y/x", false, &["z/y/x/w"]),
        ("nothing", true, &[]),
    ] {
        for limit in [1, 2, 1000] {
            let list = List { is_flat, limit, ..all(prefix) };
            let listed: BTreeSet<_> = listed.iter().map(ToString::to_string).collect();
            let found = in_pages(&home, &list).await;
            assert_eq!(found, listed.into_iter().collect::<Vec<_>>(), "{list:?}");
        }
    }
}

/// Entries and prefixes, page by page, in the order in which they come.
async fn in_pages(home: &Home, list: &List) -> Vec<String> {
    let (mut found, mut list) = (Vec::new(), list.clone());
    loop {
        let page = home.page(&list).await.unwrap();
        let mut on_page: Vec<String> = page.prefixes;
        on_page.extend(page.entries.into_iter().map(|entry| entry.key));
        assert!(on_page.len() <= list.limit);
        on_page.sort_unstable();
        found.extend(on_page);
        list.token = page.next;
        if list.token.is_none() {
            assert!(found.is_sorted());
            return found;
        }
    }
}

#[tokio::test]
async fn what_is_no_object_is_left_out() {
    let home = Home::new();
    home.put("there/is/one", "text").await.unwrap();
    let odd = |name: &[u8]| home.local.root().join(OsStr::from_bytes(name));
    fs::write(odd(b"no \xff text"), "x").unwrap();
    fs::create_dir(odd(b"\xfe")).unwrap();
    fs::write(odd(b"\xfe/inside"), "x").unwrap();
    fs::write(odd(b"a new\nline"), "x").unwrap();
    fs::create_dir_all(odd(b"empty/all/the/way")).unwrap();
    std::os::unix::fs::symlink("there/is/one", odd(b"link")).unwrap();
    std::os::unix::fs::symlink("there", odd(b"links")).unwrap();
    let _socket = UnixListener::bind(odd(b"socket")).unwrap();
    let pipe = std::process::Command::new("mkfifo").arg(odd(b"pipe")).status().unwrap();
    assert!(pipe.success());

    assert_eq!(home.keys().await, ["there/is/one"]);
    let flat = home.page(&List { is_flat: true, ..all("") }).await.unwrap();
    assert_eq!((flat.prefixes, flat.entries.len()), (vec!["there/".to_owned()], 0));
    for key in ["socket", "pipe", "there", "there/is"] {
        assert!(home.head(key).await.is_err(), "{key}");
        assert!(home.read(key).await.is_err(), "{key}");
        assert!(!home.delete(key, None).await.unwrap(), "{key}");
    }
    let refused = home.put("pipe", "text").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    home.put("empty/all", "an empty directory is in nobody's way").await.unwrap();
}

#[tokio::test]
async fn what_comes_and_goes_meanwhile_moves_nothing_else() {
    let home = Home::with(LocalConfig { durability: Durability::None, ..LocalConfig::default() });
    let steady: Vec<String> = (0..60).map(|number| format!("{}/{number:03}", number % 7)).collect();
    for key in &steady {
        home.put(key, "text").await.unwrap();
    }
    let (mut list, mut found) = (List { limit: 3, ..all("") }, Vec::new());
    for round in 0.. {
        let page = home.page(&list).await.unwrap();
        found.extend(page.entries.into_iter().map(|entry| entry.key));
        for directory in 0..7 {
            home.put(&format!("{directory}/{round:03}-new"), "text").await.unwrap();
            home.delete(&format!("{directory}/{:03}-new", round / 2), None).await.unwrap();
        }
        list.token = page.next;
        if list.token.is_none() {
            break;
        }
    }
    assert!(found.is_sorted_by(|one, next| one < next), "nothing comes twice");
    let found: BTreeSet<_> = found.into_iter().collect();
    assert!(steady.iter().all(|key| found.contains(key)), "nothing is dropped");
}

#[tokio::test]
async fn a_directory_with_more_names_than_are_kept_at_once_is_listed_whole() {
    let home = Home::new();
    // The deeper a directory lies, the fewer of its names are kept.
    let deep = "a/b/c/d/e/f/g";
    for number in 0..5000 {
        fs::create_dir_all(home.path(&format!("{deep}/{number:04}"))).unwrap();
        if number % 2 == 0 {
            fs::write(home.path(&format!("{deep}/{number:04}/x")), "").unwrap();
        }
    }
    for limit in [100, 1500] {
        let keys = in_pages(&home, &List { limit, ..all("") }).await;
        assert_eq!(keys.len(), 2500);
        assert!(keys.is_sorted());
    }
}

/// Long after everything that was done before.
fn much_later() -> SystemTime {
    Clock::system().wall() + Duration::from_hours(1)
}

/// Waits until what changes from now on is another moment for the system than what changed `path` last.
fn until_another_moment(path: &Path) {
    let changed = |path: &Path| fs::metadata(path).map(|stat| (stat.ctime(), stat.ctime_nsec()));
    let probe = tempfile::NamedTempFile::new_in(path.parent().unwrap()).unwrap();
    while changed(probe.path()).unwrap() <= changed(path).unwrap() {
        probe.as_file().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    }
}

#[tokio::test]
async fn the_next_page_needs_no_directory_again_that_stayed_as_it_was() {
    let home = Home::new();
    for number in 0..30 {
        for directory in ["a", "b/c", "d"] {
            fs::create_dir_all(home.path(directory)).unwrap();
            fs::write(home.path(&format!("{directory}/{number:02}")), "").unwrap();
        }
    }
    let folder = &home.local.folder;
    let first = folder.list(&List { limit: 40, ..all("") }, much_later()).unwrap();
    assert_eq!(first.entries.last().unwrap().key, "b/c/09");
    let next = List { limit: 40, token: first.next, ..all("") };
    let kept = folder.ahead.take(&next);
    let kept: Vec<_> = kept.iter().map(|level| (&*level.dir, level.names.first())).collect();
    assert_eq!(kept, [("b/c/", Some("10")), ("b/", Some("c/")), ("", Some("b/"))]);
}

#[tokio::test]
async fn a_page_tells_what_was_stored_and_deleted_after_the_page_before() {
    let home = Home::new();
    let mut expected: Vec<_> = (0..40).map(|number| format!("a/b/{number:03}")).collect();
    for key in &expected {
        home.put(key, "text").await.unwrap();
    }
    for is_forgotten in [false, true] {
        for directory in ["root", "root/a", "root/a/b"] {
            until_another_moment(&home.folder.path().join(directory));
        }
        let folder = &home.local.folder;
        let list = List { limit: 10, ..all("") };
        let first = folder.list(&list, much_later()).unwrap();
        let next = List { token: first.next, limit: 100, ..list };
        if is_forgotten {
            folder.ahead.take(&next);
        }
        for (new, gone) in [("a/b/010-new", "a/b/015"), ("a/b/039-new", "a/b/016")] {
            let suffix = if is_forgotten { "er" } else { "" };
            let new = format!("{new}{suffix}");
            home.put(&new, "text").await.unwrap();
            home.delete(gone, None).await.unwrap();
            expected.push(new);
            expected.retain(|key| key != gone);
        }
        expected.sort_unstable();
        let second = folder.list(&next, much_later()).unwrap();
        let found = first.entries.into_iter().chain(second.entries).map(|entry| entry.key);
        assert_eq!(found.collect::<Vec<_>>(), expected);
    }
}

#[tokio::test]
async fn a_token_that_no_page_ended_with_is_refused() {
    let home = Home::new();
    for token in ["", "x", "é"] {
        let list = List { token: Some(token.into()), ..all("") };
        assert_eq!(home.page(&list).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

#[tokio::test]
async fn the_list_tells_the_versions_that_are_told_of_each_object() {
    for home in Home::of_each_keeping() {
        home.put("ours", "text").await.unwrap();
        fs::write(home.path("theirs"), "text").unwrap();
        for entry in home.page(&all("")).await.unwrap().entries {
            let meta = home.head(&entry.key).await.unwrap();
            assert_eq!((entry.version, entry.size), (meta.version, meta.size));
            assert_eq!(entry.modified, meta.modified);
        }
    }
}

#[tokio::test]
async fn of_many_objects_each_is_told_in_its_place_with_what_it_is() {
    let home = Home::with(LocalConfig { durability: Durability::None, ..LocalConfig::default() });
    let mut keys = Vec::new();
    for number in 0..700_usize {
        // Some are in directories of their own, in between the others.
        let key = if number % 97 == 0 { format!("{number:03}/x") } else { format!("{number:03}") };
        home.put(&key, &"x".repeat(number)).await.unwrap();
        keys.push(key);
    }
    for limit in [33, 128, 500, 1000] {
        assert_eq!(in_pages(&home, &List { limit, ..all("") }).await, keys);
    }
    for entry in home.page(&all("")).await.unwrap().entries {
        let meta = home.head(&entry.key).await.unwrap();
        let known = (meta.size, meta.modified, meta.version);
        assert_eq!((entry.size, entry.modified, entry.version), known, "{}", entry.key);
    }
}
