//! A process that is killed while it writes, at whatever point that is.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use switchboard_core::ErrorKind;

use super::*;
use crate::{Part, UploadId};

const FOLDER: &str = "SWITCHBOARD_TEST_KILLED_FOLDER";
const KEEPING: &str = "SWITCHBOARD_TEST_KILLED_KEEPING";
const KILLS: u32 = 50;

/// The process that is killed: it does nothing unless the test below starts it.
#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::disallowed_methods, reason = "a process is told by variables what to do")]
async fn the_process_that_is_killed() {
    let (Ok(folder), Ok(keeping)) = (std::env::var(FOLDER), std::env::var(KEEPING)) else {
        return;
    };
    let local = Arc::new(open(Path::new(&folder), &keeping));
    for round in 1_u32.. {
        let content = content(round);
        let write = said_of(&content);
        for key in KEYS {
            let key = Key::parse(key).unwrap();
            let there = local.head(key).await.ok();
            let condition = match there {
                Some(meta) if round % 2 == 0 => Condition::Version(meta.version),
                _ => Condition::Always,
            };
            let write = Write { condition, ..write.clone() };
            local.put(key, content.clone().into(), &write).await.unwrap();
            println!("done");
        }
        let (from, to) = (Key::parse(KEYS[0]).unwrap(), Key::parse("moved/there").unwrap());
        local.copy(from, to, &Condition::Always).await.unwrap();
        println!("done");
        local.rename(to, Key::parse("moved/back").unwrap(), &Condition::Always).await.unwrap();
        println!("done");
        upload(&local, &content).await;
        local.delete(Key::parse(KEYS[2]).unwrap(), None).await.unwrap();
    }
}

async fn upload(local: &Local, content: &str) {
    let key = Key::parse("uploaded").unwrap();
    let upload: UploadId = local.begin(key, &Write::default()).await.unwrap();
    let mut tags = Vec::new();
    for (number, bytes) in (0..).zip(content.as_bytes().chunks(PART)) {
        let part = Part { number, size: PART as u64, checksum: Checksum::of(bytes) };
        tags.push(local.part(key, &upload, part, bytes.to_vec().into()).await.unwrap());
        println!("done");
    }
    local.complete(key, &upload, &tags, &said_of(content)).await.unwrap();
}

fn content(round: u32) -> String {
    format!("{round} ").repeat(if round.is_multiple_of(3) { 1 } else { 8_000 })
}

fn said_of(content: &str) -> Write {
    let checksum = Some(Checksum::of(content.as_bytes()));
    let mut write = Write { checksum, ..Write::default() };
    // Whoever finds other bytes under it sees that it belongs to others.
    write.attributes.content_language = Some(content.len().to_string());
    write.attributes.metadata.insert("begins".into(), content.split(' ').next().unwrap().into());
    write
}

#[tokio::test]
async fn a_process_that_is_killed_leaves_whole_objects_and_nothing_that_can_be_seen() {
    for keeping in ["xattr", "sidecar"] {
        let folder = tempfile::tempdir().unwrap();
        for kill in 0..KILLS {
            let mut process = process(folder.path(), keeping);
            let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
            // How far it gets beyond its lines nobody knows: that is where it is killed.
            let is_done = |line: &std::io::Result<String>| {
                line.as_ref().is_ok_and(|line| line.ends_with("done"))
            };
            assert!(lines.by_ref().filter(is_done).nth(kill as usize % 14).is_some());
            for _ in 0..(kill * 7919 % 50) * 500 {
                std::hint::spin_loop();
            }
            process.kill().unwrap();
            process.wait().unwrap();
            check(folder.path(), keeping).await;
        }
        let local = open(folder.path(), keeping);
        local.sweep(Duration::ZERO).await.unwrap();
        let own = folder.path().join(".switchboard");
        assert_eq!((files(&own.join("tmp")), files(&own.join("uploads"))), (0, 0));
        let objects = local.list(&all("")).await.unwrap().entries.len();
        let beside = if keeping == "sidecar" { objects } else { 0 };
        assert_eq!(files(&own.join("meta")), beside, "what was said of others is gone");
    }
}

/// Every object is whole, has all that was said of it, and there are no others.
async fn check(folder: &Path, keeping: &str) {
    let local = open(folder, keeping);
    let page = local.list(&all("")).await.unwrap();
    for entry in &page.entries {
        let key = Key::parse(&entry.key).unwrap();
        let fetched = local.get(key, &Read::default()).await.unwrap().unwrap();
        let bytes = fetched.body.collect(1 << 20).await.unwrap();
        let bytes = String::from_utf8(bytes.to_vec()).unwrap();
        let round: u32 = bytes.split(' ').next().unwrap().parse().unwrap();
        assert_eq!(bytes, content(round), "{key} is whole");
        let said = said_of(&bytes);
        assert_eq!(fetched.meta.attributes, said.attributes, "{key}");
        assert_eq!(fetched.meta.checksum, said.checksum, "{key}");
        let known = KEYS.contains(&key.as_str())
            || ["moved/there", "moved/back", "uploaded"].contains(&key.as_str());
        assert!(known, "{key} was never written");
    }
    let there = local.head(Key::parse(KEYS[1]).unwrap()).await;
    match there {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}"),
    }
}

fn open(folder: &Path, keeping: &str) -> Local {
    let metadata = if keeping == "xattr" { Metadata::Xattr } else { Metadata::Sidecar };
    // A process that is killed leaves what the system has, on the disk or not.
    let durability = Durability::None;
    let root = Some(folder.into());
    let config = LocalConfig { root, durability, metadata, ..LocalConfig::default() };
    Local::open(&config, Clock::system()).unwrap()
}

/// Starts this test program once more, for one of its tests.
fn process(folder: &Path, keeping: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "drivers::local::tests::killed::the_process_that_is_killed",
            "--exact",
            "--nocapture",
        ])
        .env(FOLDER, folder)
        .env(KEEPING, keeping)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

const KEYS: [&str; 3] = ["a", "deep/er/and/deeper/b", "now/and/then/c"];

const PART: usize = 8 << 10;
