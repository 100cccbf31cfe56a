//! Objects that come part by part, as the application gives them.

use std::time::Duration;

use switchboard_core::{Error, ErrorKind, Result, Settings};
use switchboard_testkit::{drop_at_every_await, inject, slowed};

use super::{cutting, disk, is_empty, nothing_pends};
use crate::{Disk, UploadState};

/// An upload whose parts have four bytes.
async fn upload(disk: &Disk) -> crate::Upload {
    disk.upload("film").part_size(4).await.unwrap()
}

/// What another process reads of what this one wrote.
fn written_down(state: &UploadState) -> UploadState {
    serde_json::from_str(&serde_json::to_string(state).unwrap()).unwrap()
}

/// Whether nothing waits for a sweep.
async fn nothing_is_left(disk: &Disk) -> bool {
    nothing_pends(disk).await;
    disk.sweep(Duration::ZERO).await.unwrap() == 0
}

#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Result<T>, kind: ErrorKind, words: &str) {
    let error: Error = answer.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(words), "{error}");
}

#[tokio::test]
async fn parts_make_one_object_in_whatever_order_they_come() {
    let (_disks, disk) = cutting().await;
    let mut upload = disk.upload("film").part_size(4).metadata("by", "Ada").await.unwrap();
    let parts = [upload.part(2, "!"), upload.part(0, "one "), upload.part(1, "film")];
    for kept in futures_util::future::join_all(parts).await {
        kept.unwrap();
    }
    assert!(!disk.exists("film").await.unwrap(), "it is there before its end");
    let stored = upload.finish().await.unwrap();
    assert_eq!(disk.read("film").await.unwrap(), "one film!");
    let meta = disk.head("film").await.unwrap();
    assert_eq!((meta.version, meta.checksum), (stored.version, stored.checksum));
    assert_eq!(meta.attributes.metadata["by"], "Ada");
    refused(upload.part(3, "more").await, ErrorKind::InvalidInput, "has ended");
    assert!(nothing_is_left(&disk).await);
}

#[tokio::test]
async fn an_upload_goes_on_where_another_process_left_it() {
    let (_disks, disk) = cutting().await;
    let upload = upload(&disk).await;
    upload.push("0123").await.unwrap();
    upload.part(2, "89ab").await.unwrap();
    let state = written_down(&upload.state());
    drop(upload);
    nothing_pends(&disk).await;

    let mut upload = disk.resume(&state).await.unwrap();
    assert_eq!((upload.key(), upload.part_size(), upload.offset()), ("film", 4, 4));
    assert!(upload.has_part(2) && !upload.has_part(1));
    upload.push("4567").await.unwrap();
    upload.push("c").await.unwrap();
    upload.finish().await.unwrap();
    assert_eq!(disk.read("film").await.unwrap(), "0123456789abc");
}

#[tokio::test]
async fn what_was_finished_by_a_process_that_did_not_live_to_tell_is_finished_again() {
    let (_disks, disk) = cutting().await;
    let mut first = disk.upload("film").part_size(4).if_absent().await.unwrap();
    first.push("film").await.unwrap();
    let state = written_down(&first.state());
    let told = first.finish().await.unwrap();

    let mut again = disk.resume(&state).await.unwrap();
    assert_eq!(again.finish().await.unwrap(), told);

    disk.put("film", "of somebody else").await.unwrap();
    let mut late = disk.resume(&state).await.unwrap();
    refused(late.finish().await, ErrorKind::AlreadyExists, "");
    assert_eq!(disk.read("film").await.unwrap(), "of somebody else");
}

#[tokio::test]
async fn an_upload_that_was_finished_with_more_parts_is_not_taken_for_what_is_known_of_it() {
    let (_disks, disk) = cutting().await;
    let mut first = disk.upload("film").part_size(4).await.unwrap();
    first.push("film").await.unwrap();
    let early = written_down(&first.state());
    first.push("more").await.unwrap();
    let late = written_down(&first.state());
    let told = first.finish().await.unwrap();

    let mut again = disk.resume(&early).await.unwrap();
    refused(again.finish().await, ErrorKind::Conflict, "other parts");
    assert_eq!(disk.read("film").await.unwrap(), "filmmore");
    assert_eq!(disk.resume(&late).await.unwrap().finish().await.unwrap(), told);
}

#[tokio::test]
async fn a_part_that_cannot_be_is_refused_and_the_others_stay() {
    let (_disks, disk) = cutting().await;
    let mut upload = upload(&disk).await;
    upload.part(1, "4567").await.unwrap();
    for (number, content, kind, words) in [
        (0, "01234", ErrorKind::InvalidInput, "longer than all parts"),
        (0, "012", ErrorKind::InvalidInput, "shorter than all parts"),
        (0, "", ErrorKind::InvalidInput, "no bytes"),
        (1, "7654", ErrorKind::AlreadyExists, "another part"),
        (10_000, "0123", ErrorKind::TooLarge, "more parts"),
    ] {
        refused(upload.part(number, content).await, kind, words);
    }
    refused(upload.finish().await, ErrorKind::InvalidInput, "a part is missing");

    upload.part(2, "8").await.unwrap();
    refused(upload.part(3, "9").await, ErrorKind::InvalidInput, "comes after");
    let calls =
        || disk.line().figures().iter().find(|op| op.operation == "part").unwrap().succeeded;
    let before = calls();
    upload.part(1, "4567").await.unwrap();
    assert_eq!(calls(), before, "what is kept was sent again");

    upload.part(0, "0123").await.unwrap();
    upload.finish().await.unwrap();
    assert_eq!(disk.read("film").await.unwrap(), "012345678");
}

#[tokio::test]
async fn an_upload_without_parts_is_an_empty_object() {
    let (_disks, disk) = cutting().await;
    let mut upload = upload(&disk).await;
    assert_eq!(upload.finish().await.unwrap().size, 0);
    assert_eq!(disk.read("film").await.unwrap(), "");
    assert!(nothing_is_left(&disk).await);
}

#[tokio::test]
async fn conditions_and_checksums_hold_at_the_end() {
    let (_disks, disk) = cutting().await;
    let wrong = crate::Checksum::of(b"something else");
    let mut other = disk.upload("film").part_size(4).checksum(wrong).await.unwrap();
    other.push("film").await.unwrap();
    refused(other.finish().await, ErrorKind::InvalidInput, "add up");

    let mut late = disk.upload("film").part_size(4).if_absent().await.unwrap();
    late.push("late").await.unwrap();
    disk.put("film", "first").await.unwrap();
    refused(late.finish().await, ErrorKind::AlreadyExists, "");
    assert_eq!(disk.read("film").await.unwrap(), "first");
    drop((other, late));
    assert!(nothing_is_left(&disk).await);
}

#[tokio::test]
async fn an_upload_of_which_nobody_has_the_state_is_given_up_with_its_handle() {
    let (_disks, disk) = cutting().await;
    drop(upload(&disk).await);
    assert!(nothing_is_left(&disk).await);

    let kept = upload(&disk).await;
    let _ = kept.state();
    drop(kept);
    nothing_pends(&disk).await;
    assert_eq!(disk.sweep(Duration::from_hours(1)).await.unwrap(), 0, "it is too young");
    assert_eq!(disk.sweep(Duration::ZERO).await.unwrap(), 1);

    let aborted = upload(&disk).await;
    let _ = aborted.state();
    aborted.abort().await.unwrap();
    assert!(nothing_is_left(&disk).await);
}

#[tokio::test]
async fn nothing_is_reached_with_a_state_that_the_handle_does_not_reach() {
    let (_disks, disk) = cutting().await;
    let (ada, bob) = (disk.scope("ada").unwrap(), disk.scope("bob").unwrap());
    let upload = ada.upload("film").part_size(4).await.unwrap();
    let state = written_down(&upload.state());
    refused(bob.resume(&state).await, ErrorKind::PermissionDenied, "outside of the scope");
    refused(ada.read_only().resume(&state).await, ErrorKind::PermissionDenied, "for reading");
    refused(ada.sweep(Duration::ZERO).await, ErrorKind::PermissionDenied, "whole disk");
    let mut upload = ada.resume(&state).await.unwrap();
    upload.push("film").await.unwrap();
    upload.finish().await.unwrap();
    assert!(disk.exists("ada/film").await.unwrap());

    for (wrong, with) in [
        (r#""place":"ada/film""#, r#""place":"ada/../bob/film""#),
        (r#""part_size":4"#, r#""part_size":0"#),
        (r#""parts":[]"#, r#""parts":[{"number":0,"tag":"","size":9,"checksum":"00000000"}]"#),
    ] {
        let written = serde_json::to_string(&state).unwrap();
        assert!(written.contains(wrong), "{written}");
        let changed: UploadState = serde_json::from_str(&written.replace(wrong, with)).unwrap();
        refused(disk.resume(&changed).await, ErrorKind::InvalidInput, "");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_stays_of_an_upload_that_is_dropped_at_any_await() {
    let (_disks, disk) = disk(Settings::new().with("max_bytes", "64B")).await;
    let _faults = inject(disk.line(), slowed(Duration::from_millis(1))).unwrap();
    let awaits = drop_at_every_await(
        || async {
            let mut upload = disk.upload("film").part_size(4).await?;
            for part in ["0123", "4567", "89"] {
                upload.push(part).await?;
                tokio::task::yield_now().await;
            }
            upload.finish().await
        },
        async |_| {
            assert!(nothing_is_left(&disk).await);
            disk.delete("film").await.unwrap();
            assert!(is_empty(&disk, 64).await);
            disk.delete("all").await.unwrap();
        },
    );
    assert!(awaits.await >= 4);
}
