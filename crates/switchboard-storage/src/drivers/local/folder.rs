//! The folder of a disk, and what lies in it.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use switchboard_core::Result;
use tokio::sync::Semaphore;

use super::ahead::Ahead;
use super::entries::Helpers;
use super::errors::{before, busy, is_missing, link};
use super::root::{Place, Root, entry};
use super::side::{Found, Keeping};
use super::turns::Turns;
use super::{Durability, Symlinks};
use crate::nothing_there;

/// The folder of a disk, and how it is used.
pub(super) struct Folder {
    pub root: Root,
    pub durability: Durability,
    pub file_mode: u32,
    pub keeping: Keeping,
    pub ahead: Ahead,
    pub turns: Turns,
    pub helpers: Helpers,
    /// For files that stay open while their objects are read.
    pub files: Arc<Semaphore>,
}

/// What can be under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum There {
    Nothing,
    File,
    /// A link to a file, where links are followed.
    Link,
    Directory,
    /// A pipe, a device, a link to nowhere.
    Other,
}

/// A file that nobody sees yet; it is removed with this, unless it was moved.
pub(super) struct Temp {
    dir: File,
    id: u64,
    file: File,
    is_moved: bool,
}

impl Folder {
    /// The object at `place`, open for reading.
    pub(super) fn object(&self, place: &Place) -> Result<(File, Found)> {
        for _ in 0..RACES_MAX {
            let file = match self.root.file(place.path()) {
                Err(error) if is_missing(&error) => return Err(nothing_there()),
                opened => opened.map_err(before)?,
            };
            let found = self.look(&file).map_err(before)?.ok_or_else(nothing_there)?;
            let is_replaced = self.keeping != Keeping::Attribute
                && found.side.is_none()
                && file.metadata().map_err(before)?.nlink() == 0;
            // What was said of it went with it, so it would look like one of others.
            if !is_replaced {
                return Ok((file, found));
            }
        }
        Err(busy())
    }

    /// What is at `place`, which lies in `dir`.
    pub(super) fn there(&self, dir: &File, place: &Place) -> Result<There> {
        match entry(dir, place.name()).map_err(before)? {
            None => Ok(There::Nothing),
            Some(FileType::RegularFile) => Ok(There::File),
            Some(FileType::Directory) => Ok(There::Directory),
            Some(FileType::Symlink) if self.root.symlinks() == Symlinks::Deny => Err(link()),
            Some(FileType::Symlink) => match self.root.file(place.path()) {
                Ok(file) if file.metadata().map_err(before)?.is_file() => Ok(There::Link),
                Err(error) if !is_missing(&error) => Err(before(error)),
                _ => Ok(There::Other),
            },
            Some(_) => Ok(There::Other),
        }
    }

    /// A new file, which is locked so that nobody sweeps it.
    pub(super) fn temp(&self) -> io::Result<Temp> {
        let id = random()?;
        let dir = self.root.made_dir(TEMP)?;
        let file = self.create(&dir, &name_of(id))?;
        file.lock()?;
        Ok(Temp { dir, id, file, is_moved: false })
    }

    /// A new file under `name` in `dir`.
    pub(super) fn create(&self, dir: &File, name: &str) -> io::Result<File> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(dir, name, flags, Mode::RUSR | Mode::WUSR)?);
        if self.file_mode != 0o600 {
            // Set afterwards, for the process may have been started with something to take from it.
            file.set_permissions(Permissions::from_mode(self.file_mode))?;
        }
        Ok(file)
    }

    /// Waits until a file is on the disk. Whoever gets an error from it must not ask again: the system may
    /// have forgotten what it could not write.
    pub(super) fn settle(&self, file: &File) -> io::Result<()> {
        match self.durability {
            Durability::None => Ok(()),
            Durability::File | Durability::Full => file.sync_all(),
        }
    }

    /// Waits until what was moved or removed in a directory is on the disk, and the directories above it.
    pub(super) fn sync(&self, dir: &str) -> io::Result<()> {
        match self.durability {
            Durability::None | Durability::File => Ok(()),
            Durability::Full => self.root.sync(dir),
        }
    }

    /// Removes a file of the disk's own; that it is not there is fine.
    pub(super) fn remove(&self, place: &Place) -> io::Result<()> {
        let dir = match self.root.dir(place.parent()) {
            Err(error) if is_missing(&error) => return Ok(()),
            opened => opened?,
        };
        match rustix::fs::unlinkat(&dir, place.name(), AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            removed => Ok(removed?),
        }
    }
}

impl Temp {
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Makes it what is under `name` in `dir`.
    pub(super) fn move_to(&mut self, dir: &File, name: &str, replaces: bool) -> io::Result<()> {
        move_entry(&self.dir, &name_of(self.id), dir, name, replaces)?;
        self.is_moved = true;
        Ok(())
    }

    /// Removes it, unless it was moved. What stays is swept.
    pub(super) fn discard(&mut self) {
        if !self.is_moved {
            let _ = rustix::fs::unlinkat(&self.dir, name_of(self.id), AtFlags::empty());
        }
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        self.discard();
    }
}

/// Moves an entry of a directory. Where it must not replace anything, the system sees to that if it can, for
/// those who know nothing of our locks.
pub(super) fn move_entry(
    from: &File,
    old: &str,
    to: &File,
    new: &str,
    replaces: bool,
) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_vendor = "apple"))]
    if !replaces {
        let flags = rustix::fs::RenameFlags::NOREPLACE;
        match rustix::fs::renameat_with(from, old, to, new, flags) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
            moved => return Ok(moved?),
        }
    }
    let _ = replaces;
    Ok(rustix::fs::renameat(from, old, to, new)?)
}

/// The entries of a directory, without itself and the one above.
pub(super) fn entries(
    dir: &File,
) -> io::Result<impl Iterator<Item = io::Result<rustix::fs::DirEntry>>> {
    let entries = rustix::fs::Dir::read_from(dir)?;
    Ok(entries.map(|found| found.map_err(io::Error::from)).filter(|found| {
        !found.as_ref().is_ok_and(|found| matches!(found.file_name().to_bytes(), b"." | b".."))
    }))
}

/// A number that nobody else has.
pub(super) fn random() -> io::Result<u64> {
    getrandom::u64().map_err(|error| io::Error::other(error.to_string()))
}

pub(super) fn name_of(id: u64) -> String {
    format!("{id:016x}")
}

/// Where files lie on their way.
pub(super) const TEMP: &str = ".switchboard/tmp";

/// How often in a row others may get in the way of one call.
pub(super) const RACES_MAX: usize = 128;
