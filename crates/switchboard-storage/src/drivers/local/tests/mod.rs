//! What a folder does beyond the rules of all disks.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use switchboard_core::{Clock, Result};
use tempfile::TempDir;

use super::{Durability, Local, LocalConfig, Metadata, Root};
use crate::{
    Checksum, Condition, Fetched, Key, List, Meta, Page, Read, StorageDriver, Stored, Version,
    Write,
};

mod beside;
mod confined;
mod killed;
mod listing;
mod locked;
mod processes;
mod racing;
mod reading;
mod refused;
mod settings;
mod uploads;

/// A disk in a folder of its own, beside which nobody else may look.
#[derive(Clone)]
struct Home {
    folder: Arc<TempDir>,
    local: Arc<Local>,
}

impl Home {
    fn new() -> Self {
        Self::with(LocalConfig::default())
    }

    fn with(config: LocalConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = LocalConfig { root: Some(folder.path().join("root")), ..config };
        let local = Local::open(&config, Clock::system()).unwrap();
        Self { folder: Arc::new(folder), local: Arc::new(local) }
    }

    /// Where the system does not resolve paths beneath a directory.
    fn by_segment() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root");
        let config = LocalConfig::default();
        let root = Root::open(&path, config.symlinks, config.dir_mode.0).unwrap().by_segment();
        let local = Local::start(root, path, &config, Clock::system()).unwrap();
        Self { folder: Arc::new(folder), local: Arc::new(local) }
    }

    /// One for each way in which what is said of objects can be kept.
    fn of_each_keeping() -> [Self; 2] {
        let durability = Durability::None;
        [Metadata::Xattr, Metadata::Sidecar].map(|metadata| {
            Self::with(LocalConfig { durability, metadata, ..LocalConfig::default() })
        })
    }

    fn path(&self, key: &str) -> PathBuf {
        self.local.root().join(key)
    }

    fn outside(&self) -> PathBuf {
        self.folder.path().join("outside")
    }

    async fn put(&self, key: &str, content: &str) -> Result<Stored> {
        self.put_if(key, content, Condition::Always).await
    }

    async fn put_if(&self, key: &str, content: &str, condition: Condition) -> Result<Stored> {
        let checksum = Some(Checksum::of(content.as_bytes()));
        let mut write = Write { condition, checksum, ..Write::default() };
        write.attributes.content_type = Some("text/plain".into());
        self.local.put(Key::parse(key)?, content.to_owned().into(), &write).await
    }

    async fn head(&self, key: &str) -> Result<Meta> {
        self.local.head(Key::parse(key)?).await
    }

    async fn read(&self, key: &str) -> Result<String> {
        let Fetched { body, .. } =
            self.local.get(Key::parse(key)?, &Read::default()).await?.unwrap();
        Ok(String::from_utf8(body.collect(1 << 30).await?.to_vec()).unwrap())
    }

    async fn delete(&self, key: &str, only: Option<&Version>) -> Result<bool> {
        self.local.delete(Key::parse(key)?, only).await
    }

    async fn page(&self, list: &List) -> Result<Page> {
        self.local.list(list).await
    }

    async fn keys(&self) -> Vec<String> {
        let page = self.page(&all("")).await.unwrap();
        assert_eq!(page.next, None);
        page.entries.into_iter().map(|entry| entry.key).collect()
    }

    /// How many files lie in a directory of the disk's own, at any depth.
    fn own(&self, dir: &str) -> usize {
        files(&self.path(".switchboard").join(dir))
    }
}

fn files(dir: &Path) -> usize {
    let Ok(found) = std::fs::read_dir(dir) else { return 0 };
    found
        .map(|found| found.unwrap())
        .map(|found| if found.file_type().unwrap().is_dir() { files(&found.path()) } else { 1 })
        .sum()
}

fn all(prefix: &str) -> List {
    List { prefix: prefix.into(), is_flat: false, after: None, token: None, limit: 1000 }
}
