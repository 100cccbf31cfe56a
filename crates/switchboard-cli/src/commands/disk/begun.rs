//! What is noted down of an upload, in the home, until its object is there.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use switchboard_core::{Error, ErrorKind, Result};
use switchboard_storage::{Checksum, Disk, UploadState};

use crate::arguments::DiskPut;

/// Which bytes are stored, where, and with what said of them.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct About {
    disk: String,
    key: String,
    file: PathBuf,
    pub(super) size: u64,
    modified: SystemTime,
    content_type: Option<String>,
    metadata: BTreeMap<String, String>,
    is_only_new: bool,
}

impl About {
    pub(super) fn of(disk: &Disk, asked: &DiskPut) -> Result<Self> {
        let look = || {
            let file = fs::canonicalize(&asked.file)?;
            let about = fs::metadata(&file)?;
            if !about.is_file() {
                let why = "only a file can be gone on with";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
            }
            Ok((file, about.len(), about.modified()?))
        };
        let (file, size, modified) = look().map_err(|error| unreadable(error, &asked.file))?;
        Ok(Self {
            disk: disk.line().instance().to_owned(),
            key: asked.at.key.clone(),
            file,
            size,
            modified,
            content_type: asked.content_type.clone(),
            metadata: asked.metadata.iter().cloned().collect(),
            is_only_new: asked.if_absent,
        })
    }

    /// Whether both are of one file and one object, whatever the file has in it.
    pub(super) fn is_of_the_same_file(&self, other: &Self) -> bool {
        (&self.disk, &self.key, &self.file) == (&other.disk, &other.key, &other.file)
    }

    fn name(&self) -> String {
        let sum = |text: &[u8]| Checksum::of(text);
        let place = format!("{}\n{}", self.disk, self.key);
        let file = self.file.as_os_str().as_encoded_bytes();
        format!("{}-{}.json", sum(place.as_bytes()), sum(file))
    }
}

/// The note of an upload. Who has it has its lock, so that no two commands go on with one upload.
pub(super) struct Begun {
    file: File,
    path: PathBuf,
}

impl Begun {
    pub(super) fn of(about: &About, folder: &Path) -> Result<Self> {
        let path = folder.join(about.name());
        let open = || {
            fs::create_dir_all(folder)?;
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            options.open(&path)
        };
        let file = open().map_err(|error| unkept(error, &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file, path }),
            Err(TryLockError::Error(error)) => Err(unkept(error, &path)),
            Err(TryLockError::WouldBlock) => {
                Err(Error::new(ErrorKind::Conflict, "another command stores that file already")
                    .with_context("path", about.file.display())
                    .not_applied())
            }
        }
    }

    /// What is noted down. A note that was not written to its end is none.
    pub(super) fn read(&mut self) -> Option<(About, UploadState)> {
        let mut text = String::new();
        self.file.rewind().ok()?;
        self.file.read_to_string(&mut text).ok()?;
        serde_json::from_str(&text).ok()
    }

    pub(super) fn note(&mut self, about: &About, state: &UploadState) -> Result<()> {
        let text = serde_json::to_vec(&(about, state)).map_err(io::Error::from);
        let write = || {
            let text = text?;
            self.file.rewind()?;
            self.file.write_all(&text)?;
            self.file.set_len(text.len() as u64)
        };
        write().map_err(|error| unkept(error, &self.path))
    }

    /// Nothing is to be gone on with any more.
    pub(super) fn forget(&self) {
        // What stays of it is found to be of no use the next time.
        drop(fs::remove_file(&self.path));
    }
}

pub(super) fn unreadable(error: io::Error, path: &Path) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
        io::ErrorKind::InvalidInput => ErrorKind::InvalidInput,
        _ => ErrorKind::Unexpected,
    };
    Error::new(kind, "the file could not be read")
        .with_context("path", path.display())
        .with_source(error)
        .not_applied()
}

fn unkept(error: io::Error, path: &Path) -> Error {
    Error::new(ErrorKind::Unexpected, "how far an upload has come cannot be noted down")
        .with_context("path", path.display())
        .with_source(error)
        .not_applied()
}
