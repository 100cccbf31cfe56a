//! Who keeps objects in a folder, and how.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use object_store::local::LocalFileSystem;
use opendal::Operator;
use opendal::services::Fs;
use switchboard_core::Settings;
use switchboard_storage::Disk;
use tokio::task::spawn_blocking;

use super::Lasting;
use crate::asking::Asker;
use crate::folder::Folder;
use crate::line::OURS;
use crate::stores::{Store, ours};

/// Where a contender keeps its objects.
pub struct At {
    folder: Folder,
    lasting: Lasting,
}

impl At {
    pub fn new(lasting: Lasting) -> Self {
        Self { folder: Folder::new(), lasting }
    }

    /// `asker`, which asks in this folder, and the folder with it.
    pub fn kept<A: Asker>(self, asker: A) -> impl Asker {
        Kept { asker, _at: self }
    }

    /// The folder itself.
    pub fn root(&self) -> PathBuf {
        self.made("root")
    }

    fn made(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(&path).expect("can be made");
        path
    }
}

struct Kept<A> {
    asker: A,
    _at: At,
}

impl<A: Asker> Asker for Kept<A> {
    async fn ask(&self, turn: usize) {
        self.asker.ask(turn).await;
    }
}

/// One way to keep objects in a folder.
pub trait Peer: Store + Sized {
    const NAME: &'static str;
    /// What it is called where it stores, if it does more then than it was asked for.
    const NAME_STORING: &'static str = Self::NAME;
    const PACKAGES: &'static [&'static str];

    async fn within(at: &At) -> Self;
}

impl Peer for Disk {
    const NAME: &'static str = OURS;
    const PACKAGES: &'static [&'static str] = &[];

    async fn within(at: &At) -> Self {
        ours(&settings(at)).await
    }
}

/// The product, told not to compare what it reads with its checksum: what that costs.
pub struct Unverified(Disk);

impl Peer for Unverified {
    const NAME: &'static str = "switchboard, `verify = \"off\"`";
    const PACKAGES: &'static [&'static str] = &[];

    async fn within(at: &At) -> Self {
        Self(ours(&settings(at).with("verify", "off")).await)
    }
}

impl Store for Unverified {
    async fn get(&self, key: &str) -> Bytes {
        self.0.read(key).await.expect("nothing fails")
    }

    async fn put(&self, key: &str, content: Bytes) {
        self.0.put(key, content).await.expect("nothing fails");
    }
}

fn settings(at: &At) -> Settings {
    let durability = if at.lasting == Lasting::Yes { "full" } else { "none" };
    let settings = Settings::new().with("driver", "local").with("root", text(&at.root()));
    settings.with("durability", durability)
}

/// The standard library, on a thread that may block, with one hop for each call.
pub struct Std(Arc<Files>);

/// A folder as one would use it by hand.
struct Files {
    root: PathBuf,
    beside: PathBuf,
    lasting: Lasting,
    count: AtomicU64,
}

impl Peer for Std {
    const NAME: &'static str = "std::fs, spawn_blocking";
    const PACKAGES: &'static [&'static str] = &[];

    async fn within(at: &At) -> Self {
        Self(Arc::new(Files::new(at)))
    }
}

impl Store for Std {
    async fn get(&self, key: &str) -> Bytes {
        let path = self.0.path(key);
        let read = spawn_blocking(move || fs::read(path));
        read.await.expect("nothing panics").expect("nothing fails").into()
    }

    async fn put(&self, key: &str, content: Bytes) {
        let (files, path) = (self.0.clone(), self.0.path(key));
        let written = spawn_blocking(move || files.write(&path, &content));
        written.await.expect("nothing panics").expect("nothing fails");
    }
}

impl Files {
    fn new(at: &At) -> Self {
        let (root, beside) = (at.root(), at.made("beside"));
        fs::create_dir(root.join("objects")).expect("can be made");
        Self { root, beside, lasting: at.lasting, count: AtomicU64::new(0) }
    }

    fn path(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    /// Where something can be written that is not to be seen yet.
    fn beside(&self) -> PathBuf {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        self.beside.join(number.to_string())
    }

    fn write(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let beside = self.beside();
        let mut file = File::create_new(&beside)?;
        file.write_all(content)?;
        if self.lasting == Lasting::No {
            return fs::rename(&beside, path);
        }
        file.sync_all()?;
        fs::rename(&beside, path)?;
        File::open(path.parent().expect("has one"))?.sync_all()
    }
}

/// tokio's files, which hop for each call of the system, or nearly.
pub struct Tokio(Files);

impl Peer for Tokio {
    const NAME: &'static str = "tokio::fs";
    const PACKAGES: &'static [&'static str] = &["tokio"];

    async fn within(at: &At) -> Self {
        Self(Files::new(at))
    }
}

impl Store for Tokio {
    async fn get(&self, key: &str) -> Bytes {
        tokio::fs::read(self.0.path(key)).await.expect("nothing fails").into()
    }

    async fn put(&self, key: &str, content: Bytes) {
        let beside = self.0.beside();
        tokio::fs::write(&beside, content).await.expect("nothing fails");
        tokio::fs::rename(beside, self.0.path(key)).await.expect("nothing fails");
    }
}

/// `object_store`, which waits for the disk only if it is told to.
pub type ObjectStore = Arc<dyn object_store::ObjectStore>;

impl Peer for ObjectStore {
    const NAME: &'static str = "object_store";
    const PACKAGES: &'static [&'static str] = &["object_store"];

    async fn within(at: &At) -> Self {
        let store = LocalFileSystem::new_with_prefix(at.root()).expect("the folder is there");
        Arc::new(store.with_fsync(at.lasting == Lasting::Yes))
    }
}

/// `opendal`, which writes in one step only if it is told where, and waits for the bytes, though not for
/// their name, to be on the disk whatever it is told.
impl Peer for Operator {
    const NAME: &'static str = "opendal";
    const NAME_STORING: &'static str = "opendal, waits for the bytes";
    const PACKAGES: &'static [&'static str] = &["opendal"];

    async fn within(at: &At) -> Self {
        let (root, beside) = (text(&at.root()), text(&at.made("beside")));
        let service = Fs::default().root(&root).atomic_write_dir(&beside);
        Self::new(service).expect("the settings are right")
    }
}

fn text(path: &Path) -> String {
    path.to_str().expect("is a text").to_owned()
}
