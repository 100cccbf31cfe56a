//! Where the files of a configuration really are, and who tells when something happens there.
//!
//! A path is followed link by link. What can change its meaning is told by folders: the one of the
//! file, those of all links on the way, and the nearest one there is where something is missing. Of
//! their news only those count that are about a name on the way. When to look again is the affair of
//! `watch`.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::Metadata;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use switchboard_core::{Error, ErrorKind, Result};

/// The folders that tell of changes of files.
pub(crate) struct Folders {
    watcher: RecommendedWatcher,
    places: SharedPlaces,
    watched: BTreeMap<PathBuf, Identity>,
}

impl Folders {
    /// Nothing is looked at yet; `tell` is called for everything that may be a change.
    pub(crate) fn new(tell: impl Fn() + Send + 'static) -> Result<Self> {
        let places = SharedPlaces::default();
        let known = places.clone();
        let watcher = notify::recommended_watcher(move |event| {
            if is_change(&event) && known.lock().take(&event) {
                tell();
            }
        });
        let watcher = watcher.map_err(|error| cannot_watch(&error))?;
        Ok(Self { watcher, places, watched: BTreeMap::new() })
    }

    /// Looks at what concerns `files` from now on, and at nothing else. Says whether a name or a folder
    /// is looked at that was not, so that something may have happened there unseen.
    pub(crate) fn follow(&mut self, files: &BTreeSet<PathBuf>) -> Result<bool> {
        let places = Places::of(files);
        let wanted = places.identities();
        // Given away before the watcher is asked: it answers in the thread that tells of changes.
        let before = std::mem::replace(&mut self.places.lock().places, places.clone());
        let mut has_new = before != places;
        let gone: Vec<PathBuf> = self.watched.keys().cloned().collect();
        // A folder made again may have the number of the one that went, and no watch.
        let lost = std::mem::take(&mut self.places.lock().lost);
        for folder in gone {
            if lost.contains(&folder) || self.watched.get(&folder) != wanted.get(&folder) {
                // A folder that is gone has taken its watch with it.
                self.watcher.unwatch(&folder).ok();
                self.watched.remove(&folder);
            }
        }
        for (folder, identity) in wanted {
            if !self.watched.contains_key(&folder) {
                has_new |= self.watch(folder, identity)?;
            }
        }
        Ok(has_new)
    }

    fn watch(&mut self, folder: PathBuf, identity: Identity) -> Result<bool> {
        match self.watcher.watch(&folder, RecursiveMode::NonRecursive) {
            Ok(()) => {
                self.watched.insert(folder, identity);
                Ok(true)
            }
            // It went in this moment: there is something new to follow.
            Err(_) if !folder.is_dir() => Ok(true),
            Err(error) => Err(cannot_watch(&error).with_context("folder", folder.display())),
        }
    }
}

#[derive(Clone, Default)]
struct SharedPlaces(Arc<Mutex<Known>>);

/// What the watcher knows, in its own thread.
#[derive(Default)]
struct Known {
    places: Places,
    /// Folders to which something happened themselves: their watches may have gone with them.
    lost: BTreeSet<PathBuf>,
}

impl Known {
    /// Whether an event concerns the places.
    fn take(&mut self, event: &notify::Result<notify::Event>) -> bool {
        let paths = event.iter().flat_map(|event| &event.paths);
        let folders = paths.filter(|path| self.places.0.contains_key(*path));
        self.lost.extend(folders.cloned());
        self.places.concern(event)
    }
}

impl SharedPlaces {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For each folder, as it is called without any link, the names in it that count.
#[derive(Clone, Debug, Default, PartialEq)]
struct Places(BTreeMap<PathBuf, BTreeSet<OsString>>);

impl Places {
    fn of(files: &BTreeSet<PathBuf>) -> Self {
        let mut places = Self::default();
        for file in files {
            // What has no absolute path, because there is no folder to start from, is not there.
            if let Ok(path) = std::path::absolute(file) {
                places.follow(&path);
            }
        }
        places
    }

    /// Goes the way of an absolute path, as far as it leads.
    fn follow(&mut self, path: &Path) {
        let mut folder = PathBuf::new();
        let mut ahead = parts_of(path);
        let mut links = 0;
        while let Some(part) = ahead.pop() {
            let name = match part {
                Part::Root(root) => {
                    folder.push(root);
                    continue;
                }
                Part::Up => {
                    folder.pop();
                    continue;
                }
                Part::Name(name) => name,
            };
            let entry = folder.join(&name);
            let found = entry.symlink_metadata();
            if let Ok(target) = std::fs::read_link(&entry) {
                self.note(&folder, name);
                links += 1;
                if links > LINKS_MAX {
                    return;
                }
                if target.is_absolute() {
                    folder = PathBuf::new();
                }
                ahead.extend(parts_of(&target));
            } else if !ahead.is_empty() && found.is_ok_and(|found| found.is_dir()) {
                folder = entry;
            } else {
                self.note(&folder, name);
                return;
            }
        }
    }

    fn note(&mut self, folder: &Path, name: OsString) {
        self.0.entry(folder.to_path_buf()).or_default().insert(name);
    }

    fn identities(&self) -> BTreeMap<PathBuf, Identity> {
        let folders = self.0.keys();
        let there = folders
            .filter_map(|folder| Some((folder.clone(), identity_of(&folder.metadata().ok()?))));
        there.collect()
    }

    /// Whether something happened to a name that counts, or to a folder itself. What is not about any
    /// path may be about all of them.
    fn concern(&self, event: &notify::Result<notify::Event>) -> bool {
        let Ok(event) = event else { return true };
        event.need_rescan() || event.paths.is_empty() || event.paths.iter().any(|it| self.has(it))
    }

    fn has(&self, path: &Path) -> bool {
        let in_folder = || Some((self.0.get(path.parent()?)?, path.file_name()?));
        self.0.contains_key(path) || in_folder().is_some_and(|(names, name)| names.contains(name))
    }
}

/// A part of a path.
enum Part {
    Root(PathBuf),
    Up,
    Name(OsString),
}

/// The parts of a path, the first one last.
fn parts_of(path: &Path) -> Vec<Part> {
    let part = |part: Component<'_>| match part {
        Component::Prefix(_) | Component::RootDir => Some(Part::Root(part.as_os_str().into())),
        Component::ParentDir => Some(Part::Up),
        Component::Normal(name) => Some(Part::Name(name.to_owned())),
        Component::CurDir => None,
    };
    path.components().rev().filter_map(part).collect()
}

/// What tells a folder from another one that took its name.
#[cfg(unix)]
type Identity = (u64, u64);

#[cfg(unix)]
fn identity_of(folder: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt as _;
    (folder.dev(), folder.ino())
}

#[cfg(not(unix))]
type Identity = Option<std::time::SystemTime>;

#[cfg(not(unix))]
fn identity_of(folder: &Metadata) -> Identity {
    folder.created().ok()
}

/// Reading a file is an event too, and reloading reads them.
fn is_change(event: &notify::Result<notify::Event>) -> bool {
    let access = match event {
        Ok(event) => event.kind,
        Err(_) => return true,
    };
    let written = EventKind::Access(AccessKind::Close(AccessMode::Write));
    access == written || !access.is_access()
}

fn cannot_watch(error: &notify::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "files cannot be watched")
        .with_context("reason", error)
        .with_hint("reload by hand, or with SIGHUP")
}

/// How many links a path may lead through; systems allow about as many.
const LINKS_MAX: usize = 40;
