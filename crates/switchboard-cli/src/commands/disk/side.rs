//! One side of `disk sync`: what is there, and how it is changed.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::SystemTime;

use futures_util::TryStreamExt as _;
use switchboard_core::{Error, ErrorKind};
use switchboard_storage::{Checksum, Disk, Key};

use crate::failure::Result;

/// What is beneath a prefix of a disk, or in a folder of this machine.
pub(super) enum Side {
    Disk { disk: Disk, prefix: String },
    Folder(PathBuf),
}

/// What is known of an object or a file without looking into it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    pub(super) size: u64,
    pub(super) modified: SystemTime,
}

/// What is on a side, by key without the prefix.
#[derive(Debug, Default)]
pub(super) struct Items {
    pub(super) items: BTreeMap<String, Item>,
    /// What is neither a file nor a folder, or has a name that no disk can have.
    pub(super) skipped: u64,
}

impl Side {
    pub(super) async fn items(&self) -> Result<Items> {
        match self {
            Self::Disk { disk, prefix } => beneath(disk, prefix).await,
            Self::Folder(root) => {
                let root = root.clone();
                Ok(blocking(move || walk(&root)).await?)
            }
        }
    }

    /// What the bytes of an object add up to, where that is known or can be found out here; else the object is
    /// read for it if `may_read`.
    pub(super) async fn sum(&self, key: &str, may_read: bool) -> Result<Option<Checksum>> {
        match self {
            Self::Disk { disk, prefix } => {
                let key = format!("{prefix}{key}");
                match disk.head(&key).await?.checksum {
                    None if may_read => Ok(Some(read_sum(disk, &key).await?)),
                    known => Ok(known),
                }
            }
            Self::Folder(root) => {
                let path = path_of(root, key)?;
                Ok(Some(blocking(move || sum_of(&path)).await?))
            }
        }
    }

    pub(super) async fn delete(&self, key: &str) -> Result<()> {
        match self {
            Self::Disk { disk, prefix } => {
                disk.delete(&format!("{prefix}{key}")).await?;
            }
            Self::Folder(root) => {
                let (root, path) = (root.clone(), path_of(root, key)?);
                blocking(move || remove(&root, &path)).await?;
            }
        }
        Ok(())
    }
}

/// What the bytes of an object add up to that come now.
async fn read_sum(disk: &Disk, key: &str) -> Result<Checksum> {
    let object = disk.get(key).await?;
    Ok(object.try_fold(Checksum::EMPTY, |sum, piece| async move { Ok(sum.and(&piece)) }).await?)
}

async fn beneath(disk: &Disk, prefix: &str) -> Result<Items> {
    let mut found = Items::default();
    let mut pages = pin!(disk.list(prefix).pages());
    while let Some(page) = pages.try_next().await? {
        found.skipped += page.skipped;
        for entry in page.entries {
            let key = entry.key.strip_prefix(prefix).unwrap_or(&entry.key).to_owned();
            found.items.insert(key, Item { size: entry.size, modified: entry.modified });
        }
    }
    Ok(found)
}

/// Where the file under `key` is. A key never leads out of its folder.
pub(super) fn path_of(root: &Path, key: &str) -> Result<PathBuf> {
    let mut path = root.to_owned();
    path.extend(
        Key::parse(key).map_err(|error| error.with_context("key", key.escape_debug()))?.segments(),
    );
    Ok(path)
}

/// Makes the folders that the file under `key` is in. Neither one of them nor the file may be a symbolic link,
/// which would lead elsewhere; what is in the way and no file stays.
pub(super) async fn make_room(root: &Path, key: &str) -> Result<PathBuf> {
    let path = path_of(root, key)?;
    let (root, below) = (root.to_owned(), path.clone());
    blocking(move || {
        fs::create_dir_all(&root).map_err(|error| about(error, &root))?;
        let folders =
            below.strip_prefix(&root).ok().and_then(Path::parent).unwrap_or(Path::new(""));
        let mut folder = root.clone();
        for name in folders {
            folder.push(name);
            make_folder(&folder).map_err(|error| about(error, &folder))?;
        }
        refuse_what_is_no_file(&below)
    })
    .await?;
    Ok(path)
}

fn make_folder(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made,
    }
    if fs::symlink_metadata(folder)?.is_dir() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::NotADirectory, "it is no folder"))
}

fn refuse_what_is_no_file(path: &Path) -> switchboard_core::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(there) if !there.is_file() => {
            Err(Error::new(ErrorKind::AlreadyExists, "what is there is no file")
                .with_context("path", path.display()))
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(about(error, path)),
        _ => Ok(()),
    }
}

/// Every file beneath `root`.
fn walk(root: &Path) -> switchboard_core::Result<Items> {
    let mut found = Items::default();
    let mut folders = vec![(root.to_owned(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(|error| about(error, &folder))? {
            let entry = entry.map_err(|error| about(error, &folder))?;
            let path = entry.path();
            let file = entry.metadata().map_err(|error| about(error, &path))?;
            let Ok(name) = entry.file_name().into_string() else {
                found.skipped += 1;
                continue;
            };
            let key = format!("{prefix}{name}");
            if file.is_dir() {
                folders.push((path, format!("{key}/")));
            } else if file.is_file() {
                let modified = file.modified().map_err(|error| about(error, &path))?;
                found.items.insert(key, Item { size: file.len(), modified });
            } else {
                found.skipped += 1;
            }
        }
    }
    Ok(found)
}

fn sum_of(path: &Path) -> switchboard_core::Result<Checksum> {
    let mut sum = Checksum::EMPTY;
    let mut piece = vec![0; PIECE_BYTES];
    let mut file = fs::File::open(path).map_err(|error| about(error, path))?;
    loop {
        match file.read(&mut piece).map_err(|error| about(error, path))? {
            0 => return Ok(sum),
            length => sum = sum.and(&piece[..length]),
        }
    }
}

/// Removes a file, and the folders that are empty without it.
fn remove(root: &Path, path: &Path) -> switchboard_core::Result<()> {
    fs::remove_file(path).map_err(|error| about(error, path))?;
    let above = path.ancestors().skip(1).take_while(|folder| *folder != root);
    for folder in above {
        if fs::remove_dir(folder).is_err() {
            break;
        }
    }
    Ok(())
}

/// Does what waits for the file system where waiting holds nobody up.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> switchboard_core::Result<T> + Send + 'static,
) -> switchboard_core::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        Error::new(ErrorKind::Unexpected, "looking into a folder broke off").with_source(error)
    })?
}

fn about(error: io::Error, path: &Path) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
        io::ErrorKind::NotADirectory => ErrorKind::InvalidInput,
        _ => ErrorKind::Unexpected,
    };
    Error::new(kind, "the folder cannot be used")
        .with_context("path", path.display())
        .with_source(error)
}

/// How many bytes of a file are added up at a time.
const PIECE_BYTES: usize = 256 * 1024;
