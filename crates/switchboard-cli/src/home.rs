//! Where a running board is noted down, so that other commands find it: a folder with `run.json`.
//!
//! The note holds the token that the board asks for, so only its owner may read it. Who runs holds a
//! lock beside it; the lock goes with its process whatever way that ends. So a note that was left
//! behind is known for one without asking the address in it, where somebody else may listen by now.
//! It is gone before the lock is taken again: whoever finds the lock taken finds no old note.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchboard_core::{Clock, Error, ErrorKind, Result};

/// The folder in which a running board is noted down.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    folder: PathBuf,
    /// The name of the program that starts boards here.
    program: String,
}

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
    pub(crate) fn at(folder: impl Into<PathBuf>, program: &str) -> Self {
        Self { folder: folder.into(), program: program.to_owned() }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Moves in; an error if another board runs from here.
    pub(crate) async fn move_in(&self, clock: &Clock) -> Result<Tenancy> {
        private_folder(&self.folder).map_err(|error| self.unusable(error))?;
        let lock = self.lock_file(true).map_err(|error| self.unusable(error))?;
        for _ in 0..LOCK_TRIES {
            if self.take(&lock).map_err(|error| self.unusable(error))? {
                return Ok(Tenancy { home: self.clone(), _lock: lock });
            }
            // Commands that look whether somebody is here hold it for a moment.
            clock.sleep(LOCK_PAUSE).await;
        }
        Err(self.taken())
    }

    /// Whether nobody runs from here; if so, the lock is ours and no note is left of whoever did.
    fn take(&self, lock: &File) -> io::Result<bool> {
        // Shared at first, as by one who only looks: a note is removed while nobody lives here, so that
        // it is never read as that of whoever moves in.
        if !is_ours(lock.try_lock_shared())? {
            return Ok(false);
        }
        self.clear()?;
        lock.unlock()?;
        if !is_ours(lock.try_lock())? {
            return Ok(false);
        }
        self.clear()?;
        Ok(true)
    }

    fn clear(&self) -> io::Result<()> {
        match fs::remove_file(self.note()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// How the board that runs from here is reached; an error that says how to start one if there is
    /// none.
    pub(crate) fn find(&self) -> Result<Note> {
        let bytes = match fs::read(self.note()) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(self.empty()),
            Err(error) => return Err(self.unusable(error)),
        };
        if !self.is_lived_in().map_err(|error| self.unusable(error))? {
            return Err(self.left_behind());
        }
        self.refuse_what_others_read()?;
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
            Ok(lock) => is_ours(lock.try_lock_shared()).map(|is_free| !is_free),
        }
    }

    fn lock_file(&self, make: bool) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(make).create(make).truncate(false);
        private(&mut options).open(self.folder.join("run.lock"))
    }

    fn note(&self) -> PathBuf {
        self.folder.join("run.json")
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
            .with_context("home", self.folder.display())
            .with_hint(format!("start one with `{} up`", self.program))
            .with_hint(
                "or name one that an application serves with `--address` or SWITCHBOARD_ADDRESS",
            )
            .with_hint("or use a board of this command's own with `--offline`")
    }

    fn taken(&self) -> Error {
        let error = Error::new(ErrorKind::Conflict, "a board is running here already")
            .with_context("home", self.folder.display());
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
            .with_context("home", self.folder.display())
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
        let draft = self.home.folder.join("run.json.new");
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
        // Who starts next removes what cannot be removed now.
        drop(self.home.clear());
    }
}

fn is_ours(tried: std::result::Result<(), TryLockError>) -> io::Result<bool> {
    match tried {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_moves_in_leaves_no_note_of_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path(), "shop");
        leave_note(&home, 0o600);
        let tenancy = home.move_in(&Clock::system()).await.unwrap();
        assert!(!home.has_note());
        assert_eq!(home.find().unwrap_err().kind(), ErrorKind::Unavailable);
        drop(tenancy);
    }

    #[tokio::test]
    async fn a_note_of_somebody_who_lives_here_stays_when_another_wants_to_move_in() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path(), "shop");
        let tenancy = home.move_in(&Clock::system()).await.unwrap();
        tenancy.note(&note()).unwrap();
        let refused = home.move_in(&Clock::system()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict);
        assert_eq!(home.find().unwrap().token, "mine");
    }

    #[test]
    fn one_who_looks_does_not_read_an_old_note_while_another_moves_in() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path(), "shop");
        leave_note(&home, 0o600);
        let lock = home.lock_file(true).unwrap();
        let looker = home.lock_file(false).unwrap();
        looker.try_lock_shared().unwrap();
        // As long as somebody looks nobody moves in, but the old note has gone already.
        assert!(!home.take(&lock).unwrap());
        assert!(!home.has_note());
    }

    #[cfg(unix)]
    #[test]
    fn what_was_left_behind_is_not_judged_by_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path(), "shop");
        leave_note(&home, 0o644);
        assert_eq!(home.find().unwrap_err().kind(), ErrorKind::Unavailable);
    }

    fn note() -> Note {
        Note { address: "http://127.0.0.1:1".to_owned(), token: "mine".to_owned(), pid: 1 }
    }

    #[cfg_attr(not(unix), expect(unused_variables, reason = "a file has no mode there"))]
    fn leave_note(home: &Home, mode: u32) {
        fs::write(home.note(), serde_json::to_vec(&note()).unwrap()).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(home.note(), fs::Permissions::from_mode(mode)).unwrap();
        }
    }
}
