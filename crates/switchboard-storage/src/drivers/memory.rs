//! Keeps objects in the memory of the process: lost when it ends, and not seen by other processes.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::ready;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use schemars::JsonSchema;
use serde::Deserialize;
use switchboard_core::settings::ByteSize;
use switchboard_core::{
    Clock, Descriptor, Error, ErrorKind, Health, Lifecycle, Registry, Reply, Result, Support,
};

use crate::{
    Condition, Disks, Entry, Fetched, Key, Limits, List, Meta, Page, Part, PartTag, Read,
    StorageDriver, Stored, UploadId, Version, Write, another_version, capability, nothing_there,
};

/// A disk in the memory of the process.
pub struct Memory {
    kept: Mutex<Kept>,
    bytes_max: u64,
    clock: Clock,
}

/// The settings of [`Memory`].
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MemoryConfig {
    /// The most bytes that all objects have together, parts on their way included.
    pub max_bytes: ByteSize,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self { max_bytes: ByteSize(256 << 20) }
    }
}

pub(crate) fn register(registry: &Registry<Disks>) -> Result<()> {
    let descriptor = Descriptor::new("memory")
        .summary("In the memory of the process, bounded in bytes")
        .capability(capability::CREATE, Support::Native)
        .capability(capability::REPLACE, Support::Native)
        .capability(capability::DELETE_VERSION, Support::Native)
        .capability(capability::ATTRIBUTES, Support::Native)
        .capability(capability::CHECKSUM, Support::Native)
        .capability(capability::COPY, Support::Native)
        .capability(capability::RENAME, Support::Native)
        .capability(capability::PARTS, Support::Native)
        .capability(capability::WRITE, Support::Native)
        .capability(capability::LIST, Support::Native)
        .capability(capability::NESTED, Support::Native)
        .capability(capability::TRANSIENT, Support::Native)
        .proven();
    crate::register(registry, descriptor, |config: MemoryConfig, build| async move {
        Ok(Memory::new(&config, build.clock().clone()))
    })
}

#[derive(Default)]
struct Kept {
    objects: BTreeMap<String, (Meta, Bytes)>,
    uploads: HashMap<u64, Upload>,
    bytes: u64,
    /// How many versions and uploads there have been.
    count: u64,
}

struct Upload {
    parts: BTreeMap<u32, Bytes>,
    begun: Instant,
}

impl Memory {
    /// An empty disk.
    pub fn new(config: &MemoryConfig, clock: Clock) -> Self {
        Self { kept: Mutex::default(), bytes_max: config.max_bytes.0, clock }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `more` bytes fit where `less` become free.
    fn make_room(&self, kept: &Kept, less: u64, more: u64) -> Result<()> {
        if kept.bytes - less + more > self.bytes_max {
            return Err(Error::new(ErrorKind::QuotaExceeded, "the disk in memory is full")
                .with_context("setting", "max_bytes")
                .with_context("max_bytes", self.bytes_max)
                .not_applied());
        }
        Ok(())
    }

    fn store(
        &self,
        kept: &mut Kept,
        key: Key<'_>,
        content: Bytes,
        write: &Write,
    ) -> Result<Stored> {
        kept.allow(key.as_str(), &write.condition)?;
        let before = kept.objects.get(key.as_str()).map_or(0, |(meta, _)| meta.size);
        let size = content.len() as u64;
        self.make_room(kept, before, size)?;
        let version = kept.version();
        let meta = write.meta(size, self.clock.wall(), version);
        kept.bytes = kept.bytes - before + size;
        kept.objects.insert(key.as_str().to_owned(), (meta.clone(), content));
        Ok(meta.into())
    }
}

impl Kept {
    fn next(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    fn version(&mut self) -> Version {
        Version::new(self.next().to_string())
    }

    fn object(&self, key: &str) -> Result<&(Meta, Bytes)> {
        self.objects.get(key).ok_or_else(nothing_there)
    }

    fn allow(&self, key: &str, condition: &Condition) -> Result<()> {
        condition.allows(self.objects.get(key).map(|(meta, _)| &meta.version))
    }

    fn remove(&mut self, key: &str) -> Option<(Meta, Bytes)> {
        let removed = self.objects.remove(key)?;
        self.bytes -= removed.0.size;
        Some(removed)
    }

    fn upload(&mut self, id: &UploadId) -> Result<&mut Upload> {
        let upload = id.0.parse().ok().and_then(|id: u64| self.uploads.get_mut(&id));
        upload
            .ok_or_else(|| Error::new(ErrorKind::NotFound, "there is no such upload").not_applied())
    }

    fn drop_upload(&mut self, id: &UploadId) {
        let upload = id.0.parse().ok().and_then(|id: u64| self.uploads.remove(&id));
        self.bytes -= upload.map_or(0, |upload| length(upload.parts.values()));
    }

    /// So many objects, from that text on.
    fn rows(&self, from: String, count: usize) -> Vec<Entry> {
        let rows = self.objects.range(from..).take(count);
        let entry = |(key, (meta, _)): (&String, &(Meta, Bytes))| {
            Entry::new(key, meta.size, meta.modified, meta.version.clone())
        };
        rows.map(entry).collect()
    }
}

impl StorageDriver for Memory {
    fn limits(&self) -> Limits {
        Limits { part_min: 1, ..Limits::default() }
    }

    fn head<'a>(&'a self, key: Key<'a>) -> Reply<'a, Meta> {
        Reply::ready(self.kept().object(key.as_str()).map(|(meta, _)| meta.clone()))
    }

    fn get<'a>(&'a self, key: Key<'a>, read: &'a Read) -> Reply<'a, Option<Fetched>> {
        Reply::ready((|| {
            let (meta, content) = self.kept().object(key.as_str())?.clone();
            read.cut(meta, &content)
        })())
    }

    fn put<'a>(&'a self, key: Key<'a>, content: Bytes, write: &'a Write) -> Reply<'a, Stored> {
        Reply::ready(self.store(&mut self.kept(), key, content, write))
    }

    fn delete<'a>(&'a self, key: Key<'a>, only: Option<&'a Version>) -> Reply<'a, bool> {
        let mut kept = self.kept();
        let there = kept.objects.get(key.as_str()).map(|(meta, _)| &meta.version);
        if let (Some(only), Some(there)) = (only, there)
            && only != there
        {
            return Reply::ready(Err(another_version()));
        }
        Reply::ready(Ok(kept.remove(key.as_str()).is_some()))
    }

    fn list<'a>(&'a self, list: &'a List) -> Reply<'a, Page> {
        Reply::run(list.page(|from, count| ready(Ok(self.kept().rows(from, count)))))
    }

    fn copy<'a>(
        &'a self,
        from: Key<'a>,
        to: Key<'a>,
        condition: &'a Condition,
    ) -> Reply<'a, Stored> {
        Reply::ready((|| {
            let kept = &mut self.kept();
            let (meta, content) = kept.object(from.as_str())?.clone();
            let Meta { attributes, checksum, .. } = meta;
            let write =
                Write { condition: condition.clone(), attributes, checksum, write_id: None };
            self.store(kept, to, content, &write)
        })())
    }

    fn rename<'a>(
        &'a self,
        from: Key<'a>,
        to: Key<'a>,
        condition: &'a Condition,
    ) -> Reply<'a, Stored> {
        Reply::ready((|| {
            let kept = &mut self.kept();
            kept.object(from.as_str())?;
            kept.allow(to.as_str(), condition)?;
            kept.remove(to.as_str());
            let (mut meta, content) = kept.remove(from.as_str()).ok_or_else(nothing_there)?;
            meta.version = kept.version();
            kept.bytes += meta.size;
            kept.objects.insert(to.as_str().to_owned(), (meta.clone(), content));
            Ok(meta.into())
        })())
    }

    fn begin<'a>(&'a self, _: Key<'a>, _: &'a Write) -> Reply<'a, UploadId> {
        let mut kept = self.kept();
        let id = kept.next();
        kept.uploads.insert(id, Upload { parts: BTreeMap::new(), begun: self.clock.now() });
        Reply::ready(Ok(UploadId(id.to_string())))
    }

    fn part<'a>(
        &'a self,
        _: Key<'a>,
        upload: &'a UploadId,
        part: Part,
        content: Bytes,
    ) -> Reply<'a, PartTag> {
        Reply::ready((|| {
            let kept = &mut self.kept();
            let before = kept.upload(upload)?.parts.get(&part.number).map_or(0, Bytes::len) as u64;
            let size = content.len() as u64;
            self.make_room(kept, before, size)?;
            kept.upload(upload)?.parts.insert(part.number, content);
            kept.bytes = kept.bytes - before + size;
            Ok(PartTag(part.number.to_string()))
        })())
    }

    fn complete<'a>(
        &'a self,
        key: Key<'a>,
        upload: &'a UploadId,
        parts: &'a [PartTag],
        write: &'a Write,
    ) -> Reply<'a, Stored> {
        Reply::ready((|| {
            let kept = &mut self.kept();
            kept.allow(key.as_str(), &write.condition)?;
            let there = &kept.upload(upload)?.parts;
            let of = |tag: &PartTag| tag.0.parse().ok().and_then(|number: u32| there.get(&number));
            let parts: Option<Vec<&Bytes>> = parts.iter().map(of).collect();
            let parts = parts.ok_or_else(|| {
                Error::new(ErrorKind::InvalidInput, "a part was never kept").not_applied()
            })?;
            let content: BytesMut = parts.iter().flat_map(|part| part.iter().copied()).collect();
            kept.drop_upload(upload);
            self.store(kept, key, content.freeze(), write)
        })())
    }

    fn abort<'a>(&'a self, _: Key<'a>, upload: &'a UploadId) -> Reply<'a, ()> {
        self.kept().drop_upload(upload);
        Reply::ready(Ok(()))
    }

    fn sweep(&self, age: Duration) -> Reply<'_, u64> {
        let (mut kept, now) = (self.kept(), self.clock.now());
        let is_old = |upload: &Upload| now.saturating_duration_since(upload.begun) >= age;
        let old: Vec<_> =
            kept.uploads.iter().filter(|(_, upload)| is_old(upload)).map(|(id, _)| *id).collect();
        for id in &old {
            kept.drop_upload(&UploadId(id.to_string()));
        }
        Reply::ready(Ok(old.len() as u64))
    }
}

fn length<'b>(parts: impl Iterator<Item = &'b Bytes>) -> u64 {
    parts.map(|part| part.len() as u64).sum()
}

impl Lifecycle for Memory {
    fn health(&self) -> Reply<'_, Health> {
        Reply::ready(Ok(Health::up()))
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("bytes_max", &self.bytes_max).finish_non_exhaustive()
    }
}

#[cfg(test)]
crate::conformance::suite!(crate::conformance::Fixture::new(register));
