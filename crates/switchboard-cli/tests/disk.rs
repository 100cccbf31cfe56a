//! Objects over the command, on disks in folders.

#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

mod common;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use common::Place;
use serde_json::{Value, json};

#[test]
fn without_any_configuration_objects_are_kept_in_the_home() {
    let place = Place::new();
    let put = place.run_with_input(&["disk", "put", "main", "a/b.txt", "-"], b"hello");
    assert_eq!((put.code, put.output.as_str()), (Some(0), ""), "{put:?}");
    assert!(put.errors.starts_with("note: no storage is configured here"), "{put:?}");
    let file = place.home().join("storage").join("main").join("a").join("b.txt");
    assert_eq!(fs::read(file).unwrap(), b"hello");
    assert_eq!(place.run(&["disk", "get", "storage.main", "a/b.txt"]).fine(), "hello");
}

#[test]
fn an_object_goes_from_a_file_to_a_file() {
    let place = with_disks();
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    place.write("here.bin", &bytes);
    let put = place.run(&["disk", "put", "main", "a/here.bin", "here.bin", "--format", "json"]);
    assert_eq!(
        (put.json()["size"].clone(), put.json()["key"].clone()),
        (100_000.into(), "a/here.bin".into())
    );
    place.write("there.bin", "what was there");
    assert_eq!(place.run(&["disk", "get", "main", "a/here.bin", "there.bin"]).fine(), "");
    assert_eq!(fs::read(place.path().join("there.bin")).unwrap(), bytes);
    let piped = place.output(&["disk", "get", "main", "a/here.bin", "-"], b"");
    assert_eq!(piped.stdout, bytes);
}

#[test]
fn a_file_that_could_not_be_had_stays_as_it_was() {
    let place = with_disks();
    place.write("there", "what was there");
    place.run(&["disk", "get", "main", "nothing", "there"]).failed(3);
    assert_eq!(fs::read(place.path().join("there")).unwrap(), b"what was there");
    let files = fs::read_dir(place.path()).unwrap().map(|file| file.unwrap().file_name());
    let left: Vec<_> = files.filter(|name| name.to_string_lossy().contains(".part")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_list_has_one_object_a_line() {
    let place = with_disks();
    for key in ["a/1", "a/2", "ab", "b"] {
        put(&place, "main", key, key);
    }
    let list =
        |arguments: &[&str]| place.run(&[&["disk", "ls", "main"], arguments].concat()).fine();
    let lines = |text: &str| -> Vec<Value> {
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let all = lines(&list(&["a", "--format", "json"]));
    assert_eq!(
        all.iter().map(|line| line["key"].as_str().unwrap()).collect::<Vec<_>>(),
        ["a/1", "a/2", "ab"]
    );
    let first = all[0].as_object().unwrap();
    assert_eq!(first.keys().collect::<Vec<_>>(), ["key", "modified", "size", "version"]);
    assert_eq!(first["size"], 3);
    assert!(first["modified"].as_str().unwrap().ends_with('Z'), "{first:?}");
    assert!(!first["version"].as_str().unwrap().is_empty());
    let flat = lines(&list(&["--flat", "--format", "json"]));
    assert_eq!(flat[0], json!({ "prefix": "a/" }));
    assert_eq!((&flat[1]["key"], &flat[2]["key"]), (&json!("ab"), &json!("b")));
    let text = list(&["a/"]);
    assert!(text.lines().count() == 2 && text.lines().all(|line| line.contains("Z  a/")), "{text}");
    assert_eq!(list(&["nothing"]), "");
}

#[test]
fn objects_that_no_disk_can_name_are_counted() {
    let place = Place::new();
    let object = |key: &str| {
        format!(
            "<Contents><Key>{key}</Key><Size>3</Size><ETag>\"one\"</ETag>\
             <LastModified>2026-01-02T03:04:05.000Z</LastModified></Contents>"
        )
    };
    let objects = ["a//b", "fine", "folder/"].map(object).concat();
    let list = format!(
        "<?xml version=\"1.0\"?><ListBucketResult><Name>far</Name>\
         <IsTruncated>false</IsTruncated>{objects}</ListBucketResult>"
    );
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: {}\r\n\r\n",
        list.len()
    );
    let server = Stuck::after(head + &list);
    place.write(
        "switchboard.toml",
        format!(
            "[storage.far]\ndriver = 's3'\nbucket = 'far'\nregion = 'x'\n\
             endpoint = '{}'\naccess_key_id = 'a'\nsecret_access_key = 'b'\n",
            server.address()
        ),
    );
    let list = place.run(&["disk", "ls", "far"]);
    assert_eq!(list.code, Some(0), "{list:?}");
    assert!(list.output.ends_with("fine\n") && list.output.lines().count() == 1, "{list:?}");
    assert_eq!(list.errors, "note: 2 left out whose keys no disk can name\n");
    let sync = place.run(&["disk", "sync", "far:", "here", "--dry-run", "--format", "json"]);
    assert_eq!((&sync.json()["copied"], &sync.json()["skipped"]), (&json!(1), &json!(2)));
}

#[test]
fn what_is_known_of_an_object_is_shown() {
    let place = with_disks();
    let said = ["--content-type", "text/x-note", "--metadata", "author=Ada"];
    let put = [&["disk", "put", "main", "note", "-"], &said[..]].concat();
    assert_eq!(place.run_with_input(&put, b"123456789").code, Some(0));
    let stat = place.run(&["disk", "stat", "main", "note", "--format", "json"]).json();
    assert_eq!((&stat["size"], &stat["checksum"]), (&json!(9), &json!("e3069283")));
    assert_eq!(stat["content_type"], "text/x-note");
    assert_eq!(stat["metadata"], json!({ "author": "Ada" }));
    let text = place.run(&["disk", "stat", "main", "note"]).fine();
    assert!(text.contains("content type") && text.contains("metadata author  Ada"), "{text}");

    assert_eq!(
        place.run_with_input(&["disk", "put", "main", "cat.png", "-"], b"...").code,
        Some(0)
    );
    let guessed = place.run(&["disk", "stat", "main", "cat.png", "--format", "json"]).json();
    assert_eq!(guessed["content_type"], "image/png");
}

#[test]
fn the_kind_of_an_error_is_the_exit_code() {
    let place = with_disks();
    put(&place, "main", "there", "there");
    place.write("here", "here");
    let far = "driver = 's3'\nbucket = 'far'\nregion = 'x'\nendpoint = 'http://127.0.0.1:1'\naccess_key_id = 'a'\nsecret_access_key = 'b'\n";
    place.write("far.toml", format!("[storage.far]\n{far}policy.retry.attempts = 1\n"));
    for (code, arguments) in [
        (3, &["stat", "main", "nothing"][..]),
        (3, &["get", "main", "nothing"]),
        (3, &["get", "mian", "there"]),
        (3, &["put", "main", "a", "nowhere"]),
        (3, &["cp", "main:nothing", "backup:a"]),
        (3, &["cp", "-r", "main:nothing", "backup:a"]),
        (3, &["sync", "nowhere", "backup:"]),
        (1, &["put", "main", "there", "here", "--if-absent"]),
        (4, &["ls", "far", "-c", "far.toml"]),
        (2, &["cp", "there", "main:a"]),
        (2, &["cp", "-r", "main:a", "main:a/b"]),
        (2, &["sync", "here", "there"]),
        (2, &["rm", "main"]),
        (2, &["rm", "main", "--recursive"]),
        (2, &["rm", "main", "--recursive", "--prefix", ""]),
        (2, &["rm", "main", "--prefix", "a"]),
        (2, &["url", "main", "there", "--method", "get", "--content-type", "text/plain"]),
        (2, &["ls", "main", "--address", "http://127.0.0.1:1"]),
        (2, &["ls", "main", "--format", "csv"]),
    ] {
        let told = place.run(&[&["disk"], arguments].concat()).failed(code);
        assert!(told.contains("error: "), "{arguments:?}: {told}");
    }
    let there = place.run(&["disk", "get", "main", "there"]).fine();
    assert_eq!(there, "there");
}

#[test]
fn no_key_leads_out_of_its_disk() {
    let place = with_disks();
    place.write("secret", "secret");
    for key in ["../secret", "a/../../secret", "/etc/passwd", "a//b", ".", "a/", "a\nb"] {
        for arguments in [
            &["get", "main", key][..],
            &["put", "main", key, "secret"],
            &["stat", "main", key],
            &["rm", "main", key],
            &["rm", "main", "fine", key],
            &["url", "main", key],
        ] {
            let told = place.run(&[&["disk"], arguments].concat()).failed(2);
            assert!(told.starts_with("error: "), "{arguments:?}: {told}");
        }
    }
    assert_eq!(fs::read(place.path().join("secret")).unwrap(), b"secret");
    assert_eq!(keys(&place, "main"), [""; 0]);
}

#[test]
fn objects_are_removed_by_key_and_by_prefix() {
    let place = with_disks();
    for key in ["a/1", "a/2", "ab", "b", "c"] {
        put(&place, "main", key, "x");
    }
    let removed = place.run(&["disk", "rm", "main", "b", "c", "never"]);
    assert_eq!(removed.code, Some(0), "{removed:?}");
    assert_eq!(removed.errors, "note: nothing is under never\n2 deleted\n");

    let prefix = ["disk", "rm", "main", "--recursive", "--prefix", "a/"];
    let dry = place.run(&[&prefix[..], &["--dry-run"]].concat());
    assert_eq!(dry.output, "delete  a/1\ndelete  a/2\n");
    assert_eq!(keys(&place, "main"), ["a/1", "a/2", "ab"]);
    assert_eq!(place.run(&[&prefix[..], &["--format", "json"]].concat()).json()["deleted"], 2);
    assert_eq!(keys(&place, "main"), ["ab"]);
    assert_eq!(place.run(&["disk", "rm", "main", "--recursive", "--all"]).fine(), "");
    assert_eq!(keys(&place, "main"), [""; 0]);
}

#[test]
fn objects_are_copied_and_moved_with_what_is_said_of_them() {
    let place = with_disks();
    let said = ["disk", "put", "main", "a/1", "-", "--metadata", "by=Ada"];
    assert_eq!(place.run_with_input(&said, b"one").code, Some(0));
    put(&place, "main", "a/b/2", "two");

    place.run(&["disk", "cp", "main:a/1", "main:c"]).fine();
    place.run(&["disk", "cp", "main:a/1", "backup:"]).fine();
    place.run(&["disk", "cp", "-r", "main:a", "backup:all/"]).fine();
    assert_eq!(keys(&place, "backup"), ["1", "all/1", "all/b/2"]);
    let copy = place.run(&["disk", "stat", "backup", "all/1", "--format", "json"]).json();
    assert_eq!(copy["metadata"]["by"], "Ada");
    place.run(&["disk", "cp", "main:a/b/2", "backup:1", "--if-absent"]).failed(1);
    assert_eq!(get(&place, "backup", "1"), "one");

    place.run(&["disk", "mv", "main:c", "main:d/"]).fine();
    assert_eq!(keys(&place, "main"), ["a/1", "a/b/2", "d/c"]);
    let moved = place.run(&["disk", "mv", "-r", "main:a/", "backup:moved", "--format", "json"]);
    assert_eq!((&moved.json()["moved"], &moved.json()["bytes"]), (&json!(2), &json!(6)));
    assert_eq!(keys(&place, "main"), ["d/c"]);
    assert_eq!(get(&place, "backup", "moved/b/2"), "two");
}

#[test]
fn two_names_of_one_folder_lose_nothing() {
    let place = with_disks();
    put(&place, "main", "a", "kept");
    let moved = place.run(&["disk", "mv", "main:a", "twin:a"]);
    assert_eq!(moved.code, Some(1), "{moved:?}");
    assert_eq!(get(&place, "main", "a"), "kept");
}

#[test]
fn what_fails_of_many_is_listed_and_the_rest_is_done() {
    let place = with_disks();
    for (disk, key) in [("main", "a/x"), ("main", "a/y"), ("backup", "a/x/in/the/way")] {
        put(&place, disk, key, "x");
    }
    let copied = place.run(&["disk", "cp", "-r", "main:a", "backup:a", "--format", "json"]);
    assert_eq!(copied.code, Some(1), "{copied:?}");
    assert_eq!((&copied.json()["copied"], &copied.json()["failed"]), (&json!(1), &json!(1)));
    let told: Value = serde_json::from_str(copied.errors.trim()).unwrap();
    assert_eq!(told["error"]["context"]["key"], "a/x");
    assert_eq!(get(&place, "backup", "a/y"), "x");
}

#[test]
fn an_address_is_signed_for_a_time() {
    let place = with_disks();
    let url = ["disk", "url", "signed", "a b.txt"];
    let signed = place.run(&[&url[..], &["--ttl", "5m"]].concat()).fine();
    assert!(signed.starts_with("https://files.example.com/a%20b.txt?"), "{signed}");
    let upload = ["--method", "put", "--content-type", "image/png", "--format", "json"];
    let upload = place.run(&[&url[..], &upload].concat()).json();
    assert_eq!(upload["method"], "PUT");
    assert_eq!(upload["headers"], json!({ "content-type": "image/png" }));
    place.run(&[&url[..], &["--ttl", "300 days"]].concat()).failed(2);
    place.run(&["disk", "url", "main", "a"]).failed(1);
}

#[test]
fn a_folder_and_a_disk_become_alike_and_then_nothing_is_left_to_do() {
    let place = with_disks();
    let folder = place.path().join("photos");
    fs::create_dir_all(folder.join("2026")).unwrap();
    fs::write(folder.join("cat"), "cat").unwrap();
    fs::write(folder.join("2026").join("dog"), "dog").unwrap();
    let sync = |arguments: &[&str]| {
        let ran = place.run(&[&["disk", "sync"], arguments, &["--format", "json"]].concat());
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let told = ran.json();
        ["copied", "deleted", "unchanged"].map(|what| told[what].as_u64().unwrap())
    };
    let dry = place.run(&["disk", "sync", "photos", "main:p/", "--dry-run"]);
    assert_eq!(dry.output, "copy    2026/dog\ncopy    cat\n");
    assert_eq!(dry.errors, "would be: 2 copied, 6 B\n");
    assert_eq!(keys(&place, "main"), [""; 0]);
    assert_eq!(sync(&["photos", "main:p/"]), [2, 0, 0]);
    assert_eq!(sync(&["photos", "main:p/"]), [0, 0, 2]);

    assert_eq!(sync(&["main:p/", "backup:q"]), [2, 0, 0]);
    assert_eq!(sync(&["main:p/", "backup:q"]), [0, 0, 2]);

    // Of the same size, and older than what it takes the place of.
    put(&place, "main", "p/cat", "CAT");
    put(&place, "main", "p/new", "new");
    place.run(&["disk", "rm", "main", "p/2026/dog"]).fine();
    fs::write(folder.join("cat"), "cat").unwrap();
    assert_eq!(sync(&["main:p", "photos"]), [2, 0, 0]);
    assert_eq!(fs::read(folder.join("cat")).unwrap(), b"CAT");
    assert_eq!(sync(&["main:p", "photos", "--delete"]), [0, 1, 2]);
    assert!(!folder.join("2026").exists(), "folders that are empty go too");
    assert_eq!(sync(&["main:p", "photos", "--delete"]), [0, 0, 2]);
    assert_eq!(sync(&["main:p", "backup:q", "--delete"]), [2, 1, 0]);
    assert_eq!(sync(&["main:p", "backup:q", "--delete"]), [0, 0, 2]);
}

#[test]
fn from_a_place_with_nothing_in_it_nothing_is_deleted() {
    let place = with_disks();
    put(&place, "backup", "a", "kept");
    let told = place.run(&["disk", "sync", "main:photso/", "backup:", "--delete"]).failed(2);
    assert!(told.contains("nothing is here"), "{told}");
    assert_eq!(get(&place, "backup", "a"), "kept");
}

#[test]
fn after_a_failure_nothing_is_deleted_unless_that_is_meant() {
    let place = with_disks();
    for (disk, key) in [("main", "a"), ("main", "b"), ("backup", "a/in/the/way"), ("backup", "old")]
    {
        put(&place, disk, key, "x");
    }
    let sync = ["disk", "sync", "main:", "backup:", "--delete"];
    let synced = place.run(&[&sync[..], &["--format", "json"]].concat());
    assert_eq!(synced.code, Some(1), "{synced:?}");
    let told = synced.json();
    assert_eq!(
        ["copied", "failed", "deleted", "kept"].map(|what| told[what].as_u64().unwrap()),
        [1, 1, 0, 2]
    );
    assert!(synced.errors.contains("nothing is deleted"), "{synced:?}");
    assert_eq!(keys(&place, "backup"), ["a/in/the/way", "b", "old"]);

    let synced = place.run(&[&sync[..], &["--ignore-errors"]].concat());
    assert_eq!(synced.code, Some(1), "{synced:?}");
    assert_eq!(keys(&place, "backup"), ["b"]);
    assert_eq!(place.run(&[&sync[..], &["--format", "json"]].concat()).json()["copied"], 1);
    assert_eq!(keys(&place, "backup"), ["a", "b"]);
}

#[cfg(unix)]
#[test]
fn no_symbolic_link_in_a_folder_leads_elsewhere() {
    let place = with_disks();
    for folder in ["photos", "elsewhere"] {
        fs::create_dir(place.path().join(folder)).unwrap();
    }
    place.write("elsewhere/secret", "secret");
    std::os::unix::fs::symlink("../elsewhere", place.path().join("photos").join("link")).unwrap();
    put(&place, "main", "link/secret", "other!");
    let synced = place.run(&["disk", "sync", "main:", "photos"]);
    assert_eq!(synced.code, Some(1), "{synced:?}");
    assert_eq!(fs::read(place.path().join("elsewhere").join("secret")).unwrap(), b"secret");
    let synced = place.run(&["disk", "sync", "photos", "backup:"]);
    assert_eq!((synced.code, synced.errors.as_str()), (Some(0), "1 skipped\n"));
    assert_eq!(keys(&place, "backup"), [""; 0]);
}

#[test]
fn a_folder_on_a_disk_that_is_not_there_is_told_of() {
    let place = with_disks();
    put(&place, "main", "photos/cat", "cat");
    let told = place.run(&["disk", "sync", "main:photso/", "backup:"]).failed(3);
    assert!(told.contains("photso/") && !told.contains("one object"), "{told}");
    let told = place.run(&["disk", "sync", "main:photos/cat", "out"]).failed(3);
    assert!(told.contains("it is one object: `disk cp` copies it"), "{told}");
    assert!(!place.path().join("out").exists());
    // A disk may be empty.
    place.run(&["disk", "sync", "backup:", "main:"]).fine();
    let told = place.run(&["disk", "ls", "main:photos/"]).failed(3);
    assert!(told.contains("`main photos/`"), "{told}");
}

#[cfg(target_os = "linux")]
#[test]
fn files_whose_names_are_no_text_are_skipped_in_a_sync() {
    use std::os::unix::ffi::OsStrExt as _;

    let place = with_disks();
    let folder = place.path().join("photos");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("cat"), "cat").unwrap();
    fs::write(folder.join(std::ffi::OsStr::from_bytes(b"d\xf6g")), "dog").unwrap();
    let synced = place.run(&["disk", "sync", "photos", "main:"]);
    assert_eq!(
        (synced.code, synced.errors.as_str()),
        (Some(0), "1 copied, 1 skipped, 3 B\n"),
        "{synced:?}"
    );
    assert_eq!(keys(&place, "main"), ["cat"]);
}

#[cfg(unix)]
#[test]
fn a_sync_replaces_nothing_that_is_no_file() {
    let place = with_disks();
    for key in ["link", "pipe", "plain"] {
        put(&place, "main", key, "object");
    }
    let folder = place.path().join("photos");
    fs::create_dir(&folder).unwrap();
    place.write("elsewhere", "elsewhere");
    std::os::unix::fs::symlink("../elsewhere", folder.join("link")).unwrap();
    assert!(Command::new("mkfifo").arg(folder.join("pipe")).status().unwrap().success());
    let synced = place.run(&["disk", "sync", "main:", "photos", "--format", "json"]);
    let told = synced.json();
    assert_eq!((&told["copied"], &told["failed"]), (&json!(1), &json!(2)), "{synced:?}");
    assert_eq!(fs::read(place.path().join("elsewhere")).unwrap(), b"elsewhere");
    assert!(fs::symlink_metadata(folder.join("link")).unwrap().is_symlink());
}

#[test]
fn objects_without_a_known_checksum_are_read_if_that_is_asked_for() {
    let place = with_disks();
    let file = place.path().join("disks/main/a");
    put(&place, "main", "a", "one");
    place.run(&["disk", "sync", "main:", "backup:"]).fine();
    // Somebody else's file, which looks older than what was made of the one before.
    fs::remove_file(&file).unwrap();
    fs::write(&file, "two").unwrap();
    let file = fs::File::options().write(true).open(&file).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    place.run(&["disk", "sync", "main:", "backup:"]).fine();
    assert_eq!(get(&place, "backup", "a"), "one");
    place.run(&["disk", "sync", "main:", "backup:", "--checksum"]).fine();
    assert_eq!(get(&place, "backup", "a"), "two");
}

#[cfg(unix)]
#[test]
fn what_was_killed_on_its_way_to_a_disk_goes_on_where_it_was() {
    let place = with_disks();
    place.write("switchboard.toml", IN_SMALL_PARTS);
    let put = ["disk", "put", "main", "large", "large", "--resume"];
    let bytes = bytes(1_000_000);
    place.write("large", &bytes);
    let is_kept = || fs::read_dir(place.home().join("uploads")).unwrap().next().is_some();

    killed_by_a_limit(&place, &put);
    assert!(is_kept());
    let again = place.run(&put);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(again.errors.contains("are there already"), "{again:?}");
    assert!(place.output(&["disk", "get", "main", "large"], b"").stdout == bytes);
    assert!(!is_kept());

    // Of a file that is another one by now nothing is used, and nothing stays.
    killed_by_a_limit(&place, &put);
    place.write("large", &bytes[1..]);
    let again = place.run(&put);
    assert_eq!((again.code, again.errors.as_str()), (Some(0), ""), "{again:?}");
    assert!(place.output(&["disk", "get", "main", "large"], b"").stdout == bytes[1..]);
    assert!(!is_kept());
    assert_eq!(place.run(&["disk", "sweep", "main", "--older", "0s"]).errors, "0 swept\n");

    // An upload that the disk has forgotten begins anew.
    killed_by_a_limit(&place, &put);
    assert_eq!(place.run(&["disk", "sweep", "main", "--older", "0s"]).errors, "1 swept\n");
    place.run(&put).fine();
    assert!(place.output(&["disk", "get", "main", "large"], b"").stdout == bytes[1..]);

    place.run(&[&put[..], &["--if-absent"]].concat()).failed(1);
    assert!(!is_kept());
    place.run(&["disk", "put", "main", "large", "-", "--resume"]).failed(2);
}

#[cfg(unix)]
#[test]
fn what_was_killed_on_its_way_to_a_file_goes_on_where_it_was() {
    use std::os::unix::fs::MetadataExt as _;

    let place = with_disks();
    let bytes = bytes(1_000_000);
    place.write("large", &bytes);
    place.run(&["disk", "put", "main", "large", "large"]).fine();
    fs::create_dir(place.path().join("here")).unwrap();
    let get = ["disk", "get", "main", "large", "here/large", "--resume"];
    killed_by_a_limit(&place, &get);
    let kept = fs::read_dir(place.path().join("here")).unwrap().next().unwrap().unwrap();
    let kept = kept.metadata().unwrap();
    assert!(kept.len() > 0 && kept.len() < 1_000_000);
    place.run(&get).fine();
    let whole = place.path().join("here/large");
    assert!(fs::read(&whole).unwrap() == bytes);
    assert_eq!(fs::metadata(whole).unwrap().ino(), kept.ino());
    assert_eq!(fs::read_dir(place.path().join("here")).unwrap().count(), 1);
    place.run(&["disk", "get", "main", "large", "--resume"]).failed(2);
}

#[cfg(unix)]
#[test]
fn of_an_upload_that_is_stopped_nothing_stays() {
    let place = with_disks();
    place.write("parts.toml", "[storage.main]\npart_size = '1KiB'\n");
    let files = ["-c", "switchboard.toml", "-c", "parts.toml"];
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let mut put = place.command(&[&["disk", "put", "main", "large", "-"], &files[..]].concat());
        put.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = put.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(&vec![7; 1 << 20]).unwrap();
        // The end of the input does not come, so that it cannot be done.
        until(|| has_files(&place.path().join("disks/main")));
        send(signal, child.id());
        let ended = child.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(code), "{ended:?}");
        assert!(ended.stdout.is_empty() && ended.stderr.is_empty(), "{ended:?}");
        assert!(!has_files(&place.path().join("disks/main")), "{signal}");
        drop(input);
    }
}

#[cfg(unix)]
#[test]
fn of_a_file_that_is_stopped_on_its_way_nothing_stays() {
    let place = Place::new();
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\nETag: \"one\"\r\n\r\n";
    let server = Stuck::after(format!("{head}the beginning"));
    let far = format!("[storage.far]\ndriver = 'http'\nurl = '{}'\n", server.address());
    place.write("switchboard.toml", far);
    fs::create_dir(place.path().join("here")).unwrap();
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let mut get = place.command(&["disk", "get", "far", "large", "here/large"]);
        let child = get.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        until(|| has_files(&place.path().join("here")));
        send(signal, child.id());
        let ended = child.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(code), "{ended:?}");
        assert!(!has_files(&place.path().join("here")), "{signal}");
    }
}

#[cfg(unix)]
#[test]
fn a_reader_who_does_not_read_keeps_nobody_from_stopping() {
    let place = with_disks();
    place.write("large", vec![7; 4 << 20]);
    place.run(&["disk", "put", "main", "large", "large"]).fine();
    let mut get = place.command(&["disk", "get", "main", "large"]);
    let mut child = get.stdout(Stdio::piped()).spawn().unwrap();
    let mut output = child.stdout.take().unwrap();
    output.read_exact(&mut [0]).unwrap();
    send("INT", child.id());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    drop(output);
}

#[cfg(unix)]
#[test]
fn what_writers_that_are_gone_have_left_is_swept_if_it_is_old() {
    let place = with_disks();
    place.write("parts.toml", "[storage.main]\npart_size = '1KiB'\n");
    let files = ["-c", "switchboard.toml", "-c", "parts.toml"];
    let mut put = place.command(&[&["disk", "put", "main", "large", "-"], &files[..]].concat());
    let mut child = put.stdin(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(&vec![7; 1 << 20]).unwrap();
    until(|| has_files(&place.path().join("disks/main")));
    child.kill().unwrap();
    child.wait().unwrap();
    let sweep = |age: &str| {
        place.run(&["disk", "sweep", "main", "--older", age, "--format", "json"]).json()
    };
    assert_eq!(sweep("1d")["swept"], 0);
    assert_eq!(sweep("0s")["swept"], 1);
    assert_eq!(sweep("0s")["swept"], 0);
    assert_eq!(place.run(&["disk", "sweep", "main", "--older", "1d"]).errors, "0 swept\n");
    place.run(&["disk", "sweep", "main"]).failed(2);
    assert!(!has_files(&place.path().join("disks/main")));
}

/// However large an object is, only a few parts of it are in memory.
#[cfg(target_os = "linux")]
#[test]
fn a_large_object_streams_through_a_little_memory() {
    let place = with_disks();
    let mut put = place.command(&["disk", "put", "main", "large", "-"]);
    let mut child = put.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    std::io::copy(&mut std::io::repeat(7).take(LARGE - 1), &mut input).unwrap();
    // It waits for the last byte, so that it cannot be done yet.
    let kilobytes = peak(child.id());
    input.write_all(b"8").unwrap();
    drop(input);
    assert!(child.wait().unwrap().success());
    assert!(kilobytes < 160 * 1024, "put: {kilobytes} kB");

    let mut get = place.command(&["disk", "get", "main", "large"]);
    let mut child = get.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut output = child.stdout.take().unwrap();
    let most = std::io::copy(&mut (&mut output).take(LARGE - (1 << 20)), &mut std::io::sink());
    // A pipe holds less than what is left.
    let kilobytes = peak(child.id());
    let rest = std::io::copy(&mut output, &mut std::io::sink()).unwrap();
    assert_eq!(most.unwrap() + rest, LARGE);
    assert!(child.wait().unwrap().success());
    assert!(kilobytes < 160 * 1024, "get: {kilobytes} kB");
}

#[test]
fn that_the_running_board_has_another_disk_is_told() {
    let place = with_disks();
    let up = place.up(&["--no-watch"]);
    let quiet = place.run(&["disk", "ls", "main"]);
    assert_eq!((quiet.code, quiet.errors.as_str()), (Some(0), ""));
    let swap = ["swap", "storage.main", "driver=local", "root=disks/main", "durability=full"];
    place.run(&swap).fine();
    let told = place.run(&["disk", "ls", "main"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    let note = "note: the running board has another storage.main (durability)";
    assert!(told.errors.starts_with(note), "{told:?}");
    let quiet = place.run(&["disk", "ls", "main", "--offline"]);
    assert_eq!(quiet.errors, "");
    up.stop();
}

#[test]
fn that_the_running_board_has_a_disk_with_other_objects_is_told() {
    let place = with_disks();
    let up = place.up(&["--no-watch"]);
    let replaced = "replaces=local root=disks/main";
    place.run(&["swap", "storage.main", "driver=local", "root=disks/other", replaced]).fine();
    let told = place.run(&["disk", "ls", "main"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(
        told.errors.starts_with("note: the running board has another storage.main ("),
        "{told:?}"
    );
    assert!(told.errors.contains("root"), "{told:?}");
    up.stop();
}

#[test]
fn nothing_is_moved_to_a_disk_that_ends_with_the_command() {
    let place = with_disks();
    put(&place, "main", "key", "text");
    for disk in ["memory", "over"] {
        let refused = place.run(&["disk", "mv", "main:key", &format!("{disk}:")]);
        assert!(refused.failed(1).contains("lost with this command"), "{disk}");
        assert_eq!(get(&place, "main", "key"), "text");
    }
}

#[test]
fn that_what_is_stored_ends_with_the_command_is_told() {
    let place = with_disks();
    put(&place, "main", "a/key", "text");
    for arguments in [
        &["put", "memory", "key", "-"][..],
        &["cp", "main:a/key", "memory:"],
        &["sync", "main:a/", "over:"],
    ] {
        let told = place.run(&[&["disk"], arguments].concat());
        assert_eq!(told.code, Some(0), "{told:?}");
        assert!(told.errors.contains("ends with this command"), "{told:?}");
    }
}

#[test]
fn a_key_beside_what_says_other_objects_removes_nothing() {
    let place = with_disks();
    put(&place, "main", "a/key", "text");
    for beside in [&["--prefix", "a/"][..], &["--all"], &["--dry-run"], &["--recursive"]] {
        place.run(&[&["disk", "rm", "main", "a/key"], beside].concat()).failed(2);
        assert_eq!(get(&place, "main", "a/key"), "text", "{beside:?}");
    }
    for alone in [&["--prefix", "a/"][..], &["--all"], &["--dry-run"]] {
        let refused = place.run(&[&["disk", "rm", "main"], alone].concat()).failed(2);
        assert!(refused.contains("--recursive"), "{refused}");
        let asked = refused.split("Usage").next().unwrap();
        assert!(!asked.contains("KEYS"), "{refused}");
    }
}

/// The disk of the others, with parts so short that there are many.
const IN_SMALL_PARTS: &str = "[storage.main]\ndriver = 'local'\nroot = 'disks/main'\n\
                              durability = 'none'\npart_size = '10KiB'\n";

/// Bytes that are not the same anywhere.
fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

/// Has the system kill a command that writes more than half a mebibyte to one file.
#[cfg(unix)]
fn killed_by_a_limit(place: &Place, arguments: &[&str]) {
    let command = place.command(arguments);
    let mut limited = Command::new("/bin/sh");
    limited.args(["-c", "ulimit -c 0; ulimit -f 500; exec \"$0\" \"$@\""]);
    limited.arg(command.get_program()).args(command.get_args());
    limited.current_dir(place.path()).env_clear().env("SWITCHBOARD_HOME", place.home());
    let ended = limited.output().unwrap();
    assert_eq!(ended.status.code(), None, "{ended:?}");
}

/// Waits for something, for as long as a slow machine takes.
#[expect(clippy::disallowed_methods, reason = "a process of its own is waited for")]
fn until(is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < common::PATIENCE * 3, "it does not come");
        std::thread::yield_now();
    }
}

/// Whether there is a file in a folder, or in one beneath it, that has bytes.
fn has_files(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    entries.map_while(Result::ok).any(|entry| match entry.metadata() {
        Ok(about) if about.is_dir() => has_files(&entry.path()),
        about => about.is_ok_and(|about| about.len() > 0),
    })
}

#[cfg(unix)]
fn send(signal: &str, process: u32) {
    let sent = Command::new("kill").args([&format!("-{signal}"), &process.to_string()]).status();
    assert!(sent.unwrap().success());
}

/// A web server that answers everything with one text, and then says no more.
struct Stuck(TcpListener);

impl Stuck {
    fn after(answer: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut open = Vec::new();
            for stream in server.incoming().map_while(Result::ok) {
                let mut stream = BufReader::new(stream);
                while stream.read_line(&mut String::new()).is_ok_and(|length| length > 2) {}
                drop(stream.get_mut().write_all(answer.as_bytes()));
                open.push(stream);
            }
        });
        Self(listener)
    }

    fn address(&self) -> String {
        format!("http://{}", self.0.local_addr().unwrap())
    }
}

const LARGE: u64 = 300 << 20;

/// The most memory that a process has had, in kilobytes.
fn peak(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A place with some disks in folders.
fn with_disks() -> Place {
    let place = Place::new();
    let disk = |name, root| {
        format!("[storage.{name}]\ndriver = 'local'\nroot = '{root}'\ndurability = 'none'\n")
    };
    let disks =
        [disk("main", "disks/main"), disk("twin", "disks/main"), disk("backup", "disks/backup")];
    let keys = "sign_keys = [{ id = 'k', secret = '0123456789abcdef0123456789abcdef' }]";
    let signed = format!(
        "{}public_url = 'https://files.example.com'\n{keys}\n",
        disk("signed", "disks/main")
    );
    let lost = "[storage.memory]\ndriver = 'memory'\n\
                [storage.over]\ndriver = 'prefix'\ndisk = 'memory'\nprefix = 'in'\n";
    place.write("switchboard.toml", disks.concat() + &signed + lost);
    place
}

#[track_caller]
fn put(place: &Place, disk: &str, key: &str, text: &str) {
    let put = place.run_with_input(&["disk", "put", disk, key, "-"], text.as_bytes());
    assert_eq!((put.code, put.errors.as_str()), (Some(0), ""), "{put:?}");
}

#[track_caller]
fn get(place: &Place, disk: &str, key: &str) -> String {
    place.run(&["disk", "get", disk, key]).fine()
}

#[track_caller]
fn keys(place: &Place, disk: &str) -> Vec<String> {
    let list = place.run(&["disk", "ls", disk, "--format", "json"]).fine();
    let key = |line: &str| {
        serde_json::from_str::<Value>(line).unwrap()["key"].as_str().unwrap().to_owned()
    };
    list.lines().map(key).collect()
}
