//! How much memory it takes to store and to read what would never fit into it.

use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use switchboard_core::{Environment, Error, Manager, Registry, Settings};

use crate::{Body, Disk, Disks};

const FOLDER: &str = "SWITCHBOARD_TEST_LARGE_FOLDER";
const WAY: &str = "SWITCHBOARD_TEST_LARGE_WAY";
const PIECE: usize = 256 << 10;
/// How the line begins with the most memory that there was, in kilobytes.
const PEAK: &str = "peak: ";

/// The process whose memory is looked at: it does nothing unless a test below starts it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "a process is told by variables what to do")]
async fn the_process_that_streams() {
    let (Ok(folder), Ok(way)) = (std::env::var(FOLDER), std::env::var(WAY)) else { return };
    let registry = Registry::with_built_ins().unwrap();
    let disks = Manager::<Disks>::new(registry, &Environment::new()).unwrap();
    let settings = Settings::new().with("driver", "local").with("root", &*folder);
    disks.configure("main", &settings.with("durability", "none")).unwrap();
    let disk = disks.get("main").await.unwrap();
    match &*way {
        "streams" => through_streams(&disk, 1 << 30).await,
        "files" => through_files(&disk, Path::new(&folder), 256 << 20).await,
        _ => through_readers_and_writers(&disk, Path::new(&folder), 256 << 20).await,
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    // What is mapped from files is the program itself, which is large where it is built for tests.
    println!("{PEAK}{}", kilobytes(&status, "VmHWM:") - kilobytes(&status, "RssFile:"));
}

/// What the system says of a process under that name.
fn kilobytes(status: &str, name: &str) -> u64 {
    let said = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    said.trim().trim_end_matches(" kB").parse().unwrap()
}

async fn through_streams(disk: &Disk, length: usize) {
    let pieces = (0..length / PIECE).map(|_| Ok::<_, Error>(vec![7; PIECE]));
    disk.put("key", Body::stream(futures_util::stream::iter(pieces))).await.unwrap();
    let mut object = disk.get("key").await.unwrap();
    let mut read = 0;
    while let Some(piece) = object.try_next().await.unwrap() {
        read += Bytes::len(&piece);
    }
    assert_eq!(read, length);
}

async fn through_files(disk: &Disk, folder: &Path, length: u64) {
    let (from, to) = (folder.join("from"), folder.join("to"));
    std::fs::File::create(&from).unwrap().set_len(length).unwrap();
    disk.put_file("key", &from).await.unwrap();
    disk.get_file("key", &to).await.unwrap();
    assert_eq!(std::fs::metadata(&to).unwrap().len(), length);
}

async fn through_readers_and_writers(disk: &Disk, folder: &Path, length: u64) {
    let from = folder.join("from");
    std::fs::File::create(&from).unwrap().set_len(length).unwrap();
    let mut file = tokio::fs::File::open(&from).await.unwrap();
    let mut writer = disk.writer("key").await.unwrap();
    tokio::io::copy(&mut file, &mut writer).await.unwrap();
    writer.finish().await.unwrap();
    let mut reader = disk.get("key").await.unwrap().into_reader();
    let read = tokio::io::copy_buf(&mut reader, &mut tokio::io::sink()).await.unwrap();
    assert_eq!(read, length);
}

/// Goes that way in a process of its own, and looks how much memory it had at most.
fn check(way: &str) {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["tests::large::the_process_that_streams", "--exact", "--nocapture"])
        .env(FOLDER, folder.path())
        .env(WAY, way)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let peak = said.lines().find_map(|line| line.strip_prefix(PEAK));
    let peak = peak.unwrap_or_else(|| panic!("{said}{}", String::from_utf8_lossy(&output.stderr)));
    let kilobytes: u64 = peak.parse().unwrap();
    assert!(kilobytes < 64 * 1024, "{kilobytes} kB");
}

#[test]
fn a_gibibyte_is_streamed_in_less_than_128_mebibytes_of_memory() {
    check("streams");
}

#[test]
fn files_take_no_more_memory_the_larger_they_are() {
    check("files");
}

#[test]
fn readers_and_writers_take_no_more_memory_the_more_goes_through_them() {
    check("readers and writers");
}
