//! What is said of files, and what becomes of it when others do something to them.

use std::fs::{self, File, FileTimes};
use std::io::{Seek as _, Write as _};
use std::time::Duration;

use switchboard_core::ErrorKind;

use super::*;

#[tokio::test]
async fn what_others_put_there_is_an_object_without_attributes() {
    for home in Home::of_each_keeping() {
        fs::create_dir_all(home.path("by")).unwrap();
        fs::write(home.path("by/others"), "by others").unwrap();
        let meta = home.head("by/others").await.unwrap();
        assert_eq!(meta.size, 9);
        assert_eq!((meta.checksum, meta.attributes.content_type), (None, None));
        assert_eq!(home.read("by/others").await.unwrap(), "by others");
        assert_eq!(home.keys().await, ["by/others"]);

        let wrong = Condition::Version(Version::new("another"));
        let error = home.put_if("by/others", "ours", wrong).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PreconditionFailed);
        home.put_if("by/others", "ours", Condition::Version(meta.version)).await.unwrap();
        assert_eq!(home.read("by/others").await.unwrap(), "ours");
    }
}

#[tokio::test]
async fn a_file_that_others_change_in_its_place_is_another_version_without_a_checksum() {
    for home in Home::of_each_keeping() {
        let stored = home.put("note", "before").await.unwrap();
        let mut file = File::options().write(true).open(home.path("note")).unwrap();
        file.write_all(b"behind").unwrap();
        // As if it had been later, however coarse the clock of the file system is.
        let modified = file.metadata().unwrap().modified().unwrap() + Duration::from_secs(1);
        file.set_times(FileTimes::new().set_modified(modified)).unwrap();

        let meta = home.head("note").await.unwrap();
        assert_ne!(meta.version, stored.version);
        assert_eq!(meta.checksum, None);
        let old = Condition::Version(stored.version);
        let error = home.put_if("note", "ours", old).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PreconditionFailed);
        home.put_if("note", "ours", Condition::Version(meta.version)).await.unwrap();
        assert!(home.head("note").await.unwrap().checksum.is_some());
    }
}

#[tokio::test]
async fn a_file_that_others_only_touch_keeps_its_attributes() {
    let [home, _] = Home::of_each_keeping();
    home.put("note", "text").await.unwrap();
    let later = FileTimes::new().set_modified(std::time::UNIX_EPOCH + Duration::from_hours(1));
    File::options().write(true).open(home.path("note")).unwrap().set_times(later).unwrap();
    let meta = home.head("note").await.unwrap();
    assert_eq!(meta.attributes.content_type.as_deref(), Some("text/plain"));
    assert_eq!(meta.checksum, None);
}

#[tokio::test]
async fn bytes_that_changed_on_the_disk_still_have_the_checksum_of_those_that_were_stored() {
    for home in Home::of_each_keeping() {
        home.put("note", "text").await.unwrap();
        let mut file = File::options().read(true).write(true).open(home.path("note")).unwrap();
        let modified = file.metadata().unwrap().modified().unwrap();
        file.rewind().unwrap();
        file.write_all(b"tekt").unwrap();
        file.set_times(FileTimes::new().set_modified(modified)).unwrap();
        assert_eq!(home.head("note").await.unwrap().checksum, Some(Checksum::of(b"text")));
    }
}

#[tokio::test]
async fn the_same_bytes_written_twice_are_two_versions() {
    for home in Home::of_each_keeping() {
        let mut seen = std::collections::HashSet::new();
        for _ in 0..50 {
            assert!(seen.insert(home.put("note", "same").await.unwrap().version));
        }
        home.delete("note", None).await.unwrap();
        assert!(seen.insert(home.put("note", "same").await.unwrap().version));
    }
}

#[tokio::test]
async fn an_object_takes_what_is_said_of_it_along_and_becomes_another_version() {
    for home in Home::of_each_keeping() {
        let first = home.put("a/note", "text").await.unwrap();
        let (from, to) = (Key::parse("a/note").unwrap(), Key::parse("b/c/note").unwrap());
        let copied = home.local.copy(from, to, &Condition::Absent).await.unwrap();
        let again = home.local.rename(from, to, &Condition::Absent).await.unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AlreadyExists);
        let moved = home.local.rename(from, to, &Condition::Always).await.unwrap();

        let meta = home.head("b/c/note").await.unwrap();
        assert_eq!(meta.version, moved.version);
        assert_eq!(meta.attributes.content_type.as_deref(), Some("text/plain"));
        assert_eq!(meta.checksum, Some(Checksum::of(b"text")));
        assert!(moved.version != first.version && copied.version != first.version);
        assert_eq!(home.keys().await, ["b/c/note"]);
        assert!(!home.path("a").exists(), "the directory is empty");
        assert_eq!(home.own("tmp"), 0);
        assert!(home.own("meta") <= 1);
    }
}

#[tokio::test]
async fn a_copy_is_a_file_of_its_own() {
    let home = Home::new();
    home.put("one", "text").await.unwrap();
    let (from, to) = (Key::parse("one").unwrap(), Key::parse("two").unwrap());
    home.local.copy(from, to, &Condition::Always).await.unwrap();
    fs::write(home.path("one"), "changed by others").unwrap();
    assert_eq!(home.read("two").await.unwrap(), "text");
}

#[tokio::test]
async fn what_does_not_fit_into_an_attribute_is_kept_in_a_file() {
    let home = Home::new();
    let long = "x".repeat(100_000);
    let mut write = Write::default();
    write.attributes.content_disposition = Some(long.clone());
    let key = Key::parse("note").unwrap();
    home.local.put(key, "text".into(), &write).await.unwrap();
    assert_eq!(home.head("note").await.unwrap().attributes.content_disposition, Some(long));
    assert_eq!(home.own("meta"), 1);
    home.put("note", "short").await.unwrap();
    assert_eq!(home.own("meta"), 0, "what was said of the old one went with it");
}

#[tokio::test]
async fn files_beside_objects_that_are_gone_are_swept_and_others_stay() {
    let [_, home] = Home::of_each_keeping();
    for key in ["kept", "removed", "moved"] {
        home.put(key, "text").await.unwrap();
    }
    fs::remove_file(home.path("removed")).unwrap();
    fs::create_dir(home.path("by others")).unwrap();
    fs::rename(home.path("moved"), home.path("by others/moved")).unwrap();
    let kept = home.head("kept").await.unwrap();
    assert_eq!(home.local.sweep(Duration::from_hours(1)).await.unwrap(), 0);
    assert_eq!(home.local.sweep(Duration::ZERO).await.unwrap(), 1);
    assert_eq!(home.head("kept").await.unwrap(), kept);
    let moved = home.head("by others/moved").await.unwrap();
    assert_eq!(moved.attributes.content_type.as_deref(), Some("text/plain"));
}

#[tokio::test]
async fn everything_that_is_said_of_an_object_comes_back() {
    for home in Home::of_each_keeping() {
        let mut write = Write::default();
        let said = &mut write.attributes;
        said.content_type = Some("text/plain; charset=utf-8".into());
        said.cache_control = Some("max-age=60".into());
        said.content_disposition = Some("attachment; filename=\"a b.txt\"".into());
        said.content_encoding = Some("gzip".into());
        said.content_language = Some("de-CH".into());
        said.metadata.insert("type".into(), "of metadata".into());
        said.metadata.insert("key".into(), "1 2  3".into());
        write.checksum = Some(Checksum::of(b"text"));
        write.write_id = crate::WriteId::parse("00112233445566778899aabbccddeeff");
        let key = Key::parse("note").unwrap();
        home.local.put(key, "text".into(), &write).await.unwrap();
        let meta = home.head("note").await.unwrap();
        assert_eq!(meta.attributes, write.attributes);
        assert_eq!((meta.checksum, meta.write_id), (write.checksum, write.write_id));
    }
}

#[tokio::test]
async fn damaged_notes_beside_an_object_do_not_hide_it() {
    let home = Home::new();
    home.put("note", "text").await.unwrap();
    for damaged in [&b""[..], b"\x01", b"text", b"\xff\xff", &[1; 20], &[1; 23], &[1; 50]] {
        let file = File::open(home.path("note")).unwrap();
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::fsetxattr(&file, super::super::side::NAME, damaged, flags).unwrap();
        let meta = home.head("note").await.unwrap();
        assert_eq!((meta.size, meta.checksum), (4, None));
        assert_eq!(home.read("note").await.unwrap(), "text");
    }
}
