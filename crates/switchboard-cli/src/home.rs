//! Where a running board is noted down, so that other commands find it: a folder with `run.json`.
//!
//! The note holds the token that the board asks for, so only its owner may read it. Who runs holds a
//! lock beside it; the lock goes with its process whatever way that ends. So a note that was left
//! behind is known for one without asking the address in it, where somebody else may listen by now.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchboard_core::{Clock, Error, ErrorKind, Result};

/// The folder in which a running board is noted down.
#[derive(Clone, Debug)]
pub(crate) struct Home(PathBuf);

/// How a running board is reached.
#[derive(Deserialize, Serialize)]
pub(crate) struct Note {
    pub(crate) address: String,
    pub(crate) token: String,
    pub(crate) pid: u32,
}

/// The right to run from a home. Given back, with the note, when dropped.
#[derive(Debug)]
pub(crate) struct Tenancy {
    home: Home,
    /// Held for its lock.
    _lock: File,
}

impl Home {
    pub(crate) fn at(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }

    /// Moves in; an error if another board runs from here.
    pub(crate) async fn move_in(&self, clock: &Clock) -> Result<Tenancy> {
        private_folder(&self.0).map_err(|error| self.unusable(error))?;
        let lock = self.lock_file(true).map_err(|error| self.unusable(error))?;
        for tries in 0.. {
            match lock.try_lock() {
                Ok(()) => return Ok(Tenancy { home: self.clone(), _lock: lock }),
                Err(TryLockError::Error(error)) => return Err(self.unusable(error)),
                Err(TryLockError::WouldBlock) if tries == LOCK_TRIES => break,
                // Commands that look whether somebody is here hold it for a moment.
                Err(TryLockError::WouldBlock) => clock.sleep(LOCK_PAUSE).await,
            }
        }
        Err(self.taken())
    }

    /// How the board that runs from here is reached; an error that says how to start one if there is
    /// none.
    pub(crate) fn find(&self) -> Result<Note> {
        let bytes = match fs::read(self.note()) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(self.empty()),
            Err(error) => return Err(self.unusable(error)),
        };
        self.refuse_what_others_read()?;
        if !self.is_lived_in().map_err(|error| self.unusable(error))? {
            return Err(self.left_behind());
        }
        serde_json::from_slice(&bytes).map_err(|error| {
            Error::new(ErrorKind::Corrupt, "the note of the running board cannot be read")
                .with_context("file", self.note().display())
                .with_hint("stop the board and start it again")
                .with_source(error)
        })
    }

    /// Whether anything is noted down here at all.
    pub(crate) fn has_note(&self) -> bool {
        self.note().exists()
    }

    fn is_lived_in(&self) -> io::Result<bool> {
        match self.lock_file(false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
            Ok(lock) => match lock.try_lock_shared() {
                Ok(()) => Ok(false),
                Err(TryLockError::WouldBlock) => Ok(true),
                Err(TryLockError::Error(error)) => Err(error),
            },
        }
    }

    fn lock_file(&self, make: bool) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(make).create(make).truncate(false);
        private(&mut options).open(self.0.join("run.lock"))
    }

    fn note(&self) -> PathBuf {
        self.0.join("run.json")
    }

    #[cfg(unix)]
    fn refuse_what_others_read(&self) -> Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        let note = self.note();
        let mode = fs::metadata(&note).map_err(|error| self.unusable(error))?.permissions().mode();
        if mode & OTHERS == 0 {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::PermissionDenied,
            "the note of the running board is open to others",
        )
        .with_context("file", note.display())
        .with_context("mode", format_args!("{:o}", mode & 0o777))
        .with_hint("others may have read its token: start the board again"))
    }

    #[cfg(not(unix))]
    fn refuse_what_others_read(&self) -> Result<()> {
        Ok(())
    }

    fn empty(&self) -> Error {
        self.nobody("no board is running here")
    }

    fn left_behind(&self) -> Error {
        self.nobody("the board that ran here has ended without a word")
    }

    fn nobody(&self, message: &'static str) -> Error {
        Error::new(ErrorKind::Unavailable, message)
            .with_context("home", self.0.display())
            .with_hint("start one with `switchboard up`")
            .with_hint("or use a board of this command's own with `--offline`")
    }

    fn taken(&self) -> Error {
        let error = Error::new(ErrorKind::Conflict, "a board is running here already")
            .with_context("home", self.0.display());
        let error = match self.find() {
            Ok(note) => error.with_context("address", note.address).with_context("pid", note.pid),
            Err(_) => error,
        };
        error.with_hint("stop it, or give this one another folder with `--home`")
    }

    fn unusable(&self, error: io::Error) -> Error {
        let kind = match error.kind() {
            io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
            _ => ErrorKind::Unexpected,
        };
        Error::new(kind, "the home of the board cannot be used")
            .with_context("home", self.0.display())
            .with_hint("name another folder with `--home` or SWITCHBOARD_HOME")
            .with_source(error)
    }
}

impl Tenancy {
    /// Notes down how the board is reached. Readers see the old note or the new one, never half of one.
    pub(crate) fn note(&self, note: &Note) -> Result<()> {
        self.write(note).map_err(|error| self.home.unusable(error))
    }

    fn write(&self, note: &Note) -> io::Result<()> {
        let draft = self.home.0.join("run.json.new");
        // One that was left behind may belong to a mode of its own.
        drop(fs::remove_file(&draft));
        let mut file = private(OpenOptions::new().write(true).create_new(true)).open(&draft)?;
        serde_json::to_writer(&mut file, note)?;
        file.flush()?;
        fs::rename(draft, self.home.note())
    }
}

impl Drop for Tenancy {
    fn drop(&mut self) {
        drop(fs::remove_file(self.home.note()));
    }
}

/// Without the token.
impl std::fmt::Debug for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Note")
            .field("address", &self.address)
            .field("pid", &self.pid)
            .finish_non_exhaustive()
    }
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;
    options.mode(0o600)
}

#[cfg(not(unix))]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

#[cfg(unix)]
fn private_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn private_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

/// The bits of a mode that let others than the owner in.
#[cfg(unix)]
const OTHERS: u32 = 0o077;

/// How often a home is tried that seems to be taken.
const LOCK_TRIES: u32 = 10;

/// The time between two of those tries.
const LOCK_PAUSE: Duration = Duration::from_millis(10);
