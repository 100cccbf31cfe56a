//! Listing: in the order of whole keys, with a bounded number of names in memory, however large a directory is.
//!
//! A directory is sorted with a `/` after the names of directories, for so their keys are: `a-b` comes before
//! `a/b`. Where a page ends is told by the last key on it and not by a position, so that what comes and goes
//! meanwhile moves nothing else; names that were read beyond that key only save reading them again (`ahead`). What has a name that is no text, or no key, is left out, and so is whatever
//! is no file.

use std::collections::BinaryHeap;
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::time::SystemTime;

use rustix::fs::{DirEntry, FileType};
use switchboard_core::{Error, ErrorKind, Result};

use super::Symlinks;
use super::ahead::{Level, Names, State};
use super::errors::{classify, is_link, is_missing};
use super::folder::{Folder, entries};
use super::root::{OWN, Place, entry};
use crate::{Key, List, Page};

impl Folder {
    /// One page of what there is at `now` or later.
    pub(super) fn list(&self, list: &List, now: SystemTime) -> Result<Page> {
        let cuts = [list.after.clone().map(Cut::Key), Cut::of(list.token.as_deref())?];
        let cuts = cuts.into_iter().flatten().collect();
        let base = list.prefix.rfind('/').map_or("", |slash| &list.prefix[..=slash]);
        let (known, rest) = (self.ahead.take(list), Vec::new());
        let (above, page) = (Vec::new(), Page::default());
        let mut walk = Walk { folder: self, list, now, cuts, above, known, rest, page };
        // Nothing can be under what is no key; and where it could lead, nobody should look.
        let is_place = |dir| Key::parse(dir).and_then(Place::of).is_ok();
        if base.strip_suffix('/').is_none_or(is_place) {
            walk.directory(base)?;
        }
        let Walk { page, rest, .. } = walk;
        // What a link leads to changes without its directory.
        if page.next.is_some() && self.root.symlinks() == Symlinks::Deny {
            self.ahead.keep(&List { token: page.next.clone(), ..list.clone() }, rest);
        }
        Ok(page)
    }
}

/// What is left out at the beginning.
enum Cut {
    /// Everything up to this key, and the key.
    Key(String),
    /// Everything up to what begins so, and all of that.
    Beneath(String),
}

impl Cut {
    fn of(token: Option<&str>) -> Result<Option<Self>> {
        let Some(token) = token else { return Ok(None) };
        match token.split_at_checked(1) {
            Some(("k", key)) => Ok(Some(Self::Key(key.to_owned()))),
            Some(("p", prefix)) => Ok(Some(Self::Beneath(prefix.to_owned()))),
            _ => Err(Error::new(
                ErrorKind::InvalidInput,
                "no page of this disk has ended with such a token",
            )
            .not_applied()),
        }
    }

    fn token(&self) -> String {
        match self {
            Self::Key(key) => format!("k{key}"),
            Self::Beneath(prefix) => format!("p{prefix}"),
        }
    }

    fn hides(&self, key: &str) -> bool {
        match self {
            Self::Key(last) => key <= last.as_str(),
            Self::Beneath(last) => key < last.as_str() || key.starts_with(last),
        }
    }

    /// Whether it hides every key that begins with `dir`, which ends with a `/`.
    fn hides_all(&self, dir: &str) -> bool {
        match self {
            Self::Key(last) => dir < last.as_str() && !last.starts_with(dir),
            Self::Beneath(last) => {
                dir.starts_with(last) || (dir < last.as_str() && !last.starts_with(dir))
            }
        }
    }
}

/// A page on its way.
struct Walk<'l> {
    folder: &'l Folder,
    list: &'l List,
    now: SystemTime,
    cuts: Vec<Cut>,
    /// The directories that lead to where it is, where links could lead in a circle.
    above: Vec<(u64, u64)>,
    /// What the page before has read and not taken.
    known: Vec<Level>,
    /// The same of this one.
    rest: Vec<Level>,
    page: Page,
}

impl Walk<'_> {
    /// Goes through `dir`, which is empty or ends with a `/`. `false` if the page is full.
    fn directory(&mut self, dir: &str) -> Result<bool> {
        let mut from: Option<String> = None;
        loop {
            let Some((opened, state)) = self.open(dir)? else { return Ok(true) };
            let mut names = match self.known(dir, state) {
                Some(names) => names,
                None => self.names(dir, &opened, from.as_deref())?,
            };
            drop(opened);
            while let Some(name) = names.first() {
                // Where many are beside each other that surely find room, many are looked up at once.
                let files = names.files(self.room());
                if files.len() > 1 {
                    let taken = files.len();
                    self.page.entries.extend(self.folder.entries(dir, files)?);
                    names.take(taken);
                    continue;
                }
                if !self.visit(format!("{dir}{name}"))? {
                    self.rest.push(Level { dir: dir.to_owned(), state, names: names.rest() });
                    return Ok(false);
                }
                names.take(1);
            }
            self.above.pop();
            if names.are_all {
                return Ok(true);
            }
            from = names.into_last();
        }
    }

    /// Opens a directory, and notes that it is the way; `None` if it is not there, or leads in a circle.
    fn open(&mut self, dir: &str) -> Result<Option<(File, State)>> {
        let opened = match self.folder.root.dir(dir.trim_end_matches('/')) {
            Err(error) if is_missing(&error) || is_link(&error) => return Ok(None),
            opened => opened.map_err(classify)?,
        };
        let stat = opened.metadata().map_err(classify)?;
        let inode = (stat.dev(), stat.ino());
        if self.above.contains(&inode) {
            return Ok(None);
        }
        self.above.push(inode);
        Ok(Some((opened, State::of(&stat, self.now))))
    }

    /// What the page before has read of a directory, if that is still as it was.
    fn known(&mut self, dir: &str, state: State) -> Option<Names> {
        let at = self.known.iter().position(|level| level.dir == dir)?;
        let level = self.known.swap_remove(at);
        (level.state == state).then_some(level.names)
    }

    /// What comes next in a directory, after the name `from`, in order: directories with a `/` at their end.
    fn names(&self, dir: &str, opened: &File, from: Option<&str>) -> Result<Names> {
        let (mut next, mut are_all) = (BinaryHeap::new(), true);
        let mut path = dir.to_owned();
        for found in entries(opened).map_err(classify)? {
            path.truncate(dir.len());
            if !self.enter(&mut path, opened, &found.map_err(classify)?)? {
                continue;
            }
            let name = &path[dir.len()..];
            if from.is_some_and(|from| name <= from) || !self.may_show(&path) {
                continue;
            }
            if next.len() < self.names_max() {
                next.push(name.to_owned());
                continue;
            }
            are_all = false;
            if let Some(mut last) = next.peek_mut()
                && name < last.as_str()
            {
                name.clone_into(&mut last);
            }
        }
        Ok(Names::new(next.into_vec(), are_all))
    }

    /// Adds to the path of a directory what something in it is sorted as; `false` if it is neither an object nor
    /// a directory.
    fn enter(&self, path: &mut String, opened: &File, found: &DirEntry) -> Result<bool> {
        let Ok(name) = found.file_name().to_str() else { return Ok(false) };
        path.push_str(name);
        if path == OWN || Key::parse(path).is_err() {
            return Ok(false);
        }
        let kind = match found.file_type() {
            FileType::Unknown => entry(opened, name).map_err(classify)?,
            known => Some(known),
        };
        let kind = match kind {
            Some(FileType::Symlink) if self.folder.root.symlinks() == Symlinks::Within => {
                let led_to = self.folder.root.file(path).and_then(|file| file.metadata());
                led_to.ok().map(|stat| match () {
                    () if stat.is_file() => FileType::RegularFile,
                    () if stat.is_dir() => FileType::Directory,
                    () => FileType::Unknown,
                })
            }
            kind => kind,
        };
        if kind == Some(FileType::Directory) {
            path.push('/');
        }
        Ok(matches!(kind, Some(FileType::RegularFile | FileType::Directory)))
    }

    /// Whether a key, or anything beneath a directory, is asked for.
    fn may_show(&self, path: &str) -> bool {
        let prefix = self.list.prefix.as_str();
        if path.ends_with('/') {
            let is_asked_for = path.starts_with(prefix) || prefix.starts_with(path);
            is_asked_for && !self.cuts.iter().any(|cut| cut.hides_all(path))
        } else {
            path.starts_with(prefix) && !self.cuts.iter().any(|cut| cut.hides(path))
        }
    }

    /// Puts what is at `path` on the page; `false` if that is full.
    fn visit(&mut self, path: String) -> Result<bool> {
        if !path.ends_with('/') {
            let Some(entry) = self.folder.entry(path)? else { return Ok(true) };
            let has_room = self.has_room();
            if has_room {
                self.page.entries.push(entry);
            }
            return Ok(has_room);
        }
        let is_common = self.list.is_flat && path.starts_with(&self.list.prefix);
        if !is_common {
            return self.directory(&path);
        }
        if !self.has_any(&path)? {
            return Ok(true);
        }
        let has_room = self.has_room();
        if has_room {
            self.page.prefixes.push(path);
        }
        Ok(has_room)
    }

    /// How many more fit on the page.
    fn room(&self) -> usize {
        self.list.limit.saturating_sub(self.page.entries.len() + self.page.prefixes.len())
    }

    /// Whether one more fits on the page; where not, notes where the next one begins.
    fn has_room(&mut self) -> bool {
        if self.room() > 0 {
            return true;
        }
        let Page { entries, prefixes, .. } = &self.page;
        let entry = entries.last().map(|entry| entry.key.as_str());
        let prefix = prefixes.last().map(String::as_str);
        let last = match (entry, prefix) {
            (Some(key), Some(prefix)) if key > prefix => Cut::Key(key.to_owned()),
            (Some(key), None) => Cut::Key(key.to_owned()),
            (_, Some(prefix)) => Cut::Beneath(prefix.to_owned()),
            (None, None) => Cut::Key(String::new()),
        };
        self.page.next = Some(last.token());
        false
    }

    /// Whether there is any object beneath `dir` that is asked for.
    fn has_any(&mut self, dir: &str) -> Result<bool> {
        let Some((opened, _)) = self.open(dir)? else { return Ok(false) };
        let (mut directories, mut has_any) = (Vec::new(), false);
        let mut path = dir.to_owned();
        for found in entries(&opened).map_err(classify)? {
            path.truncate(dir.len());
            let is_entry = self.enter(&mut path, &opened, &found.map_err(classify)?)?;
            if is_entry && self.may_show(&path) {
                if !path.ends_with('/') {
                    has_any = true;
                    break;
                }
                directories.push(path.clone());
            }
        }
        drop(opened);
        for path in directories {
            has_any = has_any || self.has_any(&path)?;
        }
        self.above.pop();
        Ok(has_any)
    }

    /// How many names of the directory where it is are kept at once: the fewer, the more are kept of those above.
    fn names_max(&self) -> usize {
        (NAMES_MAX >> self.above.len().min(NAMES_MAX.ilog2() as usize)).max(NAMES_MIN)
    }
}

/// A directory is read again for as many names, so they are not to be too few.
const NAMES_MIN: usize = 1 << 10;
const NAMES_MAX: usize = 64 << 10;
