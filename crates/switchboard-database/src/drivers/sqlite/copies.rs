//! Databases for tests, as files in the folder for temporary ones; where a file is written it stays on one disk.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use switchboard_core::{Error, ErrorKind, Reply, Result};

use super::errors::classify;
use super::place::Place;
use super::{Sqlite, SqliteConfig, Synchronous};
use crate::{Copies, DatabaseDriver};

impl Copies for Sqlite {
    fn driver_of(&self, name: &str) -> Arc<dyn DatabaseDriver> {
        let config = SqliteConfig {
            url: None,
            path: Some(file(name)),
            memory: false,
            // Nothing is to last longer than the process.
            synchronous: Synchronous::Off,
            ..self.place.config().clone()
        };
        Arc::new(Self {
            place: Arc::new(Place::of_file(file(name), config)),
            clock: self.clock.clone(),
            readers: self.readers,
            anchor: Mutex::new(None),
            connections: AtomicU64::new(0),
        })
    }

    fn list<'a>(&'a self, beginning: &'a str) -> Reply<'a, Vec<String>> {
        Reply::ready(names(beginning).map_err(unusable))
    }

    fn make<'a>(&'a self, name: &'a str, template: Option<&'a str>) -> Reply<'a, ()> {
        let made = make_private(&folder()).and_then(|()| match template {
            Some(template) => fs::copy(file(template), file(name)).map(drop),
            None => File::create_new(file(name)).map(drop),
        });
        Reply::ready(made.map_err(unusable))
    }

    fn rename<'a>(&'a self, name: &'a str, new: &'a str) -> Reply<'a, ()> {
        let renamed = take_in_log(name).and_then(|()| {
            let in_use = || Error::new(ErrorKind::Conflict, "somebody is connected").not_applied();
            let is_whole = !file(name).with_extension("db-wal").exists();
            if !is_whole {
                return Err(in_use());
            }
            fs::rename(file(name), file(new)).map_err(unusable)
        });
        Reply::ready(renamed)
    }

    fn remove<'a>(&'a self, name: &'a str, _: bool) -> Reply<'a, ()> {
        for extension in ["db", "db-wal", "db-shm", "db-journal", "lock"] {
            match fs::remove_file(file(name).with_extension(extension)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Reply::ready(Err(unusable(error)));
                }
                _ => {}
            }
        }
        Reply::ready(Ok(()))
    }

    fn try_lock<'a>(&'a self, name: &'a str) -> Reply<'a, Option<Box<dyn Send>>> {
        Reply::ready(lock(name).map_err(unusable))
    }
}

/// Who only reads leaves the log beside the file when it is closed, also as the last one.
fn take_in_log(name: &str) -> Result<()> {
    let connection = rusqlite::Connection::open(file(name)).map_err(classify)?;
    let checkpoint = |_: &rusqlite::Row<'_>| Ok(());
    connection.query_row("pragma wal_checkpoint(truncate)", [], checkpoint).map_err(classify)?;
    connection.close().map_err(|(_, error)| classify(error))
}

fn lock(name: &str) -> io::Result<Option<Box<dyn Send>>> {
    make_private(&folder())?;
    let path = file(name).with_extension("lock");
    let lock = File::options().create(true).truncate(false).write(true).open(path)?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(Box::new(lock))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn names(beginning: &str) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    make_private(&folder())?;
    for entry in fs::read_dir(folder())? {
        let name = entry?.file_name();
        let name = name.to_str().and_then(|name| name.strip_suffix(".db"));
        names.extend(name.filter(|name| name.starts_with(beginning)).map(str::to_owned));
    }
    Ok(names)
}

fn file(name: &str) -> PathBuf {
    folder().join(format!("{name}.db"))
}

/// That of the user who asks: all may write beside it.
#[cfg(unix)]
fn folder() -> PathBuf {
    let user = rustix::process::geteuid().as_raw();
    std::env::temp_dir().join(format!("switchboard-sandboxes-{user}"))
}

/// Every user has a folder for temporary files there.
#[cfg(not(unix))]
fn folder() -> PathBuf {
    std::env::temp_dir().join("switchboard-sandboxes")
}

/// Makes the folder for nobody else; one that another user made is refused, who could put anything into it.
#[cfg(unix)]
fn make_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};

    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let found = fs::symlink_metadata(folder)?;
    if found.is_dir() && found.uid() == rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::PermissionDenied, "it was made by another user"))
}

#[cfg(not(unix))]
fn make_private(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

fn unusable(error: io::Error) -> Error {
    Error::new(ErrorKind::PermissionDenied, "the folder for databases of tests cannot be used")
        .with_context("folder", folder().display())
        .with_hint("TMPDIR names another one")
        .not_applied()
        .with_source(error)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn the_folder_is_for_its_user_and_nobody_else() {
        let outer = tempfile::tempdir().unwrap();
        let inner = outer.path().join("inner");
        for _ in 0..2 {
            make_private(&inner).unwrap();
            let mode = fs::metadata(&inner).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{mode:o}");
        }
        let user = rustix::process::geteuid().as_raw().to_string();
        assert!(folder().to_string_lossy().ends_with(&user));
    }

    #[test]
    fn a_link_in_the_place_of_the_folder_is_refused() {
        let outer = tempfile::tempdir().unwrap();
        let link = outer.path().join("link");
        symlink(outer.path(), &link).unwrap();
        assert_eq!(make_private(&link).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }
}
