//! A folder: each object is a file under its key, for everybody to see, and keeps the promises of all disks.
//!
//! - **Whole or not at all.** A file is written in `.switchboard/tmp`, and appears under its key by one
//!   renaming, together with all that is said of it. A process that is killed leaves what was there before.
//! - **Durable.** What is answered with `Ok` is on the disk, with the names of all directories above it,
//!   unless the setting `durability` says otherwise.
//! - **Conditional.** Whoever renames or removes holds a lock of the directory, across all processes of the
//!   machine: of any number that create or replace the same version, one succeeds.
//! - **Confined.** Nothing outside of the folder is opened, whatever a key says, and whoever puts symbolic
//!   links in its way or swaps them meanwhile. What is not seen is a hard link to a file outside, and a file
//!   system that is mounted beneath.
//!
//! What others put into the folder are objects too: they have versions, which change with the file, and no
//! attributes. A file that they change in its place keeps its attributes and loses its checksum.
//!
//! Where keys are files there cannot be `a` beside `a/b`, and no segment has more than 255 bytes. On a file
//! system that does not tell upper from lower case, the keys `A` and `a` are one.
//!
//! Read in this order: `root`, how paths stay beneath; `folder`, what lies in it; `side`, what is said of
//! files; `publish`, how they appear and go; `read`, `list`, `upload` and `sweep`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use percent_encoding::percent_decode_str;
use schemars::JsonSchema;
use serde::Deserialize;
use switchboard_core::settings::{Node, duration};
use switchboard_core::{
    BuildContext, Capabilities, Clock, Descriptor, Details, Error, ErrorKind, Health, Lifecycle,
    Registry, Reply, Result, Settings, Support,
};

use self::folder::Folder;
use self::root::{Place, Root};
use crate::{
    Condition, Disks, Fetched, Key, Limits, List, Meta, Page, Part, PartTag, Read, StorageDriver,
    Stored, UploadId, Version, Write, capability,
};

mod ahead;
mod entries;
mod errors;
mod folder;
mod list;
mod mode;
mod publish;
mod read;
mod root;
mod side;
mod spares;
mod start;
mod sweep;
#[cfg(test)]
mod tests;
mod thread;
mod turns;
mod upload;

pub use self::mode::Mode;

/// A disk in a folder.
pub struct Local {
    folder: Arc<Folder>,
    root: PathBuf,
    is_writable: bool,
    temp_ttl: Duration,
    clock: Clock,
}

/// The settings of [`Local`]. `root` or `url` says where the folder is; without either it is called after its
/// instance, in `storage` in `$SWITCHBOARD_HOME` or `.switchboard`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LocalConfig {
    /// The folder; it is made where it is not there.
    pub root: Option<PathBuf>,
    /// The folder as an address: `file:///srv/uploads`.
    pub url: Option<String>,
    /// What is on the disk when a write is answered.
    pub durability: Durability,
    /// What becomes of symbolic links beneath the folder.
    pub symlinks: Symlinks,
    /// Who may do what with directories that are made, in octal digits.
    pub dir_mode: Mode,
    /// Who may do what with files, in octal digits.
    pub file_mode: Mode,
    /// Where is kept what is said of objects.
    pub metadata: Metadata,
    /// How old files on their way and unfinished uploads are before they are removed at the start.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text")]
    pub temp_ttl: Duration,
}

/// What is on the disk when a write is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Durability {
    /// Nothing: what was written last may be lost, or empty, after the machine loses its power.
    None,
    /// The bytes: what was stored last may not be there after the power was lost, but is whole if it is.
    File,
    /// The bytes, the name, and all directories above it.
    #[default]
    Full,
}

/// What becomes of symbolic links beneath the folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Symlinks {
    /// None is followed.
    #[default]
    Deny,
    /// Those are followed that stay beneath the folder. What is stored under the key of a link takes the place
    /// of the link.
    Within,
}

/// Where is kept what is said of objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Metadata {
    /// In an extended attribute of the file, or in a file of its own where that does not work.
    #[default]
    Auto,
    /// In an extended attribute of the file, which goes along when others move or copy it with its attributes.
    Xattr,
    /// In a file of its own beneath `.switchboard`, which does not go along with copies.
    Sidecar,
}

impl Default for LocalConfig {
    fn default() -> Self {
        Self {
            root: None,
            url: None,
            durability: Durability::default(),
            symlinks: Symlinks::default(),
            dir_mode: Mode(0o700),
            file_mode: Mode(0o600),
            metadata: Metadata::default(),
            temp_ttl: Duration::from_hours(24),
        }
    }
}

pub(crate) fn register(registry: &Registry<Disks>) -> Result<()> {
    let mut descriptor =
        Descriptor::new("local").alias("file").summary("A folder, durable and confined").proven();
    descriptor = descriptor.data_meant(["root", "url"], folder_meant);
    for (name, support) in capabilities(true).iter() {
        descriptor = descriptor.capability(name, support);
    }
    crate::register(registry, descriptor, |config: LocalConfig, build| async move {
        let (config, clock) = (config.at_home(&build), build.clock().clone());
        thread::wait(move || Local::open(&config, clock)).await
    })
}

fn capabilities(is_writable: bool) -> Capabilities {
    let written = if is_writable { Support::Native } else { Support::No };
    let can = [
        capability::CREATE,
        capability::REPLACE,
        capability::DELETE_VERSION,
        capability::COPY,
        capability::RENAME,
        capability::PARTS,
        capability::WRITE,
    ];
    can.into_iter()
        .fold(Capabilities::new(), |all, name| all.with(name, written))
        .with(capability::ATTRIBUTES, Support::Native)
        .with(capability::CHECKSUM, Support::Native)
        .with(capability::LIST, Support::Native)
        .with(capability::NESTED, Support::No)
}

impl LocalConfig {
    /// Where nothing is said, the folder is called after its instance, in the home of the application.
    fn at_home(mut self, build: &BuildContext) -> Self {
        if self.root.is_none() && self.url.is_none() {
            let home = build.variable("SWITCHBOARD_HOME").unwrap_or(".switchboard");
            self.root = Some(Path::new(home).join("storage").join(build.instance().to_string()));
        }
        self
    }

    /// The one folder that the settings name.
    fn path(&self) -> Result<PathBuf> {
        match (&self.root, &self.url) {
            (Some(root), None) if !root.as_os_str().is_empty() => Ok(root.clone()),
            (None, Some(url)) => path_of(url),
            (Some(_), None) => Err(misplaced("the path of the folder is empty")),
            (Some(_), Some(_)) => Err(misplaced("it is said twice where the folder is")),
            (None, None) => Err(misplaced("it is not said where the folder is")),
        }
    }
}

/// `file:///srv/uploads`; anything special in the path as `%20`.
fn path_of(url: &str) -> Result<PathBuf> {
    let rest =
        url.strip_prefix("file://").map(|rest| rest.strip_prefix("localhost").unwrap_or(rest));
    let Some(path) = rest.filter(|path| path.starts_with('/')) else {
        return Err(misplaced("the address is not of the form file:///path"));
    };
    if path.contains(['?', '#']) {
        return Err(misplaced("the address of a folder has no query")
            .with_hint("what it would say has settings of its own; `?` in a name is written %3F"));
    }
    let path = percent_decode_str(path)
        .decode_utf8()
        .map_err(|error| misplaced("the path in the address is no text").with_source(error))?;
    Ok(PathBuf::from(&*path))
}

/// The folder that settings mean, whichever way they name it; `None` where they name none.
fn folder_meant(settings: &Settings) -> Option<String> {
    let said = |key| settings.child(key).and_then(Node::as_str);
    let folder = match (said("root"), said("url")) {
        (Some(root), None) => PathBuf::from(root),
        (None, Some(url)) => path_of(url).ok()?,
        _ => return None,
    };
    resolved(&folder)?.into_os_string().into_string().ok()
}

/// Where a path leads: what is there without links, and what is not there yet beneath it.
fn resolved(path: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(path).ok()?;
    path.ancestors().find_map(|there| {
        let rest = path.strip_prefix(there).ok()?;
        Some(there.canonicalize().ok()?.join(rest))
    })
}

fn misplaced(why: &'static str) -> Error {
    Error::new(ErrorKind::Config, why)
        .with_hint("`root = \"/srv/uploads\"` or `url = \"file:///srv/uploads\"`")
}

impl Local {
    /// The disk in the folder that `config` names, which is made if it is not there.
    ///
    /// It asks the file system what it can, and waits for it.
    pub fn open(config: &LocalConfig, clock: Clock) -> Result<Self> {
        let path = config.path()?;
        let root = Root::open(&path, config.symlinks, config.dir_mode.0)?;
        Self::start(root, path, config, clock)
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

impl StorageDriver for Local {
    fn limits(&self) -> Limits {
        Limits { part_min: 1, ..Limits::default() }
    }

    fn head<'a>(&'a self, key: Key<'a>) -> Reply<'a, Meta> {
        Reply::run(async move {
            let place = Place::of(key)?;
            thread::run(&self.folder, move |folder| {
                folder.object(&place).map(|(_, found)| found.meta)
            })
            .await
        })
    }

    fn get<'a>(&'a self, key: Key<'a>, read: &'a Read) -> Reply<'a, Option<Fetched>> {
        Reply::run(async move {
            let (place, read) = (Place::of(key)?, read.clone());
            let folder = self.folder.clone();
            thread::run(&self.folder, move |_| folder.get(place, &read)).await
        })
    }

    fn put<'a>(&'a self, key: Key<'a>, content: Bytes, write: &'a Write) -> Reply<'a, Stored> {
        Reply::run(async move {
            let (place, write) = (Place::of(key)?, write.clone());
            thread::change(&self.folder, move |folder, caller| {
                folder.put(&place, &content, write, caller)
            })
            .await
        })
    }

    fn delete<'a>(&'a self, key: Key<'a>, only: Option<&'a Version>) -> Reply<'a, bool> {
        Reply::run(async move {
            let (place, only) = (Place::of(key)?, only.cloned());
            thread::change(&self.folder, move |folder, caller| {
                folder.delete(&place, only.as_ref(), caller)
            })
            .await
        })
    }

    fn list<'a>(&'a self, list: &'a List) -> Reply<'a, Page> {
        Reply::run(async move {
            let (list, now) = (list.clone(), self.clock.wall());
            thread::run(&self.folder, move |folder| folder.list(&list, now)).await
        })
    }

    fn copy<'a>(
        &'a self,
        from: Key<'a>,
        to: Key<'a>,
        condition: &'a Condition,
    ) -> Reply<'a, Stored> {
        Reply::run(async move {
            let (from, to, condition) = (Place::of(from)?, Place::of(to)?, condition.clone());
            thread::change(&self.folder, move |folder, caller| {
                folder.copy(&from, &to, &condition, caller)
            })
            .await
        })
    }

    fn rename<'a>(
        &'a self,
        from: Key<'a>,
        to: Key<'a>,
        condition: &'a Condition,
    ) -> Reply<'a, Stored> {
        Reply::run(async move {
            let (from, to, condition) = (Place::of(from)?, Place::of(to)?, condition.clone());
            thread::change(&self.folder, move |folder, caller| {
                folder.rename(&from, &to, &condition, caller)
            })
            .await
        })
    }

    fn begin<'a>(&'a self, key: Key<'a>, _: &'a Write) -> Reply<'a, UploadId> {
        Reply::run(async move {
            let place = Place::of(key)?;
            thread::run(&self.folder, move |folder| folder.begin(&place)).await
        })
    }

    fn part<'a>(
        &'a self,
        key: Key<'a>,
        upload: &'a UploadId,
        part: Part,
        content: Bytes,
    ) -> Reply<'a, PartTag> {
        Reply::run(async move {
            let (place, upload) = (Place::of(key)?, upload.clone());
            thread::change(&self.folder, move |folder, caller| {
                folder.part(&place, &upload, part, &content, caller)
            })
            .await
        })
    }

    fn complete<'a>(
        &'a self,
        key: Key<'a>,
        upload: &'a UploadId,
        parts: &'a [PartTag],
        write: &'a Write,
    ) -> Reply<'a, Stored> {
        Reply::run(async move {
            let (place, upload) = (Place::of(key)?, upload.clone());
            let (parts, write) = (parts.to_vec(), write.clone());
            thread::change(&self.folder, move |folder, caller| {
                folder.complete(&place, &upload, &parts, write, caller)
            })
            .await
        })
    }

    fn abort<'a>(&'a self, key: Key<'a>, upload: &'a UploadId) -> Reply<'a, ()> {
        Reply::run(async move {
            let (place, upload) = (Place::of(key)?, upload.clone());
            thread::run(&self.folder, move |folder| folder.abort(&place, &upload)).await
        })
    }

    fn sweep(&self, age: Duration) -> Reply<'_, u64> {
        let now = self.clock.wall();
        Reply::run(thread::run(&self.folder, move |folder| folder.sweep(age, now)))
    }
}

impl Lifecycle for Local {
    fn init(&self) -> Reply<'_, ()> {
        let (ttl, now, is_writable) = (self.temp_ttl, self.clock.wall(), self.is_writable);
        Reply::run(thread::run(&self.folder, move |folder| {
            if is_writable {
                folder.sweep_unfinished(ttl, now)?;
            }
            Ok(())
        }))
    }

    fn health(&self) -> Reply<'_, Health> {
        let is_writable = self.is_writable;
        Reply::run(thread::run(&self.folder, move |folder| folder.health(is_writable)))
    }

    fn capabilities(&self) -> Option<Capabilities> {
        Some(capabilities(self.is_writable))
    }

    fn details(&self) -> Option<Details> {
        Some(
            Details::new()
                .with("root", self.root.display().to_string())
                .with("is_writable", self.is_writable)
                .with("metadata", self.folder.keeping.as_str())
                .with("confined_by", self.folder.root.confined_by()),
        )
    }
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").field("root", &self.root).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod keeps_the_rules_of_disks {
    use switchboard_core::Settings;

    use super::*;
    use crate::conformance::{Fixture, suite};

    mod with_attributes {
        use super::*;

        suite!(in_a_folder(register, Settings::new().with("metadata", "xattr")));
    }

    mod with_files_beside {
        use super::*;

        suite!(in_a_folder(register, Settings::new().with("metadata", "sidecar")));
    }

    mod segment_by_segment {
        use super::*;

        suite!(in_a_folder(register_by_segment, Settings::new()));

        fn register_by_segment(registry: &Registry<Disks>) -> Result<()> {
            crate::register(registry, "local", |config: LocalConfig, build| async move {
                let path = config.path()?;
                let root = Root::open(&path, config.symlinks, config.dir_mode.0)?.by_segment();
                Local::start(root, path, &config, build.clock().clone())
            })
        }
    }

    fn in_a_folder(register: fn(&Registry<Disks>) -> Result<()>, settings: Settings) -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        Fixture::new(register).settings(move |unique| {
            let root = folder.path().join(unique);
            settings.clone().with("root", root.to_string_lossy().into_owned())
        })
    }
}
