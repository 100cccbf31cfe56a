//! The handle, on a disk in memory.

mod copies;
mod data;
mod io;
#[cfg(all(feature = "local", target_os = "linux"))]
mod large;
mod listings;
mod page;
mod parts;
mod reads;
mod threads;
mod troubled;
mod uploads;
mod values;

use std::time::Duration;

use bytes::Bytes;
use switchboard_core::{Environment, Error, ErrorKind, Manager, Registry, Result, Settings};
use switchboard_testkit::drop_at_every_await;

use crate::{Body, Disk, Disks};

async fn disk(settings: Settings) -> (Manager<Disks>, Disk) {
    let disks =
        Manager::<Disks>::new(Registry::with_built_ins().unwrap(), &Environment::new()).unwrap();
    disks.configure("main", &settings.with("driver", "memory")).unwrap();
    let disk = disks.get("main").await.unwrap();
    (disks, disk)
}

/// A disk that cuts everything above a kibibyte.
async fn cutting() -> (Manager<Disks>, Disk) {
    disk(Settings::new().with("part_size", "1KiB").with("parts_at_once", 3)).await
}

/// A body of so many bytes, in pieces that fit nothing.
fn body(length: usize) -> (Bytes, Body) {
    let bytes: Bytes = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let pieces: Vec<_> =
        bytes.chunks(700).map(Bytes::copy_from_slice).map(Ok::<_, Error>).collect();
    (bytes, Body::stream(futures_util::stream::iter(pieces)))
}

/// What may go wrong in the middle of a body.
fn failing(length: usize) -> Body {
    let (bytes, _) = body(length);
    let pieces = [Ok(bytes), Err(Error::new(ErrorKind::Unavailable, "the sender is gone"))];
    Body::stream(futures_util::stream::iter(pieces))
}

/// What was to be cleaned up is.
async fn nothing_pends(disk: &Disk) {
    let soon = disk.line().environment().clock().now() + Duration::from_secs(5);
    disk.line().environment().reaper().idle(soon).await.unwrap();
}

/// Whether nothing is kept but what the disk shows: the rest would not leave so much room.
async fn is_empty(disk: &Disk, max: usize) -> bool {
    disk.put("all", vec![0; max]).await.is_ok()
}

#[tokio::test]
async fn a_body_of_any_length_is_stored_whole_or_in_parts() {
    let (_disks, disk) = cutting().await;
    for length in [0, 1, 1023, 1024, 1025, 2048, 10_000] {
        let (bytes, body) = body(length);
        let stored = disk.put("key", body).content_type("text/plain").await.unwrap();
        assert_eq!(stored.size, length as u64);
        assert_eq!(disk.read("key").await.unwrap(), bytes);
        let meta = disk.head("key").await.unwrap();
        assert_eq!(meta.checksum, Some(crate::Checksum::of(&bytes)));
        assert_eq!(meta.attributes.content_type.as_deref(), Some("text/plain"));
        let figures = disk.line().figures();
        let parts = figures.iter().find(|op| op.operation == "part").unwrap().succeeded;
        assert_eq!(parts > 0, length > 1024, "{length}");
    }
}

#[tokio::test]
async fn of_a_body_that_fails_nothing_is_stored_and_nothing_stays() {
    let (disks, disk) =
        disk(Settings::new().with("part_size", "1KiB").with("max_bytes", "10KiB")).await;
    disk.put("key", "before").await.unwrap();
    let wrong = crate::Checksum::of(b"something else");
    let attempts: [(&str, Result<_>); 4] = [
        ("a sender that is gone", disk.put("key", failing(3000)).await),
        ("too few bytes", disk.put("key", body(3000).1.with_length(3001)).await),
        ("too many bytes", disk.put("key", body(3000).1.with_length(2999)).await),
        ("another sum", disk.put("key", body(3000).1).checksum(wrong).await),
    ];
    for (what, stored) in attempts {
        assert!(stored.is_err(), "{what}");
    }
    assert_eq!(disk.read("key").await.unwrap(), "before");
    disk.delete("key").await.unwrap();
    nothing_pends(&disk).await;
    assert!(is_empty(&disk, 10 << 10).await, "an upload is left");
    disks.close(Duration::from_secs(5)).await.into_result().unwrap();
}

#[tokio::test]
async fn nothing_stays_of_a_put_that_is_dropped_at_any_await() {
    let (_disks, disk) =
        disk(Settings::new().with("part_size", "1KiB").with("max_bytes", "10KiB")).await;
    let (bytes, _) = body(3000);
    let awaits = drop_at_every_await(
        || {
            let (bytes, disk) = (bytes.clone(), disk.clone());
            async move {
                let pieces = futures_util::stream::unfold(bytes, |mut rest| async move {
                    tokio::task::yield_now().await;
                    let piece = rest.split_to(rest.len().min(700));
                    (!piece.is_empty()).then_some((Ok::<_, Error>(piece), rest))
                });
                disk.put("key", Body::stream(Box::pin(pieces))).await
            }
        },
        async |_| {
            nothing_pends(&disk).await;
            if let Ok(read) = disk.read("key").await {
                assert_eq!(read, bytes);
            }
            disk.delete("key").await.unwrap();
            assert!(is_empty(&disk, 10 << 10).await, "an upload is left");
            disk.delete("all").await.unwrap();
        },
    );
    assert!(awaits.await > 3);
}
