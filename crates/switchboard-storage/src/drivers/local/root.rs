//! The folder, and the only ways into it: whatever a path says, and whoever swaps directories and links
//! meanwhile, what is opened lies beneath.
//!
//! Where the kernel resolves paths beneath a directory (`openat2` of Linux), it is asked to; elsewhere each
//! segment is opened in the one before. What is made, moved and removed is named by a directory that was
//! opened so, and one segment.

use std::collections::HashSet;
use std::fs::{DirBuilder, File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use switchboard_core::{Error, ErrorKind, Result};

use super::Symlinks;
use super::errors::{before, errno, is_missing};
use crate::Key;

/// A folder that is open.
pub(super) struct Root {
    dir: File,
    symlinks: Symlinks,
    dir_mode: u32,
    is_resolved_by_kernel: bool,
    /// The directories of which it is known that they are on the disk, with those above them.
    lasting: Mutex<HashSet<Identity>>,
}

/// What no other directory has, also not one that comes later and gets the same inode.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Identity {
    device: u64,
    inode: u64,
    created: SystemTime,
}

impl Identity {
    /// `None` where the file system does not tell when directories were made.
    fn of(stat: &Metadata) -> Option<Self> {
        let created = stat.created().ok()?;
        Some(Self { device: stat.dev(), inode: stat.ino(), created })
    }
}

/// Where a key lies: a directory, and a name in it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    path: String,
    /// Where the name begins.
    name: usize,
}

impl Place {
    /// Where `key` lies, if a folder can keep it.
    pub(super) fn of(key: Key<'_>) -> Result<Self> {
        let not_here = |why| Err(Error::new(ErrorKind::InvalidInput, why).not_applied());
        if key.segments().next() == Some(OWN) {
            return not_here("keys beneath `.switchboard` are kept for the disk itself");
        }
        if let Some(long) = key.segments().map(str::len).find(|length| *length > NAME_MAX) {
            return not_here("a segment of the key is longer than a file name may be").map_err(
                |error: Error| {
                    error
                        .with_context("segment_bytes", long)
                        .with_context("segment_bytes_max", NAME_MAX)
                },
            );
        }
        Ok(Self::at(key.as_str()))
    }

    /// A place of the disk's own.
    pub(super) fn at(path: &str) -> Self {
        let name = path.rfind('/').map_or(0, |slash| slash + 1);
        Self { path: path.to_owned(), name }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The directory; empty for the folder itself.
    pub(super) fn parent(&self) -> &str {
        self.path[..self.name].trim_end_matches('/')
    }

    pub(super) fn name(&self) -> &str {
        &self.path[self.name..]
    }
}

impl Root {
    /// Opens the folder `path`, and makes it if it is not there. It may be a symbolic link itself.
    pub(super) fn open(path: &Path, symlinks: Symlinks, dir_mode: u32) -> Result<Self> {
        let unusable = |error| before(error).with_context("root", path.display());
        let dir = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let made = DirBuilder::new().recursive(true).mode(dir_mode).create(path);
                made.and_then(|()| File::open(path)).map_err(unusable)?
            }
            opened => opened.map_err(unusable)?,
        };
        if !dir.metadata().map_err(unusable)?.is_dir() {
            return Err(Error::new(ErrorKind::Config, "the root is no folder")
                .with_context("root", path.display()));
        }
        let lasting = Mutex::default();
        let mut root = Self { dir, symlinks, dir_mode, is_resolved_by_kernel: true, lasting };
        root.is_resolved_by_kernel = root.dir("").is_ok();
        if symlinks == Symlinks::Within && !root.is_resolved_by_kernel {
            return Err(Error::new(
                ErrorKind::Config,
                "this system cannot follow links and stay beneath the folder",
            )
            .with_context("setting", "symlinks"));
        }
        Ok(root)
    }

    /// The same folder on a system whose kernel does not resolve paths beneath a directory.
    #[cfg(test)]
    pub(super) fn by_segment(self) -> Self {
        Self { is_resolved_by_kernel: false, ..self }
    }

    /// Who sees to it that paths stay beneath.
    pub(super) fn confined_by(&self) -> &'static str {
        if self.is_resolved_by_kernel { "the kernel" } else { "segment" }
    }

    pub(super) fn symlinks(&self) -> Symlinks {
        self.symlinks
    }

    /// What lies at `path`, to be read. A pipe does not make anybody wait.
    pub(super) fn file(&self, path: &str) -> io::Result<File> {
        self.beneath(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY, Mode::empty())
    }

    /// What lies at `path`, to be written in place.
    pub(super) fn file_to_write(&self, path: &str) -> io::Result<File> {
        self.beneath(path, OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY, Mode::empty())
    }

    /// What the system says of a file at `path` that may not be opened; `None` where it says that only of open
    /// ones, and if nothing is there.
    pub(super) fn stat(&self, path: &str) -> io::Result<Option<Metadata>> {
        #[cfg(target_os = "linux")]
        match self.beneath(path, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty()) {
            Err(error) if is_missing(&error) => {}
            opened => return opened?.metadata().map(Some),
        }
        let _ = path;
        Ok(None)
    }

    /// The directory at `path`; the folder itself where that is empty.
    pub(super) fn dir(&self, path: &str) -> io::Result<File> {
        let path = if path.is_empty() { "." } else { path };
        self.beneath(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())
    }

    /// The same, made first where it is not there, with all that is on the way.
    pub(super) fn made_dir(&self, path: &str) -> io::Result<File> {
        match self.dir(path) {
            Err(error) if errno(&error) == Some(Errno::NOENT) && !path.is_empty() => {}
            opened => return opened,
        }
        let place = Place::at(path);
        let parent = self.made_dir(place.parent())?;
        let is_made = match rustix::fs::mkdirat(&parent, place.name(), Mode::RWXU) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(error) => return Err(error.into()),
        };
        let dir = self.dir(path)?;
        if is_made {
            // Set afterwards, for the process may have been started with something to take from it.
            dir.set_permissions(Permissions::from_mode(self.dir_mode))?;
        }
        Ok(dir)
    }

    /// Removes the directory at `path` and those above it, as far up as they are empty.
    pub(super) fn prune(&self, mut path: &str) -> io::Result<()> {
        while !path.is_empty() && self.remove_dir(path)? {
            path = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        }
        Ok(())
    }

    /// Removes the directory at `path`; `false` if it is not empty.
    pub(super) fn remove_dir(&self, path: &str) -> io::Result<bool> {
        let place = Place::at(path);
        let above = self.dir(place.parent())?;
        match rustix::fs::unlinkat(&above, place.name(), AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(true),
            Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until the entries of the directory at `path` are on the disk, and that of the directory itself, and
    /// of those above it. One that is gone has nothing to keep.
    ///
    /// Whoever finds a directory there does not know whether it will last: perhaps another process has just
    /// made it. So all are put on the disk, up to one of which it is known that they were.
    pub(super) fn sync(&self, mut path: &str) -> io::Result<()> {
        let mut lasting = Vec::new();
        loop {
            match self.dir(path) {
                Ok(dir) => {
                    dir.sync_all()?;
                    let identity = Identity::of(&dir.metadata()?);
                    if identity.is_some_and(|identity| self.lasting().contains(&identity)) {
                        break;
                    }
                    lasting.extend(identity);
                }
                Err(error) if is_missing(&error) => {}
                Err(error) => return Err(error),
            }
            match path.rsplit_once('/') {
                Some((parent, _)) => path = parent,
                None if path.is_empty() => break,
                None => path = "",
            }
        }
        let mut known = self.lasting();
        if known.len() + lasting.len() > LASTING_MAX {
            known.clear();
        }
        known.extend(lasting);
        Ok(())
    }

    fn lasting(&self) -> MutexGuard<'_, HashSet<Identity>> {
        self.lasting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens what lies at `path`, or says [`Errno::LOOP`] of a link that is not followed.
    fn beneath(&self, path: &str, flags: OFlags, mode: Mode) -> io::Result<File> {
        let flags = flags | OFlags::CLOEXEC;
        if self.is_resolved_by_kernel {
            self.by_kernel(path, flags, mode)
        } else {
            self.walk(path, flags, mode)
        }
    }

    #[cfg(target_os = "linux")]
    fn by_kernel(&self, path: &str, flags: OFlags, mode: Mode) -> io::Result<File> {
        use rustix::fs::{ResolveFlags, openat2};

        let resolve = ResolveFlags::BENEATH
            | ResolveFlags::NO_MAGICLINKS
            | match self.symlinks {
                Symlinks::Deny => ResolveFlags::NO_SYMLINKS,
                Symlinks::Within => ResolveFlags::empty(),
            };
        for _ in 0..RACES_MAX {
            match openat2(&self.dir, path, flags, mode, resolve) {
                // Somebody moved a directory while the kernel was on its way through `..` of a link.
                Err(Errno::AGAIN) => {}
                Err(Errno::XDEV) => return Err(Errno::LOOP.into()),
                opened => return Ok(File::from(opened?)),
            }
        }
        Err(Errno::BUSY.into())
    }

    #[cfg(not(target_os = "linux"))]
    fn by_kernel(&self, _: &str, _: OFlags, _: Mode) -> io::Result<File> {
        let _ = (self.symlinks, RACES_MAX);
        Err(Errno::NOSYS.into())
    }

    fn walk(&self, path: &str, flags: OFlags, mode: Mode) -> io::Result<File> {
        let (parents, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut dir = None;
        for segment in parents.split('/').filter(|segment| !segment.is_empty()) {
            let on_the_way = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            dir = Some(self.step(dir.as_ref(), segment, on_the_way, Mode::empty())?);
        }
        self.step(dir.as_ref(), name, flags, mode)
    }

    fn step(&self, dir: Option<&File>, name: &str, flags: OFlags, mode: Mode) -> io::Result<File> {
        let dir = dir.unwrap_or(&self.dir);
        match rustix::fs::openat(dir, name, flags | OFlags::NOFOLLOW, mode) {
            Ok(opened) => Ok(File::from(opened)),
            // Asked for a directory, the system does not tell links from files.
            Err(Errno::NOTDIR) if entry(dir, name)? == Some(FileType::Symlink) => {
                Err(Errno::LOOP.into())
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// What `name` is in `dir`, without following it.
pub(super) fn entry(dir: &File, name: &str) -> io::Result<Option<FileType>> {
    match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What the disk keeps for itself.
pub(super) const OWN: &str = ".switchboard";

/// The most bytes of a file name, on all file systems in use.
const NAME_MAX: usize = 255;

/// How often in a row others may move directories while one is looked up.
const RACES_MAX: usize = 128;

/// How many directories are known to last; the next ones are put on the disk once more than needed.
const LASTING_MAX: usize = 16 << 10;
