//! Readers, writers and files.

use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use switchboard_core::{Error, ErrorKind, Settings};
use switchboard_testkit::{drop_at_every_await, inject, slowed};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::troubled::{Trouble, in_parts_of, small, troubled};
use super::{body, cutting, disk, failing, nothing_pends};
use crate::{Body, Checksum};

fn names(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn what_is_written_is_there_once_it_is_finished() {
    let (_disks, disk) = cutting().await;
    for length in [0, 1, 1024, 1025, 100_000, 300_000] {
        let (bytes, _) = body(length);
        let mut writer = disk.writer("key").content_type("text/x-odd").await.unwrap();
        for piece in bytes.chunks(777) {
            writer.write_all(piece).await.unwrap();
        }
        writer.flush().await.unwrap();
        let stored = writer.finish().await.unwrap();
        assert_eq!((stored.size, stored.checksum), (length as u64, Some(Checksum::of(&bytes))));
        assert_eq!(disk.read("key").await.unwrap(), bytes, "{length}");
        let meta = disk.head("key").await.unwrap();
        assert_eq!(meta.attributes.content_type.as_deref(), Some("text/x-odd"));
    }
}

#[tokio::test]
async fn a_writer_that_is_shut_down_has_stored_and_takes_no_more() {
    let (_disks, disk) = cutting().await;
    let mut writer = disk.writer("key").await.unwrap();
    writer.write_all(b"all").await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(disk.read("key").await.unwrap(), "all");
    let error = writer.write_all(b"more").await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert_eq!(writer.finish().await.unwrap().size, 3);
}

#[tokio::test]
async fn of_a_writer_that_is_not_finished_nothing_stays() {
    let (_disks, disk) = cutting().await;
    let (bytes, _) = body(10_000);
    for finish in [false, true] {
        let mut writer = disk.writer("key").if_absent().await.unwrap();
        writer.write_all(&bytes).await.unwrap();
        writer.flush().await.unwrap();
        if finish {
            disk.put("key", "first").await.unwrap();
            let error = writer.finish().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        } else {
            writer.abort();
        }
        nothing_pends(&disk).await;
        assert_eq!(disk.sweep(Duration::ZERO).await.unwrap(), 0);
    }
    assert_eq!(disk.read("key").await.unwrap(), "first");
}

#[tokio::test(start_paused = true)]
async fn a_writer_learns_early_that_its_object_cannot_be_stored() {
    let (bench, disk, troubles) = troubled(small(), &[], in_parts_of(1024));
    troubles.expect("part 1", &[Trouble::Unreached; 9]);
    let mut writer = disk.writer("key").await.unwrap();
    let (bytes, _) = body(1 << 20);
    let error = writer.write_all(&bytes).await.unwrap_err();
    let own = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()).unwrap();
    assert_eq!(own.kind(), ErrorKind::Unavailable);
    assert_eq!(writer.finish().await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(troubles.asked("part") < 20, "it went on writing");
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_writer_waits_for_a_service_that_is_slower_than_it() {
    let (_disks, disk) = cutting().await;
    let _faults = inject(disk.line(), slowed(Duration::from_millis(1))).unwrap();
    let (bytes, _) = body(200_000);
    let mut writer = disk.writer("key").await.unwrap();
    writer.write_all(&bytes).await.unwrap();
    writer.finish().await.unwrap();
    assert_eq!(disk.read("key").await.unwrap(), bytes);
}

#[tokio::test(start_paused = true)]
async fn nothing_stays_of_a_writer_that_is_dropped_at_any_await() {
    let (_disks, disk) = cutting().await;
    let _faults = inject(disk.line(), slowed(Duration::from_millis(1))).unwrap();
    let (bytes, _) = body(100_000);
    let awaits = drop_at_every_await(
        || async {
            let mut writer = disk.writer("key").await?;
            writer.write_all(&bytes).await.unwrap();
            writer.finish().await
        },
        async |_| {
            nothing_pends(&disk).await;
            assert_eq!(disk.sweep(Duration::ZERO).await.unwrap(), 0, "an upload is left");
            disk.delete("key").await.unwrap();
        },
    );
    assert!(awaits.await >= 2);
}

#[tokio::test]
async fn objects_are_read_as_from_any_reader_with_their_errors_inside() {
    let (_disks, disk) = cutting().await;
    let (bytes, body) = body(10_000);
    disk.put("key", body).await.unwrap();
    let mut read = Vec::new();
    disk.get("key").await.unwrap().into_reader().read_to_end(&mut read).await.unwrap();
    assert_eq!(read, bytes);

    // A reader of one object is the body of another.
    let reader = disk.get("key").range(5000..).await.unwrap().into_reader();
    disk.put("half", Body::reader(reader)).await.unwrap();
    assert_eq!(disk.read("half").await.unwrap(), bytes[5000..]);

    // And what goes wrong on one side is told on the other.
    let broken = tokio_util::io::StreamReader::new(futures_util::TryStreamExt::map_err(
        failing(10),
        crate::io::into_io,
    ));
    let error = disk.put("broken", Body::reader(broken)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let broken = tokio_test_reader(io::ErrorKind::BrokenPipe);
    let error = disk.put("broken", Body::reader(broken)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(!disk.exists("broken").await.unwrap());
}

/// A reader that fails at once.
fn tokio_test_reader(kind: io::ErrorKind) -> impl tokio::io::AsyncRead + Send + 'static {
    let failing = futures_util::stream::iter([Err::<Bytes, _>(io::Error::from(kind))]);
    tokio_util::io::StreamReader::new(failing)
}

#[tokio::test]
async fn files_are_stored_and_written_whole() {
    let (_disks, disk) = cutting().await;
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from.txt"), folder.path().join("to.txt"));
    for length in [0, 1024, 100_000] {
        let (bytes, _) = body(length);
        std::fs::write(&from, &bytes).unwrap();
        let stored = disk.put_file("key.txt", &from).metadata("by", "Ada").await.unwrap();
        assert_eq!(stored.checksum, Some(Checksum::of(&bytes)));
        let meta = disk.get_file("key.txt", &to).await.unwrap();
        assert_eq!((meta.version, meta.size), (stored.version, length as u64));
        assert_eq!(std::fs::read(&to).unwrap(), bytes);
        assert_eq!(names(folder.path()), ["from.txt", "to.txt"]);
    }
    let length = Body::file(&from).await.unwrap().length();
    assert_eq!(length, Some(100_000));
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_is_fetched_is_for_everybody_whom_the_process_lets() {
    use std::os::unix::fs::PermissionsExt as _;

    let (_disks, disk) = cutting().await;
    let folder = tempfile::tempdir().unwrap();
    let (fetched, plain) = (folder.path().join("fetched"), folder.path().join("plain"));
    disk.put("key", "…").await.unwrap();
    disk.get_file("key", &fetched).await.unwrap();
    std::fs::write(&plain, "…").unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&fetched), mode(&plain));
}

#[cfg(unix)]
#[tokio::test]
async fn a_symbolic_link_stays_and_the_file_appears_where_it_leads() {
    use std::os::unix::fs::symlink;

    let (_disks, disk) = cutting().await;
    disk.put("key", "fetched").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("far")).unwrap();
    std::fs::write(at("far/old"), "old").unwrap();
    for (link, to) in [("to-old", "far/old"), ("to-new", "far/new"), ("to-link", "to-new")] {
        symlink(to, at(link)).unwrap();
        disk.get_file("key", &at(link)).await.unwrap();
        assert_eq!(std::fs::read_link(at(link)).unwrap(), Path::new(to));
        assert_eq!(std::fs::read(at(link)).unwrap(), b"fetched", "{link}");
    }
    assert_eq!(names(&at("far")), ["new", "old"]);

    symlink("round", at("round")).unwrap();
    disk.get_file("key", &at("round")).await.unwrap_err();
    assert_eq!(names(folder.path()), ["far", "round", "to-link", "to-new", "to-old"]);
}

#[cfg(unix)]
#[tokio::test]
async fn a_pipe_is_written_to_and_read_from_and_stays_a_pipe() {
    use std::os::unix::fs::FileTypeExt as _;

    let (_disks, disk) = cutting().await;
    let (bytes, _) = body(300_000);
    disk.put("key", bytes.clone()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let read = tokio::task::spawn_blocking({
        let pipe = pipe.clone();
        move || std::fs::read(pipe)
    });
    disk.get_file("key", &pipe).await.unwrap();
    assert_eq!(read.await.unwrap().unwrap(), bytes);

    let (write, content) = (pipe.clone(), bytes.clone());
    let written = tokio::task::spawn_blocking(move || std::fs::write(write, content));
    disk.put_file("copy", &pipe).await.unwrap();
    written.await.unwrap().unwrap();
    assert_eq!(disk.read("copy").await.unwrap(), bytes);
    assert!(std::fs::metadata(&pipe).unwrap().file_type().is_fifo());
    assert_eq!(names(folder.path()), ["pipe"]);
}

/// Where this process may make one, it is a device of the test's own that throws away what is written to it.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_device_is_written_to_and_stays_a_device() {
    use std::os::unix::fs::FileTypeExt as _;

    let (_disks, disk) = cutting().await;
    disk.put("key", "gone").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let device = folder.path().join("device");
    let made = std::process::Command::new("mknod").arg(&device).args(["c", "1", "3"]).status();
    let may_open = || std::fs::OpenOptions::new().write(true).open(&device).is_ok();
    if !made.is_ok_and(|made| made.success()) || !may_open() {
        return;
    }
    disk.get_file("key", &device).await.unwrap();
    assert!(std::fs::metadata(&device).unwrap().file_type().is_char_device());
    assert_eq!(names(folder.path()), ["device"]);
}

/// It says that it has no bytes.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_file_of_the_system_is_stored_with_the_bytes_that_it_has() {
    let (_disks, disk) = cutting().await;
    let stored = disk.put_file("version", "/proc/version").await.unwrap();
    assert!(stored.size > 0);
    assert_eq!(disk.read("version").await.unwrap(), std::fs::read("/proc/version").unwrap());
}

#[tokio::test]
async fn a_file_stays_as_it_was_where_the_object_does_not_come_whole() {
    let (bench, disk, troubles) = troubled(small(), &[], in_parts_of(1024));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, "before").unwrap();
    assert_eq!(disk.get_file("none", &path).await.unwrap_err().kind(), ErrorKind::NotFound);

    disk.put("key", "after").await.unwrap();
    troubles.corrupt("key");
    assert_eq!(disk.get_file("key", &path).await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(std::fs::read(&path).unwrap(), b"before");
    assert_eq!(names(folder.path()), ["file"]);

    let nowhere = folder.path().join("no/such/folder");
    disk.put("key", "after").await.unwrap();
    let error = disk.get_file("key", &nowhere).await.unwrap_err();
    assert_eq!((error.kind(), error.context_value("key")), (ErrorKind::NotFound, Some("key")));
    let error = disk.put_file("key", &nowhere).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let error = disk.put_file("key", folder.path()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let error = disk.get_file("key", folder.path()).await.unwrap_err();
    assert_eq!(names(folder.path()), ["file"], "{error}");
    bench.close().await;
}

/// What is kept of objects that did not come whole.
fn kept_in(folder: &Path) -> Vec<String> {
    names(folder).into_iter().filter(|name| name.rsplit('.').next() == Some("part")).collect()
}

#[tokio::test]
async fn fetching_goes_on_where_it_broke_off_while_the_object_is_the_same() {
    let (_disks, disk) = cutting().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let (bytes, _) = body(100_000);
    disk.put("key", bytes.clone()).await.unwrap();
    let fetch = async || {
        let mut told = Vec::new();
        let fetched = disk.get_file("key", &path).resume().progress(|now| told.push(now.bytes));
        let fetched = fetched.await;
        (fetched, told.first().copied())
    };
    // What a process has left that was killed: more than nothing, and not all.
    let broken_off = async |bytes: &[u8]| {
        let meta = disk.head("key").await.unwrap();
        let kept = crate::kept::Kept::of("key", &meta, &path).await.unwrap();
        let error = crate::kept::Kept::of("key", &meta, &path).await.err().unwrap();
        assert!(error.to_string().contains("somebody else"), "{error}");
        drop(kept);
        let [name] = &kept_in(folder.path())[..] else { panic!("there is one") };
        std::fs::write(folder.path().join(name), bytes).unwrap();
    };

    broken_off(&bytes[..70_000]).await;
    let (fetched, first) = fetch().await;
    assert_eq!((fetched.unwrap().size, first), (100_000, Some(70_000)));
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    std::fs::remove_file(&path).unwrap();

    // Of an object that is another one by now nothing is used, and nothing stays.
    broken_off(&bytes[..70_000]).await;
    disk.put("key", bytes.slice(1..)).await.unwrap();
    fetch().await.0.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), bytes[1..]);
    assert_eq!(names(folder.path()), ["file"]);
    std::fs::remove_file(&path).unwrap();

    // What was damaged meanwhile is found out, and does not come again.
    broken_off(b"damaged").await;
    assert_eq!(fetch().await.0.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(names(folder.path()), [""; 0]);
    fetch().await.0.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), bytes[1..]);
}

#[tokio::test]
async fn nothing_stays_of_a_file_that_is_dropped_at_any_await() {
    let (_disks, disk) = disk(Settings::new()).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let (bytes, _) = body(200_000);
    disk.put("key", bytes.clone()).await.unwrap();
    let awaits = drop_at_every_await(
        || disk.get_file("key", &path).into_future(),
        async |_| {
            // What a thread has begun it ends.
            while names(folder.path()).iter().any(|name| name != "file") {
                tokio::task::yield_now().await;
            }
            if let Ok(read) = std::fs::read(&path) {
                assert_eq!(read, bytes);
                std::fs::remove_file(&path).unwrap();
            }
        },
    );
    // How many there are is up to the threads that read and write.
    assert!(awaits.await >= 1);
}
