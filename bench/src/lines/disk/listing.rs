//! A folder of 10 000 objects, listed: what each is called, how large it is, and when it was stored.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use futures_util::TryStreamExt as _;
use object_store::ObjectStore as _;
use opendal::Operator;
use switchboard_storage::Disk;
use tokio::task::spawn_blocking;

use super::Lasting;
use super::peers::{At, ObjectStore, Peer};
use crate::asking::{Asker, asking};
use crate::line::{Contender, Goal, Line, OURS};

/// All of them.
pub fn line() -> Line {
    Line {
        name: "disk-list",
        about: "List 10 000 objects of one directory with their sizes and times; the product tells also \
                the version of each, all in the order of their keys, page by page.",
        reference: Std::NAME,
        threads: &[1],
        figure: None,
        needs: None,
        contenders: vec![
            contender::<Listing<Disk>>(),
            contender::<Std>(),
            contender::<Listing<ObjectStore>>(),
            contender::<Listing<Operator>>(),
        ],
        goals: vec![Goal::times(OURS, 1.50, Std::NAME, 1)],
    }
}

/// One way to list.
trait Lists: Asker {
    const NAME: &'static str;
    const PACKAGES: &'static [&'static str];

    async fn new(at: &At) -> Self;
}

fn contender<L: Lists>() -> Contender {
    let build = |_| {
        asking(1, async || {
            let at = At::new(Lasting::No);
            let lists = L::new(&at).await;
            at.kept(lists)
        })
    };
    Contender::new(L::NAME, build).of(L::PACKAGES)
}

struct Listing<S>(S);

/// Stored by the product itself, so that there is all of it to be told.
impl Lists for Listing<Disk> {
    const NAME: &'static str = <Disk as Peer>::NAME;
    const PACKAGES: &'static [&'static str] = <Disk as Peer>::PACKAGES;

    async fn new(at: &At) -> Self {
        let disk = Disk::within(at).await;
        for number in 0..OBJECTS {
            disk.put(&key(number), CONTENT).await.expect("nothing fails");
        }
        Self(disk)
    }
}

impl Asker for Listing<Disk> {
    async fn ask(&self, _turn: usize) {
        let entries = self.0.list("").entries();
        let all = entries
            .try_fold((0, 0), async |(count, bytes), entry| Ok((count + 1, bytes + entry.size)));
        assert_eq!(all.await.expect("nothing fails"), EXPECTED);
    }
}

impl Lists for Listing<ObjectStore> {
    const NAME: &'static str = ObjectStore::NAME;
    const PACKAGES: &'static [&'static str] = ObjectStore::PACKAGES;

    async fn new(at: &At) -> Self {
        fill(&at.root());
        Self(ObjectStore::within(at).await)
    }
}

impl Asker for Listing<ObjectStore> {
    async fn ask(&self, _turn: usize) {
        let entries: Vec<_> = self.0.list(None).try_collect().await.expect("nothing fails");
        let bytes = entries.iter().map(|entry| entry.size).sum();
        assert_eq!((entries.len(), bytes), EXPECTED);
    }
}

impl Lists for Listing<Operator> {
    const NAME: &'static str = <Operator as Peer>::NAME;
    const PACKAGES: &'static [&'static str] = <Operator as Peer>::PACKAGES;

    async fn new(at: &At) -> Self {
        fill(&at.root());
        Self(Operator::within(at).await)
    }
}

impl Asker for Listing<Operator> {
    async fn ask(&self, _turn: usize) {
        let entries = self.0.list_with("").recursive(true).await.expect("nothing fails");
        let files = entries.iter().filter(|entry| entry.metadata().is_file());
        let (mut count, mut bytes) = (0, 0);
        for file in files {
            (count, bytes) = (count + 1, bytes + file.metadata().content_length());
        }
        assert_eq!((count, bytes), EXPECTED);
    }
}

/// The standard library, with one call of the system for each file, sorted at the end.
struct Std(PathBuf);

impl Lists for Std {
    const NAME: &'static str = "std::fs, spawn_blocking";
    const PACKAGES: &'static [&'static str] = &[];

    async fn new(at: &At) -> Self {
        fill(&at.root());
        Self(at.root())
    }
}

impl Asker for Std {
    async fn ask(&self, _turn: usize) {
        let root = self.0.clone();
        let listed = spawn_blocking(move || {
            let mut files = Vec::new();
            for entry in fs::read_dir(root)? {
                let entry = entry?;
                let metadata = entry.metadata()?;
                files.push((entry.file_name(), metadata.len(), metadata.mtime()));
            }
            files.sort();
            Ok::<_, std::io::Error>(files)
        });
        let files = listed.await.expect("nothing panics").expect("nothing fails");
        assert_eq!((files.len(), files.iter().map(|(_, size, _)| size).sum()), EXPECTED);
    }
}

fn fill(root: &Path) {
    for number in 0..OBJECTS {
        fs::write(root.join(key(number)), CONTENT).expect("nothing fails");
    }
}

fn key(number: usize) -> String {
    format!("object-{number:05}.txt")
}

const OBJECTS: usize = 10_000;
const CONTENT: &str = "some text";
const EXPECTED: (usize, u64) = (OBJECTS, (OBJECTS * CONTENT.len()) as u64);
