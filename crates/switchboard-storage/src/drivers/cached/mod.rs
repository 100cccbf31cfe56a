//! Another disk, of which what was read is kept near: in memory, and in a folder if there is one.
//!
//! - **Never a mix.** What is kept is a piece of one version of an object, and is asked for as that; an object is
//!   told and read as one version.
//! - **As fresh as was said.** With `validate = "always"` the other disk is asked before every read which version
//!   it has. Otherwise it is asked again after the `ttl`, or not at all; what is written through this disk is seen
//!   at once in any case.
//! - **Bounded.** Memory and folder have a size each; what was not read for longest goes.
//! - **Fetched once.** Whoever wants a piece that is on its way waits for it, some seconds at most.
//! - **Not needed.** A folder that fails or lies costs a way to the other disk, and nothing else.
//!
//! Read in this order: `known`, which version an object has; `pieces`, where its bytes come from; `folder`.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;
use switchboard_core::settings::{ByteSize, duration};
use switchboard_core::{
    BuildContext, Capabilities, Descriptor, Details, Error, ErrorKind, Health, Lifecycle, Metric,
    Registry, Reply, Result,
};

use self::folder::Folder;
use self::known::Known;
use self::pieces::{Object, Pieces};
use crate::driver::another_version;
use crate::{
    Beneath, Body, Condition, Disks, Fetched, Key, Limits, List, Meta, Page, Part, PartTag, Read,
    Sign, Signed, StorageDriver, Stored, UploadId, Version, Write,
};

mod folder;
mod known;
mod pieces;
#[cfg(test)]
mod tests;

/// Another disk, of which what was read is kept near.
pub struct Cached {
    known: Known,
    pieces: Arc<Pieces>,
}

/// The settings of [`Cached`].
///
/// ```
/// use switchboard_core::{Environment, Manager, Registry, Settings};
/// use switchboard_storage::Disks;
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
/// # runtime.block_on(async {
/// let disks = Manager::<Disks>::new(Registry::with_built_ins()?, &Environment::new())?;
/// disks.configure("far", &Settings::new().with("driver", "memory"))?;
/// let near = Settings::new().with("driver", "cached").with("disk", "far").with("memory", "16MiB");
/// disks.configure("near", &near)?;
///
/// let near = disks.get("near").await?;
/// near.put("note", "…").await?;
/// assert_eq!(near.read("note").await?, "…");
/// assert_eq!(near.read("note").await?, "…", "from memory");
/// # Ok::<(), switchboard_core::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CachedConfig {
    /// The name of the other disk.
    pub disk: String,
    /// The most bytes that are kept in memory.
    #[serde(default = "default_memory")]
    pub memory: ByteSize,
    /// Where more is kept, also for the next start: a folder of its own for each disk of each process.
    #[serde(default)]
    pub folder: Option<PathBuf>,
    /// The most bytes that are kept in the folder.
    #[serde(default = "default_folder_size")]
    pub folder_size: ByteSize,
    /// How long the pieces are in which objects are fetched and kept.
    #[serde(default = "default_piece_size")]
    pub piece_size: ByteSize,
    /// When the other disk is asked which version an object has.
    #[serde(default)]
    pub validate: Validate,
    /// For how long the answer is good, where `validate` is `ttl`.
    #[serde(default = "default_ttl", with = "duration")]
    #[schemars(with = "duration::Text")]
    pub ttl: Duration,
}

/// When the other disk is asked which version an object has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Validate {
    /// Before every read: nothing is older than what is there.
    #[default]
    Always,
    /// When the last answer is older than the `ttl`.
    Ttl,
    /// When it is not known: for objects that never change under their keys.
    Never,
}

pub(crate) fn register(registry: &Registry<Disks>) -> Result<()> {
    let descriptor = Descriptor::new("cached")
        .summary("Another disk, of which what was read is kept in memory and in a folder")
        .data_in(["disk"])
        .proven();
    crate::register(registry, descriptor, |config: CachedConfig, build| async move {
        Cached::start(config, &build).await
    })
}

impl Cached {
    async fn start(config: CachedConfig, build: &BuildContext) -> Result<Self> {
        if config.piece_size.0 == 0 {
            return Err(Error::new(ErrorKind::Config, "pieces of no bytes make no object")
                .with_context("setting", "piece_size"));
        }
        let beneath = Beneath::of(&config.disk, build).await?;
        let folder = match &config.folder {
            Some(path) => Some(Folder::open(path.clone(), config.folder_size.0).await?),
            None => None,
        };
        let known = Known::new(config.validate, config.ttl, build.clock().clone());
        let pieces = Arc::new(Pieces::new(&config, beneath, folder)?);
        Ok(Self { known, pieces })
    }

    fn beneath(&self) -> &Beneath {
        self.pieces.beneath()
    }

    /// What is known of an object; asked now, if it is to be.
    async fn meta(&self, key: Key<'_>, is_asked: bool) -> Result<Meta> {
        if !is_asked && let Some(meta) = self.known.find(key.as_str()) {
            return Ok(meta);
        }
        let asking = self.known.asking(key.as_str());
        let meta = self.beneath().head(key).await?;
        asking.remember(&meta);
        Ok(meta)
    }

    async fn open(&self, key: Key<'_>, read: &Read) -> Result<Option<Fetched>> {
        for attempt in 0..OVERTAKEN_MAX {
            // What was overtaken by a write is not asked of memory again.
            let mut meta = self.meta(key, attempt > 0).await?;
            if read.only.as_ref().is_some_and(|only| *only != meta.version) {
                meta = self.meta(key, true).await?;
            }
            if !read.allows(&meta)? {
                return Ok(None);
            }
            let whole = 0..meta.size;
            let range = read.range.as_ref().map_or(Ok(whole), |range| range.of(meta.size))?;
            if range.is_empty() {
                return Ok(Some(Fetched { meta, range, body: Body::empty() }));
            }
            let object = Object::new(key, &meta);
            match self.pieces.read(object, range.clone()).await {
                Ok(body) => return Ok(Some(Fetched { meta, range, body })),
                Err(error) if is_gone(&error) && read.only.is_some() => {
                    return Err(another_version().with_source(error));
                }
                Err(error) if is_gone(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::new(ErrorKind::Conflict, "the object is replaced faster than it can be read")
            .not_applied()
            .retry_later())
    }
}

impl StorageDriver for Cached {
    fn limits(&self) -> Limits {
        self.beneath().limits()
    }

    fn head<'a>(&'a self, key: Key<'a>) -> Reply<'a, Meta> {
        Reply::run(self.meta(key, false))
    }

    fn get<'a>(&'a self, key: Key<'a>, read: &'a Read) -> Reply<'a, Option<Fetched>> {
        Reply::run(self.open(key, read))
    }

    fn put<'a>(&'a self, key: Key<'a>, content: Bytes, write: &'a Write) -> Reply<'a, Stored> {
        Reply::run(async move {
            let _writing = self.known.writing([key]);
            self.beneath().put(key, content, write).await
        })
    }

    fn delete<'a>(&'a self, key: Key<'a>, only: Option<&'a Version>) -> Reply<'a, bool> {
        Reply::run(async move {
            let _writing = self.known.writing([key]);
            self.beneath().delete(key, only).await
        })
    }

    fn list<'a>(&'a self, list: &'a List) -> Reply<'a, Page> {
        self.beneath().list(list)
    }

    fn delete_many<'a>(&'a self, keys: &'a [Key<'a>]) -> Reply<'a, Vec<Result<bool>>> {
        Reply::run(async move {
            let _writing = self.known.writing(keys.iter().copied());
            self.beneath().delete_many(keys).await
        })
    }

    fn copy<'a>(
        &'a self,
        from: Key<'a>,
        to: Key<'a>,
        condition: &'a Condition,
    ) -> Reply<'a, Stored> {
        Reply::run(async move {
            let _writing = self.known.writing([to]);
            self.beneath().copy(from, to, condition).await
        })
    }

    fn rename<'a>(
        &'a self,
        from: Key<'a>,
        to: Key<'a>,
        condition: &'a Condition,
    ) -> Reply<'a, Stored> {
        Reply::run(async move {
            let _writing = self.known.writing([from, to]);
            self.beneath().rename(from, to, condition).await
        })
    }

    fn begin<'a>(&'a self, key: Key<'a>, write: &'a Write) -> Reply<'a, UploadId> {
        self.beneath().begin(key, write)
    }

    fn part<'a>(
        &'a self,
        key: Key<'a>,
        upload: &'a UploadId,
        part: Part,
        content: Bytes,
    ) -> Reply<'a, PartTag> {
        self.beneath().part(key, upload, part, content)
    }

    fn complete<'a>(
        &'a self,
        key: Key<'a>,
        upload: &'a UploadId,
        parts: &'a [PartTag],
        write: &'a Write,
    ) -> Reply<'a, Stored> {
        Reply::run(async move {
            let _writing = self.known.writing([key]);
            self.beneath().complete(key, upload, parts, write).await
        })
    }

    fn abort<'a>(&'a self, key: Key<'a>, upload: &'a UploadId) -> Reply<'a, ()> {
        self.beneath().abort(key, upload)
    }

    fn sweep(&self, age: Duration) -> Reply<'_, u64> {
        self.beneath().sweep(age)
    }

    fn sign<'a>(&'a self, request: &'a Sign) -> Reply<'a, Signed> {
        self.beneath().sign(request)
    }
}

impl Lifecycle for Cached {
    fn health(&self) -> Reply<'_, Health> {
        Reply::run(async {
            let health = self.beneath().health().await?;
            let is_well = health == Health::up() || health == Health::not_checked();
            match self.pieces.folder_trouble() {
                Some(trouble) if is_well => Ok(Health::degraded(trouble)),
                _ => Ok(health),
            }
        })
    }

    fn capabilities(&self) -> Option<Capabilities> {
        self.beneath().capabilities()
    }

    fn details(&self) -> Option<Details> {
        Some(self.pieces.details())
    }

    fn metrics(&self) -> Vec<Metric> {
        self.pieces.metrics()
    }
}

/// Whether the version that was asked for is no longer there.
fn is_gone(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::PreconditionFailed | ErrorKind::NotFound)
}

fn default_memory() -> ByteSize {
    ByteSize(64 << 20)
}

fn default_folder_size() -> ByteSize {
    ByteSize(1 << 30)
}

fn default_piece_size() -> ByteSize {
    ByteSize(1 << 20)
}

fn default_ttl() -> Duration {
    Duration::from_mins(1)
}

impl fmt::Debug for Cached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cached").field("beneath", self.beneath()).finish_non_exhaustive()
    }
}

/// How often an object may be replaced while it is opened.
const OVERTAKEN_MAX: u32 = 4;
