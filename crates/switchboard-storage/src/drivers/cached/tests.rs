use std::fs;
use std::path::PathBuf;

use futures_util::{FutureExt as _, TryStreamExt as _};
use switchboard_core::{Clock, Detail, Environment, Fault, Faults, Manager, Settings, Status};
use switchboard_testkit::{Injected, advance, inject};
use tempfile::TempDir;

use super::*;
use crate::conformance::{Fixture, suite};
use crate::drivers::memory;
use crate::{Checksum, Disk};

mod in_memory {
    use super::*;

    suite!(
        Fixture::new(register)
            .over("far", memory::register)
            .settings(|_| Settings::new().with("disk", "far"))
    );
}

mod in_small_pieces {
    use super::*;

    suite!(Fixture::new(register).over("far", memory::register).settings(|_| {
        Settings::new().with("disk", "far").with("piece_size", "1000B").with("memory", "100KiB")
    }));
}

mod in_a_folder {
    use super::*;

    suite!({
        let folder = tempfile::tempdir().unwrap();
        Fixture::new(register).over("far", memory::register).settings(move |unique| {
            let path = folder.path().join(unique).to_string_lossy().into_owned();
            Settings::new().with("disk", "far").with("memory", "1B").with("folder", path)
        })
    });
}

/// A disk and one that keeps what was read of it, in pieces of a hundred bytes.
struct Pair {
    disks: Manager<Disks>,
    far: Disk,
    near: Disk,
}

async fn pair(settings: Settings) -> Pair {
    let registry = Registry::with_built_ins().unwrap();
    let disks = Manager::<Disks>::new(registry, &Environment::new()).unwrap();
    disks.configure("far", &Settings::new().with("driver", "memory")).unwrap();
    let mut near =
        Settings::new().with("driver", "cached").with("disk", "far").with("piece_size", "100B");
    near.merge(settings);
    disks.configure("near", &near).unwrap();
    let (far, near) = (disks.get("far").await.unwrap(), disks.get("near").await.unwrap());
    Pair { disks, far, near }
}

impl Pair {
    /// Another one with the same settings, which knows nothing yet.
    async fn again(&self, settings: Settings) -> Disk {
        let mut near =
            Settings::new().with("driver", "cached").with("disk", "far").with("piece_size", "100B");
        near.merge(settings);
        self.disks.configure("again", &near).unwrap();
        self.disks.get("again").await.unwrap()
    }

    /// How often the far disk was asked for bytes.
    fn gets(&self) -> u64 {
        asked(&self.far, "get")
    }

    /// The far disk does not answer any more.
    fn cut_off(&self) -> Injected<Disks> {
        let gone = Error::new(ErrorKind::Unavailable, "the far disk is gone").not_applied();
        inject(self.far.line(), Faults::new(Clock::seeded(0)).chance(1.0, Fault::Fail(gone)))
            .unwrap()
    }
}

fn asked(disk: &Disk, operation: &str) -> u64 {
    let figures = disk.line().figures();
    figures.iter().find(|op| op.operation == operation).unwrap().succeeded
}

fn figure(disk: &Disk, name: &str) -> u64 {
    match disk.line().details().unwrap().get(name) {
        Some(Detail::Count(count)) => *count,
        other => panic!("{name} is {other:?}"),
    }
}

fn bytes(length: usize, seed: u8) -> Bytes {
    (0..length).map(|at| u8::try_from(at % 251).unwrap() ^ seed).collect()
}

fn never() -> Settings {
    Settings::new().with("validate", "never")
}

fn folder_in(folder: &TempDir) -> Settings {
    let path = folder.path().join("kept").to_string_lossy().into_owned();
    // Nothing fits into memory, so that everything is read from the folder.
    Settings::new().with("folder", path).with("memory", "1B")
}

fn files_in(folder: &TempDir) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.path().join("kept")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test]
async fn what_was_read_is_not_fetched_again() {
    let pair = pair(Settings::new()).await;
    let content = bytes(950, 1);
    pair.far.put("key", content.clone()).await.unwrap();
    assert_eq!(pair.near.read("key").await.unwrap(), content);
    let gets = pair.gets();
    assert_eq!(pair.near.read("key").await.unwrap(), content);
    assert_eq!(pair.gets(), gets);
    let figures = ["hits", "misses", "bytes_from_cache", "bytes_fetched"];
    assert_eq!(figures.map(|name| figure(&pair.near, name)), [10, 10, 950, 950]);
}

#[tokio::test]
async fn who_reads_on_fetches_more_pieces_with_each_request() {
    let pair = pair(Settings::new()).await;
    let content = bytes(3_950, 1);
    pair.far.put("key", content.clone()).await.unwrap();
    assert_eq!(pair.near.read("key").await.unwrap(), content);
    // 1, 2, 4, and then 8 at once: 40 pieces.
    assert_eq!(pair.gets(), 8);
    assert_eq!(figure(&pair.near, "misses"), 40);
    assert_eq!(pair.near.read("key").await.unwrap(), content);
    assert_eq!((pair.gets(), figure(&pair.near, "hits")), (8, 40));
}

#[tokio::test]
async fn nothing_is_fetched_again_that_is_there_in_the_middle() {
    let folder = tempfile::tempdir().unwrap();
    for settings in [Settings::new(), folder_in(&folder)] {
        let pair = pair(settings).await;
        let content = bytes(2_000, 1);
        pair.far.put("key", content.clone()).await.unwrap();
        for middle in [500..600, 1_100..1_300] {
            pair.near.get("key").range(middle).await.unwrap().bytes(1000).await.unwrap();
        }
        assert_eq!(pair.near.read("key").await.unwrap(), content);
        assert_eq!(figure(&pair.near, "bytes_fetched"), 2_000);
        assert_eq!(figure(&pair.near, "hits"), 3);
    }
}

#[tokio::test]
async fn readers_side_by_side_fetch_each_piece_once() {
    let pair = pair(Settings::new()).await;
    let content = bytes(5_000, 1);
    pair.far.put("key", content.clone()).await.unwrap();
    let reads = (0..8).map(|_| pair.near.read("key"));
    let read = futures_util::future::try_join_all(reads).await.unwrap();
    assert!(read.iter().all(|read| *read == content));
    assert_eq!(figure(&pair.near, "bytes_fetched"), 5_000);
}

#[tokio::test]
async fn of_a_range_only_the_pieces_are_fetched_that_it_touches() {
    let pair = pair(Settings::new()).await;
    let content = bytes(950, 1);
    pair.far.put("key", content.clone()).await.unwrap();
    for (range, gets) in [(250..350, 2), (299..301, 2), (200..400, 2), (0..1, 3), (900..2000, 4)] {
        let object = pair.near.get("key").range(range.clone()).await.unwrap();
        let end = usize::try_from(range.end.min(950)).unwrap();
        let expected = content.slice(usize::try_from(range.start).unwrap()..end);
        assert_eq!(object.bytes(1000).await.unwrap(), expected);
        assert_eq!(pair.gets(), gets, "{range:?}");
    }
}

#[tokio::test]
async fn an_object_that_others_replaced_is_seen_at_once_where_it_is_always_asked_for() {
    let pair = pair(Settings::new()).await;
    for round in 0..3 {
        pair.far.put("key", bytes(300, round)).await.unwrap();
        let object = pair.near.get("key").await.unwrap();
        let version = object.meta().version.clone();
        assert_eq!(version, pair.far.head("key").await.unwrap().version);
        assert_eq!(object.bytes(1000).await.unwrap(), bytes(300, round));
    }
    pair.far.delete("key").await.unwrap();
    assert_eq!(pair.near.read("key").await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_others_replaced_is_seen_after_the_ttl() {
    let pair = pair(Settings::new().with("validate", "ttl").with("ttl", "10s")).await;
    pair.far.put("key", "old").await.unwrap();
    assert_eq!(pair.near.read("key").await.unwrap(), "old");
    pair.far.put("key", "new").await.unwrap();
    advance(Duration::from_millis(9_999)).await;
    assert_eq!(pair.near.read("key").await.unwrap(), "old");
    let heads = asked(&pair.far, "head");
    advance(Duration::from_millis(1)).await;
    assert_eq!(pair.near.read("key").await.unwrap(), "new");
    assert_eq!(asked(&pair.far, "head"), heads + 1);
}

#[tokio::test]
async fn what_never_changes_is_read_without_the_far_disk() {
    let pair = pair(never()).await;
    pair.far.put("key", bytes(300, 1)).await.unwrap();
    pair.near.read("key").await.unwrap();
    let _gone = pair.cut_off();
    assert_eq!(pair.near.read("key").await.unwrap(), bytes(300, 1));
}

#[tokio::test]
async fn what_is_written_through_the_disk_is_seen_at_once_whatever_was_said() {
    let pair = pair(never()).await;
    let near = &pair.near;
    near.put("key", "one").await.unwrap();
    assert_eq!(near.read("key").await.unwrap(), "one");
    near.put("key", "two").await.unwrap();
    assert_eq!(near.read("key").await.unwrap(), "two");
    near.put("other", "three").await.unwrap();
    near.copy("other", "key").await.unwrap();
    assert_eq!(near.read("key").await.unwrap(), "three");
    near.read("other").await.unwrap();
    near.rename("other", "key").await.unwrap();
    assert_eq!(near.read("other").await.unwrap_err().kind(), ErrorKind::NotFound);
    near.put("key", bytes(1000, 7)).await.unwrap();
    assert_eq!(near.read("key").await.unwrap(), bytes(1000, 7));
    near.delete_many(&["key"]).await.unwrap();
    assert_eq!(near.read("key").await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn an_answer_from_before_a_write_is_not_remembered_after_it() {
    let known = Known::new(Validate::Never, Duration::ZERO, Clock::system());
    let meta = Meta::new(3, std::time::SystemTime::UNIX_EPOCH, Version::new("old"));
    let key = Key::parse("key").unwrap();
    let before = known.asking("key");
    let writing = known.writing([key]);
    let meanwhile = known.asking("key");
    before.remember(&meta);
    assert_eq!(known.find("key"), None, "asked before the write");
    drop(writing);
    meanwhile.remember(&meta);
    assert_eq!(known.find("key"), None, "asked while it was written");
    known.asking("key").remember(&meta);
    assert_eq!(known.find("key"), Some(meta));
}

#[tokio::test]
async fn a_version_that_is_asked_for_is_found_although_another_one_is_remembered() {
    let pair = pair(never()).await;
    pair.far.put("key", "old").await.unwrap();
    pair.near.read("key").await.unwrap();
    let new = pair.far.put("key", "new").await.unwrap().version;
    let object = pair.near.get("key").only(&new).await.unwrap();
    assert_eq!(object.bytes(10).await.unwrap(), "new");
}

#[tokio::test]
async fn an_object_that_is_gone_where_it_is_remembered_is_read_as_what_is_there_now() {
    let pair = pair(never()).await;
    pair.far.put("key", bytes(300, 1)).await.unwrap();
    assert_eq!(pair.near.head("key").await.unwrap().size, 300);
    pair.far.put("key", bytes(200, 2)).await.unwrap();
    let object = pair.near.get("key").await.unwrap();
    assert_eq!(object.meta().size, 200);
    assert_eq!(object.bytes(1000).await.unwrap(), bytes(200, 2));
}

#[tokio::test]
async fn an_object_that_is_replaced_while_it_is_read_ends_with_a_conflict() {
    let pair = pair(Settings::new()).await;
    pair.far.put("key", bytes(2000, 1)).await.unwrap();
    let mut object = pair.near.get("key").await.unwrap();
    assert_eq!(object.try_next().await.unwrap().unwrap(), bytes(100, 1));
    pair.far.put("key", bytes(2000, 2)).await.unwrap();
    let mut read = bytes(100, 1).to_vec();
    let error = loop {
        match object.try_next().await {
            Ok(Some(piece)) => read.extend_from_slice(&piece),
            Ok(None) => panic!("it has an end"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(read, bytes(2000, 1)[..read.len()], "all of it is of the old version");
}

#[tokio::test(start_paused = true)]
async fn many_who_want_the_same_at_once_cost_one_way() {
    let pair = pair(Settings::new()).await;
    pair.far.put("key", bytes(100, 1)).await.unwrap();
    let slow = Faults::new(Clock::seeded(0)).chance(1.0, Fault::Late(Duration::from_millis(5)));
    let _slow = inject(pair.far.line(), slow).unwrap();
    let reads = (0..32).map(|_| pair.near.read("key"));
    let read = futures_util::future::try_join_all(reads).await.unwrap();
    assert!(read.iter().all(|read| *read == bytes(100, 1)));
    assert_eq!(pair.gets(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_stops_stops_no_other() {
    let pair = pair(never()).await;
    pair.far.put("key", bytes(100, 1)).await.unwrap();
    pair.near.head("key").await.unwrap();
    let slow = Faults::new(Clock::seeded(0)).chance(1.0, Fault::Late(Duration::from_millis(5)));
    let _slow = inject(pair.far.line(), slow).unwrap();
    let mut stopped = Box::pin(pair.near.read("key"));
    assert!((&mut stopped).now_or_never().is_none(), "it fetches the piece");
    let other = tokio::time::timeout(Duration::from_mins(1), pair.near.read("key")).await;
    assert_eq!(other.expect("it waits for ever").unwrap(), bytes(100, 1));
    assert_eq!(stopped.await.unwrap(), bytes(100, 1), "it goes on");
}

#[tokio::test]
async fn memory_is_bounded() {
    let pair = pair(Settings::new().with("memory", "10KB")).await;
    for number in 0..40 {
        let key = format!("{number}");
        pair.far.put(&key, bytes(1000, number)).await.unwrap();
        assert_eq!(pair.near.read(&key).await.unwrap(), bytes(1000, number));
        assert!(figure(&pair.near, "memory_bytes") <= 10_000);
    }
}

#[tokio::test]
async fn what_is_in_the_folder_is_there_after_a_new_start() {
    let folder = tempfile::tempdir().unwrap();
    let pair = pair(folder_in(&folder)).await;
    pair.far.put("key", bytes(950, 1)).await.unwrap();
    pair.near.read("key").await.unwrap();
    let gets = pair.gets();
    let again = pair.again(folder_in(&folder)).await;
    assert_eq!(again.read("key").await.unwrap(), bytes(950, 1));
    assert_eq!(pair.gets(), gets);
    assert_eq!(figure(&again, "hits"), 10);
    assert_eq!(figure(&again, "folder_bytes"), figure(&pair.near, "folder_bytes"));
}

#[tokio::test]
async fn the_folder_is_bounded_and_what_was_used_last_stays() {
    let folder = tempfile::tempdir().unwrap();
    let pair = pair(folder_in(&folder).with("folder_size", "2000B")).await;
    for number in 0..30 {
        let key = format!("{number}");
        pair.far.put(&key, bytes(100, number)).await.unwrap();
        pair.near.read(&key).await.unwrap();
        // It is used all the time, and stays.
        pair.near.read("0").await.unwrap();
        let on_disk: u64 = files_in(&folder).iter().map(|f| fs::metadata(f).unwrap().len()).sum();
        assert!(on_disk <= 2000, "{on_disk}");
        assert_eq!(on_disk, figure(&pair.near, "folder_bytes"));
    }
    let gets = pair.gets();
    assert_eq!(gets, 30, "each was fetched once");
    pair.near.read("29").await.unwrap();
    assert_eq!(pair.gets(), gets);
    pair.near.read("1").await.unwrap();
    assert_eq!(pair.gets(), gets + 1, "it was not used for long");
}

#[tokio::test]
async fn a_file_that_was_changed_or_cut_is_noticed_and_fetched_again() {
    let folder = tempfile::tempdir().unwrap();
    let pair = pair(folder_in(&folder)).await;
    pair.far.put("key", bytes(100, 1)).await.unwrap();
    pair.near.read("key").await.unwrap();
    let [file] = &files_in(&folder)[..] else { panic!("there is one file") };
    let whole = fs::read(file).unwrap();
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        for broken in [&flipped[..], &whole[..at]] {
            fs::write(file, broken).unwrap();
            let read = pair.near.get("key").await.unwrap().bytes(1000).await.unwrap();
            assert_eq!(read, bytes(100, 1), "byte {at}");
            assert_eq!(fs::read(file).unwrap(), whole, "it is kept again");
        }
    }
    assert_eq!(figure(&pair.near, "folder_corrupt"), 2 * whole.len() as u64);
}

#[tokio::test]
async fn a_file_of_another_piece_is_not_taken_for_this_one() {
    let folder = tempfile::tempdir().unwrap();
    let pair = pair(folder_in(&folder)).await;
    pair.far.put("one", bytes(100, 1)).await.unwrap();
    pair.near.read("one").await.unwrap();
    let one = files_in(&folder).remove(0);
    pair.far.put("two", bytes(100, 2)).await.unwrap();
    pair.near.read("two").await.unwrap();
    let two = files_in(&folder).into_iter().find(|file| *file != one).unwrap();
    fs::copy(one, two).unwrap();
    assert_eq!(pair.near.read("two").await.unwrap(), bytes(100, 2));
}

#[tokio::test]
async fn a_folder_that_fails_fails_no_read() {
    let folder = tempfile::tempdir().unwrap();
    let pair = pair(folder_in(&folder)).await;
    pair.far.put("key", bytes(300, 1)).await.unwrap();
    pair.near.read("key").await.unwrap();
    // A file where the folder was: whatever is tried there fails, for any user.
    fs::remove_dir_all(folder.path().join("kept")).unwrap();
    fs::write(folder.path().join("kept"), "").unwrap();
    assert_eq!(pair.near.read("key").await.unwrap(), bytes(300, 1));
    assert!(figure(&pair.near, "folder_failures") > 0);
    let health = pair.disks.health(Duration::from_secs(5)).await;
    let near = health.iter().find(|report| report.instance == "near").unwrap();
    assert_eq!(near.health.status, Status::Degraded);

    fs::remove_file(folder.path().join("kept")).unwrap();
    fs::create_dir(folder.path().join("kept")).unwrap();
    assert_eq!(pair.near.read("key").await.unwrap(), bytes(300, 1));
    let health = pair.disks.health(Duration::from_secs(5)).await;
    assert!(health.iter().all(|report| report.health.status == Status::Up), "{health:?}");
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("kept"), "").unwrap();
    let pair = pair(Settings::new()).await;
    let mut near = Settings::new().with("driver", "cached").with("disk", "far");
    near.merge(folder_in(&folder));
    pair.disks.configure("wrong", &near).unwrap();
    let error = pair.disks.get("wrong").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(error.context_value("setting"), Some("folder"));
}

#[tokio::test]
async fn what_was_left_half_written_is_gone_after_a_new_start() {
    let folder = tempfile::tempdir().unwrap();
    let pair = pair(folder_in(&folder)).await;
    fs::write(folder.path().join("kept/00.under-way"), "half").unwrap();
    fs::write(folder.path().join("kept/of-somebody-else"), "theirs").unwrap();
    let again = pair.again(folder_in(&folder)).await;
    assert_eq!(figure(&again, "folder_bytes"), 0);
    assert_eq!(files_in(&folder), [folder.path().join("kept/of-somebody-else")]);
}

#[tokio::test]
async fn bytes_that_came_broken_are_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let settings = folder_in(&folder).with("memory", "1MiB");
    let pair = pair(settings).await;
    let (right, mut wrong) = (bytes(300, 1), bytes(300, 1).to_vec());
    wrong[150] ^= 1;
    let write = Write { checksum: Some(Checksum::of(&right)), ..Write::default() };
    let held = pair.far.line().hold().unwrap();
    let key = Key::parse("key").unwrap();
    held.driver().put(key, wrong.into(), &write).await.unwrap();
    for _ in 0..2 {
        let error = pair.near.read("key").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
    assert_eq!(figure(&pair.near, "bytes_fetched"), 600, "they were fetched again");
    assert!(files_in(&folder).is_empty());
}

#[tokio::test]
async fn figures_are_there_for_monitoring() {
    let folder = tempfile::tempdir().unwrap();
    let pair = pair(folder_in(&folder)).await;
    let names: Vec<_> = pair.near.line().metrics().iter().map(Metric::name).collect();
    pair.far.put("key", bytes(300, 1)).await.unwrap();
    pair.near.read("key").await.unwrap();
    let after: Vec<_> = pair.near.line().metrics().iter().map(Metric::name).collect();
    assert_eq!(names, after);
    assert!(names.contains(&"cache_pieces_total"));
}
