//! Reading on a condition, in ranges, as texts, and how far it has come.

use std::time::Duration;

use switchboard_core::settings::ByteSize;
use switchboard_core::{ErrorKind, Settings};

use super::troubled::{in_parts_of, small, troubled};
use super::{body, cutting, disk};
use crate::{Body, DiskConfig, Limits, Progress, capability};

#[tokio::test]
async fn an_object_that_did_not_change_is_not_sent_again() {
    let (_disks, disk) = cutting().await;
    let first = disk.put("key", "first").await.unwrap();
    let since = disk.head("key").await.unwrap().modified;
    assert!(disk.get("key").unless(&first.version).await.unwrap().is_none());
    assert!(disk.get("key").since(since).await.unwrap().is_none());
    assert!(disk.get("key").since(since - Duration::from_secs(1)).await.unwrap().is_some());

    disk.put("key", "second").await.unwrap();
    let changed = disk.get("key").range(1..3).unless(&first.version).await.unwrap().unwrap();
    assert_eq!(changed.text(9).await.unwrap(), "ec");
    let error = disk.get("none").unless(&first.version).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn bytes_that_are_no_text_or_no_value_are_not_taken_for_one() {
    let (_disks, disk) = cutting().await;
    disk.put("key", vec![b'1', 0xff]).await.unwrap();
    let object = || async { disk.get("key").await.unwrap() };
    assert_eq!(object().await.text(9).await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(object().await.json::<u8>(9).await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(object().await.text(1).await.unwrap_err().kind(), ErrorKind::TooLarge);
    assert_eq!(object().await.json::<u8>(1).await.unwrap_err().kind(), ErrorKind::TooLarge);
}

#[tokio::test]
async fn ranges_come_in_their_order_and_what_is_near_in_one_request() {
    let (bench, disk, troubles) = troubled(small(), &[], DiskConfig::default());
    let (bytes, body) = body(300_000);
    disk.put("key", body).await.unwrap();
    let ranges = [200_000..200_010, 0..10, 5..20, 60_000..60_001, 299_999..400_000];
    let read = disk.get_ranges("key", &ranges).await.unwrap();
    for (range, read) in ranges.iter().zip(&read) {
        let place = |at: u64| usize::try_from(at.min(300_000)).unwrap();
        assert_eq!(read, &bytes[place(range.start)..place(range.end)], "{range:?}");
    }
    assert_eq!(troubles.asked("get"), 3);
    assert!(disk.get_ranges("key", &[]).await.unwrap().is_empty());
    bench.close().await;
}

#[tokio::test]
async fn ranges_are_refused_as_single_ones_are() {
    let config = DiskConfig { read_max: ByteSize(100_000), ..DiskConfig::default() };
    let (bench, disk, troubles) = troubled(small(), &[], config);
    disk.put("key", body(200_000).0).await.unwrap();
    disk.put("empty", Body::empty()).await.unwrap();
    let refused = async |key: &str, ranges: &[(u64, u64)], kind| {
        let ranges: Vec<_> = ranges.iter().map(|(start, end)| *start..*end).collect();
        let error = disk.get_ranges(key, &ranges).await.unwrap_err();
        assert_eq!((error.kind(), error.context_value("key")), (kind, Some(key)), "{ranges:?}");
    };
    refused("key", &[(0, 1), (3, 3)], ErrorKind::InvalidInput).await;
    refused("key", &[(0, 100_001)], ErrorKind::TooLarge).await;
    assert_eq!(troubles.asked("get"), 0);
    refused("key", &[(0, 1), (200_000, 200_001)], ErrorKind::InvalidInput).await;
    refused("key", &[(199_999, 200_001), (200_000, 200_001)], ErrorKind::InvalidInput).await;
    refused("empty", &[(0, 1)], ErrorKind::InvalidInput).await;
    refused("none", &[(0, 1)], ErrorKind::NotFound).await;
    bench.close().await;
}

#[tokio::test]
async fn ranges_are_never_of_two_versions() {
    let (bench, disk, troubles) = troubled(small(), &[], DiskConfig::default());
    disk.put("key", body(200_000).0).await.unwrap();
    troubles.meanwhile("get", "key", "short");
    let error = disk.get_ranges("key", &[0..10, 150_000..150_010]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    bench.close().await;
}

/// Whether it goes up to all and not beyond, and nothing is told twice.
fn goes_up(told: &[Progress], all: u64) {
    let is_news = |one: &Progress, next: &Progress| {
        one.bytes < next.bytes || (one.bytes == next.bytes && one.total != next.total)
    };
    assert!(told.is_sorted_by(is_news), "{told:?}");
    let last = told.last().unwrap();
    assert_eq!((last.bytes, last.total, last.percent()), (all, Some(all), Some(100)));
}

#[tokio::test]
async fn how_far_something_has_come_only_goes_up_and_ends_with_all() {
    let (_disks, disk) = cutting().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    for length in [0, 1000, 10_000] {
        let all = length as u64;
        for said in [None, Some(all)] {
            let (mut told, mut body) = (Vec::new(), body(length).1);
            if let Some(length) = said {
                body = body.with_length(length);
            }
            disk.put("key", body).progress(|progress| told.push(progress)).await.unwrap();
            goes_up(&told, all);
            assert!(told.iter().all(|progress| progress.total == said || progress.bytes == all));
        }
        let mut told = Vec::new();
        disk.get_file("key", &path).progress(|progress| told.push(progress)).await.unwrap();
        goes_up(&told, all);
        let mut told = Vec::new();
        disk.put_file("key", &path).progress(|progress| told.push(progress)).await.unwrap();
        goes_up(&told, all);
        let mut told = Vec::new();
        disk.copy("key", "copy").progress(|progress| told.push(progress)).await.unwrap();
        goes_up(&told, all);
    }
}

#[tokio::test]
async fn nobody_is_told_of_what_did_not_come() {
    let (_disks, disk) = cutting().await;
    let mut told = Vec::new();
    let put = disk.put("key", body(3000).1.with_length(5000));
    put.progress(|progress| told.push(progress)).await.unwrap_err();
    assert!(told.iter().all(|progress| progress.bytes <= 3000), "{told:?}");
}

#[tokio::test]
async fn the_kind_of_content_is_found_out_only_where_nobody_says_it() {
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    let kind_of =
        async |disk: &crate::Disk, key: &str| disk.head(key).await.unwrap().attributes.content_type;
    let (_disks, disk) = disk(Settings::new().with("part_size", "1KiB")).await;
    disk.put("cat", png.clone()).await.unwrap();
    disk.put("cat.txt", png.clone()).await.unwrap();
    disk.put("said.txt", png.clone()).content_type("image/x-odd").await.unwrap();
    disk.put("large.csv", vec![b'1'; 5000]).await.unwrap();
    disk.put("large", [png.clone(), vec![0; 5000]].concat()).await.unwrap();
    disk.upload("parts.pdf").await.unwrap().finish().await.unwrap();
    disk.put("unknown", "?").await.unwrap();
    for (key, kind) in [
        ("cat", Some("image/png")),
        ("cat.txt", Some("text/plain")),
        ("said.txt", Some("image/x-odd")),
        ("large.csv", Some("text/csv")),
        ("large", Some("image/png")),
        ("parts.pdf", Some("application/pdf")),
        ("unknown", None),
    ] {
        assert_eq!(kind_of(&disk, key).await.as_deref(), kind, "{key}");
    }

    let (_other, plain) = super::disk(Settings::new().with("guess_content_type", false)).await;
    plain.put("cat.txt", png.clone()).await.unwrap();
    assert_eq!(kind_of(&plain, "cat.txt").await, None);
    // A copy is told of as its source is.
    plain.copy_to("cat.txt", &disk, "copy.txt").await.unwrap();
    assert_eq!(kind_of(&disk, "copy.txt").await, None);

    // Nothing is said to a service that keeps nothing of it.
    let (bench, bare, _) =
        troubled(Limits { ..small() }, &[capability::ATTRIBUTES], in_parts_of(9));
    bare.put("cat.txt", "cat").await.unwrap();
    assert_eq!(kind_of(&bare, "cat.txt").await, None);
    bench.close().await;
}
