//! Copying, renaming and deleting, natively and not.

use switchboard_core::{ErrorKind, Outcome};

use super::troubled::{Trouble, in_parts_of, small, troubled};
use super::{body, cutting};
use crate::{Attributes, DiskConfig, Limits, capability};

#[tokio::test]
async fn a_copy_has_the_bytes_and_all_that_is_said_of_them_whoever_makes_it() {
    for without in [&[][..], &[capability::COPY]] {
        let (bench, disk, troubles) = troubled(small(), without, in_parts_of(1024));
        let (bytes, body) = body(3000);
        disk.put("from", body).content_type("text/x-odd").metadata("by", "Ada").await.unwrap();
        let stored = disk.copy("from", "to").if_absent().await.unwrap();
        let (from, to) = (disk.head("from").await.unwrap(), disk.head("to").await.unwrap());
        assert_eq!(disk.read("to").await.unwrap(), bytes);
        assert_eq!((to.attributes, to.checksum), (from.attributes, from.checksum));
        assert_eq!(to.version, stored.version);
        assert_eq!(troubles.asked("get from") > 0, !without.is_empty());

        let error = disk.copy("from", "to").if_absent().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert_eq!(
            (error.context_value("key"), error.context_value("from")),
            (Some("to"), Some("from"))
        );
        let error = disk.copy("none", "to").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(disk.read("to").await.unwrap(), bytes);
        bench.close().await;
    }
}

#[tokio::test]
async fn what_is_said_of_a_copy_can_be_said_anew() {
    let (_disks, disk) = cutting().await;
    disk.put("from", "bytes").content_type("text/x-odd").metadata("by", "Ada").await.unwrap();
    let anew = Attributes { content_language: Some("de".into()), ..Attributes::default() };
    for to in ["to", "from"] {
        disk.copy("from", to).attributes(anew.clone()).await.unwrap();
        let meta = disk.head(to).await.unwrap();
        assert_eq!(disk.read(to).await.unwrap(), "bytes");
        assert_eq!(meta.attributes.content_language.as_deref(), Some("de"));
        assert!(meta.attributes.metadata.is_empty(), "{meta:?}");
    }
    disk.rename("to", "last.txt").attributes(anew.clone()).await.unwrap();
    assert!(!disk.exists("to").await.unwrap());
    assert_eq!(
        disk.head("last.txt").await.unwrap().attributes.content_language,
        anew.content_language
    );
}

#[tokio::test]
async fn an_object_copied_onto_itself_is_as_it_was() {
    let (_disks, disk) = cutting().await;
    let stored = disk.put("key", "bytes").await.unwrap();
    assert_eq!(disk.copy("key", "key").await.unwrap(), stored);
    assert_eq!(disk.rename("key", "key").await.unwrap(), stored);
    assert_eq!(disk.head("key").await.unwrap().version, stored.version);
    assert_eq!(disk.copy("none", "none").await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn what_the_service_cannot_rename_is_copied_and_deleted() {
    for without in [
        &[capability::RENAME][..],
        &[capability::RENAME, capability::COPY, capability::DELETE_VERSION],
    ] {
        let (bench, disk, _) = troubled(small(), without, in_parts_of(1024));
        disk.put("from", "bytes").metadata("by", "Ada").await.unwrap();
        disk.rename("from", "to").await.unwrap();
        assert!(!disk.exists("from").await.unwrap());
        assert_eq!(disk.read("to").await.unwrap(), "bytes");
        assert_eq!(disk.head("to").await.unwrap().attributes.metadata["by"], "Ada");
        bench.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_renaming_that_ends_half_way_says_that_the_copy_is_there() {
    let (bench, disk, troubles) = troubled(small(), &[capability::RENAME], in_parts_of(1024));
    disk.put("from", "bytes").await.unwrap();
    troubles.expect("delete", &[Trouble::Unreached; 9]);
    let error = disk.rename("from", "to").await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::Applied));
    assert!(disk.exists("from").await.unwrap() && disk.exists("to").await.unwrap());
    bench.close().await;
}

#[tokio::test]
async fn what_came_under_the_old_key_while_it_was_renamed_is_not_deleted() {
    let (bench, disk, troubles) = troubled(small(), &[capability::RENAME], in_parts_of(1024));
    disk.put("from", "first").await.unwrap();
    troubles.meanwhile("copy", "from", "second");
    let error = disk.rename("from", "to").await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::PreconditionFailed, Outcome::Applied));
    assert_eq!(disk.read("from").await.unwrap(), "second");
    bench.close().await;
}

#[tokio::test]
async fn what_goes_to_another_disk_is_compared_with_what_was_stored_on_this_one() {
    let config = DiskConfig { verify: crate::Verify::Off, ..in_parts_of(1024) };
    let (bench, disk, troubles) = troubled(small(), &[], config);
    let (_disks, other) = cutting().await;
    let (bytes, body) = body(5000);
    disk.put("from", body).content_type("text/x-odd").await.unwrap();
    let mut told = Vec::new();
    let copy = disk.copy_to("from", &other, "to").if_absent();
    copy.progress(|progress| told.push((progress.bytes, progress.total))).await.unwrap();
    assert_eq!(other.read("to").await.unwrap(), bytes);
    assert_eq!(
        other.head("to").await.unwrap().attributes.content_type.as_deref(),
        Some("text/x-odd")
    );
    assert_eq!(told.last(), Some(&(5000, Some(5000))));
    let error = disk.copy_to("from", &other, "to").if_absent().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    let error = disk.copy_to("from", &other.read_only(), "to").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);

    troubles.corrupt("from");
    let error = disk.copy_to("from", &other, "to").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(other.read("to").await.unwrap(), bytes);
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_goes_wrong_with_some_of_many_is_told_for_each() {
    let limits = Limits { delete_max: 2, ..small() };
    let (bench, disk, troubles) = troubled(limits, &[], in_parts_of(1024));
    for key in ["a", "b", "c", "d", "e"] {
        disk.put(key, key.to_owned()).await.unwrap();
    }
    troubles.expect("delete c", &[Trouble::Unreached; 9]);
    let deleted = disk.delete_many(&["a", "x", "c", "d", "e"]).await.unwrap();
    let told: Vec<_> = deleted
        .iter()
        .map(|answer| answer.as_ref().map_err(switchboard_core::Error::kind))
        .collect();
    let failed = Err(ErrorKind::Unavailable);
    assert_eq!(told, [Ok(&true), Ok(&false), failed, Ok(&true), Ok(&true)]);
    assert_eq!(deleted[2].as_ref().unwrap_err().context_value("key"), Some("c"));

    let error = disk.delete_many(&["a", "../b"]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_one_request_of_many_did_is_told_although_the_next_one_failed() {
    let limits = Limits { delete_max: 2, ..small() };
    let (bench, disk, troubles) = troubled(limits, &[], in_parts_of(1024));
    disk.put("a", "…").await.unwrap();
    troubles.expect("many c", &[Trouble::Unreached; 9]);
    let deleted = disk.delete_many(&["a", "b", "c", "d", "e"]).await.unwrap();
    assert!(matches!(deleted[..2], [Ok(true), Ok(false)]));
    for (answer, key) in deleted[2..].iter().zip(["c", "d", "e"]) {
        let error = answer.as_ref().unwrap_err();
        assert_eq!((error.kind(), error.context_value("key")), (ErrorKind::Unavailable, Some(key)));
    }
    assert_eq!(deleted.len(), 5);

    troubles.expect("many x", &[Trouble::Unreached; 9]);
    let error = disk.delete_many(&["x"]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    bench.close().await;
}

#[tokio::test]
async fn a_prefix_takes_what_begins_so_and_nothing_else() {
    let (_disks, disk) = cutting().await;
    for key in ["a/1", "a/2", "ab", "b"] {
        disk.put(key, "1234").await.unwrap();
    }
    let scope = disk.scope("a").unwrap();
    for refused in [disk.delete_all("").await, disk.delete_all("").dry_run().await] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    let would = disk.delete_all("a").dry_run().await.unwrap();
    assert_eq!((would.objects, would.bytes, would.failed.len()), (3, 12, 0));
    let gone = scope.delete_all("").everything().await.unwrap();
    assert_eq!((gone.objects, gone.bytes), (2, 8));
    assert!(disk.exists("ab").await.unwrap() && disk.exists("b").await.unwrap());
    let error = disk.read_only().delete_all("a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
}

#[tokio::test]
async fn more_objects_go_than_one_page_and_one_request_take() {
    let limits = Limits { delete_max: 3, list_max: 7, ..small() };
    let (bench, disk, troubles) = troubled(limits, &[], in_parts_of(1024));
    for number in 0..50 {
        disk.put(&format!("many/{number:03}"), "x").await.unwrap();
    }
    disk.put("one", "x").await.unwrap();
    assert_eq!(disk.delete_all("many/").await.unwrap().objects, 50);
    assert_eq!(troubles.asked("delete many/"), 50);
    assert!(disk.exists("one").await.unwrap());
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_went_before_something_went_wrong_is_told() {
    let limits = Limits { delete_max: 5, list_max: 5, ..small() };
    let (bench, disk, troubles) = troubled(limits, &[], in_parts_of(1024));
    for number in 0..12 {
        disk.put(&format!("many/{number:03}"), "four").await.unwrap();
    }
    troubles.expect("many many/005", &[Trouble::Unreached; 2]);
    let deleted = disk.delete_all("many/").await.unwrap();
    assert_eq!((deleted.objects, deleted.bytes, deleted.failed.len()), (5, 20, 0));
    assert_eq!(deleted.stopped.unwrap().kind(), ErrorKind::Unavailable);
    assert!(disk.exists("many/005").await.unwrap());

    troubles.expect("list", &[Trouble::Unreached]);
    let error = disk.delete_all("many/").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "nothing has gone");
    disk.delete_all("many/").await.unwrap_err();

    let rest = disk.delete_all("many/").await.unwrap();
    assert_eq!((rest.objects, rest.stopped.is_none()), (7, true));
    bench.close().await;
}
