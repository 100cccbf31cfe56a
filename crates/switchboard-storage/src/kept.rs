//! The beginning of an object that stays on this machine when fetching it breaks off, for the next time.

use std::fs::{OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use switchboard_core::{Error, ErrorKind};
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;

use crate::io::into_io;
use crate::landing::{Goal, blocking, folder_of, synced};
use crate::{Checksum, Meta};

/// What is there of an object of one version: its bytes from the first up to some length, in a hidden file beside
/// the one that it becomes. Who has it has its lock.
pub(crate) struct Kept {
    file: File,
    path: PathBuf,
    to: PathBuf,
    pub(crate) length: u64,
    sum: Checksum,
}

impl Kept {
    /// Of the object under `key`, for the file at `path`. What there is of other versions is of no use any more.
    pub(crate) async fn of(key: &str, meta: &Meta, path: &Path) -> io::Result<Self> {
        let (path, size) = (path.to_owned(), meta.size);
        let version = mark(key, meta);
        blocking(move || {
            let Goal::File(to) = Goal::of(&path)? else { return Err(no_file()) };
            let folder = folder_of(&to)?;
            let name = to.file_name().unwrap_or_default().to_string_lossy();
            let path = folder.join(part_name(&name, &version));
            let mut open = OpenOptions::new();
            let mut file = open.read(true).append(true).create(true).open(&path)?;
            file.try_lock().map_err(not_alone)?;
            remove_others(&folder, &name, &path);
            let (length, sum) = usable(&mut file, size)?;
            Ok(Self { file: File::from_std(file), path, to, length, sum })
        })
        .await
    }

    pub(crate) async fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.sum = self.sum.and(piece);
        self.length += piece.len() as u64;
        self.file.write_all(piece).await
    }

    /// Makes the file of it, if it adds up to the object; else it goes, for no other bytes could mend it.
    pub(crate) async fn finish(mut self, meta: &Meta) -> io::Result<()> {
        self.file.flush().await?;
        let is_right = self.length == meta.size && meta.checksum.is_none_or(|sum| sum == self.sum);
        if !is_right {
            tokio::fs::remove_file(&self.path).await?;
            return Err(into_io(Error::new(
                ErrorKind::Corrupt,
                "the bytes that came are not those that were stored",
            )));
        }
        self.file.sync_all().await?;
        blocking(move || {
            std::fs::rename(&self.path, &self.to)?;
            synced(&folder_of(&self.to)?)
        })
        .await
    }
}

/// What of the file can be gone on with: how long it is, and what its bytes add up to.
fn usable(file: &mut std::fs::File, size: u64) -> io::Result<(u64, Checksum)> {
    if file.metadata()?.len() > size {
        file.set_len(0)?;
    }
    let (mut length, mut sum) = (0, Checksum::EMPTY);
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok((length, sum)),
            read => {
                sum = sum.and(&piece[..read]);
                length += read as u64;
            }
        }
    }
}

/// Removes what is kept of other versions, and nobody works on. Whatever stays is only in nobody's way.
fn remove_others(folder: &Path, name: &str, own: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.map_while(Result::ok).map(|entry| entry.path()) {
        let version = path.file_name().and_then(|file| file.to_str()).and_then(|file| {
            file.strip_prefix(&format!(".{name}."))?.strip_suffix(".part").map(str::to_owned)
        });
        let is_other = version.is_some_and(|version| {
            version.len() == MARK && version.bytes().all(|byte| byte.is_ascii_hexdigit())
        });
        if is_other
            && path != own
            && std::fs::File::open(&path).is_ok_and(|file| file.try_lock().is_ok())
        {
            let _ = std::fs::remove_file(&path);
        }
    }
}

/// A hidden name, by which the next one finds it.
fn part_name(name: &str, version: &str) -> String {
    format!(".{name}.{version}.part")
}

/// What tells one version of one object from all others.
fn mark(key: &str, meta: &Meta) -> String {
    let version = format!("{key}\0{}", meta.version.as_str());
    let digest = Sha256::digest(version);
    let first = digest.iter().take(8).fold(0, |all: u64, byte| all << 8 | u64::from(*byte));
    format!("{first:0MARK$x}")
}

fn not_alone(error: TryLockError) -> io::Error {
    match error {
        TryLockError::WouldBlock => {
            into_io(Error::new(ErrorKind::Conflict, "somebody else fetches that file"))
        }
        TryLockError::Error(error) => error,
    }
}

fn no_file() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "only a file can be gone on with")
}

/// How many hexadecimal digits tell versions apart.
const MARK: usize = 16;

/// How many bytes are read at a time.
const PIECE: usize = 256 << 10;
