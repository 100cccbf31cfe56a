//! Pieces of objects as files: bounded, and never trusted.
//!
//! A file appears under its name by one renaming, and says what it is a piece of and what its bytes add up to: one
//! that does not say what was asked for, or was cut or changed, is removed and nobody hears of it. Nothing is
//! flushed, for what is lost is fetched again.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use switchboard_core::{Error, ErrorKind, Result};

use crate::Checksum;

/// A folder of pieces.
pub(super) struct Folder {
    path: PathBuf,
    bytes_max: u64,
    index: Mutex<Index>,
    /// One changes files at a time, so that none is there which the index does not know.
    changing: Mutex<()>,
    failures: AtomicU64,
    corrupt: AtomicU64,
    /// Whether the last thing that was tried failed.
    fails: AtomicBool,
}

/// Which files there are, and which of them was not used for longest.
#[derive(Default)]
struct Index {
    files: HashMap<u64, File>,
    by_use: BTreeMap<u64, u64>,
    bytes: u64,
    uses: u64,
}

#[derive(Clone, Copy)]
struct File {
    size: u64,
    used: u64,
}

impl Folder {
    /// The folder with what is in it. That it cannot be used at all is told here, and only here.
    pub(super) async fn open(path: PathBuf, bytes_max: u64) -> Result<Self> {
        let told = path.clone();
        let open = tokio::task::spawn_blocking(move || Self::scan(path, bytes_max));
        let cannot = |source: Box<dyn std::error::Error + Send + Sync>| {
            Error::new(ErrorKind::Config, "the folder for what is kept cannot be used")
                .with_context("setting", "folder")
                .with_context("path", told.display())
                .with_source(source)
        };
        match open.await {
            Ok(folder) => folder.map_err(|error| cannot(error.into())),
            Err(error) => Err(cannot(error.into())),
        }
    }

    fn scan(path: PathBuf, bytes_max: u64) -> io::Result<Self> {
        fs::create_dir_all(&path)?;
        let mut found = Vec::new();
        for entry in fs::read_dir(&path)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if name.ends_with(UNDER_WAY) {
                fs::remove_file(entry.path())?;
            }
            let Some(name) = name.strip_suffix(PIECE) else { continue };
            let Ok(name) = u64::from_str_radix(name, 16) else { continue };
            let about = entry.metadata()?;
            let used = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            found.push((used, name, about.len()));
        }
        found.sort_unstable();
        let mut index = Index::default();
        for (_, name, size) in found {
            index.insert(name, size);
        }
        let folder = Self {
            path,
            bytes_max,
            index: Mutex::new(index),
            changing: Mutex::default(),
            failures: AtomicU64::new(0),
            corrupt: AtomicU64::new(0),
            fails: AtomicBool::new(false),
        };
        folder.make_room(0)?;
        Ok(folder)
    }

    /// The piece that says this of itself, if it is there and as it was stored.
    pub(super) fn load(&self, says: &str) -> Option<Bytes> {
        let name = name_of(says);
        if !self.index().touch(name) {
            return None;
        }
        match self.read(name, says) {
            Ok(Some(bytes)) => {
                self.fails.store(false, Ordering::Relaxed);
                Some(bytes)
            }
            Ok(None) => {
                self.corrupt.fetch_add(1, Ordering::Relaxed);
                self.remove(says);
                None
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    self.failed();
                }
                None
            }
        }
    }

    fn read(&self, name: u64, says: &str) -> io::Result<Option<Bytes>> {
        let path = self.file(name);
        let all = Bytes::from(fs::read(&path)?);
        let Some(bytes) = checked(&all, says) else { return Ok(None) };
        // The next start asks the files themselves which of them was used last. Where that cannot be said, the
        // order is another one, and nothing else.
        fs::File::options().append(true).open(&path).and_then(|file| file.set_modified(now())).ok();
        Ok(Some(bytes))
    }

    /// Keeps a piece, in the place of what was not used for longest.
    pub(super) fn store(&self, says: &str, bytes: &[u8]) {
        let head = head_of(says, bytes);
        let size = (head.len() + bytes.len()) as u64;
        if size > self.bytes_max {
            return;
        }
        let _changing = self.changing();
        let name = name_of(says);
        let stored = self.make_room(size).and_then(|()| self.write(name, &head, bytes));
        match stored {
            Ok(()) => {
                self.index().insert(name, size);
                self.fails.store(false, Ordering::Relaxed);
            }
            Err(_) => self.failed(),
        }
    }

    fn write(&self, name: u64, head: &[u8], bytes: &[u8]) -> io::Result<()> {
        let under_way = self.path.join(format!("{name:016x}{UNDER_WAY}"));
        let written = fs::File::create(&under_way).and_then(|mut file| {
            file.write_all(head)?;
            file.write_all(bytes)
        });
        let published = written.and_then(|()| fs::rename(&under_way, self.file(name)));
        if published.is_err() {
            fs::remove_file(&under_way).ok();
        }
        published
    }

    /// Removes a piece.
    pub(super) fn remove(&self, says: &str) {
        let _changing = self.changing();
        self.remove_file(name_of(says)).unwrap_or_else(|_| self.failed());
    }

    /// Removes files until `more` bytes fit.
    fn make_room(&self, more: u64) -> io::Result<()> {
        loop {
            let oldest = {
                let index = self.index();
                if index.bytes.saturating_add(more) <= self.bytes_max {
                    return Ok(());
                }
                index.by_use.values().next().copied()
            };
            let Some(oldest) = oldest else { return Ok(()) };
            self.remove_file(oldest)?;
        }
    }

    /// A file that cannot be removed still takes its room.
    fn remove_file(&self, name: u64) -> io::Result<()> {
        match fs::remove_file(self.file(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.index().remove(name);
        Ok(())
    }

    fn file(&self, name: u64) -> PathBuf {
        self.path.join(format!("{name:016x}{PIECE}"))
    }

    fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.fails.store(true, Ordering::Relaxed);
    }

    /// What is wrong with the folder, if the last thing that was tried there failed.
    pub(super) fn trouble(&self) -> Option<String> {
        let words = "the folder for what is kept cannot be used";
        self.fails.load(Ordering::Relaxed).then(|| words.to_owned())
    }

    pub(super) fn bytes(&self) -> u64 {
        self.index().bytes
    }

    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    pub(super) fn corrupt(&self) -> u64 {
        self.corrupt.load(Ordering::Relaxed)
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    fn insert(&mut self, name: u64, size: u64) {
        self.remove(name);
        self.uses += 1;
        self.files.insert(name, File { size, used: self.uses });
        self.by_use.insert(self.uses, name);
        self.bytes += size;
    }

    fn remove(&mut self, name: u64) {
        if let Some(file) = self.files.remove(&name) {
            self.by_use.remove(&file.used);
            self.bytes -= file.size;
        }
    }

    /// Marks a file as used; `false` if there is none.
    fn touch(&mut self, name: u64) -> bool {
        let Some(file) = self.files.get(&name).copied() else { return false };
        self.insert(name, file.size);
        true
    }
}

/// What the file of a piece is called. Two that are called the same take the place of each other.
fn name_of(says: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    says.hash(&mut hasher);
    hasher.finish()
}

/// What a file begins with: the sum of all that follows, and what the piece says of itself.
fn head_of(says: &str, bytes: &[u8]) -> Vec<u8> {
    let length = (says.len() as u64).to_le_bytes();
    let sum = Checksum::of(&length).and(says.as_bytes()).and(bytes).value().to_le_bytes();
    [&sum[..], &length, says.as_bytes()].concat()
}

/// The bytes of a piece, if the file is whole and says that of itself.
fn checked(all: &Bytes, says: &str) -> Option<Bytes> {
    let length = SUM + LENGTH + says.len();
    let bytes = all.get(length..)?;
    (head_of(says, bytes) == all[..length]).then(|| all.slice(length..))
}

/// What the file system is told of the last use of a file; nobody else is.
#[expect(clippy::disallowed_methods, reason = "it is compared with what the file system says")]
fn now() -> SystemTime {
    SystemTime::now()
}

const PIECE: &str = ".piece";
const UNDER_WAY: &str = ".under-way";
const SUM: usize = 4;
const LENGTH: usize = 8;
