//! What goes wrong with one part of many, and with the last word.

use std::time::Duration;

use futures_util::FutureExt as _;
use switchboard_core::{ErrorKind, Outcome, Policy, RetryPolicy, Settings};
use switchboard_testkit::Workbench;

use super::troubled::{Trouble, Troubles, beside, in_parts_of, small, troubled};
use super::{body, nothing_pends};
use crate::{Checksum, Disk, DiskConfig, Disks, Limits, capability};

/// The same disk, which asks three times.
fn retrying(on: (Workbench<Disks>, Disk, Troubles)) -> (Workbench<Disks>, Disk, Troubles) {
    let policy = Policy { retry: Some(RetryPolicy::default()), ..Policy::default() };
    on.0.manager().retune("main", policy).unwrap();
    on
}

#[tokio::test(start_paused = true)]
async fn a_part_that_fails_is_tried_again_alone() {
    let (bench, disk, troubles) = retrying(troubled(small(), &[], in_parts_of(1024)));
    troubles.expect("part 1", &[Trouble::Unreached, Trouble::Unanswered]);
    let (bytes, body) = body(4000);
    disk.put("key", body).await.unwrap();
    assert_eq!(disk.read("key").await.unwrap(), bytes);
    let asked = |what| troubles.asked(what);
    assert_eq!((asked("part 0"), asked("part 1"), asked("part 2"), asked("part 3")), (1, 3, 1, 1));
    assert_eq!((asked("begin"), asked("complete"), asked("abort")), (1, 1, 0));
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_part_has_as_many_tries_as_the_policy_of_its_disk_says() {
    let (bench, disk, troubles) = troubled(small(), &[], in_parts_of(1024));
    troubles.expect("part 1", &[Trouble::Unreached; 9]);
    disk.put("key", body(4000).1).await.unwrap_err();
    assert_eq!(troubles.asked("part 1"), 1, "a policy without retries");
    let retry = Some(RetryPolicy { attempts: 2, ..RetryPolicy::default() });
    bench.manager().retune("main", Policy { retry, ..Policy::default() }).unwrap();
    disk.put("key", body(4000).1).await.unwrap_err();
    assert_eq!(troubles.asked("part 1"), 3);
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_part_that_is_not_answered_is_sent_again_when_the_time_of_an_attempt_is_over() {
    let (bench, disk, troubles) = troubled(small(), &[], in_parts_of(1024));
    let attempt_timeout = Some(Duration::from_secs(1));
    let policy =
        Policy { retry: Some(RetryPolicy::default()), attempt_timeout, ..Policy::default() };
    bench.manager().retune("main", policy).unwrap();
    troubles.expect("part 1", &[Trouble::Silence]);
    disk.put("key", body(4000).1).await.unwrap();
    assert_eq!(troubles.asked("part 1"), 2);
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn an_object_whose_last_answer_was_lost_is_stored_and_known_again() {
    let (bench, disk, troubles) = retrying(troubled(small(), &[], in_parts_of(1024)));
    troubles.expect("complete", &[Trouble::Unanswered]);
    let stored = disk.put("key", body(4000).1).if_absent().await.unwrap();
    assert_eq!(disk.head("key").await.unwrap().version, stored.version);
    // The second try finds that the upload is over, and the look after it whose object it is.
    assert_eq!((troubles.asked("complete"), troubles.asked("head")), (2, 2));
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_finish_that_is_given_up_can_be_asked_for_again() {
    let (bench, disk, troubles) = troubled(small(), &[], in_parts_of(4));
    let mut upload = disk.upload("key").await.unwrap();
    upload.push("ours").await.unwrap();
    troubles.expect("complete", &[Trouble::Silence]);
    assert!(upload.finish().now_or_never().is_none());
    disk.put("key", "theirs").await.unwrap();
    upload.finish().await.unwrap();
    // Nobody had a condition, so the last one counts.
    assert_eq!(disk.read("key").await.unwrap(), "ours");
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_service_that_stays_away_costs_one_part_its_tries_and_leaves_nothing() {
    let (bench, disk, troubles) = retrying(troubled(small(), &[], in_parts_of(1024)));
    troubles.expect("part 2", &[Trouble::Unreached; 9]);
    let error = disk.put("key", body(4000).1).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::NotApplied));
    assert_eq!((troubles.asked("part 2"), troubles.asked("complete")), (3, 0));
    nothing_pends(&disk).await;
    assert_eq!(disk.sweep(Duration::ZERO).await.unwrap(), 0, "the upload is still there");
    assert!(!disk.exists("key").await.unwrap());
    bench.close().await;
}

#[tokio::test]
async fn parts_of_a_body_of_unknown_length_grow_where_they_may() {
    for (parts_alike, kind) in [(false, None), (true, Some(ErrorKind::TooLarge))] {
        let limits = Limits { parts_max: 20, parts_alike, ..small() };
        let (bench, disk, troubles) = troubled(limits, &[], in_parts_of(4));
        let (bytes, body) = body(3000);
        let stored = disk.put("key", body).await;
        assert_eq!(stored.as_ref().err().map(switchboard_core::Error::kind), kind);
        if let Ok(stored) = stored {
            assert_eq!((stored.size, stored.checksum), (3000, Some(Checksum::of(&bytes))));
            assert_eq!(disk.read("key").await.unwrap(), bytes);
            assert_eq!(troubles.asked("part"), 17);
        }
        bench.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_is_on_its_way_only_once() {
    let (bench, disk, troubles) = troubled(small(), &[], in_parts_of(4));
    let mut upload = disk.upload("key").await.unwrap();
    troubles.expect("part 0", &[Trouble::Silence]);
    let mut sending = Box::pin(upload.part(0, "0123"));
    assert!((&mut sending).now_or_never().is_none());
    let error = upload.part(0, "0123").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    drop(sending);
    upload.part(0, "0123").await.unwrap();
    upload.finish().await.unwrap();
    assert_eq!(disk.read("key").await.unwrap(), "0123");
    bench.close().await;
}

#[tokio::test]
async fn a_driver_without_parts_gets_bodies_whole_as_far_as_memory_goes() {
    let config =
        DiskConfig { read_max: switchboard_core::settings::ByteSize(4096), ..in_parts_of(1024) };
    let (bench, disk, troubles) = troubled(small(), &[capability::PARTS], config);
    let (bytes, whole) = body(4096);
    disk.put("key", whole).await.unwrap();
    assert_eq!(disk.read("key").await.unwrap(), bytes);
    assert_eq!((troubles.asked("put"), troubles.asked("begin")), (1, 0));
    let error = disk.put("key", body(4097).1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    bench.close().await;
}

#[tokio::test]
async fn parts_are_as_long_as_the_service_wants_them() {
    // Longer than the setting says, and shorter: what is stored whole must fit into one request.
    for (min, put, parts) in [(2048, 4096, 2), (1, 512, 8)] {
        let limits = Limits { part_min: min, put_max: put, ..small() };
        let (bench, disk, troubles) = troubled(limits, &[], in_parts_of(1024));
        let (bytes, body) = body(4096);
        disk.put("key", body).await.unwrap();
        assert_eq!(disk.read("key").await.unwrap(), bytes);
        assert_eq!(troubles.asked("part"), parts);
        let error = disk.upload("key").part_size(min - 1).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        bench.close().await;
    }
}

#[tokio::test]
async fn an_object_that_no_parts_would_hold_is_refused_before_anything_is_sent() {
    let limits = Limits { part_max: 1024, parts_max: 4, ..small() };
    let (bench, disk, troubles) = troubled(limits, &[], in_parts_of(1024));
    let error = disk.put("key", body(4097).1.with_length(4097)).await.unwrap_err();
    assert_eq!((error.kind(), troubles.asked("begin")), (ErrorKind::TooLarge, 0));

    let error = disk.put("key", body(4097).1).await.unwrap_err();
    assert_eq!((error.kind(), troubles.asked("complete")), (ErrorKind::TooLarge, 0));
    nothing_pends(&disk).await;
    assert_eq!(troubles.asked("abort"), 1);
    bench.close().await;
}

#[tokio::test]
async fn a_body_in_hand_goes_in_parts_without_being_copied() {
    let (bench, disk, _) = troubled(small(), &[], in_parts_of(1024));
    let (bytes, _) = body(4096);
    let plan = disk.plan().await.unwrap();
    let mut cut = crate::cut::Cut::new(bytes.clone().into(), plan);
    for at in [0, 1024, 2048, 3072] {
        let piece = cut.next().await.unwrap().unwrap();
        assert_eq!(piece.as_ptr(), bytes[at..].as_ptr());
    }
    disk.put("key", bytes.clone()).await.unwrap();
    assert_eq!(disk.read("key").await.unwrap(), bytes);
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn all_parts_go_to_the_member_of_a_group_that_took_the_upload() {
    let bench = Workbench::<Disks>::new().unwrap();
    let (_, first) = beside(&bench, "first", small(), &[], in_parts_of(1024));
    let (other, second) = beside(&bench, "second", small(), &[], in_parts_of(1024));
    let members = Settings::new().with("members", ["first", "second"]).with("select", "priority");
    bench.manager().configure("both", &members).unwrap();
    let both = bench.manager().get("both").await.unwrap();

    first.expect("begin", &[Trouble::Unreached]);
    let (bytes, body) = body(4000);
    both.put("key", body).await.unwrap();
    assert_eq!(other.read("key").await.unwrap(), bytes);
    assert_eq!((first.asked("begin"), first.asked("part")), (1, 0));
    assert_eq!((second.asked("begin"), second.asked("part")), (1, 4));
    bench.close().await;
}

/// Two disks and the group of them, of which the first is asked first.
async fn group(bench: &Workbench<Disks>) -> (Disk, [(Disk, Troubles); 2]) {
    let members =
        ["first", "second"].map(|name| beside(bench, name, small(), &[], in_parts_of(1024)));
    let settings = Settings::new().with("members", ["first", "second"]).with("select", "priority");
    bench.manager().configure("both", &settings).unwrap();
    (bench.manager().get("both").await.unwrap(), members)
}

#[tokio::test(start_paused = true)]
async fn a_write_on_a_condition_goes_to_nobody_else_once_it_may_have_happened() {
    let bench = Workbench::<Disks>::new().unwrap();
    let (both, [(disk, first), (other, second)]) = group(&bench).await;
    // The first did it, and neither says so nor can be asked.
    first.expect("put key", &[Trouble::Unanswered]);
    first.expect("head key", &[Trouble::Unreached]);
    let error = both.put("key", "mine").if_absent().await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::Unknown));
    assert_eq!(second.asked("put"), 0);
    assert_eq!(disk.read("key").await.unwrap(), "mine");
    assert!(!other.exists("key").await.unwrap());

    // The first can be asked, and knows.
    first.expect("put told", &[Trouble::Unanswered]);
    both.put("told", "mine").if_absent().await.unwrap();
    assert_eq!(second.asked("put"), 0);

    // What cannot have happened is done by the other one.
    first.expect("put over", &[Trouble::Unreached]);
    both.put("over", "mine").if_absent().await.unwrap();
    assert_eq!(other.read("over").await.unwrap(), "mine");

    // What is the same however often it is done may be done by anybody.
    first.expect("put always", &[Trouble::Unanswered]);
    both.put("always", "mine").await.unwrap();
    assert_eq!(other.read("always").await.unwrap(), "mine");
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_short_is_one_call_once_its_disk_is_there() {
    let (bench, disk, troubles) = troubled(small(), &[], in_parts_of(1024));
    disk.put("first", "short").await.unwrap();
    let prepared = || {
        let figures = disk.line().figures();
        figures.iter().find(|op| op.operation == "prepare").map_or(0, |op| op.succeeded)
    };
    let before = prepared();
    disk.put("second", "short").await.unwrap();
    assert_eq!((prepared() - before, troubles.asked("put")), (0, 2));
    bench.close().await;
}
