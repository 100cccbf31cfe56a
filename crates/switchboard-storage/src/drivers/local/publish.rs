//! How an object comes, goes and changes its place: in one step, at the end, and only where it may.
//!
//! A file is written where nobody looks, gets all that is said of it, is put on the disk, and appears by one
//! renaming. Whoever renames or removes holds the lock of the directory meanwhile, so that what a condition
//! found is still there when it is acted on.

use std::fs::File;
use std::io::{self, Write as _};

use rustix::fs::{AtFlags, FileType, OFlags};
use rustix::io::Errno;
use switchboard_core::{Error, ErrorKind, Result};

use super::errors::{
    after, before, busy, classify, errno, is_missing, link, nested, no_object, unwritable,
};
use super::folder::{Folder, RACES_MAX, Temp, There, entries, move_entry, random};
use super::root::{Place, entry};
use super::side::{Found, Keeping, Side};
use crate::blocking::Caller;
use crate::{Condition, Stored, Version, Write, already_there, another_version, nothing_there};

impl Folder {
    /// Stores `content` at `place`.
    pub(super) fn put(
        &self,
        place: &Place,
        content: &[u8],
        write: Write,
        caller: &Caller,
    ) -> Result<Stored> {
        let temp = self.temp().map_err(unwritable)?;
        temp.file().write_all(content).map_err(before)?;
        let Write { condition, attributes, checksum, write_id } = write;
        let side = Side { id: temp.id(), attributes, checksum, write_id };
        self.store(temp, &side, place, &condition, caller)
    }

    /// Stores a new file, with all that is said of it, at `place`, where `condition` allows it.
    pub(super) fn store(
        &self,
        mut temp: Temp,
        side: &Side,
        place: &Place,
        condition: &Condition,
        caller: &Caller,
    ) -> Result<Stored> {
        let stored = self.prepare(temp.file(), side, place)?;
        let published = self.publish(place, condition, caller, |dir, replaces| {
            temp.move_to(dir, place.name(), replaces)
        });
        if published.is_err() {
            temp.discard();
            self.forget(Some(temp.file()));
        }
        published.map(|()| stored)
    }

    /// Puts a file on the disk that has all its bytes, with all that is said of it.
    pub(super) fn prepare(&self, file: &File, side: &Side, place: &Place) -> Result<Stored> {
        let meta = self.attach(file, side, place).map_err(unwritable)?;
        self.settle(file).map_err(before)?;
        Ok(Stored::new(meta.version, meta.size, meta.checksum))
    }

    /// Does `appear` under the lock of the directory of `place`, where `condition` allows it.
    pub(super) fn publish(
        &self,
        place: &Place,
        condition: &Condition,
        caller: &Caller,
        mut appear: impl FnMut(&File, bool) -> io::Result<()>,
    ) -> Result<()> {
        for _ in 0..RACES_MAX {
            let Some(dir) = self.dir_for(place)? else { continue };
            let locked = self.turns.lock(&dir, caller)?;
            let old = self.allow(&dir, place, condition)?;
            caller.still_waits()?;
            match appear(&dir, *condition != Condition::Absent) {
                // The directory was empty, and somebody removed it.
                Err(error) if errno(&error) == Some(Errno::NOENT) => continue,
                appeared => appeared.map_err(|error| refused(error, condition))?,
            }
            drop(locked);
            self.sync(place.parent()).map_err(after)?;
            self.forget(old.as_ref());
            return Ok(());
        }
        Err(busy())
    }

    /// Removes the object at `place`; `false` if there was none.
    pub(super) fn delete(
        &self,
        place: &Place,
        only: Option<&Version>,
        caller: &Caller,
    ) -> Result<bool> {
        let dir = match self.root.dir(place.parent()) {
            Err(error) if is_missing(&error) => return Ok(false),
            opened => opened.map_err(before)?,
        };
        let locked = self.turns.lock(&dir, caller)?;
        let there = self.there(&dir, place)?;
        if !matches!(there, There::File | There::Link) {
            return Ok(false);
        }
        if let Some(only) = only {
            self.demand(&dir, place, there, only)?;
        }
        let old = self.old(&dir, place, there);
        caller.still_waits()?;
        match rustix::fs::unlinkat(&dir, place.name(), AtFlags::empty()) {
            Err(Errno::NOENT) => return Ok(false),
            removed => removed.map_err(|error| classify(error.into()))?,
        }
        drop(locked);
        self.leave(place.parent())?;
        self.forget(old.as_ref());
        Ok(true)
    }

    /// Stores the object at `from` also at `to`.
    pub(super) fn copy(
        &self,
        from: &Place,
        to: &Place,
        condition: &Condition,
        caller: &Caller,
    ) -> Result<Stored> {
        let (source, found) = self.object(from)?;
        let temp = self.temp().map_err(unwritable)?;
        // The system shares the blocks where it can, and copies them itself where it cannot.
        io::copy(&mut &source, &mut temp.file()).map_err(before)?;
        let is_same = self.look(&source).map_err(before)?;
        if is_same.is_none_or(|now| now.meta.version != found.meta.version) {
            return Err(Error::new(
                ErrorKind::Conflict,
                "the object was changed in its place by others while it was copied",
            )
            .not_applied());
        }
        let side = Side::of_same(temp.id(), found);
        self.store(temp, &side, to, condition, caller)
    }

    /// Moves the object at `from` to `to`.
    pub(super) fn rename(
        &self,
        from: &Place,
        to: &Place,
        condition: &Condition,
        caller: &Caller,
    ) -> Result<Stored> {
        for _ in 0..RACES_MAX {
            let source = match self.root.dir(from.parent()) {
                Err(error) if is_missing(&error) => return Err(nothing_there()),
                opened => opened.map_err(before)?,
            };
            // Looked at before directories are made for nothing.
            self.movable(&source, from)?;
            let Some(target) = self.dir_for(to)? else { continue };
            let locked = self.turns.lock_both(&source, &target, caller)?;
            let file = self.movable(&source, from)?;
            let old = self.allow(&target, to, condition)?;
            caller.still_waits()?;
            self.renew(&file, to)?;
            let replaces = *condition != Condition::Absent;
            match move_entry(&source, from.name(), &target, to.name(), replaces) {
                Err(error) if errno(&error) == Some(Errno::NOENT) => continue,
                moved => moved.map_err(|error| refused(error, condition))?,
            }
            let meta = self.look(&file).map_err(after)?.ok_or_else(nothing_there)?.meta;
            drop(locked);
            self.sync(to.parent()).map_err(after)?;
            self.leave(from.parent())?;
            self.forget(old.as_ref());
            return Ok(Stored::new(meta.version, meta.size, meta.checksum));
        }
        Err(busy())
    }

    /// The directory in which `place` is; `None` if somebody removed it while it was made.
    fn dir_for(&self, place: &Place) -> Result<Option<File>> {
        match self.root.made_dir(place.parent()) {
            Ok(dir) => Ok(Some(dir)),
            Err(error) if errno(&error) == Some(Errno::NOENT) => Ok(None),
            Err(error) => Err(before(error)),
        }
    }

    /// Whether `condition` allows an object at `place`, and what would be replaced, where that must be known.
    fn allow(&self, dir: &File, place: &Place, condition: &Condition) -> Result<Option<File>> {
        let there = self.there(dir, place)?;
        match (condition, there) {
            (_, There::Other) => return Err(no_object()),
            (Condition::Version(_), There::Nothing | There::Directory) => {
                return Err(another_version());
            }
            (Condition::Version(wanted), There::File | There::Link) => {
                self.demand(dir, place, there, wanted)?;
            }
            (_, There::Directory) => {
                self.remove_empty(place.path()).map_err(before)?;
                if entry(dir, place.name()).map_err(before)?.is_some() {
                    return Err(nested());
                }
            }
            (Condition::Absent, There::File | There::Link) => return Err(already_there()),
            (Condition::Always | Condition::Absent, _) => {}
        }
        Ok(self.old(dir, place, there))
    }

    fn demand(&self, dir: &File, place: &Place, there: There, wanted: &Version) -> Result<()> {
        let file = match there {
            There::Link => self.root.file(place.path()),
            _ => open(dir, place.name()),
        };
        match self.look(&file.map_err(before)?).map_err(before)? {
            Some(found) if found.meta.version == *wanted => Ok(()),
            _ => Err(another_version()),
        }
    }

    /// The file that will not be there any more, if something of it may have to be cleared up.
    fn old(&self, dir: &File, place: &Place, there: There) -> Option<File> {
        let may_leave = self.keeping != Keeping::Attribute && there == There::File;
        may_leave.then(|| open(dir, place.name()).ok()).flatten()
    }

    /// The object at `from`, if it can be moved.
    fn movable(&self, dir: &File, from: &Place) -> Result<File> {
        match self.there(dir, from)? {
            There::File => open(dir, from.name()).map_err(before),
            // Elsewhere it would lead elsewhere.
            There::Link => Err(link()),
            There::Nothing | There::Directory | There::Other => Err(nothing_there()),
        }
    }

    /// Gives a file another version. Where it belongs to somebody else, moving it has to be enough.
    fn renew(&self, file: &File, to: &Place) -> Result<()> {
        let found = self.look(file).map_err(before)?.ok_or_else(nothing_there)?;
        let side = Side::of_same(random().map_err(before)?, found);
        match self.attach(file, &side, to) {
            Err(error) if matches!(errno(&error), Some(Errno::PERM | Errno::ACCESS)) => Ok(()),
            attached => attached.and_then(|_| self.settle(file)).map_err(before),
        }
    }

    /// Puts on the disk that something has gone from a directory, and removes those that are empty now.
    fn leave(&self, dir: &str) -> Result<()> {
        // One that stays although it is empty holds no object, and is in nobody's way.
        let _ = self.root.prune(dir);
        self.sync(dir).map_err(after)
    }

    /// Removes the directory at `path` if there are only empty ones in it.
    fn remove_empty(&self, path: &str) -> io::Result<()> {
        for found in entries(&self.root.dir(path)?)? {
            let found = found?;
            match found.file_name().to_str() {
                Ok(name) if found.file_type() == FileType::Directory => {
                    self.remove_empty(&format!("{path}/{name}"))?;
                }
                _ => return Ok(()),
            }
        }
        self.root.remove_dir(path).map(|_| ())
    }
}

/// Why an entry could not be moved to its place.
fn refused(error: io::Error, condition: &Condition) -> Error {
    match errno(&error) {
        Some(Errno::EXIST) if *condition == Condition::Absent => already_there(),
        _ => classify(error),
    }
}

fn open(dir: &File, name: &str) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::openat(dir, name, flags, rustix::fs::Mode::empty())?))
}

impl Side {
    /// What is kept of `found` under another id: the bytes are the same, the write is not.
    fn of_same(id: u64, found: Found) -> Self {
        let meta = found.meta;
        Self { id, attributes: meta.attributes, checksum: meta.checksum, write_id: None }
    }
}
